/* SPDX-License-Identifier: Apache-2.0 */
/** The task that copies what is known about topics and groups. Everything is done on the link's
 * thread, in rounds, one request after the other: topics that the target lacks, groups that it
 * lacks or has otherwise, then offsets. The task itself only tells failures, and sends the changes
 * of offsets to offset.sync.topic if there is one. */
#ifndef REP_META_H
#define REP_META_H

#include "brokers.h"
#include "link.h"
#include "settings.h"
#include <pthread.h>
#include <rocketmq/admin.h>

/** An offset that was set in the target. */
struct rep_change {
    struct rep_change *next;
    char *group, *topic, *broker; /* owned */
    int32_t queue_id;
    int64_t offset;
};

struct rep_offsets; /* of meta_offsets.c: what a round of offsets keeps */

struct rep_meta {
    struct rep_link *link;
    struct gantry_task_context *ctx; /* under lock while not closed */
    uint32_t task, task_count;
    struct rep_config config; /* owned: what the settings' texts are of */
    struct rep_settings settings;
    bool copy_topics, copy_groups, copy_offsets, all_groups, report;

    pthread_mutex_t lock; /* guards the next five */
    bool closed;
    int failure;
    char failure_text[400];
    struct rep_change *changes, **changes_last;

    struct rep_mail open_mail, close_mail;

    /* The link's. */
    struct rep_cluster *source, *target;
    struct rep_patterns *topics, *groups;
    struct rep_brokers source_brokers, target_brokers;
    uv_timer_t timer;
    bool timer_open, stopping, once; /* once: a round has gone well */
    uint64_t trouble_ms;
    size_t outstanding;
    struct wanted *wanted; /* owned: what is to be made now */
    size_t wanted_count, wanted_at;
    const struct making *making; /* what these are */
    char *last_refusal;          /* owned: told already */
    struct rep_offsets *offsets;
};

void rep_meta_fail(struct rep_meta *meta, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void rep_meta_log(struct rep_meta *meta, enum gantry_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** A reply that was counted has come; the meta may be gone afterwards. */
void rep_meta_came(struct rep_meta *meta);
bool rep_meta_is_over(const struct rep_meta *meta);
/** Whether a group is this task's. */
bool rep_meta_is_mine(const struct rep_meta *meta, const char *group);
/** The round has ended: well (rc 0), or not, and then the next one begins anew. */
void rep_meta_round_ended(struct rep_meta *meta, int rc, const char *what, const char *why);
/** An offset was set. */
void rep_meta_tell(struct rep_meta *meta, const char *group, const char *topic, const char *broker,
                   int32_t queue_id, int64_t offset);

/** meta_offsets.c: bring the target's offsets up to date; ends in rep_meta_round_ended. */
int rep_offsets_new(struct rep_meta *meta, struct rep_offsets **ret);
void rep_offsets_round(struct rep_meta *meta);
void rep_offsets_free(struct rep_offsets *offsets);

#endif
