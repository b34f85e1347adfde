/* SPDX-License-Identifier: Apache-2.0 */
/* The head parser. The request line is method, one blank, target, one blank, version; the target
 * may hold any byte but blanks and control characters, since people paste JSON into it as it is. Of
 * the fields only those are kept that the server decides by; each of them may come once. */
#include "rest/http_head.h"

#include <string.h>
#include <strings.h>

static bool token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct gantry_view view)
{
    for (size_t i = 0; i < view.len; i++) {
        if (!token_char((unsigned char)view.data[i]))
            return false;
    }
    return view.len > 0;
}

static bool is_field_value(struct gantry_view view)
{
    for (size_t i = 0; i < view.len; i++) {
        unsigned char c = (unsigned char)view.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool name_is(struct gantry_view view, const char *name)
{
    return view.len == strlen(name) && strncasecmp(view.data, name, view.len) == 0;
}

/* Take the next line, without its end, off @p text; false when there is no line end. */
static bool take_line(struct gantry_view *text, struct gantry_view *ret)
{
    const char *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;

    if (end == NULL)
        return false;
    ret->data = text->data;
    ret->len = (size_t)(end - text->data);
    text->data = end + 1;
    text->len -= ret->len + 1;
    if (ret->len > 0 && ret->data[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

/* "http://host:port/path" is how a proxy is asked; its authority takes the place of the Host field.
 */
static bool split_absolute_form(struct gantry_view *target, struct gt_http_head *head)
{
    static const char scheme[] = "http://";
    size_t skip = sizeof scheme - 1;

    if (target->len < skip || strncasecmp(target->data, scheme, skip) != 0)
        return false;
    const char *end = target->data + target->len;
    const char *authority = target->data + skip;
    const char *path = authority;
    while (path < end && *path != '/' && *path != '?')
        path++;
    head->host.data = authority;
    head->host.len = (size_t)(path - authority);
    target->data = path;
    target->len = (size_t)(end - path);
    return true;
}

static void split_target(struct gantry_view target, struct gt_http_head *head)
{
    const char *mark = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;

    head->path = target;
    if (mark != NULL) {
        head->path.len = (size_t)(mark - target.data);
        head->query.data = mark + 1;
        head->query.len = target.len - head->path.len - 1;
    }
}

static int parse_request_line(struct gantry_view line, struct gt_http_head *head, const char **why)
{
    const char *end = line.data + line.len;
    const char *blank = line.len > 0 ? memchr(line.data, ' ', line.len) : NULL;
    const char *version = line.len > 0 ? memrchr(line.data, ' ', line.len) : NULL;

    *why = "the request line is not METHOD TARGET HTTP/1.1";
    if (blank == NULL || version <= blank + 1)
        return 400;
    head->method.data = line.data;
    head->method.len = (size_t)(blank - line.data);
    struct gantry_view target = {blank + 1, (size_t)(version - blank - 1)};
    version++;
    if (!is_token(head->method) || end - version != 8 || memcmp(version, "HTTP/", 5) != 0 ||
        version[5] < '0' || version[5] > '9' || version[6] != '.' || version[7] < '0' ||
        version[7] > '9')
        return 400;
    if (version[5] != '1') {
        *why = "this server speaks HTTP/1.0 and HTTP/1.1";
        return 505;
    }
    head->minor = version[7] == '0' ? 0 : 1;
    head->keep_alive = head->minor == 1;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c == 0x7f) {
            *why = "the URL has a blank or a control character; percent-encode it";
            return 400;
        }
    }
    (void)split_absolute_form(&target, head); /* either form is fine */
    split_target(target, head);
    return 0;
}

/* Keep a field that may come once. */
static int keep_once(struct gantry_view *slot, struct gantry_view value, const char **why)
{
    if (slot->data != NULL) {
        *why = "a header field that may come once came twice";
        return 400;
    }
    *slot = value;
    return 0;
}

static int keep_length(struct gantry_view value, struct gt_http_head *head, const char **why)
{
    int64_t len;

    if (value.len == 0 || value.data[0] < '0' || value.data[0] > '9' ||
        gt_parse_int(value, 0, INT64_MAX, &len) != 0) {
        *why = "Content-Length is not a number";
        return 400;
    }
    head->body_len = (uint64_t)len;
    return 0;
}

/* Whether @p word is one of the comma-separated words of @p list. */
static bool has_word(struct gantry_view list, const char *word)
{
    while (list.len > 0) {
        const char *comma = memchr(list.data, ',', list.len);
        struct gantry_view item = {list.data,
                                   comma != NULL ? (size_t)(comma - list.data) : list.len};
        if (name_is(gt_view_trim(item), word))
            return true;
        size_t taken = item.len + (comma != NULL ? 1 : 0);
        list.data += taken;
        list.len -= taken;
    }
    return false;
}

struct singles {
    struct gantry_view host, length; /* as fields, to notice a second one */
};

static int keep_field(struct gantry_view name, struct gantry_view value, struct gt_http_head *head,
                      struct singles *singles, const char **why)
{
    if (name_is(name, "Host"))
        return keep_once(&singles->host, value, why);
    if (name_is(name, "Origin"))
        return keep_once(&head->origin, value, why);
    if (name_is(name, "Sec-Fetch-Site"))
        return keep_once(&head->fetch_site, value, why);
    if (name_is(name, "Authorization"))
        return keep_once(&head->authorization, value, why);
    if (name_is(name, "Content-Length")) {
        int status = keep_once(&singles->length, value, why);
        return status != 0 ? status : keep_length(value, head, why);
    }
    if (name_is(name, "Transfer-Encoding"))
        head->chunked = true;
    else if (name_is(name, "Expect"))
        head->expect = true;
    else if (name_is(name, "Connection") && has_word(value, "close"))
        head->keep_alive = false;
    else if (name_is(name, "Connection") && head->minor == 0 && has_word(value, "keep-alive"))
        head->keep_alive = true;
    return 0;
}

static int parse_field(struct gantry_view line, struct gt_http_head *head, struct singles *singles,
                       const char **why)
{
    const char *colon = memchr(line.data, ':', line.len);

    *why = "a header line is not NAME: VALUE";
    if (colon == NULL)
        return 400;
    struct gantry_view name = {line.data, (size_t)(colon - line.data)};
    struct gantry_view value = {colon + 1, line.len - name.len - 1};
    if (!is_token(name) || !is_field_value(value))
        return 400;
    return keep_field(name, gt_view_trim(value), head, singles, why);
}

int gt_http_head_parse(struct gantry_view text, struct gt_http_head *ret, const char **ret_why)
{
    struct singles singles = {0};
    struct gantry_view line;

    memset(ret, 0, sizeof *ret);
    *ret_why = "the request has no line end";
    if (!take_line(&text, &line))
        return 400;
    int status = parse_request_line(line, ret, ret_why);
    while (status == 0) {
        if (!take_line(&text, &line)) {
            *ret_why = "the header has no end";
            return 400;
        }
        if (line.len == 0)
            break;
        status = parse_field(line, ret, &singles, ret_why);
    }
    if (status != 0)
        return status;
    if (ret->host.data == NULL)
        ret->host = singles.host;
    if (singles.host.data == NULL && ret->minor == 1) {
        *ret_why = "HTTP/1.1 needs a Host header";
        return 400;
    }
    if (ret->chunked && singles.length.data != NULL) {
        *ret_why = "Transfer-Encoding and Content-Length exclude each other";
        return 400;
    }
    *ret_why = NULL;
    return 0;
}
