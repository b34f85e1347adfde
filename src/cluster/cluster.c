/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine's surroundings.
 *
 * Start: the log is found; the last snapshot is read (parts may lie apart, other messages between
 * them), then the messages behind the offset that it speaks of; at the end that the log had, the
 * worker joins. What the store's committer proposes is numbered here, and settled in the order in
 * which the log brings it back. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/entry.h"
#include "cluster/log.h"
#include "cluster/snapshot_io.h"
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

enum {
    MESSAGE_BYTES = 256 << 10, /* entries that wait are put together up to this */
    WAITING_MAX = 16 << 20,    /* of entries that wait, before no more is taken from outside */
    LEAVE_MS = 1000,           /* how long a leave waits for a log that cannot be reached */
    ENTRY_MAX = GT_CLUSTER_MESSAGE_MAX - 64,
};

enum phase { PHASE_FINDING, PHASE_SNAPSHOT, PHASE_REPLAY, PHASE_JOINED };

/* Entries that wait for the message under way. */
struct chunk {
    struct chunk *next;
    struct gt_buf entries;
    bool alone; /* nothing is added to it */
};

struct proposal {
    struct proposal *next;
    struct gt_commit *commit;
    uint64_t number;
};

struct gt_cluster {
    struct gt_cluster_setup setup;
    char *member; /* owned */
    struct gt_cluster_log *log;
    struct gt_cluster_state *state;
    struct gt_incarnation incarnation;
    enum phase phase;
    int64_t next;         /* offset of the next message that counts */
    int64_t end_at_start; /* behind it: the present */
    int64_t min;
    struct gt_snapshot_reader *snapshot; /* while it is read */
    uint64_t last_hash;                  /* of the message before `next` */
    bool last_known;
    bool interrupted; /* the log could not be reached: is that message still there? */
    bool comparing;   /* it is read once more */
    bool unreadable;  /* the worker has failed: nothing more of the log is applied */

    uint64_t sent; /* number of our last message */
    struct chunk *head, *last;
    size_t waiting; /* bytes in them */
    bool sending;
    struct gt_buf message;

    struct proposal *proposals, **proposals_tail; /* in the log, or on the way */
    uint64_t proposed;
    struct gt_store_relay relay;
    bool settled;                      /* something, since the store was last waited for */
    struct gt_snapshot_writer *writer; /* while one is made */

    uv_timer_t timer;
    char **group; /* owned */
    size_t group_count;
    char trouble[300];
    size_t running; /* own tasks that do not stand still */
    bool fenced;    /* to join again, once they do */
    bool joined_told, closing;
    bool reset_seen; /* in the present message */
    void (*left)(void *arg);
    void *left_arg;
    int64_t quit_ms;
    bool leaves_unheard;
    void (*closed)(void *arg);
    void *closed_arg;
    size_t open; /* handles and the log */

    struct gt_mail proposed_mail, send_mail, last_mail;
    pthread_mutex_t lock; /* guards incoming */
    struct gt_commit *incoming, **incoming_tail;
};

static int64_t now_ms(void)
{
    return gt_clock_boot_ms();
}

/* For those who act for the tasks, on other threads. */
static void note_lease(struct gt_cluster *cluster)
{
    if (cluster->setup.lease_until_ms != NULL) /* a visitor has no tasks */
        atomic_store(cluster->setup.lease_until_ms, gt_cluster_lease_until(cluster->state));
}

static void schedule(struct gt_cluster *cluster);
static void send_next(struct gt_cluster *cluster);

static void fail(struct gt_cluster *cluster, int code, const char *text)
{
    struct gantry_err err;
    gantry_err_set(&err, code, "%s", text);
    gt_error("cluster", "%s", text);
    cluster->setup.events->failed(cluster->setup.arg, &err);
}

/* --- Out: entries to messages, one message at a time --- */

static void add_entries(struct gt_cluster *cluster, struct gantry_view entries, bool alone)
{
    struct chunk *last = cluster->last;
    if (last == NULL || alone || last->alone || last->entries.len + entries.len > MESSAGE_BYTES) {
        struct chunk *chunk = calloc(1, sizeof *chunk);
        if (chunk == NULL) {
            fail(cluster, GANTRY_NO_MEMORY, "no memory for a message of the cluster");
            return;
        }
        gt_buf_init(&chunk->entries, ENTRY_MAX);
        chunk->alone = alone;
        if (last != NULL)
            last->next = chunk;
        else
            cluster->head = chunk;
        last = cluster->last = chunk;
    }
    cluster->waiting += entries.len;
    if (gt_buf_add_view(&last->entries, entries) != 0)
        fail(cluster, last->entries.error, "no memory for a message of the cluster");
    /* Not from here: the machine may be what asks. */
    gt_mailbox_send(cluster->setup.control, &cluster->send_mail);
}

static void append(void *arg, struct gantry_view entries)
{
    add_entries(arg, entries, false);
}

static void send_next(struct gt_cluster *cluster)
{
    struct chunk *chunk = cluster->head;
    if (cluster->sending || cluster->closing || chunk == NULL || cluster->phase == PHASE_FINDING)
        return;
    cluster->head = chunk->next;
    if (cluster->head == NULL)
        cluster->last = NULL;
    cluster->waiting -= chunk->entries.len;
    gt_buf_clear(&cluster->message);
    gt_cluster_message_write(&cluster->message, &cluster->incarnation, ++cluster->sent,
                             gt_buf_view(&chunk->entries));
    gt_buf_deinit(&chunk->entries);
    free(chunk);
    if (cluster->message.error != 0) {
        fail(cluster, cluster->message.error, "no memory for a message of the cluster");
        return;
    }
    cluster->sending = true;
    /* Before it goes: the lease counts from here. */
    gt_cluster_sent(cluster->state, cluster->sent, now_ms());
    gt_cluster_log_send(cluster->log, &cluster->message);
}

static void on_last_mail(struct gt_mail *mail);

static void on_send_mail(struct gt_mail *mail)
{
    struct gt_cluster *cluster =
        (struct gt_cluster *)((char *)mail - offsetof(struct gt_cluster, send_mail));
    send_next(cluster);
    schedule(cluster);
}

static void drop_chunks(struct gt_cluster *cluster)
{
    while (cluster->head != NULL) {
        struct chunk *chunk = cluster->head;
        cluster->head = chunk->next;
        gt_buf_deinit(&chunk->entries);
        free(chunk);
    }
    cluster->last = NULL;
    cluster->waiting = 0;
}

/* --- Commits --- */

/* Thread: the committer. */
static void propose(void *arg, struct gt_commit *group)
{
    struct gt_cluster *cluster = arg;
    pthread_mutex_lock(&cluster->lock);
    *cluster->incoming_tail = group;
    while (*cluster->incoming_tail != NULL)
        cluster->incoming_tail = &(*cluster->incoming_tail)->next;
    pthread_mutex_unlock(&cluster->lock);
    gt_mailbox_send(cluster->setup.control, &cluster->proposed_mail);
}

static void settle(struct gt_cluster *cluster, struct gt_commit *commit)
{
    cluster->settled = true;
    gt_store_settle(cluster->setup.store, commit);
}

/* Have the store show what the log has said up to here: the committer applies it beside this
 * thread, and a task that starts now must not begin at what was true before its former owner's last
 * commit. */
static void show_settled(struct gt_cluster *cluster)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit nothing;
    if (!cluster->settled)
        return;
    cluster->settled = false;
    gt_commit_init(&nothing, &no_ops);
    (void)gt_store_commit_now(cluster->setup.store, &nothing, NULL); /* a broken store says so */
    gt_commit_deinit(&nothing);
}

static void refuse(struct gt_cluster *cluster, struct gt_commit *commit, int code, const char *text)
{
    gantry_err_set(&commit->err, code, "%s", text);
    settle(cluster, commit);
}

static void add_proposal(struct gt_cluster *cluster, struct gt_commit *commit)
{
    const struct gt_claim *claim = commit->claim;
    if (cluster->closing || cluster->leaves_unheard || !gt_cluster_is_member(cluster->state)) {
        refuse(cluster, commit, GANTRY_CLOSED, "this worker is not a member of the cluster now");
        return;
    }
    if (commit->changes.len > ENTRY_MAX - 4096) {
        refuse(cluster, commit, GANTRY_TOO_LARGE,
               "positions or state are larger than a broker takes");
        return;
    }
    struct proposal *proposal = calloc(1, sizeof *proposal);
    struct gt_buf entry;
    gt_buf_init(&entry, ENTRY_MAX);
    if (proposal != NULL)
        gt_cluster_add_commit(&entry, claim->connector, claim->task, claim->epoch,
                              cluster->proposed + 1, gt_buf_view(&commit->changes));
    if (proposal == NULL || entry.error != 0) {
        refuse(cluster, commit, GANTRY_NO_MEMORY, "no memory for a commit");
        free(proposal);
    } else {
        proposal->commit = commit;
        proposal->number = ++cluster->proposed;
        *cluster->proposals_tail = proposal;
        cluster->proposals_tail = &proposal->next;
        append(cluster, gt_buf_view(&entry));
    }
    gt_buf_deinit(&entry);
}

static void on_proposed_mail(struct gt_mail *mail)
{
    struct gt_cluster *cluster =
        (struct gt_cluster *)((char *)mail - offsetof(struct gt_cluster, proposed_mail));
    pthread_mutex_lock(&cluster->lock);
    struct gt_commit *commit = cluster->incoming;
    cluster->incoming = NULL;
    cluster->incoming_tail = &cluster->incoming;
    pthread_mutex_unlock(&cluster->lock);
    for (struct gt_commit *next; commit != NULL; commit = next) {
        next = commit->next;
        add_proposal(cluster, commit);
    }
    schedule(cluster);
}

static struct gt_commit *take_proposal(struct gt_cluster *cluster, uint64_t number)
{
    struct proposal *proposal = cluster->proposals;
    if (proposal == NULL || proposal->number != number)
        return NULL;
    struct gt_commit *commit = proposal->commit;
    cluster->proposals = proposal->next;
    if (cluster->proposals == NULL)
        cluster->proposals_tail = &cluster->proposals;
    free(proposal);
    return commit;
}

static void refuse_proposals(struct gt_cluster *cluster, const char *text)
{
    while (cluster->proposals != NULL)
        refuse(cluster, take_proposal(cluster, cluster->proposals->number), GANTRY_CLOSED, text);
}

/* A commit that nobody here waits for. */
static void free_commit(struct gt_commit *commit)
{
    gt_commit_deinit(commit);
    free(commit);
}

static const struct gt_commit_ops foreign_ops = {.done = free_commit};

static struct gt_commit *new_commit(struct gt_cluster *cluster)
{
    struct gt_commit *commit = calloc(1, sizeof *commit);
    if (commit == NULL)
        fail(cluster, GANTRY_NO_MEMORY, "no memory for a commit of another worker");
    else
        gt_commit_init(commit, &foreign_ops);
    return commit;
}

static void on_commit(void *arg, uint64_t own, struct gantry_view changes)
{
    struct gt_cluster *cluster = arg;
    struct gt_commit *commit = own != 0 ? take_proposal(cluster, own) : NULL;
    if (commit == NULL) {
        commit = new_commit(cluster);
        if (commit == NULL)
            return;
        int code = gt_commit_add_changes(commit, changes);
        if (code != 0) {
            gt_error("cluster", "a commit of another worker is not understood: %s",
                     gantry_error_text(code));
            free_commit(commit);
            return;
        }
    }
    settle(cluster, commit);
}

static void on_refused(void *arg, uint64_t own)
{
    struct gt_cluster *cluster = arg;
    struct gt_commit *commit = take_proposal(cluster, own);
    if (commit != NULL)
        refuse(cluster, commit, GANTRY_CLOSED, "the task has moved to another worker");
}

static void on_reset(void *arg, const char *connector)
{
    struct gt_cluster *cluster = arg;
    struct gt_commit *commit = new_commit(cluster);
    if (commit == NULL)
        return;
    gt_snapshot_forget(commit, connector);
    settle(cluster, commit);
    cluster->reset_seen = true;
}

/* --- What the machine asks for --- */

static void on_config(void *arg, const char *connector, int64_t updated_ms,
                      struct gantry_view props, const struct gantry_view *tasks, size_t task_count)
{
    struct gt_cluster *cluster = arg;
    cluster->setup.events->config(cluster->setup.arg, connector, updated_ms, props, tasks,
                                  task_count);
}

static void on_task_start(void *arg, const char *connector, uint32_t task, uint64_t epoch)
{
    struct gt_cluster *cluster = arg;
    cluster->running++;
    show_settled(cluster);
    note_lease(cluster); /* before its first step */
    cluster->setup.events->task_start(cluster->setup.arg, connector, task, epoch);
}

static void on_task_stop(void *arg, const char *connector, uint32_t task, uint64_t epoch,
                         bool fenced)
{
    struct gt_cluster *cluster = arg;
    cluster->setup.events->task_stop(cluster->setup.arg, connector, task, epoch, fenced);
}

static void on_changed(void *arg)
{
    struct gt_cluster *cluster = arg;
    cluster->setup.events->changed(cluster->setup.arg);
}

static void on_fenced(void *arg, const char *reason)
{
    struct gt_cluster *cluster = arg;
    note_lease(cluster); /* over */
    gt_warn("cluster", "this worker is not a member any more, its tasks are stopped: %s", reason);
    refuse_proposals(cluster, "this worker is not a member of the cluster any more");
    drop_chunks(cluster);
    /* Its parts are among them; the next member in order makes one. */
    if (cluster->writer != NULL)
        gt_snapshot_writer_free(cluster->writer);
    cluster->writer = NULL;
    cluster->fenced = true;
}

/* The incarnation is noted in the store: whoever opens the store next holds the lock that this
 * process held, so he knows that this life is over, and its tasks are free at once. */
static const char incarnation_key[] = "incarnation";

static void note_incarnation(struct gt_cluster *cluster)
{
    struct gt_commit *commit = new_commit(cluster);
    if (commit == NULL)
        return;
    gt_commit_put(commit, GT_TABLE_META, gantry_view_of(incarnation_key),
                  (struct gantry_view){(const char *)cluster->incarnation.bytes,
                                       sizeof cluster->incarnation.bytes});
    settle(cluster, commit);
}

static void read_incarnation(struct gt_store *store, struct gt_incarnation *ret)
{
    struct gt_buf value;
    gt_buf_init(&value, 256);
    if (gt_store_get(store, GT_TABLE_META, gantry_view_of(incarnation_key), &value, NULL) == 0 &&
        value.len == sizeof ret->bytes)
        memcpy(ret->bytes, value.data, sizeof ret->bytes);
    gt_buf_deinit(&value);
}

static void new_incarnation(struct gt_cluster *cluster)
{
    struct gt_incarnation *incarnation = &cluster->incarnation;
    size_t got = 0;
    while (got < sizeof incarnation->bytes) {
        ssize_t len = getrandom(incarnation->bytes + got, sizeof incarnation->bytes - got, 0);
        got += len > 0 ? (size_t)len : 0;
    }
    note_incarnation(cluster);
}

/* --- In --- */

static void look_at_time(struct gt_cluster *cluster);

static void note_joined(struct gt_cluster *cluster)
{
    if (cluster->joined_told || cluster->phase != PHASE_JOINED ||
        !(cluster->setup.visitor || gt_cluster_is_member(cluster->state)))
        return;
    cluster->joined_told = true;
    show_settled(cluster);
    cluster->setup.events->joined(cluster->setup.arg);
}

static void look_for_left(struct gt_cluster *cluster)
{
    void (*left)(void *) = cluster->left;
    bool alone = cluster->leaves_unheard && cluster->running == 0;
    if (left == NULL ||
        !(alone || gt_cluster_left(cluster->state) || cluster->phase != PHASE_JOINED))
        return;
    cluster->left = NULL;
    left(cluster->left_arg);
}

static void caught_up(struct gt_cluster *cluster)
{
    if (cluster->phase != PHASE_REPLAY || cluster->next < cluster->end_at_start)
        return;
    cluster->phase = PHASE_JOINED;
    if (cluster->setup.visitor)
        note_joined(cluster);
    else
        gt_cluster_join(cluster->state, now_ms());
    note_lease(cluster);
    send_next(cluster);
}

static void read_on(struct gt_cluster *cluster, int64_t offset)
{
    cluster->phase = PHASE_REPLAY;
    cluster->next = offset;
    gt_cluster_log_read(cluster->log, offset);
    caught_up(cluster);
}

static void on_found(void *arg, int64_t min, int64_t max, int64_t snapshot)
{
    struct gt_cluster *cluster = arg;
    gt_info("cluster", "found the cluster log cluster=%s offsets=%lld..%lld snapshot=%lld",
            cluster->setup.cluster, (long long)min, (long long)max, (long long)snapshot);
    cluster->min = min;
    cluster->end_at_start = max;
    if (snapshot < min || snapshot >= max || snapshot < 0) {
        if (min > 0) /* nobody was there for longer than the topic keeps messages */
            gt_error("cluster",
                     "the topic has not kept the last snapshot, nor what was before offset %lld: "
                     "configurations and positions from before are lost; read again from the "
                     "beginning what has to be, or see to it that a worker always runs",
                     (long long)min);
        read_on(cluster, min);
    } else {
        cluster->phase = PHASE_SNAPSHOT;
        cluster->next = snapshot;
        cluster->snapshot = gt_snapshot_reader_new();
        if (cluster->snapshot == NULL)
            fail(cluster, GANTRY_NO_MEMORY, "no memory for the cluster's snapshot");
        else
            gt_cluster_log_read(cluster->log, snapshot);
    }
    schedule(cluster);
}

/* The next part of the snapshot, or what stands between its parts. */
static void read_snapshot(struct gt_cluster *cluster, int64_t offset, struct gantry_view bytes)
{
    struct gantry_err err = {0};
    struct gantry_view state;
    int64_t next = 0;
    int rc = gt_snapshot_reader_add(cluster->snapshot, bytes, &state, &err);
    if (rc == 0 && offset + 1 < cluster->end_at_start)
        return;
    if (rc == 1 && (gt_cluster_state_read(cluster->state, state, now_ms(), &next, &err) != 0 ||
                    gt_snapshot_reader_apply(cluster->snapshot, cluster->setup.store, &err) != 0)) {
        /* What is half taken over cannot read the log from its beginning, which may be gone. */
        fail(cluster, err.code, err.text);
        gt_snapshot_reader_free(cluster->snapshot);
        cluster->snapshot = NULL;
        cluster->unreadable = true;
        return;
    }
    if (rc == 1) {
        gt_info("cluster", "took over the snapshot next=%lld", (long long)next);
    } else {
        gt_warn("cluster", "the snapshot at %lld cannot be used, reading the log from %lld: %s",
                (long long)cluster->next, (long long)cluster->min,
                rc == 0 ? "a part is missing" : err.text);
        next = cluster->min;
    }
    gt_snapshot_reader_free(cluster->snapshot);
    cluster->snapshot = NULL;
    read_on(cluster, next);
}

static bool is_own(const struct gt_cluster *cluster, struct gantry_view bytes)
{
    struct gt_message_header header;
    struct gt_cursor entries;
    return gt_message_open(bytes, &header, &entries, NULL) == 0 &&
           gt_incarnation_equal(&header.incarnation, &cluster->incarnation);
}

static void on_gap(void *arg, int64_t next);

static void fail_lost(struct gt_cluster *cluster)
{
    char text[200];
    snprintf(text, sizeof text,
             "the broker of the cluster log has lost messages before offset %lld that this worker "
             "has read already; start it again",
             (long long)cluster->next);
    fail(cluster, GANTRY_CHANGED, text);
    cluster->unreadable = true;
}

/* A broker that comes back may have lost what it had not flushed, and have got others in its place:
 * then this worker's state would never again be that of the others. So behind each interruption the
 * last message is read once more. True: this one is not to be applied. */
static bool compare(struct gt_cluster *cluster, int64_t offset, struct gantry_view bytes)
{
    if (cluster->interrupted) {
        cluster->interrupted = false;
        cluster->comparing = cluster->last_known;
        if (cluster->comparing)
            gt_cluster_log_read(cluster->log, cluster->next - 1);
        return cluster->comparing;
    }
    if (!cluster->comparing || offset < cluster->next - 1)
        return false;
    cluster->comparing = false;
    bool same = offset != cluster->next - 1 ||
                XXH3_64bits(bytes.data, bytes.len) == cluster->last_hash; /* or retention has it */
    if (!same)
        fail_lost(cluster);
    return !same;
}

static void on_message(void *arg, int64_t offset, struct gantry_view bytes)
{
    struct gt_cluster *cluster = arg;
    struct gantry_err err = {0};
    if (cluster->unreadable)
        return;
    if (cluster->phase == PHASE_SNAPSHOT) {
        read_snapshot(cluster, offset, bytes);
        return;
    }
    if (cluster->phase == PHASE_FINDING || compare(cluster, offset, bytes) ||
        offset < cluster->next)
        return;
    if (offset > cluster->next) { /* whoever has missed one is not in step with the others */
        on_gap(arg, offset);
        if (offset != cluster->next)
            return;
    }
    cluster->reset_seen = false;
    int code = gt_cluster_message(cluster->state, offset, bytes, now_ms(), &err);
    note_lease(cluster);
    if (code == GANTRY_VERSION || code == GANTRY_NO_MEMORY || code == GANTRY_UNSUPPORTED) {
        /* It cannot be passed over: the others have applied it. */
        fail(cluster, code, err.text);
        cluster->unreadable = true;
        return;
    }
    if (code != 0)
        gt_warn("cluster", "a message of the cluster log is passed over offset=%lld: %s",
                (long long)offset, err.text);
    cluster->next = offset + 1;
    cluster->last_hash = XXH3_64bits(bytes.data, bytes.len);
    cluster->last_known = true;
    if (cluster->setup.visitor && is_own(cluster, bytes))
        cluster->setup.events->reset(cluster->setup.arg, cluster->reset_seen);
    if (cluster->writer != NULL)
        gt_snapshot_writer_saw(cluster->writer, offset, bytes);
    caught_up(cluster);
    note_lease(cluster);
    note_joined(cluster);
    look_for_left(cluster);
    schedule(cluster);
}

static void on_gap(void *arg, int64_t next)
{
    struct gt_cluster *cluster = arg;
    if (cluster->unreadable)
        return;
    if (cluster->phase == PHASE_SNAPSHOT) {
        gt_snapshot_reader_free(cluster->snapshot);
        cluster->snapshot = NULL;
        read_on(cluster, next);
        return;
    }
    if (next == cluster->next)
        return; /* the message to compare with: retention has it */
    if (next < cluster->next) {
        fail_lost(cluster);
        return;
    }
    if (cluster->next == cluster->min && cluster->phase == PHASE_REPLAY) {
        cluster->next = cluster->min = next; /* retention, between the question and the reading */
        caught_up(cluster);
        return;
    }
    char text[200];
    snprintf(text, sizeof text,
             "messages %lld to %lld of the cluster log are gone before this worker has read them; "
             "start it again",
             (long long)cluster->next, (long long)next - 1);
    fail(cluster, GANTRY_CHANGED, text);
    cluster->unreadable = true;
}

static void on_missing(void *arg, const char *topic)
{
    struct gt_cluster *cluster = arg;
    struct gantry_err err;
    gantry_err_set(&err, GANTRY_NOT_FOUND,
                   "there is no cluster %s (no topic %s at these name servers); name that of the "
                   "workers: connectClusterId=ID",
                   cluster->setup.cluster, topic);
    cluster->setup.events->failed(cluster->setup.arg, &err);
}

static void on_stored(void *arg)
{
    struct gt_cluster *cluster = arg;
    cluster->sending = false;
    send_next(cluster);
    schedule(cluster);
}

static void on_reach(void *arg, enum gt_cluster_reach reach, const char *text, int64_t when_ms)
{
    struct gt_cluster *cluster = arg;
    if (strcmp(cluster->trouble, text) != 0) {
        if (*text != '\0')
            gt_warn("cluster",
                    "cannot reach the cluster log, trying again; look whether a RocketMQ runs "
                    "there (namesrvAddr): %s",
                    text);
        else
            gt_info("cluster", "the cluster log can be reached again");
    }
    snprintf(cluster->trouble, sizeof cluster->trouble, "%s", text);
    cluster->interrupted = cluster->interrupted || reach != GT_REACH_OK;
    (void)gt_cluster_tick(cluster->state, now_ms()); /* a lease that is over stays over */
    gt_cluster_reach(cluster->state, reach, when_ms);
    note_lease(cluster);
    schedule(cluster);
}

static void free_group(struct gt_cluster *cluster)
{
    for (size_t i = 0; i < cluster->group_count; i++)
        free(cluster->group[i]);
    free(cluster->group);
    cluster->group = NULL;
    cluster->group_count = 0;
}

static void on_members(void *arg, const char *const *names, size_t count)
{
    struct gt_cluster *cluster = arg;
    free_group(cluster);
    cluster->group = calloc(count + 1, sizeof *cluster->group);
    for (size_t i = 0; cluster->group != NULL && i < count; i++) {
        cluster->group[cluster->group_count] = strdup(names[i]);
        cluster->group_count += cluster->group[cluster->group_count] != NULL;
    }
    cluster->setup.events->changed(cluster->setup.arg);
}

/* --- Snapshots --- */

static void on_snapshot_part(void *arg, struct gantry_view entry)
{
    add_entries(arg, entry, true);
}

static void on_snapshot_done(void *arg, int64_t first_offset)
{
    struct gt_cluster *cluster = arg;
    gt_snapshot_writer_free(cluster->writer);
    cluster->writer = NULL;
    if (first_offset < 0 || cluster->closing)
        return;
    gt_debug("cluster", "wrote a snapshot offset=%lld", (long long)first_offset);
    gt_cluster_log_point(cluster->log, first_offset);
}

static void look_for_snapshot(struct gt_cluster *cluster)
{
    if (cluster->writer != NULL || cluster->closing || cluster->phase != PHASE_JOINED ||
        !gt_cluster_snapshot_due(cluster->state, now_ms()))
        return;
    struct gt_snapshot_setup setup = {
        .state = cluster->state,
        .store = cluster->setup.store,
        .control = cluster->setup.control,
        .incarnation = cluster->incarnation,
        .part = on_snapshot_part,
        .done = on_snapshot_done,
        .arg = cluster,
    };
    struct gantry_err err;
    if (gt_snapshot_writer_new(&setup, &cluster->writer, &err) != 0)
        gt_warn("cluster", "no snapshot now: %s", err.text);
}

/* --- Time --- */

static void on_timer(uv_timer_t *timer)
{
    look_at_time(timer->data);
}

static void rejoin(struct gt_cluster *cluster)
{
    cluster->fenced = false;
    if (cluster->left != NULL) { /* it was leaving anyway */
        look_for_left(cluster);
        return;
    }
    /* A message of the old incarnation may still be under way; it means nothing any more. */
    new_incarnation(cluster);
    cluster->sent = 0;
    gt_cluster_state_rejoin(cluster->state, cluster->incarnation, now_ms());
}

/* It wants to leave, and nobody can be told: its lease will say it. What is not committed by now
 * comes again, from its last committed place. */
static void leave_unheard(struct gt_cluster *cluster)
{
    if (!cluster->leaves_unheard)
        gt_warn("cluster", "leaving without a word, the cluster log cannot be reached: %s",
                cluster->trouble);
    cluster->leaves_unheard = true;
    refuse_proposals(cluster, "the cluster log cannot be reached");
}

static void look_at_time(struct gt_cluster *cluster)
{
    if (cluster->closing)
        return;
    int64_t now = now_ms();
    int64_t due = gt_cluster_tick(cluster->state, now);
    note_lease(cluster);
    if (cluster->left != NULL && cluster->trouble[0] != '\0' && now - cluster->quit_ms >= LEAVE_MS)
        leave_unheard(cluster);
    look_for_left(cluster);
    if (cluster->closing)
        return;
    if (cluster->fenced && cluster->running == 0) {
        rejoin(cluster);
        due = now;
    }
    note_lease(cluster);
    look_for_snapshot(cluster);
    int64_t wait = due - now;
    wait = wait < 1 ? 1 : wait > 1000 ? 1000 : wait;
    uv_update_time(cluster->setup.loop);
    uv_timer_start(&cluster->timer, on_timer, (uint64_t)wait, 0);
}

/* Something has happened: have the machine asked, from the loop, when it wants to be asked again.
 */
static void schedule(struct gt_cluster *cluster)
{
    if (cluster->phase != PHASE_FINDING && !cluster->closing)
        uv_timer_start(&cluster->timer, on_timer, 0, 0);
}

/* --- Opening and closing --- */

static const struct gt_cluster_log_events log_events = {
    .found = on_found,
    .missing = on_missing,
    .message = on_message,
    .gap = on_gap,
    .stored = on_stored,
    .reach = on_reach,
    .members = on_members,
};

static void free_cluster(struct gt_cluster *cluster)
{
    drop_chunks(cluster);
    free_group(cluster);
    gt_buf_deinit(&cluster->message);
    gt_snapshot_reader_free(cluster->snapshot);
    gt_cluster_state_free(cluster->state);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster->member);
    free(cluster);
}

int gt_cluster_open(const struct gt_cluster_setup *setup, struct gt_cluster **ret,
                    struct gantry_err *err)
{
    struct gt_cluster *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the cluster");
    cluster->setup = *setup;
    cluster->proposals_tail = &cluster->proposals;
    cluster->incoming_tail = &cluster->incoming;
    cluster->proposed_mail.run = on_proposed_mail;
    cluster->send_mail.run = on_send_mail;
    cluster->last_mail.run = on_last_mail;
    cluster->relay = (struct gt_store_relay){cluster, propose};
    gt_buf_init(&cluster->message, GT_CLUSTER_MESSAGE_MAX);
    pthread_mutex_init(&cluster->lock, NULL);
    cluster->member = strdup(setup->member);
    struct gt_cluster_settings settings = {
        .name = cluster->member,
        .strategy = setup->strategy,
        .lease_ms = setup->lease_ms,
        .stop_when_unreachable = setup->stop_when_unreachable,
    };
    read_incarnation(setup->store, &settings.replaces);
    new_incarnation(cluster);
    settings.incarnation = cluster->incarnation;
    struct gt_cluster_io io = {
        .arg = cluster,
        .append = append,
        .task_start = on_task_start,
        .task_stop = on_task_stop,
        .config = on_config,
        .commit = on_commit,
        .refused = on_refused,
        .reset = on_reset,
        .changed = on_changed,
        .fenced = on_fenced,
    };
    struct gt_cluster_log_setup log = {
        .link = setup->link,
        .control = setup->control,
        .cluster = setup->cluster,
        .visitor = setup->visitor,
        .events = &log_events,
        .arg = cluster,
    };
    int code = cluster->member == NULL ? GANTRY_NO_MEMORY
                                       : gt_cluster_state_new(&settings, &io, &cluster->state);
    if (code == 0)
        code = gt_cluster_log_open(&log, &cluster->log, err);
    if (code != 0) {
        free_cluster(cluster);
        return gantry_err_set(err, code, "no memory for the cluster");
    }
    gt_store_set_relay(setup->store, &cluster->relay);
    uv_timer_init(setup->loop, &cluster->timer);
    cluster->timer.data = cluster;
    cluster->open = 2;
    *ret = cluster;
    return 0;
}

void gt_cluster_quit(struct gt_cluster *cluster, void (*left)(void *arg), void *arg)
{
    cluster->left = left;
    cluster->left_arg = arg;
    cluster->quit_ms = now_ms();
    gt_cluster_leave(cluster->state, now_ms());
    look_for_left(cluster);
    if (cluster->left != NULL)
        schedule(cluster);
}

/* Behind every mail that is still on the way. */
static void on_last_mail(struct gt_mail *mail)
{
    struct gt_cluster *cluster =
        (struct gt_cluster *)((char *)mail - offsetof(struct gt_cluster, last_mail));
    void (*closed)(void *) = cluster->closed;
    void *arg = cluster->closed_arg;
    free_cluster(cluster);
    closed(arg);
}

static void look_for_closed(struct gt_cluster *cluster)
{
    if (--cluster->open == 0)
        gt_mailbox_send(cluster->setup.control, &cluster->last_mail);
}

static void on_timer_closed(uv_handle_t *handle)
{
    look_for_closed(handle->data);
}

static void on_log_closed(void *arg)
{
    look_for_closed(arg);
}

void gt_cluster_close(struct gt_cluster *cluster, void (*done)(void *arg), void *arg)
{
    cluster->closing = true;
    cluster->left = NULL;
    cluster->closed = done;
    cluster->closed_arg = arg;
    on_proposed_mail(&cluster->proposed_mail);
    refuse_proposals(cluster, "the worker is stopping");
    if (cluster->writer != NULL)
        gt_snapshot_writer_free(cluster->writer);
    cluster->writer = NULL;
    uv_close((uv_handle_t *)&cluster->timer, on_timer_closed);
    gt_cluster_log_close(cluster->log, on_log_closed, cluster);
}

/* --- What the worker asks for --- */

static int take_entry(struct gt_cluster *cluster, struct gt_buf *entry, struct gantry_err *err)
{
    int code = entry->error;
    if (code != 0)
        gantry_err_set(err, code, "%s",
                       code == GANTRY_TOO_LARGE
                           ? "the configuration and those of its tasks are larger together than "
                             "the 3 MiB that the cluster's log takes; set tasks.max lower"
                           : "no memory for the configuration");
    else if (!gt_cluster_is_member(cluster->state))
        code = gantry_err_set(err, GANTRY_AGAIN,
                              "this worker is not a member of the cluster now%s%s; try again",
                              cluster->trouble[0] != '\0' ? ": " : "", cluster->trouble);
    else if (cluster->waiting > WAITING_MAX)
        code = gantry_err_set(err, GANTRY_AGAIN,
                              "too much waits for the cluster's log already%s%s; try again later",
                              cluster->trouble[0] != '\0' ? ": " : "", cluster->trouble);
    else
        append(cluster, gt_buf_view(entry));
    gt_buf_deinit(entry);
    return code;
}

int gt_cluster_put_config(struct gt_cluster *cluster, const char *connector, int64_t updated_ms,
                          struct gantry_view props, const struct gantry_view *tasks,
                          size_t task_count, struct gantry_err *err)
{
    struct gt_buf entry;
    gt_buf_init(&entry, ENTRY_MAX);
    gt_cluster_add_config(&entry, connector, updated_ms, props, tasks, task_count);
    return take_entry(cluster, &entry, err);
}

int gt_cluster_delete_config(struct gt_cluster *cluster, const char *connector,
                             struct gantry_err *err)
{
    struct gt_buf entry;
    gt_buf_init(&entry, ENTRY_MAX);
    gt_cluster_add_delete(&entry, connector);
    return take_entry(cluster, &entry, err);
}

int gt_cluster_reset(struct gt_cluster *cluster, const char *connector, struct gantry_err *err)
{
    struct gt_buf entry;
    gt_buf_init(&entry, ENTRY_MAX);
    gt_cluster_add_reset(&entry, connector);
    int code = entry.error;
    if (code == 0)
        append(cluster, gt_buf_view(&entry));
    else
        gantry_err_set(err, code, "no memory for the reset");
    gt_buf_deinit(&entry);
    return code;
}

void gt_cluster_put_status(struct gt_cluster *cluster, const char *connector, uint32_t task,
                           uint64_t epoch, const char *state, const char *reason)
{
    struct gt_buf entry;
    gt_buf_init(&entry, ENTRY_MAX);
    gt_cluster_add_status(&entry, connector, task, epoch, state, reason);
    (void)take_entry(cluster, &entry, NULL); /* only a look; the next change says it again */
}

void gt_cluster_stopped(struct gt_cluster *cluster, const char *connector, uint32_t task,
                        uint64_t epoch)
{
    cluster->running--;
    gt_cluster_task_stopped(cluster->state, connector, task, epoch);
    schedule(cluster);
}

/* --- Looks --- */

const struct gt_cluster_state *gt_cluster_state_of(const struct gt_cluster *cluster)
{
    return cluster->state;
}

const char *const *gt_cluster_group(const struct gt_cluster *cluster, size_t *ret_count)
{
    *ret_count = cluster->group_count;
    return (const char *const *)cluster->group;
}

const char *gt_cluster_trouble(const struct gt_cluster *cluster)
{
    return cluster->trouble;
}
