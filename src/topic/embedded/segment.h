/* SPDX-License-Identifier: Apache-2.0 */
/** The bytes of a segment file: a header, then batches. Drawn in docs/formats/segment.md; nothing
 * else knows them. Thread: any. */
#ifndef GT_TOPIC_EMBEDDED_SEGMENT_H
#define GT_TOPIC_EMBEDDED_SEGMENT_H

#include "base/buf.h"
#include "convert/converter.h"
#include "store/tables.h"

enum {
    GT_SEGMENT_HEADER = 32,
    GT_BATCH_HEADER = 56,
    GT_BATCH_MAX = 256 << 20, /* bytes of one batch; a longer one is damage */
};

enum gt_compression { GT_COMPRESSION_NONE, GT_COMPRESSION_LZ4, GT_COMPRESSION_ZSTD };

/** By name: none, lz4, zstd. 0 or GANTRY_INVALID. */
int gt_compression_parse(const char *name, enum gt_compression *ret);

/** What a batch's header says. */
struct gt_batch_info {
    uint32_t length; /* bytes in the file, header included */
    int64_t base_offset;
    uint32_t count;
    enum gt_compression compression;
    int64_t first_ms, last_ms;
    uint32_t raw_length; /* bytes of the messages once decompressed */
};

void gt_segment_header_write(uint8_t out[GT_SEGMENT_HEADER], int64_t base_offset,
                             int64_t created_ms);
/** 0, or GANTRY_CORRUPT / GANTRY_VERSION with the reason (no file name) in @p err. */
int gt_segment_header_check(const void *data, size_t len, int64_t base_offset,
                            struct gantry_err *err);

/** Append one batch to @p out, with base offset 0 and no checksum yet. @p scratch is used when
 * compressing; a batch that compression does not make smaller is kept as it is. GANTRY_NO_MEMORY,
 * GANTRY_TOO_LARGE. */
int gt_batch_write(struct gt_buf *out, const struct gt_message *messages, size_t count,
                   enum gt_compression compression, struct gt_buf *scratch);
/** Fill in what is known only under the queue's lock. @p batch is the whole batch. */
void gt_batch_seal(char *batch, int64_t base_offset);

/** Read and check the header of the batch at @p data; @p len bytes are there. The checksum is not
 * looked at. 0, or GANTRY_CORRUPT / GANTRY_VERSION with the reason. */
int gt_batch_header_read(const void *data, size_t len, struct gt_batch_info *ret,
                         struct gantry_err *err);
/** Check the whole batch's checksum. 0 or GANTRY_CORRUPT. */
int gt_batch_check(const void *data, const struct gt_batch_info *info, struct gantry_err *err);
/** The messages; the array and decompressed bytes are in @p arena, views point into them or into @p
 * data. 0, GANTRY_CORRUPT, GANTRY_NO_MEMORY. */
int gt_batch_read(const void *data, const struct gt_batch_info *info, struct gt_arena *arena,
                  struct gt_message **ret, struct gantry_err *err);

/** The settled damage (`gantry topic repair --settle`) that holds byte @p at of a segment, or takes
 * no bytes there and ends behind @p offset, the offset reached; NULL: none. Who goes on at gap->to
 * and gap->end_offset gets ahead. */
const struct gt_gap_record *gt_gap_at(const struct gt_gap_record *gaps, size_t count,
                                      int64_t segment, int64_t at, int64_t offset);

#endif
