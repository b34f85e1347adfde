/* SPDX-License-Identifier: Apache-2.0 */
/* The texts that the dialects of 2019 have in common. Errors stick in the body. */
#include "rest/config_text.h"

#include "base/json.h"

static void add_tasks(struct gt_buf *body, const struct gt_connector_view *connector,
                      gt_add_properties add)
{
    (void)gt_buf_add_char(body, '[');
    for (size_t i = 0; i < connector->task_count; i++) {
        if (i > 0)
            (void)gt_buf_add_char(body, ',');
        add(body, &connector->tasks[i].config);
    }
    (void)gt_buf_add_char(body, ']');
}

static void add_by_name(struct gt_buf *body, const struct gt_request *request, const size_t *order,
                        gt_add_properties add, bool tasks)
{
    (void)gt_buf_add_char(body, '{');
    for (size_t i = 0; i < request->connector_count; i++) {
        const struct gt_connector_view *connector =
            &request->connectors[order != NULL ? order[i] : i];
        if (i > 0)
            (void)gt_buf_add_char(body, ',');
        (void)gt_json_add_string(body, gantry_view_of(connector->name));
        (void)gt_buf_add_char(body, ':');
        if (tasks)
            add_tasks(body, connector, add);
        else
            add(body, &connector->config);
    }
    (void)gt_buf_add_char(body, '}');
}

void gt_add_connectors(struct gt_buf *body, const struct gt_request *request, const size_t *order,
                       gt_add_properties add)
{
    add_by_name(body, request, order, add, false);
}

void gt_add_configs(struct gt_buf *body, const struct gt_request *request, const size_t *order,
                    gt_add_properties add)
{
    (void)gt_buf_add_str(body, "ConnectorConfigs:");
    add_by_name(body, request, order, add, false);
    (void)gt_buf_add_str(body, "\nTaskConfigs:");
    add_by_name(body, request, order, add, true);
}

void gt_add_config(struct gt_buf *body, const struct gt_request *request, gt_add_properties add)
{
    if (request->connector_count == 0) {
        (void)gt_buf_add_str(body, "ConnectorConfigs:null\nTaskConfigs:null");
        return;
    }
    (void)gt_buf_add_str(body, "ConnectorConfigs:");
    add(body, &request->connectors[0].config);
    (void)gt_buf_add_str(body, "\nTaskConfigs:");
    add_tasks(body, &request->connectors[0], add);
}

void gt_add_members(struct gt_buf *body, const struct gt_request *request)
{
    (void)gt_buf_add_char(body, '[');
    for (size_t i = 0; i < request->member_count; i++) {
        if (i > 0)
            (void)gt_buf_add_char(body, ',');
        (void)gt_json_add_string(body, gantry_view_of(request->members[i]));
    }
    (void)gt_buf_add_char(body, ']');
}
