/* SPDX-License-Identifier: Apache-2.0 */
/* A host's line: bytes and frames in and out, and its text. On the hosts' thread. */
#include "host/internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    TURN_BYTES = 4 << 20, /* read from one line before the others get their turn; ... */
    TURN_FRAME = 1 << 10, /* ... each frame counts so much more */
    TEXT_TURN = 256 << 10,
    SEND_MANY = 64,
};

static void on_line(uv_poll_t *poll, int status, int events);

static void watch(struct gt_seat *seat, bool writes)
{
    seat->line_writes = writes;
    uv_poll_start(&seat->line_poll, UV_READABLE | (writes ? UV_WRITABLE : 0), on_line);
}

/* --- Out --- */

static void drop_written(struct gt_seat *seat, size_t len)
{
    seat->out_done += len;
    while (seat->out.head != NULL && seat->out_done >= seat->out.head->len) {
        seat->out_done -= seat->out.head->len;
        seat->out_bytes -= gt_frame_weight(seat->out.head);
        gt_frame_free(gt_frames_take(&seat->out));
    }
}

/* What cannot be sent because nobody reads any more shows as the line's end when it is read. */
static void flush(struct gt_seat *seat)
{
    while (seat->out.head != NULL) {
        struct iovec pieces[SEND_MANY];
        size_t count = 0, done = seat->out_done;
        for (struct gt_frame *frame = seat->out.head; frame != NULL && count < SEND_MANY;
             frame = frame->next, done = 0)
            pieces[count++] = (struct iovec){frame->data + done, frame->len - done};
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
        ssize_t len = sendmsg(seat->process.line, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            if (!seat->line_writes)
                watch(seat, true);
            return;
        }
        if (len < 0) {
            gt_frames_deinit(&seat->out);
            seat->out_done = seat->out_bytes = 0;
            break;
        }
        drop_written(seat, (size_t)len);
    }
    if (seat->line_writes)
        watch(seat, false);
}

void gt_line_send(struct gt_seat *seat, struct gt_frame *frames)
{
    bool idle = seat->out.head == NULL;
    for (struct gt_frame *next; frames != NULL; frames = next) {
        next = frames->next;
        if (seat->line_open) {
            seat->out_bytes += gt_frame_weight(frames);
            gt_frames_add(&seat->out, frames);
        } else {
            gt_frame_free(frames);
        }
    }
    if (idle && seat->line_open)
        flush(seat);
}

/* A host that reads slowly has what is meant for it kept in the channels, where it counts. */
static void resume(struct gt_seat *seat)
{
    size_t cursor = 0;
    void *value;
    if (!seat->out_holds || seat->out_bytes > GT_HOST_OUT_MAX)
        return;
    seat->out_holds = false;
    while (gt_map_next(&seat->channels, &cursor, NULL, &value))
        gt_channel_resume(value);
}

/* --- In --- */

static bool take(struct gt_seat *seat, const uint8_t *data, size_t len, size_t *turn)
{
    struct gantry_err err = {0};
    while (len > 0 && seat->state != GT_SEAT_KILLED) {
        struct gt_frame *frame = NULL;
        int code = gt_frame_cutter_feed(&seat->in, &data, &len, &frame, &err);
        if (code != 0) {
            gt_seat_kill(seat, code, "broke the protocol: %s", err.text);
            return false;
        }
        if (frame != NULL) {
            *turn += seat->exited ? 0 : TURN_FRAME; /* what it said last is read as a whole */
            gt_dispatch(seat, frame);
        }
    }
    return seat->state != GT_SEAT_KILLED;
}

void gt_line_read(struct gt_seat *seat)
{
    for (size_t turn = 0; turn < TURN_BYTES && seat->line_open;) {
        size_t size = 0;
        uint8_t *direct = gt_frame_cutter_room(&seat->in, &size);
        uint8_t *room = direct != NULL ? direct : seat->hosts->room;
        if (direct == NULL)
            size = seat->hosts->room_size;
        ssize_t len = recv(seat->process.line, room, size, MSG_DONTWAIT);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            uv_poll_stop(&seat->line_poll);
            if (!seat->exited)
                gt_seat_line_ended(seat);
            return;
        }
        turn += (size_t)len;
        if (direct == NULL) {
            if (!take(seat, room, (size_t)len, &turn))
                return;
        } else {
            struct gt_frame *frame = gt_frame_cutter_filled(&seat->in, (size_t)len);
            if (frame != NULL)
                gt_dispatch(seat, frame);
        }
        if (seat->state == GT_SEAT_KILLED)
            return;
        if ((size_t)len < size && !seat->exited)
            return; /* most likely that was all */
    }
}

static void on_line(uv_poll_t *poll, int status, int events)
{
    struct gt_seat *seat = poll->data;
    if (seat->state == GT_SEAT_KILLED) {
        uv_poll_stop(poll); /* its exit is what we wait for */
        return;
    }
    if (status < 0 || (events & UV_READABLE) != 0)
        gt_line_read(seat);
    if (seat->line_open && (events & UV_WRITABLE) != 0 && seat->state != GT_SEAT_KILLED) {
        flush(seat);
        resume(seat);
    }
}

/* --- Text --- */

static void read_text(struct gt_seat *seat)
{
    char room[16 << 10];
    for (size_t turn = 0; turn < TEXT_TURN;) {
        ssize_t len = read(seat->process.errors, room, sizeof room);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            uv_poll_stop(&seat->errors_poll);
            return;
        }
        turn += (size_t)len;
        gt_errlog_feed(&seat->log, room, (size_t)len, gt_host_now_ms());
    }
}

static void on_errors(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_text(poll->data);
}

/* --- Life --- */

int gt_line_open(struct gt_seat *seat)
{
    uv_loop_t *loop = &seat->hosts->loop;
    seat->in = (struct gt_frame_cutter){.head_len = 0};
    seat->out_done = seat->out_bytes = 0;
    seat->out_holds = false;
    int rc = uv_poll_init(loop, &seat->line_poll, seat->process.line);
    if (rc == 0) {
        seat->line_open = true;
        rc = uv_poll_init(loop, &seat->errors_poll, seat->process.errors);
    }
    if (rc == 0) {
        seat->errors_open = true;
        seat->errors_poll.data = seat;
        rc = uv_poll_start(&seat->errors_poll, UV_READABLE, on_errors);
    }
    if (rc != 0)
        return GANTRY_NO_MEMORY;
    seat->line_poll.data = seat;
    watch(seat, false);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct gt_seat *seat = handle->data;
    if (--seat->open_handles == 0)
        gt_seat_closed(seat);
}

static void close_handle(struct gt_seat *seat, uv_poll_t *poll, bool *open)
{
    if (!*open)
        return;
    *open = false;
    poll->data = seat;
    seat->open_handles++;
    uv_close((uv_handle_t *)poll, on_closed);
}

void gt_line_close(struct gt_seat *seat)
{
    read_text(seat);
    seat->open_handles = 1; /* until all are counted */
    close_handle(seat, &seat->line_poll, &seat->line_open);
    close_handle(seat, &seat->errors_poll, &seat->errors_open);
    close(seat->process.line);
    close(seat->process.errors);
    gt_frame_cutter_deinit(&seat->in);
    gt_frame_parts_deinit(&seat->parts);
    gt_frames_deinit(&seat->out);
    seat->open_handles--;
}
