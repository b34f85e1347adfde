/* SPDX-License-Identifier: Apache-2.0 */
/** The plugins that a command is about: those that a worker with these settings has. Thread: main.
 */
#ifndef GT_CLI_PLUGIN_OPTION_H
#define GT_CLI_PLUGIN_OPTION_H

#include "cli/cli.h"
#include "cli/options.h"
#include "host/host.h"
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

/** A registry without a worker. Zeroed is closed. */
struct gt_plugin_look {
    struct gt_registry *registry;
    struct gt_hosts *hosts; /* for jars and manifests, which only a host can ask */
};

/** Open one and look at the files, quietly, in copies among the temporary files; @p only: that path
 * instead of pluginPaths. It takes no longer than host.start.timeout.ms and host.call.timeout.ms
 * allow each host. GT_EXIT_OK: it is the caller's to close. */
int gt_plugin_look_open(const struct gt_command *command, const struct gt_settings *settings,
                        const char *only, struct gt_plugin_look *ret);
void gt_plugin_look_close(struct gt_plugin_look *look);

/** Print a connector with its keys. */
void gt_print_connector(const struct gantry_connector *connector);
/** source or sink. */
const char *gt_kind_name(const struct gantry_connector *connector);

#endif
