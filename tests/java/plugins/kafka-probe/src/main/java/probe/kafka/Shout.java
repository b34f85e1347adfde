// SPDX-License-Identifier: Apache-2.0
package probe.kafka;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.transforms.Transformation;

/** A converter and a transform that lie in the plugin's jar. */
public class Shout implements Converter {
    private String mark;

    @Override
    public void configure(Map<String, ?> config, boolean isKey) {
        mark = (isKey ? "K" : "V") + config.get("mark");
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        return value == null ? null : (mark + String.valueOf(value).toUpperCase()).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] value) {
        if (value != null && new String(value, StandardCharsets.UTF_8).startsWith("poison")) {
            throw new org.apache.kafka.connect.errors.DataException("cannot read " + new String(value, StandardCharsets.UTF_8));
        }
        return new SchemaAndValue(Schema.STRING_SCHEMA, value == null ? null : new String(value, StandardCharsets.UTF_8).toLowerCase());
    }

    public static class DropOdd<R extends ConnectRecord<R>> implements Transformation<R> {
        @Override
        public R apply(R record) {
            char last = String.valueOf(record.value()).charAt(String.valueOf(record.value()).length() - 1);
            return (last - '0') % 2 == 1 ? null : record;
        }

        @Override
        public ConfigDef config() {
            return new ConfigDef();
        }

        @Override
        public void close() {
        }

        @Override
        public void configure(Map<String, ?> configs) {
        }
    }
}
