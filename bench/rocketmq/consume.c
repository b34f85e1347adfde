/* SPDX-License-Identifier: Apache-2.0 */
/* Reads messages of one queue as fast as it can, and prints one JSON line.
 *
 * usage: consume NAMESRV TOPIC BROKER QUEUE COUNT [IN_FLIGHT [OFFSET]]
 *
 * Each message is taken apart and its offset checked, as any reader would; nothing else is done. */
#include <rocketmq/consumer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static uv_loop_t loop;
static struct rmq_client *client;
static struct rmq_puller *puller;
static int64_t wanted, seen, bytes, next_offset;
static uint64_t began, ended;
static struct rusage before, after;

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static double cpu_s(const struct rusage *usage)
{
    return seconds(&usage->ru_utime) + seconds(&usage->ru_stime);
}

/* The most it has had. Not ru_maxrss, which begins with that of the parent. */
static long peak_rss_kb(void)
{
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && found < 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            found = strtol(line + 6, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

static void finish(void)
{
    ended = uv_hrtime();
    (void)getrusage(RUSAGE_SELF, &after);
    rmq_puller_close(puller);
    puller = NULL;
    rmq_client_close(client, NULL, NULL);
}

static void read_block(const struct rmq_block *block)
{
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    while (rmq_message_next(&rest, &message, NULL) == 1) {
        if (message.queue_offset != next_offset) {
            fprintf(stderr, "offset %" PRId64 " instead of %" PRId64 "\n", message.queue_offset,
                    next_offset);
            exit(1);
        }
        next_offset++;
        bytes += (int64_t)message.body.len;
        seen++;
    }
}

static void on_ready(void *arg)
{
    const struct rmq_block *block;
    struct rmq_err err;
    int64_t offset;
    int rc;
    (void)arg;
    while (puller != NULL && (rc = rmq_puller_next(puller, &block, &offset, &err)) != 0) {
        if (rc == RMQ_MOVED) {
            next_offset = offset;
        } else if (rc < 0) {
            fprintf(stderr, "%s: %s\n", rmq_error_name(rc), err.text);
        } else {
            read_block(block);
            rmq_block_unref(block);
            if (seen >= wanted)
                finish();
        }
    }
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct rmq_err failure;
    struct rmq_puller_options *options = arg;
    (void)route; /* the client knows the broker's address from now on */
    if (rc != 0) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
    began = uv_hrtime();
    (void)getrusage(RUSAGE_SELF, &before);
    if (rmq_puller_new(client, options, &puller, &failure) != 0) {
        fprintf(stderr, "%s\n", failure.text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct rmq_err err;
    struct rmq_client_options client_options = {.struct_size = sizeof(client_options)};
    struct rmq_puller_options options = {.struct_size = sizeof(options), .ready = on_ready};
    if (argc < 6) {
        fprintf(stderr, "usage: consume NAMESRV TOPIC BROKER QUEUE COUNT [IN_FLIGHT [OFFSET]]\n");
        return 2;
    }
    client_options.name_servers = argv[1];
    options.group = "bench-consume";
    options.topic = argv[2];
    options.broker = argv[3];
    options.queue_id = (int32_t)strtol(argv[4], NULL, 10);
    wanted = strtoll(argv[5], NULL, 10);
    options.max_in_flight = argc > 6 ? (int)strtol(argv[6], NULL, 10) : 0;
    options.offset = next_offset = argc > 7 ? strtoll(argv[7], NULL, 10) : 0;
    if (uv_loop_init(&loop) != 0 || rmq_client_new(&loop, &client_options, &client, &err) != 0 ||
        rmq_client_route(client, argv[2], false, on_route, &options, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    double wall = (double)(ended - began) / 1e9;
    printf("{\"messages\": %" PRId64 ", \"bytes\": %" PRId64 ", \"in_flight\": %d, "
           "\"wall_s\": %.3f, \"cpu_s\": %.3f, \"rss_kb\": %ld, \"messages_per_s\": %.0f}\n",
           seen, bytes, options.max_in_flight == 0 ? 16 : options.max_in_flight, wall,
           cpu_s(&after) - cpu_s(&before), peak_rss_kb(), (double)seen / wall);
    return 0;
}
