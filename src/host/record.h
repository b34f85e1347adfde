/* SPDX-License-Identifier: Apache-2.0 */
/** Records and schemas on the line. Both ends use this. Thread: one at a time. */
#ifndef GT_HOST_RECORD_H
#define GT_HOST_RECORD_H

#include "host/frame.h"

enum { GT_SCHEMA_NUMBERS = 256 }; /* a sender gives numbers below this, again and again */

/** The schemas that a channel has sent. Zeroed is empty. A number is given anew, to the next schema
 * that has none, once all are taken; but never one that the same frame uses already. */
struct gt_schemas_out {
    struct gt_schema_sent {
        char *encoded; /* owned; NULL: free */
        size_t len;
        uint64_t hash, frame;
    } sent[GT_SCHEMA_NUMBERS];
    uint32_t next;
    uint64_t frame; /* the present one */
};

void gt_schemas_out_deinit(struct gt_schemas_out *schemas);

/** Encode leading records as one array, as many as one frame may hold and the schemas allow: at
 * least one. Frames that tell of new schemas are added to @p before. *ret_credit is what the
 * records count. @p topics false: the frame says their topic. @p schemas may be NULL where no
 * record has one. Returns how many, or a negative
 * error: GANTRY_NO_MEMORY, or @p buf's. */
int gt_records_put(struct gt_buf *buf, struct gt_schemas_out *schemas, uint32_t channel,
                   const struct gantry_record *records, size_t count, bool topics,
                   struct gt_frames *before, int64_t *ret_credit);

/** The schemas that a channel has heard of. Zeroed is empty. */
struct gt_schemas_in {
    struct gantry_schema **known; /* owned; by number, NULL: never heard of */
    uint32_t count;
    struct gantry_schema **old; /* owned: replaced, records may still point to them */
    size_t old_count;
    size_t bytes, old_bytes; /* that all of them take, and the replaced ones */
};

void gt_schemas_in_deinit(struct gt_schemas_in *schemas);
/** No record points to a schema that was replaced any more. */
void gt_schemas_in_forget(struct gt_schemas_in *schemas);
/** Take a SCHEMA frame whose head was read. 0, GANTRY_INVALID: it is malformed, or they take more
 * than 64 MiB; GANTRY_NO_MEMORY. */
int gt_schemas_in_add(struct gt_schemas_in *schemas, struct gt_frame_head *head,
                      struct gantry_err *err);

/** How records are read: what needs memory of its own comes from alloc(). */
struct gt_record_reader {
    const struct gt_schemas_in *schemas;
    void *(*alloc)(void *arg, size_t size); /* NULL without memory */
    void *arg;
    const char *topic; /* the last one that was copied */
    size_t topic_len;
    int64_t credit; /* what the records that were read count */
};

/** Read the next record; key and value point into the frame. 0, GANTRY_INVALID, GANTRY_NO_MEMORY.
 */
int gt_record_read(struct gt_mp *mp, struct gt_record_reader *reader, struct gantry_record *ret);

#endif
