/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive descent parser. Nested values are written straight into a buffer as compact JSON; a
 * nested object is first collected as pairs, since its keys are written in the order of a Java
 * HashMap. Observed replies: connect-2019, section 4, and the golden captures d25 to d30. */
#include "rest/lenient_json.h"

#include "base/java_order.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32, OUTPUT_MAX = 16 << 20 };

struct parser {
    const char *start, *pos, *end;
    struct gantry_err *err;
    int depth;
};

static int fail(struct parser *parser, const char *reason)
{
    return gantry_err_set(parser->err, GANTRY_INVALID, "config: byte %zu: %s",
                          (size_t)(parser->pos - parser->start) + 1, reason);
}

static int no_memory(struct parser *parser, int code)
{
    return gantry_err_set(parser->err, code, "config: %s", gantry_error_text(code));
}

static char peek(const struct parser *parser)
{
    return parser->pos < parser->end ? *parser->pos : (char)0;
}

/* Step over a comment; false when there is none. An open one ends with the text. */
static bool skip_comment(struct parser *parser)
{
    const char *p = parser->pos;

    if (parser->end - p < 2 || p[0] != '/' || (p[1] != '/' && p[1] != '*'))
        return false;
    bool line = p[1] == '/';
    for (p += 2; p < parser->end; p++) {
        if (line && *p == '\n')
            break;
        if (!line && *p == '*' && p + 1 < parser->end && p[1] == '/') {
            p++;
            break;
        }
    }
    parser->pos = p < parser->end ? p + 1 : p;
    return true;
}

static void skip_blanks(struct parser *parser)
{
    while (parser->pos < parser->end) {
        char c = *parser->pos;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\b')
            parser->pos++;
        else if (!skip_comment(parser))
            return;
    }
}

static int hex_digits(struct parser *parser, int count, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < count; i++, parser->pos++) {
        char c = peek(parser);
        char lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            *ret = *ret << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *ret = *ret << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return fail(parser, "an escape lacks hexadecimal digits");
    }
    return 0;
}

static void add_utf8(struct gt_buf *out, uint32_t c)
{
    char bytes[4];
    size_t len;

    if (c < 0x80) {
        bytes[0] = (char)c;
        len = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3f));
        len = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xe0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (c & 0x3f));
        len = 3;
    } else {
        bytes[0] = (char)(0xf0 | c >> 18);
        bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (c & 0x3f));
        len = 4;
    }
    (void)gt_buf_add(out, bytes, len); /* errors stick; parse_quoted looks at the end */
}

/* Behind "\u". A surrogate without its other half comes out as Java writes it: a question mark. */
static int unicode_escape(struct parser *parser, struct gt_buf *out)
{
    uint32_t high, low;

    int rc = hex_digits(parser, 4, &high);
    if (rc != 0)
        return rc;
    if (high >= 0xd800 && high <= 0xdbff && parser->end - parser->pos >= 6 &&
        parser->pos[0] == '\\' && parser->pos[1] == 'u') {
        const char *behind_high = parser->pos;
        parser->pos += 2;
        rc = hex_digits(parser, 4, &low);
        if (rc != 0)
            return rc;
        if (low >= 0xdc00 && low <= 0xdfff) {
            add_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            return 0;
        }
        parser->pos = behind_high;
    }
    add_utf8(out, high >= 0xd800 && high <= 0xdfff ? '?' : high);
    return 0;
}

static int escape(struct parser *parser, struct gt_buf *out)
{
    static const char from[] = "\"'/\\bfFnrtv01234567";
    static const char to[] = "\"'/\\\b\f\f\n\r\t\v\0\1\2\3\4\5\6\7";
    char c = peek(parser);
    uint32_t value;

    if (parser->pos < parser->end)
        parser->pos++;
    if (c == 'u')
        return unicode_escape(parser, out);
    if (c == 'x') {
        int rc = hex_digits(parser, 2, &value);
        if (rc == 0)
            add_utf8(out, value);
        return rc;
    }
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found == NULL)
        return fail(parser, "an escape that is not known");
    (void)gt_buf_add_char(out, to[found - from]);
    return 0;
}

/* A string in either kind of quotes; the opening one is next. */
static int parse_quoted(struct parser *parser, struct gt_buf *out)
{
    char quote = *parser->pos++;

    while (parser->pos < parser->end && *parser->pos != quote) {
        if (*parser->pos != '\\') {
            (void)gt_buf_add_char(out, *parser->pos++);
            continue;
        }
        parser->pos++;
        int rc = escape(parser, out);
        if (rc != 0)
            return rc;
    }
    if (parser->pos == parser->end)
        return fail(parser, "a string has no end");
    parser->pos++;
    if (out->error != 0)
        return no_memory(parser, out->error);
    if (out->len > 0 && memchr(out->data, '\0', out->len) != NULL)
        return fail(parser, "a string has a NUL character");
    return 0;
}

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

static int parse_key(struct parser *parser, struct gt_buf *out)
{
    char c = peek(parser);

    if (c == '"' || c == '\'')
        return parse_quoted(parser, out);
    if (c == '-') {
        (void)gt_buf_add_char(out, c);
        parser->pos++;
    }
    const char *from = parser->pos;
    while (word_char(peek(parser)))
        parser->pos++;
    if (parser->pos == from)
        return fail(parser, "a key is expected");
    (void)gt_buf_add(out, from, (size_t)(parser->pos - from));
    return out->error != 0 ? no_memory(parser, out->error) : 0;
}

struct number {
    bool negative;
    struct gantry_view whole, fraction; /* digits */
    int64_t exponent;
    bool decimal; /* has a point or an exponent: a BigDecimal in Java, else an integer */
};

static struct gantry_view take_digits(struct parser *parser)
{
    struct gantry_view digits = {parser->pos, 0};

    while (peek(parser) >= '0' && peek(parser) <= '9') {
        parser->pos++;
        digits.len++;
    }
    return digits;
}

static int scan_number(struct parser *parser, struct number *number)
{
    memset(number, 0, sizeof *number);
    if (peek(parser) == '-') {
        number->negative = true;
        parser->pos++;
    }
    number->whole = take_digits(parser);
    if (number->whole.len == 0)
        return fail(parser, "a value is expected");
    if (peek(parser) == '.') {
        parser->pos++;
        number->decimal = true;
        number->fraction = take_digits(parser);
    }
    if (peek(parser) == 'e' || peek(parser) == 'E') {
        parser->pos++;
        number->decimal = true;
        bool negative = peek(parser) == '-';
        if (negative || peek(parser) == '+')
            parser->pos++;
        struct gantry_view digits = take_digits(parser);
        if (digits.len == 0 || gt_parse_int(digits, 0, 99999999, &number->exponent) != 0)
            return fail(parser, "a number's exponent is missing or beyond 99999999");
        if (negative)
            number->exponent = -number->exponent;
    } else if (!number->decimal && peek(parser) != '\0' && strchr("LSB", peek(parser)) != NULL) {
        parser->pos++; /* Java's suffixes for long, short, byte */
    }
    return 0;
}

/* java.math.BigDecimal.toString: `digits` without leading zeros times ten to the power of -scale.
 */
static void add_decimal(struct gt_buf *out, struct gantry_view digits, int64_t scale)
{
    int64_t len = (int64_t)digits.len;
    int64_t adjusted = len - 1 - scale;

    if (scale == 0) {
        (void)gt_buf_add_view(out, digits);
    } else if (scale > 0 && adjusted >= -6) {
        if (len > scale) {
            (void)gt_buf_add(out, digits.data, (size_t)(len - scale));
            (void)gt_buf_add_char(out, '.');
            (void)gt_buf_add(out, digits.data + (len - scale), (size_t)scale);
        } else {
            (void)gt_buf_add_str(out, "0.");
            for (int64_t i = len; i < scale; i++)
                (void)gt_buf_add_char(out, '0');
            (void)gt_buf_add_view(out, digits);
        }
    } else {
        (void)gt_buf_add_char(out, digits.data[0]);
        if (len > 1) {
            (void)gt_buf_add_char(out, '.');
            (void)gt_buf_add(out, digits.data + 1, digits.len - 1);
        }
        if (adjusted != 0)
            (void)gt_buf_addf(out, "E%+lld", (long long)adjusted);
    }
}

static int parse_number(struct parser *parser, struct gt_buf *out)
{
    struct number number;
    struct gt_buf digits;

    int rc = scan_number(parser, &number);
    if (rc != 0)
        return rc;
    gt_buf_init(&digits, OUTPUT_MAX);
    (void)gt_buf_add_view(&digits, number.whole);
    (void)gt_buf_add_view(&digits, number.fraction);
    if (digits.error == 0) {
        struct gantry_view unscaled = gt_buf_view(&digits);
        while (unscaled.len > 1 && unscaled.data[0] == '0') {
            unscaled.data++;
            unscaled.len--;
        }
        bool zero = unscaled.len == 1 && unscaled.data[0] == '0';
        if (number.negative && !zero)
            (void)gt_buf_add_char(out, '-');
        int64_t scale = (int64_t)number.fraction.len - number.exponent;
        add_decimal(out, unscaled, number.decimal ? scale : 0);
    }
    rc = digits.error != 0 ? digits.error : out->error;
    gt_buf_deinit(&digits);
    return rc != 0 ? no_memory(parser, rc) : 0;
}

static bool take_word(struct parser *parser, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(parser->end - parser->pos) < len || memcmp(parser->pos, word, len) != 0 ||
        (parser->pos + len < parser->end && word_char(parser->pos[len])))
        return false;
    parser->pos += len;
    return true;
}

static int parse_pairs(struct parser *parser, struct gt_props *pairs, bool nested);
static int parse_array(struct parser *parser, struct gt_buf *out);

/* A nested object: its pairs hold values as compact JSON. */
static int parse_object(struct parser *parser, struct gt_buf *out)
{
    struct gt_props pairs;
    const char **keys = NULL;
    size_t *order = NULL;
    bool first = true;

    gt_props_init(&pairs);
    int rc = parse_pairs(parser, &pairs, true);
    if (rc != 0)
        goto out;
    keys = calloc(pairs.count + 1, sizeof *keys);
    order = calloc(pairs.count + 1, sizeof *order);
    if (keys == NULL || order == NULL) {
        rc = no_memory(parser, GANTRY_NO_MEMORY);
        goto out;
    }
    for (size_t i = 0; i < pairs.count; i++)
        keys[i] = pairs.items[i].key;
    rc = gt_java_order(GT_JAVA_HASH_MAP, keys, pairs.count, order);
    if (rc != 0) {
        rc = no_memory(parser, rc);
        goto out;
    }
    (void)gt_buf_add_char(out, '{');
    for (size_t i = 0; i < pairs.count; i++) {
        const struct gt_prop *pair = &pairs.items[order[i]];
        if (strcmp(pair->value, "null") == 0)
            continue;
        if (!first)
            (void)gt_buf_add_char(out, ',');
        first = false;
        (void)gt_json_add_string(out, gantry_view_of(pair->key));
        (void)gt_buf_add_char(out, ':');
        (void)gt_buf_add_str(out, pair->value);
    }
    (void)gt_buf_add_char(out, '}');
    rc = out->error != 0 ? no_memory(parser, out->error) : 0;
out:
    gt_props_deinit(&pairs);
    free(keys);
    free(order);
    return rc;
}

/* A value. @p nested: as compact JSON; else as Java's toString gives it, and null is refused. */
static int parse_value(struct parser *parser, struct gt_buf *out, bool nested)
{
    char c = peek(parser);
    int rc = 0;

    if (c == '"' || c == '\'') {
        struct gt_buf string;
        if (!nested)
            return parse_quoted(parser, out);
        gt_buf_init(&string, OUTPUT_MAX);
        rc = parse_quoted(parser, &string);
        if (rc == 0 && gt_json_add_string(out, gt_buf_view(&string)) != 0)
            rc = no_memory(parser, out->error);
        gt_buf_deinit(&string);
        return rc;
    }
    if (c == '{' || c == '[') {
        if (++parser->depth > DEPTH_MAX)
            return fail(parser, "nested more than 32 levels deep");
        rc = c == '{' ? parse_object(parser, out) : parse_array(parser, out);
        parser->depth--;
        return rc;
    }
    if (take_word(parser, "true"))
        rc = gt_buf_add_str(out, "true");
    else if (take_word(parser, "false"))
        rc = gt_buf_add_str(out, "false");
    else if (take_word(parser, "null") || take_word(parser, "undefined"))
        return nested ? gt_buf_add_str(out, "null") : fail(parser, "a value is null");
    else
        return parse_number(parser, out);
    return rc != 0 ? no_memory(parser, rc) : 0;
}

static void skip_commas(struct parser *parser)
{
    skip_blanks(parser);
    while (peek(parser) == ',') {
        parser->pos++;
        skip_blanks(parser);
    }
}

static int parse_array(struct parser *parser, struct gt_buf *out)
{
    bool first = true;

    parser->pos++;
    (void)gt_buf_add_char(out, '[');
    for (skip_commas(parser); peek(parser) != ']'; skip_commas(parser)) {
        if (parser->pos == parser->end)
            return fail(parser, "an array has no end");
        if (!first)
            (void)gt_buf_add_char(out, ',');
        first = false;
        int rc = parse_value(parser, out, true);
        if (rc != 0)
            return rc;
        skip_blanks(parser);
        if (peek(parser) != ',' && peek(parser) != ']')
            return fail(parser, "',' or ']' is expected behind a value");
    }
    parser->pos++;
    return gt_buf_add_char(out, ']') != 0 ? no_memory(parser, out->error) : 0;
}

static int parse_pair(struct parser *parser, struct gt_props *pairs, bool nested)
{
    struct gt_buf key, value;

    gt_buf_init(&key, OUTPUT_MAX);
    gt_buf_init(&value, OUTPUT_MAX);
    int rc = parse_key(parser, &key);
    if (rc != 0)
        goto out;
    skip_blanks(parser);
    if (peek(parser) != ':') {
        rc = fail(parser, "':' is expected behind a key");
        goto out;
    }
    parser->pos++;
    skip_blanks(parser);
    rc = parse_value(parser, &value, nested);
    if (rc == 0 && gt_props_set_views(pairs, gt_buf_view(&key), gt_buf_view(&value)) != 0)
        rc = no_memory(parser, GANTRY_NO_MEMORY);
out:
    gt_buf_deinit(&key);
    gt_buf_deinit(&value);
    return rc;
}

/* An object's pairs; its brace is next. */
static int parse_pairs(struct parser *parser, struct gt_props *pairs, bool nested)
{
    parser->pos++;
    for (skip_commas(parser); peek(parser) != '}'; skip_commas(parser)) {
        if (parser->pos == parser->end)
            return fail(parser, "the object has no end");
        int rc = parse_pair(parser, pairs, nested);
        if (rc != 0)
            return rc;
        skip_blanks(parser);
        if (peek(parser) != ',' && peek(parser) != '}')
            return fail(parser, "',' or '}' is expected behind a value");
    }
    parser->pos++;
    return 0;
}

/* Bytes that are not UTF-8 become U+FFFD, as in Java's decoder. */
static int repair_utf8(struct gantry_view text, struct gt_buf *ret)
{
    size_t i = 0;

    while (i < text.len) {
        size_t len = 1;
        while (len <= 4 && i + len <= text.len &&
               !gt_utf8_valid((struct gantry_view){text.data + i, len}))
            len++;
        if (len <= 4 && i + len <= text.len) {
            (void)gt_buf_add(ret, text.data + i, len);
            i += len;
        } else {
            (void)gt_buf_add_str(ret, "\xef\xbf\xbd");
            i++;
        }
    }
    return ret->error;
}

int gt_lenient_json_parse(struct gt_props *props, struct gantry_view text, struct gantry_err *err)
{
    struct parser parser = {.err = err};
    struct gt_buf repaired;

    gt_buf_init(&repaired, OUTPUT_MAX);
    if (!gt_utf8_valid(text)) {
        int rc = repair_utf8(text, &repaired);
        if (rc != 0) {
            gt_buf_deinit(&repaired);
            return no_memory(&parser, rc);
        }
        text = gt_buf_view(&repaired);
    }
    parser.start = parser.pos = text.data != NULL ? text.data : "";
    parser.end = parser.start + text.len;
    skip_blanks(&parser);
    int rc = peek(&parser) == '{' ? parse_pairs(&parser, props, false)
                                  : fail(&parser, "a JSON object is expected");
    skip_blanks(&parser);
    if (rc == 0 && parser.pos < parser.end)
        rc = fail(&parser, "something follows the object");
    gt_buf_deinit(&repaired);
    return rc;
}
