/* SPDX-License-Identifier: Apache-2.0 */
/** A connector's configuration against its table: aliases, types, ranges, defaults, all errors at
 * once.
 *
 *  Besides the connector's own keys every connector has those of the runtime (connector-class,
 * tasks.max, the topic keys, source-record-converter, ...): gt_common_source_defs /
 * gt_common_sink_defs. Keys that no table knows are kept (jars and later versions may know them)
 * and reported as warnings with the nearest known name. Thread: any. */
#ifndef GT_PLUGIN_CONFIG_CHECK_H
#define GT_PLUGIN_CONFIG_CHECK_H

#include "base/arena.h"
#include "base/map.h"
#include <gantry/connector.h>

/** One thing to tell the user. */
struct gt_finding {
    char *key;    /* canonical key, "" for the whole */
    char *text;   /* "filename: required; give the file to read" : key, value, expectation */
    bool missing; /* a required key is absent */
    bool warning; /* does not stop the connector */
};

struct gt_findings {
    struct gantry_findings api; /* for connectors' validate(): first member */
    struct gt_finding *items;   /* owned */
    size_t count, cap;
    bool no_memory;
};

void gt_findings_init(struct gt_findings *findings);
void gt_findings_deinit(struct gt_findings *findings);
void gt_findings_add(struct gt_findings *findings, const char *key, bool missing, bool warning,
                     const char *text);
/** How many are not warnings. */
size_t gt_findings_errors(const struct gt_findings *findings);
/** All errors in one line, "; " between, cut to the err's size; code GANTRY_INVALID. */
void gt_findings_to_err(const struct gt_findings *findings, struct gantry_err *err);

/** Keys that the runtime itself understands for each kind: canonical connector.class, tasks.max
 * (1..1024, default 1), source-record-converter, isolation, plugin.prefer, and for sources `topic`
 * (connect.topicname), for sinks `topicNames` (connect.topicnames, topics). The topics are
 * required; a source that names a topic in each record declares `topic` itself, without the flag.
 */
const struct gantry_config_def *gt_common_defs(enum gantry_kind kind, size_t *ret_count);

/** RocketMQ's rule for topic names: 1 to 127 of a-z A-Z 0-9 % | _ -. 0 or GANTRY_INVALID with the
 * reason. */
int gt_topic_name_check(const char *name, struct gantry_err *err);

/** Check one value against its definition (type, range, choices, emptiness). *ret is the normalised
 * value: sizes in bytes, durations in milliseconds, lists without blanks; it is @p value itself or
 * in @p arena. 0, GANTRY_NO_MEMORY, or GANTRY_INVALID with the sentence "KEY: 'VALUE' is not ...",
 * in which a password's value is ***. */
int gt_config_check_value(const struct gantry_config_def *def, const char *value,
                          struct gt_arena *arena, const char **ret, struct gantry_err *err);

/** Find a definition by name or alias in the two tables; the connector's own comes first. NULL when
 * unknown.
 *  @p connector may be NULL: only the runtime's keys of both kinds are known. */
const struct gantry_config_def *gt_config_def_find(const struct gantry_connector *connector,
                                                   const char *key);

/** The value that a user gave for the canonical key, under any of its spellings; NULL when absent.
 * @p connector may be NULL: only the runtime's keys of both kinds are known. */
const char *gt_config_value(const struct gantry_connector *connector, const struct gt_props *props,
                            const char *key);

/** Check @p props against both tables. Findings are added to @p findings. On success (no errors)
 * *ret (in @p arena) has canonical keys, normalised values, and defaults. Two spellings of one key
 * with different values are an error. Returns 0, GANTRY_INVALID (see findings) or GANTRY_NO_MEMORY.
 */
int gt_config_check(const struct gantry_connector *connector, const struct gt_props *props,
                    struct gt_findings *findings, struct gt_arena *arena,
                    struct gantry_config *ret);

#endif
