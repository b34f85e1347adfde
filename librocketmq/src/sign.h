/* SPDX-License-Identifier: Apache-2.0 */
/* Request signing: the fields AccessKey, SecurityToken and Signature. */
#ifndef RMQ_SIGN_H
#define RMQ_SIGN_H

#include <rocketmq/client.h>

struct rmq_signer;

/* Copies the credentials. RMQ_INVALID: a key is missing. */
int rmq_signer_new(const struct rmq_credentials *credentials, struct rmq_signer **ret,
                   struct rmq_err *err);
void rmq_signer_free(struct rmq_signer *signer);
/* Add the fields to a request that is otherwise complete. The views point into the signer and hold
 * until the next call with it. 0 | RMQ_INVALID no room for three fields | RMQ_NO_MEMORY. Thread:
 * one at a time. */
int rmq_sign(struct rmq_signer *signer, struct rmq_command *request, struct rmq_err *err);

#endif
