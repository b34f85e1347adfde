// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.List;

/** A source task behind its API. All calls come from the task's thread, but for those that say otherwise. */
public interface SourceWork {
    void start() throws Exception;

    /** What is there; may wait. Null or empty: nothing now. */
    List<?> poll() throws Exception;

    /** Transform, convert and write one polled record; false when it is left out. */
    boolean write(Object record, RecordOut out) throws Exception;

    /** Where the record comes from, and where its source stands after it; either may be null. Compared by equals. */
    Object partition(Object record);

    Object position(Object record);

    byte[] partitionBytes(Object partition);

    byte[] positionBytes(Object position);

    enum Commits { NONE, BETWEEN_POLLS, ANY_THREAD }

    /** Whether, and where, {@link #committed} is to be called. */
    Commits commits();

    /** These have become durable; of each, whether it was sent. Between polls, or from a thread for this alone. */
    void committed(List<?> records, boolean[] sent) throws Exception;

    /** Whether stop may be called while poll is going on, to end it. Otherwise poll is interrupted. */
    boolean stopsBesidePoll();

    /** Called once, also after a start that has failed. Perhaps by another thread, see {@link #stopsBesidePoll}. */
    void stop() throws Exception;
}
