/* SPDX-License-Identifier: Apache-2.0 */
/** Executors: threads that run tasks. Each is a libuv loop with a mailbox, a list of tasks that
 * have something to do, and the working memory that its tasks share (one step at a time uses it).
 * Nothing polls: without work the loop sleeps.
 *
 *  Steps are taken between two turns of the loop, and a step says when it calls a plugin
 * (gt_call_begin). So a call that does not come back can be given up: the loop gets another thread
 * and other working memory, and the old thread ends as soon as the call returns, whatever it
 * returns. Until then everything that the call was given stays as it is. */
#ifndef GT_TASK_EXECUTOR_H
#define GT_TASK_EXECUTOR_H

#include "base/arena.h"
#include "base/jobs.h"
#include "base/mailbox.h"
#include "topic/topic.h"
#include <gantry/record.h>

struct gt_executor;

/** Something that takes steps. Embed it; `step` does a bounded piece of work (one batch) and calls
 * gt_executor_ready() again when there is more. */
struct gt_runnable {
    struct gt_runnable *next;
    void (*step)(struct gt_runnable *runnable);
    /** Its call of @p what was given up. It is not in the list of those that are ready,
     * and the executor has no thread during this call. Thread: that of gt_executor_look(). */
    void (*gave_up)(struct gt_runnable *runnable, const char *what);
    /** That call has come back, with this result. Thread: the old one, which ends then. */
    void (*came_back)(struct gt_runnable *runnable, int code);
    bool ready;
};

/** The working memory of one step. Emptied by whoever begins to use it. */
struct gt_scratch {
    struct gt_arena arena;
    struct gantry_batch batch; /* its alloc() takes from arena */
    struct gt_append_scratch append;
};

/** Start an executor thread. @p watch (may be NULL) is armed when it calls a plugin. 0 or
 * GANTRY_NO_MEMORY. Thread: any. */
int gt_executor_open(const char *name, struct gt_watch *watch, struct gt_executor **ret,
                     struct gantry_err *err);
/** End the thread. No task may be on it. NULL is fine. */
void gt_executor_close(struct gt_executor *executor);
/** Send a message to the executor. Thread: any. */
bool gt_executor_send(struct gt_executor *executor, struct gt_mail *mail);
struct gt_mailbox *gt_executor_mailbox(struct gt_executor *executor);
/** Give up the call that was under way in each of the last @p most looks. @p patient: poll() may
 * take as long as it likes. Whether anything was called since the last look.
 * Thread: any, one at a time. */
bool gt_executor_look(struct gt_executor *executor, int most, bool patient);

/* The rest: the executor's own thread only. */
uv_loop_t *gt_executor_loop(struct gt_executor *executor);
struct gt_scratch *gt_executor_scratch(struct gt_executor *executor);
/** Have step() called soon, in turn with the others; once, however often this is called before. */
void gt_executor_ready(struct gt_executor *executor, struct gt_runnable *runnable);
/** Take it out of the list. */
void gt_executor_unready(struct gt_executor *executor, struct gt_runnable *runnable);

/** A step is about to call a plugin's function of that (static) name, and has. A call that was
 * given up does not come back from gt_call_end(): its thread ends there. Returns @p code. */
void gt_call_begin(struct gt_runnable *runnable, const char *what);
int gt_call_end(int code);
/** A function that a plugin calls is about to touch what belongs to the executor: false: it must
 * not, the call was given up. After true gt_call_leave() is owed, and until then the call stays. */
bool gt_call_enter(void);
void gt_call_leave(void);

/** Empty the scratch's batch for a poll. */
void gt_scratch_begin(struct gt_scratch *scratch);

#endif
