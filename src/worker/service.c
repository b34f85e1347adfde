/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from outside, on the control loop: what can be answered at once is, the rest becomes
 * operations. */
#include "worker/internal.h"

#include <stdlib.h>
#include <string.h>

/* --- Looks --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct gt_connector_view *)a)->name,
                  ((const struct gt_connector_view *)b)->name);
}

static int show_slot(const struct slot *slot, struct gt_request *request)
{
    struct gt_connector_view *view = &request->connectors[request->connector_count];
    bool own = request->kind == GT_REQUEST_ALLOCATED;
    int code = slot->connector != NULL ? gt_connector_show(slot->connector, own, view)
                                       : gt_operation_show(slot, view);
    request->connector_count += slot->connector != NULL || code != 0;
    return code < 0 ? code : 0;
}

static int show_one(struct gt_worker *worker, struct gt_request *request)
{
    const struct slot *slot = gt_slot_find(worker, request->name);
    request->connectors = calloc(1, sizeof *request->connectors);
    if (request->connectors == NULL)
        return GANTRY_NO_MEMORY;
    return slot != NULL ? show_slot(slot, request) : 0;
}

static int show_all(struct gt_worker *worker, struct gt_request *request)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    request->connectors = calloc(worker->slots.count + 1, sizeof *request->connectors);
    if (request->connectors == NULL)
        return GANTRY_NO_MEMORY;
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        int code = show_slot(value, request);
        if (code != 0)
            return code;
    }
    qsort(request->connectors, request->connector_count, sizeof *request->connectors, by_name);
    return 0;
}

static int show_members(struct gt_worker *worker, struct gt_request *request)
{
    const char *alone[] = {worker->member};
    const char *const *names = alone;
    size_t count = 1;
    if (worker->cluster != NULL)
        names = gt_cluster_group(worker->cluster, &count);
    request->members = calloc(count + 1, sizeof *request->members);
    if (request->members == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        request->members[i] = strdup(names[i]);
        if (request->members[i] == NULL)
            return GANTRY_NO_MEMORY;
        request->member_count = i + 1;
    }
    return 0;
}

/* --- Stops --- */

static void on_stopped(void *arg, const struct gantry_err *err)
{
    struct gt_request *request = arg;
    request->err = *err;
    request->done(request);
}

/* A stop of many: answered with the last of them. */
struct stopping {
    struct gt_request *request;
    size_t left;
    struct gantry_err err;
};

static void on_one_stopped(void *arg, const struct gantry_err *err)
{
    struct stopping *stopping = arg;
    if (err->code != 0)
        stopping->err = *err;
    if (--stopping->left > 0)
        return;
    stopping->request->err = stopping->err;
    stopping->request->done(stopping->request);
    free(stopping);
}

static void stop_all(struct gt_worker *worker, struct gt_request *request)
{
    struct stopping *stopping = calloc(1, sizeof *stopping);
    char **names = calloc(worker->slots.count + 1, sizeof *names);
    size_t count = 0, cursor = 0;
    struct gantry_view key;
    void *value;
    if (stopping == NULL || names == NULL) {
        free(stopping);
        free(names);
        gantry_err_set(&request->err, GANTRY_NO_MEMORY, "no memory to stop all connectors");
        request->done(request);
        return;
    }
    /* A stop may remove its slot, so the names are taken first. */
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        names[count] = strdup(((const struct slot *)value)->name);
        count += names[count] != NULL;
    }
    stopping->request = request;
    stopping->left = count + 1;
    for (size_t i = 0; i < count; i++) {
        gt_operation_stop(worker, names[i], on_one_stopped, stopping);
        free(names[i]);
    }
    free(names);
    on_one_stopped(stopping, &(struct gantry_err){0});
}

/* --- Dispatch --- */

static void run_request(struct gt_mail *mail)
{
    struct gt_request *request =
        (struct gt_request *)((char *)mail - offsetof(struct gt_request, mail));
    struct gt_worker *worker = request->worker;
    int code = 0;
    if (worker->closing) {
        request->outcome = GT_CREATE_FAILED;
        gantry_err_set(&request->err, GANTRY_CLOSED, "the worker is stopping");
        request->done(request);
        return;
    }
    switch (request->kind) {
    case GT_REQUEST_CREATE:
        gt_operation_create(worker, request);
        return;
    case GT_REQUEST_STOP:
        gt_operation_stop(worker, request->name, on_stopped, request);
        return;
    case GT_REQUEST_STOP_ALL:
        stop_all(worker, request);
        return;
    case GT_REQUEST_RELOAD:
        gt_worker_reload(worker, request);
        return;
    case GT_REQUEST_STATUS: {
        const struct slot *slot = gt_slot_find(worker, request->name);
        request->running =
            slot != NULL && slot->connector != NULL && gt_connector_running(slot->connector);
        if (!request->running && slot != NULL && slot->connector != NULL)
            request->reason = gt_connector_reason(slot->connector);
        break;
    }
    case GT_REQUEST_CONFIG:
        code = show_one(worker, request);
        break;
    case GT_REQUEST_CONFIGS:
    case GT_REQUEST_ALLOCATED:
        code = show_all(worker, request);
        break;
    case GT_REQUEST_CLUSTER:
        code = show_members(worker, request);
        break;
    }
    if (code != 0)
        gantry_err_set(&request->err, code, "no memory for the reply");
    request->done(request);
}

void gt_worker_submit(struct gt_worker *worker, struct gt_request *request)
{
    request->worker = worker;
    request->mail.run = run_request;
    gt_mailbox_send(&worker->mailbox, &request->mail);
}
