/* SPDX-License-Identifier: Apache-2.0 */
/* A block is one allocation: the public part, the count, the bytes. */
#include "block.h"
#include "internal.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { OFFSET_AT = 20 /* of the queue offset within a stored message */ };

struct block {
    struct rmq_block public; /* first: the one is cast to the other */
    atomic_size_t references;
    size_t size; /* of the bytes */
    char bytes[];
};

static const struct block *block_of(const struct rmq_block *block)
{
    return (const struct block *)(const void *)block;
}

/* The copy, patched and checked; *ret_skip: bytes before the first wanted message. */
static int check_messages(struct block *block, const struct rmq_block_wanted *wanted,
                          size_t *ret_skip, struct rmq_err *err)
{
    struct rmq_view rest = rmq_view(block->bytes, block->size);
    struct rmq_message message;
    int64_t last = INT64_MIN;
    size_t at = 0;
    int rc;
    *ret_skip = 0;
    block->public.first_offset = wanted->next_offset;
    while ((rc = rmq_message_next(&rest, &message, err)) == 1) {
        if (wanted->offset_delta != 0) {
            message.queue_offset =
                (int64_t)((uint64_t)message.queue_offset + (uint64_t)wanted->offset_delta);
            rmq_put_be(block->bytes + at + OFFSET_AT, (uint64_t)message.queue_offset, 8);
        }
        if (message.queue_offset <= last || message.queue_offset >= wanted->next_offset)
            return rmq_fail(err, RMQ_MALFORMED,
                            "message of offset %lld behind one of %lld, in a reply up to %lld",
                            (long long)message.queue_offset, (long long)last,
                            (long long)wanted->next_offset);
        if (wanted->check && (rc = rmq_message_check(&message, err)) != 0)
            return rc;
        last = message.queue_offset;
        at = block->size - rest.len;
        if (last < wanted->offset)
            *ret_skip = at;
        else if (last < block->public.first_offset)
            block->public.first_offset = last;
    }
    return rc;
}

int rmq_block_new(struct rmq_view body, const struct rmq_block_wanted *wanted,
                  struct rmq_block **ret, struct rmq_err *err)
{
    size_t skip;
    struct block *block = malloc(sizeof(*block) + body.len);
    if (block == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a reply of %zu bytes", body.len);
    block->size = body.len;
    if (body.len > 0)
        memcpy(block->bytes, body.data, body.len);
    atomic_init(&block->references, 1);
    int rc = check_messages(block, wanted, &skip, err);
    if (rc != 0) {
        free(block);
        return rc;
    }
    block->public.next_offset = wanted->next_offset;
    block->public.max_offset = wanted->max_offset;
    block->public.bytes = rmq_view(block->bytes + skip, body.len - skip);
    *ret = &block->public;
    return 0;
}

void rmq_block_cut(struct rmq_block *block, int64_t offset)
{
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    while (rmq_message_next(&rest, &message, NULL) == 1) { /* checked before */
        if (message.queue_offset >= offset) {
            block->first_offset = message.queue_offset;
            return;
        }
        block->bytes = rest;
    }
    block->first_offset = block->next_offset;
}

size_t rmq_block_cost(const struct rmq_block *block)
{
    return sizeof(struct block) + block_of(block)->size;
}

const struct rmq_block *rmq_block_ref(const struct rmq_block *block)
{
    struct block *mine = (struct block *)(uintptr_t)block_of(block);
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return block;
}

void rmq_block_unref(const struct rmq_block *block)
{
    if (block == NULL)
        return;
    struct block *mine = (struct block *)(uintptr_t)block_of(block);
    if (atomic_fetch_sub_explicit(&mine->references, 1, memory_order_acq_rel) == 1)
        free(mine);
}
