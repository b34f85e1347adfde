/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to a plan. Runs on a helper thread, because loading a plugin, and a
 * connector's own checks, may block. */
#include "worker/internal.h"

#include "base/json.h"
#include "base/log.h"
#include "convert/converter.h"
#include <stdlib.h>

void gt_plan_init(struct plan *plan)
{
    memset(plan, 0, sizeof *plan);
    gt_arena_init(&plan->arena, 4096, 0);
}

void gt_plan_deinit(struct plan *plan)
{
    for (size_t i = 0; i < plan->task_count; i++)
        gt_props_deinit(&plan->tasks[i].props);
    free(plan->tasks);
    gt_class_release(plan->klass);
    gt_arena_deinit(&plan->arena);
    memset(plan, 0, sizeof *plan);
}

/* A finding's text names its key already when the table made it. */
static bool first_missing(struct plan *plan, const struct gt_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->items[i].missing && !findings->items[i].warning) {
            plan->missing_key = gt_arena_strdup(&plan->arena, findings->items[i].key);
            return plan->missing_key != NULL;
        }
    }
    return false;
}

static void refuse(struct plan *plan, enum gt_create_outcome outcome,
                   const struct gt_findings *findings)
{
    plan->outcome = outcome;
    gt_findings_to_err(findings, &plan->err);
}

/* A value that is not one of the two is refused by the check of the whole; until then: none. */
static const char *choice(const struct gt_props *props, const char *key, const char *one,
                          const char *other)
{
    const char *value = gt_config_value(NULL, props, key);
    return value != NULL && (strcmp(value, one) == 0 || strcmp(value, other) == 0) ? value : NULL;
}

int gt_plan_class(struct gt_registry *registry, const struct gt_props *props, bool now,
                  const struct gt_connector_class **ret, struct gantry_err *err)
{
    const char *class_name = gt_config_value(NULL, props, "connector.class");
    struct gt_class_wish wish = {
        .isolation = choice(props, "isolation", "none", "process"),
        .prefer = choice(props, "plugin.prefer", "builtin", "file"),
        .now = now,
    };
    return gt_registry_choose(registry, class_name != NULL ? class_name : "", &wish, ret, err);
}

/* Plugin files that are not used: the class may be one of theirs. */
struct unused {
    const char *class_name;
    size_t count;
    bool named;
    char text[300]; /* of the first, or the first whose reason names the class */
};

static void look_at_unused(void *arg, const struct gt_plugin_view *view)
{
    struct unused *unused = arg;
    const char *slash = strrchr(view->path, '/');
    if (view->plugin != NULL)
        return;
    bool named = *unused->class_name != '\0' && strstr(view->reason, unused->class_name) != NULL;
    if (unused->count++ > 0 && (unused->named || !named))
        return;
    unused->named = named;
    (void)snprintf(unused->text, sizeof unused->text, "; %s is not used: %s",
                   slash != NULL ? slash + 1 : view->path, view->reason); /* may be cut */
}

static void unknown_class(struct plan *plan, struct gt_registry *registry, const char *class_name)
{
    struct gt_class_list list;
    struct unused unused = {.class_name = class_name};
    char more[60] = "";
    (void)gt_registry_list(registry, &list); /* without memory nothing is near */
    gt_registry_each(registry, look_at_unused, &unused);
    if (unused.count > 1)
        (void)snprintf(more, sizeof more, " (and %zu more: see `gantry plugin list`)",
                       unused.count - 1); /* fits */
    const char *near = gt_class_list_nearest(&list, class_name);
    gantry_err_set(
        &plan->err, GANTRY_NOT_FOUND,
        "connector.class: no connector of class '%s'%s%s%s; `gantry connector classes` lists them"
        "%s%s",
        class_name, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
        near != NULL ? "'?" : "", unused.text, more);
    gt_class_list_release(&list);
    plan->outcome = GT_CREATE_UNKNOWN_CLASS;
}

static bool find_class(struct plan *plan, struct gt_registry *registry,
                       const struct gt_props *props, bool now)
{
    const char *class_name = gt_config_value(NULL, props, "connector.class");
    gt_class_release(plan->klass);
    plan->klass = NULL;
    int code = gt_plan_class(registry, props, now, &plan->klass, &plan->err);
    if (code == 0)
        return true;
    plan->waits = code == GANTRY_AGAIN && now;
    if (code == GANTRY_NOT_FOUND && plan->err.code == 0)
        unknown_class(plan, registry, class_name != NULL ? class_name : "");
    else
        plan->outcome = code == GANTRY_INVALID ? GT_CREATE_INVALID : GT_CREATE_FAILED;
    if (plan->waits)
        gantry_err_set(&plan->err, code, "the plugin of class %s is being loaded", class_name);
    return false;
}

/* --- Splitting --- */

struct splitting {
    struct gantry_task_list api; /* first */
    struct plan *plan;
    const struct gt_props *props;
    uint32_t most;
};

static int begin_task(struct gantry_task_list *list)
{
    struct splitting *splitting = (struct splitting *)list;
    struct plan *plan = splitting->plan;
    if (plan->task_count > splitting->most) /* one too many is there already, and refused */
        return GANTRY_TOO_LARGE;
    struct plan_task *grown = realloc(plan->tasks, (plan->task_count + 1) * sizeof *grown);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    plan->tasks = grown;
    struct plan_task *task = &plan->tasks[plan->task_count++];
    memset(task, 0, sizeof *task);
    gt_props_init(&task->props);
    return gt_props_copy(&task->props, splitting->props);
}

static int set_key(struct gantry_task_list *list, const char *key, const char *value)
{
    struct plan *plan = ((struct splitting *)list)->plan;
    if (plan->task_count == 0 || key == NULL || value == NULL)
        return GANTRY_INVALID;
    return gt_props_set(&plan->tasks[plan->task_count - 1].props, key, value);
}

static bool split(struct plan *plan, const char *name, const struct gantry_config *config,
                  const struct gt_props *props)
{
    const struct gantry_connector *connector = plan->klass->connector;
    uint32_t most = (uint32_t)gantry_config_get_int(config, "tasks.max", 1);
    struct splitting splitting = {.api = {sizeof splitting.api, begin_task, set_key},
                                  .plan = plan,
                                  .props = props,
                                  .most = most};
    void *state = plan->klass->plugin_state;
    plan->asked = true;
    int code = GANTRY_HAS(connector, split_named)
                   ? connector->split_named(state, name, config, most, &splitting.api, &plan->err)
               : connector->split != NULL
                   ? connector->split(state, config, most, &splitting.api, &plan->err)
                   : begin_task(&splitting.api);
    plan->split = code == 0;
    if (plan->task_count > most)
        code = gantry_err_set(&plan->err, GANTRY_INVALID,
                              "the connector split its work into more than %u tasks (tasks.max)",
                              most);
    if (code != 0 && plan->err.code == 0)
        gantry_err_set(&plan->err, code, "the connector could not split its work: %s",
                       gantry_error_text(code));
    if (code != 0)
        plan->outcome = GT_CREATE_INVALID;
    return code == 0;
}

/* --- All of it --- */

static void check_converter(struct plan *plan, const struct gantry_config *config,
                            struct gt_findings *findings)
{
    const char *name = gantry_config_get(config, "source-record-converter");
    plan->converter = gt_converter_find(name);
    if (plan->converter != NULL)
        return;
    struct gantry_err text;
    char known[256] = "";
    for (const char *const *at = gt_converter_names(); *at != NULL; at++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", len > 0 ? ", " : "", *at);
    }
    gantry_err_set(&text, GANTRY_INVALID,
                   "source-record-converter: there is no converter '%s'; known: %s", name, known);
    gt_findings_add(findings, "source-record-converter", false, false, text.text);
}

/* Warnings among what is found are no news: a key that no table knows is the connector's key, too,
 * or one that the connector made. */
static void check_tasks(struct plan *plan, struct gt_findings *findings)
{
    for (size_t i = 0; i < plan->task_count && gt_findings_errors(findings) == 0; i++)
        gt_config_check(plan->klass->connector, &plan->tasks[i].props, findings, &plan->arena,
                        &plan->tasks[i].config);
}

void gt_plan_make(struct plan *plan, struct gt_registry *registry, const char *name,
                  const struct gt_props *props)
{
    struct gantry_config config;
    struct gt_findings findings, of_tasks;
    gt_findings_init(&findings);
    gt_findings_init(&of_tasks);
    const char *class_name = gt_config_value(NULL, props, "connector.class");
    if (class_name == NULL || *class_name == '\0') {
        plan->outcome = GT_CREATE_MISSING_KEY;
        plan->missing_key = "connector-class";
        gantry_err_set(
            &plan->err, GANTRY_INVALID,
            "connector-class: required; `gantry connector classes` lists the classes there are");
        goto out;
    }
    if (!find_class(plan, registry, props, false))
        goto out;
    int code = gt_config_check(plan->klass->connector, props, &findings, &plan->arena, &config);
    if (code == 0)
        check_converter(plan, &config, &findings);
    if (code == 0 && plan->klass->connector->validate != NULL)
        plan->klass->connector->validate(plan->klass->plugin_state, name, &config, &findings.api);
    if (code == GANTRY_NO_MEMORY || findings.no_memory) {
        plan->outcome = GT_CREATE_FAILED;
        gantry_err_set(&plan->err, GANTRY_NO_MEMORY, "out of memory");
    } else if (gt_findings_errors(&findings) > 0) {
        refuse(plan, first_missing(plan, &findings) ? GT_CREATE_MISSING_KEY : GT_CREATE_INVALID,
               &findings);
    } else if (split(plan, name, &config, props)) {
        check_tasks(plan, &of_tasks);
        if (gt_findings_errors(&of_tasks) > 0)
            refuse(plan, GT_CREATE_INVALID, &of_tasks);
    }
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.items[i].warning)
            gt_warn("worker", "connector=%s %s", name, findings.items[i].text);
    }
out:
    gt_findings_deinit(&of_tasks);
    gt_findings_deinit(&findings);
}

void gt_plan_split(struct plan *plan, const char *name, const struct gt_props *props)
{
    struct gantry_config config;
    struct gt_findings findings;
    gt_findings_init(&findings);
    (void)gt_config_check(plan->klass->connector, props, &findings, &plan->arena, &config);
    if (gt_findings_errors(&findings) > 0)
        refuse(plan, GT_CREATE_INVALID, &findings);
    else
        (void)split(plan, name, &config, props);
    gt_findings_deinit(&findings);
}

/* Check tasks that are there already. */
static void plan_tasks(struct plan *plan, struct gt_registry *registry,
                       const struct gt_props *props)
{
    struct gt_findings findings;
    gt_findings_init(&findings);
    if (!find_class(plan, registry, props, true))
        goto out;
    check_tasks(plan, &findings);
    if (plan->task_count > 0 && gt_findings_errors(&findings) == 0)
        check_converter(plan, &plan->tasks[0].config, &findings);
    if (gt_findings_errors(&findings) > 0)
        refuse(plan, GT_CREATE_INVALID, &findings);
out:
    gt_findings_deinit(&findings);
}

void gt_plan_take(struct plan *plan, struct gt_registry *registry, const struct gt_props *props,
                  const struct gantry_view *tasks, size_t task_count)
{
    plan->empty = task_count == 1 && gantry_view_equal(tasks[0], gantry_view_of("{}"));
    task_count = plan->empty ? 0 : task_count;
    plan->tasks = calloc(task_count + 1, sizeof *plan->tasks);
    plan->task_count = plan->tasks != NULL ? task_count : 0;
    int code = plan->tasks != NULL ? 0 : GANTRY_NO_MEMORY;
    for (size_t i = 0; i < plan->task_count; i++)
        gt_props_init(&plan->tasks[i].props);
    for (size_t i = 0; i < plan->task_count && code == 0; i++) {
        code = gt_json_parse_props(&plan->tasks[i].props, tasks[i], &plan->err);
        /* The worker's own, there for the consistent hash of 2019: see add_task_json. */
        (void)gt_props_remove(&plan->tasks[i].props, "task-class");
        (void)gt_props_remove(&plan->tasks[i].props, "update-timestamp");
    }
    if (code == 0) {
        plan_tasks(plan, registry, props);
        return;
    }
    plan->outcome = GT_CREATE_FAILED;
    if (plan->err.code == 0)
        gantry_err_set(&plan->err, code, "out of memory");
}

void gt_plan_renew(struct plan *plan, struct gt_registry *registry, const struct gt_props *props)
{
    struct plan next;
    gt_plan_init(&next);
    next.tasks = plan->tasks;
    next.task_count = plan->task_count;
    next.empty = plan->empty;
    plan->tasks = NULL;
    plan->task_count = 0;
    plan_tasks(&next, registry, props);
    gt_plan_deinit(plan);
    *plan = next;
}

static bool missing_2019(struct plan *plan, const char *key)
{
    plan->outcome = GT_CREATE_MISSING_KEY;
    plan->missing_key = key;
    gantry_err_set(&plan->err, GANTRY_INVALID, "Request config key: %s", key);
    return false;
}

bool gt_plan_check_2019(struct plan *plan, struct gt_registry *registry,
                        const struct gt_props *props)
{
    static const char *const required[] = {"source-record-converter", "connector-class"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (gt_config_value(NULL, props, required[i]) == NULL)
            return missing_2019(plan, required[i]);
    }
    if (!find_class(plan, registry, props, false))
        return false;
    const struct gantry_connector *connector = plan->klass->connector;
    for (size_t i = 0; i < connector->def_count; i++) {
        const struct gantry_config_def *def = &connector->defs[i];
        const char *value = gt_config_value(connector, props, def->name);
        if ((def->flags & GANTRY_CONFIG_REQUIRED) != 0 && value == NULL)
            return missing_2019(plan, def->name);
    }
    return true;
}
