/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of producer.h, each as a test, against the mock broker on the same loop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "mock.h"
#include <jansson.h>
#include <rocketmq/producer.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDS = 2000 };

struct outcome {
    struct fixture *fixture;
    int number;
    int calls;
    int rc;
    int place; /* the how-manieth to end */
    int32_t server_code;
    char broker[32];
    int32_t queue_id;
    int64_t queue_offset;
    int32_t result_code;
    char message_id[64];
    char text[232];
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t limit;
    uv_timer_t tick; /* so that no turn of the loop waits long for what has been */
    struct mock *mock;
    struct rmq_client *client;
    struct rmq_producer *producer;
    bool closed;
    int ended;
    struct outcome outcomes[SENDS];
    /* what a callback is to do, once */
    bool close_in_callback, resume_in_callback;
};

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "the test takes too long\n");
    abort();
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void command(struct fixture *fixture, const char *line)
{
    struct rmq_buf answer;
    rmq_buf_init(&answer, 1 << 20);
    assert_true(mock_command(fixture->mock, line, &answer));
    assert_int_equal(strncmp(answer.data, "{\"ok\"", 5), 0);
    rmq_buf_deinit(&answer);
}

static struct fixture *start(int brokers, const char *topic_line,
                             const struct rmq_producer_options *options)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct rmq_err err;
    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->limit), 0);
    assert_int_equal(uv_timer_start(&fixture->limit, on_limit, 60000, 0), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->tick), 0);
    assert_int_equal(uv_timer_start(&fixture->tick, on_tick, 5, 5), 0);
    fixture->mock = mock_start(&fixture->loop, brokers);
    if (topic_line != NULL)
        command(fixture, topic_line);
    struct rmq_client_options client = {.struct_size = sizeof(client),
                                        .name_servers = mock_namesrv(fixture->mock),
                                        .codec = RMQ_CODEC_BINARY};
    struct rmq_producer_options mine = {.struct_size = sizeof(mine), .group = "pg"};
    if (options != NULL)
        mine = *options;
    mine.struct_size = sizeof(mine);
    mine.group = "pg";
    if (rmq_client_new(&fixture->loop, &client, &fixture->client, &err) != 0)
        fail_msg("%s", err.text);
    if (rmq_producer_new(fixture->client, &mine, &fixture->producer, &err) != 0)
        fail_msg("%s", err.text);
    return fixture;
}

static void on_client_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void finish(struct fixture *fixture, int asked)
{
    if (fixture->producer != NULL)
        rmq_producer_close(fixture->producer);
    rmq_client_close(fixture->client, on_client_closed, fixture);
    while (!fixture->closed)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    mock_stop(fixture->mock);
    uv_close((uv_handle_t *)&fixture->limit, NULL);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    for (int i = 0; i < asked; i++)
        assert_int_equal(fixture->outcomes[i].calls, 1);
    free(fixture);
}

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    struct fixture *fixture = outcome->fixture;
    outcome->calls++;
    outcome->rc = rc;
    outcome->place = fixture->ended++;
    outcome->queue_id = result->queue_id;
    outcome->queue_offset = result->queue_offset;
    outcome->result_code = result->server_code;
    (void)snprintf(outcome->broker, sizeof(outcome->broker), "%s",
                   result->broker == NULL ? "" : result->broker);
    (void)snprintf(outcome->message_id, sizeof(outcome->message_id), "%s", result->message_id);
    if (rc != 0) {
        assert_int_equal(err->code, rc);
        assert_true(err->text[0] != '\0');
        outcome->server_code = err->server_code;
        memcpy(outcome->text, err->text, sizeof(outcome->text));
    }
    if (fixture->close_in_callback) {
        fixture->close_in_callback = false;
        rmq_producer_close(fixture->producer);
        fixture->producer = NULL;
    }
    if (fixture->resume_in_callback && rc != 0) {
        fixture->resume_in_callback = false;
        rmq_producer_resume(fixture->producer, "t", result->broker, result->queue_id);
    }
}

static const struct rmq_target anywhere = {.topic = "t"};
static const struct rmq_target queue_0 = {.topic = "t", .broker = "broker-a", .queue_id = 0};
static const struct rmq_target queue_1 = {.topic = "t", .broker = "broker-a", .queue_id = 1};

/* One message of a body like "17". */
static int try_send(struct fixture *fixture, const struct rmq_target *target, int number)
{
    char body[16];
    struct rmq_outgoing message = {.flag = number};
    struct outcome *outcome = &fixture->outcomes[number];
    outcome->fixture = fixture;
    outcome->number = number;
    message.body = rmq_view(body, (size_t)snprintf(body, sizeof(body), "%d", number));
    return rmq_producer_send(fixture->producer, target, &message, 1, on_sent, outcome, NULL);
}

static void send_some(struct fixture *fixture, const struct rmq_target *target, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        assert_int_equal(try_send(fixture, target, i), 0);
        assert_int_equal(fixture->outcomes[i].calls, 0); /* never from inside */
    }
}

static void run_until(struct fixture *fixture, int ended)
{
    while (fixture->ended < ended)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = uv_now(&fixture->loop) + ms;
    while (uv_now(&fixture->loop) < end)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void expect(struct fixture *fixture, int from, int count, int rc)
{
    for (int i = from; i < from + count; i++)
        if (fixture->outcomes[i].rc != rc)
            fail_msg("send %d: %s (%s); %s is expected", i, rmq_error_name(fixture->outcomes[i].rc),
                     fixture->outcomes[i].text, rmq_error_name(rc));
}

/* What is stored of topic t, as JSON. */
static json_t *stored(struct fixture *fixture)
{
    struct rmq_buf answer;
    json_t *list = json_array();
    rmq_buf_init(&answer, 1 << 28);
    assert_true(mock_command(fixture->mock, "dump t", &answer));
    for (char *at = answer.data; at < answer.data + answer.len;) {
        char *end = memchr(at, '\n', (size_t)(answer.data + answer.len - at));
        json_t *line = json_loadb(at, (size_t)(end - at), JSON_ALLOW_NUL, NULL);
        assert_non_null(line);
        if (json_object_get(line, "end") == NULL)
            assert_int_equal(json_array_append(list, line), 0);
        json_decref(line);
        at = end + 1;
    }
    rmq_buf_deinit(&answer);
    return list;
}

static const char *text_of(json_t *list, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(list, i), key));
}

static int64_t number_of(json_t *list, size_t i, const char *key)
{
    return json_integer_value(json_object_get(json_array_get(list, i), key));
}

/* Bodies "0" to "count - 1", each once and in this order. */
static void expect_bodies_in_order(struct fixture *fixture, int count)
{
    json_t *list = stored(fixture);
    assert_int_equal(json_array_size(list), count);
    for (int i = 0; i < count; i++)
        assert_int_equal(atoi(text_of(list, (size_t)i, "body")), i);
    json_decref(list);
}

static int count_stored(struct fixture *fixture)
{
    json_t *list = stored(fixture);
    int count = (int)json_array_size(list);
    json_decref(list);
    return count;
}

/* --- plain sends --- */

static void a_message_is_stored_as_it_was_given_and_the_result_says_where(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=4", NULL);
    struct rmq_buf properties;
    (void)state;
    rmq_buf_init(&properties, 1 << 16);
    assert_int_equal(rmq_properties_add(&properties, rmq_view_str("TAGS"), rmq_view_str("x"), NULL),
                     0);
    assert_int_equal(rmq_properties_add(&properties, rmq_view_str("k"), rmq_view_str("v"), NULL),
                     0);
    struct rmq_outgoing message = {
        .body = rmq_view_str("hello"), .properties = rmq_buf_view(&properties), .flag = 7};
    struct rmq_target target = {.topic = "t", .broker = "broker-a", .queue_id = 3};
    struct outcome *outcome = &fixture->outcomes[0];
    outcome->fixture = fixture;
    assert_int_equal(
        rmq_producer_send(fixture->producer, &target, &message, 1, on_sent, outcome, NULL), 0);
    memset(properties.data, 'x', properties.len); /* views are not needed afterwards */
    rmq_buf_deinit(&properties);
    run_until(fixture, 1);
    assert_int_equal(outcome->rc, 0);
    assert_string_equal(outcome->broker, "broker-a");
    assert_int_equal(outcome->queue_id, 3);
    assert_int_equal(outcome->queue_offset, 0);
    assert_int_equal(strlen(outcome->message_id), 32);
    json_t *list = stored(fixture);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(text_of(list, 0, "body"), "hello");
    assert_int_equal(number_of(list, 0, "flag"), 7);
    assert_int_equal(number_of(list, 0, "queue"), 3);
    json_t *kept = json_object_get(json_array_get(list, 0), "properties");
    assert_string_equal(json_string_value(json_object_get(kept, "TAGS")), "x");
    assert_string_equal(json_string_value(json_object_get(kept, "k")), "v");
    json_decref(list);
    finish(fixture, 1);
}

static void sends_without_a_queue_go_round_all_that_can_be_written_to(void **state)
{
    struct fixture *fixture = start(3, "topic t queues=4", NULL);
    int counts[3][4] = {{0}};
    (void)state;
    command(fixture, "topic t queues=4 perm=4 broker=broker-c"); /* to be read only */
    send_some(fixture, &anywhere, 0, 80);
    run_until(fixture, 80);
    expect(fixture, 0, 80, 0);
    for (int i = 0; i < 80; i++)
        counts[fixture->outcomes[i].broker[7] - 'a'][fixture->outcomes[i].queue_id]++;
    for (int queue = 0; queue < 4; queue++) {
        assert_int_equal(counts[0][queue], 10);
        assert_int_equal(counts[1][queue], 10);
        assert_int_equal(counts[2][queue], 0);
    }
    finish(fixture, 80);
}

static void an_empty_body_is_stored_as_an_empty_message(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    struct rmq_outgoing message = {.flag = 5};
    (void)state;
    fixture->outcomes[0].fixture = fixture;
    assert_int_equal(rmq_producer_send(fixture->producer, &anywhere, &message, 1, on_sent,
                                       &fixture->outcomes[0], NULL),
                     0);
    run_until(fixture, 1);
    expect(fixture, 0, 1, 0);
    json_t *list = stored(fixture);
    assert_string_equal(text_of(list, 0, "body"), "");
    assert_int_equal(number_of(list, 0, "flag"), 5);
    json_decref(list);
    finish(fixture, 1);
}

static void a_body_is_compressed_when_asked_for_and_when_that_helps(void **state)
{
    static const enum rmq_compression ways[] = {RMQ_COMPRESSION_ZLIB, RMQ_COMPRESSION_LZ4,
                                                RMQ_COMPRESSION_ZSTD};
    static char text[5000], noise[5000];
    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(rand() >> 7);
    for (size_t i = 0; i < 3; i++) {
        struct rmq_producer_options options = {.compression = ways[i]};
        struct fixture *fixture = start(1, "topic t queues=1", &options);
        struct rmq_outgoing messages[] = {{.body = rmq_view(text, 4095)},
                                          {.body = rmq_view(text, 4096)},
                                          {.body = rmq_view(noise, sizeof(noise))}};
        for (int j = 0; j < 3; j++) {
            fixture->outcomes[j].fixture = fixture;
            assert_int_equal(rmq_producer_send(fixture->producer, &queue_0, &messages[j], 1,
                                               on_sent, &fixture->outcomes[j], NULL),
                             0);
            run_until(fixture, j + 1);
        }
        json_t *list = stored(fixture);
        assert_int_equal(number_of(list, 0, "sysFlag"), 0);
        assert_int_equal(number_of(list, 1, "sysFlag"), RMQ_SYS_COMPRESSED | (int)ways[i]);
        assert_int_equal(number_of(list, 2, "sysFlag"), 0);
        const char *hex = text_of(list, 1, "hex");
        struct rmq_buf small, plain;
        rmq_buf_init(&small, 1 << 16);
        rmq_buf_init(&plain, 1 << 16);
        for (; hex[0] != '\0'; hex += 2) {
            const char pair[3] = {hex[0], hex[1], 0};
            unsigned char byte = (unsigned char)strtoul(pair, NULL, 16);
            assert_int_equal(rmq_buf_append(&small, &byte, 1), 0);
        }
        struct rmq_message message = {.sys_flag = RMQ_SYS_COMPRESSED | (int)ways[i],
                                      .body = rmq_buf_view(&small)};
        assert_int_equal(rmq_message_inflate(&message, &plain, NULL), 0);
        assert_int_equal(plain.len, 4096);
        assert_memory_equal(plain.data, text, 4096);
        rmq_buf_deinit(&small);
        rmq_buf_deinit(&plain);
        json_decref(list);
        finish(fixture, 3);
    }
}

static void codes_10_11_and_12_are_stored_with_a_warning(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    (void)state;
    command(fixture, "fail 310 1 10");
    command(fixture, "fail 310 1 11");
    command(fixture, "fail 310 1 12");
    for (int i = 0; i < 3; i++) {
        send_some(fixture, &anywhere, i, 1);
        run_until(fixture, i + 1);
        assert_int_equal(fixture->outcomes[i].rc, 0);
        assert_int_equal(fixture->outcomes[i].result_code, 10 + i);
        assert_int_equal(fixture->outcomes[i].queue_offset, -1); /* the mock gave none */
    }
    finish(fixture, 3);
}

/* --- batches --- */

static void a_batch_is_stored_at_consecutive_offsets_and_only_wait_stands_outside(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=2", NULL);
    struct rmq_outgoing messages[50];
    char bodies[50][8];
    struct rmq_view waits = rmq_view_str("WAIT\001false\002TAGS\001x\002");
    (void)state;
    for (int i = 0; i < 50; i++) {
        messages[i] = (struct rmq_outgoing){.properties = waits, .flag = i};
        messages[i].body =
            rmq_view(bodies[i], (size_t)snprintf(bodies[i], sizeof(bodies[i]), "%d", i));
    }
    fixture->outcomes[0].fixture = fixture;
    assert_int_equal(rmq_producer_send(fixture->producer, &queue_1, messages, 50, on_sent,
                                       &fixture->outcomes[0], NULL),
                     0);
    run_until(fixture, 1);
    expect(fixture, 0, 1, 0);
    assert_int_equal(fixture->outcomes[0].queue_offset, 0);
    assert_int_equal(strlen(fixture->outcomes[0].message_id), 32); /* of the first alone */
    json_t *list = stored(fixture);
    assert_int_equal(json_array_size(list), 50);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(number_of(list, i, "offset"), i);
        assert_int_equal(number_of(list, i, "flag"), i);
        assert_int_equal(number_of(list, i, "queue"), 1);
        assert_int_equal(atoi(text_of(list, i, "body")), i);
    }
    json_decref(list);
    finish(fixture, 1);
}

static void messages_of_one_batch_agree_about_wait(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    struct rmq_outgoing messages[2] = {
        {.body = rmq_view_str("a"), .properties = rmq_view_str("WAIT\001false\002")},
        {.body = rmq_view_str("b")}};
    (void)state;
    assert_int_equal(
        rmq_producer_send(fixture->producer, &anywhere, messages, 2, on_sent, NULL, NULL),
        RMQ_INVALID);
    finish(fixture, 0);
}

static void a_batch_made_before_is_taken_over_only_with_success(void **state)
{
    struct rmq_producer_options options = {.max_in_flight = 1};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    struct rmq_buf body, empty;
    struct rmq_batch_item item = {.body = rmq_view_str("0")};
    (void)state;
    rmq_buf_init(&body, RMQ_BODY_MAX);
    rmq_buf_init(&empty, RMQ_BODY_MAX);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rmq_batch_add(&body, &item, NULL), 0);
    size_t len = body.len;
    assert_int_equal(
        rmq_producer_send_batch(fixture->producer, &anywhere, &empty, on_sent, NULL, NULL),
        RMQ_INVALID);
    send_some(fixture, &anywhere, 0, 1);
    fixture->outcomes[1].fixture = fixture;
    assert_int_equal(rmq_producer_send_batch(fixture->producer, &anywhere, &body, on_sent,
                                             &fixture->outcomes[1], NULL),
                     RMQ_AGAIN);
    assert_int_equal(body.len, len);
    run_until(fixture, 1);
    assert_int_equal(rmq_producer_send_batch(fixture->producer, &anywhere, &body, on_sent,
                                             &fixture->outcomes[1], NULL),
                     0);
    assert_null(body.data);
    run_until(fixture, 2);
    expect(fixture, 0, 2, 0);
    assert_int_equal(count_stored(fixture), 4);
    rmq_buf_deinit(&body);
    finish(fixture, 2);
}

static void what_is_too_large_is_refused_at_once(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    char *big = calloc(1, RMQ_BODY_MAX + 1);
    struct rmq_outgoing body = {.body = rmq_view(big, RMQ_BODY_MAX + 1)};
    struct rmq_outgoing batch[2] = {{.body = rmq_view(big, RMQ_BODY_MAX - 44 - 1)},
                                    {.body = rmq_view(big, 2)}};
    struct rmq_outgoing properties = {.body = rmq_view("x", 1), .properties = rmq_view(big, 32768)};
    struct rmq_producer *producer = fixture->producer;
    (void)state;
    assert_non_null(big);
    assert_int_equal(rmq_producer_send(producer, &anywhere, &body, 1, on_sent, NULL, NULL),
                     RMQ_TOO_LARGE);
    assert_int_equal(rmq_producer_send(producer, &anywhere, batch, 2, on_sent, NULL, NULL),
                     RMQ_TOO_LARGE);
    assert_int_equal(rmq_producer_send(producer, &anywhere, &properties, 1, on_sent, NULL, NULL),
                     RMQ_TOO_LARGE);
    assert_int_equal(rmq_producer_send(producer, &anywhere, batch, 0, on_sent, NULL, NULL),
                     RMQ_INVALID);
    body.body.len--;
    batch[1].body.len--;
    fixture->outcomes[0].fixture = fixture->outcomes[1].fixture = fixture;
    assert_int_equal(
        rmq_producer_send(producer, &anywhere, &body, 1, on_sent, &fixture->outcomes[0], NULL), 0);
    assert_int_equal(
        rmq_producer_send(producer, &anywhere, batch, 2, on_sent, &fixture->outcomes[1], NULL), 0);
    run_until(fixture, 2);
    expect(fixture, 0, 2, 0);
    free(big);
    finish(fixture, 2);
}

static void bad_targets_and_options_are_refused(void **state)
{
    static char long_name[200];
    struct fixture *fixture = start(1, NULL, NULL);
    const struct rmq_target bad[] = {{.topic = ""},
                                     {.topic = NULL},
                                     {.topic = long_name},
                                     {.topic = "t", .broker = ""},
                                     {.topic = "t", .broker = "b", .queue_id = -1}};
    struct rmq_outgoing message = {.body = rmq_view_str("x")};
    const struct rmq_producer_options wrong[] = {
        {.struct_size = sizeof(wrong[0])},
        {.struct_size = sizeof(wrong[0]), .group = ""},
        {.struct_size = sizeof(wrong[0]), .group = "g", .retries = -2},
        {.struct_size = sizeof(wrong[0]), .group = "g", .send_timeout_ms = -1},
        {.struct_size = sizeof(wrong[0]), .group = "g", .compression = (enum rmq_compression)1}};
    struct rmq_producer *producer = NULL;
    (void)state;
    memset(long_name, 'x', 128);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(
            rmq_producer_send(fixture->producer, &bad[i], &message, 1, on_sent, NULL, NULL),
            RMQ_INVALID);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(rmq_producer_new(fixture->client, &wrong[i], &producer, NULL),
                         RMQ_INVALID);
    finish(fixture, 0);
}

/* --- bounds --- */

static void too_much_under_way_is_refused_and_bounds_memory(void **state)
{
    struct rmq_producer_options options = {.max_in_flight = 10, .max_in_flight_bytes = 1000};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    char body[2000] = "x";
    struct rmq_outgoing message = {.body = rmq_view(body, 600)};
    (void)state;
    send_some(fixture, &anywhere, 0, 10);
    assert_int_equal(try_send(fixture, &anywhere, 10), RMQ_AGAIN);
    run_until(fixture, 10);
    fixture->outcomes[10].fixture = fixture->outcomes[11].fixture = fixture;
    assert_int_equal(rmq_producer_send(fixture->producer, &anywhere, &message, 1, on_sent,
                                       &fixture->outcomes[10], NULL),
                     0);
    assert_int_equal(rmq_producer_send(fixture->producer, &anywhere, &message, 1, on_sent,
                                       &fixture->outcomes[11], NULL),
                     RMQ_AGAIN);
    run_until(fixture, 11);
    message.body.len = sizeof(body); /* more than the limit: alone */
    assert_int_equal(rmq_producer_send(fixture->producer, &anywhere, &message, 1, on_sent,
                                       &fixture->outcomes[11], NULL),
                     0);
    run_until(fixture, 12);
    expect(fixture, 0, 12, 0);
    finish(fixture, 12);
}

static void a_broker_is_never_given_more_than_its_window(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=4", NULL);
    struct rmq_buf answer;
    (void)state;
    rmq_buf_init(&answer, 1 << 16);
    command(fixture, "late 310 -1 100");
    send_some(fixture, &anywhere, 0, 1000);
    run_ms(fixture, 60);
    assert_true(mock_command(fixture->mock, "stats", &answer));
    assert_non_null(strstr(answer.data, "\"310\":256"));
    command(fixture, "clear");
    run_until(fixture, 1000);
    expect(fixture, 0, 1000, 0);
    assert_int_equal(count_stored(fixture), 1000);
    rmq_buf_deinit(&answer);
    finish(fixture, 1000);
}

/* --- failures --- */

static void a_refusal_that_another_broker_may_take_back_is_tried_there(void **state)
{
    static const int codes[] = {1, 2, 14, 16, 17, 204, 205, 1500};
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct fixture *fixture = start(2, "topic t queues=2", NULL);
        char line[64];
        (void)snprintf(line, sizeof(line), "fail 310 -1 %d broker=broker-a", codes[i]);
        command(fixture, line);
        send_some(fixture, &anywhere, 0, 8);
        run_until(fixture, 8);
        expect(fixture, 0, 8, 0);
        for (int j = 0; j < 8; j++)
            assert_string_equal(fixture->outcomes[j].broker, "broker-b");
        assert_int_equal(count_stored(fixture), 8);
        finish(fixture, 8);
    }
}

static void other_refusals_fail_at_once_with_the_servers_code_and_text(void **state)
{
    static const int codes[] = {13, 29, 999};
    struct fixture *fixture = start(2, "topic t queues=2", NULL);
    (void)state;
    for (int i = 0; i < 3; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "fail 310 1 %d because", codes[i]);
        command(fixture, line);
        send_some(fixture, &anywhere, i, 1);
        run_until(fixture, i + 1);
        assert_int_equal(fixture->outcomes[i].rc, RMQ_REFUSED);
        assert_int_equal(fixture->outcomes[i].server_code, codes[i]);
        assert_non_null(strstr(fixture->outcomes[i].text, "because"));
        assert_true(fixture->outcomes[i].broker[0] != '\0'); /* where it was refused */
    }
    assert_int_equal(count_stored(fixture), 0);
    finish(fixture, 3);
}

static void attempts_end(void **state)
{
    struct fixture *fixture = start(2, "topic t queues=2", NULL);
    struct rmq_buf answer;
    (void)state;
    rmq_buf_init(&answer, 1 << 16);
    command(fixture, "full broker-a 1");
    command(fixture, "full broker-b 1");
    send_some(fixture, &anywhere, 0, 1);
    run_until(fixture, 1);
    expect(fixture, 0, 1, RMQ_REFUSED);
    assert_int_equal(fixture->outcomes[0].server_code, RMQ_REPLY_SERVICE_NOT_AVAILABLE);
    assert_true(mock_command(fixture->mock, "stats", &answer));
    assert_non_null(strstr(answer.data, "\"310\":3"));
    rmq_buf_deinit(&answer);
    finish(fixture, 1);
}

static void a_send_to_a_named_queue_is_tried_once(void **state)
{
    struct fixture *fixture = start(2, "topic t queues=2", NULL);
    (void)state;
    command(fixture, "fail 310 1 2");
    send_some(fixture, &queue_0, 0, 1);
    run_until(fixture, 1);
    expect(fixture, 0, 1, RMQ_REFUSED);
    send_some(fixture, &queue_0, 1, 1);
    run_until(fixture, 2);
    expect(fixture, 1, 1, 0);
    finish(fixture, 2);
}

static void an_unknown_outcome_is_reported_as_such_and_not_repeated(void **state)
{
    struct rmq_producer_options options = {.send_timeout_ms = 150};
    static const struct {
        const char *rule;
        int rc, stored;
    } cases[] = {{"close-before 310 1", RMQ_LOST, 0}, {"close-after 310 1", RMQ_LOST, 1},
                 {"cut 310 1", RMQ_LOST, 1},          {"garbage 310 1", RMQ_LOST, 1},
                 {"huge 310 1", RMQ_LOST, 1},         {"lose 310 1", RMQ_TIMEOUT, 0},
                 {"swallow 310 1", RMQ_TIMEOUT, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *fixture = start(2, "topic t queues=2", &options);
        command(fixture, cases[i].rule);
        send_some(fixture, &anywhere, 0, 1);
        run_until(fixture, 1);
        expect(fixture, 0, 1, cases[i].rc);
        assert_int_equal(count_stored(fixture), cases[i].stored);
        send_some(fixture, &anywhere, 1, 4); /* and it goes on */
        run_until(fixture, 5);
        expect(fixture, 1, 4, 0);
        finish(fixture, 5);
    }
}

static void with_retry_unknown_it_is_repeated_and_may_be_there_twice(void **state)
{
    struct rmq_producer_options options = {.retry_unknown = true};
    struct fixture *fixture = start(2, "topic t queues=2", &options);
    (void)state;
    command(fixture, "close-after 310 1");
    send_some(fixture, &anywhere, 0, 1);
    run_until(fixture, 1);
    expect(fixture, 0, 1, 0);
    assert_int_equal(count_stored(fixture), 2);
    /* Unknown once and refused then: it may still be stored, so the outcome is unknown. */
    command(fixture, "close-after 310 1");
    command(fixture, "fail 310 -1 2");
    send_some(fixture, &anywhere, 1, 1);
    run_until(fixture, 2);
    expect(fixture, 1, 1, RMQ_LOST);
    finish(fixture, 2);
}

static void a_broker_that_is_gone_is_left_out_and_comes_back(void **state)
{
    struct fixture *fixture = start(2, "topic t queues=2", NULL);
    bool back = false;
    int count = 40;
    (void)state;
    send_some(fixture, &anywhere, 0, 20);
    run_until(fixture, 20);
    expect(fixture, 0, 20, 0);
    command(fixture, "down broker-a");
    run_ms(fixture, 20); /* the close has been seen */
    send_some(fixture, &anywhere, 20, 20);
    run_until(fixture, 40);
    expect(fixture, 20, 20, 0);
    for (int i = 20; i < 40; i++)
        assert_string_equal(fixture->outcomes[i].broker, "broker-b");
    command(fixture, "up broker-a");
    for (; count < SENDS && !back; count++) {
        const struct rmq_route *route = NULL;
        (void)route;
        send_some(fixture, &anywhere, count, 1);
        run_until(fixture, count + 1);
        expect(fixture, count, 1, 0);
        back = strcmp(fixture->outcomes[count].broker, "broker-a") == 0;
        run_ms(fixture, 20);
        if (count % 50 == 49) /* a route is asked for anew after a failure, or in its time */
            command(fixture, "fail 310 1 2");
    }
    assert_true(back);
    finish(fixture, count);
}

static void a_new_leader_is_found(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=2", NULL);
    int sent = 0, stored_count = 0;
    (void)state;
    send_some(fixture, &anywhere, 0, 2);
    run_until(fixture, 2);
    expect(fixture, 0, 2, 0);
    command(fixture, "leader broker-a"); /* the old one refuses with code 2 */
    for (sent = 2; sent < 200; sent++) {
        send_some(fixture, &anywhere, sent, 1);
        run_until(fixture, sent + 1);
        if (fixture->outcomes[sent].rc == 0)
            break;
        assert_int_equal(fixture->outcomes[sent].rc, RMQ_REFUSED);
        run_ms(fixture, 20);
    }
    assert_int_equal(fixture->outcomes[sent].rc, 0);
    stored_count = count_stored(fixture);
    assert_int_equal(stored_count, 3);
    finish(fixture, sent + 1);
}

static void slow_brokers_are_left_out_with_avoid_faults(void **state)
{
    struct rmq_producer_options options = {.avoid_faults = true};
    struct fixture *fixture = start(2, "topic t queues=1", &options);
    int at_a = 0;
    (void)state;
    command(fixture, "delay 310 1 600 broker=broker-a"); /* 550 ms cost two seconds */
    send_some(fixture, &anywhere, 0, 2);
    run_until(fixture, 2);
    expect(fixture, 0, 2, 0);
    send_some(fixture, &anywhere, 2, 20);
    run_until(fixture, 22);
    for (int i = 2; i < 22; i++)
        at_a += strcmp(fixture->outcomes[i].broker, "broker-a") == 0;
    assert_int_equal(at_a, 0);
    run_ms(fixture, 2100);
    send_some(fixture, &anywhere, 22, 20);
    run_until(fixture, 42);
    for (int i = 22; i < 42; i++)
        at_a += strcmp(fixture->outcomes[i].broker, "broker-a") == 0;
    assert_int_equal(at_a, 10);
    finish(fixture, 42);
}

static void replies_out_of_order_slow_or_twice_reach_their_sends(void **state)
{
    static const char *const lines[] = {"reverse 310 100", "slow 1", "twice 310 50", "binary 1"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct fixture *fixture = start(1, "topic t queues=4", NULL);
        command(fixture, lines[i]);
        send_some(fixture, &anywhere, 0, 100);
        run_until(fixture, 100);
        expect(fixture, 0, 100, 0);
        json_t *list = stored(fixture);
        assert_int_equal(json_array_size(list), 100);
        for (size_t j = 0; j < 100; j++) { /* each result is that of its message */
            const struct outcome *outcome = &fixture->outcomes[number_of(list, j, "flag")];
            assert_int_equal(outcome->queue_id, number_of(list, j, "queue"));
            assert_int_equal(outcome->queue_offset, number_of(list, j, "offset"));
        }
        json_decref(list);
        finish(fixture, 100);
    }
}

/* --- topics --- */

static void a_missing_topic_is_not_found(void **state)
{
    struct fixture *fixture = start(1, NULL, NULL);
    (void)state;
    send_some(fixture, &anywhere, 0, 3);
    send_some(fixture, &queue_0, 3, 1);
    run_until(fixture, 4);
    expect(fixture, 0, 4, RMQ_NOT_FOUND);
    assert_string_equal(fixture->outcomes[0].broker, "");
    assert_int_equal(count_stored(fixture), 0);
    command(fixture, "topic t queues=1"); /* and is found once it is made */
    send_some(fixture, &anywhere, 4, 1);
    run_until(fixture, 5);
    expect(fixture, 4, 1, 0);
    finish(fixture, 5);
}

static void with_auto_create_a_broker_makes_the_topic(void **state)
{
    struct rmq_producer_options options = {.auto_create = true, .auto_create_queues = 3};
    struct fixture *fixture = start(2, NULL, &options);
    (void)state;
    send_some(fixture, &anywhere, 0, 30);
    run_until(fixture, 30);
    expect(fixture, 0, 30, 0);
    for (int i = 0; i < 30; i++)
        assert_in_range(fixture->outcomes[i].queue_id, 0, 2);
    assert_int_equal(count_stored(fixture), 30);
    finish(fixture, 30);
}

static void without_auto_create_a_broker_makes_no_topic_either(void **state)
{
    struct fixture *fixture = start(2, "topic t queues=1 broker=broker-a", NULL);
    struct rmq_target wrong = {.topic = "t", .broker = "broker-b"};
    (void)state;
    send_some(fixture, &anywhere, 0, 1); /* now its client knows both brokers */
    run_until(fixture, 1);
    send_some(fixture, &wrong, 1, 1);
    run_until(fixture, 2);
    assert_true(fixture->outcomes[1].rc == RMQ_REFUSED ||
                fixture->outcomes[1].rc == RMQ_UNREACHABLE);
    finish(fixture, 2);
}

static void without_a_name_server_a_send_is_surely_not_stored(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    struct rmq_client_options options = {
        .struct_size = sizeof(options), .name_servers = "127.0.0.1:1", .request_timeout_ms = 500};
    struct rmq_producer_options mine = {.struct_size = sizeof(mine), .group = "g"};
    struct rmq_client *client;
    (void)state;
    rmq_producer_close(fixture->producer);
    assert_int_equal(rmq_client_new(&fixture->loop, &options, &client, NULL), 0);
    assert_int_equal(rmq_producer_new(client, &mine, &fixture->producer, NULL), 0);
    send_some(fixture, &anywhere, 0, 2);
    run_until(fixture, 2);
    expect(fixture, 0, 2, RMQ_UNREACHABLE);
    rmq_producer_close(fixture->producer);
    fixture->producer = NULL;
    rmq_client_close(client, NULL, NULL);
    finish(fixture, 2);
}

static void the_group_shows_in_the_brokers_list_until_the_producer_closes(void **state)
{
    struct fixture *fixture = start(1, "topic t queues=1", NULL);
    struct rmq_buf answer;
    (void)state;
    rmq_buf_init(&answer, 1 << 16);
    send_some(fixture, &anywhere, 0, 1);
    run_until(fixture, 1);
    do {
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
        answer.len = 0;
        assert_true(mock_command(fixture->mock, "stats", &answer));
    } while (strstr(answer.data, "\"members\":1") == NULL);
    rmq_producer_close(fixture->producer);
    fixture->producer = NULL;
    do {
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
        answer.len = 0;
        assert_true(mock_command(fixture->mock, "stats", &answer));
    } while (strstr(answer.data, "\"members\":0") == NULL);
    rmq_buf_deinit(&answer);
    finish(fixture, 1);
}

/* --- order --- */

static void ordered_sends_to_a_queue_are_stored_in_the_order_of_the_calls(void **state)
{
    struct rmq_producer_options options = {.ordered = true};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    (void)state;
    command(fixture, "late 310 20 3"); /* would be overtaken if more were in flight */
    send_some(fixture, &queue_0, 0, 500);
    run_until(fixture, 500);
    expect(fixture, 0, 500, 0);
    expect_bodies_in_order(fixture, 500);
    for (int i = 0; i < 500; i++)
        assert_int_equal(fixture->outcomes[i].place, i);
    finish(fixture, 500);
}

static void ordered_queues_do_not_wait_for_each_other(void **state)
{
    struct rmq_producer_options options = {.ordered = true};
    struct fixture *fixture = start(1, "topic t queues=2", &options);
    (void)state;
    command(fixture, "late 310 1 300 queue=0");
    send_some(fixture, &queue_0, 0, 10);
    send_some(fixture, &queue_1, 10, 10);
    run_until(fixture, 10);
    expect(fixture, 10, 10, 0); /* those of queue 1 are the first ten */
    for (int i = 10; i < 20; i++)
        assert_int_equal(fixture->outcomes[i].calls, 1);
    run_until(fixture, 20);
    expect(fixture, 0, 10, 0);
    finish(fixture, 20);
}

static void behind_a_failure_nothing_is_sent_until_resume(void **state)
{
    struct rmq_producer_options options = {.ordered = true};
    struct fixture *fixture = start(1, "topic t queues=2", &options);
    (void)state;
    send_some(fixture, &queue_0, 0, 3);
    run_until(fixture, 3);
    command(fixture, "fail 310 1 2 queue=0");
    send_some(fixture, &queue_0, 3, 5);
    send_some(fixture, &queue_1, 100, 5); /* not concerned */
    run_until(fixture, 13);
    expect(fixture, 3, 1, RMQ_REFUSED);
    expect(fixture, 4, 4, RMQ_ABORTED);
    expect(fixture, 100, 5, 0);
    for (int i = 3; i < 7; i++)
        assert_true(fixture->outcomes[i].place < fixture->outcomes[i + 1].place);
    send_some(fixture, &queue_0, 8, 2);
    run_until(fixture, 15);
    expect(fixture, 8, 2, RMQ_ABORTED);
    rmq_producer_resume(fixture->producer, "t", "broker-a", 0);
    fixture->outcomes[3].calls = 0;
    send_some(fixture, &queue_0, 3, 1);
    run_until(fixture, 16);
    expect(fixture, 3, 1, 0);
    finish(fixture, 10);
}

static void resuming_in_the_callback_still_aborts_those_behind(void **state)
{
    struct rmq_producer_options options = {.ordered = true};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    (void)state;
    command(fixture, "fail 310 1 14");
    fixture->resume_in_callback = true;
    send_some(fixture, &queue_0, 0, 10);
    run_until(fixture, 10);
    expect(fixture, 0, 1, RMQ_REFUSED);
    expect(fixture, 1, 9, RMQ_ABORTED);
    send_some(fixture, &queue_0, 10, 1);
    run_until(fixture, 11);
    expect(fixture, 10, 1, 0);
    finish(fixture, 11);
}

static void an_ordered_timeout_takes_the_connection_with_it(void **state)
{
    struct rmq_producer_options options = {.ordered = true, .send_timeout_ms = 100};
    struct fixture *fixture = start(1, "topic t queues=2", &options);
    (void)state;
    command(fixture, "late 310 1 400 queue=0"); /* it would be stored behind what follows */
    send_some(fixture, &queue_0, 0, 2);
    run_until(fixture, 2);
    expect(fixture, 0, 1, RMQ_TIMEOUT);
    expect(fixture, 1, 1, RMQ_ABORTED);
    rmq_producer_resume(fixture->producer, "t", "broker-a", 0);
    send_some(fixture, &queue_0, 2, 1);
    run_until(fixture, 3);
    expect(fixture, 2, 1, 0);
    run_ms(fixture, 500);
    assert_int_equal(count_stored(fixture), 1);
    finish(fixture, 3);
}

static void an_ordered_send_without_a_queue_takes_one_that_is_not_blocked(void **state)
{
    struct rmq_producer_options options = {.ordered = true};
    struct fixture *fixture = start(1, "topic t queues=2", &options);
    (void)state;
    command(fixture, "fail 310 1 2 queue=0");
    send_some(fixture, &queue_0, 0, 1);
    run_until(fixture, 1);
    send_some(fixture, &anywhere, 1, 6);
    run_until(fixture, 7);
    expect(fixture, 1, 6, 0);
    for (int i = 1; i < 7; i++)
        assert_int_equal(fixture->outcomes[i].queue_id, 1);
    command(fixture, "fail 310 1 2 queue=1");
    send_some(fixture, &queue_1, 7, 1);
    run_until(fixture, 8);
    send_some(fixture, &anywhere, 8, 1);
    run_until(fixture, 9);
    expect(fixture, 8, 1, RMQ_ABORTED);
    finish(fixture, 9);
}

/* --- closing --- */

static void closing_ends_all_at_any_moment(void **state)
{
    (void)state;
    for (int turns = 0; turns < 16; turns++) {
        struct rmq_producer_options options = {.ordered = turns % 2 == 0};
        struct fixture *fixture = start(2, "topic t queues=2", &options);
        if (turns % 3 == 0)
            command(fixture, "swallow 310 -1");
        send_some(fixture, &anywhere, 0, 50);
        send_some(fixture, &queue_0, 50, 50);
        for (int i = 0; i < turns; i++)
            (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        rmq_producer_close(fixture->producer);
        fixture->producer = NULL;
        assert_int_equal(fixture->ended, 100); /* before it returns */
        for (int i = 0; i < 100; i++)
            assert_true(fixture->outcomes[i].rc == 0 || fixture->outcomes[i].rc == RMQ_CLOSED);
        finish(fixture, 100);
    }
}

static void closing_works_from_a_callback(void **state)
{
    static const char *const rules[] = {"twice 310 1", "fail 310 -1 13", "close-before 310 1",
                                        "lose 310 1", "fail 105 -1 17"};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rules) / sizeof(rules[0]); i++) {
        struct rmq_producer_options options = {.ordered = i % 2 == 0, .send_timeout_ms = 50};
        struct fixture *fixture = start(2, "topic t queues=2", &options);
        command(fixture, rules[i / 2]);
        fixture->close_in_callback = true;
        send_some(fixture, &queue_0, 0, 20);
        send_some(fixture, &anywhere, 20, 20);
        run_until(fixture, 40);
        assert_null(fixture->producer);
        finish(fixture, 40);
    }
}

/* --- keys --- */

static void a_key_chooses_the_queue_as_the_java_client_does(void **state)
{
    char binary[4] = {(char)0xFF, (char)0xFE, 0, 1};
    size_t seen[8] = {0};
    (void)state;
    /* "TagA".hashCode() is 2598919; "polygenelubricants" is the smallest int. */
    assert_int_equal(rmq_queue_by_key(rmq_view_str("TagA"), 8), 2598919 % 8);
    assert_int_equal(rmq_queue_by_key(rmq_view_str("polygenelubricants"), 7),
                     (size_t)(2147483648LL % 7));
    assert_int_equal(rmq_queue_by_key(rmq_view_str(""), 5), 0);
    assert_int_equal(rmq_queue_by_key(rmq_view_str("x"), 0), 0);
    for (int i = 0; i < 4096; i++) { /* keys that are no text spread, too */
        binary[2] = (char)(i >> 8);
        binary[3] = (char)i;
        seen[rmq_queue_by_key(rmq_view(binary, 4), 8)]++;
    }
    for (size_t i = 0; i < 8; i++)
        assert_in_range(seen[i], 400, 650);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_stored_as_it_was_given_and_the_result_says_where),
        cmocka_unit_test(sends_without_a_queue_go_round_all_that_can_be_written_to),
        cmocka_unit_test(an_empty_body_is_stored_as_an_empty_message),
        cmocka_unit_test(a_body_is_compressed_when_asked_for_and_when_that_helps),
        cmocka_unit_test(codes_10_11_and_12_are_stored_with_a_warning),
        cmocka_unit_test(a_batch_is_stored_at_consecutive_offsets_and_only_wait_stands_outside),
        cmocka_unit_test(messages_of_one_batch_agree_about_wait),
        cmocka_unit_test(a_batch_made_before_is_taken_over_only_with_success),
        cmocka_unit_test(what_is_too_large_is_refused_at_once),
        cmocka_unit_test(bad_targets_and_options_are_refused),
        cmocka_unit_test(too_much_under_way_is_refused_and_bounds_memory),
        cmocka_unit_test(a_broker_is_never_given_more_than_its_window),
        cmocka_unit_test(a_refusal_that_another_broker_may_take_back_is_tried_there),
        cmocka_unit_test(other_refusals_fail_at_once_with_the_servers_code_and_text),
        cmocka_unit_test(attempts_end),
        cmocka_unit_test(a_send_to_a_named_queue_is_tried_once),
        cmocka_unit_test(an_unknown_outcome_is_reported_as_such_and_not_repeated),
        cmocka_unit_test(with_retry_unknown_it_is_repeated_and_may_be_there_twice),
        cmocka_unit_test(a_broker_that_is_gone_is_left_out_and_comes_back),
        cmocka_unit_test(a_new_leader_is_found),
        cmocka_unit_test(slow_brokers_are_left_out_with_avoid_faults),
        cmocka_unit_test(replies_out_of_order_slow_or_twice_reach_their_sends),
        cmocka_unit_test(a_missing_topic_is_not_found),
        cmocka_unit_test(with_auto_create_a_broker_makes_the_topic),
        cmocka_unit_test(without_auto_create_a_broker_makes_no_topic_either),
        cmocka_unit_test(without_a_name_server_a_send_is_surely_not_stored),
        cmocka_unit_test(the_group_shows_in_the_brokers_list_until_the_producer_closes),
        cmocka_unit_test(ordered_sends_to_a_queue_are_stored_in_the_order_of_the_calls),
        cmocka_unit_test(ordered_queues_do_not_wait_for_each_other),
        cmocka_unit_test(behind_a_failure_nothing_is_sent_until_resume),
        cmocka_unit_test(resuming_in_the_callback_still_aborts_those_behind),
        cmocka_unit_test(an_ordered_timeout_takes_the_connection_with_it),
        cmocka_unit_test(an_ordered_send_without_a_queue_takes_one_that_is_not_blocked),
        cmocka_unit_test(closing_ends_all_at_any_moment),
        cmocka_unit_test(closing_works_from_a_callback),
        cmocka_unit_test(a_key_chooses_the_queue_as_the_java_client_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
