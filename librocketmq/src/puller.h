/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer does with its pullers and others have no use for. Thread: the loop's. */
#ifndef RMQ_PULLER_H
#define RMQ_PULLER_H

#include <rocketmq/consumer.h>

/* Read there: what was pulled is dropped, and next says RMQ_MOVED first. Does not call ready.
 * false: no such offset can be. */
bool rmq_puller_reset(struct rmq_puller *puller, int64_t offset);

#endif
