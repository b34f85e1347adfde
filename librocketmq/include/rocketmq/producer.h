/* SPDX-License-Identifier: Apache-2.0 */
/* Sending. A send is one request: one message, or a batch that is stored whole or not at all, at
 * consecutive offsets of one queue.
 *
 * Order: a broker stores pipelined sends to one queue in any order. With ordered, sends to one
 * queue wait for each other (one request in flight a queue, queues in parallel), and when one fails
 * those behind it to that queue end with RMQ_ABORTED, until rmq_producer_resume: nothing overtakes.
 *
 * Thread: the client's loop. */
#ifndef ROCKETMQ_PRODUCER_H
#define ROCKETMQ_PRODUCER_H

#include <rocketmq/client.h>
#include <rocketmq/message.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rmq_producer;

struct rmq_producer_options {
    size_t struct_size;
    const char *group;       /* required */
    int64_t send_timeout_ms; /* of one attempt; 0: 3000 */
    /* Further attempts of a send that names no queue and was surely not stored (never sent, or
     * refused with a code that says so), each on another broker where there is one; default 2. A
     * send whose outcome is unknown is tried again only with retry_unknown (it may be stored
     * twice). With ordered there are none: on another queue it would overtake or be overtaken. */
    int retries; /* -1: none; 0: 2 */
    bool retry_unknown;
    bool ordered;
    bool avoid_faults;                /* leave out brokers that were slow or failed, for a while */
    enum rmq_compression compression; /* of single messages; batches are never compressed */
    size_t compress_from;             /* body bytes; 0: 4096 */
    int compression_level;            /* 0: the usual one */
    size_t max_in_flight;             /* sends under way or waiting; 0: 1024. More: RMQ_AGAIN. */
    size_t max_in_flight_bytes;       /* 0: 64 MiB. A send larger than that goes alone. */
    /* A topic that nobody has: send to a broker that makes topics by itself (the route of TBW102).
     * Else such a send ends with RMQ_NOT_FOUND. */
    bool auto_create;
    int32_t auto_create_queues; /* of a topic made so; 0: 4 */
};

struct rmq_outgoing {
    struct rmq_view body; /* 0 bytes: sent inside a batch frame, for a broker takes it there only */
    struct rmq_view properties; /* encoded, rmq_properties_add */
    int32_t flag;
};

/* Where a send goes. */
struct rmq_target {
    const char *topic;
    const char *broker; /* NULL: the next queue in turn */
    int32_t queue_id;   /* with broker */
};

struct rmq_send_result {
    const char *broker; /* valid during the call */
    int32_t queue_id;
    int64_t queue_offset;   /* of the first message; the others follow. -1: the broker gave none */
    int32_t server_code;    /* 0, or 10, 11, 12: stored, but not flushed or copied in time */
    const char *message_id; /* of the first message */
};

/* rc 0: stored. RMQ_REFUSED, RMQ_UNREACHABLE, RMQ_NOT_FOUND (no such topic), RMQ_ABORTED,
 * RMQ_TOO_LARGE, RMQ_NO_MEMORY: surely not stored (of the last attempt: after an attempt of unknown
 * outcome that retry_unknown repeats, the error is that of the first unknown one). RMQ_LOST,
 * RMQ_TIMEOUT, RMQ_CLOSED: unknown. result is filled with rc 0; with others its broker and queue
 * say where the last attempt went (broker NULL: nowhere). */
typedef void (*rmq_sent_fn)(void *arg, int rc, const struct rmq_send_result *result,
                            const struct rmq_err *err);

int rmq_producer_new(struct rmq_client *client, const struct rmq_producer_options *options,
                     struct rmq_producer **ret, struct rmq_err *err);
/* Sends under way end with RMQ_CLOSED before this returns. */
void rmq_producer_close(struct rmq_producer *producer);

/* One message (count 1) or a batch; all of a batch have the same WAIT property or none. Encoded at
 * once: views are not needed afterwards. 0: done runs exactly once | RMQ_AGAIN too much is under
 * way: wait for a done | RMQ_TOO_LARGE (a body or a batch above RMQ_BODY_MAX, properties above
 * their limit) | RMQ_INVALID | RMQ_NO_MEMORY. */
int rmq_producer_send(struct rmq_producer *producer, const struct rmq_target *target,
                      const struct rmq_outgoing *messages, size_t count, rmq_sent_fn done,
                      void *arg, struct rmq_err *err);
/* The same with a batch body made before by rmq_batch_add: with 0 it is taken over and the buffer
 * is empty, with an error it is as before. WAIT of its first message counts for all. */
int rmq_producer_send_batch(struct rmq_producer *producer, const struct rmq_target *target,
                            struct rmq_buf *body, rmq_sent_fn done, void *arg, struct rmq_err *err);
/* Ordered: let sends to this queue pass again after a failure has been dealt with. */
void rmq_producer_resume(struct rmq_producer *producer, const char *topic, const char *broker,
                         int32_t queue_id);
/* The same key, the same queue, while the topic's queues stay what they are: an index into
 * write_queues. For keys in UTF-8 it is that of the Java client's SelectMessageQueueByHash. */
size_t rmq_queue_by_key(struct rmq_view key, size_t queue_count);

#ifdef __cplusplus
}
#endif
#endif
