/* SPDX-License-Identifier: Apache-2.0 */
/* Topics, groups and the cluster. */
#include <rocketmq/admin.h>
#include "job.h"
#include "route_data.h"
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 127, APPEAR_MS = 10000, APPEAR_LOOK_MS = 20, BODY_MAX = 4096 };

static void tell_admin(struct job *job)
{
    job->done.admin(job->arg, job->rc, &job->err);
}

/* Brokers of some versions accept any name for a group, and then cannot find its retry topic. */
static int check_name(const char *what, const char *name, struct rmq_err *err)
{
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0 || len > NAME_MAX_BYTES)
        return rmq_fail(err, RMQ_INVALID, "%s of %zu bytes; 1 to %d are allowed", what, len,
                        NAME_MAX_BYTES);
    size_t good = strspn(name, "%|_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789");
    if (good != len)
        return rmq_fail(err, RMQ_INVALID, "%s '%s': byte %zu is none of letters, digits, %% | _ -",
                        what, name, good + 1);
    return 0;
}

/* Begin, or give the job back. */
static int begin(struct job *job, int (*to)(struct job *job, struct rmq_err *err),
                 struct rmq_err *err)
{
    int rc = to(job, err);
    if (rc != 0)
        rmq_job_free(job);
    return rc;
}

static int no_job(const struct rmq_client *client, const struct rmq_err *err)
{
    if (client->closed)
        return RMQ_CLOSED;
    return err != NULL && err->code < 0 ? err->code : RMQ_NO_MEMORY;
}

/* --- create topic --- */

static void look_for_topic(struct job *job);

static void on_topic_cached(void *arg, int rc, const struct rmq_route *route,
                            const struct rmq_err *err)
{
    (void)rc; /* all that matters is that the old one has been replaced */
    (void)route;
    (void)err;
    rmq_job_end(arg);
}

static void on_look_again(void *arg, int rc)
{
    struct job *job = arg;
    struct rmq_err err;
    if (rc == 0) {
        look_for_topic(job);
        return;
    }
    rmq_job_fail(job, NULL, rmq_fail(&err, rc, "the client is closed"), &err);
    rmq_job_end(job);
}

/* Whether a name server's route has all targets as they were ordered. */
static bool shows(const struct job *job, const struct rmq_command *reply)
{
    struct rmq_route_data data;
    size_t found = 0;
    if (reply->code != RMQ_REPLY_SUCCESS)
        return false;
    bool parsed = rmq_route_data_parse(&data, reply->body, NULL) == 0;
    for (size_t i = 0; parsed && i < job->target_count; i++) {
        for (size_t j = 0; j < data.queue_count; j++) {
            const struct rmq_queue_data *queue = &data.queues[j];
            found += strcmp(queue->broker, job->targets[i]) == 0 &&
                     queue->read_queues == job->read_queues &&
                     queue->write_queues == job->write_queues && queue->perm == job->perm;
        }
    }
    rmq_route_data_deinit(&data);
    return found >= job->target_count;
}

/* pending counts name servers; offset those that do not show it yet. */
static void looked(struct job *job)
{
    struct rmq_err err;
    int rc = 0;
    if (--job->pending > 0)
        return;
    if (job->namesrv_answers > 0 && job->offset == 0) {
        rc = rmq_client_route(job->client, job->topic, true, on_topic_cached, job, &err);
    } else if (uv_now(job->client->loop) >= job->deadline_ms) {
        rc = rmq_fail(&err, RMQ_TIMEOUT, "the brokers have it, but %s after %d s",
                      job->namesrv_answers == 0 ? "no name server answers"
                                                : "not all name servers show it",
                      APPEAR_MS / 1000);
    } else {
        rc = rmq_client_delay(job->client, APPEAR_LOOK_MS, on_look_again, job, &err);
    }
    if (rc != 0) {
        rmq_job_fail(job, NULL, rc, &err);
        rmq_job_end(job);
    }
}

static void on_look(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct job *job = arg;
    (void)err;
    if (rc == 0) { /* one that does not answer is not waited for */
        job->namesrv_answers++;
        job->offset += !shows(job, reply);
    }
    looked(job);
}

static void look_for_topic(struct job *job)
{
    struct rmq_client *client = job->client;
    struct rmq_command request;
    job->pending = 1;
    job->namesrv_answers = 0;
    job->offset = 0;
    for (size_t i = 0; i < client->namesrv_count; i++) {
        struct rmq_server *server = rmq_namesrv(client, i, NULL);
        rmq_command_init(&request, RMQ_GET_ROUTE);
        rmq_command_add_str(&request, "topic", job->topic);
        job->pending +=
            server != NULL && rmq_server_call(server, &request, 0, on_look, job, NULL) == 0;
    }
    looked(job);
}

static void created(struct job *job)
{
    job->deadline_ms = uv_now(job->client->loop) + APPEAR_MS;
    look_for_topic(job);
}

int rmq_admin_create_topic(struct rmq_client *client, const struct rmq_topic_options *given,
                           rmq_admin_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_topic_options options = {.topic = NULL};
    struct rmq_command request;
    memcpy(&options, given,
           given->struct_size < sizeof(options) ? given->struct_size : sizeof(options));
    int rc = check_name("topic", options.topic, err);
    if (rc != 0)
        return rc;
    if (options.read_queues < 0 || options.write_queues < 0 || options.perm < 0 || options.perm > 7)
        return rmq_fail(err, RMQ_INVALID, "topic %s: %d read queues, %d write queues, perm %d",
                        options.topic, (int)options.read_queues, (int)options.write_queues,
                        (int)options.perm);
    int32_t reads = options.read_queues == 0 ? 4 : options.read_queues;
    int32_t writes = options.write_queues == 0 ? 4 : options.write_queues;
    int32_t perm = options.perm == 0 ? RMQ_PERM_READ | RMQ_PERM_WRITE : options.perm;
    rmq_command_init(&request, RMQ_UPDATE_AND_CREATE_TOPIC);
    rmq_command_add_str(&request, "topic", options.topic);
    rmq_command_add_str(&request, "defaultTopic", "TBW102");
    rmq_command_add_int(&request, "readQueueNums", reads);
    rmq_command_add_int(&request, "writeQueueNums", writes);
    rmq_command_add_int(&request, "perm", perm);
    rmq_command_add_str(&request, "topicFilterType", "SINGLE_TAG");
    rmq_command_add_int(&request, "topicSysFlag", 0);
    rmq_command_add_str(&request, "order", options.order ? "true" : "false");
    if (options.attributes != NULL && options.attributes[0] != '\0')
        rmq_command_add_str(&request, "attributes", options.attributes);
    rmq_command_add_str(&request, "force", "false");
    struct job *job = rmq_job_new(client, "create topic", &request, options.topic, options.cluster,
                                  options.broker, err);
    if (job == NULL)
        return no_job(client, err);
    job->read_queues = reads;
    job->write_queues = writes;
    job->perm = perm;
    job->then = created;
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return begin(job, rmq_job_to_cluster, err);
}

/* --- delete topic --- */

static void deleted_in_brokers(struct job *job)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_DELETE_TOPIC_IN_NAMESRV);
    rmq_command_add_str(&request, "topic", job->topic);
    rmq_job_set_request(job, &request);
    job->then = NULL;
    if (job->rc != 0)
        rmq_job_end(job);
    else
        rmq_job_to_namesrvs(job);
}

int rmq_admin_delete_topic(struct rmq_client *client, const char *topic, rmq_admin_fn done,
                           void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    int rc = check_name("topic", topic, err);
    if (rc != 0)
        return rc;
    rmq_command_init(&request, RMQ_DELETE_TOPIC_IN_BROKER);
    rmq_command_add_str(&request, "topic", topic);
    struct job *job = rmq_job_new(client, "delete topic", &request, topic, NULL, NULL, err);
    if (job == NULL)
        return no_job(client, err);
    job->then = deleted_in_brokers;
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return begin(job, rmq_job_to_cluster, err);
}

/* --- groups --- */

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

int rmq_admin_create_group(struct rmq_client *client, const struct rmq_group_options *given,
                           rmq_admin_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_group_options options = {.group = NULL};
    struct rmq_command request;
    char body[BODY_MAX];
    memcpy(&options, given,
           given->struct_size < sizeof(options) ? given->struct_size : sizeof(options));
    int rc = check_name("group", options.group, err);
    if (rc != 0)
        return rc;
    int len = snprintf(
        body, sizeof(body),
        "{\"groupName\":\"%s\",\"consumeEnable\":%s,\"consumeFromMinEnable\":%s,"
        "\"consumeBroadcastEnable\":%s,\"consumeMessageOrderly\":%s,\"retryQueueNums\":%d,"
        "\"retryMaxTimes\":%d,\"brokerId\":0,\"whichBrokerWhenConsumeSlowly\":1,"
        "\"notifyConsumerIdsChangedEnable\":true,\"groupSysFlag\":0,\"consumeTimeoutMinute\":15}",
        options.group /* checked: needs no escape */, truth(!options.consume_disabled),
        truth(!options.from_min_disabled), truth(!options.broadcast_disabled),
        truth(options.orderly), options.retry_queues == 0 ? 1 : (int)options.retry_queues,
        options.retry_max == 0 ? 16 : (int)options.retry_max);
    rmq_command_init(&request, RMQ_UPDATE_GROUP);
    request.body = rmq_view(body, (size_t)len);
    struct job *job =
        rmq_job_new(client, "create group", &request, NULL, options.cluster, options.broker, err);
    if (job == NULL)
        return no_job(client, err);
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return begin(job, rmq_job_to_cluster, err);
}

int rmq_admin_delete_group(struct rmq_client *client, const char *group, bool clean_offsets,
                           rmq_admin_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    int rc = check_name("group", group, err);
    if (rc != 0)
        return rc;
    rmq_command_init(&request, RMQ_DELETE_GROUP);
    rmq_command_add_str(&request, "groupName", group);
    rmq_command_add_str(&request, "cleanOffset", truth(clean_offsets));
    struct job *job = rmq_job_new(client, "delete group", &request, NULL, NULL, NULL, err);
    if (job == NULL)
        return no_job(client, err);
    job->tell = tell_admin;
    job->done.admin = done;
    job->arg = arg;
    return begin(job, rmq_job_to_cluster, err);
}

/* --- the cluster, and all topics --- */

static void on_cluster_told(void *arg, int rc, const struct rmq_command *reply,
                            const struct rmq_err *err)
{
    struct job *job = arg;
    struct rmq_route_data data;
    struct rmq_err problem;
    struct rmq_broker_info *brokers = NULL;
    struct rmq_broker_address *addresses = NULL;
    if (rc == 0)
        rc = rmq_reply_check(reply, "cluster", &problem);
    else
        problem = *err;
    if (rc != 0) {
        job->done.cluster(job->arg, rc, NULL, 0, &problem);
        rmq_job_free(job);
        return;
    }
    rc = rmq_cluster_data_parse(&data, reply->body, &problem);
    if (rc == 0) {
        brokers = calloc(data.broker_count + 1, sizeof(*brokers));
        addresses = calloc(data.address_count + 1, sizeof(*addresses));
        if (brokers == NULL || addresses == NULL)
            rc = rmq_fail(&problem, RMQ_NO_MEMORY, "cluster: out of memory");
    }
    for (size_t i = 0; rc == 0 && i < data.address_count; i++)
        addresses[i] = (struct rmq_broker_address){data.addresses[i].id, data.addresses[i].address};
    for (size_t i = 0; rc == 0 && i < data.broker_count; i++) {
        const struct rmq_broker_data *broker = &data.brokers[i];
        brokers[i] = (struct rmq_broker_info){broker->cluster, broker->name, broker->count,
                                              addresses + broker->first};
    }
    job->done.cluster(job->arg, rc, brokers, rc == 0 ? data.broker_count : 0, &problem);
    rmq_job_free(job);
    free(brokers);
    free(addresses);
    rmq_route_data_deinit(&data);
}

int rmq_admin_cluster(struct rmq_client *client, rmq_cluster_fn done, void *arg,
                      struct rmq_err *err)
{
    struct rmq_command request;
    struct job *job = rmq_job_new(client, "cluster", NULL, NULL, NULL, NULL, err);
    if (job == NULL)
        return no_job(client, err);
    job->done.cluster = done;
    job->arg = arg;
    rmq_command_init(&request, RMQ_GET_CLUSTER_INFO);
    int rc = rmq_client_call_namesrv(client, &request, 0, on_cluster_told, job, err);
    if (rc != 0)
        rmq_job_free(job);
    return rc;
}

static void on_topics(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct job *job = arg;
    struct rmq_err problem;
    struct rmq_reader reader;
    const char **topics = NULL, *topic;
    size_t count = 0;
    if (rc == 0)
        rc = rmq_reply_check(reply, "topics", &problem);
    else
        problem = *err;
    if (rc != 0) {
        job->done.topics(job->arg, rc, NULL, 0, &problem);
        rmq_job_free(job);
        return;
    }
    rmq_reader_init(&reader, reply->body);
    (void)rmq_read_object(&reader);
    while (rmq_read_key(&reader)) {
        if (!rmq_read_key_is(&reader, "topicList")) {
            rmq_read_skip(&reader);
            continue;
        }
        if (!rmq_read_array(&reader))
            continue;
        while ((topic = rmq_read_item_string(&reader)) != NULL &&
               rmq_read_grow(&reader, &topics, count, sizeof(*topics)))
            topics[count++] = topic;
    }
    rc = rmq_reader_end(&reader, "topics", &problem);
    job->done.topics(job->arg, rc, topics, rc == 0 ? count : 0, &problem);
    rmq_job_free(job);
    free(topics);
    rmq_reader_deinit(&reader);
}

int rmq_admin_topics(struct rmq_client *client, rmq_topics_fn done, void *arg, struct rmq_err *err)
{
    struct rmq_command request;
    struct job *job = rmq_job_new(client, "topics", NULL, NULL, NULL, NULL, err);
    if (job == NULL)
        return no_job(client, err);
    job->done.topics = done;
    job->arg = arg;
    rmq_command_init(&request, RMQ_GET_ALL_TOPICS);
    int rc = rmq_client_call_namesrv(client, &request, 0, on_topics, job, err);
    if (rc != 0)
        rmq_job_free(job);
    return rc;
}
