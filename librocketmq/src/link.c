/* SPDX-License-Identifier: Apache-2.0 */
/* Links: connecting, TLS, reading and writing. With TLS the bytes of the socket pass through a
 * session (tls.h) before and after the frames; everything else is the same. */
#include "link.h"
#include "internal.h"
#include <stdio.h>
#include <stdlib.h>

enum { CIPHER_SPACE = 64 << 10 };

struct write {
    uv_write_t request;
    struct link *link;
    struct rmq_buf bytes;
};

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
    rmq_connection_end(counted_by);
}

static void on_link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    link->closed = true;
    if (!link->resolving)
        free_link(link, link->resolve.data);
}

static void forget_addresses(struct rmq_connection *connection)
{
    uv_freeaddrinfo(connection->found);
    connection->found = connection->trying = NULL;
}

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

/* Give the link up; it frees itself later. reset: the system forgets what it has not sent yet. */
void rmq_link_drop(struct rmq_connection *connection, bool reset)
{
    forget_addresses(connection);
    drop_link(connection, reset);
}

void rmq_link_lose(struct rmq_connection *connection, const char *what, const char *why)
{
    bool open = connection->state == STATE_OPEN;
    (void)snprintf(connection->problem, sizeof(connection->problem), "%s%s%s", what,
                   why == NULL ? "" : ": ", why == NULL ? "" : why);
    rmq_link_drop(connection, false);
    connection->failing = true;
    rmq_link_pause(connection, connection->pause_ms);
    connection->pause_ms *= 2;
    if (connection->pause_ms > connection->options.backoff_max_ms)
        connection->pause_ms = connection->options.backoff_max_ms;
    char text[sizeof(connection->problem)];
    memcpy(text, connection->problem, sizeof(text)); /* a callback may change it */
    rmq_connection_end_all(connection, RMQ_UNREACHABLE, open ? RMQ_LOST : RMQ_UNREACHABLE, text);
    rmq_connection_arm(connection);
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
            rmq_link_lose(connection, "cannot write", uv_strerror(status));
        else
            rmq_connection_want_flush(connection);
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
        rmq_link_lose(connection, "cannot write", uv_strerror(done));
        return false;
    }
    size_t at = done > 0 ? (size_t)done : 0;
    if (at == bytes->len) {
        bytes->len = 0;
        return true;
    }
    struct write *write = calloc(1, sizeof(*write));
    if (write == NULL) {
        rmq_link_lose(connection, "out of memory", NULL);
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
        rmq_link_lose(connection, "cannot write", uv_strerror(rc));
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
        rmq_link_lose(connection, "out of memory", NULL);
        return false;
    }
    return link->sealed.len == 0 || write_bytes(connection, &link->sealed);
}

/* Hand over what has gathered in this turn of the loop, at one go. */
void rmq_link_write(struct rmq_connection *connection)
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
        rmq_link_lose(connection, err.text, NULL);
    else
        (void)write_sealed(connection);
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
        rmq_link_lose(connection, "closed by the server during the TLS handshake",
                      mute ? "it probably does not speak TLS on this port"
                           : "it may want another certificate of this client");
    else if (mute && connection->link->tls == NULL && connection->sent_count > 0)
        rmq_link_lose(connection, "closed by the server without an answer",
                      "it may want TLS, or not be a RocketMQ server");
    else
        rmq_link_lose(connection, status == UV_EOF ? "closed by the server" : "cannot read", why);
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
        rmq_connection_take(link->owner, &link->incoming);
    }
    if (link->owner != NULL && rc < 0)
        rmq_link_lose(link->owner, "not the RocketMQ protocol", err.text);
    return link->owner != NULL;
}

static void be_open(struct rmq_connection *connection)
{
    (void)uv_timer_stop(&connection->phase);
    connection->state = STATE_OPEN;
    connection->received_ms = 0;
    forget_addresses(connection);
    rmq_connection_want_flush(connection);
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
        rmq_link_lose(connection, err.text, NULL);
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
        rmq_link_lose(link->owner, "out of memory", NULL);
        return;
    }
    if (!link->shaken && (!shake_hands(link) || !link->shaken))
        return;
    for (;;) {
        char *space;
        size_t len;
        if (rmq_frame_reader_space(&link->reader, &space, &len) != 0) {
            rmq_link_lose(link->owner, "out of memory", NULL);
            return;
        }
        ssize_t got = rmq_tls_read(link->tls, space, len, &err);
        if (got < 0) {
            rmq_link_lose(link->owner, err.text, NULL);
            return;
        }
        if (got == 0)
            break;
        rmq_frame_reader_filled(&link->reader, (size_t)got);
        if (!take_frames(link))
            return;
    }
    if (write_sealed(link->owner)) /* an answer to a change of keys */
        rmq_connection_arm(link->owner);
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
        rmq_connection_arm(link->owner);
}

static void open_link(struct rmq_connection *connection);

/* No connection to this address: on to the name's next one, or the end. */
static void cannot_connect(struct rmq_connection *connection, const char *why)
{
    if (connection->trying == NULL || connection->trying->ai_next == NULL) {
        rmq_link_lose(connection, "cannot connect", why);
        return;
    }
    connection->trying = connection->trying->ai_next;
    drop_link(connection, false);
    open_link(connection);
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
        cannot_connect(connection, uv_strerror(status));
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
        cannot_connect(connection, uv_strerror(rc));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct link *link = RMQ_CONTAINER(request, struct link, resolve);
    link->resolving = false;
    if (link->owner == NULL) {
        if (link->closed)
            free_link(link, request->data);
    } else if (status != 0) {
        rmq_link_lose(link->owner, "cannot resolve the name", uv_strerror(status));
    } else {
        link->owner->found = link->owner->trying = found;
        connect_to(link->owner, found->ai_addr);
        return;
    }
    uv_freeaddrinfo(found);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    bool shaking =
        connection->link->tls != NULL && uv_is_readable((uv_stream_t *)&connection->link->tcp);
    if (shaking)
        rmq_link_lose(connection, "TLS handshake", "no answer in time");
    else
        cannot_connect(connection, "no answer in time");
}

/* To the address at hand, or to that of the host, which may have to be looked up first. */
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
        forget_addresses(connection);
        rmq_link_pause(connection, connection->options.backoff_max_ms);
        rmq_connection_end_all(connection, RMQ_NO_MEMORY, RMQ_NO_MEMORY, "out of memory");
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
    if (connection->trying != NULL) {
        connect_to(connection, connection->trying->ai_addr);
        return;
    }
    if (uv_ip4_addr(connection->host, port, &address.v4) == 0 ||
        uv_ip6_addr(connection->host, port, &address.v6) == 0) {
        connect_to(connection, &address.any);
        return;
    }
    int rc = uv_getaddrinfo(connection->loop, &link->resolve, on_resolved, connection->host,
                            connection->port, &hints);
    link->resolving = rc == 0;
    if (rc != 0)
        rmq_link_lose(connection, "cannot resolve the name", uv_strerror(rc));
}

static void on_pause_end(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    connection->failing = false;
    connection->state = STATE_IDLE;
    if (connection->waiting_count > 0)
        open_link(connection);
}

void rmq_link_pause(struct rmq_connection *connection, int64_t pause_ms)
{
    connection->state = STATE_PAUSE;
    (void)uv_timer_start(&connection->phase, on_pause_end, (uint64_t)pause_ms, 0);
}
