/* SPDX-License-Identifier: Apache-2.0 */
/* Sink tasks in a host. put() encodes records into PUT frames as long as there is credit; what the
 * connector keeps of its commits comes back with STATE and FLUSHED. */
#include "host/proxy.h"

#include <stdlib.h>

enum { STATE_MAX = 1 << 20, LIMITS_MAX = 1 << 16 };

/* What FLUSHED keeps back. */
struct kept_back {
    char *topic; /* owned */
    uint32_t queue;
    int64_t offset;
};

struct sink_proxy {
    struct gt_proxy base; /* first */
    struct gt_schemas_out schemas;
    int64_t seq; /* of the last checkpoint */
    bool state_came, flush_came;
    struct gt_buf state;
    struct kept_back *limits; /* owned */
    size_t limit_count;
};

static void forget_limits(struct sink_proxy *sink)
{
    for (size_t i = 0; i < sink->limit_count; i++)
        free(sink->limits[i].topic);
    free(sink->limits);
    sink->limits = NULL;
    sink->limit_count = 0;
}

static int start(void *plugin, struct gantry_task_context *ctx, void **ret, struct gantry_err *err)
{
    struct sink_proxy *sink = calloc(1, sizeof *sink);
    if (sink == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task");
    gt_buf_init(&sink->state, STATE_MAX);
    int code = gt_proxy_start(&sink->base, plugin, ctx, 0, err);
    if (code != 0) {
        free(sink);
        return code;
    }
    *ret = sink;
    return 0;
}

static int start_done(void *task, struct gantry_err *err)
{
    struct sink_proxy *sink = task;
    int64_t credit = 0;
    int code = gt_proxy_start_done(&sink->base, &credit, err);
    if (code == 0)
        gt_channel_credit(sink->base.channel, credit);
    return code;
}

static int stop_done(void *task)
{
    return gt_proxy_stop_done(task);
}

static void stop(void *task)
{
    struct sink_proxy *sink = task;
    gt_channel_close(sink->base.channel);
    gt_schemas_out_deinit(&sink->schemas);
    gt_buf_deinit(&sink->state);
    forget_limits(sink);
    free(sink);
}

/* --- What the host says --- */

static int on_state(struct sink_proxy *sink, struct gt_frame_head *head, struct gantry_err *err)
{
    int64_t seq = gt_mp_item_int(&head->items, 0);
    struct gantry_view state = gt_mp_item_bytes(&head->items);
    if (!gt_mp_ok(&head->mp) || seq != sink->seq || sink->state_came)
        return gt_proxy_broken(&sink->base, "a STATE that was not asked for", err);
    sink->state_came = true;
    gt_buf_clear(&sink->state);
    return gt_buf_add_view(&sink->state, state) == 0
               ? 0
               : gantry_err_set(err, sink->state.error,
                                "the connector's state has %zu bytes, %d "
                                "are allowed",
                                state.len, STATE_MAX);
}

static int read_limit(struct gt_mp *mp, struct kept_back *ret)
{
    struct gt_mp_items items = gt_mp_items(mp);
    struct gantry_view topic = gt_mp_item_bytes(&items);
    int64_t queue = gt_mp_item_int(&items, -1);
    ret->offset = gt_mp_item_int(&items, -1);
    gt_mp_items_end(&items);
    if (!gt_mp_ok(mp) || topic.data == NULL || queue < 0 || queue > UINT32_MAX || ret->offset < 0)
        return GANTRY_INVALID;
    ret->queue = (uint32_t)queue;
    ret->topic = strndup(topic.data, topic.len);
    return ret->topic != NULL ? 0 : GANTRY_NO_MEMORY;
}

static int on_flushed(struct sink_proxy *sink, struct gt_frame_head *head, struct gantry_err *err)
{
    int64_t seq = gt_mp_item_int(&head->items, 0);
    uint32_t count = gt_mp_item_array(&head->items);
    if (!gt_mp_ok(&head->mp) || seq != sink->seq || sink->flush_came)
        return gt_proxy_broken(&sink->base, "a FLUSHED that was not asked for", err);
    if (count > LIMITS_MAX) /* they are larger in our memory */
        return gt_proxy_broken(&sink->base, "FLUSHED keeps back more than 65536 queues", err);
    sink->flush_came = true;
    forget_limits(sink);
    if (count == 0)
        return 0;
    sink->limits = calloc(count, sizeof *sink->limits);
    int code = sink->limits != NULL ? 0 : GANTRY_NO_MEMORY;
    for (; sink->limit_count < count && code == 0; sink->limit_count += code == 0)
        code = read_limit(&head->mp, &sink->limits[sink->limit_count]);
    if (code == GANTRY_NO_MEMORY)
        return gantry_err_set(err, code, "no memory for what a host keeps back");
    return code == 0 ? 0 : gt_proxy_broken(&sink->base, "FLUSHED is malformed", err);
}

/* The host drops what it gets of the queue until an empty PUT comes with the offset: what is under
 * way might have it, too. */
static int confirm_seek(struct sink_proxy *sink, const char *topic, uint32_t queue, int64_t offset,
                        struct gantry_err *err)
{
    struct gt_buf buf;
    gt_channel_begin(sink->base.channel, &buf, GT_FRAME_PUT, 6);
    gt_mp_put_text(&buf, topic);
    gt_mp_put_int(&buf, queue);
    gt_mp_put_int(&buf, offset);
    gt_mp_put_array(&buf, 0);
    return gt_proxy_send(&sink->base, &buf, err);
}

static int on_queue(struct sink_proxy *sink, struct gt_frame_head *head, struct gantry_err *err)
{
    struct gantry_task_context *ctx = sink->base.ctx;
    struct gantry_view name = gt_mp_item_bytes(&head->items);
    int64_t queue = gt_mp_item_int(&head->items, -1);
    bool hold = head->type == GT_FRAME_HOLD;
    bool held = hold && gt_mp_item_bool(&head->items, false);
    int64_t offset = hold ? 0 : gt_mp_item_int(&head->items, -1);
    if (!gt_mp_ok(&head->mp) || name.data == NULL || queue < 0 || queue > UINT32_MAX || offset < 0)
        return gt_proxy_broken(&sink->base, "HOLD or SEEK is malformed", err);
    char *topic = strndup(name.data, name.len);
    if (topic == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for what a host asks");
    int code = 0;
    if (hold) {
        ctx->hold(ctx, topic, (uint32_t)queue, held);
    } else {
        code = ctx->seek(ctx, topic, (uint32_t)queue, offset, err);
        if (code == 0)
            code = confirm_seek(sink, topic, (uint32_t)queue, offset, err);
    }
    free(topic);
    return code;
}

static void *aside_alloc(void *arg, size_t size)
{
    return gt_arena_alloc(arg, size);
}

/* Records of one queue; their bytes are all of them: no schema is heard of. */
static int on_aside(struct sink_proxy *sink, struct gt_frame_head *head, struct gantry_err *err)
{
    static const struct gt_schemas_in no_schemas = {.count = 0};
    struct gantry_task_context *ctx = sink->base.ctx;
    struct gt_arena arena;
    struct gt_record_reader reader = {.schemas = &no_schemas, .alloc = aside_alloc, .arg = &arena};
    struct gantry_view name = gt_mp_item_bytes(&head->items);
    int64_t queue = gt_mp_item_int(&head->items, -1);
    int64_t offset = gt_mp_item_int(&head->items, -1);
    uint32_t count = gt_mp_item_array(&head->items);
    if (!gt_mp_ok(&head->mp) || name.data == NULL || queue < 0 || queue > UINT32_MAX ||
        offset < 0 || offset > INT64_MAX - UINT32_MAX)
        return gt_proxy_broken(&sink->base, "ASIDE is malformed", err);
    gt_arena_init(&arena, 4096, 0);
    char *topic = gt_arena_copy(&arena, name);
    int code = topic != NULL ? 0 : GANTRY_NO_MEMORY;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct gantry_record record;
        code = gt_record_read(&head->mp, &reader, &record);
        record.topic = topic;
        record.queue = (uint32_t)queue;
        record.offset = offset + i;
        if (code == 0 && (code = ctx->lay_aside(ctx, &record, err)) != 0)
            break;
    }
    gt_arena_deinit(&arena);
    if (code == GANTRY_NO_MEMORY)
        return gantry_err_set(err, code, "no memory for what a host lays aside");
    return code == GANTRY_INVALID ? gt_proxy_broken(&sink->base, "ASIDE is malformed", err) : code;
}

static int hear(struct sink_proxy *sink, struct gantry_err *err)
{
    struct gt_frame *frame = NULL;
    struct gt_frame_head head;
    int code;
    gt_proxy_turn(&sink->base);
    while ((code = gt_proxy_next(&sink->base, &frame, &head, err)) == 0 && frame != NULL) {
        if (head.type == GT_FRAME_STATE)
            code = on_state(sink, &head, err);
        else if (head.type == GT_FRAME_FLUSHED)
            code = on_flushed(sink, &head, err);
        else if (head.type == GT_FRAME_HOLD || head.type == GT_FRAME_SEEK)
            code = on_queue(sink, &head, err);
        else if (head.type == GT_FRAME_ASIDE)
            code = on_aside(sink, &head, err);
        else if (head.type == GT_FRAME_COMMIT)
            sink->base.ctx->want_commit(sink->base.ctx);
        else
            code = gt_proxy_frame(&sink->base, &head, err);
        gt_frame_free(frame);
        if (code != 0)
            break;
    }
    return code;
}

/* --- What the worker says --- */

static int put_frame(struct sink_proxy *sink, const struct gantry_record *records, size_t count,
                     struct gantry_err *err)
{
    int64_t credit = 0;
    struct gt_channel *channel = sink->base.channel;
    struct gt_frames before;
    struct gt_buf buf;
    gt_frames_init(&before);
    gt_channel_begin(channel, &buf, GT_FRAME_PUT, 6);
    gt_mp_put_text(&buf, records->topic);
    gt_mp_put_int(&buf, records->queue);
    gt_mp_put_int(&buf, records->offset);
    int done = gt_records_put(&buf, &sink->schemas, channel->number, records, count, false, &before,
                              &credit);
    gt_channel_spend(channel, credit);
    if (done > 0 && before.head != NULL)
        gt_channel_send(channel, before.head);
    else
        gt_frames_deinit(&before);
    int code = done < 0 ? done : gt_channel_end(channel, &buf);
    if (done < 0)
        gt_buf_deinit(&buf);
    if (code == GANTRY_TOO_LARGE)
        return gantry_err_set(err, code,
                              "message %lld of topic %s is too large for a host: more than "
                              "host.record.max",
                              (long long)records->offset, records->topic);
    return code == 0 ? done
                     : gantry_err_set(err, code, "cannot send to host %s: %s",
                                      channel->plugin->name, gantry_error_text(code));
}

static int look(void *task, struct gantry_err *err)
{
    int code = hear(task, err);
    return code == GANTRY_AGAIN ? GANTRY_IO : code;
}

static int put(void *task, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err)
{
    struct sink_proxy *sink = task;
    while (result->taken < count) {
        if (!gt_channel_has_credit(sink->base.channel))
            return GANTRY_AGAIN; /* TAKEN wakes us */
        int done = put_frame(sink, records + result->taken, count - result->taken, err);
        if (done < 0)
            return done;
        result->taken += (size_t)done;
    }
    return 0;
}

static int send_seq(struct sink_proxy *sink, enum gt_frame_type type, struct gantry_err *err)
{
    struct gt_buf buf;
    gt_channel_begin(sink->base.channel, &buf, type, 3);
    gt_mp_put_int(&buf, sink->seq);
    return gt_proxy_send(&sink->base, &buf, err);
}

static int caught_up(void *task, struct gantry_err *err)
{
    struct sink_proxy *sink = task;
    struct gt_buf buf;
    gt_channel_begin(sink->base.channel, &buf, GT_FRAME_CAUGHT_UP, 2);
    return gt_proxy_send(&sink->base, &buf, err);
}

/* The state comes with flush_done(). */
static int checkpoint(void *task, struct gantry_output *state, struct gantry_err *err)
{
    struct sink_proxy *sink = task;
    (void)state;
    sink->seq++;
    sink->state_came = sink->flush_came = false;
    gt_channel_asked(sink->base.channel, GT_ASKED_CHECKPOINT);
    gt_channel_asked(sink->base.channel, GT_ASKED_FLUSH);
    int code = send_seq(sink, GT_FRAME_CHECKPOINT, err);
    return code == 0 ? send_seq(sink, GT_FRAME_FLUSH, err) : code;
}

static int flush_done(void *task, struct gantry_output *state, struct gantry_err *err)
{
    struct sink_proxy *sink = task;
    int code = hear(sink, err);
    if (code != 0)
        return code == GANTRY_AGAIN ? GANTRY_IO : code;
    if (!sink->state_came || !sink->flush_came)
        return GANTRY_AGAIN;
    return state->write(state, sink->state.data, sink->state.len);
}

static int limit(void *task, struct gantry_limits *limits, struct gantry_err *err)
{
    const struct sink_proxy *sink = task;
    for (size_t i = 0; i < sink->limit_count; i++) {
        const struct kept_back *kept = &sink->limits[i];
        int code = limits->below(limits, kept->topic, kept->queue, kept->offset);
        if (code != 0)
            return gantry_err_set(err, code,
                                  "the host keeps back queue %u of topic %s, which the task does "
                                  "not read",
                                  kept->queue, kept->topic);
    }
    return 0;
}

static int committed(void *task, struct gantry_err *err)
{
    return send_seq(task, GT_FRAME_COMMITTED, err);
}

const struct gantry_connector gt_proxy_sink = {
    .struct_size = sizeof gt_proxy_sink,
    .kind = GANTRY_SINK,
    .task_start = start,
    .start_done = start_done,
    .look = look,
    .put = put,
    .caught_up = caught_up,
    .checkpoint = checkpoint,
    .flush_done = flush_done,
    .limit = limit,
    .committed = committed,
    .stop_done = stop_done,
    .task_stop = stop,
};
