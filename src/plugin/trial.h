/* SPDX-License-Identifier: Apache-2.0 */
/** A library is opened by another process before the worker does it: one that is damaged inside, or
 * crashes, exits or hangs in what it runs at its start, ends that process and not the worker.
 * Thread: any. Blocks, for 10 s at most. */
#ifndef GT_PLUGIN_TRIAL_H
#define GT_PLUGIN_TRIAL_H

#include <gantry/error.h>

/** What `gantry plugin check` says when a library is fine, before the plugin's name and version. */
#define GT_TRIAL_FINE "ok: "

/** Have `PROGRAM plugin check PATH` run. 0: it is fine, or no process can be started here.
 * GANTRY_INVALID: it cannot be opened, or ended the process; GANTRY_TIMEOUT: it did not end. */
int gt_trial(const char *program, const char *path, struct gantry_err *err);

#endif
