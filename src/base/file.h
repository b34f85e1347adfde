/* SPDX-License-Identifier: Apache-2.0 */
/** Files: the few calls through which everything durable goes. Each takes the name of a fault point
 * (base/fault.h). Errors carry the path and the system's reason; ENOSPC and EDQUOT become
 * GANTRY_NO_SPACE, ENOENT GANTRY_NOT_FOUND, EACCES and EPERM GANTRY_DENIED, others GANTRY_IO.
 * Thread: any. May block. */
#ifndef GT_BASE_FILE_H
#define GT_BASE_FILE_H

#include "base/buf.h"

/** Fill @p err from errno: "cannot VERB PATH: REASON". Returns the code. */
int gt_file_error(struct gantry_err *err, const char *verb, const char *path);

/** Write all @p len bytes at @p offset, over short writes. On failure any part may have been
 * written. */
int gt_file_write_at(int fd, const void *data, size_t len, int64_t offset, const char *path,
                     const char *point, struct gantry_err *err);

/** fdatasync. A failure is final: what the kernel had in its cache may be gone, so never call again
 * and go on. */
int gt_file_sync(int fd, const char *path, const char *point, struct gantry_err *err);

/** Make the entries of a folder durable (open, fsync, close). */
int gt_folder_sync(const char *path, const char *point, struct gantry_err *err);

/** Make the entry @p path durable: syncs the folder that holds it. */
int gt_folder_sync_of(const char *path, const char *point, struct gantry_err *err);

/** Read a whole file of at most buf->max bytes. GANTRY_TOO_LARGE beyond. */
int gt_file_read(const char *path, struct gt_buf *buf, struct gantry_err *err);

/** Create a folder and those above it (mode 0755), durable. Present already: fine. */
int gt_folder_make(const char *path, const char *point, struct gantry_err *err);

/** Free bytes of the file system that holds @p path for this user; -1 when unknown. */
int64_t gt_disk_free(const char *path);

#endif
