/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded engine's objects: topics by name, their queues, their segments. Appending is in
 * append.c, reading in reader.c, opening in recover.c, deleting in retention.c. */
#include "topic/embedded/queue.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include <stdlib.h>
#include <unistd.h>

void gt_segment_ref(struct gt_segment *segment)
{
    atomic_fetch_add(&segment->refs, 1);
}

void gt_segment_unref(struct gt_segment *segment)
{
    if (segment == NULL || atomic_fetch_sub(&segment->refs, 1) != 1)
        return;
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment->path);
    free(segment);
}

void gt_segment_writer_ref(struct gt_segment *segment)
{
    gt_segment_ref(segment);
    atomic_fetch_add(&segment->writers, 1);
}

void gt_segment_writer_unref(struct gt_segment *segment)
{
    if (segment == NULL)
        return;
    if (atomic_fetch_sub(&segment->writers, 1) == 1) {
        close(segment->fd);
        segment->fd = -1;
    }
    gt_segment_unref(segment);
}

char *gt_segment_path(const char *queue_folder, int64_t base_offset)
{
    char *path = NULL;
    return asprintf(&path, "%s/%020lld.log", queue_folder, (long long)base_offset) < 0 ? NULL
                                                                                       : path;
}

struct gt_segment *gt_segment_new(const struct gt_queue *queue, int64_t base_offset)
{
    struct gt_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    atomic_store(&segment->refs, 1);
    segment->fd = -1;
    segment->base = base_offset;
    segment->committed.base_offset = segment->committed.end_offset = base_offset;
    segment->written = segment->committed;
    segment->path = gt_segment_path(queue->folder, base_offset);
    if (segment->path == NULL) {
        free(segment);
        return NULL;
    }
    return segment;
}

int gt_queue_list_segment(struct gt_queue *queue, struct gt_segment *segment)
{
    if (queue->segment_count == queue->segment_cap) {
        size_t cap = queue->segment_cap != 0 ? queue->segment_cap * 2 : 4;
        struct gt_segment **grown = realloc(queue->segments, cap * sizeof(*grown));
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        queue->segments = grown;
        queue->segment_cap = cap;
    }
    queue->segments[queue->segment_count++] = segment;
    gt_segment_ref(segment);
    return 0;
}

void gt_queue_wake(struct gt_queue *queue)
{
    for (struct gt_waiter *waiter = queue->waiters, *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->armed = false;
        waiter->wake(waiter->arg);
    }
    queue->waiters = NULL;
}

int gt_queue_damaged(struct gt_queue *queue, const char *path, int64_t at, const char *reason,
                     struct gantry_err *err)
{
    char *text = NULL;
    if (asprintf(&text, "topic %s is damaged: %s at byte %lld: %s; see `gantry topic repair %s`",
                 queue->topic->api.name, path, (long long)at, reason, queue->topic->api.name) < 0)
        text = NULL;
    gantry_err_set(err, GANTRY_CORRUPT, "%s", text != NULL ? text : "a topic is damaged");
    pthread_mutex_lock(&queue->lock);
    bool first = queue->damage == NULL;
    if (first) {
        queue->damage = text;
        gt_queue_wake(queue); /* nothing else will come; who waits shall learn it */
    }
    pthread_mutex_unlock(&queue->lock);
    if (first)
        gt_error("topic", "%s", text != NULL ? text : "a topic is damaged");
    else
        free(text);
    return GANTRY_CORRUPT;
}

int gt_queue_check(struct gt_queue *queue, struct gantry_err *err)
{
    pthread_mutex_lock(&queue->lock);
    int code = queue->damage != NULL ? gantry_err_set(err, GANTRY_CORRUPT, "%s", queue->damage) : 0;
    pthread_mutex_unlock(&queue->lock);
    return code;
}

static int init_queue(struct gt_embedded_topic *topic, uint32_t index)
{
    struct gt_queue *queue = &topic->queues[index];
    queue->topic = topic;
    queue->index = index;
    pthread_mutex_init(&queue->append, NULL);
    pthread_mutex_init(&queue->lock, NULL);
    if (asprintf(&queue->folder, "%s/%u", topic->folder, index) < 0) {
        queue->folder = NULL;
        return GANTRY_NO_MEMORY;
    }
    return 0;
}

struct gt_embedded_topic *gt_embedded_topic_new(struct gt_embedded *topics, const char *name,
                                                uint32_t queues)
{
    struct gt_embedded_topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return NULL;
    topic->api.engine = topics->api.engine;
    topic->topics = topics;
    topic->queue_count = queues;
    topic->api.name = strdup(name);
    topic->queues = calloc(queues, sizeof *topic->queues);
    bool made = topic->api.name != NULL && topic->queues != NULL;
    if (asprintf(&topic->folder, "%s/%s", topics->folder, name) < 0) {
        topic->folder = NULL;
        made = false;
    }
    for (uint32_t i = 0; made && i < queues; i++)
        made = init_queue(topic, i) == 0;
    if (!made) {
        gt_embedded_topic_free(topic);
        return NULL;
    }
    return topic;
}

static void free_queue(struct gt_queue *queue)
{
    gt_segment_writer_unref(queue->active);
    for (size_t i = 0; i < queue->segment_count; i++)
        gt_segment_unref(queue->segments[i]);
    free(queue->segments);
    free(queue->gaps);
    free(queue->damage);
    free(queue->folder);
    pthread_mutex_destroy(&queue->append);
    pthread_mutex_destroy(&queue->lock);
}

void gt_embedded_topic_free(struct gt_embedded_topic *topic)
{
    if (topic == NULL)
        return;
    for (uint32_t i = 0; topic->queues != NULL && i < topic->queue_count; i++) {
        if (topic->queues[i].topic != NULL)
            free_queue(&topic->queues[i]);
    }
    free(topic->queues);
    free(topic->folder);
    free(topic->api.name);
    free(topic);
}

static void close_topics(struct gt_topics *api)
{
    struct gt_embedded *topics = (struct gt_embedded *)api;
    size_t cursor = 0;
    struct gantry_view name;
    void *topic;
    while (gt_map_next(&topics->map, &cursor, &name, &topic))
        gt_embedded_topic_free(topic);
    gt_map_deinit(&topics->map);
    pthread_mutex_destroy(&topics->lock);
    free(topics->folder);
    free(topics);
}

static struct gt_topic *get_topic(struct gt_topics *api, const char *name)
{
    struct gt_embedded *topics = (struct gt_embedded *)api;
    pthread_mutex_lock(&topics->lock);
    struct gt_embedded_topic *topic = gt_map_get(&topics->map, gantry_view_of(name));
    if (topic == NULL) {
        topic = gt_embedded_topic_new(topics, name, 1);
        if (topic != NULL && gt_map_put(&topics->map, gantry_view_of(name), topic, NULL) != 0) {
            gt_embedded_topic_free(topic);
            topic = NULL;
        }
    }
    pthread_mutex_unlock(&topics->lock);
    return topic != NULL ? &topic->api : NULL;
}

/* Topics and writers are ready at once, and a topic's queues never change. */
static int topic_ready(struct gt_topic *topic, struct gt_waiter *waiter, struct gantry_err *err)
{
    (void)topic;
    (void)waiter;
    (void)err;
    return 1;
}

static int writer_ready(struct gt_writer *writer, struct gantry_err *err)
{
    (void)writer;
    (void)err;
    return 1;
}

static uint32_t count_queues(const struct gt_topic *api)
{
    return ((const struct gt_embedded_topic *)api)->queue_count;
}

static void abandon_writer(struct gt_writer *writer)
{
    (void)writer; /* the committer is never held up for long */
}

static void close_writer(struct gt_writer *writer)
{
    free(writer);
}

static bool arm_topic(struct gt_topic *api, uint32_t known, struct gt_waiter *waiter)
{
    (void)waiter;
    return known >= count_queues(api);
}

static void disarm_topic(struct gt_topic *api, struct gt_waiter *waiter)
{
    (void)api;
    (void)waiter;
}

static void queue_id(const struct gt_topic *api, uint32_t index, struct gt_queue_id *ret)
{
    (void)api;
    *ret = (struct gt_queue_id){.broker = "", .id = index, .number = index};
}

static uint32_t find_queue(const struct gt_topic *api, struct gantry_view broker, uint32_t id)
{
    uint32_t count = count_queues(api);
    return broker.len == 0 && id < count ? id : count;
}

static int64_t queue_end(struct gt_topic *api, uint32_t index)
{
    struct gt_queue *queue = &((struct gt_embedded_topic *)api)->queues[index];
    pthread_mutex_lock(&queue->lock);
    int64_t end = queue->end_offset;
    pthread_mutex_unlock(&queue->lock);
    return end;
}

static const struct gt_engine embedded_engine = {
    .local = true,
    .close = close_topics,
    .get = get_topic,
    .ready = topic_ready,
    .queues = count_queues,
    .arm = arm_topic,
    .disarm = disarm_topic,
    .queue = queue_id,
    .find = find_queue,
    .end = queue_end,
    .writer_open = gt_embedded_writer_open,
    .writer_ready = writer_ready,
    .writer_queue = gt_embedded_writer_queue,
    .writer_abandon = abandon_writer,
    .writer_close = close_writer,
    .submit = gt_embedded_submit,
    .reader_open = gt_embedded_reader_open,
    .reader_close = gt_embedded_reader_close,
    .reader_offset = gt_embedded_reader_offset,
    .reader_state = gt_embedded_reader_state,
    .reader_next = gt_embedded_reader_next,
    .reader_took = gt_embedded_reader_took,
    .reader_committed = gt_embedded_reader_committed,
    .reader_arm = gt_embedded_reader_arm,
};

static void on_round(void *arg)
{
    gt_topics_retain(arg);
}

int gt_topics_open(struct gt_store *store, const struct gt_topics_settings *settings,
                   struct gt_topics **ret, struct gantry_err *err)
{
    struct gt_embedded *topics = calloc(1, sizeof *topics);
    if (topics == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    topics->api.engine = &embedded_engine;
    topics->store = store;
    topics->settings = *settings;
    pthread_mutex_init(&topics->lock, NULL);
    gt_map_init(&topics->map);
    int code = 0;
    if (gt_compression_parse(settings->compression, &topics->compression) != 0)
        code = gantry_err_set(err, GANTRY_INVALID,
                              "log.compression is \"%s\"; it can be none, lz4 or zstd",
                              settings->compression);
    else if (asprintf(&topics->folder, "%s/topics", gt_store_folder(store)) < 0) {
        topics->folder = NULL;
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    }
    if (code == 0)
        code = gt_folder_make(topics->folder, "topic.folder-sync", err);
    if (code == 0)
        code = gt_topics_recover(topics, err);
    if (code != 0) {
        close_topics(&topics->api);
        return code;
    }
    bool limited = settings->retention_ms > 0 || settings->retention_bytes > 0;
    if (limited)
        gt_store_on_round(store, on_round, topics, 1000);
    *ret = &topics->api;
    return 0;
}
