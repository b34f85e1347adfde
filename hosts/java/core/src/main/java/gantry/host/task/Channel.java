// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.log.Errors;
import gantry.host.log.Log;
import gantry.host.log.Scope;
import gantry.host.wire.Frame;
import gantry.host.wire.Halt;
import gantry.host.wire.Line;
import gantry.host.wire.Packer;
import gantry.host.wire.Unpacker;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One start of one task, with a thread of its own.
 *
 * <p>The reading thread hands it frames ({@link #frame}) and never waits; the task's thread does all the rest. What they share
 * is guarded by this object's monitor. A failure, whatever it is, ends the task and not the host; the channel then waits for
 * STOP, as the protocol wants.
 */
abstract class Channel implements Runnable {
    /** How long a call may go on after STOP before it is helped to end, and until it is interrupted. */
    private static final long GRACE_MS = 200;
    private static final long INTERRUPT_MS = 5000;

    final long number;
    final Line line;
    final Packer packer = new Packer(1024);
    private final ClassLoader loader;
    private final Scope scope;
    private final Host host;
    private final ScheduledExecutorService timer;
    private final AtomicBoolean stopped = new AtomicBoolean();
    private final CountDownLatch stopDone = new CountDownLatch(1);

    /** Guarded by this: what has failed while no call was under way. */
    private Throwable failure;
    volatile boolean stopping;
    /** When the present call of the connector began, System.nanoTime(); 0: none. */
    private volatile long callBegan;
    private volatile Thread thread;
    private volatile boolean over;
    /** The task's start() is over. */
    private volatile boolean begun;

    Channel(Host host, long number, String name, ClassLoader loader) {
        this.host = host;
        this.number = number;
        this.line = host.line;
        this.timer = host.timer;
        this.loader = loader;
        this.scope = new Scope(number, name);
    }

    /** Start the thread. */
    void launch(String name) {
        Thread made = new Thread(null, this, name);
        made.setDaemon(true);
        thread = made;
        made.start();
    }

    // --- of the kind

    abstract void begin() throws Exception;

    /** Work until {@link #stopping} or an exception. */
    abstract void work() throws Exception;

    /** The connector's stop, once. */
    abstract void stopTask() throws Exception;

    abstract boolean stopsBesideCalls();

    /** A frame for it. Thread: the reading one. */
    abstract void frame(int type, int count, Unpacker in);

    // --- the task's thread

    @Override
    public final void run() {
        enter();
        try {
            begin();
            begun = true;
            work();
        } catch (Throwable e) { // NoClassDefFoundError, StackOverflowError: the task's own matter
            Halt.ifOutOfMemory(e);
            callEnds();
            if (!stopping) {
                report(e);
            } else if (!(e instanceof InterruptedException)) {
                Log.write(Log.WARN, "task", "while it stops: " + Errors.text(e));
            }
        }
        stopOnce();
        waitForStop();
        over = true;
        Thread.interrupted();
        host.ended(this);
        line.send(packer.begin(Frame.STOPPED, number, 0), number);
    }

    final void enter() {
        Scope.enter(scope);
        Thread.currentThread().setContextClassLoader(loader);
    }

    private void report(Throwable error) {
        Thread.interrupted();
        Log.trace(Log.ERROR, "task", "failed", error);
        String text = error instanceof TaskFailure ? error.getMessage() : Errors.text(error);
        int code = Errors.code(error);
        line.send(new Packer(512).begin(Frame.FAILED, number, 3).number(0).number(code).text(text), number);
    }

    private void stopOnce() {
        if (stopped.compareAndSet(false, true)) {
            callBegins();
            try {
                stopTask();
            } catch (Throwable e) {
                Halt.ifOutOfMemory(e);
                Log.trace(Log.WARN, "task", "its stop() has failed", e);
            }
            callEnds();
            stopDone.countDown();
            return;
        }
        for (;;) { // STOPPED means that nothing of the task runs any more
            try {
                stopDone.await();
                return;
            } catch (InterruptedException e) {
                Log.write(Log.DEBUG, "task", "interrupted while its stop() runs");
            }
        }
    }

    private synchronized void waitForStop() {
        while (!stopping) {
            try {
                wait();
            } catch (InterruptedException e) {
                continue; // the plugin's doing; only STOP ends it
            }
        }
    }

    final void callBegins() {
        callBegan = System.nanoTime() | 1;
    }

    final void callEnds() {
        callBegan = 0;
    }

    /** Throw what {@link #fail} has left. */
    final synchronized void check() throws Exception {
        if (failure instanceof Error) {
            throw (Error) failure;
        }
        if (failure != null) {
            throw (Exception) failure;
        }
    }

    /** Failed by a thread of the plugin's. */
    public synchronized void fail(Throwable error) {
        if (failure == null) {
            failure = error;
            notifyAll();
        }
    }

    // --- the others

    /** ms for which the present call has gone on; -1: there is none. Thread: any. */
    final long callMs(long now) {
        long began = callBegan;
        return began == 0 ? -1 : Math.max(0, TimeUnit.NANOSECONDS.toMillis(now - began));
    }

    /** STOP has come. Thread: the reading one. */
    final void requestStop() {
        synchronized (this) {
            stopping = true;
            notifyAll();
        }
        timer.schedule(this::helpToStop, GRACE_MS, TimeUnit.MILLISECONDS);
    }

    /** The call under way may wait for what never comes: stop() beside it, or an interrupt, ends that. */
    private void helpToStop() {
        if (over) {
            return;
        }
        // what start() makes after a stop() beside it would stay for ever; so it comes to its end, or is interrupted
        if (begun && callBegan != 0 && stopsBesideCalls() && stopped.compareAndSet(false, true)) {
            Thread beside = new Thread(null, () -> {
                enter();
                try {
                    stopTask();
                } catch (Throwable e) {
                    Halt.ifOutOfMemory(e);
                    Log.trace(Log.WARN, "task", "its stop() has failed", e);
                }
                stopDone.countDown();
            }, thread.getName() + "-stop");
            beside.setDaemon(true);
            beside.start();
        }
        timer.schedule(() -> {
            if (!over && callBegan != 0) {
                Scope.enter(scope);
                Log.write(Log.WARN, "task", "still in a call " + INTERRUPT_MS + " ms after STOP; interrupting it");
                Scope.enter(null);
                thread.interrupt();
            }
        }, INTERRUPT_MS, TimeUnit.MILLISECONDS);
    }
}
