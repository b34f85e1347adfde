/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: one table of plugins, the built-in ones first, then the files in the order in which
 * they were found.
 *
 * A scan makes the next table beside the present one and then puts it in its place; so a look finds
 * either the one or the other, and waits for no file. `lock` guards the table and which forms a
 * file has; nobody calls a plugin, a loader or the disk with it. `scanning` is held by the one
 * scan. */
#include "plugin/registry.h"

#include "base/log.h"
#include "plugin/scan.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { IN_WORKER, HOSTED, FORMS };

/* What does not change once it is in a table, but for `forms`. */
struct plugin_file {
    char *path; /* owned; of a built-in one its name */
    enum gt_plugin_kind kind;
    struct gt_copy *copy; /* held; NULL: built in, or nothing is loaded */
    enum gt_plugin_state state;
    char *reason;                 /* owned; NULL: loaded */
    struct gt_form *described;    /* the form that its classes are looked up in: one of: */
    struct gt_form *forms[FORMS]; /* held, or NULL */
};

struct table {
    struct plugin_file **files; /* owned */
    size_t count, cap;
};

struct gt_registry {
    struct gantry_runtime runtime; /* first member: setting() gets back from it */
    struct gt_props settings;
    struct gt_forms *forms;
    struct gt_copies *copies;     /* the scan's; NULL: not yet, or: */
    struct gantry_err copies_err; /* why there is no folder for them */
    struct gt_plugin_files from;
    char *paths, *copies_folder; /* owned */
    pthread_mutex_t scanning;
    pthread_mutex_t lock;
    struct table table;
    _Atomic(gt_registry_reconfigure_fn) reconfigure; /* NULL: nobody looks after connectors */
    void *reconfigure_arg;
};

static void log_text(enum gantry_log_level level, const char *component, const char *text)
{
    gt_log(level, component, "%s", text);
}

static const char *setting(const struct gantry_runtime *runtime, const char *name)
{
    return gt_props_get(&((const struct gt_registry *)runtime)->settings, name);
}

static void reconfigure(const struct gantry_runtime *runtime, const char *connector,
                        const char *reason)
{
    const struct gt_registry *registry = (const struct gt_registry *)runtime;
    gt_registry_reconfigure_fn fn = atomic_load(&registry->reconfigure);
    if (fn != NULL)
        fn(registry->reconfigure_arg, connector, reason);
}

void gt_registry_set_reconfigure(struct gt_registry *registry, gt_registry_reconfigure_fn fn,
                                 void *arg)
{
    registry->reconfigure_arg = arg;
    atomic_store(&registry->reconfigure, fn);
}

/* --- Tables --- */

static void free_file(struct plugin_file *file)
{
    for (size_t i = 0; i < FORMS; i++)
        gt_form_release(file->forms[i]);
    gt_copy_release(file->copy);
    free(file->reason);
    free(file->path);
    free(file);
}

static struct plugin_file *new_file(const char *path, enum gt_plugin_kind kind)
{
    struct plugin_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    file->kind = kind;
    file->path = strdup(path);
    if (file->path == NULL) {
        free(file);
        return NULL;
    }
    return file;
}

static bool holds(const struct table *table, const struct plugin_file *file)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->files[i] == file)
            return true;
    }
    return false;
}

static struct plugin_file *find_file(const struct table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->files[i]->kind != GT_PLUGIN_BUILTIN && strcmp(table->files[i]->path, path) == 0)
            return table->files[i];
    }
    return NULL;
}

static int add_file(struct table *table, struct plugin_file *file)
{
    if (table->count == table->cap) {
        size_t cap = table->cap > 0 ? table->cap * 2 : 16;
        struct plugin_file **grown = realloc(table->files, cap * sizeof(*grown));
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        table->files = grown;
        table->cap = cap;
    }
    table->files[table->count++] = file;
    return 0;
}

/* Free what is in @p table and not in @p other. */
static void free_table(struct table *table, const struct table *other)
{
    while (table->count > 0) { /* the last one opened is closed first */
        struct plugin_file *file = table->files[--table->count];
        if (!holds(other, file))
            free_file(file);
    }
    free(table->files);
}

/* The plugin that offers a class: of built-in ones there is one at most, of files the last one
 * counts, as in the Java worker. */
static struct plugin_file *pick(const struct table *table, const char *class_name,
                                bool prefer_files)
{
    struct plugin_file *builtin = NULL, *found = NULL;
    for (size_t i = 0; i < table->count; i++) {
        struct plugin_file *file = table->files[i];
        if (file->described == NULL || gt_form_find(file->described, class_name) == NULL)
            continue;
        if (file->kind == GT_PLUGIN_BUILTIN)
            builtin = file;
        else
            found = file;
    }
    struct plugin_file *first = prefer_files ? found : builtin;
    return first != NULL ? first : prefer_files ? builtin : found;
}

/* --- Built-in plugins --- */

static int load_builtin(void *arg, const char *path, enum gt_plugin_kind kind,
                        struct gt_loaded *ret, struct gantry_err *err)
{
    (void)path;
    (void)kind;
    (void)err;
    ret->plugin = *(const struct gantry_plugin *const *)arg;
    return 0;
}

static int add_builtin(struct gt_registry *registry, const struct gantry_plugin *const *plugin,
                       struct gantry_err *err)
{
    struct gantry_err why = {0};
    struct plugin_file *file = new_file((*plugin)->name, GT_PLUGIN_BUILTIN);
    if (file == NULL || add_file(&registry->table, file) != 0) {
        if (file != NULL)
            free_file(file);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot open the plugins: out of memory");
    }
    struct gt_form_spec spec = {
        .origin = file->path,
        .id = file->path,
        .kind = GT_PLUGIN_BUILTIN,
        .path = file->path,
        .loader = {load_builtin, (void *)(uintptr_t)plugin},
    };
    int code = gt_form_open(registry->forms, &spec, &file->forms[IN_WORKER], &why);
    if (code != 0)
        return gantry_err_set(err, code, "plugin %s: %.400s", file->path, why.text);
    size_t count;
    const struct gt_connector_class *classes = gt_form_classes(file->forms[IN_WORKER], &count);
    for (size_t i = 0; i < count; i++) {
        for (const char *const *name = classes[i].connector->class_names; *name != NULL; name++) {
            const struct plugin_file *other = pick(&registry->table, *name, false);
            if (other != NULL)
                return gantry_err_set(err, GANTRY_EXISTS,
                                      "plugin %s offers the class %s, which plugin %s has already",
                                      file->path, *name, other->path);
        }
    }
    file->described = file->forms[IN_WORKER];
    return 0;
}

int gt_registry_open_plugins(const struct gantry_plugin *const *plugins,
                             const struct gt_props *settings, struct gt_registry **ret,
                             struct gantry_err *err)
{
    struct gt_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot open the plugins: out of memory");
    registry->runtime = (struct gantry_runtime){.struct_size = sizeof registry->runtime,
                                                .abi_version = GANTRY_ABI_VERSION,
                                                .log = log_text,
                                                .setting = setting,
                                                .reconfigure = reconfigure};
    pthread_mutex_init(&registry->scanning, NULL);
    pthread_mutex_init(&registry->lock, NULL);
    gt_props_init(&registry->settings);
    int code = gt_props_copy(&registry->settings, settings);
    if (code == 0)
        code = gt_forms_open(&registry->runtime, &registry->forms);
    if (code != 0)
        gantry_err_set(err, code, "cannot open the plugins: out of memory");
    for (; code == 0 && *plugins != NULL; plugins++)
        code = add_builtin(registry, plugins, err);
    if (code != 0) {
        gt_registry_close(registry);
        return code;
    }
    *ret = registry;
    return 0;
}

int gt_registry_open(const struct gt_props *settings, struct gt_registry **ret,
                     struct gantry_err *err)
{
    return gt_registry_open_plugins(gt_builtin_plugins(), settings, ret, err);
}

void gt_registry_close(struct gt_registry *registry)
{
    gt_registry_close_within(registry, 10000);
}

void gt_registry_close_within(struct gt_registry *registry, int64_t most_ms)
{
    if (registry == NULL)
        return;
    free_table(&registry->table, &(struct table){0});
    atomic_store(&registry->reconfigure, NULL);
    if (registry->forms != NULL && !gt_forms_close(registry->forms, most_ms))
        return; /* a plugin that does not come back may still use all this */
    gt_copies_close(registry->copies);
    gt_props_deinit(&registry->settings);
    pthread_mutex_destroy(&registry->scanning);
    pthread_mutex_destroy(&registry->lock);
    free(registry->paths);
    free(registry->copies_folder);
    free(registry);
}

const struct gantry_runtime *gt_registry_runtime(const struct gt_registry *registry)
{
    return &registry->runtime;
}

/* --- A scan --- */

int gt_registry_set_files(struct gt_registry *registry, const struct gt_plugin_files *files)
{
    registry->paths = files->paths != NULL ? strdup(files->paths) : NULL;
    registry->copies_folder = files->copies != NULL ? strdup(files->copies) : NULL;
    if ((files->paths != NULL && registry->paths == NULL) ||
        (files->copies != NULL && registry->copies_folder == NULL))
        return GANTRY_NO_MEMORY;
    registry->from = *files;
    registry->from.paths = registry->paths;
    registry->from.copies = registry->copies_folder;
    return 0;
}

/* A file that cannot be loaded. What an earlier version of it offers stays: a broken file must not
 * take away what works. */
static struct plugin_file *refused(struct gt_registry *registry, const struct plugin_file *before,
                                   const struct gt_scan_item *item, enum gt_plugin_state state,
                                   const char *reason)
{
    struct plugin_file *file = new_file(item->path, item->kind);
    if (file == NULL)
        return NULL;
    file->state = state;
    file->reason = strdup(reason);
    if (file->reason == NULL) {
        free_file(file);
        return NULL;
    }
    bool stays = before != NULL && before->described != NULL && state == GT_PLUGIN_REFUSED;
    pthread_mutex_lock(&registry->lock); /* `before` may get another form right now */
    for (size_t i = 0; i < FORMS && stays; i++) {
        if (before->forms[i] != NULL)
            file->forms[i] = gt_form_hold(before->forms[i]);
    }
    pthread_mutex_unlock(&registry->lock);
    if (stays) {
        file->described = before->described;
        file->copy = gt_copy_hold(before->copy);
    }
    if (state == GT_PLUGIN_REFUSED)
        gt_warn("plugin", "refused a plugin path=%s: %s%s", item->path, reason,
                stays ? "; what was loaded before stays" : "");
    else
        gt_warn("plugin", "left a plugin alone path=%s: %s", item->path, reason);
    return file;
}

static const char *needs(const struct gt_loaders *loaders, enum gt_plugin_kind kind)
{
    static const char *const general[GT_PLUGIN_KINDS] = {
        [GT_PLUGIN_SO] = "a worker that can load libraries",
        [GT_PLUGIN_JAR] = "the Java host, which this worker does not have",
        [GT_PLUGIN_JARS] = "the Java host, which this worker does not have",
        [GT_PLUGIN_EXECUTABLE] = "a worker that can start hosts",
    };
    return loaders->needs[kind] != NULL ? loaders->needs[kind] : general[kind];
}

static int open_form(struct gt_registry *registry, const char *origin, enum gt_plugin_kind kind,
                     struct gt_copy *copy, size_t place, struct gt_form **ret,
                     struct gantry_err *err)
{
    const struct gt_loaders *loaders = &registry->from.loaders;
    struct gt_form_spec spec = {
        .origin = origin,
        .id = copy != NULL ? copy->hash : origin,
        .hosted = place == HOSTED,
        .kind = kind,
        .path = copy != NULL ? copy->path : origin,
        .copy = copy,
        .loader = place == HOSTED ? loaders->hosted[kind] : loaders->in_worker[kind],
    };
    return gt_form_open(registry->forms, &spec, ret, err);
}

static struct plugin_file *loaded(const struct gt_scan_item *item, struct gt_copy *copy,
                                  struct gt_form *form, size_t place)
{
    struct plugin_file *file = new_file(item->path, item->kind);
    if (file == NULL)
        return NULL;
    file->state = GT_PLUGIN_LOADED;
    file->copy = gt_copy_hold(copy);
    file->forms[place] = file->described = gt_form_hold(form);
    const struct gantry_plugin *plugin = gt_form_plugin(form);
    gt_info("plugin", "loaded a plugin path=%s name=%s version=%s connectors=%zu hash=%s",
            item->path, plugin->name, plugin->version, plugin->connector_count, copy->hash);
    return file;
}

/* What the next table has for a file: what the present one has, when nothing has changed. NULL
 * without memory. */
static struct plugin_file *take_up(struct gt_registry *registry, const struct gt_scan_item *item,
                                   struct plugin_file *before)
{
    const struct gt_loaders *loaders = &registry->from.loaders;
    struct gt_copy *copy = NULL;
    struct gt_form *form = NULL;
    struct gantry_err err = {0};
    char text[200];
    if (item->kind == GT_PLUGIN_KINDS)
        return refused(registry, before, item, GT_PLUGIN_REFUSED,
                       "a plugin file is a .so, .jar, .zip, .class or .plugin, or a folder of "
                       "archives");
    size_t place = loaders->hosted[item->kind].load != NULL ? HOSTED : IN_WORKER;
    if (place == IN_WORKER && loaders->in_worker[item->kind].load == NULL) {
        (void)snprintf(text, sizeof text, "it needs %s", needs(loaders, item->kind));
        return refused(registry, NULL, item, GT_PLUGIN_LEFT, text);
    }
    if (registry->copies == NULL)
        return refused(registry, before, item, GT_PLUGIN_REFUSED, registry->copies_err.text);
    int code = gt_copy_take(registry->copies, item->path, item->kind, &copy, &err);
    if (code == GANTRY_NOT_FOUND && item->kind == GT_PLUGIN_JARS)
        return refused(registry, NULL, item, GT_PLUGIN_LEFT, err.text);
    if (code == 0 && before != NULL && before->state == GT_PLUGIN_LOADED && before->copy == copy) {
        gt_copy_release(copy);
        return before;
    }
    if (code == 0)
        code = open_form(registry, item->path, item->kind, copy, place, &form, &err);
    if (code == GANTRY_UNSUPPORTED) { /* the next look may find what it needs */
        gt_copy_release(copy);
        return refused(registry, before, item, GT_PLUGIN_LEFT, err.text);
    }
    struct plugin_file *file = code == 0
                                   ? loaded(item, copy, form, place)
                                   : refused(registry, before, item, GT_PLUGIN_REFUSED, err.text);
    gt_form_release(form);
    gt_copy_release(copy);
    return file;
}

/* What was found below a path that cannot be read now. */
static int keep_below(struct table *next, const struct table *present, const char *path,
                      struct gt_scan_counts *counts)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < present->count; i++) {
        struct plugin_file *file = present->files[i];
        if (file->kind == GT_PLUGIN_BUILTIN || strncmp(file->path, path, len) != 0 ||
            (file->path[len] != '/' && file->path[len] != '\0') || holds(next, file))
            continue;
        counts->unchanged++;
        if (add_file(next, file) != 0)
            return GANTRY_NO_MEMORY;
    }
    return 0;
}

static void count(struct gt_scan_counts *counts, const struct plugin_file *file, bool same)
{
    counts->unchanged += same;
    counts->loaded += !same && file->state == GT_PLUGIN_LOADED;
    counts->refused += file->state == GT_PLUGIN_REFUSED;
    counts->left += file->state == GT_PLUGIN_LEFT;
}

static int make_table(struct gt_registry *registry, const struct gt_scan *scan, struct table *next,
                      struct gt_scan_counts *counts)
{
    const struct table *present = &registry->table; /* nobody else changes it */
    int code = 0;
    /* It may be on a disk that is full: that is no reason not to start. A temporary one is made
     * only when something is to be put into it. */
    if (registry->copies == NULL && (scan->count > 0 || registry->from.copies != NULL))
        (void)gt_copies_open(registry->from.copies, &registry->copies, &registry->copies_err);
    for (size_t i = 0; i < present->count && code == 0; i++) {
        if (present->files[i]->kind == GT_PLUGIN_BUILTIN)
            code = add_file(next, present->files[i]);
    }
    for (size_t i = 0; i < scan->count && code == 0; i++) {
        const struct gt_scan_item *item = &scan->items[i];
        if (item->unreadable) {
            code = keep_below(next, present, item->path, counts);
            continue;
        }
        gt_info("plugin", "Loading plugin from: %s", item->path);
        counts->found++;
        struct plugin_file *before = find_file(present, item->path);
        if (before != NULL && before->kind != item->kind)
            before = NULL;
        struct plugin_file *file = take_up(registry, item, before);
        if (file == NULL)
            return GANTRY_NO_MEMORY;
        if (holds(next, file)) /* below a path that could not be read */
            continue;
        count(counts, file, file == before);
        code = add_file(next, file);
        if (code != 0 && file != before)
            free_file(file);
    }
    return code;
}

/* Which classes are offered twice, and whose is used. */
static void tell_duplicates(const struct table *table, bool prefer_files)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct plugin_file *file = table->files[i];
        size_t class_count = 0;
        const struct gt_connector_class *classes =
            file->described != NULL ? gt_form_classes(file->described, &class_count) : NULL;
        for (size_t k = 0; k < class_count; k++) {
            const char *const *name = classes[k].connector->class_names;
            while (*name != NULL && pick(table, *name, prefer_files) == file)
                name++;
            if (*name == NULL)
                continue;
            const struct plugin_file *other = pick(table, *name, prefer_files);
            gt_info("plugin", "two plugins offer one class class=%s used=%s not=%s%s", *name,
                    other->path, file->path,
                    other->kind != file->kind &&
                            (other->kind == GT_PLUGIN_BUILTIN || file->kind == GT_PLUGIN_BUILTIN)
                        ? ": see the setting plugin.prefer"
                        : "");
        }
    }
}

static void tell_removed(const struct table *old, const struct table *next,
                         struct gt_scan_counts *counts)
{
    for (size_t i = 0; i < old->count; i++) {
        if (holds(next, old->files[i]) || find_file(next, old->files[i]->path) != NULL)
            continue;
        counts->removed++;
        gt_info("plugin", "a plugin is gone path=%s", old->files[i]->path);
    }
}

int gt_registry_scan(struct gt_registry *registry, struct gt_scan_counts *ret,
                     struct gantry_err *err)
{
    struct gt_scan scan;
    struct table next = {0};
    memset(ret, 0, sizeof *ret);
    pthread_mutex_lock(&registry->scanning);
    int code = gt_scan_run(registry->from.paths, &scan);
    if (code == 0)
        code = make_table(registry, &scan, &next, ret);
    gt_scan_deinit(&scan);
    if (code != 0) {
        gantry_err_set(err, code, "no memory to look at the plugin folders");
        free_table(&next, &registry->table);
        goto out;
    }
    pthread_mutex_lock(&registry->lock);
    struct table old = registry->table;
    registry->table = next;
    pthread_mutex_unlock(&registry->lock);
    tell_removed(&old, &next, ret);
    tell_duplicates(&next, registry->from.prefer_files);
    free_table(&old, &next);
out:
    pthread_mutex_unlock(&registry->scanning);
    return code;
}

void gt_registry_each(struct gt_registry *registry,
                      void (*each)(void *arg, const struct gt_plugin_view *view), void *arg)
{
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->table.count; i++) {
        const struct plugin_file *file = registry->table.files[i];
        struct gt_plugin_view view = {
            .path = file->path,
            .kind = file->kind,
            .hash = file->copy != NULL ? file->copy->hash : "",
            .state = file->state,
            .reason = file->reason != NULL ? file->reason : "",
            .in_worker = file->forms[IN_WORKER] != NULL,
            .hosted = file->forms[HOSTED] != NULL,
        };
        if (file->described != NULL) {
            view.plugin = gt_form_plugin(file->described);
            view.classes = gt_form_classes(file->described, &view.class_count);
        }
        each(arg, &view);
    }
    pthread_mutex_unlock(&registry->lock);
}

/* --- Classes --- */

const struct gt_connector_class *gt_registry_find(struct gt_registry *registry,
                                                  const char *class_name)
{
    const struct gt_connector_class *klass = NULL;
    pthread_mutex_lock(&registry->lock);
    const struct plugin_file *file =
        pick(&registry->table, class_name, registry->from.prefer_files);
    if (file != NULL)
        klass = gt_class_hold(gt_form_find(file->described, class_name));
    pthread_mutex_unlock(&registry->lock);
    return klass;
}

/* Where a connector of this plugin runs: IN_WORKER, HOSTED, or GANTRY_INVALID. */
static int place_of(const struct gt_registry *registry, const struct plugin_file *file,
                    const char *class_name, const char *isolation, struct gantry_err *err)
{
    const struct gt_loaders *loaders = &registry->from.loaders;
    bool builtin = file->kind == GT_PLUGIN_BUILTIN;
    bool can_run_here = builtin || loaders->in_worker[file->kind].load != NULL;
    bool can_host = loaders->hosted[file->kind].load != NULL;
    if (isolation == NULL || *isolation == '\0') {
        bool here = builtin || !can_host || (registry->from.in_worker && can_run_here);
        return here ? IN_WORKER : HOSTED;
    }
    bool here = strcmp(isolation, "none") == 0;
    if (here ? can_run_here : can_host)
        return here ? IN_WORKER : HOSTED;
    return gantry_err_set(
        err, GANTRY_INVALID,
        here ? "isolation: 'none' is not possible for %s of %s: only a .so can run in the worker; "
               "leave the key out"
             : "isolation: 'process' is not possible for %s of %s: this worker has no host for it; "
               "leave the key out",
        class_name, file->path);
}

/* Load a form that nobody has asked for before, and keep it for the next one. */
static int load_now(struct gt_registry *registry, struct plugin_file *file, const char *origin,
                    enum gt_plugin_kind kind, struct gt_copy *copy, size_t place,
                    struct gt_form **ret, struct gantry_err *err)
{
    struct gantry_err why = {0};
    int code = open_form(registry, origin, kind, copy, place, ret, &why);
    if (code != 0)
        return gantry_err_set(err, code, "plugin %s cannot be loaded: %.400s", origin, why.text);
    pthread_mutex_lock(&registry->lock);
    /* `file` may be gone by now, and another one have its address: then the copy tells. */
    if (holds(&registry->table, file) && file->copy == copy && file->forms[place] == NULL)
        file->forms[place] = gt_form_hold(*ret);
    pthread_mutex_unlock(&registry->lock);
    return 0;
}

int gt_registry_choose(struct gt_registry *registry, const char *class_name,
                       const struct gt_class_wish *wish, const struct gt_connector_class **ret,
                       struct gantry_err *err)
{
    struct gt_copy *copy = NULL;
    struct gt_form *form = NULL;
    char *origin = NULL;
    bool prefer_files = wish->prefer != NULL && *wish->prefer != '\0'
                            ? strcmp(wish->prefer, "file") == 0
                            : registry->from.prefer_files;
    pthread_mutex_lock(&registry->lock);
    struct plugin_file *file = pick(&registry->table, class_name, prefer_files);
    if (file == NULL) {
        pthread_mutex_unlock(&registry->lock);
        return GANTRY_NOT_FOUND;
    }
    enum gt_plugin_kind kind = file->kind;
    int place = place_of(registry, file, class_name, wish->isolation, err);
    int code = place < 0 ? place : 0;
    if (code == 0 && file->forms[place] != NULL) {
        form = gt_form_hold(file->forms[place]);
    } else if (code == 0 && wish->now) {
        code = GANTRY_AGAIN;
    } else if (code == 0) {
        origin = strdup(file->path);
        copy = file->copy != NULL ? gt_copy_hold(file->copy) : NULL;
        code = origin == NULL ? gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory") : 0;
    }
    pthread_mutex_unlock(&registry->lock);
    if (code == 0 && form == NULL)
        code = load_now(registry, file, origin, kind, copy, (size_t)place, &form, err);
    if (code == 0) {
        *ret = gt_class_hold(gt_form_find(form, class_name));
        if (*ret == NULL) /* a plugin that offers something else each time */
            code = gantry_err_set(err, GANTRY_INVALID,
                                  "plugin %s does not offer the class %s where it is to run",
                                  origin != NULL ? origin : class_name, class_name);
    }
    gt_form_release(form);
    gt_copy_release(copy);
    free(origin);
    return code;
}

int gt_registry_list(struct gt_registry *registry, struct gt_class_list *ret)
{
    size_t most = 0;
    int code = 0;
    memset(ret, 0, sizeof *ret);
    pthread_mutex_lock(&registry->lock);
    const struct table *table = &registry->table;
    for (size_t i = 0; i < table->count; i++) {
        if (table->files[i]->described != NULL)
            most += gt_form_plugin(table->files[i]->described)->connector_count;
    }
    ret->items = calloc(most + 1, sizeof(*ret->items));
    if (ret->items == NULL)
        code = GANTRY_NO_MEMORY;
    for (size_t i = 0; i < table->count && code == 0; i++) {
        const struct plugin_file *file = table->files[i];
        size_t class_count = 0;
        const struct gt_connector_class *classes =
            file->described != NULL ? gt_form_classes(file->described, &class_count) : NULL;
        for (size_t k = 0; k < class_count; k++) {
            const char *name = classes[k].connector->class_names[0];
            if (pick(table, name, registry->from.prefer_files) == file)
                ret->items[ret->count++] = gt_class_hold(&classes[k]);
        }
    }
    pthread_mutex_unlock(&registry->lock);
    return code;
}

void gt_class_list_release(struct gt_class_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        gt_class_release(list->items[i]);
    free(list->items);
    memset(list, 0, sizeof *list);
}

const char *gt_class_list_nearest(const struct gt_class_list *list, const char *word)
{
    const char **names = calloc(list->count + 1, sizeof *names);
    const char *nearest = NULL;
    for (size_t i = 0; i < list->count && names != NULL; i++)
        names[i] = list->items[i]->connector->class_names[0];
    if (names != NULL)
        nearest = gt_nearest(word, names, list->count);
    free(names);
    return nearest;
}
