// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.List;
import java.util.Map;

/** A sink task behind its API. All calls come from the task's thread, but for stop where {@link #stopsBesidePut}. */
public interface SinkWork {
    void start() throws Exception;

    /** These queues are new to the task; called before their first records. */
    void opened(List<Queue> queues) throws Exception;

    /** A record in the API's form, or null when it is left out. */
    Object read(Queue queue, RecordIn record) throws Exception;

    /** Take the records; an empty list is a call for its own sake. {@link RetryException}: the same again later. */
    void put(List<Object> records) throws Exception;

    /** ms after which put is called without records when nothing comes; 0: never. */
    long idleMs();

    /**
     * Make durable what was put. {@code next}: for each queue the offset behind the last record that was put.
     *
     * @return what of it may be committed; queues that are not in it may not move
     * @throws RetryException nothing of it is durable: what was put since the last flush is to be put again
     */
    Map<Queue, Long> flush(Map<Queue, Long> next) throws Exception;

    boolean stopsBesidePut();

    void stop() throws Exception;
}
