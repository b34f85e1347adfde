/* SPDX-License-Identifier: Apache-2.0 */
/* MessagePack. See msgpack.h. */
#include "host/msgpack.h"

struct gt_mp gt_mp_of(const void *data, size_t len)
{
    const uint8_t *start = data;
    return (struct gt_mp){start, len > 0 ? start + len : start, false};
}

bool gt_mp_ok(const struct gt_mp *mp)
{
    return !mp->bad;
}

enum gt_mp_kind gt_mp_peek(const struct gt_mp *mp)
{
    if (mp->bad || mp->pos >= mp->end)
        return GT_MP_END;
    uint8_t byte = *mp->pos;
    if (byte <= 0x7f || byte >= 0xe0)
        return GT_MP_INT;
    if (byte <= 0x8f)
        return GT_MP_MAP;
    if (byte <= 0x9f)
        return GT_MP_ARRAY;
    if (byte <= 0xbf)
        return GT_MP_BYTES;
    static const uint8_t kinds[0x20] = {
        GT_MP_NIL,   GT_MP_END,   GT_MP_BOOL, GT_MP_BOOL,  GT_MP_BYTES, GT_MP_BYTES, GT_MP_BYTES,
        GT_MP_EXT,   GT_MP_EXT,   GT_MP_EXT,  GT_MP_FLOAT, GT_MP_FLOAT, GT_MP_INT,   GT_MP_INT,
        GT_MP_INT,   GT_MP_INT,   GT_MP_INT,  GT_MP_INT,   GT_MP_INT,   GT_MP_INT,   GT_MP_EXT,
        GT_MP_EXT,   GT_MP_EXT,   GT_MP_EXT,  GT_MP_EXT,   GT_MP_BYTES, GT_MP_BYTES, GT_MP_BYTES,
        GT_MP_ARRAY, GT_MP_ARRAY, GT_MP_MAP,  GT_MP_MAP,
    };
    return (enum gt_mp_kind)kinds[byte - 0xc0];
}

static size_t left(const struct gt_mp *mp)
{
    return (size_t)(mp->end - mp->pos);
}

static uint64_t fail(struct gt_mp *mp)
{
    mp->bad = true;
    return 0;
}

/* A big endian number of `size` bytes, behind the first byte. */
static uint64_t number(struct gt_mp *mp, unsigned size)
{
    if (left(mp) < 1 + (size_t)size)
        return fail(mp);
    uint64_t value = 0;
    memcpy(&value, mp->pos + 1, size);
    mp->pos += 1 + size;
    return be64toh(value) >> (64 - 8 * size);
}

int64_t gt_mp_int(struct gt_mp *mp)
{
    if (gt_mp_peek(mp) != GT_MP_INT)
        return (int64_t)fail(mp);
    uint8_t byte = *mp->pos;
    if (byte <= 0x7f || byte >= 0xe0) {
        mp->pos++;
        return (int8_t)byte;
    }
    switch (byte) {
    case 0xcc:
        return (int64_t)number(mp, 1);
    case 0xcd:
        return (int64_t)number(mp, 2);
    case 0xce:
        return (int64_t)number(mp, 4);
    case 0xcf: {
        uint64_t value = number(mp, 8);
        return value <= INT64_MAX ? (int64_t)value : (int64_t)fail(mp);
    }
    case 0xd0:
        return (int8_t)number(mp, 1);
    case 0xd1:
        return (int16_t)number(mp, 2);
    case 0xd2:
        return (int32_t)number(mp, 4);
    default:
        return (int64_t)number(mp, 8);
    }
}

bool gt_mp_bool(struct gt_mp *mp)
{
    if (gt_mp_peek(mp) != GT_MP_BOOL)
        return fail(mp) != 0;
    return *mp->pos++ == 0xc3;
}

struct gantry_view gt_mp_bytes(struct gt_mp *mp)
{
    struct gantry_view none = {"", 0};
    if (gt_mp_peek(mp) != GT_MP_BYTES) {
        mp->bad = true;
        return none;
    }
    uint8_t byte = *mp->pos;
    uint64_t len;
    if (byte <= 0xbf) {
        len = byte & 0x1f;
        mp->pos++;
    } else if (byte == 0xc4 || byte == 0xd9) {
        len = number(mp, 1);
    } else if (byte == 0xc5 || byte == 0xda) {
        len = number(mp, 2);
    } else {
        len = number(mp, 4);
    }
    if (mp->bad || left(mp) < len) {
        mp->bad = true;
        return none;
    }
    struct gantry_view view = {(const char *)mp->pos, (size_t)len};
    mp->pos += len;
    return view;
}

/* Each item takes a byte at least. */
static uint32_t count_of(struct gt_mp *mp, enum gt_mp_kind kind, uint8_t wide, unsigned bytes)
{
    if (gt_mp_peek(mp) != kind)
        return (uint32_t)fail(mp);
    uint8_t byte = *mp->pos;
    uint64_t count;
    if (byte < 0xc0) {
        count = byte & 0x0f;
        mp->pos++;
    } else {
        count = number(mp, byte == wide ? 4 : 2);
    }
    return mp->bad || count * bytes > left(mp) ? (uint32_t)fail(mp) : (uint32_t)count;
}

uint32_t gt_mp_array(struct gt_mp *mp)
{
    return count_of(mp, GT_MP_ARRAY, 0xdd, 1);
}

uint32_t gt_mp_map(struct gt_mp *mp)
{
    return count_of(mp, GT_MP_MAP, 0xdf, 2);
}

/* Bytes of a value that is one piece: its first byte and what belongs to it. */
static void skip_piece(struct gt_mp *mp)
{
    static const uint8_t ext_head[] = {1, 2, 4}, ext_fixed[] = {1, 2, 4, 8, 16};
    uint8_t byte = *mp->pos;
    uint64_t len = 0;
    if (byte >= 0xc7 && byte <= 0xc9) {
        len = number(mp, ext_head[byte - 0xc7]) + 1; /* and its type */
    } else if (byte >= 0xd4 && byte <= 0xd8) {
        len = (uint64_t)ext_fixed[byte - 0xd4] + 2;
    } else if (byte == 0xca || byte == 0xcb) {
        len = byte == 0xca ? 5 : 9;
    } else if (byte == 0xc0) {
        len = 1;
    }
    if (mp->bad || left(mp) < len)
        mp->bad = true;
    else
        mp->pos += len;
}

/* No recursion: depth costs nothing, and each value takes a byte. */
void gt_mp_skip(struct gt_mp *mp)
{
    for (uint64_t owed = 1; owed > 0 && !mp->bad; owed--) {
        switch (gt_mp_peek(mp)) {
        case GT_MP_INT:
            (void)gt_mp_int(mp);
            break;
        case GT_MP_BOOL:
            (void)gt_mp_bool(mp);
            break;
        case GT_MP_BYTES:
            (void)gt_mp_bytes(mp);
            break;
        case GT_MP_ARRAY:
            owed += gt_mp_array(mp);
            break;
        case GT_MP_MAP:
            owed += 2 * (uint64_t)gt_mp_map(mp);
            break;
        case GT_MP_END:
            mp->bad = true;
            break;
        default:
            skip_piece(mp);
        }
    }
}

/* --- Items --- */

bool gt_mp_item(struct gt_mp_items *items)
{
    if (items->left == 0 || items->mp->bad)
        return false;
    items->left--;
    if (gt_mp_peek(items->mp) != GT_MP_NIL)
        return true;
    items->mp->pos++;
    return false;
}

int64_t gt_mp_item_any_int(struct gt_mp_items *items, int64_t fallback)
{
    return gt_mp_item(items) ? gt_mp_int(items->mp) : fallback;
}

bool gt_mp_item_bool(struct gt_mp_items *items, bool fallback)
{
    return gt_mp_item(items) ? gt_mp_bool(items->mp) : fallback;
}

struct gantry_view gt_mp_item_any_bytes(struct gt_mp_items *items)
{
    return gt_mp_item(items) ? gt_mp_bytes(items->mp) : (struct gantry_view){NULL, 0};
}

uint32_t gt_mp_item_array(struct gt_mp_items *items)
{
    return gt_mp_item(items) ? gt_mp_array(items->mp) : 0;
}

void gt_mp_items_end(struct gt_mp_items *items)
{
    for (; items->left > 0 && !items->mp->bad; items->left--)
        gt_mp_skip(items->mp);
}

/* --- Writing --- */

static uint8_t *set_number(uint8_t *out, uint8_t first, uint64_t value, unsigned size)
{
    value = htobe64(value << (64 - 8 * size));
    *out++ = first;
    memcpy(out, &value, size);
    return out + size;
}

uint8_t *gt_mp_set_int(uint8_t *out, int64_t value)
{
    if (value >= -32 && value <= 127) {
        *out = (uint8_t)value;
        return out + 1;
    }
    if (value >= 0) {
        if (value <= UINT8_MAX)
            return set_number(out, 0xcc, (uint64_t)value, 1);
        if (value <= UINT16_MAX)
            return set_number(out, 0xcd, (uint64_t)value, 2);
        if (value <= UINT32_MAX)
            return set_number(out, 0xce, (uint64_t)value, 4);
        return set_number(out, 0xcf, (uint64_t)value, 8);
    }
    if (value >= INT32_MIN)
        return set_number(out, 0xd2, (uint64_t)value, 4);
    return set_number(out, 0xd3, (uint64_t)value, 8);
}

static uint8_t *set_view(uint8_t *out, struct gantry_view view)
{
    if (view.len > 0)
        memcpy(out, view.data, view.len);
    return out + view.len;
}

uint8_t *gt_mp_set_bytes(uint8_t *out, struct gantry_view view)
{
    if (view.len <= UINT8_MAX)
        out = set_number(out, 0xc4, view.len, 1);
    else if (view.len <= UINT16_MAX)
        out = set_number(out, 0xc5, view.len, 2);
    else
        out = set_number(out, 0xc6, view.len, 4);
    return set_view(out, view);
}

uint8_t *gt_mp_set_text(uint8_t *out, struct gantry_view view)
{
    if (view.len <= 31)
        *out++ = (uint8_t)(0xa0 | view.len);
    else if (view.len <= UINT8_MAX)
        out = set_number(out, 0xd9, view.len, 1);
    else if (view.len <= UINT16_MAX)
        out = set_number(out, 0xda, view.len, 2);
    else
        out = set_number(out, 0xdb, view.len, 4);
    return set_view(out, view);
}

uint8_t *gt_mp_set_array(uint8_t *out, uint32_t count)
{
    if (count <= 15) {
        *out = (uint8_t)(0x90 | count);
        return out + 1;
    }
    return count <= UINT16_MAX ? set_number(out, 0xdc, count, 2) : set_number(out, 0xdd, count, 4);
}

static void wrote(struct gt_buf *buf, const uint8_t *start, const uint8_t *end)
{
    buf->len += (size_t)(end - start);
}

void gt_mp_put_nil(struct gt_buf *buf)
{
    (void)gt_buf_add_char(buf, (char)0xc0); /* errors stick, here and below */
}

void gt_mp_put_bool(struct gt_buf *buf, bool value)
{
    (void)gt_buf_add_char(buf, (char)(value ? 0xc3 : 0xc2));
}

void gt_mp_put_int(struct gt_buf *buf, int64_t value)
{
    uint8_t *out = (uint8_t *)gt_buf_reserve(buf, GT_MP_INT_MAX);
    if (out != NULL)
        wrote(buf, out, gt_mp_set_int(out, value));
}

/* 4 GiB and more cannot be said; every buffer here has a smaller maximum. */
static uint8_t *room_for(struct gt_buf *buf, struct gantry_view view)
{
    if (view.len > UINT32_MAX && buf->error == 0)
        buf->error = GANTRY_TOO_LARGE;
    return buf->error == 0 ? (uint8_t *)gt_buf_reserve(buf, GT_MP_HEAD_MAX + view.len) : NULL;
}

void gt_mp_put_bytes(struct gt_buf *buf, struct gantry_view view)
{
    uint8_t *out = room_for(buf, view);
    if (out != NULL)
        wrote(buf, out, gt_mp_set_bytes(out, view));
}

void gt_mp_put_bytes_or_nil(struct gt_buf *buf, struct gantry_view view)
{
    if (view.data == NULL)
        gt_mp_put_nil(buf);
    else
        gt_mp_put_bytes(buf, view);
}

void gt_mp_put_text(struct gt_buf *buf, const char *text)
{
    struct gantry_view view = gantry_view_of(text);
    if (text == NULL) {
        gt_mp_put_nil(buf);
        return;
    }
    if (!gt_utf8_valid(view)) {
        gt_mp_put_bytes(buf, view);
        return;
    }
    uint8_t *out = room_for(buf, view);
    if (out != NULL)
        wrote(buf, out, gt_mp_set_text(out, view));
}

void gt_mp_put_array(struct gt_buf *buf, uint32_t count)
{
    uint8_t *out = (uint8_t *)gt_buf_reserve(buf, GT_MP_HEAD_MAX);
    if (out != NULL)
        wrote(buf, out, gt_mp_set_array(out, count));
}

void gt_mp_put_map(struct gt_buf *buf, uint32_t count)
{
    uint8_t *out = (uint8_t *)gt_buf_reserve(buf, GT_MP_HEAD_MAX);
    if (out == NULL)
        return;
    if (count <= 15) {
        *out = (uint8_t)(0x80 | count);
        wrote(buf, out, out + 1);
    } else {
        wrote(buf, out,
              count <= UINT16_MAX ? set_number(out, 0xde, count, 2)
                                  : set_number(out, 0xdf, count, 4));
    }
}
