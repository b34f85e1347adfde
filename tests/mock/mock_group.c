/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, their members and locks. Members are told (40) when the list changes. */
#include "json.h"
#include "mock_internal.h"

enum { LOCK_MS = 60000 };

static void text(struct rmq_json *json, char to[NAME_SIZE])
{
    if (rmq_json_value(json) == RMQ_JSON_STRING)
        mock_copy(to, json->text);
}

static bool is_key(const struct rmq_json *json, const char *name)
{
    return rmq_view_equal(json->text, rmq_view_str(name));
}

static void skip(struct rmq_json *json)
{
    (void)rmq_json_skip(json, rmq_json_value(json)); /* an error shows at the next key */
}

static struct mock_member *find_member(struct mock *mock, const char *broker, const char *group,
                                       const char *client, bool consumer)
{
    struct mock_member *at = mock->members;
    while (at != NULL && (strcmp(at->broker, broker) != 0 || strcmp(at->group, group) != 0 ||
                          strcmp(at->client, client) != 0 || at->consumer != consumer))
        at = at->next;
    return at;
}

static void notify(struct mock *mock, const char *broker, const char *group)
{
    for (const struct mock_member *at = mock->members; at != NULL; at = at->next) {
        struct mock_peer *peer =
            at->consumer && strcmp(at->group, group) == 0 && strcmp(at->broker, broker) == 0
                ? mock_find_peer(mock, at->peer)
                : NULL;
        if (peer == NULL)
            continue;
        struct rmq_command request;
        struct rmq_buf bytes;
        rmq_command_init(&request, RMQ_NOTIFY_CONSUMERS_CHANGED);
        rmq_buf_init(&bytes, BUF_MAX);
        request.flag = RMQ_FLAG_ONEWAY;
        request.language = 0;
        rmq_command_add_str(&request, "consumerGroup", group);
        int rc = rmq_command_encode(&request, &bytes, NULL);
        assert(rc == 0);
        (void)rc;
        mock_write(peer, &bytes);
        rmq_buf_deinit(&bytes);
        rmq_command_deinit(&request);
    }
}

/* Remove members: of a peer (not 0), or of a client in a group. */
static void remove_members(struct mock *mock, uint64_t peer, const char *broker, const char *group,
                           const char *client, bool consumer)
{
    struct mock_member *removed = NULL;
    for (struct mock_member **at = &mock->members; *at != NULL;) {
        struct mock_member *member = *at;
        bool gone =
            peer != 0 ? member->peer == peer
                      : strcmp(member->broker, broker) == 0 && strcmp(member->group, group) == 0 &&
                            strcmp(member->client, client) == 0 && member->consumer == consumer;
        if (!gone) {
            at = &member->next;
            continue;
        }
        *at = member->next;
        member->next = removed;
        removed = member;
    }
    while (removed != NULL) {
        struct mock_member *member = removed;
        removed = member->next;
        if (member->consumer)
            notify(mock, member->broker, member->group);
        free(member);
    }
}

void mock_leave(struct mock *mock, uint64_t peer)
{
    remove_members(mock, peer, NULL, NULL, NULL, false);
}

const char *mock_subscription(struct mock *mock, const char *broker, const char *group,
                              const char *topic)
{
    for (const struct mock_member *at = mock->members; at != NULL; at = at->next) {
        if (!at->consumer || strcmp(at->group, group) != 0 || strcmp(at->broker, broker) != 0)
            continue;
        for (size_t i = 0; i < at->subscriptions; i++)
            if (strcmp(at->subscription[i].topic, topic) == 0)
                return at->subscription[i].expression;
    }
    return NULL;
}

static void read_subscriptions(struct rmq_json *json, struct mock_member *member)
{
    if (rmq_json_value(json) != RMQ_JSON_ARRAY)
        return;
    while (rmq_json_item(json) == RMQ_JSON_OBJECT) {
        char topic[NAME_SIZE] = "", expression[NAME_SIZE] = "*";
        while (rmq_json_key(json) == RMQ_JSON_STRING) {
            if (is_key(json, "topic"))
                text(json, topic);
            else if (is_key(json, "subString"))
                text(json, expression);
            else
                skip(json);
        }
        if (member->subscriptions == GROUP_SUBSCRIPTIONS)
            continue;
        mock_copy(member->subscription[member->subscriptions].topic, rmq_view_str(topic));
        mock_copy(member->subscription[member->subscriptions].expression, rmq_view_str(expression));
        member->subscriptions++;
    }
}

/* The members of consumerDataSet or producerDataSet, before the client id may be known. */
static struct mock_member *read_members(struct rmq_json *json, bool consumer,
                                        struct mock_member *list)
{
    if (rmq_json_value(json) != RMQ_JSON_ARRAY)
        return list;
    while (rmq_json_item(json) == RMQ_JSON_OBJECT) {
        struct mock_member *member = mock_alloc(sizeof(*member));
        member->consumer = consumer;
        member->next = list;
        list = member;
        while (rmq_json_key(json) == RMQ_JSON_STRING) {
            if (is_key(json, "groupName"))
                text(json, member->group);
            else if (is_key(json, "subscriptionDataSet"))
                read_subscriptions(json, member);
            else
                skip(json);
        }
    }
    return list;
}

static void serve_heartbeat(struct mock_peer *peer, struct rmq_command *reply)
{
    struct mock *mock = peer->mock;
    struct mock_member *list = NULL;
    struct rmq_json json;
    char client[NAME_SIZE] = "";
    bool changed = false;
    rmq_json_init(&json, peer->command.body, false);
    if (rmq_json_value(&json) == RMQ_JSON_OBJECT) {
        while (rmq_json_key(&json) == RMQ_JSON_STRING) {
            if (is_key(&json, "clientID"))
                text(&json, client);
            else if (is_key(&json, "consumerDataSet"))
                list = read_members(&json, true, list);
            else if (is_key(&json, "producerDataSet"))
                list = read_members(&json, false, list);
            else
                skip(&json);
        }
    }
    while (list != NULL) {
        struct mock_member *member = list;
        list = member->next;
        mock_copy(member->broker, rmq_view_str(peer->broker->name));
        mock_copy(member->client, rmq_view_str(client));
        member->peer = peer->id;
        struct mock_member *old =
            find_member(mock, member->broker, member->group, client, member->consumer);
        if (old != NULL) {
            struct mock_member *next = old->next;
            bool same =
                old->subscriptions == member->subscriptions &&
                memcmp(old->subscription, member->subscription, sizeof(old->subscription)) == 0;
            *old = *member;
            old->next = next;
            free(member);
            if (same)
                continue;
            member = old;
        } else {
            member->next = mock->members;
            mock->members = member;
        }
        if (member->consumer) {
            changed = true;
            notify(mock, member->broker, member->group);
        }
    }
    rmq_command_add_str(reply, "IS_SUPPORT_HEART_BEAT_V2", "true");
    rmq_command_add_str(reply, "IS_SUB_CHANGE", changed ? "true" : "false");
}

static void serve_unregister(struct mock_peer *peer)
{
    const struct rmq_command *request = &peer->command;
    char client[NAME_SIZE], group[NAME_SIZE];
    mock_copy(client, rmq_command_get(request, "clientID"));
    mock_copy(group, rmq_command_get(request, "consumerGroup"));
    if (group[0] != '\0')
        remove_members(peer->mock, 0, peer->broker->name, group, client, true);
    mock_copy(group, rmq_command_get(request, "producerGroup"));
    if (group[0] != '\0')
        remove_members(peer->mock, 0, peer->broker->name, group, client, false);
}

static void serve_list(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    char group[NAME_SIZE];
    const char *comma = "";
    mock_copy(group, rmq_command_get(&peer->command, "consumerGroup"));
    mock_printf(body, "{\"consumerIdList\":[");
    for (const struct mock_member *at = peer->mock->members; at != NULL; at = at->next) {
        if (!at->consumer || strcmp(at->group, group) != 0 ||
            strcmp(at->broker, peer->broker->name) != 0)
            continue;
        mock_printf(body, "%s\"%s\"", comma, at->client);
        comma = ",";
    }
    mock_printf(body, "]}");
    if (comma[0] == '\0') {
        body->len = 0;
        reply->code = RMQ_REPLY_SYSTEM_ERROR;
        reply->has_remark = true;
        reply->remark = rmq_view_str("no consumer for this group");
    }
}

/* --- locks --- */

static struct mock_lock *find_lock(struct mock *mock, const struct mock_lock *wanted)
{
    for (struct mock_lock *at = mock->locks; at != NULL; at = at->next)
        if (at->queue == wanted->queue && strcmp(at->broker, wanted->broker) == 0 &&
            strcmp(at->group, wanted->group) == 0 && strcmp(at->topic, wanted->topic) == 0)
            return at;
    struct mock_lock *made = mock_alloc(sizeof(*made));
    *made = *wanted;
    made->client[0] = '\0';
    made->next = mock->locks;
    mock->locks = made;
    return made;
}

/* Lock or unlock one queue; true when the client holds it then. */
static bool lock_one(struct mock *mock, const struct mock_lock *wanted, bool lock)
{
    struct mock_lock *held = find_lock(mock, wanted);
    uint64_t now = uv_now(mock->loop);
    bool mine = strcmp(held->client, wanted->client) == 0;
    if (!lock) {
        if (mine)
            held->client[0] = '\0';
        return false;
    }
    if (!mine && held->client[0] != '\0' && held->until_ms > now)
        return false;
    memcpy(held->client, wanted->client, sizeof(held->client));
    held->until_ms = now + LOCK_MS;
    return true;
}

static void serve_lock(struct mock_peer *peer, bool lock, struct rmq_buf *body)
{
    struct mock_lock wanted = {.queue = 0};
    const char *comma = "";
    struct rmq_json json;
    struct rmq_view queues = {NULL, 0};
    rmq_json_init(&json, peer->command.body, false);
    if (rmq_json_value(&json) != RMQ_JSON_OBJECT)
        return;
    while (rmq_json_key(&json) == RMQ_JSON_STRING) {
        if (is_key(&json, "clientId")) {
            text(&json, wanted.client);
        } else if (is_key(&json, "consumerGroup")) {
            text(&json, wanted.group);
        } else if (is_key(&json, "mqSet")) { /* read when the names are known */
            const char *from = json.at;
            skip(&json);
            queues = rmq_view(from, (size_t)(json.at - from));
        } else {
            skip(&json);
        }
    }
    if (lock)
        mock_printf(body, "{\"lockOKMQSet\":[");
    rmq_json_init(&json, queues, false);
    if (queues.len == 0 || rmq_json_value(&json) != RMQ_JSON_ARRAY)
        return;
    while (rmq_json_item(&json) == RMQ_JSON_OBJECT) {
        while (rmq_json_key(&json) == RMQ_JSON_STRING) {
            if (is_key(&json, "topic")) {
                text(&json, wanted.topic);
            } else if (is_key(&json, "brokerName")) {
                text(&json, wanted.broker);
            } else if (is_key(&json, "queueId")) {
                int64_t id = 0;
                if (rmq_json_value(&json) == RMQ_JSON_NUMBER)
                    (void)rmq_parse_i64(json.text, &id);
                wanted.queue = (int32_t)id;
            } else {
                skip(&json);
            }
        }
        if (!lock_one(peer->mock, &wanted, lock))
            continue;
        mock_printf(body, "%s{\"brokerName\":\"%s\",\"queueId\":%d,\"topic\":\"%s\"}", comma,
                    wanted.broker, (int)wanted.queue, wanted.topic);
        comma = ",";
    }
    if (lock)
        mock_printf(body, "]}");
}

bool mock_serve_group(struct mock_peer *peer, struct rmq_command *reply, struct rmq_buf *body)
{
    switch (peer->command.code) {
    case RMQ_HEART_BEAT:
        serve_heartbeat(peer, reply);
        return true;
    case RMQ_UNREGISTER_CLIENT:
        serve_unregister(peer);
        return true;
    case RMQ_GET_CONSUMER_LIST:
        serve_list(peer, reply, body);
        return true;
    case RMQ_LOCK_BATCH:
    case RMQ_UNLOCK_BATCH:
        serve_lock(peer, peer->command.code == RMQ_LOCK_BATCH, body);
        return true;
    default:
        return false;
    }
}
