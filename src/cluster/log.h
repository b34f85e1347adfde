/* SPDX-License-Identifier: Apache-2.0 */
/** The cluster log: one queue of one internal topic, read from some offset on and appended to, one
 * message at a time, each repeated until it is surely stored.
 *
 *  Used on the control loop; its other half runs on the link's thread. Events arrive on the control
 * loop, in order. */
#ifndef GT_CLUSTER_LOG_H
#define GT_CLUSTER_LOG_H

#include "base/buf.h"
#include "broker/link.h"
#include "cluster/state.h"

struct gt_cluster_log;

/** None is called inside a call of the functions below. */
struct gt_cluster_log_events {
    /* The queue has been found, or made: its first offset, its end, and where the last snapshot
     * begins (-1: none). Now gt_cluster_log_read. */
    void (*found)(void *arg, int64_t min, int64_t max, int64_t snapshot);
    void (*message)(void *arg, int64_t offset, struct gantry_view bytes);
    /* To a visitor: there is no such cluster. Nothing follows. */
    void (*missing)(void *arg, const char *topic);
    /* What was to be read is not there any more: messages up to @p next are missing. */
    void (*gap)(void *arg, int64_t next);
    /* The message under way is stored: the next one may be sent. */
    void (*stored)(void *arg);
    /* when_ms: of a failure, when the attempt began (CLOCK_BOOTTIME). */
    void (*reach)(void *arg, enum gt_cluster_reach reach, const char *text, int64_t when_ms);
    /* The members of the worker group as the broker sees them, sorted, after each change. */
    void (*members)(void *arg, const char *const *names, size_t count);
};

struct gt_cluster_log_setup {
    struct gt_link *link;
    struct gt_mailbox *control;
    const char *cluster; /* connectClusterId: the worker group */
    bool visitor;        /* make nothing at the broker, and do not join the worker group */
    const struct gt_cluster_log_events *events;
    void *arg;
};

/** Begin to look for the topic; goes on until it is found. 0 or GANTRY_NO_MEMORY. */
int gt_cluster_log_open(const struct gt_cluster_log_setup *setup, struct gt_cluster_log **ret,
                        struct gantry_err *err);
/** Read from @p offset on; again: from there instead. */
void gt_cluster_log_read(struct gt_cluster_log *log, int64_t offset);
/** Send a message (taken over: the buffer is emptied). None is under way. */
void gt_cluster_log_send(struct gt_cluster_log *log, struct gt_buf *message);
/** Remember where a snapshot begins. */
void gt_cluster_log_point(struct gt_cluster_log *log, int64_t offset);
/** No event any more; @p done runs on the control loop when all is freed. */
void gt_cluster_log_close(struct gt_cluster_log *log, void (*done)(void *arg), void *arg);

#endif
