/* SPDX-License-Identifier: Apache-2.0 */
/* The RocketMQConverter of the Java worker of 2019: the body is the value as text, and what else an
 * entry has goes into properties: connect-topicname, connect-entrytype, connect-timestamp,
 * connect-schema, connect-shardingkey. The two that held the source's partition and position (the
 * second by a typo the partition once more) were never read again by anything and are not written.
 *
 * Reading is kinder than it was: a message without these properties, as any producer writes it, is
 * a record of bytes. */
#include "base/clock.h"
#include "convert/converters.h"
#include <stdio.h>

enum { OWN_PROPERTIES = 5 };

static int encode(const struct gantry_record *record, const char *topic, struct gt_buf *schema,
                  struct gt_message *out, struct gt_arena *arena)
{
    char timestamp[32];
    struct gantry_header *headers =
        gt_arena_alloc(arena, (record->header_count + (size_t)OWN_PROPERTIES) * sizeof *headers);
    size_t count = 0;

    gt_buf_clear(schema);
    if (headers == NULL || gt_schema2019_add(schema, record->schema, topic) != 0)
        return GANTRY_NO_MEMORY;
    for (uint32_t i = 0; i < record->header_count; i++) {
        if (!gantry_view_equal(record->headers[i].name, gantry_view_of(GT_PROPERTY_ENTRY)))
            headers[count++] = record->headers[i];
    }
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)out->timestamp_ms); /* fits */
    headers[count++] =
        (struct gantry_header){gantry_view_of(GT_PROPERTY_ENTRY), gt_entry_type_of(record)};
    if (record->schema != NULL)
        headers[count++] =
            (struct gantry_header){gantry_view_of(GT_PROPERTY_SCHEMA), gt_buf_view(schema)};
    if (record->key.len > 0)
        headers[count++] = (struct gantry_header){gantry_view_of(GT_PROPERTY_KEY), record->key};
    headers[count++] =
        (struct gantry_header){gantry_view_of(GT_PROPERTY_TIMESTAMP), gantry_view_of(timestamp)};
    headers[count++] =
        (struct gantry_header){gantry_view_of(GT_PROPERTY_TOPIC), gantry_view_of(topic)};
    return gt_properties_encode(headers, count, arena, &out->properties);
}

static int to_messages(const struct gantry_record *records, size_t count, const char *topic,
                       struct gt_message *out, struct gt_arena *arena, size_t *ret_bad,
                       struct gantry_err *err)
{
    struct gt_buf schema;
    int rc = GANTRY_OK;

    gt_buf_init(&schema, SIZE_MAX / 8);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct gantry_record *record = &records[i];
        out[i].key = record->key;
        out[i].body = record->value;
        out[i].timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : gt_clock_wall_ms();
        if (encode(record, record->topic != NULL ? record->topic : topic, &schema, &out[i],
                   arena) != 0) {
            *ret_bad = i;
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "RocketMQConverter: out of memory");
        }
    }
    gt_buf_deinit(&schema);
    return rc;
}

static int read_schema(struct gantry_view text, struct gt_arena *arena, struct gantry_record *out,
                       struct gantry_err *err)
{
    json_error_t error;
    json_t *json = text.len > 0 ? json_loadb(text.data, text.len, 0, &error) : NULL;
    int rc =
        json_is_object(json)
            ? gt_schema2019_parse(json, arena, &out->schema, err)
            : gantry_err_set(err, GANTRY_INVALID,
                             "RocketMQConverter: the property " GT_PROPERTY_SCHEMA
                             " is no JSON object: '%.*s'",
                             (int)(text.len > 60 ? 60 : text.len), text.len > 0 ? text.data : "");
    json_decref(json);
    return rc;
}

/* Take our own properties out of the headers and into the record. */
static int read_own(struct gantry_header *headers, uint32_t count, struct gantry_record *out,
                    struct gt_arena *arena, struct gantry_err *err)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct gantry_view name = headers[i].name, value = headers[i].value;
        if (gantry_view_equal(name, gantry_view_of(GT_PROPERTY_KEY))) {
            out->key = value;
        } else if (gantry_view_equal(name, gantry_view_of(GT_PROPERTY_TIMESTAMP))) {
            if (gt_parse_int(value, INT64_MIN, INT64_MAX, &out->timestamp_ms) != 0)
                return gantry_err_set(err, GANTRY_INVALID,
                                      "RocketMQConverter: the property " GT_PROPERTY_TIMESTAMP
                                      " is no number of milliseconds: '%.*s'",
                                      (int)(value.len > 60 ? 60 : value.len),
                                      value.len > 0 ? value.data : "");
        } else if (gantry_view_equal(name, gantry_view_of(GT_PROPERTY_SCHEMA))) {
            int rc = read_schema(value, arena, out, err);
            if (rc != 0)
                return rc;
        } else if (!gantry_view_equal(name, gantry_view_of(GT_PROPERTY_TOPIC)) &&
                   !(gantry_view_equal(name, gantry_view_of(GT_PROPERTY_ENTRY)) &&
                     gantry_view_equal(value, gantry_view_of("CREATE")))) {
            headers[kept++] = headers[i];
        }
    }
    out->headers = kept > 0 ? headers : NULL;
    out->header_count = kept;
    return GANTRY_OK;
}

static int to_record(const struct gt_message *message, struct gantry_record *out,
                     struct gt_arena *arena, struct gantry_err *err)
{
    const struct gantry_header *headers;
    uint32_t count;

    out->key = message->key;
    out->value = message->body;
    out->schema = NULL;
    out->timestamp_ms = message->timestamp_ms;
    int rc = gt_properties_decode(message->properties, arena, &headers, &count);
    if (rc == GANTRY_CORRUPT)
        return gantry_err_set(err, GANTRY_INVALID,
                              "the properties of the message are damaged (%zu bytes)",
                              message->properties.len);
    struct gantry_header *copy = rc == 0 ? gt_arena_alloc(arena, count * sizeof *copy) : NULL;
    if (copy == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "RocketMQConverter: out of memory");
    if (count > 0)
        memcpy(copy, headers, count * sizeof *copy);
    return read_own(copy, count, out, arena, err);
}

static int to_records(const struct gt_message *messages, size_t count, struct gantry_record *out,
                      struct gt_arena *arena, size_t *ret_bad, struct gantry_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = to_record(&messages[i], &out[i], arena, err);
        if (rc != 0) {
            *ret_bad = i;
            return rc;
        }
    }
    return GANTRY_OK;
}

static const char *const names[] = {
    "rocketmq",
    "org.apache.rocketmq.connect.runtime.converter.RocketMQConverter",
    NULL,
};

const struct gt_converter gt_converter_rocketmq = {names, to_messages, to_records};
