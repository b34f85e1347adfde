/* SPDX-License-Identifier: Apache-2.0 */
/* Creating and stopping connectors. Operations on one name run one after the other; each goes
 * through
 *
 *    create:  compare -> check (helper thread) -> store -> stop the old one -> start -> settle
 *    start:              check ->                          stop the old one -> start
 *    stop:                                      unstore -> stop the old one
 *    hold:               split
 *
 * and never blocks the control loop. What is stored is what will run after a crash at any point. */
#include "worker/internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include <stdlib.h>

enum {
    SETTLE_MS = 5000, /* how long a create waits for its tasks to run before it answers anyway */
};

enum kind { CREATE, START, STOP, HOLD };

struct operation {
    struct operation *next;
    struct gt_worker *worker;
    struct slot *slot;
    enum kind kind;

    struct gt_request *request; /* CREATE */
    struct gt_props props;      /* CREATE, START */
    int64_t updated_ms;
    enum gt_create_check check;
    struct plan plan;
    void (*done)(void *arg, const struct gantry_err *err); /* STOP */
    void *arg;

    enum gt_create_outcome outcome;
    const char *missing_key;
    struct gantry_err err;
    struct gt_commit commit;
    struct gt_mail committed_mail;
    uv_timer_t timer; /* SETTLE_MS */
    bool settling;
    bool again;      /* though the configuration is the same */
    bool confirming; /* in a cluster: it has been asked for, and not come back yet */
};

static void run_slot(struct slot *slot);

struct slot *gt_slot_find(struct gt_worker *worker, const char *name)
{
    return gt_map_get(&worker->slots, gantry_view_of(name));
}

struct slot *gt_slot_get(struct gt_worker *worker, const char *name)
{
    struct slot *slot = gt_slot_find(worker, name);
    if (slot != NULL)
        return slot;
    slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->worker = worker;
    slot->tail = &slot->head;
    slot->name = strdup(name);
    if (slot->name == NULL || gt_map_put(&worker->slots, gantry_view_of(name), slot, NULL) != 0) {
        free(slot->name);
        free(slot);
        return NULL;
    }
    return slot;
}

/* --- The end of an operation --- */

static void free_operation(struct operation *operation)
{
    gt_props_deinit(&operation->props);
    gt_plan_deinit(&operation->plan);
    gt_commit_deinit(&operation->commit);
    free(operation);
}

static void answer(struct operation *operation)
{
    struct gt_request *request = operation->request;
    if (request != NULL) {
        request->outcome = operation->outcome;
        request->err = operation->err;
        if (operation->missing_key != NULL) /* without memory the text alone says it */
            request->missing_key = strdup(operation->missing_key);
        request->done(request);
    }
    if (operation->done != NULL)
        operation->done(operation->arg, &operation->err);
}

/* Answer, and let the next operation of the name begin. */
static void finish(struct operation *operation)
{
    struct gt_worker *worker = operation->worker;
    struct slot *slot = operation->slot;
    bool unasked = operation->request == NULL &&
                   operation->err.code == GANTRY_CLOSED; /* a start at an early end */
    if (operation->err.code != 0 && !unasked)
        gt_warn("worker", "%s refused connector=%s: %s",
                operation->kind == STOP ? "stop" : "connector", slot->name, operation->err.text);
    else if (operation->err.code == 0 && (operation->kind == CREATE || operation->kind == STOP))
        gt_info("worker", "%s connector=%s", operation->kind == STOP ? "stopped" : "created",
                slot->name);
    slot->head = operation->next;
    if (slot->head == NULL)
        slot->tail = &slot->head;
    worker->operations--;
    answer(operation);
    free_operation(operation);
    slot->under_way = false;
    run_slot(slot);
    gt_worker_look_for_end(worker);
}

/* What was split and does not come to run leaves nothing in its plugin; what runs has lost what it
 * had there, if it is the same one. */
static void take_back(struct gt_worker *worker, const char *name, struct plan *plan)
{
    const struct slot *slot = gt_slot_find(worker, name);
    const struct connector *running = slot != NULL ? slot->connector : NULL;
    bool asked = plan->asked && GANTRY_HAS(plan->klass->connector, release);
    plan->asked = false;
    if (asked && running != NULL && gt_connector_is_of(running, plan) &&
        gt_connector_holds(running))
        gt_operation_hold(worker, name);
    else if (asked && plan->split)
        plan->klass->connector->release(plan->klass->plugin_state, name);
}

static void refuse(struct operation *operation, enum gt_create_outcome outcome,
                   const struct gantry_err *err)
{
    take_back(operation->worker, operation->slot->name, &operation->plan);
    operation->outcome = outcome;
    operation->err = *err;
    finish(operation);
}

/* --- Settle --- */

static void on_settle_closed(uv_handle_t *handle)
{
    struct operation *operation = handle->data;
    if (operation->kind == CREATE && operation->slot->connector != NULL)
        gt_connector_look_at_hold(operation->slot->connector);
    finish(operation);
}

static void end_settling(void *arg)
{
    struct operation *operation = arg;
    if (!operation->settling)
        return;
    operation->settling = false;
    uv_close((uv_handle_t *)&operation->timer, on_settle_closed);
}

static void on_settle_timeout(uv_timer_t *timer)
{
    struct operation *operation = timer->data;
    if (operation->confirming) {
        const char *trouble = operation->worker->cluster != NULL
                                  ? gt_cluster_trouble(operation->worker->cluster)
                                  : "the worker is stopping";
        operation->outcome = GT_CREATE_FAILED;
        gantry_err_set(
            &operation->err, GANTRY_TIMEOUT,
            "the cluster has not confirmed it after %d ms%s%s; it may still come to pass",
            SETTLE_MS, *trouble != '\0' ? ": " : "", trouble);
        take_back(operation->worker, operation->slot->name, &operation->plan);
    } else if (operation->slot->connector != NULL)
        gt_connector_await(operation->slot->connector, NULL, NULL);
    end_settling(operation);
}

static void begin_settling(struct operation *operation)
{
    operation->settling = true;
    uv_timer_init(&operation->worker->loop, &operation->timer);
    operation->timer.data = operation;
    uv_timer_start(&operation->timer, on_settle_timeout, SETTLE_MS, 0);
}

/* --- Start --- */

static void start(struct operation *operation)
{
    struct gt_worker *worker = operation->worker;
    struct slot *slot = operation->slot;
    if (operation->kind == STOP || worker->closing) {
        finish(operation);
        return;
    }
    if (operation->kind == CREATE)
        slot->pause_ms = slot->tries = 0; /* somebody has looked at it */
    /* Of the old one a call may just have been left behind: then it is tried again later. */
    if (operation->plan.outcome == GT_CREATE_OK &&
        gt_left_find(worker, slot->name, -1, &operation->plan.err))
        operation->plan.outcome = GT_CREATE_FAILED;
    slot->connector =
        gt_connector_open(worker, slot, &operation->props, operation->updated_ms, &operation->plan);
    if (slot->connector == NULL) {
        gantry_err_set(&operation->err, GANTRY_NO_MEMORY, "no memory for connector %s", slot->name);
        operation->outcome = GT_CREATE_FAILED;
        finish(operation);
        return;
    }
    if (operation->kind == START) {
        finish(operation);
        return;
    }
    begin_settling(operation);
    gt_connector_await(slot->connector, end_settling, operation);
}

static void on_old_stopped(void *arg)
{
    struct operation *operation = arg;
    operation->slot->connector = NULL;
    start(operation);
}

static void stop_old(struct operation *operation)
{
    if (operation->slot->connector != NULL) {
        if (operation->kind != STOP)
            gt_connector_replaced(operation->slot->connector, &operation->plan);
        gt_connector_close(operation->slot->connector, on_old_stopped, operation);
    } else {
        start(operation);
    }
}

/* --- Store --- */

static void on_committed_mail(struct gt_mail *mail)
{
    struct operation *operation =
        (struct operation *)((char *)mail - offsetof(struct operation, committed_mail));
    if (operation->commit.err.code != 0)
        refuse(operation, GT_CREATE_FAILED, &operation->commit.err);
    else
        stop_old(operation);
}

/* Thread: the committer. */
static void on_committed(struct gt_commit *commit)
{
    struct operation *operation =
        (struct operation *)((char *)commit - offsetof(struct operation, commit));
    gt_mailbox_send(&operation->worker->mailbox, &operation->committed_mail);
}

static const struct gt_commit_ops config_ops = {.done = on_committed};

/* --- In a cluster: ask all for it, and wait until it comes back --- */

static int add_json(struct gt_buf *buf, const struct gt_props *props, size_t *ret_len)
{
    size_t from = buf->len;
    int code = gt_json_add_props(buf, props);
    *ret_len = buf->len - from;
    return code;
}

/* As the Java worker has it, whose consistent hash is of the whole of it. */
static int add_task_json(struct gt_buf *buf, const struct operation *operation, size_t task,
                         size_t *ret_len)
{
    const struct gt_connector_class *klass = operation->plan.klass;
    struct gt_props props;
    char updated[32];
    gt_props_init(&props);
    snprintf(updated, sizeof updated, "%lld", (long long)operation->updated_ms);
    int code = gt_props_copy(&props, &operation->plan.tasks[task].props);
    if (code == 0 && klass != NULL)
        code = gt_props_set(&props, "task-class", klass->connector->task_class);
    if (code == 0)
        code = gt_props_set(&props, "update-timestamp", updated);
    if (code == 0)
        code = add_json(buf, &props, ret_len);
    gt_props_deinit(&props);
    return code;
}

static int ask_config(struct operation *operation, struct gantry_err *err)
{
    struct plan *plan = &operation->plan;
    size_t count = plan->outcome == GT_CREATE_OK ? plan->task_count : 0, len = 0;
    bool empty = plan->outcome == GT_CREATE_OK && count == 0;
    struct gantry_view *tasks = calloc(count + 1, sizeof *tasks);
    size_t *lens = calloc(count + 1, sizeof *lens);
    struct gt_buf json;
    gt_buf_init(&json, 8 << 20);
    int code =
        tasks == NULL || lens == NULL ? GANTRY_NO_MEMORY : add_json(&json, &operation->props, &len);
    for (size_t i = 0; i < count && code == 0; i++)
        code = add_task_json(&json, operation, i, &lens[i]);
    /* One that cannot be split here has one task, which says why, or runs where it can. */
    if (code == 0 && empty) {
        gt_buf_add_str(&json, "{}"); /* stands for no work: whoever owns it has the connector */
        lens[count++] = 2;
        code = json.error;
    }
    if (code == 0 && count == 0)
        code = add_json(&json, &operation->props, &lens[count++]);
    if (code != 0) {
        gantry_err_set(err, code, "no memory for the configuration");
    } else {
        size_t at = len;
        for (size_t i = 0; i < count; i++) {
            tasks[i] = (struct gantry_view){json.data + at, lens[i]};
            at += lens[i];
        }
        code = gt_cluster_put_config(operation->worker->cluster, operation->slot->name,
                                     operation->updated_ms, (struct gantry_view){json.data, len},
                                     tasks, count, err);
    }
    gt_buf_deinit(&json);
    free(tasks);
    free(lens);
    return code;
}

static void ask_cluster(struct operation *operation)
{
    struct gantry_err err = {0};
    int code = operation->kind == CREATE ? ask_config(operation, &err)
                                         : gt_cluster_delete_config(operation->worker->cluster,
                                                                    operation->slot->name, &err);
    if (code != 0) {
        refuse(operation, GT_CREATE_FAILED, &err);
        return;
    }
    operation->confirming = true;
    begin_settling(operation);
}

static void look_for_settled(struct operation *operation)
{
    struct gt_worker *worker = operation->worker;
    const char *name = operation->slot->name;
    if (!operation->settling || operation->confirming)
        return;
    /* Whoever stops a connector may use its files as soon as he has the answer. */
    if (operation->kind == STOP ? gt_shared_gone(worker, name) : gt_shared_settled(worker, name))
        end_settling(operation);
}

void gt_operation_confirmed(struct slot *slot, int64_t updated_ms, bool removed)
{
    struct operation *operation = slot->head;
    if (operation == NULL || !operation->confirming)
        return;
    if (operation->kind == STOP ? removed : !removed && operation->updated_ms == updated_ms)
        operation->confirming = false;
}

bool gt_operation_split_here(const struct slot *slot, int64_t updated_ms)
{
    const struct operation *operation = slot->head;
    return operation != NULL && operation->confirming && operation->kind == CREATE &&
           operation->updated_ms == updated_ms && operation->plan.split;
}

void gt_operation_replaces(struct slot *slot, int64_t updated_ms)
{
    const struct operation *operation = slot->head;
    if (operation != NULL && operation->confirming && operation->kind == CREATE &&
        operation->updated_ms == updated_ms)
        gt_connector_replaced(slot->connector, &operation->plan);
}

bool gt_operation_follows(const struct slot *slot)
{
    const struct operation *operation = slot->head;
    return operation != NULL && slot->connector != NULL &&
           gt_operation_split_here(slot, operation->updated_ms) &&
           gt_connector_is_of(slot->connector, &operation->plan);
}

void gt_operations_look(struct gt_worker *worker)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (worker->operations > 0 && gt_map_next(&worker->slots, &cursor, &key, &value)) {
        struct slot *slot = value;
        if (slot->head != NULL)
            look_for_settled(slot->head);
    }
}

/* --- Alone: the store has it --- */

static void add_config(struct operation *operation)
{
    struct gt_props stored;
    struct gt_buf value;
    char updated[32];
    gt_props_init(&stored);
    gt_buf_init(&value, 8 << 20);
    snprintf(updated, sizeof updated, "%lld", (long long)operation->updated_ms);
    int code = gt_props_copy(&stored, &operation->props);
    if (code == 0)
        code = gt_props_set(&stored, "update-timestamp", updated);
    if (code == 0)
        code = gt_json_add_props(&value, &stored);
    if (code == 0)
        gt_commit_put(&operation->commit, GT_TABLE_CONNECTORS,
                      gantry_view_of(operation->slot->name), gt_buf_view(&value));
    else
        operation->commit.changes.error = code;
    gt_buf_deinit(&value);
    gt_props_deinit(&stored);
}

static void store(struct operation *operation)
{
    if (operation->worker->cluster != NULL) {
        ask_cluster(operation);
        return;
    }
    if (operation->kind == CREATE)
        add_config(operation);
    else
        gt_commit_delete(&operation->commit, GT_TABLE_CONNECTORS,
                         gantry_view_of(operation->slot->name));
    operation->committed_mail.run = on_committed_mail;
    struct gantry_err err = {0};
    if (gt_store_submit(operation->worker->store, &operation->commit, &err) != 0)
        refuse(operation, GT_CREATE_FAILED, &err);
}

/* --- Check --- */

/* What a check needs: its own, for a plugin may never come back from it. */
struct checking {
    struct gt_job job;
    struct operation *operation; /* NULL: it was answered without it */
    struct gt_worker *worker;
    char *name; /* owned */
    enum kind kind;
    enum gt_create_check check;
    struct gt_props props;
    struct plan plan;
    enum gt_create_outcome outcome;
    struct left *left; /* NULL: it is not late */
};

static void free_checking(struct checking *checking)
{
    gt_plan_deinit(&checking->plan);
    gt_props_deinit(&checking->props);
    free(checking->name);
    free(checking);
}

/* Thread: one of the jobs'. */
static void run_check(struct gt_job *job)
{
    struct checking *checking = (struct checking *)job;
    struct gt_registry *registry = checking->worker->registry;
    if (checking->kind == HOLD) {
        gt_plan_split(&checking->plan, checking->name, &checking->props);
        return;
    }
    if (checking->check == GT_CHECK_CLASS_2019) {
        if (!gt_plan_check_2019(&checking->plan, registry, &checking->props))
            return;
        /* What the Java worker looks at only while the task runs does not decide the answer. */
        checking->outcome = GT_CREATE_OK;
    }
    gt_plan_make(&checking->plan, registry, checking->name, &checking->props);
}

/* The connector may be another one now, or none: a cluster does not wait for operations. */
static void after_hold(struct operation *operation)
{
    struct connector *connector = operation->slot->connector;
    bool holds = connector != NULL && gt_connector_holds(connector) &&
                 gt_connector_is_of(connector, &operation->plan);
    bool same = holds && gt_props_equal(gt_connector_props(connector), &operation->props, NULL);
    if (same)
        gt_connector_was_held(connector, &operation->plan);
    else if (!holds)
        take_back(operation->worker, operation->slot->name, &operation->plan);
    finish(operation);
}

static void after_check(struct operation *operation)
{
    struct plan *plan = &operation->plan;
    struct gantry_err closed;
    if (operation->kind == HOLD) {
        after_hold(operation);
        return;
    }
    gantry_err_set(&closed, GANTRY_CLOSED, "the worker is stopping");
    if (operation->worker->closing) {
        refuse(operation, GT_CREATE_FAILED, &closed);
        return;
    }
    bool tolerated = operation->kind == START || (operation->check == GT_CHECK_CLASS_2019 &&
                                                  operation->outcome == GT_CREATE_OK);
    if (plan->outcome != GT_CREATE_OK && !tolerated) {
        operation->missing_key = plan->missing_key;
        refuse(operation, plan->outcome, &plan->err);
        return;
    }
    if (operation->kind == CREATE)
        store(operation);
    else
        stop_old(operation);
}

static void on_checked(struct gt_mail *mail)
{
    struct checking *checking =
        (struct checking *)((char *)mail - offsetof(struct checking, job.done));
    struct operation *operation = checking->operation;
    struct gt_worker *worker = checking->worker;
    if (operation != NULL) {
        gt_plan_deinit(&operation->plan);
        operation->plan = checking->plan;
        operation->outcome = checking->outcome;
        gt_plan_init(&checking->plan);
    } else {
        if (checking->left != NULL)
            gt_left_remove(checking->left);
        take_back(worker, checking->name, &checking->plan);
    }
    free_checking(checking);
    if (operation != NULL)
        after_check(operation);
}

/* It cannot be checked, for that reason. */
static void check_failed(struct operation *operation, const struct gantry_err *err)
{
    operation->plan.outcome = GT_CREATE_FAILED;
    operation->plan.err = *err;
    operation->outcome = GT_CREATE_FAILED;
    after_check(operation);
}

static void on_check_late(struct gt_mail *mail)
{
    struct checking *checking =
        (struct checking *)((char *)mail - offsetof(struct checking, job.late));
    struct operation *operation = checking->operation;
    struct gantry_err err;
    checking->operation = NULL;
    checking->left = gt_left_add(checking->worker, checking->name, -1, NULL);
    gantry_err_set(&err, GANTRY_TIMEOUT,
                   "the plugin does not come back from loading, validate() or split() "
                   "(task.call.timeout.ms)");
    check_failed(operation, &err);
}

static void check(struct operation *operation)
{
    struct gantry_err err = {0};
    struct gt_worker *worker = operation->worker;
    struct checking *checking = NULL;
    if (gt_left_find(worker, operation->slot->name, -1, &err)) {
        check_failed(operation, &err);
        return;
    }
    checking = calloc(1, sizeof *checking);
    if (checking != NULL) {
        *checking = (struct checking){
            .job = {.run = run_check,
                    .to = &worker->mailbox,
                    .done.run = on_checked,
                    .late.run = on_check_late},
            .operation = operation,
            .worker = worker,
            .name = strdup(operation->slot->name),
            .kind = operation->kind,
            .check = operation->check,
            .outcome = operation->check == GT_CHECK_CLASS_2019 ? GT_CREATE_FAILED : GT_CREATE_OK,
        };
        gt_props_init(&checking->props);
        gt_plan_init(&checking->plan);
        if (operation->kind == HOLD)
            checking->plan.klass = gt_class_hold(gt_connector_class_of(operation->slot->connector));
        if (checking->name != NULL && gt_props_copy(&checking->props, &operation->props) == 0) {
            gt_jobs_submit(worker->jobs, &checking->job);
            return;
        }
        free_checking(checking);
    }
    gantry_err_set(&err, GANTRY_NO_MEMORY, "no memory to check connector %s",
                   operation->slot->name);
    check_failed(operation, &err);
}

/* --- Begin --- */

/* The same configuration again is no news, unless the connector does not run: then the request
 * starts it. The Java code of 2019 compares only. */
static bool is_same(const struct operation *operation)
{
    const struct connector *connector = operation->slot->connector;
    return connector != NULL && !operation->again &&
           gt_props_equal(gt_connector_props(connector), &operation->props, NULL) &&
           (operation->check == GT_CHECK_CLASS_2019 || gt_connector_running(connector));
}

static void begin(struct operation *operation)
{
    struct gantry_err err;
    if (operation->worker->closing) {
        gantry_err_set(&err, GANTRY_CLOSED, "the worker is stopping");
        refuse(operation, GT_CREATE_FAILED, &err);
        return;
    }
    switch (operation->kind) {
    case CREATE:
        if (is_same(operation)) {
            operation->outcome = GT_CREATE_SAME;
            finish(operation);
            return;
        }
        check(operation);
        break;
    case START:
        check(operation);
        break;
    case HOLD: {
        const struct connector *connector = operation->slot->connector;
        if (connector == NULL || gt_connector_class_of(connector) == NULL ||
            !gt_connector_holds(connector) ||
            gt_props_copy(&operation->props, gt_connector_props(connector)) != 0)
            finish(operation);
        else
            check(operation);
        break;
    }
    case STOP:
        if (operation->slot->connector == NULL)
            finish(operation);
        else
            store(operation);
        break;
    }
}

/* Begin the name's operations one by one until one takes time. Those that end at once come back
 * here through finish(): the loop takes them, however many wait, and not a stack as deep as they
 * are many. Without any, and without a connector, the name is forgotten. */
static void run_slot(struct slot *slot)
{
    if (slot->looping)
        return;
    slot->looping = true;
    while (slot->head != NULL && !slot->under_way) {
        slot->under_way = true;
        begin(slot->head);
    }
    slot->looping = false;
    if (slot->look_again && slot->head == NULL && slot->connector != NULL && !slot->closing) {
        slot->look_again = false;
        gt_connector_look_again(slot->connector);
    }
    if (slot->broken != NULL && slot->head == NULL) {
        if (slot->connector != NULL && !slot->closing)
            gt_connector_break(slot->connector, slot->broken);
        free(slot->broken);
        slot->broken = NULL;
    }
    if (slot->split_again && slot->head == NULL && slot->connector != NULL && !slot->closing) {
        slot->split_again = false;
        gt_connector_split_again(slot->connector);
    }
    gt_slot_release(slot);
}

void gt_slot_release(struct slot *slot)
{
    if (slot->looping || slot->head != NULL || slot->connector != NULL)
        return;
    gt_map_remove(&slot->worker->slots, gantry_view_of(slot->name));
    free(slot->broken);
    free(slot->name);
    free(slot);
}

static struct operation *new_operation(struct gt_worker *worker, enum kind kind)
{
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation == NULL)
        return NULL;
    operation->worker = worker;
    operation->kind = kind;
    gt_props_init(&operation->props);
    gt_plan_init(&operation->plan);
    gt_commit_init(&operation->commit, &config_ops);
    return operation;
}

static int enqueue(struct operation *operation, const char *name)
{
    struct slot *slot = gt_slot_get(operation->worker, name);
    if (slot == NULL)
        return GANTRY_NO_MEMORY;
    operation->slot = slot;
    *slot->tail = operation;
    slot->tail = &operation->next;
    operation->worker->operations++;
    run_slot(slot);
    return 0;
}

void gt_operation_create(struct gt_worker *worker, struct gt_request *request)
{
    struct operation *operation = new_operation(worker, CREATE);
    int code =
        operation == NULL ? GANTRY_NO_MEMORY : gt_props_copy(&operation->props, &request->config);
    if (code == 0) {
        operation->request = request;
        operation->check = request->check;
        operation->updated_ms = gt_clock_wall_ms();
        (void)gt_props_remove(&operation->props, "update-timestamp"); /* the worker's own */
        code = enqueue(operation, request->name);
    }
    if (code != 0) {
        if (operation != NULL)
            free_operation(operation);
        request->outcome = GT_CREATE_FAILED;
        gantry_err_set(&request->err, code, "no memory for connector %s", request->name);
        request->done(request);
    }
}

void gt_operation_stop(struct gt_worker *worker, const char *name,
                       void (*done)(void *arg, const struct gantry_err *err), void *arg)
{
    struct gantry_err err = {0};
    struct operation *operation = new_operation(worker, STOP);
    if (operation != NULL) {
        operation->done = done;
        operation->arg = arg;
        if (enqueue(operation, name) == 0)
            return;
        free_operation(operation);
    }
    gantry_err_set(&err, GANTRY_NO_MEMORY, "no memory to stop connector %s", name);
    if (done != NULL)
        done(arg, &err);
}

void gt_operation_start(struct gt_worker *worker, const char *name, struct gt_props *props,
                        int64_t updated_ms)
{
    struct operation *operation = new_operation(worker, START);
    if (operation != NULL) {
        operation->props = *props;
        operation->updated_ms = updated_ms;
        gt_props_init(props);
        if (enqueue(operation, name) == 0)
            return;
        free_operation(operation);
    }
    gt_error("worker", "no memory to start connector=%s", name);
}

void gt_operation_again(struct gt_worker *worker, const char *name, const struct gt_props *props)
{
    struct operation *operation = new_operation(worker, CREATE);
    if (operation != NULL && gt_props_copy(&operation->props, props) == 0) {
        operation->again = true;
        operation->updated_ms = gt_clock_wall_ms();
        if (enqueue(operation, name) == 0)
            return;
    }
    if (operation != NULL)
        free_operation(operation);
    gt_error("worker", "no memory to split the work again connector=%s", name);
}

void gt_operation_hold(struct gt_worker *worker, const char *name)
{
    struct operation *operation = new_operation(worker, HOLD);
    if (operation != NULL && enqueue(operation, name) == 0)
        return;
    if (operation != NULL)
        free_operation(operation);
    gt_error("worker", "no memory to have it live in its plugin connector=%s", name);
}

int gt_operation_show(const struct slot *slot, struct gt_connector_view *view)
{
    const struct operation *operation = slot->head;
    if (slot->connector != NULL || operation == NULL || operation->kind != START)
        return 0;
    const char *class_name = gt_config_value(NULL, &operation->props, "connector.class");
    const struct gt_connector_class *klass =
        class_name != NULL ? gt_registry_find(operation->worker->registry, class_name) : NULL;
    int code = gt_config_show(klass, slot->name, &operation->props, operation->updated_ms, view);
    gt_class_release(klass);
    return code == 0 ? 1 : code;
}

void gt_operations_close(struct gt_worker *worker)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        struct slot *slot = value;
        if (slot->head != NULL && slot->head->settling)
            on_settle_timeout(&slot->head->timer);
    }
}
