/* SPDX-License-Identifier: Apache-2.0 */
/* Readers against a real cluster, run by tests/rocketmq/test_librocketmq_consumer.py.
 *
 * usage: live_consumer NAMESRV pull TOPIC BROKER QUEUE OFFSET COUNT
 *        live_consumer NAMESRV group GROUP TOPIC [OPTION ...]
 *
 * Both print a line for each message ("got BROKER QUEUE OFFSET LATENCY_MS BODY", the latency being
 * the time since the broker stored it), and one for each error ("error NAME TEXT"). A member also
 * prints its queues at each change ("queues BROKER:ID ...") and ends, with "closed", at the end of
 * standard input.
 *
 * options: --strategy avg|circle|hash, --last, --locked, --binary, --id CLIENT_ID, --commit MS,
 * --in-flight N, --quiet (no message lines; their number at the end: "total N") */
#include <rocketmq/consumer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uv_loop_t loop;
static struct rmq_client *client;
static struct rmq_puller *puller;
static struct rmq_consumer *consumer;
static uv_pipe_t input;
static int64_t left = INT64_MAX, total;
static bool quiet, closing;

static void on_client_closed(void *arg)
{
    (void)arg;
    if (quiet)
        printf("total %" PRId64 "\n", total);
    printf("closed\n");
}

static void print_error(int rc, const struct rmq_err *err)
{
    printf("error %s %s\n", rmq_error_name(rc), err->text);
}

static void print_block(const char *broker, int32_t queue_id, const struct rmq_block *block)
{
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    int rc;
    while ((rc = rmq_message_next(&rest, &message, NULL)) == 1 && left > 0) {
        left--;
        total++;
        if (!quiet)
            printf("got %s %d %" PRId64 " %" PRId64 " %.*s\n", broker, (int)queue_id,
                   message.queue_offset, now_ms - message.store_ms, (int)message.body.len,
                   message.body.data);
    }
    if (rc < 0)
        printf("error MALFORMED a block does not parse\n");
}

/* --- one queue --- */

static struct rmq_puller_options pull_options;

static void on_puller_ready(void *arg)
{
    const struct rmq_block *block;
    struct rmq_err err;
    int64_t offset;
    int rc;
    (void)arg;
    while (!closing && (rc = rmq_puller_next(puller, &block, &offset, &err)) != 0) {
        if (rc == 1) {
            print_block(pull_options.broker, pull_options.queue_id, block);
            rmq_block_unref(block);
        } else {
            print_error(rc, &err);
        }
        if (left == 0) {
            closing = true;
            rmq_puller_close(puller);
            rmq_client_close(client, on_client_closed, NULL);
        }
    }
    (void)fflush(stdout);
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct rmq_err failure;
    (void)arg;
    (void)route;
    if (rc == 0)
        rc = rmq_puller_new(client, &pull_options, &puller, &failure);
    else
        failure = *err;
    if (rc != 0) {
        fprintf(stderr, "%s\n", failure.text);
        exit(1);
    }
}

/* --- a member --- */

static void on_consumer_closed(void *arg)
{
    (void)arg;
    rmq_client_close(client, on_client_closed, NULL);
}

static void on_consumer_ready(void *arg)
{
    struct rmq_delivery delivery;
    struct rmq_err err;
    int rc;
    (void)arg;
    while ((rc = rmq_consumer_next(consumer, &delivery, &err)) != 0) {
        if (rc < 0) {
            print_error(rc, &err);
            continue;
        }
        print_block(delivery.broker, delivery.queue_id, delivery.block);
        rmq_consumer_done(consumer, delivery.topic, delivery.broker, delivery.queue_id,
                          delivery.block->next_offset);
        rmq_block_unref(delivery.block);
    }
    (void)fflush(stdout);
}

static void on_assigned(void *arg, const char *topic, const struct rmq_queue *queues, size_t count)
{
    (void)arg;
    (void)topic;
    printf("queues");
    for (size_t i = 0; i < count; i++)
        printf(" %s:%d", queues[i].broker, (int)queues[i].id);
    printf("\n");
    (void)fflush(stdout);
}

static void on_input_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char room[64];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(room, sizeof(room));
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    (void)buf;
    if (count >= 0)
        return;
    uv_close((uv_handle_t *)stream, NULL);
    rmq_consumer_close(consumer, on_consumer_closed, NULL);
}

int main(int argc, char **argv)
{
    struct rmq_err err;
    struct rmq_client_options client_options = {.struct_size = sizeof(client_options)};
    struct rmq_consumer_options options = {.struct_size = sizeof(options),
                                           .topic_count = 1,
                                           .start = RMQ_START_FIRST,
                                           .assigned = on_assigned,
                                           .ready = on_consumer_ready};
    pull_options.struct_size = sizeof(pull_options);
    pull_options.ready = on_puller_ready;
    bool pull = argc >= 8 && strcmp(argv[2], "pull") == 0;
    if (!pull && (argc < 5 || strcmp(argv[2], "group") != 0)) {
        fprintf(stderr, "usage: see the head of live_consumer.c\n");
        return 2;
    }
    client_options.name_servers = argv[1];
    for (int i = pull ? 8 : 5; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--strategy") == 0) {
            options.allocation = strcmp(value, "circle") == 0 ? RMQ_ALLOCATE_CIRCLE
                                 : strcmp(value, "hash") == 0 ? RMQ_ALLOCATE_CONSISTENT_HASH
                                                              : RMQ_ALLOCATE_AVERAGE;
            i++;
        } else if (strcmp(argv[i], "--last") == 0) {
            options.start = RMQ_START_LAST;
        } else if (strcmp(argv[i], "--locked") == 0) {
            options.locked = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            quiet = true;
        } else if (strcmp(argv[i], "--binary") == 0) {
            client_options.codec = RMQ_CODEC_BINARY;
        } else if (strcmp(argv[i], "--id") == 0) {
            client_options.client_id = argv[++i];
        } else if (strcmp(argv[i], "--commit") == 0) {
            options.commit_ms = strtoll(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--in-flight") == 0) {
            pull_options.max_in_flight = options.max_in_flight = (int)strtol(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }
    const char *topics[] = {argv[4]};
    int rc = uv_loop_init(&loop);
    if (rc == 0)
        rc = rmq_client_new(&loop, &client_options, &client, &err);
    if (rc == 0 && pull) {
        pull_options.group = "live-pull";
        pull_options.topic = argv[3];
        pull_options.broker = argv[4];
        pull_options.queue_id = (int32_t)strtol(argv[5], NULL, 10);
        pull_options.offset = strtoll(argv[6], NULL, 10);
        left = strtoll(argv[7], NULL, 10);
        rc = rmq_client_route(client, argv[3], false, on_route, NULL, &err);
    } else if (rc == 0) {
        options.group = argv[3];
        options.topics = topics;
        rc = rmq_consumer_new(client, &options, &consumer, &err);
        (void)uv_pipe_init(&loop, &input, 0);
        (void)uv_pipe_open(&input, 0);
        (void)uv_read_start((uv_stream_t *)&input, on_input_space, on_input);
    }
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
