/* SPDX-License-Identifier: Apache-2.0 */
/* gantry topic cat | tail */
#include "cli/store_option.h"
#include "cli/text_table.h"

#include "base/json.h"
#include "convert/converters.h"
#include "topic/inspect.h"
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 100,      /* how often tail looks for new messages */
    LAST_MESSAGES = 10, /* with which tail begins */
    LINE_MAX_BYTES = 512 << 20,
};

/* What is to be printed, and how far that is. */
struct reading {
    const struct gt_command *command;
    struct gt_settings settings;
    struct gt_store_option store;
    struct gt_inspect *inspect;
    struct gt_arena arena;
    struct gt_buf line;
    const char *topic, *format;
    bool json;
    int64_t queue, from, count; /* as given; -1: not */
    int64_t left;               /* messages that may still be printed; -1: no limit */
    bool reader_gone;           /* nobody reads our output any more */
};

/* tail ends by a signal: between two messages, with its output written. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void add_json_text(struct reading *reading, const char *name, struct gantry_view text)
{
    struct gt_buf *line = &reading->line;
    bool utf8 = gt_utf8_valid(text);
    (void)gt_buf_addf(line, ",\"%s%s\":", name,
                      utf8 ? "" : "_base64"); /* errors stick, here and below */
    if (utf8) {
        (void)gt_json_add_string(line, text);
    } else {
        (void)gt_buf_add_char(line, '"');
        (void)gt_base64_add(line, text);
        (void)gt_buf_add_char(line, '"');
    }
}

static int add_json_headers(struct reading *reading, struct gantry_view properties)
{
    const struct gantry_header *headers = NULL;
    uint32_t count = 0;
    int rc = gt_properties_decode(properties, &reading->arena, &headers, &count);
    if (rc != 0 || count == 0)
        return rc;
    (void)gt_buf_add_str(&reading->line, ",\"properties\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            (void)gt_buf_add_char(&reading->line, ',');
        (void)gt_json_add_string(&reading->line, headers[i].name);
        (void)gt_buf_add_char(&reading->line, ':');
        (void)gt_json_add_string(&reading->line, headers[i].value);
    }
    return gt_buf_add_char(&reading->line, '}');
}

/* One message as a line in reading->line. */
static int format_message(struct reading *reading, uint32_t queue, int64_t offset,
                          const struct gt_message *message, struct gantry_err *err)
{
    struct gt_buf *line = &reading->line;
    int rc = 0;

    gt_buf_clear(line);
    if (reading->json) {
        (void)gt_buf_addf(line, "{\"queue\":%u,\"offset\":%lld,\"timestamp\":%lld", queue,
                          (long long)offset, (long long)message->timestamp_ms);
        if (message->key.len > 0)
            add_json_text(reading, "key", message->key);
        rc = add_json_headers(reading, message->properties);
        add_json_text(reading, "body", message->body);
        (void)gt_buf_add_char(line, '}');
    } else {
        (void)gt_buf_add_view(line, message->body);
    }
    (void)gt_buf_add_char(line, '\n');
    if (rc == 0)
        rc = line->error;
    if (rc == GANTRY_CORRUPT)
        return gantry_err_set(err, rc, "the properties of message %lld are damaged",
                              (long long)offset);
    return rc == 0 ? 0 : gantry_err_set(err, rc, "no memory for message %lld", (long long)offset);
}

static int print_message(struct reading *reading, uint32_t queue, int64_t offset,
                         const struct gt_message *message, struct gantry_err *err)
{
    int rc = format_message(reading, queue, offset, message, err);
    if (rc != 0)
        return rc;
    if (fwrite(reading->line.data, 1, reading->line.len, stdout) != reading->line.len) {
        reading->reader_gone = errno == EPIPE;
        if (!reading->reader_gone)
            return gantry_err_set(err, GANTRY_IO, "cannot write the output: %s",
                                  strerrordesc_np(errno));
    }
    if (reading->left > 0)
        reading->left--;
    return 0;
}

static bool is_over(const struct reading *reading)
{
    return reading->left == 0 || reading->reader_gone || stopped != 0;
}

/* Print what is there of one queue from *offset to before @p end, which moves on. */
static int print_queue(struct reading *reading, uint32_t queue, int64_t *offset, int64_t end,
                       struct gantry_err *err)
{
    while (*offset < end && !is_over(reading)) {
        const struct gt_message *messages = NULL;
        size_t count = 0;
        int64_t first = 0, next = 0;
        gt_arena_reset(&reading->arena);
        int rc = gt_inspect_read(reading->inspect, reading->topic, queue, *offset, &reading->arena,
                                 &messages, &count, &first, &next, err);
        if (rc != 0)
            return rc;
        if (next == *offset)
            break;
        for (size_t i = 0; i < count && !is_over(reading); i++) {
            if (first + (int64_t)i >= end)
                break;
            rc = print_message(reading, queue, first + (int64_t)i, &messages[i], err);
            if (rc != 0)
                return rc;
        }
        *offset = next;
    }
    return 0;
}

/* Open what the options name. After GT_EXIT_OK the caller closes. */
static int open_reading(struct reading *reading, int argc, char **argv)
{
    const struct gt_option table[] = {
        {.name = "--queue", .number = &reading->queue},
        {.name = "--from", .number = &reading->from},
        {.name = "--count", .number = &reading->count},
        {.name = "-n", .number = &reading->count},
        {.name = "--format", .text = &reading->format},
        GT_STORE_OPTIONS(reading->store),
    };
    struct gt_options options = {.table = table,
                                 .count = sizeof table / sizeof table[0],
                                 .operands = &reading->topic,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the TOPIC"};
    struct gantry_err err = {0, ""};

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(reading->command, err.text);
    reading->json = strcmp(reading->format, "json") == 0;
    if (!reading->json && strcmp(reading->format, "text") != 0) {
        (void)gantry_err_set(&err, GANTRY_INVALID, "--format: '%s' is not text or json",
                             reading->format);
        return gt_usage_error(reading->command, err.text);
    }
    int status = gt_store_option_settle(reading->command, &reading->store, &reading->settings);
    if (status != GT_EXIT_OK)
        return status;
    if (gt_inspect_open(reading->store.folder, &reading->inspect, &err) != 0) {
        status = gt_command_failed(reading->command, &err);
        gt_settings_deinit(&reading->settings);
        return status;
    }
    gt_arena_init(&reading->arena, 256 << 10, 1 << 20);
    gt_buf_init(&reading->line, LINE_MAX_BYTES);
    return GT_EXIT_OK;
}

static void close_reading(struct reading *reading)
{
    gt_buf_deinit(&reading->line);
    gt_arena_deinit(&reading->arena);
    gt_inspect_close(reading->inspect);
    gt_settings_deinit(&reading->settings);
}

/* The topic's queues; one that is not there is an error with a remedy. In @p arena. */
static int find_queues(struct reading *reading, struct gt_arena *arena, struct gt_queue_info **ret,
                       size_t *ret_count, struct gantry_err *err)
{
    int rc = gt_inspect_queues(reading->inspect, reading->topic, arena, ret, ret_count, err);
    if (rc == 0 && *ret_count == 0)
        rc = gantry_err_set(err, GANTRY_NOT_FOUND,
                            "there is no topic '%s' in %s; see: gantry topic ls", reading->topic,
                            reading->store.folder);
    else if (rc == 0 && reading->queue >= (int64_t)*ret_count)
        rc = gantry_err_set(err, GANTRY_NOT_FOUND,
                            "topic %s has no queue %lld; its queues are 0 to %zu", reading->topic,
                            (long long)reading->queue, *ret_count - 1);
    return rc;
}

int gt_command_topic_cat(const struct gt_command *command, int argc, char **argv)
{
    struct reading reading = {
        .command = command, .format = "text", .queue = -1, .from = -1, .count = -1};
    struct gt_queue_info *queues = NULL;
    struct gantry_err err = {0, ""};
    struct gt_arena arena;
    size_t count = 0;

    int status = open_reading(&reading, argc, argv);
    if (status != GT_EXIT_OK)
        return status;
    gt_arena_init(&arena, 16 << 10, 0);
    reading.left = reading.count;
    int rc = find_queues(&reading, &arena, &queues, &count, &err);
    for (size_t i = 0; rc == 0 && i < count && !is_over(&reading); i++) {
        int64_t offset =
            reading.from > queues[i].begin_offset ? reading.from : queues[i].begin_offset;
        if (reading.queue < 0 || reading.queue == (int64_t)queues[i].queue)
            rc = print_queue(&reading, queues[i].queue, &offset, queues[i].end_offset, &err);
    }
    if (rc != 0) {
        (void)fflush(stdout); /* what is there comes before the complaint */
        status = gt_command_failed(command, &err);
    }
    gt_arena_deinit(&arena);
    close_reading(&reading);
    return status;
}

static void wait_a_little(void)
{
    struct timespec pause = {0, LOOK_MS * 1000000L};
    (void)nanosleep(&pause, NULL); /* a signal may cut it short */
}

/* Follow one queue until a signal, or until --from with --count is through. */
static int follow_queue(struct reading *reading, struct gantry_err *err)
{
    struct gt_queue_info *queues = NULL;
    size_t count = 0;
    struct gt_arena arena;
    int64_t offset = reading->from;
    uint32_t queue = (uint32_t)reading->queue;

    gt_arena_init(&arena, 16 << 10, 64 << 10);
    int rc = find_queues(reading, &arena, &queues, &count, err);
    if (rc == 0 && offset < 0) {
        offset = queues[queue].end_offset - (reading->count >= 0 ? reading->count : LAST_MESSAGES);
        if (offset < queues[queue].begin_offset)
            offset = queues[queue].begin_offset;
    } else if (rc == 0) {
        reading->left = reading->count;
    }
    while (rc == 0 && !is_over(reading)) {
        rc = print_queue(reading, queue, &offset, INT64_MAX, err);
        if (rc == 0 && fflush(stdout) != 0)
            reading->reader_gone = true;
        if (rc == 0 && !is_over(reading))
            wait_a_little();
    }
    gt_arena_deinit(&arena);
    return rc;
}

int gt_command_topic_tail(const struct gt_command *command, int argc, char **argv)
{
    struct reading reading = {
        .command = command, .format = "text", .queue = 0, .from = -1, .count = -1, .left = -1};
    const struct sigaction action = {.sa_handler = on_signal};
    struct gantry_err err = {0, ""};

    int status = open_reading(&reading, argc, argv);
    if (status != GT_EXIT_OK)
        return status;
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for valid signals */
    (void)sigaction(SIGTERM, &action, NULL);
    if (follow_queue(&reading, &err) != 0)
        status = gt_command_failed(command, &err);
    close_reading(&reading);
    return status;
}
