/* SPDX-License-Identifier: Apache-2.0 */
/** The store: everything small and durable, in one LMDB environment, and the committer thread.
 *
 *  Folder: STORE/gantry/ {data.mdb, lock.mdb} and STORE/gantry.lock, which one worker holds. Tables
 * and their values are drawn in docs/formats/store.md.
 *
 *  Reads are short transactions on any thread. Writes are commits (struct gt_commit): any thread
 * submits one, the committer thread alone makes them durable, grouped: at once when it is idle,
 * else all that came while it worked. Per group: check each commit, sync the files they name, one
 * LMDB transaction with all their changes, publish, done. When a sync fails, its group fails, and
 * so does everything that depends on the data behind it (see abort); it is never tried again. When
 * LMDB itself fails, the store takes no commit any more: the worker has to be started anew. */
#ifndef GT_STORE_STORE_H
#define GT_STORE_STORE_H

#include "base/buf.h"
#include <gantry/error.h>
#include <stdatomic.h>

#define GT_STORE_VERSION 2

struct gt_store;

enum gt_table {
    GT_TABLE_META,       /* "version" */
    GT_TABLE_TOPICS,     /* topic */
    GT_TABLE_SEGMENTS,   /* topic, queue, base offset -> committed part of the file */
    GT_TABLE_CONNECTORS, /* name -> configuration */
    GT_TABLE_POSITIONS,  /* connector, partition -> position */
    GT_TABLE_PROGRESS,   /* connector, task -> offsets and state */
    GT_TABLE_GAPS,       /* topic, queue, base offset of a damaged stretch that was settled */
    GT_TABLE_COUNT
};

struct gt_commit;

/** What a commit does besides changing tables. All run on the committer thread; any may be NULL but
 * done. */
struct gt_commit_ops {
    /** Still wanted? An error takes the commit out of the group. */
    int (*check)(struct gt_commit *commit, struct gantry_err *err);
    /** Sync the files that this commit needs; @p round is the same for all commits of a group, so
     * that a file named by many is synced once. */
    int (*sync)(struct gt_commit *commit, uint64_t round, struct gantry_err *err);
    /** The change is durable: make it visible. Before any done of the group. */
    void (*publish)(struct gt_commit *commit);
    /** The commit failed: what it stands for must be discarded. Before done. */
    void (*abort)(struct gt_commit *commit);
    /** The outcome (commit->err, code 0: durable), exactly once; the commit's memory is the owner's
     * again. */
    void (*done)(struct gt_commit *commit);
};

/** Whose commit it is. In a cluster it counts only while that worker still owns the task in that
 * epoch. */
struct gt_claim {
    const char *connector; /* lives as long as the commit */
    uint32_t task;
    uint64_t epoch;
    /* In a cluster: until when anything may be done outside in its name, on the clock of
     * gt_clock_boot_ms(); kept by the control loop. NULL: always. */
    const atomic_llong *lease_until_ms;
};

/** Whether its worker may still act for the task: a process that was frozen finds that it may not
 * before its control loop has had the time to say so. Thread: any. */
bool gt_claim_holds(const struct gt_claim *claim);

/** One indivisible change. Embed it; init, add changes, submit. */
struct gt_commit {
    struct gt_commit *next;       /* the committer's, from submit to done */
    const struct gt_claim *claim; /* set between init and submit; NULL: nobody's. Outlives done() */
    const struct gt_commit_ops *ops; /* static */
    struct gt_buf changes;           /* owned */
    struct gantry_err err;           /* the committer's; code 0 while nothing went wrong */
};

/** Open or create. @p map_bytes: first size of the map (0: 1 GiB); it grows by itself.
 *  GANTRY_BUSY another worker has it (text says which), GANTRY_VERSION newer than this program
 * (both numbers). Thread: one; may block. */
int gt_store_open(const char *folder, size_t map_bytes, struct gt_store **ret,
                  struct gantry_err *err);
/** The same for a store whose content others keep as well: it is emptied, and nothing is synced. */
int gt_store_open_cache(const char *folder, struct gt_store **ret, struct gantry_err *err);
/** Start the committer thread. */
int gt_store_start(struct gt_store *store, struct gantry_err *err);
/** Finish the commits that wait, end the committer. Submits afterwards fail. */
void gt_store_stop(struct gt_store *store);
void gt_store_close(struct gt_store *store);
/** 0, or the error after which the store takes no commit any more. Thread: any. */
int gt_store_check(struct gt_store *store, struct gantry_err *err);
/** Whether the process that had the store in @p folder open last still runs. A look, nothing more:
 * false when there is no store. Thread: any. */
bool gt_store_in_use(const char *folder);
/** The folder given to open. */
const char *gt_store_folder(const struct gt_store *store);

/** In a cluster a commit with a claim counts only once the log that all workers read has it in its
 * order: the relay takes it there. */
struct gt_store_relay {
    void *arg;
    /** Take a group of commits (linked by next) that are checked and whose files are synced. Each
     * comes back through gt_store_settle() exactly once, before gt_store_stop(). Thread: the
     * committer. */
    void (*propose)(void *arg, struct gt_commit *group);
};

/** Before start. @p relay is borrowed until the store is closed. */
void gt_store_set_relay(struct gt_store *store, const struct gt_store_relay *relay);
/** The log has spoken of this commit: it is applied, after all that were settled before it, or,
 * with an error set in it, it fails. Also for the changes of other workers. Thread: any. */
void gt_store_settle(struct gt_store *store, struct gt_commit *commit);

/** Called on the committer thread after each group and @p every_ms after the last call:
 * housekeeping that belongs beside commits (retention). Set before start. @p every_ms 0: only after
 * groups. */
void gt_store_on_round(struct gt_store *store, void (*fn)(void *arg), void *arg, int64_t every_ms);

void gt_commit_init(struct gt_commit *commit, const struct gt_commit_ops *ops);
void gt_commit_deinit(struct gt_commit *commit);
/** Errors stick in commit->changes.error and come out at submit. */
void gt_commit_put(struct gt_commit *commit, enum gt_table table, struct gantry_view key,
                   struct gantry_view value);
void gt_commit_delete(struct gt_commit *commit, enum gt_table table, struct gantry_view key);
/** Delete all keys that begin with @p prefix. */
void gt_commit_delete_prefix(struct gt_commit *commit, enum gt_table table,
                             struct gantry_view prefix);
/** Take over the changes of another commit, as bytes. GANTRY_CORRUPT: they are no changes of
 * positions and progress; nothing was added. */
int gt_commit_add_changes(struct gt_commit *commit, struct gantry_view changes);
/** 0: done will run. GANTRY_NO_MEMORY, GANTRY_TOO_LARGE: a change was not taken; GANTRY_CLOSED:
 * stopped. Never blocks but for a short lock. Thread: any. */
int gt_store_submit(struct gt_store *store, struct gt_commit *commit, struct gantry_err *err);
/** Commit and wait. Its ops are not called. Thread: before gt_store_start and on the committer
 * thread (housekeeping) it is done at once; after the start any thread that may block. */
int gt_store_commit_now(struct gt_store *store, struct gt_commit *commit, struct gantry_err *err);

/** Copy a value into @p value (emptied first). 0 or GANTRY_NOT_FOUND, GANTRY_IO, GANTRY_NO_MEMORY.
 * Thread: any. */
int gt_store_get(struct gt_store *store, enum gt_table table, struct gantry_view key,
                 struct gt_buf *value, struct gantry_err *err);
/** Walk all keys with @p prefix in byte order; the views hold during the call of @p fn; a non-zero
 * return of @p fn ends the walk and is returned. @p fn must not use the store. Thread: any. */
int gt_store_scan(struct gt_store *store, enum gt_table table, struct gantry_view prefix,
                  int (*fn)(void *arg, struct gantry_view key, struct gantry_view value), void *arg,
                  struct gantry_err *err);

#endif
