/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of docs/internals/rocketmq-topic.md without a broker: what is said about messages, how
 * positions roll forward over what was found, what a reader leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "topic/rocketmq/memory.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static struct gantry_view text(const char *from)
{
    return gantry_view_of(from);
}

/* --- Messages --- */

static void round_trip(const struct gt_message *message, bool has_time, struct gt_message *ret,
                       struct gt_arena *arena)
{
    const struct gt_rq_stamp stamp = {text(GT_RQ_ID "\00177."), text(".3.conn.a\002"), false};
    struct rmq_buf frame;
    struct gt_buf scratch;
    struct gantry_err err = {0};
    struct rmq_err reason;
    rmq_buf_init(&frame, RMQ_BODY_MAX);
    gt_buf_init(&scratch, 1 << 20);
    assert_int_equal(gt_rq_encode(&frame, message, has_time, &stamp, 12345678901ull, 0xabcdef01,
                                  text("bm90ZQ=="), &scratch, &err),
                     0);
    char *bytes = gt_arena_alloc(arena, frame.len);
    assert_non_null(bytes);
    memcpy(bytes, frame.data, frame.len);
    struct rmq_view rest = {bytes, frame.len};
    struct rmq_batch_item item;
    assert_int_equal(rmq_batch_next(&rest, &item, &reason), 1);
    struct rmq_message stored = {.body = item.body, .properties = item.properties, .born_ms = 99};
    struct gt_rq_seen seen;
    gt_rq_look(stored.properties, &seen);
    assert_true(seen.ours && seen.id.epoch == 77 && seen.id.seq == 12345678901ull);
    assert_true(seen.id.check == 0xabcdef01 && seen.id.task == 3 && seen.tail == -1);
    assert_true(gantry_view_equal(seen.id.connector, text("conn.a")));
    assert_true(gantry_view_equal(seen.note, text("bm90ZQ==")));
    assert_int_equal(gt_rq_decode(&stored, arena, ret, &err), 0);
    rmq_buf_deinit(&frame);
    gt_buf_deinit(&scratch);
}

/* Headers of one name all come out again, in their order. */
static void test_headers_of_one_name(void **state)
{
    struct gt_arena arena;
    struct gt_message back;
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    const struct gantry_header headers[] = {
        {text("a"), text("first")},      {text("b"), text("of another name")},
        {text("a"), text("second")},     {text("KEYS"), text("no key")},
        {text("a"), text("")},           {text("a"), text("first")},
        {text("TAGS"), text("tag one")}, {text("TAGS"), text("tag two")},
    };
    enum { COUNT = sizeof headers / sizeof headers[0] };
    struct gt_message message = {.key = text("k"), .body = text("body"), .timestamp_ms = 1};
    assert_int_equal(gt_properties_encode(headers, COUNT, &arena, &message.properties), 0);
    round_trip(&message, true, &back, &arena);
    const struct gantry_header *got;
    uint32_t count;
    assert_int_equal(gt_properties_decode(back.properties, &arena, &got, &count), 0);
    assert_int_equal(count, COUNT);
    for (const char *const *name = (const char *const[]){"a", "b", "KEYS", "TAGS", NULL};
         *name != NULL; name++) {
        size_t at = 0;
        for (size_t i = 0; i < COUNT; i++) {
            if (!gantry_view_equal(headers[i].name, text(*name)))
                continue;
            while (at < count && !gantry_view_equal(got[at].name, text(*name)))
                at++;
            assert_true(at < count);
            assert_true(gantry_view_equal(got[at++].value, headers[i].value));
        }
    }
    gt_arena_deinit(&arena);
}

static void test_message(void **state)
{
    struct gt_arena arena;
    struct gt_message back;
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    static const char odd[] = {'a', 1, 'b', 2, (char)0xff, 0};
    const struct gantry_header headers[] = {
        {text("plain"), text("value")},
        {text("connect-schema"), text("{}")},
        {text("connect-ext-x"), text("prefix of its own")},
        {text("empty"), text("")},
        {text("odd"), {odd, sizeof odd}},
        {{odd, sizeof odd}, text("odd name")},
        {text("TAGS"), text("tag")},
        {text("utf8"), text("\xe4\xb8\xad")},
    };
    struct gantry_view keys[] = {text("a key"), {odd, sizeof odd}, text("")};
    for (size_t k = 0; k < 3; k++) {
        struct gt_message message = {
            .key = keys[k], .body = {odd, sizeof odd}, .timestamp_ms = 1234567};
        assert_int_equal(gt_properties_encode(headers, 8, &arena, &message.properties), 0);
        round_trip(&message, k != 1, &back, &arena);
        assert_true(gantry_view_equal(back.key, keys[k]));
        assert_true(gantry_view_equal(back.body, message.body));
        assert_int_equal(back.timestamp_ms, k != 1 ? 1234567 : 99);
        const struct gantry_header *got;
        uint32_t count;
        assert_int_equal(gt_properties_decode(back.properties, &arena, &got, &count), 0);
        assert_int_equal(count, 8);
        for (uint32_t i = 0; i < 8; i++) {
            bool found = false;
            for (uint32_t j = 0; j < count; j++)
                found = found || (gantry_view_equal(got[j].name, headers[i].name) &&
                                  gantry_view_equal(got[j].value, headers[i].value));
            assert_true(found);
        }
    }
    /* An ordinary producer's. */
    struct rmq_message foreign = {
        .body = rmq_view_str("hello"),
        .properties = rmq_view_str("KEYS\001k1 k2\002UNIQ_KEY\001U\002WAIT\001true\002color\001red"
                                   "\002TRACE_ON\001true\002color\001blue\002"),
        .born_ms = 5};
    struct gantry_err err;
    struct gt_rq_seen seen;
    gt_rq_look(foreign.properties, &seen);
    assert_false(seen.ours);
    assert_int_equal(gt_rq_decode(&foreign, &arena, &back, &err), 0);
    assert_true(gantry_view_equal(back.key, text("k1 k2")));
    assert_int_equal(back.timestamp_ms, 5);
    const struct gantry_header *got;
    uint32_t count;
    assert_int_equal(gt_properties_decode(back.properties, &arena, &got, &count), 0);
    assert_int_equal(count, 1);
    assert_true(gantry_view_equal(got[0].name, text("color")) &&
                gantry_view_equal(got[0].value, text("red")));
    /* Garbage under our names. */
    foreign.properties = rmq_view_str("gantry-id\001x.y\002gantry-key\001*\002");
    gt_rq_look(foreign.properties, &seen);
    assert_false(seen.ours);
    assert_int_equal(gt_rq_decode(&foreign, &arena, &back, &err), GANTRY_CORRUPT);
    gt_arena_deinit(&arena);
}

static void test_too_large(void **state)
{
    const struct gt_rq_stamp stamp = {text("gantry-id\0011."), text(".0.c\002"), false};
    struct gantry_err err = {0};
    struct rmq_buf frame;
    struct gt_buf scratch;
    char *big = calloc(1, RMQ_BODY_MAX + 1);
    (void)state;
    assert_non_null(big);
    memset(big, 'x', RMQ_BODY_MAX + 1);
    rmq_buf_init(&frame, RMQ_BODY_MAX);
    gt_buf_init(&scratch, 1 << 20);
    struct gt_message message = {.body = {big, RMQ_BODY_MAX + 1}};
    assert_int_equal(gt_rq_encode(&frame, &message, false, &stamp, 1, 0, text(""), &scratch, &err),
                     GANTRY_TOO_LARGE);
    assert_non_null(strstr(err.text, "4 MiB"));
    message = (struct gt_message){.key = {big, 33000}, .body = text("b")};
    assert_int_equal(gt_rq_encode(&frame, &message, false, &stamp, 1, 0, text(""), &scratch, &err),
                     GANTRY_TOO_LARGE);
    assert_non_null(strstr(err.text, "properties"));
    rmq_buf_deinit(&frame);
    gt_buf_deinit(&scratch);
    free(big);
}

/* --- Batches --- */

struct mark_of {
    const char *partition, *before, *after;
    uint32_t records;
};

/* One batch's note as text. @p lead: what was left out before it, or NULL. */
static struct gantry_view note_behind(struct gt_arena *arena, const struct mark_of *lead,
                                      uint64_t first_seq, const struct mark_of *marks,
                                      uint32_t count)
{
    struct gt_rq_mark made[8];
    struct gt_rq_lead leads[1];
    struct gt_rq_note note = {.first_seq = first_seq, .marks = made, .mark_count = count};
    if (lead != NULL) {
        leads[0] = (struct gt_rq_lead){gt_rq_hash_of(text(lead->partition)),
                                       gt_rq_hash_of(text(lead->before)),
                                       gt_rq_hash_of(text(lead->after)), (uint32_t)lead->records};
        note.leads = leads;
        note.lead_count = 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        note.count += marks[i].records;
        made[i] = (struct gt_rq_mark){
            .covers = note.count,
            .whole = true,
            .before = gt_rq_hash_of(text(marks[i].before)),
            .partition = text(marks[i].partition),
            .position = text(marks[i].after),
        };
    }
    struct gt_buf buf;
    gt_buf_init(&buf, 1 << 20);
    gt_rq_note_write(&buf, &note);
    assert_int_equal(buf.error, 0);
    struct gantry_view view = {gt_arena_copy(arena, gt_buf_view(&buf)), buf.len};
    gt_buf_deinit(&buf);
    return view;
}

static struct gantry_view note_of(struct gt_arena *arena, uint64_t first_seq,
                                  const struct mark_of *marks, uint32_t count)
{
    return note_behind(arena, NULL, first_seq, marks, count);
}

static struct gt_rq_seen seen_of(uint64_t epoch, uint64_t seq, uint32_t check,
                                 struct gantry_view note)
{
    return (struct gt_rq_seen){
        .ours = true, .id = {epoch, seq, check, 0, text("c")}, .note = note, .tail = -1};
}

static void test_note(void **state)
{
    struct gt_arena arena;
    struct gt_rq_note note;
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    const struct mark_of marks[] = {{"p", "1", "4", 3}, {"q", "", "x", 2}};
    struct gantry_view view = note_of(&arena, 100, marks, 2);
    assert_int_equal(gt_rq_note_read(view, &arena, &note), 0);
    assert_true(note.first_seq == 100 && note.count == 5 && note.mark_count == 2);
    assert_true(gantry_view_equal(note.marks[1].partition, text("q")));
    assert_true(gt_rq_hash_equal(note.marks[0].before, gt_rq_hash_of(text("1"))));
    assert_true(gt_rq_hash_equal(note.marks[0].after, gt_rq_hash_of(text("4"))));
    assert_int_equal(note.lead_count, 0);
    for (size_t len = 0; len < view.len; len++) /* never more than it can be */
        assert_int_not_equal(gt_rq_note_read((struct gantry_view){view.data, len}, &arena, &note),
                             0);
    const struct mark_of lead = {"p", "0", "1", 7};
    struct gantry_view longer = note_behind(&arena, &lead, 100, marks, 2);
    assert_int_equal(gt_rq_note_read(longer, &arena, &note), 0);
    assert_true(note.mark_count == 2 && note.lead_count == 1 && note.leads[0].count == 7);
    assert_true(gt_rq_hash_equal(note.leads[0].after, note.marks[0].before));
    for (size_t len = view.len + 4; len < longer.len; len++)
        assert_int_not_equal(gt_rq_note_read((struct gantry_view){longer.data, len}, &arena, &note),
                             0);
    gt_arena_deinit(&arena);
}

/* The source's present positions, and where they were moved to. */
struct present {
    const char *position[2]; /* of "p" and "q" */
};

static int now_at(void *arg, struct gantry_view partition, struct gt_rq_hash hash,
                  struct gt_rq_hash *ret)
{
    const struct present *present = arg;
    (void)hash;
    *ret = gt_rq_hash_of(text(present->position[gantry_view_equal(partition, text("q"))]));
    return 0;
}

static char moved_to[2][32];

static int move_to(void *arg, struct gantry_view partition, struct gantry_view position)
{
    struct present *present = arg;
    int at = gantry_view_equal(partition, text("q"));
    snprintf(moved_to[at], sizeof moved_to[at], "%.*s", GT_VIEW_ARGS(position));
    present->position[at] = moved_to[at];
    return 0;
}

static void add(struct gt_rq_found *found, uint64_t epoch, uint64_t seq, uint32_t check,
                struct gantry_view note)
{
    struct gt_rq_seen seen = seen_of(epoch, seq, check, note);
    assert_int_equal(gt_rq_found_add(found, &seen), 0);
}

/* Whole batches move the positions, whichever order they are found in; one that does not begin
 * where the source stands does not. */
static void test_roll_forward(void **state)
{
    struct gt_arena arena;
    struct gt_rq_found found;
    struct gt_rq_skips skips;
    struct present present = {{"1", "a"}};
    const struct mark_of one[] = {{"p", "1", "3", 2}},
                         two[] = {{"p", "3", "4", 1}, {"q", "a", "b", 1}},
                         other[] = {{"p", "9", "10", 1}};
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    gt_rq_found_init(&found);
    gt_rq_skips_init(&skips);
    struct gantry_view none = {NULL, 0};
    add(&found, 5, 3, 103, note_of(&arena, 3, two, 2)); /* the later batch first: another queue */
    add(&found, 5, 4, 104, none);
    add(&found, 5, 1, 101, note_of(&arena, 1, one, 1));
    add(&found, 5, 2, 102, none);
    add(&found, 5, 2, 102, none); /* sent twice */
    add(&found, 5, 70, 1, none);  /* its note is not there */
    add(&found, 4, 1, 9, note_of(&arena, 1, other, 1));
    assert_int_equal(gt_rq_found_settle(&found, now_at, move_to, &present, &skips), 0);
    assert_string_equal(present.position[0], "4");
    assert_string_equal(present.position[1], "b");
    assert_false(gt_rq_skips_trim(&skips));
    gt_rq_found_deinit(&found);
    gt_rq_skips_deinit(&skips);
    gt_arena_deinit(&arena);
}

/* A batch of which a part is missing stays where it is; what is there of it is left out when it is
 * polled again, also in other batches, and only when it says the same. */
static void test_partial(void **state)
{
    struct gt_arena arena;
    struct gt_rq_found found;
    struct gt_rq_skips skips;
    struct present present = {{"1", "a"}};
    const struct mark_of one[] = {{"p", "1", "3", 2}}, two[] = {{"p", "3", "7", 4}},
                         again[] = {{"p", "3", "4", 1}};
    struct gantry_view none = {NULL, 0};
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    gt_rq_found_init(&found);
    gt_rq_skips_init(&skips);
    add(&found, 5, 1, 101, note_of(&arena, 1, one, 1));
    add(&found, 5, 2, 102, none);
    add(&found, 5, 4, 104, note_of(&arena, 3, two, 1)); /* records 2 and 4 of four */
    add(&found, 5, 6, 106, none);
    /* A later epoch began to send it again in smaller batches, and got one through: record 1. */
    add(&found, 6, 1, 103, note_of(&arena, 1, again, 1));
    assert_int_equal(gt_rq_found_settle(&found, now_at, move_to, &present, &skips), 0);
    assert_string_equal(present.position[0],
                        "4"); /* one, and the first of two by the later epoch */
    assert_true(gt_rq_skips_trim(&skips));

    /* Polled again: 4 to 6 (two records), then 6 to 7. */
    struct gt_rq_mark mark = {.covers = 2,
                              .partition_hash = gt_rq_hash_of(text("p")),
                              .before = gt_rq_hash_of(text("4")),
                              .after = gt_rq_hash_of(text("6"))};
    struct gt_rq_place place = gt_rq_skips_pass(&skips, &mark, 2);
    assert_true(gt_rq_skips_has(&skips, &place, 1, 104));
    assert_false(gt_rq_skips_has(&skips, &place, 1, 999)); /* another record stands there */
    assert_false(gt_rq_skips_has(&skips, &place, 2, 105));
    assert_true(gt_rq_skips_trim(&skips));
    mark.before = mark.after;
    mark.after = gt_rq_hash_of(text("7"));
    place = gt_rq_skips_pass(&skips, &mark, 1);
    assert_true(gt_rq_skips_has(&skips, &place, 1, 106));
    assert_false(gt_rq_skips_trim(&skips));
    gt_rq_found_deinit(&found);
    gt_rq_skips_deinit(&skips);
    gt_arena_deinit(&arena);
}

/* The position was moved into the middle of an older batch, by a later one that is committed. */
static void test_partial_from_the_middle(void **state)
{
    struct gt_arena arena;
    struct gt_rq_found found;
    struct gt_rq_skips skips;
    struct present present = {{"3", "a"}};
    const struct mark_of old[] = {{"p", "1", "6", 5}}, fresh[] = {{"p", "1", "3", 2}};
    struct gantry_view none = {NULL, 0};
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    gt_rq_found_init(&found);
    gt_rq_skips_init(&skips);
    add(&found, 5, 1, 101, note_of(&arena, 1, old, 1)); /* records 1 and 4 of five */
    add(&found, 5, 4, 104, none);
    add(&found, 6, 2, 102, note_of(&arena, 1, fresh, 1));
    assert_int_equal(gt_rq_found_settle(&found, now_at, move_to, &present, &skips), 0);
    assert_string_equal(present.position[0], "3");
    assert_true(gt_rq_skips_trim(&skips));
    struct gt_rq_mark mark = {.partition_hash = gt_rq_hash_of(text("p")),
                              .before = gt_rq_hash_of(text("3")),
                              .after = gt_rq_hash_of(text("6"))};
    struct gt_rq_place place = gt_rq_skips_pass(&skips, &mark, 3);
    assert_false(gt_rq_skips_has(&skips, &place, 1, 103));
    assert_true(gt_rq_skips_has(&skips, &place, 2, 104));
    assert_false(gt_rq_skips_trim(&skips));
    gt_rq_found_deinit(&found);
    gt_rq_skips_deinit(&skips);
    gt_arena_deinit(&arena);
}

/* --- What a reader leaves out --- */

static enum gt_rq_verdict judge(struct gt_rq_memory *memory, const struct gt_rq_seen *seen,
                                int64_t offset, int64_t *ret_from)
{
    enum gt_rq_verdict verdict;
    struct gt_rq_ticket ticket;
    assert_int_equal(gt_rq_memory_judge(memory, seen, offset, &verdict, &ticket, ret_from), 0);
    if (verdict == GT_RQ_DELIVER)
        gt_rq_memory_took(memory, &ticket);
    return verdict;
}

static void test_repeats(void **state)
{
    struct gt_rq_memory memory, again;
    struct gantry_view none = {NULL, 0};
    struct gt_buf saved;
    int64_t from;
    (void)state;
    gt_rq_memory_init(&memory);
    struct gt_rq_seen foreign = {.tail = -1};
    for (int64_t i = 0; i < 3; i++)
        assert_int_equal(judge(&memory, &foreign, i, &from), GT_RQ_DELIVER);
    struct gt_rq_seen seen[] = {seen_of(5, 1, 0, none), seen_of(5, 2, 0, none),
                                seen_of(6, 1, 0, none), seen_of(5, 3, 0, none)};
    assert_int_equal(judge(&memory, &seen[0], 3, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &seen[1], 4, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &seen[0], 5, &from), GT_RQ_DROP); /* sent again */
    assert_int_equal(judge(&memory, &seen[1], 6, &from), GT_RQ_DROP);
    assert_int_equal(judge(&memory, &seen[2], 7, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &seen[3], 8, &from), GT_RQ_DROP); /* an older epoch */
    seen[0].id.task = 1;
    assert_int_equal(judge(&memory, &seen[0], 9, &from), GT_RQ_DELIVER); /* another task */

    gt_buf_init(&saved, 1 << 16);
    gt_rq_memory_save(&memory, &saved);
    gt_rq_memory_init(&again);
    assert_int_equal(gt_rq_memory_load(&again, gt_buf_view(&saved)), 0);
    assert_int_equal(gt_rq_memory_replay_from(&again), -1);
    assert_int_equal(judge(&again, &seen[3], 10, &from), GT_RQ_DROP);
    assert_int_equal(judge(&again, &seen[2], 11, &from), GT_RQ_DROP);
    for (size_t len = 1; len < saved.len; len++) {
        struct gt_rq_memory bad;
        gt_rq_memory_init(&bad);
        assert_int_equal(gt_rq_memory_load(&bad, (struct gantry_view){saved.data, len}),
                         GANTRY_CORRUPT);
        gt_rq_memory_deinit(&bad);
    }
    gt_buf_deinit(&saved);
    gt_rq_memory_deinit(&memory);
    gt_rq_memory_deinit(&again);
}

/* What was judged and not taken is judged again, and not taken for a repeat. */
static void test_rewind(void **state)
{
    struct gt_rq_memory memory;
    struct gt_rq_ticket ticket[2];
    enum gt_rq_verdict verdict;
    struct gantry_view none = {NULL, 0};
    struct gt_rq_seen seen[] = {seen_of(5, 1, 0, none), seen_of(5, 2, 0, none)};
    int64_t from;
    (void)state;
    gt_rq_memory_init(&memory);
    for (int i = 0; i < 2; i++)
        assert_int_equal(gt_rq_memory_judge(&memory, &seen[i], i, &verdict, &ticket[i], &from), 0);
    gt_rq_memory_took(&memory, &ticket[0]);
    gt_rq_memory_rewind(&memory);
    assert_int_equal(judge(&memory, &seen[1], 1, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &seen[1], 2, &from), GT_RQ_DROP);
    gt_rq_memory_deinit(&memory);
}

/* Records 1 to 3 of the older epoch slip in behind the end up to which the newer one has looked;
 * the newer one polls and sends 1 to 5, in batches of 2. With @p restart the reader is closed and
 * opened again in the middle. */
static void slip(bool restart)
{
    struct gt_arena arena;
    struct gt_rq_memory memory;
    struct gt_buf saved;
    struct gantry_view none = {NULL, 0};
    int64_t from;
    const struct mark_of old[] = {{"p", "0", "3", 3}};
    const struct mark_of one[] = {{"p", "0", "2", 2}}, two[] = {{"p", "2", "4", 2}},
                         three[] = {{"p", "4", "5", 1}};
    gt_arena_init(&arena, 4096, 4096);
    gt_buf_init(&saved, 1 << 16);
    gt_rq_memory_init(&memory);
    struct gt_rq_seen log[] = {
        seen_of(4, 9, 99, none), /* 0: before the tail */
        seen_of(5, 1, 101, note_of(&arena, 1, old, 1)),
        seen_of(5, 2, 102, none),
        seen_of(5, 3, 103, none),
        seen_of(6, 1, 101, note_of(&arena, 1, one, 1)), /* 4 */
        seen_of(6, 2, 102, none),
        seen_of(6, 3, 103, note_of(&arena, 3, two, 1)), /* 6 */
        seen_of(6, 4, 104, none),
        seen_of(6, 5, 105, note_of(&arena, 5, three, 1)),
    };
    static const enum gt_rq_verdict want[] = {GT_RQ_DELIVER, GT_RQ_DELIVER, GT_RQ_DELIVER,
                                              GT_RQ_DELIVER, GT_RQ_DROP,    GT_RQ_DROP,
                                              GT_RQ_DROP,    GT_RQ_DELIVER, GT_RQ_DELIVER};
    log[4].tail = 1;
    for (int64_t i = 0; i < 9; i++) {
        if (i == 4) {
            assert_int_equal(judge(&memory, &log[4], 4, &from), GT_RQ_LOOK);
            assert_int_equal(from, 1);
            for (int64_t k = from; k < 4; k++)
                assert_int_equal(gt_rq_memory_slipped(&memory, &log[4], &log[k]), 0);
            gt_rq_memory_looked(&memory, &log[4], from, 4);
        }
        if (restart && i > 4) {
            gt_rq_memory_rewind(&memory);
            gt_buf_clear(&saved);
            gt_rq_memory_save(&memory, &saved);
            gt_rq_memory_deinit(&memory);
            assert_int_equal(gt_rq_memory_load(&memory, gt_buf_view(&saved)), 0);
            int64_t begin = gt_rq_memory_replay_from(&memory);
            assert_int_equal(begin, 1);
            for (int64_t k = begin; k < i; k++)
                assert_int_equal(gt_rq_memory_replay(&memory, &log[k], k), 0);
        }
        assert_int_equal(judge(&memory, &log[i], i, &from), want[i]);
    }
    gt_rq_memory_deinit(&memory);
    gt_buf_deinit(&saved);
    gt_arena_deinit(&arena);
}

static void test_slip(void **state)
{
    (void)state;
    slip(false);
    slip(true);
}

/* The newer epoch has seen 1 and 2 of the older one's batch, and left them out: its first note
 * begins at a position that no note of the older one has. The rest of that batch came later. All of
 * it is judged, not taken, and judged again. */
static void test_slip_behind_what_was_left_out(void **state)
{
    struct gt_arena arena;
    struct gt_rq_memory memory;
    struct gantry_view none = {NULL, 0};
    struct gt_rq_ticket ticket;
    enum gt_rq_verdict verdict;
    int64_t from;
    const struct mark_of old[] = {{"p", "0", "5", 5}}, lead = {"p", "0", "2", 2};
    const struct mark_of one[] = {{"p", "2", "4", 2}}, two[] = {{"p", "4", "6", 2}};
    (void)state;
    gt_arena_init(&arena, 4096, 4096);
    gt_rq_memory_init(&memory);
    struct gt_rq_seen log[] = {
        seen_of(5, 1, 101, note_of(&arena, 1, old, 1)),
        seen_of(5, 2, 102, none),
        seen_of(5, 3, 103, none),
        seen_of(5, 4, 104, none),
        seen_of(5, 5, 105, none),
        seen_of(6, 3, 103, note_behind(&arena, &lead, 3, one, 1)), /* 5 */
        seen_of(6, 4, 104, none),
        seen_of(6, 5, 105, note_of(&arena, 5, two, 1)),
        seen_of(6, 6, 106, none),
    };
    log[5].tail = 0;
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(judge(&memory, &log[i], i, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &log[5], 5, &from), GT_RQ_LOOK);
    for (int64_t k = from; k < 5; k++)
        assert_int_equal(gt_rq_memory_slipped(&memory, &log[5], &log[k]), 0);
    gt_rq_memory_looked(&memory, &log[5], from, 5);
    for (int again = 0; again < 2; again++) {
        for (int64_t i = 5; i < 9; i++) {
            assert_int_equal(gt_rq_memory_judge(&memory, &log[i], i, &verdict, &ticket, &from), 0);
            assert_int_equal(verdict, i < 8 ? GT_RQ_DROP : GT_RQ_DELIVER);
        }
        gt_rq_memory_rewind(&memory);
    }
    gt_rq_memory_deinit(&memory);
    gt_arena_deinit(&arena);
}

/* Nothing of the task stands behind the tail: nothing is looked at. */
static void test_no_slip(void **state)
{
    struct gt_rq_memory memory;
    struct gantry_view none = {NULL, 0};
    struct gt_rq_seen seen[] = {seen_of(5, 1, 0, none), seen_of(6, 1, 0, none)};
    int64_t from;
    (void)state;
    gt_rq_memory_init(&memory);
    seen[1].tail = 1;
    assert_int_equal(judge(&memory, &seen[0], 0, &from), GT_RQ_DELIVER);
    assert_int_equal(judge(&memory, &seen[1], 7, &from), GT_RQ_DELIVER); /* 1 to 6: others' */
    gt_rq_memory_deinit(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_of_one_name),
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_roll_forward),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_partial_from_the_middle),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_slip),
        cmocka_unit_test(test_slip_behind_what_was_left_out),
        cmocka_unit_test(test_no_slip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
