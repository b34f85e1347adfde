/* SPDX-License-Identifier: Apache-2.0 */
/* A group member: its queues' pullers, whose turn it is, and the way out. */
#include "consumer.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char retry_prefix[] = "%RETRY%";

/* --- errors and the end --- */

void rmq_consumer_tell(struct rmq_consumer *consumer, bool *told, const struct rmq_err *err)
{
    if (*told || consumer->closing)
        return;
    *told = true;
    if (consumer->error_count == ERRORS_MAX) /* nobody looks: the oldest goes */
        memmove(consumer->errors, consumer->errors + 1,
                --consumer->error_count * sizeof(consumer->errors[0]));
    consumer->errors[consumer->error_count++] = *err;
}

static void free_consumer(struct rmq_consumer *consumer)
{
    for (size_t i = 0; i < consumer->topic_count; i++) {
        struct consumer_topic *topic = &consumer->topics[i];
        for (size_t at = 0; at < topic->place_count; at++)
            free(topic->places[at].broker);
        free(topic->places);
        free(topic->name);
    }
    free(consumer->topics);
    free((char *)(uintptr_t)consumer->options.group);
    free(consumer);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct rmq_consumer *consumer = handle->data;
    if (--consumer->handles > 0)
        return;
    void (*done)(void *) = consumer->done;
    void *arg = consumer->done_arg;
    rmq_consumer_waiters_end(&consumer->pass_waiters, RMQ_CLOSED);
    rmq_consumer_waiters_end(&consumer->next_waiters, RMQ_CLOSED);
    free_consumer(consumer);
    if (done != NULL)
        done(arg);
}

/* Nothing points here any more but the group and the timers. */
static void end(struct rmq_consumer *consumer)
{
    consumer->ended = true;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        struct consumer_topic *topic = &consumer->topics[i];
        if (topic->watch != NULL)
            rmq_route_watch_remove(topic->watch);
        if (topic->route != NULL)
            rmq_route_unref(topic->route);
        topic->watch = NULL;
        topic->route = NULL;
    }
    if (consumer->membership != NULL)
        rmq_membership_close(consumer->membership);
    consumer->membership = NULL;
    uv_close((uv_handle_t *)&consumer->tick, on_handle_closed);
    uv_close((uv_handle_t *)&consumer->soon, on_handle_closed);
}

void rmq_consumer_settle(struct rmq_consumer *consumer)
{
    if (consumer->ended)
        return;
    if (consumer->closing) {
        bool empty = consumer->asking == 0;
        for (size_t i = 0; i < consumer->topic_count; i++)
            empty = empty && rmq_list_empty(&consumer->topics[i].queues);
        if (empty)
            end(consumer);
        return;
    }
    if (!consumer->hungry || (consumer->error_count == 0 && rmq_list_empty(&consumer->ready)))
        return;
    consumer->hungry = false;
    consumer->options.ready(consumer->options.arg);
}

/* --- queues --- */

struct consumer_queue *rmq_consumer_queue_find(struct consumer_topic *topic, const char *broker,
                                               int32_t id)
{
    struct consumer_queue *queue;
    FOR_QUEUES(topic, queue)
    {
        if (queue->id == id && strcmp(queue->broker, broker) == 0)
            return queue;
    }
    return NULL;
}

struct consumer_queue *rmq_consumer_queue_new(struct consumer_topic *topic,
                                              const struct rmq_queue *wanted)
{
    struct consumer_queue *queue = calloc(1, sizeof(*queue));
    char *broker = strdup(wanted->broker);
    if (queue == NULL || broker == NULL) {
        free(queue);
        free(broker);
        return NULL;
    }
    queue->topic = topic;
    queue->broker = broker;
    queue->id = wanted->id;
    queue->done = queue->committed = queue->committing = -1;
    rmq_list_init(&queue->ready);
    rmq_list_append(&topic->queues, &queue->item);
    return queue;
}

static void on_puller_ready(void *arg)
{
    struct consumer_queue *queue = arg;
    struct rmq_consumer *consumer = queue->topic->consumer;
    rmq_list_remove(&queue->ready);
    rmq_list_append(&consumer->ready, &queue->ready);
    rmq_consumer_settle(consumer);
}

void rmq_consumer_queue_read(struct consumer_queue *queue, int64_t offset)
{
    struct rmq_consumer *consumer = queue->topic->consumer;
    struct rmq_err err;
    if (consumer->options.locked && !queue->locked) { /* lost while we asked */
        queue->state = QUEUE_WAITING;
        return;
    }
    struct rmq_puller_options options = {
        .struct_size = sizeof(options),
        .group = consumer->options.group,
        .topic = queue->topic->name,
        .broker = queue->broker,
        .queue_id = queue->id,
        .offset = offset,
        .max_in_flight = consumer->options.max_in_flight,
        .max_bytes = consumer->options.max_bytes,
        .ready = on_puller_ready,
        .arg = queue,
    };
    if (rmq_puller_new(consumer->client, &options, &queue->puller, &err) != 0) {
        queue->state = QUEUE_WAITING;
        queue->due_ms = uv_now(rmq_client_loop(consumer->client)) + START_RETRY_MS;
        rmq_consumer_tell(consumer, &queue->told, &err);
        return;
    }
    queue->state = QUEUE_READING;
    queue->told = false;
    queue->due_ms = 0;
    /* Committed even if nothing is read: who comes after us must not begin later. */
    queue->done = offset;
}

void rmq_consumer_queue_stop(struct consumer_queue *queue)
{
    rmq_list_remove(&queue->ready);
    if (queue->puller != NULL)
        rmq_puller_close(queue->puller);
    queue->puller = NULL;
}

void rmq_consumer_queue_leave(struct consumer_queue *queue)
{
    bool locked_out = queue->topic->consumer->options.locked && (!queue->locked || queue->expired);
    if (queue->state == QUEUE_LEAVING)
        return;
    rmq_consumer_queue_stop(queue);
    if (locked_out || queue->state != QUEUE_READING)
        queue->done = -1;
    queue->state = QUEUE_LEAVING;
    rmq_consumer_queue_leave_on(queue);
}

void rmq_consumer_queue_leave_on(struct consumer_queue *queue)
{
    struct consumer_topic *topic = queue->topic;
    struct rmq_consumer *consumer = topic->consumer;
    int64_t timeout_ms = consumer->closing ? CLOSE_REQUEST_MS : REQUEST_MS;
    if (queue->flying > 0)
        return;
    if (!queue->last_commit && queue->done >= 0) {
        if (rmq_consumer_queue_must_wait(queue))
            return;
        queue->last_commit = true;
        if (rmq_consumer_queue_commit(queue, timeout_ms))
            return;
    }
    if (!queue->last_unlock) { /* behind the commit: the next owner begins where we end */
        queue->last_unlock = true;
        if (queue->locked && rmq_consumer_queue_unlock(queue, timeout_ms))
            return;
    }
    rmq_list_remove(&queue->item);
    free(queue->broker);
    free(queue);
}

/* --- the second hand --- */

static void on_tick(uv_timer_t *timer)
{
    struct rmq_consumer *consumer = timer->data;
    uint64_t now = uv_now(rmq_client_loop(consumer->client));
    struct consumer_queue *queue;
    if (consumer->closing)
        return;
    for (size_t i = 0; i < consumer->topic_count; i++) {
        struct consumer_topic *topic = &consumer->topics[i];
        if (!topic->busy && now >= topic->due_ms)
            rmq_consumer_rebalance(topic);
        FOR_QUEUES(topic, queue)
        {
            if (queue->state == QUEUE_WAITING && now >= queue->due_ms &&
                (!consumer->options.locked || (queue->locked && !queue->lock_flying)))
                rmq_consumer_queue_start(queue);
        }
    }
    if (consumer->options.locked)
        rmq_consumer_lock(consumer);
    if (now >= consumer->commit_due_ms) {
        consumer->commit_due_ms = now + (uint64_t)consumer->options.commit_ms;
        bool dirty = ++consumer->commit_round % COMMIT_ALL == 0;
        consumer->pass_all |= dirty;
        for (size_t i = 0; i < consumer->topic_count && !dirty; i++) {
            FOR_QUEUES(&consumer->topics[i], queue)
            dirty |= rmq_consumer_queue_dirty(queue);
        }
        if (dirty)
            rmq_consumer_pass(consumer);
    }
    rmq_consumer_settle(consumer);
}

static void on_members_changed(void *arg)
{
    struct rmq_consumer *consumer = arg;
    for (size_t i = 0; i < consumer->topic_count; i++)
        rmq_consumer_rebalance(&consumer->topics[i]);
    rmq_consumer_settle(consumer);
}

static void on_route_changed(void *arg, const struct rmq_route *route)
{
    struct consumer_topic *topic = arg;
    (void)route; /* asked for again, with the members */
    rmq_consumer_rebalance(topic);
    rmq_consumer_settle(topic->consumer);
}

/* --- public --- */

static int take_topics(struct rmq_consumer *consumer, const char *const *topics, size_t count,
                       struct rmq_err *err)
{
    size_t all = count + (consumer->options.retry_topic ? 1 : 0);
    consumer->topics = calloc(all, sizeof(*consumer->topics));
    if (consumer->topics == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a consumer");
    for (size_t i = 0; i < all; i++) {
        struct consumer_topic *topic = &consumer->topics[i];
        topic->consumer = consumer;
        rmq_list_init(&topic->queues);
        if (i < count && (topics[i] == NULL || topics[i][0] == '\0'))
            return rmq_fail(err, RMQ_INVALID, "topic %zu of the consumer has no name", i + 1);
        if (i < count)
            topic->name = strdup(topics[i]);
        else if (asprintf(&topic->name, "%s%s", retry_prefix, consumer->options.group) < 0)
            topic->name = NULL;
        if (topic->name == NULL)
            return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a consumer");
        topic->retry = strncmp(topic->name, retry_prefix, sizeof(retry_prefix) - 1) == 0;
        consumer->topic_count++;
        for (size_t j = 0; j < i; j++) { /* else each of its messages would come twice */
            if (strcmp(consumer->topics[j].name, topic->name) == 0)
                return rmq_fail(err, RMQ_INVALID, "the consumer has topic '%.127s' twice",
                                topic->name);
        }
    }
    return 0;
}

static int take_options(struct rmq_consumer *consumer, const struct rmq_consumer_options *options,
                        struct rmq_err *err)
{
    struct rmq_consumer_options *mine = &consumer->options;
    memcpy(mine, options,
           options->struct_size < sizeof(*mine) ? options->struct_size : sizeof(*mine));
    const char *group = mine->group;
    mine->group = NULL;
    if (group == NULL || group[0] == '\0' || mine->topic_count == 0 || mine->ready == NULL)
        return rmq_fail(err, RMQ_INVALID, "a consumer wants a group, a topic and ready");
    if (mine->commit_ms < 0 || mine->max_in_flight < 0 ||
        mine->allocation > RMQ_ALLOCATE_CONSISTENT_HASH || mine->start > RMQ_START_TIMESTAMP)
        return rmq_fail(err, RMQ_INVALID,
                        "commit_ms %lld, max_in_flight %d, allocation %d, start %d: one is wrong",
                        (long long)mine->commit_ms, mine->max_in_flight, (int)mine->allocation,
                        (int)mine->start);
    mine->group = strdup(group);
    if (mine->group == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a consumer");
    if (mine->commit_ms == 0)
        mine->commit_ms = COMMIT_MS;
    return take_topics(consumer, options->topics, mine->topic_count, err);
}

static int join(struct rmq_consumer *consumer, struct rmq_err *err)
{
    int rc = 0;
    const char **names = calloc(consumer->topic_count, sizeof(*names));
    if (names == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a consumer");
    for (size_t i = 0; rc == 0 && i < consumer->topic_count; i++) {
        names[i] = consumer->topics[i].name;
        rc = rmq_client_watch_route(consumer->client, names[i], on_route_changed,
                                    &consumer->topics[i], &consumer->topics[i].watch, err);
    }
    struct rmq_membership_options options = {
        .struct_size = sizeof(options),
        .group = consumer->options.group,
        .topics = names,
        .topic_count = consumer->topic_count,
        .push = true,
        .from_first = consumer->options.start == RMQ_START_FIRST,
        .changed = on_members_changed,
        .arg = consumer,
    };
    if (rc == 0)
        rc = rmq_membership_new(consumer->client, &options, &consumer->membership, err);
    free(names);
    struct rmq_group_service service = {rmq_consumer_reset, rmq_consumer_describe, consumer};
    if (rc == 0)
        rmq_membership_serve(consumer->membership, &service);
    return rc;
}

int rmq_consumer_new(struct rmq_client *client, const struct rmq_consumer_options *options,
                     struct rmq_consumer **ret, struct rmq_err *err)
{
    struct rmq_consumer *consumer = calloc(1, sizeof(*consumer));
    struct timespec born;
    if (consumer == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a consumer");
    consumer->client = client;
    consumer->hungry = true;
    (void)clock_gettime(CLOCK_REALTIME, &born); /* cannot fail with this clock */
    consumer->born_ms = (int64_t)born.tv_sec * 1000 + born.tv_nsec / 1000000;
    rmq_list_init(&consumer->ready);
    rmq_list_init(&consumer->pass_waiters);
    rmq_list_init(&consumer->next_waiters);
    int rc = take_options(consumer, options, err);
    if (rc != 0) {
        free_consumer(consumer);
        return rc;
    }
    (void)uv_timer_init(rmq_client_loop(client), &consumer->tick); /* cannot fail */
    (void)uv_timer_init(rmq_client_loop(client), &consumer->soon);
    consumer->tick.data = consumer->soon.data = consumer;
    consumer->handles = 2;
    rc = join(consumer, err);
    if (rc != 0) {
        rmq_consumer_close(consumer, NULL, NULL);
        return rc;
    }
    uint64_t now = uv_now(rmq_client_loop(client));
    int64_t beat =
        consumer->options.commit_ms < SECOND_MS ? consumer->options.commit_ms : SECOND_MS;
    consumer->commit_due_ms = now + (uint64_t)consumer->options.commit_ms;
    (void)uv_timer_start(&consumer->tick, on_tick, 0, (uint64_t)beat);
    *ret = consumer;
    return 0;
}

static int take_from(struct rmq_consumer *consumer, struct consumer_queue *queue,
                     struct rmq_delivery *ret, struct rmq_err *err)
{
    int64_t offset;
    int rc = rmq_puller_next(queue->puller, &ret->block, &offset, err);
    if (rc != 0) /* it may have more; others first */
        rmq_list_append(&consumer->ready, &queue->ready);
    if (rc == RMQ_MOVED) { /* also backwards: the broker has less than it had */
        queue->done = offset;
        queue->committed = -1;
    }
    ret->topic = queue->topic->name;
    ret->broker = queue->broker;
    ret->queue_id = queue->id;
    return rc;
}

int rmq_consumer_next(struct rmq_consumer *consumer, struct rmq_delivery *ret, struct rmq_err *err)
{
    memset(ret, 0, sizeof(*ret));
    if (consumer->error_count > 0) {
        struct rmq_err first = consumer->errors[0];
        memmove(consumer->errors, consumer->errors + 1,
                --consumer->error_count * sizeof(consumer->errors[0]));
        if (err != NULL)
            *err = first;
        return first.code;
    }
    while (!rmq_list_empty(&consumer->ready)) {
        struct consumer_queue *queue =
            RMQ_CONTAINER(consumer->ready.next, struct consumer_queue, ready);
        rmq_list_remove(&queue->ready);
        if (queue->expired)
            continue; /* comes back with its lock */
        int rc = take_from(consumer, queue, ret, err);
        if (rc != 0)
            return rc;
    }
    consumer->hungry = true;
    return 0;
}

void rmq_consumer_done(struct rmq_consumer *consumer, const char *topic, const char *broker,
                       int32_t queue_id, int64_t next_offset)
{
    for (size_t i = 0; i < consumer->topic_count; i++) {
        if (strcmp(consumer->topics[i].name, topic) != 0)
            continue;
        struct consumer_queue *queue =
            rmq_consumer_queue_find(&consumer->topics[i], broker, queue_id);
        /* What lies beyond what was handed out is from before the queue was moved back. */
        if (queue != NULL && queue->state == QUEUE_READING && next_offset > queue->done &&
            next_offset <= rmq_puller_offset(queue->puller))
            queue->done = next_offset;
    }
}

int rmq_consumer_commit(struct rmq_consumer *consumer, void (*done)(void *arg, int rc), void *arg,
                        struct rmq_err *err)
{
    struct commit_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a commit");
    waiter->done = done;
    waiter->arg = arg;
    rmq_list_append(&consumer->next_waiters, &waiter->item);
    rmq_consumer_pass(consumer);
    return 0;
}

void rmq_consumer_close(struct rmq_consumer *consumer, void (*done)(void *arg), void *arg)
{
    struct consumer_queue *queue;
    consumer->closing = true;
    consumer->done = done;
    consumer->done_arg = arg;
    (void)uv_timer_stop(&consumer->tick);
    for (size_t i = 0; i < consumer->topic_count; i++) {
        FOR_QUEUES(&consumer->topics[i], queue)
        rmq_consumer_queue_leave(queue);
    }
    rmq_consumer_settle(consumer);
}
