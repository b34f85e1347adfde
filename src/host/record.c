/* SPDX-License-Identifier: Apache-2.0 */
/* Records on the line. A value that is nil there is an empty one with the header GANTRY_HEADER_NULL
 * here, and a header whose value is nil is a GANTRY_HEADER_NULL_HEADER, so that both pass through
 * every converter, and through brokers, which drop what is empty. */
#include "host/record.h"

#include <stdlib.h>

enum {
    SCHEMA_MAX = 1 << 20,         /* bytes of an encoded schema */
    NUMBERS_MAX = 1 << 16,        /* of schemas that we hear of */
    HEADERS_MAX = 1 << 16,        /* of a record */
    SCHEMAS_BYTES_MAX = 64 << 20, /* of all schemas that we hear of on a channel */
};

/* --- Schemas out --- */

void gt_schemas_out_deinit(struct gt_schemas_out *schemas)
{
    for (size_t i = 0; i < GT_SCHEMA_NUMBERS; i++)
        free(schemas->sent[i].encoded);
    *schemas = (struct gt_schemas_out){.next = 0};
}

static void encode_schema(struct gt_buf *buf, const struct gantry_schema *schema)
{
    gt_mp_put_text(buf, schema->name);
    gt_mp_put_text(buf, schema->data_source);
    gt_mp_put_array(buf, (uint32_t)schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++) {
        gt_mp_put_array(buf, 2);
        gt_mp_put_text(buf, schema->fields[i].name);
        gt_mp_put_int(buf, schema->fields[i].type);
    }
}

static uint64_t hash_of(struct gantry_view bytes) /* FNV-1a */
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (uint8_t)bytes.data[i]) * 0x100000001b3u;
    return hash;
}

static int announce(uint32_t number, uint32_t channel, struct gantry_view encoded,
                    struct gt_frames *before)
{
    struct gt_buf buf;
    struct gt_frame *frames = NULL;
    gt_buf_init(&buf, SCHEMA_MAX + 64);
    gt_frame_begin(&buf, GT_FRAME_SCHEMA, channel, 6);
    gt_mp_put_int(&buf, number);
    (void)gt_buf_add_view(&buf, encoded); /* errors stick */
    int code = gt_frame_end(&buf, channel, &frames);
    for (struct gt_frame *next; frames != NULL; frames = next) {
        next = frames->next;
        gt_frames_add(before, frames);
    }
    return code;
}

/* The schema's number; GANTRY_AGAIN: all numbers are in use by this frame. */
static int number_of(struct gt_schemas_out *schemas, uint32_t channel,
                     const struct gantry_schema *schema, struct gt_frames *before)
{
    struct gt_buf buf;
    gt_buf_init(&buf, SCHEMA_MAX);
    encode_schema(&buf, schema);
    struct gantry_view encoded = gt_buf_view(&buf);
    uint64_t hash = hash_of(encoded);
    int code = buf.error, number = -1;
    for (int i = 0; i < GT_SCHEMA_NUMBERS && code == 0 && number < 0; i++) {
        const struct gt_schema_sent *sent = &schemas->sent[i];
        if (sent->encoded != NULL && sent->hash == hash &&
            gantry_view_equal(encoded, (struct gantry_view){sent->encoded, sent->len}))
            number = i;
    }
    if (code == 0 && number < 0) {
        struct gt_schema_sent *slot = &schemas->sent[schemas->next];
        if (slot->encoded != NULL && slot->frame == schemas->frame)
            code = GANTRY_AGAIN;
        else
            code = announce(schemas->next, channel, encoded, before);
        if (code == 0) {
            free(slot->encoded);
            *slot = (struct gt_schema_sent){.len = encoded.len, .hash = hash};
            slot->encoded = gt_buf_take(&buf);
            number = (int)schemas->next;
            schemas->next = (schemas->next + 1) % GT_SCHEMA_NUMBERS;
        }
    }
    gt_buf_deinit(&buf);
    if (code != 0)
        return code;
    schemas->sent[number].frame = schemas->frame;
    return number;
}

/* --- Records out --- */

static bool is_header(const struct gantry_header *header, const char *name)
{
    return gantry_view_equal(header->name, gantry_view_of(name));
}

static bool is_null(const struct gantry_record *record)
{
    if (record->value.len > 0)
        return false;
    for (uint32_t i = 0; i < record->header_count; i++) {
        if (is_header(&record->headers[i], GANTRY_HEADER_NULL))
            return true;
    }
    return false;
}

/* What stands for a value of nil is no header on the line. */
static bool is_sent(const struct gantry_header *header, bool null)
{
    return !null || !is_header(header, GANTRY_HEADER_NULL);
}

static int64_t credit_of(const struct gantry_record *record)
{
    bool null = is_null(record);
    size_t credit = record->value.len + record->key.len + GT_RECORD_CREDIT;
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct gantry_header *header = &record->headers[i];
        if (!is_sent(header, null))
            continue;
        if (!is_header(header, GANTRY_HEADER_NULL_HEADER)) /* whose value is the name */
            credit += header->name.len;
        credit += header->value.len + GT_HEADER_CREDIT;
    }
    return (int64_t)credit;
}

/* Bytes that the encoded record has at most. */
static size_t bound_of(const struct gantry_record *record, bool topics)
{
    size_t bound = 1 + record->value.len + record->key.len + 2 * GT_MP_HEAD_MAX +
                   2 * GT_MP_INT_MAX + GT_MP_HEAD_MAX;
    if (topics && record->topic != NULL)
        bound += strlen(record->topic) + GT_MP_HEAD_MAX;
    for (uint32_t i = 0; i < record->header_count; i++)
        bound +=
            record->headers[i].name.len + record->headers[i].value.len + 1 + 2 * GT_MP_HEAD_MAX;
    return bound;
}

static uint8_t *set_headers(uint8_t *out, const struct gantry_record *record, bool null)
{
    uint32_t count = record->header_count;
    for (uint32_t i = 0; i < record->header_count; i++)
        count -= !is_sent(&record->headers[i], null);
    out = gt_mp_set_array(out, count);
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct gantry_header *header = &record->headers[i];
        if (!is_sent(header, null))
            continue;
        bool no_value = is_header(header, GANTRY_HEADER_NULL_HEADER);
        out = gt_mp_set_array(out, 2);
        out = gt_mp_set_bytes(out, no_value ? header->value : header->name);
        out = no_value ? gt_mp_set_nil(out) : gt_mp_set_bytes(out, header->value);
    }
    return out;
}

/* Items at the end that are nil are left out. */
static uint8_t *set_record(uint8_t *out, const struct gantry_record *record, bool topics,
                           int schema, bool null)
{
    const char *topic = topics ? record->topic : NULL;
    uint32_t items = record->header_count > (null ? 1u : 0u) ? 6
                     : schema >= 0                           ? 5
                     : topic != NULL                         ? 4
                     : record->timestamp_ms != 0             ? 3
                     : record->key.len > 0                   ? 2
                                                             : 1;
    out = gt_mp_set_array(out, items);
    out = null ? gt_mp_set_nil(out) : gt_mp_set_bytes(out, record->value);
    if (items >= 2)
        out = record->key.len > 0 ? gt_mp_set_bytes(out, record->key) : gt_mp_set_nil(out);
    if (items >= 3)
        out = record->timestamp_ms != 0 ? gt_mp_set_int(out, record->timestamp_ms)
                                        : gt_mp_set_nil(out);
    if (items >= 4)
        out = topic != NULL ? gt_mp_set_text(out, gantry_view_of(topic)) : gt_mp_set_nil(out);
    if (items >= 5)
        out = schema >= 0 ? gt_mp_set_int(out, schema) : gt_mp_set_nil(out);
    return items >= 6 ? set_headers(out, record, null) : out;
}

/* How many records one frame takes, and what they count. */
static size_t frame_load(const struct gantry_record *records, size_t count, bool topics,
                         int64_t *ret_credit, size_t *ret_bound)
{
    size_t taken = 0, bound = 0;
    int64_t credit = 0;
    for (; taken < count && taken < GT_FRAME_RECORD_COUNT; taken++) {
        int64_t more = credit_of(&records[taken]);
        if (taken > 0 && credit + more > GT_FRAME_RECORD_BYTES)
            break;
        credit += more;
        bound += bound_of(&records[taken], topics);
    }
    *ret_credit = credit;
    *ret_bound = bound;
    return taken;
}

int gt_records_put(struct gt_buf *buf, struct gt_schemas_out *schemas, uint32_t channel,
                   const struct gantry_record *records, size_t count, bool topics,
                   struct gt_frames *before, int64_t *ret_credit)
{
    size_t bound;
    int64_t credit;
    size_t most = frame_load(records, count, topics, &credit, &bound);
    if (bound > UINT32_MAX)
        return GANTRY_TOO_LARGE;
    if (gt_frame_reserve(buf, bound + GT_MP_HEAD_MAX) != 0)
        return buf->error;
    uint8_t *start = (uint8_t *)buf->data + buf->len;
    /* The array's length comes last: schemas may end it early. */
    uint8_t *out = start + GT_MP_HEAD_MAX;
    const struct gantry_schema *last = NULL;
    int number = -1;
    size_t done = 0;
    if (schemas != NULL)
        schemas->frame++;
    for (; done < most; done++) {
        const struct gantry_record *record = &records[done];
        if (record->schema != last) {
            int code =
                record->schema != NULL ? number_of(schemas, channel, record->schema, before) : -1;
            if (code == GANTRY_AGAIN && record->schema != NULL)
                break;
            if (code < 0 && record->schema != NULL)
                return code;
            number = code;
            last = record->schema;
        }
        out = set_record(out, record, topics, number, is_null(record));
    }
    for (size_t i = done; i < most; i++)
        credit -= credit_of(&records[i]);
    *start = 0xdd; /* an array in its longest form */
    for (int i = 0; i < 4; i++)
        start[1 + i] = (uint8_t)(done >> (8 * (3 - i)));
    buf->len += (size_t)(out - start);
    *ret_credit = credit;
    return (int)done;
}

/* --- Schemas in --- */

static void forget(struct gantry_schema **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void gt_schemas_in_forget(struct gt_schemas_in *schemas)
{
    forget(schemas->old, schemas->old_count);
    schemas->old = NULL;
    schemas->old_count = 0;
    schemas->bytes -= schemas->old_bytes;
    schemas->old_bytes = 0;
}

void gt_schemas_in_deinit(struct gt_schemas_in *schemas)
{
    gt_schemas_in_forget(schemas);
    forget(schemas->known, schemas->count);
    *schemas = (struct gt_schemas_in){.count = 0};
}

static char *keep_text(char **memory, struct gantry_view view)
{
    char *text = *memory;
    if (view.data == NULL)
        return NULL;
    memcpy(text, view.data, view.len);
    text[view.len] = '\0';
    *memory += view.len + 1;
    return text;
}

/* A schema that we have heard of. */
struct kept {
    struct gantry_schema api; /* first */
    size_t size;              /* of all of it */
};

static size_t size_of(const struct gantry_schema *schema)
{
    return ((const struct kept *)schema)->size;
}

/* One piece of memory: the schema, its fields, its texts. No text is longer than the frame. */
static struct gantry_schema *read_schema(struct gt_frame_head *head, size_t room)
{
    struct gantry_view name = gt_mp_item_bytes(&head->items);
    struct gantry_view source = gt_mp_item_bytes(&head->items);
    uint32_t count = gt_mp_item_array(&head->items);
    size_t texts =
        (size_t)(head->mp.end - head->mp.pos) + name.len + source.len + 3 + (size_t)count;
    size_t size = sizeof(struct kept) + count * sizeof(struct gantry_field) + texts;
    head->mp.bad = head->mp.bad || size > room;
    struct kept *kept = gt_mp_ok(&head->mp) ? malloc(size) : NULL;
    if (kept == NULL)
        return NULL;
    kept->size = size;
    struct gantry_schema *schema = &kept->api;
    struct gantry_field *fields = (struct gantry_field *)(kept + 1);
    char *memory = (char *)(fields + count);
    *schema = (struct gantry_schema){.struct_size = sizeof *schema,
                                     .name = keep_text(&memory, name),
                                     .data_source = keep_text(&memory, source),
                                     .field_count = count,
                                     .fields = fields};
    for (uint32_t i = 0; i < count; i++) {
        struct gt_mp_items pair = gt_mp_items(&head->mp);
        struct gantry_view field = gt_mp_item_bytes(&pair);
        int64_t type = gt_mp_item_int(&pair, -1);
        gt_mp_items_end(&pair);
        if (field.data == NULL || type < 0 || type > GANTRY_TYPE_DATETIME)
            head->mp.bad = true;
        if (!gt_mp_ok(&head->mp)) {
            free(schema);
            return NULL;
        }
        fields[i] = (struct gantry_field){keep_text(&memory, field), (enum gantry_type)type};
    }
    return schema;
}

int gt_schemas_in_add(struct gt_schemas_in *schemas, struct gt_frame_head *head,
                      struct gantry_err *err)
{
    int64_t number = gt_mp_item_int(&head->items, -1);
    if (number < 0 || number >= NUMBERS_MAX)
        head->mp.bad = true;
    struct gantry_schema *schema =
        gt_mp_ok(&head->mp) ? read_schema(head, SCHEMAS_BYTES_MAX - schemas->bytes) : NULL;
    if (schema == NULL && !gt_mp_ok(&head->mp))
        return gantry_err_set(err, GANTRY_INVALID, "a schema is malformed");
    struct gantry_schema **grown = NULL;
    if (schema != NULL && number >= schemas->count) {
        size_t count = (size_t)number + 1;
        grown = realloc(schemas->known, count * sizeof *grown);
        if (grown != NULL) {
            memset(grown + schemas->count, 0, (count - schemas->count) * sizeof *grown);
            schemas->known = grown;
            schemas->count = (uint32_t)count;
        }
    } else if (schema != NULL && schemas->known[number] != NULL) {
        grown = realloc(schemas->old, (schemas->old_count + 1) * sizeof *grown);
        if (grown != NULL) {
            schemas->old = grown;
            schemas->old[schemas->old_count++] = schemas->known[number];
            schemas->old_bytes += size_of(schemas->known[number]);
        }
    } else {
        grown = schemas->known;
    }
    if (schema == NULL || grown == NULL) {
        free(schema);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a schema");
    }
    schemas->known[number] = schema;
    schemas->bytes += size_of(schema);
    return 0;
}

/* --- Records in --- */

static int read_headers(struct gt_mp *mp, uint32_t count, bool null,
                        struct gt_record_reader *reader, struct gantry_record *ret)
{
    struct gantry_header *headers =
        reader->alloc(reader->arg, ((size_t)count + 1) * sizeof *headers);
    if (headers == NULL)
        return GANTRY_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct gt_mp_items pair = gt_mp_items(mp);
        headers[i].name = gt_mp_item_bytes(&pair);
        headers[i].value = gt_mp_item_bytes(&pair);
        gt_mp_items_end(&pair);
        if (headers[i].name.data == NULL)
            mp->bad = true;
        reader->credit += (int64_t)(headers[i].name.len + headers[i].value.len + GT_HEADER_CREDIT);
        if (headers[i].value.data == NULL)
            headers[i] =
                (struct gantry_header){gantry_view_of(GANTRY_HEADER_NULL_HEADER), headers[i].name};
    }
    if (null)
        headers[count++] =
            (struct gantry_header){gantry_view_of(GANTRY_HEADER_NULL), gantry_view_of("value")};
    ret->headers = headers;
    ret->header_count = count;
    return 0;
}

/* Most records of a batch have the same one. */
static int read_topic(struct gantry_view topic, struct gt_record_reader *reader,
                      struct gantry_record *ret)
{
    if (reader->topic == NULL ||
        !gantry_view_equal(topic, (struct gantry_view){reader->topic, reader->topic_len})) {
        char *copy = reader->alloc(reader->arg, topic.len + 1);
        if (copy == NULL)
            return GANTRY_NO_MEMORY;
        memcpy(copy, topic.data, topic.len);
        copy[topic.len] = '\0';
        reader->topic = copy;
        reader->topic_len = topic.len;
    }
    ret->topic = reader->topic;
    return 0;
}

int gt_record_read(struct gt_mp *mp, struct gt_record_reader *reader, struct gantry_record *ret)
{
    struct gt_mp_items items = gt_mp_items(mp);
    *ret = (struct gantry_record){.value = gt_mp_item_bytes(&items)};
    bool null = ret->value.data == NULL;
    ret->key = gt_mp_item_bytes(&items);
    ret->timestamp_ms = gt_mp_item_int(&items, 0);
    struct gantry_view topic = gt_mp_item_bytes(&items);
    int64_t schema = gt_mp_item_int(&items, -1);
    uint32_t headers = gt_mp_item_array(&items);
    int code = 0;
    if (!gt_mp_ok(mp) || headers > HEADERS_MAX)
        return GANTRY_INVALID;
    reader->credit += (int64_t)(ret->value.len + ret->key.len + GT_RECORD_CREDIT);
    if (topic.data != NULL)
        code = read_topic(topic, reader, ret);
    if (schema >= 0) {
        if (schema >= reader->schemas->count || reader->schemas->known[schema] == NULL)
            return GANTRY_INVALID;
        ret->schema = reader->schemas->known[schema];
    }
    if (code == 0 && (headers > 0 || null))
        code = read_headers(mp, headers, null, reader, ret);
    gt_mp_items_end(&items);
    return code == 0 && !gt_mp_ok(mp) ? GANTRY_INVALID : code;
}
