/* SPDX-License-Identifier: Apache-2.0 */
/** Keys and values of the store's tables, to bytes and back. The bytes are drawn in
 * docs/formats/store.md; numbers in keys are big endian so that LMDB's order is ours. Thread: any.
 */
#ifndef GT_STORE_TABLES_H
#define GT_STORE_TABLES_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

#define GT_KEY_MAX 511 /* LMDB's limit */

/** A key under construction. */
struct gt_key {
    char bytes[GT_KEY_MAX];
    size_t len;
};

struct gantry_view gt_key_view(const struct gt_key *key);

/** A topic's settings. */
struct gt_topic_record {
    uint32_t queues;
    int64_t created_ms;
};

/** The committed part of one segment file. */
struct gt_segment_record {
    int64_t base_offset, end_offset;
    int64_t bytes;      /* committed bytes of the file */
    int64_t last_batch; /* where in the file the last committed batch begins; 0: none */
    int64_t first_ms, last_ms;
};

/** A stretch of a segment that was damaged and given up by `gantry topic repair --settle`. */
struct gt_gap_record {
    int64_t base_offset, end_offset; /* messages that are gone */
    int64_t segment;                 /* base offset of the file */
    int64_t from, to;                /* bytes of the file that are passed over */
};

struct gt_queue_offset {
    struct gantry_view topic;
    uint32_t queue;            /* its number there: at the broker */
    int64_t offset;            /* next to be read */
    struct gantry_view broker; /* name; empty: embedded */
    struct gantry_view state;  /* the reader's */
    uint64_t turns; /* how often the connector has gone back: of two tasks' offsets the one
                       with more turns counts, then the larger one */
};

/** Whether a sink that knows of both goes on with @p one. */
static inline bool gt_queue_offset_counts(const struct gt_queue_offset *one, uint64_t turns,
                                          int64_t offset)
{
    return one->turns != turns ? one->turns > turns : one->offset > offset;
}

/** A sink task's progress. */
struct gt_progress_record {
    struct gt_queue_offset *offsets;
    size_t offset_count;
    struct gantry_view state;
};

/** Where a source task's writer stands at brokers: beside the positions. */
struct gt_tails_record {
    uint64_t epoch;                  /* of its messages */
    struct gt_queue_offset *offsets; /* behind the last message that positions cover; no states */
    size_t offset_count;
};

/** topic NUL queue(be32) */
void gt_key_queue(struct gt_key *key, const char *topic, uint32_t queue);
/** topic NUL queue(be32) base(be64): GT_TABLE_SEGMENTS, GT_TABLE_GAPS */
void gt_key_segment(struct gt_key *key, const char *topic, uint32_t queue, int64_t base_offset);
/** connector NUL hash of partition(16): GT_TABLE_POSITIONS; without partition: the prefix */
void gt_key_position(struct gt_key *key, const char *connector,
                     const struct gantry_view *partition);
/** connector NUL task(be32): GT_TABLE_PROGRESS; and tails in GT_TABLE_POSITIONS, whose other keys
 * are longer: so both go and come together. */
void gt_key_progress(struct gt_key *key, const char *connector, uint32_t task);
/** name NUL: prefix of everything of one topic or connector */
void gt_key_prefix(struct gt_key *key, const char *name);

/** Split a key of GT_TABLE_SEGMENTS; topic is a view into the key. 0 or GANTRY_CORRUPT. */
int gt_key_read_segment(struct gantry_view key, struct gantry_view *ret_topic, uint32_t *ret_queue,
                        int64_t *ret_base);
/** Split a key of GT_TABLE_PROGRESS or the name off a key of GT_TABLE_POSITIONS. 0 or
 * GANTRY_CORRUPT. */
int gt_key_read_progress(struct gantry_view key, struct gantry_view *ret_connector,
                         uint32_t *ret_task);
/** Whether a key of GT_TABLE_POSITIONS is one of tails. */
bool gt_key_is_tails(struct gantry_view key);
int gt_key_read_name(struct gantry_view key, struct gantry_view *ret_name);

void gt_topic_record_write(struct gt_buf *buf, const struct gt_topic_record *record);
int gt_topic_record_read(struct gantry_view value, struct gt_topic_record *ret);
void gt_segment_record_write(struct gt_buf *buf, const struct gt_segment_record *record);
int gt_segment_record_read(struct gantry_view value, struct gt_segment_record *ret);
void gt_gap_record_write(struct gt_buf *buf, const struct gt_gap_record *record);
int gt_gap_record_read(struct gantry_view value, struct gt_gap_record *ret);
void gt_position_record_write(struct gt_buf *buf, struct gantry_view partition,
                              struct gantry_view position);
int gt_position_record_read(struct gantry_view value, struct gantry_view *ret_partition,
                            struct gantry_view *ret_position);
void gt_tails_record_write(struct gt_buf *buf, const struct gt_tails_record *record);
/** offsets are in @p arena, views point into @p value. */
int gt_tails_record_read(struct gantry_view value, struct gt_arena *arena,
                         struct gt_tails_record *ret);
void gt_progress_record_write(struct gt_buf *buf, const struct gt_progress_record *record);
/** offsets are in @p arena, views point into @p value. */
int gt_progress_record_read(struct gantry_view value, struct gt_arena *arena,
                            struct gt_progress_record *ret);

#endif
