/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's settings. One table has every key: what a text must look like, where its value goes,
 * what it means. The parser, the checks, the help and docs/configuration.md walk that table and
 * know no key by name, but for the few checks that look at several keys at once.
 *
 * Keys of the worker of 2019 that have no effect here are in the table, too: its properties file is
 * taken as it stands, and whoever set such a key is told why nothing comes of it. */
#include "worker/settings.h"

#include "base/file.h"
#include "cluster/state.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 1 << 20,
    TOKEN_MAX_BYTES = 4096,
    ID_MAX_BYTES = 255,
    CLUSTER_MAX_BYTES = 80, /* topics and groups of up to 127 bytes are made of it */
};

#define KIB    ((int64_t)1024)
#define MIB    (KIB * 1024)
#define GIB    (MIB * 1024)
#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

/* Where a value goes. */
enum place {
    PLACE_GIVEN,      /* only into `given`: plugins read it, or checks below */
    PLACE_GIVEN_PATH, /* the same; ${HOME} is filled in */
    PLACE_TEXT,       /* const char * */
    PLACE_PATH,       /* the same; ${HOME} is filled in */
    PLACE_INT,        /* int */
    PLACE_INT64,      /* int64_t */
    PLACE_BOOL,       /* bool */
    PLACE_NOWHERE     /* a key of 2019 without effect; doc says why */
};

struct setting {
    struct gantry_config_def def;
    enum place place;
    size_t offset; /* in struct gt_settings */
};

#define AT(member) offsetof(struct gt_settings, member)

#define TEXT(name, value, place, offset, doc)                                                      \
    {                                                                                              \
        {name, NULL, GANTRY_CONFIG_STRING, 0, value, 0, 0, NULL, doc}, place, offset               \
    }
#define SECRET(name, offset, doc)                                                                  \
    {                                                                                              \
        {name, NULL, GANTRY_CONFIG_PASSWORD, GANTRY_CONFIG_NOT_EMPTY, NULL, 0, 0, NULL, doc},      \
            PLACE_TEXT, offset                                                                     \
    }
#define CHOICE(name, value, choices, offset, doc)                                                  \
    {                                                                                              \
        {name, NULL, GANTRY_CONFIG_ENUM, 0, value, 0, 0, choices, doc}, PLACE_TEXT, offset         \
    }
#define FLAG(name, value, offset, doc)                                                             \
    {                                                                                              \
        {name, NULL, GANTRY_CONFIG_BOOL, 0, value, 0, 0, NULL, doc}, PLACE_BOOL, offset            \
    }
#define NUMBER(name, type, value, min, max, place, offset, doc)                                    \
    {                                                                                              \
        {name, NULL, type, 0, value, min, max, NULL, doc}, place, offset                           \
    }
#define SIZE(name, value, min, max, offset, doc)                                                   \
    NUMBER(name, GANTRY_CONFIG_SIZE, value, min, max, PLACE_INT64, offset, doc)
#define DURATION(name, value, min, max, offset, doc)                                               \
    NUMBER(name, GANTRY_CONFIG_DURATION, value, min, max, PLACE_INT64, offset, doc)
#define WITHOUT_EFFECT(name, doc) TEXT(name, NULL, PLACE_NOWHERE, 0, doc)

static const struct setting table[] = {
    /* the worker */
    TEXT("workerId", NULL, PLACE_TEXT, AT(worker_id),
         "The name of this worker in its boot line. Without it: address@pid, as getClusterInfo "
         "shows it in any case."),
    TEXT("storePathRootDir", "${HOME}/connectorStore", PLACE_PATH, AT(store),
         "The folder of the store: topics, configurations, positions. A Java worker's files in it "
         "are taken over once."),
    TEXT("pluginPaths", NULL, PLACE_PATH, AT(plugin_paths),
         "Folders and files with plugins, separated by commas: see docs/plugins.md. SIGHUP and "
         "/plugin/reload look again."),
    CHOICE("plugin.prefer", "builtin", "builtin,file", AT(plugin_prefer),
           "Whose class it is when a plugin file offers one of a built-in connector's name: the "
           "built-in one's, or the file's. A connector's key of that name says it for itself."),
    CHOICE("plugin.isolation", "process", "process,none", AT(plugin_isolation),
           "Where a plugin that is a .so runs unless its connector says it with the key isolation: "
           "in a process of its own, or in the worker."),
    NUMBER("executor.threads", GANTRY_CONFIG_INT, "0", 0, 256, PLACE_INT, AT(executors),
           "Threads that run tasks. 0: one a core."),
    CHOICE("log.level", "info", "debug,info,warn,error", AT(log_level),
           "Events below this level are not logged."),
    DURATION("shutdown.timeout.ms", "10s", 100, DAY_MS, AT(shutdown_ms),
             "How long tasks may take to stop after SIGTERM or SIGINT."),

    /* REST */
    TEXT("rest.address", "127.0.0.1", PLACE_TEXT, AT(rest_address),
         "The address of the REST listener, as numbers. One beyond loopback needs rest.token or "
         "rest.insecure=true."),
    NUMBER("httpPort", GANTRY_CONFIG_INT, "8081", 0, 65535, PLACE_INT, AT(rest_port),
           "The port of the REST listener. 0: any free one; the log says which."),
    CHOICE("rest.dialect", "manual", "manual,code-2019", AT(rest_dialect),
           "How replies are worded: as the manual of 2019 has them, or as the Java worker of 2019 "
           "gave them."),
    SECRET("rest.token", AT(rest_token),
           "What a client must send as 'Authorization: Bearer TOKEN'. Better in a file: "
           "rest.token.file."),
    TEXT("rest.token.file", NULL, PLACE_GIVEN_PATH, 0,
         "A file that holds the token and nothing else."),
    FLAG("rest.insecure", "false", AT(rest_insecure),
         "Allow a listener beyond loopback without a token: everyone who reaches it can create "
         "connectors."),
    TEXT("rest.allowed.hosts", NULL, PLACE_TEXT, AT(rest_hosts),
         "Further names that a request's Host header may have, separated by commas."),

    /* the embedded log */
    SIZE("log.segment.bytes", "128m", 64 * KIB, 2 * GIB, AT(segment_bytes),
         "A segment file that has reached this size is followed by a new one."),
    CHOICE("log.compression", "none", "none,lz4,zstd", AT(compression),
           "How batches are compressed on disk. What was written before stays readable."),
    SIZE("log.commit.bytes", "64m", MIB, 4 * GIB, AT(commit_bytes),
         "Uncommitted bytes of a queue at which sources wait for the disk."),
    DURATION("log.retention.ms", "0", 0, 36500 * DAY_MS, AT(retention_ms),
             "Segments whose youngest message is older are deleted. 0: age deletes nothing."),
    SIZE("log.retention.bytes", "0", 0, INT64_MAX, AT(retention_bytes),
         "A queue's oldest segments are deleted while it is larger. 0: size deletes nothing."),
    FLAG("log.retention.unread", "false", AT(retention_force),
         "Retention deletes also what a sink has not read yet. The sink then misses it."),
    SIZE("disk.reserve", "256m", 0, INT64_MAX, AT(disk_reserve),
         "Sources stop when the file system of the store has less free space, and go on by "
         "themselves."),

    /* tasks */
    DURATION("sink.commit.ms", "200", 1, DAY_MS, AT(sink_commit_ms),
             "A sink that is busy syncs and commits its progress at least so often; an idle one at "
             "once."),
    SIZE("sink.commit.bytes", "32m", 64 * KIB, 4 * GIB, AT(sink_commit_bytes),
         "The same after so many bytes."),
    DURATION("task.restart.backoff.ms", "1s", 1, DAY_MS, AT(restart_backoff_ms),
             "The pause before a failed task starts anew; it doubles with each failure in a row."),
    DURATION("task.restart.backoff.max.ms", "60s", 1, DAY_MS, AT(restart_backoff_max_ms),
             "The longest such pause."),
    NUMBER("task.restart.max", GANTRY_CONFIG_INT, "-1", -1, INT32_MAX, PLACE_INT64, AT(restart_max),
           "A task that failed so often in a row stays FAILED. -1: it is tried for ever."),
    DURATION("task.call.timeout.ms", "60s", 100, DAY_MS, AT(call_timeout_ms),
             "A call of a plugin in the worker that has not come back for so long is given up: its "
             "task is FAILED, its thread is replaced. A connector that says that it waits may poll "
             "for longer, until it is stopped."),

    /* connectors */
    TEXT("connectors.file.roots", NULL, PLACE_GIVEN_PATH, 0,
         "Folders, separated by commas, outside of which the file connectors touch nothing. Needed "
         "when the REST "
         "listener goes beyond loopback; without it they may touch what the worker's user may."),

    /* hosts */
    CHOICE("host.share", "plugin", "plugin,connector,all", AT(hosts.share),
           "What runs in one process: the connectors of a plugin, each connector alone, or (jars) "
           "all plugins."),
    TEXT("host.env", "PATH,LANG,LC_*,TZ,JAVA_HOME,HOME", PLACE_TEXT, AT(hosts.env),
         "What a host has for an environment, separated by commas: NAME or PREFIX* of the worker's "
         "own, or NAME=VALUE."),
    DURATION("host.start.timeout.ms", "30s", 100, DAY_MS, AT(hosts.start_timeout_ms),
             "A host that has not said HELLO for so long is ended."),
    DURATION("host.call.timeout.ms", "60s", 100, DAY_MS, AT(hosts.call_timeout_ms),
             "A host that is asked to load, check, split, start or stop something, or has records "
             "waiting, and does not get on for so long, is ended."),
    DURATION("host.beat.ms", "1s", 10, 3600 * 1000, AT(hosts.beat_ms),
             "How often a host gives a sign of life."),
    DURATION("host.beat.timeout.ms", "30s", 100, DAY_MS, AT(hosts.beat_timeout_ms),
             "A host that gives none for so long is ended."),
    DURATION("host.idle.ms", "10s", 100, DAY_MS, AT(hosts.idle_ms),
             "A host that nobody needs ends after so long."),
    SIZE("host.memory.max", "2g", 0, INT64_MAX, AT(hosts.memory_max),
         "A host that uses more memory is ended. 0: no limit."),
    SIZE("host.record.max", "64m", MIB, GIB, AT(hosts.record_max),
         "The largest record that a host may send or get."),
    NUMBER("host.log.lines", GANTRY_CONFIG_INT, "200", 1, 1000000, PLACE_INT64, AT(hosts.log_lines),
           "Lines a second of one host that go into the log; the others are counted and dropped."),
    NUMBER("host.files.max", GANTRY_CONFIG_INT, "4096", 16, 1 << 20, PLACE_INT64,
           AT(hosts.files_max), "Files that a host may have open."),
    FLAG("host.landlock", "false", AT(hosts.landlock),
         "Hosts may touch no files but those of host.paths.read and host.paths.write, their plugin "
         "and the system's programs and libraries, and signal no process but their own (6.12). "
         "Needs a kernel with Landlock (5.13)."),
    TEXT("host.paths.read", NULL, PLACE_PATH, AT(hosts.read_paths),
         "With host.landlock: folders and files that hosts may read, separated by commas."),
    TEXT("host.paths.write", NULL, PLACE_PATH, AT(hosts.write_paths),
         "With host.landlock: folders and files that hosts may write, too."),
    FLAG("host.seccomp", "false", AT(hosts.seccomp),
         "System calls that no connector needs (mounts, modules, other processes' memory, clocks) "
         "are refused."),
    TEXT("host.java.home", NULL, PLACE_PATH, AT(hosts.java_home),
         "The Java (8 or later) that runs jars. Without it: JAVA_HOME, then PATH."),
    TEXT("host.java.options", "-Xmx1g -XX:+ExitOnOutOfMemoryError", PLACE_TEXT,
         AT(hosts.java_options), "Options of that Java, separated by blanks."),
    TEXT("host.java.jar", NULL, PLACE_PATH, AT(hosts.java_jar),
         "gantry-java-host.jar. Without it: looked for beside the program, in ../share/gantry and "
         "in build-java-host."),
    TEXT("host.java.library", NULL, PLACE_PATH, AT(hosts.java_library),
         "The folder of jars that plugins share. Without it: lib beside that jar."),

    /* RocketMQ and the cluster */
    TEXT("namesrvAddr", NULL, PLACE_TEXT, AT(name_servers),
         "Name servers of a RocketMQ cluster, host:port, separated by semicolons: topics are kept "
         "there, and workers with the same connectClusterId form one cluster. Without it: the "
         "embedded log, and a worker that is alone."),
    TEXT("connectClusterId", "DefaultConnectCluster", PLACE_TEXT, AT(cluster),
         "The cluster's name, also the consumer group under which RocketMQ's tools show its "
         "workers."),
    TEXT("allocTaskStrategy", "incremental", PLACE_TEXT, AT(strategy),
         "Which worker runs which task: incremental (moves as little as possible), average or "
         "consistent-hash, or the class name of 2019. The strategy of the oldest worker counts."),
    DURATION(
        "lease.ms", "6s", 1000, 600 * 1000, AT(lease_ms),
        "A worker that has not been heard of for so long (and a quarter of it) loses its tasks "
        "to the others."),
    CHOICE("lease.unreachable", "continue", "continue,stop", AT(lease_unreachable),
           "What a worker does with its tasks when the broker of the cluster log is down for all "
           "longer than its lease."),
    NUMBER("topic.queues", GANTRY_CONFIG_INT, "4", 1, 1024, PLACE_INT, AT(topic_queues),
           "Queues per broker of a topic that is made because it does not exist."),
    FLAG("autoCreateTopicEnable", "true", AT(create_topics), "Make topics that do not exist."),
    FLAG("autoCreateGroupEnable", "true", AT(create_groups),
         "Make consumer groups that do not exist."),
    TEXT("rmqConsumerGroup", "connector-consumer-group", PLACE_TEXT, AT(consumer_group),
         "How the consumer groups begin under which the broker shows the sinks' progress: "
         "GROUP-CONNECTOR."),
    TEXT("rmqProducerGroup", "connector-producer-group", PLACE_TEXT, AT(producer_group),
         "The producer group of sources."),
    FLAG("aclEnable", "false", AT(acl), "Sign requests with accessKey and secretKey."),
    SECRET("accessKey", AT(access_key), "The user's name for the broker's access control."),
    SECRET("secretKey", AT(secret_key), "The user's password."),
    FLAG("tls.enable", "false", AT(tls), "Speak TLS with name servers and brokers."),
    TEXT("tls.client.trustCertPath", NULL, PLACE_PATH, AT(tls_ca),
         "Certificates to trust, PEM. With tls.client.authServer=true."),
    TEXT("tls.client.certPath", NULL, PLACE_PATH, AT(tls_cert), "Own certificate, PEM."),
    TEXT("tls.client.keyPath", NULL, PLACE_PATH, AT(tls_key), "Its key, PEM."),
    SECRET("tls.client.keyPassword", AT(tls_key_password), "The key's password."),
    FLAG("tls.client.authServer", "false", AT(tls_verify),
         "Refuse servers whose certificate is not trusted."),
    FLAG("tls.client.verifyHost", "false", AT(tls_verify_host),
         "Refuse servers whose certificate does not name the host."),

    /* keys of the worker of 2019 without effect */
    WITHOUT_EFFECT("configPersistInterval", "configurations are stored when they change"),
    WITHOUT_EFFECT("positionPersistInterval",
                   "positions are committed with the records they belong to"),
    WITHOUT_EFFECT("offsetPersistInterval",
                   "a sink's progress is committed by sink.commit.ms and sink.commit.bytes"),
    WITHOUT_EFFECT("clusterStoreTopic", "the cluster keeps all in gantry-cluster-ID"),
    WITHOUT_EFFECT("configStoreTopic", "configurations are kept in the store"),
    WITHOUT_EFFECT("positionStoreTopic", "positions are kept in the store"),
    WITHOUT_EFFECT("offsetStoreTopic", "progress is kept in the store"),
    WITHOUT_EFFECT("operationTimeout", "the client library has its own limits"),
    WITHOUT_EFFECT("rmqMaxRedeliveryTimes", "the client library has its own limits"),
    WITHOUT_EFFECT("rmqMessageConsumeTimeout", "the client library has its own limits"),
    WITHOUT_EFFECT("rmqMaxConsumeThreadNums", "see executor.threads"),
    WITHOUT_EFFECT("rmqMinConsumeThreadNums", "see executor.threads"),
    WITHOUT_EFFECT("maxMessageSize", "a connector's own keys limit its records"),
};

enum { SETTINGS = sizeof table / sizeof table[0] };

/* What a load works on. */
struct load {
    struct gt_settings *settings;
    struct gt_findings *findings;
    struct gt_arena arena; /* normalised values */
    bool no_memory;
};

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(table[i].def.name, name) == 0)
            return &table[i];
    }
    return NULL;
}

static const char *nearest_setting(const char *name)
{
    const char *names[SETTINGS];
    for (size_t i = 0; i < SETTINGS; i++)
        names[i] = table[i].def.name;
    return gt_nearest(name, names, SETTINGS);
}

bool gt_setting_known(const char *name)
{
    return find_setting(name) != NULL;
}

const char *gt_setting_nearest(const char *name)
{
    return nearest_setting(name);
}

__attribute__((format(printf, 4, 5))) static void report(struct load *load, const char *key,
                                                         bool warning, const char *format, ...)
{
    char text[700];
    int len = snprintf(text, sizeof text, "%.200s: ", key); /* fits */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + len, sizeof text - (size_t)len, format,
                    args); /* a cut text is still a text */
    va_end(args);
    gt_findings_add(load->findings, key, false, warning, text);
}

/* A number with the largest unit that leaves it whole, as a user would write it. */
static void describe_number(const struct gantry_config_def *def, int64_t number, char *out,
                            size_t size)
{
    static const struct unit {
        int64_t factor;
        const char *name;
    } sizes[] = {{GIB, "g"}, {MIB, "m"}, {KIB, "k"}, {1, ""}},
      durations[] = {{DAY_MS, "d"}, {1000, "s"}, {1, "ms"}}, plain[] = {{1, ""}};
    const struct unit *unit = def->type == GANTRY_CONFIG_SIZE       ? sizes
                              : def->type == GANTRY_CONFIG_DURATION ? durations
                                                                    : plain;
    while (number % unit->factor != 0)
        unit++; /* ends: the last factor is 1 */
    if (number == 0)
        (void)snprintf(out, size, "0"); /* fits: short texts, here and below */
    else
        (void)snprintf(out, size, "%" PRId64 "%s", number / unit->factor, unit->name);
}

static void describe_range(const struct gantry_config_def *def, char *out, size_t size)
{
    char min[40], max[40];
    describe_number(def, def->min, min, sizeof min);
    describe_number(def, def->max, max, sizeof max);
    if (def->max == INT64_MAX)
        (void)snprintf(out, size, "at least %s", min);
    else
        (void)snprintf(out, size, "%s to %s", min, max);
}

/* The user's home folder, or NULL. */
static const char *home_folder(char *room, size_t size)
{
    const char *home = getenv("HOME");
    if (home != NULL && *home != '\0')
        return home;
    struct passwd entry, *found = NULL;
    if (getpwuid_r(getuid(), &entry, room, size, &found) != 0 || found == NULL)
        return NULL;
    return found->pw_dir;
}

/* Fill in ${HOME} (and ${user.home}, the Java spelling). */
static int expand_home(struct load *load, const char *key, const char *text, struct gt_buf *out)
{
    static const char *const names[] = {"${HOME}", "${user.home}"};
    char room[4096];

    while (*text != '\0') {
        size_t len = 0;
        for (size_t i = 0; i < 2; i++) {
            if (strncmp(text, names[i], strlen(names[i])) == 0)
                len = strlen(names[i]);
        }
        if (len == 0) {
            (void)gt_buf_add_char(out, *text++); /* errors stick */
            continue;
        }
        const char *home = home_folder(room, sizeof room);
        if (home == NULL) {
            report(load, key, false,
                   "'%.200s' needs a home folder, and this user has none; give a path", text);
            return GANTRY_INVALID;
        }
        (void)gt_buf_add_str(out, home);
        text += len;
    }
    if (out->error != 0)
        load->no_memory = true;
    return out->error;
}

static void keep(struct load *load, struct gt_props *props, const char *key, const char *value)
{
    if (gt_props_set(props, key, value) != 0)
        load->no_memory = true;
}

/* Put a checked value where the table says. */
static void store_value(struct load *load, const struct setting *setting, const char *text)
{
    char *member = (char *)load->settings + setting->offset;
    const char *name = setting->def.name;

    switch (setting->place) {
    case PLACE_TEXT:
    case PLACE_PATH:
        keep(load, &load->settings->texts, name, text);
        *(const char **)(void *)member = gt_props_get(&load->settings->texts, name);
        break;
    case PLACE_INT:
        *(int *)(void *)member = (int)strtol(text, NULL, 10); /* checked */
        break;
    case PLACE_INT64:
        *(int64_t *)(void *)member = strtoll(text, NULL, 10);
        break;
    case PLACE_BOOL:
        *(bool *)member = strcmp(text, "true") == 0;
        break;
    case PLACE_GIVEN:
    case PLACE_GIVEN_PATH:
    case PLACE_NOWHERE:
        break;
    }
}

/* Take one value, given or default. */
static void take_value(struct load *load, const struct setting *setting, const char *text,
                       bool given)
{
    struct gantry_err err;
    struct gt_buf path;

    gt_buf_init(&path, FILE_MAX_BYTES);
    int rc = gt_config_check_value(&setting->def, text, &load->arena, &text, &err);
    if (rc == GANTRY_NO_MEMORY)
        load->no_memory = true;
    else if (rc != 0)
        gt_findings_add(load->findings, setting->def.name, false, false, err.text);
    if (rc != 0)
        goto out;
    if (setting->place == PLACE_PATH || setting->place == PLACE_GIVEN_PATH) {
        if (expand_home(load, setting->def.name, text, &path) != 0)
            goto out;
        text = gt_buf_cstr(&path);
    }
    store_value(load, setting, text);
    /* plugins may read `given`, and have no business with secrets */
    if (given && setting->def.type != GANTRY_CONFIG_PASSWORD)
        keep(load, &load->settings->given, setting->def.name, text);
out:
    gt_buf_deinit(&path);
}

static void take_defaults(struct load *load)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].def.default_value != NULL)
            take_value(load, &table[i], table[i].def.default_value, false);
    }
}

/* Keys that are not in the table are kept: a plugin may know them. */
static void take_unknown(struct load *load, const char *key, const char *value)
{
    const char *nearest = nearest_setting(key);
    if (nearest != NULL)
        report(load, key, true, "unknown key; did you mean %s?", nearest);
    else
        report(load, key, true, "unknown key; 'gantry help worker' lists the keys");
    keep(load, &load->settings->given, key, value);
}

static void take_given(struct load *load, const struct gt_props *merged)
{
    for (size_t i = 0; i < merged->count; i++) {
        const char *key = merged->items[i].key;
        const char *value = merged->items[i].value;
        const struct setting *setting = find_setting(key);
        if (setting == NULL) {
            take_unknown(load, key, value);
        } else if (setting->place == PLACE_NOWHERE) {
            report(load, key, true, "has no effect: %s", setting->def.doc);
            keep(load, &load->settings->given, key, value);
        } else if (*value == '\0' && setting->def.type == GANTRY_CONFIG_STRING) {
            continue; /* `workerId=` is how a properties file leaves a key unset */
        } else {
            take_value(load, setting, value, true);
        }
    }
}

/* The token of rest.token.file. */
static void read_token(struct load *load)
{
    struct gt_settings *settings = load->settings;
    const char *path = gt_props_get(&settings->given, "rest.token.file");
    struct gantry_err err;
    struct gt_buf buf;

    gt_buf_init(&buf, TOKEN_MAX_BYTES);
    if (path == NULL)
        goto out;
    if (settings->rest_token != NULL) {
        report(load, "rest.token.file", false, "given beside rest.token; leave one of the two out");
        goto out;
    }
    if (gt_file_read(path, &buf, &err) != 0) {
        report(load, "rest.token.file", false, "%s", err.text);
        goto out;
    }
    struct gantry_view token = gt_view_trim(gt_buf_view(&buf));
    if (token.len == 0 || memchr(token.data, '\0', token.len) != NULL) {
        report(load, "rest.token.file", false, "%s holds no token; write one line of text into it",
               path);
        goto out;
    }
    if (gt_props_set_views(&settings->texts, gantry_view_of("rest.token"), token) != 0)
        load->no_memory = true;
    settings->rest_token = gt_props_get(&settings->texts, "rest.token");
out:
    gt_buf_deinit(&buf);
}

/* 127.0.0.0/8 and ::1, also as ::ffff:127.0.0.1. */
static bool parse_address(const char *text, bool *ret_loopback)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, text, &four) == 1) {
        *ret_loopback = ntohl(four.s_addr) >> 24 == 127;
        return true;
    }
    if (inet_pton(AF_INET6, text, &six) == 1) {
        *ret_loopback =
            IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
        return true;
    }
    return false;
}

static void check_listener(struct load *load)
{
    struct gt_settings *settings = load->settings;
    bool loopback = true;

    if (settings->rest_address == NULL) /* no memory, or reported */
        return;
    if (!parse_address(settings->rest_address, &loopback)) {
        report(load, "rest.address", false,
               "'%.100s' is not an address; give numbers such as 127.0.0.1, ::1 or 0.0.0.0",
               settings->rest_address);
        return;
    }
    if (loopback)
        return;
    keep(load, &settings->given, "rest.beyond.loopback", "true");
    if (settings->rest_token == NULL && !settings->rest_insecure &&
        gt_props_get(&settings->given, "rest.token.file") == NULL)
        report(load, "rest.address", false,
               "%s goes beyond this machine; set rest.token.file, or rest.insecure=true to let "
               "everyone in",
               settings->rest_address);
}

static bool is_printable(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f)
            return false;
    }
    return gt_utf8_valid(gantry_view_of(text));
}

/* Names of topics and groups are made of it. */
static bool is_group_name(const char *text)
{
    return *text != '\0' && strlen(text) <= CLUSTER_MAX_BYTES &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] ==
               '\0';
}

static bool is_server(struct gantry_view text)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    int64_t port;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '/' || text.data[i] == ' ' || text.data[i] == ',')
            return false; /* a URL, a list */
    }
    return colon > 1 && gt_parse_int((struct gantry_view){text.data + colon, text.len - colon}, 1,
                                     65535, &port) == 0;
}

static void check_name_servers(struct load *load)
{
    const char *at = load->settings->name_servers;
    size_t count = 0;
    for (size_t len; at != NULL && *at != '\0'; at += len + (at[len] == ';')) {
        len = strcspn(at, ";");
        struct gantry_view server = gt_view_trim((struct gantry_view){at, len});
        count += server.len > 0;
        if (server.len > 0 && !is_server(server))
            report(load, "namesrvAddr", false,
                   "'%.*s' is not a server's address; write HOST:PORT, several with ; between them",
                   (int)(server.len < 100 ? server.len : 100), server.data);
    }
    if (load->settings->name_servers != NULL && count == 0)
        report(load, "namesrvAddr", false, "names no server; write HOST:PORT, or leave it out");
}

static void check_broker(struct load *load)
{
    struct gt_settings *settings = load->settings;
    check_name_servers(load);
    static const char *const keys[] = {"connectClusterId", "rmqConsumerGroup", "rmqProducerGroup"};
    const char *const values[] = {settings->cluster, settings->consumer_group,
                                  settings->producer_group};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (values[i] != NULL && !is_group_name(values[i]))
            report(load, keys[i], false,
                   "'%.100s' cannot be a group's name; take 1 to %d of a-z A-Z 0-9 _ -", values[i],
                   CLUSTER_MAX_BYTES);
    }
    if (settings->strategy != NULL && gt_cluster_strategy_find(settings->strategy) < 0)
        report(load, "allocTaskStrategy", false,
               "there is no strategy '%.100s'; known: incremental, average, consistent-hash",
               settings->strategy);
    if (settings->acl && (settings->access_key == NULL || settings->secret_key == NULL))
        report(load, "aclEnable", false, "needs accessKey and secretKey");
    if (settings->tls_verify && settings->tls_ca == NULL)
        report(load, "tls.client.authServer", false, "needs tls.client.trustCertPath");
    if ((settings->tls_cert == NULL) != (settings->tls_key == NULL))
        report(load, "tls.client.certPath", false,
               "own certificate and key go together; give both or none");
}

/* What one key alone does not tell. */
static void check_together(struct load *load)
{
    struct gt_settings *settings = load->settings;

    check_broker(load);
    if (settings->worker_id != NULL && strlen(settings->worker_id) > ID_MAX_BYTES)
        report(load, "workerId", false, "%zu bytes long; at most %d are allowed",
               strlen(settings->worker_id), ID_MAX_BYTES);
    if (settings->worker_id != NULL && !is_printable(settings->worker_id))
        report(load, "workerId", false, "has control characters or is not UTF-8; give plain text");
    if (settings->restart_backoff_ms > settings->restart_backoff_max_ms)
        report(load, "task.restart.backoff.ms", false,
               "%" PRId64 " ms is more than task.restart.backoff.max.ms, %" PRId64
               " ms; lower the one or raise the other",
               settings->restart_backoff_ms, settings->restart_backoff_max_ms);
    check_listener(load);
}

/* The file, and the options above it. */
static int merge(const char *file, const struct gt_props *options, struct gt_props *merged,
                 struct gantry_err *err)
{
    struct gantry_err cause;
    struct gt_buf text;
    int rc = 0;

    gt_buf_init(&text, FILE_MAX_BYTES);
    if (file != NULL) {
        rc = gt_file_read(file, &text, err);
        if (rc != 0)
            goto out;
        rc = gt_props_parse(merged, gt_buf_view(&text), &cause);
        if (rc != 0) {
            rc = gantry_err_set(err, rc, "%s: %s", file, cause.text);
            goto out;
        }
    }
    for (size_t i = 0; options != NULL && i < options->count; i++) {
        rc = gt_props_set(merged, options->items[i].key, options->items[i].value);
        if (rc != 0) {
            rc = gantry_err_set(err, rc, "no memory for the settings");
            goto out;
        }
    }
out:
    gt_buf_deinit(&text);
    return rc;
}

int gt_settings_load(const char *file, const struct gt_props *options, struct gt_settings *ret,
                     struct gt_findings *findings, struct gantry_err *err)
{
    struct load load = {.settings = ret, .findings = findings};
    struct gt_props merged;
    int rc;

    gt_arena_init(&load.arena, 4096, 0);
    memset(ret, 0, sizeof *ret);
    gt_props_init(&ret->given);
    gt_props_init(&ret->texts);
    gt_props_init(&merged);
    rc = merge(file, options, &merged, err);
    if (rc != 0)
        goto out;
    take_defaults(&load);
    take_given(&load, &merged);
    read_token(&load);
    check_together(&load);
    if (load.no_memory || findings->no_memory)
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the settings");
    else if (gt_findings_errors(findings) > 0) {
        gt_findings_to_err(findings, err);
        rc = GANTRY_INVALID;
    }
out:
    gt_props_deinit(&merged);
    gt_arena_deinit(&load.arena);
    if (rc != 0)
        gt_settings_deinit(ret);
    return rc;
}

void gt_settings_deinit(struct gt_settings *settings)
{
    gt_props_deinit(&settings->given);
    gt_props_deinit(&settings->texts);
    memset(settings, 0, sizeof *settings);
}

/* The default as the tables show it. */
static const char *shown_default(const struct setting *setting)
{
    return setting->def.default_value != NULL ? setting->def.default_value : "-";
}

/* Print a text in lines of at most 100 columns, indented. */
static void print_wrapped(FILE *out, const char *text, size_t indent)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column == 0 || column + 1 + len > 100) {
            fprintf(out, "%s%*s", column == 0 ? "" : "\n", (int)indent, "");
            column = indent;
        } else {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, len, out);
        column += len;
        text += len + (text[len] == ' ');
    }
    fputc('\n', out);
}

void gt_settings_print(FILE *out)
{
    fprintf(out, "Keys (default):\n");
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].place == PLACE_NOWHERE)
            continue;
        fprintf(out, "  %s (%s)\n", table[i].def.name, shown_default(&table[i]));
        print_wrapped(out, table[i].def.doc, 6);
    }
    fprintf(out, "Keys of 2019 that are taken and have no effect:\n");
    struct gt_buf names;
    gt_buf_init(&names, FILE_MAX_BYTES);
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].place == PLACE_NOWHERE)
            (void)gt_buf_addf(&names, "%s%s", names.len > 0 ? ", " : "", table[i].def.name);
    }
    print_wrapped(out, gt_buf_cstr(&names), 6);
    gt_buf_deinit(&names);
}

/* Type and limits for the page. */
static void print_markdown_type(FILE *out, const struct gantry_config_def *def)
{
    char range[100];
    static const char *const names[] = {
        [GANTRY_CONFIG_STRING] = "text",      [GANTRY_CONFIG_INT] = "number",
        [GANTRY_CONFIG_SIZE] = "size",        [GANTRY_CONFIG_DURATION] = "duration",
        [GANTRY_CONFIG_BOOL] = "true, false", [GANTRY_CONFIG_ENUM] = "",
        [GANTRY_CONFIG_LIST] = "list",        [GANTRY_CONFIG_PASSWORD] = "secret",
    };
    if (def->type == GANTRY_CONFIG_ENUM) {
        for (const char *p = def->choices; *p != '\0'; p++) {
            fputc(*p, out);
            if (*p == ',')
                fputc(' ', out);
        }
        return;
    }
    fputs(names[def->type], out);
    if (def->min != 0 || def->max != 0) {
        describe_range(def, range, sizeof range);
        fprintf(out, ", %s", range);
    }
}

void gt_settings_print_markdown(FILE *out)
{
    fputs("# Configuration of a worker\n"
          "`gantry worker -c FILE [KEY=VALUE | --KEY VALUE] ...` reads a properties file in UTF-8; "
          "options on the\n"
          "command line win over it. Without a file the defaults hold. An unknown key is a warning "
          "that names the\n"
          "nearest known one (an unknown `--KEY` without a dot is refused); wrong values are "
          "reported all at once, and the worker ends with "
          "status 2. This page is\n"
          "made by `gantry help --markdown`.\n\n"
          "Sizes: bytes, or with k, m, g (1024-based). Durations: milliseconds, or with ms, s, m, "
          "h, d. In paths\n"
          "`${HOME}` is the home folder of the worker's user.\n\n"
          "| key | default | values | meaning |\n|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].place == PLACE_NOWHERE)
            continue;
        fprintf(out, "| `%s` | `%s` | ", table[i].def.name, shown_default(&table[i]));
        print_markdown_type(out, &table[i].def);
        fprintf(out, " | %s |\n", table[i].def.doc);
    }
    fputs("\n## Keys of 2019 without effect\n"
          "A properties file of the Java worker of 2019 is taken as it stands. These of its keys "
          "change nothing; the\n"
          "worker says so when it starts.\n\n"
          "| key | why |\n|---|---|\n",
          out);
    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].place == PLACE_NOWHERE)
            fprintf(out, "| `%s` | %s |\n", table[i].def.name, table[i].def.doc);
    }
}
