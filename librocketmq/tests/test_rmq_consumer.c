/* SPDX-License-Identifier: Apache-2.0 */
/* A group member over a model of brokers: what it begins with, keeps, gives back and commits, and
 * that it can be closed at any moment. A second of the consumer is 20 ms here. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fake_client.h"
#include <stdio.h>
#include <stdlib.h>

struct member {
    struct rmq_client client;
    struct rmq_consumer *consumer;
    int64_t at[FAKE_QUEUES]; /* what must come next; -1: whatever comes */
    bool mine[FAKE_QUEUES];
    size_t mine_count, assigned;
    int64_t messages;
    int errors, moved;
    bool closed, mark; /* say done for what was read */
    bool repeats;      /* a lock that was lost and is had again begins at what was committed */
    int commits, commit_rc;
};

static size_t index_of(struct member *member, const char *broker, int32_t id)
{
    struct fake_queue *queue = fake_queue(&member->client, broker, id);
    assert_non_null(queue);
    return (size_t)(queue - member->client.queues);
}

static void on_assigned(void *arg, const char *topic, const struct rmq_queue *queues, size_t count)
{
    struct member *member = arg;
    assert_string_equal(topic, "t");
    memset(member->mine, 0, sizeof(member->mine));
    for (size_t i = 0; i < count; i++)
        member->mine[index_of(member, queues[i].broker, queues[i].id)] = true;
    for (size_t i = 0; i < FAKE_QUEUES; i++) {
        if (!member->mine[i])
            member->at[i] = -1;
    }
    member->mine_count = count;
    member->assigned++;
}

static void take(struct member *member, const struct rmq_delivery *delivery)
{
    size_t at = index_of(member, delivery->broker, delivery->queue_id);
    struct rmq_view rest = delivery->block->bytes;
    struct rmq_message message;
    assert_true(member->mine[at]);
    while (rmq_message_next(&rest, &message, NULL) == 1) {
        if (member->at[at] >= 0 && member->repeats)
            assert_true(message.queue_offset <= member->at[at]);
        else if (member->at[at] >= 0)
            assert_int_equal(message.queue_offset, member->at[at]);
        assert_true(fake_body_is(message.body, delivery->queue_id, message.queue_offset));
        member->at[at] = message.queue_offset + 1;
        member->messages++;
    }
    if (member->mark)
        rmq_consumer_done(member->consumer, delivery->topic, delivery->broker, delivery->queue_id,
                          delivery->block->next_offset);
    rmq_block_unref(delivery->block);
}

static void on_ready(void *arg)
{
    struct member *member = arg;
    struct rmq_delivery delivery;
    struct rmq_err err;
    int rc;
    while ((rc = rmq_consumer_next(member->consumer, &delivery, &err)) != 0) {
        if (rc == 1) {
            take(member, &delivery);
        } else {
            assert_int_equal(rc, err.code);
            member->errors += rc != RMQ_MOVED;
            member->moved += rc == RMQ_MOVED;
            if (rc == RMQ_MOVED)
                member->at[index_of(member, delivery.broker, delivery.queue_id)] = -1;
        }
    }
}

static void prepare(struct member *member, size_t brokers, size_t queues)
{
    memset(member, 0, sizeof(*member));
    fake_client_init(&member->client, "t", brokers, queues);
    for (size_t i = 0; i < FAKE_QUEUES; i++)
        member->at[i] = -1;
    member->mark = true;
    for (size_t i = 0; i < member->client.queue_count; i++)
        member->client.queues[i].max = 100;
    member->client.append_until = 100;
}

static void join(struct member *member, enum rmq_start start, bool locked)
{
    static const char *const topics[] = {"t"};
    struct rmq_consumer_options options = {
        .struct_size = sizeof(options),
        .group = "g",
        .topics = topics,
        .topic_count = 1,
        .start = start,
        .locked = locked,
        .commit_ms = 50,
        .assigned = on_assigned,
        .ready = on_ready,
        .arg = member,
    };
    assert_int_equal(rmq_consumer_new(&member->client, &options, &member->consumer, NULL), 0);
}

static void on_closed(void *arg)
{
    ((struct member *)arg)->closed = true;
}

static void leave(struct member *member)
{
    rmq_consumer_close(member->consumer, on_closed, member);
    assert_false(member->closed);
    FAKE_RUN_UNTIL(&member->client, member->closed);
    fake_client_deinit(&member->client);
}

static void on_committed(void *arg, int rc)
{
    struct member *member = arg;
    member->commits++;
    member->commit_rc = rc;
}

static void test_reads_and_commits(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 2, 2);
    member.client.queues[1].committed = 40;
    member.at[1] = 40;
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.messages == 360);
    assert_int_equal(member.mine_count, 4);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 100); /* by itself */
    member.client.append_until = 130;
    FAKE_RUN_UNTIL(&member.client, member.messages == 480);
    assert_int_equal(rmq_consumer_commit(member.consumer, on_committed, &member, NULL), 0);
    assert_int_equal(rmq_consumer_commit(member.consumer, on_committed, &member, NULL), 0);
    assert_int_equal(member.commits, 0);
    FAKE_RUN_UNTIL(&member.client, member.commits == 2);
    assert_int_equal(member.commit_rc, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(member.client.queues[i].committed, 130);
    member.client.append_until = 150;
    FAKE_RUN_UNTIL(&member.client, member.messages == 560);
    leave(&member);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(member.client.queues[i].committed, 150);
        assert_int_equal(member.client.queues[i].lowered, 0);
    }
    assert_int_equal(member.errors, 0);
}

static void test_start(void **state)
{
    (void)state;
    static const int64_t wanted[] = {100, 10, 17};
    for (int start = RMQ_START_LAST; start <= RMQ_START_TIMESTAMP; start++) {
        struct member member;
        prepare(&member, 1, 1);
        member.client.queues[0].min = 10;
        member.at[0] = wanted[start];
        join(&member, (enum rmq_start)start, false);
        /* also committed when nothing is read: who comes next must not begin later */
        FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed >= wanted[start]);
        member.client.append_until = 120;
        FAKE_RUN_UNTIL(&member.client, member.at[0] == 120);
        assert_int_equal(member.messages, 120 - wanted[start]);
        leave(&member);
    }
}

/* Only what was marked is committed; marks from before, beyond or of others' queues are nothing. */
static void test_done(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 1, 1);
    member.mark = false;
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.messages == 100);
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 60);
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 50);
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 5000);
    rmq_consumer_done(member.consumer, "t", "broker-a", 7, 70);
    rmq_consumer_done(member.consumer, "u", "broker-a", 0, 70);
    leave(&member);
    assert_int_equal(member.client.queues[0].committed, 60);
}

static void test_shares(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 1, 4);
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.messages == 400);
    member.client.members[1] = "127.0.0.2@2#2"; /* sorted behind us */
    member.client.member_count = 2;
    fake_members_changed(&member.client);
    FAKE_RUN_UNTIL(&member.client, member.mine_count == 2);
    assert_true(member.mine[0] && member.mine[1]);
    FAKE_RUN_UNTIL(&member.client, fake_open(&member.client, RMQ_UPDATE_CONSUMER_OFFSET) == 0);
    assert_int_equal(member.client.queues[2].committed, 100); /* given up with it */
    assert_int_equal(member.client.queues[3].committed, 100);
    member.client.append_until = 110;
    FAKE_RUN_UNTIL(&member.client, member.messages == 420);
    member.client.queues[3].committed = member.client.queues[2].committed = 105; /* the other's */
    member.client.member_count = 1;
    fake_members_changed(&member.client);
    FAKE_RUN_UNTIL(&member.client, member.messages == 430);
    assert_int_equal(member.mine_count, 4);
    /* unheard of by the broker: all is given up, as Java does, until it knows us again */
    member.client.members[0] = "somebody";
    fake_members_changed(&member.client);
    FAKE_RUN_UNTIL(&member.client, member.mine_count == 0);
    member.client.members[0] = member.client.id;
    FAKE_RUN_UNTIL(&member.client, member.mine_count == 4);
    size_t assigned = member.assigned;
    member.client.member_count = 0; /* a list that cannot be had: what we have is kept */
    fake_members_changed(&member.client);
    for (int i = 0; i < 50; i++)
        uv_run(&member.client.loop, UV_RUN_ONCE);
    assert_int_equal(member.assigned, assigned);
    leave(&member);
    assert_int_equal(member.client.queues[3].lowered, 0);
}

static void test_route_changes(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 2, 2);
    member.client.queues[1].gone = true;
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.messages == 300);
    member.client.queues[1].gone = false;
    member.client.queues[2].gone = true;
    fake_route_changed(&member.client);
    FAKE_RUN_UNTIL(&member.client, member.messages == 400);
    assert_true(member.mine[1] && !member.mine[2]);
    leave(&member);
}

static void test_moved(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 1, 1);
    member.client.queues[0].committed = 5000;
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.moved == 1);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 100); /* lowered */
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 4000);             /* from before */
    member.client.append_until = 150;
    FAKE_RUN_UNTIL(&member.client, member.messages == 50);
    leave(&member);
    assert_int_equal(member.client.queues[0].committed, 150);
}

static void test_locks(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 2, 2);
    (void)snprintf(member.client.queues[1].lock, 64, "somebody");
    join(&member, RMQ_START_FIRST, true);
    FAKE_RUN_UNTIL(&member.client, member.messages == 300);
    for (int i = 0; i < 50; i++)
        uv_run(&member.client.loop, UV_RUN_ONCE);
    assert_int_equal(member.messages, 300);
    assert_string_equal(member.client.queues[0].lock, member.client.id);
    member.client.queues[1].lock[0] = '\0'; /* free: taken after a while */
    FAKE_RUN_UNTIL(&member.client, member.messages == 400);
    /* Lost to another that reads on; it comes back, and we go on where the other was. */
    FAKE_RUN_UNTIL(&member.client, member.client.queues[2].committed == 100);
    (void)snprintf(member.client.queues[2].lock, 64, "somebody");
    size_t asked = member.client.asked[RMQ_LOCK_BATCH];
    FAKE_RUN_UNTIL(&member.client, member.client.asked[RMQ_LOCK_BATCH] >= asked + 4);
    member.client.queues[2].committed = 110;
    member.at[2] = 110;
    member.client.append_until = 120;
    FAKE_RUN_UNTIL(&member.client, member.messages == 460);
    member.client.queues[2].lock[0] = '\0';
    FAKE_RUN_UNTIL(&member.client, member.messages == 470);
    leave(&member);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(member.client.queues[i].lock, "");
    assert_int_equal(member.client.asked[RMQ_UNLOCK_BATCH], 4);
}

/* No broker answers for half a minute: reading stops, and goes on with the lock. */
static void test_lock_expires(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 1, 1);
    join(&member, RMQ_START_FIRST, true);
    FAKE_RUN_UNTIL(&member.client, member.messages == 100);
    member.client.lose = 1000;
    uint64_t until = uv_now(&member.client.loop) + 40 * 20; /* seconds of the consumer */
    FAKE_RUN_UNTIL(&member.client, uv_now(&member.client.loop) > until);
    size_t asked = member.client.asked[RMQ_PULL_MESSAGE];
    until += 5 * 20;
    FAKE_RUN_UNTIL(&member.client, uv_now(&member.client.loop) > until);
    assert_int_equal(member.client.asked[RMQ_PULL_MESSAGE], asked);
    member.client.lose = 0;
    member.client.append_until = 120;
    FAKE_RUN_UNTIL(&member.client, member.at[0] == 120);
    leave(&member);
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

/* Members, routes, locks, answers: all changes at random, then it is closed at some moment. */
static void one_round(unsigned seed)
{
    struct member member;
    fake_seed(seed);
    prepare(&member, 1 + fake_random() % 2, 1 + fake_random() % 8);
    member.client.append_until = 100 + fake_random() % 2000;
    member.client.append_max = 20;
    member.client.lose = fake_chance(500) ? (int)(fake_random() % 100) : 0;
    member.client.refuse = fake_chance(500) ? (int)(fake_random() % 100) : 0;
    member.client.refuse_call = fake_chance(500) ? (int)(fake_random() % 100) : 0;
    member.client.members[1] = "127.0.0.2@2#2";
    member.repeats = fake_chance(400);
    join(&member, RMQ_START_FIRST, member.repeats);
    for (unsigned turns = fake_random() % 300; turns > 0; turns--) {
        struct fake_queue *queue = &member.client.queues[fake_random() % member.client.queue_count];
        uv_run(&member.client.loop, UV_RUN_ONCE);
        if (fake_chance(30)) {
            member.client.member_count = fake_random() % 3;
            fake_members_changed(&member.client);
        }
        if (fake_chance(20)) {
            queue->gone = !queue->gone;
            fake_route_changed(&member.client);
        }
        if (fake_chance(20))
            (void)snprintf(queue->lock, sizeof(queue->lock), "%s",
                           fake_chance(500) ? "somebody" : "");
        if (fake_chance(20))
            assert_int_equal(rmq_consumer_commit(member.consumer, on_committed, &member, NULL), 0);
    }
    leave(&member);
    for (size_t i = 0; i < member.client.queue_count; i++)
        assert_int_equal(member.client.queues[i].lowered, 0);
}

static void test_random(void **state)
{
    (void)state;
    const char *seed = getenv("RMQ_SEED");
    unsigned first = seed == NULL ? (unsigned)uv_hrtime() : (unsigned)strtoul(seed, NULL, 10);
    for (unsigned i = 0; i < (seed == NULL ? 60 : 1); i++) {
        seed_now = first + i;
        one_round(seed_now);
    }
    fprintf(stderr, "seeds %u to %u\n", first, seed_now);
    seeds_done = true;
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const topics[] = {""};
    struct member member;
    struct rmq_err err;
    prepare(&member, 1, 1);
    struct rmq_consumer_options options = {.struct_size = sizeof(options), .group = "g"};
    assert_int_equal(rmq_consumer_new(&member.client, &options, &member.consumer, &err),
                     RMQ_INVALID);
    options.topics = topics;
    options.topic_count = 1;
    options.ready = on_ready;
    assert_int_equal(rmq_consumer_new(&member.client, &options, &member.consumer, &err),
                     RMQ_INVALID);
    assert_non_null(strstr(err.text, "topic 1"));
    /* Each would be read for itself, and every message be there twice. */
    static const char *const twice[] = {"t", "%RETRY%g", "t"};
    options.topics = twice;
    options.topic_count = 3;
    assert_int_equal(rmq_consumer_new(&member.client, &options, &member.consumer, &err),
                     RMQ_INVALID);
    assert_non_null(strstr(err.text, "'t' twice"));
    options.topic_count = 2;
    options.retry_topic = true;
    assert_int_equal(rmq_consumer_new(&member.client, &options, &member.consumer, &err),
                     RMQ_INVALID);
    assert_non_null(strstr(err.text, "'%RETRY%g' twice"));
    fake_client_deinit(&member.client);
}

static void reset(struct member *member, const char *topic, const char *broker, int64_t offset)
{
    struct rmq_queue_json queue = {
        .topic = rmq_view_str(topic), .broker = rmq_view_str(broker), .id = 0, .offset = offset};
    const struct rmq_group_service *service = fake_service(&member->client);
    service->reset(service->arg, queue.topic, &queue, 1);
}

/* A broker hands an admin's reset on: the queue is read from there on, what was handed out before
 * does not count, and the offset is committed though nothing is done with yet. */
static void test_reset_by_a_broker(void **state)
{
    (void)state;
    struct member member;
    prepare(&member, 2, 1);
    join(&member, RMQ_START_FIRST, false);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 100 &&
                                       member.client.queues[1].committed == 100);
    reset(&member, "another", "broker-a", 10);
    reset(&member, "t", "broker-x", 10);
    reset(&member, "t", "broker-a", INT64_MAX); /* no such offset can be */
    assert_int_equal(member.moved, 0);
    member.mark = false;
    reset(&member, "t", "broker-a", 10);
    assert_int_equal(member.moved, 1);
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 100); /* of before */
    FAKE_RUN_UNTIL(&member.client, member.messages == 290);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 10);
    assert_int_equal(member.client.queues[1].committed, 100);
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 50);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 50);
    reset(&member, "t", "broker-a", 95); /* forward */
    rmq_consumer_done(member.consumer, "t", "broker-a", 0, 60);
    FAKE_RUN_UNTIL(&member.client, member.client.queues[0].committed == 95);
    FAKE_RUN_UNTIL(&member.client, member.messages == 295);
    leave(&member);
}

static void test_describes_itself(void **state)
{
    (void)state;
    struct member member;
    struct rmq_buf text;
    prepare(&member, 1, 2);
    join(&member, RMQ_START_FIRST, false);
    const struct rmq_group_service *service = fake_service(&member.client);
    rmq_buf_init(&text, 1 << 20);
    assert_int_equal(service->describe(service->arg, &text), 0); /* no queue yet */
    FAKE_RUN_UNTIL(&member.client, member.client.queues[1].committed == 100);
    text.len = 0;
    assert_int_equal(service->describe(service->arg, &text), 0);
    assert_int_equal(rmq_buf_append(&text, "", 1), 0);
    assert_non_null(strstr(text.data,
                           "{\"brokerName\":\"broker-a\",\"queueId\":1,\"topic\":\"t\"}:{"
                           "\"cachedMsgCount\":0,\"cachedMsgMaxOffset\":99,"
                           "\"cachedMsgMinOffset\":100,\"commitOffset\":100,"));
    rmq_buf_deinit(&text);
    rmq_buf_init(&text, 100);
    assert_int_not_equal(service->describe(service->arg, &text), 0); /* no room */
    rmq_buf_deinit(&text);
    leave(&member);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_commits),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_route_changes),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_lock_expires),
        cmocka_unit_test_teardown(test_random, name_seed),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_reset_by_a_broker),
        cmocka_unit_test(test_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
