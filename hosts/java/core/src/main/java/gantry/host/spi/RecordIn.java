// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

/** A record that came to a sink. The arrays belong to whoever reads it. */
public final class RecordIn {
    public byte[] value;
    public byte[] key;
    /** since 1970 UTC */
    public long ms;
    public long offset;
    /** Null: bytes. */
    public SchemaIn schema;
    public String[] headerNames = new String[0];
    public byte[][] headerValues = new byte[0][];

    /** The header's value; null when there is none. */
    public byte[] header(String name) {
        for (int i = 0; i < headerNames.length; i++) {
            if (headerNames[i].equals(name)) {
                return headerValues[i];
            }
        }
        return null;
    }
}
