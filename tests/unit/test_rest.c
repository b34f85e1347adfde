/* SPDX-License-Identifier: Apache-2.0 */
/* The REST room: its parsers one by one, then a listener in this process, with a small service
 * behind it in the place of the control loop. The whole with a real worker is in tests/e2e. */
#include "rest/access.h"
#include "rest/dialect.h"
#include "rest/http_head.h"
#include "rest/lenient_json.h"
#include "rest/rest.h"
#include "rest/router.h"

#include "base/java_order.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_view(struct gantry_view view, const char *text)
{
    assert_int_equal(view.len, strlen(text));
    assert_memory_equal(view.data, text, view.len);
}

/* ---- the head ---- */

static int parse_head(const char *text, struct gt_http_head *head)
{
    const char *why = NULL;
    int status = gt_http_head_parse(gantry_view_of(text), head, &why);

    assert_true((status == 0) == (why == NULL));
    return status;
}

static void test_head(void **state)
{
    struct gt_http_head head;

    (void)state;
    assert_int_equal(
        parse_head("GET /a/b?x={\"y\":\"z?\"} HTTP/1.1\r\nhost: h:1\r\nOrigin:http://h:1\r\n"
                   "AUTHORIZATION:  Bearer t \r\nSec-Fetch-Site: none\r\n\r\n",
                   &head),
        0);
    assert_view(head.method, "GET");
    assert_view(head.path, "/a/b");
    assert_view(head.query, "x={\"y\":\"z?\"}");
    assert_view(head.host, "h:1");
    assert_view(head.origin, "http://h:1");
    assert_view(head.authorization, "Bearer t");
    assert_view(head.fetch_site, "none");
    assert_true(head.keep_alive);
    assert_int_equal(head.body_len, 0);

    assert_int_equal(parse_head("GET / HTTP/1.0\n\n", &head), 0);
    assert_false(head.keep_alive);
    assert_null(head.host.data);
    assert_null(head.query.data);
    assert_int_equal(parse_head("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n", &head), 0);
    assert_true(head.keep_alive);
    assert_int_equal(
        parse_head("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
                   &head),
        0);
    assert_false(head.keep_alive);
    assert_int_equal(head.body_len, 5);
    assert_int_equal(parse_head("GET http://other:9/x?y HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
    assert_view(head.host, "other:9");
    assert_view(head.path, "/x");
}

static void test_head_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET /\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G{T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.x\r\nHost: a\r\n\r\n",
        "GET / FTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "",
        "\r\n",
    };
    struct gt_http_head head;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse_head(bad[i], &head) != 400)
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(parse_head("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &head), 505);
}

/* ---- routes ---- */

static void test_routes(void **state)
{
    static const struct gt_rest_route routes[] = {
        {"/connectors/stopAll", "", GT_REQUEST_STOP_ALL},
        {"/connectors/:name", "", GT_REQUEST_CREATE},
        {"/connectors/:name/stop", "", GT_REQUEST_STOP},
        {"/getConfigInfo", "", GT_REQUEST_CONFIGS},
    };
    static const struct {
        const char *path;
        bool slash;
        int kind; /* -1: none */
        const char *name;
    } rows[] = {
        {"/connectors/stopAll", false, GT_REQUEST_STOP_ALL, NULL},
        {"/connectors/stopAll/", true, GT_REQUEST_STOP_ALL, NULL},
        {"/connectors/stopAll/", false, -1, NULL},
        {"/connectors/a", false, GT_REQUEST_CREATE, "a"},
        {"/connectors/a%2Fb/stop", false, GT_REQUEST_STOP, "a%2Fb"},
        {"/connectors/a/b/stop", false, -1, NULL},
        {"/connectors/", false, -1, NULL},
        {"/connectors/", true, -1, NULL},
        {"/connectors//stop", false, -1, NULL},
        {"/connectors", false, -1, NULL},
        {"/getconfiginfo", false, -1, NULL},
        {"getConfigInfo", false, -1, NULL},
        {"/getConfigInfo//", true, -1, NULL},
        {"/", true, -1, NULL},
        {"", true, -1, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gantry_view name;
        const struct gt_rest_route *route =
            gt_route_find(routes, 4, gantry_view_of(rows[i].path), rows[i].slash, &name);
        if ((route == NULL ? -1 : (int)route->kind) != rows[i].kind)
            fail_msg("row %zu: %s", i, rows[i].path);
        if (rows[i].name != NULL)
            assert_view(name, rows[i].name);
    }
}

static void test_query(void **state)
{
    struct gantry_view value = {NULL, 0};

    (void)state;
    assert_int_equal(gt_query_find(gantry_view_of("a=1&config=x=y&config=z"), "config", &value), 2);
    assert_view(value, "x=y");
    assert_int_equal(gt_query_find(gantry_view_of("config"), "config", &value), 1);
    assert_int_equal(value.len, 0);
    assert_int_equal(gt_query_find(gantry_view_of("xconfig=1&configx=2&"), "config", &value), 0);
    assert_int_equal(gt_query_find((struct gantry_view){NULL, 0}, "config", &value), 0);
}

static void test_percent(void **state)
{
    struct gt_buf buf;

    (void)state;
    gt_buf_init(&buf, 100);
    assert_int_equal(gt_percent_decode(gantry_view_of("a+%41%e4%00z"), GT_PERCENT_PATH, &buf, NULL),
                     0);
    assert_int_equal(buf.len, 6);
    assert_memory_equal(buf.data, "a+A\xe4\0z", 6);
    gt_buf_clear(&buf);
    assert_int_equal(gt_percent_decode(gantry_view_of("+%2B"), GT_PERCENT_QUERY, &buf, NULL), 0);
    assert_string_equal(gt_buf_cstr(&buf), " +");
    static const char *const bad[] = {"%", "%4", "a%zz", "%4g", "%%41"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gt_buf_clear(&buf);
        assert_int_equal(gt_percent_decode(gantry_view_of(bad[i]), GT_PERCENT_QUERY, &buf, NULL),
                         GANTRY_INVALID);
    }
    gt_buf_clear(&buf);
    assert_int_equal(
        gt_percent_decode(gantry_view_of("%%41"), GT_PERCENT_QUERY_LENIENT, &buf, NULL), 0);
    assert_string_equal(gt_buf_cstr(&buf), "\xef\xbf\xbd"
                                           "A");
    gt_buf_deinit(&buf);
}

/* ---- access ---- */

static int access_of(const struct gt_access *access, const char *fields)
{
    char text[1000];
    struct gt_http_head head;
    const char *why = NULL;

    snprintf(text, sizeof text, "GET / HTTP/1.%d\r\n%s\r\n", *fields == '\0' ? 0 : 1, fields);
    assert_int_equal(gt_http_head_parse(gantry_view_of(text), &head, &why), 0);
    why = NULL;
    int status = gt_access_check(access, &head, &why);
    assert_true(status == 0 || why != NULL);
    return status;
}

static void test_access(void **state)
{
    struct gt_access access;
    struct gt_rest_settings settings = {.address = "127.0.0.1",
                                        .allowed_hosts = "one, Two.example"};
    static const struct {
        const char *fields;
        int status;
    } rows[] = {
        {"", 0}, /* HTTP/1.0 without a Host */
        {"Host: localhost:8081\r\n", 0},
        {"Host: LOCALHOST\r\n", 0},
        {"Host: 127.0.0.1:8081\r\n", 0},
        {"Host: [::1]:8081\r\n", 0},
        {"Host: 10.1.2.3\r\n", 0},
        {"Host: one:99\r\n", 0},
        {"Host: two.example.\r\n", 0},
        {"Host: evil.example\r\n", 403},
        {"Host: localhost.evil.example\r\n", 403},
        {"Host: 127.0.0.1.evil.example\r\n", 403},
        {"Host: [::1\r\n", 403},
        {"Host: \r\n", 403},
        {"Host: localhost:1\r\nOrigin: http://localhost:1\r\n", 0},
        {"Host: localhost:1\r\nOrigin: http://localhost:2\r\n", 403},
        {"Host: localhost:1\r\nOrigin: https://localhost:1\r\n", 403},
        {"Host: localhost:1\r\nOrigin: null\r\n", 403},
        {"Host: localhost:1\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"Host: localhost:1\r\nSec-Fetch-Site: same-site\r\n", 403},
        {"Host: localhost:1\r\nSec-Fetch-Site: same-origin\r\n", 0},
        {"Host: localhost:1\r\nSec-Fetch-Site: none\r\n", 0},
    };

    (void)state;
    assert_int_equal(gt_access_init(&access, &settings, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (access_of(&access, rows[i].fields) != rows[i].status)
            fail_msg("row %zu: %s", i, rows[i].fields);
    }
    gt_access_deinit(&access);

    settings.token = "sesame";
    assert_int_equal(gt_access_init(&access, &settings, NULL), 0);
    assert_int_equal(access_of(&access, "Host: localhost\r\n"), 401);
    assert_int_equal(access_of(&access, "Host: x.example\r\nAuthorization: Bearer sesame\r\n"), 0);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: bearer sesame\r\n"), 0);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: Bearer sesam\r\n"), 401);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: Bearer sesamee\r\n"),
                     401);
    assert_int_equal(
        access_of(&access, "Host: localhost\r\nAuthorization: Bearer sesamesesame\r\n"), 401);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: Bearer \r\n"), 401);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: Basic sesame\r\n"), 401);
    assert_int_equal(access_of(&access, "Host: localhost\r\nAuthorization: Bearer sesame\r\n"
                                        "Sec-Fetch-Site: cross-site\r\n"),
                     403);
    gt_access_deinit(&access);
}

static void test_access_beyond_loopback(void **state)
{
    struct gt_access access;
    struct gantry_err err = {0};
    struct gt_rest_settings settings = {.address = "0.0.0.0"};
    bool loopback = false;

    (void)state;
    assert_int_equal(gt_access_init(&access, &settings, &err), GANTRY_DENIED);
    assert_non_null(strstr(err.text, "rest.token"));
    settings.token = "";
    assert_int_equal(gt_access_init(&access, &settings, &err), GANTRY_DENIED);
    settings.insecure = true;
    assert_int_equal(gt_access_init(&access, &settings, &err), 0);
    gt_access_deinit(&access);
    settings.address = "localhost";
    assert_int_equal(gt_access_init(&access, &settings, &err), GANTRY_INVALID);
    assert_int_equal(gt_access_loopback("127.9.9.9", &loopback, NULL), 0);
    assert_true(loopback);
    assert_int_equal(gt_access_loopback("::ffff:127.0.0.1", &loopback, NULL), 0);
    assert_true(loopback);
    assert_int_equal(gt_access_loopback("::1", &loopback, NULL), 0);
    assert_true(loopback);
    assert_int_equal(gt_access_loopback("::", &loopback, NULL), 0);
    assert_false(loopback);
}

/* ---- names ---- */

static void test_names(void **state)
{
    char longest[257];

    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    assert_int_equal(gt_connector_name_check(longest, NULL), GANTRY_INVALID);
    longest[255] = '\0';
    assert_int_equal(gt_connector_name_check(longest, NULL), 0);
    static const char *const good[] = {"a", "a b", "a.b_c-1:2", "\xe8\xbf\x9e\xe6\x8e\xa5",
                                       "stopall"};
    static const char *const bad[] = {"",     "stopAll",  "a/b",  "a\nb",
                                      "\x7f", "\xc2\x85", "\xff", "a\x01"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(gt_connector_name_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gantry_err err = {0};
        assert_int_equal(gt_connector_name_check(bad[i], &err), GANTRY_INVALID);
        assert_non_null(strstr(err.text, "connector name"));
    }
}

/* ---- Java's order ---- */

static void assert_order(enum gt_java_map map, const char *const *given, size_t count,
                         const char *const *expected)
{
    size_t order[32];

    assert_true(count <= 32);
    assert_int_equal(gt_java_order(map, given, count, order), 0);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(given[order[i]], expected[i]);
}

static void test_java_order(void **state)
{
    /* as captured: the files d25, d26 and e08 of the golden captures */
    static const char *const given[] = {
        "connector-class",
        "topic",
        "filename",
        "source-record-converter",
        "n",
        "f",
        "b",
        "o",
        "l",
        "big",
        "e",
        "task-class",
        "update-timestamp",
    };
    static const char *const captured[] = {
        "big",
        "b",
        "e",
        "f",
        "l",
        "n",
        "update-timestamp",
        "o",
        "source-record-converter",
        "filename",
        "task-class",
        "topic",
        "connector-class",
    };
    static const char *const names[] = {"connector-dup",  "connector-esc",
                                        "connector-sink", "connector-source",
                                        "connector-uts",  "\xe8\xbf\x9e\xe6\x8e\xa5"};
    static const char *const captured_names[] = {"connector-sink", "connector-source",
                                                 "connector-esc",  "\xe8\xbf\x9e\xe6\x8e\xa5",
                                                 "connector-uts",  "connector-dup"};
    /* 12 entries double a ConcurrentHashMap, but not a HashMap: "0" is 0x30, "a" 0x61 */
    static const char *const twelve[] = {"a", "b", "c", "d", "e", "f",
                                         "g", "h", "i", "j", "k", "0"};
    static const char *const in_16_of_12[] = {"0", "a", "b", "c", "d", "e",
                                              "f", "g", "h", "i", "j", "k"};
    static const char *const in_32[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "0"};
    static const char *const keys_16[] = {"q", "a", "p"}; /* 0x71, 0x61, 0x70 */
    static const char *const in_16[] = {"p", "q", "a"};

    (void)state;
    assert_order(GT_JAVA_CONCURRENT_MAP, given, 13, captured);
    assert_order(GT_JAVA_HASH_MAP, names, 6, captured_names);
    assert_order(GT_JAVA_CONCURRENT_MAP, twelve, 12, in_32);
    assert_order(GT_JAVA_HASH_MAP, twelve, 12, in_16_of_12);
    assert_order(GT_JAVA_HASH_MAP, keys_16, 3, in_16);
    assert_int_equal(gt_java_order(GT_JAVA_HASH_MAP, NULL, 0, NULL), 0);
    assert_int_equal(gt_java_hash("connector-class"), (uint32_t)-891124744);
    assert_int_equal(gt_java_hash(""), 0);
    assert_int_equal(gt_java_hash("\xf0\x9f\x98\x80"), 0xd83du * 31 + 0xde00u);
    assert_int_equal(gt_java_hash("\xff"), 0xfffd);
    assert_int_equal(gt_java_hash("\xe8\xbf"), 0xfffdu * 31 + 0xfffdu);
}

/* ---- lenient JSON ---- */

static void test_lenient(void **state)
{
    static const struct {
        const char *text, *key, *value;
    } rows[] = {
        {"{\"a\":\"b\"}", "a", "b"},
        {"{'a':'b',}", "a", "b"},
        {" {a:\"b\"} ", "a", "b"},
        {"{,,a:1,,}", "a", "1"},
        {"/* x */{a /*y*/ : // z\n 1}//", "a", "1"},
        {"{5:true,-7:false}", "-7", "false"},
        {"{a:1,a:2}", "a", "2"},
        {"{a:'x\\'\\\"\\u00e9\\x41\\v\\/'}", "a",
         "x'\"\xc3\xa9"
         "A\v/"},
        {"{a:'\\ud83d\\ude00\\ud83d'}", "a", "\xf0\x9f\x98\x80?"},
        {"{a:'line\nbreak'}", "a", "line\nbreak"},
        {"{a:'\xff'}", "a", "\xef\xbf\xbd"},
        {"{'':''}", "", ""},
        {"{a:1.50}", "a", "1.50"},
        {"{a:12345678901234567890}", "a", "12345678901234567890"},
        {"{a:007}", "a", "7"},
        {"{a:-0}", "a", "0"},
        {"{a:-5}", "a", "-5"},
        {"{a:5L}", "a", "5"},
        {"{a:1e3}", "a", "1E+3"},
        {"{a:1.5E-3}", "a", "0.0015"},
        {"{a:1.5E-9}", "a", "1.5E-9"},
        {"{a:0.0}", "a", "0.0"},
        {"{a:12.5e1}", "a", "125"},
        {"{a:[1,'x',null,[],{}]}", "a", "[1,\"x\",null,[],{}]"},
        {"{a:{'b':[1,2,{k:'v'}],n:null,t:true}}", "a", "{\"b\":[1,2,{\"k\":\"v\"}],\"t\":true}"},
        {"{a:{topic:1,filename:2}}", "a", "{\"filename\":2,\"topic\":1}"},
    };
    static const char *const bad[] = {
        "",
        " ",
        "null",
        "[1,2]",
        "\"x\"",
        "5",
        "{bad json",
        "{\"a\":\"b\"",
        "{a:null}",
        "{a:undefined}",
        "{a}",
        "{a:}",
        "{:1}",
        "{a:1 b:2}",
        "{a:'x}",
        "{a:'\\q'}",
        "{a:'\\u12'}",
        "{a:[1 2]}",
        "{a:[1,2}",
        "{a:1}x",
        "{a:1}{}",
        "{a:nope}",
        "{a:'\\u0000'}",
        "{a:1e}",
        "{a:-}",
        "{a:.5}",
        "/*",
        "{a:1e999999999}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gt_props props;
        struct gantry_err err = {0};
        gt_props_init(&props);
        if (gt_lenient_json_parse(&props, gantry_view_of(rows[i].text), &err) != 0)
            fail_msg("%s: %s", rows[i].text, err.text);
        const char *value = gt_props_get(&props, rows[i].key);
        assert_non_null(value);
        assert_string_equal(value, rows[i].value);
        gt_props_deinit(&props);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gt_props props;
        struct gantry_err err = {0};
        gt_props_init(&props);
        if (gt_lenient_json_parse(&props, gantry_view_of(bad[i]), &err) != GANTRY_INVALID)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "config"));
        gt_props_deinit(&props);
    }
}

static void test_lenient_depth(void **state)
{
    char text[200] = "{a:";
    struct gt_props props;

    (void)state;
    for (int i = 0; i < 33; i++)
        strcat(text, "[");
    gt_props_init(&props);
    assert_int_equal(gt_lenient_json_parse(&props, gantry_view_of(text), NULL), GANTRY_INVALID);
    gt_props_deinit(&props);
}

/* ---- a listener ---- */

/* The service: answers on its own thread, but for the connector `held`, which waits for
 * release_held(). */
static struct {
    pthread_t thread;
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    struct gt_mail stop_mail, release_mail;
    struct gt_request *held[400];
    size_t held_count;
    int created;
} service;

static void fill_connector(struct gt_request *request, const char *name)
{
    struct gt_connector_view *view = calloc(1, sizeof *view);

    assert_non_null(view);
    request->connectors = view;
    request->connector_count = 1;
    view->name = strdup(name);
    gt_props_init(&view->config);
    assert_int_equal(gt_props_set(&view->config, "topic", "t"), 0);
    assert_int_equal(gt_props_set(&view->config, "filename", "/a\"b"), 0);
    view->task_count = 1;
    view->tasks = calloc(1, sizeof *view->tasks);
    assert_non_null(view->tasks);
    gt_props_init(&view->tasks[0].config);
    assert_int_equal(gt_props_copy(&view->tasks[0].config, &view->config), 0);
    assert_int_equal(gt_props_set(&view->tasks[0].config, "task-class", "T"), 0);
}

static void answer_create(struct gt_request *request)
{
    const char *class = gt_props_get(&request->config, "connector-class");

    service.created++;
    if (class == NULL) {
        request->outcome = GT_CREATE_MISSING_KEY;
        request->missing_key = strdup("connector-class");
        gantry_err_set(&request->err, GANTRY_INVALID, "key 'connector-class' is missing");
    } else if (strcmp(class, "same") == 0) {
        request->outcome = GT_CREATE_SAME;
    } else if (strcmp(class, "bad") == 0) {
        request->outcome = GT_CREATE_UNKNOWN_CLASS;
        gantry_err_set(&request->err, GANTRY_NOT_FOUND, "no class caf\xc3\xa9 100%%\n2");
    } else {
        request->outcome = GT_CREATE_OK;
        assert_null(gt_props_get(&request->config, "update-timestamp"));
    }
}

static void answer(struct gt_request *request)
{
    switch (request->kind) {
    case GT_REQUEST_CREATE:
        answer_create(request);
        break;
    case GT_REQUEST_STATUS:
        request->running = strcmp(request->name, "a") == 0 || strcmp(request->name, "held") == 0;
        break;
    case GT_REQUEST_CONFIG:
        if (strcmp(request->name, "a") == 0)
            fill_connector(request, "a");
        break;
    case GT_REQUEST_CONFIGS:
    case GT_REQUEST_ALLOCATED:
        fill_connector(request, "a\"");
        break;
    case GT_REQUEST_CLUSTER:
        request->members = calloc(2, sizeof *request->members);
        assert_non_null(request->members);
        request->members[0] = strdup("10.0.0.1@1");
        request->members[1] = strdup("10.0.0.2@2");
        request->member_count = 2;
        break;
    case GT_REQUEST_STOP:
        if (strcmp(request->name, "broken") == 0)
            gantry_err_set(&request->err, GANTRY_IO, "store: input or output failed");
        break;
    case GT_REQUEST_STOP_ALL:
    case GT_REQUEST_RELOAD:
        break;
    }
    request->done(request);
}

static void on_request(struct gt_mail *mail)
{
    struct gt_request *request =
        (struct gt_request *)((char *)mail - offsetof(struct gt_request, mail));

    if (request->name != NULL && strcmp(request->name, "held") == 0) {
        assert_true(service.held_count < 400);
        service.held[service.held_count++] = request;
        return;
    }
    answer(request);
}

void gt_worker_submit(struct gt_worker *worker, struct gt_request *request)
{
    assert_ptr_equal(worker, &service);
    request->mail.run = on_request;
    gt_mailbox_send(&service.mailbox, &request->mail);
}

static void on_release(struct gt_mail *mail)
{
    (void)mail;
    for (size_t i = 0; i < service.held_count; i++)
        answer(service.held[i]);
    service.held_count = 0;
}

static void on_service_stop(struct gt_mail *mail)
{
    (void)mail;
    gt_mailbox_close(&service.mailbox, NULL);
}

static void *run_service(void *arg)
{
    (void)arg;
    uv_run(&service.loop, UV_RUN_DEFAULT);
    return NULL;
}

static void start_service(void)
{
    memset(&service, 0, sizeof service);
    service.release_mail.run = on_release;
    service.stop_mail.run = on_service_stop;
    assert_int_equal(uv_loop_init(&service.loop), 0);
    assert_int_equal(gt_mailbox_init(&service.mailbox, &service.loop), 0);
    assert_int_equal(pthread_create(&service.thread, NULL, run_service, NULL), 0);
}

static void stop_service(void)
{
    gt_mailbox_send(&service.mailbox, &service.stop_mail);
    pthread_join(service.thread, NULL);
    assert_int_equal(uv_loop_close(&service.loop), 0);
}

static struct gt_rest *start_rest(struct gt_rest_settings settings)
{
    struct gt_rest *rest = NULL;
    struct gantry_err err = {0};

    if (settings.address == NULL)
        settings.address = "127.0.0.1";
    start_service();
    if (gt_rest_start(&settings, (struct gt_worker *)&service, &rest, &err) != 0)
        fail_msg("%s", err.text);
    return rest;
}

static void stop_rest(struct gt_rest *rest)
{
    gt_rest_stop(rest);
    stop_service();
}

static int connect_to(const struct gt_rest *rest)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)gt_rest_port(rest))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_bytes(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* refused half-way: the reply says why */
        assert_true(sent > 0);
        data += sent;
        len -= (size_t)sent;
    }
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

/* Read one reply; false at the end of the connection. */
struct reply {
    char head[4096];
    char *body;
    size_t body_len;
    int status;
};

static bool wait_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 10000) == 1;
}

static bool read_reply(int fd, struct reply *reply, bool head_only)
{
    size_t len = 0;

    memset(reply, 0, sizeof *reply);
    while (len < 4 || memcmp(reply->head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len < sizeof reply->head - 1);
        if (!wait_readable(fd))
            fail_msg("no reply in 10 s, so far: %s", reply->head);
        ssize_t got = recv(fd, reply->head + len, 1, 0);
        if (got <= 0)
            return false;
        len++;
    }
    reply->status = (int)strtol(reply->head + 9, NULL, 10);
    const char *field = strstr(reply->head, "\r\nContent-Length: ");
    assert_non_null(field);
    size_t body_len = head_only ? 0 : strtoul(field + 18, NULL, 10);
    reply->body = calloc(1, body_len + 1);
    assert_non_null(reply->body);
    while (reply->body_len < body_len) {
        assert_true(wait_readable(fd));
        ssize_t got = recv(fd, reply->body + reply->body_len, body_len - reply->body_len, 0);
        assert_true(got > 0);
        reply->body_len += (size_t)got;
    }
    return true;
}

static void assert_closed(int fd)
{
    char byte;

    assert_true(wait_readable(fd));
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void expect(int fd, const char *request, int status, const char *body)
{
    struct reply reply;

    send_text(fd, request);
    if (!read_reply(fd, &reply, strncmp(request, "HEAD", 4) == 0))
        fail_msg("closed: %s", request);
    if (reply.status != status || strcmp(reply.body, body) != 0)
        fail_msg("%s\n%s%s\nexpected %d %s", request, reply.head, reply.body, status, body);
    free(reply.body);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_manual(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int fd = connect_to(rest);

    (void)state;
    expect(fd, GET("/connectors/a?config=%7B%22connector-class%22:%22ok%22%7D"), 200, "success");
    expect(fd, GET("/connectors/a?config={\"connector-class\":\"ok\",\"update-timestamp\":\"5\"}"),
           200, "success");
    expect(fd, GET("/connectors/a?config={\"connector-class\":\"same\"}"), 200,
           "Connector with same config already exist.");
    expect(fd, GET("/connectors/a?config={}"), 200, "fail");
    expect(fd, GET("/connectors/a/stop"), 200, "success");
    expect(fd, GET("/connectors/broken/stop"), 200, "fail");
    expect(fd, GET("/connectors/stopAll"), 200, "success");
    expect(fd, GET("/connectors/a/status"), 200, "runing");
    expect(fd, GET("/connectors/b/status"), 200, "not runing");
    expect(fd, GET("/connectors/%00/status"), 200, "not runing");
    expect(fd, GET("/connectors/a/config"), 200,
           "ConnectorConfigs:{\"properties\":{\"topic\":\"t\",\"filename\":\"/a\\\"b\"}}\n"
           "TaskConfigs:[{\"properties\":{\"topic\":\"t\",\"filename\":\"/"
           "a\\\"b\",\"task-class\":\"T\"}}]");
    expect(fd, GET("/connectors/b/config"), 200, "ConnectorConfigs:null\nTaskConfigs:null");
    expect(
        fd, GET("/getConfigInfo"), 200,
        "ConnectorConfigs:{\"a\\\"\":{\"properties\":{\"topic\":\"t\",\"filename\":\"/a\\\"b\"}}}\n"
        "TaskConfigs:{\"a\\\"\":[{\"properties\":{\"topic\":\"t\",\"filename\":\"/"
        "a\\\"b\",\"task-class\":"
        "\"T\"}}]}");
    expect(fd, GET("/getClusterInfo"), 200, "[\"10.0.0.1@1\",\"10.0.0.2@2\"]");
    expect(
        fd, GET("/getAllocatedInfo"), 200,
        "working "
        "connectors:{\"a\\\"\":{\"properties\":{\"topic\":\"t\",\"filename\":\"/a\\\"b\"}}}\n"
        "working "
        "tasks:[{\"connector\":\"a\\\"\",\"properties\":{\"topic\":\"t\",\"filename\":\"/a\\\"b\","
        "\"task-class\":\"T\"}}]");
    expect(fd, GET("/plugin/reload"), 200, "success");
    close(fd);
    stop_rest(rest);
}

static void expect_fail(int fd, const char *request, const char *error)
{
    struct reply reply;
    char field[2000];

    send_text(fd, request);
    assert_true(read_reply(fd, &reply, false));
    snprintf(field, sizeof field, "\r\nX-Gantry-Error: %s", error);
    if (reply.status != 200 || strcmp(reply.body, "fail") != 0 || strstr(reply.head, field) == NULL)
        fail_msg("%s\n%s%s\nexpected %s", request, reply.head, reply.body, error);
    free(reply.body);
}

static void test_manual_refusals(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int fd = connect_to(rest);
    struct reply reply;

    (void)state;
    expect_fail(fd, GET("/connectors/a?config={\"connector-class\":\"bad\"}"),
                "no class caf%C3%A9 100%25%0A2\r\n");
    expect_fail(fd, GET("/connectors/a"), "parameter 'config' is missing");
    expect_fail(fd, GET("/connectors/a?config="), "");
    expect_fail(fd, GET("/connectors/a?config={'a':'b'}"), "");
    expect_fail(fd, GET("/connectors/a?config=%7"), "parameter 'config': '%25' at byte 1");
    expect_fail(fd, GET("/connectors/a?config={}&config={}"),
                "parameter 'config' is given 2 times");
    expect_fail(fd, GET("/connectors/a?config={\"config-deleted\":\"1\"}"), "key 'config-deleted'");
    expect_fail(fd, GET("/connectors/stopAll?config={}"), "connector name 'stopAll'");
    expect_fail(fd, GET("/connectors/%73topAll?config={}"), "connector name 'stopAll'");
    expect_fail(fd, GET("/connectors/?config={}"), "connector name: empty");
    expect_fail(fd, GET("/connectors/a%2Fb?config={}"), "connector name 'a/b'");
    expect_fail(fd, GET("/connectors/a%00?config={}"), "connector name: has a control");
    expect_fail(fd, GET("/connectors/%ff?config={}"), "connector name: its bytes are not UTF-8");
    assert_int_equal(service.created, 1);

    send_text(fd, GET("/nope"));
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 404);
    assert_non_null(strstr(reply.body, "/connectors/NAME?config=JSON"));
    assert_non_null(strstr(reply.body, "/plugin/reload"));
    free(reply.body);
    send_text(
        fd,
        "POST /connectors/stopAll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 405);
    assert_non_null(strstr(reply.head, "\r\nAllow: GET\r\n"));
    free(reply.body);
    send_text(fd, "HEAD /connectors/stopAll HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_true(read_reply(fd, &reply, true));
    assert_int_equal(reply.status, 405);
    free(reply.body);
    expect(fd, GET("/connectors/a/status"), 200, "runing"); /* the connection is still good */
    expect(fd, GET("/connectors/a%zz/status"), 400,
           "'%' at byte 2 is not followed by two hexadecimal digits; write %25 for a percent sign");
    send_text(fd, "nonsense\r\n\r\n");
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(reply.head, "\r\nConnection: close\r\n"));
    free(reply.body);
    assert_closed(fd);
    stop_rest(rest);
}

/* The header fields are those of the captures, in their order. */
static void assert_head(int fd, const char *request, const char *before_date,
                        const char *after_date)
{
    struct reply reply;

    send_text(fd, request);
    assert_true(read_reply(fd, &reply, false));
    assert_memory_equal(reply.head, before_date, strlen(before_date));
    const char *date = strstr(reply.head, "\r\nDate: ");
    const char *rest = reply.head;
    if (date != NULL) {
        assert_ptr_equal(date, reply.head + strlen(before_date));
        rest = strstr(date + 2, "\r\n");
        assert_non_null(rest);
        assert_int_equal(rest - date, 37); /* CR LF and "Date: Sun, 22 Nov 2026 12:48:58 GMT" */
    }
    assert_string_equal(date != NULL ? rest : reply.head + strlen(before_date), after_date);
    free(reply.body);
}

static void test_2019(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_CODE_2019});
    int fd = connect_to(rest);

    (void)state;
    assert_head(fd, GET("/connectors/a/status"), "HTTP/1.1 200 OK",
                "\r\nServer: Javalin\r\nContent-Type: text/plain;charset=utf-8\r\nContent-Length: "
                "7\r\n\r\n");
    expect(fd, GET("/connectors/a/status"), 200, "running");
    expect(fd, GET("/connectors/b/status/"), 200, "not running");
    expect(fd, GET("/connectors/a"), 200, "failed! query param 'config' is required ");
    assert_head(fd, GET("/connectors/a?config="), "HTTP/1.1 500 Server Error",
                "\r\nServer: Javalin\r\nContent-Type: text/plain;charset=utf-8\r\nContent-Length: "
                "21\r\n\r\n");
    expect(fd, GET("/connectors/a?config=null"), 500, "Internal server error");
    expect(fd, GET("/connectors/a?config={}"), 200, "Request config key: source-record-converter");
    expect(fd, GET("/connectors/a?config={'source-record-converter':''}"), 200,
           "Request config key: connector-class");
    expect(fd, GET("/connectors/a?config={'source-record-converter':'','connector-class':'same',}"),
           200, "Connector with same config already exist.");
    expect(fd, GET("/connectors/a?config={'source-record-converter':'','connector-class':'bad'}"),
           200, "failed");
    int created = service.created;
    expect(fd,
           GET("/connectors/a?config={'source-record-converter':'','connector-class':'x','config-"
               "deleted':'1'}"),
           200, "success");
    expect(fd, GET("/connectors/a%2Fb?config={'source-record-converter':'','connector-class':'x'}"),
           200, "failed");
    assert_int_equal(service.created, created);
    expect(fd,
           GET("/connectors/a?config={'source-record-converter':'','connector-class':'x'}&config="),
           200, "success");
    expect(fd, GET("/connectors/a/config"), 200,
           "ConnectorConfigs:{\"properties\":{\"filename\":\"/a\\\"b\",\"topic\":\"t\"}}\n"
           "TaskConfigs:[{\"properties\":{\"filename\":\"/"
           "a\\\"b\",\"task-class\":\"T\",\"topic\":\"t\"}}]");
    expect(fd, GET("/getAllocatedInfo"), 200,
           "working connectors:\nconnectorName:a\"\n"
           "Configs:{\"properties\":{\"filename\":\"/a\\\"b\",\"topic\":\"t\"}}\nworking tasks:\n"
           "connectorName:a\"\n"
           "Configs:{\"properties\":{\"filename\":\"/"
           "a\\\"b\",\"task-class\":\"T\",\"topic\":\"t\"}}\n");
    expect(fd, GET("/connectors/broken/stop"), 200, "failed");
    expect(fd, "POST /getClusterInfo HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "Not found");
    expect(fd, "HEAD /getClusterInfo HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, "");
    expect(fd, "HEAD /nope HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "");
    assert_head(fd, GET("/connectors/a%zz/status"), "HTTP/1.1 400 Bad Request",
                "\r\nContent-Type: text/html;charset=iso-8859-1\r\nContent-Length: 54\r\n"
                "Connection: close\r\nServer: Jetty(9.4.8.v20171121)\r\n\r\n");
    assert_closed(fd);
    stop_rest(rest);
}

/* A request line of @p len bytes, its end included. */
static char *long_request(size_t len)
{
    static const char tail[] = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char *text = malloc(len + sizeof tail);

    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text, "GET /getClusterInfo?", 20);
    memcpy(text + len - 11, tail, sizeof tail);
    return text;
}

static void test_long_urls(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    struct reply reply;
    char *request = long_request((1 << 20) + 15); /* a target of 1 MiB */
    int fd = connect_to(rest);

    (void)state;
    expect(fd, request, 200, "[\"10.0.0.1@1\",\"10.0.0.2@2\"]");
    expect(fd, request, 200, "[\"10.0.0.1@1\",\"10.0.0.2@2\"]");
    free(request);
    request = long_request((1 << 20) + 16);
    expect(fd, request, 414, "The URL is too long: at most 1048576 bytes are taken.");
    free(request);
    request = long_request(3 << 20); /* refused while it is still being sent */
    send_text(fd, request);
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 414);
    free(reply.body);
    free(request);
    shutdown(fd, SHUT_WR);
    assert_closed(fd);
    stop_rest(rest);

    rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_CODE_2019});
    fd = connect_to(rest);
    request = long_request(8192);
    expect(fd, request, 200, "[\"10.0.0.1@1\",\"10.0.0.2@2\"]");
    free(request);
    request = long_request(8193);
    assert_head(
        fd, request, "HTTP/1.1 414 URI Too Long",
        "\r\nContent-Type: text/html;charset=iso-8859-1\r\nContent-Length: 55\r\nConnection: "
        "close\r\nServer: Jetty(9.4.8.v20171121)\r\n\r\n");
    free(request);
    shutdown(fd, SHUT_WR);
    assert_closed(fd);
    stop_rest(rest);
}

static void test_large_header(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int fd = connect_to(rest);
    struct reply reply;
    char fields[17000];

    (void)state;
    memset(fields, 'x', sizeof fields);
    send_text(fd, "GET /getClusterInfo HTTP/1.1\r\nHost: localhost\r\nX: ");
    send_bytes(fd, fields, sizeof fields);
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 431);
    free(reply.body);
    shutdown(fd, SHUT_WR);
    assert_closed(fd);
    stop_rest(rest);
}

static void test_pieces_and_pipelines(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int fd = connect_to(rest);
    struct reply reply;
    const char *request = "\r\nGET /connectors/a/status HTTP/1.1\r\nHost: localhost\r\n\r\n";

    (void)state;
    for (const char *p = request; *p != '\0'; p++) {
        send_bytes(fd, p, 1);
        if ((p - request) % 16 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_true(read_reply(fd, &reply, false));
    assert_string_equal(reply.body, "runing");
    free(reply.body);
    /* many at once, one with a body, one answered without the worker, then the end of what the
     * client says */
    send_text(fd, GET("/connectors/a/status") GET("/connectors/b/status")
                      GET("/nope") "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                                   "3\r\n\r\nGET" GET("/connectors/a/status"));
    static const char *const bodies[] = {"runing", "not runing", NULL, NULL, "runing"};
    for (size_t i = 0; i < 5; i++) {
        assert_true(read_reply(fd, &reply, false));
        if (bodies[i] != NULL)
            assert_string_equal(reply.body, bodies[i]);
        else
            assert_int_equal(reply.status, 404);
        free(reply.body);
    }
    send_text(fd, GET("/connectors/a/status") GET("/connectors/a/status"));
    shutdown(fd, SHUT_WR);
    for (size_t i = 0; i < 2; i++) {
        assert_true(read_reply(fd, &reply, false));
        assert_string_equal(reply.body, "runing");
        free(reply.body);
    }
    assert_closed(fd);
    fd = connect_to(rest);
    send_text(fd, "GET /connectors/a/status HTTP/1.0\r\n\r\n");
    assert_true(read_reply(fd, &reply, false));
    assert_non_null(strstr(reply.head, "\r\nConnection: close\r\n"));
    free(reply.body);
    assert_closed(fd);
    stop_rest(rest);
}

/* More connections than allowed: those that have waited longest go, a new one is always served. */
static void test_connection_limit(void **state)
{
    struct gt_rest *rest =
        start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL, .max_connections = 4});
    int lazy[8];

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        lazy[i] = connect_to(rest);
        send_text(lazy[i], "GET /connectors/a/st");
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    for (size_t i = 0; i < 3; i++) {
        int fd = connect_to(rest);
        expect(fd, GET("/connectors/a/status"), 200, "runing");
        close(fd);
    }
    assert_closed(lazy[0]);
    for (size_t i = 1; i < 8; i++)
        close(lazy[i]);
    stop_rest(rest);
}

static void release_held(void)
{
    gt_mailbox_send(&service.mailbox, &service.release_mail);
}

/* All connections have a request at the worker: a further one is told so. */
static void test_all_busy(void **state)
{
    struct gt_rest *rest =
        start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL, .max_connections = 2});
    int held[2];
    struct reply reply;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        held[i] = connect_to(rest);
        send_text(held[i], GET("/connectors/held/status"));
    }
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    int fd = connect_to(rest);
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 503);
    free(reply.body);
    close(fd);
    release_held();
    for (size_t i = 0; i < 2; i++) {
        assert_true(read_reply(held[i], &reply, false));
        assert_string_equal(reply.body, "runing");
        free(reply.body);
        close(held[i]);
    }
    stop_rest(rest);
}

static void test_idle_timeout(void **state)
{
    struct gt_rest *rest =
        start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL, .idle_timeout_s = 1});
    int silent = connect_to(rest), trickling = connect_to(rest), used = connect_to(rest);

    (void)state;
    expect(used, GET("/connectors/a/status"), 200, "runing");
    for (int i = 0; i < 30; i++) { /* a byte now and then does not keep it */
        if (send(trickling, "G", 1, MSG_NOSIGNAL) < 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    assert_closed(trickling);
    assert_closed(silent);
    assert_closed(used);
    stop_rest(rest);
}

/* Unfinished requests of all clients together are bounded; who came last is served. */
static void test_memory_bound(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int greedy[40];
    size_t alive = 0;
    char *part = long_request(1 << 20);

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        greedy[i] = connect_to(rest);
        send_bytes(greedy[i], part, 1000000);
    }
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    int fd = connect_to(rest);
    char *request = long_request(1 << 20);
    expect(fd, request, 200, "[\"10.0.0.1@1\",\"10.0.0.2@2\"]");
    for (size_t i = 0; i < 40; i++) {
        char byte;
        if (recv(greedy[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
            alive++;
        close(greedy[i]);
    }
    assert_true(alive > 0);
    assert_true(alive <= 16); /* 16 MiB of 1 MiB each */
    close(fd);
    free(part);
    free(request);
    stop_rest(rest);
}

/* A client that goes while the worker has its request, and a stop meanwhile. */
static void test_stop_with_request(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    int gone = connect_to(rest), waiting = connect_to(rest);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct reply reply;

    (void)state;
    send_text(gone, GET("/connectors/held/status"));
    send_text(waiting, GET("/connectors/held/status"));
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    setsockopt(gone, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(gone);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    release_held();
    stop_rest(rest);
    assert_true(read_reply(waiting, &reply, false));
    assert_string_equal(reply.body, "runing");
    free(reply.body);
    assert_closed(waiting);
}

static void test_start_errors(void **state)
{
    struct gt_rest *rest = start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL});
    struct gt_rest *second = NULL;
    struct gantry_err err = {0};
    struct gt_rest_settings settings = {.address = "127.0.0.1", .port = gt_rest_port(rest)};
    enum gt_rest_dialect dialect;

    (void)state;
    assert_int_equal(gt_rest_start(&settings, (struct gt_worker *)&service, &second, &err),
                     GANTRY_BUSY);
    assert_non_null(strstr(err.text, "httpPort"));
    settings.address = "nowhere";
    assert_int_equal(gt_rest_start(&settings, (struct gt_worker *)&service, &second, &err),
                     GANTRY_INVALID);
    settings.address = "192.0.2.1";
    settings.insecure = true;
    assert_int_equal(gt_rest_start(&settings, (struct gt_worker *)&service, &second, &err),
                     GANTRY_INVALID);
    settings.insecure = false;
    assert_int_equal(gt_rest_start(&settings, (struct gt_worker *)&service, &second, &err),
                     GANTRY_DENIED);
    assert_null(second);
    assert_int_equal(gt_rest_dialect_parse("code-2019", &dialect, &err), 0);
    assert_int_equal(dialect, GT_REST_CODE_2019);
    assert_int_equal(gt_rest_dialect_parse("kafka", &dialect, &err), GANTRY_INVALID);
    assert_non_null(strstr(err.text, "manual"));
    gt_rest_stop(NULL);
    stop_rest(rest);
}

static void test_token_over_http(void **state)
{
    struct gt_rest *rest =
        start_rest((struct gt_rest_settings){.dialect = GT_REST_MANUAL, .token = "sesame"});
    int fd = connect_to(rest);
    struct reply reply;

    (void)state;
    send_text(fd, GET("/connectors/stopAll"));
    assert_true(read_reply(fd, &reply, false));
    assert_int_equal(reply.status, 401);
    assert_non_null(strstr(reply.head, "\r\nWWW-Authenticate: Bearer\r\n"));
    free(reply.body);
    expect(fd,
           "GET /connectors/a/status HTTP/1.1\r\nHost: any.example\r\nAuthorization: Bearer "
           "sesame\r\n\r\n",
           200, "runing");
    close(fd);
    stop_rest(rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_head_refused),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_access_beyond_loopback),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_java_order),
        cmocka_unit_test(test_lenient),
        cmocka_unit_test(test_lenient_depth),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_manual_refusals),
        cmocka_unit_test(test_2019),
        cmocka_unit_test(test_long_urls),
        cmocka_unit_test(test_large_header),
        cmocka_unit_test(test_pieces_and_pipelines),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_all_busy),
        cmocka_unit_test(test_idle_timeout),
        cmocka_unit_test(test_memory_bound),
        cmocka_unit_test(test_stop_with_request),
        cmocka_unit_test(test_start_errors),
        cmocka_unit_test(test_token_over_http),
    };

    gt_log_set_level(GANTRY_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
