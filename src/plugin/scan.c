/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin files that pluginPaths names. */
#include "plugin/scan.h"

#include "base/log.h"
#include "base/view.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

enum gt_plugin_kind gt_scan_kind(const char *path)
{
    static const struct {
        const char *end;
        enum gt_plugin_kind kind;
    } kinds[] = {
        {".so", GT_PLUGIN_SO},     {".jar", GT_PLUGIN_JAR},           {".zip", GT_PLUGIN_JAR},
        {".class", GT_PLUGIN_JAR}, {".plugin", GT_PLUGIN_EXECUTABLE},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (ends_with(path, kinds[i].end))
            return kinds[i].kind;
    }
    return GT_PLUGIN_KINDS;
}

const char *gt_plugin_kind_name(enum gt_plugin_kind kind)
{
    static const char *const names[GT_PLUGIN_KINDS] = {
        [GT_PLUGIN_BUILTIN] = "builtin",
        [GT_PLUGIN_SO] = "so",
        [GT_PLUGIN_JAR] = "jar",
        [GT_PLUGIN_JARS] = "jars",
        [GT_PLUGIN_EXECUTABLE] = "executable",
    };
    return (unsigned)kind < GT_PLUGIN_KINDS ? names[kind] : "unknown";
}

static bool is_known(const struct gt_scan *scan, const char *path)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (strcmp(scan->items[i].path, path) == 0)
            return true;
    }
    return false;
}

/* Takes @p path. */
static int add(struct gt_scan *scan, char *path, enum gt_plugin_kind kind, bool unreadable)
{
    if (path == NULL)
        return GANTRY_NO_MEMORY;
    if (is_known(scan, path)) {
        free(path);
        return 0;
    }
    if (scan->count == scan->cap) {
        size_t cap = scan->cap > 0 ? scan->cap * 2 : 16;
        struct gt_scan_item *grown = realloc(scan->items, cap * sizeof *grown);
        if (grown == NULL) {
            free(path);
            return GANTRY_NO_MEMORY;
        }
        scan->items = grown;
        scan->cap = cap;
    }
    scan->items[scan->count++] = (struct gt_scan_item){path, kind, unreadable};
    return 0;
}

/* What is not there is gone; what cannot be looked at (a server that is away) may be there. */
static int add_unreadable(struct gt_scan *scan, const char *path)
{
    int reason = errno;
    gt_warn("plugin", "cannot look into pluginPaths path=%s: %s", path, strerrordesc_np(reason));
    return reason == ENOENT || reason == ENOTDIR ? 0
                                                 : add(scan, strdup(path), GT_PLUGIN_KINDS, true);
}

static int is_candidate(const struct dirent *entry)
{
    if (entry->d_name[0] == '.')
        return 0;
    /* A folder, a link, or a file system that does not say: all may be plugins. */
    return gt_scan_kind(entry->d_name) != GT_PLUGIN_KINDS || entry->d_type == DT_DIR ||
           entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
}

/* An entry of a folder that pluginPaths names. Takes @p path. */
static int add_entry(struct gt_scan *scan, char *path)
{
    struct stat st;
    if (path == NULL)
        return GANTRY_NO_MEMORY;
    bool there = stat(path, &st) == 0;
    if (!there && errno != ENOENT && gt_scan_kind(path) == GT_PLUGIN_KINDS) {
        int code = add_unreadable(scan, path); /* a link to a folder that is away, it may be */
        free(path);
        return code;
    }
    enum gt_plugin_kind kind = there && S_ISDIR(st.st_mode) ? GT_PLUGIN_JARS : gt_scan_kind(path);
    if (kind != GT_PLUGIN_KINDS)
        return add(scan, path, kind, false);
    free(path); /* a link to something else */
    return 0;
}

static int look_into(struct gt_scan *scan, const char *folder)
{
    struct dirent **entries = NULL;
    int code = 0;
    int count = scandir(folder, &entries, is_candidate, alphasort);
    if (count < 0)
        return errno == ENOMEM ? GANTRY_NO_MEMORY : add_unreadable(scan, folder);
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (code == 0)
            code = add_entry(scan, asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0 ? NULL
                                                                                            : path);
        free(entries[i]);
    }
    free(entries);
    return code;
}

static int look_at(struct gt_scan *scan, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return add_unreadable(scan, path);
    if (S_ISDIR(st.st_mode))
        return look_into(scan, path);
    return add(scan, strdup(path), gt_scan_kind(path), false);
}

int gt_scan_run(const char *paths, struct gt_scan *ret)
{
    int code = 0;
    memset(ret, 0, sizeof *ret);
    for (const char *at = paths; code == 0 && at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        struct gantry_view view = gt_view_trim((struct gantry_view){at, len});
        if (view.len > 2 &&
            memcmp(view.data + view.len - 2, "/*", 2) == 0) /* some write a folder so */
            view.len -= 2;
        while (view.len > 1 && view.data[view.len - 1] == '/')
            view.len--;
        char *path = view.len > 0 ? strndup(view.data, view.len) : NULL;
        if (path != NULL)
            code = look_at(ret, path);
        else if (view.len > 0)
            code = GANTRY_NO_MEMORY;
        free(path);
        at += len + (at[len] == ',');
    }
    return code;
}

void gt_scan_deinit(struct gt_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        free(scan->items[i].path);
    free(scan->items);
    memset(scan, 0, sizeof *scan);
}
