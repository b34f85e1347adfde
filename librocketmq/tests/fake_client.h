/* SPDX-License-Identifier: Apache-2.0 */
/* In place of the client, its servers and the network: the functions of client.h that a puller and
 * a consumer use, answered by a model of brokers in memory. Answers come from the loop, in random
 * order and late, some of them short, wrong or lost; the model knows what is true. */
#ifndef RMQ_FAKE_CLIENT_H
#define RMQ_FAKE_CLIENT_H

#include <rocketmq/client.h>
#include <rocketmq/consumer.h>
#include "requests.h"

enum { FAKE_QUEUES = 16, FAKE_MEMBERS = 8, FAKE_PENDING = 4096 };

struct fake_queue {
    char broker[16];
    int32_t id;
    int64_t min, max;
    int64_t committed; /* of the group; -1: none */
    int64_t lowered;   /* commits below the one before */
    char lock[64];     /* client id; "": free */
    bool gone;         /* not in the route */
    int64_t reset;     /* an admin has reset the group to there: told to one pull; -1: no */
};

struct fake_pending {
    struct rmq_command request; /* views into frame */
    struct rmq_buf frame;
    char broker[16];
    int64_t broker_id;
    rmq_reply_fn reply;
    void *arg;
    int age; /* ticks */
};

struct fake_membership;

/* One process: its loop, its client, and the brokers it sees. */
struct rmq_client {
    uv_loop_t loop;
    uv_timer_t tick, limit;
    uv_idle_t spin; /* ticks without a pause, once started */
    char id[64];
    const char *topic; /* there is one */
    struct fake_queue queues[FAKE_QUEUES];
    size_t queue_count;
    int64_t append_until; /* messages each queue will have */
    int append_max;       /* of one tick */
    int reply_max;        /* messages of one reply */
    bool filter;          /* every third message does not match */
    bool hold;            /* answer nothing */
    /* chances in 1000 */
    int lose, refuse, corrupt, cut, refuse_call, stray_replica;
    struct fake_pending *pending[FAKE_PENDING];
    size_t pending_count, pending_most;
    size_t asked[512]; /* requests by code */
    bool opened[4];    /* brokers that have answered a commit: before, they bear one at a time */
    /* the group */
    const char *members[FAKE_MEMBERS];
    size_t member_count;
    struct rmq_membership *membership;
    struct rmq_route_watch *watches;
    size_t routes; /* alive */
};

void fake_client_init(struct rmq_client *client, const char *topic, size_t brokers,
                      size_t queues_each);
/* Tick as often as the loop turns, not every millisecond. */
void fake_client_spin(struct rmq_client *client);
/* Ends everything that is open with RMQ_CLOSED and closes the loop. */
void fake_client_deinit(struct rmq_client *client);
/* Run the loop until the condition holds; abort after a minute. */
#define FAKE_RUN_UNTIL(client, condition)                                                          \
    while (!(condition))                                                                           \
    uv_run(&(client)->loop, UV_RUN_ONCE)
/* Requests of that code that have no answer yet. */
size_t fake_open(const struct rmq_client *client, int32_t code);
struct fake_queue *fake_queue(struct rmq_client *client, const char *broker, int32_t id);
/* Is the message there for a reader? */
bool fake_wanted(const struct rmq_client *client, int64_t offset);
/* The body is what the message of that offset has. */
bool fake_body_is(struct rmq_view body, int32_t queue_id, int64_t offset);
void fake_route_changed(struct rmq_client *client);
void fake_members_changed(struct rmq_client *client);
/* What the consumer does for requests of brokers. */
const struct rmq_group_service *fake_service(const struct rmq_client *client);
/* true with a chance of n in 1000 */
bool fake_chance(int n);
unsigned fake_random(void);
void fake_seed(unsigned seed);

#endif
