/* SPDX-License-Identifier: Apache-2.0 */
/* The engine and its topics: routes are looked up, topics made when they are missing, the ends of
 * their queues asked for; then a topic is ready. Later changes of its route add queues. */
#include "topic/rocketmq/internal.h"

#include <stdlib.h>
#include <xxhash.h>

enum { QUEUES_MAX = 1 << 16, GROUP_MAX = 120 };

static const struct gt_engine rocketmq_engine;

/* --- Timers: one uv_timer for all --- */

static void on_uv_timer(uv_timer_t *uv);

static void arm_uv_timer(struct gt_rocketmq *topics)
{
    if (topics->timers == NULL) {
        uv_timer_stop(&topics->timer);
        return;
    }
    uint64_t now = uv_now(topics->timer.loop), due = topics->timers->due_ms;
    uv_timer_start(&topics->timer, on_uv_timer, due > now ? due - now : 0, 0);
}

static void on_uv_timer(uv_timer_t *uv)
{
    struct gt_rocketmq *topics = uv->data;
    uint64_t now = uv_now(uv->loop);
    while (topics->timers != NULL && topics->timers->due_ms <= now) {
        struct gt_rq_timer *timer = topics->timers;
        topics->timers = timer->next;
        timer->armed = false;
        timer->fn(timer->arg);
    }
    arm_uv_timer(topics);
}

void gt_rq_not_later(struct gt_rocketmq *topics, struct gt_rq_timer *timer)
{
    if (!timer->armed)
        return;
    struct gt_rq_timer **at = &topics->timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer->armed = false;
}

void gt_rq_later(struct gt_rocketmq *topics, struct gt_rq_timer *timer, int64_t ms,
                 void (*fn)(void *arg), void *arg)
{
    gt_rq_not_later(topics, timer);
    uv_update_time(topics->timer.loop);
    timer->due_ms = uv_now(topics->timer.loop) + (uint64_t)ms;
    /* Nothing due at once runs before on_uv_timer ends: its own time is older. */
    if (ms == 0)
        timer->due_ms++;
    timer->fn = fn;
    timer->arg = arg;
    timer->armed = true;
    struct gt_rq_timer **at = &topics->timers;
    while (*at != NULL && (*at)->due_ms <= timer->due_ms)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
    arm_uv_timer(topics);
}

int64_t gt_rq_trouble_pause(struct gt_rq_trouble *trouble, bool *ret_show)
{
    int64_t now = gt_clock_mono_ns();
    if (trouble->since_ns == 0) {
        trouble->since_ns = now;
        trouble->pause_ms = GT_RQ_PAUSE_MIN_MS / 2;
    }
    trouble->pause_ms *= 2;
    if (trouble->pause_ms > GT_RQ_PAUSE_MAX_MS)
        trouble->pause_ms = GT_RQ_PAUSE_MAX_MS;
    *ret_show = now - trouble->since_ns >= (int64_t)GT_RQ_TROUBLE_MS * 1000000;
    return trouble->pause_ms;
}

char *gt_rq_group(const struct gt_rocketmq *topics, const char *connector)
{
    char *group = NULL;
    if (asprintf(&group, "%s-%s", topics->consumer_group, connector) < 0)
        return NULL;
    bool other = strlen(group) > GROUP_MAX;
    for (char *at = group; *at != '\0'; at++) {
        bool fine = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                    (*at >= 'A' && *at <= 'Z') || *at == '-' || *at == '_' || *at == '%' ||
                    *at == '|';
        other = other || !fine;
        if (!fine)
            *at = '-';
    }
    if (!other)
        return group;
    char *made = NULL; /* two names must not become one group */
    if (asprintf(&made, "%.*s-%08x", GROUP_MAX - 9, group,
                 (unsigned)XXH3_64bits(connector, strlen(connector))) < 0)
        made = NULL;
    free(group);
    return made;
}

/* --- A topic; thread: the link where nothing else is said --- */

/* Thread: holds topic->lock. */
static void wake_waiters(struct gt_rq_topic *topic)
{
    for (struct gt_waiter *waiter = topic->waiters, *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->armed = false;
        waiter->wake(waiter->arg);
    }
    topic->waiters = NULL;
}

static void ask_route(struct gt_rq_topic *topic, bool fresh);

static void on_retry(void *arg)
{
    ask_route(arg, true);
}

static void retry_later(struct gt_rq_topic *topic, const char *text)
{
    bool shown;
    int64_t pause_ms = gt_rq_trouble_pause(&topic->trouble, &shown);
    if (topic->topics->closing)
        return;
    if (shown) {
        pthread_mutex_lock(&topic->lock);
        snprintf(topic->trouble_text, sizeof topic->trouble_text, "waiting for topic %s: %s",
                 topic->api.name, text);
        if (!topic->ready)
            wake_waiters(topic);
        pthread_mutex_unlock(&topic->lock);
    }
    gt_rq_later(topic->topics, &topic->retry, pause_ms, on_retry, topic);
}

static struct gt_rq_queue *find_queue(const struct gt_rq_topic *topic, const char *broker,
                                      uint32_t id)
{
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        if (topic->queues[i]->id == id && strcmp(topic->queues[i]->broker, broker) == 0)
            return topic->queues[i];
    }
    return NULL;
}

static void free_queue(struct gt_rq_queue *queue)
{
    if (queue != NULL)
        free(queue->broker);
    free(queue);
}

/* Thread: holds topic->lock. NULL without memory. */
static struct gt_rq_queue *add_queue(struct gt_rq_topic *topic, const char *broker, uint32_t id)
{
    if (topic->queue_count == topic->queue_cap) {
        uint32_t cap = topic->queue_cap != 0 ? topic->queue_cap * 2 : 16;
        struct gt_rq_queue **grown = realloc(topic->queues, cap * sizeof(*grown));
        if (grown == NULL || cap > QUEUES_MAX) {
            if (grown != NULL)
                topic->queues = grown;
            return NULL;
        }
        topic->queues = grown;
        topic->queue_cap = cap;
    }
    struct gt_rq_queue *queue = calloc(1, sizeof *queue);
    char *name = strdup(broker);
    if (queue == NULL || name == NULL) {
        free(name);
        free(queue);
        return NULL;
    }
    queue->broker = name;
    queue->id = id;
    queue->number = (id & 0xffff) | ((uint32_t)XXH3_64bits(name, strlen(name)) & 0x7fff) << 16;
    atomic_store(&queue->end, -1);
    topic->queues[topic->queue_count++] = queue;
    return queue;
}

static void become_ready(struct gt_rq_topic *topic)
{
    topic->trouble = (struct gt_rq_trouble){0};
    pthread_mutex_lock(&topic->lock);
    topic->ready = true;
    topic->trouble_text[0] = '\0';
    wake_waiters(topic);
    pthread_mutex_unlock(&topic->lock);
}

struct end_ask {
    struct gt_rq_topic *topic;
    struct gt_rq_queue *queue;
};

static void on_end(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct end_ask *ask = arg;
    struct gt_rq_topic *topic = ask->topic;
    (void)err; /* an end that is not known now is learned by reading */
    if (rc == 0 && offset > atomic_load(&ask->queue->end))
        atomic_store(&ask->queue->end, offset);
    free(ask);
    if (--topic->ends_asked == 0)
        become_ready(topic);
    gt_rq_came(topic->topics);
}

static void ask_end(struct gt_rq_topic *topic, struct gt_rq_queue *queue)
{
    struct end_ask *ask = malloc(sizeof *ask);
    struct rmq_err err;
    if (ask == NULL)
        return;
    *ask = (struct end_ask){topic, queue};
    if (rmq_admin_max_offset(topic->topics->client, topic->api.name, queue->broker,
                             (int32_t)queue->id, on_end, ask, &err) != 0) {
        free(ask);
        return;
    }
    topic->ends_asked++;
    topic->topics->outstanding++;
}

/* Take over what the route has. Queues that it has no more stay: they may come back. */
static void take_route(struct gt_rq_topic *topic, const struct rmq_route *route)
{
    uint32_t before = topic->queue_count;
    topic->read_only = route->read_count > 0 && route->write_count == 0;
    pthread_mutex_lock(&topic->lock);
    for (uint32_t i = 0; i < topic->queue_count; i++)
        atomic_store(&topic->queues[i]->writable, false);
    for (size_t i = 0; i < route->read_count; i++) {
        const struct rmq_queue *at = &route->read_queues[i];
        if (find_queue(topic, at->broker, (uint32_t)at->id) == NULL)
            (void)add_queue(topic, at->broker, (uint32_t)at->id); /* else the next refresh does */
    }
    for (size_t i = 0; i < route->write_count; i++) {
        const struct rmq_queue *at = &route->write_queues[i];
        struct gt_rq_queue *queue = find_queue(topic, at->broker, (uint32_t)at->id);
        if (queue == NULL)
            queue = add_queue(topic, at->broker, (uint32_t)at->id);
        if (queue != NULL)
            atomic_store(&queue->writable, true);
    }
    uint32_t after = topic->queue_count;
    if (topic->ready && after > before)
        wake_waiters(topic);
    pthread_mutex_unlock(&topic->lock);
    for (uint32_t i = before; i < after; i++)
        ask_end(topic, topic->queues[i]);
}

static void on_route_changed(void *arg, const struct rmq_route *route)
{
    if (route != NULL)
        take_route(arg, route);
}

static void on_created(void *arg, int rc, const struct rmq_err *err)
{
    struct gt_rq_topic *topic = arg;
    if (rc == 0) {
        gt_info("topic", "topic made topic=%s queues=%u", topic->api.name, topic->topics->queues);
        ask_route(topic, true);
    } else {
        char text[300];
        snprintf(text, sizeof text, "it does not exist and cannot be made: %s", err->text);
        retry_later(topic, text);
    }
    gt_rq_came(topic->topics);
}

static void create(struct gt_rq_topic *topic)
{
    struct rmq_err err = {0};
    struct rmq_topic_options options = {
        .struct_size = sizeof options,
        .topic = topic->api.name,
        .read_queues = (int32_t)topic->topics->queues,
        .write_queues = (int32_t)topic->topics->queues,
    };
    if (rmq_admin_create_topic(topic->topics->client, &options, on_created, topic, &err) == 0)
        topic->topics->outstanding++;
    else
        retry_later(topic, err.text);
}

static void take_found(struct gt_rq_topic *topic, const struct rmq_route *route)
{
    if (route->read_count == 0 && route->write_count == 0) {
        retry_later(topic, "none of its brokers is there, or it has no queues");
        return;
    }
    struct rmq_err err;
    if (topic->watch == NULL &&
        rmq_client_watch_route(topic->topics->client, topic->api.name, on_route_changed, topic,
                               &topic->watch, &err) != 0)
        topic->watch = NULL; /* it goes without; the route is looked at when something fails */
    take_route(topic, route);
    if (topic->ends_asked == 0)
        become_ready(topic);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct gt_rq_topic *topic = arg;
    struct gt_rocketmq *topics = topic->topics;
    if (topics->closing)
        ;
    else if (rc == 0)
        take_found(topic, route);
    else if (rc == RMQ_NOT_FOUND && topics->create_topics)
        create(topic);
    else if (rc == RMQ_NOT_FOUND)
        retry_later(topic, "it does not exist; make it (mqadmin updateTopic), or allow it with "
                           "autoCreateTopicEnable=true");
    else
        retry_later(topic, err->text);
    gt_rq_came(topics);
}

static void ask_route(struct gt_rq_topic *topic, bool fresh)
{
    struct rmq_err err = {0};
    if (topic->topics->closing)
        return;
    if (rmq_client_route(topic->topics->client, topic->api.name, fresh, on_route, topic, &err) == 0)
        topic->topics->outstanding++;
    else
        retry_later(topic, err.text);
}

static void on_ask(struct gt_mail *mail)
{
    struct gt_rq_topic *topic =
        (struct gt_rq_topic *)((char *)mail - offsetof(struct gt_rq_topic, ask_mail));
    ask_route(topic, false);
}

static struct gt_rq_topic *find_topic(struct gt_rocketmq *topics, const char *name)
{
    pthread_mutex_lock(&topics->lock);
    struct gt_rq_topic *topic = gt_map_get(&topics->map, gantry_view_of(name));
    pthread_mutex_unlock(&topics->lock);
    return topic;
}

bool gt_rq_topic_read_only(struct gt_rocketmq *topics, const char *name)
{
    const struct gt_rq_topic *topic = find_topic(topics, name);
    return topic != NULL && topic->read_only;
}

void gt_rq_topic_ask_again(struct gt_rocketmq *topics, const char *name)
{
    struct gt_rq_topic *topic = find_topic(topics, name);
    if (topic != NULL && !topic->retry.armed)
        ask_route(topic, true);
}

/* Thread: any. */
static int topic_ready(struct gt_topic *api, struct gt_waiter *waiter, struct gantry_err *err)
{
    struct gt_rq_topic *topic = (struct gt_rq_topic *)api;
    pthread_mutex_lock(&topic->lock);
    bool ready = topic->ready, ask = !ready && !topic->asked;
    topic->asked = topic->asked || ask;
    if (!ready) {
        gantry_err_set(err, GANTRY_AGAIN, "%s", topic->trouble_text);
        if (waiter != NULL && !waiter->armed) {
            waiter->next = topic->waiters;
            waiter->armed = true;
            topic->waiters = waiter;
        }
    }
    pthread_mutex_unlock(&topic->lock);
    if (ask)
        gt_link_send(topic->topics->link, &topic->ask_mail);
    return ready;
}

static bool arm_topic(struct gt_topic *api, uint32_t known, struct gt_waiter *waiter)
{
    struct gt_rq_topic *topic = (struct gt_rq_topic *)api;
    pthread_mutex_lock(&topic->lock);
    bool wait = topic->queue_count <= known;
    if (wait && !waiter->armed) {
        waiter->next = topic->waiters;
        waiter->armed = true;
        topic->waiters = waiter;
    }
    pthread_mutex_unlock(&topic->lock);
    return wait;
}

static void disarm_topic(struct gt_topic *api, struct gt_waiter *waiter)
{
    struct gt_rq_topic *topic = (struct gt_rq_topic *)api;
    pthread_mutex_lock(&topic->lock);
    if (waiter->armed) {
        struct gt_waiter **at = &topic->waiters;
        while (*at != waiter)
            at = &(*at)->next;
        *at = waiter->next;
        waiter->armed = false;
    }
    pthread_mutex_unlock(&topic->lock);
}

static struct gt_rq_topic *lock_topic(const struct gt_topic *api)
{
    union {
        const struct gt_topic *given;
        struct gt_rq_topic *topic;
    } of = {api};
    pthread_mutex_lock(&of.topic->lock);
    return of.topic;
}

static uint32_t count_queues(const struct gt_topic *api)
{
    struct gt_rq_topic *topic = lock_topic(api);
    uint32_t count = topic->queue_count;
    pthread_mutex_unlock(&topic->lock);
    return count;
}

static void queue_id(const struct gt_topic *api, uint32_t index, struct gt_queue_id *ret)
{
    struct gt_rq_topic *topic = lock_topic(api);
    const struct gt_rq_queue *queue = topic->queues[index];
    *ret = (struct gt_queue_id){queue->broker, queue->id, queue->number};
    pthread_mutex_unlock(&topic->lock);
}

static uint32_t find_index(const struct gt_topic *api, struct gantry_view broker, uint32_t id)
{
    struct gt_rq_topic *topic = lock_topic(api);
    uint32_t at = 0;
    while (at < topic->queue_count &&
           !(topic->queues[at]->id == id &&
             gantry_view_equal(gantry_view_of(topic->queues[at]->broker), broker)))
        at++;
    pthread_mutex_unlock(&topic->lock);
    return at;
}

static int64_t queue_end(struct gt_topic *api, uint32_t index)
{
    struct gt_rq_topic *topic = lock_topic(api);
    int64_t end = atomic_load(&topic->queues[index]->end);
    pthread_mutex_unlock(&topic->lock);
    return end;
}

static void free_topic(struct gt_rq_topic *topic)
{
    for (uint32_t i = 0; i < topic->queue_count; i++)
        free_queue(topic->queues[i]);
    free(topic->queues);
    free(topic->api.name);
    pthread_mutex_destroy(&topic->lock);
    free(topic);
}

static struct gt_topic *get_topic(struct gt_topics *api, const char *name)
{
    struct gt_rocketmq *topics = (struct gt_rocketmq *)api;
    pthread_mutex_lock(&topics->lock);
    struct gt_rq_topic *topic = gt_map_get(&topics->map, gantry_view_of(name));
    if (topic == NULL) {
        topic = calloc(1, sizeof *topic);
        char *copy = strdup(name);
        if (topic != NULL) {
            topic->api = (struct gt_topic){&rocketmq_engine, copy};
            topic->topics = topics;
            topic->ask_mail.run = on_ask;
            pthread_mutex_init(&topic->lock, NULL);
        }
        if (topic == NULL) {
            free(copy);
        } else if (copy == NULL ||
                   gt_map_put(&topics->map, gantry_view_of(name), topic, NULL) != 0) {
            free_topic(topic);
            topic = NULL;
        }
    }
    pthread_mutex_unlock(&topics->lock);
    return topic != NULL ? &topic->api : NULL;
}

/* --- The engine --- */

static void on_open(struct gt_mail *mail)
{
    struct gt_rocketmq *topics =
        (struct gt_rocketmq *)((char *)mail - offsetof(struct gt_rocketmq, open_mail));
    struct rmq_producer_options options = {
        .struct_size = sizeof options,
        .group = topics->producer_group,
        .retries = -1, /* order, repeats and pauses are the writers' own */
        .max_in_flight = 1 << 16,
        .max_in_flight_bytes = (size_t)1 << 30, /* each queue of each writer has one request */
    };
    struct rmq_err err = {0};
    topics->client = gt_link_client(topics->link);
    int rc = rmq_producer_new(topics->client, &options, &topics->producer, &err);
    if (rc != 0) {
        gt_link_error(rc, &err, &topics->open_err);
    } else {
        uv_timer_init(rmq_client_loop(topics->client), &topics->timer);
        topics->timer.data = topics;
    }
    sem_post(&topics->opened);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct gt_rocketmq *topics = handle->data;
    sem_post(&topics->closed);
}

static void end_if_idle(struct gt_rocketmq *topics)
{
    if (topics->closing && topics->outstanding == 0 &&
        !uv_is_closing((uv_handle_t *)&topics->timer))
        uv_close((uv_handle_t *)&topics->timer, on_timer_closed);
}

void gt_rq_came(struct gt_rocketmq *topics)
{
    topics->outstanding--;
    end_if_idle(topics);
}

static void on_close(struct gt_mail *mail)
{
    struct gt_rocketmq *topics =
        (struct gt_rocketmq *)((char *)mail - offsetof(struct gt_rocketmq, close_mail));
    size_t cursor = 0;
    struct gantry_view name;
    void *value;
    topics->closing = true;
    while (gt_map_next(&topics->map, &cursor, &name, &value)) {
        struct gt_rq_topic *topic = value;
        gt_rq_not_later(topics, &topic->retry);
        if (topic->watch != NULL)
            rmq_route_watch_remove(topic->watch);
    }
    rmq_producer_close(topics->producer);
    end_if_idle(topics);
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ; /* a signal */
}

static void free_topics(struct gt_rocketmq *topics)
{
    size_t cursor = 0;
    struct gantry_view name;
    void *topic;
    while (gt_map_next(&topics->map, &cursor, &name, &topic))
        free_topic(topic);
    gt_map_deinit(&topics->map);
    pthread_mutex_destroy(&topics->lock);
    sem_destroy(&topics->opened);
    sem_destroy(&topics->closed);
    free(topics->consumer_group);
    free(topics->producer_group);
    free(topics);
}

static void close_topics(struct gt_topics *api)
{
    struct gt_rocketmq *topics = (struct gt_rocketmq *)api;
    gt_link_send(topics->link, &topics->close_mail);
    wait_for(&topics->closed);
    free_topics(topics);
}

int gt_topics_open_rocketmq(struct gt_store *store, struct gt_link *link,
                            const struct gt_rocketmq_settings *settings, struct gt_topics **ret,
                            struct gantry_err *err)
{
    struct gt_rocketmq *topics = calloc(1, sizeof *topics);
    if (topics == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    topics->api.engine = &rocketmq_engine;
    topics->store = store;
    topics->link = link;
    topics->create_topics = settings->create_topics;
    topics->create_groups = settings->create_groups;
    topics->queues = settings->queues != 0 ? settings->queues : 4;
    const char *cluster = settings->cluster != NULL ? settings->cluster : "";
    topics->cluster = (uint32_t)XXH3_64bits(cluster, strlen(cluster));
    topics->open_mail.run = on_open;
    topics->close_mail.run = on_close;
    pthread_mutex_init(&topics->lock, NULL);
    gt_map_init(&topics->map);
    sem_init(&topics->opened, 0, 0);
    sem_init(&topics->closed, 0, 0);
    topics->consumer_group = strdup(settings->consumer_group != NULL ? settings->consumer_group
                                                                     : "connector-consumer-group");
    topics->producer_group = strdup(settings->producer_group != NULL ? settings->producer_group
                                                                     : "connector-producer-group");
    int code = 0;
    if (topics->consumer_group == NULL || topics->producer_group == NULL) {
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    } else {
        gt_link_send(link, &topics->open_mail);
        wait_for(&topics->opened);
        code = topics->open_err.code;
        if (code != 0)
            *err = topics->open_err;
    }
    if (code != 0) {
        free_topics(topics);
        return code;
    }
    *ret = &topics->api;
    return 0;
}

static const struct gt_engine rocketmq_engine = {
    .local = false,
    .close = close_topics,
    .get = get_topic,
    .ready = topic_ready,
    .queues = count_queues,
    .arm = arm_topic,
    .disarm = disarm_topic,
    .queue = queue_id,
    .find = find_index,
    .end = queue_end,
    .writer_open = gt_rq_writer_open,
    .writer_ready = gt_rq_writer_ready,
    .writer_queue = gt_rq_writer_queue,
    .writer_abandon = gt_rq_writer_abandon,
    .writer_close = gt_rq_writer_close,
    .submit = gt_rq_submit,
    .reader_open = gt_rq_reader_open,
    .reader_close = gt_rq_reader_close,
    .reader_offset = gt_rq_reader_offset,
    .reader_state = gt_rq_reader_state,
    .reader_next = gt_rq_reader_next,
    .reader_took = gt_rq_reader_took,
    .reader_committed = gt_rq_reader_committed,
    .reader_arm = gt_rq_reader_arm,
};
