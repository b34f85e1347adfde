/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: a first look when the worker opens, others on request (/plugin/reload, SIGHUP).
 * Looking reads files and loads plugins, so it is done by a helper thread, beside the tasks that
 * run. One look at a time: who asks meanwhile is answered by one more, which begins after. */
#include "worker/internal.h"

#include "base/log.h"
#include "plugin/so_loader.h"
#include "worker/plugin_list.h"
#include <stdlib.h>

struct reload {
    uv_work_t work;
    struct gt_worker *worker;
    struct gt_request *requests; /* to be answered */
    struct gantry_err err;
};

static void begin(struct gt_worker *worker);

static void tell(const struct gt_scan_counts *counts)
{
    gt_info("plugin",
            "plugin files found=%zu loaded=%zu unchanged=%zu refused=%zu left=%zu removed=%zu",
            counts->found, counts->loaded, counts->unchanged, counts->refused, counts->left,
            counts->removed);
}

/* Thread: main before the loop runs, then a helper thread. */
static int scan(struct gt_worker *worker, struct gantry_err *err)
{
    struct gt_scan_counts counts;
    struct gantry_err why = {0};
    int code = gt_registry_scan(worker->registry, &counts, err);
    if (code != 0)
        return code;
    if (worker->settings->plugin_paths != NULL)
        tell(&counts);
    if (gt_plugin_list_write(worker->registry, gt_store_folder(worker->store), &why) != 0)
        gt_warn("plugin", "`gantry plugin list` will not show this: %s", why.text);
    return 0;
}

static char own_program[] = "/proc/self/exe";

int gt_worker_open_files(struct gt_worker *worker, struct gantry_err *err)
{
    const struct gt_settings *settings = worker->settings;
    char *copies = NULL;
    struct gt_plugin_files files = {
        .paths = settings->plugin_paths,
        .prefer_files = strcmp(settings->plugin_prefer, "file") == 0,
        .in_worker = strcmp(settings->plugin_isolation, "none") == 0,
        .loaders = {.in_worker[GT_PLUGIN_SO] = {gt_so_load, own_program},
                    .hosted[GT_PLUGIN_SO] = {gt_host_load, worker->hosts},
                    .hosted[GT_PLUGIN_JAR] = {gt_host_load, worker->hosts},
                    .hosted[GT_PLUGIN_JARS] = {gt_host_load, worker->hosts},
                    .hosted[GT_PLUGIN_EXECUTABLE] = {gt_host_load, worker->hosts}},
    };
    if (asprintf(&copies, "%s/plugins", gt_store_folder(worker->store)) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    files.copies = copies;
    int code = gt_registry_set_files(worker->registry, &files);
    free(copies);
    return code == 0 ? scan(worker, err) : gantry_err_set(err, code, "out of memory");
}

/* Thread: libuv's helper threads. */
static void run_reload(uv_work_t *work)
{
    struct reload *reload = work->data;
    (void)scan(reload->worker, &reload->err);
}

static void answer(struct gt_request *requests, const struct gantry_err *err)
{
    while (requests != NULL) {
        struct gt_request *request = requests;
        requests = request->next;
        request->err = *err;
        request->done(request);
    }
}

static void look_again(struct gt_worker *worker)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        struct slot *slot = value;
        if (slot->connector != NULL)
            gt_connector_look_again(slot->connector);
    }
}

static void after_reload(uv_work_t *work, int status)
{
    struct reload *reload = work->data;
    struct gt_worker *worker = reload->worker;
    (void)status; /* nothing cancels it */
    if (reload->err.code == 0 && !worker->closing)
        look_again(worker);
    else if (reload->err.code != 0)
        gt_error("plugin", "the plugin folders were not looked at: %s", reload->err.text);
    answer(reload->requests, &reload->err);
    free(reload);
    worker->reloading = false;
    if (worker->reload_again)
        begin(worker);
    worker->operations--;
    gt_worker_look_for_end(worker);
}

/* Look, for all who wait. */
static void begin(struct gt_worker *worker)
{
    struct reload *reload = calloc(1, sizeof *reload);
    struct gt_request *requests = worker->reload_waiting;
    struct gantry_err err = {0};
    worker->reload_waiting = NULL;
    worker->reload_again = false;
    if (worker->closing)
        gantry_err_set(&err, GANTRY_CLOSED, "the worker is stopping");
    else if (reload == NULL)
        gantry_err_set(&err, GANTRY_NO_MEMORY, "no memory to look at the plugin folders");
    if (err.code != 0) {
        free(reload);
        answer(requests, &err);
        return;
    }
    reload->worker = worker;
    reload->requests = requests;
    reload->work.data = reload;
    worker->reloading = true;
    worker->operations++;
    uv_queue_work(&worker->loop, &reload->work, run_reload, after_reload);
}

void gt_worker_reload(struct gt_worker *worker, struct gt_request *request)
{
    if (request != NULL) {
        request->next = worker->reload_waiting;
        worker->reload_waiting = request;
    }
    if (worker->reloading)
        worker->reload_again = true;
    else
        begin(worker);
}

/* --- A class that is wanted before it is loaded, in a cluster --- */

struct loading {
    struct gt_job job;
    struct gt_worker *worker;
    char *name; /* owned */
    struct gt_props props;
    struct gantry_err err;
    bool late;
    struct left *left;
};

static void free_loading(struct loading *loading)
{
    gt_props_deinit(&loading->props);
    free(loading->name);
    free(loading);
}

/* Thread: one of the jobs'. The registry keeps what is loaded here. */
static void run_loading(struct gt_job *job)
{
    struct loading *loading = (struct loading *)job;
    const struct gt_connector_class *klass = NULL;
    int code =
        gt_plan_class(loading->worker->registry, &loading->props, false, &klass, &loading->err);
    if (code != 0 && loading->err.code == 0)
        gantry_err_set(&loading->err, code, "its plugin is gone");
    gt_class_release(klass);
}

static void end_loading(struct gt_worker *worker, const char *name, const struct gantry_err *err)
{
    struct slot *slot = gt_slot_find(worker, name);
    if (slot != NULL && slot->connector != NULL && !worker->closing) {
        if (err->code == 0)
            gt_connector_look_again(slot->connector);
        else
            gt_connector_class_failed(slot->connector, err);
    }
    worker->operations--;
    gt_worker_look_for_end(worker);
}

static void on_loaded(struct gt_mail *mail)
{
    struct loading *loading = (struct loading *)((char *)mail - offsetof(struct loading, job.done));
    if (!loading->late)
        end_loading(loading->worker, loading->name, &loading->err);
    else if (loading->left != NULL)
        gt_left_remove(loading->left);
    free_loading(loading);
}

static void on_loading_late(struct gt_mail *mail)
{
    struct loading *loading = (struct loading *)((char *)mail - offsetof(struct loading, job.late));
    struct gantry_err err;
    loading->late = true;
    loading->left = gt_left_add(loading->worker, loading->name, -1, NULL);
    gantry_err_set(&err, GANTRY_TIMEOUT, "its plugin does not load (task.call.timeout.ms)");
    end_loading(loading->worker, loading->name, &err);
}

void gt_worker_load_class(struct gt_worker *worker, const char *name, const struct gt_props *props)
{
    struct loading *loading = calloc(1, sizeof *loading);
    if (loading != NULL) {
        loading->worker = worker;
        loading->job.run = run_loading;
        loading->job.to = &worker->mailbox;
        loading->job.done.run = on_loaded;
        loading->job.late.run = on_loading_late;
        gt_props_init(&loading->props);
        loading->name = strdup(name);
        if (loading->name != NULL && gt_props_copy(&loading->props, props) == 0) {
            worker->operations++;
            gt_jobs_submit(worker->jobs, &loading->job);
            return;
        }
        free_loading(loading);
    }
    gt_error("plugin", "no memory to load the plugin of connector=%s", name);
}
