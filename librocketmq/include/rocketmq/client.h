/* SPDX-License-Identifier: Apache-2.0 */
/* A client of one RocketMQ cluster: name servers, routes, a connection per server, heartbeats, TLS
 * and request signing. Producers, consumers and administration stand on it.
 *
 * A client lives on one libuv loop and is used on that loop's thread alone. Callbacks run from the
 * loop, never inside the call that asked for them, exactly once if that call returned 0, and may
 * call anything here. */
#ifndef ROCKETMQ_CLIENT_H
#define ROCKETMQ_CLIENT_H

#include <rocketmq/connection.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rmq_client;

/* Files are PEM. A zeroed struct means TLS without any check of the server, as the Java client's
 * default. */
struct rmq_tls_options {
    size_t struct_size;
    const char *ca_file;   /* certificates to trust; NULL: the server is not verified */
    const char *cert_file; /* own certificate, and its key; NULL: none */
    const char *key_file;
    const char *key_password; /* NULL: none */
    bool verify_host;         /* the certificate must name the host that is connected to */
};

struct rmq_credentials {
    size_t struct_size;
    const char *access_key;
    const char *secret_key;
    const char *security_token; /* NULL: none */
};

enum rmq_log_level { RMQ_LOG_DEBUG, RMQ_LOG_INFO, RMQ_LOG_WARN, RMQ_LOG_ERROR };

struct rmq_client_options {
    size_t struct_size;
    const char *name_servers;                  /* "host:port;host:port"; required */
    const char *client_id;                     /* NULL: ADDRESS@PID#NUMBER */
    enum rmq_codec codec;                      /* of requests */
    int64_t request_timeout_ms;                /* of requests that name none; 0: 3000 */
    int64_t connect_timeout_ms;                /* 0: 3000 */
    int64_t route_refresh_ms;                  /* of the topics in use; 0: 30000 */
    int64_t heartbeat_ms;                      /* 0: 30000 */
    const struct rmq_tls_options *tls;         /* NULL: plain; copied */
    const struct rmq_credentials *credentials; /* NULL: none; copied */
    /* One event a line; repeated failures of one server are folded. NULL: silent. */
    void (*log)(void *arg, enum rmq_log_level level, const char *text);
    void *arg;
};

/* Nothing connects yet. RMQ_INVALID: an address or a TLS file is wrong (err names it). */
int rmq_client_new(uv_loop_t *loop, const struct rmq_client_options *options,
                   struct rmq_client **ret, struct rmq_err *err);
/* Leaves all groups (unregister), ends every request with RMQ_CLOSED before it returns, closes all
 * connections; done (may be NULL) runs when all memory is free. Producers, consumers and groups of
 * the client must be closed before. Call once. */
void rmq_client_close(struct rmq_client *client, void (*done)(void *arg), void *arg);
uv_loop_t *rmq_client_loop(struct rmq_client *client);
const char *rmq_client_id(const struct rmq_client *client);

/* --- routes --- */

enum { RMQ_PERM_READ = 4, RMQ_PERM_WRITE = 2 };

struct rmq_queue {
    const char *broker; /* name; owned by the route */
    int32_t id;
};

/* Where a topic's queues are, sorted by broker name and queue id. Immutable and counted. */
struct rmq_route {
    size_t write_count; /* queues to send to: writable, on brokers with a master */
    const struct rmq_queue *write_queues;
    size_t read_count; /* queues to read from: readable, also on brokers without a master */
    const struct rmq_queue *read_queues;
    size_t broker_count;
    const char *const *brokers; /* names */
};

/* rc: 0 and the route (keep it with rmq_route_ref) | RMQ_NOT_FOUND no such topic |
 * RMQ_UNREACHABLE, RMQ_TIMEOUT no name server answers (err names them all) | RMQ_CLOSED. */
typedef void (*rmq_route_fn)(void *arg, int rc, const struct rmq_route *route,
                             const struct rmq_err *err);
/* The topic's route; known ones are answered from memory (fresh true: ask now, also when a question
 * is under way already). A topic asked for once is refreshed from then on, while in use (asked for
 * within the last hour, watched, or of a membership); without a name server the last one stays. */
int rmq_client_route(struct rmq_client *client, const char *topic, bool fresh, rmq_route_fn done,
                     void *arg, struct rmq_err *err);
const struct rmq_route *rmq_route_ref(const struct rmq_route *route);
void rmq_route_unref(const struct rmq_route *route);
/* Have changed called (until the watch is removed) whenever a refresh shows another route than
 * before, with the first one if none is known yet, and with NULL when the topic has disappeared,
 * which is also what a topic looks like while its only broker restarts. */
struct rmq_route_watch;
int rmq_client_watch_route(struct rmq_client *client, const char *topic,
                           void (*changed)(void *arg, const struct rmq_route *route), void *arg,
                           struct rmq_route_watch **ret, struct rmq_err *err);
void rmq_route_watch_remove(struct rmq_route_watch *watch);

/* --- requests ---
 * As rmq_connection_call; timeout_ms 0: request_timeout_ms. They are signed when there are
 * credentials: request must have room for three more fields. A reply with any code arrives as rc 0;
 * rmq_reply_check turns an error code into RMQ_REFUSED. */

/* To a name server; one that cannot be reached or does not answer within timeout_ms is followed by
 * the next (a single one that was lost is asked once more), so the request must bear to be sent
 * twice. On failure err names all that were asked; RMQ_LOST or RMQ_TIMEOUT if one of them may have
 * carried it out. */
int rmq_client_call_namesrv(struct rmq_client *client, struct rmq_command *request,
                            int64_t timeout_ms, rmq_reply_fn reply, void *arg, struct rmq_err *err);
/* To a broker by name, as the known routes and cluster information give its address. id 0: its
 * master only; -1: the master, or if there is none any replica; n: that replica, or if it has gone
 * as -1. RMQ_NOT_FOUND: no address is known now; a refresh of the routes has been started. */
int rmq_client_call_broker(struct rmq_client *client, const char *broker, int64_t id,
                           struct rmq_command *request, int64_t timeout_ms, rmq_reply_fn reply,
                           void *arg, struct rmq_err *err);
int rmq_client_post_broker(struct rmq_client *client, const char *broker, int64_t id,
                           struct rmq_command *request, struct rmq_err *err);
/* To an address. */
int rmq_client_call_address(struct rmq_client *client, const char *address,
                            struct rmq_command *request, int64_t timeout_ms, rmq_reply_fn reply,
                            void *arg, struct rmq_err *err);
/* The master's last connect failed and its pause has not ended, or it has no address. */
bool rmq_client_broker_failing(const struct rmq_client *client, const char *broker);
/* Close the connection to a broker's master: what is in flight ends, from the loop, with RMQ_LOST;
 * what was not sent yet, and the next request, go out on a new one. So a sender knows that nothing
 * of it will be sent any more; what the broker has read before, it may still carry out. */
void rmq_client_reset_broker(struct rmq_client *client, const char *broker);

/* 0 | RMQ_REFUSED, with the server's code, "what" and its remark in err. */
int rmq_reply_check(const struct rmq_command *reply, const char *what, struct rmq_err *err);

/* --- groups on the heartbeat ---
 * What this client is a member of. The client sends it to every broker of the topics concerned: at
 * once after each change and each connect, and every heartbeat_ms; one connection a broker. */

struct rmq_membership;

struct rmq_membership_options {
    size_t struct_size;
    const char *group;
    bool producer;             /* else consumer */
    const char *const *topics; /* subscribed; of a producer: those it sends to */
    size_t topic_count;
    bool push;       /* consumeType CONSUME_PASSIVELY, else CONSUME_ACTIVELY */
    bool from_first; /* consumeFromWhere of a new group */
    /* The broker says that the group's members have changed. May be NULL. */
    void (*changed)(void *arg);
    void *arg;
};

/* A consumer's retry topic, %RETRY%GROUP, is subscribed along, as the Java clients do: a broker
 * keeps one list of subscriptions a group, that of the last heartbeat. Producers may share a group.
 * RMQ_INVALID: the client is a consumer of that group already, or a name is wrong. */
int rmq_membership_new(struct rmq_client *client, const struct rmq_membership_options *options,
                       struct rmq_membership **ret, struct rmq_err *err);
/* Unregisters (sent, not awaited) and frees. */
void rmq_membership_close(struct rmq_membership *membership);
/* rc 0: ids, sorted, valid during the call. A group without members: 0 ids. */
typedef void (*rmq_members_fn)(void *arg, int rc, const char *const *ids, size_t count,
                               const struct rmq_err *err);
/* The members as one broker of the topic (a master if there is one) sees them. */
int rmq_client_members(struct rmq_client *client, const char *group, const char *topic,
                       rmq_members_fn done, void *arg, struct rmq_err *err);

#ifdef __cplusplus
}
#endif
#endif
