/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster under faults, in virtual time. Each life is one seed: chaos, then rest, in which
 * everything must run within bounds, then a kill, a join and an orderly leave that are measured.
 *
 *   SIM_HOURS=20000 test_cluster_sim      more of it (simulated hours)
 *   SIM_SEED=123 test_cluster_sim         that one life alone; SIM_TRACE=1 tells what happens in it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster_sim.h"
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { HOURS = 500 };
#else
enum { HOURS = 5000 };
#endif

static int64_t since(const struct world *world, int64_t start)
{
    return (world->now - start) * 1000 / world->knobs.lease;
}

/* Go on until all runs, at most @p leases thousandths of a lease. Returns how long it took, in the
 * same unit. */
static int64_t wait_for_all(struct world *world, int64_t leases, const char *after)
{
    int64_t start = world->now, step = world->knobs.lease / 200;
    const char *why;
    while (!sim_all_run(world, &why)) {
        if (since(world, start) > leases)
            SIM_FAIL(world, "%s: %s after %" PRId64 " thousandths of a lease", after, why,
                     since(world, start));
        sim_run(world, world->now + step);
    }
    return since(world, start);
}

static void mark_alive(const struct world *world, bool *members)
{
    for (int i = 0; i < WORKERS; i++)
        members[i] = world->workers[i].alive && !world->workers[i].leaving;
}

/* How many tasks were stopped in an orderly way must be how many had to be. */
static void check_stops(struct world *world, int before, int needed, const char *after)
{
    int stops = sim_stops(world) - before;
    if (world->knobs.strategy == GT_STRATEGY_INCREMENTAL && !world->knobs.mixed_strategies &&
        stops != needed)
        SIM_FAIL(world, "%s stopped %d tasks, and %d had to move", after, stops, needed);
}

static void rest(struct world *world, int64_t leases)
{
    const char *why;
    int64_t end = world->now + leases * world->knobs.lease / 1000;
    while (world->now < end) {
        sim_run(world, world->now + world->knobs.lease / 4);
        if (!sim_all_run(world, &why))
            SIM_FAIL(world, "at rest: %s", why);
    }
    sim_check_equal(world);
}

static void kill_one(struct world *world)
{
    bool members[WORKERS];
    struct worker *worker = sim_pick(world);
    if (worker == NULL || sim_alive(world) < 2)
        return;
    mark_alive(world, members);
    members[worker->index] = false;
    int needed = sim_moves_needed(world, members), before = sim_stops(world);
    sim_crash(world, worker);
    /* A lease and a quarter and the clocks' 1 %; up to a second for the way, the timers and the
     * next ones in order, in a lease of 6 s. */
    int64_t took = wait_for_all(world, 1250 + 13 + 190, "after a kill");
    if (took > world->tally->worst_kill)
        world->tally->worst_kill = took;
    check_stops(world, before, needed, "a kill");
}

static void join_one(struct world *world)
{
    bool members[WORKERS];
    struct worker *worker = sim_start(world);
    if (worker == NULL)
        return;
    int before = sim_stops(world);
    mark_alive(world, members);
    int needed = sim_moves_needed(world, members);
    (void)wait_for_all(world, 2000, "after a join");
    check_stops(world, before, needed, "a join");
}

static void leave_one(struct world *world)
{
    bool members[WORKERS];
    struct worker *worker = sim_pick(world);
    if (worker == NULL || sim_alive(world) < 2)
        return;
    mark_alive(world, members);
    members[worker->index] = false;
    int needed = sim_moves_needed(world, members), before = sim_stops(world);
    int own = 0;
    for (int i = 0; i < RUNS; i++)
        own += worker->runs[i].state == R_RUNNING ? 1 : 0;
    sim_leave(world, worker);
    int64_t took = wait_for_all(world, 1000 / 6, "after an orderly leave");
    if (took > world->tally->worst_leave)
        world->tally->worst_leave = took;
    check_stops(world, before, needed + own, "a leave");
}

/* One life of a cluster; returns how long it was. */
static int64_t live(uint64_t seed, struct tally *tally)
{
    static const int64_t leases[] = {6000, 6000, 20000, 60000, 60000, 200000};
    static struct world world;
    struct knobs knobs = {.seed = seed};
    uint64_t draw = seed * UINT64_C(0x9e3779b97f4a7c15);
    knobs.lease = leases[(draw >> 20) % 6];
    knobs.stop_when_unreachable = (draw >> 30) % 3 == 0;
    knobs.strategy = (enum gt_cluster_strategy)((draw >> 40) % 8 < 6 ? 0 : (draw >> 40) % 8 - 5);
    knobs.mixed_strategies = (draw >> 50) % 8 == 0;
    knobs.false_refusals = (draw >> 55) % 8 == 0;
    sim_open(&world, &knobs, tally);
    for (uint64_t n = 1 + sim_random(&world, 4); n > 0; n--)
        (void)sim_start(&world);
    sim_run(&world, 2 * knobs.lease);
    for (int i = 0; i < 3; i++)
        sim_config(&world, sim_pick(&world), i, 1 + (int)sim_random(&world, TASKS));

    for (int round = 0; round < 6; round++) {
        world.chaos = true;
        world.fault_at = world.now;
        sim_run(&world, world.now + (10 + (int64_t)sim_random(&world, 40)) * knobs.lease);
        sim_heal(&world);
        if (sim_alive(&world) == 0)
            (void)sim_start(&world);
        sim_run(&world, world.now + knobs.lease); /* what a fault did may show only now */
        (void)wait_for_all(&world, 3000, "after the faults have ended");
        rest(&world, 3000);
        kill_one(&world);
        rest(&world, 1000);
        join_one(&world);
        rest(&world, 1000);
        leave_one(&world);
        rest(&world, 500);
        if (knobs.strategy == GT_STRATEGY_INCREMENTAL && !knobs.mixed_strategies &&
            sim_spread(&world) > 2)
            SIM_FAIL(&world, "not balanced: %d apart", sim_spread(&world));
    }
    int64_t lived = world.now;
    tally->leases += (uint64_t)(lived / knobs.lease);
    sim_close(&world);
    return lived;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : fallback;
}

static void test_no_fault_makes_a_task_run_twice_or_a_commit_be_lost(void **state)
{
    struct tally tally = {0};
    uint64_t hours = setting("SIM_HOURS", HOURS);
    uint64_t first = setting("SIM_SEED", 1), lives = 0;
    double ms = 0;
    clock_t start = clock();
    (void)state;
    do {
        ms += (double)live(first + lives, &tally);
        lives++;
    } while (ms < (double)hours * 3600000 && getenv("SIM_SEED") == NULL);
    printf("%" PRIu64 " lives from seed %" PRIu64 ", %.0f simulated hours (%" PRIu64
           " leases), %.1f s: %" PRIu64 " messages, %" PRIu64 " commits, %" PRIu64
           " starts of tasks\n",
           lives, first, ms / 3600000, tally.leases, (double)(clock() - start) / CLOCKS_PER_SEC,
           tally.messages, tally.commits, tally.starts);
    printf("faults: %" PRIu64 " freezes, %" PRIu64 " cuts, %" PRIu64 " outages, %" PRIu64
           " crashes, %" PRIu64 " clock jumps, %" PRIu64 " sends without an answer; %" PRIu64
           " workers fenced, %" PRIu64 " commits refused\n",
           tally.freezes, tally.cuts, tally.outages, tally.crashes, tally.jumps, tally.repeats,
           tally.fenced, tally.refused);
    printf("%" PRIu64 " joins, %" PRIu64 " leaves, %" PRIu64 " configurations, %" PRIu64
           " snapshots, %" PRIu64
           " read; with a lease of 6 s the slowest take-over took %.1f s, the "
           "slowest leave %.2f s\n",
           tally.joins, tally.leaves, tally.configs, tally.snapshots, tally.snapshot_reads,
           (double)tally.worst_kill * 6 / 1000, (double)tally.worst_leave * 6 / 1000);
    assert_true(tally.commits > 0 && tally.checks > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_fault_makes_a_task_run_twice_or_a_commit_be_lost),
    };
    return cmocka_run_group_tests_name("cluster_sim", tests, NULL, NULL);
}
