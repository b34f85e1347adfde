/* SPDX-License-Identifier: Apache-2.0 */
/* What a name server answers, as plain structs: a topic's route, or all brokers of a cluster. */
#ifndef RMQ_ROUTE_DATA_H
#define RMQ_ROUTE_DATA_H

#include <rocketmq/client.h>
#include "reader.h"

struct rmq_address_data {
    int64_t id; /* 0: master */
    const char *address;
};

struct rmq_broker_data {
    const char *name, *cluster; /* cluster: "" when it is not said */
    size_t first, count;        /* of addresses, sorted by id */
};

struct rmq_queue_data {
    const char *broker;
    int32_t perm, read_queues, write_queues;
};

/* The strings live in reader. */
struct rmq_route_data {
    struct rmq_reader reader;
    struct rmq_broker_data *brokers; /* sorted by name, each once */
    size_t broker_count;
    struct rmq_address_data *addresses;
    size_t address_count;
    struct rmq_queue_data *queues;
    size_t queue_count;
    const char *order_conf; /* NULL: none */
};

/* The body of 105, or of 106 (which has no queues). 0 | RMQ_MALFORMED, RMQ_NO_MEMORY. In any case
 * deinit follows. body must stay until then. */
int rmq_route_data_parse(struct rmq_route_data *data, struct rmq_view body, struct rmq_err *err);
int rmq_cluster_data_parse(struct rmq_route_data *data, struct rmq_view body, struct rmq_err *err);
void rmq_route_data_deinit(struct rmq_route_data *data);
/* NULL: not there. */
const struct rmq_broker_data *rmq_route_data_broker(const struct rmq_route_data *data,
                                                    const char *name);

/* A route with one reference. RMQ_MALFORMED: more queues than anyone has. */
int rmq_route_build(const struct rmq_route_data *data, const struct rmq_route **ret,
                    struct rmq_err *err);
bool rmq_route_equal(const struct rmq_route *a, const struct rmq_route *b);

#endif
