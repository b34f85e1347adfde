// SPDX-License-Identifier: Apache-2.0
package org.apache.rocketmq.replicator;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.data.DataEntryBuilder;
import io.openmessaging.connector.api.data.EntryType;
import io.openmessaging.connector.api.data.Field;
import io.openmessaging.connector.api.data.FieldType;
import io.openmessaging.connector.api.data.Schema;
import io.openmessaging.connector.api.data.SourceDataEntry;
import io.openmessaging.connector.api.source.SourceTask;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;

/** Pulls its queues in turn and makes all entries of a pull with one builder and one position, as in 2019. */
public class RmqSourceTask extends SourceTask {
    private DefaultMQPullConsumer consumer;
    private String source;
    private final Map<RmqSourceReplicator.TaskTopic, Long> offsets = new LinkedHashMap<>();

    private static ByteBuffer partition(RmqSourceReplicator.TaskTopic queue) {
        return ByteBuffer.wrap((queue.getBrokerName() + queue.getTopic() + queue.getQueueId()).getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void start(KeyValue config) {
        source = config.getString("sourceRocketmq");
        consumer = new DefaultMQPullConsumer("replicator-" + Thread.currentThread().getName() + "-" + System.nanoTime());
        consumer.setNamesrvAddr(source);
        consumer.setInstanceName("task-" + System.nanoTime());
        for (RmqSourceReplicator.TaskTopic queue : JSON.parseArray(config.getString("taskTopicList"), RmqSourceReplicator.TaskTopic.class)) {
            ByteBuffer stored = context.positionStorageReader().getPosition(partition(queue));
            offsets.put(queue, stored == null ? 0L : JSONObject.parseObject(new String(stored.array(), StandardCharsets.UTF_8)).getLong("nextPosition"));
        }
        try {
            consumer.start();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public Collection<SourceDataEntry> poll() {
        List<SourceDataEntry> entries = new ArrayList<>();
        for (Map.Entry<RmqSourceReplicator.TaskTopic, Long> entry : offsets.entrySet()) {
            RmqSourceReplicator.TaskTopic queue = entry.getKey();
            PullResult result;
            try {
                result = consumer.pull(queue.queue(), "*", entry.getValue(), 32);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            if (result.getPullStatus() != PullStatus.FOUND) {
                continue;
            }
            entry.setValue(result.getNextBeginOffset());
            Schema schema = new Schema();
            schema.setDataSource(source);
            schema.setName(queue.getTopic());
            schema.setFields(Collections.singletonList(new Field(0, "MessageExt", FieldType.STRING)));
            DataEntryBuilder builder = new DataEntryBuilder(schema).timestamp(System.currentTimeMillis()).queue(queue.getTargetTopic())
                    .entryType(EntryType.CREATE);
            JSONObject position = new JSONObject();
            position.put("nextPosition", result.getNextBeginOffset());
            for (MessageExt message : result.getMsgFoundList()) {
                builder.putFiled("MessageExt", new String(message.getBody(), StandardCharsets.UTF_8));
                entries.add(builder.buildSourceDataEntry(partition(queue), ByteBuffer.wrap(position.toJSONString().getBytes(StandardCharsets.UTF_8))));
            }
        }
        return entries;
    }

    @Override
    public void stop() {
        consumer.shutdown();
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }
}
