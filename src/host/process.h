/* SPDX-License-Identifier: Apache-2.0 */
/** A host's process: how it is started, and with what rights.
 *
 *  It is started by way of a small step of our own program (`gantry host-exec`), which, still
 * single-threaded, gives up rights, ties itself to the worker's life, closes what it inherited, and
 * only then becomes the host. So nothing of this has to be done between fork and exec of a process
 * with many threads. */
#ifndef GT_HOST_PROCESS_H
#define GT_HOST_PROCESS_H

#include "host/settings.h"
#include <sys/types.h>

struct gt_process {
    pid_t pid;  /* leads a process group of its own */
    int line;   /* our end of its standard input and output; not blocking */
    int errors; /* our end of its standard error; not blocking */
};

/** Start @p argv (NULL-terminated; the first is looked for in PATH) as a host, in @p folder (NULL:
 * the worker's). @p text_out: its standard output is for text, as standard error; the line is
 * standard input alone. @p files: NULL-terminated, what it must be able to read, for the sandbox.
 * @p name: a last word, by which a list of processes tells hosts apart; NULL: none.
 * 0; else nothing is left behind: GANTRY_IO or GANTRY_NO_MEMORY. That the program is not there
 * shows as an early exit, with a line on standard error. Thread: one that lives as long as the
 * process. */
int gt_process_start(const struct gt_hosts_settings *settings, const char *const *argv,
                     const char *folder, bool text_out, const char *const *files, const char *name,
                     struct gt_process *ret, struct gantry_err *err);

/** The bytes of memory that the process uses alone, and its part of what it shares; -1: unknown. */
int64_t gt_process_memory(pid_t pid);

/** "was ended by signal 11 (Segmentation fault)", "exited with code 3". @p status: from waitpid. */
void gt_process_describe(int status, char *out, size_t size);

/** The command `gantry host-exec`: @p argc words behind it. Returns an exit status only when it
 * could not become the host. */
int gt_process_exec(int argc, char **argv);

#endif
