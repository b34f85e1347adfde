/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the messages of a topic as a member of a group: one line each, broker, queue, offset,
 * body. Start it several times and the queues are shared; stop it, and the next one goes on where
 * it was.
 *
 * usage: consume NAMESRV GROUP TOPIC [COUNT]
 *
 * Ends after COUNT messages, or with Ctrl-C; offsets of what was printed are stored then. */
#include <rocketmq/consumer.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct rmq_client *client;
static struct rmq_consumer *consumer;
static uv_signal_t interrupted;
static int64_t left = INT64_MAX; /* messages to print */
static bool closing;

/* The way out: the consumer commits and leaves its group, then the client closes its connections.
 */
static void on_consumer_closed(void *arg)
{
    (void)arg;
    rmq_client_close(client, NULL, NULL);
}

static void stop(void)
{
    if (closing)
        return;
    closing = true;
    uv_close((uv_handle_t *)&interrupted, NULL);
    rmq_consumer_close(consumer, on_consumer_closed, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    stop();
}

/* Returns the offset behind what was printed. */
static int64_t print_block(const struct rmq_delivery *delivery)
{
    struct rmq_view rest = delivery->block->bytes;
    struct rmq_message message;
    struct rmq_buf plain; /* bodies that were compressed */
    int64_t done = delivery->block->first_offset;
    rmq_buf_init(&plain, 16 << 20);
    while (left > 0 && rmq_message_next(&rest, &message, NULL) == 1) {
        struct rmq_err err;
        if (rmq_message_inflate(&message, &plain, &err) != 0)
            fprintf(stderr, "offset %" PRId64 ": %s\n", message.queue_offset, err.text);
        printf("%s %d %" PRId64 " %.*s\n", delivery->broker, delivery->queue_id,
               message.queue_offset, (int)message.body.len, message.body.data);
        done = message.queue_offset + 1;
        left--;
    }
    if (rest.len == 0)
        done = delivery->block->next_offset; /* also past what a filter has left out */
    rmq_buf_deinit(&plain);
    return done;
}

static void on_ready(void *arg)
{
    struct rmq_delivery delivery;
    struct rmq_err err;
    int rc;
    (void)arg;
    while (left > 0 && (rc = rmq_consumer_next(consumer, &delivery, &err)) != 0) {
        if (rc < 0) { /* told once; the consumer goes on by itself */
            fprintf(stderr, "%s: %s\n", rmq_error_name(rc), err.text);
            continue;
        }
        int64_t done = print_block(&delivery);
        rmq_block_unref(delivery.block);
        if (fflush(stdout) != 0) { /* nobody reads: those messages are for the next one */
            stop();
            return;
        }
        rmq_consumer_done(consumer, delivery.topic, delivery.broker, delivery.queue_id, done);
    }
    if (left == 0)
        stop();
}

int main(int argc, char **argv)
{
    struct rmq_err err;
    uv_loop_t *loop = uv_default_loop();
    if (argc < 4) {
        fprintf(stderr, "usage: consume NAMESRV GROUP TOPIC [COUNT]\n");
        return 2;
    }
    if (argc > 4)
        left = strtoll(argv[4], NULL, 10);
    (void)signal(SIGPIPE, SIG_IGN); /* a lost connection is an error code, not the end */
    const char *topics[] = {argv[3]};
    struct rmq_client_options client_options = {.struct_size = sizeof(client_options),
                                                .name_servers = argv[1]};
    struct rmq_consumer_options options = {.struct_size = sizeof(options),
                                           .group = argv[2],
                                           .topics = topics,
                                           .topic_count = 1,
                                           .start = RMQ_START_FIRST,
                                           .ready = on_ready};
    if (rmq_client_new(loop, &client_options, &client, &err) != 0 ||
        rmq_consumer_new(client, &options, &consumer, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_signal_init(loop, &interrupted);
    (void)uv_signal_start(&interrupted, on_signal, SIGINT);
    (void)uv_run(loop, UV_RUN_DEFAULT); /* ends when the client has closed everything */
    return 0;
}
