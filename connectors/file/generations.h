/* SPDX-License-Identifier: Apache-2.0 */
/** The older generations of a followed file: where rename-and-create rotation put what was not read
 * yet.
 *
 *  The rule. A generation of NAME is a regular file in the same folder whose name is NAME, a
 * character that is no letter or digit, and anything (app.log.1, app.log-20260101, app.log.old), or
 * NAME with something of that kind in front of its extension (app-20260101.log, app.1.log).
 * Compressed files are none. Generations are ordered by birth time, where that is unknown or the
 * same by modification time, then by the number in the name: numbers of up to three digits without
 * leading zeros grow with age (logrotate's .1 is the newest), others (dates, 000001) with time;
 * where other files of the folder show the opposite, that holds. NAME itself is the newest; what
 * was born after it is no generation of it. A file whose bytes an older one begins with is a copy,
 * and is passed over. Thread: any; reads the folder. */
#ifndef FILE_GENERATIONS_H
#define FILE_GENERATIONS_H

#include "identity.h"

/** An open file of the folder. */
struct file_generation {
    int fd;     /* owned by the caller; -1: none */
    char *path; /* owned by the caller */
};

/** Find the file with this identity in the folder, under whatever name. 0 also when there is none.
 */
int file_generation_find(const char *folder, const struct file_identity *id,
                         struct file_generation *ret, struct gantry_err *err);

/** The generation of @p name that follows the file @p after (last modified at @p modified_ns); @p
 * name itself when there is none in between. With a @p pattern (NULL: none) only names of numbered
 * generations that match it count. 0 also when there is none. */
int file_generation_next(const char *folder, const char *name, const struct file_identity *after,
                         int64_t modified_ns, const char *pattern, struct file_generation *ret,
                         struct gantry_err *err);

void file_generation_deinit(struct file_generation *generation);

/** Whether a file called @p name may be a generation of @p base; both without their folder. */
bool file_generation_of(const char *name, const char *base);

/** Whether @p name is @p base with a separator and a number behind it: a rotated file, for
 * patterns. */
bool file_generation_numbered(const char *name, const char *base);

/** How much of the beginning of @p name all its generations, and whatever it is a generation of,
 * have in common: files that differ there have nothing to do with each other. */
size_t file_generation_family(const char *name);

/** Whether some process has the open file open for writing: 1, 0, or -1 when the system does not
 * tell us. */
int file_has_writer(int fd);

#endif
