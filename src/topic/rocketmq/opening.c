/* SPDX-License-Identifier: Apache-2.0 */
/* A writer that starts. What an earlier one of the task, here or on another worker, has left in the
 * queues behind the tails that it had committed is read, and the positions are rolled forward over
 * it; only then the source polls. What came of an earlier writer that still lives stands behind the
 * tails too, or is stored later, under its older epoch, where readers tell it apart. */
#include "topic/rocketmq/writer.h"

#include <stdlib.h>

enum {
    VALUE_MAX = 2 << 20,
    LOST_MS =
        5000, /* an end in front of what is known to be stored that has not come by then: lost */
};

struct gt_rq_opening {
    struct gt_rq_writer *writer;
    struct gt_rq_found found;
    struct gt_rq_lane *lane;    /* whose queue is read */
    int64_t at;                 /* read up to here */
    int64_t last_batch;         /* where the last batch begins that was found there; -1 */
    int64_t begun_ns, asked_ns; /* asked: for an end, the last time */
    struct gt_rq_timer timer;
    struct gt_rq_trouble trouble;
    struct gt_rq_scan scan;
    bool scanning, asking, committing, stopped;
    bool late;  /* the end was asked for late enough: what is read now is all */
    int failed; /* reading what was found: no memory */
    struct gt_commit commit;
    struct gt_mail commit_mail;
    size_t moved;
};

int gt_rq_stored_position(struct gt_store *store, const char *connector,
                          struct gt_rq_hash partition, struct gt_rq_hash *ret,
                          struct gantry_err *err)
{
    struct gt_key key;
    struct gt_buf value;
    struct gantry_view stored, position = {NULL, 0};
    gt_key_prefix(&key, connector); /* then the hash, as gt_key_position has it */
    for (int i = 0; i < 16; i++)
        key.bytes[key.len++] =
            (char)((i < 8 ? partition.high : partition.low) >> (56 - 8 * (i % 8)));
    gt_buf_init(&value, VALUE_MAX);
    int code = gt_store_get(store, GT_TABLE_POSITIONS, gt_key_view(&key), &value, err);
    if (code == 0 && gt_position_record_read(gt_buf_view(&value), &stored, &position) != 0)
        code = gantry_err_set(err, GANTRY_CORRUPT, "the stored position of connector %s is damaged",
                              connector);
    if (code == GANTRY_NOT_FOUND)
        code = 0;
    if (code == 0)
        *ret = gt_rq_hash_of(position);
    gt_buf_deinit(&value);
    return code;
}

static void end_opening(struct gt_rq_writer *writer)
{
    struct gt_rq_opening *opening = writer->opening;
    writer->opening = NULL;
    gt_rq_not_later(writer->topics, &opening->timer);
    if (opening->scanning)
        gt_rq_scan_stop(&opening->scan);
    gt_rq_found_deinit(&opening->found);
    free(opening);
}

static void expect(struct gt_rq_opening *opening)
{
    opening->writer->outstanding++;
    opening->writer->topics->outstanding++;
}

/* Something that names the opening has come; it may have been stopped meanwhile. */
static bool is_stopped(struct gt_rq_opening *opening)
{
    if (opening->stopped && !opening->asking && !opening->committing)
        end_opening(opening->writer);
    else if (!opening->stopped)
        return false;
    return true;
}

void gt_rq_opening_stop(struct gt_rq_writer *writer)
{
    struct gt_rq_opening *opening = writer->opening;
    if (opening == NULL)
        return;
    opening->stopped = true;
    gt_rq_not_later(writer->topics, &opening->timer);
    if (opening->scanning)
        gt_rq_scan_stop(&opening->scan);
    opening->scanning = false;
    (void)is_stopped(opening);
}

static void give_up(struct gt_rq_opening *opening, const struct gantry_err *err)
{
    struct gt_rq_writer *writer = opening->writer;
    struct gantry_err copy = *err;
    end_opening(writer);
    gt_rq_writer_break(writer, &copy);
}

static void fail(struct gt_rq_opening *opening, int code, const char *text)
{
    struct gantry_err err = {0};
    gantry_err_set(&err, code, "%s", text);
    give_up(opening, &err);
}

/* --- The end: one commit, then the writer is ready --- */

static void on_commit(struct gt_commit *commit) /* Thread: the committer. */
{
    struct gt_rq_opening *opening =
        (struct gt_rq_opening *)((char *)commit - offsetof(struct gt_rq_opening, commit));
    gt_link_send(opening->writer->topics->link, &opening->commit_mail);
}

static const struct gt_commit_ops opening_ops = {.done = on_commit};

static void on_commit_mail(struct gt_mail *mail)
{
    struct gt_rq_opening *opening =
        (struct gt_rq_opening *)((char *)mail - offsetof(struct gt_rq_opening, commit_mail));
    struct gt_rq_writer *writer = opening->writer;
    struct gantry_err err = opening->commit.err;
    gt_commit_deinit(&opening->commit);
    opening->committing = false;
    if (!is_stopped(opening)) {
        if (err.code != 0) {
            give_up(opening, &err);
        } else {
            size_t moved = opening->moved;
            end_opening(writer);
            if (moved > 0 || writer->skipping)
                gt_info("topic",
                        "went on from what an earlier run had sent connector=%s task=%u "
                        "positions=%zu%s",
                        writer->connector, writer->claim.task, moved,
                        writer->skipping ? ", more will be left out when it is polled" : "");
            pthread_mutex_lock(&writer->lock);
            if (writer->state == WRITER_OPENING)
                writer->state = WRITER_READY;
            writer->trouble_text[0] = '\0';
            if (!writer->closed)
                writer->wake(writer->arg);
            pthread_mutex_unlock(&writer->lock);
        }
    }
    gt_rq_writer_came(writer);
}

struct moving {
    struct gt_rq_opening *opening;
    struct gantry_err *err;
};

static int now_position(void *arg, struct gantry_view partition, struct gt_rq_hash hash,
                        struct gt_rq_hash *ret)
{
    const struct moving *moving = arg;
    const struct gt_rq_writer *writer = moving->opening->writer;
    (void)partition;
    return gt_rq_stored_position(writer->topics->store, writer->connector, hash, ret, moving->err);
}

static int move_position(void *arg, struct gantry_view partition, struct gantry_view position)
{
    const struct moving *moving = arg;
    struct gt_rq_opening *opening = moving->opening;
    struct gt_buf value;
    struct gt_key key;
    gt_buf_init(&value, VALUE_MAX);
    gt_position_record_write(&value, partition, position);
    gt_key_position(&key, opening->writer->connector, &partition);
    gt_commit_put(&opening->commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    if (value.error != 0)
        opening->commit.changes.error = value.error;
    gt_buf_deinit(&value);
    opening->moved++;
    return 0;
}

/* What was found ahead of the positions is left out when it is polled again; until then the old
 * tails stay, so that whoever comes after a crash finds it again. */
static void keep_skips(struct gt_rq_writer *writer)
{
    writer->skipping = gt_rq_skips_trim(&writer->skips);
    if (writer->skipping && !writer->replayable) {
        gt_warn("topic",
                "part of a batch was sent before, and connector=%s cannot poll the same records "
                "again: they may be repeated in the topic",
                writer->connector);
        gt_rq_skips_deinit(&writer->skips);
        writer->skipping = false;
    }
    writer->holding = writer->skipping;
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next)
        lane->held = writer->holding ? lane->held : -1;
}

static void finish(struct gt_rq_opening *opening)
{
    struct gt_rq_writer *writer = opening->writer;
    struct gantry_err err = {0};
    struct moving moving = {opening, &err};
    gt_commit_init(&opening->commit, &opening_ops);
    int code = opening->failed;
    if (code == 0)
        code = gt_rq_found_settle(&opening->found, now_position, move_position, &moving,
                                  &writer->skips);
    if (code == 0) {
        keep_skips(writer);
        gt_rq_writer_put_tails(writer, &opening->commit);
        opening->commit.claim = &writer->claim;
        opening->commit_mail.run = on_commit_mail;
        code = gt_store_submit(writer->topics->store, &opening->commit, &err);
    }
    if (code == 0) {
        opening->committing = true;
        expect(opening);
        return;
    }
    gt_commit_deinit(&opening->commit);
    if (err.code == 0)
        gantry_err_set(&err, code, "cannot look at what was sent before: %s",
                       gantry_error_text(code));
    give_up(opening, &err);
}

/* --- Queue after queue --- */

static void ask_end(struct gt_rq_opening *opening);

static void on_again(void *arg)
{
    ask_end(arg);
}

static void show(struct gt_rq_opening *opening, const char *why, bool shown)
{
    char text[400];
    if (!shown)
        return;
    snprintf(text, sizeof text,
             "looking at what was sent before to topic %s, queue %u of broker %s: %s",
             opening->lane->topic, opening->lane->id, opening->lane->broker, why);
    gt_rq_writer_show(opening->writer, text);
}

static void ask_later(struct gt_rq_opening *opening, const char *why)
{
    bool shown;
    int64_t pause_ms = gt_rq_trouble_pause(&opening->trouble, &shown);
    show(opening, why, shown);
    gt_rq_later(opening->writer->topics, &opening->timer, pause_ms, on_again, opening);
}

static void next_queue(struct gt_rq_opening *opening)
{
    opening->lane = opening->lane == NULL ? opening->writer->lanes : opening->lane->next;
    if (opening->lane == NULL) {
        finish(opening);
        return;
    }
    opening->at = opening->lane->tail;
    opening->last_batch = -1;
    ask_end(opening);
}

static void lane_is_read(struct gt_rq_opening *opening)
{
    struct gt_rq_lane *lane = opening->lane;
    lane->held = lane->tail;
    lane->seen = lane->stored = lane->tail = opening->at;
    /* A broker shows what it has stored one by one: the rest of this batch may come yet, and nobody
     * knows what it is who does not begin at the note. */
    if (opening->last_batch >= 0 && opening->last_batch < lane->seen)
        lane->seen = opening->last_batch;
    next_queue(opening);
}

static void on_block(void *arg, const struct rmq_block *block)
{
    struct gt_rq_opening *opening = arg;
    const struct gt_rq_writer *writer = opening->writer;
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    struct rmq_err err;
    while (opening->failed == 0 && rmq_message_next(&rest, &message, &err) == 1) {
        struct gt_rq_seen seen;
        gt_rq_look(message.properties, &seen);
        if (!seen.ours || seen.id.task != writer->claim.task ||
            !gantry_view_equal(seen.id.connector, gantry_view_of(writer->identity)))
            continue;
        if (seen.note.len > 0)
            opening->last_batch = message.queue_offset;
        opening->failed = gt_rq_found_add(&opening->found, &seen);
    }
}

static void on_scan_trouble(void *arg, const char *text)
{
    bool shown;
    struct gt_rq_opening *opening = arg;
    (void)gt_rq_trouble_pause(&opening->trouble, &shown);
    show(opening, text, shown);
}

static void on_scan_end(void *arg, int code, const struct rmq_err *err)
{
    struct gt_rq_opening *opening = arg;
    opening->scanning = false;
    if (code != 0) {
        fail(opening, GANTRY_NO_MEMORY, err->text);
        return;
    }
    opening->trouble = (struct gt_rq_trouble){0};
    if (opening->scan.to > opening->at)
        opening->at = opening->scan.to;
    if (opening->late)
        lane_is_read(opening);
    else
        ask_end(opening);
}

/* The queue is read up to the end that it has once nothing of an earlier owner can be under way any
 * more. Others may write there all the time. */
static void take_end(struct gt_rq_opening *opening, int64_t end)
{
    struct gt_rq_writer *writer = opening->writer;
    struct gt_rq_lane *lane = opening->lane;
    opening->trouble = (struct gt_rq_trouble){0};
    int64_t waited_ms = (gt_clock_mono_ns() - opening->begun_ns) / 1000000;
    if (end < lane->tail && waited_ms < LOST_MS) {
        /* Under load a broker shows what it has stored a while later. */
        gt_rq_later(writer->topics, &opening->timer, GT_RQ_STABLE_MS, on_again, opening);
        return;
    }
    if (end < lane->tail) {
        gt_error("topic",
                 "the broker has lost messages: topic=%s queue=%u broker=%s ends at %lld, and %lld "
                 "were stored",
                 lane->topic, lane->id, lane->broker, (long long)end, (long long)lane->tail);
        lane->tail = opening->at = end;
    }
    /* The answer may have been on its way for long. */
    opening->late = opening->asked_ns - opening->begun_ns >= (int64_t)GT_RQ_STABLE_MS * 1000000;
    if (end > opening->at) {
        opening->scanning = true;
        opening->scan.block = on_block;
        opening->scan.trouble = on_scan_trouble;
        opening->scan.ended = on_scan_end;
        opening->scan.arg = opening;
        gt_rq_scan_start(&opening->scan, writer->topics, writer->connector, lane->topic,
                         lane->broker, lane->id, opening->at, end);
        return;
    }
    if (opening->late)
        lane_is_read(opening);
    else
        gt_rq_later(writer->topics, &opening->timer,
                    waited_ms < GT_RQ_STABLE_MS ? GT_RQ_STABLE_MS - waited_ms : 0, on_again,
                    opening);
}

static void on_end(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct gt_rq_opening *opening = arg;
    struct gt_rq_writer *writer = opening->writer;
    opening->asking = false;
    if (!is_stopped(opening)) {
        if (rc == 0)
            take_end(opening, offset);
        else
            ask_later(opening, err->text);
    }
    gt_rq_writer_came(writer);
}

static void ask_end(struct gt_rq_opening *opening)
{
    const struct gt_rq_lane *lane = opening->lane;
    struct rmq_err err = {0};
    opening->asked_ns = gt_clock_mono_ns();
    if (rmq_admin_max_offset(opening->writer->topics->client, lane->topic, lane->broker,
                             (int32_t)lane->id, on_end, opening, &err) == 0) {
        opening->asking = true;
        expect(opening);
    } else {
        ask_later(opening, err.text);
    }
}

/* --- The beginning --- */

static int load_tails(struct gt_rq_writer *writer, struct gantry_err *err)
{
    struct gt_tails_record record = {0};
    struct gt_buf value;
    struct gt_key key;
    gt_buf_init(&value, VALUE_MAX);
    gt_key_progress(&key, writer->connector, writer->claim.task);
    int code =
        gt_store_get(writer->topics->store, GT_TABLE_POSITIONS, gt_key_view(&key), &value, err);
    if (code == 0) {
        char *copy = gt_arena_copy(&writer->memory, gt_buf_view(&value));
        struct gantry_view bytes = {copy, value.len};
        code =
            copy != NULL ? gt_tails_record_read(bytes, &writer->memory, &record) : GANTRY_NO_MEMORY;
        if (code != 0)
            gantry_err_set(err, code, "the stored tails of connector %s: %s", writer->connector,
                           gantry_error_text(code));
    }
    gt_buf_deinit(&value);
    if (code == GANTRY_NOT_FOUND)
        code = 0;
    for (size_t i = 0; i < record.offset_count && code == 0; i++) {
        const struct gt_queue_offset *at = &record.offsets[i];
        struct gt_rq_lane *lane = gt_rq_lane_make(writer, at->topic, at->broker, at->queue);
        if (lane == NULL) {
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a writer");
            break;
        }
        lane->tail = at->offset;
        lane->open = true;
    }
    writer->tails = record.offsets;
    writer->tail_count = code == 0 ? record.offset_count : 0;
    /* Above all that was stored, and above what a reader remembers although the store has forgotten
     * it (`gantry connector reset`). */
    int64_t now = gt_clock_wall_ms();
    writer->epoch = record.epoch + 1;
    if (now > 0 && (uint64_t)now > writer->epoch)
        writer->epoch = (uint64_t)now;
    return code;
}

static int make_stamp(struct gt_rq_writer *writer)
{
    if (asprintf(&writer->stamp_before, GT_RQ_ID "\001%llu.", (unsigned long long)writer->epoch) <
        0) {
        writer->stamp_before = NULL;
        return GANTRY_NO_MEMORY;
    }
    if (asprintf(&writer->stamp_after, ".%u.%s\002", writer->claim.task, writer->identity) < 0) {
        writer->stamp_after = NULL;
        return GANTRY_NO_MEMORY;
    }
    return 0;
}

void gt_rq_writer_on_open(struct gt_mail *mail)
{
    struct gt_rq_writer *writer =
        (struct gt_rq_writer *)((char *)mail - offsetof(struct gt_rq_writer, open_mail));
    struct gantry_err err = {0};
    struct gt_rq_opening *opening = calloc(1, sizeof *opening);
    int code = opening != NULL ? load_tails(writer, &err) : GANTRY_NO_MEMORY;
    if (code == 0)
        code = make_stamp(writer);
    if (code != 0) {
        free(opening);
        if (err.code == 0)
            gantry_err_set(&err, code, "no memory for a writer");
        gt_rq_writer_break(writer, &err);
        return;
    }
    opening->writer = writer;
    opening->begun_ns = gt_clock_mono_ns();
    gt_rq_found_init(&opening->found);
    writer->opening = opening;
    next_queue(opening);
}
