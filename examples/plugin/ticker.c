/* SPDX-License-Identifier: Apache-2.0 */
/* A whole connector in one file: a source that gives a numbered tick every interval, and goes on
 * counting where it stood.
 *
 *    cc -std=c11 -shared -fPIC $(pkg-config --cflags gantry) ticker.c -o ticker.so
 *
 * It shows what every source does: a table of its keys, a position that is read at the start and
 * marked with each batch, and sleep (wake_after) instead of waiting. Nothing is linked: what the
 * runtime offers comes in the context. */
#include <gantry/connector.h>
#include <time.h>

static const struct gantry_config_def keys[] = {
    {
        .name = "tick.interval.ms",
        .type = GANTRY_CONFIG_DURATION,
        .default_value = "1000",
        .min = 1,
        .max = 86400000,
        .doc = "Time between two ticks.",
    },
    {
        .name = "tick.text",
        .type = GANTRY_CONFIG_STRING,
        .default_value = "tick",
        .doc = "What stands before the number.",
    },
};

struct ticker {
    struct gantry_task_context *ctx;
    int64_t interval_ms;
    const char *text;
    long long next;
    int64_t due_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* There is one thing to count, so there is one partition. */
static const char partition[] = "{\"ticker\":\"1\"}";

static int start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                 struct gantry_err *err)
{
    struct gantry_view position;
    (void)plugin;
    int code = ctx->position(ctx, gantry_view_of(partition), &position, err);
    if (code != 0)
        return code;
    struct ticker *ticker = calloc(1, sizeof *ticker);
    if (ticker == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a ticker");
    ticker->ctx = ctx;
    ticker->interval_ms = gantry_config_get_int(ctx->config, "tick.interval.ms", 1000);
    ticker->text = gantry_config_get(ctx->config, "tick.text");
    /* The position is ours, text or bytes as we like; it is not NUL-terminated. */
    for (size_t i = 0; i < position.len; i++)
        ticker->next = ticker->next * 10 + (position.data[i] - '0');
    *ret_task = ticker;
    return 0;
}

/* Called until it gives an empty batch, and again when the task is woken. */
static int poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    struct ticker *ticker = task;
    int64_t now = now_ms();
    if (now < ticker->due_ms && ticker->due_ms - now <= ticker->interval_ms) {
        ticker->ctx->wake_after(ticker->ctx, ticker->due_ms - now);
        return 0;
    }
    ticker->due_ms = now + ticker->interval_ms;
    struct gantry_record *record = gantry_batch_add(batch);
    size_t size = strlen(ticker->text) + 24;
    char *text = batch->alloc(batch, size); /* lives as long as the batch */
    char position[24];
    if (record == NULL || text == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a tick");
    int len = snprintf(text, size, "%s %lld", ticker->text, ticker->next++);
    record->value.data = text;
    record->value.len = (size_t)len;
    snprintf(position, sizeof position, "%lld", ticker->next);
    if (gantry_batch_mark(batch, gantry_view_of(partition), gantry_view_of(position)) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a tick");
    return 0;
}

static void stop(void *task)
{
    free(task);
}

static const char *const class_names[] = {"example.Ticker", NULL};

static const struct gantry_connector ticker = {
    .struct_size = sizeof ticker,
    .kind = GANTRY_SOURCE,
    .class_names = class_names,
    .task_class = "example.TickerTask",
    .version = "1.0",
    .doc = "Gives a numbered tick every interval.",
    .defs = keys,
    .def_count = sizeof keys / sizeof keys[0],
    .task_start = start,
    .poll = poll,
    .task_stop = stop,
};

static const struct gantry_connector *const connectors[] = {&ticker};

static const struct gantry_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_version = GANTRY_ABI_VERSION,
    .name = "ticker",
    .version = "1.0",
    .connectors = connectors,
    .connector_count = 1,
};

const struct gantry_plugin *gantry_plugin(void)
{
    return &plugin;
}
