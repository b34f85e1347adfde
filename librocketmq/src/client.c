/* SPDX-License-Identifier: Apache-2.0 */
/* The client's life, its servers and how requests reach them.
 *
 * Closing: everything that waits is ended, then handles and connections are closed, and when the
 * last of them has gone (alive is 0) the memory is freed. So a callback may close the client. */
#include "client.h"
#include "connection.h"
#include "requests.h"
#include "sign.h"
#include "tls.h"
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 1000,
    IN_FLIGHT_MAX = 8192,  /* each queue that is read has a pull waiting at its broker */
    BACKOFF_MAX_MS = 2000, /* a server that is back is found this soon */
    LOG_REPEAT_MS = 60000, /* a failure that goes on is mentioned again */
    SERVER_UNUSED_MS = 5 * 60000
};

void rmq_client_log(struct rmq_client *client, enum rmq_log_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (client->options.log == NULL)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments); /* cut when long */
    va_end(arguments);
    client->options.log(client->options.arg, level, text);
}

/* --- events --- */

static void on_soon(uv_timer_t *timer)
{
    struct rmq_client *client = timer->data;
    for (int i = 0; i < EVENTS_PER_TURN && !client->closed && !rmq_list_empty(&client->events);
         i++) {
        struct rmq_event *event = RMQ_CONTAINER(client->events.next, struct rmq_event, item);
        rmq_list_remove(&event->item);
        event->run(event);
    }
    if (!client->closed && !rmq_list_empty(&client->events))
        (void)uv_timer_start(&client->soon, on_soon, 0, 0);
}

void rmq_client_tell(struct rmq_client *client, struct rmq_event *event)
{
    if (client->closed || !rmq_list_empty(&event->item))
        return;
    rmq_list_append(&client->events, &event->item);
    (void)uv_timer_start(&client->soon, on_soon, 0, 0); /* cannot fail on an open timer */
}

static void end_client(struct rmq_client *client);

/* --- delays --- */

struct delay {
    struct rmq_list item; /* in client->delays */
    struct rmq_client *client;
    uv_timer_t timer;
    void (*run)(void *arg, int rc);
    void *arg;
};

static void on_delay_closed(uv_handle_t *handle)
{
    struct delay *delay = handle->data;
    struct rmq_client *client = delay->client;
    free(delay);
    client->alive--;
    end_client(client);
}

static void end_delay(struct delay *delay, int rc)
{
    rmq_list_remove(&delay->item);
    uv_close((uv_handle_t *)&delay->timer, on_delay_closed);
    delay->run(delay->arg, rc);
}

static void on_delay(uv_timer_t *timer)
{
    end_delay(timer->data, 0);
}

int rmq_client_delay(struct rmq_client *client, int64_t ms, void (*run)(void *arg, int rc),
                     void *arg, struct rmq_err *err)
{
    if (client->closed)
        return rmq_fail(err, RMQ_CLOSED, "the client is closed");
    struct delay *delay = calloc(1, sizeof(*delay));
    if (delay == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a timer");
    delay->client = client;
    delay->run = run;
    delay->arg = arg;
    delay->timer.data = delay;
    client->alive++;
    rmq_list_append(&client->delays, &delay->item);
    (void)uv_timer_init(client->loop, &delay->timer); /* these two cannot fail */
    (void)uv_timer_start(&delay->timer, on_delay, (uint64_t)ms, 0);
    return 0;
}

/* --- servers --- */

static const char *kind_of(const struct rmq_server *server)
{
    return server->namesrv ? "name server" : "broker";
}

static void on_opened(void *arg)
{
    struct rmq_server *server = arg;
    struct rmq_client *client = server->client;
    server->open = true;
    if (server->failures > 0)
        rmq_client_log(client, RMQ_LOG_INFO, "%s %s: connected again", kind_of(server),
                       server->address);
    else
        rmq_client_log(client, RMQ_LOG_DEBUG, "%s %s: connected", kind_of(server), server->address);
    server->failures = 0;
    server->problem[0] = '\0';
    if (!client->closed)
        rmq_heartbeat_opened(server);
}

static void on_lost(void *arg, const char *why)
{
    struct rmq_server *server = arg;
    struct rmq_client *client = server->client;
    uint64_t now = uv_now(client->loop);
    server->open = false;
    server->failures++;
    if (strncmp(server->problem, why, sizeof(server->problem) - 1) != 0) {
        (void)snprintf(server->problem, sizeof(server->problem), "%s", why);
        server->logged_ms = now;
        rmq_client_log(client, RMQ_LOG_WARN, "%s %s: %s", kind_of(server), server->address, why);
    } else if (now - server->logged_ms >= LOG_REPEAT_MS) {
        server->logged_ms = now;
        rmq_client_log(client, RMQ_LOG_WARN, "%s %s: still: %s (%zu failures)", kind_of(server),
                       server->address, why, server->failures);
    }
    if (client->closed) /* by the log function */
        return;
    rmq_heartbeat_lost(server);
    if (server->namesrv)
        rmq_namesrv_lost(client, server);
    else
        rmq_routes_refresh(client);
}

static int32_t on_requested(void *arg, const struct rmq_command *request, struct rmq_buf *ret_body)
{
    const struct rmq_server *server = arg;
    return server->client->closed ? RMQ_REPLY_NOT_SUPPORTED
                                  : rmq_client_serve(server->client, request, ret_body);
}

static void free_server(struct rmq_server *server)
{
    free(server->address);
    free(server);
}

struct rmq_server *rmq_client_server(struct rmq_client *client, const char *address,
                                     struct rmq_err *err)
{
    struct rmq_entry *entry = rmq_table_find(&client->servers, address);
    if (entry != NULL)
        return RMQ_CONTAINER(entry, struct rmq_server, entry);
    if (client->closed) {
        rmq_fail(err, RMQ_CLOSED, "the client is closed");
        return NULL;
    }
    struct rmq_server *server = calloc(1, sizeof(*server));
    if (server == NULL || (server->address = strdup(address)) == NULL) {
        rmq_fail(err, RMQ_NO_MEMORY, "no memory for a connection to %.100s", address);
        goto fail;
    }
    struct rmq_connection_options options = {
        .struct_size = sizeof(options),
        .connect_timeout_ms = client->options.connect_timeout_ms,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .max_in_flight = IN_FLIGHT_MAX,
        .codec = client->options.codec,
        .arg = server,
        .opened = on_opened,
        .requested = on_requested,
        .lost = on_lost,
        .tls = client->tls,
    };
    server->client = client;
    server->used_ms = uv_now(client->loop);
    server->entry.key = server->address;
    if (rmq_connection_new(client->loop, address, &options, &server->connection, err) != 0)
        goto fail;
    client->alive++;
    if (rmq_table_put(&client->servers, &server->entry) != 0) {
        rmq_fail(err, RMQ_NO_MEMORY, "no memory for a connection to %.100s", address);
        goto close;
    }
    return server;
close:
    server->entry.key = NULL;
    rmq_connection_close(server->connection, NULL, NULL);
    client->alive--; /* the connection knows nothing of the client any more */
fail:
    if (server != NULL)
        free_server(server);
    return NULL;
}

static void on_server_closed(void *arg)
{
    struct rmq_server *server = arg;
    struct rmq_client *client = server->client;
    free_server(server);
    client->alive--;
    end_client(client);
}

/* Out of the table, and closed; it frees itself. */
static void close_server(struct rmq_server *server)
{
    struct rmq_connection *connection = server->connection;
    rmq_table_remove(&server->client->servers, &server->entry);
    server->connection = NULL;
    rmq_connection_close(connection, on_server_closed, server);
}

void rmq_client_prune(struct rmq_client *client)
{
    uint64_t now = uv_now(client->loop);
    for (struct rmq_entry *entry = rmq_table_next(&client->brokers, NULL); entry != NULL;
         entry = rmq_table_next(&client->brokers, entry)) {
        struct rmq_broker *broker = RMQ_CONTAINER(entry, struct rmq_broker, entry);
        for (size_t i = 0; i < broker->member_count; i++) {
            if (broker->members[i].server != NULL)
                broker->members[i].server->used_ms = now;
        }
    }
    for (struct rmq_entry *entry = rmq_table_next(&client->servers, NULL), *next; entry != NULL;
         entry = next) {
        struct rmq_server *server = RMQ_CONTAINER(entry, struct rmq_server, entry);
        next = rmq_table_next(&client->servers, entry);
        if (!server->namesrv && now - server->used_ms >= SERVER_UNUSED_MS &&
            !rmq_connection_busy(server->connection))
            close_server(server); /* nothing is open on it: no callback runs */
    }
}

/* --- requests --- */

/* What the request needs before it goes out. *ret_fields: how many were the caller's. */
static int prepare(struct rmq_client *client, struct rmq_command *request, size_t *ret_fields,
                   struct rmq_err *err)
{
    if (client->closed)
        return rmq_fail(err, RMQ_CLOSED, "the client is closed");
    if (client->options.codec == RMQ_CODEC_BINARY) {
        /* A server reads an empty value as null and then computes another signature. */
        size_t kept = 0;
        for (size_t i = 0; i < request->field_count; i++) {
            if (request->fields[i].value.len > 0)
                request->fields[kept++] = request->fields[i];
        }
        request->field_count = kept;
    }
    *ret_fields = request->field_count;
    return client->signer == NULL ? 0 : rmq_sign(client->signer, request, err);
}

int rmq_server_call(struct rmq_server *server, struct rmq_command *request, int64_t timeout_ms,
                    rmq_reply_fn reply, void *arg, struct rmq_err *err)
{
    struct rmq_client *client = server->client;
    size_t fields;
    int rc = prepare(client, request, &fields, err);
    if (rc != 0)
        return rc;
    server->used_ms = uv_now(client->loop);
    rc = rmq_connection_call(server->connection, request,
                             timeout_ms > 0 ? timeout_ms : client->options.request_timeout_ms,
                             reply, arg, err);
    request->field_count = fields; /* so that it can be sent, and signed, again */
    return rc;
}

int rmq_server_post(struct rmq_server *server, struct rmq_command *request, struct rmq_err *err)
{
    size_t fields;
    int rc = prepare(server->client, request, &fields, err);
    if (rc != 0)
        return rc;
    server->used_ms = uv_now(server->client->loop);
    rc = rmq_connection_post(server->connection, request, err);
    request->field_count = fields;
    return rc;
}

int rmq_client_call_address(struct rmq_client *client, const char *address,
                            struct rmq_command *request, int64_t timeout_ms, rmq_reply_fn reply,
                            void *arg, struct rmq_err *err)
{
    struct rmq_server *server = rmq_client_server(client, address, err);
    if (server == NULL)
        return client->closed ? RMQ_CLOSED : RMQ_INVALID;
    return rmq_server_call(server, request, timeout_ms, reply, arg, err);
}

int rmq_reply_check(const struct rmq_command *reply, const char *what, struct rmq_err *err)
{
    return reply->code == RMQ_REPLY_SUCCESS ? 0 : rmq_refuse(err, reply->code, what, reply->remark);
}

/* --- life --- */

/* The address of this machine that others most likely know it by. */
static void own_address(char *ret, size_t len)
{
    uv_interface_address_t *found = NULL;
    int count = 0;
    (void)snprintf(ret, len, "127.0.0.1");
    if (uv_interface_addresses(&found, &count) != 0)
        return;
    for (int i = 0; i < count; i++) {
        if (found[i].is_internal || found[i].address.address4.sin_family != AF_INET)
            continue;
        (void)uv_ip4_name(&found[i].address.address4, ret, len); /* on failure: as it was */
        break;
    }
    uv_free_interface_addresses(found, count);
}

static char *make_id(void)
{
    static atomic_uint made; /* several clients of a process must differ */
    char address[64], id[160];
    own_address(address, sizeof(address));
    (void)snprintf(id, sizeof(id), "%s@%ld#%" PRIu64 "%u", address, (long)getpid(), uv_hrtime(),
                   atomic_fetch_add(&made, 1));
    return strdup(id);
}

static void take_options(struct rmq_client *client, const struct rmq_client_options *options)
{
    struct rmq_client_options *mine = &client->options;
    memcpy(mine, options,
           options->struct_size < sizeof(*mine) ? options->struct_size : sizeof(*mine));
    if (mine->request_timeout_ms <= 0)
        mine->request_timeout_ms = 3000;
    if (mine->connect_timeout_ms <= 0)
        mine->connect_timeout_ms = 3000;
    if (mine->route_refresh_ms <= 0)
        mine->route_refresh_ms = 30000;
    if (mine->heartbeat_ms <= 0)
        mine->heartbeat_ms = 30000;
}

/* The memory that no handle points to. */
static void free_client(struct rmq_client *client)
{
    rmq_memberships_free(client);
    rmq_routes_free(client);
    rmq_brokers_free(client);
    rmq_table_deinit(&client->servers);
    rmq_signer_free(client->signer);
    rmq_tls_free(client->tls);
    rmq_namesrvs_free(client);
    free(client->id);
    free(client);
}

static void end_client(struct rmq_client *client)
{
    if (!client->closed || client->alive > 0)
        return;
    void (*done)(void *) = client->done;
    void *arg = client->done_arg;
    free_client(client);
    if (done != NULL)
        done(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct rmq_client *client = handle->data;
    client->alive--;
    end_client(client);
}

int rmq_client_new(uv_loop_t *loop, const struct rmq_client_options *options,
                   struct rmq_client **ret, struct rmq_err *err)
{
    struct rmq_client *client = calloc(1, sizeof(*client));
    int rc = RMQ_NO_MEMORY;
    if (client == NULL)
        return rmq_fail(err, rc, "no memory for a client");
    client->loop = loop;
    take_options(client, options);
    rmq_list_init(&client->events);
    rmq_list_init(&client->delays);
    rmq_list_init(&client->answers);
    rmq_list_init(&client->memberships);
    client->id = client->options.client_id == NULL ? make_id() : strdup(client->options.client_id);
    if (client->id == NULL) {
        rmq_fail(err, rc, "no memory for a client");
        goto fail;
    }
    rc = rmq_namesrvs_set(client, client->options.name_servers, err);
    if (rc == 0 && client->options.credentials != NULL)
        rc = rmq_signer_new(client->options.credentials, &client->signer, err);
    if (rc == 0 && client->options.tls != NULL)
        rc = rmq_tls_new(client->options.tls, &client->tls, err);
    if (rc != 0)
        goto fail;
    client->options.name_servers = client->options.client_id = NULL; /* not ours */
    client->options.tls = NULL;
    client->options.credentials = NULL;
    uv_timer_t *timers[] = {&client->soon, &client->refresh, &client->heartbeat};
    for (size_t i = 0; i < 3; i++) {
        (void)uv_timer_init(loop, timers[i]); /* cannot fail */
        timers[i]->data = client;
        client->alive++;
    }
    rmq_heartbeat_start(client);
    rmq_routes_start(client);
    *ret = client;
    return 0;
fail:
    free_client(client);
    return rc;
}

void rmq_client_close(struct rmq_client *client, void (*done)(void *arg), void *arg)
{
    assert(!client->closed);
    client->done = done;
    client->done_arg = arg;
    client->closed = true;
    for (struct rmq_entry *entry = rmq_table_next(&client->servers, NULL); entry != NULL;
         entry = rmq_table_next(&client->servers, entry)) {
        struct rmq_server *server = RMQ_CONTAINER(entry, struct rmq_server, entry);
        if (server->told) /* the brokers hear of groups that were left */
            rmq_connection_flush(server->connection);
    }
    client->alive++; /* until the end of this function */
    uv_close((uv_handle_t *)&client->soon, on_timer_closed);
    uv_close((uv_handle_t *)&client->refresh, on_timer_closed);
    uv_close((uv_handle_t *)&client->heartbeat, on_timer_closed);
    rmq_routes_close(client);
    while (!rmq_list_empty(&client->delays))
        end_delay(RMQ_CONTAINER(client->delays.next, struct delay, item), RMQ_CLOSED);
    for (struct rmq_entry *entry; (entry = rmq_table_next(&client->servers, NULL)) != NULL;)
        close_server(RMQ_CONTAINER(entry, struct rmq_server, entry));
    client->alive--; /* the timers' closes are still to come */
}

uv_loop_t *rmq_client_loop(struct rmq_client *client)
{
    return client->loop;
}

const char *rmq_client_id(const struct rmq_client *client)
{
    return client->id;
}
