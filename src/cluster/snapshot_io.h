/* SPDX-License-Identifier: Apache-2.0 */
/** Snapshots in the cluster log: the state machine's state and the tables of positions and progress
 * as of one offset, in parts. Thread: the control loop. docs/formats/cluster-log.md draws the
 * bytes. */
#ifndef GT_CLUSTER_SNAPSHOT_H
#define GT_CLUSTER_SNAPSHOT_H

#include "base/mailbox.h"
#include "cluster/state.h"
#include "store/store.h"

/* --- Writing --- */

struct gt_snapshot_writer;

struct gt_snapshot_setup {
    const struct gt_cluster_state *state;
    struct gt_store *store;
    struct gt_mailbox *control;
    struct gt_incarnation incarnation;
    /* Entries to append, one a part. Not called inside gt_snapshot_writer_new. */
    void (*part)(void *arg, struct gantry_view entry);
    /* All parts are in the log, the first at this offset; -1: it came to nothing. The writer may be
     * freed in it. */
    void (*done)(void *arg, int64_t first_offset);
    void *arg;
};

/** Take the state as it is now; the tables are read once the store has applied all that was settled
 * so far. 0, GANTRY_NO_MEMORY, GANTRY_TOO_LARGE. */
int gt_snapshot_writer_new(const struct gt_snapshot_setup *setup, struct gt_snapshot_writer **ret,
                           struct gantry_err *err);
/** A message of the log went by. */
void gt_snapshot_writer_saw(struct gt_snapshot_writer *writer, int64_t offset,
                            struct gantry_view message);
/** done is not called any more. */
void gt_snapshot_writer_free(struct gt_snapshot_writer *writer);

/* --- Reading --- */

struct gt_snapshot_reader;

struct gt_snapshot_reader *gt_snapshot_reader_new(void);
void gt_snapshot_reader_free(struct gt_snapshot_reader *reader);
/** A message of the log. 1: the snapshot is whole, *ret_state is its state (a view into the reader)
 * | 0: go on | GANTRY_CORRUPT, GANTRY_NO_MEMORY. */
int gt_snapshot_reader_add(struct gt_snapshot_reader *reader, struct gantry_view message,
                           struct gantry_view *ret_state, struct gantry_err *err);
/** Put a whole snapshot's tables into the store. */
int gt_snapshot_reader_apply(const struct gt_snapshot_reader *reader, struct gt_store *store,
                             struct gantry_err *err);

/** Forget all positions and progress of a connector. */
void gt_snapshot_forget(struct gt_commit *commit, const char *connector);

#endif
