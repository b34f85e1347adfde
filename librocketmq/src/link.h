/* SPDX-License-Identifier: Apache-2.0 */
/* A connection inside: connection.c has the requests and what the user calls, link.c the socket,
 * with TLS, and the state. Thread: the loop's. */
#ifndef RMQ_LINK_H
#define RMQ_LINK_H

#include "connection.h"
#include "list.h"
#include "tls.h"

enum { RMQ_BUCKETS = 512 };

struct call;

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    struct rmq_connection *owner; /* NULL once given up */
    bool resolving, closed;
    size_t unwritten; /* bytes handed to libuv */
    /* With TLS, which stands between the socket and the frames. */
    struct rmq_tls_session *tls; /* owned; NULL: plain */
    bool shaken;                 /* the handshake is done */
    char *cipher;                /* owned; where the socket is read into */
    struct rmq_buf sealed;       /* to be written */
    struct rmq_frame_reader reader;
    struct rmq_command incoming;
};

enum state { STATE_IDLE, STATE_PAUSE, STATE_CONNECTING, STATE_OPEN, STATE_CLOSED };

/* Deadlines are over because the loop stood still: seen, and sockets have been looked at since. */
enum late { LATE_NOT, LATE_SEEN, LATE_LOOKED };

struct rmq_connection {
    uv_loop_t *loop;
    enum state state;
    struct rmq_connection_options options;
    char address[RMQ_HOST_MAX + 8];
    char host[RMQ_HOST_MAX];
    char port[8];
    struct link *link;               /* owned while CONNECTING or OPEN */
    struct addrinfo *found, *trying; /* while CONNECTING: a name's addresses, and one of them */
    size_t links;                    /* alive, those given up included */
    size_t handles;                  /* of ours, not yet closed */
    uv_timer_t phase;                /* end of a pause, or of the time to connect */
    uv_timer_t timer;                /* the earliest deadline */
    uv_prepare_t flush;
    int64_t pause_ms; /* the next one */
    bool failing;
    uint64_t received_ms; /* when the link last brought bytes */
    enum late late;
    int32_t next_opaque;
    struct rmq_list waiting, sent, deadlines;
    struct rmq_list dropped; /* sent, and lost with a reset; reported from the loop */
    size_t waiting_count, waiting_bytes, sent_count;
    struct call *buckets[RMQ_BUCKETS];
    struct rmq_buf out; /* to be written at the end of this turn of the loop */
    char problem[160];  /* of the last link */
    void (*done)(void *arg);
    void *done_arg;
};

/* --- link.c --- */

/* Make the next link when the pause is over and a request waits. */
void rmq_link_pause(struct rmq_connection *connection, int64_t pause_ms);
/* Give the link up; it frees itself later. reset: the system forgets what it has not sent yet. */
void rmq_link_drop(struct rmq_connection *connection, bool reset);
/* Give it up because of a failure, end the requests and begin a pause. why may be NULL. */
void rmq_link_lose(struct rmq_connection *connection, const char *what, const char *why);
/* Hand over what has gathered in connection->out, at one go. May lose the link. */
void rmq_link_write(struct rmq_connection *connection);

/* --- connection.c --- */

/* End all requests that are open now; what their callbacks ask for anew is not touched. */
void rmq_connection_end_all(struct rmq_connection *connection, int rc_waiting, int rc_sent,
                            const char *text);
/* Set the timer to the earliest deadline. */
void rmq_connection_arm(struct rmq_connection *connection);
/* Send what waits at the end of this turn of the loop. */
void rmq_connection_want_flush(struct rmq_connection *connection);
/* A frame has arrived. May lose or drop the link. */
void rmq_connection_take(struct rmq_connection *connection, const struct rmq_command *incoming);
/* Free a closed connection when nothing of libuv points to it any more. */
void rmq_connection_end(struct rmq_connection *connection);

#endif
