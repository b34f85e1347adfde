/* SPDX-License-Identifier: Apache-2.0 */
/* A pull parser for JSON as RocketMQ servers write it: standard JSON, and in lenient mode also
 * numbers and whole objects as keys. Nothing is allocated; strings come out as they stand between
 * their quotes, and json_unescape makes them plain. */
#ifndef RMQ_JSON_H
#define RMQ_JSON_H

#include "internal.h"

enum { RMQ_JSON_DEPTH = 32 };

enum rmq_json_kind {
    RMQ_JSON_ERROR,
    RMQ_JSON_END, /* of the object or array entered last */
    RMQ_JSON_NULL,
    RMQ_JSON_FALSE,
    RMQ_JSON_TRUE,
    RMQ_JSON_NUMBER,
    RMQ_JSON_STRING,
    RMQ_JSON_OBJECT, /* entered: go on with rmq_json_key */
    RMQ_JSON_ARRAY   /* entered: go on with rmq_json_item */
};

struct rmq_json {
    const char *at, *end;
    bool lenient;
    bool first; /* nothing of the innermost one has been read */
    int depth;
    const char *problem; /* set with RMQ_JSON_ERROR */
    /* the last value or key */
    struct rmq_view text; /* NUMBER: its characters; STRING: between the quotes */
    bool escaped;         /* STRING holds a backslash */
};

void rmq_json_init(struct rmq_json *json, struct rmq_view text, bool lenient);
/* The value at hand: the whole text's, or that of the key just read. */
enum rmq_json_kind rmq_json_value(struct rmq_json *json);
/* Next key of the object entered: RMQ_JSON_STRING, RMQ_JSON_NUMBER or (text: the whole key)
 * RMQ_JSON_OBJECT in lenient mode, RMQ_JSON_END behind the last. */
enum rmq_json_kind rmq_json_key(struct rmq_json *json);
/* Next value of the array entered, or RMQ_JSON_END. */
enum rmq_json_kind rmq_json_item(struct rmq_json *json);
/* Skip what kind began. false on an error. */
bool rmq_json_skip(struct rmq_json *json, enum rmq_json_kind kind);
/* Nothing but blanks is left. */
bool rmq_json_done(struct rmq_json *json);
/* Append the text without escapes; never longer than raw. 0 | RMQ_MALFORMED | as rmq_buf. */
int rmq_json_unescape(struct rmq_view raw, struct rmq_buf *buf);
/* Append a quoted and escaped string. */
int rmq_json_quote(struct rmq_view text, struct rmq_buf *buf);

#endif
