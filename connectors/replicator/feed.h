/* SPDX-License-Identifier: Apache-2.0 */
/** What a source task reads from its source cluster, and how it comes to the task.
 *
 *  A feed has two halves. The link's finds topics and queues, makes the target's topics, and reads
 * each queue with a puller. The task's says where a queue begins (only it may ask the store) and
 * takes blocks of messages. Between them, under one lock: queues that were found, queues that have
 * a beginning, blocks up to buffer_bytes, and a failure. When the task stops, its half is closed at
 * once; the link's goes when the last reply that names it has come. */
#ifndef REP_FEED_H
#define REP_FEED_H

#include "brokers.h"
#include "link.h"
#include "settings.h"
#include <pthread.h>
#include <rocketmq/admin.h>
#include <rocketmq/consumer.h>

struct rep_feed;

/** A topic of the source. Lives as long as the feed. */
struct rep_topic {
    struct rep_topic *next;
    struct rep_feed *feed;
    char *name;   /* owned */
    char *target; /* owned; NULL: the connector's topic */
    struct gantry_schema text, bytes;
    /* The link's. */
    struct rep_stream *streams; /* those of its queues that are this task's */
    struct rmq_route_watch *watch;
    const struct rmq_route *route; /* the last one; counted */
    bool asked;                    /* for its route */
    bool ready;                    /* the target has it */
    bool making;
    bool told;        /* what is in the way */
    bool never;       /* it would go in circles */
    unsigned missing; /* looks in a row that have not shown it although its brokers are there */
    bool shown;       /* by the present look */
    bool gone;
};

/** A queue of it that is this task's. Lives as long as the feed. */
struct rep_stream {
    struct rep_stream *next_stream; /* of all */
    struct rep_stream *next_of_topic;
    struct rep_topic *topic;
    char *broker; /* owned */
    int32_t queue_id;
    char *partition; /* owned */
    char *origin;    /* owned; how the value of the header begins; NULL: none */
    uint32_t target_queue;
    bool ambiguous; /* the Java replicator had one position for it and another queue */
    /* The task's. */
    int64_t position; /* offset of the next message; -1: not known yet */
    bool fresh;     /* nothing was read before: what is gone at its beginning is nothing unusual */
    int64_t behind; /* messages that it has, as a broker said last, beyond position */
    /* Set by one half before the other gets it. */
    struct rep_stream *handed; /* next of found, or of starts */
    int64_t start;             /* offset to begin at; -1: by time */
    int64_t start_ms;
    /* The link's. */
    struct rmq_puller *puller;
    struct rep_stream *next_ready;
    bool is_ready, reading;
    bool recreated;   /* read again, its offsets begin anew */
    int64_t next;     /* what its puller hands out next */
    uint64_t held_ms; /* since when it waits for its offsets to come back; 0: it does not */
    int64_t held_at;  /* where the broker would have it go on */
};

/** Something for the task. */
struct rep_item {
    struct rep_item *next;
    struct rep_stream *stream;
    const struct rmq_block *block; /* counted; NULL: */
    int64_t moved_to;              /* offsets up to here are gone (or begin anew here) */
};

struct rep_feed {
    struct rep_link *link;
    struct gantry_task_context *ctx; /* the task's; under lock while not closed */
    uint32_t task, task_count;
    struct rep_config config; /* owned: what the settings' texts are of */
    struct rep_settings settings;

    pthread_mutex_t lock; /* guards the next nine */
    bool closed;          /* the task's half */
    struct rep_stream *found, *starts;
    struct rep_item *first, **last;
    size_t bytes; /* of items */
    bool held;    /* the link waits for room */
    int failure;
    char failure_text[400];

    struct rep_mail open_mail, start_mail, room_mail, close_mail;

    /* The link's. */
    struct rep_cluster *source, *target; /* NULL: none */
    struct rep_patterns *patterns;
    struct rep_brokers source_brokers, target_brokers;
    bool same; /* source and target are one cluster */
    struct rep_topic *topics;
    struct rep_stream *streams;
    size_t stream_count;
    struct rep_stream *ready, **ready_last;
    uv_timer_t timer;      /* of looks */
    uv_timer_t held_timer; /* of streams that wait */
    bool timer_open;
    uint64_t looks;      /* at the list of topics */
    uint64_t trouble_ms; /* since when a look fails; 0: it does not */
    bool stopping, nothing_told;
    size_t outstanding; /* replies that name it, and the timer */
};

/* --- The task's half; thread: the task's --- */

/** Begin. 0, GANTRY_INVALID, GANTRY_NO_MEMORY. */
int rep_feed_open(struct rep_link *link, const struct gantry_runtime *runtime,
                  struct gantry_task_context *ctx, struct rep_feed **ret, struct gantry_err *err);
/** No callback of the task's context is made any more. */
void rep_feed_close(struct rep_feed *feed);
/** 0, or why reading has ended. */
int rep_feed_failure(struct rep_feed *feed, struct gantry_err *err);
/** The queues found since the last call, linked by `handed`: each is to be given back with start.
 */
struct rep_stream *rep_feed_found(struct rep_feed *feed);
void rep_feed_start(struct rep_feed *feed, struct rep_stream *streams);
/** The next item, the caller's; NULL: nothing now, the context is woken. */
struct rep_item *rep_feed_take(struct rep_feed *feed);
void rep_item_free(struct rep_item *item);

/* --- Inside; thread: the link's --- */

void rep_feed_fail(struct rep_feed *feed, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void rep_feed_log(struct rep_feed *feed, enum gantry_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** A reply that was counted has come; the feed may be gone afterwards. */
void rep_feed_came(struct rep_feed *feed);

/** discover.c: look for topics and queues; again by timer. */
void rep_discover_start(struct rep_feed *feed);
void rep_discover_stop(struct rep_feed *feed);
/** streams.c */
void rep_streams_start(struct rep_feed *feed, struct rep_stream *stream);
void rep_streams_pump(struct rep_feed *feed);
void rep_streams_retire(struct rep_stream *stream);
void rep_streams_stop(struct rep_feed *feed);

#endif
