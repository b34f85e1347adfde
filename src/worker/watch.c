/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of plugins in this process that do not come back. While anything is called a timer looks
 * whether it is still the same call; after task.call.timeout.ms in that call it is given up: the
 * executor gets another thread, a check is answered without it. Looks are counted and not the time,
 * so that a worker that was itself stopped for a while gives up nothing.
 *
 * What a call was given is left to it. Its connector may be stopped, but nothing of that name (in a
 * cluster: of that task) starts here before it has come back: it may still be at work outside. */
#include "worker/internal.h"

#include "base/log.h"
#include <stdlib.h>

enum {
    LOOK_MIN_MS = 10,
    LOOK_MAX_MS = 1000,
    LOOKS = 5,     /* for a call, at least */
    LEFT_MAX = 64, /* calls that have not come back: then nothing more is checked */
};

struct left {
    struct left *next;
    struct gt_worker *worker;
    char *name; /* owned: the connector's */
    int64_t task;
    struct gt_executor *own; /* owned, or NULL */
};

/* At the end two calls in turn may hang, and the end must come in time. */
static int64_t limit_ms(const struct gt_worker *worker)
{
    const struct gt_settings *settings = worker->settings;
    int64_t limit = settings->call_timeout_ms, end = settings->shutdown_ms / 3;
    return worker->closing && end < limit ? end : limit;
}

static int64_t look_ms(const struct gt_worker *worker)
{
    int64_t ms = limit_ms(worker) / LOOKS;
    return ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms;
}

static bool look(struct gt_worker *worker)
{
    int most = (int)(limit_ms(worker) / look_ms(worker));
    bool busy = worker->jobs != NULL && gt_jobs_look(worker->jobs, most);
    for (size_t i = 0; i < worker->executor_count; i++)
        busy = gt_executor_look(worker->executors[i], most, false) || busy;
    return gt_connectors_watch(worker, most) || busy;
}

static void on_timer(uv_timer_t *timer)
{
    struct gt_worker *worker = timer->data;
    if (look(worker))
        return;
    uv_timer_stop(timer);
    atomic_store(&worker->watch.armed, false);
    if (look(worker)) /* it has begun meanwhile, and may have seen us armed */
        gt_watch_arm(&worker->watch);
}

static void on_armed(struct gt_mail *mail)
{
    struct gt_worker *worker =
        (struct gt_worker *)((char *)mail - offsetof(struct gt_worker, watch.mail));
    uint64_t ms = (uint64_t)look_ms(worker);
    uv_timer_start(&worker->watch_timer, on_timer, ms, ms);
}

int gt_worker_open_watch(struct gt_worker *worker, struct gantry_err *err)
{
    uv_timer_init(&worker->loop, &worker->watch_timer);
    worker->watch_timer.data = worker;
    worker->watch.to = &worker->mailbox;
    worker->watch.mail.run = on_armed;
    if (gt_jobs_open(&worker->watch, &worker->jobs) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    return 0;
}

void gt_worker_watch_end(struct gt_worker *worker)
{
    atomic_store(&worker->watch.armed, true);
    gt_mailbox_send(&worker->mailbox, &worker->watch.mail);
}

/* --- What is left behind --- */

struct left *gt_left_add(struct gt_worker *worker, const char *name, int64_t task,
                         struct gt_executor *own)
{
    struct left *left = calloc(1, sizeof *left);
    char *copy = strdup(name);
    gt_error("worker", "a call of a plugin does not come back, and is left behind connector=%s",
             name);
    if (left == NULL || copy == NULL) {
        free(left);
        free(copy);
        worker->unnoted++;
        return NULL;
    }
    *left = (struct left){worker->left, worker, copy, task, own};
    worker->left = left;
    return left;
}

void gt_left_remove(struct left *left)
{
    struct left **at = &left->worker->left;
    while (*at != left)
        at = &(*at)->next;
    *at = left->next;
    gt_info("worker", "a call of a plugin that was left behind has come back connector=%s",
            left->name);
    gt_executor_close(left->own);
    free(left->name);
    free(left);
}

bool gt_left_find(const struct gt_worker *worker, const char *name, int64_t task,
                  struct gantry_err *err)
{
    size_t count = 0;
    for (const struct left *left = worker->left; left != NULL; left = left->next) {
        count++;
        if (strcmp(left->name, name) != 0 || (task >= 0 && left->task != task))
            continue;
        gantry_err_set(err, GANTRY_BUSY,
                       "a call of its plugin that was given up before (task.call.timeout.ms) has "
                       "not come back; it starts when that has, or with the worker");
        return true;
    }
    if (count >= LEFT_MAX)
        gantry_err_set(err, GANTRY_BUSY,
                       "%zu calls of plugins do not come back; start the worker again", count);
    return count >= LEFT_MAX;
}
