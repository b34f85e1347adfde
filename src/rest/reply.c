/* SPDX-License-Identifier: Apache-2.0 */
/* Replies. The order of the header fields is that of the Java worker, so that the dialect code-2019
 * can be compared byte by byte with what was captured. */
#include "rest/reply.h"

#include <assert.h>
#include <time.h>

enum { BODY_KEPT = 1 << 20 };

void gt_reply_init(struct gt_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    gt_buf_init(&reply->body, GT_REPLY_BODY_MAX);
    gt_reply_reset(reply);
}

void gt_reply_deinit(struct gt_reply *reply)
{
    gt_buf_deinit(&reply->body);
}

void gt_reply_reset(struct gt_reply *reply)
{
    if (reply->body.cap > BODY_KEPT)
        gt_buf_deinit(&reply->body);
    gt_buf_clear(&reply->body);
    reply->status = 200;
    reply->reason = gt_reply_reason(200);
    reply->content_type = "text/plain;charset=utf-8";
    reply->server = NULL;
    reply->fields = "";
    reply->bare = false;
    reply->head_only = false;
    reply->error[0] = '\0';
}

const char *gt_reply_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Server Error";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

void gt_reply_text(struct gt_reply *reply, int status, const char *text)
{
    reply->status = status;
    reply->reason = gt_reply_reason(status);
    gt_buf_clear(&reply->body);
    (void)gt_buf_add_str(&reply->body, text); /* the sender looks at the buffer's error */
}

void gt_reply_set_error(struct gt_reply *reply, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = reply->error;
    const char *end = reply->error + sizeof reply->error - 4;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && to < end; p++) {
        if (*p >= 0x20 && *p < 0x7f && *p != '%') {
            *to++ = (char)*p;
        } else {
            *to++ = '%';
            *to++ = digits[*p >> 4];
            *to++ = digits[*p & 15];
        }
    }
    *to = '\0';
}

/* "Sun, 22 Nov 2026 12:48:58 GMT", whatever the locale. */
static void format_date(int64_t now, char *to, size_t size)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)now;
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm); /* fails only for years beyond int */
    (void)snprintf(to, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                   months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

size_t gt_reply_format_head(const struct gt_reply *reply, const char *connection, int64_t now,
                            char *to)
{
    char date[64];
    int len;

    if (reply->bare) {
        len =
            snprintf(to, GT_REPLY_HEAD_MAX,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%sServer: "
                     "%s\r\n\r\n",
                     reply->status, reply->reason, reply->content_type, reply->body.len,
                     connection != NULL ? "Connection: " : "", connection != NULL ? connection : "",
                     connection != NULL ? "\r\n" : "", reply->server);
    } else {
        format_date(now, date, sizeof date);
        len = snprintf(to, GT_REPLY_HEAD_MAX,
                       "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%sContent-Type: "
                       "%s\r\nContent-Length: %zu\r\n%s%s%s%s\r\n",
                       reply->status, reply->reason, date, connection != NULL ? "Connection: " : "",
                       connection != NULL ? connection : "", connection != NULL ? "\r\n" : "",
                       reply->server != NULL ? "Server: " : "",
                       reply->server != NULL ? reply->server : "",
                       reply->server != NULL ? "\r\n" : "", reply->content_type, reply->body.len,
                       reply->fields, reply->error[0] != '\0' ? "X-Gantry-Error: " : "",
                       reply->error, reply->error[0] != '\0' ? "\r\n" : "");
    }
    assert(len > 0 && len < GT_REPLY_HEAD_MAX);
    return (size_t)len;
}
