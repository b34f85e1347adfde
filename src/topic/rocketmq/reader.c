/* SPDX-License-Identifier: Apache-2.0 */
/* A reader. The link pulls and puts blocks into a bounded queue; the executor takes them, decodes
 * what they hold in place, and leaves out what was delivered before (memory.c). */
#include "topic/rocketmq/internal.h"

#include <stdlib.h>

enum {
    BLOCKS_MAX = 1024,                /* that wait for the executor, at most ... */
    BLOCKS_BYTES = 4 << 20,           /* ... and about so many bytes; more stay with the puller */
    HELD_MAX = 512,                   /* blocks of a slice */
    RING = BLOCKS_MAX + HELD_MAX + 1, /* a slice that was not taken goes back */
    SLICE_BYTES = 256 << 10,          /* handed out at once, about */
    SLICE_MESSAGES = 4096,
    LOOK_BYTES = 64 << 20, /* of a stretch that is looked at */
    PULLS = 16,
    PULLED_BYTES = 4 << 20,
    GROUP_UNKNOWN = 26, /* the broker's code */
    REPORT_MS = 1000,
};

struct item {
    const struct rmq_block *block; /* a reference; NULL: the queue goes on at `moved` */
    int64_t moved;
};

/* What the executor asks the link to look at. */
enum look_state { LOOK_NONE, LOOK_ASKED, LOOK_DONE };

struct gt_rq_reader {
    struct gt_reader api; /* first */
    struct gt_rocketmq *topics;
    struct gt_rq_topic *topic;
    struct gt_rq_queue *queue;
    char *connector, *group; /* owned */
    bool reports;

    pthread_mutex_t lock; /* guards what follows, up to the next comment */
    bool closed;
    struct item *items; /* owned ring */
    size_t item_at, item_count;
    size_t item_bytes;
    bool full; /* the link has stopped taking from the puller */
    char trouble_text[400];
    bool trouble_new;
    enum look_state look;
    int64_t look_from, look_to;
    const struct rmq_block **looked; /* owned, with references */
    size_t looked_count, looked_cap, looked_bytes;
    void (*wake)(void *arg); /* NULL: not armed */
    void *arg;

    atomic_llong committed;
    struct gt_mail open_mail, more_mail, look_mail, report_mail, close_mail;

    /* The executor's. */
    int64_t offset; /* next wanted */
    struct gt_rq_memory memory;
    bool replayed;             /* what the memory needs has been read again */
    struct gt_rq_seen awaited; /* the message at which reading stopped to look; in `current` */
    struct item current;       /* where decoding is, or what views point into */
    struct rmq_view rest;
    const struct rmq_block **held; /* owned: blocks that the last slice points into */
    size_t held_count;
    struct gt_rq_ticket *tickets; /* owned: of the last slice */
    size_t ticket_cap;
    int64_t slice_first,
        slice_end; /* its offsets; slice_end: behind what was passed over after it */
    size_t slice_count;

    /* The link's. */
    int64_t start; /* where it begins to pull */
    struct rmq_puller *puller;
    struct gt_rq_timer trouble_timer, report_timer;
    struct gt_rq_trouble trouble;
    char pending_trouble[300];
    bool group_asked, reporting, refused;
    int64_t reported;
    struct gt_rq_scan scan;
    bool scanning, gone;
    size_t outstanding;
};

/* Thread: holds reader->lock. */
static void wake_reader(struct gt_rq_reader *reader)
{
    if (reader->wake != NULL && !reader->closed)
        reader->wake(reader->arg);
    reader->wake = NULL;
}

/* --- The link's half --- */

static void free_reader(struct gt_rq_reader *reader)
{
    for (size_t i = 0; i < reader->item_count; i++)
        rmq_block_unref(reader->items[(reader->item_at + i) % RING].block);
    for (size_t i = 0; i < reader->looked_count; i++)
        rmq_block_unref(reader->looked[i]);
    for (size_t i = 0; i < reader->held_count; i++)
        rmq_block_unref(reader->held[i]);
    rmq_block_unref(reader->current.block);
    free(reader->items);
    free(reader->looked);
    free(reader->held);
    free(reader->tickets);
    free(reader->connector);
    free(reader->group);
    gt_rq_memory_deinit(&reader->memory);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

static void came(struct gt_rq_reader *reader)
{
    struct gt_rocketmq *topics = reader->topics;
    reader->outstanding--;
    if (reader->gone && reader->outstanding == 0)
        free_reader(reader);
    gt_rq_came(topics);
}

static void expect(struct gt_rq_reader *reader)
{
    reader->outstanding++;
    reader->topics->outstanding++;
}

static void put_item(struct gt_rq_reader *reader, const struct rmq_block *block, int64_t moved)
{
    pthread_mutex_lock(&reader->lock);
    reader->items[(reader->item_at + reader->item_count++) % RING] = (struct item){block, moved};
    reader->item_bytes += block != NULL ? block->bytes.len : 0;
    reader->trouble_text[0] = '\0';
    wake_reader(reader);
    pthread_mutex_unlock(&reader->lock);
}

static bool has_room(struct gt_rq_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    bool room = reader->item_count < BLOCKS_MAX && reader->item_bytes < BLOCKS_BYTES;
    reader->full = !room;
    pthread_mutex_unlock(&reader->lock);
    return room;
}

static void show_trouble(struct gt_rq_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    snprintf(reader->trouble_text, sizeof reader->trouble_text,
             "reading topic %s, queue %u of broker %s: %s", reader->topic->api.name,
             reader->queue->id, reader->queue->broker, reader->pending_trouble);
    reader->trouble_new = true;
    wake_reader(reader);
    pthread_mutex_unlock(&reader->lock);
}

static void probe(void *arg);

static void show_well(struct gt_rq_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    reader->trouble_text[0] = '\0';
    reader->trouble_new = true;
    wake_reader(reader);
    pthread_mutex_unlock(&reader->lock);
}

/* The queue answers again, or still does not. */
static void on_probed(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct gt_rq_reader *reader = arg;
    if (reader->gone) {
        ;
    } else if (rc == 0) {
        if (offset > atomic_load(&reader->queue->end))
            atomic_store(&reader->queue->end, offset);
        show_well(reader);
    } else {
        snprintf(reader->pending_trouble, sizeof reader->pending_trouble, "%s", err->text);
        show_trouble(reader);
        gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_TROUBLE_MS, probe, reader);
    }
    came(reader);
}

static void probe(void *arg)
{
    struct gt_rq_reader *reader = arg;
    struct rmq_err err;
    if (reader->refused && reader->puller != NULL) {
        /* An answer to another question says nothing about that, the puller's own one does. */
        if (rmq_puller_failing(reader->puller)) {
            show_trouble(reader);
            gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_TROUBLE_MS, probe, reader);
        } else {
            show_well(reader);
        }
        return;
    }
    if (rmq_admin_max_offset(reader->topics->client, reader->topic->api.name, reader->queue->broker,
                             (int32_t)reader->queue->id, on_probed, reader, &err) == 0) {
        expect(reader);
    } else {
        show_trouble(reader);
        gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_TROUBLE_MS, probe, reader);
    }
}

/* The puller tells an error once and goes on by itself: shown when nothing has come for a while. */
static void take_error(struct gt_rq_reader *reader, const struct rmq_err *err)
{
    if (err->code == RMQ_REFUSED && err->server_code == GROUP_UNKNOWN && !reader->group_asked) {
        reader->group_asked = true;
        gt_rq_make_group(reader->topics, reader->group);
    }
    if (err->code == RMQ_REFUSED && err->server_code == RMQ_REPLY_TOPIC_NOT_EXIST)
        gt_rq_topic_ask_again(reader->topics, reader->topic->api.name);
    snprintf(reader->pending_trouble, sizeof reader->pending_trouble, "%s", err->text);
    reader->refused = err->code == RMQ_REFUSED;
    if (!reader->trouble_timer.armed)
        gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_TROUBLE_MS, probe, reader);
}

static void pull(struct gt_rq_reader *reader)
{
    while (reader->puller != NULL && has_room(reader)) {
        const struct rmq_block *block = NULL;
        int64_t moved = 0;
        struct rmq_err err = {0};
        int rc = rmq_puller_next(reader->puller, &block, &moved, &err);
        if (rc == 0)
            return;
        if (rc == 1) {
            if (block->max_offset > atomic_load(&reader->queue->end))
                atomic_store(&reader->queue->end, block->max_offset);
            gt_rq_not_later(reader->topics, &reader->trouble_timer);
            put_item(reader, block, block->next_offset);
        } else if (rc == RMQ_MOVED) {
            put_item(reader, NULL, moved);
        } else {
            take_error(reader, &err);
        }
    }
}

static void on_ready(void *arg)
{
    pull(arg);
}

static void open_puller(void *arg)
{
    struct gt_rq_reader *reader = arg;
    struct rmq_err err = {0};
    struct rmq_puller_options options = {
        .struct_size = sizeof options,
        .group = reader->group,
        .topic = reader->topic->api.name,
        .broker = reader->queue->broker,
        .queue_id = (int32_t)reader->queue->id,
        .offset = reader->start,
        .max_in_flight = PULLS,
        .max_bytes = PULLED_BYTES,
        .ready = on_ready,
        .arg = reader,
    };
    if (reader->gone)
        return;
    if (rmq_puller_new(reader->topics->client, &options, &reader->puller, &err) == 0) {
        pull(reader); /* so that ready() will be called */
        return;
    }
    reader->puller = NULL;
    snprintf(reader->pending_trouble, sizeof reader->pending_trouble, "%s", err.text);
    show_trouble(reader);
    gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_PAUSE_MAX_MS, open_puller, reader);
}

#define READER_OF(mail, member)                                                                    \
    ((struct gt_rq_reader *)((char *)(mail)-offsetof(struct gt_rq_reader, member)))

static void on_open(struct gt_mail *mail)
{
    open_puller(READER_OF(mail, open_mail));
}

static void on_more(struct gt_mail *mail)
{
    pull(READER_OF(mail, more_mail));
}

/* --- Looking at a stretch --- */

static void on_looked_block(void *arg, const struct rmq_block *block)
{
    struct gt_rq_reader *reader = arg;
    pthread_mutex_lock(&reader->lock);
    bool room = reader->looked_bytes < LOOK_BYTES;
    if (room && reader->looked_count == reader->looked_cap) {
        size_t cap = reader->looked_cap != 0 ? reader->looked_cap * 2 : 16;
        const struct rmq_block **grown = realloc(reader->looked, cap * sizeof(*grown));
        room = grown != NULL;
        if (room) {
            reader->looked = grown;
            reader->looked_cap = cap;
        }
    }
    if (room) {
        reader->looked[reader->looked_count++] = rmq_block_ref(block);
        reader->looked_bytes += block->bytes.len;
    }
    pthread_mutex_unlock(&reader->lock);
    if (!room)
        gt_warn("topic", "too much to look at for repeats topic=%s queue=%u broker=%s offset=%lld",
                reader->topic->api.name, reader->queue->id, reader->queue->broker,
                (long long)block->first_offset);
}

static void on_look_trouble(void *arg, const char *text)
{
    struct gt_rq_reader *reader = arg;
    snprintf(reader->pending_trouble, sizeof reader->pending_trouble, "%s", text);
    if (!reader->trouble_timer.armed)
        gt_rq_later(reader->topics, &reader->trouble_timer, GT_RQ_TROUBLE_MS, probe, reader);
}

static void on_look_end(void *arg, int code, const struct rmq_err *err)
{
    struct gt_rq_reader *reader = arg;
    reader->scanning = false;
    if (code != 0)
        gt_warn("topic", "cannot look for repeats topic=%s queue=%u broker=%s: %s",
                reader->topic->api.name, reader->queue->id, reader->queue->broker, err->text);
    gt_rq_not_later(reader->topics, &reader->trouble_timer);
    pthread_mutex_lock(&reader->lock);
    reader->look = LOOK_DONE;
    reader->trouble_text[0] = '\0';
    wake_reader(reader);
    pthread_mutex_unlock(&reader->lock);
}

static void on_look(struct gt_mail *mail)
{
    struct gt_rq_reader *reader = READER_OF(mail, look_mail);
    reader->scanning = true;
    reader->scan.block = on_looked_block;
    reader->scan.trouble = on_look_trouble;
    reader->scan.ended = on_look_end;
    reader->scan.arg = reader;
    gt_rq_scan_start(&reader->scan, reader->topics, reader->connector, reader->topic->api.name,
                     reader->queue->broker, reader->queue->id, reader->look_from, reader->look_to);
}

/* --- Telling the broker --- */

static void report(void *arg);

static void on_reported(void *arg, int rc, const struct rmq_err *err)
{
    struct gt_rq_reader *reader = arg;
    reader->reporting = false;
    if (rc == RMQ_REFUSED && err->server_code == GROUP_UNKNOWN && !reader->group_asked) {
        reader->group_asked = true;
        gt_rq_make_group(reader->topics, reader->group);
    }
    if (rc != 0)
        reader->reported = -1; /* with the next one */
    if (!reader->gone)
        gt_rq_later(reader->topics, &reader->report_timer, REPORT_MS, report, reader);
    else if (rc == 0)
        report(reader); /* what could not be told while this was under way */
    came(reader);
}

static void report(void *arg)
{
    struct gt_rq_reader *reader = arg;
    struct rmq_err err;
    int64_t offset = atomic_load(&reader->committed);
    if (offset == reader->reported || reader->reporting)
        return;
    if (rmq_admin_set_group_offset(reader->topics->client, reader->group, reader->topic->api.name,
                                   reader->queue->broker, (int32_t)reader->queue->id, offset,
                                   on_reported, reader, &err) == 0) {
        reader->reported = offset;
        reader->reporting = true;
        expect(reader);
    }
}

static void on_report(struct gt_mail *mail)
{
    struct gt_rq_reader *reader = READER_OF(mail, report_mail);
    if (!reader->report_timer.armed && !reader->reporting)
        report(reader);
}

static void on_close(struct gt_mail *mail)
{
    struct gt_rq_reader *reader = READER_OF(mail, close_mail);
    expect(reader);
    if (reader->reports && atomic_load(&reader->committed) >= 0)
        report(reader); /* the last one, whenever the one before was, or when that is answered */
    reader->gone = true;
    gt_rq_not_later(reader->topics, &reader->trouble_timer);
    gt_rq_not_later(reader->topics, &reader->report_timer);
    if (reader->scanning)
        gt_rq_scan_stop(&reader->scan);
    if (reader->puller != NULL)
        rmq_puller_close(reader->puller);
    reader->puller = NULL;
    came(reader);
}

/* --- The executor's half --- */

int gt_rq_reader_open(struct gt_topic *api, const struct gt_reader_spec *spec,
                      struct gt_reader **ret, struct gantry_err *err)
{
    struct gt_rq_topic *topic = (struct gt_rq_topic *)api;
    const char *connector = spec->connector != NULL ? spec->connector : "reader";
    if (spec->queue >= gt_topic_queues(api) || spec->offset < 0)
        return gantry_err_set(
            err, GANTRY_INVALID, "topic %s has %u queues; there is no queue %u, offset %lld",
            api->name, gt_topic_queues(api), spec->queue, (long long)spec->offset);
    struct gt_rq_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a reader of topic %s",
                              api->name);
    reader->api.engine = api->engine;
    reader->topics = topic->topics;
    reader->topic = topic;
    pthread_mutex_lock(&topic->lock);
    reader->queue = topic->queues[spec->queue];
    pthread_mutex_unlock(&topic->lock);
    reader->offset = reader->start = spec->offset;
    reader->reports = spec->connector != NULL;
    reader->reported = -1;
    atomic_store(&reader->committed, -1);
    reader->open_mail.run = on_open;
    reader->more_mail.run = on_more;
    reader->look_mail.run = on_look;
    reader->report_mail.run = on_report;
    reader->close_mail.run = on_close;
    pthread_mutex_init(&reader->lock, NULL);
    gt_rq_memory_init(&reader->memory);
    reader->connector = strdup(connector);
    reader->group = gt_rq_group(reader->topics, connector);
    reader->items = calloc(RING, sizeof *reader->items);
    reader->held = calloc(HELD_MAX, sizeof(*reader->held));
    int code = reader->connector != NULL && reader->group != NULL && reader->items != NULL &&
                       reader->held != NULL
                   ? gt_rq_memory_load(&reader->memory, spec->state)
                   : GANTRY_NO_MEMORY;
    if (code != 0) {
        free_reader(reader);
        return gantry_err_set(err, code, "the state of the reader of topic %s: %s", api->name,
                              gantry_error_text(code));
    }
    int64_t replay = gt_rq_memory_replay_from(&reader->memory);
    reader->replayed = replay < 0 || replay >= reader->offset;
    if (!reader->replayed) {
        reader->look = LOOK_ASKED;
        reader->look_from = replay;
        reader->look_to = reader->offset;
        gt_link_send(reader->topics->link, &reader->look_mail);
    }
    gt_link_send(reader->topics->link, &reader->open_mail);
    *ret = &reader->api;
    return 0;
}

void gt_rq_reader_close(struct gt_reader *api)
{
    struct gt_rq_reader *reader = (struct gt_rq_reader *)api;
    pthread_mutex_lock(&reader->lock);
    reader->closed = true;
    pthread_mutex_unlock(&reader->lock);
    gt_link_send(reader->topics->link, &reader->close_mail);
}

int64_t gt_rq_reader_offset(const struct gt_reader *api)
{
    return ((const struct gt_rq_reader *)api)->offset;
}

void gt_rq_reader_state(const struct gt_reader *api, struct gt_buf *buf)
{
    gt_rq_memory_save(&((const struct gt_rq_reader *)api)->memory, buf);
}

bool gt_rq_reader_arm(struct gt_reader *api, void (*wake)(void *arg), void *arg)
{
    struct gt_rq_reader *reader = (struct gt_rq_reader *)api;
    pthread_mutex_lock(&reader->lock);
    bool some =
        reader->look == LOOK_DONE || reader->trouble_new ||
        (reader->look == LOOK_NONE && (reader->item_count > 0 || reader->current.block != NULL));
    if (!some) {
        reader->wake = wake;
        reader->arg = arg;
    }
    pthread_mutex_unlock(&reader->lock);
    return !some;
}

void gt_rq_reader_committed(struct gt_reader *api, int64_t offset)
{
    struct gt_rq_reader *reader = (struct gt_rq_reader *)api;
    if (!reader->reports || atomic_exchange(&reader->committed, offset) == offset)
        return;
    gt_link_send(reader->topics->link, &reader->report_mail);
}

void gt_rq_reader_took(struct gt_reader *api, size_t count)
{
    struct gt_rq_reader *reader = (struct gt_rq_reader *)api;
    for (size_t i = 0; i < count && i < reader->slice_count; i++)
        gt_rq_memory_took(&reader->memory, &reader->tickets[i]);
    reader->offset =
        count >= reader->slice_count ? reader->slice_end : reader->slice_first + (int64_t)count;
}

/* Give back what the last slice pointed into, and begin where the sink stands: at the present block
 * if that has the offset, else in one of those held. */
static void rewind_slice(struct gt_rq_reader *reader)
{
    size_t keep = reader->held_count;
    if (reader->slice_count > 0 && reader->offset < reader->slice_end) {
        /* Not all was taken: go back. Blocks are put in front again, in their order. */
        pthread_mutex_lock(&reader->lock);
        if (reader->current.block != NULL) {
            reader->item_at = (reader->item_at + RING - 1) % RING;
            reader->items[reader->item_at] = reader->current;
            reader->item_count++;
            reader->item_bytes += reader->current.block->bytes.len;
            reader->current.block = NULL;
        }
        while (keep > 0 && reader->held[keep - 1]->next_offset > reader->offset) {
            const struct rmq_block *block = reader->held[--keep];
            reader->item_at = (reader->item_at + RING - 1) % RING;
            reader->items[reader->item_at] = (struct item){block, block->next_offset};
            reader->item_count++;
            reader->item_bytes += block->bytes.len;
        }
        pthread_mutex_unlock(&reader->lock);
    }
    /* Also when all was taken: what came behind it was judged and could not be handed out. */
    gt_rq_memory_rewind(&reader->memory);
    for (size_t i = 0; i < keep; i++)
        rmq_block_unref(reader->held[i]);
    reader->held_count = 0;
    reader->slice_count = 0;
}

/* What was read of a stretch: for a message that waits, or for the memory as it was stored. */
static int take_looked(struct gt_rq_reader *reader)
{
    int code = 0;
    struct rmq_err err;
    for (size_t i = 0; i < reader->looked_count; i++) {
        struct rmq_view rest = reader->looked[i]->bytes;
        struct rmq_message message;
        while (code == 0 && rmq_message_next(&rest, &message, &err) == 1) {
            struct gt_rq_seen seen;
            gt_rq_look(message.properties, &seen);
            if (message.queue_offset < reader->look_from || message.queue_offset >= reader->look_to)
                continue;
            code = reader->replayed
                       ? gt_rq_memory_slipped(&reader->memory, &reader->awaited, &seen)
                       : gt_rq_memory_replay(&reader->memory, &seen, message.queue_offset);
        }
        rmq_block_unref(reader->looked[i]);
    }
    reader->looked_count = reader->looked_bytes = 0;
    if (reader->replayed)
        gt_rq_memory_looked(&reader->memory, &reader->awaited, reader->look_from, reader->look_to);
    reader->replayed = true;
    return code;
}

/* The next block becomes the current one. False: there is none. A move to another offset is made
 * here unless something was decoded before it (@p some), which has to be handed out first. */
static bool next_block(struct gt_rq_reader *reader, bool some)
{
    bool more = false;
    while (reader->current.block == NULL) {
        struct item item;
        pthread_mutex_lock(&reader->lock);
        bool any =
            reader->item_count > 0 && !(some && reader->items[reader->item_at].block == NULL);
        if (any) {
            item = reader->items[reader->item_at];
            reader->item_at = (reader->item_at + 1) % RING;
            reader->item_count--;
            reader->item_bytes -= item.block != NULL ? item.block->bytes.len : 0;
            more = more || (reader->full && reader->item_count < BLOCKS_MAX / 2 &&
                            reader->item_bytes < BLOCKS_BYTES / 2);
            if (more)
                reader->full = false;
        }
        pthread_mutex_unlock(&reader->lock);
        if (!any)
            break;
        if (item.block == NULL) {
            gt_warn("topic", "%s topic=%s queue=%u broker=%s from=%lld to=%lld",
                    item.moved > reader->offset
                        ? "messages were deleted before they were read"
                        : "the broker has lost messages; what it has there now is read",
                    reader->topic->api.name, reader->queue->id, reader->queue->broker,
                    (long long)reader->offset, (long long)item.moved);
            reader->offset = reader->slice_end = item.moved;
            continue;
        }
        reader->current = item;
        reader->rest = item.block->bytes;
    }
    if (more)
        gt_link_send(reader->topics->link, &reader->more_mail);
    return reader->current.block != NULL;
}

struct slice {
    struct gt_message *messages;
    size_t count, bytes;
    bool closed; /* nothing more can be added */
};

/* Room for one more message's ticket; grown as needed, for most readers are idle. */
static bool has_ticket(struct gt_rq_reader *reader, size_t count)
{
    if (count < reader->ticket_cap)
        return true;
    size_t cap = reader->ticket_cap != 0 ? reader->ticket_cap * 2 : 64;
    struct gt_rq_ticket *grown = realloc(reader->tickets, cap * sizeof *grown);
    if (grown == NULL)
        return false;
    reader->tickets = grown;
    reader->ticket_cap = cap;
    return true;
}

/* One message of the current block. */
static int take_message(struct gt_rq_reader *reader, const struct rmq_message *message,
                        struct gt_arena *arena, struct slice *slice, struct gantry_err *err)
{
    struct gt_rq_seen seen;
    enum gt_rq_verdict verdict;
    int64_t from;
    gt_rq_look(message->properties, &seen);
    int code = GANTRY_NO_MEMORY;
    if (has_ticket(reader, slice->count))
        code = gt_rq_memory_judge(&reader->memory, &seen, message->queue_offset, &verdict,
                                  &reader->tickets[slice->count], &from);
    if (code != 0)
        return gantry_err_set(err, code, "no memory for messages of topic %s",
                              reader->topic->api.name);
    if (verdict == GT_RQ_LOOK) {
        reader->awaited = seen;
        reader->look_from = from;
        reader->look_to = message->queue_offset;
        slice->closed = true;
        return GANTRY_AGAIN;
    }
    if (verdict == GT_RQ_DROP) {
        slice->closed = slice->count > 0; /* the offsets of a slice have no gap */
        return 0;
    }
    struct gantry_err reason = {0};
    code = gt_rq_decode(message, arena, &slice->messages[slice->count], &reason);
    if (code != 0)
        return gantry_err_set(err, code, "message %lld of topic %s, queue %u of broker %s: %s",
                              (long long)message->queue_offset, reader->topic->api.name,
                              reader->queue->id, reader->queue->broker, reason.text);
    slice->count++;
    slice->bytes += message->body.len;
    return 0;
}

/* Decode from the current block until it ends, or the slice is closed. */
static int take_block(struct gt_rq_reader *reader, struct gt_arena *arena, struct slice *slice,
                      struct gantry_err *err)
{
    struct rmq_err reason = {0};
    while (!slice->closed && slice->count < SLICE_MESSAGES) {
        struct rmq_view before = reader->rest;
        struct rmq_message message;
        int rc = rmq_message_next(&reader->rest, &message, &reason);
        if (rc < 0)
            return gantry_err_set(err, GANTRY_CORRUPT, "topic %s, queue %u of broker %s: %s",
                                  reader->topic->api.name, reader->queue->id, reader->queue->broker,
                                  reason.text);
        if (rc == 0) {
            reader->slice_end = reader->current.block->next_offset;
            reader->held[reader->held_count++] = reader->current.block;
            reader->current.block = NULL;
            return 0;
        }
        if (message.queue_offset < reader->offset)
            continue; /* taken before */
        if (slice->count > 0 && message.queue_offset != reader->slice_end) {
            reader->rest = before;
            slice->closed = true;
            return 0;
        }
        size_t count = slice->count;
        int code = take_message(reader, &message, arena, slice, err);
        if (code != 0) {
            reader->rest = before;
            return code;
        }
        if (slice->count > count && count == 0)
            reader->slice_first = message.queue_offset;
        reader->slice_end = message.queue_offset + 1;
        if (slice->count == 0)
            reader->offset = reader->slice_end; /* passed over, nothing before it waits */
    }
    return 0;
}

static int decode_slice(struct gt_rq_reader *reader, struct gt_arena *arena, struct slice *slice,
                        struct gantry_err *err)
{
    int code = 0;
    while (code == 0 && !slice->closed && slice->count < SLICE_MESSAGES &&
           slice->bytes < SLICE_BYTES && reader->held_count < HELD_MAX) {
        if (reader->current.block == NULL && !next_block(reader, slice->count > 0))
            break;
        code = take_block(reader, arena, slice, err);
        if (slice->count == 0)
            reader->offset = reader->slice_end;
    }
    return code;
}

int gt_rq_reader_next(struct gt_reader *api, struct gt_arena *arena, const struct gt_message **ret,
                      size_t *ret_count, int64_t *ret_first, struct gantry_err *err)
{
    struct gt_rq_reader *reader = (struct gt_rq_reader *)api;
    struct slice slice = {0};
    *ret_count = 0;
    rewind_slice(reader);
    reader->slice_end = reader->offset;

    pthread_mutex_lock(&reader->lock);
    enum look_state look = reader->look;
    if (look == LOOK_DONE)
        reader->look = LOOK_NONE;
    bool trouble = reader->trouble_text[0] != '\0' && reader->item_count == 0;
    reader->trouble_new = false;
    if (trouble)
        gantry_err_set(err, GANTRY_AGAIN, "%s", reader->trouble_text);
    pthread_mutex_unlock(&reader->lock);
    if (look == LOOK_ASKED)
        return trouble ? GANTRY_AGAIN : 0;
    if (look == LOOK_DONE && take_looked(reader) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for messages of topic %s",
                              reader->topic->api.name);

    slice.messages = gt_arena_alloc(arena, SLICE_MESSAGES * sizeof *slice.messages);
    if (slice.messages == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for messages of topic %s",
                              reader->topic->api.name);
    int code = decode_slice(reader, arena, &slice, err);
    bool ask = code == GANTRY_AGAIN;
    if (ask && slice.count == 0) {
        pthread_mutex_lock(&reader->lock);
        reader->look = LOOK_ASKED;
        pthread_mutex_unlock(&reader->lock);
        gt_link_send(reader->topics->link, &reader->look_mail);
    }
    if (code != 0 && !ask && slice.count == 0)
        return code; /* else what is before it goes first */
    reader->slice_count = slice.count;
    *ret = slice.messages;
    *ret_count = slice.count;
    *ret_first = reader->slice_first;
    return slice.count == 0 && trouble ? GANTRY_AGAIN : 0;
}
