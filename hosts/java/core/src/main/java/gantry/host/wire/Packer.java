// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;

/**
 * One frame in the making: MessagePack in a buffer that grows, behind four bytes for the length.
 *
 * <p>An own writer, so that no library lies in the way of a plugin's classes. A packer belongs to one thread; it is
 * emptied by {@link #begin} and used again.
 */
public final class Packer {
    /** Bytes before the frame's first one. */
    static final int HEAD = 4;

    private byte[] bytes;
    private int length;

    public Packer(int size) {
        bytes = new byte[Math.max(size, 64)];
        length = HEAD;
    }

    /** Start a frame: its type, its channel and {@code more} further items. */
    public Packer begin(int type, long channel, int more) {
        length = HEAD;
        return array(more + 2).number(type).number(channel);
    }

    /** Nothing in it, not even a type. For pieces that go into another packer. */
    public Packer clear() {
        length = HEAD;
        return this;
    }

    public byte[] buffer() {
        return bytes;
    }

    /** Where the content begins in {@link #buffer()}. */
    public int start() {
        return HEAD;
    }

    /** Bytes of content. */
    public int size() {
        return length - HEAD;
    }

    /** Forget what came after {@code size} bytes. */
    public void cut(int size) {
        length = HEAD + size;
    }

    private void room(int more) {
        if (bytes.length - length < more) {
            // twice as much each time, but not for the huge: a record of 40 MiB should not take 128
            long wanted = Math.max(bytes.length + (long) Math.min(bytes.length, 4 << 20), (long) length + more);
            bytes = Arrays.copyOf(bytes, (int) Math.min(wanted, Integer.MAX_VALUE - 16));
        }
    }

    private void put16(int value) {
        bytes[length++] = (byte) (value >> 8);
        bytes[length++] = (byte) value;
    }

    private void put32(int value) {
        put16(value >> 16);
        put16(value);
    }

    public Packer nil() {
        room(1);
        bytes[length++] = (byte) 0xc0;
        return this;
    }

    public Packer bool(boolean value) {
        room(1);
        bytes[length++] = (byte) (value ? 0xc3 : 0xc2);
        return this;
    }

    public Packer number(long value) {
        room(9);
        if (value >= -32 && value < 128) {
            bytes[length++] = (byte) value;
        } else if (value >= 0 && value < 1 << 16) {
            bytes[length++] = (byte) 0xcd;
            put16((int) value);
        } else if (value >= Integer.MIN_VALUE && value <= Integer.MAX_VALUE) {
            bytes[length++] = (byte) 0xd2;
            put32((int) value);
        } else {
            bytes[length++] = (byte) 0xd3;
            put32((int) (value >> 32));
            put32((int) value);
        }
        return this;
    }

    public Packer array(int count) {
        room(5);
        if (count < 16) {
            bytes[length++] = (byte) (0x90 | count);
        } else if (count < 1 << 16) {
            bytes[length++] = (byte) 0xdc;
            put16(count);
        } else {
            bytes[length++] = (byte) 0xdd;
            put32(count);
        }
        return this;
    }

    /** An array whose count is not known yet; the place for {@link #setCount}. */
    public int openArray() {
        room(5);
        bytes[length++] = (byte) 0xdd;
        put32(0);
        return length - 4;
    }

    public void setCount(int place, int count) {
        int end = length;
        length = place;
        put32(count);
        length = end;
    }

    public Packer map(int count) {
        room(5);
        if (count < 16) {
            bytes[length++] = (byte) (0x80 | count);
        } else {
            bytes[length++] = (byte) 0xde;
            if (count >= 1 << 16) {
                bytes[length - 1] = (byte) 0xdf;
                put16(count >> 16);
            }
            put16(count);
        }
        return this;
    }

    private void textHead(int size) {
        if (size < 32) {
            bytes[length++] = (byte) (0xa0 | size);
        } else if (size < 1 << 8) {
            bytes[length++] = (byte) 0xd9;
            bytes[length++] = (byte) size;
        } else if (size < 1 << 16) {
            bytes[length++] = (byte) 0xda;
            put16(size);
        } else {
            bytes[length++] = (byte) 0xdb;
            put32(size);
        }
    }

    /** A text; null is nil. */
    public Packer text(String text) {
        if (text == null) {
            return nil();
        }
        int count = text.length();
        room(count + 5);
        int before = length;
        textHead(count);
        for (int i = 0; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) { // its size in UTF-8 is another one
                length = before;
                byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
                room(utf8.length + 5);
                textHead(utf8.length);
                System.arraycopy(utf8, 0, bytes, length, utf8.length);
                length += utf8.length;
                return this;
            }
            bytes[length++] = (byte) c;
        }
        return this;
    }

    /** Bytes that a text has. */
    public static int sizeOf(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (text.charAt(i) >= 0x80) {
                return text.getBytes(StandardCharsets.UTF_8).length;
            }
        }
        return text.length();
    }

    /** Bytes; null is nil. */
    public Packer bin(byte[] data) {
        return data == null ? nil() : bin(data, 0, data.length);
    }

    public Packer bin(byte[] data, int from, int size) {
        if (size > Integer.MAX_VALUE - 64 - length) {
            throw new IllegalArgumentException("a frame of more than 2 GiB");
        }
        room(size + 5);
        if (size < 1 << 8) {
            bytes[length++] = (byte) 0xc4;
            bytes[length++] = (byte) size;
        } else if (size < 1 << 16) {
            bytes[length++] = (byte) 0xc5;
            put16(size);
        } else {
            bytes[length++] = (byte) 0xc6;
            put32(size);
        }
        System.arraycopy(data, from, bytes, length, size);
        length += size;
        return this;
    }

    /** What another packer holds, as it is. */
    public Packer raw(Packer other) {
        room(other.size());
        System.arraycopy(other.bytes, HEAD, bytes, length, other.size());
        length += other.size();
        return this;
    }

    /** What another packer has made. */
    public Packer raw(byte[] made) {
        room(made.length);
        System.arraycopy(made, 0, bytes, length, made.length);
        length += made.length;
        return this;
    }

    public Packer texts(Map<String, String> map) {
        map(map.size());
        for (Map.Entry<String, String> entry : map.entrySet()) {
            text(entry.getKey()).text(entry.getValue());
        }
        return this;
    }

    /** Write the length into the first four bytes; what goes out is then {@code buffer()[0 .. size() + 4)}. */
    int seal() {
        int end = length;
        length = 0;
        put32(end - HEAD);
        length = end;
        return end;
    }
}
