/* SPDX-License-Identifier: Apache-2.0 */
/** The native host: `gantry host`, which runs `.so` plugins for a worker.
 *
 *    native.c         the line, plugins, questions
 *    native_task.c    one start of one task: its thread, and the context that its connector sees
 *    native_source.c  what such a thread does for a source ...
 *    native_sink.c    ... and for a sink
 *
 *  Threads: the first one reads the line; each task has one of its own, as has each question; one
 * sends the beats. Whoever has something to say writes it, one at a time: the worker always reads.
 * A task's thread is the only one that calls its connector, flush() of one that allows it apart. */
#ifndef GT_HOST_NATIVE_H
#define GT_HOST_NATIVE_H

#include "base/arena.h"
#include "host/record.h"
#include "plugin/loader.h"
#include <pthread.h>
#include <stdatomic.h>

/** The command. Returns the exit status when it could not begin; else the process ends with its
 * line. */
int gt_native_main(int argc, char **argv);

struct gt_native_plugin {
    struct gt_loaded loaded;
    void *state;
    atomic_int users; /* tasks and questions that are not through */
    int64_t id;
    struct gt_native_plugin *next;
};

/** Send a list of frames, taken. When the line has ended so does the process. Thread: any. */
void gt_native_send(struct gt_frame *frames);
/** End and send a frame; without memory the process ends: the worker starts another one. */
void gt_native_end(struct gt_buf *buf, uint32_t channel);
void gt_native_begin(struct gt_buf *buf, enum gt_frame_type type, uint32_t channel, uint32_t items);
/** A line in the worker's log. */
void gt_native_log(uint32_t channel, enum gantry_log_level level, const char *logger,
                   const char *text);
/** The worker has sent what it must not, or something cannot be done any more: the process ends,
 * with that text. */
void gt_native_die(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/** Frames in parts may have so many bytes. */
size_t gt_native_record_max(void);
const struct gantry_runtime *gt_native_runtime(void);
/** The class of that name; NULL. */
const struct gantry_connector *gt_native_class(const struct gt_native_plugin *plugin,
                                               struct gantry_view name);

/* --- Tasks --- */

struct gt_native_task {
    uint32_t channel;
    struct gt_native_plugin *plugin;
    const struct gantry_connector *connector;
    struct gt_arena memory; /* configuration and names */
    struct gantry_config config;
    struct gantry_task_context ctx;
    void *instance;
    pthread_t thread;
    struct gt_frame_parts parts;     /* the first thread's */
    struct gt_schemas_in schemas_in; /* the task's thread's, as all below */
    struct gt_schemas_out schemas_out;
    struct gt_arena arena;  /* of one batch */
    struct gt_buf position; /* what position() gave last */
    int64_t next_id;
    int64_t lag, lag_sent, lag_sent_ms;
    int64_t wake_at_ms; /* 0: no timer */
    bool failed;
    void *own;                    /* a sink's */
    atomic_llong inside_since_ms; /* of the present call of the connector; 0: in none */
    atomic_llong flush_since_ms;  /* the same for a flush() beside it */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t cond;
    struct gt_frames in;
    struct gt_frame *answer; /* to POSITION or POSITIONS */
    bool woken, stop;
    int64_t credit;
    struct gt_native_task *next; /* guarded by the list's lock */
};

/** Begin a task: START, its head read. An error is the worker's. */
bool gt_native_task_start(struct gt_frame_head *head, struct gt_native_plugin *plugin);
/** A frame for that channel, taken; false: there never was one. */
bool gt_native_task_frame(struct gt_frame_head *head, struct gt_frame *frame);
/** The items of BEAT: who is inside a call. */
void gt_native_tasks_beat(struct gt_buf *buf);

/** The pairs of a configuration, the next item, into @p memory. False: it is none, or memory is
 * out. */
bool gt_native_read_config(struct gt_frame_head *head, struct gt_arena *memory,
                           struct gantry_config *ret);
/** A detached thread. 0 or an errno value. */
int gt_native_thread(void *(*run)(void *arg), void *arg);

/* What the task's thread uses. */

/** Around each call of the connector. */
void gt_native_enter(struct gt_native_task *task);
void gt_native_leave(struct gt_native_task *task);
/** Sleep until somebody signals, or the timer is due (which wakes). With the lock held. */
void gt_native_sleep(struct gt_native_task *task);
/** Wait until there is a frame, a wake-up, the timer or STOP. True when it was woken. With the
 * lock held. */
bool gt_native_wait(struct gt_native_task *task);
/** A small frame with one number. */
void gt_native_number(struct gt_native_task *task, enum gt_frame_type type, int64_t number);
/** The connector has failed: say so. */
void gt_native_fail(struct gt_native_task *task, int code, const struct gantry_err *err);
/** Send the lag if it is another one than was sent. */
void gt_native_tell_lag(struct gt_native_task *task, bool now);
/** Memory of a batch, for struct gt_record_reader. */
void *gt_native_alloc(void *task, size_t size);

/** Until STOP or a failure. */
void gt_native_source(struct gt_native_task *task);
void gt_native_sink(struct gt_native_task *task);
/** Sink: what its context offers. */
void gt_native_sink_offer(struct gantry_task_context *ctx);

#endif
