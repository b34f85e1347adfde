/* SPDX-License-Identifier: Apache-2.0 */
/** The mock broker (tests/mock) on a thread of its own. */
#ifndef GT_TESTS_MOCK_THREAD_H
#define GT_TESTS_MOCK_THREAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "mock.h"
#include <cmocka.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

struct mock_thread {
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    struct mock *mock;
    pthread_t thread;
    sem_t begun;
    struct gt_mail end_mail;
};

struct order {
    struct gt_mail mail;
    struct mock_thread *mock;
    const char *line;
    struct rmq_buf answer;
    sem_t done;
};

static inline void end_mock(struct gt_mail *mail)
{
    struct mock_thread *mock =
        (struct mock_thread *)((char *)mail - offsetof(struct mock_thread, end_mail));
    mock_stop(mock->mock);
    gt_mailbox_close(&mock->mailbox, NULL);
}

static inline void *run_mock(void *arg)
{
    struct mock_thread *mock = arg;
    uv_loop_init(&mock->loop);
    gt_mailbox_init(&mock->mailbox, &mock->loop);
    mock->mock = mock_start(&mock->loop, 2);
    mock->end_mail.run = end_mock;
    sem_post(&mock->begun);
    uv_run(&mock->loop, UV_RUN_DEFAULT);
    uv_loop_close(&mock->loop);
    return NULL;
}

static inline void carry_out(struct gt_mail *mail)
{
    struct order *order = (struct order *)mail;
    mock_command(order->mock->mock, order->line, &order->answer);
    sem_post(&order->done);
}

static inline void wait_sem(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ;
}

static inline void mock_thread_start(struct mock_thread *mock)
{
    sem_init(&mock->begun, 0, 0);
    assert_int_equal(pthread_create(&mock->thread, NULL, run_mock, mock), 0);
    wait_sem(&mock->begun);
}

static inline void mock_thread_end(struct mock_thread *mock)
{
    gt_mailbox_send(&mock->mailbox, &mock->end_mail);
    pthread_join(mock->thread, NULL);
    sem_destroy(&mock->begun);
}

/** Carry out an order; the answer is the caller's. */
static inline char *mock_thread_ask(struct mock_thread *mock, const char *line)
{
    struct order order = {.mail.run = carry_out, .mock = mock, .line = line};
    rmq_buf_init(&order.answer, 64 << 20);
    sem_init(&order.done, 0, 0);
    gt_mailbox_send(&mock->mailbox, &order.mail);
    wait_sem(&order.done);
    sem_destroy(&order.done);
    char *answer = strndup(order.answer.data != NULL ? order.answer.data : "", order.answer.len);
    rmq_buf_deinit(&order.answer);
    assert_non_null(answer);
    return answer;
}

static inline void mock_thread_tell(struct mock_thread *mock, const char *line)
{
    char *answer = mock_thread_ask(mock, line);
    if (strstr(answer, "error") != NULL)
        fail_msg("%s: %s", line, answer);
    free(answer);
}

#endif
