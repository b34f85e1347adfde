/* SPDX-License-Identifier: Apache-2.0 */
/* A connection is a row of links: one link is one attempt to connect and, when it succeeds, the
 * socket. A link that has failed forgets its owner, closes its handle and frees itself; the
 * connection waits a while (twice as long each time, until a server has answered something) and
 * makes the next link when a request asks for it.
 *
 * A request is encoded into its own buffer, waits in `waiting`, moves to `sent` and the hash by
 * opaque when the window allows, and ends exactly once in end_call. All open requests are also in
 * `deadlines`, sorted, for one timer. A request that runs out while nothing at all has been
 * received since it was sent takes its link with it: a peer that does not speak is given up. */
#include <rocketmq/connection.h>
#include "connection.h"
#include "internal.h"
#include "list.h"
#include "tls.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS = 512, CIPHER_SPACE = 64 << 10 };

struct call {
    struct rmq_list queue;    /* waiting or sent */
    struct rmq_list deadline; /* of a call that wants a reply */
    struct call *chain;       /* of its bucket, once sent */
    rmq_reply_fn reply;       /* NULL: one-way */
    void *arg;
    uint64_t deadline_ms;
    uint64_t sent_ms;
    int32_t opaque;
    int32_t code;
    bool sent;
    struct rmq_buf frame; /* owned until sent */
};

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

struct rmq_connection {
    uv_loop_t *loop;
    enum state state;
    struct rmq_connection_options options;
    char address[RMQ_HOST_MAX + 8];
    char host[RMQ_HOST_MAX];
    char port[8];
    struct link *link; /* owned while CONNECTING or OPEN */
    size_t links;      /* alive, those given up included */
    size_t handles;    /* of ours, not yet closed */
    uv_timer_t phase;  /* end of a pause, or of the time to connect */
    uv_timer_t timer;  /* the earliest deadline */
    uv_prepare_t flush;
    int64_t pause_ms; /* the next one */
    bool failing;
    uint64_t received_ms; /* when the link last brought bytes */
    int32_t next_opaque;
    struct rmq_list waiting, sent, deadlines;
    struct rmq_list dropped; /* sent, and lost with a reset; reported from the loop */
    size_t waiting_count, waiting_bytes, sent_count;
    struct call *buckets[BUCKETS];
    struct rmq_buf out; /* to be written at the end of this turn of the loop */
    char problem[160];  /* of the last link */
    void (*done)(void *arg);
    void *done_arg;
};

struct write {
    uv_write_t request;
    struct link *link;
    struct rmq_buf bytes;
};

static void begin_pause(struct rmq_connection *connection, int64_t pause_ms);
static void want_flush(struct rmq_connection *connection);
static void lose_link(struct rmq_connection *connection, const char *what, const char *why);

/* --- calls --- */

static struct call **bucket_of(struct rmq_connection *connection, int32_t opaque)
{
    return &connection->buckets[(uint32_t)opaque % BUCKETS];
}

static struct call *find_sent(struct rmq_connection *connection, int32_t opaque)
{
    struct call *call = *bucket_of(connection, opaque);
    while (call != NULL && call->opaque != opaque)
        call = call->chain;
    return call;
}

/* Out of every list; the caller ends it. */
static void detach(struct rmq_connection *connection, struct call *call)
{
    rmq_list_remove(&call->queue);
    rmq_list_remove(&call->deadline);
    if (!call->sent) {
        connection->waiting_count--;
        connection->waiting_bytes -= call->frame.len;
        return;
    }
    connection->sent_count--;
    struct call **at = bucket_of(connection, call->opaque);
    while (*at != call)
        at = &(*at)->chain;
    *at = call->chain;
}

static void free_call(struct call *call)
{
    rmq_buf_deinit(&call->frame);
    free(call);
}

/* The last thing done to a call; it is detached. */
static void end_call(struct call *call, int rc, const struct rmq_command *reply,
                     const struct rmq_err *err)
{
    rmq_reply_fn done = call->reply;
    void *arg = call->arg;
    free_call(call);
    if (done != NULL)
        done(arg, rc, reply, err);
}

/* End those in the list, which are detached. */
static void report(struct rmq_connection *connection, struct rmq_list *ended, int rc_waiting,
                   int rc_sent, const char *text)
{
    while (!rmq_list_empty(ended)) {
        struct call *call = RMQ_CONTAINER(ended->next, struct call, queue);
        struct rmq_err err;
        int rc = call->sent ? rc_sent : rc_waiting;
        rmq_list_remove(&call->queue);
        rmq_fail(&err, rc, "request %d to %s: %s", (int)call->code, connection->address, text);
        end_call(call, rc, NULL, &err);
    }
}

/* End those that are open now; what their callbacks ask for anew is not touched. */
static void end_all(struct rmq_connection *connection, int rc_waiting, int rc_sent,
                    const char *text)
{
    struct rmq_list ended;
    rmq_list_init(&ended);
    rmq_list_move_all(&connection->dropped, &ended);
    while (!rmq_list_empty(&connection->sent)) {
        struct call *call = RMQ_CONTAINER(connection->sent.next, struct call, queue);
        detach(connection, call);
        rmq_list_append(&ended, &call->queue);
    }
    while (!rmq_list_empty(&connection->waiting)) {
        struct call *call = RMQ_CONTAINER(connection->waiting.next, struct call, queue);
        detach(connection, call);
        rmq_list_append(&ended, &call->queue);
    }
    report(connection, &ended, rc_waiting, rc_sent, text);
}

static void on_deadline(uv_timer_t *timer);

static void arm_deadline(struct rmq_connection *connection)
{
    if (connection->state == STATE_CLOSED)
        return;
    if (rmq_list_empty(&connection->deadlines)) {
        (void)uv_timer_stop(&connection->timer); /* cannot fail on an initialized timer */
        return;
    }
    struct call *first = RMQ_CONTAINER(connection->deadlines.next, struct call, deadline);
    uint64_t now = uv_now(connection->loop);
    (void)uv_timer_start(&connection->timer, on_deadline,
                         first->deadline_ms > now ? first->deadline_ms - now : 0, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    uint64_t now = uv_now(connection->loop);
    bool silent = false;
    while (!rmq_list_empty(&connection->deadlines)) {
        struct call *call = RMQ_CONTAINER(connection->deadlines.next, struct call, deadline);
        struct rmq_err err;
        if (call->deadline_ms > now)
            break;
        silent |= call->sent && connection->received_ms <= call->sent_ms;
        bool was_sent = call->sent;
        detach(connection, call);
        rmq_fail(&err, was_sent ? RMQ_TIMEOUT : RMQ_UNREACHABLE, "request %d to %s: %s%s%s",
                 (int)call->code, connection->address,
                 was_sent ? "no reply in time" : "not sent in time",
                 connection->problem[0] != '\0' ? "; before: " : "", connection->problem);
        end_call(call, err.code, NULL, &err);
    }
    if (silent && connection->state == STATE_OPEN)
        lose_link(connection, "the server does not answer", NULL);
    arm_deadline(connection);
}

/* --- links --- */

static void end_connection(struct rmq_connection *connection)
{
    if (connection->state != STATE_CLOSED || connection->links > 0 || connection->handles > 0)
        return;
    void (*done)(void *) = connection->done;
    void *arg = connection->done_arg;
    rmq_buf_deinit(&connection->out);
    free(connection);
    if (done != NULL)
        done(arg);
}

/* The handle is closed and no name is being looked up: nothing of libuv points here any more. */
static void free_link(struct link *link, struct rmq_connection *counted_by)
{
    rmq_frame_reader_deinit(&link->reader);
    rmq_command_deinit(&link->incoming);
    rmq_tls_close(link->tls);
    rmq_buf_deinit(&link->sealed);
    free(link->cipher);
    free(link);
    counted_by->links--;
    end_connection(counted_by);
}

static void on_link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    link->closed = true;
    if (!link->resolving)
        free_link(link, link->resolve.data);
}

/* Give the link up; it frees itself later. reset: the system forgets what it has not sent yet. */
static void drop_link(struct rmq_connection *connection, bool reset)
{
    struct link *link = connection->link;
    connection->link = NULL;
    connection->out.len = 0;
    connection->waiting_bytes -= link->unwritten;
    link->owner = NULL;
    if (link->resolving)
        (void)uv_cancel((uv_req_t *)&link->resolve); /* too late for a running one: it ends */
    if (!reset || uv_tcp_close_reset(&link->tcp, on_link_closed) != 0)
        uv_close((uv_handle_t *)&link->tcp, on_link_closed);
}

static void lose_link(struct rmq_connection *connection, const char *what, const char *why)
{
    bool open = connection->state == STATE_OPEN;
    (void)snprintf(connection->problem, sizeof(connection->problem), "%s%s%s", what,
                   why == NULL ? "" : ": ", why == NULL ? "" : why);
    drop_link(connection, false);
    connection->failing = true;
    begin_pause(connection, connection->pause_ms);
    connection->pause_ms *= 2;
    if (connection->pause_ms > connection->options.backoff_max_ms)
        connection->pause_ms = connection->options.backoff_max_ms;
    char text[sizeof(connection->problem)];
    memcpy(text, connection->problem, sizeof(text)); /* a callback may change it */
    end_all(connection, RMQ_UNREACHABLE, open ? RMQ_LOST : RMQ_UNREACHABLE, text);
    arm_deadline(connection);
    if (connection->state != STATE_CLOSED && connection->options.lost != NULL)
        connection->options.lost(connection->options.arg, text);
}

static void on_written(uv_write_t *request, int status)
{
    struct write *write = (struct write *)request->data;
    struct link *link = write->link;
    struct rmq_connection *connection = link->owner;
    link->unwritten -= write->bytes.len;
    if (connection != NULL) {
        connection->waiting_bytes -= write->bytes.len;
        if (status != 0)
            lose_link(connection, "cannot write", uv_strerror(status));
        else
            want_flush(connection);
    }
    rmq_buf_deinit(&write->bytes);
    free(write);
}

/* Hand over all of bytes, which is empty then. False: the link is lost. */
static bool write_bytes(struct rmq_connection *connection, struct rmq_buf *bytes)
{
    struct link *link = connection->link;
    uv_buf_t buf = uv_buf_init(bytes->data, (unsigned)bytes->len);
    int done = link->unwritten == 0 ? uv_try_write((uv_stream_t *)&link->tcp, &buf, 1) : 0;
    if (done < 0 && done != UV_EAGAIN) {
        lose_link(connection, "cannot write", uv_strerror(done));
        return false;
    }
    size_t at = done > 0 ? (size_t)done : 0;
    if (at == bytes->len) {
        bytes->len = 0;
        return true;
    }
    struct write *write = calloc(1, sizeof(*write));
    if (write == NULL) {
        lose_link(connection, "out of memory", NULL);
        return false;
    }
    write->link = link;
    write->bytes = *bytes;
    write->request.data = write;
    rmq_buf_init(bytes, bytes->max);
    memmove(write->bytes.data, write->bytes.data + at, write->bytes.len - at);
    write->bytes.len -= at;
    buf = uv_buf_init(write->bytes.data, (unsigned)write->bytes.len);
    int rc = uv_write(&write->request, (uv_stream_t *)&link->tcp, &buf, 1, on_written);
    if (rc != 0) {
        rmq_buf_deinit(&write->bytes);
        free(write);
        lose_link(connection, "cannot write", uv_strerror(rc));
        return false;
    }
    link->unwritten += write->bytes.len;
    connection->waiting_bytes += write->bytes.len;
    return true;
}

/* Write what TLS has to say. False: the link is lost. */
static bool write_sealed(struct rmq_connection *connection)
{
    struct link *link = connection->link;
    if (rmq_tls_take(link->tls, &link->sealed) != 0) {
        lose_link(connection, "out of memory", NULL);
        return false;
    }
    return link->sealed.len == 0 || write_bytes(connection, &link->sealed);
}

/* Hand over what has gathered in this turn of the loop, at one go. */
static void write_out(struct rmq_connection *connection)
{
    struct link *link = connection->link;
    struct rmq_err err;
    if (link->tls == NULL) {
        (void)write_bytes(connection, &connection->out);
        return;
    }
    int rc = rmq_tls_write(link->tls, connection->out.data, connection->out.len, &err);
    connection->out.len = 0;
    if (rc != 0)
        lose_link(connection, err.text, NULL);
    else
        (void)write_sealed(connection);
}

/* Move what the window allows from waiting to sent. False when memory has run out. */
static bool send_waiting(struct rmq_connection *connection)
{
    while (!rmq_list_empty(&connection->waiting)) {
        struct call *call = RMQ_CONTAINER(connection->waiting.next, struct call, queue);
        if (call->reply != NULL && connection->sent_count >= connection->options.max_in_flight)
            break;
        if (rmq_buf_append(&connection->out, call->frame.data, call->frame.len) != 0)
            return connection->out.len > 0; /* full: the rest follows in the next turn */
        rmq_list_remove(&call->queue);
        connection->waiting_count--;
        connection->waiting_bytes -= call->frame.len;
        rmq_buf_deinit(&call->frame);
        if (call->reply == NULL) {
            free_call(call);
            continue;
        }
        struct call **bucket = bucket_of(connection, call->opaque);
        call->chain = *bucket;
        *bucket = call;
        call->sent = true;
        call->sent_ms = uv_now(connection->loop);
        rmq_list_append(&connection->sent, &call->queue);
        connection->sent_count++;
    }
    return true;
}

static void on_flush(uv_prepare_t *flush)
{
    struct rmq_connection *connection = flush->data;
    (void)uv_prepare_stop(flush); /* cannot fail */
    if (!rmq_list_empty(&connection->dropped)) {
        struct rmq_list ended;
        rmq_list_init(&ended);
        rmq_list_move_all(&connection->dropped, &ended);
        report(connection, &ended, RMQ_LOST, RMQ_LOST, "the connection was reset by this side");
    }
    if (connection->state != STATE_OPEN || connection->link->unwritten > 0)
        return; /* on_written comes here again */
    do {
        if (!send_waiting(connection)) {
            lose_link(connection, "out of memory", NULL);
            return;
        }
        if (connection->out.len == 0)
            return;
        write_out(connection); /* once more when the buffer was too small for all that may go */
    } while (connection->state == STATE_OPEN && connection->link->unwritten == 0);
}

static void want_flush(struct rmq_connection *connection)
{
    if (connection->state == STATE_OPEN)
        (void)uv_prepare_start(&connection->flush, on_flush); /* cannot fail */
}

static void answer_not_supported(struct rmq_connection *connection,
                                 const struct rmq_command *request)
{
    struct rmq_command reply;
    rmq_command_init(&reply, RMQ_REPLY_NOT_SUPPORTED);
    reply.codec = request->codec;
    reply.opaque = request->opaque;
    reply.flag = RMQ_FLAG_REPLY;
    /* A full buffer drops it: the server stops waiting after ten seconds. */
    (void)rmq_command_encode(&reply, &connection->out, NULL);
    rmq_command_deinit(&reply);
}

static void take_frame(struct rmq_connection *connection, const struct rmq_command *incoming)
{
    if ((incoming->flag & RMQ_FLAG_REPLY) != 0) {
        struct call *call = find_sent(connection, incoming->opaque);
        if (call == NULL)
            return; /* it has run out of time before */
        detach(connection, call);
        connection->failing = false;
        connection->pause_ms = connection->options.backoff_min_ms;
        connection->problem[0] = '\0';
        want_flush(connection); /* the window has moved */
        end_call(call, 0, incoming, NULL);
        return;
    }
    if ((incoming->flag & RMQ_FLAG_ONEWAY) == 0) {
        answer_not_supported(connection, incoming);
        want_flush(connection);
    }
    if (connection->options.requested != NULL)
        connection->options.requested(connection->options.arg, incoming);
}

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct link *link = handle->data;
    (void)suggested;
    char *data = link->cipher;
    size_t len = CIPHER_SPACE;
    if (link->tls == NULL && rmq_frame_reader_space(&link->reader, &data, &len) != 0)
        len = 0; /* on_read gets UV_ENOBUFS */
    *ret = uv_buf_init(data, (unsigned)len);
}

/* Why the server may have ended the connection. */
static void lose_read(struct rmq_connection *connection, int status)
{
    bool mute = connection->received_ms == 0 && (status == UV_EOF || status == UV_ECONNRESET);
    const char *why = status == UV_EOF ? NULL : uv_strerror(status);
    if (connection->state == STATE_CONNECTING)
        lose_link(connection, "closed by the server during the TLS handshake",
                  mute ? "it probably does not speak TLS on this port"
                       : "it may want another certificate of this client");
    else if (mute && connection->link->tls == NULL && connection->sent_count > 0)
        lose_link(connection, "closed by the server without an answer",
                  "it may want TLS, or not be a RocketMQ server");
    else
        lose_link(connection, status == UV_EOF ? "closed by the server" : "cannot read", why);
}

/* Deal with the whole frames that have arrived. False: the link is lost. */
static bool take_frames(struct link *link)
{
    struct rmq_err err;
    struct rmq_view frame;
    int rc = 0;
    while (link->owner != NULL && (rc = rmq_frame_reader_next(&link->reader, &frame, &err)) == 1) {
        rc = rmq_command_decode(&link->incoming, frame, &err);
        if (rc != 0)
            break;
        take_frame(link->owner, &link->incoming);
    }
    if (link->owner != NULL && rc < 0)
        lose_link(link->owner, "not the RocketMQ protocol", err.text);
    return link->owner != NULL;
}

static void be_open(struct rmq_connection *connection)
{
    (void)uv_timer_stop(&connection->phase);
    connection->state = STATE_OPEN;
    connection->received_ms = 0;
    want_flush(connection);
    if (connection->options.opened != NULL)
        connection->options.opened(connection->options.arg);
}

/* One step of the handshake. False: the link is lost. */
static bool shake_hands(struct link *link)
{
    struct rmq_connection *connection = link->owner;
    struct rmq_err err;
    int rc = rmq_tls_handshake(link->tls, &err);
    if (!write_sealed(connection)) /* after a failure it says why */
        return false;
    if (rc < 0) {
        lose_link(connection, err.text, NULL);
        return false;
    }
    link->shaken = rc == 1;
    if (link->shaken)
        be_open(connection);
    return link->owner != NULL;
}

/* Bytes of the network, through TLS, to frames. */
static void unseal(struct link *link, const char *data, size_t count)
{
    struct rmq_err err;
    if (rmq_tls_feed(link->tls, data, count) != 0) {
        lose_link(link->owner, "out of memory", NULL);
        return;
    }
    if (!link->shaken && (!shake_hands(link) || !link->shaken))
        return;
    for (;;) {
        char *space;
        size_t len;
        if (rmq_frame_reader_space(&link->reader, &space, &len) != 0) {
            lose_link(link->owner, "out of memory", NULL);
            return;
        }
        ssize_t got = rmq_tls_read(link->tls, space, len, &err);
        if (got < 0) {
            lose_link(link->owner, err.text, NULL);
            return;
        }
        if (got == 0)
            break;
        rmq_frame_reader_filled(&link->reader, (size_t)got);
        if (!take_frames(link))
            return;
    }
    if (write_sealed(link->owner)) /* an answer to a change of keys */
        arm_deadline(link->owner);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct link *link = stream->data;
    if (link->owner == NULL || count == 0)
        return;
    if (count < 0) {
        lose_read(link->owner, (int)count);
        return;
    }
    link->owner->received_ms = uv_now(link->owner->loop);
    if (link->tls != NULL) {
        unseal(link, buf->base, (size_t)count);
        return;
    }
    rmq_frame_reader_filled(&link->reader, (size_t)count);
    if (take_frames(link))
        arm_deadline(link->owner);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct link *link = request->handle->data;
    struct rmq_connection *connection = link->owner;
    if (connection == NULL)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&link->tcp, on_space, on_read);
    if (status != 0) {
        lose_link(connection, "cannot connect", uv_strerror(status));
        return;
    }
    (void)uv_tcp_nodelay(&link->tcp, 1); /* slower without, but no less right */
    connection->received_ms = 0;
    if (link->tls == NULL)
        be_open(connection);
    else
        (void)shake_hands(link);
}

static void connect_to(struct rmq_connection *connection, const struct sockaddr *address)
{
    struct link *link = connection->link;
    int rc = uv_tcp_connect(&link->connect, &link->tcp, address, on_connected);
    if (rc != 0)
        lose_link(connection, "cannot connect", uv_strerror(rc));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct link *link = RMQ_CONTAINER(request, struct link, resolve);
    link->resolving = false;
    if (link->owner == NULL) {
        if (link->closed)
            free_link(link, request->data);
    } else if (status != 0) {
        lose_link(link->owner, "cannot resolve the name", uv_strerror(status));
    } else {
        connect_to(link->owner, found->ai_addr);
    }
    uv_freeaddrinfo(found);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    bool shaking =
        connection->link->tls != NULL && uv_is_readable((uv_stream_t *)&connection->link->tcp);
    lose_link(connection, shaking ? "TLS handshake" : "cannot connect", "no answer in time");
}

static void open_link(struct rmq_connection *connection)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct link *link = calloc(1, sizeof(*link));
    bool ready = link != NULL;
    if (ready && connection->options.tls != NULL) {
        link->tls = rmq_tls_open(connection->options.tls, connection->host);
        link->cipher = malloc(CIPHER_SPACE);
        ready = link->tls != NULL && link->cipher != NULL;
    }
    if (!ready || uv_tcp_init(connection->loop, &link->tcp) != 0) {
        if (link != NULL) {
            rmq_tls_close(link->tls);
            free(link->cipher);
        }
        free(link);
        begin_pause(connection, connection->options.backoff_max_ms);
        end_all(connection, RMQ_NO_MEMORY, RMQ_NO_MEMORY, "out of memory");
        return;
    }
    rmq_frame_reader_init(&link->reader, connection->options.max_frame);
    rmq_command_init(&link->incoming, 0);
    rmq_buf_init(&link->sealed, 2 * connection->options.max_waiting_bytes + CIPHER_SPACE);
    link->tcp.data = link;
    link->owner = connection;
    link->resolve.data = connection; /* who counts it, owner or not */
    connection->link = link;
    connection->links++;
    connection->state = STATE_CONNECTING;
    (void)uv_timer_start(&connection->phase, on_connect_timeout,
                         (uint64_t)connection->options.connect_timeout_ms, 0);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    int port = atoi(connection->port); /* checked at birth */
    if (uv_ip4_addr(connection->host, port, &address.v4) == 0 ||
        uv_ip6_addr(connection->host, port, &address.v6) == 0) {
        connect_to(connection, &address.any);
        return;
    }
    int rc = uv_getaddrinfo(connection->loop, &link->resolve, on_resolved, connection->host,
                            connection->port, &hints);
    link->resolving = rc == 0;
    if (rc != 0)
        lose_link(connection, "cannot resolve the name", uv_strerror(rc));
}

static void on_pause_end(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    connection->failing = false;
    connection->state = STATE_IDLE;
    if (connection->waiting_count > 0)
        open_link(connection);
}

static void begin_pause(struct rmq_connection *connection, int64_t pause_ms)
{
    connection->state = STATE_PAUSE;
    (void)uv_timer_start(&connection->phase, on_pause_end, (uint64_t)pause_ms, 0);
}

/* --- public --- */

static void take_options(struct rmq_connection *connection,
                         const struct rmq_connection_options *options)
{
    struct rmq_connection_options *mine = &connection->options;
    if (options != NULL)
        memcpy(mine, options,
               options->struct_size < sizeof(*mine) ? options->struct_size : sizeof(*mine));
#define DEFAULT(name, value)                                                                       \
    if (mine->name == 0)                                                                           \
    mine->name = value
    DEFAULT(connect_timeout_ms, 3000);
    DEFAULT(backoff_min_ms, 100);
    DEFAULT(backoff_max_ms, 10000);
    DEFAULT(max_in_flight, 256);
    DEFAULT(max_waiting, 10000);
    DEFAULT(max_waiting_bytes, (size_t)64 << 20);
    DEFAULT(max_frame, RMQ_FRAME_MAX);
#undef DEFAULT
    connection->pause_ms = mine->backoff_min_ms;
}

int rmq_connection_new(uv_loop_t *loop, const char *address,
                       const struct rmq_connection_options *options, struct rmq_connection **ret,
                       struct rmq_err *err)
{
    struct rmq_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a connection");
    int rc = rmq_address_split(address, connection->host, connection->port, err);
    if (rc != 0) {
        free(connection);
        return rc;
    }
    (void)snprintf(connection->address, sizeof(connection->address), "%s", address);
    take_options(connection, options);
    connection->loop = loop;
    rmq_list_init(&connection->waiting);
    rmq_list_init(&connection->sent);
    rmq_list_init(&connection->deadlines);
    rmq_list_init(&connection->dropped);
    rmq_buf_init(&connection->out, connection->options.max_waiting_bytes);
    (void)uv_timer_init(loop, &connection->phase); /* these three cannot fail */
    (void)uv_timer_init(loop, &connection->timer);
    (void)uv_prepare_init(loop, &connection->flush);
    connection->phase.data = connection->timer.data = connection->flush.data = connection;
    connection->handles = 3;
    *ret = connection;
    return 0;
}

static int enqueue(struct rmq_connection *connection, struct rmq_command *request,
                   struct call **ret, struct rmq_err *err)
{
    if (connection->state == STATE_CLOSED)
        return rmq_fail(err, RMQ_CLOSED, "the connection to %s is closed", connection->address);
    if (connection->waiting_count >= connection->options.max_waiting ||
        connection->waiting_bytes >= connection->options.max_waiting_bytes)
        return rmq_fail(err, RMQ_AGAIN, "%zu requests and %zu bytes are waiting for %s",
                        connection->waiting_count, connection->waiting_bytes, connection->address);
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a request");
    request->opaque = connection->next_opaque;
    request->codec = request->code > INT16_MAX ? RMQ_CODEC_JSON : connection->options.codec;
    rmq_buf_init(&call->frame, connection->options.max_waiting_bytes);
    int rc = rmq_command_encode(request, &call->frame, err);
    if (rc != 0) {
        free_call(call);
        return rc;
    }
    connection->next_opaque =
        connection->next_opaque == INT32_MAX ? 0 : connection->next_opaque + 1;
    call->opaque = request->opaque;
    call->code = request->code;
    rmq_list_init(&call->deadline);
    rmq_list_append(&connection->waiting, &call->queue);
    connection->waiting_count++;
    connection->waiting_bytes += call->frame.len;
    if (connection->state == STATE_IDLE)
        begin_pause(connection, 0); /* connects from the loop, so that no callback runs here */
    want_flush(connection);
    *ret = call;
    return 0;
}

int rmq_connection_call(struct rmq_connection *connection, struct rmq_command *request,
                        int64_t timeout_ms, rmq_reply_fn reply, void *arg, struct rmq_err *err)
{
    struct call *call;
    assert(reply != NULL && timeout_ms > 0);
    int rc = enqueue(connection, request, &call, err);
    if (rc != 0)
        return rc;
    call->reply = reply;
    call->arg = arg;
    call->deadline_ms = uv_now(connection->loop) + (uint64_t)timeout_ms;
    struct rmq_list *at = connection->deadlines.prev; /* mostly the last one is the right place */
    while (at != &connection->deadlines &&
           RMQ_CONTAINER(at, struct call, deadline)->deadline_ms > call->deadline_ms)
        at = at->prev;
    rmq_list_insert_after(at, &call->deadline);
    if (connection->deadlines.next == &call->deadline)
        arm_deadline(connection);
    return 0;
}

int rmq_connection_post(struct rmq_connection *connection, struct rmq_command *request,
                        struct rmq_err *err)
{
    struct call *call;
    request->flag |= RMQ_FLAG_ONEWAY;
    return enqueue(connection, request, &call, err);
}

void rmq_connection_flush(struct rmq_connection *connection)
{
    if (connection->state == STATE_OPEN)
        on_flush(&connection->flush);
}

void rmq_connection_reset(struct rmq_connection *connection)
{
    if (connection->state != STATE_OPEN)
        return; /* nothing has been sent */
    drop_link(connection, true);
    while (!rmq_list_empty(&connection->sent)) {
        struct call *call = RMQ_CONTAINER(connection->sent.next, struct call, queue);
        detach(connection, call);
        rmq_list_append(&connection->dropped, &call->queue);
    }
    begin_pause(connection, 0);
    (void)uv_prepare_start(&connection->flush, on_flush); /* cannot fail */
}

bool rmq_connection_busy(const struct rmq_connection *connection)
{
    return connection->waiting_count > 0 || connection->sent_count > 0 ||
           connection->state == STATE_CONNECTING || !rmq_list_empty(&connection->dropped);
}

bool rmq_connection_failing(const struct rmq_connection *connection)
{
    return connection->failing;
}

const char *rmq_connection_address(const struct rmq_connection *connection)
{
    return connection->address;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct rmq_connection *connection = handle->data;
    connection->handles--;
    end_connection(connection);
}

void rmq_connection_close(struct rmq_connection *connection, void (*done)(void *arg), void *arg)
{
    assert(connection->state != STATE_CLOSED);
    if (connection->link != NULL)
        drop_link(connection, false);
    connection->state = STATE_CLOSED;
    connection->done = done;
    connection->done_arg = arg;
    uv_close((uv_handle_t *)&connection->phase, on_handle_closed);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    uv_close((uv_handle_t *)&connection->flush, on_handle_closed);
    end_all(connection, RMQ_CLOSED, RMQ_CLOSED, "closed by this side");
}
