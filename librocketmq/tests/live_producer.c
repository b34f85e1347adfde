/* SPDX-License-Identifier: Apache-2.0 */
/* The producer against a real cluster, run by tests/rocketmq/test_librocketmq_producer.py.
 *
 * usage: live_producer NAMESRV TOPIC COUNT [OPTION ...]
 *
 * Sends messages whose bodies begin with "0 ", "1 ", ... and prints an outcome for each send:
 *
 *     {"first":0,"count":32,"rc":"OK","code":0,"broker":"broker-a","queue":1,"offset":77}
 *
 * --queue BROKER:ID  to one queue, ordered; what failed is sent again, in order, until all is
 * stored
 * --batch N          messages in one send (1)
 * --size N           bytes of a body (20); 0: bodies are empty
 * --window N         sends under way (8)
 * --pause MS         after each send
 * --compress zlib|lz4|zstd   --from N   --json   --auto-create   --retry-unknown
 * --limit-s S        give up then, with status 1 (60)
 *
 * Status 0: every send has had an outcome (with --queue: all is stored). */
#include <rocketmq/producer.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    uv_loop_t loop;
    uv_timer_t timer, limit;
    struct rmq_client *client;
    struct rmq_producer *producer;
    struct rmq_target target;
    char broker[256];
    long count, batch, size, window, pause_ms, limit_s;
    long next;      /* first message not yet sent */
    long again;     /* ordered: the first that failed; -1: none */
    long under_way; /* sends */
    bool ordered, closing;
    char *body;
} live = {.batch = 1, .size = 20, .window = 8, .limit_s = 60, .again = -1};

struct part {
    long first, count;
};

static void go_on(void);

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    go_on();
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "live_producer: message %ld of %ld in %ld s\n", live.next, live.count,
            live.limit_s);
    exit(1);
}

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct part *part = arg;
    printf("{\"first\":%ld,\"count\":%ld,\"rc\":\"%s\",\"code\":%d,\"broker\":\"%s\",\"queue\":%d,"
           "\"offset\":%lld,\"id\":\"%s\"}\n",
           part->first, part->count, rmq_error_name(rc),
           (int)(rc == 0 ? result->server_code : err->server_code),
           result->broker == NULL ? "" : result->broker, (int)result->queue_id,
           (long long)result->queue_offset, result->message_id);
    if (rc != 0)
        fprintf(stderr, "%s\n", err->text);
    live.under_way--;
    if (rc != 0 && live.ordered && live.again < 0)
        live.again = part->first; /* those behind it follow with ABORTED */
    free(part);
    go_on();
}

static int send_part(struct part *part)
{
    struct rmq_err err;
    int rc;
    struct rmq_buf body;
    rmq_buf_init(&body, RMQ_BODY_MAX);
    for (long i = part->first;; i++) {
        int len = snprintf(live.body, 32, "%ld ", i);
        live.body[len] = '.';
        struct rmq_view view = rmq_view(live.body, (size_t)live.size);
        struct rmq_outgoing message = {.body = view, .flag = (int32_t)i};
        struct rmq_batch_item item = {.body = view, .flag = (int32_t)i};
        if (part->count == 1)
            rc = rmq_producer_send(live.producer, &live.target, &message, 1, on_sent, part, &err);
        else if (i == part->first + part->count)
            rc = rmq_producer_send_batch(live.producer, &live.target, &body, on_sent, part, &err);
        else if ((rc = rmq_batch_add(&body, &item, &err)) == 0)
            continue;
        break;
    }
    rmq_buf_deinit(&body);
    if (rc != 0 && rc != RMQ_AGAIN) {
        fprintf(stderr, "live_producer: %s\n", err.text);
        exit(1);
    }
    return rc;
}

/* Send what may be sent. */
static void go_on(void)
{
    if (live.again >= 0 && live.under_way == 0) {
        live.next = live.again;
        live.again = -1;
        rmq_producer_resume(live.producer, live.target.topic, live.broker, live.target.queue_id);
        (void)uv_timer_start(&live.timer, on_timer, 100, 0); /* a moment for the broker */
        return;
    }
    while (live.again < 0 && live.next < live.count && live.under_way < live.window &&
           !uv_is_active((uv_handle_t *)&live.timer)) {
        long left = live.count - live.next;
        struct part *part = calloc(1, sizeof(*part));
        if (part == NULL)
            abort();
        part->first = live.next;
        part->count = left < live.batch ? left : live.batch;
        if (send_part(part) != 0) {
            free(part);
            return;
        }
        live.next += part->count;
        live.under_way++;
        if (live.pause_ms > 0)
            (void)uv_timer_start(&live.timer, on_timer, (uint64_t)live.pause_ms, 0);
    }
    if (live.under_way == 0 && live.again < 0 && live.next == live.count && !live.closing) {
        live.closing = true;
        rmq_producer_close(live.producer);
        rmq_client_close(live.client, NULL, NULL);
        uv_close((uv_handle_t *)&live.timer, NULL);
        uv_close((uv_handle_t *)&live.limit, NULL);
    }
}

static void take_option(char **at, struct rmq_client_options *client,
                        struct rmq_producer_options *producer)
{
    const char *name = at[0], *value = at[1];
    long number = value == NULL ? 0 : atol(value);
    const char *colon = value == NULL ? NULL : strrchr(value, ':');
    if (strcmp(name, "--queue") == 0 && colon != NULL) {
        (void)snprintf(live.broker, sizeof(live.broker), "%.*s", (int)(colon - value), value);
        live.target.broker = live.broker;
        live.target.queue_id = (int32_t)atol(colon + 1);
        live.ordered = producer->ordered = true;
    } else if (strcmp(name, "--batch") == 0) {
        live.batch = number;
    } else if (strcmp(name, "--size") == 0) {
        live.size = number;
    } else if (strcmp(name, "--window") == 0) {
        live.window = number;
    } else if (strcmp(name, "--pause") == 0) {
        live.pause_ms = number;
    } else if (strcmp(name, "--from") == 0) {
        live.next = number;
    } else if (strcmp(name, "--limit-s") == 0) {
        live.limit_s = number;
    } else if (strcmp(name, "--compress") == 0 && value != NULL) {
        producer->compression = strcmp(value, "zlib") == 0  ? RMQ_COMPRESSION_ZLIB
                                : strcmp(value, "lz4") == 0 ? RMQ_COMPRESSION_LZ4
                                                            : RMQ_COMPRESSION_ZSTD;
    } else if (strcmp(name, "--json") == 0) {
        client->codec = RMQ_CODEC_JSON;
    } else if (strcmp(name, "--auto-create") == 0) {
        producer->auto_create = true;
    } else if (strcmp(name, "--retry-unknown") == 0) {
        producer->retry_unknown = true;
    }
}

int main(int count, char **arguments)
{
    struct rmq_err err;
    if (count < 4) {
        fprintf(stderr, "usage: live_producer NAMESRV TOPIC COUNT [OPTION ...]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct rmq_client_options client = {
        .struct_size = sizeof(client), .name_servers = arguments[1], .codec = RMQ_CODEC_BINARY};
    struct rmq_producer_options producer = {.struct_size = sizeof(producer),
                                            .group = "live-producer"};
    live.target.topic = arguments[2];
    live.count = atol(arguments[3]);
    for (int i = 4; i < count; i++) /* values begin with no dash, so trying each is harmless */
        take_option(&arguments[i], &client, &producer);
    live.body = malloc((size_t)live.size + 64);
    if (live.body == NULL)
        return 1;
    memset(live.body, '.', (size_t)live.size + 64);
    if (uv_loop_init(&live.loop) != 0)
        return 1;
    (void)uv_timer_init(&live.loop, &live.timer);
    (void)uv_timer_init(&live.loop, &live.limit);
    (void)uv_timer_start(&live.limit, on_limit, (uint64_t)live.limit_s * 1000, 0);
    if (rmq_client_new(&live.loop, &client, &live.client, &err) != 0 ||
        rmq_producer_new(live.client, &producer, &live.producer, &err) != 0) {
        fprintf(stderr, "live_producer: %s\n", err.text);
        return 1;
    }
    go_on();
    (void)uv_run(&live.loop, UV_RUN_DEFAULT);
    free(live.body);
    return uv_loop_close(&live.loop) == 0 ? 0 : 1;
}
