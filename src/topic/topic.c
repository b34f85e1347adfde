/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of topic.h, handed on to the engine that an object belongs to. */
#include "topic/topic.h"

#include "topic/engine.h"

enum { SCRATCH_MAX = (256 << 20) + (64 << 20) }; /* a batch of the largest size, and headers */

void gt_topics_close(struct gt_topics *topics)
{
    if (topics != NULL)
        topics->engine->close(topics);
}

struct gt_topic *gt_topic_get(struct gt_topics *topics, const char *name)
{
    return topics->engine->get(topics, name);
}

const char *gt_topic_name(const struct gt_topic *topic)
{
    return topic->name;
}

int gt_topic_ready(struct gt_topic *topic, struct gt_waiter *waiter, struct gantry_err *err)
{
    return topic->engine->ready(topic, waiter, err);
}

uint32_t gt_topic_queues(const struct gt_topic *topic)
{
    return topic->engine->queues(topic);
}

bool gt_topic_arm(struct gt_topic *topic, uint32_t known, struct gt_waiter *waiter)
{
    return topic->engine->arm(topic, known, waiter);
}

void gt_topic_disarm(struct gt_topic *topic, struct gt_waiter *waiter)
{
    topic->engine->disarm(topic, waiter);
}

void gt_topic_queue(const struct gt_topic *topic, uint32_t queue, struct gt_queue_id *ret)
{
    topic->engine->queue(topic, queue, ret);
}

uint32_t gt_topic_find(const struct gt_topic *topic, struct gantry_view broker, uint32_t id)
{
    return topic->engine->find(topic, broker, id);
}

int64_t gt_topic_end(struct gt_topic *topic, uint32_t queue)
{
    return topic->engine->end(topic, queue);
}

bool gt_topic_is_local(const struct gt_topic *topic)
{
    return topic->engine->local;
}

int gt_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                   struct gt_writer **ret, struct gantry_err *err)
{
    return topics->engine->writer_open(topics, spec, ret, err);
}

int gt_writer_ready(struct gt_writer *writer, struct gantry_err *err)
{
    return writer->engine->writer_ready(writer, err);
}

uint32_t gt_writer_queue(struct gt_writer *writer, struct gt_topic *topic, uint32_t number)
{
    return writer->engine->writer_queue(writer, topic, number);
}

void gt_writer_abandon(struct gt_writer *writer)
{
    writer->engine->writer_abandon(writer);
}

void gt_writer_close(struct gt_writer *writer)
{
    if (writer != NULL)
        writer->engine->writer_close(writer);
}

void gt_append_scratch_init(struct gt_append_scratch *scratch)
{
    gt_buf_init(&scratch->batches, SCRATCH_MAX);
    gt_buf_init(&scratch->raw, SCRATCH_MAX);
    gt_buf_init(&scratch->locked, 1 << 20);
}

void gt_append_scratch_deinit(struct gt_append_scratch *scratch)
{
    gt_buf_deinit(&scratch->batches);
    gt_buf_deinit(&scratch->raw);
    gt_buf_deinit(&scratch->locked);
}

void gt_append_init(struct gt_append *append, void (*done)(struct gt_append *append))
{
    memset(append, 0, sizeof *append);
    gt_commit_init(&append->commit, NULL); /* the engine's, at submit */
    append->done = done;
}

void gt_append_deinit(struct gt_append *append)
{
    if (append->release != NULL)
        append->release(append);
    gt_commit_deinit(&append->commit);
}

int gt_append_submit(struct gt_topics *topics, struct gt_append *append,
                     const struct gt_append_part *parts, size_t part_count,
                     struct gt_append_scratch *scratch, struct gantry_err *err)
{
    return topics->engine->submit(topics, append, parts, part_count, scratch, err);
}

int gt_reader_open(struct gt_topic *topic, const struct gt_reader_spec *spec,
                   struct gt_reader **ret, struct gantry_err *err)
{
    return topic->engine->reader_open(topic, spec, ret, err);
}

void gt_reader_close(struct gt_reader *reader)
{
    if (reader != NULL)
        reader->engine->reader_close(reader);
}

int64_t gt_reader_offset(const struct gt_reader *reader)
{
    return reader->engine->reader_offset(reader);
}

void gt_reader_state(const struct gt_reader *reader, struct gt_buf *buf)
{
    reader->engine->reader_state(reader, buf);
}

int gt_reader_next(struct gt_reader *reader, struct gt_arena *arena, const struct gt_message **ret,
                   size_t *ret_count, int64_t *ret_first, struct gantry_err *err)
{
    return reader->engine->reader_next(reader, arena, ret, ret_count, ret_first, err);
}

void gt_reader_took(struct gt_reader *reader, size_t count)
{
    reader->engine->reader_took(reader, count);
}

void gt_reader_committed(struct gt_reader *reader, int64_t offset)
{
    reader->engine->reader_committed(reader, offset);
}

bool gt_reader_arm(struct gt_reader *reader, void (*wake)(void *arg), void *arg)
{
    return reader->engine->reader_arm(reader, wake, arg);
}
