// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Reads MessagePack out of one frame. What does not fit is a {@link ProtocolException}. Belongs to one thread. */
public final class Unpacker {
    private final byte[] bytes;
    private final int end;
    private int at;

    public Unpacker(byte[] bytes, int from, int size) {
        this.bytes = bytes;
        this.at = from;
        this.end = from + size;
    }

    public boolean atEnd() {
        return at == end;
    }

    private ProtocolException wrong(String wanted, int got) {
        return new ProtocolException(String.format("byte %d of a frame of %d: wanted %s, got 0x%02x", at - 1, end, wanted, got));
    }

    private int head() {
        need(1);
        return bytes[at++] & 0xff;
    }

    private void need(int size) {
        if (size < 0 || size > end - at) {
            throw new ProtocolException("a frame of " + end + " bytes ends within an item at " + at);
        }
    }

    private long big(int size) {
        need(size);
        long value = 0;
        for (int i = 0; i < size; i++) {
            value = value << 8 | bytes[at++] & 0xff;
        }
        return value;
    }

    private int count(int size) {
        long value = big(size);
        if (value > end - at) { // each item takes a byte at least
            throw new ProtocolException("a frame of " + end + " bytes cannot hold " + value + " at " + at);
        }
        return (int) value;
    }

    /** Whether the next item is nil; then it is taken. */
    public boolean nil() {
        if (at < end && (bytes[at] & 0xff) == 0xc0) {
            at++;
            return true;
        }
        return false;
    }

    public int array() {
        int head = head();
        if (head >> 4 == 9) {
            return head & 15;
        }
        if (head == 0xdc || head == 0xdd) {
            return count(head == 0xdc ? 2 : 4);
        }
        throw wrong("an array", head);
    }

    public int map() {
        int head = head();
        if (head >> 4 == 8) {
            return head & 15;
        }
        if (head == 0xde || head == 0xdf) {
            return count(head == 0xde ? 2 : 4);
        }
        throw wrong("a map", head);
    }

    public long number() {
        int head = head();
        if (head < 0x80) {
            return head;
        }
        switch (head) {
            case 0xcc: case 0xcd: case 0xce:
                return big(1 << head - 0xcc);
            case 0xcf: {
                long value = big(8);
                if (value < 0) {
                    throw wrong("a number below 2^63", head);
                }
                return value;
            }
            case 0xd0:
                return (byte) big(1);
            case 0xd1:
                return (short) big(2);
            case 0xd2:
                return (int) big(4);
            case 0xd3:
                return big(8);
            default:
                if (head >= 0xe0) {
                    return (byte) head;
                }
                throw wrong("a number", head);
        }
    }

    public boolean bool() {
        int head = head();
        if (head != 0xc2 && head != 0xc3) {
            throw wrong("a boolean", head);
        }
        return head == 0xc3;
    }

    private int size() {
        int head = head();
        int size;
        if (head >> 5 == 5) {
            size = head & 31;
        } else if (head == 0xd9 || head == 0xc4) {
            size = count(1);
        } else if (head == 0xda || head == 0xc5) {
            size = count(2);
        } else if (head == 0xdb || head == 0xc6) {
            size = count(4);
        } else {
            throw wrong("a text or bytes", head);
        }
        need(size);
        return size;
    }

    /** Bytes or a text, as bytes of their own; nil is null. */
    public byte[] bytes() {
        if (nil()) {
            return null;
        }
        int size = size();
        at += size;
        return Arrays.copyOfRange(bytes, at - size, at);
    }

    /** A text or bytes, as text; nil is null. */
    public String text() {
        if (nil()) {
            return null;
        }
        int size = size();
        at += size;
        return new String(bytes, at - size, size, StandardCharsets.UTF_8);
    }

    /** A map of texts in the order in which it came. */
    public Map<String, String> texts() {
        int count = map();
        Map<String, String> map = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            String key = text();
            map.put(key, text());
        }
        return map;
    }

    /** Pass over one item, whatever it is. */
    public void skip() {
        for (long left = 1; left > 0; left--) {
            int head = head();
            if (head < 0x80 || head >= 0xe0 || head == 0xc0 || head == 0xc2 || head == 0xc3) {
                continue;
            }
            at--;
            if (head >> 4 == 9 || head == 0xdc || head == 0xdd) {
                left += array();
            } else if (head >> 4 == 8 || head == 0xde || head == 0xdf) {
                left += 2L * map();
            } else if (head >> 5 == 5 || head >= 0xd9 && head <= 0xdb || head >= 0xc4 && head <= 0xc6) {
                int size = size(); // first, for it moves `at` itself
                at += size;
            } else if (head >= 0xcc && head <= 0xd3) {
                need(1 + (1 << (head & 3)));
                at += 1 + (1 << (head & 3));
            } else if (head == 0xca || head == 0xcb) {
                need(head == 0xca ? 5 : 9);
                at += head == 0xca ? 5 : 9;
            } else {
                throw wrong("an item", head);
            }
        }
    }

    /** Pass over the last items of an array, of which {@code read} have been read. */
    public void skipFrom(int read, int count) {
        for (int i = read; i < count; i++) {
            skip();
        }
    }
}
