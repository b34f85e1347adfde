/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that source and sink share: claims, roots, paths, identities, positions, the watch, and
 * what validate() says. */
#include "fake_runtime.h"

#include "../generations.h"
#include "../position.h"
#include "../roots.h"

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

/* --- validation ------------------------------------------------------------------------------ */

struct collected {
    struct gantry_findings findings; /* first member */
    struct fake_text text;
};

static void collect(struct gantry_findings *findings, const char *key, const char *text)
{
    struct collected *collected = (struct collected *)findings;
    fake_append(&collected->text, key != NULL ? key : "", key != NULL ? strlen(key) : 0);
    fake_append(&collected->text, "|", 1);
    fake_append(&collected->text, text, strlen(text));
    fake_append(&collected->text, "\n", 1);
}

/* Expect one finding with @p part in it; NULL: none. */
static void expect_finding(size_t kind, const char *name, const char *const *pairs,
                           const char *part)
{
    struct fake_task task;
    struct collected collected = {{sizeof collected.findings, collect}, {NULL, 0}};
    fake_task_init(&task, &fake, kind, name, pairs);
    task.connector->validate(fake.plugin, name, &task.config, &collected.findings);
    if (part == NULL && collected.text.len > 0)
        fail_msg("unexpected: %s", collected.text.data);
    if (part != NULL && (collected.text.len == 0 || strstr(collected.text.data, part) == NULL))
        fail_msg("expected '%s', found '%s'", part,
                 collected.text.len > 0 ? collected.text.data : "");
    fake_text_free(&collected.text);
    fake_task_deinit(&task);
}

static void validate_tells_what_is_wrong_with_a_source(void **state)
{
    (void)state;
    char list[600];
    fake_file(&fake, "ok", "x\n");
    assert_int_equal(mkfifo(fake_path(&fake, "pipe"), 0600), 0);
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "ok")), NULL);
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "missing")), NULL);
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "no/folder/yet")), NULL);
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "*.log")), NULL);
    expect_finding(SOURCE, "s", PAIRS("filename", fake.folder), "is a folder; give a file");
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "")), "is a folder");
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "pipe")),
                   "device, pipe or socket");
    expect_finding(SOURCE, "s", PAIRS("filename", "/dev/null"), "device, pipe or socket");
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "*/x")),
                   "pattern in its folder");
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "a\xff")), "not UTF-8");
    expect_finding(SOURCE, "s", PAIRS("filename", " , "), "filename: is empty");
    expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "ok"), "line.too.long", "skip"),
                   "dlq.topic");
    (void)snprintf(list, sizeof list, "%s,%s", fake_path(&fake, "ok"), fake_path(&fake, "pipe"));
    expect_finding(SOURCE, "s", PAIRS("filename", list), "/pipe");
    fake_file(&fake, "secret", "x\n");
    assert_int_equal(chmod(fake_path(&fake, "secret"), 0), 0);
    if (geteuid() != 0) /* root may read everything */
        expect_finding(SOURCE, "s", PAIRS("filename", fake_path(&fake, "secret")), "cannot read");
}

static void validate_tells_what_is_wrong_with_a_sink(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(fake_path(&fake, "pipe"), 0600), 0);
    expect_finding(SINK, "s", PAIRS("filename", fake_path(&fake, "new")), NULL);
    expect_finding(SINK, "s", PAIRS("filename", fake.folder), "is a folder");
    expect_finding(SINK, "s", PAIRS("filename", fake_path(&fake, "pipe")),
                   "device, pipe or socket");
    expect_finding(SINK, "s", PAIRS("filename", fake_path(&fake, "no/such/out")), "/no/such");
    fake_file(&fake, "plain", "");
    expect_finding(SINK, "s", PAIRS("filename", fake_path(&fake, "plain/out")), "plain");
    assert_int_not_equal(access(fake_path(&fake, "new"), F_OK), 0); /* it only looks */
    if (geteuid() != 0)
        expect_finding(SINK, "s", PAIRS("filename", "/proc/version"), "cannot");
}

static void a_task_refuses_what_validate_refuses(void **state)
{
    (void)state;
    struct fake_task task;
    assert_int_equal(mkfifo(fake_path(&fake, "pipe"), 0600), 0);
    fake_task_init(&task, &fake, SOURCE, "s", PAIRS("filename", fake_path(&fake, "pipe")));
    assert_int_equal(fake_start(&task), 0);
    assert_int_equal(fake_drain(&task), GANTRY_INVALID);
    fake_task_deinit(&task);
    fake_task_init(&task, &fake, SINK, "s", PAIRS("filename", fake_path(&fake, "pipe")));
    assert_int_equal(fake_start(&task), GANTRY_INVALID);
    fake_task_deinit(&task);
    fake_task_init(&task, &fake, SINK, "s", PAIRS("filename", fake_path(&fake, "no/such/out")));
    assert_int_equal(fake_start(&task), GANTRY_NOT_FOUND);
    fake_task_deinit(&task);
}

struct split_count {
    struct gantry_task_list list; /* first member */
    int count;
};

static int split_begin(struct gantry_task_list *list)
{
    ((struct split_count *)list)->count++;
    return 0;
}

static int split_set(struct gantry_task_list *list, const char *key, const char *value)
{
    (void)list;
    (void)key;
    (void)value;
    return 0;
}

static void split_makes_as_many_tasks_as_there_is_work(void **state)
{
    (void)state;
    static const struct {
        size_t kind;
        const char *names;
        uint32_t max;
        int expected;
    } cases[] = {{SOURCE, "/a", 4, 1},    {SOURCE, "/a,/b,/c", 4, 3}, {SOURCE, "/a,/b,/c", 2, 2},
                 {SOURCE, "/a,/*", 4, 4}, {SOURCE, "/*", 1, 1},       {SINK, "/a", 4, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fake_task task;
        struct split_count split = {{sizeof split.list, split_begin, split_set}, 0};
        fake_task_init(&task, &fake, cases[i].kind, "s", PAIRS("filename", cases[i].names));
        assert_int_equal(
            task.connector->split(fake.plugin, &task.config, cases[i].max, &split.list, &task.err),
            0);
        assert_int_equal(split.count, cases[i].expected);
        fake_task_deinit(&task);
    }
}

/* --- claims ---------------------------------------------------------------------------------- */

static void start_as(struct fake_task *task, size_t kind, const char *name, const char *file)
{
    fake_task_init(task, &fake, kind, name, PAIRS("filename", fake_path(&fake, file)));
    if (fake_start(task) != 0)
        fail_msg("%s", task->err.text);
}

static void expect_busy(size_t kind, const char *file, const char *other)
{
    struct fake_task task;
    fake_task_init(&task, &fake, kind, "second", PAIRS("filename", fake_path(&fake, file)));
    assert_int_equal(fake_start(&task), GANTRY_BUSY);
    assert_non_null(strstr(task.err.text, other));
    fake_task_deinit(&task);
    expect_finding(kind, "second", PAIRS("filename", fake_path(&fake, file)), other);
}

static void one_sink_owns_a_file_by_any_name(void **state)
{
    (void)state;
    struct fake_task first;
    assert_int_equal(mkdir(fake_path(&fake, "sub"), 0777), 0);
    start_as(&first, SINK, "first", "out");
    expect_busy(SINK, "out", "connector first");
    expect_busy(SINK, "sub/../out", "connector first");
    assert_int_equal(symlink("../out", fake_path(&fake, "sub/link")), 0);
    expect_busy(SINK, "sub/link", "connector first");
    /* Its own name is no obstacle for validate(): it may be an update of the running connector. */
    expect_finding(SINK, "first", PAIRS("filename", fake_path(&fake, "out")), NULL);
    fake_task_deinit(&first);
    start_as(&first, SINK, "again", "out");
    assert_int_equal(link(fake_path(&fake, "out"), fake_path(&fake, "hard")), 0);
    expect_busy(SINK, "hard", "connector again");
    fake_task_deinit(&first);
}

static void no_source_follows_what_a_sink_writes(void **state)
{
    (void)state;
    struct fake_task first, second;
    start_as(&first, SINK, "first", "out.txt");
    expect_busy(SOURCE, "out.txt", "connector first");
    expect_busy(SOURCE, "*.txt", "connector first");
    assert_int_equal(link(fake_path(&fake, "out.txt"), fake_path(&fake, "hard")), 0);
    expect_busy(SOURCE, "hard", "connector first");
    start_as(&second, SOURCE, "second", "*.log");
    fake_task_deinit(&second);
    fake_task_deinit(&first);
    start_as(&first, SOURCE, "first", "in.txt");
    start_as(&second, SOURCE, "another", "in.txt"); /* several readers are fine */
    expect_busy(SINK, "in.txt", "connector ");
    fake_task_deinit(&second);
    fake_task_deinit(&first);
    start_as(&first, SOURCE, "first", "*.txt");
    expect_busy(SINK, "new.txt", "connector first"); /* it would be found as soon as it is made */
    fake_task_deinit(&first);
    start_as(&second, SINK, "second", "new.txt");
    fake_task_deinit(&second);
}

/* --- roots ----------------------------------------------------------------------------------- */

static void expect_denied(size_t kind, const char *file)
{
    struct fake_task task;
    fake_task_init(&task, &fake, kind, "s", PAIRS("filename", fake_path(&fake, file)));
    assert_int_equal(fake_start(&task), GANTRY_DENIED);
    assert_non_null(strstr(task.err.text, "connectors.file.roots"));
    fake_task_deinit(&task);
    expect_finding(kind, "s", PAIRS("filename", fake_path(&fake, file)), "connectors.file.roots");
}

static void roots_bound_both_after_links_are_resolved(void **state)
{
    (void)state;
    struct fake_task task;
    char roots[300];
    assert_int_equal(mkdir(fake_path(&fake, "in"), 0777), 0);
    assert_int_equal(mkdir(fake_path(&fake, "in2"), 0777), 0);
    fake_file(&fake, "secret", "x\n");
    assert_int_equal(symlink("../secret", fake_path(&fake, "in/link")), 0);
    assert_int_equal(symlink("../made", fake_path(&fake, "in/dangling")), 0);
    assert_int_equal(symlink("in", fake_path(&fake, "door")), 0);
    (void)snprintf(roots, sizeof roots, "/nowhere:%s", fake_path(&fake, "in"));
    fake.roots = roots;
    for (size_t kind = SOURCE; kind <= SINK; kind++) {
        expect_denied(kind, "secret");
        expect_denied(kind, "in/../secret");
        expect_denied(kind, "in/link");
        expect_denied(kind, "in/dangling");
        expect_denied(kind, "in2/file"); /* a name that only begins like the root */
        start_as(&task, kind, "s", "in/file");
        fake_task_deinit(&task);
        start_as(&task, kind, "s", "door/file"); /* inside, once the link is resolved */
        fake_task_deinit(&task);
    }
    expect_denied(SOURCE, "*.log");
    /* Behind a folder that does not exist nobody knows what ".." will be. */
    fake_task_init(&task, &fake, SOURCE, "s",
                   PAIRS("filename", fake_path(&fake, "in/no/such/../../../secret")));
    assert_int_equal(fake_start(&task), GANTRY_INVALID);
    fake_task_deinit(&task);
    assert_int_not_equal(access(fake_path(&fake, "made"), F_OK), 0);
    (void)snprintf(roots, sizeof roots, "/nowhere, %s", fake_path(&fake, "in2"));
    start_as(&task, SINK, "s", "in2/file"); /* commas do as well */
    fake_task_deinit(&task);
}

static void a_link_that_leads_outside_later_is_refused(void **state)
{
    (void)state;
    struct fake_task task;
    assert_int_equal(mkdir(fake_path(&fake, "in"), 0777), 0);
    fake_file(&fake, "in/a", "inside\n");
    fake_file(&fake, "secret", "secret\n");
    assert_int_equal(symlink("a", fake_path(&fake, "in/log")), 0);
    char roots[300];
    (void)snprintf(roots, sizeof roots, "%s", fake_path(&fake, "in"));
    fake.roots = roots;
    start_as(&task, SOURCE, "s", "in/log");
    fake_expect(&task, "inside\n");
    assert_int_equal(unlink(fake_path(&fake, "in/log")), 0);
    assert_int_equal(symlink("../secret", fake_path(&fake, "in/log")), 0);
    int rc = 0;
    for (int i = 0; i < 2000 && rc == 0; i++, fake_sleep(1))
        rc = fake_drain(&task);
    assert_int_equal(rc, GANTRY_DENIED);
    assert_string_equal(task.out.data, "inside\n");
    fake_task_deinit(&task);
}

static void beyond_loopback_roots_are_required(void **state)
{
    (void)state;
    struct fake_task task;
    fake.beyond = "true";
    expect_denied(SOURCE, "a");
    expect_denied(SINK, "a");
    fake.roots = fake.folder;
    start_as(&task, SINK, "s", "a");
    fake_task_deinit(&task);
    fake.roots = " ";
    expect_denied(SINK, "a");
}

/* --- identities and positions ---------------------------------------------------------------- */

static void the_hash_is_siphash(void **state)
{
    (void)state;
    /* From the reference implementation's table of SipHash-2-4-128: input 00 01 02 ..., key 00 01
     * .. 0f. */
    static const struct {
        size_t len;
        unsigned char out[16];
    } vectors[] = {{0,
                    {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
                     0x55, 0x02, 0x93}},
                   {1,
                    {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b,
                     0x22, 0xfc, 0x45}}};
    for (size_t i = 0; i < 2; i++) {
        unsigned char in[1] = {0};
        uint64_t hash[2];
        file_hash(in, vectors[i].len, hash);
        for (size_t k = 0; k < 16; k++)
            assert_int_equal(hash[k / 8] >> (8 * (k % 8)) & 0xff, vectors[i].out[k]);
    }
}

static void a_position_survives_its_text(void **state)
{
    (void)state;
    struct file_position position = {.next = INT64_MAX,
                                     .inside = FILE_INSIDE_SKIP,
                                     .known = true,
                                     .size = INT64_MAX,
                                     .modified_ns = INT64_MAX};
    position.id = (struct file_identity){
        UINT64_MAX, UINT64_MAX, INT64_MAX, {0x0123456789abcdef, UINT64_MAX}, FILE_HEAD_BYTES};
    char text[FILE_POSITION_ROOM];
    size_t len = file_position_format(&position, text);
    assert_true(len < FILE_POSITION_ROOM - 1);
    struct file_position back;
    assert_int_equal(file_position_parse((struct gantry_view){text, len}, &back, NULL), 0);
    assert_true(back.next == position.next && back.inside == position.inside && back.known);
    assert_true(back.id.device == UINT64_MAX && back.id.inode == UINT64_MAX);
    assert_true(back.id.born_ns == INT64_MAX && back.id.head_bytes == FILE_HEAD_BYTES);
    assert_true(back.id.head[0] == 0x0123456789abcdef && back.id.head[1] == UINT64_MAX);
    assert_true(back.size == INT64_MAX && back.modified_ns == INT64_MAX);
    /* No prefix of it is taken for a position, and none is read beyond. */
    for (size_t n = 0; n < len; n++) {
        char *exact = malloc(n > 0 ? n : 1);
        memcpy(exact, text, n);
        assert_int_equal(file_position_parse((struct gantry_view){exact, n}, &back, NULL),
                         GANTRY_CORRUPT);
        free(exact);
    }
    char partition[100];
    partition[file_partition_format("a\"b\\c\n", partition)] = '\0';
    assert_string_equal(partition, "{\"filename\":\"a\\\"b\\\\c\\u000a\"}");
    char *path = file_partition_parse(gantry_view_of(partition));
    assert_string_equal(path, "a\"b\\c\n");
    free(path);
    const struct file_identity id = {.device = 7, .inode = UINT64_MAX};
    partition[file_left_partition_format(NULL, &id, partition)] = '\0';
    assert_string_equal(partition, "{\"device\":7,\"inode\":18446744073709551615}");
    assert_null(file_partition_parse(gantry_view_of(partition)));
    partition[file_left_partition_format("a", &id, partition)] = '\0';
    assert_string_equal(partition,
                        "{\"filename\":\"a\",\"device\":7,\"inode\":18446744073709551615}");
    assert_null(file_partition_parse(gantry_view_of(partition)));
    assert_null(file_partition_parse(gantry_view_of("no object")));
}

static void generations_are_told_from_other_names(void **state)
{
    (void)state;
    assert_true(file_generation_numbered("app.log.1", "app.log"));
    assert_true(file_generation_numbered("app.log-20260101", "app.log"));
    assert_false(file_generation_numbered("app.log", "app.log"));
    assert_false(file_generation_numbered("app.log1", "app.log"));
    assert_false(file_generation_numbered("app.log.bak", "app.log"));
    assert_false(file_generation_numbered("other.1", "app.log"));
}

/* --- the watch ------------------------------------------------------------------------------- */

/* Wait until the task was called; false after two seconds. */
static bool woken(struct fake_task *task)
{
    for (int i = 0; i < 2000; i++) {
        if (atomic_exchange(&task->wakes, 0) > 0)
            return true;
        fake_sleep(1);
    }
    return false;
}

static void the_watch_hears_of_names_and_what_begins_with_them(void **state)
{
    (void)state;
    struct file_watch *watch = ((struct file_plugin *)fake.plugin)->watch;
    static const char *const names[] = {"a", "ab", "log", "*.txt"};
    struct fake_task tasks[4];
    struct file_watch_entry *entries[4];
    for (int i = 0; i < 4; i++) {
        fake_task_init(&tasks[i], &fake, SOURCE, "s", PAIRS("filename", "x"));
        assert_int_equal(
            file_watch_add(watch, fake.folder, names[i], i == 3, &tasks[i].ctx, &entries[i], NULL),
            0);
    }
    static const struct {
        const char *file;
        bool wakes[4];
    } cases[] = {{"a", {true, false, false, false}},     {"abc", {true, true, false, false}},
                 {"log.1", {false, false, true, false}}, {"new.txt", {false, false, false, true}},
                 {".txt", {false, false, false, false}}, {"lo", {false, false, false, false}}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (int i = 0; i < 4; i++) {
            atomic_store(&entries[i]->dirty, false);
            atomic_store(&tasks[i].wakes, 0);
        }
        fake_file(&fake, cases[c].file, "x");
        for (int i = 0; i < 4; i++) {
            if (cases[c].wakes[i])
                assert_true(woken(&tasks[i]));
        }
        fake_sleep(20);
        for (int i = 0; i < 4; i++)
            assert_true(atomic_load(&entries[i]->dirty) == cases[c].wakes[i]);
    }
    for (int i = 0; i < 4; i++) {
        file_watch_remove(watch, entries[i]);
        fake_task_deinit(&tasks[i]);
    }
}

static void the_watch_tells_when_a_folder_goes(void **state)
{
    (void)state;
    struct file_watch *watch = ((struct file_plugin *)fake.plugin)->watch;
    struct fake_task task;
    struct file_watch_entry *entry;
    struct gantry_err err;
    fake_task_init(&task, &fake, SOURCE, "s", PAIRS("filename", "x"));
    assert_int_equal(
        file_watch_add(watch, fake_path(&fake, "sub"), "a", false, &task.ctx, &entry, &err),
        GANTRY_NOT_FOUND);
    assert_int_equal(mkdir(fake_path(&fake, "sub"), 0777), 0);
    assert_int_equal(
        file_watch_add(watch, fake_path(&fake, "sub"), "a", false, &task.ctx, &entry, &err), 0);
    assert_int_equal(rmdir(fake_path(&fake, "sub")), 0);
    assert_true(woken(&task));
    assert_true(atomic_load(&entry->lost));
    file_watch_remove(watch, entry);
    fake_task_deinit(&task);
}

static atomic_bool gate_open;

/* A wake that does not return until the gate opens: the watch reads no events meanwhile. */
static void wake_and_wait(struct gantry_task_context *ctx)
{
    fake_wake(ctx);
    while (!atomic_load(&gate_open))
        fake_sleep(1);
}

/* More events than the queue of the system holds: everybody is told to look. */
static void an_overflow_wakes_all(void **state)
{
    (void)state;
    struct file_watch *watch = ((struct file_plugin *)fake.plugin)->watch;
    struct fake_task busy, quiet;
    struct file_watch_entry *entries[2];
    long max = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &max), 1);
    assert_int_equal(fclose(file), 0);
    if (max > 1000000)
        skip(); /* would take too long */
    fake_task_init(&busy, &fake, SOURCE, "s", PAIRS("filename", "x"));
    fake_task_init(&quiet, &fake, SOURCE, "s", PAIRS("filename", "x"));
    busy.ctx.wake = wake_and_wait;
    atomic_store(&gate_open, false);
    assert_int_equal(
        file_watch_add(watch, fake.folder, "quiet", false, &quiet.ctx, &entries[0], NULL), 0);
    assert_int_equal(
        file_watch_add(watch, fake.folder, "busy", false, &busy.ctx, &entries[1], NULL), 0);
    fake_file(&fake, "busy", "x");
    assert_true(woken(&busy));
    int fds[2];
    fds[0] = open(fake_path(&fake, "x1"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    fds[1] = open(fake_path(&fake, "x2"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    for (long i = 0; i < max + 1000; i++) /* in turns: equal neighbours become one event */
        assert_int_equal(pwrite(fds[i & 1], "x", 1, 0), 1);
    assert_false(atomic_load(&entries[0]->dirty));
    atomic_store(&gate_open, true);
    assert_true(woken(&quiet));
    (void)close(fds[0]);
    (void)close(fds[1]);
    file_watch_remove(watch, entries[0]);
    file_watch_remove(watch, entries[1]);
    fake_task_deinit(&busy);
    fake_task_deinit(&quiet);
}

static void ten_thousand_entries_cost_little(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct file_watch *watch = ((struct file_plugin *)fake.plugin)->watch;
    struct fake_task *task = malloc(sizeof *task);
    fake_task_init(task, &fake, SOURCE, "s", PAIRS("filename", "x"));
    struct file_watch_entry **entries = malloc(COUNT * sizeof(struct file_watch_entry *));
    char name[32];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "file-%05d", i);
        assert_int_equal(
            file_watch_add(watch, fake.folder, name, false, &task->ctx, &entries[i], NULL), 0);
    }
    fake_file(&fake, "file-07777", "x");
    assert_true(woken(task));
    fake_sleep(20);
    for (int i = 0; i < COUNT; i++) {
        assert_true(atomic_load(&entries[i]->dirty) == (i == 7777));
        file_watch_remove(watch, entries[i]);
    }
    free(entries);
    fake_task_deinit(task);
    free(task);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(validate_tells_what_is_wrong_with_a_source),
        TEST(validate_tells_what_is_wrong_with_a_sink),
        TEST(a_task_refuses_what_validate_refuses),
        TEST(split_makes_as_many_tasks_as_there_is_work),
        TEST(one_sink_owns_a_file_by_any_name),
        TEST(no_source_follows_what_a_sink_writes),
        TEST(roots_bound_both_after_links_are_resolved),
        TEST(a_link_that_leads_outside_later_is_refused),
        TEST(beyond_loopback_roots_are_required),
        TEST(the_hash_is_siphash),
        TEST(a_position_survives_its_text),
        TEST(generations_are_told_from_other_names),
        TEST(the_watch_hears_of_names_and_what_begins_with_them),
        TEST(the_watch_tells_when_a_folder_goes),
        TEST(an_overflow_wakes_all),
        TEST(ten_thousand_entries_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
