/* SPDX-License-Identifier: Apache-2.0 */
/** Topics: where messages are kept. The one interface that tasks see, whatever engine is behind it.
 *
 *  A topic has queues; a message's offset is its index in its queue. An append is asynchronous: it
 * is written at once and becomes readable when the store has committed it, together with whatever
 * other changes its commit carries. */
#ifndef GT_TOPIC_TOPIC_H
#define GT_TOPIC_TOPIC_H

#include "base/buf.h"
#include "convert/converter.h"
#include "store/store.h"
#include <stdatomic.h>

struct gt_topics;
struct gt_topic;
struct gt_reader;

struct gt_topics_settings {
    int64_t segment_bytes;   /* a segment that has reached this is followed by a new one */
    const char *compression; /* none, lz4, zstd */
    int64_t retention_ms;    /* 0: not by age */
    int64_t retention_bytes; /* per queue; 0: not by size */
    bool retention_unread;   /* delete also what a sink has not read yet */
    int64_t disk_reserve;    /* appends stop below so many free bytes */
};

/** Open all topics of a store and recover them: what was appended and not committed is dropped,
 * what was committed and is damaged makes its topic refuse work and is reported, the others go on.
 * Call before gt_store_start: it sets the store's round function. Thread: one; may block. */
int gt_topics_open(struct gt_store *store, const struct gt_topics_settings *settings,
                   struct gt_topics **ret, struct gantry_err *err);
/** After gt_store_stop, without readers or appends. NULL is fine. */
void gt_topics_close(struct gt_topics *topics);

/** The topic; one that does not exist comes into being in memory, and in the store with its first
 * append. Lives until gt_topics_close. @p name is legal (gt_topic_name_check). NULL without memory.
 * Thread: any. */
struct gt_topic *gt_topic_get(struct gt_topics *topics, const char *name);
const char *gt_topic_name(const struct gt_topic *topic);
uint32_t gt_topic_queues(const struct gt_topic *topic);
/** The committed end: the offset that the next visible message will have. Thread: any. */
int64_t gt_topic_end(struct gt_topic *topic, uint32_t queue);

/** Messages for one queue. Views; needed only during gt_append_submit(). */
struct gt_append_part {
    struct gt_topic *topic;
    uint32_t queue;
    const struct gt_message *messages;
    size_t count; /* > 0 */
};

struct gt_append_place;

/** Appends that mean something only in their order, because each carries a position that covers
 * those before it: a source task's. Once one has failed, all that come after it fail too, to
 * whichever topic, until the owner, who has no append under way then, clears it and begins at the
 * committed position. Zeroed: whole. */
struct gt_append_chain {
    atomic_bool broken;
};

/** One indivisible append, to one or several queues. Embed it. */
struct gt_append {
    struct gt_commit commit; /* add own changes (positions) between init and submit */
    struct gt_append_chain
        *chain; /* set between init and submit; NULL: stands for itself. Outlives done() */
    /** The outcome is in commit.err; code 0: durable and readable. Thread: the committer. */
    void (*done)(struct gt_append *append);
    size_t bytes;                   /* written to segments, set by submit */
    struct gt_append_place *places; /* owned */
    size_t place_count;
};

/** Memory for encoding, one per thread that appends. */
struct gt_append_scratch {
    struct gt_buf batches, raw, locked;
};

void gt_append_scratch_init(struct gt_append_scratch *scratch);
void gt_append_scratch_deinit(struct gt_append_scratch *scratch);

void gt_append_init(struct gt_append *append, void (*done)(struct gt_append *append));
/** After done() or a failed submit. */
void gt_append_deinit(struct gt_append *append);
/** Write and hand to the committer. @p parts are for different queues; none at all: only the
 * commit's changes. 0: done() will run. Else nothing has happened: GANTRY_NO_SPACE below the
 * reserve or disk full (try again later); GANTRY_CORRUPT the topic is damaged; GANTRY_TOO_LARGE;
 * GANTRY_IO; GANTRY_NO_MEMORY; GANTRY_CLOSED. Thread: any; blocks no longer than a write to the
 * page cache. */
int gt_append_submit(struct gt_topics *topics, struct gt_append *append,
                     const struct gt_append_part *parts, size_t part_count,
                     struct gt_append_scratch *scratch, struct gantry_err *err);

/** A reader of one queue that starts at @p offset. Thread of all reader calls: one at a time. */
int gt_reader_open(struct gt_topic *topic, uint32_t queue, int64_t offset, struct gt_reader **ret,
                   struct gantry_err *err);
void gt_reader_close(struct gt_reader *reader);
/** The offset of the next message. */
int64_t gt_reader_offset(const struct gt_reader *reader);
/** The messages from the reader's offset to the end of their batch; *ret_count 0: nothing there
 * yet. The array is in
 *  @p arena; views hold until the next call for this reader. Offsets that are gone (retention,
 * settled damage) are passed over: *ret_first is the first one's offset, and the log says what was
 * missed. 0, GANTRY_CORRUPT (file and byte), GANTRY_IO, GANTRY_NO_MEMORY. */
int gt_reader_next(struct gt_reader *reader, struct gt_arena *arena, const struct gt_message **ret,
                   size_t *ret_count, int64_t *ret_first, struct gantry_err *err);
/** The first @p count messages of the last gt_reader_next() are done with. */
void gt_reader_took(struct gt_reader *reader, size_t count);
/** Have @p wake called once when there is something to read or the topic turns out damaged; false
 * (and no call) when that is so already. @p wake runs on the committer's or another reader's thread
 * under a lock: it may send a mail and nothing else. */
bool gt_reader_arm(struct gt_reader *reader, void (*wake)(void *arg), void *arg);

#endif
