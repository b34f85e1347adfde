/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: what a task's thread and the hosts' thread hand each other. Neither waits for the
 * other: both put frames in lists under the channel's lock and send a mail, or wake the task.
 *
 * The two hold the channel: the task until it is closed, the thread from START until nothing can
 * come any more; and so does each mail that is under way. */
#include "host/internal.h"

#include <stdlib.h>

#define OF_MAIL(mail, member)                                                                      \
    ((struct gt_channel *)((char *)(mail)-offsetof(struct gt_channel, member)))

enum { START_ITEMS = 7 }; /* behind the plugin */

static void free_channel(struct gt_channel *channel)
{
    gt_frames_deinit(&channel->in);
    gt_frames_deinit(&channel->out);
    gt_frame_parts_deinit(&channel->parts);
    gt_buf_deinit(&channel->start);
    pthread_mutex_destroy(&channel->lock);
    free(channel->key);
    free(channel->connector);
    free(channel);
}

static void let_go(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool last = --channel->refs == 0;
    pthread_mutex_unlock(&channel->lock);
    if (last)
        free_channel(channel);
}

/* With the lock. */
static void send_mail(struct gt_channel *channel, struct gt_mail *mail)
{
    channel->refs++;
    if (!gt_mailbox_send(&channel->hosts->mailbox, mail))
        channel->refs--;
}

/* With the lock: the task's callbacks may run from now on, but its context is there as long. */
static void wake(struct gt_channel *channel)
{
    if (channel->ctx != NULL)
        channel->ctx->wake(channel->ctx);
}

/* --- The hosts' thread --- */

static int send_start(struct gt_channel *channel, struct gt_seat *seat, uint32_t number,
                      int64_t plugin)
{
    struct gt_frame *frames = NULL;
    struct gt_buf buf;
    gt_buf_init(&buf, channel->start.max);
    gt_frame_begin(&buf, GT_FRAME_START, number, 3 + START_ITEMS);
    gt_mp_put_int(&buf, plugin);
    (void)gt_buf_add_view(&buf, gt_buf_view(&channel->start)); /* errors stick */
    int code = gt_frame_end(&buf, number, &frames);
    if (code == 0)
        gt_line_send(seat, frames);
    return code;
}

static int start(struct gt_channel *channel, struct gt_seat *seat, struct gantry_err *err)
{
    int code = gt_seat_need(seat, channel->plugin, &channel->start_mail, err);
    if (code != 0)
        return code;
    int64_t plugin = gt_seat_plugin(seat, channel->plugin);
    if (plugin < 0)
        return (int)plugin;
    gt_seat_revive(seat, channel->connector);
    uint32_t number = seat->next_channel++;
    code = gt_map_put(&seat->channels, (struct gantry_view){(const char *)&number, sizeof number},
                      channel, NULL);
    if (code != 0)
        return code;
    channel->seat = seat;
    pthread_mutex_lock(&channel->lock);
    channel->number = number;
    channel->asked_ms[GT_ASKED_START] = gt_host_now_ms();
    pthread_mutex_unlock(&channel->lock);
    code = send_start(channel, seat, number, plugin);
    if (code != 0)
        (void)gt_map_remove(&seat->channels,
                            (struct gantry_view){(const char *)&number, sizeof number});
    return code;
}

static void on_start(struct gt_mail *mail)
{
    struct gt_channel *channel = OF_MAIL(mail, start_mail);
    struct gantry_err err = {0};
    int code = GANTRY_CLOSED;
    if (!channel->finished) { /* else it was stopped while it waited */
        struct gt_seat *seat = gt_hosts_seat(channel->hosts, channel->key, channel->plugin->name);
        code = seat != NULL ? start(channel, seat, &err) : GANTRY_NO_MEMORY;
        if (code == GANTRY_AGAIN)
            return; /* this mail comes again */
        if (code != 0) {
            if (err.code == 0)
                gantry_err_set(&err, code, "cannot start a task in a host: %s",
                               gantry_error_text(code));
            gt_channel_finish(channel, &err);
            if (seat != NULL)
                gt_seat_look_for_need(seat);
        }
    }
    gt_buf_deinit(&channel->start);
    let_go(channel);
}

void gt_channel_resume(struct gt_channel *channel)
{
    struct gt_frames frames;
    gt_frames_init(&frames);
    pthread_mutex_lock(&channel->lock);
    gt_frames_move(&frames, &channel->out);
    channel->out_bytes = 0;
    if (channel->wants_room) {
        channel->wants_room = false;
        wake(channel);
    }
    pthread_mutex_unlock(&channel->lock);
    if (channel->seat != NULL)
        gt_line_send(channel->seat, frames.head);
    else
        gt_frames_deinit(&frames);
}

static void on_send(struct gt_mail *mail)
{
    struct gt_channel *channel = OF_MAIL(mail, send_mail);
    struct gt_seat *seat = channel->seat;
    if (seat != NULL && seat->out_bytes > GT_HOST_OUT_MAX)
        seat->out_holds = true;
    else
        gt_channel_resume(channel);
    let_go(channel);
}

static void on_stop(struct gt_mail *mail)
{
    struct gt_channel *channel = OF_MAIL(mail, stop_mail);
    struct gt_frame *frames = NULL;
    gt_channel_resume(channel);
    if (channel->seat == NULL) {
        if (!channel->finished)
            gt_channel_finish(channel, NULL);
    } else {
        struct gt_buf buf;
        gt_buf_init(&buf, 64);
        gt_frame_begin(&buf, GT_FRAME_STOP, channel->number, 2);
        if (gt_frame_end(&buf, channel->number, &frames) == 0)
            gt_line_send(channel->seat, frames);
        else
            gt_seat_kill(channel->seat, GANTRY_NO_MEMORY, "could not be told to stop a task: %s",
                         gantry_error_text(GANTRY_NO_MEMORY));
    }
    let_go(channel);
}

static void on_blame(struct gt_mail *mail)
{
    struct gt_channel *channel = OF_MAIL(mail, blame_mail);
    if (channel->seat != NULL)
        gt_seat_kill(channel->seat, channel->blame.code, "broke the protocol: %s",
                     channel->blame.text);
    let_go(channel);
}

size_t gt_channel_deliver(struct gt_channel *channel, struct gt_frame *frame)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->ctx != NULL) {
        channel->in_bytes += gt_frame_weight(frame);
        gt_frames_add(&channel->in, frame);
        wake(channel);
    } else {
        gt_frame_free(frame);
    }
    size_t bytes = channel->in_bytes;
    pthread_mutex_unlock(&channel->lock);
    return bytes;
}

void gt_channel_answered(struct gt_channel *channel, enum gt_asked what)
{
    pthread_mutex_lock(&channel->lock);
    channel->asked_ms[what] = 0;
    pthread_mutex_unlock(&channel->lock);
}

void gt_channel_fail(struct gt_channel *channel, const struct gantry_err *err)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->failure.code == 0)
        channel->failure = *err;
    wake(channel);
    pthread_mutex_unlock(&channel->lock);
}

void gt_channel_finish(struct gt_channel *channel, const struct gantry_err *err)
{
    channel->seat = NULL;
    channel->finished = true;
    pthread_mutex_lock(&channel->lock);
    if (err != NULL && channel->failure.code == 0)
        channel->failure = *err;
    channel->over = true;
    wake(channel);
    pthread_mutex_unlock(&channel->lock);
    let_go(channel);
}

int64_t gt_channel_owes_ms(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    int64_t start_ms = channel->asked_ms[GT_ASKED_START],
            stop_ms = channel->asked_ms[GT_ASKED_STOP];
    pthread_mutex_unlock(&channel->lock);
    return start_ms == 0 || (stop_ms != 0 && stop_ms < start_ms) ? stop_ms : start_ms;
}

bool gt_channel_waits(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool waits = channel->untaken > 0;
    for (int i = 0; i < GT_ASKED_COUNT; i++)
        waits = waits || channel->asked_ms[i] != 0;
    pthread_mutex_unlock(&channel->lock);
    return waits;
}

bool gt_channel_taken(struct gt_channel *channel, int64_t bytes)
{
    pthread_mutex_lock(&channel->lock);
    bool can = bytes >= 0 && bytes <= channel->untaken;
    if (can) {
        channel->credit += bytes;
        channel->untaken -= bytes;
    }
    if (channel->wants_credit && channel->credit > 0) {
        channel->wants_credit = false;
        wake(channel);
    }
    pthread_mutex_unlock(&channel->lock);
    return can;
}

void gt_channel_name(struct gt_channel *channel, char *out, size_t size)
{
    (void)snprintf(out, size, "connector %s, task %u", channel->connector,
                   channel->task); /* a cut text is still a text */
}

void gt_channel_log(struct gt_channel *channel, enum gantry_log_level level, const char *text)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->ctx != NULL)
        channel->ctx->log(channel->ctx, level, text);
    pthread_mutex_unlock(&channel->lock);
}

/* --- The task's thread --- */

int gt_channel_open(struct gt_host_plugin *plugin, struct gantry_task_context *ctx, bool blocking,
                    struct gt_buf *items, struct gt_channel **ret)
{
    struct gt_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return GANTRY_NO_MEMORY;
    pthread_mutex_init(&channel->lock, NULL);
    channel->hosts = plugin->hosts;
    channel->plugin = plugin;
    channel->key = gt_host_key(plugin, ctx->connector);
    channel->connector = strdup(ctx->connector);
    channel->task = ctx->task;
    channel->blocking = blocking;
    channel->ctx = ctx;
    channel->start = *items;
    gt_buf_init(items, items->max);
    gt_frames_init(&channel->in);
    gt_frames_init(&channel->out);
    channel->start_mail.run = on_start;
    channel->send_mail.run = on_send;
    channel->stop_mail.run = on_stop;
    channel->blame_mail.run = on_blame;
    channel->refs = 2;
    if (channel->key == NULL || channel->connector == NULL) {
        free_channel(channel);
        return GANTRY_NO_MEMORY;
    }
    pthread_mutex_lock(&channel->lock);
    send_mail(channel, &channel->start_mail);
    pthread_mutex_unlock(&channel->lock);
    *ret = channel;
    return 0;
}

void gt_channel_send(struct gt_channel *channel, struct gt_frame *frames)
{
    pthread_mutex_lock(&channel->lock);
    for (struct gt_frame *next; frames != NULL; frames = next) {
        next = frames->next;
        channel->out_bytes += gt_frame_weight(frames);
        gt_frames_add(&channel->out, frames);
    }
    send_mail(channel, &channel->send_mail);
    pthread_mutex_unlock(&channel->lock);
}

void gt_channel_begin(struct gt_channel *channel, struct gt_buf *buf, enum gt_frame_type type,
                      uint32_t items)
{
    gt_buf_init(buf, (size_t)channel->hosts->settings.record_max);
    gt_frame_begin(buf, type, channel->number, items);
}

int gt_channel_end(struct gt_channel *channel, struct gt_buf *buf)
{
    struct gt_frame *frames = NULL;
    int code = gt_frame_end(buf, channel->number, &frames);
    if (code == 0)
        gt_channel_send(channel, frames);
    return code;
}

void gt_channel_asked(struct gt_channel *channel, enum gt_asked what)
{
    pthread_mutex_lock(&channel->lock);
    channel->asked_ms[what] = gt_host_now_ms();
    pthread_mutex_unlock(&channel->lock);
}

void gt_channel_stop(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->asked_ms[GT_ASKED_STOP] == 0 && !channel->over) {
        channel->asked_ms[GT_ASKED_STOP] = gt_host_now_ms();
        send_mail(channel, &channel->stop_mail);
    }
    pthread_mutex_unlock(&channel->lock);
}

void gt_channel_credit(struct gt_channel *channel, int64_t bytes)
{
    pthread_mutex_lock(&channel->lock);
    channel->credit = bytes < GT_HOST_CREDIT_MAX ? bytes : GT_HOST_CREDIT_MAX;
    pthread_mutex_unlock(&channel->lock);
}

bool gt_channel_has_credit(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool some = channel->credit > 0;
    channel->wants_credit = !some;
    pthread_mutex_unlock(&channel->lock);
    return some;
}

void gt_channel_spend(struct gt_channel *channel, int64_t bytes)
{
    pthread_mutex_lock(&channel->lock);
    channel->credit -= bytes;
    channel->untaken += bytes;
    pthread_mutex_unlock(&channel->lock);
}

bool gt_channel_over(struct gt_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool over = channel->over;
    pthread_mutex_unlock(&channel->lock);
    return over;
}

int gt_channel_next(struct gt_channel *channel, struct gt_frame **ret, struct gantry_err *err)
{
    pthread_mutex_lock(&channel->lock);
    int code = channel->failure.code;
    if (code != 0)
        *err = channel->failure;
    channel->wants_room = code == 0 && !channel->over && channel->out_bytes > GT_HOST_OUT_MAX;
    *ret = code == 0 && !channel->wants_room ? gt_frames_take(&channel->in) : NULL;
    if (*ret != NULL)
        channel->in_bytes -= gt_frame_weight(*ret);
    pthread_mutex_unlock(&channel->lock);
    return code;
}

int gt_channel_blame(struct gt_channel *channel, const struct gantry_err *err)
{
    pthread_mutex_lock(&channel->lock);
    if (channel->blame.code == 0) {
        channel->blame = *err;
        send_mail(channel, &channel->blame_mail);
    }
    pthread_mutex_unlock(&channel->lock);
    return err->code;
}

void gt_channel_close(struct gt_channel *channel)
{
    gt_channel_stop(channel);
    pthread_mutex_lock(&channel->lock);
    channel->ctx = NULL;
    gt_frames_deinit(&channel->in);
    channel->in_bytes = 0;
    pthread_mutex_unlock(&channel->lock);
    let_go(channel);
}
