/* SPDX-License-Identifier: Apache-2.0 */
/* Frames. See frame.h. */
#include "host/frame.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    LENGTH_BYTES = 4,
    DIRECT_BYTES = 32 << 10, /* so much that is missing is read to its place at once */
    POOL_BYTES_MIN = 64 << 10,
    POOL_BYTES_MAX = 1280 << 10, /* the largest frame of records but for single large ones */
    POOL_ITEMS = 8,
    PART_HEAD_MAX = 32, /* length, array, type, channel, head of the bytes, more */
};

/* Memory of large frames that are done with, for the next ones. Guarded by its lock: frames are
 * made by one thread and freed by another. */
static struct pool {
    pthread_mutex_t lock;
    struct pooled {
        uint8_t *data; /* owned */
        size_t cap;
    } items[POOL_ITEMS];
    size_t count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint8_t *pool_take(size_t len, size_t *ret_cap)
{
    uint8_t *data = NULL;
    *ret_cap = len > 0 ? len : 1;
    if (len < POOL_BYTES_MIN || len > POOL_BYTES_MAX)
        return malloc(*ret_cap);
    pthread_mutex_lock(&pool.lock);
    for (size_t i = pool.count; i-- > 0 && data == NULL;) {
        if (pool.items[i].cap < len)
            continue;
        data = pool.items[i].data;
        *ret_cap = pool.items[i].cap;
        pool.items[i] = pool.items[--pool.count];
    }
    pthread_mutex_unlock(&pool.lock);
    if (data != NULL)
        return data;
    *ret_cap = POOL_BYTES_MAX; /* pages that are not touched cost nothing */
    return malloc(*ret_cap);
}

static void pool_give(uint8_t *data, size_t cap)
{
    if (cap == POOL_BYTES_MAX) {
        pthread_mutex_lock(&pool.lock);
        if (pool.count < POOL_ITEMS) {
            pool.items[pool.count++] = (struct pooled){data, cap};
            data = NULL;
        }
        pthread_mutex_unlock(&pool.lock);
    }
    free(data);
}

struct gt_frame *gt_frame_new(size_t len)
{
    struct gt_frame *frame = malloc(sizeof *frame);
    if (frame == NULL)
        return NULL;
    *frame = (struct gt_frame){.len = len};
    frame->data = pool_take(len, &frame->cap);
    if (frame->data != NULL)
        return frame;
    free(frame);
    return NULL;
}

void gt_frame_free(struct gt_frame *frame)
{
    if (frame != NULL)
        pool_give(frame->data, frame->cap);
    free(frame);
}

int gt_frame_reserve(struct gt_buf *buf, size_t len)
{
    size_t cap = 0;
    if (buf->error == 0 && buf->len + len + 1 > buf->cap && len < buf->max - buf->len &&
        buf->len + len < POOL_BYTES_MAX && len >= POOL_BYTES_MIN) {
        uint8_t *data = pool_take(buf->len + len + 1, &cap);
        if (data == NULL)
            return buf->error = GANTRY_NO_MEMORY;
        if (buf->len > 0)
            memcpy(data, buf->data, buf->len);
        free(buf->data);
        buf->data = (char *)data;
        buf->cap = cap;
    }
    return gt_buf_reserve(buf, len) != NULL ? 0 : buf->error;
}

void gt_frame_free_list(struct gt_frame *frame)
{
    for (struct gt_frame *next; frame != NULL; frame = next) {
        next = frame->next;
        gt_frame_free(frame);
    }
}

void gt_frames_init(struct gt_frames *frames)
{
    *frames = (struct gt_frames){.tail = &frames->head};
}

void gt_frames_deinit(struct gt_frames *frames)
{
    gt_frame_free_list(frames->head);
    gt_frames_init(frames);
}

void gt_frames_add(struct gt_frames *frames, struct gt_frame *frame)
{
    frame->next = NULL;
    *frames->tail = frame;
    frames->tail = &frame->next;
    frames->count++;
}

struct gt_frame *gt_frames_take(struct gt_frames *frames)
{
    struct gt_frame *frame = frames->head;
    if (frame == NULL)
        return NULL;
    frames->head = frame->next;
    if (frames->head == NULL)
        frames->tail = &frames->head;
    frames->count--;
    frame->next = NULL;
    return frame;
}

void gt_frames_move(struct gt_frames *to, struct gt_frames *from)
{
    if (from->head == NULL)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    to->count += from->count;
    gt_frames_init(from);
}

bool gt_frame_read(struct gt_frame_head *head, const void *data, size_t len)
{
    head->mp = gt_mp_of(data, len);
    head->items = gt_mp_items(&head->mp);
    head->type = gt_mp_item_int(&head->items, -1);
    int64_t channel = gt_mp_item_int(&head->items, -1);
    head->channel = (uint32_t)channel;
    return gt_mp_ok(&head->mp) && head->type >= 0 && channel >= 0 && channel <= UINT32_MAX;
}

void gt_frame_begin(struct gt_buf *buf, enum gt_frame_type type, uint32_t channel, uint32_t items)
{
    (void)gt_buf_add(buf, "\0\0\0\0", LENGTH_BYTES); /* errors stick */
    gt_mp_put_array(buf, items);
    gt_mp_put_int(buf, type);
    gt_mp_put_int(buf, channel);
}

static void store_length(uint8_t *out, size_t len)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        out[i] = (uint8_t)(len >> (8 * (LENGTH_BYTES - 1 - i)));
}

static struct gt_frame *make_part(uint32_t channel, struct gantry_view piece, bool more)
{
    struct gt_frame *frame = gt_frame_new(PART_HEAD_MAX + piece.len);
    if (frame == NULL)
        return NULL;
    uint8_t *out = gt_mp_set_array(frame->data + LENGTH_BYTES, 4);
    out = gt_mp_set_int(out, GT_FRAME_PART);
    out = gt_mp_set_int(out, channel);
    out = gt_mp_set_bytes(out, piece);
    *out++ = more ? 0xc3 : 0xc2;
    frame->len = (size_t)(out - frame->data);
    store_length(frame->data, frame->len - LENGTH_BYTES);
    return frame;
}

static int cut_in_parts(struct gt_buf *buf, uint32_t channel, struct gt_frame **ret)
{
    struct gt_frames parts;
    gt_frames_init(&parts);
    for (size_t at = LENGTH_BYTES; at < buf->len;) {
        size_t len = buf->len - at < GT_FRAME_PIECE ? buf->len - at : GT_FRAME_PIECE;
        struct gantry_view piece = {buf->data + at, len};
        at += len;
        struct gt_frame *part = make_part(channel, piece, at < buf->len);
        if (part == NULL) {
            gt_frames_deinit(&parts);
            return GANTRY_NO_MEMORY;
        }
        gt_frames_add(&parts, part);
    }
    *ret = parts.head;
    return 0;
}

int gt_frame_end(struct gt_buf *buf, uint32_t channel, struct gt_frame **ret)
{
    int code = buf->error;
    *ret = NULL;
    if (code == 0 && buf->len > 2 * (size_t)GT_FRAME_PIECE) {
        code = cut_in_parts(buf, channel, ret);
    } else if (code == 0) {
        struct gt_frame *frame = malloc(sizeof *frame);
        if (frame == NULL) {
            code = GANTRY_NO_MEMORY;
        } else {
            *frame = (struct gt_frame){.len = buf->len, .cap = buf->cap};
            store_length((uint8_t *)buf->data, buf->len - LENGTH_BYTES);
            frame->data = (uint8_t *)gt_buf_take(buf);
            *ret = frame;
        }
    }
    gt_buf_deinit(buf);
    return code;
}

/* --- From the line --- */

void gt_frame_cutter_deinit(struct gt_frame_cutter *cutter)
{
    gt_frame_free(cutter->frame);
    *cutter = (struct gt_frame_cutter){.head_len = 0};
}

uint8_t *gt_frame_cutter_room(struct gt_frame_cutter *cutter, size_t *ret_len)
{
    *ret_len = cutter->frame != NULL ? cutter->frame->len - cutter->have : 0;
    if (*ret_len < DIRECT_BYTES) {
        *ret_len = 0;
        return NULL;
    }
    return cutter->frame->data + cutter->have;
}

struct gt_frame *gt_frame_cutter_filled(struct gt_frame_cutter *cutter, size_t len)
{
    struct gt_frame *frame = cutter->frame;
    cutter->have += len;
    if (cutter->have < frame->len)
        return NULL;
    *cutter = (struct gt_frame_cutter){.head_len = 0};
    return frame;
}

static int begin_frame(struct gt_frame_cutter *cutter, struct gantry_err *err)
{
    size_t len = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        len = len << 8 | cutter->head[i];
    if (len < 1 || len > GT_FRAME_MAX)
        return gantry_err_set(err, GANTRY_INVALID,
                              "a frame of %zu bytes, 1 to %d are allowed: this is not the host "
                              "protocol",
                              len, GT_FRAME_MAX);
    cutter->frame = gt_frame_new(len);
    cutter->have = 0;
    return cutter->frame != NULL
               ? 0
               : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a frame of %zu bytes", len);
}

int gt_frame_cutter_feed(struct gt_frame_cutter *cutter, const uint8_t **data, size_t *len,
                         struct gt_frame **ret, struct gantry_err *err)
{
    *ret = NULL;
    while (*len > 0 && *ret == NULL) {
        if (cutter->frame == NULL) {
            cutter->head[cutter->head_len++] = *(*data)++;
            --*len;
            int code = cutter->head_len == LENGTH_BYTES ? begin_frame(cutter, err) : 0;
            if (code != 0)
                return code;
            continue;
        }
        size_t missing = cutter->frame->len - cutter->have;
        size_t take = missing < *len ? missing : *len;
        memcpy(cutter->frame->data + cutter->have, *data, take);
        *data += take;
        *len -= take;
        *ret = gt_frame_cutter_filled(cutter, take);
    }
    return 0;
}

void gt_frame_parts_deinit(struct gt_frame_parts *parts)
{
    if (parts->begun)
        gt_buf_deinit(&parts->buf);
    parts->begun = false;
}

int gt_frame_parts_add(struct gt_frame_parts *parts, struct gt_frame_head *head, size_t max,
                       struct gt_frame **ret, struct gantry_err *err)
{
    *ret = NULL;
    struct gantry_view piece = gt_mp_item_bytes(&head->items);
    bool more = gt_mp_item_bool(&head->items, false);
    if (!gt_mp_ok(&head->mp) || piece.data == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "a part of a frame is malformed");
    if (!parts->begun)
        gt_buf_init(&parts->buf, max);
    parts->begun = true;
    int code = gt_buf_add_view(&parts->buf, piece);
    if (code == GANTRY_TOO_LARGE)
        return gantry_err_set(err, code, "a frame in parts has more than %zu bytes (record.max)",
                              max);
    if (code != 0)
        return gantry_err_set(err, code, "no memory for a frame in parts");
    if (more)
        return 0;
    struct gt_frame *frame = malloc(sizeof *frame);
    if (frame == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a frame in parts");
    *frame = (struct gt_frame){.len = parts->buf.len, .cap = parts->buf.cap};
    frame->data = (uint8_t *)gt_buf_take(&parts->buf);
    gt_frame_parts_deinit(parts);
    *ret = frame;
    return 0;
}
