/* SPDX-License-Identifier: Apache-2.0 */
/** The connectors that are part of the worker: their plugin functions, one a folder under
 * connectors/. */
#ifndef GT_PLUGIN_BUILTIN_H
#define GT_PLUGIN_BUILTIN_H

#include <gantry/connector.h>

/** connectors/file */
const struct gantry_plugin *gantry_file_plugin(void);
/** connectors/replicator */
const struct gantry_plugin *gantry_replicator_plugin(void);

#endif
