/* SPDX-License-Identifier: Apache-2.0 */
/** What the reader of a queue remembers of the tasks that write to it, so that it delivers no
 * record twice: docs/internals/rocketmq-topic.md, "Reading". Pure logic. One thread at a time. */
#ifndef GT_TOPIC_ROCKETMQ_MEMORY_H
#define GT_TOPIC_ROCKETMQ_MEMORY_H

#include "topic/rocketmq/found.h"

struct gt_rq_known;

struct gt_rq_memory {
    struct gt_rq_known *items; /* owned */
    size_t count, cap;
    size_t last; /* the one seen last */
};

enum gt_rq_verdict {
    GT_RQ_DELIVER,
    GT_RQ_DROP,
    GT_RQ_LOOK, /* find out what stands in front of it, then ask again */
};

/** What is taken so far of what was judged: moves a taken message's writer along. */
struct gt_rq_ticket {
    size_t known; /* SIZE_MAX: of nobody */
    uint64_t epoch, seq;
    int64_t offset;
};

void gt_rq_memory_init(struct gt_rq_memory *memory);
void gt_rq_memory_deinit(struct gt_rq_memory *memory);
/** The state as stored, empty: nothing. 0, GANTRY_CORRUPT, GANTRY_NO_MEMORY. */
int gt_rq_memory_load(struct gt_rq_memory *memory, struct gantry_view state);
/** Append the state as of the messages taken. */
void gt_rq_memory_save(const struct gt_rq_memory *memory, struct gt_buf *buf);

/** Judge the message at @p offset; messages come in their order. DELIVER: *ticket is for
 * gt_rq_memory_took. LOOK: read the queue from *ret_from to @p offset, give the messages to
 * gt_rq_memory_slipped, call gt_rq_memory_looked, and judge it again. 0 or GANTRY_NO_MEMORY. */
int gt_rq_memory_judge(struct gt_rq_memory *memory, const struct gt_rq_seen *seen, int64_t offset,
                       enum gt_rq_verdict *ret, struct gt_rq_ticket *ticket, int64_t *ret_from);
/** The message was taken by the sink. */
void gt_rq_memory_took(struct gt_rq_memory *memory, const struct gt_rq_ticket *ticket);
/** What was judged and not taken will be judged again. */
void gt_rq_memory_rewind(struct gt_rq_memory *memory);

/** A message in front of the one at which judge has said LOOK. 0 or GANTRY_NO_MEMORY. */
int gt_rq_memory_slipped(struct gt_rq_memory *memory, const struct gt_rq_seen *looked_for,
                         const struct gt_rq_seen *seen);
/** All were given; @p from and @p to: the stretch, so that it can be read again after a restart. */
void gt_rq_memory_looked(struct gt_rq_memory *memory, const struct gt_rq_seen *looked_for,
                         int64_t from, int64_t to);

/** After load: the offset from which on the queue has to be read once more, up to where reading
 * goes on, and given to gt_rq_memory_replay; -1: not at all. */
int64_t gt_rq_memory_replay_from(const struct gt_rq_memory *memory);
int gt_rq_memory_replay(struct gt_rq_memory *memory, const struct gt_rq_seen *seen, int64_t offset);

#endif
