// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.spi.SourceWork;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The marks of one poll's records: where each partition stands after a frame. A position is told only with the last
 * record of the poll that has it. (The replicator of 2019 gives every record of a batch the batch's end: told with the
 * first half of the batch, a crash between two frames would lose the second.) Belongs to the task's thread.
 */
final class Marks {
    /** Of one frame, which has 256 KiB left for them. */
    private static final int MANY = 256;

    private static final class Mark {
        int covers;
        Object position;
    }

    private final SourceWork work;
    private final Map<Object, Mark> pending = new HashMap<>();
    private Object[] partitions;
    private Object[] positions;
    private boolean[] last;
    /** By record: the last of those that the mark for it, or for one before it, stands behind. */
    private int[] reach;

    Marks(SourceWork work) {
        this.work = work;
    }

    /** Look through a poll's records. */
    void plan(List<?> records) {
        int count = records.size();
        partitions = new Object[count];
        positions = new Object[count];
        last = new boolean[count];
        Map<Object, Integer> latest = new HashMap<>();
        Object partition = null; // most polls are of one partition: then the map is asked once
        int before = -1;
        for (int i = 0; i < count; i++) {
            Object record = records.get(i);
            Object own = work.partition(record);
            positions[i] = work.position(record);
            if (own == null || positions[i] == null) {
                continue;
            }
            if (before < 0 || own != partition && !own.equals(partition)) {
                if (before >= 0) {
                    latest.put(partition, before);
                }
                partition = own;
                Integer found = latest.get(own);
                before = found == null ? -1 : found;
            }
            partitions[i] = partition;
            if (before >= 0 && !positions[before].equals(positions[i])) {
                last[before] = true;
            }
            before = i;
        }
        if (before >= 0) {
            latest.put(partition, before);
        }
        for (int i : latest.values()) {
            last[i] = true;
        }
        findReach();
    }

    /** One without a position is passed by the next mark, whatever that is for. */
    private void findReach() {
        int count = last.length;
        reach = new int[count];
        Map<Object, Integer> marks = new HashMap<>();
        int any = -1;
        for (int i = count - 1; i >= 0; i--) {
            if (last[i]) {
                marks.put(partitions[i], i);
                any = i;
            }
            Integer mark = partitions[i] == null ? (Integer) any : marks.get(partitions[i]);
            reach[i] = mark == null || mark < i ? i : mark;
        }
        for (int i = 1; i < count; i++) {
            reach[i] = Math.max(reach[i], reach[i - 1]);
        }
    }

    /** Whether all records before number {@code next} have their marks before it: then they may be committed without the rest. */
    boolean isWhole(int next) {
        return next == 0 || reach[next - 1] < next;
    }

    /** Record {@code i} is in the present frame, which has {@code covers} records by now, or has been left out. */
    void passed(int i, int covers) {
        if (last[i]) {
            Mark mark = pending.computeIfAbsent(partitions[i], key -> new Mark());
            mark.covers = covers;
            mark.position = positions[i];
        }
    }

    /** No frame should have more. */
    boolean areMany() {
        return pending.size() >= MANY;
    }

    void write(RecordsFrame frame) {
        List<Map.Entry<Object, Mark>> all = new ArrayList<>(pending.entrySet());
        all.sort((a, b) -> Integer.compare(a.getValue().covers, b.getValue().covers));
        for (Map.Entry<Object, Mark> entry : all) {
            frame.mark(entry.getValue().covers, work.partitionBytes(entry.getKey()), work.positionBytes(entry.getValue().position));
        }
        pending.clear();
    }
}
