/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of groups, from the source's queues to those of their copies.
 *
 * A copy says in gantry.origin which message it is of. In a queue of the target, the copies of one
 * source queue stand in that queue's order, perhaps with those of other queues in between. So the
 * first copy that a group has not consumed yet, by its offset at the source, is found by bisection:
 * look at a place, take the next copy of that source queue, go left or right. Copies of other
 * queues are passed over, some LOOKS times LOOK_MESSAGES of them; where there are still more, go
 * left: an offset may come out too small (something is consumed twice), never too large. A group
 * that has consumed a source queue to its end has consumed all copies of it that there were when
 * the target's ends were asked for, which is done before.
 *
 * Which source queues a target queue has copies of follows from their numbers (by_number() of the
 * worker's writer does the same): the offset is the smallest of them.
 *
 * One topic of one group at a time; nothing is asked for again while neither the group's offsets
 * nor the target's ends have changed. An offset in the target is raised, never set back. */
#include "meta.h"

#include "record.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MESSAGES = 32,
    LOOKS = 256, /* at one place, one after the other */
    LOOK_TIMEOUT_MS = 10000,
    SYS_SUBSCRIPTION = 4,
};

/* An offset at the source, or in the target. */
struct place {
    char *group, *topic, *broker; /* owned */
    int32_t queue_id;
    int64_t offset;
};

struct places {
    struct place *items; /* owned; sorted by topic, group, broker, queue */
    size_t count;
};

/* A queue's ends. */
struct ends {
    char *broker; /* owned */
    int32_t queue_id;
    int64_t min, max;
};

struct all_ends {
    struct ends *items; /* owned */
    size_t count;
};

/* What was found the last time: skipped while it is the same. */
struct settled {
    char *group, *topic; /* owned */
    uint64_t state;
};

struct rep_offsets {
    struct rep_meta *meta;
    struct places source, target;
    struct all_ends source_ends, target_ends; /* of the topic at hand */
    size_t at;     /* in source: the first place of the group and topic at hand */
    size_t behind; /* and behind its last one */
    size_t queue;  /* of target_ends: the one at hand */
    size_t feeder; /* of source_ends */
    bool checking; /* whether the newest copies are consumed, too */
    int64_t low;   /* of the bisection */
    int64_t high;
    int64_t next;    /* no copy from high to here is one that the group has not consumed */
    int64_t skipped; /* of the place at hand: messages looked at that are no copies of the feeder */
    uint32_t looks;
    int64_t least;           /* of the feeders so far; -1: it cannot be said */
    char *target_topic;      /* owned */
    struct settled *settled; /* owned */
    size_t settled_count;
};

static void next_topic(struct rep_offsets *offsets);
static void next_queue(struct rep_offsets *offsets);
static void next_feeder(struct rep_offsets *offsets);
static void bisect(struct rep_offsets *offsets);

/* --- Memory --- */

static void free_places(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        free(places->items[i].group);
        free(places->items[i].topic);
        free(places->items[i].broker);
    }
    free(places->items);
    *places = (struct places){0};
}

static void free_ends(struct all_ends *ends)
{
    for (size_t i = 0; i < ends->count; i++)
        free(ends->items[i].broker);
    free(ends->items);
    *ends = (struct all_ends){0};
}

int rep_offsets_new(struct rep_meta *meta, struct rep_offsets **ret)
{
    *ret = calloc(1, sizeof **ret);
    if (*ret == NULL)
        return GANTRY_NO_MEMORY;
    (*ret)->meta = meta;
    return 0;
}

void rep_offsets_free(struct rep_offsets *offsets)
{
    if (offsets == NULL)
        return;
    free_places(&offsets->source);
    free_places(&offsets->target);
    free_ends(&offsets->source_ends);
    free_ends(&offsets->target_ends);
    for (size_t i = 0; i < offsets->settled_count; i++) {
        free(offsets->settled[i].group);
        free(offsets->settled[i].topic);
    }
    free(offsets->settled);
    free(offsets->target_topic);
    free(offsets);
}

static void no_memory(struct rep_offsets *offsets)
{
    rep_meta_fail(offsets->meta, GANTRY_NO_MEMORY, "no memory for the groups' offsets");
}

static int by_place(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    int order = strcmp(left->topic, right->topic);
    if (order == 0)
        order = strcmp(left->group, right->group);
    if (order == 0)
        order = strcmp(left->broker, right->broker);
    return order != 0 ? order
                      : (left->queue_id > right->queue_id) - (left->queue_id < right->queue_id);
}

static bool add_place(struct places *places, const struct rmq_offset_row *row)
{
    if ((places->count & (places->count - 1)) == 0) { /* full at each power of two */
        struct place *grown =
            realloc(places->items, (places->count != 0 ? 2 * places->count : 1) * sizeof *grown);
        if (grown == NULL)
            return false;
        places->items = grown;
    }
    struct place *place = &places->items[places->count++];
    *place = (struct place){strdup(row->group), strdup(row->topic), strdup(row->broker),
                            row->queue_id, row->offset};
    return place->group != NULL && place->topic != NULL && place->broker != NULL;
}

static const struct place *find_place(const struct places *places, const char *group,
                                      const char *topic, const char *broker, int32_t queue_id)
{
    const struct place wanted = {(char *)(uintptr_t)group, (char *)(uintptr_t)topic,
                                 (char *)(uintptr_t)broker, queue_id, 0};
    if (places->count == 0)
        return NULL;
    return bsearch(&wanted, places->items, places->count, sizeof wanted, by_place);
}

static bool take_ends(struct all_ends *ends, const struct rmq_queue_stats *queues, size_t count)
{
    free_ends(ends);
    ends->items = calloc(count + 1, sizeof *ends->items);
    for (size_t i = 0; ends->items != NULL && i < count; i++) {
        struct ends *one = &ends->items[ends->count++];
        *one = (struct ends){strdup(queues[i].queue.broker), queues[i].queue.id,
                             queues[i].min_offset, queues[i].max_offset};
        if (one->broker == NULL)
            return false;
    }
    return ends->items != NULL;
}

/* --- What was found before --- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) ^ (hash >> 29);
}

/* All that the outcome follows from. */
static uint64_t state_of(const struct rep_offsets *offsets)
{
    uint64_t hash = 1;
    for (size_t i = offsets->at; i < offsets->behind; i++)
        hash = mix(mix(hash, (uint64_t)offsets->source.items[i].queue_id),
                   (uint64_t)offsets->source.items[i].offset);
    for (size_t i = 0; i < offsets->target_ends.count; i++)
        hash = mix(hash, (uint64_t)offsets->target_ends.items[i].max);
    return hash;
}

static struct settled *find_settled(struct rep_offsets *offsets, const struct place *place)
{
    for (size_t i = 0; i < offsets->settled_count; i++) {
        struct settled *known = &offsets->settled[i];
        if (strcmp(known->group, place->group) == 0 && strcmp(known->topic, place->topic) == 0)
            return known;
    }
    return NULL;
}

static void settle(struct rep_offsets *offsets)
{
    const struct place *place = &offsets->source.items[offsets->at];
    struct settled *known = find_settled(offsets, place);
    if (known == NULL) {
        struct settled *grown =
            realloc(offsets->settled, (offsets->settled_count + 1) * sizeof *grown);
        if (grown == NULL)
            return; /* it is done once more */
        offsets->settled = grown;
        known = &grown[offsets->settled_count];
        *known = (struct settled){strdup(place->group), strdup(place->topic), 0};
        if (known->group == NULL || known->topic == NULL) {
            free(known->group);
            free(known->topic);
            return;
        }
        offsets->settled_count++;
    }
    known->state = state_of(offsets);
}

/* --- Ends of a round --- */

static void give_up(struct rep_offsets *offsets, int rc, const char *what, const char *why)
{
    rep_meta_round_ended(offsets->meta, rc, what, why);
}

/* --- Setting --- */

static void on_set(void *arg, int rc, const struct rmq_err *err)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    if (!rep_meta_is_over(meta)) {
        const struct place *place = &offsets->source.items[offsets->at];
        const struct ends *queue = &offsets->target_ends.items[offsets->queue];
        if (rc == 0)
            rep_meta_tell(meta, place->group, offsets->target_topic, queue->broker, queue->queue_id,
                          offsets->least);
        else if (rc == RMQ_REFUSED) /* e.g. a group that the target does not know */
            rep_meta_log(meta, GANTRY_LOG_WARN, "offset of group %s, topic %s: %s", place->group,
                         offsets->target_topic, err->text);
        if (rc == 0 || rc == RMQ_REFUSED) {
            offsets->queue++;
            next_queue(offsets);
        } else {
            give_up(offsets, rc, "target-rocketmq", err->text);
        }
    }
    rep_meta_came(meta);
}

/* All feeders of the queue are through. */
static void set_offset(struct rep_offsets *offsets)
{
    struct rep_meta *meta = offsets->meta;
    const struct place *place = &offsets->source.items[offsets->at];
    const struct ends *queue = &offsets->target_ends.items[offsets->queue];
    const struct place *present = find_place(&offsets->target, place->group, offsets->target_topic,
                                             queue->broker, queue->queue_id);
    struct rmq_err err = {0};
    if (offsets->least <= 0 || offsets->least == INT64_MAX ||
        (present != NULL && present->offset >= offsets->least)) {
        offsets->queue++;
        next_queue(offsets);
        return;
    }
    meta->outstanding++;
    int rc = rmq_admin_set_group_offset(meta->target->client, place->group, offsets->target_topic,
                                        queue->broker, queue->queue_id, offsets->least, on_set,
                                        offsets, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    give_up(offsets, rc, "target-rocketmq", err.text);
}

/* --- Bisection --- */

/* CLUSTER/BROKER/TOPIC/QUEUE/OFFSET of the message if it is a copy of that queue; -1. */
static int64_t origin_offset(const struct rmq_message *message, const char *topic,
                             const struct ends *feeder)
{
    struct rmq_view origin = rmq_properties_get(message->properties, rmq_view_str(REP_ORIGIN));
    char wanted[400], digits[24];
    int len =
        snprintf(wanted, sizeof wanted, "/%s/%s/%d/", feeder->broker, topic, (int)feeder->queue_id);
    const char *slash = origin.len > 0 ? memchr(origin.data, '/', origin.len) : NULL;
    if (slash == NULL)
        return -1;
    size_t left = origin.len - (size_t)(slash - origin.data);
    if (left <= (size_t)len || memcmp(slash, wanted, (size_t)len) != 0)
        return -1;
    const char *number = slash + len;
    size_t count = 0;
    left -= (size_t)len;
    while (count < left && count < sizeof digits - 1 && number[count] >= '0' &&
           number[count] <= '9') {
        digits[count] = number[count];
        count++;
    }
    digits[count] = '\0';
    return count > 0 ? strtoll(digits, NULL, 10) : -1;
}

static void feeder_done(struct rep_offsets *offsets, int64_t offset)
{
    if (offset < offsets->least)
        offsets->least = offset;
    offsets->feeder++;
    next_feeder(offsets);
}

/* The queue's newest messages: whether the group has not consumed a copy of the feeder among them,
 * though it is at the end of the feeder as the broker says it. One that has just started may say
 * too little. */
static void take_check(struct rep_offsets *offsets, const struct rmq_command *reply)
{
    const struct place *place = &offsets->source.items[offsets->at];
    const struct ends *feeder = &offsets->source_ends.items[offsets->feeder];
    const struct ends *queue = &offsets->target_ends.items[offsets->queue];
    struct rmq_view rest = reply->body;
    struct rmq_message message;
    bool all = true;
    while (rmq_message_next(&rest, &message, NULL) > 0)
        all = all && (message.queue_offset >= queue->max ||
                      origin_offset(&message, place->topic, feeder) < feeder->max);
    offsets->checking = false;
    if (all)
        feeder_done(offsets, queue->max);
    else
        bisect(offsets);
}

static int64_t middle_of(const struct rep_offsets *offsets)
{
    if (!offsets->checking)
        return offsets->low + (offsets->high - offsets->low) / 2;
    return offsets->high - offsets->low > LOOK_MESSAGES ? offsets->high - LOOK_MESSAGES
                                                        : offsets->low;
}

/* Go on at the next place. */
static void looked(struct rep_offsets *offsets)
{
    offsets->skipped = 0;
    offsets->looks = 0;
    bisect(offsets);
}

/* The messages from a place on. */
static void take_look(struct rep_offsets *offsets, const struct rmq_command *reply)
{
    const struct place *place = &offsets->source.items[offsets->at];
    const struct ends *feeder = &offsets->source_ends.items[offsets->feeder];
    const struct place *stand =
        find_place(&offsets->source, place->group, place->topic, feeder->broker, feeder->queue_id);
    struct rmq_view rest = reply->body;
    struct rmq_message message;
    int64_t middle = middle_of(offsets), from = middle + offsets->skipped, at = from, origin = -1;
    while (origin < 0 && at < offsets->high && rmq_message_next(&rest, &message, NULL) > 0) {
        if (message.queue_offset < from)
            continue;
        at = message.queue_offset;
        if (at < offsets->high)
            origin = origin_offset(&message, place->topic, feeder);
        if (origin < 0)
            at++;
    }
    if (origin >= 0 && stand != NULL && origin < stand->offset) {
        offsets->low = at + 1;
    } else if (origin < 0 && at > from && at < offsets->high && ++offsets->looks < LOOKS) {
        offsets->skipped = at - middle;
        bisect(offsets);
        return;
    } else {
        if (at < offsets->high)
            offsets->next = at;
        offsets->high = middle;
    }
    looked(offsets);
}

static void on_look(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    if (!rep_meta_is_over(meta)) {
        if (rc != 0) {
            give_up(offsets, rc, "target-rocketmq", err->text);
        } else if (reply->code == RMQ_REPLY_SUCCESS && offsets->checking) {
            take_check(offsets, reply);
        } else if (reply->code == RMQ_REPLY_SUCCESS) {
            take_look(offsets, reply);
        } else if (reply->code == RMQ_REPLY_NO_PERMISSION) {
            struct rmq_err problem = {0};
            rc = rmq_reply_check(reply, "pull", &problem);
            give_up(offsets, rc, "target-rocketmq", problem.text);
        } else {
            offsets->high = middle_of(offsets); /* gone meanwhile, or not there yet */
            offsets->next = offsets->high;
            offsets->checking = false;
            looked(offsets);
        }
    }
    rep_meta_came(meta);
}

static void bisect(struct rep_offsets *offsets)
{
    struct rep_meta *meta = offsets->meta;
    const struct ends *queue = &offsets->target_ends.items[offsets->queue];
    struct rmq_command request;
    struct rmq_err err = {0};
    if (offsets->low >= offsets->high) {
        feeder_done(offsets, offsets->next);
        return;
    }
    int64_t from = middle_of(offsets) + offsets->skipped;
    rmq_command_init(&request, RMQ_PULL_MESSAGE);
    rmq_command_add_str(&request, "consumerGroup", meta->settings.group);
    rmq_command_add_str(&request, "topic", offsets->target_topic);
    rmq_command_add_int(&request, "queueId", queue->queue_id);
    rmq_command_add_int(&request, "queueOffset", from);
    rmq_command_add_int(&request, "maxMsgNums", LOOK_MESSAGES);
    rmq_command_add_int(&request, "sysFlag", SYS_SUBSCRIPTION);
    rmq_command_add_int(&request, "commitOffset", 0);
    rmq_command_add_int(&request, "suspendTimeoutMillis", 0);
    rmq_command_add_str(&request, "subscription", "*");
    rmq_command_add_int(&request, "subVersion", 0);
    rmq_command_add_str(&request, "expressionType", "TAG");
    meta->outstanding++;
    int rc = rmq_client_call_broker(meta->target->client, queue->broker, 0, &request,
                                    LOOK_TIMEOUT_MS, on_look, offsets, &err);
    rmq_command_deinit(&request);
    if (rc == 0)
        return;
    meta->outstanding--;
    give_up(offsets, rc, "target-rocketmq", err.text);
}

/* --- Queues --- */

static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* Whether copies of a source queue go to a target queue. */
static bool feeds(const struct rep_offsets *offsets, const struct ends *from, const struct ends *to)
{
    uint32_t ids = 0, brokers = 0, rank = 0;
    for (size_t i = 0; i < offsets->target_ends.count; i++) {
        const struct ends *queue = &offsets->target_ends.items[i];
        ids = (uint32_t)queue->queue_id >= ids ? (uint32_t)queue->queue_id + 1 : ids;
        brokers += queue->queue_id == to->queue_id;
        rank += queue->queue_id == to->queue_id && strcmp(queue->broker, to->broker) < 0;
    }
    uint32_t number = hash_text(from->broker) << 16 | (uint32_t)from->queue_id;
    return (number & 0xffff) % ids == (uint32_t)to->queue_id && (number >> 16) % brokers == rank;
}

static void next_feeder(struct rep_offsets *offsets)
{
    const struct place *place = &offsets->source.items[offsets->at];
    const struct ends *queue = &offsets->target_ends.items[offsets->queue];
    for (; offsets->feeder < offsets->source_ends.count; offsets->feeder++) {
        const struct ends *feeder = &offsets->source_ends.items[offsets->feeder];
        if (feeder->max == 0 || !feeds(offsets, feeder, queue))
            continue;
        const struct place *stand = find_place(&offsets->source, place->group, place->topic,
                                               feeder->broker, feeder->queue_id);
        if (stand == NULL) { /* never consumed from there: nothing can be said */
            offsets->least = -1;
            break;
        }
        if (stand->offset > feeder->max) { /* the broker has just started */
            offsets->least = -1;
            break;
        }
        offsets->checking = stand->offset == feeder->max;
        const struct place *present = find_place(
            &offsets->target, place->group, offsets->target_topic, queue->broker, queue->queue_id);
        offsets->low = queue->min;
        if (present != NULL && present->offset > offsets->low)
            offsets->low = present->offset;
        offsets->high = offsets->next = queue->max;
        looked(offsets);
        return;
    }
    set_offset(offsets);
}

static void next_queue(struct rep_offsets *offsets)
{
    while (offsets->queue < offsets->target_ends.count &&
           offsets->target_ends.items[offsets->queue].max == 0)
        offsets->queue++;
    if (offsets->queue < offsets->target_ends.count) {
        offsets->feeder = 0;
        offsets->least = INT64_MAX;
        next_feeder(offsets);
        return;
    }
    settle(offsets);
    offsets->at = offsets->behind;
    next_topic(offsets);
}

/* --- Topics of groups --- */

static void on_source_ends(void *arg, int rc, const struct rmq_queue_stats *queues, size_t count,
                           const struct rmq_err *err)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    if (!rep_meta_is_over(meta)) {
        if (rc != 0 && rc != RMQ_REFUSED && rc != RMQ_NOT_FOUND) {
            give_up(offsets, rc, "source-rocketmq", err->text);
        } else if (rc != 0) { /* deleted meanwhile */
            offsets->at = offsets->behind;
            next_topic(offsets);
        } else if (!take_ends(&offsets->source_ends, queues, count)) {
            no_memory(offsets);
        } else {
            offsets->queue = 0;
            next_queue(offsets);
        }
    }
    rep_meta_came(meta);
}

static void ask_source_ends(struct rep_offsets *offsets)
{
    struct rep_meta *meta = offsets->meta;
    struct rmq_err err = {0};
    meta->outstanding++;
    int rc = rmq_admin_topic_stats(meta->source->client, offsets->source.items[offsets->at].topic,
                                   on_source_ends, offsets, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    give_up(offsets, rc, "source-rocketmq", err.text);
}

static void on_target_ends(void *arg, int rc, const struct rmq_queue_stats *queues, size_t count,
                           const struct rmq_err *err)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    if (!rep_meta_is_over(meta)) {
        const struct place *place = &offsets->source.items[offsets->at];
        if (rc != 0 && rc != RMQ_REFUSED && rc != RMQ_NOT_FOUND) {
            give_up(offsets, rc, "target-rocketmq", err->text);
        } else if (rc != 0) { /* the topic is not copied */
            offsets->at = offsets->behind;
            next_topic(offsets);
        } else if (!take_ends(&offsets->target_ends, queues, count)) {
            no_memory(offsets);
        } else {
            const struct settled *known = find_settled(offsets, place);
            if (known != NULL && known->state == state_of(offsets)) {
                offsets->at = offsets->behind;
                next_topic(offsets);
            } else {
                ask_source_ends(offsets);
            }
        }
    }
    rep_meta_came(meta);
}

/* The next group and topic, each in a turn of the loop of its own: nothing recurses. */
static void next_topic(struct rep_offsets *offsets)
{
    struct rep_meta *meta = offsets->meta;
    const struct places *source = &offsets->source;
    struct rmq_err err = {0};
    if (offsets->at >= source->count) {
        rep_meta_round_ended(meta, 0, "", "");
        return;
    }
    const struct place *place = &source->items[offsets->at];
    offsets->behind = offsets->at;
    while (offsets->behind < source->count &&
           strcmp(source->items[offsets->behind].topic, place->topic) == 0 &&
           strcmp(source->items[offsets->behind].group, place->group) == 0)
        offsets->behind++;
    free(offsets->target_topic);
    offsets->target_topic = rep_renamed(&meta->settings, place->topic);
    if (offsets->target_topic == NULL) {
        no_memory(offsets);
        return;
    }
    meta->outstanding++;
    int rc = rmq_admin_topic_stats(meta->target->client, offsets->target_topic, on_target_ends,
                                   offsets, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    give_up(offsets, rc, "target-rocketmq", err.text);
}

/* --- The tables --- */

static void on_target_rows(void *arg, int rc, const struct rmq_offset_row *rows, size_t count,
                           const struct rmq_err *err)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    bool fine = true;
    free_places(&offsets->target);
    for (size_t i = 0; rc == 0 && i < count && fine; i++) {
        if (rep_meta_is_mine(meta, rows[i].group))
            fine = add_place(&offsets->target, &rows[i]);
    }
    if (!rep_meta_is_over(meta)) {
        if (!fine) {
            no_memory(offsets);
        } else if (rc != 0) {
            give_up(offsets, rc, "target-rocketmq", err->text);
        } else {
            if (offsets->target.count > 0)
                qsort(offsets->target.items, offsets->target.count, sizeof(struct place), by_place);
            offsets->at = 0;
            next_topic(offsets);
        }
    }
    rep_meta_came(meta);
}

static void on_source_rows(void *arg, int rc, const struct rmq_offset_row *rows, size_t count,
                           const struct rmq_err *given)
{
    struct rep_offsets *offsets = arg;
    struct rep_meta *meta = offsets->meta;
    struct rmq_err err = {0};
    bool fine = true;
    if (rc != 0)
        err = *given;
    free_places(&offsets->source);
    for (size_t i = 0; rc == 0 && i < count && fine; i++) {
        if (rep_meta_is_mine(meta, rows[i].group) &&
            rep_patterns_group(meta->groups, rows[i].group) &&
            rep_patterns_topic(meta->topics, rows[i].topic))
            fine = add_place(&offsets->source, &rows[i]);
    }
    if (!rep_meta_is_over(meta)) {
        meta->outstanding++;
        if (!fine) {
            no_memory(offsets);
            meta->outstanding--;
        } else {
            if (offsets->source.count > 0)
                qsort(offsets->source.items, offsets->source.count, sizeof(struct place), by_place);
            if (rc == 0)
                rc = rmq_admin_offset_rows(meta->target->client, meta->settings.target_cluster,
                                           on_target_rows, offsets, &err);
            if (rc != 0) {
                meta->outstanding--;
                give_up(offsets, rc, "source-rocketmq", err.text);
            }
        }
    }
    rep_meta_came(meta);
}

void rep_offsets_round(struct rep_meta *meta)
{
    struct rmq_err err = {0};
    meta->outstanding++;
    int rc = rmq_admin_offset_rows(meta->source->client, meta->settings.source_cluster,
                                   on_source_rows, meta->offsets, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
}
