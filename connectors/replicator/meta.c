/* SPDX-License-Identifier: Apache-2.0 */
#include "meta.h"

#include "plugin.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TROUBLE_MS = 30000 };

/* A topic or group that the target shall have. */
struct wanted {
    char *name; /* owned; the target's */
    bool there; /* as it shall be */
    union {
        struct rmq_topic_options topic;
        struct rmq_group_options group;
    } options;
};

static void next_round(struct rep_meta *meta);

/* --- Life --- */

static void free_wanted(struct rep_meta *meta)
{
    for (size_t i = 0; i < meta->wanted_count; i++)
        free(meta->wanted[i].name);
    free(meta->wanted);
    meta->wanted = NULL;
    meta->wanted_count = meta->wanted_at = 0;
}

static void free_change(struct rep_change *change)
{
    free(change->group);
    free(change->topic);
    free(change->broker);
    free(change);
}

static void free_changes(struct rep_change **changes)
{
    while (*changes != NULL) {
        struct rep_change *change = *changes;
        *changes = change->next;
        free_change(change);
    }
}

static void free_meta(struct rep_meta *meta)
{
    free_changes(&meta->changes);
    free_wanted(meta);
    rep_offsets_free(meta->offsets);
    rep_patterns_free(meta->topics);
    rep_patterns_free(meta->groups);
    rep_brokers_deinit(&meta->source_brokers);
    rep_brokers_deinit(&meta->target_brokers);
    rep_config_deinit(&meta->config);
    free(meta->last_refusal);
    (void)pthread_mutex_destroy(&meta->lock);
    free(meta);
}

void rep_meta_came(struct rep_meta *meta)
{
    if (--meta->outstanding == 0 && meta->stopping)
        free_meta(meta);
}

bool rep_meta_is_over(const struct rep_meta *meta)
{
    return meta->stopping || meta->failure != 0; /* set on this thread alone */
}

static void on_timer_closed(uv_handle_t *handle)
{
    rep_meta_came(handle->data);
}

static void close_timer(struct rep_meta *meta)
{
    if (meta->timer_open) {
        meta->timer_open = false;
        uv_close((uv_handle_t *)&meta->timer, on_timer_closed);
    }
}

void rep_meta_fail(struct rep_meta *meta, int code, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&meta->lock);
    if (meta->failure == 0) {
        va_start(args, format);
        (void)vsnprintf(meta->failure_text, sizeof meta->failure_text, format, args);
        va_end(args);
        meta->failure = code;
        if (!meta->closed)
            meta->ctx->wake(meta->ctx);
    }
    pthread_mutex_unlock(&meta->lock);
    close_timer(meta);
}

void rep_meta_log(struct rep_meta *meta, enum gantry_log_level level, const char *format, ...)
{
    char text[500];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&meta->lock);
    if (!meta->closed)
        meta->ctx->log(meta->ctx, level, text);
    pthread_mutex_unlock(&meta->lock);
}

void rep_meta_tell(struct rep_meta *meta, const char *group, const char *topic, const char *broker,
                   int32_t queue_id, int64_t offset)
{
    if (!meta->report)
        return;
    struct rep_change *change = calloc(1, sizeof *change);
    if (change != NULL) {
        change->group = strdup(group);
        change->topic = strdup(topic);
        change->broker = strdup(broker);
        change->queue_id = queue_id;
        change->offset = offset;
    }
    if (change == NULL || change->group == NULL || change->topic == NULL ||
        change->broker == NULL) {
        if (change != NULL)
            free_change(change);
        rep_meta_fail(meta, GANTRY_NO_MEMORY, "no memory for an offset of group %s", group);
        return;
    }
    pthread_mutex_lock(&meta->lock);
    *meta->changes_last = change;
    meta->changes_last = &change->next;
    if (!meta->closed)
        meta->ctx->wake(meta->ctx);
    pthread_mutex_unlock(&meta->lock);
}

bool rep_meta_is_mine(const struct rep_meta *meta, const char *group)
{
    uint32_t hash = 2166136261u;
    for (; *group != '\0'; group++)
        hash = (hash ^ (unsigned char)*group) * 16777619u;
    return hash % meta->task_count == meta->task;
}

/* --- Rounds --- */

static void on_timer(uv_timer_t *timer)
{
    next_round(timer->data);
}

void rep_meta_round_ended(struct rep_meta *meta, int rc, const char *what, const char *why)
{
    uint64_t now = uv_now(rep_link_loop(meta->link));
    free_wanted(meta);
    if (rep_meta_is_over(meta))
        return;
    if (rc == 0) {
        if (meta->trouble_ms != 0)
            rep_meta_log(meta, GANTRY_LOG_INFO, "going on");
        meta->trouble_ms = 0;
        meta->once = true;
    } else if (rc == RMQ_REFUSED || !meta->once ||
               (meta->trouble_ms != 0 && now - meta->trouble_ms > TROUBLE_MS)) {
        rep_meta_fail(meta, rep_error_code(rc), "%s: %s", what, why);
        return;
    } else if (meta->trouble_ms == 0) {
        meta->trouble_ms = now;
        rep_meta_log(meta, GANTRY_LOG_WARN, "%s: %s; trying again", what, why);
    }
    if (meta->timer_open)
        (void)uv_timer_start(&meta->timer, on_timer, (uint64_t)meta->settings.refresh_ms, 0);
}

/* What is refused for one topic or group does not end the work on the others; it is told once. */
static void refused(struct rep_meta *meta, const char *what, const char *name,
                    const struct rmq_err *err)
{
    if (meta->last_refusal != NULL && strcmp(meta->last_refusal, name) == 0)
        return;
    rep_meta_log(meta, GANTRY_LOG_WARN, "the target does not take %s %s: %s", what, name,
                 err->text);
    free(meta->last_refusal);
    meta->last_refusal = strdup(name);
}

static struct wanted *want(struct rep_meta *meta, char *name)
{
    struct wanted *grown = NULL;
    if (name != NULL)
        grown = realloc(meta->wanted, (meta->wanted_count + 1) * sizeof *grown);
    if (grown == NULL) {
        free(name);
        rep_meta_fail(meta, GANTRY_NO_MEMORY, "no memory for topics and groups");
        return NULL;
    }
    meta->wanted = grown;
    struct wanted *wanted = &grown[meta->wanted_count++];
    *wanted = (struct wanted){.name = name};
    return wanted;
}

static struct wanted *find_wanted(struct rep_meta *meta, const char *name)
{
    for (size_t i = 0; i < meta->wanted_count; i++) {
        if (strcmp(meta->wanted[i].name, name) == 0)
            return &meta->wanted[i];
    }
    return NULL;
}

/* --- What is wanted is made, one after the other --- */

/* Topics or groups. */
struct making {
    const char *what;
    int (*ask)(struct rep_meta *meta, struct wanted *wanted, rmq_admin_fn done,
               struct rmq_err *err);
    void (*after)(struct rep_meta *meta); /* all are there */
};

static void make(struct rep_meta *meta, const struct making *making);

static void on_made(void *arg, int rc, const struct rmq_err *err)
{
    struct rep_meta *meta = arg;
    if (!rep_meta_is_over(meta)) {
        const char *name = meta->wanted[meta->wanted_at].name;
        if (rc == 0)
            rep_meta_log(meta, GANTRY_LOG_INFO, "made %s %s in the target cluster",
                         meta->making->what, name);
        else if (rc == RMQ_REFUSED)
            refused(meta, meta->making->what, name, err);
        if (rc == 0 || rc == RMQ_REFUSED) {
            meta->wanted_at++;
            make(meta, meta->making);
        } else {
            rep_meta_round_ended(meta, rc, "target-rocketmq", err->text);
        }
    }
    rep_meta_came(meta);
}

static void make(struct rep_meta *meta, const struct making *making)
{
    struct rmq_err err = {0};
    meta->making = making;
    while (meta->wanted_at < meta->wanted_count && meta->wanted[meta->wanted_at].there)
        meta->wanted_at++;
    if (meta->wanted_at == meta->wanted_count) {
        making->after(meta);
        return;
    }
    meta->outstanding++;
    int rc = making->ask(meta, &meta->wanted[meta->wanted_at], on_made, &err);
    if (rc == 0)
        return;
    meta->outstanding--; /* never the last: a caller has counted, too */
    rep_meta_round_ended(meta, rc, "target-rocketmq", err.text);
}

/* --- Groups --- */

static void after_groups(struct rep_meta *meta)
{
    free_wanted(meta);
    if (meta->copy_offsets)
        rep_offsets_round(meta);
    else
        rep_meta_round_ended(meta, 0, "", "");
}

static int ask_for_group(struct rep_meta *meta, struct wanted *wanted, rmq_admin_fn done,
                         struct rmq_err *err)
{
    wanted->options.group.group = wanted->name;
    return rmq_admin_create_group(meta->target->client, &wanted->options.group, done, meta, err);
}

static const struct making groups_wanted = {"group", ask_for_group, after_groups};

static bool is_same(const struct rmq_group_options *options, const struct rmq_group_row *row)
{
    return options->consume_disabled == row->consume_disabled &&
           options->broadcast_disabled == row->broadcast_disabled &&
           options->from_min_disabled == row->from_min_disabled &&
           options->orderly == row->orderly && options->retry_queues == row->retry_queues &&
           options->retry_max == row->retry_max;
}

static void on_target_groups(void *arg, int rc, const struct rmq_group_row *rows, size_t count,
                             const struct rmq_err *err)
{
    struct rep_meta *meta = arg;
    if (rep_meta_is_over(meta)) {
        rep_meta_came(meta);
        return;
    }
    /* There as it shall be on every master; a broker that lacks it has no row. */
    for (size_t i = 0; rc == 0 && i < meta->wanted_count; i++) {
        struct wanted *wanted = &meta->wanted[i];
        size_t same = 0;
        for (size_t k = 0; k < count; k++)
            same += strcmp(rows[k].group, wanted->name) == 0 &&
                    is_same(&wanted->options.group, &rows[k]);
        wanted->there = same >= meta->target_brokers.count;
    }
    if (rc == 0)
        make(meta, &groups_wanted);
    else
        rep_meta_round_ended(meta, rc, "target-rocketmq", err->text);
    rep_meta_came(meta);
}

static void on_source_groups(void *arg, int rc, const struct rmq_group_row *rows, size_t count,
                             const struct rmq_err *given)
{
    struct rep_meta *meta = arg;
    struct rmq_err err = {0};
    if (rc != 0)
        err = *given;
    for (size_t i = 0; rc == 0 && i < count && !rep_meta_is_over(meta); i++) {
        const struct rmq_group_row *row = &rows[i];
        if (!rep_meta_is_mine(meta, row->group) || !rep_patterns_group(meta->groups, row->group) ||
            find_wanted(meta, row->group) != NULL)
            continue;
        struct wanted *wanted = want(meta, strdup(row->group));
        if (wanted == NULL)
            break;
        wanted->options.group = (struct rmq_group_options){
            .struct_size = sizeof wanted->options.group,
            .consume_disabled = row->consume_disabled,
            .broadcast_disabled = row->broadcast_disabled,
            .from_min_disabled = row->from_min_disabled,
            .orderly = row->orderly,
            .retry_queues = row->retry_queues,
            .retry_max = row->retry_max,
            .cluster = meta->settings.target_cluster,
        };
    }
    if (!rep_meta_is_over(meta)) {
        meta->outstanding++;
        if (rc == 0)
            rc = rmq_admin_group_rows(meta->target->client, meta->settings.target_cluster,
                                      on_target_groups, meta, &err);
        if (rc != 0) {
            meta->outstanding--;
            rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
        }
    }
    rep_meta_came(meta);
}

static void look_at_groups(struct rep_meta *meta)
{
    struct rmq_err err = {0};
    free_wanted(meta);
    if (!meta->copy_groups) {
        after_groups(meta);
        return;
    }
    meta->outstanding++;
    int rc = rmq_admin_group_rows(meta->source->client, meta->settings.source_cluster,
                                  on_source_groups, meta, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
}

/* --- Topics --- */

static int ask_for_topic(struct rep_meta *meta, struct wanted *wanted, rmq_admin_fn done,
                         struct rmq_err *err)
{
    wanted->options.topic.topic = wanted->name;
    return rmq_admin_create_topic(meta->target->client, &wanted->options.topic, done, meta, err);
}

static const struct making topics_wanted = {"topic", ask_for_topic, look_at_groups};

static void on_target_topics(void *arg, int rc, const char *const *topics, size_t count,
                             const struct rmq_err *err)
{
    struct rep_meta *meta = arg;
    if (!rep_meta_is_over(meta)) {
        for (size_t i = 0; rc == 0 && i < count; i++) {
            struct wanted *wanted = find_wanted(meta, topics[i]);
            if (wanted != NULL)
                wanted->there = true;
        }
        if (rc == 0)
            make(meta, &topics_wanted);
        else
            rep_meta_round_ended(meta, rc, "target-rocketmq", err->text);
    }
    rep_meta_came(meta);
}

static void on_source_topics(void *arg, int rc, const struct rmq_topic_row *rows, size_t count,
                             const struct rmq_err *given)
{
    struct rep_meta *meta = arg;
    struct rmq_err err = {0};
    if (rc != 0)
        err = *given;
    for (size_t i = 0; rc == 0 && i < count && !rep_meta_is_over(meta); i++) {
        const struct rmq_topic_row *row = &rows[i];
        if (!rep_patterns_topic(meta->topics, row->topic) ||
            rep_brokers_find(&meta->source_brokers, row->topic) != NULL)
            continue; /* each broker has a topic of its own name */
        const char *own = rep_brokers_cluster(&meta->source_brokers);
        if (own != NULL && strcmp(own, row->topic) == 0)
            continue;
        char *name = rep_renamed(&meta->settings, row->topic);
        struct wanted *wanted = name != NULL ? find_wanted(meta, name) : NULL;
        if (wanted == NULL) {
            wanted = want(meta, name);
            if (wanted == NULL)
                break;
            wanted->options.topic =
                (struct rmq_topic_options){.struct_size = sizeof wanted->options.topic,
                                           .perm = row->perm,
                                           .order = row->order,
                                           .cluster = meta->settings.target_cluster};
        } else {
            free(name);
        }
        struct rmq_topic_options *options = &wanted->options.topic;
        options->perm |= row->perm;
        if (row->read_queues > options->read_queues)
            options->read_queues = row->read_queues;
        if (row->write_queues > options->write_queues)
            options->write_queues = row->write_queues;
    }
    if (!rep_meta_is_over(meta)) {
        meta->outstanding++;
        if (rc == 0)
            rc = rmq_admin_topics(meta->target->client, on_target_topics, meta, &err);
        if (rc != 0) {
            meta->outstanding--;
            rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
        }
    }
    rep_meta_came(meta);
}

static void look_at_topics(struct rep_meta *meta)
{
    struct rmq_err err = {0};
    free_wanted(meta);
    if (!meta->copy_topics || meta->task != 0) {
        look_at_groups(meta);
        return;
    }
    meta->outstanding++;
    int rc = rmq_admin_topic_rows(meta->source->client, meta->settings.source_cluster,
                                  on_source_topics, meta, &err);
    if (rc == 0)
        return;
    meta->outstanding--;
    rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
}

/* --- Brokers --- */

static bool take_brokers(struct rep_meta *meta, bool source, const struct rmq_broker_info *brokers,
                         size_t count)
{
    const struct rep_settings *settings = &meta->settings;
    const char *cluster = source ? settings->source_cluster : settings->target_cluster;
    const struct rep_endpoint *endpoint = source ? &settings->source : &settings->target;
    struct rep_brokers *taken = source ? &meta->source_brokers : &meta->target_brokers;
    struct gantry_err reason = {0};
    const char *key = source ? "source-cluster" : "target-cluster";
    if (!rep_brokers_take(taken, cluster, brokers, count)) {
        rep_meta_fail(meta, GANTRY_NO_MEMORY, "no memory for the brokers");
        return false;
    }
    if (taken->count == 0) {
        int code = rep_brokers_unknown(cluster != NULL ? key : endpoint->key, cluster,
                                       endpoint->name_servers, brokers, count, &reason);
        rep_meta_fail(meta, code, "%s", reason.text);
        return false;
    }
    return true;
}

static void on_target_brokers(void *arg, int rc, const struct rmq_broker_info *brokers,
                              size_t count, const struct rmq_err *err)
{
    struct rep_meta *meta = arg;
    if (!rep_meta_is_over(meta)) {
        if (rc != 0)
            rep_meta_round_ended(meta, rc, "target-rocketmq", err->text);
        else if (take_brokers(meta, false, brokers, count)) {
            if (rep_brokers_meet(&meta->source_brokers, &meta->target_brokers))
                rep_meta_fail(meta, GANTRY_INVALID,
                              "source-rocketmq and target-rocketmq lead to one cluster; there is "
                              "nothing to copy");
            else
                look_at_topics(meta);
        }
    }
    rep_meta_came(meta);
}

static void on_source_brokers(void *arg, int rc, const struct rmq_broker_info *brokers,
                              size_t count, const struct rmq_err *given)
{
    struct rep_meta *meta = arg;
    struct rmq_err err = {0};
    if (!rep_meta_is_over(meta)) {
        if (rc != 0) {
            rep_meta_round_ended(meta, rc, "source-rocketmq", given->text);
        } else if (take_brokers(meta, true, brokers, count)) {
            meta->outstanding++;
            rc = rmq_admin_cluster(meta->target->client, on_target_brokers, meta, &err);
            if (rc != 0) {
                meta->outstanding--;
                rep_meta_round_ended(meta, rc, "target-rocketmq", err.text);
            }
        }
    }
    rep_meta_came(meta);
}

static void next_round(struct rep_meta *meta)
{
    struct rmq_err err = {0};
    pthread_mutex_lock(&meta->lock);
    bool full = meta->changes != NULL; /* the task cannot get on now: nothing may pile up */
    pthread_mutex_unlock(&meta->lock);
    if (full) {
        (void)uv_timer_start(&meta->timer, on_timer, (uint64_t)meta->settings.refresh_ms, 0);
        return;
    }
    meta->outstanding += 2; /* one is this function's */
    int rc = rmq_admin_cluster(meta->source->client, on_source_brokers, meta, &err);
    if (rc != 0) {
        meta->outstanding--;
        rep_meta_round_ended(meta, rc, "source-rocketmq", err.text);
    }
    rep_meta_came(meta);
}

/* --- Opening, closing --- */

static void on_open(struct rep_mail *mail)
{
    struct rep_meta *meta =
        (struct rep_meta *)((char *)mail - offsetof(struct rep_meta, open_mail));
    struct gantry_err err = {0};
    int code = rep_cluster_get(meta->link, &meta->settings.source, &meta->source, &err);
    if (code == 0)
        code = rep_cluster_get(meta->link, &meta->settings.target, &meta->target, &err);
    if (code != 0) {
        rep_meta_fail(meta, code, "%s", err.text);
        return;
    }
    (void)uv_timer_init(rep_link_loop(meta->link), &meta->timer); /* cannot fail */
    meta->timer.data = meta;
    meta->timer_open = true;
    meta->outstanding++;
    next_round(meta);
}

static void on_close(struct rep_mail *mail)
{
    struct rep_meta *meta =
        (struct rep_meta *)((char *)mail - offsetof(struct rep_meta, close_mail));
    meta->outstanding++;
    meta->stopping = true;
    close_timer(meta);
    rep_cluster_put(meta->source);
    rep_cluster_put(meta->target);
    meta->source = meta->target = NULL;
    rep_meta_came(meta);
}

/* --- The task's half --- */

static void meta_stop(void *arg)
{
    struct rep_meta *meta = arg;
    pthread_mutex_lock(&meta->lock);
    meta->closed = true;
    pthread_mutex_unlock(&meta->lock);
    rep_link_send(meta->link, &meta->close_mail);
}

static int meta_start(void *arg, struct gantry_task_context *ctx, void **ret,
                      struct gantry_err *err)
{
    struct rep_plugin *plugin = arg;
    const struct gantry_config *config = ctx->config;
    struct rep_meta *meta = calloc(1, sizeof *meta);
    if (meta == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a task");
    (void)pthread_mutex_init(&meta->lock, NULL); /* cannot fail on Linux */
    meta->link = plugin->link;
    meta->ctx = ctx;
    meta->task = ctx->task;
    meta->task_count = ctx->task_count > 0 ? ctx->task_count : 1;
    meta->changes_last = &meta->changes;
    meta->open_mail.run = on_open;
    meta->close_mail.run = on_close;
    meta->copy_topics = gantry_config_get_bool(config, "sync.topics", true);
    meta->copy_groups = gantry_config_get_bool(config, "sync.groups", true);
    meta->copy_offsets = gantry_config_get_bool(config, "sync.offsets", true);
    meta->report = gantry_config_get(config, "topic") != NULL;
    int code = rep_config_copy(&meta->config, config);
    if (code != 0)
        (void)gantry_err_set(err, code, "no memory for a task");
    rep_settings_read(&meta->settings, plugin->runtime, &meta->config.api);
    if (code == 0)
        code = rep_patterns_new("white-list", gantry_config_get(config, "white-list"),
                                &meta->topics, err);
    if (code == 0)
        code = rep_patterns_new("group.white-list", gantry_config_get(config, "group.white-list"),
                                &meta->groups, err);
    if (code == 0)
        code = rep_offsets_new(meta, &meta->offsets);
    if (code == 0)
        code = rep_link_start(plugin->link, err);
    if (code != 0) {
        free_meta(meta);
        return code;
    }
    rep_link_send(plugin->link, &meta->open_mail);
    *ret = meta;
    return 0;
}

static int add_change(struct gantry_batch *batch, const struct rep_change *change)
{
    static const struct gantry_field field = {"Offset", GANTRY_TYPE_INT64};
    static const struct gantry_schema schema = {sizeof schema, "Offset", "RmqMetaReplicator", 1,
                                                &field};
    static const char *const names[] = {"group", "topic", "broker", "queue"};
    struct gantry_record *record = gantry_batch_add(batch);
    struct gantry_header *headers = batch->alloc(batch, 5 * sizeof *headers);
    size_t room = strlen(change->group) + strlen(change->topic) + strlen(change->broker) + 64;
    char *text = batch->alloc(batch, room);
    if (record == NULL || headers == NULL || text == NULL)
        return GANTRY_NO_MEMORY;
    char *at = text;
    size_t len = (size_t)sprintf(at, "[%" PRId64 "]", change->offset); /* fits, as what follows */
    record->value = (struct gantry_view){at, len};
    record->schema = &schema;
    headers[0] =
        (struct gantry_header){gantry_view_of("connect-entrytype"), gantry_view_of("UPDATE")};
    for (size_t i = 0; i < 4; i++) {
        at += len;
        if (i < 3) {
            const char *from = i == 0 ? change->group : i == 1 ? change->topic : change->broker;
            len = strlen(from);
            memcpy(at, from, len);
        } else {
            len = (size_t)sprintf(at, "%d", (int)change->queue_id);
        }
        headers[i + 1] =
            (struct gantry_header){gantry_view_of(names[i]), (struct gantry_view){at, len}};
    }
    record->key = headers[1].value;
    record->headers = headers;
    record->header_count = 5;
    return 0;
}

static int meta_poll(void *arg, struct gantry_batch *batch, struct gantry_err *err)
{
    struct rep_meta *meta = arg;
    pthread_mutex_lock(&meta->lock);
    int code = meta->failure;
    if (code != 0)
        (void)gantry_err_set(err, code, "%s", meta->failure_text);
    struct rep_change *changes = meta->changes;
    meta->changes = NULL;
    meta->changes_last = &meta->changes;
    pthread_mutex_unlock(&meta->lock);
    for (struct rep_change *change = changes; change != NULL && code == 0; change = change->next) {
        code = add_change(batch, change);
        if (code != 0)
            (void)gantry_err_set(err, code, "no memory for the offsets that changed");
    }
    free_changes(&changes);
    return code;
}

/* --- Configuration --- */

static void meta_validate(void *arg, const char *name, const struct gantry_config *config,
                          struct gantry_findings *findings)
{
    static const char *const lists[] = {"white-list", "group.white-list"};
    const struct rep_plugin *plugin = arg;
    struct rep_settings settings;
    struct rep_patterns *patterns;
    struct gantry_err err = {0};
    (void)name;
    rep_settings_read(&settings, plugin->runtime, config);
    rep_settings_check(&settings, findings);
    for (size_t i = 0; i < 2; i++) {
        if (rep_patterns_new(lists[i], gantry_config_get(config, lists[i]), &patterns, &err) != 0)
            findings->add(findings, lists[i], err.text);
        else
            rep_patterns_free(patterns);
    }
    if (settings.target.name_servers == NULL)
        findings->add(
            findings, "target-rocketmq",
            "target-rocketmq: missing; this worker has no namesrvAddr, so the name servers "
            "of the cluster to copy to have to be given");
}

static int meta_split(void *arg, const struct gantry_config *config, uint32_t max_tasks,
                      struct gantry_task_list *list, struct gantry_err *err)
{
    (void)arg;
    (void)config;
    int rc = 0;
    for (uint32_t i = 0; i < max_tasks && rc == 0; i++)
        rc = list->begin(list);
    return rc == 0 ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the tasks");
}

static const struct gantry_config_def defs[] = {
    {.name = "target-rocketmq",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .doc =
         "Name servers of the cluster that is copied to. Without it: namesrvAddr of the worker."},
    {.name = "white-list",
     .type = GANTRY_CONFIG_LIST,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .default_value = ".*",
     .doc = "Regular expressions, separated by commas: the topics whose definition and offsets are "
            "copied."},
    {.name = "group.white-list",
     .type = GANTRY_CONFIG_LIST,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .default_value = ".*",
     .doc = "The same for consumer groups. Those that belong to RocketMQ or to workers never are."},
    {.name = "sync.topics",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "true",
     .doc = "Make topics that the target does not have, as the source has them."},
    {.name = "sync.groups",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "true",
     .doc = "Make groups that the target does not have, or has otherwise."},
    {.name = "sync.offsets",
     .type = GANTRY_CONFIG_BOOL,
     .default_value = "true",
     .doc = "Raise the groups' offsets in the target to where they stand at the source, by the "
            "gantry.origin of the copies."},
    {.name = "topic",
     .aliases = "offset.sync.topic,connect.topicname",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .doc = "A topic of the worker that gets a record for each offset that was set. Without it: "
            "none."},
    REP_COMMON_DEFS,
};

static const char *const class_names[] = {"org.apache.rocketmq.replicator.RmqMetaReplicator", NULL};

const struct gantry_connector rep_meta_connector = {
    .struct_size = sizeof(struct gantry_connector),
    .kind = GANTRY_SOURCE,
    .flags = GANTRY_CONNECTOR_NO_REPLAY | GANTRY_CONNECTOR_HEADERS_AS_IS,
    .class_names = class_names,
    .task_class = "org.apache.rocketmq.replicator.MetaSourceTask",
    .version = REP_PLUGIN_VERSION,
    .doc = "Copies topics' definitions, consumer groups and their offsets to another RocketMQ "
           "cluster.",
    .defs = defs,
    .def_count = sizeof defs / sizeof defs[0],
    .validate = meta_validate,
    .split = meta_split,
    .task_start = meta_start,
    .poll = meta_poll,
    .task_stop = meta_stop,
};
