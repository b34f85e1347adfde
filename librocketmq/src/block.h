/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of messages: made from a reply's body, cut, counted. */
#ifndef RMQ_BLOCK_H
#define RMQ_BLOCK_H

#include <rocketmq/consumer.h>

struct rmq_block_wanted {
    int64_t offset;      /* messages before it are left out */
    int64_t next_offset; /* none may be at or behind it */
    int64_t max_offset;
    int64_t offset_delta; /* of static topics: added to each message's offset */
    bool check;           /* the bodies' checksums too */
};

/* One copy of body, which is checked as a whole: every message parses, offsets rise and are within
 * what is wanted. body may be empty. 0, and *ret, a reference | RMQ_MALFORMED | RMQ_CORRUPT |
 * RMQ_NO_MEMORY. */
int rmq_block_new(struct rmq_view body, const struct rmq_block_wanted *wanted,
                  struct rmq_block **ret, struct rmq_err *err);
/* Leave out the messages before offset. Only while nobody else has a reference. */
void rmq_block_cut(struct rmq_block *block, int64_t offset);
/* What it costs in memory. */
size_t rmq_block_cost(const struct rmq_block *block);

#endif
