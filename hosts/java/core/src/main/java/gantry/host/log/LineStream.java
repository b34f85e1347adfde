// SPDX-License-Identifier: Apache-2.0
package gantry.host.log;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** What takes the place of System.out and System.err: each line becomes one of the log. Per thread, so that two tasks that
 * print at the same time do not mix their lines. */
final class LineStream extends OutputStream {
    private static final int MAX = 16 << 10;

    private final String logger;
    private final int level;
    private final ThreadLocal<ByteArrayOutputStream> begun = ThreadLocal.withInitial(() -> new ByteArrayOutputStream(128));

    LineStream(String logger, int level) {
        this.logger = logger;
        this.level = level;
    }

    @Override
    public void write(int b) {
        ByteArrayOutputStream text = begun.get();
        if (b == '\n') {
            end(text);
        } else if (b != '\r') {
            text.write(b);
            if (text.size() >= MAX) {
                end(text);
            }
        }
    }

    @Override
    public void write(byte[] bytes, int from, int size) {
        for (int i = 0; i < size; i++) {
            write(bytes[from + i]);
        }
    }

    private void end(ByteArrayOutputStream text) {
        String all = new String(text.toByteArray(), StandardCharsets.UTF_8);
        text.reset();
        if (!all.trim().isEmpty()) {
            Log.write(level, logger, all);
        }
    }
}
