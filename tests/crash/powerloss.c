/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that loses what was not synced, for LD_PRELOAD.
 *
 * Calls that change files or folders below PL_ROOTS are carried out, and noted in the journal
 * PL_JOURNAL/journal with what they replaced; so are the syncs. After the process has died, disk.py
 * makes from the journal a state that a power cut could have left. Nothing is lost here: this file
 * only remembers.
 *
 *   PL_ROOTS     folders, separated by ':', without links in them
 *   PL_JOURNAL   a folder on the same file system; trash/ in it keeps what was unlinked
 *   PL_CRASH_AT  the process kills itself before the so-manieth noted call
 *   PL_LIE       a part of a path: syncs of such files are reported as done and do nothing
 *
 * What is modelled: fsync of a file covers its bytes and its size, never its entry in a folder;
 * fsync of a folder covers its entries; a write through a descriptor with O_DSYNC is durable when
 * it returns. Not modelled: stores through a mapping (LMDB makes such only in its lock file, which
 * it never trusts after a start). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum type { WRITE = 1, TRUNCATE, SYNC, CREATE, MKDIR, UNLINK, RENAME, FOLDER_SYNC };

enum { MAGIC = 0x4a4c5001 };

struct record { /* as disk.py reads it */
    uint32_t magic, type;
    uint64_t inode;           /* the file, or the folder that was changed */
    uint64_t child;           /* the file of the entry */
    uint64_t other, replaced; /* RENAME: the folder of the new name, and what had that name */
    int64_t offset, old_size, new_size;
    uint32_t old_len, new_len, name_len, name2_len, durable, unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char trash[PATH_MAX], roots[4096];
static const char *lie;
static uint64_t crash_at, calls;

/* --- plain system calls --- */

static int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static void die(const char *what)
{
    (void)fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("PL_JOURNAL");
    const char *where = getenv("PL_ROOTS");
    const char *at = getenv("PL_CRASH_AT");
    char path[PATH_MAX];
    if (folder == NULL || where == NULL)
        return;
    (void)snprintf(roots, sizeof roots, "%s", where);
    (void)snprintf(trash, sizeof trash, "%s/trash", folder);
    (void)snprintf(path, sizeof path, "%s/journal", folder);
    crash_at = at != NULL ? strtoull(at, NULL, 10) : 0;
    lie = getenv("PL_LIE");
    int fd = sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 800); /* out of the way of the program's numbers */
    if (journal < 0)
        die("F_DUPFD");
    (void)syscall(SYS_close, fd);
}

static void note(struct record *record, const char *name, const char *name2, const void *old,
                 const void *new)
{
    record->magic = MAGIC;
    record->name_len = name != NULL ? (uint32_t)strlen(name) : 0;
    record->name2_len = name2 != NULL ? (uint32_t)strlen(name2) : 0;
    struct iovec parts[] = {
        {record, sizeof *record},
        {(void *)(uintptr_t)name, record->name_len},
        {(void *)(uintptr_t)name2, record->name2_len},
        {(void *)(uintptr_t)old, record->old_len},
        {(void *)(uintptr_t) new, record->new_len},
    };
    size_t all = 0;
    for (size_t i = 0; i < 5; i++)
        all += parts[i].iov_len;
    if (syscall(SYS_writev, journal, parts, 5) != (ssize_t)all)
        die("the journal cannot be written");
}

/* Under the lock, before a call that is noted. */
static void count_call(void)
{
    if (++calls == crash_at) {
        (void)kill(getpid(), SIGKILL);
        for (;;)
            (void)pause();
    }
}

static bool below_roots(const char *path)
{
    for (const char *at = roots; *at != '\0';) {
        size_t len = strcspn(at, ":");
        if (strncmp(path, at, len) == 0 && (path[len] == '/' || path[len] == '\0'))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* The absolute path; false: unknown, or not below the roots. */
static bool resolve(int dir, const char *path, char out[PATH_MAX])
{
    char link[64], base[PATH_MAX];
    if (journal < 0)
        return false;
    if (*path == '/') {
        (void)snprintf(out, PATH_MAX, "%s", path);
        return below_roots(out);
    }
    if (dir == AT_FDCWD)
        (void)snprintf(link, sizeof link, "/proc/self/cwd");
    else
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = readlink(link, base, sizeof base - 1);
    if (len < 0)
        return false;
    base[len] = '\0';
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
        return false;
    return below_roots(out);
}

static bool path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    if (journal < 0)
        return false;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, PATH_MAX - 1);
    if (len < 0)
        return false;
    out[len] = '\0';
    return out[0] == '/' && below_roots(out);
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static uint64_t folder_inode(const char *path)
{
    char folder[PATH_MAX];
    struct stat st;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(last_name(path) - path), path);
    if (stat(folder, &st) != 0)
        die(folder);
    return st.st_ino;
}

/* --- files --- */

static ssize_t noted_write(int fd, const struct iovec *parts, int count, int64_t offset, bool moves)
{
    char path[PATH_MAX];
    struct stat st;
    size_t len = 0, at = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    int flags = fcntl(fd, F_GETFL);
    if (journal < 0 || fd == journal || len == 0 || flags < 0 || fstat(fd, &st) != 0 ||
        !S_ISREG(st.st_mode) || !path_of(fd, path))
        return moves ? syscall(SYS_writev, fd, parts, count)
                     : syscall(SYS_pwritev, fd, parts, count, offset, 0L);

    (void)pthread_mutex_lock(&lock);
    count_call();
    (void)fstat(fd, &st);
    if ((flags & O_APPEND) != 0)
        offset = st.st_size;
    else if (moves)
        offset = lseek(fd, 0, SEEK_CUR);
    char *old = malloc(len), *new = malloc(len);
    if (old == NULL || new == NULL)
        die("malloc");
    for (int i = 0; i < count; i++) {
        memcpy(new + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    /* The descriptor may be for writing only. */
    int reader = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t had = reader >= 0 ? syscall(SYS_pread64, reader, old, len, offset) : 0;
    if (reader >= 0)
        (void)syscall(SYS_close, reader);
    int64_t end = offset + (int64_t)len;
    struct record record = {
        .type = WRITE,
        .inode = st.st_ino,
        .offset = offset,
        .old_size = st.st_size,
        .new_size = end > st.st_size ? end : st.st_size,
        .old_len = had > 0 ? (uint32_t)had : 0,
        .new_len = (uint32_t)len,
        .durable = (flags & O_DSYNC) != 0,
    };
    note(&record, NULL, NULL, old, new);
    ssize_t rc = moves ? syscall(SYS_writev, fd, parts, count)
                       : syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    int reason = errno;
    free(old);
    free(new);
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return rc;
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct iovec part = {(void *)(uintptr_t)data, len};
    return noted_write(fd, &part, 1, 0, true);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return noted_write(fd, parts, count, 0, true);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    struct iovec part = {(void *)(uintptr_t)data, len};
    return noted_write(fd, &part, 1, offset, false);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite(fd, data, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return noted_write(fd, parts, count, offset, false);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    return noted_write(fd, parts, count, offset, false);
}

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    struct stat st;
    if (!path_of(fd, path))
        return (int)syscall(SYS_ftruncate, fd, size);
    (void)pthread_mutex_lock(&lock);
    count_call();
    if (fstat(fd, &st) != 0)
        die(path);
    size_t len = size < st.st_size ? (size_t)(st.st_size - size) : 0;
    char *old = malloc(len + 1);
    int reader = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (old == NULL || reader < 0 ||
        (len > 0 && syscall(SYS_pread64, reader, old, len, size) != (ssize_t)len))
        die(path);
    (void)syscall(SYS_close, reader);
    struct record record = {
        .type = TRUNCATE,
        .inode = st.st_ino,
        .offset = size,
        .old_size = st.st_size,
        .new_size = size,
        .old_len = (uint32_t)len,
    };
    note(&record, NULL, NULL, old, NULL);
    free(old);
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    int reason = errno;
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return rc;
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

static int noted_sync(int fd, int number)
{
    char path[PATH_MAX];
    struct stat st;
    if (!path_of(fd, path) || fstat(fd, &st) != 0)
        return (int)syscall(number, fd);
    (void)pthread_mutex_lock(&lock);
    count_call();
    struct record record = {.type = S_ISDIR(st.st_mode) ? FOLDER_SYNC : SYNC, .inode = st.st_ino};
    if (lie == NULL || strstr(path, lie) == NULL)
        note(&record, NULL, NULL, NULL,
             NULL); /* the journal is the disk: the real one need not be waited for */
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    return noted_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return noted_sync(fd, SYS_fdatasync);
}

/* --- folders --- */

static int noted_open(int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    struct stat st;
    if ((flags & (O_CREAT | O_TRUNC)) == 0 || !resolve(dir, path, full))
        return sys_openat(dir, path, flags, mode);
    (void)pthread_mutex_lock(&lock);
    bool there = lstat(full, &st) == 0;
    if (there && (flags & O_TRUNC) != 0)
        die("O_TRUNC of a file that is there is not modelled");
    if (!there)
        count_call();
    int fd = sys_openat(dir, path, flags, mode);
    int reason = errno;
    if (fd >= 0 && !there) {
        if (fstat(fd, &st) != 0)
            die(full);
        struct record record = {.type = CREATE, .inode = folder_inode(full), .child = st.st_ino};
        note(&record, last_name(full), NULL, NULL, NULL);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return noted_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return noted_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return noted_open(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return noted_open(dir, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    struct stat st;
    if (!resolve(AT_FDCWD, path, full) || lstat(full, &st) == 0)
        return (int)syscall(SYS_mkdir, path, mode);
    (void)pthread_mutex_lock(&lock);
    count_call();
    int rc = (int)syscall(SYS_mkdir, path, mode);
    int reason = errno;
    if (rc == 0 && lstat(full, &st) == 0) {
        struct record record = {.type = MKDIR, .inode = folder_inode(full), .child = st.st_ino};
        note(&record, last_name(full), NULL, NULL, NULL);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return rc;
}

/* Keep a second name of what is about to go. */
static void keep(const char *path, uint64_t inode)
{
    char name[PATH_MAX + 32];
    (void)snprintf(name, sizeof name, "%s/%llu", trash, (unsigned long long)inode);
    if (link(path, name) != 0 && errno != EEXIST)
        die(name);
}

int unlinkat(int dir, const char *path, int flags)
{
    char full[PATH_MAX];
    struct stat st;
    if (!resolve(dir, path, full) || lstat(full, &st) != 0)
        return (int)syscall(SYS_unlinkat, dir, path, flags);
    if (!S_ISREG(st.st_mode))
        die("removing folders is not modelled");
    (void)pthread_mutex_lock(&lock);
    count_call();
    keep(full, st.st_ino);
    struct record record = {.type = UNLINK, .inode = folder_inode(full), .child = st.st_ino};
    note(&record, last_name(full), NULL, NULL, NULL);
    int rc = (int)syscall(SYS_unlinkat, dir, path, flags);
    int reason = errno;
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat2(int dir, const char *from, int dir2, const char *to, unsigned flags)
{
    char full[PATH_MAX], full2[PATH_MAX];
    struct stat st, st2 = {0};
    if (!resolve(dir, from, full) || !resolve(dir2, to, full2) || lstat(full, &st) != 0)
        return (int)syscall(SYS_renameat2, dir, from, dir2, to, flags);
    (void)pthread_mutex_lock(&lock);
    count_call();
    if (lstat(full2, &st2) == 0 && flags == 0 && S_ISREG(st2.st_mode))
        keep(full2, st2.st_ino);
    int rc = (int)syscall(SYS_renameat2, dir, from, dir2, to, flags);
    int reason = errno;
    if (rc == 0) {
        struct record record = {
            .type = RENAME,
            .inode = folder_inode(full),
            .other = folder_inode(full2),
            .child = st.st_ino,
            .replaced = flags == 0 ? st2.st_ino : 0,
        };
        note(&record, last_name(full), last_name(full2), NULL, NULL);
    }
    (void)pthread_mutex_unlock(&lock);
    errno = reason;
    return rc;
}

int renameat(int dir, const char *from, int dir2, const char *to)
{
    return renameat2(dir, from, dir2, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
