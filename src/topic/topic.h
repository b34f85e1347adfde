/* SPDX-License-Identifier: Apache-2.0 */
/** Topics: where messages are kept. The one interface that tasks see, whatever engine is behind it:
 * the embedded log (embedded/), or RocketMQ's brokers (rocketmq/).
 *
 *  A topic has queues; a message's offset is its index in its queue. An append is asynchronous: it
 * becomes readable, and is over when the store has committed what its commit carries. Where an
 * engine has to ask somebody first, its objects are not ready at once: a call says so, and the wake
 * function given is called when it is worth to ask again. */
#ifndef GT_TOPIC_TOPIC_H
#define GT_TOPIC_TOPIC_H

#include "base/buf.h"
#include "convert/converter.h"
#include "store/store.h"
#include <stdatomic.h>

struct gt_topics;
struct gt_topic;
struct gt_writer;
struct gt_reader;
struct gt_link;

struct gt_topics_settings {
    int64_t segment_bytes;   /* a segment that has reached this is followed by a new one */
    const char *compression; /* none, lz4, zstd */
    int64_t retention_ms;    /* 0: not by age */
    int64_t retention_bytes; /* per queue; 0: not by size */
    bool retention_unread;   /* delete also what a sink has not read yet */
    int64_t disk_reserve;    /* appends stop below so many free bytes */
};

/** Open all embedded topics of a store and recover them: what was appended and not committed is
 * dropped, what was committed and is damaged makes its topic refuse work and is reported, the
 * others go on. Call before gt_store_start: it sets the store's round function. Thread: one; may
 * block. */
int gt_topics_open(struct gt_store *store, const struct gt_topics_settings *settings,
                   struct gt_topics **ret, struct gantry_err *err);
/** After gt_store_stop, without readers or writers. NULL is fine. */
void gt_topics_close(struct gt_topics *topics);

/** What is special to RocketMQ. Texts are copied. */
struct gt_rocketmq_settings {
    bool create_topics, create_groups; /* make those that nobody has */
    uint32_t queues;                   /* of a topic that is made, at each broker; 0: 4 */
    const char *cluster;               /* whose connectors these are; NULL: "" */
    const char *consumer_group;        /* prefix of the groups whose offsets are reported; NULL:
                                          connector-consumer-group */
    const char *producer_group;        /* NULL: connector-producer-group */
};

/** Topics in RocketMQ. Nothing is asked for yet. They are closed before the link. 0,
 * GANTRY_NO_MEMORY. Thread: one. */
int gt_topics_open_rocketmq(struct gt_store *store, struct gt_link *link,
                            const struct gt_rocketmq_settings *settings, struct gt_topics **ret,
                            struct gantry_err *err);

/** Somebody who waits. Embed it zeroed with @p wake and @p arg set; it lives until it was called or
 * is disarmed. @p wake runs on any thread, under a lock: it may send a mail and nothing else. */
struct gt_waiter {
    struct gt_waiter *next;
    void (*wake)(void *arg);
    void *arg;
    bool armed;
};

/** The topic; one that does not exist comes into being with its first append (embedded), or when it
 * is asked whether it is ready (RocketMQ). Lives until gt_topics_close. @p name is legal
 * (gt_topic_name_check). NULL without memory. Thread: any. */
struct gt_topic *gt_topic_get(struct gt_topics *topics, const char *name);
const char *gt_topic_name(const struct gt_topic *topic);
/** 1: its queues are known | 0: not yet; @p waiter is armed, and err->text says what is waited for
 * ("" while that is nothing unusual). @p waiter may be NULL. Once 1, always 1. Thread: any. */
int gt_topic_ready(struct gt_topic *topic, struct gt_waiter *waiter, struct gantry_err *err);
/** Number of queues; it may grow, never shrink. Thread: any. */
uint32_t gt_topic_queues(const struct gt_topic *topic);
/** Have @p waiter woken once the topic has more than @p known queues; false when it has. */
bool gt_topic_arm(struct gt_topic *topic, uint32_t known, struct gt_waiter *waiter);
/** Take a waiter back that may be armed at this topic. Thread: any. */
void gt_topic_disarm(struct gt_topic *topic, struct gt_waiter *waiter);

/** Which queue it is, wherever and whenever that is asked; an index is only ours, and only of now.
 */
struct gt_queue_id {
    const char *broker; /* its name; lives as long as the topic. "" : embedded */
    uint32_t id;        /* there */
    uint32_t number;    /* one number for both: id, and above 16 bits what tells brokers apart */
};
void gt_topic_queue(const struct gt_topic *topic, uint32_t queue, struct gt_queue_id *ret);
/** The index of that queue, or gt_topic_queues() when it is not there. Thread: any. */
uint32_t gt_topic_find(const struct gt_topic *topic, struct gantry_view broker, uint32_t id);
/** The end: the offset that the next visible message will have, as far as it is known; -1: it is
 * not. Thread: any. */
int64_t gt_topic_end(struct gt_topic *topic, uint32_t queue);
/** What was once the end is never behind the end later: else somebody has put back the store. Not
 * so with a broker, which can lose what it has not flushed. */
bool gt_topic_is_local(const struct gt_topic *topic);

/* --- Writing --- */

struct gt_writer_spec {
    const struct gt_claim *claim; /* whose it is. Outlives the writer and all its appends */
    bool replayable;              /* what was not committed can be had once more, unchanged */
    bool headers_as_is;           /* headers are message properties: they keep their names */
    void (*wake)(void *arg); /* gt_writer_ready has changed; any thread, may send a mail only */
    void *arg;
};

/** A source task's way into topics. Its appends mean something only in their order, because each
 * carries a position that covers those before it: once one has failed, all that come after it fail
 * too, to whichever topic. Then the owner closes it, opens another one and begins at the committed
 * position, which may have moved: a writer that is ready has found what an earlier one left behind.
 * 0, GANTRY_NO_MEMORY. Thread: of all writer calls and its appends: one at a time. */
int gt_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                   struct gt_writer **ret, struct gantry_err *err);
/** 1 | 0: not yet, or (after it was 1) appends do not get through now; err->text says why and what
 * to do, "" while that is nothing unusual | a negative error: open another. */
int gt_writer_ready(struct gt_writer *writer, struct gantry_err *err);
/** Which queue of the topic, which is ready: number 0, the writer's own one; else that of the
 * number (struct gantry_record, queue). */
uint32_t gt_writer_queue(struct gt_writer *writer, struct gt_topic *topic, uint32_t number);
/** Let go of what cannot be got through now: appends under way end soon, with an error if they were
 * not committed. For an owner that is to stop while gt_writer_ready says 0. */
void gt_writer_abandon(struct gt_writer *writer);
/** No append is under way. NULL is fine. */
void gt_writer_close(struct gt_writer *writer);

/** Messages for one queue. Views; needed only during gt_append_submit(). */
struct gt_append_part {
    struct gt_topic *topic;
    uint32_t queue;
    const struct gt_message *messages;
    size_t count; /* > 0 */
    /** Which records of the batch they are, ascending; NULL: the first `count` ones. */
    const uint32_t *ordinals;
    /** What they were made of, for a record without a time of its own has none to keep; NULL: all
     * have one. */
    const struct gantry_record *records;
};

/** One indivisible append, to one or several queues. Embed it. */
struct gt_append {
    struct gt_commit commit; /* add own changes (positions) between init and submit */
    /* Set between init and submit. */
    struct gt_writer *writer;        /* NULL (embedded only): stands for itself */
    const struct gantry_mark *marks; /* of the batch, as the commit has them; needed in submit only
                                      */
    size_t mark_count;
    /** The outcome is in commit.err; code 0: durable and readable. Thread: the committer, or the
     * link. */
    void (*done)(struct gt_append *append);
    size_t bytes; /* that it takes until it is done, set by submit */
    /* The engine's. */
    void *own;
    void (*release)(struct gt_append *append);
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
/** Write and commit. @p parts are for different queues; none at all: only the commit's changes. 0:
 * done() will run. Else nothing has happened: GANTRY_NO_SPACE below the reserve or disk full (try
 * again later); GANTRY_CORRUPT the topic is damaged; GANTRY_TOO_LARGE; GANTRY_IO; GANTRY_NO_MEMORY;
 * GANTRY_CLOSED. Thread: any; blocks no longer than a write to the page cache. */
int gt_append_submit(struct gt_topics *topics, struct gt_append *append,
                     const struct gt_append_part *parts, size_t part_count,
                     struct gt_append_scratch *scratch, struct gantry_err *err);

/* --- Reading --- */

struct gt_reader_spec {
    uint32_t queue;
    int64_t offset;           /* where to begin */
    struct gantry_view state; /* what gt_reader_state gave at that offset; needed in open only */
    const char *connector;    /* whose; NULL: nobody's, whose progress is not reported */
};

/** A reader of one queue. 0, GANTRY_INVALID (no such queue; a state that is none),
 * GANTRY_NO_MEMORY. Thread of all reader calls: one at a time. */
int gt_reader_open(struct gt_topic *topic, const struct gt_reader_spec *spec,
                   struct gt_reader **ret, struct gantry_err *err);
void gt_reader_close(struct gt_reader *reader);
/** The offset of the next message. */
int64_t gt_reader_offset(const struct gt_reader *reader);
/** Append what has to be stored beside the offset; nothing at all where there is nothing to know.
 */
void gt_reader_state(const struct gt_reader *reader, struct gt_buf *buf);
/** Messages from the reader's offset on, at offsets without a gap; *ret_count 0: nothing there yet.
 * The array is in @p arena; views hold until the next call for this reader. Offsets that are gone
 * (retention, settled damage) are passed over: *ret_first is the first one's offset, and the log
 * says what was missed. 0, GANTRY_CORRUPT (file and byte), GANTRY_IO, GANTRY_NO_MEMORY;
 * GANTRY_AGAIN: nothing to read now, for the reason in @p err, which passes by itself. */
int gt_reader_next(struct gt_reader *reader, struct gt_arena *arena, const struct gt_message **ret,
                   size_t *ret_count, int64_t *ret_first, struct gantry_err *err);
/** The first @p count messages of the last gt_reader_next() are done with. */
void gt_reader_took(struct gt_reader *reader, size_t count);
/** Progress up to @p offset is committed: others may be told. Never blocks. */
void gt_reader_committed(struct gt_reader *reader, int64_t offset);
/** Have @p wake called once when there is something to read or to be told; false (and no call) when
 * that is so already. @p wake runs on another thread under a lock: it may send a mail and nothing
 * else. */
bool gt_reader_arm(struct gt_reader *reader, void (*wake)(void *arg), void *arg);

#endif
