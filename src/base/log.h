/* SPDX-License-Identifier: Apache-2.0 */
/** The log: one event, one line, to standard error.
 *
 *  `2026-01-31T12:00:00.123Z INFO  worker   text key=value ...`. A line is written with one
 * write(2), so that lines of several threads never mix. Control characters in texts are shown as
 * \xNN; a line is cut at 8 KiB. Thread: any. */
#ifndef GT_BASE_LOG_H
#define GT_BASE_LOG_H

#include <gantry/connector.h>

/** Events below @p level are dropped. */
void gt_log_set_level(enum gantry_log_level level);
/** @p name: debug, info, warn, error. 0 or GANTRY_INVALID. */
int gt_log_level_parse(const char *name, enum gantry_log_level *ret);
bool gt_log_enabled(enum gantry_log_level level);
void gt_log(enum gantry_log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define gt_debug(component, ...) gt_log(GANTRY_LOG_DEBUG, component, __VA_ARGS__)
#define gt_info(component, ...)  gt_log(GANTRY_LOG_INFO, component, __VA_ARGS__)
#define gt_warn(component, ...)  gt_log(GANTRY_LOG_WARN, component, __VA_ARGS__)
#define gt_error(component, ...) gt_log(GANTRY_LOG_ERROR, component, __VA_ARGS__)

#endif
