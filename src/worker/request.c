/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a gt_request's memory: what the caller asked with and what the worker answered with
 * is freed in one place, whichever of the two put it there. */
#include "worker/service.h"

#include <stdlib.h>
#include <string.h>

void gt_request_init(struct gt_request *request, enum gt_request_kind kind)
{
    memset(request, 0, sizeof *request);
    request->kind = kind;
    gt_props_init(&request->config);
}

static void connector_view_deinit(struct gt_connector_view *view)
{
    for (size_t i = 0; i < view->task_count; i++) {
        gt_props_deinit(&view->tasks[i].config);
        free(view->tasks[i].reason);
    }
    free(view->tasks);
    gt_props_deinit(&view->config);
    free(view->name);
}

void gt_request_deinit(struct gt_request *request)
{
    for (size_t i = 0; i < request->connector_count; i++)
        connector_view_deinit(&request->connectors[i]);
    free(request->connectors);
    for (size_t i = 0; i < request->member_count; i++)
        free(request->members[i]);
    free(request->members);
    gt_props_deinit(&request->config);
    free(request->reason);
    free(request->missing_key);
    free(request->name);
    memset(request, 0, sizeof *request);
}
