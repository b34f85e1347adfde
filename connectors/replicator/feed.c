/* SPDX-License-Identifier: Apache-2.0 */
/* A feed's life, and the hand-over between its halves. */
#include "feed.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void rep_item_free(struct rep_item *item)
{
    if (item == NULL)
        return;
    rmq_block_unref(item->block);
    free(item);
}

/* --- The end --- */

static void free_topics(struct rep_feed *feed)
{
    while (feed->topics != NULL) {
        struct rep_topic *topic = feed->topics;
        feed->topics = topic->next;
        rmq_route_unref(topic->route);
        free(topic->name);
        free(topic->target);
        free((char *)(uintptr_t)topic->text.data_source);
        free(topic);
    }
    while (feed->streams != NULL) {
        struct rep_stream *stream = feed->streams;
        feed->streams = stream->next_stream;
        free(stream->broker);
        free(stream->partition);
        free(stream->origin);
        free(stream);
    }
}

static void free_feed(struct rep_feed *feed)
{
    while (feed->first != NULL) {
        struct rep_item *item = feed->first;
        feed->first = item->next;
        rep_item_free(item);
    }
    free_topics(feed);
    rep_patterns_free(feed->patterns);
    rep_brokers_deinit(&feed->source_brokers);
    rep_brokers_deinit(&feed->target_brokers);
    rep_config_deinit(&feed->config);
    (void)pthread_mutex_destroy(&feed->lock);
    free(feed);
}

void rep_feed_came(struct rep_feed *feed)
{
    if (--feed->outstanding == 0 && feed->stopping)
        free_feed(feed);
}

static void stop_reading(struct rep_feed *feed)
{
    rep_discover_stop(feed);
    rep_streams_stop(feed);
}

/* The task's half is closed. */
static void on_close(struct rep_mail *mail)
{
    struct rep_feed *feed =
        (struct rep_feed *)((char *)mail - offsetof(struct rep_feed, close_mail));
    feed->outstanding++;
    feed->stopping = true;
    stop_reading(feed);
    rep_cluster_put(feed->source);
    rep_cluster_put(feed->target);
    feed->source = feed->target = NULL;
    rep_feed_came(feed);
}

void rep_feed_close(struct rep_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->closed = true;
    pthread_mutex_unlock(&feed->lock);
    rep_link_send(feed->link, &feed->close_mail);
}

/* --- Failures, log --- */

void rep_feed_fail(struct rep_feed *feed, int code, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&feed->lock);
    if (feed->failure == 0) {
        va_start(args, format);
        (void)vsnprintf(feed->failure_text, sizeof feed->failure_text, format, args);
        va_end(args);
        feed->failure = code;
        if (!feed->closed)
            feed->ctx->wake(feed->ctx);
    }
    pthread_mutex_unlock(&feed->lock);
    stop_reading(feed);
}

void rep_feed_log(struct rep_feed *feed, enum gantry_log_level level, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&feed->lock);
    if (!feed->closed)
        feed->ctx->log(feed->ctx, level, text);
    pthread_mutex_unlock(&feed->lock);
}

int rep_feed_failure(struct rep_feed *feed, struct gantry_err *err)
{
    pthread_mutex_lock(&feed->lock);
    int code = feed->failure;
    if (code != 0)
        (void)gantry_err_set(err, code, "%s", feed->failure_text);
    pthread_mutex_unlock(&feed->lock);
    return code;
}

/* --- The beginning --- */

static void on_open(struct rep_mail *mail)
{
    struct rep_feed *feed =
        (struct rep_feed *)((char *)mail - offsetof(struct rep_feed, open_mail));
    struct gantry_err err = {0};
    int code = rep_cluster_get(feed->link, &feed->settings.source, &feed->source, &err);
    if (code == 0 && feed->settings.target.name_servers != NULL && !feed->settings.embedded)
        code = rep_cluster_get(feed->link, &feed->settings.target, &feed->target, &err);
    if (code != 0)
        rep_feed_fail(feed, code, "%s", err.text);
    else
        rep_discover_start(feed);
}

static void on_start(struct rep_mail *mail)
{
    struct rep_feed *feed =
        (struct rep_feed *)((char *)mail - offsetof(struct rep_feed, start_mail));
    pthread_mutex_lock(&feed->lock);
    struct rep_stream *stream = feed->starts;
    feed->starts = NULL;
    bool over = feed->failure != 0;
    pthread_mutex_unlock(&feed->lock);
    while (stream != NULL && !over) {
        struct rep_stream *next = stream->handed;
        rep_streams_start(feed, stream);
        stream = next;
    }
}

static void on_room(struct rep_mail *mail)
{
    rep_streams_pump((struct rep_feed *)((char *)mail - offsetof(struct rep_feed, room_mail)));
}

int rep_feed_open(struct rep_link *link, const struct gantry_runtime *runtime,
                  struct gantry_task_context *ctx, struct rep_feed **ret, struct gantry_err *err)
{
    struct rep_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the replicator");
    (void)pthread_mutex_init(&feed->lock, NULL); /* cannot fail on Linux */
    feed->link = link;
    feed->ctx = ctx;
    feed->task = ctx->task;
    feed->task_count = ctx->task_count > 0 ? ctx->task_count : 1;
    feed->last = &feed->first;
    feed->ready_last = &feed->ready;
    feed->open_mail.run = on_open;
    feed->start_mail.run = on_start;
    feed->room_mail.run = on_room;
    feed->close_mail.run = on_close;
    int code = rep_config_copy(&feed->config, ctx->config);
    if (code != 0)
        (void)gantry_err_set(err, code, "no memory for the replicator");
    rep_settings_read(&feed->settings, runtime, &feed->config.api);
    if (code == 0)
        code = rep_patterns_new("white-list", gantry_config_get(ctx->config, "white-list"),
                                &feed->patterns, err);
    if (code == 0)
        code = rep_link_start(link, err);
    if (code != 0) {
        free_feed(feed);
        return code;
    }
    rep_link_send(link, &feed->open_mail);
    *ret = feed;
    return 0;
}

/* --- The hand-over --- */

struct rep_stream *rep_feed_found(struct rep_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    struct rep_stream *found = feed->found;
    feed->found = NULL;
    pthread_mutex_unlock(&feed->lock);
    return found;
}

void rep_feed_start(struct rep_feed *feed, struct rep_stream *streams)
{
    if (streams == NULL)
        return;
    struct rep_stream *last = streams;
    while (last->handed != NULL)
        last = last->handed;
    pthread_mutex_lock(&feed->lock);
    last->handed = feed->starts;
    feed->starts = streams;
    pthread_mutex_unlock(&feed->lock);
    rep_link_send(feed->link, &feed->start_mail);
}

struct rep_item *rep_feed_take(struct rep_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    struct rep_item *item = feed->first;
    bool room = false;
    if (item != NULL) {
        feed->first = item->next;
        if (feed->first == NULL)
            feed->last = &feed->first;
        feed->bytes -= item->block != NULL ? item->block->bytes.len + sizeof *item : sizeof *item;
        room = feed->held && feed->bytes <= feed->settings.buffer_bytes / 2;
        if (room)
            feed->held = false;
    }
    pthread_mutex_unlock(&feed->lock);
    if (room)
        rep_link_send(feed->link, &feed->room_mail);
    return item;
}
