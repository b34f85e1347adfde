/* SPDX-License-Identifier: Apache-2.0 */
/** The REST listener: HTTP in, requests to the control loop, replies out.
 *
 *  One thread of its own runs a libuv loop with all connections. A request is parsed there, goes to
 * the control loop as a gt_request, and is answered when its done() has sent it back; no thread
 * waits. Connections are kept alive. */
#ifndef GT_REST_REST_H
#define GT_REST_REST_H

#include "worker/service.h"

struct gt_rest;

enum gt_rest_dialect { GT_REST_MANUAL, GT_REST_CODE_2019 };

/** Borrowed for the call of gt_rest_start. */
struct gt_rest_settings {
    const char *address; /* numeric IPv4 or IPv6, e.g. "127.0.0.1" */
    int port;            /* 0: any free port, see gt_rest_port */
    enum gt_rest_dialect dialect;
    const char *token;         /* NULL: none. Needed beyond loopback unless insecure */
    bool insecure;             /* the operator says so */
    const char *allowed_hosts; /* further names that a Host header may have, separated by commas;
                                  NULL: none */
    int max_connections;       /* 0: default 256 */
    int idle_timeout_s; /* 0: default 30; a client that sends or reads nothing for so long is closed
                         */
};

/** "manual" or "code-2019". 0 or GANTRY_INVALID with the known names. */
int gt_rest_dialect_parse(const char *name, enum gt_rest_dialect *ret, struct gantry_err *err);

/** Open the listener and begin to answer. 0; GANTRY_BUSY port in use; GANTRY_DENIED beyond loopback
 * without token; GANTRY_INVALID address. Each text names the setting. */
int gt_rest_start(const struct gt_rest_settings *settings, struct gt_worker *worker,
                  struct gt_rest **ret, struct gantry_err *err);
/** The port that is open. */
int gt_rest_port(const struct gt_rest *rest);
/** Take no new request; connections are closed, requests that the worker still has are waited for.
 * The control loop must still be running, or have answered them all. NULL is fine. */
void gt_rest_stop(struct gt_rest *rest);

struct gt_settings;

/** Start the listener that @p settings describe and let it end with the worker (gt_worker_attach).
 * *ret stays valid until then. */
int gt_rest_serve(struct gt_worker *worker, const struct gt_settings *settings,
                  struct gt_rest **ret, struct gantry_err *err);

#endif
