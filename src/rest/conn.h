/* SPDX-License-Identifier: Apache-2.0 */
/** A listener's inside and its connections; for server.c and conn.c alone. Everything here is
 * touched by the listener's thread only, but for `mailbox`, by which others reach it. */
#ifndef GT_REST_CONN_H
#define GT_REST_CONN_H

#include "rest/access.h"
#include "rest/dialect.h"

enum {
    GT_REST_READ_MAX = 64 << 10,   /* bytes of one read */
    GT_REST_FIELDS_MAX = 16 << 10, /* header fields of one request */
    GT_REST_AHEAD_MAX = 64 << 10,  /* bytes kept of what a client sends before it has its reply */
    GT_REST_BODY_MAX =
        64 << 10, /* a body up to this long is read and dropped, a longer one ends the connection */
    GT_REST_RECEIVED_MAX = 16 << 20, /* unfinished requests of all connections together */
    GT_REST_UNSENT_MAX = 32 << 20, /* unsent replies of all connections together, but the newest */
    GT_REST_LINGER_MS =
        2000, /* how long a refused client's bytes are read, so that it sees the refusal */
    GT_REST_SEND_BYTES_PER_S = 16 << 10, /* a client may take a long reply this slowly */
};

struct gt_conn;

struct gt_rest {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t timer; /* runs only while a connection has a deadline */
    uint64_t timer_due_ms;
    struct gt_mailbox mailbox;
    struct gt_mail stop_mail;
    pthread_t thread;
    bool stopping;
    bool accept_waits;        /* a connection waits on the listener for memory */
    struct gt_worker *worker; /* borrowed */
    const struct gt_dialect *dialect;
    struct gt_access access;
    struct gt_reply reply; /* the one being made */
    int port, max_connections;
    uint64_t idle_ms;
    struct gt_conn *connections;         /* doubly linked */
    int connection_count;                /* all of the list */
    int open_count;                      /* without those that are closing */
    size_t received_bytes, unsent_bytes; /* held by all connections */
    uint64_t denied_logged_ms;
    char scratch[GT_REST_READ_MAX]; /* where every read goes first */
};

/** Accept a connection that waits on the listener. */
void gt_conn_accept(struct gt_rest *rest);
/** Close all connections, those whose request the worker has once it has answered. */
void gt_conn_stop_all(struct gt_rest *rest);
/** The last connection of a listener that stops is gone. */
void gt_rest_drained(struct gt_rest *rest);

#endif
