/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: a puller for each queue, and what they bring into the hand-over, queues taking turns. A
 * full hand-over stops that; the pullers then fill their own rooms, and stop too. Thread: the
 * link's. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOM_MIN = 64 << 10, /* of one puller */
    HELD_MS = 60000,     /* so long a queue that has become shorter may come back */
    HELD_LOOK_MS = 500,
    GROUP_NOT_EXIST = 26 /* the broker's code */
};

static bool is_over(const struct rep_feed *feed)
{
    return feed->stopping || feed->failure != 0;
}

/* --- The hand-over --- */

/* false: there is no memory, and the feed has failed. */
static bool push(struct rep_feed *feed, struct rep_stream *stream, const struct rmq_block *block,
                 int64_t moved_to)
{
    struct rep_item *item = malloc(sizeof *item);
    if (item == NULL) {
        rmq_block_unref(block);
        rep_feed_fail(feed, GANTRY_NO_MEMORY, "no memory for what was read");
        return false;
    }
    *item = (struct rep_item){NULL, stream, block, moved_to};
    pthread_mutex_lock(&feed->lock);
    bool empty = feed->first == NULL;
    *feed->last = item;
    feed->last = &item->next;
    feed->bytes += sizeof *item + (block != NULL ? block->bytes.len : 0);
    if (empty && !feed->closed)
        feed->ctx->wake(feed->ctx);
    pthread_mutex_unlock(&feed->lock);
    return true;
}

static bool is_full(struct rep_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->held = feed->bytes >= feed->settings.buffer_bytes;
    bool full = feed->held;
    pthread_mutex_unlock(&feed->lock);
    return full;
}

static void add_ready(struct rep_stream *stream)
{
    struct rep_feed *feed = stream->topic->feed;
    if (stream->is_ready)
        return;
    stream->is_ready = true;
    stream->next_ready = NULL;
    *feed->ready_last = stream;
    feed->ready_last = &stream->next_ready;
}

static struct rep_stream *take_ready(struct rep_feed *feed)
{
    struct rep_stream *stream = feed->ready;
    if (stream != NULL) {
        feed->ready = stream->next_ready;
        if (feed->ready == NULL)
            feed->ready_last = &feed->ready;
        stream->is_ready = false;
    }
    return stream;
}

/* --- Pullers --- */

/* What does not pass by itself ends the task with its reason; the puller goes on with the rest. */
static void on_error(struct rep_stream *stream, int rc, const struct rmq_err *err)
{
    struct rep_feed *feed = stream->topic->feed;
    const char *topic = stream->topic->name, *group = feed->settings.group;
    if (rc == RMQ_REFUSED && err->server_code == RMQ_REPLY_NO_PERMISSION)
        rep_feed_fail(
            feed, GANTRY_DENIED,
            "the source does not let group %s read topic %s: %s; see source.accessKey and "
            "source.secretKey",
            group, topic, err->text);
    else if (rc == RMQ_REFUSED && err->server_code == GROUP_NOT_EXIST)
        rep_feed_fail(feed, GANTRY_NOT_FOUND,
                      "the source does not know the consumer group %s: %s; make it there, or name "
                      "another one with source-group",
                      group, err->text);
    else
        rep_feed_log(feed, GANTRY_LOG_WARN, "topic=%s broker=%s queue=%d: %s; trying again", topic,
                     stream->broker, (int)stream->queue_id, err->text);
}

static void read_from(struct rep_feed *feed, struct rep_stream *stream, int64_t offset);

/* Look again at the queues that wait. */
static void on_held_timer(uv_timer_t *timer)
{
    struct rep_feed *feed = timer->data;
    uint64_t now = uv_now(timer->loop);
    bool some = false;
    for (struct rep_stream *stream = feed->streams; stream != NULL && !is_over(feed);
         stream = stream->next_stream) {
        if (stream->held_ms == 0 || stream->puller != NULL)
            continue;
        if (now - stream->held_ms < HELD_MS) {
            read_from(feed, stream, stream->next);
            some = true;
        } else if (push(feed, stream, NULL, stream->held_at)) {
            stream->held_ms = 0;
            read_from(feed, stream, stream->held_at);
        }
    }
    if (some && !is_over(feed))
        (void)uv_timer_start(timer, on_held_timer, HELD_LOOK_MS, 0);
}

/* The queue ends before what was read of it. A broker that was killed says so while it still finds
 * out what it has, so nothing is believed at once; what it has lost for good, it has lost. */
static void hold(struct rep_stream *stream, int64_t offset)
{
    struct rep_feed *feed = stream->topic->feed;
    if (stream->held_ms == 0) {
        stream->held_ms = uv_now(rep_link_loop(feed->link));
        rep_feed_log(feed, GANTRY_LOG_WARN,
                     "topic=%s broker=%s queue=%d: ends before offset %lld, which was reached; "
                     "waiting for it to come back",
                     stream->topic->name, stream->broker, (int)stream->queue_id,
                     (long long)stream->next);
    }
    stream->held_at = offset;
    rmq_puller_close(stream->puller);
    stream->puller = NULL;
    if (feed->timer_open)
        (void)uv_timer_start(&feed->held_timer, on_held_timer, HELD_LOOK_MS, 0);
}

void rep_streams_pump(struct rep_feed *feed)
{
    while (!is_over(feed) && feed->ready != NULL && !is_full(feed)) {
        struct rep_stream *stream = take_ready(feed);
        const struct rmq_block *block = NULL;
        struct rmq_err err = {0};
        int64_t offset = 0;
        if (stream->puller == NULL)
            continue; /* retired meanwhile */
        int rc = rmq_puller_next(stream->puller, &block, &offset, &err);
        if (rc == 0)
            continue; /* on_ready comes */
        if (rc == RMQ_MOVED && offset < stream->next) {
            hold(stream, offset);
            continue;
        }
        add_ready(stream);
        if (rc == 1) {
            stream->held_ms = 0;
            stream->next = block->next_offset;
            (void)push(feed, stream, block, 0);
        } else if (rc == RMQ_MOVED) {
            stream->next = offset;
            (void)push(feed, stream, NULL, offset);
        } else {
            on_error(stream, rc, &err);
        }
    }
}

static void on_ready(void *arg)
{
    struct rep_stream *stream = arg;
    add_ready(stream);
    rep_streams_pump(stream->topic->feed);
}

static void read_from(struct rep_feed *feed, struct rep_stream *stream, int64_t offset)
{
    size_t room = feed->settings.buffer_bytes / (feed->stream_count > 0 ? feed->stream_count : 1);
    struct rmq_puller_options options = {
        .struct_size = sizeof options,
        .group = feed->settings.group,
        .topic = stream->topic->name,
        .broker = stream->broker,
        .queue_id = stream->queue_id,
        .offset = offset,
        .max_bytes = room > ROOM_MIN ? room : ROOM_MIN,
        .check = true,
        .ready = on_ready,
        .arg = stream,
    };
    struct rmq_err err = {0};
    stream->next = offset;
    int rc = rmq_puller_new(feed->source->client, &options, &stream->puller, &err);
    if (rc != 0)
        rep_feed_fail(feed, rep_error_code(rc), "topic %s: %s", stream->topic->name, err.text);
}

static void on_time_offset(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct rep_stream *stream = arg;
    struct rep_feed *feed = stream->topic->feed;
    if (!is_over(feed)) {
        if (rc == 0 && stream->puller == NULL)
            read_from(feed, stream, offset);
        else if (rc != 0)
            rep_feed_fail(feed, rep_error_code(rc),
                          "source.start: where topic %s, queue %d of %s has to begin: %s",
                          stream->topic->name, (int)stream->queue_id, stream->broker, err->text);
    }
    rep_feed_came(feed);
}

void rep_streams_start(struct rep_feed *feed, struct rep_stream *stream)
{
    struct rmq_err err = {0};
    if (is_over(feed) || stream->puller != NULL)
        return;
    if (stream->recreated) { /* in the order of what was read: old messages first */
        stream->recreated = false;
        if (push(feed, stream, NULL, 0))
            read_from(feed, stream, 0);
        return;
    }
    if (stream->start >= 0) {
        read_from(feed, stream, stream->start);
        return;
    }
    feed->outstanding++;
    int rc =
        rmq_admin_offset_by_time(feed->source->client, stream->topic->name, stream->broker,
                                 stream->queue_id, stream->start_ms, on_time_offset, stream, &err);
    if (rc != 0) {
        feed->outstanding--;
        rep_feed_fail(feed, rep_error_code(rc), "source.start: topic %s: %s", stream->topic->name,
                      err.text);
    }
}

void rep_streams_retire(struct rep_stream *stream)
{
    if (stream->puller == NULL && stream->held_ms == 0)
        return; /* not read yet: the task still has it */
    if (stream->puller != NULL)
        rmq_puller_close(stream->puller);
    stream->puller = NULL;
    stream->held_ms = 0;
    stream->reading = false;
    stream->recreated = true;
}

void rep_streams_stop(struct rep_feed *feed)
{
    for (struct rep_stream *stream = feed->streams; stream != NULL; stream = stream->next_stream) {
        if (stream->puller != NULL)
            rmq_puller_close(stream->puller);
        stream->puller = NULL;
    }
}
