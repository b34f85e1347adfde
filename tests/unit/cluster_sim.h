/* SPDX-License-Identifier: Apache-2.0 */
/* A whole cluster in virtual time: up to seven workers, each a real state machine with a model of
 * what surrounds it (outbox, connection, tasks that commit), on one log that can fail. One thread,
 * one seed, one outcome. Times are whole milliseconds of the world; each worker has a clock of its
 * own. */
#ifndef CLUSTER_SIM_H
#define CLUSTER_SIM_H

#include "cluster/state.h"

enum { WORKERS = 7, CONNECTORS = 5, TASKS = 6, RUNS = 96, FLIGHTS = 96 };

/* What of a worker happens when: its timers. */
enum { T_TICK, T_READ, T_ACK, T_RETRY, T_CHECK, T_TASKS, T_REJOIN, T_COUNT };

enum run_state {
    R_NONE,
    R_RUNNING,
    R_STOPPING,
    R_DYING /* fenced, until it really stands still */
};

/* One task on one worker. */
struct run {
    enum run_state state;
    int connector;
    uint32_t task;
    uint64_t epoch;
    uint32_t generation; /* of the configuration */
    int64_t position;
    int64_t commit_at; /* when it commits next, or when it stands still */
    uint64_t last_own; /* its last commit */
    bool committed;    /* that has come back */
};

struct positions {
    int64_t at[CONNECTORS][TASKS];
};

struct world;

struct worker {
    struct world *world;
    int index;
    bool alive, frozen, leaving, caught_up, fenced;
    bool was_member; /* this incarnation */
    uint64_t life;   /* raised by each start and each rejoin: whose a message under way is */
    struct gt_cluster_state *state;
    struct gt_incarnation incarnation, former;
    char name[32];
    int64_t born, base, ppm;
    int64_t timers[T_COUNT], first_timer;
    int64_t frozen_until, cut_until, cut_since, thawed_at, jumped_at;
    bool cut_in, cut_out;
    enum gt_cluster_reach reach;
    int64_t reign; /* of the broker it is connected to; -1 */
    int64_t next_offset;
    struct gt_buf outbox, under_way;
    uint64_t number; /* of the message under way, or the last one */
    bool busy;       /* a message is under way */
    uint64_t own;
    struct run runs[RUNS];
    struct positions positions;
    uint32_t generation[CONNECTORS];
    int64_t snapshot_x;
    int stops;
};

struct flight {
    bool used;
    int64_t at;
    int worker;
    uint64_t life, number;
    char *bytes;
    size_t len;
};

struct knobs {
    uint64_t seed;
    int64_t lease;
    bool stop_when_unreachable;
    bool mixed_strategies;
    /* Who is cut off is refused (a firewall does that) though the log goes on for the others. With
     * lease.unreachable = continue tasks may then run twice, but nothing may count twice. */
    bool false_refusals;
    enum gt_cluster_strategy strategy;
};

/* What was counted. */
struct tally {
    uint64_t messages, commits, refused, starts, fenced, outages, freezes, cuts, crashes;
    uint64_t leases, joins, leaves, configs, snapshots, snapshot_reads, repeats, jumps, checks;
    int64_t worst_kill, worst_leave; /* thousandths of a lease */
};

struct world {
    struct knobs knobs;
    uint64_t random;
    int64_t now;
    bool chaos;
    struct worker workers[WORKERS];
    struct flight flights[FLIGHTS];
    int64_t first_flight;
    /* the log */
    struct gt_buf log;
    size_t *ends;
    uint64_t *digests; /* 0: not taken */
    size_t count, cap;
    int64_t reign;
    enum { B_UP, B_REFUSING, B_SILENT } broker;
    int64_t broker_until;
    int64_t snapshot; /* offset of the first part of the last whole one; -1 */
    /* what a reader without any delay makes of it */
    struct gt_cluster_state *reference;
    struct positions ledger;
    uint64_t epochs[CONNECTORS][TASKS];
    uint32_t generation; /* the last one given to a configuration */
    uint32_t incarnations;
    uint64_t lives;
    struct tally *tally;
    int64_t fault_at;
    bool trace; /* SIM_TRACE: tell what happens */
};

/* Fails the test with seed and time. */
#define SIM_FAIL(world, ...) sim_fail(world, __FILE__, __LINE__, __VA_ARGS__)
__attribute__((noreturn, format(printf, 4, 5))) void
sim_fail(const struct world *world, const char *file, int line, const char *format, ...);

void sim_open(struct world *world, const struct knobs *knobs, struct tally *tally);
void sim_close(struct world *world);
/* Let time go on to @p until, with faults while world->chaos. */
void sim_run(struct world *world, int64_t until);
/* End all faults. */
void sim_heal(struct world *world);

uint64_t sim_random(struct world *world, uint64_t below);
int sim_alive(const struct world *world);
struct worker *sim_start(struct world *world); /* a new one; NULL: no room */
struct worker *sim_pick(struct world *world);  /* an alive one that is not leaving; NULL */
void sim_crash(struct world *world, struct worker *worker);
void sim_leave(struct world *world, struct worker *worker);
void sim_config(struct world *world, struct worker *worker, int connector, int tasks);
void sim_delete(struct world *world, struct worker *worker, int connector); /* -1: all */
/* Whether every task of every connector runs, each on one worker that is a member. */
bool sim_all_run(const struct world *world, const char **ret_why);
/* Whether what each has applied is equal, positions and all. Fails otherwise. */
void sim_check_equal(struct world *world);
/* Orderly stops so far on all workers. */
int sim_stops(const struct world *world);
/* How many tasks of @p world a rebalance of the incremental strategy among @p members (index; 0:
 * absent) has to stop; spread of their numbers of tasks. */
int sim_moves_needed(const struct world *world, const bool *members);
int sim_spread(const struct world *world);

#endif
