/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster: a worker, its tasks, what its machine asks for, its life. */
#include "cluster_sim_inside.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- Tasks --- */

/* A task that begins to run, or goes on after its worker was frozen: nobody else may run it, and
 * nobody anything of another configuration of its connector. */
static void check_alone(struct world *world, const struct worker *worker, const struct run *run)
{
    if (world->knobs.false_refusals && !world->knobs.stop_when_unreachable)
        return;
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *other = &world->workers[i];
        if (!other->alive || (other->frozen && other != worker))
            continue;
        for (int k = 0; k < RUNS; k++) {
            const struct run *also = &other->runs[k];
            if (also->state == R_NONE || also == run || also->connector != run->connector)
                continue;
            if (also->state == R_DYING && other == worker)
                continue; /* checked below: a worker may not start anything then */
            if (also->task == run->task || also->generation != run->generation)
                SIM_FAIL(world,
                         "%s/%u runs twice: on %s in epoch %" PRIu64 " of configuration %u and on "
                         "%s in epoch %" PRIu64 " of %u",
                         sim_names[run->connector], run->task, worker->name, run->epoch,
                         run->generation, other->name, also->epoch, also->generation);
        }
    }
}

static struct run *find_run(struct worker *worker, uint64_t epoch)
{
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state != R_NONE && worker->runs[i].epoch == epoch)
            return &worker->runs[i];
    }
    return NULL;
}

static void on_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    struct worker *worker = arg;
    struct world *world = worker->world;
    struct run *run = NULL;
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_DYING)
            SIM_FAIL(world, "%s starts while fenced tasks of it still run", worker->name);
        if (worker->runs[i].state == R_NONE && run == NULL)
            run = &worker->runs[i];
    }
    if (run == NULL)
        SIM_FAIL(world, "%s runs too many tasks", worker->name);
    if (worker->leaving)
        SIM_FAIL(world, "%s starts a task while it leaves", worker->name);
    int c = sim_connector(connector);
    *run = (struct run){
        .state = R_RUNNING,
        .connector = c,
        .task = task,
        .epoch = epoch,
        .generation = worker->generation[c],
        .position = worker->positions.at[c][task],
        .commit_at = world->now + sim_span(world, 100, 20000),
        .committed = true,
    };
    if (run->generation == 0)
        SIM_FAIL(world, "%s starts a task of %s without a configuration", worker->name, connector);
    world->tally->starts++;
    TRACE(world, "%s starts %s/%u epoch %" PRIu64, worker->name, connector, task, epoch);
    check_alone(world, worker, run);
    sim_set_timer_sooner(worker, T_TASKS, run->commit_at);
}

static void commit(struct worker *worker, struct run *run)
{
    struct world *world = worker->world;
    uint8_t changes[40];
    int64_t to = run->position + 1 + (int64_t)sim_random(world, 9);
    gt_store_le64(changes, (uint64_t)run->connector);
    gt_store_le64(changes + 8, run->task);
    gt_store_le64(changes + 16, run->epoch);
    gt_store_le64(changes + 24, (uint64_t)run->position);
    gt_store_le64(changes + 32, (uint64_t)to);
    run->position = to;
    run->last_own = ++worker->own;
    run->committed = false;
    gt_cluster_add_commit(&worker->outbox, sim_names[run->connector], run->task, run->epoch,
                          run->last_own,
                          (struct gantry_view){(const char *)changes, sizeof changes});
    if (sim_chance(world, 30))
        gt_cluster_add_status(&worker->outbox, sim_names[run->connector], run->task, run->epoch,
                              "RUNNING", to % 2 == 0 ? "" : "odd");
}

static void on_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced)
{
    struct worker *worker = arg;
    struct world *world = worker->world;
    struct run *run = find_run(worker, epoch);
    if (run == NULL || run->task != task || run->connector != sim_connector(connector))
        SIM_FAIL(world, "%s is to stop %s/%u in epoch %" PRIu64 ", which does not run",
                 worker->name, connector, task, epoch);
    TRACE(world, "%s stops %s/%u epoch %" PRIu64 "%s", worker->name, connector, task, epoch,
          fenced ? " (fenced)" : "");
    if (fenced) {
        /* Who was frozen sees for himself that his lease is over; others may take this long. */
        bool at_once = world->now - worker->thawed_at < world->knobs.lease / 6;
        run->state = R_DYING;
        run->commit_at = world->now + (at_once ? 0 : sim_span(world, 0, 450));
        if (at_once)
            run->state = R_NONE;
    } else {
        if (run->state != R_RUNNING)
            SIM_FAIL(world, "%s/%u is stopped twice", connector, task);
        worker->stops++;
        run->state = R_STOPPING;
        commit(worker, run);
        run->commit_at = world->now + sim_span(world, 5, 100);
    }
    sim_set_timer_sooner(worker, T_TASKS, run->commit_at);
}

static void run_tasks(struct worker *worker)
{
    struct world *world = worker->world;
    int64_t next = NEVER;
    for (int i = 0; i < RUNS && worker->alive; i++) {
        struct run *run = &worker->runs[i];
        if (run->state == R_NONE)
            continue;
        if (run->commit_at <= world->now && run->state == R_RUNNING) {
            commit(worker, run);
            run->commit_at = world->now + sim_span(world, 5000, 60000);
        } else if (run->commit_at <= world->now && run->state == R_STOPPING) {
            if (run->committed) {
                struct run ended = *run;
                run->state = R_NONE;
                gt_cluster_task_stopped(worker->state, sim_names[ended.connector], ended.task,
                                        ended.epoch);
                continue;
            }
            run->commit_at = NEVER; /* until the commit has come back */
        } else if (run->commit_at <= world->now) {
            run->state = R_NONE;
            continue;
        }
        if (run->commit_at < next)
            next = run->commit_at;
    }
    sim_set_timer(worker, T_TASKS, next);
}

/* --- What else the machine asks for --- */

static void on_append(void *arg, struct gantry_view entries)
{
    struct worker *worker = arg;
    gt_buf_add_view(&worker->outbox, entries);
}

static void on_config(void *arg, const char *connector, int64_t updated_ms,
                      struct gantry_view props, const struct gantry_view *tasks, size_t task_count)
{
    struct worker *worker = arg;
    (void)tasks;
    (void)task_count;
    if (props.data != NULL && (int64_t)gt_load_le32(props.data) != updated_ms)
        SIM_FAIL(worker->world, "a configuration has changed on its way");
    worker->generation[sim_connector(connector)] =
        props.data != NULL ? gt_load_le32(props.data) : 0;
}

static void on_commit(void *arg, uint64_t own, struct gantry_view changes)
{
    struct worker *worker = arg;
    uint64_t c = gt_load_le64(changes.data), task = gt_load_le64(changes.data + 8);
    worker->positions.at[c][task] = (int64_t)gt_load_le64(changes.data + 32);
    struct run *run = own != 0 ? find_run(worker, gt_load_le64(changes.data + 16)) : NULL;
    if (run != NULL && run->last_own == own) {
        run->committed = true;
        if (run->state == R_STOPPING && run->commit_at == NEVER) {
            run->commit_at = worker->world->now;
            sim_set_timer_sooner(worker, T_TASKS, run->commit_at);
        }
    }
}

static void on_refused(void *arg, uint64_t own)
{
    struct worker *worker = arg;
    worker->world->tally->refused++;
    for (int i = 0; i < RUNS; i++) {
        const struct run *run = &worker->runs[i];
        if (run->last_own == own && (run->state == R_RUNNING || run->state == R_STOPPING))
            SIM_FAIL(worker->world, "%s: a commit of a task that runs was refused", worker->name);
    }
}

static void on_reset(void *arg, const char *connector)
{
    struct worker *worker = arg;
    memset(worker->positions.at[sim_connector(connector)], 0,
           sizeof worker->positions.at[sim_connector(connector)]);
}

static void on_changed(void *arg)
{
    (void)arg;
}

static void on_fenced(void *arg, const char *reason)
{
    struct worker *worker = arg;
    TRACE(worker->world, "%s fenced: %s", worker->name, reason);
    worker->fenced = true;
    worker->world->tally->fenced++;
    gt_buf_clear(&worker->outbox);
    worker->busy = false; /* copies of what was under way may still arrive */
    worker->life = ++worker->world->lives;
    sim_set_timer(worker, T_ACK, NEVER);
    sim_set_timer(worker, T_RETRY, NEVER);
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_RUNNING || worker->runs[i].state == R_STOPPING)
            SIM_FAIL(worker->world, "%s is fenced, but a task was not stopped", worker->name);
    }
    sim_set_timer(worker, T_REJOIN, worker->world->now + 1);
}

static struct gt_incarnation new_incarnation(struct world *world)
{
    struct gt_incarnation incarnation;
    gt_store_le64(incarnation.bytes, ++world->incarnations);
    gt_store_le64(incarnation.bytes + 8, sim_random(world, 0));
    return incarnation;
}

static void rejoin(struct worker *worker)
{
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state != R_NONE) { /* one that still stops */
            sim_set_timer(worker, T_REJOIN, worker->world->now + sim_span(worker->world, 20, 50));
            return;
        }
    }
    sim_set_timer(worker, T_REJOIN, NEVER);
    worker->fenced = false;
    worker->incarnation = new_incarnation(worker->world);
    worker->number = 0;
    worker->was_member = false;
    gt_cluster_state_rejoin(worker->state, worker->incarnation, sim_clock(worker));
}
/* --- Life of a worker --- */

int sim_alive(const struct world *world)
{
    int alive = 0;
    for (int i = 0; i < WORKERS; i++)
        alive += world->workers[i].alive ? 1 : 0;
    return alive;
}

struct worker *sim_pick(struct world *world)
{
    int start = (int)sim_random(world, WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &world->workers[(start + i) % WORKERS];
        if (worker->alive && !worker->leaving)
            return worker;
    }
    return NULL;
}

/* State and positions as of the last whole snapshot, by its message in the log. */
static void read_snapshot(struct worker *worker)
{
    struct world *world = worker->world;
    struct gt_cluster_part part;
    struct gantry_err err;
    if (gt_cluster_snapshot_part(sim_message_at(world, world->snapshot), &part, &err) != 0)
        SIM_FAIL(world, "a snapshot is not understood: %s", err.text);
    memcpy(&worker->positions, part.bytes.data, sizeof worker->positions);
    struct gantry_view bytes = {part.bytes.data + sizeof worker->positions,
                                part.bytes.len - sizeof worker->positions};
    if (gt_cluster_state_read(worker->state, bytes, sim_clock(worker), &worker->next_offset,
                              &err) != 0)
        SIM_FAIL(world, "a snapshot is not understood: %s", err.text);
    if (worker->next_offset != part.offset + 1)
        SIM_FAIL(world, "a snapshot says two offsets");
    world->tally->snapshot_reads++;
}

void sim_write_snapshot(struct worker *worker)
{
    struct gt_buf bytes;
    gt_buf_init(&bytes, 1 << 20);
    gt_buf_add(&bytes, &worker->positions, sizeof worker->positions);
    if (gt_cluster_state_write(worker->state, &bytes) != 0)
        abort();
    worker->snapshot_x = gt_cluster_offset(worker->state);
    gt_cluster_add_snapshot(&worker->outbox, worker->snapshot_x, 0, 1, gt_buf_view(&bytes));
    gt_buf_deinit(&bytes);
}

struct worker *sim_start(struct world *world)
{
    static const struct gt_cluster_io io = {
        .append = on_append,
        .task_start = on_start,
        .task_stop = on_stop,
        .config = on_config,
        .commit = on_commit,
        .refused = on_refused,
        .reset = on_reset,
        .changed = on_changed,
        .fenced = on_fenced,
    };
    struct worker *worker = NULL;
    for (int i = 0; i < WORKERS && worker == NULL; i++) {
        if (!world->workers[i].alive)
            worker = &world->workers[i];
    }
    if (worker == NULL)
        return NULL;
    struct gt_incarnation former = worker->former;
    int index = (int)(worker - world->workers);
    memset(worker, 0, sizeof *worker);
    worker->world = world;
    worker->index = index;
    worker->alive = true;
    worker->life = ++world->lives;
    worker->incarnation = new_incarnation(world);
    snprintf(worker->name, sizeof worker->name, "10.0.0.%d@%u", index, world->incarnations);
    worker->born = world->now;
    worker->base = (int64_t)sim_random(world, 1000000000);
    worker->ppm = (int64_t)sim_random(world, 20001) - 10000;
    worker->reign = worker->snapshot_x = -1;
    worker->reach = GT_REACH_OK;
    worker->thawed_at = worker->jumped_at = INT64_MIN / 2;
    gt_buf_init(&worker->outbox, 1 << 20);
    gt_buf_init(&worker->under_way, 1 << 20);
    for (int i = 0; i < T_COUNT; i++)
        worker->timers[i] = NEVER;
    struct gt_cluster_io mine = io;
    mine.arg = worker;
    struct gt_cluster_settings settings = {
        .incarnation = worker->incarnation,
        .name = worker->name,
        .strategy = world->knobs.mixed_strategies ? (enum gt_cluster_strategy)sim_random(world, 3)
                                                  : world->knobs.strategy,
        .lease_ms = world->knobs.lease,
        .stop_when_unreachable = world->knobs.stop_when_unreachable,
    };
    if (sim_chance(world, 50))
        settings.replaces = former; /* the slot's former life is over for sure */
    if (gt_cluster_state_new(&settings, &mine, &worker->state) != 0)
        abort();
    if (world->snapshot >= 0 && sim_chance(world, 90))
        read_snapshot(worker);
    sim_set_timer(worker, T_TICK, world->now + 1);
    sim_set_timer(worker, T_CHECK, world->now + 1);
    world->tally->joins++;
    return worker;
}

void sim_end(struct worker *worker)
{
    worker->alive = worker->frozen = false;
    worker->former = worker->incarnation;
    gt_cluster_state_free(worker->state);
    worker->state = NULL;
    worker->first_timer = NEVER;
    gt_buf_deinit(&worker->outbox);
    gt_buf_deinit(&worker->under_way);
    for (int i = 0; i < RUNS; i++)
        worker->runs[i].state = R_NONE;
    /* A first message that arrives when its sender is dead makes a member of it until it is
     * expired. That is as it must be, but it would come in the time of rest, too. */
    for (int i = 0; i < FLIGHTS; i++) {
        struct flight *flight = &worker->world->flights[i];
        if (flight->used && flight->life == worker->life && flight->number == 1 &&
            !worker->was_member) {
            flight->used = false;
            free(flight->bytes);
        }
    }
}

void sim_crash(struct world *world, struct worker *worker)
{
    world->tally->crashes++;
    TRACE(world, "%s crashes", worker->name);
    sim_end(worker);
}

void sim_settle(struct worker *worker)
{
    if (!worker->alive)
        return;
    worker->was_member = worker->was_member || gt_cluster_is_member(worker->state);
    if (worker->leaving && gt_cluster_left(worker->state)) {
        for (int i = 0; i < RUNS; i++) {
            if (worker->runs[i].state == R_RUNNING || worker->runs[i].state == R_STOPPING)
                SIM_FAIL(worker->world, "%s has left, but a task runs", worker->name);
            if (worker->runs[i].state == R_DYING)
                return;
        }
        sim_end(worker);
        return;
    }
    sim_send_next(worker);
}

void sim_leave(struct world *world, struct worker *worker)
{
    world->tally->leaves++;
    worker->leaving = true;
    gt_cluster_leave(worker->state, sim_clock(worker));
    sim_settle(worker);
}

void sim_config(struct world *world, struct worker *worker, int connector, int tasks)
{
    struct gantry_view each[TASKS];
    char props[4], texts[TASKS][32];
    gt_store_le32(props, ++world->generation);
    for (int i = 0; i < tasks; i++) {
        snprintf(texts[i], sizeof texts[i], "{\"n\":\"%d\",\"g\":\"%u\"}", i, world->generation);
        each[i] = gantry_view_of(texts[i]);
    }
    gt_cluster_add_config(&worker->outbox, sim_names[connector], world->generation,
                          (struct gantry_view){props, 4}, each, (size_t)tasks);
    world->tally->configs++;
    sim_settle(worker);
}

void sim_delete(struct world *world, struct worker *worker, int connector)
{
    (void)world;
    gt_cluster_add_delete(&worker->outbox, connector >= 0 ? sim_names[connector] : NULL);
    if (connector >= 0 && sim_chance(world, 50))
        gt_cluster_add_reset(&worker->outbox, sim_names[connector]);
    sim_settle(worker);
}
/* --- Its time --- */

static void tick(struct worker *worker)
{
    struct world *world = worker->world;
    int64_t now = sim_clock(worker);
    int64_t next = gt_cluster_tick(worker->state, now);
    if (next <= now)
        SIM_FAIL(world, "a tick that wants another one at once");
    /* by the world's clock, and late as timers are */
    int64_t wait = (next - now) * 1000000 / (1000000 + worker->ppm);
    sim_set_timer(worker, T_TICK, world->now + wait + 1 + sim_span(world, 0, 20));
    if (worker->caught_up && gt_cluster_snapshot_due(worker->state, now) && worker->snapshot_x < 0)
        sim_write_snapshot(worker);
}

void sim_worker_event(struct worker *worker)
{
    int timer = 0;
    for (int i = 1; i < T_COUNT; i++) {
        if (worker->timers[i] < worker->timers[timer])
            timer = i;
    }
    sim_set_timer(worker, timer, NEVER);
    switch (timer) {
    case T_TICK:
        tick(worker);
        break;
    case T_READ:
        sim_read_log(worker);
        break;
    case T_ACK:
        worker->busy = false;
        sim_set_timer(worker, T_RETRY, NEVER);
        break;
    case T_RETRY:
        if (worker->busy)
            sim_transmit(worker);
        break;
    case T_CHECK:
        sim_check_connection(worker);
        break;
    case T_TASKS:
        run_tasks(worker);
        break;
    default:
        rejoin(worker);
        break;
    }
    sim_settle(worker);
}

void sim_thaw(struct worker *worker)
{
    struct world *world = worker->world;
    TRACE(world, "%s thaws", worker->name);
    worker->frozen = false;
    worker->thawed_at = world->now;
    if (worker->first_timer > world->now)
        sim_set_timer(worker, T_TICK, world->now);
    /* Whatever is due first, which may be nothing that tells the machine the time. Who runs the
     * tasks looks at gt_cluster_lease_until and touches nothing before the tick. */
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_DYING)
            worker->runs[i].state = R_NONE;
    }
    sim_worker_event(worker);
    if (worker->alive) {
        (void)gt_cluster_tick(worker->state, sim_clock(worker));
        sim_settle(worker);
    }
    for (int i = 0; i < RUNS && worker->alive; i++) {
        if (worker->runs[i].state != R_NONE)
            check_alone(world, worker, &worker->runs[i]);
    }
}
