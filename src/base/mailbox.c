/* SPDX-License-Identifier: Apache-2.0 */
/* The mailbox: a locked list and an event that wakes the loop, signalled by the mail that finds the
 * list empty: one wake-up runs all the mails that wait. Only those: a mail that sends itself again
 * waits for the next round of the loop. Not uv_async_t: its receiver spins, and yields, until the
 * sender has come back from the system call that woke it; on two cores that was 4 % of the work. */
#include "base/mailbox.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void run_mails(uv_poll_t *poll, int status, int events)
{
    struct gt_mailbox *mailbox =
        (struct gt_mailbox *)((char *)poll - offsetof(struct gt_mailbox, poll));
    uint64_t count;
    (void)status;
    (void)events;

    /* Before the list is taken: what is sent from then on signals anew. */
    (void)!read(mailbox->event, &count, sizeof count); /* nothing there: then nothing waits */
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
    mailbox->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->event < 0)
        return uv_translate_sys_error(errno);
    rc = uv_poll_init(loop, &mailbox->poll, mailbox->event);
    if (rc == 0)
        rc = uv_poll_start(&mailbox->poll, UV_READABLE, run_mails);
    if (rc != 0)
        (void)close(mailbox->event);
    return rc;
}

bool gt_mailbox_send(struct gt_mailbox *mailbox, struct gt_mail *mail)
{
    pthread_mutex_lock(&mailbox->lock);
    bool waits = mail->queued, first = mailbox->head == NULL;
    if (!waits) {
        mail->queued = true;
        mail->next = NULL;
        *mailbox->tail = mail;
        mailbox->tail = &mail->next;
    }
    /* Under the lock, so that a receiver that closes the mailbox because of this mail finds us
     * gone. It cannot fail: the count never gets near its maximum. */
    if (!waits && first)
        (void)!write(mailbox->event, &(uint64_t){1}, sizeof(uint64_t));
    pthread_mutex_unlock(&mailbox->lock);
    return !waits;
}

/* The lock is not destroyed: close may be called out of run(), and run_mails() takes the lock again
 * behind it. A plain mutex holds nothing but its own bytes. */
void gt_mailbox_close(struct gt_mailbox *mailbox, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&mailbox->poll, closed);
    (void)close(mailbox->event);
}

void gt_mailbox_unref(struct gt_mailbox *mailbox)
{
    uv_unref((uv_handle_t *)&mailbox->poll);
}
