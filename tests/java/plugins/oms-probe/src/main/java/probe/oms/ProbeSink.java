// SPDX-License-Identifier: Apache-2.0
package probe.oms;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.task.Task;
import io.openmessaging.connector.api.component.task.sink.SinkConnector;
import io.openmessaging.connector.api.component.task.sink.SinkTask;
import io.openmessaging.connector.api.data.ConnectRecord;
import io.openmessaging.connector.api.data.RecordOffset;
import io.openmessaging.connector.api.data.RecordPartition;
import io.openmessaging.connector.api.errors.ConnectException;
import io.openmessaging.connector.api.errors.RetriableException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** A sink that takes its orders from what it gets. */
public class ProbeSink extends SinkConnector {
    private KeyValue config;

    @Override
    public void start(KeyValue given) {
        config = given;
    }

    @Override
    public void stop() {
    }

    @Override
    public Class<? extends Task> taskClass() {
        return ProbeTask.class;
    }

    @Override
    public List<KeyValue> taskConfigs(int max) {
        return Collections.singletonList(config);
    }

    public static class ProbeTask extends SinkTask {
        private int retries;
        private boolean sought;
        private RecordPartition held;
        private FileOutputStream file;

        @Override
        public void start(KeyValue given) {
            try {
                file = given.containsKey("file") ? new FileOutputStream(given.getString("file"), true) : null;
            } catch (IOException e) {
                throw new ConnectException(e);
            }
            retries = given.getInt("retries", 0);
            ProbeSource.event("start", sinkTaskContext.getConnectorName(), sinkTaskContext.getTaskName(), sinkTaskContext.configs() == given);
        }

        @Override
        public void put(List<ConnectRecord> records) {
            if (retries-- > 0) {
                ProbeSource.event("retry", records.size());
                throw new RetriableException("not now");
            }
            if (file != null) {
                write(records);
                return;
            }
            for (ConnectRecord record : records) {
                RecordPartition partition = record.getPosition().getPartition();
                Map<String, String> extensions = new TreeMap<>();
                for (String key : new TreeSet<>(record.getExtensions().keySet())) {
                    extensions.put(key, record.getExtension(key));
                }
                String text = record.getData() instanceof byte[] ? new String((byte[]) record.getData()) : String.valueOf(record.getData());
                ProbeSource.event("put", new TreeMap<>(partition.getPartition()), record.getPosition().getOffset().getOffset(), record.getKey(), text,
                        record.getTimestamp(), extensions);
                if (text.startsWith("seek:") && !sought) {
                    sought = true;
                    sinkTaskContext.resetOffset(partition, new RecordOffset(Collections.singletonMap("queueOffset", text.substring(5))));
                } else if (text.equals("pause")) {
                    held = partition;
                    sinkTaskContext.pause(Collections.singletonList(partition));
                } else if (text.equals("resume")) {
                    sinkTaskContext.resume(Collections.singletonList(held));
                } else if (text.equals("assignment")) {
                    ProbeSource.event("assignment", sinkTaskContext.assignment().contains(partition), sinkTaskContext.assignment().size());
                } else if (text.startsWith("report")) {
                    sinkTaskContext.errorRecordReporter().report(record, new ConnectException("a bad one"));
                } else if (text.equals("fail")) {
                    throw new ConnectException("told to fail");
                }
            }
        }

        /** A line each: key and value. */
        private void write(List<ConnectRecord> records) {
            StringBuilder lines = new StringBuilder();
            for (ConnectRecord record : records) {
                lines.append(record.getKey()).append('=').append(record.getData()).append('\n');
            }
            try {
                file.write(lines.toString().getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                throw new ConnectException(e);
            }
        }

        @Override
        public void flush(Map<RecordPartition, RecordOffset> offsets) {
            for (Map.Entry<RecordPartition, RecordOffset> entry : offsets.entrySet()) {
                ProbeSource.event("flush", entry.getKey().getPartition().get("topic"), entry.getValue().getOffset().get("queueOffset"));
            }
        }

        @Override
        public Map<RecordPartition, RecordOffset> preCommit(Map<RecordPartition, RecordOffset> offsets) {
            Map<RecordPartition, RecordOffset> all = new HashMap<>(super.preCommit(offsets));
            all.keySet().removeIf(partition -> "nothing".equals(partition.getPartition().get("topic")));
            return all;
        }

        @Override
        public void stop() {
            ProbeSource.event("stop");
        }
    }
}
