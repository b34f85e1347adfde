// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.List;
import java.util.Set;

/** What the worker does for a sink task. Thread: any of the plugin's. */
public interface SinkControl {
    /** Give nothing more of this queue, or go on. */
    void hold(Queue queue, boolean held);

    /** Go on with this offset. */
    void seek(Queue queue, long offset);

    /** Commit soon, though nothing else asks for it. */
    void commitSoon();

    /** To the dead letter topic, with the commit that passes over it: the record's value, key and time with these headers. */
    void layAside(Queue queue, RecordIn record, List<String> headerNames, List<byte[]> headerValues);

    /** The queues of which something has come. */
    Set<Queue> queues();

    void fail(Throwable error);
}
