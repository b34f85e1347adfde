/* SPDX-License-Identifier: Apache-2.0 */
/* Retention: whole segments go, the oldest first, never the last one. A segment stays while a sink
 * has not read it (unread.h; log.retention.unread says otherwise). A sink that is no more is
 * forgotten by `gantry connector reset`.
 *
 * The records go first, in one transaction, then the files: a crash in between leaves files that
 * the next start removes. */
#include "topic/embedded/queue.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "topic/embedded/unread.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    EVERY_MS = 1000,
    AT_ONCE = 1000, /* segments of a queue in one transaction, while commits wait */
};

/* One round: the sinks' progress is read once, by the first queue that has something to delete. */
struct round {
    struct gt_embedded *topics;
    struct gt_unread unread;
    bool read;
    int code; /* of reading it */
};

static int lowest_offset(struct round *round, const struct gt_queue *queue, int64_t *ret)
{
    struct gantry_err err = {0};
    if (!round->read) {
        round->read = true;
        round->code = gt_unread_read(&round->unread, round->topics->store, &err);
        if (round->code != 0)
            gt_warn("topic", "retention waits: %s",
                    err.text[0] != '\0' ? err.text : gantry_error_text(round->code));
    }
    return round->code != 0
               ? round->code
               : gt_unread_lowest(&round->unread, queue->topic->api.name, queue->index, ret);
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

static void retain_queue(struct round *round, struct gt_queue *queue)
{
    struct gt_embedded *topics = round->topics;
    size_t expired = count_expired(queue, &topics->settings);
    if (expired == 0)
        return;
    if (!topics->settings.retention_unread) {
        int64_t lowest;
        if (lowest_offset(round, queue, &lowest) != 0)
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
    struct round round = {.topics = topics};
    for (size_t i = 0; i < count; i++) {
        for (uint32_t index = 0; index < all[i]->queue_count; index++)
            retain_queue(&round, &all[i]->queues[index]);
    }
    if (round.read)
        gt_unread_deinit(&round.unread);
    free(all);
}
