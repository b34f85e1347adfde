/* SPDX-License-Identifier: Apache-2.0 */
/** Options of one subcommand: a table of names and where their values go.
 *  `--name VALUE`, `--name=VALUE`, flags `--name`, `--` ends the options; what is left are
 * operands. Thread: main. */
#ifndef GT_CLI_OPTIONS_H
#define GT_CLI_OPTIONS_H

#include "base/map.h"

/** Exactly one of the three targets is set. */
struct gt_option {
    const char *name; /* with its dashes: "--store", "-c" */
    bool *flag;
    const char **text;
    int64_t *number; /* 0 or more */
};

struct gt_options {
    const struct gt_option *table;
    size_t count;
    const char **operands; /* out: borrowed from argv */
    size_t operands_min, operands_max;
    const char *operands_name; /* for messages: "TOPIC" */
    size_t operand_count;      /* out */
    struct gt_props
        *settings; /* not NULL: KEY=VALUE, --KEY VALUE and --KEY=VALUE of any other key go here */
};

/** 0; GANTRY_INVALID with what is wrong, its value, and the nearest known name; GANTRY_NO_MEMORY.
 */
int gt_options_parse(struct gt_options *options, int argc, char **argv, struct gantry_err *err);

#endif
