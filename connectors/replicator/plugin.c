/* SPDX-License-Identifier: Apache-2.0 */
/* The replicator plugin: topics, and what is known about topics and groups, from one RocketMQ
 * cluster to another. */
#include "plugin.h"

#include <stdlib.h>

static void close_plugin(void *arg)
{
    struct rep_plugin *plugin = arg;
    if (plugin == NULL)
        return;
    rep_link_free(plugin->link);
    free(plugin);
}

static int open_plugin(const struct gantry_runtime *runtime, void **ret, struct gantry_err *err)
{
    struct rep_plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the replicator plugin");
    plugin->runtime = runtime;
    int rc = rep_link_new(runtime, &plugin->link, err);
    if (rc != 0) {
        free(plugin);
        return rc;
    }
    *ret = plugin;
    return 0;
}

static const struct gantry_connector *const connectors[] = {
    &rep_source_connector,
    &rep_meta_connector,
};

static const struct gantry_plugin plugin_table = {
    .struct_size = sizeof(struct gantry_plugin),
    .abi_version = GANTRY_ABI_VERSION,
    .name = "replicator",
    .version = REP_PLUGIN_VERSION,
    .open = open_plugin,
    .close = close_plugin,
    .connectors = connectors,
    .connector_count = sizeof connectors / sizeof connectors[0],
};

const struct gantry_plugin *gantry_replicator_plugin(void)
{
    return &plugin_table;
}
