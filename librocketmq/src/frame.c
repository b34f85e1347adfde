/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a stream into frames. The buffer doubles as bytes arrive, so that a peer which claims a
 * large frame and sends little costs little. */
#include <rocketmq/command.h>
#include "internal.h"

enum { SPACE_MIN = 16 << 10, SPACE_FIRST = 64 << 10 };

void rmq_frame_reader_init(struct rmq_frame_reader *reader, size_t limit)
{
    /* Behind a frame of the limit there is always room to read. */
    rmq_buf_init(&reader->buf, limit + SPACE_FIRST);
    reader->start = 0;
    reader->limit = limit;
}

void rmq_frame_reader_deinit(struct rmq_frame_reader *reader)
{
    rmq_buf_deinit(&reader->buf);
    reader->start = 0;
}

int rmq_frame_reader_space(struct rmq_frame_reader *reader, char **ret_data, size_t *ret_len)
{
    struct rmq_buf *buf = &reader->buf;
    if (reader->start > 0 && (reader->start == buf->len || buf->capacity - buf->len < SPACE_MIN)) {
        memmove(buf->data, buf->data + reader->start, buf->len - reader->start);
        buf->len -= reader->start;
        reader->start = 0;
    }
    if (buf->capacity - buf->len < SPACE_MIN) {
        int rc = rmq_buf_reserve(buf, buf->len == 0 ? SPACE_FIRST : SPACE_MIN);
        if (rc != 0)
            return rc;
    }
    *ret_data = buf->data + buf->len;
    *ret_len = buf->capacity - buf->len;
    return 0;
}

void rmq_frame_reader_filled(struct rmq_frame_reader *reader, size_t len)
{
    reader->buf.len += len;
}

int rmq_frame_reader_next(struct rmq_frame_reader *reader, struct rmq_view *ret,
                          struct rmq_err *err)
{
    size_t left = reader->buf.len - reader->start;
    if (left < 4)
        return 0;
    const char *at = reader->buf.data + reader->start;
    struct rmq_cursor in = {(const unsigned char *)at, 4, false};
    int32_t length = rmq_take_i32(&in);
    if (length < 4 || (size_t)length > reader->limit - 4)
        return rmq_fail(err, RMQ_MALFORMED, "frame length %d; 4 to %zu is allowed", (int)length,
                        reader->limit - 4);
    if (left - 4 < (size_t)length)
        return 0;
    *ret = rmq_view(at, 4 + (size_t)length);
    reader->start += ret->len;
    return 1;
}
