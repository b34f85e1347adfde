/* SPDX-License-Identifier: Apache-2.0 */
/* The store: the lock that keeps a second worker out, and the committer thread that groups commits.
 *
 * A group is everything that was submitted while the group before it was being made durable: one
 * commit at once when nothing else happens, hundreds under load, all for one sync of each file and
 * one LMDB transaction. A transaction keeps what it changes in memory and has an end (LMDB's is at
 * 128 Ki pages), so a group has one too; what is behind it makes the next group. */
#include "store/store.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "store/env.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A commit carries positions and a sink's state (1 MiB each at most), never records. */
enum {
    CHANGES_MAX = 16 << 20,
    GROUP_BYTES_MAX = 32 << 20, /* of changes */
    GROUP_MAX = 4096,           /* commits */
};

struct gt_store {
    char *folder; /* owned */
    struct gt_env env;
    int lock_fd;

    pthread_t thread;       /* written before started */
    atomic_bool started;    /* the committer runs */
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* something pending, or stopping */
    struct gt_commit *head, **tail;
    struct gt_commit *settled_head, **settled_tail; /* the log has spoken of them */
    bool stopping;

    /* The committer's own. */
    uint64_t round;
    struct gantry_err
        broken; /* LMDB failed: nothing is taken any more; written once, before is_broken */
    atomic_bool is_broken;

    const struct gt_store_relay *relay; /* NULL: commits count at once */
    void (*on_round)(void *arg);
    void *on_round_arg;
    int64_t every_ms;
};

static int take_lock(struct gt_store *store, struct gantry_err *err)
{
    struct gt_buf path;
    gt_buf_init(&path, 8192);
    gt_buf_addf(&path, "%s/gantry.lock", store->folder);
    int code = 0;
    store->lock_fd = open(gt_buf_cstr(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (store->lock_fd < 0) {
        code = gt_file_error(err, "open", gt_buf_cstr(&path));
        goto out;
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = "";
        ssize_t got = pread(store->lock_fd, holder, sizeof holder - 1, 0);
        holder[got > 0 ? strspn(holder, "0123456789") : 0] = '\0';
        code = errno == EWOULDBLOCK || got >= 0
                   ? gantry_err_set(err, GANTRY_BUSY,
                                    "the store %s is in use by another worker (process %s); stop "
                                    "that one, or give "
                                    "this one its own storePathRootDir",
                                    store->folder, holder[0] != '\0' ? holder : "unknown")
                   : gt_file_error(err, "lock", gt_buf_cstr(&path));
        goto out;
    }
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* The number only serves the message above: a lock file that cannot be written still locks. */
    if (ftruncate(store->lock_fd, 0) == 0)
        (void)!pwrite(store->lock_fd, text, (size_t)len, 0);
out:
    gt_buf_deinit(&path);
    return code;
}

/* A look must not lock, be it for a moment: a worker that starts just then would be refused. So the
 * number in the file has to do. */
bool gt_store_in_use(const char *folder)
{
    struct gt_buf path, text;
    int64_t holder = 0;
    gt_buf_init(&path, 8192);
    gt_buf_init(&text, 64);
    gt_buf_addf(&path, "%s/gantry.lock", folder);
    bool used = gt_file_read(gt_buf_cstr(&path), &text, NULL) == 0 &&
                gt_parse_int(gt_view_trim(gt_buf_view(&text)), 1, INT32_MAX, &holder) == 0 &&
                (kill((pid_t)holder, 0) == 0 || errno == EPERM);
    gt_buf_deinit(&path);
    gt_buf_deinit(&text);
    return used;
}

/* LMDB makes its file in several steps, and one that lost power in between is a file that it
 * refuses. So a new store is made under another name, and gets its own when all of it is durable;
 * what an earlier attempt left is made anew. */
static int make_inner(const char *inner, size_t map_bytes, struct gantry_err *err)
{
    struct gt_env env;
    struct gt_buf fresh, file;
    int code = 0;
    gt_buf_init(&fresh, 8192);
    gt_buf_init(&file, 8192);
    gt_buf_addf(&fresh, "%s.new", inner);
    if (mkdir(gt_buf_cstr(&fresh), 0755) != 0 && errno != EEXIST)
        code = gt_file_error(err, "make folder", gt_buf_cstr(&fresh));
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof files / sizeof files[0] && code == 0; i++) {
        gt_buf_clear(&file);
        gt_buf_addf(&file, "%s/%s", gt_buf_cstr(&fresh), files[i]);
        if (unlink(gt_buf_cstr(&file)) != 0 && errno != ENOENT)
            code = gt_file_error(err, "remove", gt_buf_cstr(&file));
    }
    if (code == 0)
        code = gt_env_open(&env, gt_buf_cstr(&fresh), map_bytes, false, err);
    if (code == 0) {
        gt_env_close(&env);
        /* LMDB syncs its file, not the folder entry of a file that it has just made. */
        code = gt_folder_sync(gt_buf_cstr(&fresh), "store.new-sync", err);
    }
    (void)gt_fault("store.new");
    if (code == 0 && rename(gt_buf_cstr(&fresh), inner) != 0)
        code = gt_file_error(err, "rename", gt_buf_cstr(&fresh));
    gt_buf_deinit(&fresh);
    gt_buf_deinit(&file);
    return code;
}

/* Messages without the tables that say which of them count: somebody lost or moved half a store. A
 * new one would take them for leftovers and remove them. */
static int refuse_half(const char *folder, struct gantry_err *err)
{
    char *topics = NULL;
    if (asprintf(&topics, "%s/topics", folder) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    /* Removes it only when it is empty. */
    int code = rmdir(topics) == 0 || errno == ENOENT
                   ? 0
                   : gantry_err_set(err, GANTRY_CORRUPT,
                                    "%s holds messages, but the tables beside it (%s/gantry) are "
                                    "gone; put them back, or move that folder away to begin anew",
                                    topics, folder);
    free(topics);
    return code;
}

static int open_inner(struct gt_store *store, const char *inner, size_t map_bytes, bool cache,
                      struct gantry_err *err)
{
    int code = 0;
    if (access(inner, F_OK) != 0) {
        code = refuse_half(store->folder, err);
        if (code == 0)
            code = make_inner(inner, map_bytes, err);
    }
    /* Also when it was there: a run that was killed may have left the new name unsynced. */
    if (code == 0)
        code = gt_folder_sync(store->folder, "store.rename-sync", err);
    if (code == 0)
        code = gt_env_open(&store->env, inner, map_bytes, false, err);
    return code != 0 || !cache ? code : gt_env_make_cache(&store->env, err);
}

static int open_store(const char *folder, size_t map_bytes, bool cache, struct gt_store **ret,
                      struct gantry_err *err)
{
    struct gt_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    store->lock_fd = -1;
    store->tail = &store->head;
    store->settled_tail = &store->settled_head;
    pthread_mutex_init(&store->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->changed, &attributes);
    pthread_condattr_destroy(&attributes);

    char *inner = NULL;
    int code = gt_folder_make(folder, "store.folder-sync", err);
    if (code != 0)
        goto out;
    store->folder = realpath(folder, NULL);
    if (store->folder == NULL || asprintf(&inner, "%s/gantry", store->folder) < 0) {
        inner = NULL;
        code = gt_file_error(err, "open", folder);
        goto out;
    }
    code = take_lock(store, err);
    if (code == 0)
        code = open_inner(store, inner, map_bytes, cache, err);
out:
    free(inner);
    if (code != 0)
        gt_store_close(store);
    else
        *ret = store;
    return code;
}

int gt_store_open(const char *folder, size_t map_bytes, struct gt_store **ret,
                  struct gantry_err *err)
{
    return open_store(folder, map_bytes, false, ret, err);
}

int gt_store_open_cache(const char *folder, struct gt_store **ret, struct gantry_err *err)
{
    return open_store(folder, 0, true, ret, err);
}

void gt_store_close(struct gt_store *store)
{
    if (store == NULL)
        return;
    gt_store_stop(store);
    gt_env_close(&store->env);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    free(store->folder);
    free(store);
}

const char *gt_store_folder(const struct gt_store *store)
{
    return store->folder;
}

void gt_store_on_round(struct gt_store *store, void (*fn)(void *arg), void *arg, int64_t every_ms)
{
    store->on_round = fn;
    store->on_round_arg = arg;
    store->every_ms = every_ms;
}

/* Fail one commit: what it stands for is discarded at once, so that checks of later commits see it.
 */
static void fail_commit(struct gt_commit *commit, int code, const struct gantry_err *err)
{
    commit->err = *err;
    commit->err.code = code;
    if (commit->ops->abort != NULL)
        commit->ops->abort(commit);
}

/* Take out what is no longer wanted. An abort can make others stale, so go on until nothing
 * changes. */
static void check_group(struct gt_commit *group)
{
    bool again = true;
    while (again) {
        again = false;
        for (struct gt_commit *commit = group; commit != NULL; commit = commit->next) {
            struct gantry_err err = {0};
            if (commit->err.code != 0 || commit->ops->check == NULL)
                continue;
            int code = commit->ops->check(commit, &err);
            if (code != 0) {
                fail_commit(commit, code, &err);
                again = true;
            }
        }
    }
}

static void sync_group(struct gt_store *store, struct gt_commit *group)
{
    for (struct gt_commit *commit = group; commit != NULL; commit = commit->next) {
        struct gantry_err err = {0};
        if (commit->err.code != 0 || commit->ops->sync == NULL)
            continue;
        int code = commit->ops->sync(commit, store->round, &err);
        if (code != 0) {
            gt_error("store", "sync failed, the records behind it are discarded: %s", err.text);
            fail_commit(commit, code, &err);
        }
    }
}

/* LMDB failed. Without space nothing was changed and a later try may succeed. After any other
 * failure it is unknown what the disk holds, so only a new start, which reads it, may go on. */
static void note_failure(struct gt_store *store, int code, struct gantry_err *err)
{
    if (code == GANTRY_NO_SPACE || atomic_load(&store->is_broken))
        return;
    gantry_err_set(&store->broken, code, "%s; the worker must be started again", err->text);
    atomic_store(&store->is_broken, true);
    *err = store->broken;
    gt_error("store", "%s", err->text);
}

static void apply_group(struct gt_store *store, struct gt_commit *group)
{
    struct gantry_err err = {0};
    int code = gt_store_check(store, &err);
    if (code == 0)
        code = gt_env_apply(&store->env, group, &err);
    if (code != 0) {
        note_failure(store, code, &err);
        for (struct gt_commit *commit = group; commit != NULL; commit = commit->next) {
            if (commit->err.code == 0)
                fail_commit(commit, code, &err);
        }
        return;
    }
    (void)gt_fault("commit.committed");
    for (struct gt_commit *commit = group; commit != NULL; commit = commit->next) {
        if (commit->err.code == 0 && commit->ops->publish != NULL)
            commit->ops->publish(commit);
    }
    (void)gt_fault("commit.published");
}

static bool any_wanted(const struct gt_commit *group)
{
    for (; group != NULL; group = group->next) {
        if (group->err.code == 0)
            return true;
    }
    return false;
}

static void end_group(struct gt_commit *group)
{
    for (struct gt_commit *next; group != NULL; group = next) {
        next = group->next; /* done() may free the commit */
        group->ops->done(group);
    }
}

/* What is to count for all goes to the log that all read; the rest of the group, and what has
 * failed, stays. */
static struct gt_commit *propose(struct gt_store *store, struct gt_commit *group)
{
    struct gt_commit *rest = NULL, **rest_tail = &rest;
    struct gt_commit *proposed = NULL, **proposed_tail = &proposed;
    for (struct gt_commit *next; group != NULL; group = next) {
        next = group->next;
        bool ours = group->claim == NULL || group->err.code != 0;
        struct gt_commit ***tail = ours ? &rest_tail : &proposed_tail;
        group->next = NULL;
        **tail = group;
        *tail = &group->next;
    }
    if (proposed != NULL)
        store->relay->propose(store->relay->arg, proposed);
    return rest;
}

/* Commits that the log has spoken of, in its order. */
static void settle_group(struct gt_store *store, struct gt_commit *group)
{
    for (struct gt_commit *commit = group; commit != NULL; commit = commit->next) {
        if (commit->err.code != 0 && commit->ops->abort != NULL)
            commit->ops->abort(commit);
    }
    if (any_wanted(group))
        apply_group(store, group);
    end_group(group);
}

static void commit_group(struct gt_store *store, struct gt_commit *group)
{
    store->round++;
    (void)gt_fault("commit.begin");
    check_group(group);
    sync_group(store, group);
    (void)gt_fault("commit.synced");
    check_group(group);
    if (store->relay != NULL)
        group = propose(store, group);
    if (any_wanted(group))
        apply_group(store, group);
    end_group(group);
}

/* Off the front of what waits; NULL: nothing does. Under the lock. */
static struct gt_commit *take_group(struct gt_store *store)
{
    struct gt_commit *group = store->head, *last = group;
    if (group == NULL)
        return NULL;
    size_t bytes = group->changes.len;
    for (int count = 1; last->next != NULL && count < GROUP_MAX; count++) {
        bytes += last->next->changes.len;
        if (bytes > GROUP_BYTES_MAX)
            break;
        last = last->next;
    }
    store->head = last->next;
    last->next = NULL;
    if (store->head == NULL)
        store->tail = &store->head;
    return group;
}

static struct timespec deadline_after(int64_t ms)
{
    int64_t ns = gt_clock_mono_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static void *run_committer(void *arg)
{
    struct gt_store *store = arg;
    pthread_setname_np(pthread_self(), "gt-committer");
    pthread_mutex_lock(&store->lock);
    for (;;) {
        struct timespec deadline = deadline_after(store->every_ms);
        int rc = 0;
        while (store->head == NULL && store->settled_head == NULL && !store->stopping && rc == 0) {
            rc = store->every_ms > 0
                     ? pthread_cond_timedwait(&store->changed, &store->lock, &deadline)
                     : pthread_cond_wait(&store->changed, &store->lock);
        }
        struct gt_commit *settled = store->settled_head, *group = take_group(store);
        if (group == NULL && settled == NULL && store->stopping)
            break;
        store->settled_head = NULL;
        store->settled_tail = &store->settled_head;
        pthread_mutex_unlock(&store->lock);
        if (settled != NULL)
            settle_group(store, settled);
        if (group != NULL)
            commit_group(store, group);
        if (store->on_round != NULL)
            store->on_round(store->on_round_arg);
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

int gt_store_start(struct gt_store *store, struct gantry_err *err)
{
    pthread_mutex_lock(
        &store->lock); /* the committer begins with it, and so sees what is set here */
    int rc = pthread_create(&store->thread, NULL, run_committer, store);
    if (rc == 0)
        atomic_store(&store->started, true);
    pthread_mutex_unlock(&store->lock);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot start the committer thread: %s",
                              strerror(rc));
    return 0;
}

void gt_store_stop(struct gt_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    pthread_cond_signal(&store->changed);
    pthread_mutex_unlock(&store->lock);
    if (atomic_load(&store->started))
        pthread_join(store->thread, NULL);
    /* Never started: what was submitted still gets its done. */
    for (struct gt_commit *group; (group = take_group(store)) != NULL;)
        commit_group(store, group);
    end_group(store->settled_head);
    store->settled_head = NULL;
    store->settled_tail = &store->settled_head;
    atomic_store(&store->started, false);
}

int gt_store_check(struct gt_store *store, struct gantry_err *err)
{
    if (!atomic_load(&store->is_broken))
        return 0;
    return gantry_err_set(err, store->broken.code, "%s", store->broken.text);
}

bool gt_claim_holds(const struct gt_claim *claim)
{
    return claim->lease_until_ms == NULL || gt_clock_boot_ms() < atomic_load(claim->lease_until_ms);
}

void gt_commit_init(struct gt_commit *commit, const struct gt_commit_ops *ops)
{
    commit->next = NULL;
    commit->ops = ops;
    commit->claim = NULL;
    gt_buf_init(&commit->changes, CHANGES_MAX);
    commit->err.code = 0;
    commit->err.text[0] = '\0';
}

void gt_commit_deinit(struct gt_commit *commit)
{
    gt_buf_deinit(&commit->changes);
}

int gt_store_submit(struct gt_store *store, struct gt_commit *commit, struct gantry_err *err)
{
    int code = commit->changes.error;
    if (code != 0)
        return gantry_err_set(err, code, "cannot take a change of the store: %s",
                              gantry_error_text(code));
    commit->next = NULL;
    pthread_mutex_lock(&store->lock);
    if (store->stopping) {
        code = gantry_err_set(err, GANTRY_CLOSED, "the store is closed");
    } else {
        if (store->head == NULL && store->settled_head == NULL)
            pthread_cond_signal(&store->changed);
        *store->tail = commit;
        store->tail = &commit->next;
    }
    pthread_mutex_unlock(&store->lock);
    return code;
}

void gt_store_set_relay(struct gt_store *store, const struct gt_store_relay *relay)
{
    store->relay = relay;
}

void gt_store_settle(struct gt_store *store, struct gt_commit *commit)
{
    commit->next = NULL;
    pthread_mutex_lock(&store->lock);
    if (store->head == NULL && store->settled_head == NULL)
        pthread_cond_signal(&store->changed);
    *store->settled_tail = commit;
    store->settled_tail = &commit->next;
    pthread_mutex_unlock(&store->lock);
}

/* A commit of gt_store_commit_now on its way through the committer, with the caller's changes. */
struct waiting_commit {
    struct gt_commit commit;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool finished;
};

static void waiting_done(struct gt_commit *commit)
{
    struct waiting_commit *waiting = (struct waiting_commit *)commit;
    pthread_mutex_lock(&waiting->lock);
    waiting->finished = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

static const struct gt_commit_ops waiting_ops = {.done = waiting_done};

static int commit_waiting(struct gt_store *store, struct gt_commit *inner, struct gantry_err *err)
{
    struct waiting_commit waiting = {.finished = false};
    gt_commit_init(&waiting.commit, &waiting_ops);
    struct gt_buf unused = waiting.commit.changes;
    waiting.commit.changes = inner->changes; /* lent for the time of the call */
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.changed, NULL);
    int code = gt_store_submit(store, &waiting.commit, err);
    if (code == 0) {
        pthread_mutex_lock(&waiting.lock);
        while (!waiting.finished)
            pthread_cond_wait(&waiting.changed, &waiting.lock);
        pthread_mutex_unlock(&waiting.lock);
        code = waiting.commit.err.code;
        if (code != 0 && err != NULL)
            *err = waiting.commit.err;
    }
    waiting.commit.changes = unused;
    gt_commit_deinit(&waiting.commit);
    pthread_cond_destroy(&waiting.changed);
    pthread_mutex_destroy(&waiting.lock);
    return code;
}

static bool on_committer(struct gt_store *store)
{
    return atomic_load(&store->started) && pthread_equal(pthread_self(), store->thread);
}

/* Before the start the opener is alone and may write itself. */
static bool unstarted(struct gt_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool is = !atomic_load(&store->started) && !store->stopping;
    pthread_mutex_unlock(&store->lock);
    return is;
}

int gt_store_commit_now(struct gt_store *store, struct gt_commit *commit, struct gantry_err *err)
{
    if (!on_committer(store) && !unstarted(store))
        return commit_waiting(store, commit, err);
    int code = gt_store_check(store, err);
    if (code != 0)
        return code;
    if (commit->changes.error != 0)
        return gantry_err_set(err, commit->changes.error, "cannot take a change of the store: %s",
                              gantry_error_text(commit->changes.error));
    commit->next = NULL;
    commit->err.code = 0;
    struct gantry_err failure = {0};
    code = gt_env_apply(&store->env, commit, &failure);
    if (code != 0) {
        note_failure(store, code, &failure);
        gantry_err_set(err, code, "%s", failure.text);
    }
    return code;
}

int gt_store_get(struct gt_store *store, enum gt_table table, struct gantry_view key,
                 struct gt_buf *value, struct gantry_err *err)
{
    return gt_env_get(&store->env, table, key, value, err);
}

int gt_store_scan(struct gt_store *store, enum gt_table table, struct gantry_view prefix,
                  int (*fn)(void *arg, struct gantry_view key, struct gantry_view value), void *arg,
                  struct gantry_err *err)
{
    return gt_env_scan(&store->env, table, prefix, fn, arg, err);
}
