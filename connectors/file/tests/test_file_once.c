/* SPDX-License-Identifier: Apache-2.0 */
/* Each byte of each file comes once over all tasks of a connector, whatever its name is by now:
 * between the renames of a rotation, after files have changed their names among tasks, after
 * restarts of one task or all, and after a new split. */
#include "fake_runtime.h"

#include "../division.h"
#include "../generations.h"
#include "../ledger.h"

enum { TASKS_MAX = 3 };

/* The tasks of one connector, and what they gave out over all their lives. */
struct group {
    struct fake_task tasks[TASKS_MAX];
    uint32_t count;
    char filename[900];
    struct fake_text out;
};

static struct fake fake;
static struct group group;
static uint64_t seed, first_seed; /* of the test with dice */

static int setup(void **state)
{
    (void)state;
    fake_open(&fake);
    memset(&group, 0, sizeof group);
    return 0;
}

static void gather(void)
{
    for (uint32_t i = 0; i < group.count; i++) {
        fake_append(&group.out, group.tasks[i].out.data, group.tasks[i].out.len);
        fake_text_free(&group.tasks[i].out);
    }
    fake_append(&group.out, "", 0);
}

static void stop(void)
{
    for (uint32_t i = 0; i < group.count; i++)
        fake_stop(&group.tasks[i]);
    gather();
    for (uint32_t i = 0; i < group.count; i++)
        fake_task_deinit(&group.tasks[i]);
    group.count = 0;
}

static int teardown(void **state)
{
    (void)state;
    stop();
    fake_text_free(&group.out);
    fake_close(&fake);
    return 0;
}

static void start_task(struct fake_task *task)
{
    if (fake_start(task) != 0)
        fail_msg("%s", task->err.text);
}

/* Start with what was committed. Patterns are separated by commas. */
static void start(uint32_t count, const char *patterns)
{
    char list[256];
    (void)snprintf(list, sizeof list, "%s", patterns);
    group.filename[0] = '\0';
    char *rest = list;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        size_t at = strlen(group.filename);
        (void)snprintf(group.filename + at, sizeof group.filename - at, "%s%s", at > 0 ? "," : "",
                       fake_path(&fake, name));
    }
    group.count = count;
    for (uint32_t i = 0; i < count; i++) {
        fake_task_init(&group.tasks[i], &fake, SOURCE, "src",
                       PAIRS("filename", group.filename, "file.poll.ms", "10"));
        group.tasks[i].ctx.task = i;
        group.tasks[i].ctx.task_count = count;
        start_task(&group.tasks[i]);
    }
}

static void drain(void)
{
    fake_sleep(3); /* events come from a thread of their own */
    for (uint32_t i = 0; i < group.count; i++) {
        if (fake_drain(&group.tasks[i]) != 0)
            fail_msg("%s", group.tasks[i].err.text);
    }
    gather();
}

static size_t count_lines(void)
{
    size_t count = 0;
    for (size_t i = 0; i < group.out.len; i++)
        count += group.out.data[i] == '\n';
    return count;
}

static void settle(size_t lines)
{
    for (int i = 0; i < 1000 && count_lines() < lines; i++)
        drain();
    for (int i = 0; i < 6; i++) /* more than all is a fault, too */
        drain();
}

static void expect(const char *text)
{
    size_t lines = 0;
    for (const char *p = text; *p != '\0'; p++)
        lines += *p == '\n';
    settle(lines);
    assert_string_equal(group.out.data, text);
}

/* As many as @p lines, each once, in whatever order: they are numbers from 1 on. */
static void expect_numbers(size_t lines)
{
    settle(lines);
    char *seen = calloc(lines + 1, 1);
    assert_non_null(seen);
    const char *p = group.out.data;
    for (char *end; *p != '\0'; p = end + 1) {
        unsigned long n = strtoul(p, &end, 10);
        assert_true(n >= 1 && n <= lines && *end == '\n');
        if (seen[n]++ != 0)
            fail_msg("seed %llu: line %lu is there twice", (unsigned long long)first_seed, n);
    }
    for (size_t n = 1; n <= lines; n++) {
        if (seen[n] == 0)
            fail_msg("seed %llu: line %zu is lost", (unsigned long long)first_seed, n);
    }
    free(seen);
}

/* --- one rotation, looked at in the middle -------------------------------------------------- */

static void a_rotated_name_is_no_file_of_its_own_between_rename_and_create(void **state)
{
    (void)state;
    fake_file(&fake, "log", "1\n");
    start(1, "log*");
    expect("1\n");
    fake_rename(&fake, "log", "log.1");
    fake_sleep(5);
    fake_file(&fake, "log", "2\n");
    fake_rename(&fake, "log.1", "log.2");
    fake_rename(&fake, "log", "log.1"); /* and there is no log for a moment */
    drain();
    fake_sleep(5);
    fake_file(&fake, "log", "3\n");
    expect("1\n2\n3\n");
    fake_rename(&fake, "log.2", "log.3");
    fake_rename(&fake, "log.1", "log.2");
    fake_rename(&fake, "log", "log.1");
    fake_sleep(5);
    fake_file(&fake, "log", "4\n");
    expect("1\n2\n3\n4\n");
}

static void a_start_between_rename_and_create_repeats_nothing(void **state)
{
    (void)state;
    fake_file(&fake, "log", "1\n");
    start(2, "log*");
    expect("1\n");
    stop();
    fake_add(&fake, "log", "2\n");
    fake_rename(&fake, "log", "log.1");
    start(2, "log*");
    expect("1\n2\n");
    fake_sleep(5);
    fake_file(&fake, "log", "3\n");
    expect("1\n2\n3\n");
    stop();
    fake_rename(&fake, "log.1", "log.2");
    fake_rename(&fake, "log", "log.1");
    start(2, "log*");
    expect("1\n2\n3\n");
}

static void the_first_look_between_rename_and_create_reads_all_once(void **state)
{
    (void)state;
    fake_file(&fake, "log.1", "1\n");
    start(1, "log*");
    expect("1\n");
    fake_sleep(5);
    fake_file(&fake, "log", "2\n");
    expect("1\n2\n");
    for (int i = 3; i < 6; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d\n", i);
        if (i > 3)
            fake_rename(&fake, "log.2", "log.3");
        fake_rename(&fake, "log.1", "log.2");
        fake_rename(&fake, "log", "log.1");
        fake_sleep(5);
        fake_file(&fake, "log", text);
        settle((size_t)i);
        if (i == 4) {
            stop();
            start(1, "log*");
        }
    }
    expect("1\n2\n3\n4\n5\n");
}

static void generations_of_a_deleted_file_are_not_read_again(void **state)
{
    (void)state;
    fake_file(&fake, "log.1", "1\n");
    fake_sleep(5);
    fake_file(&fake, "log", "2\n");
    start(1, "log*");
    expect("1\n2\n");
    assert_int_equal(unlink(fake_path(&fake, "log")), 0);
    fake_file(&fake, "log-else", "3\n"); /* the pattern looks again */
    expect("1\n2\n3\n");
    stop();
    start(2, "log*");
    expect("1\n2\n3\n");
}

/* --- names that go from file to file -------------------------------------------------------- */

/* app-1.log is always the youngest of the old, and a file that the pattern finds. */
static void numbers_before_the_extension_that_move_are_read_once(void **state)
{
    (void)state;
    size_t line = 1;
    char text[16], from[16], to[16];
    fake_file(&fake, "app.log", "1\n");
    start(2, "*.log");
    expect("1\n");
    for (int round = 0; round < 6; round++) {
        if (round == 2 || round == 4)
            stop();
        for (int i = round; i >= 0; i--) {
            (void)snprintf(from, sizeof from, i == 0 ? "app.log" : "app-%d.log", i);
            (void)snprintf(to, sizeof to, "app-%d.log", i + 1);
            fake_rename(&fake, from, to);
        }
        fake_sleep(5);
        (void)snprintf(text, sizeof text, "%zu\n", ++line);
        fake_file(&fake, "app.log", text);
        if (round == 2 || round == 4)
            start(round == 2 ? 3 : 2, "*.log");
        expect_numbers(line);
    }
    fake_add(&fake, "app-3.log", "8\n"); /* late */
    expect_numbers(8);
    stop();
    fake_add(&fake, "app-4.log", "9\n");
    start(1, "*.log");
    expect_numbers(9);
}

static const char *of_task(uint32_t task, const char *but)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t hash[2];
        file_hash(names[i], file_generation_family(names[i]), hash);
        if (hash[0] % 2 == task && strcmp(names[i], but) != 0)
            return names[i];
    }
    fail();
    return NULL;
}

static void a_file_renamed_into_another_tasks_share_is_read_once(void **state)
{
    (void)state;
    const char *mine = of_task(0, ""), *other = of_task(1, "");
    fake_file(&fake, mine, "1\n");
    start(2, "*");
    expect("1\n");
    fake_rename(&fake, mine, other);
    expect("1\n");
    fake_add(&fake, other, "2\n");
    expect("1\n2\n");
    stop();
    start(2, "*");
    expect("1\n2\n");
    stop();
    fake_rename(&fake, other, of_task(1, other)); /* while it is down */
    start(2, "*");
    expect("1\n2\n");
    fake_sleep(5);
    fake_file(&fake, mine, "3\n");
    expect("1\n2\n3\n");
    stop();
    start(3, "*");
    expect("1\n2\n3\n");
}

/* What a task has read and not committed is nobody else's to go on with. */
static void a_task_that_fails_leaves_its_files_to_itself(void **state)
{
    (void)state;
    const char *mine = of_task(0, ""), *other = of_task(1, "");
    fake_file(&fake, mine, "1\n");
    start(2, "*");
    expect("1\n");
    fake_add(&fake, mine, "2\n");
    fake_sleep(5);
    fake_empty(&group.tasks[0]);
    assert_int_equal(group.tasks[0].connector->poll(group.tasks[0].task, &group.tasks[0].batch,
                                                    &group.tasks[0].err),
                     0);
    assert_int_equal(group.tasks[0].batch.count, 1); /* and is never committed */
    fake_stop(&group.tasks[0]);
    fake_rename(&fake, mine, other);
    fake_add(&fake, other, "3\n");
    fake_sleep(5);
    assert_int_equal(fake_drain(&group.tasks[1]), 0);
    start_task(&group.tasks[0]);
    expect("1\n2\n3\n");
}

static void the_names_of_a_list_may_be_generations_of_one_another(void **state)
{
    (void)state;
    fake_file(&fake, "log.1", "1\n");
    fake_sleep(5);
    fake_file(&fake, "log", "2\n");
    start(2, "log,log.1");
    expect_numbers(2);
    fake_rename(&fake, "log.1", "log.2");
    fake_rename(&fake, "log", "log.1");
    fake_sleep(5);
    fake_file(&fake, "log", "3\n");
    expect_numbers(3);
    stop();
    start(2, "log,log.*");
    expect_numbers(3);
}

static void generations_without_their_first_name_are_read_once(void **state)
{
    (void)state;
    fake_file(&fake, "log.2", "1\n");
    fake_sleep(5);
    fake_file(&fake, "log.1", "2\n");
    fake_sleep(5);
    fake_file(&fake, "log", "3\n");
    start(2, "log.*");
    expect_numbers(2);
    fake_rename(&fake, "log.2", "log.3");
    fake_rename(&fake, "log.1", "log.2");
    fake_rename(&fake, "log", "log.1");
    expect_numbers(3);
    stop();
    start(2, "log.*");
    expect_numbers(3);
}

static void generations_share_a_task(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"app.log", "app.log.1"},
        {"2026.log", "2026.log.1"},
        {"_app.log", "_app.log-1"},
        {"app.log", "app (1).log"},
        {"1.log", "1-2026.log"},
        {"web1.log", "web1.log.12"},
        {"a-b.log", "a-b-20260101.log"},
        {"__.log", "__-1.log"},
        {".app", ".app.1"},
        {"\xc3\xa9t\xc3\xa9.log", "\xc3\xa9t\xc3\xa9.log.1"},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        size_t n = file_generation_family(same[i][0]);
        assert_int_equal(n, file_generation_family(same[i][1]));
        assert_memory_equal(same[i][0], same[i][1], n);
    }
    assert_int_equal(file_generation_family("20260101.log"), 8);
    assert_int_equal(file_generation_family(""), 0);
}

static void check_division(const char *filename, uint32_t tasks, const char *expected)
{
    struct gantry_config_entry entry = {"filename", filename};
    struct gantry_config config = {sizeof config, 1, &entry};
    struct file_division division;
    struct gantry_err err;
    char text[64] = "";
    assert_int_equal(file_division_read(&division, &config, &err), 0);
    for (size_t i = 0; i < division.count; i++) {
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof text - at, "%u",
                       file_division_task(&division, &division.names[i], tasks));
    }
    assert_string_equal(text, expected);
    file_division_deinit(&division);
}

static void plain_names_share_a_task_with_their_generations(void **state)
{
    (void)state;
    check_division("a, b ,,c", 2, "010");
    check_division("/x/log1,/x/log2,/x/log3", 2, "010");
    check_division("/x/log.1,/x/log.2,/y/log.2,/x/log", 3, "1101");
    check_division("app-1.log.2,web.log,app-1.log,app.log,app-x.log", 9, "10112");
    check_division("log.2,log.1,z", 2, "010");
    check_division("/x/log.1,/x/log,/x/lo*", 1, "000");
    struct gantry_config none = {sizeof none, 0, NULL};
    struct file_division division;
    assert_int_equal(file_division_read(&division, &none, NULL), 0);
    assert_int_equal(division.count, 0);
    assert_int_equal(file_division_tasks(&division, 5), 1);
    file_division_deinit(&division);
}

/* A truncation takes back what was read, also for a file that a name has moved on from. */
static void a_file_truncated_after_it_was_left_is_read_anew(void **state)
{
    (void)state;
    fake_file(&fake, "app.log", "1\n2\n3\n");
    start(1, "*.log");
    expect("1\n2\n3\n");
    fake_rename(&fake, "app.log", "app-1.log");
    fake_sleep(5);
    fake_file(&fake, "app.log", "4\n");
    expect("1\n2\n3\n4\n");
    fake_file(&fake, "app-1.log", "1\n");
    expect("1\n2\n3\n4\n1\n");
    stop();
    fake_add(&fake, "app-1.log", "5\n6\n7\n");
    start(1, "*.log");
    expect("1\n2\n3\n4\n1\n5\n6\n7\n");
}

/* --- anything ------------------------------------------------------------------------------- */

/* A program's log that is being rotated: the renames that are still to be done. */
struct log {
    const char *base, *before, *after; /* after: behind the number of a generation */
    int generations;
    int next_rename; /* the generation to be renamed next; 0: the log itself; -1: none */
};

static unsigned dice(unsigned sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % sides;
}

static void rename_one(struct log *log)
{
    char from[32], to[32];
    (void)snprintf(from, sizeof from, "%s%d%s", log->before, log->next_rename, log->after);
    (void)snprintf(to, sizeof to, "%s%d%s", log->before, log->next_rename + 1, log->after);
    fake_rename(&fake, log->next_rename == 0 ? log->base : from, to);
    log->next_rename--;
}

static void add_line(const struct log *log, size_t *line)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%zu\n", ++*line);
    fake_add(&fake, log->base, text);
}

static void act_on(struct log *log, size_t *line)
{
    if (log->next_rename >= 0) {
        rename_one(log);
    } else if (dice(4) == 0 && access(fake_path(&fake, log->base), F_OK) == 0) {
        log->next_rename = log->generations++;
    } else {
        if (access(fake_path(&fake, log->base), F_OK) != 0)
            fake_sleep(5); /* times of birth tell files apart */
        add_line(log, line);
    }
}

static void poll_one(struct fake_task *task, bool committed)
{
    if (committed) {
        if (fake_poll(task, NULL) != 0)
            fail_msg("%s", task->err.text);
        return;
    }
    fake_empty(task);
    if (task->connector->poll(task->task, &task->batch, &task->err) != 0)
        fail_msg("%s", task->err.text);
    fake_stop(task); /* before it was committed */
}

static void any_order_of_events_gives_each_line_once(void **state)
{
    (void)state;
    static const char *const filenames[] = {"*.log*", "*.log", "app.log,2web.log,*.log*",
                                            "app.log,*.log"};
    const char *more = getenv("GANTRY_TEST_ROUNDS"), *from = getenv("GANTRY_TEST_SEED");
    unsigned first = from != NULL ? (unsigned)atoi(from) : 0;
    unsigned last = first + (more != NULL ? (unsigned)atoi(more) : 25);
    for (unsigned round = first; round < last; round++) {
        const char *filename = filenames[round % 4];
        struct log logs[] = {{"app.log", "app.log.", "", 0, -1},
                             {"2web.log", "2web-", ".log", 0, -1},
                             {"x.log", "y", ".log", 0, -1}};
        size_t line = 0;
        seed = first_seed = round;
        for (size_t i = 0; i < 3; i++)
            add_line(&logs[i], &line);
        start(1 + dice(TASKS_MAX), filename);
        drain(); /* so that names which match no pattern are the past of one that does */
        for (int step = 0; step < 150; step++) {
            struct fake_task *task = &group.tasks[dice(group.count)];
            unsigned what = dice(20);
            if (what < 12) {
                act_on(&logs[dice(3)], &line);
            } else if (what < 18) {
                if (dice(2) == 0)
                    fake_sleep(2);
                if (task->task == NULL)
                    start_task(task);
                poll_one(task, dice(8) != 0);
            } else if (what == 18) {
                stop();
                for (unsigned i = dice(10); i > 0; i--)
                    act_on(&logs[dice(3)], &line);
                start(1 + dice(TASKS_MAX), filename);
            } else {
                fake_stop(task);
            }
        }
        for (size_t i = 0; i < 3; i++) {
            while (logs[i].next_rename >= 0)
                rename_one(&logs[i]);
            fake_sleep(5);
            add_line(&logs[i], &line);
        }
        for (uint32_t i = 0; i < group.count; i++) {
            if (group.tasks[i].task == NULL)
                start_task(&group.tasks[i]);
        }
        expect_numbers(line);
        (void)teardown(NULL);
        (void)setup(NULL);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_rotated_name_is_no_file_of_its_own_between_rename_and_create),
        TEST(a_start_between_rename_and_create_repeats_nothing),
        TEST(the_first_look_between_rename_and_create_reads_all_once),
        TEST(generations_of_a_deleted_file_are_not_read_again),
        TEST(numbers_before_the_extension_that_move_are_read_once),
        TEST(a_file_renamed_into_another_tasks_share_is_read_once),
        TEST(a_task_that_fails_leaves_its_files_to_itself),
        TEST(the_names_of_a_list_may_be_generations_of_one_another),
        TEST(generations_without_their_first_name_are_read_once),
        TEST(generations_share_a_task),
        TEST(plain_names_share_a_task_with_their_generations),
        TEST(a_file_truncated_after_it_was_left_is_read_anew),
        TEST(any_order_of_events_gives_each_line_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
