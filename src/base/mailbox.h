/* SPDX-License-Identifier: Apache-2.0 */
/** Messages from any thread to a loop. A message is a struct embedded in its owner's: sending
 * allocates nothing and cannot fail. They run on the loop's thread in the order of sending. */
#ifndef GT_BASE_MAILBOX_H
#define GT_BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

/** One message; embed it, set `run`, send it. It belongs to the mailbox from send until `run` is
 * called. */
struct gt_mail {
    struct gt_mail *next;
    void (*run)(struct gt_mail *mail);
    bool queued; /* guarded by the mailbox: a mail that waits already is not sent twice */
};

struct gt_mailbox {
    uv_poll_t poll;
    int event; /* owned; readable: mails wait */
    pthread_mutex_t lock;
    struct gt_mail *head, **tail; /* guarded by lock */
};

/** Thread: the loop's. 0 or a negative libuv error. */
int gt_mailbox_init(struct gt_mailbox *mailbox, uv_loop_t *loop);
/** Send; a mail that is still waiting stays where it is (returns false). Thread: any. */
bool gt_mailbox_send(struct gt_mailbox *mailbox, struct gt_mail *mail);
/** Closes the handle; the memory is free once @p closed ran. Messages must not be sent any more.
 * Thread: the loop's. */
void gt_mailbox_close(struct gt_mailbox *mailbox, uv_close_cb closed);
/** Keep the loop alive because of this mailbox or not (default: yes). Thread: the loop's. */
void gt_mailbox_unref(struct gt_mailbox *mailbox);

#endif
