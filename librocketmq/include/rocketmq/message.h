/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on the wire: the properties string, batch bodies of a send, stored messages of a pull
 * and compressed bodies. No I/O. */
#ifndef ROCKETMQ_MESSAGE_H
#define ROCKETMQ_MESSAGE_H

#include <rocketmq/command.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RMQ_SYS_COMPRESSED = 1,
    RMQ_SYS_BORN_IPV6 = 16,
    RMQ_SYS_STORE_IPV6 = 32,
    RMQ_SYS_INNER_BATCH = 64,
    RMQ_SYS_COMPRESSION_MASK = 0x700,
    RMQ_BODY_MAX = 4 << 20, /* of a message, and of a batch as a whole */
    RMQ_PROPERTIES_MAX = 32767
};

enum rmq_compression {
    RMQ_COMPRESSION_NONE = 0,
    RMQ_COMPRESSION_LZ4 = 0x100,
    RMQ_COMPRESSION_ZSTD = 0x200,
    RMQ_COMPRESSION_ZLIB = 0x300
};

/* --- properties: name U+0001 value U+0002 ... --- */

/* Append one. RMQ_INVALID: name or value is empty or holds U+0001 or U+0002. */
int rmq_properties_add(struct rmq_buf *buf, struct rmq_view name, struct rmq_view value,
                       struct rmq_err *err);
/* Take the next one from *rest: true, and *ret is filled; pieces that are none are left out. */
bool rmq_properties_next(struct rmq_view *rest, struct rmq_field *ret);
/* The first of this name (a stored message may carry a name twice); data NULL when absent. */
struct rmq_view rmq_properties_get(struct rmq_view properties, struct rmq_view name);

/* --- the body of a batch send --- */

struct rmq_batch_item {
    int32_t magic;
    int32_t body_crc;
    int32_t flag;
    struct rmq_view body;       /* may be empty */
    struct rmq_view properties; /* encoded */
};

/* Append one message. RMQ_TOO_LARGE: properties above 32,767 bytes, or the buffer is full. */
int rmq_batch_add(struct rmq_buf *buf, const struct rmq_batch_item *item, struct rmq_err *err);
/* 1 an item | 0 the end | RMQ_MALFORMED. */
int rmq_batch_next(struct rmq_view *rest, struct rmq_batch_item *ret, struct rmq_err *err);

/* --- messages as the broker stores them --- */

struct rmq_host {
    uint8_t ip[16];
    uint8_t ip_len; /* 4 or 16 */
    int32_t port;
};

struct rmq_message {
    int32_t queue_id;
    int32_t flag;
    int32_t sys_flag;
    int32_t body_crc; /* of the stored body, top bit clear */
    int32_t reconsume_times;
    int64_t queue_offset;
    int64_t physical_offset;
    int64_t born_ms;
    int64_t store_ms;
    int64_t prepared_offset;
    struct rmq_host born_host;
    struct rmq_host store_host;
    struct rmq_view body; /* as stored: maybe compressed */
    struct rmq_view topic;
    struct rmq_view properties; /* encoded */
};

/* 1 a message, whose views point into *rest's bytes | 0 the end | RMQ_MALFORMED. */
int rmq_message_next(struct rmq_view *rest, struct rmq_message *ret, struct rmq_err *err);
/* 0 | RMQ_CORRUPT: the stored body does not have the checksum. */
int rmq_message_check(const struct rmq_message *message, struct rmq_err *err);
/* Make body the plain one. When it is compressed the bytes go to buf (emptied first; its maximum
 * bounds them) and the compression bits are cleared. 0 | RMQ_CORRUPT | RMQ_TOO_LARGE | ... */
int rmq_message_inflate(struct rmq_message *message, struct rmq_buf *buf, struct rmq_err *err);
/* Append the compressed body. *ret_sys_flag: bits to set in a send. level 0: the usual one. */
int rmq_body_deflate(enum rmq_compression how, int level, struct rmq_view body, struct rmq_buf *buf,
                     int32_t *ret_sys_flag, struct rmq_err *err);

/* The id that offsets-based tools use: hex of store host and commit-log offset, NUL-terminated. */
void rmq_message_id(const struct rmq_message *message, char ret[57]);
/* Java's String.hashCode of a tag in UTF-8, as brokers filter by. Bytes that are no UTF-8 count as
 * U+FFFD. */
int32_t rmq_tag_hash(struct rmq_view tag);

#ifdef __cplusplus
}
#endif
#endif
