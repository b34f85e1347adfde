/* SPDX-License-Identifier: Apache-2.0 */
/* A source task: poll, convert, append with the positions, and hear of the commits.
 *
 * Batches are appended one behind the other without waiting; their commits come back in the same order. What is not
 * committed yet is bounded (commit_bytes): then the task waits, and so does what it reads from. A batch cannot be kept for
 * later (its memory is the executor's), so a task that cannot append pauses: it stops its connector and starts it again from
 * the committed position. */
#include "task/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/tables.h"
#include <stdlib.h>

/* A batch under way. */
struct in_flight {
    struct gt_append append; /* first */
    struct in_flight *next;
    struct source *source;
    size_t records;
};

struct source {
    struct gt_task task; /* first */
    struct gt_topic *topic;
    struct gt_append_chain chain; /* each batch begins where the one before ended */

    /* The executor's. */
    size_t pending; /* batches under way */
    int64_t pending_bytes;

    pthread_mutex_t lock; /* guards done */
    struct in_flight *done, **done_tail;
};

static int setup(struct gt_task *task, struct gantry_err *err)
{
    struct source *source = (struct source *)task;
    pthread_mutex_init(&source->lock, NULL);
    source->done_tail = &source->done;
    const char *topic = gantry_config_get(&task->config, "topic");
    if (topic == NULL || *topic == '\0')
        return gantry_err_set(err, GANTRY_INVALID, "topic: required; name the topic to write to");
    source->topic = gt_topic_get(task->env->topics, topic);
    return source->topic != NULL ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for topic %s", topic);
}

static void teardown(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    pthread_mutex_destroy(&source->lock);
}

static int begin(struct gt_task *task, struct gantry_err *err)
{
    atomic_store(&((struct source *)task)->chain.broken, false); /* drain() has waited for all batches */
    return gt_task_connector(task)->task_start(task->klass->plugin_state, &task->ctx, &task->instance, err);
}

/* Thread: the committer. */
static void on_append_done(struct gt_append *append)
{
    struct in_flight *flight = (struct in_flight *)append;
    struct source *source = flight->source;
    pthread_mutex_lock(&source->lock);
    flight->next = NULL;
    *source->done_tail = flight;
    source->done_tail = &flight->next;
    /* Under the lock: once the task has seen its last batch it may end. */
    gt_task_wake(&source->task);
    pthread_mutex_unlock(&source->lock);
}

static void free_flight(struct in_flight *flight)
{
    gt_append_deinit(&flight->append);
    free(flight);
}

/* Take the batches whose commits are through. */
static void take_done(struct source *source)
{
    struct gt_task *task = &source->task;
    pthread_mutex_lock(&source->lock);
    struct in_flight *flight = source->done;
    source->done = NULL;
    source->done_tail = &source->done;
    pthread_mutex_unlock(&source->lock);
    for (struct in_flight *next; flight != NULL; flight = next) {
        next = flight->next;
        const struct gantry_err *err = &flight->append.commit.err;
        source->pending--;
        source->pending_bytes -= (int64_t)flight->append.bytes;
        if (err->code == GANTRY_NO_SPACE) {
            gt_task_pause(task, err->text);
        } else if (err->code != 0) {
            gt_task_fail(task, err->code, "%s", err->text);
        } else {
            atomic_fetch_add(&task->records, flight->records);
            gt_task_went_well(task);
            struct gantry_err failure = {0};
            const struct gantry_connector *connector = gt_task_connector(task);
            int code = connector->committed != NULL ? connector->committed(task->instance, &failure) : 0;
            if (code != 0)
                gt_task_fail(task, code, "%s", failure.text);
        }
        free_flight(flight);
    }
}

/* The records for one topic, converted. */
struct portion {
    const char *name; /* NULL: the task's topic */
    struct gantry_record *records;
    struct gt_message *messages;
    size_t count;
};

static int convert(struct source *source, struct portion *portion, struct gt_append_part *part,
                   struct gt_scratch *scratch, int64_t now, struct gantry_err *err)
{
    struct gt_task *task = &source->task;
    size_t bad = 0;
    part->topic = portion->name == NULL ? source->topic : gt_topic_get(task->env->topics, portion->name);
    portion->messages = gt_arena_alloc(&scratch->arena, portion->count * sizeof *portion->messages);
    if (part->topic == NULL || portion->messages == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu messages", portion->count);
    struct gantry_err reason = {0};
    int code = task->converter->to_messages(portion->records, portion->count, gt_topic_name(part->topic),
                                            portion->messages, &scratch->arena, &bad, &reason);
    if (code != 0)
        return gantry_err_set(err, code, "record %zu of a batch for topic %s cannot be converted: %s", bad,
                              gt_topic_name(part->topic), reason.text);
    for (size_t i = 0; i < portion->count; i++) {
        if (portion->messages[i].timestamp_ms == 0)
            portion->messages[i].timestamp_ms = now;
    }
    part->queue = task->ctx.task % gt_topic_queues(part->topic);
    part->messages = portion->messages;
    part->count = portion->count;
    return 0;
}

static bool same_topic(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Sort the batch's records by topic, order kept. Nearly always there is one. */
static int divide(struct gantry_batch *batch, struct gt_arena *arena, struct portion **ret, size_t *ret_count)
{
    size_t mixed = 0;
    while (mixed < batch->count && batch->records[mixed].topic == NULL)
        mixed++;
    struct portion *portions = gt_arena_alloc(arena, sizeof *portions);
    if (portions == NULL)
        return GANTRY_NO_MEMORY;
    if (mixed == batch->count) {
        portions[0] = (struct portion){.records = batch->records, .count = batch->count};
        *ret = portions;
        *ret_count = batch->count > 0 ? 1 : 0;
        return 0;
    }
    size_t count = 0, capacity = 1;
    for (size_t i = 0; i < batch->count; i++) {
        size_t at = 0;
        while (at < count && !same_topic(portions[at].name, batch->records[i].topic))
            at++;
        if (at == capacity) {
            struct portion *grown = gt_arena_alloc(arena, 2 * capacity * sizeof *grown);
            if (grown == NULL)
                return GANTRY_NO_MEMORY;
            memcpy(grown, portions, count * sizeof *grown);
            portions = grown;
            capacity *= 2;
        }
        if (at == count) {
            struct gantry_record *records = gt_arena_alloc(arena, (batch->count - i) * sizeof *records);
            if (records == NULL)
                return GANTRY_NO_MEMORY;
            portions[count++] = (struct portion){.name = batch->records[i].topic, .records = records};
        }
        portions[at].records[portions[at].count++] = batch->records[i];
    }
    *ret = portions;
    *ret_count = count;
    return 0;
}

static void add_positions(struct source *source, struct gt_append *append, const struct gantry_batch *batch)
{
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, 4 << 20);
    for (size_t i = 0; i < batch->mark_count; i++) {
        const struct gantry_mark *mark = &batch->marks[i];
        gt_buf_clear(&value);
        gt_position_record_write(&value, mark->partition, mark->position);
        gt_key_position(&key, source->task.connector, &mark->partition);
        gt_commit_put(&append->commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
        if (value.error != 0)
            append->commit.changes.error = value.error;
    }
    gt_buf_deinit(&value);
}

static int append_batch(struct source *source, struct gt_scratch *scratch, struct gantry_err *err)
{
    struct gt_task *task = &source->task;
    struct gantry_batch *batch = &scratch->batch;
    struct portion *portions = NULL;
    size_t count = 0;
    struct in_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL || divide(batch, &scratch->arena, &portions, &count) != 0) {
        free(flight);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a batch of %zu records", batch->count);
    }
    gt_append_init(&flight->append, on_append_done);
    flight->append.chain = &source->chain;
    flight->source = source;
    flight->records = batch->count;
    int64_t now = gt_clock_wall_ms();
    int code = 0;
    struct gt_append_part *parts = gt_arena_alloc(&scratch->arena, (count + 1) * sizeof *parts);
    if (parts == NULL)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a batch of %zu records", batch->count);
    for (size_t i = 0; i < count && code == 0; i++)
        code = convert(source, &portions[i], &parts[i], scratch, now, err);
    if (code == 0) {
        add_positions(source, &flight->append, batch);
        code = gt_append_submit(task->env->topics, &flight->append, parts, count, &scratch->append, err);
    }
    if (code != 0) {
        free_flight(flight);
        return code;
    }
    source->pending++; /* only this thread takes it back, and frees the flight */
    source->pending_bytes += (int64_t)flight->append.bytes;
    return 0;
}

static void step(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    take_done(source);
    if (task->failing || task->pausing || source->pending_bytes >= task->env->commit_bytes)
        return; /* on_append_done wakes us */

    struct gt_scratch *scratch = gt_executor_scratch(task->executor);
    struct gantry_err err = {0};
    gt_scratch_begin(scratch);
    int code = gt_task_connector(task)->poll(task->instance, &scratch->batch, &err);
    if (code != 0) {
        gt_task_fail(task, code, "%s", err.text);
        return;
    }
    if (scratch->batch.count == 0 && scratch->batch.mark_count == 0) {
        gt_task_went_well(task);
        return; /* the connector wakes us */
    }
    code = append_batch(source, scratch, &err);
    if (code == GANTRY_NO_SPACE)
        gt_task_pause(task, err.text);
    else if (code != 0)
        gt_task_fail(task, code, "%s", err.text);
    if (code == 0)
        gt_task_ready(task);
}

static bool drain(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    take_done(source);
    return source->pending == 0;
}

static void end(struct gt_task *task)
{
    (void)task;
}

const struct gt_task_ops gt_source_ops = {
    .size = sizeof(struct source),
    .setup = setup,
    .teardown = teardown,
    .begin = begin,
    .step = step,
    .drain = drain,
    .end = end,
};
