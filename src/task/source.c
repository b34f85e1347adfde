/* SPDX-License-Identifier: Apache-2.0 */
/* A source task: poll, convert, append with the positions, and hear of the commits.
 *
 * Batches are appended one behind the other without waiting; their commits come back in the same
 * order. What is not committed yet is bounded (commit_bytes): then the task waits, and so does what
 * it reads from. A batch cannot be kept for later (its memory is the executor's), so a task that
 * cannot append pauses: it stops its connector and starts it again from the committed position. */
#include "task/internal.h"

#include "base/clock.h"
#include "plugin/config_check.h"
#include "plugin/plugin_check.h"
#include "store/tables.h"
#include <stdlib.h>

/* A batch under way. */
struct in_flight {
    struct gt_append append; /* first */
    struct in_flight *next;
    struct source *source;
    size_t records;
    int64_t bytes; /* what it counts for against commit_bytes: marks alone take memory too */
};

struct source {
    struct gt_task task;    /* first */
    struct gt_topic *topic; /* of records that name none; NULL: they must */

    /* The executor's. */
    struct gt_writer *writer; /* from prepare to end */
    struct gt_waiter waiter;  /* for the topic */
    size_t pending;           /* batches under way */
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
        return 0; /* the table lets this pass only where each record names its topic */
    source->topic = gt_topic_get(task->env->topics, topic);
    return source->topic != NULL
               ? 0
               : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for topic %s", topic);
}

static void teardown(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    pthread_mutex_destroy(&source->lock);
}

static void wake_task(void *arg)
{
    gt_task_wake(arg);
}

/* A writer, with what an earlier one left behind settled, and the topic. */
static int prepare(struct gt_task *task, struct gantry_err *err)
{
    struct source *source = (struct source *)task;
    int code = 1;
    if (source->topic != NULL) {
        source->waiter.wake = wake_task;
        source->waiter.arg = task;
        code = gt_topic_ready(source->topic, &source->waiter, err);
    }
    if (code > 0 && source->writer == NULL) {
        const struct gt_writer_spec spec = {
            .claim = &task->claim,
            .replayable = (gt_task_connector(task)->flags & GANTRY_CONNECTOR_NO_REPLAY) == 0,
            .headers_as_is = (gt_task_connector(task)->flags & GANTRY_CONNECTOR_HEADERS_AS_IS) != 0,
            .wake = wake_task,
            .arg = task,
        };
        int rc = gt_writer_open(task->env->topics, &spec, &source->writer, err);
        if (rc != 0)
            return rc;
    }
    return code > 0 ? gt_writer_ready(source->writer, err) : code;
}

static int begin(struct gt_task *task, struct gantry_err *err)
{
    return GT_CALL(task, "task_start",
                   gt_task_connector(task)->task_start(task->klass->plugin_state, &task->ctx,
                                                       &task->instance, err));
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

static struct in_flight *next_done(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    struct in_flight *flight = source->done;
    if (flight != NULL)
        source->done = flight->next;
    if (source->done == NULL)
        source->done_tail = &source->done;
    pthread_mutex_unlock(&source->lock);
    return flight;
}

/* Take the batches whose commits are through: one by one, for committed() may not come back. */
static void take_done(struct source *source)
{
    struct gt_task *task = &source->task;
    for (struct in_flight *flight; (flight = next_done(source)) != NULL;) {
        const struct gantry_err *err = &flight->append.commit.err;
        size_t records = flight->records;
        int code = err->code;
        source->pending--;
        source->pending_bytes -= flight->bytes;
        if (code == GANTRY_NO_SPACE || code == GANTRY_AGAIN)
            gt_task_pause(task, err->text);
        else if (code != 0)
            gt_task_fail(task, code, "%s", err->text);
        free_flight(flight);
        if (code != 0)
            continue;
        atomic_fetch_add(&task->records, records);
        gt_task_went_well(task);
        struct gantry_err failure = {0};
        const struct gantry_connector *connector = gt_task_connector(task);
        if (connector->committed != NULL)
            code = GT_CALL(task, "committed", connector->committed(task->instance, &failure));
        if (code != 0)
            gt_task_fail(task, code, "%s", failure.text);
    }
}

/* The records for one topic, converted. */
struct portion {
    const char *name;
    struct gantry_record *records;
    uint32_t *ordinals; /* which of the batch; NULL: all */
    struct gt_message *messages;
    size_t count;
};

static const char *default_topic(const struct source *source)
{
    return source->topic != NULL ? gt_topic_name(source->topic) : "";
}

/* What goes to which queue; in the arena. */
struct parts {
    struct gt_append_part *items;
    size_t count, cap;
};

static struct gt_append_part *add_part(struct parts *parts, struct gt_arena *arena)
{
    if (parts->count == parts->cap) {
        size_t cap = parts->cap != 0 ? 2 * parts->cap : 4;
        struct gt_append_part *grown = gt_arena_alloc(arena, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        if (parts->count > 0)
            memcpy(grown, parts->items, parts->count * sizeof *grown);
        parts->items = grown;
        parts->cap = cap;
    }
    struct gt_append_part *part = &parts->items[parts->count++];
    memset(part, 0, sizeof *part);
    return part;
}

/* The part of those from `from` on that is for this queue; its place, or the count. */
static size_t find_part(const struct parts *parts, size_t from, uint32_t queue)
{
    while (from < parts->count && parts->items[from].queue != queue)
        from++;
    return from;
}

/* Give each part its records, order kept. places: which part each one belongs to, first being the
 * number of the first part. */
static int sort_out(const struct portion *portion, const size_t *places,
                    struct gt_append_part *parts, size_t count, size_t first,
                    struct gt_arena *arena)
{
    struct gt_message *messages = gt_arena_alloc(arena, portion->count * sizeof *messages);
    struct gantry_record *records = gt_arena_alloc(arena, portion->count * sizeof *records);
    uint32_t *ordinals = gt_arena_alloc(arena, portion->count * sizeof *ordinals);
    size_t *ends = gt_arena_alloc(arena, count * sizeof *ends), total = 0;
    if (messages == NULL || records == NULL || ordinals == NULL || ends == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t k = 0; k < count; k++) {
        parts[k].messages = messages + total;
        parts[k].records = records + total;
        parts[k].ordinals = ordinals + total;
        ends[k] = total;
        total += parts[k].count;
    }
    for (size_t i = 0; i < portion->count; i++) {
        size_t at = ends[places[i] - first]++;
        messages[at] = portion->messages[i];
        records[at] = portion->records[i];
        ordinals[at] = portion->ordinals != NULL ? portion->ordinals[i] : (uint32_t)i;
    }
    return 0;
}

/* A portion whose records name queues. Numbers may share a queue: a part is one of them all, for in
 * each queue the records stand in the batch's order. */
static int divide_queues(struct source *source, const struct portion *portion,
                         struct gt_topic *topic, struct parts *parts, struct gt_arena *arena)
{
    size_t first = parts->count, at = first;
    uint32_t last = 0;
    size_t *places = gt_arena_alloc(arena, portion->count * sizeof *places);
    if (places == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < portion->count; i++) {
        uint32_t number = portion->records[i].queue;
        if (i == 0 || number != last) {
            uint32_t queue = gt_writer_queue(source->writer, topic, number);
            last = number;
            at = find_part(parts, first, queue);
            if (at == parts->count) {
                struct gt_append_part *part = add_part(parts, arena);
                if (part == NULL)
                    return GANTRY_NO_MEMORY;
                part->topic = topic;
                part->queue = queue;
            }
        }
        places[i] = at;
        parts->items[at].count++;
    }
    return sort_out(portion, places, parts->items + first, parts->count - first, first, arena);
}

static int convert(struct source *source, struct portion *portion, struct parts *parts,
                   struct gt_scratch *scratch, int64_t now, struct gantry_err *err)
{
    struct gt_topic *topic;
    struct gt_task *task = &source->task;
    size_t bad = 0;
    bool own = source->topic != NULL && portion->name == gt_topic_name(source->topic);
    if (!own && gt_topic_name_check(portion->name, err) !=
                    0) /* the connector's choice, not checked before */
        return GANTRY_INVALID;
    topic = own ? source->topic : gt_topic_get(task->env->topics, portion->name);
    portion->messages = gt_arena_alloc(&scratch->arena, portion->count * sizeof *portion->messages);
    if (topic == NULL || portion->messages == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu messages", portion->count);
    struct gantry_err reason = {0};
    if (!own) { /* a batch cannot be kept: it is polled again when the topic is there */
        int rc = gt_topic_ready(topic, NULL, &reason);
        if (rc == 0)
            return gantry_err_set(err, GANTRY_AGAIN, "waiting for topic %s%s%s", portion->name,
                                  reason.text[0] != '\0' ? ": " : "", reason.text);
        if (rc < 0) {
            *err = reason;
            return rc;
        }
    }
    int code = task->converter->to_messages(portion->records, portion->count, gt_topic_name(topic),
                                            portion->messages, &scratch->arena, &bad, &reason);
    if (code != 0)
        return gantry_err_set(err, code,
                              "record %zu of a batch for topic %s cannot be converted: %s", bad,
                              gt_topic_name(topic), reason.text);
    bool numbered = false;
    for (size_t i = 0; i < portion->count; i++) {
        if (portion->messages[i].timestamp_ms == 0)
            portion->messages[i].timestamp_ms = now;
        numbered = numbered || portion->records[i].queue != 0;
    }
    struct gt_append_part *part = NULL;
    if (numbered)
        code = divide_queues(source, portion, topic, parts, &scratch->arena);
    else if ((part = add_part(parts, &scratch->arena)) == NULL)
        code = GANTRY_NO_MEMORY;
    if (code != 0)
        return gantry_err_set(err, code, "no memory for %zu messages", portion->count);
    if (numbered)
        return 0;
    part->topic = topic;
    part->queue = gt_writer_queue(source->writer, topic, 0);
    part->messages = portion->messages;
    part->count = portion->count;
    part->ordinals = portion->ordinals;
    part->records = portion->records;
    return 0;
}

/* The portion of records for topic @p name, made when there is none yet; *count when memory is out.
 */
static size_t find_portion(struct portion **portions, size_t *count, const char *name, size_t guess,
                           struct gt_arena *arena)
{
    struct portion *all = *portions;
    for (size_t i = 0; i < *count; i++) {
        size_t at = (guess + i) % *count;
        if (all[at].name == name || strcmp(all[at].name, name) == 0)
            return at;
    }
    if ((*count & (*count - 1)) == 0) { /* full at each power of two */
        struct portion *grown =
            gt_arena_alloc(arena, (*count != 0 ? 2 * *count : 1) * sizeof *grown);
        if (grown == NULL)
            return *count;
        if (*count > 0)
            memcpy(grown, all, *count * sizeof *grown);
        *portions = grown;
    }
    (*portions)[*count] = (struct portion){.name = name};
    return (*count)++;
}

/* Sort the batch's records by topic, order kept. @p name is the topic of records that name none.
 * Nearly always there is one topic, and the batch is its portion. */
static int divide(const struct gantry_batch *batch, const char *name, struct gt_arena *arena,
                  struct portion **ret, size_t *ret_count)
{
    struct portion *portions = NULL;
    size_t count = 0, at = 0;
    size_t *places = gt_arena_alloc(arena, batch->count * sizeof *places);
    if (places == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < batch->count; i++) {
        const char *topic = batch->records[i].topic;
        at = places[i] = find_portion(&portions, &count, topic != NULL ? topic : name, at, arena);
        if (at == count)
            return GANTRY_NO_MEMORY;
        portions[at].count++;
    }
    *ret = portions;
    *ret_count = count;
    if (count == 1)
        portions[0].records = batch->records;
    if (count <= 1)
        return 0;
    for (size_t i = 0; i < count; i++) {
        portions[i].records =
            gt_arena_alloc(arena, portions[i].count * sizeof *portions[i].records);
        portions[i].ordinals =
            gt_arena_alloc(arena, portions[i].count * sizeof *portions[i].ordinals);
        if (portions[i].records == NULL || portions[i].ordinals == NULL)
            return GANTRY_NO_MEMORY;
        portions[i].count = 0;
    }
    for (size_t i = 0; i < batch->count; i++) {
        struct portion *portion = &portions[places[i]];
        portion->ordinals[portion->count] = (uint32_t)i;
        portion->records[portion->count++] = batch->records[i];
    }
    return 0;
}

static void add_positions(struct source *source, struct gt_append *append,
                          const struct gantry_batch *batch)
{
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, GT_POSITION_MAX);
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

/* One of the topics is not ready: have all of them asked for at the same time. */
static void ask_for_topics(struct source *source, const struct portion *portions, size_t count)
{
    struct gantry_err err;
    for (size_t i = 0; i < count; i++) {
        struct gt_topic *topic = gt_topic_name_check(portions[i].name, &err) == 0
                                     ? gt_topic_get(source->task.env->topics, portions[i].name)
                                     : NULL;
        if (topic != NULL)
            (void)gt_topic_ready(topic, NULL, &err); /* the outcome is looked at next time */
    }
}

static int append_batch(struct source *source, struct gt_scratch *scratch, struct gantry_err *err)
{
    struct gt_task *task = &source->task;
    struct gantry_batch *batch = &scratch->batch;
    struct portion *portions = NULL;
    size_t count = 0;
    struct in_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL ||
        divide(batch, default_topic(source), &scratch->arena, &portions, &count) != 0) {
        free(flight);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a batch of %zu records",
                              batch->count);
    }
    gt_append_init(&flight->append, on_append_done);
    flight->append.writer = source->writer;
    flight->append.marks = batch->marks;
    flight->append.mark_count = batch->mark_count;
    flight->append.commit.claim = &task->claim;
    flight->source = source;
    flight->records = batch->count;
    int64_t now = gt_clock_wall_ms();
    int code = 0;
    struct parts parts = {0};
    for (size_t i = 0; i < count && code == 0; i++)
        code = convert(source, &portions[i], &parts, scratch, now, err);
    if (code == GANTRY_AGAIN)
        ask_for_topics(source, portions, count);
    if (code == 0) {
        add_positions(source, &flight->append, batch);
        flight->bytes = (int64_t)(sizeof *flight + flight->append.commit.changes.len);
        code = gt_append_submit(task->env->topics, &flight->append, parts.items, parts.count,
                                &scratch->append, err);
    }
    if (code != 0) {
        free_flight(flight);
        return code;
    }
    source->pending++; /* only this thread takes it back, and frees the flight */
    flight->bytes += (int64_t)flight->append.bytes;
    source->pending_bytes += flight->bytes;
    return 0;
}

/* Whether appends get through. What hinders them is shown; the writer wakes us when that changes.
 */
static bool get_on(struct source *source)
{
    struct gt_task *task = &source->task;
    struct gantry_err err = {0};
    int code = gt_writer_ready(source->writer, &err);
    if (code < 0)
        gt_task_pause(task, err.text); /* another writer will find what got through */
    else if (code == 0 && err.text[0] != '\0')
        gt_task_hold(task, err.text);
    return code > 0;
}

static void step(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    struct gantry_err err = {0};
    take_done(source);
    if (task->failing || task->pausing || !get_on(source))
        return;
    if (source->pending_bytes >= task->env->commit_bytes)
        return; /* on_append_done wakes us */

    struct gt_scratch *scratch = gt_executor_scratch(task->executor);
    gt_scratch_begin(scratch);
    int code =
        GT_CALL(task, "poll", gt_task_connector(task)->poll(task->instance, &scratch->batch, &err));
    if (code == 0)
        code = gt_marks_check(&scratch->batch, &err);
    if (code != 0) {
        gt_task_fail(task, code, "%s", err.text);
        return;
    }
    if (scratch->batch.count == 0 && scratch->batch.mark_count == 0) {
        gt_task_went_well(task);
        return; /* the connector wakes us */
    }
    code = append_batch(source, scratch, &err);
    if (code == GANTRY_NO_SPACE || code == GANTRY_AGAIN)
        gt_task_pause(task, err.text);
    else if (code != 0)
        gt_task_fail(task, code, "%s", err.text);
    if (code == 0)
        gt_task_ready(task);
}

static bool drain(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    struct gantry_err err = {0};
    take_done(source);
    if (source->pending > 0 && gt_writer_ready(source->writer, &err) == 0 && err.text[0] != '\0')
        gt_writer_abandon(source->writer);
    return source->pending == 0;
}

static void end(struct gt_task *task)
{
    struct source *source = (struct source *)task;
    if (source->topic != NULL)
        gt_topic_disarm(source->topic, &source->waiter);
    gt_writer_close(source->writer);
    source->writer = NULL;
}

const struct gt_task_ops gt_source_ops = {
    .size = sizeof(struct source),
    .setup = setup,
    .teardown = teardown,
    .prepare = prepare,
    .begin = begin,
    .step = step,
    .drain = drain,
    .end = end,
};
