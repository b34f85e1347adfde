/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of producer.h about what is sent, its bounds, order and closing, each as a test,
 * against the mock broker on the same loop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "producer_fixture.h"
#include <stdio.h>
#include <stdlib.h>

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
