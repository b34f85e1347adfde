/* SPDX-License-Identifier: Apache-2.0 */
/* A puller has a row of pulls, sorted by offset, and behind it a queue of things to hand out.
 *
 * `next` is the offset that must be had next. A pull asked for exactly there is an "exact" one: it
 * may be held by the broker, and whatever comes of it counts. The others are guesses at where the
 * pull before them will end; only messages count of them. Replies wait in the row until the row's
 * first one is at `next`; what a reply has too much is cut, what is missing between two is asked
 * for exactly. So blocks are in order without gap or repeat, however the replies come, and a wrong
 * guess costs time only.
 *
 * Nothing is guessed beyond the end of the queue as the broker said it last: at the end, one exact
 * pull waits at the broker. */
#include "puller.h"
#include "block.h"
#include "internal.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef RMQ_PULLER_PAUSE_MS
#define RMQ_PULLER_PAUSE_MS 100 /* the first pause after an error; tests are in a hurry */
#endif

enum {
    MESSAGES = 32, /* what a broker gives unless it is set up otherwise */
    IN_FLIGHT = 16,
    IN_FLIGHT_MAX = 1024,
    OPEN_EXTRA = 64, /* pulls given up of which the reply is still to come */
    SUSPEND_MS = 15000,
    REPLY_MS =
        15000, /* for a reply beyond what the broker may hold the pull (it looks every 5 s) */
    PAUSE_MIN_MS = RMQ_PULLER_PAUSE_MS,
    PAUSE_MAX_MS = 30 * PAUSE_MIN_MS,
    FLOW_PAUSE_MS =
        (PAUSE_MIN_MS + 4) / 5, /* the broker, or our own connection, wants fewer requests */
    GROW_AFTER = 32,            /* full replies before a larger one is tried */
    GROW_AFTER_MAX = 4096,
    TOLD_MAX = 8,
    NOTICES_MAX = 16,
    OFFSET_BITS = 62, /* of an offset that can be; so sums of some do not overflow */
    SYS_SUSPEND = 2,
    SYS_SUBSCRIPTION = 4
};

enum pull_state {
    PULL_FLYING,
    PULL_GOT,    /* block is set */
    PULL_USELESS /* a guess of which nothing came */
};

struct pull {
    struct rmq_puller *puller;
    struct pull *next; /* in the row */
    enum pull_state state;
    bool exact;
    bool stale; /* in no row any more: waits for its reply, to be freed */
    int64_t offset;
    int64_t count; /* messages asked for */
    struct rmq_block *block;
};

/* Something to hand out. */
struct item {
    struct item *next;
    int rc; /* 1: block; RMQ_MOVED: offset; else err */
    struct rmq_block *block;
    int64_t offset;
    struct rmq_err err[]; /* one, if rc is an error */
};

struct kind {
    int rc;
    int32_t server_code;
};

struct rmq_puller {
    struct rmq_client *client;
    struct rmq_puller_options options; /* its texts are owned */
    uv_timer_t timer;                  /* the end of a pause */
    bool timer_closed, closed, paused;
    bool waiting;      /* the timer runs: nothing is asked for */
    int64_t pause_ms;  /* the next one */
    int64_t broker_id; /* whom to ask; -1: the master, or whoever is there */
    size_t open;       /* replies to come, stale ones included */
    struct pull *row;
    size_t row_len, flying;
    size_t window;      /* pulls in the row that are allowed now */
    int64_t stride;     /* messages to ask for: what replies hold */
    size_t full;        /* full replies since the stride has changed */
    size_t grow_after;  /* when a larger stride is tried */
    size_t reply_bytes; /* of the last one */
    int64_t next;
    int64_t max_offset; /* as the broker said it last; -1: not yet */
    size_t cached;      /* bytes in row and queue */
    struct item *first, **last;
    size_t notices; /* items that are no blocks */
    int64_t taken;  /* behind what was handed out */
    bool hungry;    /* next had nothing: call ready */
    struct kind told[TOLD_MAX];
    size_t told_count;
};

static void fill(struct rmq_puller *puller);

/* --- the queue of what is handed out --- */

static bool push(struct rmq_puller *puller, int rc, struct rmq_block *block, int64_t offset,
                 const struct rmq_err *err)
{
    struct item *item = malloc(sizeof(*item) + (err != NULL ? sizeof(*err) : 0));
    if (item == NULL)
        return false;
    item->next = NULL;
    item->rc = rc;
    item->block = block;
    item->offset = offset;
    if (err != NULL)
        item->err[0] = *err;
    *puller->last = item;
    puller->last = &item->next;
    return true;
}

static void free_items(struct rmq_puller *puller)
{
    while (puller->first != NULL) {
        struct item *item = puller->first;
        puller->first = item->next;
        if (item->block != NULL)
            puller->cached -= rmq_block_cost(item->block);
        rmq_block_unref(item->block);
        free(item);
    }
    puller->last = &puller->first;
    puller->notices = 0;
}

/* Tell an error, unless its kind has been told since the last success. */
static void tell_error(struct rmq_puller *puller, const struct rmq_err *err)
{
    for (size_t i = 0; i < puller->told_count; i++) {
        if (puller->told[i].rc == err->code && puller->told[i].server_code == err->server_code)
            return;
    }
    if (puller->told_count == TOLD_MAX || puller->notices >= NOTICES_MAX)
        return;
    if (!push(puller, err->code, NULL, 0, err))
        return; /* it comes again */
    puller->notices++;
    puller->told[puller->told_count++] = (struct kind){err->code, err->server_code};
}

/* The last thing a callback of the loop does: ready may close the puller. */
static void tell_ready(struct rmq_puller *puller)
{
    if (puller->closed || !puller->hungry || puller->first == NULL)
        return;
    puller->hungry = false;
    puller->options.ready(puller->options.arg);
}

/* --- the row --- */

static void free_puller(struct rmq_puller *puller)
{
    if (!puller->closed || !puller->timer_closed || puller->open > 0)
        return;
    free((char *)(uintptr_t)puller->options.group);
    free((char *)(uintptr_t)puller->options.topic);
    free((char *)(uintptr_t)puller->options.broker);
    free((char *)(uintptr_t)puller->options.subscription);
    free(puller);
}

/* Take the row's first pull out: freed, or stale until its reply comes. */
static void drop_first(struct rmq_puller *puller)
{
    struct pull *pull = puller->row;
    puller->row = pull->next;
    puller->row_len--;
    if (pull->block != NULL) {
        puller->cached -= rmq_block_cost(pull->block);
        rmq_block_unref(pull->block);
        pull->block = NULL;
    }
    if (pull->state == PULL_FLYING) {
        puller->flying--;
        pull->stale = true;
    } else {
        free(pull);
    }
}

static void drop_row(struct rmq_puller *puller)
{
    while (puller->row != NULL)
        drop_first(puller);
}

static void shrink_window(struct rmq_puller *puller)
{
    puller->window = puller->window > 2 ? puller->window / 2 : 1;
}

/* The row's first pull has brought a block that begins at or before next. */
static void learn_from(struct rmq_puller *puller, const struct pull *pull)
{
    int64_t advance = pull->block->next_offset - pull->offset;
    if (advance >
        pull->count) { /* filtered ones do not count: there is no telling how far it goes */
        shrink_window(puller);
    } else if (advance == pull->count) {
        puller->full++;
        puller->window *= 2;
        if (puller->window > (size_t)puller->options.max_in_flight)
            puller->window = (size_t)puller->options.max_in_flight;
        if (puller->full >= puller->grow_after && puller->stride < puller->options.max_messages) {
            puller->stride += puller->stride / 4 + 1;
            if (puller->stride > puller->options.max_messages)
                puller->stride = puller->options.max_messages;
            puller->full = 0;
        }
    } else if (pull->block->next_offset < puller->max_offset && advance > 0) {
        if (puller->full < puller->grow_after && puller->grow_after < GROW_AFTER_MAX)
            puller->grow_after *= 2; /* large replies are rare: do not try so often */
        puller->full = 0;
        puller->stride = advance;
    }
}

/* Hand out what is complete. */
static void settle(struct rmq_puller *puller)
{
    while (puller->row != NULL) {
        struct pull *pull = puller->row;
        if (pull->state == PULL_FLYING) {
            if (pull->exact || pull->offset + pull->count > puller->next)
                return;
            shrink_window(puller); /* it can bring nothing new */
            drop_first(puller);
            continue;
        }
        if (pull->offset > puller->next)
            return; /* something is missing before it */
        if (pull->state == PULL_USELESS || pull->block->next_offset <= puller->next) {
            shrink_window(puller);
            drop_first(puller);
            continue;
        }
        learn_from(puller, pull);
        struct rmq_block *block = pull->block;
        size_t before = rmq_block_cost(block);
        if (pull->offset < puller->next)
            rmq_block_cut(block, puller->next);
        assert(before == rmq_block_cost(block));
        if (!push(puller, 1, block, 0, NULL)) {
            pull->block = NULL;
            puller->cached -= before;
            rmq_block_unref(block);
            drop_row(puller); /* all of it is asked for again */
            return;
        }
        pull->block = NULL;
        puller->next = block->next_offset;
        puller->told_count = 0;
        puller->pause_ms = PAUSE_MIN_MS;
        drop_first(puller);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct rmq_puller *puller = timer->data;
    puller->waiting = false;
    fill(puller);
    tell_ready(puller);
}

static void wait_for(struct rmq_puller *puller, int64_t ms)
{
    puller->waiting = true;
    (void)uv_timer_start(&puller->timer, on_timer, (uint64_t)ms, 0); /* cannot fail */
}

static void wait_longer(struct rmq_puller *puller)
{
    wait_for(puller, puller->pause_ms);
    puller->pause_ms *= 2;
    if (puller->pause_ms > PAUSE_MAX_MS)
        puller->pause_ms = PAUSE_MAX_MS;
}

/* An exact pull has failed. What was guessed behind it goes, too: another broker may answer next,
 * or the same one with less than it had. */
static void fail(struct rmq_puller *puller, const struct rmq_err *err)
{
    drop_row(puller);
    puller->window = 1;
    puller->max_offset = -1;
    puller->broker_id = -1;
    tell_error(puller, err);
    wait_longer(puller);
}

static void move_to(struct rmq_puller *puller, int64_t offset)
{
    drop_row(puller);
    puller->window = 1;
    puller->next = offset;
    struct item *last = NULL;
    for (struct item *item = puller->first; item != NULL; item = item->next)
        last = item;
    if (last != NULL && last->rc == RMQ_MOVED) {
        last->offset = offset;
    } else if (push(puller, RMQ_MOVED, NULL, offset, NULL)) {
        puller->notices++;
    } else {
        puller->next = puller->taken; /* blocks in between are repeated, and the move is told */
        free_items(puller);
        wait_longer(puller);
    }
}

/* Offsets passed over, without a message: their reader wants to commit them, too. */
static void pass_over(struct rmq_puller *puller, int64_t next_offset)
{
    struct rmq_block_wanted wanted = {puller->next, next_offset, puller->max_offset, 0, false};
    struct rmq_block *block;
    struct rmq_err err;
    if (puller->first != NULL && puller->last == &puller->first->next && puller->first->rc == 1 &&
        puller->first->block->bytes.len == 0) {
        puller->first->block->first_offset = next_offset;
        puller->first->block->next_offset = next_offset;
        puller->next = next_offset;
        return;
    }
    if (rmq_block_new(rmq_view(NULL, 0), &wanted, &block, &err) != 0) {
        fail(puller, &err);
        return;
    }
    if (!push(puller, 1, block, 0, NULL)) {
        rmq_block_unref(block);
        wait_longer(puller);
        return;
    }
    puller->cached += rmq_block_cost(block);
    puller->next = next_offset;
}

/* --- replies --- */

struct reply_fields {
    int64_t next_offset, min_offset, max_offset, broker_id, delta;
};

static bool can_be(int64_t offset)
{
    return offset >= 0 && offset >> OFFSET_BITS == 0;
}

/* false: a field that all these replies have is missing, or cannot be. */
static bool read_fields(const struct rmq_command *reply, struct reply_fields *ret)
{
    if (rmq_command_get_int(reply, "nextBeginOffset", &ret->next_offset) != 0 ||
        rmq_command_get_int(reply, "minOffset", &ret->min_offset) != 0 ||
        rmq_command_get_int(reply, "maxOffset", &ret->max_offset) != 0 || !can_be(ret->next_offset))
        return false;
    if (rmq_command_get_int(reply, "suggestWhichBrokerId", &ret->broker_id) != 0 ||
        ret->broker_id == 0)
        ret->broker_id = -1;
    if (rmq_command_get_int(reply, "offsetDelta", &ret->delta) != 0)
        ret->delta = 0;
    return true;
}

static int take_block(struct rmq_puller *puller, struct pull *pull, const struct rmq_command *reply,
                      const struct reply_fields *fields, struct rmq_err *err)
{
    struct rmq_block_wanted wanted = {pull->offset, fields->next_offset, fields->max_offset,
                                      fields->delta, puller->options.check};
    if (fields->next_offset <= pull->offset)
        return rmq_fail(err, RMQ_MALFORMED, "a reply for offset %lld goes on at %lld",
                        (long long)pull->offset, (long long)fields->next_offset);
    int rc = rmq_block_new(reply->body, &wanted, &pull->block, err);
    if (rc != 0)
        return rc;
    pull->state = PULL_GOT;
    puller->reply_bytes = rmq_block_cost(pull->block);
    puller->cached += puller->reply_bytes;
    return 0;
}

/* What an exact pull that brought no message says. It is not in the row any more. */
static void take_outcome(struct rmq_puller *puller, int64_t offset, const struct rmq_command *reply,
                         const struct reply_fields *fields)
{
    struct rmq_err err;
    char what[160];
    switch (reply->code) {
    case RMQ_REPLY_PULL_NOT_FOUND:
        puller->told_count = 0;
        puller->pause_ms = PAUSE_MIN_MS;
        return;
    case RMQ_REPLY_PULL_RETRY_IMMEDIATELY:
        if (fields->next_offset > offset) {
            puller->told_count = 0;
            pass_over(puller, fields->next_offset);
            return;
        }
        /* A replica that lags behind, or has lost the offset; it never corrects one. */
        (void)snprintf(what, sizeof(what),
                       "offset %" PRId64 " of a replica that has %" PRId64 " to %" PRId64, offset,
                       fields->min_offset, fields->max_offset);
        (void)rmq_refuse(&err, reply->code, what, reply->remark);
        fail(puller, &err);
        return;
    default: /* RMQ_REPLY_PULL_OFFSET_MOVED */
        puller->told_count = 0;
        if (fields->next_offset != offset)
            move_to(puller, fields->next_offset);
        else
            wait_longer(puller);
        return;
    }
}

static bool has_fields(int32_t code)
{
    return code == RMQ_REPLY_SUCCESS || code == RMQ_REPLY_PULL_NOT_FOUND ||
           code == RMQ_REPLY_PULL_RETRY_IMMEDIATELY || code == RMQ_REPLY_PULL_OFFSET_MOVED;
}

static void take_reply(struct rmq_puller *puller, struct pull *pull, int rc,
                       const struct rmq_command *reply, const struct rmq_err *given)
{
    struct rmq_err err;
    struct reply_fields fields = {0, 0, 0, -1, 0};
    bool exact = pull->exact;
    int64_t offset = pull->offset;
    pull->state = PULL_USELESS;
    if (rc != 0)
        err = *given;
    else if (!has_fields(reply->code))
        rc = rmq_refuse(&err, reply->code, "pull", reply->remark);
    else if (!read_fields(reply, &fields))
        rc = rmq_fail(&err, RMQ_MALFORMED,
                      "a reply to a pull without its offsets, or with absurd ones");
    else if (reply->code == RMQ_REPLY_SUCCESS)
        rc = take_block(puller, pull, reply, &fields, &err);
    if (rc == 0) {
        puller->broker_id = fields.broker_id;
        puller->max_offset = fields.max_offset;
    }
    if (pull->state == PULL_GOT || !exact)
        return;
    assert(puller->row == pull); /* an exact one is the first, and nothing but a seek moves next */
    drop_first(puller);
    if (rc == 0)
        take_outcome(puller, offset, reply, &fields);
    else if (rc == RMQ_REFUSED && err.server_code == RMQ_REPLY_FLOW_CONTROL)
        wait_for(puller, FLOW_PAUSE_MS);
    else
        fail(puller, &err);
}

/* An admin has reset the group. A broker says so once, to whichever pull comes next, so that of a
 * guess and of a pull given up this counts, too; another reason why it lacks an offset does not:
 * for that, they may have asked for a wrong one. Only the remark tells the one from the other. */
static bool is_reset(const struct rmq_command *reply, int64_t *ret_offset)
{
    return reply->code == RMQ_REPLY_PULL_OFFSET_MOVED &&
           rmq_view_equal(reply->remark, rmq_view_str("OFFSET_RESET")) &&
           rmq_command_get_int(reply, "nextBeginOffset", ret_offset) == 0 && can_be(*ret_offset);
}

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct pull *pull = arg;
    struct rmq_puller *puller = pull->puller;
    int64_t offset;
    bool reset = rc == 0 && (pull->stale || !pull->exact) && is_reset(reply, &offset);
    puller->open--;
    if (pull->stale) {
        free(pull);
        if (puller->closed) {
            free_puller(puller);
            return;
        }
    } else {
        puller->flying--;
        take_reply(puller, pull, rc, reply, err);
        settle(puller);
    }
    if (reset && offset != puller->next)
        move_to(puller, offset);
    fill(puller);
    tell_ready(puller);
}

/* --- asking --- */

static int ask_broker(struct rmq_puller *puller, struct pull *pull, struct rmq_err *err)
{
    const struct rmq_puller_options *options = &puller->options;
    struct rmq_command request;
    /* Behind an error an answer is wanted soon: whether it has passed. */
    bool hold = pull->exact && puller->told_count == 0;
    int64_t suspend_ms = hold ? options->suspend_ms : 0;
    rmq_command_init(&request, RMQ_PULL_MESSAGE);
    rmq_command_add_str(&request, "consumerGroup", options->group);
    rmq_command_add_str(&request, "topic", options->topic);
    rmq_command_add_int(&request, "queueId", options->queue_id);
    rmq_command_add_int(&request, "queueOffset", pull->offset);
    rmq_command_add_int(&request, "maxMsgNums", pull->count);
    rmq_command_add_int(&request, "sysFlag",
                        (hold ? SYS_SUSPEND : 0) | (options->member ? 0 : SYS_SUBSCRIPTION));
    rmq_command_add_int(&request, "commitOffset", 0);
    rmq_command_add_int(&request, "suspendTimeoutMillis", suspend_ms);
    if (!options->member)
        rmq_command_add_str(&request, "subscription", options->subscription);
    rmq_command_add_int(&request, "subVersion", 0);
    rmq_command_add_str(&request, "expressionType", "TAG");
    int rc = rmq_client_call_broker(puller->client, options->broker, puller->broker_id, &request,
                                    suspend_ms + REPLY_MS, on_reply, pull, err);
    rmq_command_deinit(&request);
    return rc;
}

/* A pull of that offset, behind *at in the row. */
static int ask(struct rmq_puller *puller, struct pull **at, int64_t offset, int64_t count,
               bool exact, struct rmq_err *err)
{
    struct pull *pull = calloc(1, sizeof(*pull));
    if (pull == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a pull");
    pull->puller = puller;
    pull->exact = exact;
    pull->offset = offset;
    pull->count = count;
    int rc = ask_broker(puller, pull, err);
    if (rc == RMQ_NOT_FOUND && puller->broker_id > 0) { /* the replica that was suggested is gone */
        puller->broker_id = -1;
        rc = ask_broker(puller, pull, err);
    }
    if (rc != 0) {
        free(pull);
        return rc;
    }
    pull->next = *at;
    *at = pull;
    puller->row_len++;
    puller->flying++;
    puller->open++;
    return 0;
}

/* Is there room for one more reply? */
static bool has_room(const struct rmq_puller *puller)
{
    return puller->cached + (puller->flying + 1) * puller->reply_bytes <= puller->options.max_bytes;
}

static void fill(struct rmq_puller *puller)
{
    struct rmq_err err;
    int rc = 0;
    size_t open_max = (size_t)puller->options.max_in_flight + OPEN_EXTRA;
    if (puller->closed || puller->paused || puller->waiting)
        return;
    if (puller->row != NULL && puller->row->offset > puller->next &&
        puller->next >= puller->max_offset)
        drop_row(puller); /* guesses beyond the end */
    if ((puller->row == NULL || puller->row->offset > puller->next) && puller->open < open_max) {
        int64_t count = puller->stride;
        if (puller->row != NULL && puller->row->offset - puller->next < count)
            count = puller->row->offset - puller->next;
        /* What a gap holds back may fill the room, so that the gap is filled all the same. */
        if (puller->first == NULL || has_room(puller))
            rc = ask(puller, &puller->row, puller->next, count, true, &err);
    }
    struct pull **tail = &puller->row;
    int64_t end = puller->next;
    for (; *tail != NULL; tail = &(*tail)->next)
        end = (*tail)->offset + (*tail)->count;
    while (rc == 0 && puller->row != NULL && puller->row_len < puller->window &&
           end < puller->max_offset && puller->open < open_max && has_room(puller)) {
        rc = ask(puller, tail, end, puller->stride, false, &err);
        if (rc == 0) {
            tail = &(*tail)->next;
            end += puller->stride;
        }
    }
    if (rc == RMQ_AGAIN)
        wait_for(puller, FLOW_PAUSE_MS);
    else if (rc != 0)
        fail(puller, &err);
}

/* --- public --- */

static int take_options(struct rmq_puller *puller, const struct rmq_puller_options *options,
                        struct rmq_err *err)
{
    struct rmq_puller_options *mine = &puller->options;
    const char *texts[4];
    memcpy(mine, options,
           options->struct_size < sizeof(*mine) ? options->struct_size : sizeof(*mine));
    texts[0] = mine->group;
    texts[1] = mine->topic;
    texts[2] = mine->broker;
    texts[3] =
        mine->subscription == NULL || mine->subscription[0] == '\0' ? "*" : mine->subscription;
    mine->group = mine->topic = mine->broker = mine->subscription = NULL;
    if (texts[0] == NULL || texts[1] == NULL || texts[2] == NULL || mine->ready == NULL)
        return rmq_fail(err, RMQ_INVALID, "a puller wants a group, a topic, a broker and ready");
    if (mine->queue_id < 0 || !can_be(mine->offset) || mine->max_messages < 0 ||
        mine->max_in_flight < 0 || mine->max_in_flight > IN_FLIGHT_MAX || mine->suspend_ms < 0)
        return rmq_fail(err, RMQ_INVALID,
                        "queue %d, offset %lld, %d messages, %d in flight: below 0 or too many",
                        (int)mine->queue_id, (long long)mine->offset, mine->max_messages,
                        mine->max_in_flight);
    mine->group = strdup(texts[0]);
    mine->topic = strdup(texts[1]);
    mine->broker = strdup(texts[2]);
    mine->subscription = strdup(texts[3]);
    if (mine->group == NULL || mine->topic == NULL || mine->broker == NULL ||
        mine->subscription == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a puller");
    if (mine->max_messages == 0)
        mine->max_messages = MESSAGES;
    if (mine->max_in_flight == 0)
        mine->max_in_flight = IN_FLIGHT;
    if (mine->max_bytes == 0)
        mine->max_bytes = (size_t)8 << 20;
    if (mine->suspend_ms == 0)
        mine->suspend_ms = SUSPEND_MS;
    return 0;
}

int rmq_puller_new(struct rmq_client *client, const struct rmq_puller_options *options,
                   struct rmq_puller **ret, struct rmq_err *err)
{
    struct rmq_puller *puller = calloc(1, sizeof(*puller));
    if (puller == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a puller");
    int rc = take_options(puller, options, err);
    if (rc != 0) {
        puller->closed = puller->timer_closed = true;
        free_puller(puller);
        return rc;
    }
    puller->client = client;
    puller->last = &puller->first;
    puller->pause_ms = PAUSE_MIN_MS;
    puller->broker_id = -1;
    puller->window = 1;
    puller->stride = puller->options.max_messages;
    puller->grow_after = GROW_AFTER;
    puller->next = puller->taken = puller->options.offset;
    puller->max_offset = -1;
    puller->hungry = true;
    (void)uv_timer_init(rmq_client_loop(client), &puller->timer); /* cannot fail */
    puller->timer.data = puller;
    fill(puller);
    *ret = puller;
    return 0;
}

int rmq_puller_next(struct rmq_puller *puller, const struct rmq_block **ret, int64_t *ret_offset,
                    struct rmq_err *err)
{
    struct item *item = puller->first;
    if (item == NULL) {
        puller->hungry = true;
        return 0;
    }
    puller->first = item->next;
    if (puller->first == NULL)
        puller->last = &puller->first;
    int rc = item->rc;
    if (rc == 1) {
        puller->cached -= rmq_block_cost(item->block);
        puller->taken = item->block->next_offset;
        *ret = item->block;
    } else {
        puller->notices--;
    }
    if (rc == RMQ_MOVED) {
        puller->taken = *ret_offset = item->offset;
        (void)rmq_fail(err, RMQ_MOVED, "%s, queue %d of %s: reading goes on at offset %" PRId64,
                       puller->options.topic, (int)puller->options.queue_id, puller->options.broker,
                       item->offset);
    } else if (rc < 0 && err != NULL) {
        *err = item->err[0];
    }
    free(item);
    fill(puller);
    return rc;
}

int64_t rmq_puller_offset(const struct rmq_puller *puller)
{
    return puller->taken;
}

bool rmq_puller_failing(const struct rmq_puller *puller)
{
    return puller->told_count > 0;
}

void rmq_puller_pause(struct rmq_puller *puller, bool paused)
{
    puller->paused = paused;
    if (!paused && puller->waiting) {
        (void)uv_timer_stop(&puller->timer);
        puller->waiting = false;
        puller->pause_ms = PAUSE_MIN_MS;
    }
    fill(puller);
}

/* Read there, and forget what was read before. */
static void restart(struct rmq_puller *puller, int64_t offset)
{
    drop_row(puller);
    free_items(puller);
    puller->window = 1;
    puller->next = puller->taken = offset;
    puller->max_offset = -1;
    puller->told_count = 0;
    puller->hungry = true; /* who had been called finds nothing any more */
}

void rmq_puller_seek(struct rmq_puller *puller, int64_t offset)
{
    restart(puller, offset < 0 ? 0 : offset);
    fill(puller);
}

bool rmq_puller_reset(struct rmq_puller *puller, int64_t offset)
{
    if (!can_be(offset))
        return false;
    restart(puller, offset);
    /* Without memory its reader is not told, but reads what it is to read. */
    puller->notices += push(puller, RMQ_MOVED, NULL, offset, NULL);
    fill(puller);
    return true;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct rmq_puller *puller = handle->data;
    puller->timer_closed = true;
    free_puller(puller);
}

void rmq_puller_close(struct rmq_puller *puller)
{
    drop_row(puller);
    free_items(puller);
    puller->closed = true;
    uv_close((uv_handle_t *)&puller->timer, on_timer_closed);
}
