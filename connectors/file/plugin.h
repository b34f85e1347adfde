/* SPDX-License-Identifier: Apache-2.0 */
/** What the plugin's source and sink tasks share. */
#ifndef FILE_PLUGIN_H
#define FILE_PLUGIN_H

#include "claims.h"
#include "ledger.h"
#include "watch.h"
#include <gantry/connector.h>
#include <pthread.h>

#define FILE_PLUGIN_VERSION "1.0.0"

struct file_plugin {
    const struct gantry_runtime *runtime; /* borrowed until close() */
    struct file_watch *watch;             /* owned */
    struct file_claims *claims;           /* owned */
    struct file_ledgers *ledgers;         /* owned */
    pthread_mutex_t buffer_lock;
    struct file_buffer *buffers; /* owned; those that nobody uses now */
};

#define FILE_BUFFER_BYTES (256 * 1024)

/** Room for one put of a sink, kept between uses: as many as there are threads that put at one
 * time, whatever the number of sinks. */
struct file_buffer {
    struct file_buffer *next;
    char data[FILE_BUFFER_BYTES];
};

/** NULL without memory. Thread: any. */
struct file_buffer *file_plugin_take_buffer(struct file_plugin *plugin);
/** NULL is fine. Thread: any. */
void file_plugin_give_buffer(struct file_plugin *plugin, struct file_buffer *buffer);

extern const struct gantry_connector file_source_connector;
extern const struct gantry_connector file_sink_connector;

/** The one thing that the worker's list of built-in plugins names. */
const struct gantry_plugin *gantry_file_plugin(void);

#endif
