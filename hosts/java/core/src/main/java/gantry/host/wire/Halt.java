// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** The end of the process, at once: no hook of a plugin can hold it up. */
public final class Halt {
    public static final int PROTOCOL = 70;
    public static final int OUT_OF_MEMORY = 71;

    private Halt() {
    }

    /** End with {@code code} after a line on standard error, which is the descriptor itself; null: no line. */
    public static void now(int code, String text) {
        if (text != null) {
            try {
                new FileOutputStream(FileDescriptor.err).write((text + "\n").getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                assert code >= 0; // there is nobody left to tell
            }
        }
        Runtime.getRuntime().halt(code);
    }

    /**
     * Memory that runs out is the host's end, whoever's call it was: the heap is shared, so no task can trust what it has.
     * Everything else is its task's alone.
     */
    public static void ifOutOfMemory(Throwable error) {
        for (Throwable one = error; one != null; one = one.getCause()) {
            if (one instanceof OutOfMemoryError) {
                now(OUT_OF_MEMORY, "gantry-java-host: out of memory: " + one.getMessage()
                        + "; give the host more (-Xmx in host.java.options, and host.memory.max) or run this connector in a host of its own");
            }
            if (one.getCause() == one) {
                return;
            }
        }
    }
}
