/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers. A source that replays gives the same records behind a position each time, but not in the
 * same batches. So a record is known by its number behind the present position of its partition.
 * Marks are the links of a chain: from `before`, n records on, to `after`. Following the chain from
 * the present position gives each position that was met its distance, and each record found, in
 * whichever batch of whichever epoch, its number. */
#include "topic/rocketmq/found.h"

#include <stdlib.h>

/* --- Skips --- */

void gt_rq_skips_init(struct gt_rq_skips *skips)
{
    *skips = (struct gt_rq_skips){0};
}

void gt_rq_skips_deinit(struct gt_rq_skips *skips)
{
    for (size_t i = 0; i < skips->count; i++)
        free(skips->items[i].facts);
    free(skips->items);
    gt_rq_skips_init(skips);
}

static struct gt_rq_skip *find_skip(const struct gt_rq_skips *skips, struct gt_rq_hash partition)
{
    for (size_t i = 0; i < skips->count; i++) {
        if (gt_rq_hash_equal(skips->items[i].partition, partition))
            return &skips->items[i];
    }
    return NULL;
}

struct gt_rq_place gt_rq_skips_pass(struct gt_rq_skips *skips, const struct gt_rq_mark *mark,
                                    uint32_t count)
{
    struct gt_rq_place place = {.skip = SIZE_MAX, .partition = mark->partition_hash};
    struct gt_rq_skip *skip = find_skip(skips, mark->partition_hash);
    if (skip == NULL)
        return place;
    if (!gt_rq_hash_equal(skip->position, mark->before)) {
        skip->count = 0;
        return place;
    }
    place.skip = (size_t)(skip - skips->items);
    place.base = skip->base;
    skip->base += count;
    skip->position = mark->after;
    return place;
}

void gt_rq_skips_pass_lead(struct gt_rq_skips *skips, const struct gt_rq_lead *lead)
{
    const struct gt_rq_mark mark = {
        .partition_hash = lead->partition, .before = lead->before, .after = lead->after};
    (void)gt_rq_skips_pass(skips, &mark, lead->count);
}

bool gt_rq_skips_has(const struct gt_rq_skips *skips, const struct gt_rq_place *place,
                     uint32_t number, uint32_t check)
{
    if (place->skip >= skips->count)
        return false;
    const struct gt_rq_skip *skip = &skips->items[place->skip];
    int64_t wanted = place->base + number;
    size_t low = 0, high = skip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (skip->facts[middle].number < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < skip->count && skip->facts[low].number == wanted; low++) {
        if (skip->facts[low].check == check)
            return true;
    }
    return false;
}

bool gt_rq_skips_trim(struct gt_rq_skips *skips)
{
    for (size_t i = skips->count; i-- > 0;) {
        struct gt_rq_skip *skip = &skips->items[i];
        if (skip->count > 0 && skip->facts[skip->count - 1].number > skip->base)
            continue;
        free(skip->facts);
        *skip = skips->items[--skips->count];
    }
    return skips->count > 0;
}

/* --- Found --- */

struct gt_rq_found_batch {
    struct gt_rq_found_batch *next;
    uint64_t epoch;
    struct gt_rq_note note;
    uint8_t *there; /* by record: it is there */
    uint32_t *checks;
    bool settled;
};

void gt_rq_found_init(struct gt_rq_found *found)
{
    *found = (struct gt_rq_found){0};
    found->tail = &found->batches;
    gt_arena_init(&found->arena, 64 << 10, 0);
}

void gt_rq_found_deinit(struct gt_rq_found *found)
{
    gt_arena_deinit(&found->arena);
    *found = (struct gt_rq_found){0};
}

static bool holds(const struct gt_rq_found_batch *batch, const struct gt_rq_id *id)
{
    return batch->epoch == id->epoch && id->seq >= batch->note.first_seq &&
           id->seq - batch->note.first_seq < batch->note.count;
}

static struct gt_rq_found_batch *find_batch(const struct gt_rq_found *found,
                                            const struct gt_rq_id *id)
{
    if (found->last != NULL && holds(found->last, id))
        return found->last;
    for (struct gt_rq_found_batch *batch = found->batches; batch != NULL; batch = batch->next) {
        if (holds(batch, id))
            return batch;
    }
    return NULL;
}

static int add_batch(struct gt_rq_found *found, const struct gt_rq_seen *seen)
{
    struct gt_arena *arena = &found->arena;
    struct gt_rq_found_batch *batch = gt_arena_alloc(arena, sizeof *batch);
    if (batch == NULL)
        return GANTRY_NO_MEMORY;
    *batch = (struct gt_rq_found_batch){.epoch = seen->id.epoch};
    /* The note's views point into what was decoded, which is in the arena. */
    int code = gt_rq_note_read(seen->note, arena, &batch->note);
    if (code == GANTRY_CORRUPT)
        return 0; /* not one of ours, whatever it says */
    if (code != 0 || !holds(batch, &seen->id))
        return code;
    batch->there = gt_arena_alloc(arena, batch->note.count);
    batch->checks = gt_arena_alloc(arena, batch->note.count * sizeof *batch->checks);
    if (batch->there == NULL || batch->checks == NULL)
        return GANTRY_NO_MEMORY;
    memset(batch->there, 0, batch->note.count);
    *found->tail = batch;
    found->tail = &batch->next;
    return 0;
}

int gt_rq_found_add(struct gt_rq_found *found, const struct gt_rq_seen *seen)
{
    struct gt_rq_found_batch *batch = find_batch(found, &seen->id);
    if (batch == NULL && seen->note.len > 0) {
        int code = add_batch(found, seen);
        if (code != 0)
            return code;
        batch = find_batch(found, &seen->id);
    }
    if (batch == NULL)
        return 0;
    found->last = batch;
    size_t at = (size_t)(seen->id.seq - batch->note.first_seq);
    batch->there[at] = 1;
    batch->checks[at] = seen->id.check;
    return 0;
}

/* --- Settling --- */

/* One partition's chain. */
struct chain {
    struct gt_rq_hash partition, position; /* position: where it stands now */
    int64_t base;                          /* distance of that */
    struct gt_rq_fact *facts;              /* owned; by number */
    size_t fact_count, fact_cap;
};

/* A position that was met, and how far it is. */
struct met {
    size_t chain;
    struct gt_rq_hash position;
    int64_t distance;
};

struct settling {
    struct gt_rq_found *found;
    gt_rq_position_fn now;
    gt_rq_move_fn move;
    void *arg;
    struct chain *chains;
    size_t chain_count, chain_cap;
    struct met *met;
    size_t met_count, met_cap;
};

static void *grow(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    size_t more = *cap != 0 ? *cap * 2 : 16;
    void *grown = realloc(items, more * size);
    if (grown != NULL)
        *cap = more;
    return grown;
}

static int find_chain(struct settling *settling, const struct gt_rq_mark *mark, size_t *ret)
{
    for (size_t i = 0; i < settling->chain_count; i++) {
        if (gt_rq_hash_equal(settling->chains[i].partition, mark->partition_hash)) {
            *ret = i;
            return 0;
        }
    }
    struct chain *grown = grow(settling->chains, settling->chain_count, &settling->chain_cap,
                               sizeof *settling->chains);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    settling->chains = grown;
    struct chain chain = {.partition = mark->partition_hash};
    int code = settling->now(settling->arg, mark->partition, mark->partition_hash, &chain.position);
    if (code != 0)
        return code;
    *ret = settling->chain_count;
    settling->chains[settling->chain_count++] = chain;
    return 0;
}

static const struct met *find_met(const struct settling *settling, size_t chain,
                                  struct gt_rq_hash position)
{
    for (size_t i = settling->met_count; i-- > 0;) { /* mostly the latest */
        const struct met *met = &settling->met[i];
        if (met->chain == chain && gt_rq_hash_equal(met->position, position))
            return met;
    }
    return NULL;
}

static int meet(struct settling *settling, size_t chain, struct gt_rq_hash position,
                int64_t distance)
{
    struct met *grown =
        grow(settling->met, settling->met_count, &settling->met_cap, sizeof *settling->met);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    settling->met = grown;
    settling->met[settling->met_count++] = (struct met){chain, position, distance};
    return 0;
}

/* One link, of @p count records. *more is set when a position was met by it. */
static int follow_link(struct settling *settling, const struct gt_rq_mark *link, uint32_t count,
                       bool *more)
{
    size_t chain, chains = settling->chain_count;
    int code = find_chain(settling, link, &chain);
    if (code == 0 && settling->chain_count > chains)
        code = meet(settling, chain, settling->chains[chain].position, 0);
    if (code != 0)
        return code;
    const struct met *before = find_met(settling, chain, link->before);
    const struct met *after = find_met(settling, chain, link->after);
    if ((before == NULL) == (after == NULL))
        return 0;
    *more = true;
    /* Back, too: an older batch may begin before the present position and reach beyond it, when a
     * later one moved that over a part of it. */
    return before != NULL ? meet(settling, chain, link->after, before->distance + count)
                          : meet(settling, chain, link->before, after->distance - count);
}

/* Give a distance to whatever the present positions are linked to. */
static int follow(struct settling *settling)
{
    int code = 0;
    for (bool more = true; more && code == 0;) {
        more = false;
        for (struct gt_rq_found_batch *b = settling->found->batches; b != NULL; b = b->next) {
            uint32_t covered = 0;
            for (uint32_t i = 0; i < b->note.mark_count && code == 0; i++) {
                const struct gt_rq_mark *mark = &b->note.marks[i];
                code = follow_link(settling, mark, mark->covers - covered, &more);
                covered = mark->covers;
            }
            for (uint32_t i = 0; i < b->note.lead_count && code == 0; i++) {
                const struct gt_rq_lead *lead = &b->note.leads[i];
                const struct gt_rq_mark link = {.partition_hash = lead->partition,
                                                .before = lead->before,
                                                .after = lead->after};
                code = follow_link(settling, &link, lead->count, &more);
            }
        }
    }
    return code;
}

static int by_number(const void *a, const void *b)
{
    const struct gt_rq_fact *left = a, *right = b;
    if (left->number != right->number)
        return left->number < right->number ? -1 : 1;
    return left->check < right->check ? -1 : left->check > right->check;
}

static int collect_facts(struct settling *settling)
{
    for (struct gt_rq_found_batch *b = settling->found->batches; b != NULL; b = b->next) {
        uint32_t record = 0;
        for (uint32_t i = 0; i < b->note.mark_count; i++) {
            const struct gt_rq_mark *mark = &b->note.marks[i];
            size_t at;
            int code = find_chain(settling, mark, &at);
            if (code != 0)
                return code;
            const struct met *met = find_met(settling, at, mark->before);
            struct chain *chain = &settling->chains[at];
            for (uint32_t n = 1; record < mark->covers; record++, n++) {
                if (met == NULL || b->there[record] == 0)
                    continue;
                struct gt_rq_fact *grown =
                    grow(chain->facts, chain->fact_count, &chain->fact_cap, sizeof *chain->facts);
                if (grown == NULL)
                    return GANTRY_NO_MEMORY;
                chain->facts = grown;
                chain->facts[chain->fact_count++] =
                    (struct gt_rq_fact){met->distance + n, b->checks[record]};
            }
        }
    }
    for (size_t i = 0; i < settling->chain_count; i++) {
        struct chain *chain = &settling->chains[i];
        if (chain->fact_count > 0)
            qsort(chain->facts, chain->fact_count, sizeof *chain->facts, by_number);
    }
    return 0;
}

static bool has_number(const struct chain *chain, int64_t number)
{
    size_t low = 0, high = chain->fact_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (chain->facts[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < chain->fact_count && chain->facts[low].number == number;
}

/* Whether the batch begins at the present positions, all of it is there, and it can be gone over.
 */
static bool is_whole(struct settling *settling, const struct gt_rq_found_batch *batch)
{
    uint32_t covered = 0;
    if (batch->settled || batch->note.mark_count == 0)
        return false;
    for (uint32_t i = 0; i < batch->note.mark_count; i++) {
        const struct gt_rq_mark *mark = &batch->note.marks[i];
        struct gt_rq_hash present = {0};
        size_t at = 0;
        bool earlier = false;
        if (!mark->whole)
            return false;
        for (uint32_t k = i; k-- > 0 && !earlier;) { /* an earlier mark of it in this batch */
            earlier = gt_rq_hash_equal(batch->note.marks[k].partition_hash, mark->partition_hash);
            present = batch->note.marks[k].after;
        }
        while (!gt_rq_hash_equal(settling->chains[at].partition, mark->partition_hash))
            at++; /* follow() has made it */
        const struct chain *chain = &settling->chains[at];
        const struct met *met = find_met(settling, at, mark->before);
        if (!gt_rq_hash_equal(earlier ? present : chain->position, mark->before) || met == NULL)
            return false;
        for (uint32_t n = 1; n <= mark->covers - covered; n++) {
            if (!has_number(chain, met->distance + n))
                return false;
        }
        covered = mark->covers;
    }
    return true;
}

static int go_over(struct settling *settling, struct gt_rq_found_batch *batch)
{
    uint32_t covered = 0;
    batch->settled = true;
    for (uint32_t i = 0; i < batch->note.mark_count; i++) {
        const struct gt_rq_mark *mark = &batch->note.marks[i];
        size_t at;
        int code = find_chain(settling, mark, &at);
        if (code == 0)
            code = settling->move(settling->arg, mark->partition, mark->position);
        if (code != 0)
            return code;
        settling->chains[at].position = mark->after;
        settling->chains[at].base += mark->covers - covered;
        covered = mark->covers;
    }
    return 0;
}

static int roll_forward(struct settling *settling)
{
    for (bool more = true; more;) {
        more = false;
        for (struct gt_rq_found_batch *b = settling->found->batches; b != NULL; b = b->next) {
            if (!is_whole(settling, b))
                continue;
            int code = go_over(settling, b);
            if (code != 0)
                return code;
            more = true;
        }
    }
    return 0;
}

/* What is ahead of the positions becomes skips; the facts go over to them. */
static int keep_rest(struct settling *settling, struct gt_rq_skips *skips)
{
    for (size_t i = 0; i < settling->chain_count; i++) {
        struct chain *chain = &settling->chains[i];
        if (chain->fact_count == 0 || chain->facts[chain->fact_count - 1].number <= chain->base)
            continue;
        struct gt_rq_skip *grown =
            grow(skips->items, skips->count, &skips->cap, sizeof *skips->items);
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        skips->items = grown;
        skips->items[skips->count++] = (struct gt_rq_skip){
            .partition = chain->partition,
            .position = chain->position,
            .base = chain->base,
            .facts = chain->facts,
            .count = chain->fact_count,
        };
        chain->facts = NULL;
    }
    return 0;
}

int gt_rq_found_settle(struct gt_rq_found *found, gt_rq_position_fn now, gt_rq_move_fn move,
                       void *arg, struct gt_rq_skips *skips)
{
    struct settling settling = {.found = found, .now = now, .move = move, .arg = arg};
    int code = follow(&settling);
    if (code == 0)
        code = collect_facts(&settling);
    if (code == 0 && move != NULL)
        code = roll_forward(&settling);
    if (code == 0)
        code = keep_rest(&settling, skips);
    for (size_t i = 0; i < settling.chain_count; i++)
        free(settling.chains[i].facts);
    free(settling.chains);
    free(settling.met);
    return code;
}
