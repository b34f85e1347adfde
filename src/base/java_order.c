/* SPDX-License-Identifier: Apache-2.0 */
/* Java's maps are tables of buckets whose number is a power of two, 16 at first, and they are
 * walked bucket by bucket. A HashMap doubles its table when it holds more than three quarters of
 * that number, a ConcurrentHashMap already when it holds as many. */
#include "base/java_order.h"

#include <gantry/error.h>

#include <stdlib.h>

/* Decode one character at *@p text, which does not end, and step over it. Malformed bytes give
 * U+FFFD one by one. */
static uint32_t next_character(const unsigned char **text)
{
    const unsigned char *p = *text;
    int more = p[0] < 0x80 ? 0 : p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
    uint32_t c = p[0] < 0x80 ? p[0] : p[0] & (0x3fu >> more);
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    *text = p + 1;
    if (p[0] >= 0x80 && (p[0] < 0xc2 || p[0] > 0xf4))
        return 0xfffd;
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) /* the NUL at the end stops it, too */
            return 0xfffd;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0xfffd;
    *text = p + 1 + more;
    return c;
}

uint32_t gt_java_hash(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    uint32_t hash = 0;

    while (*p != '\0') {
        uint32_t c = next_character(&p);
        if (c >= 0x10000) {
            c -= 0x10000;
            hash = hash * 31 + (0xd800 + (c >> 10));
            c = 0xdc00 + (c & 0x3ff);
        }
        hash = hash * 31 + c;
    }
    return hash;
}

int gt_java_compare(const char *a, const char *b)
{
    const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;

    while (*p != '\0' && *p == *q) {
        p++;
        q++;
    }
    /* UTF-8 has the order of the characters' numbers; only what UTF-16 writes as surrogates (from
     * D800 on), that is four bytes from F0 on, comes before the rest of the three-byte ones. */
    if (*p >= 0xee && *q >= 0xee && (*p >= 0xf0) != (*q >= 0xf0))
        return *p >= 0xf0 ? -1 : 1;
    return *p < *q ? -1 : *p > *q;
}

struct entry {
    uint32_t bucket;
    size_t index;
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;

    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

int gt_java_order(enum gt_java_map map, const char *const *keys, size_t count, size_t *ret_order)
{
    size_t buckets = 16;
    struct entry *entries = calloc(count > 0 ? count : 1, sizeof *entries);

    if (entries == NULL)
        return GANTRY_NO_MEMORY;
    while (map == GT_JAVA_HASH_MAP ? count > buckets / 4 * 3 : count >= buckets / 4 * 3)
        buckets *= 2;
    for (size_t i = 0; i < count; i++) {
        uint32_t hash = gt_java_hash(keys[i]);
        entries[i].bucket = (hash ^ hash >> 16) & (uint32_t)(buckets - 1);
        entries[i].index = i;
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++)
        ret_order[i] = entries[i].index;
    free(entries);
    return 0;
}
