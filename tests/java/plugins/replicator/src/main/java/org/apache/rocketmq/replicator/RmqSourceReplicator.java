// SPDX-License-Identifier: Apache-2.0
package org.apache.rocketmq.replicator;

import com.alibaba.fastjson.JSON;
import io.openmessaging.KeyValue;
import io.openmessaging.connector.api.Task;
import io.openmessaging.connector.api.source.SourceConnector;
import io.openmessaging.internal.DefaultKeyValue;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.commons.lang3.concurrent.BasicThreadFactory;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * A stand-in for the replicator of 2019 with its class name, as thin as that was: the RocketMQ client, the tools and
 * commons-lang3 are its runtime's. Copies the topics whose names match `white-list`, by queue. Written for these tests.
 */
public class RmqSourceReplicator extends SourceConnector {
    private KeyValue config;
    private DefaultMQAdminExt admin;
    private ScheduledExecutorService watcher;
    private volatile Set<String> known = Collections.emptySet();

    @Override
    public String verifyAndSetConfig(KeyValue given) {
        for (String key : new String[] {"source-rocketmq", "target-rocketmq", "replicator-store-topic", "white-list", "source-record-converter"}) {
            if (!given.containsKey(key)) {
                return "Request config key: " + key;
            }
        }
        config = given;
        return "";
    }

    private DefaultMQAdminExt admin() throws Exception {
        if (admin == null) {
            admin = new DefaultMQAdminExt(5000);
            admin.setNamesrvAddr(config.getString("source-rocketmq"));
            admin.setInstanceName("replicator-" + System.nanoTime());
            admin.start();
        }
        return admin;
    }

    private Set<String> topics() throws Exception {
        Set<String> all = new java.util.TreeSet<>();
        for (String topic : admin().fetchAllTopicList().getTopicList()) {
            for (String pattern : config.getString("white-list").split(",")) {
                if (topic.matches(pattern)) {
                    all.add(topic);
                }
            }
        }
        return all;
    }

    @Override
    public void start() {
        watcher = Executors.newSingleThreadScheduledExecutor(new BasicThreadFactory.Builder().namingPattern("watcher-%d").daemon(true).build());
        long seconds = config.getInt("refresh.interval", 3);
        watcher.scheduleAtFixedRate(() -> {
            try {
                if (!topics().equals(known)) {
                    context.requestTaskReconfiguration();
                }
            } catch (Exception e) {
                org.slf4j.LoggerFactory.getLogger(getClass()).warn("watch", e);
            }
        }, seconds, seconds, TimeUnit.SECONDS);
    }

    @Override
    public void stop() {
        if (watcher != null) {
            watcher.shutdownNow();
        }
        if (admin != null) {
            admin.shutdown();
        }
    }

    @Override
    public void pause() {
    }

    @Override
    public void resume() {
    }

    @Override
    public Class<? extends Task> taskClass() {
        return RmqSourceTask.class;
    }

    @Override
    public List<KeyValue> taskConfigs() {
        int parallelism = config.getInt("task-parallelism", 1);
        List<List<TaskTopic>> shares = new ArrayList<>();
        for (int i = 0; i < parallelism; i++) {
            shares.add(new ArrayList<>());
        }
        try {
            known = topics();
            int next = 0;
            for (String topic : known) {
                for (org.apache.rocketmq.common.protocol.route.QueueData data : admin().examineTopicRouteInfo(topic).getQueueDatas()) {
                    for (int i = 0; i < data.getReadQueueNums(); i++) {
                        shares.get(next++ % parallelism).add(new TaskTopic(topic, data.getBrokerName(), i, topic));
                    }
                }
            }
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        List<KeyValue> all = new ArrayList<>();
        for (List<TaskTopic> share : shares) {
            KeyValue one = new DefaultKeyValue();
            one.put("sourceRocketmq", config.getString("source-rocketmq"));
            one.put("storeTopic", config.getString("replicator-store-topic"));
            one.put("source-record-converter", config.getString("source-record-converter"));
            one.put("taskTopicList", JSON.toJSONString(share));
            all.add(one);
        }
        return all;
    }

    /** One queue to copy. */
    public static class TaskTopic {
        private String topic;
        private String brokerName;
        private int queueId;
        private String targetTopic;

        public TaskTopic() {
        }

        TaskTopic(String topic, String brokerName, int queueId, String targetTopic) {
            this.topic = topic;
            this.brokerName = brokerName;
            this.queueId = queueId;
            this.targetTopic = targetTopic;
        }

        MessageQueue queue() {
            return new MessageQueue(topic, brokerName, queueId);
        }

        public String getTopic() {
            return topic;
        }

        public void setTopic(String value) {
            topic = value;
        }

        public String getBrokerName() {
            return brokerName;
        }

        public void setBrokerName(String value) {
            brokerName = value;
        }

        public int getQueueId() {
            return queueId;
        }

        public void setQueueId(int value) {
            queueId = value;
        }

        public String getTargetTopic() {
            return targetTopic;
        }

        public void setTargetTopic(String value) {
            targetTopic = value;
        }
    }
}
