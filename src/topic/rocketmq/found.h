/* SPDX-License-Identifier: Apache-2.0 */
/** What of a source's records stands in a queue already, and how its positions move over it. Pure
 * logic, used by a writer that starts (what an earlier one left behind) and by a reader that meets
 * a new epoch (what the older one has slipped in before it). No I/O. One thread at a time. */
#ifndef GT_TOPIC_ROCKETMQ_FOUND_H
#define GT_TOPIC_ROCKETMQ_FOUND_H

#include "topic/rocketmq/wire.h"

/* --- What is to be left out --- */

struct gt_rq_fact {
    int64_t number; /* of the record behind the position at which counting began, from 1; what was
                       before has 0 and less */
    uint32_t check;
};

/** Records of one partition that are there, and how far the source has come. */
struct gt_rq_skip {
    struct gt_rq_hash partition, position;
    int64_t base;             /* records from where counting began to `position` */
    struct gt_rq_fact *facts; /* owned; by number */
    size_t count;
};

struct gt_rq_skips {
    struct gt_rq_skip *items; /* owned */
    size_t count, cap;
};

void gt_rq_skips_init(struct gt_rq_skips *skips);
void gt_rq_skips_deinit(struct gt_rq_skips *skips);
/** Where a mark of a batch stands in what is known of its partition: what gt_rq_skips_has wants. */
struct gt_rq_place {
    size_t skip;  /* SIZE_MAX: nothing is known */
    int64_t base; /* its records have the numbers base + 1, ... */
    struct gt_rq_hash partition;
};
/** Move over a mark with @p count records; returns where they stand. A mark that does not begin at
 * the partition's position means that the source went elsewhere: what was known is forgotten. */
struct gt_rq_place gt_rq_skips_pass(struct gt_rq_skips *skips, const struct gt_rq_mark *mark,
                                    uint32_t count);
/** The same for what a note says was left out before it. */
void gt_rq_skips_pass_lead(struct gt_rq_skips *skips, const struct gt_rq_lead *lead);
/** Whether record @p number (from 1) of a mark is there and says the same. */
bool gt_rq_skips_has(const struct gt_rq_skips *skips, const struct gt_rq_place *place,
                     uint32_t number, uint32_t check);
/** Forget partitions that have nothing ahead any more. True: something is left. Places given before
 * hold no more. */
bool gt_rq_skips_trim(struct gt_rq_skips *skips);

/* --- What was found --- */

struct gt_rq_found_batch;

struct gt_rq_found {
    struct gt_arena arena;                     /* what follows */
    struct gt_rq_found_batch *batches, **tail; /* in the order of finding */
    struct gt_rq_found_batch *last;            /* that a message belonged to */
};

void gt_rq_found_init(struct gt_rq_found *found);
void gt_rq_found_deinit(struct gt_rq_found *found);
/** A message of the connector's task; those of one queue in their order, @p queue any number that
 * tells queues apart. One whose batch is not known (its note is gone) is left out. 0,
 * GANTRY_NO_MEMORY. */
int gt_rq_found_add(struct gt_rq_found *found, const struct gt_rq_seen *seen);

/** The position of a partition now, as a hash; an error ends the work. */
typedef int (*gt_rq_position_fn)(void *arg, struct gantry_view partition,
                                 struct gt_rq_hash partition_hash, struct gt_rq_hash *ret);
/** A partition's position is to be this one. */
typedef int (*gt_rq_move_fn)(void *arg, struct gantry_view partition, struct gantry_view position);

/** Roll positions forward over the batches that are there whole, and put what else is there, ahead
 * of the positions, into @p skips. @p move NULL: nothing is moved. 0, GANTRY_NO_MEMORY, or what
 * @p now or @p move returned. */
int gt_rq_found_settle(struct gt_rq_found *found, gt_rq_position_fn now, gt_rq_move_fn move,
                       void *arg, struct gt_rq_skips *skips);

#endif
