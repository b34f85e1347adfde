/* SPDX-License-Identifier: Apache-2.0 */
/* A source in the native host: poll as long as there is credit, send, hear of commits. */
#include "host/native.h"

#include "plugin/plugin_check.h"
#include <stdlib.h>

enum { BATCH_BYTES = 256 << 10 };

struct source {
    struct gantry_batch batch; /* first; its memory is the task's arena */
    struct gt_native_task *task;
    int64_t seq;
    int64_t *under_way; /* owned; a ring: the last frame of each batch that is not committed */
    size_t first, count, cap;
    bool more; /* poll gave something: there may be more at once */
};

static void *batch_alloc(struct gantry_batch *batch, size_t size)
{
    return gt_arena_alloc(&((struct source *)batch)->task->arena, size);
}

static int batch_grow(struct gantry_batch *batch)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity != 0 ? batch->capacity * 2 : 512;
        struct gantry_record *records = realloc(batch->records, capacity * sizeof *records);
        if (records == NULL)
            return GANTRY_NO_MEMORY;
        batch->records = records;
        batch->capacity = capacity;
    }
    if (batch->mark_count == batch->mark_capacity) {
        size_t capacity = batch->mark_capacity != 0 ? batch->mark_capacity * 2 : 4;
        struct gantry_mark *marks = realloc(batch->marks, capacity * sizeof *marks);
        if (marks == NULL)
            return GANTRY_NO_MEMORY;
        batch->marks = marks;
        batch->mark_capacity = capacity;
    }
    return 0;
}

/* --- Sending a batch --- */

/* Marks that this frame is the first to cover. *at is the first that was not sent. */
static void put_marks(struct gt_buf *buf, const struct gantry_batch *batch, size_t before,
                      size_t end, size_t *at)
{
    size_t from = *at;
    while (*at < batch->mark_count && batch->marks[*at].covers <= end)
        ++*at;
    gt_mp_put_array(buf, (uint32_t)(*at - from));
    for (size_t i = from; i < *at; i++) {
        const struct gantry_mark *mark = &batch->marks[i];
        gt_mp_put_array(buf, 3);
        gt_mp_put_int(buf, mark->covers > before ? (int64_t)(mark->covers - before) : 0);
        gt_mp_put_bytes(buf, mark->partition);
        gt_mp_put_bytes(buf, mark->position);
    }
}

/* False: STOP came first. */
static bool await_credit(struct gt_native_task *task)
{
    pthread_mutex_lock(&task->lock);
    while (task->credit <= 0 && !task->stop)
        pthread_cond_wait(&task->cond, &task->lock);
    bool some = task->credit > 0;
    pthread_mutex_unlock(&task->lock);
    return some;
}

/* One RECORDS frame; returns how many records are in it, or an error. */
static int add_frame(struct source *source, size_t sent, size_t *mark, struct gt_frames *frames,
                     int64_t *ret_credit)
{
    struct gt_native_task *task = source->task;
    struct gantry_batch *batch = &source->batch;
    struct gt_frame *whole = NULL;
    struct gt_buf buf;
    int done = 0;
    gt_native_begin(&buf, GT_FRAME_RECORDS, task->channel, 5);
    gt_mp_put_int(&buf, source->seq + 1);
    if (batch->count == 0)
        gt_mp_put_array(&buf, 0);
    else
        done = gt_records_put(&buf, &task->schemas_out, task->channel, batch->records + sent,
                              batch->count - sent, true, frames, ret_credit);
    if (done >= 0) {
        put_marks(&buf, batch, sent, sent + (size_t)done, mark);
        int code = gt_frame_end(&buf, task->channel, &whole);
        done = code == 0 ? done : code;
    } else {
        gt_buf_deinit(&buf);
    }
    if (done < 0)
        return done;
    source->seq++;
    for (struct gt_frame *next; whole != NULL; whole = next) {
        next = whole->next;
        gt_frames_add(frames, whole);
    }
    return done;
}

/* Whether a worker takes them as one batch. */
static bool is_too_large(const struct gt_frames *frames)
{
    size_t bytes = 0;
    for (const struct gt_frame *frame = frames->head; frame != NULL; frame = frame->next)
        bytes += frame->len;
    return bytes > gt_native_record_max();
}

/* A batch is one to its source: the position that it marks may stand for all of it. So several
 * frames are announced, for the worker to commit them at once. What STOP leaves is not committed,
 * and comes again. */
static bool send_batch(struct source *source)
{
    struct gt_native_task *task = source->task;
    struct gantry_batch *batch = &source->batch;
    struct gt_frames frames;
    size_t sent = 0, mark = 0;
    int64_t count = 0, credit = 0;
    if (!await_credit(task))
        return false;
    gt_frames_init(&frames);
    do {
        int64_t more = 0;
        int done = add_frame(source, sent, &mark, &frames, &more);
        count++;
        if (done >= 0 && count > 1 && sent + (size_t)done == batch->count && is_too_large(&frames))
            done = GANTRY_TOO_LARGE;
        if (done < 0) {
            struct gantry_err err;
            gt_frames_deinit(&frames);
            gantry_err_set(&err, done,
                           "record %zu, or the batch up to it, is too large (host.record.max), or "
                           "memory is out",
                           sent);
            gt_native_fail(task, done, &err);
            return false;
        }
        sent += (size_t)done;
        credit += more;
    } while (sent < batch->count);
    pthread_mutex_lock(&task->lock);
    task->credit -= credit;
    pthread_mutex_unlock(&task->lock);
    if (count > 1)
        gt_native_number(task, GT_FRAME_TOGETHER, count);
    gt_native_send(frames.head);
    return true;
}

static bool note_batch(struct source *source)
{
    if (source->count == source->cap) {
        size_t cap = source->cap != 0 ? 2 * source->cap : 64;
        int64_t *grown = malloc(cap * sizeof *grown);
        if (grown == NULL)
            return false;
        for (size_t i = 0; i < source->count; i++)
            grown[i] = source->under_way[(source->first + i) % source->cap];
        free(source->under_way);
        source->under_way = grown;
        source->first = 0;
        source->cap = cap;
    }
    source->under_way[(source->first + source->count++) % source->cap] = source->seq;
    return true;
}

static void poll(struct source *source)
{
    struct gt_native_task *task = source->task;
    struct gantry_batch *batch = &source->batch;
    struct gantry_err err = {0};
    gt_arena_reset(&task->arena);
    batch->count = batch->mark_count = 0;
    gt_native_enter(task);
    int code = task->connector->poll(task->instance, batch, &err);
    gt_native_leave(task);
    if (code != 0) {
        gt_native_fail(task, code, &err);
        return;
    }
    source->more = batch->count > 0 || batch->mark_count > 0;
    if (batch->mark_count > GT_FRAME_MARK_COUNT ||
        batch->count + batch->mark_count > GT_BATCH_COUNT) {
        gantry_err_set(&err, GANTRY_TOO_LARGE,
                       "a batch of %zu records and %zu marks; %d together and %d marks are allowed",
                       batch->count, batch->mark_count, GT_BATCH_COUNT, GT_FRAME_MARK_COUNT);
        gt_native_fail(task, GANTRY_TOO_LARGE, &err);
        return;
    }
    if (gt_marks_check(batch, &err) != 0) {
        gt_native_fail(task, GANTRY_INVALID, &err);
        return;
    }
    if (source->more && send_batch(source) && !note_batch(source)) {
        gantry_err_set(&err, GANTRY_NO_MEMORY, "no memory for a batch");
        gt_native_fail(task, GANTRY_NO_MEMORY, &err);
    }
}

/* --- Commits --- */

static void committed(struct source *source, int64_t seq)
{
    struct gt_native_task *task = source->task;
    struct gantry_err err = {0};
    while (source->count > 0 && source->under_way[source->first] <= seq && !task->failed) {
        source->first = (source->first + 1) % source->cap;
        source->count--;
        if (task->connector->committed == NULL)
            continue;
        gt_native_enter(task);
        int code = task->connector->committed(task->instance, &err);
        gt_native_leave(task);
        if (code != 0)
            gt_native_fail(task, code, &err);
    }
}

static void take_frame(struct source *source, struct gt_frame *frame)
{
    struct gt_frame_head head;
    (void)gt_frame_read(&head, frame->data, frame->len); /* was read before: it is one */
    if (head.type == GT_FRAME_COMMITTED)
        committed(source, gt_mp_item_int(&head.items, 0));
    gt_frame_free(frame);
}

/* There is something to poll, and no credit: wait for credit, a frame or STOP. */
static void await_anything(struct gt_native_task *task)
{
    pthread_mutex_lock(&task->lock);
    while (task->credit <= 0 && !task->stop && task->in.head == NULL)
        pthread_cond_wait(&task->cond, &task->lock);
    pthread_mutex_unlock(&task->lock);
}

void gt_native_source(struct gt_native_task *task)
{
    struct source source = {
        .batch = {.struct_size = sizeof source.batch,
                  .max_bytes = BATCH_BYTES,
                  .alloc = batch_alloc,
                  .grow = batch_grow},
        .task = task,
        .more = true,
    };
    for (;;) {
        pthread_mutex_lock(&task->lock);
        if (!source.more && !task->woken && task->in.head == NULL && !task->stop) {
            pthread_mutex_unlock(&task->lock);
            gt_native_tell_lag(task, true);
            pthread_mutex_lock(&task->lock);
            source.more = gt_native_wait(task);
        }
        source.more = source.more || task->woken;
        task->woken = false;
        struct gt_frame *frame = gt_frames_take(&task->in);
        bool stop = task->stop, credit = task->credit > 0;
        pthread_mutex_unlock(&task->lock);
        if (stop || task->failed) {
            gt_frame_free(frame);
            break;
        }
        if (frame != NULL)
            take_frame(&source, frame);
        else if (source.more && credit)
            poll(&source);
        else if (source.more)
            await_anything(task);
    }
    free(source.batch.records);
    free(source.batch.marks);
    free(source.under_way);
}
