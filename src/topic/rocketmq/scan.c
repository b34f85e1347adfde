/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stretch of a queue from one offset to another, for those who look what is there. */
#include "topic/rocketmq/internal.h"

#include <stdlib.h>

enum { GROUP_UNKNOWN = 26 /* the broker's code */, SCAN_BYTES = 4 << 20 };

struct group_ask {
    struct gt_rocketmq *topics;
    char group[];
};

static void on_group_made(void *arg, int rc, const struct rmq_err *err)
{
    struct group_ask *ask = arg;
    struct gt_rocketmq *topics = ask->topics;
    if (rc != 0)
        gt_warn("topic", "cannot make consumer group %s: %s", ask->group, err->text);
    free(ask);
    gt_rq_came(topics);
}

void gt_rq_make_group(struct gt_rocketmq *topics, const char *group)
{
    if (!topics->create_groups || topics->closing)
        return;
    struct group_ask *ask = malloc(sizeof *ask + strlen(group) + 1);
    if (ask == NULL)
        return;
    ask->topics = topics;
    memcpy(ask->group, group, strlen(group) + 1);
    struct rmq_group_options options = {.struct_size = sizeof options, .group = ask->group};
    struct rmq_err err;
    if (rmq_admin_create_group(topics->client, &options, on_group_made, ask, &err) == 0)
        topics->outstanding++;
    else
        free(ask);
}

static void end(struct gt_rq_scan *scan, int code, const struct rmq_err *err)
{
    gt_rq_scan_stop(scan);
    scan->ended(scan->arg, code, err);
}

static void take_error(struct gt_rq_scan *scan, const struct rmq_err *err)
{
    if (err->code == RMQ_REFUSED && err->server_code == GROUP_UNKNOWN && !scan->group_asked) {
        scan->group_asked = true;
        gt_rq_make_group(scan->topics, scan->group);
    }
    scan->trouble(scan->arg, err->text);
}

static void on_ready(void *arg)
{
    struct gt_rq_scan *scan = arg;
    for (;;) {
        const struct rmq_block *block = NULL;
        int64_t offset = 0;
        struct rmq_err err = {0};
        int rc = rmq_puller_next(scan->puller, &block, &offset, &err);
        if (rc == 0)
            return;
        if (rc == 1) {
            offset = block->next_offset;
            if (block->first_offset < scan->to)
                scan->block(scan->arg, block);
            rmq_block_unref(block);
        } else if (rc != RMQ_MOVED) {
            take_error(scan, &err);
            continue;
        }
        /* Back: the queue has lost what was there, or was made anew. */
        if (offset >= scan->to || offset < scan->at) {
            end(scan, 0, NULL);
            return;
        }
        scan->at = offset;
    }
}

static void on_nothing_to_read(void *arg)
{
    end(arg, 0, NULL);
}

static void on_cannot_start(void *arg)
{
    struct rmq_err err = {.code = RMQ_NO_MEMORY, .text = "no memory to read a queue"};
    end(arg, RMQ_NO_MEMORY, &err);
}

void gt_rq_scan_start(struct gt_rq_scan *scan, struct gt_rocketmq *topics, const char *connector,
                      const char *topic, const char *broker, uint32_t id, int64_t from, int64_t to)
{
    struct rmq_err err;
    scan->topics = topics;
    scan->at = from;
    scan->to = to;
    scan->puller = NULL;
    scan->group_asked = false;
    scan->group = gt_rq_group(topics, connector);
    if (from >= to) {
        gt_rq_later(topics, &scan->end_timer, 0, on_nothing_to_read, scan);
        return;
    }
    struct rmq_puller_options options = {
        .struct_size = sizeof options,
        .group = scan->group,
        .topic = topic,
        .broker = broker,
        .queue_id = (int32_t)id,
        .offset = from,
        .max_bytes = SCAN_BYTES,
        .ready = on_ready,
        .arg = scan,
    };
    if (scan->group == NULL || rmq_puller_new(topics->client, &options, &scan->puller, &err) != 0) {
        scan->puller = NULL;
        gt_rq_later(topics, &scan->end_timer, 0, on_cannot_start, scan);
    }
}

void gt_rq_scan_stop(struct gt_rq_scan *scan)
{
    if (scan->topics == NULL)
        return;
    gt_rq_not_later(scan->topics, &scan->end_timer);
    if (scan->puller != NULL)
        rmq_puller_close(scan->puller);
    scan->puller = NULL;
    free(scan->group);
    scan->group = NULL;
}
