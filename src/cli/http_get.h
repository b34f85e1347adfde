/* SPDX-License-Identifier: Apache-2.0 */
/** A small HTTP client: one GET, one reply, one connection. Blocks, with a deadline for the whole.
 * Thread: any. */
#ifndef GT_CLI_HTTP_GET_H
#define GT_CLI_HTTP_GET_H

#include "base/buf.h"

struct gt_http_target {
    const char *address; /* numeric IPv4 or IPv6; the wildcards mean loopback */
    int port;
    const char *token; /* NULL: none */
};

struct gt_http_reply {
    int status;
    struct gt_buf body; /* NUL-terminated */
    struct gt_buf why;  /* X-Gantry-Error, decoded; empty: none */
};

void gt_http_reply_init(struct gt_http_reply *reply);
void gt_http_reply_deinit(struct gt_http_reply *reply);

/** GET @p path (with its query, encoded). 0; GANTRY_IO, GANTRY_TIMEOUT after @p timeout_ms,
 * GANTRY_CORRUPT (no HTTP reply), GANTRY_TOO_LARGE, GANTRY_NO_MEMORY; the text names address and
 * port. */
int gt_http_get(const struct gt_http_target *target, const char *path, int timeout_ms,
                struct gt_http_reply *reply, struct gantry_err *err);

/** Append @p text as it may stand in a path segment or query value: all but letters, digits and
 * -._~ as %XX. */
int gt_http_escape(struct gt_buf *buf, const char *text);

#endif
