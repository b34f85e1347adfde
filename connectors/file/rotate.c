/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation of a sink's file. The steps and what a crash between them leaves:
 *
 *   1. the intention "NAME becomes NAME.n" is committed, with all of NAME's bytes synced
 *   2. rename NAME to NAME.n           NAME is ours: begin here
 *   3. sync the folder                 NAME.n is ours, NAME is missing: go on here
 *   4. make NAME                       NAME.n is ours, NAME is empty: it is taken
 *   5. commit NAME's identity (the folder is synced before)
 *   6. the first byte goes to NAME
 *
 * Nothing is written between 1 and 6, so a NAME that has bytes while NAME.n is ours is somebody
 * else's. */
#include "sink.h"

#include "io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *file_sink_rotated_path(const struct file_sink *sink, int64_t number)
{
    size_t room = strlen(sink->path) + 24;
    char *path = malloc(room);
    if (path != NULL)
        (void)snprintf(path, room, "%s.%06" PRId64, sink->path, number);
    return path;
}

/* The number of NAME.000123, or 0 when it is no such name. */
static int64_t number_of(const struct file_sink *sink, const char *name)
{
    size_t n = strlen(sink->name);
    if (strncmp(name, sink->name, n) != 0 || name[n] != '.')
        return 0;
    const char *digits = name + n + 1;
    size_t len = strspn(digits, "0123456789");
    if (len < 6 || len > 18 || digits[len] != '\0')
        return 0;
    return strtoll(digits, NULL, 10);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* The numbers of the rotated files, ascending; *ret to be freed by the caller. */
static int list_numbers(const struct file_sink *sink, int64_t **ret, size_t *ret_count,
                        struct gantry_err *err)
{
    DIR *dir = opendir(sink->folder);
    if (dir == NULL)
        return file_io_error(err, "list", sink->folder);
    int64_t *numbers = NULL;
    size_t count = 0, cap = 0;
    int rc = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t number = number_of(sink, entry->d_name);
        if (number <= 0)
            continue;
        if (count == cap) {
            cap = cap > 0 ? 2 * cap : 16;
            int64_t *more = realloc(numbers, cap * sizeof *numbers);
            if (more == NULL) {
                rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the files of %s",
                                    sink->path);
                break;
            }
            numbers = more;
        }
        numbers[count++] = number;
    }
    (void)closedir(dir); /* only read */
    if (rc != 0) {
        free(numbers);
        return rc;
    }
    if (count > 1)
        qsort(numbers, count, sizeof *numbers, by_value);
    *ret = numbers;
    *ret_count = count;
    return 0;
}

int file_sink_last_number(const struct file_sink *sink, int64_t *ret, struct gantry_err *err)
{
    int64_t *numbers = NULL;
    size_t count = 0;
    int rc = list_numbers(sink, &numbers, &count, err);
    if (rc == 0)
        *ret = count > 0 ? numbers[count - 1] : 0;
    free(numbers);
    return rc;
}

void file_sink_trim(struct file_sink *sink)
{
    int64_t *numbers = NULL;
    size_t count = 0;
    struct gantry_err err = {0};
    if (sink->rotate_keep == 0)
        return;
    if (list_numbers(sink, &numbers, &count, &err) != 0) {
        sink->ctx->log(sink->ctx, GANTRY_LOG_WARN, err.text);
        return;
    }
    for (size_t i = 0; i + (size_t)sink->rotate_keep < count; i++) {
        if (numbers[i] > sink->state.sequence)
            break;
        char *path = file_sink_rotated_path(sink, numbers[i]);
        if (path != NULL && file_io_unlink(path, "sink.unlink") != 0 && errno != ENOENT) {
            (void)file_io_error(&err, "delete", path);
            sink->ctx->log(sink->ctx, GANTRY_LOG_WARN, err.text);
        }
        free(path);
    }
    free(numbers);
}

/* Step 2. Both names at once are what a file system without a journal may leave of a rename that
 * lost power: it is carried through. */
static int rename_own(struct file_sink *sink, const char *to, struct gantry_err *err)
{
    if (file_io_rename(sink->path, to, "sink.rename") == 0)
        return 0;
    if (errno != EEXIST)
        return file_io_error(err, "rename", sink->path);
    struct file_stat st;
    if (file_stat_get(-1, to, &st) == 0 && file_identity_fits(&sink->state.id, &st))
        return file_io_unlink(sink->path, "sink.unlink-old") == 0
                   ? 0
                   : file_io_error(err, "rename", sink->path);
    return gantry_err_set(err, GANTRY_CHANGED,
                          "file %s cannot be rotated: %s was made by somebody else; move it away",
                          sink->path, to);
}

static int check_renamed(struct file_sink *sink, const char *to, struct gantry_err *err)
{
    struct file_stat st;
    if (file_stat_get(-1, to, &st) != 0) {
        if (errno == ENOENT)
            return file_sink_changed(sink, err, "is gone, and so is what it was to be renamed to",
                                     0);
        return file_io_error(err, "look at", to);
    }
    if (!file_identity_fits(&sink->state.id, &st))
        return file_sink_changed(sink, err, "is gone, and its rotated name is another file",
                                 st.size);
    if (st.size < sink->state.length)
        return file_sink_changed(sink, err, "was rotated and became shorter", st.size);
    return 0;
}

/* Step 4: a file that is there and empty is what a crash left of this step. */
static int make_new(struct file_sink *sink, struct gantry_err *err)
{
    int fd = file_io_create(sink->path, O_RDWR | O_CREAT | O_NOFOLLOW, "sink.create");
    if (fd < 0)
        return file_io_error(err, "create", sink->path);
    struct file_stat st;
    int rc = 0;
    if (file_stat_get(fd, NULL, &st) != 0)
        rc = file_io_error(err, "look at", sink->path);
    else if (!S_ISREG(st.mode) || st.size != 0)
        rc = gantry_err_set(err, GANTRY_CHANGED,
                            "file %s was made by somebody else (%" PRId64
                            " bytes) while it was rotated; "
                            "move it away",
                            sink->path, st.size);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    if (sink->fd >= 0)
        (void)close(sink->fd); /* synced before the intention was committed */
    sink->fd = fd;
    sink->state.id =
        (struct file_identity){.device = st.device, .inode = st.inode, .born_ns = st.born_ns};
    return 0;
}

int file_sink_rotate(struct file_sink *sink, struct gantry_err *err)
{
    char *to = file_sink_rotated_path(sink, sink->state.rotate);
    if (to == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to rotate %s", sink->path);
    struct file_stat st;
    int rc = 0;
    bool named = file_stat_get(-1, sink->path, &st) == 0;
    if (!named && errno != ENOENT) {
        rc = file_io_error(err, "look at", sink->path);
    } else if (named && file_identity_fits(&sink->state.id, &st)) {
        if (st.size != sink->state.length)
            rc = file_sink_changed(sink, err, "has another length", st.size);
        else
            rc = rename_own(sink, to, err);
    } else {
        rc = check_renamed(sink, to, err);
    }
    /* Before the new file is made: else its entry could reach the disk, and the renamed one's not.
     */
    if (rc == 0 && file_io_folder_sync(sink->folder, "sink.rename-sync") != 0)
        rc = file_io_error(err, "sync the folder", sink->folder);
    if (rc == 0)
        rc = make_new(sink, err);
    free(to);
    if (rc != 0)
        return rc;
    sink->state.sequence = sink->state.rotate;
    sink->state.rotate = 0;
    sink->state.length = sink->tail_end = sink->writeback_from = 0;
    sink->synced = -1;
    sink->want_rotate = false;
    sink->new_file = sink->folder_changed = true;
    return 0;
}
