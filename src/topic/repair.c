/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to a store that no worker uses: forgetting a connector, and settling damage.
 *
 * Settling deletes nothing and writes into no batch: what cannot be read is noted as a gap (bytes
 * to pass over, offsets that are gone), and readers go around it. Only a file that is shorter than
 * its committed part gets a record that says so, and one that is gone an empty file in its place.
 */
#include "base/clock.h"
#include "base/file.h"
#include "store/tables.h"
#include "topic/embedded/segment.h"
#include "topic/inspect.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct gt_commit_ops no_ops = {0};

static int count_entry(void *arg, struct gantry_view key, struct gantry_view value)
{
    (void)key;
    (void)value;
    ++*(size_t *)arg;
    return 0;
}

/* Opening would make a store only to find nothing in it. */
static int check_there(const char *folder, struct gantry_err *err)
{
    struct stat st;
    char env[8192];
    snprintf(env, sizeof env, "%s/gantry/data.mdb", folder);
    return stat(env, &st) == 0 ? 0 : gt_inspect_no_store(folder, err);
}

/* What a worker with a broker has in its store comes back from the cluster's log. */
static int check_own(struct gt_store *store, const char *folder, struct gantry_err *err)
{
    struct gt_buf value;
    gt_buf_init(&value, 256);
    int code = gt_store_get(store, GT_TABLE_META, gantry_view_of("incarnation"), &value, NULL);
    gt_buf_deinit(&value);
    if (code != 0)
        return 0;
    return gantry_err_set(err, GANTRY_NOT_FOUND, GT_INSPECT_CACHE_TEXT, folder);
}

int gt_store_reset_connector(const char *folder, const char *connector, size_t *ret_count,
                             struct gantry_err *err)
{
    struct gt_store *store = NULL;
    struct gt_key prefix;
    struct gt_commit commit;
    *ret_count = 0;
    int code = check_there(folder, err);
    if (code == 0)
        code = gt_store_open(folder, 0, &store, err);
    if (code != 0)
        return code;
    gt_key_prefix(&prefix, connector);
    gt_commit_init(&commit, &no_ops);
    code = check_own(store, folder, err);
    if (code == 0)
        code = gt_store_scan(store, GT_TABLE_POSITIONS, gt_key_view(&prefix), count_entry,
                             ret_count, err);
    if (code == 0)
        code = gt_store_scan(store, GT_TABLE_PROGRESS, gt_key_view(&prefix), count_entry, ret_count,
                             err);
    if (code == 0 && *ret_count > 0) {
        gt_commit_delete_prefix(&commit, GT_TABLE_POSITIONS, gt_key_view(&prefix));
        gt_commit_delete_prefix(&commit, GT_TABLE_PROGRESS, gt_key_view(&prefix));
        code = gt_store_commit_now(store, &commit, err);
    }
    gt_commit_deinit(&commit);
    gt_store_close(store);
    return code;
}

struct segment_item {
    uint32_t queue;
    struct gt_segment_record record;
};

struct repair {
    const char *topic;
    char folder[4096]; /* of the topic */
    bool settle;
    FILE *out;
    struct segment_item *segments; /* owned */
    size_t segment_count;
    struct gt_gap_record *gaps; /* owned: settled before */
    uint32_t *gap_queues;       /* owned */
    size_t gap_count;
    struct gt_commit commit;
    size_t damaged;
    int64_t lost;
};

static int add_segment(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct repair *repair = arg;
    struct gantry_view topic;
    int64_t base;
    struct segment_item *grown =
        realloc(repair->segments, (repair->segment_count + 1) * sizeof *repair->segments);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    repair->segments = grown;
    struct segment_item *item = &grown[repair->segment_count];
    int code = gt_key_read_segment(key, &topic, &item->queue, &base);
    if (code == 0)
        code = gt_segment_record_read(value, &item->record);
    if (code == 0)
        repair->segment_count++;
    return code;
}

static int add_gap(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct repair *repair = arg;
    struct gantry_view topic;
    int64_t base;
    struct gt_gap_record *gaps = realloc(repair->gaps, (repair->gap_count + 1) * sizeof *gaps);
    if (gaps != NULL)
        repair->gaps = gaps;
    uint32_t *queues = realloc(repair->gap_queues, (repair->gap_count + 1) * sizeof *queues);
    if (queues != NULL)
        repair->gap_queues = queues;
    if (gaps == NULL || queues == NULL)
        return GANTRY_NO_MEMORY;
    int code = gt_key_read_segment(key, &topic, &queues[repair->gap_count], &base);
    if (code == 0)
        code = gt_gap_record_read(value, &gaps[repair->gap_count]);
    if (code == 0)
        repair->gap_count++;
    return code;
}

/* gt_gap_at among the gaps of one queue. */
static const struct gt_gap_record *known_gap(const struct repair *repair, uint32_t queue,
                                             int64_t segment, int64_t at, int64_t offset)
{
    const struct gt_gap_record *found = NULL;
    for (size_t i = 0; i < repair->gap_count; i++) {
        const struct gt_gap_record *gap = &repair->gaps[i];
        if (repair->gap_queues[i] == queue && gt_gap_at(gap, 1, segment, at, offset) != NULL &&
            (found == NULL || gap->to > found->to))
            found = gap;
    }
    return found;
}

static void note_gap(struct repair *repair, const struct segment_item *item,
                     const struct gt_gap_record *gap, const char *path, const char *reason)
{
    repair->damaged++;
    repair->lost += gap->end_offset - gap->base_offset;
    fprintf(repair->out,
            "%s: bytes %" PRId64 "-%" PRId64 ": %s; messages %" PRId64 "-%" PRId64
            " cannot be read\n",
            path, gap->from, gap->to, reason, gap->base_offset, gap->end_offset - 1);
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, 1024);
    gt_gap_record_write(&value, gap);
    gt_key_segment(&key, repair->topic, item->queue, gap->base_offset);
    gt_commit_put(&repair->commit, GT_TABLE_GAPS, gt_key_view(&key), gt_buf_view(&value));
    gt_buf_deinit(&value);
}

static void note_segment(struct repair *repair, const struct segment_item *item)
{
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, 1024);
    gt_segment_record_write(&value, &item->record);
    gt_key_segment(&key, repair->topic, item->queue, item->record.base_offset);
    gt_commit_put(&repair->commit, GT_TABLE_SEGMENTS, gt_key_view(&key), gt_buf_view(&value));
    gt_buf_deinit(&value);
}

/* The next byte after @p at where a whole, undamaged batch of offsets @p offset to @p end begins;
 * @p len when there is none. */
static int64_t next_good(const char *data, int64_t at, int64_t len, int64_t offset, int64_t end,
                         int64_t *ret_offset)
{
    struct gt_batch_info info;
    for (at++; at + GT_BATCH_HEADER <= len; at++) {
        const char *hit = memchr(data + at, 'G', (size_t)(len - at));
        if (hit == NULL)
            break;
        at = hit - data;
        if (gt_batch_header_read(hit, (size_t)(len - at), &info, NULL) == 0 &&
            info.base_offset >= offset && info.base_offset + info.count <= end &&
            gt_batch_check(hit, &info, NULL) == 0) {
            *ret_offset = info.base_offset;
            return at;
        }
    }
    return len;
}

static void check_data(struct repair *repair, struct segment_item *item, const char *path,
                       const char *data, int64_t len)
{
    struct gt_segment_record *record = &item->record;
    int64_t at = GT_SEGMENT_HEADER, offset = record->base_offset, last_batch = 0;
    while (at < len) {
        struct gt_batch_info info;
        struct gantry_err reason = {0};
        const struct gt_gap_record *known =
            known_gap(repair, item->queue, record->base_offset, at, offset);
        if (known != NULL) {
            at = known->to;
            offset = known->end_offset;
            continue;
        }
        int code = gt_batch_header_read(data + at, (size_t)(len - at), &info, &reason);
        if (code == 0)
            code = gt_batch_check(data + at, &info, &reason);
        if (code == 0 && (info.base_offset != offset || info.count > record->end_offset - offset))
            code = gantry_err_set(&reason, GANTRY_CORRUPT,
                                  "offsets %" PRId64 "-%" PRId64 " do not belong here",
                                  info.base_offset, info.base_offset + info.count - 1);
        if (code == 0) {
            last_batch = at;
            at += info.length;
            offset = info.base_offset + info.count;
            continue;
        }
        struct gt_gap_record gap = {.base_offset = offset,
                                    .end_offset = record->end_offset,
                                    .segment = record->base_offset,
                                    .from = at};
        gap.to = next_good(data, at, len, offset, record->end_offset, &gap.end_offset);
        note_gap(repair, item, &gap, path, reason.text);
        at = gap.to;
        offset = gap.end_offset;
    }
    const struct gt_gap_record *known =
        known_gap(repair, item->queue, record->base_offset, at, offset);
    if (offset < record->end_offset && (known == NULL || known->end_offset < record->end_offset)) {
        struct gt_gap_record gap = {.base_offset = offset,
                                    .end_offset = record->end_offset,
                                    .segment = record->base_offset,
                                    .from = at,
                                    .to = at};
        note_gap(repair, item, &gap, path, "the file was cut short");
    }
    record->last_batch = last_batch;
}

/* Put a file with nothing but its header where there is none, or where its header is damaged and
 * nothing can follow. */
static int make_empty(const char *path, int64_t base, struct gantry_err *err)
{
    uint8_t header[GT_SEGMENT_HEADER];
    gt_segment_header_write(header, base, gt_clock_wall_ms());
    char folder[4096 + 64];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    int code = gt_folder_make(folder, "repair.folder-sync", err);
    if (code != 0)
        return code;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return gt_file_error(err, "create", path);
    code = gt_file_write_at(fd, header, sizeof header, 0, path, "repair.header", err);
    if (code == 0)
        code = gt_file_sync(fd, path, "repair.sync", err);
    close(fd);
    return code == 0 ? gt_folder_sync_of(path, "repair.entry-sync", err) : code;
}

static int check_segment(struct repair *repair, struct segment_item *item, struct gantry_err *err)
{
    char path[4096 + 64];
    struct gantry_err reason = {0};
    struct gt_segment_record *record = &item->record;
    snprintf(path, sizeof path, "%s/%u/%020" PRId64 ".log", repair->folder, item->queue,
             record->base_offset);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};
    if (fd < 0 && errno != ENOENT)
        return gt_file_error(err, "open", path);
    if (fd >= 0 && fstat(fd, &st) != 0) {
        close(fd);
        return gt_file_error(err, "read", path);
    }
    int64_t len = st.st_size < record->bytes ? st.st_size : record->bytes;
    char *data = NULL;
    int code = 0;
    if (len > 0) {
        data = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            close(fd);
            return gt_file_error(err, "map", path);
        }
    }
    if (gt_segment_header_check(data, (size_t)len, record->base_offset, &reason) != 0) {
        fprintf(repair->out, "%s: byte 0: %s\n", path,
                len == 0 ? "the file is gone or empty" : reason.text);
        repair->damaged++;
        if (repair->settle)
            code = make_empty(path, record->base_offset, err);
    }
    if (code == 0)
        check_data(repair, item, path, data, len > GT_SEGMENT_HEADER ? len : GT_SEGMENT_HEADER);
    if (len < record->bytes) {
        record->bytes = len > GT_SEGMENT_HEADER ? len : GT_SEGMENT_HEADER;
        note_segment(repair, item);
    }
    if (data != NULL)
        munmap(data, (size_t)len);
    if (fd >= 0)
        close(fd);
    return code;
}

int gt_store_repair_topic(const char *folder, const char *topic, bool settle, FILE *out,
                          struct gantry_err *err)
{
    struct repair repair = {.topic = topic, .settle = settle, .out = out};
    struct gt_store *store = NULL;
    struct gt_key prefix;
    int code = check_there(folder, err);
    if (code == 0)
        code = gt_store_open(folder, 0, &store, err);
    if (code != 0)
        return code;
    gt_commit_init(&repair.commit, &no_ops);
    snprintf(repair.folder, sizeof repair.folder, "%s/topics/%s", gt_store_folder(store), topic);
    gt_key_prefix(&prefix, topic);
    code = gt_store_scan(store, GT_TABLE_SEGMENTS, gt_key_view(&prefix), add_segment, &repair, err);
    if (code == 0)
        code = gt_store_scan(store, GT_TABLE_GAPS, gt_key_view(&prefix), add_gap, &repair, err);
    if (code != 0)
        gantry_err_set(err, code, "the store's records of topic %s cannot be read: %s", topic,
                       gantry_error_text(code));
    if (code == 0 && repair.segment_count == 0)
        code =
            gantry_err_set(err, GANTRY_NOT_FOUND, "topic %s has no messages in %s", topic, folder);
    for (size_t i = 0; i < repair.segment_count && code == 0; i++)
        code = check_segment(&repair, &repair.segments[i], err);
    if (code == 0 && settle && repair.damaged > 0)
        code = gt_store_commit_now(store, &repair.commit, err);
    if (code == 0 && repair.damaged == 0)
        fprintf(out, "topic %s: %zu segments, no damage\n", topic, repair.segment_count);
    else if (code == 0)
        fprintf(out, "topic %s: %zu damaged places, %" PRId64 " messages cannot be read; %s\n",
                topic, repair.damaged, repair.lost,
                settle ? "settled: they are passed over from now on"
                       : "`--settle` passes over them from then on");
    gt_commit_deinit(&repair.commit);
    free(repair.segments);
    free(repair.gaps);
    free(repair.gap_queues);
    gt_store_close(store);
    return code;
}
