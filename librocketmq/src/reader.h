/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a JSON reply with the expectation of its shape. The first thing that is otherwise is kept
 * and ends all loops: read on without asking, and look at rmq_reader_end. */
#ifndef RMQ_READER_H
#define RMQ_READER_H

#include "json.h"

struct rmq_reader {
    struct rmq_json json;
    struct rmq_buf texts; /* the strings, NUL-terminated; never moves */
    int rc;
};

/* The views of body must stay. Objects and numbers are accepted as keys. */
void rmq_reader_init(struct rmq_reader *reader, struct rmq_view body);
/* 0 | RMQ_MALFORMED, RMQ_NO_MEMORY. what: begins the error's text. */
int rmq_reader_end(struct rmq_reader *reader, const char *what, struct rmq_err *err);
void rmq_reader_deinit(struct rmq_reader *reader);

/* The value is an object (array): enter it. null counts as empty: false. */
bool rmq_read_object(struct rmq_reader *reader);
bool rmq_read_array(struct rmq_reader *reader);
/* The next key of the object entered last; false behind the last, and after an error. */
bool rmq_read_key(struct rmq_reader *reader);
bool rmq_read_key_is(const struct rmq_reader *reader, const char *name);
/* The key just read as a string that lives as long as the reader; NULL after an error. */
const char *rmq_read_key_text(struct rmq_reader *reader);
/* The next item of the array entered last, which must be an object: entered. */
bool rmq_read_item_object(struct rmq_reader *reader);
/* The next item, which must be a string; NULL behind the last, and after an error. */
const char *rmq_read_item_string(struct rmq_reader *reader);
/* The value as text (NULL for null), as a number from min to max. */
const char *rmq_read_string(struct rmq_reader *reader);
int64_t rmq_read_int(struct rmq_reader *reader, int64_t min, int64_t max);
bool rmq_read_bool(struct rmq_reader *reader);
void rmq_read_skip(struct rmq_reader *reader);
void rmq_read_fail(struct rmq_reader *reader, int rc, const char *problem);

/* Room for one more item in an array that doubles. items is NULL or from here; false: it is as
 * before, and the reader has failed with RMQ_NO_MEMORY. */
bool rmq_read_grow(struct rmq_reader *reader, void *items, size_t count, size_t item_size);

#endif
