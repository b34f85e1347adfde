/* SPDX-License-Identifier: Apache-2.0 */
/* What connectors ask for by themselves: to be split again, or to be FAILED because they cannot go
 * on. They ask from any thread, at any time; the control loop sees to it. */
#include "worker/internal.h"

#include "base/log.h"
#include <stdlib.h>

struct wish {
    struct wish *next;
    char *connector;
    char *reason; /* NULL: to be split again */
};

static void free_wish(struct wish *wish)
{
    free(wish->connector);
    free(wish->reason);
    free(wish);
}

static void grant(struct gt_worker *worker, struct wish *wish)
{
    struct slot *slot = gt_slot_find(worker, wish->connector);
    if (slot == NULL || worker->closing)
        return;
    if (slot->connector == NULL) {
        if (slot->head == NULL)
            return;
        if (wish->reason == NULL) { /* split, and about to be opened */
            slot->split_again = true;
        } else {
            free(slot->broken);
            slot->broken = wish->reason;
            wish->reason = NULL;
        }
        return;
    }
    if (wish->reason == NULL)
        gt_connector_split_again(slot->connector);
    else
        gt_connector_break(slot->connector, wish->reason);
}

static struct wish *take_all(struct gt_worker *worker)
{
    pthread_mutex_lock(&worker->wishes_lock);
    struct wish *wishes = worker->wishes;
    worker->wishes = NULL;
    pthread_mutex_unlock(&worker->wishes_lock);
    return wishes;
}

static void on_wishes(struct gt_mail *mail)
{
    struct gt_worker *worker =
        (struct gt_worker *)((char *)mail - offsetof(struct gt_worker, wishes_mail));
    for (struct wish *wish = take_all(worker), *next; wish != NULL; wish = next) {
        next = wish->next;
        grant(worker, wish);
        free_wish(wish);
    }
}

/* Once is enough, however often it is asked for before it is looked at. */
static bool is_known(const struct gt_worker *worker, const struct wish *wish)
{
    for (const struct wish *at = worker->wishes; at != NULL; at = at->next) {
        if (strcmp(at->connector, wish->connector) == 0 &&
            (at->reason == NULL) == (wish->reason == NULL))
            return true;
    }
    return false;
}

void gt_worker_wish(void *arg, const char *connector, const char *reason)
{
    struct gt_worker *worker = arg;
    struct wish *wish = calloc(1, sizeof *wish);
    if (wish != NULL) {
        wish->connector = strdup(connector);
        wish->reason = reason != NULL ? strdup(reason) : NULL;
    }
    if (wish == NULL || wish->connector == NULL || (reason != NULL && wish->reason == NULL)) {
        gt_error("worker", "no memory for what a connector asks connector=%s", connector);
        if (wish != NULL)
            free_wish(wish);
        return;
    }
    pthread_mutex_lock(&worker->wishes_lock);
    if (worker->wishes_open && !is_known(worker, wish)) {
        wish->next = worker->wishes;
        worker->wishes = wish;
        wish = NULL;
        gt_mailbox_send(&worker->mailbox, &worker->wishes_mail);
    }
    pthread_mutex_unlock(&worker->wishes_lock);
    if (wish != NULL)
        free_wish(wish);
}

void gt_worker_open_wishes(struct gt_worker *worker)
{
    worker->wishes_mail.run = on_wishes;
    pthread_mutex_lock(&worker->wishes_lock);
    worker->wishes_open = true;
    pthread_mutex_unlock(&worker->wishes_lock);
}

void gt_worker_close_wishes(struct gt_worker *worker)
{
    pthread_mutex_lock(&worker->wishes_lock);
    worker->wishes_open = false;
    pthread_mutex_unlock(&worker->wishes_lock);
    for (struct wish *wish = take_all(worker), *next; wish != NULL; wish = next) {
        next = wish->next;
        free_wish(wish);
    }
}
