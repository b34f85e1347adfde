/* SPDX-License-Identifier: Apache-2.0 */
/* The listener: one thread with a libuv loop that owns all connections. The HTTP part is our own,
 * since what is promised here - URLs of 1 MiB, their memory bounded over all connections, heads
 * that trickle, six-digit requests per second - did not go together in libmicrohttpd 0.9.75: it
 * clears a connection's whole memory pool after every request, so that with pools of 1.1 MiB it
 * answered 24,000 requests/s over 4 connections and 10,000 over 200 (104,000 and 110,000 with 32
 * KiB), and its timeout starts anew with each byte.
 *
 * A request goes to the control loop by gt_worker_submit; its done() runs there and mails the
 * connection back here. */
#include "rest/conn.h"

#include "base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_DEFAULT = 256, IDLE_DEFAULT_S = 30, BACKLOG = 511 };

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        gt_conn_accept(listener->data);
    else
        gt_warn("rest", "connection not accepted err=\"%s\"", uv_strerror(status));
}

static void on_stop_mail(struct gt_mail *mail)
{
    struct gt_rest *rest = (struct gt_rest *)((char *)mail - offsetof(struct gt_rest, stop_mail));

    rest->stopping = true;
    uv_close((uv_handle_t *)&rest->listener, NULL);
    uv_close((uv_handle_t *)&rest->timer, NULL);
    gt_conn_stop_all(rest);
    if (rest->connection_count == 0)
        gt_rest_drained(rest);
}

void gt_rest_drained(struct gt_rest *rest)
{
    gt_mailbox_close(&rest->mailbox, NULL); /* the last handle: uv_run returns */
}

static void *run(void *arg)
{
    struct gt_rest *rest = arg;

    (void)uv_run(&rest->loop, UV_RUN_DEFAULT); /* 0: no handle is left */
    return NULL;
}

/* Signals are the main thread's; among them SIGPIPE, which becomes an ordinary error here. */
static int start_thread(struct gt_rest *rest)
{
    sigset_t all, before;

    sigfillset(&all);
    int rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc != 0)
        return rc;
    rc = pthread_create(&rest->thread, NULL, run, rest);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail with a mask that was set */
    if (rc == 0)
        (void)pthread_setname_np(rest->thread, "gantry-rest"); /* for people only */
    return rc;
}

static int parse_address(const struct gt_rest_settings *settings, struct sockaddr_storage *ret,
                         struct gantry_err *err)
{
    if (settings->port < 0 || settings->port > 65535)
        return gantry_err_set(err, GANTRY_INVALID, "httpPort %d: not between 0 and 65535",
                              settings->port);
    if (uv_ip4_addr(settings->address, settings->port, (struct sockaddr_in *)ret) != 0 &&
        uv_ip6_addr(settings->address, settings->port, (struct sockaddr_in6 *)ret) != 0)
        return gantry_err_set(err, GANTRY_INVALID,
                              "rest.address '%s': not a numeric address; give one such as "
                              "127.0.0.1, 0.0.0.0 or ::1",
                              settings->address);
    return 0;
}

static int listen_on(struct gt_rest *rest, const struct gt_rest_settings *settings,
                     struct gantry_err *err)
{
    struct sockaddr_storage address = {0};
    int len = sizeof address;

    int rc = parse_address(settings, &address, err);
    if (rc != 0)
        return rc;
    rc = uv_tcp_bind(&rest->listener, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&rest->listener, BACKLOG, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(&rest->listener, (struct sockaddr *)&address, &len);
    if (rc == UV_EADDRINUSE)
        return gantry_err_set(err, GANTRY_BUSY,
                              "httpPort %d on %s is in use by another program; set httpPort to a "
                              "free port",
                              settings->port, settings->address);
    if (rc == UV_EADDRNOTAVAIL)
        return gantry_err_set(err, GANTRY_INVALID,
                              "rest.address '%s': this machine does not have that address",
                              settings->address);
    if (rc == UV_EACCES)
        return gantry_err_set(err, GANTRY_DENIED,
                              "httpPort %d: not allowed for this user; use a port above 1023",
                              settings->port);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_IO, "httpPort %d on %s: cannot listen: %s",
                              settings->port, settings->address, uv_strerror(rc));
    rest->port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                     : ((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void free_rest(struct gt_rest *rest)
{
    gt_access_deinit(&rest->access);
    gt_reply_deinit(&rest->reply);
    free(rest);
}

static int open_loop(struct gt_rest *rest, const struct gt_rest_settings *settings,
                     struct gantry_err *err)
{
    int rc = uv_loop_init(&rest->loop);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_IO, "rest: no event loop: %s", uv_strerror(rc));
    rc = uv_tcp_init(&rest->loop, &rest->listener);
    if (rc == 0)
        rc = uv_timer_init(&rest->loop, &rest->timer);
    if (rc == 0)
        rc = gt_mailbox_init(&rest->mailbox, &rest->loop);
    rest->listener.data = rest;
    rest->timer.data = rest;
    if (rc != 0)
        rc = gantry_err_set(err, GANTRY_IO, "rest: no event loop: %s", uv_strerror(rc));
    else
        rc = listen_on(rest, settings, err);
    if (rc == 0) {
        int thread_error = start_thread(rest);
        if (thread_error == 0)
            return 0;
        rc = gantry_err_set(err, GANTRY_IO, "rest: no thread: %s", strerror(thread_error));
    }
    uv_walk(&rest->loop, close_handle, NULL);
    (void)uv_run(&rest->loop, UV_RUN_DEFAULT); /* lets the handles go */
    (void)uv_loop_close(&rest->loop);          /* nothing is open */
    return rc;
}

int gt_rest_start(const struct gt_rest_settings *settings, struct gt_worker *worker,
                  struct gt_rest **ret, struct gantry_err *err)
{
    struct gt_rest *rest = calloc(1, sizeof *rest);

    if (rest == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "rest: out of memory");
    rest->worker = worker;
    rest->dialect = gt_dialect_of(settings->dialect);
    rest->max_connections =
        settings->max_connections > 0 ? settings->max_connections : CONNECTIONS_DEFAULT;
    rest->idle_ms = 1000ULL * (uint64_t)(settings->idle_timeout_s > 0 ? settings->idle_timeout_s
                                                                      : IDLE_DEFAULT_S);
    rest->timer_due_ms = UINT64_MAX;
    rest->stop_mail.run = on_stop_mail;
    gt_reply_init(&rest->reply);
    int rc = gt_access_init(&rest->access, settings, err);
    if (rc == 0)
        rc = open_loop(rest, settings, err);
    if (rc != 0) {
        free_rest(rest);
        return rc;
    }
    gt_debug("rest", "listening address=%s port=%d dialect=%s", settings->address, rest->port,
             rest->dialect->name);
    *ret = rest;
    return 0;
}

int gt_rest_port(const struct gt_rest *rest)
{
    return rest->port;
}

void gt_rest_stop(struct gt_rest *rest)
{
    if (rest == NULL)
        return;
    (void)gt_mailbox_send(&rest->mailbox, &rest->stop_mail); /* sent once */
    (void)pthread_join(rest->thread, NULL); /* fails only for a thread that is none */
    (void)uv_loop_close(&rest->loop);       /* the thread left nothing open */
    free_rest(rest);
}
