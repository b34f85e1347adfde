/* SPDX-License-Identifier: Apache-2.0 */
/** A link to RocketMQ: one thread with a libuv loop and a client. A worker has two: one for topics,
 * one for the cluster log and membership.
 *
 *  All that speaks to brokers and name servers runs on one of them: others send it mail, and it
 * answers by mail to whom it concerns. So a lease is renewed beside the data, not behind it, and
 * heartbeats of a group come from one place. */
#ifndef GT_BROKER_LINK_H
#define GT_BROKER_LINK_H

#include "base/mailbox.h"
#include <gantry/error.h>
#include <rocketmq/client.h>

struct gt_link;

struct gt_link_settings {
    const char *name_servers; /* host:port;host:port */
    const char *client_id;    /* address@pid, as the members of the worker group are shown */
    bool tls;                 /* with what follows; NULL: not used */
    const char *tls_ca, *tls_cert, *tls_key, *tls_key_password;
    bool tls_verify_host;
    const char *access_key, *secret_key; /* NULL: none */
};

/** Start the thread; nothing connects yet. 0, GANTRY_INVALID (an address or a TLS file),
 * GANTRY_NO_MEMORY. Thread: any. */
int gt_link_open(const struct gt_link_settings *settings, struct gt_link **ret,
                 struct gantry_err *err);
/** Close the client and end the thread. All that uses the client must be closed before. Blocks.
 * NULL is fine. */
void gt_link_close(struct gt_link *link);
/** Have @p mail run on the link's thread. Thread: any. */
bool gt_link_send(struct gt_link *link, struct gt_mail *mail);
/** Thread: the link's. */
struct rmq_client *gt_link_client(struct gt_link *link);

/** An error of the library as one of ours: what is worth another try is GANTRY_AGAIN. */
int gt_link_error(int rmq_code, const struct rmq_err *from, struct gantry_err *err);

#endif
