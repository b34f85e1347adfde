/* SPDX-License-Identifier: Apache-2.0 */
/* Two things let a record stand twice in a queue. The same task has sent it again, with the same
 * epoch and number: what is not above the last number is dropped. Or a request of an older epoch
 * was stored behind the end up to which the new owner had looked, and the new owner has polled and
 * sent the same records: then there is a message of the older epoch at or behind the `tail` that
 * the new epoch's first message names. Only then the stretch in between is looked at, and what the
 * older epoch has there is dropped of the new one.
 *
 * A message is judged when it is decoded, and counts when the sink has taken it: each writer has
 * both states, and what was not taken is judged again. */
#include "topic/rocketmq/memory.h"

#include "base/cursor.h"
#include <stdlib.h>

enum {
    STATE_VERSION = 1,
    KNOWN_MAX = 4096, /* writers remembered in one queue; beyond, the one longest silent is
                         forgotten */
};

struct at {
    uint64_t epoch, seq;
    int64_t offset;
};

struct gt_rq_known {
    char *connector; /* owned */
    uint32_t task;
    struct at judged, taken;

    /* What an older epoch has slipped in before this epoch. */
    uint64_t slip_epoch; /* the epoch that was looked for; 0: none */
    int64_t slip_from, slip_to;
    struct gt_rq_found *found; /* owned; NULL: nothing (more) to leave out */
    struct gt_rq_skips skips;
    struct noted *notes, *last_note; /* owned: of the batches that may be judged (again) */
};

/* A batch's note, and where its records stand. It is passed once, though it is judged again. */
struct noted {
    struct noted *next;
    struct gt_arena arena; /* of the rest */
    uint64_t epoch;
    struct gt_rq_note note;
    struct gt_rq_place *places;
};

static void drop_note(struct gt_rq_known *known)
{
    struct noted *noted = known->notes;
    known->notes = noted->next;
    if (known->notes == NULL)
        known->last_note = NULL;
    gt_arena_deinit(&noted->arena);
    free(noted);
}

static void forget_slip(struct gt_rq_known *known)
{
    if (known->found != NULL) {
        gt_rq_found_deinit(known->found);
        free(known->found);
        known->found = NULL;
        gt_rq_skips_deinit(&known->skips);
    }
    while (known->notes != NULL)
        drop_note(known);
    known->slip_from = known->slip_to = 0;
}

void gt_rq_memory_init(struct gt_rq_memory *memory)
{
    *memory = (struct gt_rq_memory){0};
}

void gt_rq_memory_deinit(struct gt_rq_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++) {
        forget_slip(&memory->items[i]);
        free(memory->items[i].connector);
    }
    free(memory->items);
    gt_rq_memory_init(memory);
}

static struct gt_rq_known *find(struct gt_rq_memory *memory, struct gantry_view connector,
                                uint32_t task)
{
    for (size_t i = 0; i < memory->count; i++) {
        size_t at = (memory->last + i) % memory->count;
        struct gt_rq_known *known = &memory->items[at];
        if (known->task == task && strlen(known->connector) == connector.len &&
            memcmp(known->connector, connector.data, connector.len) == 0) {
            memory->last = at;
            return known;
        }
    }
    return NULL;
}

static struct gt_rq_known *place_for_one(struct gt_rq_memory *memory)
{
    if (memory->count < KNOWN_MAX) {
        if (memory->count == memory->cap) {
            size_t cap = memory->cap != 0 ? memory->cap * 2 : 4;
            struct gt_rq_known *grown = realloc(memory->items, cap * sizeof *grown);
            if (grown == NULL)
                return NULL;
            memory->items = grown;
            memory->cap = cap;
        }
        return &memory->items[memory->count++];
    }
    struct gt_rq_known *oldest = &memory->items[0];
    for (size_t i = 1; i < memory->count; i++) {
        if (memory->items[i].judged.offset < oldest->judged.offset)
            oldest = &memory->items[i];
    }
    forget_slip(oldest);
    free(oldest->connector);
    return oldest;
}

static struct gt_rq_known *add(struct gt_rq_memory *memory, struct gantry_view connector,
                               uint32_t task)
{
    char *name = strndup(connector.data, connector.len);
    struct gt_rq_known *known = name != NULL ? place_for_one(memory) : NULL;
    if (known == NULL) {
        free(name);
        return NULL;
    }
    *known = (struct gt_rq_known){
        .connector = name, .task = task, .judged.offset = -1, .taken.offset = -1};
    memory->last = (size_t)(known - memory->items);
    return known;
}

/* --- State --- */

static void add_varint(struct gt_buf *buf, uint64_t value)
{
    char *out = gt_buf_reserve(buf, 10);
    if (out != NULL)
        buf->len += (size_t)(gt_put_varint((uint8_t *)out, value) - (uint8_t *)out);
}

void gt_rq_memory_save(const struct gt_rq_memory *memory, struct gt_buf *buf)
{
    size_t count = 0;
    for (size_t i = 0; i < memory->count; i++)
        count += memory->items[i].taken.offset >= 0;
    if (count == 0)
        return;
    gt_buf_add_char(buf, STATE_VERSION);
    add_varint(buf, count);
    for (size_t i = 0; i < memory->count; i++) {
        const struct gt_rq_known *known = &memory->items[i];
        if (known->taken.offset < 0)
            continue;
        bool slip = known->found != NULL;
        add_varint(buf, strlen(known->connector));
        gt_buf_add_str(buf, known->connector);
        add_varint(buf, known->task);
        add_varint(buf, known->taken.epoch);
        add_varint(buf, known->taken.seq);
        add_varint(buf, (uint64_t)known->taken.offset);
        add_varint(buf, slip ? known->slip_epoch : 0);
        add_varint(buf, slip ? (uint64_t)known->slip_from : 0);
        add_varint(buf, slip ? (uint64_t)known->slip_to : 0);
    }
}

static int load_one(struct gt_rq_memory *memory, struct gt_cursor *cursor)
{
    struct gantry_view connector = gt_cursor_bytes(cursor, (size_t)gt_cursor_varint(cursor));
    uint32_t task = (uint32_t)gt_cursor_varint(cursor);
    struct at at = {.epoch = gt_cursor_varint(cursor)};
    at.seq = gt_cursor_varint(cursor);
    at.offset = (int64_t)gt_cursor_varint(cursor);
    uint64_t slip_epoch = gt_cursor_varint(cursor);
    int64_t from = (int64_t)gt_cursor_varint(cursor);
    int64_t to = (int64_t)gt_cursor_varint(cursor);
    if (cursor->bad || connector.len == 0 || memchr(connector.data, 0, connector.len) != NULL ||
        at.offset < 0 || from < 0 || to < from)
        return GANTRY_CORRUPT;
    struct gt_rq_known *known = add(memory, connector, task);
    if (known == NULL)
        return GANTRY_NO_MEMORY;
    known->judged = known->taken = at;
    if (to > from) {
        known->slip_epoch = slip_epoch;
        known->slip_from = from;
        known->slip_to = to;
    }
    return 0;
}

int gt_rq_memory_load(struct gt_rq_memory *memory, struct gantry_view state)
{
    if (state.len == 0)
        return 0;
    struct gt_cursor cursor = gt_cursor_of(state.data, state.len);
    uint8_t version = gt_cursor_u8(&cursor);
    uint64_t count = gt_cursor_varint(&cursor);
    if (cursor.bad || version != STATE_VERSION || count > KNOWN_MAX)
        return GANTRY_CORRUPT;
    int code = 0;
    for (uint64_t i = 0; i < count && code == 0; i++)
        code = load_one(memory, &cursor);
    return code == 0 && gt_cursor_left(&cursor) != 0 ? GANTRY_CORRUPT : code;
}

/* --- What has slipped in --- */

static int begin_slip(struct gt_rq_known *known)
{
    if (known->found != NULL)
        return 0;
    known->found = malloc(sizeof *known->found);
    if (known->found == NULL)
        return GANTRY_NO_MEMORY;
    gt_rq_found_init(known->found);
    gt_rq_skips_init(&known->skips);
    return 0;
}

/* For gt_rq_found_settle: the new epoch begins each partition where its first mark of it
 * does, or what was left out before. */
struct beginning {
    const struct gt_rq_known *known;
    const struct gt_rq_note *note;
};

static int first_position(void *arg, struct gantry_view partition, struct gt_rq_hash partition_hash,
                          struct gt_rq_hash *ret)
{
    const struct beginning *beginning = arg;
    const struct gt_rq_known *known = beginning->known;
    (void)partition;
    *ret = (struct gt_rq_hash){0}; /* nothing is reached from there */
    for (size_t i = 0; i < known->skips.count; i++) {
        if (gt_rq_hash_equal(known->skips.items[i].partition, partition_hash))
            return 0; /* it has begun before */
    }
    const struct gt_rq_note *note = beginning->note;
    for (uint32_t i = 0; i < note->lead_count; i++) {
        if (gt_rq_hash_equal(note->leads[i].partition, partition_hash)) {
            *ret = note->leads[i].before;
            return 0;
        }
    }
    for (uint32_t i = 0; i < note->mark_count; i++) {
        if (gt_rq_hash_equal(note->marks[i].partition_hash, partition_hash)) {
            *ret = note->marks[i].before;
            return 0;
        }
    }
    return 0;
}

static bool holds(const struct noted *noted, const struct gt_rq_id *id)
{
    return noted->epoch == id->epoch && id->seq >= noted->note.first_seq &&
           id->seq - noted->note.first_seq < noted->note.count;
}

/* The note of the message's batch, if it was met. */
static const struct noted *find_note(const struct gt_rq_known *known, const struct gt_rq_id *id)
{
    if (known->last_note != NULL && holds(known->last_note, id))
        return known->last_note;
    const struct noted *noted = known->notes;
    while (noted != NULL && !holds(noted, id))
        noted = noted->next;
    return noted;
}

static int read_note(struct gt_rq_known *known, const struct gt_rq_seen *seen, struct noted *noted)
{
    struct gt_rq_note *note = &noted->note;
    gt_arena_init(&noted->arena, 1 << 10, 64 << 10);
    noted->epoch = seen->id.epoch;
    int code = gt_rq_note_read(seen->note, &noted->arena, note);
    if (code != 0)
        return code;
    noted->places = gt_arena_alloc(&noted->arena, (note->mark_count + 1) * sizeof *noted->places);
    if (noted->places == NULL)
        return GANTRY_NO_MEMORY;
    struct beginning beginning = {known, note};
    code = gt_rq_found_settle(known->found, first_position, NULL, &beginning, &known->skips);
    for (uint32_t i = 0; i < note->lead_count && code == 0; i++)
        gt_rq_skips_pass_lead(&known->skips, &note->leads[i]);
    uint32_t covered = 0;
    for (uint32_t i = 0; i < note->mark_count && code == 0; i++) {
        const struct gt_rq_mark *mark = &note->marks[i];
        noted->places[i] = gt_rq_skips_pass(&known->skips, mark, mark->covers - covered);
        covered = mark->covers;
    }
    return code;
}

static int add_note(struct gt_rq_known *known, const struct gt_rq_seen *seen)
{
    struct noted *noted = calloc(1, sizeof *noted);
    if (noted == NULL)
        return GANTRY_NO_MEMORY;
    int code = read_note(known, seen, noted);
    if (code != 0) {
        gt_arena_deinit(&noted->arena);
        free(noted);
        return code == GANTRY_CORRUPT ? 0 : code; /* not one of ours, whatever it says */
    }
    if (known->last_note != NULL)
        known->last_note->next = noted;
    else
        known->notes = noted;
    known->last_note = noted;
    return 0;
}

/* What is taken is not judged again. */
static void drop_notes(struct gt_rq_known *known)
{
    const struct at *taken = &known->taken;
    while (known->notes != known->last_note &&
           (known->notes->epoch < taken->epoch ||
            (known->notes->epoch == taken->epoch &&
             known->notes->note.first_seq + known->notes->note.count - 1 <= taken->seq)))
        drop_note(known);
}

static int has_slipped(struct gt_rq_known *known, const struct gt_rq_seen *seen, bool *ret)
{
    *ret = false;
    /* Also of an epoch after the one that was looked for: it goes on where that one has ended. */
    if (known->found == NULL || seen->id.epoch < known->slip_epoch)
        return 0;
    const struct noted *noted = find_note(known, &seen->id);
    if (noted == NULL && seen->note.len > 0) {
        int code = add_note(known, seen);
        if (code != 0)
            return code;
        noted = find_note(known, &seen->id);
    }
    if (noted == NULL)
        return 0;
    uint32_t record = (uint32_t)(seen->id.seq - noted->note.first_seq), covered = 0;
    for (uint32_t i = 0; i < noted->note.mark_count; i++) {
        if (record < noted->note.marks[i].covers) {
            *ret = gt_rq_skips_has(&known->skips, &noted->places[i], record - covered + 1,
                                   seen->id.check);
            break;
        }
        covered = noted->note.marks[i].covers;
    }
    return 0;
}

int gt_rq_memory_slipped(struct gt_rq_memory *memory, const struct gt_rq_seen *looked_for,
                         const struct gt_rq_seen *seen)
{
    if (!seen->ours || seen->id.epoch >= looked_for->id.epoch ||
        seen->id.task != looked_for->id.task ||
        !gantry_view_equal(seen->id.connector, looked_for->id.connector))
        return 0;
    struct gt_rq_known *known = find(memory, seen->id.connector, seen->id.task);
    if (known == NULL)
        return 0;
    if (known->slip_epoch != looked_for->id.epoch) {
        forget_slip(known); /* of an epoch before */
        known->slip_epoch = looked_for->id.epoch;
    }
    int code = begin_slip(known);
    return code != 0 ? code : gt_rq_found_add(known->found, seen);
}

void gt_rq_memory_looked(struct gt_rq_memory *memory, const struct gt_rq_seen *looked_for,
                         int64_t from, int64_t to)
{
    struct gt_rq_known *known = find(memory, looked_for->id.connector, looked_for->id.task);
    if (known == NULL)
        return;
    if (known->slip_epoch != looked_for->id.epoch)
        forget_slip(known);
    known->slip_epoch = looked_for->id.epoch;
    known->slip_from = from;
    known->slip_to = to;
}

int64_t gt_rq_memory_replay_from(const struct gt_rq_memory *memory)
{
    int64_t from = -1;
    for (size_t i = 0; i < memory->count; i++) {
        const struct gt_rq_known *known = &memory->items[i];
        if (known->slip_to > known->slip_from && (from < 0 || known->slip_from < from))
            from = known->slip_from;
    }
    return from;
}

int gt_rq_memory_replay(struct gt_rq_memory *memory, const struct gt_rq_seen *seen, int64_t offset)
{
    struct gt_rq_known *known = seen->ours ? find(memory, seen->id.connector, seen->id.task) : NULL;
    if (known == NULL || known->slip_to <= known->slip_from || offset < known->slip_from)
        return 0;
    bool slipped;
    if (offset >= known->slip_to)
        return has_slipped(known, seen, &slipped);
    if (seen->id.epoch >= known->slip_epoch)
        return 0;
    int code = begin_slip(known);
    return code != 0 ? code : gt_rq_found_add(known->found, seen);
}

/* --- Judging --- */

int gt_rq_memory_judge(struct gt_rq_memory *memory, const struct gt_rq_seen *seen, int64_t offset,
                       enum gt_rq_verdict *ret, struct gt_rq_ticket *ticket, int64_t *ret_from)
{
    const struct gt_rq_id *id = &seen->id;
    *ret = GT_RQ_DELIVER;
    *ticket = (struct gt_rq_ticket){.known = SIZE_MAX};
    if (!seen->ours)
        return 0;
    struct gt_rq_known *known = find(memory, id->connector, id->task);
    if (known == NULL) {
        known = add(memory, id->connector, id->task);
        if (known == NULL)
            return GANTRY_NO_MEMORY;
    }
    struct at *judged = &known->judged;
    if (judged->offset >= 0 &&
        (id->epoch < judged->epoch || (id->epoch == judged->epoch && id->seq <= judged->seq))) {
        *ret = GT_RQ_DROP;
        return 0;
    }
    if (judged->offset >= 0 && id->epoch > judged->epoch && seen->tail >= 0 &&
        seen->tail < offset && judged->offset >= seen->tail && known->slip_epoch != id->epoch) {
        *ret = GT_RQ_LOOK;
        *ret_from = seen->tail;
        return 0;
    }
    bool slipped;
    int code = has_slipped(known, seen, &slipped);
    if (code != 0)
        return code;
    *judged = (struct at){id->epoch, id->seq, offset};
    if (slipped)
        *ret = GT_RQ_DROP;
    *ticket = (struct gt_rq_ticket){(size_t)(known - memory->items), id->epoch, id->seq, offset};
    return 0;
}

void gt_rq_memory_took(struct gt_rq_memory *memory, const struct gt_rq_ticket *ticket)
{
    if (ticket->known >= memory->count)
        return;
    struct gt_rq_known *known = &memory->items[ticket->known];
    known->taken = (struct at){ticket->epoch, ticket->seq, ticket->offset};
    drop_notes(known);
}

void gt_rq_memory_rewind(struct gt_rq_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++)
        memory->items[i].judged = memory->items[i].taken;
}
