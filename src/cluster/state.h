/* SPDX-License-Identifier: Apache-2.0 */
/** The cluster's state machine: members with leases, configurations, owners and epochs of tasks.
 *
 *  Every worker has one and feeds it the messages of the cluster log in their order, so all are in
 * the same state after the same offset. It does no I/O and reads no clock: what is to be done comes
 * out through struct gt_cluster_io, called inside the calls below. docs/internals/cluster.md tells
 * the rules. Thread: the control loop. */
#ifndef GT_CLUSTER_STATE_H
#define GT_CLUSTER_STATE_H

#include "base/buf.h"
#include "base/map.h"
#include <gantry/error.h>

#define GT_CLUSTER_VERSION 1

struct gt_cluster_state;

struct gt_incarnation {
    uint8_t bytes[16];
};

enum gt_cluster_strategy {
    GT_STRATEGY_INCREMENTAL, /* move as little as possible */
    GT_STRATEGY_AVERAGE,     /* DefaultAllocateConnAndTaskStrategy */
    GT_STRATEGY_HASH,        /* AllocateConnAndTaskStrategyByConsistentHash */
};

/** By class name of 2019 or short name ("incremental", "average", "consistent-hash"). -1: unknown.
 */
int gt_cluster_strategy_find(const char *name);

/** How the log can be reached. */
enum gt_cluster_reach {
    GT_REACH_OK,      /* reading goes on */
    GT_REACH_LOST,    /* no answer: this worker may be cut off */
    GT_REACH_REFUSED, /* the log's broker is gone: its port refuses */
};

/** What the machine asks for. Views hold during the call. None may call back into the machine. */
struct gt_cluster_io {
    void *arg;
    /* Append these entries (one or more, encoded) in a message of ours, after those asked for
     * before. gt_cluster_sent follows when a message with entries of ours goes out. */
    void (*append)(void *arg, struct gantry_view entries);
    /* Own this task from now on and run it. */
    void (*task_start)(void *arg, const char *connector, uint32_t task, uint64_t epoch);
    /* Stop it. fenced: at once and without commits, for they would not count; else orderly: when
     * all is committed, answer with gt_cluster_task_stopped. */
    void (*task_stop)(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced);
    /* A configuration is new or replaced (props: the entry's bytes as given to
     * gt_cluster_add_config) or gone (props.data NULL). Before the starts that follow from it. */
    void (*config)(void *arg, const char *connector, int64_t updated_ms, struct gantry_view props,
                   const struct gantry_view *tasks, size_t task_count);
    /* A commit counts: put its changes into the tables. own: the number given to
     * gt_cluster_add_commit, 0 when another worker's. */
    void (*commit)(void *arg, uint64_t own, struct gantry_view changes);
    /* A commit of ours does not count: the task is not ours any more. */
    void (*refused)(void *arg, uint64_t own);
    /* Forget positions and progress of the connector. */
    void (*reset)(void *arg, const char *connector);
    /* Members, owners or states have changed: for those who show them. */
    void (*changed)(void *arg);
    /* Our incarnation is not a member any more (expired, or the lease ran out); all tasks have been
     * stopped (fenced). The owner makes a new incarnation with gt_cluster_state_rejoin. */
    void (*fenced)(void *arg, const char *reason);
    /* One part of a snapshot is to be made: see gt_cluster_snapshot_due. */
};

struct gt_cluster_settings {
    struct gt_incarnation incarnation;
    const char *name; /* ip@pid */
    enum gt_cluster_strategy strategy;
    int64_t lease_ms;           /* 6000 */
    bool stop_when_unreachable; /* lease.unreachable = stop */
    uint32_t virtual_nodes;     /* of the consistent hash; 0: the number of members */
};

/** 0 or GANTRY_NO_MEMORY. settings and io are copied. */
int gt_cluster_state_new(const struct gt_cluster_settings *settings, const struct gt_cluster_io *io,
                         struct gt_cluster_state **ret);
void gt_cluster_state_free(struct gt_cluster_state *state);

/** --- In --- all times are now_ms of one monotonic clock. */

/** The log has been read up to its present end: join. */
void gt_cluster_join(struct gt_cluster_state *state, int64_t now_ms);
/** A message of the log. Malformed ones and those of a newer version: GANTRY_CORRUPT or
 * GANTRY_VERSION, and nothing has happened (a newer version: this worker must not go on). */
int gt_cluster_message(struct gt_cluster_state *state, int64_t offset, struct gantry_view bytes,
                       int64_t now_ms, struct gantry_err *err);
/** A message with entries asked for has been handed to the network. Its renewal counts from now. */
void gt_cluster_sent(struct gt_cluster_state *state, uint64_t number, int64_t now_ms);
void gt_cluster_reach(struct gt_cluster_state *state, enum gt_cluster_reach reach, int64_t now_ms);
/** Time has passed. Returns when to call again at the latest. */
int64_t gt_cluster_tick(struct gt_cluster_state *state, int64_t now_ms);
/** An orderly stop asked for has come to its end: everything is committed. */
void gt_cluster_task_stopped(struct gt_cluster_state *state, const char *connector, uint32_t task,
                             uint64_t epoch);
/** The worker closes: all own tasks are stopped (task_stop), then LEAVE is asked for; once that has
 * come back gt_cluster_left is true. */
void gt_cluster_leave(struct gt_cluster_state *state, int64_t now_ms);
bool gt_cluster_left(const struct gt_cluster_state *state);
/** After io.fenced: go on as a new incarnation (JOIN is asked for when the log can be read). */
void gt_cluster_state_rejoin(struct gt_cluster_state *state, struct gt_incarnation incarnation,
                             int64_t now_ms);

/** --- Entries of the worker's own: encoded for append --- each may set buf->error. */
void gt_cluster_add_config(struct gt_buf *buf, const char *connector, int64_t updated_ms,
                           struct gantry_view props, const struct gantry_view *tasks,
                           size_t task_count);
void gt_cluster_add_delete(struct gt_buf *buf, const char *connector); /* NULL: all */
void gt_cluster_add_commit(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           uint64_t own, struct gantry_view changes);
void gt_cluster_add_status(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           const char *state, const char *reason);
void gt_cluster_add_reset(struct gt_buf *buf, const char *connector);
/** A whole message: header and entries. */
void gt_cluster_message_write(struct gt_buf *buf, const struct gt_incarnation *incarnation,
                              uint64_t number, struct gantry_view entries);

/** --- Snapshots --- */
/** Whether this member is to make one now. */
bool gt_cluster_snapshot_due(const struct gt_cluster_state *state, int64_t now_ms);
/** The whole state as of the last message (offset in it), members' leases and all; the tables of
 * positions and progress are not in it. */
int gt_cluster_state_write(const struct gt_cluster_state *state, struct gt_buf *buf);
/** Into a state that has seen nothing yet. io.config is called for each configuration; the next
 * message must be that of *ret_next. 0, GANTRY_CORRUPT, GANTRY_VERSION, GANTRY_NO_MEMORY. */
int gt_cluster_state_read(struct gt_cluster_state *state, struct gantry_view bytes, int64_t now_ms,
                          int64_t *ret_next, struct gantry_err *err);

/** --- Looks --- */
bool gt_cluster_is_member(const struct gt_cluster_state *state);
struct gt_cluster_task_view {
    const char *connector;
    uint32_t task;
    const char *owner; /* member's name; NULL: none */
    bool own;          /* this worker */
    uint64_t epoch;
    const char *status; /* RUNNING, ...; "" unknown */
    const char *reason;
};
/** Walk tasks in order of connector and number; non-zero of fn ends it. connector NULL: all. */
int gt_cluster_tasks(const struct gt_cluster_state *state, const char *connector,
                     int (*fn)(void *arg, const struct gt_cluster_task_view *view), void *arg);
/** Names of members, sorted. */
int gt_cluster_members(const struct gt_cluster_state *state, int (*fn)(void *arg, const char *name),
                       void *arg);
/** A hash of all that must be equal on all workers after the same offset. */
uint64_t gt_cluster_digest(const struct gt_cluster_state *state);

#endif
