// SPDX-License-Identifier: Apache-2.0
package io.openmessaging.connector.api.data;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * The API's builder, with the same members and one difference: each entry gets a payload array of its own. The original hands
 * one array to all entries that it builds, so a connector that makes several from one builder (the replicator of 2019 does,
 * one for each message of a pull) ships the last one's values in all of them. Loaded in place of the original.
 */
public class DataEntryBuilder {
    private Long timestamp;
    private EntryType entryType;
    private String queueName;
    private String shardingKey;
    private final Schema schema;
    private final Object[] payload;

    public DataEntryBuilder(Schema schema) {
        this.schema = schema;
        List<Field> fields = schema.getFields();
        int size = fields.size();
        for (Field field : fields) {
            size = Math.max(size, field.getIndex() + 1);
        }
        this.payload = new Object[size];
    }

    public DataEntryBuilder timestamp(Long ms) {
        timestamp = ms;
        return this;
    }

    public DataEntryBuilder entryType(EntryType type) {
        entryType = type;
        return this;
    }

    public DataEntryBuilder queue(String name) {
        queueName = name;
        return this;
    }

    public DataEntryBuilder shardingKey(String key) {
        shardingKey = key;
        return this;
    }

    /** Spelt so: it is a name that connectors are compiled against. */
    public DataEntryBuilder putFiled(String name, Object value) {
        Field field = schema.getField(name);
        if (field == null) {
            throw new RuntimeException(name + " is not a valid field name");
        }
        payload[field.getIndex()] = value;
        return this;
    }

    public SourceDataEntry buildSourceDataEntry(ByteBuffer sourcePartition, ByteBuffer sourcePosition) {
        return new SourceDataEntry(sourcePartition, sourcePosition, timestamp, entryType, queueName, schema, shardingKey, payload.clone());
    }

    public SinkDataEntry buildSinkDataEntry(Long queueOffset) {
        return new SinkDataEntry(queueOffset, timestamp, entryType, queueName, schema, shardingKey, payload.clone());
    }
}
