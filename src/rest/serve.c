/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's listener, by its settings. */
#include "rest/rest.h"
#include "worker/worker.h"

static void stop_listener(void *arg)
{
    gt_rest_stop(arg);
}

int gt_rest_serve(struct gt_worker *worker, const struct gt_settings *settings,
                  struct gt_rest **ret, struct gantry_err *err)
{
    struct gt_rest_settings rest = {
        .address = settings->rest_address,
        .port = settings->rest_port,
        .token = settings->rest_token,
        .insecure = settings->rest_insecure,
        .allowed_hosts = settings->rest_hosts,
    };
    int code = gt_rest_dialect_parse(settings->rest_dialect, &rest.dialect, err);
    if (code == 0)
        code = gt_rest_start(&rest, worker, ret, err);
    if (code != 0)
        return code;
    gt_worker_attach(worker, stop_listener, *ret);
    return 0;
}
