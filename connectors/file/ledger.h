/* SPDX-License-Identifier: Apache-2.0 */
/** Where a connector stands in each file, whatever the file's name is now. Names move from file to
 * file in a rotation, and the tasks of a connector see them move at different times; so a file is
 * read by whoever holds it here, one follow at a time, and from where the last holder left it.
 * Thread: any; one mutex a plugin, taken when a file is begun or left. */
#ifndef FILE_LEDGER_H
#define FILE_LEDGER_H

#include "position.h"
#include <gantry/connector.h>

struct file_ledgers;     /* of the plugin */
struct file_ledger;      /* of one connector */
struct file_ledger_page; /* one file */

int file_ledgers_new(struct file_ledgers **ret, struct gantry_err *err);
/** No task may be left. NULL is fine. */
void file_ledgers_free(struct file_ledgers *ledgers);

/** A task begins: what its connector has committed is known from here on. */
int file_ledger_join(struct file_ledgers *ledgers, struct gantry_task_context *ctx,
                     struct file_ledger **ret, struct gantry_err *err);
/** The task ends and holds nothing any more. Its files stay closed to the others until it joins
 * again, for they do not know how much of them is committed; the last one that leaves closes the
 * book. NULL is fine. */
void file_ledger_leave(struct file_ledger *ledger);

enum file_standing {
    FILE_UNKNOWN, /* nobody has read it */
    FILE_LEFT,    /* it was read up to a position, and is free */
    FILE_TAKEN,   /* another follow reads it, or another task has */
};

/** How the file stands for a follow of this task that holds @p mine (NULL: nothing). *ret_next: for
 * LEFT, the offset. */
enum file_standing file_ledger_look(struct file_ledger *ledger,
                                    const struct gantry_task_context *ctx,
                                    const struct file_ledger_page *mine, const struct file_stat *st,
                                    int64_t *ret_next);

/** Hold the file of a stored position before it is opened. NULL: another one holds it. */
struct file_ledger_page *file_ledger_reserve(struct file_ledger *ledger,
                                             const struct gantry_task_context *ctx,
                                             const struct file_identity *id);

/** Hold an open file. What was read of it moves @p at on, never back. *ret is @p mine where that is
 * the file already, NULL when it is taken. */
int file_ledger_take(struct file_ledger *ledger, const struct gantry_task_context *ctx,
                     struct file_ledger_page *mine, int fd, const struct file_stat *st,
                     struct file_position *at, struct file_ledger_page **ret,
                     struct gantry_err *err);

/** Let go of a file that was read up to @p at. NULL is fine. */
void file_ledger_release(struct file_ledger *ledger, struct file_ledger_page *page,
                         const struct file_position *at);

/** Let go of a file that is no more. NULL is fine. */
void file_ledger_forget(struct file_ledger *ledger, struct file_ledger_page *page);

#endif
