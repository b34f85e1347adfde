/* SPDX-License-Identifier: Apache-2.0 */
/* Killed at each step of an append and a commit, and at any moment: what was acknowledged is there,
 * in order, once, together with the position that was committed with it, and the next one goes on
 * from that position. */
#include "topic_support.h"

#include <signal.h>

enum { MESSAGES = 400, IN_FLIGHT = 6, PADDING = 300 };

/* --- The child: a source that numbers its messages and stores the next number as its position ---
 */

struct crash_append {
    struct waited_append waited; /* first */
    int pipe;
    int64_t next; /* number behind this append */
};

static void on_crash_append(struct gt_append *append)
{
    struct crash_append *crash = (struct crash_append *)append;
    if (append->commit.err.code == 0)
        CHECK(write(crash->pipe, &crash->next, sizeof crash->next) == (ssize_t)sizeof crash->next);
    sem_post(&crash->waited.done);
}

static struct gantry_view position_key(struct gt_key *key)
{
    struct gantry_view partition = gantry_view_of("numbers");
    gt_key_position(key, "crash", &partition);
    return gt_key_view(key);
}

/* Next number for topic "t", and how many appends there were, each with one message for topic
 * "side". */
static void load_position(struct fixture *fx, int64_t *ret_next, int64_t *ret_appends)
{
    struct gt_buf value;
    struct gt_key key;
    struct gantry_err err = {0};
    *ret_next = *ret_appends = 0;
    gt_buf_init(&value, 100);
    int code = gt_store_get(fx->store, GT_TABLE_POSITIONS, position_key(&key), &value, &err);
    if (code == 0)
        CHECK(sscanf(gt_buf_cstr(&value), "%" SCNd64 " %" SCNd64, ret_next, ret_appends) == 2);
    else
        CHECK(code == GANTRY_NOT_FOUND);
    gt_buf_deinit(&value);
}

static void submit(struct fixture *fx, struct crash_append *crash, struct gt_writer *chain,
                   int64_t *next, int64_t *appends)
{
    struct made_message made[8];
    struct gt_message messages[8];
    size_t count = 1 + (size_t)(*appends % 7);
    for (size_t i = 0; i < count; i++)
        messages[i] = make_message(&made[i], *next + (int64_t)i, PADDING);
    struct made_message side_made;
    struct gt_message side = make_message(&side_made, *appends, PADDING);
    struct gt_append_part parts[] = {one_part(gt_topic_get(fx->topics, "t"), messages, count),
                                     one_part(gt_topic_get(fx->topics, "side"), &side, 1)};
    *next += (int64_t)count;
    *appends += 1;

    struct gantry_err err = {0};
    struct gt_key key;
    char position[64];
    snprintf(position, sizeof position, "%" PRId64 " %" PRId64, *next, *appends);
    crash->next = *next;
    gt_append_init(&crash->waited.append, on_crash_append);
    crash->waited.append.writer = chain;
    gt_commit_put(&crash->waited.append.commit, GT_TABLE_POSITIONS, position_key(&key),
                  gantry_view_of(position));
    CHECK(gt_append_submit(fx->topics, &crash->waited.append, parts, 2, &fx->scratch, &err) == 0);
}

static int run_worker(struct fixture *fx, int pipe, int64_t retention)
{
    struct crash_append slots[IN_FLIGHT];
    struct gantry_err err = {0};
    int64_t next, appends;
    fx->settings.segment_bytes = 16 << 10;
    fx->settings.retention_bytes = retention;
    CHECK(try_open(fx, &err) == 0);
    struct gt_writer *chain = open_writer(fx);
    load_position(fx, &next, &appends);
    CHECK(gt_topic_end(gt_topic_get(fx->topics, "t"), 0) == next);
    for (int i = 0; i < IN_FLIGHT; i++) {
        sem_init(&slots[i].waited.done, 0, 1);
        slots[i].pipe = pipe;
    }
    int64_t end = next + MESSAGES;
    for (int64_t i = 0; i < IN_FLIGHT || next < end; i++) {
        struct crash_append *slot = &slots[i % IN_FLIGHT];
        sem_wait(&slot->waited.done);
        if (i >= IN_FLIGHT) {
            CHECK(slot->waited.append.commit.err.code == 0);
            gt_append_deinit(&slot->waited.append);
        }
        submit(fx, slot, chain, &next, &appends);
    }
    for (int i = 0; i < IN_FLIGHT; i++) {
        sem_wait(&slots[i].waited.done);
        gt_append_deinit(&slots[i].waited.append);
        sem_destroy(&slots[i].waited.done);
    }
    gt_writer_close(chain);
    close_all(fx);
    return 0;
}

static int worker(struct fixture *fx, int pipe)
{
    return run_worker(fx, pipe, 0);
}

static int worker_with_retention(struct fixture *fx, int pipe)
{
    return run_worker(fx, pipe, 64 << 10);
}

/* --- The parent --- */

/* Run one child to its end; with @p kill_after >= 0 it is killed after so many acknowledgements.
 * Returns its status; the last number acknowledged goes to *acknowledged. */
static int run_child(struct fixture *fx, const char *scenario, const char *fault, int kill_after,
                     int64_t *acknowledged)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFD, 0), 0);
    pid_t pid = start_scenario(fx, scenario, fault, ends[1]);
    close(ends[1]);
    int64_t number;
    for (int count = 0;; count++) {
        if (count == kill_after)
            kill(pid, SIGKILL);
        ssize_t got = read(ends[0], &number, sizeof number);
        if (got == 0)
            break;
        assert_int_equal(got, (ssize_t)sizeof number);
        assert_true(number > *acknowledged); /* in order */
        *acknowledged = number;
    }
    close(ends[0]);
    return wait_scenario(pid);
}

static void check_store(struct fixture *fx, int64_t acknowledged, const char *when)
{
    struct gantry_err err = {0};
    int64_t next, appends, first = 0, side_first = 0;
    fx->settings.segment_bytes = 16 << 10;
    fx->settings.retention_bytes = 0;
    open_all(fx);
    load_position(fx, &next, &appends);
    if (next < acknowledged)
        fail_msg("%s: %" PRId64 " was acknowledged, the position is %" PRId64, when, acknowledged,
                 next);
    int64_t end = gt_topic_end(gt_topic_get(fx->topics, "t"), 0);
    int64_t side = gt_topic_end(gt_topic_get(fx->topics, "side"), 0);
    if (end != next || side != appends)
        fail_msg("%s: position %" PRId64 " %" PRId64 ", topics end at %" PRId64 " and %" PRId64,
                 when, next, appends, end, side);
    int64_t got = try_read(fx, "t", 0, PADDING, &first, &err);
    int64_t side_got = try_read(fx, "side", 0, PADDING, &side_first, &err);
    if (got != end - first || side_got != side - side_first)
        fail_msg("%s: from %" PRId64 " on there are %" PRId64 " messages of %" PRId64 " %s", when,
                 first, got, end - first, err.text);
    close_all(fx);
}

#ifdef GT_FAULTS
static void kill_at(struct fixture *fx, const char *scenario, const char *point, int passage,
                    int64_t *acknowledged)
{
    char fault[100];
    snprintf(fault, sizeof fault, "kill:%s:%d", point, passage);
    int status = run_child(fx, scenario, fault, -1, acknowledged);
    if (status != 1000 + SIGKILL)
        fail_msg("%s: the child ended with %d", fault, status);
    check_store(fx, *acknowledged, fault);
}

static void test_killed_at_each_step(void **state)
{
    static const char *const points[] = {
        "segment.create",
        "segment.header",
        "append.write",
        "append.written",
        "commit.begin",
        "commit.segment-sync",
        "commit.segment-folder-sync",
        "commit.queue-folder-sync",
        "commit.topic-folder-sync",
        "commit.synced",
        "commit.txn",
        "commit.committed",
        "commit.published",
    };
    static const int passages[] = {1, 2, 9};
    struct fixture *fx = *state;
    int64_t acknowledged = 0;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        for (size_t k = 0; k < sizeof passages / sizeof passages[0]; k++) {
            /* The folders above a queue are synced once a start. */
            bool once = strstr(points[i], "queue-folder") != NULL ||
                        strstr(points[i], "topic-folder") != NULL;
            kill_at(fx, "worker", points[i], once ? 1 : passages[k], &acknowledged);
        }
    }
    assert_int_equal(run_child(fx, "worker", NULL, -1, &acknowledged), 0);
    check_store(fx, acknowledged, "at the end");
}

/* In a store without anything: the very first append of all. */
static void test_killed_at_first(void **state)
{
    static const char *const points[] = {"segment.create",
                                         "segment.header",
                                         "append.write",
                                         "append.written",
                                         "commit.begin",
                                         "commit.segment-sync",
                                         "commit.synced",
                                         "commit.txn",
                                         "commit.committed",
                                         "commit.published",
                                         "commit.segment-folder-sync"};
    struct fixture *fx = *state;
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        int64_t acknowledged = 0;
        kill_at(fx, "worker", points[i], 1, &acknowledged);
        assert_int_equal(run_child(fx, "worker", NULL, -1, &acknowledged), 0);
        check_store(fx, acknowledged, points[i]);
        remove_tree(fx->path);
    }
}

static void test_killed_in_retention(void **state)
{
    struct fixture *fx = *state;
    int64_t acknowledged = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(run_child(fx, "worker", NULL, -1, &acknowledged), 0);
        kill_at(fx, "worker_with_retention", "retention.committed", 1 + i % 2, &acknowledged);
        assert_int_equal(run_child(fx, "worker_with_retention", NULL, -1, &acknowledged), 0);
        check_store(fx, acknowledged, "after retention");
    }
    char first[FOLDER_MAX + 128];
    segment_path_of(fx, "t", 0, first);
    assert_int_equal(file_size(first), -1); /* it did delete */
}
#endif

static void test_killed_at_any_moment(void **state)
{
    struct fixture *fx = *state;
    int64_t acknowledged = 0;
    int killed = 0;
    for (int i = 0; i < 20; i++) {
        int status = run_child(fx, "worker", NULL, 1 + i * 7 % 60, &acknowledged);
        assert_true(status == 0 || status == 1000 + SIGKILL);
        killed += status != 0;
        check_store(fx, acknowledged, "killed");
    }
    assert_true(killed >= 10);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"worker", worker},
        {"worker_with_retention", worker_with_retention},
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment, setup, teardown),
#ifdef GT_FAULTS
        cmocka_unit_test_setup_teardown(test_killed_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_at_each_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_in_retention, setup, teardown),
#endif
    };
    gt_log_set_level(GANTRY_LOG_ERROR);
    int status = scenario_main(argc, argv, scenarios, sizeof scenarios / sizeof scenarios[0]);
    return status >= 0 ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
