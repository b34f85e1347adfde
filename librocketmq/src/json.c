/* SPDX-License-Identifier: Apache-2.0 */
/* The pull parser of json.h. */
#include "json.h"

static enum rmq_json_kind broken(struct rmq_json *json, const char *problem)
{
    if (json->problem == NULL)
        json->problem = problem;
    json->at = json->end; /* whatever is asked next fails, too */
    return RMQ_JSON_ERROR;
}

static int peek(struct rmq_json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
    return json->at < json->end ? (unsigned char)*json->at : -1;
}

void rmq_json_init(struct rmq_json *json, struct rmq_view text, bool lenient)
{
    memset(json, 0, sizeof(*json));
    json->at = text.data;
    json->end = text.len == 0 ? text.data : text.data + text.len;
    json->lenient = lenient;
}

static enum rmq_json_kind read_string(struct rmq_json *json)
{
    const char *start = ++json->at;
    json->escaped = false;
    for (; json->at < json->end; json->at++) {
        if (*json->at == '"') {
            json->text = rmq_view(start, (size_t)(json->at - start));
            json->at++;
            return RMQ_JSON_STRING;
        }
        if ((unsigned char)*json->at < 0x20)
            return broken(json, "control character in a string");
        if (*json->at == '\\') {
            json->escaped = true;
            json->at++; /* the escaped character cannot end the string */
        }
    }
    return broken(json, "string without end");
}

static enum rmq_json_kind read_number(struct rmq_json *json)
{
    const char *start = json->at;
    bool digit = false;
    if (*json->at == '-')
        json->at++;
    for (; json->at < json->end && strchr("0123456789.eE+-", *json->at) != NULL && *json->at != 0;
         json->at++)
        digit |= *json->at >= '0' && *json->at <= '9';
    json->text = rmq_view(start, (size_t)(json->at - start));
    return digit ? RMQ_JSON_NUMBER : broken(json, "not a number");
}

static enum rmq_json_kind read_word(struct rmq_json *json)
{
    static const struct {
        const char *word;
        size_t len;
        enum rmq_json_kind kind;
    } words[] = {
        {"null", 4, RMQ_JSON_NULL}, {"false", 5, RMQ_JSON_FALSE}, {"true", 4, RMQ_JSON_TRUE}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((size_t)(json->end - json->at) >= words[i].len &&
            memcmp(json->at, words[i].word, words[i].len) == 0) {
            json->text = rmq_view(json->at, words[i].len);
            json->at += words[i].len;
            return words[i].kind;
        }
    }
    return broken(json, "not a value");
}

static enum rmq_json_kind enter(struct rmq_json *json, enum rmq_json_kind kind)
{
    if (++json->depth > RMQ_JSON_DEPTH)
        return broken(json, "nested too deep");
    json->at++;
    json->first = true;
    return kind;
}

enum rmq_json_kind rmq_json_value(struct rmq_json *json)
{
    int next = peek(json);
    switch (next) {
    case '{':
        return enter(json, RMQ_JSON_OBJECT);
    case '[':
        return enter(json, RMQ_JSON_ARRAY);
    case '"':
        return read_string(json);
    case -1:
        return broken(json, "text ends where a value is due");
    default:
        return next == '-' || (next >= '0' && next <= '9') ? read_number(json) : read_word(json);
    }
}

/* What stands before a member: its comma, or the end. */
static enum rmq_json_kind advance(struct rmq_json *json, int close)
{
    int next = peek(json);
    if (next == close) {
        json->at++;
        json->depth--;
        json->first = false;
        return RMQ_JSON_END;
    }
    if (!json->first) {
        if (next != ',')
            return broken(json, "comma or end expected");
        json->at++;
        if (peek(json) == close)
            return broken(json, "comma without a member behind it");
    }
    json->first = false;
    return RMQ_JSON_NULL;
}

enum rmq_json_kind rmq_json_key(struct rmq_json *json)
{
    enum rmq_json_kind kind = advance(json, '}');
    if (kind != RMQ_JSON_NULL)
        return kind;
    const char *start = json->at;
    struct rmq_view text;
    bool escaped = false;
    int next = peek(json);
    if (next == '"' || (json->lenient && next != '[')) {
        start = json->at;
        kind = rmq_json_value(json);
        text = json->text;
        escaped = json->escaped;
        if (kind == RMQ_JSON_OBJECT) {
            if (!rmq_json_skip(json, kind))
                return RMQ_JSON_ERROR;
            text = rmq_view(start, (size_t)(json->at - start));
        }
    } else {
        return broken(json, "key expected");
    }
    if (kind != RMQ_JSON_STRING && kind != RMQ_JSON_NUMBER && kind != RMQ_JSON_OBJECT)
        return broken(json, "key expected");
    if (peek(json) != ':')
        return broken(json, "colon expected");
    json->at++;
    json->text = text;
    json->escaped = kind == RMQ_JSON_STRING && escaped;
    return kind;
}

enum rmq_json_kind rmq_json_item(struct rmq_json *json)
{
    enum rmq_json_kind kind = advance(json, ']');
    return kind == RMQ_JSON_NULL ? rmq_json_value(json) : kind;
}

bool rmq_json_skip(struct rmq_json *json, enum rmq_json_kind kind)
{
    char open[RMQ_JSON_DEPTH + 1]; /* what has been entered here: '{' or '[' */
    int depth = 0;
    for (;;) {
        if (kind == RMQ_JSON_ERROR)
            return false;
        if (kind == RMQ_JSON_OBJECT || kind == RMQ_JSON_ARRAY)
            open[depth++] = kind == RMQ_JSON_OBJECT ? '{' : '[';
        else if (kind == RMQ_JSON_END)
            depth--;
        if (depth == 0)
            return true;
        if (open[depth - 1] == '[') {
            kind = rmq_json_item(json);
            continue;
        }
        kind = rmq_json_key(json);
        if (kind != RMQ_JSON_END && kind != RMQ_JSON_ERROR)
            kind = rmq_json_value(json);
    }
}

bool rmq_json_done(struct rmq_json *json)
{
    return json->problem == NULL && peek(json) == -1;
}

/* Four hex digits at text, or -1. */
static int32_t hex4(const char *text, const char *end)
{
    int32_t value = 0;
    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = text[i];
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static size_t put_utf8(char *to, int32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* A \uXXXX, with its second half when it is the first of a pair; a lone half is U+FFFD. */
static const char *unescape_unit(const char *at, const char *end, int32_t *ret)
{
    int32_t unit = hex4(at, end);
    if (unit < 0)
        return NULL;
    at += 4;
    if (unit >= 0xD800 && unit < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t low = hex4(at + 2, end);
        if (low >= 0xDC00 && low < 0xE000) {
            *ret = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return at + 6;
        }
    }
    *ret = unit >= 0xD800 && unit < 0xE000 ? 0xFFFD : unit;
    return at;
}

int rmq_json_unescape(struct rmq_view raw, struct rmq_buf *buf)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    int rc = rmq_buf_reserve(buf, raw.len);
    if (rc != 0 || raw.len == 0)
        return rc;
    const char *end = raw.data + raw.len;
    size_t len = buf->len;
    for (const char *at = raw.data; at < end;) {
        const char *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((slash == NULL ? end : slash) - at);
        memcpy(buf->data + len, at, plain);
        len += plain;
        at += plain;
        if (slash == NULL)
            break;
        if (++at == end)
            return RMQ_MALFORMED;
        if (*at == 'u') {
            int32_t c;
            at = unescape_unit(at + 1, end, &c);
            if (at == NULL)
                return RMQ_MALFORMED;
            len += put_utf8(buf->data + len, c);
            continue;
        }
        const char *which = memchr(from, *at, sizeof(from) - 1);
        if (which == NULL)
            return RMQ_MALFORMED;
        buf->data[len++] = to[which - from];
        at++;
    }
    buf->len = len;
    return 0;
}

/* The letter of a short escape, or 0. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

int rmq_json_quote(struct rmq_view text, struct rmq_buf *buf)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t need = 2; /* a view is in memory, so six times its length does not overflow */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        need += short_escape(c) != 0 ? 2 : c < 0x20 ? 6 : 1;
    }
    int rc = rmq_buf_reserve(buf, need);
    if (rc != 0)
        return rc;
    char *to = buf->data + buf->len;
    *to++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char letter = short_escape(c);
        if (letter != 0) {
            *to++ = '\\';
            *to++ = letter;
        } else if (c < 0x20) {
            memcpy(to, "\\u00", 4);
            to[4] = hex[c >> 4];
            to[5] = hex[c & 15];
            to += 6;
        } else {
            *to++ = (char)c;
        }
    }
    *to++ = '"';
    buf->len = (size_t)(to - buf->data);
    return 0;
}
