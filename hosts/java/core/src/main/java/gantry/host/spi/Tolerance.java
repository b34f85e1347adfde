// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What `errors.*` settings say about a record that cannot be converted or transformed. Thread: the task's; report: any. */
public final class Tolerance {
    /** One step of a record's way. */
    public interface Step<T> {
        T run() throws Exception;
    }

    private final boolean all;
    private final boolean log;
    private final long retryMs;
    private final long delayMaxMs;
    private final Class<? extends Exception> retriable;
    private long count;

    /** @param retriable exceptions of this class may go away */
    public Tolerance(Map<String, String> config, Class<? extends Exception> retriable) {
        String tolerance = config.getOrDefault("errors.tolerance", "none").trim();
        if (!tolerance.equalsIgnoreCase("none") && !tolerance.equalsIgnoreCase("all")) {
            throw new IllegalArgumentException("errors.tolerance is '" + tolerance + "'; it must be none or all");
        }
        this.all = tolerance.equalsIgnoreCase("all");
        this.log = Boolean.parseBoolean(config.get("errors.log.enable"));
        this.retryMs = number(config, "errors.retry.timeout", 0);
        this.delayMaxMs = number(config, "errors.retry.delay.max.ms", 60_000);
        this.retriable = retriable;
    }

    /** What is wrong with these keys of a connector, as {@link Api#validate} tells it. */
    public static List<String[]> findings(Map<String, String> config, boolean sink) {
        List<String[]> findings = new ArrayList<>();
        try {
            boolean all = new Tolerance(config, Exception.class).all;
            boolean named = !config.getOrDefault(DeadLetters.TOPIC, "").isEmpty();
            if (sink && named && !all) {
                findings.add(new String[] {null, DeadLetters.TOPIC + ": nothing goes there without errors.tolerance=all", ""});
            } else if (sink && !named && config.keySet().stream().anyMatch(key -> key.startsWith(DeadLetters.KEYS))) {
                findings.add(new String[] {null, DeadLetters.TOPIC + " is not set, so the other keys of " + DeadLetters.KEYS + "* do nothing", ""});
            }
        } catch (IllegalArgumentException e) { // the text names the key
            findings.add(new String[] {null, e.getMessage()});
        }
        return findings;
    }

    private static long number(Map<String, String> config, String key, long fallback) {
        String text = config.get(key);
        if (text == null) {
            return fallback;
        }
        try {
            return Long.parseLong(text.trim());
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(key + " is '" + text + "'; it must be a number of ms (-1: for ever)");
        }
    }

    public boolean logs() {
        return log;
    }

    /** What becomes of a record that is left out. */
    public interface Left {
        void because(Exception error);
    }

    public static final Left NOTHING = error -> { };

    public <T> T run(String what, Step<T> step) throws Exception {
        return run(what, step, NOTHING);
    }

    /** @return null when it has failed and that is tolerated; the caller tells null results apart by {@link #failures} */
    public <T> T run(String what, Step<T> step, Left left) throws Exception {
        long began = System.nanoTime();
        for (long delay = 300;; delay = Math.min(delay * 2, delayMaxMs)) {
            try {
                return step.run();
            } catch (Exception e) {
                long waited = (System.nanoTime() - began) / 1_000_000;
                if (retriable.isInstance(e) && (retryMs < 0 || waited + delay <= retryMs)) {
                    Thread.sleep(delay);
                } else {
                    report(what, e, left);
                    return null;
                }
            }
        }
    }

    /** A record has failed: throw it on, or count it. */
    public synchronized void report(String what, Exception error, Left left) throws Exception {
        if (!all) {
            throw error;
        }
        left.because(error);
        count++;
        // each where the user asks for it; otherwise the first of every power of two, so that nothing is silent
        if (log || Long.bitCount(count) == 1) {
            Log.write(Log.ERROR, "errors", "a record is left out (number " + count + ", errors.tolerance=all): " + what + ": "
                    + Errors.text(error));
        }
    }

    /** Records that were left out so far. */
    public synchronized long failures() {
        return count;
    }
}
