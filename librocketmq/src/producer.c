/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a send through the lists of producer_internal.h: placed, transmitted, answered,
 * perhaps tried again, ended. Nothing ends inside a call of the caller's: what fails there rests
 * until the loop comes round. */
#include "producer_internal.h"
#include <limits.h>
#include <stdlib.h>

enum { BACKOFF_MS = 20, FULL_CONNECTION_MS = 5 };

static void on_timer(uv_timer_t *timer);
static void pump_broker(struct rmq_producer *producer, struct rmq_send_broker *broker);

/* --- resting --- */

static void arm_timer(struct rmq_producer *producer, uint64_t due_ms)
{
    uint64_t now = uv_now(producer->loop);
    if (producer->closed)
        return;
    /* Too early does no harm: on_timer looks what is due and arms anew. */
    if (uv_is_active((uv_handle_t *)&producer->timer) &&
        uv_timer_get_due_in(&producer->timer) + now <= due_ms)
        return;
    (void)uv_timer_start(&producer->timer, on_timer, due_ms > now ? due_ms - now : 0, 0);
}

static void rest(struct rmq_send *send, uint64_t pause_ms)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_send_list *list = &producer->resting;
    send->due_ms = uv_now(producer->loop) + pause_ms;
    struct rmq_send *before = list->last; /* mostly the end is the right place */
    while (before != NULL && before->due_ms > send->due_ms)
        before = before->prev;
    if (before == list->last) {
        rmq_send_push(list, send);
    } else {
        struct rmq_send *behind = before == NULL ? list->first : before->next;
        send->in = list;
        send->prev = before;
        send->next = behind;
        behind->prev = send;
        if (before == NULL)
            list->first = send;
        else
            before->next = send;
    }
    arm_timer(producer, send->due_ms);
}

void rmq_send_fail_later(struct rmq_send *send, const struct rmq_err *err)
{
    send->failed = true;
    if (!send->maybe_stored)
        send->err = *err;
    rest(send, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct rmq_producer *producer = timer->data;
    struct rmq_send_list due = {NULL, NULL};
    uint64_t now = uv_now(producer->loop);
    while (producer->resting.first != NULL && producer->resting.first->due_ms <= now) {
        struct rmq_send *send = producer->resting.first;
        rmq_send_unlink(send);
        rmq_send_push(&due, send); /* what comes to rest meanwhile waits for the next turn */
    }
    if (producer->resting.first != NULL)
        arm_timer(producer, producer->resting.first->due_ms);
    while (due.first != NULL && !producer->closed) {
        struct rmq_send *send = due.first;
        if (send->failed) {
            struct rmq_err err = send->err;
            rmq_send_end(send, err.code, NULL, &err);
        } else {
            rmq_send_unlink(send);
            rmq_send_place(send);
        }
    }
    if (producer->closed)
        return;
    for (struct rmq_send_broker *broker = producer->brokers; broker; broker = broker->next)
        pump_broker(producer, broker); /* those whose connection was full */
}

/* --- on the wire --- */

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err);

static bool has_room(const struct rmq_send_broker *broker, size_t cost)
{
    return broker->sends == 0 ||
           (broker->sends < RMQ_BROKER_SENDS && broker->bytes + cost <= (size_t)RMQ_BROKER_BYTES);
}

/* False when the connection is full: the send is where it was. */
static bool transmit(struct rmq_send *send)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_send_broker *broker = send->broker;
    struct rmq_command request;
    struct rmq_err err;
    rmq_send_request(producer, send, &request);
    int rc = rmq_client_call_broker(producer->client, broker->name, 0, &request,
                                    producer->options.send_timeout_ms, on_reply, send, &err);
    rmq_command_deinit(&request);
    if (rc == RMQ_AGAIN)
        return false;
    rmq_send_unlink(send);
    if (rc == 0) {
        send->on_wire = true;
        send->sent_ms = uv_now(producer->loop);
        broker->sends++;
        broker->bytes += send->cost;
        return true;
    }
    if (rc == RMQ_NOT_FOUND) { /* no address now: as a broker that cannot be reached */
        err.code = RMQ_UNREACHABLE;
        (void)rmq_send_ask_route(producer, send->topic, true, NULL); /* the next send asks again */
        if (send->retries_left > 0) {
            send->retries_left--;
            rest(send, BACKOFF_MS);
            return true;
        }
    }
    rmq_send_fail_later(send, &err);
    return true;
}

static void pump_broker(struct rmq_producer *producer, struct rmq_send_broker *broker)
{
    while (broker->waiting.first != NULL && has_room(broker, broker->waiting.first->cost)) {
        if (!transmit(broker->waiting.first)) {
            arm_timer(producer, uv_now(producer->loop) + FULL_CONNECTION_MS);
            return;
        }
    }
}

static void pump_line(struct rmq_send_line *line)
{
    struct rmq_send *send = line->waiting.first;
    if (line->busy != NULL || line->blocked || send == NULL)
        return;
    rmq_send_unlink(send);
    line->busy = send;
    rmq_send_push(&line->broker->waiting, send);
    pump_broker(send->producer, line->broker);
}

void rmq_send_place(struct rmq_send *send)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_err err;
    if (!send->named && send->topic->route == NULL) { /* it went away while the send was resting */
        if (rmq_send_ask_route(producer, send->topic, false, &err) == 0)
            rmq_send_push(&send->topic->waiting, send);
        else
            rmq_send_fail_later(send, &err);
        return;
    }
    if (!send->named) {
        int rc = rmq_send_pick(send, &err);
        if (rc == RMQ_UNREACHABLE)
            (void)rmq_send_ask_route(producer, send->topic, true, NULL);
        if (rc != 0) {
            rmq_send_fail_later(send, &err);
            return;
        }
    }
    if (!producer->options.ordered) {
        rmq_send_push(&send->broker->waiting, send);
        pump_broker(producer, send->broker);
        return;
    }
    struct rmq_send_line *line =
        rmq_send_find_line(producer, send->topic, send->broker, send->queue_id, true);
    if (line == NULL) {
        rmq_fail(&err, RMQ_NO_MEMORY, "no memory for a queue");
        rmq_send_fail_later(send, &err);
        return;
    }
    if (line->blocked) {
        rmq_fail(&err, RMQ_ABORTED, "queue %d of topic '%.127s' at %.60s waits to be resumed",
                 (int)send->queue_id, send->topic->name, send->broker->name);
        rmq_send_fail_later(send, &err);
        return;
    }
    send->line = line;
    rmq_send_push(&line->waiting, send);
    pump_line(line);
}

/* --- the end --- */

/* Those behind a failed one of the same line; they have not been tried. */
static void abort_line(struct rmq_producer *producer, struct rmq_send_list *behind)
{
    while (behind->first != NULL && !producer->closed) {
        struct rmq_send *send = behind->first;
        struct rmq_err err;
        rmq_fail(&err, RMQ_ABORTED,
                 "an earlier send to queue %d of topic '%.127s' at %.60s has failed",
                 (int)send->queue_id, send->topic->name, send->broker->name);
        rmq_send_end(send, RMQ_ABORTED, NULL, &err);
    }
}

/* Take the send out of its line: the next one follows, or (failed) those behind go to *behind. */
static void leave_line(struct rmq_send *send, bool failed, struct rmq_send_list *behind)
{
    struct rmq_send_line *line = send->line;
    send->line = NULL;
    if (line->busy != send)
        return; /* it was waiting, and is aborted or closed */
    line->busy = NULL;
    line->blocked |= failed;
    while (failed && line->waiting.first != NULL) {
        struct rmq_send *next = line->waiting.first;
        rmq_send_unlink(next);
        rmq_send_push(behind, next);
        next->line = NULL; /* a resume may drop the line before they have ended */
    }
    if (!failed)
        pump_line(line);
    rmq_send_drop_line(send->producer, line);
}

void rmq_send_end(struct rmq_send *send, int rc, const struct rmq_send_result *result,
                  const struct rmq_err *err)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_send_list behind = {NULL, NULL};
    struct rmq_send_result where = {.broker = send->broker == NULL ? NULL : send->broker->name,
                                    .queue_id = send->queue_id,
                                    .queue_offset = -1,
                                    .message_id = ""};
    rmq_sent_fn done = send->done;
    void *arg = send->arg;
    rmq_send_unlink(send);
    if (send->all_prev != NULL)
        send->all_prev->all_next = send->all_next;
    else
        producer->all = send->all_next;
    if (send->all_next != NULL)
        send->all_next->all_prev = send->all_prev;
    producer->sends--;
    producer->bytes -= send->cost;
    send->topic->sends--;
    if (send->line != NULL)
        leave_line(send, rc != 0, &behind);
    if (send->on_wire)
        send->producer = NULL; /* its reply frees it */
    else
        rmq_send_free(send);
    done(arg, rc, result != NULL ? result : &where, err);
    abort_line(producer, &behind);
}

/* The codes that say "not stored, another broker may take it". */
static bool worth_another(int32_t code)
{
    static const int32_t codes[] = {RMQ_REPLY_SYSTEM_ERROR,          RMQ_REPLY_SYSTEM_BUSY,
                                    RMQ_REPLY_SERVICE_NOT_AVAILABLE, RMQ_REPLY_NO_PERMISSION,
                                    RMQ_REPLY_TOPIC_NOT_EXIST,       204 /* NO_BUYER_ID */,
                                    205 /* NOT_IN_CURRENT_UNIT */,   1500 /* GO_AWAY */};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i] == code)
            return true;
    return false;
}

/* 10, 11, 12: stored, but not flushed or copied in time. */
static bool is_stored(int32_t code)
{
    return code == RMQ_REPLY_SUCCESS || code == RMQ_REPLY_FLUSH_DISK_TIMEOUT ||
           code == RMQ_REPLY_SLAVE_NOT_AVAILABLE || code == RMQ_REPLY_FLUSH_SLAVE_TIMEOUT;
}

static void succeed(struct rmq_send *send, const struct rmq_command *reply)
{
    struct rmq_view ids = rmq_command_get(reply, "msgId");
    const char *comma = ids.len == 0 ? NULL : memchr(ids.data, ',', ids.len);
    size_t len = comma == NULL ? ids.len : (size_t)(comma - ids.data);
    char id[80];
    int64_t queue_id, offset;
    if (len >= sizeof(id))
        len = sizeof(id) - 1;
    if (len > 0)
        memcpy(id, ids.data, len);
    id[len] = '\0';
    if (rmq_command_get_int(reply, "queueId", &queue_id) != 0 || queue_id < 0 ||
        queue_id > INT32_MAX)
        queue_id = send->queue_id;
    if (rmq_command_get_int(reply, "queueOffset", &offset) != 0)
        offset = -1;
    struct rmq_send_result result = {.broker = send->broker->name,
                                     .queue_id = (int32_t)queue_id,
                                     .queue_offset = offset,
                                     .server_code = reply->code,
                                     .message_id = id};
    if (send->topic->from_default) /* it has been made just now */
        (void)rmq_send_ask_route(send->producer, send->topic, true, NULL);
    rmq_send_end(send, 0, &result, NULL);
}

/* Try again, if that is allowed. */
static bool retry(struct rmq_send *send, const struct rmq_err *err)
{
    const struct rmq_producer_options *options = &send->producer->options;
    bool unknown = err->code == RMQ_LOST || err->code == RMQ_TIMEOUT;
    bool again = err->code == RMQ_UNREACHABLE || (unknown && options->retry_unknown) ||
                 (err->code == RMQ_REFUSED && worth_another(err->server_code));
    if (unknown && !send->maybe_stored) {
        send->maybe_stored = true;
        send->err = *err;
    }
    if (!again || send->retries_left == 0)
        return false;
    send->retries_left--;
    /* A moment, for the same broker may be the only one. */
    int doublings = options->retries - send->retries_left - 1;
    rest(send, (uint64_t)BACKOFF_MS << (doublings > 5 ? 5 : doublings));
    return true;
}

/* An attempt has failed: another one, or the end. */
static void fail_attempt(struct rmq_send *send, const struct rmq_err *why)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_err err = *why; /* what follows may end its life */
    bool transient = err.code != RMQ_REFUSED || worth_another(err.server_code);
    if (transient) { /* the queue may have moved */
        rmq_send_note_latency(producer, send->broker, 0, true);
        (void)rmq_send_ask_route(producer, send->topic, true, NULL); /* the next send asks again */
    }
    if (retry(send, &err))
        return;
    if (producer->options.ordered && err.code == RMQ_TIMEOUT) {
        /* What is still on its way there must not be stored behind what the caller sends next. Ends
         * other requests, whose callbacks may close this producer. */
        send->on_wire = true;
        rmq_client_reset_broker(producer->client, send->broker->name);
        send->on_wire = false;
        if (send->producer == NULL) {
            rmq_send_free(send);
            return;
        }
    }
    if (send->maybe_stored)
        err = send->err;
    rmq_send_end(send, err.code, NULL, &err);
}

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct rmq_send *send = arg;
    struct rmq_producer *producer = send->producer;
    struct rmq_send_broker *broker = send->broker;
    struct rmq_err refused;
    if (producer == NULL) {
        rmq_send_free(send);
        return;
    }
    send->on_wire = false;
    broker->sends--;
    broker->bytes -= send->cost;
    if (rc != 0) {
        fail_attempt(send, err);
    } else if (is_stored(reply->code)) {
        rmq_send_note_latency(producer, broker, uv_now(producer->loop) - send->sent_ms, false);
        succeed(send, reply);
    } else {
        (void)rmq_reply_check(reply, "send", &refused);
        fail_attempt(send, &refused);
    }
    if (!producer->closed)
        pump_broker(producer, broker);
}

/* --- public --- */

static int take_options(struct rmq_producer *producer, const struct rmq_producer_options *options,
                        struct rmq_err *err)
{
    struct rmq_producer_options *mine = &producer->options;
    memcpy(mine, options,
           options->struct_size < sizeof(*mine) ? options->struct_size : sizeof(*mine));
    if (mine->group == NULL || mine->group[0] == '\0')
        return rmq_fail(err, RMQ_INVALID, "a producer needs a group");
    if (mine->send_timeout_ms < 0 || mine->retries < -1 || mine->auto_create_queues < 0)
        return rmq_fail(
            err, RMQ_INVALID, "send_timeout_ms %lld, retries %d, auto_create_queues %d: below zero",
            (long long)mine->send_timeout_ms, mine->retries, (int)mine->auto_create_queues);
    if (mine->compression != RMQ_COMPRESSION_NONE && mine->compression != RMQ_COMPRESSION_LZ4 &&
        mine->compression != RMQ_COMPRESSION_ZSTD && mine->compression != RMQ_COMPRESSION_ZLIB)
        return rmq_fail(err, RMQ_INVALID, "compression %d; LZ4, ZSTD and ZLIB are known",
                        (int)mine->compression);
    mine->retries = mine->ordered || mine->retries == -1 ? 0
                    : mine->retries == 0                 ? 2
                                                         : mine->retries;
#define DEFAULT(name, value)                                                                       \
    if (mine->name == 0)                                                                           \
    mine->name = value
    DEFAULT(send_timeout_ms, 3000);
    DEFAULT(compress_from, 4096);
    DEFAULT(max_in_flight, 1024);
    DEFAULT(max_in_flight_bytes, (size_t)64 << 20);
    DEFAULT(auto_create_queues, 4);
#undef DEFAULT
    mine->group = strdup(mine->group);
    return mine->group == NULL ? rmq_fail(err, RMQ_NO_MEMORY, "no memory for a producer") : 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct rmq_producer *producer = handle->data;
    union {
        const char *text;
        char *owned;
    } group = {.text = producer->options.group};
    rmq_send_free_places(producer);
    free(group.owned);
    free(producer);
}

int rmq_producer_new(struct rmq_client *client, const struct rmq_producer_options *options,
                     struct rmq_producer **ret, struct rmq_err *err)
{
    struct rmq_producer *producer = calloc(1, sizeof(*producer));
    if (producer == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a producer");
    int rc = take_options(producer, options, err);
    if (rc != 0) {
        free(producer);
        return rc;
    }
    producer->client = client;
    producer->loop = rmq_client_loop(client);
    producer->turn = (uint32_t)(uv_hrtime() ^ (uintptr_t)producer >> 4); /* not all begin alike */
    (void)uv_timer_init(producer->loop, &producer->timer);               /* cannot fail */
    producer->timer.data = producer;
    *ret = producer;
    return 0;
}

void rmq_producer_close(struct rmq_producer *producer)
{
    struct rmq_err err;
    rmq_fail(&err, RMQ_CLOSED, "the producer was closed before the send had ended");
    producer->closed = true;
    rmq_send_leave_routes(producer);
    uv_close((uv_handle_t *)&producer->timer, on_timer_closed);
    while (producer->all != NULL) {
        struct rmq_send *send = producer->all;
        send->line = NULL; /* nothing follows it */
        rmq_send_end(send, RMQ_CLOSED, NULL, &err);
    }
}

static int admit(const struct rmq_producer *producer, size_t bytes, struct rmq_err *err)
{
    if (producer->closed)
        return rmq_fail(err, RMQ_CLOSED, "the producer is closed");
    if (producer->sends >= producer->options.max_in_flight ||
        (producer->sends > 0 && producer->bytes + bytes > producer->options.max_in_flight_bytes))
        return rmq_fail(err, RMQ_AGAIN, "%zu sends with %zu bytes are under way", producer->sends,
                        producer->bytes);
    return 0;
}

static int check_target(const struct rmq_target *target, struct rmq_err *err)
{
    size_t len = target->topic == NULL ? 0 : strlen(target->topic);
    if (len == 0 || len > RMQ_TOPIC_MAX)
        return rmq_fail(err, RMQ_INVALID, "topic of %zu bytes; 1 to %d are allowed", len,
                        (int)RMQ_TOPIC_MAX);
    if (target->broker != NULL && (target->broker[0] == '\0' || target->queue_id < 0))
        return rmq_fail(err, RMQ_INVALID, "queue %d at broker '%.60s'; a name and 0 or more",
                        (int)target->queue_id, target->broker);
    return 0;
}

/* Send on its way; it is freed when that fails. */
static int start(struct rmq_producer *producer, const struct rmq_target *target,
                 struct rmq_send *send, rmq_sent_fn done, void *arg, struct rmq_err *err)
{
    int rc = 0;
    send->producer = producer;
    send->topic = rmq_send_find_topic(producer, target->topic, true);
    send->named = target->broker != NULL;
    send->retries_left = send->named ? 0 : producer->options.retries;
    if (send->named) {
        send->broker = rmq_send_find_broker(producer, target->broker, true);
        send->queue_id = target->queue_id;
    }
    if (send->topic == NULL || (send->named && send->broker == NULL))
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a topic or a broker");
    if (send->topic->route == NULL)
        rc = rmq_send_ask_route(producer, send->topic, false, err);
    if (rc != 0)
        return rc;
    send->done = done;
    send->arg = arg;
    send->all_next = producer->all;
    if (producer->all != NULL)
        producer->all->all_prev = send;
    producer->all = send;
    producer->sends++;
    producer->bytes += send->cost;
    send->topic->sends++;
    if (send->topic->route == NULL)
        rmq_send_push(&send->topic->waiting, send);
    else
        rmq_send_place(send);
    return 0;
}

int rmq_producer_send(struct rmq_producer *producer, const struct rmq_target *target,
                      const struct rmq_outgoing *messages, size_t count, rmq_sent_fn done,
                      void *arg, struct rmq_err *err)
{
    struct rmq_send *send;
    size_t bytes = 0;
    int rc = check_target(target, err);
    for (size_t i = 0; rc == 0 && i < count && bytes <= RMQ_BODY_MAX; i++)
        bytes += messages[i].body.len + messages[i].properties.len;
    if (rc == 0)
        rc = admit(producer, bytes, err);
    if (rc == 0)
        rc = rmq_send_encode(producer, messages, count, &send, err);
    if (rc != 0)
        return rc;
    rc = start(producer, target, send, done, arg, err);
    if (rc != 0)
        rmq_send_free(send);
    return rc;
}

int rmq_producer_send_batch(struct rmq_producer *producer, const struct rmq_target *target,
                            struct rmq_buf *body, rmq_sent_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_send *send;
    struct rmq_buf before = *body;
    int rc = check_target(target, err);
    if (rc == 0)
        rc = admit(producer, body->len, err);
    if (rc == 0)
        rc = rmq_send_encode_batch(body, &send, err);
    if (rc != 0)
        return rc;
    rc = start(producer, target, send, done, arg, err);
    if (rc != 0) {
        *body = before; /* given back */
        send->bytes = NULL;
        rmq_send_free(send);
    }
    return rc;
}

void rmq_producer_resume(struct rmq_producer *producer, const char *topic, const char *broker,
                         int32_t queue_id)
{
    struct rmq_send_topic *place = rmq_send_find_topic(producer, topic, false);
    struct rmq_send_broker *where = rmq_send_find_broker(producer, broker, false);
    if (place == NULL || where == NULL)
        return; /* it was never sent to */
    struct rmq_send_line *line = rmq_send_find_line(producer, place, where, queue_id, false);
    if (line == NULL)
        return;
    line->blocked = false;
    rmq_send_drop_line(producer, line);
}
