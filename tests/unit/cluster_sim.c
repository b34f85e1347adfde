/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster: see cluster_sim.h. Every delay is in proportion to the lease, so that a
 * long lease gives a cheap hour with the same races in it. */
#include "cluster_sim.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER INT64_MAX
#define TRACE(world, ...)                                                                          \
    do {                                                                                           \
        if ((world)->trace)                                                                        \
            trace(world, __VA_ARGS__);                                                             \
    } while (0)

static const char *const names[CONNECTORS] = {"alpha", "beta", "gamma", "delta", "epsilon"};

void sim_fail(const struct world *world, const char *file, int line, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "%s:%d: SIM_SEED=%" PRIu64 " lease %" PRId64 " at %" PRId64 " ms: ", file, line,
            world->knobs.seed, world->knobs.lease, world->now);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1); /* the state of all that runs is of no more use to any other test */
}

__attribute__((format(printf, 2, 3))) static void trace(const struct world *world,
                                                        const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%9" PRId64 " ", world->now);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
}

uint64_t sim_random(struct world *world, uint64_t below)
{
    uint64_t x = world->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return below > 0 ? x % below : x;
}

static bool chance(struct world *world, unsigned percent)
{
    return sim_random(world, 100) < percent;
}

/* Milliseconds that would be @p low to @p high with a lease of 6 s. */
static int64_t span(struct world *world, int64_t low, int64_t high)
{
    int64_t ms = low + (int64_t)sim_random(world, (uint64_t)(high - low + 1));
    return ms * world->knobs.lease / 6000;
}

static int64_t clock_of(const struct worker *worker)
{
    int64_t age = worker->world->now - worker->born;
    return worker->base + age + age * worker->ppm / 1000000;
}

static void set_timer(struct worker *worker, int timer, int64_t at)
{
    worker->timers[timer] = at;
    worker->first_timer = NEVER;
    for (int i = 0; i < T_COUNT; i++) {
        if (worker->timers[i] < worker->first_timer)
            worker->first_timer = worker->timers[i];
    }
}

static void set_timer_sooner(struct worker *worker, int timer, int64_t at)
{
    if (at < worker->timers[timer])
        set_timer(worker, timer, at);
}

static int connector_of(const char *name)
{
    for (int i = 0; i < CONNECTORS; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    abort();
}

/* --- Tasks --- */

/* A task that begins to run, or goes on after its worker was frozen: nobody else may run it, and
 * nobody anything of another configuration of its connector. */
static void check_alone(struct world *world, const struct worker *worker, const struct run *run)
{
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
                         names[run->connector], run->task, worker->name, run->epoch,
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
    int c = connector_of(connector);
    *run = (struct run){
        .state = R_RUNNING,
        .connector = c,
        .task = task,
        .epoch = epoch,
        .generation = worker->generation[c],
        .position = worker->positions.at[c][task],
        .commit_at = world->now + span(world, 100, 20000),
        .committed = true,
    };
    if (run->generation == 0)
        SIM_FAIL(world, "%s starts a task of %s without a configuration", worker->name, connector);
    world->tally->starts++;
    TRACE(world, "%s starts %s/%u epoch %" PRIu64, worker->name, connector, task, epoch);
    check_alone(world, worker, run);
    set_timer_sooner(worker, T_TASKS, run->commit_at);
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
    gt_cluster_add_commit(&worker->outbox, names[run->connector], run->task, run->epoch,
                          run->last_own,
                          (struct gantry_view){(const char *)changes, sizeof changes});
    if (chance(world, 30))
        gt_cluster_add_status(&worker->outbox, names[run->connector], run->task, run->epoch,
                              "RUNNING", to % 2 == 0 ? "" : "odd");
}

static void on_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced)
{
    struct worker *worker = arg;
    struct world *world = worker->world;
    struct run *run = find_run(worker, epoch);
    if (run == NULL || run->task != task || run->connector != connector_of(connector))
        SIM_FAIL(world, "%s is to stop %s/%u in epoch %" PRIu64 ", which does not run",
                 worker->name, connector, task, epoch);
    TRACE(world, "%s stops %s/%u epoch %" PRIu64 "%s", worker->name, connector, task, epoch,
          fenced ? " (fenced)" : "");
    if (fenced) {
        /* Who was frozen sees for himself that his lease is over; others may take this long. */
        bool at_once = world->now - worker->thawed_at < world->knobs.lease / 6;
        run->state = R_DYING;
        run->commit_at = world->now + (at_once ? 0 : span(world, 0, 450));
        if (at_once)
            run->state = R_NONE;
    } else {
        if (run->state != R_RUNNING)
            SIM_FAIL(world, "%s/%u is stopped twice", connector, task);
        worker->stops++;
        run->state = R_STOPPING;
        commit(worker, run);
        run->commit_at = world->now + span(world, 5, 100);
    }
    set_timer_sooner(worker, T_TASKS, run->commit_at);
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
            run->commit_at = world->now + span(world, 5000, 60000);
        } else if (run->commit_at <= world->now && run->state == R_STOPPING) {
            if (run->committed) {
                struct run ended = *run;
                run->state = R_NONE;
                gt_cluster_task_stopped(worker->state, names[ended.connector], ended.task,
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
    set_timer(worker, T_TASKS, next);
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
    worker->generation[connector_of(connector)] = props.data != NULL ? gt_load_le32(props.data) : 0;
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
            set_timer_sooner(worker, T_TASKS, run->commit_at);
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
    memset(worker->positions.at[connector_of(connector)], 0,
           sizeof worker->positions.at[connector_of(connector)]);
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
    set_timer(worker, T_ACK, NEVER);
    set_timer(worker, T_RETRY, NEVER);
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_RUNNING || worker->runs[i].state == R_STOPPING)
            SIM_FAIL(worker->world, "%s is fenced, but a task was not stopped", worker->name);
    }
    set_timer(worker, T_REJOIN, worker->world->now + 1);
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
            set_timer(worker, T_REJOIN, worker->world->now + span(worker->world, 20, 50));
            return;
        }
    }
    set_timer(worker, T_REJOIN, NEVER);
    worker->fenced = false;
    worker->incarnation = new_incarnation(worker->world);
    worker->number = 0;
    gt_cluster_state_rejoin(worker->state, worker->incarnation, clock_of(worker));
}

/* --- The log --- */

static void ref_commit(void *arg, uint64_t own, struct gantry_view changes)
{
    struct world *world = arg;
    uint64_t c = gt_load_le64(changes.data), task = gt_load_le64(changes.data + 8);
    uint64_t epoch = gt_load_le64(changes.data + 16);
    int64_t from = (int64_t)gt_load_le64(changes.data + 24);
    (void)own;
    if (epoch < world->epochs[c][task])
        SIM_FAIL(world,
                 "%s/%" PRIu64 ": a commit of epoch %" PRIu64 " counted behind one of %" PRIu64,
                 names[c], task, epoch, world->epochs[c][task]);
    if (from != world->ledger.at[c][task])
        SIM_FAIL(world,
                 "%s/%" PRIu64 ": the commit from %" PRId64 " to %" PRId64 " in epoch %" PRIu64
                 " counted at %" PRId64 ": something was lost or counted twice",
                 names[c], task, from, (int64_t)gt_load_le64(changes.data + 32), epoch,
                 world->ledger.at[c][task]);
    world->ledger.at[c][task] = (int64_t)gt_load_le64(changes.data + 32);
    world->epochs[c][task] = epoch;
    world->tally->commits++;
}

static void ref_reset(void *arg, const char *connector)
{
    struct world *world = arg;
    memset(world->ledger.at[connector_of(connector)], 0,
           sizeof world->ledger.at[connector_of(connector)]);
}

static void ref_append(void *arg, struct gantry_view entries)
{
    (void)arg;
    (void)entries;
}

static void ref_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    (void)connector;
    SIM_FAIL((struct world *)arg, "the reader starts %u in %" PRIu64, task, epoch);
}

static void ref_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced)
{
    (void)fenced;
    ref_start(arg, connector, task, epoch);
}

static void ref_config(void *arg, const char *connector, int64_t updated_ms,
                       struct gantry_view props, const struct gantry_view *tasks, size_t count)
{
    (void)arg;
    (void)connector;
    (void)updated_ms;
    (void)props;
    (void)tasks;
    (void)count;
}

static void ref_refused(void *arg, uint64_t own)
{
    SIM_FAIL((struct world *)arg, "the reader is refused %" PRIu64, own);
}

static void ref_fenced(void *arg, const char *reason)
{
    SIM_FAIL((struct world *)arg, "the reader is fenced: %s", reason);
}

static struct gantry_view message_at(const struct world *world, int64_t offset)
{
    size_t start = offset > 0 ? world->ends[offset - 1] : 0;
    return (struct gantry_view){world->log.data + start, world->ends[offset] - start};
}

static void append_to_log(struct world *world, const char *bytes, size_t len)
{
    struct gantry_err err;
    if (world->count == world->cap) {
        world->cap = world->cap * 2 + 1024;
        world->ends = realloc(world->ends, world->cap * sizeof *world->ends);
        world->digests = realloc(world->digests, world->cap * sizeof *world->digests);
        if (world->ends == NULL || world->digests == NULL)
            abort();
    }
    if (gt_buf_add(&world->log, bytes, len) != 0)
        abort();
    int64_t offset = (int64_t)world->count;
    world->ends[world->count++] = world->log.len;
    if (gt_cluster_message(world->reference, offset, message_at(world, offset), world->now, &err) !=
        0)
        SIM_FAIL(world, "a message is not understood: %s", err.text);
    world->digests[offset] = offset % 16 == 0 ? gt_cluster_digest(world->reference) : 0;
    world->tally->messages++;
    if (world->trace && len > 21) {
        struct gt_cursor c = gt_cursor_of(bytes + 5, len - 5);
        uint64_t sender = gt_load_le64(gt_cursor_bytes(&c, 16).data);
        uint64_t number = gt_cursor_varint(&c);
        TRACE(world, "log %" PRId64 ": of @%" PRIu64 " number %" PRIu64 " type %u, %zu bytes",
              offset, sender, number, gt_cursor_u8(&c), len);
    }
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &world->workers[i];
        if (worker->alive && worker->timers[T_READ] == NEVER)
            set_timer(worker, T_READ,
                      world->now + (world->chaos && chance(world, 2) ? span(world, 20, 2000)
                                                                     : span(world, 1, 20)));
    }
}

static bool can_reach(const struct worker *worker)
{
    const struct world *world = worker->world;
    return world->broker == B_UP && worker->reign == world->reign;
}

/* Whole snapshots are noted by whoever made them. */
static void note_snapshot(struct worker *worker, int64_t offset)
{
    struct gt_cluster_part part;
    struct gantry_err err;
    if (worker->snapshot_x < 0 ||
        gt_cluster_snapshot_part(message_at(worker->world, offset), &part, &err) != 0 ||
        part.offset != worker->snapshot_x ||
        memcmp(part.incarnation.bytes, worker->incarnation.bytes, 16) != 0)
        return;
    if (part.part == 0 && part.count == 1) {
        worker->world->snapshot = offset;
        worker->world->tally->snapshots++;
        worker->snapshot_x = -1;
    }
}

static void read_log(struct worker *worker)
{
    struct world *world = worker->world;
    set_timer(worker, T_READ, NEVER);
    if (worker->reach != GT_REACH_OK || worker->reign != world->reign)
        return; /* begins again when the connection does */
    if (!can_reach(worker) || worker->cut_in) {
        set_timer(worker, T_READ, world->now + span(world, 100, 200)); /* the answer is late */
        return;
    }
    for (uint64_t n = 1 + sim_random(world, 8);
         n > 0 && worker->next_offset < (int64_t)world->count; n--) {
        struct gantry_err err;
        int64_t offset = worker->next_offset++;
        if (gt_cluster_message(worker->state, offset, message_at(world, offset), clock_of(worker),
                               &err) != 0)
            SIM_FAIL(world, "a message is not understood: %s", err.text);
        if (world->digests[offset] != 0 &&
            gt_cluster_digest(worker->state) != world->digests[offset])
            SIM_FAIL(world, "%s has another state than others at offset %" PRId64, worker->name,
                     offset);
        note_snapshot(worker, offset);
    }
    if (worker->next_offset < (int64_t)world->count) {
        set_timer_sooner(worker, T_READ, world->now + (worker->caught_up ? 1 : 0));
    } else if (!worker->caught_up) {
        worker->caught_up = true;
        gt_cluster_join(worker->state, clock_of(worker));
    }
}

/* --- Sending --- */

static void launch(struct worker *worker, int64_t delay)
{
    struct world *world = worker->world;
    for (int i = 0; i < FLIGHTS; i++) {
        struct flight *flight = &world->flights[i];
        if (flight->used)
            continue;
        *flight = (struct flight){true,
                                  world->now + delay,
                                  worker->index,
                                  worker->life,
                                  worker->number,
                                  malloc(worker->under_way.len),
                                  worker->under_way.len};
        if (flight->bytes == NULL)
            abort();
        memcpy(flight->bytes, worker->under_way.data, flight->len);
        if (flight->at < world->first_flight)
            world->first_flight = flight->at;
        return;
    }
}

static void transmit(struct worker *worker)
{
    struct world *world = worker->world;
    uint64_t fate = world->chaos ? sim_random(world, 100) : 99;
    set_timer(worker, T_RETRY, world->now + span(world, 900, 1200));
    if (!can_reach(worker) || worker->cut_out || fate < 3)
        return;
    if (fate < 6)
        launch(worker, span(world, 100, 60000));
    else
        launch(worker, span(world, 1, 20));
    if (fate >= 6 && fate < 9)
        launch(worker, span(world, 1, 60000));
}

static void send_next(struct worker *worker)
{
    if (!worker->alive || worker->frozen || worker->busy || worker->outbox.len == 0 ||
        worker->fenced || worker->reach != GT_REACH_OK)
        return;
    gt_cluster_sent(worker->state, worker->number + 1, clock_of(worker));
    if (worker->fenced)
        return; /* the lease was over: what was to be sent is gone */
    gt_buf_clear(&worker->under_way);
    gt_cluster_message_write(&worker->under_way, &worker->incarnation, ++worker->number,
                             gt_buf_view(&worker->outbox));
    gt_buf_clear(&worker->outbox);
    if (worker->under_way.error != 0)
        abort();
    worker->busy = true;
    transmit(worker);
}

static void land(struct world *world, struct flight *flight)
{
    struct worker *worker = &world->workers[flight->worker];
    if (world->broker != B_UP) {
        if (world->broker == B_REFUSING && chance(world, 50)) {
            free(flight->bytes);
            flight->used = false;
        } else {
            flight->at = world->broker_until + span(world, 1, 500); /* it waits on the way */
        }
        return;
    }
    append_to_log(world, flight->bytes, flight->len);
    free(flight->bytes);
    flight->used = false;
    if (worker->alive && worker->life == flight->life && worker->busy &&
        worker->number == flight->number && !worker->cut_in && !(world->chaos && chance(world, 3)))
        set_timer_sooner(worker, T_ACK, world->now + span(world, 1, 20));
    else
        world->tally->repeats++;
}

static void land_flights(struct world *world)
{
    for (int i = 0; i < FLIGHTS; i++) {
        if (world->flights[i].used && world->flights[i].at <= world->now)
            land(world, &world->flights[i]);
    }
    world->first_flight = NEVER;
    for (int i = 0; i < FLIGHTS; i++) {
        if (world->flights[i].used && world->flights[i].at < world->first_flight)
            world->first_flight = world->flights[i].at;
    }
}

/* --- The connection --- */

static void report(struct worker *worker, enum gt_cluster_reach reach)
{
    if (worker->reach != reach)
        TRACE(worker->world, "%s reach %d", worker->name, reach);
    worker->reach = reach;
    gt_cluster_reach(worker->state, reach, clock_of(worker));
}

static void check_connection(struct worker *worker)
{
    struct world *world = worker->world;
    bool cut = worker->cut_in || worker->cut_out;
    set_timer(worker, T_CHECK, world->now + span(world, 200, 450));
    if (worker->reign != world->reign && worker->reign >= 0) {
        worker->reign = -1; /* the connection broke with the broker */
        report(worker, GT_REACH_LOST);
        if (chance(world, 50))
            return;
    }
    if (cut) {
        if (worker->reach == GT_REACH_OK && world->now - worker->cut_since > world->knobs.lease / 6)
            report(worker, GT_REACH_LOST);
    } else if (world->broker == B_REFUSING) {
        worker->reign = -1;
        report(worker, GT_REACH_REFUSED);
    } else if (world->broker == B_SILENT) {
        if (worker->reach == GT_REACH_OK && chance(world, 30))
            report(worker, GT_REACH_LOST);
    } else if (worker->reign < 0 || worker->reach != GT_REACH_OK) {
        worker->reign = world->reign;
        report(worker, GT_REACH_OK);
        set_timer_sooner(worker, T_READ, world->now + span(world, 1, 20));
    }
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
    if (gt_cluster_snapshot_part(message_at(world, world->snapshot), &part, &err) != 0)
        SIM_FAIL(world, "a snapshot is not understood: %s", err.text);
    memcpy(&worker->positions, part.bytes.data, sizeof worker->positions);
    struct gantry_view bytes = {part.bytes.data + sizeof worker->positions,
                                part.bytes.len - sizeof worker->positions};
    if (gt_cluster_state_read(worker->state, bytes, clock_of(worker), &worker->next_offset, &err) !=
        0)
        SIM_FAIL(world, "a snapshot is not understood: %s", err.text);
    if (worker->next_offset != part.offset + 1)
        SIM_FAIL(world, "a snapshot says two offsets");
    world->tally->snapshot_reads++;
}

static void write_snapshot(struct worker *worker)
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
    if (chance(world, 50))
        settings.replaces = former; /* the slot's former life is over for sure */
    if (gt_cluster_state_new(&settings, &mine, &worker->state) != 0)
        abort();
    if (world->snapshot >= 0 && chance(world, 90))
        read_snapshot(worker);
    set_timer(worker, T_TICK, world->now + 1);
    set_timer(worker, T_CHECK, world->now + 1);
    world->tally->joins++;
    return worker;
}

static void end(struct worker *worker)
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
}

void sim_crash(struct world *world, struct worker *worker)
{
    world->tally->crashes++;
    TRACE(world, "%s crashes", worker->name);
    end(worker);
}

static void settle(struct worker *worker)
{
    if (!worker->alive)
        return;
    if (worker->leaving && gt_cluster_left(worker->state)) {
        for (int i = 0; i < RUNS; i++) {
            if (worker->runs[i].state == R_RUNNING || worker->runs[i].state == R_STOPPING)
                SIM_FAIL(worker->world, "%s has left, but a task runs", worker->name);
            if (worker->runs[i].state == R_DYING)
                return;
        }
        end(worker);
        return;
    }
    send_next(worker);
}

void sim_leave(struct world *world, struct worker *worker)
{
    world->tally->leaves++;
    worker->leaving = true;
    gt_cluster_leave(worker->state, clock_of(worker));
    settle(worker);
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
    gt_cluster_add_config(&worker->outbox, names[connector], world->generation,
                          (struct gantry_view){props, 4}, each, (size_t)tasks);
    world->tally->configs++;
    settle(worker);
}

void sim_delete(struct world *world, struct worker *worker, int connector)
{
    (void)world;
    gt_cluster_add_delete(&worker->outbox, connector >= 0 ? names[connector] : NULL);
    if (connector >= 0 && chance(world, 50))
        gt_cluster_add_reset(&worker->outbox, names[connector]);
    settle(worker);
}

/* --- Time --- */

static void tick(struct worker *worker)
{
    struct world *world = worker->world;
    int64_t now = clock_of(worker);
    int64_t next = gt_cluster_tick(worker->state, now);
    if (next <= now)
        SIM_FAIL(world, "a tick that wants another one at once");
    /* by the world's clock, and late as timers are */
    int64_t wait = (next - now) * 1000000 / (1000000 + worker->ppm);
    set_timer(worker, T_TICK, world->now + wait + 1 + span(world, 0, 20));
    if (worker->caught_up && gt_cluster_snapshot_due(worker->state, now) && worker->snapshot_x < 0)
        write_snapshot(worker);
}

static void worker_event(struct worker *worker)
{
    int timer = 0;
    for (int i = 1; i < T_COUNT; i++) {
        if (worker->timers[i] < worker->timers[timer])
            timer = i;
    }
    set_timer(worker, timer, NEVER);
    switch (timer) {
    case T_TICK:
        tick(worker);
        break;
    case T_READ:
        read_log(worker);
        break;
    case T_ACK:
        worker->busy = false;
        set_timer(worker, T_RETRY, NEVER);
        break;
    case T_RETRY:
        if (worker->busy)
            transmit(worker);
        break;
    case T_CHECK:
        check_connection(worker);
        break;
    case T_TASKS:
        run_tasks(worker);
        break;
    default:
        rejoin(worker);
        break;
    }
    settle(worker);
}

static void thaw(struct worker *worker)
{
    struct world *world = worker->world;
    TRACE(world, "%s thaws", worker->name);
    worker->frozen = false;
    worker->thawed_at = world->now;
    if (worker->first_timer > world->now)
        set_timer(worker, T_TICK, world->now);
    /* Whatever is due first, which may be nothing that tells the machine the time. Who runs the
     * tasks looks at gt_cluster_lease_until and touches nothing before the tick. */
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_DYING)
            worker->runs[i].state = R_NONE;
    }
    worker_event(worker);
    if (worker->alive) {
        (void)gt_cluster_tick(worker->state, clock_of(worker));
        settle(worker);
    }
    for (int i = 0; i < RUNS && worker->alive; i++) {
        if (worker->runs[i].state != R_NONE)
            check_alone(world, worker, &worker->runs[i]);
    }
}

static void end_faults(struct world *world, bool all)
{
    if (world->broker != B_UP && (all || world->broker_until <= world->now)) {
        if (world->broker == B_REFUSING)
            world->reign++;
        world->broker = B_UP;
    }
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &world->workers[i];
        if (!worker->alive)
            continue;
        if (all || worker->cut_until <= world->now)
            worker->cut_in = worker->cut_out = false;
        if (worker->frozen && (all || worker->frozen_until <= world->now))
            thaw(worker);
    }
}

void sim_heal(struct world *world)
{
    world->chaos = false;
    end_faults(world, true);
}

static void operate(struct world *world, struct worker *worker)
{
    uint64_t what = sim_random(world, 20);
    int connector = (int)sim_random(world, CONNECTORS);
    if (worker->frozen || worker->fenced || !gt_cluster_is_member(worker->state))
        return;
    if (what < 12)
        sim_config(world, worker, connector, (int)sim_random(world, TASKS + 1));
    else if (what < 18)
        sim_delete(world, worker, connector);
    else if (what < 19)
        sim_delete(world, worker, -1);
    else
        gt_cluster_add_reset(&worker->outbox, names[connector]);
    if (what < 2) /* replaced while it moves */
        sim_config(world, worker, connector, (int)sim_random(world, TASKS + 1));
    settle(worker);
}

static void fault(struct world *world)
{
    struct worker *worker = sim_pick(world);
    int64_t lease = world->knobs.lease;
    uint64_t what = sim_random(world, 100);
    int64_t length = (int64_t)sim_random(world, (uint64_t)(chance(world, 60) ? lease : 3 * lease));
    if (worker == NULL || what < 8) {
        (void)sim_start(world);
    } else if (what < 20 && !worker->frozen) {
        TRACE(world, "%s freezes for %" PRId64, worker->name, length);
        worker->frozen = true;
        worker->frozen_until = world->now + length;
        world->tally->freezes++;
    } else if (what < 32) {
        uint64_t which = sim_random(world, 3);
        worker->cut_in = which != 0;
        worker->cut_out = which != 1;
        worker->cut_since = world->now;
        worker->cut_until = world->now + length;
        TRACE(world, "%s is cut (in %d, out %d) for %" PRId64, worker->name, worker->cut_in,
              worker->cut_out, length);
        world->tally->cuts++;
    } else if (what < 46 && world->broker == B_UP) {
        world->broker = chance(world, 60) ? B_REFUSING : B_SILENT;
        world->broker_until = world->now + length;
        TRACE(world, "broker %d for %" PRId64, world->broker, length);
        world->tally->outages++;
    } else if (what < 52) {
        sim_crash(world, worker);
    } else if (what < 57 && !worker->frozen && sim_alive(world) > 1) {
        sim_leave(world, worker);
    } else if (what < 62 && world->now - worker->jumped_at > 2 * lease) {
        worker->jumped_at = world->now;
        worker->base += length;
        TRACE(world, "%s clock jumps by %" PRId64, worker->name, length);
        world->tally->jumps++;
    } else if (what < 68 && !worker->frozen && worker->caught_up && worker->snapshot_x < 0 &&
               gt_cluster_is_member(worker->state)) {
        write_snapshot(worker);
        settle(worker);
    } else {
        operate(world, worker);
    }
}

void sim_run(struct world *world, int64_t until)
{
    for (;;) {
        struct worker *first = NULL;
        int64_t at = world->first_flight;
        if (world->broker != B_UP && world->broker_until < at)
            at = world->broker_until;
        for (int i = 0; i < WORKERS; i++) {
            struct worker *worker = &world->workers[i];
            if (!worker->alive)
                continue;
            int64_t next = worker->frozen ? worker->frozen_until : worker->first_timer;
            if ((worker->cut_in || worker->cut_out) && worker->cut_until < at)
                at = worker->cut_until;
            if (next < at) {
                at = next;
                first = worker;
            }
        }
        if (world->chaos && world->fault_at < at)
            at = world->fault_at;
        if (at > until)
            break;
        if (at > world->now)
            world->now = at;
        if (world->chaos && world->fault_at <= world->now) {
            world->fault_at = world->now + 1 + span(world, 100, 12000);
            fault(world);
        } else if (world->first_flight <= world->now) {
            land_flights(world);
        } else if (first != NULL && !first->frozen && first->first_timer <= world->now) {
            worker_event(first);
        } else {
            end_faults(world, false);
        }
    }
    world->now = until;
}

/* --- Birth and end --- */

void sim_open(struct world *world, const struct knobs *knobs, struct tally *tally)
{
    struct gt_cluster_io io = {
        .arg = world,
        .append = ref_append,
        .task_start = ref_start,
        .task_stop = ref_stop,
        .config = ref_config,
        .commit = ref_commit,
        .refused = ref_refused,
        .reset = ref_reset,
        .changed = on_changed,
        .fenced = ref_fenced,
    };
    memset(world, 0, sizeof *world);
    world->knobs = *knobs;
    world->random = knobs->seed;
    world->tally = tally;
    world->first_flight = NEVER;
    world->snapshot = -1;
    world->trace = getenv("SIM_TRACE") != NULL;
    gt_buf_init(&world->log, SIZE_MAX / 8);
    struct gt_cluster_settings settings = {
        .incarnation = {{255}}, .name = "reader", .lease_ms = knobs->lease};
    if (gt_cluster_state_new(&settings, &io, &world->reference) != 0)
        abort();
}

void sim_close(struct world *world)
{
    for (int i = 0; i < WORKERS; i++) {
        if (world->workers[i].alive)
            end(&world->workers[i]);
    }
    for (int i = 0; i < FLIGHTS; i++) {
        if (world->flights[i].used)
            free(world->flights[i].bytes);
    }
    gt_cluster_state_free(world->reference);
    gt_buf_deinit(&world->log);
    free(world->ends);
    free(world->digests);
}
