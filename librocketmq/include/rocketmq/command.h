/* SPDX-License-Identifier: Apache-2.0 */
/* One frame of the remoting protocol: a header (code, fields, ...) and a body, in both header
 * codecs, and the reader that cuts a stream into frames. No I/O, no state but the caller's. */
#ifndef ROCKETMQ_COMMAND_H
#define ROCKETMQ_COMMAND_H

#include <rocketmq/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Request codes. */
enum rmq_request_code {
    RMQ_SEND_MESSAGE = 10,
    RMQ_PULL_MESSAGE = 11,
    RMQ_QUERY_CONSUMER_OFFSET = 14,
    RMQ_UPDATE_CONSUMER_OFFSET = 15,
    RMQ_UPDATE_AND_CREATE_TOPIC = 17,
    RMQ_GET_ALL_TOPIC_CONFIG = 21,
    RMQ_SEARCH_OFFSET_BY_TIMESTAMP = 29,
    RMQ_GET_MAX_OFFSET = 30,
    RMQ_GET_MIN_OFFSET = 31,
    RMQ_GET_EARLIEST_STORE_TIME = 32,
    RMQ_HEART_BEAT = 34,
    RMQ_UNREGISTER_CLIENT = 35,
    RMQ_CONSUMER_SEND_BACK = 36,
    RMQ_END_TRANSACTION = 37,
    RMQ_GET_CONSUMER_LIST = 38,
    RMQ_CHECK_TRANSACTION = 39,
    RMQ_NOTIFY_CONSUMERS_CHANGED = 40,
    RMQ_LOCK_BATCH = 41,
    RMQ_UNLOCK_BATCH = 42,
    RMQ_GET_ALL_CONSUMER_OFFSET = 43,
    RMQ_GET_ROUTE = 105,
    RMQ_GET_CLUSTER_INFO = 106,
    RMQ_UPDATE_GROUP = 200,
    RMQ_GET_ALL_GROUP_CONFIG = 201,
    RMQ_GET_TOPIC_STATS = 202,
    RMQ_GET_ALL_TOPICS = 206,
    RMQ_DELETE_GROUP = 207,
    RMQ_DELETE_TOPIC_IN_BROKER = 215,
    RMQ_DELETE_TOPIC_IN_NAMESRV = 216,
    RMQ_RESET_CLIENT_OFFSET = 220,
    RMQ_INVOKE_RESET_OFFSET = 222,
    RMQ_GET_RUNNING_INFO = 307,
    RMQ_SEND_MESSAGE_V2 = 310,
    RMQ_SEND_BATCH = 320,
    RMQ_LITE_PULL_MESSAGE = 361
};

/* Codes of replies. */
enum rmq_reply_code {
    RMQ_REPLY_SUCCESS = 0,
    RMQ_REPLY_SYSTEM_ERROR = 1,
    RMQ_REPLY_SYSTEM_BUSY = 2,
    RMQ_REPLY_NOT_SUPPORTED = 3,
    RMQ_REPLY_FLUSH_DISK_TIMEOUT = 10,
    RMQ_REPLY_SLAVE_NOT_AVAILABLE = 11,
    RMQ_REPLY_FLUSH_SLAVE_TIMEOUT = 12,
    RMQ_REPLY_MESSAGE_ILLEGAL = 13,
    RMQ_REPLY_SERVICE_NOT_AVAILABLE = 14,
    RMQ_REPLY_NO_PERMISSION = 16,
    RMQ_REPLY_TOPIC_NOT_EXIST = 17,
    RMQ_REPLY_PULL_NOT_FOUND = 19,
    RMQ_REPLY_PULL_RETRY_IMMEDIATELY = 20,
    RMQ_REPLY_PULL_OFFSET_MOVED = 21,
    RMQ_REPLY_QUERY_NOT_FOUND = 22,
    RMQ_REPLY_FLOW_CONTROL = 215
};

enum {
    RMQ_FLAG_REPLY = 1,
    RMQ_FLAG_ONEWAY = 2,
    RMQ_LANGUAGE_OTHER = 7,
    RMQ_LANGUAGE_UNKNOWN = 255,   /* a name that this library does not know */
    RMQ_PROTOCOL_VERSION = 479,   /* as 5.3.3: what the broker may answer depends on it */
    RMQ_FRAME_MAX = 16777212 + 4, /* with its length field; what a 5.3.3 server takes */
    RMQ_FIELDS_MAX = 64
};

enum rmq_codec { RMQ_CODEC_JSON = 0, RMQ_CODEC_BINARY = 1 };

struct rmq_field {
    struct rmq_view name;
    struct rmq_view value;
};

/* What is in a frame. Views are borrowed: after decoding from the frame and from scratch. */
struct rmq_command {
    enum rmq_codec codec;
    int32_t code;
    int32_t opaque;
    int32_t flag;
    int32_t version;
    uint8_t language;
    bool has_remark;
    struct rmq_view remark;
    bool has_fields; /* JSON tells "no fields" from "none in an object" */
    size_t field_count;
    struct rmq_field fields[RMQ_FIELDS_MAX];
    struct rmq_view body;
    size_t number_len;
    char numbers[512];      /* text of rmq_command_add_int */
    struct rmq_buf scratch; /* owned: JSON strings without their escapes */
};

/* A request of this code, with no field. Frees nothing: call deinit on a used one first. */
void rmq_command_init(struct rmq_command *command, int32_t code);
void rmq_command_deinit(struct rmq_command *command);

/* Adding past RMQ_FIELDS_MAX is a programming error and asserted. name and value are borrowed. */
void rmq_command_add(struct rmq_command *command, const char *name, struct rmq_view value);
void rmq_command_add_str(struct rmq_command *command, const char *name, const char *value);
void rmq_command_add_int(struct rmq_command *command, const char *name, int64_t value);

/* The field's value; its data is NULL when there is no such field. */
struct rmq_view rmq_command_get(const struct rmq_command *command, const char *name);
/* 0 | RMQ_NOT_FOUND | RMQ_MALFORMED not a decimal i64. */
int rmq_command_get_int(const struct rmq_command *command, const char *name, int64_t *ret);

/* Append the whole frame, body included. 0 | RMQ_INVALID a value the codec cannot carry |
 * RMQ_TOO_LARGE | RMQ_NO_MEMORY; on failure the buffer is as before. */
int rmq_command_encode(const struct rmq_command *command, struct rmq_buf *buf, struct rmq_err *err);
/* As encode, but with body_len bytes of body to be appended by the caller right behind. */
int rmq_command_encode_head(const struct rmq_command *command, size_t body_len, struct rmq_buf *buf,
                            struct rmq_err *err);

/* Decode one whole frame (length field included). command must be initialized; it may be a used
 * one. 0 | RMQ_MALFORMED | RMQ_NO_MEMORY. Every input is one of these. */
int rmq_command_decode(struct rmq_command *command, struct rmq_view frame, struct rmq_err *err);

/* Cuts a stream into frames. */
struct rmq_frame_reader {
    struct rmq_buf buf;
    size_t start; /* first byte not yet handed out */
    size_t limit; /* largest frame, length field included */
};

void rmq_frame_reader_init(struct rmq_frame_reader *reader, size_t limit);
void rmq_frame_reader_deinit(struct rmq_frame_reader *reader);
/* Room to read into, at least 1 byte. Ends the life of frames handed out before. Memory grows with
 * what has arrived, not with what a frame claims. 0 | RMQ_NO_MEMORY. */
int rmq_frame_reader_space(struct rmq_frame_reader *reader, char **ret_data, size_t *ret_len);
/* len bytes have been put there. */
void rmq_frame_reader_filled(struct rmq_frame_reader *reader, size_t len);
/* 1 a whole frame in *ret, valid until the next _space | 0 more bytes are needed | RMQ_MALFORMED a
 * length that is below 4 or above the limit: the stream cannot be read on. */
int rmq_frame_reader_next(struct rmq_frame_reader *reader, struct rmq_view *ret,
                          struct rmq_err *err);

#ifdef __cplusplus
}
#endif
#endif
