// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms;

import gantry.host.log.Errors;
import gantry.host.spi.Api;
import gantry.host.spi.Description;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.spi.TaskSetup;
import gantry.host.spi.Tolerance;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.component.connector.Connector;
import io.openmessaging.connector.api.component.connector.ConnectorContext;
import io.openmessaging.connector.api.component.task.sink.SinkConnector;
import io.openmessaging.connector.api.component.task.sink.SinkTask;
import io.openmessaging.connector.api.component.task.source.SourceTask;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** OpenMessaging Connect 0.1.4. */
public final class OmsApi implements Api {
    private static Connector<?> make(Class<?> type) throws ReflectiveOperationException {
        return (Connector<?>) type.getDeclaredConstructor().newInstance();
    }

    @Override
    public Description describe(Class<?> type, boolean sink) throws Exception {
        Description description = new Description();
        try {
            description.taskClass = make(type).taskClass().getName();
        } catch (RuntimeException e) {
            description.taskClass = null; // some know it only with a configuration
        }
        for (String key : Settings.OF_THE_RUNTIME) {
            description.defs.add(new Description.Def(key, Description.Def.STRING, false, "Read by the host."));
        }
        return description;
    }

    @Override
    public Map<String, String> names() {
        Map<String, String> names = new HashMap<>();
        names.put("topic", "connect.topicname");
        names.put("topicNames", "connect.topicnames");
        names.put("tasks.max", "max.tasks");
        return names;
    }

    @Override
    public List<String[]> validate(Class<?> type, String name, Map<String, String> config) {
        List<String[]> findings = Tolerance.findings(config, SinkConnector.class.isAssignableFrom(type));
        try {
            make(type).validate(Settings.keyValue(config));
        } catch (Exception e) { // that is how it says so
            findings.add(new String[] {null, e.getMessage() == null ? e.toString() : e.getMessage()});
        }
        try {
            new Converters(config, type.getClassLoader());
            new Transforms(config, type.getClassLoader()).close();
        } catch (Exception e) { // the text names the key
            findings.add(new String[] {null, Errors.text(e)});
        }
        return findings;
    }

    @Override
    public Api.Running start(Class<?> type, String name, Map<String, String> config, Events events) throws Exception {
        Connector<?> connector = make(type);
        KeyValue own = Settings.keyValue(config);
        connector.validate(own);
        connector.init(new Context(events));
        connector.start(own);
        return new Api.Running() {
            @Override
            public List<Map<String, String>> split(int max) {
                List<Map<String, String>> tasks = new ArrayList<>();
                List<KeyValue> made = connector.taskConfigs(max);
                for (int i = 0; made != null && i < made.size(); i++) {
                    Map<String, String> task = Settings.map(made.get(i));
                    Settings.complete(task, config);
                    task.put("task.class", connector.taskClass().getName());
                    task.put("task.id", Integer.toString(i));
                    tasks.add(task);
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
        return new OmsSource(task(setup, SourceTask.class), setup, control);
    }

    @Override
    public SinkWork sink(TaskSetup setup, SinkControl control) throws Exception {
        return new OmsSink(task(setup, SinkTask.class), setup, control);
    }

    private static final class Context implements ConnectorContext {
        private final Events events;

        Context(Events events) {
            this.events = events;
        }

        @Override
        public void requestTaskReconfiguration() {
            events.reconfigure();
        }

        @Override
        public void raiseError(Exception error) {
            events.fail(error);
        }
    }
}
