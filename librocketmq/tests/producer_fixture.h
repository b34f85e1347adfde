/* SPDX-License-Identifier: Apache-2.0 */
/* Mock broker, client and producer on one loop, and what has become of each send. */
#ifndef PRODUCER_FIXTURE_H
#define PRODUCER_FIXTURE_H

#include "mock.h"
#include <jansson.h>
#include <rocketmq/producer.h>

enum { SENDS = 2000 };

struct outcome {
    struct fixture *fixture;
    int number;
    int calls;
    int rc;
    int place; /* in the order of their ends */
    int32_t server_code;
    char broker[32];
    int32_t queue_id;
    int64_t queue_offset;
    int32_t result_code;
    char message_id[64];
    char text[232];
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t limit;
    uv_timer_t tick; /* so that no turn of the loop waits long for what has been */
    struct mock *mock;
    struct rmq_client *client;
    struct rmq_producer *producer;
    bool closed;
    int ended;
    struct outcome outcomes[SENDS];
    /* what a callback is to do, once */
    bool close_in_callback, resume_in_callback;
};

extern const struct rmq_target anywhere;
extern const struct rmq_target queue_0;
extern const struct rmq_target queue_1;

/* A line of mock.h that is answered with ok. */
void command(struct fixture *fixture, const char *line);
/* options: NULL or all but struct_size and group. */
struct fixture *start(int brokers, const char *topic_line,
                      const struct rmq_producer_options *options);
/* Ends the fixture; the first `asked` sends have had exactly one outcome. */
void finish(struct fixture *fixture, int asked);
void on_sent(void *arg, int rc, const struct rmq_send_result *result, const struct rmq_err *err);
/* One message of a body like "17". */
int try_send(struct fixture *fixture, const struct rmq_target *target, int number);
void send_some(struct fixture *fixture, const struct rmq_target *target, int from, int count);
void run_until(struct fixture *fixture, int ended);
void run_ms(struct fixture *fixture, uint64_t ms);
/* So many sends, the first of which is `from`, have had this outcome. */
void expect(struct fixture *fixture, int from, int count, int rc);
/* What is stored of topic t, as JSON. */
json_t *stored(struct fixture *fixture);
const char *text_of(json_t *list, size_t i, const char *key);
int64_t number_of(json_t *list, size_t i, const char *key);
/* Bodies "0" to "count - 1", each once and in this order. */
void expect_bodies_in_order(struct fixture *fixture, int count);
int count_stored(struct fixture *fixture);

#endif
