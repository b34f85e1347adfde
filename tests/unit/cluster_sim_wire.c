/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated cluster: how a worker reads, sends, and learns of its connection. */
#include "cluster_sim_inside.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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
        gt_cluster_snapshot_part(sim_message_at(worker->world, offset), &part, &err) != 0 ||
        part.offset != worker->snapshot_x ||
        memcmp(part.incarnation.bytes, worker->incarnation.bytes, 16) != 0)
        return;
    if (part.part == 0 && part.count == 1) {
        worker->world->snapshot = offset;
        worker->world->tally->snapshots++;
        worker->snapshot_x = -1;
    }
}

void sim_read_log(struct worker *worker)
{
    struct world *world = worker->world;
    sim_set_timer(worker, T_READ, NEVER);
    if (worker->reach != GT_REACH_OK || worker->reign != world->reign)
        return; /* begins again when the connection does */
    if (!can_reach(worker) || worker->cut_in) {
        sim_set_timer(worker, T_READ,
                      world->now + sim_span(world, 100, 200)); /* the answer is late */
        return;
    }
    for (uint64_t n = 1 + sim_random(world, 8);
         n > 0 && worker->next_offset < (int64_t)world->count; n--) {
        struct gantry_err err;
        int64_t offset = worker->next_offset++;
        if (gt_cluster_message(worker->state, offset, sim_message_at(world, offset),
                               sim_clock(worker), &err) != 0)
            SIM_FAIL(world, "a message is not understood: %s", err.text);
        if (world->digests[offset] != 0 &&
            gt_cluster_digest(worker->state) != world->digests[offset])
            SIM_FAIL(world, "%s has another state than others at offset %" PRId64, worker->name,
                     offset);
        note_snapshot(worker, offset);
    }
    if (worker->next_offset < (int64_t)world->count) {
        sim_set_timer_sooner(worker, T_READ, world->now + (worker->caught_up ? 1 : 0));
    } else if (!worker->caught_up) {
        worker->caught_up = true;
        gt_cluster_join(worker->state, sim_clock(worker));
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

void sim_transmit(struct worker *worker)
{
    struct world *world = worker->world;
    uint64_t fate = world->chaos ? sim_random(world, 100) : 99;
    sim_set_timer(worker, T_RETRY, world->now + sim_span(world, 900, 1200));
    if (!can_reach(worker) || worker->cut_out || fate < 3)
        return;
    if (fate < 6)
        launch(worker, sim_span(world, 100, 60000));
    else
        launch(worker, sim_span(world, 1, 20));
    if (fate >= 6 && fate < 9)
        launch(worker, sim_span(world, 1, 60000));
}

void sim_send_next(struct worker *worker)
{
    if (!worker->alive || worker->frozen || worker->busy || worker->outbox.len == 0 ||
        worker->fenced || worker->reach != GT_REACH_OK)
        return;
    gt_cluster_sent(worker->state, worker->number + 1, sim_clock(worker));
    if (worker->fenced)
        return; /* the lease was over: what was to be sent is gone */
    gt_buf_clear(&worker->under_way);
    gt_cluster_message_write(&worker->under_way, &worker->incarnation, ++worker->number,
                             gt_buf_view(&worker->outbox));
    gt_buf_clear(&worker->outbox);
    if (worker->under_way.error != 0)
        abort();
    worker->busy = true;
    sim_transmit(worker);
}

static void land(struct world *world, struct flight *flight)
{
    struct worker *worker = &world->workers[flight->worker];
    if (world->broker != B_UP) {
        if (world->broker == B_REFUSING && sim_chance(world, 50)) {
            free(flight->bytes);
            flight->used = false;
        } else {
            flight->at = world->broker_until + sim_span(world, 1, 500); /* it waits on the way */
        }
        return;
    }
    sim_append(world, flight->bytes, flight->len);
    free(flight->bytes);
    flight->used = false;
    if (worker->alive && worker->life == flight->life && worker->busy &&
        worker->number == flight->number && !worker->cut_in &&
        !(world->chaos && sim_chance(world, 3)))
        sim_set_timer_sooner(worker, T_ACK, world->now + sim_span(world, 1, 20));
    else
        world->tally->repeats++;
}

void sim_land_flights(struct world *world)
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
    gt_cluster_reach(worker->state, reach, sim_clock(worker));
}

void sim_check_connection(struct worker *worker)
{
    struct world *world = worker->world;
    bool cut = worker->cut_in || worker->cut_out;
    sim_set_timer(worker, T_CHECK, world->now + sim_span(world, 200, 450));
    if (worker->reign != world->reign && worker->reign >= 0) {
        worker->reign = -1; /* the connection broke with the broker */
        report(worker, GT_REACH_LOST);
        if (sim_chance(world, 50))
            return;
    }
    if (cut && world->knobs.false_refusals) {
        report(worker, GT_REACH_REFUSED);
    } else if (cut) {
        if (worker->reach == GT_REACH_OK && world->now - worker->cut_since > world->knobs.lease / 6)
            report(worker, GT_REACH_LOST);
    } else if (world->broker == B_REFUSING) {
        worker->reign = -1;
        report(worker, GT_REACH_REFUSED);
    } else if (world->broker == B_SILENT) {
        if (worker->reach == GT_REACH_OK && sim_chance(world, 30))
            report(worker, GT_REACH_LOST);
    } else if (worker->reign < 0 || worker->reach != GT_REACH_OK) {
        worker->reign = world->reign;
        report(worker, GT_REACH_OK);
        sim_set_timer_sooner(worker, T_READ, world->now + sim_span(world, 1, 20));
    }
}
