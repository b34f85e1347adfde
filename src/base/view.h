/* SPDX-License-Identifier: Apache-2.0 */
/** Views: borrowed bytes (struct gantry_view), and the parsing of numbers, sizes and durations out
 * of them. */
#ifndef GT_BASE_VIEW_H
#define GT_BASE_VIEW_H

#include <gantry/record.h>

/** printf arguments for "%.*s"; views longer than INT_MAX are cut. */
#define GT_VIEW_ARGS(view)                                                                         \
    (int)((view).len > 0x7fffffff ? 0x7fffffff : (view).len), ((view).data ? (view).data : "")

/** A view without blanks (space, tab, CR, LF) at both ends. */
struct gantry_view gt_view_trim(struct gantry_view view);

/** Parse a whole decimal number; the entire view must be the number. 0 or GANTRY_INVALID (also when
 * out of range). */
int gt_parse_int(struct gantry_view text, int64_t min, int64_t max, int64_t *ret);

/** Parse bytes: "64", "64k", "64KB", "64KiB", "1m", "2g" (1024-based). 0 or GANTRY_INVALID. */
int gt_parse_size(struct gantry_view text, int64_t min, int64_t max, int64_t *ret);

/** Parse a duration into milliseconds: "500", "500ms", "20s", "5m", "1h", "7d". 0 or
 * GANTRY_INVALID. */
int gt_parse_duration(struct gantry_view text, int64_t min, int64_t max, int64_t *ret_ms);

/** Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool gt_utf8_valid(struct gantry_view view);

/** The candidate nearest to @p word by edit distance, or NULL when none is near (more than a third
 * of its length). */
const char *gt_nearest(const char *word, const char *const *candidates, size_t count);

#endif
