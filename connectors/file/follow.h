/* SPDX-License-Identifier: Apache-2.0 */
/** One followed file of a source task: from its position to the end, through rotations and
 * truncations. Thread: the task's. */
#ifndef FILE_FOLLOW_H
#define FILE_FOLLOW_H

#include "lines.h"
#include "plugin.h"

#define FILE_NEVER INT64_MAX

struct file_follow;
struct source_task;

/** What the task's configuration says; outlives its follows. */
struct file_follow_options {
    struct file_line_options lines;
    int64_t line_timeout_ms; /* 0: never */
    int64_t poll_ms;         /* where there are no events */
    int64_t rotate_wait_ms;  /* how long a rotated file must stand still that may be written */
    bool from_end;           /* file.start=end */
    /* Whether a follow other than @p but reads this file, or will. */
    bool (*taken)(const struct source_task *task, const struct file_follow *but,
                  const struct file_stat *st);
    const struct source_task *task;
    bool patterns; /* some files are found by pattern: finished generations are kept */
};

/** How a follow comes to be. */
struct file_follow_start {
    const char *path;    /* as configured; names the partition */
    const char *pattern; /* its numbered generations that match are read before it; NULL: none */
    bool found;          /* by a pattern: given up when it is deleted */
    bool late;           /* appeared while the task ran: file.start does not count */
    const struct file_position *position; /* NULL: the committed one */
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
/** Whether the follow stands in this file, whatever its name. */
bool file_follow_in(const struct file_follow *follow, const struct file_stat *st);
/** The same, or it will be the first file that it opens. */
bool file_follow_takes(const struct file_follow *follow, const struct file_stat *st);
/** Found by a pattern, deleted and read to its end: nothing will come of it. */
bool file_follow_over(const struct file_follow *follow);
/** The end of the generation that the last fill finished: where it stands under its name of now.
 * False: none. Taken back by the call. @p ret_path is to be freed by the caller. */
bool file_follow_take_finished(struct file_follow *follow, struct file_position *ret,
                               char **ret_path);

#endif
