// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import gantry.host.log.Log;
import gantry.host.spi.Json;
import gantry.host.spi.RecordOut;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;
import org.apache.kafka.connect.source.SourceTaskContext;
import org.apache.kafka.connect.storage.OffsetStorageReader;

/** A Kafka Connect source task. */
final class KafkaSource implements SourceWork {
    private final SourceTask task;
    private final TaskSetup setup;
    private final SourceControl control;
    private final Converters converters;
    private final Transforms<SourceRecord> transforms;
    private final Tolerance tolerance;
    private final Commits commits;

    KafkaSource(SourceTask task, TaskSetup setup, SourceControl control) throws Exception {
        ClassLoader loader = setup.connectorClass.getClassLoader();
        this.task = task;
        this.setup = setup;
        this.control = control;
        this.converters = new Converters(setup.config, loader);
        this.transforms = new Transforms<>(setup.config, loader);
        this.tolerance = new Tolerance(setup.config, RetriableException.class);
        this.commits = overridesCommits() ? Commits.ANY_THREAD : Commits.NONE;
    }

    /** Most tasks do not: then nothing needs to be kept for it. */
    private boolean overridesCommits() throws NoSuchMethodException {
        Class<?> type = task.getClass();
        return type.getMethod("commit").getDeclaringClass() != SourceTask.class
                || type.getMethod("commitRecord", SourceRecord.class).getDeclaringClass() != SourceTask.class
                || type.getMethod("commitRecord", SourceRecord.class, RecordMetadata.class).getDeclaringClass() != SourceTask.class;
    }

    @Override
    public void start() {
        task.initialize(new Context());
        task.start(new HashMap<>(setup.config));
    }

    @Override
    public List<?> poll() throws InterruptedException {
        try {
            return task.poll();
        } catch (RetriableException e) {
            Log.write(Log.WARN, "task", "poll() will be tried again: " + e);
            return null;
        }
    }

    @Override
    public boolean write(Object polled, RecordOut out) throws Exception {
        SourceRecord before = (SourceRecord) polled;
        SourceRecord record = tolerance.run("transforms", () -> transforms.apply(before));
        if (record == null) {
            return false;
        }
        if (record.topic() == null) {
            throw new ConnectException("a record without a topic from " + task.getClass().getName());
        }
        RecordHeaders headers = new RecordHeaders(); // converters may add some of their own
        byte[][] bytes = tolerance.run("converter", () -> {
            for (Header header : record.headers()) {
                headers.add(header.key(), converters.header.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value()));
            }
            byte[] key = converters.key.fromConnectData(record.topic(), headers, record.keySchema(), record.key());
            return new byte[][] {key, converters.value.fromConnectData(record.topic(), headers, record.valueSchema(), record.value())};
        });
        if (bytes == null) {
            return false;
        }
        for (org.apache.kafka.common.header.Header header : headers) {
            out.header(header.key(), header.value());
        }
        out.record(bytes[1], bytes[0], record.timestamp() == null ? 0 : record.timestamp(), record.topic(), 0);
        return true;
    }

    @Override
    public Object partition(Object record) {
        return ((SourceRecord) record).sourcePartition();
    }

    @Override
    public Object position(Object record) {
        return ((SourceRecord) record).sourceOffset();
    }

    @Override
    public byte[] partitionBytes(Object partition) {
        return Json.position((Map<?, ?>) partition);
    }

    @Override
    public byte[] positionBytes(Object position) {
        return Json.position((Map<?, ?>) position);
    }

    @Override
    public Commits commits() {
        return commits;
    }

    @Override
    public void committed(List<?> records, boolean[] sent) throws InterruptedException {
        for (int i = 0; i < records.size(); i++) {
            SourceRecord record = (SourceRecord) records.get(i);
            task.commitRecord(record, sent[i] ? metadata(record) : null);
        }
        task.commit();
    }

    /** The worker does not say at which offset a record came to lie. */
    private static RecordMetadata metadata(SourceRecord record) {
        int partition = record.kafkaPartition() == null ? 0 : record.kafkaPartition();
        long ms = record.timestamp() == null ? -1 : record.timestamp();
        return new RecordMetadata(new TopicPartition(record.topic(), partition), -1, -1, ms, -1, -1);
    }

    @Override
    public boolean stopsBesidePoll() {
        return true;
    }

    @Override
    public void stop() throws Exception {
        task.stop();
        transforms.close();
        converters.close();
    }

    private final class Context implements SourceTaskContext, OffsetStorageReader {
        @Override
        public Map<String, String> configs() {
            return Settings.strings(setup.config);
        }

        @Override
        public OffsetStorageReader offsetStorageReader() {
            return this;
        }

        @Override
        public <T> Map<String, Object> offset(Map<String, T> partition) {
            List<Map<String, T>> one = new ArrayList<>();
            one.add(partition);
            return offsets(one).get(partition);
        }

        @Override
        public <T> Map<Map<String, T>, Map<String, Object>> offsets(Collection<Map<String, T>> partitions) {
            List<Map<String, T>> asked = new ArrayList<>(partitions);
            List<byte[]> bytes = new ArrayList<>();
            for (Map<String, T> partition : asked) {
                bytes.add(Json.position(partition));
            }
            Map<Map<String, T>, Map<String, Object>> found = new HashMap<>();
            try {
                List<byte[]> positions = control.positions(bytes);
                for (int i = 0; i < asked.size(); i++) {
                    Map<String, Object> position = Json.object(positions.get(i));
                    if (position == null && positions.get(i) != null) {
                        throw new ConnectException("the stored position of " + asked.get(i) + " is no JSON object");
                    }
                    found.put(asked.get(i), position);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new ConnectException("interrupted while it waits for a position", e);
            }
            return found;
        }
    }
}
