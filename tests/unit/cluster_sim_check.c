/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the simulated cluster when it has come to rest. */
#include "cluster_sim.h"

#include <inttypes.h>
#include <stdio.h>

struct look {
    const struct world *world;
    const char *why;
    int loads[WORKERS]; /* by worker */
    int running[WORKERS];
    int total;
};

static int worker_named(const struct world *world, const char *name)
{
    for (int i = 0; i < WORKERS; i++) {
        if (world->workers[i].alive && strcmp(world->workers[i].name, name) == 0)
            return i;
    }
    return -1;
}

static int see_task(void *arg, const struct gt_cluster_task_view *view)
{
    struct look *look = arg;
    int owner = view->owner != NULL ? worker_named(look->world, view->owner) : -1;
    look->total++;
    if (owner < 0) {
        look->why = "a task has no owner that lives";
        return 0;
    }
    look->loads[owner]++;
    if (view->moving) {
        look->why = "a task is moving";
        return 0;
    }
    look->running[owner]++;
    const struct worker *worker = &look->world->workers[owner];
    for (int i = 0; i < RUNS; i++) {
        if (worker->runs[i].state == R_RUNNING && worker->runs[i].epoch == view->epoch)
            return 0;
    }
    look->why = "the owner of a task does not run it";
    return 0;
}

static int see_member(void *arg, const char *name)
{
    struct look *look = arg;
    if (worker_named(look->world, name) < 0)
        look->why = "a member is dead";
    return 0;
}

bool sim_all_run(const struct world *world, const char **ret_why)
{
    struct look look = {.world = world};
    gt_cluster_members(world->reference, see_member, &look);
    gt_cluster_tasks(world->reference, NULL, see_task, &look);
    int runs = 0;
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *worker = &world->workers[i];
        if (!worker->alive)
            continue;
        if (!worker->leaving && !gt_cluster_is_member(worker->state))
            look.why = "a worker is not a member";
        for (int k = 0; k < RUNS; k++)
            runs += worker->runs[k].state != R_NONE ? 1 : 0;
    }
    if (look.why == NULL && sim_alive(world) > 0 && runs != look.total)
        look.why = "more runs than there are tasks";
    if (sim_alive(world) == 0)
        look.why = NULL;
    *ret_why = look.why;
    return look.why == NULL;
}

void sim_check_equal(struct world *world)
{
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *worker = &world->workers[i];
        if (!worker->alive || worker->next_offset != (int64_t)world->count)
            continue;
        world->tally->checks++;
        if (gt_cluster_digest(worker->state) != gt_cluster_digest(world->reference))
            SIM_FAIL(world, "%s has another state than the reader", worker->name);
        if (memcmp(&worker->positions, &world->ledger, sizeof world->ledger) != 0)
            SIM_FAIL(world, "%s has other positions than the reader", worker->name);
    }
}

int sim_stops(const struct world *world)
{
    int stops = 0;
    for (int i = 0; i < WORKERS; i++)
        stops += world->workers[i].stops; /* also of those that have ended */
    return stops;
}

int sim_moves_needed(const struct world *world, const bool *members)
{
    struct look look = {.world = world};
    int count = 0, moves = 0;
    gt_cluster_tasks(world->reference, NULL, see_task, &look);
    for (int i = 0; i < WORKERS; i++)
        count += members[i] ? 1 : 0;
    if (count == 0)
        return 0;
    int each = look.total / count, rest = look.total % count;
    /* The best is to let those keep one more that have more than their even share. */
    for (int i = 0; i < WORKERS; i++) {
        int over = members[i] ? look.running[i] - each : 0;
        if (over > 0 && rest > 0) {
            over--;
            rest--;
        }
        moves += over > 0 ? over : 0;
    }
    return moves;
}

int sim_spread(const struct world *world)
{
    struct look look = {.world = world};
    int least = 1 << 30, most = 0;
    gt_cluster_tasks(world->reference, NULL, see_task, &look);
    for (int i = 0; i < WORKERS; i++) {
        if (!world->workers[i].alive)
            continue;
        least = look.loads[i] < least ? look.loads[i] : least;
        most = look.loads[i] > most ? look.loads[i] : most;
    }
    return most > 0 ? most - least : 0;
}
