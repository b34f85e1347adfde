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
                 queue->topic->name, path, (long long)at, reason, queue->topic->name) < 0)
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

static int init_queue(struct gt_topic *topic, uint32_t index)
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

struct gt_topic *gt_topic_new(struct gt_topics *topics, const char *name, uint32_t queues)
{
    struct gt_topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return NULL;
    topic->topics = topics;
    topic->queue_count = queues;
    topic->name = strdup(name);
    topic->queues = calloc(queues, sizeof *topic->queues);
    bool made = topic->name != NULL && topic->queues != NULL;
    if (asprintf(&topic->folder, "%s/%s", topics->folder, name) < 0) {
        topic->folder = NULL;
        made = false;
    }
    for (uint32_t i = 0; made && i < queues; i++)
        made = init_queue(topic, i) == 0;
    if (!made) {
        gt_topic_free(topic);
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

void gt_topic_free(struct gt_topic *topic)
{
    if (topic == NULL)
        return;
    for (uint32_t i = 0; topic->queues != NULL && i < topic->queue_count; i++) {
        if (topic->queues[i].topic != NULL)
            free_queue(&topic->queues[i]);
    }
    free(topic->queues);
    free(topic->folder);
    free(topic->name);
    free(topic);
}

static void on_round(void *arg)
{
    gt_topics_retain(arg);
}

int gt_topics_open(struct gt_store *store, const struct gt_topics_settings *settings,
                   struct gt_topics **ret, struct gantry_err *err)
{
    struct gt_topics *topics = calloc(1, sizeof *topics);
    if (topics == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
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
        gt_topics_close(topics);
        return code;
    }
    bool limited = settings->retention_ms > 0 || settings->retention_bytes > 0;
    if (limited)
        gt_store_on_round(store, on_round, topics, 1000);
    *ret = topics;
    return 0;
}

void gt_topics_close(struct gt_topics *topics)
{
    if (topics == NULL)
        return;
    size_t cursor = 0;
    struct gantry_view name;
    void *topic;
    while (gt_map_next(&topics->map, &cursor, &name, &topic))
        gt_topic_free(topic);
    gt_map_deinit(&topics->map);
    pthread_mutex_destroy(&topics->lock);
    free(topics->folder);
    free(topics);
}

struct gt_topic *gt_topic_get(struct gt_topics *topics, const char *name)
{
    pthread_mutex_lock(&topics->lock);
    struct gt_topic *topic = gt_map_get(&topics->map, gantry_view_of(name));
    if (topic == NULL) {
        topic = gt_topic_new(topics, name, 1);
        if (topic != NULL && gt_map_put(&topics->map, gantry_view_of(name), topic, NULL) != 0) {
            gt_topic_free(topic);
            topic = NULL;
        }
    }
    pthread_mutex_unlock(&topics->lock);
    return topic;
}

const char *gt_topic_name(const struct gt_topic *topic)
{
    return topic->name;
}

uint32_t gt_topic_queues(const struct gt_topic *topic)
{
    return topic->queue_count;
}

int64_t gt_topic_end(struct gt_topic *topic, uint32_t index)
{
    struct gt_queue *queue = &topic->queues[index];
    pthread_mutex_lock(&queue->lock);
    int64_t end = queue->end_offset;
    pthread_mutex_unlock(&queue->lock);
    return end;
}
