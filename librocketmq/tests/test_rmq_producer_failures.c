/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of producer.h about brokers and topics that fail, move or are not there, each as a
 * test, against the mock broker on the same loop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "producer_fixture.h"
#include <stdio.h>
#include <stdlib.h>

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

/* A send that rests before its next attempt when its topic loses the last broker, and with it the
 * route: it asks for the route again, and ends when there is none. */
static void a_route_that_goes_away_between_two_attempts_ends_them(void **state)
{
    struct rmq_producer_options options = {.retries = 8};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    struct rmq_buf answer;
    (void)state;
    rmq_buf_init(&answer, 1 << 16);
    send_some(fixture, &anywhere, 0, 1);
    run_until(fixture, 1);
    command(fixture, "fail 310 -1 2"); /* busy: each attempt is followed by a longer rest */
    send_some(fixture, &anywhere, 1, 39);
    do { /* the fifth attempts, behind which a long rest comes: nothing is on its way then */
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
        answer.len = 0;
        assert_true(mock_command(fixture->mock, "stats", &answer));
    } while (memmem(answer.data, answer.len, "\"310\":196", 9) == NULL);
    run_ms(fixture, 20);
    assert_int_equal(fixture->ended, 1);
    command(fixture, "down broker-a");
    rmq_buf_deinit(&answer);
    run_until(fixture, 40);
    expect(fixture, 1, 39, RMQ_NOT_FOUND); /* surely not stored, all of them */
    command(fixture, "clear");
    command(fixture, "up broker-a");
    send_some(fixture, &anywhere, 40, 1);
    run_until(fixture, 41);
    expect(fixture, 40, 1, 0);
    assert_int_equal(count_stored(fixture), 2);
    finish(fixture, 41);
}

static void a_send_of_unknown_outcome_stays_so_when_its_route_goes_away(void **state)
{
    struct rmq_producer_options options = {.retries = 8, .retry_unknown = true};
    struct fixture *fixture = start(1, "topic t queues=1", &options);
    (void)state;
    send_some(fixture, &anywhere, 0, 1);
    run_until(fixture, 1);
    command(fixture, "close-after 310 1");
    command(fixture, "fail 310 -1 2");
    send_some(fixture, &anywhere, 1, 1);
    while (count_stored(fixture) < 2)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    run_ms(fixture, 50);
    command(fixture, "down broker-a");
    run_until(fixture, 2);
    expect(fixture, 1, 1, RMQ_LOST);
    finish(fixture, 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_that_another_broker_may_take_back_is_tried_there),
        cmocka_unit_test(other_refusals_fail_at_once_with_the_servers_code_and_text),
        cmocka_unit_test(attempts_end),
        cmocka_unit_test(a_send_to_a_named_queue_is_tried_once),
        cmocka_unit_test(an_unknown_outcome_is_reported_as_such_and_not_repeated),
        cmocka_unit_test(with_retry_unknown_it_is_repeated_and_may_be_there_twice),
        cmocka_unit_test(a_broker_that_is_gone_is_left_out_and_comes_back),
        cmocka_unit_test(a_route_that_goes_away_between_two_attempts_ends_them),
        cmocka_unit_test(a_send_of_unknown_outcome_stays_so_when_its_route_goes_away),
        cmocka_unit_test(a_new_leader_is_found),
        cmocka_unit_test(slow_brokers_are_left_out_with_avoid_faults),
        cmocka_unit_test(replies_out_of_order_slow_or_twice_reach_their_sends),
        cmocka_unit_test(a_missing_topic_is_not_found),
        cmocka_unit_test(with_auto_create_a_broker_makes_the_topic),
        cmocka_unit_test(without_auto_create_a_broker_makes_no_topic_either),
        cmocka_unit_test(without_a_name_server_a_send_is_surely_not_stored),
        cmocka_unit_test(the_group_shows_in_the_brokers_list_until_the_producer_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
