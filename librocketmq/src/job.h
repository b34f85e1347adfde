/* SPDX-License-Identifier: Apache-2.0 */
/* An operation of administration: find the brokers concerned, send each the same request, gather
 * the answers, tell the user. Thread: the client's loop. */
#ifndef RMQ_JOB_H
#define RMQ_JOB_H

#include <rocketmq/admin.h>
#include "client.h"

struct job {
    struct rmq_client *client;
    const char *what;     /* static: begins the texts of errors */
    struct rmq_buf frame; /* the request that each target gets */
    char *topic;          /* owned, as the next two; NULL: none */
    char *cluster, *broker;
    char **targets; /* broker names, owned */
    size_t target_count, target_room;
    size_t pending; /* answers that are still to come */
    int rc;         /* the first failure */
    struct rmq_err err;
    /* A target's answer, of whatever code. NULL: it must be a success and that is all. */
    int (*answer)(struct job *job, const char *broker, const struct rmq_command *reply,
                  struct rmq_err *err);
    void (*then)(struct job *job); /* all have answered well; NULL: end */
    void (*tell)(struct job *job); /* call the user's function, with rc and err */
    union {
        rmq_admin_fn admin;
        rmq_offset_fn offset;
        rmq_cluster_fn cluster;
        rmq_stats_fn stats;
        rmq_topics_fn topics;
        rmq_topic_rows_fn topic_rows;
        rmq_group_rows_fn group_rows;
        rmq_offset_rows_fn offset_rows;
    } done;
    void *arg;
    /* what some operations keep */
    int64_t offset;
    struct rmq_queue_stats *stats; /* owned; their broker is a name of targets */
    size_t stats_count;
    void *rows; /* owned; their texts are names of targets, or texts */
    size_t row_count;
    char **texts; /* owned, as are its items */
    size_t text_count;
    int32_t read_queues, write_queues, perm;
    uint64_t deadline_ms;
    size_t namesrv_answers;
};

/* With a copy of the request (which may be NULL) and of topic, cluster and broker (each may be
 * NULL). NULL: err says why. */
struct job *rmq_job_new(struct rmq_client *client, const char *what, struct rmq_command *request,
                        const char *topic, const char *cluster, const char *broker,
                        struct rmq_err *err);
void rmq_job_free(struct job *job);
/* Note a failure; the first one counts. broker may be NULL. */
void rmq_job_fail(struct job *job, const char *broker, int rc, const struct rmq_err *err);
/* Tell the user, and free the job. */
void rmq_job_end(struct job *job);
/* Begin: find the masters of job->cluster (NULL: of all), or the broker of that name, and send. On
 * failure the job is the caller's. */
int rmq_job_to_cluster(struct job *job, struct rmq_err *err);
/* The same with the masters of the topic's brokers, or with job->broker's alone. */
int rmq_job_to_topic(struct job *job, struct rmq_err *err);
/* Go on: send the request to every name server; then is called when all have answered. */
void rmq_job_to_namesrvs(struct job *job);
/* Replace the request. On failure job->rc is set. */
void rmq_job_set_request(struct job *job, struct rmq_command *request);

#endif
