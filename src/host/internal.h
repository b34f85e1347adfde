/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the room, the worker's side:
 *
 *    hosts.c    the thread, its timer, the table of hosts
 *    seat.c     one host: its process from start to end, who waits for it
 *    line.c     bytes and frames in and out
 *    dispatch.c what each frame of a host means
 *    errlog.c   a host's text: into the log, and its last lines kept
 *    call.c     questions that a helper thread waits for: LOAD, VALIDATE, SPLIT
 *    channel.c  one start of one task: the hand-over between the task's thread and this one
 *    plugin.c   a loaded plugin: from LOADED to struct gantry_plugin
 *    command.c  which program runs a plugin
 *    proxy.c proxy_source.c proxy_sink.c   the connectors' callbacks
 *
 * and the host's side: native.c native_task.c native_source.c native_sink.c. Both: msgpack, frame,
 * record. */
#ifndef GT_HOST_INTERNAL_H
#define GT_HOST_INTERNAL_H

#include "base/arena.h"
#include "base/mailbox.h"
#include "host/errlog.h"
#include "host/host.h"
#include "host/process.h"
#include "host/record.h"

enum {
    GT_HOST_CREDIT = 4 << 20,      /* bytes that a source may send ahead */
    GT_HOST_CREDIT_MAX = 16 << 20, /* that a sink is sent ahead, whatever it says: they wait in
                                      our memory when it does not read */
    GT_HOST_OUT_MAX = 16 << 20, /* that wait for a host: what it says beyond is not answered yet */
};

struct gt_seat;
struct gt_channel;
struct gt_call;
struct gt_host_plugin;

/** The thread and what it owns. All but `mailbox` and what is noted is the thread's alone. */
struct gt_hosts {
    struct gt_hosts_settings settings; /* read-only */
    gt_reconfigure_fn reconfigure;     /* read-only */
    void *arg;
    pthread_t thread;
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    uv_signal_t child;
    uv_timer_t tick;
    int64_t tick_ms, ticked_ms, memory_looked_ms;
    bool tick_left_out;  /* the last one, for it came late */
    struct gt_map seats; /* key to struct gt_seat */
    uint8_t *room;       /* owned; what is read from a line */
    size_t room_size;
    struct gt_mail stop_mail, close_mail;
    int64_t stop_timeout_ms; /* set before stop_mail is sent */
    int64_t stop_by_ms;      /* 0: not stopping */
    bool closing, closed;
};

enum gt_seat_state {
    GT_SEAT_EMPTY,    /* no process */
    GT_SEAT_STARTING, /* HELLO is not answered yet */
    GT_SEAT_READY,
    GT_SEAT_LEAVING, /* its line has ended, by us or by it: it should exit now */
    GT_SEAT_KILLED,  /* SIGKILL is sent */
};

/** A plugin in a process. */
struct gt_seat_plugin {
    struct gt_host_plugin *plugin;
    int64_t id;
};

/** A name that was split here: its connector lives in the process until RELEASE. When the process
 * has died, it is split there once more before its tasks are started again. */
struct gt_seat_name {
    char *name; /* owned */
    struct gt_host_plugin *plugin;
    struct gt_buf split; /* the items of SPLIT behind the plugin */
    struct gt_buf tasks; /* the last answer */
    bool lost;           /* the process that knew it has ended */
    struct gt_seat_name *next;
};

/** A host, by its key: at most one process at a time. The thread's. */
struct gt_seat {
    struct gt_hosts *hosts;
    char *key;  /* owned */
    char *name; /* owned; for messages */
    enum gt_seat_state state;
    struct gt_process process;
    bool exited, line_ended;
    int status;
    uv_poll_t line_poll, errors_poll;
    int open_handles; /* that are not closed yet */
    bool line_open, errors_open, line_writes;
    struct gt_frame_cutter in;
    struct gt_frame_parts parts; /* of channel 0 */
    struct gt_frames out;
    size_t out_done;  /* bytes of the first that are written */
    size_t out_bytes; /* that wait, by gt_frame_weight() */
    bool out_holds;   /* channels keep theirs until fewer wait */
    struct gt_errlog log;
    struct gantry_err end; /* why it is ended; code 0: no reason of ours */

    int64_t spawned_ms, beat_ms, answered_ms, idle_ms, leaving_ms;
    struct gt_seat_plugin *plugins; /* owned */
    size_t plugin_count;
    struct gt_seat_name *names;
    int64_t next_id;
    uint32_t next_channel;
    struct gt_map channels;  /* number to struct gt_channel */
    struct gt_call *calls;   /* that are not answered */
    struct gt_mail *waiting; /* what came while the last process was ending, newest first */
    bool serving;            /* it is looked at now */
};

/** Now, for all the *_ms above. */
int64_t gt_host_now_ms(void);

/* --- hosts.c --- */

/** Run @p fn on the thread and wait until it has returned. Thread: any other. */
void gt_hosts_run(struct gt_hosts *hosts, void (*fn)(struct gt_hosts *hosts, void *arg), void *arg);
/** The seat of that key, made when there is none; NULL without memory. @p name: of the plugin. */
struct gt_seat *gt_hosts_seat(struct gt_hosts *hosts, const char *key, const char *name);
/** There is a process: see that its timer runs. */
void gt_hosts_tick(struct gt_hosts *hosts);
/** The seat is empty and nobody needs it. */
void gt_hosts_forget(struct gt_seat *seat);

/* --- seat.c --- */

/** A process that can be sent to, started if need be. GANTRY_AGAIN: the last one is still ending;
 * @p mail was put aside and runs again then. */
int gt_seat_need(struct gt_seat *seat, const struct gt_host_plugin *plugin, struct gt_mail *mail,
                 struct gantry_err *err);
/** The number of the plugin there; LOAD is sent first if need be. 0 or more, or an error. */
int64_t gt_seat_plugin(struct gt_seat *seat, struct gt_host_plugin *plugin);
/** It is ended with SIGKILL; the first reason counts. */
void gt_seat_kill(struct gt_seat *seat, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** Its line has ended by itself. */
void gt_seat_line_ended(struct gt_seat *seat);
/** Its handles are closed. */
void gt_seat_closed(struct gt_seat *seat);
/** Look whether its process has exited. True: it has just been seen; the seat may be gone. */
bool gt_seat_look_for_exit(struct gt_seat *seat);
/** Timers, memory, idleness. */
void gt_seat_tick(struct gt_seat *seat, int64_t now_ms, bool look_at_memory);
/** An empty seat that nobody needs is forgotten. */
void gt_seat_look_for_need(struct gt_seat *seat);
/** End it in an orderly way: its input ends. */
void gt_seat_leave(struct gt_seat *seat);
/** Whether nothing is under way or asked for. */
bool gt_seat_is_idle(const struct gt_seat *seat);
/** A connector is about to be split there: an older one of that name is released. */
void gt_seat_splits(struct gt_seat *seat, const struct gt_call *call);
/** The answer: true when it is another one than before. */
bool gt_seat_was_split(struct gt_seat *seat, const char *name, struct gantry_view tasks);
/** A task of that connector is about to be started: the connector must be there. */
void gt_seat_revive(struct gt_seat *seat, const char *name);
void gt_seat_release(struct gt_seat *seat, const char *name);
/** Whether a connector of that name lives there, or a task of it. */
bool gt_seat_knows(struct gt_seat *seat, const char *name);
/** Names of that plugin's are released. */
void gt_seat_release_plugin(struct gt_seat *seat, const struct gt_host_plugin *plugin);
/** The plugin is not there, or not any more. */
void gt_seat_drop_plugin(struct gt_seat *seat, const struct gt_host_plugin *plugin,
                         const struct gantry_err *err);

/* --- line.c --- */

int gt_line_open(struct gt_seat *seat);
void gt_line_close(struct gt_seat *seat);
/** Send; takes the list. Written now as far as the line takes it. */
void gt_line_send(struct gt_seat *seat, struct gt_frame *frames);
/** Read what is there: frames are dispatched. */
void gt_line_read(struct gt_seat *seat);

/* --- dispatch.c --- */

/** Take a frame of the host. It is freed or handed on. */
void gt_dispatch(struct gt_seat *seat, struct gt_frame *frame);

/* --- call.c --- */

/** A question, and who waits for its answer. */
struct gt_call {
    struct gt_mail mail; /* first */
    struct gt_hosts *hosts;
    struct gt_host_plugin *plugin;
    char *key;               /* owned; of the seat */
    char *name;              /* owned; SPLIT: the connector; else NULL */
    enum gt_frame_type type; /* LOAD, VALIDATE, SPLIT */
    struct gt_buf rest;      /* the encoded items behind id and plugin */
    /* the thread's */
    struct gt_call *next;
    int64_t id, asked_ms;
    bool own; /* nobody waits: freed with its answer */
    /* for who waits */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done; /* guarded by lock, as is the rest once set */
    struct gt_frame *reply;
    struct gantry_err err; /* code 0: there is a reply */
};

/** Ask and wait. The answer has the head of the reply's items behind the id. 0 or the error; @p
 * call is to be freed with gt_call_deinit after both. Thread: a helper thread. */
int gt_call_run(struct gt_call *call, struct gantry_err *err);
/** @p connector: whose host is asked; NULL: the one that all share. 0 or GANTRY_NO_MEMORY. */
int gt_call_init(struct gt_call *call, struct gt_host_plugin *plugin, enum gt_frame_type type,
                 const char *connector);
void gt_call_deinit(struct gt_call *call);
/** A question of the thread's own: nobody waits for the answer. */
int gt_call_own(struct gt_seat *seat, struct gt_host_plugin *plugin, enum gt_frame_type type,
                const struct gt_seat_name *name);
/** The answer of a host: taken from the frame; false: nobody has asked that. */
bool gt_call_answer(struct gt_seat *seat, int64_t id, enum gt_frame_type type,
                    struct gt_frame *frame, const struct gantry_err *err);
/** All fail. */
void gt_calls_fail(struct gt_seat *seat, const struct gantry_err *err);

/* --- channel.c --- */

/** What a host was asked on a channel and has not answered. */
enum gt_asked {
    GT_ASKED_START,
    GT_ASKED_STOP,
    GT_ASKED_CHECKPOINT,
    GT_ASKED_FLUSH,
    GT_ASKED_COUNT
};

/** One start of one task. Two hold it: the task's proxy and the thread. */
struct gt_channel {
    struct gt_hosts *hosts;
    struct gt_host_plugin *plugin;
    char *key;       /* owned; of the seat */
    char *connector; /* owned */
    uint32_t task;
    bool blocking; /* its calls may wait for somebody */
    struct gt_mail start_mail, send_mail, stop_mail, blame_mail; /* each holds it while it waits */

    /* The thread's. */
    struct gt_seat *seat; /* NULL: not started, or ended there */
    struct gt_frame_parts parts;
    struct gt_buf start; /* items of START behind the plugin */
    bool finished;       /* its hold has ended */

    pthread_mutex_t lock; /* guards the rest */
    int refs;
    uint32_t number;                 /* 0: not known yet */
    struct gantry_task_context *ctx; /* NULL: the task has gone */
    struct gt_frames in, out;
    size_t in_bytes, out_bytes;       /* by gt_frame_weight() */
    bool wants_room;                  /* the task waits for `out` to be taken */
    int64_t asked_ms[GT_ASKED_COUNT]; /* 0: not asked, or answered */
    int64_t credit;                   /* what a sink's host still takes */
    int64_t untaken;                  /* bytes sent and not taken */
    bool wants_credit;                /* the task waits for it */
    bool over;                        /* nothing comes any more: STOPPED, or the host is gone */
    struct gantry_err failure;        /* of the host; code 0: none */
    struct gantry_err blame;
};

/** Make one and have it started. @p start: encoded items of START behind the plugin; taken. 0 or
 * GANTRY_NO_MEMORY. Thread: the task's, as all that follow but the last group. */
int gt_channel_open(struct gt_host_plugin *plugin, struct gantry_task_context *ctx, bool blocking,
                    struct gt_buf *start, struct gt_channel **ret);
/** Send frames: a list, taken. */
void gt_channel_send(struct gt_channel *channel, struct gt_frame *frames);
/** Begin a frame for it. */
void gt_channel_begin(struct gt_channel *channel, struct gt_buf *buf, enum gt_frame_type type,
                      uint32_t items);
/** End and send it. 0 or GANTRY_NO_MEMORY. */
int gt_channel_end(struct gt_channel *channel, struct gt_buf *buf);
void gt_channel_asked(struct gt_channel *channel, enum gt_asked what);
void gt_channel_stop(struct gt_channel *channel);
/** STARTED has given so much; no more than GT_HOST_CREDIT_MAX counts. */
void gt_channel_credit(struct gt_channel *channel, int64_t bytes);
/** Whether a frame of records may be sent; if not, the task is woken when one may. */
bool gt_channel_has_credit(struct gt_channel *channel);
/** Before they are sent: the host may take them at once. */
void gt_channel_spend(struct gt_channel *channel, int64_t bytes);
bool gt_channel_over(struct gt_channel *channel);
/** The next frame for the task; NULL: none, or so much waits for the host that it must read first:
 * then the task is woken. 0, or the failure of the host. */
int gt_channel_next(struct gt_channel *channel, struct gt_frame **ret, struct gantry_err *err);
/** The host has sent something that is not allowed: it is ended. Returns the code. */
int gt_channel_blame(struct gt_channel *channel, const struct gantry_err *err);
/** The task lets go; the host is told to stop it if it was not yet. */
void gt_channel_close(struct gt_channel *channel);

/* Thread: the hosts'. */
/** Send what was kept because too much waited. */
void gt_channel_resume(struct gt_channel *channel);
/** A frame for the task, taken. The bytes that wait for it now. */
size_t gt_channel_deliver(struct gt_channel *channel, struct gt_frame *frame);
void gt_channel_answered(struct gt_channel *channel, enum gt_asked what);
/** It cannot go on, though its host can. */
void gt_channel_fail(struct gt_channel *channel, const struct gantry_err *err);
/** Nothing comes any more. The thread's hold ends. @p err NULL: STOPPED. */
void gt_channel_finish(struct gt_channel *channel, const struct gantry_err *err);
/** Since when the host owes an answer to START or STOP; 0: it does not. */
int64_t gt_channel_owes_ms(struct gt_channel *channel);
/** Whether something waits for a call of the connector to end. */
bool gt_channel_waits(struct gt_channel *channel);
/** "connector NAME, task N". */
void gt_channel_name(struct gt_channel *channel, char *out, size_t size);
void gt_channel_log(struct gt_channel *channel, enum gantry_log_level level, const char *text);
/** False: so much was not sent. */
bool gt_channel_taken(struct gt_channel *channel, int64_t bytes);

/* --- plugin.c, command.c --- */

/** A plugin that a host has told about. Read-only once loaded. */
struct gt_host_plugin {
    struct gt_hosts *hosts;
    char *path, *name; /* owned */
    enum gt_plugin_kind kind;
    char **argv;          /* NULL-terminated, in `memory`: the program of its host */
    bool text_out;        /* of its host: standard output is text, the line is standard input */
    const char *files[4]; /* NULL-terminated: what the host must be able to read */
    const char *folder;   /* in memory: where the program is run; NULL: anywhere */
    char *key;            /* owned: of the host that all its connectors share */
    const char *library;  /* in memory; NULL */
    struct gt_arena memory;
    struct gantry_plugin api;
    struct gt_host_class *classes; /* in memory; behind api.connectors */
};

struct gt_host_class {
    struct gantry_connector api; /* first */
    bool blocking;               /* its calls may wait for somebody */
};

/** The program that runs the plugin, and what belongs to it. 0 or an error that says what is
 * missing. */
int gt_host_command(struct gt_host_plugin *plugin, struct gantry_err *err);
#define GT_HOST_KEY_JARS "java" /* of the host that all jars share; no path */
/** The key of the host for a connector: owned by the caller; NULL without memory. */
char *gt_host_key(const struct gt_host_plugin *plugin, const char *connector);
/** What LOADED says, into the plugin: its api and classes. 0, GANTRY_INVALID, GANTRY_NO_MEMORY. */
int gt_host_read_loaded(struct gt_host_plugin *plugin, const struct gt_frame *frame,
                        struct gantry_err *err);
/** The class whose configuration this is. */
const struct gt_host_class *gt_host_class_of(const struct gt_host_plugin *plugin,
                                             const struct gantry_config *config);

#endif
