/* SPDX-License-Identifier: Apache-2.0 */
/* Message properties: varint count, then per pair varint length and bytes of name and of value. */
#include "base/cursor.h"
#include "convert/converter.h"

int gt_properties_encode(const struct gantry_header *headers, size_t count, struct gt_arena *arena,
                         struct gantry_view *ret)
{
    if (count == 0) {
        *ret = (struct gantry_view){NULL, 0};
        return GANTRY_OK;
    }
    size_t size = gt_varint_size(count);
    for (size_t i = 0; i < count; i++)
        size += gt_varint_size(headers[i].name.len) + headers[i].name.len +
                gt_varint_size(headers[i].value.len) + headers[i].value.len;
    uint8_t *start = gt_arena_alloc(arena, size);
    if (start == NULL)
        return GANTRY_NO_MEMORY;
    uint8_t *to = gt_put_varint(start, count);
    for (size_t i = 0; i < count; i++) {
        const struct gantry_view parts[2] = {headers[i].name, headers[i].value};
        for (int k = 0; k < 2; k++) {
            to = gt_put_varint(to, parts[k].len);
            if (parts[k].len > 0)
                memcpy(to, parts[k].data, parts[k].len);
            to += parts[k].len;
        }
    }
    *ret = (struct gantry_view){(const char *)start, size};
    return GANTRY_OK;
}

int gt_properties_decode(struct gantry_view properties, struct gt_arena *arena,
                         const struct gantry_header **ret, uint32_t *ret_count)
{
    if (properties.len == 0) {
        *ret = NULL;
        *ret_count = 0;
        return GANTRY_OK;
    }
    struct gt_cursor cursor = gt_cursor_of(properties.data, properties.len);
    uint64_t count = gt_cursor_varint(&cursor);
    /* a pair takes two bytes at least: no count can ask for more memory than the input justifies */
    if (cursor.bad || count > gt_cursor_left(&cursor) / 2)
        return GANTRY_CORRUPT;
    struct gantry_header *headers = gt_arena_alloc(arena, (size_t)count * sizeof *headers);
    if (headers == NULL)
        return GANTRY_NO_MEMORY;
    for (uint64_t i = 0; i < count; i++) {
        headers[i].name = gt_cursor_bytes(&cursor, (size_t)gt_cursor_varint(&cursor));
        headers[i].value = gt_cursor_bytes(&cursor, (size_t)gt_cursor_varint(&cursor));
    }
    if (cursor.bad || gt_cursor_left(&cursor) != 0)
        return GANTRY_CORRUPT;
    *ret = headers;
    *ret_count = (uint32_t)count;
    return GANTRY_OK;
}
