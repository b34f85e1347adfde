/* SPDX-License-Identifier: Apache-2.0 */
/* Sends each line of standard input as a message, in batches, and ends with status 0 when all of
 * them are stored:
 *
 *     produce NAME_SERVERS TOPIC < lines */
#include <rocketmq/producer.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH_BYTES = 256 << 10, BATCHES = 16, LINE_MAX_BYTES = 1 << 20 };

struct program {
    uv_loop_t loop;
    struct rmq_client *client;
    struct rmq_producer *producer;
    const char *topic;
    char *line; /* owned by getline */
    size_t line_size;
    bool ended, failed; /* the input, and some send */
    size_t under_way;
};

/* A stored batch makes room for the next one; what fails ends the program. Here every send names
 * no queue, so the library has tried again where that was safe. */
static void fill(struct program *program);

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct program *program = arg;
    (void)result; /* broker, queue and offset of the first message */
    program->under_way--;
    if (rc != 0) {
        fprintf(stderr, "produce: %s: %s\n", rmq_error_name(rc), err->text);
        program->failed = true;
    }
    fill(program);
}

static void send_batch(struct program *program, struct rmq_buf *body)
{
    struct rmq_target target = {.topic = program->topic};
    struct rmq_err err;
    if (rmq_producer_send_batch(program->producer, &target, body, on_sent, program, &err) == 0) {
        program->under_way++;
    } else {
        fprintf(stderr, "produce: %s\n", err.text);
        program->failed = true;
    }
}

/* Keep so many batches under way as the input gives. Reading may block, and the loop with it: fine
 * in a filter, wrong in a server. */
static void fill(struct program *program)
{
    while (!program->ended && !program->failed && program->under_way < BATCHES) {
        struct rmq_buf body;
        rmq_buf_init(&body, BATCH_BYTES + LINE_MAX_BYTES);
        while (!program->ended && !program->failed && body.len < BATCH_BYTES) {
            ssize_t len = getline(&program->line, &program->line_size, stdin);
            struct rmq_batch_item item = {.flag = 0};
            struct rmq_err err;
            if (len < 0) {
                program->ended = true;
                break;
            }
            item.body = rmq_view(program->line, (size_t)len - (program->line[len - 1] == '\n'));
            if (rmq_batch_add(&body, &item, &err) != 0) {
                fprintf(stderr, "produce: %s\n", err.text);
                program->failed = true;
            }
        }
        if (body.len > 0 && !program->failed)
            send_batch(program, &body);
        rmq_buf_deinit(&body);
    }
    if (program->under_way == 0 && program->producer != NULL) {
        rmq_producer_close(program->producer);
        program->producer = NULL;
        rmq_client_close(program->client, NULL, NULL); /* then the loop runs empty */
    }
}

int main(int count, char **arguments)
{
    static struct program program;
    struct rmq_err err;
    if (count != 3) {
        fprintf(stderr, "usage: produce NAME_SERVERS TOPIC < lines\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a lost connection is an error code, not the end */
    struct rmq_client_options client = {
        .struct_size = sizeof(client), .name_servers = arguments[1], .codec = RMQ_CODEC_BINARY};
    struct rmq_producer_options producer = {.struct_size = sizeof(producer), .group = "produce"};
    program.topic = arguments[2];
    if (uv_loop_init(&program.loop) != 0)
        return 1;
    if (rmq_client_new(&program.loop, &client, &program.client, &err) != 0 ||
        rmq_producer_new(program.client, &producer, &program.producer, &err) != 0) {
        fprintf(stderr, "produce: %s\n", err.text);
        return 1;
    }
    fill(&program);
    (void)uv_run(&program.loop, UV_RUN_DEFAULT);
    free(program.line);
    return uv_loop_close(&program.loop) != 0 || program.failed ? 1 : 0;
}
