/* SPDX-License-Identifier: Apache-2.0 */
/** What the converters share among themselves. For this folder only; others find converters by name
 * (converter.h). */
#ifndef GT_CONVERT_CONVERTERS_H
#define GT_CONVERT_CONVERTERS_H

#include "base/buf.h"
#include "convert/converter.h"
#include <jansson.h>

/** Body = value, key = key, properties = headers. */
extern const struct gt_converter gt_converter_string;
/** The same under another name, for values that are not text. */
extern const struct gt_converter gt_converter_bytes;
/** The JSON entry of the Java worker of 2019 (its JsonConverter). */
extern const struct gt_converter gt_converter_json2019;
/** The Java worker's RocketMQConverter of 2019: body = value, the rest in connect-* properties. */
extern const struct gt_converter gt_converter_rocketmq;

/* Headers and properties that carry what a 2019 entry has besides its payload. */
#define GT_PROPERTY_TOPIC     "connect-topicname"
#define GT_PROPERTY_KEY       "connect-shardingkey"
#define GT_PROPERTY_ENTRY     "connect-entrytype"
#define GT_PROPERTY_TIMESTAMP "connect-timestamp"
#define GT_PROPERTY_SCHEMA    "connect-schema"

/** Append base64 with padding. */
int gt_base64_add(struct gt_buf *buf, struct gantry_view bytes);
/** Decode into @p arena. 0, GANTRY_INVALID (not base64) or GANTRY_NO_MEMORY. */
int gt_base64_decode(struct gantry_view text, struct gt_arena *arena, struct gantry_view *ret);

/** Append the 2019 JSON of a schema:
 * {"dataSource":..,"fields":[{"index":0,"name":..,"type":"STRING"}],"name":..}. NULL is the schema
 * of plain bytes: one BYTES field "value", named like @p topic. */
int gt_schema2019_add(struct gt_buf *buf, const struct gantry_schema *schema, const char *topic);
/** Read one; names are copied into @p arena. 0, GANTRY_INVALID or GANTRY_NO_MEMORY. */
int gt_schema2019_parse(const json_t *json, struct gt_arena *arena,
                        const struct gantry_schema **ret, struct gantry_err *err);
/** Whether records of this schema have the bare value of their one STRING or BYTES field in
 * `value`. Others have the JSON array of all their fields there. */
bool gt_schema2019_is_plain(const struct gantry_schema *schema);

/** An entry type other than CREATE travels as a header of this name. "CREATE" when there is none.
 */
struct gantry_view gt_entry_type_of(const struct gantry_record *record);
/** The header, or NULL. */
const struct gantry_header *gt_header_find(const struct gantry_header *headers, uint32_t count,
                                           const char *name);

#endif
