/* SPDX-License-Identifier: Apache-2.0 */
/* One lock, one condition. Threads take jobs in the order of their coming. */
#include "base/jobs.h"

#include <gantry/error.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    THREADS_MAX = 16, /* with work that is not late */
    IDLE_S = 10,      /* a thread without work ends after so long */
};

struct gt_jobs {
    struct gt_watch *watch;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gt_job *head, **tail; /* waiting */
    struct gt_job *running;      /* those that are late, too */
    size_t waiting;
    size_t threads, idle, late; /* threads: without the late ones */
    bool closing;
};

static _Thread_local struct gt_job *own_job;

int gt_jobs_open(struct gt_watch *watch, struct gt_jobs **ret)
{
    pthread_condattr_t attributes;
    struct gt_jobs *jobs = calloc(1, sizeof *jobs);
    if (jobs == NULL)
        return GANTRY_NO_MEMORY;
    jobs->watch = watch;
    jobs->tail = &jobs->head;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *ret = jobs;
    return 0;
}

bool gt_jobs_close(struct gt_jobs *jobs)
{
    if (jobs == NULL)
        return true;
    pthread_mutex_lock(&jobs->lock);
    jobs->closing = true;
    pthread_cond_broadcast(&jobs->changed);
    while (jobs->threads > 0)
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    bool left = jobs->late > 0;
    pthread_mutex_unlock(&jobs->lock);
    if (left)
        return false;
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return true;
}

static bool is_late(const struct gt_job *job)
{
    return job->looks < 0;
}

/* With the lock, but not while it runs. Whether this thread may go on. */
static bool run(struct gt_jobs *jobs, struct gt_job *job)
{
    job->looks = 0;
    atomic_store(&job->bounded, false);
    own_job = job;
    job->next = jobs->running;
    jobs->running = job;
    pthread_mutex_unlock(&jobs->lock);
    gt_watch_arm(jobs->watch);
    job->run(job);
    pthread_mutex_lock(&jobs->lock);
    struct gt_job **at = &jobs->running;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    bool late = is_late(job);
    jobs->late -= late;
    gt_mailbox_send(job->to, &job->done); /* it is the owner's from here on */
    return !late;
}

/* With the lock: wait for a job. False: for long enough. */
static bool await_job(struct gt_jobs *jobs)
{
    struct timespec deadline;
    int waited = 0;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += IDLE_S;
    jobs->idle++;
    while (jobs->head == NULL && !jobs->closing && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&jobs->changed, &jobs->lock, &deadline);
    jobs->idle--;
    return jobs->head != NULL;
}

static void *run_jobs(void *arg)
{
    struct gt_jobs *jobs = arg;
    bool counts = true;
    pthread_mutex_lock(&jobs->lock);
    while (counts && await_job(jobs)) {
        struct gt_job *job = jobs->head;
        jobs->head = job->next;
        if (jobs->head == NULL)
            jobs->tail = &jobs->head;
        jobs->waiting--;
        counts = run(jobs, job);
    }
    if (counts) {
        jobs->threads--;
        pthread_cond_broadcast(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock); /* the pool may be closed from here on */
    return NULL;
}

/* With the lock: one more thread, if there is work for it: those that idle take one job each. */
static void add_thread(struct gt_jobs *jobs)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (jobs->waiting <= jobs->idle || jobs->threads >= THREADS_MAX)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, run_jobs, jobs) == 0)
        jobs->threads++;
    pthread_attr_destroy(&attributes);
}

void gt_jobs_submit(struct gt_jobs *jobs, struct gt_job *job)
{
    pthread_mutex_lock(&jobs->lock);
    job->next = NULL;
    *jobs->tail = job;
    jobs->tail = &job->next;
    jobs->waiting++;
    pthread_cond_signal(&jobs->changed);
    add_thread(jobs);
    pthread_mutex_unlock(&jobs->lock);
    gt_watch_arm(jobs->watch); /* without a thread one is tried for at the next look */
}

void gt_job_bounded(bool bounded)
{
    if (own_job != NULL)
        atomic_store(&own_job->bounded, bounded);
}

bool gt_jobs_look(struct gt_jobs *jobs, int most)
{
    pthread_mutex_lock(&jobs->lock);
    for (struct gt_job *job = jobs->running; job != NULL; job = job->next) {
        if (is_late(job))
            continue;
        job->looks = atomic_load(&job->bounded) ? 0 : job->looks + 1;
        if (job->looks <= most)
            continue;
        job->looks = -1;
        jobs->late++;
        jobs->threads--;
        gt_mailbox_send(job->to, &job->late);
    }
    add_thread(jobs);
    bool busy = jobs->threads > jobs->idle || jobs->head != NULL;
    pthread_mutex_unlock(&jobs->lock);
    return busy;
}
