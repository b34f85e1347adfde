/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's life, from its settings to its end. */
#include "cli/serve.h"

#include "base/log.h"
#include "rest/rest.h"
#include "worker/worker.h"

int gt_serve_load(const struct gt_command *command, const char *file,
                  const struct gt_props *options, bool quiet, struct gt_settings *ret)
{
    struct gt_findings findings;
    enum gantry_log_level level;
    struct gantry_err err = {0, ""};
    int status = GT_EXIT_OK;

    gt_findings_init(&findings);
    int rc = gt_settings_load(file, options, ret, &findings, &err);
    for (size_t i = 0; i < findings.count; i++) {
        if (!findings.items[i].warning)
            fprintf(stderr, "gantry %s: %s\n", command->name, findings.items[i].text);
        else if (!quiet)
            gt_warn("settings", "%s", findings.items[i].text);
    }
    if (rc == GANTRY_INVALID && gt_findings_errors(&findings) > 0) {
        status = GT_EXIT_USAGE;
    } else if (rc != 0) {
        (void)gt_command_failed(command,
                                &err); /* the file cannot be used: that is the configuration, too */
        status = rc == GANTRY_NO_MEMORY ? GT_EXIT_FAILED : GT_EXIT_USAGE;
    } else if (gt_log_level_parse(ret->log_level, &level) == 0) {
        gt_log_set_level(level);
    }
    gt_findings_deinit(&findings);
    return status;
}

static int open_listener(const struct gt_settings *settings, struct gt_worker *worker,
                         struct gt_rest **ret, struct gantry_err *err)
{
    struct gt_rest_settings rest = {
        .address = settings->rest_address,
        .port = settings->rest_port,
        .token = settings->rest_token,
        .insecure = settings->rest_insecure,
        .allowed_hosts = settings->rest_hosts,
    };
    struct gantry_err cause = {0, ""};
    int rc = gt_rest_dialect_parse(settings->rest_dialect, &rest.dialect, err);
    if (rc != 0)
        return rc;
    rc = gt_rest_start(&rest, worker, ret, &cause);
    if (rc == GANTRY_BUSY)
        return gantry_err_set(err, rc, "%.400s (httpPort=0: any)", cause.text);
    return rc == 0 ? 0 : gantry_err_set(err, rc, "%s", cause.text);
}

static void stop_listener(void *arg)
{
    gt_rest_stop(arg);
}

struct serving {
    void (*ready)(void *arg, int port);
    void *arg;
    struct gt_rest *rest;
};

static void on_ready(void *arg)
{
    const struct serving *serving = arg;
    serving->ready(serving->arg, gt_rest_port(serving->rest));
}

int gt_serve(const struct gt_command *command, const struct gt_settings *settings,
             void (*ready)(void *arg, int port), void *arg)
{
    struct gt_worker *worker = NULL;
    struct gt_rest *rest = NULL;
    struct gantry_err err = {0, ""};
    struct serving serving = {ready, arg, NULL};

    int rc = gt_worker_open(settings, &worker, &err);
    if (rc != 0)
        return gt_command_failed(command, &err);
    rc = open_listener(settings, worker, &rest, &err);
    if (rc == 0) {
        gt_worker_attach(worker, stop_listener, rest);
        gt_info("worker", "listening address=%s port=%d store=%s", settings->rest_address,
                gt_rest_port(rest), settings->store);
        serving.rest = rest;
        if (ready != NULL) { /* somebody sits before it */
            gt_worker_when_ready(worker, on_ready, &serving);
            gt_worker_end_on_hangup(worker);
        }
        rc = gt_worker_run(worker, &err);
    }
    gt_worker_close(worker);
    return rc == 0 ? GT_EXIT_OK : gt_command_failed(command, &err);
}
