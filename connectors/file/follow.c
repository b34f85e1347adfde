/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is read, and from where: a block is read into the batch's memory, and lines.c makes
 * records of it. No line is carried from poll to poll: an incomplete one is read again.
 * The head of the file is hashed again after each block has been read, so that a block that was
 * read while somebody truncated and rewrote the file is dropped.
 *
 * The source is not mapped: a truncation would kill the worker. */
#include "follow.h"

#include "generations.h"
#include "io.h"
#include "roots.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_POINT     "source.read"
#define WAIT_RETRY_MS  1000
#define WRITER_LOOK_MS 50

struct file_follow {
    struct file_plugin *plugin;
    struct gantry_task_context *ctx;
    const struct file_follow_options *options;
    char *path, *folder, *name; /* owned; as configured */
    char *real_folder;          /* owned; NULL: the same. Where the file of a link lies */
    char *pattern;              /* owned; NULL: none */
    char *schema_name;          /* owned */
    struct gantry_schema schema;
    struct file_lines lines;
    struct file_claim *claim;
    struct file_ledger_page *page; /* of the file that is open, or will be; NULL: none */
    struct file_watch_entry *entry, *real_entry; /* real: of a link's target; NULL: none */
    int fd;                                      /* -1: not open */
    struct file_position at;
    bool linked;                          /* the folder's path goes through a link */
    uint64_t folder_device, folder_inode; /* then: which one is watched */
    bool found;
    bool deleted;   /* and read to its end; closed */
    bool elsewhere; /* another follow reads the file; closed */
    bool left;      /* a file, for the next one */
    bool stored;    /* `at` came from the store */
    bool late;
    bool moved; /* `at` must be marked */
    bool told_waiting;
    int64_t due_ms;
    int64_t lag;
    int64_t part_from, part_since_ms;   /* incomplete line: where, and since when */
    int64_t still_size, still_since_ms; /* rotated file: how long it has had this size */
};

static const struct gantry_field line_fields[] = {{"fileLineContent", GANTRY_TYPE_STRING}};

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void
say(const struct file_follow *f, enum gantry_log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a cut text is still a text */
    va_end(args);
    f->ctx->log(f->ctx, level, text);
}

static int no_memory(const struct file_follow *f, struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", f->path);
}

/* --- life ---------------------------------------------------------------------------------- */

static int load_position(struct file_follow *f, struct gantry_err *err)
{
    char *partition = malloc(6 * strlen(f->path) + 20);
    if (partition == NULL)
        return no_memory(f, err);
    struct gantry_view key = {partition, file_partition_format(f->path, partition)};
    struct gantry_view stored = {NULL, 0};
    int rc = f->ctx->position(f->ctx, key, &stored, err);
    if (rc == 0 && stored.len > 0)
        rc = file_position_parse(stored, &f->at, err);
    f->stored = rc == 0 && stored.len > 0;
    free(partition);
    return rc;
}

static int check_and_claim(struct file_follow *f, struct gantry_err *err)
{
    char *real = NULL;
    int rc = file_path_resolve(f->path, &real, err);
    if (rc == 0)
        rc = file_roots_check(f->plugin->runtime, f->path, real, err);
    if (rc == 0)
        rc = file_claims_take(f->plugin->claims, FILE_CLAIM_READ, f->ctx->connector, real,
                              &f->claim, err);
    free(real);
    return rc;
}

/* Register for events where that is possible; elsewhere the timer looks. */
static void watch(struct file_follow *f)
{
    struct file_plugin *plugin = f->plugin;
    struct gantry_err ignored;
    if (f->entry != NULL && atomic_load_explicit(&f->entry->lost, memory_order_acquire)) {
        file_watch_remove(plugin->watch, f->entry);
        f->entry = NULL;
    }
    if (f->real_entry != NULL && atomic_load_explicit(&f->real_entry->lost, memory_order_acquire)) {
        file_watch_remove(plugin->watch, f->real_entry);
        f->real_entry = NULL;
    }
    struct stat folder;
    if (f->linked && f->entry != NULL && stat(f->folder, &folder) == 0 &&
        (folder.st_ino != f->folder_inode || folder.st_dev != f->folder_device)) {
        file_watch_remove(plugin->watch, f->entry);
        f->entry = NULL;
    }
    if (f->entry != NULL || !file_watch_sees(f->folder))
        return;
    f->linked = file_path_has_link(f->folder);
    if (f->linked && stat(f->folder, &folder) == 0) {
        f->folder_device = folder.st_dev;
        f->folder_inode = folder.st_ino;
    }
    if (file_watch_add(plugin->watch, f->folder, f->name, false, f->ctx, &f->entry, &ignored) != 0)
        f->entry = NULL;
}

/* A link's target lies elsewhere under another name: events of writing show there. */
static void watch_target(struct file_follow *f)
{
    struct gantry_err ignored;
    char *real = NULL, *folder = NULL, *name = NULL;
    file_watch_remove(f->plugin->watch, f->real_entry);
    f->real_entry = NULL;
    free(f->real_folder);
    f->real_folder = NULL;
    struct stat link;
    if (lstat(f->path, &link) != 0 || !S_ISLNK(link.st_mode))
        return;
    if (file_path_resolve(f->path, &real, &ignored) == 0 &&
        file_path_split(real, &folder, &name, &ignored) == 0) {
        if (file_watch_sees(folder))
            (void)file_watch_add(f->plugin->watch, folder, name, false, f->ctx, &f->real_entry,
                                 &ignored); /* without: the timer */
        f->real_folder = folder;
        folder = NULL;
    }
    free(real);
    free(folder);
    free(name);
}

int file_follow_new(struct file_plugin *plugin, struct gantry_task_context *ctx,
                    const struct file_follow_options *options,
                    const struct file_follow_start *start, struct file_follow **ret,
                    struct gantry_err *err)
{
    struct file_follow *f = calloc(1, sizeof *f);
    if (f == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", start->path);
    f->plugin = plugin;
    f->ctx = ctx;
    f->options = options;
    f->late = start->late;
    f->found = start->found;
    f->fd = -1;
    f->part_from = f->still_size = -1;
    int rc = file_path_split(start->path, &f->folder, &f->name, err);
    if (rc != 0)
        goto fail;
    size_t room = strlen(start->path) + sizeof "_line";
    f->path = strdup(start->path);
    f->schema_name = malloc(room);
    f->pattern = start->pattern != NULL ? strdup(start->pattern) : NULL;
    if (f->path == NULL || f->schema_name == NULL ||
        (start->pattern != NULL && f->pattern == NULL)) {
        rc = no_memory(f, err);
        goto fail;
    }
    (void)snprintf(f->schema_name, room, "%s_line", f->path);
    f->schema = (struct gantry_schema){sizeof f->schema, f->schema_name, f->path, 1, line_fields};
    f->lines = (struct file_lines){ctx, &options->lines, f->path, &f->schema, 0};
    rc = check_and_claim(f, err);
    if (rc == 0)
        rc = load_position(f, err);
    if (rc != 0)
        goto fail;
    if (f->at.known && options->ledger != NULL)
        f->page = file_ledger_reserve(options->ledger, ctx, &f->at.id);
    watch(f);
    *ret = f;
    return 0;
fail:
    file_follow_free(f);
    return rc;
}

void file_follow_free(struct file_follow *f)
{
    if (f == NULL)
        return;
    file_watch_remove(f->plugin->watch, f->entry);
    file_watch_remove(f->plugin->watch, f->real_entry);
    file_claims_release(f->plugin->claims, f->claim);
    file_ledger_release(f->options->ledger, f->page, &f->at);
    if (f->fd >= 0)
        (void)close(f->fd);
    free(f->path);
    free(f->folder);
    free(f->name);
    free(f->real_folder);
    free(f->pattern);
    free(f->schema_name);
    free(f);
}

/* Lost, too, for the mark that told of it may have been cleared with an older one. */
static bool entry_due(const struct file_watch_entry *entry)
{
    return entry != NULL && (atomic_load_explicit(&entry->dirty, memory_order_acquire) ||
                             atomic_load_explicit(&entry->lost, memory_order_acquire));
}

bool file_follow_due(struct file_follow *f, int64_t now_ms)
{
    return f->due_ms <= now_ms || entry_due(f->entry) || entry_due(f->real_entry);
}

int64_t file_follow_due_at(const struct file_follow *f)
{
    return f->due_ms;
}

const char *file_follow_path(const struct file_follow *f)
{
    return f->path;
}

int64_t file_follow_lag(const struct file_follow *f)
{
    return f->lag;
}

bool file_follow_over(const struct file_follow *f)
{
    struct stat st;
    return f->found && f->fd < 0 && (f->deleted || f->elsewhere) && !f->moved &&
           lstat(f->path, &st) != 0 && errno == ENOENT;
}

bool file_follow_take_left(struct file_follow *f)
{
    bool left = f->left;
    f->left = false;
    return left;
}

/* --- reading ------------------------------------------------------------------------------- */

enum outcome {
    OUTCOME_END,     /* all complete lines that the file has are in the batch */
    OUTCOME_FULL,    /* the batch has enough */
    OUTCOME_CHANGED, /* the file is not the same any more */
};

static int read_block(struct file_follow *f, struct file_fill *fill, int64_t size,
                      enum outcome *ret, struct gantry_err *err)
{
    int64_t avail = size - f->at.next;
    size_t want = (uint64_t)avail < fill->left ? (size_t)avail : fill->left;
    for (;;) {
        char *block = fill->batch->alloc(fill->batch, want);
        if (block == NULL)
            return no_memory(f, err);
        ssize_t n = file_io_read(f->fd, block, want, f->at.next, READ_POINT);
        if (n < 0)
            return file_io_error(err, "read", f->path);
        int same = file_identity_recheck(f->fd, &f->at.id);
        if (same < 0)
            return file_io_error(err, "read", f->path);
        if (same == 0) {
            *ret = OUTCOME_CHANGED;
            return 0;
        }
        const int64_t from = f->at.next;
        int rc = file_lines_split(&f->lines, fill, &f->at, block, (size_t)n, err);
        size_t used = (size_t)(f->at.next - from);
        f->moved = f->moved || used > 0;
        fill->left -= used < fill->left ? used : fill->left;
        if (rc != 0)
            return rc;
        if (used == 0 && (int64_t)n < avail && fill->batch->count > 0) {
            *ret = OUTCOME_FULL; /* too little room left; the next poll has all of it */
            return 0;
        }
        int64_t most = f->options->lines.max + 1;
        if (used == 0 && (size_t)n == want && (int64_t)want < avail && (int64_t)want < most) {
            want = (size_t)(avail < most ? avail : most); /* a line longer than the block */
            continue;
        }
        *ret = (int64_t)n < avail ? OUTCOME_FULL : OUTCOME_END;
        return 0;
    }
}

/* Give out the incomplete line at the end of the file: as the part of one, or as all there will
 * ever be of it. */
static int give_rest(struct file_follow *f, struct file_fill *fill, int64_t size, bool part,
                     struct gantry_err *err)
{
    size_t len = size > f->at.next ? (size_t)(size - f->at.next) : 0;
    char *block = fill->batch->alloc(fill->batch, len + 1);
    if (block == NULL)
        return no_memory(f, err);
    ssize_t n = file_io_read(f->fd, block, len, f->at.next, READ_POINT);
    if (n < 0)
        return file_io_error(err, "read", f->path);
    if (part && ((size_t)n < len || file_identity_recheck(f->fd, &f->at.id) != 1)) {
        f->due_ms = 0; /* truncated just now: the next look tells */
        return 0;
    }
    int rc = file_lines_rest(&f->lines, fill, &f->at, block, (size_t)n, part, err);
    if (rc != 0)
        return rc;
    f->moved = true;
    fill->left -= (size_t)n < fill->left ? (size_t)n : fill->left;
    return 0;
}

/* --- marks --------------------------------------------------------------------------------- */

/* Where the followed name stands. */
static int mark_name(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    char *partition = fill->batch->alloc(fill->batch, 6 * strlen(f->path) + 20);
    char position[FILE_POSITION_ROOM];
    if (partition == NULL)
        return no_memory(f, err);
    struct gantry_view key = {partition, file_partition_format(f->path, partition)};
    struct gantry_view value = {position, file_position_format(&f->at, position)};
    if (gantry_batch_mark(fill->batch, key, value) != 0)
        return no_memory(f, err);
    f->moved = false;
    return 0;
}

/* The same for the file itself, which the name is about to move on from. What a name says that
 * does not hold the file must not take the place of what its holder says. */
static int mark_file(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    const char *name = f->page == NULL ? f->path : NULL;
    char *partition = fill->batch->alloc(fill->batch, 6 * strlen(f->path) + FILE_LEFT_ROOM);
    char position[FILE_POSITION_ROOM];
    if (partition == NULL)
        return no_memory(f, err);
    struct gantry_view key = {partition, file_left_partition_format(name, &f->at.id, partition)};
    struct gantry_view value = {position, file_position_format(&f->at, position)};
    return gantry_batch_mark(fill->batch, key, value) == 0 ? 0 : no_memory(f, err);
}

/* --- the file ------------------------------------------------------------------------------ */

static int64_t lost_bytes(const struct file_follow *f)
{
    return f->at.size > f->at.next ? f->at.size - f->at.next : 0;
}

/* Let go of the file that was read so far. Who meets it under its name of now goes on at its end.
 */
static int leave_file(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    struct stat st;
    if (f->page == NULL)
        return 0;
    if (f->fd < 0 || fstat(f->fd, &st) != 0 || st.st_nlink == 0) {
        file_ledger_forget(f->options->ledger, f->page);
        f->page = NULL;
        return 0;
    }
    int rc = mark_file(f, fill, err);
    file_ledger_release(f->options->ledger, f->page, &f->at);
    f->page = NULL;
    f->left = true;
    return rc;
}

/* Take an open file as the one to read: from @p from on, or from where it was left, if that is
 * further. It is not taken (elsewhere) where another follow reads it. Takes fd. */
static int take_file(struct file_follow *f, int fd, const struct file_position *from,
                     struct file_fill *fill, struct gantry_err *err)
{
    struct file_stat st;
    struct file_position at = *from;
    struct file_ledger_page *page = NULL;
    int rc = 0;
    if (file_stat_get(fd, NULL, &st) != 0 ||
        (!at.known && file_identity_get(fd, &st, &at.id) != 0)) {
        rc = file_io_error(err, "read", f->path);
        goto out;
    }
    if (!at.known)
        at.size = st.size;
    at.modified_ns = st.modified_ns;
    at.known = true;
    at.id.device = st.device; /* of now */
    if (f->options->ledger != NULL) {
        rc = file_ledger_take(f->options->ledger, f->ctx, f->page, fd, &st, &at, &page, err);
        f->elsewhere = rc == 0 && page == NULL;
        if (rc != 0 || f->elsewhere)
            goto out;
        if (page != f->page)
            rc = leave_file(f, fill, err);
        f->page = page;
        if (rc != 0)
            goto out;
    }
    if (f->fd >= 0)
        (void)close(f->fd);
    f->fd = fd;
    fd = -1;
    f->at = at;
    f->deleted = false;
    f->part_from = f->still_size = -1;
    (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint */
    watch_target(f);
    file_claims_renew(f->plugin->claims, f->claim);
out:
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* Open the followed name. *ret_fd -1: there is nothing of that name. */
static int open_path(struct file_follow *f, int *ret_fd, struct gantry_err *err)
{
    *ret_fd = -1;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : file_io_error(err, "open", f->path);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = file_io_error(err, "look at", f->path);
    else if (!S_ISREG(st.st_mode))
        rc = gantry_err_set(err, GANTRY_INVALID,
                            "filename: %s is %s; only regular files are followed", f->path,
                            S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
    else
        rc = file_roots_check_open(f->plugin->runtime, f->path, fd, err);
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* Where a line begins at or before the end of the file, for file.start=end. -1 with errno. */
static int64_t last_line_start(int fd)
{
    char buf[4096];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    int64_t size = st.st_size;
    while (size > 0) {
        size_t n = size < (int64_t)sizeof buf ? (size_t)size : sizeof buf;
        ssize_t got = file_io_read(fd, buf, n, size - (int64_t)n, READ_POINT);
        if (got < 0)
            return -1;
        const char *newline = memrchr(buf, '\n', (size_t)got);
        if (newline != NULL)
            return size - (int64_t)n + (newline - buf) + 1;
        size -= (int64_t)n;
    }
    return 0;
}

/* A position of a Java worker: bytes without an identity. */
static int check_imported(struct file_follow *f, int fd, struct gantry_err *err)
{
    struct stat st;
    char before = '\n';
    if (fstat(fd, &st) != 0)
        return file_io_error(err, "look at", f->path);
    if (f->at.next <= st.st_size && f->at.next > 0 &&
        file_io_read(fd, &before, 1, f->at.next - 1, READ_POINT) != 1)
        return file_io_error(err, "read", f->path);
    if (f->at.next <= st.st_size && before == '\n')
        return 0;
    return gantry_err_set(
        err, GANTRY_CHANGED,
        "the stored position %" PRId64 " of %s is %s; see to the file, or start anew with "
        "`gantry connector reset %s`",
        f->at.next, f->path, before == '\n' ? "beyond its end" : "not at the start of a line",
        f->ctx->connector);
}

static const char *search_folder(const struct file_follow *f)
{
    return f->real_folder != NULL ? f->real_folder : f->folder;
}

/* The generation behind the file @p after. What another follow reads (a pattern found it under its
 * new name), or has read, is passed over. */
static int next_generation(const struct file_follow *f, struct file_identity after,
                           int64_t modified_ns, const char *pattern, struct file_generation *ret,
                           struct gantry_err *err)
{
    for (;;) {
        int rc =
            file_generation_next(search_folder(f), f->name, &after, modified_ns, pattern, ret, err);
        if (rc != 0 || ret->fd < 0 || f->options->ledger == NULL)
            return rc;
        struct file_stat st;
        int64_t next = 0;
        if (file_stat_get(ret->fd, NULL, &st) != 0) {
            rc = file_io_error(err, "look at", ret->path);
            file_generation_deinit(ret);
            return rc;
        }
        bool named = strcmp(strrchr(ret->path, '/') + 1, f->name) == 0;
        enum file_standing standing =
            file_ledger_look(f->options->ledger, f->ctx, f->page, &st, &next);
        if (standing == FILE_UNKNOWN || (standing == FILE_LEFT && (named || st.size > next)))
            return 0;
        file_generation_deinit(ret);
        if (named)
            return 0;
        after = (struct file_identity){st.device, st.inode, st.born_ns, {0, 0}, 0};
        modified_ns = st.modified_ns;
    }
}

/* Whether the file was read under another name. */
static bool is_known(const struct file_follow *f, int fd)
{
    struct file_stat st;
    int64_t next;
    return f->options->ledger != NULL && file_stat_get(fd, NULL, &st) == 0 &&
           file_ledger_look(f->options->ledger, f->ctx, f->page, &st, &next) != FILE_UNKNOWN;
}

/* The first time that this name is read. Takes fd (-1: no file yet). */
static int open_first(struct file_follow *f, int fd, struct file_fill *fill, struct gantry_err *err)
{
    struct file_position from = f->at;
    if (fd < 0) {
        if (f->options->from_end && !f->stored && !f->late) {
            /* Committed, so that a file made while the worker is down is read from its beginning.
             */
            f->at = (struct file_position){0};
            f->stored = f->moved = true;
        }
        return 0;
    }
    if (f->stored) {
        int rc = check_imported(f, fd, err);
        if (rc != 0) {
            (void)close(fd);
            return rc;
        }
    } else if (f->options->from_end && !f->late && !is_known(f, fd)) {
        from.next = last_line_start(fd);
        if (from.next < 0) {
            int rc = file_io_error(err, "read", f->path);
            (void)close(fd);
            return rc;
        }
    } else if (f->pattern != NULL && !f->late) {
        struct file_generation oldest;
        struct file_identity before_all = {.born_ns = 1};
        int rc = next_generation(f, before_all, 1, f->pattern, &oldest, err);
        if (rc != 0) {
            (void)close(fd);
            return rc;
        }
        if (oldest.fd >= 0) {
            (void)close(fd);
            fd = oldest.fd;
            oldest.fd = -1;
        }
        file_generation_deinit(&oldest);
    }
    int rc = take_file(f, fd, &from, fill, err);
    f->moved = f->moved || f->fd >= 0;
    return rc;
}

static void tell_gone(const struct file_follow *f, const char *next)
{
    int64_t lost = lost_bytes(f);
    say(f, lost > 0 ? GANTRY_LOG_WARN : GANTRY_LOG_INFO,
        "the file read before is gone, going on with the next file=\"%s\" next=\"%s\" "
        "position=%" PRId64 " lost.bytes=%" PRId64,
        f->path, next, f->at.next, lost);
}

/* The file is shorter than it was, or begins with other bytes. */
static int start_over(struct file_follow *f, struct file_fill *fill, int64_t size,
                      struct gantry_err *err)
{
    say(f, GANTRY_LOG_WARN,
        "the file was truncated, reading it from its start file=\"%s\" position=%" PRId64
        " size=%" PRId64 " lost.bytes=%" PRId64,
        f->path, f->at.next, size, lost_bytes(f));
    int rc = file_lines_close(&f->lines, fill, &f->at, err);
    if (rc != 0)
        return rc;
    struct file_stat st;
    struct file_position at = {.known = true};
    if (file_stat_get(f->fd, NULL, &st) != 0 || file_identity_get(f->fd, &st, &at.id) != 0)
        return file_io_error(err, "read", f->path);
    at.size = st.size;
    at.modified_ns = st.modified_ns;
    f->at = at;
    f->moved = true;
    f->part_from = f->still_size = -1;
    return f->page != NULL ? mark_file(f, fill, err) : 0; /* over one that stood further */
}

/* Go on with the file of the position, wherever its name is now; it is gone: with its successor.
 * Takes fd. */
static int open_again(struct file_follow *f, int fd, struct file_fill *fill, struct gantry_err *err)
{
    struct file_generation found = {-1, NULL};
    struct file_stat st = {0};
    const struct file_position at = f->at, start = {0};
    int rc = 0;
    int is = 0;
    if (fd >= 0 &&
        (file_stat_get(fd, NULL, &st) != 0 || (is = file_identity_is(fd, &st, &at.id)) < 0)) {
        rc = file_io_error(err, "read", f->path);
        goto out;
    }
    if (is == 1 || (fd >= 0 && file_identity_fits(&at.id, &st))) {
        /* In the second case the same file has another beginning: rewritten in place. */
        rc = take_file(f, fd, &at, fill, err);
        fd = -1;
        if (rc == 0 && is != 1 && f->fd >= 0)
            rc = start_over(f, fill, st.size, err);
        goto out;
    }
    rc = file_generation_find(search_folder(f), &at.id, &found, err);
    if (rc == 0 && found.fd >= 0) {
        rc = file_roots_check_open(f->plugin->runtime, found.path, found.fd, err);
        if (rc == 0)
            rc = take_file(f, found.fd, &at, fill, err);
        found.fd = -1;
        if (rc == 0 && f->fd >= 0)
            say(f, GANTRY_LOG_INFO,
                "the file was renamed, reading it to its end file=\"%s\" now=\"%s\"", f->path,
                found.path);
        if (rc != 0 || f->fd >= 0)
            goto out;
        file_generation_deinit(&found);
    }
    rc = next_generation(f, at.id, at.modified_ns, NULL, &found, err);
    if (rc == 0 && found.fd >= 0) {
        rc = file_roots_check_open(f->plugin->runtime, found.path, found.fd, err);
        if (rc != 0)
            goto out;
        if (!f->elsewhere)
            tell_gone(f, found.path);
        else /* what is stored under this name may be all that is known of that file */
            rc = mark_file(f, fill, err);
        if (rc == 0)
            rc = file_lines_close(&f->lines, fill, &f->at, err);
        if (rc == 0) {
            rc = take_file(f, found.fd, &start, fill, err);
            found.fd = -1;
            f->moved = f->moved || f->fd >= 0;
        }
    }
out:
    if (fd >= 0)
        (void)close(fd);
    file_generation_deinit(&found);
    return rc;
}

static void come_at(struct file_follow *f, int64_t when_ms)
{
    if (when_ms < f->due_ms)
        f->due_ms = when_ms;
}

static int open_file(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    int fd = -1;
    int rc = open_path(f, &fd, err);
    if (rc != 0)
        return rc;
    f->elsewhere = false;
    rc = f->at.known ? open_again(f, fd, fill, err) : open_first(f, fd, fill, err);
    if (rc == 0 && f->fd < 0)
        watch_target(f); /* a link to nothing yet */
    if (rc == 0 && f->elsewhere)
        come_at(f, fill->now_ms + f->options->poll_ms);
    if (rc == 0 && f->fd < 0 && !f->elsewhere && !f->told_waiting) {
        f->told_waiting = true;
        say(f, GANTRY_LOG_INFO, "waiting for the file to appear file=\"%s\"", f->path);
    }
    if (f->fd >= 0)
        f->told_waiting = false;
    return rc;
}

/* --- the end of the file --- */

/* At the end of the current file: an incomplete line may have waited long enough. */
static int rest_at_end(struct file_follow *f, struct file_fill *fill, int64_t size,
                       struct gantry_err *err)
{
    int64_t timeout = f->options->line_timeout_ms;
    if (timeout == 0 || size <= f->at.next || f->at.inside == FILE_INSIDE_SKIP)
        return 0;
    if (f->part_from != f->at.next) {
        f->part_from = f->at.next;
        f->part_since_ms = fill->now_ms;
    }
    if (fill->now_ms - f->part_since_ms >= timeout)
        return give_rest(f, fill, size, true, err);
    come_at(f, f->part_since_ms + timeout);
    return 0;
}

/* Whether the rotated file has had this size for rotate_wait_ms; *ret_until: when it will have. */
static bool stands_still(struct file_follow *f, const struct file_fill *fill, int64_t size,
                         int64_t *ret_until)
{
    if (f->still_size != size) {
        f->still_size = size;
        f->still_since_ms = fill->now_ms;
    }
    *ret_until = f->still_since_ms + f->options->rotate_wait_ms;
    return fill->now_ms >= *ret_until;
}

/* Whether the rotated file has its last byte. It has when nobody has it open for writing; where
 * that cannot be known, when it stood still for a while and the next one has something. */
static bool is_complete(struct file_follow *f, struct file_fill *fill, int64_t size, int next_fd)
{
    if (file_has_writer(f->fd) == 0)
        return true;
    struct stat next;
    int64_t until;
    bool still = stands_still(f, fill, size, &until);
    if (still && fstat(next_fd, &next) == 0 && next.st_size > 0)
        return true;
    int64_t soon = fill->now_ms + WRITER_LOOK_MS; /* no event tells that the writer is gone */
    come_at(f, still ? fill->now_ms + WAIT_RETRY_MS : soon < until ? soon : until);
    return false;
}

/* The file has lost its name, and there is no next one. What is written to it now is under a name
 * whose events may not come here. */
static int wait_for_next(struct file_follow *f, struct file_fill *fill, int64_t size,
                         struct gantry_err *err)
{
    struct stat st;
    int64_t until;
    int writer = file_has_writer(f->fd);
    if (fstat(f->fd, &st) != 0)
        return file_io_error(err, "look at", f->path);
    if (st.st_nlink > 0 || st.st_size != size || writer == 1 ||
        (writer < 0 && !stands_still(f, fill, size, &until))) {
        come_at(f, fill->now_ms + f->options->poll_ms);
        return 0;
    }
    if (size > f->at.next || f->at.inside != FILE_INSIDE_NONE) {
        int rc = give_rest(f, fill, size, false, err);
        if (rc != 0)
            return rc;
    }
    (void)close(f->fd); /* deleted and read to its end: its space on disk is free now */
    f->fd = -1;
    f->deleted = true;
    file_ledger_forget(f->options->ledger, f->page);
    f->page = NULL;
    say(f, GANTRY_LOG_DEBUG, "the file was deleted and read to its end file=\"%s\"", f->path);
    return 0;
}

/* The name points to another file, or to none. *ret_on: there is more to read. */
static int rotated(struct file_follow *f, struct file_fill *fill, int64_t size, bool *ret_on,
                   struct gantry_err *err)
{
    struct file_generation next = {-1, NULL};
    const struct file_position start = {0};
    struct file_stat st;
    int rc = 0;
    if (file_stat_get(f->fd, NULL, &st) != 0)
        return file_io_error(err, "look at", f->path);
    rc = next_generation(f, f->at.id, st.modified_ns, NULL, &next, err);
    if (rc == 0 && next.fd < 0 && f->real_folder != NULL)
        rc = open_path(f, &next.fd, err); /* a link that leads to another folder now */
    if (rc == 0 && next.fd < 0)
        return wait_for_next(f, fill, size, err);
    if (rc != 0 || next.fd < 0 || !is_complete(f, fill, size, next.fd))
        goto out;
    /* Only now, after the last writer is known to be gone, is the size the last one. */
    if (file_stat_get(f->fd, NULL, &st) != 0) {
        rc = file_io_error(err, "look at", f->path);
        goto out;
    }
    *ret_on = true;
    if (st.size != size)
        goto out;
    rc = file_roots_check_open(f->plugin->runtime, f->path, next.fd, err);
    if (rc == 0 && (size > f->at.next || f->at.inside != FILE_INSIDE_NONE))
        rc = give_rest(f, fill, size, false, err);
    if (rc != 0)
        goto out;
    f->at.size = size;
    say(f, GANTRY_LOG_INFO,
        "the file was rotated, going on with the next file=\"%s\" next=\"%s\" size=%" PRId64,
        f->path, next.path != NULL ? next.path : f->path, size);
    rc = take_file(f, next.fd, &start, fill, err);
    next.fd = -1;
    f->moved = true;
    if (f->elsewhere) { /* since a moment ago */
        *ret_on = false;
        come_at(f, fill->now_ms + f->options->poll_ms);
    }
out:
    file_generation_deinit(&next);
    return rc;
}

static int at_end(struct file_follow *f, struct file_fill *fill, const struct stat *st,
                  bool *ret_on, struct gantry_err *err)
{
    struct stat named;
    if (stat(f->path, &named) == 0 && named.st_ino == st->st_ino && named.st_dev == st->st_dev)
        return rest_at_end(f, fill, st->st_size, err);
    return rotated(f, fill, st->st_size, ret_on, err);
}

static int advance(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    for (;;) {
        int rc = f->fd < 0 ? open_file(f, fill, err) : 0;
        if (rc != 0 || f->fd < 0)
            return rc;
        struct stat st;
        if (fstat(f->fd, &st) != 0)
            return file_io_error(err, "look at", f->path);
        enum outcome outcome = OUTCOME_END;
        if (st.st_size < f->at.next) {
            outcome = OUTCOME_CHANGED;
        } else if (st.st_size > f->at.next) {
            if (fill->left == 0)
                outcome = OUTCOME_FULL;
            else
                rc = read_block(f, fill, st.st_size, &outcome, err);
        } else if (st.st_size > 0) {
            /* Nothing new, or truncated and grown to the very size that it had. */
            int same = file_identity_recheck(f->fd, &f->at.id);
            if (same < 0)
                return file_io_error(err, "read", f->path);
            outcome = same == 0 ? OUTCOME_CHANGED : OUTCOME_END;
        }
        if (rc == 0 && outcome == OUTCOME_CHANGED) {
            rc = start_over(f, fill, st.st_size, err);
            if (rc == 0)
                continue;
        }
        if (rc != 0)
            return rc;
        f->at.size = st.st_size;
        f->at.modified_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        if (outcome == OUTCOME_FULL) {
            come_at(f, 0);
            return 0;
        }
        bool on = false;
        rc = at_end(f, fill, &st, &on, err);
        if (rc != 0 || !on)
            return rc;
    }
}

int file_follow_fill(struct file_follow *f, struct file_fill *fill, struct gantry_err *err)
{
    watch(f);
    /* Cleared before the first look: what happens after that look marks it again. */
    if (f->entry != NULL)
        (void)atomic_exchange_explicit(&f->entry->dirty, false, memory_order_acq_rel);
    if (f->real_entry != NULL)
        (void)atomic_exchange_explicit(&f->real_entry->dirty, false, memory_order_acq_rel);
    f->due_ms = FILE_NEVER;
    int rc = advance(f, fill, err);
    bool blind = f->entry == NULL || (f->real_folder != NULL && f->real_entry == NULL);
    if (blind || f->linked)
        come_at(f, fill->now_ms + f->options->poll_ms);
    if (f->moved) {
        int mark_rc = mark_name(f, fill, rc == 0 ? err : NULL);
        rc = rc == 0 ? mark_rc : rc;
    }
    if (rc != 0)
        f->due_ms = 0; /* it fails again, when what came before it is delivered */
    int64_t behind = f->fd >= 0 ? f->at.size - f->at.next : 0;
    f->lag = behind > 0 ? behind : 0;
    return rc;
}
