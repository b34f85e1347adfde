/* SPDX-License-Identifier: Apache-2.0 */
/* The growing buffer. One byte more than `len` is always kept free, so that a NUL fits without a
 * further allocation. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void gt_buf_init(struct gt_buf *buf, size_t max)
{
    *buf = (struct gt_buf){.max = max};
}

void gt_buf_deinit(struct gt_buf *buf)
{
    free(buf->data);
    gt_buf_init(buf, buf->max);
}

void gt_buf_clear(struct gt_buf *buf)
{
    buf->len = 0;
    buf->error = GANTRY_OK;
}

char *gt_buf_reserve(struct gt_buf *buf, size_t len)
{
    if (buf->error != 0)
        return NULL;
    if (len > buf->max - buf->len || len > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
        buf->error = GANTRY_TOO_LARGE;
        return NULL;
    }
    size_t need = buf->len + len + 1;
    if (need > buf->cap) {
        size_t cap = buf->cap < 64 ? 64 : buf->cap + buf->cap / 2;
        if (cap < need)
            cap = need;
        char *data = realloc(buf->data, cap);
        if (data == NULL) {
            buf->error = GANTRY_NO_MEMORY;
            return NULL;
        }
        buf->data = data;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

int gt_buf_add(struct gt_buf *buf, const void *data, size_t len)
{
    char *to = gt_buf_reserve(buf, len);
    if (to == NULL)
        return buf->error;
    if (len > 0)
        memcpy(to, data, len);
    buf->len += len;
    return GANTRY_OK;
}

int gt_buf_add_view(struct gt_buf *buf, struct gantry_view view)
{
    return gt_buf_add(buf, view.data, view.len);
}

int gt_buf_add_str(struct gt_buf *buf, const char *text)
{
    return gt_buf_add(buf, text, strlen(text));
}

int gt_buf_add_char(struct gt_buf *buf, char c)
{
    return gt_buf_add(buf, &c, 1);
}

int gt_buf_addf(struct gt_buf *buf, const char *format, ...)
{
    char small[256];
    va_list args;

    if (buf->error != 0)
        return buf->error;
    va_start(args, format);
    int len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len < 0) {
        buf->error = GANTRY_TOO_LARGE; /* a result beyond INT_MAX is the one failure that our
                                          formats can have */
        return buf->error;
    }
    if ((size_t)len < sizeof small)
        return gt_buf_add(buf, small, (size_t)len);
    char *to = gt_buf_reserve(buf, (size_t)len);
    if (to == NULL)
        return buf->error;
    va_start(args, format);
    (void)vsnprintf(to, (size_t)len + 1, format, args); /* measured above */
    va_end(args);
    buf->len += (size_t)len;
    return GANTRY_OK;
}

const char *gt_buf_cstr(struct gt_buf *buf)
{
    if (buf->data == NULL)
        return "";
    buf->data[buf->len] = '\0';
    return buf->data;
}

struct gantry_view gt_buf_view(const struct gt_buf *buf)
{
    return (struct gantry_view){buf->data, buf->len};
}

char *gt_buf_take(struct gt_buf *buf)
{
    if (gt_buf_reserve(buf, 0) == NULL)
        return NULL;
    char *data = buf->data;
    data[buf->len] = '\0';
    gt_buf_init(buf, buf->max);
    return data;
}
