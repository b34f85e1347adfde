/* SPDX-License-Identifier: Apache-2.0 */
/* The JsonConverter of the Java worker of 2019. A message's body is one JSON object, members
 * sorted, nulls left out:
 *
 *   {"entryType":"CREATE","payload":["WyJmaXJzdCBsaW5lIl0="],"queueName":TOPIC,
 *    "schema":{...},"shardingKey":KEY,"timestamp":MS}
 *
 * The one element of `payload` is base64 of the JSON array of the record's fields, here ["first
 * line"]. Byte fields are base64 texts in that array. A record whose schema is not one STRING or
 * BYTES field has the array itself in its value.
 *
 * The Java worker knew no headers. Ours travel as message properties beside the body, where it does
 * not look; the record's key is the message's key besides being the `shardingKey`. */
#include "base/clock.h"
#include "base/json.h"
#include "convert/converters.h"

#define SHORTEST(len) ((int)((len) > 60 ? 60 : (len))) /* how much of a body an error shows */

/* Take the bytes of @p buf into the arena. */
static int take(struct gt_buf *buf, struct gt_arena *arena, struct gantry_view *ret)
{
    if (buf->error != 0)
        return GANTRY_NO_MEMORY;
    char *copy = gt_arena_copy(arena, gt_buf_view(buf));
    if (copy == NULL)
        return GANTRY_NO_MEMORY;
    *ret = (struct gantry_view){copy, buf->len};
    return GANTRY_OK;
}

/* Whether @p text is a JSON array. */
static bool is_array(struct gantry_view text)
{
    json_t *json = text.len > 0 ? json_loadb(text.data, text.len,
                                             JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL)
                                : NULL;
    bool array = json_is_array(json);
    json_decref(json);
    return array;
}

/* The record's fields as a JSON array. */
static int add_payload(struct gt_buf *payload, const struct gantry_record *record,
                       struct gantry_err *err)
{
    gt_buf_clear(payload);
    if (!gt_schema2019_is_plain(record->schema)) {
        if (!is_array(record->value))
            return gantry_err_set(
                err, GANTRY_INVALID,
                "JsonConverter: a record of %zu fields must be a JSON array, got '%.*s'",
                record->schema->field_count, SHORTEST(record->value.len),
                record->value.len > 0 ? record->value.data : "");
        (void)gt_buf_add_view(payload, record->value); /* errors stick until take() */
        return GANTRY_OK;
    }
    bool text = record->schema != NULL && record->schema->fields[0].type == GANTRY_TYPE_STRING;
    if (text && !gt_utf8_valid(record->value))
        return gantry_err_set(
            err, GANTRY_INVALID,
            "JsonConverter: the value (%zu bytes) is not UTF-8 text; use the converter 'string', "
            "which takes any bytes",
            record->value.len);
    (void)gt_buf_add_char(payload, '[');
    if (text) {
        (void)gt_json_add_string(payload, record->value);
    } else {
        (void)gt_buf_add_char(payload, '"');
        (void)gt_base64_add(payload, record->value);
        (void)gt_buf_add_char(payload, '"');
    }
    (void)gt_buf_add_char(payload, ']');
    return GANTRY_OK;
}

static void add_entry(struct gt_buf *body, const struct gt_buf *payload,
                      const struct gantry_record *record, const char *topic, int64_t timestamp_ms)
{
    gt_buf_clear(body);
    (void)gt_buf_add_str(body, "{\"entryType\":"); /* errors stick until take() */
    (void)gt_json_add_string(body, gt_entry_type_of(record));
    (void)gt_buf_add_str(body, ",\"payload\":[\"");
    (void)gt_base64_add(body, gt_buf_view(payload));
    (void)gt_buf_add_str(body, "\"],\"queueName\":");
    (void)gt_json_add_string(body, gantry_view_of(topic));
    (void)gt_buf_add_str(body, ",\"schema\":");
    (void)gt_schema2019_add(body, record->schema, topic);
    if (record->key.len > 0) {
        (void)gt_buf_add_str(body, ",\"shardingKey\":");
        (void)gt_json_add_string(body, record->key);
    }
    (void)gt_buf_addf(body, ",\"timestamp\":%lld}", (long long)timestamp_ms);
}

struct gantry_view gt_entry_type_of(const struct gantry_record *record)
{
    const struct gantry_header *header =
        gt_header_find(record->headers, record->header_count, GT_PROPERTY_ENTRY);
    return header != NULL ? header->value : gantry_view_of("CREATE");
}

const struct gantry_header *gt_header_find(const struct gantry_header *headers, uint32_t count,
                                           const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (gantry_view_equal(headers[i].name, gantry_view_of(name)))
            return &headers[i];
    }
    return NULL;
}

static int to_message(const struct gantry_record *record, const char *topic, struct gt_message *out,
                      struct gt_buf *payload, struct gt_buf *body, struct gt_arena *arena,
                      struct gantry_err *err)
{
    if (!gt_utf8_valid(record->key) || !gt_utf8_valid(gt_entry_type_of(record)))
        return gantry_err_set(err, GANTRY_INVALID,
                              "JsonConverter: the key (%zu bytes) is not UTF-8 text",
                              record->key.len);
    int rc = add_payload(payload, record, err);
    if (rc != 0)
        return rc;
    out->timestamp_ms = record->timestamp_ms != 0 ? record->timestamp_ms : gt_clock_wall_ms();
    add_entry(body, payload, record, topic, out->timestamp_ms);
    out->key = record->key;
    if (payload->error != 0 || take(body, arena, &out->body) != 0 ||
        gt_properties_encode(record->headers, record->header_count, arena, &out->properties) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "JsonConverter: out of memory");
    return GANTRY_OK;
}

static int to_messages(const struct gantry_record *records, size_t count, const char *topic,
                       struct gt_message *out, struct gt_arena *arena, size_t *ret_bad,
                       struct gantry_err *err)
{
    struct gt_buf payload, body;
    int rc = GANTRY_OK;

    gt_buf_init(&payload, SIZE_MAX / 8);
    gt_buf_init(&body, SIZE_MAX / 8);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const char *target = records[i].topic != NULL ? records[i].topic : topic;
        rc = to_message(&records[i], target, &out[i], &payload, &body, arena, err);
        if (rc != 0)
            *ret_bad = i;
    }
    gt_buf_deinit(&payload);
    gt_buf_deinit(&body);
    return rc;
}

/* A view of a jansson string, copied into the arena. */
static int copy_string(const json_t *json, struct gt_arena *arena, struct gantry_view *ret)
{
    struct gantry_view view = {json_string_value(json), json_string_length(json)};
    view.data = gt_arena_copy(arena, view);
    if (view.data == NULL)
        return GANTRY_NO_MEMORY;
    *ret = view;
    return GANTRY_OK;
}

/* The bare value of a one-field record out of its array. */
static int read_plain(const json_t *array, struct gantry_view text, enum gantry_type type,
                      struct gt_arena *arena, struct gantry_view *ret)
{
    const json_t *field = json_array_get(array, 0);

    if (json_array_size(array) != 1)
        return GANTRY_INVALID;
    if (json_is_null(field)) {
        *ret = (struct gantry_view){NULL, 0};
        return GANTRY_OK;
    }
    if (json_is_string(field)) {
        if (type == GANTRY_TYPE_BYTES)
            return gt_base64_decode(
                (struct gantry_view){json_string_value(field), json_string_length(field)}, arena,
                ret);
        return copy_string(field, arena, ret);
    }
    /* a number or a nested value in a text field: as it is written, without the brackets of the
     * array */
    text = gt_view_trim(text);
    *ret = gt_view_trim((struct gantry_view){text.data + 1, text.len - 2});
    return type == GANTRY_TYPE_STRING ? GANTRY_OK : GANTRY_INVALID;
}

static int read_payload(const json_t *entry, struct gantry_record *out, struct gt_arena *arena,
                        struct gantry_err *err)
{
    const json_t *list = json_object_get(entry, "payload");
    const json_t *wrapped = json_array_get(list, 0);
    struct gantry_view text = {NULL, 0};

    if (json_array_size(list) != 1 || !json_is_string(wrapped))
        return gantry_err_set(err, GANTRY_INVALID,
                              "JsonConverter: the entry's payload is not one base64 text");
    int rc = gt_base64_decode(
        (struct gantry_view){json_string_value(wrapped), json_string_length(wrapped)}, arena,
        &text);
    if (rc == 0) {
        json_t *array = json_loadb(text.len > 0 ? text.data : "", text.len,
                                   JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
        if (!json_is_array(array))
            rc = GANTRY_INVALID;
        else if (gt_schema2019_is_plain(out->schema))
            rc = read_plain(array, text, out->schema->fields[0].type, arena, &out->value);
        else if (json_array_size(array) != out->schema->field_count)
            rc = GANTRY_INVALID;
        else
            out->value = text;
        json_decref(array);
    }
    if (rc == GANTRY_INVALID)
        return gantry_err_set(err, rc,
                              "JsonConverter: the entry's payload '%.60s' is not base64 of a JSON "
                              "array of its %zu fields",
                              json_string_value(wrapped), out->schema->field_count);
    if (rc != 0)
        return gantry_err_set(err, rc, "JsonConverter: out of memory");
    return GANTRY_OK;
}

/* Headers are the message's properties and, where the body alone says it, the entry type. */
static int read_headers(const json_t *entry, struct gantry_view properties,
                        struct gantry_record *out, struct gt_arena *arena, struct gantry_err *err)
{
    const json_t *type = json_object_get(entry, "entryType");
    int rc = gt_properties_decode(properties, arena, &out->headers, &out->header_count);
    if (rc == GANTRY_CORRUPT)
        return gantry_err_set(err, GANTRY_INVALID,
                              "the properties of the message are damaged (%zu bytes)",
                              properties.len);
    if (rc == 0 && json_is_string(type) && strcmp(json_string_value(type), "CREATE") != 0 &&
        gt_header_find(out->headers, out->header_count, GT_PROPERTY_ENTRY) == NULL) {
        struct gantry_header *headers =
            gt_arena_alloc(arena, (out->header_count + (size_t)1) * sizeof *headers);
        rc = GANTRY_NO_MEMORY;
        if (headers != NULL) {
            if (out->header_count > 0)
                memcpy(headers, out->headers, out->header_count * sizeof *headers);
            headers[out->header_count].name = gantry_view_of(GT_PROPERTY_ENTRY);
            rc = copy_string(type, arena, &headers[out->header_count].value);
            out->headers = headers;
            out->header_count++;
        }
    }
    return rc == 0 ? GANTRY_OK : gantry_err_set(err, rc, "JsonConverter: out of memory");
}

static int read_entry(const json_t *entry, const struct gt_message *message,
                      struct gantry_record *out, struct gt_arena *arena, struct gantry_err *err)
{
    const json_t *key = json_object_get(entry, "shardingKey");
    const json_t *timestamp = json_object_get(entry, "timestamp");

    int rc = gt_schema2019_parse(json_object_get(entry, "schema"), arena, &out->schema, err);
    if (rc == 0)
        rc = read_payload(entry, out, arena, err);
    if (rc == 0)
        rc = read_headers(entry, message->properties, out, arena, err);
    if (rc != 0)
        return rc;
    out->timestamp_ms =
        json_is_integer(timestamp) ? json_integer_value(timestamp) : message->timestamp_ms;
    out->key = message->key;
    if (json_is_string(key) && copy_string(key, arena, &out->key) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "JsonConverter: out of memory");
    return GANTRY_OK;
}

static int to_records(const struct gt_message *messages, size_t count, struct gantry_record *out,
                      struct gt_arena *arena, size_t *ret_bad, struct gantry_err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct gantry_view body = messages[i].body;
        json_error_t error;
        json_t *entry = json_loadb(body.len > 0 ? body.data : "", body.len, JSON_ALLOW_NUL, &error);
        int rc;
        if (json_is_object(entry))
            rc = read_entry(entry, &messages[i], &out[i], arena, err);
        else
            rc = gantry_err_set(err, GANTRY_INVALID,
                                "JsonConverter: the message '%.*s' is no JSON entry (%s); it was "
                                "written with another "
                                "converter",
                                SHORTEST(body.len), body.len > 0 ? body.data : "",
                                entry == NULL ? error.text : "not an object");
        json_decref(entry);
        if (rc != 0) {
            *ret_bad = i;
            return rc;
        }
    }
    return GANTRY_OK;
}

static const char *const names[] = {
    "json2019",
    "org.apache.rocketmq.connect.runtime.converter.JsonConverter",
    NULL,
};

const struct gt_converter gt_converter_json2019 = {names, to_messages, to_records};
