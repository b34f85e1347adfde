/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's part in the cluster (cluster.c, log.c) against the mock broker, on one loop: what it
 * does when the log is not what it was. */
#include "mock_thread.h"
#include "topic_support.h"

#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/entry.h"
#include "cluster/log.h"

enum { WAIT_S = 30 };

/* A member, and what it was told. */
struct worker {
    uv_loop_t loop;
    uv_timer_t timer;
    struct gt_mailbox mailbox;
    struct gt_store *store;
    struct gt_link *link;
    struct gt_cluster *cluster;
    atomic_llong lease_until_ms;
    bool joined, failed, closed;
    int configs;
    struct gantry_err err;
};

struct env {
    struct fixture fx;
    struct mock_thread mock;
    struct worker worker;
};

static void on_config(void *arg, const char *connector, int64_t updated_ms,
                      struct gantry_view props, const struct gantry_view *tasks, size_t task_count)
{
    struct worker *worker = arg;
    (void)connector, (void)updated_ms, (void)props, (void)tasks, (void)task_count;
    worker->configs++;
}

static void on_task_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    (void)arg, (void)connector, (void)task, (void)epoch;
}

static void on_task_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch,
                         bool fenced)
{
    (void)arg, (void)connector, (void)task, (void)epoch, (void)fenced;
}

static void on_changed(void *arg)
{
    (void)arg;
}

static void on_joined(void *arg)
{
    ((struct worker *)arg)->joined = true;
}

static void on_failed(void *arg, const struct gantry_err *err)
{
    struct worker *worker = arg;
    if (!worker->failed)
        worker->err = *err;
    worker->failed = true;
}

static const struct gt_cluster_events events = {
    .config = on_config,
    .task_start = on_task_start,
    .task_stop = on_task_stop,
    .changed = on_changed,
    .joined = on_joined,
    .failed = on_failed,
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* the loop wakes up */
}

static void open_worker(struct env *env)
{
    struct worker *worker = &env->worker;
    struct gantry_err err = {0};
    const struct gt_link_settings link = {.name_servers = mock_namesrv(env->mock.mock),
                                          .client_id = "test"};
    uv_loop_init(&worker->loop);
    uv_timer_init(&worker->loop, &worker->timer);
    uv_timer_start(&worker->timer, on_tick, 20, 20);
    gt_mailbox_init(&worker->mailbox, &worker->loop);
    struct gt_cluster_setup setup = {
        .control = &worker->mailbox,
        .loop = &worker->loop,
        .cluster = "test",
        .member = "127.0.0.1@1",
        .lease_ms = 6000,
        .lease_until_ms = &worker->lease_until_ms,
        .events = &events,
        .arg = worker,
    };
    if (gt_store_open_cache(env->fx.path, &worker->store, &err) != 0 ||
        gt_link_open(&link, &worker->link, &err) != 0)
        fail_msg("%s", err.text);
    setup.store = worker->store;
    setup.link = worker->link;
    if (gt_cluster_open(&setup, &worker->cluster, &err) != 0 ||
        gt_store_start(worker->store, &err) != 0)
        fail_msg("%s", err.text);
}

static void on_closed(void *arg)
{
    struct worker *worker = arg;
    worker->closed = true;
    uv_close((uv_handle_t *)&worker->timer, NULL);
    gt_mailbox_close(&worker->mailbox, NULL);
}

static void close_worker(struct worker *worker)
{
    gt_cluster_close(worker->cluster, on_closed, worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    assert_true(worker->closed);
    gt_store_stop(worker->store);
    gt_link_close(worker->link);
    gt_store_close(worker->store);
    uv_loop_close(&worker->loop);
}

static int setup_env(void **state)
{
    struct env *env = calloc(1, sizeof *env);
    void *fx = NULL;
    assert_non_null(env);
    assert_int_equal(setup(&fx), 0);
    memcpy(&env->fx, fx, sizeof env->fx);
    free(fx);
    mock_thread_start(&env->mock);
    open_worker(env);
    *state = env;
    return 0;
}

static int teardown_env(void **state)
{
    struct env *env = *state;
    close_worker(&env->worker);
    mock_thread_end(&env->mock);
    remove_tree(env->fx.folder);
    free(env);
    return 0;
}

/* Run the loop until it is so. */
#define RUN_UNTIL(worker, condition)                                                               \
    do {                                                                                           \
        int64_t begun_ns = gt_clock_mono_ns();                                                     \
        while (!(condition)) {                                                                     \
            uv_run(&(worker)->loop, UV_RUN_ONCE);                                                  \
            if (gt_clock_mono_ns() - begun_ns > (int64_t)WAIT_S * 1000000000)                      \
                fail_msg("for %d s not: " #condition, WAIT_S);                                     \
        }                                                                                          \
    } while (0)

static void put_config(struct worker *worker, const char *name)
{
    struct gantry_err err = {0};
    int before = worker->configs;
    if (gt_cluster_put_config(worker->cluster, name, 1, gantry_view_of("{}"), NULL, 0, &err) != 0)
        fail_msg("%s", err.text);
    RUN_UNTIL(worker, worker->configs > before);
}

/* The broker goes, loses this many of its last messages, gets others, and comes back. */
static void lose(struct env *env, int lost, int others)
{
    char line[100];
    mock_thread_tell(&env->mock, "down broker-a");
    snprintf(line, sizeof line, "forget gantry-cluster-test broker-a 0 %d %d", lost, others);
    mock_thread_tell(&env->mock, line);
    RUN_UNTIL(&env->worker, gt_cluster_trouble(env->worker.cluster)[0] != '\0');
    mock_thread_tell(&env->mock, "up broker-a");
}

/* A broker that was away and has all: the worker goes on. */
static void test_away(void **state)
{
    struct env *env = *state;
    struct worker *worker = &env->worker;
    RUN_UNTIL(worker, worker->joined);
    put_config(worker, "one");
    for (int round = 0; round < 2; round++) {
        lose(env, 0, round * 3);
        RUN_UNTIL(worker, gt_cluster_trouble(worker->cluster)[0] == '\0');
        put_config(worker, "two");
    }
    assert_false(worker->failed);
    assert_int_equal(worker->configs, 3);
}

/* What is asked for while the broker is away waits, but not without bound. */
static void test_much_is_asked_for(void **state)
{
    enum { BYTES = 1 << 20, TIMES = 100 };
    struct env *env = *state;
    struct worker *worker = &env->worker;
    struct gantry_err err = {0};
    char *props = malloc(BYTES);
    assert_non_null(props);
    memset(props, ' ', BYTES);
    RUN_UNTIL(worker, worker->joined);
    mock_thread_tell(&env->mock, "down broker-a");
    RUN_UNTIL(worker, gt_cluster_trouble(worker->cluster)[0] != '\0');
    int taken = 0, code = 0;
    while (taken < TIMES && code == 0) {
        code = gt_cluster_put_config(worker->cluster, "large", taken,
                                     (struct gantry_view){props, BYTES}, NULL, 0, &err);
        taken += code == 0;
    }
    assert_int_equal(code, GANTRY_AGAIN);
    assert_non_null(strstr(err.text, gt_cluster_trouble(worker->cluster)));
    assert_true(taken > 4);
    mock_thread_tell(&env->mock, "up broker-a");
    RUN_UNTIL(worker, worker->configs == taken);
    put_config(worker, "small");
    free(props);
}

/* One that has lost what the worker has read: the worker is not in step with the others any more,
 * whether the offsets were taken by other messages meanwhile or not. */
static void lost(struct env *env, int count, int others)
{
    struct worker *worker = &env->worker;
    RUN_UNTIL(worker, worker->joined);
    put_config(worker, "one");
    put_config(worker, "two");
    lose(env, count, others);
    RUN_UNTIL(worker, worker->failed);
    assert_int_equal(worker->err.code, GANTRY_CHANGED);
    assert_non_null(strstr(worker->err.text, "has lost messages"));
}

static void test_lost(void **state)
{
    lost(*state, 3, 0);
}

static void test_lost_the_last_one(void **state)
{
    lost(*state, 1, 0);
}

static void test_lost_and_overtaken(void **state)
{
    lost(*state, 2, 5);
}

/* --- A snapshot that cannot be read --- */

/* Somebody who writes to the log by hand. */
struct hand {
    struct gt_cluster_log *log;
    bool found, closed;
    int64_t max, stored; /* stored: where our message is; 0: not yet */
};

static void on_found(void *arg, int64_t min, int64_t max, int64_t snapshot)
{
    struct hand *hand = arg;
    (void)min, (void)snapshot;
    hand->found = true;
    hand->max = max;
}

static void on_stored(void *arg)
{
    (void)arg; /* read again, too */
}

static void on_log_message(void *arg, int64_t offset, struct gantry_view bytes)
{
    struct gt_cluster_part part;
    if (gt_cluster_snapshot_part(bytes, &part, NULL) == 0)
        ((struct hand *)arg)->stored = offset;
}

static void on_log_gap(void *arg, int64_t next)
{
    (void)arg, (void)next;
}

static void on_missing(void *arg, const char *topic)
{
    (void)arg, (void)topic;
}

static void on_reach(void *arg, enum gt_cluster_reach reach, const char *text, int64_t when_ms)
{
    (void)arg, (void)reach, (void)text, (void)when_ms;
}

static void on_members(void *arg, const char *const *names, size_t count)
{
    (void)arg, (void)names, (void)count;
}

static void on_hand_closed(void *arg)
{
    ((struct hand *)arg)->closed = true;
}

/* The worker leaves; a snapshot with this state is put where the next one looks for it; that one
 * starts. */
static void put_snapshot(struct env *env, const char *state, size_t len)
{
    static const struct gt_cluster_log_events log_events = {
        .found = on_found,
        .missing = on_missing,
        .message = on_log_message,
        .gap = on_log_gap,
        .stored = on_stored,
        .reach = on_reach,
        .members = on_members,
    };
    struct worker *worker = &env->worker;
    struct hand hand = {0};
    struct gantry_err err = {0};
    const struct gt_cluster_log_setup setup = {
        .link = worker->link,
        .control = &worker->mailbox,
        .cluster = "test",
        .visitor = true,
        .events = &log_events,
        .arg = &hand,
    };
    const struct gt_incarnation someone = {.bytes = {1, 2, 3}};
    struct gt_buf bytes, entry, message;
    RUN_UNTIL(worker, worker->joined);
    assert_int_equal(gt_cluster_log_open(&setup, &hand.log, &err), 0);
    RUN_UNTIL(worker, hand.found);
    gt_buf_init(&bytes, 4096);
    gt_buf_init(&entry, 4096);
    gt_buf_init(&message, 4096);
    gt_buf_add_char(&bytes, (char)len);
    gt_buf_add(&bytes, state, len);
    gt_cluster_add_snapshot(&entry, hand.max - 1, 0, 1, gt_buf_view(&bytes));
    gt_cluster_message_write(&message, &someone, 1, gt_buf_view(&entry));
    gt_cluster_log_read(hand.log, hand.max);
    gt_cluster_log_send(hand.log, &message);
    RUN_UNTIL(worker, hand.stored > 0);
    gt_cluster_log_point(hand.log, hand.stored);
    put_config(worker, "behind it"); /* what was asked for in this order is done */
    gt_cluster_log_close(hand.log, on_hand_closed, &hand);
    RUN_UNTIL(worker, hand.closed);
    gt_buf_deinit(&bytes);
    gt_buf_deinit(&entry);
    gt_buf_deinit(&message);
    close_worker(worker);
    *worker = (struct worker){.joined = false};
    open_worker(env);
}

static void test_snapshot_of_a_newer_version(void **state)
{
    struct env *env = *state;
    put_snapshot(env, "GTCS\177", 5);
    RUN_UNTIL(&env->worker, env->worker.failed);
    assert_int_equal(env->worker.err.code, GANTRY_VERSION);
    assert_false(env->worker.joined);
}

static void test_snapshot_that_is_cut_off(void **state)
{
    struct env *env = *state;
    put_snapshot(env, "GTCS\1", 5);
    RUN_UNTIL(&env->worker, env->worker.failed);
    assert_int_equal(env->worker.err.code, GANTRY_CORRUPT);
    assert_false(env->worker.joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_away, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_much_is_asked_for, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_lost, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_lost_the_last_one, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_lost_and_overtaken, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_snapshot_of_a_newer_version, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_snapshot_that_is_cut_off, setup_env, teardown_env),
    };
    gt_log_set_level(getenv("GANTRY_TEST_LOG") != NULL ? GANTRY_LOG_DEBUG : GANTRY_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
