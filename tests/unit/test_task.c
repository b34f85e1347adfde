/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks with a scripted connector, over a real store, real topics and real executors. The test's
 * thread is the control loop. The scripted source counts upwards; the scripted sink writes down
 * what it was asked. */
#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "store/tables.h"
#include "task/task.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <ftw.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 100 };

/* --- The scripted connector --- */

/* What the test asks for and what the connector saw. Atomics: the test looks from another thread.
 */
static struct script {
    atomic_long limit;        /* source: numbers 0 .. limit-1 */
    atomic_long fail_poll_at; /* fail once when about to give this number; -1: never */
    atomic_long polls, commits, starts, stops;
    atomic_long started_at;    /* source: the number after the committed position */
    atomic_long fail_start;    /* so many starts fail */
    int fail_start_code;       /* 0: GANTRY_IO */
    const char *const *topics; /* source: record N names topics[N % 3]; NULL: none does */
    atomic_bool marks_only;    /* source: a mark and no record with each poll */
    atomic_bool hang;          /* source: poll does not come back as long as this is set */
    struct gantry_task_context *ctx;

    atomic_long next;       /* sink: the number that must come next */
    atomic_long wrong;      /* numbers out of order */
    atomic_long take;       /* sink: take at most so many, then want a commit; 0: all */
    atomic_long again;      /* sink: be full so many times */
    atomic_long room;       /* sink: full after so many of a put, for 1 ms; 0: never */
    atomic_long full_at;    /* sink: full at this number, and nothing wakes it; 0: never */
    atomic_long fail_flush; /* so many flushes fail */
    atomic_long checkpoints, flushes, caught_up, puts;
    atomic_long first_put_after; /* checkpoints before the first put */
    atomic_long durable;         /* sink: numbers covered by the last committed() */
    atomic_long checkpoint_next;
    atomic_long slow_flush_ms;
    /* a sink whose work is done elsewhere */
    atomic_long slow_start, slow_flush, slow_stop; /* so often it is not done yet */
    atomic_long limit_at;                          /* what it keeps back; -1: nothing */
    atomic_long kept_back;                         /* whether the cycle under way does */
    atomic_long whole_commits;                     /* of cycles that did not */
    atomic_long always_wants;                      /* a commit, after each one */
    atomic_long restart_at;                        /* number after a start, if not 0 */
    atomic_long seek_to;                           /* once; -1: nowhere */
    atomic_long hold;                              /* 1: hold, 0: go on; -1: as it is */
    atomic_long put_records;
    atomic_long aside_every;   /* sink: every so many numbers one is laid aside; 0: none */
    atomic_long seek_in_flush; /* once, while a flush is under way, and hold; -1: nowhere */
    atomic_int hang_put;       /* sink: 1: the next put waits while it is 2 */
    atomic_int aside_code;     /* what it hears then, when it lays something aside */
    struct gantry_task_context *sink_ctx;
} script;

struct number_task {
    struct gantry_task_context *ctx;
    long next;
};

static const struct gantry_view partition = {"p", 1};

static void see_position(void *arg, struct gantry_view seen, struct gantry_view position)
{
    assert_true(gantry_view_equal(seen, partition));
    assert_int_equal(position.len, 8);
    *(long *)arg = (long)gt_load_le64(position.data);
}

static int source_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                        struct gantry_err *err)
{
    (void)plugin;
    struct gantry_view position;
    long seen = 0;
    if (atomic_load(&script.fail_start) > 0) {
        atomic_fetch_sub(&script.fail_start, 1);
        return gantry_err_set(err, script.fail_start_code != 0 ? script.fail_start_code : GANTRY_IO,
                              "scripted start failure");
    }
    struct number_task *task = calloc(1, sizeof *task);
    assert_non_null(task);
    task->ctx = ctx;
    assert_int_equal(ctx->position(ctx, partition, &position, err), 0);
    task->next = position.len == 8 ? (long)gt_load_le64(position.data) : 0;
    assert_int_equal(ctx->positions(ctx, see_position, &seen, err), 0);
    assert_int_equal(seen, task->next);
    atomic_store(&script.started_at, task->next);
    atomic_fetch_add(&script.starts, 1);
    script.ctx = ctx;
    *ret = task;
    return 0;
}

static int source_poll(void *arg, struct gantry_batch *batch, struct gantry_err *err)
{
    struct number_task *task = arg;
    atomic_fetch_add(&script.polls, 1);
    while (atomic_load(&script.hang))
        (void)usleep(100);
    for (int i = 0; i < BATCH && task->next < atomic_load(&script.limit); i++) {
        if (task->next == atomic_load(&script.fail_poll_at)) {
            atomic_store(&script.fail_poll_at, -1);
            return gantry_err_set(err, GANTRY_IO, "scripted poll failure at %ld", task->next);
        }
        struct gantry_record *record = gantry_batch_add(batch);
        char *text = batch->alloc(batch, 24);
        assert_non_null(record);
        assert_non_null(text);
        if (script.topics != NULL)
            record->topic = script.topics[task->next % 3];
        int len = snprintf(text, 24, "%ld", task->next++);
        record->value = (struct gantry_view){text, (size_t)len};
    }
    if (batch->count > 0 || atomic_load(&script.marks_only)) {
        char position[8];
        gt_store_le64(position, (uint64_t)task->next);
        assert_int_equal(gantry_batch_mark(batch, partition, (struct gantry_view){position, 8}), 0);
    }
    return 0;
}

static int source_committed(void *arg, struct gantry_err *err)
{
    (void)arg;
    (void)err;
    atomic_fetch_add(&script.commits, 1);
    return 0;
}

static void number_stop(void *arg)
{
    atomic_fetch_add(&script.stops, 1);
    free(arg);
}

static int sink_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                      struct gantry_err *err)
{
    (void)plugin;
    (void)err;
    struct number_task *task = calloc(1, sizeof *task);
    assert_non_null(task);
    task->ctx = ctx;
    /* What was not committed comes again; the state says from where on. */
    task->next = ctx->state.len == 8 ? (long)gt_load_le64(ctx->state.data) : 0;
    atomic_store(&script.next, task->next);
    atomic_store(&script.started_at, task->next);
    atomic_fetch_add(&script.starts, 1);
    script.sink_ctx = ctx;
    *ret = task;
    return 0;
}

static int sink_put(void *arg, const struct gantry_record *records, size_t count,
                    struct gantry_put_result *result, struct gantry_err *err)
{
    struct number_task *task = arg;
    if (atomic_fetch_add(&script.puts, 1) == 0)
        atomic_store(&script.first_put_after, atomic_load(&script.checkpoints));
    if (atomic_load(&script.again) > 0) {
        atomic_fetch_sub(&script.again, 1);
        task->ctx->wake_after(task->ctx, 1);
        return GANTRY_AGAIN;
    }
    int hang = 1;
    if (atomic_compare_exchange_strong(&script.hang_put, &hang, 2)) {
        while (atomic_load(&script.hang_put) == 2)
            (void)usleep(100);
        atomic_store(&script.aside_code, task->ctx->lay_aside(task->ctx, &records[0], err));
    }
    long most = atomic_load(&script.take), room = atomic_load(&script.room);
    for (size_t i = 0; i < count && (most == 0 || (long)i < most); i++) {
        char expected[24];
        if (atomic_load(&script.full_at) > 0 && task->next == atomic_load(&script.full_at))
            return GANTRY_AGAIN;
        if (room > 0 && (long)i == room) {
            task->ctx->wake_after(task->ctx, 1);
            return GANTRY_AGAIN;
        }
        int len = snprintf(expected, sizeof expected, "%ld", task->next);
        struct gantry_view want = {expected, (size_t)len};
        if (!gantry_view_equal(records[i].value, want) || records[i].offset != task->next)
            atomic_fetch_add(&script.wrong, 1);
        long every = atomic_load(&script.aside_every);
        if (every > 0 && task->next % every == 0)
            assert_int_equal(task->ctx->lay_aside(task->ctx, &records[i], err), 0);
        task->next++;
        result->taken++;
        atomic_fetch_add(&script.put_records, 1);
    }
    result->want_commit = result->taken < count;
    atomic_store(&script.next, task->next);
    return 0;
}

static int sink_caught_up(void *arg, struct gantry_err *err)
{
    (void)arg;
    (void)err;
    atomic_fetch_add(&script.caught_up, 1);
    return 0;
}

static int sink_checkpoint(void *arg, struct gantry_output *state, struct gantry_err *err)
{
    (void)err;
    struct number_task *task = arg;
    char bytes[8];
    gt_store_le64(bytes, (uint64_t)task->next);
    atomic_fetch_add(&script.checkpoints, 1);
    atomic_store(&script.checkpoint_next, task->next);
    return state->write(state, bytes, 8);
}

static int sink_flush(void *arg, struct gantry_err *err)
{
    (void)arg;
    atomic_fetch_add(&script.flushes, 1);
    usleep((useconds_t)atomic_load(&script.slow_flush_ms) * 1000);
    if (atomic_load(&script.fail_flush) > 0) {
        atomic_fetch_sub(&script.fail_flush, 1);
        return gantry_err_set(err, GANTRY_IO, "scripted flush failure");
    }
    return 0;
}

static int sink_committed(void *arg, struct gantry_err *err)
{
    (void)arg;
    (void)err;
    atomic_fetch_add(&script.commits, 1);
    if (atomic_load(&script.kept_back) == 0)
        atomic_fetch_add(&script.whole_commits, 1);
    atomic_store(&script.durable, atomic_load(&script.checkpoint_next));
    return 0;
}

static const char *const source_names[] = {"test.Source", NULL};
static const char *const sink_names[] = {"test.Sink", NULL};

static const struct gantry_connector source_connector = {
    .struct_size = sizeof source_connector,
    .kind = GANTRY_SOURCE,
    .class_names = source_names,
    .task_class = "test.SourceTask",
    .task_start = source_start,
    .poll = source_poll,
    .committed = source_committed,
    .task_stop = number_stop,
};

static const struct gantry_connector sink_connector = {
    .struct_size = sizeof sink_connector,
    .kind = GANTRY_SINK,
    .class_names = sink_names,
    .task_class = "test.SinkTask",
    .task_start = sink_start,
    .put = sink_put,
    .caught_up = sink_caught_up,
    .checkpoint = sink_checkpoint,
    .flush = sink_flush,
    .committed = sink_committed,
    .task_stop = number_stop,
};

/* --- The same sink, whose work is done elsewhere --- */

static int not_yet(struct number_task *task, atomic_long *times)
{
    if (atomic_load(times) <= 0)
        return 0;
    atomic_fetch_sub(times, 1);
    task->ctx->wake(task->ctx);
    return GANTRY_AGAIN;
}

static int far_start_done(void *arg, struct gantry_err *err)
{
    (void)err;
    struct number_task *task = arg;
    if (atomic_load(&script.restart_at) != 0)
        task->next = atomic_load(&script.restart_at);
    return not_yet(task, &script.slow_start);
}

static int far_checkpoint(void *arg, struct gantry_output *state, struct gantry_err *err)
{
    (void)state;
    (void)err;
    atomic_fetch_add(&script.checkpoints, 1);
    atomic_store(&script.checkpoint_next, ((struct number_task *)arg)->next);
    return 0;
}

static int far_flush_done(void *arg, struct gantry_output *state, struct gantry_err *err)
{
    char bytes[8];
    struct gantry_task_context *ctx = ((struct number_task *)arg)->ctx;
    if (not_yet(arg, &script.slow_flush) != 0)
        return GANTRY_AGAIN;
    if (atomic_load(&script.always_wants) != 0)
        ctx->want_commit(ctx);
    long to = atomic_load(&script.seek_in_flush);
    if (to >= 0 && atomic_load(&script.checkpoint_next) > to) {
        atomic_store(&script.seek_in_flush, -1);
        ctx->hold(ctx, "numbers", 0, true);
        assert_int_equal(ctx->seek(ctx, "numbers", 0, to, err), 0);
    }
    if (atomic_load(&script.fail_flush) > 0) {
        atomic_fetch_sub(&script.fail_flush, 1);
        return gantry_err_set(err, GANTRY_IO, "scripted flush failure");
    }
    gt_store_le64(bytes, (uint64_t)atomic_load(&script.checkpoint_next));
    return state->write(state, bytes, 8);
}

static int far_limit(void *arg, struct gantry_limits *limits, struct gantry_err *err)
{
    (void)arg;
    (void)err;
    assert_int_equal(limits->below(limits, "other", 0, 0), GANTRY_NOT_FOUND);
    long at = atomic_load(&script.limit_at);
    atomic_store(&script.kept_back, at >= 0);
    return at < 0 ? 0 : limits->below(limits, "numbers", 0, at);
}

static int far_look(void *arg, struct gantry_err *err)
{
    struct number_task *task = arg;
    long to = atomic_exchange(&script.seek_to, -1), hold = atomic_exchange(&script.hold, -1);
    if (hold >= 0)
        task->ctx->hold(task->ctx, "numbers", 0, hold == 1);
    if (to < 0)
        return 0;
    struct gantry_err other;
    assert_int_equal(task->ctx->seek(task->ctx, "other", 0, 0, &other), GANTRY_NOT_FOUND);
    assert_int_equal(task->ctx->seek(task->ctx, "numbers", 0, 1000000, &other), GANTRY_INVALID);
    task->next = to;
    return task->ctx->seek(task->ctx, "numbers", 0, to, err);
}

static int far_stop_done(void *arg)
{
    return not_yet(arg, &script.slow_stop);
}

static const struct gantry_connector far_connector = {
    .struct_size = sizeof far_connector,
    .kind = GANTRY_SINK,
    .class_names = sink_names,
    .task_class = "test.SinkTask",
    .task_start = sink_start,
    .start_done = far_start_done,
    .look = far_look,
    .put = sink_put,
    .caught_up = sink_caught_up,
    .checkpoint = far_checkpoint,
    .flush_done = far_flush_done,
    .limit = far_limit,
    .committed = sink_committed,
    .stop_done = far_stop_done,
    .task_stop = number_stop,
};

static const struct gt_connector_class far_class = {.connector = &far_connector};
static const struct gt_connector_class source_class = {.connector = &source_connector};
static const struct gt_connector_class sink_class = {.connector = &sink_connector};

/* --- A small worker --- */

struct bench {
    char folder[64];
    uv_loop_t loop;
    struct gt_mailbox control;
    struct gt_store *store;
    struct gt_topics *topics;
    struct gt_executor *executor;
    struct gantry_runtime runtime;
    struct gt_task_env env;
    struct gt_jobs *jobs;
    bool store_started;
};

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void open_store(struct bench *bench, int64_t reserve, bool start)
{
    struct gantry_err err = {0};
    struct gt_topics_settings settings = {
        .segment_bytes = 64 << 10, .compression = "none", .disk_reserve = reserve};
    assert_int_equal(gt_store_open(bench->folder, 1 << 20, &bench->store, &err), 0);
    assert_int_equal(gt_topics_open(bench->store, &settings, &bench->topics, &err), 0);
    bench->store_started = start;
    if (start)
        assert_int_equal(gt_store_start(bench->store, &err), 0);
    bench->env = (struct gt_task_env){
        .store = bench->store,
        .topics = bench->topics,
        .runtime = &bench->runtime,
        .control = &bench->control,
        .jobs = bench->jobs,
        .commit_bytes = 64 << 20,
        .sink_commit_ms = 20,
        .sink_commit_bytes = 1 << 20,
    };
}

static void close_store(struct bench *bench)
{
    gt_store_stop(bench->store);
    gt_topics_close(bench->topics);
    gt_store_close(bench->store);
    bench->store = NULL;
}

static int setup(void **state)
{
    struct gantry_err err;
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    memset(&script, 0, sizeof script);
    script.fail_poll_at = script.limit_at = script.seek_to = script.hold = -1;
    script.seek_in_flush = -1;
    snprintf(bench->folder, sizeof bench->folder, "test-task-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(gt_mailbox_init(&bench->control, &bench->loop), 0);
    assert_int_equal(gt_jobs_open(NULL, &bench->jobs), 0);
    assert_int_equal(gt_executor_open("test", NULL, &bench->executor, &err), 0);
    open_store(bench, 0, true);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    gt_executor_close(bench->executor);
    assert_true(gt_jobs_close(bench->jobs));
    if (bench->store != NULL)
        close_store(bench);
    gt_mailbox_close(&bench->control, NULL);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    nftw(bench->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(bench);
    return 0;
}

/* --- An executor whose thread is away --- */

static struct stuck {
    struct gt_runnable runnable; /* first */
    struct gt_mail mail;
    struct gt_executor *executor;
    atomic_int calling, go, gave_up, refused, ran_on, code;
} stuck;

static void stuck_step(struct gt_runnable *runnable)
{
    gt_call_begin(runnable, "poll");
    atomic_store(&stuck.calling, 1);
    while (atomic_load(&stuck.go) == 0) {
        if (gt_call_enter())
            gt_call_leave();
        else
            atomic_store(&stuck.refused, 1);
        (void)usleep(100);
    }
    (void)gt_call_end(7);
    atomic_store(&stuck.ran_on, 1);
}

static void stuck_gave_up(struct gt_runnable *runnable, const char *what)
{
    assert_ptr_equal(runnable, &stuck);
    assert_string_equal(what, "poll");
    atomic_fetch_add(&stuck.gave_up, 1);
}

static void stuck_came_back(struct gt_runnable *runnable, int code)
{
    assert_ptr_equal(runnable, &stuck);
    atomic_store(&stuck.code, code);
}

static void make_stuck_ready(struct gt_mail *mail)
{
    (void)mail;
    gt_executor_ready(stuck.executor, &stuck.runnable);
}

static void await_int(atomic_int *value, int wanted)
{
    for (int i = 0; atomic_load(value) != wanted; i++) {
        assert_true(i < 20000);
        (void)usleep(1000);
    }
}

static void a_call_that_does_not_come_back_is_given_up(void **state)
{
    struct bench *bench = *state;
    memset(&stuck, 0, sizeof stuck);
    stuck.executor = bench->executor;
    stuck.runnable.step = stuck_step;
    stuck.runnable.gave_up = stuck_gave_up;
    stuck.runnable.came_back = stuck_came_back;
    stuck.mail.run = make_stuck_ready;
    gt_executor_send(bench->executor, &stuck.mail);
    await_int(&stuck.calling, 1);
    (void)gt_executor_look(bench->executor, 2, true); /* its begin is news */
    for (int i = 0; i < 10; i++)                      /* one that may wait costs no look */
        assert_false(gt_executor_look(bench->executor, 2, true));
    assert_true(gt_executor_look(bench->executor, 2, false));
    assert_true(gt_executor_look(bench->executor, 2, false));
    assert_int_equal(atomic_load(&stuck.gave_up), 0);
    for (int i = 0; i < 1000 && atomic_load(&stuck.gave_up) == 0; i++)
        assert_true(gt_executor_look(bench->executor, 2, false));
    assert_int_equal(atomic_load(&stuck.gave_up), 1);
    await_int(&stuck.refused, 1);
    atomic_store(&stuck.calling, 0); /* another thread takes steps now, of whomever */
    gt_executor_send(bench->executor, &stuck.mail);
    await_int(&stuck.calling, 1);
    for (int i = 0; i < 1000 && atomic_load(&stuck.gave_up) == 1; i++)
        (void)gt_executor_look(bench->executor, 2, false);
    assert_int_equal(atomic_load(&stuck.gave_up), 2);
    atomic_store(&stuck.go, 1);
    await_int(&stuck.code, 7);
    assert_int_equal(atomic_load(&stuck.ran_on), 0);
    (void)gt_executor_look(bench->executor, 2, false);
    assert_false(gt_executor_look(bench->executor, 2, false));
}

/* Calls that come and go while it is looked: only one that was there at all these looks may be
 * given up, never another one that has begun meanwhile. */
static struct passing {
    struct gt_runnable runnable; /* first */
    struct gt_mail mail;
    struct gt_executor *executor;
    atomic_long begun, back;
    long given_up, wrong, seen; /* calls, when a look began */
    atomic_bool end;
} passing;

static void passing_step(struct gt_runnable *runnable)
{
    gt_call_begin(runnable, "put");
    for (long n = atomic_fetch_add(&passing.begun, 1) % 64 * 50; n > 0; n--)
        atomic_signal_fence(memory_order_seq_cst);
    (void)gt_call_end(0);
    if (!atomic_load(&passing.end))
        gt_executor_ready(passing.executor, runnable);
}

static void passing_gave_up(struct gt_runnable *runnable, const char *what)
{
    (void)runnable;
    assert_string_equal(what, "put");
    passing.wrong += atomic_load(&passing.begun) > passing.seen + 1; /* one may not count yet */
    passing.given_up++;
}

static void passing_came_back(struct gt_runnable *runnable, int code)
{
    (void)runnable;
    (void)code;
    atomic_fetch_add(&passing.back, 1);
    gt_executor_send(passing.executor, &passing.mail);
}

static void make_passing_ready(struct gt_mail *mail)
{
    (void)mail;
    gt_executor_ready(passing.executor, &passing.runnable);
}

static void a_call_is_not_given_up_for_another(void **state)
{
    struct bench *bench = *state;
    memset(&passing, 0, sizeof passing);
    passing.executor = bench->executor;
    passing.runnable.step = passing_step;
    passing.runnable.gave_up = passing_gave_up;
    passing.runnable.came_back = passing_came_back;
    passing.mail.run = make_passing_ready;
    gt_executor_send(bench->executor, &passing.mail);
    for (int64_t began_ns = gt_clock_mono_ns(); gt_clock_mono_ns() - began_ns < 300000000;) {
        passing.seen = atomic_load(&passing.begun);
        (void)gt_executor_look(bench->executor, 2, false);
    }
    atomic_store(&passing.end, true);
    assert_int_equal(passing.wrong, 0);
    for (int i = 0; atomic_load(&passing.back) < passing.given_up; i++) {
        assert_true(i < 20000);
        (void)usleep(1000);
    }
    for (int i = 0; gt_executor_look(bench->executor, 1000000, false); i++) {
        assert_true(i < 20000);
        (void)usleep(1000);
    }
}

/* --- Jobs --- */

struct slow_job {
    struct gt_job job; /* first */
    bool bounded;
    atomic_int running, go;
    int done, late;
};

static void run_slow(struct gt_job *job)
{
    struct slow_job *slow = (struct slow_job *)job;
    gt_job_bounded(slow->bounded);
    atomic_store(&slow->running, 1);
    while (atomic_load(&slow->go) == 0)
        (void)usleep(100);
}

static void on_slow_done(struct gt_mail *mail)
{
    ((struct slow_job *)((char *)mail - offsetof(struct slow_job, job.done)))->done++;
}

static void on_slow_late(struct gt_mail *mail)
{
    struct slow_job *slow = (struct slow_job *)((char *)mail - offsetof(struct slow_job, job.late));
    assert_int_equal(slow->done, 0);
    slow->late++;
}

/* However many hang: more than there are threads for those that do not. One that waits for what
 * ends by itself is not late. */
static void jobs_that_hang_take_no_thread_from_others(void **state)
{
    enum { COUNT = 40 };
    struct bench *bench = *state;
    struct slow_job jobs[COUNT];
    memset(jobs, 0, sizeof jobs);
    for (int i = 0; i < COUNT; i++) {
        jobs[i].job.run = run_slow;
        jobs[i].job.to = &bench->control;
        jobs[i].job.done.run = on_slow_done;
        jobs[i].job.late.run = on_slow_late;
        jobs[i].bounded = i == 0;
        gt_jobs_submit(bench->jobs, &jobs[i].job);
    }
    await_int(&jobs[0].running, 1);
    for (int i = 1; i < COUNT; i++) {
        for (int k = 0; atomic_load(&jobs[i].running) == 0; k++) {
            assert_true(k < 20000);
            assert_true(gt_jobs_look(bench->jobs, 2));
            (void)usleep(1000);
        }
    }
    for (int i = 0; i < 3; i++)
        assert_true(gt_jobs_look(bench->jobs, 2));
    for (int i = 0; i < COUNT; i++)
        atomic_store(&jobs[i].go, 1);
    for (int i = 0; i < COUNT; i++) {
        while (jobs[i].done == 0)
            uv_run(&bench->loop, UV_RUN_ONCE);
        assert_int_equal(jobs[i].late, i == 0 ? 0 : 1);
    }
}

static void on_report(struct gt_task *task, void *arg)
{
    (void)task;
    ++*(int *)arg;
}

static struct gt_task *new_task(struct bench *bench, const struct gt_connector_class *klass,
                                int *reports)
{
    struct gantry_err err;
    bool source = klass->connector->kind == GANTRY_SOURCE;
    struct gantry_config_entry entries[] = {{source ? "topic" : "topicNames", "numbers"},
                                            {"errors.deadletterqueue.topic.name", "dead"}};
    struct gantry_config config = {sizeof config, script.aside_every > 0 ? 2 : 1, entries};
    struct gt_task_setup task = {
        .env = &bench->env,
        .klass = klass,
        .executor = bench->executor,
        .connector = source ? "src" : "dst",
        .count = 1,
        .config = &config,
        .converter = gt_converter_find("string"),
        .report = on_report,
        .arg = reports,
    };
    struct gt_task *made = NULL;
    assert_int_equal(gt_task_new(&task, &made, &err), 0);
    return made;
}

/* Let the control loop run until the condition holds; fails after 20 s. */
#define WAIT(bench, condition)                                                                     \
    do {                                                                                           \
        int turns = 0;                                                                             \
        while (!(condition)) {                                                                     \
            uv_run(&(bench)->loop, UV_RUN_NOWAIT);                                                 \
            usleep(1000);                                                                          \
            assert_true(++turns < 20000);                                                          \
        }                                                                                          \
    } while (0)

static enum gt_task_state state_of(struct gt_task *task)
{
    struct gt_task_status status;
    gt_task_status(task, &status);
    return status.state;
}

static void stop_task(struct bench *bench, struct gt_task *task)
{
    gt_task_stop(task);
    WAIT(bench, state_of(task) == GT_TASK_STOPPED);
    for (int i = 0; i < 5; i++) /* the report of it */
        uv_run(&bench->loop, UV_RUN_NOWAIT);
    gt_task_free(task);
}

static int64_t topic_end(struct bench *bench)
{
    return gt_topic_end(gt_topic_get(bench->topics, "numbers"), 0);
}

/* --- Tests --- */

static void busy_step(struct gt_runnable *runnable)
{
    (void)runnable;
    atomic_store(&stuck.calling, 1);
    while (atomic_load(&stuck.go) == 0)
        (void)usleep(100);
}

static int sits_of(struct gt_task *task)
{
    struct gt_task_status status;
    gt_task_status(task, &status);
    return status.sits;
}

/* The call has come back, and its task is told to start again before it is through with failing. */
static void a_start_that_comes_with_a_late_call_counts(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    script.limit = 100;
    atomic_store(&script.hang, true);
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, (gt_executor_look(bench->executor, 2, false), sits_of(source) == 1));
    assert_int_equal(state_of(source), GT_TASK_FAILED);
    memset(&stuck, 0, sizeof stuck);
    stuck.executor = bench->executor;
    stuck.runnable.step = busy_step;
    stuck.mail.run = make_stuck_ready;
    gt_executor_send(bench->executor, &stuck.mail);
    await_int(&stuck.calling, 1);
    atomic_store(&script.hang, false);
    for (int i = 0; i < 100; i++) { /* it is told to the executor, which cannot listen now */
        uv_run(&bench->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    gt_task_start(source);
    atomic_store(&stuck.go, 1);
    WAIT(bench, topic_end(bench) == 100);
    assert_int_equal(sits_of(source), 0);
    WAIT(bench, state_of(source) == GT_TASK_RUNNING);
    assert_int_equal(atomic_load(&script.started_at), 0); /* nothing of the late poll counts */
    stop_task(bench, source);
}

static void test_moves(void **state)
{
    (void)state;
    assert_true(gt_task_move_allowed(GT_TASK_UNASSIGNED, GT_TASK_RUNNING));
    assert_true(gt_task_move_allowed(GT_TASK_FAILED, GT_TASK_UNASSIGNED));
    assert_false(gt_task_move_allowed(GT_TASK_FAILED, GT_TASK_RUNNING));
    for (int to = 0; to < GT_TASK_STATES; to++)
        assert_false(gt_task_move_allowed(GT_TASK_STOPPED, (enum gt_task_state)to));
    assert_string_equal(gt_task_state_name(GT_TASK_PAUSED), "PAUSED");
}

static void test_through(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    script.limit = 5000;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == 5000);
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 5000);
    assert_int_equal(script.wrong, 0);
    assert_int_equal(script.caught_up, 1);
    assert_int_equal(script.first_put_after, 1);
    assert_int_equal(state_of(sink), GT_TASK_RUNNING);

    /* More comes: an event wakes the source, the commit wakes the sink. */
    script.limit = 5100;
    stop_task(bench, source);
    source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, script.durable == 5100);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, source);
    stop_task(bench, sink);
    assert_int_equal(script.starts, script.stops);
    assert_true(reports >= 5);
}

/* With brokers a source has more beside its positions: where it stands there. */
static void test_tails_are_no_positions(void **state)
{
    struct bench *bench = *state;
    static const struct gt_commit_ops no_ops = {0};
    struct gt_queue_offset tail = {.topic = gantry_view_of("t"), .broker = gantry_view_of("b")};
    struct gt_tails_record record = {.epoch = 1, .offsets = &tail, .offset_count = 1};
    struct gantry_err err;
    struct gt_commit commit;
    struct gt_buf value;
    struct gt_key key;
    int reports = 0;
    gt_buf_init(&value, 1 << 10);
    gt_tails_record_write(&value, &record);
    gt_key_progress(&key, "src", 0);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    assert_int_equal(gt_store_commit_now(bench->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
    script.limit = 10;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == 10);
    stop_task(bench, source);
}

static void test_failed_source_goes_on(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    script.limit = 2000;
    script.fail_poll_at = 1050;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_FAILED);
    struct gt_task_status status;
    gt_task_status(source, &status);
    assert_non_null(strstr(status.reason, "scripted poll failure at 1050"));
    /* What was under way was awaited, so the end is what a new start sees. */
    assert_int_equal(topic_end(bench), 1000);
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == 2000);
    assert_int_equal(script.started_at, 1000);
    stop_task(bench, source);

    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 2000);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

static void test_failed_start(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    script.fail_start = 1;
    script.limit = 10;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_FAILED);
    assert_int_equal(script.stops, 0); /* nothing began, so nothing is stopped */
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == 10);
    stop_task(bench, source);
}

/* A full disk is waited for, also by a connector that finds it at its start. */
static void test_start_without_space(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    script.fail_start = 1;
    script.fail_start_code = GANTRY_NO_SPACE;
    script.limit = 10;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_PAUSED);
    struct gt_task_status status;
    gt_task_status(source, &status);
    assert_string_equal(status.reason, "scripted start failure");
    WAIT(bench, topic_end(bench) == 10 && state_of(source) == GT_TASK_RUNNING);
    assert_int_equal(status.failures, 0);
    stop_task(bench, source);
    assert_int_equal(script.stops, 1);

    script.fail_start = 1000;
    source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_PAUSED);
    stop_task(bench, source); /* also while it waits */
}

/* Without commits a source stops at commit_bytes, and goes on when they come. */
static void test_back_pressure(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    close_store(bench);
    open_store(bench, 0, false);
    bench->env.commit_bytes = 8 << 10;
    script.limit = 100000;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    long before = -1;
    WAIT(bench, script.polls > 0);
    for (int i = 0; i < 50 && before != script.polls; i++) {
        before = script.polls;
        usleep(20000);
    }
    /* A batch of 100 short numbers is less than 1 KiB: 8 KiB take no more than some tens of them.
     */
    assert_true(script.polls < 60);
    struct gantry_err err;
    assert_int_equal(gt_store_start(bench->store, &err), 0);
    WAIT(bench, topic_end(bench) == 100000);
    stop_task(bench, source);
}

static void test_pause(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    close_store(bench);
    open_store(bench, INT64_MAX, true);
    script.limit = 100;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_PAUSED);
    struct gt_task_status status;
    gt_task_status(source, &status);
    assert_non_null(strstr(status.reason, "disk.reserve"));
    /* It looks again by itself, and stays PAUSED meanwhile. */
    long starts = script.starts;
    WAIT(bench, script.starts > starts + 1);
    assert_int_equal(state_of(source), GT_TASK_PAUSED);
    assert_int_equal(topic_end(bench), 0);
    stop_task(bench, source);
}

/* Records may name their topics, the task's own among them. */
static void test_topics_of_records(void **state)
{
    struct bench *bench = *state;
    static const char *const topics[] = {NULL, "numbers", "other"};
    int reports = 0;
    script.topics = topics;
    script.limit = 3000;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == 2000);
    WAIT(bench, gt_topic_end(gt_topic_get(bench->topics, "other"), 0) == 1000);
    stop_task(bench, source);
}

/* A name that a connector took from its data must not become a path. */
static void test_bad_topic_of_record(void **state)
{
    struct bench *bench = *state;
    static const char *const topics[] = {"../numbers", "numbers", NULL};
    int reports = 0;
    script.topics = topics;
    script.limit = 10;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, state_of(source) == GT_TASK_FAILED);
    struct gt_task_status status;
    gt_task_status(source, &status);
    assert_non_null(strstr(status.reason, "'../numbers'"));
    assert_int_equal(topic_end(bench), 0);
    stop_task(bench, source);
}

/* Marks without records are bounded too. */
static void test_marks_alone(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    close_store(bench);
    open_store(bench, 0, false);
    bench->env.commit_bytes = 64 << 10;
    script.marks_only = true;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    long before = -1;
    WAIT(bench, script.polls > 0);
    for (int i = 0; i < 50 && before != script.polls; i++) {
        before = script.polls;
        usleep(20000);
    }
    assert_int_equal(before, script.polls);
    script.marks_only = false;
    struct gantry_err err;
    assert_int_equal(gt_store_start(bench->store, &err), 0);
    WAIT(bench, script.commits == before);
    stop_task(bench, source);
}

static void fill(struct bench *bench, long count)
{
    int reports = 0;
    script.limit = count;
    struct gt_task *source = new_task(bench, &source_class, &reports);
    gt_task_start(source);
    WAIT(bench, topic_end(bench) == count);
    stop_task(bench, source);
}

static void test_sink_takes_part(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.take = 33;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(script.wrong, 0);
    assert_true(script.commits >= 1000 / 100 * 4); /* a commit after each part of a batch */
    stop_task(bench, sink);
}

/* A sink that takes nothing and asks for a commit again and again would go in circles. */
static void test_sink_asks_in_vain(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 100);
    script.take = -1;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, state_of(sink) == GT_TASK_FAILED);
    struct gt_task_status status;
    gt_task_status(sink, &status);
    assert_non_null(strstr(status.reason, "took no record"));
    assert_true(script.puts < 100);
    script.take = 0;
    gt_task_start(sink);
    WAIT(bench, script.durable == 100);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* What is laid aside is there with the commit that passes over it, once, whatever fails. */
static void test_sink_lays_aside(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.aside_every = 7;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    struct gt_topic *dead = gt_topic_get(bench->topics, "dead");
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(gt_topic_end(dead, 0), 143);
    script.fail_flush = 1;
    fill(bench, 1500);
    WAIT(bench, state_of(sink) == GT_TASK_FAILED);
    assert_int_equal(gt_topic_end(dead, 0), 143);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1500);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);

    struct gt_reader *reader;
    struct gt_arena arena;
    struct gantry_err err;
    int64_t first, next = 0;
    size_t count = 1;
    gt_arena_init(&arena, 4096, 0);
    assert_int_equal(gt_reader_open(dead, &(struct gt_reader_spec){.queue = 0}, &reader, &err), 0);
    for (; count > 0; gt_reader_took(reader, count)) {
        const struct gt_message *messages;
        assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
        for (size_t i = 0; i < count; i++, next++) {
            char expected[24];
            int len = snprintf(expected, sizeof expected, "%ld", (long)next * 7);
            assert_true(
                gantry_view_equal(messages[i].body, (struct gantry_view){expected, (size_t)len}));
        }
    }
    assert_int_equal(next, 215);
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
}

/* A cycle that is under way may be the last one: what it passes over is in it, though the connector
 * goes back meanwhile. */
static void test_sink_lays_aside_and_goes_back(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.aside_every = 100;
    bench->env.sink_commit_ms = 600000;
    script.seek_in_flush = 250;
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(script.seek_in_flush, -1);
    assert_int_equal(gt_topic_end(gt_topic_get(bench->topics, "dead"), 0), 10);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* A call that was given up lays nothing aside any more: the task is another thread's. */
static void test_a_late_put_lays_nothing_aside(void **state)
{
    struct bench *bench = *state;
    struct gt_task_status status = {0};
    int reports = 0;
    fill(bench, 100);
    script.aside_every = 10;
    script.hang_put = 1;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.hang_put == 2);
    while (status.state != GT_TASK_FAILED) {
        (void)gt_executor_look(bench->executor, 2, false);
        gt_task_status(sink, &status);
    }
    assert_non_null(strstr(status.reason, "put() does not come back"));
    script.aside_every = 0; /* it asserts that it can */
    script.hang_put = 0;
    WAIT(bench, (gt_task_status(sink, &status), status.sits) == 0);
    assert_int_equal(script.aside_code, GANTRY_CLOSED);
    script.aside_every = 10;
    gt_task_start(sink);
    WAIT(bench, script.durable == 100);
    assert_int_equal(gt_topic_end(gt_topic_get(bench->topics, "dead"), 0), 10);
    stop_task(bench, sink);
}

/* Without a topic for it nothing can be. */
static void test_sink_has_nowhere_to_lay_aside(void **state)
{
    struct bench *bench = *state;
    struct gantry_err err = {0};
    int reports = 0;
    fill(bench, 1);
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1);
    const struct gantry_record record = {.topic = "numbers"};
    assert_int_equal(script.sink_ctx->lay_aside(script.sink_ctx, &record, &err),
                     GANTRY_UNSUPPORTED); /* so the thread does not matter */
    stop_task(bench, sink);
}

static void test_sink_full(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.again = 7;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(script.wrong, 0);
    assert_int_equal(script.again, 0);
    stop_task(bench, sink);
}

/* One that is full again and again is not committed each time, but by its time. */
static void test_sink_full_commits(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    bench->env.sink_commit_ms = 600000;
    fill(bench, 1000);
    script.room = 10;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_true(script.puts >= 100);
    assert_true(script.checkpoints <= 3); /* the first, and of what there is to read */
    stop_task(bench, sink);
    bench->env.sink_commit_ms = 20;
    script.room = 0;
    script.full_at = 1500;
    fill(bench, 2000);
    sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1500);
    script.full_at = 0;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.durable == 2000);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* Start, flush and stop that take their time: nobody waits for them. */
static void test_work_elsewhere(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.slow_start = script.slow_flush = script.slow_stop = 5;
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    assert_int_equal(state_of(sink), GT_TASK_UNASSIGNED);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(state_of(sink), GT_TASK_RUNNING);
    assert_int_equal(script.slow_start + script.slow_flush, 0);
    assert_int_equal(script.first_put_after, 1);
    assert_int_equal(script.wrong, 0);
    script.fail_flush = 1;
    fill(bench, 1500);
    WAIT(bench, state_of(sink) == GT_TASK_FAILED);
    assert_int_equal(script.slow_stop, 0);
    assert_int_equal(script.durable, 1000);
    script.slow_stop = 3;
    gt_task_start(sink);
    WAIT(bench, script.durable == 1500);
    assert_int_equal(script.started_at, 1000);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
    assert_int_equal(script.slow_stop, 0);
    assert_int_equal(script.starts, script.stops);
}

/* What a sink keeps back is not committed, and the commit comes again without more records. */
static void test_kept_back(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.limit_at = 400;
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000); /* as far as it was put, but: */
    stop_task(bench, sink);
    script.restart_at = 400;
    script.put_records = script.durable = 0;
    sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.put_records == 600);
    assert_int_equal(script.wrong, 0); /* offsets begin with 400 */
    script.whole_commits = 0;
    script.limit_at = -1;
    WAIT(bench, script.whole_commits > 0);
    stop_task(bench, sink);
    script.restart_at = 0;
    script.put_records = 0;
    fill(bench, 1001);
    sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1001);
    assert_int_equal(script.put_records, 1);
    stop_task(bench, sink);
}

static void test_seek_and_hold(void **state)
{
    struct bench *bench = *state;
    struct gt_task_status status;
    int reports = 0;
    fill(bench, 1000);
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    script.seek_to = 250;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.put_records == 1750);
    WAIT(bench, script.next == 1000);
    script.hold = 1;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.hold == -1);
    fill(bench, 1100);
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, (gt_task_status(sink, &status), status.lag) == 100);
    assert_int_equal(script.put_records, 1750);
    script.hold = 0;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.durable == 1100);
    assert_int_equal(script.wrong, 0);
    gt_task_break(sink, "cannot go on");
    WAIT(bench, state_of(sink) == GT_TASK_FAILED);
    gt_task_status(sink, &status);
    assert_string_equal(status.reason, "cannot go on");
    stop_task(bench, sink);
}

/* Where a connector wants to go on is where the next start does, even if nothing was read since. */
static void test_a_seek_is_committed(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    long commits = script.commits;
    script.hold = 1;
    script.seek_to = 250;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.seek_to == -1);
    stop_task(bench, sink);
    assert_true(script.commits > commits);
    script.restart_at = 250;
    script.put_records = 0;
    sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.put_records == 750);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* One that wants a commit after each commit can be stopped. */
static void test_stop_while_it_wants_commits(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    script.always_wants = 1;
    fill(bench, 1001);
    WAIT(bench, script.durable == 1001);
    stop_task(bench, sink);
}

/* What the last commit has kept back is asked for once more before an end. */
static void test_kept_back_until_the_end(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 1000);
    script.limit_at = 400;
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    script.limit_at = -1;
    stop_task(bench, sink);
    script.put_records = 0;
    fill(bench, 1001);
    sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1001);
    assert_int_equal(script.put_records, 1);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* What a task that is no more has noted is further on than where the connector went back to. */
static void test_seek_back_and_older_progress(void **state)
{
    struct bench *bench = *state;
    static const struct gt_commit_ops no_ops = {0};
    struct gt_queue_offset at = {.topic = gantry_view_of("numbers"), .offset = 1000};
    struct gt_progress_record record = {.offsets = &at, .offset_count = 1};
    struct gantry_err err;
    struct gt_commit commit;
    struct gt_buf value;
    struct gt_key key;
    int reports = 0;
    fill(bench, 1000);
    gt_buf_init(&value, 1 << 10);
    gt_progress_record_write(&value, &record);
    gt_key_progress(&key, "dst", 1);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_PROGRESS, gt_key_view(&key), gt_buf_view(&value));
    assert_int_equal(gt_store_commit_now(bench->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
    script.restart_at = 1000;
    struct gt_task *sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.checkpoints > 0); /* that of the start */
    assert_int_equal(script.put_records, 0);
    script.limit_at = 400;
    script.seek_to = 250;
    script.sink_ctx->wake(script.sink_ctx);
    WAIT(bench, script.put_records == 750 && script.durable == 1000);
    stop_task(bench, sink);
    script.limit_at = -1;
    script.restart_at = 400;
    script.put_records = 0;
    sink = new_task(bench, &far_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.put_records == 600);
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

static void test_failed_flush(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 500);
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.durable == 500);
    script.fail_flush = 1;
    fill(bench, 1000);
    WAIT(bench, state_of(sink) == GT_TASK_FAILED);
    assert_int_equal(script.durable, 500);
    gt_task_start(sink);
    WAIT(bench, script.durable == 1000);
    assert_int_equal(script.started_at, 500); /* the records since the last commit came again */
    assert_int_equal(script.wrong, 0);
    stop_task(bench, sink);
}

/* A stop in the middle of a flush waits for it, and commits what was put meanwhile. */
static void test_stop_while_flushing(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    fill(bench, 500);
    script.slow_flush_ms = 50;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    gt_task_start(sink);
    WAIT(bench, script.flushes > 1);
    stop_task(bench, sink);
    assert_int_equal(script.durable, script.next);
    assert_int_equal(script.stops, script.starts);
}

static void test_stop_before_start(void **state)
{
    struct bench *bench = *state;
    int reports = 0;
    struct gt_task *sink = new_task(bench, &sink_class, &reports);
    stop_task(bench, sink);
    assert_int_equal(script.starts, 0);
}

/* As the worker does it: a report that finds the task STOPPED frees it. The executor must be done
 * with it by then, also when that report was sent for something else. */
struct brief {
    struct gt_task *task;
    bool gone;
};

static void free_stopped(struct gt_task *task, void *arg)
{
    struct brief *brief = arg;
    if (state_of(task) != GT_TASK_STOPPED)
        return;
    gt_task_free(task);
    brief->gone = true;
}

static void test_brief_lives(void **state)
{
    struct bench *bench = *state;
    script.limit = 1;
    for (int i = 0; i < 3000; i++) {
        struct brief brief = {0};
        struct gt_task_setup task = {
            .env = &bench->env,
            .klass = &source_class,
            .executor = bench->executor,
            .connector = "src",
            .count = 1,
            .config = &(struct gantry_config){sizeof(struct gantry_config), 1,
                                              &(struct gantry_config_entry){"topic", "numbers"}},
            .converter = gt_converter_find("string"),
            .report = free_stopped,
            .arg = &brief,
        };
        struct gantry_err err;
        assert_int_equal(gt_task_new(&task, &brief.task, &err), 0);
        script.fail_start = i % 2; /* its reports are RUNNING or FAILED */
        gt_task_start(brief.task);
        gt_task_stop(brief.task);
        while (!brief.gone)
            uv_run(&bench->loop, UV_RUN_NOWAIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test_setup_teardown(jobs_that_hang_take_no_thread_from_others, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_that_comes_with_a_late_call_counts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_call_that_does_not_come_back_is_given_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_call_is_not_given_up_for_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tails_are_no_positions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_source_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_without_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_topics_of_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_topic_of_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_takes_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_asks_in_vain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_lays_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_lays_aside_and_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_put_lays_nothing_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_has_nowhere_to_lay_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink_full_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_work_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seek_and_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_while_it_wants_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_seek_is_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_back_until_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seek_back_and_older_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_while_flushing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_before_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_brief_lives, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
