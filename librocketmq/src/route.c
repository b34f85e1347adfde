/* SPDX-License-Identifier: Apache-2.0 */
/* The routes of the topics in use.
 *
 * A topic is here from the first question for it. One question at a time goes to a name server;
 * who asks meanwhile joins it, or (fresh) waits for the next one, so that what was created before
 * the question is seen. Every route_refresh_ms, and soon after a broker is lost or missed, all
 * topics are asked for again. */
#include "client.h"
#include "route_data.h"
#include <stdlib.h>

enum {
    TOPIC_MAX = 255,
    UNUSED_MS = 3600000,  /* not asked for: refreshed no longer */
    ROUND_PAUSE_MS = 1000 /* between rounds asked for by failures */
};

struct topic {
    struct rmq_entry entry; /* in client->topics */
    struct rmq_client *client;
    char *name;
    const struct rmq_route *route; /* a reference; NULL: none is known */
    uint64_t asked_ms;             /* by a user */
    size_t holds;
    bool asking;
    struct rmq_list waiters; /* of the question under way */
    struct rmq_list next;    /* of the one behind it */
    struct rmq_list watches;
};

/* Who wants a route. First it waits in the topic, then stands in client->answers and is an event.
 */
struct waiter {
    struct rmq_list item;
    struct rmq_event event;
    struct rmq_client *client;
    rmq_route_fn done;
    void *arg;
    int rc;
    const struct rmq_route *route; /* a reference */
    struct rmq_err err;
};

struct rmq_route_watch {
    struct rmq_list item;
    struct rmq_event event;
    struct topic *topic;
    void (*changed)(void *arg, const struct rmq_route *route);
    void *arg;
};

static struct topic *find_topic(const struct rmq_client *client, const char *name)
{
    struct rmq_entry *entry = rmq_table_find(&client->topics, name);
    return entry == NULL ? NULL : RMQ_CONTAINER(entry, struct topic, entry);
}

static void free_topic(struct topic *topic)
{
    rmq_route_unref(topic->route);
    free(topic->name);
    free(topic);
}

static struct topic *get_topic(struct rmq_client *client, const char *name, struct rmq_err *err)
{
    struct topic *topic = find_topic(client, name);
    if (topic != NULL)
        return topic;
    topic = calloc(1, sizeof(*topic));
    if (topic == NULL || (topic->name = strdup(name)) == NULL)
        goto fail;
    topic->client = client;
    topic->asked_ms = uv_now(client->loop);
    topic->entry.key = topic->name;
    rmq_list_init(&topic->waiters);
    rmq_list_init(&topic->next);
    rmq_list_init(&topic->watches);
    if (rmq_table_put(&client->topics, &topic->entry) == 0)
        return topic;
fail:
    if (topic != NULL)
        free_topic(topic);
    rmq_fail(err, RMQ_NO_MEMORY, "no memory for topic '%.100s'", name);
    return NULL;
}

/* Free it if nobody wants it any more. */
static void drop_unused(struct topic *topic)
{
    struct rmq_client *client = topic->client;
    bool idle = uv_now(client->loop) - topic->asked_ms >= UNUSED_MS;
    if (client->closed || topic->asking || topic->holds > 0 || !rmq_list_empty(&topic->watches) ||
        !rmq_list_empty(&topic->waiters) || !rmq_list_empty(&topic->next) ||
        (topic->route != NULL && !idle))
        return;
    rmq_table_remove(&client->topics, &topic->entry);
    free_topic(topic);
}

/* --- answers --- */

static void end_waiter(struct waiter *waiter)
{
    const struct rmq_route *route = waiter->route;
    rmq_list_remove(&waiter->item);
    rmq_list_remove(&waiter->event.item);
    waiter->done(waiter->arg, waiter->rc, waiter->rc == 0 ? route : NULL, &waiter->err);
    rmq_route_unref(route);
    free(waiter);
}

static void run_waiter(struct rmq_event *event)
{
    end_waiter(RMQ_CONTAINER(event, struct waiter, event));
}

/* Have it told from the loop. */
static void answer(struct waiter *waiter, int rc, const struct rmq_route *route,
                   const struct rmq_err *err)
{
    rmq_list_remove(&waiter->item);
    rmq_list_append(&waiter->client->answers, &waiter->item);
    waiter->rc = rc;
    waiter->route = route == NULL ? NULL : rmq_route_ref(route);
    if (err != NULL)
        waiter->err = *err;
    rmq_client_tell(waiter->client, &waiter->event);
}

static void run_watch(struct rmq_event *event)
{
    struct rmq_route_watch *watch = RMQ_CONTAINER(event, struct rmq_route_watch, event);
    const struct rmq_route *route = watch->topic->route;
    if (route != NULL)
        route = rmq_route_ref(route); /* the watch may be gone after the call */
    watch->changed(watch->arg, route);
    rmq_route_unref(route);
}

/* Take over route (NULL: the topic is gone), whose reference becomes the topic's. */
static void set_route(struct topic *topic, const struct rmq_route *route)
{
    if (rmq_route_equal(topic->route, route)) {
        rmq_route_unref(route);
        return;
    }
    rmq_client_log(topic->client, RMQ_LOG_INFO, "topic %s: %s, %zu queues to write, %zu to read",
                   topic->name,
                   route == NULL          ? "is gone"
                   : topic->route == NULL ? "found"
                                          : "its route has changed",
                   route == NULL ? 0 : route->write_count, route == NULL ? 0 : route->read_count);
    rmq_route_unref(topic->route);
    topic->route = route;
    for (struct rmq_list *at = topic->watches.next; at != &topic->watches; at = at->next) {
        struct rmq_route_watch *watch = RMQ_CONTAINER(at, struct rmq_route_watch, item);
        rmq_client_tell(topic->client, &watch->event);
    }
    rmq_heartbeat_changed(topic->client, false);
}

/* --- questions --- */

static void ask(struct topic *topic);

static void sweep(struct rmq_client *client)
{
    for (struct rmq_entry *entry = rmq_table_next(&client->brokers, NULL); entry != NULL;
         entry = rmq_table_next(&client->brokers, entry))
        RMQ_CONTAINER(entry, struct rmq_broker, entry)->in_route = false;
    for (struct rmq_entry *entry = rmq_table_next(&client->topics, NULL); entry != NULL;
         entry = rmq_table_next(&client->topics, entry)) {
        const struct rmq_route *route = RMQ_CONTAINER(entry, struct topic, entry)->route;
        for (size_t i = 0; route != NULL && i < route->broker_count; i++) {
            struct rmq_broker *broker = rmq_broker_find(client, route->brokers[i]);
            if (broker != NULL)
                broker->in_route = true;
        }
    }
    rmq_brokers_sweep(client);
}

/* What the reply says. 0 and the topic has its route | RMQ_NOT_FOUND | the failure. */
static int take_reply(struct topic *topic, const struct rmq_command *reply, struct rmq_err *err)
{
    struct rmq_client *client = topic->client;
    struct rmq_route_data data;
    const struct rmq_route *route = NULL;
    bool moved = false;
    if (reply->code == RMQ_REPLY_TOPIC_NOT_EXIST) {
        set_route(topic, NULL);
        return rmq_fail(err, RMQ_NOT_FOUND, "topic '%.100s' is not known to the name servers",
                        topic->name);
    }
    int rc = rmq_reply_check(reply, "route", err);
    if (rc != 0)
        return rc;
    rc = rmq_route_data_parse(&data, reply->body, err);
    if (rc == 0)
        rc = rmq_route_build(&data, &route, err);
    if (rc == 0) {
        rc = rmq_brokers_learn(client, &data, false, &moved);
        if (rc != 0)
            rmq_fail(err, rc, "no memory for a route");
    }
    rmq_route_data_deinit(&data);
    if (rc != 0) {
        rmq_route_unref(route);
        return rc;
    }
    if (route->broker_count == 0) { /* its brokers are all gone */
        rmq_route_unref(route);
        set_route(topic, NULL);
        return rmq_fail(err, RMQ_NOT_FOUND, "topic '%.100s' has no broker now", topic->name);
    }
    set_route(topic, route);
    if (moved)
        rmq_heartbeat_changed(client, false);
    return 0;
}

static void on_route(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct topic *topic = arg;
    struct rmq_client *client = topic->client;
    struct rmq_err problem = {.code = rc};
    topic->asking = false;
    if (client->closed)
        return; /* who waits has been told */
    if (rc == 0)
        rc = take_reply(topic, reply, &problem);
    else
        problem = *err;
    if (rc == RMQ_LOST)
        rc = problem.code = RMQ_UNREACHABLE; /* a question leaves nothing behind */
    if (rc != 0 && rc != RMQ_NOT_FOUND)
        rmq_client_log(client, RMQ_LOG_WARN, "topic %s: %s", topic->name, problem.text);
    while (!rmq_list_empty(&topic->waiters)) {
        struct waiter *waiter = RMQ_CONTAINER(topic->waiters.next, struct waiter, item);
        answer(waiter, rc, topic->route, &problem);
    }
    sweep(client);
    if (!rmq_list_empty(&topic->next)) {
        rmq_list_move_all(&topic->next, &topic->waiters);
        ask(topic);
    }
    drop_unused(topic);
}

/* Nothing is under way for the topic. */
static void ask(struct topic *topic)
{
    struct rmq_client *client = topic->client;
    struct rmq_command request;
    struct rmq_err err;
    rmq_command_init(&request, RMQ_GET_ROUTE);
    rmq_command_add_str(&request, "topic", topic->name);
    rmq_command_add_str(&request, "acceptStandardJsonOnly", "true");
    int rc = rmq_client_call_namesrv(client, &request, 0, on_route, topic, &err);
    topic->asking = rc == 0;
    while (rc != 0 && !rmq_list_empty(&topic->waiters))
        answer(RMQ_CONTAINER(topic->waiters.next, struct waiter, item), rc, NULL, &err);
}

static void on_cluster(void *arg, int rc, const struct rmq_command *reply,
                       const struct rmq_err *err)
{
    struct rmq_client *client = arg;
    struct rmq_route_data data;
    struct rmq_err problem;
    bool moved = false;
    client->cluster_asking = false;
    if (client->closed)
        return;
    if (rc != 0)
        problem = *err;
    else
        rc = rmq_reply_check(reply, "cluster information", &problem);
    if (rc == 0) {
        rc = rmq_cluster_data_parse(&data, reply->body, &problem);
        if (rc == 0)
            rc = rmq_brokers_learn(client, &data, true, &moved);
        rmq_route_data_deinit(&data);
    }
    if (rc != 0)
        rmq_client_log(client, RMQ_LOG_WARN, "%s", problem.text);
    sweep(client);
    if (moved)
        rmq_heartbeat_changed(client, false);
}

static void ask_cluster(struct rmq_client *client)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_GET_CLUSTER_INFO);
    client->cluster_wanted = false;
    if (!client->cluster_asking)
        client->cluster_asking =
            rmq_client_call_namesrv(client, &request, 0, on_cluster, client, NULL) == 0;
}

/* --- rounds --- */

static void on_refresh(uv_timer_t *timer)
{
    struct rmq_client *client = timer->data;
    bool cluster = client->cluster_wanted;
    client->refresh_soon = false;
    client->refreshed_ms = uv_now(client->loop);
    (void)uv_timer_start(timer, on_refresh, (uint64_t)client->options.route_refresh_ms, 0);
    for (struct rmq_entry *entry = rmq_table_next(&client->topics, NULL), *next; entry != NULL;
         entry = next) {
        struct topic *topic = RMQ_CONTAINER(entry, struct topic, entry);
        next = rmq_table_next(&client->topics, entry);
        if (!rmq_list_empty(&topic->watches))
            topic->asked_ms = client->refreshed_ms;
        if (topic->asking)
            continue;
        if (topic->holds == 0 && client->refreshed_ms - topic->asked_ms >= UNUSED_MS)
            drop_unused(topic);
        else
            ask(topic);
    }
    for (struct rmq_entry *entry = rmq_table_next(&client->brokers, NULL); entry != NULL;
         entry = rmq_table_next(&client->brokers, entry)) {
        struct rmq_broker *broker = RMQ_CONTAINER(entry, struct rmq_broker, entry);
        cluster |= broker->in_cluster && !broker->in_route;
    }
    if (cluster)
        ask_cluster(client);
    rmq_client_prune(client);
}

void rmq_routes_start(struct rmq_client *client)
{
    (void)uv_timer_start(&client->refresh, on_refresh, (uint64_t)client->options.route_refresh_ms,
                         0);
}

void rmq_routes_refresh(struct rmq_client *client)
{
    if (client->closed || client->refresh_soon)
        return;
    uint64_t now = uv_now(client->loop), due = client->refreshed_ms + ROUND_PAUSE_MS;
    client->refresh_soon = true;
    (void)uv_timer_start(&client->refresh, on_refresh,
                         client->refreshed_ms > 0 && due > now ? due - now : 0, 0);
}

/* --- users --- */

static int check_topic(const struct rmq_client *client, const char *topic, struct rmq_err *err)
{
    if (client->closed)
        return rmq_fail(err, RMQ_CLOSED, "the client is closed");
    size_t len = topic == NULL ? 0 : strlen(topic);
    if (len == 0 || len > TOPIC_MAX)
        return rmq_fail(err, RMQ_INVALID, "topic name of %zu bytes; 1 to %d are allowed", len,
                        TOPIC_MAX);
    return 0;
}

int rmq_client_route(struct rmq_client *client, const char *name, bool fresh, rmq_route_fn done,
                     void *arg, struct rmq_err *err)
{
    int rc = check_topic(client, name, err);
    if (rc != 0)
        return rc;
    struct topic *topic = get_topic(client, name, err);
    if (topic == NULL)
        return RMQ_NO_MEMORY;
    topic->asked_ms = uv_now(client->loop);
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) {
        drop_unused(topic);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a question");
    }
    waiter->client = client;
    waiter->done = done;
    waiter->arg = arg;
    waiter->event.run = run_waiter;
    rmq_list_init(&waiter->item);
    rmq_list_init(&waiter->event.item);
    if (!fresh && topic->route != NULL) {
        answer(waiter, 0, topic->route, NULL);
    } else if (topic->asking) {
        rmq_list_append(fresh ? &topic->next : &topic->waiters, &waiter->item);
    } else {
        rmq_list_append(&topic->waiters, &waiter->item);
        ask(topic);
    }
    return 0;
}

int rmq_client_watch_route(struct rmq_client *client, const char *name,
                           void (*changed)(void *arg, const struct rmq_route *route), void *arg,
                           struct rmq_route_watch **ret, struct rmq_err *err)
{
    int rc = check_topic(client, name, err);
    if (rc != 0)
        return rc;
    struct topic *topic = get_topic(client, name, err);
    struct rmq_route_watch *watch = calloc(1, sizeof(*watch));
    if (topic == NULL || watch == NULL) {
        free(watch);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a watch");
    }
    watch->topic = topic;
    watch->changed = changed;
    watch->arg = arg;
    watch->event.run = run_watch;
    rmq_list_init(&watch->event.item);
    rmq_list_append(&topic->watches, &watch->item);
    if (topic->route == NULL && !topic->asking)
        ask(topic);
    *ret = watch;
    return 0;
}

void rmq_route_watch_remove(struct rmq_route_watch *watch)
{
    struct topic *topic = watch->topic;
    rmq_list_remove(&watch->item);
    rmq_list_remove(&watch->event.item);
    free(watch);
    drop_unused(topic);
}

int rmq_route_hold(struct rmq_client *client, const char *name, struct rmq_err *err)
{
    int rc = check_topic(client, name, err);
    struct topic *topic = rc == 0 ? get_topic(client, name, err) : NULL;
    if (topic == NULL)
        return rc != 0 ? rc : RMQ_NO_MEMORY;
    topic->holds++;
    if (topic->route == NULL && !topic->asking)
        ask(topic);
    return 0;
}

void rmq_route_release(struct rmq_client *client, const char *name)
{
    struct topic *topic = find_topic(client, name);
    if (topic == NULL)
        return;
    topic->holds--;
    drop_unused(topic);
}

const struct rmq_route *rmq_route_known(const struct rmq_client *client, const char *name)
{
    const struct topic *topic = find_topic(client, name);
    return topic == NULL ? NULL : topic->route;
}

/* --- the end --- */

static void end_list(struct rmq_list *list)
{
    while (!rmq_list_empty(list)) {
        struct waiter *waiter = RMQ_CONTAINER(list->next, struct waiter, item);
        waiter->rc = rmq_fail(&waiter->err, RMQ_CLOSED, "the client is closed");
        end_waiter(waiter);
    }
}

void rmq_routes_close(struct rmq_client *client)
{
    end_list(&client->answers);
    for (struct rmq_entry *entry = rmq_table_next(&client->topics, NULL); entry != NULL;
         entry = rmq_table_next(&client->topics, entry)) {
        struct topic *topic = RMQ_CONTAINER(entry, struct topic, entry);
        end_list(&topic->waiters);
        end_list(&topic->next);
    }
}

void rmq_routes_free(struct rmq_client *client)
{
    for (struct rmq_entry *entry; (entry = rmq_table_next(&client->topics, NULL)) != NULL;) {
        struct topic *topic = RMQ_CONTAINER(entry, struct topic, entry);
        rmq_table_remove(&client->topics, entry);
        while (!rmq_list_empty(&topic->watches)) { /* left behind by the user */
            struct rmq_route_watch *watch =
                RMQ_CONTAINER(topic->watches.next, struct rmq_route_watch, item);
            rmq_list_remove(&watch->item);
            free(watch);
        }
        free_topic(topic);
    }
    rmq_table_deinit(&client->topics);
}
