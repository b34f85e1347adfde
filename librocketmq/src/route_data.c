/* SPDX-License-Identifier: Apache-2.0 */
/* Parses routes and cluster information, and makes of them the counted route that users see. */
#include "route_data.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { QUEUES_MAX = 1 << 16 }; /* of a topic, either way */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rmq_broker_data *)a)->name,
                  ((const struct rmq_broker_data *)b)->name);
}

static int by_id(const void *a, const void *b)
{
    int64_t left = ((const struct rmq_address_data *)a)->id;
    int64_t right = ((const struct rmq_address_data *)b)->id;
    return (left > right) - (left < right);
}

/* {"0":"host:port",1:"host:port"} */
static void read_addresses(struct rmq_route_data *data, struct rmq_broker_data *broker)
{
    struct rmq_reader *reader = &data->reader;
    broker->first = data->address_count;
    broker->count = 0; /* of a repeated member the last one counts */
    if (!rmq_read_object(reader))
        return;
    while (rmq_read_key(reader)) {
        int64_t id;
        if (!rmq_parse_i64(reader->json.text, &id)) {
            rmq_read_fail(reader, RMQ_MALFORMED, "a broker id is not a number");
            return;
        }
        const char *address = rmq_read_string(reader);
        if (address == NULL || address[0] == '\0')
            continue;
        if (!rmq_read_grow(reader, &data->addresses, data->address_count, sizeof(*data->addresses)))
            return;
        data->addresses[data->address_count++] = (struct rmq_address_data){id, address};
    }
    broker->count = data->address_count - broker->first;
    if (broker->count > 1)
        qsort(data->addresses + broker->first, broker->count, sizeof(*data->addresses), by_id);
}

/* The object has been entered. */
static void read_broker(struct rmq_route_data *data)
{
    struct rmq_reader *reader = &data->reader;
    struct rmq_broker_data broker = {.cluster = ""};
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "brokerAddrs")) {
            read_addresses(data, &broker);
        } else if (rmq_read_key_is(reader, "brokerName")) {
            broker.name = rmq_read_string(reader);
        } else if (rmq_read_key_is(reader, "cluster")) {
            const char *cluster = rmq_read_string(reader);
            broker.cluster = cluster == NULL ? "" : cluster;
        } else {
            rmq_read_skip(reader);
        }
    }
    if (broker.name == NULL || broker.count == 0)
        return; /* nobody can talk to it */
    if (rmq_read_grow(reader, &data->brokers, data->broker_count, sizeof(*data->brokers)))
        data->brokers[data->broker_count++] = broker;
}

static void read_queue(struct rmq_route_data *data)
{
    struct rmq_reader *reader = &data->reader;
    struct rmq_queue_data queue = {.perm = 0};
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "brokerName"))
            queue.broker = rmq_read_string(reader);
        else if (rmq_read_key_is(reader, "perm"))
            queue.perm = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else if (rmq_read_key_is(reader, "readQueueNums"))
            queue.read_queues = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else if (rmq_read_key_is(reader, "writeQueueNums"))
            queue.write_queues = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else
            rmq_read_skip(reader);
    }
    if (queue.broker != NULL &&
        rmq_read_grow(reader, &data->queues, data->queue_count, sizeof(*data->queues)))
        data->queues[data->queue_count++] = queue;
}

static void sort_brokers(struct rmq_route_data *data)
{
    if (data->broker_count < 2)
        return;
    qsort(data->brokers, data->broker_count, sizeof(*data->brokers), by_name);
    size_t kept = 1;
    for (size_t i = 1; i < data->broker_count; i++) {
        if (strcmp(data->brokers[i].name, data->brokers[kept - 1].name) != 0)
            data->brokers[kept++] = data->brokers[i];
    }
    data->broker_count = kept;
}

int rmq_route_data_parse(struct rmq_route_data *data, struct rmq_view body, struct rmq_err *err)
{
    struct rmq_reader *reader = &data->reader;
    memset(data, 0, sizeof(*data));
    rmq_reader_init(reader, body);
    if (!rmq_read_object(reader))
        rmq_read_fail(reader, RMQ_MALFORMED, "an object is expected");
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "brokerDatas")) {
            bool some = rmq_read_array(reader);
            while (some && rmq_read_item_object(reader))
                read_broker(data);
        } else if (rmq_read_key_is(reader, "queueDatas")) {
            bool some = rmq_read_array(reader);
            while (some && rmq_read_item_object(reader))
                read_queue(data);
        } else if (rmq_read_key_is(reader, "orderTopicConf")) {
            data->order_conf = rmq_read_string(reader);
        } else {
            rmq_read_skip(reader);
        }
    }
    sort_brokers(data);
    return rmq_reader_end(reader, "route", err);
}

int rmq_cluster_data_parse(struct rmq_route_data *data, struct rmq_view body, struct rmq_err *err)
{
    struct rmq_reader *reader = &data->reader;
    memset(data, 0, sizeof(*data));
    rmq_reader_init(reader, body);
    if (!rmq_read_object(reader))
        rmq_read_fail(reader, RMQ_MALFORMED, "an object is expected");
    while (rmq_read_key(reader)) {
        if (!rmq_read_key_is(reader, "brokerAddrTable")) {
            rmq_read_skip(reader);
            continue;
        }
        if (!rmq_read_object(reader))
            continue;
        while (rmq_read_key(reader)) {
            if (rmq_read_object(reader))
                read_broker(data);
        }
    }
    sort_brokers(data);
    return rmq_reader_end(reader, "cluster information", err);
}

void rmq_route_data_deinit(struct rmq_route_data *data)
{
    rmq_reader_deinit(&data->reader);
    free(data->brokers);
    free(data->addresses);
    free(data->queues);
}

const struct rmq_broker_data *rmq_route_data_broker(const struct rmq_route_data *data,
                                                    const char *name)
{
    struct rmq_broker_data key = {.name = name};
    return data->broker_count == 0
               ? NULL
               : bsearch(&key, data->brokers, data->broker_count, sizeof(*data->brokers), by_name);
}

/* --- the route of users --- */

/* One allocation: the struct, both lists of queues, the names' pointers, the names. */
struct counted_route {
    struct rmq_route route; /* first: users have a pointer to it */
    atomic_size_t references;
};

/* How many queues of a broker to send to. */
static int64_t write_queues_of(const struct rmq_route_data *data, const char *broker)
{
    const struct rmq_broker_data *at = rmq_route_data_broker(data, broker);
    if (data->order_conf != NULL && data->order_conf[0] != '\0') { /* "a:4;b:4", as it stands */
        size_t len = strlen(broker);
        for (const char *part = data->order_conf; *part != '\0';) {
            size_t end = strcspn(part, ";");
            int64_t count;
            if (end > len + 1 && part[len] == ':' && memcmp(part, broker, len) == 0 &&
                rmq_parse_i64(rmq_view(part + len + 1, end - len - 1), &count) && count > 0)
                return count;
            part += end + (part[end] != '\0');
        }
        return 0;
    }
    for (size_t i = 0; i < data->queue_count; i++) {
        const struct rmq_queue_data *queue = &data->queues[i];
        if (strcmp(queue->broker, broker) == 0)
            return (queue->perm & RMQ_PERM_WRITE) != 0 && data->addresses[at->first].id == 0
                       ? queue->write_queues
                       : 0;
    }
    return 0;
}

static int64_t read_queues_of(const struct rmq_route_data *data, const char *broker)
{
    for (size_t i = 0; i < data->queue_count; i++) {
        if (strcmp(data->queues[i].broker, broker) == 0)
            return (data->queues[i].perm & RMQ_PERM_READ) != 0 ? data->queues[i].read_queues : 0;
    }
    return 0;
}

int rmq_route_build(const struct rmq_route_data *data, const struct rmq_route **ret,
                    struct rmq_err *err)
{
    int64_t writes = 0, reads = 0;
    size_t names = 0;
    for (size_t i = 0; i < data->broker_count; i++) {
        writes += write_queues_of(data, data->brokers[i].name);
        reads += read_queues_of(data, data->brokers[i].name);
        names += strlen(data->brokers[i].name) + 1;
        if (writes > QUEUES_MAX || reads > QUEUES_MAX)
            return rmq_fail(err, RMQ_MALFORMED, "route: more than %d queues", QUEUES_MAX);
    }
    struct counted_route *counted =
        calloc(1, sizeof(*counted) + (size_t)(writes + reads) * sizeof(struct rmq_queue) +
                      data->broker_count * sizeof(char *) + names);
    if (counted == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a route");
    struct rmq_queue *write = (struct rmq_queue *)(void *)(counted + 1);
    struct rmq_queue *read = write + writes;
    const char **broker = (const char **)(void *)(read + reads);
    char *name = (char *)(broker + data->broker_count);
    counted->route =
        (struct rmq_route){.write_queues = write, .read_queues = read, .brokers = broker};
    for (size_t i = 0; i < data->broker_count; i++) {
        size_t len = strlen(data->brokers[i].name) + 1;
        int64_t write_queues = write_queues_of(data, data->brokers[i].name);
        int64_t read_queues = read_queues_of(data, data->brokers[i].name);
        memcpy(name, data->brokers[i].name, len);
        broker[counted->route.broker_count++] = name;
        for (int32_t id = 0; id < write_queues; id++)
            write[counted->route.write_count++] = (struct rmq_queue){name, id};
        for (int32_t id = 0; id < read_queues; id++)
            read[counted->route.read_count++] = (struct rmq_queue){name, id};
        name += len;
    }
    atomic_init(&counted->references, 1);
    *ret = &counted->route;
    return 0;
}

static struct counted_route *counted_of(const struct rmq_route *route)
{
    return (struct counted_route *)(uintptr_t)route; /* made here, and not const then */
}

const struct rmq_route *rmq_route_ref(const struct rmq_route *route)
{
    atomic_fetch_add_explicit(&counted_of(route)->references, 1, memory_order_relaxed);
    return route;
}

void rmq_route_unref(const struct rmq_route *route)
{
    if (route != NULL &&
        atomic_fetch_sub_explicit(&counted_of(route)->references, 1, memory_order_acq_rel) == 1)
        free(counted_of(route));
}

static bool queues_equal(const struct rmq_queue *a, const struct rmq_queue *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].id != b[i].id || strcmp(a[i].broker, b[i].broker) != 0)
            return false;
    }
    return true;
}

bool rmq_route_equal(const struct rmq_route *a, const struct rmq_route *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->write_count != b->write_count || a->read_count != b->read_count ||
        a->broker_count != b->broker_count ||
        !queues_equal(a->write_queues, b->write_queues, a->write_count) ||
        !queues_equal(a->read_queues, b->read_queues, a->read_count))
        return false;
    for (size_t i = 0; i < a->broker_count; i++) {
        if (strcmp(a->brokers[i], b->brokers[i]) != 0)
            return false;
    }
    return true;
}
