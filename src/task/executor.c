/* SPDX-License-Identifier: Apache-2.0 */
/* An executor's loop. Tasks that are ready take one step each per turn of the loop, then the loop
 * looks at its timers and messages: so no task holds up the others for longer than one batch. */
#include "task/executor.h"

#include <stdlib.h>

enum {
    BATCH_BYTES = 256 << 10, /* what a source is asked for: large enough that a batch's costs
                                vanish, small enough for the processor's cache */
    ARENA_BLOCK = 512 << 10,
    ARENA_KEEP = 4 << 20,
    FIRST_RECORDS = 512,
};

struct gt_executor {
    pthread_t thread;
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    uv_idle_t idle; /* active while somebody is ready */
    struct gt_runnable *head, **tail;
    struct gt_scratch scratch;
    struct gt_mail end_mail;
};

/* Members of struct gantry_batch are the public API's; this is what is behind them. */
static struct gt_scratch *scratch_of(struct gantry_batch *batch)
{
    return (struct gt_scratch *)((char *)batch - offsetof(struct gt_scratch, batch));
}

static void *batch_alloc(struct gantry_batch *batch, size_t size)
{
    return gt_arena_alloc(&scratch_of(batch)->arena, size);
}

static int batch_grow(struct gantry_batch *batch)
{
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity != 0 ? batch->capacity * 2 : FIRST_RECORDS;
        struct gantry_record *records = realloc(batch->records, capacity * sizeof *records);
        if (records == NULL)
            return GANTRY_NO_MEMORY;
        batch->records = records;
        batch->capacity = capacity;
    }
    if (batch->mark_count == batch->mark_capacity) {
        size_t capacity = batch->mark_capacity != 0 ? batch->mark_capacity * 2 : 4;
        struct gantry_mark *marks = realloc(batch->marks, capacity * sizeof *marks);
        if (marks == NULL)
            return GANTRY_NO_MEMORY;
        batch->marks = marks;
        batch->mark_capacity = capacity;
    }
    return 0;
}

static void scratch_init(struct gt_scratch *scratch)
{
    gt_arena_init(&scratch->arena, ARENA_BLOCK, ARENA_KEEP);
    gt_append_scratch_init(&scratch->append);
    scratch->batch = (struct gantry_batch){
        .struct_size = sizeof scratch->batch,
        .max_bytes = BATCH_BYTES,
        .alloc = batch_alloc,
        .grow = batch_grow,
    };
}

static void scratch_deinit(struct gt_scratch *scratch)
{
    free(scratch->batch.records);
    free(scratch->batch.marks);
    gt_append_scratch_deinit(&scratch->append);
    gt_arena_deinit(&scratch->arena);
}

void gt_scratch_begin(struct gt_scratch *scratch)
{
    gt_arena_reset(&scratch->arena);
    scratch->batch.count = 0;
    scratch->batch.mark_count = 0;
}

/* Each runnable that is ready now takes one step; one that becomes ready meanwhile waits for the
 * next turn. A step may take another out of the list, so the list itself is the only state. */
static void run_ready(uv_idle_t *idle)
{
    struct gt_executor *executor = idle->data;
    size_t turns = 0;
    for (struct gt_runnable *runnable = executor->head; runnable != NULL; runnable = runnable->next)
        turns++;
    while (turns-- > 0 && executor->head != NULL) {
        struct gt_runnable *runnable = executor->head;
        gt_executor_unready(executor, runnable);
        runnable->step(runnable);
    }
    if (executor->head == NULL)
        uv_idle_stop(&executor->idle);
}

static void end_loop(struct gt_mail *mail)
{
    struct gt_executor *executor =
        (struct gt_executor *)((char *)mail - offsetof(struct gt_executor, end_mail));
    uv_close((uv_handle_t *)&executor->idle, NULL);
    gt_mailbox_close(&executor->mailbox, NULL);
}

static void *run_executor(void *arg)
{
    struct gt_executor *executor = arg;
    uv_run(&executor->loop, UV_RUN_DEFAULT);
    return NULL;
}

int gt_executor_open(const char *name, struct gt_executor **ret, struct gantry_err *err)
{
    struct gt_executor *executor = calloc(1, sizeof *executor);
    if (executor == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for an executor");
    executor->tail = &executor->head;
    executor->end_mail.run = end_loop;
    int rc = uv_loop_init(&executor->loop);
    if (rc != 0) {
        free(executor);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make an executor's loop: %s",
                              uv_strerror(rc));
    }
    rc = gt_mailbox_init(&executor->mailbox, &executor->loop);
    if (rc != 0) {
        uv_loop_close(&executor->loop);
        free(executor);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make an executor's mailbox: %s",
                              uv_strerror(rc));
    }
    uv_idle_init(&executor->loop, &executor->idle);
    executor->idle.data = executor;
    scratch_init(&executor->scratch);
    rc = pthread_create(&executor->thread, NULL, run_executor, executor);
    if (rc != 0) {
        end_loop(&executor->end_mail);
        uv_run(&executor->loop, UV_RUN_DEFAULT);
        uv_loop_close(&executor->loop);
        scratch_deinit(&executor->scratch);
        free(executor);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot start an executor thread: %s",
                              strerror(rc));
    }
    pthread_setname_np(executor->thread, name);
    *ret = executor;
    return 0;
}

void gt_executor_close(struct gt_executor *executor)
{
    if (executor == NULL)
        return;
    gt_mailbox_send(&executor->mailbox, &executor->end_mail);
    pthread_join(executor->thread, NULL);
    uv_loop_close(&executor->loop);
    scratch_deinit(&executor->scratch);
    free(executor);
}

bool gt_executor_send(struct gt_executor *executor, struct gt_mail *mail)
{
    return gt_mailbox_send(&executor->mailbox, mail);
}

uv_loop_t *gt_executor_loop(struct gt_executor *executor)
{
    return &executor->loop;
}

struct gt_scratch *gt_executor_scratch(struct gt_executor *executor)
{
    return &executor->scratch;
}

void gt_executor_ready(struct gt_executor *executor, struct gt_runnable *runnable)
{
    if (runnable->ready)
        return;
    runnable->ready = true;
    runnable->next = NULL;
    if (executor->head == NULL)
        uv_idle_start(&executor->idle, run_ready);
    *executor->tail = runnable;
    executor->tail = &runnable->next;
}

void gt_executor_unready(struct gt_executor *executor, struct gt_runnable *runnable)
{
    if (!runnable->ready)
        return;
    struct gt_runnable **at = &executor->head;
    while (*at != NULL && *at != runnable)
        at = &(*at)->next;
    if (*at == runnable) {
        *at = runnable->next;
        if (executor->tail == &runnable->next)
            executor->tail = at;
    }
    runnable->ready = false;
}
