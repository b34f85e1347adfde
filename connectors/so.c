/* SPDX-License-Identifier: Apache-2.0 */
/* A connector of this folder as a plugin file: PLUGIN_FUNCTION, by which the worker knows it when
 * it is built in, under the name by which plugin files are known. */
#include <gantry/connector.h>

const struct gantry_plugin *PLUGIN_FUNCTION(void);

const struct gantry_plugin *gantry_plugin(void)
{
    return PLUGIN_FUNCTION();
}
