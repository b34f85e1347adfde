/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the topics of a store. What the store says was committed is compared with the files:
 *
 *   file longer than committed    the rest was never acknowledged: it is ignored, and the next
 * append begins a new file (never cut: a reader of another process may have it mapped) file as long
 * as committed     the next append goes on behind it file shorter, or gone,        the topic is
 * damaged: it refuses work and says where, the others go on or its end does not check file without
 * a committed byte removed
 *
 * The end of the last segment is checked to the byte, and all of it when it is small; older batches
 * are checked when they are read. */
#include "topic/embedded/queue.h"

#include "base/file.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHECK_WHOLE = 4 << 20 };

/* --- What the store says --- */

struct loading {
    struct gt_embedded *topics;
    struct gantry_err *err;
};

static int no_memory(struct loading *loading)
{
    return gantry_err_set(loading->err, GANTRY_NO_MEMORY, "no memory for the topics");
}

static int load_topic(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct loading *loading = arg;
    struct gt_topic_record record;
    if (gt_topic_record_read(value, &record) != 0)
        return gantry_err_set(loading->err, GANTRY_CORRUPT,
                              "the store's record of topic %.*s is damaged", GT_VIEW_ARGS(key));
    char name[GT_KEY_MAX + 1];
    snprintf(name, sizeof name, "%.*s", GT_VIEW_ARGS(key));
    struct gt_embedded_topic *topic = gt_embedded_topic_new(loading->topics, name, record.queues);
    if (topic == NULL || gt_map_put(&loading->topics->map, key, topic, NULL) != 0) {
        gt_embedded_topic_free(topic);
        return no_memory(loading);
    }
    atomic_store(&topic->recorded, true);
    return 0;
}

static struct gt_queue *find_queue(struct gt_embedded *topics, struct gantry_view name,
                                   uint32_t index)
{
    struct gt_embedded_topic *topic = gt_map_get(&topics->map, name);
    return topic != NULL && index < topic->queue_count ? &topic->queues[index] : NULL;
}

static int load_segment(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct loading *loading = arg;
    struct gantry_view name;
    uint32_t index;
    int64_t base;
    struct gt_segment_record record;
    struct gt_queue *queue = NULL;
    if (gt_key_read_segment(key, &name, &index, &base) == 0)
        queue = find_queue(loading->topics, name, index);
    if (queue == NULL || gt_segment_record_read(value, &record) != 0 ||
        record.base_offset != base || record.bytes < GT_SEGMENT_HEADER)
        return gantry_err_set(loading->err, GANTRY_CORRUPT,
                              "the store's record of a segment is damaged (topic %.*s)",
                              GT_VIEW_ARGS(key));
    struct gt_segment *segment = gt_segment_new(queue, base);
    if (segment == NULL)
        return no_memory(loading);
    segment->committed = segment->written = record;
    if (queue->segment_count > 0 && queue->end_offset != base)
        gt_queue_damaged(queue, segment->path, 0, "the segment before it is missing", NULL);
    int code = gt_queue_list_segment(queue, segment);
    gt_segment_unref(segment);
    if (code != 0)
        return no_memory(loading);
    queue->end_offset = queue->next_offset = record.end_offset;
    return 0;
}

static int load_gap(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct loading *loading = arg;
    struct gantry_view name;
    uint32_t index;
    int64_t base;
    struct gt_gap_record record;
    struct gt_queue *queue = NULL;
    if (gt_key_read_segment(key, &name, &index, &base) == 0)
        queue = find_queue(loading->topics, name, index);
    if (queue == NULL || gt_gap_record_read(value, &record) != 0)
        return gantry_err_set(loading->err, GANTRY_CORRUPT,
                              "the store's record of a gap is damaged (topic %.*s)",
                              GT_VIEW_ARGS(key));
    struct gt_gap_record *grown = realloc(queue->gaps, (queue->gap_count + 1) * sizeof *grown);
    if (grown == NULL)
        return no_memory(loading);
    queue->gaps = grown;
    queue->gaps[queue->gap_count++] = record;
    return 0;
}

/* --- What the files say --- */

/* Check the batches of @p data, which are the file's bytes from @p start on; the first is of offset
 * @p expected
 * (-1: not known). */
static void check_batches(struct gt_queue *queue, const struct gt_segment *segment,
                          const char *data, int64_t start, int64_t expected)
{
    const struct gt_segment_record *record = &segment->committed;
    struct gantry_err reason = {0};
    int64_t at = start;
    while (at < record->bytes) {
        const struct gt_gap_record *gap =
            gt_gap_at(queue->gaps, queue->gap_count, segment->base, at, expected);
        if (gap != NULL) {
            at = gap->to;
            expected = gap->end_offset;
            continue;
        }
        struct gt_batch_info info;
        const char *batch = data + (at - start);
        int code = gt_batch_header_read(batch, (size_t)(record->bytes - at), &info, &reason);
        if (code == 0)
            code = gt_batch_check(batch, &info, &reason);
        if (code == 0 && expected >= 0 && info.base_offset != expected)
            code = gantry_err_set(&reason, GANTRY_CORRUPT,
                                  "the batch begins at offset %lld, expected %lld",
                                  (long long)info.base_offset, (long long)expected);
        if (code != 0) {
            gt_queue_damaged(queue, segment->path, at, reason.text, NULL);
            return;
        }
        expected = info.base_offset + info.count;
        at += info.length;
    }
    const struct gt_gap_record *gap =
        gt_gap_at(queue->gaps, queue->gap_count, segment->base, at, expected);
    if (gap != NULL)
        expected = gap->end_offset;
    if (expected != record->end_offset)
        gt_queue_damaged(queue, segment->path, at, "its messages end before the committed end",
                         NULL);
}

static int check_last(struct gt_queue *queue, const struct gt_segment *segment, int fd,
                      struct gantry_err *err)
{
    const struct gt_segment_record *record = &segment->committed;
    int64_t start = record->bytes <= CHECK_WHOLE || record->last_batch < GT_SEGMENT_HEADER
                        ? GT_SEGMENT_HEADER
                        : record->last_batch;
    int64_t expected = start == GT_SEGMENT_HEADER ? record->base_offset : -1;
    const struct gt_gap_record *gap =
        gt_gap_at(queue->gaps, queue->gap_count, segment->base, start, expected);
    if (gap != NULL) { /* as large as it may be, it is not read */
        start = gap->to < record->bytes ? gap->to : record->bytes;
        expected = gap->end_offset;
    }
    size_t len = (size_t)(record->bytes - start);
    struct gantry_err reason;
    uint8_t header[GT_SEGMENT_HEADER];
    char *data = malloc(len + 1);
    int code = 0;
    if (data == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to check %s", segment->path);
    if (pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header ||
        pread(fd, data, len, start) != (ssize_t)len)
        gt_queue_damaged(queue, segment->path, start, "cannot be read", NULL);
    else if (gt_segment_header_check(header, sizeof header, segment->base, &reason) != 0)
        gt_queue_damaged(queue, segment->path, 0, reason.text, NULL);
    else
        check_batches(queue, segment, data, start, expected);
    free(data);
    return code;
}

static int check_segment(struct gt_queue *queue, struct gt_segment *segment, bool last,
                         struct gantry_err *err)
{
    struct stat st;
    int fd = open(segment->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        gt_queue_damaged(queue, segment->path, 0, strerror(errno), NULL);
        return 0;
    }
    int code = 0;
    if (fstat(fd, &st) != 0)
        code = gt_file_error(err, "read", segment->path);
    else if (st.st_size < segment->committed.bytes)
        gt_queue_damaged(queue, segment->path, st.st_size, "the file was cut short", NULL);
    else if (last) {
        code = check_last(queue, segment, fd, err);
        queue->resume = st.st_size == segment->committed.bytes;
    }
    close(fd);
    return code;
}

static bool is_segment_name(const char *name)
{
    return strlen(name) == 24 && strspn(name, "0123456789") == 20 && strcmp(name + 20, ".log") == 0;
}

static bool is_listed(const struct gt_queue *queue, int64_t base)
{
    for (size_t i = 0; queue != NULL && i < queue->segment_count; i++) {
        if (queue->segments[i]->base == base)
            return true;
    }
    return false;
}

/* Remove the files of @p folder that no committed record speaks of. */
static void remove_orphans(const struct gt_queue *queue, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!is_segment_name(entry->d_name) || is_listed(queue, strtoll(entry->d_name, NULL, 10)))
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            gt_info("topic", "removed a segment without committed messages file=%s/%s", folder,
                    entry->d_name);
    }
    closedir(dir);
}

/* Each folder STORE/topics/NAME/QUEUE, known to the store or not. */
static void sweep_topic(struct gt_embedded *topics, const char *name)
{
    char folder[8192];
    snprintf(folder, sizeof folder, "%s/%s", topics->folder, name);
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t digits = strspn(entry->d_name, "0123456789");
        if (digits == 0 || entry->d_name[digits] != '\0' || digits > 9)
            continue;
        char inner[8192 + 300];
        snprintf(inner, sizeof inner, "%s/%s", folder, entry->d_name);
        remove_orphans(
            find_queue(topics, gantry_view_of(name), (uint32_t)strtoul(entry->d_name, NULL, 10)),
            inner);
    }
    closedir(dir);
}

static int sweep(struct gt_embedded *topics, struct gantry_err *err)
{
    DIR *dir = opendir(topics->folder);
    if (dir == NULL)
        return gt_file_error(err, "read", topics->folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.')
            sweep_topic(topics, entry->d_name);
    }
    closedir(dir);
    return 0;
}

static int check_queue(struct gt_queue *queue, struct gantry_err *err)
{
    int code = 0;
    for (size_t i = 0; i < queue->segment_count && code == 0; i++)
        code = check_segment(queue, queue->segments[i], i + 1 == queue->segment_count, err);
    return code;
}

int gt_topics_recover(struct gt_embedded *topics, struct gantry_err *err)
{
    struct loading loading = {topics, err};
    struct gantry_view all = {NULL, 0};
    int code = gt_store_scan(topics->store, GT_TABLE_TOPICS, all, load_topic, &loading, err);
    if (code == 0)
        code = gt_store_scan(topics->store, GT_TABLE_SEGMENTS, all, load_segment, &loading, err);
    if (code == 0)
        code = gt_store_scan(topics->store, GT_TABLE_GAPS, all, load_gap, &loading, err);

    size_t cursor = 0;
    struct gantry_view name;
    void *value;
    while (code == 0 && gt_map_next(&topics->map, &cursor, &name, &value)) {
        struct gt_embedded_topic *topic = value;
        for (uint32_t i = 0; i < topic->queue_count && code == 0; i++)
            code = check_queue(&topic->queues[i], err);
    }
    return code == 0 ? sweep(topics, err) : code;
}
