/* SPDX-License-Identifier: Apache-2.0 */
/** What can be set about hosts; the worker's settings that begin with `host.`. */
#ifndef GT_HOST_SETTINGS_H
#define GT_HOST_SETTINGS_H

#include "base/map.h"

/** Texts are borrowed and outlive the hosts. Times in ms, sizes in bytes. */
struct gt_hosts_settings {
    const char *binary; /* the program that is run for `host-exec` and `host`; NULL: our own */
    const char *worker; /* the worker's name, for HELLO */
    const struct gt_props *given; /* all settings, of which hosts get some; NULL: none */
    const char *share;            /* plugin | connector | all */
    const char *env;              /* NAME, PREFIX* or NAME=VALUE, separated by commas */
    int64_t beat_ms, beat_timeout_ms, start_timeout_ms, call_timeout_ms, idle_ms;
    int64_t memory_max; /* 0: no limit */
    int64_t record_max;
    int64_t log_lines; /* a second */
    int64_t files_max; /* open files of a host */
    bool landlock, seccomp;
    const char *read_paths, *write_paths; /* with landlock; NULL: none beside the needed ones */
    const char *java_home, *java_options, *java_jar, *java_library; /* NULL: looked for */
};

/** The defaults, as the table of the worker's settings has them. */
void gt_hosts_settings_default(struct gt_hosts_settings *settings);

#endif
