/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that misbehaves on purpose: the key bad.where says in which callback, bad.how in which
 * way, bad.once names a file: when it is there already, it behaves.
 *
 * The source counts: numbers 0 to bad.limit - 1, a record each. The sink writes values and a line
 * feed to bad.file, and its state is the file's length, to which it is cut at the start: so what is
 * put again is written again, and nothing is there twice unless the worker loses a state. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gantry/connector.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100 };

static const struct gantry_config_def source_keys[] = {
    {.name = "bad.where",
     .type = GANTRY_CONFIG_STRING,
     .default_value = "",
     .doc = "Which callback."},
    {.name = "bad.how", .type = GANTRY_CONFIG_STRING, .default_value = "", .doc = "In which way."},
    {.name = "bad.once", .type = GANTRY_CONFIG_STRING, .default_value = "", .doc = "A file."},
    {.name = "bad.limit",
     .type = GANTRY_CONFIG_INT,
     .default_value = "1000",
     .min = 0,
     .max = 1000000000,
     .doc = "Numbers."},
    {.name = "bad.batch",
     .type = GANTRY_CONFIG_INT,
     .default_value = "100",
     .min = 1,
     .max = 100000,
     .doc = "Of a batch."},
    {.name = "bad.null",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "false",
     .doc = "Each tenth record has no value."},
    {.name = "bad.large",
     .type = GANTRY_CONFIG_INT,
     .default_value = "0",
     .min = 0,
     .max = 1000000000,
     .doc = "Bytes that the first record has."},
};

static const struct gantry_config_def sink_keys[] = {
    {.name = "bad.where",
     .type = GANTRY_CONFIG_STRING,
     .default_value = "",
     .doc = "Which callback."},
    {.name = "bad.how", .type = GANTRY_CONFIG_STRING, .default_value = "", .doc = "In which way."},
    {.name = "bad.once", .type = GANTRY_CONFIG_STRING, .default_value = "", .doc = "A file."},
    {.name = "bad.file",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_REQUIRED,
     .doc = "What to write."},
    {.name = "bad.headers",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "false",
     .doc = "Write names of headers, too."},
    {.name = "bad.aside",
     .type = GANTRY_CONFIG_INT,
     .default_value = "0",
     .doc = "Lay aside what ends with this digit; 0: nothing."},
};

/* --- Ways to misbehave --- */

static volatile int spin = 1;

static void leak(void)
{
    for (;;) {
        char *memory = malloc(1 << 20);
        if (memory != NULL)
            memset(memory, 1, 1 << 20);
        (void)usleep(1000);
    }
}

/* The line, wherever it is: the one stream socket of this process. */
static void write_garbage(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        struct stat info;
        static const char text[] = "HTTP/1.1 200 OK\r\n\r\nthis is not the host protocol at all\n";
        if (fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode))
            (void)!write(fd, text, sizeof text);
    }
}

static void flood(void)
{
    for (int i = 0; i < 20000; i++)
        (void)fprintf(stderr, "flood %d\n", i);
}

static void tell(const char *what, long result)
{
    (void)fprintf(stderr, "%s: %s\n", what, result == 0 ? "done" : strerror(errno));
}

/* What a host may do beyond its work. */
static void use_rights(void)
{
    const char *victim = getenv("BAD_VICTIM");
    tell("truncate", truncate(victim != NULL ? victim : "/", 1));
    tell("kill", kill(getppid(), 0));
    tell("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
#ifdef __x86_64__
    tell("other number", syscall(0x40000000 | SYS_getpid) > 0 ? 0 : -1);
#endif
}

/* Until somebody makes the file that is named like bad.once, with .go behind it. */
static void hang(const char *once)
{
    char go[4096];
    (void)snprintf(go, sizeof go, "%s.go", once);
    while (access(go, F_OK) != 0)
        (void)usleep(10000);
}

static void misbehave(const char *how, struct gantry_task_context *ctx)
{
    if (strcmp(how, "segv") == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would make a report of it */
        *(volatile int *)16 = 1;
    }
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "exit") == 0)
        _exit(3);
    if (strcmp(how, "say-and-exit") == 0) {
        (void)fprintf(stderr, "these are my last words\n");
        _exit(4);
    }
    if (strcmp(how, "loop") == 0)
        while (spin) {
        }
    if (strcmp(how, "sleep") == 0)
        (void)sleep(1000);
    if (strcmp(how, "leak") == 0)
        leak();
    if (strcmp(how, "leak-some") == 0) {
        char *volatile memory = malloc(16 << 20);
        if (memory != NULL)
            memset(memory, 1, 16 << 20);
    }
    if (strcmp(how, "close") == 0) {
        for (int fd = 0; fd < 4096; fd++)
            (void)close(fd);
        (void)sleep(1000);
    }
    if (strcmp(how, "garbage") == 0) {
        write_garbage();
        (void)sleep(1000);
    }
    if (strcmp(how, "stdout") == 0) {
        printf("this goes to standard output\n");
        (void)fflush(stdout);
    }
    if (strcmp(how, "flood") == 0)
        flood();
    if (strcmp(how, "flood-log") == 0) {
        for (int i = 0; ctx != NULL && i < 20000; i++)
            ctx->log(ctx, GANTRY_LOG_WARN, "flood by log");
    }
    if (strcmp(how, "fork") == 0 && fork() == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        (void)execlp("sleep", "sleep", "4242", (char *)NULL);
        _exit(1);
    }
    if (strcmp(how, "rights") == 0)
        use_rights();
    if (strcmp(how, "stop-self") == 0)
        (void)kill(getpid(), SIGSTOP);
}

static int here(const struct gantry_config *config, const char *where)
{
    const char *wanted = gantry_config_get(config, "bad.where");
    const char *once = gantry_config_get(config, "bad.once");
    if (strcmp(wanted, where) != 0)
        return 0;
    if (*once == '\0')
        return 1;
    int fd = open(once, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd < 0)
        return 0;
    (void)close(fd);
    return 1;
}

static void maybe(const struct gantry_config *config, const char *where,
                  struct gantry_task_context *ctx)
{
    const char *how = gantry_config_get(config, "bad.how");
    if (!here(config, where))
        return;
    if (strcmp(how, "hang") == 0)
        hang(gantry_config_get(config, "bad.once"));
    else
        misbehave(how, ctx);
}

static void validate(void *plugin, const char *name, const struct gantry_config *config,
                     struct gantry_findings *findings)
{
    (void)plugin;
    (void)name;
    maybe(config, "validate", NULL);
    if (strcmp(gantry_config_get(config, "bad.how"), "refuse") == 0)
        findings->add(findings, "bad.how", "cannot be refuse");
    if (strcmp(gantry_config_get(config, "bad.how"), "nonsense") == 0 && here(config, "validate"))
        findings->add(findings, "bad.how", NULL);
}

static int split(void *plugin, const struct gantry_config *config, uint32_t max_tasks,
                 struct gantry_task_list *list, struct gantry_err *err)
{
    (void)plugin;
    (void)max_tasks;
    bool nonsense = strcmp(gantry_config_get(config, "bad.how"), "nonsense") == 0;
    if (!nonsense)
        maybe(config, "split", NULL);
    int code = list->begin(list);
    if (code == 0 && nonsense && here(config, "split") && list->set(list, NULL, NULL) != 0)
        code = gantry_err_set(err, GANTRY_INVALID, "cannot set what is nothing");
    return code;
}

/* --- The source --- */

struct source {
    struct gantry_task_context *ctx;
    const struct gantry_config *config;
    long next, limit, batch, large;
    bool null;
    int late; /* how often a start or a stop has been looked at */
};

static const char partition[] = "numbers";

static int source_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                        struct gantry_err *err)
{
    struct gantry_view position;
    (void)plugin;
    maybe(ctx->config, "start", ctx);
    int code = ctx->position(ctx, gantry_view_of(partition), &position, err);
    struct source *source = code == 0 ? calloc(1, sizeof *source) : NULL;
    if (source == NULL)
        return code != 0 ? code : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
    source->ctx = ctx;
    source->config = ctx->config;
    source->limit = gantry_config_get_int(ctx->config, "bad.limit", 0);
    source->batch = gantry_config_get_int(ctx->config, "bad.batch", BATCH);
    source->large = gantry_config_get_int(ctx->config, "bad.large", 0);
    source->null = gantry_config_get_bool(ctx->config, "bad.null", false);
    for (size_t i = 0; i < position.len; i++)
        source->next = source->next * 10 + (position.data[i] - '0');
    *ret = source;
    return 0;
}

static int add_number(struct source *source, struct gantry_batch *batch, struct gantry_err *err)
{
    static const struct gantry_header none = {{GANTRY_HEADER_NULL, sizeof GANTRY_HEADER_NULL - 1},
                                              {"value", 5}};
    struct gantry_record *record = gantry_batch_add(batch);
    size_t size = source->next == 0 && source->large > 0 ? (size_t)source->large : 24;
    char *text = batch->alloc(batch, size + 24);
    if (record == NULL || text == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
    memset(text, 'x', size);
    int len = snprintf(text, 24, "%ld", source->next);
    record->key = (struct gantry_view){text, (size_t)len};
    record->value = (struct gantry_view){text, size > 24 ? size : (size_t)len};
    if (source->null && source->next % 10 == 9) {
        record->value = (struct gantry_view){NULL, 0};
        record->headers = &none;
        record->header_count = 1;
    }
    source->next++;
    return 0;
}

/* Not the first three times; nothing but the timer brings the next look. */
static int late(struct source *source, const char *where)
{
    if (strcmp(gantry_config_get(source->config, "bad.how"), "late") != 0 ||
        strcmp(gantry_config_get(source->config, "bad.where"), where) != 0 || source->late == 3)
        return 0;
    source->late++;
    source->ctx->wake_after(source->ctx, 20);
    return GANTRY_AGAIN;
}

static int source_start_done(void *task, struct gantry_err *err)
{
    (void)err;
    return late(task, "start");
}

static int source_stop_done(void *task)
{
    return late(task, "stop");
}

static int source_poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    struct source *source = task;
    char position[24];
    bool nonsense = strcmp(gantry_config_get(source->config, "bad.how"), "nonsense") == 0;
    if (source->next > 0 && !nonsense)
        maybe(source->config, "poll", source->ctx);
    if (nonsense && here(source->config, "poll")) { /* a position for records that there are not */
        (void)gantry_batch_mark(batch, gantry_view_of(partition), gantry_view_of("999999"));
        batch->marks[0].covers = 12345;
        return 0;
    }
    int code = 0;
    for (long i = 0; i < source->batch && source->next < source->limit && code == 0; i++)
        code = add_number(source, batch, err);
    if (code != 0 || batch->count == 0)
        return code;
    (void)snprintf(position, sizeof position, "%ld", source->next);
    return gantry_batch_mark(batch, gantry_view_of(partition), gantry_view_of(position));
}

static int source_committed(void *task, struct gantry_err *err)
{
    struct source *source = task;
    (void)err;
    maybe(source->config, "committed", source->ctx);
    return 0;
}

static void source_stop(void *task)
{
    struct source *source = task;
    maybe(source->config, "stop", source->ctx);
    free(source);
}

/* --- The sink --- */

struct sink {
    struct gantry_task_context *ctx;
    const struct gantry_config *config;
    FILE *file;
    bool headers;
    char aside;
};

static int sink_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                      struct gantry_err *err)
{
    const char *path = gantry_config_get(ctx->config, "bad.file");
    char length[24] = "0";
    (void)plugin;
    maybe(ctx->config, "start", ctx);
    struct sink *sink = calloc(1, sizeof *sink);
    if (sink != NULL)
        sink->file = fopen(path, "a");
    if (sink == NULL || sink->file == NULL) {
        free(sink);
        return gantry_err_set(err, GANTRY_IO, "cannot open %s", path);
    }
    sink->ctx = ctx;
    sink->config = ctx->config;
    sink->headers = gantry_config_get_bool(ctx->config, "bad.headers", false);
    sink->aside = *gantry_config_get(ctx->config, "bad.aside");
    if (ctx->state.len > 0 && ctx->state.len < sizeof length)
        memcpy(length, ctx->state.data, ctx->state.len);
    if (ftruncate(fileno(sink->file), strtol(length, NULL, 10)) != 0) {
        (void)fclose(sink->file);
        free(sink);
        return gantry_err_set(err, GANTRY_IO, "cannot cut %s", path);
    }
    *ret = sink;
    return 0;
}

static int sink_put(void *task, const struct gantry_record *records, size_t count,
                    struct gantry_put_result *result, struct gantry_err *err)
{
    struct sink *sink = task;
    bool nonsense = strcmp(gantry_config_get(sink->config, "bad.how"), "nonsense") == 0;
    if (!nonsense)
        maybe(sink->config, "put", sink->ctx);
    if (nonsense && here(sink->config, "put")) {
        result->taken = 0; /* nothing taken, nothing asked for */
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t len = records[i].value.len;
        if (sink->aside != '0' && len > 0 && records[i].value.data[len - 1] == sink->aside) {
            int code = sink->ctx->lay_aside(sink->ctx, &records[i], err);
            if (code != 0)
                return code;
            continue;
        }
        (void)fwrite(records[i].value.data, 1, records[i].value.len, sink->file);
        for (uint32_t k = 0; sink->headers && k < records[i].header_count; k++)
            (void)fprintf(sink->file, " %.*s", (int)records[i].headers[k].name.len,
                          records[i].headers[k].name.data);
        (void)fputc('\n', sink->file);
    }
    result->taken = count;
    return 0;
}

static int sink_checkpoint(void *task, struct gantry_output *state, struct gantry_err *err)
{
    struct sink *sink = task;
    char length[24];
    (void)err;
    maybe(sink->config, "checkpoint", sink->ctx);
    (void)fflush(sink->file);
    struct stat info;
    (void)fstat(fileno(sink->file), &info);
    int len = snprintf(length, sizeof length, "%lld", (long long)info.st_size);
    return state->write(state, length, (size_t)len);
}

static int sink_flush(void *task, struct gantry_err *err)
{
    struct sink *sink = task;
    (void)err;
    maybe(sink->config, "flush", sink->ctx);
    return 0;
}

static int sink_committed(void *task, struct gantry_err *err)
{
    struct sink *sink = task;
    (void)err;
    maybe(sink->config, "committed", sink->ctx);
    return 0;
}

static int sink_caught_up(void *task, struct gantry_err *err)
{
    struct sink *sink = task;
    (void)err;
    maybe(sink->config, "caught_up", sink->ctx);
    return 0;
}

static void sink_stop(void *task)
{
    struct sink *sink = task;
    maybe(sink->config, "stop", sink->ctx);
    (void)fclose(sink->file);
    free(sink);
}

/* --- Tables --- */

static const char *const source_names[] = {"test.BadSource", NULL};
static const char *const sink_names[] = {"test.BadSink", NULL};

static const struct gantry_connector bad_source = {
    .struct_size = sizeof bad_source,
    .kind = GANTRY_SOURCE,
    .class_names = source_names,
    .task_class = "test.BadSourceTask",
    .version = "1.0",
    .doc = "Counts, and misbehaves.",
    .defs = source_keys,
    .def_count = sizeof source_keys / sizeof source_keys[0],
    .validate = validate,
    .split = split,
    .task_start = source_start,
    .start_done = source_start_done,
    .poll = source_poll,
    .committed = source_committed,
    .stop_done = source_stop_done,
    .task_stop = source_stop,
};

/* The same, which says that it waits. */
static const char *const waiting_names[] = {"test.BadWaiting", NULL};

static const struct gantry_connector bad_waiting = {
    .struct_size = sizeof bad_waiting,
    .kind = GANTRY_SOURCE,
    .flags = GANTRY_CONNECTOR_BLOCKS,
    .class_names = waiting_names,
    .task_class = "test.BadSourceTask",
    .version = "1.0",
    .doc = "Counts, and misbehaves.",
    .defs = source_keys,
    .def_count = sizeof source_keys / sizeof source_keys[0],
    .validate = validate,
    .split = split,
    .task_start = source_start,
    .start_done = source_start_done,
    .poll = source_poll,
    .committed = source_committed,
    .stop_done = source_stop_done,
    .task_stop = source_stop,
};

static const struct gantry_connector bad_sink = {
    .struct_size = sizeof bad_sink,
    .kind = GANTRY_SINK,
    .class_names = sink_names,
    .task_class = "test.BadSinkTask",
    .version = "1.0",
    .doc = "Writes, and misbehaves.",
    .defs = sink_keys,
    .def_count = sizeof sink_keys / sizeof sink_keys[0],
    .validate = validate,
    .split = split,
    .task_start = sink_start,
    .put = sink_put,
    .caught_up = sink_caught_up,
    .checkpoint = sink_checkpoint,
    .flush = sink_flush,
    .committed = sink_committed,
    .task_stop = sink_stop,
};

static const struct gantry_connector *const connectors[] = {&bad_source, &bad_sink, &bad_waiting};

static const char *how_to_close;

static void close_plugin(void *plugin)
{
    (void)plugin;
    if (how_to_close != NULL)
        misbehave(how_to_close, NULL);
}

static int open_plugin(const struct gantry_runtime *runtime, void **ret, struct gantry_err *err)
{
    (void)err;
    *ret = NULL;
    const char *how = runtime->setting(runtime, "connectors.bad.load");
    how_to_close = runtime->setting(runtime, "connectors.bad.close");
    if (how != NULL)
        misbehave(how, NULL);
    return 0;
}

static const struct gantry_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_version = GANTRY_ABI_VERSION,
    .name = "bad",
    .version = "1.0",
    .open = open_plugin,
    .close = close_plugin,
    .connectors = connectors,
    .connector_count = 3,
};

const struct gantry_plugin *gantry_plugin(void);

const struct gantry_plugin *gantry_plugin(void)
{
    return &plugin;
}
