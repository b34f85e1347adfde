/* SPDX-License-Identifier: Apache-2.0 */
/* Administration: topics, groups, offsets, the cluster. Requests that concern several brokers go to
 * all of them, and succeed when all have answered well. Thread: the client's loop. */
#ifndef ROCKETMQ_ADMIN_H
#define ROCKETMQ_ADMIN_H

#include <rocketmq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* rc 0 | RMQ_REFUSED ... : the first failure; err names the broker. */
typedef void (*rmq_admin_fn)(void *arg, int rc, const struct rmq_err *err);
typedef void (*rmq_offset_fn)(void *arg, int rc, int64_t offset, const struct rmq_err *err);

struct rmq_topic_options {
    size_t struct_size;
    const char *topic;
    int32_t read_queues, write_queues; /* per broker; 0: 4 */
    int32_t perm;                      /* 0: read and write */
    bool order;
    const char *attributes; /* "+message.type=FIFO"; NULL: none */
    const char *cluster;    /* all masters of it; NULL: of every cluster */
    const char *broker;     /* this broker only; NULL: as cluster says */
};

/* Create or change. done runs when every broker concerned has it and the name servers know it. */
int rmq_admin_create_topic(struct rmq_client *client, const struct rmq_topic_options *options,
                           rmq_admin_fn done, void *arg, struct rmq_err *err);
/* From all brokers and all name servers; an unknown topic is fine. */
int rmq_admin_delete_topic(struct rmq_client *client, const char *topic, rmq_admin_fn done,
                           void *arg, struct rmq_err *err);

struct rmq_group_options {
    size_t struct_size;
    const char *group;
    bool consume_disabled;
    bool broadcast_disabled;
    bool from_min_disabled;
    bool orderly;
    int32_t retry_queues;         /* 0: 1 */
    int32_t retry_max;            /* 0: 16 */
    const char *cluster, *broker; /* as for topics */
};

int rmq_admin_create_group(struct rmq_client *client, const struct rmq_group_options *options,
                           rmq_admin_fn done, void *arg, struct rmq_err *err);
int rmq_admin_delete_group(struct rmq_client *client, const char *group, bool clean_offsets,
                           rmq_admin_fn done, void *arg, struct rmq_err *err);

struct rmq_broker_info {
    const char *cluster, *name;
    size_t address_count;
    const struct rmq_broker_address {
        int64_t id; /* 0: the master */
        const char *address;
    } * addresses;
};
/* Views during the call. */
typedef void (*rmq_cluster_fn)(void *arg, int rc, const struct rmq_broker_info *brokers,
                               size_t count, const struct rmq_err *err);
int rmq_admin_cluster(struct rmq_client *client, rmq_cluster_fn done, void *arg,
                      struct rmq_err *err);

struct rmq_queue_stats {
    struct rmq_queue queue;
    int64_t min_offset, max_offset;
    int64_t last_update_ms; /* 0: never */
};
typedef void (*rmq_stats_fn)(void *arg, int rc, const struct rmq_queue_stats *queues, size_t count,
                             const struct rmq_err *err);
int rmq_admin_topic_stats(struct rmq_client *client, const char *topic, rmq_stats_fn done,
                          void *arg, struct rmq_err *err);
typedef void (*rmq_topics_fn)(void *arg, int rc, const char *const *topics, size_t count,
                              const struct rmq_err *err);
int rmq_admin_topics(struct rmq_client *client, rmq_topics_fn done, void *arg, struct rmq_err *err);

/* --- what the masters of a cluster hold (cluster NULL: of all), one row a broker and thing; views
 * during the call. A broker with access control answers administrators only. --- */

struct rmq_topic_row {
    const char *broker, *topic;
    int32_t read_queues, write_queues, perm;
    bool order;
};
typedef void (*rmq_topic_rows_fn)(void *arg, int rc, const struct rmq_topic_row *rows, size_t count,
                                  const struct rmq_err *err);
int rmq_admin_topic_rows(struct rmq_client *client, const char *cluster, rmq_topic_rows_fn done,
                         void *arg, struct rmq_err *err);

struct rmq_group_row {
    const char *broker, *group;
    bool consume_disabled, broadcast_disabled, from_min_disabled, orderly;
    int32_t retry_queues, retry_max;
};
typedef void (*rmq_group_rows_fn)(void *arg, int rc, const struct rmq_group_row *rows, size_t count,
                                  const struct rmq_err *err);
int rmq_admin_group_rows(struct rmq_client *client, const char *cluster, rmq_group_rows_fn done,
                         void *arg, struct rmq_err *err);

struct rmq_offset_row {
    const char *broker, *group, *topic;
    int32_t queue_id;
    int64_t offset;
};
/* The offsets of all groups. */
typedef void (*rmq_offset_rows_fn)(void *arg, int rc, const struct rmq_offset_row *rows,
                                   size_t count, const struct rmq_err *err);
int rmq_admin_offset_rows(struct rmq_client *client, const char *cluster, rmq_offset_rows_fn done,
                          void *arg, struct rmq_err *err);

/* --- offsets of one queue; broker's master. RMQ_NOT_FOUND: none is stored. --- */
int rmq_admin_max_offset(struct rmq_client *client, const char *topic, const char *broker,
                         int32_t queue_id, rmq_offset_fn done, void *arg, struct rmq_err *err);
int rmq_admin_min_offset(struct rmq_client *client, const char *topic, const char *broker,
                         int32_t queue_id, rmq_offset_fn done, void *arg, struct rmq_err *err);
/* The first offset stored at or after the time. */
int rmq_admin_offset_by_time(struct rmq_client *client, const char *topic, const char *broker,
                             int32_t queue_id, int64_t time_ms, rmq_offset_fn done, void *arg,
                             struct rmq_err *err);
int rmq_admin_group_offset(struct rmq_client *client, const char *group, const char *topic,
                           const char *broker, int32_t queue_id, rmq_offset_fn done, void *arg,
                           struct rmq_err *err);
/* Store a group's offset, and hear of it (a broker refuses it for a group that it does not know).
 */
int rmq_admin_set_group_offset(struct rmq_client *client, const char *group, const char *topic,
                               const char *broker, int32_t queue_id, int64_t offset,
                               rmq_admin_fn done, void *arg, struct rmq_err *err);
/* Set back (or forth) a group's offsets of a topic to a time; -1: the end. */
int rmq_admin_reset_offsets(struct rmq_client *client, const char *group, const char *topic,
                            int64_t time_ms, bool force, rmq_admin_fn done, void *arg,
                            struct rmq_err *err);

#ifdef __cplusplus
}
#endif
#endif
