/* SPDX-License-Identifier: Apache-2.0 */
/* File calls with fault points. A point is passed before each system call that it names. */
#include "base/file.h"

#include "base/fault.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int gt_file_error(struct gantry_err *err, const char *verb, const char *path)
{
    int code = GANTRY_IO;
    int reason = errno;
    if (reason == ENOSPC || reason == EDQUOT)
        code = GANTRY_NO_SPACE;
    else if (reason == ENOENT)
        code = GANTRY_NOT_FOUND;
    else if (reason == EACCES || reason == EPERM)
        code = GANTRY_DENIED;
    return gantry_err_set(err, code, "cannot %s %s: %s", verb, path, strerrordesc_np(reason));
}

/* Whether the action of a fault point makes its call fail; errno says how. */
static bool fails(enum gt_fault_action action)
{
    if (action != GT_FAULT_EIO && action != GT_FAULT_ENOSPC)
        return false;
    errno = action == GT_FAULT_EIO ? EIO : ENOSPC;
    return true;
}

int gt_file_write_at(int fd, const void *data, size_t len, int64_t offset, const char *path,
                     const char *point, struct gantry_err *err)
{
    const char *from = data;

    while (len > 0) {
        enum gt_fault_action action = gt_fault(point);
        if (fails(action))
            return gt_file_error(err, "write", path);
        if (action == GT_FAULT_SKIP)
            return GANTRY_OK;
        size_t part = action == GT_FAULT_SHORT && len > 1 ? len / 2 : len;
        ssize_t written = pwrite(fd, from, part, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = EIO;
        if (written <= 0)
            return gt_file_error(err, "write", path);
        from += written;
        len -= (size_t)written;
        offset += written;
    }
    return GANTRY_OK;
}

int gt_file_sync(int fd, const char *path, const char *point, struct gantry_err *err)
{
    enum gt_fault_action action = gt_fault(point);
    if (action == GT_FAULT_SKIP)
        return GANTRY_OK;
    if (fails(action) || fdatasync(fd) != 0)
        return gt_file_error(err, "sync", path);
    return GANTRY_OK;
}

int gt_folder_sync(const char *path, const char *point, struct gantry_err *err)
{
    enum gt_fault_action action = gt_fault(point);
    if (action == GT_FAULT_SKIP)
        return GANTRY_OK;
    if (fails(action))
        return gt_file_error(err, "sync folder", path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return gt_file_error(err, "open folder", path);
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (rc == 0 || rc == EINVAL) /* EINVAL: this file system has no sync of folders (some network
                                    and FUSE ones) */
        return GANTRY_OK;
    errno = rc;
    return gt_file_error(err, "sync folder", path);
}

/* The folder that holds @p path (trailing slashes do not count). 0 or GANTRY_TOO_LARGE. */
static int parent_of(const char *path, char parent[PATH_MAX], struct gantry_err *err)
{
    size_t len = strlen(path);
    if (len == 0 || len >= PATH_MAX)
        return gantry_err_set(err, len == 0 ? GANTRY_INVALID : GANTRY_TOO_LARGE,
                              "the path '%.100s' has %zu bytes; 1 to %d are possible", path, len,
                              PATH_MAX - 1);
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    memcpy(parent, len == 0 ? "." : path, len == 0 ? 1 : len);
    parent[len == 0 ? 1 : len] = '\0';
    return GANTRY_OK;
}

int gt_folder_sync_of(const char *path, const char *point, struct gantry_err *err)
{
    char parent[PATH_MAX];
    int rc = parent_of(path, parent, err);
    return rc != 0 ? rc : gt_folder_sync(parent, point, err);
}

int gt_file_read(const char *path, struct gt_buf *buf, struct gantry_err *err)
{
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gt_file_error(err, "open", path);
    for (;;) {
        size_t room = buf->max - buf->len;
        char probe; /* one byte beyond the limit tells a file that is just as large from a larger
                       one */
        size_t want = room > 65536 ? 65536 : room;
        char *to = want > 0 ? gt_buf_reserve(buf, want) : &probe;
        if (to == NULL) {
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read %s: out of memory", path);
            break;
        }
        ssize_t got = read(fd, to, want > 0 ? want : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = gt_file_error(err, "read", path);
        else if (got > 0 && want == 0)
            rc = gantry_err_set(err, GANTRY_TOO_LARGE, "cannot read %s: it has more than %zu bytes",
                                path, buf->max);
        if (got <= 0 || rc != 0)
            break;
        buf->len += (size_t)got;
    }
    close(fd);
    return rc;
}

/* Sync the folder above something that was there already: a run that was killed between mkdir and
 * sync may have left it so. Who may not read that folder cannot have made anything in it. */
static int sync_again(const char *path, const char *point, struct gantry_err *err)
{
    int rc = gt_folder_sync_of(path, point, err);
    return rc == GANTRY_DENIED ? GANTRY_OK : rc;
}

int gt_folder_make(const char *path, const char *point, struct gantry_err *err)
{
    char part[PATH_MAX]; /* the path up to the slash that we are at */
    size_t existing = 0; /* length of the longest part that was there already */
    size_t len = strlen(path);
    struct stat status;

    if (len == 0 || len >= sizeof part)
        return gantry_err_set(err, len == 0 ? GANTRY_INVALID : GANTRY_TOO_LARGE,
                              "the path '%.100s' has %zu bytes; 1 to %d are possible", path, len,
                              PATH_MAX - 1);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0755) == 0) {
            int rc = gt_folder_sync_of(part, point, err);
            if (rc != 0)
                return rc;
        } else if (errno == EEXIST) {
            existing = i;
        } else {
            return gt_file_error(err, "make folder", part);
        }
        part[i] = path[i];
    }
    if (stat(path, &status) != 0)
        return gt_file_error(err, "make folder", path);
    if (!S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        return gt_file_error(err, "make folder", path);
    }
    part[existing] = '\0';
    return existing > 0 ? sync_again(part, point, err) : GANTRY_OK;
}

int64_t gt_disk_free(const char *path)
{
    struct statvfs fs;
    uint64_t bytes;
    if (statvfs(path, &fs) != 0)
        return -1;
    if (__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, &bytes) ||
        bytes > INT64_MAX)
        return INT64_MAX;
    return (int64_t)bytes;
}
