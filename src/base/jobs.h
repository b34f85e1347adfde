/* SPDX-License-Identifier: Apache-2.0 */
/** Work that may block, and perhaps never comes back: helper threads that are made when there is
 * work and end when there is none for a while. A job that takes too long is told to its owner and
 * does not count for the number of threads any more: however many hang, others find a thread. */
#ifndef GT_BASE_JOBS_H
#define GT_BASE_JOBS_H

#include "base/mailbox.h"
#include <stdatomic.h>

/** How threads that call foreign code have somebody look at them: only while there is something to
 * look at. The receiver of the mail looks from then on, say once a second; it clears `armed`, and
 * looks once more behind that, when it sees nothing under way. */
struct gt_watch {
    atomic_bool armed;
    struct gt_mailbox *to;
    struct gt_mail mail;
};

/** After that what is to be seen can be seen. NULL: nobody looks. Thread: any. */
static inline void gt_watch_arm(struct gt_watch *watch)
{
    if (watch != NULL && !atomic_load(&watch->armed) && !atomic_exchange(&watch->armed, true))
        gt_mailbox_send(watch->to, &watch->mail);
}

struct gt_jobs;

/** Embed it. It belongs to the pool until `done` runs. */
struct gt_job {
    struct gt_job *next;
    void (*run)(struct gt_job *job); /* on a thread of the pool */
    struct gt_mailbox *to;
    struct gt_mail done; /* it has run */
    struct gt_mail late; /* it runs for too long; `done` comes later, or never */
    int looks;           /* the pool's */
    atomic_bool bounded; /* see gt_job_bounded() */
};

/** 0 or GANTRY_NO_MEMORY. @p watch may be NULL. */
int gt_jobs_open(struct gt_watch *watch, struct gt_jobs **ret);
/** All jobs have run but for late ones. False: such a one is left, and so is the pool. NULL is
 * fine. */
bool gt_jobs_close(struct gt_jobs *jobs);
/** Thread: any. */
void gt_jobs_submit(struct gt_jobs *jobs, struct gt_job *job);
/** The job that runs on this thread, if one does, is about to wait for something that ends by
 * itself, at its own time limit (or has waited): it is not late meanwhile. Thread: any. */
void gt_job_bounded(bool bounded);
/** Tell the jobs that ran in each of the last @p most looks that they are late. Whether any runs
 * that was not told so. Thread: any, one at a time. */
bool gt_jobs_look(struct gt_jobs *jobs, int most);

#endif
