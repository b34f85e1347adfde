/* SPDX-License-Identifier: Apache-2.0 */
/** A sink task's inside, shared by sink.c and rotate.c. */
#ifndef FILE_SINK_H
#define FILE_SINK_H

#include "plugin.h"
#include "position.h"

struct file_sink {
    struct file_plugin *plugin;
    struct gantry_task_context *ctx;
    char *path;          /* owned; links resolved */
    char *folder, *name; /* owned */
    struct file_claim *claim;
    int fd;
    struct file_sink_state
        state;        /* of the records put so far; length: what was written or found equal */
    int64_t tail_end; /* what the file held at the start beyond the committed length ends here */
    int64_t rotate_bytes, rotate_keep;

    bool want_rotate; /* the next record belongs into the next file */
    bool new_file;    /* the file's identity is not committed yet: nothing may be written */
    bool folder_changed;

    /* What the last checkpoint said; read by flush() in another thread while put() runs. */
    struct {
        int fd;
        int64_t length;
        bool sync, rotate, new_file, folder_changed;
    } checkpoint;
    int64_t synced;         /* length of the last flush; -1: none yet */
    int64_t writeback_from; /* what lies before it is on its way to the disk */

    /* Whose records come next in the tail: the queues are looked at in turn. */
    struct {
        uint64_t first, best; /* the queue looked at first; the one that fits longest */
        int64_t best_bytes;
        int rounds; /* how often the first one was looked at */
    } turn;
};

/** The refusal of a file that somebody else changed; the text names file, committed and found
 * length, and the remedy. */
int file_sink_changed(const struct file_sink *sink, struct gantry_err *err, const char *what,
                      int64_t found);

/** PATH.NUMBER, to be freed by the caller; NULL without memory. */
char *file_sink_rotated_path(const struct file_sink *sink, int64_t number);

/** The highest number of a rotated file in the folder, or 0. */
int file_sink_last_number(const struct file_sink *sink, int64_t *ret, struct gantry_err *err);

/** Carry out the committed intention state.rotate, from whatever step a crash left it at: rename,
 * folder sync, new file. Then the sink stands at the start of the new file, whose identity is to be
 * committed before its first byte. */
int file_sink_rotate(struct file_sink *sink, struct gantry_err *err);

/** Delete the oldest rotated files beyond rotate.keep. Failures are logged. */
void file_sink_trim(struct file_sink *sink);

#endif
