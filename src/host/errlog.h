/* SPDX-License-Identifier: Apache-2.0 */
/** A host's text on its way into the worker's log: cut into lines, so many a second at most, and
 * the last lines kept for the reason of a failure. Thread: one at a time. */
#ifndef GT_HOST_ERRLOG_H
#define GT_HOST_ERRLOG_H

#include "base/view.h"
#include <gantry/connector.h>

enum { GT_ERRLOG_KEPT = 6, GT_ERRLOG_LINE = 1000 };

struct gt_errlog {
    const char *host; /* borrowed; for the log */
    int64_t rate;     /* lines a second */
    int64_t second_ms, lines, dropped;
    char line[GT_ERRLOG_LINE]; /* that has no end yet */
    size_t len;
    char *kept[GT_ERRLOG_KEPT]; /* owned; a ring */
    size_t next;
};

void gt_errlog_init(struct gt_errlog *log, const char *host, int64_t rate);
void gt_errlog_deinit(struct gt_errlog *log);
/** Whether one more line may be logged now; lines that may not are counted. */
bool gt_errlog_allow(struct gt_errlog *log, int64_t now_ms);
/** Bytes of standard error. */
void gt_errlog_feed(struct gt_errlog *log, const char *data, size_t len, int64_t now_ms);
/** The last line, though it has no end; and how many were dropped. */
void gt_errlog_end(struct gt_errlog *log, int64_t now_ms);
/** Tell of lines that were dropped, once the second is over. */
void gt_errlog_tick(struct gt_errlog *log, int64_t now_ms);
/** The last lines, the newest last: "a | b", cut at the front; "" when there are none. */
void gt_errlog_last(const struct gt_errlog *log, char *out, size_t size);

#endif
