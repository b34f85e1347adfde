// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.Map;

/** What a task is started with. */
public final class TaskSetup {
    /** The connector's class, in its plugin's loader. */
    public final Class<?> connectorClass;
    public final String connector;
    public final int task;
    public final int tasks;
    public final Map<String, String> config;

    public TaskSetup(Class<?> connectorClass, String connector, int task, int tasks, Map<String, String> config) {
        this.connectorClass = connectorClass;
        this.connector = connector;
        this.task = task;
        this.tasks = tasks;
        this.config = config;
    }

    /** A class of the plugin, or of its API. */
    public Class<?> load(String name) throws ClassNotFoundException {
        return Class.forName(name, true, connectorClass.getClassLoader());
    }
}
