/* SPDX-License-Identifier: Apache-2.0 */
/** A look at a store from outside, also while a worker runs on it: for `gantry topic`, `gantry
 * run`, tests. Read-only: an LMDB environment opened with MDB_RDONLY, segments by pread. Thread:
 * one. May block. */
#ifndef GT_TOPIC_INSPECT_H
#define GT_TOPIC_INSPECT_H

#include "base/arena.h"
#include <stdio.h>
#include "base/map.h"
#include "convert/converter.h"

struct gt_inspect;

struct gt_segment_info {
    int64_t base_offset, end_offset; /* committed */
    int64_t bytes;                   /* committed bytes of the file */
    int64_t first_ms, last_ms;       /* timestamps of the messages, 0 when empty */
    bool sealed;
};

struct gt_sink_info {
    const char *connector;
    uint32_t task;
    int64_t offset; /* next to be read */
};

struct gt_queue_info {
    const char *topic;
    uint32_t queue;
    int64_t begin_offset, end_offset; /* what is there: begin <= offset < end */
    int64_t bytes;
    const struct gt_segment_info *segments;
    size_t segment_count;
    const struct gt_sink_info *sinks; /* who reads it and how far they are, by committed progress */
    size_t sink_count;
    const char *damage; /* "" or what is wrong: file and byte */
};

struct gt_position_info {
    const char *connector;
    struct gantry_view partition, position;
};

#define GT_INSPECT_CACHE_TEXT                                                                      \
    "%s is of a worker that keeps its topics in RocketMQ (namesrvAddr): for topics use "           \
    "RocketMQ's "                                                                                  \
    "tools, for a connector's positions: gantry connector reset NAME --namesrv HOST:PORT"

/** The error for a folder without a store of its own. */
int gt_inspect_no_store(const char *folder, struct gantry_err *err);
/** GANTRY_NOT_FOUND no store there; GANTRY_VERSION with both numbers. */
int gt_inspect_open(const char *store, struct gt_inspect **ret, struct gantry_err *err);
void gt_inspect_close(struct gt_inspect *inspect);
/** All queues of all topics (or of @p topic unless NULL), sorted; memory in @p arena. A fresh look
 * at each call. */
int gt_inspect_queues(struct gt_inspect *inspect, const char *topic, struct gt_arena *arena,
                      struct gt_queue_info **ret, size_t *ret_count, struct gantry_err *err);
/** All source positions. */
int gt_inspect_positions(struct gt_inspect *inspect, struct gt_arena *arena,
                         struct gt_position_info **ret, size_t *ret_count, struct gantry_err *err);
/** Messages from @p offset on, at most one batch; *ret_next is the offset to go on with (== @p
 * offset: nothing there yet). GANTRY_CORRUPT with file and byte. Views hold until the next call or
 * close. */
int gt_inspect_read(struct gt_inspect *inspect, const char *topic, uint32_t queue, int64_t offset,
                    struct gt_arena *arena, const struct gt_message **ret, size_t *ret_count,
                    int64_t *ret_first, int64_t *ret_next, struct gantry_err *err);

/** Changes to a store that no worker may be using (GANTRY_BUSY). */
/** Forget positions and progress of a connector; *ret_count says how many entries. */
int gt_store_reset_connector(const char *store, const char *connector, size_t *ret_count,
                             struct gantry_err *err);
/** Check each batch of a topic; report goes to @p out. With @p settle the damaged batches are
 * skipped from then on (their offsets become a gap that is reported) and the topic works again. */
int gt_store_repair_topic(const char *store, const char *topic, bool settle, FILE *out,
                          struct gantry_err *err);

#endif
