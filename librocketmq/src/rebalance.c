/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues of a topic are ours: route, then members, then the strategy, as the Java clients do
 * it. A topic has one rebalance at a time; what happens meanwhile asks for another one behind it.
 */
#include "consumer.h"
#include <stdlib.h>

static uint64_t now_of(const struct consumer_topic *topic)
{
    return uv_now(rmq_client_loop(topic->consumer->client));
}

static void end_rebalance(struct consumer_topic *topic, uint64_t next_ms)
{
    topic->busy = false;
    topic->due_ms = now_of(topic) + next_ms;
    if (topic->again && !topic->consumer->closing) {
        topic->again = false;
        rmq_consumer_rebalance(topic);
    }
    rmq_consumer_settle(topic->consumer);
}

/* What is not ours (any more) leaves. Returns how many. */
static size_t leave_others(struct consumer_topic *topic, const bool *mine)
{
    struct consumer_queue *queue;
    size_t lost = 0;
    FOR_QUEUES(topic, queue)
    {
        bool keep = false;
        if (queue->state == QUEUE_LEAVING)
            continue;
        for (size_t i = 0; mine != NULL && i < topic->route->read_count && !keep; i++)
            keep = mine[i] && topic->route->read_queues[i].id == queue->id &&
                   strcmp(topic->route->read_queues[i].broker, queue->broker) == 0;
        if (!keep) {
            rmq_consumer_queue_leave(queue);
            lost++;
        }
    }
    return lost;
}

/* Returns how many are new; *ret_later: some must leave before they can come again, or there was
 * no memory. */
static size_t take_new(struct consumer_topic *topic, const bool *mine, bool *ret_later)
{
    size_t taken = 0;
    *ret_later = false;
    for (size_t i = 0; i < topic->route->read_count; i++) {
        const struct rmq_queue *wanted = &topic->route->read_queues[i];
        if (!mine[i])
            continue;
        struct consumer_queue *queue = rmq_consumer_queue_find(topic, wanted->broker, wanted->id);
        if (queue != NULL) {
            *ret_later |= queue->state == QUEUE_LEAVING;
            continue;
        }
        if (rmq_consumer_queue_new(topic, wanted) == NULL)
            *ret_later = true;
        else
            taken++;
    }
    return taken;
}

static void tell_assigned(struct consumer_topic *topic)
{
    struct rmq_consumer *consumer = topic->consumer;
    struct consumer_queue *queue;
    size_t count = 0;
    if (consumer->options.assigned == NULL)
        return;
    FOR_QUEUES(topic, queue)
    count += queue->state != QUEUE_LEAVING;
    struct rmq_queue *queues = calloc(count + 1, sizeof(*queues));
    if (queues == NULL)
        return; /* it is told of the next change */
    size_t at = 0;
    FOR_QUEUES(topic, queue)
    {
        if (queue->state != QUEUE_LEAVING)
            queues[at++] = (struct rmq_queue){queue->broker, queue->id};
    }
    consumer->options.assigned(consumer->options.arg, topic->name, queues, count);
    free(queues);
}

/* mine NULL: nothing is. */
static bool apply(struct consumer_topic *topic, const bool *mine)
{
    bool later = false;
    size_t changes = leave_others(topic, mine);
    if (mine != NULL)
        changes += take_new(topic, mine, &later);
    if (changes > 0)
        tell_assigned(topic);
    if (topic->consumer->closing)
        return true;
    struct consumer_queue *queue;
    FOR_QUEUES(topic, queue)
    {
        if (queue->state == QUEUE_WAITING && queue->due_ms == 0 && !topic->consumer->options.locked)
            rmq_consumer_queue_start(queue);
    }
    if (topic->consumer->options.locked)
        rmq_consumer_lock(topic->consumer);
    return !later;
}

static void on_members(void *arg, int rc, const char *const *ids, size_t count,
                       const struct rmq_err *err)
{
    struct consumer_topic *topic = arg;
    struct rmq_consumer *consumer = topic->consumer;
    size_t self = 0;
    bool *mine = NULL;
    uint64_t next_ms = REBALANCE_MS;
    consumer->asking--;
    if (consumer->closing) {
        end_rebalance(topic, 0);
        return;
    }
    if (rc != 0 || count == 0) { /* as Java: keep what we have */
        if (rc != 0)
            rmq_consumer_tell(consumer, &topic->told, err);
        end_rebalance(topic, SECOND_MS);
        return;
    }
    topic->told = false;
    while (self < count && strcmp(ids[self], rmq_client_id(consumer->client)) != 0)
        self++;
    if (self < count) {
        struct rmq_err failure;
        mine = calloc(topic->route->read_count + 1, sizeof(*mine));
        rc = mine == NULL ? RMQ_NO_MEMORY
                          : rmq_allocate(consumer->options.allocation, topic->name,
                                         topic->route->read_queues, topic->route->read_count, ids,
                                         count, self, mine);
        if (rc != 0) {
            rmq_fail(&failure, rc, "cannot share the queues of %s", topic->name);
            rmq_consumer_tell(consumer, &topic->told, &failure);
            next_ms = SECOND_MS;
        }
    } else {
        next_ms = SECOND_MS; /* our heartbeat has not arrived, or the broker has lost it */
    }
    if (rc == 0 && !apply(topic, mine))
        next_ms = SECOND_MS;
    free(mine);
    end_rebalance(topic, next_ms);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct consumer_topic *topic = arg;
    struct rmq_consumer *consumer = topic->consumer;
    struct rmq_err failure;
    consumer->asking--;
    if (consumer->closing) {
        end_rebalance(topic, 0);
        return;
    }
    if (rc == 0) {
        const struct rmq_route *before = topic->route;
        topic->route = rmq_route_ref(route);
        if (before != NULL)
            rmq_route_unref(before);
        rc = rmq_client_members(consumer->client, consumer->options.group, topic->name, on_members,
                                topic, &failure);
        err = &failure;
    }
    if (rc == 0) {
        consumer->asking++;
        return;
    }
    if (!topic->retry) /* which comes into being with the group */
        rmq_consumer_tell(consumer, &topic->told, err);
    end_rebalance(topic, SECOND_MS);
}

void rmq_consumer_rebalance(struct consumer_topic *topic)
{
    struct rmq_consumer *consumer = topic->consumer;
    struct rmq_err err;
    if (consumer->closing)
        return;
    if (topic->busy) {
        topic->again = true;
        return;
    }
    topic->busy = true;
    int rc = rmq_client_route(consumer->client, topic->name, false, on_route, topic, &err);
    if (rc == 0) {
        consumer->asking++;
        return;
    }
    topic->busy = false;
    topic->due_ms = now_of(topic) + SECOND_MS;
    rmq_consumer_tell(consumer, &topic->told, &err);
}
