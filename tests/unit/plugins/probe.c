/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that keeps a journal of its life, in the file that the setting probe.journal names, and
 * one that is wrong in the way that PROBE_WRONG says. Built several times; see ../meson.build. */
#include <gantry/connector.h>

#ifndef PROBE_VERSION
#define PROBE_VERSION "1"
#endif
#ifndef PROBE_CLASS
#define PROBE_CLASS "test.Probe"
#endif
#define WRONG_ABI       1
#define WRONG_SIZE      2
#define WRONG_CONNECTOR 3
#define WRONG_FUNCTION  4
#define WRONG_KEY       5
#define WRONG_NOTHING   6
#define WRONG_SYMBOL    7
#define WRONG_OPEN      8
#ifndef PROBE_WRONG
#define PROBE_WRONG 0
#endif

static char journal[512];
static int value_of_this_version = PROBE_VERSION[0] - '0';

static void note(const char *event)
{
    FILE *file = journal[0] != '\0' ? fopen(journal, "a") : NULL;
    if (file == NULL)
        return;
    (void)fprintf(file, "%s %s\n", event, PROBE_VERSION);
    (void)fclose(file);
}

/* The library is taken out of memory. */
__attribute__((destructor)) static void gone(void)
{
    note("gone");
}

static int open_plugin(const struct gantry_runtime *runtime, void **ret_plugin,
                       struct gantry_err *err)
{
    const char *path = runtime->setting(runtime, "probe.journal");
    if (PROBE_WRONG == WRONG_OPEN)
        return gantry_err_set(err, GANTRY_DENIED, "this probe never opens");
    if (path != NULL)
        (void)snprintf(journal, sizeof journal, "%s", path);
    note("open");
    *ret_plugin = &value_of_this_version;
    return 0;
}

static void close_plugin(void *plugin)
{
    (void)plugin;
    note("close");
}

static const struct gantry_config_def keys[] = {
    {.name = PROBE_WRONG == WRONG_KEY ? "two words" : "probe.key", .doc = "Nothing."},
};

static int start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                 struct gantry_err *err)
{
    (void)ctx;
    (void)err;
    *ret_task = plugin;
    return 0;
}

static int poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    (void)task;
    (void)batch;
    (void)err;
    return 0;
}

static void stop(void *task)
{
    (void)task;
}

static const char *const class_names[] = {PROBE_CLASS, NULL};

static const struct gantry_connector probe = {
    .struct_size = PROBE_WRONG == WRONG_CONNECTOR ? 16 : sizeof probe,
    .kind = GANTRY_SOURCE,
    .class_names = class_names,
    .task_class = "test.ProbeTask",
    .version = PROBE_VERSION,
    .doc = "Nothing comes of it.",
    .defs = keys,
    .def_count = 1,
    .task_start = start,
    .poll = PROBE_WRONG == WRONG_FUNCTION ? NULL : poll,
    .task_stop = stop,
};

static const struct gantry_connector *const connectors[] = {&probe};

static const struct gantry_plugin plugin = {
    .struct_size = PROBE_WRONG == WRONG_SIZE ? 24 : sizeof plugin,
    .abi_version = PROBE_WRONG == WRONG_ABI ? GANTRY_ABI_VERSION + 6 : GANTRY_ABI_VERSION,
    .name = "probe",
    .version = PROBE_VERSION,
    .open = open_plugin,
    .close = close_plugin,
    .connectors = connectors,
    .connector_count = 1,
};

#if PROBE_WRONG == WRONG_SYMBOL
#define FUNCTION some_other_function
#else
#define FUNCTION gantry_plugin
#endif

GANTRY_EXPORT const struct gantry_plugin *FUNCTION(void);

const struct gantry_plugin *FUNCTION(void)
{
    return PROBE_WRONG == WRONG_NOTHING ? NULL : &plugin;
}
