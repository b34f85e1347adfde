/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files: to bytes and back; cut at every length and damaged at every byte; settled and gone
 * on with. */
#include "topic_support.h"

#include "base/cursor.h"
#include "topic/embedded/segment.h"
#include "topic/inspect.h"

static struct gantry_view bytes(const void *data, size_t len)
{
    return (struct gantry_view){data, len};
}

/* --- Bytes --- */

static void check_round_trip(const struct gt_message *messages, size_t count,
                             enum gt_compression compression, enum gt_compression want)
{
    struct gt_buf out, scratch;
    struct gt_arena arena;
    struct gt_batch_info info;
    struct gt_message *back;
    struct gantry_err err = {0};
    gt_buf_init(&out, GT_BATCH_MAX);
    gt_buf_init(&scratch, GT_BATCH_MAX);
    gt_arena_init(&arena, 65536, 65536);
    gt_buf_add_str(&out, "before"); /* a batch is appended */
    assert_int_equal(gt_batch_write(&out, messages, count, compression, &scratch), 0);
    char *batch = out.data + 6;
    gt_batch_seal(batch, 1234567890123);
    assert_int_equal(gt_batch_header_read(batch, out.len - 6, &info, &err), 0);
    assert_int_equal(info.length, out.len - 6);
    assert_true(info.base_offset == 1234567890123);
    assert_int_equal(info.count, count);
    assert_int_equal(info.compression, want);
    assert_true(info.first_ms == messages[0].timestamp_ms);
    assert_int_equal(gt_batch_check(batch, &info, &err), 0);
    assert_int_equal(gt_batch_read(batch, &info, &arena, &back, &err), 0);
    int64_t last_ms = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        assert_true(gantry_view_equal(back[i].body, messages[i].body));
        assert_true(gantry_view_equal(back[i].key, messages[i].key));
        assert_true(gantry_view_equal(back[i].properties, messages[i].properties));
        assert_true(back[i].timestamp_ms == messages[i].timestamp_ms);
        if (messages[i].timestamp_ms > last_ms)
            last_ms = messages[i].timestamp_ms;
    }
    assert_true(info.last_ms == last_ms);
    gt_arena_deinit(&arena);
    gt_buf_deinit(&scratch);
    gt_buf_deinit(&out);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct gantry_view none = {NULL, 0};
    struct gt_message lone = {.body = none, .timestamp_ms = 0};
    check_round_trip(&lone, 1, GT_COMPRESSION_NONE, GT_COMPRESSION_NONE);
    check_round_trip(&lone, 1, GT_COMPRESSION_LZ4,
                     GT_COMPRESSION_NONE); /* does not get smaller: kept as it is */
    check_round_trip(&lone, 1, GT_COMPRESSION_ZSTD, GT_COMPRESSION_NONE);

    size_t big_len = 3 << 20;
    char *big = malloc(big_len);
    assert_non_null(big);
    uint64_t seed = 1;
    for (size_t i = 0; i < big_len; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        big[i] = (char)(i < big_len / 2 ? 'x' : (int)(seed >> 56));
    }
    const struct gt_message mixed[] = {
        {.body = bytes("a\0b\n\r", 5), .timestamp_ms = 1700000000000},
        {.body = none, .timestamp_ms = 1700000000000},
        {.key = bytes("key", 3), .body = none, .timestamp_ms = 1700000000001},
        {.properties = bytes("\1\2\3\0", 4), .body = bytes("x", 1), .timestamp_ms = 1699999999999},
        {.key = bytes("\0", 1),
         .properties = bytes("p", 1),
         .body = bytes(big, big_len),
         .timestamp_ms = -1},
        {.body = bytes(big, 127), .timestamp_ms = INT64_MAX},
        {.body = bytes(big, 128), .timestamp_ms = INT64_MIN},
        {.body = bytes(big, 16384), .timestamp_ms = 0},
    };
    size_t count = sizeof mixed / sizeof mixed[0];
    check_round_trip(mixed, count, GT_COMPRESSION_NONE, GT_COMPRESSION_NONE);
    check_round_trip(mixed, count, GT_COMPRESSION_LZ4, GT_COMPRESSION_LZ4);
    check_round_trip(mixed, count, GT_COMPRESSION_ZSTD, GT_COMPRESSION_ZSTD);
    const struct gt_message extremes[] = {{.timestamp_ms = INT64_MIN}, {.timestamp_ms = INT64_MAX}};
    check_round_trip(extremes, 2, GT_COMPRESSION_NONE, GT_COMPRESSION_NONE);
    const struct gt_message noise = {.body = bytes(big + big_len / 2, big_len / 2)};
    check_round_trip(&noise, 1, GT_COMPRESSION_LZ4, GT_COMPRESSION_NONE);
    free(big);

    struct gt_message *many = calloc(100000, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < 100000; i++)
        many[i] = (struct gt_message){.body = bytes("same line in each", 17),
                                      .timestamp_ms = 5 + (int64_t)i / 1000};
    check_round_trip(many, 100000, GT_COMPRESSION_NONE, GT_COMPRESSION_NONE);
    check_round_trip(many, 100000, GT_COMPRESSION_LZ4, GT_COMPRESSION_LZ4);
    check_round_trip(many, 100000, GT_COMPRESSION_ZSTD, GT_COMPRESSION_ZSTD);
    free(many);
}

static void test_too_large(void **state)
{
    (void)state;
    struct gt_buf out, scratch;
    gt_buf_init(&out, SIZE_MAX / 8);
    gt_buf_init(&scratch, SIZE_MAX / 8);
    char one = 'x';
    struct gt_message huge = {
        .body = bytes(&one, GT_BATCH_MAX)}; /* refused before a byte of it is read */
    assert_int_equal(gt_batch_write(&out, &huge, 1, GT_COMPRESSION_NONE, &scratch),
                     GANTRY_TOO_LARGE);
    assert_int_equal(out.len, 0);
    out.max = 64;
    struct gt_message small = {.body = bytes("0123456789", 10)};
    assert_int_equal(gt_batch_write(&out, &small, 1, GT_COMPRESSION_NONE, &scratch),
                     GANTRY_TOO_LARGE);
    gt_buf_deinit(&out);
    gt_buf_deinit(&scratch);
}

static void test_compression_names(void **state)
{
    (void)state;
    enum gt_compression compression = GT_COMPRESSION_NONE;
    assert_int_equal(gt_compression_parse("zstd", &compression), 0);
    assert_int_equal(compression, GT_COMPRESSION_ZSTD);
    assert_int_equal(gt_compression_parse("lz4", &compression), 0);
    assert_int_equal(compression, GT_COMPRESSION_LZ4);
    assert_int_equal(gt_compression_parse("none", &compression), 0);
    assert_int_equal(compression, GT_COMPRESSION_NONE);
    assert_int_equal(gt_compression_parse("LZ4", &compression), GANTRY_INVALID);
    assert_int_equal(gt_compression_parse("", &compression), GANTRY_INVALID);
}

/* The bytes themselves: a change of the format must be a decision. */
static void test_known_bytes(void **state)
{
    (void)state;
    static const uint8_t want[] = {
        'G',  'T', 'B', '1', 1, 0,   56, 0,   68, 0, 0, 0, 0x2c, 0x03, 0x8b, 0xdd, /* CRC-32C */
        7,    0,   0,   0,   0, 0,   0,  0,                                        /* base offset */
        2,    0,   0,   0,   0, 0,   0,  0,   /* count, compression */
        0xe8, 3,   0,   0,   0, 0,   0,  0,   /* first */
        0xea, 3,   0,   0,   0, 0,   0,  0,   /* last */
        12,   0,   0,   0,   0, 0,   0,  0,   /* raw length */
        0,    2,   'h', 'i',                  /* nothing but a body */
        7,    4,   1,   'k', 1, 'p', 1,  'b', /* time +2, key, properties, body */
    };
    struct gt_buf out, scratch;
    gt_buf_init(&out, 4096);
    gt_buf_init(&scratch, 4096);
    const struct gt_message messages[] = {{.body = bytes("hi", 2), .timestamp_ms = 1000},
                                          {.key = bytes("k", 1),
                                           .properties = bytes("p", 1),
                                           .body = bytes("b", 1),
                                           .timestamp_ms = 1002}};
    assert_int_equal(gt_batch_write(&out, messages, 2, GT_COMPRESSION_NONE, &scratch), 0);
    gt_batch_seal(out.data, 7);
    assert_int_equal(out.len, sizeof want);
    assert_memory_equal(out.data, want, sizeof want);
    gt_buf_deinit(&out);

    static const uint8_t want_header[] = {'G', 'T', 'S', '1', 1, 0,    32,   0,    9,    0,   0,
                                          0,   0,   0,   0,   0, 0xe8, 3,    0,    0,    0,   0,
                                          0,   0,   0,   0,   0, 0,    0xbf, 0x97, 0xbc, 0x07};
    uint8_t header[GT_SEGMENT_HEADER];
    gt_segment_header_write(header, 9, 1000);
    assert_memory_equal(header, want_header, sizeof header);
}

static void test_header_damage(void **state)
{
    (void)state;
    uint8_t header[GT_SEGMENT_HEADER];
    struct gantry_err err = {0};
    gt_segment_header_write(header, 42, 1700000000000);
    assert_int_equal(gt_segment_header_check(header, sizeof header, 42, &err), 0);
    assert_int_equal(gt_segment_header_check(header, sizeof header, 43, &err), GANTRY_CORRUPT);
    for (size_t len = 0; len < sizeof header; len++)
        assert_int_equal(gt_segment_header_check(header, len, 42, &err), GANTRY_CORRUPT);
    for (size_t i = 0; i < sizeof header * 8; i++) {
        header[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(gt_segment_header_check(header, sizeof header, 42, &err), 0);
        header[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    header[4] = 2;
    assert_int_equal(gt_segment_header_check(header, sizeof header, 42, &err), GANTRY_VERSION);
    assert_non_null(strstr(err.text, "2"));
}

/* Each bit of a batch, each length: never taken for good. */
static void test_batch_damage(void **state)
{
    (void)state;
    struct gt_buf out, scratch;
    struct gantry_err err = {0};
    struct made_message made[4];
    struct gt_message messages[4];
    for (int i = 0; i < 4; i++)
        messages[i] = make_message(&made[i], i, 0);
    gt_buf_init(&out, 1 << 20);
    gt_buf_init(&scratch, 1 << 20);
    for (int compression = 0; compression < 3; compression++) {
        struct gt_batch_info info;
        gt_buf_clear(&out);
        assert_int_equal(
            gt_batch_write(&out, messages, 4, (enum gt_compression)compression, &scratch), 0);
        gt_batch_seal(out.data, 17);
        for (size_t len = 0; len < out.len; len++)
            assert_int_not_equal(gt_batch_header_read(out.data, len, &info, &err), 0);
        for (size_t i = 0; i < out.len * 8; i++) {
            out.data[i / 8] = (char)(out.data[i / 8] ^ 1 << i % 8);
            if (gt_batch_header_read(out.data, out.len, &info, &err) == 0)
                assert_int_equal(gt_batch_check(out.data, &info, &err), GANTRY_CORRUPT);
            out.data[i / 8] = (char)(out.data[i / 8] ^ 1 << i % 8);
        }
        assert_int_equal(gt_batch_header_read(out.data, out.len, &info, &err), 0);
        assert_int_equal(gt_batch_check(out.data, &info, &err), 0);
    }
    gt_buf_deinit(&out);
    gt_buf_deinit(&scratch);
}

/* Right checksums over wrong contents (a bug, or malice): refused, not believed. */
static void test_sealed_nonsense(void **state)
{
    (void)state;
    struct gt_buf out, scratch;
    struct gt_arena arena;
    struct made_message made[4];
    struct gt_message messages[4];
    int refused = 0;
    for (int i = 0; i < 4; i++)
        messages[i] = make_message(&made[i], i, 0);
    gt_buf_init(&out, 1 << 20);
    gt_buf_init(&scratch, 1 << 20);
    gt_arena_init(&arena, 65536, 65536);
    for (int compression = 0; compression < 3; compression++) {
        gt_buf_clear(&out);
        assert_int_equal(
            gt_batch_write(&out, messages, 4, (enum gt_compression)compression, &scratch), 0);
        for (size_t i = 16; i < out.len; i++) {
            for (int change = 1; change < 256; change *= 2) {
                struct gt_batch_info info;
                struct gt_message *back;
                struct gantry_err err = {0};
                gt_arena_reset(&arena);
                out.data[i] = (char)(out.data[i] ^ change);
                gt_batch_seal(out.data, 17);
                if (gt_batch_header_read(out.data, out.len, &info, &err) != 0 ||
                    gt_batch_read(out.data, &info, &arena, &back, &err) != 0) {
                    assert_true(err.code == GANTRY_CORRUPT || err.code == GANTRY_NO_MEMORY);
                    assert_int_not_equal(err.text[0], '\0');
                    refused++;
                }
                out.data[i] = (char)(out.data[i] ^ change);
            }
        }
    }
    assert_true(refused > 100);
    gt_arena_deinit(&arena);
    gt_buf_deinit(&out);
    gt_buf_deinit(&scratch);
}

/* --- Damage of files --- */

enum { BATCHES = 3, PER_BATCH = 2, COMMITTED = BATCHES * PER_BATCH };

struct file_copy {
    char path[FOLDER_MAX + 128];
    char *data;
    size_t len;
};

static void load(struct file_copy *copy)
{
    copy->len = (size_t)file_size(copy->path);
    copy->data = malloc(copy->len + 1);
    int fd = open(copy->path, O_RDONLY);
    assert_true(fd >= 0 && copy->data != NULL);
    assert_int_equal(read(fd, copy->data, copy->len), (ssize_t)copy->len);
    close(fd);
}

static void store_bytes(const char *path, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

/* A store with two topics, as a killed worker leaves it: one has an uncommitted batch at its end.
 */
struct pristine {
    struct file_copy env, segment, other;
    size_t ends[BATCHES + 1]; /* ends[k]: committed bytes with k batches */
};

static void make_pristine(struct fixture *fx, struct pristine *pristine)
{
    open_all(fx);
    segment_path_of(fx, "hurt", 0, pristine->segment.path);
    segment_path_of(fx, "fine", 0, pristine->other.path);
    snprintf(pristine->env.path, sizeof pristine->env.path, "%s/gantry/data.mdb", fx->path);
    append(fx, "fine", 0, 5, 0);
    pristine->ends[0] = GT_SEGMENT_HEADER;
    for (int i = 0; i < BATCHES; i++) {
        append(fx, "hurt", i * PER_BATCH, PER_BATCH, 0);
        pristine->ends[i + 1] = (size_t)file_size(pristine->segment.path);
    }
    close_all(fx);
    load(&pristine->env);
    load(&pristine->segment);
    load(&pristine->other);

    struct gt_buf tail, scratch;
    struct made_message made;
    struct gt_message message = make_message(&made, COMMITTED, 0);
    gt_buf_init(&tail, 65536);
    gt_buf_init(&scratch, 65536);
    assert_int_equal(gt_batch_write(&tail, &message, 1, GT_COMPRESSION_NONE, &scratch), 0);
    gt_batch_seal(tail.data, COMMITTED);
    char *grown = realloc(pristine->segment.data, pristine->segment.len + tail.len);
    assert_non_null(grown);
    memcpy(grown + pristine->segment.len, tail.data, tail.len);
    pristine->segment.data = grown;
    pristine->segment.len += tail.len;
    gt_buf_deinit(&tail);
    gt_buf_deinit(&scratch);
}

static void free_pristine(struct pristine *pristine)
{
    free(pristine->env.data);
    free(pristine->segment.data);
    free(pristine->other.data);
}

/* The store as it was, but for the segment. */
static void restore(struct fixture *fx, const struct pristine *pristine, const char *segment,
                    size_t len)
{
    char folder[FOLDER_MAX + 32];
    snprintf(folder, sizeof folder, "%s/topics/hurt/0", fx->path);
    remove_tree(folder);
    snprintf(folder, sizeof folder, "%s/topics/fine/0", fx->path);
    remove_tree(folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    snprintf(folder, sizeof folder, "%s/topics/hurt/0", fx->path);
    assert_int_equal(mkdir(folder, 0755), 0);
    store_bytes(pristine->env.path, pristine->env.data, pristine->env.len);
    store_bytes(pristine->other.path, pristine->other.data, pristine->other.len);
    store_bytes(pristine->segment.path, segment, len);
}

static void check_whole(struct fixture *fx, size_t at)
{
    struct gantry_err err = {0};
    open_all(fx);
    int64_t got = try_read(fx, "hurt", 0, 0, NULL, &err);
    if (got != COMMITTED)
        fail_msg("byte %zu: got %" PRId64 " messages %s", at, got, err.text);
    append(fx, "hurt", COMMITTED, 1, 0);
    close_all(fx);
    open_all(fx);
    check_read(fx, "hurt", 0, COMMITTED + 1, 0);
    check_read(fx, "hurt", COMMITTED, 1, 0);
    check_read(fx, "fine", 0, 5, 0);
    close_all(fx);
}

/* The topic refuses and says where; the other one works. */
static void check_refused(struct fixture *fx, const struct pristine *pristine, size_t at)
{
    struct gantry_err err = {0};
    open_all(fx);
    int64_t got = try_read(fx, "hurt", 0, 0, NULL, &err);
    if (got != GANTRY_CORRUPT)
        fail_msg("byte %zu: got %" PRId64 " messages %s", at, got, err.text);
    const char *file = strstr(err.text, pristine->segment.path);
    assert_non_null(file);
    assert_non_null(strstr(file, " at byte "));
    /* Where the batch with the damage begins, or where a file that was cut ends. */
    size_t named = strtoul(strstr(file, " at byte ") + 9, NULL, 10);
    assert_true(named <= at);
    size_t begin = 0;
    for (int k = 0; k <= BATCHES; k++)
        begin = pristine->ends[k] <= at ? pristine->ends[k] : begin;
    assert_true(named >= begin);
    assert_int_equal(try_append(fx, "hurt", COMMITTED, 1, 0, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, "gantry topic repair hurt"));
    check_read(fx, "fine", 0, 5, 0);
    append(fx, "fine", 5, 1, 0);
    check_read(fx, "fine", 0, 6, 0);
    close_all(fx);
}

static int64_t repair(struct fixture *fx, bool settle, char **ret_report)
{
    struct gantry_err err = {0};
    size_t len;
    FILE *out = open_memstream(ret_report, &len);
    assert_non_null(out);
    int code = gt_store_repair_topic(fx->path, "hurt", settle, out, &err);
    fclose(out);
    if (code != 0)
        fail_msg("repair: %s", err.text);
    return (int64_t)len;
}

/* Read topic "hurt" from @p from; which of the first COMMITTED + 1 offsets came is noted in @p ret.
 */
static void read_through_gaps(struct fixture *fx, int64_t from, bool ret[COMMITTED + 2])
{
    struct gantry_err err = {0};
    struct gt_reader *reader;
    struct gt_arena arena;
    int64_t last = from - 1;
    memset(ret, 0, (COMMITTED + 2) * sizeof *ret);
    gt_arena_init(&arena, 4096, 4096);
    assert_int_equal(open_reader(gt_topic_get(fx->topics, "hurt"), 0, from, &reader, &err), 0);
    for (;;) {
        const struct gt_message *messages;
        size_t count;
        int64_t first;
        gt_arena_reset(&arena);
        if (gt_reader_next(reader, &arena, &messages, &count, &first, &err) != 0)
            fail_msg("%s", err.text);
        if (count == 0)
            break;
        assert_true(first > last && first == gt_reader_offset(reader));
        for (size_t i = 0; i < count; i++) {
            last = first + (int64_t)i;
            assert_true(last <= COMMITTED + 1 && is_message(&messages[i], last, 0));
            ret[last] = true;
        }
        gt_reader_took(reader, count);
    }
    assert_true(gt_reader_offset(reader) == gt_topic_end(gt_topic_get(fx->topics, "hurt"), 0));
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
}

static void check_settled(struct fixture *fx, const bool want[COMMITTED], size_t at)
{
    char *report;
    bool got[COMMITTED + 2];
    struct gantry_err err = {0};
    if (at % 16 == 0) { /* a look changes nothing */
        repair(fx, false, &report);
        assert_non_null(strstr(report, "damaged"));
        free(report);
        open_all(fx);
        assert_int_equal(try_read(fx, "hurt", 0, 0, NULL, &err), GANTRY_CORRUPT);
        close_all(fx);
    }

    repair(fx, true, &report);
    assert_non_null(strstr(report, "settled"));
    free(report);
    for (int round = 0; round < 3;
         round++) { /* appended in round 0 and 1, and opened again with that behind the gap */
        open_all(fx);
        for (int64_t from = 0; from <= COMMITTED; from++) {
            read_through_gaps(fx, from, got);
            for (int64_t i = from; i < COMMITTED + round; i++) {
                if (got[i] != (i >= COMMITTED || want[i]))
                    fail_msg("byte %zu, round %d, from %" PRId64 ": message %" PRId64 " %s", at,
                             round, from, i, got[i] ? "came" : "is missing");
            }
        }
        if (round < 2)
            append(fx, "hurt", COMMITTED + round, 1, 0);
        close_all(fx);
    }
    repair(fx, true, &report); /* what is settled is no damage any more */
    assert_non_null(strstr(report, "no damage"));
    free(report);

    struct gt_inspect *inspect;
    struct gt_arena arena;
    int64_t offset = 0, seen = 0, expected = 2;
    gt_arena_init(&arena, 4096, 4096);
    for (int i = 0; i < COMMITTED; i++)
        expected += want[i];
    assert_int_equal(gt_inspect_open(fx->path, &inspect, &err), 0);
    for (;;) {
        const struct gt_message *messages;
        size_t count;
        int64_t first, next;
        if (gt_inspect_read(inspect, "hurt", 0, offset, &arena, &messages, &count, &first, &next,
                            &err) != 0)
            fail_msg("byte %zu: %s", at, err.text);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++)
            assert_true(is_message(&messages[i], first + (int64_t)i, 0));
        seen += (int64_t)count;
        offset = next;
    }
    assert_int_equal(seen, expected);
    gt_inspect_close(inspect);
    gt_arena_deinit(&arena);
}

static void test_cut_at_every_length(void **state)
{
    struct fixture *fx = *state;
    struct pristine pristine = {0};
    make_pristine(fx, &pristine);
    size_t committed = pristine.ends[BATCHES];
    for (size_t len = 0; len <= pristine.segment.len; len++) {
        restore(fx, &pristine, pristine.segment.data, len);
        if (len >= committed) {
            check_whole(fx, len);
            continue;
        }
        bool want[COMMITTED];
        for (int i = 0; i < COMMITTED; i++)
            want[i] = pristine.ends[i / PER_BATCH + 1] <= len;
        check_refused(fx, &pristine, len);
        check_settled(fx, want, len);
    }
    free_pristine(&pristine);
}

static void test_damaged_at_every_byte(void **state)
{
    struct fixture *fx = *state;
    struct pristine pristine = {0};
    make_pristine(fx, &pristine);
    size_t committed = pristine.ends[BATCHES];
    for (size_t at = 0; at < pristine.segment.len; at++) {
        pristine.segment.data[at] = (char)~pristine.segment.data[at];
        restore(fx, &pristine, pristine.segment.data, pristine.segment.len);
        pristine.segment.data[at] = (char)~pristine.segment.data[at];
        if (at >= committed) {
            check_whole(fx, at);
            continue;
        }
        bool want[COMMITTED]; /* all but the batch that was hit; a new header is all that the file's
                                 needs */
        for (int i = 0; i < COMMITTED; i++)
            want[i] = at < pristine.ends[i / PER_BATCH] || at >= pristine.ends[i / PER_BATCH + 1];
        check_refused(fx, &pristine, at);
        check_settled(fx, want, at);
    }
    free_pristine(&pristine);
}

static void test_file_gone(void **state)
{
    struct fixture *fx = *state;
    struct pristine pristine = {0};
    struct gantry_err err = {0};
    static const bool nothing[COMMITTED] = {false};
    make_pristine(fx, &pristine);
    char folder[FOLDER_MAX + 32];
    snprintf(folder, sizeof folder, "%s/topics/hurt", fx->path);
    remove_tree(folder); /* with its folders */
    open_all(fx);
    assert_int_equal(try_read(fx, "hurt", 0, 0, NULL, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, pristine.segment.path));
    check_read(fx, "fine", 0, 5, 0);
    close_all(fx);
    check_settled(fx, nothing, 0);
    free_pristine(&pristine);
}

static void flip(const char *path, int64_t at)
{
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)~byte;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Damage that opening does not look for (an older segment, or far from the end of a large one) is
 * found when it is read: nothing damaged is handed out, what was read before stays read, and
 * settling keeps all the rest. */
static void damage_found_late(struct fixture *fx, int64_t segment_bytes, int64_t batches,
                              size_t padding, int64_t at, int64_t damaged)
{
    char path[FOLDER_MAX + 128], *report;
    struct gantry_err err = {0};
    fx->settings.segment_bytes = segment_bytes;
    open_all(fx);
    for (int64_t i = 0; i < batches; i++)
        append(fx, "hurt", i * 10, 10, padding);
    close_all(fx);
    segment_path_of(fx, "hurt", 0, path);
    assert_true(file_size(path) > at);
    flip(path, at);

    open_all(fx);
    assert_int_equal(try_append(fx, "hurt", batches * 10, 1, padding, &err),
                     0); /* nobody knows yet */
    int64_t got = try_read(fx, "hurt", 0, padding, NULL, &err);
    assert_int_equal(got, GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(try_append(fx, "hurt", batches * 10 + 1, 1, padding, &err), GANTRY_CORRUPT);
    close_all(fx);

    struct gt_inspect *inspect;
    struct gt_arena arena;
    const struct gt_message *messages;
    size_t count;
    int64_t first_read, next;
    gt_arena_init(&arena, 4096, 4096);
    assert_int_equal(gt_inspect_open(fx->path, &inspect, &err), 0);
    assert_int_equal(gt_inspect_read(inspect, "hurt", 0, damaged, &arena, &messages, &count,
                                     &first_read, &next, &err),
                     GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, path));
    gt_inspect_close(inspect);
    gt_arena_deinit(&arena);

    repair(fx, true, &report);
    assert_non_null(strstr(report, "1 damaged places, 10 messages"));
    free(report);
    open_all(fx);
    int64_t first = -1;
    assert_int_equal(try_read(fx, "hurt", 0, padding, &first, &err), batches * 10 - 10 + 1);
    assert_true(first == 0);
    append(fx, "hurt", batches * 10 + 1, 1, padding);
    close_all(fx);
    open_all(fx);
    assert_int_equal(try_read(fx, "hurt", 0, padding, &first, &err), batches * 10 - 10 + 2);
    close_all(fx);
}

static void test_damage_in_older_segment(void **state)
{
    damage_found_late(*state, 64 << 10, 30, 1000, 20000, 10);
}

static void test_damage_in_large_segment(void **state)
{
    damage_found_late(*state, 64 << 20, 180, 3500, 60000,
                      10); /* more than the 4 MiB that are checked whole */
}

/* A large segment cut in the middle of a batch, settled, gone on with: recovery must find its way
 * by the gap. */
static void test_large_segment_cut(void **state)
{
    struct fixture *fx = *state;
    char path[FOLDER_MAX + 128], *report;
    struct gantry_err err = {0};
    fx->settings.segment_bytes = 64 << 20;
    open_all(fx);
    for (int64_t i = 0; i < 180; i++)
        append(fx, "hurt", i * 10, 10, 3500);
    close_all(fx);
    segment_path_of(fx, "hurt", 0, path);
    int64_t size = file_size(path);
    assert_true(size > 6 << 20);
    assert_int_equal(truncate(path, size - 100), 0);
    open_all(fx);
    assert_int_equal(try_append(fx, "hurt", 1800, 1, 0, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, path));
    close_all(fx);
    repair(fx, true, &report);
    assert_non_null(strstr(report, "10 messages cannot be read"));
    free(report);
    for (int64_t round = 0; round < 3; round++) {
        open_all(fx);
        assert_int_equal(try_read(fx, "hurt", 0, 3500, NULL, &err), 1790 + round * 10);
        append(fx, "hurt", 1800 + round * 10, 10, 3500);
        close_all(fx);
    }
    /* Settled damage may be damaged further, also where the last batch was. */
    flip(path, size - 5000);
    repair(fx, true, &report);
    free(report);
    open_all(fx);
    assert_true(try_read(fx, "hurt", 0, 3500, NULL, &err) > 1700);
    close_all(fx);
}

/* A body may hold what looks like a batch (somebody ships segment files through a topic): settling
 * the damage around it must not take it for the next one. */
static void test_batch_in_a_body(void **state)
{
    struct fixture *fx = *state;
    struct gt_buf forged, scratch;
    struct made_message made;
    struct gantry_err err = {0};
    char path[FOLDER_MAX + 128], *report;
    gt_buf_init(&forged, 65536);
    gt_buf_init(&scratch, 65536);
    struct gt_message inner = make_message(&made, 1, 0);
    assert_int_equal(gt_batch_write(&forged, &inner, 1, GT_COMPRESSION_NONE, &scratch), 0);
    gt_batch_seal(forged.data, 1000000);
    open_all(fx);
    struct gt_message outer = {.body = gt_buf_view(&forged)};
    struct gt_append_part part = one_part(gt_topic_get(fx->topics, "hurt"), &outer, 1);
    assert_int_equal(append_parts(fx, &part, 1, &err), 0);
    append(fx, "hurt", 1, 5, 0);
    close_all(fx);
    segment_path_of(fx, "hurt", 0, path);
    flip(path, GT_SEGMENT_HEADER + 12);
    repair(fx, true, &report);
    assert_non_null(strstr(report, "1 damaged places, 1 messages"));
    free(report);
    open_all(fx);
    int64_t first = -1;
    assert_int_equal(try_read(fx, "hurt", 0, 0, &first, &err), 5);
    assert_true(first == 1);
    gt_buf_deinit(&forged);
    gt_buf_deinit(&scratch);
}

static void test_repair_refuses(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct stat st;
    assert_int_equal(gt_store_repair_topic(fx->path, "hurt", true, stderr, &err), GANTRY_NOT_FOUND);
    assert_int_not_equal(stat(fx->path, &st), 0); /* looking makes no store */
    open_all(fx);
    append(fx, "hurt", 0, 3, 0);
    assert_int_equal(gt_store_repair_topic(fx->path, "hurt", true, stderr, &err), GANTRY_BUSY);
    close_all(fx);
    assert_int_equal(gt_store_repair_topic(fx->path, "no-such", true, stderr, &err),
                     GANTRY_NOT_FOUND);
    assert_non_null(strstr(err.text, "no-such"));
    char *report;
    repair(fx, true, &report);
    assert_non_null(strstr(report, "no damage"));
    free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_compression_names),
        cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_header_damage),
        cmocka_unit_test(test_batch_damage),
        cmocka_unit_test(test_sealed_nonsense),
        cmocka_unit_test_setup_teardown(test_cut_at_every_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_older_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_large_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_segment_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_in_a_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_repair_refuses, setup, teardown),
    };
    gt_log_set_level(
        (enum gantry_log_level)(GANTRY_LOG_ERROR + 1)); /* hundreds of damages, each worth a line */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
