/* SPDX-License-Identifier: Apache-2.0 */
/* How fast librocketmq sends:
 *
 *     bench-produce NAME_SERVERS TOPIC COUNT SIZE BATCH ordered|spread [IN_FLIGHT]
 *
 * COUNT messages of SIZE bytes, BATCH in one send (1: single sends); ordered: all to queue 0 of the
 * first broker, one after the other; spread: queues in turn. IN_FLIGHT sends are kept under way or
 * waiting (ordered 3, spread 32). Building the messages counts. Prints one line of JSON. */
#include <rocketmq/producer.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct bench {
    uv_loop_t loop;
    struct rmq_client *client;
    struct rmq_producer *producer;
    struct rmq_target target;
    char broker[256];
    bool ordered;
    long count, size, batch, window;
    long built, stored, under_way;
    char *body;
    bool failed;
    uint64_t begin_ns, end_ns;
    double cpu_before;
};

static double cpu_s(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use); /* cannot fail */
    return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec +
           ((double)use.ru_utime.tv_usec + (double)use.ru_stime.tv_usec) / 1e6;
}

/* The most that was in memory. getrusage would count what the parent had before exec. */
static long peak_kb(void)
{
    char line[256];
    long peak = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            peak = atol(line + 6);
    if (file != NULL)
        (void)fclose(file);
    return peak;
}

static void report(const struct bench *bench)
{
    double wall = (double)(bench->end_ns - bench->begin_ns) / 1e9;
    printf("{\"count\":%ld,\"size\":%ld,\"batch\":%ld,\"order\":\"%s\",\"in_flight\":%ld,"
           "\"wall_s\":%.3f,\"cpu_s\":%.3f,\"rss_kb\":%ld,\"messages_per_s\":%.0f,"
           "\"mb_per_s\":%.1f}\n",
           bench->stored, bench->size, bench->batch, bench->ordered ? "ordered" : "spread",
           bench->window, wall, cpu_s() - bench->cpu_before, peak_kb(),
           (double)bench->stored / wall, (double)(bench->stored * bench->size) / wall / 1e6);
}

static void fill(struct bench *bench);

struct part {
    struct bench *bench;
    long messages;
};

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct part *part = arg;
    struct bench *bench = part->bench;
    (void)result;
    bench->under_way--;
    if (rc == 0) {
        bench->stored += part->messages;
    } else if (!bench->failed) {
        fprintf(stderr, "bench-produce: %s: %s\n", rmq_error_name(rc), err->text);
        bench->failed = true;
    }
    free(part);
    if (bench->under_way == 0 && (bench->failed || bench->built == bench->count)) {
        bench->end_ns = uv_hrtime();
        rmq_producer_close(bench->producer);
        rmq_client_close(bench->client, NULL, NULL);
        return;
    }
    fill(bench);
}

static int send_part(struct bench *bench, struct part *part, struct rmq_err *err)
{
    if (bench->batch == 1) {
        struct rmq_outgoing message = {.body = rmq_view(bench->body, (size_t)bench->size)};
        return rmq_producer_send(bench->producer, &bench->target, &message, 1, on_sent, part, err);
    }
    struct rmq_buf body;
    size_t size = (size_t)part->messages * (22 + (size_t)bench->size);
    rmq_buf_init(&body, size);
    int rc = rmq_buf_reserve(&body, size);
    for (long i = 0; rc == 0 && i < part->messages; i++) {
        struct rmq_batch_item item = {.body = rmq_view(bench->body, (size_t)bench->size)};
        rc = rmq_batch_add(&body, &item, err);
    }
    if (rc == 0)
        rc = rmq_producer_send_batch(bench->producer, &bench->target, &body, on_sent, part, err);
    rmq_buf_deinit(&body);
    return rc;
}

static void fill(struct bench *bench)
{
    while (!bench->failed && bench->built < bench->count && bench->under_way < bench->window) {
        struct rmq_err err;
        struct part *part = calloc(1, sizeof(*part));
        long left = bench->count - bench->built;
        if (part == NULL)
            abort();
        part->bench = bench;
        part->messages = left < bench->batch ? left : bench->batch;
        int rc = send_part(bench, part, &err);
        if (rc != 0) {
            free(part);
            if (rc == RMQ_AGAIN)
                return;
            fprintf(stderr, "bench-produce: %s\n", err.text);
            bench->failed = true;
            return;
        }
        bench->built += part->messages;
        bench->under_way++;
    }
}

/* The route is known and the connection not yet made: that is part of the time. */
static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct bench *bench = arg;
    if (rc != 0 || route->write_count == 0) {
        fprintf(stderr, "bench-produce: %s\n", rc != 0 ? err->text : "no queue to write to");
        bench->failed = true;
        rmq_producer_close(bench->producer);
        rmq_client_close(bench->client, NULL, NULL);
        return;
    }
    (void)snprintf(bench->broker, sizeof(bench->broker), "%s", route->write_queues[0].broker);
    if (bench->ordered) {
        bench->target.broker = bench->broker;
        bench->target.queue_id = route->write_queues[0].id;
    }
    bench->cpu_before = cpu_s();
    bench->begin_ns = uv_hrtime();
    fill(bench);
}

int main(int count, char **arguments)
{
    static struct bench bench;
    struct rmq_err err;
    if (count < 7) {
        fprintf(stderr, "usage: bench-produce NAME_SERVERS TOPIC COUNT SIZE BATCH ordered|spread "
                        "[IN_FLIGHT]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    bench.target.topic = arguments[2];
    bench.count = atol(arguments[3]);
    bench.size = atol(arguments[4]);
    bench.batch = atol(arguments[5]);
    bench.ordered = strcmp(arguments[6], "ordered") == 0;
    bench.window = count > 7 ? atol(arguments[7]) : bench.ordered ? 3 : 32;
    bench.body = malloc((size_t)bench.size + 1);
    if (bench.count < 1 || bench.size < 0 || bench.batch < 1 || bench.body == NULL) {
        fprintf(stderr, "bench-produce: COUNT and BATCH are 1 or more, SIZE 0 or more\n");
        return 2;
    }
    for (long i = 0; i < bench.size; i++)
        bench.body[i] = (char)('a' + i % 26);
    struct rmq_client_options client = {
        .struct_size = sizeof(client), .name_servers = arguments[1], .codec = RMQ_CODEC_BINARY};
    struct rmq_producer_options producer = {.struct_size = sizeof(producer),
                                            .group = "bench-produce",
                                            .ordered = bench.ordered,
                                            .send_timeout_ms = 10000};
    if (uv_loop_init(&bench.loop) != 0 ||
        rmq_client_new(&bench.loop, &client, &bench.client, &err) != 0 ||
        rmq_producer_new(bench.client, &producer, &bench.producer, &err) != 0 ||
        rmq_client_route(bench.client, bench.target.topic, true, on_route, &bench, &err) != 0) {
        fprintf(stderr, "bench-produce: %s\n", err.text);
        return 1;
    }
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&bench.loop);
    free(bench.body);
    if (!bench.failed)
        report(&bench);
    return bench.failed ? 1 : 0;
}
