// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import gantry.host.spi.Json;
import io.openmessaging.connector.api.data.RecordConverter;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SchemaAndValue;
import io.openmessaging.connector.api.data.SchemaBuilder;
import io.openmessaging.connector.api.errors.ConnectException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** A task's two converters: those of the runtime by their class names, or the plugin's own. */
final class Converters {
    private static final String PACKAGE = "org.apache.rocketmq.connect.runtime.converter.record.";

    final RecordConverter key;
    final RecordConverter value;

    Converters(Map<String, String> config, ClassLoader loader) throws ReflectiveOperationException {
        key = make(config, "key.converter", loader);
        value = make(config, "value.converter", loader);
    }

    private static RecordConverter make(Map<String, String> config, String prefix, ClassLoader loader) throws ReflectiveOperationException {
        String name = config.getOrDefault(prefix, PACKAGE + "StringConverter").trim();
        RecordConverter made = name.startsWith(PACKAGE) ? own(name.substring(PACKAGE.length())) : null;
        if (made == null) {
            made = Settings.make(prefix, name, RecordConverter.class, loader);
        }
        made.configure(Settings.below(config, prefix + "."));
        return made;
    }

    private static RecordConverter own(String name) {
        switch (name) {
            case "StringConverter":
                return new Text();
            case "ByteArrayConverter":
                return new Bytes();
            case "ShortConverter":
                return new Fixed(SchemaBuilder.int16().build(), 2);
            case "IntegerConverter":
                return new Fixed(SchemaBuilder.int32().build(), 4);
            case "LongConverter":
                return new Fixed(SchemaBuilder.int64().build(), 8);
            case "FloatConverter":
                return new Fixed(SchemaBuilder.float32().build(), 4);
            case "DoubleConverter":
                return new Fixed(SchemaBuilder.float64().build(), 8);
            case "json.JsonConverter":
                return new JsonRecords();
            default:
                return null;
        }
    }

    /** UTF-8; any value by its string form. */
    private static final class Text implements RecordConverter {
        private final Schema schema = SchemaBuilder.string().build();

        @Override
        public byte[] fromConnectData(String topic, Schema of, Object value) {
            return value == null ? null : value.toString().getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public SchemaAndValue toConnectData(String topic, byte[] bytes) {
            return new SchemaAndValue(schema, bytes == null ? null : new String(bytes, StandardCharsets.UTF_8));
        }
    }

    private static final class Bytes implements RecordConverter {
        private final Schema schema = SchemaBuilder.bytes().build();

        @Override
        public byte[] fromConnectData(String topic, Schema of, Object value) {
            if (value == null || value instanceof byte[]) {
                return (byte[]) value;
            }
            if (value instanceof ByteBuffer) {
                return Json.bytes((ByteBuffer) value);
            }
            throw new ConnectException("ByteArrayConverter: a value of " + value.getClass().getName() + " is no bytes");
        }

        @Override
        public SchemaAndValue toConnectData(String topic, byte[] bytes) {
            return new SchemaAndValue(schema, bytes);
        }
    }

    /** A number in its fixed width, big endian. */
    private static final class Fixed implements RecordConverter {
        private final Schema schema;
        private final int size;

        Fixed(Schema schema, int size) {
            this.schema = schema;
            this.size = size;
        }

        private ConnectException wrong(String what) {
            return new ConnectException("the converter for " + schema.getFieldType() + ": " + what);
        }

        @Override
        public byte[] fromConnectData(String topic, Schema of, Object value) {
            if (value == null) {
                return null;
            }
            if (!(value instanceof Number)) {
                throw wrong("a value of " + value.getClass().getName() + " is no number");
            }
            Number number = (Number) value;
            if (!fits(number)) {
                throw wrong("the value " + number + " is out of its range");
            }
            ByteBuffer out = ByteBuffer.allocate(size);
            switch (schema.getFieldType()) {
                case INT16:
                    return out.putShort(number.shortValue()).array();
                case INT32:
                    return out.putInt(number.intValue()).array();
                case INT64:
                    return out.putLong(number.longValue()).array();
                case FLOAT32:
                    return out.putFloat(number.floatValue()).array();
                default:
                    return out.putDouble(number.doubleValue()).array();
            }
        }

        /** Integers are not cut. */
        private boolean fits(Number number) {
            switch (schema.getFieldType()) {
                case INT16:
                    return number.doubleValue() == number.shortValue();
                case INT32:
                    return number.doubleValue() == number.intValue();
                case INT64:
                    return new BigDecimal(number.toString()).compareTo(BigDecimal.valueOf(number.longValue())) == 0;
                default:
                    return true;
            }
        }

        @Override
        public SchemaAndValue toConnectData(String topic, byte[] bytes) {
            if (bytes == null) {
                return new SchemaAndValue(schema, null);
            }
            if (bytes.length != size) {
                throw wrong(bytes.length + " bytes; it must be " + size);
            }
            ByteBuffer in = ByteBuffer.wrap(bytes);
            switch (schema.getFieldType()) {
                case INT16:
                    return new SchemaAndValue(schema, in.getShort());
                case INT32:
                    return new SchemaAndValue(schema, in.getInt());
                case INT64:
                    return new SchemaAndValue(schema, in.getLong());
                case FLOAT32:
                    return new SchemaAndValue(schema, in.getFloat());
                default:
                    return new SchemaAndValue(schema, in.getDouble());
            }
        }
    }
}
