/* SPDX-License-Identifier: Apache-2.0 */
/* What the file offers. There is one function for the outside, gantry_plugin(). */
#include "plugin.h"

static const struct gantry_connector *const connectors[] = {&example_counter, &example_append};

static const struct gantry_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_version = GANTRY_ABI_VERSION,
    .name = "example",
    .version = EXAMPLE_VERSION,
    .connectors = connectors,
    .connector_count = sizeof connectors / sizeof connectors[0],
};

const struct gantry_plugin *gantry_plugin(void)
{
    return &plugin;
}
