/* SPDX-License-Identifier: Apache-2.0 */
/* The file plugin: one source and one sink, which share the watch on folders, the book of
 * claims and the ledger of files. */
#include "plugin.h"

struct file_buffer *file_plugin_take_buffer(struct file_plugin *plugin)
{
    (void)pthread_mutex_lock(&plugin->buffer_lock);
    struct file_buffer *buffer = plugin->buffers;
    if (buffer != NULL)
        plugin->buffers = buffer->next;
    (void)pthread_mutex_unlock(&plugin->buffer_lock);
    return buffer != NULL ? buffer : malloc(sizeof *buffer);
}

void file_plugin_give_buffer(struct file_plugin *plugin, struct file_buffer *buffer)
{
    if (buffer == NULL)
        return;
    (void)pthread_mutex_lock(&plugin->buffer_lock);
    buffer->next = plugin->buffers;
    plugin->buffers = buffer;
    (void)pthread_mutex_unlock(&plugin->buffer_lock);
}

static void close_plugin(void *arg)
{
    struct file_plugin *plugin = arg;
    if (plugin == NULL)
        return;
    file_watch_free(plugin->watch);
    file_claims_free(plugin->claims);
    file_ledgers_free(plugin->ledgers);
    while (plugin->buffers != NULL) {
        struct file_buffer *next = plugin->buffers->next;
        free(plugin->buffers);
        plugin->buffers = next;
    }
    (void)pthread_mutex_destroy(&plugin->buffer_lock);
    free(plugin);
}

static int open_plugin(const struct gantry_runtime *runtime, void **ret, struct gantry_err *err)
{
    struct file_plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the file plugin");
    plugin->runtime = runtime;
    (void)pthread_mutex_init(&plugin->buffer_lock, NULL); /* cannot fail on Linux */
    int rc = file_watch_new(&plugin->watch, err);
    if (rc == 0)
        rc = file_claims_new(&plugin->claims, err);
    if (rc == 0)
        rc = file_ledgers_new(&plugin->ledgers, err);
    if (rc != 0) {
        close_plugin(plugin);
        return rc;
    }
    *ret = plugin;
    return 0;
}

static const struct gantry_connector *const connectors[] = {
    &file_source_connector,
    &file_sink_connector,
};

static const struct gantry_plugin plugin_table = {
    .struct_size = sizeof(struct gantry_plugin),
    .abi_version = GANTRY_ABI_VERSION,
    .name = "file",
    .version = FILE_PLUGIN_VERSION,
    .open = open_plugin,
    .close = close_plugin,
    .connectors = connectors,
    .connector_count = sizeof connectors / sizeof connectors[0],
};

const struct gantry_plugin *gantry_file_plugin(void)
{
    return &plugin_table;
}
