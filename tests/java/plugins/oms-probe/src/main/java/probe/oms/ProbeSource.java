// SPDX-License-Identifier: Apache-2.0
package probe.oms;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.Transform;
import io.openmessaging.connector.api.component.task.Task;
import io.openmessaging.connector.api.component.task.source.SourceConnector;
import io.openmessaging.connector.api.component.task.source.SourceTask;
import io.openmessaging.connector.api.data.ConnectRecord;
import io.openmessaging.connector.api.data.RecordConverter;
import io.openmessaging.connector.api.data.RecordOffset;
import io.openmessaging.connector.api.data.RecordPartition;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SchemaAndValue;
import io.openmessaging.connector.api.data.SchemaBuilder;
import io.openmessaging.connector.api.data.Struct;
import io.openmessaging.connector.api.data.logical.Date;
import io.openmessaging.connector.api.data.logical.Decimal;
import io.openmessaging.connector.api.data.logical.Timestamp;
import io.openmessaging.connector.api.errors.ConnectException;
import io.openmessaging.connector.api.errors.RetriableException;
import io.openmessaging.internal.DefaultKeyValue;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Uses each method of the 0.1.4 API, and prints what is done to it: `EVENT ...`. */
public class ProbeSource extends SourceConnector {
    private KeyValue config;

    static void event(Object... words) {
        StringBuilder text = new StringBuilder("EVENT");
        for (Object word : words) {
            text.append(' ').append(word);
        }
        System.out.println(text);
    }

    @Override
    public void validate(KeyValue given) {
        event("validate");
        if (given.containsKey("bad")) {
            throw new ConnectException("bad must not be there");
        }
    }

    @Override
    public void start(KeyValue given) {
        config = given;
        event("connector-start", getConnectorContext() != null);
        if (given.containsKey("reconfigure")) {
            connectorContext.requestTaskReconfiguration();
        }
        if (given.containsKey("raise")) {
            connectorContext.raiseError(new ConnectException(given.getString("raise")));
        }
    }

    @Override
    public void stop() {
        event("connector-stop");
    }

    @Override
    public Class<? extends Task> taskClass() {
        return ProbeTask.class;
    }

    @Override
    public List<KeyValue> taskConfigs(int max) {
        List<KeyValue> all = new ArrayList<>();
        for (int i = 0; i < Math.min(max, 2); i++) {
            KeyValue one = new DefaultKeyValue();
            for (String key : Arrays.asList("count", "what", "blocks", "size", "batch")) {
                if (config.containsKey(key)) {
                    one.put(key, config.getString(key));
                }
            }
            all.add(one.put("number", i));
        }
        return all;
    }

    public static class ProbeTask extends SourceTask {
        private KeyValue config;
        private RecordPartition partition;
        private long next;
        private boolean retried;

        @Override
        public void start(KeyValue given) {
            config = given;
            Map<String, String> map = new HashMap<>();
            map.put("number", given.getString("number"));
            map.put("and", "more");
            partition = new RecordPartition(map);
            RecordOffset offset = sourceTaskContext.offsetStorageReader().readOffset(partition);
            next = offset == null ? 0 : Long.parseLong((String) offset.getOffset().get("nextPosition"));
            event("start", next, sourceTaskContext.getConnectorName(), sourceTaskContext.getTaskName(), sourceTaskContext.configs() == given,
                    sourceTaskContext.offsetStorageReader().readOffsets(Collections.singletonList(partition)).size());
        }

        @Override
        public List<ConnectRecord> poll() throws InterruptedException {
            if (config.containsKey("blocks")) {
                event("poll");
                Thread.sleep(600_000);
            }
            if (!retried) {
                retried = true;
                throw new RetriableException("once more");
            }
            if (next >= config.getInt("count", 0)) {
                Thread.sleep(20);
                return null;
            }
            List<ConnectRecord> records = new ArrayList<>();
            do {
                next++;
                records.add(record(config.getString("what", "text")));
            } while (records.size() < config.getInt("batch", 1));
            return records;
        }

        private ConnectRecord record(String what) {
            RecordOffset offset = new RecordOffset(Collections.singletonMap("nextPosition", Long.toString(next)));
            if (what.equals("struct")) {
                Schema schema = SchemaBuilder.struct().name("all").field("i8", SchemaBuilder.int8().build()).field("i16", SchemaBuilder.int16().build())
                        .field("i32", SchemaBuilder.int32().build()).field("i64", SchemaBuilder.int64().build())
                        .field("f32", SchemaBuilder.float32().build()).field("f64", SchemaBuilder.float64().build())
                        .field("b", SchemaBuilder.bool().build()).field("s", SchemaBuilder.string().build())
                        .field("bytes", SchemaBuilder.bytes().build()).field("list", SchemaBuilder.array(SchemaBuilder.string().build()).build())
                        .field("map", SchemaBuilder.map(SchemaBuilder.string().build(), SchemaBuilder.int32().build()).build())
                        .field("dec", Decimal.schema(2)).field("date", Date.builder().build())
                        .field("ts", Timestamp.builder().build()).field("none", SchemaBuilder.string().build()).build();
                Struct value = new Struct(schema).put("i8", (byte) 1).put("i16", (short) 2).put("i32", 3).put("i64", 4L).put("f32", 1.5f).put("f64", 2.5)
                        .put("b", true).put("s", "text").put("bytes", new byte[] {0, 1, 2}).put("list", Arrays.asList("x", "y"))
                        .put("map", Collections.singletonMap("k", 7)).put("dec", new BigDecimal("12.34"))
                        .put("date", new java.util.Date(86_400_000L)).put("ts", new java.util.Date(1000L));
                return new ConnectRecord(partition, offset, 3000L, schema, value);
            }
            if (what.equals("long")) {
                return new ConnectRecord(partition, offset, 3000L, SchemaBuilder.int64().build(), 3_000_000_000L);
            }
            char[] more = new char[config.getInt("size", 0)];
            Arrays.fill(more, '.');
            ConnectRecord record = new ConnectRecord(partition, offset, 3000L, SchemaBuilder.string().build(), "k" + next,
                    SchemaBuilder.string().build(), "v" + next + new String(more));
            if (what.equals("extensions")) {
                record.addExtension("topic", "own-topic");
                record.addExtension("TAGS", "red");
                record.addExtension("mine", "yours");
                record.addExtension("empty", "");
            }
            return record;
        }

        @Override
        public void commit(List<ConnectRecord> records, Map<String, String> result) {
            event("commit-list", records.size(), result.get("send.status"));
        }

        @Override
        public void commit(ConnectRecord record, Map<String, String> result) {
            event("commit-record-result", record.getData(), result.get("topic"));
            super.commit(record, result);
        }

        @Override
        public void commit(ConnectRecord record) {
            event("commit-record", record.getData());
        }

        @Override
        public void commit() {
            event("commit");
        }

        @Override
        public void stop() {
            event("stop");
        }
    }

    /** A transform and a converter of the jar's own. */
    public static class Twice implements Transform<ConnectRecord> {
        private String mark;

        @Override
        public void start(KeyValue given) {
            mark = given.getString("mark");
        }

        @Override
        public void stop() {
            event("transform-stop");
        }

        @Override
        public ConnectRecord doTransform(ConnectRecord record) {
            String text = String.valueOf(record.getData());
            if (text.endsWith("2")) {
                return null;
            }
            record.setData(text + mark + text);
            return record;
        }
    }

    public static class Shout implements RecordConverter {
        private Object mark;

        @Override
        public void configure(Map<String, ?> given) {
            mark = given.get("mark");
        }

        @Override
        public byte[] fromConnectData(String topic, Schema schema, Object value) {
            return (mark + String.valueOf(value).toUpperCase()).getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public SchemaAndValue toConnectData(String topic, byte[] bytes) {
            return new SchemaAndValue(SchemaBuilder.string().build(), new String(bytes, StandardCharsets.UTF_8).toLowerCase());
        }
    }
}
