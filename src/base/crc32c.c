/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C three ways, chosen at the first call: the instruction of x86-64 (SSE 4.2), that of ARMv8,
 * or tables.
 *
 * The instruction takes 8 bytes with a latency of 3 cycles and a throughput of 1, so long inputs
 * are cut into three lanes that run side by side. A lane's CRC is moved over the bytes of the lane
 * behind it (as if those were zeros) with a table for each of the two lane lengths, and combined by
 * XOR. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL UINT32_C(0x82f63b78) /* bit-reversed */

enum { LONG_LANE = 4096, SHORT_LANE = 256 };

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t len);

static uint32_t tables[8][256]; /* tables[k][b]: the byte b followed by k zero bytes */

static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xff];
    }
}

static inline uint64_t load64(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

static uint32_t update_tables(uint32_t crc, const uint8_t *data, size_t len)
{
    for (; len >= 8; data += 8, len -= 8) {
        uint32_t low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                              (uint32_t)data[3] << 24);
        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
              tables[4][low >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^
              tables[0][data[7]];
    }
    for (; len > 0; data++, len--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xff];
    return crc;
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define WITH_CRC __attribute__((target("sse4.2")))

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

WITH_CRC static inline uint64_t step8(uint64_t crc, uint64_t word)
{
    return __builtin_ia32_crc32di(crc, word);
}

WITH_CRC static inline uint64_t step1(uint64_t crc, uint8_t byte)
{
    return __builtin_ia32_crc32qi((uint32_t)crc, byte);
}
#else
#define WITH_CRC

static bool has_instruction(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

/* Written as assembly: gcc and clang name their intrinsics differently and want the whole file
 * built for them. */
static inline uint64_t step8(uint64_t crc, uint64_t word)
{
    uint32_t out;
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %x2"
            : "=r"(out)
            : "r"((uint32_t)crc), "r"(word));
    return out;
}

static inline uint64_t step1(uint64_t crc, uint8_t byte)
{
    uint32_t out;
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w1, %w2"
            : "=r"(out)
            : "r"((uint32_t)crc), "r"((uint32_t)byte));
    return out;
}
#endif

static uint32_t long_shift[4][256], short_shift[4][256];

/* The table that moves a CRC over @p len zero bytes: CRCs are linear, so 32 single bits give all
 * the values. */
static void fill_shift(uint32_t shift[4][256], size_t len)
{
    uint32_t moved[32];

    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = UINT32_C(1) << bit;
        for (size_t i = 0; i < len; i++)
            crc = (crc >> 8) ^ tables[0][crc & 0xff];
        moved[bit] = crc;
    }
    for (int k = 0; k < 4; k++) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = 0;
            for (int bit = 0; bit < 8; bit++)
                crc ^= (i >> bit & 1) != 0 ? moved[8 * k + bit] : 0;
            shift[k][i] = crc;
        }
    }
}

static inline uint64_t move_over(uint32_t shift[4][256], uint64_t crc)
{
    return shift[0][crc & 0xff] ^ shift[1][crc >> 8 & 0xff] ^ shift[2][crc >> 16 & 0xff] ^
           shift[3][crc >> 24 & 0xff];
}

/* Three lanes of @p lane bytes each. */
WITH_CRC static inline uint64_t update_lanes(uint64_t crc, const uint8_t *data, size_t lane,
                                             uint32_t shift[4][256])
{
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < lane; i += 8) {
        crc = step8(crc, load64(data + i));
        second = step8(second, load64(data + lane + i));
        third = step8(third, load64(data + 2 * lane + i));
    }
    crc = move_over(shift, crc) ^ second;
    return move_over(shift, crc) ^ third;
}

WITH_CRC static uint32_t update_instruction(uint32_t start, const uint8_t *data, size_t len)
{
    uint64_t crc = start;

    for (; len >= 3 * LONG_LANE; data += 3 * LONG_LANE, len -= 3 * LONG_LANE)
        crc = update_lanes(crc, data, LONG_LANE, long_shift);
    for (; len >= 3 * SHORT_LANE; data += 3 * SHORT_LANE, len -= 3 * SHORT_LANE)
        crc = update_lanes(crc, data, SHORT_LANE, short_shift);
    for (; len >= 8; data += 8, len -= 8)
        crc = step8(crc, load64(data));
    for (; len > 0; data++, len--)
        crc = step1(crc, *data);
    return (uint32_t)crc;
}
#endif

static void prepare(void)
{
    fill_tables();
    update = update_tables;
#if defined(__x86_64__) || defined(__aarch64__)
    if (has_instruction()) {
        fill_shift(long_shift, LONG_LANE);
        fill_shift(short_shift, SHORT_LANE);
        update = update_instruction;
    }
#endif
}

uint32_t gt_crc32c(uint32_t crc, const void *data, size_t len)
{
    (void)pthread_once(&prepared, prepare);
    return ~update(~crc, data, len);
}
