/* SPDX-License-Identifier: Apache-2.0 */
/* Questions: LOAD, VALIDATE, SPLIT. A helper thread asks and waits; the hosts' thread sends, and
 * sees to it that each one ends: by an answer, or with its host. */
#include "host/internal.h"

#include "base/jobs.h"
#include <stdlib.h>

int gt_call_init(struct gt_call *call, struct gt_host_plugin *plugin, enum gt_frame_type type,
                 const char *connector)
{
    *call = (struct gt_call){.hosts = plugin->hosts, .plugin = plugin, .type = type};
    pthread_mutex_init(&call->lock, NULL);
    pthread_cond_init(&call->cond, NULL);
    gt_buf_init(&call->rest, (size_t)plugin->hosts->settings.record_max);
    call->key = connector != NULL ? gt_host_key(plugin, connector) : strdup(plugin->key);
    call->name = connector != NULL ? strdup(connector) : NULL;
    if (type == GT_FRAME_LOAD) {
        gt_mp_put_map(&call->rest, 2);
        gt_mp_put_text(&call->rest, "path");
        gt_mp_put_text(&call->rest, plugin->path);
        gt_mp_put_text(&call->rest, "name");
        gt_mp_put_text(&call->rest, plugin->name);
    }
    return call->key == NULL || (connector != NULL && call->name == NULL) ? GANTRY_NO_MEMORY : 0;
}

void gt_call_deinit(struct gt_call *call)
{
    gt_buf_deinit(&call->rest);
    gt_frame_free(call->reply);
    free(call->key);
    free(call->name);
    pthread_cond_destroy(&call->cond);
    pthread_mutex_destroy(&call->lock);
}

/* --- The hosts' thread --- */

static void end_call(struct gt_call *call, struct gt_frame *reply, const struct gantry_err *err)
{
    if (call->own) {
        gt_frame_free(reply);
        gt_call_deinit(call);
        free(call);
        return;
    }
    pthread_mutex_lock(&call->lock);
    call->reply = reply;
    if (err != NULL)
        call->err = *err;
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->lock);
}

/* Items behind id and plugin. */
static uint32_t rest_items(enum gt_frame_type type)
{
    return type == GT_FRAME_LOAD ? 1 : type == GT_FRAME_SPLIT ? 4 : 3;
}

static int send_call(struct gt_seat *seat, struct gt_call *call, int64_t plugin)
{
    struct gt_frame *frames = NULL;
    struct gt_buf buf;
    bool load = call->type == GT_FRAME_LOAD;
    gt_buf_init(&buf, (size_t)seat->hosts->settings.record_max);
    gt_frame_begin(&buf, call->type, 0, 3 + rest_items(call->type) + (load ? 0 : 1));
    gt_mp_put_int(&buf, seat->next_id);
    if (!load)
        gt_mp_put_int(&buf, plugin);
    (void)gt_buf_add_view(&buf, gt_buf_view(&call->rest)); /* errors stick */
    int code = gt_frame_end(&buf, 0, &frames);
    if (code != 0)
        return code;
    call->id = seat->next_id++;
    call->asked_ms = gt_host_now_ms();
    call->next = seat->calls;
    seat->calls = call;
    gt_line_send(seat, frames);
    return 0;
}

int gt_call_own(struct gt_seat *seat, struct gt_host_plugin *plugin, enum gt_frame_type type,
                const struct gt_seat_name *name)
{
    int64_t number = type == GT_FRAME_LOAD ? 0 : gt_seat_plugin(seat, plugin);
    struct gt_call *call = number >= 0 ? calloc(1, sizeof *call) : NULL;
    if (call == NULL)
        return number < 0 ? (int)number : GANTRY_NO_MEMORY;
    int code = gt_call_init(call, plugin, type, name != NULL ? name->name : NULL);
    call->own = true;
    if (code == 0 && name != NULL)
        code = gt_buf_add_view(&call->rest, gt_buf_view(&name->split));
    if (code == 0)
        code = send_call(seat, call, number);
    if (code != 0) {
        gt_call_deinit(call);
        free(call);
    }
    return code;
}

static void run_call(struct gt_mail *mail)
{
    struct gt_call *call = (struct gt_call *)mail;
    struct gantry_err err = {0};
    struct gt_seat *seat = gt_hosts_seat(call->hosts, call->key, call->plugin->name);
    int code = seat != NULL ? gt_seat_need(seat, call->plugin, mail, &err) : GANTRY_NO_MEMORY;
    int64_t number = 0;
    if (code == GANTRY_AGAIN)
        return;
    if (code == 0 && call->type != GT_FRAME_LOAD) {
        number = gt_seat_plugin(seat, call->plugin);
        code = number < 0 ? (int)number : 0;
    }
    if (code == 0 && call->type == GT_FRAME_SPLIT)
        gt_seat_splits(seat, call);
    if (code == 0)
        code = send_call(seat, call, number);
    if (code == 0)
        return;
    if (err.code == 0)
        gantry_err_set(&err, code, "cannot ask a host: %s", gantry_error_text(code));
    end_call(call, NULL, &err);
    if (seat != NULL)
        gt_seat_look_for_need(seat);
}

/* The tasks, behind the id. */
static void note_split(struct gt_seat *seat, const struct gt_call *call,
                       const struct gt_frame *frame)
{
    struct gt_frame_head head;
    if (!gt_frame_read(&head, frame->data, frame->len))
        return;
    (void)gt_mp_item_int(&head.items, 0);
    struct gantry_view tasks = {(const char *)head.mp.pos, (size_t)(head.mp.end - head.mp.pos)};
    if (gt_seat_was_split(seat, call->name, tasks) && call->own && seat->hosts->reconfigure != NULL)
        seat->hosts->reconfigure(seat->hosts->arg, call->name, NULL);
}

static bool fits(enum gt_frame_type question, enum gt_frame_type answer)
{
    return answer == GT_FRAME_FAILED || (question == GT_FRAME_LOAD && answer == GT_FRAME_LOADED) ||
           (question == GT_FRAME_VALIDATE && answer == GT_FRAME_FINDINGS) ||
           (question == GT_FRAME_SPLIT && answer == GT_FRAME_TASKS);
}

bool gt_call_answer(struct gt_seat *seat, int64_t id, enum gt_frame_type type,
                    struct gt_frame *frame, const struct gantry_err *err)
{
    struct gt_call **at = &seat->calls;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    struct gt_call *call = *at;
    if (call == NULL || !fits(call->type, type))
        return false;
    *at = call->next;
    seat->answered_ms = seat->idle_ms = gt_host_now_ms();
    if (err != NULL && call->type == GT_FRAME_LOAD)
        gt_seat_drop_plugin(seat, call->plugin, err);
    else if (err != NULL && call->type == GT_FRAME_SPLIT)
        gt_seat_release(seat, call->name);
    else if (call->type == GT_FRAME_SPLIT)
        note_split(seat, call, frame);
    end_call(call, frame, err);
    return true;
}

void gt_calls_fail(struct gt_seat *seat, const struct gantry_err *err)
{
    for (struct gt_call *call = seat->calls, *next; call != NULL; call = next) {
        next = call->next;
        if (call->type == GT_FRAME_SPLIT && !call->own)
            gt_seat_release(seat, call->name); /* the asker hears that there is none */
        end_call(call, NULL, err);
    }
    seat->calls = NULL;
}

/* --- Who asks --- */

int gt_call_run(struct gt_call *call, struct gantry_err *err)
{
    if (call->rest.error != 0)
        return gantry_err_set(err, call->rest.error, "cannot ask a host: %s",
                              gantry_error_text(call->rest.error));
    call->mail.run = run_call;
    gt_mailbox_send(&call->hosts->mailbox, &call->mail);
    gt_job_bounded(true);
    pthread_mutex_lock(&call->lock);
    while (!call->done)
        pthread_cond_wait(&call->cond, &call->lock);
    pthread_mutex_unlock(&call->lock);
    gt_job_bounded(false);
    if (call->err.code != 0)
        *err = call->err;
    return call->err.code;
}
