/* SPDX-License-Identifier: Apache-2.0 */
/* The Java clients' allocation strategies. Every member computes the whole result on its own, so
 * one bit of difference would leave queues unread or read twice. */
#include <rocketmq/allocate.h>
#include <rocketmq/client.h>
#include "internal.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 10 /* of a member on the ring */ };

struct point {
    uint32_t hash;
    size_t order; /* later points of a hash replace earlier ones */
    size_t member;
};

static void allocate_average(size_t queues, size_t members, size_t self, bool *mine)
{
    size_t mod = queues % members;
    bool longer = mod > 0 && self < mod;
    size_t size = queues <= members ? 1 : queues / members + (longer ? 1 : 0);
    size_t start = longer ? self * size : self * size + mod;
    for (size_t i = start; i < queues && i < start + size; i++)
        mine[i] = true;
}

/* The first four bytes of the MD5, as Java's ring has it. */
static int ring_hash(const char *text, uint32_t *ret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text, strlen(text), digest, &len, EVP_md5(), NULL) != 1 || len < 4)
        return RMQ_NO_MEMORY;
    *ret = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
    return 0;
}

static int compare_points(const void *left, const void *right)
{
    const struct point *a = left;
    const struct point *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Who owns the hash: the first point at or above it, else the smallest. */
static size_t owner_of(const struct point *points, size_t count, uint32_t hash)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (points[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    size_t at = low == count ? 0 : low;
    while (at + 1 < count && points[at + 1].hash == points[at].hash)
        at++;
    return points[at].member;
}

static int allocate_ring(const char *topic, const struct rmq_queue *queues, size_t queue_count,
                         const char *const *members, size_t member_count, size_t self, bool *mine)
{
    size_t count = member_count * POINTS;
    struct point *points = calloc(count, sizeof(*points));
    char *text = NULL;
    int rc = points == NULL ? RMQ_NO_MEMORY : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        points[i].member = i / POINTS;
        points[i].order = i;
        if (asprintf(&text, "%s-%zu", members[i / POINTS], i % POINTS) < 0) {
            text = NULL;
            rc = RMQ_NO_MEMORY;
            break;
        }
        rc = ring_hash(text, &points[i].hash);
        free(text);
        text = NULL;
    }
    if (rc == 0)
        qsort(points, count, sizeof(*points), compare_points);
    for (size_t i = 0; rc == 0 && i < queue_count; i++) {
        uint32_t hash = 0;
        if (asprintf(&text, "MessageQueue [topic=%s, brokerName=%s, queueId=%d]", topic,
                     queues[i].broker, (int)queues[i].id) < 0) {
            text = NULL;
            rc = RMQ_NO_MEMORY;
            break;
        }
        rc = ring_hash(text, &hash);
        free(text);
        text = NULL;
        if (rc == 0)
            mine[i] = owner_of(points, count, hash) == self;
    }
    free(points);
    return rc;
}

int rmq_allocate(enum rmq_allocation how, const char *topic, const struct rmq_queue *queues,
                 size_t queue_count, const char *const *members, size_t member_count, size_t self,
                 bool *mine)
{
    memset(mine, 0, queue_count * sizeof(*mine));
    if (self >= member_count || queue_count == 0)
        return 0;
    switch (how) {
    case RMQ_ALLOCATE_AVERAGE:
        allocate_average(queue_count, member_count, self, mine);
        return 0;
    case RMQ_ALLOCATE_CIRCLE:
        for (size_t i = self; i < queue_count; i += member_count)
            mine[i] = true;
        return 0;
    case RMQ_ALLOCATE_CONSISTENT_HASH:
        return allocate_ring(topic, queues, queue_count, members, member_count, self, mine);
    }
    return RMQ_INVALID;
}
