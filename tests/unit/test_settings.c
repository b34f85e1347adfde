/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's settings: the properties file, options above it, and what a user is told. */
#include "worker/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct gt_settings settings;
    struct gt_findings findings;
    struct gt_props options;
    struct gantry_err err;
    char folder[64];
    char file[80];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    gt_findings_init(&f->findings);
    gt_props_init(&f->options);
    strcpy(f->folder, P_tmpdir "/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->file, sizeof f->file, "%s/connect.conf", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    unlink(f->file);
    rmdir(f->folder);
    gt_props_deinit(&f->options);
    gt_findings_deinit(&f->findings);
    free(f);
    return 0;
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int load(struct fixture *f, const char *text)
{
    if (text != NULL)
        write_text(f->file, text);
    return gt_settings_load(text != NULL ? f->file : NULL, &f->options, &f->settings, &f->findings,
                            &f->err);
}

static void option(struct fixture *f, const char *key, const char *value)
{
    assert_int_equal(gt_props_set(&f->options, key, value), 0);
}

static const struct gt_finding *finding(struct fixture *f, const char *key)
{
    for (size_t i = 0; i < f->findings.count; i++) {
        if (strcmp(f->findings.items[i].key, key) == 0)
            return &f->findings.items[i];
    }
    return NULL;
}

static void assert_finding(struct fixture *f, const char *key, bool warning, const char *part)
{
    const struct gt_finding *found = finding(f, key);
    if (found == NULL)
        fail_msg("no finding for %s", key);
    assert_int_equal(found->warning, warning);
    if (strstr(found->text, part) == NULL || strncmp(found->text, key, strlen(key)) != 0)
        fail_msg("'%s' has no '%s'", found->text, part);
}

static void defaults_hold_without_a_file(void **state)
{
    struct fixture *f = *state;
    char store[4200];
    assert_int_equal(load(f, NULL), 0);
    assert_int_equal(f->findings.count, 0);
    assert_null(f->settings.worker_id);
    assert_string_equal(f->settings.rest_address, "127.0.0.1");
    assert_int_equal(f->settings.rest_port, 8081);
    assert_string_equal(f->settings.rest_dialect, "manual");
    assert_null(f->settings.rest_token);
    assert_false(f->settings.rest_insecure);
    (void)snprintf(store, sizeof store, "%s/connectorStore", getenv("HOME"));
    assert_string_equal(f->settings.store, store);
    assert_null(f->settings.plugin_paths);
    assert_string_equal(f->settings.log_level, "info");
    assert_int_equal(f->settings.executors, 0);
    assert_int_equal(f->settings.shutdown_ms, 10000);
    assert_int_equal(f->settings.disk_reserve, 256 << 20);
    assert_int_equal(f->settings.segment_bytes, 128 << 20);
    assert_string_equal(f->settings.compression, "none");
    assert_int_equal(f->settings.retention_ms, 0);
    assert_int_equal(f->settings.retention_bytes, 0);
    assert_false(f->settings.retention_force);
    assert_int_equal(f->settings.commit_bytes, 64 << 20);
    assert_int_equal(f->settings.sink_commit_ms, 200);
    assert_int_equal(f->settings.sink_commit_bytes, 32 << 20);
    assert_int_equal(f->settings.restart_backoff_ms, 1000);
    assert_int_equal(f->settings.restart_backoff_max_ms, 60000);
    assert_int_equal(f->settings.restart_max, -1);
    assert_int_equal(f->settings.given.count, 0);
    assert_null(f->settings.name_servers);
    assert_string_equal(f->settings.cluster, "DefaultConnectCluster");
    assert_int_equal(f->settings.lease_ms, 6000);
    gt_settings_deinit(&f->settings);
}

/* A file as the Java worker's users have it. */
static const char file_of_2019[] = "workerId=DEFAULT_WORKER_1\n"
                                   "storePathRootDir=${HOME}/store2019\n"
                                   "# Http port for user to access REST API\n"
                                   "httpPort=8091\n"
                                   "pluginPaths=/opt/a,/opt/b\n"
                                   "offsetPersistInterval=20s\n"
                                   "rmqProducerGroup=connector-producer-group\n"
                                   "namesrvAddr=\n";

static void a_file_of_2019_is_taken_as_it_stands(void **state)
{
    struct fixture *f = *state;
    char store[4200];
    assert_int_equal(load(f, file_of_2019), 0);
    assert_int_equal(gt_findings_errors(&f->findings), 0);
    assert_string_equal(f->settings.worker_id, "DEFAULT_WORKER_1");
    assert_int_equal(f->settings.rest_port, 8091);
    assert_string_equal(f->settings.plugin_paths, "/opt/a,/opt/b");
    (void)snprintf(store, sizeof store, "%s/store2019", getenv("HOME"));
    assert_string_equal(f->settings.store, store);
    assert_finding(f, "offsetPersistInterval", true, "sink.commit.ms");
    assert_string_equal(f->settings.producer_group, "connector-producer-group");
    assert_int_equal(f->findings.count, 1);
    gt_settings_deinit(&f->settings);
}

static void each_key_of_2019_is_known(void **state)
{
    static const char *const keys[] = {"httpPort",
                                       "pluginPaths",
                                       "storePathRootDir",
                                       "connectClusterId",
                                       "clusterStoreTopic",
                                       "configStoreTopic",
                                       "positionStoreTopic",
                                       "offsetStoreTopic",
                                       "configPersistInterval",
                                       "positionPersistInterval",
                                       "offsetPersistInterval",
                                       "rmqProducerGroup",
                                       "rmqConsumerGroup",
                                       "operationTimeout",
                                       "rmqMaxRedeliveryTimes",
                                       "rmqMessageConsumeTimeout",
                                       "rmqMinConsumeThreadNums",
                                       "rmqMaxConsumeThreadNums",
                                       "maxMessageSize",
                                       "allocTaskStrategy",
                                       "workerId"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        option(f, keys[i],
               strcmp(keys[i], "allocTaskStrategy") == 0
                   ? "org.apache.rocketmq.connect.runtime.service.strategy."
                     "DefaultAllocateConnAndTaskStrategy"
                   : "1");
    assert_int_equal(load(f, NULL), 0);
    for (size_t i = 0; i < f->findings.count; i++) {
        assert_true(f->findings.items[i].warning);
        assert_null(strstr(f->findings.items[i].text, "unknown"));
    }
    gt_settings_deinit(&f->settings);
}

static void home_is_filled_in_where_a_path_stands(void **state)
{
    struct fixture *f = *state;
    option(f, "connectors.file.roots", "${HOME}/a,${user.home}/b");
    option(f, "storePathRootDir", "${user.home}");
    option(f, "workerId", "${HOME}");
    assert_int_equal(load(f, NULL), 0);
    assert_string_equal(gt_props_get(&f->settings.given, "connectors.file.roots"),
                        "/nobody/a,/nobody/b");
    assert_string_equal(f->settings.store, "/nobody");
    assert_string_equal(f->settings.worker_id, "${HOME}");
    gt_settings_deinit(&f->settings);
}

static void options_win_over_the_file(void **state)
{
    struct fixture *f = *state;
    option(f, "httpPort", "0");
    option(f, "log.segment.bytes", "1m");
    option(f, "sink.commit.ms", "2s");
    assert_int_equal(load(f, "httpPort=9000\nworkerId=w\n"), 0);
    assert_int_equal(f->settings.rest_port, 0);
    assert_string_equal(f->settings.worker_id, "w");
    assert_int_equal(f->settings.segment_bytes, 1 << 20);
    assert_int_equal(f->settings.sink_commit_ms, 2000);
    assert_string_equal(gt_props_get(&f->settings.given, "httpPort"), "0");
    assert_string_equal(gt_props_get(&f->settings.given, "sink.commit.ms"), "2000");
    gt_settings_deinit(&f->settings);
}

static void all_wrong_values_are_reported_at_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        load(f, "httpPort=99999\nlog.compression=zip\nlog.segment.bytes=1k\nrest.insecure=yes\n"
                "sink.commit.ms=soon\nexecutor.threads=2x\nrest.address=localhost\n"
                "task.restart.backoff.ms=2m\nnamesrvAddr=127.0.0.1\nallocTaskStrategy=random\n"
                "connectClusterId=a b\naclEnable=true\n"),
        GANTRY_INVALID);
    assert_finding(f, "httpPort", false, "'99999' is not a whole number from 0 to 65535");
    assert_finding(f, "log.compression", false, "'zip' is not one of: none,lz4,zstd");
    assert_finding(f, "log.segment.bytes", false, "from 65536 to 2147483648");
    assert_finding(f, "rest.insecure", false, "'yes'");
    assert_finding(f, "sink.commit.ms", false, "'soon'");
    assert_finding(f, "executor.threads", false, "'2x'");
    assert_finding(f, "rest.address", false, "'localhost' is not an address");
    assert_finding(f, "task.restart.backoff.ms", false, "task.restart.backoff.max.ms");
    assert_finding(f, "namesrvAddr", false, "'127.0.0.1' is not a server's address");
    assert_finding(f, "allocTaskStrategy", false, "no strategy 'random'");
    assert_finding(f, "connectClusterId", false, "'a b' cannot be a group's name");
    assert_finding(f, "aclEnable", false, "needs accessKey and secretKey");
    assert_int_equal(gt_findings_errors(&f->findings), 12);
    assert_int_equal(f->err.code, GANTRY_INVALID);
    assert_non_null(strstr(f->err.text, "httpPort"));
}

static void unknown_keys_are_warnings_with_the_nearest_name(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "httpport=1\nzzzzzzzzzzzzzzzz=2\n"), 0);
    assert_finding(f, "httpport", true, "did you mean httpPort?");
    assert_finding(f, "zzzzzzzzzzzzzzzz", true, "unknown key");
    assert_string_equal(gt_props_get(&f->settings.given, "zzzzzzzzzzzzzzzz"), "2");
    assert_int_equal(f->settings.rest_port, 8081);
    gt_settings_deinit(&f->settings);
}

static void a_listener_beyond_loopback_needs_a_token(void **state)
{
    struct fixture *f = *state;
    option(f, "rest.address", "0.0.0.0");
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "rest.address", false, "rest.token.file");
}

static void plugins_hear_that_the_listener_goes_beyond_loopback(void **state)
{
    static const struct {
        const char *address;
        bool beyond;
    } cases[] = {{"127.0.0.1", false},        {"127.9.9.9", false}, {"::1", false},
                 {"::ffff:127.0.0.1", false}, {"0.0.0.0", true},    {"::", true},
                 {"10.0.0.1", true}};
    struct fixture *f = *state;
    option(f, "rest.insecure", "true");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        option(f, "rest.address", cases[i].address);
        assert_int_equal(load(f, NULL), 0);
        const char *beyond = gt_props_get(&f->settings.given, "rest.beyond.loopback");
        if (cases[i].beyond)
            assert_string_equal(beyond, "true");
        else
            assert_null(beyond);
        gt_settings_deinit(&f->settings);
    }
}

static void the_token_comes_from_its_file_and_plugins_do_not_see_it(void **state)
{
    struct fixture *f = *state;
    char path[100];
    (void)snprintf(path, sizeof path, "%s/token", f->folder);
    write_text(path, "  s3cret\n");
    option(f, "rest.address", "0.0.0.0");
    option(f, "rest.token.file", path);
    assert_int_equal(load(f, NULL), 0);
    assert_string_equal(f->settings.rest_token, "s3cret");
    assert_null(gt_props_get(&f->settings.given, "rest.token"));
    gt_settings_deinit(&f->settings);

    write_text(path, "\n");
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "rest.token.file", false, "holds no token");

    gt_findings_deinit(&f->findings);
    option(f, "rest.token", "other");
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "rest.token.file", false, "leave one of the two out");
    assert_null(strstr(f->err.text, "other"));

    gt_findings_deinit(&f->findings);
    unlink(path);
    gt_props_remove(&f->options, "rest.token");
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "rest.token.file", false, path);
}

static void a_given_token_is_no_plugins_business(void **state)
{
    struct fixture *f = *state;
    option(f, "rest.token", "s3cret");
    assert_int_equal(load(f, NULL), 0);
    assert_string_equal(f->settings.rest_token, "s3cret");
    assert_null(gt_props_get(&f->settings.given, "rest.token"));
    gt_settings_deinit(&f->settings);
}

static void a_missing_or_broken_file_is_an_error_that_names_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        gt_settings_load("/nonexistent/connect.conf", NULL, &f->settings, &f->findings, &f->err),
        GANTRY_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "/nonexistent/connect.conf"));
    assert_int_equal(load(f, "a=b\nc=\\u00zz\n"), GANTRY_INVALID);
    assert_non_null(strstr(f->err.text, f->file));
    assert_non_null(strstr(f->err.text, "2"));
    assert_int_equal(gt_settings_load(f->folder, NULL, &f->settings, &f->findings, &f->err),
                     GANTRY_IO);
    assert_non_null(strstr(f->err.text, f->folder));
}

static void worker_ids_are_plain_text(void **state)
{
    struct fixture *f = *state;
    char longer[300];
    option(f, "workerId", "a\nb");
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "workerId", false, "control characters");
    gt_findings_deinit(&f->findings);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    option(f, "workerId", longer);
    assert_int_equal(load(f, NULL), GANTRY_INVALID);
    assert_finding(f, "workerId", false, "at most 255");
}

static void the_documentation_has_every_key(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    gt_settings_print_markdown(out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "| `httpPort` | `8081` | number, 0 to 65535 |"));
    assert_non_null(strstr(text, "| `log.segment.bytes` | `128m` | size, 64k to 2g |"));
    assert_non_null(strstr(text, "| `offsetPersistInterval` | "));
    /* the page of this tree, beside this file */
    char path[4096];
    (void)snprintf(path, sizeof path, "%.*s../../docs/configuration.md",
                   (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
    char *page = NULL;
    size_t page_len = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL)
        fail_msg("cannot open %s", path);
    assert_true(getdelim(&page, &page_len, '\0', in) > 0);
    (void)fclose(in);
    if (strcmp(page, text) != 0)
        fail_msg(
            "docs/configuration.md is stale; run: gantry help --markdown > docs/configuration.md");
    free(page);
    free(text);
    text = NULL;
    out = open_memstream(&text, &len);
    assert_non_null(out);
    gt_settings_print(out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "httpPort (8081)"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(text);
    (void)f;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_hold_without_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_2019_is_taken_as_it_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_key_of_2019_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(home_is_filled_in_where_a_path_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_win_over_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_wrong_values_are_reported_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_keys_are_warnings_with_the_nearest_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_listener_beyond_loopback_needs_a_token, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(plugins_hear_that_the_listener_goes_beyond_loopback, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_token_comes_from_its_file_and_plugins_do_not_see_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_given_token_is_no_plugins_business, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_or_broken_file_is_an_error_that_names_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(worker_ids_are_plain_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_documentation_has_every_key, set_up, tear_down),
    };
    setenv("HOME", "/nobody", 1);
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
