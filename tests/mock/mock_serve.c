/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about topics, messages and offsets, answered as a 5.3.3 server does. */
#include "mock_internal.h"
#include <inttypes.h>

enum { PULL_MESSAGES = 32, PULL_BYTES = 256 << 10, QUEUES_MAX = 8 };

static struct rmq_view field(const struct rmq_command *request, const char *name)
{
    return rmq_command_get(request, name);
}

static int64_t number(const struct rmq_command *request, const char *name)
{
    int64_t value = 0;
    (void)rmq_command_get_int(request, name, &value); /* 0 where a real one has an exception */
    return value;
}

static void refuse(struct rmq_command *reply, int32_t code, const char *remark)
{
    reply->code = code;
    reply->has_remark = true;
    reply->remark = rmq_view_str(remark);
}

/* --- name server --- */

static void put_broker_data(const struct mock_broker_state *broker, const char *quote,
                            struct rmq_buf *body)
{
    mock_printf(body,
                "{\"brokerAddrs\":{%s0%s:\"%s\"},\"brokerName\":\"%s\",\"cluster\":"
                "\"MockCluster\",\"enableActingMaster\":false}",
                quote, quote, broker->address, broker->name);
}

static void serve_route(struct mock *mock, const struct rmq_command *request,
                        struct rmq_command *reply, struct rmq_buf *body)
{
    char name[NAME_SIZE];
    const char *comma = "";
    /* Servers write numbers as keys for clients before 4.9.4. */
    const char *quote = request->version >= 401 ? "\"" : "";
    bool there = false;
    mock_copy(name, field(request, "topic"));
    mock_printf(body, "{\"brokerDatas\":[");
    for (int i = 0; i < mock->broker_count; i++) {
        const struct mock_broker_state *broker = &mock->brokers[i];
        if (!broker->up || mock_find_topic(mock, broker->name, name) == NULL)
            continue;
        mock_put(body, comma, strlen(comma));
        put_broker_data(broker, quote, body);
        comma = ",";
        there = true;
    }
    mock_printf(body, "],\"filterServerTable\":{},\"queueDatas\":[");
    comma = "";
    for (const struct mock_topic *topic = mock->topics; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, name) != 0)
            continue;
        mock_printf(body,
                    "%s{\"brokerName\":\"%s\",\"perm\":%d,\"readQueueNums\":%d,\"topicSysFlag\":0,"
                    "\"writeQueueNums\":%d}",
                    comma, topic->broker, topic->perm, topic->queues, topic->queues);
        comma = ",";
    }
    mock_printf(body, "]}");
    if (!there) {
        body->len = 0;
        refuse(reply, RMQ_REPLY_TOPIC_NOT_EXIST,
               "No topic route info in name server for the topic");
    }
}

static void serve_cluster(const struct mock *mock, struct rmq_buf *body)
{
    const char *comma = "";
    mock_printf(body, "{\"brokerAddrTable\":{");
    for (int i = 0; i < mock->broker_count; i++) {
        if (!mock->brokers[i].up)
            continue;
        mock_printf(body, "%s\"%s\":", comma, mock->brokers[i].name);
        put_broker_data(&mock->brokers[i], "", body);
        comma = ",";
    }
    mock_printf(body, "},\"clusterAddrTable\":{\"MockCluster\":[");
    comma = "";
    for (int i = 0; i < mock->broker_count; i++) {
        if (!mock->brokers[i].up)
            continue;
        mock_printf(body, "%s\"%s\"", comma, mock->brokers[i].name);
        comma = ",";
    }
    mock_printf(body, "]}}");
}

/* --- sends --- */

/* A field by its short name, or by the long one of code 10. */
static struct rmq_view send_field(const struct rmq_command *request, const char *name,
                                  const char *long_name)
{
    return field(request, request->code == RMQ_SEND_MESSAGE ? long_name : name);
}

static int64_t send_number(const struct rmq_command *request, const char *name,
                           const char *long_name)
{
    return number(request, request->code == RMQ_SEND_MESSAGE ? long_name : name);
}

static struct mock_topic *topic_of_send(struct mock_peer *peer, const char *name)
{
    struct mock *mock = peer->mock;
    const struct rmq_command *request = &peer->command;
    struct mock_topic *topic = mock_find_topic(mock, peer->broker->name, name);
    if (topic == NULL && mock->autocreate &&
        rmq_view_equal(send_field(request, "c", "defaultTopic"), rmq_view_str("TBW102"))) {
        int64_t queues = send_number(request, "d", "defaultTopicQueueNums");
        mock_make_topic(mock, peer->broker->name, name,
                        queues > QUEUES_MAX ? QUEUES_MAX : (int)queues, 6);
        topic = mock_find_topic(mock, peer->broker->name, name);
    }
    return topic;
}

static void put_id(const struct mock_peer *peer, int64_t offset, struct rmq_buf *ids)
{
    mock_printf(ids, "%s7F000001%08X%016" PRIX64, ids->len == 0 ? "" : ",",
                (unsigned)peer->server->port, (uint64_t)offset);
}

/* A batch is stored whole or not at all: it is looked through before. */
static bool is_good_batch(struct rmq_view body)
{
    struct rmq_batch_item item;
    int rc;
    while ((rc = rmq_batch_next(&body, &item, NULL)) == 1)
        continue;
    return rc == 0;
}

static void store_send(struct mock_peer *peer, struct mock_queue *queue, struct rmq_buf *ids)
{
    const struct rmq_command *request = &peer->command;
    struct rmq_view properties = send_field(request, "i", "properties");
    struct rmq_view rest = request->body;
    struct rmq_batch_item item = {.flag = (int32_t)send_number(request, "h", "flag"),
                                  .body = request->body,
                                  .properties = properties};
    int32_t sys_flag = (int32_t)send_number(request, "f", "sysFlag");
    int64_t born = send_number(request, "g", "bornTimestamp");
    int32_t reconsume = (int32_t)send_number(request, "j", "reconsumeTimes");
    if (!rmq_view_equal(send_field(request, "m", "batch"), rmq_view_str("true"))) {
        put_id(peer,
               mock_store(peer->mock, peer->broker, queue, &item, rmq_view(NULL, 0), sys_flag, born,
                          reconsume, peer),
               ids);
        return;
    }
    while (rmq_batch_next(&rest, &item, NULL) == 1)
        put_id(peer,
               mock_store(peer->mock, peer->broker, queue, &item, properties, sys_flag, born,
                          reconsume, peer),
               ids);
}

static void serve_send(struct mock_peer *peer, struct rmq_command *reply)
{
    const struct rmq_command *request = &peer->command;
    bool batch = rmq_view_equal(send_field(request, "m", "batch"), rmq_view_str("true"));
    char name[NAME_SIZE];
    int64_t id = send_number(request, "e", "queueId");
    struct rmq_buf *ids = &peer->mock->ids; /* the reply borrows from it */
    ids->len = 0;
    rmq_command_add_str(reply, "MSG_REGION", "DefaultRegion");
    rmq_command_add_str(reply, "TRACE_ON", "true");
    mock_copy(name, send_field(request, "b", "topic"));
    struct mock_topic *topic = peer->slave ? NULL : topic_of_send(peer, name);
    if (peer->slave)
        refuse(reply, RMQ_REPLY_SYSTEM_BUSY, "[REJECTREQUEST]system busy, start flow control");
    else if (peer->broker->full)
        refuse(reply, RMQ_REPLY_SERVICE_NOT_AVAILABLE,
               "service not available now. It may be caused by one of the following reasons: the "
               "broker's disk is full");
    else if (topic == NULL)
        refuse(reply, RMQ_REPLY_TOPIC_NOT_EXIST, "topic not exist, apply first please!");
    else if (id >= topic->queues)
        refuse(reply, 29, "request queueId is illegal");
    else if (request->body.len == 0 || (batch && !is_good_batch(request->body)))
        refuse(reply, RMQ_REPLY_SYSTEM_ERROR, "the body is empty or no batch");
    else if (request->body.len > RMQ_BODY_MAX)
        refuse(reply, batch ? RMQ_REPLY_SYSTEM_ERROR : RMQ_REPLY_MESSAGE_ILLEGAL,
               "message body size exceeded");
    if (reply->code != 0)
        return;
    if (id < 0)
        id = 0;
    struct mock_queue *queue = mock_find_queue(peer->mock, peer->broker->name, name, (int32_t)id);
    int64_t first = queue->count;
    store_send(peer, queue, ids);
    struct rmq_view unique =
        rmq_properties_get(send_field(request, "i", "properties"), rmq_view_str("UNIQ_KEY"));
    rmq_command_add(reply, "msgId", rmq_buf_view(ids));
    rmq_command_add_int(reply, "queueId", id);
    rmq_command_add_int(reply, "queueOffset", first);
    if (unique.data != NULL)
        rmq_command_add(reply, "transactionId", unique);
    mock_wake(peer->mock, name, (int32_t)id);
}

/* --- pulls --- */

/* The tags that the request wants, or the group subscribes with; NULL: it does not. */
static const char *expression_of(struct mock_peer *peer, char own[NAME_SIZE])
{
    const struct rmq_command *request = &peer->command;
    char group[NAME_SIZE], topic[NAME_SIZE];
    if ((number(request, "sysFlag") & 4) != 0) {
        mock_copy(own, field(request, "subscription"));
        return own;
    }
    mock_copy(group, field(request, "consumerGroup"));
    mock_copy(topic, field(request, "topic"));
    return mock_subscription(peer->mock, peer->broker->name, group, topic);
}

/* As a broker: by hash, so that another tag with the same hash gets through. */
static bool wanted(const struct rmq_buf *stored, const char *expression)
{
    struct rmq_view rest = rmq_buf_view(stored);
    struct rmq_message message;
    char copy[NAME_SIZE], *at = copy;
    if (expression[0] == '\0' || strcmp(expression, "*") == 0)
        return true;
    (void)rmq_message_next(&rest, &message, NULL);
    struct rmq_view tag = rmq_properties_get(message.properties, rmq_view_str("TAGS"));
    mock_copy(copy, rmq_view_str(expression));
    for (char *part; tag.data != NULL && (part = strtok_r(at, "| ", &at)) != NULL;)
        if (rmq_tag_hash(rmq_view_str(part)) == rmq_tag_hash(tag))
            return true;
    return false;
}

/* Messages that are stored can be read a while later only. */
static int64_t end_of(const struct mock_queue *queue)
{
    int64_t end = queue->count - queue->behind;
    return end > queue->min ? end : queue->min;
}

/* Where a wrong offset goes on; true when it is wrong. */
static bool is_moved(const struct mock_queue *queue, int64_t offset, struct rmq_command *reply,
                     int64_t *ret_next)
{
    if (offset < queue->min) {
        refuse(reply, RMQ_REPLY_PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL");
        *ret_next = queue->min;
    } else if (offset > end_of(queue)) {
        refuse(reply, RMQ_REPLY_PULL_OFFSET_MOVED,
               end_of(queue) == 0 ? "NO_MESSAGE_IN_QUEUE" : "OFFSET_OVERFLOW_BADLY");
        *ret_next = end_of(queue) == 0 ? 0 : end_of(queue);
    } else {
        return false;
    }
    return true;
}

static int64_t gather(const struct mock_queue *queue, int64_t offset, int64_t max,
                      const char *expression, struct rmq_buf *body)
{
    int64_t taken = 0;
    for (; offset < end_of(queue) && taken < max; offset++) {
        const struct rmq_buf *message = &queue->messages[offset];
        if (!wanted(message, expression))
            continue;
        if (taken > 0 && body->len + message->len > PULL_BYTES)
            break;
        mock_put(body, message->data, message->len);
        taken++;
    }
    return offset;
}

static void put_pull_fields(const struct mock_queue *queue, int64_t next, struct rmq_command *reply)
{
    rmq_command_add_int(reply, "suggestWhichBrokerId", 0);
    rmq_command_add_int(reply, "groupSysFlag", 0);
    rmq_command_add_int(reply, "nextBeginOffset", next);
    rmq_command_add_int(reply, "maxOffset", end_of(queue));
    rmq_command_add_int(reply, "minOffset", queue->min);
    rmq_command_add_int(reply, "topicSysFlag", 0);
}

static bool serve_pull(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    const struct rmq_command *request = &peer->command;
    char name[NAME_SIZE], group[NAME_SIZE], own[NAME_SIZE];
    int64_t id = number(request, "queueId"), offset = number(request, "queueOffset");
    int64_t flags = number(request, "sysFlag"), max = number(request, "maxMsgNums");
    mock_copy(name, field(request, "topic"));
    mock_copy(group, field(request, "consumerGroup"));
    const struct mock_topic *topic = mock_find_topic(peer->mock, peer->broker->name, name);
    const char *expression = expression_of(peer, own);
    if (topic == NULL)
        refuse(reply, RMQ_REPLY_TOPIC_NOT_EXIST, "topic not exist, apply first please!");
    else if (id < 0 || id >= topic->queues)
        refuse(reply, 29, "queueId is illegal");
    else if (expression == NULL)
        refuse(reply, 24, "the consumer's subscription not exist");
    if (reply->code != 0)
        return true;
    if ((flags & 1) != 0)
        mock_find_offset(peer->mock, peer->broker->name, group, name, (int32_t)id)->offset =
            number(request, "commitOffset");
    struct mock_queue *queue = mock_find_queue(peer->mock, peer->broker->name, name, (int32_t)id);
    int64_t next = offset;
    if (is_moved(queue, offset, reply, &next)) {
        put_pull_fields(queue, next, reply);
        return true;
    }
    max = max < 1 ? 1 : max > PULL_MESSAGES ? PULL_MESSAGES : max;
    next = gather(queue, offset, max, expression, body);
    if (body->len > 0) {
        refuse(reply, 0, "FOUND");
    } else if (next > offset) {
        refuse(reply, RMQ_REPLY_PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE");
    } else if ((flags & 2) != 0 && number(request, "suspendTimeoutMillis") > 0) {
        /* The same request again, without the wish to wait. */
        struct rmq_command again = *request;
        struct rmq_buf frame;
        rmq_buf_init(&frame, BUF_MAX);
        char changed[24];
        (void)snprintf(changed, sizeof(changed), "%" PRId64, flags & ~(int64_t)3);
        for (size_t i = 0; i < again.field_count; i++)
            if (rmq_view_equal(again.fields[i].name, rmq_view_str("sysFlag")))
                again.fields[i].value = rmq_view_str(changed);
        int rc = rmq_command_encode(&again, &frame, NULL);
        assert(rc == 0);
        (void)rc;
        struct mock_later *later = mock_do_later(
            peer->mock, peer->id, (uint64_t)number(request, "suspendTimeoutMillis"), &frame);
        later->what = LATER_PULL;
        later->queue = (int32_t)id;
        mock_copy(later->topic, rmq_view_str(name));
        return false;
    } else {
        refuse(reply, RMQ_REPLY_PULL_NOT_FOUND,
               end_of(queue) == 0 ? "NO_MESSAGE_IN_QUEUE" : "OFFSET_OVERFLOW_ONE");
    }
    put_pull_fields(queue, next, reply);
    return true;
}

/* --- offsets and topics --- */

static void serve_offset(struct mock_peer *peer, struct rmq_command *reply)
{
    const struct rmq_command *request = &peer->command;
    char name[NAME_SIZE], group[NAME_SIZE];
    int32_t id = (int32_t)number(request, "queueId");
    mock_copy(name, field(request, "topic"));
    mock_copy(group, field(request, "consumerGroup"));
    const struct mock_queue *queue = mock_find_queue(peer->mock, peer->broker->name, name, id);
    int64_t value = 0;
    struct mock_offset *offset;
    switch (peer->command.code) {
    case RMQ_GET_MAX_OFFSET:
        value = end_of(queue);
        break;
    case RMQ_GET_MIN_OFFSET:
        value = queue->min;
        reply->has_remark = true; /* an empty one, as captured */
        break;
    case RMQ_SEARCH_OFFSET_BY_TIMESTAMP:
        for (value = queue->min; value < queue->count; value++) {
            struct rmq_view rest = rmq_buf_view(&queue->messages[value]);
            struct rmq_message message;
            (void)rmq_message_next(&rest, &message, NULL);
            if (message.store_ms >= number(request, "timestamp"))
                break;
        }
        break;
    case RMQ_UPDATE_CONSUMER_OFFSET:
        mock_find_offset(peer->mock, peer->broker->name, group, name, id)->offset =
            number(request, "commitOffset");
        return;
    case RMQ_QUERY_CONSUMER_OFFSET:
    default:
        offset = mock_find_offset(peer->mock, peer->broker->name, group, name, id);
        value = offset->offset;
        if (value < 0 && queue->count > 0 && queue->min == 0 &&
            !rmq_view_equal(field(request, "setZeroIfNotFound"), rmq_view_str("false")))
            value = 0; /* a new group on a young topic */
        if (value < 0) {
            refuse(reply, RMQ_REPLY_QUERY_NOT_FOUND,
                   "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first");
            return;
        }
        break;
    }
    rmq_command_add_int(reply, "offset", value);
}

static void serve_stats(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    char name[NAME_SIZE];
    const char *comma = "";
    mock_copy(name, field(&peer->command, "topic"));
    const struct mock_topic *topic = mock_find_topic(peer->mock, peer->broker->name, name);
    if (topic == NULL) {
        refuse(reply, RMQ_REPLY_TOPIC_NOT_EXIST, "topic not exist");
        return;
    }
    mock_printf(body, "{\"offsetTable\":{");
    for (int i = 0; i < topic->queues; i++, comma = ",") {
        const struct mock_queue *queue = mock_find_queue(peer->mock, peer->broker->name, name, i);
        mock_printf(body,
                    "%s{\"brokerName\":\"%s\",\"queueId\":%d,\"topic\":\"%s\"}:"
                    "{\"lastUpdateTimestamp\":%d,\"maxOffset\":%" PRId64 ",\"minOffset\":%" PRId64
                    "}",
                    comma, peer->broker->name, i, name, 0, queue->count, queue->min);
    }
    mock_printf(body, "},\"topicPutTps\":0.0}");
}

static void delete_topic(struct mock *mock, const char *broker, const char *name)
{
    for (struct mock_topic **at = &mock->topics; *at != NULL;) {
        struct mock_topic *topic = *at;
        if (strcmp(topic->name, name) != 0 || strcmp(topic->broker, broker) != 0) {
            at = &topic->next;
            continue;
        }
        *at = topic->next;
        free(topic);
    }
}

static void serve_create(struct mock_peer *peer, struct rmq_command *reply)
{
    char name[NAME_SIZE];
    mock_copy(name, field(&peer->command, "topic"));
    int64_t queues = number(&peer->command, "writeQueueNums");
    mock_make_topic(peer->mock, peer->broker->name, name, (int)queues,
                    (int)number(&peer->command, "perm"));
    refuse(reply, 0, "not set any response code"); /* as captured */
}

static void not_supported(struct rmq_command *reply)
{
    refuse(reply, RMQ_REPLY_NOT_SUPPORTED, "request type is not supported");
}

static void serve_namesrv(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    switch (peer->command.code) {
    case RMQ_GET_ROUTE:
        serve_route(peer->mock, &peer->command, reply, body);
        break;
    case RMQ_GET_CLUSTER_INFO:
        serve_cluster(peer->mock, body);
        break;
    case RMQ_DELETE_TOPIC_IN_NAMESRV:
        break;
    default:
        not_supported(reply);
        break;
    }
}

bool mock_serve(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    char name[NAME_SIZE];
    if (peer->broker == NULL) {
        serve_namesrv(peer, reply, body);
        return true;
    }
    switch (peer->command.code) {
    case RMQ_SEND_MESSAGE:
    case RMQ_SEND_MESSAGE_V2:
    case RMQ_SEND_BATCH:
        serve_send(peer, reply);
        return true;
    case RMQ_PULL_MESSAGE:
    case RMQ_LITE_PULL_MESSAGE:
        return serve_pull(peer, reply, body);
    case RMQ_QUERY_CONSUMER_OFFSET:
    case RMQ_UPDATE_CONSUMER_OFFSET:
    case RMQ_SEARCH_OFFSET_BY_TIMESTAMP:
    case RMQ_GET_MAX_OFFSET:
    case RMQ_GET_MIN_OFFSET:
        serve_offset(peer, reply);
        return true;
    case RMQ_UPDATE_AND_CREATE_TOPIC:
        serve_create(peer, reply);
        return true;
    case RMQ_DELETE_TOPIC_IN_BROKER:
        mock_copy(name, field(&peer->command, "topic"));
        delete_topic(peer->mock, peer->broker->name, name);
        return true;
    case RMQ_UPDATE_GROUP:
        return true;
    case RMQ_GET_TOPIC_STATS:
        serve_stats(peer, reply, body);
        return true;
    default:
        if (!mock_serve_group(peer, reply, body))
            not_supported(reply);
        return true;
    }
}
