// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.spi.RecordOut;
import gantry.host.wire.Frame;
import gantry.host.wire.Packer;
import java.util.Arrays;

/** A RECORDS frame in the making. Belongs to the task's thread. */
final class RecordsFrame implements RecordOut {
    /** Leaves room for the marks. */
    private static final int BYTES = Frame.RECORDS_BYTES - (256 << 10);
    private static final int KEEP = 4 << 20;

    private final long channel;
    private Packer packer = new Packer(64 << 10);
    private final Packer headers = new Packer(256);
    private int headerCount;
    private long headersCost;
    private int place;
    private int count;
    private int lastStart;
    private long cost;
    private long lastCost;
    /** The record that opens the next frame; null: none. */
    private byte[] carried;
    private long carriedCost;
    private long seq;
    private final Packer marks = new Packer(256);
    private int markCount;

    RecordsFrame(long channel) {
        this.channel = channel;
    }

    /** A new frame. It has a record already where the one before has carried it over. */
    void open(long number) {
        if (packer.buffer().length > KEEP) {
            packer = new Packer(64 << 10); // one huge record does not make the task huge for ever
        }
        seq = number;
        packer.begin(Frame.RECORDS, channel, 3).number(seq);
        place = packer.openArray();
        count = 0;
        cost = 0;
        markCount = 0;
        marks.clear();
        headers.clear();
        headerCount = 0;
        headersCost = 0;
        if (carried != null) {
            lastStart = packer.size();
            packer.raw(carried);
            carried = null;
            cost = lastCost = carriedCost;
            count = 1;
        }
    }

    long seq() {
        return seq;
    }

    int count() {
        return count;
    }

    long cost() {
        return cost;
    }

    boolean isFull() {
        return count >= Frame.RECORDS_COUNT || packer.size() >= BYTES;
    }

    /** The last record has made it longer than a frame of several records may be. */
    boolean isTooMuch() {
        return count > 1 && packer.size() > BYTES;
    }

    /** The last record goes into the next frame, as it is: transforms and converters must not see it a second time. */
    void carryOver() {
        carried = Arrays.copyOfRange(packer.buffer(), packer.start() + lastStart, packer.start() + packer.size());
        carriedCost = lastCost;
        packer.cut(lastStart);
        cost -= lastCost;
        count--;
    }

    @Override
    public void header(String name, byte[] value) {
        headers.array(2).text(name).bin(value);
        headerCount++;
        headersCost += Frame.HEADER_COST + Packer.sizeOf(name) + (value == null ? 0 : value.length);
    }

    @Override
    public void record(byte[] value, byte[] key, long ms, String topic, int schema) {
        lastStart = packer.size();
        boolean more = headerCount > 0;
        packer.array(more ? 6 : schema != 0 ? 5 : topic != null ? 4 : 3);
        packer.bin(value).bin(key).number(ms);
        if (more || schema != 0 || topic != null) {
            packer.text(topic);
        }
        if (more || schema != 0) {
            if (schema != 0) {
                packer.number(schema);
            } else {
                packer.nil();
            }
        }
        if (more) {
            packer.array(headerCount).raw(headers);
            headers.clear();
            headerCount = 0;
        }
        lastCost = (value == null ? 0 : value.length) + (key == null ? 0 : key.length) + Frame.RECORD_COST + headersCost;
        headersCost = 0;
        cost += lastCost;
        count++;
    }

    void mark(int covers, byte[] partition, byte[] position) {
        marks.array(3).number(covers).bin(partition).bin(position);
        markCount++;
    }

    /** The whole frame, until the next {@link #open}. */
    Packer close() {
        packer.setCount(place, count);
        return packer.array(markCount).raw(marks);
    }

    /** What {@link #close} has given is the caller's from here on. */
    void leave() {
        packer = new Packer(64 << 10);
    }
}
