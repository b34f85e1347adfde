/* SPDX-License-Identifier: Apache-2.0 */
/* Appending: encode, write, hand to the committer; and what the committer does with it.
 *
 * Messages are encoded before any lock is taken. Under the queue's append lock the batch gets its
 * offset and checksum, is written behind what is there, and its commit is submitted: so commits
 * come in the order of the file, which is what makes "everything up to here" a meaning of a
 * committed end.
 *
 * When a commit fails, its queue forgets everything that is not committed (a new epoch): later
 * batches would otherwise stand behind a hole. What was written stays in the file as unread bytes,
 * and the next append begins a new segment: a page whose sync failed is never trusted again. The
 * sources start again from their committed positions. */
#include "topic/embedded/queue.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SCRATCH_KEEP = 4 << 20, /* a larger scratch is given back after use */
};

struct embedded_writer {
    struct gt_writer api; /* first */
    uint32_t task;
    atomic_bool broken; /* an append has failed */
};

/* Where one batch of an append went. */
struct place {
    struct gt_queue *queue;
    struct gt_segment *segment; /* writer reference */
    unsigned epoch;
    size_t from, len;                 /* in scratch->batches */
    struct gt_segment_record before;  /* segment->written before this batch */
    struct gt_segment_record written; /* and with it */
};

/* What an append has of the engine. */
struct places {
    size_t count;
    struct place items[];
};

static void trim_scratch(struct gt_append_scratch *scratch)
{
    if (scratch->batches.cap > SCRATCH_KEEP || scratch->raw.cap > SCRATCH_KEEP) {
        gt_append_scratch_deinit(scratch);
        gt_append_scratch_init(scratch);
    }
}

/* --- The committer's side --- */

static int check_append(struct gt_commit *commit, struct gantry_err *err)
{
    const struct gt_append *append = (const struct gt_append *)commit;
    const struct places *places = append->own;
    const struct embedded_writer *writer = (const struct embedded_writer *)append->writer;
    if (writer != NULL && atomic_load(&writer->broken))
        return gantry_err_set(
            err, GANTRY_IO,
            "an earlier write of the same task failed; what came after it is sent "
            "again");
    for (size_t i = 0; i < places->count; i++) {
        const struct place *place = &places->items[i];
        if (atomic_load(&place->queue->epoch) != place->epoch)
            return gantry_err_set(
                err, GANTRY_IO,
                "an earlier write to topic %s failed; what came after it is sent again",
                place->queue->topic->api.name);
    }
    return 0;
}

/* The file's bytes, then each folder entry on the way to it that is not known to be durable. */
static int sync_place(struct place *place, uint64_t round, struct gantry_err *err)
{
    struct gt_segment *segment = place->segment;
    struct gt_queue *queue = place->queue;
    int code = 0;
    if (segment->synced_round != round)
        code = gt_file_sync(segment->fd, segment->path, "commit.segment-sync", err);
    if (code == 0 && !segment->folder_synced)
        code = gt_folder_sync(queue->folder, "commit.segment-folder-sync", err);
    if (code == 0 && !queue->folder_synced)
        code = gt_folder_sync(queue->topic->folder, "commit.queue-folder-sync", err);
    if (code == 0 && !queue->topic->folder_synced)
        code = gt_folder_sync(queue->topic->topics->folder, "commit.topic-folder-sync", err);
    if (code == 0) {
        segment->synced_round = round;
        segment->folder_synced = queue->folder_synced = queue->topic->folder_synced = true;
    }
    return code;
}

static int sync_append(struct gt_commit *commit, uint64_t round, struct gantry_err *err)
{
    struct places *places = ((struct gt_append *)commit)->own;
    int code = 0;
    for (size_t i = 0; i < places->count && code == 0; i++)
        code = sync_place(&places->items[i], round, err);
    return code;
}

static void publish_append(struct gt_commit *commit)
{
    struct places *places = ((struct gt_append *)commit)->own;
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = &places->items[i];
        struct gt_queue *queue = place->queue;
        atomic_store(&queue->topic->recorded, true);
        pthread_mutex_lock(&queue->lock);
        if (queue->segment_count == 0 ||
            queue->segments[queue->segment_count - 1] != place->segment) {
            (void)gt_queue_list_segment(queue,
                                        place->segment); /* room was made when it was created */
            queue->unlisted--;
        }
        place->segment->committed = place->written;
        queue->end_offset = place->written.end_offset;
        gt_queue_wake(queue);
        pthread_mutex_unlock(&queue->lock);
    }
}

static void abort_append(struct gt_commit *commit)
{
    struct gt_append *append = (struct gt_append *)commit;
    struct places *places = append->own;
    /* Checks run on this thread too: no append behind this one gets past them, however late it is
     * submitted. */
    struct embedded_writer *writer = (struct embedded_writer *)append->writer;
    if (writer != NULL)
        atomic_store(&writer->broken, true);
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = &places->items[i];
        struct gt_queue *queue = place->queue;
        pthread_mutex_lock(&queue->append);
        if (atomic_load(&queue->epoch) == place->epoch) {
            atomic_fetch_add(&queue->epoch, 1);
            pthread_mutex_lock(&queue->lock);
            queue->next_offset = queue->end_offset;
            queue->unlisted = 0;
            pthread_mutex_unlock(&queue->lock);
            /* A file without a committed byte stays: should the store have failed at the very end,
             * it may be committed all the same. The next creation or start removes it when it is
             * not. */
            gt_segment_writer_unref(queue->active);
            queue->active = NULL;
        }
        pthread_mutex_unlock(&queue->append);
    }
}

static void done_append(struct gt_commit *commit)
{
    struct gt_append *append = (struct gt_append *)commit;
    struct places *places = append->own;
    for (size_t i = 0; i < places->count; i++) {
        gt_segment_writer_unref(places->items[i].segment);
        places->items[i].segment = NULL;
    }
    append->done(append);
}

static const struct gt_commit_ops append_ops = {
    .check = check_append,
    .sync = sync_append,
    .publish = publish_append,
    .abort = abort_append,
    .done = done_append,
};

/* --- The appender's side --- */

/* Looking at the free space costs a system call: once in 50 ms is soon enough for a reserve of many
 * megabytes. */
static int check_space(struct gt_embedded *topics, struct gantry_err *err)
{
    int64_t now = gt_clock_mono_ns();
    if (now - atomic_load(&topics->free_checked_ns) > 50000000) {
        atomic_store(&topics->free_checked_ns, now);
        int64_t available = gt_disk_free(topics->folder);
        atomic_store(&topics->low_space,
                     available >= 0 && available < topics->settings.disk_reserve);
    }
    if (!atomic_load(&topics->low_space))
        return 0;
    return gantry_err_set(
        err, GANTRY_NO_SPACE,
        "less than disk.reserve (%lld MiB) is free on the file system of %s; free some space or "
        "lower disk.reserve",
        (long long)(topics->settings.disk_reserve >> 20), topics->folder);
}

static int create_segment(struct gt_queue *queue, struct gt_segment **ret, struct gantry_err *err)
{
    /* A broken store may have committed what it reported as failed: then the file below is not ours
     * to remove. */
    int code = gt_store_check(queue->topic->topics->store, err);
    if (code != 0)
        return code;
    struct gt_segment *segment = gt_segment_new(queue, queue->next_offset);
    if (segment == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a segment of topic %s",
                              queue->topic->api.name);
    if (!queue->folder_made) {
        /* Not synced here: the committer does it before the first commit that needs it. */
        if ((mkdir(queue->topic->folder, 0755) != 0 && errno != EEXIST) ||
            (mkdir(queue->folder, 0755) != 0 && errno != EEXIST)) {
            code = gt_file_error(err, "create", queue->folder);
            goto out;
        }
        queue->folder_made = true;
    }
    (void)gt_fault("segment.create");
    if (unlink(segment->path) != 0 &&
        errno != ENOENT) { /* left by an append that was never committed */
        code = gt_file_error(err, "remove", segment->path);
        goto out;
    }
    segment->fd = open(segment->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (segment->fd < 0) {
        code = gt_file_error(err, "create", segment->path);
        goto out;
    }
    uint8_t header[GT_SEGMENT_HEADER];
    gt_segment_header_write(header, queue->next_offset, gt_clock_wall_ms());
    code = gt_file_write_at(segment->fd, header, sizeof header, 0, segment->path, "segment.header",
                            err);
    if (code != 0) {
        (void)unlink(segment->path);
        goto out;
    }
    segment->written.bytes = GT_SEGMENT_HEADER;
    atomic_store(&segment->writers, 1);
    *ret = segment;
out:
    if (code != 0)
        gt_segment_unref(segment);
    return code;
}

/* Make room in the list for one more segment, so that publishing it cannot fail. */
static int make_room(struct gt_queue *queue, struct gantry_err *err)
{
    int code = 0;
    pthread_mutex_lock(&queue->lock);
    size_t need = queue->segment_count + queue->unlisted + 1;
    if (queue->segment_cap < need) {
        struct gt_segment **grown = realloc(queue->segments, need * 2 * sizeof(*grown));
        if (grown == NULL) {
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a segment of topic %s",
                                  queue->topic->api.name);
        } else {
            queue->segments = grown;
            queue->segment_cap = need * 2;
        }
    }
    if (code == 0)
        queue->unlisted++;
    pthread_mutex_unlock(&queue->lock);
    return code;
}

/* After a start, go on in the last segment. Nothing can stand behind its committed part: recovery
 * has looked. Thread: holds queue->append. */
static int resume_segment(struct gt_queue *queue, struct gantry_err *err)
{
    pthread_mutex_lock(&queue->lock);
    struct gt_segment *last = queue->segments[queue->segment_count - 1];
    pthread_mutex_unlock(&queue->lock);
    int fd = open(last->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return gt_file_error(err, "open", last->path);
    last->fd = fd;
    gt_segment_writer_ref(last);
    queue->active = last;
    queue->resume = false;
    return 0;
}

/* Have queue->active take @p len more bytes. Thread: holds queue->append. */
static int make_active(struct gt_queue *queue, size_t len, struct gantry_err *err)
{
    if (queue->resume) {
        int rc = resume_segment(queue, err);
        if (rc != 0)
            return rc;
    }
    struct gt_segment *active = queue->active;
    if (active != NULL &&
        (active->written.bytes == GT_SEGMENT_HEADER ||
         active->written.bytes + (int64_t)len <= queue->topic->topics->settings.segment_bytes))
        return 0;
    struct gt_segment *fresh = NULL;
    int code = create_segment(queue, &fresh, err);
    if (code != 0)
        return code;
    code = make_room(queue, err);
    if (code != 0) {
        gt_segment_writer_unref(fresh);
        return code;
    }
    gt_segment_writer_unref(active);
    queue->active = fresh;
    return 0;
}

/* Write one batch behind the queue's last one. Thread: holds queue->append. */
static int write_place(struct place *place, struct gt_append_scratch *scratch,
                       struct gantry_err *err)
{
    struct gt_queue *queue = place->queue;
    int code = gt_queue_check(queue, err);
    if (code == 0)
        code = make_active(queue, place->len, err);
    if (code != 0)
        return code;
    struct gt_segment *segment = queue->active;
    char *batch = scratch->batches.data + place->from;
    gt_batch_seal(batch, queue->next_offset);
    code = gt_file_write_at(segment->fd, batch, place->len, segment->written.bytes, segment->path,
                            "append.write", err);
    if (code != 0)
        return code;

    struct gt_batch_info info;
    code = gt_batch_header_read(batch, place->len, &info, err);
    if (code != 0)
        return code;
    place->before = segment->written;
    struct gt_segment_record *written = &segment->written;
    if (written->end_offset == written->base_offset) {
        written->first_ms = info.first_ms;
        written->last_ms = info.last_ms;
    }
    if (info.last_ms > written->last_ms)
        written->last_ms = info.last_ms;
    written->last_batch = written->bytes;
    written->bytes += (int64_t)place->len;
    written->end_offset += info.count;
    queue->next_offset = written->end_offset;
    place->written = *written;
    place->epoch = atomic_load(&queue->epoch);
    place->segment = segment;
    gt_segment_writer_ref(segment);
    return 0;
}

/* Take back what write_place did; the bytes in the file are overwritten by the next batch. Thread:
 * holds queue->append. */
static void unwrite_place(struct place *place)
{
    if (place->segment == NULL)
        return;
    place->segment->written = place->before;
    place->queue->next_offset = place->before.end_offset;
    gt_segment_writer_unref(place->segment);
    place->segment = NULL;
}

static void add_changes(struct gt_append *append)
{
    const struct places *places = append->own;
    struct gt_buf value;
    struct gt_key key;
    gt_buf_init(&value, 1024);
    for (size_t i = 0; i < places->count; i++) {
        const struct place *place = &places->items[i];
        const struct gt_embedded_topic *topic = place->queue->topic;
        if (!atomic_load(&topic->recorded)) {
            struct gt_topic_record record = {.queues = topic->queue_count,
                                             .created_ms = gt_clock_wall_ms()};
            gt_buf_clear(&value);
            gt_topic_record_write(&value, &record);
            gt_commit_put(&append->commit, GT_TABLE_TOPICS, gantry_view_of(topic->api.name),
                          gt_buf_view(&value));
        }
        gt_buf_clear(&value);
        gt_segment_record_write(&value, &place->written);
        gt_key_segment(&key, topic->api.name, place->queue->index, place->segment->base);
        gt_commit_put(&append->commit, GT_TABLE_SEGMENTS, gt_key_view(&key), gt_buf_view(&value));
    }
    if (value.error != 0 && append->commit.changes.error == 0)
        append->commit.changes.error = value.error;
    gt_buf_deinit(&value);
}

static int by_queue(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const struct place *)a)->queue;
    uintptr_t right = (uintptr_t)((const struct place *)b)->queue;
    return left < right ? -1 : left > right;
}

static int encode(struct gt_embedded *topics, struct gt_append *append,
                  const struct gt_append_part *parts, size_t part_count,
                  struct gt_append_scratch *scratch, struct gantry_err *err)
{
    struct places *places = calloc(1, sizeof *places + part_count * sizeof *places->items);
    if (places == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for an append");
    places->count = part_count;
    append->own = places;
    gt_buf_clear(&scratch->batches);
    for (size_t i = 0; i < part_count; i++) {
        struct place *place = &places->items[i];
        const struct gt_embedded_topic *topic = (const struct gt_embedded_topic *)parts[i].topic;
        place->queue = &topic->queues[parts[i].queue];
        place->from = scratch->batches.len;
        int code = gt_batch_write(&scratch->batches, parts[i].messages, parts[i].count,
                                  topics->compression, &scratch->raw);
        if (code != 0)
            return gantry_err_set(err, code, "cannot encode %zu messages for topic %s: %s",
                                  parts[i].count, topic->api.name, gantry_error_text(code));
        place->len = scratch->batches.len - place->from;
        append->bytes += place->len;
    }
    qsort(places->items, part_count, sizeof *places->items, by_queue);
    return 0;
}

/* Lock the queues of all places, in the order of their addresses, and note them in the scratch. */
static int lock_queues(struct places *places, struct gt_append_scratch *scratch,
                       struct gantry_err *err)
{
    gt_buf_clear(&scratch->locked);
    for (size_t i = 0; i < places->count; i++)
        gt_buf_add(&scratch->locked, &places->items[i].queue, sizeof(struct gt_queue *));
    if (scratch->locked.error != 0)
        return gantry_err_set(err, scratch->locked.error, "no memory for an append");
    for (size_t i = 0; i < places->count; i++)
        pthread_mutex_lock(&places->items[i].queue->append);
    return 0;
}

static void unlock_queues(struct gt_append_scratch *scratch)
{
    for (size_t at = 0; at < scratch->locked.len; at += sizeof(struct gt_queue *)) {
        struct gt_queue *queue;
        memcpy(&queue, scratch->locked.data + at, sizeof queue);
        pthread_mutex_unlock(&queue->append);
    }
}

static void release(struct gt_append *append)
{
    free(append->own);
}

int gt_embedded_submit(struct gt_topics *api, struct gt_append *append,
                       const struct gt_append_part *parts, size_t part_count,
                       struct gt_append_scratch *scratch, struct gantry_err *err)
{
    struct gt_embedded *topics = (struct gt_embedded *)api;
    append->commit.ops = &append_ops;
    append->release = release;
    int code = part_count > 0 ? check_space(topics, err) : 0;
    if (code == 0)
        code = encode(topics, append, parts, part_count, scratch, err);
    if (code != 0)
        return code;

    struct places *places = append->own;
    code = lock_queues(places, scratch, err);
    if (code != 0)
        return code;
    size_t written = 0;
    while (code == 0 && written < part_count)
        code = write_place(&places->items[written++], scratch, err);
    if (code == 0) {
        add_changes(append);
        (void)gt_fault("append.written");
        /* Once submitted the append is the committer's: it may be done and freed before the call
         * returns. */
        code = gt_store_submit(topics->store, &append->commit, err);
    }
    if (code != 0) {
        while (written > 0)
            unwrite_place(&places->items[--written]);
    }
    unlock_queues(scratch);
    trim_scratch(scratch);
    return code;
}

int gt_embedded_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                            struct gt_writer **ret, struct gantry_err *err)
{
    struct embedded_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the writer of connector %s",
                              spec->claim->connector);
    writer->api.engine = topics->engine;
    writer->task = spec->claim->task;
    *ret = &writer->api;
    return 0;
}

uint32_t gt_embedded_writer_queue(struct gt_writer *writer, struct gt_topic *topic, uint32_t number)
{
    uint32_t wanted =
        number != 0 ? (number - 1) & 0xffff : ((struct embedded_writer *)writer)->task;
    return wanted % gt_topic_queues(topic);
}
