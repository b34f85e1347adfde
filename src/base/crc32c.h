/* SPDX-License-Identifier: Apache-2.0 */
/** CRC-32C (Castagnoli), with the processor's instruction where there is one. Thread: any. */
#ifndef GT_BASE_CRC32C_H
#define GT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** Continue @p crc (0 to begin) over @p len bytes. The CRC of "123456789" is 0xe3069283. */
uint32_t gt_crc32c(uint32_t crc, const void *data, size_t len);

#endif
