/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of brokers, and who of this process serves them. Thread: the client's loop. */
#ifndef RMQ_REQUESTS_H
#define RMQ_REQUESTS_H

#include <rocketmq/client.h>
#include "queue_json.h"

/* What a consumer does for its group; both may be NULL. */
struct rmq_group_service {
    /* An admin has set the group's offsets of these queues; topic and broker of each are set, id
     * and offset 0 or more. May close the client. */
    void (*reset)(void *arg, struct rmq_view topic, const struct rmq_queue_json *queues,
                  size_t count);
    /* Append the consumer's state, as JSON, for an admin to look at. 0 | as rmq_buf. */
    int (*describe)(void *arg, struct rmq_buf *buf);
    void *arg;
};

/* From now until the membership is closed. */
void rmq_membership_serve(struct rmq_membership *membership,
                          const struct rmq_group_service *service);
/* Of a group that this client is a consumer of; NULL: of none. */
const struct rmq_group_service *rmq_membership_service(const struct rmq_client *client,
                                                       struct rmq_view group);
/* Returns the reply's code, and its body in buf. May close the client. */
int32_t rmq_client_serve(struct rmq_client *client, const struct rmq_command *request,
                         struct rmq_buf *buf);

#endif
