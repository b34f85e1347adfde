/* SPDX-License-Identifier: Apache-2.0 */
/* A host's text. See errlog.h. */
#include "host/errlog.h"

#include "base/log.h"
#include <stdlib.h>

void gt_errlog_init(struct gt_errlog *log, const char *host, int64_t rate)
{
    *log = (struct gt_errlog){.host = host, .rate = rate};
}

void gt_errlog_deinit(struct gt_errlog *log)
{
    for (size_t i = 0; i < GT_ERRLOG_KEPT; i++)
        free(log->kept[i]);
    *log = (struct gt_errlog){.host = log->host, .rate = log->rate};
}

static void tell_dropped(struct gt_errlog *log)
{
    if (log->dropped > 0)
        gt_warn("host", "%lld lines dropped, more than %lld a second (host.log.lines) host=%s",
                (long long)log->dropped, (long long)log->rate, log->host);
    log->dropped = 0;
}

void gt_errlog_tick(struct gt_errlog *log, int64_t now_ms)
{
    if (now_ms - log->second_ms < 1000)
        return;
    tell_dropped(log);
    log->second_ms = now_ms;
    log->lines = 0;
}

bool gt_errlog_allow(struct gt_errlog *log, int64_t now_ms)
{
    gt_errlog_tick(log, now_ms);
    if (log->lines >= log->rate) {
        log->dropped++;
        return false;
    }
    log->lines++;
    return true;
}

static void end_line(struct gt_errlog *log, int64_t now_ms)
{
    while (log->len > 0 && (log->line[log->len - 1] == '\r' || log->line[log->len - 1] == ' '))
        log->len--;
    if (log->len == 0)
        return;
    if (gt_errlog_allow(log, now_ms))
        gt_info("host", "%.*s host=%s", (int)log->len, log->line, log->host);
    char *copy = strndup(log->line, log->len);
    log->len = 0;
    if (copy == NULL)
        return; /* a line less in a reason */
    free(log->kept[log->next]);
    log->kept[log->next] = copy;
    log->next = (log->next + 1) % GT_ERRLOG_KEPT;
}

/* A line that is too long is cut into several. */
void gt_errlog_feed(struct gt_errlog *log, const char *data, size_t len, int64_t now_ms)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n')
            log->line[log->len++] = data[i];
        if (data[i] == '\n' || log->len == sizeof log->line)
            end_line(log, now_ms);
    }
}

void gt_errlog_end(struct gt_errlog *log, int64_t now_ms)
{
    end_line(log, now_ms);
    tell_dropped(log);
}

void gt_errlog_last(const struct gt_errlog *log, char *out, size_t size)
{
    char all[GT_ERRLOG_KEPT * (GT_ERRLOG_LINE + 4)];
    size_t len = 0;
    for (size_t i = 0; i < GT_ERRLOG_KEPT; i++) {
        const char *line = log->kept[(log->next + i) % GT_ERRLOG_KEPT];
        if (line != NULL)
            len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", len > 0 ? " | " : "",
                                    line); /* fits */
    }
    all[len] = '\0';
    bool cut = len >= size;
    (void)snprintf(out, size, "%s%s", cut ? "..." : "", cut ? all + len - (size - 4) : all);
}
