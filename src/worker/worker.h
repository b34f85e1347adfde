/* SPDX-License-Identifier: Apache-2.0 */
/** A worker: the control loop, its executors, store, topics and connectors.
 *  A program opens one, attaches a listener (rest/rest.h), runs it, closes it. See ARCHITECTURE.md.
 */
#ifndef GT_WORKER_WORKER_H
#define GT_WORKER_WORKER_H

#include "worker/service.h"
#include "worker/settings.h"

/** Open the store (refused with GANTRY_BUSY when another worker has it), recover, start threads,
 * and have what was configured started once the worker runs. Failure leaves nothing behind. @p
 * settings stay valid until close. Thread: main, which becomes the control thread. */
int gt_worker_open(const struct gt_settings *settings, struct gt_worker **ret,
                   struct gantry_err *err);
/** The same with these plugins, NULL-terminated, instead of the built-in ones. */
int gt_worker_open_plugins(const struct gt_settings *settings,
                           const struct gantry_plugin *const *plugins, struct gt_worker **ret,
                           struct gantry_err *err);
/** Have @p stop called once, on a helper thread while the control loop still answers, when the
 * worker ends: it returns when no request will be submitted any more. */
void gt_worker_attach(struct gt_worker *worker, void (*stop)(void *arg), void *arg);
/** Have @p ready called once on the control loop: when the worker runs, with a broker when it has
 * joined its cluster. Before run. */
void gt_worker_when_ready(struct gt_worker *worker, void (*ready)(void *arg), void *arg);
/** Have SIGHUP end the worker, as a terminal that is closed should end what was begun on it;
 * without this the plugin folders are looked at again. Before run. */
void gt_worker_end_on_hangup(struct gt_worker *worker);
/** Say `The worker [NAME] boot success.` and run until SIGTERM or SIGINT. 0 after an
 * orderly end, GANTRY_TIMEOUT when shutdown.timeout.ms passed before all tasks had stopped. */
int gt_worker_run(struct gt_worker *worker, struct gantry_err *err);
void gt_worker_close(struct gt_worker *worker);

/** Forget positions and progress of a connector in the cluster that the settings name, as somebody
 * who is no worker; *ret_count says how many entries there were. GANTRY_BUSY: somebody runs it
 * (@p err says who, and what to do); GANTRY_NOT_FOUND: there is no such cluster; GANTRY_TIMEOUT:
 * its log cannot be reached. Thread: main. Blocks, for 30 s at most. */
int gt_cluster_reset_connector(const struct gt_settings *settings, const char *connector,
                               size_t *ret_count, struct gantry_err *err);

#endif
