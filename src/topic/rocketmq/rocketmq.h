/* SPDX-License-Identifier: Apache-2.0 */
/** Topics in RocketMQ: the second engine behind topic.h. docs/internals/rocketmq-topic.md tells how
 * messages look and how nothing is lost or repeated. */
#ifndef GT_TOPIC_ROCKETMQ_ROCKETMQ_H
#define GT_TOPIC_ROCKETMQ_ROCKETMQ_H

#include "broker/link.h"
#include "topic/topic.h"

struct gt_rocketmq_settings {
    uint32_t queues; /* per broker, of topics that are made */
    bool create_topics, create_groups;
    const char *producer_group;
    const char *consumer_group; /* sinks show their progress as GROUP-CONNECTOR */
};

/** Open the engine on a link that stays open longer; nothing is asked of a broker yet. Settings are
 * borrowed until gt_topics_close. 0 or GANTRY_NO_MEMORY. Thread: one. */
int gt_topics_open_rocketmq(struct gt_store *store, struct gt_link *link,
                            const struct gt_rocketmq_settings *settings, struct gt_topics **ret,
                            struct gantry_err *err);

#endif
