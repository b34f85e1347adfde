/* SPDX-License-Identifier: Apache-2.0 */
/* The log's two halves. What the control loop wants is in `wanted`, what the link's thread has got
 * is in `got`, both under one lock; a mail to the other side says "look". So nothing is queued
 * without a bound but what was pulled, which the puller bounds: it is paused while the control loop
 * has not taken what there is. */
#include "cluster/log.h"

#include "base/clock.h"
#include "base/log.h"
#include <rocketmq/admin.h>
#include <rocketmq/consumer.h>
#include <rocketmq/producer.h>
#include <stdlib.h>

enum {
    RETRY_MS = 500,
    SEND_TIMEOUT_MS = 2000,
    BLOCKS_MAX = 256, /* pulled and not yet looked at */
    MESSAGE_MAX = 4 << 20,
};

enum step {
    STEP_ROUTE,
    STEP_CREATE,
    STEP_ADDRESS,
    STEP_GROUP,
    STEP_MIN,
    STEP_MAX,
    STEP_SNAPSHOT,
    STEP_FOUND
};

struct gt_cluster_log {
    struct gt_link *link;
    struct gt_mailbox *control;
    const struct gt_cluster_log_events *events;
    void *arg;
    bool visitor;
    char *group, *topic, *snapshot_group; /* owned */

    /* The link thread's. */
    struct rmq_client *client;
    struct rmq_producer *producer;
    struct rmq_puller *puller;
    struct rmq_membership *membership;
    uv_timer_t timer;
    bool timer_open, opened;
    enum step step;
    char *broker; /* owned: of the queue */
    int32_t queue_id;
    char *address;      /* owned: the broker's, as last known; NULL: not known yet */
    bool asking_broker; /* who it is */
    bool probing;       /* whether it is there */
    int64_t attempt_ms; /* when we last began to send or to ask */
    bool look_again;    /* when it can be reached again: it may be another one */
    int64_t min, max;
    struct gt_buf sending; /* the message under way */
    bool send_open;        /* a send has not ended yet */
    bool asking_members, ask_members_again;
    size_t calls; /* callbacks that will come */

    struct gt_mail link_mail, control_mail, closed_mail;
    void (*closed)(void *arg);
    void *closed_arg;

    pthread_mutex_t lock;
    struct {
        bool close, read, send, point;
        int64_t read_offset, point_offset;
        struct gt_buf message;
    } wanted;
    struct {
        bool found, missing, stored, gap, members, paused;
        int64_t min, max, snapshot, gap_offset;
        enum gt_cluster_reach reach, interruption; /* GT_REACH_OK: there was none */
        int64_t interruption_ms;                   /* when the attempt began that failed */
        bool reach_changed;
        char reach_text[300]; /* of the interruption */
        const struct rmq_block *blocks[BLOCKS_MAX];
        size_t block_count;
        char **names;
        size_t name_count;
        uint64_t reading; /* grows with each read: blocks of an older one are not wanted */
    } got;
    bool closing; /* the control loop's: events are over */
};

static void tell_control(struct gt_cluster_log *log)
{
    gt_mailbox_send(log->control, &log->control_mail);
}

/* An interruption is told even when it has passed before control looks: nobody may count another
 * one's silence across it. */
static void set_reach(struct gt_cluster_log *log, enum gt_cluster_reach reach, const char *text)
{
    pthread_mutex_lock(&log->lock);
    if (reach != GT_REACH_OK) {
        log->got.interruption = reach;
        log->got.interruption_ms = log->attempt_ms;
        snprintf(log->got.reach_text, sizeof log->got.reach_text, "%s", text);
    }
    log->got.reach_changed = log->got.reach_changed || reach != log->got.reach;
    log->got.reach = reach;
    pthread_mutex_unlock(&log->lock);
    tell_control(log);
}

static bool probe(struct gt_cluster_log *log);

/* What an error says about the log's broker: nobody listens, or nobody answers here. A broker that
 * was stopped in order is not known to the name servers any more, which says nothing about those
 * who are connected to it: then it is asked itself. */
static void set_unreachable(struct gt_cluster_log *log, int rc, const struct rmq_err *err)
{
    bool unreachable = rc == RMQ_UNREACHABLE;
    bool refused = unreachable && log->address != NULL && strstr(err->text, "refused") != NULL &&
                   strstr(err->text, log->address) != NULL;
    log->look_again = true;
    if (refused || !(unreachable || rc == RMQ_NOT_FOUND) || !probe(log))
        set_reach(log, refused ? GT_REACH_REFUSED : GT_REACH_LOST, err->text);
}

/* --- Finding the queue --- */

static void on_retry(uv_timer_t *timer);
static void take_step(struct gt_cluster_log *log);
static void look_for_end(struct gt_cluster_log *log);
static void work(struct gt_cluster_log *log);

static bool is_closing(struct gt_cluster_log *log)
{
    pthread_mutex_lock(&log->lock);
    bool closing = log->wanted.close;
    pthread_mutex_unlock(&log->lock);
    return closing;
}

static void retry_later(struct gt_cluster_log *log, int rc, const struct rmq_err *err)
{
    set_unreachable(log, rc, err);
    if (log->timer_open && !uv_is_active((uv_handle_t *)&log->timer))
        uv_timer_start(&log->timer, on_retry, RETRY_MS, 0);
}

static void next_step(struct gt_cluster_log *log, enum step step)
{
    log->step = step;
    take_step(log);
}

/* A callback has come: true when it is to be dealt with. */
static bool arrived(struct gt_cluster_log *log)
{
    log->calls--;
    if (!is_closing(log))
        return true;
    look_for_end(log);
    return false;
}

static void on_route(void *arg, int rc, const struct rmq_route *route, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    if (rc == RMQ_NOT_FOUND && log->visitor) {
        pthread_mutex_lock(&log->lock);
        log->got.missing = true;
        pthread_mutex_unlock(&log->lock);
        tell_control(log);
    } else if (rc == RMQ_NOT_FOUND) {
        next_step(log, STEP_CREATE);
    } else if (rc != 0) {
        retry_later(log, rc, err);
    } else if (route->read_count == 0) {
        struct rmq_err none = {.code = RMQ_NOT_FOUND};
        snprintf(none.text, sizeof none.text, "topic %s has no queue to read from", log->topic);
        retry_later(log, RMQ_NOT_FOUND, &none);
    } else {
        free(log->broker);
        log->broker = strdup(route->read_queues[0].broker);
        log->queue_id = route->read_queues[0].id;
        struct rmq_err none = {.code = RMQ_NO_MEMORY, .text = "out of memory"};
        if (log->broker == NULL)
            retry_later(log, RMQ_NO_MEMORY, &none);
        else
            next_step(log, STEP_ADDRESS);
    }
}

static void on_created(void *arg, int rc, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    log->step = STEP_ROUTE;
    if (rc != 0) {
        retry_later(log, rc, err);
        return;
    }
    gt_info("cluster", "made the cluster's topic topic=%s", log->topic);
    take_step(log);
}

/* On one broker alone: its one queue is what puts all messages in one order. Workers that look at
 * the same time choose the same one. */
static void on_brokers(void *arg, int rc, const struct rmq_broker_info *brokers, size_t count,
                       const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    const char *first = NULL;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool master = false;
        for (size_t j = 0; j < brokers[i].address_count; j++)
            master = master || brokers[i].addresses[j].id == 0;
        if (master && (first == NULL || strcmp(brokers[i].name, first) < 0))
            first = brokers[i].name;
    }
    struct rmq_topic_options options = {
        .struct_size = sizeof options,
        .topic = log->topic,
        .read_queues = 1,
        .write_queues = 1,
        .broker = first,
    };
    struct rmq_err reason = {.code = RMQ_NOT_FOUND, .text = "the name server knows no broker yet"};
    int code = rc != 0 ? rc : first == NULL ? RMQ_NOT_FOUND : 0;
    if (code == 0)
        code = rmq_admin_create_topic(log->client, &options, on_created, log, &reason);
    if (code == 0) {
        log->calls++;
        return;
    }
    log->step = STEP_ROUTE;
    retry_later(log, code, rc != 0 ? err : &reason);
}

/* Keep the address of the log's broker. */
static void take_address(struct gt_cluster_log *log, const struct rmq_broker_info *brokers,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(brokers[i].name, log->broker) != 0)
            continue;
        for (size_t j = 0; j < brokers[i].address_count; j++) {
            char *address =
                brokers[i].addresses[j].id == 0 ? strdup(brokers[i].addresses[j].address) : NULL;
            if (address == NULL)
                continue;
            free(log->address);
            log->address = address;
            log->look_again = false;
        }
    }
}

static void on_address(void *arg, int rc, const struct rmq_broker_info *brokers, size_t count,
                       const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    log->asking_broker = false;
    if (!arrived(log))
        return;
    if (rc == 0)
        take_address(log, brokers, count);
    if (log->step != STEP_ADDRESS)
        return; /* asked again behind an interruption */
    if (rc != 0)
        retry_later(log, rc, err);
    else
        next_step(log, log->visitor ? STEP_MIN : STEP_GROUP);
}

/* The log can be reached: see whether its broker is where it was. */
static void set_reached(struct gt_cluster_log *log)
{
    struct rmq_err err;
    set_reach(log, GT_REACH_OK, "");
    if (!log->look_again || log->asking_broker || log->step != STEP_FOUND ||
        rmq_admin_cluster(log->client, on_address, log, &err) != 0)
        return;
    log->look_again = false;
    log->asking_broker = true;
    log->calls++;
}

static void on_probed(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    (void)reply;
    log->probing = false;
    if (!arrived(log))
        return;
    if (rc == 0)
        set_reach(log, GT_REACH_LOST,
                  "the broker of the cluster log is there, the name servers do not name it yet");
    else
        set_reach(log,
                  rc == RMQ_UNREACHABLE && strstr(err->text, "refused") != NULL ? GT_REACH_REFUSED
                                                                                : GT_REACH_LOST,
                  err->text);
}

/* Ask the broker, where it was last, for anything: true when on_probed will say what came of it. */
static bool probe(struct gt_cluster_log *log)
{
    struct rmq_command request;
    struct rmq_err err;
    if (log->step != STEP_FOUND || log->address == NULL || is_closing(log))
        return false;
    if (log->probing)
        return true;
    log->attempt_ms = gt_clock_boot_ms();
    rmq_command_init(&request, RMQ_GET_MIN_OFFSET);
    rmq_command_add_str(&request, "topic", log->topic);
    rmq_command_add_int(&request, "queueId", log->queue_id);
    log->probing =
        rmq_client_call_address(log->client, log->address, &request, 0, on_probed, log, &err) == 0;
    rmq_command_deinit(&request);
    log->calls += log->probing ? 1 : 0;
    return log->probing;
}

static void on_group(void *arg, int rc, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    if (rc != 0) /* it may be there all the same, made by somebody with the right to */
        gt_warn("cluster", "cannot make the group of snapshots group=%s: %s", log->snapshot_group,
                err->text);
    next_step(log, STEP_MIN);
}

static void on_offset(void *arg, int rc, int64_t offset, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    if (rc != 0 && !(rc == RMQ_NOT_FOUND && log->step == STEP_SNAPSHOT)) {
        retry_later(log, rc, err);
        return;
    }
    if (log->step == STEP_MIN) {
        log->min = offset;
        next_step(log, STEP_MAX);
    } else if (log->step == STEP_MAX) {
        log->max = offset;
        next_step(log, STEP_SNAPSHOT);
    } else {
        log->step = STEP_FOUND;
        pthread_mutex_lock(&log->lock);
        log->got.found = true;
        log->got.min = log->min;
        log->got.max = log->max;
        log->got.snapshot = rc == 0 ? offset : -1;
        pthread_mutex_unlock(&log->lock);
        set_reach(log, GT_REACH_OK, "");
        work(log);
    }
}

static void take_step(struct gt_cluster_log *log)
{
    struct rmq_err err = {0};
    struct rmq_group_options group = {.struct_size = sizeof group, .group = log->snapshot_group};
    int rc = 0;
    switch (log->step) {
    case STEP_ROUTE:
        rc = rmq_client_route(log->client, log->topic, true, on_route, log, &err);
        break;
    case STEP_CREATE:
        rc = rmq_admin_cluster(log->client, on_brokers, log, &err);
        break;
    case STEP_ADDRESS:
        rc = rmq_admin_cluster(log->client, on_address, log, &err);
        break;
    case STEP_GROUP:
        rc = rmq_admin_create_group(log->client, &group, on_group, log, &err);
        break;
    case STEP_MIN:
        rc = rmq_admin_min_offset(log->client, log->topic, log->broker, log->queue_id, on_offset,
                                  log, &err);
        break;
    case STEP_MAX:
        rc = rmq_admin_max_offset(log->client, log->topic, log->broker, log->queue_id, on_offset,
                                  log, &err);
        break;
    case STEP_SNAPSHOT:
        rc = rmq_admin_group_offset(log->client, log->snapshot_group, log->topic, log->broker,
                                    log->queue_id, on_offset, log, &err);
        break;
    case STEP_FOUND:
        return;
    }
    if (rc == 0)
        log->calls++;
    else
        retry_later(log, rc, &err);
}

static void on_retry(uv_timer_t *timer)
{
    struct gt_cluster_log *log = timer->data;
    if (log->step != STEP_FOUND)
        take_step(log);
    else
        work(log);
}

/* --- Members --- */

static void ask_members(struct gt_cluster_log *log);

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static void on_members(void *arg, int rc, const char *const *ids, size_t count,
                       const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    (void)err; /* the next change, or the next question, asks again */
    log->asking_members = false;
    if (!arrived(log))
        return;
    char **names = rc == 0 ? calloc(count + 1, sizeof *names) : NULL;
    for (size_t i = 0; names != NULL && i < count; i++) {
        names[i] = strdup(ids[i]);
        if (names[i] == NULL) {
            free_names(names, i);
            names = NULL;
        }
    }
    if (names != NULL) {
        pthread_mutex_lock(&log->lock);
        free_names(log->got.names, log->got.name_count);
        log->got.names = names;
        log->got.name_count = count;
        log->got.members = true;
        pthread_mutex_unlock(&log->lock);
        tell_control(log);
    }
    if (log->ask_members_again)
        ask_members(log);
}

static void ask_members(struct gt_cluster_log *log)
{
    struct rmq_err err;
    log->ask_members_again = log->asking_members;
    if (log->asking_members || is_closing(log))
        return;
    if (rmq_client_members(log->client, log->group, log->topic, on_members, log, &err) == 0) {
        log->asking_members = true;
        log->calls++;
    }
}

static void on_members_changed(void *arg)
{
    ask_members(arg);
}

static void join_group(struct gt_cluster_log *log)
{
    const char *topics[] = {log->topic};
    struct rmq_membership_options options = {
        .struct_size = sizeof options,
        .group = log->group,
        .topics = topics,
        .topic_count = 1,
        .changed = on_members_changed,
        .arg = log,
    };
    struct rmq_err err = {0};
    if (log->membership == NULL &&
        rmq_membership_new(log->client, &options, &log->membership, &err) != 0)
        gt_warn("cluster", "cannot join the worker group group=%s: %s", log->group, err.text);
}

/* --- Reading --- */

static void on_pull_ready(void *arg)
{
    struct gt_cluster_log *log = arg;
    struct rmq_err err;
    for (;;) {
        const struct rmq_block *block = NULL;
        int64_t offset = 0;
        pthread_mutex_lock(&log->lock);
        bool full = log->got.block_count == BLOCKS_MAX;
        log->got.paused = full;
        pthread_mutex_unlock(&log->lock);
        if (full)
            break; /* the control loop says when it has taken them */
        int rc = rmq_puller_next(log->puller, &block, &offset, &err);
        if (rc == 0)
            break;
        pthread_mutex_lock(&log->lock);
        if (rc == 1 && log->wanted.read) { /* from somewhere else, from now on */
            rmq_block_unref(block);
        } else if (rc == 1) {
            log->got.blocks[log->got.block_count++] = block;
        } else if (rc == RMQ_MOVED) {
            log->got.gap = true;
            log->got.gap_offset = offset;
        }
        pthread_mutex_unlock(&log->lock);
        if (rc == 1)
            set_reached(log);
        else if (rc != RMQ_MOVED)
            set_unreachable(log, rc, &err);
        if (rc < 0)
            tell_control(log);
    }
    tell_control(log);
}

static void drop_blocks(struct gt_cluster_log *log)
{
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->got.block_count; i++)
        rmq_block_unref(log->got.blocks[i]);
    log->got.block_count = 0;
    log->got.gap = false;
    pthread_mutex_unlock(&log->lock);
}

static void read_from(struct gt_cluster_log *log, int64_t offset)
{
    struct rmq_puller_options options = {
        .struct_size = sizeof options,
        .group = log->snapshot_group,
        .topic = log->topic,
        .broker = log->broker,
        .queue_id = log->queue_id,
        .offset = offset,
        .max_in_flight = 4,
        .ready = on_pull_ready,
        .arg = log,
    };
    struct rmq_err err = {0};
    if (log->puller != NULL)
        rmq_puller_close(log->puller);
    log->puller = NULL;
    drop_blocks(log);
    int rc = rmq_puller_new(log->client, &options, &log->puller, &err);
    if (rc != 0) {
        pthread_mutex_lock(&log->lock);
        log->wanted.read = true;
        log->wanted.read_offset = offset;
        pthread_mutex_unlock(&log->lock);
        retry_later(log, rc, &err);
    }
}

/* --- Sending --- */

static void send_again(struct gt_cluster_log *log);

static void on_sent(void *arg, int rc, const struct rmq_send_result *result,
                    const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    (void)result;
    log->send_open = false;
    if (!arrived(log))
        return;
    if (rc != 0) {
        rmq_producer_resume(log->producer, log->topic, log->broker, log->queue_id);
        retry_later(log, rc, err);
        return;
    }
    gt_buf_clear(&log->sending);
    pthread_mutex_lock(&log->lock);
    log->got.stored = true;
    pthread_mutex_unlock(&log->lock);
    if (log->look_again && log->puller != NULL)
        rmq_puller_pause(log->puller, false); /* what was stored is to come back soon */
    set_reached(log);
    work(log);
}

/* Also after an unknown outcome: readers skip a message that they have seen. */
static void send_again(struct gt_cluster_log *log)
{
    struct rmq_target target = {log->topic, log->broker, log->queue_id};
    struct rmq_outgoing message = {.body = {log->sending.data, log->sending.len}};
    struct rmq_err err = {0};
    log->attempt_ms = gt_clock_boot_ms();
    int rc = rmq_producer_send(log->producer, &target, &message, 1, on_sent, log, &err);
    if (rc == 0) {
        log->send_open = true;
        log->calls++;
    } else {
        retry_later(log, rc, &err);
    }
}

static void on_pointed(void *arg, int rc, const struct rmq_err *err)
{
    struct gt_cluster_log *log = arg;
    if (!arrived(log))
        return;
    if (rc != 0) /* an older snapshot is as right, only longer to read on from */
        gt_warn("cluster", "cannot remember where the snapshot is: %s", err->text);
}

/* --- The link's side --- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct gt_cluster_log *log = handle->data;
    log->timer_open = false;
    look_for_end(log);
}

static void run_closed(struct gt_mail *mail)
{
    struct gt_cluster_log *log =
        (struct gt_cluster_log *)((char *)mail - offsetof(struct gt_cluster_log, closed_mail));
    void (*closed)(void *) = log->closed;
    void *arg = log->closed_arg;
    drop_blocks(log);
    free_names(log->got.names, log->got.name_count);
    gt_buf_deinit(&log->wanted.message);
    gt_buf_deinit(&log->sending);
    pthread_mutex_destroy(&log->lock);
    free(log->broker);
    free(log->address);
    free(log->group);
    free(log->topic);
    free(log->snapshot_group);
    free(log);
    if (closed != NULL)
        closed(arg);
}

static void look_for_end(struct gt_cluster_log *log)
{
    if (log->calls > 0 || log->timer_open)
        return;
    gt_mailbox_send(log->control, &log->closed_mail);
}

static void close_link_side(struct gt_cluster_log *log)
{
    if (log->puller != NULL)
        rmq_puller_close(log->puller);
    if (log->membership != NULL)
        rmq_membership_close(log->membership);
    if (log->producer != NULL)
        rmq_producer_close(log->producer); /* its send ends before this returns */
    log->puller = NULL;
    log->membership = NULL;
    log->producer = NULL;
    if (log->timer_open)
        uv_close((uv_handle_t *)&log->timer, on_timer_closed);
    else
        look_for_end(log);
}

static void open_link_side(struct gt_cluster_log *log)
{
    struct rmq_producer_options options = {
        .struct_size = sizeof options,
        .group = log->group,
        .send_timeout_ms = SEND_TIMEOUT_MS,
        .retries = -1,
        .ordered = true,
    };
    struct rmq_err err = {0};
    log->opened = true;
    log->client = gt_link_client(log->link);
    uv_timer_init(rmq_client_loop(log->client), &log->timer);
    log->timer.data = log;
    log->timer_open = true;
    int rc = rmq_producer_new(log->client, &options, &log->producer, &err);
    if (rc != 0) {
        log->opened = false; /* tried again by the timer */
        uv_timer_start(&log->timer, on_retry, RETRY_MS, 0);
        set_reach(log, GT_REACH_LOST, err.text);
        return;
    }
    take_step(log);
}

/* Do what is wanted, as far as it can be done now. */
static void work(struct gt_cluster_log *log)
{
    if (log->step != STEP_FOUND)
        return;
    pthread_mutex_lock(&log->lock);
    bool read = log->wanted.read, point = log->wanted.point;
    int64_t offset = log->wanted.read_offset, point_offset = log->wanted.point_offset;
    log->wanted.read = log->wanted.point = false;
    if (log->wanted.send && log->sending.len == 0) {
        struct gt_buf empty = log->sending;
        log->sending = log->wanted.message;
        log->wanted.message = empty;
        log->wanted.send = false;
    }
    bool resume = log->got.paused && log->got.block_count == 0;
    pthread_mutex_unlock(&log->lock);
    if (!log->visitor)
        join_group(log);
    if (read)
        read_from(log, offset);
    else if (resume && log->puller != NULL)
        on_pull_ready(log);
    if (log->sending.len > 0 && !log->send_open)
        send_again(log);
    struct rmq_err err;
    if (point &&
        rmq_admin_set_group_offset(log->client, log->snapshot_group, log->topic, log->broker,
                                   log->queue_id, point_offset, on_pointed, log, &err) == 0)
        log->calls++;
}

static void on_link_mail(struct gt_mail *mail)
{
    struct gt_cluster_log *log =
        (struct gt_cluster_log *)((char *)mail - offsetof(struct gt_cluster_log, link_mail));
    if (is_closing(log))
        close_link_side(log);
    else if (!log->opened)
        open_link_side(log);
    else
        work(log);
}

/* --- The control loop's side --- */

/* Up to where somebody asks to read from somewhere else. */
static void hand_out(struct gt_cluster_log *log, const struct rmq_block *block, uint64_t reading)
{
    struct rmq_view rest = block->bytes;
    struct rmq_message message;
    struct rmq_err err;
    while (!log->closing && reading == log->got.reading &&
           rmq_message_next(&rest, &message, &err) == 1) {
        if (message.queue_offset >= block->first_offset)
            log->events->message(log->arg, message.queue_offset,
                                 (struct gantry_view){message.body.data, message.body.len});
    }
}

static void on_control_mail(struct gt_mail *mail)
{
    struct gt_cluster_log *log =
        (struct gt_cluster_log *)((char *)mail - offsetof(struct gt_cluster_log, control_mail));
    const struct rmq_block *blocks[BLOCKS_MAX];
    pthread_mutex_lock(&log->lock);
    size_t count = log->got.block_count;
    memcpy(blocks, log->got.blocks, count * sizeof *blocks);
    log->got.block_count = 0;
    bool found = log->got.found, missing = log->got.missing, stored = log->got.stored,
         gap = log->got.gap;
    bool reach_changed = log->got.reach_changed, paused = log->got.paused;
    bool members = log->got.members;
    int64_t min = log->got.min, max = log->got.max, snapshot = log->got.snapshot;
    int64_t gap_offset = log->got.gap_offset;
    enum gt_cluster_reach reach = log->got.reach, interruption = log->got.interruption;
    int64_t interruption_ms = log->got.interruption_ms;
    log->got.interruption = GT_REACH_OK;
    char text[sizeof log->got.reach_text];
    memcpy(text, log->got.reach_text, sizeof text);
    char **names = log->got.names;
    size_t name_count = log->got.name_count;
    if (members) {
        log->got.names = NULL;
        log->got.name_count = 0;
    }
    log->got.found = log->got.stored = log->got.gap = log->got.reach_changed = false;
    log->got.members = log->got.missing = false;
    uint64_t reading = log->got.reading;
    pthread_mutex_unlock(&log->lock);

    if (interruption != GT_REACH_OK && !log->closing)
        log->events->reach(log->arg, interruption, text, interruption_ms);
    if (reach_changed && reach == GT_REACH_OK && !log->closing)
        log->events->reach(log->arg, GT_REACH_OK, "", gt_clock_boot_ms());
    if (missing && !log->closing)
        log->events->missing(log->arg, log->topic);
    if (found && !log->closing)
        log->events->found(log->arg, min, max, snapshot);
    for (size_t i = 0; i < count; i++) {
        if (!log->closing && reading == log->got.reading)
            hand_out(log, blocks[i], reading);
        rmq_block_unref(blocks[i]);
    }
    if (gap && !log->closing && reading == log->got.reading)
        log->events->gap(log->arg, gap_offset);
    if (stored && !log->closing)
        log->events->stored(log->arg);
    if (members && !log->closing)
        log->events->members(log->arg, (const char *const *)names, name_count);
    if (members)
        free_names(names, name_count);
    if (paused && !log->closing)
        gt_link_send(log->link, &log->link_mail);
}

int gt_cluster_log_open(const struct gt_cluster_log_setup *setup, struct gt_cluster_log **ret,
                        struct gantry_err *err)
{
    struct gt_cluster_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the cluster log");
    pthread_mutex_init(&log->lock, NULL);
    log->link = setup->link;
    log->control = setup->control;
    log->events = setup->events;
    log->arg = setup->arg;
    log->visitor = setup->visitor;
    log->link_mail.run = on_link_mail;
    log->control_mail.run = on_control_mail;
    log->closed_mail.run = run_closed;
    gt_buf_init(&log->wanted.message, MESSAGE_MAX);
    gt_buf_init(&log->sending, MESSAGE_MAX);
    log->group = strdup(setup->cluster);
    if (log->group == NULL || asprintf(&log->topic, "gantry-cluster-%s", setup->cluster) < 0)
        log->topic = NULL;
    if (log->topic == NULL ||
        asprintf(&log->snapshot_group, "gantry-snapshot-%s", setup->cluster) < 0) {
        log->snapshot_group = NULL;
        run_closed(&log->closed_mail);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the cluster log");
    }
    gt_link_send(log->link, &log->link_mail);
    *ret = log;
    return 0;
}

void gt_cluster_log_read(struct gt_cluster_log *log, int64_t offset)
{
    pthread_mutex_lock(&log->lock);
    log->wanted.read = true;
    log->wanted.read_offset = offset;
    log->got.reading++;
    for (size_t i = 0; i < log->got.block_count; i++)
        rmq_block_unref(log->got.blocks[i]);
    log->got.block_count = 0;
    pthread_mutex_unlock(&log->lock);
    gt_link_send(log->link, &log->link_mail);
}

void gt_cluster_log_send(struct gt_cluster_log *log, struct gt_buf *message)
{
    pthread_mutex_lock(&log->lock);
    struct gt_buf empty = log->wanted.message;
    gt_buf_clear(&empty);
    log->wanted.message = *message;
    *message = empty;
    log->wanted.send = true;
    pthread_mutex_unlock(&log->lock);
    gt_link_send(log->link, &log->link_mail);
}

void gt_cluster_log_point(struct gt_cluster_log *log, int64_t offset)
{
    pthread_mutex_lock(&log->lock);
    log->wanted.point = true;
    log->wanted.point_offset = offset;
    pthread_mutex_unlock(&log->lock);
    gt_link_send(log->link, &log->link_mail);
}

void gt_cluster_log_close(struct gt_cluster_log *log, void (*done)(void *arg), void *arg)
{
    log->closing = true;
    log->closed = done;
    log->closed_arg = arg;
    pthread_mutex_lock(&log->lock);
    log->wanted.close = true;
    pthread_mutex_unlock(&log->lock);
    gt_link_send(log->link, &log->link_mail);
}
