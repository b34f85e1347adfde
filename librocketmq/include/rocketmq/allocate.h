/* SPDX-License-Identifier: Apache-2.0 */
/* Who of a group's members gets which queue: the Java clients' strategies, with the same results,
 * so that Java and native clients can be members of one group. No I/O. */
#ifndef ROCKETMQ_ALLOCATE_H
#define ROCKETMQ_ALLOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rmq_allocation {
    RMQ_ALLOCATE_AVERAGE,         /* AllocateMessageQueueAveragely */
    RMQ_ALLOCATE_CIRCLE,          /* AllocateMessageQueueAveragelyByCircle */
    RMQ_ALLOCATE_CONSISTENT_HASH, /* AllocateMessageQueueConsistentHash */
};

struct rmq_queue;

/* Set mine[i] for each queue that belongs to members[self]. queues are sorted by broker and id,
 * members by bytes; all of one topic. 0 or RMQ_NO_MEMORY. Thread: any. */
int rmq_allocate(enum rmq_allocation how, const char *topic, const struct rmq_queue *queues,
                 size_t queue_count, const char *const *members, size_t member_count, size_t self,
                 bool *mine);

#ifdef __cplusplus
}
#endif
#endif
