/* SPDX-License-Identifier: Apache-2.0 */
/** MessagePack: as much of it as the host protocol needs, both ways.
 *
 *  The reader keeps its first error: read all the fields, check once (gt_mp_ok). Whatever bytes it
 * is given, it never reads outside of them, and a count that it hands out is never larger than the
 * bytes that are left. Texts and bytes are taken for each other. Thread: any. */
#ifndef GT_HOST_MSGPACK_H
#define GT_HOST_MSGPACK_H

#include "base/buf.h"
#include <endian.h>
#include <string.h>

enum gt_mp_kind {
    GT_MP_NIL,
    GT_MP_BOOL,
    GT_MP_INT,
    GT_MP_FLOAT,
    GT_MP_BYTES, /* str or bin */
    GT_MP_ARRAY,
    GT_MP_MAP,
    GT_MP_EXT,
    GT_MP_END /* nothing is left, or an error */
};

/** A position in encoded bytes. */
struct gt_mp {
    const uint8_t *pos, *end;
    bool bad; /* every later read gives 0 or empty */
};

struct gt_mp gt_mp_of(const void *data, size_t len);
enum gt_mp_kind gt_mp_peek(const struct gt_mp *mp);
/** Whether there was no error. */
bool gt_mp_ok(const struct gt_mp *mp);
/** A whole number; one above INT64_MAX is an error. */
int64_t gt_mp_int(struct gt_mp *mp);
bool gt_mp_bool(struct gt_mp *mp);
/** Bytes or a text; they point into the input, and .data is never NULL. */
struct gantry_view gt_mp_bytes(struct gt_mp *mp);
/** The number of items that follow. */
uint32_t gt_mp_array(struct gt_mp *mp);
/** The number of pairs that follow. */
uint32_t gt_mp_map(struct gt_mp *mp);
/** Pass over one value, with all that is in it. */
void gt_mp_skip(struct gt_mp *mp);

/** The items of an array, of which those at the end may be left out: they read as nil. */
struct gt_mp_items {
    struct gt_mp *mp;
    uint32_t left;
};

static inline struct gt_mp_items gt_mp_items(struct gt_mp *mp)
{
    /* A short array, most often, of items of a byte at least. */
    ptrdiff_t left = mp->bad ? 0 : mp->end - mp->pos;
    if (left > 0 && (*mp->pos & 0xf0) == 0x90 && (*mp->pos & 0x0f) < left)
        return (struct gt_mp_items){mp, *mp->pos++ & 0x0fu};
    return (struct gt_mp_items){mp, gt_mp_array(mp)};
}
/** The next item is there and not nil. A nil is passed over. */
bool gt_mp_item(struct gt_mp_items *items);
int64_t gt_mp_item_any_int(struct gt_mp_items *items, int64_t fallback);
struct gantry_view gt_mp_item_any_bytes(struct gt_mp_items *items);

/** The next item; nil gives @p fallback. */
static inline int64_t gt_mp_item_int(struct gt_mp_items *items, int64_t fallback)
{
    struct gt_mp *mp = items->mp;
    if (items->left == 0)
        return fallback;
    /* A time in ms, most often; each record has one. */
    if (mp->bad || mp->end - mp->pos < 9 || *mp->pos != 0xcf || (int8_t)mp->pos[1] < 0)
        return gt_mp_item_any_int(items, fallback);
    uint64_t value;
    memcpy(&value, mp->pos + 1, sizeof value);
    mp->pos += 9;
    items->left--;
    return (int64_t)be64toh(value);
}

bool gt_mp_item_bool(struct gt_mp_items *items, bool fallback);

/** Nil gives .data NULL. */
static inline struct gantry_view gt_mp_item_bytes(struct gt_mp_items *items)
{
    struct gt_mp *mp = items->mp;
    if (items->left == 0)
        return (struct gantry_view){NULL, 0};
    /* Short bytes and texts, most often. */
    ptrdiff_t left = mp->bad ? 0 : mp->end - mp->pos;
    size_t head = 2, len = 0;
    if (left < 2)
        return gt_mp_item_any_bytes(items);
    if (*mp->pos == 0xc4 || *mp->pos == 0xd9) {
        len = mp->pos[1];
    } else if ((*mp->pos & 0xe0) == 0xa0) {
        head = 1;
        len = *mp->pos & 0x1f;
    } else {
        return gt_mp_item_any_bytes(items);
    }
    if ((size_t)left < head + len)
        return gt_mp_item_any_bytes(items);
    struct gantry_view view = {(const char *)mp->pos + head, len};
    mp->pos += head + len;
    items->left--;
    return view;
}

/** The number of items of an array that is the next item; nil: 0. */
uint32_t gt_mp_item_array(struct gt_mp_items *items);
/** Pass over those that are left. */
void gt_mp_items_end(struct gt_mp_items *items);

/* --- Writing: into a buffer, whose error sticks --- */

void gt_mp_put_nil(struct gt_buf *buf);
void gt_mp_put_bool(struct gt_buf *buf, bool value);
void gt_mp_put_int(struct gt_buf *buf, int64_t value);
void gt_mp_put_bytes(struct gt_buf *buf, struct gantry_view view);
/** A view without data is nil. */
void gt_mp_put_bytes_or_nil(struct gt_buf *buf, struct gantry_view view);
/** A text; NULL is nil. What is no UTF-8 goes as bytes. */
void gt_mp_put_text(struct gt_buf *buf, const char *text);
void gt_mp_put_array(struct gt_buf *buf, uint32_t count);
void gt_mp_put_map(struct gt_buf *buf, uint32_t count);

/* --- Writing into memory that is known to suffice; each gives the first byte after it --- */

enum { GT_MP_INT_MAX = 9, GT_MP_HEAD_MAX = 5 }; /* bytes of a number; of what stands before bytes */

uint8_t *gt_mp_set_int(uint8_t *out, int64_t value);
uint8_t *gt_mp_set_bytes(uint8_t *out, struct gantry_view view);
uint8_t *gt_mp_set_text(uint8_t *out, struct gantry_view view);
uint8_t *gt_mp_set_array(uint8_t *out, uint32_t count);

static inline uint8_t *gt_mp_set_nil(uint8_t *out)
{
    *out = 0xc0;
    return out + 1;
}

#endif
