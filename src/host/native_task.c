/* SPDX-License-Identifier: Apache-2.0 */
/* A task in the native host: its thread and its context. See native.h. */
#include "host/native.h"

#include "base/clock.h"
#include <stdlib.h>
#include <time.h>

enum { LAG_MS = 200, SINK_CREDIT = 4 << 20 };

/* All tasks. The list is short, or its walk rare: each frame looks here, though. */
static struct tasks {
    pthread_mutex_t lock;
    struct gt_native_task **slots; /* by channel; owned */
    size_t cap, count;             /* channels seen: numbers only grow */
} tasks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_ms(void)
{
    return gt_clock_mono_ns() / 1000000;
}

static struct gt_native_task *of_context(struct gantry_task_context *ctx)
{
    return (struct gt_native_task *)((char *)ctx - offsetof(struct gt_native_task, ctx));
}

/* --- What the thread uses --- */

void gt_native_enter(struct gt_native_task *task)
{
    atomic_store_explicit(&task->inside_since_ms, now_ms(), memory_order_relaxed);
}

void gt_native_leave(struct gt_native_task *task)
{
    atomic_store_explicit(&task->inside_since_ms, 0, memory_order_relaxed);
}

void gt_native_sleep(struct gt_native_task *task)
{
    if (task->wake_at_ms == 0) {
        pthread_cond_wait(&task->cond, &task->lock);
        return;
    }
    struct timespec until = {.tv_sec = task->wake_at_ms / 1000,
                             .tv_nsec = task->wake_at_ms % 1000 * 1000000};
    pthread_cond_timedwait(&task->cond, &task->lock, &until);
    if (now_ms() >= task->wake_at_ms) {
        task->wake_at_ms = 0;
        task->woken = true;
    }
}

bool gt_native_wait(struct gt_native_task *task)
{
    while (!task->woken && !task->stop && task->in.head == NULL) {
        gt_native_sleep(task);
    }
    bool woken = task->woken;
    task->woken = false;
    return woken;
}

void gt_native_number(struct gt_native_task *task, enum gt_frame_type type, int64_t number)
{
    struct gt_buf buf;
    gt_native_begin(&buf, type, task->channel, 3);
    gt_mp_put_int(&buf, number);
    gt_native_end(&buf, task->channel);
}

void gt_native_fail(struct gt_native_task *task, int code, const struct gantry_err *err)
{
    struct gt_buf buf;
    if (task->failed)
        return;
    task->failed = true;
    gt_native_begin(&buf, GT_FRAME_FAILED, task->channel, 5);
    gt_mp_put_int(&buf, 0);
    gt_mp_put_int(&buf, code);
    gt_mp_put_text(&buf, err->text[0] != '\0' ? err->text : gantry_error_text(code));
    gt_native_end(&buf, task->channel);
}

void gt_native_tell_lag(struct gt_native_task *task, bool now)
{
    if (task->lag == task->lag_sent)
        return;
    int64_t time_ms = now_ms();
    if (!now && time_ms - task->lag_sent_ms < LAG_MS)
        return;
    task->lag_sent = task->lag;
    task->lag_sent_ms = time_ms;
    gt_native_number(task, GT_FRAME_LAG, task->lag);
}

void *gt_native_alloc(void *task, size_t size)
{
    return gt_arena_alloc(&((struct gt_native_task *)task)->arena, size);
}

/* --- The context --- */

static void ctx_wake(struct gantry_task_context *ctx)
{
    struct gt_native_task *task = of_context(ctx);
    pthread_mutex_lock(&task->lock);
    task->woken = true;
    pthread_cond_signal(&task->cond);
    pthread_mutex_unlock(&task->lock);
}

static void ctx_wake_after(struct gantry_task_context *ctx, int64_t delay_ms)
{
    of_context(ctx)->wake_at_ms = delay_ms < 0 ? 0 : now_ms() + delay_ms;
}

/* The answer, its head read up to the id. The caller is inside a call of the connector, but it is
 * us that it waits for. */
static struct gt_frame *ask(struct gt_native_task *task, struct gt_buf *buf,
                            struct gt_frame_head *head)
{
    gt_native_leave(task);
    gt_native_end(buf, task->channel);
    pthread_mutex_lock(&task->lock);
    while (task->answer == NULL)
        pthread_cond_wait(&task->cond, &task->lock);
    struct gt_frame *answer = task->answer;
    task->answer = NULL;
    pthread_mutex_unlock(&task->lock);
    gt_native_enter(task);
    (void)gt_frame_read(head, answer->data, answer->len); /* was read before: it is one */
    (void)gt_mp_item_int(&head->items, 0);
    return answer;
}

static int ctx_position(struct gantry_task_context *ctx, struct gantry_view partition,
                        struct gantry_view *ret, struct gantry_err *err)
{
    struct gt_native_task *task = of_context(ctx);
    struct gt_frame_head head;
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_POSITION, task->channel, 4);
    gt_mp_put_int(&buf, ++task->next_id);
    gt_mp_put_bytes(&buf, partition);
    struct gt_frame *answer = ask(task, &buf, &head);
    gt_buf_clear(&task->position);
    int code = gt_buf_add_view(&task->position, gt_mp_item_bytes(&head.items));
    gt_frame_free(answer);
    *ret = gt_buf_view(&task->position);
    return code == 0 ? 0 : gantry_err_set(err, code, "no memory for a position");
}

static int ctx_positions(struct gantry_task_context *ctx,
                         void (*each)(void *arg, struct gantry_view partition,
                                      struct gantry_view position),
                         void *arg, struct gantry_err *err)
{
    struct gt_native_task *task = of_context(ctx);
    struct gt_frame_head head;
    struct gt_buf buf;
    (void)err;
    gt_native_begin(&buf, GT_FRAME_POSITIONS, task->channel, 3);
    gt_mp_put_int(&buf, ++task->next_id);
    struct gt_frame *answer = ask(task, &buf, &head);
    uint32_t count = gt_mp_item_array(&head.items);
    for (uint32_t i = 0; i < count && gt_mp_ok(&head.mp); i++) {
        struct gt_mp_items pair = gt_mp_items(&head.mp);
        struct gantry_view partition = gt_mp_item_bytes(&pair);
        struct gantry_view position = gt_mp_item_bytes(&pair);
        gt_mp_items_end(&pair);
        if (gt_mp_ok(&head.mp))
            each(arg, partition, position);
    }
    gt_frame_free(answer);
    return 0;
}

static void ctx_report_lag(struct gantry_task_context *ctx, int64_t bytes)
{
    struct gt_native_task *task = of_context(ctx);
    task->lag = bytes;
    gt_native_tell_lag(task, false);
}

static void ctx_log(struct gantry_task_context *ctx, enum gantry_log_level level, const char *text)
{
    gt_native_log(of_context(ctx)->channel, level, NULL, text);
}

/* --- Life --- */

static void forget(struct gt_native_task *task)
{
    pthread_mutex_lock(&tasks.lock);
    tasks.slots[task->channel] = NULL;
    pthread_mutex_unlock(&tasks.lock);
}

static void free_task(struct gt_native_task *task)
{
    gt_frames_deinit(&task->in);
    gt_frame_free(task->answer);
    gt_frame_parts_deinit(&task->parts);
    gt_schemas_in_deinit(&task->schemas_in);
    gt_schemas_out_deinit(&task->schemas_out);
    gt_arena_deinit(&task->arena);
    gt_arena_deinit(&task->memory);
    gt_buf_deinit(&task->position);
    pthread_cond_destroy(&task->cond);
    pthread_mutex_destroy(&task->lock);
    free(task);
}

/* Until the connector says otherwise than AGAIN, or STOP: what takes time wakes us. */
static int await(struct gt_native_task *task, int (*look)(void *instance, struct gantry_err *err),
                 struct gantry_err *err)
{
    for (;;) {
        gt_native_enter(task);
        int code = look(task->instance, err);
        gt_native_leave(task);
        if (code != GANTRY_AGAIN)
            return code;
        pthread_mutex_lock(&task->lock);
        while (!task->woken && !task->stop)
            gt_native_sleep(task);
        task->woken = false;
        bool stop = task->stop;
        pthread_mutex_unlock(&task->lock);
        if (stop)
            return GANTRY_CLOSED;
    }
}

static void stop(struct gt_native_task *task)
{
    const struct gantry_connector *connector = task->connector;
    while (GANTRY_HAS(connector, stop_done)) {
        gt_native_enter(task);
        int code = connector->stop_done(task->instance);
        gt_native_leave(task);
        if (code != GANTRY_AGAIN)
            break;
        pthread_mutex_lock(&task->lock);
        while (!task->woken)
            gt_native_sleep(task);
        task->woken = false;
        pthread_mutex_unlock(&task->lock);
    }
    gt_native_enter(task);
    connector->task_stop(task->instance);
    gt_native_leave(task);
}

static void *run_task(void *arg)
{
    struct gt_native_task *task = arg;
    const struct gantry_connector *connector = task->connector;
    struct gantry_err err = {0};
    gt_native_enter(task);
    int code = connector->task_start(task->plugin->state, &task->ctx, &task->instance, &err);
    gt_native_leave(task);
    task->ctx.state = (struct gantry_view){NULL, 0};
    bool live = code == 0;
    if (code == 0 && GANTRY_HAS(connector, start_done))
        code = await(task, connector->start_done, &err);
    if (code != 0) {
        gt_native_fail(task, code, &err);
    } else {
        gt_native_number(task, GT_FRAME_STARTED, connector->kind == GANTRY_SINK ? SINK_CREDIT : 0);
        if (connector->kind == GANTRY_SOURCE)
            gt_native_source(task);
        else
            gt_native_sink(task);
    }
    if (live)
        stop(task);
    pthread_mutex_lock(&task->lock);
    while (!task->stop)
        pthread_cond_wait(&task->cond, &task->lock);
    pthread_mutex_unlock(&task->lock);
    forget(task); /* the channel ends with the next line, and nobody else knows the task */
    atomic_fetch_sub(&task->plugin->users, 1);
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_STOPPED, task->channel, 2);
    gt_native_end(&buf, task->channel);
    free_task(task);
    return NULL;
}

static bool read_start(struct gt_native_task *task, struct gt_frame_head *head)
{
    struct gt_mp_items *items = &head->items;
    struct gantry_view class = gt_mp_item_bytes(items);
    char *name = gt_arena_copy(&task->memory, gt_mp_item_bytes(items));
    int64_t index = gt_mp_item_int(items, 0), count = gt_mp_item_int(items, 1);
    if (name == NULL || !gt_native_read_config(head, &task->memory, &task->config))
        return false;
    struct gantry_view state = gt_mp_item_bytes(items);
    char *kept = gt_arena_copy(&task->memory, state);
    task->credit = gt_mp_item_int(items, 0);
    task->connector = task->plugin != NULL ? gt_native_class(task->plugin, class) : NULL;
    task->ctx = (struct gantry_task_context){
        .struct_size = sizeof task->ctx,
        .runtime = gt_native_runtime(),
        .connector = name,
        .task = (uint32_t)index,
        .task_count = (uint32_t)count,
        .config = &task->config,
        .wake = ctx_wake,
        .wake_after = ctx_wake_after,
        .position = ctx_position,
        .positions = ctx_positions,
        .report_lag = ctx_report_lag,
        .log = ctx_log,
        .state = {kept, state.len},
    };
    gt_native_sink_offer(&task->ctx);
    return kept != NULL && gt_mp_ok(&head->mp);
}

/* A channel that has begun; its task may have ended. */
static bool add_task(struct gt_native_task *task)
{
    bool ok = true;
    pthread_mutex_lock(&tasks.lock);
    if (task->channel >= tasks.cap) {
        size_t cap = 2 * (size_t)task->channel + 64;
        struct gt_native_task **grown = realloc(tasks.slots, cap * sizeof *grown);
        ok = grown != NULL;
        if (ok) {
            memset(grown + tasks.cap, 0, (cap - tasks.cap) * sizeof *grown);
            tasks.slots = grown;
            tasks.cap = cap;
        }
    }
    if (ok) {
        tasks.slots[task->channel] = task;
        tasks.count = task->channel + 1 > tasks.count ? task->channel + 1 : tasks.count;
    }
    pthread_mutex_unlock(&tasks.lock);
    return ok;
}

/* The task, locked, and so is the list: a task leaves the list before it is freed. NULL: nothing is
 * locked. */
static struct gt_native_task *lock_task(uint32_t channel, bool *ret_was)
{
    pthread_mutex_lock(&tasks.lock);
    struct gt_native_task *task = channel < tasks.count ? tasks.slots[channel] : NULL;
    *ret_was = channel < tasks.count;
    if (task != NULL)
        pthread_mutex_lock(&task->lock);
    else
        pthread_mutex_unlock(&tasks.lock);
    return task;
}

static void unlock_task(struct gt_native_task *task)
{
    pthread_mutex_unlock(&task->lock);
    pthread_mutex_unlock(&tasks.lock);
}

bool gt_native_task_start(struct gt_frame_head *head, struct gt_native_plugin *plugin)
{
    struct gt_native_task *task = calloc(1, sizeof *task);
    pthread_condattr_t attributes;
    if (task == NULL)
        return false;
    task->channel = head->channel;
    task->plugin = plugin;
    task->lag = task->lag_sent = -1;
    gt_frames_init(&task->in);
    gt_buf_init(&task->position, gt_native_record_max());
    gt_arena_init(&task->memory, 1024, 0);
    gt_arena_init(&task->arena, 512 << 10, 4 << 20);
    pthread_mutex_init(&task->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&task->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    if (!read_start(task, head) || !add_task(task))
        return false;
    struct gantry_err err = {0};
    if (task->connector == NULL) {
        gantry_err_set(&err, GANTRY_NOT_FOUND, "there is no such plugin or class");
        gt_native_fail(task, GANTRY_NOT_FOUND, &err);
        return true; /* until STOP, see gt_native_task_frame */
    }
    atomic_fetch_add(&plugin->users, 1);
    return gt_native_thread(run_task, task) == 0;
}

bool gt_native_task_frame(struct gt_frame_head *head, struct gt_frame *frame)
{
    bool was = false;
    struct gt_native_task *task = lock_task(head->channel, &was);
    if (task == NULL) {
        gt_frame_free(frame);
        return was;
    }
    if (head->type == GT_FRAME_PART) {
        struct gantry_err err = {0};
        struct gt_frame *whole = NULL;
        int code = gt_frame_parts_add(&task->parts, head, gt_native_record_max(), &whole, &err);
        unlock_task(task);
        gt_frame_free(frame);
        if (code != 0)
            return false;
        return whole == NULL || (gt_frame_read(head, whole->data, whole->len) &&
                                 head->type != GT_FRAME_PART && gt_native_task_frame(head, whole));
    }
    bool ended = head->type == GT_FRAME_STOP && task->connector == NULL;
    switch (head->type) {
    case GT_FRAME_STOP:
        task->stop = true;
        gt_frame_free(frame);
        break;
    case GT_FRAME_CREDIT:
        task->credit += gt_mp_item_int(&head->items, 0);
        gt_frame_free(frame);
        break;
    case GT_FRAME_POSITION_IS:
    case GT_FRAME_POSITIONS_ARE:
        gt_frame_free(task->answer);
        task->answer = frame;
        break;
    default:
        gt_frames_add(&task->in, frame);
    }
    pthread_cond_signal(&task->cond);
    unlock_task(task);
    if (ended) { /* it never had a thread */
        struct gt_buf buf;
        forget(task);
        gt_native_begin(&buf, GT_FRAME_STOPPED, task->channel, 2);
        gt_native_end(&buf, task->channel);
        free_task(task);
    }
    return true;
}

static int64_t busy_since_ms(struct gt_native_task *task)
{
    int64_t inside_ms = atomic_load_explicit(&task->inside_since_ms, memory_order_relaxed);
    int64_t flush_ms = atomic_load_explicit(&task->flush_since_ms, memory_order_relaxed);
    return inside_ms == 0 || (flush_ms != 0 && flush_ms < inside_ms) ? flush_ms : inside_ms;
}

void gt_native_tasks_beat(struct gt_buf *buf)
{
    int64_t time_ms = now_ms();
    struct gt_buf list;
    uint32_t count = 0;
    gt_buf_init(&list, GT_FRAME_MAX / 2);
    pthread_mutex_lock(&tasks.lock);
    for (size_t i = 0; i < tasks.count; i++) {
        int64_t since_ms = tasks.slots[i] != NULL ? busy_since_ms(tasks.slots[i]) : 0;
        if (since_ms == 0)
            continue;
        gt_mp_put_array(&list, 2);
        gt_mp_put_int(&list, (int64_t)i);
        gt_mp_put_int(&list, time_ms - since_ms);
        count++;
    }
    pthread_mutex_unlock(&tasks.lock);
    gt_mp_put_array(buf, count);
    (void)gt_buf_add_view(buf, gt_buf_view(&list)); /* errors stick */
    gt_buf_deinit(&list);
}
