/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the task room: what source and sink tasks have in common (task.c) and what each adds. */
#ifndef GT_TASK_INTERNAL_H
#define GT_TASK_INTERNAL_H

#include "task/task.h"
#include <stdatomic.h>

enum {
    GT_POSITION_MAX = 1 << 20
}; /* bytes of a stored position, its partition included: as much is read back */

/** What a kind of task does. All run on the executor. */
struct gt_task_ops {
    size_t size; /* of the struct that begins with struct gt_task */
    /** Read the configuration into the struct; once, at gt_task_new, on the control thread. */
    int (*setup)(struct gt_task *task, struct gantry_err *err);
    /** Free what setup made. */
    void (*teardown)(struct gt_task *task);
    /** Have what begin needs: 1 it is there | 0 not yet: gt_task_wake() will be called, err->text
     * says what is waited for ("" while that is nothing unusual) | a negative error. After 0 or 1
     * end() is owed, after an error it is called too. */
    int (*prepare)(struct gt_task *task, struct gantry_err *err);
    /** Call task_start, so that task->instance is set. Prepared. */
    int (*begin)(struct gt_task *task, struct gantry_err *err);
    /** One step of work. */
    void (*step)(struct gt_task *task);
    /** Stop was asked for: bring what is under way to its end. True when there is nothing left. */
    bool (*drain)(struct gt_task *task);
    /** Let go of what prepare() and begin() took, the instance apart. */
    void (*end)(struct gt_task *task);
    /** Functions of the context that only this kind has; NULL: none. */
    void (*offer)(struct gantry_task_context *ctx);
};

extern const struct gt_task_ops gt_source_ops, gt_sink_ops;

struct gt_task {
    struct gt_runnable runnable; /* first */
    const struct gt_task_ops *ops;
    const struct gt_task_env *env;
    const struct gt_connector_class *klass; /* held */
    struct gt_executor *executor;
    const struct gt_converter *converter;
    char *connector;             /* owned */
    struct gt_claim claim;       /* on all its commits */
    struct gantry_config config; /* owned entries */
    struct gt_arena memory;      /* what lives as long as the task */
    void (*report)(struct gt_task *task, void *arg);
    void *arg;

    struct gantry_task_context ctx;
    void *instance;         /* what task_start returned; valid while live */
    uv_timer_t timer;       /* the connector's, and for the next start */
    uv_timer_t again;       /* gt_task_again */
    struct gt_buf position; /* what ctx.position returned last */

    /* The executor's. */
    bool timer_open, live, stopping, failing, pausing;
    bool to_begin;          /* the next step begins */
    int stuck;              /* calls that were given up: nothing is done until they come back ... */
    bool begin_again;       /* ... and this then */
    bool in_start, in_stop; /* of task_start() or task_stop() */
    bool starting;  /* task_start was called, start_done has not said yet that it is through */
    bool preparing; /* prepare() has said 0: on_wake tries again */
    bool paused;    /* shown as PAUSED until something goes well */
    struct gantry_err failure;

    struct gt_mail start_mail, stop_mail, wake_mail, break_mail, resume_mail,
        last_mail;                                       /* to the executor */
    struct gt_mail report_mail, back_mail, stopped_mail; /* to control */
    bool told_to_stop;                                   /* control's */
    int late_code; /* what a call that was given up came back with */

    pthread_mutex_t lock; /* guards status and broken */
    struct gt_task_status status;
    char broken[500]; /* what gt_task_break was told */
    atomic_llong lag;
    atomic_ullong records;
};

/** A call of the connector, of that name; it may not come back (gt_call_end). What the step was
 * about is lost then: all that drain() needs stands in the task. */
#define GT_CALL(task, what, call) (gt_call_begin(&(task)->runnable, what), gt_call_end(call))

/** A call of the connector that runs elsewhere is late: the task is FAILED, and nothing is done
 * until gt_task_resume(). Thread: the executor. */
void gt_task_late(struct gt_task *task, const char *what);
void gt_task_resume(struct gt_task *task);
/** The task cannot go on: it drains, stops its connector and is FAILED. */
void gt_task_fail(struct gt_task *task, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** It cannot go on now, but by itself later: drains, stops its connector, is PAUSED and started
 * again after a while. */
void gt_task_pause(struct gt_task *task, const char *reason);
/** It does not get on now, for a reason that passes by itself, and goes on as it is: shown as
 * PAUSED until something goes well. */
void gt_task_hold(struct gt_task *task, const char *reason);
/** Something went well: a paused task is RUNNING again. */
void gt_task_went_well(struct gt_task *task);
/** Have the executor call step(). Thread: the executor. */
void gt_task_ready(struct gt_task *task);
/** Have the executor call step() after a while; a later call replaces an earlier one. Thread: the
 * executor. */
void gt_task_again(struct gt_task *task, int64_t delay_ms);
/** Have the executor call step(). Thread: any. */
void gt_task_wake(struct gt_task *task);
const struct gantry_connector *gt_task_connector(const struct gt_task *task);

#endif
