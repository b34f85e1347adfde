/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster log. The input is a row of messages: sender, length, entries; a sender of 255 takes
 * the bytes as a whole message, 254 as a snapshot. A member and a reader apply them and must stay
 * in the same state; what one writes as a snapshot a third one reads, and is in that state too.
 * Nothing is started that was not stopped, and nothing is stopped that does not run. */
#include "base/cursor.h"
#include "cluster/state.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SENDERS = 4, RUNS = 4096, WHOLE = 255, SNAPSHOT = 254 };

struct node {
    struct gt_cluster_state *state;
    struct gt_buf out;
    uint64_t runs[RUNS]; /* epochs of the tasks that run */
    size_t count;
    bool fenced;
};

static void require(bool what)
{
    if (!what)
        abort();
}

static void on_append(void *arg, struct gantry_view entries)
{
    struct node *node = arg;
    require(entries.len > 0 && entries.len < 1024);
    gt_buf_add_view(&node->out, entries);
}

static void on_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    struct node *node = arg;
    require(connector[0] != '\0' && task < 65536 && !node->fenced);
    if (node->count < RUNS)
        node->runs[node->count++] = epoch;
}

static void on_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch, bool fenced)
{
    struct node *node = arg;
    (void)connector;
    (void)task;
    for (size_t i = 0; i < node->count; i++) {
        if (node->runs[i] != epoch)
            continue;
        if (fenced)
            node->runs[i] = node->runs[--node->count];
        return;
    }
    require(node->count == RUNS);
}

static void on_config(void *arg, const char *connector, int64_t updated_ms,
                      struct gantry_view props, const struct gantry_view *tasks, size_t count)
{
    size_t sum = 0;
    (void)arg;
    (void)updated_ms;
    require(connector[0] != '\0');
    for (size_t i = 0; i < count; i++)
        sum += tasks[i].len > 0 ? (uint8_t)tasks[i].data[tasks[i].len - 1] : 0;
    require(sum < SIZE_MAX && (props.data != NULL || count == 0));
}

static void on_commit(void *arg, uint64_t own, struct gantry_view changes)
{
    (void)arg;
    (void)own;
    (void)changes;
}

static void on_refused(void *arg, uint64_t own)
{
    (void)arg;
    (void)own;
}

static void on_reset(void *arg, const char *connector)
{
    (void)arg;
    require(connector[0] != '\0');
}

static void on_changed(void *arg)
{
    (void)arg;
}

static void on_fenced(void *arg, const char *reason)
{
    struct node *node = arg;
    require(reason[0] != '\0' && (node->count == 0 || node->count == RUNS));
    node->fenced = true;
}

static struct gt_incarnation incarnation_of(uint8_t sender)
{
    return (struct gt_incarnation){{1, sender}};
}

static void open_node(struct node *node, uint8_t sender)
{
    struct gt_cluster_io io = {
        node,      on_append,  on_start, on_stop,    on_config,
        on_commit, on_refused, on_reset, on_changed, on_fenced,
    };
    struct gt_cluster_settings settings = {
        .incarnation = incarnation_of(sender), .name = "n", .lease_ms = 6000};
    node->count = 0;
    node->fenced = false;
    gt_buf_init(&node->out, 1 << 20);
    require(gt_cluster_state_new(&settings, &io, &node->state) == 0);
}

static void close_node(struct node *node)
{
    gt_cluster_state_free(node->state);
    gt_buf_deinit(&node->out);
}

static void feed(struct node *node, int64_t offset, const struct gt_buf *message)
{
    struct gantry_err err = {0};
    int rc = gt_cluster_message(node->state, offset, gt_buf_view(message), 1000 + offset, &err);
    require(rc == 0 || (err.code == rc && err.text[0] != '\0'));
}

/* What is in both must be equal, and come through a snapshot unchanged. */
static void compare(const struct node *a, const struct node *b)
{
    static struct node third;
    struct gt_buf bytes;
    struct gantry_err err;
    int64_t next;
    require(gt_cluster_digest(a->state) == gt_cluster_digest(b->state));
    gt_buf_init(&bytes, SIZE_MAX / 8);
    require(gt_cluster_state_write(a->state, &bytes) == 0);
    open_node(&third, 99);
    require(gt_cluster_state_read(third.state, gt_buf_view(&bytes), 1, &next, &err) == 0);
    require(next == gt_cluster_offset(a->state) + 1);
    require(gt_cluster_digest(third.state) == gt_cluster_digest(a->state));
    close_node(&third);
    gt_buf_deinit(&bytes);
}

static void read_snapshot(struct gantry_view bytes)
{
    static struct node third;
    struct gantry_err err = {0};
    int64_t next;
    open_node(&third, 99);
    int rc = gt_cluster_state_read(third.state, bytes, 1, &next, &err);
    require(rc == 0 || (err.code == rc && err.text[0] != '\0'));
    if (rc == 0 && next < INT64_MAX - 10) { /* a state made of anything must bear what follows */
        static const char entries[] = "\1\1n\xf0\x2e\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                      "\5\1x\0\1p\2\1a\1b\6\0";
        struct gt_buf message;
        gt_buf_init(&message, 1 << 20);
        struct gt_incarnation incarnation = incarnation_of(99);
        gt_cluster_sent(third.state, 1, 1);
        gt_cluster_message_write(&message, &incarnation, 1,
                                 (struct gantry_view){entries, sizeof entries - 1});
        feed(&third, next, &message);
        gt_buf_deinit(&message);
    }
    close_node(&third);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct node member, reader;
    struct gt_cursor cursor = gt_cursor_of(data, size);
    uint64_t numbers[SENDERS] = {0};
    struct gt_buf message;

    open_node(&member, 0);
    open_node(&reader, 98);
    gt_buf_init(&message, 1 << 20);
    gt_cluster_join(member.state, 1);
    for (int64_t offset = 0; gt_cursor_left(&cursor) > 0 && offset < 1000; offset++) {
        uint8_t sender = gt_cursor_u8(&cursor);
        size_t len = gt_cursor_u8(&cursor);
        len = len > gt_cursor_left(&cursor) ? gt_cursor_left(&cursor) : len;
        struct gantry_view entries = gt_cursor_bytes(&cursor, len);
        gt_buf_clear(&message);
        if (sender == SNAPSHOT) {
            read_snapshot(entries);
            continue;
        }
        if (sender == WHOLE) {
            gt_buf_add_view(&message, entries);
        } else {
            struct gt_incarnation incarnation = incarnation_of(sender % SENDERS);
            uint64_t number = ++numbers[sender % SENDERS];
            if (sender % SENDERS == 0)
                gt_cluster_sent(member.state, number, 1000 + offset);
            gt_cluster_message_write(&message, &incarnation, number, entries);
        }
        feed(&member, offset, &message);
        feed(&reader, offset, &message);
    }
    compare(&member, &reader);
    gt_buf_deinit(&message);
    close_node(&member);
    close_node(&reader);
    return 0;
}
