/* SPDX-License-Identifier: Apache-2.0 */
/* gantry run: a worker, a file source and a file sink, in one command.
 *
 * The worker is a child process (a fork that becomes `gantry worker`): progress is read out of its
 * store, and LMDB must not be opened twice in one process. The child ends with us, whatever ends
 * us. Connectors are made through REST, by real requests, as anybody else would make them.
 *
 * Names of topic and connectors come from the files, so that other files on the same store are
 * another topic, and the same files go on where the last run stopped. With a broker the cluster's
 * name comes from this machine and the store, and goes into the topic's: no other worker takes the
 * tasks, and no other run the topic. */
#include "cli/run.h"

#include "base/file.h"
#include "base/json.h"
#include "cli/options.h"
#include "topic/inspect.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA_FOLDER    "gantry-data"
#define SAMPLE         "examples/access.log"
#define NAME_PREFIX    "run-"
#define CLUSTER_PREFIX "gantry-run-"
#define PART_TIMEOUT   "500" /* ms after which a last line without newline is given as it is */

enum {
    REQUEST_TIMEOUT_MS = 15000,
    JOIN_MS = 20000, /* with --exit: so long a broker may not be reached */
    PATH_MAX_BYTES = 64 << 10
};

volatile sig_atomic_t gt_run_stopped;

static void on_signal(int number)
{
    (void)number;
    gt_run_stopped = 1;
}

/* --- The files --- */

/* The sample: below the current folder, or beside the program in its source tree. NULL: neither. */
static char *find_sample(void)
{
    char program[PATH_MAX], beside[PATH_MAX + 40];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    if (access(SAMPLE, R_OK) == 0)
        return strdup(SAMPLE);
    if (len <= 0)
        return NULL;
    program[len] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    (void)snprintf(beside, sizeof beside, "%s/../" SAMPLE, program); /* fits */
    return access(beside, R_OK) == 0 ? strdup(beside) : NULL;
}

/* The file source takes a list of patterns. */
static int check_source_name(const char *path, struct gantry_err *err)
{
    if (strpbrk(path, ",*?[") == NULL)
        return 0;
    return gantry_err_set(err, GANTRY_INVALID,
                          "--in: '%s' has one of , * ? [ in it; run a worker and see: gantry "
                          "connector describe FileSourceConnector",
                          path);
}

static int settle_in(struct gt_run *run, const char *given, struct gantry_err *err)
{
    struct stat st;
    char last = '\n';
    char *sample = given == NULL ? find_sample() : NULL;
    const char *path = given != NULL ? given : sample;
    int rc = 0, fd = -1;

    if (path == NULL)
        return gantry_err_set(err, GANTRY_INVALID,
                              "there is no sample (" SAMPLE ") here; name a file with --in FILE");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = gt_file_error(err, "open", path);
    else if (!S_ISREG(st.st_mode))
        rc = gantry_err_set(err, GANTRY_INVALID, "--in: %s is not a file", path);
    else if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        rc = gt_file_error(err, "read", path);
    else if ((run->in = realpath(path, NULL)) == NULL)
        rc = gt_file_error(err, "find", path);
    else
        rc = check_source_name(run->in, err);
    run->whole_lines = last == '\n';
    if (fd >= 0)
        close(fd);
    free(sample);
    return rc;
}

/* OUT need not exist, its folder must. */
static int settle_out(struct gt_run *run, const char *path, struct gantry_err *err)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *above =
        slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    char *folder = above != NULL ? realpath(above, NULL) : NULL;
    int rc = 0;

    if (above == NULL)
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
    else if (*name == '\0' || (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
        rc = gantry_err_set(err, GANTRY_INVALID, "--out: '%s' is not a file", path);
    else if (folder == NULL)
        rc = gt_file_error(err, "find the folder", above);
    else if (asprintf(&run->out, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < 0)
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
    else if (strcmp(run->in, run->out) == 0)
        rc = gantry_err_set(err, GANTRY_INVALID, "--in and --out are the same file, %s", run->in);
    free(above);
    free(folder);
    return rc;
}

/* FNV-1a: to tell two texts apart, not to keep a secret. */
static uint32_t add_hash(uint32_t hash, const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    return hash;
}

static uint32_t hash_of(const char *text)
{
    return add_hash(2166136261u, text);
}

/* KIND plus the file's name, as far as a topic may be called that, plus a hash of the whole path
 * and of whose it is. */
static char *make_name(const char *kind, const char *path, const char *whose)
{
    char base[48], *name = NULL;
    uint32_t hash = add_hash(hash_of(path), whose);
    size_t len = 0;
    const char *slash = strrchr(path, '/');

    for (const char *p = slash != NULL ? slash + 1 : path; *p != '\0' && len < sizeof base - 1; p++)
        base[len++] = isalnum((unsigned char)*p) ? *p : '-';
    base[len] = '\0';
    return asprintf(&name, NAME_PREFIX "%s%s-%04x", kind, base, (hash >> 16 ^ hash) & 0xffff) < 0
               ? NULL
               : name;
}

/* Say what becomes of an OUT that has content already. */
static void look_at_out(const struct gt_run *run)
{
    struct gt_inspect *inspect = NULL;
    struct gt_queue_info *queues = NULL;
    size_t count = 0;
    struct gt_arena arena;
    struct stat st;
    bool known = false;

    if (run->quiet || stat(run->out, &st) != 0 || st.st_size == 0)
        return;
    gt_arena_init(&arena, 16 << 10, 0);
    if (gt_inspect_open(run->store, &inspect, NULL) == 0) {
        int64_t end, read = 0;
        if (run->settings.name_servers != NULL)
            (void)gt_inspect_brokers(inspect, run->source, run->sink, &arena, &end, &read, NULL);
        else
            (void)gt_inspect_queues(inspect, run->topic, &arena, &queues, &count, NULL);
        known = read > 0;
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < queues[i].sink_count; k++)
                known |= strcmp(queues[i].sinks[k].connector, run->sink) == 0;
        }
    }
    gt_inspect_close(inspect);
    gt_arena_deinit(&arena);
    if (known)
        printf("The last run got as far as it got; this one goes on from there.\n");
    else
        printf("%s holds %lld bytes already; what arrives is put behind them.\n", run->out,
               (long long)st.st_size);
}

/* --- Requests --- */

static int get(const struct gt_run *run, const char *path, struct gt_http_reply *reply,
               struct gantry_err *err)
{
    int rc = gt_http_get(&run->rest, path, REQUEST_TIMEOUT_MS, reply, err);
    if (rc == 0 && reply->status != 200)
        rc = gantry_err_set(err, GANTRY_DENIED, "%.100s was answered with HTTP %d: %.300s", path,
                            reply->status, gt_buf_cstr(&reply->body));
    return rc;
}

static int create_connector(const struct gt_run *run, const char *name,
                            const struct gt_props *config, struct gantry_err *err)
{
    struct gt_http_reply reply;
    struct gt_buf json, path;

    gt_http_reply_init(&reply);
    gt_buf_init(&json, PATH_MAX_BYTES);
    gt_buf_init(&path, PATH_MAX_BYTES * 4);
    (void)gt_json_add_props(&json, config); /* errors stick */
    (void)gt_buf_addf(&path, "/connectors/%s?config=", name);
    (void)gt_http_escape(&path, gt_buf_cstr(&json));
    int rc = json.error != 0 || path.error != 0
                 ? gantry_err_set(err, GANTRY_TOO_LARGE, "the file names are too long")
                 : get(run, gt_buf_cstr(&path), &reply, err);
    if (rc == 0) {
        const char *text = gt_buf_cstr(&reply.body);
        if (strcmp(text, "success") != 0 && strstr(text, "already exist") == NULL)
            rc = gantry_err_set(err, GANTRY_DENIED, "the worker refused the connector %s: %.400s",
                                name, reply.why.len > 0 ? gt_buf_cstr(&reply.why) : text);
    }
    gt_http_reply_deinit(&reply);
    gt_buf_deinit(&json);
    gt_buf_deinit(&path);
    return rc;
}

/* Stop what earlier runs with other files left in this store. */
static int stop_leftovers(struct gt_run *run, struct gantry_err *err)
{
    static const char begin[] = "ConnectorConfigs:";
    struct gt_http_reply reply, stopped;
    struct gt_buf path;
    json_t *all = NULL;
    const char *name;
    json_t *config;

    gt_http_reply_init(&reply);
    gt_http_reply_init(&stopped);
    gt_buf_init(&path, PATH_MAX_BYTES);
    int rc = get(run, "/getConfigInfo", &reply, err);
    if (rc == 0 && reply.body.len > sizeof begin)
        all = json_loadb(reply.body.data + sizeof begin - 1, reply.body.len - sizeof begin + 1,
                         JSON_DISABLE_EOF_CHECK, NULL);
    json_object_foreach(all, name, config)
    {
        if (rc != 0 || strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 ||
            strcmp(name, run->source) == 0 || strcmp(name, run->sink) == 0)
            continue;
        gt_buf_clear(&path);
        (void)gt_buf_add_str(&path, "/connectors/"); /* errors stick */
        (void)gt_http_escape(&path, name);
        (void)gt_buf_add_str(&path, "/stop");
        rc = get(run, gt_buf_cstr(&path), &stopped, err);
    }
    json_decref(all);
    gt_http_reply_deinit(&reply);
    gt_http_reply_deinit(&stopped);
    gt_buf_deinit(&path);
    return rc;
}

/* Keys that both have. */
static int set_common(const struct gt_run *run, struct gt_props *config, const char *klass,
                      const char *topic_key, const char *file)
{
    int rc = gt_props_set(config, "connector-class", klass);
    if (rc == 0)
        rc = gt_props_set(config, topic_key, run->topic);
    if (rc == 0)
        rc = gt_props_set(config, "filename", file);
    if (rc == 0 && strcmp(run->settings.rest_dialect, "code-2019") == 0)
        rc = gt_props_set(config, "source-record-converter", "string"); /* that dialect insists */
    return rc;
}

static int create_pair(struct gt_run *run, struct gantry_err *err)
{
    struct gt_props source, sink;
    gt_props_init(&source);
    gt_props_init(&sink);
    int rc = set_common(run, &source, "org.apache.rocketmq.connect.file.FileSourceConnector",
                        "topic", run->in);
    if (rc == 0 && !run->whole_lines)
        rc = gt_props_set(&source, "line.timeout.ms", PART_TIMEOUT);
    if (rc == 0)
        rc = set_common(run, &sink, "org.apache.rocketmq.connect.file.FileSinkConnector",
                        "topicNames", run->out);
    if (rc != 0)
        rc = gantry_err_set(err, rc, "no memory");
    else
        rc = create_connector(run, run->source, &source, err);
    if (rc == 0)
        rc = create_connector(run, run->sink, &sink, err);
    gt_props_deinit(&source);
    gt_props_deinit(&sink);
    return rc;
}

/* --- The worker --- */

/* In the child: tell the parent the port. */
static void on_ready(void *arg, int port)
{
    int *pipe_fd = arg;
    ssize_t written = write(*pipe_fd, &port, sizeof port);
    (void)written; /* a parent that is gone has a child that ends soon, too */
    close(*pipe_fd);
    *pipe_fd = -1;
}

static int run_child(struct gt_run *run, pid_t parent, int pipe_fd)
{
    /* The worker sets its own handlers; until then a signal ends it. */
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* cannot fail for a valid signal */
    if (getppid() != parent)
        return GT_EXIT_FAILED;
    int status = gt_serve(run->command, &run->settings, on_ready, &pipe_fd);
    if (pipe_fd >= 0)
        close(pipe_fd);
    return status;
}

/* Wait for the port. False: the child ended, a signal came, or it takes too long. */
static bool await_ready(struct gt_run *run, int pipe_fd, bool *ret_late)
{
    struct pollfd ready = {.fd = pipe_fd, .events = POLLIN};
    bool bounded = run->exit_when_done && run->settings.name_servers != NULL;
    int port = 0, rc;
    ssize_t got;
    do {
        rc = poll(&ready, 1, bounded ? JOIN_MS : -1);
    } while (rc < 0 && errno == EINTR && gt_run_stopped == 0);
    *ret_late = rc == 0;
    if (rc <= 0)
        return false;
    do {
        got = read(pipe_fd, &port, sizeof port);
    } while (got < 0 && errno == EINTR && gt_run_stopped == 0);
    run->rest.port = port;
    return got == (ssize_t)sizeof port;
}

/* Wait for the worker's end, and say when it was not a good one. */
static int await_end(const struct gt_run *run)
{
    int status = 0;
    while (waitpid(run->worker, &status, 0) < 0) {
        if (errno != EINTR)
            return GT_EXIT_FAILED;
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "gantry run: the worker was ended by signal %d\n", WTERMSIG(status));
    return GT_EXIT_FAILED;
}

static int create_all(struct gt_run *run, struct gantry_err *err)
{
    int rc = stop_leftovers(run, err);
    return rc == 0 ? create_pair(run, err) : rc;
}

static int run_parent(struct gt_run *run, int pipe_fd)
{
    int status = GT_EXIT_OK;
    bool late = false, ready = await_ready(run, pipe_fd, &late);
    if (ready) {
        look_at_out(run);
        status = gt_run_watch(run, create_all);
    } else if (late) {
        fprintf(stderr,
                "gantry run: no RocketMQ within %d s; look whether one runs at %s (see above), or "
                "leave --exit out to wait for it\n",
                JOIN_MS / 1000, run->settings.name_servers);
        status = GT_EXIT_FAILED;
    }
    if (ready || late || gt_run_stopped != 0)
        (void)kill(run->worker, SIGTERM); /* it may have ended by itself */
    int ended = await_end(run);
    return ended != GT_EXIT_OK ? ended : status;
}

/* --- The command --- */

static int set_default(struct gt_props *props, const char *key, const char *value)
{
    return gt_props_get(props, key) != NULL ? 0 : gt_props_set(props, key, value);
}

/* A cluster of its own, the same one for each run with this store. */
static int set_cluster(struct gt_props *given)
{
    char name[64], host[256] = "";
    const char *store = gt_props_get(given, "storePathRootDir");
    char *folder = *store != '/' ? getcwd(NULL, 0) : NULL;
    (void)gethostname(host, sizeof host - 1); /* without one: "" */
    uint32_t hash = hash_of(folder != NULL ? folder : "");
    hash = add_hash(add_hash(add_hash(hash, "/"), store), host);
    free(folder);
    (void)snprintf(name, sizeof name, CLUSTER_PREFIX "%08x", hash); /* fits */
    return set_default(given, "connectClusterId", name);
}

static int settle_files(struct gt_run *run, const char *in, const char *out, struct gantry_err *err)
{
    int rc = settle_in(run, in, err);
    if (rc == 0 && out == NULL)
        rc = gt_folder_make(DATA_FOLDER, NULL, err);
    if (rc == 0)
        rc = settle_out(run, out != NULL ? out : DATA_FOLDER "/out.log", err);
    if (rc != 0)
        return rc;
    bool broker = run->settings.name_servers != NULL;
    run->topic = make_name("", run->in, broker ? run->settings.cluster : "");
    run->source = make_name("in-", run->in, "");
    run->sink = make_name("out-", run->out, "");
    if (asprintf(&run->store, "%s%s", run->settings.store, broker ? "/cluster" : "") < 0)
        run->store = NULL;
    return run->topic != NULL && run->source != NULL && run->sink != NULL && run->store != NULL
               ? 0
               : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
}

/* Fork, and be the worker or watch it. */
static int split(struct gt_run *run)
{
    const struct sigaction action = {.sa_handler = on_signal};
    int pipe_fds[2];
    pid_t parent = getpid();

    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        fprintf(stderr, "gantry run: cannot make a pipe: %s\n", strerrordesc_np(errno));
        return GT_EXIT_FAILED;
    }
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for valid signals */
    (void)sigaction(SIGTERM, &action, NULL);
    (void)fflush(stdout); /* or the child has it a second time */
    run->worker = fork();
    if (run->worker == 0) {
        close(pipe_fds[0]);
        return run_child(run, parent, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    int status = GT_EXIT_FAILED;
    if (run->worker > 0)
        status = run_parent(run, pipe_fds[0]);
    else
        fprintf(stderr, "gantry run: cannot start a process: %s\n", strerrordesc_np(errno));
    close(pipe_fds[0]);
    return status;
}

static void run_deinit(struct gt_run *run)
{
    free(run->in);
    free(run->out);
    free(run->topic);
    free(run->source);
    free(run->sink);
    free(run->store);
}

int gt_command_run(const struct gt_command *command, int argc, char **argv)
{
    struct gt_run run = {.command = command, .terminal = isatty(STDOUT_FILENO) == 1};
    const char *in = NULL, *out = NULL, *name_servers = NULL;
    const struct gt_option table[] = {
        {.name = "--namesrv", .text = &name_servers},
        {.name = "--in", .text = &in},
        {.name = "--out", .text = &out},
        {.name = "--exit", .flag = &run.exit_when_done},
        {.name = "--quiet", .flag = &run.quiet},
        {.name = "--stats-json", .text = &run.stats_file},
    };
    struct gt_props given;
    struct gantry_err err = {0, ""};

    gt_props_init(&given);
    struct gt_options options = {
        .table = table, .count = sizeof table / sizeof table[0], .settings = &given};
    int status = GT_EXIT_OK;
    if (gt_options_parse(&options, argc, argv, &err) != 0)
        status = gt_usage_error(command, err.text);
    else if (set_default(&given, "storePathRootDir", DATA_FOLDER "/store") != 0 ||
             set_default(&given, "log.level", "warn") != 0 ||
             (name_servers != NULL && gt_props_set(&given, "namesrvAddr", name_servers) != 0) ||
             (gt_props_get(&given, "namesrvAddr") != NULL && set_cluster(&given) != 0))
        status = GT_EXIT_FAILED;
    if (status == GT_EXIT_OK)
        status = gt_serve_load(command, NULL, &given, run.quiet, &run.settings);
    gt_props_deinit(&given);
    if (status != GT_EXIT_OK)
        return status;
    run.rest = (struct gt_http_target){.address = run.settings.rest_address,
                                       .token = run.settings.rest_token};
    if (settle_files(&run, in, out, &err) != 0) {
        status = gt_command_failed(command, &err);
    } else {
        status = split(&run);
    }
    run_deinit(&run);
    gt_settings_deinit(&run.settings);
    return status;
}
