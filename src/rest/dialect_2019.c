/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect `code-2019`: the same routes as the Java worker of that time answered them, for
 * programs that were written against it. Texts, statuses, header fields and the order of keys are
 * those of the captures in tests/e2e/golden; its faults are not kept (a `config-deleted` from a
 * caller stores no tombstone, a refused configuration is not stored). */
#include "rest/config_text.h"
#include "rest/dialect.h"
#include "rest/lenient_json.h"
#include "rest/router.h"

#include "base/java_order.h"
#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192 };

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

static void set_text(struct gt_reply *reply, int status, const char *text)
{
    gt_reply_text(reply, status, text);
    reply->server = "Javalin";
}

/* The HTTP layer below the Java worker's routes answered for itself. */
static void refuse(int status, const char *why, struct gt_reply *reply)
{
    (void)why; /* its pages never said */
    reply->status = status;
    reply->reason = gt_reply_reason(status);
    reply->content_type = "text/html;charset=iso-8859-1";
    reply->server = "Jetty(9.4.8.v20171121)";
    reply->bare = true;
    gt_buf_clear(&reply->body);
    (void)gt_buf_addf(&reply->body, "<h1>Bad Message %d</h1><pre>reason: %s</pre>", status,
                      reply->reason); /* the sender looks at the buffer's error */
}

/* A HEAD ran the route and said nothing of its length. */
static void drop_body_of_head(struct gt_reply *reply)
{
    if (reply->head_only)
        gt_buf_clear(&reply->body);
}

static bool answer(struct gt_request *request, struct gt_reply *reply, int status, const char *text)
{
    set_text(reply, status, text);
    drop_body_of_head(reply);
    gt_request_deinit(request);
    return false;
}

/* The worker that a Java program knows deletes with this mark; ours stores nothing. */
static bool marked_deleted(const struct gt_props *config)
{
    const char *value = gt_props_get(config, "config-deleted");
    int64_t number;

    return value != NULL &&
           gt_parse_int(gantry_view_of(value), INT32_MIN, INT32_MAX, &number) == 0 && number != 0;
}

static bool begin_create(const struct gt_http_head *head, struct gt_request *request,
                         struct gt_reply *reply)
{
    struct gantry_view raw;
    struct gantry_err err = {0};
    struct gt_buf text;

    request->check = GT_CHECK_CLASS_2019;
    if (gt_query_find(head->query, "config", &raw) == 0)
        return answer(request, reply, 200, "failed! query param 'config' is required ");
    gt_buf_init(&text, (size_t)LINE_MAX_BYTES * 3);
    int rc = gt_percent_decode(raw, GT_PERCENT_QUERY_LENIENT, &text, &err);
    if (rc == 0)
        rc = gt_lenient_json_parse(&request->config, gt_buf_view(&text), &err);
    gt_buf_deinit(&text);
    if (rc == 0 && gt_connector_name_check(request->name, &err) != 0) {
        gt_warn("rest", "create refused: %s", err.text);
        return answer(request, reply, 200, "failed");
    }
    if (rc != 0) {
        gt_warn("rest", "create refused connector=%s: %s", request->name, err.text);
        return answer(request, reply, 500, "Internal server error");
    }
    if (gt_props_get(&request->config, "source-record-converter") == NULL)
        return answer(request, reply, 200, "Request config key: source-record-converter");
    if (gt_props_get(&request->config, "connector-class") == NULL &&
        gt_props_get(&request->config, "connector.class") == NULL)
        return answer(request, reply, 200, "Request config key: connector-class");
    if (marked_deleted(&request->config))
        return answer(request, reply, 200, "success");
    (void)gt_props_remove(&request->config, "config-deleted");
    (void)gt_props_remove(&request->config, "update-timestamp");
    return true;
}

static void finish(const struct gt_request *request, struct gt_reply *reply);

static bool begin(const struct gt_http_head *head, struct gt_request *request,
                  struct gt_reply *reply)
{
    struct gantry_view name;
    struct gantry_err err = {0};
    const struct gt_rest_route *route = NULL;

    if (gantry_view_equal(head->method, gantry_view_of("GET")) ||
        gantry_view_equal(head->method, gantry_view_of("HEAD")))
        route = gt_route_find(routes, sizeof routes / sizeof *routes, head->path, true, &name);
    if (route == NULL) {
        set_text(reply, 404, "Not found");
        return false;
    }
    gt_request_init(request, route->kind);
    if (name.data != NULL) {
        int rc = gt_route_name(name, request, &err);
        if (rc == GANTRY_NOT_FOUND && route->kind != GT_REQUEST_CREATE) {
            finish(request, reply); /* no connector can have that name: as for an unknown one */
            gt_request_deinit(request);
            return false;
        }
        if (rc == GANTRY_NOT_FOUND)
            return answer(request, reply, 200, "failed");
        if (rc != 0) {
            gt_request_deinit(request);
            refuse(rc == GANTRY_INVALID ? 400 : 503, err.text, reply);
            return false;
        }
    }
    return route->kind != GT_REQUEST_CREATE || begin_create(head, request, reply);
}

/* {"properties":{...}} in the order of a ConcurrentHashMap. */
static void add_properties(struct gt_buf *body, const struct gt_props *config)
{
    const char **keys = calloc(config->count + 1, sizeof *keys);
    size_t *order = calloc(config->count + 1, sizeof *order);

    for (size_t i = 0; keys != NULL && i < config->count; i++)
        keys[i] = config->items[i].key;
    if (keys == NULL || order == NULL ||
        gt_java_order(GT_JAVA_CONCURRENT_MAP, keys, config->count, order) != 0) {
        body->error = GANTRY_NO_MEMORY;
    } else {
        (void)gt_buf_add_str(body, "{\"properties\":{");
        for (size_t i = 0; i < config->count; i++) {
            const struct gt_prop *item = &config->items[order[i]];
            if (i > 0)
                (void)gt_buf_add_char(body, ',');
            (void)gt_json_add_string(body, gantry_view_of(item->key));
            (void)gt_buf_add_char(body, ':');
            (void)gt_json_add_string(body, gantry_view_of(item->value));
        }
        (void)gt_buf_add_str(body, "}}");
    }
    free(keys);
    free(order);
}

static void finish_configs(const struct gt_request *request, struct gt_buf *body)
{
    size_t count = request->connector_count;
    const char **names = calloc(count + 1, sizeof *names);
    size_t *order = calloc(count + 1, sizeof *order);

    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = request->connectors[i].name;
    if (names == NULL || order == NULL ||
        gt_java_order(GT_JAVA_HASH_MAP, names, count, order) != 0) {
        body->error = GANTRY_NO_MEMORY;
    } else {
        gt_add_configs(body, request, order, add_properties);
    }
    free(names);
    free(order);
}

/* Two lines an entry, as a program of that time printed them for people. */
static void add_entry(struct gt_buf *body, const char *name, const struct gt_props *config)
{
    (void)gt_buf_addf(body, "connectorName:%s\nConfigs:", name);
    add_properties(body, config);
    (void)gt_buf_add_char(body, '\n');
}

static void finish_allocated(const struct gt_request *request, struct gt_buf *body)
{
    (void)gt_buf_add_str(body, "working connectors:\n");
    for (size_t i = 0; i < request->connector_count; i++)
        add_entry(body, request->connectors[i].name, &request->connectors[i].config);
    (void)gt_buf_add_str(body, "working tasks:\n");
    for (size_t i = 0; i < request->connector_count; i++) {
        const struct gt_connector_view *connector = &request->connectors[i];
        for (size_t k = 0; k < connector->task_count; k++)
            add_entry(body, connector->name, &connector->tasks[k].config);
    }
}

static void finish_create(const struct gt_request *request, struct gt_reply *reply)
{
    const char *why = request->err.text;

    switch (request->outcome) {
    case GT_CREATE_OK:
        set_text(reply, 200, "success");
        return;
    case GT_CREATE_SAME:
        set_text(reply, 200, "Connector with same config already exist.");
        return;
    case GT_CREATE_MISSING_KEY:
        set_text(reply, 200, "Request config key: ");
        (void)gt_buf_add_str(&reply->body,
                             request->missing_key != NULL ? request->missing_key : "");
        break;
    case GT_CREATE_INVALID: /* what the connector itself said */
        set_text(reply, 200, why[0] != '\0' ? why : "failed");
        break;
    case GT_CREATE_UNKNOWN_CLASS:
    case GT_CREATE_FAILED:
        set_text(reply, 200, "failed");
        break;
    }
}

static void finish_error(const struct gt_request *request, struct gt_reply *reply)
{
    bool changes = request->kind == GT_REQUEST_STOP || request->kind == GT_REQUEST_STOP_ALL ||
                   request->kind == GT_REQUEST_RELOAD;

    set_text(reply, changes ? 200 : 500, changes ? "failed" : "Internal server error");
}

static void finish_route(const struct gt_request *request, struct gt_reply *reply)
{
    switch (request->kind) {
    case GT_REQUEST_CREATE:
        finish_create(request, reply);
        break;
    case GT_REQUEST_STOP:
    case GT_REQUEST_STOP_ALL:
    case GT_REQUEST_RELOAD:
        (void)gt_buf_add_str(&reply->body, "success");
        break;
    case GT_REQUEST_STATUS:
        (void)gt_buf_add_str(&reply->body, request->running ? "running" : "not running");
        break;
    case GT_REQUEST_CONFIG:
        gt_add_config(&reply->body, request, add_properties);
        break;
    case GT_REQUEST_CONFIGS:
        finish_configs(request, &reply->body);
        break;
    case GT_REQUEST_CLUSTER:
        gt_add_members(&reply->body, request);
        break;
    case GT_REQUEST_ALLOCATED:
        finish_allocated(request, &reply->body);
        break;
    }
}

static void finish(const struct gt_request *request, struct gt_reply *reply)
{
    reply->server = "Javalin";
    if (request->kind != GT_REQUEST_CREATE && request->err.code != 0)
        finish_error(request, reply);
    else
        finish_route(request, reply);
    drop_body_of_head(reply);
}

const struct gt_dialect gt_dialect_2019 = {
    .name = "code-2019",
    .line_max = LINE_MAX_BYTES,
    .begin = begin,
    .finish = finish,
    .refuse = refuse,
};
