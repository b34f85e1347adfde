/* SPDX-License-Identifier: Apache-2.0 */
/* A few state machines on one log without any delay, and a protocol of what each was asked for. */
#ifndef CLUSTER_SUPPORT_H
#define CLUSTER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "cluster/state.h"
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES = 4, LOG_MAX = 4096, LEASE = 6000 };

struct node {
    struct gt_cluster_state *state;
    struct gt_incarnation incarnation;
    struct gt_buf out;  /* asked for, not sent */
    struct gt_buf told; /* what happened, as words */
    uint64_t number;
    int64_t next; /* offset to read */
    bool deaf;    /* does not read */
    bool quiet;   /* keeps no protocol */
    int starts, stops;
};

struct cluster {
    struct node nodes[NODES];
    struct gt_buf log[LOG_MAX];
    int64_t count;
    int64_t now;
    unsigned incarnations;
    enum gt_cluster_strategy strategy;
    bool stop_when_unreachable;
};

#define MAY_USE static __attribute__((unused)) /* not each test file needs all */

static void tell(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct node *node, const char *format, ...)
{
    char text[1200];
    va_list args;
    if (node->quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    gt_buf_add_str(&node->told, node->told.len > 0 ? " " : "");
    gt_buf_add_str(&node->told, text);
}

/* What was told since the last look. */
MAY_USE void assert_told(struct node *node, const char *expected)
{
    assert_string_equal(gt_buf_cstr(&node->told), expected);
    gt_buf_clear(&node->told);
}

static void io_append(void *arg, struct gantry_view entries)
{
    struct node *node = arg;
    assert_true(entries.len > 0 && entries.len < 1024);
    assert_int_equal(gt_buf_add_view(&node->out, entries), 0);
}

static void io_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    struct node *node = arg;
    node->starts++;
    tell(node, "start:%s/%u@%u", connector, task, (unsigned)epoch);
}

static void io_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced)
{
    struct node *node = arg;
    node->stops++;
    tell(node, "%s:%s/%u@%u", fenced ? "fence" : "stop", connector, task, (unsigned)epoch);
}

static void io_config(void *arg, const char *connector, int64_t updated_ms,
                      struct gantry_view props, const struct gantry_view *tasks, size_t count)
{
    (void)updated_ms;
    if (props.data == NULL) {
        tell(arg, "gone:%s", connector);
        return;
    }
    for (size_t i = 0; i < count; i++)
        assert_true(tasks[i].len == 0 || tasks[i].data != NULL);
    tell(arg, "config:%s=%.*s/%zu", connector, GT_VIEW_ARGS(props), count);
}

static void io_commit(void *arg, uint64_t own, struct gantry_view changes)
{
    tell(arg, "commit:%u=%.*s", (unsigned)own, GT_VIEW_ARGS(changes));
}

static void io_refused(void *arg, uint64_t own)
{
    tell(arg, "refused:%u", (unsigned)own);
}

static void io_reset(void *arg, const char *connector)
{
    tell(arg, "reset:%s", connector);
}

static void io_changed(void *arg)
{
    (void)arg;
}

static void io_fenced(void *arg, const char *reason)
{
    struct node *node = arg;
    assert_true(reason[0] != '\0');
    tell(node, "fenced");
    gt_buf_clear(&node->out);
}

static struct gt_incarnation incarnation_of(unsigned number)
{
    struct gt_incarnation incarnation = {{0}};
    gt_store_le32(incarnation.bytes, number);
    return incarnation;
}

static void open_node_as(struct cluster *cluster, int i, const char *name,
                         struct gt_incarnation replaces)
{
    struct node *node = &cluster->nodes[i];
    struct gt_cluster_io io = {
        .arg = node,
        .append = io_append,
        .task_start = io_start,
        .task_stop = io_stop,
        .config = io_config,
        .commit = io_commit,
        .refused = io_refused,
        .reset = io_reset,
        .changed = io_changed,
        .fenced = io_fenced,
    };
    memset(node, 0, sizeof *node);
    node->incarnation = incarnation_of(++cluster->incarnations);
    struct gt_cluster_settings settings = {
        .incarnation = node->incarnation,
        .replaces = replaces,
        .name = name,
        .strategy = cluster->strategy,
        .lease_ms = LEASE,
        .stop_when_unreachable = cluster->stop_when_unreachable,
    };
    gt_buf_init(&node->out, 1 << 24);
    gt_buf_init(&node->told, 1 << 24);
    assert_int_equal(gt_cluster_state_new(&settings, &io, &node->state), 0);
}

static void open_node(struct cluster *cluster, int i)
{
    static const char *const names[NODES] = {"a@1", "b@2", "c@3", "d@4"};
    open_node_as(cluster, i, names[i], (struct gt_incarnation){{0}});
}

static void close_node(struct node *node)
{
    gt_cluster_state_free(node->state);
    gt_buf_deinit(&node->out);
    gt_buf_deinit(&node->told);
    node->state = NULL;
}

static void put_in_log(struct cluster *cluster, struct gantry_view bytes)
{
    assert_true(cluster->count < LOG_MAX);
    struct gt_buf *slot = &cluster->log[cluster->count++];
    gt_buf_init(slot, 1 << 24);
    assert_int_equal(gt_buf_add_view(slot, bytes), 0);
}

static void read_node(struct cluster *cluster, struct node *node)
{
    struct gantry_err err;
    while (node->state != NULL && !node->deaf && node->next < cluster->count) {
        int64_t offset = node->next++;
        assert_int_equal(gt_cluster_message(node->state, offset, gt_buf_view(&cluster->log[offset]),
                                            cluster->now, &err),
                         0);
    }
}

/* All read to the end, and those who did are in the same state. */
static void read_all(struct cluster *cluster)
{
    uint64_t digest = 0;
    for (int i = 0; i < NODES; i++) {
        struct node *node = &cluster->nodes[i];
        read_node(cluster, node);
        if (node->state == NULL || node->next != cluster->count)
            continue;
        uint64_t own = gt_cluster_digest(node->state);
        assert_true(digest == 0 || digest == own);
        digest = own;
    }
}

/* A message of the node's with these entries, numbered as its next, into the log; nobody reads yet.
 */
static void post(struct cluster *cluster, struct node *node, struct gt_buf *entries)
{
    struct gt_buf bytes;
    assert_int_equal(entries->error, 0);
    gt_buf_init(&bytes, GT_CLUSTER_MESSAGE_MAX);
    gt_cluster_sent(node->state, ++node->number, cluster->now);
    gt_cluster_message_write(&bytes, &node->incarnation, node->number, gt_buf_view(entries));
    assert_int_equal(bytes.error, 0);
    put_in_log(cluster, gt_buf_view(&bytes));
    gt_buf_deinit(&bytes);
    gt_buf_clear(entries);
}

/* What the node has asked for goes into the log. */
static void send(struct cluster *cluster, struct node *node)
{
    if (node->state != NULL && node->out.len > 0)
        post(cluster, node, &node->out);
}

/* Until nothing more is asked for. */
static void settle(struct cluster *cluster)
{
    bool more = true;
    while (more) {
        more = false;
        for (int i = 0; i < NODES; i++) {
            struct node *node = &cluster->nodes[i];
            more = more || (node->state != NULL && node->out.len > 0);
            send(cluster, node);
        }
        read_all(cluster);
    }
}

static void join(struct cluster *cluster, int i)
{
    open_node(cluster, i);
    read_all(cluster);
    gt_cluster_join(cluster->nodes[i].state, cluster->now);
    settle(cluster);
}

/* Time goes on in small steps, all tick and renew. */
MAY_USE void pass(struct cluster *cluster, int64_t ms)
{
    for (int64_t end = cluster->now + ms; cluster->now < end;) {
        cluster->now += end - cluster->now < 100 ? end - cluster->now : 100;
        for (int i = 0; i < NODES; i++) {
            if (cluster->nodes[i].state != NULL && !cluster->nodes[i].deaf)
                (void)gt_cluster_tick(cluster->nodes[i].state, cluster->now);
        }
        for (int i = 0; i < NODES; i++) {
            if (!cluster->nodes[i].deaf)
                send(cluster, &cluster->nodes[i]);
        }
        read_all(cluster);
    }
}

MAY_USE void configure(struct cluster *cluster, int i, const char *connector, const char *props,
                       size_t tasks)
{
    struct gantry_view views[64];
    for (size_t k = 0; k < tasks; k++)
        views[k] = gantry_view_of("{}");
    gt_cluster_add_config(&cluster->nodes[i].out, connector, 1, gantry_view_of(props), views,
                          tasks);
    settle(cluster);
}

MAY_USE void delete_one(struct cluster *cluster, int i, const char *connector)
{
    gt_cluster_add_delete(&cluster->nodes[i].out, connector);
    settle(cluster);
}

MAY_USE void stopped(struct cluster *cluster, int i, const char *connector, uint32_t task,
                     uint64_t epoch)
{
    gt_cluster_task_stopped(cluster->nodes[i].state, connector, task, epoch);
    settle(cluster);
}

MAY_USE void forget_told(struct cluster *cluster)
{
    for (int i = 0; i < NODES; i++)
        gt_buf_clear(&cluster->nodes[i].told);
}

static int set_up(void **state)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert_non_null(cluster);
    cluster->now = 1000;
    *state = cluster;
    return 0;
}

static int tear_down(void **state)
{
    struct cluster *cluster = *state;
    for (int i = 0; i < NODES; i++) {
        if (cluster->nodes[i].state != NULL)
            close_node(&cluster->nodes[i]);
    }
    for (int64_t i = 0; i < cluster->count; i++)
        gt_buf_deinit(&cluster->log[i]);
    free(cluster);
    return 0;
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
