// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import gantry.host.spi.DeadLetters;
import gantry.host.spi.Queue;
import gantry.host.spi.RecordIn;
import gantry.host.spi.RetryException;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.task.sink.ErrorRecordReporter;
import io.openmessaging.connector.api.component.task.sink.SinkTask;
import io.openmessaging.connector.api.component.task.sink.SinkTaskContext;
import io.openmessaging.connector.api.data.ConnectRecord;
import io.openmessaging.connector.api.data.RecordOffset;
import io.openmessaging.connector.api.data.RecordPartition;
import io.openmessaging.connector.api.data.SchemaAndValue;
import io.openmessaging.connector.api.errors.RetriableException;
import io.openmessaging.internal.DefaultKeyValue;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A sink task of OpenMessaging Connect 0.1.4. */
final class OmsSink implements SinkWork {
    /** The runtime's poll came back after as long, and put() was called with what there was: perhaps nothing. */
    private static final long IDLE_MS = 30_000;
    private static final String BROKER = "gantry";
    private static final String EXTENSION = "connect-ext-";
    private static final String TIMESTAMP = "connect.timestamp";
    /** Properties that RocketMQ itself sets; a sink sees them with a prefix. */
    private static final Set<String> SYSTEM = new HashSet<>(Arrays.asList(
            "MIN_OFFSET", "MAX_OFFSET", "TRACE_ON", "MSG_REGION", "UNIQ_KEY", "WAIT", "TAGS"));

    private final SinkTask task;
    private final TaskSetup setup;
    private final KeyValue config;
    private final SinkControl control;
    private final Converters converters;
    private final Transforms transforms;
    private final Tolerance tolerance;
    private final DeadLetters letters;
    private final Map<Queue, RecordPartition> partitions = new HashMap<>();

    OmsSink(SinkTask task, TaskSetup setup, SinkControl control) throws Exception {
        ClassLoader loader = setup.connectorClass.getClassLoader();
        this.task = task;
        this.setup = setup;
        this.config = Settings.keyValue(setup.config);
        this.control = control;
        this.converters = new Converters(setup.config, loader);
        this.transforms = new Transforms(setup.config, loader);
        this.tolerance = new Tolerance(setup.config, RetriableException.class);
        this.letters = new DeadLetters(setup, control);
    }

    private static RecordPartition partition(Queue queue) {
        Map<String, String> map = new HashMap<>();
        map.put("topic", queue.topic);
        map.put("brokerName", BROKER);
        map.put("queueId", Integer.toString(queue.number));
        return new RecordPartition(map);
    }

    private static RecordOffset offset(long offset) {
        Map<String, String> map = new HashMap<>();
        map.put("queueOffset", Long.toString(offset));
        return new RecordOffset(map);
    }

    private static Queue queue(RecordPartition partition) {
        Map<String, ?> map = partition.getPartition();
        try {
            return new Queue(String.valueOf(map.get("topic")), Integer.parseInt(String.valueOf(map.get("queueId"))));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("the partition " + map + " has no queueId that is a number");
        }
    }

    private static long number(RecordOffset offset) {
        Object value = offset.getOffset().get("queueOffset");
        try {
            return Long.parseLong(String.valueOf(value));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("the offset " + offset.getOffset() + " has no queueOffset that is a number");
        }
    }

    @Override
    public void start() {
        task.init(new Context());
        task.start(config);
    }

    @Override
    public void opened(List<Queue> queues) {
    }

    @Override
    public Object read(Queue queue, RecordIn record) throws Exception {
        ConnectRecord made = tolerance.run("converter", () -> convert(queue, record),
                e -> letters.add(queue, record, "CONVERTER", converters.value.getClass(), e));
        if (made == null) {
            return null;
        }
        ConnectRecord changed = tolerance.run("transforms", () -> transforms.apply(made),
                e -> letters.add(queue, record, "TRANSFORMATION", transforms.getClass(), e));
        return changed == null || !letters.on() ? changed : new Given(changed, queue, record);
    }

    /** One that knows what it was made of, for that is what goes to the dead letter topic. */
    private static final class Given extends ConnectRecord {
        final Queue queue;
        final RecordIn in;

        Given(ConnectRecord of, Queue queue, RecordIn in) {
            super(of.getPosition().getPartition(), of.getPosition().getOffset(), of.getTimestamp(), of.getKeySchema(), of.getKey(), of.getSchema(),
                    of.getData());
            setExtensions(of.getExtensions());
            this.queue = queue;
            this.in = in;
        }
    }

    private ConnectRecord convert(Queue queue, RecordIn record) {
        KeyValue extensions = new DefaultKeyValue();
        long ms = record.ms;
        for (int i = 0; i < record.headerNames.length; i++) {
            String name = record.headerNames[i];
            String value = record.headerValues[i] == null ? "" : new String(record.headerValues[i], StandardCharsets.UTF_8);
            if (name.equals(TIMESTAMP) && value.matches("\\d{1,18}")) {
                ms = Long.parseLong(value);
            }
            extensions.put(SYSTEM.contains(name) ? "MQ-SYS-" + name
                    : name.startsWith(EXTENSION) ? name.substring(EXTENSION.length()) : name, value);
        }
        SchemaAndValue key = record.key == null ? SchemaAndValue.NULL : converters.key.toConnectData(queue.topic, extensions, record.key);
        SchemaAndValue value = converters.value.toConnectData(queue.topic, extensions, record.value);
        ConnectRecord made = new ConnectRecord(partitions.computeIfAbsent(queue, OmsSink::partition), offset(record.offset), ms,
                key.schema(), key.value(), value.schema(), value.value());
        made.setExtensions(extensions);
        return made;
    }

    @Override
    @SuppressWarnings({"unchecked", "rawtypes"})
    public void put(List<Object> records) throws Exception {
        try {
            task.put((List<ConnectRecord>) (List) records);
        } catch (RetriableException e) {
            throw new RetryException(e, 0);
        }
    }

    @Override
    public long idleMs() {
        return IDLE_MS;
    }

    @Override
    public Map<Queue, Long> flush(Map<Queue, Long> next) {
        Map<RecordPartition, RecordOffset> offsets = new HashMap<>();
        for (Map.Entry<Queue, Long> entry : next.entrySet()) {
            offsets.put(partition(entry.getKey()), offset(entry.getValue()));
        }
        Map<RecordPartition, RecordOffset> done = task.preCommit(offsets);
        Map<Queue, Long> allowed = new LinkedHashMap<>();
        if (done != null) {
            for (Map.Entry<RecordPartition, RecordOffset> entry : done.entrySet()) {
                if (entry.getValue() != null) {
                    allowed.put(queue(entry.getKey()), number(entry.getValue()));
                }
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
        transforms.close();
    }

    /** One that the task itself has made goes back through the converters. */
    private void bury(ConnectRecord record, Throwable error) {
        if (record instanceof Given) {
            letters.add(((Given) record).queue, ((Given) record).in, "TASK_PUT", task.getClass(), error);
            return;
        }
        Queue queue = queue(record.getPosition().getPartition());
        RecordIn made = new RecordIn();
        made.offset = number(record.getPosition().getOffset());
        made.ms = record.getTimestamp() == null ? 0 : record.getTimestamp();
        made.key = record.getKey() == null ? null : converters.key.fromConnectData(queue.topic, record.getKeySchema(), record.getKey());
        made.value = converters.value.fromConnectData(queue.topic, record.getSchema(), record.getData());
        letters.add(queue, made, "TASK_PUT", task.getClass(), error);
    }

    private final class Context implements SinkTaskContext {
        @Override
        public String getConnectorName() {
            return setup.connector;
        }

        @Override
        public String getTaskName() {
            return setup.connector + "-" + setup.task;
        }

        @Override
        public KeyValue configs() {
            return config;
        }

        @Override
        public void resetOffset(RecordPartition partition, RecordOffset offset) {
            control.seek(queue(partition), number(offset));
        }

        @Override
        public void resetOffset(Map<RecordPartition, RecordOffset> offsets) {
            offsets.forEach(this::resetOffset);
        }

        @Override
        public void pause(List<RecordPartition> all) {
            all.forEach(partition -> control.hold(queue(partition), true));
        }

        @Override
        public void resume(List<RecordPartition> all) {
            all.forEach(partition -> control.hold(queue(partition), false));
        }

        @Override
        public Set<RecordPartition> assignment() {
            Set<RecordPartition> all = new HashSet<>();
            for (Queue queue : control.queues()) {
                all.add(partition(queue));
            }
            return all;
        }

        /** There where somebody looks at what is reported, as in the runtime. */
        @Override
        public ErrorRecordReporter errorRecordReporter() {
            return tolerance.logs() || letters.on() ? this::report : null;
        }

        private void report(ConnectRecord record, Throwable error) {
            try {
                tolerance.report("record " + record.getPosition() + ", reported by the sink",
                        error instanceof Exception ? (Exception) error : new Exception(error), e -> bury(record, error));
            } catch (Exception e) {
                control.fail(e);
            }
        }
    }
}
