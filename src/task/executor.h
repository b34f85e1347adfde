/* SPDX-License-Identifier: Apache-2.0 */
/** Executors: threads that run tasks. Each is a libuv loop with a mailbox, a list of tasks that
 * have something to do, and the working memory that its tasks share (one step at a time uses it).
 * Nothing polls: without work the loop sleeps. */
#ifndef GT_TASK_EXECUTOR_H
#define GT_TASK_EXECUTOR_H

#include "base/arena.h"
#include "base/mailbox.h"
#include "topic/topic.h"
#include <gantry/record.h>

struct gt_executor;

/** Something that takes steps. Embed it; `step` does a bounded piece of work (one batch) and calls
 * gt_executor_ready() again when there is more. */
struct gt_runnable {
    struct gt_runnable *next;
    void (*step)(struct gt_runnable *runnable);
    bool ready;
};

/** The working memory of one step. Emptied by whoever begins to use it. */
struct gt_scratch {
    struct gt_arena arena;
    struct gantry_batch batch; /* its alloc() takes from arena */
    struct gt_append_scratch append;
};

/** Start an executor thread. 0 or GANTRY_NO_MEMORY. Thread: any. */
int gt_executor_open(const char *name, struct gt_executor **ret, struct gantry_err *err);
/** End the thread. No task may be on it. NULL is fine. */
void gt_executor_close(struct gt_executor *executor);
/** Send a message to the executor. Thread: any. */
bool gt_executor_send(struct gt_executor *executor, struct gt_mail *mail);

/* The rest: the executor's own thread only. */
uv_loop_t *gt_executor_loop(struct gt_executor *executor);
struct gt_scratch *gt_executor_scratch(struct gt_executor *executor);
/** Have step() called soon, in turn with the others; once, however often this is called before. */
void gt_executor_ready(struct gt_executor *executor, struct gt_runnable *runnable);
/** Take it out of the list. */
void gt_executor_unready(struct gt_executor *executor, struct gt_runnable *runnable);

/** Empty the scratch's batch for a poll. */
void gt_scratch_begin(struct gt_scratch *scratch);

#endif
