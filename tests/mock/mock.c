/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the mock, and what goes wrong on them. */
#include "mock_internal.h"
#include <inttypes.h>
#include <signal.h>

struct write {
    uv_write_t request;
    struct mock *mock;
    char *bytes;
};

static void on_later(uv_timer_t *timer);

/* --- peers --- */

struct mock_peer *mock_find_peer(struct mock *mock, uint64_t id)
{
    struct mock_peer *peer = mock->peers;
    while (peer != NULL && peer->id != id)
        peer = peer->next;
    return peer == NULL || peer->closing ? NULL : peer;
}

struct mock_broker_state *mock_find_broker(struct mock *mock, const char *name)
{
    for (int i = 0; i < mock->broker_count; i++)
        if (strcmp(mock->brokers[i].name, name) == 0)
            return &mock->brokers[i];
    return NULL;
}

static void end_mock(struct mock *mock)
{
    if (!mock->stopped || mock->handles > 0)
        return;
    mock_store_free(mock);
    rmq_buf_deinit(&mock->ids);
    while (mock->later != NULL) {
        struct mock_later *later = mock->later;
        mock->later = later->next;
        rmq_buf_deinit(&later->bytes);
        free(later);
    }
    while (mock->servers != NULL) { /* here, for peers point to them */
        struct mock_server *server = mock->servers;
        mock->servers = server->next;
        free(server);
    }
    free(mock);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct mock_peer *peer = handle->data;
    struct mock *mock = peer->mock;
    struct mock_peer **at = &mock->peers;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    rmq_frame_reader_deinit(&peer->reader);
    rmq_command_deinit(&peer->command);
    rmq_buf_deinit(&peer->held);
    free(peer);
    mock->handles--;
    end_mock(mock);
}

void mock_close_peer(struct mock_peer *peer)
{
    if (peer->closing)
        return;
    peer->closing = true;
    uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    if (!peer->mock->stopped)
        mock_leave(peer->mock, peer->id);
}

static void on_written(uv_write_t *request, int status)
{
    struct write *write = request->data;
    (void)status; /* a peer that has gone is seen by its read */
    free(write->bytes);
    free(write);
}

static void write_bytes(struct mock_peer *peer, const char *data, size_t len)
{
    struct write *write = mock_alloc(sizeof(*write));
    write->bytes = malloc(len == 0 ? 1 : len);
    assert(write->bytes != NULL);
    memcpy(write->bytes, data, len);
    write->request.data = write;
    uv_buf_t bytes = uv_buf_init(write->bytes, (unsigned)len);
    if (uv_write(&write->request, (uv_stream_t *)&peer->tcp, &bytes, 1, on_written) != 0) {
        free(write->bytes);
        free(write);
        mock_close_peer(peer);
    }
}

void mock_write(struct mock_peer *peer, const struct rmq_buf *bytes)
{
    if (peer->closing || bytes->len == 0)
        return;
    if (!peer->mock->slow) {
        write_bytes(peer, bytes->data, bytes->len);
        return;
    }
    for (size_t i = 0; i < bytes->len && !peer->closing; i++)
        write_bytes(peer, bytes->data + i, 1);
}

/* --- later --- */

static void arm(struct mock *mock)
{
    uint64_t now = uv_now(mock->loop), due = UINT64_MAX;
    for (const struct mock_later *at = mock->later; at != NULL; at = at->next)
        due = at->due_ms < due ? at->due_ms : due;
    if (mock->later == NULL)
        (void)uv_timer_stop(&mock->timer);
    else
        (void)uv_timer_start(&mock->timer, on_later, due > now ? due - now : 0, 0);
}

struct mock_later *mock_do_later(struct mock *mock, uint64_t peer, uint64_t delay_ms,
                                 struct rmq_buf *bytes)
{
    struct mock_later *later = mock_alloc(sizeof(*later));
    later->due_ms = uv_now(mock->loop) + delay_ms;
    later->peer = peer;
    later->bytes = *bytes;
    rmq_buf_init(bytes, bytes->max);
    struct mock_later **at = &mock->later;
    while (*at != NULL)
        at = &(*at)->next;
    *at = later;
    arm(mock);
    return later;
}

void mock_wake(struct mock *mock, const char *topic, int32_t queue)
{
    for (struct mock_later *at = mock->later; at != NULL; at = at->next)
        if (at->what == LATER_PULL && at->queue == queue && strcmp(at->topic, topic) == 0)
            at->due_ms = 0;
    arm(mock);
}

/* --- requests --- */

static const struct {
    const char *name;
    enum mock_action action;
} actions[] = {{"fail", ACT_FAIL},
               {"lose", ACT_LOSE},
               {"swallow", ACT_SWALLOW},
               {"cut", ACT_CUT},
               {"close-before", ACT_CLOSE_BEFORE},
               {"close-after", ACT_CLOSE_AFTER},
               {"delay", ACT_DELAY},
               {"late", ACT_LATE},
               {"reverse", ACT_REVERSE},
               {"twice", ACT_TWICE},
               {"garbage", ACT_GARBAGE},
               {"huge", ACT_HUGE}};

static bool is_text(const struct rmq_command *request, const char *name, const char *long_name,
                    const char *wanted)
{
    struct rmq_view value = rmq_command_get(request, name);
    if (value.data == NULL)
        value = rmq_command_get(request, long_name);
    return wanted[0] == '\0' || rmq_view_equal(value, rmq_view_str(wanted));
}

static bool fits(const struct mock_rule *rule, const struct mock_peer *peer)
{
    const struct rmq_command *request = &peer->command;
    char queue[16];
    if (rule->count == 0)
        return false;
    if (rule->code == 0 ? request->code == RMQ_GET_ROUTE || request->code == RMQ_HEART_BEAT ||
                              request->code == RMQ_GET_CLUSTER_INFO
                        : rule->code != request->code)
        return false;
    if (rule->broker[0] != '\0' &&
        (peer->broker == NULL || strcmp(peer->broker->name, rule->broker) != 0))
        return false;
    (void)snprintf(queue, sizeof(queue), "%d", (int)rule->queue);
    return is_text(request, "b", "topic", rule->topic) &&
           (rule->queue < 0 || is_text(request, "e", "queueId", queue));
}

static struct mock_rule match(const struct mock_peer *peer)
{
    for (struct mock_rule *rule = peer->mock->rules; rule != NULL; rule = rule->next) {
        if (!fits(rule, peer))
            continue;
        if (rule->count > 0)
            rule->count--;
        return *rule;
    }
    return (struct mock_rule){.action = ACT_NONE};
}

static void count_request(struct mock *mock, int32_t code)
{
    struct mock_count **at = &mock->counts;
    while (*at != NULL && (*at)->code < code)
        at = &(*at)->next;
    if (*at == NULL || (*at)->code != code) {
        struct mock_count *made = mock_alloc(sizeof(*made));
        made->code = code;
        made->next = *at;
        *at = made;
    }
    (*at)->count++;
}

static void reply_bytes(struct mock_peer *peer, struct rmq_command *reply,
                        const struct rmq_buf *body, struct rmq_buf *ret)
{
    reply->opaque = peer->command.opaque;
    reply->flag = RMQ_FLAG_REPLY;
    reply->language = 0; /* JAVA */
    reply->has_fields = true;
    reply->codec = peer->mock->binary ? RMQ_CODEC_BINARY : RMQ_CODEC_JSON;
    reply->body = rmq_buf_view(body);
    int rc = rmq_command_encode(reply, ret, NULL);
    assert(rc == 0);
    (void)rc;
}

/* Send bytes of a reply as the rule says. */
static void deliver(struct mock_peer *peer, const struct mock_rule *rule, struct rmq_buf *bytes)
{
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const char huge[] = "\x7f\xff\xff\xf0\0\0\0\x10";
    switch (rule->action) {
    case ACT_SWALLOW:
        break;
    case ACT_CLOSE_AFTER:
        mock_close_peer(peer);
        break;
    case ACT_CUT:
        write_bytes(peer, bytes->data, bytes->len / 2);
        mock_close_peer(peer);
        break;
    case ACT_DELAY:
        (void)mock_do_later(peer->mock, peer->id, (uint64_t)rule->number, bytes);
        break;
    case ACT_REVERSE: {
        struct rmq_buf joined;
        rmq_buf_init(&joined, BUF_MAX);
        mock_put(&joined, bytes->data, bytes->len);
        mock_put(&joined, peer->held.data, peer->held.len);
        rmq_buf_deinit(&peer->held);
        peer->held = joined;
        break;
    }
    case ACT_TWICE:
        mock_write(peer, bytes);
        mock_write(peer, bytes);
        break;
    case ACT_GARBAGE:
        write_bytes(peer, http, sizeof(http) - 1);
        break;
    case ACT_HUGE:
        write_bytes(peer, huge, sizeof(huge) - 1);
        break;
    case ACT_NONE:
    case ACT_FAIL:
    case ACT_LOSE:
    case ACT_CLOSE_BEFORE:
    case ACT_LATE:
    default:
        mock_write(peer, bytes);
        break;
    }
}

/* Replies that `reverse` held back, once no rule of it is left that may add more. */
static void release_held(struct mock_peer *peer)
{
    for (const struct mock_rule *rule = peer->mock->rules; rule != NULL; rule = rule->next)
        if (rule->action == ACT_REVERSE && rule->count != 0)
            return;
    mock_write(peer, &peer->held);
    rmq_buf_deinit(&peer->held);
}

static void carry_out(struct mock_peer *peer, const struct mock_rule *rule)
{
    struct rmq_command reply;
    struct rmq_buf body, bytes;
    rmq_command_init(&reply, 0);
    rmq_buf_init(&body, BUF_MAX);
    rmq_buf_init(&bytes, BUF_MAX);
    bool answer = true;
    if (rule->action == ACT_FAIL) {
        reply.code = (int32_t)rule->number;
        reply.has_remark = true;
        reply.remark = rmq_view_str(rule->text[0] == '\0' ? "ordered by the test" : rule->text);
    } else {
        answer = mock_serve(peer, &reply, &body);
    }
    bool one_way = (peer->command.flag & RMQ_FLAG_ONEWAY) != 0;
    if (answer && !one_way)
        reply_bytes(peer, &reply, &body, &bytes);
    if (answer && !peer->closing && (!one_way || rule->action == ACT_CLOSE_AFTER))
        deliver(peer, rule, &bytes);
    if (!peer->closing)
        release_held(peer);
    rmq_buf_deinit(&bytes);
    rmq_buf_deinit(&body);
    rmq_command_deinit(&reply);
}

static void take_frame(struct mock_peer *peer, struct rmq_view frame)
{
    if (rmq_command_decode(&peer->command, frame, NULL) != 0) { /* as a server does */
        mock_close_peer(peer);
        return;
    }
    if ((peer->command.flag & RMQ_FLAG_REPLY) != 0)
        return;
    count_request(peer->mock, peer->command.code);
    struct mock_rule rule = match(peer);
    if (rule.action == ACT_LOSE)
        return;
    if (rule.action == ACT_CLOSE_BEFORE) {
        mock_close_peer(peer);
    } else if (rule.action == ACT_LATE) {
        struct rmq_buf copy;
        rmq_buf_init(&copy, BUF_MAX);
        mock_put(&copy, frame.data, frame.len);
        mock_do_later(peer->mock, peer->id, (uint64_t)rule.number, &copy)->what = LATER_SERVE;
    } else {
        carry_out(peer, &rule);
    }
}

static void on_later(uv_timer_t *timer)
{
    struct mock *mock = timer->data;
    uint64_t now = uv_now(mock->loop);
    struct mock_later *due = NULL, **end = &due;
    for (struct mock_later **at = &mock->later; *at != NULL;) {
        struct mock_later *later = *at;
        if (later->due_ms > now) {
            at = &later->next;
            continue;
        }
        *at = later->next;
        later->next = NULL;
        *end = later;
        end = &later->next;
    }
    while (due != NULL) {
        struct mock_later *later = due;
        struct mock_peer *peer = mock_find_peer(mock, later->peer);
        static const struct mock_rule none = {.action = ACT_NONE};
        due = later->next;
        if (peer != NULL && later->what == LATER_WRITE) {
            mock_write(peer, &later->bytes);
        } else if (peer != NULL &&
                   rmq_command_decode(&peer->command, rmq_buf_view(&later->bytes), NULL) == 0) {
            carry_out(peer, &none);
        }
        rmq_buf_deinit(&later->bytes);
        free(later);
    }
    arm(mock);
}

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct mock_peer *peer = handle->data;
    char *data = NULL;
    size_t len = 0;
    (void)suggested;
    int rc = rmq_frame_reader_space(&peer->reader, &data, &len);
    assert(rc == 0);
    (void)rc;
    *ret = uv_buf_init(data, (unsigned)len);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct mock_peer *peer = stream->data;
    struct rmq_view frame;
    int rc = 0;
    (void)buf;
    if (count < 0) {
        mock_close_peer(peer);
        return;
    }
    rmq_frame_reader_filled(&peer->reader, (size_t)count);
    while (!peer->closing && (rc = rmq_frame_reader_next(&peer->reader, &frame, NULL)) == 1)
        take_frame(peer, frame);
    if (rc < 0)
        mock_close_peer(peer);
}

static void on_accept(uv_stream_t *stream, int status)
{
    struct mock_server *server = stream->data;
    struct mock *mock = server->mock;
    if (status != 0)
        return;
    struct mock_peer *peer = mock_alloc(sizeof(*peer));
    peer->mock = mock;
    peer->server = server;
    peer->broker = server->broker;
    peer->slave = server->slave;
    peer->id = ++mock->last_peer;
    peer->next = mock->peers;
    mock->peers = peer;
    mock->handles++;
    rmq_frame_reader_init(&peer->reader, RMQ_FRAME_MAX);
    rmq_command_init(&peer->command, 0);
    rmq_buf_init(&peer->held, BUF_MAX);
    (void)uv_tcp_init(mock->loop, &peer->tcp);
    peer->tcp.data = peer;
    if (uv_accept(stream, (uv_stream_t *)&peer->tcp) != 0) {
        mock_close_peer(peer);
        return;
    }
    (void)uv_tcp_nodelay(&peer->tcp, 1);
    if (peer->broker == NULL || !peer->broker->deaf)
        (void)uv_read_start((uv_stream_t *)&peer->tcp, on_space, on_read);
}

/* --- servers --- */

static void on_server_closed(uv_handle_t *handle)
{
    struct mock_server *server = handle->data;
    server->mock->handles--;
    end_mock(server->mock);
}

static int listen_on(struct mock *mock, struct mock_broker_state *broker)
{
    struct mock_server *server = mock_alloc(sizeof(*server));
    struct sockaddr_in name;
    int len = sizeof(name);
    server->mock = mock;
    server->broker = broker;
    (void)uv_tcp_init(mock->loop, &server->tcp);
    server->tcp.data = server;
    server->next = mock->servers;
    mock->servers = server;
    mock->handles++;
    int rc = uv_ip4_addr("127.0.0.1", 0, &name);
    if (rc == 0)
        rc = uv_tcp_bind(&server->tcp, (struct sockaddr *)&name, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&server->tcp, 128, on_accept);
    if (rc == 0)
        rc = uv_tcp_getsockname(&server->tcp, (struct sockaddr *)&name, &len);
    assert(rc == 0);
    server->port = (name.sin_port & 0xFF) << 8 | name.sin_port >> 8;
    return server->port;
}

void mock_open_server(struct mock *mock, struct mock_broker_state *broker)
{
    (void)snprintf(broker->address, sizeof(broker->address), "127.0.0.1:%d",
                   listen_on(mock, broker));
    broker->up = true;
}

void mock_close_servers(struct mock *mock, const struct mock_broker_state *broker)
{
    for (struct mock_server *at = mock->servers; at != NULL; at = at->next)
        if (at->broker == broker && !uv_is_closing((uv_handle_t *)&at->tcp))
            uv_close((uv_handle_t *)&at->tcp, on_server_closed);
    for (struct mock_peer *peer = mock->peers; peer != NULL; peer = peer->next)
        if (peer->broker == broker)
            mock_close_peer(peer);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct mock *mock = handle->data;
    mock->handles--;
    end_mock(mock);
}

struct mock *mock_start(uv_loop_t *loop, int brokers)
{
    struct mock *mock = mock_alloc(sizeof(*mock));
    assert(brokers > 0 && brokers <= (int)(sizeof(mock->brokers) / sizeof(mock->brokers[0])));
    (void)signal(SIGPIPE, SIG_IGN); /* peers go away */
    mock->loop = loop;
    mock->autocreate = true;
    rmq_buf_init(&mock->ids, BUF_MAX);
    (void)uv_timer_init(loop, &mock->timer);
    mock->timer.data = mock;
    mock->handles = 1;
    (void)snprintf(mock->namesrv, sizeof(mock->namesrv), "127.0.0.1:%d", listen_on(mock, NULL));
    mock->broker_count = brokers;
    for (int i = 0; i < brokers; i++) {
        struct mock_broker_state *broker = &mock->brokers[i];
        (void)snprintf(broker->name, sizeof(broker->name), "broker-%c", 'a' + i);
        mock_open_server(mock, broker);
        mock_make_topic(mock, broker->name, "TBW102", 8, 7);
    }
    return mock;
}

const char *mock_namesrv(const struct mock *mock)
{
    return mock->namesrv;
}

const char *mock_broker(const struct mock *mock, const char *name)
{
    for (int i = 0; i < mock->broker_count; i++)
        if (strcmp(mock->brokers[i].name, name) == 0)
            return mock->brokers[i].address;
    return NULL;
}

void mock_stop(struct mock *mock)
{
    mock->stopped = true;
    for (struct mock_peer *peer = mock->peers; peer != NULL; peer = peer->next)
        mock_close_peer(peer);
    for (struct mock_server *at = mock->servers; at != NULL; at = at->next)
        if (!uv_is_closing((uv_handle_t *)&at->tcp))
            uv_close((uv_handle_t *)&at->tcp, on_server_closed);
    uv_close((uv_handle_t *)&mock->timer, on_timer_closed);
}

/* --- commands --- */

enum { WORDS = 12 };

struct words {
    char line[1024];
    char *word[WORDS];
    int count;
};

static const char *word(const struct words *words, int i)
{
    return i < words->count ? words->word[i] : "";
}

static long number(const struct words *words, int i)
{
    return strtol(word(words, i), NULL, 10);
}

/* The value of name=value, which may stand anywhere. */
static const char *named(const struct words *words, const char *name, const char *otherwise)
{
    size_t len = strlen(name);
    for (int i = 1; i < words->count; i++)
        if (strncmp(words->word[i], name, len) == 0 && words->word[i][len] == '=')
            return words->word[i] + len + 1;
    return otherwise;
}

static bool add_rule(struct mock *mock, const struct words *words)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, word(words, 0)) != 0)
            continue;
        struct mock_rule *rule = mock_alloc(sizeof(*rule));
        rule->action = actions[i].action;
        rule->code = (int32_t)number(words, 1);
        rule->count = number(words, 2);
        rule->number = number(words, 3);
        if (strchr(word(words, 4), '=') == NULL)
            mock_copy(rule->text, rmq_view_str(word(words, 4)));
        mock_copy(rule->broker, rmq_view_str(named(words, "broker", "")));
        mock_copy(rule->topic, rmq_view_str(named(words, "topic", "")));
        rule->queue = (int32_t)strtol(named(words, "queue", "-1"), NULL, 10);
        struct mock_rule **at = &mock->rules;
        while (*at != NULL)
            at = &(*at)->next;
        *at = rule;
        return true;
    }
    return false;
}

static void make_topic(struct mock *mock, const struct words *words)
{
    const char *only = named(words, "broker", "");
    for (int i = 0; i < mock->broker_count; i++)
        if (only[0] == '\0' || strcmp(only, mock->brokers[i].name) == 0)
            mock_make_topic(mock, mock->brokers[i].name, word(words, 1),
                            (int)strtol(named(words, "queues", "4"), NULL, 10),
                            (int)strtol(named(words, "perm", "6"), NULL, 10));
}

/* One of the commands with a broker's name behind it. */
static bool change_broker(struct mock *mock, const struct words *words)
{
    const char *what = word(words, 0);
    struct mock_broker_state *broker = mock_find_broker(mock, word(words, 1));
    bool on = number(words, 2) != 0;
    if (broker == NULL)
        return false;
    if (strcmp(what, "full") == 0) {
        broker->full = on;
    } else if (strcmp(what, "down") == 0) {
        broker->up = false;
        mock_close_servers(mock, broker);
    } else if (strcmp(what, "up") == 0) {
        if (!broker->up)
            mock_open_server(mock, broker);
    } else if (strcmp(what, "leader") == 0) {
        for (struct mock_server *at = mock->servers; at != NULL; at = at->next)
            at->slave |= at->broker == broker;
        for (struct mock_peer *peer = mock->peers; peer != NULL; peer = peer->next)
            peer->slave |= peer->broker == broker;
        mock_open_server(mock, broker);
    } else if (strcmp(what, "deaf") == 0) {
        broker->deaf = on;
        for (struct mock_peer *peer = mock->peers; peer != NULL; peer = peer->next) {
            if (peer->broker != broker || peer->closing)
                continue;
            if (on)
                (void)uv_read_stop((uv_stream_t *)&peer->tcp);
            else
                (void)uv_read_start((uv_stream_t *)&peer->tcp, on_space, on_read);
        }
    } else {
        return false;
    }
    return true;
}

static void put_stats(const struct mock *mock, struct rmq_buf *ret)
{
    int connections = 0, members = 0;
    const char *comma = "";
    mock_printf(ret, "{\"requests\":{");
    for (const struct mock_count *at = mock->counts; at != NULL; at = at->next, comma = ",")
        mock_printf(ret, "%s\"%d\":%ld", comma, (int)at->code, at->count);
    for (const struct mock_peer *at = mock->peers; at != NULL; at = at->next)
        connections += !at->closing;
    for (const struct mock_member *at = mock->members; at != NULL; at = at->next)
        members++;
    mock_printf(ret, "},\"connections\":%d,\"members\":%d}\n", connections, members);
}

static void put_count(const struct mock *mock, const char *topic, struct rmq_buf *ret)
{
    int64_t count = 0;
    for (const struct mock_queue *queue = mock->queues; queue != NULL; queue = queue->next)
        count += strcmp(queue->topic, topic) == 0 ? queue->count - queue->min : 0;
    mock_printf(ret, "{\"count\":%" PRId64 "}\n", count);
}

static bool set_switch(struct mock *mock, const struct words *words)
{
    bool on = number(words, 1) != 0;
    if (strcmp(word(words, 0), "slow") == 0)
        mock->slow = on;
    else if (strcmp(word(words, 0), "binary") == 0)
        mock->binary = on;
    else if (strcmp(word(words, 0), "autocreate") == 0)
        mock->autocreate = on;
    else
        return false;
    return true;
}

static void clear_rules(struct mock *mock)
{
    while (mock->rules != NULL) {
        struct mock_rule *rule = mock->rules;
        mock->rules = rule->next;
        free(rule);
    }
    for (struct mock_peer *peer = mock->peers; peer != NULL; peer = peer->next)
        release_held(peer);
}

bool mock_command(struct mock *mock, const char *line, struct rmq_buf *ret)
{
    struct words words = {.count = 0};
    char *rest = words.line;
    (void)snprintf(words.line, sizeof(words.line), "%s", line);
    for (char *at; words.count < WORDS && (at = strtok_r(rest, " \t\r\n", &rest)) != NULL;)
        words.word[words.count++] = at;
    const char *what = word(&words, 0);
    if (strcmp(what, "quit") == 0) {
        mock_printf(ret, "{\"ok\":true}\n");
        return false;
    }
    bool good = true;
    if (strcmp(what, "topic") == 0 && words.count > 1) {
        make_topic(mock, &words);
    } else if (strcmp(what, "trim") == 0 && words.count == 5) {
        struct mock_queue *queue =
            mock_find_queue(mock, word(&words, 2), word(&words, 1), (int32_t)number(&words, 3));
        int64_t min = number(&words, 4);
        queue->min = min < queue->count ? min : queue->count;
    } else if (strcmp(what, "behind") == 0 && words.count == 5) {
        mock_find_queue(mock, word(&words, 2), word(&words, 1), (int32_t)number(&words, 3))
            ->behind = number(&words, 4);
    } else if (strcmp(what, "forget") == 0 && words.count == 6) {
        mock_forget(
            mock, mock_find_broker(mock, word(&words, 2)),
            mock_find_queue(mock, word(&words, 2), word(&words, 1), (int32_t)number(&words, 3)),
            number(&words, 4), number(&words, 5));
    } else if (strcmp(what, "count") == 0) {
        put_count(mock, word(&words, 1), ret);
        return true;
    } else if (strcmp(what, "stats") == 0) {
        put_stats(mock, ret);
        return true;
    } else if (strcmp(what, "dump") == 0) {
        mock_dump(mock, word(&words, 1), ret);
        return true;
    } else if (strcmp(what, "clear") == 0) {
        clear_rules(mock);
    } else {
        good = set_switch(mock, &words) || change_broker(mock, &words) || add_rule(mock, &words);
    }
    mock_printf(ret, good ? "{\"ok\":true}\n" : "{\"error\":\"unknown: %s\"}\n", what);
    return true;
}
