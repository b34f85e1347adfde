/* SPDX-License-Identifier: Apache-2.0 */
/* A sink in the native host.
 *
 * Frames are taken in order, with one exception: while the connector takes no record, because it is
 * full or wants a commit first, CHECKPOINT, FLUSH and COMMITTED overtake the PUT frames that wait,
 * whose queues are then kept back in FLUSHED. Once all of them are taken the worker is asked for a
 * commit (COMMIT). */
#include "host/native.h"

#include "base/clock.h"

#include <stdlib.h>

enum { VAIN_COMMITS_MAX = 16 };

/* A queue of which something waits, or that drops what comes until `offset`. */
struct queue_mark {
    char *topic; /* owned */
    uint32_t queue;
    int64_t offset;
    struct queue_mark *next;
};

struct state_output {
    struct gantry_output api; /* first */
    struct gt_buf buf;
};

struct sink {
    struct gt_native_task *task;
    /* The PUT frame in hand. */
    struct gt_frame *frame;
    struct gantry_record *records; /* in the task's arena */
    size_t count, taken;
    int64_t frame_credit; /* what its records count */

    bool looks;            /* the connector was woken: it has something to look at */
    bool full;             /* until it wakes us */
    bool wants_checkpoint; /* it asked for a commit, and no CHECKPOINT came since */
    int64_t wanted_seq;    /* that commit; 0: none is waited for */
    int64_t seq;           /* of the last CHECKPOINT */
    bool kept_back;        /* since the last one records wait that it had to leave out */
    int vain;              /* commits asked for in turn, with no record taken */
    bool flush_elsewhere;  /* the connector has one done */
    struct state_output state;
    struct queue_mark *limits;  /* of the last CHECKPOINT */
    struct queue_mark *seeking; /* what comes for these is dropped */

    /* flush() beside put(). */
    pthread_t flusher;
    bool flusher_runs;
    bool flush_asked, flush_done, flush_end; /* guarded by the task's lock */
    int flush_code;
    struct gantry_err flush_err;
    pthread_cond_t flush_cond;
};

static void fail(struct sink *sink, int code, struct gantry_err *err)
{
    gt_native_fail(sink->task, code, err);
}

static void out_of_memory(struct sink *sink)
{
    struct gantry_err err = {0};
    gantry_err_set(&err, GANTRY_NO_MEMORY, "out of memory");
    fail(sink, GANTRY_NO_MEMORY, &err);
}

/* --- Marks of queues --- */

static struct queue_mark *find_mark(struct queue_mark *list, struct gantry_view topic,
                                    uint32_t queue)
{
    while (list != NULL &&
           (list->queue != queue || !gantry_view_equal(topic, gantry_view_of(list->topic))))
        list = list->next;
    return list;
}

static bool add_mark(struct queue_mark **list, struct gantry_view topic, uint32_t queue,
                     int64_t offset)
{
    struct queue_mark *mark = malloc(sizeof *mark);
    char *copy = strndup(topic.data != NULL ? topic.data : "", topic.len);
    if (mark == NULL || copy == NULL) {
        free(mark);
        free(copy);
        return false;
    }
    *mark = (struct queue_mark){copy, queue, offset, *list};
    *list = mark;
    return true;
}

static void free_marks(struct queue_mark **list)
{
    while (*list != NULL) {
        struct queue_mark *mark = *list;
        *list = mark->next;
        free(mark->topic);
        free(mark);
    }
}

static void remove_mark(struct queue_mark **list, const struct queue_mark *mark)
{
    while (*list != mark)
        list = &(*list)->next;
    struct queue_mark *found = *list;
    *list = found->next;
    free(found->topic);
    free(found);
}

/* --- What the context offers; the thread is the task's --- */

static void send_queue(struct gantry_task_context *ctx, enum gt_frame_type type, const char *topic,
                       uint32_t queue, int64_t offset, bool held)
{
    struct gt_native_task *task =
        (struct gt_native_task *)((char *)ctx - offsetof(struct gt_native_task, ctx));
    struct gt_buf buf;
    gt_native_begin(&buf, type, task->channel, 5);
    gt_mp_put_text(&buf, topic);
    gt_mp_put_int(&buf, queue);
    if (type == GT_FRAME_HOLD)
        gt_mp_put_bool(&buf, held);
    else
        gt_mp_put_int(&buf, offset);
    gt_native_end(&buf, task->channel);
}

static void ctx_hold(struct gantry_task_context *ctx, const char *topic, uint32_t queue, bool held)
{
    send_queue(ctx, GT_FRAME_HOLD, topic, queue, 0, held);
}

static struct sink *sink_of(struct gantry_task_context *ctx)
{
    return ((struct gt_native_task *)((char *)ctx - offsetof(struct gt_native_task, ctx)))->own;
}

static int ctx_seek(struct gantry_task_context *ctx, const char *topic, uint32_t queue,
                    int64_t offset, struct gantry_err *err)
{
    struct sink *sink = sink_of(ctx);
    if (offset < 0)
        return gantry_err_set(err, GANTRY_INVALID, "queue %u of topic %s has no offset %lld", queue,
                              topic, (long long)offset);
    if (sink == NULL)
        return gantry_err_set(err, GANTRY_UNSUPPORTED, "the task has not started yet");
    struct queue_mark *mark = find_mark(sink->seeking, gantry_view_of(topic), queue);
    if (mark != NULL)
        mark->offset = offset;
    else if (!add_mark(&sink->seeking, gantry_view_of(topic), queue, offset))
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    send_queue(ctx, GT_FRAME_SEEK, topic, queue, offset, false);
    return 0;
}

static void ask_commit(struct gt_native_task *task)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_COMMIT, task->channel, 2);
    gt_native_end(&buf, task->channel);
}

static void want_commit(struct sink *sink)
{
    sink->wants_checkpoint = true;
    ask_commit(sink->task);
}

static void ctx_want_commit(struct gantry_task_context *ctx)
{
    if (sink_of(ctx) != NULL)
        want_commit(sink_of(ctx));
}

static int ctx_lay_aside(struct gantry_task_context *ctx, const struct gantry_record *record,
                         struct gantry_err *err)
{
    struct gt_native_task *task =
        (struct gt_native_task *)((char *)ctx - offsetof(struct gt_native_task, ctx));
    const char *topic = gantry_config_get(ctx->config, "errors.deadletterqueue.topic.name");
    struct gantry_record bytes = *record;
    struct gt_frames before; /* stays empty: there is no schema */
    struct gt_buf buf;
    int64_t credit;
    if (topic == NULL || *topic == '\0')
        return gantry_err_set(err, GANTRY_UNSUPPORTED,
                              "errors.deadletterqueue.topic.name is not set");
    bytes.schema = NULL;
    gt_frames_init(&before);
    gt_native_begin(&buf, GT_FRAME_ASIDE, task->channel, 6);
    gt_mp_put_text(&buf, record->topic != NULL ? record->topic : "");
    gt_mp_put_int(&buf, record->queue);
    gt_mp_put_int(&buf, record->offset);
    int done = gt_records_put(&buf, NULL, task->channel, &bytes, 1, false, &before, &credit);
    if (done < 0) {
        gt_buf_deinit(&buf);
        return gantry_err_set(err, done, "cannot lay a record of %zu bytes aside: %s",
                              record->value.len, gantry_error_text(done));
    }
    gt_native_end(&buf, task->channel);
    return 0;
}

void gt_native_sink_offer(struct gantry_task_context *ctx)
{
    ctx->lay_aside = ctx_lay_aside;
    ctx->hold = ctx_hold;
    ctx->seek = ctx_seek;
    ctx->want_commit = ctx_want_commit;
}

/* --- Checkpoint, flush, commit --- */

static int write_state(struct gantry_output *output, const void *data, size_t len)
{
    return gt_buf_add(&((struct state_output *)output)->buf, data, len);
}

static bool keep_back(struct sink *sink, struct gantry_view topic, uint32_t queue, int64_t offset)
{
    struct queue_mark *mark = find_mark(sink->limits, topic, queue);
    if (mark != NULL) {
        mark->offset = offset < mark->offset ? offset : mark->offset;
        return true;
    }
    return add_mark(&sink->limits, topic, queue, offset);
}

/* What waits is kept back: the rest of the frame in hand, and PUT frames behind it. Frames behind
 * the CHECKPOINT only say what is kept back anyway. */
static void note_waiting(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    bool ok = true;
    free_marks(&sink->limits);
    if (sink->frame != NULL && sink->taken < sink->count) {
        const struct gantry_record *record = &sink->records[sink->taken];
        ok = keep_back(sink, gantry_view_of(record->topic), record->queue, record->offset);
    }
    pthread_mutex_lock(&task->lock);
    for (struct gt_frame *frame = task->in.head; frame != NULL && ok; frame = frame->next) {
        struct gt_frame_head head;
        if (!gt_frame_read(&head, frame->data, frame->len) || head.type != GT_FRAME_PUT)
            continue;
        struct gantry_view topic = gt_mp_item_bytes(&head.items);
        uint32_t queue = (uint32_t)gt_mp_item_int(&head.items, 0);
        ok = keep_back(sink, topic, queue, gt_mp_item_int(&head.items, 0));
    }
    pthread_mutex_unlock(&task->lock);
    if (!ok)
        out_of_memory(sink);
}

static void tell_state(struct sink *sink)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_STATE, sink->task->channel, 4);
    gt_mp_put_int(&buf, sink->seq);
    gt_mp_put_bytes_or_nil(&buf, gt_buf_view(&sink->state.buf));
    if (sink->state.buf.error != 0)
        buf.error = sink->state.buf.error;
    gt_native_end(&buf, sink->task->channel);
    gt_buf_deinit(&sink->state.buf);
}

static void checkpoint(struct sink *sink, int64_t seq, bool overtakes)
{
    struct gt_native_task *task = sink->task;
    struct gantry_err err = {0};
    int code = 0;
    sink->seq = seq;
    if (overtakes)
        note_waiting(sink);
    else
        free_marks(&sink->limits);
    if (sink->wants_checkpoint)
        sink->wanted_seq = seq;
    sink->wants_checkpoint = false;
    gt_buf_clear(&sink->state.buf);
    if (task->connector->checkpoint != NULL) {
        gt_native_enter(task);
        code = task->connector->checkpoint(task->instance, &sink->state.api, &err);
        gt_native_leave(task);
    }
    if (code != 0)
        fail(sink, code, &err);
    else if (!GANTRY_HAS(task->connector, flush_done)) /* whose end may add to the state */
        tell_state(sink);
}

struct limits_output {
    struct gantry_limits api; /* first */
    struct sink *sink;
};

static int add_limit(struct gantry_limits *limits, const char *topic, uint32_t queue,
                     int64_t offset)
{
    struct sink *sink = ((struct limits_output *)limits)->sink;
    return keep_back(sink, gantry_view_of(topic), queue, offset) ? 0 : GANTRY_NO_MEMORY;
}

static bool put_waits(struct gt_native_task *task)
{
    struct gt_frame_head head;
    bool waits = false;
    pthread_mutex_lock(&task->lock);
    for (struct gt_frame *frame = task->in.head; frame != NULL && !waits; frame = frame->next)
        waits = gt_frame_read(&head, frame->data, frame->len) && head.type == GT_FRAME_PUT;
    pthread_mutex_unlock(&task->lock);
    return waits;
}

/* What was kept back is taken by now: the worker is asked for a commit of it. */
static void ask_for_kept_back(struct sink *sink)
{
    if (!sink->kept_back || sink->frame != NULL || put_waits(sink->task))
        return;
    sink->kept_back = false;
    ask_commit(sink->task);
}

/* It is durable. */
static void tell_flushed(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    struct limits_output output = {{sizeof output.api, add_limit}, sink};
    struct gantry_err err = {0};
    struct gt_buf buf;
    uint32_t count = 0;
    sink->kept_back = sink->limits != NULL; /* ours: what the connector keeps back is its affair */
    if (GANTRY_HAS(task->connector, limit)) {
        gt_native_enter(task);
        int code = task->connector->limit(task->instance, &output.api, &err);
        gt_native_leave(task);
        if (code != 0) {
            fail(sink, code, &err);
            return;
        }
    }
    for (const struct queue_mark *mark = sink->limits; mark != NULL; mark = mark->next)
        count++;
    gt_native_begin(&buf, GT_FRAME_FLUSHED, task->channel, 4);
    gt_mp_put_int(&buf, sink->seq);
    gt_mp_put_array(&buf, count);
    for (const struct queue_mark *mark = sink->limits; mark != NULL; mark = mark->next) {
        gt_mp_put_array(&buf, 3);
        gt_mp_put_text(&buf, mark->topic);
        gt_mp_put_int(&buf, mark->queue);
        gt_mp_put_int(&buf, mark->offset);
    }
    gt_native_end(&buf, task->channel);
    ask_for_kept_back(sink); /* with a flush beside put() it may be taken already */
}

static void *run_flusher(void *arg)
{
    struct sink *sink = arg;
    struct gt_native_task *task = sink->task;
    pthread_mutex_lock(&task->lock);
    for (;;) {
        while (!sink->flush_asked && !sink->flush_end)
            pthread_cond_wait(&sink->flush_cond, &task->lock);
        if (!sink->flush_asked)
            break;
        sink->flush_asked = false;
        pthread_mutex_unlock(&task->lock);
        struct gantry_err err = {0};
        atomic_store_explicit(&task->flush_since_ms, gt_clock_mono_ns() / 1000000,
                              memory_order_relaxed);
        int code = task->connector->flush(task->instance, &err);
        atomic_store_explicit(&task->flush_since_ms, 0, memory_order_relaxed);
        pthread_mutex_lock(&task->lock);
        sink->flush_code = code;
        sink->flush_err = err;
        sink->flush_done = true;
        pthread_cond_signal(&task->cond);
    }
    pthread_mutex_unlock(&task->lock);
    return NULL;
}

static bool flush_beside(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    if ((task->connector->flags & GANTRY_CONNECTOR_CONCURRENT_FLUSH) == 0)
        return false;
    if (!sink->flusher_runs) {
        if (pthread_create(&sink->flusher, NULL, run_flusher, sink) != 0)
            return false; /* then not beside put() */
        sink->flusher_runs = true;
    }
    pthread_mutex_lock(&task->lock);
    sink->flush_asked = true;
    pthread_cond_signal(&sink->flush_cond);
    pthread_mutex_unlock(&task->lock);
    return true;
}

static void end_flush(struct sink *sink, int code, struct gantry_err *err)
{
    if (code != 0)
        fail(sink, code, err);
    else
        tell_flushed(sink);
}

static void flush(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    const struct gantry_connector *connector = task->connector;
    struct gantry_err err = {0};
    if (GANTRY_HAS(connector, flush_done)) {
        sink->flush_elsewhere = true; /* the loop looks */
        return;
    }
    if (connector->flush == NULL) {
        tell_flushed(sink);
        return;
    }
    if (flush_beside(sink))
        return;
    gt_native_enter(task);
    int code = connector->flush(task->instance, &err);
    gt_native_leave(task);
    end_flush(sink, code, &err);
}

/* A flush that the connector has done elsewhere. */
static void look_at_flush(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    struct gantry_err err = {0};
    gt_native_enter(task);
    int code = task->connector->flush_done(task->instance, &sink->state.api, &err);
    gt_native_leave(task);
    if (code == GANTRY_AGAIN)
        return;
    sink->flush_elsewhere = false;
    if (code == 0)
        tell_state(sink);
    end_flush(sink, code, &err);
}

static void committed(struct sink *sink, int64_t seq)
{
    struct gt_native_task *task = sink->task;
    struct gantry_err err = {0};
    if (sink->wanted_seq == seq)
        sink->wanted_seq = 0;
    if (task->connector->committed == NULL)
        return;
    gt_native_enter(task);
    int code = task->connector->committed(task->instance, &err);
    gt_native_leave(task);
    if (code != 0)
        fail(sink, code, &err);
}

/* --- Records --- */

static void end_frame(struct sink *sink)
{
    gt_frame_free(sink->frame);
    sink->frame = NULL;
    gt_schemas_in_forget(&sink->task->schemas_in);
    gt_native_number(sink->task, GT_FRAME_TAKEN, sink->frame_credit);
    ask_for_kept_back(sink);
}

/* Read a PUT frame, which is in hand then. */
static void take_put(struct sink *sink, struct gt_frame *frame, struct gt_frame_head *head)
{
    struct gt_native_task *task = sink->task;
    struct gt_record_reader reader = {
        .schemas = &task->schemas_in, .alloc = gt_native_alloc, .arg = task};
    struct gantry_view name = gt_mp_item_bytes(&head->items);
    uint32_t queue = (uint32_t)gt_mp_item_int(&head->items, 0);
    int64_t offset = gt_mp_item_int(&head->items, 0);
    uint32_t count = gt_mp_item_array(&head->items);
    gt_arena_reset(&task->arena);
    char *topic = gt_arena_copy(&task->arena, name);
    sink->records = gt_arena_alloc(&task->arena, (count + (size_t)1) * sizeof *sink->records);
    sink->frame = frame;
    sink->count = sink->taken = 0;
    int code = topic == NULL || sink->records == NULL ? GANTRY_NO_MEMORY : 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct gantry_record *record = &sink->records[i];
        code = gt_record_read(&head->mp, &reader, record);
        record->topic = topic;
        record->queue = queue;
        record->offset = offset + i;
    }
    sink->frame_credit = reader.credit;
    if (code == GANTRY_NO_MEMORY) {
        out_of_memory(sink);
        return;
    }
    if (code != 0 || !gt_mp_ok(&head->mp))
        gt_native_die(70, "the worker has sent a PUT that is malformed");
    const struct queue_mark *seeking = find_mark(sink->seeking, name, queue);
    if (seeking != NULL && count == 0 && seeking->offset == offset)
        remove_mark(&sink->seeking, seeking);
    else if (seeking == NULL)
        sink->count = count;
    if (sink->count == 0)
        end_frame(sink);
}

static void put(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    const struct gantry_record *records = sink->records + sink->taken;
    size_t count = sink->count - sink->taken;
    struct gantry_put_result result = {0};
    struct gantry_err err = {0};
    gt_native_enter(task);
    int code = task->connector->put(task->instance, records, count, &result, &err);
    gt_native_leave(task);
    if (code != 0 && code != GANTRY_AGAIN) {
        fail(sink, code, &err);
        return;
    }
    size_t taken = result.taken < count ? result.taken : count;
    bool moved = find_mark(sink->seeking, gantry_view_of(records->topic), records->queue) != NULL;
    sink->taken = moved ? sink->count : sink->taken + taken;
    sink->full = code == GANTRY_AGAIN && sink->taken < sink->count;
    sink->vain = taken > 0 || moved ? 0 : sink->vain + result.want_commit;
    if (result.want_commit)
        want_commit(sink);
    if (taken == 0 && code == 0 && !moved && !result.want_commit && !sink->wants_checkpoint) {
        gantry_err_set(&err, GANTRY_INVALID, "the connector took no record and asked for nothing");
        fail(sink, GANTRY_INVALID, &err);
    } else if (sink->vain > VAIN_COMMITS_MAX) {
        gantry_err_set(&err, GANTRY_INVALID,
                       "the connector asked for %d commits and took no record of topic %s",
                       VAIN_COMMITS_MAX, records->topic);
        fail(sink, GANTRY_INVALID, &err);
    } else if (sink->taken == sink->count) {
        end_frame(sink);
    }
}

/* --- The loop --- */

/* No record is put now, although one may be there. */
static bool holds(const struct sink *sink)
{
    return sink->wants_checkpoint || sink->wanted_seq != 0 || sink->frame != NULL;
}

static bool may_put(const struct sink *sink)
{
    return sink->frame != NULL && !sink->full && !sink->wants_checkpoint && sink->wanted_seq == 0;
}

/* The next frame to be taken, out of the list. With the lock. */
static struct gt_frame *next_frame(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    struct gt_frame_head head;
    if (!holds(sink))
        return gt_frames_take(&task->in);
    for (struct gt_frame **at = &task->in.head; *at != NULL; at = &(*at)->next) {
        struct gt_frame *frame = *at;
        if (!gt_frame_read(&head, frame->data, frame->len) ||
            (head.type != GT_FRAME_CHECKPOINT && head.type != GT_FRAME_FLUSH &&
             head.type != GT_FRAME_COMMITTED))
            continue;
        *at = frame->next;
        if (frame->next == NULL)
            task->in.tail = at;
        task->in.count--;
        return frame;
    }
    return NULL;
}

static void caught_up(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    struct gantry_err err = {0};
    if (task->connector->caught_up == NULL)
        return;
    gt_native_enter(task);
    int code = task->connector->caught_up(task->instance, &err);
    gt_native_leave(task);
    if (code != 0)
        fail(sink, code, &err);
}

static void take_frame(struct sink *sink, struct gt_frame *frame)
{
    struct gt_frame_head head;
    struct gantry_err err = {0};
    bool overtakes = holds(sink);
    (void)gt_frame_read(&head, frame->data, frame->len); /* was read before: it is one */
    switch (head.type) {
    case GT_FRAME_PUT:
        take_put(sink, frame, &head);
        return;
    case GT_FRAME_CHECKPOINT:
        checkpoint(sink, gt_mp_item_int(&head.items, 0), overtakes);
        break;
    case GT_FRAME_FLUSH:
        flush(sink);
        break;
    case GT_FRAME_COMMITTED:
        committed(sink, gt_mp_item_int(&head.items, 0));
        break;
    case GT_FRAME_CAUGHT_UP:
        caught_up(sink);
        break;
    case GT_FRAME_SCHEMA:
        if (gt_schemas_in_add(&sink->task->schemas_in, &head, &err) != 0)
            fail(sink, GANTRY_INVALID, &err);
        break;
    default:
        gt_native_die(70, "the worker has sent a frame of type %lld to a sink",
                      (long long)head.type);
    }
    gt_frame_free(frame);
}

static void look(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    struct gantry_err err = {0};
    sink->looks = false;
    gt_native_enter(task);
    int code = task->connector->look(task->instance, &err);
    gt_native_leave(task);
    if (code != 0)
        fail(sink, code, &err);
}

/* One thing at a time; false: STOP. */
static bool step(struct sink *sink)
{
    struct gt_native_task *task = sink->task;
    pthread_mutex_lock(&task->lock);
    bool stop = task->stop, flushed = sink->flush_done, woken = task->woken;
    sink->flush_done = task->woken = false;
    sink->full = sink->full && !woken;
    sink->looks = sink->looks || (woken && GANTRY_HAS(task->connector, look));
    struct gt_frame *frame = stop || flushed || sink->looks ? NULL : next_frame(sink);
    bool idle = !stop && !flushed && !sink->looks && frame == NULL && !may_put(sink) &&
                !(woken && sink->flush_elsewhere);
    if (idle)
        gt_native_sleep(task);
    pthread_mutex_unlock(&task->lock);
    if (stop)
        return false;
    if (flushed)
        end_flush(sink, sink->flush_code, &sink->flush_err);
    else if (sink->looks)
        look(sink);
    else if (frame != NULL)
        take_frame(sink, frame);
    else if (may_put(sink))
        put(sink);
    if (sink->flush_elsewhere && !task->failed && !idle)
        look_at_flush(sink);
    return !task->failed;
}

void gt_native_sink(struct gt_native_task *task)
{
    struct sink sink = {.task = task, .state.api = {sizeof sink.state.api, write_state}};
    gt_buf_init(&sink.state.buf, gt_native_record_max() / 2);
    pthread_cond_init(&sink.flush_cond, NULL);
    task->own = &sink;
    while (step(&sink)) {
    }
    if (sink.flusher_runs) {
        pthread_mutex_lock(&task->lock);
        sink.flush_end = true;
        pthread_cond_signal(&sink.flush_cond);
        pthread_mutex_unlock(&task->lock);
        pthread_join(sink.flusher, NULL);
    }
    task->own = NULL;
    gt_frame_free(sink.frame);
    free_marks(&sink.limits);
    free_marks(&sink.seeking);
    gt_buf_deinit(&sink.state.buf);
    pthread_cond_destroy(&sink.flush_cond);
}
