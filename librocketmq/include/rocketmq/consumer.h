/* SPDX-License-Identifier: Apache-2.0 */
/* Reading. A puller reads one queue, in order, from an offset: several pulls are in flight at
 * predicted offsets while there is much to read, one long poll when there is nothing. A consumer
 * is a group member: it shares a topic's queues with the other members as the Java clients do, and
 * has a puller for each queue that is its own.
 *
 * Thread: the client's loop. */
#ifndef ROCKETMQ_CONSUMER_H
#define ROCKETMQ_CONSUMER_H

#include <rocketmq/allocate.h>
#include <rocketmq/client.h>
#include <rocketmq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- what was pulled --- */

/* The messages of one reply: a counted block of bytes, free of any thread. Only messages from
 * first_offset on are wanted (a reply may begin earlier). */
struct rmq_block {
    int64_t first_offset;  /* of the first wanted message */
    int64_t next_offset;   /* where reading goes on behind the block */
    int64_t max_offset;    /* the queue's end as the broker said it */
    struct rmq_view bytes; /* stored messages back to back: rmq_message_next */
};
const struct rmq_block *rmq_block_ref(const struct rmq_block *block);
void rmq_block_unref(const struct rmq_block *block); /* Thread: any */

/* --- one queue --- */

struct rmq_puller;

struct rmq_puller_options {
    size_t struct_size;
    const char *group; /* required; the broker makes it if it may */
    const char *topic;
    const char *broker;
    int32_t queue_id;
    int64_t offset;           /* where to begin */
    const char *subscription; /* tags "A || B"; NULL: all. The reader filters by text again. */
    bool member;        /* the group has heartbeated its subscription; else it is sent along */
    int max_messages;   /* of one pull; 0: 32, which is what a broker gives */
    int max_in_flight;  /* 0: 16; 1: no guessing */
    size_t max_bytes;   /* pulled and not yet taken by next; 0: 8 MiB. Full: pulling waits. */
    int64_t suspend_ms; /* of a long poll; 0: 15000 */
    bool check; /* verify the checksum of each body; RMQ_CORRUPT is told, and pulled again */
    /* There is something to take (after next had nothing), or something is to be told: look with
     * next. Never called inside a call. */
    void (*ready)(void *arg);
    void *arg;
};

int rmq_puller_new(struct rmq_client *client, const struct rmq_puller_options *options,
                   struct rmq_puller **ret, struct rmq_err *err);
/* The next block, in order, without gap or repeat. 1: *ret, a reference of the caller's | 0:
 * nothing now, ready will be called | RMQ_MOVED: the broker does not have the offset (retention, or
 * a reset); *ret_offset is where the next block will begin, and pulling goes on there | other
 * errors: of the broker or the network; pulling goes on by itself with growing pauses, each kind is
 * told once until something succeeds. */
int rmq_puller_next(struct rmq_puller *puller, const struct rmq_block **ret, int64_t *ret_offset,
                    struct rmq_err *err);
/* The next offset that next() will hand out. */
int64_t rmq_puller_offset(const struct rmq_puller *puller);
/* An error was told, and no pull has been answered since. */
bool rmq_puller_failing(const struct rmq_puller *puller);
/* Stop or go on asking the broker; what was pulled stays. To go on also ends the wait behind a
 * failure: for one who knows that the broker is back. */
void rmq_puller_pause(struct rmq_puller *puller, bool paused);
void rmq_puller_seek(struct rmq_puller *puller, int64_t offset);
/* ready is not called any more. Replies that still come are dropped. */
void rmq_puller_close(struct rmq_puller *puller);

/* --- a group member --- */

struct rmq_consumer;

enum rmq_start { RMQ_START_LAST, RMQ_START_FIRST, RMQ_START_TIMESTAMP };

struct rmq_consumer_options {
    size_t struct_size;
    const char *group;
    const char *const *topics; /* each once */
    size_t topic_count;
    enum rmq_allocation allocation;
    enum rmq_start start; /* of a queue for which the group has no offset */
    int64_t start_ms;     /* RMQ_START_TIMESTAMP */
    bool locked;          /* ordered consumption: read a queue only while its lock is held */
    bool retry_topic; /* read %RETRY%group, too: in a group with Java push members, which send there
                         what they could not process, and share its queue with all members */
    int64_t commit_ms; /* 0: 5000. Offsets marked by rmq_consumer_done go to the broker. */
    int max_in_flight; /* pulls a queue; 0: 16 */
    size_t max_bytes;  /* cached a queue; 0: 8 MiB */
    /* The queues of a topic that are this member's from now on. Before it, pullers of queues lost
     * are closed (their offsets committed, their locks given back). */
    void (*assigned)(void *arg, const char *topic, const struct rmq_queue *queues, size_t count);
    void (*ready)(void *arg); /* some queue has something: take with rmq_consumer_next */
    void *arg;
};

struct rmq_delivery {
    const char *topic; /* valid until the next call */
    const char *broker;
    int32_t queue_id;
    const struct rmq_block *block; /* a reference of the caller's */
};

int rmq_consumer_new(struct rmq_client *client, const struct rmq_consumer_options *options,
                     struct rmq_consumer **ret, struct rmq_err *err);
/* 1 a delivery, queues taking turns | 0 nothing now | an error, told once. */
int rmq_consumer_next(struct rmq_consumer *consumer, struct rmq_delivery *ret, struct rmq_err *err);
/* Messages below next_offset are done with; only ever raised. Ignored for a queue that is not (or
 * no longer) this member's. */
void rmq_consumer_done(struct rmq_consumer *consumer, const char *topic, const char *broker,
                       int32_t queue_id, int64_t next_offset);
/* Send the offsets now; done (may be NULL) runs when the brokers have answered. */
int rmq_consumer_commit(struct rmq_consumer *consumer, void (*done)(void *arg, int rc), void *arg,
                        struct rmq_err *err);
/* Commits, unlocks, leaves the group; done (may be NULL) runs at the end, at most a request's
 * time-out later. */
void rmq_consumer_close(struct rmq_consumer *consumer, void (*done)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
