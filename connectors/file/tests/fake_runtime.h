/* SPDX-License-Identifier: Apache-2.0 */
/** What the tests of the file connectors stand on: a runtime in one thread that keeps what a task
 * commits, so that a test can stop a task at any step and start it anew from there. Files are real,
 * in a folder of its own. */
#ifndef FILE_FAKE_RUNTIME_H
#define FILE_FAKE_RUNTIME_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../plugin.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FAKE_MAX 4096

struct fake_text {
    char *data;
    size_t len;
};

static inline void fake_append(struct fake_text *text, const void *data, size_t len)
{
    text->data = realloc(text->data, text->len + len + 1);
    assert_non_null(text->data);
    if (len > 0)
        memcpy(text->data + text->len, data, len);
    text->len += len;
    text->data[text->len] = '\0';
}

static inline void fake_text_free(struct fake_text *text)
{
    free(text->data);
    *text = (struct fake_text){NULL, 0};
}

/* The log goes to the last task's fake, for the runtime's log() has no context. */
struct fake {
    char folder[64];
    struct gantry_runtime runtime;
    const char *roots, *beyond;
    void *plugin;
    const struct gantry_plugin *table;
    struct fake_text log;
    struct fake_text partitions[FAKE_MAX], positions[FAKE_MAX]; /* committed */
    size_t position_count;
};

struct fake_task {
    struct gantry_task_context ctx; /* first member */
    struct fake *fake;
    const struct gantry_connector *connector;
    struct gantry_config config;
    struct gantry_config_entry entries[16];
    char values[16][1024]; /* of the entries */
    void *task;
    atomic_int wakes;
    int64_t delay_ms; /* last wake_after */
    int64_t lag;
    struct gantry_err err;
    /* source */
    struct gantry_batch batch;
    void *blocks[4096];
    size_t block_count;
    struct fake_text out;  /* the lines of the connector's topic, as a sink joins them */
    struct fake_text dead; /* those of the dead-letter topic */
    size_t records;
    size_t dead_records;
    /* sink */
    struct fake_text state;      /* committed */
    struct fake_text checkpoint; /* not yet */
};

static inline const char *fake_setting(const struct gantry_runtime *runtime, const char *name)
{
    const struct fake *fake =
        (const struct fake *)(const void *)((const char *)runtime - offsetof(struct fake, runtime));
    if (strcmp(name, "connectors.file.roots") == 0)
        return fake->roots;
    return strcmp(name, "rest.beyond.loopback") == 0 ? fake->beyond : NULL;
}

static inline void fake_log(enum gantry_log_level level, const char *component, const char *text)
{
    (void)level;
    (void)component;
    (void)text;
}

static inline void fake_task_log(struct gantry_task_context *ctx, enum gantry_log_level level,
                                 const char *text)
{
    struct fake_task *task = (struct fake_task *)ctx;
    fake_append(&task->fake->log, level == GANTRY_LOG_WARN ? "WARN " : "INFO ", 5);
    fake_append(&task->fake->log, text, strlen(text));
    fake_append(&task->fake->log, "\n", 1);
}

static inline void fake_wake(struct gantry_task_context *ctx)
{
    atomic_fetch_add(&((struct fake_task *)ctx)->wakes, 1);
}

static inline void fake_wake_after(struct gantry_task_context *ctx, int64_t delay_ms)
{
    ((struct fake_task *)ctx)->delay_ms = delay_ms;
}

static inline void fake_report_lag(struct gantry_task_context *ctx, int64_t bytes)
{
    ((struct fake_task *)ctx)->lag = bytes;
}

static inline struct fake_text *fake_find(struct fake *fake, struct gantry_view partition)
{
    for (size_t i = 0; i < fake->position_count; i++) {
        if (fake->partitions[i].len == partition.len &&
            memcmp(fake->partitions[i].data, partition.data, partition.len) == 0)
            return &fake->positions[i];
    }
    return NULL;
}

static inline void fake_store(struct fake *fake, struct gantry_view partition,
                              struct gantry_view position)
{
    struct fake_text *found = fake_find(fake, partition);
    if (found == NULL) {
        assert_true(fake->position_count < FAKE_MAX);
        fake_append(&fake->partitions[fake->position_count], partition.data, partition.len);
        found = &fake->positions[fake->position_count++];
    }
    fake_text_free(found);
    fake_append(found, position.data, position.len);
}

static inline int fake_position(struct gantry_task_context *ctx, struct gantry_view partition,
                                struct gantry_view *ret, struct gantry_err *err)
{
    (void)err;
    struct fake_text *found = fake_find(((struct fake_task *)ctx)->fake, partition);
    *ret = found != NULL ? (struct gantry_view){found->data, found->len}
                         : (struct gantry_view){NULL, 0};
    return 0;
}

static inline int fake_positions(struct gantry_task_context *ctx,
                                 void (*each)(void *arg, struct gantry_view partition,
                                              struct gantry_view position),
                                 void *arg, struct gantry_err *err)
{
    (void)err;
    struct fake *fake = ((struct fake_task *)ctx)->fake;
    for (size_t i = 0; i < fake->position_count; i++)
        each(arg, (struct gantry_view){fake->partitions[i].data, fake->partitions[i].len},
             (struct gantry_view){fake->positions[i].data, fake->positions[i].len});
    return 0;
}

static inline void fake_open(struct fake *fake)
{
    memset(fake, 0, sizeof *fake);
    (void)snprintf(fake->folder, sizeof fake->folder, "/tmp/gantry-file-XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    fake->runtime = (struct gantry_runtime){.struct_size = sizeof fake->runtime,
                                            .abi_version = GANTRY_ABI_VERSION,
                                            .log = fake_log,
                                            .setting = fake_setting};
    fake->table = gantry_file_plugin();
    struct gantry_err err;
    assert_int_equal(fake->table->open(&fake->runtime, &fake->plugin, &err), 0);
}

static inline void fake_close(struct fake *fake)
{
    fake->table->close(fake->plugin);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fake->folder);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < fake->position_count; i++) {
        fake_text_free(&fake->partitions[i]);
        fake_text_free(&fake->positions[i]);
    }
    fake_text_free(&fake->log);
}

/* --- files --------------------------------------------------------------------------------- */

/* The path of NAME in the test's folder, in one of a few static buffers. */
static inline const char *fake_path(const struct fake *fake, const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", fake->folder, name);
    return path;
}

static inline void fake_write(const char *path, int flags, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

static inline void fake_file(const struct fake *fake, const char *name, const char *text)
{
    fake_write(fake_path(fake, name), O_TRUNC, text, strlen(text));
}

static inline void fake_add(const struct fake *fake, const char *name, const char *text)
{
    fake_write(fake_path(fake, name), O_APPEND, text, strlen(text));
}

static inline void fake_rename(const struct fake *fake, const char *from, const char *to)
{
    assert_int_equal(rename(fake_path(fake, from), fake_path(fake, to)), 0);
}

static inline struct fake_text fake_read(const char *path)
{
    struct fake_text text = {NULL, 0};
    char buf[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        fake_append(&text, buf, (size_t)n);
    assert_int_equal(n, 0);
    (void)close(fd);
    fake_append(&text, "", 0);
    return text;
}

static inline void fake_expect_file(const struct fake *fake, const char *name, const char *expected)
{
    struct fake_text text = fake_read(fake_path(fake, name));
    assert_string_equal(text.data, expected);
    fake_text_free(&text);
}

static inline void fake_sleep(int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* --- tasks --------------------------------------------------------------------------------- */

static inline void *fake_alloc(struct gantry_batch *batch, size_t size)
{
    struct fake_task *task =
        (struct fake_task *)(void *)((char *)batch - offsetof(struct fake_task, batch));
    assert_true(task->block_count < sizeof task->blocks / sizeof task->blocks[0]);
    return task->blocks[task->block_count++] = malloc(size > 0 ? size : 1);
}

static inline int fake_grow(struct gantry_batch *batch)
{
    batch->capacity = batch->capacity * 2 + 2;
    batch->mark_capacity = batch->mark_capacity * 2 + 2;
    batch->records = realloc(batch->records, batch->capacity * sizeof *batch->records);
    batch->marks = realloc(batch->marks, batch->mark_capacity * sizeof *batch->marks);
    assert_true(batch->records != NULL && batch->marks != NULL);
    return 0;
}

static inline void fake_empty(struct fake_task *task)
{
    for (size_t i = 0; i < task->block_count; i++)
        free(task->blocks[i]);
    task->block_count = task->batch.count = task->batch.mark_count = 0;
}

/* Pairs of key and value up to a NULL. */
static inline void fake_task_init(struct fake_task *task, struct fake *fake, size_t kind,
                                  const char *name, const char *const *pairs)
{
    memset(task, 0, sizeof *task);
    task->fake = fake;
    task->connector = fake->table->connectors[kind];
    task->config = (struct gantry_config){sizeof task->config, 0, task->entries};
    for (; *pairs != NULL; pairs += 2) {
        char *value = task->values[task->config.count];
        (void)snprintf(value, sizeof task->values[0], "%s", pairs[1]);
        task->entries[task->config.count++] = (struct gantry_config_entry){pairs[0], value};
    }
    task->ctx = (struct gantry_task_context){
        .struct_size = sizeof task->ctx,
        .runtime = &fake->runtime,
        .connector = name,
        .task_count = 1,
        .config = &task->config,
        .wake = fake_wake,
        .wake_after = fake_wake_after,
        .position = fake_position,
        .positions = fake_positions,
        .report_lag = fake_report_lag,
        .log = fake_task_log,
    };
    task->delay_ms = -1;
    task->batch = (struct gantry_batch){.struct_size = sizeof task->batch,
                                        .max_bytes = 1 << 20,
                                        .alloc = fake_alloc,
                                        .grow = fake_grow};
}

#define SOURCE     0
#define SINK       1
#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline int fake_start(struct fake_task *task)
{
    task->ctx.state = (struct gantry_view){task->state.data, task->state.len};
    task->delay_ms = -1; /* a timer does not outlive the life that set it */
    int rc = task->connector->task_start(task->fake->plugin, &task->ctx, &task->task, &task->err);
    if (rc != 0)
        task->task = NULL;
    return rc;
}

static inline void fake_stop(struct fake_task *task)
{
    if (task->task != NULL)
        task->connector->task_stop(task->task);
    task->task = NULL;
}

static inline void fake_task_deinit(struct fake_task *task)
{
    fake_stop(task);
    fake_empty(task);
    free(task->batch.records);
    free(task->batch.marks);
    fake_text_free(&task->out);
    fake_text_free(&task->dead);
    fake_text_free(&task->state);
    fake_text_free(&task->checkpoint);
}

static inline bool fake_is_part(const struct gantry_record *record)
{
    for (uint32_t i = 0; i < record->header_count; i++) {
        if (gantry_view_equal(record->headers[i].name, gantry_view_of("gantry.line")) &&
            gantry_view_equal(record->headers[i].value, gantry_view_of("part")))
            return true;
    }
    return false;
}

/* One poll; what it gave is committed with its marks. Returns the code; *ret_count: records and
 * marks. */
static inline int fake_poll(struct fake_task *task, size_t *ret_count)
{
    fake_empty(task);
    int rc = task->connector->poll(task->task, &task->batch, &task->err);
    if (rc != 0)
        return rc;
    const struct gantry_batch *batch = &task->batch;
    if (batch->count > 0) {
        /* Everything must be covered, or a restart would repeat it. */
        assert_true(batch->mark_count > 0);
        assert_int_equal(batch->marks[batch->mark_count - 1].covers, batch->count);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct gantry_record *record = &batch->records[i];
        struct fake_text *text = record->topic == NULL ? &task->out : &task->dead;
        fake_append(text, record->value.data, record->value.len);
        if (!fake_is_part(record))
            fake_append(text, "\n", 1);
        task->records += record->topic == NULL;
        task->dead_records += record->topic != NULL;
    }
    for (size_t i = 0; i < batch->mark_count; i++)
        fake_store(task->fake, batch->marks[i].partition, batch->marks[i].position);
    if (ret_count != NULL)
        *ret_count = batch->count + batch->mark_count;
    return 0;
}

/* Poll as a runtime does: until a batch is empty and nobody calls. */
static inline int fake_drain(struct fake_task *task)
{
    for (;;) {
        atomic_store(&task->wakes, 0);
        size_t count = 0;
        int rc = fake_poll(task, &count);
        if (rc != 0)
            return rc;
        if (count == 0 && task->delay_ms != 0)
            return 0;
    }
}

/* Poll when called or when the timer is due, until `out` is as expected; fails after five seconds.
 */
static inline void fake_expect(struct fake_task *task, const char *expected)
{
    int64_t slept = 0, timer = 0;
    atomic_store(&task->wakes, 1);
    for (int64_t total = 0; total < 5000; total++) {
        if (atomic_exchange(&task->wakes, 0) > 0 ||
            (task->delay_ms >= 0 && timer >= task->delay_ms)) {
            if (task->delay_ms >= 0 && timer >= task->delay_ms)
                task->delay_ms = -1;
            timer = 0;
            int rc = fake_drain(task);
            if (rc != 0)
                print_error("%s\n", task->err.text);
            assert_int_equal(rc, 0);
        }
        if (task->out.len == strlen(expected))
            break;
        fake_sleep(1);
        timer++;
        slept++;
    }
    fake_append(&task->out, "", 0);
    assert_string_equal(task->out.data, expected);
}

#endif
