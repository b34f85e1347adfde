/* SPDX-License-Identifier: Apache-2.0 */
/** Copies of plugin files, by the hash of their content.
 *
 *  A file that is in use may be overwritten by its owner at any time, which would crash whoever has
 * it mapped. So a plugin is opened in a copy that nobody else knows: FOLDER/HASH/NAME, where NAME
 * is the last part of the original's path. A copy is removed with its last reference. An executable
 * is not copied (its program finds its files beside itself); its hash is that of the manifest and
 * of the files that the manifest's command names. Thread: any. May block. */
#ifndef GT_PLUGIN_COPY_H
#define GT_PLUGIN_COPY_H

#include "plugin/loader.h"

struct gt_copies;

struct gt_copy {
    char hash[33]; /* 128 bits in hexadecimal digits */
    char *path;    /* owned; absolute */
    /* copy.c's */
    struct gt_copies *copies;
    struct gt_copy *next;
    enum { GT_COPY_FILLING, GT_COPY_READY, GT_COPY_REMOVING } state;
    char *folder; /* owned; FOLDER/HASH; NULL: nothing was copied */
    size_t refs;
};

/** Use this folder, which is made (not those above it) and emptied: what lies there is left over
 * from before. NULL: a new one among the temporary files, removed at close. */
int gt_copies_open(const char *folder, struct gt_copies **ret, struct gantry_err *err);
/** Nobody may hold a copy. NULL is fine. */
void gt_copies_close(struct gt_copies *copies);

/** The copy of what is at @p path now, held. GANTRY_BUSY: it is being written; GANTRY_TOO_LARGE;
 * GANTRY_INVALID: no such thing as @p kind says, GANTRY_NOT_FOUND: a folder without an archive. */
int gt_copy_take(struct gt_copies *copies, const char *path, enum gt_plugin_kind kind,
                 struct gt_copy **ret, struct gantry_err *err);
/** Never blocks. */
struct gt_copy *gt_copy_hold(struct gt_copy *copy);
/** The last one removes the files: may block. NULL is fine. */
void gt_copy_release(struct gt_copy *copy);

#endif
