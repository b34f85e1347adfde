/* SPDX-License-Identifier: Apache-2.0 */
/* Retention: whole segments go, the oldest first, never the last one. A segment stays while a sink
 * has not read it (log.retention.unread says otherwise): one that has ever committed progress on
 * the queue, or a connector whose configuration names the topic and that has not come to commit
 * any. A sink that is no more is forgotten by `gantry connector reset`.
 *
 * The records go first, in one transaction, then the files: a crash in between leaves files that
 * the next start removes. */
#include "topic/embedded/queue.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    EVERY_MS = 1000,
    AT_ONCE = 1000, /* segments of a queue in one transaction, while commits wait */
};

/* The lowest committed offset of all sinks on one queue. */
struct lowest {
    const struct gt_queue *queue;
    struct gt_arena arena, kept;
    struct gt_map readers; /* connectors with progress on the queue: how far they are */
    int64_t offset;
};

/* The furthest task counts, as it does for a start: another number of tasks deals the queues out
 * anew, and what a task that is no more has noted stays behind. */
static int note_progress(struct lowest *lowest, struct gantry_view connector, int64_t offset)
{
    int64_t *known = gt_map_get(&lowest->readers, connector);
    if (known == NULL) {
        known = gt_arena_alloc(&lowest->kept, sizeof *known);
        if (known == NULL)
            return GANTRY_NO_MEMORY;
        *known = offset;
        return gt_map_put(&lowest->readers, connector, known, NULL);
    }
    if (offset > *known)
        *known = offset;
    return 0;
}

static int see_progress(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct lowest *lowest = arg;
    struct gt_progress_record record;
    struct gantry_view connector;
    uint32_t task;
    gt_arena_reset(&lowest->arena);
    int code = gt_progress_record_read(value, &lowest->arena, &record);
    if (code == 0)
        code = gt_key_read_progress(key, &connector, &task);
    for (size_t i = 0; code == 0 && i < record.offset_count; i++) {
        const struct gt_queue_offset *at = &record.offsets[i];
        if (at->queue != lowest->queue->index ||
            !gantry_view_equal(at->topic, gantry_view_of(lowest->queue->topic->api.name)))
            continue;
        code = note_progress(lowest, connector, at->offset);
    }
    return code;
}

/* Whether @p names, separated by commas, has @p name. */
static bool has_name(const char *names, const char *name)
{
    while (names != NULL) {
        const char *comma = strchr(names, ',');
        size_t len = comma != NULL ? (size_t)(comma - names) : strlen(names);
        if (gantry_view_equal(gt_view_trim((struct gantry_view){names, len}), gantry_view_of(name)))
            return true;
        names = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

/* A sink that is to read the topic and has not begun: it wants everything. */
static int see_connector(void *arg, struct gantry_view key, struct gantry_view value)
{
    static const char *const keys[] = {"topicNames", "connect.topicnames",
                                       "topics"}; /* as plugin/common_defs.c has them */
    struct lowest *lowest = arg;
    const char *topic = lowest->queue->topic->api.name;
    if (memmem(value.data, value.len, topic, strlen(topic)) == NULL ||
        gt_map_get(&lowest->readers, key) != NULL)
        return 0;
    struct gt_props props;
    struct gantry_err err = {0};
    gt_props_init(&props);
    int code = gt_json_parse_props(&props, value, &err);
    for (size_t i = 0; code == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        if (has_name(gt_props_get(&props, keys[i]), topic))
            lowest->offset = 0;
    }
    gt_props_deinit(&props);
    return code;
}

static int lowest_offset(struct gt_embedded *topics, const struct gt_queue *queue, int64_t *ret)
{
    struct lowest lowest = {.queue = queue, .offset = INT64_MAX};
    struct gantry_view all = {NULL, 0};
    gt_arena_init(&lowest.arena, 4096, 4096);
    gt_arena_init(&lowest.kept, 4096, 4096);
    gt_map_init(&lowest.readers);
    struct gantry_err err = {0};
    int code = gt_store_scan(topics->store, GT_TABLE_PROGRESS, all, see_progress, &lowest, &err);
    if (code == 0)
        code = gt_store_scan(topics->store, GT_TABLE_CONNECTORS, all, see_connector, &lowest, &err);
    size_t cursor = 0;
    void *offset;
    while (gt_map_next(&lowest.readers, &cursor, NULL, &offset)) {
        if (*(int64_t *)offset < lowest.offset)
            lowest.offset = *(int64_t *)offset;
    }
    gt_map_deinit(&lowest.readers);
    gt_arena_deinit(&lowest.kept);
    gt_arena_deinit(&lowest.arena);
    if (code != 0)
        gt_warn("topic", "retention waits: %s",
                err.text[0] != '\0' ? err.text : gantry_error_text(code));
    *ret = lowest.offset;
    return code;
}

/* How many of the oldest segments are too old or too much. */
static size_t count_expired(struct gt_queue *queue, const struct gt_topics_settings *settings)
{
    int64_t now = gt_clock_wall_ms(), total = 0;
    size_t expired = 0;
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < queue->segment_count; i++)
        total += queue->segments[i]->committed.bytes;
    while (expired + 1 < queue->segment_count && expired < AT_ONCE) {
        const struct gt_segment_record *record = &queue->segments[expired]->committed;
        bool old = settings->retention_ms > 0 && now - record->last_ms > settings->retention_ms;
        bool much = settings->retention_bytes > 0 && total > settings->retention_bytes;
        if (!old && !much)
            break;
        total -= record->bytes;
        expired++;
    }
    pthread_mutex_unlock(&queue->lock);
    return expired;
}

/* Only this thread takes segments out of the list, so the first @p count stay what they are without
 * the lock; the array that holds them may move. */
static void delete_segments(struct gt_embedded *topics, struct gt_queue *queue, size_t count)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit commit;
    struct gt_key key;
    struct gantry_err err = {0};
    gt_commit_init(&commit, &no_ops);
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        gt_key_segment(&key, queue->topic->api.name, queue->index, queue->segments[i]->base);
        gt_commit_delete(&commit, GT_TABLE_SEGMENTS, gt_key_view(&key));
    }
    pthread_mutex_unlock(&queue->lock);
    int code = gt_store_commit_now(topics->store, &commit, &err);
    gt_commit_deinit(&commit);
    (void)gt_fault("retention.committed");
    if (code != 0) {
        gt_warn("topic", "retention failed topic=%s: %s", queue->topic->api.name, err.text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&queue->lock);
        struct gt_segment *segment = queue->segments[0];
        queue->segment_count--;
        memmove(queue->segments, queue->segments + 1,
                queue->segment_count * sizeof(*queue->segments));
        pthread_mutex_unlock(&queue->lock);
        gt_info("topic", "retention deleted a segment topic=%s queue=%u offset=%lld",
                queue->topic->api.name, queue->index, (long long)segment->base);
        (void)unlink(segment->path); /* failing leaves an orphan that the next start removes */
        gt_segment_unref(segment);
    }
}

static void retain_queue(struct gt_embedded *topics, struct gt_queue *queue)
{
    size_t expired = count_expired(queue, &topics->settings);
    if (expired == 0)
        return;
    if (!topics->settings.retention_unread) {
        int64_t lowest;
        if (lowest_offset(topics, queue, &lowest) != 0)
            return;
        size_t read = 0;
        pthread_mutex_lock(&queue->lock);
        while (read < expired && queue->segments[read]->committed.end_offset <= lowest)
            read++;
        pthread_mutex_unlock(&queue->lock);
        expired = read;
    }
    if (expired > 0)
        delete_segments(topics, queue, expired);
}

void gt_topics_retain(struct gt_embedded *topics)
{
    int64_t now = gt_clock_mono_ns();
    if (now - topics->retention_ns < EVERY_MS * 1000000LL)
        return;
    topics->retention_ns = now;
    /* A walk needs the map to stand still, deleting waits for the disk, and loops look topics up:
     * so the topics, which are never removed, are noted first. */
    size_t cursor = 0, count = 0;
    struct gantry_view name;
    void *value;
    pthread_mutex_lock(&topics->lock);
    struct gt_embedded_topic **all = malloc((topics->map.count + 1) * sizeof(*all));
    while (all != NULL && gt_map_next(&topics->map, &cursor, &name, &value))
        all[count++] = value;
    pthread_mutex_unlock(&topics->lock);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t index = 0; index < all[i]->queue_count; index++)
            retain_queue(topics, &all[i]->queues[index]);
    }
    free(all);
}
