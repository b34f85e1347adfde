/* SPDX-License-Identifier: Apache-2.0 */
/** The texts that the dialects of 2019 have in common: ConnectorConfigs, TaskConfigs, members. What
 * differs is how one configuration is written and in which order. Thread: any. */
#ifndef GT_REST_CONFIG_TEXT_H
#define GT_REST_CONFIG_TEXT_H

#include "base/buf.h"
#include "worker/service.h"

/** Appends {"properties":{...}}. */
typedef void (*gt_add_properties)(struct gt_buf *body, const struct gt_props *config);

/** `ConnectorConfigs:...` newline `TaskConfigs:...` of the one connector of the request, or null.
 */
void gt_add_config(struct gt_buf *body, const struct gt_request *request, gt_add_properties add);
/** The same of all, as objects by name; @p order: indexes into the connectors, NULL: as they are.
 */
void gt_add_configs(struct gt_buf *body, const struct gt_request *request, const size_t *order,
                    gt_add_properties add);
/** {"name":{"properties":{...}},...} */
void gt_add_connectors(struct gt_buf *body, const struct gt_request *request, const size_t *order,
                       gt_add_properties add);
/** ["address@pid",...] */
void gt_add_members(struct gt_buf *body, const struct gt_request *request);

#endif
