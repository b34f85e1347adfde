/* SPDX-License-Identifier: Apache-2.0 */
/* A puller against a model of a broker that answers late, in any order, short, wrong or not at all.
 * What must hold whatever happens: every message once, in order. RMQ_SEED repeats one round,
 * RMQ_ROUNDS asks for more of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fake_client.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
    struct rmq_client *client;
    struct rmq_puller *puller;
    int64_t at;       /* the next offset that must come */
    int64_t messages; /* seen */
    int errors, moved;
    bool can_move, ready_allowed;
    int take_max; /* blocks at a time; 0: all */
    size_t ready_calls;
    const struct rmq_block *kept;
};

static void check_block(struct reader *reader, const struct rmq_block *block)
{
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    int rc;
    bool first = true;
    assert_true(block->next_offset > reader->at);
    while ((rc = rmq_message_next(&rest, &message, NULL)) == 1) {
        while (reader->at < message.queue_offset) { /* only those that do not match are left out */
            assert_false(fake_wanted(reader->client, reader->at));
            reader->at++;
        }
        assert_int_equal(message.queue_offset, reader->at);
        assert_true(!first || message.queue_offset == block->first_offset);
        assert_true(fake_body_is(message.body, 0, message.queue_offset));
        first = false;
        reader->at++;
        reader->messages++;
    }
    assert_int_equal(rc, 0);
    for (; reader->at < block->next_offset; reader->at++)
        assert_false(fake_wanted(reader->client, reader->at));
    assert_int_equal(reader->at, block->next_offset);
}

static int take(struct reader *reader, int most)
{
    const struct rmq_block *block;
    struct rmq_err err;
    int64_t offset = -1;
    int taken = 0;
    int rc = 0;
    while ((most == 0 || taken < most) &&
           (rc = rmq_puller_next(reader->puller, &block, &offset, &err)) != 0) {
        if (rc == 1) {
            check_block(reader, block);
            rmq_block_unref(block);
            taken++;
        } else if (rc == RMQ_MOVED) {
            assert_true(reader->can_move);
            assert_true(offset != reader->at);
            reader->at = offset;
            reader->moved++;
        } else {
            assert_int_equal(rc, err.code);
            assert_true(err.text[0] != '\0');
            reader->errors++;
        }
        assert_int_equal(rmq_puller_offset(reader->puller), reader->at);
    }
    return taken;
}

static void on_ready(void *arg)
{
    struct reader *reader = arg;
    assert_true(reader->ready_allowed);
    reader->ready_calls++;
    if (reader->take_max >= 0)
        (void)take(reader, reader->take_max);
}

static void open_puller(struct reader *reader, struct rmq_client *client, int64_t offset,
                        int in_flight, size_t bytes)
{
    struct rmq_puller_options options = {
        .struct_size = sizeof(options),
        .group = "g",
        .topic = "t",
        .broker = "broker-a",
        .offset = offset,
        .max_in_flight = in_flight,
        .max_bytes = bytes,
        .check = true,
        .ready = on_ready,
        .arg = reader,
    };
    memset(reader, 0, sizeof(*reader));
    reader->client = client;
    reader->at = offset;
    assert_int_equal(rmq_puller_new(client, &options, &reader->puller, NULL), 0);
    reader->ready_allowed = true;
}

static unsigned seed_now;
static bool seeds_done;

static int name_seed(void **state)
{
    (void)state;
    if (!seeds_done)
        fprintf(stderr, "failed with RMQ_SEED=%u\n", seed_now);
    return 0;
}

static void one_round(unsigned seed)
{
    struct rmq_client client;
    struct reader reader;
    fake_seed(seed);
    fake_client_init(&client, "t", 1, 1);
    fake_client_spin(&client);
    struct fake_queue *queue = &client.queues[0];
    client.append_until = 500 + fake_random() % 8000;
    client.append_max = (int)(fake_random() % 400) + 1;
    queue->min = fake_random() % 100;
    queue->max = queue->min + fake_random() % (unsigned)(client.append_until - queue->min);
    client.reply_max = fake_chance(500) ? 32 : 1 + (int)(fake_random() % 32);
    client.filter = fake_chance(300);
    client.cut = fake_chance(500) ? (int)(fake_random() % 400) : 0;
    client.lose = fake_chance(500) ? (int)(fake_random() % 50) : 0;
    client.refuse = fake_chance(500) ? (int)(fake_random() % 50) : 0;
    client.corrupt = fake_chance(300) ? (int)(fake_random() % 50) : 0;
    client.refuse_call = fake_chance(300) ? (int)(fake_random() % 50) : 0;
    client.stray_replica = fake_chance(200) ? 20 : 0;
    open_puller(&reader, &client, queue->min, 1 + (int)(fake_random() % 20),
                fake_chance(500) ? 0 : 1000 + fake_random() % 50000);
    bool seeks = fake_chance(300);
    while (reader.at < client.append_until) {
        reader.ready_allowed = true;
        reader.take_max = fake_chance(300) ? -1 : (int)(fake_random() % 4);
        uv_run(&client.loop, UV_RUN_ONCE);
        reader.ready_allowed = false; /* never inside a call */
        if (fake_chance(500))
            (void)take(&reader, (int)(fake_random() % 3));
        if (fake_chance(20))
            rmq_puller_pause(reader.puller, true);
        if (fake_chance(500))
            rmq_puller_pause(reader.puller, false);
        if (seeks && fake_chance(5)) {
            reader.at = queue->min + fake_random() % (unsigned)(queue->max - queue->min + 1);
            rmq_puller_seek(reader.puller, reader.at);
        }
    }
    rmq_puller_pause(reader.puller, false);
    reader.ready_allowed = true;
    for (int i = 0; i < 5; i++)
        uv_run(&client.loop, UV_RUN_ONCE);
    (void)take(&reader, 0);
    assert_int_equal(reader.at, client.append_until);
    reader.ready_allowed = false;
    rmq_puller_close(reader.puller);
    if (fake_chance(500))
        uv_run(&client.loop, UV_RUN_ONCE);
    fake_client_deinit(&client);
}

static void test_random(void **state)
{
    (void)state;
    const char *seed = getenv("RMQ_SEED");
    const char *rounds = getenv("RMQ_ROUNDS");
    unsigned first = seed == NULL ? (unsigned)uv_hrtime() : (unsigned)strtoul(seed, NULL, 10);
    unsigned count = seed != NULL ? 1 : rounds == NULL ? 200 : (unsigned)strtoul(rounds, NULL, 10);
    for (unsigned i = 0; i < count; i++) {
        seed_now = first + i;
        one_round(first + i);
    }
    fprintf(stderr, "seeds %u to %u\n", first, seed_now);
    seeds_done = true;
}

static void test_window(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 20000;
    open_puller(&reader, &client, 0, 16, 0);
    assert_int_equal(client.pending_count, 1);
    FAKE_RUN_UNTIL(&client, reader.at == 20000);
    assert_int_equal(client.pending_most, 16);
    FAKE_RUN_UNTIL(&client, client.pending_count > 0); /* at the end one waits */
    assert_int_equal(client.pending_count, 1);
    size_t asked = client.asked[RMQ_PULL_MESSAGE];
    assert_true(asked <= 20000 / 32 + 20); /* nothing in vain */
    client.append_until++;
    FAKE_RUN_UNTIL(&client, reader.at == 20001);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

/* A broker that gives fewer than asked for, as from disk: the stride follows. */
static void test_stride(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 8000;
    client.reply_max = 8;
    open_puller(&reader, &client, 0, 16, 0);
    FAKE_RUN_UNTIL(&client, reader.at == 8000);
    assert_int_equal(client.pending_most, 16);
    assert_true(client.asked[RMQ_PULL_MESSAGE] <= 1000 + 100);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

static void test_bounded(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 20000;
    open_puller(&reader, &client, 0, 16, 64 << 10);
    reader.take_max = -1; /* nobody takes */
    for (int i = 0; i < 100; i++)
        uv_run(&client.loop, UV_RUN_ONCE);
    assert_int_equal(client.pending_count, 0);
    assert_in_range(client.asked[RMQ_PULL_MESSAGE], 5, 20);
    assert_int_equal(reader.ready_calls, 1);
    reader.take_max = 0;
    (void)take(&reader, 0);
    FAKE_RUN_UNTIL(&client, reader.at == 20000);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

static void test_moved(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].min = 500;
    client.queues[0].max = client.append_until = 1000;
    open_puller(&reader, &client, 3, 16, 0);
    reader.can_move = true;
    FAKE_RUN_UNTIL(&client, reader.at == 1000);
    assert_int_equal(reader.moved, 1);
    assert_int_equal(reader.messages, 500);
    client.queues[0].max = client.queues[0].min = 200; /* the broker has lost its end */
    client.append_until = 200;
    FAKE_RUN_UNTIL(&client, reader.at == 200);
    client.append_until = 300;
    FAKE_RUN_UNTIL(&client, reader.at == 300);
    assert_int_equal(reader.moved, 2);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

/* Offsets beyond all that any broker counts to are not reckoned with. */
static void test_absurd_offsets_are_refused(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.append_max = -1;
    client.queues[0].min = client.queues[0].max = client.append_until = INT64_MAX - 3;
    open_puller(&reader, &client, 0, 16, 0);
    FAKE_RUN_UNTIL(&client, reader.errors == 1);
    assert_int_equal(reader.moved, 0);
    client.queues[0].min = 0;
    client.queues[0].max = client.append_until = 100;
    FAKE_RUN_UNTIL(&client, reader.at == 100);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

/* A broker tells a reset to the first pull that comes, and to no other: whichever that is, a guess
 * or one given up, reading goes on where the reset says. */
static void test_reset_told_to_any_pull(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct rmq_client client;
        struct reader reader;
        fake_seed(seed);
        fake_client_init(&client, "t", 1, 1);
        fake_client_spin(&client);
        client.queues[0].max = client.append_until = 20000;
        open_puller(&reader, &client, 0, 16, 0);
        reader.can_move = true;
        FAKE_RUN_UNTIL(&client, reader.at > 5000 && client.pending_count > 8);
        if (seed % 5 == 0) { /* all those on their way are given up */
            reader.at = 7000;
            rmq_puller_seek(reader.puller, 7000);
        }
        client.queues[0].reset = 100;
        FAKE_RUN_UNTIL(&client, client.queues[0].reset < 0);
        FAKE_RUN_UNTIL(&client, reader.at == 20000);
        assert_int_equal(reader.moved, 1);
        rmq_puller_close(reader.puller);
        fake_client_deinit(&client);
    }
}

static void test_error_told_once(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 100;
    client.refuse_call = 1000;
    open_puller(&reader, &client, 0, 16, 0);
    for (int i = 0; i < 100; i++)
        uv_run(&client.loop, UV_RUN_ONCE);
    assert_int_equal(reader.errors, 1); /* not of "queue is full" */
    client.refuse_call = 0;
    client.corrupt = 1000;
    for (int i = 0; i < 100; i++)
        uv_run(&client.loop, UV_RUN_ONCE);
    assert_int_equal(reader.errors, 2);
    client.corrupt = 0;
    FAKE_RUN_UNTIL(&client, reader.at == 100);
    assert_int_equal(reader.errors, 2);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

/* Who knows that the broker is back need not wait for the end of the pause behind a failure. */
static void test_going_on_ends_the_pause(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader;
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 100;
    client.refuse_call = 1000;
    open_puller(&reader, &client, 0, 1, 0);
    FAKE_RUN_UNTIL(&client, reader.errors == 1);
    client.refuse_call = 0;
    assert_int_equal(client.pending_count, 0);
    rmq_puller_pause(reader.puller, false);
    assert_int_equal(client.pending_count, 1); /* at once */
    FAKE_RUN_UNTIL(&client, reader.at == 100);
    rmq_puller_close(reader.puller);
    fake_client_deinit(&client);
}

static void test_invalid(void **state)
{
    (void)state;
    struct rmq_client client;
    struct rmq_puller *puller;
    struct rmq_err err;
    fake_client_init(&client, "t", 1, 1);
    struct rmq_puller_options options = {.struct_size = sizeof(options), .topic = "t"};
    assert_int_equal(rmq_puller_new(&client, &options, &puller, &err), RMQ_INVALID);
    options.group = "g";
    options.broker = "broker-a";
    options.ready = on_ready;
    options.offset = -1;
    assert_int_equal(rmq_puller_new(&client, &options, &puller, &err), RMQ_INVALID);
    assert_non_null(strstr(err.text, "offset -1"));
    fake_client_deinit(&client);
}

static void close_in_ready(void *arg)
{
    struct reader *reader = arg;
    const struct rmq_block *block;
    assert_int_equal(rmq_puller_next(reader->puller, &block, NULL, NULL), 1);
    reader->kept = block;
    rmq_puller_close(reader->puller);
    reader->puller = NULL;
}

static void *drop_block(void *arg)
{
    rmq_block_unref(arg);
    return NULL;
}

/* Closed from ready with pulls in flight; the block outlives all and ends on another thread. */
static void test_close_in_ready(void **state)
{
    (void)state;
    struct rmq_client client;
    struct reader reader = {0};
    fake_client_init(&client, "t", 1, 1);
    client.queues[0].max = client.append_until = 1000;
    struct rmq_puller_options options = {.struct_size = sizeof(options),
                                         .group = "g",
                                         .topic = "t",
                                         .broker = "broker-a",
                                         .ready = close_in_ready,
                                         .arg = &reader};
    assert_int_equal(rmq_puller_new(&client, &options, &reader.puller, NULL), 0);
    FAKE_RUN_UNTIL(&client, reader.puller == NULL);
    fake_client_deinit(&client);
    assert_int_equal(reader.kept->next_offset, 32);
    pthread_t thread;
    const struct rmq_block *second = rmq_block_ref(reader.kept);
    assert_int_equal(pthread_create(&thread, NULL, drop_block, (void *)(uintptr_t)second), 0);
    rmq_block_unref(reader.kept);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_stride),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_absurd_offsets_are_refused),
        cmocka_unit_test(test_reset_told_to_any_pull),
        cmocka_unit_test(test_error_told_once),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_going_on_ends_the_pause),
        cmocka_unit_test(test_close_in_ready),
        cmocka_unit_test_teardown(test_random, name_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
