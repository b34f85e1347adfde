/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin_option.h"

#include "base/log.h"
#include "cli/serve.h"
#include <signal.h>

int gt_plugin_option_settle(const struct gt_command *command, struct gt_plugin_option *option,
                            struct gt_settings *ret)
{
    struct gt_props given;
    gt_props_init(&given);
    int status = GT_EXIT_OK;
    if (option->paths != NULL && gt_props_set(&given, "pluginPaths", option->paths) != 0)
        status = gt_usage_error(command, "no memory for the options");
    if (status == GT_EXIT_OK)
        status = gt_serve_load(command, option->file, &given, true, ret);
    gt_props_deinit(&given);
    return status;
}

/* Nothing runs that could be split again. */
static void no_wish(void *arg, const char *connector, const char *reason)
{
    (void)arg;
    (void)connector;
    (void)reason;
}

static int look_at_files(struct gt_plugin_look *look, const struct gt_settings *settings,
                         const char *paths, struct gantry_err *err)
{
    struct gt_hosts_settings hosts = settings->hosts;
    struct gt_scan_counts counts;
    (void)signal(SIGPIPE, SIG_IGN); /* a host that ends is an error of one write */
    hosts.worker = "gantry";
    hosts.given = &settings->given;
    int rc = gt_hosts_open(&hosts, no_wish, NULL, &look->hosts, err);
    if (rc != 0)
        return rc;
    const struct gt_loader hosted = {gt_host_load, look->hosts};
    struct gt_plugin_files files = {
        .paths = paths,
        .prefer_files = strcmp(settings->plugin_prefer, "file") == 0,
        .in_worker = strcmp(settings->plugin_isolation, "none") == 0,
        /* Also a library: one that crashes, or does not come back, ends its host and no more. */
        .loaders = {.hosted[GT_PLUGIN_SO] = hosted,
                    .hosted[GT_PLUGIN_JAR] = hosted,
                    .hosted[GT_PLUGIN_JARS] = hosted,
                    .hosted[GT_PLUGIN_EXECUTABLE] = hosted},
    };
    rc = gt_registry_set_files(look->registry, &files);
    if (rc != 0)
        return gantry_err_set(err, rc, "out of memory");
    return gt_registry_scan(look->registry, &counts, err);
}

int gt_plugin_look_open(const struct gt_command *command, const struct gt_settings *settings,
                        const char *only, struct gt_plugin_look *ret)
{
    struct gantry_err err = {0, ""};
    const char *paths = only != NULL ? only : settings->plugin_paths;
    gt_log_set_level(GANTRY_LOG_ERROR); /* what is refused, and why, is in the tables */
    int rc = gt_registry_open(&settings->given, &ret->registry, &err);
    if (rc == 0 && paths != NULL)
        rc = look_at_files(ret, settings, paths, &err);
    if (rc != 0) {
        gt_plugin_look_close(ret);
        return gt_command_failed(command, &err);
    }
    return GT_EXIT_OK;
}

void gt_plugin_look_close(struct gt_plugin_look *look)
{
    gt_registry_close(look->registry);
    gt_hosts_close(look->hosts);
    *look = (struct gt_plugin_look){NULL, NULL};
}

const char *gt_kind_name(const struct gantry_connector *connector)
{
    return connector->kind == GANTRY_SOURCE ? "source" : "sink";
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

void gt_print_connector(const struct gantry_connector *connector)
{
    printf("%s (%s, version %s)\n%s\n", connector->class_names[0], gt_kind_name(connector),
           connector->version, connector->doc);
    for (size_t i = 1; connector->class_names[i] != NULL; i++)
        printf("also as %s\n", connector->class_names[i]);
    printf("\nIts keys:\n");
    for (size_t i = 0; i < connector->def_count; i++)
        print_def(&connector->defs[i]);
    printf("\nKeys of every %s:\n", gt_kind_name(connector));
    print_common(connector);
}
