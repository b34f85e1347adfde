/* SPDX-License-Identifier: Apache-2.0 */
/** Proxies: the connectors of a plugin that runs in a host, as the worker calls them. A task's
 * proxy never waits; its frames are read by the task's own thread. */
#ifndef GT_HOST_PROXY_H
#define GT_HOST_PROXY_H

#include "host/internal.h"

/** What tasks of both kinds have; the task's thread's. */
struct gt_proxy {
    struct gt_channel *channel;
    struct gantry_task_context *ctx;
    bool started, stopping;
    size_t turn;               /* what the frames of this turn have cost */
    struct gantry_err failure; /* what the task has failed with; code 0: it has not */
};

extern const struct gantry_connector gt_proxy_source, gt_proxy_sink; /* their callbacks alone */

/** Open the channel of a task. @p credit: what a source may send. */
int gt_proxy_start(struct gt_proxy *proxy, struct gt_host_plugin *plugin,
                   struct gantry_task_context *ctx, int64_t credit, struct gantry_err *err);
/** The callback; *ret_credit is what STARTED gave. */
int gt_proxy_start_done(struct gt_proxy *proxy, int64_t *ret_credit, struct gantry_err *err);
/** The callback. */
int gt_proxy_stop_done(struct gt_proxy *proxy);

/** Before the first gt_proxy_next() of a callback: other tasks get their turn, however much the
 * host says. */
void gt_proxy_turn(struct gt_proxy *proxy);
/** The next frame of the host, with its head read; NULL: none, or none in this turn, and the task
 * is woken again. 0, or what the task has failed with. */
int gt_proxy_next(struct gt_proxy *proxy, struct gt_frame **ret, struct gt_frame_head *head,
                  struct gantry_err *err);
/** Take a frame that tasks of both kinds may get. */
int gt_proxy_frame(struct gt_proxy *proxy, struct gt_frame_head *head, struct gantry_err *err);
/** End and send a frame. 0, or GANTRY_NO_MEMORY, GANTRY_TOO_LARGE. */
int gt_proxy_send(struct gt_proxy *proxy, struct gt_buf *buf, struct gantry_err *err);
/** The host has sent what it must not: it is ended, and the task fails. GANTRY_INVALID. */
int gt_proxy_broken(struct gt_proxy *proxy, const char *what, struct gantry_err *err);

/* Connectors' callbacks that do not depend on the kind. */
void gt_proxy_validate(void *plugin, const char *name, const struct gantry_config *config,
                       struct gantry_findings *findings);
int gt_proxy_split(void *plugin, const char *name, const struct gantry_config *config,
                   uint32_t max_tasks, struct gantry_task_list *list, struct gantry_err *err);
void gt_proxy_release(void *plugin, const char *name);

#endif
