/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on several brokers, step by step: the targets, their answers, the end. */
#include "job.h"
#include "route_data.h"
#include <stdio.h>
#include <stdlib.h>

/* One request of a job that is under way. */
struct errand {
    struct job *job;
    const char *name; /* of the server, for errors; lives as long as the job or the client */
};

static int copy(const char *text, char **ret)
{
    *ret = text == NULL ? NULL : strdup(text);
    return text == NULL || *ret != NULL ? 0 : RMQ_NO_MEMORY;
}

struct job *rmq_job_new(struct rmq_client *client, const char *what, struct rmq_command *request,
                        const char *topic, const char *cluster, const char *broker,
                        struct rmq_err *err)
{
    if (client->closed) {
        rmq_fail(err, RMQ_CLOSED, "%s: the client is closed", what);
        return NULL;
    }
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        rmq_fail(err, RMQ_NO_MEMORY, "%s: out of memory", what);
        return NULL;
    }
    job->client = client;
    job->what = what;
    rmq_buf_init(&job->frame, RMQ_FRAME_MAX);
    if (copy(topic, &job->topic) != 0 || copy(cluster, &job->cluster) != 0 ||
        copy(broker, &job->broker) != 0) {
        rmq_fail(err, RMQ_NO_MEMORY, "%s: out of memory", what);
        rmq_job_free(job);
        return NULL;
    }
    if (request != NULL && rmq_command_encode(request, &job->frame, err) != 0) {
        rmq_job_free(job);
        return NULL;
    }
    return job;
}

void rmq_job_free(struct job *job)
{
    for (size_t i = 0; i < job->target_count; i++)
        free(job->targets[i]);
    free(job->targets);
    free(job->topic);
    free(job->cluster);
    free(job->broker);
    free(job->stats);
    for (size_t i = 0; i < job->text_count; i++)
        free(job->texts[i]);
    free(job->texts);
    free(job->rows);
    rmq_buf_deinit(&job->frame);
    free(job);
}

void rmq_job_fail(struct job *job, const char *broker, int rc, const struct rmq_err *err)
{
    if (job->rc != 0)
        return;
    job->rc = rc;
    rmq_fail(&job->err, rc, "%s%s%s: %.170s", job->what, broker == NULL ? "" : ", ",
             broker == NULL ? "" : broker, err->text);
    job->err.server_code = err->server_code;
}

void rmq_job_end(struct job *job)
{
    job->tell(job);
    rmq_job_free(job);
}

void rmq_job_set_request(struct job *job, struct rmq_command *request)
{
    struct rmq_err err;
    job->frame.len = 0;
    int rc = rmq_command_encode(request, &job->frame, &err);
    if (rc != 0)
        rmq_job_fail(job, NULL, rc, &err);
}

/* --- answers --- */

static void answered(struct job *job)
{
    if (--job->pending > 0)
        return;
    if (job->rc == 0 && job->then != NULL)
        job->then(job);
    else
        rmq_job_end(job);
}

static void on_answer(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct errand *errand = arg;
    struct job *job = errand->job;
    struct rmq_err problem;
    if (rc != 0)
        problem = *err;
    else if (job->answer != NULL)
        rc = job->answer(job, errand->name, reply, &problem);
    else
        rc = rmq_reply_check(reply, "request", &problem);
    if (rc != 0)
        rmq_job_fail(job, errand->name, rc, &problem);
    free(errand);
    answered(job);
}

/* Send the job's request: to the named broker's master, or (server not NULL) there. */
static void send_one(struct job *job, const char *name, struct rmq_server *server)
{
    struct rmq_command request;
    struct rmq_err err;
    struct errand *errand = calloc(1, sizeof(*errand));
    rmq_command_init(&request, 0);
    int rc = errand == NULL ? rmq_fail(&err, RMQ_NO_MEMORY, "out of memory")
                            : rmq_command_decode(&request, rmq_buf_view(&job->frame), &err);
    if (rc == 0) {
        errand->job = job;
        errand->name = name;
        rc = server != NULL ? rmq_server_call(server, &request, 0, on_answer, errand, &err)
                            : rmq_client_call_broker(job->client, name, 0, &request, 0, on_answer,
                                                     errand, &err);
    }
    rmq_command_deinit(&request);
    if (rc == 0) {
        job->pending++;
        return;
    }
    free(errand);
    rmq_job_fail(job, name, rc, &err);
}

static void send_all(struct job *job)
{
    job->pending = 1; /* until all are on their way */
    if (job->target_count == 0) {
        struct rmq_err err;
        int rc = rmq_fail(&err, RMQ_NOT_FOUND, "no broker%s%s with a master is known",
                          job->broker != NULL    ? " of the name "
                          : job->cluster != NULL ? " of cluster "
                                                 : "",
                          job->broker != NULL    ? job->broker
                          : job->cluster != NULL ? job->cluster
                                                 : "");
        rmq_job_fail(job, NULL, rc, &err);
    }
    for (size_t i = 0; i < job->target_count; i++)
        send_one(job, job->targets[i], NULL);
    answered(job);
}

void rmq_job_to_namesrvs(struct job *job)
{
    struct rmq_client *client = job->client;
    job->pending = 1;
    for (size_t i = 0; i < client->namesrv_count; i++) {
        struct rmq_err err;
        struct rmq_server *server = rmq_namesrv(client, i, &err);
        if (server == NULL)
            rmq_job_fail(job, client->namesrvs[i], err.code, &err);
        else
            send_one(job, client->namesrvs[i], server);
    }
    answered(job);
}

/* --- targets --- */

static void add_target(struct job *job, const char *name)
{
    struct rmq_err err;
    if (job->target_count == job->target_room) {
        size_t room = job->target_room == 0 ? 8 : job->target_room * 2;
        char **larger = realloc(job->targets, room * sizeof(char *));
        if (larger != NULL) {
            job->targets = larger;
            job->target_room = room;
        }
    }
    if (job->target_count < job->target_room &&
        (job->targets[job->target_count] = strdup(name)) != NULL) {
        job->target_count++;
        return;
    }
    rmq_job_fail(job, NULL, rmq_fail(&err, RMQ_NO_MEMORY, "out of memory"), &err);
}

static void on_cluster(void *arg, int rc, const struct rmq_command *reply,
                       const struct rmq_err *err)
{
    struct job *job = arg;
    struct rmq_route_data data;
    struct rmq_err problem;
    bool moved = false;
    if (rc != 0)
        problem = *err;
    else
        rc = rmq_reply_check(reply, "cluster information", &problem);
    if (rc == 0) {
        rc = rmq_cluster_data_parse(&data, reply->body, &problem);
        if (rc == 0 && (rc = rmq_brokers_learn(job->client, &data, true, &moved)) != 0)
            rmq_fail(&problem, rc, "out of memory");
        for (size_t i = 0; rc == 0 && i < data.broker_count; i++) {
            const struct rmq_broker_data *broker = &data.brokers[i];
            bool wanted = job->broker != NULL
                              ? strcmp(broker->name, job->broker) == 0
                              : job->cluster == NULL || strcmp(broker->cluster, job->cluster) == 0;
            if (wanted && data.addresses[broker->first].id == 0)
                add_target(job, broker->name);
        }
        rmq_route_data_deinit(&data);
        if (moved)
            rmq_heartbeat_changed(job->client, false);
    }
    if (rc != 0)
        rmq_job_fail(job, NULL, rc, &problem);
    if (job->rc != 0)
        rmq_job_end(job);
    else
        send_all(job);
}

int rmq_job_to_cluster(struct job *job, struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, RMQ_GET_CLUSTER_INFO);
    return rmq_client_call_namesrv(job->client, &request, 0, on_cluster, job, err);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct job *job = arg;
    for (size_t i = 0; rc == 0 && i < route->broker_count; i++) {
        if (job->broker == NULL || strcmp(route->brokers[i], job->broker) == 0)
            add_target(job, route->brokers[i]);
    }
    if (rc != 0)
        rmq_job_fail(job, NULL, rc, err);
    if (job->rc != 0)
        rmq_job_end(job);
    else
        send_all(job);
}

int rmq_job_to_topic(struct job *job, struct rmq_err *err)
{
    return rmq_client_route(job->client, job->topic, false, on_route, job, err);
}
