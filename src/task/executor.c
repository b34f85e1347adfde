/* SPDX-License-Identifier: Apache-2.0 */
/* An executor's loop. Tasks that are ready take one step each per turn of the loop, then the loop
 * looks at its timers and messages: so no task holds up the others for longer than one batch.
 *
 * A thread sits on a seat, which is what it alone needs. What is under way on it is one word, with
 * the call's number in it, so that no other call is taken for the one that was looked at:
 *
 *      IDLE <-> CALLING <-> INSIDE    the plugin has called a function of ours
 *                 +-> GIVEN_UP        by gt_executor_look(); the thread ends when the call returns
 */
#include "task/executor.h"

#include "base/log.h"
#include <semaphore.h>
#include <stdlib.h>

enum {
    BATCH_BYTES = 256 << 10, /* what a source is asked for: large enough that a batch's costs
                                vanish, small enough for the processor's cache */
    ARENA_BLOCK = 512 << 10,
    ARENA_KEEP = 4 << 20,
    FIRST_RECORDS = 512,
};

enum { IDLE, CALLING, INSIDE, GIVEN_UP, STATES };

struct seat {
    struct gt_executor *executor;
    pthread_t thread;
    sem_t go; /* the loop is this thread's, or the seat is not needed; later: it was given up */
    bool needed;
    struct gt_scratch scratch;
    atomic_uint doing;            /* one of the above; and in steps of STATES, which call */
    struct gt_runnable *runnable; /* whose call it is, and ... */
    _Atomic(const char *) what;   /* ... of what */
};

struct gt_executor {
    struct seat *seat; /* owned: of the thread that runs the loop */
    char name[16];
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    uv_idle_t idle; /* active while somebody is ready: then the loop does not sleep */
    struct gt_runnable *head, **tail;
    struct gt_mail end_mail;
    struct gt_watch *watch; /* borrowed, or NULL */
    unsigned seen_call;     /* the watcher's: at its last look ... */
    int seen_times;         /* ... and so often it was the same one */
};

static _Thread_local struct seat *own_seat;

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
static void run_ready(struct gt_executor *executor)
{
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

/* --- Threads --- */

static void await_go(struct seat *seat)
{
    while (sem_wait(&seat->go) != 0) { /* a signal */
    }
}

static void *run_executor(void *arg)
{
    struct seat *seat = arg;
    struct gt_executor *executor = seat->executor;
    await_go(seat);
    own_seat = seat;
    while (seat->needed && uv_run(&executor->loop, UV_RUN_ONCE) != 0)
        run_ready(executor);
    return NULL;
}

static void free_seat(struct seat *seat)
{
    sem_destroy(&seat->go);
    scratch_deinit(&seat->scratch);
    free(seat);
}

/* A seat with a thread that waits to be let go. */
static int take_seat(struct gt_executor *executor, struct seat **ret, struct gantry_err *err)
{
    struct seat *seat = calloc(1, sizeof *seat);
    if (seat == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for an executor");
    seat->executor = executor;
    sem_init(&seat->go, 0, 0);
    scratch_init(&seat->scratch);
    int rc = pthread_create(&seat->thread, NULL, run_executor, seat);
    if (rc != 0) {
        free_seat(seat);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot start an executor thread: %s",
                              strerror(rc));
    }
    pthread_setname_np(seat->thread, executor->name);
    *ret = seat;
    return 0;
}

static void let_go(struct seat *seat, bool needed)
{
    seat->needed = needed;
    sem_post(&seat->go);
}

static void leave_seat(struct seat *seat)
{
    pthread_join(seat->thread, NULL);
    free_seat(seat);
}

int gt_executor_open(const char *name, struct gt_watch *watch, struct gt_executor **ret,
                     struct gantry_err *err)
{
    struct gt_executor *executor = calloc(1, sizeof *executor);
    if (executor == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for an executor");
    executor->tail = &executor->head;
    executor->end_mail.run = end_loop;
    executor->watch = watch;
    snprintf(executor->name, sizeof executor->name, "%s", name);
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
    int code = take_seat(executor, &executor->seat, err);
    if (code != 0) {
        end_loop(&executor->end_mail);
        uv_run(&executor->loop, UV_RUN_DEFAULT);
        uv_loop_close(&executor->loop);
        free(executor);
        return code;
    }
    let_go(executor->seat, true);
    *ret = executor;
    return 0;
}

void gt_executor_close(struct gt_executor *executor)
{
    if (executor == NULL)
        return;
    gt_mailbox_send(&executor->mailbox, &executor->end_mail);
    leave_seat(executor->seat);
    uv_loop_close(&executor->loop);
    free(executor);
}

/* --- Calls --- */

static unsigned state_of(unsigned doing)
{
    return doing % STATES;
}

/* The same call in another state. */
static unsigned in_state(unsigned doing, unsigned state)
{
    return doing - state_of(doing) + state;
}

static bool move(struct seat *seat, unsigned from, unsigned state)
{
    return atomic_compare_exchange_strong(&seat->doing, &from, in_state(from, state));
}

void gt_call_begin(struct gt_runnable *runnable, const char *what)
{
    struct seat *seat = own_seat;
    seat->runnable = runnable;
    atomic_store_explicit(&seat->what, what, memory_order_relaxed);
    atomic_store(&seat->doing, in_state(atomic_load(&seat->doing) + STATES, CALLING));
    gt_watch_arm(seat->executor->watch);
}

int gt_call_end(int code)
{
    struct seat *seat = own_seat;
    if (move(seat, in_state(atomic_load(&seat->doing), CALLING), IDLE))
        return code;
    struct gt_runnable *runnable = seat->runnable;
    await_go(seat);
    own_seat = NULL;
    free_seat(seat);
    pthread_detach(pthread_self());
    runnable->came_back(runnable, code);
    pthread_exit(NULL);
}

bool gt_call_enter(void)
{
    struct seat *seat = own_seat;
    unsigned doing = seat != NULL ? atomic_load(&seat->doing) : IDLE;
    return state_of(doing) == IDLE || /* not out of a call */
           (state_of(doing) == CALLING && move(seat, doing, INSIDE));
}

void gt_call_leave(void)
{
    struct seat *seat = own_seat;
    if (seat != NULL)
        (void)move(seat, in_state(atomic_load(&seat->doing), INSIDE), CALLING);
}

/* Another thread goes on with the loop, if the call is still there, and not inside of a function of
 * ours: the next look may find it outside. */
static void give_up(struct gt_executor *executor, unsigned doing)
{
    struct seat *old = executor->seat, *seat = NULL;
    struct gantry_err err;
    if (take_seat(executor, &seat, &err) != 0) {
        gt_error("task", "a call that does not come back keeps its thread: %s", err.text);
        return;
    }
    if (!move(old, doing, GIVEN_UP)) {
        let_go(seat, false);
        leave_seat(seat);
        return;
    }
    executor->seat = seat;
    executor->seen_times = 0;
    old->runnable->gave_up(old->runnable, old->what);
    sem_post(&old->go); /* it may be about to end already */
    let_go(seat, true);
}

bool gt_executor_look(struct gt_executor *executor, int most, bool patient)
{
    struct seat *seat = executor->seat;
    unsigned doing = atomic_load(&seat->doing), call = in_state(doing, IDLE);
    bool calling = state_of(doing) != IDLE, same = call == executor->seen_call;
    executor->seen_call = call;
    executor->seen_times = calling && same ? executor->seen_times + 1 : 0;
    if (calling && patient && strcmp(seat->what, "poll") == 0) {
        executor->seen_times = 0;
        return false;
    }
    if (executor->seen_times > most && state_of(doing) == CALLING)
        give_up(executor, doing);
    return calling || !same;
}

bool gt_executor_send(struct gt_executor *executor, struct gt_mail *mail)
{
    return gt_mailbox_send(&executor->mailbox, mail);
}

struct gt_mailbox *gt_executor_mailbox(struct gt_executor *executor)
{
    return &executor->mailbox;
}

uv_loop_t *gt_executor_loop(struct gt_executor *executor)
{
    return &executor->loop;
}

struct gt_scratch *gt_executor_scratch(struct gt_executor *executor)
{
    return &executor->seat->scratch;
}

static void stay_awake(uv_idle_t *idle)
{
    (void)idle; /* that there is one is what counts */
}

void gt_executor_ready(struct gt_executor *executor, struct gt_runnable *runnable)
{
    if (runnable->ready)
        return;
    runnable->ready = true;
    runnable->next = NULL;
    if (executor->head == NULL)
        uv_idle_start(&executor->idle, stay_awake);
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
