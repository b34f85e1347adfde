/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts' thread: its loop, its timer, the table of seats. */
#include "host/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include <signal.h>
#include <stdlib.h>

enum {
    ROOM = 64 << 10, /* what is larger is read to its place */
    TICK_MIN_MS = 20,
    TICK_MAX_MS = 1000,
    MEMORY_LOOK_MS = 2000,
};

int64_t gt_host_now_ms(void)
{
    return gt_clock_mono_ns() / 1000000;
}

typedef void each_seat(struct gt_seat *seat, void *arg);

/* A seat may be forgotten in the call. */
static void for_each(struct gt_hosts *hosts, each_seat *each, void *arg)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&hosts->seats, &cursor, &key, &value))
        each(value, arg);
}

/* --- The table --- */

/* A host of one connector says so, and the one that all jars share is nobody's. */
static char *name_of(const char *key, const char *plugin)
{
    const char *connector = strchr(key, '\n');
    char *name = NULL;
    if (connector == NULL)
        return strdup(strcmp(key, GT_HOST_KEY_JARS) == 0 ? key : plugin);
    return asprintf(&name, "%s/%s", plugin, connector + 1) >= 0 ? name : NULL;
}

struct gt_seat *gt_hosts_seat(struct gt_hosts *hosts, const char *key, const char *name)
{
    struct gt_seat *seat = gt_map_get(&hosts->seats, gantry_view_of(key));
    if (seat != NULL)
        return seat;
    seat = calloc(1, sizeof *seat);
    if (seat == NULL)
        return NULL;
    seat->hosts = hosts;
    seat->key = strdup(key);
    seat->name = name_of(key, name);
    gt_frames_init(&seat->out);
    gt_map_init(&seat->channels);
    if (seat->key == NULL || seat->name == NULL ||
        gt_map_put(&hosts->seats, gantry_view_of(key), seat, NULL) != 0) {
        free(seat->key);
        free(seat->name);
        free(seat);
        return NULL;
    }
    gt_errlog_init(&seat->log, seat->name, hosts->settings.log_lines);
    return seat;
}

static void close_when_done(struct gt_hosts *hosts)
{
    if (!hosts->closing || hosts->closed || hosts->seats.count > 0)
        return;
    hosts->closed = true;
    uv_close((uv_handle_t *)&hosts->child, NULL);
    uv_close((uv_handle_t *)&hosts->tick, NULL);
    gt_mailbox_close(&hosts->mailbox, NULL);
}

void gt_hosts_forget(struct gt_seat *seat)
{
    struct gt_hosts *hosts = seat->hosts;
    (void)gt_map_remove(&hosts->seats, gantry_view_of(seat->key));
    gt_map_deinit(&seat->channels);
    gt_errlog_deinit(&seat->log);
    free(seat->key);
    free(seat->name);
    free(seat);
    if (hosts->seats.count == 0)
        uv_timer_stop(&hosts->tick);
    close_when_done(hosts);
}

/* --- Time and children --- */

struct tick {
    int64_t now_ms;
    bool memory;
};

static void tick_seat(struct gt_seat *seat, void *arg)
{
    const struct tick *tick = arg;
    gt_seat_tick(seat, tick->now_ms, tick->memory);
}

static void on_tick(uv_timer_t *timer)
{
    struct gt_hosts *hosts = timer->data;
    struct tick tick = {.now_ms = gt_host_now_ms()};
    /* We were held up, the whole machine perhaps: what hosts have said meanwhile is read first. But
     * one that holds us up all the time is looked at, too. */
    int64_t late_ms = tick.now_ms - hosts->ticked_ms - hosts->tick_ms;
    hosts->ticked_ms = tick.now_ms;
    hosts->tick_left_out = late_ms > hosts->tick_ms && !hosts->tick_left_out;
    if (hosts->tick_left_out)
        return;
    tick.memory = tick.now_ms - hosts->memory_looked_ms >= MEMORY_LOOK_MS;
    if (tick.memory)
        hosts->memory_looked_ms = tick.now_ms;
    for_each(hosts, tick_seat, &tick);
}

void gt_hosts_tick(struct gt_hosts *hosts)
{
    if (uv_is_active((uv_handle_t *)&hosts->tick))
        return;
    hosts->ticked_ms = gt_host_now_ms();
    uv_update_time(&hosts->loop);
    uv_timer_start(&hosts->tick, on_tick, (uint64_t)hosts->tick_ms, (uint64_t)hosts->tick_ms);
}

static void look_for_exit(struct gt_seat *seat, void *arg)
{
    (void)arg;
    (void)gt_seat_look_for_exit(seat);
}

static void on_child(uv_signal_t *signal, int number)
{
    (void)number;
    for_each(signal->data, look_for_exit, NULL);
}

/* --- The end --- */

static void on_stop(struct gt_mail *mail)
{
    struct gt_hosts *hosts =
        (struct gt_hosts *)((char *)mail - offsetof(struct gt_hosts, stop_mail));
    hosts->stop_by_ms = gt_host_now_ms() + hosts->stop_timeout_ms;
}

static void leave(struct gt_seat *seat, void *arg)
{
    (void)arg;
    if (seat->state == GT_SEAT_EMPTY)
        gt_seat_look_for_need(seat);
    else
        gt_seat_leave(seat);
}

static void on_close(struct gt_mail *mail)
{
    struct gt_hosts *hosts =
        (struct gt_hosts *)((char *)mail - offsetof(struct gt_hosts, close_mail));
    hosts->closing = true;
    for_each(hosts, leave, NULL);
    close_when_done(hosts);
}

struct errand {
    struct gt_mail mail; /* first */
    struct gt_hosts *hosts;
    void (*fn)(struct gt_hosts *hosts, void *arg);
    void *arg;
    uv_sem_t done;
};

static void run_errand(struct gt_mail *mail)
{
    struct errand *errand = (struct errand *)mail;
    errand->fn(errand->hosts, errand->arg);
    uv_sem_post(&errand->done);
}

void gt_hosts_run(struct gt_hosts *hosts, void (*fn)(struct gt_hosts *hosts, void *arg), void *arg)
{
    struct errand errand = {.mail.run = run_errand, .hosts = hosts, .fn = fn, .arg = arg};
    uv_sem_init(&errand.done, 0); /* cannot fail for these arguments */
    gt_mailbox_send(&hosts->mailbox, &errand.mail);
    uv_sem_wait(&errand.done);
    uv_sem_destroy(&errand.done);
}

static void *run_hosts(void *arg)
{
    struct gt_hosts *hosts = arg;
    uv_run(&hosts->loop, UV_RUN_DEFAULT);
    return NULL;
}

void gt_hosts_stop(struct gt_hosts *hosts, int64_t timeout_ms)
{
    hosts->stop_timeout_ms = timeout_ms;
    gt_mailbox_send(&hosts->mailbox, &hosts->stop_mail);
}

static void free_hosts(struct gt_hosts *hosts)
{
    gt_map_deinit(&hosts->seats);
    free(hosts->room);
    free(hosts);
}

void gt_hosts_close(struct gt_hosts *hosts)
{
    if (hosts == NULL)
        return;
    gt_mailbox_send(&hosts->mailbox, &hosts->close_mail);
    pthread_join(hosts->thread, NULL);
    uv_loop_close(&hosts->loop);
    free_hosts(hosts);
}

/* --- Opening --- */

/* Often enough for the shortest of the times that are watched. */
static int64_t tick_of(const struct gt_hosts_settings *settings)
{
    const int64_t times[] = {settings->beat_timeout_ms, settings->start_timeout_ms,
                             settings->call_timeout_ms, settings->idle_ms};
    int64_t tick = TICK_MAX_MS;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        tick = times[i] / 4 < tick ? times[i] / 4 : tick;
    return tick > TICK_MIN_MS ? tick : TICK_MIN_MS;
}

static int open_loop(struct gt_hosts *hosts, struct gantry_err *err)
{
    int rc = uv_loop_init(&hosts->loop);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the hosts' loop: %s",
                              uv_strerror(rc));
    rc = gt_mailbox_init(&hosts->mailbox, &hosts->loop);
    if (rc != 0) {
        uv_loop_close(&hosts->loop);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the hosts' loop: %s",
                              uv_strerror(rc));
    }
    uv_signal_init(&hosts->loop, &hosts->child);
    uv_timer_init(&hosts->loop, &hosts->tick);
    hosts->child.data = hosts->tick.data = hosts;
    rc = uv_signal_start(&hosts->child, on_child, SIGCHLD);
    if (rc == 0) {
        uv_unref((uv_handle_t *)&hosts->child);
        rc = -pthread_create(&hosts->thread, NULL, run_hosts, hosts);
    }
    if (rc == 0) {
        pthread_setname_np(hosts->thread, "gt-hosts");
        return 0;
    }
    uv_close((uv_handle_t *)&hosts->child, NULL);
    uv_close((uv_handle_t *)&hosts->tick, NULL);
    gt_mailbox_close(&hosts->mailbox, NULL);
    uv_run(&hosts->loop, UV_RUN_DEFAULT);
    uv_loop_close(&hosts->loop);
    return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot start the hosts' thread: %s",
                          uv_strerror(rc));
}

int gt_hosts_open(const struct gt_hosts_settings *settings, gt_reconfigure_fn reconfigure,
                  void *arg, struct gt_hosts **ret, struct gantry_err *err)
{
    struct gt_hosts *hosts = calloc(1, sizeof *hosts);
    if (hosts != NULL)
        hosts->room = malloc(ROOM);
    if (hosts == NULL || hosts->room == NULL) {
        free(hosts);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for hosts");
    }
    hosts->settings = *settings;
    hosts->room_size = ROOM;
    hosts->reconfigure = reconfigure;
    hosts->arg = arg;
    hosts->tick_ms = tick_of(settings);
    hosts->stop_mail.run = on_stop;
    hosts->close_mail.run = on_close;
    gt_map_init(&hosts->seats);
    int code = open_loop(hosts, err);
    if (code != 0) {
        free_hosts(hosts);
        return code;
    }
    *ret = hosts;
    return 0;
}
