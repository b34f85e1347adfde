// SPDX-License-Identifier: Apache-2.0
package gantry.host;

import gantry.host.log.Log;
import gantry.host.task.Host;
import gantry.host.wire.Halt;
import gantry.host.wire.Line;
import gantry.host.wire.ProtocolException;
import java.io.IOException;

/** The Java host: speaks docs/formats/host-protocol.md on its standard input and output. */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) {
        Line line = Line.standard(); // before anything can print
        Log.install(line);
        // The RocketMQ client of 2019 would write files below the home folder; its lines belong into the worker's log.
        if (System.getProperty("rocketmq.client.logUseSlf4j") == null) {
            System.setProperty("rocketmq.client.logUseSlf4j", "true");
        }
        String version = Main.class.getPackage().getImplementationVersion();
        String title = "gantry-java-host " + version + " (" + System.getProperty("java.vendor") + " "
                + System.getProperty("java.version") + ")";
        try {
            new Host(line, title).run();
            Halt.now(0, null);
        } catch (ProtocolException e) {
            Halt.now(Halt.PROTOCOL, "gantry-java-host: the worker has said something wrong: " + e.getMessage());
        } catch (IOException e) {
            Halt.now(0, null); // the line has broken: the worker is gone
        } catch (Throwable e) {
            Halt.now(Halt.PROTOCOL, "gantry-java-host: " + e);
        }
    }
}
