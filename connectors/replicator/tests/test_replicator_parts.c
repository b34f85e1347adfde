/* SPDX-License-Identifier: Apache-2.0 */
/* The replicator's parts that need no cluster: patterns, positions, names, records, origins,
 * brokers and what validate() says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include "../brokers.h"
#include "../pattern.h"
#include "../plugin.h"
#include "../position.h"
#include "../record.h"
#include "../settings.h"
#include <stdlib.h>

/* --- patterns --- */

static void expect_match(const char *list, const char *topic, bool expected)
{
    struct rep_patterns *patterns;
    struct gantry_err err = {0};
    assert_int_equal(rep_patterns_new("white-list", list, &patterns, &err), 0);
    if (rep_patterns_topic(patterns, topic) != expected)
        fail_msg("'%s' and '%s'", list, topic);
    rep_patterns_free(patterns);
}

static void test_patterns(void **state)
{
    (void)state;
    expect_match("a", "a", true);
    expect_match("a", "ab", false); /* the whole name */
    expect_match("a", "ba", false);
    expect_match("a|b", "b", true);
    expect_match("a|b", "ab", false);
    expect_match("x, top-.* ", "top-1", true);
    expect_match("t\\d+", "t12", true);
    expect_match("t\\d+", "tx", false);
    expect_match("[\\w-]+", "a_-9", true);
    expect_match("\\w+", "a-b", false);
    expect_match("(?:ab)+", "abab", true);
    expect_match("a.*?b", "axxb", true);
    expect_match("a{2}", "aa", true);
    expect_match("a{2}", "aaa", false);
    expect_match("[]a]+", "a", true);
    expect_match("[^]a]+", "b", true);
    expect_match("\\%RETRY\\%g", "%RETRY%g", true);
    expect_match("%DLQ%.*", "%DLQ%g", true);
    /* What is RocketMQ's own, or a group's, is not swept up. */
    expect_match(".*", "%RETRY%g", false);
    expect_match(".*", "%DLQ%g", false);
    expect_match(".*", "TBW102", false);
    expect_match(".*", "rmq_sys_wheel_timer", false);
    expect_match(".*", "RMQ_SYS_TRANS_HALF_TOPIC", false);
    expect_match(".*", "gantry-cluster-x", false);
    expect_match(".*", "DefaultCluster_REPLY_TOPIC", false);
    expect_match(".*", "mine", true);
    expect_match("", "mine", false);
    expect_match(",", "mine", false);
}

static void test_patterns_that_are_none(void **state)
{
    static const char *const wrong[] = {
        "[a",      "(a",   "a)",  "(?i)a",         "(?=a)", "\\p{L}", "\\1",
        "a{1001}", "a{x}", "a++", "((a{40}){40})", "\\",    "[\\D]",  "*a"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct rep_patterns *patterns;
        struct gantry_err err = {0};
        int rc = rep_patterns_new("white-list", wrong[i], &patterns, &err);
        if (rc != GANTRY_INVALID && !(rc == 0 && strcmp(wrong[i], "*a") == 0))
            fail_msg("'%s': %d %s", wrong[i], rc, err.text);
        if (rc == 0)
            rep_patterns_free(patterns);
        else
            assert_non_null(strstr(err.text, "white-list"));
    }
    char longer[300];
    struct rep_patterns *patterns;
    struct gantry_err err = {0};
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(rep_patterns_new("white-list", longer, &patterns, &err), GANTRY_INVALID);
    /* The longest that is allowed, of what grows most. */
    for (size_t i = 0; i < 254; i += 2)
        memcpy(longer + i, "\\W", 2);
    longer[254] = '\0';
    assert_int_equal(rep_patterns_new("white-list", longer, &patterns, &err), 0);
    rep_patterns_free(patterns);
}

static void test_groups(void **state)
{
    struct rep_patterns *patterns;
    struct gantry_err err;
    (void)state;
    assert_int_equal(rep_patterns_new("group.white-list", ".*", &patterns, &err), 0);
    assert_true(rep_patterns_group(patterns, "mine"));
    assert_false(rep_patterns_group(patterns, "CID_RMQ_SYS_TRANS"));
    assert_false(rep_patterns_group(patterns, "TOOLS_CONSUMER"));
    assert_false(rep_patterns_group(patterns, "connector-consumer-group-x"));
    rep_patterns_free(patterns);
}

/* --- positions --- */

static void test_positions(void **state)
{
    char buf[REP_POSITION_MAX];
    int64_t offset = -1;
    (void)state;
    char *text = rep_partition("broker-a", "t", 3);
    assert_string_equal(text, "{\"brokerName\":\"broker-a\",\"queueId\":3,\"topic\":\"t\"}");
    free(text);
    text = rep_partition_java("broker-a", "t", 3);
    assert_string_equal(text, "broker-at3");
    free(text);
    struct gantry_view view = rep_position_write(buf, INT64_MAX);
    assert_int_equal(rep_position_read(view, &offset), 0);
    assert_true(offset == INT64_MAX);
    static const char *const wrong[] = {"",
                                        "{}",
                                        "{\"nextPosition\":}",
                                        "{\"nextPosition\":-1}",
                                        "{\"nextPosition\":1",
                                        "{\"nextPosition\":1x}",
                                        "{\"nextPosition\":99999999999999999999}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(rep_position_read(gantry_view_of(wrong[i]), &offset), GANTRY_CORRUPT);
}

/* --- names --- */

static void test_names(void **state)
{
    struct rep_settings settings = {.rename = "copy-${topic}-x"};
    (void)state;
    char *name = rep_renamed(&settings, "t");
    assert_string_equal(name, "copy-t-x");
    free(name);
    name = rep_renamed_from(&settings, "copy-t-x");
    assert_string_equal(name, "t");
    free(name);
    assert_null(rep_renamed_from(&settings, "copy--x"));
    assert_null(rep_renamed_from(&settings, "copy-t"));
    assert_null(rep_renamed_from(&settings, "t-x"));
    settings.rename = NULL;
    assert_null(rep_renamed_from(&settings, "t"));
    name = rep_renamed(&settings, "t");
    assert_string_equal(name, "t");
    free(name);
}

/* --- records --- */

struct batch {
    struct gantry_batch api; /* first */
    void *memory[64];        /* owned */
    size_t count;
    struct gantry_record records[8];
    struct gantry_mark marks[8];
};

static void *batch_alloc(struct gantry_batch *api, size_t size)
{
    struct batch *batch = (struct batch *)api;
    assert_true(batch->count < 64);
    return batch->memory[batch->count++] = malloc(size);
}

static int batch_grow(struct gantry_batch *batch)
{
    (void)batch;
    return GANTRY_NO_MEMORY;
}

static void batch_init(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    batch->api = (struct gantry_batch){.struct_size = sizeof batch->api,
                                       .records = batch->records,
                                       .capacity = 8,
                                       .marks = batch->marks,
                                       .mark_capacity = 8,
                                       .max_bytes = 1 << 20,
                                       .alloc = batch_alloc,
                                       .grow = batch_grow};
}

static void batch_deinit(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->memory[i]);
}

static const struct gantry_schema text_schema = {.name = "text"}, bytes_schema = {.name = "bytes"};
static const struct rep_schemas schemas = {&text_schema, &bytes_schema};

static int add(struct batch *batch, const char *properties, size_t len, const char *body,
               const char *origin, const char *avoid, struct gantry_record **ret)
{
    struct rmq_message message = {.queue_offset = 42,
                                  .born_ms = 7,
                                  .body = rmq_view_str(body),
                                  .properties = rmq_view(properties, len)};
    struct rmq_buf scratch;
    struct gantry_err err = {0};
    rmq_buf_init(&scratch, 1 << 20);
    int rc = rep_record_add(&batch->api, &message, &schemas, origin, avoid, &scratch, ret, &err);
    rmq_buf_deinit(&scratch);
    return rc;
}
#define ADD(batch, properties, ...) add(batch, properties, sizeof(properties) - 1, __VA_ARGS__)

static const char *header(const struct gantry_record *record, const char *name)
{
    static char value[200];
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct gantry_header *at = &record->headers[i];
        if (!gantry_view_equal(at->name, gantry_view_of(name)))
            continue;
        (void)snprintf(value, sizeof value, "%.*s", (int)at->value.len, at->value.data);
        return value;
    }
    return NULL;
}

static void test_a_record_is_the_message(void **state)
{
    struct batch batch;
    struct gantry_record *record = NULL;
    (void)state;
    batch_init(&batch);
    assert_int_equal(
        ADD(&batch,
            "KEYS\001k1 "
            "k2\002TAGS\001red\002up\001v\002up\001again\002UNIQ_KEY\001U\002DELAY\0013\002"
            "TRAN_MSG\001true\002__SHARDINGKEY\001s\002connect-ext-a\001b\002gantry-id\0011.1.0.0."
            "c\002",
            "body", "C/b/t/0/", NULL, &record),
        1);
    assert_true(gantry_view_equal(record->key, gantry_view_of("k1 k2")));
    assert_true(gantry_view_equal(record->value, gantry_view_of("body")));
    assert_ptr_equal(record->schema, &text_schema);
    assert_int_equal(record->timestamp_ms, 7);
    assert_int_equal(record->header_count, 5);
    assert_string_equal(header(record, "TAGS"), "red");
    assert_string_equal(header(record, "up"), "v");
    assert_string_equal(header(record, "__SHARDINGKEY"), "s");
    assert_string_equal(header(record, "connect-ext-a"), "b");
    assert_string_equal(header(record, REP_ORIGIN), "C/b/t/0/42");
    batch_deinit(&batch);
}

static void test_what_a_worker_wrote_comes_out_as_it_went_in(void **state)
{
    struct batch batch;
    struct gantry_record *record = NULL;
    (void)state;
    batch_init(&batch);
    /* key a U+0001; headers "e" -> "", "\xff" -> "x" */
    assert_int_equal(ADD(&batch,
                         "gantry-key\001YQE=\002gantry-headers\001AgFlAAH/AXg=\002connect.timestamp"
                         "\0011234\002",
                         "\xff", NULL, NULL, &record),
                     1);
    assert_true(gantry_view_equal(record->key, (struct gantry_view){"a\001", 2}));
    assert_int_equal(record->timestamp_ms, 1234);
    assert_ptr_equal(record->schema, &bytes_schema);
    assert_int_equal(record->header_count, 2);
    assert_string_equal(header(record, "e"), "");
    assert_string_equal(header(record, "\xff"), "x");
    assert_int_equal(ADD(&batch, "gantry-headers\001AgFlAAH/\002", "", NULL, NULL, &record),
                     GANTRY_CORRUPT);
    assert_int_equal(ADD(&batch, "gantry-key\001*\002", "", NULL, NULL, &record), GANTRY_CORRUPT);
    batch_deinit(&batch);
}

static void test_origins(void **state)
{
    struct batch batch;
    struct gantry_record *record = NULL;
    (void)state;
    batch_init(&batch);
    assert_int_equal(ADD(&batch, "gantry.origin\001A/b/t/0/5\002", "x", "B/b/t/0/", "C", &record),
                     1);
    assert_string_equal(header(record, REP_ORIGIN), "B/b/t/0/42,A");
    assert_int_equal(
        ADD(&batch, "gantry.origin\001B/b/t/0/42,A\002", "x", "C/b/t/1/", NULL, &record), 1);
    assert_string_equal(header(record, REP_ORIGIN), "C/b/t/1/42,B,A");
    assert_int_equal(batch.api.count, 2);
    assert_int_equal(
        ADD(&batch, "gantry.origin\001B/b/t/0/42,A\002", "x", "C/b/t/1/", "A", &record), 0);
    assert_int_equal(batch.api.count, 2);
    struct rmq_view view = rmq_view_str("B/A/t/0/42,AA,D");
    assert_true(rep_origin_names(view, "B"));
    assert_true(rep_origin_names(view, "D"));
    assert_false(rep_origin_names(view, "A")); /* a broker's name, and a longer one */
    assert_false(rep_origin_names(view, "t"));
    batch_deinit(&batch);
}

static void test_text(void **state)
{
    static const struct {
        const char *bytes;
        bool text;
    } cases[] = {
        {"", true},
        {"plain text of more than eight bytes", true},
        {"\xc3\xbc and \xe4\xb8\xad and \xf0\x9f\x99\x82", true},
        {"eight..8\xc3", false},
        {"\xc0\x80", false},
        {"\xed\xa0\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"12345678\xff", false},
        {"\x80", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(rep_is_text(gantry_view_of(cases[i].bytes)), cases[i].text);
}

/* --- brokers --- */

static void test_brokers(void **state)
{
    const struct rmq_broker_address one = {0, "1:1"}, other = {0, "2:1"}, replica = {1, "3:1"};
    const struct rmq_broker_info given[] = {
        {"A", "a", 1, &one}, {"B", "a", 1, &other}, {"A", "r", 1, &replica}};
    struct rep_brokers here = {0}, there = {0};
    struct gantry_err err = {0};
    (void)state;
    assert_true(rep_brokers_take(&here, "A", given, 3));
    assert_int_equal(here.count, 1); /* one without a master is none */
    assert_true(rep_brokers_take(&there, "B", given, 3));
    assert_false(rep_brokers_meet(&here, &there)); /* the name alone says nothing */
    assert_string_equal(rep_brokers_cluster(&here), "A");
    assert_true(rep_brokers_take(&there, NULL, given, 3));
    assert_true(rep_brokers_meet(&here, &there));
    assert_null(rep_brokers_cluster(&there));
    assert_true(rep_brokers_take(&here, "A", given, 0)); /* all restart: those of before stay */
    assert_true(here.old && here.count == 1);
    assert_int_equal(rep_brokers_unknown("source-cluster", "X", "s:1", given, 3, &err),
                     GANTRY_NOT_FOUND);
    assert_non_null(strstr(err.text, "'X'"));
    assert_non_null(strstr(err.text, "A, B"));
    rep_brokers_deinit(&here);
    rep_brokers_deinit(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_patterns_that_are_none),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_record_is_the_message),
        cmocka_unit_test(test_what_a_worker_wrote_comes_out_as_it_went_in),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_brokers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
