// SPDX-License-Identifier: Apache-2.0
package org.apache.rocketmq.connect.file;

import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.common.QueueMetaData;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.SinkDataEntry;
import io.openmessaging.connector.api.sink.SinkTask;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.util.Collection;
import java.util.Map;

/** Appends each STRING field as a line. */
public class FileSinkTask extends SinkTask {
    private PrintStream out;

    @Override
    public void start(KeyValue config) {
        try {
            out = new PrintStream(new FileOutputStream(config.getString("filename"), true), false, "UTF-8");
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void put(Collection<SinkDataEntry> entries) {
        for (SinkDataEntry entry : entries) {
            if (entry.getSchema().getFields().get(0).getType() == FieldType.STRING) {
                out.println(entry.getPayload()[0]);
            }
        }
    }

    @Override
    public void commit(Map<QueueMetaData, Long> offsets) {
        out.flush();
    }

    @Override
    public void stop() {
        out.close();
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }
}
