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
#include "link.h"
#include "internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ANSWER_MAX = 1 << 20, /* bytes of a body for the server */
    LATE_MS = 50          /* a timer that is so late says that the loop has stood still */
};

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

/* --- calls --- */

static struct call **bucket_of(struct rmq_connection *connection, int32_t opaque)
{
    return &connection->buckets[(uint32_t)opaque % RMQ_BUCKETS];
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
void rmq_connection_end_all(struct rmq_connection *connection, int rc_waiting, int rc_sent,
                            const char *text)
{
    struct rmq_list dropped, ended;
    rmq_list_init(&dropped);
    rmq_list_init(&ended);
    rmq_list_move_all(&connection->dropped, &dropped);
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
    /* were sent on a link before this one, whatever has become of this one */
    report(connection, &dropped, RMQ_LOST, rc_sent == RMQ_CLOSED ? RMQ_CLOSED : RMQ_LOST, text);
    report(connection, &ended, rc_waiting, rc_sent, text);
}

static void on_deadline(uv_timer_t *timer);

static bool is_late(const struct rmq_connection *connection, uint64_t now)
{
    const struct call *first = RMQ_CONTAINER(connection->deadlines.next, struct call, deadline);
    return !rmq_list_empty(&connection->deadlines) && now > first->deadline_ms + LATE_MS;
}

void rmq_connection_arm(struct rmq_connection *connection)
{
    if (connection->state == STATE_CLOSED)
        return;
    if (!is_late(connection, uv_now(connection->loop)))
        connection->late = LATE_NOT;
    if (rmq_list_empty(&connection->deadlines)) {
        (void)uv_timer_stop(&connection->timer); /* cannot fail on an initialized timer */
        return;
    }
    struct call *first = RMQ_CONTAINER(connection->deadlines.next, struct call, deadline);
    uint64_t now = uv_now(connection->loop);
    (void)uv_timer_start(&connection->timer, on_deadline,
                         first->deadline_ms > now ? first->deadline_ms - now : 0, 0);
}

static void on_flush(uv_prepare_t *flush);

/* The loop has stood still, for the program was stopped or busy. Timers run before the sockets are
 * looked at, so replies may lie there that came in time: they are read first. */
static bool stood_still(struct rmq_connection *connection, uint64_t now)
{
    if (!is_late(connection, now) || connection->late == LATE_LOOKED) {
        connection->late = LATE_NOT;
        return false;
    }
    connection->late = LATE_SEEN;
    (void)uv_prepare_start(&connection->flush, on_flush); /* the last thing before the sockets */
    return true;
}

/* What has run out of time without having been sent must not go out any more. */
static void end_unsent(struct rmq_connection *connection, uint64_t now)
{
    struct rmq_list ended;
    rmq_list_init(&ended);
    for (struct rmq_list *at = connection->waiting.next, *next; at != &connection->waiting;
         at = next) {
        struct call *call = RMQ_CONTAINER(at, struct call, queue);
        next = at->next;
        if (call->reply == NULL || call->deadline_ms > now)
            continue;
        detach(connection, call);
        rmq_list_append(&ended, &call->queue);
    }
    report(connection, &ended, RMQ_UNREACHABLE, RMQ_UNREACHABLE, "not sent in time");
}

static void on_deadline(uv_timer_t *timer)
{
    struct rmq_connection *connection = timer->data;
    uint64_t now = uv_now(connection->loop);
    bool silent = false;
    if (stood_still(connection, now)) {
        (void)uv_timer_start(&connection->timer, on_deadline, 1, 0); /* behind the sockets */
        end_unsent(connection, now);
        return;
    }
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
        rmq_link_lose(connection, "the server does not answer", NULL);
    rmq_connection_arm(connection);
}

void rmq_connection_end(struct rmq_connection *connection)
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
    if (connection->late == LATE_SEEN)
        connection->late = LATE_LOOKED;
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
            rmq_link_lose(connection, "out of memory", NULL);
            return;
        }
        if (connection->out.len == 0)
            return;
        rmq_link_write(
            connection); /* once more when the buffer was too small for all that may go */
    } while (connection->state == STATE_OPEN && connection->link->unwritten == 0);
}

void rmq_connection_want_flush(struct rmq_connection *connection)
{
    if (connection->state == STATE_OPEN)
        (void)uv_prepare_start(&connection->flush, on_flush); /* cannot fail */
}

static void serve(struct rmq_connection *connection, const struct rmq_command *request)
{
    struct rmq_command reply;
    struct rmq_buf body;
    rmq_buf_init(&body, ANSWER_MAX);
    rmq_command_init(&reply, RMQ_REPLY_NOT_SUPPORTED);
    if (connection->options.requested != NULL)
        reply.code = connection->options.requested(connection->options.arg, request, &body);
    if ((request->flag & RMQ_FLAG_ONEWAY) == 0 && connection->state == STATE_OPEN) {
        reply.codec = request->codec;
        reply.opaque = request->opaque;
        reply.flag = RMQ_FLAG_REPLY;
        reply.body = rmq_buf_view(&body);
        /* A full buffer drops it: the server stops waiting after ten seconds. */
        (void)rmq_command_encode(&reply, &connection->out, NULL);
        rmq_connection_want_flush(connection);
    }
    rmq_command_deinit(&reply);
    rmq_buf_deinit(&body);
}

void rmq_connection_take(struct rmq_connection *connection, const struct rmq_command *incoming)
{
    if ((incoming->flag & RMQ_FLAG_REPLY) != 0) {
        struct call *call = find_sent(connection, incoming->opaque);
        if (call == NULL)
            return; /* it has run out of time before */
        detach(connection, call);
        connection->failing = false;
        connection->pause_ms = connection->options.backoff_min_ms;
        connection->problem[0] = '\0';
        rmq_connection_want_flush(connection); /* the window has moved */
        end_call(call, 0, incoming, NULL);
        return;
    }
    serve(connection, incoming);
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
        rmq_link_pause(connection, 0); /* connects from the loop, so that no callback runs here */
    rmq_connection_want_flush(connection);
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
        rmq_connection_arm(connection);
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
    rmq_link_drop(connection, true);
    while (!rmq_list_empty(&connection->sent)) {
        struct call *call = RMQ_CONTAINER(connection->sent.next, struct call, queue);
        detach(connection, call);
        rmq_list_append(&connection->dropped, &call->queue);
    }
    rmq_link_pause(connection, 0);
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
    rmq_connection_end(connection);
}

void rmq_connection_close(struct rmq_connection *connection, void (*done)(void *arg), void *arg)
{
    assert(connection->state != STATE_CLOSED);
    if (connection->link != NULL)
        rmq_link_drop(connection, false);
    connection->state = STATE_CLOSED;
    connection->done = done;
    connection->done_arg = arg;
    uv_close((uv_handle_t *)&connection->phase, on_handle_closed);
    uv_close((uv_handle_t *)&connection->timer, on_handle_closed);
    uv_close((uv_handle_t *)&connection->flush, on_handle_closed);
    rmq_connection_end_all(connection, RMQ_CLOSED, RMQ_CLOSED, "closed by this side");
}
