/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer inside, shared by consumer.c (life, deliveries), rebalance.c (which queues),
 * offsets.c (where to begin, commits) and locks.c. All on the thread of the loop.
 *
 * A queue lives from the rebalance that finds it to be ours until, after the one that does not, its
 * offset is committed and its lock given back: it is leaving then. Every request that points to a
 * queue is counted in it (`flying`), and every one that points to a topic or the consumer in the
 * consumer, so nothing is freed while a reply is to come. */
#ifndef RMQ_CONSUMER_INTERNAL_H
#define RMQ_CONSUMER_INTERNAL_H

#include <rocketmq/consumer.h>
#include "internal.h"
#include "list.h"
#include "puller.h"
#include "requests.h"

#ifndef RMQ_CONSUMER_SECOND_MS
#define RMQ_CONSUMER_SECOND_MS 1000 /* tests have shorter ones */
#endif

enum {
    SECOND_MS = RMQ_CONSUMER_SECOND_MS,
    REBALANCE_MS = 20 * SECOND_MS,
    COMMIT_MS = 5 * SECOND_MS,
    START_RETRY_MS = SECOND_MS,
    LOCK_RENEW_MS = 20 * SECOND_MS,
    LOCK_RETRY_MS = 3 * SECOND_MS,
    LOCK_TRUST_MS = 30 * SECOND_MS, /* without success for so long: stop reading */
    LOCK_KEPT_MS = 55 * SECOND_MS,  /* the broker has surely kept it for us; it does for 60 s */
    REQUEST_MS = 3000,
    CLOSE_REQUEST_MS = 1500, /* a commit, then an unlock: a request's time together */
    ERRORS_MAX = 8,
    COMMIT_ALL =
        12 /* periodic passes: then all offsets go once more, for a broker that lost some */
};

/* Where commits of a topic go. The first one goes alone: brokers (5.3.3) make the table of a group
 * and topic without a lock, and of two first commits at once may lose one. */
struct commit_place {
    char *broker;
    bool opening; /* the first is on its way */
    bool open;    /* and has been answered */
};

struct consumer_topic {
    struct rmq_consumer *consumer;
    char *name;
    bool retry; /* the group's own %RETRY% topic */
    struct rmq_route_watch *watch;
    const struct rmq_route *route; /* the last one; NULL: none yet */
    struct rmq_list queues;
    struct commit_place *places;
    size_t place_count;
    bool busy;  /* a rebalance is under way */
    bool again; /* and another is wanted behind it */
    bool told;  /* its failure has been told */
    uint64_t due_ms;
};

enum queue_state {
    QUEUE_WAITING, /* for its lock, or for the next try to find its offset */
    QUEUE_ASKING,  /* for its offset */
    QUEUE_READING,
    QUEUE_LEAVING
};

struct consumer_queue {
    struct rmq_list item;  /* in its topic */
    struct rmq_list ready; /* in consumer->ready while its puller may have something */
    struct consumer_topic *topic;
    char *broker;
    int32_t id;
    enum queue_state state;
    size_t flying;             /* requests of which the reply points here */
    struct rmq_puller *puller; /* while READING */
    uint64_t due_ms;           /* WAITING: when to try again */
    int64_t done;              /* -1: nothing to commit */
    int64_t committed;         /* what the broker has of us; -1: unknown */
    int64_t committing;        /* what it is being sent; -1: nothing */
    bool opening;              /* its commit is the first at its place */
    unsigned passed;           /* the last pass that has tried it */
    bool in_pass, told;
    bool locked;  /* we have its lock, as far as we know */
    bool expired; /* but are not sure any more: nothing is handed out */
    bool lock_flying;
    uint64_t lock_ms;              /* when the last successful request was made */
    bool last_commit, last_unlock; /* LEAVING: has been tried */
};

struct commit_waiter {
    struct rmq_list item;
    void (*done)(void *arg, int rc);
    void *arg;
};

struct rmq_consumer {
    struct rmq_client *client;
    struct rmq_consumer_options options; /* group is owned, topics is not kept */
    struct consumer_topic *topics;
    size_t topic_count;
    struct rmq_membership *membership;
    uv_timer_t tick;
    uv_timer_t soon; /* ends passes in which there was nothing to send */
    size_t handles;  /* not yet closed */
    size_t asking;   /* routes and members asked for */
    bool closing, ended;
    struct rmq_list ready;
    bool hungry; /* next had nothing: call ready */
    struct rmq_err errors[ERRORS_MAX];
    size_t error_count;
    /* commits: one pass at a time */
    int64_t born_ms; /* Unix time */
    uint64_t commit_due_ms;
    unsigned commit_round;
    size_t pass_flying;
    bool pass;
    unsigned pass_number;
    bool pass_all; /* also offsets that the broker should have */
    int pass_rc;
    bool commit_told, lock_told;
    struct rmq_list pass_waiters, next_waiters;
    void (*done)(void *arg);
    void *done_arg;
};

#define FOR_QUEUES(topic, queue)                                                                   \
    for (struct rmq_list *at_ = (topic)->queues.next, *next_ = at_->next;                          \
         at_ != &(topic)->queues &&                                                                \
         (queue = RMQ_CONTAINER(at_, struct consumer_queue, item), true);                          \
         at_ = next_, next_ = at_->next)

/* --- consumer.c --- */

/* To be told by next; told: the flag of its source, which is set, and says that it has been. */
void rmq_consumer_tell(struct rmq_consumer *consumer, bool *told, const struct rmq_err *err);
/* The last thing a callback of the loop does: end the consumer if all is done, or call ready. */
void rmq_consumer_settle(struct rmq_consumer *consumer);
/* A new queue, WAITING; NULL: no memory. */
struct consumer_queue *rmq_consumer_queue_new(struct consumer_topic *topic,
                                              const struct rmq_queue *queue);
struct consumer_queue *rmq_consumer_queue_find(struct consumer_topic *topic, const char *broker,
                                               int32_t id);
/* Begin reading at the offset. */
void rmq_consumer_queue_read(struct consumer_queue *queue, int64_t offset);
/* Stop reading; what was pulled is dropped. */
void rmq_consumer_queue_stop(struct consumer_queue *queue);
/* It is not ours any more: stop, then leave step by step. */
void rmq_consumer_queue_leave(struct consumer_queue *queue);
/* The next step, when no request is on its way. May free the queue. */
void rmq_consumer_queue_leave_on(struct consumer_queue *queue);

/* --- describe.c --- */

/* For struct rmq_group_service; arg: the consumer. */
int rmq_consumer_describe(void *arg, struct rmq_buf *buf);

/* --- rebalance.c --- */

void rmq_consumer_rebalance(struct consumer_topic *topic);

/* --- offsets.c --- */

/* Find out where to begin, and read. */
void rmq_consumer_queue_start(struct consumer_queue *queue);
/* Must it wait for another's first commit? Then queue_leave_on is called again. */
bool rmq_consumer_queue_must_wait(const struct consumer_queue *queue);
/* Send the queue's offset. false: it could not be sent. */
bool rmq_consumer_queue_commit(struct consumer_queue *queue, int64_t timeout_ms);
bool rmq_consumer_queue_dirty(const struct consumer_queue *queue);
void rmq_consumer_pass(struct rmq_consumer *consumer);
/* The pass in which nothing was sent. */
void rmq_consumer_pass_end(struct rmq_consumer *consumer);
void rmq_consumer_waiters_end(struct rmq_list *waiters, int rc);

/* For struct rmq_group_service; arg: the consumer. */
void rmq_consumer_reset(void *arg, struct rmq_view topic, const struct rmq_queue_json *queues,
                        size_t count);

/* --- locks.c --- */

/* Ask for locks that are wanted or to be renewed; stop those that are not sure any more. */
void rmq_consumer_lock(struct rmq_consumer *consumer);
/* false: it could not be sent. */
bool rmq_consumer_queue_unlock(struct consumer_queue *queue, int64_t timeout_ms);

#endif
