/* SPDX-License-Identifier: Apache-2.0 */
/* One host: its process from start to end. All on the hosts' thread.
 *
 *      EMPTY -> STARTING    somebody needs it: the process is started, HELLO is sent
 *      STARTING -> READY    HELLO is answered
 *      READY -> LEAVING     nobody has needed it for a while, or its line has ended
 *      any but EMPTY -> KILLED
 *      any but EMPTY -> EMPTY   the process has exited and its handles are closed
 *
 * However it ends, the way is one: the exit is seen (waitid), what is left of its process group is
 * ended, what it said last is read, and then all that it owed fails. So nobody starts a task again
 * while the old process may still be doing something. */
#include "host/internal.h"

#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LEAVE_MS = 3000,   /* to exit once the input has ended */
    REASON_LAST = 230, /* bytes of the last lines in a reason */
};

/* --- Start --- */

static bool is_for_plugins(const char *key)
{
    return strncmp(key, "connectors.", strlen("connectors.")) == 0 ||
           strncmp(key, "host.", strlen("host.")) == 0 || strcmp(key, "rest.beyond.loopback") == 0;
}

static void put_settings(struct gt_buf *buf, const struct gt_props *given)
{
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; given != NULL && i < given->count; i++) {
            const struct gt_prop *prop = &given->items[i];
            if (!is_for_plugins(prop->key))
                continue;
            if (pass == 0) {
                count++;
                continue;
            }
            gt_mp_put_text(buf, prop->key);
            gt_mp_put_text(buf, prop->value);
        }
        if (pass == 0)
            gt_mp_put_map(buf, count);
    }
}

static int send_hello(struct gt_seat *seat, const struct gt_host_plugin *plugin)
{
    const struct gt_hosts_settings *settings = &seat->hosts->settings;
    struct gt_frame *frames = NULL;
    struct gt_buf buf;
    gt_buf_init(&buf, GT_FRAME_MAX);
    gt_frame_begin(&buf, GT_FRAME_HELLO, 0, 3);
    gt_mp_put_map(&buf, 6);
    gt_mp_put_text(&buf, "version");
    gt_mp_put_int(&buf, GT_HOST_VERSION);
    gt_mp_put_text(&buf, "worker");
    gt_mp_put_text(&buf, settings->worker);
    gt_mp_put_text(&buf, "record.max");
    gt_mp_put_int(&buf, settings->record_max);
    gt_mp_put_text(&buf, "beat.ms");
    gt_mp_put_int(&buf, settings->beat_ms);
    gt_mp_put_text(&buf, "library");
    gt_mp_put_text(&buf, plugin->library);
    gt_mp_put_text(&buf, "settings");
    put_settings(&buf, settings->given);
    int code = gt_frame_end(&buf, 0, &frames);
    if (code == 0)
        gt_line_send(seat, frames);
    return code;
}

static int start(struct gt_seat *seat, const struct gt_host_plugin *plugin, struct gantry_err *err)
{
    struct gt_hosts *hosts = seat->hosts;
    /* Our own hosts take a word that they do not read. */
    const char *name = plugin->kind != GT_PLUGIN_EXECUTABLE ? seat->name : NULL;
    int code = gt_process_start(&hosts->settings, (const char *const *)plugin->argv, plugin->folder,
                                plugin->text_out, plugin->files, name, &seat->process, err);
    if (code != 0)
        return code;
    seat->state = GT_SEAT_STARTING;
    seat->exited = false;
    seat->end = (struct gantry_err){0};
    seat->spawned_ms = seat->beat_ms = seat->answered_ms = seat->idle_ms = gt_host_now_ms();
    seat->next_channel = 1;
    seat->next_id = 1;
    gt_info("host", "started host=%s pid=%ld", seat->name, (long)seat->process.pid);
    code = gt_line_open(seat);
    if (code == 0)
        code = send_hello(seat, plugin);
    gt_hosts_tick(hosts);
    if (code != 0) {
        gantry_err_set(err, code, "cannot speak to a new host: %s", gantry_error_text(code));
        gt_seat_kill(seat, code, "%s", err->text);
    }
    return code;
}

int gt_seat_need(struct gt_seat *seat, const struct gt_host_plugin *plugin, struct gt_mail *mail,
                 struct gantry_err *err)
{
    seat->idle_ms = gt_host_now_ms();
    switch (seat->state) {
    case GT_SEAT_EMPTY:
        return start(seat, plugin, err);
    case GT_SEAT_STARTING:
    case GT_SEAT_READY:
        return 0;
    default:
        mail->next = seat->waiting;
        seat->waiting = mail;
        return GANTRY_AGAIN;
    }
}

int64_t gt_seat_plugin(struct gt_seat *seat, struct gt_host_plugin *plugin)
{
    for (size_t i = 0; i < seat->plugin_count; i++) {
        if (seat->plugins[i].plugin == plugin)
            return seat->plugins[i].id;
    }
    struct gt_seat_plugin *grown = realloc(seat->plugins, (seat->plugin_count + 1) * sizeof *grown);
    if (grown == NULL)
        return GANTRY_NO_MEMORY;
    seat->plugins = grown;
    int64_t id = seat->next_id; /* the question takes it */
    seat->plugins[seat->plugin_count++] = (struct gt_seat_plugin){plugin, id};
    int code = gt_call_own(seat, plugin, GT_FRAME_LOAD, NULL);
    if (code == 0)
        return id;
    seat->plugin_count--;
    return code;
}

void gt_seat_drop_plugin(struct gt_seat *seat, const struct gt_host_plugin *plugin,
                         const struct gantry_err *err)
{
    for (size_t i = 0; i < seat->plugin_count; i++) {
        if (seat->plugins[i].plugin == plugin)
            seat->plugins[i--] = seat->plugins[--seat->plugin_count];
    }
    size_t cursor = 0;
    void *value;
    while (err != NULL && gt_map_next(&seat->channels, &cursor, NULL, &value)) {
        if (((struct gt_channel *)value)->plugin == plugin)
            gt_channel_fail(value, err);
    }
}

/* --- Names whose connectors live there --- */

static struct gt_seat_name *find_name(struct gt_seat *seat, const char *name)
{
    struct gt_seat_name *at = seat->names;
    while (at != NULL && strcmp(at->name, name) != 0)
        at = at->next;
    return at;
}

static void free_name(struct gt_seat_name *name)
{
    gt_buf_deinit(&name->split);
    gt_buf_deinit(&name->tasks);
    free(name->name);
    free(name);
}

static void send_release(struct gt_seat *seat, const char *name)
{
    struct gt_frame *frames = NULL;
    struct gt_buf buf;
    gt_buf_init(&buf, GT_FRAME_MAX);
    gt_frame_begin(&buf, GT_FRAME_RELEASE, 0, 3);
    gt_mp_put_text(&buf, name);
    if (gt_frame_end(&buf, 0, &frames) == 0)
        gt_line_send(seat, frames);
    else
        gt_warn("host", "no memory to release connector=%s host=%s", name, seat->name);
}

void gt_seat_release(struct gt_seat *seat, const char *name)
{
    for (struct gt_seat_name **at = &seat->names; *at != NULL; at = &(*at)->next) {
        struct gt_seat_name *found = *at;
        if (strcmp(found->name, name) != 0)
            continue;
        *at = found->next;
        if (!found->lost)
            send_release(seat, name);
        free_name(found);
        return;
    }
}

void gt_seat_release_plugin(struct gt_seat *seat, const struct gt_host_plugin *plugin)
{
    for (struct gt_seat_name *name = seat->names, *next; name != NULL; name = next) {
        next = name->next;
        if (name->plugin == plugin)
            gt_seat_release(seat, name->name);
    }
}

void gt_seat_splits(struct gt_seat *seat, const struct gt_call *call)
{
    struct gt_seat_name *name = calloc(1, sizeof *name);
    gt_seat_release(seat, call->name);
    if (name == NULL)
        return; /* then it is not split again after a crash */
    gt_buf_init(&name->split, GT_FRAME_MAX);
    gt_buf_init(&name->tasks, GT_FRAME_MAX);
    name->name = strdup(call->name);
    name->plugin = call->plugin;
    if (name->name == NULL || gt_buf_add_view(&name->split, gt_buf_view(&call->rest)) != 0) {
        free_name(name);
        return;
    }
    name->next = seat->names;
    seat->names = name;
}

bool gt_seat_was_split(struct gt_seat *seat, const char *name, struct gantry_view tasks)
{
    struct gt_seat_name *found = find_name(seat, name);
    if (found == NULL)
        return false;
    bool other = found->tasks.len > 0 && !gantry_view_equal(gt_buf_view(&found->tasks), tasks);
    gt_buf_clear(&found->tasks);
    (void)gt_buf_add_view(&found->tasks, tasks); /* without memory the next one is not compared */
    return other;
}

void gt_seat_revive(struct gt_seat *seat, const char *name)
{
    struct gt_seat_name *found = find_name(seat, name);
    if (found == NULL || !found->lost)
        return;
    if (gt_call_own(seat, found->plugin, GT_FRAME_SPLIT, found) == 0)
        found->lost = false;
}

bool gt_seat_knows(struct gt_seat *seat, const char *name)
{
    size_t cursor = 0;
    void *value;
    if (find_name(seat, name) != NULL)
        return true;
    while (gt_map_next(&seat->channels, &cursor, NULL, &value)) {
        if (strcmp(((const struct gt_channel *)value)->connector, name) == 0)
            return true;
    }
    return false;
}

bool gt_seat_is_idle(const struct gt_seat *seat)
{
    return seat->channels.count == 0 && seat->calls == NULL && seat->names == NULL &&
           seat->waiting == NULL;
}

/* --- End --- */

void gt_seat_kill(struct gt_seat *seat, int code, const char *format, ...)
{
    if (seat->state == GT_SEAT_EMPTY || seat->state == GT_SEAT_KILLED || seat->exited)
        return;
    va_list args;
    va_start(args, format);
    seat->end.code = code;
    (void)vsnprintf(seat->end.text, sizeof seat->end.text, format, args); /* may be cut */
    va_end(args);
    seat->state = GT_SEAT_KILLED;
    /* Not reaped yet, so the number is still its own. */
    (void)kill(-seat->process.pid, SIGKILL); /* the step before exec may not lead a group yet ... */
    (void)kill(seat->process.pid, SIGKILL);  /* ... */
}

void gt_seat_leave(struct gt_seat *seat)
{
    if (seat->state != GT_SEAT_STARTING && seat->state != GT_SEAT_READY)
        return;
    seat->state = GT_SEAT_LEAVING;
    seat->leaving_ms = gt_host_now_ms();
    (void)shutdown(seat->process.line, SHUT_WR); /* one that is gone needs no word */
}

void gt_seat_line_ended(struct gt_seat *seat)
{
    if (seat->state == GT_SEAT_STARTING || seat->state == GT_SEAT_READY) {
        seat->state = GT_SEAT_LEAVING;
        seat->leaving_ms = gt_host_now_ms();
        seat->line_ended = true;
    }
    (void)gt_seat_look_for_exit(seat);
}

static void fail_all(struct gt_seat *seat, const struct gantry_err *err)
{
    size_t cursor = 0;
    void *value;
    while (gt_map_next(&seat->channels, &cursor, NULL, &value))
        gt_channel_finish(value, err);
    gt_map_deinit(&seat->channels);
    gt_map_init(&seat->channels);
    gt_calls_fail(seat, err);
}

static void describe_end(struct gt_seat *seat, struct gantry_err *err)
{
    char what[600], last[REASON_LAST];
    gt_errlog_last(&seat->log, last, sizeof last);
    if (seat->end.code != 0)
        (void)snprintf(what, sizeof what, "%s", seat->end.text);
    else if (seat->line_ended || seat->state != GT_SEAT_LEAVING)
        gt_process_describe(seat->status, what, sizeof what);
    else
        (void)snprintf(what, sizeof what, "was not needed any more");
    gantry_err_set(err, seat->end.code != 0 ? seat->end.code : GANTRY_IO, "host %.80s %.180s%s%s",
                   seat->name, what, last[0] != '\0' ? "; its last words: " : "", last);
}

static void run_waiting(struct gt_seat *seat)
{
    struct gt_mail *waiting = seat->waiting, *ordered = NULL;
    seat->waiting = NULL;
    while (waiting != NULL) {
        struct gt_mail *next = waiting->next;
        waiting->next = ordered;
        ordered = waiting;
        waiting = next;
    }
    while (ordered != NULL) {
        struct gt_mail *next = ordered->next;
        ordered->next = NULL;
        ordered->run(ordered);
        ordered = next;
    }
}

/* The process is gone and so are its handles. */
void gt_seat_closed(struct gt_seat *seat)
{
    seat->state = GT_SEAT_EMPTY;
    seat->serving = true; /* whom it cannot serve must not have it forgotten */
    run_waiting(seat);
    seat->serving = false;
    gt_seat_look_for_need(seat);
}

void gt_seat_look_for_need(struct gt_seat *seat)
{
    if (seat->state != GT_SEAT_EMPTY || seat->serving ||
        (seat->names != NULL && !seat->hosts->closing))
        return;
    while (seat->names != NULL)
        gt_seat_release(seat, seat->names->name);
    gt_hosts_forget(seat);
}

/* A connector that has died here, and has no task whose next start would bring it back. */
static void ask_for(struct gt_seat *seat, const char *name)
{
    size_t cursor = 0;
    void *value;
    while (gt_map_next(&seat->channels, &cursor, NULL, &value)) {
        if (strcmp(((const struct gt_channel *)value)->connector, name) == 0)
            return;
    }
    if (seat->hosts->reconfigure != NULL && !seat->hosts->closing)
        seat->hosts->reconfigure(seat->hosts->arg, name, NULL);
}

static void finish(struct gt_seat *seat)
{
    struct gantry_err err = {0};
    bool wanted = seat->end.code == 0 && !seat->line_ended && seat->state == GT_SEAT_LEAVING;
    bool ready = seat->state != GT_SEAT_KILLED && !wanted;
    if (ready)
        gt_line_read(seat); /* what it said last, its failures among it */
    gt_line_close(seat);
    gt_errlog_end(&seat->log, gt_host_now_ms());
    describe_end(seat, &err);
    if (wanted)
        gt_info("host", "ended host=%s pid=%ld", seat->name, (long)seat->process.pid);
    else
        gt_warn("host", "%s pid=%ld", err.text, (long)seat->process.pid);
    for (struct gt_seat_name *name = seat->names; name != NULL; name = name->next) {
        name->lost = true;
        if (!wanted && name->tasks.len > 0)
            ask_for(seat, name->name);
    }
    fail_all(seat, &err);
    free(seat->plugins);
    seat->plugins = NULL;
    seat->plugin_count = 0;
    seat->line_ended = false;
    gt_errlog_deinit(&seat->log);
    if (seat->open_handles == 0)
        gt_seat_closed(seat);
}

bool gt_seat_look_for_exit(struct gt_seat *seat)
{
    siginfo_t info = {.si_pid = 0};
    if (seat->state == GT_SEAT_EMPTY || seat->exited)
        return false;
    if (waitid(P_PID, (id_t)seat->process.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid != seat->process.pid)
        return false;
    seat->exited = true;
    (void)kill(-seat->process.pid, SIGKILL); /* what it has started; the number is still its own */
    (void)waitpid(seat->process.pid, &seat->status, 0);
    finish(seat);
    return true;
}

/* --- Time --- */

static void check_owed(struct gt_seat *seat, int64_t now_ms)
{
    const struct gt_hosts *hosts = seat->hosts;
    int64_t timeout_ms = hosts->settings.call_timeout_ms;
    /* Many may be asked at once: who answers gets on. */
    int64_t since_ms = seat->answered_ms;
    for (const struct gt_call *call = seat->calls; call != NULL; call = call->next) {
        int64_t from_ms = call->asked_ms > since_ms ? call->asked_ms : since_ms;
        if (now_ms - from_ms > timeout_ms) {
            gt_seat_kill(seat, GANTRY_TIMEOUT,
                         "did not answer %s within %lld ms "
                         "(host.call.timeout.ms)",
                         call->type == GT_FRAME_LOAD    ? "LOAD"
                         : call->type == GT_FRAME_SPLIT ? "SPLIT"
                                                        : "VALIDATE",
                         (long long)timeout_ms);
            return;
        }
    }
    size_t cursor = 0;
    void *value;
    while (gt_map_next(&seat->channels, &cursor, NULL, &value)) {
        int64_t owes_ms = gt_channel_owes_ms(value);
        int64_t from_ms = owes_ms > since_ms ? owes_ms : since_ms;
        if (owes_ms != 0 && now_ms - from_ms > timeout_ms) {
            gt_seat_kill(seat, GANTRY_TIMEOUT,
                         "did not start or stop a task within %lld ms (host.call.timeout.ms)",
                         (long long)timeout_ms);
            return;
        }
    }
}

/* The worker ends, and its time is nearly up: nobody waits for this host any more. */
static void check_end(struct gt_seat *seat, int64_t now_ms)
{
    int64_t by_ms = seat->hosts->stop_by_ms;
    if (by_ms == 0 || now_ms <= by_ms)
        return;
    if (seat->channels.count > 0)
        gt_seat_kill(seat, GANTRY_TIMEOUT, "had not stopped its tasks when the worker ended");
    else if (seat->calls != NULL || seat->waiting != NULL)
        gt_seat_kill(seat, GANTRY_TIMEOUT, "had not answered when the worker ended");
}

static void check_memory(struct gt_seat *seat)
{
    int64_t most = seat->hosts->settings.memory_max;
    int64_t used = most > 0 ? gt_process_memory(seat->process.pid) : 0;
    if (most > 0 && used > most)
        gt_seat_kill(
            seat, GANTRY_NO_MEMORY,
            "used %lld MiB of memory, which is more than host.memory.max allows (%lld MiB)",
            (long long)((used + (1 << 20) - 1) >> 20), (long long)(most >> 20));
}

void gt_seat_tick(struct gt_seat *seat, int64_t now_ms, bool look_at_memory)
{
    const struct gt_hosts_settings *settings = &seat->hosts->settings;
    if (seat->state == GT_SEAT_EMPTY || seat->exited)
        return;
    if (gt_seat_look_for_exit(seat)) /* should the signal have been lost */
        return;
    gt_errlog_tick(&seat->log, now_ms);
    if (!gt_seat_is_idle(seat))
        seat->idle_ms = now_ms;
    if (seat->state == GT_SEAT_STARTING && now_ms - seat->spawned_ms > settings->start_timeout_ms)
        gt_seat_kill(seat, GANTRY_TIMEOUT,
                     "did not say HELLO within %lld ms (host.start.timeout.ms)",
                     (long long)settings->start_timeout_ms);
    if (seat->state == GT_SEAT_LEAVING && now_ms - seat->leaving_ms > LEAVE_MS)
        gt_seat_kill(seat, GANTRY_TIMEOUT, "%s",
                     seat->line_ended ? "closed its line and went on"
                                      : "did not exit when its input had ended");
    check_end(seat, now_ms);
    if (look_at_memory)
        check_memory(seat);
    if (seat->state != GT_SEAT_READY)
        return;
    if (now_ms - seat->beat_ms > settings->beat_timeout_ms)
        gt_seat_kill(seat, GANTRY_TIMEOUT,
                     "gave no sign of life for %lld ms (host.beat.timeout.ms)",
                     (long long)(now_ms - seat->beat_ms));
    check_owed(seat, now_ms);
    if (gt_seat_is_idle(seat) && now_ms - seat->idle_ms > settings->idle_ms)
        gt_seat_leave(seat);
}
