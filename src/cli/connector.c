/* SPDX-License-Identifier: Apache-2.0 */
/* gantry connector reset | classes | describe */
#include "cli/options.h"
#include "cli/serve.h"
#include "cli/text_table.h"
#include "plugin/registry.h"
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

/* Open the plugins with a worker's default settings. */
static int open_registry(const struct gt_command *command, struct gt_registry **ret)
{
    struct gantry_err err = {0, ""};
    struct gt_props none;
    gt_props_init(&none);
    int rc = gt_registry_open(&none, ret, &err);
    gt_props_deinit(&none);
    return rc == 0 ? GT_EXIT_OK : gt_command_failed(command, &err);
}

static const char *kind_name(const struct gantry_connector *connector)
{
    return connector->kind == GANTRY_SOURCE ? "source" : "sink";
}

int gt_command_connector_classes(const struct gt_command *command, int argc, char **argv)
{
    static const char *const titles[] = {"CLASS", "KIND", "VERSION", "WHAT IT DOES"};
    struct gt_registry *registry = NULL;
    struct gt_text_table table;
    struct gt_arena arena;

    (void)argv;
    if (argc > 0)
        return gt_usage_error(command, "takes no arguments");
    int status = open_registry(command, &registry);
    if (status != GT_EXIT_OK)
        return status;
    gt_arena_init(&arena, 16 << 10, 0);
    gt_text_table_init(&table, &arena, titles, 4, 0);
    const struct gt_connector_class *item;
    for (size_t i = 0; (item = gt_registry_at(registry, i)) != NULL; i++) {
        const char **row = gt_text_table_row(&table);
        if (row == NULL)
            break;
        row[0] = item->connector->class_names[0];
        row[1] = kind_name(item->connector);
        row[2] = item->connector->version;
        row[3] = item->connector->doc;
    }
    gt_text_table_print(&table, stdout);
    gt_arena_deinit(&arena);
    gt_registry_close(registry);
    return table.no_memory ? GT_EXIT_FAILED : GT_EXIT_OK;
}

static const char *type_name(enum gantry_config_type type)
{
    static const char *const names[] = {
        [GANTRY_CONFIG_STRING] = "text",
        [GANTRY_CONFIG_INT] = "number",
        [GANTRY_CONFIG_SIZE] = "size",
        [GANTRY_CONFIG_DURATION] = "duration",
        [GANTRY_CONFIG_BOOL] = "true|false",
        [GANTRY_CONFIG_ENUM] = "one of",
        [GANTRY_CONFIG_LIST] = "list with commas",
        [GANTRY_CONFIG_PASSWORD] = "secret",
    };
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "?";
}

static void print_def(const struct gantry_config_def *def)
{
    printf("  %s  (%s", def->name, type_name(def->type));
    if (def->type == GANTRY_CONFIG_ENUM && def->choices != NULL)
        printf(" %s", def->choices);
    if (def->max != 0 && def->max != INT64_MAX)
        printf(", %lld to %lld", (long long)def->min, (long long)def->max);
    else if (def->min != 0)
        printf(", at least %lld", (long long)def->min);
    if ((def->flags & GANTRY_CONFIG_REQUIRED) != 0)
        printf(", required");
    else if (def->default_value != NULL)
        printf(", default %s", *def->default_value != '\0' ? def->default_value : "empty");
    printf(")\n");
    if (def->aliases != NULL)
        printf("      also: %s\n", def->aliases);
    if (def->doc != NULL)
        printf("      %s\n", def->doc);
}

/* Those of the runtime, but for the ones that the connector declares itself. */
static void print_common(const struct gantry_connector *connector)
{
    size_t count;
    const struct gantry_config_def *defs = gt_common_defs(connector->kind, &count);
    for (size_t i = 0; i < count; i++) {
        bool own = false;
        for (size_t k = 0; k < connector->def_count; k++)
            own |= strcmp(connector->defs[k].name, defs[i].name) == 0;
        if (!own)
            print_def(&defs[i]);
    }
}

static int unknown_class(const struct gt_command *command, const struct gt_registry *registry,
                         const char *name)
{
    const char *names[256];
    size_t count = 0;
    const struct gt_connector_class *item;
    for (size_t i = 0; count < 256 && (item = gt_registry_at(registry, i)) != NULL; i++)
        names[count++] = item->connector->class_names[0];
    const char *nearest = gt_nearest(name, names, count);
    fprintf(stderr, "gantry %s: there is no connector class '%s'; %s%s%s\n", command->name, name,
            nearest != NULL ? "did you mean " : "see: gantry connector classes",
            nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return GT_EXIT_FAILED;
}

int gt_command_connector_describe(const struct gt_command *command, int argc, char **argv)
{
    const char *name = NULL;
    struct gt_options options = {
        .operands = &name, .operands_min = 1, .operands_max = 1, .operands_name = "the CLASS"};
    struct gt_registry *registry = NULL;
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = open_registry(command, &registry);
    if (status != GT_EXIT_OK)
        return status;
    const struct gt_connector_class *found = gt_registry_find(registry, name);
    if (found == NULL) {
        status = unknown_class(command, registry, name);
    } else {
        const struct gantry_connector *connector = found->connector;
        printf("%s (%s, version %s)\n%s\n", connector->class_names[0], kind_name(connector),
               connector->version, connector->doc);
        for (size_t i = 1; connector->class_names[i] != NULL; i++)
            printf("also as %s\n", connector->class_names[i]);
        printf("\nIts keys:\n");
        for (size_t i = 0; i < connector->def_count; i++)
            print_def(&connector->defs[i]);
        printf("\nKeys of every %s:\n", kind_name(connector));
        print_common(connector);
    }
    gt_registry_close(registry);
    return status;
}
