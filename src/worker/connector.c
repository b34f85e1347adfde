/* SPDX-License-Identifier: Apache-2.0 */
/* A connector that runs: its tasks, and what becomes of those that fail. A failed task starts again
 * after a pause that doubles, from what was committed; so does a connector whose configuration
 * could not be turned into tasks (a file system that is not mounted yet). */
#include "worker/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include <stdlib.h>

enum {
    CALM_MS = 60000
}; /* a task that ran for so long begins with the shortest pause again, and a new count */

struct member {
    struct connector *connector;
    struct gt_task *task;    /* owned; NULL once stopped, or when the plan could not run */
    struct gt_props props;   /* owned */
    size_t executor;         /* index of the shared one, unless: */
    struct gt_executor *own; /* owned: the thread of a task whose connector blocks */
    uv_timer_t timer;        /* restart */
    bool timer_open;
    int64_t pause_ms, restarts; /* the last pause; restarts in a row */
    int64_t running_since_ns;
    uint64_t failures; /* that are dealt with */
    uint64_t epoch;    /* in a cluster: of the start; 0: not this worker's */
    bool stopping;
    bool renewing; /* in a cluster: its task stops, to be made anew with another class */
};

struct connector {
    struct connector *next, **link; /* of the worker's; link: what points here */
    struct gt_worker *worker;
    struct slot *slot;
    char *name; /* owned */
    struct gt_props props;
    int64_t updated_ms;
    const struct gt_connector_class *klass; /* held; NULL: unknown */
    struct member *members;                 /* owned */
    size_t member_count;
    struct plan plan; /* in a cluster, where tasks start one by one; else empty */
    bool shared;      /* a cluster says which of its tasks run here */
    char *problem;    /* owned: why there are no tasks; NULL: there are */
    bool closing;
    bool holds;             /* in a cluster: it lives in its plugin here */
    int64_t hold_pause_ms;  /* before it is tried again to have it live there */
    bool replaced;          /* its name is known to the same plugin as another's now */
    uv_timer_t split_timer; /* to be split again after a pause */
    bool split_timer_open;
    size_t open; /* tasks and timers that are not closed yet */
    void (*stopped)(void *arg);
    void *stopped_arg;
    void (*settled)(void *arg);
    void *settled_arg;
};

static void release(struct connector *connector)
{
    const struct gt_connector_class *klass = connector->klass;
    connector->holds = false;
    if (klass != NULL && GANTRY_HAS(klass->connector, release))
        klass->connector->release(klass->plugin_state, connector->name);
}

/* It does not live here any more; but what its plugin has by the name may be the next one's
 * already.
 */
static void let_go(struct connector *connector)
{
    if (gt_operation_follows(connector->slot))
        connector->holds = false;
    else
        release(connector);
}

static bool same_plugin(const struct gt_connector_class *a, const struct gt_connector_class *b)
{
    return a != NULL && b != NULL && a->plugin == b->plugin && a->plugin_state == b->plugin_state;
}

/* In a cluster: whether another configuration of the name lives in the same plugin already. */
static bool is_followed(const struct connector *connector)
{
    const struct slot *slot = connector->shared && connector->name != NULL
                                  ? gt_slot_find(connector->worker, connector->name)
                                  : NULL;
    const struct connector *next = slot != NULL ? slot->connector : NULL;
    return next != NULL && next != connector && next->holds &&
           same_plugin(next->klass, connector->klass);
}

static struct connector *new_connector(struct gt_worker *worker)
{
    struct connector *connector = calloc(1, sizeof *connector);
    if (connector == NULL)
        return NULL;
    connector->worker = worker;
    connector->link = &worker->connectors;
    connector->next = worker->connectors;
    if (connector->next != NULL)
        connector->next->link = &connector->next;
    worker->connectors = connector;
    return connector;
}

static void free_connector(struct connector *connector)
{
    *connector->link = connector->next;
    if (connector->next != NULL)
        connector->next->link = connector->link;
    for (size_t i = 0; i < connector->member_count; i++)
        gt_props_deinit(&connector->members[i].props);
    free(connector->members);
    if (connector->shared)
        gt_plan_deinit(&connector->plan);
    if (!connector->replaced && !is_followed(connector))
        release(connector);
    gt_class_release(connector->klass);
    gt_props_deinit(&connector->props);
    free(connector->problem);
    free(connector->name);
    free(connector);
}

static void look_for_stopped(struct connector *connector)
{
    if (!connector->closing || connector->open > 0)
        return;
    void (*stopped)(void *) = connector->stopped;
    void *arg = connector->stopped_arg;
    free_connector(connector);
    stopped(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct member *member = handle->data;
    member->connector->open--;
    look_for_stopped(member->connector);
}

static void on_split_timer_closed(uv_handle_t *handle)
{
    struct connector *connector = handle->data;
    connector->open--;
    look_for_stopped(connector);
}

static void close_timer(struct member *member)
{
    if (member->timer_open) {
        member->timer_open = false;
        uv_close((uv_handle_t *)&member->timer, on_timer_closed);
    }
}

static void settle(struct connector *connector)
{
    void (*settled)(void *) = connector->settled;
    connector->settled = NULL;
    if (settled != NULL)
        settled(connector->settled_arg);
}

/* --- Restarts --- */

/* Whether a start would be with another class than @p present now: that of a plugin that has been
 * replaced, removed, or brought meanwhile. */
static bool is_outdated(const struct connector *connector, const struct gt_connector_class *present)
{
    const struct gt_connector_class *klass = NULL;
    struct gantry_err err;
    (void)gt_plan_class(connector->worker->registry, &connector->props, true, &klass, &err);
    bool other = klass != present;
    gt_class_release(klass);
    return other;
}

/* Make all of the connector anew. An operation that is under way may replace or remove this
 * configuration, and a start that waits behind it would bring the old one back: then false. */
static bool start_anew(struct connector *connector)
{
    struct gt_props props;
    gt_props_init(&props);
    bool can = connector->slot->head == NULL && gt_props_copy(&props, &connector->props) == 0;
    if (can)
        gt_operation_start(connector->worker, connector->name, &props, connector->updated_ms);
    gt_props_deinit(&props);
    return can;
}

static void renew_plan(struct connector *connector);
static void stop_task(struct member *member);

static void on_restart(uv_timer_t *timer)
{
    struct member *member = timer->data;
    struct connector *connector = member->connector;
    if (connector->closing)
        return;
    bool outdated = member->task != NULL && is_outdated(connector, gt_task_class(member->task));
    if (outdated && connector->shared) {
        if (is_outdated(connector, connector->klass)) /* else another task was here before */
            renew_plan(connector);
        member->renewing = true;
        stop_task(member);
        return;
    }
    if (member->task != NULL && !outdated) {
        gt_info("worker", "starting a failed task again connector=%s task=%u", connector->name,
                gt_task_index(member->task));
        gt_task_start(member->task);
        return;
    }
    if (connector->shared) {
        gt_connector_task_start(connector, (uint32_t)(member - connector->members), member->epoch);
        return;
    }
    if (!start_anew(connector))
        uv_timer_start(timer, on_restart, (uint64_t)member->pause_ms, 0);
}

static void restart_after(struct member *member, int64_t pause_ms)
{
    if (!member->timer_open) {
        uv_timer_init(&member->connector->worker->loop, &member->timer);
        member->timer.data = member;
        member->timer_open = true;
        member->connector->open++;
    }
    uv_timer_start(&member->timer, on_restart, (uint64_t)pause_ms, 0);
}

static void restart_later(struct member *member)
{
    const struct gt_settings *settings = member->connector->worker->settings;
    if (member->timer_open && uv_is_active((uv_handle_t *)&member->timer))
        return; /* two reports of one failure */
    if (member->running_since_ns != 0 &&
        gt_clock_mono_ns() - member->running_since_ns > CALM_MS * 1000000LL)
        member->pause_ms = member->restarts = 0;
    member->running_since_ns = 0;
    if (settings->restart_max >= 0 && member->restarts >= settings->restart_max) {
        gt_warn("worker", "no further restart connector=%s restarts=%lld", member->connector->name,
                (long long)member->restarts);
        return;
    }
    member->pause_ms = member->pause_ms == 0 ? settings->restart_backoff_ms : member->pause_ms * 2;
    if (member->pause_ms > settings->restart_backoff_max_ms)
        member->pause_ms = settings->restart_backoff_max_ms;
    member->restarts++;
    restart_after(member, member->pause_ms);
}

/* --- The end of a task --- */

static void tell_stopped(struct member *member);

/* It is not this member's any more. */
static void lose_task(struct member *member)
{
    struct connector *connector = member->connector;
    struct gt_worker *worker = connector->worker;
    member->task = NULL;
    if (member->own == NULL)
        worker->executor_loads[member->executor]--;
    member->own = NULL;
    worker->tasks--;
    connector->open--;
    if (member->renewing && !member->stopping)
        gt_connector_task_start(connector, (uint32_t)(member - connector->members), member->epoch);
    else if (connector->shared)
        tell_stopped(member);
    member->renewing = false;
    look_for_stopped(connector);
    gt_worker_look_for_end(worker);
}

static void on_left_report(struct gt_task *task, void *arg)
{
    struct gt_task_status status;
    gt_task_status(task, &status);
    if (status.state != GT_TASK_STOPPED || arg == NULL)
        return;
    gt_task_free(task);
    gt_left_remove(arg);
}

/* Do without a task that is to stop and cannot: a call of it does not come back. What belongs to it
 * is freed if it ever does. */
static void leave_behind(struct member *member)
{
    struct connector *connector = member->connector;
    struct left *left =
        gt_left_add(connector->worker, connector->name, gt_task_index(member->task), member->own);
    gt_task_report_to(member->task, on_left_report, left);
    gt_task_stop(member->task);
    lose_task(member);
}

static void stop_task(struct member *member)
{
    struct gt_task_status status;
    gt_task_status(member->task, &status);
    if (status.sits > 0) {
        leave_behind(member);
        return;
    }
    gt_task_stop(member->task);
    gt_watch_arm(&member->connector->worker->watch); /* it is not waited for without an end now */
}

static bool is_to_stop(const struct member *member)
{
    return member->connector->closing || member->stopping || member->renewing;
}

bool gt_connectors_watch(struct gt_worker *worker, int most)
{
    bool busy = false;
    for (struct connector *connector = worker->connectors; connector != NULL;
         connector = connector->next) {
        for (size_t i = 0; i < connector->member_count; i++) {
            struct member *member = &connector->members[i];
            if (member->own != NULL)
                busy = gt_executor_look(member->own, most, !is_to_stop(member)) || busy;
        }
    }
    return busy;
}

/* --- Reports from tasks --- */

static bool all_running(const struct connector *connector)
{
    for (size_t i = 0; i < connector->member_count; i++) {
        struct gt_task_status status;
        if (connector->members[i].task == NULL)
            return false;
        gt_task_status(connector->members[i].task, &status);
        if (status.state != GT_TASK_RUNNING)
            return false;
    }
    return true; /* there may be no work now */
}

/* A task of a cluster's connector stands still. */
static void tell_stopped(struct member *member)
{
    struct connector *connector = member->connector;
    uint64_t epoch = member->epoch;
    member->epoch = 0;
    member->stopping = false;
    gt_info("worker", "stopped a task connector=%s task=%u epoch=%llu", connector->name,
            (unsigned)(member - connector->members), (unsigned long long)epoch);
    if (member == connector->members && connector->holds && !connector->closing)
        let_go(connector);
    gt_shared_stopped(connector->worker, connector->name, (uint32_t)(member - connector->members),
                      epoch);
}

static void on_report(struct gt_task *task, void *arg)
{
    struct member *member = arg;
    struct connector *connector = member->connector;
    struct gt_worker *worker = connector->worker;
    struct gt_task_status status;
    gt_task_status(task, &status);
    if (connector->shared && status.state != GT_TASK_STOPPED && !member->stopping)
        gt_cluster_put_status(worker->cluster, connector->name, gt_task_index(task), member->epoch,
                              gt_task_state_name(status.state), status.reason);
    switch (status.state) {
    case GT_TASK_RUNNING:
        if (member->running_since_ns == 0)
            member->running_since_ns = gt_clock_mono_ns();
        if (all_running(connector))
            settle(connector);
        break;
    case GT_TASK_PAUSED:
        settle(connector);
        break;
    case GT_TASK_FAILED:
        settle(connector);
        if (!connector->closing && !member->stopping && status.failures != member->failures)
            restart_later(member);
        member->failures = status.failures;
        if (status.sits > 0 && is_to_stop(member))
            leave_behind(member);
        break;
    case GT_TASK_STOPPED:
        gt_task_free(task);
        gt_executor_close(member->own); /* it has nothing left to do, so this is short */
        lose_task(member);
        break;
    default:
        break;
    }
}

/* --- Opening and closing --- */

static int start_member(struct member *member, const struct plan *plan, size_t index,
                        struct gantry_err *err)
{
    struct connector *connector = member->connector;
    struct gt_worker *worker = connector->worker;
    member->failures = 0; /* the task counts its own */
    member->running_since_ns = 0;
    member->executor = gt_worker_place(worker, plan->klass->connector->kind);
    if ((plan->klass->connector->flags & GANTRY_CONNECTOR_BLOCKS) != 0) {
        int rc = gt_executor_open("gt-blocking", &worker->watch, &member->own, err);
        if (rc != 0)
            return rc;
    }
    struct gt_task_setup setup = {
        .env = &worker->task_env,
        .klass = plan->klass,
        .executor = member->own != NULL ? member->own : worker->executors[member->executor],
        .connector = connector->name,
        .index = (uint32_t)index,
        .count = (uint32_t)plan->task_count,
        .epoch = member->epoch,
        .config = &plan->tasks[index].config,
        .converter = plan->converter,
        .report = on_report,
        .arg = member,
    };
    int code = gt_task_new(&setup, &member->task, err);
    if (code != 0) {
        gt_executor_close(member->own);
        member->own = NULL;
        return code;
    }
    if (member->own == NULL)
        worker->executor_loads[member->executor]++;
    worker->tasks++;
    connector->open++;
    gt_task_start(member->task);
    return 0;
}

static void set_problem(struct connector *connector, const char *text)
{
    if (connector->problem == NULL)
        connector->problem = strdup(text);
    gt_error("worker", "connector cannot run connector=%s: %s", connector->name, text);
}

/* It could not be made whole: after a pause the connector is opened anew, by the first member
 * without a task. */
static void open_later(struct connector *connector)
{
    struct member *member = connector->members;
    while (member->task != NULL)
        member++;
    member->pause_ms = connector->slot->pause_ms;
    member->restarts = connector->slot->tries;
    restart_later(member);
    connector->slot->pause_ms = member->pause_ms;
    connector->slot->tries = member->restarts;
}

struct connector *gt_connector_open(struct gt_worker *worker, struct slot *slot,
                                    struct gt_props *props, int64_t updated_ms, struct plan *plan)
{
    struct connector *connector = new_connector(worker);
    size_t count = plan->outcome == GT_CREATE_OK ? plan->task_count : 1;
    if (connector == NULL)
        return NULL;
    connector->updated_ms = updated_ms;
    connector->klass = gt_class_hold(plan->klass);
    connector->props = *props;
    gt_props_init(props);
    connector->name = strdup(slot->name);
    connector->slot = slot;
    connector->members = calloc(count + 1, sizeof *connector->members);
    if (connector->name == NULL || connector->members == NULL) {
        free_connector(connector);
        return NULL;
    }
    connector->member_count = count;
    if (plan->outcome != GT_CREATE_OK)
        set_problem(connector, plan->err.text);
    for (size_t i = 0; i < count; i++) {
        struct member *member = &connector->members[i];
        struct gantry_err err = {0};
        member->connector = connector;
        gt_props_init(&member->props);
        if (plan->outcome != GT_CREATE_OK) {
            (void)gt_props_copy(&member->props, &connector->props); /* for show only */
            continue;
        }
        member->props = plan->tasks[i].props;
        gt_props_init(&plan->tasks[i].props);
        if (start_member(member, plan, i, &err) != 0)
            set_problem(connector, err.text);
    }
    if (connector->problem == NULL)
        slot->pause_ms = slot->tries = 0;
    else
        open_later(connector);
    return connector;
}

/* --- In a cluster --- */

/* Why the plan cannot run. One that waits for its plugin has no problem yet that others should hear
 * of. */
static void take_problem(struct connector *connector)
{
    const struct plan *plan = &connector->plan;
    if (plan->waits) {
        connector->problem = strdup(plan->err.text);
        gt_worker_load_class(connector->worker, connector->name, &connector->props);
    } else if (plan->outcome != GT_CREATE_OK) {
        set_problem(connector, plan->err.text);
    }
}

struct connector *gt_connector_open_shared(struct gt_worker *worker, struct slot *slot,
                                           struct gt_props *props, int64_t updated_ms,
                                           struct plan *plan)
{
    struct connector *connector = new_connector(worker);
    size_t count = plan->task_count > 0 ? plan->task_count : 1;
    if (connector == NULL)
        return NULL;
    connector->slot = slot;
    connector->updated_ms = updated_ms;
    connector->klass = gt_class_hold(plan->klass);
    connector->props = *props;
    gt_props_init(props);
    connector->plan = *plan;
    gt_plan_init(plan);
    connector->shared = true;
    connector->name = strdup(slot->name);
    connector->members = calloc(count, sizeof *connector->members);
    if (connector->name == NULL || connector->members == NULL) {
        free_connector(connector);
        return NULL;
    }
    connector->member_count = count;
    for (size_t i = 0; i < count; i++) {
        connector->members[i].connector = connector;
        gt_props_init(&connector->members[i].props);
        if (i < connector->plan.task_count)
            (void)gt_props_copy(&connector->members[i].props, &connector->plan.tasks[i].props);
    }
    take_problem(connector);
    return connector;
}

static void hold(struct connector *connector)
{
    if (!GANTRY_HAS(connector->klass->connector, release))
        return;
    connector->holds = true;
    gt_operation_hold(connector->worker, connector->name);
}

void gt_connector_task_start(struct connector *connector, uint32_t task, uint64_t epoch)
{
    struct gt_worker *worker = connector->worker;
    struct gantry_err err = {0};
    if (task >= connector->member_count) {
        gt_shared_stopped(worker, connector->name, task, epoch);
        return;
    }
    struct member *member = &connector->members[task];
    member->epoch = epoch;
    if (connector->problem != NULL) { /* it waits, FAILED, for another configuration or worker */
        if (connector->plan.waits)
            return; /* for its plugin, which is about to come */
        gt_cluster_put_status(worker->cluster, connector->name, task, epoch, "FAILED",
                              connector->problem);
        return;
    }
    if (gt_left_find(worker, connector->name, task, &err)) {
        gt_error("worker", "task FAILED connector=%s task=%u: %s", connector->name, task, err.text);
        gt_cluster_put_status(worker->cluster, connector->name, task, epoch, "FAILED", err.text);
        restart_later(member);
        return;
    }
    if (task == 0 && !connector->holds)
        hold(connector);
    if (connector->plan.empty) {
        gt_cluster_put_status(worker->cluster, connector->name, task, epoch, "RUNNING", "");
        return;
    }
    gt_info("worker", "starting a task connector=%s task=%u epoch=%llu", connector->name, task,
            (unsigned long long)epoch);
    if (start_member(member, &connector->plan, task, &err) == 0)
        return;
    gt_error("worker", "cannot start a task connector=%s task=%u: %s", connector->name, task,
             err.text);
    gt_cluster_put_status(worker->cluster, connector->name, task, epoch, "FAILED", err.text);
    restart_later(member);
}

/* In a cluster: the plan with the class that there is now. Tasks that run keep theirs. */
static void renew_plan(struct connector *connector)
{
    struct plan *plan = &connector->plan;
    gt_plan_renew(plan, connector->worker->registry, &connector->props);
    if (connector->holds && !gt_connector_is_of(connector, plan))
        release(connector);
    gt_class_release(connector->klass);
    connector->klass = gt_class_hold(plan->klass);
    free(connector->problem);
    connector->problem = NULL;
    take_problem(connector);
    if (connector->problem == NULL && connector->members[0].epoch != 0 && !connector->holds)
        hold(connector);
}

static void look_again_shared(struct connector *connector)
{
    if (connector->klass != NULL)
        return;
    renew_plan(connector);
    for (size_t i = 0; i < connector->member_count && connector->problem == NULL; i++) {
        struct member *member = &connector->members[i];
        if (member->epoch != 0 && member->task == NULL && !member->stopping)
            gt_connector_task_start(connector, (uint32_t)i, member->epoch);
    }
}

void gt_connector_class_failed(struct connector *connector, const struct gantry_err *err)
{
    if (connector->closing || !connector->plan.waits)
        return;
    connector->plan.waits = false;
    free(connector->problem);
    connector->problem = NULL;
    set_problem(connector, err->text);
    for (size_t i = 0; i < connector->member_count; i++) {
        if (connector->members[i].epoch != 0 && connector->members[i].task == NULL)
            gt_connector_task_start(connector, (uint32_t)i, connector->members[i].epoch);
    }
}

void gt_connector_look_again(struct connector *connector)
{
    if (connector->closing)
        return;
    bool failed = false;
    for (size_t i = 0; i < connector->member_count; i++) {
        struct member *member = &connector->members[i];
        struct gt_task_status status = {0};
        if (member->task == NULL || member->stopping || member->renewing)
            continue;
        gt_task_status(member->task, &status);
        if (status.state != GT_TASK_FAILED)
            continue;
        failed = true;
        if (connector->shared && is_outdated(connector, gt_task_class(member->task)))
            restart_after(member, 0);
    }
    if (connector->shared) {
        look_again_shared(connector);
    } else if (connector->klass == NULL || (failed && is_outdated(connector, connector->klass))) {
        connector->slot->pause_ms = connector->slot->tries = 0; /* what it waited for has come */
        /* An operation that is under way may have looked before the plugin came. */
        connector->slot->look_again = !start_anew(connector);
    }
}

bool gt_connector_task_stop(struct connector *connector, uint32_t task, uint64_t epoch)
{
    if (task >= connector->member_count || connector->members[task].epoch != epoch)
        return false;
    struct member *member = &connector->members[task];
    if (member->stopping)
        return true;
    gt_info("worker", "stopping a task connector=%s task=%u epoch=%llu", connector->name, task,
            (unsigned long long)epoch);
    member->stopping = true;
    if (member->timer_open)
        uv_timer_stop(&member->timer);
    if (member->task != NULL && !member->renewing)
        stop_task(member);
    else if (member->task == NULL)
        tell_stopped(member);
    return true;
}

void gt_connector_close(struct connector *connector, void (*stopped)(void *arg), void *arg)
{
    connector->closing = true;
    connector->stopped = stopped;
    connector->stopped_arg = arg;
    connector->settled = NULL;
    connector->open++; /* until all have been told */
    if (connector->split_timer_open)
        uv_close((uv_handle_t *)&connector->split_timer, on_split_timer_closed);
    connector->split_timer_open = false;
    for (size_t i = 0; i < connector->member_count; i++) {
        struct member *member = &connector->members[i];
        bool told = member->stopping || member->renewing;
        close_timer(member);
        member->stopping = true;
        if (member->task != NULL && !told)
            stop_task(member);
        else if (connector->shared && member->task == NULL && member->epoch != 0)
            tell_stopped(member);
        member->stopping = true;
    }
    connector->open--;
    look_for_stopped(connector);
}

void gt_connector_await(struct connector *connector, void (*settled)(void *arg), void *arg)
{
    connector->settled = settled;
    connector->settled_arg = arg;
    if (settled != NULL && (connector->problem != NULL || all_running(connector)))
        settle(connector);
}

/* --- What it asks for --- */

static void split_now(struct connector *connector)
{
    struct slot *slot = connector->slot;
    gt_info("worker", "the work is split again, as its connector asks connector=%s",
            connector->name);
    if (slot->head != NULL)
        slot->split_again = true;
    else if (connector->shared)
        gt_operation_again(connector->worker, connector->name, &connector->props);
    else
        slot->split_again = !start_anew(connector);
}

static void on_split_timer(uv_timer_t *timer)
{
    struct connector *connector = timer->data;
    if (!connector->closing)
        split_now(connector);
}

static void on_hold_timer(uv_timer_t *timer)
{
    struct connector *connector = timer->data;
    if (!connector->closing && (connector->holds || !connector->shared))
        gt_operation_hold(connector->worker, connector->name);
}

static void call_after(struct connector *connector, uv_timer_cb call, int64_t pause_ms)
{
    if (!connector->split_timer_open) {
        uv_timer_init(&connector->worker->loop, &connector->split_timer);
        connector->split_timer.data = connector;
        connector->split_timer_open = true;
        connector->open++;
    }
    uv_timer_start(&connector->split_timer, call, (uint64_t)pause_ms, 0);
}

/* The first time at once; one that asks for it with each split gets longer and longer pauses, as a
 * task that fails does. */
void gt_connector_split_again(struct connector *connector)
{
    struct slot *slot = connector->slot;
    const struct gt_settings *settings = connector->worker->settings;
    if (connector->closing)
        return;
    if (slot->head != NULL) {
        slot->split_again = true;
        return;
    }
    if (connector->split_timer_open && uv_is_active((uv_handle_t *)&connector->split_timer))
        return;
    int64_t now_ns = gt_clock_mono_ns();
    if (now_ns - slot->split_ns > CALM_MS * 1000000LL + slot->split_pause_ms * 1000000)
        slot->split_pause_ms = 0;
    int64_t pause_ms = slot->split_pause_ms;
    slot->split_ns = now_ns;
    slot->split_pause_ms = pause_ms == 0 ? settings->restart_backoff_ms : 2 * pause_ms;
    if (slot->split_pause_ms > settings->restart_backoff_max_ms)
        slot->split_pause_ms = settings->restart_backoff_max_ms;
    if (pause_ms == 0)
        split_now(connector);
    else
        call_after(connector, on_split_timer, pause_ms);
}

/* --- Where it lives --- */

bool gt_connector_holds(const struct connector *connector)
{
    return connector->holds || !connector->shared;
}

void gt_connector_set_holds(struct connector *connector, bool holds)
{
    connector->holds = holds;
}

void gt_connector_look_at_hold(struct connector *connector)
{
    if (connector->shared && connector->holds && connector->members[0].epoch == 0)
        release(connector);
}

bool gt_connector_is_of(const struct connector *connector, const struct plan *plan)
{
    return same_plugin(connector->klass, plan->klass);
}

const struct gt_connector_class *gt_connector_class_of(const struct connector *connector)
{
    return connector->klass;
}

static bool same_tasks(const struct connector *connector, const struct plan *plan)
{
    bool empty = connector->shared && connector->plan.empty;
    if (plan->task_count != (empty ? 0 : connector->member_count))
        return false;
    for (size_t i = 0; i < plan->task_count; i++) {
        if (!gt_props_equal(&plan->tasks[i].props, &connector->members[i].props, NULL))
            return false;
    }
    return true;
}

void gt_connector_was_held(struct connector *connector, const struct plan *plan)
{
    const struct gt_settings *settings = connector->worker->settings;
    bool pending =
        connector->split_timer_open && uv_is_active((uv_handle_t *)&connector->split_timer);
    if (connector->closing || connector->problem != NULL)
        return;
    if (plan->outcome == GT_CREATE_OK) {
        connector->hold_pause_ms = 0;
        if (!same_tasks(connector, plan))
            gt_connector_split_again(connector);
        return;
    }
    int64_t pause_ms = 2 * connector->hold_pause_ms;
    pause_ms = pause_ms == 0 ? settings->restart_backoff_ms : pause_ms;
    if (pause_ms > settings->restart_backoff_max_ms)
        pause_ms = settings->restart_backoff_max_ms;
    connector->hold_pause_ms = pause_ms;
    gt_warn("worker",
            "the connector itself does not run, its tasks may connector=%s pause_ms=%lld: %s",
            connector->name, (long long)pause_ms, plan->err.text);
    if (!pending)
        call_after(connector, on_hold_timer, pause_ms);
}

/* No task can be FAILED for it: there is no work now. */
static void break_without_tasks(struct connector *connector, const char *reason)
{
    struct member *member = connector->members;
    if (connector->closing || connector->problem != NULL)
        return;
    if (connector->member_count == 0) { /* one that says why, as where it could not be split */
        member->connector = connector;
        (void)gt_props_copy(&member->props, &connector->props); /* for show only */
        connector->member_count = 1;
        set_problem(connector, reason);
        open_later(connector);
    } else if (connector->plan.empty && member->epoch != 0) {
        gt_error("worker", "connector cannot run connector=%s: %s", connector->name, reason);
        gt_cluster_put_status(connector->worker->cluster, connector->name, 0, member->epoch,
                              "FAILED", reason);
        release(connector); /* the next start has it anew */
        restart_later(member);
    }
}

void gt_connector_break(struct connector *connector, const char *reason)
{
    bool told = false;
    for (size_t i = 0; i < connector->member_count; i++) {
        if (connector->members[i].task == NULL)
            continue;
        gt_task_break(connector->members[i].task, reason);
        told = true;
    }
    if (!told)
        break_without_tasks(connector, reason);
}

void gt_connector_replaced(struct connector *connector, const struct plan *plan)
{
    connector->replaced = plan->outcome == GT_CREATE_OK && gt_connector_is_of(connector, plan);
}

/* --- Looks --- */

const struct gt_props *gt_connector_props(const struct connector *connector)
{
    return &connector->props;
}

bool gt_connector_task_status(const struct connector *connector, uint32_t task, uint64_t epoch,
                              struct gt_task_status *ret)
{
    if (task >= connector->member_count || connector->members[task].epoch != epoch ||
        connector->members[task].task == NULL)
        return false;
    gt_task_status(connector->members[task].task, ret);
    return true;
}

bool gt_connector_running(const struct connector *connector)
{
    return connector->shared ? gt_shared_running(connector->worker, connector->name, NULL)
                             : all_running(connector);
}

char *gt_connector_reason(const struct connector *connector)
{
    if (connector->shared) {
        char *reason = NULL;
        (void)gt_shared_running(connector->worker, connector->name, &reason);
        return reason;
    }
    for (size_t i = 0; i < connector->member_count; i++) {
        struct gt_task_status status;
        if (connector->members[i].task == NULL)
            continue;
        gt_task_status(connector->members[i].task, &status);
        if (status.reason[0] != '\0')
            return strdup(status.reason);
    }
    return connector->problem != NULL ? strdup(connector->problem) : NULL;
}

/* Whether a key looks like a secret's: all that can be told when its table is not there, because
 * the plugin is gone or broken. */
static bool looks_secret(const char *key)
{
    static const char *const words[] = {"password", "passwd", "secret",  "credential",
                                        "token",    "apikey", "api.key", "private"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasestr(key, words[i]) != NULL)
            return true;
    }
    return false;
}

/* Copy a configuration for a reply; secrets become ***. */
static int show_props(const struct gt_connector_class *klass, const struct gt_props *from,
                      struct gt_props *to)
{
    const struct gantry_connector *api = klass != NULL ? klass->connector : NULL;
    gt_props_init(to);
    for (size_t i = 0; i < from->count; i++) {
        const struct gantry_config_def *def = gt_config_def_find(api, from->items[i].key);
        bool secret = def != NULL ? def->type == GANTRY_CONFIG_PASSWORD
                                  : klass == NULL && looks_secret(from->items[i].key);
        if (gt_props_append(to, gantry_view_of(from->items[i].key),
                            gantry_view_of(secret ? "***" : from->items[i].value)) != 0)
            return GANTRY_NO_MEMORY;
    }
    return 0;
}

static int add_updated(int64_t updated_ms, struct gt_props *props)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)updated_ms);
    return gt_props_set(props, "update-timestamp", text);
}

int gt_config_show(const struct gt_connector_class *klass, const char *name,
                   const struct gt_props *props, int64_t updated_ms, struct gt_connector_view *view)
{
    memset(view, 0, sizeof *view);
    gt_props_init(&view->config);
    view->name = strdup(name);
    if (view->name == NULL)
        return GANTRY_NO_MEMORY;
    int code = show_props(klass, props, &view->config);
    return code == 0 ? add_updated(updated_ms, &view->config) : code;
}

static int show_member(const struct connector *connector, const struct member *member,
                       struct gt_task_view *view)
{
    struct gt_task_status status = {.state = connector->shared && connector->problem == NULL
                                                 ? GT_TASK_UNASSIGNED
                                                 : GT_TASK_FAILED};
    if (member->task != NULL)
        gt_task_status(member->task, &status);
    else
        snprintf(status.reason, sizeof status.reason, "%s",
                 connector->problem != NULL ? connector->problem : "");
    int code = show_props(connector->klass, &member->props, &view->config);
    if (code == 0 && connector->klass != NULL)
        code = gt_props_set(&view->config, "task-class", connector->klass->connector->task_class);
    if (code == 0)
        code = add_updated(connector->updated_ms, &view->config);
    view->state = gt_task_state_name(status.state);
    view->reason = strdup(status.reason);
    return view->reason == NULL ? GANTRY_NO_MEMORY : code;
}

int gt_connector_show(const struct connector *connector, bool own_tasks,
                      struct gt_connector_view *view)
{
    int code = gt_config_show(connector->klass, connector->name, &connector->props,
                              connector->updated_ms, view);
    if (code == 0)
        view->tasks = calloc(connector->member_count + 1, sizeof *view->tasks);
    if (code == 0 && view->tasks == NULL)
        code = GANTRY_NO_MEMORY;
    size_t count = connector->shared && connector->plan.empty ? 0 : connector->member_count;
    for (size_t i = 0; i < count && code == 0; i++) {
        if (own_tasks && connector->shared && connector->members[i].epoch == 0)
            continue;
        code = show_member(connector, &connector->members[i], &view->tasks[view->task_count]);
        view->task_count++;
    }
    view->running = gt_connector_running(connector);
    return code;
}
