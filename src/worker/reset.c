/* SPDX-License-Identifier: Apache-2.0 */
/* `gantry connector reset` in a cluster: a visitor reads the cluster log up to its end, into a
 * store that lives as long as he looks, and appends RESET when nobody runs the connector. That he
 * is right about this is decided by the log alone: the entry counts if it is still so when it
 * stands there. */
#include "worker/internal.h"

#include "store/tables.h"
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAIT_MS = 30000 };

struct visit {
    const char *connector;
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    uv_timer_t timer;
    struct gt_store *store;
    struct gt_link *link;
    struct gt_cluster *cluster;
    size_t count; /* entries of the connector */
    bool over;
    struct gantry_err err; /* how it ended; code 0: well */
};

static void on_closed(void *arg)
{
    struct visit *visit = arg;
    uv_close((uv_handle_t *)&visit->timer, NULL);
    gt_mailbox_close(&visit->mailbox, NULL);
}

static void end_visit(struct visit *visit)
{
    if (visit->over)
        return;
    visit->over = true;
    uv_timer_stop(&visit->timer);
    gt_cluster_close(visit->cluster, on_closed, visit);
}

static void on_timeout(uv_timer_t *timer)
{
    struct visit *visit = timer->data;
    const char *trouble = gt_cluster_trouble(visit->cluster);
    gantry_err_set(&visit->err, GANTRY_TIMEOUT,
                   "the cluster's log could not be read within %d s%s%s", WAIT_MS / 1000,
                   *trouble != '\0' ? ": " : "", trouble);
    end_visit(visit);
}

/* --- What the cluster says --- */

static int count_entry(void *arg, struct gantry_view key, struct gantry_view value)
{
    (void)key;
    (void)value;
    ++*(size_t *)arg;
    return 0;
}

static int look_for_owner(void *arg, const struct gt_cluster_task_view *view)
{
    struct visit *visit = arg;
    if (view->owner == NULL)
        return 0;
    return gantry_err_set(&visit->err, GANTRY_BUSY,
                          "%s runs task %u of connector %s; stop the connector "
                          "(/connectors/%s/stop) or that worker. A worker that was killed is "
                          "counted until it is started again or another one joins",
                          view->owner, view->task, view->connector, view->connector);
}

/* The state is the present one. */
static void on_joined(void *arg)
{
    struct visit *visit = arg;
    struct gt_key prefix;
    gt_key_prefix(&prefix, visit->connector);
    int code = gt_store_scan(visit->store, GT_TABLE_POSITIONS, gt_key_view(&prefix), count_entry,
                             &visit->count, &visit->err);
    if (code == 0)
        code = gt_store_scan(visit->store, GT_TABLE_PROGRESS, gt_key_view(&prefix), count_entry,
                             &visit->count, &visit->err);
    if (code == 0)
        code = gt_cluster_tasks(gt_cluster_state_of(visit->cluster), visit->connector,
                                look_for_owner, visit);
    if (code == 0 && visit->count > 0)
        code = gt_cluster_reset(visit->cluster, visit->connector, &visit->err);
    if (code != 0 || visit->count == 0)
        end_visit(visit);
}

static void on_reset(void *arg, bool taken)
{
    struct visit *visit = arg;
    if (!taken)
        gantry_err_set(&visit->err, GANTRY_BUSY,
                       "a worker runs connector %s, or is about to stop it; try again when it "
                       "has stopped",
                       visit->connector);
    end_visit(visit);
}

static void on_failed(void *arg, const struct gantry_err *err)
{
    struct visit *visit = arg;
    visit->err = *err;
    end_visit(visit);
}

static void on_config(void *arg, const char *name, int64_t updated_ms, struct gantry_view json,
                      const struct gantry_view *tasks, size_t task_count)
{
    (void)arg, (void)name, (void)updated_ms, (void)json, (void)tasks, (void)task_count;
}

static void on_changed(void *arg)
{
    (void)arg;
}

static const struct gt_cluster_events events = {
    .config = on_config,
    .changed = on_changed,
    .joined = on_joined,
    .reset = on_reset,
    .failed = on_failed, /* no task is ever a visitor's */
};

/* --- The visit --- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int open_visit(struct visit *visit, const struct gt_settings *settings, const char *folder,
                      struct gantry_err *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "gantry-reset@%ld", (long)getpid()); /* fits */
    int code = gt_store_open_cache(folder, &visit->store, err);
    if (code == 0)
        code = gt_worker_open_link(settings, name, &visit->link, err);
    struct gt_cluster_setup setup = {
        .link = visit->link,
        .store = visit->store,
        .control = &visit->mailbox,
        .loop = &visit->loop,
        .cluster = settings->cluster,
        .member = name,
        .visitor = true,
        .lease_ms = settings->lease_ms,
        .events = &events,
        .arg = visit,
    };
    if (code == 0)
        code = gt_cluster_open(&setup, &visit->cluster, err);
    return code == 0 ? gt_store_start(visit->store, err) : code;
}

static int make_folder(char **ret, struct gantry_err *err)
{
    const char *above = getenv("TMPDIR");
    if (asprintf(ret, "%s/gantry-reset-XXXXXX", above != NULL && *above != '\0' ? above : "/tmp") <
        0) {
        *ret = NULL;
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    }
    if (mkdtemp(*ret) != NULL)
        return 0;
    gantry_err_set(err, GANTRY_IO, "cannot make a folder %s: %m", *ret);
    free(*ret);
    *ret = NULL;
    return GANTRY_IO;
}

int gt_cluster_reset_connector(const struct gt_settings *settings, const char *connector,
                               size_t *ret_count, struct gantry_err *err)
{
    struct visit visit = {.connector = connector};
    char *folder = NULL;
    *ret_count = 0;
    int code = make_folder(&folder, err);
    if (code != 0)
        return code;
    if (uv_loop_init(&visit.loop) != 0 || gt_mailbox_init(&visit.mailbox, &visit.loop) != 0) {
        (void)rmdir(folder); /* empty */
        free(folder);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make a loop");
    }
    uv_timer_init(&visit.loop, &visit.timer);
    visit.timer.data = &visit;
    uv_timer_start(&visit.timer, on_timeout, WAIT_MS, 0);
    code = open_visit(&visit, settings, folder, err);
    if (code != 0) {
        visit.over = true;
        if (visit.cluster != NULL)
            gt_cluster_close(visit.cluster, on_closed, &visit);
        else
            on_closed(&visit);
    }
    uv_run(&visit.loop, UV_RUN_DEFAULT);
    if (visit.store != NULL)
        gt_store_stop(visit.store);
    gt_link_close(visit.link);
    gt_store_close(visit.store);
    uv_loop_close(&visit.loop);
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* a folder for temporary things */
    free(folder);
    *ret_count = visit.count;
    if (code == 0 && visit.err.code != 0) {
        *err = visit.err;
        code = visit.err.code;
    }
    return code;
}
