/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of the store's tables: the only place that knows their bytes. Each value begins
 * with a version byte, so that a table can change without a new store version where old values can
 * still be read. */
#include "store/tables.h"

#include "base/cursor.h"
#include <xxhash.h>

enum {
    VALUE_VERSION = 1,
    PROGRESS_VERSION = 2,
    TAILS_VERSION = 3,
    TURNS_VERSION = 4,
    QUEUES_MAX = 1 << 16
};

struct gantry_view gt_key_view(const struct gt_key *key)
{
    return (struct gantry_view){key->bytes, key->len};
}

static void add_bytes(struct gt_key *key, const void *data, size_t len)
{
    /* Names are checked long before (topics 127 bytes, connectors 255), so this cannot be reached
     * with user data. */
    if (len > sizeof key->bytes - key->len)
        len = sizeof key->bytes - key->len;
    memcpy(key->bytes + key->len, data, len);
    key->len += len;
}

static void add_be(struct gt_key *key, uint64_t value, int bytes)
{
    char out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (char)(value >> (8 * (bytes - 1 - i)));
    add_bytes(key, out, (size_t)bytes);
}

static uint64_t read_be(const char *data, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)data[i];
    return value;
}

void gt_key_prefix(struct gt_key *key, const char *name)
{
    key->len = 0;
    add_bytes(key, name, strlen(name) + 1);
}

void gt_key_queue(struct gt_key *key, const char *topic, uint32_t queue)
{
    gt_key_prefix(key, topic);
    add_be(key, queue, 4);
}

void gt_key_segment(struct gt_key *key, const char *topic, uint32_t queue, int64_t base_offset)
{
    gt_key_queue(key, topic, queue);
    add_be(key, (uint64_t)base_offset, 8);
}

void gt_key_position(struct gt_key *key, const char *connector, const struct gantry_view *partition)
{
    gt_key_prefix(key, connector);
    if (partition != NULL) {
        XXH128_hash_t hash = XXH3_128bits(partition->data, partition->len);
        add_be(key, hash.high64, 8);
        add_be(key, hash.low64, 8);
    }
}

void gt_key_progress(struct gt_key *key, const char *connector, uint32_t task)
{
    gt_key_prefix(key, connector);
    add_be(key, task, 4);
}

int gt_key_read_name(struct gantry_view key, struct gantry_view *ret_name)
{
    const char *end = key.len > 0 ? memchr(key.data, 0, key.len) : NULL;
    if (end == NULL)
        return GANTRY_CORRUPT;
    *ret_name = (struct gantry_view){key.data, (size_t)(end - key.data)};
    return 0;
}

bool gt_key_is_tails(struct gantry_view key)
{
    struct gantry_view name;
    return gt_key_read_name(key, &name) == 0 && key.len == name.len + 1 + 4;
}

int gt_key_read_segment(struct gantry_view key, struct gantry_view *ret_topic, uint32_t *ret_queue,
                        int64_t *ret_base)
{
    struct gantry_view name;
    if (gt_key_read_name(key, &name) != 0 || key.len != name.len + 1 + 12)
        return GANTRY_CORRUPT;
    *ret_topic = name;
    *ret_queue = (uint32_t)read_be(key.data + name.len + 1, 4);
    *ret_base = (int64_t)read_be(key.data + name.len + 5, 8);
    return 0;
}

int gt_key_read_progress(struct gantry_view key, struct gantry_view *ret_connector,
                         uint32_t *ret_task)
{
    struct gantry_view name;
    if (gt_key_read_name(key, &name) != 0 || key.len != name.len + 1 + 4)
        return GANTRY_CORRUPT;
    *ret_connector = name;
    *ret_task = (uint32_t)read_be(key.data + name.len + 1, 4);
    return 0;
}

static void add_varint(struct gt_buf *buf, uint64_t value)
{
    char *out = gt_buf_reserve(buf, 10);
    if (out != NULL)
        buf->len += (size_t)(gt_put_varint((uint8_t *)out, value) - (uint8_t *)out);
}

static void add_signed(struct gt_buf *buf, int64_t value)
{
    add_varint(buf, gt_zigzag(value));
}

static void add_sized(struct gt_buf *buf, struct gantry_view view)
{
    add_varint(buf, view.len);
    gt_buf_add_view(buf, view);
}

static struct gt_cursor open_value(struct gantry_view value)
{
    struct gt_cursor cursor = gt_cursor_of(value.data, value.len);
    if (gt_cursor_u8(&cursor) != VALUE_VERSION)
        cursor.bad = true;
    return cursor;
}

static int64_t read_signed(struct gt_cursor *cursor)
{
    return gt_unzigzag(gt_cursor_varint(cursor));
}

static struct gantry_view read_sized(struct gt_cursor *cursor)
{
    uint64_t len = gt_cursor_varint(cursor);
    return gt_cursor_bytes(cursor, (size_t)len);
}

void gt_topic_record_write(struct gt_buf *buf, const struct gt_topic_record *record)
{
    gt_buf_add_char(buf, VALUE_VERSION);
    add_varint(buf, record->queues);
    add_signed(buf, record->created_ms);
}

int gt_topic_record_read(struct gantry_view value, struct gt_topic_record *ret)
{
    struct gt_cursor cursor = open_value(value);
    struct gt_topic_record record = {0};
    uint64_t queues = gt_cursor_varint(&cursor);
    record.queues = (uint32_t)queues;
    record.created_ms = read_signed(&cursor);
    if (cursor.bad || queues == 0 || queues > QUEUES_MAX)
        return GANTRY_CORRUPT;
    *ret = record;
    return 0;
}

void gt_segment_record_write(struct gt_buf *buf, const struct gt_segment_record *record)
{
    gt_buf_add_char(buf, VALUE_VERSION);
    add_signed(buf, record->base_offset);
    add_signed(buf, record->end_offset);
    add_signed(buf, record->bytes);
    add_signed(buf, record->last_batch);
    add_signed(buf, record->first_ms);
    add_signed(buf, record->last_ms);
}

int gt_segment_record_read(struct gantry_view value, struct gt_segment_record *ret)
{
    struct gt_cursor cursor = open_value(value);
    struct gt_segment_record record = {0};
    record.base_offset = read_signed(&cursor);
    record.end_offset = read_signed(&cursor);
    record.bytes = read_signed(&cursor);
    record.last_batch = read_signed(&cursor);
    record.first_ms = read_signed(&cursor);
    record.last_ms = read_signed(&cursor);
    if (cursor.bad || record.base_offset < 0 || record.end_offset < record.base_offset ||
        record.bytes < 0 || record.last_batch < 0 || record.last_batch > record.bytes)
        return GANTRY_CORRUPT;
    *ret = record;
    return 0;
}

void gt_gap_record_write(struct gt_buf *buf, const struct gt_gap_record *record)
{
    gt_buf_add_char(buf, VALUE_VERSION);
    add_signed(buf, record->base_offset);
    add_signed(buf, record->end_offset);
    add_signed(buf, record->segment);
    add_signed(buf, record->from);
    add_signed(buf, record->to);
}

int gt_gap_record_read(struct gantry_view value, struct gt_gap_record *ret)
{
    struct gt_cursor cursor = open_value(value);
    struct gt_gap_record record = {0};
    record.base_offset = read_signed(&cursor);
    record.end_offset = read_signed(&cursor);
    record.segment = read_signed(&cursor);
    record.from = read_signed(&cursor);
    record.to = read_signed(&cursor);
    if (cursor.bad || record.end_offset < record.base_offset || record.to < record.from)
        return GANTRY_CORRUPT;
    *ret = record;
    return 0;
}

void gt_position_record_write(struct gt_buf *buf, struct gantry_view partition,
                              struct gantry_view position)
{
    gt_buf_add_char(buf, VALUE_VERSION);
    add_sized(buf, partition);
    add_sized(buf, position);
}

int gt_position_record_read(struct gantry_view value, struct gantry_view *ret_partition,
                            struct gantry_view *ret_position)
{
    struct gt_cursor cursor = open_value(value);
    *ret_partition = read_sized(&cursor);
    *ret_position = read_sized(&cursor);
    return cursor.bad ? GANTRY_CORRUPT : 0;
}

static void add_offset(struct gt_buf *buf, const struct gt_queue_offset *at)
{
    add_sized(buf, at->topic);
    add_varint(buf, at->queue);
    add_signed(buf, at->offset);
    add_sized(buf, at->broker);
}

/* @p version 1 has no brokers. */
static void read_offset(struct gt_cursor *cursor, int version, struct gt_queue_offset *ret)
{
    *ret = (struct gt_queue_offset){.topic = read_sized(cursor)};
    ret->queue = (uint32_t)gt_cursor_varint(cursor);
    ret->offset = read_signed(cursor);
    if (version != VALUE_VERSION)
        ret->broker = read_sized(cursor);
}

static struct gt_queue_offset *alloc_offsets(const struct gt_cursor *cursor, uint64_t count,
                                             struct gt_arena *arena, int *ret_code)
{
    *ret_code = cursor->bad || count > gt_cursor_left(cursor) ? GANTRY_CORRUPT : 0;
    if (*ret_code != 0)
        return NULL;
    struct gt_queue_offset *offsets =
        gt_arena_alloc(arena, ((size_t)count + 1) * sizeof(struct gt_queue_offset));
    *ret_code = offsets != NULL ? 0 : GANTRY_NO_MEMORY;
    return offsets;
}

void gt_tails_record_write(struct gt_buf *buf, const struct gt_tails_record *record)
{
    gt_buf_add_char(buf, TAILS_VERSION);
    add_varint(buf, record->epoch);
    add_varint(buf, record->offset_count);
    for (size_t i = 0; i < record->offset_count; i++)
        add_offset(buf, &record->offsets[i]);
}

int gt_tails_record_read(struct gantry_view value, struct gt_arena *arena,
                         struct gt_tails_record *ret)
{
    struct gt_cursor cursor = gt_cursor_of(value.data, value.len);
    struct gt_tails_record record = {0};
    if (gt_cursor_u8(&cursor) != TAILS_VERSION)
        return GANTRY_CORRUPT;
    record.epoch = gt_cursor_varint(&cursor);
    record.offset_count = (size_t)gt_cursor_varint(&cursor);
    int code;
    record.offsets = alloc_offsets(&cursor, record.offset_count, arena, &code);
    if (code != 0)
        return code;
    for (size_t i = 0; i < record.offset_count; i++)
        read_offset(&cursor, TAILS_VERSION, &record.offsets[i]);
    if (cursor.bad)
        return GANTRY_CORRUPT;
    *ret = record;
    return 0;
}

void gt_progress_record_write(struct gt_buf *buf, const struct gt_progress_record *record)
{
    bool turns = false; /* rare: else the record is one that older versions can read */
    for (size_t i = 0; i < record->offset_count; i++)
        turns = turns || record->offsets[i].turns != 0;
    gt_buf_add_char(buf, turns ? TURNS_VERSION : PROGRESS_VERSION);
    add_varint(buf, record->offset_count);
    for (size_t i = 0; i < record->offset_count; i++) {
        add_offset(buf, &record->offsets[i]);
        add_sized(buf, record->offsets[i].state);
        if (turns)
            add_varint(buf, record->offsets[i].turns);
    }
    add_sized(buf, record->state);
}

int gt_progress_record_read(struct gantry_view value, struct gt_arena *arena,
                            struct gt_progress_record *ret)
{
    struct gt_cursor cursor = gt_cursor_of(value.data, value.len);
    int version = gt_cursor_u8(&cursor);
    if (version != VALUE_VERSION && version != PROGRESS_VERSION && version != TURNS_VERSION)
        return GANTRY_CORRUPT;
    struct gt_progress_record record = {.offset_count = (size_t)gt_cursor_varint(&cursor)};
    int code;
    record.offsets = alloc_offsets(&cursor, record.offset_count, arena, &code);
    if (code != 0)
        return code;
    for (size_t i = 0; i < record.offset_count; i++) {
        read_offset(&cursor, version, &record.offsets[i]);
        if (version != VALUE_VERSION)
            record.offsets[i].state = read_sized(&cursor);
        if (version == TURNS_VERSION)
            record.offsets[i].turns = gt_cursor_varint(&cursor);
    }
    record.state = read_sized(&cursor);
    if (cursor.bad)
        return GANTRY_CORRUPT;
    *ret = record;
    return 0;
}
