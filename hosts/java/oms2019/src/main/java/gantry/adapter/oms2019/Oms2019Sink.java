// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms2019;

import gantry.host.spi.Queue;
import gantry.host.spi.RecordIn;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.common.QueueMetaData;
import io.openmessaging.connector.api.data.EntryType;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SinkDataEntry;
import io.openmessaging.connector.api.sink.SinkTask;
import io.openmessaging.connector.api.sink.SinkTaskContext;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A sink task of 2019. */
final class Oms2019Sink implements SinkWork {
    private static final String ENTRY_TYPE = "connect-entrytype";
    /** Stands where the API wants a broker's name. */
    private static final String BROKER = "gantry";

    private final SinkTask task;
    private final KeyValue config;
    private final SinkControl control;
    private final boolean bytesOnly;
    private final Map<String, Schema> plainTexts = new HashMap<>();
    private final Map<String, Schema> plainBytes = new HashMap<>();

    Oms2019Sink(SinkTask task, KeyValue config, SinkControl control) {
        this.task = task;
        this.config = config;
        this.control = control;
        this.bytesOnly = "bytes".equals(config.getString("source-record-converter"));
    }

    private static QueueMetaData data(Queue queue) {
        QueueMetaData data = new QueueMetaData();
        data.setQueueName(queue.topic);
        data.setShardingKey(BROKER + "," + queue.number);
        return data;
    }

    /** `broker,queueId`, as the runtime of 2019 had it. */
    private static Queue queue(QueueMetaData data) {
        String key = String.valueOf(data.getShardingKey());
        try {
            return new Queue(data.getQueueName(), Integer.parseInt(key.substring(key.lastIndexOf(',') + 1).trim()));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("the sharding key of a queue is '" + key + "'; it must be broker,queueId");
        }
    }

    @Override
    public void start() {
        task.initialize(new Context());
        task.start(config);
    }

    @Override
    public void opened(List<Queue> queues) {
    }

    @Override
    public Object read(Queue queue, RecordIn record) {
        Schema schema;
        if (record.schema == null) {
            // Without a converter the runtime of 2019 gave bodies as texts, and its connectors rely on it.
            boolean text = !bytesOnly && Values.isText(record.value);
            schema = (text ? plainTexts : plainBytes).computeIfAbsent(queue.topic, topic -> Values.plainSchema(topic, text));
        } else {
            if (record.schema.made == null) {
                record.schema.made = Values.schema(record.schema);
            }
            schema = (Schema) record.schema.made;
        }
        String key = record.key == null ? null : new String(record.key, StandardCharsets.UTF_8);
        return new SinkDataEntry(record.offset, record.ms, entryType(record.header(ENTRY_TYPE)), queue.topic, schema, key,
                Values.read(schema, record.value));
    }

    private static EntryType entryType(byte[] header) {
        String name = header == null ? "CREATE" : new String(header, StandardCharsets.UTF_8);
        for (EntryType type : EntryType.values()) {
            if (type.name().equals(name)) {
                return type;
            }
        }
        throw new IllegalArgumentException("the header " + ENTRY_TYPE + " is '" + name + "'; it must be CREATE, UPDATE or DELETE");
    }

    @Override
    @SuppressWarnings({"unchecked", "rawtypes"})
    public void put(List<Object> records) {
        task.put((Collection<SinkDataEntry>) (Collection) records);
    }

    @Override
    public long idleMs() {
        return 0;
    }

    @Override
    public Map<Queue, Long> flush(Map<Queue, Long> next) {
        Map<QueueMetaData, Long> offsets = new HashMap<>();
        for (Map.Entry<Queue, Long> entry : next.entrySet()) {
            offsets.put(data(entry.getKey()), entry.getValue());
        }
        Map<QueueMetaData, Long> done = task.preCommit(offsets);
        if (done == null) {
            return next; // nobody looked at what it returns, so some return nothing
        }
        Map<Queue, Long> allowed = new LinkedHashMap<>();
        for (Map.Entry<QueueMetaData, Long> entry : done.entrySet()) {
            if (entry.getValue() != null) {
                allowed.put(queue(entry.getKey()), entry.getValue());
            }
        }
        return allowed;
    }

    @Override
    public boolean stopsBesidePut() {
        return true;
    }

    @Override
    public void stop() {
        task.stop();
    }

    private final class Context implements SinkTaskContext {
        @Override
        public KeyValue configs() {
            return config;
        }

        @Override
        public void resetOffset(QueueMetaData data, Long offset) {
            control.seek(queue(data), offset);
        }

        @Override
        public void resetOffset(Map<QueueMetaData, Long> offsets) {
            offsets.forEach(this::resetOffset);
        }

        @Override
        public void pause(List<QueueMetaData> queues) {
            queues.forEach(one -> control.hold(queue(one), true));
        }

        @Override
        public void resume(List<QueueMetaData> queues) {
            queues.forEach(one -> control.hold(queue(one), false));
        }
    }
}
