// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import gantry.host.spi.Json;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.RecordConverter;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SchemaAndValue;
import io.openmessaging.connector.api.data.SchemaBuilder;
import io.openmessaging.connector.api.data.Struct;
import io.openmessaging.connector.api.data.logical.Date;
import io.openmessaging.connector.api.data.logical.Decimal;
import io.openmessaging.connector.api.data.logical.Time;
import io.openmessaging.connector.api.data.logical.Timestamp;
import io.openmessaging.connector.api.errors.ConnectException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The runtime's JsonConverter: {"schema":…,"payload":…}, or the bare payload with schemas.enable=false. Members stand in
 * hash order as there. Belongs to the task's thread.
 */
final class JsonRecords implements RecordConverter {
    private static final Map<String, FieldType> TYPES = new HashMap<>();
    private static final Map<FieldType, String> NAMES = new HashMap<>();

    static {
        String[] names = {"int8", "int16", "int32", "int64", "float", "double", "boolean", "string", "bytes", "array", "map", "struct"};
        FieldType[] types = {FieldType.INT8, FieldType.INT16, FieldType.INT32, FieldType.INT64, FieldType.FLOAT32, FieldType.FLOAT64,
            FieldType.BOOLEAN, FieldType.STRING, FieldType.BYTES, FieldType.ARRAY, FieldType.MAP, FieldType.STRUCT};
        for (int i = 0; i < names.length; i++) {
            TYPES.put(names[i], types[i]);
            NAMES.put(types[i], names[i]);
        }
    }

    private static final int DIGITS_MAX = 10_000;

    private boolean envelope = true;
    private boolean numericDecimals;

    @Override
    public void configure(Map<String, ?> config) {
        Object schemas = config.get("schemas.enable");
        envelope = schemas == null || Boolean.parseBoolean(schemas.toString());
        Object decimals = config.get("decimal.format");
        if (decimals != null && !decimals.toString().matches("(?i)base64|numeric")) {
            throw new IllegalArgumentException("decimal.format is '" + decimals + "'; it must be BASE64 or NUMERIC");
        }
        numericDecimals = decimals != null && decimals.toString().equalsIgnoreCase("numeric");
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        if (schema == null && value == null) {
            return null;
        }
        Object json = toJson(schema, value);
        if (envelope) {
            Map<String, Object> outer = new HashMap<>();
            outer.put("schema", schema == null ? null : schemaJson(schema));
            outer.put("payload", json);
            json = outer;
        }
        StringBuilder text = new StringBuilder(128);
        Json.write(json, text);
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private Map<String, Object> schemaJson(Schema schema) {
        Map<String, Object> json = new HashMap<>();
        String type = NAMES.get(schema.getFieldType());
        if (type == null) {
            throw new ConnectException("JsonConverter: a schema of type " + schema.getFieldType() + " has no form in JSON");
        }
        json.put("type", type);
        json.put("optional", schema.isOptional());
        put(json, "name", schema.getName());
        put(json, "version", schema.getVersion());
        put(json, "doc", schema.getDoc());
        put(json, "parameters", schema.getParameters() == null || schema.getParameters().isEmpty() ? null : new HashMap<>(schema.getParameters()));
        if (schema.getDefaultValue() != null) {
            json.put("default", toJson(schema, schema.getDefaultValue()));
        }
        if (schema.getFieldType() == FieldType.ARRAY) {
            json.put("items", schemaJson(schema.getValueSchema()));
        } else if (schema.getFieldType() == FieldType.MAP) {
            json.put("keys", schemaJson(schema.getKeySchema()));
            json.put("values", schemaJson(schema.getValueSchema()));
        } else if (schema.getFieldType() == FieldType.STRUCT) {
            List<Object> fields = new ArrayList<>();
            for (Field field : schema.getFields()) {
                Map<String, Object> one = schemaJson(field.getSchema());
                one.put("field", field.getName());
                fields.add(one);
            }
            json.put("fields", fields);
        }
        return json;
    }

    private static void put(Map<String, Object> json, String name, Object value) {
        if (value != null) {
            json.put(name, value);
        }
    }

    private Object toJson(Schema schema, Object value) {
        if (value == null) {
            if (schema == null || schema.isOptional()) {
                return null;
            }
            if (schema.getDefaultValue() != null) {
                return toJson(schema, schema.getDefaultValue());
            }
            throw new ConnectException("JsonConverter: a required " + schema.getFieldType() + " is null");
        }
        if (schema != null && schema.getName() != null) {
            Object logical = logicalToJson(schema, value);
            if (logical != null) {
                return logical;
            }
        }
        if (value instanceof Struct) {
            Struct struct = (Struct) value;
            Map<String, Object> json = new HashMap<>();
            for (Field field : struct.schema().getFields()) {
                json.put(field.getName(), toJson(field.getSchema(), struct.get(field)));
            }
            return json;
        }
        if (value instanceof List) {
            List<Object> items = new ArrayList<>();
            for (Object item : (List<?>) value) {
                items.add(toJson(schema == null ? null : schema.getValueSchema(), item));
            }
            return items;
        }
        return value instanceof Map ? mapToJson(schema, (Map<?, ?>) value) : value;
    }

    /** Maps whose keys are not texts are arrays of pairs. */
    private Object mapToJson(Schema schema, Map<?, ?> map) {
        boolean texts = true;
        for (Object key : map.keySet()) {
            texts &= key instanceof String;
        }
        Schema keys = schema == null ? null : schema.getKeySchema();
        Schema values = schema == null ? null : schema.getValueSchema();
        texts &= keys == null || keys.getFieldType() == FieldType.STRING;
        Map<String, Object> object = new HashMap<>();
        List<Object> pairs = new ArrayList<>();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            Object value = toJson(values, entry.getValue());
            if (texts) {
                object.put((String) entry.getKey(), value);
            } else {
                pairs.add(new Object[] {toJson(keys, entry.getKey()), value});
            }
        }
        return texts ? object : pairs;
    }

    private Object logicalToJson(Schema schema, Object value) {
        if (schema.getName().equals(Decimal.LOGICAL_NAME)) {
            if (numericDecimals) {
                return value instanceof BigDecimal ? value : Decimal.toLogical(schema, bytes(value));
            }
            return value instanceof BigDecimal ? Decimal.fromLogical(schema, (BigDecimal) value) : null;
        }
        if (!(value instanceof java.util.Date)) {
            return null;
        }
        java.util.Date date = (java.util.Date) value;
        if (schema.getName().equals(Date.LOGICAL_NAME)) {
            return Date.fromLogical(schema, date);
        }
        if (schema.getName().equals(Time.LOGICAL_NAME)) {
            return Time.fromLogical(schema, date);
        }
        return schema.getName().equals(Timestamp.LOGICAL_NAME) ? Timestamp.fromLogical(schema, date) : null;
    }

    private static byte[] bytes(Object value) {
        return value instanceof ByteBuffer ? Json.bytes((ByteBuffer) value) : (byte[]) value;
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] bytes) {
        if (bytes == null || bytes.length == 0) {
            return SchemaAndValue.NULL;
        }
        Object json;
        try {
            json = Json.parseExact(new String(bytes, StandardCharsets.UTF_8));
        } catch (IllegalArgumentException e) {
            throw new ConnectException("JsonConverter: the message is " + e.getMessage());
        }
        if (!envelope) {
            return new SchemaAndValue(null, rounded(json));
        }
        if (!(json instanceof Map) || ((Map<?, ?>) json).size() != 2 || !((Map<?, ?>) json).containsKey("schema")
                || !((Map<?, ?>) json).containsKey("payload")) {
            throw new ConnectException("JsonConverter: the message is no {\"schema\":..,\"payload\":..}; for plain JSON set schemas.enable=false");
        }
        Map<?, ?> outer = (Map<?, ?>) json;
        Schema schema = outer.get("schema") == null ? null : schema(outer.get("schema"));
        return new SchemaAndValue(schema, value(schema, outer.get("payload")));
    }

    private Schema schema(Object json) {
        if (!(json instanceof Map)) {
            throw new ConnectException("JsonConverter: a schema that is no object");
        }
        Map<?, ?> map = (Map<?, ?>) json;
        FieldType type = TYPES.get(String.valueOf(map.get("type")));
        if (type == null) {
            throw new ConnectException("JsonConverter: a schema of type '" + map.get("type") + "'");
        }
        Schema made;
        if (type == FieldType.STRUCT) {
            SchemaBuilder builder = SchemaBuilder.struct();
            for (Object field : list(map.get("fields"))) {
                builder.field(String.valueOf(((Map<?, ?>) field).get("field")), schema(field));
            }
            made = builder.build();
        } else if (type == FieldType.ARRAY) {
            made = SchemaBuilder.array(schema(map.get("items"))).build();
        } else if (type == FieldType.MAP) {
            made = SchemaBuilder.map(schema(map.get("keys")), schema(map.get("values"))).build();
        } else {
            made = new SchemaBuilder(type).build();
        }
        made.setOptional(Boolean.TRUE.equals(map.get("optional")));
        made.setName((String) map.get("name"));
        made.setDoc((String) map.get("doc"));
        if (map.get("version") instanceof Long) {
            made.setVersion(((Long) map.get("version")).intValue());
        }
        if (map.get("parameters") instanceof Map) {
            Map<String, String> parameters = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) map.get("parameters")).entrySet()) {
                parameters.put(String.valueOf(entry.getKey()), String.valueOf(entry.getValue()));
            }
            made.setParameters(parameters);
        }
        if (map.get("default") != null) {
            made.setDefaultValue(value(made, map.get("default")));
        }
        return made;
    }

    private static List<?> list(Object json) {
        if (!(json instanceof List)) {
            throw new ConnectException("JsonConverter: an array is missing");
        }
        return (List<?>) json;
    }

    private Object value(Schema schema, Object json) {
        if (schema == null || json == null) {
            return json == null && schema != null ? schema.getDefaultValue() : rounded(json);
        }
        try {
            return logical(schema, typed(schema, json));
        } catch (ClassCastException | IllegalArgumentException | ArithmeticException e) {
            String text = String.valueOf(json);
            throw new ConnectException("JsonConverter: the value " + (text.length() > 60 ? text.substring(0, 60) + "..." : text)
                    + " does not fit its schema " + schema.getFieldType() + ": " + e.getMessage());
        }
    }

    private Object field(Field field, Object json) {
        try {
            return value(field.getSchema(), json);
        } catch (ConnectException e) {
            throw new ConnectException("field '" + field.getName() + "': " + e.getMessage());
        }
    }

    /** A fraction, or what is out of range then, is no value of an integer's field: nothing is cut. */
    private static BigDecimal whole(Object json) {
        return json instanceof BigDecimal ? (BigDecimal) json : new BigDecimal(((Number) json).toString());
    }

    /** A struct takes a logical field by its Java class only. */
    private static Object logical(Schema schema, Object value) {
        String name = schema.getName() == null ? "" : schema.getName();
        if (name.equals(Decimal.LOGICAL_NAME)) {
            return Decimal.toLogical(schema, (byte[]) value);
        }
        if (name.equals(Date.LOGICAL_NAME)) {
            return Date.toLogical(schema, (Integer) value);
        }
        if (name.equals(Time.LOGICAL_NAME)) {
            return Time.toLogical(schema, (Integer) value);
        }
        return name.equals(Timestamp.LOGICAL_NAME) ? Timestamp.toLogical(schema, (Long) value) : value;
    }

    /** Decimals are Double, but where a schema says that they are decimals. */
    @SuppressWarnings("unchecked")
    private static Object rounded(Object json) {
        if (json instanceof Map) {
            ((Map<String, Object>) json).replaceAll((name, item) -> rounded(item));
        } else if (json instanceof List) {
            ((List<Object>) json).replaceAll(JsonRecords::rounded);
        }
        return json instanceof BigDecimal ? (Object) ((BigDecimal) json).doubleValue() : json;
    }

    /** With the scale of the schema, exactly. */
    private static BigDecimal decimal(Schema schema, Number json) {
        int scale = Integer.parseInt(schema.getParameters().get(Decimal.SCALE_FIELD));
        BigDecimal value = new BigDecimal(json.toString());
        // 1e999999999 is short as a text alone
        if (Math.abs((long) scale) > DIGITS_MAX || Math.abs((long) value.scale()) > DIGITS_MAX) {
            throw new IllegalArgumentException("a decimal of more than " + DIGITS_MAX + " digits");
        }
        return value.setScale(scale);
    }

    private Object typed(Schema schema, Object given) {
        Object json = schema.getFieldType() == FieldType.BYTES || !(given instanceof BigDecimal) ? given : rounded(given);
        switch (schema.getFieldType()) {
            case INT8:
                return whole(given).byteValueExact();
            case INT16:
                return whole(given).shortValueExact();
            case INT32:
                return whole(given).intValueExact();
            case INT64:
                return whole(given).longValueExact();
            case FLOAT32:
                return ((Number) json).floatValue();
            case FLOAT64:
                return ((Number) json).doubleValue();
            case BOOLEAN:
                return (Boolean) json;
            case STRING:
                return (String) json;
            case BYTES:
                if (json instanceof Number) { // a decimal as a number
                    return Decimal.fromLogical(schema, decimal(schema, (Number) json));
                }
                return Base64.getDecoder().decode((String) json);
            case ARRAY: {
                List<Object> items = new ArrayList<>();
                for (Object item : list(json)) {
                    items.add(value(schema.getValueSchema(), item));
                }
                return items;
            }
            case MAP: {
                Map<Object, Object> map = new LinkedHashMap<>();
                if (json instanceof Map) {
                    ((Map<?, ?>) json).forEach((key, item) -> map.put(key, value(schema.getValueSchema(), item)));
                } else {
                    for (Object pair : list(json)) {
                        map.put(value(schema.getKeySchema(), list(pair).get(0)), value(schema.getValueSchema(), list(pair).get(1)));
                    }
                }
                return map;
            }
            default: {
                Struct struct = new Struct(schema);
                for (Field field : schema.getFields()) {
                    struct.put(field, field(field, ((Map<?, ?>) json).get(field.getName())));
                }
                return struct;
            }
        }
    }
}
