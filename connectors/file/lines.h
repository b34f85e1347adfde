/* SPDX-License-Identifier: Apache-2.0 */
/** Records of lines: what becomes of complete, incomplete and too long ones. Reads no file.
 * Thread: the task's. */
#ifndef FILE_LINES_H
#define FILE_LINES_H

#include "position.h"
#include <gantry/connector.h>

enum file_long_line { FILE_LONG_FAIL, FILE_LONG_SKIP, FILE_LONG_CUT };

struct file_line_options {
    int64_t max; /* bytes without the newline */
    enum file_long_line too_long;
    const char *dead_topic; /* owned by the task */
};

/** One poll of the task. */
struct file_fill {
    struct gantry_batch *batch;
    size_t left;    /* bytes that the batch still takes */
    int64_t now_ms; /* monotonic */
};

/** The lines of one followed name. All pointers are borrowed. */
struct file_lines {
    struct gantry_task_context *ctx;
    const struct file_line_options *options;
    const char *path;
    const struct gantry_schema *schema;
    uint64_t long_count; /* lines that were too long */
};

/** Make records of a block that begins at the position, which moves over what was dealt with, on
 * failure too. The records point into the block. Less than all is dealt with where a line's end is
 * missing: file_line_options.max + 1 bytes are always enough to go on. */
int file_lines_split(struct file_lines *lines, struct file_fill *fill, struct file_position *at,
                     const char *block, size_t size, struct gantry_err *err);

/** Give out an incomplete line, of which these bytes are there: as the part of one, or as all there
 * will ever be of it. */
int file_lines_rest(struct file_lines *lines, struct file_fill *fill, struct file_position *at,
                    const char *data, size_t len, bool part, struct gantry_err *err);

/** A line of which parts were given has lost its rest: its last part is empty. */
int file_lines_close(struct file_lines *lines, struct file_fill *fill,
                     const struct file_position *at, struct gantry_err *err);

#endif
