/* SPDX-License-Identifier: Apache-2.0 */
/** The plugins that a command is about: those that a worker with these settings has. Thread: main.
 */
#ifndef GT_CLI_PLUGIN_OPTION_H
#define GT_CLI_PLUGIN_OPTION_H

#include "cli/cli.h"
#include "cli/options.h"
#include "plugin/registry.h"
#include "worker/settings.h"

struct gt_plugin_option {
    const char *file;  /* -c */
    const char *paths; /* --plugin-paths */
};

/** Rows of an option table. */
#define GT_PLUGIN_OPTIONS(option)                                                                  \
    {.name = "-c", .text = &(option).file},                                                        \
    {                                                                                              \
        .name = "--plugin-paths", .text = &(option).paths                                          \
    }

/** The settings: the file, then --plugin-paths. GT_EXIT_OK: they are the caller's to deinit. */
int gt_plugin_option_settle(const struct gt_command *command, struct gt_plugin_option *option,
                            struct gt_settings *ret);
/** Open a registry and look at the files, quietly, in copies among the temporary files; @p only:
 * that path instead of pluginPaths. GT_EXIT_OK: it is the caller's to close. */
int gt_plugin_option_open(const struct gt_command *command, const struct gt_settings *settings,
                          const char *only, struct gt_registry **ret);

/** Print a connector with its keys. */
void gt_print_connector(const struct gantry_connector *connector);
/** source or sink. */
const char *gt_kind_name(const struct gantry_connector *connector);

#endif
