/* SPDX-License-Identifier: Apache-2.0 */
/* The file sink: lines appended to one file, exactly once.
 *
 * Each commit stores the file's identity and its length together with the offsets of the topics. A
 * start finds the file longer than that by what was written after the last commit: the tail. The
 * same records come again, so the tail is compared with them and overwritten in place; blocks of
 * zeros, which a power loss leaves, count as equal. Any other difference means that somebody else
 * wrote into the file, and is a failure, never a cut.
 *
 * When the tail has been passed the file is in append mode, so that bytes of others could be joined
 * by ours but never overwritten; each checkpoint looks whether the length is what we made it.
 *
 * Threads: flush() runs beside put() and touches only sink->checkpoint and the file descriptor,
 * which stay as they are until committed(). */
#include "sink.h"

#include "io.h"
#include "roots.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_POINT "sink.write"
/* Commits start the disk well enough; this is for those who commit seldom. */
#define WRITEBACK_BYTES (32 << 20)
/* How often a queue may be offered whose records do not fit to the tail, before the tail counts as
 * changed by others. The runtime offers queues in turn, so all others have been tried by then. */
#define STUCK_MAX 3

int file_sink_changed(const struct file_sink *sink, struct gantry_err *err, const char *what,
                      int64_t found)
{
    return gantry_err_set(
        err, GANTRY_CHANGED,
        "file %s %s: committed length %" PRId64 ", found %" PRId64
        "; restore the file, or go on with it as it is by `gantry connector reset %s`",
        sink->path, what, sink->state.length, found, sink->ctx->connector);
}

/* --- start and stop ------------------------------------------------------------------------ */

static void sink_stop(void *arg)
{
    struct file_sink *sink = arg;
    if (sink->fd >= 0)
        (void)close(sink->fd); /* what is not synced comes again */
    file_claims_release(sink->plugin->claims, sink->claim);
    free(sink->path);
    free(sink->folder);
    free(sink->name);
    free(sink);
}

/* The tail is behind us: from now on bytes go to the end of the file, wherever that is. */
static int end_tail(struct file_sink *sink, struct gantry_err *err)
{
    int flags = fcntl(sink->fd, F_GETFL);
    if (flags < 0 || fcntl(sink->fd, F_SETFL, flags | O_APPEND) != 0)
        return file_io_error(err, "append to", sink->path);
    return 0;
}

static int open_file(struct file_sink *sink, bool create, struct file_stat *ret,
                     struct gantry_err *err)
{
    sink->fd = file_io_create(sink->path,
                              O_RDWR | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | (create ? O_CREAT : 0),
                              "sink.create");
    if (sink->fd < 0)
        return file_io_error(err, "open", sink->path);
    if (file_stat_get(sink->fd, NULL, ret) != 0)
        return file_io_error(err, "look at", sink->path);
    if (!S_ISREG(ret->mode))
        return gantry_err_set(err, GANTRY_INVALID,
                              "filename: %s is %s; only regular files are written", sink->path,
                              S_ISDIR(ret->mode) ? "a folder" : "a device, pipe or socket");
    return file_roots_check_open(sink->plugin->runtime, sink->path, sink->fd, err);
}

/* The very first start: what is in the file stays, and ours goes behind it. */
static int begin(struct file_sink *sink, struct gantry_err *err)
{
    struct file_stat st = {0};
    int rc = open_file(sink, true, &st, err);
    if (rc == 0 && sink->rotate_bytes > 0)
        rc = file_sink_last_number(sink, &sink->state.sequence, err);
    if (rc != 0)
        return rc;
    sink->state.id =
        (struct file_identity){.device = st.device, .inode = st.inode, .born_ns = st.born_ns};
    sink->state.length = sink->tail_end = st.size;
    sink->new_file = sink->folder_changed = true;
    return end_tail(sink, err);
}

static int resume(struct file_sink *sink, struct gantry_err *err)
{
    if (sink->state.rotate > 0) {
        int rc = file_sink_rotate(sink, err);
        return rc == 0 ? end_tail(sink, err) : rc;
    }
    struct file_stat st = {0};
    int rc = open_file(sink, false, &st, err);
    if (rc == GANTRY_NOT_FOUND)
        return file_sink_changed(sink, err, "is gone", 0);
    if (rc != 0)
        return rc;
    if (!file_identity_fits(&sink->state.id, &st))
        return file_sink_changed(sink, err, "was replaced by another file", st.size);
    if (st.size < sink->state.length)
        return file_sink_changed(sink, err, "became shorter", st.size);
    sink->tail_end = st.size;
    sink->state.id.device = st.device;
    return st.size == sink->state.length ? end_tail(sink, err) : 0;
}

static int sink_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                      struct gantry_err *err)
{
    struct file_sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the task");
    sink->plugin = plugin;
    sink->ctx = ctx;
    sink->fd = -1;
    sink->synced = -1;
    sink->rotate_bytes = gantry_config_get_int(ctx->config, "rotate.bytes", 0);
    sink->rotate_keep = gantry_config_get_int(ctx->config, "rotate.keep", 0);
    const char *path = gantry_config_get(ctx->config, "filename");
    int rc =
        path != NULL && *path != '\0'
            ? file_path_resolve(path, &sink->path, err)
            : gantry_err_set(err, GANTRY_INVALID, "filename: required; give the file to write");
    if (rc == 0)
        rc = file_roots_check(sink->plugin->runtime, path, sink->path, err);
    if (rc == 0)
        rc = file_path_split(sink->path, &sink->folder, &sink->name, err);
    if (rc == 0)
        rc = file_claims_take(sink->plugin->claims, FILE_CLAIM_WRITE, ctx->connector, sink->path,
                              &sink->claim, err);
    bool resumed = false;
    if (rc == 0 && ctx->state.len > 0)
        rc = file_sink_state_parse(ctx->state, sink->path, &sink->state, &resumed, err);
    if (rc == 0 && !resumed)
        sink->state = (struct file_sink_state){0}; /* none, or that of another file */
    if (rc == 0)
        rc = resumed ? resume(sink, err) : begin(sink, err);
    if (rc != 0) {
        sink_stop(sink);
        return rc;
    }
    sink->writeback_from = sink->state.length;
    file_claims_renew(sink->plugin->claims, sink->claim);
    *ret = sink;
    return 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static bool is_part(const struct gantry_record *record)
{
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct gantry_header *header = &record->headers[i];
        if (gantry_view_equal(header->name, gantry_view_of("gantry.line")))
            return gantry_view_equal(header->value, gantry_view_of("part"));
    }
    return false;
}

static int write_out(struct file_sink *sink, const char *data, size_t len, struct gantry_err *err)
{
    if (len == 0)
        return 0;
    if (file_io_write(sink->fd, data, len, sink->state.length, WRITE_POINT) != 0)
        return file_io_error(err, "write", sink->path);
    sink->state.length += (int64_t)len;
    /* Start the disk early, so that the sync at the commit has little left to do. A hint: its
     * failure shows there. */
    int64_t dirty = sink->state.length - sink->writeback_from;
    if (dirty >= WRITEBACK_BYTES) {
        (void)sync_file_range(sink->fd, sink->writeback_from, dirty, SYNC_FILE_RANGE_WRITE);
        sink->writeback_from = sink->state.length;
    }
    return 0;
}

/* Write records until the file is full; *ret_taken: how many. */
static int put_lines(struct file_sink *sink, const struct gantry_record *records, size_t count,
                     char *buf, size_t *ret_taken, struct gantry_err *err)
{
    const int64_t limit = sink->rotate_bytes > 0 ? sink->rotate_bytes : INT64_MAX;
    size_t used = 0;
    size_t i;
    int rc = 0;
    for (i = 0; i < count && rc == 0; i++) {
        const struct gantry_record *record = &records[i];
        const size_t len = record->value.len;
        const bool part = record->header_count > 0 && is_part(record);
        int64_t length = sink->state.length + (int64_t)used;
        if (length + (int64_t)len + !part > limit && length > 0 && !sink->state.mid_line &&
            length >= sink->tail_end) {
            sink->want_rotate = true;
            break;
        }
        if (len >= FILE_BUFFER_BYTES - used) {
            rc = write_out(sink, buf, used, err);
            used = 0;
            if (rc != 0)
                break;
        }
        if (len >= FILE_BUFFER_BYTES) {
            rc = write_out(sink, record->value.data, len, err);
        } else {
            memcpy(buf + used, record->value.data != NULL ? record->value.data : "", len);
            used += len;
        }
        if (!part)
            buf[used++] = '\n';
        sink->state.mid_line = part;
    }
    if (rc == 0)
        rc = write_out(sink, buf, used, err);
    *ret_taken = i;
    return rc;
}

/* --- the tail ------------------------------------------------------------------------------ */

/* What the file holds from `from` on, as far as it was read. */
struct window {
    char *data; /* borrowed: FILE_BUFFER_BYTES */
    int64_t from;
    size_t len;
};

/* Whether the file has @p data at @p at, where zeros count as anything and what lies beyond the
 * tail too. 1, 0 or an error. */
static int tail_has(struct file_sink *sink, struct window *window, const char *data, size_t len,
                    int64_t at, struct gantry_err *err)
{
    while (len > 0 && at < sink->tail_end) {
        if (at < window->from || at >= window->from + (int64_t)window->len) {
            int64_t left = sink->tail_end - at;
            size_t n = left < FILE_BUFFER_BYTES ? (size_t)left : FILE_BUFFER_BYTES;
            if (file_io_read(sink->fd, window->data, n, at, "sink.read") != (ssize_t)n)
                return file_io_error(err, "read", sink->path);
            window->from = at;
            window->len = n;
        }
        const char *there = window->data + (at - window->from);
        size_t n = window->len - (size_t)(at - window->from);
        n = n < len ? n : len;
        if (memcmp(there, data, n) != 0) {
            for (size_t i = 0; i < n; i++) {
                if (there[i] != '\0' && there[i] != data[i])
                    return 0;
            }
        }
        data += n;
        len -= n;
        at += (int64_t)n;
    }
    return 1;
}

/* How many leading records are in the tail already; counting ends with the one that reaches its
 * end. */
static int count_equal(struct file_sink *sink, const struct gantry_record *records, size_t count,
                       char *buf, size_t *ret_equal, int64_t *ret_bytes, struct gantry_err *err)
{
    struct window window = {buf, 0, 0};
    int64_t at = sink->state.length;
    size_t i;
    for (i = 0; i < count && at < sink->tail_end; i++) {
        const struct gantry_record *record = &records[i];
        int rc = tail_has(sink, &window, record->value.data, record->value.len, at, err);
        int64_t next = at + (int64_t)record->value.len;
        if (rc == 1 && !is_part(record))
            rc = tail_has(sink, &window, "\n", 1, next++, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        at = next;
    }
    *ret_equal = i;
    *ret_bytes = at - sink->state.length;
    return 0;
}

/* Several queues may begin with what the tail has next, and the wrong one would leave the right one
 * waiting for ever. So all are looked at before the one that fits longest may go on. Returns
 * whether this queue may; *ret_stuck: none fits. */
static bool has_turn(struct file_sink *sink, const struct gantry_record *record, int64_t bytes,
                     bool *ret_stuck)
{
    uint64_t hash[2];
    const char *topic = record->topic != NULL ? record->topic : "";
    file_hash(topic, strlen(topic), hash);
    uint64_t queue = hash[0] + record->queue;
    if (sink->turn.rounds == 0)
        sink->turn.first = queue;
    sink->turn.rounds += sink->turn.first == queue;
    if (bytes > sink->turn.best_bytes) {
        sink->turn.best_bytes = bytes;
        sink->turn.best = queue;
    }
    *ret_stuck = sink->turn.best_bytes == 0 && sink->turn.rounds >= STUCK_MAX;
    return sink->turn.rounds > 1 && sink->turn.best_bytes > 0 && sink->turn.best == queue;
}

/* Records that come again are written over what is there, for it may never have reached the disk.
 */
static int put_over_tail(struct file_sink *sink, const struct gantry_record *records, size_t count,
                         char *buf, size_t *ret_taken, struct gantry_err *err)
{
    size_t equal = 0;
    int64_t bytes = 0;
    bool stuck = false;
    int rc = count_equal(sink, records, count, buf, &equal, &bytes, err);
    if (rc != 0)
        return rc;
    if (sink->state.length + bytes >= sink->tail_end ||
        has_turn(sink, &records[0], bytes, &stuck)) {
        sink->turn.rounds = 0;
        sink->turn.best_bytes = 0;
        rc = put_lines(sink, records, equal, buf, ret_taken, err);
        if (rc != 0)
            return rc;
    }
    if (sink->state.length >= sink->tail_end) {
        sink->tail_end = sink->state.length;
        return end_tail(sink, err);
    }
    if (*ret_taken == count)
        return 0;
    if (stuck)
        return file_sink_changed(
            sink, err, "has bytes behind them that this connector did not write", sink->tail_end);
    /* Perhaps another queue's records come first. */
    sink->ctx->wake(sink->ctx);
    return gantry_err_set(err, GANTRY_AGAIN, "file %s: other records come first", sink->path);
}

/* Whether the file is as we left it. */
static int check_untouched(struct file_sink *sink, struct gantry_err *err)
{
    struct stat own, named;
    if (fstat(sink->fd, &own) != 0)
        return file_io_error(err, "look at", sink->path);
    int64_t length = sink->state.length > sink->tail_end ? sink->state.length : sink->tail_end;
    if (own.st_size != length)
        return file_sink_changed(
            sink, err, own.st_size < length ? "became shorter" : "was appended to", own.st_size);
    if (stat(sink->path, &named) != 0)
        return errno == ENOENT ? file_sink_changed(sink, err, "is gone", 0)
                               : file_io_error(err, "look at", sink->path);
    if (named.st_ino != own.st_ino || named.st_dev != own.st_dev)
        return file_sink_changed(sink, err, "was replaced by another file", named.st_size);
    return 0;
}

static int sink_put(void *arg, const struct gantry_record *records, size_t count,
                    struct gantry_put_result *result, struct gantry_err *err)
{
    struct file_sink *sink = arg;
    result->taken = 0;
    result->want_commit = false;
    if (sink->new_file || sink->want_rotate) {
        result->want_commit = true;
        return 0;
    }
    int rc = check_untouched(sink, err);
    if (rc != 0)
        return rc;
    struct file_buffer *buffer = file_plugin_take_buffer(sink->plugin);
    if (buffer == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to write %s", sink->path);
    if (sink->state.length < sink->tail_end)
        rc = put_over_tail(sink, records, count, buffer->data, &result->taken, err);
    if (rc == 0 && result->taken < count && !sink->want_rotate &&
        sink->state.length >= sink->tail_end) {
        size_t more = 0;
        rc = put_lines(sink, records + result->taken, count - result->taken, buffer->data, &more,
                       err);
        result->taken += more;
    }
    file_plugin_give_buffer(sink->plugin, buffer);
    result->want_commit = sink->want_rotate;
    return rc;
}

/* All records that can come again have come: what is left of the tail must be what a power loss
 * leaves. */
static int sink_caught_up(void *arg, struct gantry_err *err)
{
    struct file_sink *sink = arg;
    if (sink->state.length >= sink->tail_end)
        return 0;
    struct file_buffer *buffer = file_plugin_take_buffer(sink->plugin);
    if (buffer == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", sink->path);
    int rc = 0;
    for (int64_t at = sink->state.length; rc == 0 && at < sink->tail_end;) {
        int64_t left = sink->tail_end - at;
        size_t n = left < FILE_BUFFER_BYTES ? (size_t)left : FILE_BUFFER_BYTES;
        if (file_io_read(sink->fd, buffer->data, n, at, "sink.read") != (ssize_t)n) {
            rc = file_io_error(err, "read", sink->path);
            break;
        }
        for (size_t i = 0; i < n && rc == 0; i++) {
            if (buffer->data[i] != '\0')
                rc = file_sink_changed(sink, err,
                                       "has bytes behind them that this connector did not write",
                                       sink->tail_end);
        }
        at += (int64_t)n;
    }
    file_plugin_give_buffer(sink->plugin, buffer);
    if (rc == 0)
        rc = check_untouched(sink, err);
    if (rc == 0 && file_io_truncate(sink->fd, sink->state.length, "sink.truncate") != 0)
        rc = file_io_error(err, "truncate", sink->path);
    if (rc != 0)
        return rc;
    sink->tail_end = sink->state.length;
    sink->synced = -1;
    return end_tail(sink, err);
}

/* --- commits ------------------------------------------------------------------------------- */

static int sink_checkpoint(void *arg, struct gantry_output *output, struct gantry_err *err)
{
    struct file_sink *sink = arg;
    int rc = check_untouched(sink, err);
    if (rc == 0 && sink->want_rotate && sink->state.rotate == 0) {
        int64_t last = 0;
        rc = file_sink_last_number(sink, &last, err);
        sink->state.rotate = (last > sink->state.sequence ? last : sink->state.sequence) + 1;
    }
    if (rc != 0)
        return rc;
    char *text = malloc(FILE_POSITION_ROOM + 6 * strlen(sink->path));
    if (text == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the state of %s", sink->path);
    size_t len = file_sink_state_format(sink->path, &sink->state, text);
    rc = output->write(output, text, len);
    free(text);
    if (rc != 0)
        return gantry_err_set(err, rc, "the state of %s cannot be stored", sink->path);
    sink->checkpoint.fd = sink->fd;
    sink->checkpoint.length = sink->state.length;
    sink->checkpoint.sync = sink->state.length != sink->synced;
    sink->checkpoint.rotate = sink->want_rotate;
    sink->checkpoint.new_file = sink->new_file;
    sink->checkpoint.folder_changed = sink->folder_changed;
    return 0;
}

static int sink_flush(void *arg, struct gantry_err *err)
{
    struct file_sink *sink = arg;
    if (sink->checkpoint.sync && file_io_sync(sink->checkpoint.fd, "sink.sync") != 0)
        return file_io_error(err, "sync", sink->path);
    if (sink->checkpoint.folder_changed &&
        file_io_folder_sync(sink->folder, "sink.folder-sync") != 0)
        return file_io_error(err, "sync the folder", sink->folder);
    return 0;
}

static int sink_committed(void *arg, struct gantry_err *err)
{
    struct file_sink *sink = arg;
    sink->synced = sink->checkpoint.length;
    if (sink->writeback_from < sink->synced)
        sink->writeback_from = sink->synced;
    if (sink->checkpoint.folder_changed)
        sink->folder_changed = false;
    if (sink->checkpoint.rotate) {
        sink->checkpoint.rotate = false;
        int rc = file_sink_rotate(sink, err);
        file_claims_renew(sink->plugin->claims, sink->claim);
        return rc == 0 ? end_tail(sink, err) : rc;
    }
    if (sink->checkpoint.new_file) {
        sink->new_file = false;
        file_sink_trim(sink);
    }
    return 0;
}

/* --- validation ---------------------------------------------------------------------------- */

static int check_writable(const char *path, const char *folder, struct gantry_err *err)
{
    struct stat st;
    if (stat(folder, &st) != 0)
        return file_io_error(err, "use the folder", folder);
    if (!S_ISDIR(st.st_mode))
        return gantry_err_set(err, GANTRY_INVALID, "filename: %s is not a folder", folder);
    if (stat(path, &st) != 0) {
        if (errno != ENOENT)
            return file_io_error(err, "look at", path);
        return access(folder, W_OK | X_OK) == 0 ? 0
                                                : file_io_error(err, "create a file in", folder);
    }
    if (!S_ISREG(st.st_mode))
        return gantry_err_set(err, GANTRY_INVALID,
                              "filename: %s is %s; only regular files are written", path,
                              S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
    return access(path, R_OK | W_OK) == 0 ? 0 : file_io_error(err, "write", path);
}

static int check_sink(struct file_plugin *plugin, const char *connector, const char *path,
                      struct gantry_err *err)
{
    char *real = NULL, *folder = NULL, *name = NULL;
    if (*path == '\0' || path[strlen(path) - 1] == '/')
        return gantry_err_set(err, GANTRY_INVALID, "filename: '%s' is no file; give a file", path);
    int rc = file_path_resolve(path, &real, err);
    if (real == NULL)
        return rc;
    rc = file_roots_check(plugin->runtime, path, real, err);
    if (rc == 0)
        rc = file_path_split(real, &folder, &name, err);
    if (rc == 0 && folder != NULL)
        rc = check_writable(real, folder, err);
    if (rc == 0)
        rc = file_claims_check(plugin->claims, FILE_CLAIM_WRITE, connector, real, false, err);
    free(real);
    free(folder);
    free(name);
    return rc;
}

static void sink_validate(void *arg, const char *connector, const struct gantry_config *config,
                          struct gantry_findings *findings)
{
    struct gantry_err err = {0};
    const char *path = gantry_config_get(config, "filename");
    if (check_sink(arg, connector, path != NULL ? path : "", &err) != 0)
        findings->add(findings, "filename", err.text);
}

/* One task owns the file, whatever tasks.max says. */
static int sink_split(void *arg, const struct gantry_config *config, uint32_t max_tasks,
                      struct gantry_task_list *list, struct gantry_err *err)
{
    (void)arg;
    (void)config;
    (void)max_tasks;
    return list->begin(list) == 0 ? 0
                                  : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the task");
}

/* --- tables -------------------------------------------------------------------------------- */

static const struct gantry_config_def defs[] = {
    {.name = "filename",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
     .doc = "The file to write, one line a record. What it holds already stays."},
    {.name = "rotate.bytes",
     .type = GANTRY_CONFIG_SIZE,
     .default_value = "0",
     .min = 0,
     .max = INT64_MAX,
     .doc = "When a line would make the file larger than this, the file is renamed to NAME.000001, "
            "NAME.000002 and so on, and a new one begun. 0: never."},
    {.name = "rotate.keep",
     .type = GANTRY_CONFIG_INT,
     .default_value = "0",
     .min = 0,
     .max = 1000000,
     .doc = "How many renamed files to keep; older ones are deleted. 0: all."},
};

static const char *const class_names[] = {"org.apache.rocketmq.connect.file.FileSinkConnector",
                                          NULL};

const struct gantry_connector file_sink_connector = {
    .struct_size = sizeof(struct gantry_connector),
    .kind = GANTRY_SINK,
    .flags = GANTRY_CONNECTOR_CONCURRENT_FLUSH,
    .class_names = class_names,
    .task_class = "org.apache.rocketmq.connect.file.FileSinkTask",
    .version = FILE_PLUGIN_VERSION,
    .doc = "Writes records to a text file, one line each, exactly once.",
    .defs = defs,
    .def_count = sizeof defs / sizeof defs[0],
    .validate = sink_validate,
    .split = sink_split,
    .task_start = sink_start,
    .put = sink_put,
    .caught_up = sink_caught_up,
    .checkpoint = sink_checkpoint,
    .flush = sink_flush,
    .committed = sink_committed,
    .task_stop = sink_stop,
};
