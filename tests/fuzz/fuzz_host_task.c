/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of a task, with a hostile host: the first byte says source or sink, the rest is
 * the line. Each frame goes the way it goes in the worker: dispatch, channel, proxy. Between them
 * the task takes its turns. */
#include "base/log.h"
#include "host/proxy.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gt_hosts hosts; /* its loop runs here, when we let it */
static char word[] = "x";     /* whatever needs a name */
static const char *const class_names[] = {"x", NULL};
static struct gt_host_class class = {.api = {.class_names = class_names}};
static struct gt_host_plugin plugin = {.hosts = &hosts, .name = word, .path = word};
static volatile size_t touched;

static void touch(struct gantry_view view)
{
    for (size_t i = 0; i < view.len; i++)
        touched += (uint8_t)view.data[i];
}

static void touch_text(const char *text)
{
    touch(gantry_view_of(text != NULL ? text : ""));
}

/* --- What the task's context offers --- */

static void wake(struct gantry_task_context *ctx)
{
    (void)ctx;
}

static int position(struct gantry_task_context *ctx, struct gantry_view partition,
                    struct gantry_view *ret, struct gantry_err *err)
{
    (void)ctx;
    (void)err;
    touch(partition);
    *ret = gantry_view_of("position");
    return 0;
}

static int positions(struct gantry_task_context *ctx,
                     void (*each)(void *arg, struct gantry_view partition,
                                  struct gantry_view position),
                     void *arg, struct gantry_err *err)
{
    (void)ctx;
    (void)err;
    each(arg, gantry_view_of("partition"), gantry_view_of("position"));
    return 0;
}

static void report_lag(struct gantry_task_context *ctx, int64_t bytes)
{
    (void)ctx;
    touched += (size_t)bytes;
}

static void task_log(struct gantry_task_context *ctx, enum gantry_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    touch_text(text);
}

static void hold(struct gantry_task_context *ctx, const char *topic, uint32_t queue, bool held)
{
    (void)ctx;
    touch_text(topic);
    touched += queue + held;
}

static int seek(struct gantry_task_context *ctx, const char *topic, uint32_t queue, int64_t offset,
                struct gantry_err *err)
{
    (void)ctx;
    (void)err;
    if (offset < 0)
        __builtin_trap();
    touch_text(topic);
    touched += queue;
    return 0;
}

static void want_commit(struct gantry_task_context *ctx)
{
    (void)ctx;
}

static int lay_aside(struct gantry_task_context *ctx, const struct gantry_record *record,
                     struct gantry_err *err)
{
    (void)ctx;
    (void)err;
    if (record->offset < 0 || record->schema != NULL)
        __builtin_trap();
    touch_text(record->topic);
    touch(record->key);
    touch(record->value);
    for (uint32_t i = 0; i < record->header_count; i++) {
        touch(record->headers[i].name);
        touch(record->headers[i].value);
    }
    return 0;
}

/* --- A source's turn --- */

struct room {
    struct gantry_batch batch; /* first */
    struct gt_arena arena;
};

static void *batch_alloc(struct gantry_batch *batch, size_t size)
{
    return gt_arena_alloc(&((struct room *)batch)->arena, size);
}

static int batch_grow(struct gantry_batch *batch)
{
    batch->capacity = 2 * batch->capacity + 16;
    batch->mark_capacity = 2 * batch->mark_capacity + 16;
    batch->records = realloc(batch->records, batch->capacity * sizeof *batch->records);
    batch->marks = realloc(batch->marks, batch->mark_capacity * sizeof *batch->marks);
    return batch->records != NULL && batch->marks != NULL ? 0 : GANTRY_NO_MEMORY;
}

static void touch_batch(const struct gantry_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct gantry_record *record = &batch->records[i];
        touch(record->value);
        touch(record->key);
        touch_text(record->topic);
        for (uint32_t k = 0; k < record->header_count; k++) {
            touch(record->headers[k].name);
            touch(record->headers[k].value);
        }
        for (size_t k = 0; record->schema != NULL && k < record->schema->field_count; k++)
            touch_text(record->schema->fields[k].name);
    }
    for (size_t i = 0; i < batch->mark_count; i++) {
        if (batch->marks[i].covers > batch->count)
            __builtin_trap();
        touch(batch->marks[i].partition);
        touch(batch->marks[i].position);
    }
}

static int source_turn(void *task, struct room *room, size_t *under_way, struct gantry_err *err)
{
    struct gantry_batch *batch = &room->batch;
    gt_arena_reset(&room->arena);
    batch->count = batch->mark_count = 0;
    int code = gt_proxy_source.poll(task, batch, err);
    if (code != 0)
        return code;
    touch_batch(batch);
    *under_way += batch->count > 0 || batch->mark_count > 0;
    if (*under_way > 1) {
        --*under_way;
        code = gt_proxy_source.committed(task, err);
    }
    return code;
}

/* --- A sink's turn --- */

static int write_state(struct gantry_output *output, const void *data, size_t len)
{
    (void)output;
    touch((struct gantry_view){data, len});
    return 0;
}

static int below(struct gantry_limits *limits, const char *topic, uint32_t queue, int64_t offset)
{
    (void)limits;
    touch_text(topic);
    touched += queue + (size_t)offset;
    return 0;
}

static int sink_turn(void *task, size_t *under_way, struct gantry_err *err)
{
    static const struct gantry_header header = {{"name", 4}, {"value", 5}};
    static const struct gantry_record record = {
        .value = {"v", 1}, .topic = "t", .headers = &header, .header_count = 1};
    struct gantry_put_result result = {0};
    struct gantry_output state = {sizeof state, write_state};
    struct gantry_limits limits = {sizeof limits, below};
    int code = gt_proxy_sink.look(task, err);
    if (code == 0)
        code = gt_proxy_sink.put(task, &record, 1, &result, err);
    if (code != 0)
        return code == GANTRY_AGAIN ? 0 : code;
    if (*under_way == 0) {
        *under_way = 1;
        return gt_proxy_sink.checkpoint(task, &state, err);
    }
    code = gt_proxy_sink.flush_done(task, &state, err);
    if (code != 0)
        return code == GANTRY_AGAIN ? 0 : code;
    *under_way = 0;
    code = gt_proxy_sink.limit(task, &limits, err);
    return code == 0 ? gt_proxy_sink.committed(task, err) : code;
}

/* --- The line --- */

static void look_at_loaded(const struct gt_frame *frame)
{
    struct gt_frame_head head;
    struct gt_host_plugin told = {.hosts = &hosts, .name = word, .path = word};
    struct gantry_err err;
    if (!gt_frame_read(&head, frame->data, frame->len) || head.type != GT_FRAME_LOADED)
        return;
    gt_arena_init(&told.memory, 4096, 0);
    if (gt_host_read_loaded(&told, frame, &err) == 0) {
        for (size_t i = 0; i < told.api.connector_count; i++)
            touch_text(told.api.connectors[i]->class_names[0]);
    }
    gt_arena_deinit(&told.memory);
}

static void set_up(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    gt_hosts_settings_default(&hosts.settings);
    hosts.settings.record_max = 1 << 20;
    if (uv_loop_init(&hosts.loop) != 0 || gt_mailbox_init(&hosts.mailbox, &hosts.loop) != 0)
        abort();
    gt_map_init(&hosts.seats);
    plugin.classes = &class;
    plugin.api.connector_count = 1;
    plugin.key = plugin.path;
    gt_log_set_level(GANTRY_LOG_ERROR);
}

static int turn(bool source, bool *started, void *task, struct room *room, size_t *under_way,
                struct gantry_err *err)
{
    const struct gantry_connector *connector = source ? &gt_proxy_source : &gt_proxy_sink;
    if (!*started) {
        int code = connector->start_done(task, err);
        *started = code == 0;
        return code == GANTRY_AGAIN ? 0 : code;
    }
    return source ? source_turn(task, room, under_way, err) : sink_turn(task, under_way, err);
}

static void run(bool source, const uint8_t *data, size_t size)
{
    static const struct gantry_config_entry entry = {"connector.class", "x"};
    static const struct gantry_config config = {sizeof config, 1, &entry};
    const struct gantry_connector *connector = source ? &gt_proxy_source : &gt_proxy_sink;
    struct gantry_task_context ctx = {.struct_size = sizeof ctx,
                                      .connector = "c",
                                      .task_count = 1,
                                      .config = &config,
                                      .wake = wake,
                                      .position = position,
                                      .positions = positions,
                                      .report_lag = report_lag,
                                      .log = task_log,
                                      .lay_aside = lay_aside,
                                      .hold = hold,
                                      .seek = seek,
                                      .want_commit = want_commit};
    struct room room = {.batch = {.struct_size = sizeof room.batch,
                                  .max_bytes = 64 << 10,
                                  .alloc = batch_alloc,
                                  .grow = batch_grow}};
    /* Its process has exited, so nobody is killed: what it said last is read. */
    struct gt_seat seat = {.hosts = &hosts,
                           .key = word,
                           .name = word,
                           .state = GT_SEAT_READY,
                           .exited = true,
                           .next_channel = 2};
    struct gt_frame_cutter cutter = {.head_len = 0};
    struct gantry_err err = {0};
    const uint32_t number = 1;
    bool started = false;
    size_t under_way = 0;
    void *task = NULL;
    gt_arena_init(&room.arena, 4096, 0);
    gt_frames_init(&seat.out);
    gt_map_init(&seat.channels);
    gt_errlog_init(&seat.log, seat.name, 10);
    if (connector->task_start(&plugin, &ctx, &task, &err) != 0)
        abort();
    struct gt_channel *channel = ((struct gt_proxy *)task)->channel;
    channel->number = number;
    if (gt_map_put(&seat.channels, (struct gantry_view){(const char *)&number, sizeof number},
                   channel, NULL) != 0)
        abort();
    int code = 0;
    while (size > 0 && code == 0) {
        struct gt_frame *frame = NULL;
        if (gt_frame_cutter_feed(&cutter, &data, &size, &frame, &err) != 0)
            break;
        if (frame == NULL)
            continue;
        look_at_loaded(frame);
        gt_dispatch(&seat, frame);
        code = turn(source, &started, task, &room, &under_way, &err);
    }
    (void)connector->stop_done(task);
    if (!channel->finished)
        gt_channel_finish(channel, NULL);
    connector->task_stop(task);
    uv_run(&hosts.loop, UV_RUN_NOWAIT); /* mails let go of the channel */
    gt_frame_cutter_deinit(&cutter);
    gt_frame_parts_deinit(&seat.parts);
    gt_map_deinit(&seat.channels);
    gt_errlog_deinit(&seat.log);
    gt_arena_deinit(&room.arena);
    free(room.batch.records);
    free(room.batch.marks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    if (size > 0)
        run(data[0] % 2 == 0, data + 1, size - 1);
    return 0;
}
