/* SPDX-License-Identifier: Apache-2.0 */
/* The mailbox: a locked list and a uv_async_t that wakes the loop. libuv may merge wake-ups, so one
 * wake-up runs all the mails that wait. Only those: a mail that sends itself again waits for the
 * next round of the loop. */
#include "base/mailbox.h"

#include <stddef.h>

static void run_mails(uv_async_t *async)
{
    struct gt_mailbox *mailbox =
        (struct gt_mailbox *)((char *)async - offsetof(struct gt_mailbox, async));

    pthread_mutex_lock(&mailbox->lock);
    struct gt_mail *mail = mailbox->head;
    mailbox->head = NULL;
    mailbox->tail = &mailbox->head;
    pthread_mutex_unlock(&mailbox->lock);
    while (mail != NULL) {
        pthread_mutex_lock(&mailbox->lock);
        struct gt_mail *next = mail->next;
        mail->next = NULL;
        mail->queued = false; /* from here on it is the owner's again: run() may send or free it */
        pthread_mutex_unlock(&mailbox->lock);
        mail->run(mail);
        mail = next;
    }
}

int gt_mailbox_init(struct gt_mailbox *mailbox, uv_loop_t *loop)
{
    int rc = pthread_mutex_init(&mailbox->lock, NULL);
    if (rc != 0)
        return uv_translate_sys_error(rc);
    mailbox->head = NULL;
    mailbox->tail = &mailbox->head;
    return uv_async_init(loop, &mailbox->async, run_mails);
}

bool gt_mailbox_send(struct gt_mailbox *mailbox, struct gt_mail *mail)
{
    pthread_mutex_lock(&mailbox->lock);
    bool waits = mail->queued;
    if (!waits) {
        mail->queued = true;
        mail->next = NULL;
        *mailbox->tail = mail;
        mailbox->tail = &mail->next;
        /* under the lock, so that a receiver that closes the mailbox because of this mail finds us
         * gone */
        (void)uv_async_send(
            &mailbox->async); /* fails only for a handle that is closing: nobody may send then */
    }
    pthread_mutex_unlock(&mailbox->lock);
    return !waits;
}

/* The lock is not destroyed: close may be called out of run(), and run_mails() takes the lock again
 * behind it. A plain mutex holds nothing but its own bytes. */
void gt_mailbox_close(struct gt_mailbox *mailbox, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&mailbox->async, closed);
}

void gt_mailbox_unref(struct gt_mailbox *mailbox)
{
    uv_unref((uv_handle_t *)&mailbox->async);
}
