// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.kafka;

import gantry.host.spi.Api;
import gantry.host.spi.Description;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.Connector;
import org.apache.kafka.connect.connector.ConnectorContext;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkConnectorContext;
import org.apache.kafka.connect.sink.SinkTask;
import org.apache.kafka.connect.source.SourceConnectorContext;
import org.apache.kafka.connect.source.SourceTask;
import org.apache.kafka.connect.storage.OffsetStorageReader;

/** Kafka Connect. */
public final class KafkaApi implements Api {
    private static Connector make(Class<?> type) throws ReflectiveOperationException {
        return (Connector) type.getDeclaredConstructor().newInstance();
    }

    @Override
    public Description describe(Class<?> type, boolean sink) throws Exception {
        Connector connector = make(type);
        Description description = new Description();
        description.version = connector.version();
        try {
            Class<?> task = connector.taskClass();
            description.taskClass = task == null ? null : task.getName();
        } catch (RuntimeException e) {
            description.taskClass = null; // some know it only once they are started
        }
        ConfigDef config = connector.config();
        List<String> notOwn = new ArrayList<>(Arrays.asList(Settings.OF_THE_RUNTIME));
        for (String key : Settings.OF_THE_RUNTIME) {
            description.defs.add(new Description.Def(key, Description.Def.STRING, false, "Read by the host."));
        }
        // Some declare the worker's keys again, as required ones even; they go by other names there.
        notOwn.addAll(Arrays.asList("connector.class", "tasks.max"));
        if (sink) {
            notOwn.add("topics");
        }
        for (ConfigDef.ConfigKey key : config == null ? Collections.<ConfigDef.ConfigKey>emptyList() : config.configKeys().values()) {
            if (!notOwn.contains(key.name)) {
                description.defs.add(def(key));
            }
        }
        return description;
    }

    @Override
    public Map<String, String> names() {
        return Collections.singletonMap("topicNames", "topics");
    }

    /** Defaults stay the connector's: it tells a setting that was made from one that was not. */
    private static Description.Def def(ConfigDef.ConfigKey key) {
        boolean required = !key.hasDefault();
        String doc = key.documentation == null ? "" : key.documentation;
        if (!required && key.defaultValue != null && key.type != ConfigDef.Type.PASSWORD) {
            doc += (doc.isEmpty() ? "" : " ") + "(default: " + ConfigDef.convertToString(key.defaultValue, key.type) + ")";
        }
        return new Description.Def(key.name, type(key.type), required, doc);
    }

    private static int type(ConfigDef.Type type) {
        switch (type) {
            case BOOLEAN:
                return Description.Def.BOOL;
            case SHORT: case INT: case LONG:
                return Description.Def.INT;
            case LIST:
                return Description.Def.LIST;
            case PASSWORD:
                return Description.Def.PASSWORD;
            default:
                return Description.Def.STRING;
        }
    }

    /** Kafka Connect's worker has the name in the configuration, too, and some connectors require it. */
    private static Map<String, String> own(String name, Map<String, String> config) {
        Map<String, String> own = new HashMap<>(config);
        own.putIfAbsent("name", name);
        return own;
    }

    @Override
    public List<String[]> validate(Class<?> type, String name, Map<String, String> config) throws Exception {
        List<String[]> findings = Tolerance.findings(config, SinkConnector.class.isAssignableFrom(type));
        ClassLoader loader = type.getClassLoader();
        for (ConfigValue value : make(type).validate(own(name, config)).configValues()) {
            for (String text : value.errorMessages()) {
                findings.add(new String[] {value.name(), text});
            }
        }
        try {
            new Converters(config, loader).close();
            new Transforms<>(config, loader).close();
        } catch (Exception e) { // the text names the key
            findings.add(new String[] {null, e.getMessage() == null ? e.toString() : e.getMessage()});
        }
        return findings;
    }

    @Override
    public Api.Running start(Class<?> type, String name, Map<String, String> config, Events events) throws Exception {
        Connector connector = make(type);
        boolean sink = connector instanceof SinkConnector;
        connector.initialize(sink ? new SinkContext(events) : new SourceContext(events));
        connector.start(own(name, config));
        return new Api.Running() {
            @Override
            public List<Map<String, String>> split(int max) {
                List<Map<String, String>> tasks = new ArrayList<>();
                Class<? extends Task> task = connector.taskClass();
                for (Map<String, String> one : connector.taskConfigs(max)) {
                    Map<String, String> whole = Settings.whole(one, config);
                    whole.put("task.class", task.getName());
                    tasks.add(whole);
                }
                return tasks;
            }

            @Override
            public void stop() {
                connector.stop();
            }
        };
    }

    private static <T> T task(TaskSetup setup, Class<T> wanted) throws Exception {
        String name = setup.config.get("task.class");
        Class<?> type = name != null ? setup.load(name) : make(setup.connectorClass).taskClass();
        if (!wanted.isAssignableFrom(type)) {
            throw new IllegalArgumentException("task.class is '" + type.getName() + "', which is no " + wanted.getSimpleName());
        }
        return wanted.cast(type.getDeclaredConstructor().newInstance());
    }

    @Override
    public SourceWork source(TaskSetup setup, SourceControl control) throws Exception {
        return new KafkaSource(task(setup, SourceTask.class), setup, control);
    }

    @Override
    public SinkWork sink(TaskSetup setup, SinkControl control) throws Exception {
        return new KafkaSink(task(setup, SinkTask.class), setup, control);
    }

    private static class Context implements ConnectorContext {
        private final Events events;

        Context(Events events) {
            this.events = events;
        }

        @Override
        public void requestTaskReconfiguration() {
            events.reconfigure();
        }

        @Override
        public void raiseError(Exception e) {
            events.fail(e);
        }
    }

    private static final class SinkContext extends Context implements SinkConnectorContext {
        SinkContext(Events events) {
            super(events);
        }
    }

    private static final class SourceContext extends Context implements SourceConnectorContext {
        SourceContext(Events events) {
            super(events);
        }

        /** The positions belong to tasks; the host protocol has no way to ask for them without one. */
        @Override
        public OffsetStorageReader offsetStorageReader() {
            return new OffsetStorageReader() {
                @Override
                public <T> Map<String, Object> offset(Map<String, T> partition) {
                    return null;
                }

                @Override
                public <T> Map<Map<String, T>, Map<String, Object>> offsets(java.util.Collection<Map<String, T>> partitions) {
                    return new HashMap<>();
                }
            };
        }
    }
}
