/* SPDX-License-Identifier: Apache-2.0 */
/* A source: numbered lines, "1", "2", "3" ..., each of them once, however often it is stopped or
 * killed: where it stands is a position, which the runtime commits together with the records. */
#include "plugin.h"

#include <inttypes.h>
#include <time.h>

enum { BATCH_MAX = 1000 };

static const struct gantry_config_def keys[] = {
    {
        .name = "count.from",
        .type = GANTRY_CONFIG_INT,
        .default_value = "1",
        .min = 0,
        .max = INT64_MAX,
        .doc = "The first number, when there is no position yet.",
    },
    {
        .name = "count.to",
        .type = GANTRY_CONFIG_INT,
        .default_value = "9223372036854775807",
        .min = 0,
        .max = INT64_MAX,
        .doc = "The last number.",
    },
    {
        .name = "count.interval.ms",
        .type = GANTRY_CONFIG_DURATION,
        .default_value = "1s",
        .min = 0,
        .max = 86400000,
        .doc = "Time between two numbers. 0: as fast as they are taken.",
    },
    {
        .name = "count.prefix",
        .type = GANTRY_CONFIG_STRING,
        .default_value = "",
        .doc = "What stands before the number; {version} is the plugin's version.",
    },
};

/* One task: all that it knows is here, for a plugin may have many of them and has no globals. */
struct counter {
    struct gantry_task_context *ctx;
    int64_t next, last, interval_ms;
    int64_t due_ms; /* of the next number, with an interval */
    char prefix[128];
};

/* There is one thing to count, so there is one partition. What the two texts say is the source's
 * own matter; JSON is the custom, for people who look at them. */
static const char partition[] = "{\"counter\":\"1\"}";
static const char position_format[] = "{\"next\":%" PRId64 "}";

/* The table cannot say that one key must not be above another. Everything that can be known before
 * a start belongs here, where the user still sees it. */
static void validate(void *plugin, const char *name, const struct gantry_config *config,
                     struct gantry_findings *findings)
{
    int64_t from = gantry_config_get_int(config, "count.from", 0);
    int64_t to = gantry_config_get_int(config, "count.to", 0);
    (void)plugin;
    (void)name;
    if (to < from) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "count.to: %" PRId64 " is below count.from, which is %" PRId64, to, from);
        findings->add(findings, "count.to", text);
    }
}

static int read_position(struct counter *counter, struct gantry_err *err)
{
    struct gantry_view position;
    char text[64];
    int code = counter->ctx->position(counter->ctx, gantry_view_of(partition), &position, err);
    if (code != 0 || position.len == 0) /* 0 bytes: the first start */
        return code;
    (void)snprintf(text, sizeof text, "%.*s", (int)position.len, position.data);
    if (sscanf(text, "{\"next\":%" SCNd64 "}", &counter->next) != 1)
        return gantry_err_set(err, GANTRY_CORRUPT, "the position is no position of a counter: %s",
                              text);
    return 0;
}

static int start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                 struct gantry_err *err)
{
    (void)plugin;
    struct counter *counter = calloc(1, sizeof *counter);
    if (counter == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a counter");
    counter->ctx = ctx;
    counter->next = gantry_config_get_int(ctx->config, "count.from", 1);
    counter->last = gantry_config_get_int(ctx->config, "count.to", INT64_MAX);
    counter->interval_ms = gantry_config_get_int(ctx->config, "count.interval.ms", 1000);
    const char *prefix = gantry_config_get(ctx->config, "count.prefix");
    const char *version = strstr(prefix, "{version}");
    if (version != NULL)
        (void)snprintf(counter->prefix, sizeof counter->prefix, "%.*s%s%s", (int)(version - prefix),
                       prefix, EXAMPLE_VERSION, version + strlen("{version}"));
    else
        (void)snprintf(counter->prefix, sizeof counter->prefix, "%s", prefix);
    int code = read_position(counter, err);
    if (code != 0) {
        free(counter); /* task_stop is not called after a failure */
        return code;
    }
    *ret_task = counter;
    return 0;
}

static int add_number(struct counter *counter, struct gantry_batch *batch, struct gantry_err *err)
{
    size_t size = strlen(counter->prefix) + 24;
    struct gantry_record *record = gantry_batch_add(batch);
    char *text = batch->alloc(batch, size); /* lives as long as the batch */
    if (record == NULL || text == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a number");
    int len = snprintf(text, size, "%s%" PRId64, counter->prefix, counter->next++);
    record->value.data = text;
    record->value.len = (size_t)len;
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether the next number is due; if not, the task is woken when it is. */
static bool is_due(struct counter *counter)
{
    int64_t now = now_ms();
    if (now < counter->due_ms) {
        counter->ctx->wake_after(counter->ctx, counter->due_ms - now);
        return false;
    }
    counter->due_ms = now + counter->interval_ms;
    return true;
}

/* Called again and again until it gives an empty batch, then when the task is woken. It never
 * waits: its thread belongs to other tasks, too (see GANTRY_CONNECTOR_BLOCKS for one that must). */
static int poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    struct counter *counter = task;
    char position[48];
    size_t most = counter->interval_ms > 0 ? 1 : BATCH_MAX, count = 0;
    int code = 0;
    if (counter->next > counter->last || !is_due(counter))
        return 0;
    while (count < most && counter->next <= counter->last && code == 0) {
        code = add_number(counter, batch, err);
        count++;
    }
    if (code != 0)
        return code;
    (void)snprintf(position, sizeof position, position_format, counter->next);
    if (gantry_batch_mark(batch, gantry_view_of(partition), gantry_view_of(position)) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a number");
    return 0;
}

static void stop(void *task)
{
    free(task);
}

static const char *const class_names[] = {"example.Counter", NULL};

const struct gantry_connector example_counter = {
    .struct_size = sizeof example_counter,
    .kind = GANTRY_SOURCE,
    .class_names = class_names,
    .task_class = "example.CounterTask",
    .version = EXAMPLE_VERSION,
    .doc = "Gives numbered lines.",
    .defs = keys,
    .def_count = sizeof keys / sizeof keys[0],
    .validate = validate,
    .task_start = start,
    .poll = poll,
    .task_stop = stop,
};
