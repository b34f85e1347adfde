/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulated cluster use of each other. */
#ifndef CLUSTER_SIM_INSIDE_H
#define CLUSTER_SIM_INSIDE_H

#include "cluster_sim.h"

#define NEVER INT64_MAX
#define TRACE(world, ...)                                                                          \
    do {                                                                                           \
        if ((world)->trace)                                                                        \
            sim_trace(world, __VA_ARGS__);                                                         \
    } while (0)

extern const char *const sim_names[CONNECTORS];

/* cluster_sim.c */
__attribute__((format(printf, 2, 3))) void sim_trace(const struct world *world, const char *format,
                                                     ...);
bool sim_chance(struct world *world, unsigned percent);
/* Milliseconds that would be low to high with a lease of 6 s. */
int64_t sim_span(struct world *world, int64_t low, int64_t high);
int64_t sim_clock(const struct worker *worker);
void sim_set_timer(struct worker *worker, int timer, int64_t at);
void sim_set_timer_sooner(struct worker *worker, int timer, int64_t at);
int sim_connector(const char *name);
struct gantry_view sim_message_at(const struct world *world, int64_t offset);
void sim_append(struct world *world, const char *bytes, size_t len);

/* cluster_sim_wire.c */
void sim_read_log(struct worker *worker);
void sim_transmit(struct worker *worker);
void sim_send_next(struct worker *worker);
void sim_land_flights(struct world *world);
void sim_check_connection(struct worker *worker);

/* cluster_sim_worker.c */
void sim_settle(struct worker *worker);
void sim_end(struct worker *worker);
void sim_worker_event(struct worker *worker);
void sim_thaw(struct worker *worker);
void sim_write_snapshot(struct worker *worker);

#endif
