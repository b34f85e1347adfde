/* SPDX-License-Identifier: Apache-2.0 */
/* A sink: appends each record to a file, as a line. Each record is there once, however often it is
 * stopped or killed: the state that it gives to the runtime is the length of the file at a commit,
 * and a start cuts off what came after. So the file belongs to this connector alone. */
#include "plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 64 << 10 };

static const struct gantry_config_def keys[] = {
    {
        .name = "append.file",
        .type = GANTRY_CONFIG_STRING,
        .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
        .doc = "The file, which must not belong to anybody else. It is made when it is not there.",
    },
};

struct append {
    const char *path; /* of the configuration, which lives as long as the task */
    int fd;
    int64_t length; /* of the file with what is still in `room` */
    size_t used;
    char room[ROOM];
};

static int failed(struct gantry_err *err, const char *verb, const char *path)
{
    int code = errno == ENOSPC ? GANTRY_NO_SPACE : GANTRY_IO; /* NO_SPACE: PAUSED, not FAILED */
    return gantry_err_set(err, code, "append.file: cannot %s %s: %s", verb, path, strerror(errno));
}

/* The file as it was at the last commit. */
static int open_file(struct append *append, struct gantry_view state, struct gantry_err *err)
{
    struct stat st;
    char text[32] = "";
    append->fd = open(append->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (append->fd < 0 || fstat(append->fd, &st) != 0)
        return failed(err, "open", append->path);
    if (state.len == 0) { /* the first start: what is there stays */
        append->length = st.st_size;
        return 0;
    }
    if (state.len < sizeof text)
        memcpy(text, state.data, state.len);
    if (sscanf(text, "%" SCNd64, &append->length) != 1)
        return gantry_err_set(err, GANTRY_CORRUPT, "the state is no state of this sink: '%s'",
                              text);
    if (st.st_size < append->length)
        return gantry_err_set(err, GANTRY_CHANGED,
                              "append.file: %s has %" PRId64 " bytes, of which %" PRId64
                              " were written; somebody has cut it",
                              append->path, (int64_t)st.st_size, append->length);
    if (ftruncate(append->fd, append->length) != 0)
        return failed(err, "cut", append->path);
    return 0;
}

static void stop(void *task)
{
    struct append *append = task;
    if (append->fd >= 0)
        (void)close(append->fd); /* what matters has been synced */
    free(append);
}

static int start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                 struct gantry_err *err)
{
    (void)plugin;
    struct append *append = calloc(1, sizeof *append);
    if (append == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a file");
    append->fd = -1;
    append->path = gantry_config_get(ctx->config, "append.file");
    int code = open_file(append, ctx->state, err);
    if (code != 0) {
        stop(append);
        return code;
    }
    *ret_task = append;
    return 0;
}

/* Write what has gathered. */
static int drain(struct append *append, struct gantry_err *err)
{
    size_t done = 0;
    int64_t at = append->length - (int64_t)append->used;
    while (done < append->used) {
        ssize_t written = pwrite(append->fd, append->room + done, append->used - done,
                                 (off_t)(at + (int64_t)done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) /* the next start cuts off the half line */
            return failed(err, "write", append->path);
        done += (size_t)written;
    }
    append->used = 0;
    return 0;
}

static int gather(struct append *append, const char *data, size_t len, struct gantry_err *err)
{
    while (len > 0) {
        size_t part = ROOM - append->used < len ? ROOM - append->used : len;
        memcpy(append->room + append->used, data, part);
        append->used += part;
        append->length += (int64_t)part;
        data += part;
        len -= part;
        int code = append->used == ROOM ? drain(append, err) : 0;
        if (code != 0)
            return code;
    }
    return 0;
}

static int put(void *task, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err)
{
    struct append *append = task;
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        code = gather(append, records[i].value.data, records[i].value.len, err);
        if (code == 0)
            code = gather(append, "\n", 1, err);
    }
    if (code == 0)
        result->taken = count;
    return code;
}

/* Between two put(): what the runtime commits together with how far it has read the topic. All that
 * it stands for is made durable by flush(), before the commit. */
static int checkpoint(void *task, struct gantry_output *state, struct gantry_err *err)
{
    struct append *append = task;
    char text[32];
    int code = drain(append, err);
    if (code != 0)
        return code;
    int len = snprintf(text, sizeof text, "%" PRId64, append->length);
    code = state->write(state, text, (size_t)len);
    return code == 0 ? 0 : gantry_err_set(err, code, "the state cannot be kept");
}

static int flush(void *task, struct gantry_err *err)
{
    struct append *append = task;
    return fdatasync(append->fd) == 0 ? 0 : failed(err, "sync", append->path);
}

static const char *const class_names[] = {"example.Append", NULL};

const struct gantry_connector example_append = {
    .struct_size = sizeof example_append,
    .kind = GANTRY_SINK,
    .class_names = class_names,
    .task_class = "example.AppendTask",
    .version = EXAMPLE_VERSION,
    .doc = "Appends records to a file, a line each.",
    .defs = keys,
    .def_count = sizeof keys / sizeof keys[0],
    .task_start = start,
    .put = put,
    .checkpoint = checkpoint,
    .flush = flush,
    .task_stop = stop,
};
