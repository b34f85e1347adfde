/* SPDX-License-Identifier: Apache-2.0 */
/* /plugin/reload: a look at the plugin folders, on a helper thread because a folder may be far
 * away.
 *
 * As in the Java worker, a path of pluginPaths is one plugin when it is an archive, and holds
 * plugins when it is a folder: each archive, class file, library or folder directly in it. */
#include "worker/internal.h"

#include "base/log.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

struct reload {
    uv_work_t work;
    struct gt_worker *worker;
    struct gt_request *request;
    size_t found;
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static int is_plugin(const struct dirent *entry)
{
    static const char *const ends[] = {".jar", ".zip", ".class", ".so"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends_with(entry->d_name, ends[i]))
            return 1;
    }
    /* A folder, a link, or a file system that does not say: all may be plugins. */
    return (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) &&
           entry->d_name[0] != '.';
}

static void note(struct reload *reload, const char *path)
{
    reload->found++;
    gt_info("plugin", "Loading plugin from: %s", path);
}

static void look_at(struct reload *reload, const char *path)
{
    struct stat st;
    struct dirent **entries = NULL;
    if (stat(path, &st) != 0) {
        gt_warn("plugin", "cannot look into pluginPaths path=%s: %m", path);
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        note(reload, path);
        return;
    }
    int count = scandir(path, &entries, is_plugin, alphasort);
    if (count < 0)
        gt_warn("plugin", "cannot look into pluginPaths path=%s: %m", path);
    for (int i = 0; i < count; i++) {
        char *inner = NULL;
        if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) >= 0)
            note(reload, inner);
        free(inner);
        free(entries[i]);
    }
    free(entries);
}

/* Thread: libuv's helper threads. */
static void run_reload(uv_work_t *work)
{
    struct reload *reload = work->data;
    const char *paths = reload->worker->settings->plugin_paths;
    for (const char *at = paths; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        struct gantry_view view = gt_view_trim((struct gantry_view){at, len});
        if (view.len > 2 &&
            memcmp(view.data + view.len - 2, "/*", 2) == 0) /* some write a folder so */
            view.len -= 2;
        char *path = view.len > 0 ? strndup(view.data, view.len) : NULL;
        if (path != NULL)
            look_at(reload, path);
        free(path);
        at += len + (at[len] == ',');
    }
}

static void after_reload(uv_work_t *work, int status)
{
    struct reload *reload = work->data;
    struct gt_worker *worker = reload->worker;
    (void)status; /* nothing cancels it */
    if (reload->found > 0)
        gt_warn("plugin",
                "this version runs its built-in connectors only; plugin files found and left "
                "alone: %zu",
                reload->found);
    worker->operations--;
    reload->request->done(reload->request);
    free(reload);
    gt_worker_look_for_end(worker);
}

void gt_worker_reload(struct gt_worker *worker, struct gt_request *request)
{
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload == NULL) {
        gantry_err_set(&request->err, GANTRY_NO_MEMORY, "no memory to look at the plugin folders");
        request->done(request);
        return;
    }
    reload->worker = worker;
    reload->request = request;
    reload->work.data = reload;
    worker->operations++;
    uv_queue_work(&worker->loop, &reload->work, run_reload, after_reload);
}
