/* SPDX-License-Identifier: Apache-2.0 */
/** Which connectors there are, by class name. Built-in ones for now: src/plugin/builtin.c lists
 * them. Opened once at start, read-only after that. Thread: any, once open. */
#ifndef GT_PLUGIN_REGISTRY_H
#define GT_PLUGIN_REGISTRY_H

#include "base/map.h"
#include <gantry/connector.h>

/** A connector class and the open plugin that offers it. */
struct gt_connector_class {
    const struct gantry_connector *connector;
    const struct gantry_plugin *plugin;
    void *plugin_state; /* what the plugin's open() returned */
};

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
/** No task may be running. NULL is fine. */
void gt_registry_close(struct gt_registry *registry);
/** NULL when no plugin offers the class. */
const struct gt_connector_class *gt_registry_find(const struct gt_registry *registry,
                                                  const char *class_name);
/** The functions that plugins of this registry get; for task contexts. */
const struct gantry_runtime *gt_registry_runtime(const struct gt_registry *registry);
/** The i-th class, NULL at the end; each connector once. For `gantry` help and messages. */
const struct gt_connector_class *gt_registry_at(const struct gt_registry *registry, size_t i);

/** The built-in plugins, NULL-terminated. */
const struct gantry_plugin *const *gt_builtin_plugins(void);

#endif
