/* SPDX-License-Identifier: Apache-2.0 */
/* The file sink against real files: a model of the runtime that crashes it at any step, and others
 * who meddle. */
#include "fake_runtime.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static struct fake fake;

static int setup(void **state)
{
    (void)state;
    fake_open(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(&fake);
    return 0;
}

static int write_checkpoint(struct gantry_output *output, const void *data, size_t len)
{
    struct fake_text **text = (struct fake_text **)(void *)(output + 1);
    fake_append(*text, data, len);
    return 0;
}

static int checkpoint(struct fake_task *task)
{
    struct {
        struct gantry_output output;
        struct fake_text *text;
    } out = {{sizeof out.output, write_checkpoint}, &task->checkpoint};
    fake_text_free(&task->checkpoint);
    return task->connector->checkpoint(task->task, &out.output, &task->err);
}

static int flush(struct fake_task *task)
{
    return task->connector->flush(task->task, &task->err);
}

/* The transaction of the store. */
static void store(struct fake_task *task)
{
    fake_text_free(&task->state);
    fake_append(&task->state, task->checkpoint.data, task->checkpoint.len);
}

static int commit(struct fake_task *task)
{
    int rc = checkpoint(task);
    if (rc == 0)
        rc = flush(task);
    if (rc != 0)
        return rc;
    store(task);
    return task->connector->committed(task->task, &task->err);
}

static void init(struct fake_task *task, const char *const *pairs)
{
    fake_task_init(task, &fake, SINK, "snk", pairs);
}

/* Start with the first commit, as the runtime does. */
static void start(struct fake_task *task)
{
    if (fake_start(task) != 0 || commit(task) != 0)
        fail_msg("%s", task->err.text);
}

static const struct gantry_header part[] = {{{"gantry.line", 11}, {"part", 4}}};

/* Lines of @p text as records; what ends without newline is the first part of a line. */
static size_t records_of(const char *text, struct gantry_record *records)
{
    size_t count = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        records[count] = (struct gantry_record){.value = {text, len}};
        if (text[len] == '\0') {
            records[count].headers = part;
            records[count].header_count = 1;
        }
        count++;
        text += text[len] == '\0' ? len : len + 1;
    }
    return count;
}

/* Put lines as the runtime does: what is not taken comes again after a commit or a call. */
static int put(struct fake_task *task, const char *text)
{
    struct gantry_record records[2000];
    size_t count = records_of(text, records);
    size_t done = 0;
    for (int rounds = 0; done < count; rounds++) {
        assert_true(rounds < 1000);
        struct gantry_put_result result = {0, false};
        int rc =
            task->connector->put(task->task, records + done, count - done, &result, &task->err);
        if (rc != 0 && rc != GANTRY_AGAIN)
            return rc;
        done += result.taken;
        if (rc == GANTRY_AGAIN) {
            assert_true(atomic_exchange(&task->wakes, 0) > 0);
            continue;
        }
        assert_true(result.taken > 0 || result.want_commit);
        if (result.want_commit && (rc = commit(task)) != 0)
            return rc;
    }
    return 0;
}

static int caught_up(struct fake_task *task)
{
    return task->connector->caught_up(task->task, &task->err);
}

static void writes_lines_behind_what_is_there(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "out", "kept\n");
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "one\n\ntwo\n"), 0);
    assert_int_equal(put(&task, "par"), 0);
    assert_int_equal(put(&task, "t\n"), 0);
    fake_expect_file(&fake, "out", "kept\none\n\ntwo\npart\n");
    assert_int_equal(commit(&task), 0);
    fake_stop(&task);
    start(&task);
    assert_int_equal(put(&task, "three\n"), 0);
    fake_expect_file(&fake, "out", "kept\none\n\ntwo\npart\nthree\n");
    fake_task_deinit(&task);
}

static void writes_records_of_any_size(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    struct fake_text expected = {NULL, 0};
    struct gantry_record records[64];
    static const size_t sizes[] = {FILE_BUFFER_BYTES - 2,
                                   FILE_BUFFER_BYTES - 1,
                                   FILE_BUFFER_BYTES,
                                   FILE_BUFFER_BYTES + 1,
                                   3 * FILE_BUFFER_BYTES,
                                   0,
                                   1,
                                   100};
    char *bytes = malloc(3 * FILE_BUFFER_BYTES);
    for (size_t i = 0; i < 3 * FILE_BUFFER_BYTES; i++)
        bytes[i] = (char)(i * 7919 >> 5);
    size_t count = 0;
    for (size_t i = 0; i < 8; i++) {
        for (size_t k = 0; k < 8; k++) {
            size_t len = sizes[(i * 3 + k * (i + 1)) % 8];
            records[count++] = (struct gantry_record){.value = {len > 0 ? bytes : NULL, len}};
            fake_append(&expected, bytes, len);
            fake_append(&expected, "\n", 1);
        }
    }
    /* Twice: written, and then found as the tail of a crash. */
    for (int round = 0; round < 2; round++) {
        struct gantry_put_result result = {0, false};
        assert_int_equal(task.connector->put(task.task, records, count, &result, &task.err), 0);
        assert_int_equal(result.taken, count);
        struct fake_text found = fake_read(fake_path(&fake, "out"));
        assert_int_equal(found.len, expected.len);
        assert_memory_equal(found.data, expected.data, expected.len);
        fake_text_free(&found);
        fake_stop(&task);
        start(&task);
    }
    free(bytes);
    fake_text_free(&expected);
    fake_task_deinit(&task);
}

/* Whatever part of the uncommitted bytes a crash leaves, with or without blocks of zeros, the
 * outcome is the same. */
static void a_crash_leaves_any_tail(void **state)
{
    (void)state;
    static const char first[] = "committed\n";
    static const char rest[] = "one\ntwo two\n\nthree\n";
    const size_t base = sizeof first - 1;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    for (size_t cut = 0; cut < sizeof rest; cut++) {
        for (size_t zero = 0; zero <= cut; zero++) {
            (void)unlink(fake_path(&fake, "out"));
            fake_text_free(&task.state);
            start(&task);
            assert_int_equal(put(&task, first), 0);
            assert_int_equal(commit(&task), 0);
            assert_int_equal(put(&task, rest), 0);
            fake_stop(&task);
            char tail[sizeof rest];
            memcpy(tail, rest, sizeof rest);
            memset(tail + zero, 0, cut - zero);
            assert_int_equal(truncate(fake_path(&fake, "out"), (off_t)base), 0);
            fake_write(fake_path(&fake, "out"), O_APPEND, tail, cut);
            start(&task);
            assert_int_equal(put(&task, "one\ntwo two\n"), 0); /* in two puts */
            assert_int_equal(put(&task, "\nthree\n"), 0);
            assert_int_equal(caught_up(&task), 0);
            assert_int_equal(commit(&task), 0);
            fake_expect_file(&fake, "out", "committed\none\ntwo two\n\nthree\n");
            assert_int_equal(put(&task, "more\n"), 0);
            fake_expect_file(&fake, "out", "committed\none\ntwo two\n\nthree\nmore\n");
            fake_stop(&task);
        }
    }
    fake_task_deinit(&task);
}

static void bytes_of_others_in_the_tail_are_never_cut(void **state)
{
    (void)state;
    static const char *const foreign[] = {"onX\n", "theirs\n", "one\nTWO\n", "one\ntwo\ntheirs\n",
                                          "one\ntwo\n\n"};
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        (void)unlink(fake_path(&fake, "out"));
        fake_text_free(&task.state);
        start(&task);
        fake_stop(&task);
        fake_file(&fake, "out", foreign[i]); /* the same inode */
        start(&task);
        int rc = put(&task, "one\ntwo\n");
        if (rc == 0)
            rc = caught_up(&task);
        assert_int_equal(rc, GANTRY_CHANGED);
        assert_non_null(strstr(task.err.text, "/out"));
        assert_non_null(strstr(task.err.text, "gantry connector reset snk"));
        fake_expect_file(&fake, "out", foreign[i]);
        fake_stop(&task);
    }
    fake_task_deinit(&task);
}

static void zeros_that_are_left_are_cut(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "one\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_stop(&task);
    assert_int_equal(truncate(fake_path(&fake, "out"), 10000), 0);
    start(&task);
    assert_int_equal(caught_up(&task), 0);
    fake_expect_file(&fake, "out", "one\n");
    assert_int_equal(put(&task, "two\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_expect_file(&fake, "out", "one\ntwo\n");
    fake_task_deinit(&task);
}

/* As many queues as there may be: those whose turn has not come are no reason to fail. */
static void the_tail_of_many_queues_may_come_again_in_another_order(void **state)
{
    (void)state;
    enum { QUEUES = 200 };
    struct fake_task task;
    struct gantry_record records[QUEUES];
    static char lines[QUEUES][16];
    struct fake_text expected = {NULL, 0};
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    struct gantry_put_result result;
    for (uint32_t i = 0; i < QUEUES; i++) {
        int len = snprintf(lines[i], sizeof lines[i], "queue %u", i);
        records[i] =
            (struct gantry_record){.value = {lines[i], (size_t)len}, .topic = "t", .queue = i};
        assert_int_equal(task.connector->put(task.task, &records[i], 1, &result, &task.err), 0);
        fake_append(&expected, lines[i], (size_t)len);
        fake_append(&expected, "\n", 1);
    }
    fake_stop(&task);
    start(&task);
    /* Offered in turns, from the last to the first: of each turn only the last one offered fits,
     * and that is known when all have been looked at. */
    uint32_t next = 0;
    for (int turn = 0; turn < 2 * QUEUES && next < QUEUES; turn++) {
        for (uint32_t i = QUEUES; i-- > next;) {
            int rc = task.connector->put(task.task, &records[i], 1, &result, &task.err);
            assert_int_equal(rc, result.taken == 1 ? 0 : GANTRY_AGAIN);
            assert_true(result.taken == 0 || i == next);
            next += (uint32_t)result.taken;
        }
    }
    assert_int_equal(next, QUEUES);
    fake_expect_file(&fake, "out", expected.data);
    fake_text_free(&expected);
    fake_task_deinit(&task);
}

static void the_tail_of_two_queues_may_come_again_in_another_order(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "a1\na2\n"), 0);
    assert_int_equal(put(&task, "b1\n"), 0);
    fake_stop(&task);
    start(&task);
    struct gantry_record a[3], b[3];
    struct gantry_put_result result;
    size_t na = records_of("a1\na2\na3\n", a);
    size_t nb = records_of("b1\nb2\n", b);
    b[0].queue = b[1].queue = 1;
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(task.connector->put(task.task, b, nb, &result, &task.err), GANTRY_AGAIN);
        assert_int_equal(result.taken, 0);
        assert_int_equal(task.connector->put(task.task, a, na, &result, &task.err), GANTRY_AGAIN);
        assert_int_equal(result.taken, turn == 0 ? 0 : 2);
    }
    assert_int_equal(task.connector->put(task.task, b, nb, &result, &task.err), 0);
    assert_int_equal(result.taken, 2);
    assert_int_equal(task.connector->put(task.task, a + 2, 1, &result, &task.err), 0);
    fake_expect_file(&fake, "out", "a1\na2\nb1\nb2\na3\n");
    fake_task_deinit(&task);
}

/* Lines that are in several queues: one that fits may be another queue's. */
static void equal_lines_of_two_queues_may_come_again_in_another_order(void **state)
{
    (void)state;
    static const char *const lines[2][4] = {{"", "a", "a2", NULL}, {"", "b", NULL}};
    static const int first_life[] = {1, 1, 0, 0}; /* the queues of what was put */
    struct fake_task task;
    struct gantry_put_result result;
    struct gantry_record records[2][3];
    size_t count[2] = {0, 0}, done[2] = {0, 0};
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    for (uint32_t q = 0; q < 2; q++) {
        for (; lines[q][count[q]] != NULL; count[q]++)
            records[q][count[q]] =
                (struct gantry_record){.value = gantry_view_of(lines[q][count[q]]), .queue = q};
    }
    for (size_t i = 0; i < sizeof first_life / sizeof first_life[0]; i++) {
        int q = first_life[i];
        struct gantry_record *record = &records[q][done[q]++];
        assert_int_equal(task.connector->put(task.task, record, 1, &result, &task.err), 0);
    }
    fake_stop(&task);
    start(&task);
    done[0] = done[1] = 0;
    for (int i = 0; i < 20; i++) {
        int q = i % 2;
        if (done[q] == count[q])
            continue;
        int rc = task.connector->put(task.task, records[q] + done[q], count[q] - done[q], &result,
                                     &task.err);
        if (rc != GANTRY_AGAIN)
            assert_int_equal(rc, 0);
        done[q] += result.taken;
    }
    assert_true(done[0] == count[0] && done[1] == count[1]);
    assert_int_equal(caught_up(&task), 0);
    fake_expect_file(&fake, "out", "\nb\n\na\na2\n");
    fake_task_deinit(&task);
}

/* --- others ---------------------------------------------------------------------------------- */

static void assert_refused(struct fake_task *task)
{
    assert_int_equal(fake_start(task), GANTRY_CHANGED);
    assert_non_null(strstr(task->err.text, "/out"));
    assert_non_null(strstr(task->err.text, "committed length 4"));
    assert_non_null(strstr(task->err.text, "gantry connector reset snk"));
}

static void a_file_that_others_changed_while_down_is_refused(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "one\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_stop(&task);

    fake_file(&fake, "out", "on");
    assert_refused(&task);
    fake_expect_file(&fake, "out", "on");
    fake_rename(&fake, "out", "gone");
    assert_refused(&task);
    assert_int_not_equal(access(fake_path(&fake, "out"), F_OK), 0); /* and not made anew */
    fake_file(&fake, "out", "one\n"); /* the same bytes, another file */
    assert_refused(&task);
    assert_int_equal(unlink(fake_path(&fake, "gone")), 0);
    assert_int_equal(unlink(fake_path(&fake, "out")), 0);
    fake_sleep(10);
    fake_file(&fake, "out", "one\n"); /* perhaps the same inode number: born later */
    assert_refused(&task);
    fake_task_deinit(&task);
}

static void a_file_that_others_change_while_running_is_a_failure(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct fake_task task;
        (void)unlink(fake_path(&fake, "out"));
        init(&task, PAIRS("filename", fake_path(&fake, "out")));
        start(&task);
        assert_int_equal(put(&task, "one\n"), 0);
        if (how == 0)
            fake_add(&fake, "out", "theirs\n");
        else if (how == 1)
            fake_file(&fake, "out", "x");
        else
            fake_rename(&fake, "out", "moved");
        if (how == 3)
            fake_file(&fake, "out", "new\n");
        assert_int_equal(checkpoint(&task), GANTRY_CHANGED);
        assert_int_equal(put(&task, "two\n"), GANTRY_CHANGED);
        fake_stop(&task);
        if (how == 0)
            fake_expect_file(&fake, "out", "one\ntheirs\n");
        fake_task_deinit(&task);
    }
}

static void another_filename_begins_anew(void **state)
{
    (void)state;
    struct fake_task task, other;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "one\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_stop(&task);
    init(&other, PAIRS("filename", fake_path(&fake, "other")));
    fake_append(&other.state, task.state.data, task.state.len);
    start(&other);
    assert_int_equal(put(&other, "two\n"), 0);
    fake_expect_file(&fake, "out", "one\n");
    fake_expect_file(&fake, "other", "two\n");
    fake_task_deinit(&task);
    fake_task_deinit(&other);
}

static void a_damaged_state_is_refused(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    fake_stop(&task);
    size_t whole = task.state.len;
    for (size_t len = 1; len < whole; len++) {
        task.state.len = len;
        assert_int_equal(fake_start(&task), GANTRY_CORRUPT);
    }
    task.state.len = whole;
    assert_int_equal(fake_start(&task), 0);
    fake_task_deinit(&task);
}

static void a_full_disk_is_an_error_that_passes(void **state)
{
    (void)state;
    struct fake_task task;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    assert_int_equal(put(&task, "one\n"), 0);
    assert_int_equal(commit(&task), 0);
    /* The process's own limit stands for the disk: part of the write succeeds. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old_action;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &old_action), 0);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 8;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = put(&task, "two\nthree\n");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(sigaction(SIGXFSZ, &old_action, NULL), 0);
    assert_int_equal(rc, GANTRY_IO);
    fake_stop(&task);
    fake_expect_file(&fake, "out", "one\ntwo\n");
    start(&task);
    assert_int_equal(put(&task, "two\nthree\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_expect_file(&fake, "out", "one\ntwo\nthree\n");
    fake_task_deinit(&task);
}

/* --- rotation -------------------------------------------------------------------------------- */

static void init_rotating(struct fake_task *task, const char *keep)
{
    init(task,
         PAIRS("filename", fake_path(&fake, "out"), "rotate.bytes", "8", "rotate.keep", keep));
}

static void rotates_at_lines_and_keeps_what_is_wanted(void **state)
{
    (void)state;
    struct fake_task task;
    init_rotating(&task, "2");
    start(&task);
    assert_int_equal(put(&task, "one\ntwo\nthree\nlonger than a file\nf\npa"), 0);
    assert_int_equal(put(&task, "rt that is long\nsix\n"), 0);
    assert_int_equal(commit(&task), 0);
    fake_expect_file(&fake, "out", "six\n");
    fake_expect_file(&fake, "out.000004", "f\npart that is long\n");
    fake_expect_file(&fake, "out.000003", "longer than a file\n");
    assert_int_not_equal(access(fake_path(&fake, "out.000002"), F_OK), 0);
    assert_int_not_equal(access(fake_path(&fake, "out.000001"), F_OK), 0);
    fake_task_deinit(&task);
}

static void rotation_goes_on_with_the_numbers_that_are_there(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "out.000007", "old\n");
    fake_file(&fake, "out.7", "not a number of ours\n");
    init_rotating(&task, "0");
    start(&task);
    assert_int_equal(put(&task, "one\ntwo\nthree\n"), 0);
    fake_expect_file(&fake, "out.000007", "old\n");
    fake_expect_file(&fake, "out.000008", "one\ntwo\n");
    fake_expect_file(&fake, "out", "three\n");
    fake_task_deinit(&task);
}

/* All bytes of all generations, in order. */
static void expect_all(const char *expected)
{
    struct fake_text all = {NULL, 0};
    char name[32];
    for (int i = 1; i <= 20; i++) {
        (void)snprintf(name, sizeof name, i < 20 ? "out.%06d" : "out", i);
        if (access(fake_path(&fake, name), F_OK) != 0)
            continue;
        struct fake_text text = fake_read(fake_path(&fake, name));
        fake_append(&all, text.data, text.len);
        fake_text_free(&text);
    }
    fake_append(&all, "", 0);
    assert_string_equal(all.data, expected);
    fake_text_free(&all);
}

/* Run the same work again and again, each time crashing one step later: after a put, after a
 * checkpoint, after a flush, after the store's transaction, after committed(). The topic is the
 * text; its offset is what was committed. */
static void a_crash_at_any_step_of_rotation_loses_and_repeats_nothing(void **state)
{
    (void)state;
    static const char text[] = "one\ntwo\n3\nfour\nfive\nsix\nseven is long\n8\n9\n10\n";
    struct gantry_record records[32];
    size_t count = records_of(text, records);
    bool finished = false;
    int crashes = 0;
    for (int crash_at = 1; !finished; crash_at++) {
        struct fake_task task;
        char command[128];
        (void)snprintf(command, sizeof command, "rm -f '%s'/*", fake.folder);
        assert_int_equal(system(command), 0);
        init_rotating(&task, "0");
        size_t offset = 0; /* committed */
        bool crashed = false;
        int steps = 0;
#define STEP()                                                                                     \
    if (!crashed && ++steps == crash_at) {                                                         \
        crashed = true;                                                                            \
        crashes++;                                                                                 \
        fake_stop(&task);                                                                          \
        continue;                                                                                  \
    }
        for (int rounds = 0; offset < count; rounds++) {
            assert_true(rounds < 200);
            size_t done = offset;
            if (task.task == NULL) {
                if (fake_start(&task) != 0)
                    fail_msg("crash %d: %s", crash_at, task.err.text);
            } else {
                struct gantry_put_result result = {0, false};
                size_t n = count - done < 3 ? count - done : 3;
                int rc = task.connector->put(task.task, records + done, n, &result, &task.err);
                if (rc != 0)
                    fail_msg("crash %d: %s", crash_at, task.err.text);
                done += result.taken;
            }
            STEP()
            assert_int_equal(checkpoint(&task), 0);
            STEP()
            assert_int_equal(flush(&task), 0);
            STEP()
            store(&task);
            offset = done;
            STEP()
            assert_int_equal(task.connector->committed(task.task, &task.err), 0);
            STEP()
        }
        finished = !crashed;
        fake_stop(&task);
        assert_int_equal(fake_start(&task), 0);
        assert_int_equal(caught_up(&task), 0);
        expect_all(text);
        fake_task_deinit(&task);
    }
    assert_true(crashes > 50);
}

/* The steps inside committed(): what is on disk after each, made by hand. */
static void a_crash_inside_the_rotation_is_carried_through(void **state)
{
    (void)state;
    for (int step = 0; step < 4; step++) {
        struct fake_task task;
        (void)unlink(fake_path(&fake, "out"));
        (void)unlink(fake_path(&fake, "out.000001"));
        init_rotating(&task, "0");
        start(&task);
        struct gantry_record records[4];
        struct gantry_put_result result;
        size_t count = records_of("one\ntwo\nthree\n", records);
        assert_int_equal(task.connector->put(task.task, records, count, &result, &task.err), 0);
        assert_int_equal(result.taken, 2);
        assert_true(result.want_commit);
        assert_int_equal(checkpoint(&task), 0);
        assert_int_equal(flush(&task), 0);
        store(&task); /* the intention is committed */
        fake_stop(&task);
        if (step >= 1)
            fake_rename(&fake, "out", "out.000001");
        if (step >= 2)
            fake_file(&fake, "out", "");
        if (step == 3)
            fake_file(&fake, "out", "theirs\n");
        if (step == 3) {
            assert_int_equal(fake_start(&task), GANTRY_CHANGED);
            fake_expect_file(&fake, "out", "theirs\n");
        } else {
            start(&task);
            assert_int_equal(put(&task, "three\n"), 0);
            fake_expect_file(&fake, "out.000001", "one\ntwo\n");
            fake_expect_file(&fake, "out", "three\n");
        }
        fake_task_deinit(&task);
    }
}

static void nothing_is_written_before_the_new_file_is_committed(void **state)
{
    (void)state;
    struct fake_task task;
    init_rotating(&task, "0");
    assert_int_equal(fake_start(&task), 0);
    struct gantry_record records[4];
    struct gantry_put_result result;
    size_t count = records_of("one\ntwo\nthree\n", records);
    assert_int_equal(task.connector->put(task.task, records, count, &result, &task.err), 0);
    assert_true(result.want_commit && result.taken == 0); /* the very first file */
    assert_int_equal(commit(&task), 0);
    assert_int_equal(task.connector->put(task.task, records, count, &result, &task.err), 0);
    assert_true(result.want_commit && result.taken == 2);
    assert_int_equal(task.connector->put(task.task, records + 2, 1, &result, &task.err), 0);
    assert_true(result.want_commit && result.taken == 0); /* the intention */
    assert_int_equal(commit(&task), 0);
    assert_int_equal(task.connector->put(task.task, records + 2, 1, &result, &task.err), 0);
    assert_true(result.want_commit && result.taken == 0); /* the new file */
    fake_expect_file(&fake, "out", "");
    fake_task_deinit(&task);
}

static void a_rotated_name_of_somebody_else_is_not_overwritten(void **state)
{
    (void)state;
    struct fake_task task;
    init_rotating(&task, "0");
    start(&task);
    struct gantry_record records[4];
    struct gantry_put_result result;
    size_t count = records_of("one\ntwo\nthree\n", records);
    assert_int_equal(task.connector->put(task.task, records, count, &result, &task.err), 0);
    assert_int_equal(checkpoint(&task), 0);
    fake_file(&fake, "out.000001", "theirs\n");
    assert_int_equal(flush(&task), 0);
    store(&task);
    assert_int_equal(task.connector->committed(task.task, &task.err), GANTRY_CHANGED);
    fake_expect_file(&fake, "out.000001", "theirs\n");
    fake_expect_file(&fake, "out", "one\ntwo\n");
    fake_task_deinit(&task);
}

/* --- threads --------------------------------------------------------------------------------- */

static void *flush_thread(void *arg)
{
    struct fake_task *task = arg;
    assert_int_equal(flush(task), 0);
    return NULL;
}

/* For TSan: flush beside put, with rotation in between. */
static void flush_runs_beside_put(void **state)
{
    (void)state;
    struct fake_task task;
    struct gantry_record record = {.value = {"0123456789", 10}};
    init(&task, PAIRS("filename", fake_path(&fake, "out"), "rotate.bytes", "100"));
    start(&task);
    size_t put_count = 0;
    for (int i = 0; i < 50; i++) {
        struct gantry_put_result result;
        pthread_t thread;
        assert_int_equal(checkpoint(&task), 0);
        assert_int_equal(pthread_create(&thread, NULL, flush_thread, &task), 0);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(task.connector->put(task.task, &record, 1, &result, &task.err), 0);
            put_count += result.taken;
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        store(&task);
        assert_int_equal(task.connector->committed(task.task, &task.err), 0);
    }
    assert_true(put_count > 100);
    fake_task_deinit(&task);
}

/* For TSan: the zeros of a power loss are cut while the first state is flushed. */
static void flush_runs_beside_caught_up(void **state)
{
    (void)state;
    struct fake_task task;
    pthread_t thread;
    init(&task, PAIRS("filename", fake_path(&fake, "out")));
    start(&task);
    fake_stop(&task);
    fake_write(fake_path(&fake, "out"), O_APPEND, "\0\0\0", 3);
    start(&task);
    assert_int_equal(checkpoint(&task), 0);
    assert_int_equal(pthread_create(&thread, NULL, flush_thread, &task), 0);
    assert_int_equal(caught_up(&task), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    fake_expect_file(&fake, "out", "");
    fake_task_deinit(&task);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_lines_behind_what_is_there),
        TEST(writes_records_of_any_size),
        TEST(a_crash_leaves_any_tail),
        TEST(bytes_of_others_in_the_tail_are_never_cut),
        TEST(zeros_that_are_left_are_cut),
        TEST(the_tail_of_many_queues_may_come_again_in_another_order),
        TEST(the_tail_of_two_queues_may_come_again_in_another_order),
        TEST(equal_lines_of_two_queues_may_come_again_in_another_order),
        TEST(a_file_that_others_changed_while_down_is_refused),
        TEST(a_file_that_others_change_while_running_is_a_failure),
        TEST(another_filename_begins_anew),
        TEST(a_damaged_state_is_refused),
        TEST(a_full_disk_is_an_error_that_passes),
        TEST(rotates_at_lines_and_keeps_what_is_wanted),
        TEST(rotation_goes_on_with_the_numbers_that_are_there),
        TEST(a_crash_at_any_step_of_rotation_loses_and_repeats_nothing),
        TEST(a_crash_inside_the_rotation_is_carried_through),
        TEST(nothing_is_written_before_the_new_file_is_committed),
        TEST(a_rotated_name_of_somebody_else_is_not_overwritten),
        TEST(flush_runs_beside_put),
        TEST(flush_runs_beside_caught_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
