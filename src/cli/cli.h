/* SPDX-License-Identifier: Apache-2.0 */
/** The command line: one table of subcommands (commands.c), each subcommand in a file of its own.
 *  Thread: main. */
#ifndef GT_CLI_CLI_H
#define GT_CLI_CLI_H

#include "base/view.h"

/** Exit statuses. */
enum gt_exit {
    GT_EXIT_OK = 0,
    GT_EXIT_FAILED = 1, /* it was tried and did not work */
    GT_EXIT_USAGE = 2,  /* the command line or the configuration is wrong: nothing was tried */
};

/** One subcommand. */
struct gt_command {
    const char *name;    /* "worker", or two words: "topic ls" */
    const char *usage;   /* what may follow the name */
    const char *summary; /* a few words, for the list */
    const char *help;    /* the rest of `gantry help NAME`, lines with newlines; may be "" */
    /** @p argv: what follows the name. Returns an enum gt_exit. */
    int (*run)(const struct gt_command *command, int argc, char **argv);
    void (*more_help)(FILE *out); /* may be NULL */
};

/** Run what the arguments say; returns the exit status. */
int gt_cli_main(int argc, char **argv);

/** Print `gantry NAME: PROBLEM` and how to get help; returns GT_EXIT_USAGE. */
int gt_usage_error(const struct gt_command *command, const char *problem);
/** Print `gantry NAME: TEXT`; returns the exit status that fits the error's code. */
int gt_command_failed(const struct gt_command *command, const struct gantry_err *err);

int gt_command_worker(const struct gt_command *command, int argc, char **argv);
int gt_command_run(const struct gt_command *command, int argc, char **argv);
int gt_command_topic_ls(const struct gt_command *command, int argc, char **argv);
int gt_command_topic_cat(const struct gt_command *command, int argc, char **argv);
int gt_command_topic_tail(const struct gt_command *command, int argc, char **argv);
int gt_command_topic_describe(const struct gt_command *command, int argc, char **argv);
int gt_command_topic_repair(const struct gt_command *command, int argc, char **argv);
int gt_command_connector_reset(const struct gt_command *command, int argc, char **argv);
int gt_command_connector_classes(const struct gt_command *command, int argc, char **argv);
int gt_command_connector_describe(const struct gt_command *command, int argc, char **argv);
int gt_command_plugin_list(const struct gt_command *command, int argc, char **argv);
int gt_command_plugin_check(const struct gt_command *command, int argc, char **argv);
int gt_command_plugin_describe(const struct gt_command *command, int argc, char **argv);

#endif
