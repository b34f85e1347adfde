/* SPDX-License-Identifier: Apache-2.0 */
/** JSON as the Java worker's parser of 2019 (fastjson 1.2) took it, for the dialect code-2019.
 * Thread: any. */
#ifndef GT_REST_LENIENT_JSON_H
#define GT_REST_LENIENT_JSON_H

#include "base/buf.h"
#include "base/map.h"

/** Parse one object. On top of JSON: single quotes, bare keys and number keys, commas too many,
 * comments, further escapes
 *  (\', \v, \xHH, \0 to \7), control characters in strings. Values become text the way Java's
 * toString gives it: numbers anew (1e3 is 1E+3), nested values as compact JSON, their keys in
 * Java's order and without nulls. The last of duplicate keys wins. Depth at most 32. 0;
 * GANTRY_INVALID with place and reason: not such an object, a null value, a NUL in a string;
 * GANTRY_NO_MEMORY. */
int gt_lenient_json_parse(struct gt_props *props, struct gantry_view text, struct gantry_err *err);

#endif
