// SPDX-License-Identifier: Apache-2.0
package gantry.host.spi;

import java.util.List;
import java.util.Map;

/**
 * One world of connectors: an OpenMessaging generation, or Kafka Connect. There is one object of each, in the class loader
 * that has that world's API; the host itself has none of them on its class path. Every call comes with the plugin's class
 * loader as the thread's context loader. Thread: any.
 */
public interface Api {
    /** What LOADED says of a connector. May make an object of it, but starts nothing. */
    Description describe(Class<?> connector, boolean sink) throws Exception;

    /** What this API calls keys that the worker has its own names for: the worker's name, the API's. */
    Map<String, String> names();

    /** Is this configuration right? Each finding is {key or null, text}; a third element that is not null is a warning. */
    List<String[]> validate(Class<?> connector, String name, Map<String, String> config) throws Exception;

    /** Start the connector itself, which lives until {@link Running#stop}. */
    Running start(Class<?> connector, String name, Map<String, String> config, Events events) throws Exception;

    SourceWork source(TaskSetup setup, SourceControl control) throws Exception;

    SinkWork sink(TaskSetup setup, SinkControl control) throws Exception;

    /** A started connector. Its calls come one at a time. */
    interface Running {
        /** Configurations of at most {@code max} tasks, whole: with what the task's converters and transforms need. */
        List<Map<String, String>> split(int max) throws Exception;

        void stop() throws Exception;
    }

    /** What a started connector may tell. Thread: any. */
    interface Events {
        void reconfigure();

        void fail(Exception error);
    }
}
