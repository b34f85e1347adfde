/* SPDX-License-Identifier: Apache-2.0 */
/* The furthest task of a connector counts, as it does for a start: another number of tasks deals
 * the queues out anew, and what a task that is no more has noted stays behind. */
#include "topic/embedded/unread.h"

#include "base/buf.h"
#include "base/json.h"
#include "store/tables.h"
#include <string.h>

enum { KEY_MAX = 4096 };

/* connector NUL queue NUL topic; without a connector: queue NUL topic. */
static int write_key(struct gt_buf *key, struct gantry_view connector, uint32_t queue,
                     struct gantry_view topic)
{
    gt_buf_clear(key);
    if (connector.data != NULL) {
        gt_buf_add_view(key, connector);
        gt_buf_add_char(key, '\0');
    }
    gt_buf_addf(key, "%u", queue);
    gt_buf_add_char(key, '\0');
    gt_buf_add_view(key, topic);
    return key->error;
}

static int64_t *get_or_put(struct gt_map *map, struct gt_arena *arena, struct gantry_view key,
                           int64_t first)
{
    int64_t *offset = gt_map_get(map, key);
    if (offset != NULL)
        return offset;
    offset = gt_arena_alloc(arena, sizeof *offset);
    if (offset == NULL || gt_map_put(map, key, offset, NULL) != 0)
        return NULL;
    *offset = first;
    return offset;
}

/* How far a connector is on a queue. */
struct reader {
    int64_t offset;
    uint64_t turns;
};

static struct reader *reader_of(struct gt_unread *unread, struct gantry_view key)
{
    struct reader *reader = gt_map_get(&unread->readers, key);
    if (reader != NULL)
        return reader;
    reader = gt_arena_alloc(&unread->values, sizeof *reader);
    if (reader == NULL || gt_map_put(&unread->readers, key, reader, NULL) != 0)
        return NULL;
    *reader = (struct reader){0, 0};
    return reader;
}

static int see_progress(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct gt_unread *unread = arg;
    struct gt_progress_record record;
    struct gantry_view connector;
    struct gt_buf name;
    uint32_t task;
    gt_arena_reset(&unread->arena);
    gt_buf_init(&name, KEY_MAX);
    int code = gt_progress_record_read(value, &unread->arena, &record);
    if (code == 0)
        code = gt_key_read_progress(key, &connector, &task);
    for (size_t i = 0; code == 0 && i < record.offset_count; i++) {
        const struct gt_queue_offset *at = &record.offsets[i];
        code = write_key(&name, connector, at->queue, at->topic);
        struct reader *reader = code == 0 ? reader_of(unread, gt_buf_view(&name)) : NULL;
        if (code == 0 && reader == NULL)
            code = GANTRY_NO_MEMORY;
        if (code == 0 && gt_queue_offset_counts(at, reader->turns, reader->offset))
            *reader = (struct reader){at->offset, at->turns};
    }
    gt_buf_deinit(&name);
    return code;
}

static int find_lowest(struct gt_unread *unread)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&unread->readers, &cursor, &key, &value)) {
        const struct reader *reader = value;
        size_t connector = strnlen(key.data, key.len) + 1;
        struct gantry_view queue = {key.data + connector, key.len - connector};
        int64_t *lowest = get_or_put(&unread->lowest, &unread->values, queue, INT64_MAX);
        if (lowest == NULL)
            return GANTRY_NO_MEMORY;
        if (reader->offset < *lowest)
            *lowest = reader->offset;
    }
    return 0;
}

static int see_connector(void *arg, struct gantry_view key, struct gantry_view value)
{
    static const char *const keys[] = {"topicNames", "connect.topicnames",
                                       "topics"}; /* as plugin/common_defs.c has them */
    struct gt_unread *unread = arg;
    struct gt_props props;
    struct gt_buf topics;
    struct gantry_err err = {0};
    gt_props_init(&props);
    gt_buf_init(&topics, 64 << 20);
    int code = gt_json_parse_props(&props, value, &err);
    for (size_t i = 0; code == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        const char *names = gt_props_get(&props, keys[i]);
        if (names != NULL)
            code = gt_buf_addf(&topics, "%s%s", topics.len > 0 ? "," : "", names);
    }
    if (code == 0 && topics.len > 0) {
        char *copy = gt_arena_copy(&unread->values, gt_buf_view(&topics));
        code = copy != NULL ? gt_map_put(&unread->wants, key, copy, NULL) : GANTRY_NO_MEMORY;
    }
    gt_buf_deinit(&topics);
    gt_props_deinit(&props);
    return code;
}

int gt_unread_read(struct gt_unread *unread, struct gt_store *store, struct gantry_err *err)
{
    struct gantry_view all = {NULL, 0};
    gt_arena_init(&unread->arena, 4096, 4096);
    gt_arena_init(&unread->values, 4096, 4096);
    gt_map_init(&unread->readers);
    gt_map_init(&unread->lowest);
    gt_map_init(&unread->wants);
    int code = gt_store_scan(store, GT_TABLE_PROGRESS, all, see_progress, unread, err);
    if (code == 0)
        code = gt_store_scan(store, GT_TABLE_CONNECTORS, all, see_connector, unread, err);
    return code == 0 ? find_lowest(unread) : code;
}

void gt_unread_deinit(struct gt_unread *unread)
{
    gt_map_deinit(&unread->readers);
    gt_map_deinit(&unread->lowest);
    gt_map_deinit(&unread->wants);
    gt_arena_deinit(&unread->values);
    gt_arena_deinit(&unread->arena);
}

/* Whether @p names, separated by commas, has @p name. */
static bool has_name(const char *names, struct gantry_view name)
{
    while (names != NULL) {
        const char *comma = strchr(names, ',');
        size_t len = comma != NULL ? (size_t)(comma - names) : strlen(names);
        if (gantry_view_equal(gt_view_trim((struct gantry_view){names, len}), name))
            return true;
        names = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

int gt_unread_lowest(const struct gt_unread *unread, const char *topic, uint32_t queue,
                     int64_t *ret)
{
    struct gantry_view name = gantry_view_of(topic), connector;
    struct gt_buf key;
    size_t cursor = 0;
    void *topics;
    gt_buf_init(&key, KEY_MAX);
    int code = write_key(&key, (struct gantry_view){NULL, 0}, queue, name);
    const int64_t *lowest = code == 0 ? gt_map_get(&unread->lowest, gt_buf_view(&key)) : NULL;
    *ret = lowest != NULL ? *lowest : INT64_MAX;
    while (code == 0 && gt_map_next(&unread->wants, &cursor, &connector, &topics)) {
        if (!has_name(topics, name))
            continue;
        code = write_key(&key, connector, queue, name);
        if (code == 0 && gt_map_get(&unread->readers, gt_buf_view(&key)) == NULL)
            *ret = 0;
    }
    gt_buf_deinit(&key);
    return code;
}
