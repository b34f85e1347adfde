/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of hosts, with scripts in a host's place. */
#include "host/host.h"
#include "host/process.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    char folder[64], script[128], marker[128], go[128], plugin[128];
    struct gt_hosts *hosts;
};

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/test-hosts-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    (void)snprintf(bench->script, sizeof bench->script, "%s/host.sh", bench->folder);
    (void)snprintf(bench->marker, sizeof bench->marker, "%s/marker", bench->folder);
    (void)snprintf(bench->go, sizeof bench->go, "%s/go", bench->folder);
    (void)snprintf(bench->plugin, sizeof bench->plugin, "%s/none.so", bench->folder);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    gt_hosts_close(bench->hosts);
    (void)unlink(bench->script);
    (void)unlink(bench->marker);
    (void)unlink(bench->go);
    assert_int_equal(rmdir(bench->folder), 0);
    free(bench);
    return 0;
}

static void open_hosts(struct bench *bench, const char *script)
{
    struct gt_hosts_settings settings;
    struct gantry_err err;
    gt_hosts_settings_default(&settings);
    settings.binary = bench->script;
    put_file(bench->script, script, 0755);
    assert_int_equal(gt_hosts_open(&settings, NULL, NULL, &bench->hosts, &err), 0);
}

static void *load(void *arg)
{
    struct bench *bench = arg;
    struct gt_loaded loaded;
    struct gantry_err err = {0};
    assert_int_not_equal(gt_host_load(bench->hosts, bench->plugin, GT_PLUGIN_SO, &loaded, &err), 0);
    return NULL;
}

/* Who waits for a host to end, and then for one that cannot be started. */
static void a_host_that_cannot_be_started_again(void **state)
{
    struct bench *bench = *state;
    pthread_t threads[3];
    char text[600];
    (void)snprintf(text, sizeof text,
                   "#!/bin/sh\nexec 0<&- 1>&-\n: > %s\nwhile [ ! -e %s ]; do sleep 0.02; done\n",
                   bench->marker, bench->go);
    open_hosts(bench, text);
    assert_int_equal(pthread_create(&threads[0], NULL, load, bench), 0);
    while (access(bench->marker, F_OK) != 0)
        usleep(1000);
    for (int i = 1; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load, bench), 0);
    usleep(100000); /* they ask; should they come too late, then the test shows less */
    assert_int_equal(unlink(bench->script), 0);
    put_file(bench->go, "", 0644);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_that_cannot_be_started_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
