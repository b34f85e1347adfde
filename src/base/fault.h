/* SPDX-License-Identifier: Apache-2.0 */
/** Named points at which a test may make the process die or a system call fail. Built only with
 * -Dfaults=true; else every point is nothing.
 *
 *  GANTRY_FAULT holds entries separated by ';', each `ACTION:POINT[:N]`: from the N-th passage on
 * (1 by default; `once` actions only at the N-th). kill:POINT[:N]      _exit-like death (SIGKILL to
 * itself) at the N-th passage eio:POINT[:N]       the call fails with EIO at the N-th passage, once
 *    enospc:POINT[:N[:M]] the call fails with ENOSPC at passages N .. N+M-1 (M 1 by default)
 *    short:POINT[:N]     a write at the N-th passage writes half of its bytes
 *    skip:POINT          the call (a sync) is left out and reported as done, always
 *  Points are listed in docs/internals/faults.md. Thread: any. */
#ifndef GT_BASE_FAULT_H
#define GT_BASE_FAULT_H

#include <stddef.h>

enum gt_fault_action {
    GT_FAULT_NONE,
    GT_FAULT_EIO,
    GT_FAULT_ENOSPC,
    GT_FAULT_SHORT,
    GT_FAULT_SKIP
};

#ifdef GT_FAULTS
/** Pass the point; does not return when the point kills. */
enum gt_fault_action gt_fault(const char *point);
#else
static inline enum gt_fault_action gt_fault(const char *point)
{
    (void)point;
    return GT_FAULT_NONE;
}
#endif

#endif
