/* SPDX-License-Identifier: Apache-2.0 */
/* Source tasks in a host. RECORDS frames wait in the channel, as many as the credit allows; poll()
 * makes a batch of the next ones. The records point into the frames, which are kept until the batch
 * is done with: at the next poll. */
#include "host/proxy.h"

#include <stdlib.h>

/* The last frame of each batch under way, in order: what COMMITTED says. */
struct under_way {
    int64_t *seqs; /* owned; a ring */
    size_t first, count, cap;
};

struct source_proxy {
    struct gt_proxy base; /* first */
    struct gt_frames batch;
    int64_t batch_credit;  /* what its records count */
    struct gt_frames held; /* of a batch that is not whole yet: TOGETHER has announced it ... */
    int64_t together;      /* ... and so many of its RECORDS are still to come */
    size_t held_bytes;
    int64_t credit; /* that the host has left */
    int64_t owed;   /* credit that was not given back yet */
    int64_t seq;    /* of the last frame */
    struct gt_schemas_in schemas;
    struct under_way under_way;
};

static int push_seq(struct under_way *under_way, int64_t seq)
{
    if (under_way->count == under_way->cap) {
        size_t cap = under_way->cap != 0 ? 2 * under_way->cap : 16;
        int64_t *grown = malloc(cap * sizeof *grown);
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        for (size_t i = 0; i < under_way->count; i++)
            grown[i] = under_way->seqs[(under_way->first + i) % under_way->cap];
        free(under_way->seqs);
        *under_way = (struct under_way){grown, 0, under_way->count, cap};
    }
    under_way->seqs[(under_way->first + under_way->count++) % under_way->cap] = seq;
    return 0;
}

static int start(void *plugin, struct gantry_task_context *ctx, void **ret, struct gantry_err *err)
{
    struct source_proxy *source = calloc(1, sizeof *source);
    if (source == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task");
    gt_frames_init(&source->batch);
    gt_frames_init(&source->held);
    source->credit = GT_HOST_CREDIT;
    int code = gt_proxy_start(&source->base, plugin, ctx, GT_HOST_CREDIT, err);
    if (code != 0) {
        free(source);
        return code;
    }
    *ret = source;
    return 0;
}

static int start_done(void *task, struct gantry_err *err)
{
    int64_t none;
    return gt_proxy_start_done(task, &none, err);
}

static int stop_done(void *task)
{
    return gt_proxy_stop_done(task);
}

static void stop(void *task)
{
    struct source_proxy *source = task;
    gt_channel_close(source->base.channel);
    gt_frames_deinit(&source->batch);
    gt_frames_deinit(&source->held);
    gt_schemas_in_deinit(&source->schemas);
    free(source->under_way.seqs);
    free(source);
}

/* --- Records --- */

static void *batch_alloc(void *batch, size_t size)
{
    return ((struct gantry_batch *)batch)->alloc(batch, size);
}

static int take_marks(struct gt_frame_head *head, struct gantry_batch *batch, size_t before)
{
    uint32_t count = gt_mp_item_array(&head->items);
    if (count > GT_FRAME_MARK_COUNT)
        return GANTRY_INVALID;
    for (uint32_t i = 0; i < count; i++) {
        struct gt_mp_items items = gt_mp_items(&head->mp);
        int64_t covers = gt_mp_item_int(&items, -1);
        struct gantry_view partition = gt_mp_item_bytes(&items);
        struct gantry_view position = gt_mp_item_bytes(&items);
        gt_mp_items_end(&items);
        if (!gt_mp_ok(&head->mp) || covers < 0 || (uint64_t)covers > batch->count - before ||
            partition.data == NULL || position.data == NULL)
            return GANTRY_INVALID;
        if (batch->mark_count == batch->mark_capacity && batch->grow(batch) != 0)
            return GANTRY_NO_MEMORY;
        batch->marks[batch->mark_count++] = (struct gantry_mark){
            .covers = before + (size_t)covers, .partition = partition, .position = position};
    }
    return gt_mp_ok(&head->mp) ? 0 : GANTRY_INVALID;
}

static int take_records(struct source_proxy *source, struct gt_frame_head *head,
                        struct gantry_batch *batch, struct gantry_err *err)
{
    struct gt_record_reader reader = {
        .schemas = &source->schemas, .alloc = batch_alloc, .arg = batch};
    size_t before = batch->count;
    int64_t seq = gt_mp_item_int(&head->items, 0);
    uint32_t count = gt_mp_item_array(&head->items);
    if (count > GT_FRAME_RECORD_COUNT) /* one of few bytes is a hundred in our memory */
        return gt_proxy_broken(&source->base, "RECORDS has more than 4096 records", err);
    if (gt_mp_ok(&head->mp) && seq != source->seq + 1)
        return gt_proxy_broken(&source->base, "RECORDS is not numbered in order", err);
    source->seq = seq;
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct gantry_record *record = gantry_batch_add(batch);
        code = record != NULL ? gt_record_read(&head->mp, &reader, record) : GANTRY_NO_MEMORY;
    }
    source->credit -= reader.credit;
    source->batch_credit += reader.credit;
    if (code == 0)
        code = take_marks(head, batch, before);
    if (code == GANTRY_NO_MEMORY)
        return gantry_err_set(err, code, "no memory for %u records of a host", count);
    if (code == 0 && batch->count + batch->mark_count > GT_BATCH_COUNT)
        return gt_proxy_broken(&source->base, "a batch of more than 1048576 records and marks",
                               err);
    return code == 0 ? 0 : gt_proxy_broken(&source->base, "RECORDS is malformed", err);
}

static int send_number(struct source_proxy *source, enum gt_frame_type type, int64_t number,
                       struct gantry_err *err)
{
    struct gt_buf buf;
    gt_channel_begin(source->base.channel, &buf, type, 3);
    gt_mp_put_int(&buf, number);
    return gt_proxy_send(&source->base, &buf, err);
}

/* The last batch is done with: its frames go, its credit goes back, in larger pieces. */
static int end_batch(struct source_proxy *source, struct gantry_err *err)
{
    gt_frames_deinit(&source->batch);
    gt_schemas_in_forget(&source->schemas);
    source->owed += source->batch_credit;
    source->batch_credit = 0;
    if (source->owed < GT_HOST_CREDIT / 4)
        return 0;
    int code = send_number(source, GT_FRAME_CREDIT, source->owed, err);
    if (code == 0) {
        source->credit += source->owed;
        source->owed = 0;
    }
    return code;
}

/* A frame without records and marks belongs to the batch before it. */
static int note_empty(struct source_proxy *source, struct gantry_err *err)
{
    struct under_way *under_way = &source->under_way;
    if (under_way->count == 0)
        return send_number(source, GT_FRAME_COMMITTED, source->seq, err);
    under_way->seqs[(under_way->first + under_way->count - 1) % under_way->cap] = source->seq;
    return 0;
}

/* What came before a failure is good: the batch goes first, the failure comes with the next poll.
 */
static int fail_later(struct source_proxy *source, const struct gantry_batch *batch, int code,
                      const struct gantry_err *err)
{
    source->base.failure = *err;
    source->base.failure.code = code;
    return batch->count > 0 || batch->mark_count > 0 ? 0 : code;
}

static int begin_together(struct source_proxy *source, struct gt_frame_head *head,
                          struct gantry_err *err)
{
    int64_t count = gt_mp_item_int(&head->items, 0);
    if (!gt_mp_ok(&head->mp) || count < 1 || source->together > 0)
        return gt_proxy_broken(&source->base, "TOGETHER is malformed", err);
    source->together = count;
    source->held_bytes = 0;
    return 0;
}

/* Take RECORDS or SCHEMA; the frame is kept or freed. */
static int take_frame(struct source_proxy *source, struct gt_frame *frame,
                      struct gt_frame_head *head, struct gantry_batch *batch,
                      struct gantry_err *err)
{
    int code;
    if (head->type == GT_FRAME_RECORDS) {
        code = take_records(source, head, batch, err);
        gt_frames_add(&source->batch, frame);
        return code;
    }
    code = gt_schemas_in_add(&source->schemas, head, err);
    if (code == GANTRY_INVALID)
        code = gt_proxy_broken(&source->base, "SCHEMA is malformed", err);
    gt_frame_free(frame);
    return code;
}

/* The same for a frame of a batch that is to be committed at once: only when all are there, for
 * what poll() has given is committed. */
static int hold_frame(struct source_proxy *source, struct gt_frame *frame, int64_t type,
                      struct gantry_batch *batch, struct gantry_err *err)
{
    struct gt_frame_head head;
    int code = 0;
    source->held_bytes += frame->len;
    gt_frames_add(&source->held, frame);
    if (source->held_bytes > (size_t)source->base.channel->hosts->settings.record_max)
        return gt_proxy_broken(&source->base, "a batch of more than host.record.max bytes", err);
    source->together -= type == GT_FRAME_RECORDS;
    while (source->together == 0 && code == 0 && (frame = gt_frames_take(&source->held)) != NULL) {
        (void)gt_frame_read(&head, frame->data, frame->len); /* was read before: it is one */
        code = take_frame(source, frame, &head, batch, err);
    }
    return code;
}

static int take_next(struct source_proxy *source, struct gt_frame *frame,
                     struct gt_frame_head *head, struct gantry_batch *batch, struct gantry_err *err)
{
    bool data = head->type == GT_FRAME_RECORDS || head->type == GT_FRAME_SCHEMA;
    if (head->type == GT_FRAME_RECORDS && source->together == 0 && source->credit <= 0) {
        gt_frame_free(frame);
        return gt_proxy_broken(&source->base, "RECORDS without credit", err);
    }
    if (data)
        return source->together > 0 ? hold_frame(source, frame, head->type, batch, err)
                                    : take_frame(source, frame, head, batch, err);
    int code = head->type == GT_FRAME_TOGETHER ? begin_together(source, head, err)
                                               : gt_proxy_frame(&source->base, head, err);
    gt_frame_free(frame);
    return code == 0 ? 0 : fail_later(source, batch, code, err);
}

static int poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    struct source_proxy *source = task;
    int64_t seq = source->seq;
    int code = end_batch(source, err);
    gt_proxy_turn(&source->base);
    while (code == 0 && (size_t)source->batch_credit < batch->max_bytes) {
        struct gt_frame_head head;
        struct gt_frame *frame;
        code = gt_proxy_next(&source->base, &frame, &head, err);
        if (code != 0)
            code = fail_later(source, batch, code, err);
        if (code != 0 || frame == NULL)
            break;
        code = take_next(source, frame, &head, batch, err);
    }
    if (code != 0 || source->seq == seq)
        return code;
    if (batch->count == 0 && batch->mark_count == 0)
        return note_empty(source, err);
    if (push_seq(&source->under_way, source->seq) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a batch of a host");
    return 0;
}

static int committed(void *task, struct gantry_err *err)
{
    struct source_proxy *source = task;
    struct under_way *under_way = &source->under_way;
    if (under_way->count == 0)
        return 0;
    int64_t seq = under_way->seqs[under_way->first];
    under_way->first = (under_way->first + 1) % under_way->cap;
    under_way->count--;
    return send_number(source, GT_FRAME_COMMITTED, seq, err);
}

const struct gantry_connector gt_proxy_source = {
    .struct_size = sizeof gt_proxy_source,
    .kind = GANTRY_SOURCE,
    .task_start = start,
    .start_done = start_done,
    .poll = poll,
    .committed = committed,
    .stop_done = stop_done,
    .task_stop = stop,
};
