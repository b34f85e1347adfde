/* SPDX-License-Identifier: Apache-2.0 */
/* Connections against a server in this process that does what a healthy broker does not: answers in
 * the wrong order, not at all, with garbage, or goes away. All on one loop and a free port. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <rocketmq/connection.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUESTS = 1000, HOLD = 8 };

enum manner {
    ANSWER,          /* at once */
    REVERSE,         /* eight at a time, the last one first */
    SILENT,          /* never */
    GARBAGE,         /* an HTTP reply */
    HUGE_LENGTH,     /* the start of a frame of 2 GB */
    HANG_UP,         /* close instead of answering */
    ASK_BACK,        /* a request of its own first, with the same number */
    ANSWER_SLOWLY,   /* a byte at a time */
    ANSWER_AND_BLOCK /* and then the loop, which is the client's too, stands still for a while */
};

struct peer {
    uv_tcp_t tcp;
    struct fixture *fixture;
    struct rmq_frame_reader reader;
    struct rmq_command command;
    int32_t held[HOLD];
    size_t held_count;
    struct peer *next;
};

struct outcome {
    struct fixture *fixture;
    int32_t number;
    int calls;
    int rc;
    char text[232];
};

struct fixture {
    uv_loop_t loop;
    uv_tcp_t server;
    uv_timer_t limit;
    char address[32];
    enum manner manner;
    struct peer *peers;
    size_t accepted, received, answered_not_supported, answered_fine;
    struct rmq_connection *connection;
    struct outcome outcomes[REQUESTS];
    size_t ended;
    size_t opened, requested;
    bool closed;
};

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "the test takes too long\n");
    abort();
}

static void write_sync(struct peer *peer, const char *data, size_t len)
{
    for (size_t at = 0; at < len;) { /* small: the socket takes it */
        size_t part = peer->fixture->manner == ANSWER_SLOWLY ? 1 : len - at;
        uv_buf_t buf = {.len = part};
        char copy[8192];
        assert_true(part <= sizeof(copy));
        memcpy(copy, data + at, part);
        buf.base = copy;
        int rc = uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1);
        if (rc == UV_EPIPE || rc == UV_ECONNRESET)
            return; /* the client has given up on us */
        if (rc > 0)
            at += (size_t)rc;
        else
            assert_int_equal(rc, UV_EAGAIN);
    }
}

static void write_command(struct peer *peer, int32_t code, int32_t opaque, int32_t flag)
{
    struct rmq_command reply;
    struct rmq_buf buf;
    rmq_command_init(&reply, code);
    rmq_buf_init(&buf, 4096);
    reply.opaque = opaque;
    reply.flag = flag;
    reply.codec = opaque % 2 == 0 ? RMQ_CODEC_JSON : RMQ_CODEC_BINARY;
    rmq_command_add_int(&reply, "number", opaque);
    assert_int_equal(rmq_command_encode(&reply, &buf, NULL), 0);
    write_sync(peer, buf.data, buf.len);
    rmq_buf_deinit(&buf);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct peer **at = &peer->fixture->peers;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    rmq_frame_reader_deinit(&peer->reader);
    rmq_command_deinit(&peer->command);
    free(peer);
}

static void close_peer(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp))
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
}

static void serve(struct peer *peer)
{
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const char huge[] = "\x7f\xff\xff\xf0\0\0\0\x10";
    struct fixture *fixture = peer->fixture;
    int32_t opaque = peer->command.opaque;
    if ((peer->command.flag & RMQ_FLAG_REPLY) != 0) {
        fixture->answered_not_supported += peer->command.code == RMQ_REPLY_NOT_SUPPORTED;
        fixture->answered_fine += peer->command.code == RMQ_REPLY_SUCCESS &&
                                  rmq_view_equal(peer->command.body, rmq_view_str("fine"));
        return;
    }
    fixture->received++;
    switch (fixture->manner) {
    case ASK_BACK:
        write_command(peer, 307, opaque, 0);
        write_command(peer, RMQ_NOTIFY_CONSUMERS_CHANGED, opaque, RMQ_FLAG_ONEWAY);
        write_command(peer, 0, opaque, RMQ_FLAG_REPLY);
        break;
    case ANSWER_AND_BLOCK:
        write_command(peer, 0, opaque, RMQ_FLAG_REPLY);
        uv_sleep(200);
        break;
    case ANSWER:
    case ANSWER_SLOWLY:
        if ((peer->command.flag & RMQ_FLAG_ONEWAY) == 0)
            write_command(peer, 0, opaque, RMQ_FLAG_REPLY);
        break;
    case REVERSE:
        peer->held[peer->held_count++] = opaque;
        while (peer->held_count > 0 && (peer->held_count == HOLD || fixture->received >= REQUESTS))
            for (; peer->held_count > 0; peer->held_count--)
                write_command(peer, 0, peer->held[peer->held_count - 1], RMQ_FLAG_REPLY);
        break;
    case SILENT:
        break;
    case GARBAGE:
        write_sync(peer, http, sizeof(http) - 1);
        break;
    case HUGE_LENGTH:
        write_sync(peer, huge, sizeof(huge) - 1);
        break;
    case HANG_UP:
        close_peer(peer);
        break;
    }
}

static void on_peer_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct peer *peer = handle->data;
    char *data;
    size_t len;
    (void)suggested;
    assert_int_equal(rmq_frame_reader_space(&peer->reader, &data, &len), 0);
    *ret = uv_buf_init(data, (unsigned)len);
}

static void on_peer_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    struct rmq_view frame;
    (void)buf;
    if (count < 0) {
        close_peer(peer);
        return;
    }
    rmq_frame_reader_filled(&peer->reader, (size_t)count);
    while (!uv_is_closing((uv_handle_t *)&peer->tcp) &&
           rmq_frame_reader_next(&peer->reader, &frame, NULL) == 1) {
        assert_int_equal(rmq_command_decode(&peer->command, frame, NULL), 0);
        serve(peer);
    }
}

static void on_accept(uv_stream_t *server, int status)
{
    struct fixture *fixture = server->data;
    assert_int_equal(status, 0);
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->fixture = fixture;
    peer->next = fixture->peers;
    fixture->peers = peer;
    fixture->accepted++;
    rmq_frame_reader_init(&peer->reader, RMQ_FRAME_MAX);
    rmq_command_init(&peer->command, 0);
    assert_int_equal(uv_tcp_init(&fixture->loop, &peer->tcp), 0);
    peer->tcp.data = peer;
    assert_int_equal(uv_accept(server, (uv_stream_t *)&peer->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->tcp, on_peer_space, on_peer_read), 0);
}

static void opened(void *arg)
{
    ((struct fixture *)arg)->opened++;
}

static int32_t requested(void *arg, const struct rmq_command *request, struct rmq_buf *ret_body)
{
    struct fixture *fixture = arg;
    assert_true(request->code == 307 || request->code == RMQ_NOTIFY_CONSUMERS_CHANGED);
    fixture->requested++;
    if (request->code == 307 && fixture->requested % 4 == 1) {
        assert_int_equal(rmq_buf_append(ret_body, "fine", 4), 0);
        return RMQ_REPLY_SUCCESS;
    }
    return RMQ_REPLY_NOT_SUPPORTED;
}

static void start(struct fixture *fixture, enum manner manner, size_t max_in_flight)
{
    struct sockaddr_in name;
    int len = sizeof(name);
    memset(fixture, 0, sizeof(*fixture));
    fixture->manner = manner;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_tcp_init(&fixture->loop, &fixture->server), 0);
    fixture->server.data = fixture;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &name), 0);
    assert_int_equal(uv_tcp_bind(&fixture->server, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fixture->server, 16, on_accept), 0);
    assert_int_equal(uv_tcp_getsockname(&fixture->server, (struct sockaddr *)&name, &len), 0);
    (void)snprintf(fixture->address, sizeof(fixture->address), "127.0.0.1:%d",
                   (name.sin_port & 0xFF) << 8 | name.sin_port >> 8);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->limit), 0);
    assert_int_equal(uv_timer_start(&fixture->limit, on_limit, 60000, 0), 0);
    struct rmq_connection_options options = {.struct_size = sizeof(options),
                                             .max_in_flight = max_in_flight,
                                             .backoff_min_ms = 20,
                                             .codec = RMQ_CODEC_BINARY,
                                             .arg = fixture,
                                             .opened = opened,
                                             .requested = requested};
    assert_int_equal(
        rmq_connection_new(&fixture->loop, fixture->address, &options, &fixture->connection, NULL),
        0);
}

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->rc = rc;
    outcome->fixture->ended++;
    if (rc == 0) {
        int64_t number;
        assert_int_equal(rmq_command_get_int(reply, "number", &number), 0);
        assert_int_equal(number, outcome->number);
    } else {
        assert_int_equal(err->code, rc);
        memcpy(outcome->text, err->text, sizeof(outcome->text));
    }
}

static void ask(struct fixture *fixture, size_t from, size_t count, int64_t timeout_ms)
{
    for (size_t i = from; i < from + count; i++) {
        struct rmq_command request;
        struct outcome *outcome = &fixture->outcomes[i];
        rmq_command_init(&request, RMQ_GET_MAX_OFFSET);
        outcome->fixture = fixture;
        outcome->number = (int32_t)i;
        assert_int_equal(
            rmq_connection_call(fixture->connection, &request, timeout_ms, on_reply, outcome, NULL),
            0);
        assert_int_equal(request.opaque, i);
        assert_int_equal(outcome->calls, 0); /* never from inside */
    }
}

static void run_until_ended(struct fixture *fixture, size_t count)
{
    while (fixture->ended < count)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE); /* what is left is counted here */
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = uv_now(&fixture->loop) + ms;
    while (uv_now(&fixture->loop) < end)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void finish(struct fixture *fixture, size_t asked)
{
    if (fixture->connection != NULL)
        rmq_connection_close(fixture->connection, on_closed, fixture);
    else
        fixture->closed = true;
    for (struct peer *peer = fixture->peers; peer != NULL; peer = peer->next)
        close_peer(peer);
    if (!uv_is_closing((uv_handle_t *)&fixture->server))
        uv_close((uv_handle_t *)&fixture->server, NULL);
    uv_close((uv_handle_t *)&fixture->limit, NULL);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_true(fixture->closed);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    for (size_t i = 0; i < asked; i++)
        assert_int_equal(fixture->outcomes[i].calls, 1);
}

static void expect_all(struct fixture *fixture, size_t count, int rc)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(fixture->outcomes[i].rc, rc);
}

static void replies_reach_their_requests_in_any_order(void **state)
{
    static const enum manner manners[] = {ANSWER, REVERSE, ANSWER_SLOWLY};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture;
        start(&fixture, manners[i], 64);
        ask(&fixture, 0, REQUESTS, 20000);
        run_until_ended(&fixture, REQUESTS);
        expect_all(&fixture, REQUESTS, 0);
        assert_int_equal(fixture.accepted, 1);
        assert_int_equal(fixture.opened, 1);
        finish(&fixture, REQUESTS);
    }
}

static void the_window_bounds_what_is_in_flight(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture, SILENT, 10);
    ask(&fixture, 0, 50, 20000);
    run_ms(&fixture, 100);
    assert_int_equal(fixture.received, 10);
    finish(&fixture, 50);
    expect_all(&fixture, 50, RMQ_CLOSED);
}

static void a_full_queue_refuses_and_keeps_nothing(void **state)
{
    struct fixture fixture;
    struct rmq_connection_options options = {.struct_size = sizeof(options), .max_waiting = 3};
    struct rmq_connection *small;
    struct rmq_command request;
    struct rmq_err err;
    (void)state;
    start(&fixture, ANSWER, 0);
    assert_int_equal(rmq_connection_new(&fixture.loop, fixture.address, &options, &small, &err), 0);
    rmq_connection_close(fixture.connection, NULL, NULL);
    fixture.connection = small;
    ask(&fixture, 0, 3, 5000);
    rmq_command_init(&request, 1);
    assert_int_equal(rmq_connection_call(small, &request, 1000, on_reply, NULL, &err), RMQ_AGAIN);
    run_until_ended(&fixture, 3);
    expect_all(&fixture, 3, 0);
    finish(&fixture, 3);
}

static void a_silent_server_times_out_and_its_connection_is_replaced(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture, SILENT, 0);
    ask(&fixture, 0, 2, 50);
    ask(&fixture, 2, 1, 20000);
    run_until_ended(&fixture, 3);
    assert_int_equal(fixture.outcomes[0].rc, RMQ_TIMEOUT);
    assert_int_equal(fixture.outcomes[1].rc, RMQ_TIMEOUT);
    assert_int_equal(fixture.outcomes[2].rc, RMQ_LOST); /* it went with the connection */
    fixture.manner = ANSWER;
    ask(&fixture, 3, 5, 5000);
    run_until_ended(&fixture, 8);
    assert_int_equal(fixture.outcomes[7].rc, 0);
    assert_int_equal(fixture.accepted, 2);
    finish(&fixture, 8);
}

/* A program that was stopped for a while, or has kept the loop busy: what has come meanwhile is
 * read before anything runs out of time. */
static void replies_that_came_in_time_count_however_late_they_are_read(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture, ANSWER_AND_BLOCK, 0);
    ask(&fixture, 0, 1, 5000); /* connects */
    run_until_ended(&fixture, 1);
    for (size_t i = 1; i < 6; i++) {
        ask(&fixture, i, 1, 100);
        run_until_ended(&fixture, i + 1);
    }
    expect_all(&fixture, 6, 0);
    assert_int_equal(fixture.accepted, 1);
    ask(&fixture, 6, 1, 100); /* it is too late to send this one: so it is not sent */
    uv_sleep(300);
    run_until_ended(&fixture, 7);
    assert_int_equal(fixture.outcomes[6].rc, RMQ_UNREACHABLE);
    assert_int_equal(fixture.received, 6);
    fixture.manner = SILENT; /* without a reply it still ends */
    ask(&fixture, 7, 1, 100);
    while (fixture.received < 7)
        (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
    uv_sleep(300);
    run_until_ended(&fixture, 8);
    assert_int_equal(fixture.outcomes[7].rc, RMQ_TIMEOUT);
    finish(&fixture, 8);
}

static void bytes_that_are_no_protocol_lose_the_connection_with_a_reason(void **state)
{
    static const enum manner manners[] = {GARBAGE, HUGE_LENGTH};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        start(&fixture, manners[i], 0);
        ask(&fixture, 0, 3, 5000);
        run_until_ended(&fixture, 3);
        expect_all(&fixture, 3, RMQ_LOST);
        assert_non_null(strstr(fixture.outcomes[0].text, "not the RocketMQ protocol"));
        assert_non_null(strstr(fixture.outcomes[0].text, "frame length"));
        finish(&fixture, 3);
    }
}

static void a_lost_connection_fails_at_once_and_is_made_again_with_growing_pauses(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture, HANG_UP, 0);
    uint64_t begin = uv_now(&fixture.loop);
    for (size_t i = 0; i < 5; i++) {
        ask(&fixture, i, 1, 5000);
        run_until_ended(&fixture, i + 1);
        assert_int_equal(fixture.outcomes[i].rc, RMQ_LOST);
        assert_true(rmq_connection_failing(fixture.connection));
    }
    assert_true(uv_now(&fixture.loop) - begin >= 20 + 40 + 80 + 160);
    assert_int_equal(fixture.accepted, 5);
    fixture.manner = ANSWER;
    ask(&fixture, 5, 1, 5000);
    run_until_ended(&fixture, 6);
    assert_int_equal(fixture.outcomes[5].rc, 0);
    assert_false(rmq_connection_failing(fixture.connection));
    finish(&fixture, 6);
}

static void a_server_that_is_not_there_is_unreachable(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "no-such-host.invalid"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fixture fixture;
        struct rmq_connection *connection;
        char address[64];
        start(&fixture, ANSWER, 0);
        (void)snprintf(address, sizeof(address), "%s%s", hosts[i], strrchr(fixture.address, ':'));
        uv_close((uv_handle_t *)&fixture.server, NULL);
        assert_int_equal(rmq_connection_new(&fixture.loop, address, NULL, &connection, NULL), 0);
        rmq_connection_close(fixture.connection, NULL, NULL);
        fixture.connection = connection;
        ask(&fixture, 0, 3, 20000);
        run_until_ended(&fixture, 3);
        expect_all(&fixture, 3, RMQ_UNREACHABLE);
        assert_non_null(strstr(fixture.outcomes[0].text, address));
        finish(&fixture, 3);
    }
}

/* In place of the system's: several-addresses.test has two where nobody listens before 127.0.0.1,
 * as localhost often has ::1 first. Thread: one of libuv's. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    static const char *const several[] = {"::1", "127.0.0.2", "127.0.0.1"};
    typedef int (*function)(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);
    union {
        void *object;
        function call;
    } real = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (strcmp(name, "several-addresses.test") != 0)
        return real.call(name, service, hints, ret);
    for (size_t i = 0; i < 3; i++) {
        int rc = real.call(several[i], service, hints, ret);
        if (rc != 0)
            return rc;
        ret = &(*ret)->ai_next; /* a number has one address; freeaddrinfo follows the list */
    }
    return 0;
}

static void all_addresses_of_a_name_are_tried(void **state)
{
    (void)state;
    for (int there = 0; there < 2; there++) {
        struct fixture fixture;
        struct rmq_connection *connection;
        struct rmq_connection_options options = {.struct_size = sizeof(options),
                                                 .backoff_min_ms = 20};
        char address[64];
        start(&fixture, ANSWER, 0);
        (void)snprintf(address, sizeof(address), "several-addresses.test%s",
                       strrchr(fixture.address, ':'));
        if (!there)
            uv_close((uv_handle_t *)&fixture.server, NULL);
        assert_int_equal(rmq_connection_new(&fixture.loop, address, &options, &connection, NULL),
                         0);
        rmq_connection_close(fixture.connection, NULL, NULL);
        fixture.connection = connection;
        ask(&fixture, 0, 3, 20000);
        run_until_ended(&fixture, 3);
        expect_all(&fixture, 3, there ? 0 : RMQ_UNREACHABLE);
        if (there) { /* and all over again when it was lost */
            fixture.manner = HANG_UP;
            ask(&fixture, 3, 1, 20000);
            run_until_ended(&fixture, 4);
            fixture.manner = ANSWER;
            ask(&fixture, 4, 1, 20000);
            run_until_ended(&fixture, 5);
            assert_int_equal(fixture.outcomes[4].rc, 0);
        }
        finish(&fixture, there ? 5 : 3);
    }
}

static void requests_of_the_server_are_told_apart_and_answered(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture, ASK_BACK, 0);
    ask(&fixture, 0, 20, 5000);
    run_until_ended(&fixture, 20);
    expect_all(&fixture, 20, 0);
    run_ms(&fixture, 50);
    assert_int_equal(fixture.requested, 40);
    assert_int_equal(fixture.answered_not_supported, 10);
    assert_int_equal(fixture.answered_fine, 10);
    finish(&fixture, 20);
}

static void one_way_requests_are_sent_and_forgotten(void **state)
{
    struct fixture fixture;
    struct rmq_command request;
    (void)state;
    start(&fixture, ANSWER, 1);
    for (int i = 0; i < 30; i++) {
        rmq_command_init(&request, RMQ_UPDATE_CONSUMER_OFFSET);
        assert_int_equal(rmq_connection_post(fixture.connection, &request, NULL), 0);
    }
    while (fixture.received < 30)
        (void)uv_run(&fixture.loop, UV_RUN_ONCE);
    finish(&fixture, 0);
}

static void close_from_reply(void *arg, int rc, const struct rmq_command *reply,
                             const struct rmq_err *err)
{
    struct fixture *fixture = arg;
    (void)reply;
    (void)err;
    fixture->ended++;
    if (fixture->connection != NULL) {
        struct rmq_connection *connection = fixture->connection;
        assert_int_equal(rc, 0);
        fixture->connection = NULL;
        rmq_connection_close(connection, NULL, NULL);
    } else {
        assert_int_equal(rc, RMQ_CLOSED);
    }
}

static void closing_works_from_a_callback_and_at_every_stage(void **state)
{
    (void)state;
    for (int turns = -1; turns < 12; turns++) {
        struct fixture fixture;
        start(&fixture, turns < 0 ? ANSWER : SILENT, 0);
        if (turns < 0) { /* from inside the first reply, with others behind it */
            for (int i = 0; i < 10; i++) {
                struct rmq_command request;
                rmq_command_init(&request, 1);
                assert_int_equal(rmq_connection_call(fixture.connection, &request, 5000,
                                                     close_from_reply, &fixture, NULL),
                                 0);
            }
            run_until_ended(&fixture, 10);
            finish(&fixture, 0);
            continue;
        }
        ask(&fixture, 0, 10, 5000);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
        finish(&fixture, 10);
        expect_all(&fixture, 10, RMQ_CLOSED);
    }
}

static void wrong_addresses_are_refused(void **state)
{
    static const char *const wrong[] = {"",           "host",    ":1",      "host:", "host:0",
                                        "host:65536", "host:1x", "host:-1", NULL};
    struct rmq_connection *connection = NULL;
    struct rmq_err err;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(rmq_connection_new(uv_default_loop(), wrong[i], NULL, &connection, &err),
                         RMQ_INVALID);
        assert_non_null(strstr(err.text, "host:port is expected"));
    }
    assert_null(connection);
    assert_int_equal(uv_loop_close(uv_default_loop()), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_reach_their_requests_in_any_order),
        cmocka_unit_test(the_window_bounds_what_is_in_flight),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_nothing),
        cmocka_unit_test(a_silent_server_times_out_and_its_connection_is_replaced),
        cmocka_unit_test(replies_that_came_in_time_count_however_late_they_are_read),
        cmocka_unit_test(bytes_that_are_no_protocol_lose_the_connection_with_a_reason),
        cmocka_unit_test(a_lost_connection_fails_at_once_and_is_made_again_with_growing_pauses),
        cmocka_unit_test(a_server_that_is_not_there_is_unreachable),
        cmocka_unit_test(all_addresses_of_a_name_are_tried),
        cmocka_unit_test(requests_of_the_server_are_told_apart_and_answered),
        cmocka_unit_test(one_way_requests_are_sent_and_forgotten),
        cmocka_unit_test(closing_works_from_a_callback_and_at_every_stage),
        cmocka_unit_test(wrong_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
