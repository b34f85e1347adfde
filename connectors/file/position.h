/* SPDX-License-Identifier: Apache-2.0 */
/** Where a source stands in a file, and where a sink does, as the JSON text that the runtime keeps.
 * Thread: any. */
#ifndef FILE_POSITION_H
#define FILE_POSITION_H

#include "identity.h"
#include <gantry/record.h>

/* In the middle of which line a source's position stands. */
enum file_inside {
    FILE_INSIDE_NONE, /* at a line's start */
    FILE_INSIDE_PART, /* the line's first part was given as a record of its own; the rest follows */
    FILE_INSIDE_CUT,  /* the rest of a line that is too long is dropped */
    FILE_INSIDE_SKIP, /* the rest of a line that is too long goes to the dead-letter topic */
};

struct file_position {
    int64_t next; /* byte offset of what comes next */
    enum file_inside inside;
    bool known; /* the identity below is set; not in positions of a Java worker */
    struct file_identity id;
    int64_t size;        /* size of the file when last looked at */
    int64_t modified_ns; /* its modification time then; orders generations where there is no birth
                            time */
};

/** The state of a sink at a commit. */
struct file_sink_state {
    struct file_identity id; /* device, inode, born_ns only */
    int64_t length;          /* bytes of the file that are committed */
    int64_t sequence;        /* number of the last rotated file */
    int64_t rotate;          /* intended: the file is to become NAME.rotate; 0: none */
    bool mid_line;           /* the last record was the first part of a line */
};

/* Room that file_position_format and file_sink_state_format need, less the path. */
#define FILE_POSITION_ROOM 400
#define FILE_LEFT_ROOM     80

/** {"filename":"PATH"} into @p ret, which must have room for 6 * strlen(path) + 20 bytes. Returns
 * the length. */
size_t file_partition_format(const char *path, char *ret);

/** The path of a partition, to be freed by the caller; NULL: it is of another kind, or no memory.
 */
char *file_partition_parse(struct gantry_view partition);

/** {"device":D,"inode":I}: where a file stands that a name has moved on from. With a @p path
 * {"filename":PATH,"device":D,"inode":I}: the same in the words of a name that did not hold it. @p
 * ret has room for FILE_LEFT_ROOM + 6 * strlen(path). Returns the length. */
size_t file_left_partition_format(const char *path, const struct file_identity *id, char *ret);

/** Returns the length. */
size_t file_position_format(const struct file_position *position, char ret[FILE_POSITION_ROOM]);

/** GANTRY_CORRUPT with the text when it is no position. */
int file_position_parse(struct gantry_view text, struct file_position *ret, struct gantry_err *err);

/** {"filename":"PATH","device":…}; @p ret has room for FILE_POSITION_ROOM + 6 * strlen(path).
 * Returns the length. */
size_t file_sink_state_format(const char *path, const struct file_sink_state *state, char *ret);

/** *ret_same: the state tells of @p path. GANTRY_CORRUPT with the text when it is no state. */
int file_sink_state_parse(struct gantry_view text, const char *path, struct file_sink_state *ret,
                          bool *ret_same, struct gantry_err *err);

#endif
