/* SPDX-License-Identifier: Apache-2.0 */
/* A view of bytes that another owns, and a growing buffer with a maximum given at birth. */
#ifndef ROCKETMQ_BUFFER_H
#define ROCKETMQ_BUFFER_H

#include <rocketmq/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rmq_view {
    const char *data; /* borrowed; may be NULL when len is 0; not NUL-terminated */
    size_t len;
};

static inline struct rmq_view rmq_view(const void *data, size_t len)
{
    struct rmq_view view = {(const char *)data, len};
    return view;
}

static inline struct rmq_view rmq_view_str(const char *text)
{
    return rmq_view(text, text == NULL ? 0 : strlen(text));
}

static inline bool rmq_view_equal(struct rmq_view a, struct rmq_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct rmq_buf {
    char *data; /* owned */
    size_t len;
    size_t capacity;
    size_t max; /* bytes it may ever hold */
};

void rmq_buf_init(struct rmq_buf *buf, size_t max);
/* Frees the bytes; the buffer is empty and may be used again. */
void rmq_buf_deinit(struct rmq_buf *buf);
/* Room for more bytes behind len. 0 | RMQ_TOO_LARGE | RMQ_NO_MEMORY; the content stays. */
int rmq_buf_reserve(struct rmq_buf *buf, size_t more);
int rmq_buf_append(struct rmq_buf *buf, const void *data, size_t len);

static inline struct rmq_view rmq_buf_view(const struct rmq_buf *buf)
{
    return rmq_view(buf->data, buf->len);
}

#ifdef __cplusplus
}
#endif
#endif
