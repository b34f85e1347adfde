/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files to bytes and back. The loops over messages are the hot part of the whole worker:
 * sizes are summed up first, so that the writing loop has no checks and no calls but memcpy. */
#include "topic/embedded/segment.h"

#include "base/crc32c.h"
#include "base/cursor.h"
#include <lz4.h>
#include <zstd.h>

#define SEGMENT_MAGIC 0x31535447u /* "GTS1" */
#define BATCH_MAGIC   0x31425447u /* "GTB1" */

enum {
    FORMAT_VERSION = 1,
    /* Places in the batch header. */
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_HEADER_LEN = 6,
    AT_LENGTH = 8,
    AT_CRC = 12,
    AT_BASE = 16,
    AT_COUNT = 24,
    AT_COMPRESSION = 28,
    AT_FIRST_MS = 32,
    AT_LAST_MS = 40,
    AT_RAW_LENGTH = 48,
    /* Flags of a message. */
    HAS_KEY = 1,
    HAS_PROPERTIES = 2,
    HAS_TIME = 4,
    FLAGS_KNOWN = 7,
    /* flags and the length of an empty body */
    MESSAGE_LEAST = 2,
    /* flags, time, and three lengths */
    MESSAGE_OVERHEAD = 1 + 10 + 3 * 5,
};

static void store_le16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static unsigned load_le16(const uint8_t *data)
{
    return (unsigned)data[0] | (unsigned)data[1] << 8;
}

int gt_compression_parse(const char *name, enum gt_compression *ret)
{
    static const char *const names[] = {"none", "lz4", "zstd"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum gt_compression)i;
            return 0;
        }
    }
    return GANTRY_INVALID;
}

void gt_segment_header_write(uint8_t out[GT_SEGMENT_HEADER], int64_t base_offset,
                             int64_t created_ms)
{
    memset(out, 0, GT_SEGMENT_HEADER);
    gt_store_le32(out, SEGMENT_MAGIC);
    store_le16(out + 4, FORMAT_VERSION);
    store_le16(out + 6, GT_SEGMENT_HEADER);
    gt_store_le64(out + 8, (uint64_t)base_offset);
    gt_store_le64(out + 16, (uint64_t)created_ms);
    gt_store_le32(out + 28, gt_crc32c(0, out, 28));
}

int gt_segment_header_check(const void *data, size_t len, int64_t base_offset,
                            struct gantry_err *err)
{
    const uint8_t *in = data;
    if (len < GT_SEGMENT_HEADER || gt_load_le32(in) != SEGMENT_MAGIC)
        return gantry_err_set(err, GANTRY_CORRUPT, "no segment header");
    if (load_le16(in + 4) != FORMAT_VERSION)
        return gantry_err_set(err, GANTRY_VERSION, "segment format %u, this program knows %u",
                              load_le16(in + 4), (unsigned)FORMAT_VERSION);
    if (load_le16(in + 6) != GT_SEGMENT_HEADER || gt_load_le32(in + 28) != gt_crc32c(0, in, 28))
        return gantry_err_set(err, GANTRY_CORRUPT, "damaged segment header");
    if (gt_load_le64(in + 8) != (uint64_t)base_offset)
        return gantry_err_set(err, GANTRY_CORRUPT,
                              "segment header of offset %llu in the file of offset %lld",
                              (unsigned long long)gt_load_le64(in + 8), (long long)base_offset);
    return 0;
}

static uint8_t *put_sized(uint8_t *out, struct gantry_view view)
{
    out = gt_put_varint(out, view.len);
    if (view.len > 0)
        memcpy(out, view.data, view.len);
    return out + view.len;
}

/* Write the messages to @p out, which has room for the worst case, and return the end. */
static uint8_t *put_messages(uint8_t *out, const struct gt_message *messages, size_t count,
                             int64_t first_ms)
{
    for (size_t i = 0; i < count; i++) {
        const struct gt_message *message = &messages[i];
        /* Sources may give any time: differences wrap, and wrap back when read. */
        int64_t delta = (int64_t)((uint64_t)message->timestamp_ms - (uint64_t)first_ms);
        if ((message->key.len | message->properties.len | (uint64_t)delta) == 0) {
            *out++ = 0;
        } else {
            *out++ = (uint8_t)((message->key.len > 0 ? HAS_KEY : 0) |
                               (message->properties.len > 0 ? HAS_PROPERTIES : 0) |
                               (delta != 0 ? HAS_TIME : 0));
            if (delta != 0)
                out = gt_put_varint(out, gt_zigzag(delta));
            if (message->key.len > 0)
                out = put_sized(out, message->key);
            if (message->properties.len > 0)
                out = put_sized(out, message->properties);
        }
        out = put_sized(out, message->body);
    }
    return out;
}

/* Compress @p raw behind the header; returns the bytes written, 0 when it does not get smaller. */
static size_t compress(struct gt_buf *out, const struct gt_buf *raw,
                       enum gt_compression compression)
{
    size_t bound = compression == GT_COMPRESSION_LZ4 ? (size_t)LZ4_compressBound((int)raw->len)
                                                     : ZSTD_compressBound(raw->len);
    char *to = gt_buf_reserve(out, GT_BATCH_HEADER + bound);
    if (to == NULL)
        return 0;
    to += GT_BATCH_HEADER;
    size_t size;
    if (compression == GT_COMPRESSION_LZ4) {
        int got = LZ4_compress_default(raw->data, to, (int)raw->len, (int)bound);
        size = got > 0 ? (size_t)got : 0;
    } else {
        size = ZSTD_compress(to, bound, raw->data, raw->len, 1);
        if (ZSTD_isError(size))
            size = 0;
    }
    return size < raw->len ? size : 0;
}

static void put_header(uint8_t *out, size_t length, uint32_t count, enum gt_compression compression,
                       int64_t first_ms, int64_t last_ms, size_t raw_length)
{
    memset(out, 0, GT_BATCH_HEADER);
    gt_store_le32(out + AT_MAGIC, BATCH_MAGIC);
    store_le16(out + AT_VERSION, FORMAT_VERSION);
    store_le16(out + AT_HEADER_LEN, GT_BATCH_HEADER);
    gt_store_le32(out + AT_LENGTH, (uint32_t)length);
    gt_store_le32(out + AT_COUNT, count);
    out[AT_COMPRESSION] = (uint8_t)compression;
    gt_store_le64(out + AT_FIRST_MS, (uint64_t)first_ms);
    gt_store_le64(out + AT_LAST_MS, (uint64_t)last_ms);
    gt_store_le32(out + AT_RAW_LENGTH, (uint32_t)raw_length);
}

int gt_batch_write(struct gt_buf *out, const struct gt_message *messages, size_t count,
                   enum gt_compression compression, struct gt_buf *scratch)
{
    size_t worst = count * MESSAGE_OVERHEAD;
    int64_t last_ms = messages[0].timestamp_ms;
    for (size_t i = 0; i < count; i++) {
        worst += messages[i].key.len + messages[i].properties.len + messages[i].body.len;
        if (messages[i].timestamp_ms > last_ms)
            last_ms = messages[i].timestamp_ms;
    }
    if (worst > GT_BATCH_MAX - GT_BATCH_HEADER || count > UINT32_MAX)
        return GANTRY_TOO_LARGE;

    int64_t first_ms = messages[0].timestamp_ms;
    size_t start = out->len, size = 0, raw_length;
    if (compression != GT_COMPRESSION_NONE) {
        gt_buf_clear(scratch);
        char *raw = gt_buf_reserve(scratch, worst);
        if (raw == NULL)
            return scratch->error;
        scratch->len =
            (size_t)(put_messages((uint8_t *)raw, messages, count, first_ms) - (uint8_t *)raw);
        size = compress(out, scratch, compression);
    }
    if (size > 0) {
        raw_length = scratch->len;
    } else {
        uint8_t *to = (uint8_t *)gt_buf_reserve(out, GT_BATCH_HEADER + worst);
        if (to == NULL)
            return out->error;
        to += GT_BATCH_HEADER;
        size = raw_length = (size_t)(put_messages(to, messages, count, first_ms) - to);
        compression = GT_COMPRESSION_NONE;
    }
    put_header((uint8_t *)out->data + start, GT_BATCH_HEADER + size, (uint32_t)count, compression,
               first_ms, last_ms, raw_length);
    out->len = start + GT_BATCH_HEADER + size;
    return 0;
}

void gt_batch_seal(char *batch, int64_t base_offset)
{
    uint8_t *out = (uint8_t *)batch;
    gt_store_le64(out + AT_BASE, (uint64_t)base_offset);
    gt_store_le32(out + AT_CRC,
                  gt_crc32c(0, out + AT_BASE, gt_load_le32(out + AT_LENGTH) - AT_BASE));
}

int gt_batch_header_read(const void *data, size_t len, struct gt_batch_info *ret,
                         struct gantry_err *err)
{
    const uint8_t *in = data;
    if (len < GT_BATCH_HEADER || gt_load_le32(in + AT_MAGIC) != BATCH_MAGIC)
        return gantry_err_set(err, GANTRY_CORRUPT, "no batch header");
    if (load_le16(in + AT_VERSION) != FORMAT_VERSION)
        return gantry_err_set(err, GANTRY_VERSION, "batch format %u, this program knows %u",
                              load_le16(in + AT_VERSION), (unsigned)FORMAT_VERSION);
    struct gt_batch_info info = {
        .length = gt_load_le32(in + AT_LENGTH),
        .base_offset = (int64_t)gt_load_le64(in + AT_BASE),
        .count = gt_load_le32(in + AT_COUNT),
        .compression = (enum gt_compression)in[AT_COMPRESSION],
        .first_ms = (int64_t)gt_load_le64(in + AT_FIRST_MS),
        .last_ms = (int64_t)gt_load_le64(in + AT_LAST_MS),
        .raw_length = gt_load_le32(in + AT_RAW_LENGTH),
    };
    if (load_le16(in + AT_HEADER_LEN) != GT_BATCH_HEADER || info.length < GT_BATCH_HEADER ||
        info.length > len || info.length > GT_BATCH_MAX || info.raw_length > GT_BATCH_MAX ||
        info.count == 0 || info.count > info.raw_length / MESSAGE_LEAST || info.base_offset < 0 ||
        info.base_offset > INT64_MAX - info.count || in[AT_COMPRESSION] > GT_COMPRESSION_ZSTD)
        return gantry_err_set(err, GANTRY_CORRUPT, "damaged batch header");
    *ret = info;
    return 0;
}

int gt_batch_check(const void *data, const struct gt_batch_info *info, struct gantry_err *err)
{
    const uint8_t *in = data;
    if (gt_crc32c(0, in + AT_BASE, info->length - AT_BASE) != gt_load_le32(in + AT_CRC))
        return gantry_err_set(err, GANTRY_CORRUPT, "the batch's checksum does not match its bytes");
    return 0;
}

static int decompress(const void *data, const struct gt_batch_info *info, struct gt_arena *arena,
                      const char **ret, struct gantry_err *err)
{
    const char *from = (const char *)data + GT_BATCH_HEADER;
    size_t size = info->length - GT_BATCH_HEADER;
    char *raw = gt_arena_alloc(arena, info->raw_length);
    if (raw == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %u bytes of a batch",
                              info->raw_length);
    bool good;
    if (info->compression == GT_COMPRESSION_LZ4)
        good = LZ4_decompress_safe(from, raw, (int)size, (int)info->raw_length) ==
               (int)info->raw_length;
    else
        good = ZSTD_decompress(raw, info->raw_length, from, size) == info->raw_length;
    if (!good)
        return gantry_err_set(err, GANTRY_CORRUPT, "the batch cannot be decompressed");
    *ret = raw;
    return 0;
}

static struct gantry_view read_sized(struct gt_cursor *cursor)
{
    uint64_t len = gt_cursor_varint(cursor);
    if (len > gt_cursor_left(cursor))
        cursor->bad = true;
    return gt_cursor_bytes(cursor, (size_t)len);
}

int gt_batch_read(const void *data, const struct gt_batch_info *info, struct gt_arena *arena,
                  struct gt_message **ret, struct gantry_err *err)
{
    const char *raw = (const char *)data + GT_BATCH_HEADER;
    if (info->compression != GT_COMPRESSION_NONE) {
        int code = decompress(data, info, arena, &raw, err);
        if (code != 0)
            return code;
    } else if (info->raw_length != info->length - GT_BATCH_HEADER) {
        return gantry_err_set(err, GANTRY_CORRUPT, "the batch's lengths do not fit");
    }
    struct gt_message *messages = gt_arena_alloc(arena, info->count * sizeof *messages);
    if (messages == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %u messages of a batch",
                              info->count);

    static const struct gantry_view none = {NULL, 0};
    struct gt_cursor cursor = gt_cursor_of(raw, info->raw_length);
    for (uint32_t i = 0; i < info->count; i++) {
        struct gt_message *message = &messages[i];
        unsigned flags = gt_cursor_u8(&cursor);
        if ((flags & ~(unsigned)FLAGS_KNOWN) != 0)
            cursor.bad = true;
        int64_t delta = (flags & HAS_TIME) != 0 ? gt_unzigzag(gt_cursor_varint(&cursor)) : 0;
        message->timestamp_ms = (int64_t)((uint64_t)info->first_ms + (uint64_t)delta);
        message->key = (flags & HAS_KEY) != 0 ? read_sized(&cursor) : none;
        message->properties = (flags & HAS_PROPERTIES) != 0 ? read_sized(&cursor) : none;
        message->body = read_sized(&cursor);
    }
    if (cursor.bad || gt_cursor_left(&cursor) != 0)
        return gantry_err_set(err, GANTRY_CORRUPT, "the batch's messages do not fit its length");
    *ret = messages;
    return 0;
}

const struct gt_gap_record *gt_gap_at(const struct gt_gap_record *gaps, size_t count,
                                      int64_t segment, int64_t at, int64_t offset)
{
    const struct gt_gap_record *found = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct gt_gap_record *gap = &gaps[i];
        bool here =
            gap->from <= at && (at < gap->to || (at == gap->from && gap->end_offset > offset));
        if (gap->segment == segment && here && (found == NULL || gap->to > found->to))
            found = gap;
    }
    return found;
}
