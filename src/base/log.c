/* SPDX-License-Identifier: Apache-2.0 */
/* The log. The line is built on the stack and leaves in one write(2): nothing is shared but the
 * level. */
#include "base/log.h"

#include "base/view.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

static _Atomic int log_level = GANTRY_LOG_INFO;

static const char *const level_names[] = {
    [GANTRY_LOG_DEBUG] = "debug",
    [GANTRY_LOG_INFO] = "info",
    [GANTRY_LOG_WARN] = "warn",
    [GANTRY_LOG_ERROR] = "error",
};
static const char *const level_labels[] = {
    [GANTRY_LOG_DEBUG] = "DEBUG",
    [GANTRY_LOG_INFO] = "INFO ",
    [GANTRY_LOG_WARN] = "WARN ",
    [GANTRY_LOG_ERROR] = "ERROR",
};

void gt_log_set_level(enum gantry_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

int gt_log_level_parse(const char *name, enum gantry_log_level *ret)
{
    for (int i = GANTRY_LOG_DEBUG; i <= GANTRY_LOG_ERROR; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *ret = (enum gantry_log_level)i;
            return GANTRY_OK;
        }
    }
    return GANTRY_INVALID;
}

bool gt_log_enabled(enum gantry_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* "2026-01-31T12:00:00.123Z INFO  worker   "; returns its length. */
static size_t put_head(char *line, size_t room, enum gantry_log_level level, const char *component)
{
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)gmtime_r(&now.tv_sec, &tm);          /* fails only beyond the year 2^31 */
    int len = snprintf(line, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %-8.32s ",
                       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                       tm.tm_sec, (int)(now.tv_nsec / 1000000), level_labels[level], component);
    return len > 0 ? (size_t)len : 0;
}

/* Copy @p text with control characters as \xNN; returns the new length. */
static size_t put_text(char *line, size_t len, const char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (len + 4 >= LINE_MAX_BYTES) {
            memcpy(line + len - 3, "...", 3);
            break;
        }
        if (c >= 0x20 && c != 0x7f) {
            line[len++] = (char)c;
            continue;
        }
        line[len++] = '\\';
        line[len++] = 'x';
        line[len++] = digits[c >> 4];
        line[len++] = digits[c & 15];
    }
    return len;
}

void gt_log(enum gantry_log_level level, const char *component, const char *format, ...)
{
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
    int saved = errno;
    va_list args;

    if (!gt_log_enabled(level))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a cut text is still a text */
    va_end(args);
    size_t len = put_head(line, sizeof line, level, component);
    len = put_text(line, len, text);
    line[len++] = '\n';
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, len);
    } while (written < 0 &&
             errno == EINTR); /* other failures: there is no place left to report them to */
    errno = saved;
}
