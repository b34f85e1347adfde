/* SPDX-License-Identifier: Apache-2.0 */
/** What the plugin's tasks share. */
#ifndef REP_PLUGIN_H
#define REP_PLUGIN_H

#include "link.h"
#include <gantry/connector.h>

#define REP_PLUGIN_VERSION "1.0.0"

struct rep_plugin {
    const struct gantry_runtime *runtime; /* borrowed until close() */
    struct rep_link *link;                /* owned */
};

extern const struct gantry_connector rep_source_connector;
extern const struct gantry_connector rep_meta_connector;

/** The one thing that the worker's list of built-in plugins names. */
const struct gantry_plugin *gantry_replicator_plugin(void);

#endif
