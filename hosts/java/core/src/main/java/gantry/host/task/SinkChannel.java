// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import gantry.host.spi.Queue;
import gantry.host.spi.RecordIn;
import gantry.host.spi.RetryException;
import gantry.host.spi.SchemaIn;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Packer;
import gantry.host.wire.ProtocolException;
import gantry.host.wire.Unpacker;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;

/**
 * A sink task: takes frames in their order and puts their records, several frames at once where they wait. A PUT of a queue
 * that is held is laid aside until it is held no more; FLUSHED says that nothing of it may be committed.
 */
final class SinkChannel extends Channel implements SinkControl {
    /** Bytes that the worker may send ahead. */
    private static final long CREDIT = 4 << 20;
    private static final long RETRY_FIRST_MS = 300;
    private static final long RETRY_MAX_MS = 60_000;

    /** A frame that waits. */
    private static final class Item {
        final int type;
        final long number;
        final Put put;

        Item(int type, long number, Put put) {
            this.type = type;
            this.number = number;
            this.put = put;
        }
    }

    private static final class Put {
        final Queue queue;
        final long offset;
        final List<RecordIn> records;
        final long cost;

        Put(Queue queue, long offset, List<RecordIn> records, long cost) {
            this.queue = queue;
            this.offset = offset;
            this.records = records;
            this.cost = cost;
        }
    }

    /** How far a queue is. Guarded by the channel's monitor. */
    private static final class Progress {
        /** Behind the last record that was put. */
        long next;
        /** What may be committed at least: where this start began, then what FLUSHED has allowed. */
        long safe;
        boolean held;
        /** Not -1: frames are dropped until the empty one with this offset. */
        long seeking = -1;
        /** While the queue is held. */
        final ArrayDeque<Put> aside = new ArrayDeque<>();
    }

    private Callable<SinkWork> maker;
    /** Null before it is made. */
    private volatile SinkWork work;

    // guarded by this
    private final ArrayDeque<Item> inbox = new ArrayDeque<>();
    private final Map<Queue, Progress> queues = new LinkedHashMap<>();
    /** Of frames that were dropped, to be told as TAKEN. */
    private long owed;
    /** Items of the inbox that are no PUT. */
    private int asked;
    /** COMMIT may be said, and has been since the last flush began. */
    private boolean begun;
    private boolean commitWanted;

    /** Held while HOLD or SEEK is worked out and sent, so that two threads' come in their order. Before the monitor, never in it. */
    private final Object telling = new Object();

    // the reading thread's
    private final Map<Long, SchemaIn> schemas = new HashMap<>();
    private Queue lastQueue;

    // the task's thread's
    private final Set<Queue> opened = new HashSet<>();
    /** Flushes that have asked for another try in a row, and when records may be put again (nanoTime). */
    private int vainFlushes;
    private long putAgainAt;

    SinkChannel(Host host, long number, String name, ClassLoader loader) {
        super(host, number, name, loader);
    }

    /** What makes the task's object. Thread: the one that launches it, before that. */
    void setMaker(Callable<SinkWork> made) {
        maker = made;
    }

    // --- the reading thread

    @Override
    void frame(int type, int count, Unpacker in) {
        switch (type) {
            case Frame.PUT:
                add(new Item(type, 0, put(count, in)));
                break;
            case Frame.CHECKPOINT: case Frame.FLUSH:
                add(new Item(type, in.number(), null));
                break;
            case Frame.SCHEMA: {
                long id = in.number();
                String name = in.text();
                String source = in.text();
                int fields = in.array();
                String[] names = new String[fields];
                int[] types = new int[fields];
                for (int i = 0; i < fields; i++) {
                    int items = in.array();
                    names[i] = in.text();
                    types[i] = (int) in.number();
                    in.skipFrom(2, items);
                }
                schemas.put(id, new SchemaIn(name, source, names, types));
                break;
            }
            case Frame.COMMITTED: case Frame.CAUGHT_UP:
                break; // no API asks for them
            default:
                throw new ProtocolException("a frame of type " + type + " for a sink");
        }
    }

    private Put put(int count, Unpacker in) {
        if (count < 6) {
            throw new ProtocolException("a PUT of " + count + " items");
        }
        String topic = in.text();
        int number = (int) in.number();
        if (topic == null) {
            throw new ProtocolException("a PUT without a topic");
        }
        if (lastQueue == null || lastQueue.number != number || !lastQueue.topic.equals(topic)) {
            lastQueue = new Queue(topic, number);
        }
        long offset = in.number();
        int size = in.array();
        List<RecordIn> records = new ArrayList<>(size);
        long cost = 0;
        for (int i = 0; i < size; i++) {
            RecordIn record = new RecordIn();
            cost += read(in, record);
            record.offset = offset + i;
            records.add(record);
        }
        return new Put(lastQueue, offset, records, cost);
    }

    /** What it counts. */
    private long read(Unpacker in, RecordIn record) {
        int items = in.array();
        record.value = items > 0 ? in.bytes() : null;
        record.key = items > 1 ? in.bytes() : null;
        long cost = Frame.RECORD_COST + (record.value == null ? 0 : record.value.length) + (record.key == null ? 0 : record.key.length);
        record.ms = items > 2 && !in.nil() ? in.number() : 0;
        if (items > 3) {
            in.skip(); // the topic: the frame says it
        }
        if (items > 4 && !in.nil()) {
            long id = in.number();
            record.schema = schemas.get(id);
            if (record.schema == null) {
                throw new ProtocolException("a record of schema " + id + ", which has not been announced");
            }
        }
        if (items > 5 && !in.nil()) {
            int count = in.array();
            record.headerNames = new String[count];
            record.headerValues = new byte[count][];
            for (int i = 0; i < count; i++) {
                int parts = in.array();
                byte[] name = in.bytes();
                byte[] value = in.bytes();
                record.headerNames[i] = new String(name, StandardCharsets.UTF_8);
                record.headerValues[i] = value;
                cost += Frame.HEADER_COST + name.length + (value == null ? 0 : value.length);
                in.skipFrom(2, parts);
            }
        }
        in.skipFrom(6, items);
        return cost;
    }

    private synchronized void add(Item item) {
        inbox.add(item);
        asked += item.put == null ? 1 : 0;
        notifyAll();
    }

    // --- the task's thread

    @Override
    void begin() throws Exception {
        callBegins();
        work = maker.call();
        work.start();
        callEnds();
        line.send(packer.begin(Frame.STARTED, number, 1).number(CREDIT), number);
        synchronized (this) {
            begun = true;
        }
    }

    @Override
    void work() throws Exception {
        List<Put> puts = new ArrayList<>();
        while (!stopping) {
            Item item = take(puts);
            if (stopping) {
                return;
            }
            if (!puts.isEmpty()) {
                if (vainFlushes > 0) {
                    rest((putAgainAt - System.nanoTime() + 999_999) / 1_000_000, puts);
                }
                deliver(puts);
                puts.clear();
            } else if (item == null) {
                call(Collections.emptyList(), puts); // time has passed; some sinks close files by that
            } else if (item.type == Frame.TAKEN) {
                taken(item.number);
            } else {
                commit(item, Collections.emptyList());
            }
            check();
        }
    }

    /** CHECKPOINT or FLUSH. @param untaken what the sink does not take now, and has come before it */
    private void commit(Item item, List<Put> untaken) throws Exception {
        if (item.type == Frame.CHECKPOINT) {
            line.send(packer.begin(Frame.STATE, number, 2).number(item.number).nil(), number);
        } else {
            flush(item.number, untaken);
        }
    }

    /** The next frame; or, in {@code puts}, all PUT frames that are first in line; or neither, when idleMs has passed. */
    private synchronized Item take(List<Put> puts) throws Exception {
        long idle = work.idleMs();
        long until = System.nanoTime() + idle * 1_000_000;
        while (!stopping) {
            check();
            int count = 0;
            for (Item item = inbox.peek(); item != null && item.type == Frame.PUT; item = inbox.peek()) {
                Put put = item.put;
                if (count > 0 && count + put.records.size() > Frame.RECORDS_COUNT) {
                    break;
                }
                inbox.poll();
                if (wanted(put)) {
                    puts.add(put);
                    count += put.records.size();
                }
            }
            if (!puts.isEmpty()) {
                return null;
            }
            if (owed > 0) { // nothing is sent under the monitor: the reading thread needs it
                Item taken = new Item(Frame.TAKEN, owed, null);
                owed = 0;
                return taken;
            }
            if (!inbox.isEmpty()) {
                asked--;
                return inbox.poll();
            }
            long left = idle == 0 ? 0 : (until - System.nanoTime() + 999_999) / 1_000_000;
            if (idle != 0 && left <= 0) {
                return null;
            }
            wait(left);
        }
        return null;
    }

    /** With the monitor. */
    private Progress progress(Put put) {
        Progress queue = queues.get(put.queue);
        if (queue == null) {
            queue = new Progress();
            queue.next = queue.safe = put.offset;
            queues.put(put.queue, queue);
        }
        return queue;
    }

    /** With the monitor. */
    private boolean wanted(Put put) {
        Progress queue = progress(put);
        if (queue.seeking >= 0) {
            if (put.records.isEmpty() && put.offset == queue.seeking) {
                queue.seeking = -1; // the answer to SEEK
            } else {
                owed += put.cost; // under way before the worker knew
            }
            return false;
        }
        if (queue.held) {
            queue.aside.add(put);
            return false;
        }
        return true;
    }

    private void taken(long bytes) {
        line.send(new Packer(32).begin(Frame.TAKEN, number, 1).number(bytes), number);
    }

    private void deliver(List<Put> puts) throws Exception {
        if (stopping) {
            return;
        }
        open(puts);
        synchronized (this) {
            puts.removeIf(put -> !wanted(put)); // opened() may have asked for other offsets, or for a pause
        }
        callBegins();
        List<Object> records = new ArrayList<>();
        long cost = 0;
        Map<Queue, Long> ends = new LinkedHashMap<>();
        for (Put put : puts) {
            for (RecordIn record : put.records) {
                Object read = work.read(put.queue, record);
                if (read != null) {
                    records.add(read);
                }
            }
            cost += put.cost;
            ends.put(put.queue, put.offset + put.records.size());
        }
        callEnds();
        if (!records.isEmpty() && !call(records, puts)) {
            return; // STOP; they are put again by the next start
        }
        synchronized (this) {
            for (Map.Entry<Queue, Long> end : ends.entrySet()) {
                Progress queue = queues.get(end.getKey());
                if (queue.seeking < 0) { // else put() itself has asked for another offset
                    queue.next = end.getValue();
                }
            }
        }
        line.send(packer.begin(Frame.TAKEN, number, 1).number(cost), number);
    }

    private void open(List<Put> puts) throws Exception {
        List<Queue> fresh = new ArrayList<>();
        for (Put put : puts) {
            if (opened.add(put.queue)) {
                fresh.add(put.queue);
            }
        }
        if (!fresh.isEmpty()) {
            callBegins();
            work.opened(fresh);
            callEnds();
        }
    }

    /**
     * put(), again and again while the sink asks for that; in between it is flushed when the worker asks for it, for that may
     * be what makes room in it. False: STOP.
     */
    private boolean call(List<Object> records, List<Put> puts) throws Exception {
        long delay = RETRY_FIRST_MS;
        while (!stopping) {
            callBegins();
            try {
                work.put(records);
                callEnds();
                return true;
            } catch (RetryException e) {
                callEnds();
                long wait = e.delayMs > 0 ? e.delayMs : delay;
                Log.write(Log.WARN, "task", "put() of " + records.size() + " records asks for another try; in " + wait + " ms: "
                        + Errors.text(e.getCause()));
                rest(wait, puts);
                delay = Math.min(delay * 2, RETRY_MAX_MS);
            }
        }
        return false;
    }

    private void rest(long ms, List<Put> puts) throws Exception {
        long until = System.nanoTime() + ms * 1_000_000;
        for (Item item = overtaking(until, ms); item != null; item = overtaking(until, 1)) {
            commit(item, puts);
        }
    }

    /** CHECKPOINT or FLUSH, past the PUT frames that wait; null: the time is over, or STOP. */
    private synchronized Item overtaking(long until, long ms) throws Exception {
        for (long left = ms; !stopping && left > 0; left = (until - System.nanoTime() + 999_999) / 1_000_000) {
            check();
            for (Iterator<Item> items = inbox.iterator(); asked > 0 && items.hasNext();) {
                Item item = items.next();
                if (item.put == null) {
                    items.remove();
                    asked--;
                    return item;
                }
            }
            wait(left);
        }
        return null;
    }

    private void flush(long seq, List<Put> untaken) throws Exception {
        Map<Queue, Long> next = new LinkedHashMap<>();
        Set<Queue> waiting = new HashSet<>();
        synchronized (this) {
            commitWanted = false;
            for (Put put : untaken) {
                waiting.add(put.queue);
            }
            for (Item item : inbox) {
                if (item.put != null) { // it has been overtaken
                    progress(item.put);
                    waiting.add(item.put.queue);
                }
            }
            for (Map.Entry<Queue, Progress> entry : queues.entrySet()) {
                if (opened.contains(entry.getKey())) {
                    next.put(entry.getKey(), entry.getValue().next);
                }
            }
        }
        Map<Queue, Long> allowed = null;
        callBegins();
        try {
            allowed = work.flush(new LinkedHashMap<>(next));
            vainFlushes = 0;
        } catch (RetryException e) {
            Halt.ifOutOfMemory(e);
            long wait = Math.min(RETRY_FIRST_MS << Math.min(vainFlushes++, 20), RETRY_MAX_MS);
            putAgainAt = System.nanoTime() + wait * 1_000_000;
            Log.write(Log.WARN, "task", "flush has failed; what has been put since the last one is put again, in " + wait + " ms: "
                    + Errors.text(e.getCause()));
            goBack(next);
        }
        callEnds();
        check(); // a record that was reported meanwhile, and is not tolerated, is not passed over
        Packer frame = packer.begin(Frame.FLUSHED, number, 2).number(seq);
        int place = frame.openArray();
        int limits = 0;
        synchronized (this) {
            for (Map.Entry<Queue, Progress> entry : queues.entrySet()) {
                Queue queue = entry.getKey();
                Progress progress = entry.getValue();
                Long done = allowed == null ? null : allowed.get(queue);
                if (done != null && next.containsKey(queue)) {
                    // what the sink has not got cannot be done; what it sought back to is to come again
                    long most = progress.seeking >= 0 ? progress.seeking : progress.next;
                    progress.safe = Math.min(done, most);
                }
                boolean behind = progress.safe < progress.next || !progress.aside.isEmpty() || progress.seeking >= 0
                        || waiting.contains(queue);
                if (behind) {
                    frame.array(3).text(queue.topic).number(queue.number).number(progress.safe);
                    limits++;
                }
            }
        }
        frame.setCount(place, limits);
        line.send(frame, number);
    }

    /** To where each of these queues is safe. */
    private void goBack(Map<Queue, Long> next) {
        Map<Queue, Long> to = new LinkedHashMap<>();
        synchronized (this) {
            for (Map.Entry<Queue, Long> entry : next.entrySet()) {
                Progress progress = queues.get(entry.getKey());
                if (progress.safe < progress.next) {
                    to.put(entry.getKey(), progress.safe);
                }
            }
        }
        to.forEach(this::seek);
    }

    // --- what the task asks

    @Override
    public void hold(Queue queue, boolean held) {
        synchronized (telling) {
            tellHold(queue, held);
        }
    }

    private void tellHold(Queue queue, boolean held) {
        synchronized (this) {
            Progress progress = queues.get(queue);
            if (progress == null || progress.held == held) {
                return;
            }
            progress.held = held;
            if (!held) {
                while (!progress.aside.isEmpty()) {
                    inbox.addFirst(new Item(Frame.PUT, 0, progress.aside.pollLast()));
                }
                notifyAll();
            }
        }
        line.send(new Packer(64).begin(Frame.HOLD, number, 3).text(queue.topic).number(queue.number).bool(held), number);
    }

    @Override
    public void seek(Queue queue, long offset) {
        synchronized (telling) {
            tellSeek(queue, offset);
        }
    }

    private void tellSeek(Queue queue, long offset) {
        long dropped = 0;
        synchronized (this) {
            Progress progress = queues.get(queue);
            if (progress == null) {
                progress = new Progress();
                queues.put(queue, progress);
            }
            progress.seeking = offset;
            progress.next = progress.safe = offset;
            for (Put put : progress.aside) {
                dropped += put.cost;
            }
            progress.aside.clear();
        }
        if (dropped > 0) {
            taken(dropped);
        }
        line.send(new Packer(64).begin(Frame.SEEK, number, 3).text(queue.topic).number(queue.number).number(offset), number);
    }

    @Override
    public void commitSoon() {
        synchronized (this) {
            if (!begun || commitWanted) {
                return; // nothing has been put yet; or it has been asked for, and is to come
            }
            commitWanted = true;
        }
        line.send(new Packer(16).begin(Frame.COMMIT, number, 0), number);
    }

    @Override
    public void layAside(Queue queue, RecordIn record, List<String> headerNames, List<byte[]> headerValues) {
        Packer frame = new Packer(512).begin(Frame.ASIDE, number, 4).text(queue.topic).number(queue.number).number(record.offset);
        frame.array(1).array(6).bin(record.value).bin(record.key).number(record.ms).nil().nil().array(headerNames.size());
        for (int i = 0; i < headerNames.size(); i++) {
            frame.array(2).text(headerNames.get(i)).bin(headerValues.get(i));
        }
        line.send(frame, number);
    }

    @Override
    public synchronized Set<Queue> queues() {
        return new HashSet<>(queues.keySet());
    }

    // --- the end

    @Override
    void stopTask() throws Exception {
        if (work != null) {
            work.stop();
        }
    }

    @Override
    boolean stopsBesideCalls() {
        return work != null && work.stopsBesidePut();
    }
}
