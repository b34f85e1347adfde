/* SPDX-License-Identifier: Apache-2.0 */
/** Which plugins a worker has, in a file of its store: STORE/plugins/list.json. Written after each
 * look at the plugin folders; `gantry plugin list` reads it, as others read the topics of a worker
 * that runs. */
#ifndef GT_WORKER_PLUGIN_LIST_H
#define GT_WORKER_PLUGIN_LIST_H

#include "base/buf.h"
#include "plugin/registry.h"

/** Append the list as JSON: {"plugins": [{"path", "kind", "state", "reason", "hash", "name",
 * "version", "classes": [text]}]}, texts all but the last. Thread: any. */
int gt_plugin_list_json(struct gt_registry *registry, struct gt_buf *buf);
/** Put it into the store's file, in one step. */
int gt_plugin_list_write(struct gt_registry *registry, const char *store, struct gantry_err *err);
/** Read the list of the worker that runs with this store. 1; 0: none runs, or it has no list;
 * negative: it cannot be read. */
int gt_plugin_list_read(const char *store, struct gt_buf *buf, struct gantry_err *err);

#endif
