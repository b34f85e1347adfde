/* SPDX-License-Identifier: Apache-2.0 */
/* The room base: numbers, buffers, arena, map, properties, JSON, CRC, files, mailbox, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/map.h"
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define V(text)                                                                                    \
    (struct gantry_view)                                                                           \
    {                                                                                              \
        "" text "", sizeof(text) - 1                                                               \
    }

static void test_parse_int(void **state)
{
    int64_t n = 7;
    (void)state;
    assert_int_equal(gt_parse_int(V("42"), 0, 100, &n), 0);
    assert_int_equal(n, 42);
    assert_int_equal(gt_parse_int(V("-9223372036854775808"), INT64_MIN, INT64_MAX, &n), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(gt_parse_int(V("9223372036854775807"), INT64_MIN, INT64_MAX, &n), 0);
    assert_true(n == INT64_MAX);
    n = 7;
    static const char *const bad[] = {
        "", " 1", "1 ", "1x", "x", "-", "+", "101", "-1", "0x10", "9223372036854775808", "1.0",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(gt_parse_int(gantry_view_of(bad[i]), 0, 100, &n), GANTRY_INVALID);
    assert_int_equal(gt_parse_int(V("9223372036854775808"), INT64_MIN, INT64_MAX, &n),
                     GANTRY_INVALID);
    assert_int_equal(n, 7); /* a failure leaves the result alone */
}

static void test_parse_units(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes, ms; /* -1: refused */
    } cases[] = {
        {"64", 64, 64},
        {"64k", 65536, -1},
        {"64 KiB", 65536, -1},
        {"1m", 1 << 20, 60000},
        {"2GB", INT64_C(2) << 30, -1},
        {"500ms", -1, 500},
        {"20s", -1, 20000},
        {"5M", 5 << 20, 300000},
        {"1h", -1, 3600000},
        {"7d", -1, 604800000},
        {"64kk", -1, -1},
        {"k", -1, -1},
        {"", -1, -1},
        {"1.5m", -1, -1},
        {"64 ", -1, -1},
        {"9223372036854775807g", -1, -1},
        {"-1", -1, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n = -1;
        int rc = gt_parse_size(gantry_view_of(cases[i].text), 0, INT64_MAX, &n);
        assert_int_equal(rc, cases[i].bytes < 0 ? GANTRY_INVALID : 0);
        assert_true(n == cases[i].bytes);
        n = -1;
        rc = gt_parse_duration(gantry_view_of(cases[i].text), 0, INT64_MAX, &n);
        assert_int_equal(rc, cases[i].ms < 0 ? GANTRY_INVALID : 0);
        assert_true(n == cases[i].ms);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    assert_true(gt_utf8_valid(V("")));
    assert_true(gt_utf8_valid(V("plain text of some length \x7f")));
    assert_true(gt_utf8_valid(
        V("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xed\x9f\xbf\xef\xbf\xbf\xf4\x8f\xbf\xbf")));
    static const char *const bad[] = {
        "\x80",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3",
        "\xe4\xb8",
        "\xf0\x9f\x98",
        "\xc3(",
        "12345678\xc3(",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(gt_utf8_valid(gantry_view_of(bad[i])));
}

static void test_nearest(void **state)
{
    static const char *const keys[] = {"filename", "topic", "topicNames", "tasks.max"};
    (void)state;
    assert_string_equal(gt_nearest("filenam", keys, 4), "filename");
    assert_string_equal(gt_nearest("fielname", keys, 4), "filename");
    assert_string_equal(gt_nearest("FILENAME", keys, 4), "filename");
    assert_string_equal(gt_nearest("topicname", keys, 4), "topicNames");
    assert_string_equal(gt_nearest("task.max", keys, 4), "tasks.max");
    assert_null(gt_nearest("password", keys, 4));
    assert_null(gt_nearest("", keys, 4));
    char long_word[300];
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    assert_null(gt_nearest(long_word, keys, 4));
}

static void test_buf(void **state)
{
    struct gt_buf buf;
    (void)state;
    gt_buf_init(&buf, 1000);
    assert_string_equal(gt_buf_cstr(&buf), "");
    assert_int_equal(gt_buf_addf(&buf, "%d-%s", 5, "x"), 0);
    assert_int_equal(gt_buf_addf(&buf, "%0500d", 1), 0);
    assert_int_equal(buf.len, 503);
    assert_string_equal(gt_buf_cstr(&buf) + 500, "001");
    char *reserved = gt_buf_reserve(&buf, 497); /* up to the limit */
    assert_non_null(reserved);
    memset(reserved, 'x', 497);
    buf.len += 497;
    assert_int_equal(gt_buf_add_char(&buf, 'y'), GANTRY_TOO_LARGE);
    assert_int_equal(gt_buf_add(&buf, "", 0), GANTRY_TOO_LARGE); /* it sticks */
    assert_int_equal(buf.len, 1000);
    assert_null(gt_buf_take(&buf));
    gt_buf_clear(&buf);
    assert_int_equal(gt_buf_add_str(&buf, "abc"), 0);
    char *taken = gt_buf_take(&buf);
    assert_string_equal(taken, "abc");
    free(taken);
    assert_int_equal(buf.len, 0);
    taken = gt_buf_take(&buf);
    assert_string_equal(taken, "");
    free(taken);
    gt_buf_deinit(&buf);
}

static void test_arena(void **state)
{
    struct gt_arena arena;
    (void)state;
    gt_arena_init(&arena, 1000, 4096);
    for (int round = 0; round < 5; round++) {
        char *last = NULL;
        for (size_t i = 0; i < 300; i++) {
            size_t size = i * 7 % 2500;
            char *bytes = gt_arena_alloc(&arena, size);
            assert_non_null(bytes);
            assert_int_equal((uintptr_t)bytes % 16, 0);
            memset(bytes, (int)i, size);
            if (last != NULL && (i - 1) * 7 % 2500 > 0)
                assert_int_equal((unsigned char)*last, (i - 1) & 0xff); /* not overwritten */
            last = bytes;
        }
        assert_string_equal(gt_arena_strdup(&arena, "text"), "text");
        assert_string_equal(gt_arena_copy(&arena, V("view")), "view");
        gt_arena_reset(&arena);
    }
    assert_null(gt_arena_alloc(&arena, SIZE_MAX));
    gt_arena_deinit(&arena);
}

static void test_map(void **state)
{
    struct gt_map map;
    static int values[5000];
    char key[32];
    (void)state;
    gt_map_init(&map);
    assert_null(gt_map_get(&map, V("a")));
    assert_null(gt_map_remove(&map, V("a")));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            int len = snprintf(key, sizeof key, "key-%d", i);
            assert_int_equal(
                gt_map_put(&map, (struct gantry_view){key, (size_t)len}, &values[i], NULL), 0);
        }
        assert_int_equal(map.count, 5000);
        /* remove every second one during a walk */
        size_t cursor = 0, seen = 0;
        struct gantry_view name;
        void *value;
        while (gt_map_next(&map, &cursor, &name, &value)) {
            seen++;
            if (((int *)value - values) % 2 == 0)
                assert_ptr_equal(gt_map_remove(&map, name), value);
        }
        assert_int_equal(seen, 5000);
        assert_int_equal(map.count, 2500);
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(key, sizeof key, "key-%d", i);
            assert_ptr_equal(gt_map_get(&map, gantry_view_of(key)), i % 2 == 0 ? NULL : &values[i]);
        }
    }
    void *old = NULL;
    assert_int_equal(gt_map_put(&map, V("key-1"), &values[0], &old), 0);
    assert_ptr_equal(old, &values[1]);
    assert_int_equal(gt_map_put(&map, V("a\0b"), &values[2], &old), 0);
    assert_null(old);
    assert_null(gt_map_get(&map, V("a")));
    assert_ptr_equal(gt_map_get(&map, V("a\0b")), &values[2]);
    assert_int_equal(gt_map_put(&map, V(""), &values[3], NULL), 0);
    assert_ptr_equal(gt_map_get(&map, (struct gantry_view){NULL, 0}), &values[3]);
    gt_map_deinit(&map);
}

/* A table with churn must not fill up with the marks of removed items. */
static void test_map_churn(void **state)
{
    struct gt_map map;
    int value;
    char key[32];
    (void)state;
    gt_map_init(&map);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        assert_int_equal(gt_map_put(&map, gantry_view_of(key), &value, NULL), 0);
        assert_ptr_equal(gt_map_remove(&map, gantry_view_of(key)), &value);
    }
    assert_int_equal(map.count, 0);
    assert_true(map.cap <= 64);
    gt_map_deinit(&map);
}

static void test_props(void **state)
{
    struct gt_props a, b;
    (void)state;
    gt_props_init(&a);
    gt_props_init(&b);
    assert_int_equal(gt_props_set(&a, "x", "1"), 0);
    assert_int_equal(gt_props_set(&a, "y", "2"), 0);
    assert_int_equal(gt_props_set(&a, "x", "3"), 0);
    assert_int_equal(a.count, 2);
    assert_string_equal(a.items[0].key, "x"); /* keeps its place */
    assert_string_equal(gt_props_get(&a, "x"), "3");
    assert_null(gt_props_get(&a, "xx"));
    assert_int_equal(gt_props_set(&b, "y", "2"), 0);
    assert_int_equal(gt_props_set(&b, "t", "now"), 0);
    assert_int_equal(gt_props_set(&b, "x", "3"), 0);
    assert_true(gt_props_equal(&a, &b, "t"));
    assert_false(gt_props_equal(&a, &b, NULL));
    assert_int_equal(gt_props_set(&b, "x", "4"), 0);
    assert_false(gt_props_equal(&a, &b, "t"));
    assert_int_equal(gt_props_copy(&b, &a), 0);
    assert_true(gt_props_equal(&a, &b, NULL));
    assert_true(gt_props_remove(&a, "x"));
    assert_false(gt_props_remove(&a, "x"));
    assert_false(gt_props_equal(&a, &b, NULL));
    assert_string_equal(a.items[0].key, "y");
    gt_props_deinit(&a);
    gt_props_deinit(&b);
}

/* The right column is what java.util.Properties.load() gives for the same text. */
static void test_props_parse(void **state)
{
    static const char text[] = "# comment \\\n"
                               "! another\n"
                               "\n"
                               "plain=value\r\n"
                               "  spaced   :  out  \n"
                               "blank separated value\r"
                               "empty=\n"
                               "lonely\n"
                               "e\\=q\\:u\\ al = a\\tb\\nc\\\\d\\q\n"
                               "unicode=\\u00e9\\u4E2D\\uD83D\\uDE00 \xc3\xa9\n"
                               "long = one, \\\n"
                               "    # two, \\\r\n"
                               "\t three\n"
                               "cut=a\\\n"
                               "\n"
                               "plain = last wins\n"
                               "==x\n"
                               "last=line\\";
    static const struct {
        const char *key, *value;
    } expected[] = {
        {"plain", "last wins"},
        {"spaced", "out  "},
        {"blank", "separated value"},
        {"empty", ""},
        {"lonely", ""},
        {"e=q:u al", "a\tb\nc\\dq"},
        {"unicode", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80 \xc3\xa9"},
        {"long", "one, # two, three"},
        {"cut", "a"},
        {"", "=x"},
        {"last", "line"},
    };
    struct gt_props props;
    struct gantry_err err;
    (void)state;
    gt_props_init(&props);
    assert_int_equal(gt_props_parse(&props, (struct gantry_view){text, sizeof text - 1}, &err), 0);
    assert_int_equal(props.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < props.count; i++) {
        assert_string_equal(props.items[i].key, expected[i].key);
        assert_string_equal(props.items[i].value, expected[i].value);
    }
    assert_int_equal(gt_props_parse(&props, (struct gantry_view){NULL, 0}, &err), 0);
    gt_props_deinit(&props);
}

static void test_props_parse_bad(void **state)
{
    static const struct {
        struct gantry_view text;
        const char *part;
    } cases[] = {
        {{"a=1\nb=\\u12g4", 12}, "line 2"},
        {{"a=\\u12", 6}, "hexadecimal"},
        {{"a=\\ud83d!", 9}, "surrogate"},
        {{"a=\\udc00", 8}, "surrogate"},
        {{"a=\\u0000", 8}, "NUL"},
        {{"a=b\0c", 5}, "NUL"},
        {{"x=1\\\n2\na=\xff", 10}, "line 3"},
        {{"a=\xff", 3}, "UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gt_props props;
        struct gantry_err err = {.code = 0};
        gt_props_init(&props);
        assert_int_equal(gt_props_parse(&props, cases[i].text, &err), GANTRY_INVALID);
        assert_int_equal(err.code, GANTRY_INVALID);
        assert_non_null(strstr(err.text, cases[i].part));
        gt_props_deinit(&props);
    }
}

/* Captured from fastjson 1.2.58. */
static void test_json_string(void **state)
{
    static const struct {
        struct gantry_view text;
        const char *json;
    } cases[] = {
        {{"a\x7f"
          "b",
          3},
         "\"a\\u007Fb\""},
        {{"\xc2\x80", 2}, "\"\\u0080\""},
        {{"x\xc2\x9f\xc2\x85", 5}, "\"x\\u009F\\u0085\""},
        {{"\"\xc2\xa0\"", 4}, "\"\\\"\xc2\xa0\\\"\""},
        {{"\xe2\x80\xa8\xe2\x80\xa9\t", 7}, "\"\\u2028\\u2029\\t\""},
        {{"\0\1\x1f\v", 4}, "\"\\u0000\\u0001\\u001F\\u000B\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"a/b<>&'()\\", 10}, "\"a/b<>&'()\\\\\""},
        {{"\xc3\xa9\xf0\x9f\x98\x80\xef\xbb\xbf", 9}, "\"\xc3\xa9\xf0\x9f\x98\x80\xef\xbb\xbf\""},
        {{NULL, 0}, "\"\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gt_buf buf;
        gt_buf_init(&buf, 1000);
        assert_int_equal(gt_json_add_string(&buf, cases[i].text), 0);
        assert_string_equal(gt_buf_cstr(&buf), cases[i].json);
        gt_buf_deinit(&buf);
    }
}

static void test_json_props(void **state)
{
    static const char text[] =
        " {\"n\":5, \"f\" : 1.50,\"e\":1E3,\"b\":true, \"o\":{\"a\" : [1, "
        "2,{\"k\":\"v\\u00e9\\/\"}]},\n"
        "\"l\":[1,\"x\",null],\"big\":12345678901234567890,\"empty\":\"\","
        "\"s\":\"\\ud83d\\ude00\\b\\f\\n\\r\\t\\\"\\\\\\/\",\"o2\":{},\"\":\"nameless\"} ";
    static const struct {
        const char *key, *value;
    } expected[] = {
        {"n", "5"},
        {"f", "1.50"},
        {"e", "1E3"},
        {"b", "true"},
        {"o", "{\"a\":[1,2,{\"k\":\"v\xc3\xa9/\"}]}"},
        {"l", "[1,\"x\",null]"},
        {"big", "12345678901234567890"},
        {"empty", ""},
        {"s", "\xf0\x9f\x98\x80\b\f\n\r\t\"\\/"},
        {"o2", "{}"},
        {"", "nameless"},
    };
    struct gt_props props, again;
    struct gantry_err err;
    struct gt_buf buf;
    (void)state;
    gt_props_init(&props);
    gt_props_init(&again);
    gt_buf_init(&buf, 10000);
    assert_int_equal(gt_json_parse_props(&props, gantry_view_of(text), &err), 0);
    assert_int_equal(props.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < props.count; i++) {
        assert_string_equal(props.items[i].key, expected[i].key);
        assert_string_equal(props.items[i].value, expected[i].value);
    }
    assert_int_equal(gt_json_add_props(&buf, &props), 0);
    assert_int_equal(gt_json_parse_props(&again, gt_buf_view(&buf), &err), 0);
    assert_true(gt_props_equal(&props, &again, NULL));
    assert_int_equal(gt_json_parse_props(&again, V("{}"), &err), 0);
    assert_int_equal(again.count, 0);
    gt_buf_deinit(&buf);
    gt_props_deinit(&props);
    gt_props_deinit(&again);
}

static void test_json_props_bad(void **state)
{
    static const struct {
        struct gantry_view text;
        const char *part;
    } cases[] = {
        {{"", 0}, "not valid JSON"},
        {{"[1]", 3}, "array"},
        {{"\"x\"", 3}, "not valid JSON"},
        {{"null", 4}, "not valid JSON"},
        {{"{\"a\":1", 6}, "not valid JSON"},
        {{"{\"a\":1}x", 8}, "not valid JSON"},
        {{"{'a':1}", 7}, "not valid JSON"},
        {{"{\"a\":1,}", 8}, "not valid JSON"},
        {{"{\"a\":1,\n\"a\":2}", 14}, "duplicate"},
        {{"{\"a\":{\"b\":1,\"b\":2}}", 19}, "duplicate"},
        {{"{\"key\":\nnull}", 13}, "line 2, column 1: 'key'"},
        {{"{\"a\":\"\\u0000\"}", 14}, "NUL"},
        {{"{\"\\u0000\":\"a\"}", 14}, "NUL"},
        {{"{\"a\":\"\0\"}", 9}, "not valid JSON"},
        {{"{\"a\":1.5\0}", 10}, "byte 9: not valid JSON"}, /* found by fuzzing */
        {{"{\"a\":\"\xff\"}", 9}, "not valid JSON"},
        {{"{\"a\":\"\\ud800\"}", 14}, "not valid JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gt_props props;
        struct gantry_err err = {.code = 0};
        gt_props_init(&props);
        assert_int_equal(gt_props_set(&props, "kept", "yes"), 0);
        assert_int_equal(gt_json_parse_props(&props, cases[i].text, &err), GANTRY_INVALID);
        if (strstr(err.text, cases[i].part) == NULL)
            fail_msg("case %zu: %s", i, err.text);
        assert_string_equal(gt_props_get(&props, "kept"), "yes"); /* a failure changes nothing */
        gt_props_deinit(&props);
    }
}

static void test_json_depth(void **state)
{
    (void)state;
    for (int depth = 30; depth <= 34; depth++) {
        struct gt_props props;
        struct gt_buf buf;
        struct gantry_err err;
        gt_props_init(&props);
        gt_buf_init(&buf, 1000);
        (void)gt_buf_add_str(&buf, "{\"a\":");
        for (int i = 1; i < depth; i++)
            (void)gt_buf_add_char(&buf, '[');
        for (int i = 1; i < depth; i++)
            (void)gt_buf_add_char(&buf, ']');
        assert_int_equal(gt_buf_add_char(&buf, '}'), 0);
        int rc = gt_json_parse_props(&props, gt_buf_view(&buf), &err);
        assert_int_equal(rc, depth <= 32 ? 0 : GANTRY_INVALID);
        if (rc != 0)
            assert_non_null(strstr(err.text, "32"));
        gt_buf_deinit(&buf);
        gt_props_deinit(&props);
    }
}

/* Many keys must not take quadratic time: this is seconds otherwise. */
static void test_json_many_keys(void **state)
{
    struct gt_props props;
    struct gt_buf buf;
    struct gantry_err err;
    (void)state;
    gt_props_init(&props);
    gt_buf_init(&buf, 16 << 20);
    for (int i = 0; i < 200000; i++)
        (void)gt_buf_addf(&buf, "%c\"%d\":\"\"", i == 0 ? '{' : ',', i);
    assert_int_equal(gt_buf_add_char(&buf, '}'), 0);
    int64_t start = gt_clock_mono_ns();
    assert_int_equal(gt_json_parse_props(&props, gt_buf_view(&buf), &err), 0);
    assert_true(gt_clock_mono_ns() - start < INT64_C(10000000000));
    assert_int_equal(props.count, 200000);
    gt_buf_deinit(&buf);
    gt_props_deinit(&props);
}

static uint32_t crc_by_bits(uint32_t crc, const uint8_t *data, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void test_crc32c(void **state)
{
    static uint8_t data[40000];
    static const size_t lens[] = {0,   1,    7,     8,     9,     63,    767,  768,
                                  769, 3000, 12287, 12288, 12289, 25000, 39900};
    uint32_t seed = 1;
    (void)state;
    assert_int_equal(gt_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(gt_crc32c(0, data, 32), 0x8a9136aau); /* RFC 3720, B.4 */
    for (size_t i = 0; i < sizeof data; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (size_t offset = 0; offset < 9; offset++) {
            uint32_t expected = crc_by_bits(0, data + offset, lens[i]);
            assert_int_equal(gt_crc32c(0, data + offset, lens[i]), expected);
            size_t half = lens[i] / 3;
            uint32_t first = gt_crc32c(0, data + offset, half);
            assert_int_equal(gt_crc32c(first, data + offset + half, lens[i] - half), expected);
        }
    }
}

static void test_cursor(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    uint8_t bytes[16];
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        size_t len = (size_t)(gt_put_varint(bytes, values[i]) - bytes);
        assert_int_equal(len, gt_varint_size(values[i]));
        struct gt_cursor cursor = gt_cursor_of(bytes, len);
        assert_true(gt_cursor_varint(&cursor) == values[i]);
        assert_false(cursor.bad);
        cursor = gt_cursor_of(bytes, len - 1);
        (void)gt_cursor_varint(&cursor);
        assert_true(cursor.bad);
        assert_true(gt_unzigzag(gt_zigzag((int64_t)values[i])) == (int64_t)values[i]);
    }
    memset(bytes, 0xff, sizeof bytes);
    struct gt_cursor cursor = gt_cursor_of(bytes, 16);
    (void)gt_cursor_varint(&cursor);
    assert_true(cursor.bad);
}

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL)
        return -1;
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder->path, sizeof folder->path, "%s/gantry-test-XXXXXX",
                   base != NULL && strlen(base) < 30 ? base : "/tmp");
    *state = folder;
    return mkdtemp(folder->path) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct folder *folder = *state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder->path);
    int rc = system(command);
    free(folder);
    return rc;
}

static void test_file(void **state)
{
    struct folder *folder = *state;
    char path[200], deep[400];
    struct gantry_err err = {.code = 0};
    struct gt_buf buf;

    (void)snprintf(path, sizeof path, "%s/file", folder->path);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(gt_file_write_at(fd, "hello world", 11, 0, path, "test.write", &err), 0);
    assert_int_equal(gt_file_write_at(fd, "W", 1, 6, path, "test.write", &err), 0);
    assert_int_equal(gt_file_sync(fd, path, "test.sync", &err), 0);
    assert_int_equal(gt_folder_sync_of(path, "test.folder", &err), 0);
    gt_buf_init(&buf, 11);
    assert_int_equal(gt_file_read(path, &buf, &err), 0);
    assert_string_equal(gt_buf_cstr(&buf), "hello World");
    gt_buf_deinit(&buf);
    gt_buf_init(&buf, 10);
    assert_int_equal(gt_file_read(path, &buf, &err), GANTRY_TOO_LARGE);
    assert_non_null(strstr(err.text, path));
    gt_buf_deinit(&buf);
    close(fd);

    gt_buf_init(&buf, 10);
    (void)snprintf(deep, sizeof deep, "%s/absent", folder->path);
    assert_int_equal(gt_file_read(deep, &buf, &err), GANTRY_NOT_FOUND);
    assert_non_null(strstr(err.text, deep));
    assert_int_equal(gt_file_read(folder->path, &buf, &err), GANTRY_IO);
    gt_buf_deinit(&buf);

    (void)snprintf(deep, sizeof deep, "%s/a//b/c/", folder->path);
    assert_int_equal(gt_folder_make(deep, "test.folder", &err), 0);
    assert_int_equal(gt_folder_make(deep, "test.folder", &err), 0);
    struct stat status;
    assert_int_equal(stat(deep, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    (void)snprintf(deep, sizeof deep, "%s/x/y", path);
    assert_int_equal(gt_folder_make(deep, "test.folder", &err), GANTRY_IO);
    assert_int_equal(gt_folder_make(path, "test.folder", &err), GANTRY_IO);
    assert_int_equal(gt_folder_make("", "test.folder", &err), GANTRY_INVALID);
    assert_true(gt_disk_free(folder->path) > 0);
    assert_int_equal(gt_disk_free("/no/such/folder"), -1);
    assert_int_equal(gt_file_write_at(-1, "x", 1, 0, "nowhere", "test.write", &err), GANTRY_IO);
    assert_non_null(strstr(err.text, "nowhere"));
}

/* Run @p work in a child with GANTRY_FAULT set; returns its wait status. Points are parsed once a
 * process. */
static int in_child(const char *faults, int (*work)(const char *path), const char *path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("GANTRY_FAULT", faults, 1);
        _exit(work(path));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int write_three(const char *path)
{
    struct gantry_err err = {.code = 0};
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
    int failed = 0;
    for (int i = 0; i < 3; i++)
        failed |= (gt_file_write_at(fd, "0123456789", 10, i * 10, path, "t.write", &err) != 0) << i;
    failed |= (gt_file_sync(fd, path, "t.sync", &err) != 0) << 3;
    failed |= (err.code == GANTRY_NO_SPACE) << 4;
    return failed;
}

static off_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : -1;
}

static void test_faults(void **state)
{
    struct folder *folder = *state;
    char path[200];
    (void)snprintf(path, sizeof path, "%s/file", folder->path);
    int plain = in_child("", write_three, path);
    assert_true(WIFEXITED(plain) && WEXITSTATUS(plain) == 0);
    assert_int_equal(size_of(path), 30);
#ifdef GT_FAULTS
    int status = in_child("kill:t.write:2", write_three, path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(size_of(path), 10);
    status = in_child("eio:t.write:2", write_three, path);
    assert_int_equal(WEXITSTATUS(status), 2);
    status = in_child("enospc:t.write:2:2;eio:other.point", write_three, path);
    assert_int_equal(WEXITSTATUS(status), 2 | 4 | 16);
    status = in_child("eio:t.sync", write_three, path);
    assert_int_equal(WEXITSTATUS(status), 8);
    status = in_child("skip:t.sync;short:t.write:2", write_three, path);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(size_of(path), 30);
    status = in_child("kill:t.write:0", write_three, path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
    int off = in_child("kill:t.write:2", write_three, path);
    assert_true(WIFEXITED(off) && WEXITSTATUS(off) == 0);
#endif
}

/* What gt_log writes to standard error, read back through a pipe. */
static size_t capture_log(char *to, size_t room, enum gantry_log_level level, const char *text)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    gt_log(level, "worker", "%s", text);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t len = read(ends[0], to, room - 1);
    close(ends[0]);
    to[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static void test_log(void **state)
{
    static char line[20000], huge[15000];
    enum gantry_log_level level = GANTRY_LOG_DEBUG;
    (void)state;
    (void)capture_log(line, sizeof line, GANTRY_LOG_WARN, "two\nlines \x1b[1m\x7f \xc3\xa9");
    assert_int_equal(line[4], '-');
    assert_int_equal(line[23], 'Z');
    assert_string_equal(line + 24, " WARN  worker   two\\x0alines \\x1b[1m\\x7f \xc3\xa9\n");
    memset(huge, 'x', sizeof huge - 1);
    size_t len = capture_log(line, sizeof line, GANTRY_LOG_ERROR, huge);
    assert_true(len > 8000 && len <= 8192);
    assert_string_equal(line + len - 4, "...\n");
    assert_int_equal(capture_log(line, sizeof line, GANTRY_LOG_DEBUG, "hidden"), 0);
    assert_int_equal(gt_log_level_parse("Error", &level), 0);
    assert_int_equal(level, GANTRY_LOG_ERROR);
    assert_int_equal(gt_log_level_parse("loud", &level), GANTRY_INVALID);
    gt_log_set_level(GANTRY_LOG_ERROR);
    assert_int_equal(capture_log(line, sizeof line, GANTRY_LOG_WARN, "hidden"), 0);
    gt_log_set_level(GANTRY_LOG_INFO);
}

enum { SENDERS = 4, SENDS = 5000 };

struct counted_mail {
    struct gt_mail mail; /* first member */
    struct receiver *receiver;
    int number;
};

struct receiver {
    struct gt_mailbox mailbox;
    struct counted_mail mails[SENDERS][SENDS];
    int next[SENDERS];
    int received;
    bool disordered;
};

static struct receiver receiver;

static void receive(struct gt_mail *mail)
{
    struct counted_mail *counted = (struct counted_mail *)mail;
    int sender = counted->number / SENDS;
    receiver.disordered |= receiver.next[sender] != counted->number % SENDS;
    receiver.next[sender]++;
    if (++receiver.received == SENDERS * SENDS)
        gt_mailbox_close(&receiver.mailbox, NULL);
}

static void *send_all(void *arg)
{
    int sender = (int)(intptr_t)arg;
    for (int i = 0; i < SENDS; i++) {
        struct counted_mail *mail = &receiver.mails[sender][i];
        mail->mail.run = receive;
        mail->number = sender * SENDS + i;
        if (!gt_mailbox_send(&receiver.mailbox, &mail->mail))
            abort();
    }
    return NULL;
}

static void test_mailbox(void **state)
{
    uv_loop_t loop;
    pthread_t threads[SENDERS];
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(gt_mailbox_init(&receiver.mailbox, &loop), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, (void *)(intptr_t)i), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(receiver.received, SENDERS * SENDS);
    assert_false(receiver.disordered);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct again {
    struct gt_mail mail; /* first member */
    struct gt_mailbox mailbox;
    int runs;
};

/* A mail may send itself again out of run(). */
static void run_again(struct gt_mail *mail)
{
    struct again *again = (struct again *)mail;
    if (++again->runs == 3)
        gt_mailbox_close(&again->mailbox, NULL);
    else
        assert_true(gt_mailbox_send(&again->mailbox, mail));
}

static void test_mailbox_again(void **state)
{
    uv_loop_t loop;
    struct again again = {.mail = {.run = run_again}};
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(gt_mailbox_init(&again.mailbox, &loop), 0);
    assert_true(gt_mailbox_send(&again.mailbox, &again.mail));
    assert_false(gt_mailbox_send(&again.mailbox, &again.mail)); /* it waits already */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(again.runs, 3);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_clock(void **state)
{
    (void)state;
    int64_t mono = gt_clock_mono_ns();
    assert_true(gt_clock_wall_ms() > INT64_C(1700000000000));
    assert_true(gt_clock_mono_ns() >= mono);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: its children parse GANTRY_FAULT, which happens once a process, before any point is
           passed here */
        cmocka_unit_test_setup_teardown(test_faults, make_folder, remove_folder),
        cmocka_unit_test(test_parse_int),
        cmocka_unit_test(test_parse_units),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_churn),
        cmocka_unit_test(test_props),
        cmocka_unit_test(test_props_parse),
        cmocka_unit_test(test_props_parse_bad),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_json_props),
        cmocka_unit_test(test_json_props_bad),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_many_keys),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_mailbox),
        cmocka_unit_test(test_mailbox_again),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
