/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies in and out of zlib streams, LZ4 frames and Zstandard frames. The plain size is not on the
 * wire, so inflating goes by steps into a buffer whose maximum bounds it. */
#include <rocketmq/message.h>
#include "internal.h"
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

enum { STEP_MIN = 4 << 10 };

/* Room for the next step: twice what is there, as the buffer's maximum allows. */
static int step_room(struct rmq_buf *buf, size_t input)
{
    size_t step = buf->len > input * 2 ? buf->len : input * 2;
    if (step < STEP_MIN)
        step = STEP_MIN;
    if (step > buf->max - buf->len)
        step = buf->max - buf->len;
    return step == 0 ? RMQ_TOO_LARGE : rmq_buf_reserve(buf, step);
}

/* zlib leaves its end open: a stream that ends early is RMQ_CORRUPT, as is text behind it. */
static int inflate_zlib(struct rmq_view body, struct rmq_buf *buf)
{
    z_stream z = {.avail_in = (uInt)body.len};
    union {
        const char *from;
        Bytef *to;
    } in = {.from = body.data}; /* zlib only reads it */
    z.next_in = in.to;
    if (inflateInit(&z) != Z_OK)
        return RMQ_NO_MEMORY;
    int rc = 0;
    for (int end = Z_OK; rc == 0 && end != Z_STREAM_END;) {
        rc = step_room(buf, body.len);
        if (rc != 0)
            break;
        z.next_out = (Bytef *)(buf->data + buf->len);
        z.avail_out = (uInt)(buf->capacity - buf->len);
        uInt before = z.avail_out;
        end = inflate(&z, Z_NO_FLUSH);
        buf->len += before - z.avail_out;
        if (end == Z_MEM_ERROR)
            rc = RMQ_NO_MEMORY;
        else if (end != Z_STREAM_END && (end != Z_OK || z.avail_out > 0))
            rc = RMQ_CORRUPT; /* it wants more input, and there is none */
    }
    if (rc == 0 && z.avail_in > 0)
        rc = RMQ_CORRUPT;
    (void)inflateEnd(&z); /* only says that the state was in use */
    return rc;
}

static int inflate_lz4(struct rmq_view body, struct rmq_buf *buf)
{
    LZ4F_dctx *context = NULL;
    size_t at = 0, hint = 1;
    int rc = 0;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return RMQ_NO_MEMORY;
    while (rc == 0 && hint != 0) {
        rc = step_room(buf, body.len);
        if (rc != 0)
            break;
        size_t out = buf->capacity - buf->len, in = body.len - at;
        hint = LZ4F_decompress(context, buf->data + buf->len, &out, body.data + at, &in, NULL);
        if (LZ4F_isError(hint) || (hint != 0 && out == 0 && in == 0)) {
            rc = RMQ_CORRUPT;
            break;
        }
        buf->len += out;
        at += in;
    }
    if (rc == 0 && at != body.len)
        rc = RMQ_CORRUPT;
    (void)LZ4F_freeDecompressionContext(context); /* only tells how far it was */
    return rc;
}

static int inflate_zstd(struct rmq_view body, struct rmq_buf *buf)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL)
        return RMQ_NO_MEMORY;
    ZSTD_inBuffer in = {body.data, body.len, 0};
    size_t hint = 1;
    int rc = 0;
    while (rc == 0 && hint != 0) {
        rc = step_room(buf, body.len);
        if (rc != 0)
            break;
        ZSTD_outBuffer out = {buf->data + buf->len, buf->capacity - buf->len, 0};
        size_t before = in.pos;
        hint = ZSTD_decompressStream(stream, &out, &in);
        if (ZSTD_isError(hint) || (hint != 0 && out.pos == 0 && in.pos == before))
            rc = RMQ_CORRUPT;
        else
            buf->len += out.pos;
    }
    if (rc == 0 && in.pos != body.len)
        rc = RMQ_CORRUPT;
    (void)ZSTD_freeDStream(stream);
    return rc;
}

int rmq_message_inflate(struct rmq_message *message, struct rmq_buf *buf, struct rmq_err *err)
{
    if ((message->sys_flag & RMQ_SYS_COMPRESSED) == 0)
        return 0;
    int how = message->sys_flag & RMQ_SYS_COMPRESSION_MASK;
    int rc;
    buf->len = 0;
    if (how == RMQ_COMPRESSION_LZ4)
        rc = inflate_lz4(message->body, buf);
    else if (how == RMQ_COMPRESSION_ZSTD)
        rc = inflate_zstd(message->body, buf);
    else if (how == RMQ_COMPRESSION_ZLIB || how == 0) /* 0: clients older than the bits */
        rc = inflate_zlib(message->body, buf);
    else
        rc = RMQ_CORRUPT;
    if (rc != 0)
        return rmq_fail(err, rc, "compressed body of offset %lld (%zu bytes, sysFlag %#x): %s",
                        (long long)message->queue_offset, message->body.len,
                        (unsigned)message->sys_flag, rmq_error_text(rc));
    message->body = rmq_buf_view(buf);
    message->sys_flag &= ~(RMQ_SYS_COMPRESSED | RMQ_SYS_COMPRESSION_MASK);
    return 0;
}

int rmq_body_deflate(enum rmq_compression how, int level, struct rmq_view body, struct rmq_buf *buf,
                     int32_t *ret_sys_flag, struct rmq_err *err)
{
    size_t room, len;
    if (body.len > RMQ_BODY_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "body of %zu bytes; %d are allowed", body.len,
                        RMQ_BODY_MAX);
    LZ4F_preferences_t wishes = {.compressionLevel = level};
    switch (how) {
    case RMQ_COMPRESSION_ZLIB:
        room = compressBound((uLong)body.len);
        break;
    case RMQ_COMPRESSION_LZ4:
        room = LZ4F_compressFrameBound(body.len, &wishes);
        break;
    case RMQ_COMPRESSION_ZSTD:
        room = ZSTD_compressBound(body.len);
        break;
    case RMQ_COMPRESSION_NONE:
    default:
        return rmq_fail(err, RMQ_INVALID, "compression %d; LZ4, ZSTD and ZLIB are known", (int)how);
    }
    int rc = rmq_buf_reserve(buf, room);
    if (rc != 0)
        return rmq_fail(err, rc, "no room to compress %zu bytes", body.len);
    char *to = buf->data + buf->len;
    bool good;
    if (how == RMQ_COMPRESSION_ZLIB) {
        uLongf out = (uLongf)room;
        good = compress2((Bytef *)to, &out, (const Bytef *)body.data, (uLong)body.len,
                         level == 0 ? 5 : level) == Z_OK;
        len = out;
    } else if (how == RMQ_COMPRESSION_LZ4) {
        len = LZ4F_compressFrame(to, room, body.data, body.len, &wishes);
        good = !LZ4F_isError(len);
    } else {
        len = ZSTD_compress(to, room, body.data, body.len, level == 0 ? 3 : level);
        good = !ZSTD_isError(len);
    }
    if (!good)
        return rmq_fail(err, RMQ_INVALID, "compressing %zu bytes at level %d failed", body.len,
                        level);
    buf->len += len;
    *ret_sys_flag = RMQ_SYS_COMPRESSED | (int32_t)how;
    return 0;
}
