/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mock share. Tests may end at once where the library may not: no memory is
 * an assertion here. */
#ifndef MOCK_INTERNAL_H
#define MOCK_INTERNAL_H

#include "internal.h"
#include "mock.h"
#include <assert.h>
#include <rocketmq/message.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_SIZE = 256, GROUP_SUBSCRIPTIONS = 16, BUF_MAX = 1 << 28 };

/* --- storage, mock_store.c --- */

struct mock_queue {
    struct mock_queue *next;
    char topic[NAME_SIZE];
    char broker[NAME_SIZE];
    int32_t id;
    int64_t min, count;       /* offsets min .. count - 1 are there */
    int64_t behind;           /* so many of them cannot be read yet */
    struct rmq_buf *messages; /* [count], as a pull returns them */
    size_t room;
};

struct mock_topic {
    struct mock_topic *next;
    char name[NAME_SIZE];
    char broker[NAME_SIZE];
    int queues, perm;
};

struct mock_offset {
    struct mock_offset *next;
    char group[NAME_SIZE], topic[NAME_SIZE], broker[NAME_SIZE];
    int32_t queue;
    int64_t offset;
};

struct mock_lock {
    struct mock_lock *next;
    char group[NAME_SIZE], topic[NAME_SIZE], broker[NAME_SIZE], client[NAME_SIZE];
    int32_t queue;
    uint64_t until_ms;
};

/* --- who is there --- */

struct mock_broker_state {
    char name[NAME_SIZE];
    char address[64]; /* of the master */
    bool up, full, deaf;
    int64_t physical; /* next commit-log offset */
};

struct mock_server {
    struct mock_server *next;
    struct mock *mock;
    uv_tcp_t tcp;
    int port;
    struct mock_broker_state *broker; /* NULL: the name server */
    bool slave;                       /* was the master before */
};

struct mock_peer {
    struct mock_peer *next;
    struct mock *mock;
    uint64_t id;
    uv_tcp_t tcp;
    struct mock_server *server;
    struct mock_broker_state *broker;
    bool slave;
    bool closing;
    struct rmq_frame_reader reader;
    struct rmq_command command;
    struct rmq_buf held; /* replies of `reverse`, the last one first */
    int held_count;
};

/* A member of a group at one broker. */
struct mock_member {
    struct mock_member *next;
    uint64_t peer;
    char broker[NAME_SIZE];
    char client[NAME_SIZE], group[NAME_SIZE];
    bool consumer;
    size_t subscriptions;
    struct {
        char topic[NAME_SIZE], expression[NAME_SIZE];
    } subscription[GROUP_SUBSCRIPTIONS];
};

enum mock_action {
    ACT_NONE,
    ACT_FAIL,
    ACT_LOSE,
    ACT_SWALLOW,
    ACT_CUT,
    ACT_CLOSE_BEFORE,
    ACT_CLOSE_AFTER,
    ACT_DELAY,
    ACT_LATE,
    ACT_REVERSE,
    ACT_TWICE,
    ACT_GARBAGE,
    ACT_HUGE
};

struct mock_rule {
    struct mock_rule *next;
    enum mock_action action;
    int32_t code;
    int64_t count;
    int64_t number; /* result code or milliseconds */
    char text[NAME_SIZE], broker[NAME_SIZE], topic[NAME_SIZE];
    int32_t queue; /* -1: any */
};

/* Something to do later: write bytes, carry out a request, or answer a long poll. */
struct mock_later {
    struct mock_later *next;
    uint64_t due_ms;
    uint64_t peer;
    enum { LATER_WRITE, LATER_SERVE, LATER_PULL } what;
    struct rmq_buf bytes;
    char topic[NAME_SIZE]; /* of a pull */
    int32_t queue;
};

struct mock_count {
    struct mock_count *next;
    int32_t code;
    long count;
};

struct mock {
    uv_loop_t *loop;
    bool stopped;
    int handles;
    char namesrv[64];
    struct mock_broker_state brokers[8];
    int broker_count;
    struct mock_server *servers;
    struct mock_peer *peers;
    uint64_t last_peer;
    struct mock_topic *topics;
    struct mock_queue *queues;
    struct mock_offset *offsets;
    struct mock_lock *locks;
    struct mock_member *members;
    struct mock_rule *rules;
    struct mock_later *later;
    struct mock_count *counts;
    uv_timer_t timer;
    bool slow, binary, autocreate;
    struct rmq_buf ids; /* of the messages just stored */
};

static inline void *mock_alloc(size_t size)
{
    void *memory = calloc(1, size);
    assert(memory != NULL);
    return memory;
}

static inline void mock_put(struct rmq_buf *buf, const void *data, size_t len)
{
    int rc = rmq_buf_append(buf, data, len);
    assert(rc == 0);
    (void)rc;
}

void mock_printf(struct rmq_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mock_copy(char to[NAME_SIZE], struct rmq_view from);

/* --- mock_store.c --- */

struct mock_topic *mock_find_topic(struct mock *mock, const char *broker, const char *name);
void mock_make_topic(struct mock *mock, const char *broker, const char *name, int queues, int perm);
/* The queue, made when it is new. */
struct mock_queue *mock_find_queue(struct mock *mock, const char *broker, const char *topic,
                                   int32_t id);
/* Store; returns its commit-log offset. outer: properties of a batch. */
int64_t mock_store(struct mock *mock, struct mock_broker_state *broker, struct mock_queue *queue,
                   const struct rmq_batch_item *item, struct rmq_view outer, int32_t sys_flag,
                   int64_t born_ms, int32_t reconsume, const struct mock_peer *peer);
/* The last count messages are gone, and so many others there. */
void mock_forget(struct mock *mock, struct mock_broker_state *broker, struct mock_queue *queue,
                 int64_t count, int64_t others);
/* The entry; offset -1 when it is new. */
struct mock_offset *mock_find_offset(struct mock *mock, const char *broker, const char *group,
                                     const char *topic, int32_t queue);
void mock_dump(struct mock *mock, const char *topic, struct rmq_buf *ret);
void mock_store_free(struct mock *mock);

/* --- mock_serve.c, mock_group.c --- */

/* Carry out peer->command and fill reply and body. false: no reply now. */
bool mock_serve(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body);
bool mock_serve_group(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body);
/* What the group's members at this broker subscribe the topic with; NULL: not at all. */
const char *mock_subscription(struct mock *mock, const char *broker, const char *group,
                              const char *topic);
/* The peer has gone. */
void mock_leave(struct mock *mock, uint64_t peer);

/* --- mock.c --- */

struct mock_peer *mock_find_peer(struct mock *mock, uint64_t id);
struct mock_broker_state *mock_find_broker(struct mock *mock, const char *name);
void mock_write(struct mock_peer *peer, const struct rmq_buf *bytes);
void mock_close_peer(struct mock_peer *peer);
/* Takes bytes over. */
struct mock_later *mock_do_later(struct mock *mock, uint64_t peer, uint64_t delay_ms,
                                 struct rmq_buf *bytes);
/* A message has come: long polls of that queue are looked at again. */
void mock_wake(struct mock *mock, const char *topic, int32_t queue);
void mock_open_server(struct mock *mock, struct mock_broker_state *broker);
/* Its servers and connections. */
void mock_close_servers(struct mock *mock, const struct mock_broker_state *broker);

#endif
