// SPDX-License-Identifier: Apache-2.0
package probe.oms2019;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.Task;
import io.openmessaging.connector.api.data.DataEntryBuilder;
import io.openmessaging.connector.api.data.EntryType;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SinkDataEntry;
import io.openmessaging.connector.api.data.SourceDataEntry;
import io.openmessaging.connector.api.exception.ConnectException;
import io.openmessaging.connector.api.source.SourceConnector;
import io.openmessaging.connector.api.source.SourceTask;
import io.openmessaging.internal.DefaultKeyValue;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.List;

/** Uses each method of the 2019 API, and prints what is done to it: `EVENT ...`. */
public class ProbeSource extends SourceConnector {
    private KeyValue config;
    private boolean initialized;
    private boolean started;

    static void event(Object... words) {
        StringBuilder text = new StringBuilder("EVENT");
        for (Object word : words) {
            text.append(' ').append(word);
        }
        System.out.println(text);
    }

    @Override
    public String verifyAndSetConfig(KeyValue given) {
        event("verify", initialized, started);
        if (!given.containsKey("topic")) {
            return "Request config key: topic";
        }
        config = given;
        return "";
    }

    @Override
    public void initialize(io.openmessaging.connector.api.ConnectorContext given) {
        super.initialize(given);
        initialized = true;
        event("initialize");
    }

    @Override
    public void start() {
        started = true;
        event("connector-start", initialized);
        if (config.containsKey("reconfigure")) {
            context.requestTaskReconfiguration();
        }
        if (config.containsKey("raise")) {
            context.raiseError(new IllegalStateException(config.getString("raise")));
        }
    }

    @Override
    public void stop() {
        event("connector-stop");
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
        event("taskConfigs", initialized, started);
        List<KeyValue> all = new ArrayList<>();
        for (int i = 0; i < config.getInt("tasks", 1); i++) {
            KeyValue one = new DefaultKeyValue();
            for (String key : config.keySet()) {
                one.put(key, config.getString(key));
            }
            all.add(one.put("number", i));
        }
        return all;
    }

    public static class ProbeTask extends SourceTask {
        private KeyValue config;
        private ByteBuffer partition;
        private long next;
        private volatile boolean stopped;

        private static ByteBuffer buffer(String text) {
            return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public void start(KeyValue given) {
            config = given;
            partition = buffer("part-" + given.getInt("number"));
            ByteBuffer position = context.positionStorageReader().getPosition(partition);
            next = position == null ? 0 : Long.parseLong(new String(position.array(), StandardCharsets.UTF_8));
            event("start", next, context.configs() == given,
                    context.positionStorageReader().getPositions(Arrays.asList(partition, buffer("none"))).size());
        }

        @Override
        public Collection<SourceDataEntry> poll() {
            if (config.containsKey("blocks")) {
                event("poll");
                synchronized (this) {
                    while (!stopped) {
                        try {
                            wait();
                        } catch (InterruptedException e) {
                            throw new ConnectException(1, e);
                        }
                    }
                }
                return null;
            }
            if (config.containsKey("fails")) {
                throw new ConnectException(7, "told to fail");
            }
            int count = config.getInt("count", 0);
            if (next >= count) {
                return Collections.emptySet(); // at once: the host must not spin
            }
            return config.containsKey("types") ? types() : texts(count);
        }

        /** As the replicator does it: one builder, one position for all. */
        private Collection<SourceDataEntry> texts(int count) {
            Schema schema = schema("texts", new Field(0, "line", FieldType.STRING));
            DataEntryBuilder builder = new DataEntryBuilder(schema).timestamp(1000L).queue(config.getString("topic"))
                    .entryType(EntryType.CREATE).shardingKey("key");
            long end = Math.min(count, next + config.getInt("batch", 10));
            List<SourceDataEntry> entries = new ArrayList<>();
            while (next < end) {
                next++;
                builder.putFiled("line", "line " + next);
                entries.add(builder.buildSourceDataEntry(partition, buffer(Long.toString(end))));
            }
            return entries;
        }

        private Collection<SourceDataEntry> types() {
            next++;
            Field[] fields = new Field[FieldType.values().length];
            for (FieldType type : FieldType.values()) {
                fields[type.ordinal()] = new Field(type.ordinal(), type.name().toLowerCase(), type);
            }
            DataEntryBuilder builder = new DataEntryBuilder(schema("types", fields)).timestamp(2000L).queue(config.getString("topic"))
                    .entryType(EntryType.UPDATE);
            Object[] values = {1, 2L, new BigInteger("123456789012345678901234567890"), 1.5f, 2.5, true, "s\u00fc\"\u00df", new byte[] {0, 1, 2},
                Arrays.asList(1, "x"), Collections.singletonMap("k", 7), new Date(1000)};
            for (int i = 0; i < values.length; i++) {
                builder.putFiled(fields[i].getName(), values[i]);
            }
            Schema bytes = schema("bytes", new Field(0, "b", FieldType.BYTES));
            DataEntryBuilder plain = new DataEntryBuilder(bytes).queue(config.getString("topic")).entryType(EntryType.DELETE);
            plain.putFiled("b", new byte[] {9, 8});
            return Arrays.asList(builder.buildSourceDataEntry(partition, buffer("1")), plain.buildSourceDataEntry(partition, buffer("1")));
        }

        private static Schema schema(String name, Field... fields) {
            Schema schema = new Schema();
            schema.setName(name);
            schema.setDataSource("probe");
            schema.setFields(Arrays.asList(fields));
            return schema;
        }

        @Override
        public void commit() {
            event("commit");
        }

        @Override
        public void commitRecord(SourceDataEntry entry, SinkDataEntry sent) {
            event("commitRecord", entry.getPayload()[0], sent.getQueueName(), Thread.currentThread().getName());
        }

        @Override
        public void stop() {
            synchronized (this) {
                stopped = true;
                notifyAll();
            }
            event("stop");
        }

        @Override
        public void pause() {
        }

        @Override
        public void resume() {
        }
    }
}
