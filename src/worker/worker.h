/* SPDX-License-Identifier: Apache-2.0 */
/** A worker: the control loop, its executors, store, topics, connectors and REST listener.
 *  main() opens one, runs it, closes it. See ARCHITECTURE.md. */
#ifndef GT_WORKER_WORKER_H
#define GT_WORKER_WORKER_H

#include "worker/service.h"
#include "worker/settings.h"

/** Open the store (refused with GANTRY_BUSY when another worker has it), recover, start threads and the listener, start
 *  what was configured. Failure leaves nothing behind. Thread: main, which becomes the control thread. */
int gt_worker_open(const struct gt_settings *settings, struct gt_worker **ret, struct gantry_err *err);
/** Run until SIGTERM or SIGINT. 0 after an orderly end, GANTRY_TIMEOUT when shutdown.timeout.ms passed before all
 *  tasks had stopped. */
int gt_worker_run(struct gt_worker *worker, struct gantry_err *err);
void gt_worker_close(struct gt_worker *worker);

#endif
