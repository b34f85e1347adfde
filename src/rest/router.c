/* SPDX-License-Identifier: Apache-2.0 */
/* Routing: patterns are compared segment by segment with the raw path, so that an escaped slash in
 * a name stays part of the name. */
#include "rest/router.h"

#include <stdlib.h>
#include <string.h>

/* Take "/segment" off @p path; false when it does not begin with a slash. */
static bool take_segment(struct gantry_view *path, struct gantry_view *ret)
{
    if (path->len == 0 || path->data[0] != '/')
        return false;
    ret->data = path->data + 1;
    const char *end = memchr(ret->data, '/', path->len - 1);
    ret->len = end != NULL ? (size_t)(end - ret->data) : path->len - 1;
    path->data += ret->len + 1;
    path->len -= ret->len + 1;
    return true;
}

static bool pattern_fits(const char *pattern, struct gantry_view path, struct gantry_view *ret_name)
{
    struct gantry_view left = gantry_view_of(pattern);
    struct gantry_view want, have;

    ret_name->data = NULL;
    ret_name->len = 0;
    while (take_segment(&left, &want)) {
        if (!take_segment(&path, &have))
            return false;
        if (want.len > 0 && want.data[0] == ':') {
            if (have.len == 0)
                return false;
            *ret_name = have;
        } else if (!gantry_view_equal(want, have)) {
            return false;
        }
    }
    return path.len == 0;
}

const struct gt_rest_route *gt_route_find(const struct gt_rest_route *routes, size_t count,
                                          struct gantry_view path, bool slash,
                                          struct gantry_view *ret_name)
{
    if (slash && path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    for (size_t i = 0; i < count; i++) {
        if (pattern_fits(routes[i].pattern, path, ret_name))
            return &routes[i];
    }
    return NULL;
}

size_t gt_query_find(struct gantry_view query, const char *name, struct gantry_view *ret_value)
{
    size_t found = 0, name_len = strlen(name);

    while (query.len > 0) {
        const char *end = memchr(query.data, '&', query.len);
        size_t len = end != NULL ? (size_t)(end - query.data) : query.len;
        const char *equals = memchr(query.data, '=', len);
        size_t key_len = equals != NULL ? (size_t)(equals - query.data) : len;
        if (key_len == name_len && memcmp(query.data, name, name_len) == 0 && found++ == 0) {
            size_t skip = key_len + (equals != NULL ? 1 : 0);
            ret_value->data = query.data + skip;
            ret_value->len = len - skip;
        }
        size_t taken = len + (end != NULL ? 1 : 0);
        query.data += taken;
        query.len -= taken;
    }
    return found;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int gt_percent_decode(struct gantry_view text, enum gt_percent how, struct gt_buf *ret,
                      struct gantry_err *err)
{
    /* a bad escape is one byte in and three out, all else gives no more than it takes */
    size_t most = how == GT_PERCENT_QUERY_LENIENT ? text.len * 3 : text.len;
    char *out = gt_buf_reserve(ret, most);

    if (out == NULL)
        return gantry_err_set(err, ret->error, "decoding the URL: %s",
                              gantry_error_text(ret->error));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c != '%') {
            *out++ = c == '+' && how != GT_PERCENT_PATH ? ' ' : c;
            continue;
        }
        int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.data[i + 2]) : -1;
        if (high >= 0 && low >= 0) {
            *out++ = (char)(high << 4 | low);
            i += 2;
        } else if (how == GT_PERCENT_QUERY_LENIENT) {
            memcpy(out, "\xef\xbf\xbd", 3);
            out += 3;
        } else {
            return gantry_err_set(err, GANTRY_INVALID,
                                  "'%%' at byte %zu is not followed by two hexadecimal digits; "
                                  "write %%25 for a percent sign",
                                  i + 1);
        }
    }
    ret->len = (size_t)(out - ret->data);
    return 0;
}

int gt_route_name(struct gantry_view raw, struct gt_request *request, struct gantry_err *err)
{
    struct gt_buf name;

    gt_buf_init(&name, raw.len + 1);
    int rc = gt_percent_decode(raw, GT_PERCENT_PATH, &name, err);
    if (rc == 0 && name.len > 0 && memchr(name.data, '\0', name.len) != NULL)
        rc = gantry_err_set(err, GANTRY_NOT_FOUND,
                            "connector name: has a control character; leave it out");
    if (rc == 0) {
        request->name = gt_buf_take(&name);
        if (request->name == NULL)
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "connector name: out of memory");
    }
    gt_buf_deinit(&name);
    return rc;
}
