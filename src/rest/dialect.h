/* SPDX-License-Identifier: Apache-2.0 */
/** A dialect: how requests are understood and answered on one listener. The functions are pure: no
 * I/O but the log. Thread: the listener's. */
#ifndef GT_REST_DIALECT_H
#define GT_REST_DIALECT_H

#include "rest/http_head.h"
#include "rest/reply.h"
#include "rest/rest.h"

struct gt_dialect {
    const char *name;
    size_t line_max; /* bytes of the longest request line that is taken */
    /** True: @p request is filled (by gt_request_init and more) and is to be submitted. False: @p
     * reply is filled and
     *  @p request needs no deinit. */
    bool (*begin)(const struct gt_http_head *head, struct gt_request *request,
                  struct gt_reply *reply);
    /** Turn the worker's answer into a reply. */
    void (*finish)(const struct gt_request *request, struct gt_reply *reply);
    /** A request that is no HTTP, or too long: @p status with @p why. The connection is closed
     * after it. */
    void (*refuse)(int status, const char *why, struct gt_reply *reply);
};

extern const struct gt_dialect gt_dialect_manual;
extern const struct gt_dialect gt_dialect_2019;

const struct gt_dialect *gt_dialect_of(enum gt_rest_dialect dialect);

#endif
