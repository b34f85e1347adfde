/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: record's key and headers to RocketMQ's properties and back. A property is text without
 * U+0001 and U+0002 and not empty; what is no such text travels in base64 in a property of ours, so
 * that a record comes out as it went in, and all else looks as the Java worker writes it. */
#include "topic/rocketmq/wire.h"

#include "base/cursor.h"
#include "convert/converters.h"
#include <stdio.h>
#include <xxhash.h>

enum {
    NOTE_VERSION = 1,
    MARKS_MAX = 1 << 16,
    PROPERTIES_MAX = RMQ_PROPERTIES_MAX - 512, /* the broker adds its own */
    LEAD_SIZE = 49,                            /* bytes at least */
    STAMP_ROOM = 512, /* of ours beside key, headers and note: the longest id, time, names */
    INFLATED_MAX = 256 << 20,
    HEADERS_MAX = 1 << 20,
};

#define EXTENSION "connect-ext-" /* the Java worker's prefix of an extension's name */

struct gt_rq_hash gt_rq_hash_of(struct gantry_view bytes)
{
    XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.len);
    return (struct gt_rq_hash){hash.high64, hash.low64};
}

/* --- Identity --- */

static bool take_number(struct gantry_view *rest, uint64_t *ret)
{
    uint64_t value = 0;
    size_t at = 0;
    for (; at < rest->len && rest->data[at] >= '0' && rest->data[at] <= '9'; at++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(rest->data[at] - '0');
    }
    if (at == 0 || at == rest->len || rest->data[at] != '.')
        return false;
    *ret = value;
    rest->data += at + 1;
    rest->len -= at + 1;
    return true;
}

static bool take_check(struct gantry_view *rest, uint32_t *ret)
{
    uint32_t value = 0;
    size_t at = 0;
    for (; at < rest->len && at < 9; at++) {
        char c = rest->data[at];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else
            break;
    }
    if (at == 0 || at > 8 || at == rest->len || rest->data[at] != '.')
        return false;
    *ret = value;
    rest->data += at + 1;
    rest->len -= at + 1;
    return true;
}

bool gt_rq_id_read(struct gantry_view text, struct gt_rq_id *ret)
{
    uint64_t task;
    if (!take_number(&text, &ret->epoch) || !take_number(&text, &ret->seq) ||
        !take_check(&text, &ret->check) || !take_number(&text, &task) || task > UINT32_MAX ||
        text.len == 0)
        return false;
    ret->task = (uint32_t)task;
    ret->connector = text;
    return true;
}

/* --- Notes --- */

static void add_varint(struct gt_buf *buf, uint64_t value)
{
    char *out = gt_buf_reserve(buf, 10);
    if (out != NULL)
        buf->len += (size_t)(gt_put_varint((uint8_t *)out, value) - (uint8_t *)out);
}

static void add_sized(struct gt_buf *buf, struct gantry_view view)
{
    add_varint(buf, view.len);
    gt_buf_add_view(buf, view);
}

static void add_hash(struct gt_buf *buf, struct gt_rq_hash hash)
{
    char bytes[16];
    gt_store_le64(bytes, hash.high);
    gt_store_le64(bytes + 8, hash.low);
    gt_buf_add(buf, bytes, sizeof bytes);
}

static struct gt_rq_hash take_hash(struct gt_cursor *cursor)
{
    struct gt_rq_hash hash;
    hash.high = gt_cursor_le64(cursor);
    hash.low = gt_cursor_le64(cursor);
    return hash;
}

static struct gantry_view take_sized(struct gt_cursor *cursor)
{
    return gt_cursor_bytes(cursor, (size_t)gt_cursor_varint(cursor));
}

size_t gt_rq_mark_size(const struct gt_rq_mark *mark)
{
    return 64 + mark->partition.len + mark->position.len;
}

void gt_rq_note_write(struct gt_buf *buf, const struct gt_rq_note *note)
{
    struct gt_buf raw;
    gt_buf_init(&raw, (size_t)GT_RQ_NOTE_MAX * 4);
    gt_buf_add_char(&raw, NOTE_VERSION);
    add_varint(&raw, note->first_seq);
    add_varint(&raw, note->count);
    add_varint(&raw, note->mark_count);
    for (uint32_t i = 0; i < note->mark_count; i++) {
        const struct gt_rq_mark *mark = &note->marks[i];
        add_varint(&raw, (uint64_t)mark->covers << 1 | mark->whole);
        add_hash(&raw, mark->before);
        if (mark->whole) {
            add_sized(&raw, mark->partition);
            add_sized(&raw, mark->position);
        } else {
            add_hash(&raw, mark->partition_hash);
            add_hash(&raw, mark->after);
        }
    }
    if (note->lead_count > 0) /* else nothing: as it was before there were any */
        add_varint(&raw, note->lead_count);
    for (uint32_t i = 0; i < note->lead_count; i++) {
        const struct gt_rq_lead *lead = &note->leads[i];
        add_hash(&raw, lead->partition);
        add_hash(&raw, lead->before);
        add_hash(&raw, lead->after);
        add_varint(&raw, lead->count);
    }
    if (raw.error == 0)
        (void)gt_base64_add(buf, gt_buf_view(&raw)); /* sticks */
    else
        buf->error = raw.error;
    gt_buf_deinit(&raw);
}

static void take_mark(struct gt_cursor *cursor, struct gt_rq_mark *mark)
{
    uint64_t head = gt_cursor_varint(cursor);
    *mark = (struct gt_rq_mark){.whole = (head & 1) != 0};
    mark->covers = (uint32_t)(head >> 1);
    mark->before = take_hash(cursor);
    if (mark->whole) {
        mark->partition = take_sized(cursor);
        mark->position = take_sized(cursor);
        mark->partition_hash = gt_rq_hash_of(mark->partition);
        mark->after = gt_rq_hash_of(mark->position);
    } else {
        mark->partition_hash = take_hash(cursor);
        mark->after = take_hash(cursor);
    }
    if (head >> 1 > GT_RQ_RECORDS_MAX)
        cursor->bad = true;
}

static int take_leads(struct gt_cursor *cursor, struct gt_arena *arena, struct gt_rq_note *note)
{
    size_t left = gt_cursor_left(cursor);
    uint64_t count = left > 0 ? gt_cursor_varint(cursor) : 0;
    if (cursor->bad || count > left / LEAD_SIZE)
        return GANTRY_CORRUPT;
    note->lead_count = (uint32_t)count;
    note->leads = gt_arena_alloc(arena, ((size_t)count + 1) * sizeof *note->leads);
    if (note->leads == NULL)
        return GANTRY_NO_MEMORY;
    for (uint32_t i = 0; i < note->lead_count; i++) {
        struct gt_rq_lead *lead = &note->leads[i];
        lead->partition = take_hash(cursor);
        lead->before = take_hash(cursor);
        lead->after = take_hash(cursor);
        uint64_t records = gt_cursor_varint(cursor);
        if (cursor->bad || records > UINT32_MAX)
            return GANTRY_CORRUPT;
        lead->count = (uint32_t)records;
    }
    return 0;
}

int gt_rq_note_read(struct gantry_view text, struct gt_arena *arena, struct gt_rq_note *ret)
{
    struct gantry_view raw;
    struct gt_rq_note note = {0};
    int code = gt_base64_decode(text, arena, &raw);
    if (code != 0)
        return code == GANTRY_NO_MEMORY ? code : GANTRY_CORRUPT;
    struct gt_cursor cursor = gt_cursor_of(raw.data, raw.len);
    uint8_t version = gt_cursor_u8(&cursor);
    note.first_seq = gt_cursor_varint(&cursor);
    uint64_t count = gt_cursor_varint(&cursor), marks = gt_cursor_varint(&cursor);
    if (cursor.bad || version != NOTE_VERSION || count == 0 || count > GT_RQ_RECORDS_MAX ||
        marks > MARKS_MAX || marks > raw.len || note.first_seq > UINT64_MAX - count)
        return GANTRY_CORRUPT;
    note.count = (uint32_t)count;
    note.mark_count = (uint32_t)marks;
    note.marks = gt_arena_alloc(arena, ((size_t)marks + 1) * sizeof(struct gt_rq_mark));
    if (note.marks == NULL)
        return GANTRY_NO_MEMORY;
    uint32_t covered = 0;
    for (uint32_t i = 0; i < note.mark_count; i++) {
        take_mark(&cursor, &note.marks[i]);
        if (cursor.bad || note.marks[i].covers < covered || note.marks[i].covers > note.count)
            return GANTRY_CORRUPT;
        covered = note.marks[i].covers;
    }
    code = take_leads(&cursor, arena, &note);
    if (code == 0)
        *ret = note;
    return code;
}

/* --- Encoding --- */

/* May stand in a property as it is. */
static bool is_text(struct gantry_view view)
{
    if (view.len == 0)
        return false;
    bool ascii = true;
    for (size_t i = 0; i < view.len; i++) {
        if (view.data[i] == 1 || view.data[i] == 2)
            return false;
        ascii = ascii && (unsigned char)view.data[i] < 0x80;
    }
    return ascii || gt_utf8_valid(view);
}

static bool begins_with(struct gantry_view view, const char *prefix)
{
    size_t len = strlen(prefix);
    return view.len >= len && memcmp(view.data, prefix, len) == 0;
}

static void add_property(struct gt_buf *buf, const char *prefix, struct gantry_view name,
                         struct gantry_view value)
{
    gt_buf_add_str(buf, prefix);
    gt_buf_add_view(buf, name);
    gt_buf_add_char(buf, 1);
    gt_buf_add_view(buf, value);
    gt_buf_add_char(buf, 2);
}

static void add_base64(struct gt_buf *buf, const char *name, struct gantry_view bytes)
{
    gt_buf_add_str(buf, name);
    gt_buf_add_char(buf, 1);
    (void)gt_base64_add(buf, bytes); /* sticks */
    gt_buf_add_char(buf, 2);
}

static bool is_system(struct rmq_view name);

/* connect-* names are the converters' own; others are extensions, as the Java worker has them. What
 * is to keep its name does, unless it would then be something that is said of messages. */
static const char *prefix_of(struct gantry_view name, bool as_is)
{
    if (as_is && !begins_with(name, "gantry-") && !is_system(rmq_view(name.data, name.len)) &&
        !gantry_view_equal(name, gantry_view_of(GT_RQ_TIME)))
        return "";
    bool own = begins_with(name, "connect-") && !begins_with(name, EXTENSION);
    bool plain = own || gantry_view_equal(name, gantry_view_of("TAGS")) ||
                 gantry_view_equal(name, gantry_view_of("KEYS"));
    return plain ? "" : EXTENSION;
}

static int take_header(struct gt_cursor *cursor, struct gantry_view *name,
                       struct gantry_view *value)
{
    *name = take_sized(cursor);
    *value = take_sized(cursor);
    return cursor->bad ? GANTRY_CORRUPT : 0;
}

/* Whether one of the first @p count headers has that name. */
static bool has_name(struct gt_cursor cursor, uint64_t count, struct gantry_view wanted)
{
    struct gantry_view name, value;
    for (; count > 0 && take_header(&cursor, &name, &value) == 0; count--) {
        if (gantry_view_equal(name, wanted))
            return true;
    }
    return false;
}

/* The headers; those that cannot be properties together in one. */
static int add_headers(struct gt_buf *buf, const struct gt_message *message, bool as_is)
{
    if (message->properties.len > PROPERTIES_MAX)
        return GANTRY_TOO_LARGE; /* properties take more, not less */
    struct gt_cursor cursor = gt_cursor_of(message->properties.data, message->properties.len);
    uint64_t count = gt_cursor_varint(&cursor), other = 0;
    const struct gt_cursor first = cursor;
    struct gt_buf more;
    int code = 0;
    gt_buf_init(&more, HEADERS_MAX);
    for (uint64_t i = 0; i < count && code == 0; i++) {
        struct gantry_view name, value;
        code = take_header(&cursor, &name, &value);
        bool text = is_text(name) && is_text(value);
        /* Of two properties of one name most readers see one only, and KEYS is the key's. */
        if (has_name(first, i, name) ||
            (gantry_view_equal(name, gantry_view_of("KEYS")) && message->key.len > 0))
            text = false;
        if (text) {
            add_property(buf, prefix_of(name, as_is), name, value);
        } else {
            add_sized(&more, name);
            add_sized(&more, value);
            other++;
        }
    }
    if (other > 0) {
        struct gt_buf all;
        gt_buf_init(&all, HEADERS_MAX + 16);
        add_varint(&all, other);
        gt_buf_add_view(&all, gt_buf_view(&more));
        add_base64(buf, GT_RQ_MORE, gt_buf_view(&all));
        if (all.error != 0 || more.error != 0)
            code = GANTRY_TOO_LARGE;
        gt_buf_deinit(&all);
    }
    gt_buf_deinit(&more);
    return code;
}

size_t gt_rq_note_room(const struct gt_message *message)
{
    struct gt_cursor cursor = gt_cursor_of(message->properties.data, message->properties.len);
    uint64_t headers = message->properties.len > 0 ? gt_cursor_varint(&cursor) : 0;
    if (headers > message->properties.len)
        return 0;
    /* As if all were base64, with the longest prefix of a name. */
    size_t own = (message->key.len + message->properties.len) / 3 * 4 +
                 (size_t)headers * (sizeof(EXTENSION) + 1) + STAMP_ROOM;
    size_t room = own < PROPERTIES_MAX ? (PROPERTIES_MAX - own) / 4 * 3 : 0;
    return room < GT_RQ_NOTE_MAX ? room : GT_RQ_NOTE_MAX;
}

static void add_number(struct gt_buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    gt_buf_add(buf, digits + at, sizeof digits - at);
}

static void add_check(struct gt_buf *buf, uint32_t value)
{
    static const char hex[] = "0123456789abcdef";
    char text[9] = {'.'};
    for (int i = 0; i < 8; i++)
        text[1 + i] = hex[value >> (28 - 4 * i) & 15];
    gt_buf_add(buf, text, sizeof text);
}

uint32_t gt_rq_check_of(struct gantry_view key, struct gantry_view value)
{
    uint64_t hash = XXH3_64bits(value.data, value.len);
    if (key.len > 0)
        hash = XXH3_64bits_withSeed(key.data, key.len, hash);
    return (uint32_t)(hash ^ hash >> 32);
}

int gt_rq_encode(struct rmq_buf *frame, const struct gt_message *message, bool has_time,
                 const struct gt_rq_stamp *stamp, uint64_t seq, uint32_t check,
                 struct gantry_view note, struct gt_buf *scratch, struct gantry_err *err)
{
    int code = 0;
    gt_buf_clear(scratch);
    gt_buf_add_view(scratch, stamp->before);
    add_number(scratch, seq);
    add_check(scratch, check);
    gt_buf_add_view(scratch, stamp->after);
    if (note.len > 0)
        add_property(scratch, GT_RQ_BATCH, (struct gantry_view){NULL, 0}, note);
    if (message->key.len > 0) {
        if (is_text(message->key))
            add_property(scratch, "KEYS", (struct gantry_view){NULL, 0}, message->key);
        else
            add_base64(scratch, GT_RQ_KEY, message->key);
    }
    if (message->properties.len > 0)
        code = add_headers(scratch, message, stamp->headers_as_is);
    if (has_time)
        gt_buf_addf(scratch, GT_RQ_TIME "\001%lld\002", (long long)message->timestamp_ms);
    if (code == 0)
        code = scratch->error;
    if (code == GANTRY_TOO_LARGE || (code == 0 && scratch->len > PROPERTIES_MAX))
        return gantry_err_set(err, GANTRY_TOO_LARGE,
                              "key and headers of the record take more than %d bytes as RocketMQ's "
                              "properties",
                              PROPERTIES_MAX);
    if (code != 0)
        return gantry_err_set(err, code, "cannot encode a message: %s", gantry_error_text(code));
    struct rmq_batch_item item = {
        .body = rmq_view(message->body.data, message->body.len),
        .properties = rmq_view(scratch->data, scratch->len),
    };
    struct rmq_err reason = {0};
    int rc = rmq_batch_add(frame, &item, &reason);
    if (rc == 0)
        return 0;
    return gantry_err_set(err, rc == RMQ_NO_MEMORY ? GANTRY_NO_MEMORY : GANTRY_TOO_LARGE,
                          "the record has %zu bytes; RocketMQ takes messages of 4 MiB",
                          message->body.len);
}

/* --- Decoding --- */

static struct gantry_view view_of(struct rmq_view view)
{
    return (struct gantry_view){view.data, view.len};
}

static bool is(struct rmq_view view, const char *text, size_t len)
{
    return view.len == len && memcmp(view.data, text, len) == 0;
}
#define IS(view, literal) is(view, literal, sizeof(literal) - 1)

/* What RocketMQ itself says about a message; not a header. */
static bool is_system(struct rmq_view name)
{
    static const struct name {
        unsigned char len;
        const char *text;
    } names[] = {
#define NAME(text) {sizeof(text) - 1, text}
        NAME("CLUSTER"),
        NAME("MSG_REGION"),
        NAME("TRACE_ON"),
        NAME("UNIQ_KEY"),
        NAME("WAIT"),
        NAME("DELAY"),
        NAME("TIMER_DELAY_MS"),
        NAME("TIMER_DELAY_SEC"),
        NAME("TIMER_DELIVER_MS"),
        NAME("TIMER_OUT_MS"),
        NAME("TIMER_ENQUEUE_MS"),
        NAME("TIMER_DEQUEUE_MS"),
        NAME("TIMER_ROLL_TIMES"),
        NAME("TIMER_DEL_UNIQKEY"),
        NAME("TIMER_DELAY_LEVEL"),
        NAME("RETRY_TOPIC"),
        NAME("REAL_TOPIC"),
        NAME("REAL_QID"),
        NAME("ORIGIN_MESSAGE_ID"),
        NAME("RECONSUME_TIME"),
        NAME("MAX_RECONSUME_TIMES"),
        NAME("CONSUME_START_TIME"),
        NAME("DLQ_ORIGIN_TOPIC"),
        NAME("DLQ_ORIGIN_MESSAGE_ID"),
        NAME("TRAN_MSG"),
        NAME("PGROUP"),
        NAME("__transactionId__"),
        NAME("TRAN_PREPARED_QUEUE_OFFSET"),
        NAME("TRANSACTION_CHECK_TIMES"),
        NAME("CHECK_IMMUNITY_TIME_IN_SECONDS"),
        NAME("MIN_OFFSET"),
        NAME("MAX_OFFSET"),
        NAME("INSTANCE_ID"),
        NAME("BUYER_ID"),
        NAME("TRANSFER_FLAG"),
        NAME("CORRECTION_FLAG"),
        NAME("MQ2_FLAG"),
        NAME("DUP_INFO"),
        NAME("EXTEND_UNIQ_INFO"),
        NAME("CORRELATION_ID"),
        NAME("REPLY_TO_CLIENT"),
        NAME("TTL"),
        NAME("MSG_TYPE"),
        NAME("ARRIVE_TIME"),
        NAME("PUSH_REPLY_TIME"),
        NAME("POP_CK"),
        NAME("POP_CK_OFFSET"),
        NAME("1ST_POP_TIME"),
        NAME("INNER_NUM"),
        NAME("INNER_BASE"),
        NAME("INNER_MULTI_DISPATCH"),
        NAME("INNER_MULTI_QUEUE_OFFSET"),
        NAME("__BORNHOST"),
        NAME("BORN_TIMESTAMP"),
        NAME("TRACE_CONTEXT"),
        NAME("__CRC32#"),
#undef NAME
    };
    char first = name.len > 0 ? name.data[0] : '\0';
    if (!((first >= 'A' && first <= 'Z') || first == '_' || first == '1'))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is(name, names[i].text, names[i].len))
            return true;
    }
    return false;
}

static bool is_ours(struct rmq_view name)
{
    return name.len > 7 && memcmp(name.data, "gantry-", 7) == 0;
}

void gt_rq_look(struct rmq_view properties, struct gt_rq_seen *ret)
{
    struct rmq_field field;
    *ret = (struct gt_rq_seen){.tail = -1};
    while (rmq_properties_next(&properties, &field)) {
        if (!is_ours(field.name))
            continue;
        if (IS(field.name, GT_RQ_ID) && !ret->ours)
            ret->ours = gt_rq_id_read(view_of(field.value), &ret->id);
        else if (IS(field.name, GT_RQ_BATCH) && ret->note.len == 0)
            ret->note = view_of(field.value);
        else if (IS(field.name, GT_RQ_TAIL) && ret->tail < 0 &&
                 gt_parse_int(view_of(field.value), 0, INT64_MAX, &ret->tail) != 0)
            ret->tail = -1;
    }
}

/* What decode() gathers. */
struct decoding {
    struct gt_arena *arena;
    struct gt_message *message;
    struct gantry_header *headers;
    size_t count, cap;
    struct gantry_view more;
};

static int add_header(struct decoding *decoding, struct gantry_view name, struct gantry_view value)
{
    if (decoding->count == decoding->cap) {
        size_t cap = decoding->cap != 0 ? decoding->cap * 2 : 8;
        struct gantry_header *grown =
            gt_arena_alloc(decoding->arena, cap * sizeof(struct gantry_header));
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        if (decoding->count > 0)
            memcpy(grown, decoding->headers, decoding->count * sizeof *grown);
        decoding->headers = grown;
        decoding->cap = cap;
    }
    decoding->headers[decoding->count++] = (struct gantry_header){name, value};
    return 0;
}

/* Of a property: the first one of a name counts. */
static int add_property_header(struct decoding *decoding, struct gantry_view name,
                               struct gantry_view value)
{
    for (size_t i = 0; i < decoding->count; i++) {
        if (gantry_view_equal(decoding->headers[i].name, name))
            return 0;
    }
    return add_header(decoding, name, value);
}

static int take_property(struct decoding *decoding, const struct rmq_field *field)
{
    struct rmq_view name = field->name;
    struct gantry_view value = view_of(field->value);
    if (is_ours(name)) {
        if (IS(name, GT_RQ_KEY))
            return gt_base64_decode(value, decoding->arena, &decoding->message->key);
        if (IS(name, GT_RQ_MORE))
            return gt_base64_decode(value, decoding->arena, &decoding->more);
        return 0;
    }
    if (IS(name, "KEYS")) {
        decoding->message->key = value;
        return 0;
    }
    if (IS(name, GT_RQ_TIME) &&
        gt_parse_int(value, INT64_MIN, INT64_MAX, &decoding->message->timestamp_ms) == 0)
        return 0;
    if (is_system(name))
        return 0;
    size_t prefix = sizeof(EXTENSION) - 1;
    if (name.len > prefix && memcmp(name.data, EXTENSION, prefix) == 0)
        return add_property_header(
            decoding, (struct gantry_view){name.data + prefix, name.len - prefix}, value);
    return add_property_header(decoding, view_of(name), value);
}

/* Those that could not be properties. */
static int take_more(struct decoding *decoding)
{
    struct gt_cursor cursor = gt_cursor_of(decoding->more.data, decoding->more.len);
    uint64_t count = gt_cursor_varint(&cursor);
    int code = 0;
    for (uint64_t i = 0; i < count && code == 0; i++) {
        struct gantry_view name, value;
        code = take_header(&cursor, &name, &value);
        if (code == 0)
            code = add_header(decoding, name, value);
    }
    return code;
}

static int inflate(const struct rmq_message *stored, struct gt_arena *arena,
                   struct gantry_view *ret, struct gantry_err *err)
{
    struct rmq_message copy = *stored;
    struct rmq_buf buf;
    struct rmq_err reason = {0};
    rmq_buf_init(&buf, INFLATED_MAX);
    int rc = rmq_message_inflate(&copy, &buf, &reason);
    int code = 0;
    if (rc == 0) {
        char *body = gt_arena_alloc(arena, copy.body.len + 1);
        if (body == NULL)
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu bytes", copy.body.len);
        else if (copy.body.len > 0)
            memcpy(body, copy.body.data, copy.body.len);
        *ret = (struct gantry_view){body, copy.body.len};
    } else {
        code = gantry_err_set(err, rc == RMQ_NO_MEMORY ? GANTRY_NO_MEMORY : GANTRY_CORRUPT, "%s",
                              reason.text);
    }
    rmq_buf_deinit(&buf);
    return code;
}

int gt_rq_decode(const struct rmq_message *stored, struct gt_arena *arena, struct gt_message *ret,
                 struct gantry_err *err)
{
    struct decoding decoding = {.arena = arena, .message = ret};
    struct rmq_view rest = stored->properties;
    struct rmq_field field;
    int code = 0;
    *ret = (struct gt_message){.body = view_of(stored->body), .timestamp_ms = stored->born_ms};
    while (code == 0 && rmq_properties_next(&rest, &field))
        code = take_property(&decoding, &field);
    if (code == 0 && decoding.more.len > 0)
        code = take_more(&decoding);
    if (code == 0)
        code = gt_properties_encode(decoding.headers, decoding.count, arena, &ret->properties);
    if (code == GANTRY_NO_MEMORY)
        return gantry_err_set(err, code, "no memory for a message");
    if (code != 0)
        return gantry_err_set(err, GANTRY_CORRUPT, "the gantry-* properties of it are damaged");
    if ((stored->sys_flag & RMQ_SYS_COMPRESSED) != 0)
        return inflate(stored, arena, &ret->body, err);
    return 0;
}
