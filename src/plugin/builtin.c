/* SPDX-License-Identifier: Apache-2.0 */
/* The list of the built-in plugins. Adding one is a line here and its prototype in builtin.h. */
#include "plugin/builtin.h"

#include "plugin/registry.h"
#include <pthread.h>

static const gantry_plugin_fn functions[] = {
    gantry_file_plugin,
    gantry_replicator_plugin,
};

enum { COUNT = sizeof functions / sizeof functions[0] };

static const struct gantry_plugin *plugins[COUNT + 1];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (size_t i = 0; i < COUNT; i++)
        plugins[i] = functions[i]();
}

const struct gantry_plugin *const *gt_builtin_plugins(void)
{
    (void)pthread_once(&filled, fill);
    return plugins;
}
