/* SPDX-License-Identifier: Apache-2.0 */
/* The store: tables, group commit, what a failure takes with it, and who is let in. */
#include "topic_support.h"

#include "base/cursor.h"
#include "store/env.h"
#include <pthread.h>
#include <stdatomic.h>

static struct gantry_view text(const char *chars)
{
    return gantry_view_of(chars);
}

static void open_store(struct fixture *fx, bool start)
{
    struct gantry_err err = {0};
    if (gt_store_open(fx->path, 1 << 20, &fx->store, &err) != 0)
        fail_msg("%s", err.text);
    if (start)
        assert_int_equal(gt_store_start(fx->store, &err), 0);
}

static void close_store(struct fixture *fx)
{
    gt_store_close(fx->store);
    fx->store = NULL;
}

static int get(struct fixture *fx, enum gt_table table, const char *key, struct gt_buf *value)
{
    struct gantry_err err = {0};
    return gt_store_get(fx->store, table, text(key), value, &err);
}

static int put_now(struct fixture *fx, enum gt_table table, const char *key, const char *value)
{
    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit commit;
    struct gantry_err err = {0};
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, table, text(key), text(value));
    int code = gt_store_commit_now(fx->store, &commit, &err);
    gt_commit_deinit(&commit);
    return code;
}

struct listing {
    char keys[1024];
    int stop_after;
};

static int list_key(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct listing *listing = arg;
    size_t len = strlen(listing->keys);
    snprintf(listing->keys + len, sizeof listing->keys - len, "%.*s=%.*s ", GT_VIEW_ARGS(key),
             GT_VIEW_ARGS(value));
    return --listing->stop_after == 0 ? 77 : 0;
}

static void check_scan(struct fixture *fx, const char *prefix, const char *want)
{
    struct listing listing = {.stop_after = 0};
    struct gantry_err err = {0};
    assert_int_equal(
        gt_store_scan(fx->store, GT_TABLE_CONNECTORS, text(prefix), list_key, &listing, &err), 0);
    assert_string_equal(listing.keys, want);
}

static void test_put_get_scan_delete(void **state)
{
    struct fixture *fx = *state;
    struct gt_buf value;
    struct gantry_err err = {0};
    gt_buf_init(&value, 100);
    open_store(fx, true);
    assert_int_equal(get(fx, GT_TABLE_CONNECTORS, "a1", &value), GANTRY_NOT_FOUND);
    assert_int_equal(get(fx, GT_TABLE_CONNECTORS, "", &value), GANTRY_NOT_FOUND);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "b", "0"), 0);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "a2", "2"), 0);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "a1", "1"), 0);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "a", ""), 0);
    assert_int_equal(put_now(fx, GT_TABLE_POSITIONS, "a1", "other table"), 0);
    assert_int_equal(get(fx, GT_TABLE_CONNECTORS, "a1", &value), 0);
    assert_string_equal(gt_buf_cstr(&value), "1");
    assert_int_equal(get(fx, GT_TABLE_CONNECTORS, "a", &value), 0);
    assert_int_equal(value.len, 0);
    check_scan(fx, "", "a= a1=1 a2=2 b=0 ");
    check_scan(fx, "a", "a= a1=1 a2=2 ");
    check_scan(fx, "a2", "a2=2 ");
    check_scan(fx, "c", "");

    struct listing listing = {.stop_after = 2};
    assert_int_equal(
        gt_store_scan(fx->store, GT_TABLE_CONNECTORS, text(""), list_key, &listing, &err), 77);
    assert_string_equal(listing.keys, "a= a1=1 ");

    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit commit;
    gt_commit_init(&commit, &no_ops);
    gt_commit_delete(&commit, GT_TABLE_CONNECTORS, text("a"));
    gt_commit_delete(&commit, GT_TABLE_CONNECTORS, text("not there"));
    gt_commit_put(&commit, GT_TABLE_CONNECTORS, text("b"), text("new"));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    check_scan(fx, "", "a1=1 a2=2 b=new ");

    gt_commit_init(&commit, &no_ops);
    gt_commit_delete_prefix(&commit, GT_TABLE_CONNECTORS, text("a"));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    check_scan(fx, "", "b=new ");
    assert_int_equal(get(fx, GT_TABLE_POSITIONS, "a1", &value), 0);

    gt_commit_init(&commit, &no_ops);
    gt_commit_delete_prefix(&commit, GT_TABLE_CONNECTORS, text(""));
    assert_int_equal(gt_store_commit_now(fx->store, &commit, &err), 0);
    gt_commit_deinit(&commit);
    check_scan(fx, "", "");

    close_store(fx);
    open_store(fx, false); /* durable, and a commit before the start is made at once */
    assert_int_equal(get(fx, GT_TABLE_POSITIONS, "a1", &value), 0);
    assert_string_equal(gt_buf_cstr(&value), "other table");
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "early", "1"), 0);
    check_scan(fx, "", "early=1 ");
    value.max = 5;
    assert_int_equal(get(fx, GT_TABLE_POSITIONS, "a1", &value), GANTRY_TOO_LARGE);
    gt_buf_deinit(&value);
    close_store(fx);
}

/* One bad change must not take others of its group with it. */
static void test_refused_changes(void **state)
{
    struct fixture *fx = *state;
    char name[GT_KEY_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    open_store(fx, true);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, name, "x"), GANTRY_TOO_LARGE);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "", "x"), GANTRY_INVALID);
    name[GT_KEY_MAX] = '\0';
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, name, "x"), 0);

    char *huge = calloc(1, (17 << 20) + 1);
    assert_non_null(huge);
    memset(huge, 'h', 17 << 20);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "h", huge), GANTRY_TOO_LARGE);
    free(huge);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "h", "small"), 0);
    close_store(fx);
}

/* --- Groups --- */

enum { SUBMITTERS = 4, EACH = 300 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done;
    int order[SUBMITTERS * EACH];
    uint64_t rounds, last_round; /* the committer's */
    int published, syncs;
} group = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct numbered {
    struct gt_commit commit;
    int number;
};

static int numbered_sync(struct gt_commit *commit, uint64_t round, struct gantry_err *err)
{
    (void)commit;
    (void)err;
    if (round != group.last_round)
        group.rounds++;
    group.last_round = round;
    group.syncs++;
    return 0;
}

static void numbered_publish(struct gt_commit *commit)
{
    (void)commit;
    group.published++;
}

static void numbered_done(struct gt_commit *commit)
{
    struct numbered *numbered = (struct numbered *)commit;
    pthread_mutex_lock(&group.lock);
    assert_int_equal(commit->err.code, 0);
    group.order[group.done++] = numbered->number;
    gt_commit_deinit(commit);
    free(numbered);
    pthread_cond_signal(&group.changed);
    pthread_mutex_unlock(&group.lock);
}

static const struct gt_commit_ops numbered_ops = {
    .sync = numbered_sync, .publish = numbered_publish, .done = numbered_done};

struct submitter {
    struct gt_store *store;
    int index;
};

static void *submit_many(void *arg)
{
    const struct submitter *submitter = arg;
    for (int i = 0; i < EACH; i++) {
        struct numbered *numbered = calloc(1, sizeof *numbered);
        char key[32];
        struct gantry_err err = {0};
        gt_commit_init(&numbered->commit, &numbered_ops);
        numbered->number = submitter->index * EACH + i;
        snprintf(key, sizeof key, "last-%d", submitter->index);
        char value[32];
        snprintf(value, sizeof value, "%d", i);
        gt_commit_put(&numbered->commit, GT_TABLE_CONNECTORS, text(key), text(value));
        if (gt_store_submit(submitter->store, &numbered->commit, &err) != 0)
            abort();
    }
    return NULL;
}

static void test_group_commit(void **state)
{
    struct fixture *fx = *state;
    pthread_t threads[SUBMITTERS];
    struct submitter submitters[SUBMITTERS];
    group.done = group.published = group.syncs = 0;
    group.rounds = 0;
    open_store(fx, true);
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){fx->store, i};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_lock(&group.lock);
    while (group.done < SUBMITTERS * EACH)
        pthread_cond_wait(&group.changed, &group.lock);
    pthread_mutex_unlock(&group.lock);
    gt_store_stop(fx->store);

    assert_int_equal(group.published, SUBMITTERS * EACH);
    assert_int_equal(group.syncs, SUBMITTERS * EACH);
    assert_true(group.rounds < SUBMITTERS * EACH / 2); /* grouped, not one by one */
    int next[SUBMITTERS] = {0};
    for (int i = 0; i < SUBMITTERS * EACH; i++) { /* each submitter's in its order */
        int of = group.order[i] / EACH;
        assert_int_equal(group.order[i] % EACH, next[of]);
        next[of]++;
    }
    check_scan(fx, "last-", "last-0=299 last-1=299 last-2=299 last-3=299 ");
    close_store(fx);
}

/* --- Groups have an end --- */

struct sized {
    struct gt_commit commit;
    size_t number;
};

static struct {
    uint64_t round, rounds; /* the committer's, and so the rest until it has stopped */
    size_t bytes, most_bytes, commits, most_commits;
    size_t done;
} load;

static int sized_sync(struct gt_commit *commit, uint64_t round, struct gantry_err *err)
{
    (void)err;
    if (round != load.round) {
        load.rounds++;
        load.bytes = load.commits = 0;
    }
    load.round = round;
    load.bytes += commit->changes.len;
    load.commits++;
    load.most_bytes = load.bytes > load.most_bytes ? load.bytes : load.most_bytes;
    load.most_commits = load.commits > load.most_commits ? load.commits : load.most_commits;
    return 0;
}

static void sized_done(struct gt_commit *commit)
{
    assert_int_equal(commit->err.code, 0);
    assert_int_equal(((struct sized *)commit)->number, load.done++);
    gt_commit_deinit(commit);
}

/* What has gathered, here before the start, is committed in several groups, in order. */
static void check_groups(struct fixture *fx, size_t count, size_t bytes, bool start)
{
    static const struct gt_commit_ops ops = {.sync = sized_sync, .done = sized_done};
    struct gantry_err err = {0};
    memset(&load, 0, sizeof load);
    char *value = calloc(1, bytes);
    struct sized *commits = calloc(count, sizeof *commits);
    assert_non_null(value);
    assert_non_null(commits);
    open_store(fx, false);
    for (size_t i = 0; i < count; i++) {
        commits[i].number = i;
        gt_commit_init(&commits[i].commit, &ops);
        gt_commit_put(&commits[i].commit, GT_TABLE_PROGRESS, text("last"),
                      (struct gantry_view){value, bytes});
        assert_int_equal(gt_store_submit(fx->store, &commits[i].commit, &err), 0);
    }
    if (start)
        assert_int_equal(gt_store_start(fx->store, &err), 0);
    close_store(fx);
    assert_int_equal(load.done, count);
    free(commits);
    free(value);
}

static void test_groups_have_an_end(void **state)
{
    for (int start = 0; start < 2; start++) {
        check_groups(*state, 80, 1 << 20, start == 1);
        assert_int_equal(load.rounds, 3);
        assert_in_range(load.most_bytes, 31 << 20, 32 << 20);
        check_groups(*state, 10000, 10, start == 1);
        assert_int_equal(load.rounds, 3);
        assert_int_equal(load.most_commits, 4096);
    }
}

/* --- Failures --- */

/* A commit of a file of ours whose sync fails once; all commits since the epoch's last change
 * depend on it. */
struct dependent {
    struct gt_commit commit;
    int epoch;
    bool fails;
    int published, aborted, done;
    struct gantry_err outcome;
};

static int epoch;
static sem_t all_done;

static int dependent_check(struct gt_commit *commit, struct gantry_err *err)
{
    return ((struct dependent *)commit)->epoch == epoch ? 0
                                                        : gantry_err_set(err, GANTRY_IO, "stale");
}

static int dependent_sync(struct gt_commit *commit, uint64_t round, struct gantry_err *err)
{
    (void)round;
    return ((struct dependent *)commit)->fails ? gantry_err_set(err, GANTRY_IO, "the sync failed")
                                               : 0;
}

static void dependent_publish(struct gt_commit *commit)
{
    ((struct dependent *)commit)->published++;
}

static void dependent_abort(struct gt_commit *commit)
{
    struct dependent *dependent = (struct dependent *)commit;
    dependent->aborted++;
    if (dependent->epoch == epoch)
        epoch++;
}

static void dependent_done(struct gt_commit *commit)
{
    struct dependent *dependent = (struct dependent *)commit;
    dependent->done++;
    dependent->outcome = commit->err;
    sem_post(&all_done);
}

static const struct gt_commit_ops dependent_ops = {.check = dependent_check,
                                                   .sync = dependent_sync,
                                                   .publish = dependent_publish,
                                                   .abort = dependent_abort,
                                                   .done = dependent_done};

static const struct gt_commit_ops free_ops = {
    .publish = dependent_publish, .abort = dependent_abort, .done = dependent_done};

static void submit_dependent(struct fixture *fx, struct dependent *dependent,
                             const struct gt_commit_ops *ops, int in_epoch, bool fails,
                             const char *key)
{
    struct gantry_err err = {0};
    memset(dependent, 0, sizeof *dependent);
    dependent->epoch = in_epoch;
    dependent->fails = fails;
    gt_commit_init(&dependent->commit, ops);
    gt_commit_put(&dependent->commit, GT_TABLE_CONNECTORS, text(key), text("x"));
    assert_int_equal(gt_store_submit(fx->store, &dependent->commit, &err), 0);
}

static void test_failed_sync(void **state)
{
    struct fixture *fx = *state;
    struct dependent before, failing, behind, other, later;
    sem_init(&all_done, 0, 0);
    epoch = 1;
    open_store(fx, false); /* all of them in one group */
    submit_dependent(fx, &before, &dependent_ops, 1, false, "before");
    submit_dependent(fx, &failing, &dependent_ops, 1, true, "failing");
    submit_dependent(fx, &behind, &dependent_ops, 1, false, "behind");
    submit_dependent(fx, &other, &free_ops, 0, false, "other");
    struct gantry_err err = {0};
    assert_int_equal(gt_store_start(fx->store, &err), 0);
    for (int i = 0; i < 4; i++)
        sem_wait(&all_done);
    submit_dependent(fx, &later, &dependent_ops, 2, false, "later");
    sem_wait(&all_done);
    gt_store_stop(fx->store);

    assert_int_equal(failing.outcome.code, GANTRY_IO);
    assert_string_equal(failing.outcome.text, "the sync failed");
    /* What shares the file is gone too, in whichever order it came: it is all behind the committed
     * end. */
    assert_int_equal(before.outcome.code, GANTRY_IO);
    assert_string_equal(behind.outcome.text, "stale");
    assert_int_equal(other.outcome.code, 0);
    assert_int_equal(later.outcome.code, 0);
    struct dependent *all[] = {&before, &failing, &behind, &other, &later};
    for (size_t i = 0; i < 5; i++) {
        bool good = all[i] == &other || all[i] == &later;
        assert_int_equal(all[i]->done, 1);
        assert_int_equal(all[i]->published, good);
        assert_int_equal(all[i]->aborted, !good);
        gt_commit_deinit(&all[i]->commit);
    }
    check_scan(fx, "", "later=x other=x ");
    sem_destroy(&all_done);
    close_store(fx);
}

static void test_stop_finishes(void **state)
{
    struct fixture *fx = *state;
    struct dependent waiting[20], late;
    struct gantry_err err = {0};
    for (int started = 0; started < 2; started++) { /* also when the committer was never started */
        sem_init(&all_done, 0, 0);
        open_store(fx, started != 0);
        for (int i = 0; i < 20; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d-%02d", started, i);
            submit_dependent(fx, &waiting[i], &free_ops, 0, false, key);
        }
        gt_store_stop(fx->store);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(waiting[i].done, 1);
            assert_int_equal(waiting[i].outcome.code, 0);
            gt_commit_deinit(&waiting[i].commit);
        }
        memset(&late, 0, sizeof late);
        gt_commit_init(&late.commit, &free_ops);
        gt_commit_put(&late.commit, GT_TABLE_CONNECTORS, text("late"), text("x"));
        assert_int_equal(gt_store_submit(fx->store, &late.commit, &err), GANTRY_CLOSED);
        assert_int_equal(late.done, 0);
        assert_int_equal(gt_store_commit_now(fx->store, &late.commit, &err), GANTRY_CLOSED);
        gt_commit_deinit(&late.commit);
        struct gt_buf value;
        gt_buf_init(&value, 100);
        assert_int_equal(get(fx, GT_TABLE_CONNECTORS, "late", &value), GANTRY_NOT_FOUND);
        assert_int_equal(get(fx, GT_TABLE_CONNECTORS, started ? "1-19" : "0-19", &value), 0);
        gt_buf_deinit(&value);
        sem_destroy(&all_done);
        close_store(fx);
    }
}

/* --- Threads --- */

static atomic_int rounds_seen;

static void count_round(void *arg)
{
    struct fixture *fx = arg;
    char value[16];
    /* Housekeeping commits from the committer's own thread; waiting for itself would never end. */
    snprintf(value, sizeof value, "%d", atomic_fetch_add(&rounds_seen, 1) + 1);
    if (put_now(fx, GT_TABLE_PROGRESS, "rounds", value) != 0)
        abort();
}

static void *commit_and_read(void *arg)
{
    struct fixture *fx = arg;
    struct gt_buf value;
    gt_buf_init(&value, 100);
    for (int i = 0; i < 50; i++) {
        char key[40], want[16];
        snprintf(key, sizeof key, "%lu", (unsigned long)pthread_self());
        snprintf(want, sizeof want, "%d", i);
        if (put_now(fx, GT_TABLE_CONNECTORS, key, want) != 0 ||
            get(fx, GT_TABLE_CONNECTORS, key, &value) != 0 ||
            strcmp(gt_buf_cstr(&value), want) != 0)
            abort();
    }
    gt_buf_deinit(&value);
    return NULL;
}

static void test_commit_now_from_threads(void **state)
{
    struct fixture *fx = *state;
    pthread_t threads[3];
    struct gt_buf value;
    gt_buf_init(&value, 100);
    atomic_store(&rounds_seen, 0);
    open_store(fx, false);
    gt_store_on_round(fx->store, count_round, fx, 5);
    struct gantry_err err = {0};
    assert_int_equal(gt_store_start(fx->store, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, commit_and_read, fx), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    int after_load = atomic_load(&rounds_seen);
    for (int i = 0; i < 400 && atomic_load(&rounds_seen) < after_load + 3; i++)
        usleep(5000);
    assert_true(atomic_load(&rounds_seen) >= after_load + 3); /* also while nothing is committed */
    gt_store_stop(fx->store);
    char want[16];
    snprintf(want, sizeof want, "%d", atomic_load(&rounds_seen));
    assert_int_equal(get(fx, GT_TABLE_PROGRESS, "rounds", &value), 0);
    assert_string_equal(gt_buf_cstr(&value), want);
    gt_buf_deinit(&value);
    close_store(fx);
}

/* More threads read at one time than LMDB has places for readers: some wait, none fails. */
enum { CROWD = 200 };

static int look_slowly(void *arg, struct gantry_view key, struct gantry_view value)
{
    (void)arg;
    (void)key;
    (void)value;
    usleep(100 * 1000);
    return 0;
}

static void *scan_slowly(void *arg)
{
    struct fixture *fx = arg;
    struct gantry_err err = {0};
    if (gt_store_scan(fx->store, GT_TABLE_CONNECTORS, text(""), look_slowly, NULL, &err) == 0)
        return NULL;
    fprintf(stderr, "%s\n", err.text);
    return fx;
}

static void test_crowd_of_readers(void **state)
{
    struct fixture *fx = *state;
    pthread_t threads[CROWD];
    open_store(fx, true);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "a", "1"), 0);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, scan_slowly, fx), 0);
    int failed = 0;
    for (int i = 0; i < CROWD; i++) {
        void *outcome;
        pthread_join(threads[i], &outcome);
        failed += outcome != NULL;
    }
    assert_int_equal(failed, 0);
    close_store(fx);
}

static atomic_bool reading;

static void *read_on(void *arg)
{
    struct fixture *fx = arg;
    struct gt_buf value;
    gt_buf_init(&value, 1 << 20);
    while (atomic_load(&reading)) {
        if (get(fx, GT_TABLE_CONNECTORS, "first", &value) != 0 || value.len != 5)
            abort();
    }
    gt_buf_deinit(&value);
    return NULL;
}

/* Ten megabytes into a map of one, with readers all the while. */
static void test_map_grows(void **state)
{
    struct fixture *fx = *state;
    pthread_t reader;
    char *large = calloc(1, 256 * 1024 + 1);
    assert_non_null(large);
    memset(large, 'v', 256 * 1024);
    open_store(fx, true);
    assert_int_equal(put_now(fx, GT_TABLE_CONNECTORS, "first", "first"), 0);
    atomic_store(&reading, true);
    assert_int_equal(pthread_create(&reader, NULL, read_on, fx), 0);
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof key, "large-%d", i);
        assert_int_equal(put_now(fx, GT_TABLE_POSITIONS, key, large), 0);
    }
    atomic_store(&reading, false);
    pthread_join(reader, NULL);
    close_store(fx);
    open_store(fx, false); /* the first size given is smaller than what is there */
    struct gt_buf value;
    gt_buf_init(&value, 1 << 20);
    assert_int_equal(get(fx, GT_TABLE_POSITIONS, "large-39", &value), 0);
    assert_int_equal(value.len, 256 * 1024);
    assert_string_equal(gt_buf_cstr(&value), large);
    gt_buf_deinit(&value);
    free(large);
    close_store(fx);
}

/* --- Who is let in --- */

static void test_second_opener(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct gt_store *second = NULL;
    char pid[32];
    open_store(fx, true);
    assert_int_equal(gt_store_open(fx->path, 0, &second, &err), GANTRY_BUSY);
    assert_null(second);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, fx->path));
    close_store(fx);
    open_store(fx, true); /* free again */
    close_store(fx);
}

static int raise_version(struct fixture *fx, int pipe)
{
    (void)pipe;
    static const struct gt_commit_ops no_ops = {0};
    struct gt_commit commit;
    struct gantry_err err = {0};
    char bytes[4];
    gt_store_le32(bytes, 7);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_META, text("version"), (struct gantry_view){bytes, 4});
    int code = gt_store_open(fx->path, 0, &fx->store, &err);
    if (code == 0)
        code = gt_store_commit_now(fx->store, &commit, &err);
    gt_commit_deinit(&commit);
    gt_store_close(fx->store);
    return code != 0;
}

/* A store of version 1 is one of version 2 once it was opened. */
static int lower_version(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    struct gt_commit commit;
    static const struct gt_commit_ops no_ops = {0};
    (void)pipe;
    CHECK(gt_store_open(fx->path, 0, &fx->store, &err) == 0);
    gt_commit_init(&commit, &no_ops);
    gt_commit_put(&commit, GT_TABLE_META, text("version"), (struct gantry_view){"\1\0\0\0", 4});
    CHECK(gt_store_commit_now(fx->store, &commit, &err) == 0);
    gt_commit_deinit(&commit);
    gt_store_close(fx->store);
    return 0;
}

static void test_older_version(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct gt_buf value;
    assert_int_equal(run_scenario(fx, "lower_version", NULL), 0);
    assert_int_equal(gt_store_open(fx->path, 0, &fx->store, &err), 0);
    gt_buf_init(&value, 16);
    assert_int_equal(get(fx, GT_TABLE_META, "version", &value), 0);
    assert_int_equal(value.len, 4);
    assert_int_equal(value.data[0], GT_STORE_VERSION);
    gt_buf_deinit(&value);
    gt_store_close(fx->store);
    fx->store = NULL;
}

static void test_newer_version(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct gt_env env;
    char inner[FOLDER_MAX + 32];
    snprintf(inner, sizeof inner, "%s/gantry", fx->path);
    assert_int_equal(gt_env_open(&env, inner, 0, true, &err), GANTRY_NOT_FOUND);
    assert_int_equal(run_scenario(fx, "raise_version", NULL), 0);
    assert_int_equal(gt_store_open(fx->path, 0, &fx->store, &err), GANTRY_VERSION);
    assert_non_null(strstr(err.text, "version 7"));
    assert_non_null(strstr(err.text, "up to 2"));
    fx->store = NULL;
    assert_int_equal(gt_env_open(&env, inner, 0, true, &err), GANTRY_VERSION);
    /* Refused without a change: a second look says the same. */
    assert_int_equal(gt_store_open(fx->path, 0, &fx->store, &err), GANTRY_VERSION);
    fx->store = NULL;
}

static void test_bad_places(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    struct gt_store *store = NULL;
    char path[FOLDER_MAX + 64];
    int fd = open(fx->path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_not_equal(gt_store_open(fx->path, 0, &store, &err), 0);
    assert_non_null(strstr(err.text, fx->path));
    assert_int_equal(unlink(fx->path), 0);

    open_store(fx, false);
    close_store(fx);
    snprintf(path, sizeof path, "%s/gantry/data.mdb", fx->path);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char garbage[8192];
    memset(garbage, 0x5a, sizeof garbage);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 0), (int)sizeof garbage);
    close(fd);
    assert_int_equal(gt_store_open(fx->path, 0, &store, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, fx->path));
}

/* Messages whose tables are gone are not taken for leftovers of a new store. */
static void test_half_a_store(void **state)
{
    struct fixture *fx = *state;
    struct gantry_err err = {0};
    char path[FOLDER_MAX + 64], aside[FOLDER_MAX + 64];
    open_store(fx, false);
    close_store(fx);
    snprintf(path, sizeof path, "%s/topics", fx->path);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/topics/t", fx->path);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/gantry", fx->path);
    snprintf(aside, sizeof aside, "%s/elsewhere", fx->path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(gt_store_open(fx->path, 0, &fx->store, &err), GANTRY_CORRUPT);
    assert_non_null(strstr(err.text, "put them back"));
    assert_int_equal(rename(aside, path), 0);
    open_store(fx, false);
}

#ifdef GT_FAULTS
/* LMDB fails at the very end of a commit: the store takes nothing any more, and says so, until it
 * is opened anew. */
static int broken_store(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(gt_store_open(fx->path, 0, &fx->store, &err) == 0 &&
          gt_store_start(fx->store, &err) == 0);
    CHECK(put_now(fx, GT_TABLE_CONNECTORS, "one", "1") == 0 &&
          gt_store_check(fx->store, &err) == 0);
    CHECK(put_now(fx, GT_TABLE_CONNECTORS, "two", "2") == GANTRY_IO);
    CHECK(put_now(fx, GT_TABLE_CONNECTORS, "three", "3") == GANTRY_IO);
    CHECK(gt_store_check(fx->store, &err) == GANTRY_IO &&
          strstr(err.text, "started again") != NULL);
    gt_store_close(fx->store);
    return 0;
}

static int full_disk(struct fixture *fx, int pipe)
{
    struct gantry_err err = {0};
    (void)pipe;
    CHECK(gt_store_open(fx->path, 0, &fx->store, &err) == 0 &&
          gt_store_start(fx->store, &err) == 0);
    CHECK(put_now(fx, GT_TABLE_CONNECTORS, "four", "4") == 0);
    CHECK(put_now(fx, GT_TABLE_CONNECTORS, "five", "5") == GANTRY_NO_SPACE);
    CHECK(gt_store_check(fx->store, &err) == 0 &&
          put_now(fx, GT_TABLE_CONNECTORS, "six", "6") == 0);
    gt_store_close(fx->store);
    return 0;
}

static void test_failed_transactions(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(run_scenario(fx, "broken_store", "eio:commit.txn:2"), 0);
    assert_int_equal(run_scenario(fx, "full_disk", "enospc:commit.txn:2"), 0);
    open_store(fx, false);
    check_scan(fx, "", "four=4 one=1 six=6 ");
    close_store(fx);
}
#endif

/* --- Tables --- */

static void test_keys(void **state)
{
    (void)state;
    struct gt_key key;
    struct gantry_view name;
    uint32_t number;
    int64_t base;
    gt_key_segment(&key, "topic", 3, 0x0102030405060708);
    assert_int_equal(key.len, 5 + 1 + 4 + 8);
    assert_memory_equal(key.bytes, "topic\0\0\0\0\3\1\2\3\4\5\6\7\10", key.len);
    assert_int_equal(gt_key_read_segment(gt_key_view(&key), &name, &number, &base), 0);
    assert_true(gantry_view_equal(name, text("topic")));
    assert_int_equal(number, 3);
    assert_true(base == 0x0102030405060708);
    for (size_t len = 0; len < key.len; len++)
        assert_int_equal(
            gt_key_read_segment((struct gantry_view){key.bytes, len}, &name, &number, &base),
            GANTRY_CORRUPT);
    gt_key_progress(&key, "c", 258);
    assert_memory_equal(key.bytes, "c\0\0\0\1\2", key.len);
    assert_int_equal(gt_key_read_progress(gt_key_view(&key), &name, &number), 0);
    assert_int_equal(number, 258);
    assert_int_equal(gt_key_read_progress((struct gantry_view){key.bytes, 5}, &name, &number),
                     GANTRY_CORRUPT);

    struct gt_key first, second;
    struct gantry_view partition = text("{\"filename\":\"a\"}");
    gt_key_position(&first, "c", &partition);
    partition = text("{\"filename\":\"b\"}");
    gt_key_position(&second, "c", &partition);
    assert_int_equal(first.len, 2 + 16);
    assert_memory_not_equal(first.bytes, second.bytes, first.len);
    assert_int_equal(gt_key_read_name(gt_key_view(&first), &name), 0);
    assert_true(gantry_view_equal(name, text("c")));
    assert_int_equal(gt_key_read_name(text("no end"), &name), GANTRY_CORRUPT);
}

/* Every value comes back, and no prefix of one is taken for a value. */
static void test_values(void **state)
{
    (void)state;
    struct gt_buf buf;
    gt_buf_init(&buf, 4096);
    struct gt_topic_record topic = {.queues = 300, .created_ms = -5}, topic_back;
    gt_topic_record_write(&buf, &topic);
    assert_int_equal(gt_topic_record_read(gt_buf_view(&buf), &topic_back), 0);
    assert_int_equal(topic_back.queues, 300);
    assert_int_equal(topic_back.created_ms, -5);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(gt_topic_record_read((struct gantry_view){buf.data, len}, &topic_back),
                         GANTRY_CORRUPT);
    buf.data[0] = 2; /* of a version not known */
    assert_int_equal(gt_topic_record_read(gt_buf_view(&buf), &topic_back), GANTRY_CORRUPT);
    gt_buf_clear(&buf);
    topic.queues = UINT32_MAX; /* as much memory nobody has */
    gt_topic_record_write(&buf, &topic);
    assert_int_equal(gt_topic_record_read(gt_buf_view(&buf), &topic_back), GANTRY_CORRUPT);

    struct gt_segment_record segment = {10, 20, 4000000000, 3999999000, INT64_MIN, INT64_MAX},
                             segment_back;
    gt_buf_clear(&buf);
    gt_segment_record_write(&buf, &segment);
    assert_int_equal(gt_segment_record_read(gt_buf_view(&buf), &segment_back), 0);
    assert_memory_equal(&segment, &segment_back, sizeof segment);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(gt_segment_record_read((struct gantry_view){buf.data, len}, &segment_back),
                         GANTRY_CORRUPT);

    struct gt_gap_record gap = {5, 9, 0, 100, 200}, gap_back;
    gt_buf_clear(&buf);
    gt_gap_record_write(&buf, &gap);
    assert_int_equal(gt_gap_record_read(gt_buf_view(&buf), &gap_back), 0);
    assert_memory_equal(&gap, &gap_back, sizeof gap);

    struct gantry_view one, two;
    gt_buf_clear(&buf);
    gt_position_record_write(&buf, (struct gantry_view){"a\0b", 3}, text(""));
    assert_int_equal(gt_position_record_read(gt_buf_view(&buf), &one, &two), 0);
    assert_true(gantry_view_equal(one, (struct gantry_view){"a\0b", 3}));
    assert_int_equal(two.len, 0);

    struct gt_arena arena;
    gt_arena_init(&arena, 1024, 1024);
    struct gt_queue_offset offsets[] = {{.topic = text("t1"), .offset = 7},
                                        {.topic = text("t2"),
                                         .queue = 9,
                                         .offset = INT64_MAX,
                                         .broker = text("broker-a"),
                                         .state = text("reader")}};
    struct gt_progress_record progress = {offsets, 2, text("state")}, progress_back;
    gt_buf_clear(&buf);
    gt_progress_record_write(&buf, &progress);
    assert_int_equal(gt_progress_record_read(gt_buf_view(&buf), &arena, &progress_back), 0);
    assert_int_equal(progress_back.offset_count, 2);
    assert_true(gantry_view_equal(progress_back.offsets[1].topic, text("t2")));
    assert_int_equal(progress_back.offsets[1].queue, 9);
    assert_true(progress_back.offsets[1].offset == INT64_MAX);
    assert_true(gantry_view_equal(progress_back.offsets[1].broker, text("broker-a")));
    assert_true(gantry_view_equal(progress_back.offsets[1].state, text("reader")));
    assert_int_equal(progress_back.offsets[0].broker.len, 0);
    assert_true(gantry_view_equal(progress_back.state, text("state")));
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(
            gt_progress_record_read((struct gantry_view){buf.data, len}, &arena, &progress_back),
            GANTRY_CORRUPT);
    assert_int_equal(buf.data[0], 2); /* as long as nobody has gone back */
    offsets[0].turns = 3;
    gt_buf_clear(&buf);
    gt_progress_record_write(&buf, &progress);
    assert_int_equal(gt_progress_record_read(gt_buf_view(&buf), &arena, &progress_back), 0);
    assert_int_equal(progress_back.offsets[0].turns, 3);
    assert_int_equal(progress_back.offsets[1].turns, 0);
    assert_true(gantry_view_equal(progress_back.offsets[1].state, text("reader")));
    offsets[0].turns = 0;
    /* As version 1 of the store has it: no brokers, no readers' states. */
    static const char old[] = {1, 1, 2, 't', '1', 3, 14, 1, 's'};
    assert_int_equal(
        gt_progress_record_read((struct gantry_view){old, sizeof old}, &arena, &progress_back), 0);
    assert_int_equal(progress_back.offset_count, 1);
    assert_true(gantry_view_equal(progress_back.offsets[0].topic, text("t1")));
    assert_int_equal(progress_back.offsets[0].queue, 3);
    assert_int_equal(progress_back.offsets[0].offset, 7);
    assert_int_equal(progress_back.offsets[0].broker.len, 0);
    assert_true(gantry_view_equal(progress_back.state, text("s")));

    struct gt_tails_record tails = {.epoch = UINT64_MAX, .offsets = offsets, .offset_count = 2},
                           tails_back;
    gt_buf_clear(&buf);
    gt_tails_record_write(&buf, &tails);
    assert_int_equal(gt_tails_record_read(gt_buf_view(&buf), &arena, &tails_back), 0);
    assert_true(tails_back.epoch == UINT64_MAX && tails_back.offset_count == 2);
    assert_true(gantry_view_equal(tails_back.offsets[1].broker, text("broker-a")));
    assert_true(tails_back.offsets[1].offset == INT64_MAX);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(
            gt_tails_record_read((struct gantry_view){buf.data, len}, &arena, &tails_back),
            GANTRY_CORRUPT);
    gt_arena_deinit(&arena);
    gt_buf_deinit(&buf);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"raise_version", raise_version},
        {"lower_version", lower_version},
#ifdef GT_FAULTS
        {"broken_store", broken_store},
        {"full_disk", full_disk},
#endif
    };
    int status = scenario_main(argc, argv, scenarios, sizeof scenarios / sizeof scenarios[0]);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_get_scan_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_groups_have_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_finishes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_now_from_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crowd_of_readers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_opener, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_a_store, setup, teardown),
#ifdef GT_FAULTS
        cmocka_unit_test_setup_teardown(test_failed_transactions, setup, teardown),
#endif
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_values),
    };
    gt_log_set_level(GANTRY_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
