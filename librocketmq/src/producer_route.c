/* SPDX-License-Identifier: Apache-2.0 */
/* Where sends go: topics and their routes, queues in turn, brokers and how well they do. */
#include "producer_internal.h"
#include <stdlib.h>

/* Topics nothing is sent to are forgotten, oldest first, when there are more. */
enum { TOPICS_KEPT = 1024, ROUTE_PAUSE_MS = 1000 };

static const char DEFAULT_TOPIC[] = "TBW102";

struct rmq_route_question {
    struct rmq_producer *producer;
    struct rmq_send_topic *topic; /* NULL: nobody waits any more */
    bool fresh, of_default;
};

/* --- places --- */

struct rmq_send_broker *rmq_send_find_broker(struct rmq_producer *producer, const char *name,
                                             bool make)
{
    size_t len = strlen(name) + 1;
    struct rmq_send_broker *broker = producer->brokers;
    while (broker != NULL && strcmp(broker->name, name) != 0)
        broker = broker->next;
    if (broker == NULL && make && (broker = calloc(1, sizeof(*broker) + len)) != NULL) {
        memcpy(broker->name, name, len);
        broker->next = producer->brokers;
        producer->brokers = broker;
    }
    return broker;
}

/* What the client holds for the topic. */
static void leave_route(struct rmq_send_topic *topic)
{
    if (topic->watch != NULL)
        rmq_route_watch_remove(topic->watch);
    if (topic->membership != NULL)
        rmq_membership_close(topic->membership);
    if (topic->asking != NULL)
        topic->asking->topic = NULL;
    if (topic->route != NULL)
        rmq_route_unref(topic->route);
    topic->watch = NULL;
    topic->membership = NULL;
    topic->asking = NULL;
    topic->route = NULL;
}

void rmq_send_leave_routes(struct rmq_producer *producer)
{
    for (struct rmq_send_topic *topic = producer->topics; topic != NULL; topic = topic->next)
        leave_route(topic);
}

/* A topic with a blocked line is not idle: the block would be forgotten. */
static bool has_line(const struct rmq_producer *producer, const struct rmq_send_topic *topic)
{
    for (size_t i = 0; i < RMQ_SEND_LINES; i++)
        for (const struct rmq_send_line *line = producer->lines[i]; line; line = line->chain)
            if (line->topic == topic)
                return true;
    return false;
}

static void forget_idle_topic(struct rmq_producer *producer)
{
    struct rmq_send_topic **idle = NULL;
    for (struct rmq_send_topic **at = &producer->topics; *at != NULL; at = &(*at)->next)
        if ((*at)->sends == 0 && !has_line(producer, *at))
            idle = at;
    if (idle == NULL)
        return;
    struct rmq_send_topic *topic = *idle;
    *idle = topic->next;
    producer->topic_count--;
    leave_route(topic);
    free(topic);
}

struct rmq_send_topic *rmq_send_find_topic(struct rmq_producer *producer, const char *name,
                                           bool make)
{
    struct rmq_send_topic **at = &producer->topics;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct rmq_send_topic *topic = *at;
    if (topic != NULL) {
        *at = topic->next; /* the one used last stands first */
    } else if (!make) {
        return NULL;
    } else {
        size_t len = strlen(name) + 1;
        if (producer->topic_count >= TOPICS_KEPT)
            forget_idle_topic(producer);
        topic = calloc(1, sizeof(*topic) + len);
        if (topic == NULL)
            return NULL;
        memcpy(topic->name, name, len);
        producer->topic_count++;
    }
    topic->next = producer->topics;
    producer->topics = topic;
    return topic;
}

static struct rmq_send_line **line_bucket(struct rmq_producer *producer,
                                          const struct rmq_send_topic *topic,
                                          const struct rmq_send_broker *broker, int32_t queue_id)
{
    uintptr_t hash = (uintptr_t)topic / 16 * 31 + (uintptr_t)broker / 16;
    return &producer->lines[(hash * 31 + (uint32_t)queue_id) % RMQ_SEND_LINES];
}

struct rmq_send_line *rmq_send_find_line(struct rmq_producer *producer,
                                         struct rmq_send_topic *topic,
                                         struct rmq_send_broker *broker, int32_t queue_id,
                                         bool make)
{
    struct rmq_send_line **bucket = line_bucket(producer, topic, broker, queue_id);
    struct rmq_send_line *line = *bucket;
    while (line != NULL &&
           (line->topic != topic || line->broker != broker || line->queue_id != queue_id))
        line = line->chain;
    if (line == NULL && make && (line = calloc(1, sizeof(*line))) != NULL) {
        line->topic = topic;
        line->broker = broker;
        line->queue_id = queue_id;
        line->chain = *bucket;
        *bucket = line;
    }
    return line;
}

void rmq_send_drop_line(struct rmq_producer *producer, struct rmq_send_line *line)
{
    if (line->blocked || line->busy != NULL || line->waiting.first != NULL)
        return;
    struct rmq_send_line **at = line_bucket(producer, line->topic, line->broker, line->queue_id);
    while (*at != line)
        at = &(*at)->chain;
    *at = line->chain;
    free(line);
}

void rmq_send_free_places(struct rmq_producer *producer)
{
    for (size_t i = 0; i < RMQ_SEND_LINES; i++) {
        while (producer->lines[i] != NULL) {
            struct rmq_send_line *line = producer->lines[i];
            producer->lines[i] = line->chain;
            free(line);
        }
    }
    while (producer->topics != NULL) {
        struct rmq_send_topic *topic = producer->topics;
        producer->topics = topic->next;
        free(topic);
    }
    while (producer->brokers != NULL) {
        struct rmq_send_broker *broker = producer->brokers;
        producer->brokers = broker->next;
        free(broker);
    }
}

/* --- routes --- */

static int ask(struct rmq_producer *producer, struct rmq_send_topic *topic, bool fresh,
               bool of_default, struct rmq_err *err);

static void on_route_changed(void *arg, const struct rmq_route *route)
{
    struct rmq_send_topic *topic = arg;
    if (topic->route != NULL)
        rmq_route_unref(topic->route);
    topic->route = route == NULL ? NULL : rmq_route_ref(route);
    topic->from_default &= route == NULL;
}

/* Those that stand there now; what comes anew is not touched. */
static void end_waiting(struct rmq_producer *producer, struct rmq_send_topic *topic,
                        const struct rmq_err *err)
{
    struct rmq_send_list ended = {NULL, NULL};
    while (topic->waiting.first != NULL) {
        struct rmq_send *send = topic->waiting.first;
        rmq_send_unlink(send);
        rmq_send_push(&ended, send);
    }
    while (ended.first != NULL && !producer->closed) {
        struct rmq_err why = ended.first->maybe_stored ? ended.first->err : *err;
        rmq_send_end(ended.first, why.code, NULL, &why);
    }
}

static void place_waiting(struct rmq_send_topic *topic)
{
    while (topic->waiting.first != NULL) { /* placing only queues: no callback runs */
        struct rmq_send *send = topic->waiting.first;
        rmq_send_unlink(send);
        rmq_send_place(send);
    }
}

/* Hear of changes, and be a member. Sending works without, so a failure only costs that. */
static void attend(struct rmq_producer *producer, struct rmq_send_topic *topic)
{
    const char *name = topic->name;
    struct rmq_membership_options options = {.struct_size = sizeof(options),
                                             .group = producer->options.group,
                                             .producer = true,
                                             .topics = &name,
                                             .topic_count = 1};
    if (topic->watch == NULL)
        (void)rmq_client_watch_route(producer->client, name, on_route_changed, topic, &topic->watch,
                                     NULL);
    if (topic->membership == NULL)
        (void)rmq_membership_new(producer->client, &options, &topic->membership, NULL);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct rmq_route_question question = *(struct rmq_route_question *)arg;
    struct rmq_producer *producer = question.producer;
    struct rmq_send_topic *topic = question.topic;
    free(arg);
    if (topic == NULL)
        return;
    topic->asking = NULL;
    if (rc == 0) {
        if (topic->route != NULL)
            rmq_route_unref(topic->route);
        topic->route = rmq_route_ref(route);
        topic->from_default = question.of_default;
        if (!question.of_default)
            attend(producer, topic);
        place_waiting(topic);
        return;
    }
    struct rmq_err why = *err;
    if (rc == RMQ_NOT_FOUND && producer->options.auto_create && !question.of_default) {
        if (topic->from_default && topic->route != NULL) { /* not made yet: go on as before */
            place_waiting(topic);
            return;
        }
        rc = ask(producer, topic, question.fresh, true, &why);
        if (rc == 0)
            return;
    }
    if (rc == RMQ_NOT_FOUND) {
        if (topic->route != NULL && !question.of_default)
            rmq_route_unref(topic->route);
        topic->route = NULL;
        if (question.of_default)
            rmq_fail(&why, RMQ_NOT_FOUND,
                     "topic '%.127s' is not there, and no broker makes topics by itself",
                     topic->name);
    } else if (topic->route != NULL) { /* what was known before is better than nothing */
        place_waiting(topic);
        return;
    } else if (rc != RMQ_CLOSED) { /* a route that came too late: the send has not gone out */
        why.code = RMQ_UNREACHABLE;
    }
    end_waiting(producer, topic, &why);
}

static int ask(struct rmq_producer *producer, struct rmq_send_topic *topic, bool fresh,
               bool of_default, struct rmq_err *err)
{
    struct rmq_route_question *question = calloc(1, sizeof(*question));
    if (question == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory to ask for a route");
    question->producer = producer;
    question->topic = topic;
    question->fresh = fresh;
    question->of_default = of_default;
    int rc = rmq_client_route(producer->client, of_default ? DEFAULT_TOPIC : topic->name, fresh,
                              on_route, question, err);
    if (rc != 0) {
        free(question);
        return rc;
    }
    topic->asking = question;
    topic->asked_ms = uv_now(producer->loop);
    return 0;
}

int rmq_send_ask_route(struct rmq_producer *producer, struct rmq_send_topic *topic, bool fresh,
                       struct rmq_err *err)
{
    if (topic->asking != NULL ||
        (topic->route != NULL && uv_now(producer->loop) - topic->asked_ms < ROUTE_PAUSE_MS))
        return 0;
    return ask(producer, topic, fresh, false, err);
}

/* --- queues in turn --- */

/* How choosy: the first look leaves out what the last one takes. */
enum look { LOOK_AVAILABLE, LOOK_REACHABLE, LOOK_OTHER, LOOK_ANY, LOOKS };

static bool suits(const struct rmq_producer *producer, const struct rmq_send_broker *broker,
                  const struct rmq_send_broker *last, enum look look)
{
    if (look < LOOK_ANY && broker == last)
        return false;
    if (look < LOOK_OTHER && rmq_client_broker_failing(producer->client, broker->name))
        return false;
    return look > LOOK_AVAILABLE || !producer->options.avoid_faults ||
           broker->unavailable_ms <= uv_now(producer->loop);
}

int rmq_send_pick(struct rmq_send *send, struct rmq_err *err)
{
    struct rmq_producer *producer = send->producer;
    struct rmq_send_topic *topic = send->topic;
    const struct rmq_route *route = topic->route;
    const struct rmq_send_broker *last = send->broker;
    size_t count = route->write_count;
    size_t from = producer->turn++;
    bool blocked = false;
    for (enum look look = LOOK_AVAILABLE; look < LOOKS; look++) {
        for (size_t i = 0; i < count; i++) {
            const struct rmq_queue *queue = &route->write_queues[(from + i) % count];
            if (topic->from_default && queue->id >= producer->options.auto_create_queues)
                continue; /* the topic will have fewer than its template */
            struct rmq_send_broker *broker = rmq_send_find_broker(producer, queue->broker, true);
            if (broker == NULL)
                return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a broker");
            if (!suits(producer, broker, last, look))
                continue;
            if (producer->options.ordered) {
                struct rmq_send_line *line =
                    rmq_send_find_line(producer, topic, broker, queue->id, false);
                if (line != NULL && line->blocked) {
                    blocked = true;
                    continue;
                }
            }
            send->broker = broker;
            send->queue_id = queue->id;
            return 0;
        }
    }
    if (blocked)
        return rmq_fail(err, RMQ_ABORTED, "all queues of topic '%.127s' wait to be resumed",
                        topic->name);
    return rmq_fail(err, RMQ_UNREACHABLE,
                    "topic '%.127s' has no queue that can be written to: not writable, or its "
                    "broker has no master now",
                    topic->name);
}

/* --- how brokers do --- */

void rmq_send_note_latency(const struct rmq_producer *producer, struct rmq_send_broker *broker,
                           uint64_t latency_ms, bool failed)
{
    static const struct {
        uint64_t from_ms, left_out_ms;
    } steps[] = {{15000, 30000}, {5000, 10000}, {3000, 6000}, {1800, 5000}, {550, 2000}};
    if (failed)
        latency_ms = 10000; /* as Java clients count it */
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (latency_ms >= steps[i].from_ms) {
            broker->unavailable_ms = uv_now(producer->loop) + steps[i].left_out_ms;
            return;
        }
    }
    broker->unavailable_ms = 0;
}

static bool is_utf8(struct rmq_view text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.data[i++];
        size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c < 0xE0 ? 9 : c < 0xF0 ? 2 : 3;
        if (more > 3 || c > 0xF4 || more > text.len - i)
            return false;
        for (; more > 0; more--)
            if (((unsigned char)text.data[i++] & 0xC0) != 0x80)
                return false;
    }
    return true;
}

size_t rmq_queue_by_key(struct rmq_view key, size_t queue_count)
{
    if (queue_count == 0)
        return 0;
    if (is_utf8(key)) { /* as SelectMessageQueueByHash of the Java client */
        int64_t rest = rmq_tag_hash(key) % (int64_t)queue_count;
        return (size_t)(rest < 0 ? -rest : rest);
    }
    uint64_t hash = 0xCBF29CE484222325; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001B3;
    return (size_t)((hash ^ hash >> 32) % queue_count);
}
