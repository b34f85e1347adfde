/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: a list of blocks, the one in use first. What does not fit into an ordinary block gets
 * one of its own size, put behind the first, so that the room left in the first is not given up. */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

struct gt_arena_block {
    struct gt_arena_block *next;
    size_t size; /* bytes behind this header */
    size_t used;
    size_t pad; /* makes the header a multiple of 16 */
};

enum { ALIGN = 16 };

static_assert(sizeof(struct gt_arena_block) % ALIGN == 0, "blocks must begin aligned");
static_assert(alignof(max_align_t) >= ALIGN, "malloc must align to 16 bytes");

void gt_arena_init(struct gt_arena *arena, size_t block_size, size_t keep)
{
    *arena = (struct gt_arena){.block_size = (block_size + ALIGN - 1) & ~(size_t)(ALIGN - 1),
                               .keep = keep};
}

void gt_arena_deinit(struct gt_arena *arena)
{
    struct gt_arena_block *next;
    for (struct gt_arena_block *block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
}

void gt_arena_reset(struct gt_arena *arena)
{
    struct gt_arena_block **link = &arena->blocks;
    size_t kept = 0;

    while (*link != NULL) {
        struct gt_arena_block *block = *link;
        if (block->size > arena->keep - kept) {
            *link = block->next;
            free(block);
            continue;
        }
        kept += block->size;
        block->used = 0;
        link = &block->next;
    }
}

static void *take(struct gt_arena_block *block, size_t size)
{
    char *data = (char *)(block + 1) + block->used;
    block->used += size;
    return data;
}

/* A block with room for @p size: an empty one kept by a reset, or a new one. It becomes the first
 * unless it is an oversized one. */
static struct gt_arena_block *more(struct gt_arena *arena, size_t size)
{
    struct gt_arena_block *block = NULL;

    if (arena->blocks != NULL) {
        struct gt_arena_block **link = &arena->blocks->next;
        /* empty ones are behind those in use; a short look is enough, the usual case finds the
         * first */
        for (int i = 0; i < 8 && *link != NULL; i++, link = &(*link)->next) {
            if ((*link)->used == 0 && (*link)->size >= size) {
                block = *link;
                *link = block->next;
                break;
            }
        }
    }
    if (block == NULL) {
        size_t room = size > arena->block_size ? size : arena->block_size;
        block = malloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        block->size = room;
        block->used = 0;
    }
    if (block->size > arena->block_size && arena->blocks != NULL) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *gt_arena_alloc(struct gt_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = size == 0 ? ALIGN : (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct gt_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size)
        block = more(arena, size);
    return block != NULL ? take(block, size) : NULL;
}

char *gt_arena_strdup(struct gt_arena *arena, const char *text)
{
    return gt_arena_copy(arena, gantry_view_of(text));
}

char *gt_arena_copy(struct gt_arena *arena, struct gantry_view view)
{
    char *copy = gt_arena_alloc(arena, view.len + 1);
    if (copy == NULL)
        return NULL;
    if (view.len > 0)
        memcpy(copy, view.data, view.len);
    copy[view.len] = '\0';
    return copy;
}
