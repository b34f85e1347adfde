/* SPDX-License-Identifier: Apache-2.0 */
/* The client inside, shared by client.c (servers, requests, life), namesrv.c, broker.c (names to
 * addresses), route.c and membership.c. All on the thread of the loop.
 *
 * What is to be told to the user is an event: it stands in one list and runs from the loop, so that
 * no callback runs inside a call, and one may take any other out of the list. */
#ifndef RMQ_CLIENT_INTERNAL_H
#define RMQ_CLIENT_INTERNAL_H

#include <rocketmq/client.h>
#include "internal.h"
#include "table.h"

struct rmq_event {
    struct rmq_list item;
    void (*run)(struct rmq_event *event); /* it is in no list then */
};

/* A connection and what is known of its other end. */
struct rmq_server {
    struct rmq_entry entry; /* in client->servers; the key is the address */
    struct rmq_client *client;
    struct rmq_connection *connection; /* NULL once being closed */
    char *address;
    uint64_t used_ms;
    bool namesrv, open;
    /* the heartbeat */
    bool wanted;     /* some membership concerns it */
    bool told;       /* what the client is member of has been sent on this connection */
    bool greeting;   /* a heartbeat is under way */
    bool again;      /* and it is out of date */
    bool complained; /* its refusal has been logged */
    /* repeated failures, folded in the log */
    char problem[160];
    uint64_t logged_ms;
    size_t failures;
};

struct rmq_broker_at {
    int64_t id; /* 0: master */
    char *address;
    struct rmq_server *server; /* NULL until it is asked for */
};

/* A broker name and where its members are, as the routes or the cluster information said last. */
struct rmq_broker {
    struct rmq_entry entry; /* in client->brokers */
    char *name, *cluster;
    struct rmq_broker_at *members; /* sorted by id */
    size_t member_count;
    bool in_cluster; /* the cluster information names it */
    bool in_route;   /* scratch of rmq_brokers_sweep */
};

struct rmq_signer;

struct rmq_client {
    uv_loop_t *loop;
    struct rmq_client_options options; /* its pointers are not kept, but for log and arg */
    char *id;
    struct rmq_tls *tls;
    struct rmq_signer *signer;
    bool closed;
    size_t alive; /* handles and connections whose close has not ended */
    void (*done)(void *arg);
    void *done_arg;
    uv_timer_t soon; /* runs events */
    struct rmq_list events;
    struct rmq_list delays;
    struct rmq_table servers;
    struct rmq_table brokers;
    struct rmq_table topics;
    /* name servers, in the order of trial */
    char **namesrvs; /* addresses; owned */
    size_t namesrv_count, namesrv_at;
    /* refresh of the routes */
    uv_timer_t refresh;
    uint64_t refreshed_ms; /* when the last round began */
    bool refresh_soon;     /* the timer stands for an early round */
    bool cluster_wanted;   /* a broker that no route names has been asked for */
    bool cluster_asking;
    struct rmq_list answers; /* of routes: found, and not yet told */
    /* the heartbeat */
    uv_timer_t heartbeat;
    struct rmq_list memberships;
    struct rmq_event greet; /* look whom to send a heartbeat */
    bool greet_all;         /* to those that have been told, too */
};

/* --- client.c --- */

void rmq_client_log(struct rmq_client *client, enum rmq_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Call run after a while, with rc 0, or with RMQ_CLOSED when the client is closed before. 0: run
 * runs exactly once | RMQ_NO_MEMORY, RMQ_CLOSED. */
int rmq_client_delay(struct rmq_client *client, int64_t ms, void (*run)(void *arg, int rc),
                     void *arg, struct rmq_err *err);
/* Run it from the loop; once, however often it is asked for before. */
void rmq_client_tell(struct rmq_client *client, struct rmq_event *event);
/* The server at an address, made when it is new. NULL: err says why. */
struct rmq_server *rmq_client_server(struct rmq_client *client, const char *address,
                                     struct rmq_err *err);
/* Sign and send; timeout_ms 0 as in client.h. */
int rmq_server_call(struct rmq_server *server, struct rmq_command *request, int64_t timeout_ms,
                    rmq_reply_fn reply, void *arg, struct rmq_err *err);
int rmq_server_post(struct rmq_server *server, struct rmq_command *request, struct rmq_err *err);
/* Close connections to addresses that no route names any more and nobody uses. */
void rmq_client_prune(struct rmq_client *client);

/* --- namesrv.c --- */

/* "host:port;host:port" into the shuffled list. RMQ_INVALID: err names what is wrong. */
int rmq_namesrvs_set(struct rmq_client *client, const char *list, struct rmq_err *err);
void rmq_namesrvs_free(struct rmq_client *client);
/* Its connection is lost: the next question goes to another one. */
void rmq_namesrv_lost(struct rmq_client *client, const struct rmq_server *server);
/* The name server of that place in the list; NULL: err says why. */
struct rmq_server *rmq_namesrv(struct rmq_client *client, size_t at, struct rmq_err *err);

/* --- broker.c --- */

struct rmq_route_data;
struct rmq_broker_data;
struct rmq_broker *rmq_broker_find(const struct rmq_client *client, const char *name);
/* Take over what a route (or the cluster information) says of its brokers. 0 | RMQ_NO_MEMORY: some
 * are as before. *ret_changed is set when an address is new or gone. */
int rmq_brokers_learn(struct rmq_client *client, const struct rmq_route_data *data,
                      bool whole_cluster, bool *ret_changed);
/* Forget brokers that neither a route nor the cluster information names. */
void rmq_brokers_sweep(struct rmq_client *client);
/* The member's server; NULL: err says why. */
struct rmq_server *rmq_broker_server(struct rmq_client *client, struct rmq_broker *broker,
                                     size_t member, struct rmq_err *err);
void rmq_brokers_free(struct rmq_client *client);

/* --- route.c --- */

/* Begin a round of refreshing, now or (if one has just been) a little later. */
void rmq_routes_refresh(struct rmq_client *client);
/* Timer of the rounds: start it. */
void rmq_routes_start(struct rmq_client *client);
/* The topic is refreshed from now until the matching release. RMQ_NO_MEMORY. */
int rmq_route_hold(struct rmq_client *client, const char *topic, struct rmq_err *err);
void rmq_route_release(struct rmq_client *client, const char *topic);
/* The route as known; NULL: none. */
const struct rmq_route *rmq_route_known(const struct rmq_client *client, const char *topic);
/* End all waiting; then free all topics. */
void rmq_routes_close(struct rmq_client *client);
void rmq_routes_free(struct rmq_client *client);

/* --- membership.c --- */

/* Something that decides who gets heartbeats has changed. all: their content, too. */
void rmq_heartbeat_changed(struct rmq_client *client, bool all);
void rmq_heartbeat_start(struct rmq_client *client);
void rmq_heartbeat_opened(struct rmq_server *server);
void rmq_heartbeat_lost(struct rmq_server *server);
/* A broker says that a group has other members. */
void rmq_memberships_changed(struct rmq_client *client, struct rmq_view group);
void rmq_memberships_free(struct rmq_client *client);

#endif
