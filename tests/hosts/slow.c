/* SPDX-License-Identifier: Apache-2.0 */
/* A sink whose pace files give: of each put() it takes the first record, and the rest once the file
 * slow.take is there; flush(), which runs beside put(), returns once slow.flush is there. */
#include <gantry/connector.h>
#include <unistd.h>

enum { LOOK_MS = 5 };

struct task {
    struct gantry_task_context *ctx;
    const char *take, *flush;
};

static struct task the_task; /* one is run */

static int start(void *plugin, struct gantry_task_context *ctx, void **ret, struct gantry_err *err)
{
    (void)plugin;
    (void)err;
    the_task = (struct task){ctx, gantry_config_get(ctx->config, "slow.take"),
                             gantry_config_get(ctx->config, "slow.flush")};
    *ret = &the_task;
    return 0;
}

static int put(void *arg, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err)
{
    struct task *task = arg;
    (void)err;
    result->taken = records->offset % 10 == 0 ? 1 : 0;
    if (access(task->take, F_OK) != 0) {
        task->ctx->wake_after(task->ctx, LOOK_MS);
        return GANTRY_AGAIN;
    }
    result->taken = count;
    return 0;
}

static int flush(void *arg, struct gantry_err *err)
{
    const struct task *task = arg;
    (void)err;
    while (access(task->flush, F_OK) != 0)
        (void)usleep(LOOK_MS * 1000);
    return 0;
}

static void stop(void *arg)
{
    (void)arg;
}

static const struct gantry_config_def keys[] = {
    {.name = "slow.take",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_REQUIRED,
     .doc = "A file."},
    {.name = "slow.flush",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_REQUIRED,
     .doc = "A file."},
};

static const char *const classes[] = {"test.SlowSink", NULL};

static const struct gantry_connector sink = {
    .struct_size = sizeof sink,
    .kind = GANTRY_SINK,
    .flags = GANTRY_CONNECTOR_CONCURRENT_FLUSH,
    .class_names = classes,
    .task_class = "test.SlowTask",
    .version = "1",
    .doc = "Takes its time.",
    .defs = keys,
    .def_count = sizeof keys / sizeof keys[0],
    .task_start = start,
    .put = put,
    .flush = flush,
    .task_stop = stop,
};

static const struct gantry_connector *const connectors[] = {&sink};

static const struct gantry_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_version = GANTRY_ABI_VERSION,
    .name = "slow",
    .version = "1",
    .connectors = connectors,
    .connector_count = 1,
};

const struct gantry_plugin *gantry_plugin(void);

const struct gantry_plugin *gantry_plugin(void)
{
    return &plugin;
}
