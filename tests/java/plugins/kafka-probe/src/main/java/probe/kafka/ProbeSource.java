// SPDX-License-Identifier: Apache-2.0
package probe.kafka;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.config.Config;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Does what its configuration says, and prints what is done to it: `EVENT ...`. */
public class ProbeSource extends SourceConnector {
    private Map<String, String> config;

    static void event(Object... words) {
        StringBuilder text = new StringBuilder("EVENT");
        for (Object word : words) {
            text.append(' ').append(word);
        }
        System.out.println(text);
    }

    @Override
    public String version() {
        return "7.1";
    }

    @Override
    public ConfigDef config() {
        return new ConfigDef()
                .define("topic", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "Where to.")
                .define("count", ConfigDef.Type.INT, 0, ConfigDef.Range.atLeast(0), ConfigDef.Importance.LOW, "How many.")
                .define("secret", ConfigDef.Type.PASSWORD, "geheim", ConfigDef.Importance.LOW, "")
                .define("flag", ConfigDef.Type.BOOLEAN, false, ConfigDef.Importance.LOW, "")
                .define("words", ConfigDef.Type.LIST, "a,b", ConfigDef.Importance.LOW, "Some.");
    }

    @Override
    public Config validate(Map<String, String> given) {
        Config found = super.validate(given);
        if (given.containsKey("bad")) {
            ConfigValue value = new ConfigValue("bad");
            value.addErrorMessage("bad is " + given.get("bad") + "; it must not be there");
            List<ConfigValue> all = new ArrayList<>(found.configValues());
            all.add(value);
            return new Config(all);
        }
        return found;
    }

    @Override
    public void start(Map<String, String> given) {
        config = given;
        event("connector-start", given.get("name"), Thread.currentThread().getContextClassLoader() == getClass().getClassLoader());
        if (given.containsKey("reconfigure")) {
            context().requestTaskReconfiguration();
        }
        if (given.containsKey("raise")) {
            context().raiseError(new ConnectException(given.get("raise")));
        }
    }

    @Override
    public Class<? extends Task> taskClass() {
        return ProbeTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int max) {
        List<Map<String, String>> all = new ArrayList<>();
        for (int i = 0; i < Math.min(max, 3); i++) {
            Map<String, String> one = new HashMap<>();
            for (String key : Arrays.asList("topic", "what", "count", "batch", "size", "poll", "start", "stop")) {
                if (config.containsKey(key)) {
                    one.put(key, config.get(key));
                }
            }
            one.put("number", Integer.toString(i));
            all.add(one);
        }
        return all;
    }

    @Override
    public void stop() {
        event("connector-stop");
    }

    public static class ProbeTask extends SourceTask {
        private static final Logger LOG = LoggerFactory.getLogger(ProbeTask.class);
        private Map<String, String> config;
        private Map<String, String> partition;
        private long next;
        private boolean stopped;

        @Override
        public String version() {
            return "7.1";
        }

        @Override
        public void start(Map<String, String> given) {
            config = given;
            partition = Collections.singletonMap("number", given.get("number"));
            Map<String, Object> offset = context.offsetStorageReader().offset(partition);
            next = offset == null ? 0 : (Long) offset.get("next");
            misbehave(given.getOrDefault("start", ""));
            event("start", given.get("number"), offset, context.configs().equals(given),
                    context.offsetStorageReader().offsets(Arrays.asList(partition, Collections.singletonMap("number", "none"))).size());
            LOG.info("by slf4j {}", given.get("number"));
            org.apache.log4j.Logger.getLogger("probe.log4j").warn("by log4j");
            java.util.logging.Logger.getLogger("probe.jul").warning("by jul");
            System.err.println("by stderr");
            if (config.containsKey("driver")) {
                try {
                    java.sql.DriverManager.registerDriver(new ProbeDriver(), () -> event("driver-gone"));
                } catch (java.sql.SQLException e) {
                    throw new ConnectException(e);
                }
            }
            if (config.containsKey("slow")) {
                try {
                    Thread.sleep(Long.parseLong(config.get("slow")));
                } catch (InterruptedException e) {
                    throw new ConnectException("interrupted", e);
                }
                event("has started");
            }
            Thread thread = new Thread(() -> System.out.println("by a thread"));
            thread.start();
        }

        @Override
        public synchronized List<SourceRecord> poll() throws InterruptedException {
            String mode = config.getOrDefault("poll", "");
            if (mode.equals("blocks")) {
                event("poll");
                while (!stopped) {
                    wait();
                }
                return null;
            }
            if (mode.equals("sleeps")) { // only an interrupt ends it
                event("poll");
                Thread.sleep(600_000);
            }
            misbehave(mode);
            int count = Integer.parseInt(config.getOrDefault("count", "0"));
            int batch = Integer.parseInt(config.getOrDefault("batch", "100"));
            List<SourceRecord> records = new ArrayList<>();
            while (records.size() < batch && next < count) {
                next++;
                records.add(record(mode.equals("sameposition") ? (next - 1) / batch * batch + batch : next));
            }
            if (records.isEmpty() && mode.equals("ends")) {
                throw new ConnectException("no more");
            }
            if (records.isEmpty()) {
                wait(50);
            }
            return records;
        }

        private void misbehave(String mode) {
            switch (mode) {
                case "fails":
                    throw new ConnectException("broken\nin two lines", new IllegalStateException("the reason"));
                case "noclass":
                    throw new NoClassDefFoundError("org/example/Missing");
                case "stack":
                    misbehave(mode);
                    break;
                case "memory": {
                    List<byte[]> all = new ArrayList<>();
                    while (true) {
                        all.add(new byte[16 << 20]);
                    }
                }
                case "exits":
                    System.exit(5);
                    break;
                case "loops":
                    while (true) {
                        next = next + 1 - 1; // neither a stop nor an interrupt ends it
                    }
                case "halts":
                    Runtime.getRuntime().halt(6);
                    break;
                default:
            }
        }

        private SourceRecord record(long position) {
            Map<String, Object> offset = Collections.singletonMap("next", position);
            String topic = config.get("topic");
            String what = config.getOrDefault("what", "text");
            if (what.equals("big")) {
                char[] text = new char[Integer.parseInt(config.get("size"))];
                Arrays.fill(text, (char) ('a' + next % 26));
                return new SourceRecord(partition, offset, topic, Schema.STRING_SCHEMA, new String(text));
            }
            if (what.equals("partitions")) {
                String name = String.join("", Collections.nCopies(300, "p")) + next;
                return new SourceRecord(Collections.singletonMap("name", name), offset, topic, Schema.STRING_SCHEMA, "v" + next);
            }
            if (what.equals("tombstone")) {
                return new SourceRecord(partition, offset, topic, null, Schema.STRING_SCHEMA, "k" + next, null, null, 1234567890123L);
            }
            if (what.equals("headers")) {
                ConnectHeaders headers = new ConnectHeaders();
                headers.addString("one", "eins").addInt("two", 2).addBoolean("three", true).add("four", null, null);
                return new SourceRecord(partition, offset, topic, 0, null, null, Schema.STRING_SCHEMA, "v" + next, 5L, headers);
            }
            if (what.equals("struct")) {
                Schema schema = SchemaBuilder.struct().name("all")
                        .field("i8", Schema.INT8_SCHEMA).field("i16", Schema.INT16_SCHEMA).field("i32", Schema.INT32_SCHEMA)
                        .field("i64", Schema.INT64_SCHEMA).field("f32", Schema.FLOAT32_SCHEMA).field("f64", Schema.FLOAT64_SCHEMA)
                        .field("b", Schema.BOOLEAN_SCHEMA).field("s", Schema.STRING_SCHEMA).field("bytes", Schema.BYTES_SCHEMA)
                        .field("list", SchemaBuilder.array(Schema.STRING_SCHEMA).build())
                        .field("map", SchemaBuilder.map(Schema.STRING_SCHEMA, Schema.INT32_SCHEMA).build())
                        .field("dec", Decimal.schema(2)).field("date", Date.SCHEMA).field("ts", Timestamp.SCHEMA)
                        .field("none", Schema.OPTIONAL_STRING_SCHEMA).build();
                Struct value = new Struct(schema).put("i8", (byte) 1).put("i16", (short) 2).put("i32", 3).put("i64", 4L).put("f32", 1.5f)
                        .put("f64", 2.5).put("b", true).put("s", "süß").put("bytes", new byte[] {0, 1, 2}).put("list", Arrays.asList("x", "y"))
                        .put("map", Collections.singletonMap("k", 7)).put("dec", new BigDecimal("12.34"))
                        .put("date", new java.util.Date(86_400_000L)).put("ts", new java.util.Date(1000L));
                return new SourceRecord(partition, offset, topic, schema, value);
            }
            return new SourceRecord(partition, offset, topic, Schema.STRING_SCHEMA, "v" + next);
        }

        @Override
        public void commit() {
            event("commit");
        }

        @Override
        public void commitRecord(SourceRecord record, RecordMetadata metadata) {
            event("commitRecord", record.value(), metadata != null);
        }

        @Override
        public void stop() {
            synchronized (this) {
                stopped = true;
                notifyAll();
            }
            event("stop", config.get("number"), Thread.currentThread().getName());
            misbehave(config.getOrDefault("stop", ""));
        }
    }
}
