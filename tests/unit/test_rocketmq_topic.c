/* SPDX-License-Identifier: Apache-2.0 */
/* The RocketMQ engine against the mock broker (tests/mock), with a plain local store: writers that
 * die at each point, requests whose outcome is unknown, brokers that are away, readers that go on.
 *
 * A crash of a writer between "stored by the broker" and "committed" is made by putting the
 * committed positions and tails back to what they were before. */
#include "topic_support.h"

#include "convert/converter.h"
#include "mock_thread.h"
#include "topic/rocketmq/internal.h"
#include <time.h>

enum { WAIT_S = 30, RECORDS_MAX = 4000 };

/* --- The engine, with all of it --- */

struct env {
    struct fixture fx;
    struct mock_thread mock;
    struct gt_link *link;
};

static char *ask_mock(struct env *env, const char *line)
{
    return mock_thread_ask(&env->mock, line);
}

static void tell_mock(struct env *env, const char *line)
{
    mock_thread_tell(&env->mock, line);
}

static long count_stored(struct env *env, const char *topic)
{
    char line[200];
    long count = -1;
    snprintf(line, sizeof line, "count %s", topic);
    char *answer = ask_mock(env, line);
    if (sscanf(answer, "{\"count\":%ld", &count) != 1)
        fail_msg("%s: %s", line, answer);
    free(answer);
    return count;
}

static void open_engine_of(struct env *env, bool auto_create, const char *cluster)
{
    struct gantry_err err = {0};
    const struct gt_link_settings link = {.name_servers = mock_namesrv(env->mock.mock),
                                          .client_id = "test"};
    const struct gt_rocketmq_settings settings = {
        .create_topics = auto_create, .create_groups = auto_create, .cluster = cluster};
    if (gt_store_open(env->fx.path, 16 << 20, &env->fx.store, &err) != 0 ||
        gt_store_start(env->fx.store, &err) != 0 || gt_link_open(&link, &env->link, &err) != 0 ||
        gt_topics_open_rocketmq(env->fx.store, env->link, &settings, &env->fx.topics, &err) != 0)
        fail_msg("%s", err.text);
    gt_append_scratch_init(&env->fx.scratch);
}

static void open_engine(struct env *env, bool auto_create)
{
    open_engine_of(env, auto_create, "cluster");
}

static void close_engine(struct env *env)
{
    if (env->fx.store == NULL)
        return;
    gt_store_stop(env->fx.store);
    gt_topics_close(env->fx.topics);
    gt_link_close(env->link);
    gt_store_close(env->fx.store);
    gt_append_scratch_deinit(&env->fx.scratch);
    env->fx.store = NULL;
}

static int setup_env(void **state)
{
    struct env *env = calloc(1, sizeof *env);
    void *fx = NULL;
    assert_non_null(env);
    assert_int_equal(setup(&fx), 0);
    memcpy(&env->fx, fx, sizeof env->fx);
    free(fx);
    mock_thread_start(&env->mock);
    open_engine(env, true);
    *state = env;
    return 0;
}

static int teardown_env(void **state)
{
    struct env *env = *state;
    close_engine(env);
    mock_thread_end(&env->mock);
    remove_tree(env->fx.folder);
    free(env);
    return 0;
}

static void on_wake(void *arg)
{
    sem_post(arg);
}

/* Wait for a wake-up, but not for ever. */
static void wait_wake(sem_t *wake, int64_t begun_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    (void)sem_timedwait(wake, &until);
    if (gt_clock_mono_ns() - begun_ns > (int64_t)WAIT_S * 1000000000)
        fail_msg("nothing happens for %d s", WAIT_S);
}

static void nap(int64_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static struct gt_topic *ready_topic(struct env *env, const char *name)
{
    struct gt_topic *topic = gt_topic_get(env->fx.topics, name);
    struct gantry_err err = {0};
    int64_t begun = gt_clock_mono_ns();
    sem_t wake;
    sem_init(&wake, 0, 0);
    struct gt_waiter waiter = {.wake = on_wake, .arg = &wake};
    while (gt_topic_ready(topic, &waiter, &err) == 0)
        wait_wake(&wake, begun);
    gt_topic_disarm(topic, &waiter);
    sem_destroy(&wake);
    return topic;
}

/* --- A writer --- */

struct test_writer {
    struct gt_writer *writer;
    struct gt_claim claim;
    sem_t wake;
};

static void begin_writer(struct env *env, struct test_writer *own, uint32_t task, bool replayable)
{
    struct gantry_err err = {0};
    sem_init(&own->wake, 0, 0);
    own->claim = (struct gt_claim){"conn", task, 0, NULL};
    const struct gt_writer_spec spec = {&own->claim, replayable, false, on_wake, &own->wake};
    assert_int_equal(gt_writer_open(env->fx.topics, &spec, &own->writer, &err), 0);
}

static void open_own(struct env *env, struct test_writer *own)
{
    struct gantry_err err = {0};
    int64_t begun = gt_clock_mono_ns();
    begin_writer(env, own, 0, true);
    int code;
    while ((code = gt_writer_ready(own->writer, &err)) == 0)
        wait_wake(&own->wake, begun);
    if (code < 0)
        fail_msg("%s", err.text);
}

static void close_own(struct test_writer *own)
{
    gt_writer_close(own->writer);
    sem_destroy(&own->wake);
}

/* Wait until the writer says why it does not get on. */
static void wait_trouble(struct test_writer *own, const char *part)
{
    struct gantry_err err = {0};
    int64_t begun = gt_clock_mono_ns();
    while (gt_writer_ready(own->writer, &err) != 0 || err.text[0] == '\0')
        wait_wake(&own->wake, begun);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not have \"%s\"", err.text, part);
}

/* A batch: records first .. first + count - 1 of partition "p"; its position is the number of the
 * next record. Every `other`-th record goes to @p second, where that is not NULL. */
struct test_append {
    struct waited_append waited; /* first */
    char bodies[256][16];
    struct gt_message messages[256];
    struct gantry_record records[256];
    struct gt_message sorted[2][256];
    struct gantry_record sorted_records[2][256];
    uint32_t ordinals[2][256];
};

static void put_position(struct gt_append *append, const char *partition, const char *position)
{
    struct gt_key key;
    struct gt_buf value;
    struct gantry_view view = gantry_view_of(partition);
    gt_buf_init(&value, 4096);
    gt_position_record_write(&value, view, gantry_view_of(position));
    gt_key_position(&key, "conn", &view);
    gt_commit_put(&append->commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    gt_buf_deinit(&value);
}

static struct test_append *send_records(struct env *env, struct test_writer *own, const char *topic,
                                        const char *second, int64_t first, uint32_t count)
{
    struct test_append *append = calloc(1, sizeof *append);
    struct gantry_err err = {0};
    char position[32];
    size_t sizes[2] = {0, 0};
    assert_non_null(append);
    assert_true(count <= 256);
    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(append->bodies[i], sizeof append->bodies[i], "record %lld",
                           (long long)(first + i));
        append->records[i].value = (struct gantry_view){append->bodies[i], (size_t)len};
        append->messages[i] =
            (struct gt_message){.body = append->records[i].value, .timestamp_ms = 1};
        int to = second != NULL && (first + i) % 3 == 0;
        append->sorted[to][sizes[to]] = append->messages[i];
        append->sorted_records[to][sizes[to]] = append->records[i];
        append->ordinals[to][sizes[to]++] = i;
    }
    snprintf(position, sizeof position, "%lld", (long long)(first + count));
    struct gantry_mark mark = {count, gantry_view_of("p"), gantry_view_of(position)};
    struct gt_append_part parts[2];
    size_t part_count = 0;
    const char *names[2] = {topic, second};
    for (int to = 0; to < 2; to++) {
        if (sizes[to] == 0)
            continue;
        struct gt_topic *target = ready_topic(env, names[to]);
        parts[part_count++] = (struct gt_append_part){
            .topic = target,
            .queue = gt_writer_queue(own->writer, target, 0),
            .messages = append->sorted[to],
            .count = sizes[to],
            .ordinals = append->ordinals[to],
            .records = append->sorted_records[to],
        };
    }
    sem_init(&append->waited.done, 0, 0);
    gt_append_init(&append->waited.append, on_append);
    append->waited.append.writer = own->writer;
    append->waited.append.marks = &mark;
    append->waited.append.mark_count = 1;
    put_position(&append->waited.append, "p", position);
    if (gt_append_submit(env->fx.topics, &append->waited.append, parts, part_count,
                         &env->fx.scratch, &err) != 0)
        fail_msg("%s", err.text);
    return append;
}

/* The outcome. */
static int finish(struct test_append *append)
{
    wait_sem(&append->waited.done);
    int code = append->waited.append.commit.err.code;
    gt_append_deinit(&append->waited.append);
    sem_destroy(&append->waited.done);
    free(append);
    return code;
}

static void write_records(struct env *env, struct test_writer *own, const char *topic,
                          int64_t first, uint32_t count)
{
    assert_int_equal(finish(send_records(env, own, topic, NULL, first, count)), 0);
}

/* The committed position of "p", a number; 0: none. */
static int64_t stored_position(struct env *env)
{
    struct gt_key key;
    struct gt_buf value;
    struct gantry_err err = {0};
    struct gantry_view view = gantry_view_of("p"), partition, position;
    int64_t ret = 0;
    gt_buf_init(&value, 4096);
    gt_key_position(&key, "conn", &view);
    if (gt_store_get(env->fx.store, GT_TABLE_POSITIONS, gt_key_view(&key), &value, &err) == 0) {
        assert_int_equal(gt_position_record_read(gt_buf_view(&value), &partition, &position), 0);
        assert_int_equal(gt_parse_int(position, 0, INT64_MAX, &ret), 0);
    }
    gt_buf_deinit(&value);
    return ret;
}

/* --- A crash: the store as it was --- */

struct saved {
    char bytes[16][2][1024];
    size_t len[16][2], count;
};

static int save_one(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct saved *saved = arg;
    assert_true(saved->count < 16 && key.len <= 1024 && value.len <= 1024);
    memcpy(saved->bytes[saved->count][0], key.data, key.len);
    memcpy(saved->bytes[saved->count][1], value.data, value.len);
    saved->len[saved->count][0] = key.len;
    saved->len[saved->count++][1] = value.len;
    return 0;
}

static void save(struct env *env, struct saved *saved)
{
    struct gantry_err err;
    *saved = (struct saved){0};
    assert_int_equal(gt_store_scan(env->fx.store, GT_TABLE_POSITIONS, (struct gantry_view){NULL, 0},
                                   save_one, saved, &err),
                     0);
}

static void put_back(struct env *env, const struct saved *saved)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit commit;
    struct gantry_err err = {0};
    struct gt_key key;
    gt_key_prefix(&key, "conn");
    gt_commit_init(&commit, &no_ops);
    gt_commit_delete_prefix(&commit, GT_TABLE_POSITIONS, gt_key_view(&key));
    for (size_t i = 0; i < saved->count; i++)
        gt_commit_put(&commit, GT_TABLE_POSITIONS,
                      (struct gantry_view){saved->bytes[i][0], saved->len[i][0]},
                      (struct gantry_view){saved->bytes[i][1], saved->len[i][1]});
    assert_int_equal(gt_store_commit_now(env->fx.store, &commit, &err), 0);
    gt_commit_deinit(&commit);
}

/* --- A reader of all queues of a topic --- */

struct test_reader {
    struct gt_topic *topic;
    struct gt_reader *readers[16];
    uint32_t count;
    sem_t wake;
    struct gt_arena arena;
};

static void open_readers(struct env *env, struct test_reader *own, const char *topic)
{
    struct gantry_err err = {0};
    own->topic = ready_topic(env, topic);
    own->count = gt_topic_queues(own->topic);
    assert_true(own->count <= 16);
    sem_init(&own->wake, 0, 0);
    gt_arena_init(&own->arena, 1 << 20, 1 << 20);
    for (uint32_t i = 0; i < own->count; i++) {
        const struct gt_reader_spec spec = {.queue = i, .connector = "sink"};
        assert_int_equal(gt_reader_open(own->topic, &spec, &own->readers[i], &err), 0);
    }
}

static void close_readers(struct test_reader *own)
{
    for (uint32_t i = 0; i < own->count; i++)
        gt_reader_close(own->readers[i]);
    gt_arena_deinit(&own->arena);
    sem_destroy(&own->wake);
}

/* Close and open again at the same place, with the state. */
static void reopen_readers(struct test_reader *own)
{
    struct gantry_err err = {0};
    for (uint32_t i = 0; i < own->count; i++) {
        struct gt_buf state;
        gt_buf_init(&state, 1 << 20);
        gt_reader_state(own->readers[i], &state);
        const struct gt_reader_spec spec = {.queue = i,
                                            .offset = gt_reader_offset(own->readers[i]),
                                            .state = gt_buf_view(&state),
                                            .connector = "sink"};
        gt_reader_close(own->readers[i]);
        if (gt_reader_open(own->topic, &spec, &own->readers[i], &err) != 0)
            fail_msg("%s", err.text);
        gt_buf_deinit(&state);
    }
}

/* Take messages until @p want were seen; each must be a record not seen before. @p most: taken at a
 * time of what was handed out. */
static void read_records(struct test_reader *own, uint8_t *seen, size_t want, size_t most)
{
    struct gantry_err err = {0};
    int64_t begun = gt_clock_mono_ns();
    size_t total = 0;
    while (total < want) {
        bool some = false;
        for (uint32_t i = 0; i < own->count && total < want; i++) {
            const struct gt_message *messages;
            size_t count;
            int64_t first;
            gt_arena_reset(&own->arena);
            int code =
                gt_reader_next(own->readers[i], &own->arena, &messages, &count, &first, &err);
            if (code != 0 && code != GANTRY_AGAIN)
                fail_msg("%s", err.text);
            if (code != 0 || count == 0)
                continue;
            some = true;
            if (most != 0 && count > most)
                count = most;
            if (count > want - total)
                count = want - total;
            for (size_t k = 0; k < count; k++) {
                long long number = -1;
                char body[32];
                snprintf(body, sizeof body, "%.*s", GT_VIEW_ARGS(messages[k].body));
                if (sscanf(body, "record %lld", &number) != 1 || number < 0 ||
                    number >= RECORDS_MAX)
                    fail_msg("offset %lld has \"%s\"", (long long)first + (long long)k, body);
                if (seen[number]++ != 0)
                    fail_msg("record %lld is delivered again, offset %lld", number,
                             (long long)first + (long long)k);
            }
            gt_reader_took(own->readers[i], count);
            total += count;
        }
        bool wait = !some;
        for (uint32_t i = 0; i < own->count && wait; i++)
            wait = gt_reader_arm(own->readers[i], on_wake, &own->wake);
        if (wait)
            wait_wake(&own->wake, begun);
    }
}

/* Nothing more comes. */
static void read_nothing(struct test_reader *own)
{
    struct gantry_err err = {0};
    for (int round = 0; round < 10; round++) {
        nap(30);
        for (uint32_t i = 0; i < own->count; i++) {
            const struct gt_message *messages;
            size_t count = 0;
            int64_t first;
            gt_arena_reset(&own->arena);
            (void)gt_reader_next(own->readers[i], &own->arena, &messages, &count, &first, &err);
            if (count != 0)
                fail_msg("\"%.*s\" comes at offset %lld", GT_VIEW_ARGS(messages[0].body),
                         (long long)first);
        }
    }
}

static void expect_all(const uint8_t *seen, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        if (seen[i] != 1)
            fail_msg("record %lld was delivered %d times", (long long)i, seen[i]);
    }
}

/* All of the topic, from the beginning: records @p from to @p to, each once. */
static void check_topic(struct env *env, const char *topic, int64_t from, int64_t to)
{
    struct test_reader reader;
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    open_readers(env, &reader, topic);
    read_records(&reader, seen, (size_t)(to - from), 0);
    expect_all(seen, from, to);
    read_nothing(&reader);
    close_readers(&reader);
    free(seen);
}

/* --- Tests --- */

/* The way through: a topic is made, records arrive in order, once, and the position with them. */
static void test_through(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct test_append *appends[20];
    open_own(env, &writer);
    for (int i = 0; i < 20; i++) /* many under way at once */
        appends[i] = send_records(env, &writer, "t", NULL, i * 50, 50);
    for (int i = 0; i < 20; i++)
        assert_int_equal(finish(appends[i]), 0);
    assert_int_equal(stored_position(env), 1000);
    assert_int_equal(count_stored(env, "t"), 1000);
    assert_int_equal(gt_topic_queues(ready_topic(env, "t")), 8); /* 4 at each of two brokers */
    close_own(&writer);

    struct test_reader reader;
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    open_readers(env, &reader, "t");
    read_records(&reader, seen, 100, 7); /* not all that is handed out is taken */
    reopen_readers(&reader);
    read_records(&reader, seen, 900, 333);
    expect_all(seen, 0, 1000);
    read_nothing(&reader);
    for (uint32_t i = 0; i < reader.count; i++)
        gt_reader_committed(reader.readers[i], gt_reader_offset(reader.readers[i]));
    close_readers(&reader);
    free(seen);
}

/* Died after the broker had stored all, before the commit: nothing is polled again. */
static void test_stored_not_committed(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct saved saved;
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    save(env, &saved);
    write_records(env, &writer, "t", 10, 10);
    write_records(env, &writer, "t", 20, 10);
    close_own(&writer);
    put_back(env, &saved);
    assert_int_equal(stored_position(env), 10);
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 30);
    write_records(env, &writer, "t", 30, 5);
    close_own(&writer);
    assert_int_equal(count_stored(env, "t"), 35);
    check_topic(env, "t", 0, 35);
}

/* Died before the very first commit of the queue's tail counted: as if nothing had been sent. */
static void test_first_batch(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct saved saved;
    open_own(env, &writer);
    struct test_append *append = send_records(env, &writer, "t", NULL, 0, 10);
    assert_int_equal(finish(append), 0);
    save(env, &saved);
    close_own(&writer);
    /* The tail stays (it was committed before the first send), the position and the tail's move go.
     */
    open_own(env, &writer);
    write_records(env, &writer, "t", 10, 10);
    close_own(&writer);
    put_back(env, &saved);
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 20);
    close_own(&writer);
    check_topic(env, "t", 0, 20);
}

/* A batch over two topics of which one part was stored: polled again, in other batches, it is made
 * whole; what was there is not sent twice. Also when the next writer dies in the middle. */
static void test_partial(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    open_own(env, &writer);
    assert_int_equal(finish(send_records(env, &writer, "a", "b", 0, 30)), 0);
    assert_int_equal(stored_position(env), 30);
    tell_mock(env, "fail 0 -1 2 busy topic=b");
    struct test_append *append = send_records(env, &writer, "a", "b", 30, 30);
    int64_t begun = gt_clock_mono_ns();
    while (count_stored(env, "a") < 40)
        wait_wake(&writer.wake, begun);
    gt_writer_abandon(writer.writer);
    assert_int_not_equal(finish(append), 0);
    close_own(&writer);
    tell_mock(env, "clear");
    assert_int_equal(stored_position(env), 30);
    for (int died = 0; died < 2; died++) { /* twice: the first one dies before it polls */
        open_own(env, &writer);
        assert_int_equal(stored_position(env), 30);
        if (died == 0)
            close_own(&writer);
    }
    assert_int_equal(finish(send_records(env, &writer, "a", "b", 30, 7)), 0);
    close_own(&writer); /* and once more in the middle */
    assert_int_equal(stored_position(env), 37);
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 37);
    assert_int_equal(finish(send_records(env, &writer, "a", "b", 37, 40)), 0);
    assert_int_equal(finish(send_records(env, &writer, "a", "b", 77, 10)), 0);
    close_own(&writer);
    assert_int_equal(count_stored(env, "a") + count_stored(env, "b"), 87);
    assert_int_equal(count_stored(env, "b"), 29);
    open_own(env, &writer); /* nothing is left behind */
    assert_int_equal(stored_position(env), 87);
    close_own(&writer);
}

/* Requests whose outcome is unknown: each record is there once, stored or not. */
static void unknown(struct env *env, const char *rule, const char *topic)
{
    struct test_writer writer;
    struct saved none = {0};
    put_back(env, &none);
    open_own(env, &writer);
    write_records(env, &writer, topic, 0, 10);
    tell_mock(env, rule);
    struct test_append *appends[5];
    for (int i = 0; i < 5; i++)
        appends[i] = send_records(env, &writer, topic, NULL, 10 + i * 10, 10);
    for (int i = 0; i < 5; i++)
        assert_int_equal(finish(appends[i]), 0);
    tell_mock(env, "clear");
    close_own(&writer);
    assert_int_equal(stored_position(env), 60);
    assert_int_equal(count_stored(env, topic), 60);
    check_topic(env, topic, 0, 60);
}

static void test_unknown(void **state)
{
    struct env *env = *state;
    static const char *const rules[] = {"close-after 320 1", "close-before 320 1", "cut 320 1",
                                        "garbage 320 1"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "u%zu", i);
        unknown(env, rules[i], topic);
    }
}

static void test_unanswered(void **state)
{
    struct env *env = *state;
    unknown(env, "swallow 320 1", "stored");
    unknown(env, "lose 320 1", "lost");
}

/* Another task writes to the same queue all the time, so that its end never stands still: what is
 * not known is found out all the same, by the sender and by a writer that opens. */
static void test_unknown_in_a_busy_queue(void **state)
{
    struct env *env = *state;
    struct test_writer writer, other;
    struct gantry_err err = {0};
    int64_t sent = 0, begun = gt_clock_mono_ns();
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    begin_writer(env, &other, 8, true); /* of 8 queues */
    while (gt_writer_ready(other.writer, &err) == 0)
        wait_wake(&other.wake, begun);
    assert_int_equal(gt_writer_queue(other.writer, ready_topic(env, "t"), 0),
                     gt_writer_queue(writer.writer, ready_topic(env, "t"), 0));
    tell_mock(env, "close-before 320 1");
    struct test_append *append = send_records(env, &writer, "t", NULL, 10, 10);
    begun = gt_clock_mono_ns();
    while (sem_trywait(&append->waited.done) != 0) {
        write_records(env, &other, "t", 1000 + sent++, 1);
        assert_true(gt_clock_mono_ns() - begun < (int64_t)WAIT_S * 1000000000);
    }
    sem_post(&append->waited.done);
    assert_int_equal(finish(append), 0);
    close_own(&writer);
    begin_writer(env, &writer, 0, true);
    begun = gt_clock_mono_ns();
    while (gt_writer_ready(writer.writer, &err) == 0) {
        write_records(env, &other, "t", 1000 + sent++, 1);
        assert_true(gt_clock_mono_ns() - begun < (int64_t)WAIT_S * 1000000000);
    }
    close_own(&writer);
    close_own(&other);
    assert_int_equal(count_stored(env, "t"), 20 + sent);
}

/* A full disk, a busy broker: nothing is lost, and the reason is shown. */
static void test_refused(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct gantry_err err;
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    tell_mock(env, "full broker-a 1");
    tell_mock(env, "full broker-b 1");
    struct test_append *append = send_records(env, &writer, "t", NULL, 10, 10);
    wait_trouble(&writer, "disk may be full");
    tell_mock(env, "full broker-a 0");
    tell_mock(env, "full broker-b 0");
    assert_int_equal(finish(append), 0);
    assert_int_equal(gt_writer_ready(writer.writer, &err), 1);
    tell_mock(env, "fail 320 5 2 busy");
    append = send_records(env, &writer, "t", NULL, 20, 10);
    assert_int_equal(finish(append), 0);
    close_own(&writer);
    check_topic(env, "t", 0, 30);
}

/* Brokers that are away: shown, and gone on with. A task that is to stop meanwhile can. */
static void test_away(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    tell_mock(env, "down broker-a");
    tell_mock(env, "down broker-b");
    struct test_append *append = send_records(env, &writer, "t", NULL, 10, 10);
    wait_trouble(&writer, "broker-");
    gt_writer_abandon(writer.writer);
    assert_int_equal(finish(append), GANTRY_CLOSED);
    close_own(&writer);
    begin_writer(env, &writer, 0, true); /* cannot look at its queue */
    wait_trouble(&writer, "looking at what was sent before");
    tell_mock(env, "up broker-a");
    tell_mock(env, "up broker-b");
    struct gantry_err err;
    int64_t begun = gt_clock_mono_ns();
    while (gt_writer_ready(writer.writer, &err) == 0)
        wait_wake(&writer.wake, begun);
    int64_t at = stored_position(env);
    assert_true(at == 10 || at == 20);
    if (at == 10)
        write_records(env, &writer, "t", 10, 10);
    close_own(&writer);
    check_topic(env, "t", 0, 20);
}

/* A request of an older epoch is stored after the new owner has looked and before it sends; and one
 * after that. Each record is delivered once. */
static void test_zombie(void **state)
{
    struct env *env = *state;
    struct test_writer old, fresh;
    struct test_reader reader;
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    open_own(env, &old);
    write_records(env, &old, "t", 0, 10);
    tell_mock(env, "late 320 1 1500");
    struct test_append *append = send_records(env, &old, "t", NULL, 10, 30);
    nap(100); /* it is on its way */
    gt_writer_abandon(old.writer);
    (void)finish(append);
    close_own(&old);
    open_own(env, &fresh);
    assert_int_equal(stored_position(env), 10);
    int64_t begun = gt_clock_mono_ns();
    while (count_stored(env, "t") < 40)
        wait_wake(&fresh.wake, begun);
    open_readers(env, &reader, "t");
    read_records(&reader, seen, 40, 0);
    write_records(env, &fresh, "t", 10, 20); /* in other batches */
    write_records(env, &fresh, "t", 30, 20);
    reopen_readers(&reader);
    read_records(&reader, seen, 10, 3);
    expect_all(seen, 0, 50);
    read_nothing(&reader);
    assert_true(count_stored(env, "t") == 80); /* the topic itself has them twice */
    write_records(env, &fresh, "t", 50, 10);
    reopen_readers(&reader);
    read_records(&reader, seen, 10, 0);
    expect_all(seen, 0, 60);
    close_readers(&reader);
    close_own(&fresh);
    check_topic(env, "t", 0, 60);

    /* Stored behind the first record of the new epoch: dropped as a whole. */
    open_own(env, &old);
    tell_mock(env, "late 320 1 1500");
    append = send_records(env, &old, "t", NULL, 60, 10);
    nap(100);
    gt_writer_abandon(old.writer);
    (void)finish(append);
    close_own(&old);
    open_own(env, &fresh);
    write_records(env, &fresh, "t", 60, 10);
    long count = count_stored(env, "t");
    begun = gt_clock_mono_ns();
    while (count_stored(env, "t") < count + 10)
        wait_wake(&fresh.wake, begun);
    close_own(&fresh);
    check_topic(env, "t", 0, 70);
    free(seen);
}

/* A broker that answers slowly says what its queue was a while ago. What an earlier writer had sent
 * is found all the same. */
static void test_slow_answer(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    tell_mock(env, "late 320 1 200");
    struct test_append *append = send_records(env, &writer, "t", NULL, 10, 10);
    nap(50); /* it is on its way */
    gt_writer_abandon(writer.writer);
    (void)finish(append);
    close_own(&writer);
    tell_mock(env, "delay 30 1 600");
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 20);
    close_own(&writer);
    check_topic(env, "t", 0, 20);
}

/* A broker that is slow to show what it has stored: the new writer sees a part of a batch alone,
 * and sends the rest of it once more, in batches of @p step records. It is delivered once. */
static void seen_in_part(struct env *env, const char *topic, int step)
{
    struct test_writer writer;
    struct saved saved;
    char line[80];
    snprintf(line, sizeof line, "topic %s queues=1 broker=broker-a", topic);
    tell_mock(env, line);
    open_own(env, &writer);
    write_records(env, &writer, topic, 0, 10);
    save(env, &saved);
    write_records(env, &writer, topic, 10, 30);
    write_records(env, &writer, topic, 40, 30);
    close_own(&writer);
    put_back(env, &saved);
    snprintf(line, sizeof line, "behind %s broker-a 0 45", topic);
    tell_mock(env, line);
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 10);
    snprintf(line, sizeof line, "behind %s broker-a 0 0", topic);
    tell_mock(env, line);
    for (int at = 10; at < 70; at += step)
        write_records(env, &writer, topic, at, step);
    write_records(env, &writer, topic, 70, 10);
    close_own(&writer);
    check_topic(env, topic, 0, 80);
    assert_int_equal(count_stored(env, topic), 70 + 15 + 40);
}

static void test_seen_in_part(void **state)
{
    seen_in_part(*state, "s", 30);
}

/* Batches that were left out whole have no note; the first one behind them leads over them. */
static void test_seen_in_part_of_other_batches(void **state)
{
    seen_in_part(*state, "s", 5);
}

/* An end in front of what is known to be stored is waited for. */
static void test_end_behind(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct saved saved;
    struct gantry_err err = {0};
    tell_mock(env, "topic s queues=1 broker=broker-a");
    open_own(env, &writer);
    write_records(env, &writer, "s", 0, 10);
    save(env, &saved);
    write_records(env, &writer, "s", 10, 30);
    close_own(&writer);
    put_back(env, &saved);
    tell_mock(env, "behind s broker-a 0 35");
    begin_writer(env, &writer, 0, true);
    nap(1000);
    tell_mock(env, "behind s broker-a 0 0");
    int64_t begun = gt_clock_mono_ns();
    while (gt_writer_ready(writer.writer, &err) == 0)
        wait_wake(&writer.wake, begun);
    assert_int_equal(stored_position(env), 40);
    close_own(&writer);
    check_topic(env, "s", 0, 40);
}

/* What was not seen at all is recognized when it is sent again, also by a third writer who goes on
 * where the second one was stopped. */
static void test_seen_by_none(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct saved saved;
    tell_mock(env, "topic s queues=1 broker=broker-a");
    open_own(env, &writer);
    write_records(env, &writer, "s", 0, 10);
    save(env, &saved);
    write_records(env, &writer, "s", 10, 30);
    write_records(env, &writer, "s", 40, 30);
    close_own(&writer);
    put_back(env, &saved);
    tell_mock(env, "behind s broker-a 0 60");
    open_own(env, &writer);
    tell_mock(env, "behind s broker-a 0 0");
    write_records(env, &writer, "s", 10, 10);
    close_own(&writer);
    open_own(env, &writer);
    assert_int_equal(stored_position(env), 20);
    write_records(env, &writer, "s", 20, 10);
    write_records(env, &writer, "s", 30, 50);
    close_own(&writer);
    check_topic(env, "s", 0, 80);

    struct test_reader reader; /* and by a reader that stops in between */
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    open_readers(env, &reader, "s");
    read_records(&reader, seen, 75, 0);
    reopen_readers(&reader);
    read_records(&reader, seen, 5, 0);
    expect_all(seen, 0, 80);
    read_nothing(&reader);
    close_readers(&reader);
    free(seen);
}

/* What retention has deleted is passed over. */
static void test_gap(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct test_reader reader;
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    tell_mock(env, "topic g queues=1 broker=broker-a");
    open_own(env, &writer);
    for (int i = 0; i < 5; i++)
        write_records(env, &writer, "g", i * 20, 20);
    tell_mock(env, "trim g broker-a 0 37");
    open_readers(env, &reader, "g");
    read_records(&reader, seen, 63, 0);
    expect_all(seen, 37, 100);
    read_nothing(&reader);
    close_readers(&reader);
    close_own(&writer);
    free(seen);
}

/* A reader whose broker is away says so, and goes on. */
static void test_reader_away(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct test_reader reader;
    struct gantry_err err = {0};
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    tell_mock(env, "topic r queues=1 broker=broker-a");
    open_own(env, &writer);
    write_records(env, &writer, "r", 0, 10);
    open_readers(env, &reader, "r");
    read_records(&reader, seen, 10, 0);
    tell_mock(env, "down broker-a");
    int64_t begun = gt_clock_mono_ns();
    const struct gt_message *messages;
    size_t count;
    int64_t first;
    while (gt_reader_next(reader.readers[0], &reader.arena, &messages, &count, &first, &err) !=
           GANTRY_AGAIN) {
        if (gt_reader_arm(reader.readers[0], on_wake, &reader.wake))
            wait_wake(&reader.wake, begun);
    }
    assert_non_null(strstr(err.text, "broker-a"));
    tell_mock(env, "up broker-a");
    begun = gt_clock_mono_ns();
    while (gt_reader_next(reader.readers[0], &reader.arena, &messages, &count, &first, &err) ==
           GANTRY_AGAIN) {
        if (gt_reader_arm(reader.readers[0], on_wake, &reader.wake))
            wait_wake(&reader.wake, begun);
    }
    write_records(env, &writer, "r", 10, 10);
    read_records(&reader, seen, 10, 0);
    expect_all(seen, 0, 20);
    close_readers(&reader);
    close_own(&writer);
    free(seen);
}

/* A reader that was refused says so; that it is not refused any more shows without a message, too.
 */
static void test_reader_refused(void **state)
{
    struct env *env = *state;
    struct test_reader reader;
    struct gantry_err err = {0};
    const struct gt_message *messages;
    size_t count;
    int64_t first;
    tell_mock(env, "topic r queues=1 broker=broker-a");
    tell_mock(env, "fail 11 -1 16 no_permission");
    open_readers(env, &reader, "r");
    for (int refused = 1; refused >= 0; refused--) {
        int64_t begun = gt_clock_mono_ns();
        while ((gt_reader_next(reader.readers[0], &reader.arena, &messages, &count, &first, &err) ==
                GANTRY_AGAIN) != refused) {
            if (gt_reader_arm(reader.readers[0], on_wake, &reader.wake))
                wait_wake(&reader.wake, begun);
        }
        if (refused)
            assert_non_null(strstr(err.text, "no_permission"));
        tell_mock(env, "clear");
    }
    close_readers(&reader);
}

struct ask_offset {
    struct gt_mail mail;
    struct env *env;
    const char *group, *topic;
    int64_t offset;
    sem_t done;
};

static void on_group_offset(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct ask_offset *ask = arg;
    (void)err;
    ask->offset = rc == 0 ? offset : -1;
    sem_post(&ask->done);
}

static void run_ask_offset(struct gt_mail *mail)
{
    struct ask_offset *ask = (struct ask_offset *)mail;
    struct rmq_err err;
    assert_int_equal(rmq_admin_group_offset(gt_link_client(ask->env->link), ask->group, ask->topic,
                                            "broker-a", 0, on_group_offset, ask, &err),
                     0);
}

static int64_t group_offset(struct env *env, const char *group, const char *topic)
{
    struct ask_offset ask = {
        .mail.run = run_ask_offset, .env = env, .group = group, .topic = topic};
    sem_init(&ask.done, 0, 0);
    gt_link_send(env->link, &ask.mail);
    wait_sem(&ask.done);
    sem_destroy(&ask.done);
    return ask.offset;
}

/* The last progress is told to the broker, also by a reader that closes while it tells another. */
static void test_last_report(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct test_reader reader;
    uint8_t *seen = calloc(1, RECORDS_MAX);
    assert_non_null(seen);
    tell_mock(env, "topic r queues=1 broker=broker-a");
    open_own(env, &writer);
    write_records(env, &writer, "r", 0, 30);
    open_readers(env, &reader, "r");
    read_records(&reader, seen, 30, 10);
    tell_mock(env, "delay 15 1 300");
    gt_reader_committed(reader.readers[0], 10);
    int64_t begun = gt_clock_mono_ns();
    while (group_offset(env, "connector-consumer-group-sink", "r") != 10)
        assert_true(gt_clock_mono_ns() - begun < (int64_t)WAIT_S * 1000000000);
    gt_reader_committed(reader.readers[0], 30);
    close_readers(&reader);
    while (group_offset(env, "connector-consumer-group-sink", "r") != 30) {
        nap(10);
        assert_true(gt_clock_mono_ns() - begun < (int64_t)WAIT_S * 1000000000);
    }
    close_own(&writer);
    free(seen);
}

/* A topic that nobody has, where none may be made: said, and taken up when it is there. */
static void test_no_topic(void **state)
{
    struct env *env = *state;
    struct gantry_err err = {0};
    close_engine(env);
    open_engine(env, false);
    struct gt_topic *topic = gt_topic_get(env->fx.topics, "absent");
    int64_t begun = gt_clock_mono_ns();
    sem_t wake;
    sem_init(&wake, 0, 0);
    struct gt_waiter waiter = {.wake = on_wake, .arg = &wake};
    while (gt_topic_ready(topic, &waiter, &err) == 0 && err.text[0] == '\0')
        wait_wake(&wake, begun);
    assert_non_null(strstr(err.text, "autoCreateTopicEnable"));
    tell_mock(env, "topic absent queues=2");
    ready_topic(env, "absent");
    assert_int_equal(gt_topic_queues(topic), 4);
    gt_topic_disarm(topic, &waiter);
    sem_destroy(&wake);
}

struct ask_again {
    struct gt_mail mail;
    struct env *env;
    sem_t done;
};

static void run_ask_again(struct gt_mail *mail)
{
    struct ask_again *ask = (struct ask_again *)mail;
    gt_rq_topic_ask_again((struct gt_rocketmq *)ask->env->fx.topics, "more");
    sem_post(&ask->done);
}

/* Queues that are added later are seen, and the others keep their numbers. */
/* A record's number leads to one queue, whoever asks; different ones share the queues there are. */
static void test_numbered_queues(void **state)
{
    struct env *env = *state;
    struct test_writer one, other;
    struct gt_queue_id id;
    unsigned met = 0;
    open_own(env, &one);
    begin_writer(env, &other, 3, true);
    struct gt_topic *topic = ready_topic(env, "t"); /* 4 at each of two brokers */
    for (uint32_t k = 0; k < 4; k++) {
        for (uint32_t low = 0; low < 8; low++) {
            uint32_t number = (k << 16 | low) + 1;
            uint32_t at = gt_writer_queue(one.writer, topic, number);
            assert_int_equal(gt_writer_queue(other.writer, topic, number), at);
            gt_topic_queue(topic, at, &id);
            assert_int_equal(id.id, low % 4);
            assert_string_equal(id.broker, k % 2 == 0 ? "broker-a" : "broker-b");
            met |= 1u << at;
        }
    }
    assert_int_equal(met, 0xff);
    close_own(&one);
    close_own(&other);
}

static void test_more_queues(void **state)
{
    struct env *env = *state;
    struct gt_queue_id before[2], after;
    tell_mock(env, "topic more queues=2 broker=broker-b");
    struct gt_topic *topic = ready_topic(env, "more");
    assert_int_equal(gt_topic_queues(topic), 2);
    for (uint32_t i = 0; i < 2; i++)
        gt_topic_queue(topic, i, &before[i]);
    assert_int_equal(gt_topic_find(topic, gantry_view_of("broker-b"), 1), 1);
    sem_t wake;
    sem_init(&wake, 0, 0);
    struct gt_waiter waiter = {.wake = on_wake, .arg = &wake};
    assert_true(gt_topic_arm(topic, 2, &waiter));
    tell_mock(env, "topic more queues=3");
    struct ask_again ask = {.mail.run = run_ask_again, .env = env};
    sem_init(&ask.done, 0, 0);
    gt_link_send(env->link, &ask.mail);
    wait_sem(&ask.done);
    wait_sem(&wake);
    assert_int_equal(gt_topic_queues(topic), 6);
    for (uint32_t i = 0; i < 2; i++) {
        gt_topic_queue(topic, i, &after);
        assert_string_equal(after.broker, before[i].broker);
        assert_int_equal(after.number, before[i].number);
    }
    assert_false(gt_topic_arm(topic, 2, &waiter));
    sem_destroy(&ask.done);
    sem_destroy(&wake);
}

/* A record that RocketMQ does not take is an error of its append. */
static void test_too_large(void **state)
{
    struct env *env = *state;
    struct test_writer writer;
    struct gantry_err err = {0};
    struct gt_append append;
    char *body = calloc(1, 5 << 20);
    assert_non_null(body);
    open_own(env, &writer);
    struct gt_topic *topic = ready_topic(env, "t");
    struct gt_message message = {.body = {body, 5 << 20}};
    struct gt_append_part part = {.topic = topic, .messages = &message, .count = 1};
    gt_append_init(&append, on_append);
    append.writer = writer.writer;
    assert_int_equal(gt_append_submit(env->fx.topics, &append, &part, 1, &env->fx.scratch, &err),
                     GANTRY_TOO_LARGE);
    assert_non_null(strstr(err.text, "4 MiB"));
    gt_append_deinit(&append);
    close_own(&writer);
    free(body);
}

/* Marks of many partitions, most of them without a record of their own, before, between and behind
 * few records. */
static void test_many_marks(void **state)
{
    enum { MARKS = 3000, RECORDS = 3 };
    struct env *env = *state;
    struct test_writer writer;
    struct gantry_mark *marks = calloc(MARKS, sizeof *marks);
    char(*names)[16] = calloc(MARKS, sizeof *names);
    struct gt_message messages[RECORDS] = {0};
    assert_true(marks != NULL && names != NULL);
    open_own(env, &writer);
    struct gt_topic *topic = ready_topic(env, "t");
    for (size_t i = 0; i < RECORDS; i++)
        messages[i].body = gantry_view_of("record");
    for (size_t i = 0; i < MARKS; i++) {
        snprintf(names[i], sizeof names[i], "p%zu", i);
        marks[i] =
            (struct gantry_mark){i * 4 / MARKS, gantry_view_of(names[i]), gantry_view_of("1")};
    }
    for (int round = 0; round < 2; round++) { /* the second one goes on from the first */
        struct waited_append waited;
        struct gantry_err err = {0};
        sem_init(&waited.done, 0, 0);
        gt_append_init(&waited.append, on_append);
        waited.append.writer = writer.writer;
        waited.append.marks = marks;
        waited.append.mark_count = MARKS;
        struct gt_append_part part = {.topic = topic,
                                      .queue = gt_writer_queue(writer.writer, topic, 0),
                                      .messages = messages,
                                      .count = RECORDS};
        tell_mock(env, "delay 320 1 200");
        if (gt_append_submit(env->fx.topics, &waited.append, &part, 1, &env->fx.scratch, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(gt_writer_ready(writer.writer, &err), 0); /* not all marks are in notes */
        assert_string_equal(err.text, "");
        wait_sem(&waited.done);
        assert_int_equal(waited.append.commit.err.code, 0);
        assert_int_equal(gt_writer_ready(writer.writer, &err), 1);
        gt_append_deinit(&waited.append);
        sem_destroy(&waited.done);
    }
    assert_int_equal(count_stored(env, "t"), 2 * RECORDS);
    close_own(&writer);
    free(names);
    free(marks);
}

/* What a record's own properties leave room for decides how large the note beside them may be. */
static void test_note_beside_headers(void **state)
{
    enum { MARKS = 200 };
    struct env *env = *state;
    struct test_writer writer;
    struct gantry_mark marks[MARKS];
    struct gt_message messages[MARKS] = {0};
    char names[MARKS][80];
    struct gt_arena arena;
    char *value = malloc(30000);
    assert_non_null(value);
    memset(value, 'v', 30000);
    const struct gantry_header header = {gantry_view_of("h"), {value, 30000}};
    gt_arena_init(&arena, 1 << 16, 1 << 16);
    open_own(env, &writer);
    struct gt_topic *topic = ready_topic(env, "t");
    for (size_t i = 0; i < MARKS; i++) {
        snprintf(names[i], sizeof names[i], "a partition of some length, number %zu", i);
        marks[i] = (struct gantry_mark){i + 1, gantry_view_of(names[i]), gantry_view_of("1")};
        messages[i].body = gantry_view_of("record");
        assert_int_equal(gt_properties_encode(&header, 1, &arena, &messages[i].properties), 0);
    }
    struct waited_append waited;
    struct gantry_err err = {0};
    sem_init(&waited.done, 0, 0);
    gt_append_init(&waited.append, on_append);
    waited.append.writer = writer.writer;
    waited.append.marks = marks;
    waited.append.mark_count = MARKS;
    struct gt_append_part part = {.topic = topic,
                                  .queue = gt_writer_queue(writer.writer, topic, 0),
                                  .messages = messages,
                                  .count = MARKS};
    if (gt_append_submit(env->fx.topics, &waited.append, &part, 1, &env->fx.scratch, &err) != 0)
        fail_msg("%s", err.text);
    wait_sem(&waited.done);
    assert_int_equal(waited.append.commit.err.code, 0);
    gt_append_deinit(&waited.append);
    sem_destroy(&waited.done);
    assert_int_equal(count_stored(env, "t"), MARKS);
    close_own(&writer);
    gt_arena_deinit(&arena);
    free(value);
}

/* A connector of another cluster that has the same name, and sends to the same queue: they are two.
 */
static void test_two_clusters(void **state)
{
    struct env *env = *state, other = {.mock = env->mock};
    struct test_writer writer, namesake;
    void *fx = NULL;
    assert_int_equal(setup(&fx), 0);
    memcpy(&other.fx, fx, sizeof other.fx);
    free(fx);
    open_engine_of(&other, true, "other");
    open_own(env, &writer);
    write_records(env, &writer, "t", 0, 10);
    open_own(&other, &namesake);
    write_records(&other, &namesake, "t", 10, 10);
    write_records(env, &writer, "t", 20, 10);
    write_records(&other, &namesake, "t", 30, 10);
    close_own(&writer);
    open_own(env, &writer); /* nothing of what it finds there is its own */
    assert_int_equal(stored_position(env), 30);
    close_own(&writer);
    close_own(&namesake);
    check_topic(env, "t", 0, 40);
    close_engine(&other);
    remove_tree(other.fx.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_through, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_stored_not_committed, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_first_batch, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_partial, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_unknown, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_unanswered, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_unknown_in_a_busy_queue, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_refused, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_away, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_zombie, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_slow_answer, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_seen_in_part, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_seen_in_part_of_other_batches, setup_env,
                                        teardown_env),
        cmocka_unit_test_setup_teardown(test_end_behind, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_seen_by_none, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_gap, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_reader_away, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_reader_refused, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_last_report, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_no_topic, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_numbered_queues, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_more_queues, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_too_large, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_two_clusters, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_many_marks, setup_env, teardown_env),
        cmocka_unit_test_setup_teardown(test_note_beside_headers, setup_env, teardown_env),
    };
    gt_log_set_level(getenv("GANTRY_TEST_LOG") != NULL ? GANTRY_LOG_DEBUG : GANTRY_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
