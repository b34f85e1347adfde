/* SPDX-License-Identifier: Apache-2.0 */
/* JSON. jansson says whether a text is well-formed; the values are then taken out of the text
 * itself, for jansson keeps the value of a number but not how it was written (1.50, 1e3), and users
 * read back what they wrote. So the walk below meets well-formed JSON only, and looks at nothing
 * but structure, depth and nulls. */
#include "base/json.h"

#include <jansson.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32 };

/* What fastjson 1.2 writes as \uXXXX: control characters without a short form, DEL, U+0080 to
 * U+009F, U+2028 and U+2029. Returns the length of such a character at @p text (0: it is none) and
 * its code. */
static size_t escaped_char(const unsigned char *text, size_t left, unsigned *ret_code)
{
    if (text[0] < 0x20 || text[0] == 0x7f) {
        *ret_code = text[0];
        return 1;
    }
    if (left >= 2 && text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f) {
        *ret_code = text[1];
        return 2;
    }
    if (left >= 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9)) {
        *ret_code = 0x2028u + (text[2] - 0xa8u);
        return 3;
    }
    return 0;
}

/* The letter of the short escape, or 0. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    case '"':
    case '\\':
        return (char)c;
    default:
        return 0;
    }
}

int gt_json_add_string(struct gt_buf *buf, struct gantry_view text)
{
    size_t done = 0, i = 0;

    (void)gt_buf_add_char(buf, '"'); /* errors stick; the last call gives them */
    while (i < text.len) {
        const unsigned char *at = (const unsigned char *)text.data + i;
        unsigned code;
        char letter = short_escape(*at);
        size_t len = letter != 0 ? 1 : escaped_char(at, text.len - i, &code);
        if (len == 0) {
            i++;
            continue;
        }
        (void)gt_buf_add(buf, text.data + done, i - done);
        if (letter != 0)
            (void)gt_buf_add(buf, (char[]){'\\', letter}, 2);
        else
            (void)gt_buf_addf(buf, "\\u%04X", code);
        i += len;
        done = i;
    }
    if (done < text.len)
        (void)gt_buf_add(buf, text.data + done, text.len - done);
    return gt_buf_add_char(buf, '"');
}

int gt_json_add_props(struct gt_buf *buf, const struct gt_props *props)
{
    (void)gt_buf_add_char(buf, '{');
    for (size_t i = 0; i < props->count; i++) {
        if (i > 0)
            (void)gt_buf_add_char(buf, ',');
        (void)gt_json_add_string(buf, gantry_view_of(props->items[i].key));
        (void)gt_buf_add_char(buf, ':');
        (void)gt_json_add_string(buf, gantry_view_of(props->items[i].value));
    }
    return gt_buf_add_char(buf, '}');
}

struct scanner {
    const char *start, *pos; /* the text ends with a NUL, and is well-formed */
    struct gt_buf string;    /* a decoded string */
    struct gt_buf compact;   /* a nested value, written anew without blanks */
    struct gantry_err *err;
};

/* "line L, column C: ..." for the place where the scanner stands. */
static int fail_at(const struct scanner *scanner, const char *complaint, const char *name)
{
    size_t line = 1, column = 1;
    for (const char *p = scanner->start; p < scanner->pos; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return gantry_err_set(scanner->err, GANTRY_INVALID, "line %zu, column %zu: '%.100s': %s", line,
                          column, name, complaint);
}

static void skip_blanks(struct scanner *scanner)
{
    while (*scanner->pos == ' ' || *scanner->pos == '\t' || *scanner->pos == '\n' ||
           *scanner->pos == '\r')
        scanner->pos++;
}

static uint32_t hex4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return value;
}

/* One escape; scanner->pos stands behind the backslash. */
static void read_escape(struct scanner *scanner)
{
    struct gt_buf *out = &scanner->string;
    char c = *scanner->pos++;
    if (c != 'u') {
        (void)gt_buf_add_char(out, c == 'b'   ? '\b'
                                   : c == 'f' ? '\f'
                                   : c == 'n' ? '\n'
                                   : c == 'r' ? '\r'
                                   : c == 't' ? '\t'
                                              : c);
        return;
    }
    uint32_t code = hex4(scanner->pos);
    scanner->pos += 4;
    if (code >= 0xd800 && code <= 0xdbff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex4(scanner->pos + 2) - 0xdc00);
        scanner->pos += 6;
    }
    char bytes[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(marks[len] | code);
    (void)gt_buf_add(out, bytes, len);
}

/* A string into scanner->string; scanner->pos stands at its quote. */
static struct gantry_view read_string(struct scanner *scanner)
{
    gt_buf_clear(&scanner->string);
    scanner->pos++;
    while (*scanner->pos != '"') {
        const char *start = scanner->pos;
        while (*scanner->pos != '"' && *scanner->pos != '\\')
            scanner->pos++;
        (void)gt_buf_add(&scanner->string, start,
                         (size_t)(scanner->pos - start)); /* sticky error */
        if (*scanner->pos == '\\') {
            scanner->pos++;
            read_escape(scanner);
        }
    }
    scanner->pos++;
    return gt_buf_view(&scanner->string);
}

/* A number, true, false or null. */
static struct gantry_view read_literal(struct scanner *scanner)
{
    const char *start = scanner->pos;
    scanner->pos += strcspn(scanner->pos, ",]} \t\r\n");
    return (struct gantry_view){start, (size_t)(scanner->pos - start)};
}

/* Any token but a blank one into scanner->compact; tells the depth. */
static void copy_token(struct scanner *scanner, int *depth)
{
    char c = *scanner->pos;
    if (c == '"') {
        (void)gt_json_add_string(&scanner->compact, read_string(scanner));
    } else if (strchr("{}[],:", c) != NULL) {
        *depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        (void)gt_buf_add_char(&scanner->compact, c);
        scanner->pos++;
    } else {
        (void)gt_buf_add_view(&scanner->compact, read_literal(scanner));
    }
}

/* An object or array as compact JSON into scanner->compact. */
static int read_nested(struct scanner *scanner, const char *key)
{
    int depth = 1; /* the object around it */
    gt_buf_clear(&scanner->compact);
    do {
        skip_blanks(scanner);
        copy_token(scanner, &depth);
        if (depth > DEPTH_MAX)
            return fail_at(scanner, "nested deeper than 32 levels", key);
    } while (depth > 1);
    return GANTRY_OK;
}

static int read_member(struct scanner *scanner, struct gt_props *props)
{
    struct gantry_view value = {NULL, 0};
    int rc = GANTRY_OK;

    struct gantry_view key = read_string(scanner);
    char *name = strndup(key.data != NULL ? key.data : "", key.len);
    if (name == NULL)
        return gantry_err_set(scanner->err, GANTRY_NO_MEMORY, "cannot read JSON: out of memory");
    skip_blanks(scanner);
    scanner->pos++; /* the colon */
    skip_blanks(scanner);
    if (*scanner->pos == '{' || *scanner->pos == '[') {
        rc = read_nested(scanner, name);
        value = gt_buf_view(&scanner->compact);
    } else if (*scanner->pos == '"') {
        value = read_string(scanner);
    } else if (*scanner->pos == 'n') {
        rc = fail_at(scanner, "the value is null; give a value or leave the key out", name);
    } else {
        value = read_literal(scanner);
    }
    if (rc == 0 && (scanner->string.error != 0 || scanner->compact.error != 0 ||
                    gt_props_append(props, gantry_view_of(name), value) != 0))
        rc = gantry_err_set(scanner->err, GANTRY_NO_MEMORY, "cannot read JSON: out of memory");
    free(name);
    return rc;
}

static int read_object(struct scanner *scanner, struct gt_props *props)
{
    skip_blanks(scanner);
    if (*scanner->pos != '{')
        return gantry_err_set(scanner->err, GANTRY_INVALID,
                              "expected a JSON object such as {\"key\":\"value\"}, got an array");
    scanner->pos++;
    skip_blanks(scanner);
    while (*scanner->pos != '}') {
        int rc = read_member(scanner, props);
        if (rc != 0)
            return rc;
        skip_blanks(scanner);
        if (*scanner->pos == ',') {
            scanner->pos++;
            skip_blanks(scanner);
        }
    }
    return GANTRY_OK;
}

/* Let jansson look at the text. */
static int validate(struct gantry_view text, struct gantry_err *err)
{
    json_error_t error;
    /* jansson skips a NUL behind a number; for the walk it would be the end */
    const char *nul = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
    if (nul != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "byte %zu: not valid JSON: a NUL byte",
                              (size_t)(nul - text.data) + 1);
    /* whole numbers as reals: else jansson refuses those beyond 64 bits, which are text for us
     * anyway */
    json_t *json = json_loadb(text.data != NULL ? text.data : "", text.len,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (json != NULL) {
        json_decref(json);
        return GANTRY_OK;
    }
    enum json_error_code code = json_error_code(&error);
    if (code == json_error_out_of_memory)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read JSON: out of memory");
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return gantry_err_set(
            err, GANTRY_INVALID,
            "line %d, column %d: the NUL character (\\u0000) cannot be part of a key or value",
            error.line, error.column);
    return gantry_err_set(err, GANTRY_INVALID, "line %d, column %d: not valid JSON: %s", error.line,
                          error.column, error.text);
}

int gt_json_parse_props(struct gt_props *props, struct gantry_view text, struct gantry_err *err)
{
    struct gt_props parsed;
    struct scanner scanner = {.err = err};
    int rc = validate(text, err);
    if (rc != 0)
        return rc;
    char *copy = strndup(text.data, text.len); /* with a NUL at its end, where every scan stops */
    if (copy == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot read JSON: out of memory");
    scanner.start = scanner.pos = copy;
    gt_buf_init(&scanner.string, text.len);
    gt_buf_init(&scanner.compact, text.len * 6); /* every byte could become \u00XX */
    gt_props_init(&parsed);
    rc = read_object(&scanner, &parsed);
    if (rc == 0) {
        gt_props_deinit(props);
        *props = parsed;
    } else {
        gt_props_deinit(&parsed);
    }
    gt_buf_deinit(&scanner.string);
    gt_buf_deinit(&scanner.compact);
    free(copy);
    return rc;
}
