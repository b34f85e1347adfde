/* SPDX-License-Identifier: Apache-2.0 */
/** Loaders: what makes a plugin out of a file.
 *
 *  The registry finds plugin files, keeps copies of them and decides which form of a file a
 * connector gets: in the worker, or hosted (in a process of its own). A loader makes one such form.
 * The one for `.so` in the worker is so_loader.h; the hosted ones are given by whoever opens the
 * registry, and may be missing. */
#ifndef GT_PLUGIN_LOADER_H
#define GT_PLUGIN_LOADER_H

#include <gantry/connector.h>

enum gt_plugin_kind {
    GT_PLUGIN_BUILTIN, /* part of the worker; its path is the plugin's name */
    GT_PLUGIN_SO,
    GT_PLUGIN_JAR,        /* a .jar, .zip or .class file */
    GT_PLUGIN_JARS,       /* a folder: all archives in its tree are one plugin */
    GT_PLUGIN_EXECUTABLE, /* NAME.plugin, a manifest: a properties text with the key `command`,
                             words separated by blanks, run in the manifest's folder */
    GT_PLUGIN_KINDS
};

/** A plugin that a loader has made. The loader fills it in, the registry keeps it at one address
 * until unload() has returned. */
struct gt_loaded {
    const struct gantry_plugin *plugin; /* valid until unload; not opened yet */
    void *state;                        /* the loader's */
    void *plugin_state; /* what callbacks get as plugin, where there is no open() to say so */
    /** Let go of everything, `plugin` too. Called once, when no task, thread or callback of the
     * plugin is left and its close() has returned. Thread: any. May block. NULL: nothing to do. */
    void (*unload)(struct gt_loaded *loaded);
};

/** Make a plugin.
 *  path  absolute. What is there does not change as long as the form is loaded: for a .so, a jar
 *        and a folder it is the registry's own copy, under the name of the original (its last
 *        part), for an executable the manifest itself
 *  ret   zeroed; on failure it is left so, and nothing is left behind
 * Returns 0 or an error whose text says what is wrong and what to do; the registry puts the path of
 * the original in front. The registry checks the plugin's tables (plugin_check.h) and opens it.
 * Thread: a helper thread, several at once for different paths. May block, but not for ever. */
typedef int (*gt_load_fn)(void *arg, const char *path, enum gt_plugin_kind kind,
                          struct gt_loaded *ret, struct gantry_err *err);

struct gt_loader {
    gt_load_fn load; /* NULL: there is none */
    void *arg;       /* valid as long as the registry */
};

/** A loader for each kind of file in each form. */
struct gt_loaders {
    struct gt_loader in_worker[GT_PLUGIN_KINDS];
    struct gt_loader hosted[GT_PLUGIN_KINDS];
    /* What a file needs that has no loader, to stand behind "needs "; NULL: says so in general. */
    const char *needs[GT_PLUGIN_KINDS];
};

#endif
