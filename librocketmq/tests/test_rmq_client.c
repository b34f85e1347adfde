/* SPDX-License-Identifier: Apache-2.0 */
/* The client against name servers and brokers in this process, which fail as no healthy ones do. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <rocketmq/admin.h>
#include "fake.h"
#include "requests.h"
#include <sys/resource.h>

enum { OUTCOMES = 64, TICK_MS = 5, LIMIT_MS = 60000 };

struct outcome {
    int calls, rc;
    size_t count;
    int64_t number;
    const struct rmq_route *route;
    char text[232], ids[200];
};

/* Two name servers, two brokers. What they do is set by the test. */
struct fixture {
    uv_loop_t loop;
    uv_timer_t limit;
    size_t ticks;
    struct fake namesrv[2], broker[2];
    struct rmq_client *client;
    struct outcome outcomes[OUTCOMES];
    size_t asked, ended;
    /* name servers */
    bool silent[2];
    bool empty[2];       /* just started: no broker has registered yet */
    const char *garbage; /* the body of every reply of a name server; NULL: a good one */
    int queues;          /* of each broker; 0: no such topic */
    size_t masters;      /* 1: the second broker has only a replica's id */
    /* brokers */
    int32_t broker_code; /* of replies */
    const char *remark, *body;
    bool hold; /* they do not answer */
    char heartbeat[4096];
    char last_fields[1024];
    size_t changes;
    bool closed;
};

/* Ticks, for UV_RUN_ONCE may run a timer first and then sleep until the next one. */
static void on_limit(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;
    if (++fixture->ticks < LIMIT_MS / TICK_MS)
        return;
    fprintf(stderr, "the test takes too long\n");
    abort();
}

static void note_fields(struct fixture *fixture, const struct rmq_command *request)
{
    char *at = fixture->last_fields, *end = at + sizeof(fixture->last_fields);
    *at = '\0';
    for (size_t i = 0; i < request->field_count; i++)
        at += snprintf(at, (size_t)(end - at), "%.*s=%.*s ", (int)request->fields[i].name.len,
                       request->fields[i].name.data, (int)request->fields[i].value.len,
                       request->fields[i].value.data);
}

static void serve_namesrv(void *arg, struct fake_peer *peer, const struct rmq_command *request)
{
    struct fixture *fixture = arg;
    char body[2048];
    if (fixture->silent[peer->fake - fixture->namesrv])
        return;
    note_fields(fixture, request);
    if (fixture->garbage != NULL) {
        fake_reply(peer, request, 0, NULL, fixture->garbage);
        return;
    }
    const char *second = fixture->masters == 1 ? "3" : "0";
    if (request->code == RMQ_GET_CLUSTER_INFO) {
        (void)snprintf(body, sizeof(body),
                       "{\"brokerAddrTable\":{\"a\":{\"brokerAddrs\":{0:\"%s\"},\"brokerName\":"
                       "\"a\",\"cluster\":\"C\"},\"b\":{\"brokerAddrs\":{%s:\"%s\"},"
                       "\"brokerName\":\"b\",\"cluster\":\"C\"}},\"clusterAddrTable\":{\"C\":["
                       "\"a\",\"b\"]}}",
                       fixture->broker[0].address, second, fixture->broker[1].address);
        fake_reply(peer, request, 0, NULL, body);
        return;
    }
    if (fixture->queues == 0 || fixture->empty[peer->fake - fixture->namesrv]) {
        fake_reply(peer, request, RMQ_REPLY_TOPIC_NOT_EXIST, "No topic route info", NULL);
        return;
    }
    (void)snprintf(body, sizeof(body),
                   "{\"brokerDatas\":[{\"brokerAddrs\":{\"%s\":\"%s\"},\"brokerName\":\"b\","
                   "\"cluster\":\"C\"},{\"brokerAddrs\":{\"0\":\"%s\"},\"brokerName\":\"a\","
                   "\"cluster\":\"C\"}],\"filterServerTable\":{},\"queueDatas\":[{\"brokerName\":"
                   "\"b\",\"perm\":6,\"readQueueNums\":%d,\"writeQueueNums\":%d},{\"brokerName\":"
                   "\"a\",\"perm\":6,\"readQueueNums\":%d,\"writeQueueNums\":%d}]}",
                   second, fixture->broker[1].address, fixture->broker[0].address, fixture->queues,
                   fixture->queues, fixture->queues, fixture->queues);
    fake_reply(peer, request, 0, NULL, body);
}

static void serve_broker(void *arg, struct fake_peer *peer, const struct rmq_command *request)
{
    struct fixture *fixture = arg;
    if (request->code == RMQ_HEART_BEAT) {
        (void)snprintf(fixture->heartbeat, sizeof(fixture->heartbeat), "%.*s",
                       (int)request->body.len, request->body.data);
        fake_reply(peer, request, 0, NULL, NULL);
        return;
    }
    note_fields(fixture, request);
    if (!fixture->hold && (request->flag & RMQ_FLAG_ONEWAY) == 0)
        fake_reply(peer, request, fixture->broker_code, fixture->remark, fixture->body);
}

static void start_with(struct fixture *fixture, struct rmq_client_options options)
{
    char list[100];
    struct rmq_err err;
    memset(fixture, 0, sizeof(*fixture));
    fixture->queues = 2;
    fixture->masters = 2;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->limit), 0);
    fixture->limit.data = fixture;
    assert_int_equal(uv_timer_start(&fixture->limit, on_limit, TICK_MS, TICK_MS), 0);
    for (size_t i = 0; i < 2; i++) {
        fake_start(&fixture->namesrv[i], &fixture->loop, serve_namesrv, fixture);
        fake_start(&fixture->broker[i], &fixture->loop, serve_broker, fixture);
    }
    (void)snprintf(list, sizeof(list), "%s; %s;", fixture->namesrv[0].address,
                   fixture->namesrv[1].address);
    options.struct_size = sizeof(options);
    if (options.name_servers == NULL)
        options.name_servers = list;
    if (options.request_timeout_ms == 0)
        options.request_timeout_ms = 2000;
    if (rmq_client_new(&fixture->loop, &options, &fixture->client, &err) != 0)
        fail_msg("%s", err.text);
}

static void start(struct fixture *fixture)
{
    start_with(fixture, (struct rmq_client_options){.client_id = "me@1"});
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void finish(struct fixture *fixture)
{
    if (fixture->client != NULL)
        rmq_client_close(fixture->client, on_closed, fixture);
    else
        fixture->closed = true;
    for (size_t i = 0; i < 2; i++) {
        fake_end(&fixture->namesrv[i]);
        fake_end(&fixture->broker[i]);
    }
    uv_close((uv_handle_t *)&fixture->limit, NULL);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_true(fixture->closed);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    for (size_t i = 0; i < fixture->asked; i++) {
        assert_int_equal(fixture->outcomes[i].calls, 1);
        rmq_route_unref(fixture->outcomes[i].route);
    }
}

static void run_until_ended(struct fixture *fixture)
{
    while (fixture->ended < fixture->asked)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
}

static void run_ms(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000;
    while (uv_hrtime() < end)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

/* A condition that comes true in time; the fixture's limit ends the test when it does not. */
#define RUN_UNTIL(fixture, condition)                                                              \
    while (!(condition))                                                                           \
    (void)uv_run(&(fixture)->loop, UV_RUN_ONCE)

/* All callbacks know their fixture by the outcome's place in it: arg is the outcome. */
static struct fixture *current;

static void note(void *arg, int rc, const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    outcome->calls++;
    outcome->rc = rc;
    if (rc != 0) {
        assert_int_equal(err->code, rc);
        assert_true(err->text[0] != '\0');
        memcpy(outcome->text, err->text, sizeof(outcome->text));
    }
    current->ended++;
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    assert_true((rc == 0) == (route != NULL));
    outcome->route = rc == 0 ? rmq_route_ref(route) : NULL;
    note(arg, rc, err);
}

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    if (rc == 0)
        outcome->number = reply->code;
    note(arg, rc, err);
}

static void on_members(void *arg, int rc, const char *const *ids, size_t count,
                       const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    outcome->count = count;
    for (size_t i = 0; i < count; i++) {
        strncat(outcome->ids, ids[i], 20);
        strncat(outcome->ids, " ", 2);
    }
    note(arg, rc, err);
}

static void on_admin(void *arg, int rc, const struct rmq_err *err)
{
    note(arg, rc, err);
}

static struct outcome *next_outcome(struct fixture *fixture)
{
    current = fixture;
    assert_true(fixture->asked < OUTCOMES);
    return &fixture->outcomes[fixture->asked++];
}

static struct outcome *ask_route(struct fixture *fixture, bool fresh)
{
    struct outcome *outcome = next_outcome(fixture);
    assert_int_equal(rmq_client_route(fixture->client, "t", fresh, on_route, outcome, NULL), 0);
    assert_int_equal(outcome->calls, 0); /* never from inside */
    return outcome;
}

static struct outcome *call_broker(struct fixture *fixture, const char *broker, int64_t id)
{
    struct rmq_command request;
    struct outcome *outcome = next_outcome(fixture);
    rmq_command_init(&request, RMQ_GET_MAX_OFFSET);
    rmq_command_add_str(&request, "topic", "t");
    assert_int_equal(
        rmq_client_call_broker(fixture->client, broker, id, &request, 0, on_reply, outcome, NULL),
        0);
    return outcome;
}

/* --- routes --- */

static void a_route_is_sorted_and_told_from_memory(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    struct outcome *outcome = ask_route(&fixture, false);
    for (int i = 0; i < 9; i++)
        ask_route(&fixture, false);
    run_until_ended(&fixture);
    const struct rmq_route *route = outcome->route;
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(route->broker_count, 2);
    assert_int_equal(route->write_count, 4);
    assert_string_equal(route->write_queues[0].broker, "a");
    assert_string_equal(route->write_queues[3].broker, "b");
    assert_int_equal(route->write_queues[3].id, 1);
    assert_int_equal(fixture.namesrv[0].received + fixture.namesrv[1].received, 1);
    assert_int_equal(ask_route(&fixture, false)->calls, 0);
    run_until_ended(&fixture);
    assert_int_equal(fixture.namesrv[0].received + fixture.namesrv[1].received, 1);
    ask_route(&fixture, true);
    ask_route(&fixture, true); /* may not join the one under way */
    ask_route(&fixture, true);
    run_until_ended(&fixture);
    assert_int_equal(fixture.namesrv[0].received + fixture.namesrv[1].received, 3);
    finish(&fixture);
}

static void a_missing_topic_is_not_found_and_asked_for_again(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    fixture.queues = 0;
    struct outcome *outcome = ask_route(&fixture, false);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_NOT_FOUND);
    assert_non_null(strstr(outcome->text, "'t'"));
    fixture.queues = 1;
    outcome = ask_route(&fixture, false);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(rmq_client_route(fixture.client, "", false, on_route, NULL, NULL),
                     RMQ_INVALID);
    finish(&fixture);
}

static void replies_that_are_no_route_are_errors(void **state)
{
    static const char too_many_queues[] =
        "{\"brokerDatas\":[{\"brokerAddrs\":{0:\"h:1\"},\"brokerName\":\"a\"}],\"queueDatas\":[{"
        "\"brokerName\":\"a\",\"perm\":6,\"readQueueNums\":2147483647,\"writeQueueNums\":1}]}";
    static const char *const wrong[] = {
        "",
        "[]",
        "null",
        "{",
        "{}x",
        "{\"brokerDatas\":{}}",
        "{\"brokerDatas\":[1]}",
        "{\"brokerDatas\":[{\"brokerAddrs\":[],\"brokerName\":\"a\"}]}",
        "{\"brokerDatas\":[{\"brokerAddrs\":{\"x\":\"h:1\"},\"brokerName\":\"a\"}]}",
        "{\"brokerDatas\":[{\"brokerAddrs\":{0:5},\"brokerName\":\"a\"}]}",
        "{\"brokerDatas\":[{\"brokerName\":7}]}",
        "{\"brokerDatas\":[{\"brokerName\":\"a\\u0000b\"}]}",
        "{\"queueDatas\":\"x\"}",
        "{\"queueDatas\":[{\"brokerName\":\"a\",\"perm\":\"6\"}]}",
        "{\"queueDatas\":[{\"brokerName\":\"a\",\"readQueueNums\":-1}]}",
        "{\"queueDatas\":[{\"brokerName\":\"a\",\"writeQueueNums\":99999999999999999999}]}",
        too_many_queues,
        "{\"brokerDatas\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fixture fixture;
        start(&fixture);
        fixture.garbage = wrong[i];
        struct outcome *outcome = ask_route(&fixture, false);
        struct outcome *topics = next_outcome(&fixture);
        assert_int_equal(rmq_admin_create_topic(
                             fixture.client,
                             &(struct rmq_topic_options){
                                 .struct_size = sizeof(struct rmq_topic_options), .topic = "t"},
                             on_admin, topics, NULL),
                         0);
        run_until_ended(&fixture);
        if (outcome->rc != RMQ_MALFORMED)
            fail_msg("%s: %s %s", wrong[i], rmq_error_name(outcome->rc), outcome->text);
        assert_int_not_equal(topics->rc, 0);
        finish(&fixture);
    }
}

/* --- name servers --- */

/* Members that are null, also after they had a value, say no more than members that are missing. */
static void nulls_in_a_route_count_as_empty(void **state)
{
    static const char said_twice[] = "{\"brokerDatas\":[{\"brokerAddrs\":{0:\"h:1\"},"
                                     "\"brokerAddrs\":null,\"brokerName\":\"a\"}]}";
    static const char *const bodies[] = {
        "{\"brokerDatas\":null,\"queueDatas\":null,\"orderTopicConf\":null}",
        "{\"brokerDatas\":[{\"brokerAddrs\":null,\"brokerName\":\"a\",\"cluster\":null}]}",
        said_twice,
        "{\"brokerDatas\":[{\"brokerAddrs\":{0:null},\"brokerName\":\"a\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct fixture fixture;
        start(&fixture);
        fixture.garbage = bodies[i];
        struct outcome *outcome = ask_route(&fixture, false);
        run_until_ended(&fixture);
        if (outcome->rc != RMQ_NOT_FOUND)
            fail_msg("%s: %s %s", bodies[i], rmq_error_name(outcome->rc), outcome->text);
        finish(&fixture);
    }
}

static void dead_and_silent_name_servers_are_followed_by_the_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) { /* which one fails, and how; the order is shuffled */
        struct fixture fixture;
        start_with(&fixture, (struct rmq_client_options){.request_timeout_ms = 100});
        if (i < 2)
            fake_stop_listening(&fixture.namesrv[i]);
        else
            fixture.silent[i - 2] = true;
        for (int j = 0; j < 3; j++) {
            struct outcome *outcome = ask_route(&fixture, true);
            run_until_ended(&fixture);
            assert_int_equal(outcome->rc, 0);
        }
        assert_true(fixture.namesrv[i % 2].received <= 1); /* and left alone then */
        finish(&fixture);
    }
}

/* One that has started anew knows nothing yet; the other one does. */
static void a_name_server_that_was_lost_is_not_the_next_one_asked(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    for (size_t i = 0; i < 6; i++) {
        size_t asked = fixture.namesrv[0].peers != NULL ? 0 : 1;
        fake_close_peers(&fixture.namesrv[asked]);
        fixture.empty[asked] = true;
        run_ms(&fixture, 250); /* the loss has been seen, and the pause behind it is over */
        struct outcome *outcome = ask_route(&fixture, true);
        run_until_ended(&fixture);
        assert_int_equal(outcome->rc, 0);
        fixture.empty[asked] = false;
    }
    finish(&fixture);
}

static void without_any_name_server_the_error_names_all(void **state)
{
    struct fixture fixture;
    (void)state;
    start_with(&fixture, (struct rmq_client_options){.request_timeout_ms = 100});
    fake_stop_listening(&fixture.namesrv[0]);
    fake_stop_listening(&fixture.namesrv[1]);
    struct outcome *outcome = ask_route(&fixture, false);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_UNREACHABLE);
    assert_non_null(strstr(outcome->text, fixture.namesrv[0].address));
    assert_non_null(strstr(outcome->text, fixture.namesrv[1].address));
    finish(&fixture);
    start_with(&fixture, (struct rmq_client_options){.request_timeout_ms = 50});
    fixture.silent[0] = fixture.silent[1] = true;
    outcome = ask_route(&fixture, false);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_TIMEOUT);
    finish(&fixture);
}

static void a_known_route_outlives_the_name_servers(void **state)
{
    struct fixture fixture;
    (void)state;
    start_with(&fixture, (struct rmq_client_options){.route_refresh_ms = 20});
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    for (size_t i = 0; i < 2; i++)
        fake_end(&fixture.namesrv[i]);
    run_ms(&fixture, 300);
    struct outcome *outcome = ask_route(&fixture, false);
    call_broker(&fixture, "a", 0);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(fixture.outcomes[2].rc, 0);
    finish(&fixture);
}

static void wrong_settings_are_refused_and_leave_nothing(void **state)
{
    static const char *const lists[] = {NULL, "", ";;", "host", "h:1;x", "h:99999", ":1"};
    uv_loop_t loop;
    struct rmq_client *client = NULL;
    struct rmq_err err;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct rmq_client_options options = {.struct_size = sizeof(options),
                                             .name_servers = lists[i]};
        assert_int_equal(rmq_client_new(&loop, &options, &client, &err), RMQ_INVALID);
        assert_non_null(strstr(err.text, "name_servers"));
    }
    struct rmq_tls_options tls = {.struct_size = sizeof(tls), .ca_file = "no/such/file.pem"};
    struct rmq_client_options options = {
        .struct_size = sizeof(options), .name_servers = "h:1", .tls = &tls};
    assert_int_equal(rmq_client_new(&loop, &options, &client, &err), RMQ_INVALID);
    assert_non_null(strstr(err.text, "no/such/file.pem"));
    tls = (struct rmq_tls_options){.struct_size = sizeof(tls), .verify_host = true};
    assert_int_equal(rmq_client_new(&loop, &options, &client, &err), RMQ_INVALID);
    struct rmq_credentials credentials = {.struct_size = sizeof(credentials), .access_key = "a"};
    options = (struct rmq_client_options){
        .struct_size = sizeof(options), .name_servers = "h:1", .credentials = &credentials};
    assert_int_equal(rmq_client_new(&loop, &options, &client, &err), RMQ_INVALID);
    assert_non_null(strstr(err.text, "secret_key"));
    assert_null(client);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- brokers --- */

static void brokers_are_found_by_name(void **state)
{
    struct fixture fixture;
    struct rmq_command request;
    struct rmq_err err;
    (void)state;
    start(&fixture);
    fixture.masters = 1;
    rmq_command_init(&request, RMQ_GET_MAX_OFFSET);
    assert_true(rmq_client_broker_failing(fixture.client, "a"));
    assert_int_equal(
        rmq_client_call_broker(fixture.client, "a", 0, &request, 0, on_reply, NULL, &err),
        RMQ_NOT_FOUND);
    RUN_UNTIL(&fixture, !rmq_client_broker_failing(fixture.client, "a")); /* by cluster info */
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    call_broker(&fixture, "a", 0);
    call_broker(&fixture, "a", -1);
    call_broker(&fixture, "b", -1); /* the replica, for there is no master */
    call_broker(&fixture, "b", 3);
    call_broker(&fixture, "b", 7); /* gone: another will do */
    run_until_ended(&fixture);
    assert_int_equal(fixture.broker[0].received, 2);
    assert_int_equal(fixture.broker[1].received, 3);
    assert_int_equal(fixture.broker[1].accepted, 1);
    assert_int_equal(
        rmq_client_call_broker(fixture.client, "b", 0, &request, 0, on_reply, NULL, &err),
        RMQ_NOT_FOUND);
    assert_non_null(strstr(err.text, "'b'"));
    assert_int_equal(rmq_client_post_broker(fixture.client, "b", -1, &request, &err), 0);
    RUN_UNTIL(&fixture, fixture.broker[1].received == 4);
    assert_int_equal(
        rmq_client_call_address(fixture.client, "nonsense", &request, 0, on_reply, NULL, &err),
        RMQ_INVALID);
    finish(&fixture);
}

static void a_reset_loses_what_is_in_flight_and_connects_anew(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    fixture.hold = true;
    struct outcome *first = call_broker(&fixture, "a", 0);
    struct outcome *other = call_broker(&fixture, "b", 0);
    RUN_UNTIL(&fixture, fixture.broker[0].received == 1 && fixture.broker[1].received == 1);
    rmq_client_reset_broker(fixture.client, "a");
    rmq_client_reset_broker(fixture.client, "no such broker");
    assert_int_equal(first->calls, 0); /* from the loop */
    fixture.hold = false;
    struct outcome *second = call_broker(&fixture, "a", 0);
    RUN_UNTIL(&fixture, first->calls == 1 && second->calls == 1);
    assert_int_equal(first->rc, RMQ_LOST);
    assert_int_equal(second->rc, 0);
    assert_int_equal(fixture.broker[0].accepted, 2);
    assert_int_equal(other->calls, 0);
    finish(&fixture);
    assert_int_equal(other->rc, RMQ_CLOSED);
}

/* The next connect fails at once, before the loss has been told: what was sent is still of unknown
 * outcome, and only what was not is surely not. */
static void what_a_reset_has_lost_stays_lost_when_there_is_no_way_back(void **state)
{
    struct fixture fixture;
    struct rlimit limit, none;
    (void)state;
    start(&fixture);
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    fixture.hold = true;
    struct outcome *first = call_broker(&fixture, "a", 0);
    RUN_UNTIL(&fixture, fixture.broker[0].received == 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3; /* no socket can be made */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rmq_client_reset_broker(fixture.client, "a");
    struct outcome *second = call_broker(&fixture, "a", 0);
    RUN_UNTIL(&fixture, first->calls == 1 && second->calls == 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(first->rc, RMQ_LOST);
    assert_int_equal(second->rc, RMQ_UNREACHABLE);
    finish(&fixture);
}

static void a_lost_broker_is_failing_and_its_routes_are_asked_for(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    ask_route(&fixture, false);
    run_until_ended(&fixture);
    size_t before = fixture.namesrv[0].received + fixture.namesrv[1].received;
    fake_stop_listening(&fixture.broker[0]);
    struct outcome *outcome = call_broker(&fixture, "a", 0);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_UNREACHABLE);
    assert_true(rmq_client_broker_failing(fixture.client, "a"));
    assert_false(rmq_client_broker_failing(fixture.client, "b"));
    RUN_UNTIL(&fixture, fixture.namesrv[0].received + fixture.namesrv[1].received > before);
    finish(&fixture);
}

static void a_refusal_carries_code_and_remark(void **state)
{
    struct rmq_command reply;
    struct rmq_err err;
    (void)state;
    rmq_command_init(&reply, 0);
    assert_int_equal(rmq_reply_check(&reply, "ask", &err), 0);
    reply.code = RMQ_REPLY_NO_PERMISSION;
    reply.remark = rmq_view_str("check signature failed.");
    assert_int_equal(rmq_reply_check(&reply, "ask", &err), RMQ_REFUSED);
    assert_int_equal(err.server_code, 16);
    assert_non_null(strstr(err.text, "ask"));
    assert_non_null(strstr(err.text, "check signature failed."));
}

static void requests_are_signed_and_can_be_sent_again(void **state)
{
    static const enum rmq_codec codecs[] = {RMQ_CODEC_JSON, RMQ_CODEC_BINARY};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        struct rmq_command request;
        struct rmq_credentials credentials = {
            .struct_size = sizeof(credentials), .access_key = "ak", .secret_key = "12345678"};
        start_with(&fixture,
                   (struct rmq_client_options){.credentials = &credentials, .codec = codecs[i]});
        ask_route(&fixture, false);
        run_until_ended(&fixture);
        assert_non_null(strstr(fixture.last_fields, "AccessKey=ak "));
        assert_non_null(strstr(fixture.last_fields, "Signature="));
        rmq_command_init(&request, RMQ_GET_MAX_OFFSET);
        rmq_command_add_str(&request, "topic", "t");
        rmq_command_add_str(&request, "empty", "");
        for (int j = 0; j < 2; j++) {
            char before[1024];
            memcpy(before, fixture.last_fields, sizeof(before));
            assert_int_equal(rmq_client_call_broker(fixture.client, "a", 0, &request, 0, on_reply,
                                                    next_outcome(&fixture), NULL),
                             0);
            run_until_ended(&fixture);
            if (j == 1)
                assert_string_equal(fixture.last_fields, before);
        }
        assert_true((strstr(fixture.last_fields, "empty=") == NULL) ==
                    (codecs[i] == RMQ_CODEC_BINARY));
        finish(&fixture);
    }
}

/* --- watches --- */

struct watcher {
    struct fixture *fixture;
    size_t calls, queues;
    bool gone, remove;
    struct rmq_route_watch *watch;
    struct watcher *other;
};

static void on_watch(void *arg, const struct rmq_route *route)
{
    struct watcher *watcher = arg;
    watcher->calls++;
    watcher->gone = route == NULL;
    watcher->queues = route == NULL ? 0 : route->write_count;
    if (watcher->remove) {
        rmq_route_watch_remove(watcher->other->watch);
        rmq_route_watch_remove(watcher->watch);
    }
}

static void watches_are_told_of_changes_alone(void **state)
{
    struct fixture fixture;
    struct watcher one = {.fixture = &fixture}, two = one;
    (void)state;
    start_with(&fixture, (struct rmq_client_options){.route_refresh_ms = 10});
    assert_int_equal(rmq_client_watch_route(fixture.client, "t", on_watch, &one, &one.watch, NULL),
                     0);
    assert_int_equal(rmq_client_watch_route(fixture.client, "t", on_watch, &two, &two.watch, NULL),
                     0);
    RUN_UNTIL(&fixture, one.calls == 1 && two.calls == 1);
    assert_int_equal(one.queues, 4);
    run_ms(&fixture, 60);
    assert_int_equal(one.calls, 1);
    fixture.queues = 3;
    RUN_UNTIL(&fixture, one.calls == 2);
    assert_int_equal(one.queues, 6);
    fixture.queues = 0;
    RUN_UNTIL(&fixture, one.calls == 3 && two.calls == 3);
    assert_true(one.gone);
    fixture.queues = 1;
    one.remove = two.remove = true; /* whoever is first removes both */
    one.other = &two;
    two.other = &one;
    RUN_UNTIL(&fixture, one.calls + two.calls == 7);
    run_ms(&fixture, 50);
    assert_int_equal(one.calls + two.calls, 7);
    finish(&fixture);
}

/* --- groups --- */

static void on_changed(void *arg)
{
    ((struct fixture *)arg)->changes++;
}

static struct rmq_membership *join(struct fixture *fixture, const char *group, bool producer)
{
    const char *topics[] = {"t"};
    struct rmq_membership *membership;
    struct rmq_membership_options options = {.struct_size = sizeof(options),
                                             .group = group,
                                             .producer = producer,
                                             .topics = topics,
                                             .topic_count = 1,
                                             .push = true,
                                             .changed = on_changed,
                                             .arg = fixture};
    assert_int_equal(rmq_membership_new(fixture->client, &options, &membership, NULL), 0);
    return membership;
}

static size_t heartbeats(const struct fixture *fixture, size_t broker)
{
    return fixture->broker[broker].by_code[RMQ_HEART_BEAT];
}

static void heartbeats_tell_all_groups_to_the_brokers_concerned(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    fixture.masters = 1;
    struct rmq_membership *producer = join(&fixture, "p", true);
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 1);
    run_ms(&fixture, 50);
    assert_int_equal(heartbeats(&fixture, 0), 1);
    assert_int_equal(heartbeats(&fixture, 1), 0); /* a replica does not hear of producers */
    struct rmq_membership *same = join(&fixture, "p", true);
    struct rmq_membership *consumer = join(&fixture, "g", false);
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 2 && heartbeats(&fixture, 1) == 1);
    run_ms(&fixture, 50);
    assert_int_equal(heartbeats(&fixture, 0), 2);
    json_t *body = json_loads(fixture.heartbeat, 0, NULL);
    assert_non_null(body);
    assert_string_equal(json_string_value(json_object_get(body, "clientID")), "me@1");
    assert_int_equal(json_array_size(json_object_get(body, "producerDataSet")), 1);
    json_t *group = json_array_get(json_object_get(body, "consumerDataSet"), 0);
    assert_string_equal(json_string_value(json_object_get(group, "groupName")), "g");
    assert_string_equal(json_string_value(json_object_get(group, "consumeType")),
                        "CONSUME_PASSIVELY");
    json_t *subscriptions = json_object_get(group, "subscriptionDataSet");
    assert_int_equal(json_array_size(subscriptions), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(subscriptions, 1), "topic")), "%RETRY%g");
    json_decref(body);
    struct rmq_membership_options again = {.struct_size = sizeof(again), .group = "g"};
    struct rmq_membership *none;
    assert_int_equal(rmq_membership_new(fixture.client, &again, &none, NULL), RMQ_INVALID);
    rmq_membership_close(same);
    rmq_membership_close(producer);
    rmq_membership_close(consumer);
    RUN_UNTIL(&fixture, fixture.broker[0].by_code[RMQ_UNREGISTER_CLIENT] == 2 &&
                            fixture.broker[1].by_code[RMQ_UNREGISTER_CLIENT] >= 1);
    assert_non_null(strstr(fixture.last_fields, "clientID=me@1 "));
    assert_int_equal(fixture.broker[0].accepted, 1);
    finish(&fixture);
}

static void heartbeats_are_repeated_and_follow_each_connect_at_once(void **state)
{
    struct fixture fixture;
    (void)state;
    start_with(&fixture, (struct rmq_client_options){.heartbeat_ms = 30});
    struct rmq_membership *consumer = join(&fixture, "g", false);
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) >= 4 && heartbeats(&fixture, 1) >= 4);
    rmq_membership_close(consumer);
    finish(&fixture);
    start(&fixture);
    consumer = join(&fixture, "g", false);
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 1 && heartbeats(&fixture, 1) == 1);
    for (size_t i = 0; i < 3; i++) { /* by itself, without a request */
        run_ms(&fixture, 20);
        fake_close_peers(&fixture.broker[0]);
        RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == i + 2);
    }
    assert_int_equal(heartbeats(&fixture, 1), 1);
    rmq_client_reset_broker(fixture.client, "a");
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 5);
    assert_int_equal(fixture.broker[0].accepted, 5);
    rmq_membership_close(consumer);
    finish(&fixture);
}

static void the_broker_tells_of_changed_members(void **state)
{
    struct fixture fixture;
    struct rmq_command request;
    (void)state;
    start(&fixture);
    struct rmq_membership *consumer = join(&fixture, "g", false);
    RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 1);
    rmq_command_init(&request, RMQ_NOTIFY_CONSUMERS_CHANGED);
    rmq_command_add_str(&request, "consumerGroup", "another");
    request.flag = RMQ_FLAG_ONEWAY;
    fake_send(fixture.broker[0].peers, &request);
    run_ms(&fixture, 20);
    assert_int_equal(fixture.changes, 0);
    rmq_command_init(&request, RMQ_NOTIFY_CONSUMERS_CHANGED);
    rmq_command_add_str(&request, "consumerGroup", "g");
    request.flag = RMQ_FLAG_ONEWAY;
    fake_send(fixture.broker[0].peers, &request);
    RUN_UNTIL(&fixture, fixture.changes == 1);
    rmq_membership_close(consumer);
    finish(&fixture);
}

struct resets {
    int calls;
    size_t count;
    struct rmq_queue_json first;
    char broker[16];
};

static void on_reset(void *arg, struct rmq_view topic, const struct rmq_queue_json *queues,
                     size_t count)
{
    struct resets *resets = arg;
    assert_true(rmq_view_equal(topic, rmq_view_str("t")));
    resets->calls++;
    resets->count = count;
    if (count > 0) {
        resets->first = queues[0];
        (void)snprintf(resets->broker, sizeof(resets->broker), "%.*s", (int)queues[0].broker.len,
                       queues[0].broker.data);
    }
}

static int describe(void *arg, struct rmq_buf *buf)
{
    (void)arg;
    return rmq_buf_append(buf, "{\"properties\":{}}", 17);
}

/* Offsets that a broker hands on from an admin, in both of its dialects, and what is none. */
static void the_broker_hands_resets_on(void **state)
{
    static const struct {
        const char *body;
        int calls;
        size_t count;
    } cases[] = {
        {"{\"offsetTable\":{{\"brokerName\":\"a\",\"queueId\":1,\"topic\":\"t\"}:7,"
         "{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"t\"}:0}}",
         1, 2},
        {"{\"more\":[{}],\"offsetTable\":[{\"brokerName\":\"a\",\"offset\":7,\"queueId\":1}]}", 1,
         1},
        {"{\"offsetTable\":{}}", 1, 0},
        {"{\"offsetTable\":{{\"queueId\":1}:7,{\"brokerName\":\"a\",\"queueId\":-1}:7,"
         "{\"brokerName\":\"a\",\"queueId\":1}:-7}}",
         1, 0},
        {"{\"offsetTable\":{{\"brokerName\":\"a\",\"queueId\":1}:\"7\"}}", 0, 0},
        {"{\"offsetTable\":{\"a\":7}}", 0, 0},
        {"{\"offsetTable\":[7]}", 0, 0},
        {"{\"offsetTable\":[{\"brokerName\":\"a\"", 0, 0},
        {"[]", 0, 0},
        {"", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct resets resets = {0};
        struct rmq_command request;
        start(&fixture);
        struct rmq_membership *consumer = join(&fixture, "g", false);
        struct rmq_group_service service = {on_reset, describe, &resets};
        rmq_membership_serve(consumer, &service);
        RUN_UNTIL(&fixture, heartbeats(&fixture, 0) == 1);
        rmq_command_init(&request, RMQ_RESET_CLIENT_OFFSET);
        rmq_command_add_str(&request, "topic", "t");
        rmq_command_add_str(&request, "group", "g");
        request.body = rmq_view_str(cases[i].body);
        request.flag = RMQ_FLAG_ONEWAY;
        fake_send(fixture.broker[0].peers, &request);
        rmq_command_init(&request, RMQ_GET_RUNNING_INFO); /* behind it, and answered */
        rmq_command_add_str(&request, "consumerGroup", "g");
        fake_send(fixture.broker[0].peers, &request);
        RUN_UNTIL(&fixture, fixture.broker[0].by_code[0] == 1);
        rmq_command_init(&request, RMQ_GET_RUNNING_INFO);
        rmq_command_add_str(&request, "consumerGroup", "another");
        fake_send(fixture.broker[0].peers, &request);
        RUN_UNTIL(&fixture, fixture.broker[0].by_code[RMQ_REPLY_NOT_SUPPORTED] == 1);
        if (resets.calls != cases[i].calls || resets.count != cases[i].count)
            fail_msg("%s: %d calls, %zu queues", cases[i].body, resets.calls, resets.count);
        if (resets.count > 0) {
            assert_string_equal(resets.broker, "a");
            assert_int_equal(resets.first.id, 1);
            assert_int_equal(resets.first.offset, 7);
        }
        rmq_membership_close(consumer);
        finish(&fixture);
    }
}

static struct outcome *ask_members(struct fixture *fixture)
{
    struct outcome *outcome = next_outcome(fixture);
    assert_int_equal(rmq_client_members(fixture->client, "g", "t", on_members, outcome, NULL), 0);
    run_until_ended(fixture);
    return outcome;
}

static void members_are_listed_in_order(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    fixture.body = "{\"consumerIdList\":[\"b@2\",\"B@1\",\"a@3\"]}";
    struct outcome *outcome = ask_members(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_string_equal(outcome->ids, "B@1 a@3 b@2 ");
    fixture.body = "{}";
    outcome = ask_members(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(outcome->count, 0);
    fixture.body = "{\"consumerIdList\":[1]}";
    assert_int_equal(ask_members(&fixture)->rc, RMQ_MALFORMED);
    fixture.broker_code = RMQ_REPLY_SYSTEM_ERROR;
    fixture.remark = "no consumer for this group, g";
    outcome = ask_members(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(outcome->count, 0);
    fixture.remark = "java.lang.NullPointerException";
    assert_int_equal(ask_members(&fixture)->rc, RMQ_REFUSED);
    fixture.queues = 0;
    assert_int_equal(ask_members(&fixture)->rc, RMQ_REFUSED); /* the route is known */
    finish(&fixture);
}

/* --- the end --- */

static void busy(struct fixture *fixture)
{
    static const struct rmq_topic_options topic = {.struct_size = sizeof(topic), .topic = "n"};
    struct rmq_command request;
    ask_route(fixture, false);
    ask_route(fixture, true);
    rmq_command_init(&request, RMQ_GET_CLUSTER_INFO);
    assert_int_equal(rmq_client_call_namesrv(fixture->client, &request, 0, on_reply,
                                             next_outcome(fixture), NULL),
                     0);
    assert_int_equal(rmq_client_call_address(fixture->client, fixture->broker[1].address, &request,
                                             0, on_reply, next_outcome(fixture), NULL),
                     0);
    assert_int_equal(
        rmq_client_members(fixture->client, "g", "t", on_members, next_outcome(fixture), NULL), 0);
    assert_int_equal(
        rmq_admin_create_topic(fixture->client, &topic, on_admin, next_outcome(fixture), NULL), 0);
    assert_int_equal(
        rmq_admin_delete_topic(fixture->client, "n", on_admin, next_outcome(fixture), NULL), 0);
}

static void closing_works_at_every_stage(void **state)
{
    (void)state;
    for (int turns = 0; turns < 40; turns++) {
        struct fixture fixture;
        start(&fixture);
        fixture.silent[0] = turns % 3 == 1;
        fixture.hold = turns % 3 == 2;
        fixture.body = "{}";
        struct rmq_membership *membership = join(&fixture, "g", false);
        struct watcher watcher = {.fixture = &fixture};
        assert_int_equal(
            rmq_client_watch_route(fixture.client, "t", on_watch, &watcher, &watcher.watch, NULL),
            0);
        busy(&fixture);
        for (int i = 0; i < turns / 2; i++)
            (void)uv_run(&fixture.loop, UV_RUN_NOWAIT);
        rmq_membership_close(membership);
        rmq_route_watch_remove(watcher.watch);
        finish(&fixture);
        for (size_t i = 0; i < fixture.asked; i++) {
            int rc = fixture.outcomes[i].rc;
            if (rc != 0 && rc != RMQ_CLOSED)
                fail_msg("%d turns, question %zu: %s", turns, i, fixture.outcomes[i].text);
        }
    }
}

static void close_from_route(void *arg, int rc, const struct rmq_route *route,
                             const struct rmq_err *err)
{
    struct fixture *fixture = arg;
    struct rmq_command request;
    (void)route;
    (void)err;
    if (fixture->client == NULL)
        return;
    struct rmq_client *client = fixture->client;
    assert_int_equal(rc, 0);
    fixture->client = NULL;
    rmq_client_close(client, NULL, NULL);
    rmq_command_init(&request, 1); /* what comes behind is refused, not a crash */
    assert_int_equal(rmq_client_call_namesrv(client, &request, 0, on_reply, NULL, NULL),
                     RMQ_CLOSED);
    assert_int_equal(rmq_client_call_broker(client, "a", 0, &request, 0, on_reply, NULL, NULL),
                     RMQ_CLOSED);
    assert_int_equal(rmq_client_route(client, "t", false, on_route, NULL, NULL), RMQ_CLOSED);
}

static void a_callback_may_close_the_client(void **state)
{
    struct fixture fixture;
    (void)state;
    start(&fixture);
    current = &fixture;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            rmq_client_route(fixture.client, "t", false, close_from_route, &fixture, NULL), 0);
    busy(&fixture);
    RUN_UNTIL(&fixture, fixture.client == NULL);
    finish(&fixture);
}

static void close_from_watch(void *arg, const struct rmq_route *route)
{
    struct fixture *fixture = arg;
    struct rmq_client *client = fixture->client;
    (void)route;
    fixture->client = NULL;
    rmq_client_close(client, NULL, NULL);
}

/* What had still to be told then is not told any more. */
static void after_the_close_nobody_is_called(void **state)
{
    struct fixture fixture;
    struct rmq_route_watch *closing;
    struct watcher other = {.fixture = &fixture};
    (void)state;
    start(&fixture);
    assert_int_equal(
        rmq_client_watch_route(fixture.client, "t", close_from_watch, &fixture, &closing, NULL), 0);
    assert_int_equal(
        rmq_client_watch_route(fixture.client, "t", on_watch, &other, &other.watch, NULL), 0);
    RUN_UNTIL(&fixture, fixture.client == NULL);
    run_ms(&fixture, 20);
    assert_int_equal(other.calls, 0);
    finish(&fixture);
}

/* --- administration --- */

static void a_topic_is_created_on_all_masters_and_awaited(void **state)
{
    struct fixture fixture;
    struct rmq_topic_options options = {.struct_size = sizeof(options),
                                        .topic = "t",
                                        .read_queues = 2,
                                        .write_queues = 2,
                                        .attributes = ""};
    (void)state;
    start(&fixture);
    fixture.queues = 0; /* not yet */
    struct outcome *outcome = next_outcome(&fixture);
    assert_int_equal(rmq_admin_create_topic(fixture.client, &options, on_admin, outcome, NULL), 0);
    RUN_UNTIL(&fixture, fixture.broker[0].by_code[17] == 1 && fixture.broker[1].by_code[17] == 1);
    run_ms(&fixture, 60);
    assert_int_equal(outcome->calls, 0);
    fixture.queues = 2;
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_true(fixture.namesrv[0].received > 1 && fixture.namesrv[1].received > 1);
    fixture.broker_code = RMQ_REPLY_NO_PERMISSION;
    fixture.remark = "no";
    outcome = next_outcome(&fixture);
    assert_int_equal(rmq_admin_create_topic(fixture.client, &options, on_admin, outcome, NULL), 0);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_REFUSED);
    assert_non_null(strstr(outcome->text, "create topic, "));
    options.cluster = "elsewhere";
    outcome = next_outcome(&fixture);
    assert_int_equal(rmq_admin_create_topic(fixture.client, &options, on_admin, outcome, NULL), 0);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, RMQ_NOT_FOUND);
    assert_non_null(strstr(outcome->text, "elsewhere"));
    options.topic = "no blanks";
    assert_int_equal(rmq_admin_create_topic(fixture.client, &options, on_admin, NULL, NULL),
                     RMQ_INVALID);
    finish(&fixture);
}

static void on_stats(void *arg, int rc, const struct rmq_queue_stats *queues, size_t count,
                     const struct rmq_err *err)
{
    struct outcome *outcome = arg;
    outcome->count = count;
    for (size_t i = 0; i < count; i++) {
        outcome->number += queues[i].max_offset;
        assert_string_equal(queues[i].queue.broker, i < count / 2 ? "a" : "b");
        assert_int_equal(queues[i].queue.id, i % (count / 2));
    }
    note(arg, rc, err);
}

static void statistics_are_gathered_from_all_brokers(void **state)
{
    static const char *const wrong[] = {"[]",
                                        "{\"offsetTable\":{\"a\":1}}",
                                        "{\"offsetTable\":{{\"queueId\":\"x\"}:{}}}",
                                        "{\"offsetTable\":{{}:{}}}",
                                        "{\"offsetTable\":{{\"queueId\":0}:[]}}",
                                        "{\"offsetTable\":{{\"queueId\":0}:{\"maxOffset\":null}}}"};
    struct fixture fixture;
    (void)state;
    start(&fixture);
    fixture.body =
        "{\"offsetTable\":{{\"brokerName\":\"x\",\"queueId\":1,\"topic\":\"t\"}:{"
        "\"lastUpdateTimestamp\":5,\"maxOffset\":9,\"minOffset\":0},{\"brokerName\":\"x\","
        "\"queueId\":0,\"topic\":\"t\"}:{\"lastUpdateTimestamp\":0,\"maxOffset\":1,"
        "\"minOffset\":0}},\"topicPutTps\":0.0}";
    struct outcome *outcome = next_outcome(&fixture);
    assert_int_equal(rmq_admin_topic_stats(fixture.client, "t", on_stats, outcome, NULL), 0);
    run_until_ended(&fixture);
    assert_int_equal(outcome->rc, 0);
    assert_int_equal(outcome->count, 4);
    assert_int_equal(outcome->number, 20);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fixture.body = wrong[i];
        outcome = next_outcome(&fixture);
        assert_int_equal(rmq_admin_topic_stats(fixture.client, "t", on_stats, outcome, NULL), 0);
        run_until_ended(&fixture);
        assert_int_equal(outcome->rc, RMQ_MALFORMED);
    }
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_is_sorted_and_told_from_memory),
        cmocka_unit_test(a_missing_topic_is_not_found_and_asked_for_again),
        cmocka_unit_test(replies_that_are_no_route_are_errors),
        cmocka_unit_test(nulls_in_a_route_count_as_empty),
        cmocka_unit_test(dead_and_silent_name_servers_are_followed_by_the_next),
        cmocka_unit_test(a_name_server_that_was_lost_is_not_the_next_one_asked),
        cmocka_unit_test(without_any_name_server_the_error_names_all),
        cmocka_unit_test(a_known_route_outlives_the_name_servers),
        cmocka_unit_test(wrong_settings_are_refused_and_leave_nothing),
        cmocka_unit_test(brokers_are_found_by_name),
        cmocka_unit_test(a_reset_loses_what_is_in_flight_and_connects_anew),
        cmocka_unit_test(what_a_reset_has_lost_stays_lost_when_there_is_no_way_back),
        cmocka_unit_test(a_lost_broker_is_failing_and_its_routes_are_asked_for),
        cmocka_unit_test(a_refusal_carries_code_and_remark),
        cmocka_unit_test(requests_are_signed_and_can_be_sent_again),
        cmocka_unit_test(watches_are_told_of_changes_alone),
        cmocka_unit_test(heartbeats_tell_all_groups_to_the_brokers_concerned),
        cmocka_unit_test(heartbeats_are_repeated_and_follow_each_connect_at_once),
        cmocka_unit_test(the_broker_tells_of_changed_members),
        cmocka_unit_test(the_broker_hands_resets_on),
        cmocka_unit_test(members_are_listed_in_order),
        cmocka_unit_test(closing_works_at_every_stage),
        cmocka_unit_test(a_callback_may_close_the_client),
        cmocka_unit_test(after_the_close_nobody_is_called),
        cmocka_unit_test(a_topic_is_created_on_all_masters_and_awaited),
        cmocka_unit_test(statistics_are_gathered_from_all_brokers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
