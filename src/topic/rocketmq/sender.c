/* SPDX-License-Identifier: Apache-2.0 */
/* Requests. Each queue that a writer writes to is a lane with one request under way; what waits
 * meanwhile goes together in the next one. Appends are committed in their order, each when all its
 * portions are stored.
 *
 * A request that was refused is tried again: nothing of the same lane can overtake it. One whose
 * outcome is not known is looked for: the connection is closed, so that nothing of it is under way
 * any more, and the queue is read from the lane's last stored message up to the end that it has a
 * while later. Others may write there all the time, so nobody waits for an end that stands still;
 * what the broker stores even later is there twice, and readers drop it. */
#include "topic/rocketmq/writer.h"

#include <stdlib.h>

static void pump(struct gt_rq_lane *lane);
static void advance(struct gt_rq_writer *writer);
static void resolve(struct gt_rq_lane *lane);

/* --- State shown to the executor --- */

void gt_rq_writer_show(struct gt_rq_writer *writer, const char *text)
{
    pthread_mutex_lock(&writer->lock);
    bool news = strcmp(writer->trouble_text, text) != 0;
    snprintf(writer->trouble_text, sizeof writer->trouble_text, "%s", text);
    if (news && !writer->closed)
        writer->wake(writer->arg);
    pthread_mutex_unlock(&writer->lock);
}

void gt_rq_writer_break(struct gt_rq_writer *writer, const struct gantry_err *err)
{
    pthread_mutex_lock(&writer->lock);
    bool news = writer->state != WRITER_FAILED;
    if (news) {
        writer->state = WRITER_FAILED;
        writer->failure = *err;
    }
    atomic_store(&writer->broken, true);
    /* Under the lock: no mail may come behind the one that closes the writer. */
    if (news && !writer->closed) {
        gt_link_send(writer->topics->link, &writer->submit_mail);
        writer->wake(writer->arg);
    }
    pthread_mutex_unlock(&writer->lock);
}

/* Show the trouble of some lane that has one, or none. */
static void show_lanes(struct gt_rq_writer *writer)
{
    const char *text = "";
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next) {
        if (lane->shown)
            text = lane->trouble_text;
    }
    gt_rq_writer_show(writer, text);
}

static void lane_is_well(struct gt_rq_lane *lane)
{
    lane->trouble = (struct gt_rq_trouble){0};
    if (lane->shown) {
        lane->shown = false;
        show_lanes(lane->writer);
    }
}

static int64_t lane_has_trouble(struct gt_rq_lane *lane, const char *what, const char *why)
{
    bool show;
    int64_t pause_ms = gt_rq_trouble_pause(&lane->trouble, &show);
    if (show) {
        snprintf(lane->trouble_text, sizeof lane->trouble_text,
                 "topic %s, queue %u of broker %s: %s%s", lane->topic, lane->id, lane->broker, what,
                 why);
        lane->shown = true;
        show_lanes(lane->writer);
    }
    return pause_ms;
}

void gt_rq_writer_came(struct gt_rq_writer *writer)
{
    struct gt_rocketmq *topics = writer->topics;
    writer->outstanding--;
    if (writer->gone && writer->outstanding == 0) {
        for (struct gt_rq_lane *lane = writer->lanes, *next; lane != NULL; lane = next) {
            next = lane->next;
            if (lane->frame != NULL)
                free(lane->frame->parcels);
            free(lane->frame);
            free(lane->topic);
            free(lane->broker);
            free(lane);
        }
        gt_rq_writer_free(writer);
    }
    gt_rq_came(topics);
}

static void expect(struct gt_rq_writer *writer)
{
    writer->outstanding++;
    writer->topics->outstanding++;
}

/* --- Commits --- */

void gt_rq_writer_put_tails(struct gt_rq_writer *writer, struct gt_commit *commit)
{
    size_t count = 0;
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next)
        count++;
    struct gt_tails_record record = {.epoch = writer->epoch,
                                     .offsets = calloc(count + 1, sizeof *record.offsets)};
    if (record.offsets == NULL) {
        commit->changes.error = GANTRY_NO_MEMORY;
        return;
    }
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next) {
        if (!lane->open)
            continue;
        record.offsets[record.offset_count++] = (struct gt_queue_offset){
            .topic = gantry_view_of(lane->topic),
            .queue = lane->id,
            .offset = writer->holding && lane->held >= 0 ? lane->held : lane->tail,
            .broker = gantry_view_of(lane->broker),
        };
    }
    struct gt_buf value;
    struct gt_key key;
    gt_buf_init(&value, 1 << 20);
    gt_tails_record_write(&value, &record);
    gt_key_progress(&key, writer->connector, writer->claim.task);
    gt_commit_put(commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    if (value.error != 0)
        commit->changes.error = value.error;
    gt_buf_deinit(&value);
    free(record.offsets);
}

static int check_append(struct gt_commit *commit, struct gantry_err *err)
{
    const struct gt_append *append = (const struct gt_append *)commit;
    const struct gt_rq_writer *writer = (const struct gt_rq_writer *)append->writer;
    if (!atomic_load(&writer->broken))
        return 0;
    return gantry_err_set(err, GANTRY_IO,
                          "an earlier write of the same task failed; what came "
                          "after it is sent again");
}

static void abort_append(struct gt_commit *commit)
{
    struct gt_append *append = (struct gt_append *)commit;
    /* Checks run on this thread too: no append behind this one gets past them. */
    gt_rq_writer_break((struct gt_rq_writer *)append->writer, &commit->err);
}

static void done_append(struct gt_commit *commit)
{
    struct gt_append *append = (struct gt_append *)commit;
    const struct gt_rq_append *own = append->own;
    if (own->alone)
        atomic_store(&((struct gt_rq_writer *)append->writer)->waiting, false);
    append->done(append);
}

const struct gt_commit_ops gt_rq_append_ops = {
    .check = check_append,
    .abort = abort_append,
    .done = done_append,
};

/* End all appends that are not with the committer yet. */
static void give_up(struct gt_rq_writer *writer)
{
    struct gantry_err err;
    pthread_mutex_lock(&writer->lock);
    err = writer->failure;
    pthread_mutex_unlock(&writer->lock);
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next) {
        lane->waiting = NULL;
        lane->waiting_tail = &lane->waiting;
        gt_rq_not_later(writer->topics, &lane->timer);
        if (lane->scanning)
            gt_rq_scan_stop(&lane->scan);
        lane->scanning = false;
        if (lane->frame != NULL && lane->state == LANE_SENDING) {
            lane->frame->orphan = true;
            lane->frame = NULL;
        } else if (lane->frame != NULL) {
            free(lane->frame->parcels);
            free(lane->frame);
            lane->frame = NULL;
        }
        lane->shown = false;
    }
    while (writer->first != NULL) {
        struct gt_rq_append *own = writer->first;
        writer->first = own->next;
        own->append->commit.err = err;
        own->append->done(own->append);
    }
    writer->last = &writer->first;
}

static void fail(struct gt_rq_writer *writer, int code, const char *text)
{
    struct gantry_err err = {0};
    gantry_err_set(&err, code, "%s", text);
    gt_rq_writer_break(writer, &err); /* its mail gives up, outside of any callback */
}

/* Commit what is stored, from the front. */
static void advance(struct gt_rq_writer *writer)
{
    while (writer->first != NULL && writer->first->left == 0 && !atomic_load(&writer->broken)) {
        struct gt_rq_append *own = writer->first;
        struct gt_append *append = own->append;
        struct gantry_err err = {0};
        for (size_t i = 0; i < own->parcel_count; i++)
            own->parcels[i].lane->tail = own->parcels[i].end;
        writer->holding = writer->holding && !own->skips_ended;
        gt_rq_writer_put_tails(writer, &append->commit);
        writer->first = own->next;
        if (writer->first == NULL)
            writer->last = &writer->first;
        int code = gt_store_submit(writer->topics->store, &append->commit, &err);
        if (code != 0) {
            gt_rq_writer_break(writer, &err);
            append->commit.err = err;
            append->done(append);
        }
    }
}

/* --- Frames --- */

static void free_frame(struct gt_rq_frame *frame)
{
    free(frame->parcels);
    free(frame);
}

/* What waits, as much as one request takes. */
static struct gt_rq_frame *make_frame(struct gt_rq_lane *lane)
{
    size_t parcels = 0, bytes = 0;
    int64_t count = 0;
    for (struct gt_rq_parcel *parcel = lane->waiting; parcel != NULL; parcel = parcel->next) {
        if (parcels > 0 && (bytes + parcel->body.len > GT_RQ_FRAME_BYTES ||
                            count + parcel->count > GT_RQ_FRAME_MESSAGES))
            break;
        /* An older or a later writer knows the batch of a replaying source by its records; of any
         * other source, a batch has to be there whole or not at all. It is: it is one portion. */
        parcels++;
        bytes += parcel->body.len;
        count += parcel->count;
    }
    struct gt_rq_frame *frame = calloc(1, sizeof *frame);
    struct gt_rq_parcel **list = malloc(parcels * sizeof(*list));
    if (frame == NULL || list == NULL) {
        free(frame);
        free(list);
        return NULL;
    }
    *frame = (struct gt_rq_frame){.lane = lane,
                                  .parcels = list,
                                  .parcel_count = parcels,
                                  .count = count,
                                  .first_seq = lane->waiting->first_seq};
    for (size_t i = 0; i < parcels; i++) {
        list[i] = lane->waiting;
        lane->waiting = lane->waiting->next;
    }
    if (lane->waiting == NULL)
        lane->waiting_tail = &lane->waiting;
    return frame;
}

/* The first message of an epoch says up to where the queue was looked at before. */
static int add_announced(struct rmq_buf *body, struct rmq_view *rest, int64_t seen)
{
    struct rmq_batch_item item;
    struct rmq_err err;
    struct rmq_buf properties;
    char tail[64];
    if (rmq_batch_next(rest, &item, &err) != 1)
        return RMQ_MALFORMED;
    rmq_buf_init(&properties, RMQ_PROPERTIES_MAX);
    int len = snprintf(tail, sizeof tail, GT_RQ_TAIL "\001%lld\002", (long long)seen);
    int rc = rmq_buf_append(&properties, item.properties.data, item.properties.len);
    if (rc == 0)
        rc = rmq_buf_append(&properties, tail, (size_t)len);
    item.properties = rmq_buf_view(&properties);
    if (rc == 0)
        rc = rmq_batch_add(body, &item, &err);
    rmq_buf_deinit(&properties);
    return rc;
}

static int build_body(const struct gt_rq_frame *frame, struct rmq_buf *body)
{
    size_t bytes = 0;
    for (size_t i = 0; i < frame->parcel_count; i++)
        bytes += frame->parcels[i]->body.len;
    rmq_buf_init(body, RMQ_BODY_MAX);
    int rc = rmq_buf_reserve(body, bytes);
    for (size_t i = 0; i < frame->parcel_count && rc == 0; i++) {
        struct rmq_view rest = rmq_buf_view(&frame->parcels[i]->body);
        if (i == 0 && !frame->lane->announced)
            rc = add_announced(body, &rest, frame->lane->seen);
        if (rc == 0)
            rc = rmq_buf_append(body, rest.data, rest.len);
    }
    return rc;
}

/* The lane's frame is in its queue, its first message at @p offset. */
static void take_stored(struct gt_rq_lane *lane, int64_t offset)
{
    struct gt_rq_writer *writer = lane->writer;
    struct gt_rq_frame *frame = lane->frame;
    lane->frame = NULL;
    lane->state = LANE_IDLE;
    lane->announced = true;
    for (size_t i = 0; i < frame->parcel_count; i++) {
        struct gt_rq_parcel *parcel = frame->parcels[i];
        offset += parcel->count;
        parcel->end = offset;
        parcel->append->left--;
        rmq_buf_deinit(&parcel->body);
    }
    lane->stored = offset;
    free_frame(frame);
    lane_is_well(lane);
    advance(writer);
    pump(lane);
}

static void send_frame(struct gt_rq_lane *lane);

static void on_send_again(void *arg)
{
    send_frame(arg);
}

static void send_later(struct gt_rq_lane *lane, const char *what, const char *why)
{
    int64_t pause_ms = lane_has_trouble(lane, what, why);
    lane->state = LANE_WAITING;
    gt_rq_later(lane->writer->topics, &lane->timer, pause_ms, on_send_again, lane);
}

/* What to do about a refusal, in words; NULL: it is for good. */
static const char *explain(int32_t server_code)
{
    switch (server_code) {
    case RMQ_REPLY_MESSAGE_ILLEGAL:
        return NULL;
    case RMQ_REPLY_SERVICE_NOT_AVAILABLE:
        return "the broker takes no messages, its disk may be full; sending goes on by itself: ";
    case RMQ_REPLY_SYSTEM_BUSY:
    case RMQ_REPLY_FLOW_CONTROL:
        return "the broker is busy; sending goes on by itself: ";
    case RMQ_REPLY_NO_PERMISSION:
        return "no permission to write, by the broker, the topic or its access control: ";
    case RMQ_REPLY_TOPIC_NOT_EXIST:
        return "the topic is gone: ";
    default:
        return "the broker refuses; sending goes on by itself: ";
    }
}

static void on_resolve(void *arg)
{
    resolve(arg);
}

static void settle(struct gt_rq_lane *lane, bool reset)
{
    lane->state = LANE_SETTLING;
    lane->reset = reset;
    lane->from = lane->stored;
    lane->to = -1;
    lane->found_at = -1;
    /* Not in this callback: closing a connection runs others'. */
    gt_rq_later(lane->writer->topics, &lane->timer, 0, on_resolve, lane);
}

static void take_refused(struct gt_rq_lane *lane, const struct rmq_err *err)
{
    const char *what = explain(err->server_code);
    if (what == NULL) {
        lane->state = LANE_WAITING;
        fail(lane->writer, GANTRY_INVALID, err->text);
        return;
    }
    if (err->server_code == RMQ_REPLY_TOPIC_NOT_EXIST)
        gt_rq_topic_ask_again(lane->writer->topics, lane->topic);
    send_later(lane, what, err->text);
}

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct gt_rq_frame *frame = arg;
    struct gt_rq_lane *lane = frame->lane;
    struct gt_rq_writer *writer = lane->writer;
    if (frame->orphan)
        free_frame(frame);
    else if (rc == 0 && result->queue_offset >= 0)
        take_stored(lane, result->queue_offset);
    else if (rc == RMQ_REFUSED)
        take_refused(lane, err);
    else if (rc == RMQ_UNREACHABLE || rc == RMQ_NOT_FOUND || rc == RMQ_ABORTED)
        send_later(lane, "", err->text);
    else
        settle(lane, rc == RMQ_TIMEOUT);
    gt_rq_writer_came(writer);
}

static void send_frame(struct gt_rq_lane *lane)
{
    struct gt_rq_writer *writer = lane->writer;
    struct rmq_target target = {lane->topic, lane->broker, (int32_t)lane->id};
    struct rmq_buf body;
    struct rmq_err err = {.text = "no memory for a request"};
    if (gt_rq_topic_read_only(writer->topics, lane->topic)) {
        gt_rq_topic_ask_again(writer->topics, lane->topic);
        send_later(lane, "",
                   "the topic may only be read; let it be written to, too (mqadmin "
                   "updateTopicPerm -p 6)");
        return;
    }
    if (!gt_claim_holds(&writer->claim)) {
        lane->state = LANE_WAITING;
        fail(writer, GANTRY_CLOSED, "this worker's lease is over");
        return;
    }
    int rc = build_body(lane->frame, &body);
    if (rc == 0)
        rc = rmq_producer_send_batch(writer->topics->producer, &target, &body, on_sent, lane->frame,
                                     &err);
    rmq_buf_deinit(&body);
    if (rc == 0) {
        lane->state = LANE_SENDING;
        expect(writer);
    } else if (rc == RMQ_AGAIN || rc == RMQ_NO_MEMORY) {
        send_later(lane, "", err.text);
    } else {
        lane->state = LANE_WAITING;
        fail(writer, GANTRY_INVALID, err.text);
    }
}

/* --- What became of a request --- */

static void send_it_again(struct gt_rq_lane *lane)
{
    gt_info("topic",
            "a request was not stored, and is sent again connector=%s task=%u topic=%s queue=%u "
            "broker=%s",
            lane->writer->connector, lane->writer->claim.task, lane->topic, lane->id, lane->broker);
    send_frame(lane);
}

static void on_scan_block(void *arg, const struct rmq_block *block)
{
    struct gt_rq_lane *lane = arg;
    const struct gt_rq_writer *writer = lane->writer;
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    struct rmq_err err;
    while (lane->found_at < 0 && rmq_message_next(&rest, &message, &err) == 1) {
        struct gt_rq_seen seen;
        gt_rq_look(message.properties, &seen);
        if (seen.ours && seen.id.epoch == writer->epoch && seen.id.seq == lane->frame->first_seq &&
            seen.id.task == writer->claim.task &&
            gantry_view_equal(seen.id.connector, gantry_view_of(writer->identity)))
            lane->found_at = message.queue_offset;
    }
}

static void on_scan_trouble(void *arg, const char *text)
{
    (void)lane_has_trouble(arg, "finding out whether a request was stored: ", text);
}

static void on_scan_end(void *arg, int code, const struct rmq_err *err)
{
    struct gt_rq_lane *lane = arg;
    lane->scanning = false;
    if (code != 0) {
        int64_t pause_ms =
            lane_has_trouble(lane, "finding out whether a request was stored: ", err->text);
        gt_rq_later(lane->writer->topics, &lane->timer, pause_ms, on_resolve, lane);
    } else if (lane->found_at >= 0) {
        take_stored(lane, lane->found_at);
    } else if (lane->looked_late) {
        send_it_again(lane);
    } else {
        lane->from = lane->to > lane->from ? lane->to : lane->from;
        gt_rq_later(lane->writer->topics, &lane->timer, 50, on_resolve, lane);
    }
}

static void on_resolve_end(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct gt_rq_lane *lane = arg;
    struct gt_rq_writer *writer = lane->writer;
    if (lane->state != LANE_SETTLING || lane->frame == NULL) {
        ; /* given up */
    } else if (rc != 0) {
        int64_t pause_ms =
            lane_has_trouble(lane, "finding out whether a request was stored: ", err->text);
        lane->to = -1;
        gt_rq_later(writer->topics, &lane->timer, pause_ms, on_resolve, lane);
    } else {
        if (lane->to < 0)
            lane->looked_ns = gt_clock_mono_ns();
        lane->to = offset > lane->from ? offset : lane->from;
        /* The answer may have been on its way for long. */
        lane->looked_late = lane->asked_ns - lane->looked_ns >= (int64_t)GT_RQ_STABLE_MS * 1000000;
        if (offset > lane->from) {
            lane->scanning = true;
            lane->scan.block = on_scan_block;
            lane->scan.trouble = on_scan_trouble;
            lane->scan.ended = on_scan_end;
            lane->scan.arg = lane;
            gt_rq_scan_start(&lane->scan, writer->topics, writer->connector, lane->topic,
                             lane->broker, lane->id, lane->from, lane->to);
        } else if (lane->looked_late) {
            send_it_again(lane);
        } else {
            gt_rq_later(writer->topics, &lane->timer, 50, on_resolve, lane);
        }
    }
    gt_rq_writer_came(writer);
}

static void resolve(struct gt_rq_lane *lane)
{
    struct gt_rq_writer *writer = lane->writer;
    struct rmq_err err = {0};
    if (lane->reset) {
        lane->reset = false;
        rmq_client_reset_broker(writer->topics->client, lane->broker);
    }
    lane->asked_ns = gt_clock_mono_ns();
    if (rmq_admin_max_offset(writer->topics->client, lane->topic, lane->broker, (int32_t)lane->id,
                             on_resolve_end, lane, &err) == 0) {
        expect(writer);
    } else {
        int64_t pause_ms =
            lane_has_trouble(lane, "finding out whether a request was stored: ", err.text);
        gt_rq_later(writer->topics, &lane->timer, pause_ms, on_resolve, lane);
    }
}

/* --- Lanes --- */

struct gt_rq_lane *gt_rq_lane_make(struct gt_rq_writer *writer, struct gantry_view topic,
                                   struct gantry_view broker, uint32_t id)
{
    struct gt_rq_lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return NULL;
    lane->writer = writer;
    lane->topic = strndup(topic.data, topic.len);
    lane->broker = strndup(broker.data, broker.len);
    lane->id = id;
    lane->held = lane->found_at = -1;
    lane->waiting_tail = &lane->waiting;
    if (lane->topic == NULL || lane->broker == NULL) {
        free(lane->topic);
        free(lane->broker);
        free(lane);
        return NULL;
    }
    lane->next = writer->lanes;
    writer->lanes = lane;
    return lane;
}

static struct gt_rq_lane *find_lane(struct gt_rq_writer *writer, const struct gt_rq_parcel *parcel)
{
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next) {
        if (lane->id == parcel->queue->id && strcmp(lane->broker, parcel->queue->broker) == 0 &&
            strcmp(lane->topic, parcel->topic->api.name) == 0)
            return lane;
    }
    return gt_rq_lane_make(writer, gantry_view_of(parcel->topic->api.name),
                           gantry_view_of(parcel->queue->broker), parcel->queue->id);
}

static void open_lane(struct gt_rq_lane *lane);

static void on_open_again(void *arg)
{
    open_lane(arg);
}

static void open_later(struct gt_rq_lane *lane, const char *why)
{
    int64_t pause_ms = lane_has_trouble(lane, "", why);
    gt_rq_later(lane->writer->topics, &lane->timer, pause_ms, on_open_again, lane);
}

/* Thread: the committer. */
static void on_tail_commit(struct gt_commit *commit)
{
    struct gt_rq_lane *lane =
        (struct gt_rq_lane *)((char *)commit - offsetof(struct gt_rq_lane, commit));
    gt_link_send(lane->writer->topics->link, &lane->commit_mail);
}

static void on_tail_mail(struct gt_mail *mail)
{
    struct gt_rq_lane *lane =
        (struct gt_rq_lane *)((char *)mail - offsetof(struct gt_rq_lane, commit_mail));
    struct gt_rq_writer *writer = lane->writer;
    struct gantry_err err = lane->commit.err;
    gt_commit_deinit(&lane->commit);
    lane->state = LANE_IDLE;
    if (err.code != 0)
        gt_rq_writer_break(writer, &err);
    else if (!atomic_load(&writer->broken))
        pump(lane);
    gt_rq_writer_came(writer);
}

static const struct gt_commit_ops tail_ops = {.done = on_tail_commit};

/* The queue's end becomes the lane's tail before anything is sent there: who comes after us will
 * look from it. */
static void on_lane_end(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct gt_rq_lane *lane = arg;
    struct gt_rq_writer *writer = lane->writer;
    struct gantry_err failure = {0};
    if (atomic_load(&writer->broken)) {
        lane->state = LANE_IDLE;
    } else if (rc != 0) {
        open_later(lane, err->text);
    } else {
        lane->seen = lane->stored = lane->tail = offset;
        lane->open = true;
        lane_is_well(lane);
        gt_commit_init(&lane->commit, &tail_ops);
        lane->commit.claim = &writer->claim;
        lane->commit_mail.run = on_tail_mail;
        gt_rq_writer_put_tails(writer, &lane->commit);
        if (gt_store_submit(writer->topics->store, &lane->commit, &failure) == 0) {
            expect(writer);
        } else {
            gt_commit_deinit(&lane->commit);
            gt_rq_writer_break(writer, &failure);
        }
    }
    gt_rq_writer_came(writer);
}

static void open_lane(struct gt_rq_lane *lane)
{
    struct rmq_err err = {0};
    lane->state = LANE_OPENING;
    if (rmq_admin_max_offset(lane->writer->topics->client, lane->topic, lane->broker,
                             (int32_t)lane->id, on_lane_end, lane, &err) == 0)
        expect(lane->writer);
    else
        open_later(lane, err.text);
}

static void pump(struct gt_rq_lane *lane)
{
    if (lane->state != LANE_IDLE || lane->waiting == NULL || atomic_load(&lane->writer->broken))
        return;
    if (!lane->open) {
        open_lane(lane);
        return;
    }
    lane->frame = make_frame(lane);
    if (lane->frame == NULL)
        fail(lane->writer, GANTRY_NO_MEMORY, "no memory for a request");
    else
        send_frame(lane);
}

void gt_rq_writer_on_submit(struct gt_mail *mail)
{
    struct gt_rq_writer *writer =
        (struct gt_rq_writer *)((char *)mail - offsetof(struct gt_rq_writer, submit_mail));
    pthread_mutex_lock(&writer->lock);
    struct gt_rq_append *own = writer->submitted;
    writer->submitted = NULL;
    writer->submitted_tail = &writer->submitted;
    pthread_mutex_unlock(&writer->lock);
    for (struct gt_rq_append *next; own != NULL; own = next) {
        next = own->next;
        own->next = NULL;
        *writer->last = own;
        writer->last = &own->next;
        for (size_t i = 0; i < own->parcel_count; i++) {
            struct gt_rq_parcel *parcel = &own->parcels[i];
            parcel->lane = find_lane(writer, parcel);
            if (parcel->lane == NULL) {
                fail(writer, GANTRY_NO_MEMORY, "no memory for a queue");
                break;
            }
            parcel->next = NULL;
            *parcel->lane->waiting_tail = parcel;
            parcel->lane->waiting_tail = &parcel->next;
        }
    }
    if (atomic_load(&writer->broken)) {
        give_up(writer);
        return;
    }
    advance(writer); /* of marks alone */
    for (struct gt_rq_lane *lane = writer->lanes; lane != NULL; lane = lane->next)
        pump(lane);
}

void gt_rq_writer_on_close(struct gt_mail *mail)
{
    struct gt_rq_writer *writer =
        (struct gt_rq_writer *)((char *)mail - offsetof(struct gt_rq_writer, close_mail));
    expect(writer);
    writer->gone = true;
    atomic_store(&writer->broken, true);
    gt_rq_opening_stop(writer);
    give_up(writer);
    gt_rq_writer_came(writer);
}
