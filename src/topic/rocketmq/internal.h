/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the RocketMQ engine: its objects, and which thread may touch which member.
 *
 *  Everything that speaks to servers is the link's thread's. An object of a task (writer, reader)
 * has one half for the executor and one for the link; between them are a lock that is held for a
 * few instructions, and mail. The link's half outlives the other one until the last reply that
 * names it has come. */
#ifndef GT_TOPIC_ROCKETMQ_INTERNAL_H
#define GT_TOPIC_ROCKETMQ_INTERNAL_H

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "broker/link.h"
#include "store/tables.h"
#include "topic/engine.h"
#include "topic/rocketmq/memory.h"
#include <rocketmq/admin.h>
#include <rocketmq/consumer.h>
#include <rocketmq/producer.h>
#include <semaphore.h>

struct gt_rocketmq;

enum {
    GT_RQ_PAUSE_MIN_MS = 50, /* before another try; doubled each time, up to ... */
    GT_RQ_PAUSE_MAX_MS = 2000,
    GT_RQ_TROUBLE_MS = 2000, /* what lasts as long is shown */
    GT_RQ_STABLE_MS = 300,   /* so long after a connection was closed nothing is stored any more of
                                what was sent on it: a broker throws away requests that have waited
                                for 200 ms */
};

/** Something to do later. Embed it zeroed. Thread: the link. */
struct gt_rq_timer {
    struct gt_rq_timer *next;
    uint64_t due_ms;
    void (*fn)(void *arg);
    void *arg;
    bool armed;
};

/** What does not go well, and since when. */
struct gt_rq_trouble {
    int64_t since_ns; /* 0: all is well */
    int64_t pause_ms; /* the last one */
};

/** One queue of a topic. Lives as long as the topic. */
struct gt_rq_queue {
    char *broker; /* owned */
    uint32_t id, number;
    atomic_llong end;     /* as a broker said it last; -1: not yet */
    atomic_bool writable; /* by the route */
};

struct gt_rq_topic {
    struct gt_topic api; /* first; its name is owned */
    struct gt_rocketmq *topics;

    pthread_mutex_t lock;        /* guards the next five */
    struct gt_rq_queue **queues; /* owned; added to only */
    uint32_t queue_count, queue_cap;
    bool ready, asked;
    char trouble_text[400];
    struct gt_waiter *waiters;

    /* The link's. */
    bool read_only; /* by the route: it has queues, and none may be written to */
    struct gt_mail ask_mail;
    struct gt_rq_timer retry;
    struct gt_rq_trouble trouble;
    struct rmq_route_watch *watch;
    size_t ends_asked;
};

struct gt_rocketmq {
    struct gt_topics api; /* first */
    struct gt_store *store;
    struct gt_link *link;
    bool create_topics, create_groups;
    uint32_t queues;
    char *consumer_group, *producer_group; /* owned */
    uint32_t cluster;                      /* hash of its name: part of who sends */

    pthread_mutex_t lock;
    struct gt_map map; /* guarded by lock: name to struct gt_rq_topic */

    /* The link's. */
    struct rmq_client *client;
    struct rmq_producer *producer;
    uv_timer_t timer;
    struct gt_rq_timer *timers; /* by due time */
    size_t outstanding;         /* replies and mails that name something of ours */
    bool closing;
    struct gt_mail open_mail, close_mail;
    sem_t opened, closed;
    struct gantry_err open_err;
};

/* --- topics.c; thread: the link --- */

void gt_rq_later(struct gt_rocketmq *topics, struct gt_rq_timer *timer, int64_t ms,
                 void (*fn)(void *arg), void *arg);
void gt_rq_not_later(struct gt_rocketmq *topics, struct gt_rq_timer *timer);
/** A reply that was counted in outstanding has come. */
void gt_rq_came(struct gt_rocketmq *topics);
/** It did not go well (again): how long to wait, and whether it is time to show it. */
int64_t gt_rq_trouble_pause(struct gt_rq_trouble *trouble, bool *ret_show);
/** The name of the consumer group of a connector; characters that a group cannot have are replaced.
 * NULL without memory; the caller frees it. Thread: any. */
char *gt_rq_group(const struct gt_rocketmq *topics, const char *connector);
/** Whether the topic has queues and none of them may be written to. Brokers do not look at a
 * topic's permission when they are sent a message: clients do. */
bool gt_rq_topic_read_only(struct gt_rocketmq *topics, const char *name);
/** Look for the topic's route anew, make it if it is gone. */
void gt_rq_topic_ask_again(struct gt_rocketmq *topics, const char *name);

/* --- scan.c; thread: the link --- */

/** The messages of a stretch of a queue. Embed it zeroed; it is in use until ended() or stop. */
struct gt_rq_scan {
    struct gt_rocketmq *topics;
    struct rmq_puller *puller;
    char *group; /* owned */
    int64_t at, to;
    bool group_asked;
    struct gt_rq_timer end_timer;
    void (*block)(void *arg, const struct rmq_block *block); /* borrowed for the call */
    void (*trouble)(void *arg, const char *text);            /* reading goes on by itself */
    void (*ended)(void *arg, int code, const struct rmq_err *err);
    void *arg;
};

/** Read from @p from up to @p to. What is not there any more is passed over. ended() is called
 * once, not inside this call. */
void gt_rq_scan_start(struct gt_rq_scan *scan, struct gt_rocketmq *topics, const char *connector,
                      const char *topic, const char *broker, uint32_t id, int64_t from, int64_t to);
void gt_rq_scan_stop(struct gt_rq_scan *scan);
/** A consumer group that the broker does not know: make it, where that is allowed. */
void gt_rq_make_group(struct gt_rocketmq *topics, const char *group);

/* --- writer.c, reader.c: the engine's table --- */

int gt_rq_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                      struct gt_writer **ret, struct gantry_err *err);
int gt_rq_writer_ready(struct gt_writer *writer, struct gantry_err *err);
uint32_t gt_rq_writer_queue(struct gt_writer *writer, struct gt_topic *topic, uint32_t number);
void gt_rq_writer_abandon(struct gt_writer *writer);
void gt_rq_writer_close(struct gt_writer *writer);
int gt_rq_submit(struct gt_topics *topics, struct gt_append *append,
                 const struct gt_append_part *parts, size_t part_count,
                 struct gt_append_scratch *scratch, struct gantry_err *err);
int gt_rq_reader_open(struct gt_topic *topic, const struct gt_reader_spec *spec,
                      struct gt_reader **ret, struct gantry_err *err);
void gt_rq_reader_close(struct gt_reader *reader);
int64_t gt_rq_reader_offset(const struct gt_reader *reader);
void gt_rq_reader_state(const struct gt_reader *reader, struct gt_buf *buf);
int gt_rq_reader_next(struct gt_reader *reader, struct gt_arena *arena,
                      const struct gt_message **ret, size_t *ret_count, int64_t *ret_first,
                      struct gantry_err *err);
void gt_rq_reader_took(struct gt_reader *reader, size_t count);
void gt_rq_reader_committed(struct gt_reader *reader, int64_t offset);
bool gt_rq_reader_arm(struct gt_reader *reader, void (*wake)(void *arg), void *arg);

#endif
