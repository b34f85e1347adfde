/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a real cluster, run by tests/rocketmq/test_librocketmq_client.py.
 *
 * usage: live_client NAMESRV COMMAND [ARGUMENT] [OPTION ...]
 *
 *   all NAME        topic, route, offsets, groups, members, statistics, delete; NAME is free to use
 *   route TOPIC     print its queues
 *   create TOPIC    create it with 2 queues
 *   members GROUP TOPIC MS
 *                   be a member for so long; print the list at each change
 *   watch TOPIC MS  print the route at each change for so long
 *
 * options: --tls, --ca FILE, --verify-host, --cert FILE --key FILE, --access KEY --secret KEY,
 * --binary, --old (brokers of 4.9), --id CLIENT_ID, --log. A failure is one line on
 * stderr and exit status 1.
 */
#include <rocketmq/admin.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEP_LIMIT_MS = 60000, TICK_MS = 5 };

static uv_loop_t loop;
static struct rmq_client *client;
static const char *own_id;
static bool old_broker; /* 4.9 */

/* What the last step has come to. */
static struct {
    bool done;
    int rc;
    int64_t number;
    struct rmq_err err;
    const struct rmq_route *route;
    size_t count;
    bool seen; /* the own id in a list, or whatever the step looks for */
    const char *wanted;
} step;

/* Ticks, for UV_RUN_ONCE may run a timer first and then sleep until the next one. */
static void on_tick(uv_timer_t *timer)
{
    size_t *ticks = timer->data;
    if (++*ticks < STEP_LIMIT_MS / TICK_MS)
        return;
    fprintf(stderr, "a step takes too long\n");
    exit(1);
}

static void begin(void)
{
    rmq_route_unref(step.route);
    memset(&step, 0, sizeof(step));
}

static void finished(int rc, const struct rmq_err *err)
{
    step.done = true;
    step.rc = rc;
    if (rc != 0)
        step.err = *err;
}

/* Run the loop until the step has ended. asked: what starting it returned. */
static int wait_step(int asked)
{
    uv_timer_t tick;
    size_t ticks = 0;
    if (asked != 0) {
        step.rc = asked;
        return asked;
    }
    (void)uv_timer_init(&loop, &tick);
    tick.data = &ticks;
    (void)uv_timer_start(&tick, on_tick, TICK_MS, TICK_MS);
    while (!step.done)
        (void)uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    return step.rc;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", what, rmq_error_name(step.rc), step.err.text);
    exit(1);
}

static void expect(bool truth, const char *what)
{
    if (truth) {
        printf("ok %s\n", what);
        return;
    }
    fprintf(stderr, "wrong: %s (rc %s, number %" PRId64 ", count %zu, text %s)\n", what,
            rmq_error_name(step.rc), step.number, step.count, step.err.text);
    exit(1);
}

static void on_admin(void *arg, int rc, const struct rmq_err *err)
{
    (void)arg;
    finished(rc, err);
}

static void on_offset(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    (void)arg;
    step.number = offset;
    finished(rc, err);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    (void)arg;
    if (rc == 0)
        step.route = rmq_route_ref(route);
    finished(rc, err);
}

static void on_members(void *arg, int rc, const char *const *ids, size_t count,
                       const struct rmq_err *err)
{
    (void)arg;
    step.count = count;
    for (size_t i = 0; i < count; i++)
        step.seen |= strcmp(ids[i], own_id) == 0;
    finished(rc, err);
}

static void on_stats(void *arg, int rc, const struct rmq_queue_stats *queues, size_t count,
                     const struct rmq_err *err)
{
    (void)arg;
    step.count = count;
    for (size_t i = 0; i < count; i++)
        step.number += queues[i].max_offset;
    finished(rc, err);
}

static void on_cluster(void *arg, int rc, const struct rmq_broker_info *brokers, size_t count,
                       const struct rmq_err *err)
{
    (void)arg;
    step.count = count;
    for (size_t i = 0; i < count; i++)
        step.seen |= brokers[i].address_count > 0 && brokers[i].addresses[0].id == 0;
    finished(rc, err);
}

static void on_topics(void *arg, int rc, const char *const *topics, size_t count,
                      const struct rmq_err *err)
{
    (void)arg;
    step.count = count;
    for (size_t i = 0; i < count; i++)
        step.seen |= strcmp(topics[i], step.wanted) == 0;
    finished(rc, err);
}

static void on_sent(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    (void)arg;
    struct rmq_err problem;
    if (rc == 0) {
        rc = rmq_reply_check(reply, "send", &problem);
        err = &problem;
    }
    finished(rc, err);
}

static void send_one(const char *topic, const char *broker, int32_t queue)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_SEND_MESSAGE_V2);
    rmq_command_add_str(&request, "a", "live");
    rmq_command_add_str(&request, "b", topic);
    rmq_command_add_str(&request, "c", "TBW102");
    rmq_command_add_int(&request, "d", 4);
    rmq_command_add_int(&request, "e", queue);
    rmq_command_add_int(&request, "f", 0);
    rmq_command_add_int(&request, "g", 1700000000000);
    rmq_command_add_int(&request, "h", 0);
    rmq_command_add_str(&request, "i", "");
    request.body = rmq_view_str("hello");
    begin();
    if (wait_step(
            rmq_client_call_broker(client, broker, 0, &request, 0, on_sent, NULL, &step.err)) != 0)
        fail("send");
}

static void create(const char *topic, int32_t queues)
{
    struct rmq_topic_options options = {.struct_size = sizeof(options),
                                        .topic = topic,
                                        .read_queues = queues,
                                        .write_queues = queues};
    begin();
    if (wait_step(rmq_admin_create_topic(client, &options, on_admin, NULL, &step.err)) != 0)
        fail("create topic");
}

static void route_of(const char *topic)
{
    begin();
    if (wait_step(rmq_client_route(client, topic, true, on_route, NULL, &step.err)) != 0)
        fail("route");
}

static void print_route(const struct rmq_route *route)
{
    printf("write");
    for (size_t i = 0; i < route->write_count; i++)
        printf(" %s:%d", route->write_queues[i].broker, (int)route->write_queues[i].id);
    printf("\nread");
    for (size_t i = 0; i < route->read_count; i++)
        printf(" %s:%d", route->read_queues[i].broker, (int)route->read_queues[i].id);
    printf("\n");
    (void)fflush(stdout);
}

static void on_change_printed(void *arg, const struct rmq_route *route)
{
    (void)arg;
    if (route == NULL) {
        printf("gone\n");
        (void)fflush(stdout);
    } else {
        print_route(route);
    }
}

static void on_time(uv_timer_t *timer)
{
    (void)timer;
    step.done = true;
}

static void run_ms(uint64_t ms)
{
    uv_timer_t timer;
    step.done = false;
    (void)uv_timer_init(&loop, &timer);
    (void)uv_timer_start(&timer, on_time, ms, 0);
    while (!step.done)
        (void)uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static int changes;

static void on_changed(void *arg)
{
    (void)arg;
    changes++;
}

/* Ask until the list is as wanted, for a broker takes a moment. */
static void await_members(const char *group, const char *topic, size_t count, bool own)
{
    for (int i = 0; i < 200; i++) {
        begin();
        if (wait_step(rmq_client_members(client, group, topic, on_members, NULL, &step.err)) != 0)
            fail("members");
        if (step.count == count && step.seen == own)
            return;
        run_ms(25);
    }
    fprintf(stderr, "%zu members, own id %s\n", step.count, step.seen ? "seen" : "not seen");
    exit(1);
}

/* What tables() looks for. */
static const char *wanted_group;

static void on_topic_rows(void *arg, int rc, const struct rmq_topic_row *rows, size_t count,
                          const struct rmq_err *err)
{
    for (size_t i = 0; i < count; i++)
        step.seen =
            step.seen || (strcmp(rows[i].topic, step.wanted) == 0 && rows[i].read_queues == 3 &&
                          rows[i].write_queues == 3 && rows[i].perm == 6 && !rows[i].order);
    on_admin(arg, rc, err);
}

static void on_group_rows(void *arg, int rc, const struct rmq_group_row *rows, size_t count,
                          const struct rmq_err *err)
{
    for (size_t i = 0; i < count; i++)
        step.seen = step.seen || (strcmp(rows[i].group, wanted_group) == 0 &&
                                  rows[i].retry_max == 16 && !rows[i].consume_disabled);
    on_admin(arg, rc, err);
}

static void on_offset_rows(void *arg, int rc, const struct rmq_offset_row *rows, size_t count,
                           const struct rmq_err *err)
{
    for (size_t i = 0; i < count; i++)
        step.seen = step.seen || (strcmp(rows[i].group, wanted_group) == 0 &&
                                  strcmp(rows[i].topic, step.wanted) == 0 &&
                                  rows[i].queue_id == 1 && rows[i].offset == 2);
    on_admin(arg, rc, err);
}

static void tables(const char *topic, const char *group)
{
    wanted_group = group;
    begin();
    step.wanted = topic;
    (void)wait_step(rmq_admin_topic_rows(client, NULL, on_topic_rows, NULL, &step.err));
    expect(step.rc == 0 && step.seen, "the table of topics");
    begin();
    (void)wait_step(rmq_admin_group_rows(client, NULL, on_group_rows, NULL, &step.err));
    expect(step.rc == 0 && step.seen, "the table of groups");
    begin();
    step.wanted = topic;
    (void)wait_step(rmq_admin_offset_rows(client, NULL, on_offset_rows, NULL, &step.err));
    expect(step.rc == 0 && step.seen, "the table of offsets");
    begin();
    (void)wait_step(
        rmq_admin_topic_rows(client, "no-such-cluster", on_topic_rows, NULL, &step.err));
    expect(step.rc == RMQ_NOT_FOUND, "no table of a cluster that is not there");
}

static void offsets_and_groups(const char *topic, const char *group, const char *broker)
{
    struct rmq_group_options options = {.struct_size = sizeof(options), .group = group};
    begin();
    (void)wait_step(rmq_admin_max_offset(client, topic, broker, 1, on_offset, NULL, &step.err));
    expect(step.rc == 0 && step.number == 2, "max offset");
    begin();
    (void)wait_step(rmq_admin_min_offset(client, topic, broker, 1, on_offset, NULL, &step.err));
    expect(step.rc == 0 && step.number == 0, "min offset");
    begin();
    (void)wait_step(
        rmq_admin_offset_by_time(client, topic, broker, 1, 0, on_offset, NULL, &step.err));
    expect(step.rc == 0 && step.number == 0, "offset by time");
    begin();
    (void)wait_step(rmq_admin_create_group(client, &options, on_admin, NULL, &step.err));
    expect(step.rc == 0, "create group");
    begin();
    (void)wait_step(
        rmq_admin_group_offset(client, group, topic, broker, 1, on_offset, NULL, &step.err));
    /* 4.9 always says 0 while the queue is young. */
    expect(step.rc == RMQ_NOT_FOUND || (old_broker && step.rc == 0), "no group offset yet");
    begin();
    (void)wait_step(
        rmq_admin_set_group_offset(client, group, topic, broker, 1, 2, on_admin, NULL, &step.err));
    expect(step.rc == 0, "set group offset");
    begin();
    (void)wait_step(
        rmq_admin_group_offset(client, group, topic, broker, 1, on_offset, NULL, &step.err));
    expect(step.rc == 0 && step.number == 2, "group offset");
    tables(topic, group);
    if (old_broker)
        return; /* it resets through members that are online */
    begin();
    (void)wait_step(
        rmq_admin_reset_offsets(client, group, topic, 0, true, on_admin, NULL, &step.err));
    expect(step.rc == 0, "reset offsets");
    begin();
    (void)wait_step(
        rmq_admin_group_offset(client, group, topic, broker, 1, on_offset, NULL, &step.err));
    expect(step.rc == 0 && step.number == 0, "group offset after the reset");
    begin();
    (void)wait_step(rmq_admin_set_group_offset(client, "no_such_group_anywhere", topic, broker, 1,
                                               2, on_admin, NULL, &step.err));
    printf("unknown group: %s %d\n", rmq_error_name(step.rc), (int)step.err.server_code);
}

static void membership(const char *topic, const char *group)
{
    struct rmq_membership *membership;
    const char *topics[] = {topic};
    struct rmq_membership_options options = {.struct_size = sizeof(options),
                                             .group = group,
                                             .topics = topics,
                                             .topic_count = 1,
                                             .push = true,
                                             .changed = on_changed};
    await_members(group, topic, 0, false);
    expect(true, "no member yet");
    if (rmq_membership_new(client, &options, &membership, &step.err) != 0)
        fail("membership");
    await_members(group, topic, 1, true);
    expect(true, "a member");
    for (int i = 0; i < 200 && changes == 0; i++)
        run_ms(25);
    expect(changes > 0, "told of the change");
    rmq_membership_close(membership);
    await_members(group, topic, 0, false);
    expect(true, "left");
}

static void all(const char *name)
{
    char topic[128], group[128];
    (void)snprintf(topic, sizeof(topic), "%s_topic", name);
    (void)snprintf(group, sizeof(group), "%s_group", name);
    begin();
    (void)wait_step(rmq_client_route(client, topic, false, on_route, NULL, &step.err));
    expect(step.rc == RMQ_NOT_FOUND, "no such topic");
    begin();
    (void)wait_step(rmq_admin_cluster(client, on_cluster, NULL, &step.err));
    expect(step.rc == 0 && step.count > 0 && step.seen, "cluster");
    create(topic, 3);
    expect(true, "create topic");
    begin();
    (void)wait_step(rmq_client_route(client, topic, false, on_route, NULL, &step.err));
    expect(step.rc == 0 && step.route->write_count == 3 * step.route->broker_count &&
               step.route->read_count == step.route->write_count,
           "route");
    const struct rmq_route *route = rmq_route_ref(step.route);
    const char *broker = route->write_queues[0].broker;
    send_one(topic, broker, 1);
    send_one(topic, broker, 1);
    expect(true, "send");
    run_ms(200); /* the queue's index follows the log */
    offsets_and_groups(topic, group, broker);
    begin();
    (void)wait_step(rmq_admin_topic_stats(client, topic, on_stats, NULL, &step.err));
    expect(step.rc == 0 && step.count == route->read_count && step.number == 2, "statistics");
    begin();
    step.wanted = topic;
    (void)wait_step(rmq_admin_topics(client, on_topics, NULL, &step.err));
    expect(step.rc == 0 && step.seen, "topics");
    membership(topic, group);
    rmq_client_reset_broker(client, broker);
    send_one(topic, broker, 1);
    expect(true, "send after a reset");
    begin();
    (void)wait_step(rmq_admin_delete_group(client, group, true, on_admin, NULL, &step.err));
    expect(step.rc == 0, "delete group");
    create(topic, 5);
    route_of(topic);
    expect(step.route->write_count == 5 * step.route->broker_count, "change topic");
    begin();
    (void)wait_step(rmq_admin_delete_topic(client, topic, on_admin, NULL, &step.err));
    expect(step.rc == 0, "delete topic");
    begin();
    (void)wait_step(rmq_client_route(client, topic, true, on_route, NULL, &step.err));
    expect(step.rc == RMQ_NOT_FOUND, "the topic is gone");
    rmq_route_unref(route);
}

static void be_member(const char *group, const char *topic, int64_t ms)
{
    struct rmq_membership *membership;
    const char *topics[] = {topic};
    struct rmq_membership_options options = {.struct_size = sizeof(options),
                                             .group = group,
                                             .topics = topics,
                                             .topic_count = 1,
                                             .changed = on_changed};
    if (rmq_membership_new(client, &options, &membership, &step.err) != 0)
        fail("membership");
    uint64_t end = uv_now(&loop) + (uint64_t)ms;
    size_t last = 0;
    while (uv_now(&loop) < end) {
        begin();
        if (wait_step(rmq_client_members(client, group, topic, on_members, NULL, &step.err)) == 0 &&
            (step.count != last || changes > 0)) {
            last = step.count;
            changes = 0;
            printf("members %zu %s\n", step.count, step.seen ? "own" : "others");
            (void)fflush(stdout);
        }
        run_ms(50);
    }
    rmq_membership_close(membership);
}

static void watch(const char *topic, int64_t ms)
{
    struct rmq_route_watch *handle;
    if (rmq_client_watch_route(client, topic, on_change_printed, NULL, &handle, &step.err) != 0)
        fail("watch");
    run_ms((uint64_t)ms);
    rmq_route_watch_remove(handle);
}

static void print_log(void *arg, enum rmq_log_level level, const char *text)
{
    (void)arg;
    fprintf(stderr, "log %d %s\n", (int)level, text);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

int main(int argc, char **argv)
{
    struct rmq_tls_options tls = {.struct_size = sizeof(tls)};
    struct rmq_credentials credentials = {.struct_size = sizeof(credentials)};
    struct rmq_client_options options = {.struct_size = sizeof(options), .route_refresh_ms = 1000};
    const char *words[5] = {NULL};
    size_t word_count = 0;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--tls") == 0) {
            options.tls = &tls;
        } else if (strcmp(argv[i], "--verify-host") == 0) {
            tls.verify_host = true;
        } else if (strcmp(argv[i], "--binary") == 0) {
            options.codec = RMQ_CODEC_BINARY;
        } else if (strcmp(argv[i], "--old") == 0) {
            old_broker = true;
        } else if (strcmp(argv[i], "--log") == 0) {
            options.log = print_log;
        } else if (strncmp(argv[i], "--", 2) == 0) {
            const char **at = strcmp(argv[i], "--ca") == 0       ? &tls.ca_file
                              : strcmp(argv[i], "--cert") == 0   ? &tls.cert_file
                              : strcmp(argv[i], "--key") == 0    ? &tls.key_file
                              : strcmp(argv[i], "--access") == 0 ? &credentials.access_key
                              : strcmp(argv[i], "--secret") == 0 ? &credentials.secret_key
                                                                 : &options.client_id;
            *at = next;
            if (at == &credentials.access_key)
                options.credentials = &credentials;
            i++;
        } else if (word_count < 5) {
            words[word_count++] = argv[i];
        }
    }
    if (word_count < 3) {
        fprintf(stderr, "usage: live_client NAMESRV COMMAND ARGUMENT\n");
        return 2;
    }
    options.name_servers = words[0];
    (void)uv_loop_init(&loop);
    step.rc = rmq_client_new(&loop, &options, &client, &step.err);
    if (step.rc != 0)
        fail("client");
    own_id = rmq_client_id(client);
    int64_t ms = words[word_count - 1] == NULL ? 0 : atoll(words[word_count - 1]);
    if (strcmp(words[1], "all") == 0) {
        all(words[2]);
    } else if (strcmp(words[1], "route") == 0) {
        route_of(words[2]);
        print_route(step.route);
    } else if (strcmp(words[1], "create") == 0) {
        create(words[2], 2);
        printf("created\n");
    } else if (strcmp(words[1], "members") == 0) {
        be_member(words[2], words[3], ms);
    } else if (strcmp(words[1], "watch") == 0) {
        watch(words[2], ms);
    }
    begin();
    bool closed = false;
    rmq_client_close(client, on_closed, &closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (!closed || uv_loop_close(&loop) != 0) {
        fprintf(stderr, "the close did not end\n");
        return 1;
    }
    printf("closed\n");
    return 0;
}
