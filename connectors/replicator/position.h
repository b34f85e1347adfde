/* SPDX-License-Identifier: Apache-2.0 */
/** What the store keeps of a source queue: partition {"brokerName":B,"queueId":N,"topic":T} and
 * position {"nextPosition":N}, the offset of the next message. The Java replicator's partition was
 * the text of B, T and N run together; its positions are read, too. */
#ifndef REP_POSITION_H
#define REP_POSITION_H

#include <gantry/record.h>

enum { REP_POSITION_MAX = 48 };

/** NUL-terminated, to be freed; NULL without memory. Names hold nothing that JSON escapes. */
char *rep_partition(const char *broker, const char *topic, int32_t queue_id);
char *rep_partition_java(const char *broker, const char *topic, int32_t queue_id);
/** The view is in @p buf. */
struct gantry_view rep_position_write(char buf[REP_POSITION_MAX], int64_t offset);
/** 0 or GANTRY_CORRUPT. */
int rep_position_read(struct gantry_view text, int64_t *ret_offset);

#endif
