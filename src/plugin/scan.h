/* SPDX-License-Identifier: Apache-2.0 */
/** Which plugin files there are under pluginPaths. The rules are those of the Java worker: a path
 * is one plugin when it is a file, and holds plugins when it is a folder: each archive, class file,
 * library or folder directly in it; here each manifest (NAME.plugin), too. Thread: any. May block.
 */
#ifndef GT_PLUGIN_SCAN_H
#define GT_PLUGIN_SCAN_H

#include "plugin/loader.h"

struct gt_scan_item {
    char *path; /* owned; as pluginPaths names it, or PATH/ENTRY */
    enum gt_plugin_kind kind;
    /* Not a plugin but a path that cannot be looked at now: what was found there before still
     * counts. `kind` means nothing. */
    bool unreadable;
};

/** In the order of @p paths, then of names. Each path once. */
struct gt_scan {
    struct gt_scan_item *items; /* owned */
    size_t count, cap;
};

/** @p paths: separated by commas, relative ones to the present folder; NULL and "": none. A path
 * that is not there or cannot be read is told in the log. 0 or GANTRY_NO_MEMORY; deinit is owed
 * after both. */
int gt_scan_run(const char *paths, struct gt_scan *ret);
void gt_scan_deinit(struct gt_scan *scan);

/** The kind of a file by its name; GT_PLUGIN_KINDS: none. */
enum gt_plugin_kind gt_scan_kind(const char *path);
/** so, jar, jars, executable, builtin. */
const char *gt_plugin_kind_name(enum gt_plugin_kind kind);

#endif
