/* SPDX-License-Identifier: Apache-2.0 */
/* Every call by which the connectors change or read the outside, in one place, so that crash tests
 * can stop or break each of them by name. */
#include "io.h"

#include "faults.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SHOWN 300

void file_io_say(struct gantry_err *err, int code, int reason, const char *verb, const char *path)
{
    char text[128];
    size_t len = strlen(path);
    const char *why = strerror_r(reason, text, sizeof text);
    if (len <= PATH_SHOWN) /* a longer one would push the reason out of the text */
        (void)gantry_err_set(err, code, "cannot %s %s: %s", verb, path, why);
    else
        (void)gantry_err_set(err, code, "cannot %s %.*s...%s: %s", verb, PATH_SHOWN / 2, path,
                             path + len - PATH_SHOWN / 2, why);
}

/* Whether the point's fault takes the place of the call; errno is set then. */
static bool broken(enum gt_fault_action action)
{
    if (action == GT_FAULT_EIO) {
        errno = EIO;
    } else if (action == GT_FAULT_ENOSPC) {
        errno = ENOSPC;
    } else {
        return false;
    }
    return true;
}

ssize_t file_io_read(int fd, void *data, size_t len, int64_t offset, const char *point)
{
    if (broken(gt_fault(point)))
        return -1;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, offset + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int file_io_write(int fd, const void *data, size_t len, int64_t offset, const char *point)
{
    size_t done = 0;
    while (done < len) {
        enum gt_fault_action action = gt_fault(point);
        if (broken(action))
            return -1;
        size_t part = len - done;
        if (action == GT_FAULT_SHORT && part > 1)
            part /= 2;
        ssize_t n = pwrite(fd, (const char *)data + done, part, offset + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

int file_io_sync(int fd, const char *point)
{
    enum gt_fault_action action = gt_fault(point);
    if (broken(action))
        return -1;
    if (action == GT_FAULT_SKIP)
        return 0;
    return fdatasync(fd);
}

int file_io_folder_sync(const char *folder, const char *point)
{
    enum gt_fault_action action = gt_fault(point);
    if (broken(action))
        return -1;
    if (action == GT_FAULT_SKIP)
        return 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int reason = errno;
    (void)close(fd); /* opened for reading: nothing is lost with it */
    errno = reason;
    return rc;
}

int file_io_create(const char *path, int flags, const char *point)
{
    if (broken(gt_fault(point)))
        return -1;
    return open(path, flags | O_CLOEXEC, 0666);
}

int file_io_rename(const char *from, const char *to, const char *point)
{
    if (broken(gt_fault(point)))
        return -1;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    /* A file system without RENAME_NOREPLACE: look first. */
    struct stat st;
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

int file_io_truncate(int fd, int64_t len, const char *point)
{
    if (broken(gt_fault(point)))
        return -1;
    return ftruncate(fd, len);
}

int file_io_unlink(const char *path, const char *point)
{
    if (broken(gt_fault(point)))
        return -1;
    return unlink(path);
}
