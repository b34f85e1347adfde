// SPDX-License-Identifier: Apache-2.0
package gantry.host.wire;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The socket to the worker.
 *
 * <p>Reading: one thread, {@link #read}. Writing: any thread; each writes its own frames under a lock, so no record waits
 * for a thread to be switched, and who writes too fast is held back by the socket alone. The reading thread never writes:
 * otherwise both ends could wait for each other with full buffers.
 *
 * <p>The streams of java.io are used, not channels: those would be closed by an interrupt of whoever writes.
 */
public final class Line {
    private static final int BUFFER = 256 << 10;

    private final InputStream in;
    private final OutputStream out;
    /** Fair, so that a flood of lines from one plugin does not keep BEAT and the others waiting. */
    private final ReentrantLock writing = new ReentrantLock(true);
    private final byte[] buffer = new byte[BUFFER];
    private int from;
    private int to;
    private final Map<Long, Parts> parts = new HashMap<>();
    private volatile long recordMax = 64L << 20;

    public Line(InputStream in, OutputStream out) {
        this.in = in;
        this.out = out;
    }

    /**
     * Standard input and output. Where standard input is a socket it serves both ways, and descriptor 1 is left alone: then
     * the worker may give the host standard error there, and nothing that writes to descriptor 1 behind Java's back (the
     * JVM's own warnings, a native library) gets between two frames.
     */
    public static Line standard() {
        FileDescriptor output = isSocket("/proc/self/fd/0") ? FileDescriptor.in : FileDescriptor.out;
        return new Line(new FileInputStream(FileDescriptor.in), new FileOutputStream(output));
    }

    private static boolean isSocket(String path) {
        try {
            return Files.readSymbolicLink(Paths.get(path)).toString().startsWith("socket:");
        } catch (IOException | RuntimeException e) {
            return false;
        }
    }

    /** The most that the parts of one frame may have, from HELLO. Thread: the reading one. */
    public void setRecordMax(long bytes) {
        recordMax = bytes;
    }

    /** The most that the frames of one batch may have. Thread: any. */
    public long recordMax() {
        return recordMax;
    }

    /** Send a frame; returns once the kernel has it. Thread: any but the reading one. */
    public void send(Packer frame, long channel) {
        try {
            if (frame.size() <= Frame.MAX) {
                write(frame);
                return;
            }
            Packer piece = new Packer(Frame.MAX);
            int step = Frame.MAX - 32;
            for (int at = 0; at < frame.size(); at += step) {
                int size = Math.min(step, frame.size() - at);
                piece.begin(Frame.PART, channel, 2).bin(frame.buffer(), frame.start() + at, size);
                write(piece.bool(at + size < frame.size()));
            }
        } catch (IOException e) {
            Halt.now(0, null); // the worker is gone: so is all that this host is for
        }
    }

    private void write(Packer frame) throws IOException {
        int size = frame.seal();
        writing.lock();
        try {
            out.write(frame.buffer(), 0, size);
        } finally {
            writing.unlock();
        }
    }

    /** What a frame is for. Thread: the reading one. */
    public interface Reader {
        /** @param count items of the frame's array; the type and the channel have been read from {@code in}. */
        void frame(int type, long channel, int count, Unpacker in);
    }

    /** Hand over frame after frame until the worker closes the line. */
    public void read(Reader reader) throws IOException {
        while (fill(4)) {
            int size = 0;
            for (int i = 0; i < 4; i++) {
                size = size << 8 | buffer[from++] & 0xff;
            }
            if (size < 1 || size > Frame.MAX) {
                throw new ProtocolException("a frame of " + (size & 0xffffffffL) + " bytes; it must have 1 to " + Frame.MAX);
            }
            byte[] frame = new byte[size];
            int got = Math.min(size, to - from);
            System.arraycopy(buffer, from, frame, 0, got);
            from += got;
            while (got < size) {
                int more = in.read(frame, got, size - got);
                if (more < 0) {
                    return;
                }
                got += more;
            }
            take(frame, size, reader, false);
        }
    }

    private boolean fill(int size) throws IOException {
        if (from > buffer.length - size) {
            System.arraycopy(buffer, from, buffer, 0, to - from);
            to -= from;
            from = 0;
        }
        while (to - from < size) {
            if (from == to) {
                from = to = 0;
            }
            int more = in.read(buffer, to, buffer.length - to);
            if (more < 0) {
                return false;
            }
            to += more;
        }
        return true;
    }

    private void take(byte[] frame, int size, Reader reader, boolean whole) {
        Unpacker unpacker = new Unpacker(frame, 0, size);
        int count = unpacker.array();
        if (count < 2) {
            throw new ProtocolException("a frame of " + count + " items");
        }
        long type = unpacker.number();
        long channel = unpacker.number();
        if (type != Frame.PART) {
            if (type < 0 || type > Integer.MAX_VALUE) {
                throw new ProtocolException("a frame of type " + type);
            }
            reader.frame((int) type, channel, count, unpacker);
        } else if (whole) {
            throw new ProtocolException("a PART within a PART");
        } else {
            part(channel, count, unpacker, reader);
        }
    }

    private static final class Parts {
        byte[] bytes = new byte[0];
        int size;
    }

    private void part(long channel, int count, Unpacker unpacker, Reader reader) {
        if (count < 4) {
            throw new ProtocolException("a PART of " + count + " items");
        }
        byte[] more = unpacker.bytes();
        boolean goesOn = unpacker.bool();
        Parts frame = parts.computeIfAbsent(channel, number -> new Parts());
        // what surrounds a record of the greatest size, and the headers, have a place too
        long limit = Math.min(recordMax + (1 << 20), Integer.MAX_VALUE - 64);
        if (more == null || frame.size + (long) more.length > limit) {
            throw new ProtocolException("PARTs of more than " + limit + " bytes");
        }
        if (frame.bytes.length - frame.size < more.length) {
            long wanted = Math.max(frame.size + (long) more.length, Math.min(2L * frame.bytes.length, limit));
            frame.bytes = java.util.Arrays.copyOf(frame.bytes, (int) wanted);
        }
        System.arraycopy(more, 0, frame.bytes, frame.size, more.length);
        frame.size += more.length;
        if (!goesOn) {
            parts.remove(channel);
            take(frame.bytes, frame.size, reader, true);
        }
    }
}
