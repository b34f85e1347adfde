/* SPDX-License-Identifier: Apache-2.0 */
/* Finding what there is to read: at the beginning and then every refresh_ms the brokers and topics
 * of the source; each new topic's route, and whenever that changes; the target's topic, made when
 * it is missing; then the queues that are this task's go to the task.
 *
 * Which task reads a queue follows from names alone, so that a topic or queue that appears moves no
 * other one. A look that fails is repeated; the first one, or one that fails for long, ends the
 * task with the reason. */
#include "feed.h"

#include "position.h"
#include <stdlib.h>
#include <string.h>

enum { TROUBLE_MS = 30000 };

static void look(struct rep_feed *feed);

/* --- Who reads what --- */

static uint32_t hash_text(const char *text, uint32_t hash)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

static bool is_mine(const struct rep_feed *feed, const char *topic, const struct rmq_queue *queue)
{
    if (rep_brokers_find(&feed->source_brokers, queue->broker) == NULL)
        return false; /* of another cluster of the same name servers */
    uint32_t hash = hash_text(topic, 2166136261u);
    if (!feed->settings.by_topic)
        hash = hash_text(queue->broker, hash) % feed->task_count + (uint32_t)queue->id;
    return hash % feed->task_count == feed->task;
}

/* --- Streams --- */

static struct rep_stream *find_stream(const struct rep_topic *topic, const struct rmq_queue *queue)
{
    struct rep_stream *stream = topic->streams;
    while (stream != NULL &&
           (stream->queue_id != queue->id || strcmp(stream->broker, queue->broker) != 0))
        stream = stream->next_of_topic;
    return stream;
}

/* The Java replicator ran broker, topic and number together: t + 11 is also t1 + 1. */
static bool is_ambiguous(const struct rep_feed *feed, const struct rep_topic *topic, int32_t id)
{
    char text[300];
    int len = snprintf(text, sizeof text, "%s%d", topic->name, (int)id);
    for (const struct rep_topic *other = feed->topics; other != NULL; other = other->next) {
        size_t name = strlen(other->name);
        if (other == topic || name >= (size_t)len || strncmp(text, other->name, name) != 0)
            continue;
        const char *number = text + name;
        if (strspn(number, "0123456789") == strlen(number) && (*number != '0' || number[1] == '\0'))
            return true;
    }
    return false;
}

static struct rep_stream *add_stream(struct rep_feed *feed, struct rep_topic *topic,
                                     const struct rmq_queue *queue)
{
    struct rep_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    const struct rep_broker *broker = rep_brokers_find(&feed->source_brokers, queue->broker);
    stream->topic = topic;
    stream->queue_id = queue->id;
    stream->position = -1;
    stream->target_queue = hash_text(queue->broker, 2166136261u) << 16 | (uint32_t)queue->id;
    stream->broker = strdup(queue->broker);
    stream->partition = rep_partition(queue->broker, topic->name, queue->id);
    bool fine = stream->broker != NULL && stream->partition != NULL;
    if (fine && feed->settings.origin)
        fine = asprintf(&stream->origin, "%s/%s/%s/%d/", broker != NULL ? broker->cluster : "",
                        queue->broker, topic->name, (int)queue->id) >= 0;
    if (!fine) {
        free(stream->broker);
        free(stream->partition);
        free(stream);
        return NULL;
    }
    stream->ambiguous = is_ambiguous(feed, topic, queue->id);
    stream->next_stream = feed->streams;
    feed->streams = stream;
    stream->next_of_topic = topic->streams;
    topic->streams = stream;
    feed->stream_count++;
    return stream;
}

/* Hand the topic's queues that nobody reads yet to the task. */
static void hand_over(struct rep_feed *feed, struct rep_topic *topic)
{
    const struct rmq_route *route = topic->route;
    bool some = false;
    for (size_t i = 0; route != NULL && topic->ready && i < route->read_count; i++) {
        const struct rmq_queue *queue = &route->read_queues[i];
        if (!is_mine(feed, topic->name, queue))
            continue;
        struct rep_stream *stream = find_stream(topic, queue);
        if (stream == NULL)
            stream = add_stream(feed, topic, queue);
        if (stream == NULL) {
            rep_feed_fail(feed, GANTRY_NO_MEMORY, "no memory to read topic %s", topic->name);
            return;
        }
        if (stream->reading)
            continue;
        stream->reading = true;
        pthread_mutex_lock(&feed->lock);
        stream->handed = feed->found;
        feed->found = stream;
        pthread_mutex_unlock(&feed->lock);
        some = true;
    }
    pthread_mutex_lock(&feed->lock);
    if (some && !feed->closed)
        feed->ctx->wake(feed->ctx);
    pthread_mutex_unlock(&feed->lock);
}

static bool has_mine(const struct rep_feed *feed, const struct rep_topic *topic)
{
    for (size_t i = 0; topic->route != NULL && i < topic->route->read_count; i++) {
        if (is_mine(feed, topic->name, &topic->route->read_queues[i]))
            return true;
    }
    return false;
}

/* --- The target's topic --- */

struct asking {
    struct rep_feed *feed;
    struct rep_topic *topic;
};

static struct asking *new_asking(struct rep_feed *feed, struct rep_topic *topic)
{
    struct asking *asking = malloc(sizeof *asking);
    if (asking == NULL) {
        rep_feed_fail(feed, GANTRY_NO_MEMORY, "no memory for topic %s", topic->name);
        return NULL;
    }
    *asking = (struct asking){feed, topic};
    feed->outstanding++;
    return asking;
}

static bool is_over(struct rep_feed *feed)
{
    return feed->stopping || feed->failure != 0; /* the link alone sets it once it reads */
}

/* It is tried again at the next look, and told once. */
static void not_made(struct rep_feed *feed, struct rep_topic *topic, int rc,
                     const struct rmq_err *err)
{
    if (rc == RMQ_INVALID)
        rep_feed_fail(feed, GANTRY_INVALID, "the copy of topic %s: %s", topic->name, err->text);
    else if (!topic->told)
        rep_feed_log(feed, GANTRY_LOG_WARN, "target-rocketmq: topic %s: %s; trying again",
                     topic->target, err->text);
    topic->told = true;
}

static void on_made(void *arg, int rc, const struct rmq_err *err)
{
    struct asking asking = *(struct asking *)arg;
    free(arg);
    asking.topic->making = false;
    if (!is_over(asking.feed)) {
        if (rc == 0)
            rep_feed_log(asking.feed, GANTRY_LOG_INFO, "made topic %s in the target cluster",
                         asking.topic->target);
        else if (rc == RMQ_REFUSED) /* the worker makes it, or says what is in the way */
            rep_feed_log(asking.feed, GANTRY_LOG_WARN,
                         "could not make topic %s in the target cluster: %s", asking.topic->target,
                         err->text);
        else
            not_made(asking.feed, asking.topic, rc, err);
        asking.topic->ready = rc == 0 || rc == RMQ_REFUSED;
        hand_over(asking.feed, asking.topic);
    }
    rep_feed_came(asking.feed);
}

/* As many queues a broker as the source has at most. */
static int32_t most_queues(const struct rmq_queue *queues, size_t count)
{
    int32_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = queues[i].id >= most ? queues[i].id + 1 : most;
    return most;
}

static int make_topic(struct rep_feed *feed, struct rep_topic *topic, struct rmq_err *err)
{
    const struct rmq_route *route = topic->route;
    int32_t reads = most_queues(route->read_queues, route->read_count);
    int32_t writes = most_queues(route->write_queues, route->write_count);
    struct rmq_topic_options options = {
        .struct_size = sizeof options,
        .topic = topic->target,
        .read_queues = reads > writes ? reads : writes,
        .write_queues = writes > 0 ? writes : reads, /* one that may only be read is written here */
        .cluster = feed->settings.target_cluster,
    };
    struct asking *asking = new_asking(feed, topic);
    if (asking == NULL)
        return RMQ_NO_MEMORY;
    int rc = rmq_admin_create_topic(feed->target->client, &options, on_made, asking, err);
    if (rc != 0) {
        free(asking);
        feed->outstanding--; /* the caller's is counted, too */
    }
    return rc;
}

static void on_target_route(void *arg, int rc, const struct rmq_route *route,
                            const struct rmq_err *given)
{
    struct asking asking = *(struct asking *)arg;
    struct rep_feed *feed = asking.feed;
    struct rmq_err err = {0};
    (void)route;
    free(arg);
    asking.topic->making = false;
    if (!is_over(feed)) {
        if (rc == 0) {
            asking.topic->ready = true;
            asking.topic->told = false;
            hand_over(feed, asking.topic);
        } else if (rc != RMQ_NOT_FOUND) {
            not_made(feed, asking.topic, rc, given);
        } else if (asking.topic->route != NULL) {
            rc = make_topic(feed, asking.topic, &err);
            asking.topic->making = rc == 0;
            if (rc != 0)
                not_made(feed, asking.topic, rc, &err);
        }
    }
    rep_feed_came(feed);
}

/* See that the target has the topic, then hand over its queues. What fails is tried again at the
 * next look. */
static void make_ready(struct rep_feed *feed, struct rep_topic *topic)
{
    struct rmq_err err = {0};
    if (topic->ready || topic->making || !has_mine(feed, topic))
        return;
    if (feed->target == NULL || topic->target == NULL) {
        topic->ready = true;
        return;
    }
    struct asking *asking = new_asking(feed, topic);
    if (asking == NULL)
        return;
    topic->making = true;
    if (rmq_client_route(feed->target->client, topic->target, true, on_target_route, asking,
                         &err) != 0) {
        free(asking);
        topic->making = false;
        feed->outstanding--; /* the caller's is counted, too */
    }
}

/* --- Routes --- */

static void take_route(struct rep_topic *topic, const struct rmq_route *route)
{
    struct rep_feed *feed = topic->feed;
    if (route == NULL)
        return; /* gone, or its only broker restarts: the list of topics tells */
    rmq_route_unref(topic->route);
    topic->route = rmq_route_ref(route);
    make_ready(feed, topic);
    hand_over(feed, topic);
}

static void on_route_changed(void *arg, const struct rmq_route *route)
{
    struct rep_topic *topic = arg;
    if (!is_over(topic->feed))
        take_route(topic, route);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct asking asking = *(struct asking *)arg;
    (void)err; /* the next look asks again */
    free(arg);
    asking.topic->asked = false;
    if (rc == 0 && !is_over(asking.feed))
        take_route(asking.topic, route);
    rep_feed_came(asking.feed);
}

static void ask_route(struct rep_feed *feed, struct rep_topic *topic)
{
    struct rmq_err err;
    if (topic->asked)
        return;
    struct asking *asking = new_asking(feed, topic);
    if (asking == NULL)
        return;
    topic->asked = true;
    if (rmq_client_route(feed->source->client, topic->name, false, on_route, asking, &err) != 0) {
        free(asking);
        topic->asked = false;
        feed->outstanding--;
    }
}

/* --- Topics --- */

/* The copy of another topic in the same cluster is not copied again, and none onto itself. */
static bool would_loop(struct rep_feed *feed, const char *name, const char *target)
{
    if (!feed->same)
        return false;
    const char *copy = target != NULL ? target : feed->settings.topic;
    if (strcmp(copy, name) == 0)
        return true;
    char *from = rep_renamed_from(&feed->settings, name);
    bool loops = target != NULL && from != NULL && rep_patterns_topic(feed->patterns, from);
    free(from);
    return loops;
}

static struct rep_topic *add_topic(struct rep_feed *feed, const char *name)
{
    static const struct gantry_field text_field = {"MessageExt", GANTRY_TYPE_STRING};
    static const struct gantry_field bytes_field = {"MessageExt", GANTRY_TYPE_BYTES};
    struct rep_topic *topic = calloc(1, sizeof *topic);
    char *servers = strdup(feed->settings.source.name_servers);
    if (topic != NULL) {
        topic->feed = feed;
        topic->name = strdup(name);
        topic->target = feed->settings.topic == NULL ? rep_renamed(&feed->settings, name) : NULL;
    }
    if (topic == NULL || servers == NULL || topic->name == NULL ||
        (topic->target == NULL && feed->settings.topic == NULL)) {
        if (topic != NULL) {
            free(topic->name);
            free(topic->target);
        }
        free(topic);
        free(servers);
        return NULL;
    }
    topic->text = (struct gantry_schema){sizeof topic->text, topic->name, servers, 1, &text_field};
    topic->bytes = topic->text;
    topic->bytes.fields = &bytes_field;
    topic->next = feed->topics;
    feed->topics = topic;
    return topic;
}

static struct rep_topic *find_topic(struct rep_feed *feed, const char *name)
{
    struct rep_topic *topic = feed->topics;
    while (topic != NULL && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic;
}

/* A matching topic is in the list. */
static void take_topic(struct rep_feed *feed, const char *name)
{
    struct rmq_err err = {0};
    struct rep_topic *topic = find_topic(feed, name);
    if (topic == NULL) {
        topic = add_topic(feed, name);
        if (topic == NULL) {
            rep_feed_fail(feed, GANTRY_NO_MEMORY, "no memory for topic %s", name);
            return;
        }
    }
    if (topic->never)
        return;
    if (!topic->shown && topic->watch == NULL && would_loop(feed, name, topic->target)) {
        topic->never = true;
        if (topic->target != NULL && strcmp(topic->target, name) == 0)
            rep_feed_fail(
                feed, GANTRY_INVALID,
                "source-rocketmq: topic %s would be copied onto itself, for source and target "
                "are one cluster; set topic.rename.format, or topic",
                name);
        return;
    }
    topic->shown = true;
    topic->missing = 0;
    topic->gone = false;
    if (topic->watch == NULL) {
        if (rmq_client_watch_route(feed->source->client, name, on_route_changed, topic,
                                   &topic->watch, &err) != 0) {
            rep_feed_fail(feed, rep_error_code(err.code), "source-rocketmq: topic %s: %s", name,
                          err.text);
            return;
        }
    }
    if (topic->route == NULL)
        ask_route(feed, topic);
    make_ready(feed, topic);
    hand_over(feed, topic);
}

/* A topic that two looks have not shown although its brokers are there was deleted. */
static void retire_topics(struct rep_feed *feed)
{
    for (struct rep_topic *topic = feed->topics; topic != NULL; topic = topic->next) {
        bool there = !topic->shown && !topic->gone && !topic->never && !feed->source_brokers.old;
        topic->shown = false;
        for (size_t i = 0; topic->route != NULL && i < topic->route->broker_count; i++)
            there = there && rep_brokers_find(&feed->source_brokers, topic->route->brokers[i]);
        if (!there || ++topic->missing < 2)
            continue;
        topic->gone = true;
        rmq_route_unref(topic->route);
        topic->route = NULL;
        for (struct rep_stream *stream = feed->streams; stream != NULL;
             stream = stream->next_stream) {
            if (stream->topic == topic)
                rep_streams_retire(stream);
        }
        rep_feed_log(feed, GANTRY_LOG_INFO, "topic %s is gone at the source", topic->name);
    }
}

/* --- Looking --- */

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

static void look_later(struct rep_feed *feed)
{
    if (!is_over(feed) && feed->timer_open)
        (void)uv_timer_start(&feed->timer, on_timer, (uint64_t)feed->settings.refresh_ms, 0);
}

/* A look went well (rc 0) or not. */
static void looked(struct rep_feed *feed, const char *key, const char *servers, int rc,
                   const char *why)
{
    uint64_t now = uv_now(rep_link_loop(feed->link));
    if (is_over(feed))
        return;
    if (rc == 0) {
        feed->trouble_ms = 0;
    } else if (feed->looks <= 1 || (feed->trouble_ms != 0 && now - feed->trouble_ms > TROUBLE_MS)) {
        rep_feed_fail(feed, rep_error_code(rc), "%s=%.100s: %s", key, servers, why);
        return;
    } else if (feed->trouble_ms == 0) {
        feed->trouble_ms = now;
        rep_feed_log(feed, GANTRY_LOG_WARN, "%s=%.100s: %s; looking again", key, servers, why);
    }
    look_later(feed);
}

/* Each broker has a topic of its own name, and one of its cluster's. */
static bool is_brokers_own(const struct rep_feed *feed, const char *name)
{
    for (size_t i = 0; i < feed->source_brokers.count; i++) {
        if (strcmp(feed->source_brokers.items[i].name, name) == 0 ||
            strcmp(feed->source_brokers.items[i].cluster, name) == 0)
            return true;
    }
    return false;
}

static void on_topics(void *arg, int rc, const char *const *topics, size_t count,
                      const struct rmq_err *err)
{
    struct rep_feed *feed = arg;
    size_t found = 0;
    for (size_t i = 0; rc == 0 && i < count && !is_over(feed); i++) {
        if (rep_patterns_topic(feed->patterns, topics[i]) && !is_brokers_own(feed, topics[i])) {
            take_topic(feed, topics[i]);
            found++;
        }
    }
    if (rc == 0 && !is_over(feed)) {
        retire_topics(feed);
        if (found == 0 && !feed->nothing_told)
            rep_feed_log(feed, GANTRY_LOG_WARN,
                         "no topic of %s matches white-list now; one that appears is read",
                         feed->settings.source.name_servers);
        feed->nothing_told = found == 0;
    }
    looked(feed, "source-rocketmq", feed->settings.source.name_servers, rc,
           rc != 0 ? err->text : "");
    rep_feed_came(feed);
}

static void on_source_brokers(void *arg, int rc, const struct rmq_broker_info *brokers,
                              size_t count, const struct rmq_err *given)
{
    struct rep_feed *feed = arg;
    const struct rep_settings *settings = &feed->settings;
    struct rmq_err err = {0};
    struct gantry_err reason = {0};
    if (rc != 0)
        err = *given;
    if (rc == 0 &&
        !rep_brokers_take(&feed->source_brokers, settings->source_cluster, brokers, count)) {
        rc = RMQ_NO_MEMORY;
        (void)snprintf(err.text, sizeof err.text, "out of memory");
    }
    if (rc == 0 && feed->source_brokers.count == 0 && !is_over(feed)) {
        int code = rep_brokers_unknown(
            settings->source_cluster != NULL ? "source-cluster" : "source-rocketmq",
            settings->source_cluster, settings->source.name_servers, brokers, count, &reason);
        rep_feed_fail(feed, code, "%s", reason.text);
    }
    if (rc == 0 && !is_over(feed)) {
        feed->same =
            feed->target != NULL && rep_brokers_meet(&feed->source_brokers, &feed->target_brokers);
        feed->outstanding++;
        rc = rmq_admin_topics(feed->source->client, on_topics, feed, &err);
        if (rc != 0)
            feed->outstanding--;
    }
    if (rc != 0)
        looked(feed, "source-rocketmq", settings->source.name_servers, rc, err.text);
    rep_feed_came(feed);
}

static void on_target_brokers(void *arg, int rc, const struct rmq_broker_info *brokers,
                              size_t count, const struct rmq_err *given)
{
    struct rep_feed *feed = arg;
    const struct rep_settings *settings = &feed->settings;
    struct gantry_err reason = {0};
    if (is_over(feed)) {
        rep_feed_came(feed);
        return;
    }
    if (rc == 0 &&
        !rep_brokers_take(&feed->target_brokers, settings->target_cluster, brokers, count))
        rep_feed_fail(feed, GANTRY_NO_MEMORY, "no memory for the brokers of the target");
    else if (rc != 0)
        rep_feed_fail(feed, rep_error_code(rc), "target-rocketmq=%.100s: %s",
                      settings->target.name_servers, given->text);
    else if (feed->target_brokers.count == 0) {
        int code = rep_brokers_unknown(
            settings->target_cluster != NULL ? "target-cluster" : "target-rocketmq",
            settings->target_cluster, settings->target.name_servers, brokers, count, &reason);
        rep_feed_fail(feed, code, "%s", reason.text);
    } else
        look(feed);
    rep_feed_came(feed);
}

static void look(struct rep_feed *feed)
{
    struct rmq_err err = {0};
    feed->looks++;
    feed->outstanding++;
    int rc = rmq_admin_cluster(feed->source->client, on_source_brokers, feed, &err);
    if (rc != 0) {
        looked(feed, "source-rocketmq", feed->settings.source.name_servers, rc, err.text);
        rep_feed_came(feed);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    rep_feed_came(handle->data);
}

void rep_discover_start(struct rep_feed *feed)
{
    struct rmq_err err = {0};
    (void)uv_timer_init(rep_link_loop(feed->link), &feed->timer); /* cannot fail, as the next */
    (void)uv_timer_init(rep_link_loop(feed->link), &feed->held_timer);
    feed->timer.data = feed->held_timer.data = feed;
    feed->timer_open = true;
    feed->outstanding += 2;
    if (feed->target == NULL) {
        look(feed);
        return;
    }
    feed->outstanding++;
    int rc = rmq_admin_cluster(feed->target->client, on_target_brokers, feed, &err);
    if (rc != 0) {
        rep_feed_fail(feed, rep_error_code(rc), "target-rocketmq: %s", err.text);
        rep_feed_came(feed);
    }
}

void rep_discover_stop(struct rep_feed *feed)
{
    for (struct rep_topic *topic = feed->topics; topic != NULL; topic = topic->next) {
        if (topic->watch != NULL)
            rmq_route_watch_remove(topic->watch);
        topic->watch = NULL;
    }
    if (feed->timer_open) {
        feed->timer_open = false;
        uv_close((uv_handle_t *)&feed->timer, on_timer_closed);
        uv_close((uv_handle_t *)&feed->held_timer, on_timer_closed);
    }
}
