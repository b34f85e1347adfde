/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of queues, for ordered consumption: one request a broker, for all queues of it. The broker
 * forgets a lock 60 s after it was asked for last. */
#include "consumer.h"
#include "queue_json.h"
#include <stdio.h>
#include <stdlib.h>

struct lock_call {
    struct rmq_consumer *consumer;
    uint64_t made_ms;
    size_t count;
    struct consumer_queue *queues[]; /* counted in their flying */
};

static uint64_t now_of(const struct rmq_consumer *consumer)
{
    return uv_now(rmq_client_loop(consumer->client));
}

/* --- bodies --- */

static int put(struct rmq_buf *buf, const char *text)
{
    return rmq_buf_append(buf, text, strlen(text));
}

static int put_queues(struct rmq_buf *buf, struct rmq_consumer *consumer,
                      struct consumer_queue *const *queues, size_t count)
{
    char number[32];
    int rc = put(buf, "{\"clientId\":");
    rc |= rmq_json_quote(rmq_view_str(rmq_client_id(consumer->client)), buf);
    rc |= put(buf, ",\"consumerGroup\":");
    rc |= rmq_json_quote(rmq_view_str(consumer->options.group), buf);
    rc |= put(buf, ",\"onlyThisBroker\":false,\"mqSet\":[");
    for (size_t i = 0; i < count; i++) {
        rc |= put(buf, i > 0 ? ",{\"topic\":" : "{\"topic\":");
        rc |= rmq_json_quote(rmq_view_str(queues[i]->topic->name), buf);
        rc |= put(buf, ",\"brokerName\":");
        rc |= rmq_json_quote(rmq_view_str(queues[i]->broker), buf);
        (void)snprintf(number, sizeof(number), ",\"queueId\":%d}", (int)queues[i]->id);
        rc |= put(buf, number);
    }
    rc |= put(buf, "]}");
    return rc == 0 ? 0 : RMQ_NO_MEMORY;
}

static int call(struct rmq_consumer *consumer, int32_t code, struct consumer_queue *const *queues,
                size_t count, int64_t timeout_ms, rmq_reply_fn reply, void *arg,
                struct rmq_err *err)
{
    struct rmq_command request;
    struct rmq_buf body;
    rmq_buf_init(&body, 4 << 20);
    rmq_command_init(&request, code);
    int rc = put_queues(&body, consumer, queues, count);
    request.body = rmq_buf_view(&body);
    if (rc != 0)
        rmq_fail(err, rc, "no memory to lock %zu queues", count);
    else /* the master only: a replica would grant it, too */
        rc = rmq_client_call_broker(consumer->client, queues[0]->broker, 0, &request, timeout_ms,
                                    reply, arg, err);
    rmq_command_deinit(&request);
    rmq_buf_deinit(&body);
    return rc;
}

static int read_granted(struct rmq_view body, struct lock_call *lock, bool *granted)
{
    struct rmq_json json;
    enum rmq_json_kind kind;
    struct rmq_queue_json one;
    rmq_json_init(&json, body, true);
    if (rmq_json_value(&json) != RMQ_JSON_OBJECT)
        return RMQ_MALFORMED;
    while ((kind = rmq_json_key(&json)) == RMQ_JSON_STRING) {
        bool wanted = rmq_view_equal(json.text, rmq_view_str("lockOKMQSet"));
        kind = rmq_json_value(&json);
        if (!wanted || kind != RMQ_JSON_ARRAY) {
            if (!rmq_json_skip(&json, kind))
                return RMQ_MALFORMED;
            continue;
        }
        while ((kind = rmq_json_item(&json)) == RMQ_JSON_OBJECT) {
            if (rmq_queue_json_read(&json, &one) != 0)
                return RMQ_MALFORMED;
            for (size_t i = 0; i < lock->count; i++) {
                struct consumer_queue *queue = lock->queues[i];
                granted[i] |= queue->id == one.id &&
                              rmq_view_equal(one.topic, rmq_view_str(queue->topic->name)) &&
                              rmq_view_equal(one.broker, rmq_view_str(queue->broker));
            }
        }
        if (kind != RMQ_JSON_END)
            return RMQ_MALFORMED;
    }
    return kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}

/* --- what comes of it --- */

/* Another has it, or had it meanwhile: what we know of offsets is not true any more. */
static void forget(struct consumer_queue *queue)
{
    rmq_consumer_queue_stop(queue);
    queue->expired = false;
    queue->done = queue->committed = -1;
    if (queue->state == QUEUE_READING)
        queue->state = QUEUE_WAITING;
}

static void got(struct consumer_queue *queue, uint64_t made_ms)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    bool same = queue->locked && made_ms < queue->lock_ms + LOCK_KEPT_MS;
    if (!same && queue->state == QUEUE_READING)
        forget(queue);
    queue->locked = true;
    queue->lock_ms = made_ms;
    if (queue->expired) {
        queue->expired = false;
        rmq_puller_pause(queue->puller, false);
        rmq_list_remove(&queue->ready);
        rmq_list_append(&consumer->ready, &queue->ready);
    }
    if (queue->state == QUEUE_WAITING)
        rmq_consumer_queue_start(queue);
}

static void refused(struct consumer_queue *queue)
{
    queue->locked = false;
    queue->due_ms = now_of(queue->topic->consumer) + LOCK_RETRY_MS;
    forget(queue); /* an answer for its offset that is still to come is not used: see locked */
}

static void on_locked(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct lock_call *lock = arg;
    struct rmq_consumer *consumer = lock->consumer;
    struct rmq_err failure;
    bool *granted = calloc(lock->count, sizeof(*granted));
    if (rc != 0)
        failure = *err;
    else if (granted == NULL)
        rc = rmq_fail(&failure, RMQ_NO_MEMORY, "no memory for the locks of a broker");
    else if ((rc = rmq_reply_check(reply, "lock of queues", &failure)) == 0 &&
             (rc = read_granted(reply->body, lock, granted)) != 0)
        rmq_fail(&failure, rc, "a lock's reply that cannot be read");
    if (rc == 0)
        consumer->lock_told = false;
    else
        rmq_consumer_tell(consumer, &consumer->lock_told, &failure);
    for (size_t i = 0; i < lock->count; i++) {
        struct consumer_queue *queue = lock->queues[i];
        queue->flying--;
        queue->lock_flying = false;
        if (queue->state == QUEUE_LEAVING) {
            queue->locked |= rc == 0 && granted[i]; /* to be given back */
            rmq_consumer_queue_leave_on(queue);
        } else if (rc != 0) {
            queue->due_ms = now_of(consumer) + LOCK_RETRY_MS;
        } else if (granted[i]) {
            got(queue, lock->made_ms);
        } else {
            refused(queue);
        }
    }
    free(granted);
    free(lock);
    rmq_consumer_settle(consumer);
}

/* --- asking --- */

static bool is_due(const struct consumer_queue *queue, uint64_t now)
{
    if (queue->state == QUEUE_LEAVING || queue->lock_flying)
        return false;
    /* after a failure it is tried again soon, whether we have the lock or not */
    return now >= queue->due_ms && (!queue->locked || now >= queue->lock_ms + LOCK_RENEW_MS);
}

static void lock_broker(struct rmq_consumer *consumer, const char *broker, uint64_t now)
{
    struct consumer_queue *queue;
    struct rmq_err err;
    size_t count = 0;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        count += strcmp(queue->broker, broker) == 0;
    }
    struct lock_call *lock = calloc(1, sizeof(*lock) + count * sizeof(lock->queues[0]));
    if (lock == NULL)
        return; /* the next tick tries again */
    lock->consumer = consumer;
    lock->made_ms = now;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        {
            if (strcmp(queue->broker, broker) == 0 && queue->state != QUEUE_LEAVING &&
                !queue->lock_flying)
                lock->queues[lock->count++] = queue;
        }
    }
    int rc = call(consumer, RMQ_LOCK_BATCH, lock->queues, lock->count, REQUEST_MS, on_locked, lock,
                  &err);
    for (size_t i = 0; i < lock->count; i++) {
        lock->queues[i]->lock_flying = rc == 0;
        lock->queues[i]->flying += rc == 0;
        lock->queues[i]->due_ms = now + LOCK_RETRY_MS;
    }
    if (rc != 0) {
        rmq_consumer_tell(consumer, &consumer->lock_told, &err);
        free(lock);
    }
}

void rmq_consumer_lock(struct rmq_consumer *consumer)
{
    struct consumer_queue *queue;
    uint64_t now = now_of(consumer);
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        {
            if (queue->state == QUEUE_READING && queue->locked && !queue->expired &&
                now > queue->lock_ms + LOCK_TRUST_MS) {
                queue->expired = true;
                rmq_puller_pause(queue->puller, true);
            }
            if (is_due(queue, now))
                lock_broker(consumer, queue->broker, now);
        }
    }
}

static void on_unlocked(void *arg, int rc, const struct rmq_command *reply,
                        const struct rmq_err *err)
{
    struct consumer_queue *queue = arg;
    struct rmq_consumer *consumer = queue->topic->consumer;
    (void)rc; /* what cannot be given back ends by itself */
    (void)reply;
    (void)err;
    queue->flying--;
    rmq_consumer_queue_leave_on(queue);
    rmq_consumer_settle(consumer);
}

bool rmq_consumer_queue_unlock(struct consumer_queue *queue, int64_t timeout_ms)
{
    if (call(queue->topic->consumer, RMQ_UNLOCK_BATCH, &queue, 1, timeout_ms, on_unlocked, queue,
             NULL) != 0)
        return false;
    queue->flying++;
    return true;
}
