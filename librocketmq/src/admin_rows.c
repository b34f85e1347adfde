/* SPDX-License-Identifier: Apache-2.0 */
/* Whole tables of brokers: topics, groups, offsets of groups. Each master sends its own; rows are
 * gathered in the order of the answers. */
#include <rocketmq/admin.h>
#include "job.h"
#include "reader.h"
#include <stdlib.h>

/* A text that lives as long as the job. NULL: the reader has failed. */
static const char *keep(struct job *job, struct rmq_reader *reader, const char *text)
{
    if (text == NULL || !rmq_read_grow(reader, &job->texts, job->text_count, sizeof(*job->texts)))
        return NULL;
    char *copy = strdup(text);
    if (copy == NULL)
        rmq_read_fail(reader, RMQ_NO_MEMORY, "out of memory");
    else
        job->texts[job->text_count++] = copy;
    return copy;
}

/* Enter the member of that name of the whole reply and have row() take each of its members. */
static int take_table(struct job *job, const char *broker, const struct rmq_command *reply,
                      const char *what, const char *table,
                      void (*row)(struct job *job, struct rmq_reader *reader, const char *broker),
                      struct rmq_err *err)
{
    struct rmq_reader reader;
    int rc = rmq_reply_check(reply, what, err);
    if (rc != 0)
        return rc;
    rmq_reader_init(&reader, reply->body);
    (void)rmq_read_object(&reader);
    while (rmq_read_key(&reader)) {
        if (!rmq_read_key_is(&reader, table)) {
            rmq_read_skip(&reader);
            continue;
        }
        if (!rmq_read_object(&reader))
            continue;
        while (rmq_read_key(&reader))
            row(job, &reader, broker);
    }
    rc = rmq_reader_end(&reader, what, err);
    rmq_reader_deinit(&reader);
    return rc;
}

static int start(struct rmq_client *client, const char *what, int32_t code, const char *cluster,
                 struct job **ret, struct rmq_err *err)
{
    struct rmq_err problem = {.code = 0};
    struct rmq_command request;
    rmq_command_init(&request, code);
    struct job *job = rmq_job_new(client, what, &request, NULL, cluster, NULL, &problem);
    if (job == NULL)
        return rmq_fail(err, problem.code != 0 ? problem.code : RMQ_NO_MEMORY, "%s", problem.text);
    *ret = job;
    return 0;
}

static int run(struct job *job, struct rmq_err *err)
{
    int rc = rmq_job_to_cluster(job, err);
    if (rc != 0)
        rmq_job_free(job);
    return rc;
}

/* --- topics --- */

static void topic_row(struct job *job, struct rmq_reader *reader, const char *broker)
{
    struct rmq_topic_row row = {.broker = broker};
    row.topic = keep(job, reader, rmq_read_key_text(reader));
    if (!rmq_read_object(reader))
        return;
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "readQueueNums"))
            row.read_queues = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else if (rmq_read_key_is(reader, "writeQueueNums"))
            row.write_queues = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else if (rmq_read_key_is(reader, "perm"))
            row.perm = (int32_t)rmq_read_int(reader, 0, INT32_MAX);
        else if (rmq_read_key_is(reader, "order"))
            row.order = rmq_read_bool(reader);
        else
            rmq_read_skip(reader);
    }
    struct rmq_topic_row **rows = (struct rmq_topic_row **)&job->rows;
    if (row.topic != NULL && rmq_read_grow(reader, rows, job->row_count, sizeof(row)))
        (*rows)[job->row_count++] = row;
}

static int take_topics(struct job *job, const char *broker, const struct rmq_command *reply,
                       struct rmq_err *err)
{
    return take_table(job, broker, reply, "topics", "topicConfigTable", topic_row, err);
}

static void tell_topics(struct job *job)
{
    job->done.topic_rows(job->arg, job->rc, job->rows, job->rc == 0 ? job->row_count : 0,
                         &job->err);
}

int rmq_admin_topic_rows(struct rmq_client *client, const char *cluster, rmq_topic_rows_fn done,
                         void *arg, struct rmq_err *err)
{
    struct job *job;
    int rc = start(client, "topics", RMQ_GET_ALL_TOPIC_CONFIG, cluster, &job, err);
    if (rc != 0)
        return rc;
    job->answer = take_topics;
    job->tell = tell_topics;
    job->done.topic_rows = done;
    job->arg = arg;
    return run(job, err);
}

/* --- groups --- */

static void group_row(struct job *job, struct rmq_reader *reader, const char *broker)
{
    struct rmq_group_row row = {.broker = broker, .retry_queues = 1, .retry_max = 16};
    row.group = keep(job, reader, rmq_read_key_text(reader));
    if (!rmq_read_object(reader))
        return;
    while (rmq_read_key(reader)) {
        if (rmq_read_key_is(reader, "consumeEnable"))
            row.consume_disabled = !rmq_read_bool(reader);
        else if (rmq_read_key_is(reader, "consumeBroadcastEnable"))
            row.broadcast_disabled = !rmq_read_bool(reader);
        else if (rmq_read_key_is(reader, "consumeFromMinEnable"))
            row.from_min_disabled = !rmq_read_bool(reader);
        else if (rmq_read_key_is(reader, "consumeMessageOrderly"))
            row.orderly = rmq_read_bool(reader);
        else if (rmq_read_key_is(reader, "retryQueueNums"))
            row.retry_queues = (int32_t)rmq_read_int(reader, INT32_MIN, INT32_MAX);
        else if (rmq_read_key_is(reader, "retryMaxTimes"))
            row.retry_max = (int32_t)rmq_read_int(reader, INT32_MIN, INT32_MAX);
        else
            rmq_read_skip(reader);
    }
    struct rmq_group_row **rows = (struct rmq_group_row **)&job->rows;
    if (row.group != NULL && rmq_read_grow(reader, rows, job->row_count, sizeof(row)))
        (*rows)[job->row_count++] = row;
}

static int take_groups(struct job *job, const char *broker, const struct rmq_command *reply,
                       struct rmq_err *err)
{
    return take_table(job, broker, reply, "groups", "subscriptionGroupTable", group_row, err);
}

static void tell_groups(struct job *job)
{
    job->done.group_rows(job->arg, job->rc, job->rows, job->rc == 0 ? job->row_count : 0,
                         &job->err);
}

int rmq_admin_group_rows(struct rmq_client *client, const char *cluster, rmq_group_rows_fn done,
                         void *arg, struct rmq_err *err)
{
    struct job *job;
    int rc = start(client, "groups", RMQ_GET_ALL_GROUP_CONFIG, cluster, &job, err);
    if (rc != 0)
        return rc;
    job->answer = take_groups;
    job->tell = tell_groups;
    job->done.group_rows = done;
    job->arg = arg;
    return run(job, err);
}

/* --- offsets --- */

/* "TOPIC@GROUP": {0: 12, 1: 9} */
static void offset_rows(struct job *job, struct rmq_reader *reader, const char *broker)
{
    struct rmq_offset_row row = {.broker = broker};
    int64_t id;
    char *both = NULL;
    row.topic = keep(job, reader, rmq_read_key_text(reader));
    if (row.topic != NULL)
        both = job->texts[job->text_count - 1];
    char *at = both != NULL ? strchr(both, '@') : NULL; /* neither name can have one */
    if (at != NULL) {
        *at = '\0';
        row.group = at + 1;
    }
    if (!rmq_read_object(reader))
        return;
    while (rmq_read_key(reader)) {
        if (!rmq_parse_i64(reader->json.text, &id) || id < 0 || id > INT32_MAX) {
            rmq_read_fail(reader, RMQ_MALFORMED, "a key is not a queue's number");
            return;
        }
        row.queue_id = (int32_t)id;
        row.offset = rmq_read_int(reader, INT64_MIN, INT64_MAX);
        struct rmq_offset_row **rows = (struct rmq_offset_row **)&job->rows;
        if (row.group != NULL && rmq_read_grow(reader, rows, job->row_count, sizeof(row)))
            (*rows)[job->row_count++] = row;
    }
}

static int take_offsets(struct job *job, const char *broker, const struct rmq_command *reply,
                        struct rmq_err *err)
{
    return take_table(job, broker, reply, "offsets", "offsetTable", offset_rows, err);
}

static void tell_offsets(struct job *job)
{
    job->done.offset_rows(job->arg, job->rc, job->rows, job->rc == 0 ? job->row_count : 0,
                          &job->err);
}

int rmq_admin_offset_rows(struct rmq_client *client, const char *cluster, rmq_offset_rows_fn done,
                          void *arg, struct rmq_err *err)
{
    struct job *job;
    int rc = start(client, "offsets", RMQ_GET_ALL_CONSUMER_OFFSET, cluster, &job, err);
    if (rc != 0)
        return rc;
    job->answer = take_offsets;
    job->tell = tell_offsets;
    job->done.offset_rows = done;
    job->arg = arg;
    return run(job, err);
}
