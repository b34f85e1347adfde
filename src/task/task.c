/* SPDX-License-Identifier: Apache-2.0 */
/* What all tasks have in common: the life from start to STOPPED, the context that a connector sees,
 * the report to control.
 *
 * However a task's run ends (stop, failure, pause), the way out is one: no more work is begun, what
 * is under way is awaited (drain), the connector's task_stop is called, and only then the new state
 * is shown. So a task that starts again reads positions that nothing can move any more. */
#include "task/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/tables.h"
#include <stdlib.h>

enum { LEASE_PAUSE_MS = 100 };
enum { PAUSE_MS = 1000 }; /* how often a paused task looks whether it can go on */

const char *gt_task_state_name(enum gt_task_state state)
{
    static const char *const names[GT_TASK_STATES] = {
        [GT_TASK_UNASSIGNED] = "UNASSIGNED", [GT_TASK_RUNNING] = "RUNNING",
        [GT_TASK_PAUSED] = "PAUSED",         [GT_TASK_FAILED] = "FAILED",
        [GT_TASK_STOPPED] = "STOPPED",
    };
    return (unsigned)state < GT_TASK_STATES ? names[state] : "UNKNOWN";
}

bool gt_task_move_allowed(enum gt_task_state from, enum gt_task_state to)
{
    static const bool moves[GT_TASK_STATES][GT_TASK_STATES] = {
        [GT_TASK_UNASSIGNED] = {[GT_TASK_RUNNING] = true,
                                [GT_TASK_PAUSED] = true,
                                [GT_TASK_FAILED] = true,
                                [GT_TASK_STOPPED] = true},
        [GT_TASK_RUNNING] =
            {[GT_TASK_PAUSED] = true, [GT_TASK_FAILED] = true, [GT_TASK_STOPPED] = true},
        [GT_TASK_PAUSED] =
            {[GT_TASK_RUNNING] = true, [GT_TASK_FAILED] = true, [GT_TASK_STOPPED] = true},
        [GT_TASK_FAILED] = {[GT_TASK_UNASSIGNED] = true, [GT_TASK_STOPPED] = true},
        [GT_TASK_STOPPED] = {false},
    };
    return (unsigned)from < GT_TASK_STATES && (unsigned)to < GT_TASK_STATES && moves[from][to];
}

const struct gantry_connector *gt_task_connector(const struct gt_task *task)
{
    return task->klass->connector;
}

static const char *component(const struct gt_task *task)
{
    return gt_task_connector(task)->kind == GANTRY_SOURCE ? "source" : "sink";
}

/* Note a new state, or a new reason of the same state. False: nothing is new. */
static bool note(struct gt_task *task, enum gt_task_state state, const char *reason)
{
    pthread_mutex_lock(&task->lock);
    enum gt_task_state from = task->status.state;
    bool same = from == state && strcmp(task->status.reason, reason) == 0;
    if (from != state && !gt_task_move_allowed(from, state)) {
        gt_error("task", "impossible move connector=%s from=%s to=%s", task->connector,
                 gt_task_state_name(from), gt_task_state_name(state));
        abort();
    }
    task->status.failures += from != state && state == GT_TASK_FAILED;
    task->status.state = state;
    snprintf(task->status.reason, sizeof task->status.reason, "%s", reason);
    pthread_mutex_unlock(&task->lock);
    if (same)
        return false;
    bool bad = state == GT_TASK_FAILED || state == GT_TASK_PAUSED;
    gt_log(state == GT_TASK_FAILED ? GANTRY_LOG_ERROR
           : bad                   ? GANTRY_LOG_WARN
                                   : GANTRY_LOG_DEBUG,
           component(task), "task %s connector=%s task=%u%s%s", gt_task_state_name(state),
           task->connector, task->ctx.task, *reason != '\0' ? ": " : "", reason);
    return true;
}

/* Note it and tell control. Thread: the executor. */
static void show(struct gt_task *task, enum gt_task_state state, const char *reason)
{
    if (note(task, state, reason))
        gt_mailbox_send(task->env->control, &task->report_mail);
}

static enum gt_task_state current_state(struct gt_task *task)
{
    pthread_mutex_lock(&task->lock);
    enum gt_task_state state = task->status.state;
    pthread_mutex_unlock(&task->lock);
    return state;
}

/* --- The context --- */

static struct gt_task *of_context(struct gantry_task_context *ctx)
{
    return (struct gt_task *)((char *)ctx - offsetof(struct gt_task, ctx));
}

static void ctx_wake(struct gantry_task_context *ctx)
{
    gt_task_wake(of_context(ctx));
}

static void on_timer(uv_timer_t *timer)
{
    gt_task_ready(timer->data);
}

static void ctx_wake_after(struct gantry_task_context *ctx, int64_t delay_ms)
{
    struct gt_task *task = of_context(ctx);
    if (!gt_call_enter())
        return;
    if (delay_ms < 0) {
        uv_timer_stop(&task->timer);
    } else {
        uv_update_time(gt_executor_loop(task->executor));
        uv_timer_start(&task->timer, on_timer, (uint64_t)delay_ms, 0);
    }
    gt_call_leave();
}

void gt_task_again(struct gt_task *task, int64_t delay_ms)
{
    uv_update_time(gt_executor_loop(task->executor));
    uv_timer_start(&task->again, on_timer, (uint64_t)delay_ms, 0);
}

static int ctx_position(struct gantry_task_context *ctx, struct gantry_view partition,
                        struct gantry_view *ret, struct gantry_err *err)
{
    struct gt_task *task = of_context(ctx);
    struct gt_key key;
    struct gantry_view stored;
    *ret = (struct gantry_view){NULL, 0};
    gt_key_position(&key, task->connector, &partition);
    int code =
        gt_store_get(task->env->store, GT_TABLE_POSITIONS, gt_key_view(&key), &task->position, err);
    if (code == GANTRY_NOT_FOUND)
        return 0;
    if (code == 0 && gt_position_record_read(gt_buf_view(&task->position), &stored, ret) != 0)
        code = gantry_err_set(err, GANTRY_CORRUPT, "the stored position of connector %s is damaged",
                              task->connector);
    return code;
}

struct each_position {
    void (*fn)(void *arg, struct gantry_view partition, struct gantry_view position);
    void *arg;
};

static int give_position(void *arg, struct gantry_view key, struct gantry_view value)
{
    const struct each_position *each = arg;
    struct gantry_view partition, position;
    if (gt_key_is_tails(key))
        return 0;
    if (gt_position_record_read(value, &partition, &position) != 0)
        return GANTRY_CORRUPT;
    each->fn(each->arg, partition, position);
    return 0;
}

static int ctx_positions(struct gantry_task_context *ctx,
                         void (*fn)(void *arg, struct gantry_view partition,
                                    struct gantry_view position),
                         void *arg, struct gantry_err *err)
{
    struct gt_task *task = of_context(ctx);
    struct gt_key prefix;
    gt_key_prefix(&prefix, task->connector);
    struct each_position each = {fn, arg};
    int code = gt_store_scan(task->env->store, GT_TABLE_POSITIONS, gt_key_view(&prefix),
                             give_position, &each, err);
    if (code == GANTRY_CORRUPT)
        gantry_err_set(err, code, "a stored position of connector %s is damaged", task->connector);
    return code;
}

static void ctx_report_lag(struct gantry_task_context *ctx, int64_t bytes)
{
    atomic_store(&of_context(ctx)->lag, bytes);
}

static void ctx_log(struct gantry_task_context *ctx, enum gantry_log_level level, const char *text)
{
    struct gt_task *task = of_context(ctx);
    gt_log(level, component(task), "%s connector=%s task=%u", text, task->connector, ctx->task);
}

/* --- Life, on the executor --- */

void gt_task_ready(struct gt_task *task)
{
    gt_executor_ready(task->executor, &task->runnable);
}

void gt_task_wake(struct gt_task *task)
{
    gt_executor_send(task->executor, &task->wake_mail);
}

void gt_task_fail(struct gt_task *task, int code, const char *format, ...)
{
    if (task->failing || task->pausing)
        return; /* the first reason is the one to show; what follows is its consequence */
    va_list args;
    va_start(args, format);
    task->failure.code = code;
    vsnprintf(task->failure.text, sizeof task->failure.text, format, args);
    va_end(args);
    task->failing = true;
    gt_task_ready(task);
}

void gt_task_pause(struct gt_task *task, const char *reason)
{
    if (task->failing || task->pausing)
        return;
    gantry_err_set(&task->failure, GANTRY_AGAIN, "%s", reason);
    task->pausing = true;
    gt_task_ready(task);
}

void gt_task_went_well(struct gt_task *task)
{
    if (!task->paused)
        return;
    task->paused = false;
    show(task, GT_TASK_RUNNING, "");
}

void gt_task_hold(struct gt_task *task, const char *reason)
{
    if (task->failing || task->pausing)
        return;
    task->paused = true;
    show(task, GT_TASK_PAUSED, reason);
}

/* Plugins are called in steps only: see executor.h. */
static void begin_soon(struct gt_task *task)
{
    task->to_begin = true;
    gt_task_ready(task);
}

static void restart_after_pause(uv_timer_t *timer)
{
    struct gt_task *task = timer->data;
    if (!task->stopping && !task->live)
        begin_soon(task);
}

/* Show PAUSED and start again in a while. */
static void begin_later(struct gt_task *task, const char *reason)
{
    task->paused = true;
    show(task, GT_TASK_PAUSED, reason);
    uv_update_time(gt_executor_loop(task->executor));
    uv_timer_start(&task->timer, restart_after_pause, PAUSE_MS, 0);
}

/* What the connector needs, then the connector. What is not there yet wakes us when it is. */
static void begin(struct gt_task *task)
{
    struct gantry_err err = {0};
    task->failing = task->pausing = task->preparing = false;
    int code = task->ops->prepare(task, &err);
    if (code == 0) {
        task->preparing = true;
        if (err.text[0] != '\0')
            gt_task_hold(task, err.text);
        return;
    }
    if (code > 0) {
        task->in_start = true;
        code = task->ops->begin(task, &err);
        task->in_start = false;
    }
    if (code != 0) {
        task->ops->end(task);
        if (code == GANTRY_AGAIN || code == GANTRY_NO_SPACE) {
            begin_later(task, err.text);
            return;
        }
        task->paused = false;
        show(task, GT_TASK_FAILED, err.text);
        return;
    }
    task->live = true;
    task->starting = GANTRY_HAS(gt_task_connector(task), start_done);
    if (!task->starting && !task->paused)
        show(task, GT_TASK_RUNNING, "");
    gt_task_ready(task);
}

/* A start that takes its time: true once it is through. The connector wakes us. */
static bool started(struct gt_task *task)
{
    struct gantry_err err = {0};
    if (!task->starting)
        return true;
    int code =
        GT_CALL(task, "start_done", gt_task_connector(task)->start_done(task->instance, &err));
    if (code == GANTRY_AGAIN)
        return false;
    task->starting = false;
    if (code == GANTRY_NO_SPACE)
        gt_task_pause(task, err.text);
    else if (code != 0)
        gt_task_fail(task, code, "%s", err.text);
    else if (!task->paused)
        show(task, GT_TASK_RUNNING, "");
    return code == 0;
}

/* Whether task_stop may be called. The connector wakes us. */
static bool stopped(struct gt_task *task)
{
    const struct gantry_connector *connector = gt_task_connector(task);
    return !GANTRY_HAS(connector, stop_done) ||
           GT_CALL(task, "stop_done", connector->stop_done(task->instance)) == 0;
}

static void start_over(struct gt_task *task)
{
    task->begin_again = false;
    if (current_state(task) == GT_TASK_FAILED)
        show(task, GT_TASK_UNASSIGNED, "");
    begin_soon(task);
}

static int stop_instance(struct gt_task *task)
{
    gt_task_connector(task)->task_stop(task->instance);
    return 0;
}

/* Everything is at rest: let the connector go and show where the task stands now. */
static void end_run(struct gt_task *task)
{
    uv_timer_stop(&task->timer);
    uv_timer_stop(&task->again);
    if (task->live) {
        if (!task->in_stop) {
            task->in_stop = true;
            (void)GT_CALL(task, "task_stop", stop_instance(task));
        }
        task->in_stop = false;
        task->instance = NULL;
        task->live = false;
        task->ops->end(task);
        if (task->stopping && (task->failing || task->pausing)) /* no state will show it */
            gt_warn(component(task), "stopped before all was committed connector=%s task=%u: %s",
                    task->connector, task->ctx.task, task->failure.text);
    }
    if (task->stopping) {
        /* Behind every wake-up that is still in the mailbox. */
        gt_executor_send(task->executor, &task->last_mail);
    } else if (task->failing) {
        task->paused = false;
        show(task, GT_TASK_FAILED, task->failure.text);
        if (task->begin_again)
            start_over(task);
    } else {
        begin_later(task, task->failure.text);
    }
}

static void step(struct gt_runnable *runnable)
{
    struct gt_task *task = (struct gt_task *)runnable;
    if (task->stuck > 0)
        return;
    if (!task->live) {
        bool to_begin = task->to_begin && !task->stopping;
        task->to_begin = false;
        if (to_begin)
            begin(task);
        return;
    }
    if (task->failing || task->pausing || task->stopping) {
        bool idle = task->starting || task->in_stop || task->ops->drain(task);
        if (idle && (task->in_stop || stopped(task)))
            end_run(task);
        return;
    }
    if (!gt_claim_holds(&task->claim)) { /* the control loop is about to stop it, or to renew */
        uv_update_time(gt_executor_loop(task->executor));
        uv_timer_start(&task->timer, on_timer, LEASE_PAUSE_MS, 0);
        return;
    }
    if (started(task))
        task->ops->step(task);
}

static void on_start(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, start_mail));
    if (task->stuck > 0) {
        task->begin_again = true;
        return;
    }
    if (task->stopping || task->live || task->preparing)
        return;
    if (!task->timer_open) {
        uv_timer_init(gt_executor_loop(task->executor), &task->timer);
        uv_timer_init(gt_executor_loop(task->executor), &task->again);
        task->timer.data = task->again.data = task;
        task->timer_open = true;
    }
    start_over(task);
}

static void on_stop(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, stop_mail));
    task->stopping = true;
    if (task->stuck > 0)
        return; /* gt_task_resume() comes back to it */
    if (task->preparing) {
        task->preparing = false;
        task->ops->end(task);
    }
    if (task->live)
        gt_task_ready(task);
    else if (task->timer_open)
        end_run(task);
    else
        gt_executor_send(task->executor, &task->last_mail);
}

static void on_wake(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, wake_mail));
    if (task->live)
        gt_task_ready(task);
    else if (task->preparing)
        begin_soon(task);
}

static void on_break(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, break_mail));
    char reason[sizeof task->broken];
    pthread_mutex_lock(&task->lock);
    memcpy(reason, task->broken, sizeof reason);
    pthread_mutex_unlock(&task->lock);
    if (task->stopping || task->stuck > 0 || !task->timer_open ||
        current_state(task) == GT_TASK_FAILED)
        return;
    if (task->live) {
        gt_task_fail(task, GANTRY_IO, "%s", reason);
        return;
    }
    /* It was about to begin, or to try again. */
    if (task->preparing)
        task->ops->end(task);
    task->preparing = task->to_begin = task->paused = false;
    uv_timer_stop(&task->timer);
    show(task, GT_TASK_FAILED, reason);
}

/* --- Calls that do not come back --- */

/* With the reason, unless there is one already. */
static void get_stuck(struct gt_task *task, const char *what)
{
    char text[sizeof task->failure.text];
    (void)snprintf(text, sizeof text, /* fits */
                   "%s() does not come back (task.call.timeout.ms); its thread and memory are left "
                   "to it",
                   what);
    task->stuck++;
    task->preparing = task->to_begin = task->paused = false;
    if (!task->failing) {
        gantry_err_set(&task->failure, GANTRY_TIMEOUT, "%s", text);
        task->failing = true;
        task->pausing = false;
    }
    pthread_mutex_lock(&task->lock);
    task->status.sits++;
    pthread_mutex_unlock(&task->lock);
    show(task, GT_TASK_FAILED, text);
}

/* Thread: control, while the executor has none. */
static void gave_up(struct gt_runnable *runnable, const char *what)
{
    struct gt_task *task = (struct gt_task *)runnable;
    uv_timer_stop(&task->timer);
    get_stuck(task, what);
}

void gt_task_late(struct gt_task *task, const char *what)
{
    get_stuck(task, what);
}

/* Thread: the one that was given up. */
static void came_back(struct gt_runnable *runnable, int code)
{
    struct gt_task *task = (struct gt_task *)runnable;
    task->late_code = code;
    gt_mailbox_send(task->env->control, &task->back_mail);
}

static void on_back(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, back_mail));
    gt_executor_send(task->executor, &task->resume_mail);
}

/* From where it was left, with the way out of every failed run. */
void gt_task_resume(struct gt_task *task)
{
    gt_warn(component(task),
            "a call has come back that was given up; nothing of it counts "
            "connector=%s task=%u",
            task->connector, task->ctx.task);
    task->stuck--;
    pthread_mutex_lock(&task->lock);
    task->status.sits--;
    pthread_mutex_unlock(&task->lock);
    if (task->stuck > 0)
        return;
    if (task->live)
        gt_task_ready(task);
    else
        end_run(task);
}

static void on_resume(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, resume_mail));
    if (task->in_start) { /* it has started after all, or has not */
        task->in_start = false;
        task->live = task->late_code == 0;
        if (!task->live)
            task->ops->end(task);
    }
    gt_task_resume(task);
}

/* The executor's last touch. Control shows STOPPED itself, when it gets this: else a report of
 * something earlier could find the task STOPPED, and free it, while the executor is still about to
 * send this one. */
static void leave(struct gt_task *task)
{
    gt_mailbox_send(task->env->control, &task->stopped_mail);
}

static void on_closed(uv_handle_t *handle)
{
    leave(handle->data);
}

static void on_again_closed(uv_handle_t *handle)
{
    struct gt_task *task = handle->data;
    uv_close((uv_handle_t *)&task->timer, on_closed);
}

static void on_last(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, last_mail));
    gt_executor_unready(task->executor, &task->runnable);
    if (task->timer_open)
        uv_close((uv_handle_t *)&task->again, on_again_closed);
    else
        leave(task);
}

static void on_report(struct gt_mail *mail)
{
    struct gt_task *task = (struct gt_task *)((char *)mail - offsetof(struct gt_task, report_mail));
    task->report(task, task->arg);
}

static void on_stopped(struct gt_mail *mail)
{
    struct gt_task *task =
        (struct gt_task *)((char *)mail - offsetof(struct gt_task, stopped_mail));
    (void)note(task, GT_TASK_STOPPED, "");
    task->report(task, task->arg);
}

/* --- Control's side --- */

static int copy_config(struct gt_task *task, const struct gantry_config *config)
{
    struct gantry_config_entry *entries =
        gt_arena_alloc(&task->memory, (config->count + 1) * sizeof *entries);
    if (entries == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < config->count; i++) {
        entries[i].key = gt_arena_strdup(&task->memory, config->entries[i].key);
        entries[i].value = gt_arena_strdup(&task->memory, config->entries[i].value);
        if (entries[i].key == NULL || entries[i].value == NULL)
            return GANTRY_NO_MEMORY;
    }
    task->config = (struct gantry_config){sizeof task->config, config->count, entries};
    return 0;
}

int gt_task_new(const struct gt_task_setup *setup, struct gt_task **ret, struct gantry_err *err)
{
    const struct gt_task_ops *ops =
        setup->klass->connector->kind == GANTRY_SOURCE ? &gt_source_ops : &gt_sink_ops;
    struct gt_task *task = calloc(1, ops->size);
    if (task == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task of connector %s",
                              setup->connector);
    gt_arena_init(&task->memory, 1024, 0);
    gt_buf_init(&task->position, GT_POSITION_MAX);
    pthread_mutex_init(&task->lock, NULL);
    task->runnable.step = step;
    task->runnable.gave_up = gave_up;
    task->runnable.came_back = came_back;
    task->ops = ops;
    task->env = setup->env;
    task->klass = gt_class_hold(setup->klass);
    task->executor = setup->executor;
    task->converter = setup->converter;
    task->report = setup->report;
    task->arg = setup->arg;
    task->start_mail.run = on_start;
    task->stop_mail.run = on_stop;
    task->wake_mail.run = on_wake;
    task->break_mail.run = on_break;
    task->resume_mail.run = on_resume;
    task->back_mail.run = on_back;
    task->last_mail.run = on_last;
    task->report_mail.run = on_report;
    task->stopped_mail.run = on_stopped;
    atomic_store(&task->lag, -1);
    task->connector = strdup(setup->connector);
    task->claim = (struct gt_claim){.connector = task->connector,
                                    .task = setup->index,
                                    .epoch = setup->epoch,
                                    .lease_until_ms = setup->env->lease_until_ms};
    int code = task->connector == NULL ? GANTRY_NO_MEMORY : copy_config(task, setup->config);
    if (code != 0)
        gantry_err_set(err, code, "no memory for a task of connector %s", setup->connector);
    task->ctx = (struct gantry_task_context){
        .struct_size = sizeof task->ctx,
        .runtime = setup->env->runtime,
        .connector = task->connector,
        .task = setup->index,
        .task_count = setup->count,
        .config = &task->config,
        .wake = ctx_wake,
        .wake_after = ctx_wake_after,
        .position = ctx_position,
        .positions = ctx_positions,
        .report_lag = ctx_report_lag,
        .log = ctx_log,
    };
    if (ops->offer != NULL)
        ops->offer(&task->ctx);
    if (code == 0)
        code = ops->setup(task, err);
    if (code != 0) {
        gt_task_free(task);
        return code;
    }
    *ret = task;
    return 0;
}

void gt_task_start(struct gt_task *task)
{
    gt_executor_send(task->executor, &task->start_mail);
}

void gt_task_stop(struct gt_task *task)
{
    if (!task->told_to_stop)
        gt_executor_send(task->executor, &task->stop_mail);
    task->told_to_stop = true;
}

void gt_task_report_to(struct gt_task *task, void (*report)(struct gt_task *task, void *arg),
                       void *arg)
{
    task->report = report;
    task->arg = arg;
}

void gt_task_break(struct gt_task *task, const char *reason)
{
    pthread_mutex_lock(&task->lock);
    snprintf(task->broken, sizeof task->broken, "%s", reason);
    pthread_mutex_unlock(&task->lock);
    gt_executor_send(task->executor, &task->break_mail);
}

void gt_task_free(struct gt_task *task)
{
    if (task == NULL)
        return;
    task->ops->teardown(task);
    pthread_mutex_destroy(&task->lock);
    gt_buf_deinit(&task->position);
    gt_arena_deinit(&task->memory);
    free(task->connector);
    gt_class_release(task->klass);
    free(task);
}

void gt_task_status(struct gt_task *task, struct gt_task_status *ret)
{
    pthread_mutex_lock(&task->lock);
    *ret = task->status;
    pthread_mutex_unlock(&task->lock);
    ret->lag = atomic_load(&task->lag);
    ret->records = atomic_load(&task->records);
}

uint32_t gt_task_index(const struct gt_task *task)
{
    return task->ctx.task;
}

const struct gt_connector_class *gt_task_class(const struct gt_task *task)
{
    return task->klass;
}
