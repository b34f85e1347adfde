/* SPDX-License-Identifier: Apache-2.0 */
/** One followed file of a source task: from its position to the end, through rotations and
 * truncations. Thread: the task's. */
#ifndef FILE_FOLLOW_H
#define FILE_FOLLOW_H

#include "lines.h"
#include "plugin.h"

#define FILE_NEVER INT64_MAX

struct file_follow;

/** What the task's configuration says; outlives its follows. */
struct file_follow_options {
    struct file_line_options lines;
    int64_t line_timeout_ms;    /* 0: never */
    int64_t poll_ms;            /* where there are no events */
    int64_t rotate_wait_ms;     /* how long a rotated file must stand still that may be written */
    bool from_end;              /* file.start=end */
    struct file_ledger *ledger; /* the connector's; NULL: it follows one name alone */
};

/** How a follow comes to be. */
struct file_follow_start {
    const char *path;    /* as configured; names the partition */
    const char *pattern; /* its numbered generations that match are read before it; NULL: none */
    bool found;          /* by a pattern: given up when it is deleted */
    bool late;           /* appeared while the task ran: file.start does not count */
};

/** Checks roots, takes the claim, looks up the committed position, registers for events. Opens
 * nothing yet. */
int file_follow_new(struct file_plugin *plugin, struct gantry_task_context *ctx,
                    const struct file_follow_options *options,
                    const struct file_follow_start *start, struct file_follow **ret,
                    struct gantry_err *err);
/** NULL is fine. */
void file_follow_free(struct file_follow *follow);

/** Whether there may be something to do. */
bool file_follow_due(struct file_follow *follow, int64_t now_ms);
/** When to come again without an event; FILE_NEVER: only then. */
int64_t file_follow_due_at(const struct file_follow *follow);

/** Add what is there to the batch, with one mark behind it; on failure, too, what was added is
 * marked. */
int file_follow_fill(struct file_follow *follow, struct file_fill *fill, struct gantry_err *err);

const char *file_follow_path(const struct file_follow *follow);
/** Bytes known and not given out yet. */
int64_t file_follow_lag(const struct file_follow *follow);
/** Found by a pattern, deleted and read to its end: nothing will come of it. */
bool file_follow_over(const struct file_follow *follow);
/** Whether the last fill moved on from a file, which may match a pattern under its name of now.
 * Taken back by the call. */
bool file_follow_take_left(struct file_follow *follow);

#endif
