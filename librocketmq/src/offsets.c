/* SPDX-License-Identifier: Apache-2.0 */
/* Where a queue begins, and commits. A group's offset is asked for first; only when the broker says
 * that it has none the start policy decides. Commits are calls, not one-way: a broker refuses them
 * for a group that it does not know, and nobody would notice. */
#include "consumer.h"
#include <stdlib.h>

/* --- start --- */

static void start_failed(struct consumer_queue *queue, const struct rmq_err *err)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    queue->state = QUEUE_WAITING;
    queue->due_ms = uv_now(rmq_client_loop(consumer->client)) + START_RETRY_MS;
    rmq_consumer_tell(consumer, &queue->told, err);
}

/* A request about the queue's offset. */
static int ask(struct consumer_queue *queue, int32_t code, rmq_reply_fn reply, struct rmq_err *err)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    struct rmq_command request;
    rmq_command_init(&request, code);
    if (code == RMQ_QUERY_CONSUMER_OFFSET)
        rmq_command_add_str(&request, "consumerGroup", consumer->options.group);
    rmq_command_add_str(&request, "topic", queue->topic->name);
    rmq_command_add_int(&request, "queueId", queue->id);
    if (code == RMQ_SEARCH_OFFSET_BY_TIMESTAMP)
        rmq_command_add_int(&request, "timestamp", consumer->options.start_ms);
    int rc = rmq_client_call_broker(consumer->client, queue->broker, -1, &request, REQUEST_MS,
                                    reply, queue, err);
    rmq_command_deinit(&request);
    if (rc == 0)
        queue->flying++;
    return rc;
}

/* False: the queue is on its way out, and must not be touched any more. */
static bool still_asking(struct consumer_queue *queue)
{
    queue->flying--;
    if (queue->state == QUEUE_ASKING)
        return true;
    struct rmq_consumer *consumer = queue->topic->consumer;
    if (queue->state == QUEUE_LEAVING)
        rmq_consumer_queue_leave_on(queue);
    rmq_consumer_settle(consumer);
    return false;
}

static void on_start(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct consumer_queue *queue = arg;
    struct rmq_err failure;
    int64_t offset = 0;
    if (!still_asking(queue))
        return;
    if (rc == 0 && (rc = rmq_reply_check(reply, "offset to begin at", &failure)) == 0 &&
        (rmq_command_get_int(reply, "offset", &offset) != 0 || offset < 0))
        rc = rmq_fail(&failure, RMQ_MALFORMED, "a reply without an offset");
    else if (rc != 0 && err != NULL)
        failure = *err;
    if (rc == 0)
        rmq_consumer_queue_read(queue, offset);
    else
        start_failed(queue, &failure);
    rmq_consumer_settle(queue->topic->consumer);
}

/* The group has no offset. Of its retry topic everything is wanted, whatever the policy. */
static void start_by_policy(struct consumer_queue *queue)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    struct rmq_err err;
    int32_t code = consumer->options.start == RMQ_START_FIRST       ? RMQ_GET_MIN_OFFSET
                   : consumer->options.start == RMQ_START_TIMESTAMP ? RMQ_SEARCH_OFFSET_BY_TIMESTAMP
                                                                    : RMQ_GET_MAX_OFFSET;
    if (queue->topic->retry)
        code = consumer->options.start == RMQ_START_TIMESTAMP ? RMQ_GET_MAX_OFFSET
                                                              : RMQ_GET_MIN_OFFSET;
    if (ask(queue, code, on_start, &err) != 0)
        start_failed(queue, &err);
}

static void on_group_offset(void *arg, int rc, const struct rmq_command *reply,
                            const struct rmq_err *err)
{
    struct consumer_queue *queue = arg;
    if (rc != 0 || reply->code != RMQ_REPLY_QUERY_NOT_FOUND) {
        on_start(arg, rc, reply, err);
        return;
    }
    if (!still_asking(queue))
        return;
    start_by_policy(queue);
    rmq_consumer_settle(queue->topic->consumer);
}

void rmq_consumer_queue_start(struct consumer_queue *queue)
{
    struct rmq_err err;
    queue->state = QUEUE_ASKING;
    if (ask(queue, RMQ_QUERY_CONSUMER_OFFSET, on_group_offset, &err) != 0)
        start_failed(queue, &err);
}

/* --- resets --- */

static void reset_queue(struct consumer_topic *topic, const struct rmq_queue_json *to)
{
    struct consumer_queue *queue;
    FOR_QUEUES(topic, queue)
    {
        if (queue->state != QUEUE_READING || queue->id != to->id ||
            !rmq_view_equal(rmq_view_str(queue->broker), to->broker) ||
            !rmq_puller_reset(queue->puller, to->offset))
            continue;
        queue->done = to->offset; /* what was handed out before does not count any more */
        queue->committed = -1;
        rmq_list_remove(&queue->ready);
        rmq_list_append(&topic->consumer->ready, &queue->ready);
    }
}

void rmq_consumer_reset(void *arg, struct rmq_view topic, const struct rmq_queue_json *queues,
                        size_t count)
{
    struct rmq_consumer *consumer = arg;
    if (consumer->closing)
        return;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        if (!rmq_view_equal(topic, rmq_view_str(consumer->topics[i].name)))
            continue;
        for (size_t j = 0; j < count; j++)
            reset_queue(&consumer->topics[i], &queues[j]);
    }
    consumer->commit_due_ms = 0; /* with the next tick: brokers of this kind leave it to us */
    rmq_consumer_settle(consumer);
}

/* --- commits --- */

bool rmq_consumer_queue_dirty(const struct consumer_queue *queue)
{
    return queue->done >= 0 && queue->done != queue->committed;
}

static struct commit_place *place_of(const struct consumer_queue *queue)
{
    struct consumer_topic *topic = queue->topic;
    for (size_t i = 0; i < topic->place_count; i++) {
        if (strcmp(topic->places[i].broker, queue->broker) == 0)
            return &topic->places[i];
    }
    return NULL;
}

/* NULL: no memory; then nobody waits for anybody. */
static struct commit_place *make_place(struct consumer_queue *queue)
{
    struct consumer_topic *topic = queue->topic;
    struct commit_place *place = place_of(queue);
    if (place != NULL)
        return place;
    place = realloc(topic->places, (topic->place_count + 1) * sizeof(*place));
    if (place == NULL)
        return NULL;
    topic->places = place;
    place += topic->place_count;
    *place = (struct commit_place){.broker = strdup(queue->broker)};
    if (place->broker == NULL)
        return NULL;
    topic->place_count++;
    return place;
}

bool rmq_consumer_queue_must_wait(const struct consumer_queue *queue)
{
    const struct commit_place *place = place_of(queue);
    return place != NULL && place->opening;
}

static bool send_pass(struct rmq_consumer *consumer);
static void on_soon(uv_timer_t *timer);

/* The first commit of a place has its answer, whatever it is: those that waited go on. */
static void open_place(struct consumer_queue *opener)
{
    struct consumer_topic *topic = opener->topic;
    struct commit_place *place = place_of(opener);
    struct consumer_queue *queue;
    opener->opening = false;
    place->opening = false; /* there: places are never taken away */
    place->open = true;
    FOR_QUEUES(topic, queue)
    {
        if (queue != opener && queue->state == QUEUE_LEAVING)
            rmq_consumer_queue_leave_on(queue);
    }
    struct rmq_consumer *consumer = topic->consumer;
    if (consumer->pass && !consumer->closing && !send_pass(consumer) && consumer->pass_flying == 0)
        (void)uv_timer_start(&consumer->soon, on_soon, 0, 0);
}

static void on_committed(void *arg, int rc, const struct rmq_command *reply,
                         const struct rmq_err *err)
{
    struct consumer_queue *queue = arg;
    struct rmq_consumer *consumer = queue->topic->consumer;
    struct rmq_err failure;
    bool in_pass = queue->in_pass;
    queue->flying--;
    queue->in_pass = false;
    if (rc != 0)
        failure = *err;
    else
        rc = rmq_reply_check(reply, "commit of an offset", &failure);
    if (rc == 0) {
        queue->committed = queue->committing;
        consumer->commit_told = false;
    } else {
        rmq_consumer_tell(consumer, &consumer->commit_told, &failure);
    }
    queue->committing = -1;
    if (queue->opening)
        open_place(queue);
    if (queue->state == QUEUE_LEAVING)
        rmq_consumer_queue_leave_on(queue);
    if (in_pass) {
        if (rc != 0 && consumer->pass_rc == 0)
            consumer->pass_rc = rc;
        bool waiting = --consumer->pass_flying == 0 && !consumer->closing && send_pass(consumer);
        if (consumer->pass_flying == 0 && !waiting)
            rmq_consumer_pass_end(consumer);
    }
    rmq_consumer_settle(consumer);
}

bool rmq_consumer_queue_commit(struct consumer_queue *queue, int64_t timeout_ms)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    struct rmq_command request;
    struct rmq_err err;
    rmq_command_init(&request, RMQ_UPDATE_CONSUMER_OFFSET);
    rmq_command_add_str(&request, "consumerGroup", consumer->options.group);
    rmq_command_add_str(&request, "topic", queue->topic->name);
    rmq_command_add_int(&request, "queueId", queue->id);
    rmq_command_add_int(&request, "commitOffset", queue->done);
    int rc = rmq_client_call_broker(consumer->client, queue->broker, -1, &request, timeout_ms,
                                    on_committed, queue, &err);
    rmq_command_deinit(&request);
    if (rc != 0) {
        rmq_consumer_tell(consumer, &consumer->commit_told, &err);
        if (consumer->pass_rc == 0)
            consumer->pass_rc = rc;
        return false;
    }
    struct commit_place *place = make_place(queue);
    if (place != NULL && !place->open)
        queue->opening = place->opening = true;
    queue->committing = queue->done;
    queue->flying++;
    return true;
}

void rmq_consumer_waiters_end(struct rmq_list *waiters, int rc)
{
    struct rmq_list ended;
    rmq_list_init(&ended);
    rmq_list_move_all(waiters, &ended); /* a callback may add another */
    while (!rmq_list_empty(&ended)) {
        struct commit_waiter *waiter = RMQ_CONTAINER(ended.next, struct commit_waiter, item);
        rmq_list_remove(&waiter->item);
        if (waiter->done != NULL)
            waiter->done(waiter->arg, rc);
        free(waiter);
    }
}

void rmq_consumer_pass_end(struct rmq_consumer *consumer)
{
    consumer->pass = consumer->pass_all = false;
    rmq_consumer_waiters_end(&consumer->pass_waiters, consumer->pass_rc);
    if (!consumer->closing && !rmq_list_empty(&consumer->next_waiters))
        rmq_consumer_pass(consumer);
}

static void on_soon(uv_timer_t *timer)
{
    struct rmq_consumer *consumer = timer->data;
    rmq_consumer_pass_end(consumer);
    rmq_consumer_settle(consumer);
}

/* What is to be sent and has not been tried in this pass. true: some must wait. */
static bool send_pass(struct rmq_consumer *consumer)
{
    struct consumer_queue *queue;
    bool waiting = false;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        {
            if (queue->state != QUEUE_READING || queue->expired || queue->committing >= 0 ||
                queue->passed == consumer->pass_number ||
                !(rmq_consumer_queue_dirty(queue) || (consumer->pass_all && queue->done >= 0)))
                continue;
            if (rmq_consumer_queue_must_wait(queue)) {
                waiting = true;
                continue;
            }
            queue->passed = consumer->pass_number;
            if (rmq_consumer_queue_commit(queue, REQUEST_MS)) {
                queue->in_pass = true;
                consumer->pass_flying++;
            }
        }
    }
    return waiting;
}

void rmq_consumer_pass(struct rmq_consumer *consumer)
{
    if (consumer->pass)
        return;
    consumer->pass = true;
    consumer->pass_rc = 0;
    consumer->pass_number++;
    rmq_list_move_all(&consumer->next_waiters, &consumer->pass_waiters);
    if (!send_pass(consumer) &&
        consumer->pass_flying == 0) /* from the loop: a waiter must not hear of it inside a call */
        (void)uv_timer_start(&consumer->soon, on_soon, 0, 0);
}
