/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of queues and of groups, and the statistics of a topic. */
#include <rocketmq/admin.h>
#include "job.h"
#include "reader.h"
#include <stdlib.h>

static int start(struct rmq_client *client, const char *what, struct rmq_command *request,
                 const char *topic, const char *broker, struct job **ret, struct rmq_err *err)
{
    struct rmq_err problem = {.code = 0};
    if (topic == NULL || topic[0] == '\0')
        return rmq_fail(err, RMQ_INVALID, "%s: the topic is missing", what);
    *ret = rmq_job_new(client, what, request, topic, NULL, broker, &problem);
    if (*ret == NULL)
        return rmq_fail(err, problem.code, "%s", problem.text);
    return 0;
}

static int run(struct job *job, struct rmq_err *err)
{
    int rc = rmq_job_to_topic(job, err);
    if (rc != 0)
        rmq_job_free(job);
    return rc;
}

/* --- one offset --- */

static void tell_offset(struct job *job)
{
    job->done.offset(job->arg, job->rc, job->rc == 0 ? job->offset : -1, &job->err);
}

static int take_offset(struct job *job, const char *broker, const struct rmq_command *reply,
                       struct rmq_err *err)
{
    (void)broker;
    if (reply->code == RMQ_REPLY_QUERY_NOT_FOUND)
        return rmq_fail(err, RMQ_NOT_FOUND, "no offset is stored");
    int rc = rmq_reply_check(reply, "offset", err);
    if (rc != 0)
        return rc;
    return rmq_command_get_int(reply, "offset", &job->offset) == 0
               ? 0
               : rmq_fail(err, RMQ_MALFORMED, "the reply has no offset");
}

static int ask_offset(struct rmq_client *client, const char *what, struct rmq_command *request,
                      const char *topic, const char *broker, int32_t queue_id, rmq_offset_fn done,
                      void *arg, struct rmq_err *err)
{
    struct job *job;
    rmq_command_add_str(request, "topic", topic);
    rmq_command_add_int(request, "queueId", queue_id);
    int rc = start(client, what, request, topic, broker, &job, err);
    if (rc != 0)
        return rc;
    job->answer = take_offset;
    job->tell = tell_offset;
    job->done.offset = done;
    job->arg = arg;
    return run(job, err);
}

int rmq_admin_max_offset(struct rmq_client *client, const char *topic, const char *broker,
                         int32_t queue_id, rmq_offset_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_GET_MAX_OFFSET);
    return ask_offset(client, "max offset", &request, topic, broker, queue_id, done, arg, err);
}

int rmq_admin_min_offset(struct rmq_client *client, const char *topic, const char *broker,
                         int32_t queue_id, rmq_offset_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_GET_MIN_OFFSET);
    return ask_offset(client, "min offset", &request, topic, broker, queue_id, done, arg, err);
}

int rmq_admin_offset_by_time(struct rmq_client *client, const char *topic, const char *broker,
                             int32_t queue_id, int64_t time_ms, rmq_offset_fn done, void *arg,
                             struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_SEARCH_OFFSET_BY_TIMESTAMP);
    rmq_command_add_int(&request, "timestamp", time_ms);
    return ask_offset(client, "offset by time", &request, topic, broker, queue_id, done, arg, err);
}

int rmq_admin_group_offset(struct rmq_client *client, const char *group, const char *topic,
                           const char *broker, int32_t queue_id, rmq_offset_fn done, void *arg,
                           struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_QUERY_CONSUMER_OFFSET);
    rmq_command_add_str(&request, "consumerGroup", group);
    /* Else a broker answers 0 for a group without an offset while a queue is young. */
    rmq_command_add_str(&request, "setZeroIfNotFound", "false");
    return ask_offset(client, "group offset", &request, topic, broker, queue_id, done, arg, err);
}

/* --- changes --- */

static void tell_admin(struct job *job)
{
    job->done.admin(job->arg, job->rc, &job->err);
}

int rmq_admin_set_group_offset(struct rmq_client *client, const char *group, const char *topic,
                               const char *broker, int32_t queue_id, int64_t offset,
                               rmq_admin_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    struct job *job;
    rmq_command_init(&request, RMQ_UPDATE_CONSUMER_OFFSET);
    rmq_command_add_str(&request, "consumerGroup", group);
    rmq_command_add_str(&request, "topic", topic);
    rmq_command_add_int(&request, "queueId", queue_id);
    rmq_command_add_int(&request, "commitOffset", offset);
    int rc = start(client, "set group offset", &request, topic, broker, &job, err);
    if (rc != 0)
        return rc;
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return run(job, err);
}

int rmq_admin_reset_offsets(struct rmq_client *client, const char *group, const char *topic,
                            int64_t time_ms, bool force, rmq_admin_fn done, void *arg,
                            struct rmq_err *err)
{
    struct rmq_command request;
    struct job *job;
    rmq_command_init(&request, RMQ_INVOKE_RESET_OFFSET);
    rmq_command_add_str(&request, "topic", topic);
    rmq_command_add_str(&request, "group", group);
    rmq_command_add_int(&request, "timestamp", time_ms);
    rmq_command_add_str(&request, "isForce", force ? "true" : "false");
    int rc = start(client, "reset offsets", &request, topic, NULL, &job, err);
    if (rc != 0)
        return rc;
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return run(job, err);
}

/* --- statistics --- */

static int by_queue(const void *a, const void *b)
{
    const struct rmq_queue_stats *left = a, *right = b;
    int order = strcmp(left->queue.broker, right->queue.broker);
    return order != 0 ? order
                      : (left->queue.id > right->queue.id) - (left->queue.id < right->queue.id);
}

static void tell_stats(struct job *job)
{
    if (job->rc == 0 && job->stats_count > 1)
        qsort(job->stats, job->stats_count, sizeof(*job->stats), by_queue);
    job->done.stats(job->arg, job->rc, job->stats, job->rc == 0 ? job->stats_count : 0, &job->err);
}

/* The id in {"brokerName":"b","queueId":0,"topic":"t"}, the key just read. */
static int64_t read_queue_id(struct rmq_reader *table)
{
    struct rmq_reader key;
    int64_t id = -1;
    rmq_reader_init(&key, table->json.text);
    if (rmq_read_object(&key)) {
        while (rmq_read_key(&key)) {
            if (rmq_read_key_is(&key, "queueId"))
                id = rmq_read_int(&key, 0, INT32_MAX);
            else
                rmq_read_skip(&key);
        }
    }
    if (rmq_reader_end(&key, "", NULL) != 0 || id < 0)
        rmq_read_fail(table, RMQ_MALFORMED, "a key is not a queue");
    rmq_reader_deinit(&key);
    return id;
}

static void read_stats(struct job *job, struct rmq_reader *reader, const char *broker)
{
    struct rmq_queue_stats stats = {.queue = {broker, (int32_t)read_queue_id(reader)}};
    if (!rmq_read_object(reader))
        return;
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "minOffset"))
            stats.min_offset = rmq_read_int(reader, INT64_MIN, INT64_MAX);
        else if (rmq_read_key_is(reader, "maxOffset"))
            stats.max_offset = rmq_read_int(reader, INT64_MIN, INT64_MAX);
        else if (rmq_read_key_is(reader, "lastUpdateTimestamp"))
            stats.last_update_ms = rmq_read_int(reader, INT64_MIN, INT64_MAX);
        else
            rmq_read_skip(reader);
    }
    if (rmq_read_grow(reader, &job->stats, job->stats_count, sizeof(stats)))
        job->stats[job->stats_count++] = stats;
}

static int take_stats(struct job *job, const char *broker, const struct rmq_command *reply,
                      struct rmq_err *err)
{
    struct rmq_reader reader;
    int rc = rmq_reply_check(reply, "statistics", err);
    if (rc != 0)
        return rc;
    rmq_reader_init(&reader, reply->body);
    (void)rmq_read_object(&reader);
    while (rmq_read_key(&reader)) {
        if (!rmq_read_key_is(&reader, "offsetTable")) {
            rmq_read_skip(&reader);
            continue;
        }
        if (!rmq_read_object(&reader))
            continue;
        while (rmq_read_key(&reader))
            read_stats(job, &reader, broker);
    }
    rc = rmq_reader_end(&reader, "statistics", err);
    rmq_reader_deinit(&reader);
    return rc;
}

int rmq_admin_topic_stats(struct rmq_client *client, const char *topic, rmq_stats_fn done,
                          void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    struct job *job;
    rmq_command_init(&request, RMQ_GET_TOPIC_STATS);
    rmq_command_add_str(&request, "topic", topic);
    int rc = start(client, "topic statistics", &request, topic, NULL, &job, err);
    if (rc != 0)
        return rc;
    job->answer = take_stats;
    job->tell = tell_stats;
    job->done.stats = done;
    job->arg = arg;
    return run(job, err);
}
