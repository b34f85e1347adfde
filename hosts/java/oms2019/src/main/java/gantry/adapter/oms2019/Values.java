// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms2019;

import gantry.host.spi.Json;
import gantry.host.spi.SchemaIn;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.Schema;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.Date;
import java.util.List;

/**
 * A payload array and what the worker has for it: one STRING or BYTES field is its bare value; anything else the JSON array
 * of all fields, as the runtime of 2019 wrote it.
 */
final class Values {
    private Values() {
    }

    static boolean isPlain(Schema schema) {
        List<Field> fields = schema == null ? null : schema.getFields();
        if (fields == null || fields.isEmpty()) {
            return true;
        }
        FieldType type = fields.get(0).getType();
        return fields.size() == 1 && (type == FieldType.STRING || type == FieldType.BYTES);
    }

    /** The payload's bytes; null is nil. */
    static byte[] write(Schema schema, Object[] payload) {
        if (isPlain(schema)) {
            return plain(payload == null || payload.length == 0 ? null : payload[0]);
        }
        Object[] values = new Object[schema.getFields().size()];
        for (int i = 0; payload != null && i < Math.min(values.length, payload.length); i++) {
            values[i] = payload[i];
        }
        StringBuilder text = new StringBuilder(64);
        Json.write(values, text);
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] plain(Object value) {
        if (value == null || value instanceof byte[]) {
            return (byte[]) value;
        }
        return value instanceof ByteBuffer ? Json.bytes((ByteBuffer) value) : value.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** The schema for records that come without: one field `value`. */
    static Schema plainSchema(String topic, boolean text) {
        Schema schema = new Schema();
        schema.setName(topic);
        schema.setFields(Collections.singletonList(new Field(0, "value", text ? FieldType.STRING : FieldType.BYTES)));
        return schema;
    }

    static Schema schema(SchemaIn in) {
        Schema schema = new Schema();
        List<Field> fields = new ArrayList<>();
        schema.setName(in.name);
        schema.setDataSource(in.source);
        for (int i = 0; i < in.fieldNames.length; i++) {
            fields.add(new Field(i, in.fieldNames[i], FieldType.values()[in.fieldTypes[i]]));
        }
        schema.setFields(fields);
        return schema;
    }

    /** UTF-8 throughout. Most bodies are ASCII, which one pass tells. */
    static boolean isText(byte[] bytes) {
        int ascii = 0;
        while (bytes != null && ascii < bytes.length && bytes[ascii] >= 0) {
            ascii++;
        }
        if (bytes == null || ascii == bytes.length) {
            return bytes != null;
        }
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, ascii, bytes.length - ascii)); // a new one reports what is wrong
            return true;
        } catch (CharacterCodingException e) {
            return false;
        }
    }

    /** @throws IllegalArgumentException the bytes do not fit the schema */
    static Object[] read(Schema schema, byte[] bytes) {
        List<Field> fields = schema.getFields();
        if (isPlain(schema)) {
            boolean text = !fields.isEmpty() && fields.get(0).getType() == FieldType.STRING;
            return new Object[] {bytes == null ? null : text ? new String(bytes, StandardCharsets.UTF_8) : (Object) bytes};
        }
        Object[] payload = new Object[fields.size()];
        if (bytes == null) {
            return payload;
        }
        Object array = Json.parse(new String(bytes, StandardCharsets.UTF_8));
        if (!(array instanceof List) || ((List<?>) array).size() != payload.length) {
            throw new IllegalArgumentException("a record of " + payload.length + " fields must be a JSON array of as many");
        }
        for (int i = 0; i < payload.length; i++) {
            payload[i] = typed(((List<?>) array).get(i), fields.get(i));
        }
        return payload;
    }

    /** JSON knows fewer types than the API. What does not fit stays as JSON has it, as it was in 2019. */
    private static Object typed(Object value, Field field) {
        if (value instanceof Number) {
            try {
                return number((Number) value, field.getType());
            } catch (ArithmeticException e) {
                throw new IllegalArgumentException("field '" + field.getName() + "' is " + value + ", which is no " + field.getType());
            }
        }
        if (value instanceof String && field.getType() == FieldType.BYTES) {
            try {
                return Base64.getDecoder().decode((String) value);
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException("field '" + field.getName() + "' is no base64: " + e.getMessage());
            }
        }
        return value;
    }

    private static Object number(Number value, FieldType type) {
        switch (type) {
            case INT32:
                return new BigDecimal(value.toString()).intValueExact();
            case INT64:
                return new BigDecimal(value.toString()).longValueExact();
            case BIG_INTEGER:
                return value instanceof BigInteger ? value : value instanceof Long ? BigInteger.valueOf(value.longValue())
                        : new BigDecimal(value.toString()).toBigInteger();
            case FLOAT32:
                return value.floatValue();
            case FLOAT64:
                return value.doubleValue();
            case DATETIME:
                return new Date(value.longValue());
            case STRING:
                return value.toString();
            default:
                return value;
        }
    }
}
