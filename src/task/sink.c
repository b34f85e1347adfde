/* SPDX-License-Identifier: Apache-2.0 */
/* A sink task: read, convert, put; and the commit cycle that makes what was put durable.
 *
 * A cycle: checkpoint (the connector's state and the offsets now), flush (on a helper thread, or
 * wherever the connector has it done), one store commit of both, committed(). What the connector
 * keeps back of a queue (limit) is not committed: the cycle is repeated after a while. It begins at
 * once when nothing more is to be read, else by time or bytes; there is one at a time, and the
 * connector goes on taking records meanwhile if it says that it can. The first cycle comes before
 * the first record: what a connector found at its start (a file and its length) must be known
 * before it changes it. */
#include "task/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/tables.h"
#include "topic/topic.h"
#include <stdlib.h>

enum {
    STATE_MAX = 1 << 20,
    PROGRESS_MAX = STATE_MAX + (8 << 20), /* with the offsets: 50,000 topics of the longest names */
    VAIN_COMMITS_MAX = 16,     /* asked for in turn, with no record of the queue taken in between */
    BEHIND_MS = 1000,          /* until a commit of which something was kept back is repeated */
    ASIDE_BYTES_MAX = 8 << 20, /* laid aside, at which a commit is due ... */
    ASIDE_BYTES_MOST = 256 << 20, /* ... and who goes on without one fails */
};

/* A topic that the task reads, and how many of its queues were dealt out. */
struct source_topic {
    struct gt_topic *topic;
    struct gt_waiter waiter; /* for its readiness, then for more queues */
    uint32_t known;
};

/* One queue that the task reads. */
struct input {
    struct gt_topic *topic;
    uint32_t queue;
    struct gt_queue_id id;
    uint64_t turns;             /* how often a commit has gone back ... */
    int64_t committed;          /* ... behind the last one */
    int64_t put_up;             /* the offset in the commit under way */
    size_t state_at, state_len; /* the reader's state there: a part of `reader_states` */
    int64_t limit;              /* the connector lets only what is before it be committed */
    struct gt_buf kept; /* the reader's state at the last commit; used where less is committed than
                           was put: a state may lack what lies behind it, never have more */
    bool held;          /* the connector wants nothing of it now */
    int64_t seek_to;    /* where the connector wants to go on; -1: nowhere else */
    bool trouble;       /* it cannot be read now; shown */
    struct gt_reader *reader;
    int64_t end_at_start;
    int vain_commits;
};

#define NOWHERE SIZE_MAX

/* A record that was laid aside, with its bytes in one piece of memory. */
struct aside {
    struct aside *next;
    size_t size;
    size_t input; /* where the record came from; NOWHERE: from none of ours */
    int64_t offset;
    struct gt_message message;
};

enum cycle { CYCLE_NONE, CYCLE_FLUSHING, CYCLE_COMMITTING };

struct sink {
    struct gt_task task;  /* first */
    struct input *inputs; /* owned */
    size_t input_count;
    char **topics; /* in task memory */
    size_t topic_count;
    struct source_topic *sources; /* in task memory: by topic */
    struct gt_topic *aside_topic; /* NULL: nothing may be laid aside */
    struct gt_waiter aside_waiter;
    struct gt_writer *writer; /* to it */

    /* The executor's. */
    size_t turn; /* the input to read next */
    bool first_committed, caught_up;
    bool want_commit; /* the connector asks for a commit before the next record */
    bool full;        /* it has no room: until it wakes us */
    bool dirty;       /* something was put since the last checkpoint */
    bool held;        /* some input cannot be read now: shown as PAUSED ... */
    size_t shown;     /* ... because of this one, counted from 1; 0: of the next one that says so */
    int64_t dirty_bytes, commit_begun_ns;
    bool behind;                         /* of the last commit something was kept back */
    bool ending;                         /* the commit of the end has begun */
    struct aside *asides, **asides_tail; /* owned; not submitted yet */
    size_t aside_bytes;

    enum cycle cycle;
    size_t noted;                /* inputs at the checkpoint: none is ever taken out */
    struct gt_buf reader_states; /* of the last checkpoint, one behind the other ... */
    struct gt_buf state;         /* ... and the connector's */
    struct gt_job flush;
    bool flushing, flush_late, flushed; /* the job is under way, and late; it has come back */
    struct gantry_err flush_err;
    struct gt_append append;    /* whose commit has the progress; with or without messages */
    struct gt_mail commit_mail; /* the commit is through; nothing else says so, hence no wake-up
                                   comes after it */
    bool commit_done;
    struct gt_buf stored; /* what the store had at the start; ctx.state points into it */
};

static void on_commit_mail(struct gt_mail *mail);

/* --- Set-up --- */

static int split_topics(struct sink *sink, const char *list, struct gantry_err *err)
{
    struct gt_arena *memory = &sink->task.memory;
    size_t most = 1;
    for (const char *at = list; *at != '\0'; at++)
        most += *at == ',';
    sink->topics = gt_arena_alloc(memory, most * sizeof *sink->topics);
    for (const char *at = list; sink->topics != NULL && at != NULL;) {
        const char *comma = strchr(at, ',');
        size_t len = comma != NULL ? (size_t)(comma - at) : strlen(at);
        struct gantry_view name = gt_view_trim((struct gantry_view){at, len});
        at = comma != NULL ? comma + 1 : NULL;
        bool repeated = false;
        for (size_t i = 0; i < sink->topic_count; i++)
            repeated = repeated || gantry_view_equal(name, gantry_view_of(sink->topics[i]));
        if (name.len == 0 || repeated)
            continue;
        sink->topics[sink->topic_count] = gt_arena_copy(memory, name);
        if (sink->topics[sink->topic_count++] == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the topics");
    }
    return sink->topics != NULL ? 0
                                : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the topics");
}

static int setup_aside(struct sink *sink, struct gantry_err *err)
{
    const char *name = gantry_config_get(&sink->task.config, "errors.deadletterqueue.topic.name");
    sink->asides_tail = &sink->asides;
    if (name == NULL || *name == '\0')
        return 0;
    sink->aside_topic = gt_topic_get(sink->task.env->topics, name);
    return sink->aside_topic != NULL
               ? 0
               : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for topic %s", name);
}

static int setup(struct gt_task *task, struct gantry_err *err)
{
    struct sink *sink = (struct sink *)task;
    sink->commit_mail.run = on_commit_mail;
    gt_buf_init(&sink->state, STATE_MAX);
    gt_buf_init(&sink->reader_states, PROGRESS_MAX);
    gt_buf_init(&sink->stored, PROGRESS_MAX);
    const char *list = gantry_config_get(&task->config, "topicNames");
    int code = split_topics(sink, list != NULL ? list : "", err);
    if (code == 0 && sink->topic_count > 0) {
        size_t size = sink->topic_count * sizeof *sink->sources;
        sink->sources = gt_arena_alloc(&task->memory, size);
        if (sink->sources != NULL)
            memset(sink->sources, 0, size);
        else
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the topics");
    }
    if (code == 0 && sink->topic_count == 0)
        code = gantry_err_set(err, GANTRY_INVALID, "topicNames: required; name the topics to read");
    return code == 0 ? setup_aside(sink, err) : code;
}

static void teardown(struct gt_task *task)
{
    struct sink *sink = (struct sink *)task;
    gt_buf_deinit(&sink->state);
    gt_buf_deinit(&sink->reader_states);
    gt_buf_deinit(&sink->stored);
}

/* --- Start --- */

struct finding_offset {
    const struct input *input;
    struct gt_arena arena;
    int64_t offset;
    uint64_t turns;
    struct gt_buf state; /* the reader's, at that offset */
};

/* How far any task of this connector was on the queue: the number of tasks may have changed since.
 * What is noted from before the connector went back does not count. */
static int see_progress(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct finding_offset *finding = arg;
    struct gt_progress_record record;
    (void)key;
    gt_arena_reset(&finding->arena);
    int code = gt_progress_record_read(value, &finding->arena, &record);
    for (size_t i = 0; code == 0 && i < record.offset_count; i++) {
        const struct gt_queue_offset *at = &record.offsets[i];
        const struct gt_queue_id *id = &finding->input->id;
        if (at->queue == id->id && gt_queue_offset_counts(at, finding->turns, finding->offset) &&
            gantry_view_equal(at->broker, gantry_view_of(id->broker)) &&
            gantry_view_equal(at->topic, gantry_view_of(gt_topic_name(finding->input->topic)))) {
            finding->offset = at->offset;
            finding->turns = at->turns;
            gt_buf_clear(&finding->state);
            gt_buf_add_view(&finding->state, at->state);
            code = finding->state.error;
        }
    }
    return code;
}

static int open_input(struct sink *sink, struct gt_topic *topic, uint32_t queue,
                      struct gantry_err *err)
{
    struct gt_task *task = &sink->task;
    struct input *input = &sink->inputs[sink->input_count];
    *input = (struct input){
        .topic = topic, .queue = queue, .seek_to = -1, .end_at_start = gt_topic_end(topic, queue)};
    gt_buf_init(&input->kept, STATE_MAX);
    gt_topic_queue(topic, queue, &input->id);
    struct finding_offset finding = {.input = input};
    gt_buf_init(&finding.state, STATE_MAX);
    struct gt_key prefix;
    gt_arena_init(&finding.arena, 4096, 4096);
    gt_key_prefix(&prefix, task->connector);
    int code = gt_store_scan(task->env->store, GT_TABLE_PROGRESS, gt_key_view(&prefix),
                             see_progress, &finding, err);
    gt_arena_deinit(&finding.arena);
    if (code == GANTRY_CORRUPT)
        gantry_err_set(err, code, "the stored progress of connector %s is damaged",
                       task->connector);
    /* A broker that has lost what it had not flushed is gone on with, by the reader. */
    if (code == 0 && finding.offset > input->end_at_start && gt_topic_is_local(topic))
        code = gantry_err_set(
            err, GANTRY_CHANGED,
            "connector %s has read topic %s up to offset %lld, but the topic ends at %lld; was the "
            "store put back? `gantry connector reset %s` begins anew",
            task->connector, gt_topic_name(topic), (long long)finding.offset,
            (long long)input->end_at_start, task->connector);
    if (code == 0)
        code = gt_reader_open(topic,
                              &(struct gt_reader_spec){.queue = queue,
                                                       .offset = finding.offset,
                                                       .state = gt_buf_view(&finding.state),
                                                       .connector = task->connector},
                              &input->reader, err);
    if (code == 0) {
        input->committed = finding.offset;
        input->turns = finding.turns;
        (void)gt_buf_add_view(&input->kept, gt_buf_view(&finding.state)); /* fits: as large */
        code = input->kept.error;
        if (code == 0)
            sink->input_count++;
        else
            gt_reader_close(input->reader);
    }
    if (code == GANTRY_NO_MEMORY)
        gantry_err_set(err, code, "no memory for topic %s", gt_topic_name(topic));
    if (code != 0)
        gt_buf_deinit(&input->kept);
    gt_buf_deinit(&finding.state);
    return code;
}

/* Which task reads a queue depends on nothing but what queue it is, and the topic's place in the
 * configuration: so one queue or broker more moves none of the others. */
static bool is_mine(const struct sink *sink, size_t place, const struct gt_queue_id *id)
{
    uint32_t broker = id->number >> 16;
    return ((uint64_t)place + id->id + broker) % sink->task.ctx.task_count == sink->task.ctx.task;
}

/* Open what is ours of the topics' queues that were not dealt out yet. */
static int open_inputs(struct sink *sink, struct gantry_err *err)
{
    for (size_t i = 0; i < sink->topic_count; i++) {
        struct source_topic *source = &sink->sources[i];
        uint32_t queues = gt_topic_queues(source->topic);
        if (queues == source->known)
            continue;
        struct input *grown =
            realloc(sink->inputs, (sink->input_count + queues - source->known) * sizeof *grown);
        if (grown == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for topic %s", sink->topics[i]);
        sink->inputs = grown;
        for (; source->known < queues; source->known++) {
            struct gt_queue_id id;
            gt_topic_queue(source->topic, source->known, &id);
            if (!is_mine(sink, i, &id))
                continue;
            int code = open_input(sink, source->topic, source->known, err);
            if (code != 0)
                return code;
        }
    }
    return 0;
}

static void wake_sink(void *arg)
{
    gt_task_wake(arg);
}

/* The topic for what is laid aside, and a way into it. */
static int prepare_aside(struct sink *sink, struct gantry_err *err)
{
    struct gt_task *task = &sink->task;
    sink->aside_waiter.wake = wake_sink;
    sink->aside_waiter.arg = task;
    int code = gt_topic_ready(sink->aside_topic, &sink->aside_waiter, err);
    if (code > 0 && sink->writer == NULL) {
        const struct gt_writer_spec spec = {.claim = &task->claim, .wake = wake_sink, .arg = task};
        int rc = gt_writer_open(task->env->topics, &spec, &sink->writer, err);
        if (rc != 0)
            return rc;
    }
    return code > 0 ? gt_writer_ready(sink->writer, err) : code;
}

/* All topics. */
static int prepare(struct gt_task *task, struct gantry_err *err)
{
    struct sink *sink = (struct sink *)task;
    int code = 1;
    for (size_t i = 0; i < sink->topic_count; i++) {
        struct source_topic *source = &sink->sources[i];
        struct gantry_err reason = {0};
        if (source->topic == NULL)
            source->topic = gt_topic_get(task->env->topics, sink->topics[i]);
        if (source->topic == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for topic %s", sink->topics[i]);
        source->waiter.wake = wake_sink;
        source->waiter.arg = task;
        int rc = gt_topic_ready(source->topic, &source->waiter, &reason);
        if (rc < 0) {
            *err = reason;
            return rc;
        }
        if (rc == 0 && (code != 0 || err->text[0] == '\0'))
            *err = reason;
        code = rc == 0 ? 0 : code;
    }
    return code > 0 && sink->aside_topic != NULL ? prepare_aside(sink, err) : code;
}

static int load_state(struct sink *sink, struct gantry_err *err)
{
    struct gt_task *task = &sink->task;
    struct gt_progress_record record;
    struct gt_arena arena;
    struct gt_key key;
    task->ctx.state = (struct gantry_view){NULL, 0};
    gt_key_progress(&key, task->connector, task->ctx.task);
    int code =
        gt_store_get(task->env->store, GT_TABLE_PROGRESS, gt_key_view(&key), &sink->stored, err);
    if (code == GANTRY_NOT_FOUND)
        return 0;
    if (code != 0)
        return code;
    gt_arena_init(&arena, 4096, 0);
    if (gt_progress_record_read(gt_buf_view(&sink->stored), &arena, &record) == 0)
        task->ctx.state = record.state;
    else
        code = gantry_err_set(err, GANTRY_CORRUPT, "the stored progress of connector %s is damaged",
                              task->connector);
    gt_arena_deinit(&arena);
    return code;
}

static int begin(struct gt_task *task, struct gantry_err *err)
{
    struct sink *sink = (struct sink *)task;
    sink->turn = 0;
    sink->first_committed = sink->caught_up = sink->want_commit = sink->full = sink->held = false;
    sink->behind = sink->ending = false;
    sink->shown = 0;
    sink->dirty_bytes = 0;
    sink->dirty = true; /* the first state */
    sink->cycle = CYCLE_NONE;
    int code = load_state(sink, err);
    if (code == 0)
        code = open_inputs(sink, err);
    if (code == 0)
        code = GT_CALL(task, "task_start",
                       gt_task_connector(task)->task_start(task->klass->plugin_state, &task->ctx,
                                                           &task->instance, err));
    task->ctx.state = (struct gantry_view){NULL, 0};
    gt_buf_deinit(&sink->stored);
    return code;
}

/* Let go of what the function says yes to. */
static void drop_asides(struct sink *sink, bool (*goes)(const struct aside *aside, const void *arg),
                        const void *arg)
{
    struct aside **at = &sink->asides;
    for (struct aside *aside = *at; aside != NULL; aside = *at) {
        if (!goes(aside, arg)) {
            at = &aside->next;
            continue;
        }
        *at = aside->next;
        sink->aside_bytes -= aside->size;
        free(aside);
    }
    sink->asides_tail = at;
}

static bool is_any(const struct aside *aside, const void *arg)
{
    (void)aside;
    (void)arg;
    return true;
}

static void end(struct gt_task *task)
{
    struct sink *sink = (struct sink *)task;
    drop_asides(sink, is_any, NULL);
    if (sink->aside_topic != NULL)
        gt_topic_disarm(sink->aside_topic, &sink->aside_waiter);
    gt_writer_close(sink->writer);
    sink->writer = NULL;
    for (size_t i = 0; i < sink->input_count; i++) {
        gt_reader_close(sink->inputs[i].reader);
        gt_buf_deinit(&sink->inputs[i].kept);
    }
    for (size_t i = 0; i < sink->topic_count; i++) {
        struct source_topic *source = &sink->sources[i];
        if (source->topic != NULL)
            gt_topic_disarm(source->topic, &source->waiter);
        source->known = 0;
    }
    free(sink->inputs);
    sink->inputs = NULL;
    sink->input_count = 0;
    gt_buf_deinit(&sink->state);
    gt_buf_deinit(&sink->reader_states);
}

/* --- What the connector asks for --- */

static struct sink *of_context(struct gantry_task_context *ctx)
{
    return (struct sink *)((char *)ctx - offsetof(struct sink, task.ctx));
}

static struct input *find_input(struct sink *sink, const char *topic, uint32_t queue)
{
    for (size_t i = 0; i < sink->input_count; i++) {
        struct input *input = &sink->inputs[i];
        if (input->id.number == queue && strcmp(gt_topic_name(input->topic), topic) == 0)
            return input;
    }
    return NULL;
}

static void ctx_hold(struct gantry_task_context *ctx, const char *topic, uint32_t queue, bool held)
{
    struct sink *sink = of_context(ctx);
    struct input *input = find_input(sink, topic, queue);
    if (input == NULL || !gt_call_enter())
        return;
    input->held = held;
    gt_task_ready(&sink->task);
    gt_call_leave();
}

/* Whether the record comes again, because of a seek. Not one that the cycle under way passes over:
 * its commit may be the last one. */
static bool comes_again(const struct aside *aside, const void *arg)
{
    const struct sink *sink = arg;
    if (aside->input >= sink->input_count)
        return false;
    const struct input *input = &sink->inputs[aside->input];
    bool passed = sink->cycle == CYCLE_FLUSHING && aside->input < sink->noted &&
                  aside->offset < input->put_up;
    return input->seek_to >= 0 && aside->offset >= input->seek_to && !passed;
}

static int ctx_seek(struct gantry_task_context *ctx, const char *topic, uint32_t queue,
                    int64_t offset, struct gantry_err *err)
{
    struct sink *sink = of_context(ctx);
    struct input *input = find_input(sink, topic, queue);
    if (input == NULL)
        return gantry_err_set(err, GANTRY_NOT_FOUND,
                              "queue %u of topic %s is not one that the task reads", queue, topic);
    if (offset < 0 ||
        (gt_topic_is_local(input->topic) && offset > gt_topic_end(input->topic, input->queue)))
        return gantry_err_set(err, GANTRY_INVALID, "queue %u of topic %s has no offset %lld", queue,
                              topic, (long long)offset);
    if (!gt_call_enter())
        return gantry_err_set(err, GANTRY_CLOSED, "the call was given up");
    input->seek_to = offset;
    drop_asides(sink, comes_again, sink);
    sink->dirty = true;
    gt_task_ready(&sink->task);
    gt_call_leave();
    return 0;
}

static void ctx_want_commit(struct gantry_task_context *ctx)
{
    struct sink *sink = of_context(ctx);
    if (!gt_call_enter())
        return;
    sink->want_commit = sink->dirty = true;
    gt_task_ready(&sink->task);
    gt_call_leave();
}

static struct gantry_view keep(char **memory, struct gantry_view view)
{
    char *copy = *memory;
    if (view.len > 0)
        memcpy(copy, view.data, view.len);
    *memory += view.len;
    return (struct gantry_view){copy, view.len};
}

static int ctx_lay_aside(struct gantry_task_context *ctx, const struct gantry_record *record,
                         struct gantry_err *err)
{
    struct sink *sink = of_context(ctx);
    struct gantry_view properties = {NULL, 0};
    struct gt_arena arena;
    if (sink->aside_topic == NULL)
        return gantry_err_set(err, GANTRY_UNSUPPORTED,
                              "errors.deadletterqueue.topic.name is not set");
    if (!gt_call_enter())
        return gantry_err_set(err, GANTRY_CLOSED, "the call was given up");
    if (sink->aside_bytes >= ASIDE_BYTES_MOST) {
        gt_call_leave();
        return gantry_err_set(err, GANTRY_TOO_LARGE,
                              "more than %d MiB were laid aside without a commit",
                              ASIDE_BYTES_MOST >> 20);
    }
    gt_arena_init(&arena, 4096, 0);
    int code = gt_properties_encode(record->headers, record->header_count, &arena, &properties);
    size_t size = record->key.len + record->value.len + properties.len;
    struct aside *aside = code == 0 ? malloc(sizeof *aside + size) : NULL;
    if (aside != NULL) {
        char *memory = (char *)(aside + 1);
        const struct input *input =
            record->topic != NULL ? find_input(sink, record->topic, record->queue) : NULL;
        *aside = (struct aside){
            .size = sizeof *aside + size,
            .input = input != NULL ? (size_t)(input - sink->inputs) : NOWHERE,
            .offset = record->offset,
        };
        aside->message.key = keep(&memory, record->key);
        aside->message.body = keep(&memory, record->value);
        aside->message.properties = keep(&memory, properties);
        aside->message.timestamp_ms =
            record->timestamp_ms != 0 ? record->timestamp_ms : gt_clock_wall_ms();
        *sink->asides_tail = aside;
        sink->asides_tail = &aside->next;
        sink->aside_bytes += aside->size;
        sink->dirty = true;
        sink->want_commit = sink->want_commit || sink->aside_bytes >= ASIDE_BYTES_MAX;
        gt_task_ready(&sink->task);
    }
    gt_call_leave();
    gt_arena_deinit(&arena);
    return aside != NULL
               ? 0
               : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a record of %zu bytes", size);
}

static void offer(struct gantry_task_context *ctx)
{
    ctx->lay_aside = ctx_lay_aside;
    ctx->hold = ctx_hold;
    ctx->seek = ctx_seek;
    ctx->want_commit = ctx_want_commit;
}

/* Readers go where the connector wants them. */
static int follow_seeks(struct sink *sink, struct gantry_err *err)
{
    for (size_t i = 0; i < sink->input_count; i++) {
        struct input *input = &sink->inputs[i];
        struct gt_reader *reader = NULL;
        if (input->seek_to < 0)
            continue;
        int code = gt_reader_open(input->topic,
                                  &(struct gt_reader_spec){.queue = input->queue,
                                                           .offset = input->seek_to,
                                                           .connector = sink->task.connector},
                                  &reader, err);
        if (code != 0)
            return code;
        gt_reader_close(input->reader);
        input->reader = reader;
        input->seek_to = -1;
        input->state_len = 0; /* not of this reader */
        gt_buf_clear(&input->kept);
    }
    return 0;
}

/* --- The commit cycle --- */

struct state_output {
    struct gantry_output api; /* first */
    struct gt_buf *buf;
};

static int write_state(struct gantry_output *output, const void *data, size_t len)
{
    return gt_buf_add(((struct state_output *)output)->buf, data, len);
}

/* Thread: the committer, or the link. */
static void on_append_done(struct gt_append *append)
{
    struct sink *sink = (struct sink *)((char *)append - offsetof(struct sink, append));
    gt_executor_send(sink->task.executor, &sink->commit_mail);
}

static void on_commit_done(struct gt_commit *commit)
{
    on_append_done((struct gt_append *)commit); /* its first member */
}

static void on_commit_mail(struct gt_mail *mail)
{
    struct sink *sink = (struct sink *)((char *)mail - offsetof(struct sink, commit_mail));
    sink->commit_done = true;
    gt_task_ready(&sink->task);
}

static const struct gt_commit_ops progress_ops = {.done = on_commit_done};

/* Note the offsets as they are at the checkpoint. */
static int note_offsets(struct sink *sink)
{
    gt_buf_clear(&sink->reader_states);
    sink->noted = sink->input_count;
    for (size_t i = 0; i < sink->noted; i++) {
        struct input *input = &sink->inputs[i];
        bool moves = input->seek_to >= 0; /* the next start goes on there, too */
        input->put_up = moves ? input->seek_to : gt_reader_offset(input->reader);
        input->limit = INT64_MAX;
        input->state_at = sink->reader_states.len;
        if (!moves)
            gt_reader_state(input->reader, &sink->reader_states);
        input->state_len = sink->reader_states.len - input->state_at;
    }
    return sink->reader_states.error;
}

/* The reader's state that goes with what is committed. */
static struct gantry_view committed_state(const struct sink *sink, const struct input *input)
{
    if (input->limit < input->put_up)
        return gt_buf_view(&input->kept);
    return (struct gantry_view){
        input->state_len > 0 ? sink->reader_states.data + input->state_at : NULL, input->state_len};
}

static int prepare_commit(struct sink *sink)
{
    struct gt_task *task = &sink->task;
    struct gt_progress_record record = {.offset_count = sink->noted,
                                        .state = gt_buf_view(&sink->state)};
    record.offsets = calloc(sink->noted + 1, sizeof *record.offsets);
    if (record.offsets == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < sink->noted; i++) {
        struct input *input = &sink->inputs[i];
        int64_t offset = input->limit < input->put_up ? input->limit : input->put_up;
        input->turns += offset < input->committed;
        input->committed = offset;
        record.offsets[i] = (struct gt_queue_offset){
            .topic = gantry_view_of(gt_topic_name(input->topic)),
            .queue = input->id.id,
            .offset = offset,
            .turns = input->turns,
            .broker = gantry_view_of(input->id.broker),
            .state = committed_state(sink, input),
        };
    }
    struct gt_key key;
    struct gt_buf value;
    gt_buf_init(&value, PROGRESS_MAX);
    gt_progress_record_write(&value, &record);
    gt_key_progress(&key, task->connector, task->ctx.task);
    struct gt_commit *commit = &sink->append.commit;
    gt_append_init(&sink->append, on_append_done);
    commit->ops = &progress_ops; /* unless there is something to append */
    commit->claim = &task->claim;
    gt_commit_put(commit, GT_TABLE_PROGRESS, gt_key_view(&key), gt_buf_view(&value));
    int code = value.error != 0 ? value.error : commit->changes.error;
    gt_buf_deinit(&value);
    free(record.offsets);
    if (code != 0)
        gt_append_deinit(&sink->append);
    return code;
}

/* Whether the commit passes over the record. */
static bool is_due(const struct aside *aside, const void *arg)
{
    const struct sink *sink = arg;
    return aside->input == NOWHERE ||
           (aside->input < sink->noted && aside->offset < sink->inputs[aside->input].committed);
}

/* The progress, and with it what was laid aside of that. */
static int submit_commit(struct sink *sink, struct gantry_err *err)
{
    struct gt_task *task = &sink->task;
    struct gt_append_part part = {.topic = sink->aside_topic};
    for (const struct aside *aside = sink->asides; aside != NULL; aside = aside->next)
        part.count += is_due(aside, sink);
    if (part.count == 0)
        return gt_store_submit(task->env->store, &sink->append.commit, err);
    struct gt_message *messages = malloc(part.count * sizeof *messages);
    if (messages == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu messages", part.count);
    part.messages = messages;
    for (const struct aside *aside = sink->asides; aside != NULL; aside = aside->next) {
        if (is_due(aside, sink))
            *messages++ = aside->message;
    }
    part.queue = gt_writer_queue(sink->writer, sink->aside_topic, 0);
    sink->append.writer = sink->writer;
    int code = gt_append_submit(task->env->topics, &sink->append, &part, 1,
                                &gt_executor_scratch(task->executor)->append, err);
    free((void *)(uintptr_t)part.messages);
    if (code == 0)
        drop_asides(sink, is_due, sink);
    return code;
}

static void end_cycle(struct sink *sink)
{
    if (sink->cycle == CYCLE_COMMITTING)
        gt_append_deinit(&sink->append);
    sink->cycle = CYCLE_NONE;
}

struct limits {
    struct gantry_limits api; /* first */
    struct sink *sink;
};

static int keep_back(struct gantry_limits *api, const char *topic, uint32_t queue, int64_t offset)
{
    struct input *input = find_input(((struct limits *)api)->sink, topic, queue);
    if (input == NULL)
        return GANTRY_NOT_FOUND;
    if (offset < input->limit)
        input->limit = offset > 0 ? offset : 0;
    return 0;
}

static void fail_cycle(struct sink *sink, const struct gantry_err *err)
{
    end_cycle(sink);
    if (err->code == GANTRY_NO_SPACE)
        gt_task_pause(&sink->task, err->text);
    else
        gt_task_fail(&sink->task, err->code, "%s", err->text);
}

/* It is durable: commit what the connector does not keep back. */
static void submit_progress(struct sink *sink)
{
    const struct gantry_connector *connector = gt_task_connector(&sink->task);
    struct limits limits = {{sizeof limits.api, keep_back}, sink};
    struct gantry_err err = {0};
    int code = 0;
    if (GANTRY_HAS(connector, limit))
        code =
            GT_CALL(&sink->task, "limit", connector->limit(sink->task.instance, &limits.api, &err));
    if (code == 0) {
        code = prepare_commit(sink);
        if (code != 0)
            gantry_err_set(&err, code, "cannot take the progress: %s", gantry_error_text(code));
    }
    if (code == 0) {
        sink->cycle = CYCLE_COMMITTING;
        sink->commit_done = false;
        code = submit_commit(sink, &err);
    }
    if (code != 0) {
        err.code = code;
        fail_cycle(sink, &err);
    }
}

/* A flush that is done elsewhere: look whether it is through. */
static void look_at_flush(struct sink *sink)
{
    struct state_output output = {{sizeof output.api, write_state}, &sink->state};
    struct gantry_err err = {0};
    int code =
        GT_CALL(&sink->task, "flush_done",
                gt_task_connector(&sink->task)->flush_done(sink->task.instance, &output.api, &err));
    if (code == GANTRY_AGAIN)
        return;
    if (code == 0 && sink->state.error != 0)
        code = gantry_err_set(&err, sink->state.error,
                              "the connector's state is larger than %d bytes", STATE_MAX);
    err.code = code;
    if (code != 0)
        fail_cycle(sink, &err);
    else
        submit_progress(sink);
}

static bool flushes_elsewhere(const struct sink *sink)
{
    const struct gantry_connector *connector = gt_task_connector(&sink->task);
    return GANTRY_HAS(connector, flush_done);
}

static struct sink *of_flush(struct gt_job *job)
{
    return (struct sink *)((char *)job - offsetof(struct sink, flush));
}

/* Thread: one of the jobs'. */
static void run_flush(struct gt_job *job)
{
    struct sink *sink = of_flush(job);
    int code = gt_task_connector(&sink->task)->flush(sink->task.instance, &sink->flush_err);
    sink->flush_err.code = code;
}

static void on_flushed(struct gt_mail *mail)
{
    struct sink *sink = (struct sink *)((char *)mail - offsetof(struct sink, flush.done));
    bool late = sink->flush_late;
    sink->flushing = sink->flush_late = false;
    sink->flushed = !late; /* then nothing of it counts */
    if (late)
        gt_task_resume(&sink->task);
    else
        gt_task_ready(&sink->task);
}

static void on_flush_late(struct gt_mail *mail)
{
    struct sink *sink = (struct sink *)((char *)mail - offsetof(struct sink, flush.late));
    sink->flush_late = true;
    gt_task_late(&sink->task, "flush");
}

/* A flush on another thread: its cycle goes on, or ends if it, or the step behind it, was given up.
 */
static void take_flush(struct sink *sink)
{
    if (sink->cycle != CYCLE_FLUSHING || sink->flushing || flushes_elsewhere(sink))
        return;
    bool flushed = sink->flushed;
    sink->flushed = false;
    if (!flushed)
        end_cycle(sink);
    else if (sink->flush_err.code != 0)
        fail_cycle(sink, &sink->flush_err);
    else
        submit_progress(sink);
}

static void begin_cycle(struct sink *sink)
{
    struct gt_task *task = &sink->task;
    const struct gantry_connector *connector = gt_task_connector(task);
    struct state_output output = {{sizeof output.api, write_state}, &sink->state};
    struct gantry_err err = {0};
    gt_buf_clear(&sink->state);
    int code = 0;
    if (connector->checkpoint != NULL)
        code =
            GT_CALL(task, "checkpoint", connector->checkpoint(task->instance, &output.api, &err));
    if (code == 0 && sink->state.error != 0)
        code = gantry_err_set(&err, sink->state.error,
                              "the connector's state is larger than %d bytes", STATE_MAX);
    if (code == 0) {
        code = note_offsets(sink);
        if (code != 0)
            gantry_err_set(&err, code, "cannot take the progress: %s", gantry_error_text(code));
    }
    if (code != 0) {
        err.code = code;
        fail_cycle(sink, &err);
        return;
    }
    sink->dirty = false;
    sink->dirty_bytes = 0;
    sink->commit_begun_ns = gt_clock_mono_ns();
    sink->cycle = CYCLE_FLUSHING;
    if (flushes_elsewhere(sink)) {
        look_at_flush(sink);
        return;
    }
    if (connector->flush == NULL) {
        submit_progress(sink);
        return;
    }
    sink->flush_err = (struct gantry_err){0};
    sink->flush = (struct gt_job){.run = run_flush,
                                  .to = gt_executor_mailbox(task->executor),
                                  .done.run = on_flushed,
                                  .late.run = on_flush_late};
    sink->flushing = true;
    gt_jobs_submit(task->env->jobs, &sink->flush);
}

/* What is committed, by queue. */
static int note_committed(struct sink *sink)
{
    int code = 0;
    sink->behind = false;
    for (size_t i = 0; i < sink->noted; i++) {
        struct input *input = &sink->inputs[i];
        if (input->limit < input->put_up) {
            sink->behind = true;
            gt_reader_committed(input->reader, input->limit);
            continue;
        }
        gt_reader_committed(input->reader, input->put_up);
        gt_buf_clear(&input->kept);
        gt_buf_add_view(&input->kept, committed_state(sink, input));
        code = input->kept.error != 0 ? input->kept.error : code;
    }
    if (sink->behind)
        gt_task_again(&sink->task, BEHIND_MS);
    return code;
}

/* The commit is through: the cycle ends. */
static void take_commit(struct sink *sink)
{
    struct gt_task *task = &sink->task;
    if (sink->cycle != CYCLE_COMMITTING || !sink->commit_done)
        return;
    struct gantry_err err = sink->append.commit.err;
    end_cycle(sink);
    if (err.code == GANTRY_NO_SPACE || err.code == GANTRY_AGAIN) {
        gt_task_pause(task, err.text);
        return;
    }
    if (err.code != 0) {
        gt_task_fail(task, err.code, "%s", err.text);
        return;
    }
    sink->first_committed = true;
    if (note_committed(sink) != 0) {
        gt_task_fail(task, GANTRY_NO_MEMORY, "no memory for the progress");
        return;
    }
    sink->want_commit =
        sink->want_commit && sink->dirty; /* the cycle may have begun before it was asked for */
    if (!sink->held)
        gt_task_went_well(task);
    const struct gantry_connector *connector = gt_task_connector(task);
    int code = connector->committed != NULL
                   ? GT_CALL(task, "committed", connector->committed(task->instance, &err))
                   : 0;
    if (code != 0)
        gt_task_fail(task, code, "%s", err.text);
}

/* --- Records --- */

static int put_messages(struct sink *sink, struct input *input, const struct gt_message *messages,
                        size_t count, int64_t first, struct gt_arena *arena, struct gantry_err *err)
{
    struct gt_task *task = &sink->task;
    struct gantry_record *records = gt_arena_alloc(arena, count * sizeof *records);
    if (records == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu records", count);
    size_t bad = 0;
    struct gantry_err reason = {0};
    int code = task->converter->to_records(messages, count, records, arena, &bad, &reason);
    if (code != 0)
        return gantry_err_set(err, code, "message %lld of topic %s cannot be converted: %s",
                              (long long)first + (long long)bad, gt_topic_name(input->topic),
                              reason.text);
    int64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        records[i].topic = gt_topic_name(input->topic);
        records[i].queue = input->id.number;
        records[i].offset = first + (int64_t)i;
        bytes += (int64_t)messages[i].body.len;
    }
    struct gantry_put_result result = {0};
    code = GT_CALL(task, "put",
                   gt_task_connector(task)->put(task->instance, records, count, &result, err));
    if (code != 0 && code != GANTRY_AGAIN)
        return code;
    size_t taken = result.taken < count ? result.taken : count;
    bool moved = input->seek_to >= 0; /* it goes on elsewhere, whatever it took */
    if (!moved)
        gt_reader_took(input->reader, taken);
    sink->full = code == GANTRY_AGAIN && taken < count;
    sink->want_commit = sink->want_commit || result.want_commit;
    if (taken > 0) {
        input->vain_commits = 0;
        sink->dirty = true;
        sink->dirty_bytes += taken == count ? bytes : bytes / (int64_t)count * (int64_t)taken;
        atomic_fetch_add(&task->records, taken);
    } else if (code == 0 && !result.want_commit && !moved && !input->held) {
        return gantry_err_set(err, GANTRY_INVALID,
                              "the connector took no record and asked for nothing");
    } else if (result.want_commit && ++input->vain_commits > VAIN_COMMITS_MAX) {
        return gantry_err_set(err, GANTRY_INVALID,
                              "the connector asked for %d commits and took no record of topic %s",
                              VAIN_COMMITS_MAX, gt_topic_name(input->topic));
    }
    sink->dirty = sink->dirty || result.want_commit;
    return 0;
}

/* Hand over one batch of the next queue that has something. *ret_some false: there is nothing. */
static int put_some(struct sink *sink, bool *ret_some, struct gantry_err *err)
{
    struct gt_scratch *scratch = gt_executor_scratch(sink->task.executor);
    *ret_some = false;
    for (size_t tried = 0; tried < sink->input_count; tried++) {
        struct input *input = &sink->inputs[sink->turn];
        const struct gt_message *messages;
        size_t count;
        int64_t first;
        sink->turn = (sink->turn + 1) % sink->input_count;
        if (input->held) {
            input->trouble = false;
            continue;
        }
        gt_arena_reset(&scratch->arena);
        int code = gt_reader_next(input->reader, &scratch->arena, &messages, &count, &first, err);
        input->trouble = code == GANTRY_AGAIN;
        if (input->trouble) {
            sink->held = true;
            size_t number = (size_t)(input - sink->inputs) + 1;
            if (sink->shown == 0)
                sink->shown = number;
            if (sink->shown == number) /* else each of them were news, with every step */
                gt_task_hold(&sink->task, err->text);
            continue;
        }
        if (code != 0)
            return code;
        if (count == 0)
            continue;
        *ret_some = true;
        return put_messages(sink, input, messages, count, first, &scratch->arena, err);
    }
    return 0;
}

/* Nothing to read: sleep until there is. */
static void rest(struct sink *sink)
{
    bool more = false;
    for (size_t i = 0; i < sink->input_count; i++) {
        const struct input *input = &sink->inputs[i];
        more = (!input->held && !gt_reader_arm(input->reader, wake_sink, &sink->task)) || more;
    }
    for (size_t i = 0; i < sink->topic_count; i++) {
        struct source_topic *source = &sink->sources[i];
        more = !gt_topic_arm(source->topic, source->known, &source->waiter) || more;
    }
    if (more)
        gt_task_ready(&sink->task);
}

static bool reached_start(const struct sink *sink)
{
    for (size_t i = 0; i < sink->input_count; i++) {
        if (gt_reader_offset(sink->inputs[i].reader) < sink->inputs[i].end_at_start)
            return false;
    }
    return true;
}

static int note_caught_up(struct sink *sink, struct gantry_err *err)
{
    const struct gantry_connector *connector = gt_task_connector(&sink->task);
    if (sink->caught_up || !reached_start(sink))
        return 0;
    sink->caught_up = true;
    return connector->caught_up != NULL
               ? GT_CALL(&sink->task, "caught_up", connector->caught_up(sink->task.instance, err))
               : 0;
}

static void note_lag(struct sink *sink)
{
    int64_t lag = 0;
    for (size_t i = 0; i < sink->input_count; i++) {
        const struct input *input = &sink->inputs[i];
        int64_t behind = gt_topic_end(input->topic, input->queue) - gt_reader_offset(input->reader);
        lag += behind > 0 ? behind : 0; /* an end that is not known */
    }
    atomic_store(&sink->task.lag, lag);
}

static bool commit_due(const struct sink *sink)
{
    const struct gt_task_env *env = sink->task.env;
    return sink->dirty &&
           (sink->want_commit || sink->dirty_bytes >= env->sink_commit_bytes ||
            gt_clock_mono_ns() - sink->commit_begun_ns >= env->sink_commit_ms * 1000000);
}

/* Until it is due by its time, at the latest. */
static int64_t commit_due_ms(const struct sink *sink)
{
    int64_t passed_ms = (gt_clock_mono_ns() - sink->commit_begun_ns) / 1000000;
    int64_t left_ms = sink->task.env->sink_commit_ms - passed_ms;
    return left_ms > 0 ? left_ms : 0;
}

/* All inputs can be read again: shown as RUNNING. */
static void note_trouble(struct sink *sink)
{
    bool trouble = false;
    for (size_t i = 0; i < sink->input_count; i++)
        trouble = trouble || sink->inputs[i].trouble;
    if (sink->shown != 0 && !sink->inputs[sink->shown - 1].trouble)
        sink->shown = 0;
    if (sink->held && !trouble)
        gt_task_went_well(&sink->task);
    sink->held = trouble;
}

/* What the connector has heard of. */
static void look(struct sink *sink)
{
    struct gt_task *task = &sink->task;
    const struct gantry_connector *connector = gt_task_connector(task);
    struct gantry_err err = {0};
    if (task->failing || task->pausing || !GANTRY_HAS(connector, look))
        return;
    int code = GT_CALL(task, "look", connector->look(task->instance, &err));
    if (code == GANTRY_NO_SPACE)
        gt_task_pause(task, err.text);
    else if (code != 0)
        gt_task_fail(task, code, "%s", err.text);
}

/* Whether a commit waits for a topic that takes nothing now; why is in @p err. */
static bool is_stuck(const struct sink *sink, struct gantry_err *err)
{
    return sink->cycle == CYCLE_COMMITTING && sink->append.writer != NULL &&
           gt_writer_ready(sink->writer, err) == 0 && err->text[0] != '\0';
}

static void step(struct gt_task *task)
{
    struct sink *sink = (struct sink *)task;
    const struct gantry_connector *connector = gt_task_connector(task);
    struct gantry_err err = {0};
    take_commit(sink);
    take_flush(sink);
    if (is_stuck(sink, &err))
        gt_task_hold(task, err.text);
    if (sink->cycle == CYCLE_FLUSHING && flushes_elsewhere(sink))
        look_at_flush(sink);
    look(sink);
    if (task->failing || task->pausing)
        return;
    if (sink->behind && gt_clock_mono_ns() - sink->commit_begun_ns >= (int64_t)BEHIND_MS * 1000000)
        sink->dirty = true;
    if (!sink->first_committed || sink->want_commit) {
        if (sink->cycle == CYCLE_NONE)
            begin_cycle(sink);
        return;
    }
    if (sink->cycle == CYCLE_FLUSHING &&
        (connector->flags & GANTRY_CONNECTOR_CONCURRENT_FLUSH) == 0)
        return;

    bool some = false;
    sink->full = false;
    int code = open_inputs(sink, &err); /* of queues that are new */
    if (code == 0)
        code = follow_seeks(sink, &err);
    if (code == 0)
        code = note_caught_up(sink, &err);
    if (code == 0)
        code = put_some(sink, &some, &err);
    if (code == 0)
        note_trouble(sink);
    if (code == GANTRY_NO_SPACE) {
        gt_task_pause(task, err.text);
        return;
    }
    if (code != 0) {
        gt_task_fail(task, code, "%s", err.text);
        return;
    }
    note_lag(sink);
    /* Without more to read at once. One that is full has more, and takes it when it wakes us: with
     * a commit each time its pace were that of the disk. */
    if (sink->cycle == CYCLE_NONE && (some ? commit_due(sink) : sink->dirty))
        begin_cycle(sink);
    else if (sink->cycle == CYCLE_NONE && sink->full && sink->dirty)
        gt_task_again(task, commit_due_ms(sink));
    if (some && !sink->full)
        gt_task_ready(task);
    else if (!some)
        rest(sink);
}

/* Stop: what was put is made durable, what was not read stays in the topic. */
static bool drain(struct gt_task *task)
{
    struct sink *sink = (struct sink *)task;
    struct gantry_err err = {0};
    take_commit(sink);
    take_flush(sink);
    if (is_stuck(sink, &err))
        gt_writer_abandon(sink->writer);
    if (sink->cycle == CYCLE_FLUSHING && flushes_elsewhere(sink)) {
        if (task->failing || task->pausing)
            end_cycle(sink);
        else
            look_at_flush(sink);
    }
    if (sink->cycle != CYCLE_NONE)
        return false;
    /* Once: nothing is put any more, and a connector may ask for the next one each time. */
    bool more = !sink->ending && (sink->dirty || sink->behind);
    if (task->failing || task->pausing || !more || !gt_claim_holds(&task->claim))
        return true;
    sink->ending = true;
    begin_cycle(sink);
    return task->failing || task->pausing;
}

const struct gt_task_ops gt_sink_ops = {
    .size = sizeof(struct sink),
    .setup = setup,
    .teardown = teardown,
    .prepare = prepare,
    .begin = begin,
    .step = step,
    .drain = drain,
    .end = end,
    .offer = offer,
};
