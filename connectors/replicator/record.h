/* SPDX-License-Identifier: Apache-2.0 */
/** From a message of the source to a record. Its body is the value byte for byte, KEYS the key,
 * other properties are headers under their names, but for what RocketMQ or another worker says
 * about one particular stored message. */
#ifndef REP_RECORD_H
#define REP_RECORD_H

#include <gantry/record.h>
#include <rocketmq/message.h>

#define REP_ORIGIN "gantry.origin"

struct rep_schemas {
    const struct gantry_schema *text, *bytes;
};

/** Add the message to @p batch. @p origin: CLUSTER/BROKER/TOPIC/QUEUE/, or NULL for no such header;
 * @p avoid: a message that has been through this cluster is left out, NULL: none. @p scratch is for
 * bodies that are compressed. 1 added | 0 left out | GANTRY_NO_MEMORY, GANTRY_CORRUPT,
 * GANTRY_UNSUPPORTED. Views are those of the message, or in the batch. Thread: the task's. */
int rep_record_add(struct gantry_batch *batch, struct rmq_message *message,
                   const struct rep_schemas *schemas, const char *origin, const char *avoid,
                   struct rmq_buf *scratch, struct gantry_record **ret, struct gantry_err *err);

/** Whether the bytes are UTF-8. */
bool rep_is_text(struct gantry_view bytes);
/** Whether a message's origin (the header's value) names the cluster. */
bool rep_origin_names(struct rmq_view origin, const char *cluster);

#endif
