/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the cluster's state machine. What is called shared changes by messages of the log alone
 * and is the same on every worker; what is called local never flows back into it. */
#ifndef GT_CLUSTER_INTERNAL_H
#define GT_CLUSTER_INTERNAL_H

#include "cluster/entry.h"

struct gt_member {
    /* shared */
    struct gt_incarnation incarnation;
    char *name; /* owned */
    int64_t lease_ms;
    enum gt_cluster_strategy strategy;
    uint32_t virtual_nodes;
    int64_t joined;      /* offset of its JOIN */
    uint64_t number;     /* of its last message that counted */
    int64_t last_offset; /* of that message */
    /* local */
    size_t index;  /* in state->members */
    int64_t seen;  /* by state->heard: when a message of it was last seen, or counting began */
    bool expiring; /* EXPIRE was asked for since then */
};

enum gt_run {
    GT_RUN_NOT,      /* not ours, or not started */
    GT_RUN_RUNNING,  /* task_start was called */
    GT_RUN_STOPPING, /* an orderly task_stop was called */
    GT_RUN_STOPPED,  /* it was answered */
};

struct gt_cluster_task {
    /* shared */
    uint32_t number;
    struct gt_member *owner; /* NULL: nobody */
    struct gt_member *next;  /* whose it becomes when it is free; NULL when it is to stay */
    bool moving;             /* the owner has been told to stop it */
    uint64_t epoch;          /* of the last owner */
    char *status;            /* owned; state NUL reason NUL; NULL: unknown */
    /* local */
    enum gt_run run;
    bool hashed;   /* hash is known */
    uint32_t hash; /* of its configuration, for the consistent hash; made when it is first used */
};

struct gt_cluster_connector {
    /* shared */
    char *name; /* owned */
    bool present;
    /* Tasks of former configurations that their owners have not released yet. The present ones get
     * no owner before this is empty. */
    struct gt_cluster_task *old; /* owned */
    size_t old_count;
    /* Only when present. */
    char *config; /* owned: the bytes of CONFIG, in which the views below point */
    size_t config_len;
    int64_t updated_ms;
    struct gantry_view props;
    struct gantry_view *task_props; /* owned */
    struct gt_cluster_task *tasks;  /* owned */
    size_t task_count;
};

enum { GT_SENT_MAX = 32 };

struct gt_sent {
    uint64_t number;
    int64_t ms, heard;
};

struct gt_cluster_state {
    struct gt_cluster_io io;
    struct gt_cluster_settings settings; /* incarnation: the present one */
    char *name;                          /* owned; settings.name */

    /* --- shared --- */
    int64_t offset;             /* last applied; -1 */
    struct gt_member **members; /* owned, sorted by name and incarnation */
    size_t member_count;
    struct gt_cluster_connector **connectors; /* owned, sorted by name */
    size_t connector_count;
    uint64_t epoch;          /* the last one given to any task */
    int64_t gone_offset;     /* where a member was last removed */
    uint64_t commits;        /* chained hash of the commits that counted */
    uint64_t since_snapshot; /* messages behind the last part of a snapshot */
    uint64_t changes;        /* those of them that were more than renewals */

    /* --- local --- */
    int64_t now;
    bool has_time;
    enum gt_cluster_reach reach;
    int64_t heard;  /* how long the log could be read: the clock for the silence of others */
    int64_t proven; /* by heard: when the last of our messages that came back was sent */
    int64_t snapshot_ms;
    struct gt_member *self; /* NULL: not a member, or fenced */
    int64_t lease_until;
    struct gt_sent sent[GT_SENT_MAX];
    size_t sent_count;
    uint64_t last_sent; /* number */
    int64_t last_sent_ms, last_sent_heard;
    bool renew_waiting; /* RENEW was asked for and nothing was sent since */
    bool joining;       /* wants to be a member */
    bool join_waiting;  /* JOIN was asked for and has not come back */
    bool fenced;        /* until rejoin */
    bool leaving, leave_asked, left;
    bool dirty;            /* io.changed is due */
    bool broken;           /* out of memory in the middle of a message */
    struct gt_buf scratch; /* for what is appended; has its memory from birth */
};

/* state.c */
struct gt_member *gt_member_find(const struct gt_cluster_state *state,
                                 const struct gt_incarnation *incarnation);
/* Put into its place among the members (takes it over) or GANTRY_NO_MEMORY. */
int gt_member_insert(struct gt_cluster_state *state, struct gt_member *member);
void gt_member_free(struct gt_member *member);

/* tasks.c: all that changes owners. int: 0 or what gt_cluster_allocate says. */
struct gt_cluster_connector *gt_connector_find(const struct gt_cluster_state *state,
                                               struct gantry_view name);
/* Find or make. */
struct gt_cluster_connector *gt_connector_need(struct gt_cluster_state *state,
                                               struct gantry_view name);
void gt_connector_free(struct gt_cluster_connector *connector);
/* Take the configuration over; tasks without owners. */
int gt_connector_configure(struct gt_cluster_connector *connector, const struct gt_entry *config);
void gt_connector_tell(const struct gt_cluster_state *state,
                       const struct gt_cluster_connector *connector);
struct gt_cluster_task *gt_task_find(struct gt_cluster_connector *connector, uint32_t number,
                                     uint64_t epoch);
void gt_task_clear(struct gt_cluster_task *task); /* frees what it owns */
int gt_cluster_rebalance(struct gt_cluster_state *state, size_t tolerance);
int gt_cluster_apply_config(struct gt_cluster_state *state, const struct gt_entry *entry);
int gt_cluster_apply_delete(struct gt_cluster_state *state, struct gantry_view name);
int gt_cluster_apply_release(struct gt_cluster_state *state, const struct gt_member *sender,
                             const struct gt_entry *entry);
/* The member is gone: its tasks are free. @p heir (may be NULL): who gets them if balance allows.
 * No allocation yet. */
void gt_member_remove(struct gt_cluster_state *state, struct gt_member *member,
                      struct gt_member *heir);

/* allocate.c */
struct gt_allocation {
    struct gt_cluster_task *task;
    size_t connector;         /* in state->connectors */
    struct gt_member *wanted; /* out */
};
/* Who is to own each of these tasks: all of the present connectors, in order of connector and
 * number. @p state has members. 0, GANTRY_NO_MEMORY or GANTRY_UNSUPPORTED. */
int gt_cluster_allocate(const struct gt_cluster_state *state, struct gt_allocation *tasks,
                        size_t count, size_t tolerance);
const struct gt_member *gt_cluster_first_member(const struct gt_cluster_state *state);
/* Hash of a task's configuration as the strategy of 2019 has it. 0, GANTRY_NO_MEMORY or
 * GANTRY_UNSUPPORTED (this OpenSSL has no MD5). */
int gt_cluster_task_hash(struct gantry_view props, uint32_t *ret);

/* lease.c */
void gt_cluster_advance(struct gt_cluster_state *state, int64_t now_ms);
void gt_cluster_lose(struct gt_cluster_state *state, const char *reason);
void gt_cluster_own_came_back(struct gt_cluster_state *state, uint64_t number);
void gt_cluster_want_join(struct gt_cluster_state *state);
void gt_cluster_watch(struct gt_cluster_state *state, int64_t *next);
void gt_cluster_leave_when_stopped(struct gt_cluster_state *state);
void gt_cluster_append_scratch(struct gt_cluster_state *state);

#endif
