/* SPDX-License-Identifier: Apache-2.0 */
/** From a request's target to a route, its connector name and its parameters. Thread: any. */
#ifndef GT_REST_ROUTER_H
#define GT_REST_ROUTER_H

#include "base/buf.h"
#include "worker/service.h"

/** A row of a dialect's table. */
struct gt_rest_route {
    const char
        *pattern; /* "/connectors/:name/stop"; :name stands for one segment that is not empty */
    const char *shown; /* how the list of a 404 shows it */
    enum gt_request_kind kind;
};

/** The first row that fits @p path, or NULL; @p ret_name is then the raw name (data NULL: the route
 * has none).
 *  @p slash: one slash more at the end is taken, too. */
const struct gt_rest_route *gt_route_find(const struct gt_rest_route *routes, size_t count,
                                          struct gantry_view path, bool slash,
                                          struct gantry_view *ret_name);

/** How often the parameter @p name is in @p query; the raw value of the first one in @p ret_value.
 */
size_t gt_query_find(struct gantry_view query, const char *name, struct gantry_view *ret_value);

enum gt_percent {
    GT_PERCENT_PATH,         /* '+' is a plus; a bad escape is GANTRY_INVALID */
    GT_PERCENT_QUERY,        /* '+' is a blank; a bad escape is GANTRY_INVALID */
    GT_PERCENT_QUERY_LENIENT /* '+' is a blank; a bad escape becomes U+FFFD */
};

/** Append the decoded bytes of @p text; any byte may come out, NUL too.
 *  0, GANTRY_INVALID with the place of a bad escape, GANTRY_NO_MEMORY, GANTRY_TOO_LARGE. */
int gt_percent_decode(struct gantry_view text, enum gt_percent how, struct gt_buf *ret,
                      struct gantry_err *err);

/** Decode a raw connector name and set request->name. 0; GANTRY_INVALID for a bad escape;
 * GANTRY_NOT_FOUND when it holds a NUL, which no name has; GANTRY_NO_MEMORY. */
int gt_route_name(struct gantry_view raw, struct gt_request *request, struct gantry_err *err);

#endif
