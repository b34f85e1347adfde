/* SPDX-License-Identifier: Apache-2.0 */
/** The worker's fault points, for builds that test crashes (GT_FAULTS) and have this connector
 * built in. A connector sees no header of the worker, so the one function is declared here again;
 * elsewhere every point is nothing. */
#ifndef FILE_FAULTS_H
#define FILE_FAULTS_H

enum gt_fault_action {
    GT_FAULT_NONE,
    GT_FAULT_EIO,
    GT_FAULT_ENOSPC,
    GT_FAULT_SHORT,
    GT_FAULT_SKIP
};

#ifdef GT_FAULTS
extern enum gt_fault_action gt_fault(const char *point);
#else
static inline enum gt_fault_action gt_fault(const char *point)
{
    (void)point;
    return GT_FAULT_NONE;
}
#endif

#endif
