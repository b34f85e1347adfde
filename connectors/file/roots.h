/* SPDX-License-Identifier: Apache-2.0 */
/** Which folders the file connectors may touch, and what a path really names. Thread: any. */
#ifndef FILE_ROOTS_H
#define FILE_ROOTS_H

#include <gantry/connector.h>

/** The absolute path without links, "." and "..": of the file itself where it exists (a link's
 * target, then), else of the folders that do exist with the rest behind. *ret: to be freed by the
 * caller. GANTRY_INVALID, GANTRY_NO_MEMORY, or what the system says. */
int file_path_resolve(const char *path, char **ret, struct gantry_err *err);

/** Folder ("." when there is none) and name of a path, as written; both to be freed by the caller.
 * GANTRY_INVALID when the path ends in '/', "." or "..". */
int file_path_split(const char *path, char **ret_folder, char **ret_name, struct gantry_err *err);

/** Whether a folder's path goes through a link, so that it may lead elsewhere without an event. */
bool file_path_has_link(const char *folder);

/** Check @p resolved (of file_path_resolve; shown as @p path) against the settings
 * connectors.file.roots and rest.beyond.loopback. GANTRY_DENIED with the remedy. */
int file_roots_check(const struct gantry_runtime *runtime, const char *path, const char *resolved,
                     struct gantry_err *err);

/** The same for a file that is open already: a link may have changed after the check of its path.
 */
int file_roots_check_open(const struct gantry_runtime *runtime, const char *path, int fd,
                          struct gantry_err *err);

#endif
