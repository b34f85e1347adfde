/* SPDX-License-Identifier: Apache-2.0 */
/** The head of an HTTP/1 request: request line and header fields. Thread: any. */
#ifndef GT_REST_HTTP_HEAD_H
#define GT_REST_HTTP_HEAD_H

#include "base/view.h"

/** Views into the text that was parsed; data is NULL where a field was not sent. */
struct gt_http_head {
    struct gantry_view method;
    struct gantry_view
        path; /* as sent, percent escapes and all; without the authority of an absolute form */
    struct gantry_view query; /* what follows the '?', as sent; data NULL: there was none */
    struct gantry_view host;  /* the Host field, or the authority of an absolute form */
    struct gantry_view origin;
    struct gantry_view fetch_site; /* Sec-Fetch-Site */
    struct gantry_view authorization;
    uint64_t body_len; /* Content-Length */
    bool chunked;      /* a Transfer-Encoding: the body's length is not known */
    bool expect;       /* the client waits for a 100 before it sends the body */
    bool keep_alive;
    int minor; /* HTTP/1.minor */
};

/** Parse a head up to and with its empty line. What is not plainly right is refused, for a parser
 * that guesses can be made to see another request than its neighbour saw. 0, or the HTTP status to
 * refuse it with (400, 505) and the reason in @p ret_why. Source: RFC 9112, sections 2 to 6. */
int gt_http_head_parse(struct gantry_view text, struct gt_http_head *ret, const char **ret_why);

#endif
