/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect `manual`: the REST manual of 2019 as it is written, its spelling of `runing` and its
 * `fail` included. A `fail` says why in the field X-Gantry-Error and in the log. JSON is parsed
 * strictly; keys come in the user's order. */
#include "rest/config_text.h"
#include "rest/dialect.h"
#include "rest/router.h"

#include "base/json.h"
#include "base/log.h"

#include <string.h>

enum {
    URL_MAX = 1 << 20,
    LINE_MAX_BYTES = URL_MAX + 64, /* and the method, the version */
};

static const struct gt_rest_route routes[] = {
    {"/connectors/stopAll", "/connectors/stopAll", GT_REQUEST_STOP_ALL},
    {"/connectors/:name", "/connectors/NAME?config=JSON", GT_REQUEST_CREATE},
    {"/connectors/:name/stop", "/connectors/NAME/stop", GT_REQUEST_STOP},
    {"/connectors/:name/status", "/connectors/NAME/status", GT_REQUEST_STATUS},
    {"/connectors/:name/config", "/connectors/NAME/config", GT_REQUEST_CONFIG},
    {"/getConfigInfo", "/getConfigInfo", GT_REQUEST_CONFIGS},
    {"/getClusterInfo", "/getClusterInfo", GT_REQUEST_CLUSTER},
    {"/getAllocatedInfo", "/getAllocatedInfo", GT_REQUEST_ALLOCATED},
    {"/plugin/reload", "/plugin/reload", GT_REQUEST_RELOAD},
};

static void reply_not_found(struct gt_reply *reply)
{
    gt_reply_text(reply, 404, "Not found. The routes, all of them GET:");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        (void)gt_buf_add_char(&reply->body, '\n'); /* the sender looks at the buffer's error */
        (void)gt_buf_add_str(&reply->body, routes[i].shown);
    }
}

/* Whoever refused has logged it. */
static void reply_fail(struct gt_reply *reply, const char *why)
{
    gt_reply_text(reply, 200, "fail");
    gt_reply_set_error(reply, why);
}

/* The config parameter into request->config. */
static int read_config(struct gantry_view query, struct gt_request *request, struct gantry_err *err)
{
    struct gantry_view raw = {NULL, 0};
    struct gt_buf text;

    size_t found = gt_query_find(query, "config", &raw);
    if (found == 0)
        return gantry_err_set(
            err, GANTRY_INVALID,
            "parameter 'config' is missing: add ?config=JSON to the URL, the JSON "
            "percent-encoded");
    if (found > 1)
        return gantry_err_set(
            err, GANTRY_INVALID,
            "parameter 'config' is given %zu times: give it once; an & inside the "
            "JSON must be written %%26",
            found);
    gt_buf_init(&text, URL_MAX);
    int rc = gt_percent_decode(raw, GT_PERCENT_QUERY, &text, err);
    if (rc == 0)
        rc = gt_json_parse_props(&request->config, gt_buf_view(&text), err);
    gt_buf_deinit(&text);
    if (rc != 0) {
        struct gantry_err cause = *err;
        return gantry_err_set(err, rc, "parameter 'config': %s", cause.text);
    }
    if (gt_props_get(&request->config, "config-deleted") != NULL)
        return gantry_err_set(err, GANTRY_INVALID,
                              "key 'config-deleted' is the worker's own: leave it out; to delete a "
                              "connector use /connectors/NAME/stop");
    /* a configuration that was read back can be sent again */
    (void)gt_props_remove(&request->config, "update-timestamp");
    return 0;
}

static bool begin_create(const struct gt_http_head *head, struct gantry_view raw_name,
                         struct gt_request *request, struct gt_reply *reply)
{
    struct gantry_err err = {0};

    gt_request_init(request, GT_REQUEST_CREATE);
    request->check = GT_CHECK_FULL;
    int rc = raw_name.len > 0
                 ? gt_route_name(raw_name, request, &err)
                 : gantry_err_set(&err, GANTRY_INVALID,
                                  "connector name: empty; give it at least one character");
    if (rc == 0)
        rc = gt_connector_name_check(request->name, &err);
    if (rc == 0)
        rc = read_config(head->query, request, &err);
    if (rc == 0)
        return true;
    gt_warn("rest", "create refused connector=%s: %s", request->name != NULL ? request->name : "",
            err.text);
    reply_fail(reply, err.text);
    gt_request_deinit(request);
    return false;
}

static void finish(const struct gt_request *request, struct gt_reply *reply);

/* Routes about one connector. */
static bool begin_named(enum gt_request_kind kind, struct gantry_view raw_name,
                        struct gt_request *request, struct gt_reply *reply)
{
    struct gantry_err err = {0};

    gt_request_init(request, kind);
    int rc = gt_route_name(raw_name, request, &err);
    if (rc == 0)
        return true;
    if (rc == GANTRY_NOT_FOUND)
        finish(request, reply); /* no connector can have that name: as for an unknown one */
    else
        gt_reply_text(reply, rc == GANTRY_INVALID ? 400 : 503, err.text);
    gt_request_deinit(request);
    return false;
}

/* No route takes these, but the URL shows that somebody meant to create a connector of that name.
 */
static bool is_create_of_illegal_name(const struct gt_http_head *head, struct gantry_view *ret_name)
{
    struct gantry_view ignored;
    static const char prefix[] = "/connectors/";
    size_t skip = sizeof prefix - 1;

    if (gt_query_find(head->query, "config", &ignored) == 0 || head->path.len < skip ||
        memcmp(head->path.data, prefix, skip) != 0)
        return false;
    ret_name->data = head->path.data + skip;
    ret_name->len = head->path.len - skip;
    return ret_name->len == 0 || gantry_view_equal(*ret_name, gantry_view_of("stopAll"));
}

static bool begin(const struct gt_http_head *head, struct gt_request *request,
                  struct gt_reply *reply)
{
    struct gantry_view name;
    bool get = gantry_view_equal(head->method, gantry_view_of("GET"));

    if (head->path.len + (head->query.data != NULL ? 1 : 0) + head->query.len > URL_MAX) {
        gt_reply_text(reply, 414, "The URL is too long: at most 1048576 bytes are taken.");
        return false;
    }
    if (get && is_create_of_illegal_name(head, &name))
        return begin_create(head, name, request, reply);
    const struct gt_rest_route *route =
        gt_route_find(routes, sizeof routes / sizeof *routes, head->path, false, &name);
    if (route == NULL) {
        reply_not_found(reply);
        return false;
    }
    if (!get) {
        gt_reply_text(reply, 405, "Method not allowed: this route takes GET only.");
        reply->fields = "Allow: GET\r\n";
        return false;
    }
    if (route->kind == GT_REQUEST_CREATE)
        return begin_create(head, name, request, reply);
    if (name.data != NULL)
        return begin_named(route->kind, name, request, reply);
    gt_request_init(request, route->kind);
    return true;
}

static void add_properties(struct gt_buf *body, const struct gt_props *config)
{
    (void)gt_buf_add_str(body, "{\"properties\":");
    (void)gt_json_add_props(body, config);
    (void)gt_buf_add_char(body, '}');
}

static void finish_create(const struct gt_request *request, struct gt_reply *reply)
{
    switch (request->outcome) {
    case GT_CREATE_OK:
        gt_reply_text(reply, 200, "success");
        return;
    case GT_CREATE_SAME:
        gt_reply_text(reply, 200, "Connector with same config already exist.");
        return;
    case GT_CREATE_MISSING_KEY:
    case GT_CREATE_UNKNOWN_CLASS:
    case GT_CREATE_INVALID:
    case GT_CREATE_FAILED:
        break;
    }
    reply_fail(reply,
               request->err.text[0] != '\0' ? request->err.text : "the worker gave no reason");
}

static void finish_allocated(const struct gt_request *request, struct gt_reply *reply)
{
    struct gt_buf *body = &reply->body;
    bool first = true;

    (void)gt_buf_add_str(body, "working connectors:");
    gt_add_connectors(body, request, NULL, add_properties);
    (void)gt_buf_add_str(body, "\nworking tasks:[");
    for (size_t i = 0; i < request->connector_count; i++) {
        const struct gt_connector_view *connector = &request->connectors[i];
        for (size_t k = 0; k < connector->task_count; k++) {
            (void)gt_buf_add_str(body, first ? "{\"connector\":" : ",{\"connector\":");
            first = false;
            (void)gt_json_add_string(body, gantry_view_of(connector->name));
            (void)gt_buf_add_str(body, ",\"properties\":");
            (void)gt_json_add_props(body, &connector->tasks[k].config);
            (void)gt_buf_add_char(body, '}');
        }
    }
    (void)gt_buf_add_char(body, ']');
}

static void finish(const struct gt_request *request, struct gt_reply *reply)
{
    if (request->kind == GT_REQUEST_CREATE) {
        finish_create(request, reply);
        return;
    }
    if (request->err.code != 0) {
        reply_fail(reply, request->err.text);
        return;
    }
    switch (request->kind) {
    case GT_REQUEST_CREATE: /* above */
    case GT_REQUEST_STOP:
    case GT_REQUEST_STOP_ALL:
    case GT_REQUEST_RELOAD:
        gt_reply_text(reply, 200, "success");
        break;
    case GT_REQUEST_STATUS:
        gt_reply_text(reply, 200, request->running ? "runing" : "not runing");
        if (request->reason != NULL)
            gt_reply_set_error(reply, request->reason);
        break;
    case GT_REQUEST_CONFIG:
        gt_add_config(&reply->body, request, add_properties);
        break;
    case GT_REQUEST_CONFIGS:
        gt_add_configs(&reply->body, request, NULL, add_properties);
        break;
    case GT_REQUEST_CLUSTER:
        gt_add_members(&reply->body, request);
        break;
    case GT_REQUEST_ALLOCATED:
        finish_allocated(request, reply);
        break;
    }
}

static void refuse(int status, const char *why, struct gt_reply *reply)
{
    gt_reply_text(reply, status,
                  status == 414   ? "The URL is too long: at most 1048576 bytes are taken."
                  : status == 431 ? "The header is too large: at most 16384 bytes are taken."
                                  : why);
}

const struct gt_dialect gt_dialect_manual = {
    .name = "manual",
    .line_max = LINE_MAX_BYTES,
    .begin = begin,
    .finish = finish,
    .refuse = refuse,
};
