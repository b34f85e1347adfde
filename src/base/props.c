/* SPDX-License-Identifier: Apache-2.0 */
/* Ordered pairs, and the reader of Java properties files. The reader follows
 * java.util.Properties.load() but for the encoding (UTF-8), and that it refuses what cannot be text
 * for us: NUL characters and broken escapes. */
#include "base/buf.h"
#include "base/map.h"

#include <stdlib.h>

void gt_props_init(struct gt_props *props)
{
    *props = (struct gt_props){.items = NULL};
}

void gt_props_deinit(struct gt_props *props)
{
    for (size_t i = 0; i < props->count; i++) {
        free(props->items[i].key);
        free(props->items[i].value);
    }
    free(props->items);
    gt_props_init(props);
}

static struct gt_prop *find(const struct gt_props *props, const char *key, size_t len)
{
    for (size_t i = 0; i < props->count; i++) {
        if (strncmp(props->items[i].key, key, len) == 0 && props->items[i].key[len] == '\0')
            return &props->items[i];
    }
    return NULL;
}

static char *copy_view(struct gantry_view view)
{
    char *copy = malloc(view.len + 1);
    if (copy == NULL)
        return NULL;
    if (view.len > 0)
        memcpy(copy, view.data, view.len);
    copy[view.len] = '\0';
    return copy;
}

int gt_props_append(struct gt_props *props, struct gantry_view key, struct gantry_view value)
{
    if (props->count == props->cap) {
        size_t cap = props->cap == 0 ? 8 : props->cap * 2;
        struct gt_prop *items = reallocarray(props->items, cap, sizeof *items);
        if (items == NULL)
            return GANTRY_NO_MEMORY;
        props->items = items;
        props->cap = cap;
    }
    struct gt_prop item = {copy_view(key), copy_view(value)};
    if (item.key == NULL || item.value == NULL) {
        free(item.key);
        free(item.value);
        return GANTRY_NO_MEMORY;
    }
    props->items[props->count++] = item;
    return GANTRY_OK;
}

int gt_props_set_views(struct gt_props *props, struct gantry_view key, struct gantry_view value)
{
    struct gt_prop *item = find(props, key.len > 0 ? key.data : "", key.len);
    if (item == NULL)
        return gt_props_append(props, key, value);
    char *copy = copy_view(value);
    if (copy == NULL)
        return GANTRY_NO_MEMORY;
    free(item->value);
    item->value = copy;
    return GANTRY_OK;
}

int gt_props_set(struct gt_props *props, const char *key, const char *value)
{
    return gt_props_set_views(props, gantry_view_of(key), gantry_view_of(value));
}

const char *gt_props_get(const struct gt_props *props, const char *key)
{
    const struct gt_prop *item = find(props, key, strlen(key));
    return item != NULL ? item->value : NULL;
}

bool gt_props_remove(struct gt_props *props, const char *key)
{
    struct gt_prop *item = find(props, key, strlen(key));
    if (item == NULL)
        return false;
    free(item->key);
    free(item->value);
    size_t index = (size_t)(item - props->items);
    memmove(item, item + 1, (props->count - index - 1) * sizeof *item);
    props->count--;
    return true;
}

int gt_props_copy(struct gt_props *to, const struct gt_props *from)
{
    gt_props_deinit(to);
    for (size_t i = 0; i < from->count; i++) {
        int rc = gt_props_append(to, gantry_view_of(from->items[i].key),
                                 gantry_view_of(from->items[i].value));
        if (rc != 0)
            return rc;
    }
    return GANTRY_OK;
}

bool gt_props_equal(const struct gt_props *a, const struct gt_props *b, const char *ignore)
{
    const struct gt_props *sides[2] = {a, b};
    size_t compared[2] = {0, 0};

    for (int side = 0; side < 2; side++) {
        const struct gt_props *props = sides[side];
        for (size_t i = 0; i < props->count; i++)
            compared[side] += ignore == NULL || strcmp(props->items[i].key, ignore) != 0;
    }
    if (compared[0] != compared[1])
        return false;
    /* keys are unique on each side, so equal numbers and all of one found in the other mean the
     * same sets */
    for (size_t i = 0; i < a->count; i++) {
        const struct gt_prop *item = &a->items[i];
        if (ignore != NULL && strcmp(item->key, ignore) == 0)
            continue;
        /* the usual case is the same order: look at the same place first */
        const char *other = i < b->count && strcmp(b->items[i].key, item->key) == 0
                                ? b->items[i].value
                                : gt_props_get(b, item->key);
        if (other == NULL || strcmp(other, item->value) != 0)
            return false;
    }
    return true;
}

struct reader {
    const char *pos, *end;
    size_t line;        /* of the character at pos, from 1 */
    size_t first_line;  /* of the logical line in `text` */
    struct gt_buf text; /* the logical line: continuation lines joined, escapes still in it */
};

/* Step over one line end (\n, \r or \r\n). */
static void skip_line_end(struct reader *reader)
{
    if (*reader->pos == '\r' && reader->pos + 1 < reader->end && reader->pos[1] == '\n')
        reader->pos++;
    reader->pos++;
    reader->line++;
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* Copy the rest of a natural line. Returns whether a backslash (which is left out) continues it. */
static bool read_natural_line(struct reader *reader)
{
    const char *start = reader->pos;
    bool escaped = false;

    while (reader->pos < reader->end && !is_line_end(*reader->pos)) {
        escaped = *reader->pos == '\\' && !escaped;
        reader->pos++;
    }
    (void)gt_buf_add(&reader->text, start,
                     (size_t)(reader->pos - start) - (escaped ? 1 : 0)); /* sticky error */
    if (reader->pos < reader->end)
        skip_line_end(reader);
    else
        escaped = false;
    return escaped;
}

/* The next logical line into reader->text; false at the end. */
static bool read_logical_line(struct reader *reader)
{
    gt_buf_clear(&reader->text);
    while (reader->pos < reader->end) {
        char c = *reader->pos;
        if (is_blank(c)) {
            reader->pos++;
        } else if (is_line_end(c)) {
            skip_line_end(reader);
        } else if (c == '#' || c == '!') {
            while (reader->pos < reader->end && !is_line_end(*reader->pos))
                reader->pos++;
        } else {
            reader->first_line = reader->line;
            while (read_natural_line(reader)) {
                while (reader->pos < reader->end && is_blank(*reader->pos))
                    reader->pos++;
            }
            return true;
        }
    }
    return false;
}

static int hex4(const char *p, const char *end, uint32_t *ret)
{
    uint32_t value = 0;
    if (end - p < 4)
        return GANTRY_INVALID;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0)
            return GANTRY_INVALID;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return GANTRY_OK;
}

static void add_utf8(struct gt_buf *buf, uint32_t c)
{
    char bytes[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0x00, 0xc0, 0xe0, 0xf0};

    for (size_t i = len; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(marks[len] | c);
    (void)gt_buf_add(buf, bytes, len); /* sticky error */
}

/* A \uXXXX (two of them for characters beyond 0xffff); *pos stands behind the 'u'. Returns a
 * complaint or NULL. */
static const char *unescape_unicode(const char **pos, const char *end, struct gt_buf *out)
{
    uint32_t c, low;
    if (hex4(*pos, end, &c) != 0)
        return "\\u must be followed by four hexadecimal digits";
    *pos += 4;
    if (c >= 0xd800 && c <= 0xdbff && end - *pos >= 6 && (*pos)[0] == '\\' && (*pos)[1] == 'u' &&
        hex4(*pos + 2, end, &low) == 0 && low >= 0xdc00 && low <= 0xdfff) {
        *pos += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c >= 0xd800 && c <= 0xdfff)
        return "half of a surrogate pair; both \\u escapes of the character are needed";
    if (c == 0)
        return "the NUL character (\\u0000) cannot be part of a key or value";
    add_utf8(out, c);
    return NULL;
}

/* Take the escapes out of @p text. Returns a complaint or NULL. */
static const char *unescape(struct gantry_view text, struct gt_buf *out)
{
    const char *pos = text.data, *end = text.data + text.len;

    gt_buf_clear(out);
    while (pos < end) {
        char c = *pos++;
        if (c != '\\' || pos == end) {
            (void)gt_buf_add_char(out, c); /* sticky error */
            continue;
        }
        c = *pos++;
        if (c == 'u') {
            const char *complaint = unescape_unicode(&pos, end, out);
            if (complaint != NULL)
                return complaint;
            continue;
        }
        (void)gt_buf_add_char(out, c == 't'   ? '\t'
                                   : c == 'n' ? '\n'
                                   : c == 'r' ? '\r'
                                   : c == 'f' ? '\f'
                                              : c);
    }
    return NULL;
}

/* Where the key ends and where the value begins in a logical line. */
static void split(struct gantry_view line, struct gantry_view *ret_key,
                  struct gantry_view *ret_value)
{
    size_t i = 0;

    while (i < line.len && line.data[i] != '=' && line.data[i] != ':' && !is_blank(line.data[i]))
        i += line.data[i] == '\\' && i + 1 < line.len ? 2 : 1;
    *ret_key = (struct gantry_view){line.data, i};
    while (i < line.len && is_blank(line.data[i]))
        i++;
    if (i < line.len && (line.data[i] == '=' || line.data[i] == ':'))
        i++;
    while (i < line.len && is_blank(line.data[i]))
        i++;
    *ret_value = (struct gantry_view){line.data + i, line.len - i};
}

static int add_line(struct gt_props *props, struct reader *reader, struct gt_buf *key,
                    struct gt_buf *value, struct gantry_err *err)
{
    struct gantry_view raw_key, raw_value;
    const char *complaint = NULL;

    split(gt_buf_view(&reader->text), &raw_key, &raw_value);
    if (memchr(reader->text.data, '\0', reader->text.len) != NULL)
        complaint = "a NUL byte cannot be part of a key or value";
    else if (!gt_utf8_valid(gt_buf_view(&reader->text)))
        complaint = "the text is not UTF-8; save the file as UTF-8 or write \\uXXXX";
    if (complaint == NULL)
        complaint = unescape(raw_key, key);
    if (complaint == NULL)
        complaint = unescape(raw_value, value);
    if (complaint != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "line %zu: '%.60s': %s", reader->first_line,
                              gt_buf_cstr(&reader->text), complaint);
    if (reader->text.error != 0 || key->error != 0 || value->error != 0 ||
        gt_props_set_views(props, gt_buf_view(key), gt_buf_view(value)) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "line %zu: out of memory", reader->first_line);
    return GANTRY_OK;
}

int gt_props_parse(struct gt_props *props, struct gantry_view text, struct gantry_err *err)
{
    struct reader reader = {.pos = text.data, .line = 1};
    struct gt_buf key, value;
    int rc = GANTRY_OK;

    if (text.len == 0)
        return GANTRY_OK;
    reader.end = text.data + text.len;
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        reader.pos += 3; /* a byte order mark, which some editors write */
    gt_buf_init(&reader.text, text.len);
    gt_buf_init(&key, text.len);
    gt_buf_init(&value, text.len);
    while (rc == 0 && read_logical_line(&reader))
        rc = add_line(props, &reader, &key, &value, err);
    gt_buf_deinit(&reader.text);
    gt_buf_deinit(&key);
    gt_buf_deinit(&value);
    return rc;
}
