/* SPDX-License-Identifier: Apache-2.0 */
/** Whether what a plugin offers can be used: versions, sizes of structs, tables. What cannot be
 * seen from outside (functions that are none) is not found. Thread: any. */
#ifndef GT_PLUGIN_PLUGIN_CHECK_H
#define GT_PLUGIN_PLUGIN_CHECK_H

#include <gantry/connector.h>

/** 0; GANTRY_VERSION: built for another interface, the text says both numbers; GANTRY_INVALID: the
 * text names connector, key and what is wrong. */
int gt_plugin_check(const struct gantry_plugin *plugin, struct gantry_err *err);

/** Whether what poll() has filled can be right: marks stand in the batch's order, and behind
 * records that there are. 0 or GANTRY_INVALID. */
int gt_marks_check(const struct gantry_batch *batch, struct gantry_err *err);

#endif
