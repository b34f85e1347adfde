// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import gantry.host.log.Errors;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Records that a sink leaves out, on their way to the topic of errors.deadletterqueue.topic.name: as they came, and, where that
 * is asked for, with headers that say why. Thread: any.
 */
public final class DeadLetters {
    static final String KEYS = "errors.deadletterqueue.";
    static final String TOPIC = KEYS + "topic.name";
    private static final String PREFIX = "__connect.errors.";
    /** All headers of a message together have 32 KiB with a broker. */
    private static final int TEXT_MAX = 2_000;
    private static final int TRACE_MAX = 8_000;

    private final TaskSetup setup;
    private final SinkControl control;
    private final boolean on;
    private final boolean context;

    public DeadLetters(TaskSetup setup, SinkControl control) {
        this.setup = setup;
        this.control = control;
        this.on = !setup.config.getOrDefault(TOPIC, "").isEmpty();
        this.context = Boolean.parseBoolean(setup.config.get(KEYS + "context.headers.enable"))
                || Boolean.parseBoolean(setup.config.get(KEYS + "context.properties.enable"));
    }

    /** There is a topic for them. */
    public boolean on() {
        return on;
    }

    /** @param stage as Kafka Connect calls it; @param where the class that has failed */
    public void add(Queue queue, RecordIn record, String stage, Class<?> where, Throwable error) {
        if (!on) {
            return;
        }
        List<String> names = new ArrayList<>(Arrays.asList(record.headerNames));
        List<byte[]> values = new ArrayList<>(Arrays.asList(record.headerValues));
        if (context) {
            String[] pairs = {
                "topic", queue.topic, "partition", Integer.toString(queue.number), "offset", Long.toString(record.offset),
                "connector.name", setup.connector, "task.id", Integer.toString(setup.task), "stage", stage,
                "class.name", where.getName(), "exception.class.name", error.getClass().getName(),
                "exception.message", error.getMessage(), "exception.stacktrace", trace(error),
            };
            for (int i = 0; i < pairs.length; i += 2) {
                names.add(PREFIX + pairs[i]);
                values.add(cut(pairs[i + 1], i == pairs.length - 2 ? TRACE_MAX : TEXT_MAX));
            }
        }
        control.layAside(queue, record, names, values);
    }

    /** So many bytes of UTF-8 at most, and no part of a character. */
    private static byte[] cut(String text, int max) {
        byte[] whole = text == null ? null : text.getBytes(StandardCharsets.UTF_8);
        if (whole == null || whole.length <= max) {
            return whole;
        }
        int end = max - 3;
        while ((whole[end] & 0xc0) == 0x80) {
            end--;
        }
        byte[] cut = Arrays.copyOf(whole, end + 3);
        Arrays.fill(cut, end, end + 3, (byte) '.');
        return cut;
    }

    private static String trace(Throwable error) {
        StringWriter text = new StringWriter();
        try {
            error.printStackTrace(new PrintWriter(text, true));
        } catch (RuntimeException e) { // the plugin's own class
            return Errors.text(e);
        }
        return text.toString();
    }
}
