/* SPDX-License-Identifier: Apache-2.0 */
/** A white-list: regular expressions, separated by commas, each of which must match a whole name.
 * They are Java's as far as names need them: what POSIX knows, and \d, \w, \s, (?:...). */
#ifndef REP_PATTERN_H
#define REP_PATTERN_H

#include <gantry/error.h>
#include <stdbool.h>

struct rep_patterns;

/** @p list: the key's value; NULL or empty: nothing matches. @p key begins the text of an error. 0,
 * GANTRY_INVALID, GANTRY_NO_MEMORY. Thread: any. */
int rep_patterns_new(const char *key, const char *list, struct rep_patterns **ret,
                     struct gantry_err *err);
void rep_patterns_free(struct rep_patterns *patterns);
/** Whether one of them matches. Names that RocketMQ keeps for itself never do; retry and
 * dead-letter topics only with a pattern that begins with %. Thread: any, one at a time. */
bool rep_patterns_topic(const struct rep_patterns *patterns, const char *topic);
/** The same for a consumer group. */
bool rep_patterns_group(const struct rep_patterns *patterns, const char *group);

#endif
