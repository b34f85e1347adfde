/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of reader.h. */
#include "reader.h"
#include <stdlib.h>

void rmq_reader_init(struct rmq_reader *reader, struct rmq_view body)
{
    memset(reader, 0, sizeof(*reader));
    rmq_json_init(&reader->json, body, true);
    /* A string without escapes and with its NUL is no longer than with its quotes; a number as a
     * key is at most as long as that with the colon behind it. */
    rmq_buf_init(&reader->texts, body.len + 1);
    if (rmq_buf_reserve(&reader->texts, body.len + 1) != 0)
        rmq_read_fail(reader, RMQ_NO_MEMORY, "out of memory");
}

void rmq_reader_deinit(struct rmq_reader *reader)
{
    rmq_buf_deinit(&reader->texts);
}

void rmq_read_fail(struct rmq_reader *reader, int rc, const char *problem)
{
    if (reader->rc == 0) {
        reader->rc = rc;
        if (reader->json.problem == NULL)
            reader->json.problem = problem;
    }
    reader->json.at = reader->json.end; /* whatever is read next fails, too */
}

int rmq_reader_end(struct rmq_reader *reader, const char *what, struct rmq_err *err)
{
    if (reader->rc == 0 && !rmq_json_done(&reader->json))
        rmq_read_fail(reader, RMQ_MALFORMED, "text behind the end");
    return reader->rc == 0 ? 0 : rmq_fail(err, reader->rc, "%s: %s", what, reader->json.problem);
}

static bool enter(struct rmq_reader *reader, enum rmq_json_kind wanted, const char *problem)
{
    enum rmq_json_kind kind = rmq_json_value(&reader->json);
    if (kind != wanted && kind != RMQ_JSON_NULL)
        rmq_read_fail(reader, RMQ_MALFORMED, problem);
    return kind == wanted;
}

bool rmq_read_object(struct rmq_reader *reader)
{
    return enter(reader, RMQ_JSON_OBJECT, "an object is expected");
}

bool rmq_read_array(struct rmq_reader *reader)
{
    return enter(reader, RMQ_JSON_ARRAY, "an array is expected");
}

bool rmq_read_key(struct rmq_reader *reader)
{
    enum rmq_json_kind kind = rmq_json_key(&reader->json);
    if (kind == RMQ_JSON_ERROR)
        rmq_read_fail(reader, RMQ_MALFORMED, "not an object");
    return kind != RMQ_JSON_ERROR && kind != RMQ_JSON_END;
}

bool rmq_read_key_is(const struct rmq_reader *reader, const char *name)
{
    return rmq_view_equal(reader->json.text, rmq_view_str(name));
}

/* The text just read, plain and NUL-terminated. */
static const char *keep_text(struct rmq_reader *reader)
{
    size_t start = reader->texts.len;
    int rc = rmq_json_unescape(reader->json.text, &reader->texts);
    if (rc == 0)
        rc = rmq_buf_append(&reader->texts, "", 1);
    if (rc != 0 || memchr(reader->texts.data + start, 0, reader->texts.len - start - 1) != NULL) {
        rmq_read_fail(reader, RMQ_MALFORMED, "a string that is none");
        return NULL;
    }
    return reader->texts.data + start;
}

const char *rmq_read_key_text(struct rmq_reader *reader)
{
    return keep_text(reader);
}

bool rmq_read_item_object(struct rmq_reader *reader)
{
    enum rmq_json_kind kind = rmq_json_item(&reader->json);
    if (kind != RMQ_JSON_OBJECT && kind != RMQ_JSON_END)
        rmq_read_fail(reader, RMQ_MALFORMED, "an array of objects is expected");
    return kind == RMQ_JSON_OBJECT;
}

const char *rmq_read_item_string(struct rmq_reader *reader)
{
    enum rmq_json_kind kind = rmq_json_item(&reader->json);
    if (kind == RMQ_JSON_STRING)
        return keep_text(reader);
    if (kind != RMQ_JSON_END)
        rmq_read_fail(reader, RMQ_MALFORMED, "an array of strings is expected");
    return NULL;
}

const char *rmq_read_string(struct rmq_reader *reader)
{
    enum rmq_json_kind kind = rmq_json_value(&reader->json);
    if (kind == RMQ_JSON_STRING)
        return keep_text(reader);
    if (kind != RMQ_JSON_NULL)
        rmq_read_fail(reader, RMQ_MALFORMED, "a string is expected");
    return NULL;
}

int64_t rmq_read_int(struct rmq_reader *reader, int64_t min, int64_t max)
{
    int64_t value = 0;
    if (rmq_json_value(&reader->json) != RMQ_JSON_NUMBER ||
        !rmq_parse_i64(reader->json.text, &value) || value < min || value > max) {
        rmq_read_fail(reader, RMQ_MALFORMED, "not a number, or out of its range");
        return 0;
    }
    return value;
}

bool rmq_read_bool(struct rmq_reader *reader)
{
    enum rmq_json_kind kind = rmq_json_value(&reader->json);
    if (kind != RMQ_JSON_TRUE && kind != RMQ_JSON_FALSE)
        rmq_read_fail(reader, RMQ_MALFORMED, "neither true nor false");
    return kind == RMQ_JSON_TRUE;
}

void rmq_read_skip(struct rmq_reader *reader)
{
    if (!rmq_json_skip(&reader->json, rmq_json_value(&reader->json)))
        rmq_read_fail(reader, RMQ_MALFORMED, "not a value");
}

bool rmq_read_grow(struct rmq_reader *reader, void *items, size_t count, size_t item_size)
{
    void **at = items;
    if (count > 0 && (count < 8 || (count & (count - 1)) != 0))
        return true; /* room for 8, 16, 32 ... */
    void *larger = realloc(*at, (count == 0 ? 8 : count * 2) * item_size);
    if (larger == NULL) {
        rmq_read_fail(reader, RMQ_NO_MEMORY, "out of memory");
        return false;
    }
    *at = larger;
    return true;
}
