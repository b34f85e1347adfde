/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: opens plugins, in order, and closes them in reverse order. */
#include "plugin/registry.h"

#include "base/log.h"
#include <stdlib.h>

struct open_plugin {
    const struct gantry_plugin *plugin; /* static data of the plugin */
    void *state;                        /* the plugin's, between open and close */
};

struct gt_registry {
    struct gantry_runtime runtime; /* first member: setting() gets back from it */
    struct gt_props settings;
    struct open_plugin *plugins; /* owned */
    size_t plugin_count;
    struct gt_connector_class *classes; /* owned; one a connector */
    size_t class_count;
    struct gt_map by_name; /* class name -> item of `classes` */
};

static void log_text(enum gantry_log_level level, const char *component, const char *text)
{
    gt_log(level, component, "%s", text);
}

static const char *setting(const struct gantry_runtime *runtime, const char *name)
{
    return gt_props_get(&((const struct gt_registry *)runtime)->settings, name);
}

static int add_class(struct gt_registry *registry, const struct gantry_connector *connector,
                     const struct open_plugin *plugin, struct gantry_err *err)
{
    struct gt_connector_class *class = &registry->classes[registry->class_count];

    *class = (struct gt_connector_class){connector, plugin->plugin, plugin->state};
    for (const char *const *name = connector->class_names; *name != NULL; name++) {
        const struct gt_connector_class *other = gt_registry_find(registry, *name);
        if (other != NULL)
            return gantry_err_set(err, GANTRY_EXISTS,
                                  "plugin %s offers the class %s, which plugin %s has already",
                                  plugin->plugin->name, *name, other->plugin->name);
        if (gt_map_put(&registry->by_name, gantry_view_of(*name), class, NULL) != 0)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot open plugin %s: out of memory",
                                  plugin->plugin->name);
    }
    registry->class_count++;
    return GANTRY_OK;
}

static int open_one(struct gt_registry *registry, const struct gantry_plugin *plugin,
                    struct gantry_err *err)
{
    struct open_plugin *slot = &registry->plugins[registry->plugin_count];

    if (plugin->abi_version != GANTRY_ABI_VERSION)
        return gantry_err_set(err, GANTRY_VERSION,
                              "plugin %s was built for version %u of the plugin interface, this "
                              "worker has version %d; "
                              "build it anew",
                              plugin->name, plugin->abi_version, GANTRY_ABI_VERSION);
    *slot = (struct open_plugin){.plugin = plugin};
    if (plugin->open != NULL) {
        int rc = plugin->open(&registry->runtime, &slot->state, err);
        if (rc != 0)
            return rc;
    }
    registry->plugin_count++;
    for (size_t i = 0; i < plugin->connector_count; i++) {
        int rc = add_class(registry, plugin->connectors[i], slot, err);
        if (rc != 0)
            return rc;
    }
    return GANTRY_OK;
}

int gt_registry_open_plugins(const struct gantry_plugin *const *plugins,
                             const struct gt_props *settings, struct gt_registry **ret,
                             struct gantry_err *err)
{
    size_t plugin_count = 0, connector_count = 0;
    int rc = GANTRY_NO_MEMORY;

    for (; plugins[plugin_count] != NULL; plugin_count++)
        connector_count += plugins[plugin_count]->connector_count;
    struct gt_registry *registry = calloc(1, sizeof *registry);
    if (registry != NULL) {
        registry->runtime = (struct gantry_runtime){.struct_size = sizeof registry->runtime,
                                                    .abi_version = GANTRY_ABI_VERSION,
                                                    .log = log_text,
                                                    .setting = setting};
        gt_map_init(&registry->by_name);
        gt_props_init(&registry->settings);
        registry->plugins = calloc(plugin_count + 1, sizeof *registry->plugins);
        registry->classes = calloc(connector_count + 1, sizeof *registry->classes);
        if (registry->plugins != NULL && registry->classes != NULL)
            rc = gt_props_copy(&registry->settings, settings);
    }
    if (rc != 0)
        (void)gantry_err_set(err, rc, "cannot open the plugins: out of memory");
    for (size_t i = 0; rc == 0 && i < plugin_count; i++)
        rc = open_one(registry, plugins[i], err);
    if (rc != 0) {
        gt_registry_close(registry);
        return rc;
    }
    *ret = registry;
    return GANTRY_OK;
}

int gt_registry_open(const struct gt_props *settings, struct gt_registry **ret,
                     struct gantry_err *err)
{
    return gt_registry_open_plugins(gt_builtin_plugins(), settings, ret, err);
}

void gt_registry_close(struct gt_registry *registry)
{
    if (registry == NULL)
        return;
    for (struct open_plugin *open = registry->plugins + registry->plugin_count;
         open-- > registry->plugins;) {
        if (open->plugin->close != NULL)
            open->plugin->close(open->state);
    }
    gt_map_deinit(&registry->by_name);
    gt_props_deinit(&registry->settings);
    free(registry->plugins);
    free(registry->classes);
    free(registry);
}

const struct gt_connector_class *gt_registry_find(const struct gt_registry *registry,
                                                  const char *class_name)
{
    return gt_map_get(&registry->by_name, gantry_view_of(class_name));
}

const struct gantry_runtime *gt_registry_runtime(const struct gt_registry *registry)
{
    return &registry->runtime;
}

const struct gt_connector_class *gt_registry_at(const struct gt_registry *registry, size_t i)
{
    return i < registry->class_count ? &registry->classes[i] : NULL;
}
