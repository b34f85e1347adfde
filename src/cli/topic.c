/* SPDX-License-Identifier: Apache-2.0 */
/* gantry topic ls | describe | repair */
#include "cli/store_option.h"
#include "cli/text_table.h"
#include "topic/inspect.h"

/* A look at a store: what all of these commands begin with. */
struct look {
    struct gt_settings settings;
    struct gt_store_option store;
    struct gt_inspect *inspect;
    struct gt_arena arena;
    struct gt_queue_info *queues;
    size_t count;
};

static void look_deinit(struct look *look)
{
    gt_inspect_close(look->inspect);
    gt_arena_deinit(&look->arena);
    gt_settings_deinit(&look->settings);
}

/* Open the store and look at a topic's queues (NULL: all topics'). After GT_EXIT_OK the caller
 * deinits. */
static int look_init(const struct gt_command *command, struct look *look, const char *topic)
{
    struct gantry_err err = {0, ""};
    int status = gt_store_option_settle(command, &look->store, &look->settings);
    if (status != GT_EXIT_OK)
        return status;
    gt_arena_init(&look->arena, 64 << 10, 0);
    int rc = gt_inspect_open(look->store.folder, &look->inspect, &err);
    if (rc == 0)
        rc = gt_inspect_queues(look->inspect, topic, &look->arena, &look->queues, &look->count,
                               &err);
    if (rc == 0 && topic != NULL && look->count == 0)
        rc = gantry_err_set(&err, GANTRY_NOT_FOUND,
                            "there is no topic '%s' in %s; see: gantry topic ls", topic,
                            look->store.folder);
    if (rc == 0)
        return GT_EXIT_OK;
    status = gt_command_failed(command, &err);
    look_deinit(look);
    return status;
}

static const char *sink_text(struct gt_arena *arena, const struct gt_sink_info *sink)
{
    return sink->task == 0 ? sink->connector
                           : gt_text(arena, "%s task %u", sink->connector, sink->task);
}

static const char *lag_text(struct gt_arena *arena, const struct gt_queue_info *queue,
                            const struct gt_sink_info *sink)
{
    int64_t lag = queue->end_offset - sink->offset;
    return gt_text_count(arena, lag > 0 ? lag : 0);
}

static void fill_list(struct look *look, struct gt_text_table *table)
{
    for (size_t i = 0; i < look->count; i++) {
        const struct gt_queue_info *queue = &look->queues[i];
        const char **row = gt_text_table_row(table);
        if (row == NULL)
            return;
        row[0] = queue->topic;
        row[1] = gt_text(&look->arena, "%u", queue->queue);
        row[2] = gt_text_count(&look->arena, queue->end_offset - queue->begin_offset);
        row[3] = gt_text_bytes(&look->arena, (double)queue->bytes);
        row[4] = queue->sink_count > 0 ? "" : "-";
        for (size_t k = 0; k < queue->sink_count; k++) {
            if (k > 0 && (row = gt_text_table_row(table)) == NULL)
                return;
            row[4] = sink_text(&look->arena, &queue->sinks[k]);
            row[5] = lag_text(&look->arena, queue, &queue->sinks[k]);
        }
    }
}

static void print_damage(const struct look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        if (*look->queues[i].damage != '\0')
            printf("\n%s queue %u is damaged: %s; see: gantry topic repair %s\n",
                   look->queues[i].topic, look->queues[i].queue, look->queues[i].damage,
                   look->queues[i].topic);
    }
}

int gt_command_topic_ls(const struct gt_command *command, int argc, char **argv)
{
    static const char *const titles[] = {"TOPIC", "QUEUE", "MESSAGES", "BYTES", "SINK", "LAG"};
    struct look look = {.inspect = NULL};
    const struct gt_option table[] = {GT_STORE_OPTIONS(look.store)};
    struct gt_options options = {.table = table, .count = sizeof table / sizeof table[0]};
    struct gt_text_table list;
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = look_init(command, &look, NULL);
    if (status != GT_EXIT_OK)
        return status;
    gt_text_table_init(&list, &look.arena, titles, 6, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5);
    fill_list(&look, &list);
    gt_text_table_print(&list, stdout);
    print_damage(&look);
    look_deinit(&look);
    return list.no_memory ? GT_EXIT_FAILED : GT_EXIT_OK;
}

static void print_segments(struct look *look, const struct gt_queue_info *queue)
{
    static const char *const titles[] = {"SEGMENT", "MESSAGES", "BYTES", "FIRST", "LAST", "STATE"};
    struct gt_text_table table;
    gt_text_table_init(&table, &look->arena, titles, 6, 1u << 0 | 1u << 1 | 1u << 2);
    for (size_t i = 0; i < queue->segment_count; i++) {
        const struct gt_segment_info *segment = &queue->segments[i];
        const char **row = gt_text_table_row(&table);
        if (row == NULL)
            return;
        row[0] = gt_text(&look->arena, "%lld", (long long)segment->base_offset);
        row[1] = gt_text_count(&look->arena, segment->end_offset - segment->base_offset);
        row[2] = gt_text_bytes(&look->arena, (double)segment->bytes);
        row[3] = gt_text_time(&look->arena, segment->first_ms);
        row[4] = gt_text_time(&look->arena, segment->last_ms);
        row[5] = segment->sealed ? "sealed" : "open";
    }
    gt_text_table_print(&table, stdout);
}

static void print_queue(struct look *look, const struct gt_queue_info *queue)
{
    printf("%s queue %u\n", queue->topic, queue->queue);
    printf("  offsets   %lld to %lld (%s messages)\n", (long long)queue->begin_offset,
           (long long)queue->end_offset,
           gt_text_count(&look->arena, queue->end_offset - queue->begin_offset));
    printf("  size      %s in %zu segments\n", gt_text_bytes(&look->arena, (double)queue->bytes),
           queue->segment_count);
    for (size_t i = 0; i < queue->sink_count; i++)
        printf("  sink      %s at offset %lld, lag %s\n", sink_text(&look->arena, &queue->sinks[i]),
               (long long)queue->sinks[i].offset, lag_text(&look->arena, queue, &queue->sinks[i]));
    if (*queue->damage != '\0')
        printf("  damage    %s\n", queue->damage);
    if (queue->segment_count > 0) {
        putchar('\n');
        print_segments(look, queue);
    }
}

int gt_command_topic_describe(const struct gt_command *command, int argc, char **argv)
{
    struct look look = {.inspect = NULL};
    const char *topic = NULL;
    const struct gt_option table[] = {GT_STORE_OPTIONS(look.store)};
    struct gt_options options = {.table = table,
                                 .count = sizeof table / sizeof table[0],
                                 .operands = &topic,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the TOPIC"};
    struct gantry_err err;

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = look_init(command, &look, topic);
    if (status != GT_EXIT_OK)
        return status;
    for (size_t i = 0; i < look.count; i++) {
        if (i > 0)
            putchar('\n');
        print_queue(&look, &look.queues[i]);
    }
    look_deinit(&look);
    return GT_EXIT_OK;
}

int gt_command_topic_repair(const struct gt_command *command, int argc, char **argv)
{
    struct gt_store_option store = {NULL, NULL};
    const char *topic = NULL;
    bool settle = false;
    const struct gt_option table[] = {{.name = "--settle", .flag = &settle},
                                      GT_STORE_OPTIONS(store)};
    struct gt_options options = {.table = table,
                                 .count = sizeof table / sizeof table[0],
                                 .operands = &topic,
                                 .operands_min = 1,
                                 .operands_max = 1,
                                 .operands_name = "the TOPIC"};
    struct gt_settings settings;
    struct gantry_err err = {0, ""};

    if (gt_options_parse(&options, argc, argv, &err) != 0)
        return gt_usage_error(command, err.text);
    int status = gt_store_option_settle(command, &store, &settings);
    if (status != GT_EXIT_OK)
        return status;
    if (gt_store_repair_topic(store.folder, topic, settle, stdout, &err) != 0)
        status = gt_command_failed(command, &err);
    gt_settings_deinit(&settings);
    return status;
}
