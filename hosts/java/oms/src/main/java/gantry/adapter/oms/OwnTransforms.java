// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.Transform;
import io.openmessaging.connector.api.data.ConnectRecord;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SchemaBuilder;
import io.openmessaging.connector.api.data.Struct;
import io.openmessaging.connector.api.errors.ConnectException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

/** The transforms that the runtime had in a jar of its own, by their class names (`…connect.transforms.NAME$Key` or `$Value`). */
final class OwnTransforms {
    private static final String PACKAGE = "org.apache.rocketmq.connect.transforms.";

    private OwnTransforms() {
    }

    /** @return null when it is none of them, or when the plugin brings the class along */
    static Transform<ConnectRecord> make(String className, ClassLoader loader) {
        if (!className.startsWith(PACKAGE) || loader.getResource(className.replace('.', '/') + ".class") != null) {
            return null;
        }
        String name = className.substring(PACKAGE.length());
        boolean isKey = name.endsWith("$Key");
        if (!isKey && !name.endsWith("$Value")) {
            return null;
        }
        switch (name.substring(0, name.indexOf('$'))) {
            case "ChangeCase":
                return new ChangeCase(isKey);
            case "ExtractNestedField":
                return new ExtractNestedField(isKey);
            case "PatternFilter":
                return new PatternFilter(isKey);
            case "PatternRename":
                return new PatternRename(isKey);
            case "SetMaximumPrecision":
                return new SetMaximumPrecision(isKey);
            case "SetNull":
                return new SetNull(isKey);
            default:
                return null;
        }
    }

    /** One side of the record. */
    private abstract static class Side implements Transform<ConnectRecord> {
        private final boolean isKey;

        Side(boolean isKey) {
            this.isKey = isKey;
        }

        @Override
        public void start(KeyValue config) {
        }

        @Override
        public void stop() {
        }

        Object value(ConnectRecord record) {
            return isKey ? record.getKey() : record.getData();
        }

        void set(ConnectRecord record, Schema schema, Object value) {
            if (isKey) {
                record.setKeySchema(schema);
                record.setKey(value);
            } else {
                record.setSchema(schema);
                record.setData(value);
            }
        }

        Schema schema(ConnectRecord record) {
            return isKey ? record.getKeySchema() : record.getSchema();
        }

        ConnectException unsupported(Object value) {
            return new ConnectException("unsupported type for " + getClass().getSimpleName() + ": "
                    + (value == null ? "null" : value.getClass().getName()));
        }

        static String need(KeyValue config, String key) {
            String value = config.getString(key);
            if (value == null || value.isEmpty()) {
                throw new IllegalArgumentException("the setting '" + key + "' of a transform is missing");
            }
            return value;
        }
    }

    /** The struct with other names for its fields. */
    private static Struct renamed(Struct struct, UnaryOperator<String> name) {
        SchemaBuilder builder = SchemaBuilder.struct().name(struct.schema().getName());
        for (Field field : struct.schema().getFields()) {
            builder.field(name.apply(field.getName()), field.getSchema());
        }
        Schema schema = builder.build();
        schema.setOptional(struct.schema().isOptional());
        Struct made = new Struct(schema);
        for (Field field : struct.schema().getFields()) {
            made.put(name.apply(field.getName()), struct.get(field));
        }
        return made;
    }

    private static final class ChangeCase extends Side {
        private UnaryOperator<String> rename;

        ChangeCase(boolean isKey) {
            super(isKey);
        }

        @Override
        public void start(KeyValue config) {
            String from = form(need(config, "from"), "from");
            String to = form(need(config, "to"), "to");
            rename = name -> join(words(name, from), to);
        }

        private static String form(String name, String key) {
            List<String> known = Arrays.asList("LOWER_CAMEL", "LOWER_HYPHEN", "LOWER_UNDERSCORE", "UPPER_CAMEL", "UPPER_UNDERSCORE");
            if (!known.contains(name)) {
                throw new IllegalArgumentException("'" + key + "' of a transform is '" + name + "'; it must be one of " + known);
            }
            return name;
        }

        private static String[] words(String name, String form) {
            return form.endsWith("CAMEL") ? name.split("(?=[A-Z])") : name.split(form.endsWith("HYPHEN") ? "-" : "_");
        }

        private static String join(String[] words, String form) {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < words.length; i++) {
                String word = words[i].toLowerCase(Locale.ROOT);
                if (form.endsWith("CAMEL")) {
                    boolean upper = i > 0 || form.startsWith("UPPER");
                    text.append(upper && !word.isEmpty() ? word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1) : word);
                } else {
                    text.append(i == 0 ? "" : form.endsWith("HYPHEN") ? "-" : "_");
                    text.append(form.startsWith("UPPER") ? word.toUpperCase(Locale.ROOT) : word);
                }
            }
            return text.toString();
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            Object value = value(record);
            if (!(value instanceof Struct)) {
                throw unsupported(value);
            }
            Struct made = renamed((Struct) value, rename);
            set(record, made.schema(), made);
            return record;
        }
    }

    private static final class ExtractNestedField extends Side {
        private String outer;
        private String inner;

        ExtractNestedField(boolean isKey) {
            super(isKey);
        }

        @Override
        public void start(KeyValue config) {
            outer = need(config, "input.outer.field.name");
            inner = need(config, "input.inner.field.name"); // the name of the output, too: output.field.name never had an effect
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            Object value = value(record);
            if (value instanceof Struct) {
                Struct struct = (Struct) value;
                Struct nested = struct.getStruct(outer);
                if (nested == null) {
                    return record;
                }
                SchemaBuilder builder = SchemaBuilder.struct().name(struct.schema().getName());
                for (Field field : struct.schema().getFields()) {
                    builder.field(field.getName(), field.getSchema());
                }
                builder.field(inner, nested.schema().getField(inner).getSchema());
                Schema schema = builder.build();
                Struct made = new Struct(schema);
                for (Field field : struct.schema().getFields()) {
                    made.put(field.getName(), struct.get(field));
                }
                made.put(inner, nested.get(inner));
                set(record, schema, made);
            } else if (value instanceof Map) {
                Map<Object, Object> made = new LinkedHashMap<>((Map<?, ?>) value);
                Object nested = made.get(outer);
                if (nested instanceof Map) {
                    made.put(inner, ((Map<?, ?>) nested).get(inner));
                }
                set(record, schema(record), made);
            } else {
                throw unsupported(value);
            }
            return record;
        }
    }

    private static final class PatternFilter extends Side {
        private Pattern pattern;
        private Set<String> fields;

        PatternFilter(boolean isKey) {
            super(isKey);
        }

        @Override
        public void start(KeyValue config) {
            pattern = Pattern.compile(need(config, "pattern"));
            fields = new HashSet<>(Arrays.asList(need(config, "fields").split("\\s*,\\s*")));
        }

        private boolean matches(Object text) {
            return text instanceof String && pattern.matcher((String) text).matches();
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            Object value = value(record);
            if (value instanceof Struct) {
                Struct struct = (Struct) value;
                for (Field field : struct.schema().getFields()) {
                    if (fields.contains(field.getName()) && field.getSchema().getFieldType() == FieldType.STRING && matches(struct.get(field))) {
                        return null;
                    }
                }
            } else if (value instanceof Map) {
                for (String field : fields) {
                    if (matches(((Map<?, ?>) value).get(field))) {
                        return null;
                    }
                }
            } else {
                throw unsupported(value);
            }
            return record;
        }
    }

    private static final class PatternRename extends Side {
        private UnaryOperator<String> rename;

        PatternRename(boolean isKey) {
            super(isKey);
        }

        @Override
        public void start(KeyValue config) {
            Pattern pattern = Pattern.compile(need(config, "field.pattern"), flags(config.getString("field.pattern.flags")));
            String replacement = config.getString("field.replacement") == null ? "" : config.getString("field.replacement");
            rename = name -> pattern.matcher(name).replaceAll(replacement);
        }

        private static int flags(String names) {
            int flags = 0;
            for (String name : names == null || names.trim().isEmpty() ? new String[0] : names.trim().split("\\s*,\\s*")) {
                try {
                    flags |= Pattern.class.getField(name).getInt(null);
                } catch (ReflectiveOperationException e) {
                    throw new IllegalArgumentException("'field.pattern.flags' names '" + name + "', which is no flag of a pattern");
                }
            }
            return flags;
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            Object value = value(record);
            if (value instanceof Struct) {
                Struct made = renamed((Struct) value, rename);
                set(record, made.schema(), made);
            } else if (value instanceof Map) {
                Map<Object, Object> made = new LinkedHashMap<>();
                ((Map<?, ?>) value).forEach((key, item) -> made.put(key instanceof String ? rename.apply((String) key) : key, item));
                set(record, schema(record), made);
            } else {
                throw unsupported(value);
            }
            return record;
        }
    }

    private static final class SetMaximumPrecision extends Side {
        private static final String PRECISION = "connect.decimal.precision";
        private int max;

        SetMaximumPrecision(boolean isKey) {
            super(isKey);
        }

        @Override
        public void start(KeyValue config) {
            max = Integer.parseInt(need(config, "precision.max").trim());
        }

        private boolean isOver(Schema schema) {
            return schema.getParameters() != null && schema.getParameters().containsKey(PRECISION)
                    && Integer.parseInt(schema.getParameters().get(PRECISION)) > max;
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            Object value = value(record);
            if (!(value instanceof Struct)) {
                throw unsupported(value);
            }
            Struct struct = (Struct) value;
            List<Field> fields = new ArrayList<>();
            for (Field field : struct.schema().getFields()) {
                Schema schema = field.getSchema();
                if (isOver(schema)) {
                    Map<String, String> parameters = new LinkedHashMap<>(schema.getParameters());
                    parameters.put(PRECISION, Integer.toString(max));
                    schema = new Schema(schema.getName(), schema.getFieldType(), schema.isOptional(), schema.getDefaultValue(),
                            schema.getVersion(), schema.getDoc(), schema.getFields(), schema.getKeySchema(), schema.getValueSchema(), parameters);
                }
                fields.add(new Field(field.getIndex(), field.getName(), schema));
            }
            Schema old = struct.schema();
            Schema schema = new Schema(old.getName(), old.getFieldType(), old.isOptional(), old.getDefaultValue(), old.getVersion(), fields);
            Struct made = new Struct(schema);
            made.setValues(struct.getValues());
            set(record, schema, made);
            return record;
        }
    }

    /** Key: null it is. Value: did nothing in the runtime, by mistake; here it does what it says. */
    private static final class SetNull extends Side {
        SetNull(boolean isKey) {
            super(isKey);
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            set(record, null, null);
            return record;
        }
    }
}
