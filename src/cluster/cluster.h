/* SPDX-License-Identifier: Apache-2.0 */
/** This worker's part in the cluster: it reads the cluster log into the state machine, appends what
 * the machine and the worker ask for, takes the store's commits through the log, makes and reads
 * snapshots. docs/internals/cluster.md tells the rules. Thread: the control loop. */
#ifndef GT_CLUSTER_CLUSTER_H
#define GT_CLUSTER_CLUSTER_H

#include "broker/link.h"
#include "cluster/state.h"
#include "store/store.h"
#include <stdatomic.h>

struct gt_cluster;

/** None is called inside a call of the functions below but gt_cluster_quit. Views hold during the
 * call. */
struct gt_cluster_events {
    /* As struct gt_cluster_io says. */
    void (*config)(void *arg, const char *connector, int64_t updated_ms, struct gantry_view props,
                   const struct gantry_view *tasks, size_t task_count);
    void (*task_start)(void *arg, const char *connector, uint32_t task, uint64_t epoch);
    void (*task_stop)(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced);
    void (*changed)(void *arg);
    /* The log has been read up to its end, and this worker is a member unless it is a visitor: what
     * it and the store say is the present. Once. */
    void (*joined)(void *arg);
    /* To a visitor: his reset has come back in the log. taken: it counted. */
    void (*reset)(void *arg, bool taken);
    /* The worker cannot go on. */
    void (*failed)(void *arg, const struct gantry_err *err);
};

struct gt_cluster_setup {
    struct gt_link *link;
    struct gt_store *store; /* a cache, not started yet */
    struct gt_mailbox *control;
    uv_loop_t *loop;     /* the control loop's */
    const char *cluster; /* connectClusterId */
    const char *member;  /* address@pid */
    bool visitor;        /* look, and reset what nobody runs: no member, and nobody's task */
    enum gt_cluster_strategy strategy;
    int64_t lease_ms;
    bool stop_when_unreachable;
    /* Kept up to date: until when this worker may act for its tasks (struct gt_claim). */
    atomic_llong *lease_until_ms;
    const struct gt_cluster_events *events;
    void *arg;
};

/** Begin to look for the cluster. 0 or GANTRY_NO_MEMORY. */
int gt_cluster_open(const struct gt_cluster_setup *setup, struct gt_cluster **ret,
                    struct gantry_err *err);
/** Stop all own tasks (events.task_stop), say that this worker leaves; @p left is called when all
 * know, or at once when it is no member. */
void gt_cluster_quit(struct gt_cluster *cluster, void (*left)(void *arg), void *arg);
/** Every commit under way fails; @p done runs when all is freed. */
void gt_cluster_close(struct gt_cluster *cluster, void (*done)(void *arg), void *arg);

/** Ask for a change; it happens (events.config) when it comes back in the log. 0, GANTRY_TOO_LARGE,
 * GANTRY_NO_MEMORY, GANTRY_AGAIN (no member at present; err says why). */
int gt_cluster_put_config(struct gt_cluster *cluster, const char *connector, int64_t updated_ms,
                          struct gantry_view props, const struct gantry_view *tasks,
                          size_t task_count, struct gantry_err *err);
int gt_cluster_delete_config(struct gt_cluster *cluster, const char *connector,
                             struct gantry_err *err);
/** A visitor's, once he has joined: forget positions and progress of a connector that nobody runs;
 * events.reset follows. 0 or GANTRY_NO_MEMORY. */
int gt_cluster_reset(struct gt_cluster *cluster, const char *connector, struct gantry_err *err);
void gt_cluster_put_status(struct gt_cluster *cluster, const char *connector, uint32_t task,
                           uint64_t epoch, const char *state, const char *reason);
/** A task that events.task_start named stands still, for whatever reason; once for each start. */
void gt_cluster_stopped(struct gt_cluster *cluster, const char *connector, uint32_t task,
                        uint64_t epoch);

/** For looks (gt_cluster_tasks, gt_cluster_is_member). */
const struct gt_cluster_state *gt_cluster_state_of(const struct gt_cluster *cluster);
/** The worker group's members as the broker sees them, sorted. */
const char *const *gt_cluster_group(const struct gt_cluster *cluster, size_t *ret_count);
/** Why this worker cannot reach the cluster now; "" when it can. */
const char *gt_cluster_trouble(const struct gt_cluster *cluster);

#endif
