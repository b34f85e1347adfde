/* SPDX-License-Identifier: Apache-2.0 */
/* Positions are flat JSON objects of numbers and short texts, so a scanner of one page reads them;
 * anything else is refused, never guessed. Numbers may stand in quotes, as a Java worker writes
 * them. Unknown keys are passed over, for a later version may add some. */
#include "position.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct field {
    struct gantry_view name;
    struct gantry_view value; /* without the quotes; escapes as written */
};

#define FIELDS_MAX 24

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* p stands behind the opening quote; returns the place of the closing one or NULL. */
static const char *end_of_text(const char *p, const char *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    return p < end ? p : NULL;
}

static const char *scan_value(const char *p, const char *end, struct gantry_view *ret)
{
    if (p < end && *p == '"') {
        const char *close = end_of_text(p + 1, end);
        if (close == NULL)
            return NULL;
        *ret = (struct gantry_view){p + 1, (size_t)(close - p - 1)};
        return close + 1;
    }
    const char *begin = p;
    while (p < end && strchr(",}{[] \t\r\n", *p) == NULL)
        p++;
    *ret = (struct gantry_view){begin, (size_t)(p - begin)};
    return p > begin ? p : NULL;
}

/* The number of fields, or -1 when it is no flat object. */
static int scan_fields(struct gantry_view text, struct field *ret)
{
    const char *p = text.data;
    const char *end = p + text.len;
    int count = 0;
    p = skip_blank(p, end);
    if (p == end || *p++ != '{')
        return -1;
    p = skip_blank(p, end);
    if (p < end && *p == '}')
        return skip_blank(p + 1, end) == end ? 0 : -1;
    for (;;) {
        if (count == FIELDS_MAX || p >= end || *p != '"')
            return -1;
        p = scan_value(p, end, &ret[count].name);
        if (p == NULL)
            return -1;
        p = skip_blank(p, end);
        if (p == end || *p++ != ':')
            return -1;
        p = scan_value(skip_blank(p, end), end, &ret[count].value);
        if (p == NULL)
            return -1;
        count++;
        p = skip_blank(p, end);
        if (p < end && *p == '}')
            return skip_blank(p + 1, end) == end ? count : -1;
        if (p == end || *p++ != ',')
            return -1;
        p = skip_blank(p, end);
    }
}

static const struct gantry_view *find(const struct field *fields, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (gantry_view_equal(fields[i].name, gantry_view_of(name)))
            return &fields[i].value;
    }
    return NULL;
}

/* 1 found, 0 absent, -1 not a whole number >= 0 that fits. */
static int number(const struct field *fields, int count, const char *name, int64_t *ret)
{
    const struct gantry_view *value = find(fields, count, name);
    if (value == NULL)
        return 0;
    int64_t n = 0;
    for (size_t i = 0; i < value->len; i++) {
        char c = value->data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, c - '0', &n))
            return -1;
    }
    if (value->len == 0)
        return -1;
    *ret = n;
    return 1;
}

/* Devices and inodes use all 64 bits. */
static int number_unsigned(const struct field *fields, int count, const char *name, uint64_t *ret)
{
    const struct gantry_view *value = find(fields, count, name);
    if (value == NULL)
        return 0;
    uint64_t n = 0;
    for (size_t i = 0; i < value->len; i++) {
        char c = value->data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(c - '0'), &n))
            return -1;
    }
    if (value->len == 0)
        return -1;
    *ret = n;
    return 1;
}

static int head(const struct field *fields, int count, uint64_t ret[2])
{
    const struct gantry_view *value = find(fields, count, "head");
    if (value == NULL)
        return 0;
    if (value->len != 32)
        return -1;
    ret[0] = ret[1] = 0;
    for (size_t i = 0; i < 32; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = value->data[i] != '\0' ? strchr(digits, value->data[i]) : NULL;
        if (at == NULL)
            return -1;
        ret[i / 16] = ret[i / 16] << 4 | (uint64_t)(at - digits);
    }
    return 1;
}

static size_t escape(const char *path, char *ret)
{
    size_t n = 0;
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            ret[n++] = '\\';
            ret[n++] = *p;
        } else if ((unsigned char)*p < 0x20) {
            n += (size_t)snprintf(ret + n, 7, "\\u%04x", (unsigned)(unsigned char)*p);
        } else {
            ret[n++] = *p;
        }
    }
    return n;
}

size_t file_partition_format(const char *path, char *ret)
{
    static const char begin[] = "{\"filename\":\"";
    memcpy(ret, begin, sizeof begin - 1);
    size_t n = sizeof begin - 1;
    n += escape(path, ret + n);
    ret[n++] = '"';
    ret[n++] = '}';
    return n;
}

char *file_partition_parse(struct gantry_view partition)
{
    struct field f[FIELDS_MAX];
    int count = scan_fields(partition, f);
    const struct gantry_view *value = count == 1 ? find(f, count, "filename") : NULL;
    char *path = value != NULL ? malloc(value->len + 1) : NULL;
    if (path == NULL)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < value->len; i++) {
        unsigned control;
        char c = value->data[i];
        if (c == '\\' && i + 1 < value->len) {
            c = value->data[++i];
            if (c == 'u' && i + 4 < value->len &&
                sscanf(value->data + i + 1, "%4x", &control) == 1) {
                c = (char)control;
                i += 4;
            }
        }
        path[n++] = c;
    }
    path[n] = '\0';
    return path;
}

size_t file_left_partition_format(const char *path, const struct file_identity *id, char *ret)
{
    size_t n = 1;
    ret[0] = '{';
    if (path != NULL) {
        n = file_partition_format(path, ret);
        ret[n - 1] = ','; /* goes on where the closing brace was */
    }
    return n + (size_t)snprintf(ret + n, FILE_LEFT_ROOM - 20,
                                "\"device\":%" PRIu64 ",\"inode\":%" PRIu64 "}", id->device,
                                id->inode);
}

static const char *const inside_names[] = {NULL, "part", "cut", "skip"};

size_t file_position_format(const struct file_position *position, char ret[FILE_POSITION_ROOM])
{
    int n = snprintf(ret, FILE_POSITION_ROOM, "{\"nextPosition\":%" PRId64, position->next);
    if (position->known) {
        const struct file_identity *id = &position->id;
        n += snprintf(ret + n, FILE_POSITION_ROOM - (size_t)n,
                      ",\"device\":%" PRIu64 ",\"inode\":%" PRIu64 ",\"born\":%" PRId64
                      ",\"head\":\"%016" PRIx64 "%016" PRIx64 "\",\"headBytes\":%" PRIu32
                      ",\"size\":%" PRId64 ",\"modified\":%" PRId64,
                      id->device, id->inode, id->born_ns > 0 ? id->born_ns : 0, id->head[0],
                      id->head[1], id->head_bytes, position->size,
                      position->modified_ns > 0 ? position->modified_ns : 0);
    }
    if (position->inside != FILE_INSIDE_NONE)
        n += snprintf(ret + n, FILE_POSITION_ROOM - (size_t)n, ",\"inside\":\"%s\"",
                      inside_names[position->inside]);
    n += snprintf(ret + n, FILE_POSITION_ROOM - (size_t)n, "}");
    return (size_t)n;
}

static int parse_inside(const struct field *fields, int count, enum file_inside *ret)
{
    const struct gantry_view *value = find(fields, count, "inside");
    if (value == NULL)
        return 0;
    for (int i = 1; i < (int)(sizeof inside_names / sizeof inside_names[0]); i++) {
        if (gantry_view_equal(*value, gantry_view_of(inside_names[i]))) {
            *ret = (enum file_inside)i;
            return 1;
        }
    }
    return -1;
}

int file_position_parse(struct gantry_view text, struct file_position *ret, struct gantry_err *err)
{
    struct field f[FIELDS_MAX];
    struct file_position p = {0};
    int n = scan_fields(text, f);
    if (n < 0 || number(f, n, "nextPosition", &p.next) != 1)
        goto bad;
    int inode = number_unsigned(f, n, "inode", &p.id.inode);
    int64_t head_bytes = 0;
    if (inode < 0 || number_unsigned(f, n, "device", &p.id.device) < 0 ||
        number(f, n, "born", &p.id.born_ns) < 0 || number(f, n, "headBytes", &head_bytes) < 0 ||
        number(f, n, "size", &p.size) < 0 || number(f, n, "modified", &p.modified_ns) < 0 ||
        head(f, n, p.id.head) < 0 || parse_inside(f, n, &p.inside) < 0 ||
        head_bytes > FILE_HEAD_BYTES)
        goto bad;
    p.id.head_bytes = (uint32_t)head_bytes;
    p.known = inode == 1;
    *ret = p;
    return 0;
bad:
    return gantry_err_set(err, GANTRY_CORRUPT,
                          "stored position is not one of the file source: %.*s",
                          (int)(text.len < 200 ? text.len : 200), text.data);
}

size_t file_sink_state_format(const char *path, const struct file_sink_state *state, char *ret)
{
    size_t n = file_partition_format(path, ret) - 1; /* goes on where the closing brace was */
    int more = snprintf(
        ret + n, FILE_POSITION_ROOM - 20,
        ",\"device\":%" PRIu64 ",\"inode\":%" PRIu64 ",\"born\":%" PRId64 ",\"length\":%" PRId64
        ",\"sequence\":%" PRId64 ",\"rotate\":%" PRId64 ",\"midLine\":%d}",
        state->id.device, state->id.inode, state->id.born_ns > 0 ? state->id.born_ns : 0,
        state->length, state->sequence, state->rotate, state->mid_line ? 1 : 0);
    return n + (size_t)more;
}

int file_sink_state_parse(struct gantry_view text, const char *path, struct file_sink_state *ret,
                          bool *ret_same, struct gantry_err *err)
{
    struct field f[FIELDS_MAX];
    struct file_sink_state s = {0};
    int64_t mid_line = 0;
    int n = scan_fields(text, f);
    const struct gantry_view *name = n > 0 ? find(f, n, "filename") : NULL;
    if (name == NULL || number_unsigned(f, n, "device", &s.id.device) != 1 ||
        number_unsigned(f, n, "inode", &s.id.inode) != 1 ||
        number(f, n, "born", &s.id.born_ns) < 0 || number(f, n, "length", &s.length) != 1 ||
        number(f, n, "sequence", &s.sequence) < 0 || number(f, n, "rotate", &s.rotate) < 0 ||
        number(f, n, "midLine", &mid_line) < 0)
        return gantry_err_set(err, GANTRY_CORRUPT, "stored state is not one of the file sink: %.*s",
                              (int)(text.len < 200 ? text.len : 200), text.data);
    s.mid_line = mid_line != 0;
    char *own = malloc(6 * strlen(path) + 1);
    if (own == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the state of %s", path);
    size_t len = escape(path, own);
    *ret_same = name->len == len && memcmp(name->data, own, len) == 0;
    free(own);
    *ret = s;
    return 0;
}
