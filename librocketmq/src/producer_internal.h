/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the producer share.
 *
 * A send waits for its topic's route (topic->waiting), with `ordered` for its turn in its line
 * (line->waiting), then for room at its broker (broker->waiting), is on the wire, and perhaps rests
 * before another attempt (producer->resting). It stands in at most one of these lists, and always
 * in producer->all, so that closing finds every one. It ends in rmq_send_end and nowhere else.
 *
 * Memory of the producer outlives rmq_producer_close until the loop's close callbacks run, so after
 * a callback of the caller's `closed` may be read. A send on the wire outlives it until its reply,
 * without an owner. */
#ifndef RMQ_PRODUCER_INTERNAL_H
#define RMQ_PRODUCER_INTERNAL_H

#include <rocketmq/producer.h>
#include "internal.h"

/* In flight to one broker: more only wait there, and a broker refuses what waits for 200 ms. */
enum { RMQ_BROKER_SENDS = 256, RMQ_BROKER_BYTES = 8 << 20, RMQ_TOPIC_MAX = 127 };

struct rmq_send;

struct rmq_send_list {
    struct rmq_send *first, *last;
};

/* A broker by name, with what is known about sending to it. Lives as long as the producer. */
struct rmq_send_broker {
    struct rmq_send_broker *next;
    struct rmq_send_list waiting;
    size_t sends, bytes;     /* on the wire */
    uint64_t unavailable_ms; /* left out until then (uv_now), with avoid_faults */
    char name[];
};

struct rmq_route_question;

struct rmq_send_topic {
    struct rmq_send_topic *next;
    const struct rmq_route *route; /* counted; NULL: not known */
    struct rmq_route_watch *watch;
    struct rmq_membership *membership; /* so that the group shows in the brokers' lists */
    struct rmq_route_question *asking; /* under way */
    bool from_default;                 /* the route is that of TBW102: nobody has the topic yet */
    uint64_t asked_ms;                 /* when a fresh route was last asked for */
    struct rmq_send_list waiting;
    size_t sends; /* not ended; 0: may be forgotten */
    char name[];
};

/* Sends to one queue, one after the other. There while something waits, is under way, or it is
 * blocked. */
struct rmq_send_line {
    struct rmq_send_line *chain;
    struct rmq_send_topic *topic;
    struct rmq_send_broker *broker;
    int32_t queue_id;
    struct rmq_send *busy;
    bool blocked; /* one has failed, until resume */
    struct rmq_send_list waiting;
};

enum { RMQ_SEND_LINES = 256 };

struct rmq_producer {
    struct rmq_client *client;
    struct rmq_producer_options options; /* its texts: owned */
    bool closed;
    uv_timer_t timer; /* for `resting`, and for brokers whose connection was full */
    struct rmq_send *all;
    struct rmq_send_list resting; /* sorted by due_ms */
    size_t sends, bytes;          /* not ended */
    uint32_t turn;                /* of the queues */
    struct rmq_send_topic *topics;
    size_t topic_count;
    struct rmq_send_broker *brokers;
    struct rmq_send_line *lines[RMQ_SEND_LINES];
    uv_loop_t *loop;
};

struct rmq_send {
    struct rmq_producer *producer; /* NULL: closed meanwhile; on the wire only for its reply */
    struct rmq_send *next, *prev;  /* of `in` */
    struct rmq_send_list *in;      /* NULL: none */
    struct rmq_send *all_next, *all_prev;
    struct rmq_send_topic *topic;
    struct rmq_send_line *line;     /* ordered, once its queue is known */
    struct rmq_send_broker *broker; /* of the last attempt; NULL: none yet */
    int32_t queue_id;
    bool named; /* the caller chose the queue */
    bool on_wire;
    bool batch;
    bool failed;       /* rests only to end outside the caller's call */
    bool maybe_stored; /* an attempt's outcome is unknown: err says why, and stays the outcome */
    int retries_left;  /* further attempts */
    int32_t flag, sys_flag;
    int64_t born_ms;
    uint64_t due_ms, sent_ms;
    struct rmq_view body, properties; /* in bytes, or static */
    char *bytes;                      /* owned */
    size_t cost;                      /* as counted in bytes */
    rmq_sent_fn done;
    void *arg;
    struct rmq_err err; /* with failed or maybe_stored */
};

/* --- lists --- */

static inline void rmq_send_push(struct rmq_send_list *list, struct rmq_send *send)
{
    send->in = list;
    send->next = NULL;
    send->prev = list->last;
    if (list->last != NULL)
        list->last->next = send;
    else
        list->first = send;
    list->last = send;
}

static inline void rmq_send_unlink(struct rmq_send *send)
{
    struct rmq_send_list *list = send->in;
    if (list == NULL)
        return;
    if (send->prev != NULL)
        send->prev->next = send->next;
    else
        list->first = send->next;
    if (send->next != NULL)
        send->next->prev = send->prev;
    else
        list->last = send->prev;
    send->in = NULL;
}

/* --- producer_message.c: what is sent --- */

/* Make a send of messages, encoded. 0 | RMQ_INVALID | RMQ_TOO_LARGE | RMQ_NO_MEMORY. */
int rmq_send_encode(const struct rmq_producer *producer, const struct rmq_outgoing *messages,
                    size_t count, struct rmq_send **ret, struct rmq_err *err);
/* The same of a batch body, which is taken over with success only. */
int rmq_send_encode_batch(struct rmq_buf *body, struct rmq_send **ret, struct rmq_err *err);
void rmq_send_free(struct rmq_send *send);
/* Fill a request; it borrows from the send and the producer. */
void rmq_send_request(const struct rmq_producer *producer, const struct rmq_send *send,
                      struct rmq_command *request);

/* --- producer_route.c: where it goes --- */

/* NULL: no memory, or (make false) not there. */
struct rmq_send_topic *rmq_send_find_topic(struct rmq_producer *producer, const char *name,
                                           bool make);
struct rmq_send_broker *rmq_send_find_broker(struct rmq_producer *producer, const char *name,
                                             bool make);
struct rmq_send_line *rmq_send_find_line(struct rmq_producer *producer,
                                         struct rmq_send_topic *topic,
                                         struct rmq_send_broker *broker, int32_t queue_id,
                                         bool make);
/* Forget a line that nothing needs any more. */
void rmq_send_drop_line(struct rmq_producer *producer, struct rmq_send_line *line);
/* Ask for the topic's route, unless that is under way or (with a route at hand) was done within the
 * last second. What waits for it goes on, or ends, when it is there. 0 | as rmq_client_route. */
int rmq_send_ask_route(struct rmq_producer *producer, struct rmq_send_topic *topic, bool fresh,
                       struct rmq_err *err);
/* The next queue in turn: broker and queue_id of the send are set. 0 | RMQ_UNREACHABLE none can be
 * written to | RMQ_ABORTED all are blocked | RMQ_NO_MEMORY. */
int rmq_send_pick(struct rmq_send *send, struct rmq_err *err);
/* An attempt at the broker took this long, or failed. */
void rmq_send_note_latency(const struct rmq_producer *producer, struct rmq_send_broker *broker,
                           uint64_t latency_ms, bool failed);
/* Give back what the client holds for topics: it may be closed before the loop runs again. */
void rmq_send_leave_routes(struct rmq_producer *producer);
/* Frees topics, brokers and lines; nothing stands in their lists any more. */
void rmq_send_free_places(struct rmq_producer *producer);

/* --- producer.c: what happens to it --- */

/* Pick the queue, if the topic's route is known, and go on. Never ends it at once. */
void rmq_send_place(struct rmq_send *send);
/* End it. The callback runs inside. */
void rmq_send_end(struct rmq_send *send, int rc, const struct rmq_send_result *result,
                  const struct rmq_err *err);
/* End it with this error from the loop, soon. */
void rmq_send_fail_later(struct rmq_send *send, const struct rmq_err *err);

#endif
