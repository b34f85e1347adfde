/* SPDX-License-Identifier: Apache-2.0 */
/** What the worker does on request: the one service layer below all REST dialects.
 *
 *  A caller on any thread fills a gt_request and submits it; the control loop answers by calling
 * done() exactly once, on the control thread. The request's memory is the caller's until then and
 * again after. */
#ifndef GT_WORKER_SERVICE_H
#define GT_WORKER_SERVICE_H

#include "base/arena.h"
#include "base/mailbox.h"
#include "base/map.h"

struct gt_worker;

enum gt_request_kind {
    GT_REQUEST_CREATE, /* name, config -> outcome */
    GT_REQUEST_STOP,   /* name; unknown names are fine */
    GT_REQUEST_STOP_ALL,
    GT_REQUEST_RELOAD,    /* look at the plugin folders again; answered when all is taken up */
    GT_REQUEST_STATUS,    /* name -> running, reason */
    GT_REQUEST_CONFIG,    /* name -> connectors holds that one, or none */
    GT_REQUEST_CONFIGS,   /* -> connectors, all, sorted by name */
    GT_REQUEST_CLUSTER,   /* -> members, sorted */
    GT_REQUEST_ALLOCATED, /* -> connectors, those that this worker runs, sorted by name */
};

/** How a create ended. */
enum gt_create_outcome {
    GT_CREATE_OK,            /* stored and started (or: 5 s passed and it is still starting) */
    GT_CREATE_SAME,          /* exists with the same configuration and runs */
    GT_CREATE_MISSING_KEY,   /* err.text: the sentence; missing_key: the canonical key */
    GT_CREATE_UNKNOWN_CLASS, /* no connector of that class */
    GT_CREATE_INVALID, /* refused by the table or the connector; err.text has all findings, "; "
                          between */
    GT_CREATE_FAILED,  /* could not be stored, worker is stopping, ... */
};

/** How strictly a create is checked. */
enum gt_create_check {
    GT_CHECK_FULL,      /* everything that can be known now */
    GT_CHECK_CLASS_2019 /* class and required `filename`-like keys that the Java connector's own
                           check names; the rest is stored and shows as a FAILED task (dialect
                           code-2019) */
};

/** One task in a reply. */
struct gt_task_view {
    struct gt_props config; /* as the user wrote it, then what the connector and the worker added */
    const char *state;      /* static text: RUNNING, FAILED, ... */
    char *reason;           /* owned: why FAILED; NULL: none */
};

/** One connector in a reply. Everything is owned by the request and freed by gt_request_deinit().
 */
struct gt_connector_view {
    char *name;
    struct gt_props config; /* as the user wrote it, then update-timestamp */
    struct gt_task_view *tasks;
    size_t task_count;
    bool running; /* every task is RUNNING, and there is at least one */
};

struct gt_request {
    struct gt_mail mail;     /* used by submit */
    struct gt_request *next; /* the worker's, while it waits */
    struct gt_worker *worker;
    enum gt_request_kind kind;
    enum gt_create_check check;
    char *name;             /* owned, NULL when the kind needs none; any bytes but NUL */
    struct gt_props config; /* CREATE: keys and values as the user wrote them, in that order */
    void (*done)(struct gt_request *request);
    void *arg; /* the caller's */

    /* The reply. */
    enum gt_create_outcome outcome;
    struct gantry_err err; /* code 0: fine */
    char *missing_key;     /* owned; the canonical key, or NULL */
    bool running;
    char *reason; /* owned: why it does not run; NULL: it does, or nothing is known */
    struct gt_connector_view *connectors; /* owned */
    size_t connector_count;
    char **members; /* owned */
    size_t member_count;
};

void gt_request_init(struct gt_request *request, enum gt_request_kind kind);
void gt_request_deinit(struct gt_request *request);

/** Hand a request to the control loop. Thread: any. Never blocks, never fails: a worker that is
 * stopping answers with GT_CREATE_FAILED / err GANTRY_CLOSED. */
void gt_worker_submit(struct gt_worker *worker, struct gt_request *request);

/** Whether @p name may be a connector's name: not empty, not `stopAll`, no `/`, no control
 * characters, well-formed UTF-8, at most 255 bytes. 0 or GANTRY_INVALID with the reason. Thread:
 * any. */
int gt_connector_name_check(const char *name, struct gantry_err *err);

#endif
