/* SPDX-License-Identifier: Apache-2.0 */
/** Which store a command is about: --store DIR, else storePathRootDir of -c FILE, else the default.
 * Thread: main. */
#ifndef GT_CLI_STORE_OPTION_H
#define GT_CLI_STORE_OPTION_H

#include "cli/options.h"
#include "cli/serve.h"

struct gt_store_option {
    const char *folder; /* --store; after settle: the folder */
    const char *file;   /* -c */
};

/** Two rows of an option table. */
#define GT_STORE_OPTIONS(store)                                                                    \
    {.name = "--store", .text = &(store).folder},                                                  \
    {                                                                                              \
        .name = "-c", .text = &(store).file                                                        \
    }

/** Fill in the folder; it is valid until @p settings is deinit, which is the caller's when this
 * returns GT_EXIT_OK. */
int gt_store_option_settle(const struct gt_command *command, struct gt_store_option *store,
                           struct gt_settings *settings);

#endif
