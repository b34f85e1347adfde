/* SPDX-License-Identifier: Apache-2.0 */
/* A growing buffer that doubles up to its maximum. */
#include "internal.h"
#include <stdlib.h>

void rmq_buf_init(struct rmq_buf *buf, size_t max)
{
    memset(buf, 0, sizeof(*buf));
    buf->max = max;
}

void rmq_buf_deinit(struct rmq_buf *buf)
{
    free(buf->data);
    rmq_buf_init(buf, buf->max);
}

int rmq_buf_reserve(struct rmq_buf *buf, size_t more)
{
    if (more <= buf->capacity - buf->len)
        return 0;
    if (more > buf->max - buf->len)
        return RMQ_TOO_LARGE;
    size_t need = buf->len + more;
    size_t capacity = buf->capacity < 256 ? 256 : buf->capacity;
    while (capacity < need)
        capacity = capacity > buf->max / 2 ? buf->max : capacity * 2;
    if (capacity > buf->max)
        capacity = buf->max;
    char *data = realloc(buf->data, capacity);
    if (data == NULL)
        return RMQ_NO_MEMORY;
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

int rmq_buf_append(struct rmq_buf *buf, const void *data, size_t len)
{
    int rc = rmq_buf_reserve(buf, len);
    if (rc == 0 && len > 0) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
    return rc;
}

bool rmq_parse_i64(struct rmq_view text, int64_t *ret)
{
    size_t i = text.len > 0 && text.data[0] == '-' ? 1 : 0;
    int64_t value = 0;
    if (i == text.len)
        return false;
    for (; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        int digit = text.data[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    /* summed up below zero, which has room for one more */
    if (text.data[0] != '-' && __builtin_sub_overflow((int64_t)0, value, &value))
        return false;
    *ret = value;
    return true;
}
