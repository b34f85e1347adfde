// SPDX-License-Identifier: Apache-2.0
package gantry.adapter.oms2019;

import gantry.host.spi.Api;
import gantry.host.spi.Description;
import gantry.host.spi.SinkControl;
import gantry.host.spi.SinkWork;
import gantry.host.spi.SourceControl;
import gantry.host.spi.SourceWork;
import gantry.host.spi.TaskSetup;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.Connector;
import io.openmessaging.connector.api.ConnectorContext;
import io.openmessaging.connector.api.sink.SinkTask;
import io.openmessaging.connector.api.source.SourceTask;
import io.openmessaging.internal.DefaultKeyValue;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** OpenMessaging Connect 0.1.0-beta and 0.1.1, as the runtime of 2019 drove it. */
public final class Oms2019Api implements Api {
    private static final int TASKS_MAX = 1024;

    static KeyValue keyValue(Map<String, String> config) {
        KeyValue made = new DefaultKeyValue();
        for (Map.Entry<String, String> entry : config.entrySet()) {
            made.put(entry.getKey(), entry.getValue());
        }
        return made;
    }

    private static Connector make(Class<?> type) throws ReflectiveOperationException {
        return (Connector) type.getDeclaredConstructor().newInstance();
    }

    /**
     * Nothing is called on it: connectors of that time answer only with a configuration. Nor are they told how many tasks
     * there may be: keys of their own say that.
     */
    @Override
    public Description describe(Class<?> type, boolean sink) {
        Description description = new Description();
        description.defs.add(new Description.Def("tasks.max", Description.Def.INT, false, "More tasks than these are refused.")
                .range(1, TASKS_MAX).defaultValue(Integer.toString(TASKS_MAX)));
        return description;
    }

    @Override
    public Map<String, String> names() {
        return Collections.singletonMap("connector.class", "connector-class");
    }

    @Override
    public List<String[]> validate(Class<?> type, String name, Map<String, String> config) throws Exception {
        String text = make(type).verifyAndSetConfig(keyValue(config));
        return text == null || text.isEmpty() ? Collections.emptyList() : Collections.singletonList(new String[] {null, text});
    }

    /**
     * The configurations come from an object that is not initialized yet, as it was then, and some connectors rely on it. The
     * same one is started afterwards: a second would leak what taskConfigs() has opened.
     */
    @Override
    public Api.Running start(Class<?> type, String name, Map<String, String> config, Events events) throws Exception {
        Connector connector = make(type);
        String text = connector.verifyAndSetConfig(keyValue(config));
        if (text != null && !text.isEmpty()) {
            throw new IllegalArgumentException(text);
        }
        return new Api.Running() {
            private boolean started;

            @Override
            public List<Map<String, String>> split(int max) {
                List<Map<String, String>> tasks = new ArrayList<>();
                List<KeyValue> configs = connector.taskConfigs();
                String taskClass = connector.taskClass().getName();
                for (KeyValue one : configs == null ? Collections.<KeyValue>emptyList() : configs) {
                    Map<String, String> task = new LinkedHashMap<>();
                    for (String key : one.keySet()) {
                        task.put(key, String.valueOf(one.getString(key)));
                    }
                    task.put("task-class", taskClass);
                    tasks.add(task);
                }
                if (!started) {
                    connector.initialize(new Context(events));
                    connector.verifyAndSetConfig(keyValue(config));
                    connector.start();
                    started = true;
                }
                return tasks;
            }

            @Override
            public void stop() {
                if (started) {
                    connector.stop();
                }
            }
        };
    }

    private static <T> T task(TaskSetup setup, Class<T> wanted) throws Exception {
        String name = setup.config.get("task-class");
        Class<?> type = name != null ? setup.load(name) : make(setup.connectorClass).taskClass();
        if (!wanted.isAssignableFrom(type)) {
            throw new IllegalArgumentException("task-class is '" + type.getName() + "', which is no " + wanted.getSimpleName());
        }
        return wanted.cast(type.getDeclaredConstructor().newInstance());
    }

    @Override
    public SourceWork source(TaskSetup setup, SourceControl control) throws Exception {
        return new Oms2019Source(task(setup, SourceTask.class), keyValue(setup.config), control);
    }

    @Override
    public SinkWork sink(TaskSetup setup, SinkControl control) throws Exception {
        return new Oms2019Sink(task(setup, SinkTask.class), keyValue(setup.config), control);
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
