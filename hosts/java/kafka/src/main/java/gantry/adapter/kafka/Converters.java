// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import java.util.Map;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;

/** The three converters of a task, with their prefixed settings. Kafka Connect's defaults, for both ways. */
final class Converters {
    private static final String JSON = "org.apache.kafka.connect.json.JsonConverter";
    private static final String SIMPLE_HEADER = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

    final Converter key;
    final Converter value;
    final HeaderConverter header;

    Converters(Map<String, String> config, ClassLoader loader) throws Exception {
        key = converter(config, "key.converter", true, loader);
        value = converter(config, "value.converter", false, loader);
        String name = config.getOrDefault("header.converter", SIMPLE_HEADER);
        header = Settings.make("header.converter", name, HeaderConverter.class, loader);
        Map<String, Object> settings = Settings.below(config, "header.converter.");
        settings.put("converter.type", "header");
        header.configure(settings);
    }

    private static Converter converter(Map<String, String> config, String prefix, boolean isKey, ClassLoader loader) throws Exception {
        Converter made = Settings.make(prefix, config.getOrDefault(prefix, JSON), Converter.class, loader);
        Map<String, Object> settings = Settings.below(config, prefix + ".");
        settings.put("converter.type", isKey ? "key" : "value");
        made.configure(settings, isKey);
        return made;
    }

    void close() throws Exception {
        header.close();
    }
}
