/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of client.h over the model of fake_client.h. */
#include "fake_client.h"
#include "internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static uint64_t random_state = 1;

void fake_seed(unsigned seed)
{
    random_state = seed * 2654435761U + 1;
}

unsigned fake_random(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(random_state >> 33);
}

bool fake_chance(int n)
{
    return (int)(fake_random() % 1000) < n;
}

static int below(int n)
{
    return n <= 0 ? 0 : (int)(fake_random() % (unsigned)n);
}

bool fake_wanted(const struct rmq_client *client, int64_t offset)
{
    return !client->filter || offset % 3 != 1;
}

struct fake_queue *fake_queue(struct rmq_client *client, const char *broker, int32_t id)
{
    for (size_t i = 0; i < client->queue_count; i++) {
        if (client->queues[i].id == id && strcmp(client->queues[i].broker, broker) == 0)
            return &client->queues[i];
    }
    return NULL;
}

size_t fake_open(const struct rmq_client *client, int32_t code)
{
    size_t count = 0;
    for (size_t i = 0; i < client->pending_count; i++)
        count += client->pending[i]->request.code == code;
    return count;
}

/* --- messages --- */

static size_t make_body(char *ret, int32_t queue_id, int64_t offset)
{
    size_t len = (size_t)snprintf(ret, 64, "%d/%lld/", (int)queue_id, (long long)offset);
    size_t more = (size_t)((uint64_t)offset * 2654435761U % 200);
    memset(ret + len, 'a' + (char)(offset % 26), more);
    return len + more;
}

bool fake_body_is(struct rmq_view body, int32_t queue_id, int64_t offset)
{
    char wanted[320];
    size_t len = make_body(wanted, queue_id, offset);
    return rmq_view_equal(body, rmq_view(wanted, len));
}

static void put_message(struct rmq_buf *buf, const char *topic, int32_t queue_id, int64_t offset)
{
    char body[320];
    size_t len = make_body(body, queue_id, offset);
    size_t total = 91 + len + strlen(topic);
    assert(rmq_buf_reserve(buf, total) == 0);
    rmq_append_be(buf, total, 4);
    rmq_append_be(buf, 0xDAA320A7, 4);
    rmq_append_be(buf, crc32(0, (const Bytef *)body, (uInt)len) & 0x7FFFFFFF, 4);
    rmq_append_be(buf, (uint32_t)queue_id, 4);
    rmq_append_be(buf, 0, 4);
    rmq_append_be(buf, (uint64_t)offset, 8);
    rmq_append_be(buf, (uint64_t)offset * 100, 8);
    rmq_append_be(buf, 0, 4);
    rmq_append_be(buf, 0, 8);
    rmq_append_be(buf, 0, 8);
    rmq_append_be(buf, 0, 8);
    rmq_append_be(buf, 0, 8);
    rmq_append_be(buf, 0, 4);
    rmq_append_be(buf, 0, 8);
    rmq_append_be(buf, len, 4);
    assert(rmq_buf_append(buf, body, len) == 0);
    rmq_append_be(buf, strlen(topic), 1);
    assert(rmq_buf_append(buf, topic, strlen(topic)) == 0);
    rmq_append_be(buf, 0, 2);
}

/* --- answers --- */

static void end(struct fake_pending *pending, int rc, const struct rmq_command *reply,
                const char *text)
{
    struct rmq_err err = {0};
    rmq_reply_fn fn = pending->reply;
    void *arg = pending->arg;
    if (rc != 0)
        rmq_fail(&err, rc, "%s", text);
    rmq_command_deinit(&pending->request);
    rmq_buf_deinit(&pending->frame);
    free(pending);
    fn(arg, rc, reply, rc == 0 ? NULL : &err);
}

static int64_t field(const struct fake_pending *pending, const char *name)
{
    int64_t value = 0;
    (void)rmq_command_get_int(&pending->request, name, &value);
    return value;
}

/* The messages of a pull. *ret_next: where reading goes on. */
static void put_messages(struct rmq_client *client, const struct fake_queue *queue,
                         struct fake_pending *pending, struct rmq_buf *body, int64_t *ret_next)
{
    int64_t offset = field(pending, "queueOffset");
    int64_t count = field(pending, "maxMsgNums");
    int64_t found = 0;
    if (count > client->reply_max)
        count = client->reply_max;
    if (fake_chance(client->cut))
        count = 1 + below((int)count);
    while (offset < queue->max && found < count) {
        if (fake_wanted(client, offset)) {
            put_message(body, client->topic, queue->id, offset);
            found++;
        }
        offset++;
    }
    *ret_next = offset;
    if (found > 0 && fake_chance(client->corrupt))
        body->data[4 + below((int)body->len - 4) % 4] ^= 0x40; /* the magic of the first */
}

static void answer_pull(struct rmq_client *client, struct fake_pending *pending)
{
    struct fake_queue *queue =
        fake_queue(client, pending->broker, (int32_t)field(pending, "queueId"));
    struct rmq_command reply;
    struct rmq_buf body;
    int64_t offset = field(pending, "queueOffset");
    int64_t next = offset;
    rmq_buf_init(&body, 1 << 20);
    rmq_command_init(&reply, RMQ_REPLY_SUCCESS);
    if (queue == NULL)
        reply.code = RMQ_REPLY_TOPIC_NOT_EXIST;
    else if (queue->reset >= 0) {
        reply.code = RMQ_REPLY_PULL_OFFSET_MOVED;
        reply.remark = rmq_view_str("OFFSET_RESET");
        reply.has_remark = true;
        next = queue->reset;
        queue->reset = -1;
    } else if (pending->broker_id > 0 && fake_chance(500))
        reply.code = RMQ_REPLY_PULL_RETRY_IMMEDIATELY; /* a replica that is behind */
    else if (offset < queue->min || offset > queue->max) {
        reply.code = RMQ_REPLY_PULL_OFFSET_MOVED;
        next = offset < queue->min ? queue->min : queue->max;
    } else if (offset == queue->max)
        reply.code = RMQ_REPLY_PULL_NOT_FOUND;
    else {
        put_messages(client, queue, pending, &body, &next);
        if (body.len == 0)
            reply.code = RMQ_REPLY_PULL_RETRY_IMMEDIATELY;
    }
    rmq_command_add_int(&reply, "nextBeginOffset", next);
    rmq_command_add_int(&reply, "minOffset", queue == NULL ? 0 : queue->min);
    rmq_command_add_int(&reply, "maxOffset", queue == NULL ? 0 : queue->max);
    rmq_command_add_int(&reply, "suggestWhichBrokerId", fake_chance(client->stray_replica) ? 1 : 0);
    reply.body = rmq_buf_view(&body);
    end(pending, 0, &reply, NULL);
    rmq_buf_deinit(&body);
    rmq_command_deinit(&reply);
}

/* The queues named in a lock request. */
static void answer_lock(struct rmq_client *client, struct fake_pending *pending)
{
    struct rmq_command reply;
    char body[2048] = "{\"lockOKMQSet\":[";
    size_t len = strlen(body);
    bool lock = pending->request.code == RMQ_LOCK_BATCH;
    char text[4096];
    (void)snprintf(text, sizeof(text), "%.*s", (int)pending->request.body.len,
                   pending->request.body.data);
    assert(strstr(text, client->id) != NULL);
    for (size_t i = 0; i < client->queue_count; i++) {
        struct fake_queue *queue = &client->queues[i];
        char name[64];
        (void)snprintf(name, sizeof(name), "\"queueId\":%d}", (int)queue->id);
        if (strcmp(queue->broker, pending->broker) != 0 || strstr(text, name) == NULL)
            continue;
        if (!lock) {
            if (strcmp(queue->lock, client->id) == 0)
                queue->lock[0] = '\0';
            continue;
        }
        if (queue->lock[0] == '\0')
            (void)snprintf(queue->lock, sizeof(queue->lock), "%s", client->id);
        if (strcmp(queue->lock, client->id) == 0)
            len += (size_t)snprintf(body + len, sizeof(body) - len,
                                    "%s{\"brokerName\":\"%s\",\"queueId\":%d,\"topic\":\"%s\"}",
                                    body[len - 1] == '[' ? "" : ",", queue->broker, (int)queue->id,
                                    client->topic);
    }
    (void)snprintf(body + len, sizeof(body) - len, "]}");
    rmq_command_init(&reply, RMQ_REPLY_SUCCESS);
    if (lock)
        reply.body = rmq_view_str(body);
    end(pending, 0, &reply, NULL);
    rmq_command_deinit(&reply);
}

static void answer_offset(struct rmq_client *client, struct fake_pending *pending)
{
    struct fake_queue *queue =
        fake_queue(client, pending->broker, (int32_t)field(pending, "queueId"));
    struct rmq_command reply;
    rmq_command_init(&reply, RMQ_REPLY_SUCCESS);
    assert(queue != NULL);
    switch (pending->request.code) {
    case RMQ_QUERY_CONSUMER_OFFSET:
        if (queue->committed < 0)
            reply.code = RMQ_REPLY_QUERY_NOT_FOUND;
        else
            rmq_command_add_int(&reply, "offset", queue->committed);
        break;
    case RMQ_UPDATE_CONSUMER_OFFSET:
        if (queue->reset >= 0)
            break; /* not taken until a pull has heard of the reset, and no error either */
        queue->lowered += field(pending, "commitOffset") < queue->committed;
        queue->committed = field(pending, "commitOffset");
        break;
    case RMQ_GET_MAX_OFFSET:
        rmq_command_add_int(&reply, "offset", queue->max);
        break;
    case RMQ_GET_MIN_OFFSET:
        rmq_command_add_int(&reply, "offset", queue->min);
        break;
    case RMQ_SEARCH_OFFSET_BY_TIMESTAMP:
        rmq_command_add_int(&reply, "offset", queue->min + 7);
        break;
    default:
        reply.code = RMQ_REPLY_NOT_SUPPORTED;
    }
    end(pending, 0, &reply, NULL);
    rmq_command_deinit(&reply);
}

static void answer(struct rmq_client *client, struct fake_pending *pending)
{
    int32_t code = pending->request.code;
    if (code == RMQ_UPDATE_CONSUMER_OFFSET)
        client->opened[pending->broker[7] - 'a'] = true;
    if (fake_chance(client->lose)) {
        end(pending, fake_chance(500) ? RMQ_LOST : RMQ_UNREACHABLE, NULL, "lost");
    } else if (fake_chance(client->refuse)) {
        struct rmq_command reply;
        static const int32_t codes[] = {RMQ_REPLY_SYSTEM_BUSY, RMQ_REPLY_FLOW_CONTROL,
                                        RMQ_REPLY_TOPIC_NOT_EXIST, RMQ_REPLY_SYSTEM_ERROR};
        rmq_command_init(&reply, codes[below(4)]);
        end(pending, 0, &reply, NULL);
        rmq_command_deinit(&reply);
    } else if (code == RMQ_PULL_MESSAGE) {
        answer_pull(client, pending);
    } else if (code == RMQ_LOCK_BATCH || code == RMQ_UNLOCK_BATCH) {
        answer_lock(client, pending);
    } else {
        answer_offset(client, pending);
    }
}

/* A broker would keep it waiting. */
static bool is_held(struct rmq_client *client, struct fake_pending *pending)
{
    if (pending->request.code != RMQ_PULL_MESSAGE || (field(pending, "sysFlag") & 2) == 0)
        return false;
    const struct fake_queue *queue =
        fake_queue(client, pending->broker, (int32_t)field(pending, "queueId"));
    return queue != NULL && field(pending, "queueOffset") == queue->max && pending->age < 50;
}

static void tick(struct rmq_client *client)
{
    for (size_t i = 0; i < client->queue_count; i++) {
        struct fake_queue *queue = &client->queues[i];
        queue->max += below(client->append_max + 1);
        if (queue->max > client->append_until)
            queue->max = client->append_until;
    }
    if (client->pending_count > client->pending_most)
        client->pending_most = client->pending_count;
    for (size_t i = 0; i < client->pending_count; i++)
        client->pending[i]->age++;
    for (size_t tries = client->pending_count; tries > 0 && client->pending_count > 0; tries--) {
        size_t at = fake_random() % client->pending_count;
        struct fake_pending *pending = client->pending[at];
        if (client->hold || is_held(client, pending))
            continue;
        client->pending[at] = client->pending[--client->pending_count];
        answer(client, pending);
    }
}

static void on_tick(uv_timer_t *timer)
{
    tick(timer->data);
}

static void on_spin(uv_idle_t *idle)
{
    tick(idle->data);
}

void fake_client_spin(struct rmq_client *client)
{
    uv_timer_stop(&client->tick);
    uv_idle_start(&client->spin, on_spin);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "the test takes too long\n");
    abort();
}

void fake_client_init(struct rmq_client *client, const char *topic, size_t brokers,
                      size_t queues_each)
{
    memset(client, 0, sizeof(*client));
    assert(uv_loop_init(&client->loop) == 0);
    uv_timer_init(&client->loop, &client->tick);
    uv_timer_init(&client->loop, &client->limit);
    uv_idle_init(&client->loop, &client->spin);
    client->tick.data = client->spin.data = client;
    uv_timer_start(&client->tick, on_tick, 1, 1);
    uv_timer_start(&client->limit, on_limit, 60000, 0);
    (void)snprintf(client->id, sizeof(client->id), "127.0.0.1@1#1");
    client->topic = topic;
    client->reply_max = 32;
    client->append_max = 100;
    for (size_t i = 0; i < brokers * queues_each; i++) {
        struct fake_queue *queue = &client->queues[client->queue_count++];
        (void)snprintf(queue->broker, sizeof(queue->broker), "broker-%c",
                       'a' + (char)(i / queues_each));
        queue->id = (int32_t)(i % queues_each);
        queue->committed = queue->reset = -1;
    }
    client->members[0] = client->id;
    client->member_count = 1;
}

void fake_client_deinit(struct rmq_client *client)
{
    while (client->pending_count > 0)
        end(client->pending[--client->pending_count], RMQ_CLOSED, NULL, "closed");
    uv_close((uv_handle_t *)&client->tick, NULL);
    uv_close((uv_handle_t *)&client->limit, NULL);
    uv_close((uv_handle_t *)&client->spin, NULL);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    assert(uv_loop_close(&client->loop) == 0);
    assert(client->routes == 0 && client->watches == NULL && client->membership == NULL);
}

/* --- client.h --- */

uv_loop_t *rmq_client_loop(struct rmq_client *client)
{
    return &client->loop;
}

const char *rmq_client_id(const struct rmq_client *client)
{
    return client->id;
}

int rmq_client_call_broker(struct rmq_client *client, const char *broker, int64_t id,
                           struct rmq_command *request, int64_t timeout_ms, rmq_reply_fn reply,
                           void *arg, struct rmq_err *err)
{
    (void)timeout_ms;
    if (fake_chance(client->refuse_call))
        return fake_chance(500) ? rmq_fail(err, RMQ_AGAIN, "full")
                                : rmq_fail(err, RMQ_NOT_FOUND, "no address of %s", broker);
    for (size_t i = 0; request->code == RMQ_UPDATE_CONSUMER_OFFSET && i < client->pending_count;
         i++)
        assert(client->opened[broker[7] - 'a'] || strcmp(client->pending[i]->broker, broker) != 0 ||
               client->pending[i]->request.code != RMQ_UPDATE_CONSUMER_OFFSET);
    struct fake_pending *pending = calloc(1, sizeof(*pending));
    assert(pending != NULL && client->pending_count < FAKE_PENDING);
    rmq_buf_init(&pending->frame, 1 << 20);
    assert(rmq_command_encode(request, &pending->frame, NULL) == 0);
    rmq_command_init(&pending->request, 0);
    assert(rmq_command_decode(&pending->request, rmq_buf_view(&pending->frame), NULL) == 0);
    (void)snprintf(pending->broker, sizeof(pending->broker), "%s", broker);
    pending->broker_id = id;
    pending->reply = reply;
    pending->arg = arg;
    client->pending[client->pending_count++] = pending;
    client->asked[request->code]++;
    return 0;
}

int rmq_reply_check(const struct rmq_command *reply, const char *what, struct rmq_err *err)
{
    return reply->code == 0 ? 0 : rmq_refuse(err, reply->code, what, reply->remark);
}
