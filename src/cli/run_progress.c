/* SPDX-License-Identifier: Apache-2.0 */
/* How a run gets on: looks at the two files and at the worker's store, shows it, and notices the
 * end.
 *
 * Looking costs time of the machine that is being measured: sizes of files are asked for often, the
 * store five times a second, and oftener only when the sizes say that the end is near. */
#include "cli/run.h"

#include "base/clock.h"
#include "base/json.h"
#include "cli/text_table.h"
#include "topic/inspect.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 4,        /* sizes */
    IDLE_TICK_MS = 50,  /* the same when everything has arrived */
    MEMORY_MS = 20,     /* the worker's memory */
    STORE_MS = 200,     /* the store, and the live line */
    LINE_MS = 1000,     /* a plain line */
    STALL_MS = 2000,    /* without progress: ask whether the connectors run */
    GIVE_UP_MS = 15000, /* with --exit: so long a connector may be down */
    REQUEST_TIMEOUT_MS = 5000,
};

#define NS_PER_MS 1000000

/* What one look at everything saw. */
struct look {
    int64_t at_ns;
    int64_t in_size, out_size;
    int64_t read;      /* bytes of IN that the source has committed */
    int64_t topic_end; /* messages of the topic */
    int64_t written;   /* of them, those that the sink has committed */
};

struct watch {
    struct gt_run *run;
    struct gt_inspect *inspect;
    struct gt_arena arena;
    struct look start, last, shown; /* before, now, and at the last line */
    int64_t progress_ns;            /* when something last moved */
    int64_t store_ns, memory_ns, asked_ns;
    int64_t down_ns; /* since when a connector is down; 0: none is */
    int64_t peak_anon_kb;
    int64_t cpu_worker_ns, cpu_self_ns; /* at the start */
    bool done_before, live_line;
};

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static int64_t cpu_of_worker(const struct gt_run *run)
{
    struct timespec time;
    clockid_t clock;
    if (clock_getcpuclockid(run->worker, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t cpu_of_self(void)
{
    struct timespec time = {0, 0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); /* cannot fail */
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Anonymous resident memory of a process in KiB, 0 when unknown. */
static int64_t anon_kb(pid_t pid)
{
    char path[64], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid); /* fits */
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return 0;
    size_t len = fread(text, 1, sizeof text - 1, in);
    (void)fclose(in); /* nothing was written */
    text[len] = '\0';
    const char *line = strstr(text, "RssAnon:");
    return line != NULL ? strtoll(line + strlen("RssAnon:"), NULL, 10) : 0;
}

/* --- Looking --- */

static void read_position(const struct gt_position_info *info, struct look *look)
{
    struct gt_props position;
    gt_props_init(&position);
    if (gt_json_parse_props(&position, info->position, NULL) == 0) {
        const char *next = gt_props_get(&position, "nextPosition");
        look->read = next != NULL ? strtoll(next, NULL, 10) : 0;
    }
    gt_props_deinit(&position);
}

/* Positions first: what they say was read is in the topic when that is looked at. */
static int look_into_store(struct watch *watch, struct look *look, struct gantry_err *err)
{
    const struct gt_run *run = watch->run;
    struct gt_position_info *positions = NULL;
    struct gt_queue_info *queues = NULL;
    size_t count = 0;

    gt_arena_reset(&watch->arena);
    int rc = gt_inspect_positions(watch->inspect, &watch->arena, &positions, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (strcmp(positions[i].connector, run->source) == 0)
            read_position(&positions[i], look);
    }
    if (rc == 0 && run->settings.name_servers != NULL)
        return gt_inspect_brokers(watch->inspect, run->source, run->sink, &watch->arena,
                                  &look->topic_end, &look->written, err);
    if (rc == 0)
        rc = gt_inspect_queues(watch->inspect, run->topic, &watch->arena, &queues, &count, err);
    if (rc != 0 || count == 0)
        return rc;
    look->topic_end = queues[0].end_offset;
    for (size_t i = 0; i < queues[0].sink_count; i++) {
        if (strcmp(queues[0].sinks[i].connector, run->sink) == 0)
            look->written = queues[0].sinks[i].offset;
    }
    return 0;
}

/* Look at the store, too. */
static int look_closely(struct watch *watch, struct gantry_err *err)
{
    struct look look = watch->last;
    look.in_size = size_of(watch->run->in);
    int rc = look_into_store(watch, &look, err);
    look.at_ns = gt_clock_mono_ns();
    look.out_size = size_of(watch->run->out);
    if (rc != 0)
        return rc;
    if (look.read != watch->last.read || look.written != watch->last.written ||
        look.topic_end != watch->last.topic_end)
        watch->progress_ns = look.at_ns;
    watch->last = look;
    watch->store_ns = look.at_ns;
    return 0;
}

static bool is_done(const struct look *look)
{
    return look->read >= look->in_size && look->written >= look->topic_end;
}

/* --- Showing --- */

static void end_live_line(struct watch *watch)
{
    if (watch->live_line)
        printf("\n");
    watch->live_line = false;
}

static void show_progress(struct watch *watch)
{
    const struct look *now = &watch->last, *before = &watch->shown;
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    int64_t unread = now->in_size - now->read;

    gt_arena_reset(&watch->arena);
    if (watch->run->terminal)
        printf("\r\033[K");
    printf(
        "%s records  %s/s  %s/s  lag %s records",
        gt_text_count(&watch->arena, now->written - watch->start.written),
        gt_text_count(&watch->arena, (int64_t)((double)(now->written - before->written) / seconds)),
        gt_text_bytes(&watch->arena, (double)(now->out_size - before->out_size) / seconds),
        gt_text_count(&watch->arena, now->topic_end - now->written));
    if (unread > 0)
        printf(" and %s to read", gt_text_bytes(&watch->arena, (double)unread));
    if (!watch->run->terminal)
        printf("\n");
    watch->live_line = watch->run->terminal;
    (void)fflush(stdout); /* a reader that is gone is noticed at the end */
    watch->shown = *now;
}

/* Where REST is, as a browser would write it. */
static const char *base_url(struct gt_arena *arena, const struct gt_http_target *rest)
{
    const char *address = rest->address;
    if (strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0)
        address = "127.0.0.1";
    return strchr(address, ':') != NULL ? gt_text(arena, "http://[%s]:%d", address, rest->port)
                                        : gt_text(arena, "http://%s:%d", address, rest->port);
}

static void show_hints(struct watch *watch)
{
    const struct gt_run *run = watch->run;
    const char *url = base_url(&watch->arena, &run->rest);
    const char *token = run->rest.token != NULL ? "-H \"Authorization: Bearer $TOKEN\" " : "";
    printf("\nIt goes on until Ctrl-C; what is appended to IN arrives in OUT within milliseconds.\n"
           "Try in another terminal:\n"
           "  echo 'one more line' >> %s\n"
           "  tail -n 1 %s\n"
           "  curl %s%s/connectors/%s/status\n"
           "  curl %s%s/getConfigInfo\n",
           run->in, run->out, token, url, run->source, token, url);
    if (run->settings.name_servers == NULL) /* else RocketMQ's own tools show it */
        printf("  %s topic tail %s --store %s\n", program_invocation_name, run->topic,
               run->settings.store);
}

/* Everything has arrived, for the first time or again. */
static void show_done(struct watch *watch)
{
    const struct gt_run *run = watch->run;
    const struct look *now = &watch->last, *start = &watch->start;
    double seconds = (double)(now->at_ns - start->at_ns) / 1e9;
    int64_t records = now->written - start->written;

    gt_arena_reset(&watch->arena);
    end_live_line(watch);
    if (watch->done_before) {
        printf("%s records; everything has arrived again\n", gt_text_count(&watch->arena, records));
    } else if (records == 0) {
        printf("Nothing was left to do: %s has everything of %s already.\n", run->out, run->in);
    } else {
        printf("Everything has arrived: %s records, %s in %.2f s (%s records/s, %s/s).\n"
               "  IN     %s\n"
               "  topic  %s\n"
               "  OUT    %s, synced\n",
               gt_text_count(&watch->arena, records),
               gt_text_bytes(&watch->arena, (double)(now->out_size - start->out_size)), seconds,
               gt_text_count(&watch->arena, (int64_t)((double)records / seconds)),
               gt_text_bytes(&watch->arena, (double)(now->out_size - start->out_size) / seconds),
               run->in, run->topic, run->out);
    }
    if (!watch->done_before && !run->exit_when_done)
        show_hints(watch);
    (void)fflush(stdout); /* a reader that is gone is noticed at the end */
    watch->shown = *now;
}

static int write_stats(struct watch *watch, struct gantry_err *err)
{
    const struct look *now = &watch->last, *start = &watch->start;
    int64_t records = now->written - start->written, bytes = now->out_size - start->out_size;
    double wall_s = (double)(now->at_ns - start->at_ns) / 1e9;
    double worker_s = (double)(cpu_of_worker(watch->run) - watch->cpu_worker_ns) / 1e9;
    double self_s = (double)(cpu_of_self() - watch->cpu_self_ns) / 1e9;
    FILE *out = fopen(watch->run->stats_file, "w");

    if (out != NULL) {
        fprintf(out,
                "{\"records\":%" PRId64 ",\"bytes\":%" PRId64
                ",\"wall_s\":%.6f,\"cpu_s\":%.6f,\"cpu_worker_s\":%.6f,"
                "\"cpu_cli_s\":%.6f,\"peak_anon_kb\":%" PRId64 ",\"peak_anon_worker_kb\":%" PRId64
                "}\n",
                records, bytes, wall_s, worker_s + self_s, worker_s, self_s,
                watch->peak_anon_kb + anon_kb(getpid()), watch->peak_anon_kb);
        if (fclose(out) == 0)
            return 0;
    }
    return gantry_err_set(err, GANTRY_IO, "--stats-json: cannot write %s: %s",
                          watch->run->stats_file, strerrordesc_np(errno));
}

/* --- Watching --- */

/* False: it does not, and @p why (500 bytes) says why as far as the worker tells. */
static bool connector_runs(const struct gt_run *run, const char *name, char *why)
{
    struct gt_http_reply reply;
    char path[256];

    gt_http_reply_init(&reply);
    (void)snprintf(path, sizeof path, "/connectors/%s/status",
                   name); /* fits: names are short here */
    bool runs = gt_http_get(&run->rest, path, REQUEST_TIMEOUT_MS, &reply, NULL) == 0 &&
                strncmp(gt_buf_cstr(&reply.body), "run", 3) == 0;
    (void)snprintf(why, 500, "%s",
                   reply.why.len > 0 ? gt_buf_cstr(&reply.why)
                                     : "its reason is in the log"); /* dialect code-2019 */
    gt_http_reply_deinit(&reply);
    return runs;
}

/* Nothing moves: is a connector down? False: it is, and has been for too long. */
static bool look_for_failure(struct watch *watch, int64_t now_ns)
{
    const struct gt_run *run = watch->run;
    char why[500];
    const char *down = !connector_runs(run, run->source, why) ? run->source
                       : !connector_runs(run, run->sink, why) ? run->sink
                                                              : NULL;

    watch->asked_ns = now_ns;
    if (down == NULL) {
        watch->down_ns = 0;
        return true;
    }
    if (watch->down_ns == 0) {
        end_live_line(watch);
        fprintf(stderr,
                "gantry run: the connector %s does not run: %s. The worker tries it again; "
                "to begin anew, end this and run: gantry connector reset %s ",
                down, why, down);
        if (run->settings.name_servers != NULL)
            fprintf(stderr, "--namesrv '%s' connectClusterId=%s\n", run->settings.name_servers,
                    run->settings.cluster);
        else
            fprintf(stderr, "--store %s\n", run->settings.store);
        watch->down_ns = now_ns;
    }
    return !run->exit_when_done || now_ns - watch->down_ns < (int64_t)GIVE_UP_MS * NS_PER_MS;
}

static bool is_due(int64_t last_ns, int64_t now_ns, int64_t every_ms)
{
    return now_ns - last_ns >= every_ms * NS_PER_MS;
}

/* The store is worth a look now. */
static bool is_store_due(const struct watch *watch, int64_t now_ns, int64_t out_size)
{
    if (is_due(watch->store_ns, now_ns, STORE_MS))
        return true;
    /* The sink's file has grown by as much as was to be read at the start: perhaps it is over. */
    return !watch->done_before &&
           out_size - watch->start.out_size >= watch->start.in_size - watch->start.read;
}

static void pause_for(int64_t ms)
{
    struct timespec time = {0, (long)(ms * NS_PER_MS)};
    (void)nanosleep(&time, NULL); /* a signal may cut it short */
}

static bool worker_is_gone(const struct gt_run *run)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)run->worker, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

/* One round. *ret_over: the watch ends. */
static int look_around(struct watch *watch, bool *ret_over, struct gantry_err *err)
{
    struct gt_run *run = watch->run;
    int64_t now_ns = gt_clock_mono_ns();
    bool was_done = watch->done_before && is_done(&watch->last);

    if (is_due(watch->memory_ns, now_ns, MEMORY_MS) && !was_done) {
        int64_t kb = anon_kb(run->worker);
        watch->peak_anon_kb = kb > watch->peak_anon_kb ? kb : watch->peak_anon_kb;
        watch->memory_ns = now_ns;
        *ret_over = worker_is_gone(run);
    }
    if (!is_store_due(watch, now_ns, size_of(run->out)))
        return 0;
    *ret_over |= worker_is_gone(run);
    int64_t written = watch->last.written;
    int rc = look_closely(watch, err);
    if (rc != 0)
        return rc;
    if (is_done(&watch->last)) {
        watch->down_ns = 0;
        if (!watch->done_before && run->stats_file != NULL)
            rc = write_stats(watch, err);
        if (rc == 0 && !run->quiet &&
            (!watch->done_before || !was_done || written != watch->last.written))
            show_done(watch);
        watch->done_before = true;
        *ret_over |= run->exit_when_done;
    } else {
        if (!run->quiet && is_due(watch->shown.at_ns, now_ns, run->terminal ? STORE_MS : LINE_MS))
            show_progress(watch);
        if (is_due(watch->progress_ns, now_ns, STALL_MS) &&
            is_due(watch->asked_ns, now_ns, STALL_MS) && !look_for_failure(watch, now_ns))
            rc = gantry_err_set(err, GANTRY_TIMEOUT,
                                "a connector has been down for %d s; giving up", GIVE_UP_MS / 1000);
    }
    return rc;
}

static int watch_until_over(struct watch *watch, struct gantry_err *err)
{
    bool over = false;
    int rc = 0;
    while (rc == 0 && !over && gt_run_stopped == 0) {
        rc = look_around(watch, &over, err);
        if (rc == 0 && !over)
            pause_for(watch->done_before && is_done(&watch->last) ? IDLE_TICK_MS : TICK_MS);
    }
    return rc;
}

int gt_run_watch(struct gt_run *run, int (*create)(struct gt_run *run, struct gantry_err *err))
{
    struct watch watch = {.run = run};
    struct gantry_err err = {0, ""};

    gt_arena_init(&watch.arena, 64 << 10, 64 << 10);
    int rc = gt_inspect_open(run->store, &watch.inspect, &err);
    if (rc == 0)
        rc = look_closely(&watch, &err);
    watch.last.at_ns = gt_clock_mono_ns();
    watch.start = watch.shown = watch.last;
    watch.progress_ns = watch.last.at_ns;
    watch.cpu_worker_ns = cpu_of_worker(run);
    watch.cpu_self_ns = cpu_of_self();
    if (rc == 0)
        rc = create(run, &err);
    if (rc == 0)
        rc = watch_until_over(&watch, &err);
    end_live_line(&watch);
    int status = GT_EXIT_OK;
    if (gt_run_stopped != 0 && !run->quiet)
        printf("Ended; the next run with the same files goes on where this one stopped.\n");
    else if (rc != 0)
        status = gt_command_failed(run->command, &err);
    gt_inspect_close(watch.inspect);
    gt_arena_deinit(&watch.arena);
    return rc == 0 ? status : GT_EXIT_FAILED;
}
