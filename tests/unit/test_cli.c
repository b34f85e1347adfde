/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: options, tables, the HTTP client, and what gantry says when it is called
 * wrongly. */
#include "cli/http_get.h"
#include "cli/options.h"
#include "cli/text_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- options --- */

struct parsed {
    bool flag;
    const char *text;
    int64_t number;
    const char *operands[2];
    struct gt_props settings;
    struct gt_options options;
    struct gantry_err err;
};

/* Parse the words up to NULL; @p with_settings: KEY=VALUE is taken. */
static int parse(struct parsed *p, bool with_settings, const char *const *words)
{
    const struct gt_option table[] = {{.name = "--exit", .flag = &p->flag},
                                      {.name = "--in", .text = &p->text},
                                      {.name = "-c", .text = &p->text},
                                      {.name = "--count", .number = &p->number}};
    char *argv[16];
    int argc = 0;

    while (words[argc] != NULL) {
        argv[argc] = strdup(words[argc]);
        assert_non_null(argv[argc]);
        argc++;
    }
    *p = (struct parsed){.number = -1};
    gt_props_init(&p->settings);
    p->options = (struct gt_options){.table = table,
                                     .count = 4,
                                     .operands = p->operands,
                                     .operands_min = with_settings ? 0 : 1,
                                     .operands_max = with_settings ? 0 : 2,
                                     .operands_name = "the TOPIC",
                                     .settings = with_settings ? &p->settings : NULL};
    int rc = gt_options_parse(&p->options, argc, argv, &p->err);
    /* texts point into argv: keep what the tests look at */
    p->text = p->text != NULL ? strdup(p->text) : NULL;
    for (size_t i = 0; i < p->options.operand_count; i++)
        p->operands[i] = strdup(p->operands[i]);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return rc;
}

static void parsed_deinit(struct parsed *p)
{
    gt_props_deinit(&p->settings);
    free((char *)(uintptr_t)p->text);
    for (size_t i = 0; i < p->options.operand_count; i++)
        free((char *)(uintptr_t)p->operands[i]);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void options_and_operands_mix(void **state)
{
    struct parsed p;
    (void)state;
    assert_int_equal(parse(&p, false, WORDS("--exit", "a", "--count=7", "b", "-c", "file")), 0);
    assert_true(p.flag);
    assert_int_equal(p.number, 7);
    assert_string_equal(p.text, "file");
    assert_int_equal(p.options.operand_count, 2);
    assert_string_equal(p.operands[0], "a");
    assert_string_equal(p.operands[1], "b");
    parsed_deinit(&p);
    assert_int_equal(parse(&p, false, WORDS("--", "--exit")), 0);
    assert_false(p.flag);
    assert_string_equal(p.operands[0], "--exit");
    parsed_deinit(&p);
}

static void settings_come_in_three_spellings(void **state)
{
    struct parsed p;
    (void)state;
    assert_int_equal(parse(&p, true,
                           WORDS("httpPort=1", "--workerId", "w", "--log.level=warn", "--in=x=y",
                                 "--of.a.plugin=1")),
                     0);
    assert_string_equal(gt_props_get(&p.settings, "httpPort"), "1");
    assert_string_equal(gt_props_get(&p.settings, "workerId"), "w");
    assert_string_equal(gt_props_get(&p.settings, "log.level"), "warn");
    assert_string_equal(p.text, "x=y");
    parsed_deinit(&p);
}

static void wrong_words_are_named(void **state)
{
    static const struct {
        bool with_settings;
        const char *words[4];
        const char *part;
    } cases[] = {
        {false, {"--cuont", "1", "t"}, "unknown option '--cuont'; did you mean --count?"},
        {false, {"-x", "t"}, "unknown option '-x'"},
        {false, {"t", "--count", "many"}, "--count: 'many' is not a whole number"},
        {false, {"t", "--count", "-1"}, "--count: '-1'"},
        {false, {"t", "--count"}, "--count needs a value"},
        {false, {"--exit=1", "t"}, "--exit takes no value"},
        {false, {"--exit"}, "the TOPIC is missing"},
        {false, {"a", "b", "c"}, "'c' is one word too many"},
        {true, {"word"}, "'word' is one word too many; settings are KEY=VALUE"},
        {true, {"=5"}, "has no key"},
        {true, {"--httpPort"}, "--httpPort needs a value"},
        {true, {"-z", "1"}, "unknown option '-z'"},
        {true, {"--coun=1"}, "unknown option '--coun'; did you mean --count?"},
        {true, {"--htpPort", "1"}, "unknown option '--htpPort'; did you mean --httpPort?"},
        {true, {"--zzzzzzz", "1"}, "unknown option '--zzzzzzz'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed p;
        assert_int_equal(parse(&p, cases[i].with_settings, cases[i].words), GANTRY_INVALID);
        if (strstr(p.err.text, cases[i].part) == NULL)
            fail_msg("'%s' has no '%s'", p.err.text, cases[i].part);
        parsed_deinit(&p);
    }
}

/* --- text --- */

static void columns_are_aligned(void **state)
{
    static const char *const titles[] = {"NAME", "N", "NOTE"};
    struct gt_arena arena;
    struct gt_text_table table;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    assert_non_null(out);
    gt_arena_init(&arena, 4096, 0);
    gt_text_table_init(&table, &arena, titles, 3, 1u << 1);
    for (int i = 0; i < 20; i++) { /* more than the first room for rows */
        const char **row = gt_text_table_row(&table);
        assert_non_null(row);
        row[0] = i == 0 ? "gr\xc3\xbc\xc3\x9f" : "x";
        row[1] = gt_text(&arena, "%d", i * 100);
        row[2] = i == 1 ? "here" : "";
    }
    gt_text_table_print(&table, out);
    assert_int_equal(fclose(out), 0);
    static const char begin[] = "NAME     N  NOTE\n"
                                "gr\xc3\xbc\xc3\x9f     0\n"
                                "x      100  here\n"
                                "x      200\n";
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_null(strstr(text, " \n"));
    free(text);
    gt_arena_deinit(&arena);
}

static void numbers_are_readable(void **state)
{
    struct gt_arena arena;
    (void)state;
    gt_arena_init(&arena, 4096, 0);
    assert_string_equal(gt_text_count(&arena, 0), "0");
    assert_string_equal(gt_text_count(&arena, 999), "999");
    assert_string_equal(gt_text_count(&arena, 1000), "1,000");
    assert_string_equal(gt_text_count(&arena, -1234567), "-1,234,567");
    assert_string_equal(gt_text_count(&arena, INT64_MAX), "9,223,372,036,854,775,807");
    assert_string_equal(gt_text_bytes(&arena, 999), "999 B");
    assert_string_equal(gt_text_bytes(&arena, 1500), "1.5 KB");
    assert_string_equal(gt_text_bytes(&arena, 5e8), "500.0 MB");
    assert_string_equal(gt_text_bytes(&arena, 999999), "1.0 MB");
    assert_string_equal(gt_text_time(&arena, 1577836800123), "2020-01-01T00:00:00.123Z");
    assert_string_equal(gt_text_time(&arena, 0), "-");
    gt_arena_deinit(&arena);
}

/* --- the HTTP client, against a socket that answers as the case says --- */

struct peer {
    int listener, port;
    const char *answer; /* NULL: none, the connection stays open until the client goes */
    bool by_bytes;      /* one byte a write */
    char request[4096];
    pthread_t thread;
};

static void *answer_once(void *arg)
{
    struct peer *peer = arg;
    size_t len = 0;
    int fd = accept(peer->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    while (len < sizeof peer->request - 1 && strstr(peer->request, "\r\n\r\n") == NULL) {
        ssize_t got = recv(fd, peer->request + len, sizeof peer->request - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
        peer->request[len] = '\0';
    }
    if (peer->answer == NULL) {
        char rest;
        while (recv(fd, &rest, 1, 0) > 0)
            ;
    } else if (peer->by_bytes) {
        for (const char *p = peer->answer; *p != '\0'; p++)
            (void)!send(fd, p, 1, MSG_NOSIGNAL);
    } else {
        (void)!send(fd, peer->answer, strlen(peer->answer), MSG_NOSIGNAL);
    }
    close(fd);
    return NULL;
}

static void peer_start(struct peer *peer, const char *answer, bool by_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    *peer = (struct peer){.answer = answer, .by_bytes = by_bytes};
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->listener >= 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 1), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &len), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, answer_once, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    close(peer->listener);
}

static int get_from(struct peer *peer, const char *answer, bool by_bytes, int timeout_ms,
                    struct gt_http_reply *reply, struct gantry_err *err)
{
    peer_start(peer, answer, by_bytes);
    struct gt_http_target target = {.address = "0.0.0.0", .port = peer->port, .token = "s3cret"};
    int rc = gt_http_get(&target, "/a?b=%20", timeout_ms, reply, err);
    peer_stop(peer);
    return rc;
}

static void replies_are_read(void **state)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        "x-gantry-error: caf%C3%A9 100%\r\nContent-Length: 7\r\n\r\nsuccess";
    struct gt_http_reply reply;
    struct gantry_err err = {0, ""};
    struct peer peer;
    (void)state;
    gt_http_reply_init(&reply);
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        assert_int_equal(get_from(&peer, answer, by_bytes != 0, 10000, &reply, &err), 0);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body.data, "success");
        assert_string_equal(reply.why.data, "caf\xc3\xa9 100%");
        assert_non_null(strstr(peer.request, "GET /a?b=%20 HTTP/1.1\r\n"));
        assert_non_null(strstr(peer.request, "Authorization: Bearer s3cret\r\n"));
    }
    gt_http_reply_deinit(&reply);
}

static void bad_replies_are_errors(void **state)
{
    static const struct {
        const char *answer;
        int code;
        const char *part;
    } cases[] = {
        {"", GANTRY_CORRUPT, "no HTTP server"},
        {"SSH-2.0-OpenSSH\r\n\r\n", GANTRY_CORRUPT, "no HTTP server"},
        {"HTTP/1.1 abc\r\n\r\n", GANTRY_CORRUPT, "no HTTP server"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", GANTRY_CORRUPT, "cut short"},
        {NULL, GANTRY_TIMEOUT, "no answer in time"},
    };
    struct gt_http_reply reply;
    struct gantry_err err = {0, ""};
    struct peer peer;
    (void)state;
    gt_http_reply_init(&reply);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            get_from(&peer, cases[i].answer, false, cases[i].answer ? 10000 : 200, &reply, &err),
            cases[i].code);
        if (strstr(err.text, cases[i].part) == NULL)
            fail_msg("'%s' has no '%s'", err.text, cases[i].part);
    }
    /* nobody listens there any more */
    struct gt_http_target target = {.address = "127.0.0.1", .port = peer.port};
    assert_int_equal(gt_http_get(&target, "/", 10000, &reply, &err), GANTRY_IO);
    target.address = "localhost";
    assert_int_equal(gt_http_get(&target, "/", 10000, &reply, &err), GANTRY_INVALID);
    gt_http_reply_deinit(&reply);
}

static void query_values_are_escaped(void **state)
{
    struct gt_buf buf;
    (void)state;
    gt_buf_init(&buf, 1000);
    assert_int_equal(gt_http_escape(&buf, "{\"a\":\"b c/\xc3\xbc+-._~9\"}"), 0);
    assert_string_equal(gt_buf_cstr(&buf), "%7B%22a%22%3A%22b%20c%2F%C3%BC%2B-._~9%22%7D");
    gt_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_mix),
        cmocka_unit_test(settings_come_in_three_spellings),
        cmocka_unit_test(wrong_words_are_named),
        cmocka_unit_test(columns_are_aligned),
        cmocka_unit_test(numbers_are_readable),
        cmocka_unit_test(replies_are_read),
        cmocka_unit_test(bad_replies_are_errors),
        cmocka_unit_test(query_values_are_escaped),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
