/* SPDX-License-Identifier: Apache-2.0 */
/* The list of the built-in plugins. Adding one is a line here and its prototype in builtin.h. */
#include "plugin/builtin.h"

#include "plugin/registry.h"
#include <pthread.h>

/* GT_BUILTIN_NAME is defined by the build unless the connectors are plugin files of their own. */
static const gantry_plugin_fn functions[] = {
#ifdef GT_BUILTIN_FILE
    gantry_file_plugin,
#endif
    NULL,
};

enum { COUNT = sizeof functions / sizeof functions[0] - 1 };

static const struct gantry_plugin *plugins[COUNT + 1];
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill(void)
{
    for (size_t i = 0; functions[i] != NULL; i++)
        plugins[i] = functions[i]();
}

const struct gantry_plugin *const *gt_builtin_plugins(void)
{
    (void)pthread_once(&filled, fill);
    return plugins;
}
