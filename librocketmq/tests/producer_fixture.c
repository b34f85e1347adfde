/* SPDX-License-Identifier: Apache-2.0 */
/* producer_fixture.h */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "producer_fixture.h"
#include <stdio.h>
#include <stdlib.h>

const struct rmq_target anywhere = {.topic = "t"};
const struct rmq_target queue_0 = {.topic = "t", .broker = "broker-a", .queue_id = 0};
const struct rmq_target queue_1 = {.topic = "t", .broker = "broker-a", .queue_id = 1};

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

void command(struct fixture *fixture, const char *line)
{
    struct rmq_buf answer;
    rmq_buf_init(&answer, 1 << 20);
    assert_true(mock_command(fixture->mock, line, &answer));
    assert_int_equal(strncmp(answer.data, "{\"ok\"", 5), 0);
    rmq_buf_deinit(&answer);
}

struct fixture *start(int brokers, const char *topic_line,
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

void finish(struct fixture *fixture, int asked)
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

void on_sent(void *arg, int rc, const struct rmq_send_result *result, const struct rmq_err *err)
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

int try_send(struct fixture *fixture, const struct rmq_target *target, int number)
{
    char body[16];
    struct rmq_outgoing message = {.flag = number};
    struct outcome *outcome = &fixture->outcomes[number];
    outcome->fixture = fixture;
    outcome->number = number;
    message.body = rmq_view(body, (size_t)snprintf(body, sizeof(body), "%d", number));
    return rmq_producer_send(fixture->producer, target, &message, 1, on_sent, outcome, NULL);
}

void send_some(struct fixture *fixture, const struct rmq_target *target, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        assert_int_equal(try_send(fixture, target, i), 0);
        assert_int_equal(fixture->outcomes[i].calls, 0); /* never from inside */
    }
}

void run_until(struct fixture *fixture, int ended)
{
    while (fixture->ended < ended)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
}

void run_ms(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = uv_now(&fixture->loop) + ms;
    while (uv_now(&fixture->loop) < end)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

void expect(struct fixture *fixture, int from, int count, int rc)
{
    for (int i = from; i < from + count; i++)
        if (fixture->outcomes[i].rc != rc)
            fail_msg("send %d: %s (%s); %s is expected", i, rmq_error_name(fixture->outcomes[i].rc),
                     fixture->outcomes[i].text, rmq_error_name(rc));
}

json_t *stored(struct fixture *fixture)
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

const char *text_of(json_t *list, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(list, i), key));
}

int64_t number_of(json_t *list, size_t i, const char *key)
{
    return json_integer_value(json_object_get(json_array_get(list, i), key));
}

void expect_bodies_in_order(struct fixture *fixture, int count)
{
    json_t *list = stored(fixture);
    assert_int_equal(json_array_size(list), count);
    for (int i = 0; i < count; i++)
        assert_int_equal(atoi(text_of(list, (size_t)i, "body")), i);
    json_decref(list);
}

int count_stored(struct fixture *fixture)
{
    json_t *list = stored(fixture);
    int count = (int)json_array_size(list);
    json_decref(list);
    return count;
}
