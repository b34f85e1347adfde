/* SPDX-License-Identifier: Apache-2.0 */
/** A hash map from byte strings to pointers, and ordered string pairs (gt_props). Keys are copied.
 * One thread at a time. */
#ifndef GT_BASE_MAP_H
#define GT_BASE_MAP_H

#include "base/view.h"

struct gt_map_slot;

struct gt_map {
    struct gt_map_slot *slots; /* owned */
    size_t count, cap;
    size_t used; /* slots that hold an item or the mark of a removed one */
};

void gt_map_init(struct gt_map *map);
/** Frees keys and slots, not what the values point to. */
void gt_map_deinit(struct gt_map *map);
/** The value, or NULL. */
void *gt_map_get(const struct gt_map *map, struct gantry_view key);
/** Put or replace; @p ret_old (may be NULL) gets the former value or NULL. @p value is not NULL. 0
 * or GANTRY_NO_MEMORY. */
int gt_map_put(struct gt_map *map, struct gantry_view key, void *value, void **ret_old);
/** Remove and return the value, or NULL when absent. */
void *gt_map_remove(struct gt_map *map, struct gantry_view key);
/** Walk: start with *cursor = 0; false at the end. No put during a walk; removing the item just
 * seen is allowed. Order is unspecified. */
bool gt_map_next(const struct gt_map *map, size_t *cursor, struct gantry_view *ret_key,
                 void **ret_value);

/** One key and value, NUL-terminated texts owned by the gt_props. */
struct gt_prop {
    char *key;
    char *value;
};

/** Pairs in the order in which they were set: a connector's configuration, a properties file. */
struct gt_props {
    struct gt_prop *items; /* owned */
    size_t count, cap;
};

void gt_props_init(struct gt_props *props);
void gt_props_deinit(struct gt_props *props);
/** Set or replace (a replaced key keeps its place). 0 or GANTRY_NO_MEMORY. */
int gt_props_set(struct gt_props *props, const char *key, const char *value);
/** The same without a look whether the key is there: for a parser that knows it is not. */
int gt_props_append(struct gt_props *props, struct gantry_view key, struct gantry_view value);
int gt_props_set_views(struct gt_props *props, struct gantry_view key, struct gantry_view value);
/** The value or NULL. Linear. */
const char *gt_props_get(const struct gt_props *props, const char *key);
bool gt_props_remove(struct gt_props *props, const char *key);
int gt_props_copy(struct gt_props *to,
                  const struct gt_props *from); /* @p to is initialised and is emptied first */
/** Same keys and values in any order; @p ignore (may be NULL) is one key left out of the
 * comparison. */
bool gt_props_equal(const struct gt_props *a, const struct gt_props *b, const char *ignore);

/** Parse a Java properties text (comments # !, separators = : blank, escapes, continuation lines,
 * \uXXXX; UTF-8). The last of duplicate keys wins. 0 or GANTRY_INVALID with the line number,
 * GANTRY_NO_MEMORY. */
int gt_props_parse(struct gt_props *props, struct gantry_view text, struct gantry_err *err);

#endif
