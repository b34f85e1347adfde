/* SPDX-License-Identifier: Apache-2.0 */
/* A Java worker's store folder. The connectorConfig.json and position.json below are of a real run
 * of that worker; the counts of UTF-16 units are those of a JDK 17. */
#include "worker/java_import.h"

#include "convert/converters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* "fileConnectorSink": FileSinkConnector; "rmqSource": FileSourceConnector; "fileConnectorSource":
 * deleted */
static const char connectors_of_a_run[] =
    "{\"ImZpbGVDb25uZWN0b3JTaW5rIg==\":\"eyJwcm9wZXJ0aWVzIjp7InNvdXJjZS1yZWNvcmQtY29udmVydGV"
    "yIjoib3JnLmFwYWNoZS5yb2NrZXRtcS5jb25uZWN0LnJ1bnRpbWUuY29udmVydGVyLkpzb25Db252ZXJ0ZXI"
    "iLCJmaWxlbmFtZSI6Ii9vcHQvc2luay1maWxlL3NpbmstZmlsZS50eHQiLCJ0b3BpY05hbWVzIjoiZmlsZVR"
    "vcGljIiwiY29ubmVjdG9yLWNsYXNzIjoib3JnLmFwYWNoZS5yb2NrZXRtcS5jb25uZWN0LmZpbGUuRmlsZVN"
    "pbmtDb25uZWN0b3IiLCJ1cGRhdGUtdGltZXN0YW1wIjoiMTc5NTM1NTU1MTcxOSJ9fQ==\",\"InJtcVNvdXJj"
    "ZSI=\":\"eyJwcm9wZXJ0aWVzIjp7InNvdXJjZS1yZWNvcmQtY29udmVydGVyIjoib3JnLmFwYWNoZS5yb2NrZ"
    "XRtcS5jb25uZWN0LnJ1bnRpbWUuY29udmVydGVyLlJvY2tldE1RQ29udmVydGVyIiwiZmlsZW5hbWUiOiIvb"
    "3B0L3NvdXJjZS1maWxlL3NvdXJjZS1maWxlLXJtcS50eHQiLCJ0b3BpYyI6ImZpbGVUb3BpY1JtcSIsImNvb"
    "m5lY3Rvci1jbGFzcyI6Im9yZy5hcGFjaGUucm9ja2V0bXEuY29ubmVjdC5maWxlLkZpbGVTb3VyY2VDb25uZ"
    "WN0b3IiLCJ1cGRhdGUtdGltZXN0YW1wIjoiMTc5NTM1NTY1NTYwOCJ9fQ==\",\"ImZpbGVDb25uZWN0b3JTb3"
    "VyY2Ui\":\"eyJwcm9wZXJ0aWVzIjp7InVwZGF0ZS10aW1lc3RhbXAiOiIxNzk1MzU1NTgzNzY1IiwiY29uZml"
    "nLWRlbGV0ZWQiOiIxIn19\"}";

struct fixture {
    char folder[64];
    struct gt_java_store store;
    struct gantry_err err;
};

static const char *in_folder(struct fixture *f, const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", f->folder, name);
    return path[turn];
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->folder, P_tmpdir "/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(mkdir(in_folder(f, "config"), 0755), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"config/connectorConfig.json",
                                        "config/connectorConfig.json.bak", "config/position.json",
                                        "config/position.json.bak", "data.txt"};
    struct fixture *f = *state;
    gt_java_store_deinit(&f->store);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in_folder(f, names[i]));
    rmdir(in_folder(f, "config"));
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static void write_bytes(struct fixture *f, const char *name, const void *data, size_t len)
{
    FILE *out = fopen(in_folder(f, name), "w");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static void write_text(struct fixture *f, const char *name, const char *text)
{
    write_bytes(f, name, text, strlen(text));
}

/* {base64(key):base64(value)} as config/NAME */
static void write_pair(struct fixture *f, const char *name, const char *key, const char *value)
{
    struct gt_buf buf;
    gt_buf_init(&buf, 1 << 20);
    (void)gt_buf_add_str(&buf, "{\"");
    (void)gt_base64_add(&buf, gantry_view_of(key));
    (void)gt_buf_add_str(&buf, "\":\"");
    (void)gt_base64_add(&buf, gantry_view_of(value));
    assert_int_equal(gt_buf_add_str(&buf, "\"}"), 0);
    write_text(f, name, gt_buf_cstr(&buf));
    gt_buf_deinit(&buf);
}

static int read_store(struct fixture *f)
{
    gt_java_store_deinit(&f->store);
    return gt_java_store_read(f->folder, &f->store, &f->err);
}

/* What becomes of a position of @p chars in a file of these bytes. */
static const struct gt_java_position *position_in(struct fixture *f, const void *data, size_t len,
                                                  int64_t chars)
{
    char value[64];
    write_bytes(f, "data.txt", data, len);
    (void)snprintf(value, sizeof value, "{\"nextPosition\":%lld}", (long long)chars);
    write_pair(f, "config/position.json", in_folder(f, "data.txt"), value);
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.position_count, 1);
    assert_string_equal(f->store.positions[0].filename, in_folder(f, "data.txt"));
    assert_true((f->store.positions[0].bytes < 0) == (f->store.positions[0].problem != NULL));
    return &f->store.positions[0];
}

static void the_files_of_a_real_run_are_read(void **state)
{
    struct fixture *f = *state;
    assert_false(gt_java_store_present(f->folder));
    write_text(f, "config/connectorConfig.json", connectors_of_a_run);
    assert_true(gt_java_store_present(f->folder));
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.connector_count, 2);
    const struct gt_java_connector *sink = &f->store.connectors[0];
    assert_string_equal(sink->name, "fileConnectorSink");
    assert_string_equal(gt_props_get(&sink->config, "connector-class"),
                        "org.apache.rocketmq.connect.file.FileSinkConnector");
    assert_string_equal(gt_props_get(&sink->config, "topicNames"), "fileTopic");
    assert_string_equal(gt_props_get(&sink->config, "update-timestamp"), "1795355551719");
    const struct gt_java_connector *source = &f->store.connectors[1];
    assert_string_equal(source->name, "rmqSource");
    assert_string_equal(gt_props_get(&source->config, "topic"), "fileTopicRmq");
    assert_int_equal(f->store.position_count, 0);
}

static void an_absent_or_empty_file_falls_back_to_its_bak(void **state)
{
    struct fixture *f = *state;
    write_text(f, "config/connectorConfig.json.bak", connectors_of_a_run);
    assert_true(gt_java_store_present(f->folder));
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.connector_count, 2);
    write_text(f, "config/connectorConfig.json", "");
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.connector_count, 2);
    write_text(f, "config/connectorConfig.json", "{}");
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.connector_count, 0);
}

static void a_mark_of_zero_deletes_nothing(void **state)
{
    struct fixture *f = *state;
    write_pair(f, "config/connectorConfig.json", "\"a\\u00e9\"",
               "{\"properties\":{\"config-deleted\":\"0\",\"n\":\"1\"}}");
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.connector_count, 1);
    assert_string_equal(f->store.connectors[0].name, "a\xc3\xa9");
    assert_null(gt_props_get(&f->store.connectors[0].config, "config-deleted"));
    assert_string_equal(gt_props_get(&f->store.connectors[0].config, "n"), "1");
}

static void damage_names_file_and_entry(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{\"a", "line 1"},
        {"[]", "connectorConfig.json"},
        {"{\"!!!!\":\"e30=\"}", "'!!!!' is not base64"},
        {"{\"ImEi\":\"e30\"}", "'ImEi' is not base64"},
        {"{\"ImEi\":\"e30=\"}", "no \"properties\""},
        {"{\"YQ==\":\"eyJwcm9wZXJ0aWVzIjp7fX0=\"}", "not a JSON string"},
        {"{\"ImEi\":\"eyJwcm9w\"}", "'ImEi'"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(f, "config/connectorConfig.json", cases[i].text);
        assert_int_equal(read_store(f), GANTRY_CORRUPT);
        if (strstr(f->err.text, cases[i].part) == NULL ||
            strstr(f->err.text, in_folder(f, "config/connectorConfig.json")) == NULL)
            fail_msg("%s: %s", cases[i].text, f->err.text);
        assert_int_equal(f->store.connector_count, 0);
    }
}

static void characters_become_bytes(void **state)
{
    struct fixture *f = *state;
    /* ASCII; two, three and four bytes (one, one and two units); carriage returns count */
    static const char text[] = "plain\n"
                               "gr\xc3\xbc\xc3\x9f\n"
                               "\xe8\xbf\x9e\xe6\x8e\xa5\r\n"
                               "\xf0\x9f\x98\x80!\n"
                               "rest";
    static const struct {
        int64_t chars, bytes;
    } lines[] = {{0, 0}, {6, 6}, {11, 13}, {15, 21}, {19, 27}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_int_equal(position_in(f, text, sizeof text - 1, lines[i].chars)->bytes,
                         lines[i].bytes);
    assert_non_null(strstr(position_in(f, text, sizeof text - 1, 7)->problem, "byte 7"));
    assert_non_null(
        strstr(position_in(f, text, sizeof text - 1, 23)->problem, "not at a line's start"));
    assert_non_null(
        strstr(position_in(f, text, sizeof text - 1, 16)->problem, "not at a line's start"));
    assert_non_null(
        strstr(position_in(f, text, sizeof text - 1, 24)->problem, "only 23 characters"));
}

static void damaged_sequences_count_as_the_jdk_counts_them(void **state)
{
    /* bytes, and the units that the JDK's decoder gives for them */
    static const struct {
        const char *bytes;
        int64_t units;
    } cases[] = {
        {"\x80", 1},
        {"\xc0\x80", 2},
        {"\xc3", 1},
        {"\xe0\x80\x80", 3},
        {"\xe1\x80", 1},
        {"\xe1\x80\x41", 2},
        {"\xed\xa0\x80", 1},
        {"\xf0\x80\x80\x80", 4},
        {"\xf0\x90\x80", 1},
        {"\xf0\x90\x41", 2},
        {"\xf1\x80\x80\x41", 2},
        {"\xf4\x90\x80\x80", 4},
        {"\xf5\x80\x80\x80", 4},
        {"\xf8\x88\x80\x80\x80", 5},
        {"\xff\xfe", 2},
        {"\xef\xbb\xbf", 1},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "%s\nnext line\n", cases[i].bytes);
        const struct gt_java_position *position =
            position_in(f, text, (size_t)len, cases[i].units + 1);
        if (position->bytes != (int64_t)strlen(cases[i].bytes) + 1)
            fail_msg("case %zu: byte %lld, %s", i, (long long)position->bytes,
                     position->problem != NULL ? position->problem : "no problem");
    }
}

/* Sequences that straddle the blocks in which a file is read. */
static void large_files_are_decoded_across_blocks(void **state)
{
    static const char line[] = "x\xf0\x9f\x98\x80\xe8\xbf\x9e\n"; /* 9 bytes, 5 units */
    enum { LINES = 200000 };
    struct fixture *f = *state;
    size_t len = sizeof line - 1;
    char *text = malloc(len * LINES);
    assert_non_null(text);
    for (size_t i = 0; i < LINES; i++)
        memcpy(text + i * len, line, len);
    for (int64_t lines = 1; lines <= LINES; lines = lines * 7 + 1)
        assert_int_equal(position_in(f, text, len * LINES, lines * 5)->bytes, lines * 9);
    assert_int_equal(position_in(f, text, len * LINES, LINES * 5)->bytes, LINES * 9);
    assert_non_null(strstr(position_in(f, text, len * LINES, LINES * 5 + 1)->problem,
                           "only 1000000 characters"));
    free(text);
}

static void a_position_that_fits_no_file_is_reported(void **state)
{
    static const struct {
        const char *key, *value, *problem;
    } cases[] = {
        {"/nonexistent/file", "{\"nextPosition\":5}", "No such file"},
        {"/dev/null", "{\"nextPosition\":5}", "not a file"},
        {"/", "{\"nextPosition\":5}", "not a file"},
        {"broker-asrcTopic0", "3", "'3' is not a position"},
        {"x", "{\"nextPosition\":-1}", "is not a position"},
        {"x", "{\"nextPosition\":\"many\"}", "is not a position"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_pair(f, "config/position.json", cases[i].key, cases[i].value);
        assert_int_equal(read_store(f), 0);
        assert_int_equal(f->store.position_count, 1);
        assert_int_equal(f->store.positions[0].bytes, -1);
        if (strstr(f->store.positions[0].problem, cases[i].problem) == NULL)
            fail_msg("%s: %s", cases[i].key, f->store.positions[0].problem);
    }
    write_pair(f, "config/position.json", "/nonexistent/file", "{\"nextPosition\":0}");
    assert_int_equal(read_store(f), 0);
    assert_int_equal(f->store.positions[0].bytes, 0); /* the start is the start of any file */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_files_of_a_real_run_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_absent_or_empty_file_falls_back_to_its_bak, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_mark_of_zero_deletes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_names_file_and_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(characters_become_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_sequences_count_as_the_jdk_counts_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_files_are_decoded_across_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_position_that_fits_no_file_is_reported, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("java_import", tests, NULL, NULL);
}
