/* SPDX-License-Identifier: Apache-2.0 */
/* The converters. The JSON texts are captures of the Java worker of 2019. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "convert/converter.h"
#include <cmocka.h>
#include <stdlib.h>

#define JSON_CONVERTER     "org.apache.rocketmq.connect.runtime.converter.JsonConverter"
#define ROCKETMQ_CONVERTER "org.apache.rocketmq.connect.runtime.converter.RocketMQConverter"
#define SCHEMA                                                                                     \
    "{\"dataSource\":\"/opt/source-file/source-file.txt\",\"fields\":[{\"index\":0,\"name\":"      \
    "\"fileLineContent\",\"type\":\"STRING\"}],\"name\":\"/opt/source-file/"                       \
    "source-file.txt_line\"}"
#define ENTRY(payload)                                                                             \
    "{\"entryType\":\"CREATE\",\"payload\":[\"" payload                                            \
    "\"],\"queueName\":\"fileTopic\",\"schema\":" SCHEMA ",\"timestamp\":1795355548504}"

static const struct gantry_field line_field = {"fileLineContent", GANTRY_TYPE_STRING};
static const struct gantry_schema line_schema = {
    sizeof line_schema,
    "/opt/source-file/source-file.txt_line",
    "/opt/source-file/source-file.txt",
    1,
    &line_field,
};

static struct gt_arena arena;

static int set_up(void **state)
{
    (void)state;
    gt_arena_init(&arena, 4096, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gt_arena_deinit(&arena);
    return 0;
}

static struct gantry_view view(const char *text)
{
    return gantry_view_of(text);
}

static void assert_view(struct gantry_view actual, const char *expected)
{
    char *copy = gt_arena_copy(&arena, actual);
    assert_non_null(copy);
    assert_string_equal(copy, expected);
    assert_int_equal(actual.len, strlen(expected));
}

static const struct gt_converter *find(const char *name)
{
    const struct gt_converter *converter = gt_converter_find(name);
    assert_non_null(converter);
    return converter;
}

static struct gt_message to_message(const char *name, const struct gantry_record *record,
                                    const char *topic)
{
    struct gt_message message;
    struct gantry_err err = {.code = 0};
    size_t bad = 99;
    memset(&message, 0xaa, sizeof message); /* every member must be set */
    int rc = find(name)->to_messages(record, 1, topic, &message, &arena, &bad, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    return message;
}

static struct gantry_record to_record(const char *name, const struct gt_message *message)
{
    struct gantry_record record;
    struct gantry_err err = {.code = 0};
    size_t bad = 99;
    memset(&record, 0, sizeof record);
    int rc = find(name)->to_records(message, 1, &record, &arena, &bad, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    return record;
}

static void test_names(void **state)
{
    (void)state;
    assert_ptr_equal(find(NULL), find("string"));
    assert_ptr_equal(find(""), find("string"));
    assert_ptr_not_equal(find("bytes"), find("string"));
    assert_ptr_equal(find(JSON_CONVERTER), find("json2019"));
    assert_ptr_equal(find(ROCKETMQ_CONVERTER), find("rocketmq"));
    assert_null(gt_converter_find("no.such.Converter"));
    assert_null(gt_converter_find("String"));
    size_t count = 0;
    for (const char *const *name = gt_converter_names(); *name != NULL; name++, count++)
        assert_string_equal(find(*name)->names[0], *name);
    assert_int_equal(count, 4);
}

static void test_properties(void **state)
{
    const struct gantry_header headers[] = {
        {{"a", 1}, {"1", 1}},
        {{"", 0}, {NULL, 0}},
        {{"name", 4}, {"with\0nul", 8}},
    };
    struct gantry_view bytes;
    const struct gantry_header *read;
    uint32_t count;
    (void)state;
    assert_int_equal(gt_properties_encode(headers, 3, &arena, &bytes), 0);
    assert_int_equal(bytes.len, 1 + 2 + 2 + 2 + 5 + 9);
    assert_memory_equal(bytes.data, "\3\1a\0011\0\0\4name\10with\0nul", bytes.len);
    assert_int_equal(gt_properties_decode(bytes, &arena, &read, &count), 0);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(gantry_view_equal(read[i].name, headers[i].name));
        assert_true(gantry_view_equal(read[i].value, headers[i].value));
    }
    /* every shorter text, and a longer one, is damaged; the empty one means none */
    for (size_t len = 1; len < bytes.len; len++)
        assert_int_equal(
            gt_properties_decode((struct gantry_view){bytes.data, len}, &arena, &read, &count),
            GANTRY_CORRUPT);
    assert_int_equal(gt_properties_decode((struct gantry_view){"\0x", 2}, &arena, &read, &count),
                     GANTRY_CORRUPT);
    assert_int_equal(
        gt_properties_decode(view("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), &arena, &read, &count),
        GANTRY_CORRUPT);
    assert_int_equal(gt_properties_decode((struct gantry_view){NULL, 0}, &arena, &read, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(gt_properties_encode(NULL, 0, &arena, &bytes), 0);
    assert_int_equal(bytes.len, 0);
}

static void test_string(void **state)
{
    const struct gantry_header header = {{"h", 1}, {"v", 1}};
    struct gantry_record records[3] = {
        {.key = view("k"),
         .value = view("a line"),
         .schema = &line_schema,
         .headers = &header,
         .header_count = 1,
         .timestamp_ms = 5},
        {.value = {"\xff\0\n", 3}},
        {.value = {NULL, 0}},
    };
    struct gt_message messages[3];
    struct gantry_record back[3];
    struct gantry_err err;
    size_t bad;
    (void)state;
    memset(messages, 0xaa, sizeof messages);
    memset(back, 0xaa, sizeof back);
    int64_t before = gt_clock_wall_ms();
    assert_int_equal(find("string")->to_messages(records, 3, "t", messages, &arena, &bad, &err), 0);
    assert_ptr_equal(messages[0].body.data, records[0].value.data); /* not copied */
    assert_int_equal(messages[0].timestamp_ms, 5);
    assert_true(messages[1].timestamp_ms >= before &&
                messages[1].timestamp_ms <= gt_clock_wall_ms());
    assert_int_equal(messages[1].properties.len, 0);
    assert_int_equal(find("string")->to_records(messages, 3, back, &arena, &bad, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(gantry_view_equal(back[i].value, records[i].value));
        assert_true(gantry_view_equal(back[i].key, records[i].key));
        assert_int_equal(back[i].header_count, records[i].header_count);
        assert_null(back[i].schema);
    }
    assert_view(back[0].headers[0].name, "h");
    messages[2].properties = view("\1");
    assert_int_equal(find("string")->to_records(messages, 3, back, &arena, &bad, &err),
                     GANTRY_INVALID);
    assert_int_equal(bad, 2);
}

static void test_json_captures(void **state)
{
    static const struct {
        const char *line, *body;
    } cases[] = {
        {"first line", ENTRY("WyJmaXJzdCBsaW5lIl0=")},
        {"third line", ENTRY("WyJ0aGlyZCBsaW5lIl0=")},
        {"second line: 中文 \"quoted\" \\ tab\there",
         ENTRY("WyJzZWNvbmQgbGluZTog5Lit5paHIFwicXVvdGVkXCIgXFwgdGFiXHRoZXJlIl0=")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gantry_record record = {.value = view(cases[i].line),
                                       .schema = &line_schema,
                                       .timestamp_ms = INT64_C(1795355548504)};
        struct gt_message message = to_message(JSON_CONVERTER, &record, "fileTopic");
        assert_view(message.body, cases[i].body);
        assert_int_equal(message.properties.len, 0);
        assert_int_equal(message.key.len, 0);
        message.timestamp_ms = 1;
        struct gantry_record back = to_record(JSON_CONVERTER, &message);
        assert_view(back.value, cases[i].line);
        assert_true(back.timestamp_ms == INT64_C(1795355548504));
        assert_string_equal(back.schema->name, line_schema.name);
        assert_string_equal(back.schema->data_source, line_schema.data_source);
        assert_int_equal(back.schema->field_count, 1);
        assert_string_equal(back.schema->fields[0].name, "fileLineContent");
        assert_int_equal(back.schema->fields[0].type, GANTRY_TYPE_STRING);
        assert_int_equal(back.header_count, 0);
    }
}

/* Any text, any bytes, keys, headers and other entry types come back as they were. */
static void test_json_round_trip(void **state)
{
    static const struct gantry_field bytes_field = {"raw", GANTRY_TYPE_BYTES};
    static const struct gantry_schema bytes_schema = {sizeof bytes_schema, "s", NULL, 1,
                                                      &bytes_field};
    const struct gantry_header headers[] = {{{"h", 1}, {"\xff", 1}},
                                            {{"connect-entrytype", 17}, {"UPDATE", 6}}};
    struct gantry_record records[] = {
        {.value = {"", 0}, .schema = &line_schema},
        {.value = {"nul \0 and \x1f \x7f \xe2\x80\xa8", 17},
         .schema = &line_schema,
         .key = {"k\0\"", 3}},
        {.value = {"\xff\0\x80 bytes", 9}, .schema = &bytes_schema},
        {.value = {"\xff\0\x80 no schema", 13}},
        {.value = {"x", 1}, .schema = &line_schema, .headers = headers, .header_count = 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        struct gt_message message = to_message("json2019", &records[i], "t");
        struct gantry_record back = to_record("json2019", &message);
        assert_true(gantry_view_equal(back.value, records[i].value));
        assert_true(gantry_view_equal(back.key, records[i].key));
        assert_int_equal(back.header_count, records[i].header_count);
        for (uint32_t k = 0; k < back.header_count; k++) {
            assert_true(gantry_view_equal(back.headers[k].name, records[i].headers[k].name));
            assert_true(gantry_view_equal(back.headers[k].value, records[i].headers[k].value));
        }
    }
    struct gt_message message = to_message("json2019", &records[4], "t");
    assert_memory_equal(message.body.data, "{\"entryType\":\"UPDATE\",", 22);
}

static void test_json_fields(void **state)
{
    static const char body[] =
        "{\"entryType\":\"UPDATE\",\"payload\":[\"WzEsIngiLDEuNTAsbnVsbF0=\"],\"queueName\":\"t\","
        "\"schema\":{\"fields\":[{\"index\":1,\"name\":\"b\",\"type\":\"STRING\"},"
        "{\"index\":0,\"name\":\"a\",\"type\":\"INT32\"},{\"index\":2,\"name\":\"c\",\"type\":"
        "\"FLOAT64\"},"
        "{\"index\":3,\"name\":\"d\",\"type\":\"DATETIME\"}],\"name\":\"table\"},"
        "\"shardingKey\":\"key\",\"timestamp\":7}";
    struct gt_message message = {.body = view(body)};
    (void)state;
    struct gantry_record record = to_record("json2019", &message);
    assert_view(record.value, "[1,\"x\",1.50,null]");
    assert_view(record.key, "key");
    assert_int_equal(record.schema->field_count, 4);
    assert_string_equal(record.schema->fields[0].name, "a");
    assert_int_equal(record.schema->fields[0].type, GANTRY_TYPE_INT32);
    assert_int_equal(record.schema->fields[3].type, GANTRY_TYPE_DATETIME);
    assert_null(record.schema->data_source);
    assert_int_equal(record.header_count, 1);
    assert_view(record.headers[0].value, "UPDATE");
    /* and back: fields in the order of their index, everything else the same */
    struct gt_message again = to_message("json2019", &record, "t");
    assert_view(
        again.body,
        "{\"entryType\":\"UPDATE\",\"payload\":[\"WzEsIngiLDEuNTAsbnVsbF0=\"],\"queueName\":\"t\","
        "\"schema\":{\"fields\":[{\"index\":0,\"name\":\"a\",\"type\":\"INT32\"},"
        "{\"index\":1,\"name\":\"b\",\"type\":\"STRING\"},{\"index\":2,\"name\":\"c\",\"type\":"
        "\"FLOAT64\"},"
        "{\"index\":3,\"name\":\"d\",\"type\":\"DATETIME\"}],\"name\":\"table\"},"
        "\"shardingKey\":\"key\",\"timestamp\":7}");
}

static void refuse_record(const struct gantry_record *record, const char *part)
{
    struct gantry_record records[2] = {{.value = {"fine", 4}, .schema = &line_schema}, *record};
    struct gt_message messages[2];
    struct gantry_err err = {.code = 0};
    size_t bad = 99;
    assert_int_equal(find("json2019")->to_messages(records, 2, "t", messages, &arena, &bad, &err),
                     GANTRY_INVALID);
    assert_int_equal(bad, 1);
    if (strstr(err.text, part) == NULL)
        fail_msg("%s", err.text);
}

static void test_json_bad_records(void **state)
{
    static const struct gantry_field fields[2] = {{"a", GANTRY_TYPE_INT32},
                                                  {"b", GANTRY_TYPE_INT32}};
    static const struct gantry_schema schema = {sizeof schema, "s", NULL, 2, fields};
    (void)state;
    refuse_record(&(struct gantry_record){.value = {"\xff", 1}, .schema = &line_schema},
                  "not UTF-8");
    refuse_record(&(struct gantry_record){.key = {"\xff", 1}, .schema = &line_schema}, "key");
    refuse_record(&(struct gantry_record){.value = {"1,2", 3}, .schema = &schema}, "'1,2'");
    refuse_record(&(struct gantry_record){.schema = &schema}, "JSON array");
}

static void test_json_bad_messages(void **state)
{
    static const struct {
        const char *body, *part;
    } cases[] = {
        {"an ordinary line", "'an ordinary line'"},
        {"", "no JSON entry"},
        {"[1]", "not an object"},
        {"{}", "schema"},
        {"{\"schema\":{\"fields\":{}}}", "schema"},
        {"{\"schema\":{\"fields\":[{\"index\":0,\"name\":\"a\",\"type\":\"ODD\"}]}}", "'ODD'"},
        {"{\"schema\":{\"fields\":[{\"index\":1,\"name\":\"a\",\"type\":\"STRING\"}]}}", "'a'"},
        {"{\"schema\":{\"fields\":[{\"index\":-1,\"name\":\"a\",\"type\":\"STRING\"}]}}", "index"},
        {"{\"schema\":{\"fields\":[{\"index\":0,\"type\":\"STRING\"}]}}", "name"},
        {"{\"schema\":{\"fields\":[5]}}", "index"},
        {"{\"payload\":[],\"schema\":" SCHEMA "}", "payload"},
        {"{\"payload\":[5],\"schema\":" SCHEMA "}", "payload"},
        {"{\"payload\":[\"W10=\"],\"schema\":" SCHEMA "}", "'W10='"}, /* [] */
        {"{\"payload\":[\"ImEi\"],\"schema\":" SCHEMA "}", "'ImEi'"}, /* "a" */
        {"{\"payload\":[\"W1\"],\"schema\":" SCHEMA "}", "base64"},
        {"{\"payload\":[\"W!!=\"],\"schema\":" SCHEMA "}", "base64"},
        {"{\"payload\":[\"\"],\"schema\":" SCHEMA "}", "base64"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gt_message messages[2] = {{.body = view(ENTRY("WyJmaXJzdCBsaW5lIl0="))},
                                         {.body = view(cases[i].body)}};
        struct gantry_record records[2];
        struct gantry_err err = {.code = 0};
        size_t bad = 99;
        memset(records, 0, sizeof records);
        assert_int_equal(find("json2019")->to_records(messages, 2, records, &arena, &bad, &err),
                         GANTRY_INVALID);
        assert_int_equal(bad, 1);
        if (strstr(err.text, cases[i].part) == NULL)
            fail_msg("%s: %s", cases[i].body, err.text);
    }
}

static struct gantry_view property(struct gantry_view properties, const char *name)
{
    const struct gantry_header *headers;
    uint32_t count;
    assert_int_equal(gt_properties_decode(properties, &arena, &headers, &count), 0);
    for (uint32_t i = 0; i < count; i++) {
        if (gantry_view_equal(headers[i].name, view(name)))
            return headers[i].value;
    }
    return (struct gantry_view){"(absent)", 8};
}

static void test_rocketmq(void **state)
{
    const struct gantry_header headers[] = {{{"h", 1}, {"v", 1}},
                                            {{"connect-entrytype", 17}, {"DELETE", 6}}};
    struct gantry_record record = {.value = view("third line"),
                                   .key = view("k"),
                                   .schema = &line_schema,
                                   .timestamp_ms = INT64_C(1795355655620)};
    (void)state;
    struct gt_message message = to_message(ROCKETMQ_CONVERTER, &record, "fileTopicRmq");
    assert_view(message.body, "third line");
    assert_view(property(message.properties, "connect-entrytype"), "CREATE");
    assert_view(property(message.properties, "connect-schema"), SCHEMA);
    assert_view(property(message.properties, "connect-shardingkey"), "k");
    assert_view(property(message.properties, "connect-timestamp"), "1795355655620");
    assert_view(property(message.properties, "connect-topicname"), "fileTopicRmq");
    struct gantry_record back = to_record(ROCKETMQ_CONVERTER, &message);
    assert_view(back.value, "third line");
    assert_view(back.key, "k");
    assert_true(back.timestamp_ms == record.timestamp_ms);
    assert_string_equal(back.schema->name, line_schema.name);
    assert_int_equal(back.header_count, 0);

    record.headers = headers;
    record.header_count = 2;
    message = to_message(ROCKETMQ_CONVERTER, &record, "t");
    assert_view(property(message.properties, "connect-entrytype"), "DELETE");
    back = to_record(ROCKETMQ_CONVERTER, &message);
    assert_int_equal(back.header_count, 2);

    /* what an ordinary producer wrote */
    struct gt_message plain = {.body = view("text"), .timestamp_ms = 9};
    back = to_record(ROCKETMQ_CONVERTER, &plain);
    assert_view(back.value, "text");
    assert_null(back.schema);
    assert_int_equal(back.timestamp_ms, 9);
}

static void test_rocketmq_bad(void **state)
{
    static const struct gantry_header headers[] = {
        {{"connect-timestamp", 17}, {"soon", 4}},
        {{"connect-schema", 14}, {"{", 1}},
        {{"connect-schema", 14}, {"{}", 2}},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct gt_message message = {.body = view("x")};
        struct gantry_record record;
        struct gantry_err err = {.code = 0};
        size_t bad = 99;
        assert_int_equal(gt_properties_encode(&headers[i], 1, &arena, &message.properties), 0);
        assert_int_equal(find("rocketmq")->to_records(&message, 1, &record, &arena, &bad, &err),
                         GANTRY_INVALID);
        assert_int_equal(bad, 0);
        assert_int_equal(err.code, GANTRY_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_properties, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_string, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_captures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_bad_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json_bad_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rocketmq, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rocketmq_bad, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
