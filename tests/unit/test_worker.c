/* SPDX-License-Identifier: Apache-2.0 */
/* The worker room with a scripted plugin, over a real store, real topics and real executors: what
 * happens to connectors when requests, restarts, failures and the worker's end meet. The test's
 * thread is the control loop. */
#include "worker/internal.h"

#include "base/cursor.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* --- The scripted plugin --- */

enum callback { START, POLL, PUT, CAUGHT_UP, CHECKPOINT, FLUSH, COMMITTED, CALLBACKS };

static struct script {
    atomic_long limit;                                 /* a source gives the numbers 0 .. limit-1 */
    atomic_long fail[CALLBACKS];                       /* so many calls fail ... */
    atomic_long after[CALLBACKS];                      /* ... once so many have gone well */
    atomic_bool hold_validate, hold_start, hold_flush; /* until false again */
    atomic_long validates, starts, stops;
    atomic_long durable, wrong; /* the sink: numbers committed; numbers that came out of order */
    atomic_long spare_ms;       /* release() waits so long */
} script;

struct number_task {
    struct gantry_task_context *ctx;
    long next, checkpointed;
};

static const struct gantry_view partition = {"p", 1};

static void hold(atomic_bool *flag)
{
    while (atomic_load(flag))
        usleep(500);
}

static int scripted(enum callback callback, struct gantry_err *err)
{
    static const char *const names[] = {"start",      "poll",  "put",      "caught_up",
                                        "checkpoint", "flush", "committed"};
    if (atomic_load(&script.fail[callback]) == 0 ||
        atomic_fetch_sub(&script.after[callback], 1) > 0)
        return 0;
    atomic_fetch_sub(&script.fail[callback], 1);
    return gantry_err_set(err, GANTRY_IO, "scripted failure of %s", names[callback]);
}

/* hold=true waits for the test; a configuration with bad=true is refused. */
static void validate(void *plugin, const char *name, const struct gantry_config *config,
                     struct gantry_findings *findings)
{
    (void)plugin;
    (void)name;
    atomic_fetch_add(&script.validates, 1);
    if (gantry_config_get_bool(config, "hold", false))
        hold(&script.hold_validate);
    if (gantry_config_get_bool(config, "bad", false))
        findings->add(findings, "bad", "bad: is true; give false");
}

static int start(struct gantry_task_context *ctx, void **ret, struct gantry_err *err)
{
    hold(&script.hold_start);
    int code = scripted(START, err);
    if (code != 0)
        return code;
    struct number_task *task = calloc(1, sizeof *task);
    assert_non_null(task);
    task->ctx = ctx;
    atomic_fetch_add(&script.starts, 1);
    *ret = task;
    return 0;
}

static int source_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                        struct gantry_err *err)
{
    (void)plugin;
    struct gantry_view position;
    int code = ctx->position(ctx, partition, &position, err);
    if (code == 0)
        code = start(ctx, ret, err);
    if (code == 0 && position.len == 8)
        ((struct number_task *)*ret)->next = (long)gt_load_le64(position.data);
    return code;
}

static int poll(void *arg, struct gantry_batch *batch, struct gantry_err *err)
{
    struct number_task *task = arg;
    for (int i = 0; i < 10 && task->next < atomic_load(&script.limit); i++) {
        struct gantry_record *record = gantry_batch_add(batch);
        char *text = batch->alloc(batch, 24);
        if (record == NULL || text == NULL)
            return GANTRY_NO_MEMORY;
        int len = snprintf(text, 24, "%ld", task->next++);
        record->value = (struct gantry_view){text, (size_t)len};
    }
    char position[8];
    gt_store_le64(position, (uint64_t)task->next);
    if (batch->count > 0 &&
        gantry_batch_mark(batch, partition, (struct gantry_view){position, 8}) != 0)
        return GANTRY_NO_MEMORY;
    task->ctx->wake_after(task->ctx, 5); /* the limit may be raised */
    return scripted(POLL, err);
}

static int sink_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                      struct gantry_err *err)
{
    (void)plugin;
    int code = start(ctx, ret, err);
    if (code == 0 && ctx->state.len == 8)
        ((struct number_task *)*ret)->next = (long)gt_load_le64(ctx->state.data);
    return code;
}

static int put(void *arg, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err)
{
    struct number_task *task = arg;
    for (size_t i = 0; i < count; i++) {
        char expected[24];
        int len = snprintf(expected, sizeof expected, "%ld", task->next++);
        if (!gantry_view_equal(records[i].value, (struct gantry_view){expected, (size_t)len}))
            atomic_fetch_add(&script.wrong, 1);
    }
    result->taken = count;
    return scripted(PUT, err);
}

static int caught_up(void *arg, struct gantry_err *err)
{
    (void)arg;
    return scripted(CAUGHT_UP, err);
}

static int checkpoint(void *arg, struct gantry_output *state, struct gantry_err *err)
{
    struct number_task *task = arg;
    char bytes[8];
    gt_store_le64(bytes, (uint64_t)task->next);
    task->checkpointed = task->next;
    int code = scripted(CHECKPOINT, err);
    return code != 0 ? code : state->write(state, bytes, 8);
}

static int flush(void *arg, struct gantry_err *err)
{
    (void)arg;
    hold(&script.hold_flush);
    return scripted(FLUSH, err);
}

static int committed(void *arg, struct gantry_err *err)
{
    struct number_task *task = arg;
    atomic_store(&script.durable, task->checkpointed);
    return scripted(COMMITTED, err);
}

static void stop(void *arg)
{
    atomic_fetch_add(&script.stops, 1);
    free(arg);
}

static const struct gantry_config_def defs[] = {
    {.name = "hold", .type = GANTRY_CONFIG_BOOL, .default_value = "false"},
    {.name = "bad", .type = GANTRY_CONFIG_BOOL, .default_value = "false"},
    {.name = "note", .type = GANTRY_CONFIG_STRING},
};

#define SOURCE(id, more)                                                                           \
    static const char *const id##_names[] = {"test." #id, NULL};                                   \
    static const struct gantry_connector id = {                                                    \
        .struct_size = sizeof id,                                                                  \
        .kind = GANTRY_SOURCE,                                                                     \
        .flags = more,                                                                             \
        .class_names = id##_names,                                                                 \
        .task_class = "test.Task",                                                                 \
        .version = "1",                                                                            \
        .doc = "For tests.",                                                                       \
        .defs = defs,                                                                              \
        .def_count = sizeof defs / sizeof defs[0],                                                 \
        .validate = validate,                                                                      \
        .task_start = source_start,                                                                \
        .poll = poll,                                                                              \
        .task_stop = stop,                                                                         \
    }

SOURCE(Source, 0);
SOURCE(Blocking, GANTRY_CONNECTOR_BLOCKS);

static const char *const sink_names[] = {"test.Sink", NULL};
static const struct gantry_connector sink = {
    .struct_size = sizeof sink,
    .kind = GANTRY_SINK,
    .class_names = sink_names,
    .task_class = "test.Task",
    .version = "1",
    .doc = "For tests.",
    .defs = defs,
    .def_count = sizeof defs / sizeof defs[0],
    .validate = validate,
    .task_start = sink_start,
    .put = put,
    .caught_up = caught_up,
    .checkpoint = checkpoint,
    .flush = flush,
    .committed = committed,
    .task_stop = stop,
};

static const struct gantry_connector *const connectors[] = {&Source, &Blocking, &sink};
static const struct gantry_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_version = GANTRY_ABI_VERSION,
    .name = "test",
    .version = "1",
    .connectors = connectors,
    .connector_count = 3,
};
static const struct gantry_plugin *const plugins[] = {&plugin, NULL};

/* --- The worker under test --- */

struct bench {
    char folder[64];
    struct gt_settings settings;
    struct gt_worker *worker;
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void open_worker(struct bench *bench)
{
    struct gantry_err err = {0};
    if (gt_worker_open_plugins(&bench->settings, plugins, &bench->worker, &err) != 0)
        fail_msg("%s", err.text);
}

static void close_worker(struct bench *bench)
{
    gt_worker_close(bench->worker);
    bench->worker = NULL;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    memset(&script, 0, sizeof script);
    snprintf(bench->folder, sizeof bench->folder, "test-worker-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    struct gt_props options;
    struct gt_findings findings;
    struct gantry_err err;
    gt_props_init(&options);
    gt_findings_init(&findings);
    const char *const pairs[][2] = {
        {"storePathRootDir", bench->folder},
        {"executor.threads", "2"},
        {"disk.reserve", "0"},
        {"task.restart.backoff.ms", "5"},
        {"shutdown.timeout.ms", "60s"},
        {"sink.commit.ms", "5"},
        {"task.restart.backoff.max.ms", "20"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_int_equal(gt_props_set(&options, pairs[i][0], pairs[i][1]), 0);
    if (gt_settings_load(NULL, &options, &bench->settings, &findings, &err) != 0) {
        gt_findings_to_err(&findings, &err);
        fail_msg("%s", err.text);
    }
    gt_findings_deinit(&findings);
    gt_props_deinit(&options);
    open_worker(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    script.hold_validate = script.hold_start = script.hold_flush =
        false; /* of a test that failed */
    close_worker(bench);
    gt_settings_deinit(&bench->settings);
    nftw(bench->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(bench);
    return 0;
}

/* Let the control loop run until the condition holds; fails after 20 s. */
#define WAIT(bench, condition)                                                                     \
    do {                                                                                           \
        int turns = 0;                                                                             \
        while (!(condition)) {                                                                     \
            uv_run(&(bench)->worker->loop, UV_RUN_NOWAIT);                                         \
            usleep(500);                                                                           \
            assert_true(++turns < 40000);                                                          \
        }                                                                                          \
    } while (0)

static void run_for(struct bench *bench, int ms)
{
    for (int i = 0; i < ms; i++) {
        uv_run(&bench->worker->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

/* A request with its answers counted. */
struct call {
    struct gt_request request; /* first */
    int answers;
};

static void on_done(struct gt_request *request)
{
    ((struct call *)request)->answers++;
}

static struct call *submit(struct bench *bench, enum gt_request_kind kind, const char *name)
{
    struct call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    gt_request_init(&call->request, kind);
    call->request.done = on_done;
    call->request.name = name != NULL ? strdup(name) : NULL;
    if (kind != GT_REQUEST_CREATE)
        gt_worker_submit(bench->worker, &call->request);
    return call;
}

/* @p more: KEY=VALUE, or NULL. */
static struct call *submit_create(struct bench *bench, const char *name, const char *class_name,
                                  const char *more, enum gt_create_check check)
{
    struct call *call = submit(bench, GT_REQUEST_CREATE, name);
    struct gt_props *config = &call->request.config;
    bool is_sink = strcmp(class_name, "test.Sink") == 0;
    call->request.check = check;
    gt_props_set(config, "connector-class", class_name);
    gt_props_set(config, is_sink ? "topicNames" : "topic", "numbers");
    gt_props_set(config, "source-record-converter", "string");
    if (more != NULL) {
        const char *equals = strchr(more, '=');
        gt_props_set_views(config, (struct gantry_view){more, (size_t)(equals - more)},
                           gantry_view_of(equals + 1));
    }
    gt_worker_submit(bench->worker, &call->request);
    return call;
}

static void free_call(struct call *call)
{
    assert_int_equal(call->answers, 1);
    gt_request_deinit(&call->request);
    free(call);
}

static enum gt_create_outcome create(struct bench *bench, const char *name, const char *class_name,
                                     const char *more, enum gt_create_check check)
{
    struct call *call = submit_create(bench, name, class_name, more, check);
    WAIT(bench, call->answers > 0);
    enum gt_create_outcome outcome = call->request.outcome;
    free_call(call);
    return outcome;
}

static void stop_connector(struct bench *bench, const char *name)
{
    struct call *call = submit(bench, name != NULL ? GT_REQUEST_STOP : GT_REQUEST_STOP_ALL, name);
    WAIT(bench, call->answers > 0);
    assert_int_equal(call->request.err.code, 0);
    free_call(call);
}

static bool is_running(struct bench *bench, const char *name)
{
    struct call *call = submit(bench, GT_REQUEST_STATUS, name);
    WAIT(bench, call->answers > 0);
    bool running = call->request.running;
    free_call(call);
    return running;
}

/* How many connectors there are; *note gets what the first one's `note` is. */
static size_t look(struct bench *bench, const char *name, char note[64])
{
    struct call *call = submit(bench, name != NULL ? GT_REQUEST_CONFIG : GT_REQUEST_CONFIGS, name);
    WAIT(bench, call->answers > 0);
    size_t count = call->request.connector_count;
    const char *value =
        count > 0 ? gt_props_get(&call->request.connectors[0].config, "note") : NULL;
    if (note != NULL)
        snprintf(note, 64, "%s", value != NULL ? value : "");
    free_call(call);
    return count;
}

static int64_t topic_end(struct bench *bench)
{
    return gt_topic_end(gt_topic_get(bench->worker->topics, "numbers"), 0);
}

/* --- Requests --- */

static void test_create_and_stop(void **state)
{
    struct bench *bench = *state;
    char note[64];
    script.limit = 100;
    assert_int_equal(create(bench, "a", "test.Source", "note=1", GT_CHECK_FULL), GT_CREATE_OK);
    assert_true(is_running(bench, "a"));
    WAIT(bench, topic_end(bench) == 100);
    assert_int_equal(create(bench, "a", "test.Source", "note=1", GT_CHECK_FULL), GT_CREATE_SAME);
    assert_int_equal(script.starts, 1);
    assert_int_equal(create(bench, "a", "test.Source", "note=2", GT_CHECK_FULL), GT_CREATE_OK);
    assert_int_equal(script.starts, 2);
    assert_int_equal(script.stops, 1);
    assert_int_equal(look(bench, "a", note), 1);
    assert_string_equal(note, "2");
    assert_int_equal(create(bench, "a", "test.Source", "bad=true", GT_CHECK_FULL),
                     GT_CREATE_INVALID);
    assert_int_equal(create(bench, "a", "test.Nothing", NULL, GT_CHECK_FULL),
                     GT_CREATE_UNKNOWN_CLASS);
    assert_true(is_running(bench, "a")); /* what is refused changes nothing */
    stop_connector(bench, "a");
    assert_int_equal(look(bench, "a", NULL), 0);
    assert_int_equal(script.starts, script.stops);
    assert_int_equal(bench->worker->slots.count, 0);
    stop_connector(bench, "unknown");
    assert_int_equal(topic_end(bench), 100); /* the new one began where the old one had ended */
}

static void test_stop_all(void **state)
{
    struct bench *bench = *state;
    char name[16];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "c%d", i);
        assert_int_equal(create(bench, name,
                                i % 2 == 0   ? "test.Source"
                                : i % 4 == 1 ? "test.Sink"
                                             : "test.Blocking",
                                NULL, GT_CHECK_FULL),
                         GT_CREATE_OK);
    }
    assert_int_equal(look(bench, NULL, NULL), 40);
    stop_connector(bench, NULL);
    assert_int_equal(look(bench, NULL, NULL), 0);
    assert_int_equal(bench->worker->slots.count, 0);
    assert_int_equal(bench->worker->tasks, 0);
    assert_int_equal(script.starts, script.stops);
}

/* What is configured starts again with the worker, and goes on where it was. */
static void test_next_worker(void **state)
{
    struct bench *bench = *state;
    char note[64];
    script.limit = 50;
    create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
    create(bench, "gone", "test.Sink", NULL, GT_CHECK_FULL);
    stop_connector(bench, "gone");
    create(bench, "src", "test.Source", "note=kept", GT_CHECK_FULL); /* `durable` is dst's alone */
    WAIT(bench, script.durable == 50);
    close_worker(bench);
    assert_int_equal(script.starts, script.stops);
    script.limit = 80;
    open_worker(bench);
    WAIT(bench, script.durable == 80);
    assert_int_equal(script.wrong, 0);
    assert_int_equal(topic_end(bench), 80);
    assert_int_equal(look(bench, NULL, NULL), 2);
    assert_int_equal(look(bench, "src", note), 1);
    assert_string_equal(note, "kept");
}

/* However many operations wait for one name, they end, each answered once. */
static void test_many_operations(void **state)
{
    enum { MANY = 40000 };
    struct bench *bench = *state;
    struct call **calls = calloc(MANY, sizeof(*calls));
    assert_non_null(calls);
    script.hold_validate = true;
    struct call *first = submit_create(bench, "a", "test.Source", "hold=true", GT_CHECK_FULL);
    WAIT(bench, script.validates == 1);
    for (int i = 0; i < MANY; i++)
        calls[i] = i < 200 && i % 2 == 0
                       ? submit_create(bench, "a", "test.Source", "hold=true", GT_CHECK_FULL)
                       : submit(bench, GT_REQUEST_STOP, "a");
    run_for(bench, 20);
    script.hold_validate = false;
    WAIT(bench, calls[MANY - 1]->answers > 0 && bench->worker->operations == 0);
    free_call(first);
    for (int i = 0; i < MANY; i++)
        free_call(calls[i]);
    free(calls);
    assert_int_equal(look(bench, NULL, NULL), 0);
    assert_int_equal(script.starts, script.stops);
}

/* Checks that hang (a file system that is far away) do not hold up the flushes of others. */
static void test_hanging_checks(void **state)
{
    enum { HANGING = 8 };
    struct bench *bench = *state;
    struct call *calls[HANGING];
    script.hold_validate = true;
    for (int i = 0; i < HANGING; i++) {
        char name[8];
        snprintf(name, sizeof name, "h%d", i);
        calls[i] = submit_create(bench, name, "test.Source", "hold=true", GT_CHECK_FULL);
    }
    script.limit = 100;
    create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
    create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
    WAIT(bench, script.durable == 100);
    script.limit = 0;
    script.hold_validate = false;
    for (int i = 0; i < HANGING; i++) {
        WAIT(bench, calls[i]->answers > 0);
        free_call(calls[i]);
    }
}

/* --- Failures --- */

/* A callback fails twice: the task comes back by itself and nothing is lost or doubled, whichever
 * it was. */
static void test_failures(void **state)
{
    struct bench *bench = *state;
    for (int callback = START; callback < CALLBACKS; callback++) {
        for (long after = 0; after < 3; after++) {
            long limit = script.limit + 200;
            script.after[callback] = after;
            script.fail[callback] = 2;
            script.limit = limit;
            create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
            create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
            WAIT(bench, script.durable == limit && topic_end(bench) == limit);
            /* caught_up comes once a start: the second failure needs another one. */
            WAIT(bench, script.fail[callback] == 0 || callback == START || callback == CAUGHT_UP ||
                            after > 0);
            script.fail[callback] = 0;
            WAIT(bench, is_running(bench, "src") && is_running(bench, "dst"));
            stop_connector(bench, NULL);
            assert_int_equal(script.wrong, 0);
            assert_int_equal(script.starts, script.stops);
        }
    }
}

/* The last flush or commit of a stop fails: the stop ends all the same. */
static void test_failures_at_stop(void **state)
{
    struct bench *bench = *state;
    static const enum callback late[] = {CHECKPOINT, FLUSH, COMMITTED};
    for (size_t i = 0; i < sizeof late / sizeof late[0]; i++) {
        script.limit += 100;
        create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
        create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
        WAIT(bench, topic_end(bench) > 0);
        script.after[late[i]] = 0;
        script.fail[late[i]] = 1000000;
        stop_connector(bench, NULL);
        script.fail[late[i]] = 0;
        assert_int_equal(script.starts, script.stops);
        assert_int_equal(bench->worker->tasks, 0);
    }
    create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
    create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
    WAIT(bench, script.durable == script.limit);
    assert_int_equal(script.wrong, 0);
}

/* A connector that cannot run is tried again and again. While a new configuration of it is being
 * checked such a try falls due: it must not bring the old configuration back behind the new one. */
static void test_restart_and_replace(void **state)
{
    struct bench *bench = *state;
    char note[64];
    for (int round = 0; round < 5; round++) {
        assert_int_equal(create(bench, "a", "test.Source", "bad=true", GT_CHECK_CLASS_2019),
                         GT_CREATE_OK);
        assert_false(is_running(bench, "a"));
        long before = script.validates;
        WAIT(bench, script.validates > before + 3); /* it is tried */
        script.hold_validate = true;
        struct call *call = submit_create(bench, "a", "test.Source", "hold=true", GT_CHECK_FULL);
        run_for(bench, 60);
        script.hold_validate = false;
        WAIT(bench, call->answers > 0);
        assert_int_equal(call->request.outcome, GT_CREATE_OK);
        free_call(call);
        run_for(bench, 60);
        assert_true(is_running(bench, "a"));
        long starts = script.starts;
        run_for(bench, 30);
        assert_int_equal(script.starts, starts);
        assert_int_equal(look(bench, "a", note), 1);
        stop_connector(bench, "a");
        run_for(bench, 30);
        assert_int_equal(look(bench, "a", note), 0);
    }
}

/* The same with a stop: what is stopped stays away. */
static void test_restart_and_stop(void **state)
{
    struct bench *bench = *state;
    for (int round = 0; round < 100; round++) {
        assert_int_equal(create(bench, "a", "test.Source", "bad=true", GT_CHECK_CLASS_2019),
                         GT_CREATE_OK);
        run_for(bench, 3 + round % 5); /* a try falls due about now */
        stop_connector(bench, "a");
        assert_int_equal(bench->worker->slots.count, 0);
        assert_int_equal(look(bench, "a", NULL), 0);
    }
}

/* --- The end --- */

static void *release(void *arg)
{
    (void)arg;
    usleep((useconds_t)atomic_load(&script.spare_ms) * 1000);
    atomic_store(&script.hold_validate, false);
    atomic_store(&script.hold_start, false);
    atomic_store(&script.hold_flush, false);
    return NULL;
}

/* Close the worker while something is held, which lets go soon after. */
static void close_and_release(struct bench *bench)
{
    pthread_t thread;
    script.spare_ms = 30;
    assert_int_equal(pthread_create(&thread, NULL, release, NULL), 0);
    close_worker(bench);
    pthread_join(thread, NULL);
    assert_int_equal(script.starts, script.stops);
}

static void test_end_while_checking(void **state)
{
    struct bench *bench = *state;
    script.hold_validate = true;
    struct call *create = submit_create(bench, "a", "test.Source", "hold=true", GT_CHECK_FULL);
    struct call *next = submit_create(bench, "a", "test.Source", "note=2", GT_CHECK_FULL);
    struct call *last = submit(bench, GT_REQUEST_STOP, "a");
    WAIT(bench, script.validates == 1);
    close_and_release(bench);
    assert_int_equal(create->request.outcome, GT_CREATE_FAILED);
    assert_int_equal(next->request.err.code, GANTRY_CLOSED);
    assert_int_equal(last->request.err.code, GANTRY_CLOSED);
    free_call(create);
    free_call(next);
    free_call(last);
    open_worker(bench);
    assert_int_equal(look(bench, NULL, NULL), 0);
}

static void test_end_while_starting(void **state)
{
    struct bench *bench = *state;
    script.hold_start = true;
    struct call *call = submit_create(bench, "a", "test.Blocking", "note=1", GT_CHECK_FULL);
    WAIT(bench, bench->worker->tasks == 1);
    close_and_release(bench);
    assert_int_equal(call->request.outcome,
                     GT_CREATE_OK); /* stored: it runs with the next worker */
    free_call(call);
    open_worker(bench);
    WAIT(bench, is_running(bench, "a"));
}

static void test_end_while_replacing(void **state)
{
    struct bench *bench = *state;
    script.limit = 100;
    create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
    create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
    WAIT(bench, script.durable == 100);
    script.hold_flush = true;
    script.limit = 200;
    WAIT(bench, topic_end(bench) == 200);
    struct call *call = submit_create(bench, "dst", "test.Sink", "note=2",
                                      GT_CHECK_FULL); /* waits for the old one's flush */
    run_for(bench, 30);
    assert_int_equal(call->answers, 0);
    close_and_release(bench);
    free_call(call);
    open_worker(bench);
    char note[64];
    assert_int_equal(look(bench, "dst", note), 1);
    assert_string_equal(note, "2");
    WAIT(bench, script.durable == 200);
    assert_int_equal(script.wrong, 0);
}

static void test_end_while_failed(void **state)
{
    struct bench *bench = *state;
    script.fail[START] = 1000000;
    create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
    create(bench, "blocks", "test.Blocking", NULL, GT_CHECK_FULL);
    create(bench, "bad", "test.Source", "bad=true", GT_CHECK_CLASS_2019);
    run_for(bench, 40);
    assert_false(is_running(bench, "src"));
    close_and_release(bench);
}

/* At any moment of a busy life: requests without a pause, then the end. */
static void test_end_at_any_moment(void **state)
{
    enum { CALLS = 40 };
    struct bench *bench = *state;
    script.limit = 1000;
    for (int round = 0; round < 25; round++) {
        struct call *calls[CALLS];
        for (int i = 0; i < CALLS; i++) {
            char name[8], note[16];
            snprintf(name, sizeof name, "c%d", i % 5);
            snprintf(note, sizeof note, "%s%d", i % 7 == 0 ? "bad=true" : "note=", i);
            note[i % 7 == 0 ? 8 : 15] = '\0';
            static const char *const classes[] = {"test.Source", "test.Sink", "test.Blocking"};
            if (i % 4 == 3)
                calls[i] = submit(bench, i % 8 == 7 ? GT_REQUEST_STOP_ALL : GT_REQUEST_STOP,
                                  i % 8 == 7 ? NULL : name);
            else
                calls[i] = submit_create(bench, name, classes[i % 3], note,
                                         i % 7 == 0 ? GT_CHECK_CLASS_2019 : GT_CHECK_FULL);
            if (i % 10 == round % 10)
                run_for(bench, 2);
        }
        run_for(bench, round);
        close_and_release(bench);
        for (int i = 0; i < CALLS; i++)
            free_call(calls[i]);
        open_worker(bench);
    }
}

static void *terminate(void *arg)
{
    (void)arg;
    usleep(100000);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGTERM);
    return NULL;
}

static void stop_listening(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_signal(void **state)
{
    struct bench *bench = *state;
    atomic_int listener_stops = 0;
    pthread_t thread;
    struct gantry_err err;
    script.limit = 500;
    create(bench, "src", "test.Source", NULL, GT_CHECK_FULL);
    create(bench, "dst", "test.Sink", NULL, GT_CHECK_FULL);
    gt_worker_attach(bench->worker, stop_listening, &listener_stops);
    assert_int_equal(pthread_create(&thread, NULL, terminate, NULL), 0);
    assert_int_equal(gt_worker_run(bench->worker, &err), 0);
    pthread_join(thread, NULL);
    close_worker(bench);
    assert_int_equal(listener_stops, 1);
    assert_int_equal(script.starts, script.stops);
    assert_int_equal(script.durable, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_operations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hanging_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_at_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_and_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_and_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_checking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_starting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_replacing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
