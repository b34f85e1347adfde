/* SPDX-License-Identifier: Apache-2.0 */
/** What sinks have still to read, as the store knows it at one moment. Thread: the owner's. */
#ifndef GT_UNREAD_H
#define GT_UNREAD_H

#include "base/arena.h"
#include "base/map.h"
#include "store/store.h"

struct gt_unread {
    struct gt_arena arena, values;
    struct gt_map readers; /* connector NUL queue NUL topic: its furthest offset */
    struct gt_map lowest;  /* queue NUL topic: the lowest of these */
    struct gt_map wants;   /* connector: the topics that it names, separated by commas */
};

/** One walk over the sinks' progress and the connectors. 0, or GANTRY_IO, GANTRY_CORRUPT,
 * GANTRY_NO_MEMORY. Needs gt_unread_deinit() in each case. */
int gt_unread_read(struct gt_unread *unread, struct gt_store *store, struct gantry_err *err);
void gt_unread_deinit(struct gt_unread *unread);

/** The offset from which on some sink wants the queue: one that has ever committed progress on it,
 * or a connector whose configuration names the topic and that has not come to commit any, which
 * wants everything. INT64_MAX: none. GANTRY_NO_MEMORY. */
int gt_unread_lowest(const struct gt_unread *unread, const char *topic, uint32_t queue,
                     int64_t *ret);

#endif
