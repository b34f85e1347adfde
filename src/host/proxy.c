/* SPDX-License-Identifier: Apache-2.0 */
/* What proxies of both kinds do: start and stop a task in its host, ask about configurations. */
#include "host/proxy.h"

#include "base/log.h"
#include <stdlib.h>

enum {
    START_MAX = 16 << 20,
    TURN_MAX = 4 << 20, /* bytes of frames that are looked at before other tasks have a turn; ... */
    TURN_FRAME = 4 << 10, /* ... each one counts so much more */
    FINDINGS_MAX = 1000,  /* nobody reads more */
};

static void put_config(struct gt_buf *buf, const struct gantry_config *config)
{
    gt_mp_put_map(buf, (uint32_t)config->count);
    for (size_t i = 0; i < config->count; i++) {
        gt_mp_put_text(buf, config->entries[i].key);
        gt_mp_put_text(buf, config->entries[i].value);
    }
}

/* --- Tasks --- */

int gt_proxy_start(struct gt_proxy *proxy, struct gt_host_plugin *plugin,
                   struct gantry_task_context *ctx, int64_t credit, struct gantry_err *err)
{
    const struct gt_host_class *class = gt_host_class_of(plugin, ctx->config);
    struct gt_buf buf;
    proxy->ctx = ctx;
    if (class == NULL)
        return gantry_err_set(err, GANTRY_NOT_FOUND, "plugin %s has no such class", plugin->name);
    gt_buf_init(&buf, START_MAX);
    gt_mp_put_text(&buf, class->api.class_names[0]);
    gt_mp_put_text(&buf, ctx->connector);
    gt_mp_put_int(&buf, ctx->task);
    gt_mp_put_int(&buf, ctx->task_count);
    put_config(&buf, ctx->config);
    gt_mp_put_bytes_or_nil(&buf, ctx->state);
    gt_mp_put_int(&buf, credit);
    int code = buf.error != 0
                   ? buf.error
                   : gt_channel_open(plugin, ctx, class->blocking, &buf, &proxy->channel);
    gt_buf_deinit(&buf);
    return code == 0 ? 0
                     : gantry_err_set(err, code, "cannot start a task in a host: %s",
                                      gantry_error_text(code));
}

int gt_proxy_broken(struct gt_proxy *proxy, const char *what, struct gantry_err *err)
{
    gantry_err_set(&proxy->failure, GANTRY_INVALID, "%s", what);
    (void)gt_channel_blame(proxy->channel, &proxy->failure);
    gantry_err_set(&proxy->failure, GANTRY_INVALID, "host %s broke the protocol: %s",
                   proxy->channel->plugin->name, what);
    *err = proxy->failure;
    return GANTRY_INVALID;
}

int gt_proxy_send(struct gt_proxy *proxy, struct gt_buf *buf, struct gantry_err *err)
{
    int code = gt_channel_end(proxy->channel, buf);
    return code == 0 ? 0
                     : gantry_err_set(err, code, "cannot send to host %s: %s",
                                      proxy->channel->plugin->name, gantry_error_text(code));
}

static int on_failed(struct gt_proxy *proxy, struct gt_frame_head *head, struct gantry_err *err)
{
    (void)gt_mp_item_int(&head->items, 0);
    int64_t code = gt_mp_item_int(&head->items, GANTRY_IO);
    struct gantry_view text = gt_mp_item_bytes(&head->items);
    if (!gt_mp_ok(&head->mp))
        return gt_proxy_broken(proxy, "FAILED is malformed", err);
    if (code >= 0 || code < GANTRY_UNSUPPORTED || code == GANTRY_AGAIN)
        code = GANTRY_IO;
    gantry_err_set(&proxy->failure, (int)code, "%.*s", GT_VIEW_ARGS(text));
    *err = proxy->failure;
    return (int)code;
}

static int on_position(struct gt_proxy *proxy, struct gt_frame_head *head, struct gantry_err *err)
{
    struct gantry_view position = {NULL, 0};
    int64_t id = gt_mp_item_int(&head->items, 0);
    struct gantry_view partition = gt_mp_item_bytes(&head->items);
    struct gt_buf buf;
    if (!gt_mp_ok(&head->mp))
        return gt_proxy_broken(proxy, "POSITION is malformed", err);
    int code = proxy->ctx->position(proxy->ctx, partition, &position, err);
    if (code != 0)
        return code;
    gt_channel_begin(proxy->channel, &buf, GT_FRAME_POSITION_IS, 4);
    gt_mp_put_int(&buf, id);
    gt_mp_put_bytes_or_nil(&buf, position.len > 0 ? position : (struct gantry_view){NULL, 0});
    return gt_proxy_send(proxy, &buf, err);
}

struct listing {
    struct gt_buf buf;
    uint32_t count;
};

static void add_position(void *arg, struct gantry_view partition, struct gantry_view position)
{
    struct listing *listing = arg;
    gt_mp_put_array(&listing->buf, 2);
    gt_mp_put_bytes(&listing->buf, partition);
    gt_mp_put_bytes(&listing->buf, position);
    listing->count++;
}

static int on_positions(struct gt_proxy *proxy, struct gt_frame_head *head, struct gantry_err *err)
{
    struct listing listing = {.count = 0};
    struct gt_buf buf;
    int64_t id = gt_mp_item_int(&head->items, 0);
    if (!gt_mp_ok(&head->mp))
        return gt_proxy_broken(proxy, "POSITIONS is malformed", err);
    gt_buf_init(&listing.buf, (size_t)proxy->channel->hosts->settings.record_max);
    int code = proxy->ctx->positions(proxy->ctx, add_position, &listing, err);
    if (code == 0) {
        gt_channel_begin(proxy->channel, &buf, GT_FRAME_POSITIONS_ARE, 4);
        gt_mp_put_int(&buf, id);
        gt_mp_put_array(&buf, listing.count);
        (void)gt_buf_add_view(&buf, gt_buf_view(&listing.buf)); /* errors stick, as below */
        if (listing.buf.error != 0)
            buf.error = listing.buf.error;
        code = gt_proxy_send(proxy, &buf, err);
    }
    gt_buf_deinit(&listing.buf);
    return code;
}

int gt_proxy_frame(struct gt_proxy *proxy, struct gt_frame_head *head, struct gantry_err *err)
{
    switch (head->type) {
    case GT_FRAME_FAILED:
        return on_failed(proxy, head, err);
    case GT_FRAME_POSITION:
        return on_position(proxy, head, err);
    case GT_FRAME_POSITIONS:
        return on_positions(proxy, head, err);
    case GT_FRAME_LAG: {
        int64_t lag = gt_mp_item_int(&head->items, -1);
        if (!gt_mp_ok(&head->mp))
            return gt_proxy_broken(proxy, "LAG is malformed", err);
        proxy->ctx->report_lag(proxy->ctx, lag);
        return 0;
    }
    default:
        return gt_proxy_broken(proxy, "a frame that does not belong to a task of this kind", err);
    }
}

void gt_proxy_turn(struct gt_proxy *proxy)
{
    proxy->turn = 0;
}

/* False: this turn is over. */
static bool has_turn(struct gt_proxy *proxy)
{
    if (proxy->turn < TURN_MAX)
        return true;
    proxy->ctx->wake(proxy->ctx);
    return false;
}

int gt_proxy_next(struct gt_proxy *proxy, struct gt_frame **ret, struct gt_frame_head *head,
                  struct gantry_err *err)
{
    *ret = NULL;
    if (proxy->failure.code != 0) {
        *err = proxy->failure;
        return err->code;
    }
    if (!has_turn(proxy))
        return 0;
    int code = gt_channel_next(proxy->channel, ret, err);
    if (code == 0 && *ret == NULL && !proxy->stopping && gt_channel_over(proxy->channel)) {
        code = gt_channel_next(proxy->channel, ret, err); /* what came before that, or why */
        if (code == 0 && *ret == NULL)
            code = gt_proxy_broken(proxy, "STOPPED, though nobody has said STOP", err);
    }
    if (code != 0 || *ret == NULL)
        return code == GANTRY_AGAIN ? GANTRY_IO : code;
    (void)gt_frame_read(head, (*ret)->data, (*ret)->len); /* was read before: it is one */
    proxy->turn += (*ret)->len + TURN_FRAME;
    return 0;
}

int gt_proxy_start_done(struct gt_proxy *proxy, int64_t *ret_credit, struct gantry_err *err)
{
    struct gt_frame *frame;
    struct gt_frame_head head;
    int code = 0;
    gt_proxy_turn(proxy);
    while (!proxy->started && code == 0) {
        code = gt_proxy_next(proxy, &frame, &head, err);
        if (code != 0 || frame == NULL)
            return code != 0 ? code : GANTRY_AGAIN;
        if (head.type == GT_FRAME_STARTED) {
            *ret_credit = gt_mp_item_int(&head.items, 0);
            proxy->started = true;
            if (!gt_mp_ok(&head.mp) || *ret_credit < 0)
                code = gt_proxy_broken(proxy, "STARTED is malformed", err);
        } else {
            code = gt_proxy_frame(proxy, &head, err);
        }
        gt_frame_free(frame);
    }
    return code;
}

/* What the task may still ask is answered, for it may be what it waits for. The rest is dropped:
 * records that come now are not committed and so come again. */
int gt_proxy_stop_done(struct gt_proxy *proxy)
{
    struct gantry_err err = {0};
    struct gt_frame *frame;
    struct gt_frame_head head;
    proxy->stopping = true;
    gt_channel_stop(proxy->channel);
    gt_proxy_turn(proxy);
    while (has_turn(proxy) && gt_channel_next(proxy->channel, &frame, &err) == 0 && frame != NULL) {
        (void)gt_frame_read(&head, frame->data, frame->len);
        proxy->turn += frame->len + TURN_FRAME;
        if (head.type == GT_FRAME_POSITION)
            (void)on_position(proxy, &head, &err);
        else if (head.type == GT_FRAME_POSITIONS)
            (void)on_positions(proxy, &head, &err);
        gt_frame_free(frame);
    }
    return gt_channel_over(proxy->channel) ? 0 : GANTRY_AGAIN;
}

/* --- Configurations --- */

static int ask(struct gt_call *call, struct gt_host_plugin *plugin, enum gt_frame_type type,
               const char *name, const struct gantry_config *config, uint32_t max_tasks,
               struct gantry_err *err)
{
    const struct gt_host_class *class = gt_host_class_of(plugin, config);
    int code = gt_call_init(call, plugin, type, name);
    if (code != 0)
        return gantry_err_set(err, code, "no memory to ask a host");
    if (class == NULL)
        return gantry_err_set(err, GANTRY_NOT_FOUND, "plugin %s has no such class", plugin->name);
    gt_mp_put_text(&call->rest, class->api.class_names[0]);
    gt_mp_put_text(&call->rest, name);
    put_config(&call->rest, config);
    if (type == GT_FRAME_SPLIT)
        gt_mp_put_int(&call->rest, max_tasks);
    return gt_call_run(call, err);
}

/* The reply's items behind the id. */
static bool read_reply(const struct gt_call *call, struct gt_frame_head *head)
{
    if (!gt_frame_read(head, call->reply->data, call->reply->len))
        return false;
    (void)gt_mp_item_int(&head->items, 0);
    return gt_mp_ok(&head->mp);
}

static char *text_of(struct gantry_view view)
{
    return view.data != NULL ? strndup(view.data, view.len) : NULL;
}

static void take_finding(struct gt_mp *mp, const char *name, struct gantry_findings *findings)
{
    struct gt_mp_items items = gt_mp_items(mp);
    char *key = text_of(gt_mp_item_bytes(&items));
    char *text = text_of(gt_mp_item_bytes(&items));
    bool warning = gt_mp_item_bool(&items, false);
    gt_mp_items_end(&items);
    if (gt_mp_ok(mp) && text != NULL && warning)
        gt_warn("host", "%s%s%s connector=%s", key != NULL ? key : "", key != NULL ? ": " : "",
                text, name);
    else if (gt_mp_ok(mp))
        findings->add(findings, key, text != NULL ? text : "is wrong");
    free(key);
    free(text);
}

void gt_proxy_validate(void *state, const char *name, const struct gantry_config *config,
                       struct gantry_findings *findings)
{
    struct gt_call call;
    struct gt_frame_head head;
    struct gantry_err err = {0};
    if (ask(&call, state, GT_FRAME_VALIDATE, name, config, 0, &err) != 0) {
        findings->add(findings, NULL, err.text);
    } else if (read_reply(&call, &head)) {
        uint32_t count = gt_mp_item_array(&head.items);
        for (uint32_t i = 0; i < count && i < FINDINGS_MAX && gt_mp_ok(&head.mp); i++)
            take_finding(&head.mp, name, findings);
        if (!gt_mp_ok(&head.mp))
            findings->add(findings, NULL, "the host's answer to VALIDATE is malformed");
    }
    gt_call_deinit(&call);
}

static int take_task(struct gt_mp *mp, struct gantry_task_list *list)
{
    int code = list->begin(list);
    uint32_t pairs = gt_mp_map(mp);
    for (uint32_t i = 0; i < pairs && code == 0 && gt_mp_ok(mp); i++) {
        char *key = text_of(gt_mp_bytes(mp));
        char *value = text_of(gt_mp_bytes(mp));
        if (key == NULL || value == NULL)
            code = GANTRY_NO_MEMORY;
        else if (gt_mp_ok(mp))
            code = list->set(list, key, value);
        free(key);
        free(value);
    }
    return code;
}

int gt_proxy_split(void *state, const char *name, const struct gantry_config *config,
                   uint32_t max_tasks, struct gantry_task_list *list, struct gantry_err *err)
{
    struct gt_call call;
    struct gt_frame_head head;
    int code = ask(&call, state, GT_FRAME_SPLIT, name, config, max_tasks, err);
    if (code == 0) {
        (void)read_reply(&call, &head);
        uint32_t count = gt_mp_item_array(&head.items);
        for (uint32_t i = 0; i < count && code == 0 && gt_mp_ok(&head.mp); i++)
            code = take_task(&head.mp, list);
        if (code != 0)
            gantry_err_set(err, code, "cannot take the host's tasks: %s", gantry_error_text(code));
        else if (!gt_mp_ok(&head.mp))
            code = gantry_err_set(err, GANTRY_INVALID, "the host's answer to SPLIT is malformed");
        if (code != 0)
            gt_proxy_release(state, name);
    }
    gt_call_deinit(&call);
    return code;
}

struct releasing {
    struct gt_mail mail; /* first */
    struct gt_hosts *hosts;
    char *key, *name;
};

static void run_release(struct gt_mail *mail)
{
    struct releasing *releasing = (struct releasing *)mail;
    struct gt_seat *seat = gt_map_get(&releasing->hosts->seats, gantry_view_of(releasing->key));
    if (seat != NULL) {
        gt_seat_release(seat, releasing->name);
        gt_seat_look_for_need(seat);
    }
    free(releasing->key);
    free(releasing->name);
    free(releasing);
}

void gt_proxy_release(void *state, const char *name)
{
    const struct gt_host_plugin *plugin = state;
    struct releasing *releasing = calloc(1, sizeof *releasing);
    if (releasing != NULL) {
        releasing->mail.run = run_release;
        releasing->hosts = plugin->hosts;
        releasing->key = gt_host_key(plugin, name);
        releasing->name = strdup(name);
    }
    if (releasing != NULL && releasing->key != NULL && releasing->name != NULL) {
        gt_mailbox_send(&plugin->hosts->mailbox, &releasing->mail);
        return;
    }
    if (releasing != NULL) {
        free(releasing->key);
        free(releasing->name);
    }
    free(releasing);
    gt_warn("host", "no memory to release connector=%s", name);
}
