// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * The Java client for tests: one command with its words, JSON lines on standard output.
 *
 * <pre>
 *   produce TOPIC N SIZE [--batch B] [--queue Q] [--broker NAME] [--tag T] [--key K] [--prop NAME=VALUE,...]
 *           [--body TEXT | --body64 BASE64,...] [--delay LEVEL] [--timeout MS]
 *   consume TOPIC GROUP N [--timeout MS] [--from first|last]
 *   pull TOPIC QUEUE OFFSET N [--group G] [--broker NAME] [--timeout MS]
 *   admin createTopic TOPIC QUEUES | deleteTopic TOPIC | topicStats TOPIC | topicRoute TOPIC | clusterInfo
 *         | consumerProgress GROUP | consumerConnection GROUP
 *   groupMember GROUP TOPIC [--strategy avg|circle|hash] [--instance NAME] [--messages]
 *   serve
 * </pre>
 *
 * All take --namesrv ADDRESSES, --user NAME and --secret SECRET. `serve` reads commands from standard input, words divided
 * by tabs; each line of an answer begins with '>', its end is "=OK" or "=FAIL" and the reason.
 */
public class RmqTool {
    static String prefix = "";

    public static void main(String[] args) throws Exception {
        if (args.length > 0 && args[0].equals("serve")) {
            serve();
            return;
        }
        int status = 0;
        try {
            run(args);
        } catch (Throwable error) {
            System.err.println("RmqTool: " + error);
            status = 1;
        }
        System.out.flush();
        Runtime.getRuntime().halt(status); // the client leaves threads behind
    }

    static void serve() throws Exception {
        prefix = ">";
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String end = "=OK";
            try {
                run(line.split("\t", -1));
            } catch (Throwable error) {
                end = "=FAIL " + error.toString().replaceAll("\\s+", " ");
            }
            synchronized (System.out) {
                System.out.println(end);
                System.out.flush();
            }
        }
        Runtime.getRuntime().halt(0);
    }

    static void run(String[] args) throws Exception {
        Words words = new Words(args);
        switch (words.next("command")) {
            case "produce": produce(words); break;
            case "consume": consume(words); break;
            case "pull": pull(words); break;
            case "admin": admin(words); break;
            case "groupMember": groupMember(words); break;
            default: throw new IllegalArgumentException("unknown command " + args[0]);
        }
    }

    // --- commands

    static void produce(Words words) throws Exception {
        String topic = words.next("TOPIC");
        int count = words.number("N");
        int size = words.number("SIZE");
        int batch = words.option("batch", 1);
        String[] bodies = words.option("body64", "").split(",");
        int timeout = words.option("timeout", 10000);
        DefaultMQProducer producer = producer(words);
        MessageQueue queue = null;
        if (words.option("queue", null) != null) {
            queue = find(producer.fetchPublishMessageQueues(topic), words.option("queue", 0),
                words.option("broker", null));
        }
        for (int first = 0; first < count; first += batch) {
            List<Message> messages = new ArrayList<>();
            for (int number = first; number < Math.min(count, first + batch); number++) {
                byte[] body = bodies[0].isEmpty()
                    ? fill(words.option("body", "message " + number + " "), size)
                    : Base64.getDecoder().decode(bodies[number % bodies.length]);
                Message message = new Message(topic, words.option("tag", null), words.option("key", null), body);
                if (words.option("delay", 0) > 0) {
                    message.setDelayTimeLevel(words.option("delay", 0));
                }
                for (String property : words.option("prop", "").split(",")) {
                    int equals = property.indexOf('=');
                    if (equals > 0) {
                        message.putUserProperty(property.substring(0, equals), property.substring(equals + 1));
                    }
                }
                messages.add(message);
            }
            var result = batch > 1
                ? (queue != null ? producer.send(messages, queue, timeout) : producer.send(messages, timeout))
                : (queue != null ? producer.send(messages.get(0), queue, timeout)
                    : producer.send(messages.get(0), timeout));
            print("first", first, "count", messages.size(), "status", result.getSendStatus().name(),
                "broker", result.getMessageQueue().getBrokerName(),
                "queueId", result.getMessageQueue().getQueueId(), "queueOffset", result.getQueueOffset(),
                "msgId", result.getMsgId(), "offsetMsgId", result.getOffsetMsgId());
        }
    }

    static void consume(Words words) throws Exception {
        String topic = words.next("TOPIC");
        String group = words.next("GROUP");
        int count = words.number("N");
        long deadline = System.currentTimeMillis() + words.option("timeout", 30000);
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group, words.hook());
        consumer.setNamesrvAddr(words.namesrv());
        consumer.setInstanceName(unique("consumer"));
        consumer.setVipChannelEnabled(false);
        consumer.setAutoCommit(false);
        consumer.setPullBatchSize(Math.max(1, Math.min(32, count)));
        consumer.setConsumeFromWhere(words.option("from", "first").equals("last")
            ? ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET : ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.start();
        try {
            for (int got = 0; got < count && System.currentTimeMillis() < deadline; ) {
                for (MessageExt message : consumer.poll(200)) {
                    print(message);
                    got++;
                }
            }
            consumer.commitSync();
        } finally {
            consumer.shutdown(); // sends the committed offsets
        }
    }

    static void pull(Words words) throws Exception {
        String topic = words.next("TOPIC");
        int queue = words.number("QUEUE");
        long offset = words.number("OFFSET");
        int count = words.number("N");
        DefaultMQPullConsumer consumer = puller(words);
        MessageQueue from =
            find(consumer.fetchSubscribeMessageQueues(topic), queue, words.option("broker", null));
        while (true) {
            var result =
                consumer.pull(from, "*", offset, Math.max(1, Math.min(32, count)), words.option("timeout", 10000));
            offset = result.getNextBeginOffset();
            if (result.getPullStatus() == PullStatus.FOUND) {
                for (MessageExt message : result.getMsgFoundList()) {
                    print(message);
                    count--;
                }
            }
            if (count <= 0 || result.getPullStatus() != PullStatus.FOUND) {
                print("status", result.getPullStatus().name(), "nextBeginOffset", offset,
                    "minOffset", result.getMinOffset(), "maxOffset", result.getMaxOffset());
                return;
            }
        }
    }

    static void admin(Words words) throws Exception {
        String what = words.next("what");
        DefaultMQAdminExt admin = administrator(words);
        switch (what) {
            case "createTopic": {
                TopicConfig config = new TopicConfig(words.next("TOPIC"));
                config.setReadQueueNums(words.number("QUEUES"));
                config.setWriteQueueNums(config.getReadQueueNums());
                for (String address : masters(admin)) {
                    admin.createAndUpdateTopicConfig(address, config);
                }
                break;
            }
            case "deleteTopic": {
                String topic = words.next("TOPIC");
                admin.deleteTopicInBroker(masters(admin), topic);
                Set<String> servers = new HashSet<>(admin.getNameServerAddressList());
                for (String cluster : admin.examineBrokerClusterInfo().getClusterAddrTable().keySet()) {
                    admin.deleteTopicInNameServer(servers, cluster, topic);
                }
                break;
            }
            case "topicStats":
                for (var entry : admin.examineTopicStats(words.next("TOPIC")).getOffsetTable().entrySet()) {
                    print("broker", entry.getKey().getBrokerName(), "queueId", entry.getKey().getQueueId(),
                        "minOffset", entry.getValue().getMinOffset(), "maxOffset", entry.getValue().getMaxOffset(),
                        "lastUpdate", entry.getValue().getLastUpdateTimestamp());
                }
                break;
            case "topicRoute":
                for (var data : admin.examineTopicRouteInfo(words.next("TOPIC")).getQueueDatas()) {
                    print("broker", data.getBrokerName(), "readQueueNums", data.getReadQueueNums(),
                        "writeQueueNums", data.getWriteQueueNums(), "perm", data.getPerm());
                }
                break;
            case "clusterInfo":
                for (var data : admin.examineBrokerClusterInfo().getBrokerAddrTable().values()) {
                    for (var address : data.getBrokerAddrs().entrySet()) {
                        print("cluster", data.getCluster(), "broker", data.getBrokerName(),
                            "brokerId", address.getKey(), "address", address.getValue());
                    }
                }
                break;
            case "consumerProgress":
                for (var entry : admin.examineConsumeStats(words.next("GROUP")).getOffsetTable().entrySet()) {
                    print("topic", entry.getKey().getTopic(), "broker", entry.getKey().getBrokerName(),
                        "queueId", entry.getKey().getQueueId(), "brokerOffset", entry.getValue().getBrokerOffset(),
                        "consumerOffset", entry.getValue().getConsumerOffset());
                }
                break;
            case "consumerConnection":
                for (var one : admin.examineConsumerConnectionInfo(words.next("GROUP")).getConnectionSet()) {
                    print("clientId", one.getClientId(), "address", one.getClientAddr(),
                        "language", String.valueOf(one.getLanguage()), "version", one.getVersion());
                }
                break;
            default:
                throw new IllegalArgumentException("unknown: admin " + what);
        }
    }

    /** An ordinary consumer of a group, until standard input ends; prints its queues whenever they change. */
    static void groupMember(Words words) throws Exception {
        String group = words.next("GROUP");
        String topic = words.next("TOPIC");
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(group, words.hook(), strategy(words.option("strategy", "avg")));
        consumer.setNamesrvAddr(words.namesrv());
        consumer.setInstanceName(words.option("instance", unique("member")));
        consumer.setVipChannelEnabled(false);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        boolean show = words.option("messages", null) != null;
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (show) {
                    print(message);
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        print("clientId", consumer.buildMQClientId(), "group", group);
        List<Object> before = null;
        while (System.in.available() >= 0) {
            List<MessageQueue> queues = new ArrayList<>();
            for (MessageQueue queue
                : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
                if (queue.getTopic().equals(topic)) {
                    queues.add(queue);
                }
            }
            queues.sort(Comparator.naturalOrder());
            List<Object> now = new ArrayList<>();
            for (MessageQueue queue : queues) {
                now.add(List.of(queue.getBrokerName(), queue.getQueueId()));
            }
            if (!now.equals(before)) {
                print("queues", now);
                before = now;
            }
            if (System.in.available() > 0 && System.in.read() == 'q') {
                consumer.shutdown();
                return;
            }
            Thread.sleep(50);
        }
    }

    // --- clients that stay: a client's shutdown may take three seconds

    private static final Map<String, Object> CLIENTS = new HashMap<>();

    static DefaultMQProducer producer(Words words) throws Exception {
        DefaultMQProducer found = (DefaultMQProducer) CLIENTS.get("producer" + words.who());
        if (found == null) {
            found = new DefaultMQProducer(unique("rmqtool-producer"), words.hook());
            found.setNamesrvAddr(words.namesrv());
            found.setInstanceName(unique("producer"));
            found.setVipChannelEnabled(false);
            found.start();
            CLIENTS.put("producer" + words.who(), found);
        }
        return found;
    }

    static DefaultMQPullConsumer puller(Words words) throws Exception {
        String group = words.option("group", "rmqtool-pull");
        DefaultMQPullConsumer found = (DefaultMQPullConsumer) CLIENTS.get("pull" + group + words.who());
        if (found == null) {
            found = new DefaultMQPullConsumer(group, words.hook());
            found.setNamesrvAddr(words.namesrv());
            found.setInstanceName(unique("pull"));
            found.setVipChannelEnabled(false);
            found.start();
            CLIENTS.put("pull" + group + words.who(), found);
        }
        return found;
    }

    static DefaultMQAdminExt administrator(Words words) throws Exception {
        DefaultMQAdminExt found = (DefaultMQAdminExt) CLIENTS.get("admin" + words.who());
        if (found == null) {
            found = new DefaultMQAdminExt(words.hook(), 10000);
            found.setNamesrvAddr(words.namesrv());
            found.setInstanceName(unique("admin"));
            found.setVipChannelEnabled(false);
            found.start();
            CLIENTS.put("admin" + words.who(), found);
        }
        return found;
    }

    // --- helpers

    static AllocateMessageQueueStrategy strategy(String name) {
        switch (name) {
            case "avg": return new AllocateMessageQueueAveragely();
            case "circle": return new AllocateMessageQueueAveragelyByCircle();
            case "hash": return new AllocateMessageQueueConsistentHash();
            default: throw new IllegalArgumentException("unknown strategy " + name);
        }
    }

    static Set<String> masters(DefaultMQAdminExt admin) throws Exception {
        Set<String> found = new HashSet<>();
        for (var data : admin.examineBrokerClusterInfo().getBrokerAddrTable().values()) {
            String address = data.getBrokerAddrs().get(0L);
            if (address != null) {
                found.add(address);
            }
        }
        return found;
    }

    static MessageQueue find(Collection<MessageQueue> queues, int number, String broker) {
        for (MessageQueue queue : queues) {
            if (queue.getQueueId() == number && (broker == null || broker.equals(queue.getBrokerName()))) {
                return queue;
            }
        }
        throw new IllegalArgumentException("no queue " + number + " among " + queues);
    }

    static byte[] fill(String start, int size) {
        byte[] body = new byte[size];
        byte[] head = start.getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < size; at++) {
            body[at] = at < head.length ? head[at] : (byte) 'x';
        }
        return body;
    }

    private static int uniqueNumber;

    static synchronized String unique(String name) {
        return name + "-" + ProcessHandle.current().pid() + "-" + ++uniqueNumber;
    }

    static void print(MessageExt message) {
        print("topic", message.getTopic(), "broker", message.getBrokerName(), "queueId", message.getQueueId(),
            "queueOffset", message.getQueueOffset(), "msgId", message.getMsgId(), "sysFlag", message.getSysFlag(),
            "flag", message.getFlag(), "bornTimestamp", message.getBornTimestamp(),
            "storeTimestamp", message.getStoreTimestamp(), "reconsumeTimes", message.getReconsumeTimes(),
            "properties", new TreeMap<>(message.getProperties()),
            "body", Base64.getEncoder().encodeToString(message.getBody() == null ? new byte[0] : message.getBody()));
    }

    static void print(Object... namesAndValues) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (int at = 0; at < namesAndValues.length; at += 2) {
            members.put((String) namesAndValues[at], namesAndValues[at + 1]);
        }
        StringBuilder text = new StringBuilder(prefix);
        json(text, members);
        synchronized (System.out) {
            System.out.println(text);
            System.out.flush();
        }
    }

    static void json(StringBuilder text, Object value) {
        String comma = "";
        if (value == null || value instanceof Number || value instanceof Boolean) {
            text.append(value);
        } else if (value instanceof Map) {
            text.append('{');
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                text.append(comma);
                json(text, entry.getKey());
                text.append(':');
                json(text, entry.getValue());
                comma = ",";
            }
            text.append('}');
        } else if (value instanceof List) {
            text.append('[');
            for (Object item : (List<?>) value) {
                text.append(comma);
                json(text, item);
                comma = ",";
            }
            text.append(']');
        } else {
            text.append('"');
            for (char letter : value.toString().toCharArray()) {
                if (letter == '"' || letter == '\\') {
                    text.append('\\').append(letter);
                } else if (letter < ' ' || letter > '~') {
                    text.append(String.format("\\u%04x", (int) letter));
                } else {
                    text.append(letter);
                }
            }
            text.append('"');
        }
    }

    /** The words of a command: --name value (or --name alone) anywhere, the others in their order. */
    static class Words {
        private final List<String> plain = new ArrayList<>();
        private final Map<String, String> options = new HashMap<>();
        private int at;

        Words(String[] args) {
            for (int number = 0; number < args.length; number++) {
                if (!args[number].startsWith("--")) {
                    plain.add(args[number]);
                } else if (number + 1 < args.length && !args[number + 1].startsWith("--")) {
                    options.put(args[number].substring(2), args[++number]);
                } else {
                    options.put(args[number].substring(2), "true");
                }
            }
        }

        String next(String name) {
            if (at == plain.size()) {
                throw new IllegalArgumentException(name + " is missing");
            }
            return plain.get(at++);
        }

        int number(String name) {
            return Integer.parseInt(next(name));
        }

        String option(String name, String otherwise) {
            return options.getOrDefault(name, otherwise);
        }

        int option(String name, int otherwise) {
            return options.containsKey(name) ? Integer.parseInt(options.get(name)) : otherwise;
        }

        String namesrv() {
            String addresses = options.get("namesrv");
            if (addresses == null) {
                throw new IllegalArgumentException("--namesrv is missing");
            }
            return addresses;
        }

        /** What clients may be shared by. */
        String who() {
            return " " + namesrv() + " " + option("user", "") + " " + option("secret", "");
        }

        RPCHook hook() {
            return options.containsKey("user")
                ? new AclClientRPCHook(new SessionCredentials(options.get("user"), option("secret", ""))) : null;
        }
    }
}
