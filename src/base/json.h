/* SPDX-License-Identifier: Apache-2.0 */
/** JSON text: escaping for what we write, and flat objects of texts for what we store. General JSON
 * is read by jansson. */
#ifndef GT_BASE_JSON_H
#define GT_BASE_JSON_H

#include "base/buf.h"
#include "base/map.h"

/** Append a JSON string with quotes, the way of fastjson 1.2 to the byte: escapes `"` `\` and
 * control characters (\b \t \n \f \r, others, DEL, U+0080..U+009F, U+2028 and U+2029 as \uXXXX with
 * capital digits); everything else, also `/` and non-ASCII, is written as it is. */
int gt_json_add_string(struct gt_buf *buf, struct gantry_view text);

/** Append {"k":"v",...} in the order of @p props. */
int gt_json_add_props(struct gt_buf *buf, const struct gt_props *props);

/** Parse a flat object. Text values as they are; numbers, booleans and nested values become text:
 * compact JSON, numbers as they were written. Duplicate keys and null values are errors. Depth at
 * most 32. 0 or GANTRY_INVALID with line, column and reason. */
int gt_json_parse_props(struct gt_props *props, struct gantry_view text, struct gantry_err *err);

#endif
