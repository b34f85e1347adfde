// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

/** Where a source writes its records, each at once. */
public interface RecordOut {
    /** A header of the record that is written next. */
    void header(String name, byte[] value);

    /**
     * The record itself.
     *
     * @param ms since 1970 UTC, 0: the worker's clock
     * @param topic null: the connector's
     * @param schema number of a schema, 0: bytes
     */
    void record(byte[] value, byte[] key, long ms, String topic, int schema);
}
