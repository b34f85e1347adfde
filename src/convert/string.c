/* SPDX-License-Identifier: Apache-2.0 */
/* The default converter: a record's value is a message's body, byte for byte. Nothing is copied but
 * headers. */
#include "base/clock.h"
#include "convert/converters.h"

static int to_messages(const struct gantry_record *records, size_t count, const char *topic,
                       struct gt_message *out, struct gt_arena *arena, size_t *ret_bad,
                       struct gantry_err *err)
{
    int64_t now = 0;

    (void)topic;
    (void)ret_bad;
    for (size_t i = 0; i < count; i++) {
        const struct gantry_record *record = &records[i];
        if (record->timestamp_ms == 0 && now == 0)
            now = gt_clock_wall_ms();
        out[i].key = record->key;
        out[i].body = record->value;
        out[i].properties = (struct gantry_view){NULL, 0};
        out[i].timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : now;
        if (record->header_count > 0 && gt_properties_encode(record->headers, record->header_count,
                                                             arena, &out[i].properties) != 0)
            return gantry_err_set(err, GANTRY_NO_MEMORY,
                                  "cannot convert a batch of records: out of memory");
    }
    return GANTRY_OK;
}

static int to_records(const struct gt_message *messages, size_t count, struct gantry_record *out,
                      struct gt_arena *arena, size_t *ret_bad, struct gantry_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct gt_message *message = &messages[i];
        out[i].key = message->key;
        out[i].value = message->body;
        out[i].schema = NULL;
        out[i].headers = NULL;
        out[i].header_count = 0;
        out[i].timestamp_ms = message->timestamp_ms;
        if (message->properties.len == 0)
            continue;
        int rc =
            gt_properties_decode(message->properties, arena, &out[i].headers, &out[i].header_count);
        if (rc == GANTRY_NO_MEMORY)
            return gantry_err_set(err, rc, "cannot convert a batch of messages: out of memory");
        if (rc != 0) {
            *ret_bad = i;
            return gantry_err_set(err, GANTRY_INVALID,
                                  "the properties of the message are damaged (%zu bytes)",
                                  message->properties.len);
        }
    }
    return GANTRY_OK;
}

static const char *const string_names[] = {
    "string",
    "org.apache.rocketmq.connect.runtime.converter.record.StringConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    NULL,
};

static const char *const bytes_names[] = {
    "bytes",
    "org.apache.rocketmq.connect.runtime.converter.record.ByteArrayConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    NULL,
};

const struct gt_converter gt_converter_string = {string_names, to_messages, to_records};
const struct gt_converter gt_converter_bytes = {bytes_names, to_messages, to_records};
