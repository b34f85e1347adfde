/* SPDX-License-Identifier: Apache-2.0 */
/* The example in examples/plugin/, as a plugin file from outside would be: built as strict C11 from
 * the public headers alone, opened with dlopen, run by the runtime. */
#include "base/clock.h"
#include "plugin/config_check.h"
#include "task/task.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <dlfcn.h>
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void on_report(struct gt_task *task, void *arg)
{
    (void)task;
    (void)arg;
}

/* What a run of the worker has, as little as a task needs. */
struct small_worker {
    char folder[64];
    uv_loop_t loop;
    struct gt_mailbox control;
    struct gt_store *store;
    struct gt_executor *executor;
    struct gt_task_env env;
    struct gt_jobs *jobs;
};

static void open_worker(struct small_worker *worker, const struct gt_registry *registry)
{
    struct gantry_err err = {0};
    struct gt_topics_settings topics = {.segment_bytes = 1 << 20, .compression = "none"};
    snprintf(worker->folder, sizeof worker->folder, "test-example-XXXXXX");
    assert_non_null(mkdtemp(worker->folder));
    assert_int_equal(uv_loop_init(&worker->loop), 0);
    assert_int_equal(gt_mailbox_init(&worker->control, &worker->loop), 0);
    assert_int_equal(gt_jobs_open(NULL, &worker->jobs), 0);
    assert_int_equal(gt_executor_open("test", NULL, &worker->executor, &err), 0);
    assert_int_equal(gt_store_open(worker->folder, 1 << 20, &worker->store, &err), 0);
    worker->env = (struct gt_task_env){
        .store = worker->store,
        .runtime = gt_registry_runtime(registry),
        .control = &worker->control,
        .jobs = worker->jobs,
        .commit_bytes = 1 << 20,
    };
    assert_int_equal(gt_topics_open(worker->store, &topics, &worker->env.topics, &err), 0);
    assert_int_equal(gt_store_start(worker->store, &err), 0);
}

static void close_worker(struct small_worker *worker)
{
    gt_executor_close(worker->executor);
    assert_true(gt_jobs_close(worker->jobs));
    gt_store_stop(worker->store);
    gt_topics_close(worker->env.topics);
    gt_store_close(worker->store);
    gt_mailbox_close(&worker->control, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&worker->loop), 0);
    nftw(worker->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static enum gt_task_state state_of(struct gt_task *task)
{
    struct gt_task_status status;
    gt_task_status(task, &status);
    return status.state;
}

/* Run the source until the topic holds @p count messages. */
static void run_until(struct small_worker *worker, const struct gt_connector_class *klass,
                      const struct gantry_config *config, int64_t count)
{
    struct gantry_err err = {0};
    struct gt_task *task = NULL;
    struct gt_task_setup setup = {
        .env = &worker->env,
        .klass = klass,
        .executor = worker->executor,
        .connector = "ticks",
        .count = 1,
        .config = config,
        .converter = gt_converter_find("string"),
        .report = on_report,
    };
    assert_int_equal(gt_task_new(&setup, &task, &err), 0);
    gt_task_start(task);
    struct gt_topic *topic = gt_topic_get(worker->env.topics, "t");
    int64_t deadline_ns = gt_clock_mono_ns() + 20000000000;
    while (gt_topic_end(topic, 0) < count) {
        assert_true(gt_clock_mono_ns() < deadline_ns);
        uv_run(&worker->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    gt_task_stop(task);
    while (state_of(task) != GT_TASK_STOPPED) {
        assert_true(gt_clock_mono_ns() < deadline_ns);
        uv_run(&worker->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    gt_task_free(task);
}

static void test_ticker(void **state)
{
    (void)state;
    void *file = dlopen(EXAMPLE_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(file);
    gantry_plugin_fn get;
    *(void **)&get = dlsym(file, "gantry_plugin");
    assert_non_null(get);
    const struct gantry_plugin *const plugins[] = {get(), NULL};
    assert_int_equal(plugins[0]->abi_version, GANTRY_ABI_VERSION);

    struct gt_props settings, props;
    struct gt_registry *registry = NULL;
    struct gantry_err err = {0};
    gt_props_init(&settings);
    gt_props_init(&props);
    assert_int_equal(gt_registry_open_plugins(plugins, &settings, &registry, &err), 0);
    const struct gt_connector_class *klass = gt_registry_find(registry, "example.Ticker");
    assert_non_null(klass);

    struct gt_findings findings;
    struct gt_arena arena;
    struct gantry_config config;
    gt_findings_init(&findings);
    gt_arena_init(&arena, 4096, 0);
    gt_props_set(&props, "connector.class", "example.Ticker");
    gt_props_set(&props, "topic", "t");
    gt_props_set(&props, "tick.interval.ms", "5");
    assert_int_equal(gt_config_check(klass->connector, &props, &findings, &arena, &config), 0);

    struct small_worker worker;
    open_worker(&worker, registry);
    int64_t begun_ns = gt_clock_mono_ns();
    run_until(&worker, klass, &config, 10);
    assert_true(gt_clock_mono_ns() - begun_ns >= 9 * 4 * 1000000); /* it waits between ticks */
    struct gt_topic *topic = gt_topic_get(worker.env.topics, "t");
    int64_t before = gt_topic_end(topic, 0);
    run_until(&worker, klass, &config, before + 5);

    /* The second run went on counting where the first one stopped. */
    struct gt_reader *reader = NULL;
    assert_int_equal(gt_reader_open(topic, &(struct gt_reader_spec){0}, &reader, &err), 0);
    int64_t expected = 0;
    while (expected < before + 5) {
        const struct gt_message *messages;
        size_t count;
        int64_t first;
        assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            char text[32];
            snprintf(text, sizeof text, "tick %lld", (long long)expected++);
            assert_true(gantry_view_equal(messages[i].body, gantry_view_of(text)));
        }
        gt_reader_took(reader, count);
    }
    gt_reader_close(reader);
    close_worker(&worker);
    gt_class_release(klass);
    gt_registry_close(registry);
    gt_arena_deinit(&arena);
    gt_findings_deinit(&findings);
    gt_props_deinit(&props);
    gt_props_deinit(&settings);
    dlclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ticker)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
