/* SPDX-License-Identifier: Apache-2.0 */
/** What the plugin's source and sink tasks share. */
#ifndef FILE_PLUGIN_H
#define FILE_PLUGIN_H

#include "claims.h"
#include "watch.h"
#include <gantry/connector.h>

#define FILE_PLUGIN_VERSION "1.0.0"

struct file_plugin {
    const struct gantry_runtime *runtime; /* borrowed until close() */
    struct file_watch *watch;             /* owned */
    struct file_claims *claims;           /* owned */
};

extern const struct gantry_connector file_source_connector;
extern const struct gantry_connector file_sink_connector;

/** The one thing that the worker's list of built-in plugins names. */
const struct gantry_plugin *gantry_file_plugin(void);

#endif
