// SPDX-License-Identifier: Apache-2.0
package org.apache.rocketmq.connect.file;

import com.alibaba.fastjson.JSONObject;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.data.DataEntryBuilder;
import io.openmessaging.connector.api.data.EntryType;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SourceDataEntry;
import io.openmessaging.connector.api.source.SourceTask;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Lines of a file, each one STRING field; the position is {"nextPosition":bytes}. */
public class FileSourceTask extends SourceTask {
    private static final Logger LOG = LoggerFactory.getLogger("FileConnector");
    private KeyValue config;
    private RandomAccessFile file;
    private ByteBuffer partition;
    private Schema schema;
    private long position;

    @Override
    public void start(KeyValue given) {
        config = given;
        String name = config.getString("filename");
        partition = ByteBuffer.wrap(name.getBytes(StandardCharsets.UTF_8));
        ByteBuffer stored = context.positionStorageReader().getPosition(partition);
        position = stored == null ? 0 : JSONObject.parseObject(new String(stored.array(), StandardCharsets.UTF_8)).getLong("nextPosition");
        LOG.info("start {} at {}", name, position);
        schema = new Schema();
        schema.setDataSource(name);
        schema.setName(name + "_line");
        schema.setFields(Collections.singletonList(new Field(0, "fileLineContent", FieldType.STRING)));
        try {
            file = new RandomAccessFile(name, "r");
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public Collection<SourceDataEntry> poll() {
        List<SourceDataEntry> lines = new ArrayList<>();
        try {
            byte[] bytes = new byte[256 << 10];
            file.seek(position);
            int size = file.read(bytes);
            int from = 0;
            for (int i = 0; i < size; i++) {
                if (bytes[i] == '\n') {
                    DataEntryBuilder builder = new DataEntryBuilder(schema).timestamp(System.currentTimeMillis()).queue(config.getString("topic"))
                            .entryType(EntryType.CREATE).putFiled("fileLineContent", new String(bytes, from, i - from, StandardCharsets.UTF_8));
                    from = i + 1;
                    JSONObject at = new JSONObject();
                    at.put("nextPosition", position + from);
                    lines.add(builder.buildSourceDataEntry(partition, ByteBuffer.wrap(at.toJSONString().getBytes(StandardCharsets.UTF_8))));
                }
            }
            position += from;
            if (lines.isEmpty()) {
                synchronized (this) {
                    wait(100);
                }
            }
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return lines;
    }

    @Override
    public void stop() {
        try {
            file.close();
        } catch (IOException e) {
            LOG.warn("close", e);
        }
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }
}
