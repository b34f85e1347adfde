// SPDX-License-Identifier: Apache-2.0
package probe.kafka;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

/** A sink that takes its orders from the values that it gets, and prints what is done to it. */
public class ProbeSink extends SinkConnector {
    private Map<String, String> config;

    @Override
    public String version() {
        return "7.2";
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef();
    }

    @Override
    public void start(Map<String, String> given) {
        config = given;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return ProbeTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int max) {
        return Collections.nCopies(max, config);
    }

    @Override
    public void stop() {
    }

    public static class ProbeTask extends SinkTask {
        private final Map<TopicPartition, Long> held = new HashMap<>();
        private int retries;
        private boolean sought;
        private boolean full;
        private boolean unflushed;
        private boolean plain;
        private boolean failed;
        private SinkRecord late;

        @Override
        public String version() {
            return "7.2";
        }

        @Override
        public void start(Map<String, String> config) {
            ProbeSource.event("start", context.assignment().size(), context.configs().get("topics"));
            full = config.containsKey("full");
            plain = "plain".equals(config.get("unflushed"));
            retries = Integer.parseInt(config.getOrDefault("retries", "0"));
        }

        @Override
        public void open(Collection<TopicPartition> partitions) {
            ProbeSource.event("open", partitions, context.assignment().containsAll(partitions));
        }

        @Override
        public void close(Collection<TopicPartition> partitions) {
            ProbeSource.event("close", partitions);
        }

        @Override
        public void put(Collection<SinkRecord> records) {
            if (records.isEmpty()) {
                ProbeSource.event("put-nothing");
                return;
            }
            if (full) { // only a flush makes room
                context.timeout(20);
                context.requestCommit();
                ProbeSource.event("full", records.size());
                throw new RetriableException("full");
            }
            if (retries > 0) {
                retries--;
                context.timeout(20);
                ProbeSource.event("retry", records.size());
                throw new RetriableException("not now");
            }
            List<Object> values = new ArrayList<>();
            for (SinkRecord record : records) {
                TopicPartition partition = new TopicPartition(record.topic(), record.kafkaPartition());
                String text = String.valueOf(record.value());
                ProbeSource.event("put", partition, record.kafkaOffset(), record.key(), text, record.timestamp(), record.valueSchema() == null
                        ? null : record.valueSchema().type(), record.headers());
                values.add(text);
                if (text.equals("fail")) {
                    throw new ConnectException("told to fail");
                } else if (text.equals("noclass")) {
                    throw new NoClassDefFoundError("org/example/Missing");
                } else if (text.equals("memory")) {
                    List<byte[]> all = new ArrayList<>();
                    while (true) {
                        all.add(new byte[16 << 20]);
                    }
                } else if (text.equals("exits")) {
                    System.exit(5);
                } else if (text.equals("wait")) {
                    held.put(partition, record.kafkaOffset());
                } else if (text.equals("done")) {
                    held.remove(partition);
                } else if (text.equals("pause")) {
                    context.pause(partition);
                } else if (text.equals("resume")) {
                    context.resume(new TopicPartition(record.topic(), 0));
                } else if (text.startsWith("seek:") && !sought) {
                    sought = true;
                    context.offset(partition, Long.parseLong(text.substring(5)));
                } else if (text.startsWith("report")) {
                    if (context.errantRecordReporter() == null) {
                        throw new ConnectException("there is no reporter");
                    }
                    context.errantRecordReporter().report(record, new ConnectException("a bad one"));
                } else if (text.equals("late")) {
                    late = record;
                } else if (text.equals("soon")) {
                    context.timeout(30);
                    context.requestCommit();
                } else if (text.equals("unflushed") && !failed) {
                    unflushed = failed = true;
                } else if (text.equals("race")) {
                    race(partition);
                } else if (text.equals("sleep")) {
                    sleep();
                }
            }
        }

        /** Threads of its own, as a sink that writes beside put() has them, pause and resume. */
        private void race(TopicPartition partition) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                Thread thread = new Thread(() -> {
                    for (int turn = 0; turn < 1000; turn++) {
                        context.pause(partition);
                        context.resume(partition);
                    }
                });
                threads.add(thread);
                thread.start();
            }
            for (Thread thread : threads) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    throw new ConnectException("interrupted", e);
                }
            }
        }

        private static void sleep() {
            try {
                Thread.sleep(600_000);
            } catch (InterruptedException e) {
                throw new ConnectException("interrupted", e);
            }
        }

        /** Queues with a held record are done up to that one only; `nothing` topics are never done. */
        @Override
        public Map<TopicPartition, OffsetAndMetadata> preCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
            ProbeSource.event("preCommit", offsets.size());
            full = false;
            if (late != null) { // as a thread does that still writes
                context.errantRecordReporter().report(late, new ConnectException("a late one"));
            }
            if (unflushed) {
                unflushed = false;
                if (plain) {
                    throw new IllegalStateException("not flushed");
                }
                throw new RetriableException("not flushed");
            }
            Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
            for (Map.Entry<TopicPartition, OffsetAndMetadata> entry : offsets.entrySet()) {
                if (!entry.getKey().topic().equals("nothing")) {
                    Long offset = held.get(entry.getKey());
                    done.put(entry.getKey(), offset == null ? entry.getValue() : new OffsetAndMetadata(offset));
                }
            }
            return done;
        }

        @Override
        public void stop() {
            ProbeSource.event("stop");
        }
    }
}
