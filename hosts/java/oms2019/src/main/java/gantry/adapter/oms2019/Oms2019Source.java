// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms2019;

import gantry.host.spi.Json;
import gantry.host.spi.RecordOut;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.PositionStorageReader;
import io.openmessaging.connector.api.data.EntryType;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SinkDataEntry;
import io.openmessaging.connector.api.data.SourceDataEntry;
import io.openmessaging.connector.api.exception.ConnectException;
import io.openmessaging.connector.api.source.SourceTask;
import io.openmessaging.connector.api.source.SourceTaskContext;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.AbstractMap;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A source task of 2019. */
final class Oms2019Source implements SourceWork {
    private static final String ENTRY_TYPE = "connect-entrytype";
    /** More would be a connector that makes a schema for every record: a leak, for they live as long as the task. */
    private static final int SCHEMAS_MAX = 10_000;

    private final SourceTask task;
    private final KeyValue config;
    private final SourceControl control;
    private final Map<List<Object>, Integer> schemas = new HashMap<>();
    private Schema lastSchema;
    private int lastNumber;

    Oms2019Source(SourceTask task, KeyValue config, SourceControl control) {
        this.task = task;
        this.config = config;
        this.control = control;
    }

    @Override
    public void start() {
        task.initialize(new Context());
        task.start(config);
    }

    @Override
    public List<?> poll() {
        Collection<SourceDataEntry> entries = task.poll();
        return entries == null || entries instanceof List ? (List<?>) entries : new ArrayList<>(entries);
    }

    @Override
    public boolean write(Object record, RecordOut out) {
        SourceDataEntry entry = (SourceDataEntry) record;
        int schema = number(entry.getSchema());
        byte[] value = Values.write(entry.getSchema(), entry.getPayload());
        EntryType type = entry.getEntryType();
        if (type != null && type != EntryType.CREATE) {
            out.header(ENTRY_TYPE, type.name().getBytes(StandardCharsets.UTF_8));
        }
        String key = entry.getShardingKey();
        out.record(value, key == null ? null : key.getBytes(StandardCharsets.UTF_8),
                entry.getTimestamp() == null ? 0 : entry.getTimestamp(), entry.getQueueName(), schema);
        return true;
    }

    /** Equal schemas have one number, though connectors make new objects for each record. */
    private int number(Schema schema) {
        if (schema == null || schema.getFields() == null || schema.getFields().isEmpty()) {
            return 0;
        }
        if (schema == lastSchema) {
            return lastNumber;
        }
        List<Field> byIndex = new ArrayList<>(schema.getFields());
        byIndex.sort((a, b) -> Integer.compare(a.getIndex(), b.getIndex()));
        List<Object> same = new ArrayList<>();
        same.add(schema.getName());
        same.add(schema.getDataSource());
        List<Map.Entry<String, Integer>> fields = new ArrayList<>();
        for (Field field : byIndex) {
            fields.add(new AbstractMap.SimpleImmutableEntry<>(field.getName(), field.getType().ordinal()));
        }
        same.addAll(fields);
        Integer known = schemas.get(same);
        if (known == null) {
            if (schemas.size() >= SCHEMAS_MAX) {
                throw new IllegalStateException("the task has made " + SCHEMAS_MAX + " different schemas; the last is '" + schema.getName() + "'");
            }
            known = control.schema(schema.getName(), schema.getDataSource(), fields);
            schemas.put(same, known);
        }
        lastSchema = schema;
        lastNumber = known;
        return known;
    }

    @Override
    public Object partition(Object record) {
        return ((SourceDataEntry) record).getSourcePartition();
    }

    @Override
    public Object position(Object record) {
        return ((SourceDataEntry) record).getSourcePosition();
    }

    @Override
    public byte[] partitionBytes(Object partition) {
        return Json.bytes((ByteBuffer) partition);
    }

    @Override
    public byte[] positionBytes(Object position) {
        return Json.bytes((ByteBuffer) position);
    }

    /** The tasks of 2019 expect one thread; the default methods do nothing. */
    @Override
    public Commits commits() {
        try {
            Class<?> type = task.getClass();
            boolean own = type.getMethod("commit").getDeclaringClass() != SourceTask.class
                    || type.getMethod("commitRecord", SourceDataEntry.class, SinkDataEntry.class).getDeclaringClass() != SourceTask.class;
            return own ? Commits.BETWEEN_POLLS : Commits.NONE;
        } catch (NoSuchMethodException e) {
            return Commits.BETWEEN_POLLS;
        }
    }

    @Override
    public void committed(List<?> records, boolean[] sent) {
        for (int i = 0; i < records.size(); i++) {
            SourceDataEntry entry = (SourceDataEntry) records.get(i);
            task.commitRecord(entry, new SinkDataEntry(-1L, entry.getTimestamp(), entry.getEntryType(), entry.getQueueName(),
                    entry.getSchema(), entry.getShardingKey(), entry.getPayload()));
        }
        task.commit();
    }

    @Override
    public boolean stopsBesidePoll() {
        return true;
    }

    @Override
    public void stop() {
        task.stop();
    }

    private final class Context implements SourceTaskContext, PositionStorageReader {
        @Override
        public KeyValue configs() {
            return config;
        }

        @Override
        public PositionStorageReader positionStorageReader() {
            return this;
        }

        @Override
        public ByteBuffer getPosition(ByteBuffer partition) {
            List<ByteBuffer> one = new ArrayList<>();
            one.add(partition);
            return getPositions(one).get(partition);
        }

        /** Buffers of exact length on the heap: connectors read them by array(). */
        @Override
        public Map<ByteBuffer, ByteBuffer> getPositions(Collection<ByteBuffer> partitions) {
            List<ByteBuffer> asked = new ArrayList<>(partitions);
            List<byte[]> bytes = new ArrayList<>();
            for (ByteBuffer partition : asked) {
                bytes.add(Json.bytes(partition));
            }
            Map<ByteBuffer, ByteBuffer> found = new HashMap<>();
            try {
                List<byte[]> positions = control.positions(bytes);
                for (int i = 0; i < asked.size(); i++) {
                    if (positions.get(i) != null) {
                        found.put(asked.get(i), ByteBuffer.wrap(positions.get(i)));
                    }
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new ConnectException(-1, "interrupted while it waits for a position", e);
            }
            return found;
        }
    }
}
