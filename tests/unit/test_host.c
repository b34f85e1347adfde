/* SPDX-License-Identifier: Apache-2.0 */
/* The wire of the host protocol: MessagePack, frames, parts, records, schemas. What is malformed is
 * an error, whatever it is. */
#include "base/arena.h"
#include "host/errlog.h"
#include "host/record.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>

static struct gantry_view text(const char *value)
{
    return gantry_view_of(value);
}

/* --- MessagePack --- */

static void numbers_come_back(void **state)
{
    static const int64_t values[] = {
        0,         1,  127, 128, 255,  256,  65535,  65536,  UINT32_MAX, (int64_t)UINT32_MAX + 1,
        INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  (int64_t)INT32_MIN - 1,
        INT64_MIN};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct gt_buf buf;
        gt_buf_init(&buf, 100);
        gt_mp_put_int(&buf, values[i]);
        struct gt_mp mp = gt_mp_of(buf.data, buf.len);
        assert_int_equal(gt_mp_peek(&mp), GT_MP_INT);
        assert_true(gt_mp_int(&mp) == values[i]);
        assert_true(gt_mp_ok(&mp));
        assert_int_equal(gt_mp_peek(&mp), GT_MP_END);
        gt_buf_deinit(&buf);
    }
}

static void other_writers_numbers_are_read(void **state)
{
    static const struct {
        uint8_t bytes[9];
        size_t len;
        int64_t value;
        bool ok;
    } cases[] = {
        {{0xd0, 0xff}, 2, -1, true},
        {{0xd1, 0xff, 0xfe}, 3, -2, true},
        {{0xd2, 0, 0, 1, 0}, 5, 256, true},
        {{0xd3, 0, 0, 0, 0, 0, 0, 0, 7}, 9, 7, true},
        {{0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 9, INT64_MAX, true},
        {{0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0}, 9, 0, false},
        {{0xcd, 1}, 2, 0, false},
        {{0xc0}, 1, 0, false},
        {{0xa1, 'x'}, 2, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gt_mp mp = gt_mp_of(cases[i].bytes, cases[i].len);
        int64_t value = gt_mp_int(&mp);
        assert_int_equal(gt_mp_ok(&mp), cases[i].ok);
        assert_true(!cases[i].ok || value == cases[i].value);
    }
}

static void bytes_of_all_lengths_come_back(void **state)
{
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 100000};
    char *data = malloc(100000);
    (void)state;
    assert_non_null(data);
    memset(data, 'a', 100000);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (int as_text = 0; as_text < 2; as_text++) {
            struct gantry_view view = {data, lengths[i]};
            uint8_t *room = malloc(lengths[i] + GT_MP_HEAD_MAX);
            assert_non_null(room);
            uint8_t *end = as_text ? gt_mp_set_text(room, view) : gt_mp_set_bytes(room, view);
            assert_true(end <= room + lengths[i] + GT_MP_HEAD_MAX);
            struct gt_mp mp = gt_mp_of(room, (size_t)(end - room));
            assert_true(gantry_view_equal(gt_mp_bytes(&mp), view));
            assert_true(gt_mp_ok(&mp) && mp.pos == mp.end);
            for (size_t cut = 0; cut < (size_t)(end - room) && cut < 300; cut++) {
                mp = gt_mp_of(room, cut);
                (void)gt_mp_bytes(&mp);
                assert_false(gt_mp_ok(&mp));
            }
            free(room);
        }
    }
    free(data);
}

static void a_count_is_never_larger_than_what_is_left(void **state)
{
    static const uint8_t array[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2}, map[] = {0x82, 1, 2, 3};
    (void)state;
    struct gt_mp mp = gt_mp_of(array, sizeof array);
    assert_int_equal(gt_mp_array(&mp), 0);
    assert_false(gt_mp_ok(&mp));
    mp = gt_mp_of(map, sizeof map);
    assert_int_equal(gt_mp_map(&mp), 0);
    assert_false(gt_mp_ok(&mp));
}

static void skip_passes_over_everything(void **state)
{
    static const uint8_t bytes[] = {0x96, 0xc0, 0xc3, 0xcb,
                                    0,    0,    0,    0,
                                    0,    0,    0,    0, /* float */
                                    0xd4, 1,    2,    /* fixext 1 */ 0xc7,
                                    2,    1,    9,    9, /* ext 8 */
                                    0x81, 0xa1, 'k',  0x92,
                                    1,    0xca, 0,    0,
                                    0,    0,    42};
    (void)state;
    struct gt_mp mp = gt_mp_of(bytes, sizeof bytes);
    gt_mp_skip(&mp);
    assert_true(gt_mp_ok(&mp));
    assert_int_equal(gt_mp_int(&mp), 42);
    assert_true(gt_mp_ok(&mp) && mp.pos == mp.end);
    for (size_t cut = 0; cut + 1 < sizeof bytes; cut++) {
        mp = gt_mp_of(bytes, cut);
        gt_mp_skip(&mp);
        assert_false(gt_mp_ok(&mp));
    }
}

static void deep_nesting_costs_nothing(void **state)
{
    enum { DEPTH = 1 << 20 };
    uint8_t *bytes = malloc(DEPTH + 1);
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 0x91, DEPTH);
    bytes[DEPTH] = 0xc0;
    struct gt_mp mp = gt_mp_of(bytes, DEPTH + 1);
    gt_mp_skip(&mp);
    assert_true(gt_mp_ok(&mp) && mp.pos == mp.end);
    free(bytes);
}

static void items_left_out_at_the_end_are_nil(void **state)
{
    static const uint8_t bytes[] = {0x92, 0xc0, 5, 7};
    (void)state;
    struct gt_mp mp = gt_mp_of(bytes, sizeof bytes);
    struct gt_mp_items items = gt_mp_items(&mp);
    assert_int_equal(gt_mp_item_int(&items, -9), -9);
    assert_int_equal(gt_mp_item_int(&items, -9), 5);
    assert_int_equal(gt_mp_item_int(&items, -9), -9);
    assert_null(gt_mp_item_bytes(&items).data);
    assert_false(gt_mp_item(&items));
    assert_true(gt_mp_ok(&mp));
    assert_int_equal(gt_mp_int(&mp), 7);
}

static void random_bytes_are_read_to_their_end(void **state)
{
    uint8_t bytes[64];
    (void)state;
    srand(4711);
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand();
        struct gt_mp mp = gt_mp_of(bytes, len);
        for (int steps = 0; gt_mp_ok(&mp) && gt_mp_peek(&mp) != GT_MP_END; steps++) {
            gt_mp_skip(&mp);
            assert_true(mp.pos <= mp.end);
            assert_true(steps < 100);
        }
    }
}

/* --- Frames --- */

/* Cut the bytes out of the stream in pieces of that size. */
static struct gt_frames feed(const uint8_t *data, size_t len, size_t piece)
{
    struct gt_frame_cutter cutter = {.head_len = 0};
    struct gt_frames frames;
    gt_frames_init(&frames);
    while (len > 0) {
        size_t take = piece < len ? piece : len;
        const uint8_t *at = data;
        data += take;
        len -= take;
        while (take > 0) {
            struct gt_frame *frame = NULL;
            struct gantry_err err;
            assert_int_equal(gt_frame_cutter_feed(&cutter, &at, &take, &frame, &err), 0);
            if (frame != NULL)
                gt_frames_add(&frames, frame);
        }
    }
    assert_int_equal(cutter.head_len, 0);
    gt_frame_cutter_deinit(&cutter);
    return frames;
}

static struct gt_frame *number_frame(uint32_t channel, int64_t number)
{
    struct gt_frame *frame = NULL;
    struct gt_buf buf;
    gt_buf_init(&buf, 100);
    gt_frame_begin(&buf, GT_FRAME_LAG, channel, 3);
    gt_mp_put_int(&buf, number);
    assert_int_equal(gt_frame_end(&buf, channel, &frame), 0);
    return frame;
}

static void frames_come_out_of_any_pieces(void **state)
{
    struct gt_buf stream;
    (void)state;
    gt_buf_init(&stream, 1 << 20);
    for (int i = 0; i < 300; i++) {
        struct gt_frame *frame = number_frame((uint32_t)i, i * 1000);
        gt_buf_add(&stream, frame->data, frame->len);
        gt_frame_free(frame);
    }
    for (size_t piece = 1; piece < 40; piece++) {
        struct gt_frames frames = feed((const uint8_t *)stream.data, stream.len, piece);
        assert_int_equal(frames.count, 300);
        int i = 0;
        for (struct gt_frame *frame = frames.head; frame != NULL; frame = frame->next, i++) {
            struct gt_frame_head head;
            assert_true(gt_frame_read(&head, frame->data, frame->len));
            assert_int_equal(head.type, GT_FRAME_LAG);
            assert_int_equal(head.channel, i);
            assert_int_equal(gt_mp_item_int(&head.items, -1), i * 1000);
        }
        gt_frames_deinit(&frames);
    }
    gt_buf_deinit(&stream);
}

static void a_length_that_is_not_allowed_is_refused(void **state)
{
    static const uint8_t none[] = {0, 0, 0, 0}, large[] = {1, 0, 0, 1},
                         http[] = {'H', 'T', 'T', 'P'};
    static const uint8_t *const all[] = {none, large, http};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct gt_frame_cutter cutter = {.head_len = 0};
        const uint8_t *data = all[i];
        size_t len = 4;
        struct gt_frame *frame;
        struct gantry_err err;
        assert_int_equal(gt_frame_cutter_feed(&cutter, &data, &len, &frame, &err), GANTRY_INVALID);
        gt_frame_cutter_deinit(&cutter);
    }
}

/* A frame of so many bytes, through parts and back. */
static void go_through_parts(size_t size, bool expect_parts)
{
    struct gt_frame *list = NULL;
    struct gt_buf buf, stream;
    char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    gt_buf_init(&buf, 64 << 20);
    gt_frame_begin(&buf, GT_FRAME_PUT, 9, 3);
    gt_mp_put_bytes(&buf, (struct gantry_view){data, size});
    assert_int_equal(gt_frame_end(&buf, 9, &list), 0);
    gt_buf_init(&stream, 64 << 20);
    for (const struct gt_frame *frame = list; frame != NULL; frame = frame->next) {
        assert_true(frame->len <= GT_FRAME_MAX);
        gt_buf_add(&stream, frame->data, frame->len);
    }
    assert_int_equal(list->next != NULL, expect_parts);
    gt_frame_free_list(list);

    struct gt_frames frames = feed((const uint8_t *)stream.data, stream.len, 60000);
    struct gt_frame_parts parts = {.begun = false};
    struct gt_frame *whole = NULL, *frame;
    while ((frame = gt_frames_take(&frames)) != NULL) {
        struct gt_frame_head head;
        struct gantry_err err;
        assert_null(whole);
        assert_true(gt_frame_read(&head, frame->data, frame->len));
        assert_int_equal(head.channel, 9);
        if (head.type == GT_FRAME_PART) {
            assert_int_equal(gt_frame_parts_add(&parts, &head, 64 << 20, &whole, &err), 0);
            gt_frame_free(frame);
        } else {
            whole = frame;
        }
    }
    assert_non_null(whole);
    struct gt_frame_head head;
    assert_true(gt_frame_read(&head, whole->data, whole->len));
    assert_int_equal(head.type, GT_FRAME_PUT);
    assert_true(gantry_view_equal(gt_mp_item_bytes(&head.items), (struct gantry_view){data, size}));
    gt_frame_free(whole);
    gt_frame_parts_deinit(&parts);
    gt_buf_deinit(&stream);
    free(data);
}

static void long_frames_go_in_parts(void **state)
{
    (void)state;
    go_through_parts(10, false);
    go_through_parts(1 << 20, false);
    go_through_parts(3 << 20, true);
    go_through_parts((20 << 20) + 17, true);
}

static void parts_are_bounded(void **state)
{
    struct gt_frame_parts parts = {.begun = false};
    struct gantry_err err;
    int code = 0;
    char *data = calloc(1, 1 << 20);
    (void)state;
    assert_non_null(data);
    for (int i = 0; i < 5 && code == 0; i++) {
        struct gt_frame *frame = NULL, *whole = NULL;
        struct gt_frame_head head;
        struct gt_buf buf;
        gt_buf_init(&buf, 2 << 20);
        gt_frame_begin(&buf, GT_FRAME_PART, 1, 4);
        gt_mp_put_bytes(&buf, (struct gantry_view){data, 1 << 20});
        gt_mp_put_bool(&buf, true);
        assert_int_equal(gt_frame_end(&buf, 1, &frame), 0);
        assert_true(gt_frame_read(&head, frame->data + 4, frame->len - 4));
        code = gt_frame_parts_add(&parts, &head, 3 << 20, &whole, &err);
        assert_null(whole);
        gt_frame_free(frame);
    }
    assert_int_equal(code, GANTRY_TOO_LARGE);
    gt_frame_parts_deinit(&parts);
    free(data);
}

/* --- Records --- */

static void *test_alloc(void *arg, size_t size)
{
    return gt_arena_alloc(arg, size);
}

static void assert_same_record(const struct gantry_record *is, const struct gantry_record *was)
{
    assert_true(gantry_view_equal(is->value, was->value));
    assert_true(gantry_view_equal(is->key, was->key));
    assert_true(is->timestamp_ms == was->timestamp_ms);
    assert_int_equal(is->header_count, was->header_count);
    for (uint32_t i = 0; i < is->header_count; i++) {
        assert_true(gantry_view_equal(is->headers[i].name, was->headers[i].name));
        assert_true(gantry_view_equal(is->headers[i].value, was->headers[i].value));
    }
    assert_int_equal(is->topic != NULL, was->topic != NULL);
    assert_true(is->topic == NULL || strcmp(is->topic, was->topic) == 0);
    assert_int_equal(is->schema != NULL, was->schema != NULL);
    if (is->schema != NULL) {
        assert_string_equal(is->schema->name, was->schema->name);
        assert_int_equal(is->schema->field_count, was->schema->field_count);
        for (size_t i = 0; i < is->schema->field_count; i++) {
            assert_string_equal(is->schema->fields[i].name, was->schema->fields[i].name);
            assert_int_equal(is->schema->fields[i].type, was->schema->fields[i].type);
        }
    }
}

/* Through frames of records and back, as many as it takes. Returns the number of frames. */
static size_t go_and_come(const struct gantry_record *records, size_t count,
                          struct gt_schemas_out *out, struct gt_schemas_in *in)
{
    struct gt_arena arena;
    size_t done = 0, frames = 0;
    gt_arena_init(&arena, 64 << 10, 0);
    for (; done < count; frames++) {
        struct gt_frames before;
        struct gt_frame *schema;
        struct gt_buf buf;
        int64_t credit = 0;
        gt_frames_init(&before);
        gt_buf_init(&buf, 64 << 20);
        int some =
            gt_records_put(&buf, out, 3, records + done, count - done, true, &before, &credit);
        assert_true(some > 0 && some <= GT_FRAME_RECORD_COUNT);
        while ((schema = gt_frames_take(&before)) != NULL) {
            struct gt_frame_head head;
            struct gantry_err err;
            assert_true(gt_frame_read(&head, schema->data + 4, schema->len - 4));
            assert_int_equal(head.type, GT_FRAME_SCHEMA);
            assert_int_equal(gt_schemas_in_add(in, &head, &err), 0);
            gt_frame_free(schema);
        }
        struct gt_record_reader reader = {.schemas = in, .alloc = test_alloc, .arg = &arena};
        struct gt_mp mp = gt_mp_of(buf.data, buf.len);
        assert_int_equal(gt_mp_array(&mp), some);
        for (int i = 0; i < some; i++) {
            struct gantry_record record;
            assert_int_equal(gt_record_read(&mp, &reader, &record), 0);
            assert_same_record(&record, &records[done + (size_t)i]);
        }
        assert_true(credit == reader.credit);
        assert_true(gt_mp_ok(&mp) && mp.pos == mp.end);
        gt_buf_deinit(&buf);
        done += (size_t)some;
    }
    gt_arena_deinit(&arena);
    return frames;
}

static void records_come_back(void **state)
{
    static const struct gantry_header headers[] = {
        {{"a", 1}, {"1", 1}}, {{"empty", 5}, {"", 0}}, {{"gantry-null-header", 18}, {"none", 4}}};
    static const struct gantry_header null[] = {{{"a", 1}, {"1", 1}},
                                                {{"gantry-null", 11}, {"value", 5}}};
    static const struct gantry_field fields[] = {{"f", GANTRY_TYPE_STRING},
                                                 {"g", GANTRY_TYPE_INT64}};
    static const struct gantry_schema schema = {sizeof schema, "s", "source", 2, fields};
    const struct gantry_record records[] = {
        {.value = text("plain")},
        {.value = text(""), .key = text("k")},
        {.value = text("at"), .timestamp_ms = 1234567890123},
        {.value = text("topic"), .topic = "other"},
        {.value = text("topic again"), .topic = "other"},
        {.value = text("schema"), .schema = &schema},
        {.value = text("all"),
         .key = text("key"),
         .timestamp_ms = -1,
         .topic = "t",
         .schema = &schema,
         .headers = headers,
         .header_count = 3},
        {.value = {NULL, 0}, .key = text("gone"), .headers = null, .header_count = 2},
        {.value = {NULL, 0}, .headers = null + 1, .header_count = 1},
    };
    struct gt_schemas_out out = {.next = 0};
    struct gt_schemas_in in = {.count = 0};
    (void)state;
    assert_int_equal(go_and_come(records, sizeof records / sizeof records[0], &out, &in), 1);
    gt_schemas_out_deinit(&out);
    gt_schemas_in_deinit(&in);
}

static void a_frame_takes_so_many_records_or_bytes(void **state)
{
    struct gantry_record *records = calloc(10000, sizeof *records);
    char *large = calloc(1, 700 << 10);
    struct gt_schemas_out out = {.next = 0};
    struct gt_schemas_in in = {.count = 0};
    (void)state;
    assert_non_null(records);
    assert_non_null(large);
    for (int i = 0; i < 10000; i++)
        records[i].value = text("x");
    assert_int_equal(go_and_come(records, 10000, &out, &in), 3);
    for (int i = 0; i < 3; i++)
        records[i].value = (struct gantry_view){large, 700 << 10};
    assert_int_equal(go_and_come(records, 3, &out, &in), 3);
    free(large);
    free(records);
}

/* Both ends count the same, and as the page says; a header is not for nothing. */
static void headers_count(void **state)
{
    static const struct gantry_header headers[] = {{{"gantry-null", 11}, {"value", 5}},
                                                   {{"name", 4}, {"a value", 7}}};
    const struct gantry_record records[] = {
        {.value = text("abc"), .key = text("de"), .headers = headers, .header_count = 2},
        {.key = text("de"), .headers = headers, .header_count = 2}, /* the first is none then */
    };
    const int64_t expected = (64 + 5 + 32 + 16 + 32 + 11) + (64 + 2 + 32 + 11);
    struct gt_schemas_out out = {.next = 0};
    struct gt_schemas_in in = {.count = 0};
    struct gt_frames before;
    struct gt_arena arena;
    struct gt_buf buf;
    int64_t credit = 0;
    (void)state;
    gt_frames_init(&before);
    gt_arena_init(&arena, 4096, 0);
    gt_buf_init(&buf, 1 << 20);
    assert_int_equal(gt_records_put(&buf, &out, 3, records, 2, true, &before, &credit), 2);
    assert_true(credit == expected);
    struct gt_record_reader reader = {.schemas = &in, .alloc = test_alloc, .arg = &arena};
    struct gt_mp mp = gt_mp_of(buf.data, buf.len);
    assert_int_equal(gt_mp_array(&mp), 2);
    for (int i = 0; i < 2; i++) {
        struct gantry_record record;
        assert_int_equal(gt_record_read(&mp, &reader, &record), 0);
    }
    assert_true(reader.credit == expected);
    gt_buf_deinit(&buf);
    gt_arena_deinit(&arena);
    gt_schemas_out_deinit(&out);
    gt_schemas_in_deinit(&in);
}

static void numbers_of_schemas_are_given_again(void **state)
{
    enum { SCHEMAS = 3 * GT_SCHEMA_NUMBERS };
    struct gantry_schema *schemas = calloc(SCHEMAS, sizeof *schemas);
    struct gantry_record *records = calloc(SCHEMAS, sizeof *records);
    char(*names)[16] = calloc(SCHEMAS, sizeof *names);
    struct gt_schemas_out out = {.next = 0};
    struct gt_schemas_in in = {.count = 0};
    (void)state;
    assert_true(schemas != NULL && records != NULL && names != NULL);
    for (int i = 0; i < SCHEMAS; i++) {
        (void)snprintf(names[i], sizeof names[i], "schema %d", i);
        schemas[i] = (struct gantry_schema){.struct_size = sizeof *schemas, .name = names[i]};
        records[i] = (struct gantry_record){.value = text("x"), .schema = &schemas[i]};
    }
    assert_int_equal(go_and_come(records, SCHEMAS, &out, &in), 3);
    assert_int_equal(go_and_come(records, SCHEMAS, &out, &in), 3);
    assert_int_equal(in.count, GT_SCHEMA_NUMBERS);
    gt_schemas_in_forget(&in);
    gt_schemas_out_deinit(&out);
    gt_schemas_in_deinit(&in);
    free(names);
    free(records);
    free(schemas);
}

/* SCHEMA with this number and a name of so many bytes. */
static int hear_schema(struct gt_schemas_in *schemas, uint32_t number, size_t size)
{
    struct gt_buf buf;
    struct gt_frame_head head;
    struct gantry_err err;
    char *name = malloc(size);
    assert_non_null(name);
    memset(name, 'n', size);
    gt_buf_init(&buf, size + 100);
    gt_mp_put_array(&buf, 4);
    gt_mp_put_int(&buf, GT_FRAME_SCHEMA);
    gt_mp_put_int(&buf, 1);
    gt_mp_put_int(&buf, number);
    gt_mp_put_bytes(&buf, (struct gantry_view){name, size});
    assert_true(gt_frame_read(&head, buf.data, buf.len));
    int code = gt_schemas_in_add(schemas, &head, &err);
    gt_buf_deinit(&buf);
    free(name);
    return code;
}

static void schemas_are_bounded(void **state)
{
    enum { LARGE = 10 << 20 };
    struct gt_schemas_in schemas = {.count = 0};
    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(hear_schema(&schemas, i, LARGE), 0);
    assert_int_equal(hear_schema(&schemas, 6, LARGE), GANTRY_INVALID);
    assert_int_equal(hear_schema(&schemas, 1, LARGE), GANTRY_INVALID); /* the old one is in use */
    assert_int_equal(hear_schema(&schemas, 1, 1000), 0);
    gt_schemas_in_forget(&schemas);
    assert_int_equal(hear_schema(&schemas, 6, LARGE), 0);
    gt_schemas_in_deinit(&schemas);
}

static void malformed_records_are_refused(void **state)
{
    const struct gantry_record record = {
        .value = text("value"), .key = text("key"), .topic = "topic"};
    struct gt_schemas_out out = {.next = 0};
    struct gt_schemas_in in = {.count = 0};
    struct gt_frames before;
    struct gt_arena arena;
    struct gt_buf buf;
    int64_t credit;
    (void)state;
    gt_frames_init(&before);
    gt_buf_init(&buf, 1000);
    gt_arena_init(&arena, 4096, 0);
    assert_int_equal(gt_records_put(&buf, &out, 1, &record, 1, true, &before, &credit), 1);
    for (size_t cut = 6; cut < buf.len; cut++) {
        struct gt_record_reader reader = {.schemas = &in, .alloc = test_alloc, .arg = &arena};
        struct gantry_record read;
        struct gt_mp mp = gt_mp_of(buf.data, cut);
        (void)gt_mp_array(&mp);
        assert_int_equal(gt_record_read(&mp, &reader, &read), GANTRY_INVALID);
    }
    /* A schema that nobody has told of. */
    static const uint8_t unknown[] = {0x95, 0xa1, 'v', 0xc0, 0xc0, 0xc0, 7};
    struct gt_record_reader reader = {.schemas = &in, .alloc = test_alloc, .arg = &arena};
    struct gantry_record read;
    struct gt_mp mp = gt_mp_of(unknown, sizeof unknown);
    assert_int_equal(gt_record_read(&mp, &reader, &read), GANTRY_INVALID);
    gt_arena_deinit(&arena);
    gt_buf_deinit(&buf);
}

/* --- A host's text --- */

static void the_last_lines_are_kept(void **state)
{
    struct gt_errlog log;
    char last[60];
    (void)state;
    gt_errlog_init(&log, "x", 1000000);
    gt_errlog_last(&log, last, sizeof last);
    assert_string_equal(last, "");
    gt_errlog_feed(&log, "one\r\ntwo\n\n", 10, 0);
    gt_errlog_feed(&log, "thr", 3, 0);
    gt_errlog_feed(&log, "ee\nfour", 7, 0);
    gt_errlog_last(&log, last, sizeof last);
    assert_string_equal(last, "one | two | three");
    gt_errlog_end(&log, 0);
    gt_errlog_last(&log, last, sizeof last);
    assert_string_equal(last, "one | two | three | four");
    for (int i = 0; i < 20; i++)
        gt_errlog_feed(&log, "a line of some length\n", 22, 0);
    gt_errlog_last(&log, last, sizeof last);
    assert_int_equal(strlen(last), sizeof last - 1);
    assert_memory_equal(last, "...", 3);
    gt_errlog_deinit(&log);
}

static void so_many_lines_a_second(void **state)
{
    struct gt_errlog log;
    (void)state;
    gt_errlog_init(&log, "x", 3);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gt_errlog_allow(&log, 5000), i < 3);
    assert_int_equal(log.dropped, 7);
    assert_true(gt_errlog_allow(&log, 6000));
    assert_int_equal(log.dropped, 0);
    gt_errlog_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(other_writers_numbers_are_read),
        cmocka_unit_test(bytes_of_all_lengths_come_back),
        cmocka_unit_test(a_count_is_never_larger_than_what_is_left),
        cmocka_unit_test(skip_passes_over_everything),
        cmocka_unit_test(deep_nesting_costs_nothing),
        cmocka_unit_test(items_left_out_at_the_end_are_nil),
        cmocka_unit_test(random_bytes_are_read_to_their_end),
        cmocka_unit_test(frames_come_out_of_any_pieces),
        cmocka_unit_test(a_length_that_is_not_allowed_is_refused),
        cmocka_unit_test(long_frames_go_in_parts),
        cmocka_unit_test(parts_are_bounded),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(a_frame_takes_so_many_records_or_bytes),
        cmocka_unit_test(headers_count),
        cmocka_unit_test(numbers_of_schemas_are_given_again),
        cmocka_unit_test(schemas_are_bounded),
        cmocka_unit_test(malformed_records_are_refused),
        cmocka_unit_test(the_last_lines_are_kept),
        cmocka_unit_test(so_many_lines_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
