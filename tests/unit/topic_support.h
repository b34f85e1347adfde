/* SPDX-License-Identifier: Apache-2.0 */
/** What the tests of store and topics share: temporary stores, messages that say by themselves
 * which they are, and appends that are waited for. */
#ifndef GT_TESTS_TOPIC_SUPPORT_H
#define GT_TESTS_TOPIC_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "store/tables.h"
#include "topic/topic.h"
#include <assert.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUPPORT static inline __attribute__((unused))

enum { BODY_MAX = 4096, FOLDER_MAX = 512 };

struct fixture {
    char folder[FOLDER_MAX];   /* of this test */
    char path[FOLDER_MAX + 8]; /* of the store in it */
    struct gt_topics_settings settings;
    struct gt_store *store;
    struct gt_topics *topics;
    struct gt_append_scratch scratch;
};

SUPPORT int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

SUPPORT void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

SUPPORT void use_folder(struct fixture *fx, const char *folder)
{
    snprintf(fx->folder, sizeof fx->folder, "%s", folder);
    snprintf(fx->path, sizeof fx->path, "%s/store", fx->folder);
    fx->settings = (struct gt_topics_settings){.segment_bytes = 64 << 10, .compression = "none"};
}

SUPPORT int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    const char *tmp = getenv("TMPDIR");
    assert_non_null(fx);
    if (tmp == NULL && access("/dev/shm", W_OK | X_OK) == 0)
        tmp = "/dev/shm"; /* thousands of syncs that nothing here depends on */
    char folder[FOLDER_MAX];
    snprintf(folder, sizeof folder, "%s/gantry-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    use_folder(fx, folder);
    *state = fx;
    return 0;
}

/** Open store and topics and start the committer; the error's code, 0 when all is open. */
SUPPORT int try_open(struct fixture *fx, struct gantry_err *err)
{
    int code = gt_store_open(fx->path, 16 << 20, &fx->store, err);
    if (code == 0)
        code = gt_topics_open(fx->store, &fx->settings, &fx->topics, err);
    if (code == 0)
        code = gt_store_start(fx->store, err);
    gt_append_scratch_init(&fx->scratch);
    return code;
}

SUPPORT void open_all(struct fixture *fx)
{
    struct gantry_err err = {0};
    int code = try_open(fx, &err);
    if (code != 0)
        print_error("cannot open: %s\n", err.text);
    assert_int_equal(code, 0);
}

SUPPORT void close_all(struct fixture *fx)
{
    if (fx->store == NULL)
        return;
    gt_store_stop(fx->store);
    gt_topics_close(fx->topics);
    gt_store_close(fx->store);
    gt_append_scratch_deinit(&fx->scratch);
    fx->store = NULL;
    fx->topics = NULL;
}

SUPPORT int teardown(void **state)
{
    struct fixture *fx = *state;
    close_all(fx);
    remove_tree(fx->folder);
    free(fx);
    return 0;
}

/* --- Scenarios in a process of their own: fault points are read from the environment once a
 * process, and LMDB allows one environment per process and file. The test runs itself again, as
 * `TEST scenario NAME FOLDER PIPE`. */

struct scenario {
    const char *name;
    int (*run)(struct fixture *fx, int pipe); /* the exit status */
};

/** Start @p name with GANTRY_FAULT=@p fault (NULL: none); the child may write to @p pipe (-1:
 * none). */
SUPPORT pid_t start_scenario(const struct fixture *fx, const char *name, const char *fault,
                             int pipe)
{
    char number[16];
    snprintf(number, sizeof number, "%d", pipe);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (fault != NULL)
            setenv("GANTRY_FAULT", fault, 1);
        execl("/proc/self/exe", "test", "scenario", name, fx->folder, number, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/** Its exit status, or 1000 + the signal that ended it. */
SUPPORT int wait_scenario(pid_t pid)
{
    int status;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    assert_int_equal(got, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

SUPPORT int run_scenario(const struct fixture *fx, const char *name, const char *fault)
{
    return wait_scenario(start_scenario(fx, name, fault, -1));
}

/** For main: -1 when this process is not to run a scenario. */
SUPPORT int scenario_main(int argc, char **argv, const struct scenario *scenarios, size_t count)
{
    if (argc != 5 || strcmp(argv[1], "scenario") != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(scenarios[i].name, argv[2]) == 0) {
            struct fixture fx = {0};
            use_folder(&fx, argv[3]);
            return scenarios[i].run(&fx, atoi(argv[4]));
        }
    }
    return 126;
}

/** In a scenario: what went wrong is printed, the test fails by the exit status. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* --- Messages: number N is the same wherever it is made --- */

struct made_message {
    char body[BODY_MAX], key[32], properties[32];
};

SUPPORT size_t body_size(int64_t n)
{
    return n % 11 == 0 ? 24 : 24 + (size_t)(n * 37 % 50);
}

/** @p padding is added to each body. */
SUPPORT struct gt_message make_message(struct made_message *made, int64_t n, size_t padding)
{
    size_t len = body_size(n) + padding;
    assert(len <= sizeof made->body);
    memset(made->body, 'a' + (int)(n % 26), len);
    int head = snprintf(made->body, sizeof made->body, "message %012" PRId64, n);
    made->body[head] = '\0'; /* a NUL in each */
    struct gt_message message = {.body = {made->body, len}, .timestamp_ms = 1700000000000 + n * 7};
    if (n % 3 == 0)
        message.key = (struct gantry_view){
            made->key, (size_t)snprintf(made->key, sizeof made->key, "k%" PRId64, n)};
    if (n % 5 == 0)
        message.properties = (struct gantry_view){
            made->properties,
            (size_t)snprintf(made->properties, sizeof made->properties, "p%" PRId64, n)};
    return message;
}

SUPPORT bool is_message(const struct gt_message *message, int64_t n, size_t padding)
{
    struct made_message made;
    struct gt_message want = make_message(&made, n, padding);
    return gantry_view_equal(message->body, want.body) &&
           gantry_view_equal(message->key, want.key) &&
           gantry_view_equal(message->properties, want.properties) &&
           message->timestamp_ms == want.timestamp_ms;
}

/* --- Appends --- */

struct waited_append {
    struct gt_append append;
    sem_t done;
};

SUPPORT void on_append(struct gt_append *append)
{
    sem_post(&((struct waited_append *)append)->done);
}

/** Messages for queue 0 of a topic. */
SUPPORT struct gt_append_part one_part(struct gt_topic *topic, const struct gt_message *messages,
                                       size_t count)
{
    return (struct gt_append_part){.topic = topic, .messages = messages, .count = count};
}

/** Append and wait for the outcome. */
SUPPORT int append_parts(struct fixture *fx, const struct gt_append_part *parts, size_t count,
                         struct gantry_err *err)
{
    struct waited_append waited;
    sem_init(&waited.done, 0, 0);
    gt_append_init(&waited.append, on_append);
    int code = gt_append_submit(fx->topics, &waited.append, parts, count, &fx->scratch, err);
    if (code == 0) {
        while (sem_wait(&waited.done) != 0)
            ;
        code = waited.append.commit.err.code;
        if (code != 0)
            *err = waited.append.commit.err;
    }
    gt_append_deinit(&waited.append);
    sem_destroy(&waited.done);
    return code;
}

/** Messages @p first .. @p first + @p count - 1 in one batch. */
SUPPORT int try_append(struct fixture *fx, const char *topic, int64_t first, size_t count,
                       size_t padding, struct gantry_err *err)
{
    struct made_message *made = calloc(count, sizeof *made);
    struct gt_message *messages = calloc(count, sizeof *messages);
    assert(made != NULL && messages != NULL);
    for (size_t i = 0; i < count; i++)
        messages[i] = make_message(&made[i], first + (int64_t)i, padding);
    struct gt_append_part part = one_part(gt_topic_get(fx->topics, topic), messages, count);
    int code = append_parts(fx, &part, 1, err);
    free(messages);
    free(made);
    return code;
}

SUPPORT void append(struct fixture *fx, const char *topic, int64_t first, size_t count,
                    size_t padding)
{
    struct gantry_err err = {0};
    if (try_append(fx, topic, first, count, padding, &err) != 0)
        fail_msg("append to %s: %s", topic, err.text);
}

SUPPORT int open_reader(struct gt_topic *topic, uint32_t queue, int64_t offset,
                        struct gt_reader **ret, struct gantry_err *err)
{
    return gt_reader_open(topic, &(struct gt_reader_spec){.queue = queue, .offset = offset}, ret,
                          err);
}

SUPPORT struct gt_writer *open_writer(struct fixture *fx)
{
    static const struct gt_claim claim = {"test", 0, 0, NULL};
    struct gt_writer *writer = NULL;
    struct gantry_err err = {0};
    if (gt_writer_open(fx->topics, &(struct gt_writer_spec){.claim = &claim}, &writer, &err) != 0)
        abort();
    return writer;
}

/** Read from @p from to the end; each message must be the one its offset says. The number read, or
 * an error. */
SUPPORT int64_t try_read(struct fixture *fx, const char *topic, int64_t from, size_t padding,
                         int64_t *ret_first, struct gantry_err *err)
{
    struct gt_reader *reader;
    struct gt_arena arena;
    int code = open_reader(gt_topic_get(fx->topics, topic), 0, from, &reader, err);
    int64_t total = 0;
    if (code != 0)
        return code;
    gt_arena_init(&arena, 65536, 65536);
    for (;;) {
        const struct gt_message *messages;
        size_t count;
        int64_t first;
        gt_arena_reset(&arena);
        code = gt_reader_next(reader, &arena, &messages, &count, &first, err);
        if (code != 0 || count == 0)
            break;
        if (total == 0 && ret_first != NULL)
            *ret_first = first;
        for (size_t i = 0; i < count; i++) {
            if (!is_message(&messages[i], first + (int64_t)i, padding)) {
                code = gantry_err_set(err, -1000, "offset %" PRId64 " holds another message",
                                      first + (int64_t)i);
                break;
            }
        }
        if (code != 0)
            break;
        total += (int64_t)count;
        gt_reader_took(reader, count);
    }
    gt_reader_close(reader);
    gt_arena_deinit(&arena);
    return code != 0 ? code : total;
}

SUPPORT void check_read(struct fixture *fx, const char *topic, int64_t from, int64_t count,
                        size_t padding)
{
    struct gantry_err err = {0};
    int64_t got = try_read(fx, topic, from, padding, NULL, &err);
    if (got != count)
        fail_msg("topic %s from %" PRId64 ": got %" PRId64 " of %" PRId64 " %s", topic, from, got,
                 count, err.text);
}

SUPPORT void segment_path_of(const struct fixture *fx, const char *topic, int64_t base,
                             char ret[FOLDER_MAX + 128])
{
    snprintf(ret, FOLDER_MAX + 128, "%s/topics/%s/0/%020" PRId64 ".log", fx->path, topic, base);
}

SUPPORT int64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

#endif
