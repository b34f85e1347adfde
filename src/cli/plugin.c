/* SPDX-License-Identifier: Apache-2.0 */
/* gantry plugin list | check | describe */
#include "cli/plugin_option.h"
#include "cli/text_table.h"
#include "plugin/plugin_check.h"
#include "plugin/scan.h"
#include "plugin/so_loader.h"
#include "plugin/trial.h"
#include "worker/plugin_list.h"
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIST_MAX = 16 << 20 };

/* --- list --- */

static const char *text_of(const json_t *plugin, const char *key)
{
    const char *text = json_string_value(json_object_get(plugin, key));
    return text != NULL ? text : "";
}

static void add_row(struct gt_text_table *table, const json_t *plugin)
{
    const char **row = gt_text_table_row(table);
    if (row == NULL)
        return;
    const char *name = text_of(plugin, "name");
    row[0] = *name != '\0' ? name : "-";
    row[1] = *text_of(plugin, "version") != '\0' ? text_of(plugin, "version") : "-";
    row[2] = text_of(plugin, "kind");
    row[3] = text_of(plugin, "state");
    row[4] = gt_text(table->arena, "%zu", json_array_size(json_object_get(plugin, "classes")));
    row[5] = strcmp(row[2], "builtin") == 0 ? "-" : text_of(plugin, "path");
}

static int print_list(const struct gt_command *command, struct gantry_view text)
{
    static const char *const titles[] = {"PLUGIN", "VERSION", "KIND", "STATE", "CLASSES", "PATH"};
    json_error_t why;
    json_t *list = json_loadb(text.data, text.len, 0, &why);
    const json_t *plugins = json_object_get(list, "plugins"), *plugin;
    struct gt_text_table table;
    struct gt_arena arena;
    size_t i;
    if (!json_is_array(plugins)) {
        fprintf(stderr, "gantry %s: the worker's list cannot be read: %s\n", command->name,
                list == NULL ? why.text : "no plugins in it");
        json_decref(list);
        return GT_EXIT_FAILED;
    }
    gt_arena_init(&arena, 16 << 10, 0);
    gt_text_table_init(&table, &arena, titles, 6, 1u << 4);
    json_array_foreach(plugins, i, plugin)
    {
        add_row(&table, plugin);
    }
    gt_text_table_print(&table, stdout);
    json_array_foreach(plugins, i, plugin)
    {
        if (*text_of(plugin, "reason") != '\0')
            printf("%s: %s\n", text_of(plugin, "path"), text_of(plugin, "reason"));
    }
    gt_arena_deinit(&arena);
    json_decref(list);
    return table.no_memory ? GT_EXIT_FAILED : GT_EXIT_OK;
}

/* The list of a worker that runs with the store, or with the store of a worker in a cluster below
 * it. As gt_plugin_list_read(). */
static int read_list(const char *store, struct gt_buf *buf, struct gantry_err *err)
{
    char *inner = NULL;
    int found = gt_plugin_list_read(store, buf, err);
    if (found != 0)
        return found;
    if (asprintf(&inner, "%s/cluster", store) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    found = gt_plugin_list_read(inner, buf, err);
    free(inner);
    return found;
}

/* The list that a worker would have. */
static int make_list(const struct gt_command *command, const struct gt_settings *settings,
                     struct gt_buf *buf)
{
    struct gt_plugin_look look = {NULL, NULL};
    int status = gt_plugin_look_open(command, settings, NULL, &look);
    if (status == GT_EXIT_OK && gt_plugin_list_json(look.registry, buf) != 0) {
        fprintf(stderr, "gantry %s: no memory for the list\n", command->name);
        status = GT_EXIT_FAILED;
    }
    gt_plugin_look_close(&look);
    return status;
}

int gt_command_plugin_list(const struct gt_command *command, int argc, char **argv)
{
    struct gt_plugin_option option = {0};
    const char *store = NULL;
    const struct gt_option table[] = {GT_PLUGIN_OPTIONS(option),
                                      {.name = "--store", .text = &store}};
    struct gt_options options = {.table = table, .count = 3};
    struct gt_settings settings;
    struct gantry_err err = {0, ""};
    struct gt_buf list;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    if (store != NULL && option.paths != NULL)
        return gt_usage_error(command, "--store asks a worker, --plugin-paths asks the files; give "
                                       "one of them");
    int status = gt_plugin_option_settle(command, &option, &settings);
    if (status != GT_EXIT_OK)
        return status;
    gt_buf_init(&list, LIST_MAX);
    int found =
        option.paths != NULL ? 0 : read_list(store != NULL ? store : settings.store, &list, &err);
    if (found < 0)
        status = gt_command_failed(command, &err);
    else if (found == 0)
        status = make_list(command, &settings, &list);
    if (status == GT_EXIT_OK)
        status = print_list(command, gt_buf_view(&list));
    gt_buf_deinit(&list);
    gt_settings_deinit(&settings);
    return status;
}

/* --- check --- */

int gt_command_plugin_check(const struct gt_command *command, int argc, char **argv)
{
    enum { LIMIT_S = 30 }; /* after the worker's own */
    const char *path = NULL;
    struct gt_options options = {
        .operands = &path, .operands_min = 1, .operands_max = 1, .operands_name = "the PATH"};
    struct gt_loaded loaded = {0};
    struct gantry_err err = {0, ""};
    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    alarm(LIMIT_S); /* nobody may wait for a library that does not come back */
    int code = gt_so_load(NULL, path, GT_PLUGIN_SO, &loaded, &err);
    if (code == 0)
        code = gt_plugin_check(loaded.plugin, &err);
    if (code == 0)
        printf(GT_TRIAL_FINE "%s %s\n", loaded.plugin->name, loaded.plugin->version);
    else
        fprintf(stderr, "gantry %s: %s: %s\n", command->name, path, err.text);
    if (loaded.unload != NULL)
        loaded.unload(&loaded); /* may crash as well as the opening */
    return code == 0 ? GT_EXIT_OK : GT_EXIT_FAILED;
}

/* --- describe --- */

struct describing {
    const char *name; /* NULL: the one file that was looked at */
    size_t found;
    const char *names[256]; /* for the nearest one */
    size_t name_count;
};

static void describe(void *arg, const struct gt_plugin_view *view)
{
    struct describing *describing = arg;
    const char *name = view->plugin != NULL ? view->plugin->name : NULL;
    if (name != NULL && describing->name_count < 256)
        describing->names[describing->name_count++] = name;
    bool wanted = describing->name == NULL ? view->kind != GT_PLUGIN_BUILTIN
                                           : name != NULL && strcmp(name, describing->name) == 0;
    if (!wanted)
        return;
    if (describing->found++ > 0)
        printf("\n");
    if (view->plugin == NULL) {
        printf("%s is no plugin that can be used here: %s\n", view->path, view->reason);
        return;
    }
    bool builtin = view->kind == GT_PLUGIN_BUILTIN;
    printf("plugin %s, version %s, %s%s\n", name, view->plugin->version,
           builtin ? "built in" : view->path,
           view->state == GT_PLUGIN_LOADED ? "" : " (an earlier version)");
    if (!builtin)
        printf("content %s\n", view->hash);
    for (size_t i = 0; i < view->class_count; i++) {
        printf("\n");
        gt_print_connector(view->classes[i].connector);
    }
}

static int describe_one(const struct gt_command *command, const struct gt_settings *settings,
                        const char *name)
{
    struct gt_plugin_look look = {NULL, NULL};
    bool is_path = strchr(name, '/') != NULL || gt_scan_kind(name) != GT_PLUGIN_KINDS;
    struct describing describing = {.name = is_path ? NULL : name};
    int status = gt_plugin_look_open(command, settings, is_path ? name : NULL, &look);
    if (status != GT_EXIT_OK)
        return status;
    gt_registry_each(look.registry, describe, &describing);
    if (describing.found == 0) {
        const char *nearest =
            is_path ? NULL : gt_nearest(name, describing.names, describing.name_count);
        fprintf(stderr, "gantry %s: there is no plugin %s'%s'; %s%s%s\n", command->name,
                is_path ? "file at " : "", name,
                nearest != NULL ? "did you mean " : "see: gantry plugin list",
                nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
        status = GT_EXIT_FAILED;
    }
    gt_plugin_look_close(&look);
    return status;
}

int gt_command_plugin_describe(const struct gt_command *command, int argc, char **argv)
{
    struct gt_plugin_option option = {0};
    const char *name = NULL;
    const struct gt_option table[] = {GT_PLUGIN_OPTIONS(option)};
    struct gt_options options = {.table = table,
                                 .count = 2,
                                 .operands = &name,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the plugin's NAME or PATH"};
    struct gt_settings settings;
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = gt_plugin_option_settle(command, &option, &settings);
    if (status != GT_EXIT_OK)
        return status;
    status = describe_one(command, &settings, name);
    gt_settings_deinit(&settings);
    return status;
}
