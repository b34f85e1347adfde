/* SPDX-License-Identifier: Apache-2.0 */
/* In a cluster: what its log says about configurations and tasks is done here, on the control loop.
 *
 * The machine must not be called from its own callbacks. What a callback would answer at once (a
 * task that stands still already) is therefore kept and told from the mailbox. */
#include "worker/internal.h"

#include "base/json.h"
#include "base/log.h"
#include <stdlib.h>

struct stopped_task {
    struct stopped_task *next;
    char *connector; /* owned */
    uint32_t task;
    uint64_t epoch;
};

/* --- Tasks that stand still --- */

static void tell_stopped(struct gt_mail *mail)
{
    struct gt_worker *worker =
        (struct gt_worker *)((char *)mail - offsetof(struct gt_worker, stopped_mail));
    while (worker->stopped_tasks != NULL) {
        struct stopped_task *stopped = worker->stopped_tasks;
        worker->stopped_tasks = stopped->next;
        if (worker->cluster != NULL)
            gt_cluster_stopped(worker->cluster, stopped->connector, stopped->task, stopped->epoch);
        free(stopped->connector);
        free(stopped);
    }
}

void gt_shared_stopped(struct gt_worker *worker, const char *connector, uint32_t task,
                       uint64_t epoch)
{
    struct stopped_task *stopped = calloc(1, sizeof *stopped);
    char *name = strdup(connector);
    if (stopped == NULL || name == NULL) { /* it stays the owner until its lease ends */
        gt_error("worker", "no memory to give back a task connector=%s task=%u", connector, task);
        free(stopped);
        free(name);
        return;
    }
    *stopped = (struct stopped_task){worker->stopped_tasks, name, task, epoch};
    worker->stopped_tasks = stopped;
    gt_mailbox_send(&worker->mailbox, &worker->stopped_mail);
}

/* --- What the cluster says --- */

static void on_old_gone(void *arg)
{
    gt_worker_look_for_end(arg);
}

static void on_config(void *arg, const char *name, int64_t updated_ms, struct gantry_view json,
                      const struct gantry_view *tasks, size_t task_count)
{
    struct gt_worker *worker = arg;
    struct slot *slot = gt_slot_get(worker, name);
    struct gt_props props;
    struct plan plan;
    struct gantry_err err = {0};
    if (slot == NULL) {
        gt_error("worker", "no memory for connector=%s", name);
        return;
    }
    if (slot->connector != NULL) {
        struct connector *old = slot->connector;
        if (json.data != NULL)
            gt_operation_replaces(slot, updated_ms);
        slot->connector = NULL;
        gt_connector_close(old, on_old_gone, worker);
    }
    if (json.data == NULL) {
        gt_operation_confirmed(slot, 0, true);
        gt_slot_release(slot);
        return;
    }
    gt_props_init(&props);
    gt_plan_init(&plan);
    if (gt_json_parse_props(&props, json, &err) != 0) {
        plan.outcome = GT_CREATE_INVALID;
        gantry_err_set(&plan.err, err.code, "the configuration cannot be read: %s", err.text);
    } else {
        gt_plan_take(&plan, worker->registry, &props, tasks, task_count);
    }
    slot->connector = gt_connector_open_shared(worker, slot, &props, updated_ms, &plan);
    if (slot->connector == NULL)
        gt_error("worker", "no memory for connector=%s", name);
    else if (gt_operation_split_here(slot, updated_ms))
        gt_connector_set_holds(slot->connector, true);
    gt_plan_deinit(&plan);
    gt_props_deinit(&props);
    gt_operation_confirmed(slot, updated_ms, false);
}

static void on_task_start(void *arg, const char *name, uint32_t task, uint64_t epoch)
{
    struct gt_worker *worker = arg;
    struct slot *slot = gt_slot_find(worker, name);
    if (slot != NULL && slot->connector != NULL)
        gt_connector_task_start(slot->connector, task, epoch);
    else
        gt_shared_stopped(worker, name, task, epoch);
}

static void on_task_stop(void *arg, const char *name, uint32_t task, uint64_t epoch, bool fenced)
{
    struct gt_worker *worker = arg;
    struct slot *slot = gt_slot_find(worker, name);
    if (fenced)
        gt_warn("worker", "a task is not this worker's any more connector=%s task=%u epoch=%llu",
                name, task, (unsigned long long)epoch);
    /* A connector that was replaced is stopping all of its tasks already. */
    if (slot != NULL && slot->connector != NULL)
        (void)gt_connector_task_stop(slot->connector, task, epoch);
}

static void on_changed(void *arg)
{
    gt_operations_look(arg);
}

static void on_joined(void *arg)
{
    struct gt_worker *worker = arg;
    gt_info("worker", "joined the cluster cluster=%s member=%s", worker->settings->cluster,
            worker->member);
    gt_worker_ready(worker);
}

static void on_failed(void *arg, const struct gantry_err *err)
{
    gt_worker_fail(arg, err);
}

static const struct gt_cluster_events events = {
    .config = on_config,
    .task_start = on_task_start,
    .task_stop = on_task_stop,
    .changed = on_changed,
    .joined = on_joined,
    .failed = on_failed,
};

/* --- Opening and closing --- */

int gt_shared_open(struct gt_worker *worker, struct gantry_err *err)
{
    const struct gt_settings *settings = worker->settings;
    struct gt_cluster_setup setup = {
        .link = worker->cluster_link,
        .store = worker->store,
        .control = &worker->mailbox,
        .loop = &worker->loop,
        .cluster = settings->cluster,
        .member = worker->member,
        .strategy = (enum gt_cluster_strategy)gt_cluster_strategy_find(settings->strategy),
        .lease_ms = settings->lease_ms,
        .stop_when_unreachable = strcmp(settings->lease_unreachable, "stop") == 0,
        .lease_until_ms = &worker->lease_until_ms,
        .events = &events,
        .arg = worker,
    };
    worker->stopped_mail.run = tell_stopped;
    int code = gt_cluster_open(&setup, &worker->cluster, err);
    worker->cluster_open = code == 0;
    return code;
}

static void on_left(void *arg)
{
    struct gt_worker *worker = arg;
    worker->cluster_left = true;
    gt_worker_look_for_end(worker);
}

void gt_shared_leave(struct gt_worker *worker)
{
    gt_cluster_quit(worker->cluster, on_left, worker);
}

static void on_closed(void *arg)
{
    struct gt_worker *worker = arg;
    worker->cluster_open = false;
    gt_worker_look_for_end(worker);
}

void gt_shared_close(struct gt_worker *worker)
{
    struct gt_cluster *cluster = worker->cluster;
    worker->cluster = NULL;
    gt_cluster_close(cluster, on_closed, worker);
}

/* --- Looks --- */

struct looking {
    const struct connector *connector; /* NULL: not known here */
    size_t tasks, running, settled;
    char *reason;
};

static int look_at_task(void *arg, const struct gt_cluster_task_view *view)
{
    struct looking *looking = arg;
    struct gt_task_status own;
    const char *status = view->status, *reason = view->reason;
    /* Of its own tasks a worker knows more than the log, which it may not reach just now. */
    if (view->own && looking->connector != NULL &&
        gt_connector_task_status(looking->connector, view->task, view->epoch, &own)) {
        status = gt_task_state_name(own.state);
        reason = own.reason;
    }
    looking->tasks++;
    looking->running += strcmp(status, "RUNNING") == 0;
    looking->settled += strcmp(status, "FAILED") == 0 || strcmp(status, "PAUSED") == 0;
    if (looking->reason == NULL && reason[0] != '\0')
        looking->reason = strdup(reason);
    return 0;
}

static struct looking look(struct gt_worker *worker, const char *connector)
{
    const struct slot *slot = gt_slot_find(worker, connector);
    struct looking looking = {.connector = slot != NULL ? slot->connector : NULL};
    if (worker->cluster != NULL)
        (void)gt_cluster_tasks(gt_cluster_state_of(worker->cluster), connector, look_at_task,
                               &looking);
    return looking;
}

bool gt_shared_running(struct gt_worker *worker, const char *connector, char **ret_reason)
{
    struct looking looking = look(worker, connector);
    if (ret_reason != NULL)
        *ret_reason = looking.reason;
    else
        free(looking.reason);
    return looking.tasks > 0 && looking.running == looking.tasks;
}

char *gt_shared_trouble(struct gt_worker *worker)
{
    char *text = NULL;
    if (worker->cluster == NULL || gt_cluster_is_member(gt_cluster_state_of(worker->cluster)))
        return NULL;
    const char *trouble = gt_cluster_trouble(worker->cluster);
    if (asprintf(&text, "this worker is not a member of cluster %s now%s%s",
                 worker->settings->cluster, *trouble != '\0' ? ": " : "", trouble) < 0)
        return NULL;
    return text;
}

bool gt_shared_gone(struct gt_worker *worker, const char *connector)
{
    return worker->cluster == NULL ||
           !gt_cluster_stopping(gt_cluster_state_of(worker->cluster), connector);
}

bool gt_shared_settled(struct gt_worker *worker, const char *connector)
{
    struct looking looking = look(worker, connector);
    free(looking.reason);
    return looking.settled > 0 || (looking.tasks > 0 && looking.running == looking.tasks);
}
