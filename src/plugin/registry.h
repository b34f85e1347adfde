/* SPDX-License-Identifier: Apache-2.0 */
/** Which connectors there are, by class name, and which plugin offers them.
 *
 *  The built-in plugins (builtin.c) are always there. Plugin files come and go with each
 * gt_registry_scan(), while the worker runs. Whoever uses a class holds it (gt_class_hold /
 * gt_class_release): a plugin that is replaced or removed stays open until the last one lets go.
 *
 *  A file has one or two loaded forms: in the worker, and hosted (in a process of its own). The
 * hosted one describes it, where there is a loader for it; the other one is loaded when a connector
 * asks for it. Thread: any. */
#ifndef GT_PLUGIN_REGISTRY_H
#define GT_PLUGIN_REGISTRY_H

#include "base/map.h"
#include "plugin/form.h"

struct gt_registry;

/** Open the built-in plugins. @p settings: all the worker's settings (copied), which plugins may
 * read. 0, or the error of the first plugin that refused. */
int gt_registry_open(const struct gt_props *settings, struct gt_registry **ret,
                     struct gantry_err *err);
/** The same for a list of plugins, NULL-terminated, instead of the built-in ones. They are opened
 * in this order. */
int gt_registry_open_plugins(const struct gantry_plugin *const *plugins,
                             const struct gt_props *settings, struct gt_registry **ret,
                             struct gantry_err *err);
/** Nobody may hold a class. NULL is fine. Waits up to 10 s for plugins that close; one that does
 * not come back is left behind. */
void gt_registry_close(struct gt_registry *registry);
/** The same, waiting for so long at most. */
void gt_registry_close_within(struct gt_registry *registry, int64_t most_ms);
/** The functions that plugins of this registry get; for task contexts. */
const struct gantry_runtime *gt_registry_runtime(const struct gt_registry *registry);

/** What becomes of gantry_runtime.reconfigure. Before any task runs; without it nothing. Thread of
 * the calls: any. */
typedef void (*gt_registry_reconfigure_fn)(void *arg, const char *connector, const char *reason);
void gt_registry_set_reconfigure(struct gt_registry *registry, gt_registry_reconfigure_fn fn,
                                 void *arg);

/* --- Plugin files --- */

/** Where plugin files are and how they are loaded. */
struct gt_plugin_files {
    const char *paths;  /* pluginPaths; NULL: none */
    const char *copies; /* a folder of the registry's own, emptied first; NULL: a temporary one */
    bool prefer_files;  /* a file's class is chosen before a built-in one of the same name */
    bool in_worker;     /* a .so runs in the worker unless its connector says otherwise */
    struct gt_loaders loaders;
};

struct gt_scan_counts {
    size_t found, loaded, unchanged, refused, left, removed;
};

/** Before the first scan. Copied. 0 or GANTRY_NO_MEMORY. */
int gt_registry_set_files(struct gt_registry *registry, const struct gt_plugin_files *files);
/** Look at the paths: take up what is new or changed, drop what is gone. Every file is told in the
 * log, a broken one with its reason. One scan at a time, another one waits. May block. 0 or
 * GANTRY_NO_MEMORY: then all is as before. */
int gt_registry_scan(struct gt_registry *registry, struct gt_scan_counts *ret,
                     struct gantry_err *err);

enum gt_plugin_state {
    GT_PLUGIN_LOADED,
    GT_PLUGIN_REFUSED, /* broken; the reason says why */
    GT_PLUGIN_LEFT,    /* nothing here can load it; the reason says what it needs */
};

struct gt_plugin_view {
    const char *path;
    enum gt_plugin_kind kind;
    const char *hash; /* "" when it could not be read, and for built-in ones */
    enum gt_plugin_state state;
    const char *reason; /* "" when loaded */
    bool in_worker, hosted;
    const struct gantry_plugin *plugin; /* NULL unless loaded */
    const struct gt_connector_class *classes;
    size_t class_count;
};

/** Call @p each for all plugins, the built-in ones first. It must not call the registry; what it is
 * given holds during the call. */
void gt_registry_each(struct gt_registry *registry,
                      void (*each)(void *arg, const struct gt_plugin_view *view), void *arg);

/* --- Classes --- */

/** The class as its description has it, held; NULL when nobody offers it. For looks: what runs is
 * chosen by gt_registry_choose(). Never blocks. */
const struct gt_connector_class *gt_registry_find(struct gt_registry *registry,
                                                  const char *class_name);

/** What a connector's configuration says. */
struct gt_class_wish {
    const char *isolation; /* none | process; NULL: as its plugin has it */
    const char *prefer;    /* builtin | file; NULL: as the worker has it */
    bool now;              /* load nothing: GANTRY_AGAIN instead */
};

/** The class that a connector is to run with, held; loads its form if need be (may block then).
 * GANTRY_NOT_FOUND: nobody offers it (the text is empty); GANTRY_INVALID: not with that isolation;
 * GANTRY_AGAIN: see now; or why the form cannot be loaded. */
int gt_registry_choose(struct gt_registry *registry, const char *class_name,
                       const struct gt_class_wish *wish, const struct gt_connector_class **ret,
                       struct gantry_err *err);

/** All classes that can be found, each connector once, held. */
struct gt_class_list {
    const struct gt_connector_class **items; /* owned */
    size_t count;
};

/** 0 or GANTRY_NO_MEMORY; the list is usable after both. */
int gt_registry_list(struct gt_registry *registry, struct gt_class_list *ret);
void gt_class_list_release(struct gt_class_list *list);
/** Of their first names the one nearest to @p word; NULL: none is near. Valid while the list is
 * held. */
const char *gt_class_list_nearest(const struct gt_class_list *list, const char *word);

/** The built-in plugins, NULL-terminated. */
const struct gantry_plugin *const *gt_builtin_plugins(void);

#endif
