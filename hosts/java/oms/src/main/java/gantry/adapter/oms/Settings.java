// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import io.openmessaging.KeyValue;
import io.openmessaging.internal.DefaultKeyValue;
import java.util.LinkedHashMap;
import java.util.Map;

/** Settings of a connector that its runtime reads, and objects of classes that they name. */
final class Settings {
    private static final String[] RUNTIME = {"connector.class", "connect.topicname", "connect.topicnames", "ordering.msg.enable"};
    private static final String[] RUNTIME_PREFIXES = {"transforms", "key.converter", "value.converter", "errors."};

    /** Keys that the host reads, besides the classes' own. */
    static final String[] OF_THE_RUNTIME = {
        "key.converter", "value.converter", "transforms", "errors.tolerance", "errors.retry.timeout", "errors.retry.delay.max.ms", "errors.log.enable",
        "errors.deadletterqueue.context.properties.enable", "errors.deadletterqueue.read.queue.nums", "errors.deadletterqueue.write.queue.nums",
    };

    private Settings() {
    }

    static KeyValue keyValue(Map<String, String> config) {
        KeyValue made = new DefaultKeyValue();
        for (Map.Entry<String, String> entry : config.entrySet()) {
            made.put(entry.getKey(), entry.getValue());
        }
        return made;
    }

    static Map<String, String> map(KeyValue from) {
        Map<String, String> map = new LinkedHashMap<>();
        for (String key : from.keySet()) {
            map.put(key, String.valueOf(from.getString(key)));
        }
        return map;
    }

    /** What the runtime adds to a task's configuration, where the connector has not. */
    static void complete(Map<String, String> task, Map<String, String> connector) {
        for (Map.Entry<String, String> entry : connector.entrySet()) {
            String key = entry.getKey();
            boolean runtime = false;
            for (String name : RUNTIME) {
                runtime |= key.equals(name);
            }
            for (String prefix : RUNTIME_PREFIXES) {
                runtime |= key.startsWith(prefix);
            }
            if (runtime) {
                task.putIfAbsent(key, entry.getValue());
            }
        }
    }

    static Map<String, String> below(Map<String, String> config, String prefix) {
        Map<String, String> below = new LinkedHashMap<>();
        for (Map.Entry<String, String> entry : config.entrySet()) {
            if (entry.getKey().startsWith(prefix)) {
                below.put(entry.getKey().substring(prefix.length()), entry.getValue());
            }
        }
        return below;
    }

    /** A new object of a class of the plugin. @throws IllegalArgumentException naming key and class */
    static <T> T make(String key, String className, Class<T> wanted, ClassLoader loader) throws ReflectiveOperationException {
        Class<?> found;
        try {
            found = Class.forName(className, true, loader);
        } catch (ClassNotFoundException e) {
            throw new IllegalArgumentException(key + " is '" + className + "', a class that is neither in the plugin nor in the host");
        }
        if (!wanted.isAssignableFrom(found)) {
            throw new IllegalArgumentException(key + " is '" + className + "', which is no " + wanted.getSimpleName());
        }
        return wanted.cast(found.getDeclaredConstructor().newInstance());
    }
}
