// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.log.Log;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Packer;
import gantry.host.wire.ProtocolException;
import gantry.host.wire.Unpacker;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.RandomAccess;
import java.util.concurrent.Callable;

/** A source task: polls while there is credit, writes what came as RECORDS, and tells the task what has become durable. */
final class SourceChannel extends Channel implements SourceControl {
    /** A task that returns nothing at once is asked again after a pause that grows to this. */
    private static final long IDLE_MAX_MS = 100;
    /** Empty polls that took longer have waited by themselves. */
    private static final long IDLE_QUICK_NS = 2_000_000;
    /** Records that were left out cost no credit; of them so many may wait for their commit, here and as marks in the worker. */
    private static final int LEFT_OUT_MAX = 16 << 10;
    /** What the worker may count of a frame besides its content. */
    private static final int FRAME_HEAD = 8;

    /** Records of one frame, kept until they are durable. */
    private static final class Sent {
        final long seq;
        final List<?> records;
        final boolean[] kept;

        Sent(long seq, List<?> records, boolean[] kept) {
            this.seq = seq;
            this.records = records;
            this.kept = kept;
        }
    }

    private Callable<SourceWork> maker;
    /** Null before it is made. */
    private volatile SourceWork work;
    private final RecordsFrame frame;
    private SourceWork.Commits commits;
    private long idleMs;

    // guarded by this
    private long credit;
    private long committed;
    private long committedTold;
    /** Of frames that are not committed: {seq, records that were left out}; and the sum of these. */
    private final ArrayDeque<long[]> leftOut = new ArrayDeque<>();
    private long leftOutCount;
    private final ArrayDeque<Sent> sent = new ArrayDeque<>();
    /** The task is being stopped, perhaps because it has failed. */
    private boolean ending;
    private Thread committer;
    private long questions;
    private final Map<Long, Object> answers = new HashMap<>();
    private int schemas;

    SourceChannel(Host host, long number, String name, ClassLoader loader, long credit) {
        super(host, number, name, loader);
        this.credit = credit;
        this.frame = new RecordsFrame(number);
    }

    /** What makes the task's object. Thread: the one that launches it, before that. */
    void setMaker(Callable<SourceWork> made) {
        maker = made;
    }

    private static final Object NONE = new Object();

    @Override
    void frame(int type, int count, Unpacker in) {
        switch (type) {
            case Frame.CREDIT: {
                long more = in.number();
                synchronized (this) {
                    credit += more;
                    notifyAll();
                }
                break;
            }
            case Frame.COMMITTED: {
                long seq = in.number();
                synchronized (this) {
                    committed = Math.max(committed, seq);
                    while (!leftOut.isEmpty() && leftOut.peek()[0] <= seq) {
                        leftOutCount -= leftOut.poll()[1];
                    }
                    notifyAll();
                }
                break;
            }
            case Frame.POSITION_IS: {
                long id = in.number();
                answer(id, count > 3 ? in.bytes() : null);
                break;
            }
            case Frame.POSITIONS_ARE: {
                long id = in.number();
                int pairs = count > 3 && !in.nil() ? in.array() : 0;
                List<byte[][]> all = new ArrayList<>();
                for (int i = 0; i < pairs; i++) {
                    int items = in.array();
                    byte[] partition = in.bytes();
                    all.add(new byte[][] {partition, in.bytes()});
                    in.skipFrom(2, items);
                }
                answer(id, all);
                break;
            }
            default:
                throw new ProtocolException("a frame of type " + type + " for a source");
        }
    }

    private synchronized void answer(long id, Object value) {
        if (answers.containsKey(id)) { // whoever asked may have been interrupted
            answers.put(id, value == null ? NONE : value);
            notifyAll();
        }
    }

    // --- the task's thread

    @Override
    void begin() throws Exception {
        callBegins();
        work = maker.call();
        work.start();
        callEnds();
        commits = work.commits();
        line.send(packer.begin(Frame.STARTED, number, 1).number(0), number);
    }

    @Override
    void work() throws Exception {
        while (awaitCredit()) {
            if (commits == SourceWork.Commits.BETWEEN_POLLS) {
                callBegins();
                tellCommitted();
            }
            callBegins();
            long began = System.nanoTime();
            List<?> records = work.poll();
            callEnds();
            check();
            if (stopping) {
                return; // not sent, so not committed: the next start gets them again
            }
            if (records == null || records.isEmpty()) {
                rest(System.nanoTime() - began);
            } else {
                idleMs = 0;
                send(records);
            }
        }
    }

    /** @return false: STOP */
    private synchronized boolean awaitCredit() throws Exception {
        while ((credit <= 0 || leftOutCount >= LEFT_OUT_MAX) && !stopping) {
            check();
            if (commits == SourceWork.Commits.BETWEEN_POLLS && committed > committedTold) {
                return true; // no thread of its own for that, so the task may not wait with it
            }
            wait();
        }
        return !stopping;
    }

    private void rest(long pollNs) throws InterruptedException {
        if (pollNs > IDLE_QUICK_NS) {
            idleMs = 0;
            return;
        }
        idleMs = Math.min(idleMs * 2 + 1, IDLE_MAX_MS);
        long until = System.nanoTime() + idleMs * 1_000_000;
        synchronized (this) {
            long left = idleMs;
            while (!stopping && left > 0 && (commits != SourceWork.Commits.BETWEEN_POLLS || committed <= committedTold)) {
                wait(left);
                left = (until - System.nanoTime()) / 1_000_000;
            }
        }
    }

    /** A frame that waits for the others of its batch. */
    private static final class Held {
        final Packer frame;
        final long cost;

        Held(Packer frame, long cost) {
            this.frame = frame;
            this.cost = cost;
        }
    }

    /**
     * One poll's records in as many frames as they need. Records that share a position must not be parted by a mark: a
     * mark says that all before it is done, so it stands only behind the last record that has its position. Frames that end
     * before such a mark go TOGETHER with those up to it, so that they are committed with it or not at all.
     */
    private void send(List<?> polled) throws Exception {
        List<?> records = polled instanceof RandomAccess ? polled : new ArrayList<>(polled);
        int count = records.size();
        Marks marks = new Marks(work);
        marks.plan(records);
        List<Held> batch = new ArrayList<>();
        long bytes = 0;
        boolean apart = false;
        int first = 0;
        while (first < count) {
            if (batch.isEmpty() && !awaitRoom()) {
                return;
            }
            first = fill(records, first, marks, !batch.isEmpty() || apart);
            boolean whole = first == count || marks.isWhole(first);
            Packer made = frame.close();
            bytes += made.size() + FRAME_HEAD;
            if (!apart && bytes > line.recordMax()) {
                apart = true; // no worker takes it as one
                warnOfParting();
                for (Held held : batch) {
                    if (!awaitRoom()) {
                        return;
                    }
                    send(held.frame, held.cost);
                }
                batch.clear();
                if (!awaitRoom()) {
                    return;
                }
            }
            if (apart || whole && batch.isEmpty()) {
                send(made, frame.cost());
            } else {
                batch.add(new Held(made, frame.cost()));
                frame.leave();
            }
            if (whole) {
                sendTogether(batch);
                batch.clear();
                bytes = 0;
                apart = false;
            }
        }
    }

    /**
     * Fill the frame with the records from {@code first} on.
     *
     * @param brief as few as make a batch whole
     * @return the first that has no place in it
     */
    private int fill(List<?> records, int first, Marks marks, boolean brief) throws Exception {
        int count = records.size();
        boolean[] kept = new boolean[count - first];
        frame.open(nextSeq());
        int next = first;
        callBegins();
        if (frame.count() > 0) { // carried over
            kept[0] = true;
            marks.passed(next++, 1);
        }
        while (next < count && !frame.isFull() && !marks.areMany() && !(brief && next > first && marks.isWhole(next))) {
            int before = frame.count();
            kept[next - first] = work.write(records.get(next), frame);
            if (frame.count() > before && frame.isTooMuch()) {
                frame.carryOver();
                break;
            }
            marks.passed(next++, frame.count());
        }
        marks.write(frame);
        callEnds();
        int missing = next - first - frame.count();
        if (missing > 0) {
            synchronized (this) {
                leftOut.add(new long[] {frame.seq(), missing});
                leftOutCount += missing;
            }
        }
        if (commits != SourceWork.Commits.NONE) {
            synchronized (this) {
                // a list of its own: the task may use the one that it returned again
                sent.add(new Sent(frame.seq(), new ArrayList<>(records.subList(first, next)), Arrays.copyOf(kept, next - first)));
            }
            if (commits == SourceWork.Commits.ANY_THREAD && committer == null) {
                startCommitter();
            }
        }
        return next;
    }

    private void sendTogether(List<Held> batch) {
        if (batch.isEmpty()) {
            return;
        }
        line.send(new Packer(32).begin(Frame.TOGETHER, number, 1).number(batch.size()), number);
        for (Held held : batch) {
            send(held.frame, held.cost);
        }
    }

    private void send(Packer made, long cost) {
        synchronized (this) {
            credit -= cost;
        }
        line.send(made, number);
    }

    private boolean warned;

    private void warnOfParting() {
        if (!warned) {
            warned = true;
            Log.write(Log.WARN, "task", "polls more than host.record.max (" + line.recordMax() + " bytes) at one position; if the worker"
                    + " ends before it has committed all of that, what it has committed comes again");
        }
    }

    private long seq;

    private long nextSeq() {
        return ++seq;
    }

    private synchronized boolean awaitRoom() throws Exception {
        while (credit <= 0 && !stopping) {
            check();
            wait();
        }
        return !stopping;
    }

    // --- commits

    private void startCommitter() {
        Thread made = new Thread(null, () -> {
            enter();
            try {
                while (awaitCommit()) {
                    tellCommitted();
                }
            } catch (Throwable e) {
                Halt.ifOutOfMemory(e);
                fail(e);
            }
        }, Thread.currentThread().getName() + "-commit");
        made.setDaemon(true);
        committer = made;
        made.start();
    }

    private synchronized boolean awaitCommit() throws InterruptedException {
        while (!stopping && !ending && (sent.isEmpty() || sent.peek().seq > committed)) {
            wait();
        }
        return !stopping && !ending;
    }

    /** Hand all that has become durable to the task, without the monitor. */
    private void tellCommitted() throws Exception {
        List<Object> records = new ArrayList<>();
        List<boolean[]> kept = new ArrayList<>();
        int count = 0;
        synchronized (this) {
            boolean any = committed > committedTold;
            committedTold = committed;
            while (!sent.isEmpty() && sent.peek().seq <= committed) {
                Sent one = sent.poll();
                records.addAll(one.records);
                kept.add(one.kept);
                count += one.kept.length;
            }
            if (!any) {
                return;
            }
        }
        boolean[] all = new boolean[count];
        int at = 0;
        for (boolean[] part : kept) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        work.committed(records, all);
    }

    // --- what the task asks

    private synchronized long ask() {
        long id = ++questions;
        answers.put(id, new Object[0]); // not answered yet
        return id;
    }

    private synchronized Object await(long id) throws InterruptedException {
        try {
            while (answers.get(id) instanceof Object[]) {
                wait();
            }
            return answers.get(id) == NONE ? null : answers.get(id);
        } finally {
            answers.remove(id);
        }
    }

    @Override
    public List<byte[]> positions(List<byte[]> partitions) throws InterruptedException {
        Packer question = new Packer(256);
        List<Long> ids = new ArrayList<>();
        for (byte[] partition : partitions) {
            long id = ask();
            ids.add(id);
            line.send(question.begin(Frame.POSITION, number, 2).number(id).bin(partition), number);
        }
        List<byte[]> found = new ArrayList<>();
        for (long id : ids) {
            found.add((byte[]) await(id));
        }
        return found;
    }

    @Override
    @SuppressWarnings("unchecked")
    public List<byte[][]> allPositions() throws InterruptedException {
        long id = ask();
        line.send(new Packer(64).begin(Frame.POSITIONS, number, 1).number(id), number);
        return (List<byte[][]>) await(id);
    }

    @Override
    public int schema(String name, String source, List<Map.Entry<String, Integer>> fields) {
        int id;
        synchronized (this) {
            id = ++schemas;
        }
        Packer schema = new Packer(256).begin(Frame.SCHEMA, number, 4).number(id).text(name).text(source).array(fields.size());
        for (Map.Entry<String, Integer> field : fields) {
            schema.array(2).text(field.getKey()).number(field.getValue());
        }
        line.send(schema, number);
        return id;
    }

    // --- the end

    @Override
    void stopTask() throws Exception {
        synchronized (this) {
            ending = true;
            notifyAll();
        }
        if (work != null) {
            work.stop();
        }
        Thread commitThread = committer;
        if (commitThread != null && commitThread != Thread.currentThread()) {
            commitThread.join(1000); // it ends when it next looks, unless it is within the plugin
            if (commitThread.isAlive() && stopping) {
                Log.write(Log.WARN, "task", "its commit() is still running at the stop");
            }
        }
    }

    @Override
    boolean stopsBesideCalls() {
        return work != null && work.stopsBesidePoll();
    }
}
