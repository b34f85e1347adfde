/* SPDX-License-Identifier: Apache-2.0 */
/** Converters: record to message and back.
 *
 *  A converter has no state beyond its settings and works on whole batches; what it makes lives in
 * the arena given, or points into its input. Thread: any, one call per arena at a time. */
#ifndef GT_CONVERT_CONVERTER_H
#define GT_CONVERT_CONVERTER_H

#include "base/arena.h"
#include <gantry/connector.h>

/** A record as a topic holds it. Views. */
struct gt_message {
    struct gantry_view key;
    struct gantry_view body;
    struct gantry_view properties; /* encoded pairs, see gt_properties_* ; empty: none */
    int64_t timestamp_ms;
};

struct gt_converter {
    const char *const *names; /* NULL-terminated: short name first, then class names that mean it */
    /** Records to messages: @p out has room for @p count; out[i] belongs to records[i]. @p topic is
     * the target's name. 0 or GANTRY_NO_MEMORY, or GANTRY_INVALID with *ret_bad = index of the
     * record that cannot be converted. */
    int (*to_messages)(const struct gantry_record *records, size_t count, const char *topic,
                       struct gt_message *out, struct gt_arena *arena, size_t *ret_bad,
                       struct gantry_err *err);
    /** Messages to records: fills key, value, schema, headers, timestamp_ms of out[i]; leaves
     * topic, queue and offset. The same errors. */
    int (*to_records)(const struct gt_message *messages, size_t count, struct gantry_record *out,
                      struct gt_arena *arena, size_t *ret_bad, struct gantry_err *err);
};

/** By short or class name ("string", "bytes",
 * "org.apache.rocketmq.connect.runtime.converter.JsonConverter"); the empty name and NULL give
 * "string". NULL when unknown. */
const struct gt_converter *gt_converter_find(const char *name);
/** All short names, NULL-terminated, for messages. */
const char *const *gt_converter_names(void);

/** Encode headers as message properties: varint count, then per pair varint length + bytes of name
 * and of value. The view is in the arena; empty for no headers. */
int gt_properties_encode(const struct gantry_header *headers, size_t count, struct gt_arena *arena,
                         struct gantry_view *ret);
/** Decode; names and values point into @p properties. 0, GANTRY_CORRUPT or GANTRY_NO_MEMORY. */
int gt_properties_decode(struct gantry_view properties, struct gt_arena *arena,
                         const struct gantry_header **ret, uint32_t *ret_count);

#endif
