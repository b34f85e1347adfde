/* SPDX-License-Identifier: Apache-2.0 */
/* The RocketMQ engine of topics against a real cluster, run by tests/rocketmq/test_topic.py.
 *
 * usage: live_topic NAMESRV STORE COMMAND TOPIC [ARGUMENT ...]
 *
 *   write TOPIC TO [BATCH [SIZE]]  as a source whose records are numbers: from the committed
 *                                  position up to TO, in batches of BATCH (1000) records of SIZE
 *                                  bytes (16); a line for each batch that is committed
 *   read TOPIC COUNT [TASK]        as a sink: print COUNT bodies, or (TASK "count") how many; from
 *                                  the committed progress, which is committed at the end
 *
 * STORE is a plain local store. The last line is JSON with the time taken; a failure is a line on
 * stderr and exit status 1. */
#include "base/clock.h"
#include "base/log.h"
#include "broker/link.h"
#include "store/tables.h"
#include "topic/topic.h"
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_S = 120, UNDER_WAY_MAX = 64 };

static struct gt_store *store;
static struct gt_link *link_to;
static struct gt_topics *topics;
static sem_t wake, done;

static void fail(const char *what, const struct gantry_err *err)
{
    fprintf(stderr, "%s: %s\n", what, err != NULL ? err->text : "");
    exit(1);
}

static void on_wake(void *arg)
{
    (void)arg;
    sem_post(&wake);
}

static void on_done(struct gt_append *append)
{
    (void)append;
    sem_post(&done);
}

static void wait_on(sem_t *sem)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_S;
    while (sem_timedwait(sem, &until) != 0) {
        if (gt_clock_wall_ms() / 1000 >= until.tv_sec)
            fail("nothing happens", NULL);
    }
}

static struct gt_topic *ready_topic(const char *name)
{
    struct gt_topic *topic = gt_topic_get(topics, name);
    struct gantry_err err = {0};
    struct gt_waiter waiter = {.wake = on_wake};
    while (gt_topic_ready(topic, &waiter, &err) == 0)
        wait_on(&wake);
    gt_topic_disarm(topic, &waiter);
    return topic;
}

static int64_t stored_position(void)
{
    struct gt_key key;
    struct gt_buf value;
    struct gantry_err err = {0};
    struct gantry_view partition = gantry_view_of("p"), one, two;
    int64_t ret = 0;
    gt_buf_init(&value, 4096);
    gt_key_position(&key, "live", &partition);
    if (gt_store_get(store, GT_TABLE_POSITIONS, gt_key_view(&key), &value, &err) == 0 &&
        gt_position_record_read(gt_buf_view(&value), &one, &two) == 0)
        (void)gt_parse_int(two, 0, INT64_MAX, &ret);
    gt_buf_deinit(&value);
    return ret;
}

struct batch {
    struct gt_append append; /* first */
    bool used;
    int64_t next;
};

static void send_batch(struct batch *batch, struct gt_writer *writer, struct gt_topic *topic,
                       int64_t first, uint32_t count, size_t size,
                       struct gt_append_scratch *scratch)
{
    struct gt_message *messages = calloc(count, sizeof *messages);
    struct gantry_record *records = calloc(count, sizeof *records);
    char *bodies = malloc(count * (size + 32));
    struct gantry_err err = {0};
    char position[32];
    for (uint32_t i = 0; i < count; i++) {
        char *body = bodies + i * (size + 32);
        size_t len = (size_t)snprintf(body, 32, "record %" PRId64, first + i);
        if (len < size) {
            memset(body + len, ' ', size - len);
            len = size;
        }
        messages[i].body = records[i].value = (struct gantry_view){body, len};
        messages[i].timestamp_ms = 1;
    }
    snprintf(position, sizeof position, "%" PRId64, first + count);
    struct gantry_mark mark = {count, gantry_view_of("p"), gantry_view_of(position)};
    struct gt_append_part part = {.topic = topic,
                                  .queue = gt_writer_queue(writer, topic, 0),
                                  .messages = messages,
                                  .count = count,
                                  .records = records};
    struct gt_key key;
    struct gt_buf value;
    *batch = (struct batch){.used = true, .next = first + count};
    gt_append_init(&batch->append, on_done);
    batch->append.writer = writer;
    batch->append.marks = &mark;
    batch->append.mark_count = 1;
    gt_buf_init(&value, 4096);
    gt_position_record_write(&value, mark.partition, mark.position);
    gt_key_position(&key, "live", &mark.partition);
    gt_commit_put(&batch->append.commit, GT_TABLE_POSITIONS, gt_key_view(&key),
                  gt_buf_view(&value));
    gt_buf_deinit(&value);
    if (gt_append_submit(topics, &batch->append, &part, 1, scratch, &err) != 0)
        fail("submit", &err);
    free(bodies);
    free(records);
    free(messages);
}

static void write_records(const char *name, int64_t to, uint32_t batch_size, size_t size)
{
    static struct batch batches[UNDER_WAY_MAX];
    const struct gt_claim claim = {.connector = "live"};
    const struct gt_writer_spec spec = {.claim = &claim, .replayable = true, .wake = on_wake};
    struct gt_append_scratch scratch;
    struct gt_writer *writer;
    struct gantry_err err = {0};
    struct gt_topic *topic = ready_topic(name);
    gt_append_scratch_init(&scratch);
    if (gt_writer_open(topics, &spec, &writer, &err) != 0)
        fail("open", &err);
    int code;
    while ((code = gt_writer_ready(writer, &err)) == 0)
        wait_on(&wake);
    if (code < 0)
        fail("open", &err);
    int64_t begun = gt_clock_mono_ns(), first = stored_position(), from = first;
    printf("from %" PRId64 "\n", first);
    fflush(stdout);
    size_t at = 0, under_way = 0;
    while (first < to || under_way > 0) {
        if (under_way == UNDER_WAY_MAX || first >= to) {
            struct batch *oldest = &batches[(at + UNDER_WAY_MAX - under_way) % UNDER_WAY_MAX];
            wait_on(&done);
            under_way--;
            if (oldest->append.commit.err.code != 0)
                fail("append", &oldest->append.commit.err);
            printf("committed %" PRId64 "\n", oldest->next);
            fflush(stdout);
            gt_append_deinit(&oldest->append);
            continue;
        }
        uint32_t count = to - first < batch_size ? (uint32_t)(to - first) : batch_size;
        send_batch(&batches[at], writer, topic, first, count, size, &scratch);
        at = (at + 1) % UNDER_WAY_MAX;
        under_way++;
        first += count;
    }
    double took = (double)(gt_clock_mono_ns() - begun) / 1e9;
    printf("{\"records\":%" PRId64 ",\"s\":%.3f,\"per_s\":%.0f}\n", to - from, took,
           (double)(to - from) / took);
    gt_writer_close(writer);
    gt_append_scratch_deinit(&scratch);
}

/* --- The sink --- */

struct progress {
    struct gt_topic *topic;
    struct gt_reader *readers[64];
    uint32_t count;
    struct gt_buf bytes; /* the record as it was stored */
    struct gt_arena arena;
    struct gt_progress_record record;
};

static void open_readers(struct progress *own, const char *name)
{
    struct gantry_err err = {0};
    struct gt_key key;
    own->topic = ready_topic(name);
    own->count = gt_topic_queues(own->topic);
    if (own->count > 64)
        fail("more than 64 queues", NULL);
    gt_buf_init(&own->bytes, 8 << 20);
    gt_arena_init(&own->arena, 1 << 20, 0);
    gt_key_progress(&key, "live-sink", 0);
    if (gt_store_get(store, GT_TABLE_PROGRESS, gt_key_view(&key), &own->bytes, &err) == 0 &&
        gt_progress_record_read(gt_buf_view(&own->bytes), &own->arena, &own->record) != 0)
        fail("the progress is damaged", NULL);
    for (uint32_t i = 0; i < own->count; i++) {
        struct gt_queue_id id;
        struct gt_reader_spec spec = {.queue = i, .connector = "live-sink"};
        gt_topic_queue(own->topic, i, &id);
        for (size_t k = 0; k < own->record.offset_count; k++) {
            const struct gt_queue_offset *at = &own->record.offsets[k];
            if (at->queue == id.id && gantry_view_equal(at->broker, gantry_view_of(id.broker)) &&
                gantry_view_equal(at->topic, gantry_view_of(name))) {
                spec.offset = at->offset;
                spec.state = at->state;
            }
        }
        if (gt_reader_open(own->topic, &spec, &own->readers[i], &err) != 0)
            fail("reader", &err);
    }
}

static void commit_progress(struct progress *own, const char *name)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_queue_offset offsets[64] = {0};
    struct gt_buf states[64], value;
    struct gt_commit commit;
    struct gt_key key;
    struct gantry_err err = {0};
    for (uint32_t i = 0; i < own->count; i++) {
        struct gt_queue_id id;
        gt_topic_queue(own->topic, i, &id);
        gt_buf_init(&states[i], 1 << 20);
        gt_reader_state(own->readers[i], &states[i]);
        offsets[i] = (struct gt_queue_offset){gantry_view_of(name),
                                              id.id,
                                              gt_reader_offset(own->readers[i]),
                                              gantry_view_of(id.broker),
                                              gt_buf_view(&states[i]),
                                              0};
    }
    struct gt_progress_record record = {.offsets = offsets, .offset_count = own->count};
    gt_buf_init(&value, 8 << 20);
    gt_progress_record_write(&value, &record);
    gt_key_progress(&key, "live-sink", 0);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_PROGRESS, gt_key_view(&key), gt_buf_view(&value));
    if (gt_store_commit_now(store, &commit, &err) != 0)
        fail("commit", &err);
    gt_commit_deinit(&commit);
    gt_buf_deinit(&value);
    for (uint32_t i = 0; i < own->count; i++) {
        gt_buf_deinit(&states[i]);
        gt_reader_committed(own->readers[i], offsets[i].offset);
        gt_reader_close(own->readers[i]);
    }
    gt_buf_deinit(&own->bytes);
    gt_arena_deinit(&own->arena);
}

static void read_records(const char *name, int64_t wanted, bool print)
{
    static struct progress own;
    struct gt_arena arena;
    struct gantry_err err = {0};
    int64_t total = 0, begun = gt_clock_mono_ns();
    gt_arena_init(&arena, 1 << 20, 4 << 20);
    open_readers(&own, name);
    while (total < wanted) {
        bool some = false;
        for (uint32_t i = 0; i < own.count && total < wanted; i++) {
            const struct gt_message *messages;
            size_t count;
            int64_t first;
            gt_arena_reset(&arena);
            int code = gt_reader_next(own.readers[i], &arena, &messages, &count, &first, &err);
            if (code == GANTRY_AGAIN)
                fprintf(stderr, "waiting: %s\n", err.text);
            else if (code != 0)
                fail("read", &err);
            if (code != 0 || count == 0)
                continue;
            some = true;
            if ((int64_t)count > wanted - total)
                count = (size_t)(wanted - total);
            for (size_t k = 0; k < count && print; k++)
                printf("%.*s\n", GT_VIEW_ARGS(messages[k].body));
            gt_reader_took(own.readers[i], count);
            total += (int64_t)count;
        }
        bool wait = !some;
        for (uint32_t i = 0; i < own.count && wait; i++)
            wait = gt_reader_arm(own.readers[i], on_wake, NULL);
        if (wait)
            wait_on(&wake);
    }
    double took = (double)(gt_clock_mono_ns() - begun) / 1e9;
    commit_progress(&own, name);
    printf("{\"records\":%" PRId64 ",\"s\":%.3f,\"per_s\":%.0f}\n", total, took,
           (double)total / took);
    gt_arena_deinit(&arena);
}

int main(int argc, char **argv)
{
    struct gantry_err err = {0};
    if (argc < 6) {
        fprintf(stderr, "usage: live_topic NAMESRV STORE write|read TOPIC NUMBER ...\n");
        return 2;
    }
    const struct gt_link_settings settings = {.name_servers = argv[1], .client_id = "live"};
    const struct gt_rocketmq_settings engine = {.create_topics = true, .create_groups = true};
    sem_init(&wake, 0, 0);
    sem_init(&done, 0, 0);
    if (gt_store_open(argv[2], 0, &store, &err) != 0 || gt_store_start(store, &err) != 0 ||
        gt_link_open(&settings, &link_to, &err) != 0 ||
        gt_topics_open_rocketmq(store, link_to, &engine, &topics, &err) != 0)
        fail("open", &err);
    int64_t number = atoll(argv[5]);
    if (strcmp(argv[3], "write") == 0)
        write_records(argv[4], number, argc > 6 ? (uint32_t)atoi(argv[6]) : 1000,
                      argc > 7 ? (size_t)atoi(argv[7]) : 16);
    else
        read_records(argv[4], number, argc <= 6 || strcmp(argv[6], "count") != 0);
    gt_store_stop(store);
    gt_topics_close(topics);
    gt_link_close(link_to);
    gt_store_close(store);
    return 0;
}
