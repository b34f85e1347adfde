/* SPDX-License-Identifier: Apache-2.0 */
/** System calls of the file connectors, each with the name of a fault point (faults.h). They return
 * -1 with errno, like the calls themselves; file_io_error() turns errno into an error with words.
 * Thread: any. */
#ifndef FILE_IO_H
#define FILE_IO_H

#include <gantry/error.h>
#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

/** Fill @p err: "cannot VERB PATH: REASON". */
void file_io_say(struct gantry_err *err, int code, int reason, const char *verb, const char *path);

/** The same for errno. ENOSPC, EDQUOT: NO_SPACE. ENOENT: NOT_FOUND. EACCES, EPERM, EROFS: DENIED.
 *  ENOMEM: NO_MEMORY. Others: IO. Returns the code. Inline, so that a checker sees that it is never
 * 0. */
static inline int file_io_error(struct gantry_err *err, const char *verb, const char *path)
{
    int reason = errno;
    int code = GANTRY_IO;
    if (reason == ENOSPC || reason == EDQUOT) {
        code = GANTRY_NO_SPACE;
    } else if (reason == ENOENT) {
        code = GANTRY_NOT_FOUND;
    } else if (reason == EACCES || reason == EPERM || reason == EROFS) {
        code = GANTRY_DENIED;
    } else if (reason == ENOMEM) {
        code = GANTRY_NO_MEMORY;
    }
    file_io_say(err, code, reason, verb, path);
    return code;
}

/** Read up to @p len bytes, fewer only at the end of the file. */
ssize_t file_io_read(int fd, void *data, size_t len, int64_t offset, const char *point);

/** Write all bytes, over short writes. On failure any part may have been written. */
int file_io_write(int fd, const void *data, size_t len, int64_t offset, const char *point);

/** fdatasync. A failure is final: never call again and go on as if nothing had happened. */
int file_io_sync(int fd, const char *point);

/** fsync of a folder: makes its entries durable. */
int file_io_folder_sync(const char *folder, const char *point);

/** open(2) with O_CLOEXEC and mode 0666 less the umask. */
int file_io_create(const char *path, int flags, const char *point);

/** Rename, but never over an existing file (EEXIST). */
int file_io_rename(const char *from, const char *to, const char *point);

int file_io_truncate(int fd, int64_t len, const char *point);

int file_io_unlink(const char *path, const char *point);

#endif
