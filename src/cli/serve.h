/* SPDX-License-Identifier: Apache-2.0 */
/** What `gantry worker` and `gantry run` share: settings from the command line, and a worker's
 * life. Thread: main. */
#ifndef GT_CLI_SERVE_H
#define GT_CLI_SERVE_H

#include "cli/cli.h"
#include "worker/settings.h"

/** Load and check the settings; says all that is wrong on standard error. GT_EXIT_OK, GT_EXIT_USAGE
 * or GT_EXIT_FAILED; only then @p ret is to be deinit. @p quiet: no warnings. */
int gt_serve_load(const struct gt_command *command, const char *file,
                  const struct gt_props *options, bool quiet, struct gt_settings *ret);

/** Open a worker, run it until a signal ends it, close it. @p ready (may be NULL) is called once
 * REST answers and, with a broker, the worker has joined its cluster. Returns the exit status. */
int gt_serve(const struct gt_command *command, const struct gt_settings *settings,
             void (*ready)(void *arg, int port), void *arg);

#endif
