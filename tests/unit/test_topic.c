/* SPDX-License-Identifier: Apache-2.0 */
/* Topics: append, commit, read; retention, orphans, space; failures of the disk; threads; a look
 * from outside. */
#include "topic_support.h"

#include "base/clock.h"
#include "topic/embedded/unread.h"
#include "topic/inspect.h"
#include <dirent.h>
#include <pthread.h>

static int count_segments(const struct fixture *fx, const char *topic)
{
    char folder[FOLDER_MAX + 128];
    snprintf(folder, sizeof folder, "%s/topics/%s/0", fx->path, topic);
    DIR *dir = opendir(folder);
    int count = 0;
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strstr(entry->d_name, ".log") != NULL;
    closedir(dir);
    return count;
}

/* --- The usual --- */

static void test_several_segments(void **state)
{
    struct fixture *fx = *state;
    static const char *const compressions[] = {"none", "lz4", "zstd"};
    int64_t total = 0;
    for (int run = 0; run < 6; run++) { /* what was written otherwise stays readable */
        fx->settings.compression = compressions[run % 3];
        open_all(fx);
        assert_true(gt_topic_end(gt_topic_get(fx->topics, "t"), 0) == total);
        for (int i = 0; i < 20; i++) {
            size_t count = 1 + (size_t)(total % 37);
            append(fx, "t", total, count, 1500);
            total += (int64_t)count;
        }
        check_read(fx, "t", 0, total, 1500);
        close_all(fx);
    }
    assert_true(count_segments(fx, "t") >= 3);
    open_all(fx);
    for (int64_t from = 0; from < total; from += 13) /* mostly in the middle of a batch */
        check_read(fx, "t", from, total - from, 1500);
    check_read(fx, "t", total, 0, 1500);
}

static void test_goes_on_in_last_segment(void **state)
{
    struct fixture *fx = *state;
    for (int64_t run = 0; run < 5; run++) {
        open_all(fx);
        append(fx, "t", run * 3, 3, 0);
        close_all(fx);
        assert_int_equal(count_segments(fx, "t"), 1);
    }
    char path[FOLDER_MAX + 128];
    segment_path_of(fx, "t", 0, path);
    int fd = open(path, O_WRONLY | O_APPEND); /* as a killed worker leaves it */
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "tail", 4), 4);
    close(fd);
    int64_t size = file_size(path);
    open_all(fx);
    append(fx, "t", 15, 3, 0);
    check_read(fx, "t", 0, 18, 0);
    assert_int_equal(count_segments(fx, "t"), 2); /* sealed, not cut */
    assert_int_equal(file_size(path), size);
}

static void test_batch_larger_than_segment(void **state)
{
    struct fixture *fx = *state;
    open_all(fx);
    append(fx, "t", 0, 1, 4000);
    append(fx, "t", 1, 60, 4000);
    append(fx, "t", 61, 1, 4000);
    close_all(fx);
    assert_int_equal(count_segments(fx, "t"), 3);
    open_all(fx);
    check_read(fx, "t", 0, 62, 4000);
}

struct wakes {
    pthread_mutex_t lock;
    int count;
};

static void count_wake(void *arg)
{
    struct wakes *wakes = arg;
    pthread_mutex_lock(&wakes->lock);
    wakes->count++;
    pthread_mutex_unlock(&wakes->lock);
}

static int wake_count(struct wakes *wakes)
{
    pthread_mutex_lock(&wakes->lock);
    int count = wakes->count;
    pthread_mutex_unlock(&wakes->lock);
    return count;
}

static void test_arm_and_wake(void **state)
{
    struct fixture *fx = *state;
    struct wakes wakes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct gantry_err err = {0};
    struct gt_reader *reader, *idle;
    struct gt_arena arena;
    const struct gt_message *messages;
    size_t count;
    int64_t first;
    gt_arena_init(&arena, 4096, 4096);
    open_all(fx);
    struct gt_topic *topic = gt_topic_get(fx->topics, "t");
    assert_int_equal(open_reader(topic, 1, 0, &reader, &err), GANTRY_INVALID);
    assert_int_equal(open_reader(topic, 0, -1, &reader, &err), GANTRY_INVALID);
    assert_int_equal(open_reader(topic, 0, 0, &reader, &err), 0);
    assert_int_equal(open_reader(topic, 0, 0, &idle, &err), 0);
    assert_true(gt_reader_arm(idle, count_wake, &wakes));
    gt_reader_close(idle); /* armed: must not be woken any more */
    assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
    assert_int_equal(count, 0);
    assert_true(gt_reader_arm(reader, count_wake, &wakes));
    assert_true(gt_reader_arm(reader, count_wake, &wakes)); /* twice is once */
    append(fx, "t", 0, 4, 0);
    append(fx, "t", 4, 4, 0);
    assert_int_equal(wake_count(&wakes), 1);
    assert_false(gt_reader_arm(reader, count_wake, &wakes));

    assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
    assert_int_equal(count, 4);
    gt_reader_took(reader, 3);
    assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
    assert_int_equal(count, 1); /* the rest of the batch */
    assert_true(first == 3 && is_message(&messages[0], 3, 0));
    gt_reader_took(reader, 1);
    assert_false(gt_reader_arm(reader, count_wake, &wakes));
    assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
    assert_true(count == 4 && first == 4);
    gt_reader_took(reader, 4);
    assert_true(gt_reader_offset(reader) == 8);
    assert_true(gt_reader_arm(reader, count_wake, &wakes));
    append(fx, "t", 8, 1, 0);
    assert_int_equal(wake_count(&wakes), 2);
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
}

/* A reader that sleeps at the end gives its mapping back and must find its place again. */
static void test_reader_sleeps(void **state)
{
    struct fixture *fx = *state;
    struct wakes wakes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct gantry_err err = {0};
    struct gt_reader *reader;
    struct gt_arena arena;
    fx->settings.segment_bytes = 64 << 20;
    gt_arena_init(&arena, 65536, 65536);
    open_all(fx);
    assert_int_equal(open_reader(gt_topic_get(fx->topics, "t"), 0, 0, &reader, &err), 0);
    int64_t next = 0, read = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++, next += 40)
            append(fx, "t", next, 40, 4000);
        for (;;) {
            const struct gt_message *messages;
            size_t count;
            int64_t first;
            gt_arena_reset(&arena);
            assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err), 0);
            if (count == 0)
                break;
            for (size_t i = 0; i < count; i++, read++)
                assert_true(is_message(&messages[i], read, 4000));
            gt_reader_took(reader, count);
        }
        assert_true(read == next);
        assert_true(gt_reader_arm(reader, count_wake, &wakes));
    }
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
}

/* --- Indivisible --- */

static void test_append_to_many_topics(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct made_message made[6];
    struct gt_message messages[6];
    struct gt_append_part parts[6];
    char name[16];
    open_all(fx);
    for (int64_t round = 0; round < 10; round++) {
        for (int i = 0; i < 6; i++) {
            snprintf(name, sizeof name, "t%d",
                     (i + (int)round) % 6); /* in another order each time */
            messages[i] = make_message(&made[i], round, 0);
            parts[i] = one_part(gt_topic_get(fx->topics, name), &messages[i], 1);
        }
        assert_int_equal(append_parts(fx, parts, 6, &err), 0);
    }
    close_all(fx);
    open_all(fx);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "t%d", i);
        check_read(fx, name, 0, 10, 0);
    }
}

static void test_append_carries_changes(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct waited_append waited;
    struct gt_buf value;
    open_all(fx);
    sem_init(&waited.done, 0, 0);
    gt_append_init(&waited.append, on_append); /* no messages at all: only a position */
    gt_commit_put(&waited.append.commit, GT_TABLE_POSITIONS, gantry_view_of("k"),
                  gantry_view_of("v"));
    assert_int_equal(gt_append_submit(fx->topics, &waited.append, NULL, 0, &fx->scratch, &err), 0);
    sem_wait(&waited.done);
    assert_int_equal(waited.append.commit.err.code, 0);
    assert_int_equal(waited.append.bytes, 0);
    gt_append_deinit(&waited.append);
    gt_buf_init(&value, 100);
    assert_int_equal(gt_store_get(fx->store, GT_TABLE_POSITIONS, gantry_view_of("k"), &value, &err),
                     0);
    assert_string_equal(gt_buf_cstr(&value), "v");
    gt_buf_deinit(&value);

    /* A change that is not taken leaves the queue as it was. */
    struct made_message made;
    struct gt_message message = make_message(&made, 0, 0);
    struct gt_append_part part = one_part(gt_topic_get(fx->topics, "t"), &message, 1);
    gt_append_init(&waited.append, on_append);
    gt_commit_put(&waited.append.commit, GT_TABLE_POSITIONS, gantry_view_of(""),
                  gantry_view_of("v"));
    assert_int_equal(gt_append_submit(fx->topics, &waited.append, &part, 1, &fx->scratch, &err),
                     GANTRY_INVALID);
    gt_append_deinit(&waited.append);
    sem_destroy(&waited.done);
    append(fx, "t", 0, 1, 0);
    check_read(fx, "t", 0, 1, 0);
}

static void test_appends_after_stop(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    open_all(fx);
    append(fx, "t", 0, 2, 0);
    gt_store_stop(fx->store);
    assert_int_equal(try_append(fx, "t", 2, 2, 0, &err), GANTRY_CLOSED);
    assert_int_equal(try_append(fx, "new", 0, 2, 0, &err), GANTRY_CLOSED);
    close_all(fx);
    open_all(fx);
    check_read(fx, "t", 0, 2, 0);
    append(fx, "t", 2, 2, 0);
    check_read(fx, "t", 0, 4, 0);
}

/* --- Space and retention --- */

static void test_disk_reserve(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    fx->settings.disk_reserve = INT64_MAX;
    open_all(fx);
    assert_int_equal(try_append(fx, "t", 0, 1, 0, &err), GANTRY_NO_SPACE);
    assert_non_null(strstr(err.text, "disk.reserve"));
    assert_non_null(strstr(err.text, fx->path));
    assert_int_equal(count_segments(fx, "t"), 0);
    assert_int_equal(append_parts(fx, NULL, 0, &err), 0); /* what sinks commit goes on */
    close_all(fx);
    fx->settings.disk_reserve = 1;
    open_all(fx);
    append(fx, "t", 0, 1, 0);
}

static void put_progress(struct fixture *fx, const char *connector, uint32_t task,
                         const char *topic, int64_t offset)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_queue_offset at = {.topic = gantry_view_of(topic), .offset = offset};
    struct gt_progress_record record = {&at, 1, gantry_view_of("s")};
    struct gantry_err err = {0};
    struct gt_commit commit;
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, 1024);
    gt_progress_record_write(&value, &record);
    gt_key_progress(&key, connector, task);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_PROGRESS, gt_key_view(&key), gt_buf_view(&value));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
}

static int64_t begin_of(struct fixture *fx, const char *topic, size_t padding)
{
    struct gantry_err err = {0};
    int64_t first = -1;
    if (try_read(fx, topic, 0, padding, &first, &err) < 0)
        fail_msg("%s", err.text);
    return first;
}

/* Wait until the first offset of a topic is at least @p want; how far it got. */
static int64_t wait_begin(struct fixture *fx, const char *topic, size_t padding, int64_t want)
{
    int64_t begin = begin_of(fx, topic, padding);
    for (int i = 0; i < 100 && begin < want; i++) {
        usleep(50000);
        begin = begin_of(fx, topic, padding);
    }
    return begin;
}

/* Ten segments, one a batch of 20 messages. */
static void fill(struct fixture *fx, const char *topic)
{
    for (int64_t i = 0; i < 10; i++)
        append(fx, topic, i * 20, 20, 2000);
}

static void put_connector(struct fixture *fx, const char *name, const char *json)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gantry_err err = {0};
    struct gt_commit commit;
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_CONNECTORS, gantry_view_of(name), gantry_view_of(json));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
}

static int64_t lowest_of(const struct gt_unread *unread, const char *topic, uint32_t queue)
{
    int64_t offset;
    assert_int_equal(gt_unread_lowest(unread, topic, queue, &offset), 0);
    return offset;
}

/* One walk over the store answers for all queues. */
static void test_unread(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct gt_unread unread;
    open_all(fx);
    put_progress(fx, "a", 0, "t", 30);
    put_progress(fx, "a", 1, "t", 50); /* the furthest task of a connector counts */
    put_progress(fx, "b", 0, "t", 40);
    put_progress(fx, "b", 1, "u", 7);
    put_connector(fx, "b", "{\"topicNames\":\"u, t\"}");
    put_connector(fx, "new", "{\"topics\":\"v\",\"connect.topicnames\":\"w,x\"}");
    put_connector(fx, "source", "{\"topic\":\"t\"}");
    assert_int_equal(gt_unread_read(&unread, fx->store, &err), 0);
    assert_int_equal(lowest_of(&unread, "t", 0), 40);
    assert_int_equal(lowest_of(&unread, "t", 1), 0); /* of b, that has not come to this queue */
    assert_int_equal(lowest_of(&unread, "u", 0), 7);
    assert_int_equal(lowest_of(&unread, "v", 0), 0);
    assert_int_equal(lowest_of(&unread, "x", 3), 0);
    assert_true(lowest_of(&unread, "y", 0) == INT64_MAX);
    gt_unread_deinit(&unread);
}

static void test_retention_by_size(void **state)
{
    struct fixture *fx = *state;
    fx->settings.segment_bytes = 64 << 10;
    open_all(fx);
    fill(fx, "t");
    fill(fx, "held");
    put_progress(fx, "sink", 0, "t",
                 200); /* read to the end by one, of another task half of the other */
    put_progress(fx, "sink", 1, "held", 70);
    put_progress(fx, "sink", 7, "held", 10); /* of a task that is no more */
    put_progress(fx, "other", 0, "held", 200);
    close_all(fx);
    assert_int_equal(count_segments(fx, "t"), 10);

    fx->settings.retention_bytes = 100 << 10;
    open_all(fx);
    assert_true(wait_begin(fx, "t", 2000, 160) ==
                160); /* two segments of 41 KiB are within the limit */
    assert_int_equal(count_segments(fx, "t"), 2);
    assert_true(wait_begin(fx, "held", 2000, 60) == 60); /* up to what has been read */
    usleep(1200 * 1000);
    assert_true(begin_of(fx, "held", 2000) == 60);
    put_progress(fx, "sink", 1, "held", 120);
    assert_true(wait_begin(fx, "held", 2000, 120) == 120);
    append(fx, "t", 200, 20, 2000);
    close_all(fx);

    fx->settings.retention_unread = true;
    open_all(fx);
    assert_true(wait_begin(fx, "held", 2000, 160) == 160); /* the operator said so */
    close_all(fx);
    fx->settings.retention_bytes = 0;
    open_all(fx);
    check_read(fx, "t", 180, 40, 2000);
    check_read(fx, "held", 160, 40, 2000);
}

static void test_retention_by_age(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    fx->settings.retention_ms = 3600 * 1000;
    open_all(fx);
    fill(fx, "old"); /* messages of 2023 */
    struct made_message made;
    for (int i = 0; i < 4; i++) {
        struct gt_message message = make_message(&made, i, 2000);
        message.timestamp_ms = gt_clock_wall_ms();
        struct gt_append_part part = one_part(gt_topic_get(fx->topics, "young"), &message, 1);
        assert_int_equal(append_parts(fx, &part, 1, &err), 0);
    }
    assert_true(wait_begin(fx, "old", 2000, 180) == 180); /* never the last segment */
    assert_int_equal(count_segments(fx, "old"), 1);
    assert_int_equal(gt_topic_end(gt_topic_get(fx->topics, "young"), 0), 4);
    append(fx, "old", 200, 20, 2000);
    check_read(fx, "old", 190, 30, 2000);
    close_all(fx);
    open_all(fx);
    check_read(fx, "old", 200, 20, 2000);
}

static void make_file(const char *folder, const char *name, char ret[FOLDER_MAX + 256])
{
    snprintf(ret, FOLDER_MAX + 256, "%s/%s", folder, name);
    int fd = open(ret, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void test_orphans(void **state)
{
    struct fixture *fx = *state;
    char folder[FOLDER_MAX + 64], unknown[FOLDER_MAX + 64];
    char orphan[FOLDER_MAX + 256], foreign[FOLDER_MAX + 256], lost[FOLDER_MAX + 256],
        near[FOLDER_MAX + 256];
    open_all(fx);
    append(fx, "t", 0, 3, 0);
    close_all(fx);
    snprintf(folder, sizeof folder, "%s/topics/t/0", fx->path);
    snprintf(unknown, sizeof unknown, "%s/topics/never-committed", fx->path);
    assert_int_equal(mkdir(unknown, 0755), 0);
    strcat(unknown, "/0");
    assert_int_equal(mkdir(unknown, 0755), 0);
    make_file(folder, "00000000000000000003.log", orphan);
    make_file(folder, "notes.txt", foreign);
    make_file(folder, "00000000000000000003.log.bak", near);
    make_file(unknown, "00000000000000000000.log", lost);
    open_all(fx);
    assert_int_equal(file_size(orphan), -1);
    assert_int_equal(file_size(lost), -1);
    assert_int_equal(file_size(foreign), 1);
    assert_int_equal(file_size(near), 1);
    append(fx, "t", 3, 3, 0);
    check_read(fx, "t", 0, 6, 0);
    append(fx, "never-committed", 0, 3, 0);
    check_read(fx, "never-committed", 0, 3, 0);
}

/* --- Damage --- */

/* A reader that sleeps on a topic that turns out damaged is woken to learn it. */
static void test_damage_wakes(void **state)
{
    struct fixture *fx = *state;
    struct wakes wakes = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct gantry_err err = {0};
    struct gt_reader *reader;
    struct gt_arena arena;
    const struct gt_message *messages;
    size_t count;
    int64_t first;
    char path[FOLDER_MAX + 128];
    gt_arena_init(&arena, 4096, 4096);
    open_all(fx);
    append(fx, "t", 0, 3, 0);
    struct gt_topic *topic = gt_topic_get(fx->topics, "t");
    assert_int_equal(open_reader(topic, 0, 3, &reader, &err), 0);
    assert_true(gt_reader_arm(reader, count_wake, &wakes));
    segment_path_of(fx, "t", 0, path);
    assert_int_equal(truncate(path, 60), 0); /* under our hands: an error, no SIGBUS */
    assert_int_equal(try_read(fx, "t", 0, 0, NULL, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "at byte 60"));
    assert_int_equal(wake_count(&wakes), 1);
    assert_int_equal(gt_reader_next(reader, &arena, &messages, &count, &first, &err),
                     GANTRY_CORRUPT);
    assert_false(gt_reader_arm(reader, count_wake, &wakes));
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
}

/* --- Threads --- */

enum { WRITERS = 3, WRITES = 400 };

struct thread_env {
    struct fixture *fx;
    int index;
    bool stop_at_total;
    sem_t wake;
    int64_t got;
    int64_t missed;
};

/* Body: writer(1) number(4). Each writer waits for the outcome only now and then. */
static void *write_many(void *arg)
{
    struct thread_env *env = arg;
    struct gt_append_scratch scratch;
    struct waited_append waited[4];
    struct gantry_err err = {0};
    gt_append_scratch_init(&scratch);
    for (int i = 0; i < 4; i++)
        sem_init(&waited[i].done, 0, 1);
    for (int i = 0; i < WRITES + 4; i++) {
        struct waited_append *slot = &waited[i % 4];
        sem_wait(&slot->done);
        if (i >= 4 && slot->append.commit.err.code != 0)
            abort();
        if (i >= 4)
            gt_append_deinit(&slot->append);
        if (i >= WRITES)
            continue;
        char body[3][400];
        struct gt_message messages[3];
        for (int k = 0; k < 3; k++) {
            int number = i * 3 + k;
            memset(body[k], 'b', sizeof body[k]);
            body[k][0] = (char)env->index;
            memcpy(body[k] + 1, &number, sizeof number);
            messages[k] = (struct gt_message){.body = {body[k], sizeof body[k]},
                                              .timestamp_ms = gt_clock_wall_ms()};
        }
        struct gt_append_part parts[2] = {
            one_part(gt_topic_get(env->fx->topics, "shared"), messages, 3),
            one_part(gt_topic_get(env->fx->topics, "second"), messages, 1)};
        gt_append_init(&slot->append, on_append);
        if (gt_append_submit(env->fx->topics, &slot->append, parts, i % 2 == 0 ? 2 : 1, &scratch,
                             &err) != 0)
            abort();
    }
    for (int i = 0; i < 4; i++)
        sem_destroy(&waited[i].done);
    gt_append_scratch_deinit(&scratch);
    return NULL;
}

static void post(void *arg)
{
    sem_post(arg);
}

/* Reads all, sleeping when there is nothing; each writer's messages must come in its order. */
static void *read_many(void *arg)
{
    struct thread_env *env = arg;
    struct gt_reader *reader;
    struct gt_arena arena;
    struct gantry_err err = {0};
    int next[WRITERS] = {0};
    gt_arena_init(&arena, 65536, 65536);
    if (open_reader(gt_topic_get(env->fx->topics, "shared"), 0, 0, &reader, &err) != 0)
        abort();
    while (gt_reader_offset(reader) < WRITERS * WRITES * 3) {
        const struct gt_message *messages;
        size_t count;
        int64_t first, before = gt_reader_offset(reader);
        gt_arena_reset(&arena);
        if (gt_reader_next(reader, &arena, &messages, &count, &first, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
        if (count == 0) {
            if (gt_reader_arm(reader, post, &env->wake))
                sem_wait(&env->wake);
            continue;
        }
        env->missed += first - before;
        for (size_t i = 0; i < count; i++) {
            int writer = messages[i].body.data[0], number;
            memcpy(&number, messages[i].body.data + 1, sizeof number);
            if (messages[i].body.len != 400 ||
                (env->missed == 0 ? number != next[writer] : number < next[writer]))
                abort();
            next[writer] = number + 1;
        }
        env->got += (int64_t)count;
        gt_reader_took(reader, count);
    }
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
    return NULL;
}

static void run_threads(struct fixture *fx, bool retention)
{
    pthread_t writers[WRITERS], readers[2];
    struct thread_env envs[WRITERS + 2] = {0};
    open_all(fx);
    for (int i = 0; i < WRITERS + 2; i++) {
        envs[i] = (struct thread_env){.fx = fx, .index = i};
        sem_init(&envs[i].wake, 0, 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_many, &envs[WRITERS + i]), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, &envs[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
        const struct thread_env *env = &envs[WRITERS + i];
        assert_true(env->got + env->missed == WRITERS * WRITES * 3);
        if (!retention)
            assert_true(env->missed == 0);
    }
    for (int i = 0; i < WRITERS + 2; i++)
        sem_destroy(&envs[i].wake);
    assert_true(gt_topic_end(gt_topic_get(fx->topics, "second"), 0) == WRITERS * WRITES / 2);
    close_all(fx);
}

static void test_threads(void **state)
{
    run_threads(*state, false);
}

/* Retention takes segments away under the readers' feet: they may miss messages, never stumble. */
static void test_threads_and_retention(void **state)
{
    struct fixture *fx = *state;
    fx->settings.retention_bytes = 128 << 10;
    fx->settings.retention_unread = true;
    run_threads(fx, true);
}

/* --- Failures of the disk --- */

#ifdef GT_FAULTS
enum { PENDING = 8 };

static void submit_one(struct fixture *fx, struct waited_append *waited, struct gt_writer *chain,
                       const char *topic, int64_t number)
{
    struct gantry_err err = {0};
    struct made_message made;
    struct gt_message message = make_message(&made, number, 0);
    struct gt_append_part part = one_part(gt_topic_get(fx->topics, topic), &message, 1);
    sem_init(&waited->done, 0, 0);
    gt_append_init(&waited->append, on_append);
    waited->append.writer = chain;
    CHECK(gt_append_submit(fx->topics, &waited->append, &part, 1, &fx->scratch, &err) == 0);
}

/* The third sync fails: everything that waits behind it fails too and says why; sent again, it is
 * there once. */
static int failed_sync(struct fixture *fx, int pipe)
{
    struct waited_append waited[PENDING];
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(try_open(fx, &err) == 0);
    struct gt_writer *chain = open_writer(fx);
    CHECK(try_append(fx, "t", 0, 1, 0, &err) == 0 && try_append(fx, "t", 1, 1, 0, &err) == 0);
    for (int i = 0; i < PENDING; i++)
        submit_one(fx, &waited[i], chain, "t", 2 + i);
    int named = 0;
    for (int i = 0; i < PENDING; i++) {
        sem_wait(&waited[i].done);
        const struct gantry_err *outcome = &waited[i].append.commit.err;
        CHECK(outcome->code == GANTRY_IO);
        if (strstr(outcome->text, "cannot sync") != NULL)
            named++;
        else
            CHECK(strstr(outcome->text, "sent again") != NULL);
        gt_append_deinit(&waited[i].append);
    }
    CHECK(named == 1);
    CHECK(gt_topic_end(gt_topic_get(fx->topics, "t"), 0) == 2);
    CHECK(try_read(fx, "t", 0, 0, NULL, &err) == 2);
    gt_writer_close(chain);
    chain = open_writer(fx);
    for (int i = 0; i < PENDING; i++)
        submit_one(fx, &waited[i], chain, "t", 2 + i);
    for (int i = 0; i < PENDING; i++) {
        sem_wait(&waited[i].done);
        CHECK(waited[i].append.commit.err.code == 0);
        gt_append_deinit(&waited[i].append);
    }
    CHECK(try_read(fx, "t", 0, 0, NULL, &err) == 2 + PENDING);
    CHECK(count_segments(fx, "t") == 2); /* the file whose sync failed is not written any more */
    gt_writer_close(chain);
    close_all(fx);
    return 0;
}

/* Appends of others to the same queue, in the same group, behind the one whose sync failed: their
 * bytes stand behind a hole, so none of them may be committed, although a second sync would say
 * that all is well. */
static int failed_group(struct fixture *fx, int pipe)
{
    struct waited_append waited[PENDING];
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(gt_store_open(fx->path, 0, &fx->store, &err) == 0);
    CHECK(gt_topics_open(fx->store, &fx->settings, &fx->topics, &err) == 0);
    gt_append_scratch_init(&fx->scratch);
    for (int i = 0; i < PENDING; i++)
        submit_one(fx, &waited[i], NULL, "t", i);
    CHECK(gt_store_start(fx->store, &err) == 0);
    for (int i = 0; i < PENDING; i++) {
        sem_wait(&waited[i].done);
        CHECK(waited[i].append.commit.err.code == GANTRY_IO);
        CHECK(i == 0 ||
              strstr(waited[i].append.commit.err.text, "earlier write to topic t") != NULL);
        gt_append_deinit(&waited[i].append);
    }
    CHECK(gt_topic_end(gt_topic_get(fx->topics, "t"), 0) == 0);
    CHECK(try_append(fx, "t", 0, 5, 0, &err) == 0 && try_read(fx, "t", 0, 0, NULL, &err) == 5);
    close_all(fx);
    return 0;
}

/* What a task sends behind a failed append must not be committed, to whichever topic and however
 * late it is sent: its position would cover what was lost. */
static int chained(struct fixture *fx, int pipe)
{
    struct waited_append first, second, third;
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(try_open(fx, &err) == 0);
    struct gt_writer *chain = open_writer(fx);
    submit_one(fx, &first, chain, "a", 0);
    sem_wait(&first.done);
    CHECK(first.append.commit.err.code == GANTRY_IO);
    submit_one(fx, &second, chain, "b",
               0); /* the outcome of the first has not reached the task yet */
    submit_one(fx, &third, NULL, "b", 0);
    sem_wait(&second.done);
    sem_wait(&third.done);
    CHECK(second.append.commit.err.code == GANTRY_IO);
    CHECK(strstr(second.append.commit.err.text, "earlier write") != NULL);
    gt_append_deinit(&second.append);
    gt_append_deinit(&third.append);
    gt_append_deinit(&first.append);
    gt_writer_close(chain);
    chain = open_writer(fx);
    submit_one(fx, &first, chain, "a", 0);
    sem_wait(&first.done);
    CHECK(first.append.commit.err.code == 0);
    gt_append_deinit(&first.append);
    CHECK(try_read(fx, "a", 0, 0, NULL, &err) == 1);
    gt_writer_close(chain);
    close_all(fx);
    return 0;
}

/* The disk is full in the middle of a batch of several topics: nothing of it stays, the next append
 * is fine. */
static int full_disk(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    struct made_message made[2];
    (void)pipe;
    CHECK(try_open(fx, &err) == 0);
    CHECK(try_append(fx, "t", 0, 5, 0, &err) == 0); /* passage 1 */
    CHECK(try_append(fx, "u", 0, 1, 0, &err) == 0); /* 2 */
    struct gt_message five = make_message(&made[0], 5, 0), one = make_message(&made[1], 1, 0);
    struct gt_append_part parts[] = {one_part(gt_topic_get(fx->topics, "t"), &five, 1),
                                     one_part(gt_topic_get(fx->topics, "u"), &one, 1)};
    CHECK(append_parts(fx, parts, 2, &err) == GANTRY_NO_SPACE); /* 3 is written, 4 fails */
    CHECK(strstr(err.text, "topics/") != NULL);
    CHECK(try_append(fx, "t", 5, 3, 0, &err) == GANTRY_NO_SPACE); /* 5 */
    CHECK(append_parts(fx, parts, 2, &err) == 0);
    CHECK(try_append(fx, "t", 6, 3, 0, &err) == 0);
    CHECK(try_read(fx, "t", 0, 0, NULL, &err) == 9 && try_read(fx, "u", 0, 0, NULL, &err) == 2);
    CHECK(count_segments(fx, "t") == 1);
    close_all(fx);
    return 0;
}

/* No room for a segment's header, no room for the transaction, a write that takes half: all the
 * same to the next one. */
static int odd_failures(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(try_open(fx, &err) == 0);
    CHECK(try_append(fx, "t", 0, 5, 0, &err) == GANTRY_NO_SPACE); /* segment.header:1 */
    CHECK(count_segments(fx, "t") == 0);
    CHECK(try_append(fx, "t", 0, 5, 0, &err) == 0);               /* commit.txn:1 */
    CHECK(try_append(fx, "t", 5, 5, 0, &err) == GANTRY_NO_SPACE); /* commit.txn:2 */
    CHECK(gt_topic_end(gt_topic_get(fx->topics, "t"), 0) == 5);
    CHECK(try_append(fx, "t", 5, 5, 0, &err) == 0);           /* append.write short */
    CHECK(try_append(fx, "new", 0, 5, 0, &err) == GANTRY_IO); /* folder sync */
    CHECK(strstr(err.text, "sync folder") != NULL);
    CHECK(try_append(fx, "new", 0, 5, 0, &err) == 0);
    CHECK(try_read(fx, "t", 0, 0, NULL, &err) == 10 && try_read(fx, "new", 0, 0, NULL, &err) == 5);
    close_all(fx);
    return 0;
}

static void test_failed_sync(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "failed_sync", "eio:commit.segment-sync:3"), 0);
    open_all(fx);
    check_read(fx, "t", 0, 2 + PENDING, 0);
}

static void test_failed_group(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "failed_group", "eio:commit.segment-sync:1"), 0);
    open_all(fx);
    check_read(fx, "t", 0, 5, 0);
}

static void test_chain(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "chained", "eio:commit.segment-sync:1"), 0);
    open_all(fx);
    check_read(fx, "a", 0, 1, 0);
}

static void test_full_disk(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "full_disk", "enospc:append.write:4:2"), 0);
    open_all(fx);
    check_read(fx, "t", 0, 9, 0);
    check_read(fx, "u", 0, 2, 0);
}

static void test_odd_failures(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(
        run_scenario(fx, "odd_failures",
                     "enospc:segment.header:1;enospc:commit.txn:2;short:append.write:3;"
                     "eio:commit.queue-folder-sync:2"),
        0);
    open_all(fx);
    check_read(fx, "t", 0, 10, 0);
    check_read(fx, "new", 0, 5, 0);
}

/* LMDB fails and nobody knows what the disk holds: the files must be left for the next start to
 * judge. */
static int broken_store(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(try_open(fx, &err) == 0);
    CHECK(try_append(fx, "t", 0, 5, 0, &err) == 0);
    CHECK(try_append(fx, "u", 0, 5, 0, &err) == GANTRY_IO);
    CHECK(count_segments(fx, "u") == 1);
    struct stat before, after;
    char path[FOLDER_MAX + 128];
    segment_path_of(fx, "u", 0, path);
    CHECK(stat(path, &before) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(try_append(fx, "u", 0, 5, 0, &err) == GANTRY_IO &&
              strstr(err.text, "started again") != NULL);
    CHECK(stat(path, &after) == 0 && before.st_ino == after.st_ino &&
          before.st_size == after.st_size);
    close_all(fx);
    return 0;
}

static void test_broken_store(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "broken_store", "eio:commit.txn:2"), 0);
    open_all(fx);
    check_read(fx, "t", 0, 5, 0);
    append(fx, "u", 0, 5, 0);
    check_read(fx, "u", 0, 5, 0);
}
#endif

/* --- A look from outside --- */

static int look(struct fixture *fx, int pipe)
{
    struct gt_inspect *inspect = NULL;
    struct gantry_err err = {0};
    struct gt_arena arena;
    struct gt_queue_info *queues;
    struct gt_position_info *positions;
    size_t count;
    (void)pipe;
    gt_arena_init(&arena, 65536, 65536);
    CHECK(gt_inspect_open(fx->path, &inspect, &err) == 0);
    CHECK(gt_inspect_queues(inspect, NULL, &arena, &queues, &count, &err) == 0);
    CHECK(count == 2 && strcmp(queues[0].topic, "a") == 0 && strcmp(queues[1].topic, "t") == 0);
    CHECK(queues[1].begin_offset == 0 && queues[1].end_offset == 200 && queues[1].queue == 0);
    CHECK(queues[1].segment_count == 10 && *queues[1].damage == '\0');
    CHECK(queues[1].segments[0].sealed && !queues[1].segments[9].sealed);
    CHECK(queues[1].segments[3].base_offset == 60 && queues[1].segments[3].end_offset == 80);
    CHECK(queues[1].segments[0].first_ms == 1700000000000 &&
          queues[1].segments[0].last_ms == 1700000000000 + 19 * 7);
    int64_t bytes = 0;
    for (int i = 0; i < 10; i++)
        bytes += queues[1].segments[i].bytes;
    CHECK(queues[1].bytes == bytes && bytes > 400000);
    CHECK(queues[0].segment_count == 1 && queues[0].sink_count == 0);
    CHECK(queues[1].sink_count == 2);
    CHECK(strcmp(queues[1].sinks[0].connector, "sink") == 0 && queues[1].sinks[0].task == 3);
    CHECK(queues[1].sinks[0].offset == 70 && strcmp(queues[1].sinks[1].connector, "zink") == 0);
    CHECK(gt_inspect_queues(inspect, "a", &arena, &queues, &count, &err) == 0 && count == 1);
    CHECK(gt_inspect_queues(inspect, "b", &arena, &queues, &count, &err) == 0 && count == 0);
    CHECK(gt_inspect_positions(inspect, &arena, &positions, &count, &err) == 0 && count == 1);
    CHECK(strcmp(positions[0].connector, "source") == 0);
    CHECK(gantry_view_equal(positions[0].partition, gantry_view_of("part")));
    CHECK(gantry_view_equal(positions[0].position, gantry_view_of("pos")));

    static const int64_t starts[] = {0, 1, 19, 20, 21, 105, 199, 200, 0};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        int64_t offset = starts[i];
        for (;;) {
            const struct gt_message *messages;
            int64_t first, next;
            gt_arena_reset(&arena);
            CHECK(gt_inspect_read(inspect, "t", 0, offset, &arena, &messages, &count, &first, &next,
                                  &err) == 0);
            if (count == 0)
                break;
            CHECK(first == offset && next == offset + (int64_t)count);
            for (size_t k = 0; k < count; k++)
                CHECK(is_message(&messages[k], first + (int64_t)k, 2000));
            offset = next;
        }
        CHECK(offset == 200);
    }
    gt_inspect_close(inspect);
    gt_arena_deinit(&arena);
    return 0;
}

/* Follows a topic until it has seen message 2999, while it is written and its old segments are
 * deleted. */
static int follow(struct fixture *fx, int pipe)
{
    struct gt_inspect *inspect = NULL;
    struct gantry_err err = {0};
    struct gt_arena arena;
    int64_t offset = 0;
    (void)pipe;
    gt_arena_init(&arena, 65536, 65536);
    CHECK(gt_inspect_open(fx->path, &inspect, &err) == 0);
    for (int waits = 0; offset < 3000 && waits < 3000;) {
        const struct gt_message *messages;
        size_t count;
        int64_t first, next;
        gt_arena_reset(&arena);
        if (gt_inspect_read(inspect, "t", 0, offset, &arena, &messages, &count, &first, &next,
                            &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        for (size_t k = 0; k < count; k++)
            CHECK(is_message(&messages[k], first + (int64_t)k, 500));
        CHECK(first >= offset);
        offset = next;
        if (count == 0) {
            usleep(10000);
            waits++;
        }
    }
    CHECK(offset == 3000);
    gt_inspect_close(inspect);
    gt_arena_deinit(&arena);
    return 0;
}

static void test_inspect_live(void **state)
{
    struct fixture *fx = *state;
    static const struct gt_commit_ops no_ops = {0};
    struct gantry_err err = {0};
    struct gt_inspect *inspect;
    struct gt_commit commit;
    struct gt_buf value;
    struct gt_key key;
    struct gantry_view partition = gantry_view_of("part");
    assert_int_equal(gt_inspect_open(fx->path, &inspect, &err), GANTRY_NOT_FOUND);
    assert_non_null(strstr(err.text, fx->path));
    open_all(fx);
    fill(fx, "t");
    append(fx, "a", 0, 1, 0);
    put_progress(fx, "sink", 3, "t", 70);
    put_progress(fx, "zink", 0, "t", 80);
    gt_buf_init(&value, 1024);
    gt_position_record_write(&value, partition, gantry_view_of("pos"));
    gt_key_position(&key, "source", &partition);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
    assert_int_equal(run_scenario(fx, "look", NULL), 0);
}

static void test_inspect_follows(void **state)
{
    struct fixture *fx = *state;
    fx->settings.retention_bytes = 128 << 10;
    open_all(fx);
    append(fx, "t", 0, 10, 500);
    pid_t pid = start_scenario(fx, "follow", NULL, -1);
    for (int64_t i = 10; i < 3000; i += 10) {
        append(fx, "t", i, 10, 500);
        if (i % 300 == 0)
            usleep(100000);
    }
    assert_int_equal(wait_scenario(pid), 0);
    assert_true(count_segments(fx, "t") < 30);
}

static void test_reset_connector(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    size_t count = 7;
    assert_int_equal(gt_store_reset_connector(fx->path, "sink", &count, &err), GANTRY_NOT_FOUND);
    open_all(fx);
    put_progress(fx, "sink", 0, "t", 70);
    put_progress(fx, "sink", 1, "t", 70);
    put_progress(fx, "sink2", 0, "t", 70);
    assert_int_equal(gt_store_reset_connector(fx->path, "sink", &count, &err), GANTRY_BUSY);
    close_all(fx);
    assert_int_equal(gt_store_reset_connector(fx->path, "sink", &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(gt_store_reset_connector(fx->path, "sink", &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(gt_store_reset_connector(fx->path, "sink2", &count, &err), 0);
    assert_int_equal(count, 1);
}

static void test_bad_settings(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    fx->settings.compression = "gzip";
    assert_int_equal(try_open(fx, &err), GANTRY_INVALID);
    assert_non_null(strstr(err.text, "gzip"));
    assert_non_null(strstr(err.text, "zstd"));
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"look", look},
        {"follow", follow},
#ifdef GT_FAULTS
        {"failed_sync", failed_sync},
        {"failed_group", failed_group},
        {"chained", chained},
        {"full_disk", full_disk},
        {"odd_failures", odd_failures},
        {"broken_store", broken_store},
#endif
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_several_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_on_in_last_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch_larger_than_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arm_and_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_sleeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_to_many_topics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_carries_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_appends_after_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_reserve, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention_by_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_wakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_and_retention, setup, teardown),
#ifdef GT_FAULTS
        cmocka_unit_test_setup_teardown(test_failed_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_store, setup, teardown),
#endif
        cmocka_unit_test_setup_teardown(test_inspect_live, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inspect_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_connector, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_settings, setup, teardown),
    };
    gt_log_set_level((enum gantry_log_level)(GANTRY_LOG_ERROR + 1)); /* the failures are wanted */
    int status = scenario_main(argc, argv, scenarios, sizeof scenarios / sizeof scenarios[0]);
    return status >= 0 ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
