/* SPDX-License-Identifier: Apache-2.0 */
/** The connector API: what a plugin offers and what the runtime gives it.
 *
 *  A plugin is one shared object (or a part of the worker) with one exported function,
 * gantry_plugin(). It names its connectors; each has class names, a configuration table and
 * callbacks. The runtime passes its own functions in structs, so a plugin links to nothing. Every
 * struct begins with its size and grows only at its end: before use of a member that a later
 * version added, compare struct_size.
 *
 *  Threads. A task's callbacks are called by one thread, never two at a time, with the one
 * exception of flush(). A connector without GANTRY_CONNECTOR_BLOCKS shares that thread with other
 * tasks and returns soon: reading and writing local files is fine, waiting for somebody is not.
 * With the flag each task gets a thread of its own.
 *
 *  Life of a source task: task_start, then poll again and again, committed() after each durable
 * batch, task_stop. Life of a sink task: task_start, checkpoint + flush + commit of its first
 * state, then put again and again, with checkpoint + flush + commit + committed() in between,
 * task_stop. When any callback fails the runtime calls task_stop, shows the task as FAILED with the
 * error's text, and starts it anew after a pause that grows, from what was committed. */
#ifndef GANTRY_CONNECTOR_H
#define GANTRY_CONNECTOR_H

#include <gantry/config.h>
#include <gantry/error.h>
#include <gantry/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_ABI_VERSION 1

enum gantry_kind { GANTRY_SOURCE, GANTRY_SINK };

enum gantry_connector_flag {
    GANTRY_CONNECTOR_BLOCKS = 1u << 0, /* callbacks may wait: give each task its own thread */
    GANTRY_CONNECTOR_CONCURRENT_FLUSH =
        1u << 1, /* flush() may run while put() runs on the task's thread */
    GANTRY_CONNECTOR_NO_REPLAY =
        1u << 2, /* a source that, started again at a position, may poll other records than before
                  */
    GANTRY_CONNECTOR_HEADERS_AS_IS =
        1u << 3, /* a source whose headers are RocketMQ's properties: they are sent under their own
                    names, without connect-ext- */
    GANTRY_CONNECTOR_OPEN_KEYS =
        1u << 4, /* its table does not name all keys: one that it has not is told about only where
                    it looks like a slip of one that it has */
};

enum gantry_log_level { GANTRY_LOG_DEBUG, GANTRY_LOG_INFO, GANTRY_LOG_WARN, GANTRY_LOG_ERROR };

/** What the runtime offers to a plugin as a whole. Valid from open() until close() returns. */
struct gantry_runtime {
    size_t struct_size;
    uint32_t abi_version;
    /* One event, one line: words, then key=value. Thread: any. */
    void (*log)(enum gantry_log_level level, const char *component, const char *text);
    /* A setting of the worker by its name (e.g. "connectors.file.roots"); NULL when unset. Thread:
     * any. */
    const char *(*setting)(const struct gantry_runtime *runtime, const char *name);
    /* A connector's work should be split again (@p reason NULL): its tasks are stopped and made
     * anew; or it cannot go on, for that reason. Looked at soon. Thread: any. */
    void (*reconfigure)(const struct gantry_runtime *runtime, const char *connector,
                        const char *reason);
};

/** What the runtime offers to one task. Valid from task_start() until task_stop() returns. */
struct gantry_task_context {
    size_t struct_size;
    const struct gantry_runtime *runtime;
    const char *connector; /* the connector's name */
    uint32_t task;         /* 0 .. task_count - 1 */
    uint32_t task_count;
    const struct gantry_config *config; /* the task's configuration, checked, with defaults */

    /* Call poll (source) soon; a sink is polled by its topics, but gets one more round. Thread:
     * any. Never blocks. */
    void (*wake)(struct gantry_task_context *ctx);
    /* The same after @p delay_ms; a later call replaces an earlier one, -1 takes it back. Thread:
     * the task's. */
    void (*wake_after)(struct gantry_task_context *ctx, int64_t delay_ms);
    /* Source: the committed position of @p partition; it is empty (len 0) when there is none. The
     * view holds until the next call of this function or the callback's return. Thread: the task's.
     */
    int (*position)(struct gantry_task_context *ctx, struct gantry_view partition,
                    struct gantry_view *ret_position, struct gantry_err *err);
    /* Source: how many bytes and records the outside system still has; shown as the task's lag.
     * Thread: the task's. */
    void (*report_lag)(struct gantry_task_context *ctx, int64_t bytes);
    /* One log line with the connector and task put in front. Thread: any. */
    void (*log)(struct gantry_task_context *ctx, enum gantry_log_level level, const char *text);
    /* Sink: the connector's state of the last commit; empty at the first start. Holds until
     * task_start returns. */
    struct gantry_view state;
    /* Source: call @p each for every committed position of the connector, those of its other tasks
     * too. The views hold during the call, which must use no function of the context. Thread: the
     * task's. */
    int (*positions)(struct gantry_task_context *ctx,
                     void (*each)(void *arg, struct gantry_view partition,
                                  struct gantry_view position),
                     void *arg, struct gantry_err *err);
    /* Sink: hand over no more records of this queue (true), or again (false). Records of it that
     * put() is being given are not affected. Thread: the task's. */
    void (*hold)(struct gantry_task_context *ctx, const char *topic, uint32_t queue, bool held);
    /* Sink: go on with @p offset in this queue: the next put() of it begins there, or at the first
     * one behind it that there is. What put() is being given of it may be left (taken 0). Thread:
     * the task's. 0; GANTRY_NOT_FOUND: not a queue of this task; GANTRY_INVALID: an offset below 0.
     */
    int (*seek)(struct gantry_task_context *ctx, const char *topic, uint32_t queue, int64_t offset,
                struct gantry_err *err);
    /* Sink: checkpoint, flush and commit before the next put(), as want_commit of its result.
     * Thread: the task's. */
    void (*want_commit)(struct gantry_task_context *ctx);
    /* Sink: this record, which put() was given, cannot be taken: write it, as bytes with its key,
     * headers and time, to the topic that errors.deadletterqueue.topic.name names, together with
     * the commit that passes over it. Copied; topic, queue and offset say which one it is; it
     * counts among those that put() has taken, else it comes again, and is there twice. Thread:
     * the task's. 0; GANTRY_UNSUPPORTED: there is no such topic; GANTRY_TOO_LARGE: 256 MiB have not
     * been committed; GANTRY_NO_MEMORY. */
    int (*lay_aside)(struct gantry_task_context *ctx, const struct gantry_record *record,
                     struct gantry_err *err);
};

/** Bytes that a callback hands back; the runtime owns the memory and gives room on request. */
struct gantry_output {
    size_t struct_size;
    /* Append @p len bytes. 0 or GANTRY_NO_MEMORY or GANTRY_TOO_LARGE (1 MiB). */
    int (*write)(struct gantry_output *output, const void *data, size_t len);
};

/** Receives the findings of validate(); each is shown to the user. */
struct gantry_findings {
    size_t struct_size;
    /* @p key: the key at fault (NULL: the whole). @p text: what is wrong, the value, the remedy. */
    void (*add)(struct gantry_findings *findings, const char *key, const char *text);
};

/** Receives the task configurations of split(). */
struct gantry_task_list {
    size_t struct_size;
    /* Begin the next task; it starts with a copy of the connector's configuration. 0 or
     * GANTRY_NO_MEMORY. */
    int (*begin)(struct gantry_task_list *list);
    /* Set or replace a key of the task begun last. 0 or GANTRY_NO_MEMORY. */
    int (*set)(struct gantry_task_list *list, const char *key, const char *value);
};

/** Receives what a sink keeps back of a commit. */
struct gantry_limits {
    size_t struct_size;
    /* Of this queue only what lies before @p offset may be committed. 0 or GANTRY_NOT_FOUND: not a
     * queue of this task. */
    int (*below)(struct gantry_limits *limits, const char *topic, uint32_t queue, int64_t offset);
};

/** What a sink did with the records it was handed. */
struct gantry_put_result {
    size_t taken;     /* leading records that are done with; the rest is handed again later */
    bool want_commit; /* checkpoint, flush and commit before the next put (needed where taken <
                         count) */
};

/** One connector: a kind of work, under one or more class names. Static data of the plugin. */
struct gantry_connector {
    size_t struct_size;
    enum gantry_kind kind;
    uint32_t flags;                 /* enum gantry_connector_flag */
    const char *const *class_names; /* NULL-terminated; the first is the one that messages use */
    const char *task_class;         /* shown as `task-class` */
    const char *version;
    const char *doc; /* one sentence */
    const struct gantry_config_def *defs;
    size_t def_count;

    /* What the table cannot check: files, addresses, combinations. May block; runs on a helper
     * thread, perhaps beside running tasks of the same plugin. @p name is the connector's name.
     * Optional. */
    void (*validate)(void *plugin, const char *name, const struct gantry_config *config,
                     struct gantry_findings *findings);
    /* Split the work into at most @p max_tasks tasks. May block; a helper thread. Optional: one
     * task with the connector's configuration. */
    int (*split)(void *plugin, const struct gantry_config *config, uint32_t max_tasks,
                 struct gantry_task_list *list, struct gantry_err *err);
    /* Begin. On failure nothing is left behind and task_stop is not called. */
    int (*task_start)(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                      struct gantry_err *err);
    /* Source: fill the batch with what is there now. An empty batch means: nothing until wake() or
     * wake_after(). */
    int (*poll)(void *task, struct gantry_batch *batch, struct gantry_err *err);
    /* Sink: take records of one queue, in order. On failure the records since the last commit come
     * again after a new start. AGAIN with taken < count: full for now, wake() when there is room.
     */
    int (*put)(void *task, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err);
    /* Sink: everything that the topics held when the task started has been put. Called once per
     * start. Optional. */
    int (*caught_up)(void *task, struct gantry_err *err);
    /* Sink: write the state that belongs to the records put so far. Quick. Optional: no state. */
    int (*checkpoint)(void *task, struct gantry_output *state, struct gantry_err *err);
    /* Sink: make durable what was put before the last checkpoint. May block; runs on a helper
     * thread, alone unless GANTRY_CONNECTOR_CONCURRENT_FLUSH is set. Optional. A failure fails the
     * task and commits nothing. */
    int (*flush)(void *task, struct gantry_err *err);
    /* The last batch (source) or checkpoint (sink) is durable in the store. Optional. */
    int (*committed)(void *task, struct gantry_err *err);
    /* Let go of everything. A source may still have an uncommitted batch: it will be polled again
     * by a later start. Never called while another callback of the task runs. */
    void (*task_stop)(void *task);

    /* All that follows is optional, and came later: see GANTRY_HAS. */

    /* Sink: after flush: which queues are not durable up to what was put. Their offsets are
     * committed as far as is said here; the commit is repeated after a while. Thread: the task's.
     */
    int (*limit)(void *task, struct gantry_limits *limits, struct gantry_err *err);
    /* Sink: once in each round, before records are read for it: for one that hears of things from
     * elsewhere (and wakes itself then). What it asks its context for counts in this round. */
    int (*look)(void *task, struct gantry_err *err);
    /* Like split(), and used instead of it, with the connector's name. */
    int (*split_named)(void *plugin, const char *name, const struct gantry_config *config,
                       uint32_t max_tasks, struct gantry_task_list *list, struct gantry_err *err);
    /* The connector of that name, which was split before, does not live here any more: it is gone,
     * and none of its tasks is left; or, in a cluster, another worker has it, and tasks of it may
     * go on here. Must not block. Thread: any. */
    void (*release)(void *plugin, const char *name);

    /* For tasks whose work is done elsewhere. Each says GANTRY_AGAIN while it is under way, and is
     * called again after wake(); nothing else of the task is called meanwhile. */

    /* task_start has only begun: 0: now it has started. */
    int (*start_done)(void *task, struct gantry_err *err);
    /* Sink: instead of flush(), on the task's thread, after checkpoint(). 0: what was put before
     * it is durable. @p state is added to what checkpoint() has written. With
     * GANTRY_CONNECTOR_CONCURRENT_FLUSH put() is called in between. */
    int (*flush_done)(void *task, struct gantry_output *state, struct gantry_err *err);
    /* Before task_stop(), from the moment that the task is to stop, or has failed: 0: task_stop()
     * may be called. */
    int (*stop_done)(void *task);
};

/** Whether an object from the other side is new enough to have this member, and has it set. */
#define GANTRY_HAS(object, member)                                                                 \
    ((size_t)((const char *)&(object)->member - (const char *)(object)) +                          \
             sizeof((object)->member) <=                                                           \
         (object)->struct_size &&                                                                  \
     (object)->member != NULL)

/** What gantry_plugin() returns. Static data of the plugin. */
struct gantry_plugin {
    size_t struct_size;
    uint32_t abi_version; /* GANTRY_ABI_VERSION at compile time; another one is refused with both
                             numbers */
    const char *name;
    const char *version;
    /* Called once before anything else and once after everything else: when the last task is gone,
     * and before the file is closed. close() leaves nothing of the plugin behind, no thread, no
     * timer, no key of thread-specific data. State of the whole plugin. May block. Optional. */
    int (*open)(const struct gantry_runtime *runtime, void **ret_plugin, struct gantry_err *err);
    void (*close)(void *plugin);
    const struct gantry_connector *const *connectors;
    size_t connector_count;
};

#if defined(__GNUC__)
#define GANTRY_EXPORT __attribute__((visibility("default")))
#else
#define GANTRY_EXPORT
#endif

/** The one symbol that a plugin file exports; the plugin defines it. Called once when the file is
 * opened, before anything else. */
GANTRY_EXPORT const struct gantry_plugin *gantry_plugin(void);
typedef const struct gantry_plugin *(*gantry_plugin_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
