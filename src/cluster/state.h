/* SPDX-License-Identifier: Apache-2.0 */
/** The cluster's state machine: members with leases, configurations, owners and epochs of tasks.
 *
 *  Every worker has one and feeds it the messages of the cluster log in their order, so all are in
 * the same state after the same offset. It does no I/O and reads no clock: what is to be done comes
 * out through struct gt_cluster_io, called inside the calls below. docs/internals/cluster.md tells
 * the rules. Thread: the control loop, for all functions here unless they say otherwise. */
#ifndef GT_CLUSTER_STATE_H
#define GT_CLUSTER_STATE_H

#include "base/buf.h"
#include "base/map.h"
#include <gantry/error.h>

#define GT_CLUSTER_VERSION 1

enum {
    GT_CLUSTER_NAME_MAX = 255, /* bytes of a connector's name */
    /* Bytes of a message, header and entries. A configuration of 1 MiB, the longest that REST
     * takes, and that of its task fit; brokers take 4 MiB. */
    GT_CLUSTER_MESSAGE_MAX = 3 << 20
};

struct gt_cluster_state;

struct gt_incarnation {
    uint8_t bytes[16]; /* random; all zero: none */
};

enum gt_cluster_strategy {
    GT_STRATEGY_INCREMENTAL, /* move as little as possible */
    GT_STRATEGY_AVERAGE,     /* DefaultAllocateConnAndTaskStrategy */
    GT_STRATEGY_HASH,        /* AllocateConnAndTaskStrategyByConsistentHash */
};

/** By class name of 2019 (with or without its package) or short name ("incremental", "average",
 * "consistent-hash"). -1: unknown. Thread: any. */
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
    /* Append these entries (one or more, encoded, below 1 KiB) in a message of ours, after those
     * asked for before. gt_cluster_sent follows when a message with entries of ours goes out. */
    void (*append)(void *arg, struct gantry_view entries);
    /* Own this task from now on and run it. */
    void (*task_start)(void *arg, const char *connector, uint32_t task, uint64_t epoch);
    /* Stop it. fenced: at once and without commits, for they would not count; else orderly: when
     * all is committed, answer with gt_cluster_task_stopped. A fenced stop may follow an orderly
     * one and takes its place: no answer then. */
    void (*task_stop)(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced);
    /* A configuration is new or replaced (props, tasks: the entry's bytes as given to
     * gt_cluster_add_config) or gone (props.data NULL). Behind the stops and before the starts that
     * follow from it: tasks that stop still have the configuration they were started with. */
    void (*config)(void *arg, const char *connector, int64_t updated_ms, struct gantry_view props,
                   const struct gantry_view *tasks, size_t task_count);
    /* A commit counts: put its changes into the tables. own: the number given to
     * gt_cluster_add_commit, 0 when another incarnation's. */
    void (*commit)(void *arg, uint64_t own, struct gantry_view changes);
    /* A commit of ours does not count: the task is not ours any more. After fenced some commits get
     * no answer at all. */
    void (*refused)(void *arg, uint64_t own);
    /* Forget positions and progress of the connector. */
    void (*reset)(void *arg, const char *connector);
    /* Members, owners or states have changed: for those who show them. */
    void (*changed)(void *arg);
    /* Our incarnation must not run tasks any more (expired, or the lease ran out); all tasks have
     * been stopped (fenced) by calls before this one. The owner forgets what it has not sent yet,
     * waits until the tasks really stand still, and goes on with a new incarnation by
     * gt_cluster_state_rejoin. */
    void (*fenced)(void *arg, const char *reason);
};

struct gt_cluster_settings {
    struct gt_incarnation incarnation;
    /* A former life of this worker that is known to be over, for instance because this process
     * holds the lock that the former one held: its tasks are free as soon as JOIN is in the log,
     * without waiting for its lease. Zero: none. */
    struct gt_incarnation replaces;
    const char *name; /* ip@pid; cut at 255 bytes */
    enum gt_cluster_strategy strategy;
    int64_t lease_ms;           /* 6000; 100 to 3,600,000, others are brought into that range */
    bool stop_when_unreachable; /* lease.unreachable = stop */
    uint32_t virtual_nodes;     /* of the consistent hash; 0: the number of members */
};

/** 0, GANTRY_NO_MEMORY, or GANTRY_INVALID for a zero incarnation or an empty name. settings and io
 * are copied. */
int gt_cluster_state_new(const struct gt_cluster_settings *settings, const struct gt_cluster_io *io,
                         struct gt_cluster_state **ret);
void gt_cluster_state_free(struct gt_cluster_state *state); /* NULL is fine; calls nothing */

/** --- In --- all times are now_ms of one monotonic clock that counts while the machine sleeps.
 * Each call with a time first looks whether the lease has run out. */

/** The log has been read up to its present end: join. */
void gt_cluster_join(struct gt_cluster_state *state, int64_t now_ms);
/** A message of the log. Malformed ones and those of a newer version: GANTRY_CORRUPT or
 * GANTRY_VERSION, and nothing has happened (a newer version: this worker must not go on; a
 * malformed one is skipped by all). GANTRY_NO_MEMORY: the state is of no use any more, the tasks
 * have been stopped (fenced), and every later message gives the same. An offset that was there
 * before is passed over. */
int gt_cluster_message(struct gt_cluster_state *state, int64_t offset, struct gantry_view bytes,
                       int64_t now_ms, struct gantry_err *err);
/** Message @p number of the present incarnation is about to be handed to the network (a connection
 * that is up). Its renewal counts from now. When it is sent again, the first time counts. */
void gt_cluster_sent(struct gt_cluster_state *state, uint64_t number, int64_t now_ms);
/** How the log can be reached. REFUSED is reported each time that a connection is refused, with the
 * time at which the attempt began, and at least once a second while it lasts. After the loss of
 * a connection over which the log is read or written LOST or REFUSED comes before OK, also when the
 * next connection was there at once: nobody may count another one's silence across it. LOST is
 * also due when an answer has been missing for about a second. */
void gt_cluster_reach(struct gt_cluster_state *state, enum gt_cluster_reach reach, int64_t now_ms);
/** Time has passed. Returns when to call again at the latest. */
int64_t gt_cluster_tick(struct gt_cluster_state *state, int64_t now_ms);
/** Until when this worker may run its tasks, as known now; INT64_MIN while it may not. For those
 * who run them: a thread that wakes up behind this time must not touch anything outside, even if
 * the control loop has not been able to say so. */
int64_t gt_cluster_lease_until(const struct gt_cluster_state *state);
/** An orderly stop asked for has come to its end: everything is committed, that is: each commit has
 * come back as io.commit. Ignored when there was none. */
void gt_cluster_task_stopped(struct gt_cluster_state *state, const char *connector, uint32_t task,
                             uint64_t epoch);
/** The worker closes: all own tasks are stopped (task_stop), then LEAVE is asked for; once that has
 * come back gt_cluster_left is true. */
void gt_cluster_leave(struct gt_cluster_state *state, int64_t now_ms);
/** Also true once there is nothing to leave: never joined, or fenced while leaving. */
bool gt_cluster_left(const struct gt_cluster_state *state);
/** After io.fenced, when all its tasks stand still: go on as a new incarnation in place of the old
 * one (JOIN is asked for when the log can be read). Its messages are numbered from 1. */
void gt_cluster_state_rejoin(struct gt_cluster_state *state, struct gt_incarnation incarnation,
                             int64_t now_ms);

/** --- Entries of the worker's own: encoded for append --- each may set buf->error. Together with
 * the entries asked for by append they must stay below GT_CLUSTER_MESSAGE_MAX - 32 a message; one
 * that is larger itself is GANTRY_TOO_LARGE. Thread: any. */
void gt_cluster_add_config(struct gt_buf *buf, const char *connector, int64_t updated_ms,
                           struct gantry_view props, const struct gantry_view *tasks,
                           size_t task_count);
void gt_cluster_add_delete(struct gt_buf *buf, const char *connector); /* NULL: all */
void gt_cluster_add_commit(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           uint64_t own, struct gantry_view changes);
/** state is cut at 32 bytes, reason (may be NULL) at 1000. */
void gt_cluster_add_status(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           const char *state, const char *reason);
void gt_cluster_add_reset(struct gt_buf *buf, const char *connector);
/** Part @p part of @p part_count of a snapshot as of @p offset. It goes alone into its message. */
void gt_cluster_add_snapshot(struct gt_buf *buf, int64_t offset, uint32_t part, uint32_t part_count,
                             struct gantry_view bytes);
/** A whole message: header and entries. */
void gt_cluster_message_write(struct gt_buf *buf, const struct gt_incarnation *incarnation,
                              uint64_t number, struct gantry_view entries);

/** --- Snapshots --- */
/** Whether this member is to make one now. Stays true until a part of one has come back. */
bool gt_cluster_snapshot_due(const struct gt_cluster_state *state, int64_t now_ms);
/** The whole state as of the last message (offset in it); the tables of positions and progress are
 * not in it. 0 or buf->error. */
int gt_cluster_state_write(const struct gt_cluster_state *state, struct gt_buf *buf);
/** Into a state that has seen nothing yet. io.config is called for each configuration; the next
 * message must be that of *ret_next. Leases are counted anew. 0, GANTRY_CORRUPT, GANTRY_VERSION,
 * GANTRY_NO_MEMORY; after an error the state can only be freed. */
int gt_cluster_state_read(struct gt_cluster_state *state, struct gantry_view bytes, int64_t now_ms,
                          int64_t *ret_next, struct gantry_err *err);
/** A part of a snapshot, as found in the log. Parts belong together when all but part and bytes are
 * equal. */
struct gt_cluster_part {
    struct gt_incarnation incarnation; /* of who made it */
    int64_t offset;                    /* the snapshot's X */
    uint32_t part, count;
    struct gantry_view bytes; /* into the message */
};
/** 0, GANTRY_NOT_FOUND (another message), GANTRY_CORRUPT, GANTRY_VERSION. Thread: any. */
int gt_cluster_snapshot_part(struct gantry_view message, struct gt_cluster_part *ret,
                             struct gantry_err *err);

/** --- Looks --- */
bool gt_cluster_is_member(const struct gt_cluster_state *state);
/** The strategy that counts: that of the member that joined first. It may differ from this
 * worker's own; io.changed follows each change. */
enum gt_cluster_strategy gt_cluster_strategy_used(const struct gt_cluster_state *state);
/** Offset of the last message that was applied; -1: none. */
int64_t gt_cluster_offset(const struct gt_cluster_state *state);
struct gt_cluster_task_view {
    const char *connector;
    uint32_t task;
    const char *owner; /* member's name; NULL: none */
    bool own;          /* this worker */
    bool moving;       /* its owner has been told to stop it */
    uint64_t epoch;
    const char *status; /* RUNNING, ...; "" unknown */
    const char *reason;
};
/** Walk tasks in order of connector and number; non-zero of fn ends it and is returned. connector
 * NULL: all. */
int gt_cluster_tasks(const struct gt_cluster_state *state, const char *connector,
                     int (*fn)(void *arg, const struct gt_cluster_task_view *view), void *arg);
/** Whether tasks of a former configuration of the connector have not been released yet. */
bool gt_cluster_stopping(const struct gt_cluster_state *state, const char *connector);
/** Names of members, sorted as Java sorts strings. */
int gt_cluster_members(const struct gt_cluster_state *state, int (*fn)(void *arg, const char *name),
                       void *arg);
/** A hash of all that must be equal on all workers after the same offset. 0: out of memory. */
uint64_t gt_cluster_digest(const struct gt_cluster_state *state);

#endif
