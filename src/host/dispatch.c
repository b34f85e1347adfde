/* SPDX-License-Identifier: Apache-2.0 */
/* What the frames of a host mean. Those about a task go to its channel, as they are: its own thread
 * reads them. What must not wait for it (credit, log, answers that are waited for) is seen to here.
 * Whatever is not as the protocol says ends the host. On the hosts' thread. */
#include "host/internal.h"

#include "base/log.h"
#include <stdlib.h>

enum { IN_BYTES_SLACK = 64 << 20 }; /* beyond record.max: no honest credit comes to so much */

__attribute__((format(printf, 2, 3))) static void broken(struct gt_seat *seat, const char *format,
                                                         ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a cut text is still a text */
    va_end(args);
    gt_seat_kill(seat, GANTRY_INVALID, "broke the protocol: %s", text);
}

static const char *name_of(int64_t type)
{
    static const char *const names[GT_FRAME_ASIDE + 1] = {
        [GT_FRAME_PART] = "PART",
        [GT_FRAME_HELLO] = "HELLO",
        [GT_FRAME_LOAD] = "LOAD",
        [GT_FRAME_LOADED] = "LOADED",
        [GT_FRAME_FAILED] = "FAILED",
        [GT_FRAME_VALIDATE] = "VALIDATE",
        [GT_FRAME_FINDINGS] = "FINDINGS",
        [GT_FRAME_SPLIT] = "SPLIT",
        [GT_FRAME_TASKS] = "TASKS",
        [GT_FRAME_RELEASE] = "RELEASE",
        [GT_FRAME_RECONFIGURE] = "RECONFIGURE",
        [GT_FRAME_UNLOAD] = "UNLOAD",
        [GT_FRAME_BEAT] = "BEAT",
        [GT_FRAME_LOG] = "LOG",
        [GT_FRAME_START] = "START",
        [GT_FRAME_STARTED] = "STARTED",
        [GT_FRAME_STOP] = "STOP",
        [GT_FRAME_STOPPED] = "STOPPED",
        [GT_FRAME_COMMITTED] = "COMMITTED",
        [GT_FRAME_LAG] = "LAG",
        [GT_FRAME_RECORDS] = "RECORDS",
        [GT_FRAME_CREDIT] = "CREDIT",
        [GT_FRAME_POSITION] = "POSITION",
        [GT_FRAME_POSITIONS] = "POSITIONS",
        [GT_FRAME_TOGETHER] = "TOGETHER",
        [GT_FRAME_PUT] = "PUT",
        [GT_FRAME_TAKEN] = "TAKEN",
        [GT_FRAME_CHECKPOINT] = "CHECKPOINT",
        [GT_FRAME_STATE] = "STATE",
        [GT_FRAME_FLUSH] = "FLUSH",
        [GT_FRAME_FLUSHED] = "FLUSHED",
        [GT_FRAME_CAUGHT_UP] = "CAUGHT_UP",
        [GT_FRAME_HOLD] = "HOLD",
        [GT_FRAME_SEEK] = "SEEK",
        [GT_FRAME_COMMIT] = "COMMIT",
        [GT_FRAME_SCHEMA] = "SCHEMA",
        [GT_FRAME_ASIDE] = "ASIDE",
    };
    const char *name = type >= 0 && type <= GT_FRAME_ASIDE ? names[type] : NULL;
    return name != NULL ? name : "unknown";
}

/* --- The host as a whole --- */

static void on_hello(struct gt_seat *seat, struct gt_frame_head *head)
{
    int64_t version = -1;
    struct gantry_view host = {"", 0};
    uint32_t pairs = gt_mp_item(&head->items) ? gt_mp_map(&head->mp) : 0;
    for (uint32_t i = 0; i < pairs && gt_mp_ok(&head->mp); i++) {
        struct gantry_view key = gt_mp_bytes(&head->mp);
        if (gantry_view_equal(key, gantry_view_of("version")))
            version = gt_mp_int(&head->mp);
        else if (gantry_view_equal(key, gantry_view_of("host")))
            host = gt_mp_bytes(&head->mp);
        else
            gt_mp_skip(&head->mp);
    }
    if (!gt_mp_ok(&head->mp) || seat->state == GT_SEAT_READY) {
        broken(seat, "HELLO is malformed, or came twice");
        return;
    }
    if (version != GT_HOST_VERSION) {
        gt_seat_kill(seat, GANTRY_VERSION,
                     "speaks version %lld of the host protocol, this worker version %d",
                     (long long)version, GT_HOST_VERSION);
        return;
    }
    gt_debug("host", "ready program=%.*s host=%s", GT_VIEW_ARGS(host), seat->name);
    if (seat->state == GT_SEAT_STARTING)
        seat->state = GT_SEAT_READY;
    seat->beat_ms = seat->answered_ms = gt_host_now_ms();
}

static void on_beat(struct gt_seat *seat, struct gt_frame_head *head)
{
    const struct gt_hosts_settings *settings = &seat->hosts->settings;
    seat->beat_ms = gt_host_now_ms();
    uint32_t count = gt_mp_item_array(&head->items);
    for (uint32_t i = 0; i < count && gt_mp_ok(&head->mp); i++) {
        struct gt_mp_items pair = gt_mp_items(&head->mp);
        uint32_t number = (uint32_t)gt_mp_item_int(&pair, 0);
        int64_t inside_ms = gt_mp_item_int(&pair, 0);
        gt_mp_items_end(&pair);
        struct gt_channel *channel =
            gt_map_get(&seat->channels, (struct gantry_view){(const char *)&number, sizeof number});
        if (channel != NULL && inside_ms > settings->call_timeout_ms &&
            (!channel->blocking || gt_channel_waits(channel))) {
            char name[120];
            gt_channel_name(channel, name, sizeof name);
            gt_seat_kill(seat, GANTRY_TIMEOUT,
                         "has been inside one call of %s for %lld ms (host.call.timeout.ms)", name,
                         (long long)inside_ms);
            return;
        }
    }
}

static void on_log(struct gt_seat *seat, struct gt_frame_head *head, struct gt_channel *channel)
{
    char line[4096];
    int64_t level = gt_mp_item_int(&head->items, GANTRY_LOG_INFO);
    struct gantry_view logger = gt_mp_item_bytes(&head->items);
    struct gantry_view text = gt_mp_item_bytes(&head->items);
    if (!gt_mp_ok(&head->mp) || level < GANTRY_LOG_DEBUG || level > GANTRY_LOG_ERROR) {
        broken(seat, "LOG is malformed");
        return;
    }
    if (!gt_log_enabled((enum gantry_log_level)level) ||
        !gt_errlog_allow(&seat->log, gt_host_now_ms()))
        return;
    (void)snprintf(line, sizeof line, "%.*s%s%.*s", GT_VIEW_ARGS(text),
                   logger.len > 0 ? " logger=" : "", GT_VIEW_ARGS(logger)); /* may be cut */
    if (channel != NULL)
        gt_channel_log(channel, (enum gantry_log_level)level, line);
    else
        gt_log((enum gantry_log_level)level, "host", "%s host=%s", line, seat->name);
}

static void on_reconfigure(struct gt_seat *seat, struct gt_frame_head *head)
{
    struct gantry_view name = gt_mp_item_bytes(&head->items);
    struct gantry_view text = gt_mp_item_bytes(&head->items);
    if (!gt_mp_ok(&head->mp) || name.data == NULL) {
        broken(seat, "RECONFIGURE is malformed");
        return;
    }
    char *connector = strndup(name.data, name.len);
    if (connector != NULL && !gt_seat_knows(seat, connector)) {
        /* Not broken: it may have been released a moment ago. */
        if (gt_errlog_allow(&seat->log, gt_host_now_ms()))
            gt_warn("host", "a host asks for a connector that is not its own connector=%s host=%s",
                    connector, seat->name);
        free(connector);
        return;
    }
    char *reason = text.data != NULL ? strndup(text.data, text.len) : NULL;
    if (connector != NULL && (text.data == NULL || reason != NULL) &&
        seat->hosts->reconfigure != NULL)
        seat->hosts->reconfigure(seat->hosts->arg, connector, reason);
    free(connector);
    free(reason);
}

/* FAILED as answer to a question. */
static void on_refusal(struct gt_seat *seat, struct gt_frame_head *head, struct gt_frame *frame)
{
    struct gantry_err err = {0};
    int64_t id = gt_mp_item_int(&head->items, 0);
    int64_t code = gt_mp_item_int(&head->items, GANTRY_IO);
    struct gantry_view text = gt_mp_item_bytes(&head->items);
    if (!gt_mp_ok(&head->mp)) {
        broken(seat, "FAILED is malformed");
    } else {
        gantry_err_set(&err, code < 0 && code >= GANTRY_UNSUPPORTED ? (int)code : GANTRY_IO, "%.*s",
                       GT_VIEW_ARGS(text));
        if (!gt_call_answer(seat, id, GT_FRAME_FAILED, NULL, &err))
            broken(seat, "FAILED answers the question %lld, which was not asked", (long long)id);
    }
    gt_frame_free(frame);
}

static void on_answer(struct gt_seat *seat, struct gt_frame_head *head, struct gt_frame *frame)
{
    int64_t id = gt_mp_item_int(&head->items, 0);
    if (gt_mp_ok(&head->mp) &&
        gt_call_answer(seat, id, (enum gt_frame_type)head->type, frame, NULL))
        return;
    broken(seat, "%s answers the question %lld, which was not asked", name_of(head->type),
           (long long)id);
    gt_frame_free(frame);
}

static void dispatch_own(struct gt_seat *seat, struct gt_frame_head *head, struct gt_frame *frame)
{
    switch (head->type) {
    case GT_FRAME_LOADED:
    case GT_FRAME_FINDINGS:
    case GT_FRAME_TASKS:
        on_answer(seat, head, frame);
        return;
    case GT_FRAME_FAILED:
        on_refusal(seat, head, frame);
        return;
    case GT_FRAME_HELLO:
        on_hello(seat, head);
        break;
    case GT_FRAME_BEAT:
        on_beat(seat, head);
        break;
    case GT_FRAME_LOG:
        on_log(seat, head, NULL);
        break;
    case GT_FRAME_RECONFIGURE:
        on_reconfigure(seat, head);
        break;
    default:
        broken(seat, "a frame of type %lld (%s) for the host as a whole", (long long)head->type,
               name_of(head->type));
    }
    if (!gt_mp_ok(&head->mp))
        broken(seat, "%s is malformed", name_of(head->type));
    gt_frame_free(frame);
}

/* --- Tasks --- */

static void end_channel(struct gt_seat *seat, struct gt_channel *channel)
{
    uint32_t number = channel->number;
    (void)gt_map_remove(&seat->channels,
                        (struct gantry_view){(const char *)&number, sizeof number});
    gt_channel_finish(channel, NULL);
}

static void dispatch_task(struct gt_seat *seat, struct gt_channel *channel,
                          struct gt_frame_head *head, struct gt_frame *frame)
{
    switch (head->type) {
    case GT_FRAME_LOG:
        on_log(seat, head, channel);
        gt_frame_free(frame);
        return;
    case GT_FRAME_TAKEN:
        if (!gt_channel_taken(channel, gt_mp_item_int(&head->items, 0)) || !gt_mp_ok(&head->mp))
            broken(seat, "TAKEN is malformed, or of more than was sent");
        gt_frame_free(frame);
        return;
    case GT_FRAME_STARTED:
        gt_channel_answered(channel, GT_ASKED_START);
        seat->answered_ms = gt_host_now_ms();
        break;
    case GT_FRAME_STOPPED:
        seat->answered_ms = gt_host_now_ms();
        gt_frame_free(frame);
        end_channel(seat, channel);
        return;
    case GT_FRAME_STATE:
        gt_channel_answered(channel, GT_ASKED_CHECKPOINT);
        break;
    case GT_FRAME_FLUSHED:
        gt_channel_answered(channel, GT_ASKED_FLUSH);
        break;
    case GT_FRAME_FAILED:
        gt_channel_answered(channel, GT_ASKED_START);
        break;
    case GT_FRAME_LAG:
    case GT_FRAME_RECORDS:
    case GT_FRAME_POSITION:
    case GT_FRAME_POSITIONS:
    case GT_FRAME_TOGETHER:
    case GT_FRAME_HOLD:
    case GT_FRAME_SEEK:
    case GT_FRAME_COMMIT:
    case GT_FRAME_SCHEMA:
    case GT_FRAME_ASIDE:
        break;
    default:
        broken(seat, "a frame of type %lld (%s) for a task", (long long)head->type,
               name_of(head->type));
        gt_frame_free(frame);
        return;
    }
    if (gt_channel_deliver(channel, frame) >
        (size_t)seat->hosts->settings.record_max + IN_BYTES_SLACK)
        broken(seat, "it sends more than its credit");
}

/* --- Both --- */

static struct gt_frame *join(struct gt_seat *seat, struct gt_frame_parts *parts,
                             struct gt_frame_head *head, struct gt_frame *frame)
{
    struct gantry_err err = {0};
    struct gt_frame *whole = NULL;
    if (gt_frame_parts_add(parts, head, (size_t)seat->hosts->settings.record_max + GT_FRAME_PIECE,
                           &whole, &err) != 0)
        broken(seat, "%s", err.text);
    gt_frame_free(frame);
    return whole;
}

void gt_dispatch(struct gt_seat *seat, struct gt_frame *frame)
{
    struct gt_frame_head head;
    bool joined = false;
    for (;;) {
        if (!gt_frame_read(&head, frame->data, frame->len)) {
            broken(seat, "a frame of %zu bytes that is no array of type and channel", frame->len);
            break;
        }
        if (seat->state == GT_SEAT_STARTING && head.type != GT_FRAME_HELLO) {
            broken(seat, "its first frame is of type %lld (%s), not HELLO", (long long)head.type,
                   name_of(head.type));
            break;
        }
        struct gt_channel *channel =
            head.channel != 0
                ? gt_map_get(&seat->channels,
                             (struct gantry_view){(const char *)&head.channel, sizeof head.channel})
                : NULL;
        if (channel == NULL && head.channel != 0) {
            if (head.channel >= seat->next_channel)
                broken(seat, "there never was a channel %u", head.channel);
            break; /* one that has ended */
        }
        if (head.type != GT_FRAME_PART) {
            if (channel == NULL)
                dispatch_own(seat, &head, frame);
            else
                dispatch_task(seat, channel, &head, frame);
            return;
        }
        if (joined) {
            broken(seat, "parts that make up a part");
            break;
        }
        joined = true;
        frame = join(seat, channel != NULL ? &channel->parts : &seat->parts, &head, frame);
        if (frame == NULL)
            return; /* more are to come */
    }
    gt_frame_free(frame);
}
