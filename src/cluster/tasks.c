/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors, their tasks, and who owns them. A task's owner changes in one place, give(), and only
 * to the next owner of a task that nobody owns. */
#include "cluster/internal.h"

#include "base/java_order.h"

#include <stdlib.h>

/* --- Connectors by name --- */

/* Where it is or would be. */
static size_t place_of(const struct gt_cluster_state *state, const char *name)
{
    size_t low = 0, high = state->connector_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (gt_java_compare(state->connectors[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct gt_cluster_connector *connector_at(const struct gt_cluster_state *state, size_t i,
                                                 const char *name)
{
    return i < state->connector_count && strcmp(state->connectors[i]->name, name) == 0
               ? state->connectors[i]
               : NULL;
}

/* Room for a name and its NUL; entry.c has checked the length. */
struct name {
    char text[GT_CLUSTER_NAME_MAX + 1];
};

static bool copy_name(struct name *name, struct gantry_view view)
{
    if (view.len == 0 || view.len > GT_CLUSTER_NAME_MAX)
        return false;
    memcpy(name->text, view.data, view.len);
    name->text[view.len] = '\0';
    return true;
}

struct gt_cluster_connector *gt_connector_find(const struct gt_cluster_state *state,
                                               struct gantry_view name)
{
    struct name copy;
    return copy_name(&copy, name) ? connector_at(state, place_of(state, copy.text), copy.text)
                                  : NULL;
}

struct gt_cluster_connector *gt_connector_need(struct gt_cluster_state *state,
                                               struct gantry_view name)
{
    struct name copy;
    if (!copy_name(&copy, name))
        return NULL;
    size_t i = place_of(state, copy.text);
    struct gt_cluster_connector *connector = connector_at(state, i, copy.text);
    if (connector != NULL)
        return connector;
    struct gt_cluster_connector **connectors =
        realloc(state->connectors, (state->connector_count + 1) * sizeof(*connectors));
    if (connectors == NULL)
        return NULL;
    state->connectors = connectors;
    connector = calloc(1, sizeof *connector);
    if (connector == NULL || (connector->name = strdup(copy.text)) == NULL) {
        free(connector);
        return NULL;
    }
    memmove(connectors + i + 1, connectors + i, (state->connector_count - i) * sizeof(*connectors));
    connectors[i] = connector;
    state->connector_count++;
    return connector;
}

void gt_task_clear(struct gt_cluster_task *task)
{
    free(task->status);
    task->status = NULL;
}

/* Frees what only a present connector has. */
static void clear_config(struct gt_cluster_connector *connector)
{
    for (size_t i = 0; i < connector->task_count; i++)
        gt_task_clear(&connector->tasks[i]);
    free(connector->tasks);
    free(connector->task_props);
    free(connector->config);
    connector->tasks = NULL;
    connector->task_props = NULL;
    connector->config = NULL;
    connector->task_count = connector->config_len = 0;
    connector->present = false;
}

void gt_connector_free(struct gt_cluster_connector *connector)
{
    clear_config(connector);
    for (size_t i = 0; i < connector->old_count; i++)
        gt_task_clear(&connector->old[i]);
    free(connector->old);
    free(connector->name);
    free(connector);
}

static void remove_connector(struct gt_cluster_state *state, struct gt_cluster_connector *connector)
{
    size_t i = place_of(state, connector->name);
    state->connector_count--;
    memmove(state->connectors + i, state->connectors + i + 1,
            (state->connector_count - i) * sizeof(struct gt_cluster_connector *));
    gt_connector_free(connector);
}

int gt_connector_configure(struct gt_cluster_connector *connector, const struct gt_entry *config)
{
    struct gt_entry own;
    connector->config = malloc(config->config.len + 1);
    connector->tasks = calloc(config->task_count + 1, sizeof *connector->tasks);
    connector->task_props = calloc(config->task_count + 1, sizeof *connector->task_props);
    if (connector->config == NULL || connector->tasks == NULL || connector->task_props == NULL) {
        clear_config(connector);
        return GANTRY_NO_MEMORY;
    }
    memcpy(connector->config, config->config.data, config->config.len);
    connector->config_len = config->config.len;
    struct gt_cursor cursor = gt_cursor_of(connector->config, connector->config_len);
    (void)gt_entry_read_config(&cursor,
                               &own); /* was read before; now the views are into the copy */
    connector->updated_ms = own.updated_ms;
    connector->props = own.props;
    connector->task_count = own.task_count;
    cursor = gt_cursor_of(own.tasks.data, own.tasks.len);
    for (uint32_t i = 0; i < own.task_count; i++) {
        connector->tasks[i].number = i;
        connector->task_props[i] = gt_cursor_sized(&cursor);
    }
    connector->present = true;
    return 0;
}

void gt_connector_tell(const struct gt_cluster_state *state,
                       const struct gt_cluster_connector *connector)
{
    state->io.config(state->io.arg, connector->name, connector->updated_ms, connector->props,
                     connector->task_props, connector->task_count);
}

/* --- Owners --- */

struct gt_cluster_task *gt_task_find(struct gt_cluster_connector *connector, uint32_t number,
                                     uint64_t epoch)
{
    if (number < connector->task_count && connector->tasks[number].epoch == epoch &&
        connector->tasks[number].owner != NULL)
        return &connector->tasks[number];
    for (size_t i = 0; i < connector->old_count; i++) {
        if (connector->old[i].epoch == epoch && connector->old[i].number == number)
            return &connector->old[i];
    }
    return NULL;
}

/* Orderly, if it runs here. */
static void stop_own(struct gt_cluster_state *state, const struct gt_cluster_connector *connector,
                     struct gt_cluster_task *task)
{
    if (task->run != GT_RUN_RUNNING)
        return;
    task->run = GT_RUN_STOPPING;
    state->io.task_stop(state->io.arg, connector->name, task->number, task->epoch, false);
}

/* It is not ours any more, so it must not run here. It never does by then if this worker alone
 * sends under its incarnation; a log that says otherwise is believed. */
static void stop_for_good(struct gt_cluster_state *state,
                          const struct gt_cluster_connector *connector,
                          struct gt_cluster_task *task)
{
    if (task->run == GT_RUN_RUNNING || task->run == GT_RUN_STOPPING)
        state->io.task_stop(state->io.arg, connector->name, task->number, task->epoch, true);
    task->run = GT_RUN_NOT;
}

/* The free task becomes the next one's, in an epoch that no task has had. */
static void give(struct gt_cluster_state *state, const struct gt_cluster_connector *connector,
                 struct gt_cluster_task *task)
{
    if (task->next == NULL)
        return;
    task->owner = task->next;
    task->next = NULL;
    task->moving = false;
    task->epoch = ++state->epoch;
    gt_task_clear(task);
    state->dirty = true;
    if (task->owner == state->self && !state->leaving) {
        task->run = GT_RUN_RUNNING;
        state->io.task_start(state->io.arg, connector->name, task->number, task->epoch);
    }
}

static void want(struct gt_cluster_state *state, const struct gt_cluster_connector *connector,
                 struct gt_cluster_task *task, struct gt_member *wanted)
{
    if (task->owner == NULL) {
        task->next = wanted;
        if (connector->old_count == 0)
            give(state, connector, task);
    } else if (task->moving) {
        task->next = wanted; /* may be the owner: it has been told to stop and gets it anew */
    } else if (task->owner != wanted) {
        task->next = wanted;
        task->moving = true;
        state->dirty = true;
        stop_own(state, connector, task);
    }
}

int gt_cluster_rebalance(struct gt_cluster_state *state, size_t tolerance)
{
    size_t count = 0;
    state->dirty = true;
    if (state->member_count == 0)
        return 0; /* then every task is free, and stays so */
    for (size_t i = 0; i < state->connector_count; i++)
        count += state->connectors[i]->task_count;
    struct gt_allocation *tasks = calloc(count + 1, sizeof *tasks);
    if (tasks == NULL)
        return GANTRY_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < state->connector_count; i++) {
        for (size_t k = 0; k < state->connectors[i]->task_count; k++)
            tasks[n++] = (struct gt_allocation){&state->connectors[i]->tasks[k], i, NULL};
    }
    int rc = gt_cluster_allocate(state, tasks, count, tolerance);
    for (size_t i = 0; rc == 0 && i < count; i++)
        want(state, state->connectors[tasks[i].connector], tasks[i].task, tasks[i].wanted);
    free(tasks);
    return rc;
}

void gt_member_remove(struct gt_cluster_state *state, struct gt_member *member,
                      struct gt_member *heir)
{
    if (member == state->self)
        gt_cluster_lose(state, "the other workers have not heard of this one for its lease");
    for (size_t i = state->connector_count; i-- > 0;) {
        struct gt_cluster_connector *connector = state->connectors[i];
        for (size_t k = 0; k < connector->task_count; k++) {
            struct gt_cluster_task *task = &connector->tasks[k];
            if (task->next == member)
                task->next = heir;
            if (task->owner != member)
                continue;
            if (!task->moving)
                task->next = heir;
            stop_for_good(state, connector, task);
            task->owner = NULL;
            task->moving = false;
            gt_task_clear(task);
        }
        size_t kept = 0;
        for (size_t k = 0; k < connector->old_count; k++) {
            if (connector->old[k].owner == member) {
                stop_for_good(state, connector, &connector->old[k]);
                gt_task_clear(&connector->old[k]);
            } else {
                connector->old[kept++] = connector->old[k];
            }
        }
        connector->old_count = kept;
        if (!connector->present && kept == 0)
            remove_connector(state, connector);
    }
    state->member_count--;
    for (size_t i = member->index; i < state->member_count; i++) {
        state->members[i] = state->members[i + 1];
        state->members[i]->index = i;
    }
    gt_member_free(member);
    state->gone_offset = state->offset;
    state->changes++;
    state->dirty = true;
}

/* --- Entries --- */

/* Owned tasks become old ones, which stop; the others are forgotten with the configuration. */
static int retire(struct gt_cluster_state *state, struct gt_cluster_connector *connector)
{
    if (!connector->present)
        return 0;
    struct gt_cluster_task *old =
        realloc(connector->old, (connector->old_count + connector->task_count + 1) * sizeof *old);
    if (old == NULL)
        return GANTRY_NO_MEMORY;
    connector->old = old;
    for (size_t i = 0; i < connector->task_count; i++) {
        struct gt_cluster_task *task = &connector->tasks[i];
        if (task->owner == NULL)
            continue;
        stop_own(state, connector, task);
        task->moving = true;
        task->next = NULL;
        old[connector->old_count++] = *task;
        task->status = NULL; /* went along */
    }
    clear_config(connector);
    return 0;
}

int gt_cluster_apply_config(struct gt_cluster_state *state, const struct gt_entry *entry)
{
    struct gt_cluster_connector fresh = {.name = NULL};
    struct gt_cluster_connector *connector = gt_connector_need(state, entry->connector);
    if (connector == NULL || gt_connector_configure(&fresh, entry) != 0)
        return GANTRY_NO_MEMORY; /* this state is given up, so the empty connector does no harm */
    /* Where a task was it had better stay: what it needs may be at hand there. */
    for (size_t i = 0; i < fresh.task_count && i < connector->task_count; i++) {
        const struct gt_cluster_task *before = &connector->tasks[i];
        fresh.tasks[i].next = before->next != NULL ? before->next : before->owner;
    }
    int rc = retire(state, connector);
    if (rc != 0) {
        clear_config(&fresh);
        return rc;
    }
    fresh.name = connector->name;
    fresh.old = connector->old;
    fresh.old_count = connector->old_count;
    *connector = fresh;
    state->changes++;
    gt_connector_tell(state, connector);
    return gt_cluster_rebalance(state, 1);
}

static int delete_one(struct gt_cluster_state *state, struct gt_cluster_connector *connector)
{
    if (!connector->present)
        return 0;
    int rc = retire(state, connector);
    if (rc != 0)
        return rc;
    state->io.config(state->io.arg, connector->name, 0, (struct gantry_view){NULL, 0}, NULL, 0);
    if (connector->old_count == 0)
        remove_connector(state, connector);
    return 0;
}

int gt_cluster_apply_delete(struct gt_cluster_state *state, struct gantry_view name)
{
    int rc = 0;
    if (name.len == 0) {
        for (size_t i = state->connector_count; i-- > 0 && rc == 0;)
            rc = delete_one(state, state->connectors[i]);
    } else {
        struct gt_cluster_connector *connector = gt_connector_find(state, name);
        if (connector != NULL)
            rc = delete_one(state, connector);
    }
    state->changes++;
    /* A connector that is stopped is mostly started again at once. Moving another one's task
     * meanwhile would help nobody, so a difference of two is left alone. */
    return rc != 0 ? rc : gt_cluster_rebalance(state, 2);
}

int gt_cluster_apply_release(struct gt_cluster_state *state, const struct gt_member *sender,
                             const struct gt_entry *entry)
{
    struct gt_cluster_connector *connector = gt_connector_find(state, entry->connector);
    struct gt_cluster_task *task =
        connector != NULL ? gt_task_find(connector, entry->task, entry->epoch) : NULL;
    if (task == NULL || task->owner != sender)
        return 0;
    state->changes++;
    state->dirty = true;
    stop_for_good(state, connector, task);
    bool present = entry->task < connector->task_count && task == &connector->tasks[entry->task];
    if (!present) {
        gt_task_clear(task);
        *task = connector->old[--connector->old_count];
        if (connector->old_count > 0)
            return 0;
        for (size_t i = 0; i < connector->task_count; i++)
            give(state, connector, &connector->tasks[i]);
        if (!connector->present)
            remove_connector(state, connector);
        return 0;
    }
    if (task->next == NULL)
        task->next = task->owner; /* nobody else is to have it: the same one anew */
    task->owner = NULL;
    give(state, connector, task);
    return 0;
}
