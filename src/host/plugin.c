/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a plugin by way of a host: what LOADED says becomes a struct gantry_plugin, whose
 * connectors are proxies. */
#include "host/proxy.h"

#include "base/log.h"
#include <stdlib.h>

enum {
    CONNECTORS_MAX = 1024,
    CLASSES_MAX = 1024, /* of a connector ... */
    DEFS_MAX = 10000,   /* ... and its keys: an item of one byte is many in our memory */
    KNOWN_FLAGS = GANTRY_CONNECTOR_CONCURRENT_FLUSH | GANTRY_CONNECTOR_NO_REPLAY |
                  GANTRY_CONNECTOR_HEADERS_AS_IS | GANTRY_CONNECTOR_OPEN_KEYS
};

/* --- Reading tables --- */

struct reading {
    struct gt_mp *mp;
    struct gt_arena *memory;
    bool no_memory;
};

static const char *read_text(struct reading *reading)
{
    if (gt_mp_peek(reading->mp) == GT_MP_NIL) {
        gt_mp_skip(reading->mp);
        return NULL;
    }
    const char *text = gt_arena_copy(reading->memory, gt_mp_bytes(reading->mp));
    reading->no_memory = reading->no_memory || text == NULL;
    return text;
}

static bool is(struct gantry_view key, const char *name)
{
    return gantry_view_equal(key, gantry_view_of(name));
}

static void *alloc_many(struct reading *reading, size_t count, size_t size)
{
    void *items = gt_arena_alloc(reading->memory, (count + 1) * size);
    if (items != NULL)
        memset(items, 0, (count + 1) * size);
    reading->no_memory = reading->no_memory || items == NULL;
    return items;
}

static bool going_on(const struct reading *reading)
{
    return gt_mp_ok(reading->mp) && !reading->no_memory;
}

/* An array of at most so many. */
static uint32_t read_count(struct reading *reading, uint32_t most)
{
    uint32_t count = gt_mp_array(reading->mp);
    reading->mp->bad = reading->mp->bad || count > most;
    return reading->mp->bad ? 0 : count;
}

static const char *const *read_classes(struct reading *reading)
{
    uint32_t count = read_count(reading, CLASSES_MAX);
    const char **names = alloc_many(reading, count, sizeof *names);
    for (uint32_t i = 0; i < count && going_on(reading); i++)
        names[i] = read_text(reading);
    return names;
}

static void read_def(struct reading *reading, struct gantry_config_def *def)
{
    uint32_t pairs = gt_mp_map(reading->mp);
    for (uint32_t i = 0; i < pairs && going_on(reading); i++) {
        struct gantry_view key = gt_mp_bytes(reading->mp);
        if (is(key, "name"))
            def->name = read_text(reading);
        else if (is(key, "aliases"))
            def->aliases = read_text(reading);
        else if (is(key, "type"))
            def->type = (enum gantry_config_type)gt_mp_int(reading->mp);
        else if (is(key, "flags"))
            def->flags = (uint32_t)gt_mp_int(reading->mp);
        else if (is(key, "default"))
            def->default_value = read_text(reading);
        else if (is(key, "min"))
            def->min = gt_mp_int(reading->mp);
        else if (is(key, "max"))
            def->max = gt_mp_int(reading->mp);
        else if (is(key, "choices"))
            def->choices = read_text(reading);
        else if (is(key, "doc"))
            def->doc = read_text(reading);
        else
            gt_mp_skip(reading->mp);
    }
}

static void read_defs(struct reading *reading, struct gantry_connector *connector)
{
    uint32_t count = read_count(reading, DEFS_MAX);
    struct gantry_config_def *defs = alloc_many(reading, count, sizeof *defs);
    for (uint32_t i = 0; i < count && going_on(reading); i++)
        read_def(reading, &defs[i]);
    connector->defs = defs;
    connector->def_count = count;
}

/* What a table must have; the rest is the registry's to judge. */
static const char *complain(const struct gantry_connector *connector, int64_t kind)
{
    if (kind != GANTRY_SOURCE && kind != GANTRY_SINK)
        return "its kind is neither source (0) nor sink (1)";
    if (connector->class_names == NULL || connector->class_names[0] == NULL)
        return "it has no class";
    for (size_t i = 0; i < connector->def_count; i++) {
        const struct gantry_config_def *def = &connector->defs[i];
        if (def->name == NULL || (unsigned)def->type > GANTRY_CONFIG_PASSWORD)
            return "a key of its configuration has no name, or no known type";
    }
    return NULL;
}

static const char *read_connector(struct reading *reading, struct gt_host_class *class)
{
    int64_t kind = -1, flags = 0;
    bool validates = false, splits = false, native = false;
    struct gantry_connector told = {.struct_size = sizeof told};
    uint32_t pairs = gt_mp_map(reading->mp);
    for (uint32_t i = 0; i < pairs && going_on(reading); i++) {
        struct gantry_view key = gt_mp_bytes(reading->mp);
        if (is(key, "kind"))
            kind = gt_mp_int(reading->mp);
        else if (is(key, "flags"))
            flags = gt_mp_int(reading->mp);
        else if (is(key, "classes"))
            told.class_names = read_classes(reading);
        else if (is(key, "task_class"))
            told.task_class = read_text(reading);
        else if (is(key, "version"))
            told.version = read_text(reading);
        else if (is(key, "doc"))
            told.doc = read_text(reading);
        else if (is(key, "api"))
            native = is(gt_mp_bytes(reading->mp), "gantry");
        else if (is(key, "validates"))
            validates = gt_mp_bool(reading->mp);
        else if (is(key, "splits"))
            splits = gt_mp_bool(reading->mp);
        else if (is(key, "defs"))
            read_defs(reading, &told);
        else
            gt_mp_skip(reading->mp);
    }
    if (!going_on(reading))
        return NULL;
    const char *complaint = complain(&told, kind);
    if (complaint != NULL)
        return complaint;
    class->api = kind == GANTRY_SOURCE ? gt_proxy_source : gt_proxy_sink;
    class->api.flags = (uint32_t)flags & KNOWN_FLAGS; /* a proxy never blocks */
    class->api.class_names = told.class_names;
    class->api.task_class = told.task_class != NULL ? told.task_class : told.class_names[0];
    class->api.version = told.version != NULL ? told.version : "";
    class->api.doc = told.doc != NULL ? told.doc : "";
    class->api.defs = told.defs;
    class->api.def_count = told.def_count;
    class->api.validate = validates ? gt_proxy_validate : NULL;
    class->api.split_named = splits ? gt_proxy_split : NULL;
    class->api.release = splits ? gt_proxy_release : NULL;
    class->blocking = !native || ((uint32_t)flags & GANTRY_CONNECTOR_BLOCKS) != 0;
    return NULL;
}

static const char *read_connectors(struct reading *reading, struct gt_host_plugin *plugin)
{
    uint32_t count = read_count(reading, CONNECTORS_MAX);
    const struct gantry_connector **list = alloc_many(reading, count, sizeof *list);
    struct gt_host_class *classes = alloc_many(reading, count, sizeof *classes);
    const char *complaint = NULL;
    for (uint32_t i = 0; i < count && complaint == NULL && going_on(reading); i++) {
        complaint = read_connector(reading, &classes[i]);
        list[i] = &classes[i].api;
    }
    plugin->classes = classes;
    plugin->api.connectors = list;
    plugin->api.connector_count = count;
    return complaint;
}

int gt_host_read_loaded(struct gt_host_plugin *plugin, const struct gt_frame *frame,
                        struct gantry_err *err)
{
    struct gt_frame_head head;
    const char *complaint = NULL;
    (void)gt_frame_read(&head, frame->data, frame->len); /* was read before: it is one */
    (void)gt_mp_item_int(&head.items, 0);
    struct reading reading = {.mp = &head.mp, .memory = &plugin->memory};
    uint32_t pairs = gt_mp_item(&head.items) ? gt_mp_map(&head.mp) : 0;
    for (uint32_t i = 0; i < pairs && going_on(&reading) && complaint == NULL; i++) {
        struct gantry_view key = gt_mp_bytes(&head.mp);
        if (is(key, "name"))
            plugin->api.name = read_text(&reading);
        else if (is(key, "version"))
            plugin->api.version = read_text(&reading);
        else if (is(key, "connectors"))
            complaint = read_connectors(&reading, plugin);
        else
            gt_mp_skip(&head.mp);
    }
    if (reading.no_memory)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for what the host tells");
    if (complaint == NULL && !gt_mp_ok(&head.mp))
        complaint = "LOADED is malformed, or has too many connectors, classes or keys";
    if (complaint != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "what the host tells of the plugin is wrong: %s",
                              complaint);
    if (plugin->api.name == NULL)
        plugin->api.name = plugin->name;
    if (plugin->api.version == NULL)
        plugin->api.version = "";
    return 0;
}

/* --- Life --- */

const struct gt_host_class *gt_host_class_of(const struct gt_host_plugin *plugin,
                                             const struct gantry_config *config)
{
    const char *wanted = gantry_config_get(config, "connector.class");
    for (size_t i = 0; wanted != NULL && i < plugin->api.connector_count; i++) {
        for (const char *const *name = plugin->classes[i].api.class_names; *name != NULL; name++) {
            if (strcmp(*name, wanted) == 0)
                return &plugin->classes[i];
        }
    }
    return NULL;
}

static void free_plugin(struct gt_host_plugin *plugin)
{
    gt_arena_deinit(&plugin->memory);
    free(plugin->path);
    free(plugin->name);
    free(plugin->key);
    free(plugin);
}

static void send_unload(struct gt_seat *seat, int64_t id)
{
    struct gt_frame *frames = NULL;
    struct gt_buf buf;
    gt_buf_init(&buf, 64);
    gt_frame_begin(&buf, GT_FRAME_UNLOAD, 0, 3);
    gt_mp_put_int(&buf, id);
    if (gt_frame_end(&buf, 0, &frames) == 0)
        gt_line_send(seat, frames);
    else
        gt_warn("host", "no memory to unload a plugin host=%s", seat->name);
}

/* On the hosts' thread: no seat may know the plugin any more. One that nobody else uses ends. */
static void forget_plugin(struct gt_hosts *hosts, void *arg)
{
    struct gt_host_plugin *plugin = arg;
    size_t cursor = 0;
    void *value;
    while (gt_map_next(&hosts->seats, &cursor, NULL, &value)) {
        struct gt_seat *seat = value;
        gt_seat_release_plugin(seat, plugin);
        for (size_t i = 0; i < seat->plugin_count; i++) {
            if (seat->plugins[i].plugin == plugin)
                send_unload(seat, seat->plugins[i].id);
        }
        size_t had = seat->plugin_count;
        gt_seat_drop_plugin(seat, plugin, NULL);
        if (had > 0 && seat->plugin_count == 0 && gt_seat_is_idle(seat))
            gt_seat_leave(seat);
        gt_seat_look_for_need(seat);
    }
}

static void unload(struct gt_loaded *loaded)
{
    struct gt_host_plugin *plugin = loaded->state;
    gt_hosts_run(plugin->hosts, forget_plugin, plugin);
    free_plugin(plugin);
}

static struct gt_host_plugin *new_plugin(struct gt_hosts *hosts, const char *path,
                                         enum gt_plugin_kind kind)
{
    struct gt_host_plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin == NULL)
        return NULL;
    const char *slash = strrchr(path, '/');
    plugin->hosts = hosts;
    plugin->kind = kind;
    gt_arena_init(&plugin->memory, 4096, 0);
    plugin->path = strdup(path);
    plugin->name = strdup(slash != NULL ? slash + 1 : path);
    plugin->key = plugin->path != NULL ? gt_host_key(plugin, NULL) : NULL;
    plugin->api = (struct gantry_plugin){.struct_size = sizeof plugin->api,
                                         .abi_version = GANTRY_ABI_VERSION};
    if (plugin->path != NULL && plugin->name != NULL && plugin->key != NULL)
        return plugin;
    free_plugin(plugin);
    return NULL;
}

int gt_host_load(void *hosts, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
                 struct gantry_err *err)
{
    struct gt_call call;
    struct gt_host_plugin *plugin = new_plugin(hosts, path, kind);
    if (plugin == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a plugin");
    int code = gt_host_command(plugin, err);
    if (code == 0) {
        code = gt_call_init(&call, plugin, GT_FRAME_LOAD, NULL);
        if (code == 0)
            code = gt_call_run(&call, err);
        else
            gantry_err_set(err, code, "no memory for a plugin");
        if (code == 0)
            code = gt_host_read_loaded(plugin, call.reply, err);
        gt_call_deinit(&call);
    }
    if (code != 0) {
        gt_hosts_run(hosts, forget_plugin, plugin);
        free_plugin(plugin);
        return code;
    }
    *ret = (struct gt_loaded){
        .plugin = &plugin->api, .state = plugin, .plugin_state = plugin, .unload = unload};
    return 0;
}
