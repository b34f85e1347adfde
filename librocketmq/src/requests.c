/* SPDX-License-Identifier: Apache-2.0 */
/* What brokers ask of this client: they tell it of changed members, of offsets that an admin has
 * reset, and hand on an admin's wish to see how a consumer does. */
#include "requests.h"
#include "client.h"
#include <stdlib.h>

struct resets {
    struct rmq_queue_json *queues; /* owned */
    size_t count, room;
};

/* Anything that is no queue, or no offset, is passed over. False: out of memory. */
static bool add(struct resets *resets, const struct rmq_queue_json *queue)
{
    if (queue->broker.data == NULL || queue->id < 0 || queue->id > INT32_MAX || queue->offset < 0)
        return true;
    if (resets->count == resets->room) {
        size_t room = resets->room == 0 ? 16 : resets->room * 2;
        struct rmq_queue_json *larger = realloc(resets->queues, room * sizeof(*larger));
        if (larger == NULL)
            return false;
        resets->queues = larger;
        resets->room = room;
    }
    resets->queues[resets->count++] = *queue;
    return true;
}

/* {{"brokerName":"b","queueId":0,"topic":"t"}:5}, whose object has been entered. */
static int read_table(struct rmq_json *json, struct resets *resets)
{
    enum rmq_json_kind kind;
    while ((kind = rmq_json_key(json)) == RMQ_JSON_OBJECT) {
        struct rmq_queue_json queue;
        struct rmq_json key;
        rmq_json_init(&key, json->text, true);
        (void)rmq_json_value(&key); /* an object: it has been read once */
        if (rmq_queue_json_read(&key, &queue) != 0 || rmq_json_value(json) != RMQ_JSON_NUMBER ||
            !rmq_parse_i64(json->text, &queue.offset))
            return RMQ_MALFORMED;
        if (!add(resets, &queue))
            return RMQ_NO_MEMORY;
    }
    return kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}

/* [{"brokerName":"b","offset":5,"queueId":0,"topic":"t"}], whose array has been entered: what a
 * broker makes of the request of an admin's client that is not in Java. */
static int read_list(struct rmq_json *json, struct resets *resets)
{
    enum rmq_json_kind kind;
    while ((kind = rmq_json_item(json)) == RMQ_JSON_OBJECT) {
        struct rmq_queue_json queue;
        if (rmq_queue_json_read(json, &queue) != 0)
            return RMQ_MALFORMED;
        if (!add(resets, &queue))
            return RMQ_NO_MEMORY;
    }
    return kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}

static int read_resets(struct rmq_view body, struct resets *resets)
{
    struct rmq_json json;
    enum rmq_json_kind kind;
    int rc = 0;
    rmq_json_init(&json, body, true);
    if (rmq_json_value(&json) != RMQ_JSON_OBJECT)
        return RMQ_MALFORMED;
    while (rc == 0 && (kind = rmq_json_key(&json)) == RMQ_JSON_STRING) {
        bool table = rmq_view_equal(json.text, rmq_view_str("offsetTable"));
        kind = rmq_json_value(&json);
        if (table && kind == RMQ_JSON_OBJECT)
            rc = read_table(&json, resets);
        else if (table && kind == RMQ_JSON_ARRAY)
            rc = read_list(&json, resets);
        else
            rc = rmq_json_skip(&json, kind) ? 0 : RMQ_MALFORMED;
    }
    return rc != 0 ? rc : kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}

static int32_t serve_reset(struct rmq_client *client, const struct rmq_command *request)
{
    struct resets resets = {NULL, 0, 0};
    const struct rmq_group_service *service =
        rmq_membership_service(client, rmq_command_get(request, "group"));
    struct rmq_view topic = rmq_command_get(request, "topic");
    int rc = service == NULL || service->reset == NULL ? RMQ_NOT_FOUND
                                                       : read_resets(request->body, &resets);
    if (rc != 0) /* a broker tells no one that we did not understand */
        rmq_client_log(client, RMQ_LOG_WARN, "reset of offsets, topic %.*s: %s",
                       (int)(topic.len > 127 ? 127 : topic.len), topic.len > 0 ? topic.data : "",
                       rmq_error_text(rc));
    else
        service->reset(service->arg, topic, resets.queues, resets.count);
    free(resets.queues);
    return rc == 0 ? RMQ_REPLY_SUCCESS : RMQ_REPLY_SYSTEM_ERROR;
}

static int32_t serve_describe(const struct rmq_client *client, const struct rmq_command *request,
                              struct rmq_buf *buf)
{
    const struct rmq_group_service *service =
        rmq_membership_service(client, rmq_command_get(request, "consumerGroup"));
    if (service == NULL || service->describe == NULL)
        return RMQ_REPLY_NOT_SUPPORTED;
    return service->describe(service->arg, buf) == 0 ? RMQ_REPLY_SUCCESS : RMQ_REPLY_SYSTEM_ERROR;
}

int32_t rmq_client_serve(struct rmq_client *client, const struct rmq_command *request,
                         struct rmq_buf *buf)
{
    switch (request->code) {
    case RMQ_NOTIFY_CONSUMERS_CHANGED:
        rmq_memberships_changed(client, rmq_command_get(request, "consumerGroup"));
        return RMQ_REPLY_SUCCESS;
    case RMQ_RESET_CLIENT_OFFSET:
        return serve_reset(client, request);
    case RMQ_GET_RUNNING_INFO:
        return serve_describe(client, request, buf);
    default:
        return RMQ_REPLY_NOT_SUPPORTED;
    }
}
