/* SPDX-License-Identifier: Apache-2.0 */
/** Tasks: the unit that runs. The control loop makes, starts, stops and frees them; an executor
 * runs them.
 *
 *  States and moves (a move that is not in the table is a bug and ends the process):
 *
 *      UNASSIGNED -> RUNNING    the connector's start succeeded
 *      UNASSIGNED -> PAUSED     it waits for something that comes back by itself (free space)
 *      RUNNING   <-> PAUSED
 *      any        -> FAILED     a callback or a commit failed; what was committed is what counts
 *      FAILED     -> UNASSIGNED started again
 *      any        -> STOPPED    the end; only now it may be freed */
#ifndef GT_TASK_TASK_H
#define GT_TASK_TASK_H

#include "base/map.h"
#include "plugin/registry.h"
#include "task/executor.h"
#include <stdatomic.h>

struct gt_task;

enum gt_task_state {
    GT_TASK_UNASSIGNED,
    GT_TASK_RUNNING,
    GT_TASK_PAUSED,
    GT_TASK_FAILED,
    GT_TASK_STOPPED,
    GT_TASK_STATES
};

const char *gt_task_state_name(enum gt_task_state state);
bool gt_task_move_allowed(enum gt_task_state from, enum gt_task_state to);

/** What all tasks of a worker share. Lives longer than they. */
struct gt_task_env {
    struct gt_store *store;
    struct gt_topics *topics;
    const struct gantry_runtime *runtime;
    struct gt_mailbox *control;         /* where reports are run */
    struct gt_jobs *jobs;               /* for what connectors do beside their tasks */
    const atomic_llong *lease_until_ms; /* of struct gt_claim; NULL: no cluster */
    int64_t commit_bytes;               /* uncommitted bytes of a source before it waits */
    int64_t sink_commit_ms;             /* under load a sink commits after this time ... */
    int64_t sink_commit_bytes;          /* ... or so many bytes; at once when idle */
};

/** What a task is. Copied by gt_task_new but for what is noted. */
struct gt_task_setup {
    const struct gt_task_env *env;          /* borrowed */
    const struct gt_connector_class *klass; /* the task holds it until it is freed */
    struct gt_executor *executor;           /* borrowed */
    const char *connector;
    uint32_t index, count;
    uint64_t epoch;                     /* of the task's owner in a cluster; 0: alone */
    const struct gantry_config *config; /* checked */
    const struct gt_converter *converter;
    /** The task's status has changed. Thread: the control loop. The task may be freed in it once
     * STOPPED. */
    void (*report)(struct gt_task *task, void *arg);
    void *arg;
};

struct gt_task_status {
    enum gt_task_state state;
    char reason[500];  /* why FAILED or PAUSED; "" */
    uint64_t failures; /* so often it has become FAILED: two reports may tell of one */
    int64_t lag;       /* source: bytes behind, -1 unknown; sink: messages behind */
    uint64_t records;  /* since the task was made */
    int sits;          /* calls of it that were given up and have not come back: until then it is
                          FAILED and does nothing, started or stopped or not */
};

/** 0, GANTRY_NO_MEMORY or GANTRY_INVALID (topics missing). Thread: control. */
int gt_task_new(const struct gt_task_setup *setup, struct gt_task **ret, struct gantry_err *err);
/** Start, also again after FAILED. Thread: control. */
void gt_task_start(struct gt_task *task);
/** Stop: what was appended is committed, then the task is STOPPED and reported. Thread: control.
 * Once is enough. */
void gt_task_stop(struct gt_task *task);
/** Have its reports go elsewhere from now on. Thread: control. */
void gt_task_report_to(struct gt_task *task, void (*report)(struct gt_task *task, void *arg),
                       void *arg);
/** Have it FAILED for that reason, unless it has failed or is stopping anyway. Thread: control. */
void gt_task_break(struct gt_task *task, const char *reason);
/** Never started, or STOPPED. Thread: control. NULL is fine. */
void gt_task_free(struct gt_task *task);
/** Thread: any. */
void gt_task_status(struct gt_task *task, struct gt_task_status *ret);
uint32_t gt_task_index(const struct gt_task *task);
/** The class that it runs with; it holds it. Thread: any. */
const struct gt_connector_class *gt_task_class(const struct gt_task *task);

#endif
