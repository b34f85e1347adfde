// SPDX-License-Identifier: Apache-2.0
package gantry.host.log;

import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Line;
import gantry.host.wire.Packer;
import java.io.ByteArrayInputStream;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** Lines for the worker's log, with the connector and task of the thread that writes them. Thread: any. */
public final class Log {
    public static final int DEBUG = 0;
    public static final int INFO = 1;
    public static final int WARN = 2;
    public static final int ERROR = 3;

    /** Longer lines are cut; nobody reads them, and a log must not fill the line. */
    private static final int MAX_CHARS = 16 << 10;
    private static final int TRACE_LINES = 40;

    private static volatile Line line;
    private static volatile int lowest = INFO;
    private static final ThreadLocal<Packer> PACKER = new ThreadLocal<>();

    private Log() {
    }

    /** From here on everything that is printed or logged goes to the worker. */
    public static void install(Line to) {
        line = to;
        try {
            System.setOut(new PrintStream(new LineStream("stdout", INFO), true, "UTF-8"));
            System.setErr(new PrintStream(new LineStream("stderr", WARN), true, "UTF-8"));
            System.setIn(new ByteArrayInputStream(new byte[0])); // a plugin that reads it would take the worker's frames
        } catch (UnsupportedEncodingException e) {
            throw new IllegalStateException(e);
        }
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> {
            Halt.ifOutOfMemory(error);
            trace(ERROR, "host", "the thread '" + thread.getName() + "' has ended by an exception", error);
        });
    }

    /** java.util.logging, which costs a moment to start: only once a plugin is there. */
    public static void installJul() {
        LogManager.getLogManager().reset();
        Logger root = Logger.getLogger("");
        root.setLevel(lowest == DEBUG ? Level.ALL : Level.INFO);
        root.addHandler(new Handler() {
            @Override
            public void publish(LogRecord record) {
                int value = record.getLevel().intValue();
                int level = value >= 1000 ? ERROR : value >= 900 ? WARN : value >= 800 ? INFO : DEBUG;
                if (on(level)) {
                    String text = new java.util.logging.SimpleFormatter().formatMessage(record);
                    trace(level, record.getLoggerName(), text, record.getThrown());
                }
            }

            @Override
            public void flush() {
            }

            @Override
            public void close() {
            }
        });
    }

    /** @param name debug, info, warn or error; anything else leaves it as it is */
    public static void setLevel(String name) {
        String[] names = {"debug", "info", "warn", "error"};
        for (int i = 0; i < names.length; i++) {
            if (names[i].equalsIgnoreCase(name)) {
                lowest = i;
            }
        }
    }

    public static boolean on(int level) {
        return level >= lowest;
    }

    /** One event; line breaks in {@code text} make further lines. */
    public static void write(int level, String logger, String text) {
        if (!on(level)) {
            return;
        }
        String all = text == null ? "null" : text;
        if (all.indexOf('\n') < 0) {
            one(level, logger, all);
            return;
        }
        for (String part : all.split("\r?\n")) {
            if (!part.isEmpty()) {
                one(level, logger, part);
            }
        }
    }

    public static void trace(int level, String logger, String text, Throwable error) {
        if (!on(level)) {
            return;
        }
        write(level, logger, error == null ? text : text + ": " + Errors.text(error));
        int lines = 0;
        for (Throwable one = error; one != null && lines < TRACE_LINES; one = one.getCause()) {
            if (one != error) {
                one(level, logger, "  caused by " + one);
            }
            for (StackTraceElement element : one.getStackTrace()) {
                if (++lines > TRACE_LINES) {
                    break;
                }
                one(level, logger, "    at " + element);
            }
            if (one.getCause() == one) {
                break;
            }
        }
    }

    private static void one(int level, String logger, String text) {
        Line to = line;
        if (to == null) {
            return;
        }
        String cut = text.length() > MAX_CHARS ? text.substring(0, MAX_CHARS) + "..." : text;
        Scope scope = Scope.current();
        if (scope.channel == 0 && scope.connector != null) {
            cut = "connector=" + scope.connector + " " + cut;
        }
        // taken out while in use: a plugin's toString() may log while it is logged
        Packer packer = PACKER.get();
        PACKER.set(null);
        if (packer == null) {
            packer = new Packer(512);
        }
        to.send(packer.begin(Frame.LOG, scope.channel, 3).number(level).text(logger == null ? "" : logger).text(cut), scope.channel);
        PACKER.set(packer);
    }
}
