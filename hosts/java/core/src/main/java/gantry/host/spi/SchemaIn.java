// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

/** A schema that the worker has announced. */
public final class SchemaIn {
    public final String name;
    public final String source;
    public final String[] fieldNames;
    /** As in gantry/record.h. */
    public final int[] fieldTypes;
    /** What an API has made of it; belongs to the task's thread. */
    public Object made;

    public SchemaIn(String name, String source, String[] fieldNames, int[] fieldTypes) {
        this.name = name;
        this.source = source;
        this.fieldNames = fieldNames;
        this.fieldTypes = fieldTypes;
    }
}
