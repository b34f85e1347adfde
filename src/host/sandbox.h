/* SPDX-License-Identifier: Apache-2.0 */
/** What a host may not do, as far as the kernel can keep it from that. Called by the step that
 * becomes the host (exec.c), after PR_SET_NO_NEW_PRIVS; what is taken away is away for ever. */
#ifndef GT_HOST_SANDBOX_H
#define GT_HOST_SANDBOX_H

#include <gantry/error.h>

/** Landlock: files can be read below the paths of options `read=PATH` and `write=PATH` among @p
 * argv, and where programs and libraries are; written below those of `write=PATH`. Signals
 * reach no other process than its own children (Linux 6.12). 0, or
 * GANTRY_UNSUPPORTED where the kernel has no Landlock, GANTRY_IO. */
int gt_sandbox_files(int argc, char **argv, const char *program, struct gantry_err *err);
/** seccomp: calls that no connector needs (other processes' memory, mounts, modules, clocks, keys,
 * programs in the kernel) fail with EPERM. 0, GANTRY_UNSUPPORTED, GANTRY_IO. */
int gt_sandbox_calls(struct gantry_err *err);

#endif
