// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** JSON of positions and of 2019 payloads; own code, so that no library lies between a plugin and its own. Thread: any. */
public final class Json {
    private static final int MAX_DEPTH = 200;

    private Json() {
    }

    /**
     * A partition or position as bytes. Members stand in the order that Java's HashMap gives them, as in the stores and
     * topics of the Java workers: equal maps make equal bytes, and bytes that were taken over are found again.
     */
    public static byte[] position(Map<?, ?> map) {
        Map<String, Object> sorted = new TreeMap<>();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            sorted.put(String.valueOf(entry.getKey()), entry.getValue());
        }
        StringBuilder text = new StringBuilder(64);
        write(new HashMap<>(sorted), text);
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** @return null for bytes that are no JSON object */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        try {
            Object value = parse(new String(bytes, StandardCharsets.UTF_8));
            return value instanceof Map ? (Map<String, Object>) value : null;
        } catch (IllegalArgumentException e) {
            return null;
        }
    }

    public static void write(Object value, StringBuilder out) {
        if (value == null) {
            out.append("null");
        } else if (value instanceof CharSequence || value instanceof Character) {
            string(value.toString(), out);
        } else if (value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Double && !finite((Double) value) || value instanceof Float && !finite((Float) value)) {
            out.append("null");
        } else if (value instanceof Number) {
            out.append(value);
        } else if (value instanceof Map) {
            object((Map<?, ?>) value, out);
        } else if (value instanceof Iterable) {
            array((Iterable<?>) value, out);
        } else if (value instanceof Object[]) {
            array(java.util.Arrays.asList((Object[]) value), out);
        } else if (value instanceof byte[]) {
            out.append('"').append(Base64.getEncoder().encodeToString((byte[]) value)).append('"');
        } else if (value instanceof ByteBuffer) {
            out.append('"').append(Base64.getEncoder().encodeToString(bytes((ByteBuffer) value))).append('"');
        } else if (value instanceof Date) {
            out.append(((Date) value).getTime());
        } else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<>();
            for (int i = 0; i < java.lang.reflect.Array.getLength(value); i++) {
                items.add(java.lang.reflect.Array.get(value, i));
            }
            array(items, out);
        } else {
            string(value.toString(), out);
        }
    }

    private static boolean finite(double value) {
        return !Double.isNaN(value) && !Double.isInfinite(value);
    }

    /** What is left in the buffer, which stays as it is. */
    public static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    private static void object(Map<?, ?> map, StringBuilder out) {
        char before = '{';
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            out.append(before);
            string(String.valueOf(entry.getKey()), out);
            out.append(':');
            write(entry.getValue(), out);
            before = ',';
        }
        out.append(before == '{' ? "{}" : "}");
    }

    private static void array(Iterable<?> items, StringBuilder out) {
        char before = '[';
        for (Object item : items) {
            out.append(before);
            write(item, out);
            before = ',';
        }
        out.append(before == '[' ? "[]" : "]");
    }

    private static void string(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"': case '\\':
                    out.append('\\').append(c);
                    break;
                case '\b':
                    out.append("\\b");
                    break;
                case '\t':
                    out.append("\\t");
                    break;
                case '\n':
                    out.append("\\n");
                    break;
                case '\f':
                    out.append("\\f");
                    break;
                case '\r':
                    out.append("\\r");
                    break;
                default:
                    if (c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x2029) { // as fastjson 1.2 does
                        out.append(String.format("\\u%04X", (int) c));
                    } else {
                        out.append(c);
                    }
            }
        }
        out.append('"');
    }

    /** Whole numbers become Long (BigInteger when too large), others Double. @throws IllegalArgumentException with the place */
    public static Object parse(String text) {
        return parse(new Parser(text, false));
    }

    /** The same, but others become BigDecimal. Beware of their exponents: what makes a whole number of them may need all memory. */
    public static Object parseExact(String text) {
        return parse(new Parser(text, true));
    }

    private static Object parse(Parser parser) {
        Object value = parser.value(0);
        parser.blanks();
        if (parser.at < parser.text.length()) {
            throw parser.wrong("the end");
        }
        return value;
    }

    private static final class Parser {
        private final String text;
        private final boolean exact;
        private int at;

        Parser(String text, boolean exact) {
            this.text = text;
            this.exact = exact;
        }

        IllegalArgumentException wrong(String wanted) {
            return new IllegalArgumentException("no JSON: wanted " + wanted + " at character " + at);
        }

        void blanks() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private char next() {
            if (at >= text.length()) {
                throw wrong("more");
            }
            return text.charAt(at++);
        }

        private boolean take(char wanted) {
            blanks();
            if (at < text.length() && text.charAt(at) == wanted) {
                at++;
                return true;
            }
            return false;
        }

        private Object word(String word, Object value) {
            if (!text.startsWith(word, at)) {
                throw wrong("a value");
            }
            at += word.length();
            return value;
        }

        Object value(int depth) {
            if (depth > MAX_DEPTH) {
                throw wrong("less depth");
            }
            blanks();
            char c = at < text.length() ? text.charAt(at) : 0;
            switch (c) {
                case '{':
                    return object(depth);
                case '[':
                    return array(depth);
                case '"':
                    return string();
                case 't':
                    return word("true", Boolean.TRUE);
                case 'f':
                    return word("false", Boolean.FALSE);
                case 'n':
                    return word("null", null);
                default:
                    return number();
            }
        }

        private Map<String, Object> object(int depth) {
            Map<String, Object> map = new LinkedHashMap<>();
            at++;
            if (take('}')) {
                return map;
            }
            do {
                blanks();
                if (at >= text.length() || text.charAt(at) != '"') {
                    throw wrong("a name");
                }
                String name = string();
                if (!take(':')) {
                    throw wrong("':'");
                }
                map.put(name, value(depth + 1));
            } while (take(','));
            if (!take('}')) {
                throw wrong("'}'");
            }
            return map;
        }

        private List<Object> array(int depth) {
            List<Object> items = new ArrayList<>();
            at++;
            if (take(']')) {
                return items;
            }
            do {
                items.add(value(depth + 1));
            } while (take(','));
            if (!take(']')) {
                throw wrong("']'");
            }
            return items;
        }

        private String string() {
            StringBuilder out = new StringBuilder();
            at++;
            for (char c = next(); c != '"'; c = next()) {
                if (c != '\\') {
                    out.append(c);
                    continue;
                }
                char escaped = next();
                int index = "\"\\/bfnrt".indexOf(escaped);
                if (index >= 0) {
                    out.append("\"\\/\b\f\n\r\t".charAt(index));
                } else if (escaped == 'u' && at + 4 <= text.length()) {
                    try {
                        out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    } catch (NumberFormatException e) {
                        throw wrong("four hex digits");
                    }
                    at += 4;
                } else {
                    throw wrong("an escape");
                }
            }
            return out.toString();
        }

        private Object number() {
            int from = at;
            boolean whole = true;
            while (at < text.length() && "+-0123456789.eE".indexOf(text.charAt(at)) >= 0) {
                whole &= ".eE".indexOf(text.charAt(at)) < 0;
                at++;
            }
            String digits = text.substring(from, at);
            try {
                if (!whole) {
                    BigDecimal value = new BigDecimal(digits);
                    return exact ? (Object) value : (Object) value.doubleValue();
                }
                BigInteger value = new BigInteger(digits);
                return value.bitLength() < 64 ? (Object) value.longValue() : value;
            } catch (NumberFormatException e) {
                at = from;
                throw wrong("a value");
            }
        }
    }
}
