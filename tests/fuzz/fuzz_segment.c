/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as a segment file. First as batches in memory: whatever reads well must have the
 * right checksum and views inside the input. Then as the file of a real store whose record says
 * that all of it is committed: opening, reading, appending and repairing must end in messages or in
 * an error. The input's first byte chooses what is mended first (header, checksums, base offsets),
 * so that the fuzzer gets behind them. */
#include "base/cursor.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "store/tables.h"
#include "topic/embedded/segment.h"
#include "topic/inspect.h"
#include "topic/topic.h"
#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEND_HEADER = 1,
    MEND_BATCHES = 2,
    CUT_RECORD = 4,
    SETTLE = 8,
    IN_STORE = 16,
    SMALL_CLAIMS = 1 << 20
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void clean_up(void)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void set_up(void)
{
    if (folder[0] != '\0')
        return;
    gt_log_set_level((enum gantry_log_level)(GANTRY_LOG_ERROR + 1));
    strcpy(folder, access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm/gantry-fuzz-XXXXXX"
                                                        : "/tmp/gantry-fuzz-XXXXXX");
    if (mkdtemp(folder) == NULL)
        abort();
    atexit(clean_up);
}

/* Lengths that fit, right checksums: the way to the code behind them. Returns the offset reached.
 */
static int64_t mend(uint8_t *bytes, size_t size, int what)
{
    int64_t offset = 0;
    if ((what & MEND_HEADER) != 0 && size >= GT_SEGMENT_HEADER)
        gt_segment_header_write(bytes, 0, 1);
    size_t at = GT_SEGMENT_HEADER;
    while ((what & MEND_BATCHES) != 0 && at + GT_BATCH_HEADER <= size) {
        uint8_t *batch = bytes + at;
        size_t left = size - at;
        size_t length = GT_BATCH_HEADER + batch[8]; /* short ones, so that there are several */
        if (length > left || left - length < GT_BATCH_HEADER)
            length = left;
        uint32_t raw = gt_load_le32(batch + 48) % SMALL_CLAIMS;
        memcpy(batch, "GTB1\1\0", 6);
        batch[6] = GT_BATCH_HEADER;
        batch[7] = 0;
        batch[28] %= 4;
        if (batch[28] == GT_COMPRESSION_NONE)
            raw = (uint32_t)(length - GT_BATCH_HEADER);
        gt_store_le32(batch + 8, (uint32_t)length);
        gt_store_le32(batch + 24, 1 + gt_load_le32(batch + 24) % 8);
        gt_store_le32(batch + 48, raw);
        gt_batch_seal((char *)batch, offset);
        offset += gt_load_le32(batch + 24);
        at += length;
    }
    return offset;
}

static bool inside(struct gantry_view view, const void *data, size_t len)
{
    return view.len == 0 ||
           (view.data >= (const char *)data && view.data + view.len <= (const char *)data + len);
}

static void read_batches(const uint8_t *bytes, size_t size)
{
    struct gt_arena arena;
    gt_arena_init(&arena, 65536, 65536);
    for (size_t at = 0; at + 4 < size; at++) {
        struct gt_batch_info info;
        struct gt_message *messages;
        struct gantry_err err = {0};
        if (gt_batch_header_read(bytes + at, size - at, &info, &err) != 0)
            continue;
        assert(info.length >= GT_BATCH_HEADER && info.length <= size - at && info.count > 0);
        bool right =
            gt_crc32c(0, bytes + at + 16, info.length - 16) == gt_load_le32(bytes + at + 12);
        assert((gt_batch_check(bytes + at, &info, &err) == 0) == right);
        /* Reading is only for what was checked; but it must stand on its own feet. */
        if (info.raw_length > SMALL_CLAIMS)
            continue;
        gt_arena_reset(&arena);
        if (gt_batch_read(bytes + at, &info, &arena, &messages, &err) == 0) {
            size_t sum = 0;
            for (uint32_t i = 0; i < info.count; i++) {
                sum += messages[i].body.len + messages[i].key.len + messages[i].properties.len;
                if (info.compression == GT_COMPRESSION_NONE)
                    assert(inside(messages[i].body, bytes + at, info.length) &&
                           inside(messages[i].key, bytes + at, info.length) &&
                           inside(messages[i].properties, bytes + at, info.length));
            }
            assert(sum <= info.raw_length);
        } else {
            assert(err.code != 0 && err.text[0] != '\0');
        }
    }
    gt_arena_deinit(&arena);
}

/* --- The same as a store --- */

static void record_segment(const char *store_path, int64_t bytes, int64_t end)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_topic_record topic = {.queues = 1};
    struct gt_segment_record segment = {.end_offset = end, .bytes = bytes};
    struct gantry_err err = {0};
    struct gt_store *store;
    struct gt_commit commit;
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, 1024);
    gt_commit_init(&commit, &no_ops);
    if (gt_store_open(store_path, 1 << 20, &store, &err) != 0)
        abort();
    gt_topic_record_write(&value, &topic);
    gt_commit_put(&commit, GT_TABLE_TOPICS, gantry_view_of("t"), gt_buf_view(&value));
    gt_key_segment(&key, "t", 0, 0);
    gt_buf_clear(&value);
    gt_segment_record_write(&value, &segment);
    gt_commit_put(&commit, GT_TABLE_SEGMENTS, gt_key_view(&key), gt_buf_view(&value));
    gt_commit_delete_prefix(&commit, GT_TABLE_GAPS, (struct gantry_view){NULL, 0});
    if (gt_store_commit_now(store, &commit, &err) != 0)
        abort();
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
    gt_store_close(store);
}

static void write_segment(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
}

static void done(struct gt_append *append)
{
    (void)append;
}

/* Read all; the offsets must go up and end at the committed end. Returns an error's code or 0. */
static int read_topic(struct gt_topic *topic, struct gantry_err *err)
{
    struct gt_reader *reader;
    struct gt_arena arena;
    int64_t last = -1;
    gt_arena_init(&arena, 65536, 65536);
    if (gt_reader_open(topic, &(struct gt_reader_spec){0}, &reader, err) != 0)
        abort();
    int code;
    for (;;) {
        const struct gt_message *messages;
        size_t count;
        int64_t first;
        gt_arena_reset(&arena);
        code = gt_reader_next(reader, &arena, &messages, &count, &first, err);
        if (code != 0 || count == 0)
            break;
        assert(first > last && first + (int64_t)count <= gt_topic_end(topic, 0));
        last = first + (int64_t)count - 1;
        gt_reader_took(reader, count);
    }
    assert(code != 0 || gt_reader_offset(reader) == gt_topic_end(topic, 0));
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
    return code;
}

/* Open, read, append. Returns what reading said. */
static int use_store(const char *store_path)
{
    static const struct gt_topics_settings settings = {.segment_bytes = 65536,
                                                       .compression = "none"};
    struct gantry_err err = {0};
    struct gt_store *store;
    struct gt_topics *topics;
    if (gt_store_open(store_path, 1 << 20, &store, &err) != 0 ||
        gt_topics_open(store, &settings, &topics, &err) != 0) {
        fprintf(stderr, "%s\n",
                err.text); /* a damaged segment is its topic's matter, not the store's */
        abort();
    }
    struct gt_topic *topic = gt_topic_get(topics, "t");
    int code = read_topic(topic, &err);
    assert(code == 0 || (code == GANTRY_CORRUPT && strstr(err.text, " at byte ") != NULL));

    struct gt_append append;
    struct gt_append_scratch scratch;
    struct gt_message message = {.body = gantry_view_of("appended")};
    struct gt_append_part part = {.topic = topic, .messages = &message, .count = 1};
    int64_t before = gt_topic_end(topic, 0);
    gt_append_scratch_init(&scratch);
    gt_append_init(&append, done);
    int appended = gt_append_submit(topics, &append, &part, 1, &scratch, &err);
    gt_store_stop(store); /* never started: commits on this thread */
    assert(appended == code);
    if (appended == 0) {
        assert(append.commit.err.code == 0 && gt_topic_end(topic, 0) == before + 1);
        assert(read_topic(topic, &err) == 0);
    }
    gt_append_deinit(&append);
    gt_append_scratch_deinit(&scratch);
    gt_topics_close(topics);
    gt_store_close(store);
    return code;
}

static void repair(const char *store_path)
{
    struct gantry_err err = {0};
    char *report;
    size_t len;
    FILE *out = open_memstream(&report, &len);
    if (out == NULL || gt_store_repair_topic(store_path, "t", true, out, &err) != 0)
        abort();
    fclose(out);
    free(report);
}

static void recover(const uint8_t *bytes, size_t size, int what, int64_t end)
{
    char store_path[100], queue[200], path[300];
    snprintf(store_path, sizeof store_path, "%s/store", folder);
    snprintf(queue, sizeof queue, "%s/topics/t/0", store_path);
    snprintf(path, sizeof path, "%s/%020d.log", queue, 0);
    (void)nftw(queue, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    size_t committed = size < GT_SEGMENT_HEADER ? GT_SEGMENT_HEADER : size;
    if ((what & CUT_RECORD) != 0 && size > GT_SEGMENT_HEADER)
        committed -=
            bytes[size - 1] % (size - GT_SEGMENT_HEADER + 1); /* the rest is an uncommitted tail */
    record_segment(store_path, (int64_t)committed, end > 0 ? end : 1);
    char topic[200];
    snprintf(topic, sizeof topic, "%s/topics", store_path);
    (void)mkdir(topic, 0755);
    strcat(topic, "/t");
    (void)mkdir(topic, 0755);
    if (mkdir(queue, 0755) != 0)
        abort();
    write_segment(path, bytes, size);

    int code = use_store(store_path);
    if (code != 0 && (what & SETTLE) != 0) {
        repair(store_path);
        code = use_store(store_path);
        /* A batch with the right checksum around nonsense is beyond what settling looks at. */
        assert(code == 0 || code == GANTRY_CORRUPT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 16384)
        return 0;
    set_up();
    int what = data[0];
    uint8_t *bytes = malloc(size); /* of its own, so that a read past the end is seen */
    if (bytes == NULL)
        abort();
    memcpy(bytes, data + 1, size - 1);
    int64_t end = mend(bytes, size - 1, what);
    uint8_t *exact = realloc(bytes, size > 1 ? size - 1 : 1);
    read_batches(exact, size - 1);
    if ((what & IN_STORE) != 0) /* a thousand times slower */
        recover(exact, size - 1, what, end);
    free(exact);
    return 0;
}
