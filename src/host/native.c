/* SPDX-License-Identifier: Apache-2.0 */
/* The native host: line, plugins, questions. See native.h. */
#include "host/native.h"

#include "base/map.h"
#include "plugin/plugin_check.h"
#include "plugin/so_loader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EXIT_PROTOCOL = 70, /* the worker has broken the protocol */
    EXIT_MEMORY = 71,
    EXIT_LINE = 74,
    ROOM = 64 << 10,     /* what is larger is read to its place */
    FIRST_PRIVATE = 100, /* our end of the line gets a number that nobody closes by mistake */
    STACK = 512 << 10,
};

static struct native {
    int line;
    pthread_mutex_t out_lock; /* one writer at a time */
    int64_t beat_ms;
    size_t record_max;
    struct gt_props settings; /* read-only after HELLO */
    bool hello;
    struct gt_frame_parts parts;
    struct gt_native_plugin *plugins; /* the first thread's, as are all items */
} native = {.out_lock = PTHREAD_MUTEX_INITIALIZER};

void gt_native_die(int status, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text - 1, format, args);
    va_end(args);
    len = len < (int)sizeof text - 1 ? len : (int)sizeof text - 2;
    text[len] = '\n';
    ssize_t written = write(2, text, (size_t)len + 1);
    (void)written; /* nobody may listen */
    _exit(status);
}

size_t gt_native_record_max(void)
{
    return native.record_max;
}

/* --- Out --- */

void gt_native_send(struct gt_frame *frames)
{
    pthread_mutex_lock(&native.out_lock);
    for (struct gt_frame *next; frames != NULL; frames = next) {
        next = frames->next;
        for (size_t done = 0; done < frames->len;) {
            ssize_t len = send(native.line, frames->data + done, frames->len - done, MSG_NOSIGNAL);
            if (len < 0 && errno == EINTR)
                continue;
            if (len < 0 && (errno == EPIPE || errno == ECONNRESET))
                _exit(0); /* the worker is gone */
            if (len < 0)
                gt_native_die(EXIT_LINE, "cannot write to the line: %s", strerrordesc_np(errno));
            done += (size_t)len;
        }
        gt_frame_free(frames);
    }
    pthread_mutex_unlock(&native.out_lock);
}

void gt_native_begin(struct gt_buf *buf, enum gt_frame_type type, uint32_t channel, uint32_t items)
{
    gt_buf_init(buf, native.record_max);
    gt_frame_begin(buf, type, channel, items);
}

void gt_native_end(struct gt_buf *buf, uint32_t channel)
{
    struct gt_frame *frames = NULL;
    int code = gt_frame_end(buf, channel, &frames);
    if (code == GANTRY_TOO_LARGE)
        gt_native_die(EXIT_MEMORY, "a frame is larger than %zu bytes (host.record.max)",
                      native.record_max);
    if (code != 0)
        gt_native_die(EXIT_MEMORY, "out of memory");
    gt_native_send(frames);
}

void gt_native_log(uint32_t channel, enum gantry_log_level level, const char *logger,
                   const char *text)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_LOG, channel, 5);
    gt_mp_put_int(&buf, level);
    gt_mp_put_text(&buf, logger);
    gt_mp_put_text(&buf, text);
    gt_native_end(&buf, channel);
}

static void refuse(int64_t id, int code, const char *text)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_FAILED, 0, 5);
    gt_mp_put_int(&buf, id);
    gt_mp_put_int(&buf, code);
    gt_mp_put_text(&buf, text[0] != '\0' ? text : gantry_error_text(code));
    gt_native_end(&buf, 0);
}

/* --- The runtime that plugins see --- */

static void runtime_log(enum gantry_log_level level, const char *component, const char *text)
{
    gt_native_log(0, level, component, text);
}

static const char *runtime_setting(const struct gantry_runtime *runtime, const char *name)
{
    (void)runtime;
    return gt_props_get(&native.settings, name);
}

static void runtime_reconfigure(const struct gantry_runtime *runtime, const char *connector,
                                const char *reason)
{
    struct gt_buf buf;
    (void)runtime;
    gt_native_begin(&buf, GT_FRAME_RECONFIGURE, 0, 4);
    gt_mp_put_text(&buf, connector);
    gt_mp_put_text(&buf, reason);
    gt_native_end(&buf, 0);
}

static const struct gantry_runtime runtime = {
    .struct_size = sizeof runtime,
    .abi_version = GANTRY_ABI_VERSION,
    .log = runtime_log,
    .setting = runtime_setting,
    .reconfigure = runtime_reconfigure,
};

const struct gantry_runtime *gt_native_runtime(void)
{
    return &runtime;
}

/* --- Plugins --- */

static struct gt_native_plugin *find_plugin(int64_t id)
{
    struct gt_native_plugin *plugin = native.plugins;
    while (plugin != NULL && plugin->id != id)
        plugin = plugin->next;
    return plugin;
}

const struct gantry_connector *gt_native_class(const struct gt_native_plugin *plugin,
                                               struct gantry_view name)
{
    const struct gantry_plugin *api = plugin->loaded.plugin;
    for (size_t i = 0; i < api->connector_count; i++) {
        for (const char *const *at = api->connectors[i]->class_names; *at != NULL; at++) {
            if (gantry_view_equal(name, gantry_view_of(*at)))
                return api->connectors[i];
        }
    }
    return NULL;
}

static void put_pair(struct gt_buf *buf, const char *key, const char *value)
{
    gt_mp_put_text(buf, key);
    gt_mp_put_text(buf, value);
}

static void put_number(struct gt_buf *buf, const char *key, int64_t value)
{
    gt_mp_put_text(buf, key);
    gt_mp_put_int(buf, value);
}

static void put_def(struct gt_buf *buf, const struct gantry_config_def *def)
{
    gt_mp_put_map(buf, 9);
    put_pair(buf, "name", def->name);
    put_pair(buf, "aliases", def->aliases);
    put_number(buf, "type", def->type);
    put_number(buf, "flags", def->flags);
    put_pair(buf, "default", def->default_value);
    put_number(buf, "min", def->min);
    put_number(buf, "max", def->max);
    put_pair(buf, "choices", def->choices);
    put_pair(buf, "doc", def->doc);
}

static void put_connector(struct gt_buf *buf, const struct gantry_connector *connector)
{
    uint32_t names = 0;
    while (connector->class_names[names] != NULL)
        names++;
    gt_mp_put_map(buf, 10);
    put_number(buf, "kind", connector->kind);
    put_number(buf, "flags", connector->flags);
    gt_mp_put_text(buf, "classes");
    gt_mp_put_array(buf, names);
    for (uint32_t i = 0; i < names; i++)
        gt_mp_put_text(buf, connector->class_names[i]);
    put_pair(buf, "task_class", connector->task_class);
    put_pair(buf, "version", connector->version);
    put_pair(buf, "doc", connector->doc);
    put_pair(buf, "api", "gantry");
    gt_mp_put_text(buf, "validates");
    gt_mp_put_bool(buf, connector->validate != NULL);
    gt_mp_put_text(buf, "splits");
    gt_mp_put_bool(buf, connector->split != NULL || GANTRY_HAS(connector, split_named));
    gt_mp_put_text(buf, "defs");
    gt_mp_put_array(buf, (uint32_t)connector->def_count);
    for (size_t i = 0; i < connector->def_count; i++)
        put_def(buf, &connector->defs[i]);
}

static void tell_loaded(const struct gt_native_plugin *plugin)
{
    const struct gantry_plugin *api = plugin->loaded.plugin;
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_LOADED, 0, 4);
    gt_mp_put_int(&buf, plugin->id);
    gt_mp_put_map(&buf, 3);
    put_pair(&buf, "name", api->name);
    put_pair(&buf, "version", api->version);
    gt_mp_put_text(&buf, "connectors");
    gt_mp_put_array(&buf, (uint32_t)api->connector_count);
    for (size_t i = 0; i < api->connector_count; i++)
        put_connector(&buf, api->connectors[i]);
    gt_native_end(&buf, 0);
}

static int open_plugin(struct gt_native_plugin *plugin, const char *path, struct gantry_err *err)
{
    int code = gt_so_load(NULL, path, GT_PLUGIN_SO, &plugin->loaded, err);
    if (code != 0)
        return code;
    code = gt_plugin_check(plugin->loaded.plugin, err);
    if (code == 0 && plugin->loaded.plugin->open != NULL)
        code = plugin->loaded.plugin->open(&runtime, &plugin->state, err);
    if (code != 0)
        plugin->loaded.unload(&plugin->loaded);
    return code;
}

/* Here, and not on a thread of its own: what uses the plugin comes behind. */
static void on_load(struct gt_frame_head *head)
{
    struct gantry_view path = {NULL, 0};
    struct gantry_err err = {0};
    int64_t id = gt_mp_item_int(&head->items, 0);
    uint32_t pairs = gt_mp_item(&head->items) ? gt_mp_map(&head->mp) : 0;
    for (uint32_t i = 0; i < pairs && gt_mp_ok(&head->mp); i++) {
        struct gantry_view key = gt_mp_bytes(&head->mp);
        if (gantry_view_equal(key, gantry_view_of("path")))
            path = gt_mp_bytes(&head->mp);
        else
            gt_mp_skip(&head->mp);
    }
    char *name = path.data != NULL && gt_mp_ok(&head->mp) ? strndup(path.data, path.len) : NULL;
    struct gt_native_plugin *plugin = calloc(1, sizeof *plugin);
    if (name == NULL || plugin == NULL)
        gt_native_die(EXIT_PROTOCOL, "LOAD is malformed, or memory is out");
    plugin->id = id;
    int code = open_plugin(plugin, name, &err);
    free(name);
    if (code != 0) {
        free(plugin);
        refuse(id, code, err.text);
        return;
    }
    plugin->next = native.plugins;
    native.plugins = plugin;
    tell_loaded(plugin);
}

static void on_unload(struct gt_frame_head *head)
{
    int64_t id = gt_mp_item_int(&head->items, 0);
    for (struct gt_native_plugin **at = &native.plugins; *at != NULL; at = &(*at)->next) {
        struct gt_native_plugin *plugin = *at;
        if (plugin->id != id || atomic_load(&plugin->users) > 0)
            continue; /* in use, which the worker should know: then it stays */
        *at = plugin->next;
        if (plugin->loaded.plugin->close != NULL)
            plugin->loaded.plugin->close(plugin->state);
        plugin->loaded.unload(&plugin->loaded);
        free(plugin);
        return;
    }
}

/* --- Questions --- */

struct question {
    struct gt_frame *frame;
    struct gt_frame_head head;
    int64_t id;
    struct gt_native_plugin *plugin; /* held */
};

struct answer_findings {
    struct gantry_findings api; /* first */
    struct gt_buf buf;
    uint32_t count;
};

static void add_finding(struct gantry_findings *findings, const char *key, const char *text)
{
    struct answer_findings *answer = (struct answer_findings *)findings;
    gt_mp_put_array(&answer->buf, 2);
    gt_mp_put_text(&answer->buf, key);
    gt_mp_put_text(&answer->buf, text);
    answer->count++;
}

struct answer_tasks {
    struct gantry_task_list api; /* first */
    const struct gantry_config *config;
    struct gt_props *tasks; /* owned */
    uint32_t count;
};

static int begin_task(struct gantry_task_list *list)
{
    struct answer_tasks *answer = (struct answer_tasks *)list;
    struct gt_props *grown = realloc(answer->tasks, (answer->count + 1) * sizeof *grown);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    answer->tasks = grown;
    struct gt_props *task = &answer->tasks[answer->count++];
    gt_props_init(task);
    int code = 0;
    for (size_t i = 0; i < answer->config->count && code == 0; i++)
        code = gt_props_append(task, gantry_view_of(answer->config->entries[i].key),
                               gantry_view_of(answer->config->entries[i].value));
    return code;
}

static int set_key(struct gantry_task_list *list, const char *key, const char *value)
{
    struct answer_tasks *answer = (struct answer_tasks *)list;
    return answer->count > 0 && key != NULL && value != NULL
               ? gt_props_set(&answer->tasks[answer->count - 1], key, value)
               : GANTRY_INVALID;
}

static void tell_findings(int64_t id, const struct answer_findings *answer)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_FINDINGS, 0, 4);
    gt_mp_put_int(&buf, id);
    gt_mp_put_array(&buf, answer->count);
    (void)gt_buf_add_view(&buf, gt_buf_view(&answer->buf)); /* errors stick */
    gt_native_end(&buf, 0);
}

static void tell_tasks(int64_t id, const struct answer_tasks *answer)
{
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_TASKS, 0, 4);
    gt_mp_put_int(&buf, id);
    gt_mp_put_array(&buf, answer->count);
    for (uint32_t i = 0; i < answer->count; i++) {
        const struct gt_props *task = &answer->tasks[i];
        gt_mp_put_map(&buf, (uint32_t)task->count);
        for (size_t k = 0; k < task->count; k++)
            put_pair(&buf, task->items[k].key, task->items[k].value);
    }
    gt_native_end(&buf, 0);
}

static void ask(struct question *question, const struct gantry_connector *connector,
                const char *name, const struct gantry_config *config)
{
    void *state = question->plugin->state;
    struct gantry_err err = {0};
    if (question->head.type == GT_FRAME_VALIDATE) {
        struct answer_findings answer = {.api = {sizeof answer.api, add_finding}};
        gt_buf_init(&answer.buf, native.record_max);
        if (connector->validate != NULL)
            connector->validate(state, name, config, &answer.api);
        tell_findings(question->id, &answer);
        gt_buf_deinit(&answer.buf);
        return;
    }
    struct answer_tasks answer = {.api = {sizeof answer.api, begin_task, set_key},
                                  .config = config};
    uint32_t most = (uint32_t)gt_mp_item_int(&question->head.items, 1);
    int code = GANTRY_HAS(connector, split_named)
                   ? connector->split_named(state, name, config, most, &answer.api, &err)
               : connector->split != NULL ? connector->split(state, config, most, &answer.api, &err)
                                          : begin_task(&answer.api);
    if (code == 0)
        tell_tasks(question->id, &answer);
    else
        refuse(question->id, code, err.text);
    for (uint32_t i = 0; i < answer.count; i++)
        gt_props_deinit(&answer.tasks[i]);
    free(answer.tasks);
}

bool gt_native_read_config(struct gt_frame_head *head, struct gt_arena *memory,
                           struct gantry_config *ret)
{
    uint32_t pairs = gt_mp_item(&head->items) ? gt_mp_map(&head->mp) : 0;
    struct gantry_config_entry *entries = gt_arena_alloc(memory, (pairs + 1) * sizeof *entries);
    for (uint32_t i = 0; entries != NULL && i < pairs; i++) {
        entries[i].key = gt_arena_copy(memory, gt_mp_bytes(&head->mp));
        entries[i].value = gt_arena_copy(memory, gt_mp_bytes(&head->mp));
        if (entries[i].key == NULL || entries[i].value == NULL)
            return false;
    }
    *ret = (struct gantry_config){sizeof *ret, pairs, entries};
    return entries != NULL && gt_mp_ok(&head->mp);
}

static void *run_question(void *arg)
{
    struct question *question = arg;
    struct gt_arena memory;
    struct gantry_config config;
    gt_arena_init(&memory, 4096, 0);
    struct gantry_view class = gt_mp_item_bytes(&question->head.items);
    char *name = gt_arena_copy(&memory, gt_mp_item_bytes(&question->head.items));
    if (name == NULL || !gt_native_read_config(&question->head, &memory, &config))
        gt_native_die(EXIT_PROTOCOL, "VALIDATE or SPLIT is malformed, or memory is out");
    const struct gantry_connector *connector =
        question->plugin != NULL ? gt_native_class(question->plugin, class) : NULL;
    if (connector != NULL)
        ask(question, connector, name, &config);
    else
        refuse(question->id, GANTRY_NOT_FOUND, "there is no such plugin or class");
    gt_arena_deinit(&memory);
    gt_frame_free(question->frame);
    if (question->plugin != NULL)
        atomic_fetch_sub(&question->plugin->users, 1);
    free(question);
    return NULL;
}

int gt_native_thread(void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0)
        return rc;
    (void)pthread_attr_setstacksize(&attributes, STACK); /* else the default */
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attributes, run, arg);
    pthread_attr_destroy(&attributes);
    return rc;
}

/* Takes the frame. */
static void on_question(struct gt_frame_head *head, struct gt_frame *frame)
{
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL)
        gt_native_die(EXIT_MEMORY, "out of memory");
    question->frame = frame;
    (void)gt_frame_read(&question->head, frame->data, frame->len); /* was read before: it is one */
    question->id = gt_mp_item_int(&question->head.items, 0);
    question->plugin = find_plugin(gt_mp_item_int(&question->head.items, -1));
    if (question->plugin != NULL)
        atomic_fetch_add(&question->plugin->users, 1);
    (void)head;
    if (gt_native_thread(run_question, question) != 0)
        gt_native_die(EXIT_MEMORY, "no thread for a question");
}

static void on_release(struct gt_frame_head *head)
{
    struct gantry_view view = gt_mp_item_bytes(&head->items);
    char *name = view.data != NULL ? strndup(view.data, view.len) : NULL;
    for (struct gt_native_plugin *plugin = native.plugins; name != NULL && plugin != NULL;
         plugin = plugin->next) {
        const struct gantry_plugin *api = plugin->loaded.plugin;
        for (size_t i = 0; i < api->connector_count; i++) {
            if (GANTRY_HAS(api->connectors[i], release))
                api->connectors[i]->release(plugin->state, name);
        }
    }
    free(name);
}

/* --- Beats --- */

static void *run_beats(void *arg)
{
    (void)arg;
    for (;;) {
        struct gt_buf buf;
        gt_native_begin(&buf, GT_FRAME_BEAT, 0, 3);
        gt_native_tasks_beat(&buf);
        gt_native_end(&buf, 0);
        (void)usleep((useconds_t)(native.beat_ms * 1000)); /* an early beat does no harm */
    }
    return NULL;
}

static void take_settings(struct gt_mp *mp)
{
    uint32_t pairs = gt_mp_map(mp);
    for (uint32_t i = 0; i < pairs && gt_mp_ok(mp); i++) {
        struct gantry_view key = gt_mp_bytes(mp), value = gt_mp_bytes(mp);
        if (gt_mp_ok(mp) && gt_props_set_views(&native.settings, key, value) != 0)
            gt_native_die(EXIT_MEMORY, "out of memory");
    }
}

static void on_hello(struct gt_frame_head *head)
{
    int64_t version = -1;
    uint32_t pairs = gt_mp_item(&head->items) ? gt_mp_map(&head->mp) : 0;
    for (uint32_t i = 0; i < pairs && gt_mp_ok(&head->mp); i++) {
        struct gantry_view key = gt_mp_bytes(&head->mp);
        if (gantry_view_equal(key, gantry_view_of("version")))
            version = gt_mp_int(&head->mp);
        else if (gantry_view_equal(key, gantry_view_of("record.max")))
            native.record_max = (size_t)gt_mp_int(&head->mp);
        else if (gantry_view_equal(key, gantry_view_of("beat.ms")))
            native.beat_ms = gt_mp_int(&head->mp);
        else if (gantry_view_equal(key, gantry_view_of("settings")))
            take_settings(&head->mp);
        else
            gt_mp_skip(&head->mp);
    }
    if (!gt_mp_ok(&head->mp) || native.beat_ms < 1 || native.beat_ms > 3600000 ||
        native.record_max < 1 << 16)
        gt_native_die(EXIT_PROTOCOL, "HELLO is malformed");
    if (version != GT_HOST_VERSION)
        gt_native_die(EXIT_PROTOCOL,
                      "the worker speaks version %lld of the host protocol, this host version %d",
                      (long long)version, GT_HOST_VERSION);
    struct gt_buf buf;
    gt_native_begin(&buf, GT_FRAME_HELLO, 0, 3);
    gt_mp_put_map(&buf, 2);
    put_number(&buf, "version", GT_HOST_VERSION);
    put_pair(&buf, "host", "gantry " GT_VERSION);
    gt_native_end(&buf, 0);
    native.hello = true;
    if (gt_native_thread(run_beats, NULL) != 0)
        gt_native_die(EXIT_MEMORY, "no thread for beats");
}

/* --- In --- */

/* Takes the frame. */
static void dispatch(struct gt_frame *frame)
{
    struct gt_frame_head head;
    if (!gt_frame_read(&head, frame->data, frame->len) ||
        (!native.hello && head.type != GT_FRAME_HELLO))
        gt_native_die(EXIT_PROTOCOL, "the worker has sent a frame that is none, or no HELLO");
    if (head.channel != 0 && head.type != GT_FRAME_START) {
        if (!gt_native_task_frame(&head, frame))
            gt_native_die(EXIT_PROTOCOL, "the worker has sent a frame of type %lld for channel %u",
                          (long long)head.type, head.channel);
        return;
    }
    switch (head.type) {
    case GT_FRAME_PART: {
        struct gantry_err err = {0};
        struct gt_frame *whole = NULL;
        if (gt_frame_parts_add(&native.parts, &head, native.record_max, &whole, &err) != 0)
            gt_native_die(EXIT_PROTOCOL, "%s", err.text);
        if (whole != NULL)
            dispatch(whole);
        break;
    }
    case GT_FRAME_HELLO:
        on_hello(&head);
        break;
    case GT_FRAME_LOAD:
        on_load(&head);
        break;
    case GT_FRAME_UNLOAD:
        on_unload(&head);
        break;
    case GT_FRAME_RELEASE:
        on_release(&head);
        break;
    case GT_FRAME_VALIDATE:
    case GT_FRAME_SPLIT:
        on_question(&head, frame);
        return;
    case GT_FRAME_START:
        if (!gt_native_task_start(&head, find_plugin(gt_mp_item_int(&head.items, -1))))
            gt_native_die(EXIT_PROTOCOL, "START is malformed, or memory is out");
        break;
    default:
        gt_native_die(EXIT_PROTOCOL, "the worker has sent a frame of type %lld for the host",
                      (long long)head.type);
    }
    gt_frame_free(frame);
}

static void read_line(uint8_t *room)
{
    struct gt_frame_cutter cutter = {.head_len = 0};
    struct gantry_err err = {0};
    for (;;) {
        size_t size = 0;
        uint8_t *direct = gt_frame_cutter_room(&cutter, &size);
        ssize_t len =
            read(native.line, direct != NULL ? direct : room, direct != NULL ? size : ROOM);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            gt_native_die(EXIT_LINE, "cannot read the line: %s", strerrordesc_np(errno));
        if (len == 0)
            _exit(0); /* at once: the worker may be gone */
        if (direct != NULL) {
            struct gt_frame *frame = gt_frame_cutter_filled(&cutter, (size_t)len);
            if (frame != NULL)
                dispatch(frame);
            continue;
        }
        const uint8_t *data = room;
        size_t left = (size_t)len;
        while (left > 0) {
            struct gt_frame *frame = NULL;
            if (gt_frame_cutter_feed(&cutter, &data, &left, &frame, &err) != 0)
                gt_native_die(EXIT_PROTOCOL, "%s", err.text);
            if (frame != NULL)
                dispatch(frame);
        }
    }
}

/* What a plugin reads from standard input or prints to standard output must not get on the line:
 * the line moves, and its old places become nothing and the log. */
static int move_line(void)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
        return -1;
    native.line = fcntl(0, F_DUPFD_CLOEXEC, FIRST_PRIVATE);
    if (native.line < 0)
        native.line = fcntl(0, F_DUPFD_CLOEXEC, 3);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (native.line < 0 || nothing < 0 || dup2(nothing, 0) < 0 || dup2(2, 1) < 0)
        return -1;
    close(nothing);
    return 0;
}

int gt_native_main(int argc, char **argv)
{
    (void)argv; /* whose host it is, for who looks at processes */
    if (argc > 1 || move_line() != 0) {
        (void)fputs("gantry host: started by a worker only, with its line as standard input and "
                    "output\n",
                    stderr);
        return 2;
    }
    (void)prctl(PR_SET_NAME, "gantry-host"); /* else the name of the link that was executed */
    native.record_max = GT_FRAME_MAX;
    gt_props_init(&native.settings);
    uint8_t *room = malloc(ROOM);
    if (room == NULL)
        gt_native_die(EXIT_MEMORY, "out of memory");
    read_line(room);
    return 0;
}
