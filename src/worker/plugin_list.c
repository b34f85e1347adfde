/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/plugin_list.h"

#include "base/file.h"
#include "base/json.h"
#include "plugin/scan.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MAX = 16 << 20 };

struct writing {
    struct gt_buf *buf;
    bool more;
};

static void add_text(struct gt_buf *buf, const char *key, const char *value)
{
    gt_buf_addf(buf, "\"%s\":", key);
    gt_json_add_string(buf, gantry_view_of(value));
    gt_buf_add_char(buf, ',');
}

static void add_plugin(void *arg, const struct gt_plugin_view *view)
{
    static const char *const states[] = {
        [GT_PLUGIN_LOADED] = "loaded", [GT_PLUGIN_REFUSED] = "refused", [GT_PLUGIN_LEFT] = "left"};
    struct writing *writing = arg;
    struct gt_buf *buf = writing->buf;
    gt_buf_add_str(buf, writing->more ? ",\n{" : "\n{");
    writing->more = true;
    add_text(buf, "path", view->path);
    add_text(buf, "kind", gt_plugin_kind_name(view->kind));
    add_text(buf, "state", states[view->state]);
    add_text(buf, "reason", view->reason);
    add_text(buf, "hash", view->hash);
    add_text(buf, "name", view->plugin != NULL ? view->plugin->name : "");
    add_text(buf, "version", view->plugin != NULL ? view->plugin->version : "");
    gt_buf_add_str(buf, "\"classes\":[");
    for (size_t i = 0; i < view->class_count; i++) {
        if (i > 0)
            gt_buf_add_char(buf, ',');
        gt_json_add_string(buf, gantry_view_of(view->classes[i].connector->class_names[0]));
    }
    gt_buf_add_str(buf, "]}");
}

int gt_plugin_list_json(struct gt_registry *registry, struct gt_buf *buf)
{
    struct writing writing = {.buf = buf};
    gt_buf_add_str(buf, "{\"plugins\":[");
    gt_registry_each(registry, add_plugin, &writing);
    gt_buf_add_str(buf, "\n]}\n");
    return buf->error;
}

static int write_file(const char *path, struct gantry_view text, struct gantry_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return gt_file_error(err, "make", path);
    int code = gt_file_write_at(fd, text.data, text.len, 0, path, "plugin.list", err);
    if (close(fd) != 0 && code == 0)
        code = gt_file_error(err, "write", path);
    return code;
}

static int make_folder(const char *store, struct gantry_err *err)
{
    char *folder = NULL;
    if (asprintf(&folder, "%s/plugins", store) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    int code = 0;
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        code = gt_file_error(err, "make", folder);
    free(folder);
    return code;
}

int gt_plugin_list_write(struct gt_registry *registry, const char *store, struct gantry_err *err)
{
    struct gt_buf text;
    char *path = NULL, *fresh = NULL;
    gt_buf_init(&text, LIST_MAX);
    int code = gt_plugin_list_json(registry, &text);
    if (asprintf(&path, "%s/plugins/list.json", store) < 0)
        path = NULL;
    if (asprintf(&fresh, "%s/plugins/list.json.new", store) < 0)
        fresh = NULL;
    if (code != 0 || path == NULL || fresh == NULL)
        code = gantry_err_set(err, code != 0 ? code : GANTRY_NO_MEMORY, "no room for the list: %s",
                              gantry_error_text(code != 0 ? code : GANTRY_NO_MEMORY));
    if (code == 0)
        code = make_folder(store, err);
    if (code == 0)
        code = write_file(fresh, gt_buf_view(&text), err);
    if (code == 0 && rename(fresh, path) != 0)
        code = gt_file_error(err, "make", path);
    gt_buf_deinit(&text);
    free(path);
    free(fresh);
    return code;
}

int gt_plugin_list_read(const char *store, struct gt_buf *buf, struct gantry_err *err)
{
    char *path = NULL;
    if (!gt_store_in_use(store)) /* then it says what was once */
        return 0;
    if (asprintf(&path, "%s/plugins/list.json", store) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    int code = gt_file_read(path, buf, err);
    free(path);
    return code == GANTRY_NOT_FOUND ? 0 : code == 0 ? 1 : code;
}
