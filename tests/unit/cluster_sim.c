/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster: see cluster_sim.h. Every delay is in proportion to the lease, so that a
 * long lease gives a cheap hour with the same races in it. */
#include "cluster_sim_inside.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const sim_names[CONNECTORS] = {"alpha", "beta", "gamma", "delta", "epsilon"};

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

void sim_trace(const struct world *world, const char *format, ...)
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

bool sim_chance(struct world *world, unsigned percent)
{
    return sim_random(world, 100) < percent;
}

/* Milliseconds that would be @p low to @p high with a lease of 6 s. */
int64_t sim_span(struct world *world, int64_t low, int64_t high)
{
    int64_t ms = low + (int64_t)sim_random(world, (uint64_t)(high - low + 1));
    return ms * world->knobs.lease / 6000;
}

int64_t sim_clock(const struct worker *worker)
{
    int64_t age = worker->world->now - worker->born;
    return worker->base + age + age * worker->ppm / 1000000;
}

void sim_set_timer(struct worker *worker, int timer, int64_t at)
{
    worker->timers[timer] = at;
    worker->first_timer = NEVER;
    for (int i = 0; i < T_COUNT; i++) {
        if (worker->timers[i] < worker->first_timer)
            worker->first_timer = worker->timers[i];
    }
}

void sim_set_timer_sooner(struct worker *worker, int timer, int64_t at)
{
    if (at < worker->timers[timer])
        sim_set_timer(worker, timer, at);
}

int sim_connector(const char *name)
{
    for (int i = 0; i < CONNECTORS; i++) {
        if (strcmp(sim_names[i], name) == 0)
            return i;
    }
    abort();
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
                 sim_names[c], task, epoch, world->epochs[c][task]);
    if (from != world->ledger.at[c][task])
        SIM_FAIL(world,
                 "%s/%" PRIu64 ": the commit from %" PRId64 " to %" PRId64 " in epoch %" PRIu64
                 " counted at %" PRId64 ": something was lost or counted twice",
                 sim_names[c], task, from, (int64_t)gt_load_le64(changes.data + 32), epoch,
                 world->ledger.at[c][task]);
    world->ledger.at[c][task] = (int64_t)gt_load_le64(changes.data + 32);
    world->epochs[c][task] = epoch;
    world->tally->commits++;
}

static void ref_reset(void *arg, const char *connector)
{
    struct world *world = arg;
    memset(world->ledger.at[sim_connector(connector)], 0,
           sizeof world->ledger.at[sim_connector(connector)]);
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

static void ref_changed(void *arg)
{
    (void)arg;
}

static void ref_refused(void *arg, uint64_t own)
{
    SIM_FAIL((struct world *)arg, "the reader is refused %" PRIu64, own);
}

static void ref_fenced(void *arg, const char *reason)
{
    SIM_FAIL((struct world *)arg, "the reader is fenced: %s", reason);
}

struct gantry_view sim_message_at(const struct world *world, int64_t offset)
{
    size_t start = offset > 0 ? world->ends[offset - 1] : 0;
    return (struct gantry_view){world->log.data + start, world->ends[offset] - start};
}

void sim_append(struct world *world, const char *bytes, size_t len)
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
    if (gt_cluster_message(world->reference, offset, sim_message_at(world, offset), world->now,
                           &err) != 0)
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
            sim_set_timer(worker, T_READ,
                          world->now + (world->chaos && sim_chance(world, 2)
                                            ? sim_span(world, 20, 2000)
                                            : sim_span(world, 1, 20)));
    }
}

/* --- Time --- */

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
            sim_thaw(worker);
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
        gt_cluster_add_reset(&worker->outbox, sim_names[connector]);
    if (what < 2) /* replaced while it moves */
        sim_config(world, worker, connector, (int)sim_random(world, TASKS + 1));
    sim_settle(worker);
}

static void fault(struct world *world)
{
    struct worker *worker = sim_pick(world);
    int64_t lease = world->knobs.lease;
    uint64_t what = sim_random(world, 100);
    int64_t length =
        (int64_t)sim_random(world, (uint64_t)(sim_chance(world, 60) ? lease : 3 * lease));
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
        world->broker = sim_chance(world, 60) ? B_REFUSING : B_SILENT;
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
        sim_write_snapshot(worker);
        sim_settle(worker);
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
            world->fault_at = world->now + 1 + sim_span(world, 100, 12000);
            fault(world);
        } else if (world->first_flight <= world->now) {
            sim_land_flights(world);
        } else if (first != NULL && !first->frozen && first->first_timer <= world->now) {
            sim_worker_event(first);
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
        .changed = ref_changed,
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
            sim_end(&world->workers[i]);
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
