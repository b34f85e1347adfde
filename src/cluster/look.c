/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the state, for those who show it. */
#include "cluster/internal.h"

bool gt_cluster_is_member(const struct gt_cluster_state *state)
{
    return state->self != NULL;
}

enum gt_cluster_strategy gt_cluster_strategy_used(const struct gt_cluster_state *state)
{
    const struct gt_member *first = gt_cluster_first_member(state);
    return first != NULL ? first->strategy : state->settings.strategy;
}

int64_t gt_cluster_offset(const struct gt_cluster_state *state)
{
    return state->offset;
}

static int show(const struct gt_cluster_state *state, const struct gt_cluster_connector *connector,
                int (*fn)(void *arg, const struct gt_cluster_task_view *view), void *arg)
{
    for (size_t i = 0; i < connector->task_count; i++) {
        const struct gt_cluster_task *task = &connector->tasks[i];
        struct gt_cluster_task_view view = {
            .connector = connector->name,
            .task = task->number,
            .owner = task->owner != NULL ? task->owner->name : NULL,
            .own = task->owner != NULL && task->owner == state->self,
            .moving = task->moving,
            .epoch = task->epoch,
            .status = task->status != NULL ? task->status : "",
            .reason = task->status != NULL ? task->status + strlen(task->status) + 1 : "",
        };
        int rc = fn(arg, &view);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int gt_cluster_tasks(const struct gt_cluster_state *state, const char *connector,
                     int (*fn)(void *arg, const struct gt_cluster_task_view *view), void *arg)
{
    if (connector != NULL) {
        const struct gt_cluster_connector *one =
            gt_connector_find(state, gantry_view_of(connector));
        return one != NULL ? show(state, one, fn, arg) : 0;
    }
    for (size_t i = 0; i < state->connector_count; i++) {
        int rc = show(state, state->connectors[i], fn, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

bool gt_cluster_stopping(const struct gt_cluster_state *state, const char *connector)
{
    const struct gt_cluster_connector *one = gt_connector_find(state, gantry_view_of(connector));
    return one != NULL && one->old_count > 0;
}

int gt_cluster_members(const struct gt_cluster_state *state, int (*fn)(void *arg, const char *name),
                       void *arg)
{
    for (size_t i = 0; i < state->member_count; i++) {
        int rc = fn(arg, state->members[i]->name);
        if (rc != 0)
            return rc;
    }
    return 0;
}
