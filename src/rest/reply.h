/* SPDX-License-Identifier: Apache-2.0 */
/** A reply: what a dialect fills and a connection sends. One is reused by all connections of a
 * listener. Thread: the listener's. */
#ifndef GT_REST_REPLY_H
#define GT_REST_REPLY_H

#include "base/buf.h"

enum { GT_REPLY_BODY_MAX = 256 << 20, GT_REPLY_HEAD_MAX = 4096 };

struct gt_reply {
    int status;
    const char *reason;       /* static */
    const char *content_type; /* static */
    const char *server;       /* static; NULL: no Server field */
    const char *fields;       /* static further fields, each with its line end; "": none */
    bool bare;                /* as Jetty's error pages: no Date, Server last, connection closed */
    bool head_only;           /* asked with HEAD: no body follows. Set by the connection */
    char error[1600];         /* X-Gantry-Error, encoded; "": none */
    struct gt_buf body;
};

void gt_reply_init(struct gt_reply *reply);
void gt_reply_deinit(struct gt_reply *reply);
/** Make it an empty 200 of text/plain; keeps the body's memory unless it is large. */
void gt_reply_reset(struct gt_reply *reply);

/** Status (with its usual reason phrase) and text. */
void gt_reply_text(struct gt_reply *reply, int status, const char *text);
/** Put a reason into X-Gantry-Error: percent-encoded where it is not printable ASCII, and '%'
 * itself. */
void gt_reply_set_error(struct gt_reply *reply, const char *text);
/** The usual reason phrase of a status that this server sends. */
const char *gt_reply_reason(int status);

/** Write status line and fields to @p to (GT_REPLY_HEAD_MAX bytes). @p connection: "close",
 * "keep-alive", or NULL for no such field; @p now: seconds since 1970. Returns the length. */
size_t gt_reply_format_head(const struct gt_reply *reply, const char *connection, int64_t now,
                            char *to);

#endif
