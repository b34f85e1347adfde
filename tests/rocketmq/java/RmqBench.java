// SPDX-License-Identifier: Apache-2.0

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * The Java client's speed with one queue, order kept; one JSON line.
 *
 * <pre>
 *   produce --namesrv A --topic T --size 100 --count N [--batch B] [--warmup N] [--queue Q] [--all-queues]
 *   consume --namesrv A --topic T --count N [--mode lite|pull|push] [--pull-batch 1024] [--warmup N] [--queue Q]
 * </pre>
 *
 * `warmup` messages go first and are not measured: N + warmup messages are sent, or must be there to be read. CPU is that
 * of the whole JVM, its compiler and garbage collector included. A producer waits for each answer before it sends the next
 * message or batch, for only that keeps the order.
 */
public class RmqBench {
    static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    static long wallStart;
    static long cpuStart;
    static long wallEnd;
    static long cpuEnd;
    static long bytes;

    static void startClock() {
        bytes = 0;
        cpuStart = SYSTEM.getProcessCpuTime();
        wallStart = System.nanoTime();
    }

    static void stopClock() {
        wallEnd = System.nanoTime();
        cpuEnd = SYSTEM.getProcessCpuTime();
    }

    public static void main(String[] args) throws Exception {
        int status = 0;
        try {
            RmqTool.Words words = new RmqTool.Words(args);
            String what = words.next("produce or consume");
            int count = words.option("count", 100000);
            int warmup = words.option("warmup", count / 4);
            String mode = words.option("mode", "lite");
            if (what.equals("produce")) {
                produce(words, count, warmup);
            } else if (mode.equals("lite")) {
                lite(words, count, warmup);
            } else if (mode.equals("pull")) {
                pull(words, count, warmup);
            } else {
                push(words, count, warmup);
            }
            double seconds = (wallEnd - wallStart) / 1e9;
            RmqTool.print("what", what, "mode", what.equals("produce") ? "sync" : mode,
                "batch", words.option("batch", 1), "count", count, "warmup", warmup, "body_bytes", bytes,
                "wall_s", seconds, "cpu_s", (cpuEnd - cpuStart) / 1e9, "cpu_total_s", SYSTEM.getProcessCpuTime() / 1e9,
                "msgs_per_s", count / seconds, "mb_per_s", bytes / seconds / 1e6,
                "rss_kib", memory("VmRSS"), "peak_rss_kib", memory("VmHWM"));
        } catch (Throwable error) {
            System.err.println("RmqBench: " + error);
            status = 1;
        }
        System.out.flush();
        Runtime.getRuntime().halt(status);
    }

    static long memory(String name) throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"), StandardCharsets.ISO_8859_1)) {
            if (line.startsWith(name + ":")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        return -1;
    }

    static void produce(RmqTool.Words words, int count, int warmup) throws Exception {
        String topic = words.option("topic", "bench");
        int batch = words.option("batch", 1);
        byte[] body = RmqTool.fill("", words.option("size", 100));
        DefaultMQProducer producer = new DefaultMQProducer("rmqbench-producer");
        producer.setNamesrvAddr(words.namesrv());
        producer.setVipChannelEnabled(false);
        producer.setSendMsgTimeout(30000);
        producer.start();
        MessageQueue queue = words.option("all-queues", null) != null ? null
            : RmqTool.find(producer.fetchPublishMessageQueues(topic), words.option("queue", 0), null);
        for (long phase : new long[] {warmup, count}) {
            startClock();
            for (long sent = 0; sent < phase; ) {
                SendStatus done;
                if (batch == 1) {
                    Message message = new Message(topic, body);
                    done = (queue == null ? producer.send(message) : producer.send(message, queue)).getSendStatus();
                    sent++;
                } else {
                    int size = (int) Math.min(batch, phase - sent);
                    List<Message> messages = new ArrayList<>(size);
                    for (int number = 0; number < size; number++) {
                        messages.add(new Message(topic, body));
                    }
                    done = (queue == null ? producer.send(messages) : producer.send(messages, queue)).getSendStatus();
                    sent += size;
                }
                if (done != SendStatus.SEND_OK) {
                    throw new IllegalStateException("a send ended with " + done);
                }
            }
            bytes = phase * body.length;
            stopClock();
        }
    }

    /** Counts messages: the clock starts with the first after the warm-up, and stops with the last. */
    static class Counter {
        final long count;
        final long warmup;
        long seen;
        long next = -1;

        Counter(long count, long warmup) {
            this.count = count;
            this.warmup = warmup;
            if (warmup == 0) {
                startClock();
            }
        }

        /** True when all have come. */
        boolean add(List<MessageExt> messages) {
            for (MessageExt message : messages) {
                if (next >= 0 && message.getQueueOffset() != next) {
                    throw new IllegalStateException("offset " + message.getQueueOffset() + " came instead of " + next);
                }
                next = message.getQueueOffset() + 1;
                bytes += message.getBody().length;
                seen++;
                if (seen == warmup) {
                    startClock();
                } else if (seen == warmup + count) {
                    stopClock();
                    return true;
                }
            }
            return false;
        }
    }

    static void lite(RmqTool.Words words, int count, int warmup) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("rmqbench-lite");
        consumer.setNamesrvAddr(words.namesrv());
        consumer.setVipChannelEnabled(false);
        consumer.setPullBatchSize(words.option("pull-batch", 1024));
        consumer.setPullThresholdForQueue(100000);
        consumer.setPullThresholdSizeForQueue(256);
        consumer.setPullThresholdForAll(200000);
        consumer.setPullThreadNums(2);
        consumer.start();
        MessageQueue queue = RmqTool.find(consumer.fetchMessageQueues(words.option("topic", "bench")),
            words.option("queue", 0), null);
        consumer.assign(Collections.singletonList(queue));
        consumer.seekToBegin(queue);
        Counter counter = new Counter(count, warmup);
        while (!counter.add(consumer.poll(1000))) {
            // more
        }
    }

    static void pull(RmqTool.Words words, int count, int warmup) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer("rmqbench-pull");
        consumer.setNamesrvAddr(words.namesrv());
        consumer.setVipChannelEnabled(false);
        consumer.start();
        MessageQueue queue = RmqTool.find(consumer.fetchSubscribeMessageQueues(words.option("topic", "bench")),
            words.option("queue", 0), null);
        long offset = consumer.minOffset(queue);
        Counter counter = new Counter(count, warmup);
        while (true) {
            var result = consumer.pullBlockIfNotFound(queue, "*", offset, words.option("pull-batch", 1024));
            offset = result.getNextBeginOffset();
            if (result.getPullStatus() == PullStatus.FOUND && counter.add(result.getMsgFoundList())) {
                return;
            }
            consumer.updateConsumeOffset(queue, offset);
        }
    }

    static void push(RmqTool.Words words, int count, int warmup) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("rmqbench-push-" + System.nanoTime());
        consumer.setNamesrvAddr(words.namesrv());
        consumer.setVipChannelEnabled(false);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPullBatchSize(words.option("pull-batch", 1024));
        consumer.setConsumeMessageBatchMaxSize(1024);
        consumer.setPullThresholdForQueue(65535);
        consumer.setPullThresholdSizeForQueue(256);
        consumer.setConsumeThreadMin(1);
        consumer.setConsumeThreadMax(1);
        consumer.subscribe(words.option("topic", "bench"), "*");
        int queue = words.option("queue", 0);
        Counter counter = new Counter(count, warmup);
        CountDownLatch end = new CountDownLatch(1);
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            if (context.getMessageQueue().getQueueId() == queue && end.getCount() > 0 && counter.add(messages)) {
                end.countDown();
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        end.await();
    }
}
