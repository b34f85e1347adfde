/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the worker room. Everything here belongs to the control loop: one thread, no locks.
 *
 *    worker.c     opening, running, closing; signals; shutdown
 *    service.c    requests from outside to operations
 *    operation.c  creating and stopping one connector, step by step, one operation a name at a time
 *    shared.c     in a cluster: what it says about connectors and tasks, done here
 *    reset.c      a connector of a cluster is reset from outside
 *    reload.c     looks at the plugin folders, and what follows for connectors
 *    reconfigure.c  connectors that ask to be split again, or cannot go on
 *    watch.c      calls of plugins that do not come back
 *    plugin_list.c  which plugins there are, for `gantry plugin list`
 *    plan.c       what a configuration comes to: class, checked tasks, or why not (on a helper
 * thread) connector.c  a connector that runs: its tasks, their restarts, how it looks in a reply */
#ifndef GT_WORKER_INTERNAL_H
#define GT_WORKER_INTERNAL_H

#include "cluster/cluster.h"
#include "host/host.h"
#include "plugin/config_check.h"
#include "plugin/registry.h"
#include "store/store.h"
#include "task/task.h"
#include "worker/worker.h"

struct connector;

/** One task as planned. In the plan's arena but for props. */
struct plan_task {
    struct gt_props props;       /* owned: as the user wrote it, then what split() set */
    struct gantry_config config; /* checked */
};

/** What a configuration comes to. */
struct plan {
    struct gt_arena arena;
    const struct gt_connector_class *klass; /* held; NULL: nothing has it, or it does not load */
    bool waits; /* klass is NULL because its plugin would have to be loaded, which may block */
    const struct gt_converter *converter;
    struct plan_task *tasks; /* owned */
    size_t task_count;
    bool asked; /* split() was called: what the plugin knew by the connector's name may be gone */
    bool split; /* the plugin knows the connector's name now */
    bool empty; /* in a cluster: there is no work now; one task stands for that */

    /* When it cannot run: */
    enum gt_create_outcome outcome; /* GT_CREATE_OK: it can */
    struct gantry_err err;
    const char *missing_key; /* static, or in the arena */
};

void gt_plan_init(struct plan *plan);
void gt_plan_deinit(struct plan *plan);
/** The plan of a configuration that another worker has checked and split: @p tasks are the tasks'
 * configurations, as JSON. Thread: any; does not block: see `waits`. */
void gt_plan_take(struct plan *plan, struct gt_registry *registry, const struct gt_props *props,
                  const struct gantry_view *tasks, size_t task_count);
/** Plan the same tasks again with the class that there is now. Thread: any; does not block. */
void gt_plan_renew(struct plan *plan, struct gt_registry *registry, const struct gt_props *props);
/** Hold the class that a configuration asks for, as gt_registry_choose() does. */
int gt_plan_class(struct gt_registry *registry, const struct gt_props *props, bool now,
                  const struct gt_connector_class **ret, struct gantry_err *err);
/** Split the work as the class that the plan holds already would now. Thread: any; may block. */
void gt_plan_split(struct plan *plan, const char *name, const struct gt_props *props);
/** Check @p props and split the work. Thread: any; may block in the connector's validate() and
 * split(). */
void gt_plan_make(struct plan *plan, struct gt_registry *registry, const char *name,
                  const struct gt_props *props);
/** The checks that the Java worker of 2019 makes before it answers, in its order. Sets outcome and
 * returns false when one fails; the rest shows as a FAILED task. Thread: any. */
bool gt_plan_check_2019(struct plan *plan, struct gt_registry *registry,
                        const struct gt_props *props);

/** All that happens to one name: the connector that runs under it, and operations that wait for
 * their turn. */
struct slot {
    struct gt_worker *worker;
    char *name;                  /* owned */
    struct connector *connector; /* owned; NULL: none */
    struct operation *head, **tail;
    bool under_way, looping; /* the first operation has begun; they are being begun */
    bool closing;            /* the connector is being closed for good */
    bool split_again;        /* for gt_connector_split_again(), in the same way */
    char *broken;            /* owned; for gt_connector_break(), in the same way; NULL: it is not */
    int64_t split_ns;        /* when that was asked for last, and ... */
    int64_t split_pause_ms;  /* ... the pause before the next time */
    bool look_again;  /* for gt_connector_look_again(), when no operation is under way any more */
    int64_t pause_ms; /* before the next try of a connector that cannot run */
    int64_t tries;
};

struct gt_worker {
    const struct gt_settings *settings;
    char *name;   /* owned: workerId or address@pid */
    char *member; /* owned: address@pid */
    uv_loop_t loop;
    bool loop_open;
    struct gt_mailbox mailbox;
    uv_signal_t signals[3];
    uv_timer_t shutdown_timer;

    struct gt_store *store;
    struct gt_link *link;         /* to RocketMQ, for topics; NULL: the embedded log, and alone */
    struct gt_link *cluster_link; /* for the cluster log: a lease is not renewed behind data */
    struct gt_cluster *cluster;   /* with a link */
    struct stopped_task *stopped_tasks; /* in a cluster: to be told, outside the machine's calls */
    struct gt_mail stopped_mail;
    atomic_llong lease_until_ms; /* in a cluster: for all claims */
    bool cluster_left, cluster_open;
    struct gt_topics *topics;
    struct gt_registry *registry;
    struct gt_hosts *hosts;      /* processes that run plugins */
    pthread_mutex_t wishes_lock; /* guards the next two */
    struct wish *wishes;         /* of connectors, see reconfigure.c */
    bool wishes_open;            /* control still takes mail */
    struct gt_mail wishes_mail;
    struct gt_watch watch; /* see watch.c */
    uv_timer_t watch_timer;
    struct gt_jobs *jobs; /* checks and flushes: what calls plugins beside their tasks */
    struct left *left;    /* owned: what was given up and has not come back ... */
    size_t unnoted;       /* ... and how much more, for which there was no memory */
    struct gt_request *reload_waiting; /* for the scan after the one that is under way */
    bool reloading, reload_again;
    struct gt_executor **executors; /* owned */
    size_t *executor_loads;         /* tasks on each */
    size_t executor_count;
    struct gt_task_env task_env;
    void (*stop_listener)(void *arg);
    void *listener;
    void (*ready)(void *arg); /* NULL: nobody waits, or it was called */
    void *ready_arg;

    struct gt_map slots;          /* name to struct slot */
    struct connector *connectors; /* all that are not freed yet */
    size_t tasks;                 /* that are not freed yet */
    size_t operations;            /* that are not ended yet */
    struct gantry_err failure;    /* why it ends by itself; code 0: it does not */
    int64_t closing_ns;           /* since then: */
    bool closing, listener_stopped, ended, timed_out;
    bool hangup_ends; /* SIGHUP is an end, too, and not a reload */
    uv_work_t listener_stop;
};

/** Close everything that is still open as soon as nothing is under way. */
void gt_worker_look_for_end(struct gt_worker *worker);
/** It can be asked for everything now. */
void gt_worker_ready(struct gt_worker *worker);
/** The worker cannot go on: it ends in an orderly way, and gt_worker_run() gives the error. */
void gt_worker_fail(struct gt_worker *worker, const struct gantry_err *err);
/** The least busy executor: sources look from the first one on, sinks from the last, so that a pair
 * runs side by side. */
size_t gt_worker_place(struct gt_worker *worker, enum gantry_kind kind);

/** The link to the servers that the settings name. */
int gt_worker_open_link(const struct gt_settings *settings, const char *client_id,
                        struct gt_link **ret, struct gantry_err *err);

/* --- operation.c */

/** A caller's create or stop, or one of the worker's own. */
struct operation;

/** Create (or replace) the connector that the request names. */
void gt_operation_create(struct gt_worker *worker, struct gt_request *request);
/** Stop one connector; @p done (may be NULL) is called with @p arg at the end. */
void gt_operation_stop(struct gt_worker *worker, const char *name,
                       void (*done)(void *arg, const struct gantry_err *err), void *arg);
/** Start what the store holds, at boot or again after its check failed. Takes @p props (emptied).
 */
void gt_operation_start(struct gt_worker *worker, const char *name, struct gt_props *props,
                        int64_t updated_ms);
/** In a cluster: check and split a connector's configuration again, and have all take it. */
void gt_operation_again(struct gt_worker *worker, const char *name, const struct gt_props *props);
/** Have the connector live in its plugin: split its work once more, and compare. */
void gt_operation_hold(struct gt_worker *worker, const char *name);
/** The worker is closing: operations that wait for something that may not come end now. */
void gt_operations_close(struct gt_worker *worker);

/** Show a connector that the store holds and that is about to start: its configuration, no tasks
 * yet. 1, 0 when there is none, or GANTRY_NO_MEMORY. */
int gt_operation_show(const struct slot *slot, struct gt_connector_view *view);

struct slot *gt_slot_find(struct gt_worker *worker, const char *name);
/** The slot, made when there is none; gt_slot_release() forgets it again if nothing is in it. NULL
 * without memory. */
struct slot *gt_slot_get(struct gt_worker *worker, const char *name);
void gt_slot_release(struct slot *slot);
/** The cluster has taken (or removed) the configuration of this name: an operation that waits for
 * it goes on. */
void gt_operation_confirmed(struct slot *slot, int64_t updated_ms, bool removed);
/** This configuration is about to take the place of the slot's connector: see
 * gt_connector_replaced(). */
void gt_operation_replaces(struct slot *slot, int64_t updated_ms);
/** Whether this configuration was split here, by an operation that waits for the cluster. */
bool gt_operation_split_here(const struct slot *slot, int64_t updated_ms);
/** Whether an operation that waits for the cluster has split another configuration of the slot's
 * connector here, in the same plugin. */
bool gt_operation_follows(const struct slot *slot);
/** States of tasks in the cluster have changed. */
void gt_operations_look(struct gt_worker *worker);

/* --- shared.c */

/** Join the cluster that the settings name. The link, the store and the loop are open. */
int gt_shared_open(struct gt_worker *worker, struct gantry_err *err);
/** The worker ends: leave, then close. Calls gt_worker_look_for_end at the end of each. */
void gt_shared_leave(struct gt_worker *worker);
void gt_shared_close(struct gt_worker *worker);
/** A task that the cluster had started here stands still. */
void gt_shared_stopped(struct gt_worker *worker, const char *connector, uint32_t task,
                       uint64_t epoch);
/** Whether all tasks of the connector run, wherever; if not, *ret_reason (may be NULL) is why, to
 * be freed, or NULL. */
bool gt_shared_running(struct gt_worker *worker, const char *connector, char **ret_reason);
/** Why this worker cannot know of anything now, to be freed; NULL: it can. */
char *gt_shared_trouble(struct gt_worker *worker);
/** Whether no worker runs anything of the connector, which is not configured any more. */
bool gt_shared_gone(struct gt_worker *worker, const char *connector);
/** Whether nothing changes any more by itself soon: all run, or one has FAILED or is PAUSED. */
bool gt_shared_settled(struct gt_worker *worker, const char *connector);

/* --- reload.c */

/** Before the first connector: where plugin files are, and a first look. A broken file is no error.
 * May block. */
int gt_worker_open_files(struct gt_worker *worker, struct gantry_err *err);
/** Take up what has changed in the plugin folders, then answer (@p request may be NULL). */
void gt_worker_reload(struct gt_worker *worker, struct gt_request *request);
/** Load what a connector of a cluster waits for, then let it look again. */
void gt_worker_load_class(struct gt_worker *worker, const char *name, const struct gt_props *props);

/* --- watch.c */

/** A call that was given up. */
struct left;

int gt_worker_open_watch(struct gt_worker *worker, struct gantry_err *err);
/** The worker is closing: look, and sooner than before. */
void gt_worker_watch_end(struct gt_worker *worker);
/** Note it; @p task: -1 for a check. @p own: taken, closed with it; may be NULL. NULL without
 * memory: all is leaked then. */
struct left *gt_left_add(struct gt_worker *worker, const char *name, int64_t task,
                         struct gt_executor *own);
/** It has come back. */
void gt_left_remove(struct left *left);
/** Whether something of that name (@p task: -1: anything) has not come back, or too much has not:
 * then nothing of it may start, for the reason in @p err. */
bool gt_left_find(const struct gt_worker *worker, const char *name, int64_t task,
                  struct gantry_err *err);

/* --- reconfigure.c */

/** Take wishes from now on; until the second call. */
void gt_worker_open_wishes(struct gt_worker *worker);
void gt_worker_close_wishes(struct gt_worker *worker);
/** A gt_reconfigure_fn and a gt_registry_reconfigure_fn; @p worker is the struct gt_worker. Thread:
 * any. */
void gt_worker_wish(void *worker, const char *connector, const char *reason);

/* --- connector.c */

/** In a cluster: the connector itself lives here or not, as an object of its plugin. The owner of
 * its first task has it. */
bool gt_connector_holds(const struct connector *connector);
void gt_connector_set_holds(struct connector *connector, bool holds);
/** In a cluster: it was split here; let go of it if that is not ours to keep. */
void gt_connector_look_at_hold(struct connector *connector);
/** It was split again, to live here: what came of it. */
void gt_connector_was_held(struct connector *connector, const struct plan *plan);
/** Whether a plan's class is of the same open plugin. */
bool gt_connector_is_of(const struct connector *connector, const struct plan *plan);
const struct gt_connector_class *gt_connector_class_of(const struct connector *connector);
/** Split its work again, and start what comes of it: now, when no operation is under way, or after
 * a pause when it was asked for not long ago. */
void gt_connector_split_again(struct connector *connector);
/** It cannot go on: its tasks have FAILED for that reason, and start again after a pause. */
void gt_connector_break(struct connector *connector, const char *reason);
/** It is about to be closed because this plan takes its place: what its plugin knows by its name is
 * the new one's, if that is of the same plugin. */
void gt_connector_replaced(struct connector *connector, const struct plan *plan);

/** Make a connector and start its tasks; a plan that cannot run becomes one FAILED task. Takes @p
 * plan and @p props (both are emptied). NULL without memory. */
struct connector *gt_connector_open(struct gt_worker *worker, struct slot *slot,
                                    struct gt_props *props, int64_t updated_ms, struct plan *plan);
/** In a cluster: make a connector whose tasks are started one by one. Takes @p plan and @p props.
 */
struct connector *gt_connector_open_shared(struct gt_worker *worker, struct slot *slot,
                                           struct gt_props *props, int64_t updated_ms,
                                           struct plan *plan);
void gt_connector_task_start(struct connector *connector, uint32_t task, uint64_t epoch);
/** False: it has no such task in that epoch. */
bool gt_connector_task_stop(struct connector *connector, uint32_t task, uint64_t epoch);
/** Stop its tasks; @p stopped is called once it is gone and freed, perhaps at once. */
void gt_connector_close(struct connector *connector, void (*stopped)(void *arg), void *arg);
/** gt_executor_look() at tasks that have a thread of their own, also of connectors that are
 * closing. */
bool gt_connectors_watch(struct gt_worker *worker, int most);
/** Have @p settled called once, when every task is RUNNING or one has FAILED or is PAUSED. NULL: no
 * longer. */
void gt_connector_await(struct connector *connector, void (*settled)(void *arg), void *arg);
/** Plugins have changed, or one was loaded: a connector whose class was not there, or whose FAILED
 * tasks have an old one, starts with what there is now. */
void gt_connector_look_again(struct connector *connector);
/** In a cluster: the plugin that it waits for cannot be loaded. */
void gt_connector_class_failed(struct connector *connector, const struct gantry_err *err);
const struct gt_props *gt_connector_props(const struct connector *connector);
/** The status of a task that runs here in that epoch; false: none does. */
bool gt_connector_task_status(const struct connector *connector, uint32_t task, uint64_t epoch,
                              struct gt_task_status *ret);
bool gt_connector_running(const struct connector *connector);
/** Fill a view that has a configuration and no tasks. 0 or GANTRY_NO_MEMORY. */
int gt_config_show(const struct gt_connector_class *klass, const char *name,
                   const struct gt_props *props, int64_t updated_ms,
                   struct gt_connector_view *view);
/** Why it does not run, as the first task that has a reason gives it. To be freed by the caller;
 * NULL: none is known. */
char *gt_connector_reason(const struct connector *connector);
/** Fill @p view for a reply; own_tasks: only those that this worker runs. 0 or GANTRY_NO_MEMORY. */
int gt_connector_show(const struct connector *connector, bool own_tasks,
                      struct gt_connector_view *view);

#endif
