// SPDX-License-Identifier: Apache-2.0
package gantry.host.task;

import gantry.host.wire.Unpacker;

/** A START that nothing can come of: it says so, and waits for STOP. */
final class FailedChannel extends Channel {
    private final Exception reason;

    FailedChannel(Host host, long number, String name, Exception reason) {
        super(host, number, name, FailedChannel.class.getClassLoader());
        this.reason = reason;
    }

    @Override
    void begin() throws Exception {
        throw reason;
    }

    @Override
    void work() {
    }

    @Override
    void stopTask() {
    }

    @Override
    boolean stopsBesideCalls() {
        return false;
    }

    @Override
    void frame(int type, int count, Unpacker in) {
    }
}
