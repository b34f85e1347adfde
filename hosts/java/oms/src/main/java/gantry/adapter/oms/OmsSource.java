// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import gantry.host.log.Log;
import gantry.host.spi.Json;
import gantry.host.spi.RecordOut;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.task.source.SourceTask;
import io.openmessaging.connector.api.component.task.source.SourceTaskContext;
import io.openmessaging.connector.api.data.ConnectRecord;
import io.openmessaging.connector.api.data.RecordOffset;
import io.openmessaging.connector.api.data.RecordPartition;
import io.openmessaging.connector.api.errors.ConnectException;
import io.openmessaging.connector.api.errors.RetriableException;
import io.openmessaging.connector.api.storage.OffsetStorageReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A source task of OpenMessaging Connect 0.1.4. */
final class OmsSource implements SourceWork {
    private static final String EXTENSION = "connect-ext-";
    private static final String TIMESTAMP = "connect.timestamp";

    private final SourceTask task;
    private final TaskSetup setup;
    private final KeyValue config;
    private final SourceControl control;
    private final Converters converters;
    private final Transforms transforms;
    private final Tolerance tolerance;
    private final String topic;

    OmsSource(SourceTask task, TaskSetup setup, SourceControl control) throws Exception {
        ClassLoader loader = setup.connectorClass.getClassLoader();
        this.task = task;
        this.setup = setup;
        this.config = Settings.keyValue(setup.config);
        this.control = control;
        this.converters = new Converters(setup.config, loader);
        this.transforms = new Transforms(setup.config, loader);
        this.tolerance = new Tolerance(setup.config, RetriableException.class);
        this.topic = setup.config.get("connect.topicname");
    }

    @Override
    public void start() {
        task.init(new Context());
        task.start(config);
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
        ConnectRecord record = tolerance.run("transforms", () -> transforms.apply((ConnectRecord) polled));
        if (record == null) {
            return false;
        }
        String own = record.getExtensions() == null ? null : record.getExtension("topic");
        String to = own != null && !own.isEmpty() ? own : topic;
        byte[][] bytes = tolerance.run("converter", () -> new byte[][] {
            record.getKey() == null && record.getKeySchema() == null ? null
                    : converters.key.fromConnectData(to, record.getExtensions(), record.getKeySchema(), record.getKey()),
            converters.value.fromConnectData(to, record.getExtensions(), record.getSchema(), record.getData()),
        });
        if (bytes == null) {
            return false;
        }
        headers(record, out);
        out.record(bytes[1], bytes[0], record.getTimestamp() == null ? 0 : record.getTimestamp(), to, 0);
        return true;
    }

    /** Message properties: a record with extensions has its time there, too. */
    private static void headers(ConnectRecord record, RecordOut out) {
        KeyValue extensions = record.getExtensions();
        if (extensions == null || extensions.keySet().isEmpty()) {
            return;
        }
        for (String name : extensions.keySet()) {
            String value = extensions.getString(name);
            if (value != null && !value.isEmpty()) {
                boolean plain = name.equals("KEYS") || name.equals("TAGS");
                out.header(plain ? name : EXTENSION + name, value.getBytes(StandardCharsets.UTF_8));
            }
        }
        if (record.getTimestamp() != null) {
            out.header(TIMESTAMP, record.getTimestamp().toString().getBytes(StandardCharsets.UTF_8));
        }
    }

    @Override
    public Object partition(Object record) {
        ConnectRecord of = (ConnectRecord) record;
        return of.getPosition() == null ? null : of.getPosition().getPartition();
    }

    @Override
    public Object position(Object record) {
        ConnectRecord of = (ConnectRecord) record;
        return of.getPosition() == null ? null : of.getPosition().getOffset();
    }

    @Override
    public byte[] partitionBytes(Object partition) {
        return Json.position(((RecordPartition) partition).getPartition());
    }

    @Override
    public byte[] positionBytes(Object position) {
        return Json.position(((RecordOffset) position).getOffset());
    }

    @Override
    public Commits commits() {
        Class<?> type = task.getClass();
        try {
            boolean own = false;
            own |= type.getMethod("commit").getDeclaringClass() != SourceTask.class;
            own |= type.getMethod("commit", ConnectRecord.class).getDeclaringClass() != SourceTask.class;
            own |= type.getMethod("commit", ConnectRecord.class, Map.class).getDeclaringClass() != SourceTask.class;
            own |= type.getMethod("commit", List.class, Map.class).getDeclaringClass() != SourceTask.class;
            return own ? Commits.ANY_THREAD : Commits.NONE;
        } catch (NoSuchMethodException e) {
            return Commits.ANY_THREAD;
        }
    }

    /** Each record with what the runtime's callback said of it, as far as the worker tells; then all of them; then that it is done. */
    @Override
    public void committed(List<?> records, boolean[] sent) {
        List<ConnectRecord> all = new ArrayList<>();
        Map<String, String> result = new HashMap<>();
        result.put("send.status", "SEND_OK");
        for (int i = 0; i < records.size(); i++) {
            ConnectRecord record = (ConnectRecord) records.get(i);
            if (sent[i]) {
                String own = record.getExtensions() == null ? null : record.getExtension("topic");
                Map<String, String> one = new HashMap<>(result);
                one.put("topic", own != null && !own.isEmpty() ? own : String.valueOf(topic));
                task.commit(record, one);
                all.add(record);
            }
        }
        task.commit(all, result);
        task.commit();
    }

    @Override
    public boolean stopsBesidePoll() {
        return true;
    }

    @Override
    public void stop() {
        task.stop();
        transforms.close();
    }

    private final class Context implements SourceTaskContext, OffsetStorageReader {
        @Override
        public OffsetStorageReader offsetStorageReader() {
            return this;
        }

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
        public RecordOffset readOffset(RecordPartition partition) {
            List<RecordPartition> one = new ArrayList<>();
            one.add(partition);
            return readOffsets(one).get(partition);
        }

        @Override
        public Map<RecordPartition, RecordOffset> readOffsets(Collection<RecordPartition> partitions) {
            List<RecordPartition> asked = new ArrayList<>(partitions);
            List<byte[]> bytes = new ArrayList<>();
            for (RecordPartition partition : asked) {
                bytes.add(Json.position(partition.getPartition()));
            }
            Map<RecordPartition, RecordOffset> found = new HashMap<>();
            try {
                List<byte[]> positions = control.positions(bytes);
                for (int i = 0; i < asked.size(); i++) {
                    Map<String, Object> position = Json.object(positions.get(i));
                    if (position != null) {
                        found.put(asked.get(i), new RecordOffset(position));
                    } else if (positions.get(i) != null) {
                        throw new ConnectException("the stored position of " + asked.get(i).getPartition() + " is no JSON object");
                    }
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new ConnectException("interrupted while it waits for a position", e);
            }
            return found;
        }
    }
}
