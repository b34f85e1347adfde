// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.List;
import java.util.Map;

/** What the worker does for a source task. Thread: any of the plugin's. */
public interface SourceControl {
    /** The committed positions of these partitions, in their order; null for those without. Waits for the worker. */
    List<byte[]> positions(List<byte[]> partitions) throws InterruptedException;

    /** All committed positions of the connector: {partition, position}. Waits for the worker. */
    List<byte[][]> allPositions() throws InterruptedException;

    /** Announce a schema; the number for {@link RecordOut#record}. {@code fields}: name and type (gantry/record.h). */
    int schema(String name, String source, List<Map.Entry<String, Integer>> fields);

    /** The task has failed, though no call has. */
    void fail(Throwable error);
}
