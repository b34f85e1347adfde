/* SPDX-License-Identifier: Apache-2.0 */
/** Records and batches: what flows between a connector and the runtime.
 *
 *  A record is one typed datum with key, headers and timestamp. Records travel in batches only; a
 * batch owns an arena in which a source may put what its records point to. All pointers in a record
 * are views: a source keeps them valid until its next call (memory of the batch's arena is), the
 * runtime keeps them valid during put(). */
#ifndef GANTRY_RECORD_H
#define GANTRY_RECORD_H

#include <gantry/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Borrowed bytes; not NUL-terminated. `data` may be NULL only when `len` is 0. */
struct gantry_view {
    const char *data;
    size_t len;
};

static inline struct gantry_view gantry_view_of(const char *text)
{
    struct gantry_view view = {text, text != NULL ? strlen(text) : 0};
    return view;
}

static inline bool gantry_view_equal(struct gantry_view a, struct gantry_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The types of the OpenMessaging connector API, in its order. */
enum gantry_type {
    GANTRY_TYPE_INT32,
    GANTRY_TYPE_INT64,
    GANTRY_TYPE_BIG_INTEGER,
    GANTRY_TYPE_FLOAT32,
    GANTRY_TYPE_FLOAT64,
    GANTRY_TYPE_BOOLEAN,
    GANTRY_TYPE_STRING,
    GANTRY_TYPE_BYTES,
    GANTRY_TYPE_ARRAY,
    GANTRY_TYPE_MAP,
    GANTRY_TYPE_DATETIME,
};

struct gantry_field {
    const char *name;
    enum gantry_type type;
};

/** What a record's fields are. Lives as long as the task that points to it. */
struct gantry_schema {
    size_t struct_size;
    const char *name;        /* e.g. "/var/log/app.log_line" */
    const char *data_source; /* e.g. "/var/log/app.log" */
    size_t field_count;
    const struct gantry_field *fields;
};

/** A header that says: this record has no value at all (it deletes what has its key), which is not
 * the same as an empty one. It stands beside an empty value, whatever it says itself, and goes
 * through topics like any other. */
#define GANTRY_HEADER_NULL "gantry-null"

/** A header that stands for one that has a name, which is this one's value, and no value at all. */
#define GANTRY_HEADER_NULL_HEADER "gantry-null-header"

struct gantry_header {
    struct gantry_view name;
    struct gantry_view value;
};

/** One record. A record of one STRING or BYTES field (or without schema) has it in `value`. */
struct gantry_record {
    struct gantry_view key; /* empty: none */
    struct gantry_view value;
    const struct gantry_schema *schema; /* NULL: bytes */
    const char *topic; /* source: NULL = the connector's topic. sink: where it came from */
    const struct gantry_header *headers;
    uint32_t header_count;
    uint32_t queue;       /* sink: queue it came from. source: 0, the task's own queue of the topic;
                             else 1 + a number (its low 16 bits count first, the others where several
                             brokers have that queue): equal numbers go to one queue, in order, while
                             it can be written to */
    int64_t timestamp_ms; /* since 1970 UTC; 0 from a source: the runtime's clock */
    int64_t offset;       /* sink: offset in its queue */
};

/** "Everything of this batch up to record `covers` stands at `position` of `partition`". Both are
 * opaque to the runtime; by convention JSON objects in UTF-8. */
struct gantry_mark {
    size_t covers; /* number of records of the batch before this mark */
    struct gantry_view partition;
    struct gantry_view position;
};

/** A batch that a source fills. Made and owned by the runtime, emptied before each poll. */
struct gantry_batch {
    size_t struct_size;
    struct gantry_record *records;
    size_t count, capacity;
    struct gantry_mark *marks;
    size_t mark_count, mark_capacity;
    size_t max_bytes; /* a source stops adding when the values reach about this size; one record may
                         be larger */
    /* Memory that lives until the next poll of any task on this thread; NULL when there is none.
     * 16-byte aligned. */
    void *(*alloc)(struct gantry_batch *batch, size_t size);
    /* Make room for one more record or mark. 0 or GANTRY_NO_MEMORY. */
    int (*grow)(struct gantry_batch *batch);
};

/** Add a zeroed record and return it, or NULL without memory. The pointer holds until the next add.
 * Thread: the task's. */
static inline struct gantry_record *gantry_batch_add(struct gantry_batch *batch)
{
    if (batch->count == batch->capacity && batch->grow(batch) != 0)
        return NULL;
    struct gantry_record *record = &batch->records[batch->count++];
    memset(record, 0, sizeof *record);
    return record;
}

/** Say where the source stands after the records added so far; both views are copied. 0 or
 * GANTRY_NO_MEMORY. A batch of marks alone (no records) is allowed: it moves positions. Thread: the
 * task's. */
static inline int gantry_batch_mark(struct gantry_batch *batch, struct gantry_view partition,
                                    struct gantry_view position)
{
    if (batch->mark_count == batch->mark_capacity && batch->grow(batch) != 0)
        return GANTRY_NO_MEMORY;
    char *copy = (char *)batch->alloc(batch, partition.len + position.len + 1);
    if (copy == NULL)
        return GANTRY_NO_MEMORY;
    if (partition.len > 0)
        memcpy(copy, partition.data, partition.len);
    if (position.len > 0)
        memcpy(copy + partition.len, position.data, position.len);
    struct gantry_mark *mark = &batch->marks[batch->mark_count++];
    mark->covers = batch->count;
    mark->partition.data = copy;
    mark->partition.len = partition.len;
    mark->position.data = copy + partition.len;
    mark->position.len = position.len;
    return GANTRY_OK;
}

#ifdef __cplusplus
}
#endif
#endif
