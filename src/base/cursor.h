/* SPDX-License-Identifier: Apache-2.0 */
/** Reading and writing of binary formats. Little endian; varints are LEB128 (7 bits a byte, low
 * bits first). The reader keeps its first error: read all the fields, check once. Thread: any. */
#ifndef GT_BASE_CURSOR_H
#define GT_BASE_CURSOR_H

#include "base/view.h"

struct gt_cursor {
    const uint8_t *pos, *end;
    bool bad; /* a read went past the end or a varint was malformed; every later read gives 0 */
};

static inline struct gt_cursor gt_cursor_of(const void *data, size_t len)
{
    const uint8_t *start = (const uint8_t *)data;
    struct gt_cursor cursor = {start, len > 0 ? start + len : start, false}; /* NULL when empty */
    return cursor;
}

static inline uint32_t gt_load_le32(const void *data)
{
    const uint8_t *p = (const uint8_t *)data;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gt_load_le64(const void *data)
{
    return (uint64_t)gt_load_le32(data) | (uint64_t)gt_load_le32((const uint8_t *)data + 4) << 32;
}

static inline void gt_store_le32(void *data, uint32_t value)
{
    uint8_t *p = (uint8_t *)data;
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline void gt_store_le64(void *data, uint64_t value)
{
    uint8_t *p = (uint8_t *)data;
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

static inline size_t gt_cursor_left(const struct gt_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->pos);
}

static inline struct gantry_view gt_cursor_bytes(struct gt_cursor *cursor, size_t len)
{
    struct gantry_view view = {NULL, 0};
    if (cursor->bad || gt_cursor_left(cursor) < len) {
        cursor->bad = true;
        return view;
    }
    view.data = (const char *)cursor->pos;
    view.len = len;
    cursor->pos += len;
    return view;
}

static inline uint8_t gt_cursor_u8(struct gt_cursor *cursor)
{
    struct gantry_view view = gt_cursor_bytes(cursor, 1);
    return view.len == 1 ? (uint8_t)view.data[0] : 0;
}

static inline uint32_t gt_cursor_le32(struct gt_cursor *cursor)
{
    struct gantry_view view = gt_cursor_bytes(cursor, 4);
    return view.len == 4 ? gt_load_le32(view.data) : 0;
}

static inline uint64_t gt_cursor_le64(struct gt_cursor *cursor)
{
    struct gantry_view view = gt_cursor_bytes(cursor, 8);
    return view.len == 8 ? gt_load_le64(view.data) : 0;
}

static inline uint64_t gt_cursor_varint(struct gt_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !cursor->bad && cursor->pos < cursor->end; shift += 7) {
        uint8_t byte = *cursor->pos++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    cursor->bad = true;
    return 0;
}

/** Signed numbers in varints: 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
static inline uint64_t gt_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t gt_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/** Write a varint at @p out (room for 10 bytes) and return the first byte after it. */
static inline uint8_t *gt_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static inline size_t gt_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

#endif
