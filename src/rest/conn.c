/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: HEAD (a request is awaited or incomplete) -> WORK (the control loop has it) ->
 * WRITE (the reply is on its way, where it did not fit into the socket at once) -> BODY (a body
 * that nobody needs is dropped) -> HEAD again, or LINGER (the last reply is sent; what still comes
 * is dropped, so that a reset does not overtake it) -> closed.
 *
 * A request that arrives in one piece is parsed where it was read: an idle connection holds no
 * memory but its struct. What a client can make grow is bounded: an unfinished head per connection
 * and for all together, what is sent ahead, the replies that nobody reads. Where the bound for all
 * is met, the connection that has been at it longest goes; so also where there are too many
 * connections. So clients that are slow, idle or broken on purpose cost the others nothing.
 *
 * Deadlines: a head must be complete `idle` after its first byte, however it trickles; a reply must
 * be read at no less than GT_REST_SEND_BYTES_PER_S; LINGER ends after GT_REST_LINGER_MS. WORK has
 * none: the worker answers every request. */
#include "rest/conn.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum conn_state { CONN_HEAD, CONN_WORK, CONN_WRITE, CONN_BODY, CONN_LINGER };

struct gt_conn {
    uv_tcp_t tcp;
    struct gt_rest *rest;
    struct gt_conn *prev, *next;
    enum conn_state state;
    bool closing, closed; /* uv_close was called; its callback ran */
    bool at_worker;       /* the worker has `request` */
    bool keep_alive, http_1_0, head_only;
    bool half_closed; /* the client sends no more */
    bool linger;      /* bytes may still come that nobody reads */
    bool reading;
    uint64_t since_ms;    /* when this state, or this head, began */
    uint64_t deadline_ms; /* UINT64_MAX: none */
    char *in;             /* owned: received, not yet used */
    size_t in_len, in_cap;
    size_t scanned;    /* of an incomplete head: searched for line ends so far */
    size_t line_start; /* where its newest line begins */
    size_t line_len;   /* length of its first line; 0: not known yet */
    uint64_t body_left;
    struct gt_request request;
    struct gt_mail done_mail;
    char *out; /* owned: unsent rest of a reply */
    size_t out_len;
    uv_write_t write;
    uv_shutdown_t shutdown;
};

enum {
    ACCEPT_RETRY_MS = 100,
    BUSY_MAX = 64, /* connections beyond the limit that are told so at the same time */
};

static void pump(struct gt_conn *conn);
static void check_deadlines(struct gt_rest *rest);

static void set_deadline(struct gt_conn *conn, uint64_t after_ms)
{
    struct gt_rest *rest = conn->rest;

    conn->deadline_ms = after_ms == UINT64_MAX ? UINT64_MAX : uv_now(&rest->loop) + after_ms;
    if (conn->deadline_ms < rest->timer_due_ms)
        check_deadlines(rest);
}

static void set_state(struct gt_conn *conn, enum conn_state state, uint64_t deadline_after_ms)
{
    conn->state = state;
    conn->since_ms = uv_now(&conn->rest->loop);
    set_deadline(conn, deadline_after_ms);
}

static void drop_received(struct gt_conn *conn)
{
    conn->rest->received_bytes -= conn->in_cap;
    free(conn->in);
    conn->in = NULL;
    conn->in_len = conn->in_cap = 0;
}

static void drop_unsent(struct gt_conn *conn)
{
    conn->rest->unsent_bytes -= conn->out_len;
    free(conn->out);
    conn->out = NULL;
    conn->out_len = 0;
}

static void free_if_done(struct gt_conn *conn)
{
    struct gt_rest *rest = conn->rest;

    if (!conn->closed || conn->at_worker)
        return;
    drop_received(conn);
    drop_unsent(conn);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        rest->connections = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    free(conn);
    if (--rest->connection_count == 0 && rest->stopping)
        gt_rest_drained(rest);
}

static void on_closed(uv_handle_t *handle)
{
    struct gt_conn *conn = handle->data;

    conn->closed = true;
    free_if_done(conn);
}

static void close_conn(struct gt_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->rest->open_count--;
    conn->deadline_ms = UINT64_MAX;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct gt_rest *rest = timer->data;

    if (rest->accept_waits) {
        rest->accept_waits = false;
        gt_conn_accept(rest);
    }
    check_deadlines(rest);
}

static void check_deadlines(struct gt_rest *rest)
{
    uint64_t now = uv_now(&rest->loop), next = UINT64_MAX;

    for (struct gt_conn *conn = rest->connections; conn != NULL; conn = conn->next) {
        if (conn->deadline_ms <= now)
            close_conn(conn); /* only begins to: the list stays as it is */
        else if (conn->deadline_ms < next)
            next = conn->deadline_ms;
    }
    if (rest->accept_waits && now + ACCEPT_RETRY_MS < next)
        next = now + ACCEPT_RETRY_MS;
    rest->timer_due_ms = next;
    if (next == UINT64_MAX || rest->stopping)
        (void)uv_timer_stop(&rest->timer); /* cannot fail; nor can a start with a callback */
    else
        (void)uv_timer_start(&rest->timer, on_timer, next - now, 0);
}

/* The connection that has been longest in a state in which it waits for its client, and holds more
 * than the given bytes.
 * @p but is left out. */
static struct gt_conn *longest_waiting(struct gt_rest *rest, const struct gt_conn *but,
                                       size_t received, size_t unsent)
{
    struct gt_conn *found = NULL;

    for (struct gt_conn *conn = rest->connections; conn != NULL; conn = conn->next) {
        if (conn->closing || conn == but || conn->state == CONN_WORK)
            continue;
        if ((received > 0 && conn->in_cap < received) || (unsent > 0 && conn->out_len < unsent))
            continue;
        if (found == NULL ||
            conn->since_ms <= found->since_ms) /* the list begins with the newest */
            found = conn;
    }
    return found;
}

/* Make room for @p len more bytes of input. */
static bool make_room(struct gt_conn *conn, size_t len)
{
    struct gt_rest *rest = conn->rest;
    size_t cap = conn->in_cap > 0 ? conn->in_cap : 1024;

    while (cap < conn->in_len + len)
        cap *= 2;
    if (cap == conn->in_cap)
        return true;
    while (rest->received_bytes + (cap - conn->in_cap) > GT_REST_RECEIVED_MAX) {
        struct gt_conn *victim = longest_waiting(rest, conn, GT_REST_READ_MAX, 0);
        if (victim == NULL)
            victim = longest_waiting(rest, conn, 1, 0);
        if (victim == NULL)
            return false;
        drop_received(victim);
        close_conn(victim);
    }
    char *in = realloc(conn->in, cap);
    if (in == NULL)
        return false;
    rest->received_bytes += cap - conn->in_cap;
    conn->in = in;
    conn->in_cap = cap;
    return true;
}

static bool keep_received(struct gt_conn *conn, const char *data, size_t len)
{
    if (len == 0)
        return true;
    if (!make_room(conn, len))
        return false;
    memcpy(conn->in + conn->in_len, data, len);
    conn->in_len += len;
    return true;
}

/* ---- replies ---- */

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown; /* whether it arrived is seen when the client closes, or at the deadline */
    (void)status;
}

/* The last reply is on its way. */
static void end_connection(struct gt_conn *conn)
{
    drop_received(conn);
    if (!conn->linger || conn->half_closed || conn->rest->stopping ||
        uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shutdown) != 0) {
        close_conn(conn);
        return;
    }
    set_state(conn, CONN_LINGER, GT_REST_LINGER_MS);
}

static void after_reply(struct gt_conn *conn)
{
    if (!conn->keep_alive || conn->rest->stopping) {
        end_connection(conn);
        return;
    }
    set_state(conn, conn->body_left > 0 ? CONN_BODY : CONN_HEAD, conn->rest->idle_ms);
}

static void on_written(uv_write_t *write, int status)
{
    struct gt_conn *conn = write->data;

    drop_unsent(conn);
    if (conn->closing)
        return;
    if (status != 0) {
        close_conn(conn);
        return;
    }
    after_reply(conn);
    pump(conn);
}

/* Send the bytes that the socket did not take at once. */
static void write_rest(struct gt_conn *conn, struct gantry_view head, struct gantry_view body,
                       size_t sent)
{
    struct gt_rest *rest = conn->rest;
    size_t from_head = sent < head.len ? head.len - sent : 0;
    size_t from_body = body.len - (sent > head.len ? sent - head.len : 0);
    size_t len = from_head + from_body;

    while (rest->unsent_bytes > 0 && rest->unsent_bytes + len > GT_REST_UNSENT_MAX) {
        struct gt_conn *victim = longest_waiting(rest, conn, 0, 1);
        if (victim == NULL)
            break;
        rest->unsent_bytes -=
            victim->out_len; /* its memory goes with its handle, libuv still has it */
        victim->out_len = 0;
        close_conn(victim);
    }
    conn->out = malloc(len);
    if (conn->out == NULL) {
        close_conn(conn);
        return;
    }
    conn->out_len = len;
    rest->unsent_bytes += len;
    memcpy(conn->out, head.data + head.len - from_head, from_head);
    if (from_body > 0)
        memcpy(conn->out + from_head, body.data + body.len - from_body, from_body);
    uv_buf_t buf = uv_buf_init(conn->out, (unsigned)len);
    conn->write.data = conn;
    if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) != 0) {
        close_conn(conn);
        return;
    }
    set_state(conn, CONN_WRITE, rest->idle_ms + len / GT_REST_SEND_BYTES_PER_S * 1000);
}

/* Send rest->reply. */
static void send_reply(struct gt_conn *conn)
{
    struct gt_rest *rest = conn->rest;
    struct gt_reply *reply = &rest->reply;
    char head[GT_REPLY_HEAD_MAX];

    if (reply->body.error != 0) {
        bool head_only = reply->head_only;
        gt_reply_reset(reply);
        reply->head_only = head_only;
        gt_reply_text(reply, 503, "The reply is too large for this worker's memory.");
    }
    if (rest->stopping || reply->bare)
        conn->keep_alive = false;
    const char *connection = !conn->keep_alive ? "close" : conn->http_1_0 ? "keep-alive" : NULL;
    size_t head_len = gt_reply_format_head(reply, connection, (int64_t)time(NULL), head);
    struct gantry_view body = gt_buf_view(&reply->body);
    if (reply->head_only)
        body.len = 0;
    uv_buf_t bufs[2] = {uv_buf_init(head, (unsigned)head_len),
                        uv_buf_init(reply->body.data, (unsigned)body.len)};
    int sent = uv_try_write((uv_stream_t *)&conn->tcp, bufs, body.len > 0 ? 2 : 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0)
        close_conn(conn);
    else if ((size_t)sent == head_len + body.len)
        after_reply(conn);
    else
        write_rest(conn, (struct gantry_view){head, head_len}, body, (size_t)sent);
}

static void refuse(struct gt_conn *conn, int status, const char *why)
{
    conn->keep_alive = false;
    conn->linger = true;
    conn->rest->dialect->refuse(status, why, &conn->rest->reply);
    send_reply(conn);
}

/* ---- requests ---- */

/* Thread: listener. The worker has answered. */
static void on_done_mail(struct gt_mail *mail)
{
    struct gt_conn *conn = (struct gt_conn *)((char *)mail - offsetof(struct gt_conn, done_mail));

    conn->at_worker = false;
    if (conn->closing) {
        gt_request_deinit(&conn->request);
        free_if_done(conn);
        return;
    }
    gt_reply_reset(&conn->rest->reply);
    conn->rest->reply.head_only = conn->head_only;
    conn->rest->dialect->finish(&conn->request, &conn->rest->reply);
    gt_request_deinit(&conn->request);
    send_reply(conn);
    pump(conn);
}

/* Thread: control. */
static void on_done(struct gt_request *request)
{
    struct gt_conn *conn = request->arg;

    (void)gt_mailbox_send(&conn->rest->mailbox, &conn->done_mail); /* sent once a request */
}

static void log_denied(struct gt_rest *rest, int status, const char *why)
{
    uint64_t now = uv_now(&rest->loop);

    if (rest->denied_logged_ms != 0 && now - rest->denied_logged_ms < 1000)
        return; /* a page that tries does so often; one line a second says it */
    rest->denied_logged_ms = now;
    gt_warn("rest", "request denied status=%d reason=\"%s\"", status, why);
}

static void deny(struct gt_conn *conn, int status, const char *why)
{
    struct gt_reply *reply = &conn->rest->reply;

    log_denied(conn->rest, status, why);
    gt_reply_text(reply, status, why);
    if (status == 401)
        reply->fields = "WWW-Authenticate: Bearer\r\n";
    send_reply(conn);
}

/* Answer, or hand to the worker, the request whose whole head is in @p text. */
static void start_request(struct gt_conn *conn, struct gantry_view text)
{
    struct gt_rest *rest = conn->rest;
    struct gt_http_head head;
    const char *why = NULL;

    gt_reply_reset(&rest->reply);
    int status = gt_http_head_parse(text, &head, &why);
    if (status != 0) {
        refuse(conn, status, why);
        return;
    }
    conn->keep_alive = head.keep_alive;
    conn->http_1_0 = head.minor == 0;
    conn->body_left = head.body_len;
    conn->linger = head.body_len > 0 || head.chunked;
    if (head.chunked || head.expect || head.body_len > GT_REST_BODY_MAX)
        conn->keep_alive = false; /* no route takes a body: it is not worth reading */
    conn->head_only = gantry_view_equal(head.method, gantry_view_of("HEAD"));
    rest->reply.head_only = conn->head_only;
    status = gt_access_check(&rest->access, &head, &why);
    if (status != 0) {
        deny(conn, status, why);
        return;
    }
    if (!rest->dialect->begin(&head, &conn->request, &rest->reply)) {
        send_reply(conn);
        return;
    }
    set_state(conn, CONN_WORK, UINT64_MAX);
    conn->at_worker = true;
    conn->done_mail.run = on_done_mail;
    conn->request.worker = rest->worker;
    conn->request.done = on_done;
    conn->request.arg = conn;
    gt_worker_submit(rest->worker, &conn->request);
}

/* Search for a head's end. Returns its length; 0 while it is incomplete; or minus the status to
 * refuse it with. Goes on where it stopped, so that a head that trickles in byte by byte costs no
 * more than one that comes at once. */
static ssize_t find_head_end(struct gt_conn *conn, const char *data, size_t len)
{
    size_t line_max = conn->rest->dialect->line_max;

    while (conn->scanned < len) {
        const char *end = memchr(data + conn->scanned, '\n', len - conn->scanned);
        if (end == NULL) {
            conn->scanned = len;
            break;
        }
        size_t start = conn->line_start, next = (size_t)(end - data) + 1;
        size_t text = next - 1 - start;
        conn->scanned = conn->line_start = next;
        if (conn->line_len == 0)
            conn->line_len = next;
        else if (text == 0 || (text == 1 && data[start] == '\r'))
            return conn->line_len > line_max                    ? -414
                   : next - conn->line_len > GT_REST_FIELDS_MAX ? -431
                                                                : (ssize_t)next;
    }
    if (conn->line_len == 0 ? len > line_max : conn->line_len > line_max)
        return -414;
    return conn->line_len > 0 && len - conn->line_len > GT_REST_FIELDS_MAX ? -431 : 0;
}

/* Use what can be used of @p data; returns how much. */
static size_t consume(struct gt_conn *conn, const char *data, size_t len)
{
    size_t used = 0;

    while (!conn->closing && used < len) {
        if (conn->state == CONN_BODY) {
            size_t take = conn->body_left < len - used ? (size_t)conn->body_left : len - used;
            used += take;
            conn->body_left -= take;
            if (conn->body_left == 0)
                set_state(conn, CONN_HEAD, conn->rest->idle_ms);
            continue;
        }
        if (conn->state != CONN_HEAD)
            return conn->state == CONN_LINGER ? len : used;
        if (conn->scanned == 0 && (data[used] == '\r' || data[used] == '\n')) {
            used++; /* an empty line before a request is allowed */
            continue;
        }
        ssize_t head_len = find_head_end(conn, data + used, len - used);
        if (head_len == 0)
            return used;
        conn->scanned = conn->line_start = conn->line_len = 0;
        if (head_len < 0) {
            gt_reply_reset(&conn->rest->reply);
            refuse(conn, (int)-head_len, "the request is too long");
            return len;
        }
        start_request(conn, (struct gantry_view){data + used, (size_t)head_len});
        used += (size_t)head_len;
    }
    return used;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct gt_conn *conn = handle->data;

    (void)suggested;
    *ret = uv_buf_init(conn->rest->scratch, sizeof conn->rest->scratch);
}

static void set_reading(struct gt_conn *conn, bool reading)
{
    if (conn->closing || conn->half_closed || conn->reading == reading)
        return;
    conn->reading = reading;
    if (!reading)
        (void)uv_read_stop((uv_stream_t *)&conn->tcp); /* cannot fail */
    else if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) != 0)
        close_conn(conn);
}

/* Go on with what is already here: after a reply, and after each read. */
static void pump(struct gt_conn *conn)
{
    if (!conn->closing && conn->in_len > 0) {
        size_t used = consume(conn, conn->in, conn->in_len);
        if (conn->in_len > 0 && used > 0) { /* an end of the connection has dropped it */
            memmove(conn->in, conn->in + used, conn->in_len - used);
            conn->in_len -= used;
        }
        if (conn->in_len == 0)
            drop_received(conn);
    }
    if (conn->closing)
        return;
    if (conn->half_closed && conn->state != CONN_WORK && conn->state != CONN_WRITE)
        close_conn(conn);
    else
        set_reading(conn, conn->state == CONN_HEAD || conn->state == CONN_BODY ||
                              conn->state == CONN_LINGER || conn->in_len < GT_REST_AHEAD_MAX);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct gt_conn *conn = stream->data;

    if (count == 0 || conn->closing)
        return;
    if (count == UV_EOF) { /* a client may say all it has to say and then only listen */
        set_reading(conn, false);
        conn->half_closed = true;
        pump(conn);
        return;
    }
    if (count < 0) {
        close_conn(conn);
        return;
    }
    size_t len = (size_t)count, used = 0;
    if (conn->state == CONN_LINGER)
        return;
    if (conn->in_len == 0) {
        conn->since_ms = conn->state == CONN_HEAD ? uv_now(&conn->rest->loop) : conn->since_ms;
        used = consume(conn, buf->base, len);
        if (!conn->closing && used < len && conn->state == CONN_HEAD)
            set_deadline(conn, conn->rest->idle_ms); /* from a head's first byte */
    }
    if (!conn->closing && used < len && !keep_received(conn, buf->base + used, len - used)) {
        close_conn(conn);
        return;
    }
    if (used == 0 && len > 0)
        pump(conn);
    else if (!conn->closing)
        set_reading(conn, conn->in_len < GT_REST_AHEAD_MAX || conn->state == CONN_HEAD);
}

/* ---- accepting ---- */

/* Too many connections, all of them at the worker: say so and go. */
static void send_busy(struct gt_conn *conn)
{
    struct gt_reply *reply = &conn->rest->reply;

    gt_reply_reset(reply);
    gt_reply_text(reply, 503, "Too many requests at once; try again in a moment.");
    conn->keep_alive = false;
    conn->linger = true;
    send_reply(conn);
}

/* A listener whose connection is not taken tells of no further one: try again soon. */
static void accept_later(struct gt_rest *rest)
{
    rest->accept_waits = true;
    check_deadlines(rest);
}

void gt_conn_accept(struct gt_rest *rest)
{
    struct gt_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL || uv_tcp_init(&rest->loop, &conn->tcp) != 0) {
        free(conn);
        accept_later(rest);
        return;
    }
    struct gt_conn *victim = NULL;
    bool full = rest->open_count >= rest->max_connections;
    if (full)
        victim = longest_waiting(rest, NULL, 0, 0);
    if (victim != NULL)
        close_conn(victim);
    conn->rest = rest;
    conn->tcp.data = conn;
    conn->deadline_ms = UINT64_MAX;
    conn->next = rest->connections;
    if (conn->next != NULL)
        conn->next->prev = conn;
    rest->connections = conn;
    rest->connection_count++;
    rest->open_count++;
    if (uv_accept((uv_stream_t *)&rest->listener, (uv_stream_t *)&conn->tcp) != 0 ||
        rest->open_count > rest->max_connections + BUSY_MAX) {
        close_conn(conn);
        return;
    }
    (void)uv_tcp_nodelay(&conn->tcp, 1); /* a reply is one write: only a matter of speed */
    set_state(conn, CONN_HEAD, rest->idle_ms);
    if (full && victim == NULL)
        send_busy(conn);
    set_reading(conn, true);
}

void gt_conn_stop_all(struct gt_rest *rest)
{
    for (struct gt_conn *conn = rest->connections; conn != NULL; conn = conn->next) {
        if (conn->state != CONN_WORK)
            close_conn(conn); /* only begins to: the list stays as it is */
    }
}
