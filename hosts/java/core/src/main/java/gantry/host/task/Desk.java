// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import gantry.host.plugin.Plugin;
import gantry.host.plugin.PluginException;
import gantry.host.plugin.Plugins;
import gantry.host.spi.Api;
import gantry.host.spi.Description;
import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Packer;
import gantry.host.wire.ProtocolException;
import gantry.host.wire.Unpacker;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * What the worker asks of the host as a whole, and the started connectors. Requests about the same connector, and about
 * the same plugin's loading, are worked off in their order; others side by side, for each may take long.
 */
final class Desk {
    /** enum gantry_connector_flag: its calls wait; and started again at a position it may poll other records. */
    private static final int BLOCKS = 1;
    private static final int NO_REPLAY = 4;
    /** No table of a Java connector names all that it reads. */
    private static final int OPEN_KEYS = 16;

    private static final class Started {
        final long plugin;
        final String className;
        final Map<String, String> config;
        final Api.Running connector;
        final ClassLoader loader;

        Started(long plugin, String className, Map<String, String> config, Api.Running connector, ClassLoader loader) {
            this.plugin = plugin;
            this.className = className;
            this.config = config;
            this.connector = connector;
            this.loader = loader;
        }

        boolean is(long otherPlugin, String otherClass, Map<String, String> otherConfig) {
            return plugin == otherPlugin && className.equals(otherClass) && config.equals(otherConfig);
        }
    }

    private interface Work {
        void run() throws Exception;
    }

    private final Host host;
    private final Plugins plugins;
    private final ExecutorService threads = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "desk");
        thread.setDaemon(true);
        return thread;
    });
    /** By connector; touched by the thread that works for that connector only. */
    private final Map<String, Started> started = new ConcurrentHashMap<>();
    /** What waits behind the request that is being worked on. Guarded by itself. */
    private final Map<String, ArrayDeque<Runnable>> lines = new HashMap<>();

    Desk(Host host, Plugins plugins) {
        this.host = host;
        this.plugins = plugins;
    }

    /** Thread: the reading one. */
    void frame(int type, int count, Unpacker in) {
        switch (type) {
            case Frame.LOAD: {
                long id = in.number();
                load(id, in.texts());
                break;
            }
            case Frame.UNLOAD: {
                long id = in.number();
                queue("plugin " + id, null, 0, () -> plugins.unload(id));
                break;
            }
            case Frame.VALIDATE: {
                long id = in.number();
                long plugin = in.number();
                String className = in.text();
                String name = in.text();
                Map<String, String> config = in.texts();
                queue("connector " + name, name, id, () -> validate(id, plugin, className, name, config));
                break;
            }
            case Frame.SPLIT: {
                long id = in.number();
                long plugin = in.number();
                String className = in.text();
                String name = in.text();
                Map<String, String> config = in.texts();
                int max = (int) Math.min(in.number(), 100_000);
                queue("connector " + name, name, id, () -> split(id, plugin, className, name, config, max));
                break;
            }
            case Frame.RELEASE: {
                String name = in.text();
                queue("connector " + name, name, 0, () -> release(name));
                break;
            }
            default:
                throw new ProtocolException("a frame of type " + type + " for the host as a whole");
        }
    }

    /** @param id of the request; an exception becomes its FAILED. 0: nobody waits for it */
    private void queue(String line, String connector, long id, Work work) {
        Runnable run = () -> Host.scoped(connector, () -> {
            try {
                work.run();
            } catch (Throwable e) {
                Halt.ifOutOfMemory(e);
                if (id == 0) {
                    Log.trace(Log.WARN, "host", "its end has failed", e);
                } else {
                    // the answer says all of it, unless the plugin's code is to be looked at
                    boolean plain = e instanceof IOException || e instanceof ClassNotFoundException;
                    Log.trace(plain ? Log.DEBUG : Log.WARN, "host", "a request has failed", e);
                    String text = e instanceof PluginException ? e.getMessage() : Errors.text(e);
                    host.line.send(new Packer(512).begin(Frame.FAILED, 0, 3).number(id).number(Errors.code(e)).text(text), 0);
                }
            }
            Thread.interrupted();
        });
        synchronized (lines) {
            ArrayDeque<Runnable> waiting = lines.get(line);
            if (waiting != null) {
                waiting.add(run);
                return;
            }
            lines.put(line, new ArrayDeque<>());
        }
        threads.execute(() -> {
            for (Runnable next = run; next != null; next = next(line)) {
                next.run();
            }
        });
    }

    private Runnable next(String line) {
        synchronized (lines) {
            Runnable next = lines.get(line).poll();
            if (next == null) {
                lines.remove(line);
            }
            return next;
        }
    }

    private void load(long id, Map<String, String> what) {
        String path = what.get("path");
        if (path == null) {
            throw new ProtocolException("a LOAD without a path");
        }
        plugins.announce(id);
        queue("plugin " + id, null, id, () -> loaded(id, plugins.load(id, path, what.get("name"))));
    }

    private void loaded(long id, Plugin plugin) {
        Packer frame = new Packer(16 << 10).begin(Frame.LOADED, 0, 2).number(id).map(3);
        frame.text("name").text(plugin.name).text("version").text(plugin.version == null ? "" : plugin.version);
        frame.text("connectors");
        int place = frame.openArray();
        int count = 0;
        for (Plugin.Entry entry : plugin.entries()) {
            describe(frame, entry, plugin);
            count++;
        }
        frame.setCount(place, count);
        host.line.send(frame, 0);
    }

    private static void describe(Packer frame, Plugin.Entry entry, Plugin plugin) {
        Description description = entry.description;
        String version = description.version != null ? description.version : plugin.version != null ? plugin.version : "";
        frame.map(10).text("kind").number(entry.sink ? 1 : 0);
        frame.text("flags").number(OPEN_KEYS | (entry.sink ? BLOCKS : BLOCKS | NO_REPLAY));
        frame.text("classes").array(1).text(entry.className);
        frame.text("task_class").text(description.taskClass == null ? "" : description.taskClass);
        frame.text("version").text(version);
        frame.text("doc").text(description.doc == null ? "" : description.doc);
        frame.text("api").text(entry.apiTitle);
        frame.text("validates").bool(true).text("splits").bool(true);
        List<Description.Def> defs = new ArrayList<>(description.defs);
        if (!entry.sink && defs.stream().noneMatch(def -> def.name.equals("topic"))) {
            // records may name theirs; without this the worker would ask for the key
            defs.add(new Description.Def("topic", Description.Def.STRING, false, "The topic of records that name none."));
        }
        frame.text("defs").array(defs.size());
        for (Description.Def def : defs) {
            frame.map(7).text("name").text(def.name).text("type").number(def.type);
            frame.text("default").text(def.defaultValue).text("min").number(def.min).text("max").number(def.max);
            frame.text("flags").number(def.required ? 1 : 0).text("doc").text(def.doc);
        }
    }

    private interface Call<T> {
        T run() throws Exception;
    }

    /** Within the plugin's loader. */
    private static <T> T within(ClassLoader loader, Call<T> call) throws Exception {
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        thread.setContextClassLoader(loader);
        try {
            return call.run();
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    private void validate(long id, long plugin, String className, String name, Map<String, String> given) throws Exception {
        Plugin.Entry entry = plugins.entry(plugin, className);
        Map<String, String> config = entry.named(given);
        List<String[]> findings = within(entry.type.getClassLoader(), () -> entry.api.validate(entry.type, name, config));
        Packer frame = new Packer(512).begin(Frame.FINDINGS, 0, 2).number(id).array(findings.size());
        for (String[] finding : findings) {
            frame.array(3).text(finding[0]).text(finding[1]).bool(finding.length > 2 && finding[2] != null);
        }
        host.line.send(frame, 0);
    }

    private void split(long id, long plugin, String className, String name, Map<String, String> given, int max) throws Exception {
        Plugin.Entry entry = plugins.entry(plugin, className);
        Map<String, String> config = entry.named(given);
        ClassLoader loader = entry.type.getClassLoader();
        Started running = started.get(name);
        if (running != null && !running.is(plugin, className, config)) {
            release(name);
            running = null;
        }
        if (running == null) {
            Api.Running connector = within(loader, () -> entry.api.start(entry.type, name, config, events(name)));
            running = new Started(plugin, className, config, connector, loader);
            started.put(name, running);
        }
        Api.Running connector = running.connector;
        List<Map<String, String>> tasks = within(loader, () -> connector.split(max));
        Packer frame = new Packer(4096).begin(Frame.TASKS, 0, 2).number(id).array(tasks.size());
        for (Map<String, String> task : tasks) {
            frame.texts(task);
        }
        host.line.send(frame, 0);
    }

    private void release(String name) throws Exception {
        Started running = started.remove(name);
        if (running != null) {
            within(running.loader, () -> {
                running.connector.stop();
                return null;
            });
        }
    }

    private Api.Events events(String name) {
        return new Api.Events() {
            @Override
            public void reconfigure() {
                host.line.send(new Packer(128).begin(Frame.RECONFIGURE, 0, 2).text(name).nil(), 0);
            }

            @Override
            public void fail(Exception error) {
                Log.trace(Log.ERROR, "connector", "raised an error", error);
                host.line.send(new Packer(512).begin(Frame.RECONFIGURE, 0, 2).text(name).text(Errors.text(error)), 0);
            }
        };
    }
}
