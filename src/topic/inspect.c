/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a store from outside. Committed ends come from the store's tables, messages from the
 * files below them; a worker may be appending all the while. */
#include "topic/inspect.h"

#include "base/file.h"
#include "store/env.h"
#include "store/tables.h"
#include "topic/embedded/segment.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct gt_inspect {
    char *store; /* owned */
    struct gt_env env;

    /* Where the last gt_inspect_read() ended, so that reading on needs no search. */
    char *topic; /* owned; NULL: nowhere */
    uint32_t queue;
    int64_t base, at, offset;
    int fd;
    struct gt_buf batch;
};

int gt_inspect_no_store(const char *folder, struct gantry_err *err)
{
    char cache[8192];
    struct stat st;
    snprintf(cache, sizeof cache, "%s/cluster/gantry/data.mdb", folder);
    if (stat(cache, &st) == 0)
        return gantry_err_set(err, GANTRY_NOT_FOUND, GT_INSPECT_CACHE_TEXT, folder);
    return gantry_err_set(err, GANTRY_NOT_FOUND,
                          "there is no store in %s; name the worker's storePathRootDir", folder);
}

int gt_inspect_open(const char *store, struct gt_inspect **ret, struct gantry_err *err)
{
    struct gt_inspect *inspect = calloc(1, sizeof *inspect);
    char *folder = NULL;
    if (inspect == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    inspect->fd = -1;
    gt_buf_init(&inspect->batch, GT_BATCH_MAX);
    inspect->store = strdup(store);
    int code = 0;
    if (inspect->store == NULL || asprintf(&folder, "%s/gantry", store) < 0)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    else
        code = gt_env_open(&inspect->env, folder, 0, true, err);
    if (code == GANTRY_NOT_FOUND)
        (void)gt_inspect_no_store(store, err);
    free(folder);
    if (code != 0)
        gt_inspect_close(inspect);
    else
        *ret = inspect;
    return code;
}

static void forget_place(struct gt_inspect *inspect)
{
    if (inspect->fd >= 0)
        close(inspect->fd);
    inspect->fd = -1;
    free(inspect->topic);
    inspect->topic = NULL;
}

void gt_inspect_close(struct gt_inspect *inspect)
{
    if (inspect == NULL)
        return;
    forget_place(inspect);
    gt_buf_deinit(&inspect->batch);
    gt_env_close(&inspect->env);
    free(inspect->store);
    free(inspect);
}

static char *segment_path(struct gt_arena *arena, const char *store, const char *topic,
                          uint32_t queue, int64_t base)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/topics/%s/%u/%020" PRId64 ".log", store, topic, queue, base);
    return gt_arena_strdup(arena, path);
}

/* --- Queues --- */

/* Arrays that grow inside the arena: the old copies stay in it, which is fine for a look. */
static void *grow(struct gt_arena *arena, const void *items, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return (void *)(uintptr_t)items; /* room until the next power of two */
    char *fresh = gt_arena_alloc(arena, (count != 0 ? count * 2 : 1) * size);
    if (fresh != NULL && count > 0)
        memcpy(fresh, items, count * size);
    return fresh;
}

struct collecting {
    struct gt_inspect *inspect;
    struct gt_arena *arena;
    const char *topic; /* NULL: all */
    struct gt_queue_info *queues;
    size_t count;
    struct gantry_err *err;
};

static int no_memory(struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
}

static int damaged(struct gantry_err *err, const char *what)
{
    return gantry_err_set(err, GANTRY_CORRUPT, "the store's %s are damaged", what);
}

static int add_topic(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct collecting *all = arg;
    struct gt_topic_record record;
    if (all->topic != NULL && !gantry_view_equal(key, gantry_view_of(all->topic)))
        return 0;
    if (gt_topic_record_read(value, &record) != 0)
        return damaged(all->err, "topics");
    const char *name = gt_arena_copy(all->arena, key);
    for (uint32_t i = 0; name != NULL && i < record.queues; i++) {
        all->queues = grow(all->arena, all->queues, all->count, sizeof *all->queues);
        if (all->queues == NULL)
            return no_memory(all->err);
        all->queues[all->count++] = (struct gt_queue_info){.topic = name, .queue = i, .damage = ""};
    }
    return name != NULL ? 0 : no_memory(all->err);
}

static struct gt_queue_info *find_queue(struct collecting *all, struct gantry_view topic,
                                        uint32_t queue)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->queues[i].queue == queue &&
            gantry_view_equal(topic, gantry_view_of(all->queues[i].topic)))
            return &all->queues[i];
    }
    return NULL;
}

static void look_at_file(struct collecting *all, struct gt_queue_info *queue,
                         const struct gt_segment_record *record)
{
    struct stat st;
    char text[8400];
    char *path = segment_path(all->arena, all->inspect->store, queue->topic, queue->queue,
                              record->base_offset);
    if (path == NULL || *queue->damage != '\0')
        return;
    if (stat(path, &st) != 0)
        snprintf(text, sizeof text, "%s: %s", path, strerror(errno));
    else if (st.st_size < record->bytes)
        snprintf(text, sizeof text, "%s at byte %lld: cut short", path, (long long)st.st_size);
    else
        return;
    const char *copy = gt_arena_strdup(all->arena, text);
    queue->damage = copy != NULL ? copy : "cut short";
}

static int add_segment(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct collecting *all = arg;
    struct gantry_view topic;
    uint32_t index;
    int64_t base;
    struct gt_segment_record record;
    if (gt_key_read_segment(key, &topic, &index, &base) != 0 ||
        gt_segment_record_read(value, &record) != 0)
        return damaged(all->err, "segments");
    struct gt_queue_info *queue = find_queue(all, topic, index);
    if (queue == NULL)
        return 0;
    struct gt_segment_info *items =
        grow(all->arena, queue->segments, queue->segment_count, sizeof *queue->segments);
    if (items == NULL)
        return no_memory(all->err);
    if (queue->segment_count == 0)
        queue->begin_offset = base;
    else
        items[queue->segment_count - 1].sealed = true;
    items[queue->segment_count++] = (struct gt_segment_info){
        .base_offset = base,
        .end_offset = record.end_offset,
        .bytes = record.bytes,
        .first_ms = record.first_ms,
        .last_ms = record.last_ms,
    };
    queue->segments = items;
    queue->end_offset = record.end_offset;
    queue->bytes += record.bytes;
    look_at_file(all, queue, &record);
    return 0;
}

static int add_sink(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct collecting *all = arg;
    struct gantry_view connector;
    uint32_t task;
    struct gt_progress_record record;
    if (gt_key_read_progress(key, &connector, &task) != 0 ||
        gt_progress_record_read(value, all->arena, &record) != 0)
        return damaged(all->err, "sink progress entries");
    for (size_t i = 0; i < record.offset_count; i++) {
        struct gt_queue_info *queue =
            find_queue(all, record.offsets[i].topic, record.offsets[i].queue);
        if (queue == NULL)
            continue;
        struct gt_sink_info *items =
            grow(all->arena, queue->sinks, queue->sink_count, sizeof *queue->sinks);
        const char *name = gt_arena_copy(all->arena, connector);
        if (items == NULL || name == NULL)
            return no_memory(all->err);
        items[queue->sink_count++] = (struct gt_sink_info){
            .connector = name, .task = task, .offset = record.offsets[i].offset};
        queue->sinks = items;
    }
    return 0;
}

int gt_inspect_queues(struct gt_inspect *inspect, const char *topic, struct gt_arena *arena,
                      struct gt_queue_info **ret, size_t *ret_count, struct gantry_err *err)
{
    struct collecting all = {.inspect = inspect, .arena = arena, .topic = topic, .err = err};
    struct gantry_view every = {NULL, 0};
    int code = gt_env_scan(&inspect->env, GT_TABLE_TOPICS, every, add_topic, &all, err);
    if (code == 0)
        code = gt_env_scan(&inspect->env, GT_TABLE_SEGMENTS, every, add_segment, &all, err);
    if (code == 0)
        code = gt_env_scan(&inspect->env, GT_TABLE_PROGRESS, every, add_sink, &all, err);
    *ret = all.queues;
    *ret_count = all.count;
    return code;
}

/* --- Positions --- */

struct positions {
    struct gt_arena *arena;
    struct gt_position_info *items;
    size_t count;
    struct gantry_err *err;
};

static int add_position(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct positions *all = arg;
    struct gantry_view name, partition, position;
    if (gt_key_is_tails(key))
        return 0;
    if (gt_key_read_name(key, &name) != 0 ||
        gt_position_record_read(value, &partition, &position) != 0)
        return damaged(all->err, "positions");
    all->items = grow(all->arena, all->items, all->count, sizeof *all->items);
    const char *connector = gt_arena_copy(all->arena, name);
    const char *first = gt_arena_copy(all->arena, partition);
    const char *second = gt_arena_copy(all->arena, position);
    if (all->items == NULL || connector == NULL || first == NULL || second == NULL)
        return no_memory(all->err);
    all->items[all->count++] = (struct gt_position_info){.connector = connector,
                                                         .partition = {first, partition.len},
                                                         .position = {second, position.len}};
    return 0;
}

int gt_inspect_positions(struct gt_inspect *inspect, struct gt_arena *arena,
                         struct gt_position_info **ret, size_t *ret_count, struct gantry_err *err)
{
    struct positions all = {.arena = arena, .err = err};
    struct gantry_view every = {NULL, 0};
    int code = gt_env_scan(&inspect->env, GT_TABLE_POSITIONS, every, add_position, &all, err);
    *ret = all.items;
    *ret_count = all.count;
    return code;
}

/* --- At brokers --- */

struct standing {
    struct gt_arena *arena;
    struct gt_queue_offset *tails; /* of all tasks of the source */
    size_t count;
    int64_t read;
    struct gantry_err *err;
};

static int add_tails(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct standing *standing = arg;
    struct gantry_view name;
    struct gt_tails_record record;
    if (gt_key_read_name(key, &name) != 0)
        return damaged(standing->err, "positions");
    if (key.len != name.len + 1 + 4)
        return 0; /* a position */
    const char *copy = gt_arena_copy(standing->arena, value);
    if (copy == NULL)
        return no_memory(standing->err);
    if (gt_tails_record_read((struct gantry_view){copy, value.len}, standing->arena, &record) != 0)
        return damaged(standing->err, "tails");
    for (size_t i = 0; i < record.offset_count; i++) {
        standing->tails =
            grow(standing->arena, standing->tails, standing->count, sizeof *standing->tails);
        if (standing->tails == NULL)
            return no_memory(standing->err);
        standing->tails[standing->count++] = record.offsets[i];
    }
    return 0;
}

/* What the sink has read of each queue that the source writes to. */
static int add_read(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct standing *standing = arg;
    struct gt_progress_record record;
    (void)key;
    if (gt_progress_record_read(value, standing->arena, &record) != 0)
        return damaged(standing->err, "sink progress entries");
    for (size_t i = 0; i < record.offset_count; i++) {
        const struct gt_queue_offset *at = &record.offsets[i];
        for (size_t k = 0; k < standing->count; k++) {
            const struct gt_queue_offset *tail = &standing->tails[k];
            if (tail->queue == at->queue && gantry_view_equal(tail->topic, at->topic) &&
                gantry_view_equal(tail->broker, at->broker))
                standing->read += at->offset < tail->offset ? at->offset : tail->offset;
        }
    }
    return 0;
}

int gt_inspect_brokers(struct gt_inspect *inspect, const char *source, const char *sink,
                       struct gt_arena *arena, int64_t *ret_end, int64_t *ret_read,
                       struct gantry_err *err)
{
    struct standing standing = {.arena = arena, .err = err};
    struct gt_key key;
    gt_key_prefix(&key, source);
    int code = gt_env_scan(&inspect->env, GT_TABLE_POSITIONS, gt_key_view(&key), add_tails,
                           &standing, err);
    gt_key_prefix(&key, sink);
    if (code == 0)
        code = gt_env_scan(&inspect->env, GT_TABLE_PROGRESS, gt_key_view(&key), add_read, &standing,
                           err);
    *ret_end = 0;
    *ret_read = standing.read;
    for (size_t i = 0; i < standing.count; i++)
        *ret_end += standing.tails[i].offset;
    return code;
}

/* --- Messages --- */

struct finding {
    int64_t offset;
    struct gt_segment_record record; /* the last one that begins at or before offset */
    struct gt_segment_record first;
    bool any, found;
};

static int find_record(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct finding *finding = arg;
    struct gt_segment_record record;
    (void)key;
    int code = gt_segment_record_read(value, &record);
    if (code != 0)
        return code;
    if (!finding->any)
        finding->first = record;
    finding->any = true;
    if (record.base_offset <= finding->offset) {
        finding->record = record;
        finding->found = true;
    }
    return 0;
}

/* The committed part of the segment that holds @p *offset, which moves up to the first offset that
 * is there. */
static int find_segment(struct gt_inspect *inspect, const char *topic, uint32_t queue,
                        int64_t *offset, struct gt_segment_record *ret, bool *ret_some,
                        struct gantry_err *err)
{
    struct gt_key key;
    struct finding finding = {.offset = *offset};
    gt_key_queue(&key, topic, queue);
    int code = gt_env_scan(&inspect->env, GT_TABLE_SEGMENTS, gt_key_view(&key), find_record,
                           &finding, err);
    if (code != 0)
        return gantry_err_set(err, code, "the store's segments are damaged");
    if (finding.any && !finding.found) {
        *offset = finding.first.base_offset;
        finding.record = finding.first;
    }
    *ret = finding.record;
    *ret_some = finding.any && *offset < finding.record.end_offset;
    return 0;
}

/* The settled damage of one queue. */
struct gaps {
    struct gt_arena *arena;
    struct gt_gap_record *items;
    size_t count;
};

static int add_gap(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct gaps *gaps = arg;
    (void)key;
    gaps->items = grow(gaps->arena, gaps->items, gaps->count, sizeof *gaps->items);
    return gaps->items == NULL ? GANTRY_NO_MEMORY
                               : gt_gap_record_read(value, &gaps->items[gaps->count++]);
}

static int find_gaps(struct gt_inspect *inspect, const char *topic, uint32_t queue,
                     struct gaps *gaps, struct gantry_err *err)
{
    struct gt_key key;
    gt_key_queue(&key, topic, queue);
    int code = gt_env_scan(&inspect->env, GT_TABLE_GAPS, gt_key_view(&key), add_gap, gaps, err);
    return code != 0 ? gantry_err_set(err, code, "the store's gaps cannot be read") : 0;
}

static int read_batch(struct gt_inspect *inspect, const char *path, int64_t limit,
                      struct gt_batch_info *ret, struct gantry_err *err)
{
    char header[GT_BATCH_HEADER];
    struct gantry_err reason = {0};
    if (pread(inspect->fd, header, sizeof header, inspect->at) != (ssize_t)sizeof header)
        return gantry_err_set(err, GANTRY_CORRUPT, "%s at byte %lld: cut short", path,
                              (long long)inspect->at);
    int code = gt_batch_header_read(header, (size_t)(limit - inspect->at), ret, &reason);
    if (code != 0)
        return gantry_err_set(err, code, "%s at byte %lld: %s", path, (long long)inspect->at,
                              reason.text);
    return 0;
}

static int load_batch(struct gt_inspect *inspect, const char *path,
                      const struct gt_batch_info *info, struct gantry_err *err)
{
    struct gantry_err reason = {0};
    gt_buf_clear(&inspect->batch);
    char *data = gt_buf_reserve(&inspect->batch, info->length);
    if (data == NULL)
        return no_memory(err);
    if (pread(inspect->fd, data, info->length, inspect->at) != (ssize_t)info->length)
        return gantry_err_set(err, GANTRY_CORRUPT, "%s at byte %lld: cut short", path,
                              (long long)inspect->at);
    int code = gt_batch_check(data, info, &reason);
    return code == 0 ? 0
                     : gantry_err_set(err, code, "%s at byte %lld: %s", path,
                                      (long long)inspect->at, reason.text);
}

/* Open the segment at its first batch unless the last read ended in it. */
static int enter_segment(struct gt_inspect *inspect, const char *topic, uint32_t queue,
                         int64_t base, int64_t offset, const char *path, struct gantry_err *err)
{
    if (inspect->fd >= 0 && inspect->topic != NULL && strcmp(inspect->topic, topic) == 0 &&
        inspect->queue == queue && inspect->base == base && inspect->offset <= offset)
        return 0;
    forget_place(inspect);
    inspect->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (inspect->fd < 0)
        return gt_file_error(err, "open", path);
    inspect->topic = strdup(topic);
    inspect->queue = queue;
    inspect->base = inspect->offset = base;
    inspect->at = GT_SEGMENT_HEADER;
    return 0;
}

/* Go to the batch that holds *offset, or to the end of the segment's committed part. */
static int find_batch(struct gt_inspect *inspect, const struct gt_segment_record *record,
                      const struct gaps *gaps, const char *path, int64_t *offset,
                      struct gt_batch_info *ret, bool *ret_found, struct gantry_err *err)
{
    *ret_found = false;
    for (;;) {
        const struct gt_gap_record *gap =
            gt_gap_at(gaps->items, gaps->count, record->base_offset, inspect->at, *offset);
        if (gap != NULL) {
            inspect->at = gap->to;
            if (*offset < gap->end_offset)
                *offset = gap->end_offset;
            continue;
        }
        if (inspect->at >= record->bytes)
            break;
        int code = read_batch(inspect, path, record->bytes, ret, err);
        if (code != 0)
            return code;
        if (*offset < ret->base_offset + ret->count) {
            *ret_found = true;
            return 0;
        }
        inspect->at += ret->length;
    }
    if (*offset < record->end_offset)
        return gantry_err_set(err, GANTRY_CORRUPT, "%s at byte %lld: messages are missing", path,
                              (long long)inspect->at);
    return 0;
}

int gt_inspect_read(struct gt_inspect *inspect, const char *topic, uint32_t queue, int64_t offset,
                    struct gt_arena *arena, const struct gt_message **ret, size_t *ret_count,
                    int64_t *ret_first, int64_t *ret_next, struct gantry_err *err)
{
    struct gt_batch_info info = {0};
    struct gt_message *messages;
    struct gaps gaps = {.arena = arena};
    int64_t gone = -1;
    *ret_count = 0;
    *ret_next = *ret_first = offset;
    int code = find_gaps(inspect, topic, queue, &gaps, err);
    bool found = false;
    while (code == 0 && !found) {
        struct gt_segment_record record = {0};
        bool some = false;
        code = find_segment(inspect, topic, queue, &offset, &record, &some, err);
        if (code != 0 || !some)
            return code;
        char *path = segment_path(arena, inspect->store, topic, queue, record.base_offset);
        if (path == NULL)
            return no_memory(err);
        code = enter_segment(inspect, topic, queue, record.base_offset, offset, path, err);
        if (code == GANTRY_NOT_FOUND &&
            gone != record.base_offset) { /* retention may have been faster: look again */
            gone = record.base_offset;
            code = 0;
            continue;
        }
        if (code == 0)
            code = find_batch(inspect, &record, &gaps, path, &offset, &info, &found, err);
        if (code == 0 && found)
            code = load_batch(inspect, path, &info, err);
    }
    if (code == 0)
        code = gt_batch_read(inspect->batch.data, &info, arena, &messages, err);
    if (code != 0)
        return code;
    size_t skip = offset > info.base_offset ? (size_t)(offset - info.base_offset) : 0;
    *ret = messages + skip;
    *ret_count = info.count - skip;
    *ret_first = info.base_offset + (int64_t)skip;
    *ret_next = info.base_offset + info.count;
    inspect->at += info.length;
    inspect->offset = *ret_next;
    return 0;
}
