/* SPDX-License-Identifier: Apache-2.0 */
/* How a consumer does, in the JSON of ConsumerRunningInfo that the admin tools read. */
#include "consumer.h"
#include "json.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static int put(struct rmq_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Short texts: numbers and words of ours. */
static int put(struct rmq_buf *buf, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return rmq_buf_append(buf, text, (size_t)len);
}

static int put_queue(struct rmq_buf *buf, const struct consumer_queue *queue)
{
    int64_t read = rmq_puller_offset(queue->puller);
    int rc = put(buf, "{\"brokerName\":");
    rc |= rmq_json_quote(rmq_view_str(queue->broker), buf);
    rc |= put(buf, ",\"queueId\":%d,\"topic\":", (int)queue->id);
    rc |= rmq_json_quote(rmq_view_str(queue->topic->name), buf);
    /* cached: handed out, and not done with yet */
    rc |= put(buf,
              "}:{\"cachedMsgCount\":%" PRId64 ",\"cachedMsgMaxOffset\":%" PRId64
              ",\"cachedMsgMinOffset\":%" PRId64 ",\"commitOffset\":%" PRId64
              ",\"droped\":false,\"locked\":%s}",
              read > queue->done ? read - queue->done : 0, read > 0 ? read - 1 : 0, queue->done,
              queue->done, queue->locked ? "true" : "false");
    return rc;
}

int rmq_consumer_describe(void *arg, struct rmq_buf *buf)
{
    const struct rmq_consumer *consumer = arg;
    struct consumer_queue *queue;
    const char *comma = "";
    int rc = put(buf,
                 "{\"properties\":{\"PROP_CLIENT_VERSION\":\"librocketmq\","
                 "\"PROP_CONSUMEORDERLY\":\"%s\",\"PROP_CONSUMER_START_TIMESTAMP\":\"%" PRId64
                 "\",\"PROP_CONSUME_TYPE\":\"CONSUME_PASSIVELY\"},\"subscriptionSet\":[",
                 consumer->options.locked ? "true" : "false", consumer->born_ms);
    for (size_t i = 0; i < consumer->topic_count; i++) {
        rc |= put(buf,
                  "%s{\"classFilterMode\":false,\"codeSet\":[],\"expressionType\":\"TAG\","
                  "\"subString\":\"*\",\"subVersion\":0,\"tagsSet\":[],\"topic\":",
                  i > 0 ? "," : "");
        rc |= rmq_json_quote(rmq_view_str(consumer->topics[i].name), buf);
        rc |= put(buf, "}");
    }
    rc |= put(buf, "],\"mqTable\":{");
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        {
            if (queue->state != QUEUE_READING)
                continue;
            rc |= put(buf, "%s", comma);
            rc |= put_queue(buf, queue);
            comma = ",";
        }
    }
    rc |= put(buf, "},\"statusTable\":{}}");
    return rc == 0 ? 0 : RMQ_NO_MEMORY;
}
