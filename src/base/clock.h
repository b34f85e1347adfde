/* SPDX-License-Identifier: Apache-2.0 */
/** Time. Thread: any. */
#ifndef GT_BASE_CLOCK_H
#define GT_BASE_CLOCK_H

#include <stdint.h>

/** Milliseconds since 1970 UTC. */
int64_t gt_clock_wall_ms(void);
/** Nanoseconds of a clock that never goes back. */
int64_t gt_clock_mono_ns(void);
/** Milliseconds of a clock that never goes back and goes on while the machine sleeps. */
int64_t gt_clock_boot_ms(void);

#endif
