/* SPDX-License-Identifier: Apache-2.0 */
/* A queue as brokers name it in JSON: {"brokerName":"b","queueId":0,"topic":"t"}. Thread: any. */
#ifndef RMQ_QUEUE_JSON_H
#define RMQ_QUEUE_JSON_H

#include "json.h"

/* Views into the text, as it stands there: names with escapes are none of ours. */
struct rmq_queue_json {
    struct rmq_view topic, broker; /* data NULL: missing */
    int64_t id, offset;            /* -1: missing; offset is a member in some lists only */
};

/* The object that has been entered, to its end. 0 | RMQ_MALFORMED. */
int rmq_queue_json_read(struct rmq_json *json, struct rmq_queue_json *ret);

#endif
