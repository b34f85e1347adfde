/* SPDX-License-Identifier: Apache-2.0 */
/** Memory with one lifetime: allocate often, free at once. One arena per batch or request; one
 * thread at a time. Blocks are kept over a reset, up to `keep` bytes, so that a steady load
 * allocates nothing. */
#ifndef GT_BASE_ARENA_H
#define GT_BASE_ARENA_H

#include "base/view.h"

struct gt_arena_block;

struct gt_arena {
    struct gt_arena_block *blocks; /* owned; the one in use first */
    size_t block_size;             /* bytes of an ordinary block */
    size_t keep;                   /* bytes kept by a reset */
};

void gt_arena_init(struct gt_arena *arena, size_t block_size, size_t keep);
void gt_arena_deinit(struct gt_arena *arena);
void gt_arena_reset(struct gt_arena *arena);
/** @p size bytes, 16-byte aligned, not zeroed; NULL without memory. */
void *gt_arena_alloc(struct gt_arena *arena, size_t size);
/** A NUL-terminated copy; NULL without memory. */
char *gt_arena_strdup(struct gt_arena *arena, const char *text);
/** A NUL-terminated copy of a view. */
char *gt_arena_copy(struct gt_arena *arena, struct gantry_view view);

#endif
