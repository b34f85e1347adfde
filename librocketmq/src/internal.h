/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of librocketmq share: filling an error, big-endian loads, a checked reader. */
#ifndef RMQ_INTERNAL_H
#define RMQ_INTERNAL_H

#include <rocketmq/buffer.h>

/* Fill err (may be NULL) and return code. */
int rmq_fail(struct rmq_err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a reply that is an error. Returns RMQ_REFUSED. */
int rmq_refuse(struct rmq_err *err, int32_t server_code, const char *what, struct rmq_view remark);

/* A decimal i64 without blanks or trailing text. */
bool rmq_parse_i64(struct rmq_view text, int64_t *ret);

/* Reads big-endian fields and keeps the first failure: read all, ask once. */
struct rmq_cursor {
    const unsigned char *at;
    size_t left;
    bool failed;
};

static inline const unsigned char *rmq_take(struct rmq_cursor *cursor, size_t len)
{
    if (cursor->failed || len > cursor->left) {
        cursor->failed = true;
        return NULL;
    }
    const unsigned char *at = cursor->at;
    cursor->at += len;
    cursor->left -= len;
    return at;
}

static inline uint64_t rmq_take_be(struct rmq_cursor *cursor, size_t width)
{
    const unsigned char *at = rmq_take(cursor, width);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < width; i++)
        value = value << 8 | at[i];
    return value;
}

static inline int32_t rmq_take_i32(struct rmq_cursor *cursor)
{
    return (int32_t)(uint32_t)rmq_take_be(cursor, 4);
}

static inline int64_t rmq_take_i64(struct rmq_cursor *cursor)
{
    return (int64_t)rmq_take_be(cursor, 8);
}

static inline struct rmq_view rmq_take_view(struct rmq_cursor *cursor, int64_t len)
{
    if (len < 0 || (uint64_t)len > cursor->left)
        cursor->failed = true;
    const unsigned char *at = rmq_take(cursor, cursor->failed ? 0 : (size_t)len);
    return rmq_view(at, at == NULL ? 0 : (size_t)len);
}

static inline void rmq_put_be(void *to, uint64_t value, size_t width)
{
    unsigned char *bytes = (unsigned char *)to;
    for (size_t i = 0; i < width; i++)
        bytes[i] = (unsigned char)(value >> (8 * (width - 1 - i)));
}

/* Append an integer; the caller has reserved the room. */
static inline void rmq_append_be(struct rmq_buf *buf, uint64_t value, size_t width)
{
    rmq_put_be(buf->data + buf->len, value, width);
    buf->len += width;
}

#endif
