/* SPDX-License-Identifier: Apache-2.0 */
/* The source of messages: what a feed brings becomes records, and each queue's position moves with
 * them. poll() never waits; the link's thread wakes the task. */
#include "feed.h"

#include "plugin.h"
#include "position.h"
#include "record.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SCRATCH_MAX = 256 << 20 };

/* Where all begin that have no position, when that is not the beginning. */
static const char marker[] = "{\"replicator\":\"start\"}";

struct source_task {
    struct rep_plugin *plugin;
    struct gantry_task_context *ctx;
    struct rep_feed *feed;
    struct rep_settings settings; /* its texts: the context's */
    char *avoid;                  /* owned; NULL: nothing is left out */
    struct rep_item *item;        /* being taken */
    struct rmq_view rest;         /* of its block */
    struct rep_item *used;        /* the last batch's views point into their blocks */
    struct rmq_buf scratch;
    int64_t start_ms; /* -1: from the beginning */
    bool mark_start;
    int64_t behind;                      /* messages, of all queues */
    int64_t taken_bytes, taken_messages; /* for the lag in bytes */
};

/* --- Configuration --- */

static void source_validate(void *arg, const char *name, const struct gantry_config *config,
                            struct gantry_findings *findings)
{
    const struct rep_plugin *plugin = arg;
    struct rep_settings settings;
    struct rep_patterns *patterns;
    struct gantry_err err = {0};
    (void)name;
    rep_settings_read(&settings, plugin->runtime, config);
    rep_settings_check(&settings, findings);
    if (rep_patterns_new("white-list", gantry_config_get(config, "white-list"), &patterns, &err) !=
        0)
        findings->add(findings, "white-list", err.text);
    else
        rep_patterns_free(patterns);
    if (strcmp(settings.start, "timestamp") == 0 && settings.start_ms < 0)
        findings->add(
            findings, "source.start.ms",
            "source.start.ms: missing; source.start=timestamp needs the milliseconds since "
            "1970 of the first message");
}

static int source_split(void *arg, const struct gantry_config *config, uint32_t max_tasks,
                        struct gantry_task_list *list, struct gantry_err *err)
{
    (void)arg;
    (void)config;
    int rc = 0;
    for (uint32_t i = 0; i < max_tasks && rc == 0; i++)
        rc = list->begin(list);
    return rc == 0 ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the tasks");
}

/* --- Life of a task --- */

static void free_items(struct rep_item **items)
{
    while (*items != NULL) {
        struct rep_item *item = *items;
        *items = item->next;
        rep_item_free(item);
    }
}

static void source_stop(void *arg)
{
    struct source_task *task = arg;
    free_items(&task->used);
    rep_item_free(task->item);
    if (task->feed != NULL)
        rep_feed_close(task->feed);
    rmq_buf_deinit(&task->scratch);
    free(task->avoid);
    free(task);
}

/* Where a queue without a position begins. */
static int find_start(struct source_task *task, struct gantry_err *err)
{
    struct gantry_view stored = {NULL, 0};
    struct timespec now;
    task->start_ms = -1;
    if (strcmp(task->settings.start, "timestamp") == 0)
        task->start_ms = task->settings.start_ms;
    if (strcmp(task->settings.start, "end") != 0)
        return 0;
    int rc = task->ctx->position(task->ctx, gantry_view_of(marker), &stored, err);
    if (rc != 0)
        return rc;
    if (stored.len > 0 && rep_position_read(stored, &task->start_ms) == 0)
        return 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    task->start_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    task->mark_start = true;
    return 0;
}

static int source_start(void *arg, struct gantry_task_context *ctx, void **ret,
                        struct gantry_err *err)
{
    struct rep_plugin *plugin = arg;
    struct source_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task");
    task->plugin = plugin;
    task->ctx = ctx;
    rmq_buf_init(&task->scratch, SCRATCH_MAX);
    rep_settings_read(&task->settings, plugin->runtime, ctx->config);
    const char *source = task->settings.source_cluster, *target = task->settings.target_cluster;
    int rc = 0;
    /* Only names that tell the clusters apart can say that a message has come from the target. */
    if (target != NULL && source != NULL && strcmp(source, target) != 0) {
        task->avoid = strdup(target);
        if (task->avoid == NULL)
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task");
    }
    const char *worker = plugin->runtime->setting(plugin->runtime, "namesrvAddr");
    const char *given = gantry_config_get(ctx->config, "target-rocketmq");
    if (given != NULL && (worker == NULL || strcmp(given, worker) != 0))
        ctx->log(ctx, GANTRY_LOG_WARN,
                 worker == NULL || *worker == '\0'
                     ? "target-rocketmq: this worker keeps topics in its own log: messages go there"
                     : "target-rocketmq is not namesrvAddr of this worker: messages go to the "
                       "latter's cluster, topics are made at the former");
    if (rc == 0)
        rc = find_start(task, err);
    if (rc == 0)
        rc = rep_feed_open(plugin->link, plugin->runtime, ctx, &task->feed, err);
    if (rc != 0) {
        source_stop(task);
        return rc;
    }
    *ret = task;
    return 0;
}

/* --- Positions --- */

static int find_java_position(struct source_task *task, struct rep_stream *stream, int64_t *ret,
                              struct gantry_err *err)
{
    struct gantry_view stored = {NULL, 0};
    char text[300];
    char *partition = rep_partition_java(stream->broker, stream->topic->name, stream->queue_id);
    if (partition == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a position");
    int rc = task->ctx->position(task->ctx, gantry_view_of(partition), &stored, err);
    free(partition);
    if (rc != 0 || stored.len == 0 || rep_position_read(stored, ret) != 0)
        return rc;
    if (stream->ambiguous) {
        *ret = -1;
        (void)snprintf(text, sizeof text,
                       "topic=%s broker=%s queue=%d: the Java replicator's offset may be that of "
                       "another queue, whose names run together to the same text: not taken over",
                       stream->topic->name, stream->broker, (int)stream->queue_id);
    } else {
        (void)snprintf(
            text, sizeof text,
            "topic=%s broker=%s queue=%d: going on at offset %lld of the Java replicator",
            stream->topic->name, stream->broker, (int)stream->queue_id, (long long)*ret);
    }
    task->ctx->log(task->ctx, stream->ambiguous ? GANTRY_LOG_WARN : GANTRY_LOG_INFO, text);
    return 0;
}

/* Say where the queue begins. */
static int position(struct source_task *task, struct rep_stream *stream, struct gantry_err *err)
{
    struct gantry_view stored = {NULL, 0};
    int64_t offset = stream->position; /* known: the topic was gone for a while */
    int rc = 0;
    if (offset < 0) {
        rc = task->ctx->position(task->ctx, gantry_view_of(stream->partition), &stored, err);
        if (rc == 0 && stored.len > 0 && rep_position_read(stored, &offset) != 0)
            return gantry_err_set(err, GANTRY_CORRUPT, "the position of %s is '%.*s'",
                                  stream->partition, (int)(stored.len < 100 ? stored.len : 100),
                                  stored.data);
        if (rc == 0 && offset < 0)
            rc = find_java_position(task, stream, &offset, err);
    }
    stream->fresh = offset < 0;
    stream->start = offset >= 0 ? offset : task->start_ms >= 0 ? -1 : 0;
    stream->start_ms = task->start_ms;
    stream->position = offset >= 0 ? offset : 0;
    return rc;
}

static int start_found(struct source_task *task, struct gantry_err *err)
{
    struct rep_stream *found = rep_feed_found(task->feed);
    int rc = 0;
    for (struct rep_stream *stream = found; stream != NULL && rc == 0; stream = stream->handed)
        rc = position(task, stream, err);
    if (rc == 0)
        rep_feed_start(task->feed, found);
    return rc;
}

static int mark(struct gantry_batch *batch, const struct rep_stream *stream, struct gantry_err *err)
{
    char buf[REP_POSITION_MAX];
    if (gantry_batch_mark(batch, gantry_view_of(stream->partition),
                          rep_position_write(buf, stream->position)) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a position");
    return 0;
}

/* --- Records --- */

/* The source does not have the offsets up to here any more; or the queue has begun anew. */
static int take_move(struct source_task *task, struct gantry_batch *batch,
                     const struct rep_item *item, struct gantry_err *err)
{
    struct rep_stream *stream = item->stream;
    char text[300];
    if (!stream->fresh) {
        (void)snprintf(text, sizeof text,
                       "topic=%s broker=%s queue=%d: offset %lld is not there (any more); going on "
                       "at offset %lld",
                       stream->topic->name, stream->broker, (int)stream->queue_id,
                       (long long)stream->position, (long long)item->moved_to);
        task->ctx->log(task->ctx, GANTRY_LOG_WARN, text);
    }
    stream->position = item->moved_to;
    return mark(batch, stream, err);
}

/* One message. 1 it counts | 0 it was given before | an error. */
static int take_message(struct source_task *task, struct gantry_batch *batch,
                        struct rmq_message *message, int64_t *left, struct gantry_err *err)
{
    struct rep_stream *stream = task->item->stream;
    const struct rep_schemas schemas = {&stream->topic->text, &stream->topic->bytes};
    struct gantry_record *record = NULL;
    struct gantry_err reason = {0};
    if (message->queue_offset < task->item->block->first_offset ||
        message->queue_offset < stream->position)
        return 0;
    size_t stored = message->body.len + message->properties.len;
    int rc = rep_record_add(batch, message, &schemas, stream->origin, task->avoid, &task->scratch,
                            &record, &reason);
    if (rc < 0)
        return gantry_err_set(err, rc, "topic %s, queue %d of broker %s, offset %lld: %s",
                              stream->topic->name, (int)stream->queue_id, stream->broker,
                              (long long)message->queue_offset, reason.text);
    stream->position = message->queue_offset + 1;
    stream->fresh = false;
    task->taken_bytes += (int64_t)stored;
    task->taken_messages++;
    if (rc > 0) {
        record->topic = stream->topic->target;
        record->queue = stream->target_queue + 1;
        *left -= (int64_t)(record->value.len + message->properties.len);
    }
    return 1;
}

/* As much of the item as there is room for. 0, an error. */
static int take_block(struct source_task *task, struct gantry_batch *batch, int64_t *left,
                      struct gantry_err *err)
{
    struct rep_stream *stream = task->item->stream;
    int64_t before = stream->position;
    struct rmq_message message;
    struct rmq_err reason = {0};
    int rc = 1;
    while (*left > 0 && (rc = rmq_message_next(&task->rest, &message, &reason)) > 0) {
        rc = take_message(task, batch, &message, left, err);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return gantry_err_set(err, GANTRY_CORRUPT, "topic %s, queue %d of broker %s: %s",
                              stream->topic->name, (int)stream->queue_id, stream->broker,
                              reason.text);
    int64_t behind = task->item->block->max_offset - stream->position;
    behind = behind > 0 ? behind : 0;
    task->behind += behind - stream->behind;
    stream->behind = behind;
    if (rc == 0) { /* the end of the block */
        if (task->item->block->next_offset > stream->position)
            stream->position = task->item->block->next_offset;
        task->item->next = task->used;
        task->used = task->item;
        task->item = NULL;
    }
    return stream->position != before ? mark(batch, stream, err) : 0;
}

static int fill(struct source_task *task, struct gantry_batch *batch, struct gantry_err *err)
{
    int64_t left = (int64_t)batch->max_bytes;
    int rc = 0;
    while (left > 0 && rc == 0) {
        if (task->item == NULL) {
            task->item = rep_feed_take(task->feed);
            if (task->item == NULL)
                break;
            if (task->item->block != NULL)
                task->rest = task->item->block->bytes;
        }
        if (task->item->block != NULL) {
            rc = take_block(task, batch, &left, err);
            left -= 64; /* marks take room, too */
        } else {
            rc = take_move(task, batch, task->item, err);
            rep_item_free(task->item);
            task->item = NULL;
        }
    }
    return rc;
}

static void report_lag(struct source_task *task)
{
    int64_t mean = task->taken_messages > 0 ? task->taken_bytes / task->taken_messages : 0;
    task->ctx->report_lag(task->ctx, task->behind * (mean > 0 ? mean : 1));
}

static int source_poll(void *arg, struct gantry_batch *batch, struct gantry_err *err)
{
    struct source_task *task = arg;
    char buf[REP_POSITION_MAX];
    free_items(&task->used);
    int rc = rep_feed_failure(task->feed, err);
    if (rc == 0)
        rc = start_found(task, err);
    if (rc == 0 && task->mark_start) {
        rc = gantry_batch_mark(batch, gantry_view_of(marker),
                               rep_position_write(buf, task->start_ms));
        task->mark_start = false;
        if (rc != 0)
            return gantry_err_set(err, rc, "no memory for a position");
    }
    if (rc == 0)
        rc = fill(task, batch, err);
    if (rc == 0)
        report_lag(task);
    return rc;
}

/* --- Tables --- */

static const struct gantry_config_def defs[] = {
    {.name = "white-list",
     .type = GANTRY_CONFIG_LIST,
     .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
     .doc = "Regular expressions, separated by commas: topics whose whole name matches one are "
            "copied, also those that appear later. Retry and dead-letter topics only by one that "
            "begins with %."},
    {.name = "target-rocketmq",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .doc = "Name servers of the worker's own cluster, where missing topics are made. Without it: "
            "namesrvAddr of the worker."},
    {.name = "topic",
     .aliases = "connect.topicname",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .doc = "One topic for the messages of all topics. Without it each has a copy of its own name, "
            "or by topic.rename.format."},
    {.name = "task-divide-strategy",
     .aliases = "taskDivideStrategy",
     .type = GANTRY_CONFIG_ENUM,
     .default_value = "1",
     .choices = "1,0,queue,topic",
     .doc = "What tasks divide: queues (1, queue), or whole topics (0, topic)."},
    {.name = "source.start",
     .type = GANTRY_CONFIG_ENUM,
     .default_value = "beginning",
     .choices = "beginning,end,timestamp",
     .doc = "Where to begin at the very first start: with the oldest message, with those that come "
            "after it, or with those from source.start.ms on."},
    {.name = "source.start.ms",
     .type = GANTRY_CONFIG_INT,
     .min = 0,
     .max = INT64_MAX,
     .doc = "For source.start=timestamp: milliseconds since 1970."},
    {.name = "buffer.bytes",
     .type = GANTRY_CONFIG_SIZE,
     .default_value = "8m",
     .min = 64 << 10,
     .max = 1 << 30,
     .doc = "How much a task reads ahead."},
    {.name = "origin.header",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "true",
     .doc =
         "Give each copy the property gantry.origin: cluster, broker, topic, queue and offset of "
         "the message. RmqMetaReplicator needs it to translate offsets, and copying in both "
         "directions to end."},
    REP_COMMON_DEFS,
};

static const char *const class_names[] = {"org.apache.rocketmq.replicator.RmqSourceReplicator",
                                          NULL};

const struct gantry_connector rep_source_connector = {
    .struct_size = sizeof(struct gantry_connector),
    .kind = GANTRY_SOURCE,
    .flags = GANTRY_CONNECTOR_HEADERS_AS_IS,
    .class_names = class_names,
    .task_class = "org.apache.rocketmq.replicator.RmqSourceTask",
    .version = REP_PLUGIN_VERSION,
    .doc = "Copies topics of another RocketMQ cluster.",
    .defs = defs,
    .def_count = sizeof defs / sizeof defs[0],
    .validate = source_validate,
    .split = source_split,
    .task_start = source_start,
    .poll = source_poll,
    .task_stop = source_stop,
};
