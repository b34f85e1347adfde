/* SPDX-License-Identifier: Apache-2.0 */
/** What an engine behind topic.h offers. Each function is the one of topic.h with the same name, on
 * the engine's own objects, which begin with the structs here. */
#ifndef GT_TOPIC_ENGINE_H
#define GT_TOPIC_ENGINE_H

#include "topic/topic.h"

struct gt_engine {
    bool local; /* gt_topic_is_local */
    void (*close)(struct gt_topics *topics);
    struct gt_topic *(*get)(struct gt_topics *topics, const char *name);

    int (*ready)(struct gt_topic *topic, struct gt_waiter *waiter, struct gantry_err *err);
    uint32_t (*queues)(const struct gt_topic *topic);
    bool (*arm)(struct gt_topic *topic, uint32_t known, struct gt_waiter *waiter);
    void (*disarm)(struct gt_topic *topic, struct gt_waiter *waiter);
    void (*queue)(const struct gt_topic *topic, uint32_t queue, struct gt_queue_id *ret);
    uint32_t (*find)(const struct gt_topic *topic, struct gantry_view broker, uint32_t id);
    int64_t (*end)(struct gt_topic *topic, uint32_t queue);

    int (*writer_open)(struct gt_topics *topics, const struct gt_writer_spec *spec,
                       struct gt_writer **ret, struct gantry_err *err);
    int (*writer_ready)(struct gt_writer *writer, struct gantry_err *err);
    uint32_t (*writer_queue)(struct gt_writer *writer, struct gt_topic *topic, uint32_t number);
    void (*writer_abandon)(struct gt_writer *writer);
    void (*writer_close)(struct gt_writer *writer);
    int (*submit)(struct gt_topics *topics, struct gt_append *append,
                  const struct gt_append_part *parts, size_t part_count,
                  struct gt_append_scratch *scratch, struct gantry_err *err);

    int (*reader_open)(struct gt_topic *topic, const struct gt_reader_spec *spec,
                       struct gt_reader **ret, struct gantry_err *err);
    void (*reader_close)(struct gt_reader *reader);
    int64_t (*reader_offset)(const struct gt_reader *reader);
    void (*reader_state)(const struct gt_reader *reader, struct gt_buf *buf);
    int (*reader_next)(struct gt_reader *reader, struct gt_arena *arena,
                       const struct gt_message **ret, size_t *ret_count, int64_t *ret_first,
                       struct gantry_err *err);
    void (*reader_took)(struct gt_reader *reader, size_t count);
    void (*reader_committed)(struct gt_reader *reader, int64_t offset);
    bool (*reader_arm)(struct gt_reader *reader, void (*wake)(void *arg), void *arg);
};

struct gt_topics {
    const struct gt_engine *engine;
};

struct gt_topic {
    const struct gt_engine *engine;
    char *name; /* the engine's */
};

struct gt_writer {
    const struct gt_engine *engine;
};

struct gt_reader {
    const struct gt_engine *engine;
};

#endif
