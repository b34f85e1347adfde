// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import gantry.host.spi.DeadLetters;
import gantry.host.spi.Queue;
import gantry.host.spi.RecordIn;
import gantry.host.spi.RetryException;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.sink.ErrantRecordReporter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;
import org.apache.kafka.connect.sink.SinkTaskContext;

/** A Kafka Connect sink task. */
final class KafkaSink implements SinkWork {
    /** Kafka Connect's consumer wakes up for its commits at least; some sinks rely on put() being called then. */
    private static final long IDLE_MS = 60_000;

    private final SinkTask task;
    private final TaskSetup setup;
    private final SinkControl control;
    private final Converters converters;
    private final Transforms<SinkRecord> transforms;
    private final Tolerance tolerance;
    private final DeadLetters letters;
    /** What convert() is at. */
    private String stage;
    private final Set<TopicPartition> open = new HashSet<>();
    /** What the task wants for its next call of put; -1: nothing said. Also set by threads of the plugin's. */
    private volatile long timeoutMs = -1;

    KafkaSink(SinkTask task, TaskSetup setup, SinkControl control) throws Exception {
        ClassLoader loader = setup.connectorClass.getClassLoader();
        this.task = task;
        this.setup = setup;
        this.control = control;
        this.converters = new Converters(setup.config, loader);
        this.transforms = new Transforms<>(setup.config, loader);
        this.tolerance = new Tolerance(setup.config, RetriableException.class);
        this.letters = new DeadLetters(setup, control);
    }

    private static TopicPartition partition(Queue queue) {
        return new TopicPartition(queue.topic, queue.number);
    }

    private static Queue queue(TopicPartition partition) {
        return new Queue(partition.topic(), partition.partition());
    }

    @Override
    public void start() {
        task.initialize(new Context());
        task.start(new HashMap<>(setup.config));
    }

    @Override
    public void opened(List<Queue> queues) {
        List<TopicPartition> fresh = new ArrayList<>();
        for (Queue queue : queues) {
            fresh.add(partition(queue));
        }
        open.addAll(fresh);
        task.open(fresh);
    }

    @Override
    public Object read(Queue queue, RecordIn record) throws Exception {
        SinkRecord made = tolerance.run("converter", () -> convert(queue, record),
                e -> letters.add(queue, record, stage, stage.startsWith("VALUE") ? converters.value.getClass()
                        : stage.startsWith("KEY") ? converters.key.getClass() : converters.header.getClass(), e));
        if (made == null) {
            return null;
        }
        SinkRecord changed = tolerance.run("transforms", () -> transforms.apply(made),
                e -> letters.add(queue, record, "TRANSFORMATION", transforms.getClass(), e));
        return changed == null || !letters.on() ? changed : new Given(changed, queue, record);
    }

    /** One that knows what it was made of, for that is what goes to the dead letter topic. */
    private static final class Given extends SinkRecord {
        final Queue queue;
        final RecordIn in;

        Given(SinkRecord of, Queue queue, RecordIn in) {
            super(of.topic(), of.kafkaPartition(), of.keySchema(), of.key(), of.valueSchema(), of.value(), of.kafkaOffset(), of.timestamp(),
                    of.timestampType(), of.headers(), of.originalTopic(), of.originalKafkaPartition(), of.originalKafkaOffset());
            this.queue = queue;
            this.in = in;
        }
    }

    private SinkRecord convert(Queue queue, RecordIn record) {
        RecordHeaders raw = new RecordHeaders();
        ConnectHeaders headers = new ConnectHeaders();
        stage = "HEADER_CONVERTER";
        for (int i = 0; i < record.headerNames.length; i++) {
            raw.add(record.headerNames[i], record.headerValues[i]);
            headers.add(record.headerNames[i], converters.header.toConnectHeader(queue.topic, record.headerNames[i], record.headerValues[i]));
        }
        stage = "KEY_CONVERTER";
        SchemaAndValue key = converters.key.toConnectData(queue.topic, raw, record.key);
        stage = "VALUE_CONVERTER";
        SchemaAndValue value = converters.value.toConnectData(queue.topic, raw, record.value);
        return new SinkRecord(queue.topic, queue.number, key.schema(), key.value(), value.schema(), value.value(), record.offset,
                record.ms, TimestampType.CREATE_TIME, headers);
    }

    @Override
    @SuppressWarnings({"unchecked", "rawtypes"})
    public void put(List<Object> records) throws Exception {
        timeoutMs = -1;
        try {
            task.put((Collection<SinkRecord>) (Collection) records);
        } catch (RetriableException e) {
            throw new RetryException(e, Math.max(0, timeoutMs));
        }
    }

    @Override
    public long idleMs() {
        long wanted = timeoutMs;
        return wanted >= 0 ? Math.max(1, wanted) : IDLE_MS;
    }

    @Override
    public Map<Queue, Long> flush(Map<Queue, Long> next) throws RetryException {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (Map.Entry<Queue, Long> entry : next.entrySet()) {
            offsets.put(partition(entry.getKey()), new OffsetAndMetadata(entry.getValue()));
        }
        Map<TopicPartition, OffsetAndMetadata> done;
        try {
            done = task.preCommit(offsets);
        } catch (Throwable e) { // whatever it is, Kafka Connect goes back to what was committed last, and on
            throw new RetryException(e, 0);
        }
        Map<Queue, Long> allowed = new LinkedHashMap<>();
        if (done != null) {
            for (Map.Entry<TopicPartition, OffsetAndMetadata> entry : done.entrySet()) {
                if (entry.getValue() != null) {
                    allowed.put(queue(entry.getKey()), entry.getValue().offset());
                }
            }
        }
        return allowed;
    }

    @Override
    public boolean stopsBesidePut() {
        return false; // a sink's stop is never called beside its put
    }

    @Override
    public void stop() throws Exception {
        try {
            if (!open.isEmpty()) {
                task.close(new ArrayList<>(open));
            }
        } finally {
            task.stop();
            transforms.close();
            converters.close();
        }
    }

    private static Queue queueOf(SinkRecord record) {
        return record instanceof Given ? ((Given) record).queue : new Queue(record.originalTopic(), record.originalKafkaPartition());
    }

    /** As it came; one that the task itself has made goes back through the converters. */
    private RecordIn original(SinkRecord record) {
        if (record instanceof Given) {
            return ((Given) record).in;
        }
        RecordIn made = new RecordIn();
        made.key = converters.key.fromConnectData(record.topic(), record.keySchema(), record.key());
        made.value = converters.value.fromConnectData(record.topic(), record.valueSchema(), record.value());
        made.ms = record.timestamp() == null ? 0 : record.timestamp();
        made.offset = record.originalKafkaOffset();
        made.headerNames = new String[record.headers().size()];
        made.headerValues = new byte[made.headerNames.length][];
        int at = 0;
        for (Header header : record.headers()) {
            made.headerNames[at] = header.key();
            made.headerValues[at++] = converters.header.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value());
        }
        return made;
    }

    private final class Context implements SinkTaskContext {
        @Override
        public Map<String, String> configs() {
            return Settings.strings(setup.config);
        }

        @Override
        public void offset(Map<TopicPartition, Long> offsets) {
            offsets.forEach(this::offset);
        }

        @Override
        public void offset(TopicPartition partition, long offset) {
            control.seek(queue(partition), offset);
        }

        @Override
        public void timeout(long ms) {
            timeoutMs = ms;
        }

        @Override
        public Set<TopicPartition> assignment() {
            Set<TopicPartition> all = new HashSet<>();
            for (Queue queue : control.queues()) {
                all.add(partition(queue));
            }
            return all;
        }

        @Override
        public void pause(TopicPartition... partitions) {
            for (TopicPartition partition : partitions) {
                control.hold(queue(partition), true);
            }
        }

        @Override
        public void resume(TopicPartition... partitions) {
            for (TopicPartition partition : partitions) {
                control.hold(queue(partition), false);
            }
        }

        @Override
        public void requestCommit() {
            control.commitSoon();
        }

        /** As Kafka Connect has it: only where somebody looks at what is reported. */
        @Override
        public ErrantRecordReporter errantRecordReporter() {
            return tolerance.logs() || letters.on() ? this::report : null;
        }

        /** It is done at once: no commit passes over the record before its letter is in the topic. */
        private Future<Void> report(SinkRecord record, Throwable error) {
            CompletableFuture<Void> done = new CompletableFuture<>();
            String what = "record " + record.topic() + "-" + record.kafkaPartition() + "@" + record.kafkaOffset() + ", reported by the sink";
            try {
                tolerance.report(what, error instanceof Exception ? (Exception) error : new Exception(error),
                        e -> letters.add(queueOf(record), original(record), "TASK_PUT", task.getClass(), error));
                done.complete(null);
            } catch (Exception e) {
                control.fail(e);
                done.completeExceptionally(e);
            }
            return done;
        }
    }
}
