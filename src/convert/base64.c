/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, with padding): how the 2019 worker wraps payloads and byte fields into JSON. */
#include "convert/converters.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int gt_base64_add(struct gt_buf *buf, struct gantry_view bytes)
{
    const uint8_t *from = (const uint8_t *)bytes.data;
    size_t len = bytes.len / 3 * 4 + (bytes.len % 3 != 0 ? 4 : 0);
    char *to = gt_buf_reserve(buf, len);
    if (to == NULL)
        return buf->error;
    for (size_t left = bytes.len; left > 0; from += 3, to += 4) {
        uint32_t word = (uint32_t)from[0] << 16 | (left > 1 ? (uint32_t)from[1] << 8 : 0) |
                        (left > 2 ? from[2] : 0);
        to[0] = letters[word >> 18];
        to[1] = letters[word >> 12 & 63];
        to[2] = left > 1 ? letters[word >> 6 & 63] : '=';
        to[3] = left > 2 ? letters[word & 63] : '=';
        left -= left > 3 ? 3 : left;
    }
    buf->len += len;
    return GANTRY_OK;
}

/* 0..63, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int gt_base64_decode(struct gantry_view text, struct gt_arena *arena, struct gantry_view *ret)
{
    if (text.len % 4 != 0)
        return GANTRY_INVALID;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    size_t len = text.len / 4 * 3 - padding;
    char *bytes = gt_arena_alloc(arena, text.len / 4 * 3);
    if (bytes == NULL)
        return GANTRY_NO_MEMORY;
    char *to = bytes;
    for (size_t i = 0; i < text.len; i += 4, to += 3) {
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k >= text.len - padding ? 0 : value_of(text.data[i + k]);
            if (value < 0)
                return GANTRY_INVALID;
            word = word << 6 | (uint32_t)value;
        }
        to[0] = (char)(word >> 16);
        to[1] = (char)(word >> 8);
        to[2] = (char)word;
    }
    *ret = (struct gantry_view){bytes, len};
    return GANTRY_OK;
}
