/* SPDX-License-Identifier: Apache-2.0 */
/** What is said about a message in RocketMQ, to bytes and back: docs/internals/rocketmq-topic.md.
 * No I/O. Thread: any. */
#ifndef GT_TOPIC_ROCKETMQ_WIRE_H
#define GT_TOPIC_ROCKETMQ_WIRE_H

#include "base/buf.h"
#include "convert/converter.h"
#include <rocketmq/message.h>

#define GT_RQ_ID    "gantry-id"
#define GT_RQ_BATCH "gantry-batch"
#define GT_RQ_TAIL  "gantry-tail"
#define GT_RQ_KEY   "gantry-key"
#define GT_RQ_MORE  "gantry-headers"
#define GT_RQ_TIME  "connect.timestamp"

enum {
    GT_RQ_NOTE_MAX = 16 << 10,   /* bytes of a note before base64, where there is so much room;
                                    more: another batch */
    GT_RQ_RECORDS_MAX = 1 << 20, /* of a batch, as a reader believes it */
};

/** XXH3-128 of a partition or a position: only equality matters. */
struct gt_rq_hash {
    uint64_t high, low;
};

struct gt_rq_hash gt_rq_hash_of(struct gantry_view bytes);

static inline bool gt_rq_hash_equal(struct gt_rq_hash a, struct gt_rq_hash b)
{
    return a.high == b.high && a.low == b.low;
}

/** Which message of which task it is. */
struct gt_rq_id {
    uint64_t epoch, seq;
    uint32_t check; /* of what the record says: gt_rq_check_of */
    uint32_t task;
    struct gantry_view connector; /* "CLUSTER.CONNECTOR": others may have one of the same name */
};

/** "EPOCH.SEQ.CHECK.TASK.CLUSTER.CONNECTOR", CHECK in hexadecimal digits; false: it is none. */
bool gt_rq_id_read(struct gantry_view text, struct gt_rq_id *ret);

/** A mark: the records between the one before it and `covers` are those between two positions of
 * its partition. */
struct gt_rq_mark {
    uint32_t covers;
    bool whole; /* partition and position are there; else they were too large: hashes only */
    struct gt_rq_hash partition_hash, before, after;
    struct gantry_view partition, position; /* position: after it */
};

/** A row of batches that the writer has left out whole: no note of theirs is there. */
struct gt_rq_lead {
    struct gt_rq_hash partition, before, after;
    uint32_t count; /* records between the two positions */
};

/** A batch: records with consecutive SEQs, and their marks. */
struct gt_rq_note {
    uint64_t first_seq;
    uint32_t count;
    uint32_t mark_count;
    struct gt_rq_mark *marks;
    uint32_t lead_count;
    struct gt_rq_lead *leads; /* of partitions of marks: what leads up to the first one of each */
};

/** Append the note as text (base64). Errors stick in @p buf. */
void gt_rq_note_write(struct gt_buf *buf, const struct gt_rq_note *note);
/** Bytes of a mark in a note, about; a mark alone that takes more than the maximum is not whole. */
size_t gt_rq_mark_size(const struct gt_rq_mark *mark);
/** Bytes of a note before base64 that fit beside the message's own properties, at most
 * GT_RQ_NOTE_MAX. 0: at most that of one mark that is not whole. */
size_t gt_rq_note_room(const struct gt_message *message);
/** Marks and their texts are in @p arena. 0, GANTRY_CORRUPT, GANTRY_NO_MEMORY. */
int gt_rq_note_read(struct gantry_view text, struct gt_arena *arena, struct gt_rq_note *ret);

/** What stays the same for all messages of a writer. */
struct gt_rq_stamp {
    struct gantry_view before; /* "gantry-id" U+0001 "EPOCH." */
    struct gantry_view after;  /* ".TASK.CLUSTER.CONNECTOR" U+0002 */
    bool headers_as_is;        /* headers keep their names */
};

/** A hash of key and value as the source gave them: what is polled again has the same, whatever a
 * converter adds. */
uint32_t gt_rq_check_of(struct gantry_view key, struct gantry_view value);

/** Append a message to a batch frame. @p has_time: its time is its own and is kept; @p note: text,
 * or empty. @p scratch is used. 0, GANTRY_TOO_LARGE (what is too large in @p err),
 * GANTRY_NO_MEMORY. */
int gt_rq_encode(struct rmq_buf *frame, const struct gt_message *message, bool has_time,
                 const struct gt_rq_stamp *stamp, uint64_t seq, uint32_t check,
                 struct gantry_view note, struct gt_buf *scratch, struct gantry_err *err);
/** What a stored message says of itself. Views into it. */
struct gt_rq_seen {
    bool ours; /* it has an id */
    struct gt_rq_id id;
    struct gantry_view note; /* text; empty: none */
    int64_t tail;            /* -1: none */
};

/** Only what it says of itself: cheap. */
void gt_rq_look(struct rmq_view properties, struct gt_rq_seen *ret);
/** The message: views into the stored one or @p arena; compressed bodies are inflated into it. 0,
 * GANTRY_CORRUPT (reason in @p err), GANTRY_NO_MEMORY. */
int gt_rq_decode(const struct rmq_message *stored, struct gt_arena *arena, struct gt_message *ret,
                 struct gantry_err *err);

#endif
