/* SPDX-License-Identifier: Apache-2.0 */
/** Inside the embedded engine: topics, queues, segments, and who may touch which member.
 *
 *  A queue has two locks. `append` orders the writers: it is held while a batch is written and
 * handed to the committer, so that the order of commits is the order of the file. `lock` guards
 * what readers see: the committed segments. It is held for a few instructions. Order: append
 * (several: by address), then lock. */
#ifndef GT_TOPIC_EMBEDDED_QUEUE_H
#define GT_TOPIC_EMBEDDED_QUEUE_H

#include "base/map.h"
#include "store/tables.h"
#include "topic/embedded/segment.h"
#include "topic/engine.h"
#include <pthread.h>
#include <stdatomic.h>

struct gt_queue;

struct gt_segment {
    atomic_int refs; /* the queue's list, the queue's active segment, places of appends, readers */
    atomic_int writers;                 /* those of them that need fd */
    int64_t base;                       /* offset of its first message; also the file's name */
    char *path;                         /* owned */
    int fd;                             /* open for writing while writers > 0 */
    struct gt_segment_record committed; /* guarded by queue.lock */
    struct gt_segment_record
        written; /* guarded by queue.append: what committed will be once all is committed */
    /* The committer's. */
    uint64_t synced_round;
    bool folder_synced;
};

struct gt_queue {
    struct gt_embedded_topic *topic;
    uint32_t index;
    char *folder; /* owned */

    pthread_mutex_t append;
    struct gt_segment *active; /* guarded by append; NULL: the next append creates one */
    int64_t next_offset;       /* guarded by append */
    atomic_uint epoch;         /* written under append; a commit of another epoch is stale */
    bool folder_made;          /* guarded by append */
    bool resume; /* guarded by append: the last segment of the list can be gone on with */

    pthread_mutex_t lock;
    struct gt_segment **segments; /* guarded by lock: committed ones by offset; owned array */
    size_t segment_count, segment_cap;
    size_t unlisted;            /* guarded by lock: segments created and not yet in the list */
    int64_t end_offset;         /* guarded by lock: committed */
    struct gt_waiter *waiters;  /* guarded by lock */
    char *damage;               /* guarded by lock: NULL, or file, byte and reason; set once */
    struct gt_gap_record *gaps; /* read-only after open */
    size_t gap_count;

    bool folder_synced; /* the committer's: the entry of `folder` is durable */
};

struct gt_embedded_topic {
    struct gt_topic api; /* first; its name is owned */
    struct gt_embedded *topics;
    char *folder;
    uint32_t queue_count;
    struct gt_queue *queues; /* owned */
    atomic_bool recorded;    /* GT_TABLE_TOPICS has it */
    bool folder_synced;      /* the committer's */
};

struct gt_embedded {
    struct gt_topics api; /* first */
    struct gt_store *store;
    struct gt_topics_settings settings;
    enum gt_compression compression;
    char *folder; /* owned: STORE/topics */
    pthread_mutex_t lock;
    struct gt_map map;            /* guarded by lock: name to struct gt_embedded_topic */
    atomic_llong free_checked_ns; /* when the free space was looked at last */
    atomic_bool low_space;
    int64_t retention_ns; /* the committer's: when retention looked last */
};

void gt_segment_ref(struct gt_segment *segment);
void gt_segment_unref(struct gt_segment *segment);
void gt_segment_writer_ref(struct gt_segment *segment);
void gt_segment_writer_unref(struct gt_segment *segment);
/** STORE/topics/NAME/QUEUE/BASE.log; NULL without memory. */
char *gt_segment_path(const char *queue_folder, int64_t base_offset);
struct gt_segment *gt_segment_new(const struct gt_queue *queue, int64_t base_offset);

/** Put a committed segment at the end of the queue's list. Thread: holds queue->lock, or before
 * threads. */
int gt_queue_list_segment(struct gt_queue *queue, struct gt_segment *segment);
/** Call the armed waiters, once. Thread: holds queue->lock. */
void gt_queue_wake(struct gt_queue *queue);
/** Mark the queue as damaged (the first report stays) and return GANTRY_CORRUPT with the text.
 * Takes queue->lock. */
int gt_queue_damaged(struct gt_queue *queue, const char *path, int64_t at, const char *reason,
                     struct gantry_err *err);
/** 0 or GANTRY_CORRUPT with the damage. Takes queue->lock. */
int gt_queue_check(struct gt_queue *queue, struct gantry_err *err);

/** Recovery: read what the store says about topics and look at the files (recover.c). */
int gt_topics_recover(struct gt_embedded *topics, struct gantry_err *err);
struct gt_embedded_topic *gt_embedded_topic_new(struct gt_embedded *topics, const char *name,
                                                uint32_t queues);
void gt_embedded_topic_free(struct gt_embedded_topic *topic);
/* What append.c and reader.c have in the engine's table; as topic.h says. */
int gt_embedded_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                            struct gt_writer **ret, struct gantry_err *err);
uint32_t gt_embedded_writer_queue(struct gt_writer *writer, struct gt_topic *topic,
                                  uint32_t number);
int gt_embedded_submit(struct gt_topics *topics, struct gt_append *append,
                       const struct gt_append_part *parts, size_t part_count,
                       struct gt_append_scratch *scratch, struct gantry_err *err);
int gt_embedded_reader_open(struct gt_topic *topic, const struct gt_reader_spec *spec,
                            struct gt_reader **ret, struct gantry_err *err);
void gt_embedded_reader_close(struct gt_reader *reader);
int64_t gt_embedded_reader_offset(const struct gt_reader *reader);
void gt_embedded_reader_state(const struct gt_reader *reader, struct gt_buf *buf);
int gt_embedded_reader_next(struct gt_reader *reader, struct gt_arena *arena,
                            const struct gt_message **ret, size_t *ret_count, int64_t *ret_first,
                            struct gantry_err *err);
void gt_embedded_reader_took(struct gt_reader *reader, size_t count);
void gt_embedded_reader_committed(struct gt_reader *reader, int64_t offset);
bool gt_embedded_reader_arm(struct gt_reader *reader, void (*wake)(void *arg), void *arg);

/** Delete old segments (retention.c). Thread: the committer. */
void gt_topics_retain(struct gt_embedded *topics);

#endif
