/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path of the source: records are made to point into the block that was read, with no call
 * per record but memchr. Nothing is carried from block to block but the position, which is always
 * the start of the next thing to give. */
#include "lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VIEW(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct gantry_header part_header[] = {{VIEW("gantry.line"), VIEW("part")}};
static const struct gantry_header cut_header[] = {{VIEW("gantry.line"), VIEW("cut")}};

static int no_memory(const struct file_lines *lines, struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", lines->path);
}

static int add(struct file_lines *lines, struct file_fill *fill, const char *data, size_t len,
               const struct gantry_header *headers, uint32_t header_count, struct gantry_err *err)
{
    struct gantry_record *record = gantry_batch_add(fill->batch);
    if (record == NULL)
        return no_memory(lines, err);
    record->value.data = data;
    record->value.len = len;
    record->schema = lines->schema;
    record->headers = headers;
    record->header_count = header_count;
    return 0;
}

/* One piece of a line that is too long, to the dead-letter topic. */
static int add_dead(struct file_lines *lines, struct file_fill *fill, const char *data, size_t len,
                    int64_t offset, bool last, struct gantry_err *err)
{
    const size_t digits = 24;
    struct gantry_header *headers = fill->batch->alloc(fill->batch, 4 * sizeof *headers);
    char *text = fill->batch->alloc(fill->batch, 2 * digits);
    if (headers == NULL || text == NULL)
        return no_memory(lines, err);
    (void)snprintf(text, digits, "%" PRId64, offset);
    (void)snprintf(text + digits, digits, "%zu", len);
    headers[0] = (struct gantry_header){VIEW("gantry.file"), gantry_view_of(lines->path)};
    headers[1] = (struct gantry_header){VIEW("gantry.offset"), gantry_view_of(text)};
    headers[2] = (struct gantry_header){VIEW("gantry.length"), gantry_view_of(text + digits)};
    headers[3] = part_header[0];
    int rc = add(lines, fill, data, len, headers, last ? 3 : 4, err);
    if (rc == 0)
        fill->batch->records[fill->batch->count - 1].topic = lines->options->dead_topic;
    return rc;
}

/* All complete lines up to the first that is too long. *p: behind the last one taken. */
static int take_lines(struct file_lines *lines, struct file_fill *fill, const char **p,
                      const char *end, struct gantry_err *err)
{
    struct gantry_batch *batch = fill->batch;
    const size_t max = (size_t)lines->options->max;
    const struct gantry_schema *schema = lines->schema;
    const char *at = *p;
    int rc = 0;
    while (at < end) {
        if (batch->count == batch->capacity && batch->grow(batch) != 0) {
            rc = no_memory(lines, err);
            break;
        }
        struct gantry_record *record = batch->records + batch->count;
        struct gantry_record *const stop = batch->records + batch->capacity;
        const char *newline = NULL;
        for (; record < stop; record++) {
            newline = memchr(at, '\n', (size_t)(end - at));
            if (newline == NULL || (size_t)(newline - at) > max) {
                newline = NULL;
                break;
            }
            *record =
                (struct gantry_record){.value = {at, (size_t)(newline - at)}, .schema = schema};
            at = newline + 1;
        }
        batch->count = (size_t)(record - batch->records);
        if (newline == NULL)
            break;
    }
    *p = at;
    return rc;
}

/* Folds what would be a flood: tells the 1st, 2nd, 4th, 8th ... */
static void tell_long(struct file_lines *lines, int64_t offset, const char *what)
{
    char text[1024];
    lines->long_count++;
    if ((lines->long_count & (lines->long_count - 1)) != 0)
        return;
    (void)snprintf(text, sizeof text, /* a cut text is still a text */
                   "line longer than max.line.bytes %s file=\"%s\" offset=%" PRId64
                   " limit=%" PRId64 " count=%" PRIu64,
                   what, lines->path, offset, lines->options->max, lines->long_count);
    lines->ctx->log(lines->ctx, GANTRY_LOG_WARN, text);
}

/* A line at @p p has more than max bytes, which are there. *ret_used: how many were dealt with. */
static int begin_long(struct file_lines *lines, struct file_fill *fill, enum file_inside *inside,
                      const char *p, int64_t offset, size_t *ret_used, struct gantry_err *err)
{
    const size_t max = (size_t)lines->options->max;
    *ret_used = 0;
    switch (lines->options->too_long) {
    case FILE_LONG_SKIP:
        tell_long(lines, offset, "sent to the dead-letter topic");
        *inside = FILE_INSIDE_SKIP;
        *ret_used = max;
        return add_dead(lines, fill, p, max, offset, false, err);
    case FILE_LONG_CUT:
        tell_long(lines, offset, "cut");
        *inside = FILE_INSIDE_CUT;
        *ret_used = max;
        return add(lines, fill, p, max, cut_header, 1, err);
    case FILE_LONG_FAIL:
        break;
    }
    return gantry_err_set(err, GANTRY_TOO_LARGE,
                          "file %s has a line of more than %zu bytes at offset %" PRId64
                          "; raise max.line.bytes, or set line.too.long to skip or cut",
                          lines->path, max, offset);
}

/* Go on in a line that is too long. *p moves over what was dealt with; *ret_need: more bytes are
 * needed. */
static int go_on_long(struct file_lines *lines, struct file_fill *fill, enum file_inside *inside,
                      const char **p, const char *end, int64_t offset, bool *ret_need,
                      struct gantry_err *err)
{
    const size_t max = (size_t)lines->options->max;
    size_t there = (size_t)(end - *p);
    if (*inside == FILE_INSIDE_CUT) {
        const char *newline = memchr(*p, '\n', there);
        *p = newline != NULL ? newline + 1 : end;
        if (newline != NULL)
            *inside = FILE_INSIDE_NONE;
        return 0;
    }
    const char *newline = memchr(*p, '\n', there <= max ? there : max + 1);
    if (newline == NULL && there <= max) {
        *ret_need = true;
        return 0;
    }
    size_t len = newline != NULL ? (size_t)(newline - *p) : max;
    int rc = add_dead(lines, fill, *p, len, offset, newline != NULL, err);
    *p += newline != NULL ? len + 1 : len;
    if (newline != NULL)
        *inside = FILE_INSIDE_NONE;
    return rc;
}

int file_lines_split(struct file_lines *lines, struct file_fill *fill, struct file_position *at,
                     const char *block, size_t size, struct gantry_err *err)
{
    const size_t max = (size_t)lines->options->max;
    const int64_t begin = at->next;
    const char *p = block;
    const char *end = block + size;
    bool need = false;
    int rc = 0;
    while (rc == 0 && p < end && !need) {
        if (at->inside == FILE_INSIDE_CUT || at->inside == FILE_INSIDE_SKIP) {
            rc = go_on_long(lines, fill, &at->inside, &p, end, begin + (p - block), &need, err);
            continue;
        }
        const char *before = p;
        rc = take_lines(lines, fill, &p, end, err);
        if (p > before)
            at->inside = FILE_INSIDE_NONE; /* the rest of a part was the first of them */
        need = (size_t)(end - p) <= max;
        if (rc != 0 || need)
            continue;
        size_t used = 0;
        rc = begin_long(lines, fill, &at->inside, p, begin + (p - block), &used, err);
        p += used;
    }
    at->next = begin + (p - block);
    return rc;
}

int file_lines_rest(struct file_lines *lines, struct file_fill *fill, struct file_position *at,
                    const char *data, size_t len, bool part, struct gantry_err *err)
{
    int rc = 0;
    if (at->inside == FILE_INSIDE_SKIP)
        rc = add_dead(lines, fill, data, len, at->next, true, err);
    else if (at->inside != FILE_INSIDE_CUT && (len > 0 || at->inside == FILE_INSIDE_PART))
        rc = add(lines, fill, data, len, part ? part_header : NULL, part ? 1 : 0, err);
    if (rc != 0)
        return rc;
    at->next += (int64_t)len;
    at->inside = part ? FILE_INSIDE_PART : FILE_INSIDE_NONE;
    return 0;
}

int file_lines_close(struct file_lines *lines, struct file_fill *fill,
                     const struct file_position *at, struct gantry_err *err)
{
    if (at->inside == FILE_INSIDE_PART)
        return add(lines, fill, NULL, 0, NULL, 0, err);
    if (at->inside == FILE_INSIDE_SKIP)
        return add_dead(lines, fill, NULL, 0, at->next, true, err);
    return 0;
}
