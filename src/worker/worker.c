/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, running and closing a worker.
 *
 * The end, by signal: the listener stops taking requests (beside the loop, which still answers
 * those it has), operations end, tasks stop and are committed; when nothing is left the loop ends.
 * After shutdown.timeout.ms the process ends anyway: what is committed is safe however it ends. */
#include "worker/internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/tables.h"
#include "worker/java_import.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- Names and limits --- */

/* The first address that others could reach, as the Java worker shows it. */
static void find_address(char *out, size_t size)
{
    uv_interface_address_t *all = NULL;
    int count = 0;
    snprintf(out, size, "127.0.0.1");
    if (uv_interface_addresses(&all, &count) != 0)
        return;
    for (int i = 0; i < count; i++) {
        if (!all[i].is_internal && all[i].address.address4.sin_family == AF_INET) {
            uv_ip4_name(&all[i].address.address4, out, size);
            break;
        }
    }
    uv_free_interface_addresses(all, count);
}

static int name_worker(struct gt_worker *worker, struct gantry_err *err)
{
    char address[64];
    find_address(address, sizeof address);
    if (asprintf(&worker->member, "%s@%ld", address, (long)getpid()) < 0)
        worker->member = NULL;
    const char *given = worker->settings->worker_id;
    if (worker->member != NULL)
        worker->name = strdup(given != NULL && *given != '\0' ? given : worker->member);
    return worker->name != NULL ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
}

/* Each followed file is a descriptor, so take all that are allowed. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        gt_warn("worker", "the limit of open files stays at %llu",
                (unsigned long long)limit.rlim_cur);
}

size_t gt_worker_place(struct gt_worker *worker, enum gantry_kind kind)
{
    size_t count = worker->executor_count, best = kind == GANTRY_SOURCE ? 0 : count - 1;
    for (size_t i = 0; i < count; i++) {
        size_t at = kind == GANTRY_SOURCE ? i : count - 1 - i;
        if (worker->executor_loads[at] < worker->executor_loads[best])
            best = at;
    }
    return best;
}

/* --- A Java worker's store --- */

static void import_connector(struct gt_commit *commit, const struct gt_java_connector *connector)
{
    struct gt_buf value;
    struct gantry_err err;
    if (gt_connector_name_check(connector->name, &err) != 0) {
        gt_warn("worker", "a connector of the Java worker is not taken over: %s", err.text);
        return;
    }
    gt_buf_init(&value, 8 << 20);
    if (gt_json_add_props(&value, &connector->config) == 0)
        gt_commit_put(commit, GT_TABLE_CONNECTORS, gantry_view_of(connector->name),
                      gt_buf_view(&value));
    else
        commit->changes.error = value.error;
    gt_buf_deinit(&value);
    gt_info("worker", "imported a connector of the Java worker connector=%s", connector->name);
}

/* The Java worker keeps positions by file alone; here they belong to a connector: to each that
 * reads the file. */
static void import_position(struct gt_commit *commit, const struct gt_java_store *java,
                            const struct gt_java_position *position)
{
    struct gt_buf partition, stand, value;
    gt_buf_init(&partition, 64 << 10);
    gt_buf_init(&stand, 1024);
    gt_buf_init(&value, 128 << 10);
    gt_buf_add_str(&partition, "{\"filename\":");
    gt_json_add_string(&partition, gantry_view_of(position->filename));
    gt_buf_add_str(&partition, "}");
    gt_buf_addf(&stand, "{\"nextPosition\":%lld}", (long long)position->bytes);
    gt_position_record_write(&value, gt_buf_view(&partition), gt_buf_view(&stand));
    size_t readers = 0;
    for (size_t i = 0; i < java->connector_count; i++) {
        const char *filename = gt_props_get(&java->connectors[i].config, "filename");
        if (filename == NULL || strcmp(filename, position->filename) != 0 ||
            gt_connector_name_check(java->connectors[i].name, NULL) != 0)
            continue;
        struct gantry_view view = gt_buf_view(&partition);
        struct gt_key key;
        readers++;
        gt_key_position(&key, java->connectors[i].name, &view);
        gt_commit_put(commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    }
    gt_info("worker",
            "imported a position of the Java worker file=%s chars=%lld bytes=%lld connectors=%zu",
            position->filename, (long long)position->chars, (long long)position->bytes, readers);
    gt_buf_deinit(&partition);
    gt_buf_deinit(&stand);
    gt_buf_deinit(&value);
}

/* A position of the replicator, whose partition is broker, topic and queue run together: kept as it
 * is for each replicator, which knows its queues. Whether it is one. */
static bool import_replicator_position(struct gt_commit *commit, const struct gt_java_store *java,
                                       const struct gt_java_position *position)
{
    struct gantry_view partition = gantry_view_of(position->filename);
    struct gt_buf stand, value;
    size_t takers = 0;
    if (position->chars < 0 || partition.len == 0 || strchr(position->filename, '/') != NULL ||
        strchr("0123456789", partition.data[partition.len - 1]) == NULL)
        return false;
    gt_buf_init(&stand, 1024);
    gt_buf_init(&value, 128 << 10);
    gt_buf_addf(&stand, "{\"nextPosition\":%lld}", (long long)position->chars);
    gt_position_record_write(&value, partition, gt_buf_view(&stand));
    for (size_t i = 0; i < java->connector_count; i++) {
        const struct gt_java_connector *connector = &java->connectors[i];
        const char *class = gt_props_get(&connector->config, "connector-class");
        const char *filename = gt_props_get(&connector->config, "filename");
        if (filename != NULL && strcmp(filename, position->filename) == 0) {
            takers = 0; /* a followed file that is called so */
            break;
        }
        if (class == NULL ||
            strcmp(class, "org.apache.rocketmq.replicator.RmqSourceReplicator") != 0 ||
            gt_connector_name_check(connector->name, NULL) != 0)
            continue;
        struct gt_key key;
        takers++;
        gt_key_position(&key, connector->name, &partition);
        gt_commit_put(commit, GT_TABLE_POSITIONS, gt_key_view(&key), gt_buf_view(&value));
    }
    if (takers > 0)
        gt_info("worker",
                "imported a position of the Java replicator queue=%s offset=%lld connectors=%zu",
                position->filename, (long long)position->chars, takers);
    gt_buf_deinit(&stand);
    gt_buf_deinit(&value);
    return takers > 0;
}

static int import_java(struct gt_worker *worker, struct gantry_err *err)
{
    static const struct gt_commit_ops no_ops = {0};
    const char *folder = worker->settings->store;
    struct gt_buf mark;
    gt_buf_init(&mark, 64);
    int known =
        gt_store_get(worker->store, GT_TABLE_META, gantry_view_of("java-import"), &mark, NULL);
    gt_buf_deinit(&mark);
    if (known == 0 || !gt_java_store_present(folder))
        return 0;
    struct gt_java_store java;
    int code = gt_java_store_read(folder, &java, err);
    if (code != 0)
        return code;
    struct gt_commit commit;
    gt_commit_init(&commit, &no_ops);
    for (size_t i = 0; i < java.connector_count; i++)
        import_connector(&commit, &java.connectors[i]);
    for (size_t i = 0; i < java.position_count; i++) {
        const struct gt_java_position *position = &java.positions[i];
        if (import_replicator_position(&commit, &java, position))
            continue;
        if (position->problem == NULL)
            import_position(&commit, &java, position);
        else
            gt_warn("worker",
                    "a position of the Java worker is not taken over, its file is read from the "
                    "start file=%s "
                    "chars=%lld: %s",
                    position->filename, (long long)position->chars, position->problem);
    }
    gt_commit_put(&commit, GT_TABLE_META, gantry_view_of("java-import"), gantry_view_of("done"));
    code = gt_store_commit_now(worker->store, &commit, err);
    gt_commit_deinit(&commit);
    gt_java_store_deinit(&java);
    return code;
}

/* --- Opening --- */

static int open_embedded(struct gt_worker *worker, struct gantry_err *err)
{
    const struct gt_settings *settings = worker->settings;
    struct gt_topics_settings topics = {
        .segment_bytes = settings->segment_bytes,
        .compression = settings->compression,
        .retention_ms = settings->retention_ms,
        .retention_bytes = settings->retention_bytes,
        .retention_unread = settings->retention_force,
        .disk_reserve = settings->disk_reserve,
    };
    int code = gt_store_open(settings->store, 0, &worker->store, err);
    if (code == 0)
        code = import_java(worker, err);
    return code == 0 ? gt_topics_open(worker->store, &topics, &worker->topics, err) : code;
}

int gt_worker_open_link(const struct gt_settings *settings, const char *client_id,
                        struct gt_link **ret, struct gantry_err *err)
{
    struct gt_link_settings link = {
        .name_servers = settings->name_servers,
        .client_id = client_id,
        .tls = settings->tls,
        .tls_ca = settings->tls_verify ? settings->tls_ca : NULL,
        .tls_cert = settings->tls_cert,
        .tls_key = settings->tls_key,
        .tls_key_password = settings->tls_key_password,
        .tls_verify_host = settings->tls_verify_host,
        .access_key = settings->acl ? settings->access_key : NULL,
        .secret_key = settings->acl ? settings->secret_key : NULL,
    };
    return gt_link_open(&link, ret, err);
}

/* With a broker the store is a cache of what the cluster log says, beside a store of our own. */
static int open_broker(struct gt_worker *worker, struct gantry_err *err)
{
    const struct gt_settings *settings = worker->settings;
    struct gt_rocketmq_settings topics = {
        .queues = (uint32_t)settings->topic_queues,
        .create_topics = settings->create_topics,
        .create_groups = settings->create_groups,
        .cluster = settings->cluster,
        .producer_group = settings->producer_group,
        .consumer_group = settings->consumer_group,
    };
    char *folder = NULL, *data_client = NULL;
    if (gt_java_store_present(settings->store))
        gt_warn("worker",
                "the Java worker's connectors and positions are not taken over, which happens only "
                "without namesrvAddr: leave that key out, or create the connectors here; folder=%s",
                settings->store);
    if (asprintf(&folder, "%s/cluster", settings->store) < 0)
        folder = NULL;
    if (asprintf(&data_client, "%s#topics", worker->member) < 0)
        data_client = NULL;
    int code = 0;
    if (folder == NULL || data_client == NULL)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    if (code == 0)
        code = gt_store_open_cache(folder, &worker->store, err);
    if (code == 0) /* the client that the brokers show as the member */
        code = gt_worker_open_link(settings, worker->member, &worker->cluster_link, err);
    if (code == 0)
        code = gt_worker_open_link(settings, data_client, &worker->link, err);
    free(folder);
    free(data_client);
    if (code == 0)
        code = gt_topics_open_rocketmq(worker->store, worker->link, &topics, &worker->topics, err);
    return code == 0 ? gt_shared_open(worker, err) : code;
}

static int open_data(struct gt_worker *worker, const struct gantry_plugin *const *plugins,
                     struct gantry_err *err)
{
    const struct gt_settings *settings = worker->settings;
    int code = gt_registry_open_plugins(plugins, &settings->given, &worker->registry, err);
    if (code == 0)
        code =
            settings->name_servers != NULL ? open_broker(worker, err) : open_embedded(worker, err);
    return code == 0 ? gt_store_start(worker->store, err) : code;
}

static int open_executors(struct gt_worker *worker, struct gantry_err *err)
{
    size_t count = worker->settings->executors > 0 ? (size_t)worker->settings->executors
                                                   : (size_t)uv_available_parallelism();
    worker->executors = calloc(count, sizeof(*worker->executors));
    worker->executor_loads = calloc(count, sizeof *worker->executor_loads);
    if (worker->executors == NULL || worker->executor_loads == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu executors", count);
    int code = 0;
    while (worker->executor_count < count && code == 0) {
        char name[16];
        snprintf(name, sizeof name, "gt-exec-%zu", worker->executor_count % 1000);
        code =
            gt_executor_open(name, &worker->watch, &worker->executors[worker->executor_count], err);
        worker->executor_count += code == 0;
    }
    return code;
}

static void on_signal(uv_signal_t *handle, int number);

static int open_loop(struct gt_worker *worker, struct gantry_err *err)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    int rc = uv_loop_init(&worker->loop);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the control loop: %s",
                              uv_strerror(rc));
    rc = gt_mailbox_init(&worker->mailbox, &worker->loop);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the control loop: %s",
                              uv_strerror(rc));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&worker->loop, &worker->signals[i]);
        worker->signals[i].data = worker;
        rc = uv_signal_start(&worker->signals[i], on_signal, numbers[i]);
        if (rc != 0)
            return gantry_err_set(err, GANTRY_IO, "cannot wait for signals: %s", uv_strerror(rc));
    }
    uv_timer_init(&worker->loop, &worker->shutdown_timer);
    worker->shutdown_timer.data = worker;
    worker->loop_open = true;
    return 0;
}

static int open_hosts(struct gt_worker *worker, struct gantry_err *err)
{
    struct gt_hosts_settings settings = worker->settings->hosts;
    settings.worker = worker->name;
    settings.given = &worker->settings->given;
    gt_worker_open_wishes(worker);
    gt_registry_set_reconfigure(worker->registry, gt_worker_wish, worker);
    return gt_hosts_open(&settings, gt_worker_wish, worker, &worker->hosts, err);
}

struct booting {
    struct gt_worker *worker;
    struct gantry_err *err;
};

static int boot_connector(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct booting *booting = arg;
    struct gt_props props;
    struct gantry_err reason = {0};
    gt_props_init(&props);
    char *name = strndup(key.data, key.len);
    int code = name == NULL ? GANTRY_NO_MEMORY : gt_json_parse_props(&props, value, &reason);
    if (code == 0) {
        const char *updated = gt_props_get(&props, "update-timestamp");
        int64_t updated_ms = updated != NULL ? strtoll(updated, NULL, 10) : gt_clock_wall_ms();
        (void)gt_props_remove(&props, "update-timestamp");
        gt_operation_start(booting->worker, name, &props, updated_ms);
    } else {
        gantry_err_set(booting->err, code,
                       "the stored configuration of connector %.*s cannot be read: %s",
                       GT_VIEW_ARGS(key), reason.text);
    }
    gt_props_deinit(&props);
    free(name);
    return code;
}

int gt_worker_open(const struct gt_settings *settings, struct gt_worker **ret,
                   struct gantry_err *err)
{
    return gt_worker_open_plugins(settings, gt_builtin_plugins(), ret, err);
}

int gt_worker_open_plugins(const struct gt_settings *settings,
                           const struct gantry_plugin *const *plugins, struct gt_worker **ret,
                           struct gantry_err *err)
{
    struct gt_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    worker->settings = settings;
    gt_map_init(&worker->slots);
    pthread_mutex_init(&worker->wishes_lock, NULL);
    /* libuv has four helper threads: a few names that nobody answers for would hold up the rest. */
    (void)setenv("UV_THREADPOOL_SIZE", "16", 0);
    (void)signal(SIGPIPE,
                 SIG_IGN); /* a closed socket is an error of one write, not of the worker */
    raise_file_limit();
    int code = open_loop(worker, err);
    if (code == 0)
        code = gt_worker_open_watch(worker, err);
    if (code == 0)
        code = name_worker(worker, err);
    if (code == 0)
        code = open_data(worker, plugins, err);
    if (code == 0)
        code = open_hosts(worker, err);
    if (code == 0)
        code = gt_worker_open_files(worker, err);
    if (code == 0)
        code = open_executors(worker, err);
    worker->task_env = (struct gt_task_env){
        .store = worker->store,
        .topics = worker->topics,
        .runtime = worker->registry != NULL ? gt_registry_runtime(worker->registry) : NULL,
        .control = &worker->mailbox,
        .jobs = worker->jobs,
        .lease_until_ms = worker->cluster != NULL ? &worker->lease_until_ms : NULL,
        .commit_bytes = settings->commit_bytes,
        .sink_commit_ms = settings->sink_commit_ms,
        .sink_commit_bytes = settings->sink_commit_bytes,
    };
    struct booting booting = {worker, err};
    if (code == 0 && worker->cluster == NULL) /* in a cluster its log says what runs here */
        code = gt_store_scan(worker->store, GT_TABLE_CONNECTORS, (struct gantry_view){NULL, 0},
                             boot_connector, &booting, err);
    if (code != 0) {
        gt_worker_close(worker);
        return code;
    }
    *ret = worker;
    return 0;
}

void gt_worker_attach(struct gt_worker *worker, void (*stop)(void *arg), void *arg)
{
    worker->stop_listener = stop;
    worker->listener = arg;
}

void gt_worker_end_on_hangup(struct gt_worker *worker)
{
    worker->hangup_ends = true;
}

void gt_worker_when_ready(struct gt_worker *worker, void (*ready)(void *arg), void *arg)
{
    worker->ready = ready;
    worker->ready_arg = arg;
}

void gt_worker_ready(struct gt_worker *worker)
{
    void (*ready)(void *) = worker->ready;
    worker->ready = NULL;
    if (ready != NULL)
        ready(worker->ready_arg);
}

/* --- The end --- */

static void on_connector_closed(void *arg)
{
    struct slot *slot = arg;
    slot->connector = NULL;
}

/* Connectors without an operation under way; the others are closed when theirs ends. */
static void close_connectors(struct gt_worker *worker)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        struct slot *slot = value;
        if (slot->head == NULL && slot->connector != NULL && !slot->closing) {
            slot->closing = true;
            gt_connector_close(slot->connector, on_connector_closed, slot);
        }
    }
}

void gt_worker_look_for_end(struct gt_worker *worker)
{
    if (!worker->closing || worker->ended)
        return;
    /* In a cluster the tasks are stopped, and given to others, by leaving it. */
    if (worker->cluster == NULL || worker->cluster_left)
        close_connectors(worker);
    if (worker->operations > 0 || worker->tasks > 0 || !worker->listener_stopped)
        return;
    if (worker->cluster != NULL && worker->cluster_left)
        gt_shared_close(worker);
    if (worker->cluster_open)
        return;
    worker->ended = true;
    gt_worker_close_wishes(worker);
    /* They stay caught until the very end: a second SIGTERM must not cut an orderly end short. */
    for (size_t i = 0; i < 3; i++)
        uv_unref((uv_handle_t *)&worker->signals[i]);
    uv_close((uv_handle_t *)&worker->shutdown_timer, NULL);
    uv_close((uv_handle_t *)&worker->watch_timer, NULL);
    gt_mailbox_close(&worker->mailbox, NULL);
}

static void stop_listener(struct gt_worker *worker)
{
    if (worker->stop_listener != NULL)
        worker->stop_listener(worker->listener);
    worker->stop_listener = NULL;
}

/* Thread: libuv's helper threads. */
static void run_listener_stop(uv_work_t *work)
{
    stop_listener(work->data);
}

static void after_listener_stop(uv_work_t *work, int status)
{
    struct gt_worker *worker = work->data;
    (void)status;
    worker->listener_stopped = true;
    gt_worker_look_for_end(worker);
}

static void on_shutdown_timeout(uv_timer_t *timer)
{
    struct gt_worker *worker = timer->data;
    worker->timed_out = true;
    uv_stop(&worker->loop);
}

static void begin_end(struct gt_worker *worker)
{
    worker->closing = true;
    worker->closing_ns = gt_clock_mono_ns();
    uv_timer_start(&worker->shutdown_timer, on_shutdown_timeout,
                   (uint64_t)worker->settings->shutdown_ms, 0);
    gt_worker_watch_end(worker);
    worker->listener_stop.data = worker;
    uv_queue_work(&worker->loop, &worker->listener_stop, run_listener_stop, after_listener_stop);
    if (worker->hosts != NULL) /* before our own time is up */
        gt_hosts_stop(worker->hosts, worker->settings->shutdown_ms * 7 / 10);
    gt_operations_close(worker);
    if (worker->cluster != NULL)
        gt_shared_leave(worker);
    gt_worker_look_for_end(worker);
}

void gt_worker_fail(struct gt_worker *worker, const struct gantry_err *err)
{
    if (worker->failure.code == 0)
        worker->failure = *err;
    if (!worker->closing)
        begin_end(worker);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct gt_worker *worker = handle->data;
    if (worker->closing)
        return;
    if (number == SIGHUP && !worker->hangup_ends) {
        gt_info("worker", "looking for plugins again signal=SIGHUP");
        gt_worker_reload(worker, NULL);
        return;
    }
    gt_info("worker", "stopping signal=%s",
            number == SIGTERM  ? "SIGTERM"
            : number == SIGINT ? "SIGINT"
                               : "SIGHUP");
    begin_end(worker);
}

int gt_worker_run(struct gt_worker *worker, struct gantry_err *err)
{
    gt_info("worker", "store=%s executors=%zu connectors=%zu", gt_store_folder(worker->store),
            worker->executor_count, worker->slots.count);
    gt_info("worker", "The worker [%s] boot success.", worker->name);
    if (worker->cluster == NULL)
        gt_worker_ready(worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    if (worker->timed_out)
        return gantry_err_set(err, GANTRY_TIMEOUT,
                              "%zu tasks had not stopped after %lld ms (shutdown.timeout.ms); what "
                              "is committed is safe",
                              worker->tasks, (long long)worker->settings->shutdown_ms);
    gt_info("worker", "stopped");
    if (worker->failure.code != 0)
        return gantry_err_set(err, worker->failure.code, "%s", worker->failure.text);
    return 0;
}

static void close_signals(struct gt_worker *worker)
{
    for (size_t i = 0; i < 3; i++) {
        int number = worker->signals[i].signum;
        uv_close((uv_handle_t *)&worker->signals[i], NULL);
        (void)signal(number, SIG_IGN);
    }
    uv_run(&worker->loop, UV_RUN_DEFAULT);
}

static void free_slots(struct gt_worker *worker)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&worker->slots, &cursor, &key, &value)) {
        struct slot *slot = value;
        free(slot->broken);
        free(slot->name);
        free(slot);
    }
    gt_map_deinit(&worker->slots);
}

/* Of shutdown.timeout.ms, for plugins that do not close. */
static int64_t time_to_close(const struct gt_worker *worker)
{
    enum { LEAST_MS = 100, MOST_MS = 10000 };
    int64_t gone_ms = (gt_clock_mono_ns() - worker->closing_ns) / 1000000;
    int64_t left_ms = worker->settings->shutdown_ms - gone_ms;
    return left_ms < LEAST_MS ? LEAST_MS : left_ms > MOST_MS ? MOST_MS : left_ms;
}

void gt_worker_close(struct gt_worker *worker)
{
    if (worker == NULL || worker->timed_out)
        return; /* threads may still be at work: the process's end is theirs */
    if (worker->loop_open && !worker->ended) { /* opening failed, or it was never run */
        begin_end(worker);
        uv_run(&worker->loop, UV_RUN_DEFAULT);
        if (worker->timed_out)
            return;
    }
    stop_listener(worker);
    if (worker->left != NULL ||
        worker->unnoted > 0) { /* plugins are still at work: the process's end is theirs, too */
        gt_store_stop(worker->store);
        return;
    }
    for (size_t i = 0; i < worker->executor_count; i++)
        gt_executor_close(worker->executors[i]);
    (void)gt_jobs_close(worker->jobs);
    if (worker->store != NULL)
        gt_store_stop(worker->store);
    gt_topics_close(worker->topics);
    gt_link_close(worker->link);
    gt_link_close(worker->cluster_link);
    gt_registry_close_within(worker->registry, time_to_close(worker));
    gt_hosts_close(worker->hosts);
    gt_store_close(worker->store);
    if (worker->loop_open) {
        close_signals(worker);
        uv_loop_close(&worker->loop);
    }
    pthread_mutex_destroy(&worker->wishes_lock);
    free_slots(worker);
    free(worker->executors);
    free(worker->executor_loads);
    free(worker->name);
    free(worker->member);
    free(worker);
}
