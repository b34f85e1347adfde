/* SPDX-License-Identifier: Apache-2.0 */
/** File events for all tasks of the plugin: one inotify instance, one thread, watches on folders.
 *
 *  A task registers the name of a file (or a pattern) in a folder. An event wakes those tasks only
 * whose name is the event's name or its beginning (so that app.log also sees app.log.1, the file
 * that it was a moment ago), and marks their entries, so that a task with many files knows where to
 * look. The thread rests 1 ms after each round: a file written 100,000 times a second wakes its
 * reader 1,000 times. Locks: one mutex; wake() of the runtime is called under it, so a task that
 * stops is never woken afterwards. */
#ifndef FILE_WATCH_H
#define FILE_WATCH_H

#include <gantry/connector.h>
#include <stdatomic.h>

struct file_watch;

/** One registered name. Made and owned by the watch until file_watch_remove(). */
struct file_watch_entry {
    atomic_bool dirty; /* something happened since the task last cleared this. Clear, then look at
                          the file */
    atomic_bool lost;  /* no events any more (the folder went away): remove it and add it anew */
};

/** Starts no thread yet. 0 or GANTRY_NO_MEMORY. */
int file_watch_new(struct file_watch **ret, struct gantry_err *err);

/** Ends the thread. No entry may be left. NULL is fine. */
void file_watch_free(struct file_watch *watch);

/** Begin to hear of @p name in @p folder; @p pattern: the name is a pattern of fnmatch(3) and hears
 * of new names only. What happened before is not told: look at the file afterwards.
 *  GANTRY_NOT_FOUND: no such folder. GANTRY_UNSUPPORTED: no events to be had (text says why); look
 * by timer. Thread: any. */
int file_watch_add(struct file_watch *watch, const char *folder, const char *name, bool pattern,
                   struct gantry_task_context *ctx, struct file_watch_entry **ret,
                   struct gantry_err *err);

/** NULL is fine. After return ctx->wake is not called any more for this entry. Thread: any. */
void file_watch_remove(struct file_watch *watch, struct file_watch_entry *pub);

/** Whether changes of others show as events on the file system of @p folder (not on network file
 * systems). */
bool file_watch_sees(const char *folder);

#endif
