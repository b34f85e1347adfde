/* SPDX-License-Identifier: Apache-2.0 */
/* One server, by address: requests in, replies out, over one TCP connection that is made when
 * needed and made again, with growing pauses, after it was lost. Many requests may be in flight;
 * replies are matched by number and come in any order.
 *
 * Everything happens on the thread of the loop. Callbacks run from the loop, never inside the call
 * that asked for them, and may call anything here, closing included. */
#ifndef ROCKETMQ_CONNECTION_H
#define ROCKETMQ_CONNECTION_H

#include <rocketmq/command.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rmq_connection;
struct rmq_tls; /* of rmq_tls_new in tls.h */

/* rc: 0 and the reply, whatever its code (views valid during the call) | RMQ_UNREACHABLE surely not
 * sent | RMQ_LOST, RMQ_TIMEOUT, RMQ_CLOSED (by this side) maybe carried out. err says more when rc
 * is not 0. */
typedef void (*rmq_reply_fn)(void *arg, int rc, const struct rmq_command *reply,
                             const struct rmq_err *err);

struct rmq_connection_options {
    size_t struct_size;         /* sizeof(struct rmq_connection_options) */
    int64_t connect_timeout_ms; /* to each address of a name; 0: 3000 */
    int64_t backoff_min_ms;     /* 0: 100 */
    int64_t backoff_max_ms;     /* 0: 10000 */
    size_t max_in_flight;       /* sent and not answered; 0: 256. More wait their turn. */
    size_t max_waiting;         /* requests not yet sent; 0: 10000 */
    size_t max_waiting_bytes;   /* not yet sent, or not yet taken by the system; 0: 64 MiB */
    size_t max_frame;           /* of a reply; 0: RMQ_FRAME_MAX */
    enum rmq_codec codec;       /* of requests; codes above 32767 always go as JSON */
    void *arg;                  /* of the two callbacks, which may be NULL */
    void (*opened)(void *arg);  /* after each connect */
    /* A request of the server. Returns the code of the reply, whose body (none) may be appended to
     * ret_body, up to 1 MiB; RMQ_REPLY_NOT_SUPPORTED, as without this function, where it does not
     * know the request. Of a one-way request nothing is sent. */
    int32_t (*requested)(void *arg, const struct rmq_command *request, struct rmq_buf *ret_body);
    /* A connect failed, or the connection is gone; not after rmq_connection_close or a reset. The
     * requests that it took along have ended before. why: one line, valid during the call. */
    void (*lost)(void *arg, const char *why);
    struct rmq_tls *tls; /* borrowed until close is done; NULL: plain */
};

/* address: host:port, [ipv6]:port or ipv6:port. Does not connect yet. */
int rmq_connection_new(uv_loop_t *loop, const char *address,
                       const struct rmq_connection_options *options, struct rmq_connection **ret,
                       struct rmq_err *err);
/* Ask. The request is encoded at once, with a number of its own, and not needed afterwards.
 * Returns 0: reply runs exactly once, after timeout_ms (1 or more) at the latest | RMQ_AGAIN too
 * much is waiting | RMQ_CLOSED | RMQ_INVALID, RMQ_TOO_LARGE, RMQ_NO_MEMORY: reply never runs. */
int rmq_connection_call(struct rmq_connection *connection, struct rmq_command *request,
                        int64_t timeout_ms, rmq_reply_fn reply, void *arg, struct rmq_err *err);
/* Without a reply. 0: it will be sent if the connection stands or can be made. */
int rmq_connection_post(struct rmq_connection *connection, struct rmq_command *request,
                        struct rmq_err *err);
/* The last attempt failed and the pause before the next one has not ended. */
bool rmq_connection_failing(const struct rmq_connection *connection);
const char *rmq_connection_address(const struct rmq_connection *connection);
/* Every open request ends with RMQ_CLOSED, before this returns; done (may be NULL) runs when all
 * memory is free. Call once. */
void rmq_connection_close(struct rmq_connection *connection, void (*done)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
