/* SPDX-License-Identifier: Apache-2.0 */
/** The order in which the Java worker of 2019 wrote its maps: that of java.util.HashMap and
 * ConcurrentHashMap. Thread: any. */
#ifndef GT_BASE_JAVA_ORDER_H
#define GT_BASE_JAVA_ORDER_H

#include <stddef.h>
#include <stdint.h>

enum gt_java_map {
    GT_JAVA_HASH_MAP,       /* names of connectors, nested objects */
    GT_JAVA_CONCURRENT_MAP, /* properties */
};

/** String.hashCode of UTF-8 text, counted in UTF-16 units; a byte that is not UTF-8 counts as
 * U+FFFD. */
uint32_t gt_java_hash(const char *text);

/** String.compareTo of UTF-8 texts: below, at or above 0. By UTF-16 units, so that characters
 * beyond U+FFFF stand before U+E000. */
int gt_java_compare(const char *a, const char *b);

/** Fill ret_order[0..count) with indexes of @p keys in the map's order; equal buckets keep the
 * given order. 0 or GANTRY_NO_MEMORY. */
int gt_java_order(enum gt_java_map map, const char *const *keys, size_t count, size_t *ret_order);

#endif
