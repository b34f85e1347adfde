/* SPDX-License-Identifier: Apache-2.0 */
/** gantry run, its parts: run.c sets the pair of connectors up, run_progress.c watches it. Thread:
 * main. */
#ifndef GT_CLI_RUN_H
#define GT_CLI_RUN_H

#include "cli/http_get.h"
#include "cli/serve.h"
#include <signal.h>
#include <sys/types.h>

struct gt_run {
    const struct gt_command *command;
    struct gt_settings settings;
    const char *stats_file; /* NULL: none */
    bool exit_when_done, quiet, terminal;
    char *in, *out;              /* owned; absolute */
    char *topic, *source, *sink; /* owned; their names */
    char *store;                 /* owned: where positions and progress are seen */
    bool whole_lines;            /* IN ended with a newline when it was looked at */
    pid_t worker;
    struct gt_http_target rest;
};

/** Set by SIGINT and SIGTERM. */
extern volatile sig_atomic_t gt_run_stopped;

/** Create the connectors through REST: runs @p create, and measures from just before it until
 * everything has arrived. Shows progress; returns when a signal came, or the worker ended, or
 * everything has arrived and exit_when_done is set. Returns the exit status. */
int gt_run_watch(struct gt_run *run, int (*create)(struct gt_run *run, struct gantry_err *err));

#endif
