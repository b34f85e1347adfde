/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way through the REST room, but for the sockets: head, access rules, both dialects,
 * their JSON parsers and the reply. The input is a request as a client sends it. What must hold
 * whatever comes: a reply has a status that the server knows, its head fits and has no stray line;
 * a request that goes on to the worker has a legal name or asks about an unknown one, and a create
 * has neither of the worker's own keys. */
#include "rest/access.h"
#include "rest/dialect.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_reply(const struct gt_reply *reply)
{
    char head[GT_REPLY_HEAD_MAX];
    size_t len = gt_reply_format_head(reply, "close", 0, head);

    demand(reply->body.error == 0);
    demand(strcmp(gt_reply_reason(reply->status), "Error") != 0);
    demand(len > 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0);
    demand(memmem(head, len - 4, "\r\n\r\n", 4) == NULL);
}

/* The worker's answer to what it was asked: the configuration that came in. */
static void answer(struct gt_request *request)
{
    struct gt_connector_view *view = calloc(1, sizeof *view);

    demand(view != NULL);
    request->connectors = view;
    request->connector_count = 1;
    view->name = strdup(request->name != NULL ? request->name : "all");
    gt_props_init(&view->config);
    demand(gt_props_copy(&view->config, &request->config) == 0);
    view->tasks = calloc(1, sizeof *view->tasks);
    demand(view->name != NULL && view->tasks != NULL);
    view->task_count = 1;
    gt_props_init(&view->tasks[0].config);
    demand(gt_props_copy(&view->tasks[0].config, &request->config) == 0);
}

static void run_dialect(const struct gt_dialect *dialect, const struct gt_http_head *head)
{
    struct gt_request request;
    struct gt_reply reply;

    gt_reply_init(&reply);
    reply.head_only = gantry_view_equal(head->method, gantry_view_of("HEAD"));
    if (dialect->begin(head, &request, &reply)) {
        if (request.kind == GT_REQUEST_CREATE) {
            demand(gt_connector_name_check(request.name, NULL) == 0);
            demand(gt_props_get(&request.config, "update-timestamp") == NULL);
            demand(gt_props_get(&request.config, "config-deleted") == NULL);
            request.kind = GT_REQUEST_CONFIGS; /* read it back */
        }
        answer(&request);
        dialect->finish(&request, &reply);
        gt_request_deinit(&request);
    }
    check_reply(&reply);
    gt_reply_deinit(&reply);
}

static void run_refusal(const struct gt_dialect *dialect, int status, const char *why)
{
    struct gt_reply reply;

    gt_reply_init(&reply);
    dialect->refuse(status, why, &reply);
    check_reply(&reply);
    gt_reply_deinit(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gt_dialect *const dialects[] = {&gt_dialect_manual, &gt_dialect_2019};
    static const struct gt_access access = {.hostname = "host"};
    struct gt_http_head head;
    const char *why = NULL;

    gt_log_set_level(GANTRY_LOG_ERROR);
    char *copy = malloc(size > 0 ? size : 1); /* its own size, so that a step beyond is seen */
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    int status = gt_http_head_parse((struct gantry_view){copy, size}, &head, &why);
    demand((status == 0) == (why == NULL));
    int denied = status == 0 ? gt_access_check(&access, &head, &why) : 0;
    demand(denied == 0 || denied == 401 || denied == 403);
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        if (status == 0)
            run_dialect(dialects[i], &head);
        else
            run_refusal(dialects[i], status, why);
    }
    free(copy);
    return 0;
}
