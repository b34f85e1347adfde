/* SPDX-License-Identifier: Apache-2.0 */
/* What a send carries: bodies and properties are copied once, into the bytes that go out. */
#include "producer_internal.h"
#include <limits.h>
#include <stdlib.h>
#include <time.h>

enum { ITEM_HEAD = 22 };

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct rmq_send *new_send(size_t cost, struct rmq_err *err)
{
    struct rmq_send *send = calloc(1, sizeof(*send));
    if (send == NULL) {
        rmq_fail(err, RMQ_NO_MEMORY, "no memory for a send of %zu bytes", cost);
        return NULL;
    }
    send->born_ms = now_ms();
    send->cost = cost;
    return send;
}

void rmq_send_free(struct rmq_send *send)
{
    free(send->bytes);
    free(send);
}

/* The outer properties of a batch. Only WAIT may stand there, for a broker appends them to every
 * message; it counts for all of them. */
static struct rmq_view outer_properties(struct rmq_view wait)
{
    if (wait.data == NULL)
        return rmq_view(NULL, 0);
    if (rmq_view_equal(wait, rmq_view_str("false")))
        return rmq_view_str("WAIT\001false\002");
    return rmq_view_str("WAIT\001true\002");
}

static struct rmq_view wait_of(struct rmq_view properties)
{
    return properties.len == 0 ? rmq_view(NULL, 0)
                               : rmq_properties_get(properties, rmq_view("WAIT", 4));
}

static int check_batch(const struct rmq_outgoing *messages, size_t count, size_t *ret_size,
                       struct rmq_err *err)
{
    struct rmq_view wait = wait_of(messages[0].properties);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        const struct rmq_outgoing *message = &messages[i];
        if (message->properties.len > RMQ_PROPERTIES_MAX)
            return rmq_fail(err, RMQ_TOO_LARGE,
                            "message %zu: properties of %zu bytes; %d are "
                            "allowed",
                            i, message->properties.len, RMQ_PROPERTIES_MAX);
        if (message->body.len > RMQ_BODY_MAX ||
            (size += ITEM_HEAD + message->body.len + message->properties.len) > RMQ_BODY_MAX)
            return rmq_fail(err, RMQ_TOO_LARGE,
                            "a batch of %zu messages is above %d bytes at message %zu", count,
                            RMQ_BODY_MAX, i);
        struct rmq_view other = wait_of(message->properties);
        if (!rmq_view_equal(wait, other))
            return rmq_fail(err, RMQ_INVALID,
                            "message %zu: WAIT is '%.*s' and '%.*s' before; it is the same for a "
                            "whole batch",
                            i, (int)(other.len > 20 ? 20 : other.len), other.data,
                            (int)(wait.len > 20 ? 20 : wait.len), wait.data);
    }
    *ret_size = size;
    return 0;
}

static int encode_items(const struct rmq_outgoing *messages, size_t count, struct rmq_send **ret,
                        struct rmq_err *err)
{
    size_t size = 0;
    int rc = check_batch(messages, count, &size, err);
    if (rc != 0)
        return rc;
    struct rmq_send *send = new_send(size, err);
    if (send == NULL)
        return RMQ_NO_MEMORY;
    struct rmq_buf body;
    rmq_buf_init(&body, size);
    body.data = send->bytes = malloc(size); /* to the byte, where reserve would double */
    body.capacity = size;
    if (body.data == NULL) {
        rmq_send_free(send);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a batch of %zu bytes", size);
    }
    for (size_t i = 0; i < count; i++) {
        struct rmq_batch_item item = {.flag = messages[i].flag,
                                      .body = messages[i].body,
                                      .properties = messages[i].properties};
        rc = rmq_batch_add(&body, &item, err);
        if (rc != 0) { /* cannot happen: sizes are checked */
            rmq_send_free(send);
            return rc;
        }
    }
    send->batch = true;
    send->body = rmq_buf_view(&body);
    send->properties = outer_properties(wait_of(messages[0].properties));
    *ret = send;
    return 0;
}

/* The body compressed, when that is asked for and makes it smaller. */
static int compress(const struct rmq_producer *producer, struct rmq_view body,
                    struct rmq_buf *compressed, int32_t *ret_sys_flag, struct rmq_err *err)
{
    const struct rmq_producer_options *options = &producer->options;
    *ret_sys_flag = 0;
    rmq_buf_init(compressed, (size_t)RMQ_BODY_MAX * 2);
    if (options->compression == RMQ_COMPRESSION_NONE || body.len < options->compress_from)
        return 0;
    int rc = rmq_body_deflate(options->compression, options->compression_level, body, compressed,
                              ret_sys_flag, err);
    if (rc != 0 || compressed->len >= body.len) {
        rmq_buf_deinit(compressed);
        *ret_sys_flag = 0;
    }
    return rc;
}

int rmq_send_encode(const struct rmq_producer *producer, const struct rmq_outgoing *messages,
                    size_t count, struct rmq_send **ret, struct rmq_err *err)
{
    const struct rmq_outgoing *message = messages;
    struct rmq_buf compressed;
    int32_t sys_flag;
    if (count == 0)
        return rmq_fail(err, RMQ_INVALID, "a send of no message");
    if (count > 1 || message->body.len == 0)
        return encode_items(messages, count, ret, err);
    if (message->body.len > RMQ_BODY_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "body of %zu bytes; %d are allowed", message->body.len,
                        RMQ_BODY_MAX);
    if (message->properties.len > RMQ_PROPERTIES_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "properties of %zu bytes; %d are allowed",
                        message->properties.len, RMQ_PROPERTIES_MAX);
    int rc = compress(producer, message->body, &compressed, &sys_flag, err);
    if (rc != 0)
        return rc;
    struct rmq_view body = sys_flag != 0 ? rmq_buf_view(&compressed) : message->body;
    size_t size = body.len + message->properties.len;
    struct rmq_send *send = new_send(size, err);
    if (send == NULL || (send->bytes = malloc(size)) == NULL) {
        rmq_buf_deinit(&compressed);
        free(send);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a send of %zu bytes", size);
    }
    memcpy(send->bytes, body.data, body.len);
    if (message->properties.len > 0)
        memcpy(send->bytes + body.len, message->properties.data, message->properties.len);
    send->body = rmq_view(send->bytes, body.len);
    send->properties = rmq_view(send->bytes + body.len, message->properties.len);
    send->flag = message->flag;
    send->sys_flag = sys_flag;
    rmq_buf_deinit(&compressed);
    *ret = send;
    return 0;
}

int rmq_send_encode_batch(struct rmq_buf *body, struct rmq_send **ret, struct rmq_err *err)
{
    struct rmq_view rest = rmq_buf_view(body);
    struct rmq_batch_item first;
    if (body->len == 0)
        return rmq_fail(err, RMQ_INVALID, "a send of no message");
    if (body->len > RMQ_BODY_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "a batch of %zu bytes; %d are allowed", body->len,
                        RMQ_BODY_MAX);
    if (rmq_batch_next(&rest, &first, err) != 1)
        return rmq_fail(err, RMQ_INVALID, "the batch was not made by rmq_batch_add");
    struct rmq_send *send = new_send(body->len, err);
    if (send == NULL)
        return RMQ_NO_MEMORY;
    send->batch = true;
    send->bytes = body->data;
    send->body = rmq_buf_view(body);
    send->properties = outer_properties(wait_of(first.properties));
    rmq_buf_init(body, body->max);
    *ret = send;
    return 0;
}

void rmq_send_request(const struct rmq_producer *producer, const struct rmq_send *send,
                      struct rmq_command *request)
{
    const struct rmq_producer_options *options = &producer->options;
    rmq_command_init(request, send->batch ? RMQ_SEND_BATCH : RMQ_SEND_MESSAGE_V2);
    rmq_command_add_str(request, "a", options->group);
    rmq_command_add_str(request, "b", send->topic->name);
    /* The template of a topic to be made. One that is not there itself: nothing is made. */
    rmq_command_add_str(request, "c", options->auto_create ? "TBW102" : send->topic->name);
    rmq_command_add_int(request, "d", options->auto_create_queues);
    rmq_command_add_int(request, "e", send->queue_id);
    rmq_command_add_int(request, "f", send->sys_flag);
    rmq_command_add_int(request, "g", send->born_ms);
    rmq_command_add_int(request, "h", send->flag);
    if (send->properties.len > 0) /* an empty field breaks the signature in the binary codec */
        rmq_command_add(request, "i", send->properties);
    rmq_command_add_str(request, "j", "0");
    rmq_command_add_str(request, "k", "false");
    rmq_command_add_str(request, "m", send->batch ? "true" : "false");
    rmq_command_add_str(request, "n", send->broker->name);
    request->body = send->body;
}
