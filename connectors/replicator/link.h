/* SPDX-License-Identifier: Apache-2.0 */
/** The plugin's one thread: a libuv loop with a RocketMQ client for each cluster that tasks speak
 * to. Tasks send it mail; it answers through their hand-over (feed.h). Started with the first task,
 * ended with the plugin. */
#ifndef REP_LINK_H
#define REP_LINK_H

#include "settings.h"
#include <gantry/connector.h>
#include <rocketmq/client.h>

struct rep_link;

/** Something to run on the thread. Embed it zeroed with @p run set. */
struct rep_mail {
    struct rep_mail *next;
    void (*run)(struct rep_mail *mail);
    bool sent; /* and not yet run; the link's */
};

int rep_link_new(const struct gantry_runtime *runtime, struct rep_link **ret,
                 struct gantry_err *err);
/** All tasks have closed their halves. Waits for the thread. NULL is fine. */
void rep_link_free(struct rep_link *link);
/** Start the thread unless it runs. 0, GANTRY_NO_MEMORY. Thread: any. */
int rep_link_start(struct rep_link *link, struct gantry_err *err);
/** Run @p mail on the thread, which was started. One that waits already runs once. Thread: any. */
void rep_link_send(struct rep_link *link, struct rep_mail *mail);

/* --- on the thread --- */

uv_loop_t *rep_link_loop(struct rep_link *link);

/** A client, shared by all that give the same endpoint. */
struct rep_cluster {
    struct rep_cluster *next;
    struct rep_link *link;
    size_t refs;
    char *identity; /* owned */
    struct rmq_client *client;
};

/** Nothing connects yet. 0, GANTRY_INVALID (an address, a TLS file), GANTRY_NO_MEMORY. */
int rep_cluster_get(struct rep_link *link, const struct rep_endpoint *endpoint,
                    struct rep_cluster **ret, struct gantry_err *err);
/** Whoever was the last closes the client: requests under way end with RMQ_CLOSED. NULL is fine. */
void rep_cluster_put(struct rep_cluster *cluster);
/** Whether addresses and TLS files are fine, asking nobody. May block. Thread: any. */
int rep_endpoint_check(const struct rep_endpoint *endpoint, struct gantry_err *err);
/** An error of the library as one of ours. */
int rep_error_code(int rmq_code);

#endif
