/* SPDX-License-Identifier: Apache-2.0 */
/** A growing byte buffer with a maximum that is fixed at birth. The first error sticks, so that a
 * writer of many pieces checks once at the end. Owned by one thread at a time. */
#ifndef GT_BASE_BUF_H
#define GT_BASE_BUF_H

#include "base/view.h"

struct gt_buf {
    char *data; /* owned; NUL-terminated after gt_buf_cstr() */
    size_t len, cap;
    size_t max; /* GANTRY_TOO_LARGE beyond */
    int error;  /* 0, GANTRY_NO_MEMORY or GANTRY_TOO_LARGE; later writes do nothing */
};

void gt_buf_init(struct gt_buf *buf, size_t max);
void gt_buf_deinit(struct gt_buf *buf);
void gt_buf_clear(struct gt_buf *buf); /* keeps the memory, clears the error */
/** Room for @p len more bytes at data + len; NULL on error. The caller adds to len itself. */
char *gt_buf_reserve(struct gt_buf *buf, size_t len);
int gt_buf_add(struct gt_buf *buf, const void *data, size_t len);
int gt_buf_add_view(struct gt_buf *buf, struct gantry_view view);
int gt_buf_add_str(struct gt_buf *buf, const char *text);
int gt_buf_add_char(struct gt_buf *buf, char c);
int gt_buf_addf(struct gt_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The content as a C string; "" when empty or failed before any byte. Holds until the next write.
 */
const char *gt_buf_cstr(struct gt_buf *buf);
struct gantry_view gt_buf_view(const struct gt_buf *buf);
/** Hand the memory (NUL-terminated, from malloc) to the caller; NULL on error. The buffer is empty
 * afterwards. */
char *gt_buf_take(struct gt_buf *buf);

#endif
