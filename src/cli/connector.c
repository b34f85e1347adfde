/* SPDX-License-Identifier: Apache-2.0 */
/* gantry connector reset | classes | describe */
#include "cli/options.h"
#include "cli/plugin_option.h"
#include "cli/serve.h"
#include "cli/text_table.h"
#include "topic/inspect.h"
#include "worker/worker.h"

static int reset(const struct gt_command *command, const char *name, const char *folder,
                 const char *file, const struct gt_props *given)
{
    struct gt_settings settings;
    struct gantry_err err = {0, ""};
    size_t count = 0;
    int status = gt_serve_load(command, file, given, true, &settings);
    if (status != GT_EXIT_OK)
        return status;
    /* A store that is named is meant, whatever the file says of brokers. */
    bool shared = folder == NULL && settings.name_servers != NULL;
    const char *where = shared ? settings.cluster : folder != NULL ? folder : settings.store;
    int rc = shared ? gt_cluster_reset_connector(&settings, name, &count, &err)
                    : gt_store_reset_connector(where, name, &count, &err);
    if (rc != 0)
        status = gt_command_failed(command, &err);
    else if (count == 0)
        printf("%s: nothing is known of a connector %s; nothing changed\n", where, name);
    else
        printf("%s: forgot %zu positions and progress entries of %s; it will begin anew\n", where,
               count, name);
    gt_settings_deinit(&settings);
    return status;
}

int gt_command_connector_reset(const struct gt_command *command, int argc, char **argv)
{
    const char *folder = NULL, *file = NULL, *name_servers = NULL, *name = NULL;
    const struct gt_option table[] = {{.name = "--store", .text = &folder},
                                      {.name = "-c", .text = &file},
                                      {.name = "--namesrv", .text = &name_servers}};
    struct gt_props given;
    struct gt_options options = {.table = table,
                                 .count = sizeof table / sizeof table[0],
                                 .operands = &name,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the connector's NAME",
                                 .settings = &given};
    struct gantry_err err = {0, ""};
    int status = GT_EXIT_OK;

    gt_props_init(&given);
    if (gt_options_parse(&options, argc, argv, &err) != 0 ||
        gt_connector_name_check(name, &err) != 0)
        status = gt_usage_error(command, err.text);
    else if (folder != NULL && name_servers != NULL)
        status = gt_usage_error(command, "--store is a worker's without a broker, --namesrv "
                                         "workers' with one; give one of them");
    else if (name_servers != NULL && gt_props_set(&given, "namesrvAddr", name_servers) != 0)
        status = GT_EXIT_FAILED;
    if (status == GT_EXIT_OK)
        status = reset(command, name, folder, file, &given);
    gt_props_deinit(&given);
    return status;
}

/* A class that is missed may be one of theirs. */
static void tell_unused(void *arg, const struct gt_plugin_view *view)
{
    const struct gt_command *command = arg;
    if (view->plugin == NULL)
        fprintf(stderr, "gantry %s: %s is not used: %s\n", command->name, view->path, view->reason);
}

int gt_command_connector_classes(const struct gt_command *command, int argc, char **argv)
{
    static const char *const titles[] = {"CLASS", "KIND", "VERSION", "WHAT IT DOES"};
    struct gt_plugin_option option = {0};
    const struct gt_option options_table[] = {GT_PLUGIN_OPTIONS(option)};
    struct gt_options options = {.table = options_table, .count = 2};
    struct gt_plugin_look look = {NULL, NULL};
    struct gt_settings settings;
    struct gt_class_list list;
    struct gt_text_table table;
    struct gt_arena arena;
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = gt_plugin_option_settle(command, &option, &settings);
    if (status != GT_EXIT_OK)
        return status;
    status = gt_plugin_look_open(command, &settings, NULL, &look);
    if (status != GT_EXIT_OK)
        goto out;
    gt_arena_init(&arena, 16 << 10, 0);
    gt_text_table_init(&table, &arena, titles, 4, 0);
    table.no_memory = gt_registry_list(look.registry, &list) != 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct gantry_connector *connector = list.items[i]->connector;
        const char **row = gt_text_table_row(&table);
        if (row == NULL)
            break;
        row[0] = connector->class_names[0];
        row[1] = gt_kind_name(connector);
        row[2] = connector->version;
        row[3] = connector->doc;
    }
    gt_text_table_print(&table, stdout);
    gt_registry_each(look.registry, tell_unused, (void *)(uintptr_t)command);
    status = table.no_memory ? GT_EXIT_FAILED : GT_EXIT_OK;
    gt_class_list_release(&list);
    gt_arena_deinit(&arena);
out:
    gt_plugin_look_close(&look);
    gt_settings_deinit(&settings);
    return status;
}

static int unknown_class(const struct gt_command *command, struct gt_registry *registry,
                         const char *name)
{
    struct gt_class_list list;
    (void)gt_registry_list(registry, &list); /* without memory nothing is near */
    const char *nearest = gt_class_list_nearest(&list, name);
    fprintf(stderr, "gantry %s: there is no connector class '%s'; %s%s%s\n", command->name, name,
            nearest != NULL ? "did you mean " : "see: gantry connector classes",
            nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    gt_registry_each(registry, tell_unused, (void *)(uintptr_t)command);
    gt_class_list_release(&list);
    return GT_EXIT_FAILED;
}

int gt_command_connector_describe(const struct gt_command *command, int argc, char **argv)
{
    const char *name = NULL;
    struct gt_plugin_option option = {0};
    const struct gt_option options_table[] = {GT_PLUGIN_OPTIONS(option)};
    struct gt_options options = {.table = options_table,
                                 .count = 2,
                                 .operands = &name,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the CLASS"};
    struct gt_plugin_look look = {NULL, NULL};
    struct gt_settings settings;
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = gt_plugin_option_settle(command, &option, &settings);
    if (status != GT_EXIT_OK)
        return status;
    status = gt_plugin_look_open(command, &settings, NULL, &look);
    if (status == GT_EXIT_OK) {
        const struct gt_connector_class *found = gt_registry_find(look.registry, name);
        if (found == NULL)
            status = unknown_class(command, look.registry, name);
        else
            gt_print_connector(found->connector);
        gt_class_release(found);
    }
    gt_plugin_look_close(&look);
    gt_settings_deinit(&settings);
    return status;
}
