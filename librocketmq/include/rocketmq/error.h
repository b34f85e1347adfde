/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of librocketmq. A function that can fail returns 0 (or a count) or a negative enum
 * rmq_error, and says more in the caller's struct rmq_err, which may be NULL. */
#ifndef ROCKETMQ_ERROR_H
#define ROCKETMQ_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* number, name, text. The numbers are part of the interface and never change their meaning. */
#define RMQ_ERROR_LIST(X)                                                                          \
    X(1, NO_MEMORY, "out of memory")                                                               \
    X(2, INVALID, "an argument or a setting is wrong")                                             \
    X(3, MALFORMED, "the peer sent bytes that are not of the protocol")                            \
    X(4, TOO_LARGE, "a size is above its limit")                                                   \
    X(5, AGAIN, "a queue is full: nothing was kept, try again later")                              \
    X(6, CLOSED, "closed by this side")                                                            \
    X(7, UNREACHABLE, "no connection: the request was never sent")                                 \
    X(8, LOST, "connection lost after the request was sent: its outcome is unknown")               \
    X(9, TIMEOUT, "no reply in time: if the request was sent, its outcome is unknown")             \
    X(10, REFUSED, "the server answered with an error code")                                       \
    X(11, NOT_FOUND, "there is no such thing")                                                     \
    X(12, ABORTED, "not tried, because an earlier one of the same queue failed")                   \
    X(13, CORRUPT, "a checksum or a compressed body is wrong")                                     \
    X(14, MOVED, "the server does not have that offset: reading goes on at another one")

enum rmq_error {
    RMQ_OK = 0,
#define RMQ_ERROR_ENUM(number, name, text) RMQ_##name = -number,
    RMQ_ERROR_LIST(RMQ_ERROR_ENUM)
#undef RMQ_ERROR_ENUM
};

struct rmq_err {
    int code;            /* enum rmq_error */
    int32_t server_code; /* with RMQ_REFUSED: the code of the reply, else 0 */
    char text[232];      /* what, with the value that was wrong; never empty after an error */
};

/* "TIMEOUT"; "UNKNOWN" for a number that is none. Static text. */
const char *rmq_error_name(int code);
/* One sentence. Static text. */
const char *rmq_error_text(int code);

#ifdef __cplusplus
}
#endif
#endif
