/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: map the committed part of a segment, check each batch once, give views into the mapping.
 *
 * The mapping covers more than the file has, so that a growing segment is mapped once; only
 * committed bytes are touched, and the file's length is looked at before each batch, so that a file
 * that someone cut short is an error and not a SIGBUS. */
#include "topic/embedded/queue.h"

#include "base/log.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IDLE_KEEP = 4 << 20 }; /* an idle reader that has touched more gives its mapping back */

struct gt_embedded_reader {
    struct gt_reader api; /* first */
    struct gt_queue *queue;
    int64_t offset; /* next wanted */

    struct gt_segment *segment; /* reference; NULL: to be found */
    int64_t committed;          /* bytes of it that may be read */
    int64_t end_offset;         /* the offset behind them */
    int fd;
    char *map;
    size_t map_len, touched;
    int64_t at;                 /* where the next batch begins */
    struct gt_batch_info batch; /* of the last gt_reader_next; length 0: none */

    struct gt_waiter waiter;
};

int gt_embedded_reader_open(struct gt_topic *api, const struct gt_reader_spec *spec,
                            struct gt_reader **ret, struct gantry_err *err)
{
    struct gt_embedded_topic *topic = (struct gt_embedded_topic *)api;
    if (spec->queue >= topic->queue_count || spec->offset < 0)
        return gantry_err_set(
            err, GANTRY_INVALID, "topic %s has %u queues; there is no queue %u, offset %lld",
            topic->api.name, topic->queue_count, spec->queue, (long long)spec->offset);
    struct gt_embedded_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a reader of topic %s",
                              topic->api.name);
    reader->api.engine = topic->api.engine;
    reader->queue = &topic->queues[spec->queue];
    reader->offset = spec->offset;
    reader->fd = -1;
    *ret = &reader->api;
    return 0;
}

static void unmap(struct gt_embedded_reader *reader)
{
    if (reader->map != NULL)
        munmap(reader->map, reader->map_len);
    if (reader->fd >= 0)
        close(reader->fd);
    reader->map = NULL;
    reader->fd = -1;
    reader->touched = 0;
}

static void leave_segment(struct gt_embedded_reader *reader)
{
    unmap(reader);
    gt_segment_unref(reader->segment);
    reader->segment = NULL;
    reader->batch.length = 0;
}

static void disarm(struct gt_embedded_reader *reader)
{
    struct gt_queue *queue = reader->queue;
    pthread_mutex_lock(&queue->lock);
    if (reader->waiter.armed) {
        struct gt_waiter **at = &queue->waiters;
        while (*at != &reader->waiter)
            at = &(*at)->next;
        *at = reader->waiter.next;
        reader->waiter.armed = false;
    }
    pthread_mutex_unlock(&queue->lock);
}

void gt_embedded_reader_close(struct gt_reader *api)
{
    struct gt_embedded_reader *reader = (struct gt_embedded_reader *)api;
    disarm(reader);
    leave_segment(reader);
    free(reader);
}

int64_t gt_embedded_reader_offset(const struct gt_reader *api)
{
    return ((const struct gt_embedded_reader *)api)->offset;
}

bool gt_embedded_reader_arm(struct gt_reader *api, void (*wake)(void *arg), void *arg)
{
    struct gt_embedded_reader *reader = (struct gt_embedded_reader *)api;
    struct gt_queue *queue = reader->queue;
    pthread_mutex_lock(&queue->lock);
    bool wait = reader->offset >= queue->end_offset && queue->damage == NULL;
    if (wait && !reader->waiter.armed) {
        reader->waiter =
            (struct gt_waiter){.next = queue->waiters, .wake = wake, .arg = arg, .armed = true};
        queue->waiters = &reader->waiter;
    }
    pthread_mutex_unlock(&queue->lock);
    if (wait && reader->touched > IDLE_KEEP)
        unmap(reader);
    return wait;
}

/* The segment that holds @p offset. Thread: holds queue->lock; offset is within what is committed.
 */
static struct gt_segment *find_segment(const struct gt_queue *queue, int64_t offset)
{
    size_t low = 0, high = queue->segment_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (queue->segments[middle]->committed.base_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return queue->segments[low];
}

/* Find out where to read. *ret_some false: nothing there yet. */
static int locate(struct gt_embedded_reader *reader, bool *ret_some, struct gantry_err *err)
{
    struct gt_queue *queue = reader->queue;
    struct gt_segment *found = NULL;
    int64_t missed = 0;
    int code = 0;
    *ret_some = false;
    pthread_mutex_lock(&queue->lock);
    if (queue->damage != NULL) {
        code = gantry_err_set(err, GANTRY_CORRUPT, "%s", queue->damage);
    } else if (reader->offset < queue->end_offset) {
        int64_t begin = queue->segments[0]->committed.base_offset;
        if (reader->offset < begin) {
            missed = begin - reader->offset;
            reader->offset = begin;
        }
        found = reader->segment;
        if (found == NULL || missed > 0 || reader->offset >= found->committed.end_offset)
            found = find_segment(queue, reader->offset);
        reader->committed = found->committed.bytes;
        reader->end_offset = found->committed.end_offset;
        if (found != reader->segment)
            gt_segment_ref(found);
        *ret_some = true;
    }
    pthread_mutex_unlock(&queue->lock);
    if (missed > 0)
        gt_warn("topic",
                "retention deleted messages before they were read topic=%s queue=%u count=%lld",
                queue->topic->api.name, queue->index, (long long)missed);
    if (found != NULL && found != reader->segment) {
        leave_segment(reader);
        reader->segment = found;
        reader->at = GT_SEGMENT_HEADER;
    }
    return code;
}

static bool is_listed(struct gt_queue *queue, const struct gt_segment *segment)
{
    bool listed = false;
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < queue->segment_count && !listed; i++)
        listed = queue->segments[i] == segment;
    pthread_mutex_unlock(&queue->lock);
    return listed;
}

/* GANTRY_AGAIN: the segment is no more, find another. */
static int map_segment(struct gt_embedded_reader *reader, struct gantry_err *err)
{
    struct gt_segment *segment = reader->segment;
    if (reader->map != NULL && reader->map_len < (size_t)reader->committed)
        unmap(reader);
    if (reader->fd < 0) {
        reader->fd = open(segment->path, O_RDONLY | O_CLOEXEC);
        if (reader->fd < 0) {
            int code = gt_file_error(err, "open", segment->path);
            if (code != GANTRY_NOT_FOUND)
                return code;
            if (!is_listed(reader->queue, segment)) { /* retention was faster */
                leave_segment(reader);
                return GANTRY_AGAIN;
            }
            return gt_queue_damaged(reader->queue, segment->path, 0, "the file is gone", err);
        }
    }
    struct stat st;
    if (fstat(reader->fd, &st) != 0)
        return gt_file_error(err, "read", segment->path);
    if (st.st_size < reader->committed)
        return gt_queue_damaged(reader->queue, segment->path, st.st_size, "the file was cut short",
                                err);
    if (reader->map == NULL) {
        int64_t len = reader->queue->topic->topics->settings.segment_bytes;
        if (len < reader->committed)
            len = reader->committed;
        void *map = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, reader->fd, 0);
        if (map == MAP_FAILED)
            return gt_file_error(err, "map", segment->path);
        reader->map = map;
        reader->map_len = (size_t)len;
        struct gantry_err reason;
        if (gt_segment_header_check(map, (size_t)reader->committed, segment->base, &reason) != 0)
            return gt_queue_damaged(reader->queue, segment->path, 0, reason.text, err);
    }
    return 0;
}

/* Pass over a stretch that `gantry topic repair --settle` gave up. False: there is none here. */
static bool skip_gap(struct gt_embedded_reader *reader)
{
    const struct gt_queue *queue = reader->queue;
    const struct gt_gap_record *gap =
        gt_gap_at(queue->gaps, queue->gap_count, reader->segment->base, reader->at, reader->offset);
    if (gap == NULL)
        return false;
    if (gap->end_offset > reader->offset) {
        gt_warn("topic", "passing over damaged messages topic=%s queue=%u count=%lld",
                queue->topic->api.name, queue->index,
                (long long)(gap->end_offset - reader->offset));
        reader->offset = gap->end_offset;
    }
    reader->at = gap->to;
    return true;
}

/* Go to the batch that holds reader->offset: at once in the common case, else from header to
 * header. *ret_found is false when this segment ends before. */
static int find_batch(struct gt_embedded_reader *reader, bool *ret_found, struct gantry_err *err)
{
    *ret_found = false;
    for (;;) {
        if (skip_gap(reader))
            continue;
        if (reader->at >= reader->committed)
            return 0;
        const char *data = reader->map + reader->at;
        struct gantry_err reason = {0};
        int code = gt_batch_header_read(data, (size_t)(reader->committed - reader->at),
                                        &reader->batch, &reason);
        if (code == 0 && reader->batch.base_offset > reader->offset)
            code = gantry_err_set(&reason, GANTRY_CORRUPT,
                                  "the batch begins at offset %lld, expected %lld",
                                  (long long)reader->batch.base_offset, (long long)reader->offset);
        if (code != 0)
            return gt_queue_damaged(reader->queue, reader->segment->path, reader->at, reason.text,
                                    err);
        if (reader->offset < reader->batch.base_offset + reader->batch.count) {
            *ret_found = true;
            return 0;
        }
        reader->at += reader->batch.length;
    }
}

int gt_embedded_reader_next(struct gt_reader *api, struct gt_arena *arena,
                            const struct gt_message **ret, size_t *ret_count, int64_t *ret_first,
                            struct gantry_err *err)
{
    struct gt_embedded_reader *reader = (struct gt_embedded_reader *)api;
    *ret_count = 0;
    reader->batch.length = 0;
    bool found = false;
    while (!found) {
        bool some;
        int code = locate(reader, &some, err);
        if (code != 0 || !some)
            return code;
        code = map_segment(reader, err);
        if (code == GANTRY_AGAIN)
            continue;
        if (code == 0)
            code = find_batch(reader, &found, err);
        if (code != 0)
            return code;
        if (!found && reader->offset < reader->end_offset)
            return gt_queue_damaged(reader->queue, reader->segment->path, reader->at,
                                    "messages are missing", err);
    }
    const char *data = reader->map + reader->at;
    struct gt_message *messages;
    struct gantry_err reason = {0};
    int code = gt_batch_check(data, &reader->batch, &reason);
    if (code == 0)
        code = gt_batch_read(data, &reader->batch, arena, &messages, &reason);
    if (code == GANTRY_CORRUPT)
        return gt_queue_damaged(reader->queue, reader->segment->path, reader->at, reason.text, err);
    if (code != 0)
        return gantry_err_set(err, code, "%s", reason.text);
    reader->touched += reader->batch.length;
    size_t skip = (size_t)(reader->offset - reader->batch.base_offset);
    *ret = messages + skip;
    *ret_count = reader->batch.count - skip;
    *ret_first = reader->offset;
    return 0;
}

void gt_embedded_reader_took(struct gt_reader *api, size_t count)
{
    struct gt_embedded_reader *reader = (struct gt_embedded_reader *)api;
    reader->offset += (int64_t)count;
    if (reader->batch.length != 0 &&
        reader->offset >= reader->batch.base_offset + reader->batch.count) {
        reader->at += reader->batch.length;
        reader->batch.length = 0;
    }
}

void gt_embedded_reader_state(const struct gt_reader *api, struct gt_buf *buf)
{
    (void)api;
    (void)buf; /* an offset says all */
}

void gt_embedded_reader_committed(struct gt_reader *api, int64_t offset)
{
    (void)api;
    (void)offset; /* retention looks into the store */
}
