// SPDX-License-Identifier: Apache-2.0
package gantry.host.log;

import gantry.host.wire.Frame;
import java.io.FileNotFoundException;
import java.util.concurrent.TimeoutException;

/** Exceptions in the words of the protocol. */
public final class Errors {
    private static final int MAX_CHARS = 480;

    private Errors() {
    }

    /** One line: the exception, and its causes where they say more. At most some 480 characters. */
    public static String text(Throwable error) {
        StringBuilder text = new StringBuilder();
        Throwable one = error;
        for (int depth = 0; one != null && depth < 8; depth++) {
            String message = one.getMessage();
            boolean said = message != null && text.indexOf(message) >= 0;
            if (!said || depth == 0) {
                text.append(depth == 0 ? "" : ": ").append(one.getClass().getSimpleName().isEmpty()
                        ? one.getClass().getName() : one.getClass().getSimpleName());
                if (message != null) {
                    text.append(": ").append(message);
                }
            }
            one = one.getCause() == one ? null : one.getCause();
        }
        String flat = text.toString().replaceAll("\\s*[\r\n]+\\s*", " | ");
        return flat.length() > MAX_CHARS ? flat.substring(0, MAX_CHARS) + "..." : flat;
    }

    /** A code of gantry/error.h. */
    public static int code(Throwable error) {
        for (Throwable one = error; one != null; one = one.getCause() == one ? null : one.getCause()) {
            String name = one.getClass().getSimpleName();
            if (one instanceof ClassNotFoundException || one instanceof FileNotFoundException) {
                return Frame.NOT_FOUND;
            }
            if (one instanceof LinkageError) {
                return Frame.UNSUPPORTED;
            }
            if (one instanceof IllegalArgumentException || name.equals("ConfigException")) {
                return Frame.INVALID;
            }
            if (one instanceof TimeoutException || name.equals("TimeoutException")) {
                return Frame.TIMEOUT;
            }
        }
        return Frame.IO;
    }
}
