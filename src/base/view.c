/* SPDX-License-Identifier: Apache-2.0 */
/* Views, and the numbers, sizes and durations that users write into configurations. Own parsers
 * rather than strtoll: a view has no NUL at its end, and "12abc", "" and " 12" must be errors. */
#include "base/view.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct gantry_view gt_view_trim(struct gantry_view view)
{
    while (view.len > 0 && is_blank(view.data[0])) {
        view.data++;
        view.len--;
    }
    while (view.len > 0 && is_blank(view.data[view.len - 1]))
        view.len--;
    return view;
}

/* The digits (with a sign) at the start of @p text; *ret_used is how many bytes they take. */
static int parse_number(struct gantry_view text, int64_t *ret, size_t *ret_used)
{
    size_t i = 0;
    bool negative = false;
    int64_t value = 0;

    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        negative = text.data[0] == '-';
        i++;
    }
    size_t first = i;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        int digit = text.data[i] - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, (int64_t)digit, &value))
            return GANTRY_INVALID;
    }
    if (i == first)
        return GANTRY_INVALID;
    /* summed up as a negative number, for the negatives reach one further */
    if (!negative) {
        if (value == INT64_MIN)
            return GANTRY_INVALID;
        value = -value;
    }
    *ret = value;
    *ret_used = i;
    return GANTRY_OK;
}

int gt_parse_int(struct gantry_view text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t value;
    size_t used;
    if (parse_number(text, &value, &used) != 0 || used != text.len || value < min || value > max)
        return GANTRY_INVALID;
    *ret = value;
    return GANTRY_OK;
}

struct unit {
    const char *name; /* in lower case */
    int64_t factor;
};

/* A number with an optional unit out of @p units (the last has an empty name: no unit). */
static int parse_with_unit(struct gantry_view text, const struct unit *units, int64_t min,
                           int64_t max, int64_t *ret)
{
    int64_t value;
    size_t used;
    if (parse_number(text, &value, &used) != 0)
        return GANTRY_INVALID;
    struct gantry_view rest = {text.data + used, text.len - used};
    while (rest.len > 0 && rest.data[0] == ' ') {
        rest.data++;
        rest.len--;
    }
    if (rest.len == 0 && used != text.len)
        return GANTRY_INVALID; /* a blank without a unit behind it */
    for (;; units++) {
        size_t len = strlen(units->name);
        if (len == rest.len && (len == 0 || strncasecmp(units->name, rest.data, len) == 0))
            break;
        if (len == 0)
            return GANTRY_INVALID;
    }
    if (__builtin_mul_overflow(value, units->factor, &value) || value < min || value > max)
        return GANTRY_INVALID;
    *ret = value;
    return GANTRY_OK;
}

int gt_parse_size(struct gantry_view text, int64_t min, int64_t max, int64_t *ret)
{
    static const struct unit units[] = {
        {"k", 1 << 10},
        {"kb", 1 << 10},
        {"kib", 1 << 10},
        {"m", 1 << 20},
        {"mb", 1 << 20},
        {"mib", 1 << 20},
        {"g", 1 << 30},
        {"gb", 1 << 30},
        {"gib", 1 << 30},
        {"t", INT64_C(1) << 40},
        {"tb", INT64_C(1) << 40},
        {"tib", INT64_C(1) << 40},
        {"b", 1},
        {"", 1},
    };
    return parse_with_unit(text, units, min, max, ret);
}

int gt_parse_duration(struct gantry_view text, int64_t min, int64_t max, int64_t *ret_ms)
{
    static const struct unit units[] = {
        {"ms", 1},      {"s", 1000},     {"m", 60000}, {"min", 60000},
        {"h", 3600000}, {"d", 86400000}, {"", 1},
    };
    return parse_with_unit(text, units, min, max, ret_ms);
}

/* How long the well-formed character at @p p is; 0 when it is not one. */
static size_t utf8_char(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80,
            high = 0xbf; /* range of the second byte: shuts out overlong forms and surrogates */
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        if (p[0] == 0xe0)
            low = 0xa0;
        else if (p[0] == 0xed)
            high = 0x9f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        if (p[0] == 0xf0)
            low = 0x90;
        else if (p[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool gt_utf8_valid(struct gantry_view view)
{
    const uint8_t *p = (const uint8_t *)view.data;
    size_t left = view.len;

    while (left > 0) {
        uint64_t word;
        if (left >= 8 && (memcpy(&word, p, 8), (word & UINT64_C(0x8080808080808080)) == 0)) {
            p += 8;
            left -= 8;
            continue;
        }
        size_t len = utf8_char(p, left);
        if (len == 0)
            return false;
        p += len;
        left -= len;
    }
    return true;
}

enum { NEAREST_MAX = 63 }; /* words longer than any key of ours get no suggestion */

/* Edit distance (insert, delete, replace, swap of neighbours), without regard to case. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_MAX + 1];

    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0;
            size_t best = above[j - 1] + (same ? 0 : 1);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *gt_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t len = strlen(word);
    const char *nearest = NULL;
    size_t best = len / 3 + 1; /* only what is nearer than this counts */

    if (len == 0 || len > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        size_t apart = other > len ? other - len : len - other;
        if (other > NEAREST_MAX || apart >= best)
            continue;
        size_t distance = edit_distance(word, len, candidates[i], other);
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
