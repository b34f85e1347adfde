/* SPDX-License-Identifier: Apache-2.0 */
/* Groups and the heartbeat.
 *
 * One body tells all memberships; it goes to every broker that a membership's topics are on:
 * masters, and replicas too when a consumer is concerned, for each broker keeps its own list of
 * members. A server is `told` when the present body has been answered on the present connection. */
#include "client.h"
#include "reader.h"
#include "requests.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BODY_MAX = 8 << 20, GROUP_MAX = 255 };

struct rmq_membership {
    struct rmq_list item; /* in client->memberships */
    struct rmq_event event;
    struct rmq_client *client;
    char *group;
    bool producer, push, from_first;
    char **topics;
    size_t topic_count; /* held, the first so many */
    int64_t version;    /* of the subscription */
    void (*changed)(void *arg);
    void *arg;
    struct rmq_group_service service; /* zeroed: none */
};

/* --- the body --- */

static int put(struct rmq_buf *buf, const char *text)
{
    return rmq_buf_append(buf, text, strlen(text));
}

static int put_quoted(struct rmq_buf *buf, const char *text)
{
    return rmq_json_quote(rmq_view_str(text), buf);
}

static int put_subscription(struct rmq_buf *buf, const char *topic, int64_t version)
{
    char tail[160];
    (void)snprintf(tail, sizeof(tail),
                   ",\"subString\":\"*\",\"tagsSet\":[],\"codeSet\":[],\"subVersion\":%lld,"
                   "\"expressionType\":\"TAG\",\"classFilterMode\":false}",
                   (long long)version);
    int rc = put(buf, "{\"topic\":");
    if (rc == 0)
        rc = put_quoted(buf, topic);
    return rc == 0 ? put(buf, tail) : rc;
}

static int put_consumer(struct rmq_buf *buf, const struct rmq_membership *membership)
{
    char retry[GROUP_MAX + 16];
    bool has_retry = false;
    int rc = put(buf, "{\"groupName\":");
    if (rc == 0)
        rc = put_quoted(buf, membership->group);
    if (rc == 0)
        rc = put(buf, membership->push ? ",\"consumeType\":\"CONSUME_PASSIVELY\""
                                       : ",\"consumeType\":\"CONSUME_ACTIVELY\"");
    if (rc == 0)
        rc =
            put(buf, membership->from_first ? ",\"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\""
                                            : ",\"consumeFromWhere\":\"CONSUME_FROM_LAST_OFFSET\"");
    if (rc == 0)
        rc = put(buf, ",\"messageModel\":\"CLUSTERING\",\"unitMode\":false,"
                      "\"subscriptionDataSet\":[");
    (void)snprintf(retry, sizeof(retry), "%%RETRY%%%s", membership->group);
    for (size_t i = 0; rc == 0 && i < membership->topic_count; i++) {
        has_retry |= strcmp(membership->topics[i], retry) == 0;
        rc = put_subscription(buf, membership->topics[i], membership->version);
        if (rc == 0)
            rc = put(buf, ",");
    }
    /* The last heartbeat of a group wins, so it must say what the Java members' do. */
    if (rc == 0 && !has_retry)
        rc = put_subscription(buf, retry, membership->version);
    if (rc == 0 && has_retry)
        buf->len--; /* the comma */
    return rc == 0 ? put(buf, "]}") : rc;
}

static struct rmq_membership *membership_at(struct rmq_list *item)
{
    return RMQ_CONTAINER(item, struct rmq_membership, item);
}

static struct rmq_membership *find(const struct rmq_client *client, const char *group,
                                   bool producer, const struct rmq_membership *before)
{
    for (struct rmq_list *at = client->memberships.next; at != &client->memberships;
         at = at->next) {
        struct rmq_membership *membership = membership_at(at);
        if (membership == before)
            return NULL;
        if (membership->producer == producer && strcmp(membership->group, group) == 0)
            return membership;
    }
    return NULL;
}

static int put_groups(struct rmq_buf *buf, const struct rmq_client *client, bool producers)
{
    bool first = true;
    int rc = 0;
    for (struct rmq_list *at = client->memberships.next; rc == 0 && at != &client->memberships;
         at = at->next) {
        const struct rmq_membership *membership = membership_at(at);
        if (membership->producer != producers ||
            find(client, membership->group, producers, membership) != NULL)
            continue; /* producers may share a group: it is named once */
        if (!first)
            rc = put(buf, ",");
        first = false;
        if (rc == 0 && !producers) {
            rc = put_consumer(buf, membership);
        } else if (rc == 0) {
            rc = put(buf, "{\"groupName\":");
            if (rc == 0)
                rc = put_quoted(buf, membership->group);
            if (rc == 0)
                rc = put(buf, "}");
        }
    }
    return rc;
}

static int build_body(const struct rmq_client *client, struct rmq_buf *buf)
{
    int rc = put(buf, "{\"clientID\":");
    if (rc == 0)
        rc = put_quoted(buf, client->id);
    if (rc == 0)
        rc = put(buf, ",\"heartbeatFingerprint\":0,\"withoutSub\":false,\"producerDataSet\":[");
    if (rc == 0)
        rc = put_groups(buf, client, true);
    if (rc == 0)
        rc = put(buf, "],\"consumerDataSet\":[");
    if (rc == 0)
        rc = put_groups(buf, client, false);
    return rc == 0 ? put(buf, "]}") : rc;
}

/* --- sending --- */

static void on_heartbeat(void *arg, int rc, const struct rmq_command *reply,
                         const struct rmq_err *err)
{
    struct rmq_server *server = arg;
    struct rmq_client *client = server->client;
    struct rmq_err problem;
    server->greeting = false;
    if (client->closed)
        return;
    if (rc == 0) {
        rc = rmq_reply_check(reply, "heartbeat", &problem);
        if (rc == 0)
            server->complained = false;
        else if (!server->complained)
            rmq_client_log(client, RMQ_LOG_ERROR, "broker %s: %s", server->address, problem.text);
        server->complained |= rc != 0;
    } else {
        rmq_client_log(client, RMQ_LOG_DEBUG, "heartbeat: %s", err->text);
    }
    server->told = rc == 0 && server->open && !server->again;
    if (server->again || (rc != 0 && rc != RMQ_REFUSED)) /* a refusal is repeated in its time */
        rmq_heartbeat_changed(client, false);
    server->again = false;
}

static void send_heartbeat(struct rmq_server *server, const struct rmq_buf *body)
{
    struct rmq_command request;
    if (server->greeting) {
        server->again = true;
        return;
    }
    rmq_command_init(&request, RMQ_HEART_BEAT);
    request.body = rmq_buf_view(body);
    /* Without memory, or room in the queue: the next round tries again. */
    server->greeting = rmq_server_call(server, &request, 0, on_heartbeat, server, NULL) == 0;
}

static void want_server(struct rmq_client *client, struct rmq_broker *broker, size_t member)
{
    struct rmq_server *server = rmq_broker_server(client, broker, member, NULL);
    if (server != NULL)
        server->wanted = true;
}

/* Mark the servers that some membership concerns. */
static void mark_wanted(struct rmq_client *client)
{
    for (struct rmq_entry *entry = rmq_table_next(&client->servers, NULL); entry != NULL;
         entry = rmq_table_next(&client->servers, entry))
        RMQ_CONTAINER(entry, struct rmq_server, entry)->wanted = false;
    for (struct rmq_list *at = client->memberships.next; at != &client->memberships;
         at = at->next) {
        const struct rmq_membership *membership = membership_at(at);
        for (size_t i = 0; i < membership->topic_count; i++) {
            const struct rmq_route *route = rmq_route_known(client, membership->topics[i]);
            for (size_t j = 0; route != NULL && j < route->broker_count; j++) {
                struct rmq_broker *broker = rmq_broker_find(client, route->brokers[j]);
                for (size_t k = 0; broker != NULL && k < broker->member_count; k++) {
                    if (broker->members[k].id == 0 || !membership->producer)
                        want_server(client, broker, k);
                }
            }
        }
    }
}

static void greet(struct rmq_client *client, bool all)
{
    struct rmq_buf body;
    if (rmq_list_empty(&client->memberships))
        return;
    mark_wanted(client);
    rmq_buf_init(&body, BODY_MAX);
    if (build_body(client, &body) != 0)
        rmq_client_log(client, RMQ_LOG_ERROR, "no memory for a heartbeat");
    else
        for (struct rmq_entry *entry = rmq_table_next(&client->servers, NULL); entry != NULL;
             entry = rmq_table_next(&client->servers, entry)) {
            struct rmq_server *server = RMQ_CONTAINER(entry, struct rmq_server, entry);
            if (server->wanted && (all || (!server->told && !server->greeting)))
                send_heartbeat(server, &body);
        }
    rmq_buf_deinit(&body);
}

static void run_greet(struct rmq_event *event)
{
    struct rmq_client *client = RMQ_CONTAINER(event, struct rmq_client, greet);
    bool all = client->greet_all;
    client->greet_all = false;
    greet(client, all);
}

void rmq_heartbeat_changed(struct rmq_client *client, bool all)
{
    client->greet_all |= all;
    rmq_client_tell(client, &client->greet);
}

static void on_heartbeat_time(uv_timer_t *timer)
{
    greet(timer->data, true);
}

void rmq_heartbeat_start(struct rmq_client *client)
{
    uint64_t every = (uint64_t)client->options.heartbeat_ms;
    client->greet.run = run_greet;
    rmq_list_init(&client->greet.item);
    (void)uv_timer_start(&client->heartbeat, on_heartbeat_time, every, every); /* cannot fail */
}

void rmq_heartbeat_opened(struct rmq_server *server)
{
    server->told = false;
    if (!server->greeting) /* else it has waited for the connection, and goes now */
        rmq_heartbeat_changed(server->client, false);
}

void rmq_heartbeat_lost(struct rmq_server *server)
{
    server->told = false;
    if (server->wanted) /* members are known by their connections: make it again */
        rmq_heartbeat_changed(server->client, false);
}

void rmq_memberships_changed(struct rmq_client *client, struct rmq_view group)
{
    for (struct rmq_list *at = client->memberships.next; at != &client->memberships;
         at = at->next) {
        struct rmq_membership *membership = membership_at(at);
        if (!membership->producer && membership->changed != NULL &&
            rmq_view_equal(group, rmq_view_str(membership->group)))
            rmq_client_tell(client, &membership->event);
    }
}

/* --- memberships --- */

static void run_changed(struct rmq_event *event)
{
    struct rmq_membership *membership = RMQ_CONTAINER(event, struct rmq_membership, event);
    membership->changed(membership->arg);
}

/* Everything but what the broker knows. */
static void free_membership(struct rmq_membership *membership)
{
    for (size_t i = 0; i < membership->topic_count; i++)
        free(membership->topics[i]);
    free(membership->topics);
    free(membership->group);
    free(membership);
}

static int hold_topics(struct rmq_membership *membership,
                       const struct rmq_membership_options *options, struct rmq_err *err)
{
    membership->topics = calloc(options->topic_count + 1, sizeof(char *));
    if (membership->topics == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a membership");
    for (size_t i = 0; i < options->topic_count; i++) {
        char *topic = options->topics[i] == NULL ? NULL : strdup(options->topics[i]);
        int rc = topic == NULL ? rmq_fail(err, RMQ_NO_MEMORY, "no memory for a membership")
                               : rmq_route_hold(membership->client, topic, err);
        if (rc != 0) {
            free(topic);
            return rc;
        }
        membership->topics[membership->topic_count++] = topic;
    }
    return 0;
}

static void release_topics(struct rmq_membership *membership)
{
    for (size_t i = 0; i < membership->topic_count; i++)
        rmq_route_release(membership->client, membership->topics[i]);
}

int rmq_membership_new(struct rmq_client *client, const struct rmq_membership_options *given,
                       struct rmq_membership **ret, struct rmq_err *err)
{
    struct rmq_membership_options options = {.group = NULL};
    struct timespec now;
    memcpy(&options, given,
           given->struct_size < sizeof(options) ? given->struct_size : sizeof(options));
    size_t len = options.group == NULL ? 0 : strlen(options.group);
    if (client->closed)
        return rmq_fail(err, RMQ_CLOSED, "the client is closed");
    if (len == 0 || len > GROUP_MAX)
        return rmq_fail(err, RMQ_INVALID, "group name of %zu bytes; 1 to %d are allowed", len,
                        GROUP_MAX);
    if (!options.producer && find(client, options.group, false, NULL) != NULL)
        return rmq_fail(err, RMQ_INVALID, "this client is a member of group '%.100s' already",
                        options.group);
    struct rmq_membership *membership = calloc(1, sizeof(*membership));
    if (membership == NULL || (membership->group = strdup(options.group)) == NULL) {
        free(membership);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a membership");
    }
    membership->client = client;
    membership->producer = options.producer;
    membership->push = options.push;
    membership->from_first = options.from_first;
    membership->changed = options.changed;
    membership->arg = options.arg;
    membership->event.run = run_changed;
    rmq_list_init(&membership->event.item);
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    membership->version = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int rc = hold_topics(membership, &options, err);
    if (rc != 0) {
        release_topics(membership);
        free_membership(membership);
        return rc;
    }
    rmq_list_append(&client->memberships, &membership->item);
    rmq_heartbeat_changed(client, true);
    *ret = membership;
    return 0;
}

/* Tell every broker that may have heard of the group. */
static void unregister(struct rmq_client *client, const struct rmq_membership *membership)
{
    for (struct rmq_entry *entry = rmq_table_next(&client->servers, NULL); entry != NULL;
         entry = rmq_table_next(&client->servers, entry)) {
        struct rmq_server *server = RMQ_CONTAINER(entry, struct rmq_server, entry);
        struct rmq_command request;
        if (!server->open || (!server->told && !server->greeting))
            continue;
        rmq_command_init(&request, RMQ_UNREGISTER_CLIENT);
        rmq_command_add_str(&request, "clientID", client->id);
        rmq_command_add_str(&request, membership->producer ? "producerGroup" : "consumerGroup",
                            membership->group);
        (void)rmq_server_post(server, &request, NULL); /* else the lost connection tells it */
    }
}

void rmq_membership_close(struct rmq_membership *membership)
{
    struct rmq_client *client = membership->client;
    rmq_list_remove(&membership->item);
    rmq_list_remove(&membership->event.item);
    if (!client->closed) {
        if (find(client, membership->group, membership->producer, NULL) == NULL)
            unregister(client, membership);
        release_topics(membership);
        rmq_heartbeat_changed(client, true);
    }
    free_membership(membership);
}

void rmq_membership_serve(struct rmq_membership *membership,
                          const struct rmq_group_service *service)
{
    membership->service = *service;
}

const struct rmq_group_service *rmq_membership_service(const struct rmq_client *client,
                                                       struct rmq_view group)
{
    for (struct rmq_list *at = client->memberships.next; at != &client->memberships;
         at = at->next) {
        const struct rmq_membership *membership = membership_at(at);
        if (!membership->producer && rmq_view_equal(group, rmq_view_str(membership->group)))
            return &membership->service; /* consumers have a group once */
    }
    return NULL;
}

void rmq_memberships_free(struct rmq_client *client)
{
    while (!rmq_list_empty(&client->memberships)) { /* left behind by the user */
        struct rmq_membership *membership = membership_at(client->memberships.next);
        rmq_list_remove(&membership->item);
        free_membership(membership);
    }
}

/* --- members --- */

struct members_ask {
    struct rmq_client *client;
    char *group;
    rmq_members_fn done;
    void *arg;
};

static void end_members(struct members_ask *ask, int rc, const char *const *ids, size_t count,
                        const struct rmq_err *err)
{
    ask->done(ask->arg, rc, ids, count, err);
    free(ask->group);
    free(ask);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void on_members(void *arg, int rc, const struct rmq_command *reply,
                       const struct rmq_err *err)
{
    static const char nobody[] = "no consumer for this group";
    struct members_ask *ask = arg;
    struct rmq_reader reader;
    struct rmq_err problem = {.code = 0};
    const char **ids = NULL;
    size_t count = 0;
    if (rc != 0) {
        end_members(ask, rc, NULL, 0, err);
        return;
    }
    /* Code 1 is any failure; only this text of it means an empty list. */
    if (reply->code == RMQ_REPLY_SYSTEM_ERROR && reply->remark.len >= sizeof(nobody) - 1 &&
        memmem(reply->remark.data, reply->remark.len, nobody, sizeof(nobody) - 1) != NULL) {
        end_members(ask, 0, NULL, 0, NULL);
        return;
    }
    rc = rmq_reply_check(reply, "members of a group", &problem);
    if (rc != 0) {
        end_members(ask, rc, NULL, 0, &problem);
        return;
    }
    rmq_reader_init(&reader, reply->body);
    (void)rmq_read_object(&reader);
    while (rmq_read_key(&reader)) {
        if (!rmq_read_key_is(&reader, "consumerIdList")) {
            rmq_read_skip(&reader);
            continue;
        }
        const char *id;
        if (!rmq_read_array(&reader))
            continue;
        while ((id = rmq_read_item_string(&reader)) != NULL &&
               rmq_read_grow(&reader, &ids, count, sizeof(*ids)))
            ids[count++] = id;
    }
    rc = rmq_reader_end(&reader, "members of a group", &problem);
    if (count > 1)
        qsort(ids, count, sizeof(*ids), by_bytes);
    end_members(ask, rc, rc == 0 ? ids : NULL, rc == 0 ? count : 0, &problem);
    free(ids);
    rmq_reader_deinit(&reader);
}

/* A broker of the topic at random, one with a master if there is any. */
static const char *choose_broker(struct rmq_client *client, const struct rmq_route *route)
{
    const char *chosen = NULL;
    bool with_master = false;
    unsigned seed = (unsigned)uv_hrtime(), seen = 0;
    for (size_t i = 0; i < route->broker_count; i++) {
        const struct rmq_broker *broker = rmq_broker_find(client, route->brokers[i]);
        if (broker == NULL || broker->member_count == 0)
            continue;
        bool master = broker->members[0].id == 0;
        if (master && !with_master) {
            with_master = true;
            seen = 0;
        }
        if (master == with_master && (unsigned)rand_r(&seed) % ++seen == 0)
            chosen = route->brokers[i];
    }
    return chosen;
}

static void on_members_route(void *arg, int rc, const struct rmq_route *route,
                             const struct rmq_err *err)
{
    struct members_ask *ask = arg;
    struct rmq_command request;
    struct rmq_err problem;
    if (rc != 0) {
        end_members(ask, rc, NULL, 0, err);
        return;
    }
    const char *broker = choose_broker(ask->client, route);
    if (broker == NULL) {
        rc = rmq_fail(&problem, RMQ_NOT_FOUND, "no broker of the topic has an address now");
        end_members(ask, rc, NULL, 0, &problem);
        return;
    }
    rmq_command_init(&request, RMQ_GET_CONSUMER_LIST);
    rmq_command_add_str(&request, "consumerGroup", ask->group);
    rc = rmq_client_call_broker(ask->client, broker, -1, &request, 0, on_members, ask, &problem);
    if (rc != 0)
        end_members(ask, rc, NULL, 0, &problem);
}

int rmq_client_members(struct rmq_client *client, const char *group, const char *topic,
                       rmq_members_fn done, void *arg, struct rmq_err *err)
{
    struct members_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL || (ask->group = strdup(group)) == NULL) {
        free(ask);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a question");
    }
    ask->client = client;
    ask->done = done;
    ask->arg = arg;
    int rc = rmq_client_route(client, topic, false, on_members_route, ask, err);
    if (rc != 0) {
        free(ask->group);
        free(ask);
    }
    return rc;
}
