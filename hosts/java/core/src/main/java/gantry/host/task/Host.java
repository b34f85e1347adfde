// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import gantry.host.log.Scope;
import gantry.host.plugin.Plugin;
import gantry.host.plugin.Plugins;
import gantry.host.spi.TaskSetup;
import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Line;
import gantry.host.wire.Packer;
import gantry.host.wire.ProtocolException;
import gantry.host.wire.Unpacker;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** The host as a whole: reads frames, and hands each to whom it is for. */
public final class Host implements Line.Reader {
    final Line line;
    final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "timer");
        thread.setDaemon(true);
        return thread;
    });
    private final String title;
    private final Map<Long, Channel> channels = new ConcurrentHashMap<>();
    private volatile Plugins plugins;
    private Desk desk;
    private long lastChannel;
    /** By channel. Guarded by this. */
    private final Map<Long, List<Early>> early = new HashMap<>();

    public Host(Line line, String title) {
        this.line = line;
        this.title = title;
    }

    /** Until the worker closes the line. Thread: the reading one. */
    public void run() throws IOException {
        line.read(this);
    }

    /** A frame for a channel whose plugin is still being loaded. */
    private static final class Early {
        final int type;
        final int count;
        final Unpacker in;

        Early(int type, int count, Unpacker in) {
            this.type = type;
            this.count = count;
            this.in = in;
        }
    }

    /** Thread: the reading one; and, for frames that came early, the one that has loaded their plugin. */
    @Override
    public synchronized void frame(int type, long channel, int count, Unpacker in) {
        List<Early> waiting = early.get(channel);
        if (waiting != null) {
            waiting.add(new Early(type, count, in));
        } else if (type == Frame.HELLO) {
            hello(count, in);
        } else if (plugins == null) {
            throw new ProtocolException("a frame of type " + type + " before HELLO");
        } else if (channel == 0) {
            desk.frame(type, count, in);
        } else if (type == Frame.START) {
            start(channel, in);
        } else {
            Channel one = channels.get(channel);
            if (one == null) {
                if (channel < 0 || channel > lastChannel) {
                    throw new ProtocolException("a frame of type " + type + " for channel " + channel + ", which never was");
                }
            } else if (type == Frame.STOP) {
                one.requestStop();
            } else {
                one.frame(type, count, in);
            }
        }
    }

    private void hello(int count, Unpacker in) {
        if (plugins != null || count < 3) {
            throw new ProtocolException(count < 3 ? "a HELLO of " + count + " items" : "a second HELLO");
        }
        String library = null;
        long beatMs = 1000;
        int keys = in.map();
        for (int i = 0; i < keys; i++) {
            String key = String.valueOf(in.text());
            switch (key) {
                case "record.max":
                    line.setRecordMax(in.number());
                    break;
                case "beat.ms":
                    beatMs = Math.max(1, in.number());
                    break;
                case "library":
                    library = in.text();
                    break;
                case "settings":
                    Log.setLevel(in.texts().get("host.log.level"));
                    break;
                default:
                    in.skip();
            }
        }
        plugins = new Plugins(library);
        desk = new Desk(this, plugins);
        line.send(new Packer(64).begin(Frame.HELLO, 0, 1).map(2).text("version").number(Frame.VERSION).text("host").text(title), 0);
        timer.scheduleAtFixedRate(this::beat, beatMs, beatMs, TimeUnit.MILLISECONDS);
    }

    private final Packer beats = new Packer(256);

    /** Thread: the timer's. */
    private void beat() {
        long now = System.nanoTime();
        beats.begin(Frame.BEAT, 0, 1);
        int place = beats.openArray();
        int inside = 0;
        for (Channel channel : channels.values()) {
            long ms = channel.callMs(now);
            if (ms >= 0) {
                beats.array(2).number(channel.number).number(ms);
                inside++;
            }
        }
        beats.setCount(place, inside);
        line.send(beats, 0);
    }

    private void start(long channel, Unpacker in) {
        if (channel <= 0 || channel <= lastChannel && channels.containsKey(channel)) {
            throw new ProtocolException("a START of channel " + channel + ", which is in use");
        }
        lastChannel = Math.max(lastChannel, channel);
        long plugin = in.number();
        List<Early> waiting = new ArrayList<>();
        early.put(channel, waiting);
        if (!plugins.whenLoaded(plugin, () -> startLate(plugin, channel, in, waiting))) {
            early.remove(channel);
            start(plugin, channel, in);
        }
    }

    /** The reading thread cannot wait for the plugin, so what came in the meantime is worked off here. */
    private synchronized void startLate(long plugin, long channel, Unpacker in, List<Early> waiting) {
        try {
            early.remove(channel);
            start(plugin, channel, in);
            for (Early one : waiting) {
                frame(one.type, channel, one.count, one.in);
            }
        } catch (ProtocolException e) {
            Halt.now(Halt.PROTOCOL, "gantry-java-host: the worker has said something wrong: " + e.getMessage());
        }
    }

    private void start(long plugin, long channel, Unpacker in) {
        String className = in.text();
        String connector = in.text();
        int task = (int) in.number();
        int tasks = (int) in.number();
        Map<String, String> config = in.texts();
        in.skip(); // no API here has a state of a sink
        long credit = in.number();

        Plugin.Entry entry;
        try {
            entry = plugins.entry(plugin, className);
        } catch (ClassNotFoundException | InterruptedException e) { // it is loaded, so nothing waits
            Channel failed = new FailedChannel(this, channel, connector, e);
            channels.put(channel, failed);
            failed.launch(threadName(connector, task));
            return;
        }
        TaskSetup setup = new TaskSetup(entry.type, connector, task, tasks, entry.named(config));
        Channel made = entry.sink ? sink(entry, setup, channel) : source(entry, setup, channel, credit);
        channels.put(channel, made);
        made.launch(threadName(connector, task));
    }

    /** The replicator of 2019 makes a consumer group of its thread's name: only what RocketMQ takes in one. */
    private static String threadName(String connector, int task) {
        return connector.replaceAll("[^A-Za-z0-9_-]", "_") + "-" + task;
    }

    /** The task's object is made in the task's thread: its constructor is the plugin's. */
    private Channel sink(Plugin.Entry entry, TaskSetup setup, long number) {
        SinkChannel channel = new SinkChannel(this, number, setup.connector, entry.type.getClassLoader());
        channel.setMaker(() -> entry.api.sink(setup, channel));
        return channel;
    }

    private Channel source(Plugin.Entry entry, TaskSetup setup, long number, long credit) {
        SourceChannel channel = new SourceChannel(this, number, setup.connector, entry.type.getClassLoader(), credit);
        channel.setMaker(() -> entry.api.source(setup, channel));
        return channel;
    }

    /** Nothing more is for it. Thread: the channel's. */
    void ended(Channel channel) {
        channels.remove(channel.number);
    }

    /** Run for a connector, not for a task: log lines carry its name. Thread: any. */
    static void scoped(String connector, Runnable work) {
        Scope.enter(new Scope(0, connector));
        try {
            work.run();
        } catch (Throwable e) {
            Halt.ifOutOfMemory(e);
            Log.write(Log.ERROR, "host", Errors.text(e));
        } finally {
            Scope.enter(null);
        }
    }
}
