/* SPDX-License-Identifier: Apache-2.0 */
/* Servers for tests: frames in, and a function of the test that answers. They live on the test's
 * loop, on free ports of 127.0.0.1. Include once in a test program, behind cmocka.h. */
#ifndef RMQ_TEST_FAKE_H
#define RMQ_TEST_FAKE_H

#include <rocketmq/client.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_peer {
    uv_tcp_t tcp;
    struct fake *fake;
    struct rmq_frame_reader reader;
    struct rmq_command command;
    struct fake_peer *next;
};

struct fake {
    uv_loop_t *loop;
    uv_tcp_t server;
    char address[32];
    bool listening;
    struct fake_peer *peers;
    size_t accepted, received;
    size_t by_code[400]; /* requests of each code */
    /* Answer, or not. */
    void (*serve)(void *arg, struct fake_peer *peer, const struct rmq_command *request);
    void *arg;
};

static void fake_on_peer_closed(uv_handle_t *handle)
{
    struct fake_peer *peer = handle->data;
    struct fake_peer **at = &peer->fake->peers;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    rmq_frame_reader_deinit(&peer->reader);
    rmq_command_deinit(&peer->command);
    free(peer);
}

static void fake_close_peer(struct fake_peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp))
        uv_close((uv_handle_t *)&peer->tcp, fake_on_peer_closed);
}

static void fake_write(struct fake_peer *peer, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) { /* small: the socket takes it */
        char copy[4096];
        size_t part = len - at < sizeof(copy) ? len - at : sizeof(copy);
        memcpy(copy, (const char *)data + at, part);
        uv_buf_t buf = uv_buf_init(copy, (unsigned)part);
        int rc = uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1);
        if (rc == UV_EPIPE || rc == UV_ECONNRESET)
            return; /* the client has gone */
        if (rc > 0)
            at += (size_t)rc;
        else
            assert_int_equal(rc, UV_EAGAIN);
    }
}

static void fake_send(struct fake_peer *peer, struct rmq_command *command)
{
    struct rmq_buf buf;
    rmq_buf_init(&buf, RMQ_FRAME_MAX);
    assert_int_equal(rmq_command_encode(command, &buf, NULL), 0);
    fake_write(peer, buf.data, buf.len);
    rmq_buf_deinit(&buf);
}

static void fake_reply(struct fake_peer *peer, const struct rmq_command *request, int32_t code,
                       const char *remark, const char *body)
{
    struct rmq_command reply;
    rmq_command_init(&reply, code);
    reply.opaque = request->opaque;
    reply.flag = RMQ_FLAG_REPLY;
    reply.has_remark = remark != NULL;
    reply.remark = rmq_view_str(remark);
    reply.body = rmq_view_str(body);
    fake_send(peer, &reply);
}

static void fake_on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct fake_peer *peer = handle->data;
    char *data;
    size_t len;
    (void)suggested;
    assert_int_equal(rmq_frame_reader_space(&peer->reader, &data, &len), 0);
    *ret = uv_buf_init(data, (unsigned)len);
}

static void fake_on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct fake_peer *peer = stream->data;
    struct rmq_view frame;
    (void)buf;
    if (count < 0) {
        fake_close_peer(peer);
        return;
    }
    rmq_frame_reader_filled(&peer->reader, (size_t)count);
    while (!uv_is_closing((uv_handle_t *)&peer->tcp)) {
        int rc = rmq_frame_reader_next(&peer->reader, &frame, NULL);
        if (rc == 0)
            return;
        if (rc < 0 || rmq_command_decode(&peer->command, frame, NULL) != 0) {
            fake_close_peer(peer); /* as a real one does */
            return;
        }
        peer->fake->received++;
        if (peer->command.code >= 0 && peer->command.code < 400)
            peer->fake->by_code[peer->command.code]++;
        peer->fake->serve(peer->fake->arg, peer, &peer->command);
    }
}

static void fake_on_accept(uv_stream_t *server, int status)
{
    struct fake *fake = server->data;
    assert_int_equal(status, 0);
    struct fake_peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->fake = fake;
    peer->next = fake->peers;
    fake->peers = peer;
    fake->accepted++;
    rmq_frame_reader_init(&peer->reader, RMQ_FRAME_MAX);
    rmq_command_init(&peer->command, 0);
    assert_int_equal(uv_tcp_init(fake->loop, &peer->tcp), 0);
    peer->tcp.data = peer;
    assert_int_equal(uv_accept(server, (uv_stream_t *)&peer->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->tcp, fake_on_space, fake_on_read), 0);
}

/* port 0: a free one. */
static void fake_listen(struct fake *fake, int port)
{
    struct sockaddr_in name;
    int len = sizeof(name);
    assert_int_equal(uv_tcp_init(fake->loop, &fake->server), 0);
    fake->server.data = fake;
    assert_int_equal(uv_ip4_addr("127.0.0.1", port, &name), 0);
    assert_int_equal(uv_tcp_bind(&fake->server, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake->server, 16, fake_on_accept), 0);
    assert_int_equal(uv_tcp_getsockname(&fake->server, (struct sockaddr *)&name, &len), 0);
    (void)snprintf(fake->address, sizeof(fake->address), "127.0.0.1:%d",
                   (name.sin_port & 0xFF) << 8 | name.sin_port >> 8);
    fake->listening = true;
}

static void fake_start(struct fake *fake, uv_loop_t *loop,
                       void (*serve)(void *arg, struct fake_peer *peer,
                                     const struct rmq_command *request),
                       void *arg)
{
    memset(fake, 0, sizeof(*fake));
    fake->loop = loop;
    fake->serve = serve;
    fake->arg = arg;
    fake_listen(fake, 0);
}

static void fake_close_peers(struct fake *fake)
{
    for (struct fake_peer *peer = fake->peers; peer != NULL; peer = peer->next)
        fake_close_peer(peer);
}

/* Refuse connections; those that stand stay. */
static void fake_stop_listening(struct fake *fake)
{
    if (fake->listening)
        uv_close((uv_handle_t *)&fake->server, NULL);
    fake->listening = false;
}

static void fake_end(struct fake *fake)
{
    fake_stop_listening(fake);
    fake_close_peers(fake);
}

#endif
