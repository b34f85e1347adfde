// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Settings that Kafka Connect's worker reads, not the connector, and objects of classes that they name. */
final class Settings {
    private static final String[] RUNTIME = {"name", "connector.class", "tasks.max", "topics", "topics.regex"};
    private static final String[] RUNTIME_PREFIXES = {
        "key.converter", "value.converter", "header.converter", "transforms", "predicates", "errors.",
    };
    /** Keys that the host reads for each connector, besides the classes' own. */
    static final String[] OF_THE_RUNTIME = {
        "name", "key.converter", "value.converter", "header.converter", "transforms", "predicates", "errors.tolerance", "errors.retry.timeout",
        "errors.retry.delay.max.ms", "errors.log.enable", "errors.log.include.messages", "errors.deadletterqueue.context.headers.enable",
        "errors.deadletterqueue.topic.replication.factor",
    };
    /** Where classes that are named without a package may be. */
    private static final String[] PACKAGES = {
        "org.apache.kafka.connect.transforms.", "org.apache.kafka.connect.transforms.predicates.",
        "org.apache.kafka.connect.json.", "org.apache.kafka.connect.storage.", "org.apache.kafka.connect.converters.",
    };

    private Settings() {
    }

    /** A task's configuration is the connector's own; the host needs these from the connector's, too. */
    static Map<String, String> whole(Map<String, String> task, Map<String, String> connector) {
        Map<String, String> whole = new LinkedHashMap<>();
        for (Map.Entry<String, String> entry : connector.entrySet()) {
            if (isRuntime(entry.getKey())) {
                whole.put(entry.getKey(), entry.getValue());
            }
        }
        for (Map.Entry<String, String> entry : task.entrySet()) {
            if (entry.getValue() != null) {
                whole.put(entry.getKey(), entry.getValue());
            }
        }
        return whole;
    }

    private static boolean isRuntime(String key) {
        for (String name : RUNTIME) {
            if (key.equals(name)) {
                return true;
            }
        }
        for (String prefix : RUNTIME_PREFIXES) {
            if (key.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }

    /** Those that begin with the prefix, without it. */
    static Map<String, Object> below(Map<String, String> config, String prefix) {
        Map<String, Object> below = new LinkedHashMap<>();
        for (Map.Entry<String, String> entry : config.entrySet()) {
            if (entry.getKey().startsWith(prefix)) {
                below.put(entry.getKey().substring(prefix.length()), entry.getValue());
            }
        }
        return below;
    }

    static String[] list(String text) {
        String trimmed = text == null ? "" : text.trim();
        return trimmed.isEmpty() ? new String[0] : trimmed.split("\\s*,\\s*");
    }

    /** A new object of the class that {@code key} names. @throws IllegalArgumentException naming key and class */
    static <T> T make(String key, String className, Class<T> wanted, ClassLoader loader) throws Exception {
        if (className == null || className.trim().isEmpty()) {
            throw new IllegalArgumentException(key + " is missing; it must name a " + wanted.getSimpleName());
        }
        Class<?> found = find(className.trim(), loader);
        if (found == null) {
            throw new IllegalArgumentException(key + " is '" + className + "', a class that is neither in the plugin nor in Kafka Connect");
        }
        if (!wanted.isAssignableFrom(found)) {
            throw new IllegalArgumentException(key + " is '" + className + "', which is no " + wanted.getSimpleName());
        }
        return wanted.cast(found.getDeclaredConstructor().newInstance());
    }

    private static Class<?> find(String name, ClassLoader loader) {
        try {
            return Class.forName(name, true, loader);
        } catch (ClassNotFoundException e) {
            for (String prefix : name.indexOf('.') < 0 ? PACKAGES : new String[0]) {
                try {
                    return Class.forName(prefix + name, true, loader);
                } catch (ClassNotFoundException next) {
                    continue; // another package may have it
                }
            }
            return null;
        }
    }

    static Map<String, String> strings(Map<String, String> config) {
        return Collections.unmodifiableMap(config);
    }
}
