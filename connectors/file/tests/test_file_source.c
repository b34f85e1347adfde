/* SPDX-License-Identifier: Apache-2.0 */
/* The file source against real files: every line once, in order, to the byte. */
#include "fake_runtime.h"

#include "../identity.h"

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

static void start_with(struct fake_task *task, const char *const *pairs)
{
    fake_task_init(task, &fake, SOURCE, "src", pairs);
    if (fake_start(task) != 0)
        fail_msg("%s", task->err.text);
}

static void start(struct fake_task *task, const char *name)
{
    start_with(task, PAIRS("filename", fake_path(&fake, name), "topic", "t"));
}

/* Stop and start: from what was committed. What was given out so far stays in `out`. */
static void restart(struct fake_task *task)
{
    fake_stop(task);
    if (fake_start(task) != 0)
        fail_msg("%s", task->err.text);
}

static void assert_logged(const char *text)
{
    fake_append(&fake.log, "", 0);
    if (strstr(fake.log.data, text) == NULL)
        fail_msg("not in the log: %s\nlog:\n%s", text, fake.log.data);
}

static void assert_not_logged(const char *text)
{
    fake_append(&fake.log, "", 0);
    if (strstr(fake.log.data, text) != NULL)
        fail_msg("in the log: %s\nlog:\n%s", text, fake.log.data);
}

static void gives_lines_with_all_bytes_kept(void **state)
{
    (void)state;
    static const char text[] = "one\n\n\r\ntwo\r\n\0nul\0\n\xff\xfe\n\n";
    struct fake_task task;
    fake_write(fake_path(&fake, "a"), 0, text, sizeof text - 1);
    start(&task, "a");
    assert_int_equal(fake_drain(&task), 0);
    assert_int_equal(task.out.len, sizeof text - 1);
    assert_memory_equal(task.out.data, text, sizeof text - 1);
    assert_int_equal(task.records, 7);
    assert_int_equal(task.lag, 0);
    fake_task_deinit(&task);
}

static void splits_the_same_at_every_block_boundary(void **state)
{
    (void)state;
    static const char text[] = "a\n\nbb\nccc\n\n\ndddddddddd\nee\n";
    struct fake_task task;
    fake_file(&fake, "a", text);
    for (size_t max = 1; max < sizeof text + 2; max++) {
        start(&task, "a");
        task.batch.max_bytes = max;
        assert_int_equal(fake_drain(&task), 0);
        assert_int_equal(task.out.len, strlen(text));
        assert_string_equal(task.out.data, text);
        assert_int_equal(task.records, 8);
        fake_task_deinit(&task);
        for (; fake.position_count > 0; fake.position_count--) {
            fake_text_free(&fake.partitions[fake.position_count - 1]);
            fake_text_free(&fake.positions[fake.position_count - 1]);
        }
    }
}

static void resumes_after_any_poll(void **state)
{
    (void)state;
    struct fake_task task;
    struct fake_text text = {NULL, 0};
    char line[64];
    for (int i = 0; i < 200; i++)
        fake_append(&text, line,
                    (size_t)snprintf(line, sizeof line, "line %d %.*s\n", i, i % 40,
                                     "----------------------------------------"));
    fake_file(&fake, "a", text.data);
    start(&task, "a");
    size_t count = 1;
    while (count > 0) {
        task.batch.max_bytes = 100;
        assert_int_equal(fake_poll(&task, &count), 0);
        restart(&task);
    }
    assert_string_equal(task.out.data, text.data);
    fake_text_free(&text);
    fake_task_deinit(&task);
}

static void keeps_an_incomplete_line_until_complete(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntw");
    start(&task, "a");
    fake_expect(&task, "one\n");
    assert_int_equal(task.lag, 2);
    assert_int_equal(task.delay_ms, -1);
    fake_add(&fake, "a", "o");
    fake_add(&fake, "a", "\n");
    fake_expect(&task, "one\ntwo\n");
    assert_int_equal(task.records, 2);
    fake_task_deinit(&task);
}

static void gives_an_incomplete_line_in_parts_after_the_timeout(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntw");
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "line.timeout.ms", "30"));
    fake_expect(&task, "one\ntw");
    assert_int_equal(task.records, 2);
    restart(&task);
    fake_add(&fake, "a", "o");
    fake_expect(&task, "one\ntwo");
    fake_add(&fake, "a", "\nthree\n");
    fake_expect(&task, "one\ntwo\nthree\n");
    assert_int_equal(task.records, 5); /* one, tw, o, "" and three */
    fake_task_deinit(&task);
}

static void waits_for_a_file_that_does_not_exist(void **state)
{
    (void)state;
    struct fake_task task;
    start(&task, "later");
    fake_expect(&task, "");
    fake_drain(&task);
    assert_logged("waiting for the file to appear");
    assert_int_equal(task.delay_ms, -1); /* an event will tell */
    fake_file(&fake, "later", "here\n");
    fake_expect(&task, "here\n");
    fake_task_deinit(&task);
}

static void waits_for_a_folder_that_does_not_exist(void **state)
{
    (void)state;
    struct fake_task task;
    start_with(&task, PAIRS("filename", fake_path(&fake, "sub/a"), "file.poll.ms", "20"));
    fake_expect(&task, "");
    assert_true(task.delay_ms > 0);
    assert_int_equal(mkdir(fake_path(&fake, "sub"), 0777), 0);
    fake_file(&fake, "sub/a", "here\n");
    fake_expect(&task, "here\n");
    fake_add(&fake, "sub/a", "more\n");
    fake_expect(&task, "here\nmore\n");
    assert_int_equal(task.delay_ms, -1); /* events by now */
    fake_task_deinit(&task);
}

static void reads_on_after_the_folder_was_replaced(void **state)
{
    (void)state;
    struct fake_task task;
    assert_int_equal(mkdir(fake_path(&fake, "sub"), 0777), 0);
    fake_file(&fake, "sub/a", "one\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "sub/a"), "file.poll.ms", "20"));
    fake_expect(&task, "one\n");
    fake_rename(&fake, "sub", "old");
    assert_int_equal(mkdir(fake_path(&fake, "sub"), 0777), 0);
    fake_file(&fake, "sub/a", "two\n");
    fake_expect(&task, "one\ntwo\n");
    fake_task_deinit(&task);
}

static void starts_at_the_end_of_what_is_there(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "old\nhal");
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "file.start", "end"));
    fake_expect(&task, "");
    restart(&task);
    fake_add(&fake, "a", "f\nnew\n");
    fake_expect(&task, "half\nnew\n");
    fake_task_deinit(&task);
}

static void a_file_that_appears_later_is_read_from_its_beginning(void **state)
{
    (void)state;
    struct fake_task task;
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "file.start", "end"));
    fake_expect(&task, "");
    fake_drain(&task);
    fake_stop(&task);
    fake_file(&fake, "a", "made while it was down\n"); /* the store knows that it was not there */
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "made while it was down\n");
    fake_task_deinit(&task);
}

/* --- long lines ---------------------------------------------------------------------------- */

static void a_line_of_exactly_the_limit_is_fine(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "0123456789\n0123456789");
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "max.line.bytes", "10"));
    fake_expect(&task, "0123456789\n");
    fake_add(&fake, "a", "\n");
    fake_expect(&task, "0123456789\n0123456789\n");
    fake_task_deinit(&task);
}

static void a_long_line_fails_after_what_precedes_it(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\n0123456789X\nthree\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "max.line.bytes", "10"));
    assert_int_equal(fake_drain(&task), GANTRY_TOO_LARGE);
    assert_string_equal(task.out.data, "one\ntwo\n");
    assert_non_null(strstr(task.err.text, "at offset 8"));
    assert_non_null(strstr(task.err.text, "max.line.bytes"));
    restart(&task); /* and again, without repeating the two */
    assert_int_equal(fake_drain(&task), GANTRY_TOO_LARGE);
    assert_string_equal(task.out.data, "one\ntwo\n");
    fake_task_deinit(&task);
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    struct fake_task task;
    for (size_t max = 1; max < 40; max++) {
        fake_file(&fake, "a", "one\n0123456789XYZ0123456789XYZ\ntwo\n\n0123456789X");
        start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "max.line.bytes", "10",
                                "line.too.long", "cut"));
        task.batch.max_bytes = max;
        size_t count = 1;
        while (count > 0) {
            assert_int_equal(fake_poll(&task, &count), 0);
            restart(&task); /* the middle of a line survives a restart */
        }
        assert_string_equal(task.out.data, "one\n0123456789\ntwo\n\n0123456789\n");
        fake_add(&fake, "a", "YZ\nend\n");
        fake_expect(&task, "one\n0123456789\ntwo\n\n0123456789\nend\n");
        fake_task_deinit(&task);
        fake_store(&fake, (struct gantry_view){fake.partitions[0].data, fake.partitions[0].len},
                   gantry_view_of("{\"nextPosition\":0}"));
    }
    assert_logged("line longer than max.line.bytes cut");
}

static void a_long_line_goes_to_the_dead_letter_topic(void **state)
{
    (void)state;
    struct fake_task task;
    for (size_t max = 1; max < 40; max++) {
        fake_file(&fake, "a", "one\n0123456789XYZ0123456789XYZ\ntwo\n01234567890123456789\n");
        start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "topic", "t", "max.line.bytes",
                                "10", "line.too.long", "skip"));
        task.batch.max_bytes = max;
        size_t count = 1;
        bool headers_seen = false;
        while (count > 0) {
            assert_int_equal(fake_poll(&task, &count), 0);
            for (size_t i = 0; i < task.batch.count; i++) {
                const struct gantry_record *record = &task.batch.records[i];
                if (record->topic == NULL || record->value.len != 6)
                    continue;
                headers_seen = true;
                assert_string_equal(record->topic, "t-dlq");
                assert_int_equal(record->header_count, 3);
                assert_memory_equal(record->headers[1].value.data, "24", 3);
                assert_memory_equal(record->headers[2].value.data, "6", 2);
            }
            restart(&task);
        }
        assert_true(headers_seen);
        assert_string_equal(task.out.data, "one\ntwo\n");
        assert_string_equal(task.dead.data, "0123456789XYZ0123456789XYZ\n01234567890123456789\n");
        assert_int_equal(task.dead_records, 5);
        fake_task_deinit(&task);
        fake_store(&fake, (struct gantry_view){fake.partitions[0].data, fake.partitions[0].len},
                   gantry_view_of("{\"nextPosition\":0}"));
    }
}

/* --- truncation ---------------------------------------------------------------------------- */

static void a_truncated_file_is_read_from_its_start(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\nincompl");
    start(&task, "a");
    fake_expect(&task, "one\ntwo\n");
    assert_int_equal(truncate(fake_path(&fake, "a"), 0), 0);
    fake_add(&fake, "a", "x\n");
    fake_expect(&task, "one\ntwo\nx\n");
    assert_logged("WARN the file was truncated");
    assert_logged("lost.bytes=7");
    /* A change that brings nothing gives no batch. */
    assert_int_equal(chmod(fake_path(&fake, "a"), 0600), 0);
    fake_sleep(20);
    assert_true(atomic_load(&task.wakes) > 0);
    size_t count = 1;
    assert_int_equal(fake_poll(&task, &count), 0);
    assert_int_equal(count, 0);
    fake_task_deinit(&task);
}

static void a_truncated_file_that_has_grown_again_is_noticed(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\n");
    start(&task, "a");
    fake_expect(&task, "one\ntwo\n");
    fake_file(&fake, "a", "other, and longer than it was\n"); /* O_TRUNC: the same inode */
    fake_expect(&task, "one\ntwo\nother, and longer than it was\n");
    assert_logged("WARN the file was truncated");
    fake_stop(&task);
    fake_file(&fake, "a", "while the worker was down, and longer again\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "one\ntwo\nother, and longer than it was\n"
                       "while the worker was down, and longer again\n");
    fake_task_deinit(&task);
}

static void a_truncation_closes_a_line_that_was_given_in_part(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "par");
    start_with(&task, PAIRS("filename", fake_path(&fake, "a"), "line.timeout.ms", "10"));
    fake_expect(&task, "par");
    fake_file(&fake, "a", "x\n");
    fake_expect(&task, "par\nx\n");
    fake_task_deinit(&task);
}

/* --- rotation ------------------------------------------------------------------------------ */

static void a_renamed_file_is_read_to_its_end_first(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "1\n2\n");
    start(&task, "log");
    fake_expect(&task, "1\n2\n");
    fake_add(&fake, "log", "3\n");
    fake_rename(&fake, "log", "log.1");
    fake_add(&fake, "log.1", "4\nhalf");
    fake_file(&fake, "log", "5\n");
    fake_expect(&task, "1\n2\n3\n4\nhalf\n5\n");
    fake_add(&fake, "log", "6\n");
    fake_expect(&task, "1\n2\n3\n4\nhalf\n5\n6\n");
    assert_not_logged("WARN");
    fake_task_deinit(&task);
}

static void a_renamed_file_that_is_still_written_is_waited_for(void **state)
{
    (void)state;
    struct fake_task task;
    int fd = open(fake_path(&fake, "log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(write(fd, "1\n", 2), 2);
    start(&task, "log");
    fake_expect(&task, "1\n");
    fake_rename(&fake, "log", "log.1");
    fake_file(&fake, "log", "3\n");
    fake_sleep(20);
    fake_expect(&task, "1\n");
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\n"); /* the new one must wait for the writer of the old */
    assert_int_equal(write(fd, "2\n", 2), 2);
    fake_expect(&task, "1\n2\n");
    assert_int_equal(close(fd), 0);
    fake_expect(&task, "1\n2\n3\n"); /* at once, by the event of the close */
    fake_task_deinit(&task);
}

static void a_writer_that_keeps_the_old_file_open_does_not_block_for_ever(void **state)
{
    (void)state;
    struct fake_task task;
    int fd = open(fake_path(&fake, "log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(write(fd, "1\n", 2), 2);
    start_with(&task, PAIRS("filename", fake_path(&fake, "log"), "file.rotate.wait.ms", "50"));
    fake_expect(&task, "1\n");
    fake_rename(&fake, "log", "log.1");
    fake_file(&fake, "log", "2\n");
    fake_expect(&task, "1\n2\n");
    assert_int_equal(close(fd), 0);
    fake_task_deinit(&task);
}

static void rotate_numbers(int last)
{
    char from[32], to[32];
    for (int i = last; i >= 0; i--) {
        (void)snprintf(from, sizeof from, i == 0 ? "log" : "log.%d", i);
        (void)snprintf(to, sizeof to, "log.%d", i + 1);
        fake_rename(&fake, from, to);
    }
}

static void several_rotations_while_down_lose_nothing(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "older\n");
    rotate_numbers(0);
    fake_file(&fake, "log", "1\n2\n");
    start(&task, "log");
    fake_expect(&task, "1\n2\n");
    fake_stop(&task);
    fake_add(&fake, "log", "3\n");
    char text[16];
    for (int i = 1; i < 12;
         i++) { /* as logrotate does, faster than the clock of the file system ticks */
        rotate_numbers(i);
        (void)snprintf(text, sizeof text, "%d\n", i + 3);
        fake_file(&fake, "log", text);
    }
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n");
    assert_not_logged("WARN");
    fake_task_deinit(&task);
}

static void several_rotations_with_growing_numbers_lose_nothing(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "1\n");
    start(&task, "log");
    fake_expect(&task, "1\n");
    char text[32];
    for (int i = 1; i < 12; i++) { /* while it runs, too fast for it to see each */
        (void)snprintf(text, sizeof text, "log-%06d", i);
        fake_rename(&fake, "log", text);
        (void)snprintf(text, sizeof text, "%d\n", i + 1);
        fake_file(&fake, "log", text);
    }
    fake_expect(&task, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n");
    assert_not_logged("WARN");
    fake_task_deinit(&task);
}

static void rotated_names_before_the_extension_are_found(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "app.log", "1\n");
    start(&task, "app.log");
    fake_expect(&task, "1\n");
    fake_stop(&task);
    fake_rename(&fake, "app.log", "app-20260101.log");
    fake_sleep(10);
    fake_file(&fake, "app.log", "2\n");
    fake_rename(&fake, "app.log", "app-20260102.log");
    fake_sleep(10);
    fake_file(&fake, "app.log", "3\n");
    fake_file(&fake, "application.log", "not ours\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\n3\n");
    fake_task_deinit(&task);
}

static void a_copy_is_no_generation(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "1\n2\n");
    start(&task, "log");
    fake_expect(&task, "1\n2\n");
    fake_sleep(10);
    fake_file(&fake, "log.bak", "1\n2\n");
    fake_sleep(10);
    fake_rename(&fake, "log", "log.1");
    fake_file(&fake, "log", "3\n");
    fake_sleep(10);
    fake_file(&fake, "log.save", "3\n");
    fake_file(&fake, "log.later", "born after the log\n");
    fake_expect(&task, "1\n2\n3\n");
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\n2\n3\n");
    fake_task_deinit(&task);
}

static void what_was_lost_with_a_deleted_file_is_told(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "1\n2\nincomplete");
    start(&task, "log");
    fake_expect(&task, "1\n2\n");
    fake_stop(&task);
    assert_int_equal(unlink(fake_path(&fake, "log")), 0);
    fake_file(&fake, "log", "new\n"); /* perhaps with the same inode number */
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\nnew\n");
    assert_logged("lost.bytes=10");
    fake_task_deinit(&task);
}

static void a_new_file_with_the_same_beginning_is_new(void **state)
{
    (void)state;
    struct fake_task task;
    struct file_stat st;
    fake_file(&fake, "log", "1\n2\n");
    assert_int_equal(file_stat_get(-1, fake_path(&fake, "log"), &st), 0);
    if (st.born_ns == 0)
        skip(); /* nothing tells them apart here */
    start(&task, "log");
    fake_expect(&task, "1\n2\n");
    fake_stop(&task);
    assert_int_equal(unlink(fake_path(&fake, "log")), 0);
    fake_sleep(10);
    fake_file(&fake, "log", "1\n2\n3\n"); /* most file systems give it the same inode number */
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\n1\n2\n3\n");
    fake_task_deinit(&task);
}

static void a_line_whose_rest_is_lost_is_closed(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "par");
    start_with(&task, PAIRS("filename", fake_path(&fake, "log"), "line.timeout.ms", "10"));
    fake_expect(&task, "par");
    fake_stop(&task);
    assert_int_equal(unlink(fake_path(&fake, "log")), 0);
    fake_sleep(10);
    fake_file(&fake, "log", "new\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "par\nnew\n");
    fake_task_deinit(&task);
}

static void a_deleted_file_is_read_to_its_end(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log", "1\n");
    start(&task, "log");
    fake_expect(&task, "1\n");
    fake_add(&fake, "log", "2\n");
    assert_int_equal(unlink(fake_path(&fake, "log")), 0);
    fake_expect(&task, "1\n2\n");
    fake_file(&fake, "log", "3\n");
    fake_expect(&task, "1\n2\n3\n");
    assert_not_logged("WARN");
    fake_task_deinit(&task);
}

static void a_link_that_moves_to_another_file_is_followed(void **state)
{
    (void)state;
    struct fake_task task;
    assert_int_equal(mkdir(fake_path(&fake, "data"), 0777), 0);
    fake_file(&fake, "data/one", "1\n");
    assert_int_equal(symlink("data/one", fake_path(&fake, "log")), 0);
    start(&task, "log");
    fake_expect(&task, "1\n");
    fake_add(&fake, "data/one", "2\n"); /* its event comes from the other folder */
    fake_expect(&task, "1\n2\n");
    fake_file(&fake, "data/two", "3\n");
    assert_int_equal(symlink("data/two", fake_path(&fake, "log.new")), 0);
    fake_rename(&fake, "log.new", "log");
    fake_expect(&task, "1\n2\n3\n");
    fake_task_deinit(&task);
}

/* --- positions of a Java worker ------------------------------------------------------------ */

static void store_java(const char *name, const char *position)
{
    char partition[300];
    (void)snprintf(partition, sizeof partition, "{\"filename\":\"%s\"}", fake_path(&fake, name));
    fake_store(&fake, gantry_view_of(partition), gantry_view_of(position));
}

static void an_imported_position_is_taken_up(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\n");
    store_java("a", "{\"nextPosition\":\"4\"}");
    start(&task, "a");
    fake_expect(&task, "two\n");
    fake_task_deinit(&task);
}

static void an_imported_position_inside_a_line_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"nextPosition\":5}", "{\"nextPosition\":9}"};
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\n");
    for (size_t i = 0; i < 2; i++) {
        store_java("a", bad[i]);
        start(&task, "a");
        assert_int_equal(fake_drain(&task), GANTRY_CHANGED);
        assert_non_null(strstr(task.err.text, "gantry connector reset src"));
        fake_task_deinit(&task);
    }
}

static void a_damaged_position_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "{",
                                      "{}",
                                      "{\"nextPosition\":-1}",
                                      "{\"nextPosition\":4,}",
                                      "{\"nextPosition\":99999999999999999999}",
                                      "{\"nextPosition\":\"4}",
                                      "{\"nextPosition\":4,\"inode\":1,\"head\":\"12\"}",
                                      "{\"nextPosition\":4,\"inside\":\"what\"}",
                                      "{\"nextPosition\":4}x"};
    struct fake_task task;
    fake_file(&fake, "a", "one\ntwo\n");
    for (size_t i = 1; i < sizeof bad / sizeof bad[0]; i++) {
        store_java("a", bad[i]);
        fake_task_init(&task, &fake, SOURCE, "src", PAIRS("filename", fake_path(&fake, "a")));
        if (fake_start(&task) != GANTRY_CORRUPT)
            fail_msg("taken: %s", bad[i]);
        fake_task_deinit(&task);
    }
}

/* --- several files ------------------------------------------------------------------------- */

static void a_list_is_divided_among_the_tasks(void **state)
{
    (void)state;
    struct fake_task task[2];
    char list[1024];
    fake_file(&fake, "a", "a\n");
    fake_file(&fake, "b", "b\n");
    fake_file(&fake, "c", "c\n");
    (void)snprintf(list, sizeof list, "%s, %s ,%s", fake_path(&fake, "a"), fake_path(&fake, "b"),
                   fake_path(&fake, "c"));
    for (uint32_t i = 0; i < 2; i++) {
        fake_task_init(&task[i], &fake, SOURCE, "src", PAIRS("filename", list));
        task[i].ctx.task = i;
        task[i].ctx.task_count = 2;
        assert_int_equal(fake_start(&task[i]), 0);
        fake_expect(&task[i], i == 0 ? "a\nc\n" : "b\n");
    }
    fake_add(&fake, "c", "c2\n");
    fake_expect(&task[0], "a\nc\nc2\n");
    fake_task_deinit(&task[0]);
    fake_task_deinit(&task[1]);
}

static void a_pattern_finds_old_and_new_files(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a.log", "a1\n");
    fake_file(&fake, "other", "no\n");
    fake_file(&fake, ".b.log", "hidden\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log")));
    fake_expect(&task, "a1\n");
    fake_file(&fake, "b.log", "b1\n");
    fake_expect(&task, "a1\nb1\n");
    fake_stop(&task);
    fake_file(&fake, "c.log", "c1\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "a1\nb1\nc1\n");
    fake_task_deinit(&task);
}

static void every_file_of_a_pattern_belongs_to_one_task(void **state)
{
    (void)state;
    struct fake_task task[3];
    char name[16];
    for (char c = 'a'; c <= 'z'; c++) {
        (void)snprintf(name, sizeof name, "%c.log", c);
        fake_file(&fake, name, "x\n");
    }
    size_t records = 0;
    for (uint32_t i = 0; i < 3; i++) {
        fake_task_init(&task[i], &fake, SOURCE, "src",
                       PAIRS("filename", fake_path(&fake, "*.log")));
        task[i].ctx.task = i;
        task[i].ctx.task_count = 3;
        assert_int_equal(fake_start(&task[i]), 0);
        assert_int_equal(fake_drain(&task[i]), 0);
        assert_true(task[i].records > 0);
        records += task[i].records;
    }
    assert_int_equal(records, 26);
    for (int i = 0; i < 3; i++)
        fake_task_deinit(&task[i]);
}

static void a_pattern_reads_rotated_files_once_and_in_order(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "log.2", "1\n");
    fake_sleep(10);
    fake_file(&fake, "log.1", "2\n");
    fake_sleep(10);
    fake_file(&fake, "log", "3\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "log*")));
    fake_expect(&task, "1\n2\n3\n");
    rotate_numbers(2);
    fake_file(&fake, "log", "4\n");
    fake_expect(&task, "1\n2\n3\n4\n");
    fake_sleep(20);
    assert_int_equal(fake_drain(&task), 0);
    restart(&task);
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\n2\n3\n4\n");
    fake_task_deinit(&task);
}

static void a_pattern_knows_a_renamed_file_that_matches_again(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "app.log", "1\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log")));
    fake_expect(&task, "1\n");
    fake_rename(&fake, "app.log", "app-2026.log");
    fake_file(&fake, "app.log", "2\n");
    fake_expect(&task, "1\n2\n");
    fake_add(&fake, "app-2026.log", "late\n");
    fake_expect(&task, "1\n2\nlate\n");
    restart(&task);
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\n2\nlate\n");
    fake_stop(&task);
    fake_rename(&fake, "app.log", "app-2027.log"); /* while it is down */
    fake_file(&fake, "app.log", "3\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\nlate\n3\n");
    fake_task_deinit(&task);
}

static void a_pattern_from_the_end_reads_new_files_from_their_beginning(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a.log", "old\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log"), "file.start", "end"));
    fake_expect(&task, "");
    assert_int_equal(fake_drain(&task), 0);
    fake_stop(&task);
    fake_file(&fake, "b.log", "b\n");
    fake_add(&fake, "a.log", "a\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "a\nb\n");
    fake_task_deinit(&task);
}

static void no_file_starves_beside_a_busy_one(void **state)
{
    (void)state;
    struct fake_task task;
    char list[600];
    struct fake_text big = {NULL, 0};
    for (int i = 0; i < 2000; i++)
        fake_append(&big, "x\n", 2);
    fake_file(&fake, "a", big.data);
    fake_file(&fake, "b", "b\n");
    (void)snprintf(list, sizeof list, "%s,%s", fake_path(&fake, "a"), fake_path(&fake, "b"));
    start_with(&task, PAIRS("filename", list));
    task.batch.max_bytes = 3000;
    assert_int_equal(fake_drain(&task), 0);
    assert_int_equal(task.records, 2001);
    fake_text_free(&big);
    fake_task_deinit(&task);
}

/* Replace `"KEY":NUMBER` in the stored position that has it. */
static void change_position(const char *key, const char *value)
{
    struct fake_text *text = &fake.positions[0];
    char *at = strstr(text->data, key);
    assert_non_null(at);
    at += strlen(key);
    char *end = at + strspn(at, "0123456789");
    struct fake_text changed = {NULL, 0};
    fake_append(&changed, text->data, (size_t)(at - text->data));
    fake_append(&changed, value, strlen(value));
    fake_append(&changed, end, strlen(end));
    fake_text_free(text);
    *text = changed;
}

static void a_rotated_file_is_read_once_after_the_device_number_changed(void **state)
{
    (void)state;
    for (int born = 0; born < 2; born++) {
        struct fake_task task;
        const char *name = born ? "a.log" : "b.log";
        const char *rotated = born ? "a.log.1" : "b.log.1";
        fake_file(&fake, name, "1\n");
        start(&task, name);
        fake_expect(&task, "1\n");
        fake_stop(&task);
        if (born == 0)
            change_position("\"born\":", "0"); /* as where the file system tells none */
        change_position("\"device\":", "4242");
        fake_add(&fake, name, "2\n");
        fake_rename(&fake, name, rotated);
        fake_sleep(5);
        fake_file(&fake, name, "3\n");
        assert_int_equal(fake_start(&task), 0);
        fake_expect(&task, "1\n2\n3\n");
        assert_int_equal(fake_drain(&task), 0);
        assert_string_equal(task.out.data, "1\n2\n3\n");
        fake_task_deinit(&task);
        fake_text_free(&fake.partitions[0]);
        fake_text_free(&fake.positions[0]);
        fake.position_count = 0;
    }
}

static void a_pattern_knows_a_renamed_file_after_the_device_number_changed(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "app.log", "1\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log")));
    fake_expect(&task, "1\n");
    fake_stop(&task);
    change_position("\"device\":", "4242");
    fake_rename(&fake, "app.log", "app-2026.log");
    fake_file(&fake, "app.log", "2\n");
    assert_int_equal(fake_start(&task), 0);
    fake_expect(&task, "1\n2\n");
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\n2\n");
    fake_task_deinit(&task);
}

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

/* Two at once: while it runs and while it is down. */
static void rotated_files_that_match_the_pattern_are_read_once(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "app.log", "<1>\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log")));
    fake_expect(&task, "<1>\n");
    for (int round = 0; round < 2; round++) {
        char name[32], text[32];
        if (round == 1)
            fake_stop(&task);
        for (int i = 0; i < 3; i++) {
            (void)snprintf(name, sizeof name, "app-%d.log", 1 + 3 * round + i);
            (void)snprintf(text, sizeof text, "<%d>\n", 2 + 3 * round + i);
            fake_rename(&fake, "app.log", name);
            fake_sleep(5);
            fake_file(&fake, "app.log", text);
        }
        if (round == 1)
            assert_int_equal(fake_start(&task), 0);
        for (int i = 0; i < 5; i++) {
            fake_sleep(5);
            assert_int_equal(fake_drain(&task), 0);
        }
    }
    fake_file(&fake, "new.log", "<8>\n"); /* the pattern looks at its folder anew */
    fake_sleep(20);
    assert_int_equal(fake_drain(&task), 0);
    fake_append(&task.out, "", 0);
    for (int i = 1; i <= 8; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "<%d>", i);
        if (count_of(task.out.data, text) != 1)
            fail_msg("%s is not there once:\n%s", text, task.out.data);
    }
    fake_task_deinit(&task);
}

static void a_deleted_file_of_a_pattern_is_given_up(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "a.log", "1\n2");
    fake_file(&fake, "b.log", "b\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "*.log")));
    fake_expect(&task, "1\nb\n");
    assert_int_equal(unlink(fake_path(&fake, "a.log")), 0);
    fake_expect(&task, "1\nb\n2\n"); /* what nobody can complete is a line */
    assert_int_equal(fake_drain(&task), 0);
    assert_logged("deleted and read to its end");
    fake_add(&fake, "b.log", "bb\n");
    fake_expect(&task, "1\nb\n2\nbb\n");
    fake_file(&fake, "a.log", "3\n");
    fake_expect(&task, "1\nb\n2\nbb\n3\n");
    restart(&task);
    assert_int_equal(fake_drain(&task), 0);
    assert_string_equal(task.out.data, "1\nb\n2\nbb\n3\n");
    fake_task_deinit(&task);
}

/* Its new name is not the followed one with something behind it: no event tells of it. */
static void a_renamed_file_without_a_successor_is_read_on(void **state)
{
    (void)state;
    struct fake_task task;
    fake_file(&fake, "app.log", "1\n");
    start_with(&task, PAIRS("filename", fake_path(&fake, "app.log"), "file.poll.ms", "20"));
    fake_expect(&task, "1\n");
    fake_rename(&fake, "app.log", "app-1.log");
    fake_sleep(20);
    assert_int_equal(fake_drain(&task), 0);
    fake_add(&fake, "app-1.log", "2\n");
    fake_expect(&task, "1\n2\n");
    fake_task_deinit(&task);
}

static void a_folder_behind_a_link_that_moves_is_followed(void **state)
{
    (void)state;
    const char *const wanted[] = {"current/app.log", "current/*.log"};
    for (int i = 0; i < 2; i++) {
        struct fake_task task;
        (void)mkdir(fake_path(&fake, "v1"), 0777);
        (void)mkdir(fake_path(&fake, "v2"), 0777);
        fake_file(&fake, "v1/app.log", "1\n");
        assert_int_equal(symlink("v1", fake_path(&fake, "current")), 0);
        start_with(&task, PAIRS("filename", fake_path(&fake, wanted[i]), "file.poll.ms", "20"));
        fake_expect(&task, "1\n");
        fake_file(&fake, "v2/app.log", "2\n");
        assert_int_equal(symlink("v2", fake_path(&fake, "next")), 0);
        fake_rename(&fake, "next", "current");
        fake_expect(&task, "1\n2\n");
        fake_add(&fake, "v2/app.log", "3\n");
        fake_expect(&task, "1\n2\n3\n");
        fake_file(&fake, "v2/other.log", "o\n");
        fake_expect(&task, i == 0 ? "1\n2\n3\n" : "1\n2\n3\no\n");
        fake_task_deinit(&task);
        assert_int_equal(unlink(fake_path(&fake, "current")), 0);
        assert_int_equal(unlink(fake_path(&fake, "v2/other.log")), 0);
    }
}

/* What a busy file leaves of a batch is less than a line, or than a long line. */
static void a_file_gets_its_turn_beside_one_that_fills_the_batch(void **state)
{
    (void)state;
    struct fake_task task;
    char list[600], line[101];
    struct fake_text big = {NULL, 0};
    memset(line, 'x', 99);
    memcpy(line + 99, "\n", 2);
    for (int i = 0; i < 1000; i++)
        fake_append(&big, line, 100);
    fake_file(&fake, "a", big.data);
    fake_text_free(&big);
    line[0] = 'b';
    fake_file(&fake, "b", line);
    (void)snprintf(list, sizeof list, "%s,%s", fake_path(&fake, "a"), fake_path(&fake, "b"));
    start_with(&task, PAIRS("filename", list));
    task.batch.max_bytes = 3050;
    for (int i = 0; i < 3; i++)
        assert_int_equal(fake_poll(&task, NULL), 0);
    fake_append(&task.out, "", 0);
    assert_non_null(strstr(task.out.data, line));
    fake_task_deinit(&task);
}

static void a_long_line_gets_its_turn_beside_a_busy_file(void **state)
{
    (void)state;
    struct fake_task task;
    char list[600];
    struct fake_text big = {NULL, 0};
    for (int i = 0; i < 10000; i++)
        fake_append(&big, "x", 1);
    fake_append(&big, "\n", 1);
    fake_file(&fake, "a", "");
    fake_file(&fake, "b", big.data);
    (void)snprintf(list, sizeof list, "%s,%s", fake_path(&fake, "a"), fake_path(&fake, "b"));
    start_with(&task, PAIRS("filename", list, "file.poll.ms", "10"));
    task.batch.max_bytes = 3000;
    for (int i = 0; i < 20 && task.out.len < big.len; i++) {
        fake_add(&fake, "a", "busy\n");
        fake_sleep(10); /* until the event is there */
        assert_int_equal(fake_poll(&task, NULL), 0);
    }
    assert_true(task.out.len >= big.len);
    fake_text_free(&big);
    fake_task_deinit(&task);
}

static void events_wake_the_right_task_only(void **state)
{
    (void)state;
    struct fake_task a, b;
    fake_file(&fake, "a", "");
    fake_file(&fake, "b", "");
    start(&a, "a");
    start(&b, "b");
    fake_expect(&a, "");
    fake_expect(&b, "");
    assert_int_equal(fake_drain(&a), 0);
    assert_int_equal(fake_drain(&b), 0);
    fake_sleep(20);
    atomic_store(&a.wakes, 0);
    atomic_store(&b.wakes, 0);
    fake_add(&fake, "a", "x\n");
    fake_expect(&a, "x\n");
    fake_sleep(20);
    assert_int_equal(atomic_load(&b.wakes), 0);
    fake_task_deinit(&a);
    fake_task_deinit(&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(gives_lines_with_all_bytes_kept),
        TEST(splits_the_same_at_every_block_boundary),
        TEST(resumes_after_any_poll),
        TEST(keeps_an_incomplete_line_until_complete),
        TEST(gives_an_incomplete_line_in_parts_after_the_timeout),
        TEST(waits_for_a_file_that_does_not_exist),
        TEST(waits_for_a_folder_that_does_not_exist),
        TEST(reads_on_after_the_folder_was_replaced),
        TEST(starts_at_the_end_of_what_is_there),
        TEST(a_file_that_appears_later_is_read_from_its_beginning),
        TEST(a_line_of_exactly_the_limit_is_fine),
        TEST(a_long_line_fails_after_what_precedes_it),
        TEST(a_long_line_is_cut),
        TEST(a_long_line_goes_to_the_dead_letter_topic),
        TEST(a_truncated_file_is_read_from_its_start),
        TEST(a_truncated_file_that_has_grown_again_is_noticed),
        TEST(a_truncation_closes_a_line_that_was_given_in_part),
        TEST(a_renamed_file_is_read_to_its_end_first),
        TEST(a_renamed_file_that_is_still_written_is_waited_for),
        TEST(a_writer_that_keeps_the_old_file_open_does_not_block_for_ever),
        TEST(several_rotations_while_down_lose_nothing),
        TEST(several_rotations_with_growing_numbers_lose_nothing),
        TEST(rotated_names_before_the_extension_are_found),
        TEST(a_copy_is_no_generation),
        TEST(what_was_lost_with_a_deleted_file_is_told),
        TEST(a_new_file_with_the_same_beginning_is_new),
        TEST(a_line_whose_rest_is_lost_is_closed),
        TEST(a_deleted_file_is_read_to_its_end),
        TEST(a_link_that_moves_to_another_file_is_followed),
        TEST(an_imported_position_is_taken_up),
        TEST(an_imported_position_inside_a_line_is_refused),
        TEST(a_damaged_position_is_refused),
        TEST(a_list_is_divided_among_the_tasks),
        TEST(a_pattern_finds_old_and_new_files),
        TEST(every_file_of_a_pattern_belongs_to_one_task),
        TEST(a_pattern_reads_rotated_files_once_and_in_order),
        TEST(a_pattern_knows_a_renamed_file_that_matches_again),
        TEST(a_pattern_from_the_end_reads_new_files_from_their_beginning),
        TEST(no_file_starves_beside_a_busy_one),
        TEST(a_rotated_file_is_read_once_after_the_device_number_changed),
        TEST(a_pattern_knows_a_renamed_file_after_the_device_number_changed),
        TEST(rotated_files_that_match_the_pattern_are_read_once),
        TEST(a_deleted_file_of_a_pattern_is_given_up),
        TEST(a_renamed_file_without_a_successor_is_read_on),
        TEST(a_folder_behind_a_link_that_moves_is_followed),
        TEST(a_file_gets_its_turn_beside_one_that_fills_the_batch),
        TEST(a_long_line_gets_its_turn_beside_a_busy_file),
        TEST(events_wake_the_right_task_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
