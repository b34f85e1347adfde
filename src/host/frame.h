/* SPDX-License-Identifier: Apache-2.0 */
/** Frames of the host protocol (docs/formats/host-protocol.md): cut out of a stream of bytes, put
 * together from parts, made for sending. Both ends of the line use this. Thread: one at a time. */
#ifndef GT_HOST_FRAME_H
#define GT_HOST_FRAME_H

#include "host/msgpack.h"

enum {
    GT_HOST_VERSION = 1,
    GT_FRAME_MAX = 16 << 20,      /* bytes of a frame on the line, its length apart */
    GT_FRAME_PIECE = 1 << 20,     /* a frame that is longer than twice this goes in such pieces */
    GT_FRAME_RECORD_COUNT = 4096, /* records of a frame ... */
    GT_FRAME_RECORD_BYTES = 1 << 20, /* ... and what they count, unless it is a single one */
    GT_FRAME_MARK_COUNT = 1 << 16,   /* marks of a frame */
    GT_BATCH_COUNT = 1 << 20,        /* records and marks that are one batch */
    GT_RECORD_CREDIT = 64,           /* what a record counts beside its key and value ... */
    GT_HEADER_CREDIT = 32,           /* ... and a header beside its name and value */
};

enum gt_frame_type {
    GT_FRAME_PART = 1,
    GT_FRAME_HELLO,
    GT_FRAME_LOAD,
    GT_FRAME_LOADED,
    GT_FRAME_FAILED,
    GT_FRAME_VALIDATE,
    GT_FRAME_FINDINGS,
    GT_FRAME_SPLIT,
    GT_FRAME_TASKS,
    GT_FRAME_RELEASE,
    GT_FRAME_RECONFIGURE,
    GT_FRAME_UNLOAD,
    GT_FRAME_BEAT,
    GT_FRAME_LOG,
    GT_FRAME_START = 20,
    GT_FRAME_STARTED,
    GT_FRAME_STOP,
    GT_FRAME_STOPPED,
    GT_FRAME_COMMITTED,
    GT_FRAME_LAG,
    GT_FRAME_RECORDS = 30,
    GT_FRAME_CREDIT,
    GT_FRAME_POSITION,
    GT_FRAME_POSITION_IS, /* the answer */
    GT_FRAME_POSITIONS,
    GT_FRAME_POSITIONS_ARE,
    GT_FRAME_TOGETHER,
    GT_FRAME_PUT = 40,
    GT_FRAME_TAKEN,
    GT_FRAME_CHECKPOINT,
    GT_FRAME_STATE,
    GT_FRAME_FLUSH,
    GT_FRAME_FLUSHED,
    GT_FRAME_CAUGHT_UP,
    GT_FRAME_HOLD,
    GT_FRAME_SEEK,
    GT_FRAME_COMMIT,
    GT_FRAME_SCHEMA = 50,
    GT_FRAME_ASIDE,
};

/** One frame. On the way in: its array, without the length. On the way out: with it. */
struct gt_frame {
    struct gt_frame *next;
    uint8_t *data; /* owned */
    size_t len, cap;
};

/** A frame with room for @p len bytes, or NULL. */
struct gt_frame *gt_frame_new(size_t len);
/** What a frame that waits takes of our memory, about: small ones are not for nothing. */
static inline size_t gt_frame_weight(const struct gt_frame *frame)
{
    return frame->len + 2 * sizeof *frame;
}
/** NULL is fine. */
void gt_frame_free(struct gt_frame *frame);
void gt_frame_free_list(struct gt_frame *frame);

/** Make room for @p len more bytes, in memory that was a frame's before: the kernel need not give
 * and clear pages for each frame anew. 0 or the buffer's error. */
int gt_frame_reserve(struct gt_buf *buf, size_t len);

/** A queue of frames. */
struct gt_frames {
    struct gt_frame *head, **tail;
    size_t count;
};

void gt_frames_init(struct gt_frames *frames);
void gt_frames_deinit(struct gt_frames *frames);
void gt_frames_add(struct gt_frames *frames, struct gt_frame *frame);
/** The first one, taken out; NULL. */
struct gt_frame *gt_frames_take(struct gt_frames *frames);
/** Put all of @p from behind those of @p to. */
void gt_frames_move(struct gt_frames *to, struct gt_frames *from);

/** The beginning of a frame, and where its other items stand. Does not move. */
struct gt_frame_head {
    struct gt_mp mp;
    struct gt_mp_items items; /* points to mp */
    int64_t type;
    uint32_t channel;
};

/** False: it is none. */
bool gt_frame_read(struct gt_frame_head *head, const void *data, size_t len);

/** Begin a frame of @p items items in an empty buffer: its length (not known yet), array, type and
 * channel. */
void gt_frame_begin(struct gt_buf *buf, enum gt_frame_type type, uint32_t channel, uint32_t items);
/** The finished frame, or what it takes on the line when it is too long for one: *ret is a list.
 * The buffer is empty afterwards. 0 or the buffer's error. */
int gt_frame_end(struct gt_buf *buf, uint32_t channel, struct gt_frame **ret);

/* --- From the line --- */

/** Cuts frames out of a stream. Zeroed is empty. */
struct gt_frame_cutter {
    uint8_t head[4];
    size_t head_len;
    struct gt_frame *frame; /* that is not whole yet */
    size_t have;            /* bytes of it */
};

void gt_frame_cutter_deinit(struct gt_frame_cutter *cutter);
/** Where the next bytes of a large frame may be read to; NULL (and 0) when there is none. */
uint8_t *gt_frame_cutter_room(struct gt_frame_cutter *cutter, size_t *ret_len);
/** @p len bytes were read there: the frame if it is whole now, else NULL. */
struct gt_frame *gt_frame_cutter_filled(struct gt_frame_cutter *cutter, size_t len);
/** Take bytes until a frame is whole: *data and *len move on. 0; *ret NULL: all bytes are taken and
 * more are needed. GANTRY_INVALID: a length that is not allowed; GANTRY_NO_MEMORY. */
int gt_frame_cutter_feed(struct gt_frame_cutter *cutter, const uint8_t **data, size_t *len,
                         struct gt_frame **ret, struct gantry_err *err);

/** Parts of a frame of one channel. Zeroed is empty. */
struct gt_frame_parts {
    struct gt_buf buf;
    bool begun;
};

void gt_frame_parts_deinit(struct gt_frame_parts *parts);
/** Add what a PART frame (whose head was read) holds; *ret is the whole frame after the last part,
 * else NULL. At most @p max bytes. 0, GANTRY_INVALID, GANTRY_TOO_LARGE, GANTRY_NO_MEMORY. */
int gt_frame_parts_add(struct gt_frame_parts *parts, struct gt_frame_head *head, size_t max,
                       struct gt_frame **ret, struct gantry_err *err);

#endif
