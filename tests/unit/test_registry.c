/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: taken up, replaced while in use, refused; references; which of two a connector
 * gets. The files are real ones (plugins/probe.c), which note in a journal when they are opened,
 * closed and taken out of memory. */
#include "base/clock.h"
#include "base/file.h"
#include "plugin/plugin_check.h"
#include "plugin/copy.h"
#include "plugin/registry.h"
#include "plugin/scan.h"
#include "plugin/so_loader.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

struct bench {
    char folder[64]; /* plugins/ for the files, copies/ for the registry, journal */
    struct gt_props settings;
    struct gt_registry *registry;
    struct gt_plugin_files files;
    char paths[PATH_SIZE], copies[PATH_SIZE];
};

/* --- Files --- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static const char *in(const struct bench *bench, const char *name)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", bench->folder, name);
    return path;
}

static void read_whole(const char *path, struct gt_buf *buf)
{
    struct gantry_err err;
    gt_buf_init(buf, 64 << 20);
    if (gt_file_read(path, buf, &err) != 0)
        fail_msg("%s", err.text);
}

static void write_over(const char *path, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

/* Put a probe there as `cp` would: into the same file, if there is one. */
static void put_probe(const struct bench *bench, const char *probe, const char *name)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    struct gt_buf data;
    snprintf(from, sizeof from, "%s/%s.so", PROBES, probe);
    snprintf(to, sizeof to, "%s/plugins/%s", bench->folder, name);
    read_whole(from, &data);
    write_over(to, data.data, data.len);
    gt_buf_deinit(&data);
}

/* And as `mv` would: another file under the same name. */
static void move_probe(const struct bench *bench, const char *probe, const char *name)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    put_probe(bench, probe, ".moving");
    snprintf(from, sizeof from, "%s/plugins/.moving", bench->folder);
    snprintf(to, sizeof to, "%s/plugins/%s", bench->folder, name);
    assert_int_equal(rename(from, to), 0);
}

/* How often an event stands in the journal. */
static size_t noted(const struct bench *bench, const char *event)
{
    struct gt_buf text;
    size_t count = 0;
    if (access(in(bench, "journal"), F_OK) != 0)
        return 0;
    read_whole(in(bench, "journal"), &text);
    for (const char *at = gt_buf_cstr(&text); (at = strstr(at, event)) != NULL; at++)
        count++;
    gt_buf_deinit(&text);
    return count;
}

static void wait_noted(const struct bench *bench, const char *event, size_t count)
{
    int64_t deadline_ns = gt_clock_mono_ns() + 20000000000;
    while (noted(bench, event) != count) {
        if (gt_clock_mono_ns() > deadline_ns)
            fail_msg("'%s' is noted %zu times, not %zu", event, noted(bench, event), count);
        usleep(1000);
    }
}

static size_t count_copies(const struct bench *bench)
{
    char command[PATH_SIZE + 64];
    size_t count = 0;
    snprintf(command, sizeof command, "find '%s' -type f | wc -l", bench->copies);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fscanf(out, "%zu", &count), 1);
    pclose(out);
    return count;
}

/* --- The registry --- */

static int static_value = 9;

static int builtin_start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                         struct gantry_err *err)
{
    (void)plugin;
    (void)ctx;
    (void)err;
    *ret_task = &static_value;
    return 0;
}

static int builtin_poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    (void)task;
    (void)batch;
    (void)err;
    return 0;
}

static void builtin_stop(void *task)
{
    (void)task;
}

/* A built-in connector that has the name of the probe's, too. */
static const char *const builtin_names[] = {"test.Builtin", "test.Probe", NULL};
static const struct gantry_connector builtin_connector = {
    .struct_size = sizeof builtin_connector,
    .class_names = builtin_names,
    .task_class = "test.BuiltinTask",
    .version = "1",
    .doc = "Built in.",
    .task_start = builtin_start,
    .poll = builtin_poll,
    .task_stop = builtin_stop,
};
static const struct gantry_connector *const builtin_connectors[] = {&builtin_connector};
static const struct gantry_plugin builtin = {
    sizeof builtin, GANTRY_ABI_VERSION, "builtin", "1", NULL, NULL, builtin_connectors, 1};

static void open_registry(struct bench *bench, bool with_builtin)
{
    const struct gantry_plugin *const plugins[] = {with_builtin ? &builtin : NULL, NULL};
    struct gantry_err err = {0};
    if (gt_registry_open_plugins(plugins, &bench->settings, &bench->registry, &err) != 0)
        fail_msg("%s", err.text);
    bench->files.paths = bench->paths;
    bench->files.copies = bench->copies;
    bench->files.loaders.in_worker[GT_PLUGIN_SO].load = gt_so_load;
    assert_int_equal(gt_registry_set_files(bench->registry, &bench->files), 0);
}

static struct gt_scan_counts scan(struct bench *bench)
{
    struct gt_scan_counts counts;
    struct gantry_err err = {0};
    if (gt_registry_scan(bench->registry, &counts, &err) != 0)
        fail_msg("%s", err.text);
    return counts;
}

/* What a task of the class would work with: the version of the code that runs. */
static int value_of(const struct gt_connector_class *klass)
{
    void *task = NULL;
    struct gantry_err err;
    assert_non_null(klass);
    assert_int_equal(klass->connector->task_start(klass->plugin_state, NULL, &task, &err), 0);
    return *(int *)task;
}

static int value_of_name(struct bench *bench, const char *class_name)
{
    const struct gt_connector_class *klass = gt_registry_find(bench->registry, class_name);
    int value = klass != NULL ? value_of(klass) : -1;
    gt_class_release(klass);
    return value;
}

static const struct gt_connector_class *choose(struct bench *bench, const char *isolation,
                                               const char *prefer, int expected, const char *why)
{
    const struct gt_connector_class *klass = NULL;
    struct gantry_err err = {0};
    struct gt_class_wish wish = {.isolation = isolation, .prefer = prefer};
    int code = gt_registry_choose(bench->registry, "test.Probe", &wish, &klass, &err);
    if (code != expected || (why != NULL && strstr(err.text, why) == NULL))
        fail_msg("%d: %s", code, err.text);
    return klass;
}

struct seen {
    const char *path; /* its end */
    struct gt_plugin_view view;
    char reason[600];
};

static void see(void *arg, const struct gt_plugin_view *view)
{
    struct seen *seen = arg;
    size_t len = strlen(view->path), end = strlen(seen->path);
    if (len >= end && strcmp(view->path + len - end, seen->path) == 0) {
        seen->view = *view;
        snprintf(seen->reason, sizeof seen->reason, "%s", view->reason);
    }
}

static struct seen look(struct bench *bench, const char *path)
{
    struct seen seen = {.path = path};
    gt_registry_each(bench->registry, see, &seen);
    assert_non_null(seen.view.path);
    return seen;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    snprintf(bench->folder, sizeof bench->folder, "test-registry-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    snprintf(bench->paths, sizeof bench->paths, "%s/plugins", bench->folder);
    snprintf(bench->copies, sizeof bench->copies, "%s/copies", bench->folder);
    assert_int_equal(mkdir(bench->paths, 0755), 0);
    gt_props_init(&bench->settings);
    assert_int_equal(gt_props_set(&bench->settings, "probe.journal", in(bench, "journal")), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    gt_registry_close(bench->registry);
    gt_props_deinit(&bench->settings);
    nftw(bench->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(bench);
    return 0;
}

/* --- Taken up, replaced, removed --- */

static void test_a_file_comes_and_goes(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    assert_int_equal(scan(bench).found, 0);
    put_probe(bench, "probe-1", "p.so");
    struct gt_scan_counts counts = scan(bench);
    assert_int_equal(counts.loaded, 1);
    assert_int_equal(counts.refused, 0);
    assert_int_equal(value_of_name(bench, "test.Probe"), 1);
    assert_int_equal(count_copies(bench), 1);
    counts = scan(bench);
    assert_int_equal(counts.unchanged, 1);
    assert_int_equal(counts.loaded, 0);
    assert_int_equal(noted(bench, "open 1"), 1);

    unlink(in(bench, "plugins/p.so"));
    counts = scan(bench);
    assert_int_equal(counts.removed, 1);
    assert_int_equal(value_of_name(bench, "test.Probe"), -1);
    wait_noted(bench, "gone 1", 1);
    assert_int_equal(noted(bench, "close 1"), 1);
    gt_registry_close(bench->registry);
    bench->registry = NULL;
    assert_int_equal(count_copies(bench), 0);
}

static void replace_in_use(struct bench *bench,
                           void (*replace)(const struct bench *, const char *, const char *))
{
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    const struct gt_connector_class *first = gt_registry_find(bench->registry, "test.Probe");
    const struct gt_connector_class *again = gt_class_hold(first);
    replace(bench, "probe-2", "p.so");
    assert_int_equal(value_of(first), 1); /* nobody has looked yet */
    assert_int_equal(scan(bench).loaded, 1);
    assert_int_equal(value_of_name(bench, "test.Probe"), 2);
    assert_int_equal(value_of(first), 1);
    assert_string_equal(first->plugin->version, "1");
    gt_class_release(first);
    assert_int_equal(value_of(again), 1);
    assert_int_equal(noted(bench, "close 1"), 0);
    gt_class_release(again);
    wait_noted(bench, "gone 1", 1);
    assert_int_equal(noted(bench, "close 1"), 1);
    assert_int_equal(value_of_name(bench, "test.Probe"), 2);
}

static void test_overwritten_in_place_while_in_use(void **state)
{
    replace_in_use(*state, put_probe);
}

static void test_replaced_by_rename_while_in_use(void **state)
{
    replace_in_use(*state, move_probe);
}

static void test_removed_while_in_use(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    const struct gt_connector_class *klass = gt_registry_find(bench->registry, "test.Probe");
    unlink(in(bench, "plugins/p.so"));
    assert_int_equal(scan(bench).removed, 1);
    assert_null(gt_registry_find(bench->registry, "test.Probe"));
    assert_int_equal(value_of(klass), 1);
    gt_class_release(klass);
    wait_noted(bench, "gone 1", 1);
}

/* One library is never open twice, whatever becomes of the files. */
static void test_the_same_content_is_one_plugin(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    put_probe(bench, "probe-1", "a.so");
    put_probe(bench, "probe-1", "b.so");
    assert_int_equal(scan(bench).loaded, 2);
    assert_int_equal(noted(bench, "open 1"), 1);
    assert_int_equal(count_copies(bench), 1);
    const struct gt_connector_class *first = gt_registry_find(bench->registry, "test.Probe");
    unlink(in(bench, "plugins/b.so"));
    put_probe(bench, "probe-2", "a.so");
    scan(bench);
    assert_int_equal(value_of_name(bench, "test.Probe"), 2);
    put_probe(bench, "probe-1", "a.so"); /* back, while the first one is still in use */
    scan(bench);
    assert_int_equal(value_of_name(bench, "test.Probe"), 1);
    assert_int_equal(noted(bench, "open 1"), 1);
    gt_class_release(first);
    wait_noted(bench, "gone 2", 1);
    assert_int_equal(noted(bench, "close 1"), 0);
    unlink(in(bench, "plugins/a.so"));
    scan(bench);
    wait_noted(bench, "gone 1", 1);
    put_probe(bench, "probe-1", "a.so"); /* and anew */
    assert_int_equal(scan(bench).loaded, 1);
    assert_int_equal(noted(bench, "open 1"), 2);
}

static void test_left_over_copies_are_removed(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(mkdir(bench->copies, 0755), 0);
    assert_int_equal(mkdir(in(bench, "copies/0123"), 0755), 0);
    write_over(in(bench, "copies/0123/old.so"), "x", 1);
    put_probe(bench, "probe-1", "p.so");
    open_registry(bench, false);
    scan(bench);
    assert_int_equal(count_copies(bench), 1);
    assert_int_equal(access(in(bench, "copies/0123"), F_OK), -1);
}

/* The disk is full, or the folder not ours: no plugin file can be used, and all else goes on. */
static void test_without_a_folder_for_copies(void **state)
{
    struct bench *bench = *state;
    write_over(bench->copies, "no folder", 9);
    put_probe(bench, "probe-1", "p.so");
    open_registry(bench, true);
    assert_int_equal(scan(bench).refused, 1);
    assert_non_null(strstr(look(bench, "p.so").reason, bench->copies));
    assert_int_equal(value_of_name(bench, "test.Builtin"), 9);
    unlink(bench->copies);
    assert_int_equal(scan(bench).loaded, 1);
}

/* --- Refused --- */

static void test_what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *probe;
        const char *why[2];
    } wrong[] = {
        {"wrong-abi", {"version 7 of the plugin interface", "worker has version 1"}},
        {"wrong-size", {"struct gantry_plugin has 24 bytes", "this worker's has "}},
        {"wrong-connector", {"struct gantry_connector has 16 bytes", "this worker's has "}},
        {"wrong-function", {"connector test.Probe", "no function poll"}},
        {"wrong-key", {"connector test.Probe", "key number 1"}},
        {"wrong-nothing", {"gantry_plugin", "gave nothing"}},
        {"wrong-symbol", {"no function gantry_plugin", "one of Gantry's"}},
        {"wrong-open", {"this probe never opens", ""}},
    };
    struct bench *bench = *state;
    open_registry(bench, false);
    put_probe(bench, "probe-other", "right.so");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_probe(bench, wrong[i].probe, "wrong.so");
        struct gt_scan_counts counts = scan(bench);
        struct seen seen = look(bench, "wrong.so");
        assert_int_equal(counts.refused, 1);
        assert_int_equal(seen.view.state, GT_PLUGIN_REFUSED);
        if (strstr(seen.reason, wrong[i].why[0]) == NULL ||
            strstr(seen.reason, wrong[i].why[1]) == NULL)
            fail_msg("%s: %s", wrong[i].probe, seen.reason);
        assert_null(gt_registry_find(bench->registry, "test.Probe"));
        assert_int_equal(value_of_name(bench, "test.Other"), 3);
    }
    assert_int_equal(noted(bench, "open 1"), 0);
    assert_int_equal(count_copies(bench), 1);
}

/* Cut at every place, a library is refused before the dynamic linker sees it. */
static void test_files_that_are_cut_off(void **state)
{
    struct bench *bench = *state;
    struct gt_buf whole;
    open_registry(bench, false);
    read_whole(PROBES "/probe-1.so", &whole);
    for (size_t len = 0; len < whole.len; len += len < 2048 ? 61 : 1999) {
        write_over(in(bench, "plugins/cut.so"), whole.data, len);
        assert_int_equal(scan(bench).refused, 1);
        struct seen seen = look(bench, "cut.so");
        if (strstr(seen.reason, "it is ") == NULL)
            fail_msg("cut at %zu of %zu: %s", len, whole.len, seen.reason);
    }
    write_over(in(bench, "plugins/cut.so"), whole.data, whole.len);
    assert_int_equal(scan(bench).loaded, 1);
    gt_buf_deinit(&whole);
}

static void test_files_that_are_no_plugins(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    write_over(in(bench, "plugins/text.so"),
               "no library at all, but a text that is long enough "
               "to have a header of a library in it",
               81);
    assert_int_equal(mkfifo(in(bench, "plugins/pipe.so"), 0600), 0);
    assert_int_equal(symlink("nowhere", in(bench, "plugins/link.so")), 0);
    assert_int_equal(mkdir(in(bench, "plugins/empty"), 0755), 0);
    write_over(in(bench, "plugins/some.jar"), "x", 1);
    write_over(in(bench, "plugins/README"), "x", 1);
    struct gt_scan_counts counts = scan(bench);
    assert_int_equal(counts.found, 5);
    assert_int_equal(counts.refused, 3);
    assert_int_equal(counts.left, 2);
    assert_non_null(strstr(look(bench, "text.so").reason, "no ELF file"));
    assert_non_null(strstr(look(bench, "pipe.so").reason, "no regular file"));
    assert_non_null(strstr(look(bench, "link.so").reason, "No such file"));
    assert_non_null(strstr(look(bench, "some.jar").reason, "needs the Java host"));
    snprintf(bench->paths, sizeof bench->paths, "%s/plugins/README", bench->folder);
    gt_registry_close(bench->registry);
    open_registry(bench, false);
    assert_int_equal(scan(bench).refused, 1);
    assert_non_null(strstr(look(bench, "README").reason, ".so, .jar"));
}

/* A broken file does not take away what worked before. */
static void test_a_broken_new_version_leaves_the_old_one(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    put_probe(bench, "wrong-abi", "p.so");
    assert_int_equal(scan(bench).refused, 1);
    assert_int_equal(scan(bench).refused, 1); /* again, with the same outcome */
    assert_int_equal(value_of_name(bench, "test.Probe"), 1);
    put_probe(bench, "probe-2", "p.so");
    assert_int_equal(scan(bench).loaded, 1);
    assert_int_equal(value_of_name(bench, "test.Probe"), 2);
    wait_noted(bench, "gone 1", 1);
}

static void test_a_path_that_cannot_be_read_keeps_its_plugins(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    char hidden[PATH_SIZE];
    snprintf(hidden, sizeof hidden, "%s/hidden", bench->folder);
    assert_int_equal(rename(bench->paths, hidden), 0);
    assert_int_equal(symlink("plugins", bench->paths), 0); /* a circle: neither there nor away */
    struct gt_scan_counts counts = scan(bench);
    assert_int_equal(counts.removed, 0);
    assert_int_equal(counts.unchanged, 1);
    assert_int_equal(value_of_name(bench, "test.Probe"), 1);
    unlink(bench->paths);
    assert_int_equal(scan(bench).removed, 1);
    assert_int_equal(rename(hidden, bench->paths), 0);
}

/* A link to a folder that is away is no candidate's name; what was found there before stays. */
static void test_an_entry_that_cannot_be_read_may_be_there(void **state)
{
    struct bench *bench = *state;
    struct gt_scan found;
    assert_int_equal(symlink("jars", in(bench, "plugins/jars")), 0); /* neither there nor away */
    assert_int_equal(symlink("nowhere", in(bench, "plugins/gone")), 0);
    assert_int_equal(gt_scan_run(bench->paths, &found), 0);
    assert_int_equal(found.count, 1);
    assert_true(found.items[0].unreadable);
    assert_non_null(strstr(found.items[0].path, "/jars"));
    gt_scan_deinit(&found);
}

/* --- While it is written --- */

struct writer {
    const char *path;
    atomic_bool stop;
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    int fd = open(writer->path, O_WRONLY);
    assert_true(fd >= 0);
    for (unsigned i = 0; !atomic_load(&writer->stop); i++)
        assert_int_equal(pwrite(fd, &i, sizeof i, 8), sizeof i);
    close(fd);
    return NULL;
}

static void test_a_file_that_is_being_written_is_refused(void **state)
{
    struct bench *bench = *state;
    struct gt_copies *copies = NULL;
    struct gt_copy *copy = NULL;
    struct gantry_err err = {0};
    static char content[4 << 20];
    char path[PATH_SIZE];
    pthread_t thread;
    snprintf(path, sizeof path, "%s", in(bench, "plugins/p.so"));
    write_over(path, content, sizeof content);
    assert_int_equal(gt_copies_open(bench->copies, &copies, &err), 0);
    struct writer writer = {.path = path};
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    int code = 0;
    for (int i = 0; i < 1000 && code == 0; i++) { /* the other thread may not run just now */
        code = gt_copy_take(copies, path, GT_PLUGIN_SO, &copy, &err);
        if (code == 0)
            gt_copy_release(copy);
    }
    assert_int_equal(code, GANTRY_BUSY);
    assert_non_null(strstr(err.text, "it is being written"));
    assert_int_equal(count_copies(bench), 0);
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(gt_copy_take(copies, path, GT_PLUGIN_SO, &copy, &err), 0);
    assert_int_equal(count_copies(bench), 1);
    struct gt_copy *other = NULL; /* the same bytes are something else as an archive */
    assert_int_equal(gt_copy_take(copies, path, GT_PLUGIN_JAR, &other, &err), 0);
    assert_ptr_not_equal(copy, other);
    gt_copy_release(other);
    gt_copy_release(copy);
    assert_int_equal(count_copies(bench), 0);
    gt_copies_close(copies);
}

#ifdef GT_FAULTS
/* On a full disk it is refused, what there was before goes on, and nothing of it is left. */
static void test_a_full_disk(void **state)
{
    struct bench *bench = *state;
    put_probe(bench, "probe-1", "p.so");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* points are parsed once a process */
        setenv("GANTRY_FAULT", "enospc:plugin.write:1:1", 1);
        open_registry(bench, false);
        bool fine = scan(bench).refused == 1 && count_copies(bench) == 0 &&
                    strstr(look(bench, "p.so").reason, "No space left") != NULL &&
                    scan(bench).loaded == 1 && value_of_name(bench, "test.Probe") == 1;
        gt_registry_close(bench->registry);
        _exit(fine ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

/* --- Which one --- */

static void test_whose_class_it_is(void **state)
{
    struct bench *bench = *state;
    open_registry(bench, true);
    put_probe(bench, "probe-1", "a.so");
    scan(bench);
    assert_int_equal(value_of_name(bench, "test.Probe"), 9); /* the built-in one */
    const struct gt_connector_class *klass = choose(bench, NULL, NULL, 0, NULL);
    assert_int_equal(value_of(klass), 9);
    gt_class_release(klass);
    klass = choose(bench, NULL, "file", 0, NULL);
    assert_int_equal(value_of(klass), 1);
    gt_class_release(klass);

    put_probe(bench, "probe-2", "b.so"); /* of files the last one */
    scan(bench);
    klass = choose(bench, NULL, "file", 0, NULL);
    assert_int_equal(value_of(klass), 2);
    gt_class_release(klass);
    struct gt_class_list list;
    assert_int_equal(gt_registry_list(bench->registry, &list), 0);
    assert_int_equal(list.count, 1);
    assert_string_equal(gt_class_list_nearest(&list, "test.Buildin"), "test.Builtin");
    gt_class_list_release(&list);

    gt_registry_close(bench->registry);
    bench->files.prefer_files = true;
    open_registry(bench, true);
    scan(bench);
    assert_int_equal(value_of_name(bench, "test.Probe"), 2);
    assert_int_equal(value_of_name(bench, "test.Builtin"), 9);
    klass = choose(bench, NULL, "builtin", 0, NULL);
    assert_int_equal(value_of(klass), 9);
    gt_class_release(klass);
}

/* A loader of hosted forms for these tests: the plugin as it would come back from a host is the
 * built-in one, under the probe's name. */
static atomic_int hosted, unhosted;

static void unload_hosted(struct gt_loaded *loaded)
{
    (void)loaded;
    atomic_fetch_add(&unhosted, 1);
}

static int load_hosted(void *arg, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
                       struct gantry_err *err)
{
    if (arg != &hosted || access(path, R_OK) != 0 || *path != '/')
        return gantry_err_set(err, GANTRY_INVALID, "kind %d at %s", kind, path);
    *ret = (struct gt_loaded){.plugin = &builtin, .unload = unload_hosted};
    atomic_fetch_add(&hosted, 1);
    return 0;
}

static void test_where_a_connector_runs(void **state)
{
    struct bench *bench = *state;
    struct gantry_err err = {0};
    const struct gt_connector_class *klass = NULL;
    atomic_store(&hosted, 0);
    atomic_store(&unhosted, 0);
    bench->files.loaders.hosted[GT_PLUGIN_SO] = (struct gt_loader){load_hosted, &hosted};
    bench->files.loaders.hosted[GT_PLUGIN_JAR] = (struct gt_loader){load_hosted, &hosted};
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    assert_int_equal(noted(bench, "open 1"), 0); /* described from outside */
    assert_int_equal(value_of_name(bench, "test.Probe"), 9);
    klass = choose(bench, NULL, NULL, 0, NULL);
    assert_int_equal(value_of(klass), 9);
    gt_class_release(klass);

    struct gt_class_wish wish = {.isolation = "none", .now = true};
    assert_int_equal(gt_registry_choose(bench->registry, "test.Probe", &wish, &klass, &err),
                     GANTRY_AGAIN);
    klass = choose(bench, "none", NULL, 0, NULL);
    assert_int_equal(value_of(klass), 1);
    gt_class_release(klass);
    assert_int_equal(gt_registry_choose(bench->registry, "test.Probe", &wish, &klass, &err), 0);
    gt_class_release(klass);
    assert_int_equal(noted(bench, "open 1"), 1);
    klass = choose(bench, "process", NULL, 0, NULL);
    assert_int_equal(value_of(klass), 9);
    gt_class_release(klass);
    struct seen seen = look(bench, "p.so");
    assert_true(seen.view.in_worker);
    assert_true(seen.view.hosted);

    unlink(in(bench, "plugins/p.so"));
    write_over(in(bench, "plugins/p.jar"), "jar", 3);
    scan(bench);
    wait_noted(bench, "gone 1", 1);
    (void)choose(bench, "none", NULL, GANTRY_INVALID, "isolation: 'none' is not possible");
    klass = choose(bench, "process", NULL, 0, NULL);
    gt_class_release(klass);
    gt_registry_close(bench->registry);
    assert_int_equal(atomic_load(&hosted), 2);
    assert_int_equal(atomic_load(&unhosted), 2);

    unlink(in(bench, "plugins/p.jar"));
    put_probe(bench, "probe-1", "p.so");
    memset(&bench->files.loaders, 0, sizeof bench->files.loaders);
    open_registry(bench, false); /* without hosts it runs in the worker */
    scan(bench);
    klass = choose(bench, NULL, NULL, 0, NULL);
    assert_int_equal(value_of(klass), 1);
    gt_class_release(klass);
    (void)choose(bench, "process", NULL, GANTRY_INVALID, "no host for it");
}

/* --- All at once --- */

struct crowd {
    struct bench *bench;
    atomic_bool over;
    atomic_int missing, used;
};

static void *use(void *arg)
{
    struct crowd *crowd = arg;
    while (!atomic_load(&crowd->over)) {
        const struct gt_connector_class *klass = NULL;
        struct gantry_err err = {0};
        struct gt_class_wish wish = {.isolation = "none"};
        if (gt_registry_choose(crowd->bench->registry, "test.Probe", &wish, &klass, &err) != 0) {
            atomic_fetch_add(&crowd->missing, 1);
            continue;
        }
        const struct gt_connector_class *more = gt_class_hold(klass);
        int value = value_of(klass);
        gt_class_release(klass);
        if (value != value_of(more) || value != more->plugin->version[0] - '0')
            atomic_fetch_add(&crowd->missing, 1);
        gt_class_release(more);
        atomic_fetch_add(&crowd->used, 1);
    }
    return NULL;
}

/* Threads use a class while its file is replaced again and again: it is always there, and always
 * one of the two; and in the end all that was opened is closed. */
static void test_used_while_it_is_replaced(void **state)
{
    enum { THREADS = 3, ROUNDS = 40 };
    struct bench *bench = *state;
    struct crowd crowd = {.bench = bench};
    pthread_t threads[THREADS];
    open_registry(bench, false);
    put_probe(bench, "probe-1", "p.so");
    scan(bench);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &crowd), 0);
    for (int i = 0; i < ROUNDS; i++) {
        int before = atomic_load(&crowd.used);
        (i % 2 == 0 ? put_probe : move_probe)(bench, i % 3 == 0 ? "probe-2" : "probe-1", "p.so");
        assert_int_equal(scan(bench).refused, 0);
        while (atomic_load(&crowd.used) == before) /* each version is used */
            usleep(100);
    }
    atomic_store(&crowd.over, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.missing), 0);
    gt_registry_close(bench->registry);
    bench->registry = NULL;
    assert_true(noted(bench, "open 2") > 1);
    assert_int_equal(noted(bench, "open"), noted(bench, "close"));
    assert_int_equal(noted(bench, "open"), noted(bench, "gone"));
    assert_int_equal(count_copies(bench), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
#ifdef GT_FAULTS
        TEST(test_a_full_disk), /* first: before any point is passed */
#endif
        TEST(test_a_file_comes_and_goes),
        TEST(test_an_entry_that_cannot_be_read_may_be_there),
        TEST(test_a_file_that_is_being_written_is_refused),
        TEST(test_overwritten_in_place_while_in_use),
        TEST(test_replaced_by_rename_while_in_use),
        TEST(test_removed_while_in_use),
        TEST(test_the_same_content_is_one_plugin),
        TEST(test_left_over_copies_are_removed),
        TEST(test_without_a_folder_for_copies),
        TEST(test_what_is_wrong_is_said),
        TEST(test_files_that_are_cut_off),
        TEST(test_files_that_are_no_plugins),
        TEST(test_a_broken_new_version_leaves_the_old_one),
        TEST(test_a_path_that_cannot_be_read_keeps_its_plugins),
        TEST(test_whose_class_it_is),
        TEST(test_where_a_connector_runs),
        TEST(test_used_while_it_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
