/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations against tables, topic names, findings, the registry and the tables of the built-in
 * connectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/config_check.h"
#include "plugin/plugin_check.h"
#include "plugin/registry.h"
#include <cmocka.h>

static const struct gantry_config_def defs[] = {
    {.name = "filename",
     .aliases = "file, path",
     .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
     .doc = "The file."},
    {.name = "batch", .type = GANTRY_CONFIG_INT, .default_value = "10", .min = 1, .max = 99},
    {.name = "line.max", .type = GANTRY_CONFIG_SIZE, .default_value = "1m"},
    {.name = "timeout", .type = GANTRY_CONFIG_DURATION, .min = 0, .max = 60000},
    {.name = "follow", .type = GANTRY_CONFIG_BOOL, .default_value = "true"},
    {.name = "start", .type = GANTRY_CONFIG_ENUM, .choices = "beginning, end"},
    {.name = "tags", .type = GANTRY_CONFIG_LIST},
    {.name = "secret",
     .aliases = "password",
     .type = GANTRY_CONFIG_PASSWORD,
     .flags = GANTRY_CONFIG_NOT_EMPTY},
};

static const char *const source_names[] = {"test.Source", "test.OtherName", NULL};
static const char *const sink_names[] = {"test.Sink", NULL};

/* None of them is ever called here. */
static int start(void *plugin, struct gantry_task_context *ctx, void **ret_task,
                 struct gantry_err *err)
{
    (void)plugin;
    (void)ctx;
    (void)ret_task;
    return gantry_err_set(err, GANTRY_UNSUPPORTED, "not in this test");
}

static int poll(void *task, struct gantry_batch *batch, struct gantry_err *err)
{
    (void)task;
    (void)batch;
    return gantry_err_set(err, GANTRY_UNSUPPORTED, "not in this test");
}

static int put(void *task, const struct gantry_record *records, size_t count,
               struct gantry_put_result *result, struct gantry_err *err)
{
    (void)task;
    (void)records;
    (void)count;
    (void)result;
    return gantry_err_set(err, GANTRY_UNSUPPORTED, "not in this test");
}

static void stop(void *task)
{
    (void)task;
}

static const struct gantry_connector source = {.struct_size = sizeof source,
                                               .kind = GANTRY_SOURCE,
                                               .class_names = source_names,
                                               .task_class = "test.SourceTask",
                                               .version = "1",
                                               .doc = "A source.",
                                               .defs = defs,
                                               .def_count = sizeof defs / sizeof defs[0],
                                               .task_start = start,
                                               .poll = poll,
                                               .task_stop = stop};
static const struct gantry_connector sink = {.struct_size = sizeof sink,
                                             .kind = GANTRY_SINK,
                                             .class_names = sink_names,
                                             .task_class = "test.SinkTask",
                                             .version = "1",
                                             .doc = "A sink.",
                                             .task_start = start,
                                             .put = put,
                                             .task_stop = stop};

struct check {
    struct gt_props props;
    struct gt_findings findings;
    struct gt_arena arena;
    struct gantry_config config;
};

/* Pairs of key and value up to a NULL. */
static int check(struct check *check, const struct gantry_connector *connector,
                 const char *const *pairs)
{
    gt_props_init(&check->props);
    gt_findings_init(&check->findings);
    gt_arena_init(&check->arena, 1024, 0);
    memset(&check->config, 0, sizeof check->config);
    for (; *pairs != NULL; pairs += 2)
        assert_int_equal(
            gt_props_append(&check->props, gantry_view_of(pairs[0]), gantry_view_of(pairs[1])), 0);
    return gt_config_check(connector, &check->props, &check->findings, &check->arena,
                           &check->config);
}

static void end(struct check *check)
{
    gt_props_deinit(&check->props);
    gt_findings_deinit(&check->findings);
    gt_arena_deinit(&check->arena);
}

#define SOURCE "connector-class", "test.Source", "topic", "t"
#define SINK   "connector.class", "test.Sink"

static void test_fine(void **state)
{
    struct check c;
    (void)state;
    assert_int_equal(
        check(&c, &source,
              (const char *const[]){
                  SOURCE,     "path",     "/a b",  "line.max",    "64k",  "timeout",
                  " 20s ",    "follow",   "FALSE", "start",       "End",  "tags",
                  " a , ,b,", "max-task", "3",     "unknown.key", "kept", "update-timestamp",
                  "5",        "secret",   "s3",    NULL}),
        0);
    gt_props_deinit(&c.props); /* the configuration does not depend on it */
    static const char *const expected[] = {
        "connector.class",
        "test.Source",
        "topic",
        "t",
        "filename",
        "/a b",
        "line.max",
        "65536",
        "timeout",
        "20000",
        "follow",
        "false",
        "start",
        "end",
        "tags",
        "a,b",
        "tasks.max",
        "3",
        "batch",
        "10",
        "source-record-converter",
        "",
        "unknown.key",
        "kept",
        "update-timestamp",
        "5",
        "secret",
        "s3",
    };
    size_t count = sizeof expected / sizeof expected[0] / 2;
    assert_int_equal(c.config.count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(gantry_config_get(&c.config, expected[2 * i]), expected[2 * i + 1]);
    assert_int_equal(gantry_config_get_int(&c.config, "line.max", 0), 65536);
    assert_false(gantry_config_get_bool(&c.config, "follow", true));
    assert_int_equal(c.findings.count, 1);
    assert_true(c.findings.items[0].warning);
    assert_string_equal(c.findings.items[0].text, "unknown.key: not known to test.Source");
    end(&c);
}

static void test_errors(void **state)
{
    /* key, value, the whole sentence */
    static const char *const cases[][3] = {
        {"batch", "0", "batch: '0' is not a whole number from 1 to 99"},
        {"batch", "ten", "batch: 'ten' is not a whole number from 1 to 99"},
        {"batch", "", "batch: '' is not a whole number from 1 to 99"},
        {"line.max", "-1", "line.max: '-1' is not a number of bytes (64, 64k, 64m, 64g)"},
        {"timeout", "2h",
         "timeout: '2h' is not a duration (500ms, 20s, 5m, 1h; a bare number: ms) from 0 to 60000"},
        {"follow", "yes", "follow: 'yes' is not one of: true, false"},
        {"start", "middle", "start: 'middle' is not one of: beginning, end"},
        {"tasks.max", "1025", "tasks.max: '1025' is not a whole number from 1 to 1024"},
        {"source-record-converter", "a.B",
         "source-record-converter: 'a.B' is not a known converter; known: string, bytes, json2019, "
         "rocketmq, and the class names that stand for them"},
        {"connect.topicname", "u",
         "topic: given twice with different values, as topic='t' and connect.topicname='u'; leave "
         "one out"},
        {"file", "g",
         "filename: given twice with different values, as filename='f' and file='g'; leave one "
         "out"},
        {"secret", "", "secret: the value is empty; give one"},
        {"config-deleted", "1",
         "config-deleted: a configuration cannot ask for its own deletion; use the route "
         "/connectors/NAME/stop"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct check c;
        struct gantry_err err;
        assert_int_equal(
            check(&c, &source,
                  (const char *const[]){SOURCE, "filename", "f", cases[i][0], cases[i][1], NULL}),
            GANTRY_INVALID);
        assert_int_equal(gt_findings_errors(&c.findings), 1);
        gt_findings_to_err(&c.findings, &err);
        assert_int_equal(err.code, GANTRY_INVALID);
        assert_string_equal(err.text, cases[i][2]);
        end(&c);
    }
}

static void test_all_at_once(void **state)
{
    struct check c;
    struct gantry_err err;
    (void)state;
    assert_int_equal(check(&c, &source, (const char *const[]){"batch", "x", "filenam", "f", NULL}),
                     GANTRY_INVALID);
    assert_int_equal(gt_findings_errors(&c.findings),
                     4); /* batch; connector.class, topic and filename are missing */
    gt_findings_to_err(&c.findings, &err);
    assert_non_null(strstr(err.text, "batch: 'x'"));
    assert_non_null(strstr(err.text, "; topic: required; The topic that records go to."));
    assert_non_null(strstr(err.text, "; filename: required; The file."));
    assert_null(strstr(err.text, "filenam:"));
    size_t missing = 0;
    bool suggested = false;
    for (size_t i = 0; i < c.findings.count; i++) {
        missing += c.findings.items[i].missing;
        suggested |= strcmp(c.findings.items[i].text,
                            "filenam: not known to test.Source; did you mean 'filename'?") == 0;
    }
    assert_int_equal(missing, 3);
    assert_true(suggested);
    end(&c);
}

static void test_open_keys(void **state)
{
    struct check c;
    struct gantry_connector open = source;
    (void)state;
    open.flags = GANTRY_CONNECTOR_OPEN_KEYS;
    assert_int_equal(check(&c, &open,
                           (const char *const[]){SOURCE, "filename", "f", "transforms.a.type", "T",
                                                 "folow", "false", NULL}),
                     0);
    assert_int_equal(c.findings.count, 1); /* what looks like a slip is told about */
    assert_string_equal(c.findings.items[0].text,
                        "folow: not known to test.Source; did you mean 'follow'?");
    assert_string_equal(gantry_config_get(&c.config, "transforms.a.type"), "T");
    end(&c);
}

static void test_secret_not_shown(void **state)
{
    struct check c;
    (void)state;
    assert_int_equal(check(&c, &source,
                           (const char *const[]){SOURCE, "filename", "f", "secret", "hunter2",
                                                 "password", "hunter3", NULL}),
                     GANTRY_INVALID);
    for (size_t i = 0; i < c.findings.count; i++)
        assert_null(strstr(c.findings.items[i].text, "hunter"));
    assert_non_null(strstr(c.findings.items[0].text, "***"));
    end(&c);
}

static void test_same_key_twice_equal(void **state)
{
    struct check c;
    (void)state;
    assert_int_equal(
        check(&c, &source,
              (const char *const[]){SOURCE, "connector.class", "test.Source", "filename", "f",
                                    "tasks.max", "2", "tasks.num", " 2", NULL}),
        0);
    assert_int_equal(gantry_config_get_int(&c.config, "tasks.max", 0), 2);
    end(&c);
}

static void test_many_unknown_keys(void **state)
{
    struct check c;
    char key[80];
    (void)state;
    assert_int_equal(check(&c, &source, (const char *const[]){SOURCE, "filename", "f", NULL}), 0);
    for (int i = 0; i < 50000; i++) {
        int len = snprintf(key, sizeof key, "some.quite.long.key.that.no.table.knows.%d", i);
        assert_int_equal(
            gt_props_append(&c.props, (struct gantry_view){key, (size_t)len}, gantry_view_of("")),
            0);
    }
    assert_int_equal(gt_config_check(&source, &c.props, &c.findings, &c.arena, &c.config), 0);
    assert_int_equal(c.findings.count, 21);
    assert_string_equal(c.findings.items[20].text, "49980 more keys are not known");
    end(&c);
}

static void test_sink_topics(void **state)
{
    static const struct {
        const char *key, *value, *error; /* NULL: fine */
    } cases[] = {
        {"topicNames", "a", NULL},
        {"connect.topicnames", " a , b", NULL},
        {"topics", "%RETRY%a-b_c|d", NULL},
        {"topics", "a,b c", "'b c'"},
        {"topicNames", "a,b,a", "'a' is named twice"},
        {"topicNames", " , ", "empty"},
        {"topicNames", "", "empty"},
        {"topic", "a", "topicNames: required"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct check c;
        struct gantry_err err = {.text = ""};
        int rc = check(&c, &sink, (const char *const[]){SINK, cases[i].key, cases[i].value, NULL});
        assert_int_equal(rc, cases[i].error == NULL ? 0 : GANTRY_INVALID);
        gt_findings_to_err(&c.findings, &err);
        if (cases[i].error != NULL && strstr(err.text, cases[i].error) == NULL)
            fail_msg("%s: %s", cases[i].value, err.text);
        end(&c);
    }
}

static void test_too_many_topics(void **state)
{
    static char topics[8000];
    struct check c;
    size_t len = 0;
    (void)state;
    for (int i = 0; i <= 1000; i++)
        len += (size_t)snprintf(topics + len, sizeof topics - len, "%s%d", i > 0 ? "," : "", i);
    assert_int_equal(check(&c, &sink, (const char *const[]){SINK, "topics", topics, NULL}),
                     GANTRY_INVALID);
    assert_non_null(strstr(c.findings.items[0].text, "more than 1000 topics"));
    end(&c);
    *strrchr(topics, ',') = '\0';
    assert_int_equal(check(&c, &sink, (const char *const[]){SINK, "topics", topics, NULL}), 0);
    end(&c);
}

static void test_topic_name(void **state)
{
    char name[200];
    struct gantry_err err;
    (void)state;
    memset(name, 'a', sizeof name);
    name[127] = '\0';
    assert_int_equal(gt_topic_name_check(name, &err), 0);
    name[127] = 'a';
    name[128] = '\0';
    assert_int_equal(gt_topic_name_check(name, &err), GANTRY_INVALID);
    assert_non_null(strstr(err.text, "128"));
    static const char *const bad[] = {"",
                                      "a b",
                                      "a/b",
                                      "..",
                                      "a.b",
                                      "\xc3\xa9",
                                      "a\n",
                                      "a,b",
                                      "TBW102",
                                      "rmq_sys_x",
                                      "gantry-cluster-x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(gt_topic_name_check(bad[i], &err), GANTRY_INVALID);
    assert_int_equal(gt_topic_name_check("%RETRY%Group-1_x|y", &err), 0);
}

static void test_find(void **state)
{
    static const struct gantry_config_def own_topic = {.name = "topic", .doc = "Overridden."};
    static const struct gantry_connector own = {
        .kind = GANTRY_SOURCE, .class_names = source_names, .defs = &own_topic, .def_count = 1};
    struct gt_props props;
    struct check c;
    (void)state;
    gt_props_init(&props);
    assert_int_equal(gt_props_set(&props, "connector-class", "x"), 0);
    assert_int_equal(gt_props_set(&props, "topics", "y"), 0);
    assert_string_equal(gt_config_value(NULL, &props, "connector.class"), "x");
    assert_string_equal(gt_config_value(NULL, &props, "topicNames"), "y");
    assert_string_equal(gt_config_value(&sink, &props, "connect.topicnames"), "y");
    assert_null(gt_config_value(&source, &props, "topic"));
    assert_string_equal(gt_config_value(&source, &props, "topics"),
                        "y"); /* unknown to sources: as written */
    gt_props_deinit(&props);
    assert_null(gt_config_def_find(&source, "topicNames"));
    assert_ptr_equal(gt_config_def_find(&source, "path"), &defs[0]);
    /* a connector's own line replaces the runtime's, whose other spellings stay */
    assert_ptr_equal(gt_config_def_find(&own, "connect.topicname"), &own_topic);
    assert_int_equal(check(&c, &own, (const char *const[]){"connector.class", "x", NULL}),
                     0); /* not required any more */
    end(&c);
}

static void test_validate_findings(void **state)
{
    struct gt_findings findings;
    struct gantry_err err;
    (void)state;
    gt_findings_init(&findings);
    findings.api.add(&findings.api, "filename", "filename: '/x' is a folder");
    findings.api.add(&findings.api, NULL, "two");
    gt_findings_add(&findings, "k", false, true, "a warning");
    assert_int_equal(gt_findings_errors(&findings), 2);
    gt_findings_to_err(&findings, &err);
    assert_string_equal(err.text, "filename: '/x' is a folder; two");
    for (int i = 0; i < 100; i++)
        findings.api.add(&findings.api, "k", "one of many findings that do not fit");
    gt_findings_to_err(&findings, &err);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    gt_findings_deinit(&findings);
}

static int opened, closed;
static char seen_setting[32];

static int open_plugin(const struct gantry_runtime *runtime, void **ret_plugin,
                       struct gantry_err *err)
{
    (void)err;
    const char *value = runtime->setting(runtime, "connectors.file.roots");
    (void)snprintf(seen_setting, sizeof seen_setting, "%s", value != NULL ? value : "(none)");
    *ret_plugin = &opened;
    opened++;
    return 0;
}

static int refuse_to_open(const struct gantry_runtime *runtime, void **ret_plugin,
                          struct gantry_err *err)
{
    (void)runtime;
    (void)ret_plugin;
    return gantry_err_set(err, GANTRY_INVALID, "connectors.file.roots: '/x' is not there");
}

static void close_plugin(void *plugin)
{
    assert_ptr_equal(plugin, &opened);
    closed++;
}

static const struct gantry_connector *const both[] = {&source, &sink};
static const struct gantry_plugin good = {sizeof good, GANTRY_ABI_VERSION, "good", "1",
                                          open_plugin, close_plugin,       both,   2};
static const struct gantry_plugin refusing = {
    sizeof refusing, GANTRY_ABI_VERSION, "refusing", "1", refuse_to_open, NULL, NULL, 0};
static const struct gantry_plugin newer = {
    sizeof newer, GANTRY_ABI_VERSION + 1, "newer", "1", NULL, NULL, NULL, 0};
static const struct gantry_plugin twin = {
    sizeof twin, GANTRY_ABI_VERSION, "twin", "1", NULL, NULL, both, 1};

static void test_registry(void **state)
{
    struct gt_registry *registry = NULL;
    struct gt_props settings;
    struct gantry_err err = {.code = 0};
    (void)state;
    gt_props_init(&settings);
    assert_int_equal(gt_props_set(&settings, "connectors.file.roots", "/data"), 0);
    assert_int_equal(gt_registry_open_plugins((const struct gantry_plugin *const[]){&good, NULL},
                                              &settings, &registry, &err),
                     0);
    gt_props_deinit(&settings); /* copied */
    assert_string_equal(seen_setting, "/data");
    const struct gt_connector_class *class = gt_registry_find(registry, "test.OtherName");
    assert_non_null(class);
    assert_ptr_equal(class->connector, &source);
    assert_ptr_equal(class->plugin_state, &opened);
    const struct gt_connector_class *same = gt_registry_find(registry, "test.Source");
    assert_ptr_equal(class, same);
    gt_class_release(same);
    gt_class_release(class);
    struct gt_class_list list;
    assert_int_equal(gt_registry_list(registry, &list), 0);
    assert_int_equal(list.count, 2);
    assert_ptr_equal(list.items[0], class);
    assert_ptr_equal(list.items[1]->connector, &sink);
    gt_class_list_release(&list);
    assert_null(gt_registry_find(registry, "no.Such"));
    const struct gantry_runtime *runtime = gt_registry_runtime(registry);
    assert_string_equal(runtime->setting(runtime, "connectors.file.roots"), "/data");
    assert_null(runtime->setting(runtime, "absent"));
    gt_registry_close(registry);
    assert_int_equal(closed, 1);

    gt_props_init(&settings);
    opened = closed = 0;
    registry = NULL;
    assert_int_equal(
        gt_registry_open_plugins((const struct gantry_plugin *const[]){&good, &refusing, NULL},
                                 &settings, &registry, &err),
        GANTRY_INVALID);
    assert_non_null(strstr(err.text, "'/x'"));
    assert_int_equal(closed, 1);
    assert_int_equal(
        gt_registry_open_plugins((const struct gantry_plugin *const[]){&good, &newer, NULL},
                                 &settings, &registry, &err),
        GANTRY_VERSION);
    assert_non_null(strstr(err.text, "version 2"));
    assert_int_equal(
        gt_registry_open_plugins((const struct gantry_plugin *const[]){&good, &twin, NULL},
                                 &settings, &registry, &err),
        GANTRY_EXISTS);
    assert_non_null(strstr(err.text, "test.Source"));
    assert_null(registry);
    assert_int_equal(opened, closed);
    gt_registry_close(NULL);
}

/* The tables that ship: every default fits its own line, every key has a text, no spelling means
 * two keys. */
static void test_builtin_tables(void **state)
{
    struct gt_registry *registry = NULL;
    struct gt_props settings;
    struct gantry_err err = {.code = 0};
    struct gt_arena arena;
    struct gt_class_list list;
    (void)state;
    gt_props_init(&settings);
    gt_arena_init(&arena, 4096, 0);
    assert_int_equal(gt_registry_open(&settings, &registry, &err), 0);
    assert_int_equal(gt_registry_list(registry, &list), 0);
    for (size_t i = 0; i < list.count; i++) {
        const struct gantry_connector *connector = list.items[i]->connector;
        assert_non_null(connector->version);
        assert_non_null(connector->doc);
        for (size_t k = 0; k < connector->def_count; k++) {
            const struct gantry_config_def *def = &connector->defs[k];
            const char *value;
            assert_non_null(def->doc);
            assert_ptr_equal(gt_config_def_find(connector, def->name), def);
            if (def->default_value != NULL &&
                gt_config_check_value(def, def->default_value, &arena, &value, &err) != 0)
                fail_msg("%s", err.text);
        }
    }
    static const char *const names[] = {"org.apache.rocketmq.connect.file.FileSourceConnector",
                                        "org.apache.rocketmq.connect.file.FileSinkConnector"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct gt_connector_class *class = gt_registry_find(registry, names[i]);
        assert_non_null(class);
        gt_class_release(class);
    }
    gt_class_list_release(&list);
    gt_registry_close(registry);
    gt_arena_deinit(&arena);
}

/* A plugin that was built before the interface grew: what it has not is not looked at, though there
 * is something in its place. */
static void test_an_older_plugin_is_as_good(void **state)
{
    (void)state;
    struct gantry_err err = {0};
    struct gantry_connector older = source;
    const struct gantry_connector *const connectors[] = {&older};
    const struct gantry_plugin plugin = {
        .struct_size = sizeof plugin,
        .abi_version = GANTRY_ABI_VERSION,
        .name = "older",
        .version = "1",
        .connectors = connectors,
        .connector_count = 1,
    };
    older.struct_size = offsetof(struct gantry_connector, limit);
    older.stop_done = (int (*)(void *))(void (*)(void))stop;
    assert_int_equal(gt_plugin_check(&plugin, &err), 0);
    assert_false(GANTRY_HAS(&older, stop_done));
    older.struct_size--;
    assert_int_equal(gt_plugin_check(&plugin, &err), GANTRY_VERSION);
}

/* Marks are where a source stands: they cannot go back, nor be behind records that there are not.
 */
static void test_marks(void **state)
{
    (void)state;
    struct gantry_err err = {0};
    struct gantry_mark marks[3] = {{.covers = 1}, {.covers = 1}, {.covers = 4}};
    struct gantry_batch batch = {.count = 4, .marks = marks, .mark_count = 3};
    assert_int_equal(gt_marks_check(&batch, &err), 0);
    batch.count = 3;
    assert_int_equal(gt_marks_check(&batch, &err), GANTRY_INVALID);
    batch.count = 4;
    marks[1].covers = 0;
    assert_int_equal(gt_marks_check(&batch, &err), GANTRY_INVALID);
    assert_non_null(strstr(err.text, "fewer than the one before it"));
}

/* A plugin in a loop. */
static void test_findings_have_an_end(void **state)
{
    (void)state;
    struct gt_findings findings;
    gt_findings_init(&findings);
    for (int i = 0; i < 3000; i++)
        findings.api.add(&findings.api, "key", NULL);
    assert_int_equal(findings.count, 1000);
    assert_string_equal(findings.items[999].text, "key: is wrong");
    gt_findings_deinit(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_older_plugin_is_as_good),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_findings_have_an_end),
        cmocka_unit_test(test_fine),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_open_keys),
        cmocka_unit_test(test_secret_not_shown),
        cmocka_unit_test(test_same_key_twice_equal),
        cmocka_unit_test(test_many_unknown_keys),
        cmocka_unit_test(test_sink_topics),
        cmocka_unit_test(test_too_many_topics),
        cmocka_unit_test(test_topic_name),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_validate_findings),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_builtin_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
