/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP client, so that `gantry run` uses the REST API as anybody else would. It asks for
 * the connection to be closed after the reply; the reply's length comes from Content-Length. */
#include "cli/http_get.h"

#include "base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REPLY_MAX_BYTES = 64 << 20 };

void gt_http_reply_init(struct gt_http_reply *reply)
{
    reply->status = 0;
    gt_buf_init(&reply->body, REPLY_MAX_BYTES);
    gt_buf_init(&reply->why, 64 << 10);
}

void gt_http_reply_deinit(struct gt_http_reply *reply)
{
    gt_buf_deinit(&reply->body);
    gt_buf_deinit(&reply->why);
}

int gt_http_escape(struct gt_buf *buf, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL)
            (void)gt_buf_add_char(buf, (char)*p); /* errors stick */
        else
            (void)gt_buf_addf(buf, "%%%02X", *p);
    }
    return buf->error;
}

/* One exchange under way. */
struct exchange {
    const struct gt_http_target *target;
    int fd;
    int64_t deadline_ns;
    struct gantry_err *err;
};

static int fail(const struct exchange *exchange, int code, const char *what)
{
    return gantry_err_set(exchange->err, code, "http://%s:%d: %s", exchange->target->address,
                          exchange->target->port, what);
}

/* Wait until the socket is ready. 0 or GANTRY_TIMEOUT. */
static int await(const struct exchange *exchange, short events)
{
    struct pollfd item = {.fd = exchange->fd, .events = events};
    for (;;) {
        int64_t left_ms = (exchange->deadline_ns - gt_clock_mono_ns()) / 1000000;
        if (left_ms <= 0)
            return fail(exchange, GANTRY_TIMEOUT, "no answer in time; see the worker's log");
        int ready = poll(&item, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return fail(exchange, GANTRY_IO, strerrordesc_np(errno));
    }
}

static int open_connection(struct exchange *exchange)
{
    const struct gt_http_target *target = exchange->target;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)target->port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)target->port)};
    bool is_four = inet_pton(AF_INET, target->address, &four.sin_addr) == 1;
    int error = 0;
    socklen_t len = sizeof error;

    if (!is_four && inet_pton(AF_INET6, target->address, &six.sin6_addr) != 1)
        return fail(exchange, GANTRY_INVALID, "not an address in numbers");
    if (is_four && four.sin_addr.s_addr == htonl(INADDR_ANY))
        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!is_four && IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr))
        six.sin6_addr = in6addr_loopback;
    exchange->fd =
        socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (exchange->fd < 0)
        return fail(exchange, GANTRY_IO, strerrordesc_np(errno));
    int rc = is_four ? connect(exchange->fd, (struct sockaddr *)&four, sizeof four)
                     : connect(exchange->fd, (struct sockaddr *)&six, sizeof six);
    if (rc != 0 && errno != EINPROGRESS)
        return fail(exchange, GANTRY_IO, strerrordesc_np(errno));
    rc = await(exchange, POLLOUT);
    if (rc != 0)
        return rc;
    if (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return fail(exchange, GANTRY_IO, strerrordesc_np(error));
    return 0;
}

static int send_request(struct exchange *exchange, const char *path)
{
    struct gt_buf request;
    size_t sent = 0;

    gt_buf_init(&request, REPLY_MAX_BYTES);
    (void)gt_buf_addf(&request, "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n",
                      path, exchange->target->port); /* errors stick */
    if (exchange->target->token != NULL)
        (void)gt_buf_addf(&request, "Authorization: Bearer %s\r\n", exchange->target->token);
    (void)gt_buf_add_str(&request, "\r\n");
    int rc = request.error != 0 ? fail(exchange, request.error, "no memory for the request") : 0;
    while (rc == 0 && sent < request.len) {
        ssize_t part = send(exchange->fd, request.data + sent, request.len - sent, MSG_NOSIGNAL);
        if (part >= 0)
            sent += (size_t)part;
        else if (errno == EAGAIN)
            rc = await(exchange, POLLOUT);
        else if (errno != EINTR)
            rc = fail(exchange, GANTRY_IO, strerrordesc_np(errno));
    }
    gt_buf_deinit(&request);
    return rc;
}

/* Read until the peer closes. */
static int receive_all(struct exchange *exchange, struct gt_buf *in)
{
    for (;;) {
        char *to = gt_buf_reserve(in, 16384);
        if (to == NULL)
            return fail(exchange, in->error, "the reply is too large");
        ssize_t got = recv(exchange->fd, to, 16384, 0);
        if (got > 0) {
            in->len += (size_t)got;
            continue;
        }
        if (got == 0)
            return 0;
        int rc = errno == EAGAIN  ? await(exchange, POLLIN)
                 : errno == EINTR ? 0
                                  : fail(exchange, GANTRY_IO, strerrordesc_np(errno));
        if (rc != 0)
            return rc;
    }
}

/* The value of a header field of a head that ends with an empty line; data NULL: absent. */
static struct gantry_view find_field(struct gantry_view head, const char *name)
{
    size_t len = strlen(name);
    const char *end = head.data + head.len;
    const char *line = head.data;
    while (line != NULL && line < end) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (stop == NULL)
            break;
        if ((size_t)(stop - line) > len && line[len] == ':' && strncasecmp(line, name, len) == 0)
            return gt_view_trim(
                (struct gantry_view){line + len + 1, (size_t)(stop - line) - len - 1});
        line = stop + 2;
    }
    return (struct gantry_view){NULL, 0};
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c | 0x20) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static void add_unescaped(struct gt_buf *buf, struct gantry_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        int high = c == '%' && i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
        if (low >= 0) {
            c = (char)(high * 16 + low);
            i += 2;
        }
        (void)gt_buf_add_char(buf, c); /* errors stick */
    }
}

static int parse_reply(const struct exchange *exchange, struct gantry_view in,
                       struct gt_http_reply *reply)
{
    const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    int64_t status, length;

    if (end == NULL || in.len < 12 || memcmp(in.data, "HTTP/1.", 7) != 0 ||
        gt_parse_int((struct gantry_view){in.data + 9, 3}, 100, 599, &status) != 0)
        return fail(exchange, GANTRY_CORRUPT,
                    "this is no HTTP server; is something else at this port?");
    struct gantry_view head = {in.data, (size_t)(end + 2 - in.data)};
    struct gantry_view body = {end + 4, in.len - head.len - 2};
    struct gantry_view field = find_field(head, "Content-Length");
    if (field.data != NULL &&
        (gt_parse_int(field, 0, INT64_MAX, &length) != 0 || length != (int64_t)body.len))
        return fail(exchange, GANTRY_CORRUPT, "the reply is cut short");
    reply->status = (int)status;
    (void)gt_buf_add_view(&reply->body, body);
    add_unescaped(&reply->why, find_field(head, "X-Gantry-Error"));
    (void)gt_buf_cstr(&reply->body); /* terminates it */
    (void)gt_buf_cstr(&reply->why);
    return reply->body.error == 0 ? 0
                                  : fail(exchange, reply->body.error, "no memory for the reply");
}

int gt_http_get(const struct gt_http_target *target, const char *path, int timeout_ms,
                struct gt_http_reply *reply, struct gantry_err *err)
{
    struct exchange exchange = {.target = target,
                                .fd = -1,
                                .deadline_ns = gt_clock_mono_ns() + (int64_t)timeout_ms * 1000000,
                                .err = err};
    struct gt_buf in;

    gt_buf_init(&in, REPLY_MAX_BYTES);
    gt_buf_clear(&reply->body);
    gt_buf_clear(&reply->why);
    int rc = open_connection(&exchange);
    if (rc == 0)
        rc = send_request(&exchange, path);
    if (rc == 0)
        rc = receive_all(&exchange, &in);
    if (rc == 0)
        rc = parse_reply(&exchange, gt_buf_view(&in), reply);
    if (exchange.fd >= 0)
        close(exchange.fd);
    gt_buf_deinit(&in);
    return rc;
}
