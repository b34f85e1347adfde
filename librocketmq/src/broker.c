/* SPDX-License-Identifier: Apache-2.0 */
/* Broker names and where their members are. The last answer of a name server that names a broker
 * replaces what was known of it; a broker that no answer names any more is forgotten. */
#include "client.h"
#include "connection.h"
#include "route_data.h"
#include <stdlib.h>

struct rmq_broker *rmq_broker_find(const struct rmq_client *client, const char *name)
{
    struct rmq_entry *entry = rmq_table_find(&client->brokers, name);
    return entry == NULL ? NULL : RMQ_CONTAINER(entry, struct rmq_broker, entry);
}

static void free_members(struct rmq_broker_at *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(members[i].address);
    free(members);
}

static void free_broker(struct rmq_broker *broker)
{
    free_members(broker->members, broker->member_count);
    free(broker->name);
    free(broker->cluster);
    free(broker);
}

static bool same(const struct rmq_broker *broker, const struct rmq_route_data *data,
                 const struct rmq_broker_data *said)
{
    if (broker->member_count != said->count || strcmp(broker->cluster, said->cluster) != 0)
        return false;
    for (size_t i = 0; i < said->count; i++) {
        const struct rmq_address_data *address = &data->addresses[said->first + i];
        if (broker->members[i].id != address->id ||
            strcmp(broker->members[i].address, address->address) != 0)
            return false;
    }
    return true;
}

static struct rmq_broker *add_broker(struct rmq_client *client, const char *name)
{
    struct rmq_broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL)
        return NULL;
    broker->name = strdup(name);
    broker->cluster = strdup("");
    broker->entry.key = broker->name;
    if (broker->name == NULL || broker->cluster == NULL ||
        rmq_table_put(&client->brokers, &broker->entry) != 0) {
        free_broker(broker);
        return NULL;
    }
    return broker;
}

static int learn(struct rmq_client *client, const struct rmq_route_data *data,
                 const struct rmq_broker_data *said, bool *ret_changed)
{
    struct rmq_broker *broker = rmq_broker_find(client, said->name);
    if (broker == NULL)
        broker = add_broker(client, said->name);
    if (broker == NULL)
        return RMQ_NO_MEMORY;
    if (same(broker, data, said))
        return 0;
    struct rmq_broker_at *members = calloc(said->count, sizeof(*members));
    char *cluster = strdup(said->cluster);
    bool whole = members != NULL && cluster != NULL;
    for (size_t i = 0; whole && i < said->count; i++) {
        members[i].id = data->addresses[said->first + i].id;
        members[i].address = strdup(data->addresses[said->first + i].address);
        whole = members[i].address != NULL;
    }
    if (!whole) {
        free_members(members, members == NULL ? 0 : said->count);
        free(cluster);
        return RMQ_NO_MEMORY;
    }
    free_members(broker->members, broker->member_count);
    free(broker->cluster);
    broker->members = members;
    broker->member_count = said->count;
    broker->cluster = cluster;
    *ret_changed = true;
    return 0;
}

int rmq_brokers_learn(struct rmq_client *client, const struct rmq_route_data *data,
                      bool whole_cluster, bool *ret_changed)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < data->broker_count; i++)
        rc = learn(client, data, &data->brokers[i], ret_changed);
    if (rc != 0 || !whole_cluster)
        return rc;
    for (struct rmq_entry *entry = rmq_table_next(&client->brokers, NULL); entry != NULL;
         entry = rmq_table_next(&client->brokers, entry)) {
        struct rmq_broker *broker = RMQ_CONTAINER(entry, struct rmq_broker, entry);
        broker->in_cluster = rmq_route_data_broker(data, broker->name) != NULL;
    }
    return 0;
}

void rmq_brokers_sweep(struct rmq_client *client)
{
    for (struct rmq_entry *entry = rmq_table_next(&client->brokers, NULL), *next; entry != NULL;
         entry = next) {
        struct rmq_broker *broker = RMQ_CONTAINER(entry, struct rmq_broker, entry);
        next = rmq_table_next(&client->brokers, entry);
        if (!broker->in_route && !broker->in_cluster) {
            rmq_table_remove(&client->brokers, entry);
            free_broker(broker);
        }
    }
}

struct rmq_server *rmq_broker_server(struct rmq_client *client, struct rmq_broker *broker,
                                     size_t member, struct rmq_err *err)
{
    struct rmq_broker_at *at = &broker->members[member];
    if (at->server == NULL)
        at->server = rmq_client_server(client, at->address, err);
    return at->server;
}

void rmq_brokers_free(struct rmq_client *client)
{
    for (struct rmq_entry *entry; (entry = rmq_table_next(&client->brokers, NULL)) != NULL;) {
        rmq_table_remove(&client->brokers, entry);
        free_broker(RMQ_CONTAINER(entry, struct rmq_broker, entry));
    }
    rmq_table_deinit(&client->brokers);
}

/* --- public --- */

/* Which member an id means; member_count: none. */
static size_t choose(const struct rmq_broker *broker, int64_t id)
{
    if (id > 0) {
        for (size_t i = 0; i < broker->member_count; i++) {
            if (broker->members[i].id == id)
                return i;
        }
        id = -1; /* it has gone; another will do */
    }
    if (broker->member_count == 0 || (id == 0 && broker->members[0].id != 0))
        return broker->member_count;
    return 0; /* sorted: the master if there is one */
}

/* 0 | RMQ_NOT_FOUND, and the routes are asked for. */
static int find_server(struct rmq_client *client, const char *name, int64_t id,
                       struct rmq_server **ret, struct rmq_err *err)
{
    struct rmq_broker *broker = rmq_broker_find(client, name);
    size_t member = broker == NULL ? 0 : choose(broker, id);
    if (client->closed)
        return rmq_fail(err, RMQ_CLOSED, "the client is closed");
    if (broker == NULL || member == broker->member_count) {
        client->cluster_wanted |= broker == NULL;
        rmq_routes_refresh(client);
        return rmq_fail(err, RMQ_NOT_FOUND, "broker '%.100s' has no %saddress now", name,
                        id == 0 ? "master's " : "");
    }
    struct rmq_err problem;
    *ret = rmq_broker_server(client, broker, member, &problem);
    if (*ret == NULL)
        return rmq_fail(err, problem.code, "broker '%.60s': %s", name, problem.text);
    return 0;
}

int rmq_client_call_broker(struct rmq_client *client, const char *broker, int64_t id,
                           struct rmq_command *request, int64_t timeout_ms, rmq_reply_fn reply,
                           void *arg, struct rmq_err *err)
{
    struct rmq_server *server;
    int rc = find_server(client, broker, id, &server, err);
    return rc == 0 ? rmq_server_call(server, request, timeout_ms, reply, arg, err) : rc;
}

int rmq_client_post_broker(struct rmq_client *client, const char *broker, int64_t id,
                           struct rmq_command *request, struct rmq_err *err)
{
    struct rmq_server *server;
    int rc = find_server(client, broker, id, &server, err);
    return rc == 0 ? rmq_server_post(server, request, err) : rc;
}

bool rmq_client_broker_failing(const struct rmq_client *client, const char *broker)
{
    const struct rmq_broker *found = rmq_broker_find(client, broker);
    if (client->closed || found == NULL || choose(found, 0) == found->member_count)
        return true;
    const struct rmq_server *server = found->members[0].server;
    return server != NULL && rmq_connection_failing(server->connection);
}

void rmq_client_reset_broker(struct rmq_client *client, const char *broker)
{
    struct rmq_broker *found = rmq_broker_find(client, broker);
    if (client->closed || found == NULL || choose(found, 0) == found->member_count ||
        found->members[0].server == NULL)
        return;
    struct rmq_server *server = found->members[0].server;
    rmq_connection_reset(server->connection);
    server->open = false;
    rmq_heartbeat_lost(server); /* the broker has forgotten us with the connection */
}
