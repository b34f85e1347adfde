// SPDX-License-Identifier: Apache-2.0
package probe.oms2019;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.Task;
import io.openmessaging.connector.api.common.QueueMetaData;
import io.openmessaging.connector.api.data.SinkDataEntry;
import io.openmessaging.connector.api.sink.SinkConnector;
import io.openmessaging.connector.api.sink.SinkTask;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A sink that takes its orders from what it gets. */
public class ProbeSink extends SinkConnector {
    private KeyValue config;

    @Override
    public String verifyAndSetConfig(KeyValue given) {
        config = given;
        return null;
    }

    @Override
    public void start() {
    }

    @Override
    public void stop() {
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }

    @Override
    public Class<? extends Task> taskClass() {
        return ProbeTask.class;
    }

    @Override
    public List<KeyValue> taskConfigs() {
        return Collections.singletonList(config);
    }

    public static class ProbeTask extends SinkTask {
        private boolean sought;
        private final Map<QueueMetaData, Long> held = new HashMap<>();

        @Override
        public void start(KeyValue given) {
            ProbeSource.event("start", context.configs() == given);
        }

        private static String show(Object value) {
            return value == null ? "null" : value instanceof byte[] ? "bytes" + Arrays.toString((byte[]) value) : value.getClass().getSimpleName() + ":" + value;
        }

        @Override
        public void put(Collection<SinkDataEntry> entries) {
            for (SinkDataEntry entry : entries) {
                StringBuilder payload = new StringBuilder();
                for (Object value : entry.getPayload()) {
                    payload.append(' ').append(show(value));
                }
                ProbeSource.event("put", entry.getQueueName(), entry.getQueueOffset(), entry.getEntryType(), entry.getShardingKey(), entry.getTimestamp(),
                        entry.getSchema().getName(), entry.getSchema().getFields().size(), payload);
                Object first = entry.getPayload()[0];
                String text = first instanceof byte[] ? new String((byte[]) first) : String.valueOf(first);
                QueueMetaData queue = new QueueMetaData();
                queue.setQueueName(entry.getQueueName());
                queue.setShardingKey("broker-a,0");
                if (text.startsWith("seek:") && !sought) {
                    sought = true;
                    context.resetOffset(queue, Long.parseLong(text.substring(5)));
                } else if (text.equals("pause")) {
                    context.pause(Collections.singletonList(queue));
                } else if (text.equals("resume")) {
                    QueueMetaData other = new QueueMetaData();
                    other.setQueueName("a");
                    other.setShardingKey("broker-a,0");
                    context.resume(Collections.singletonList(other));
                } else if (text.equals("wait")) {
                    held.put(queue, entry.getQueueOffset());
                } else if (text.equals("fail")) {
                    throw new IllegalStateException("told to fail");
                }
            }
        }

        @Override
        public void commit(Map<QueueMetaData, Long> offsets) {
            for (Map.Entry<QueueMetaData, Long> entry : offsets.entrySet()) {
                ProbeSource.event("commit", entry.getKey().getQueueName(), entry.getKey().getShardingKey(), entry.getValue());
            }
        }

        @Override
        public Map<QueueMetaData, Long> preCommit(Map<QueueMetaData, Long> offsets) {
            Map<QueueMetaData, Long> all = new HashMap<>(super.preCommit(offsets));
            for (Map.Entry<QueueMetaData, Long> entry : held.entrySet()) {
                for (QueueMetaData queue : offsets.keySet()) {
                    if (queue.getQueueName().equals(entry.getKey().getQueueName())) {
                        all.put(queue, entry.getValue());
                    }
                }
            }
            return all;
        }

        @Override
        public void stop() {
            ProbeSource.event("stop");
        }

        @Override
        public void pause() {
        }

        @Override
        public void resume() {
        }
    }
}
