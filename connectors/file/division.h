/* SPDX-License-Identifier: Apache-2.0 */
/** The names and patterns of `filename`, and which task each file belongs to.
 *
 *  Files that are generations of one another belong to one task: it reads them in order, and what
 * it passes over, because another of its follows has begun it, is begun anew with all the rest when
 * the task fails. Plain names are dealt out in turn, each with those of which it is a generation.
 * Where there are patterns the beginning of the name chooses (file_generation_family). Thread: any.
 */
#ifndef FILE_DIVISION_H
#define FILE_DIVISION_H

#include <gantry/config.h>
#include <gantry/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_name {
    const char *text; /* as configured, without blanks around it */
    bool pattern;
    uint32_t turn; /* of a plain name, where there are no patterns */
};

struct file_division {
    char *copy;              /* owned: the texts */
    struct file_name *names; /* owned; in the order of the list */
    size_t count;
    bool patterns;
    uint32_t turns;
};

/** 0 or GANTRY_NO_MEMORY; needs file_division_deinit() in each case. */
int file_division_read(struct file_division *division, const struct gantry_config *config,
                       struct gantry_err *err);
void file_division_deinit(struct file_division *division);

bool file_name_is_pattern(const char *name);

/** How many of @p max tasks have something to do; 1 at least. */
uint32_t file_division_tasks(const struct file_division *division, uint32_t max);
/** The task of a plain name. */
uint32_t file_division_task(const struct file_division *division, const struct file_name *name,
                            uint32_t tasks);
/** The task of a file that a pattern finds; @p name: without its folder. */
uint32_t file_division_found(const char *name, uint32_t tasks);
/** Whether the path is a plain name of the list. */
bool file_division_has(const struct file_division *division, const char *path);

#endif
