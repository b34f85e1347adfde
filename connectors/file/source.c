/* SPDX-License-Identifier: Apache-2.0 */
/* The file source: the configuration's names and patterns, divided among the tasks, and the poll
 * over the files that have something. A task looks only at files whose event has come or whose
 * timer is due, so idle ones cost nothing. */
#include "follow.h"

#include "division.h"
#include "generations.h"
#include "io.h"
#include "roots.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One pattern of the list. */
struct pattern {
    char *text, *folder, *name; /* owned; text: as configured */
    struct file_claim *claim;
    struct file_watch_entry *entry; /* NULL: no events */
    bool scanned;
    bool late;       /* new names are read from their beginning */
    bool linked;     /* the folder's path goes through a link: scanned by timer, too */
    bool mark_first; /* say in the store that it began */
    int64_t due_ms;
};

struct source_task {
    struct file_plugin *plugin;
    struct gantry_task_context *ctx;
    struct file_follow_options options;
    struct file_division division;
    char *dead_topic; /* owned */
    struct pattern *patterns;
    size_t pattern_count;
    struct file_follow **follows; /* owned */
    uint64_t *hashes;             /* owned; of their paths */
    size_t follow_count, follow_cap;
    size_t next;      /* the follow to begin with */
    int64_t timer_ms; /* what wake_after was told; FILE_NEVER: nothing */
};

/* A well-formed UTF-8 text: positions are JSON. */
static bool is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p != '\0') {
        int more = *p < 0x80                 ? 0
                   : *p >= 0xc2 && *p < 0xe0 ? 1
                   : (*p & 0xf0) == 0xe0     ? 2
                   : *p >= 0xf0 && *p < 0xf5 ? 3
                                             : -1;
        if (more < 0 || (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
            (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
            return false;
        p++;
        for (; more > 0; more--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

/* --- validation --- */

static int check_file(const char *path, struct gantry_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return 0; /* it is waited for */
    if (fd < 0)
        return file_io_error(err, "read", path);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = file_io_error(err, "look at", path);
    else if (S_ISDIR(st.st_mode))
        rc = gantry_err_set(err, GANTRY_INVALID,
                            "filename: %s is a folder; give a file, or a pattern such as %s/*.log",
                            path, path);
    else if (!S_ISREG(st.st_mode))
        rc = gantry_err_set(
            err, GANTRY_INVALID,
            "filename: %s is a device, pipe or socket; only regular files are followed", path);
    (void)close(fd);
    return rc;
}

/* FOLDER/PATTERN with the folder resolved; to be freed by the caller. */
static int resolve_pattern(const char *folder, const char *name, char **ret, struct gantry_err *err)
{
    char *real = NULL;
    int rc = file_path_resolve(folder, &real, err);
    if (rc != 0)
        return rc;
    size_t room = strlen(real) + strlen(name) + 2;
    *ret = malloc(room);
    if (*ret != NULL)
        (void)snprintf(*ret, room, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    free(real);
    return *ret != NULL ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", name);
}

static int check_name(struct file_plugin *plugin, const char *connector, const char *path,
                      struct gantry_err *err)
{
    char *folder = NULL, *name = NULL, *real = NULL;
    int rc = 0;
    if (!is_utf8(path))
        return gantry_err_set(err, GANTRY_INVALID, "filename: '%s' is not UTF-8", path);
    struct stat st;
    if (!file_name_is_pattern(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return check_file(path, err);
    rc = file_path_split(path, &folder, &name, err);
    if (rc == 0 && file_name_is_pattern(folder))
        rc = gantry_err_set(
            err, GANTRY_INVALID,
            "filename: '%s' has a pattern in its folder; only the last part may have "
            "*, ? or [",
            path);
    if (rc == 0)
        rc = file_name_is_pattern(name) ? resolve_pattern(folder, name, &real, err)
                                        : file_path_resolve(path, &real, err);
    if (rc == 0)
        rc = file_roots_check(plugin->runtime, path, real, err);
    if (rc == 0 && !file_name_is_pattern(name))
        rc = check_file(path, err);
    if (rc == 0)
        rc = file_claims_check(plugin->claims,
                               file_name_is_pattern(name) ? FILE_CLAIM_PATTERN : FILE_CLAIM_READ,
                               connector, real, false, err);
    free(folder);
    free(name);
    free(real);
    return rc;
}

static void source_validate(void *arg, const char *connector, const struct gantry_config *config,
                            struct gantry_findings *findings)
{
    struct file_plugin *plugin = arg;
    struct gantry_err err = {0};
    struct file_division division;
    if (file_division_read(&division, config, &err) != 0)
        findings->add(findings, "filename", err.text);
    else if (division.count == 0)
        findings->add(findings, "filename", "filename: is empty; give the file to read");
    for (size_t i = 0; i < division.count; i++) {
        if (check_name(plugin, connector, division.names[i].text, &err) != 0)
            findings->add(findings, "filename", err.text);
    }
    file_division_deinit(&division);
    const char *policy = gantry_config_get(config, "line.too.long");
    if (policy != NULL && strcmp(policy, "skip") == 0 &&
        gantry_config_get(config, "dlq.topic") == NULL &&
        gantry_config_get(config, "topic") == NULL)
        findings->add(
            findings, "dlq.topic",
            "dlq.topic: needed by line.too.long=skip where topic is not given; name the topic "
            "for lines that are too long");
}

static int source_split(void *arg, const struct gantry_config *config, uint32_t max_tasks,
                        struct gantry_task_list *list, struct gantry_err *err)
{
    (void)arg;
    struct file_division division;
    int rc = file_division_read(&division, config, err);
    uint32_t count = rc == 0 ? file_division_tasks(&division, max_tasks) : 0;
    file_division_deinit(&division);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = list->begin(list);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the tasks");
    return 0;
}

/* --- life of a task ------------------------------------------------------------------------ */

static void pattern_deinit(struct source_task *task, struct pattern *pattern)
{
    file_watch_remove(task->plugin->watch, pattern->entry);
    file_claims_release(task->plugin->claims, pattern->claim);
    free(pattern->text);
    free(pattern->folder);
    free(pattern->name);
}

static void source_stop(void *arg)
{
    struct source_task *task = arg;
    for (size_t i = 0; i < task->follow_count; i++)
        file_follow_free(task->follows[i]);
    for (size_t i = 0; i < task->pattern_count; i++)
        pattern_deinit(task, &task->patterns[i]);
    file_ledger_leave(task->options.ledger);
    free(task->follows);
    free(task->hashes);
    free(task->patterns);
    free(task->dead_topic);
    file_division_deinit(&task->division);
    free(task);
}

static uint64_t hash_path(const char *path)
{
    uint64_t hash[2];
    file_hash(path, strlen(path), hash);
    return hash[0];
}

static int add_follow(struct source_task *task, const struct file_follow_start *start,
                      struct gantry_err *err)
{
    if (task->follow_count == task->follow_cap) {
        size_t cap = task->follow_cap > 0 ? 2 * task->follow_cap : 1;
        struct file_follow **follows = realloc(task->follows, cap * sizeof(struct file_follow *));
        if (follows == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", start->path);
        task->follows = follows;
        uint64_t *hashes = realloc(task->hashes, cap * sizeof *hashes);
        if (hashes == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to read %s", start->path);
        task->hashes = hashes;
        task->follow_cap = cap;
    }
    struct file_follow *follow;
    int rc = file_follow_new(task->plugin, task->ctx, &task->options, start, &follow, err);
    if (rc == 0) {
        task->hashes[task->follow_count] = hash_path(start->path);
        task->follows[task->follow_count++] = follow;
    }
    return rc;
}

/* Whether the store has a position of this name. */
static int has_position(struct source_task *task, const char *name, bool *ret,
                        struct gantry_err *err)
{
    char *partition = malloc(6 * strlen(name) + 20);
    if (partition == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", name);
    struct gantry_view key = {partition, file_partition_format(name, partition)};
    struct gantry_view stored = {NULL, 0};
    int rc = task->ctx->position(task->ctx, key, &stored, err);
    *ret = rc == 0 && stored.len > 0;
    free(partition);
    return rc;
}

static int add_pattern(struct source_task *task, const char *text, struct gantry_err *err)
{
    struct pattern *patterns =
        realloc(task->patterns, (task->pattern_count + 1) * sizeof *patterns);
    if (patterns == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", text);
    task->patterns = patterns;
    struct pattern *pattern = &patterns[task->pattern_count];
    *pattern = (struct pattern){.text = strdup(text)};
    task->pattern_count++; /* from here on source_stop() lets go of it */
    if (pattern->text == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", text);
    char *real = NULL;
    int rc = file_path_split(text, &pattern->folder, &pattern->name, err);
    if (rc == 0)
        rc = resolve_pattern(pattern->folder, pattern->name, &real, err);
    if (rc == 0)
        rc = file_roots_check(task->plugin->runtime, text, real, err);
    if (rc == 0)
        rc = file_claims_take(task->plugin->claims, FILE_CLAIM_PATTERN, task->ctx->connector, real,
                              &pattern->claim, err);
    free(real);
    /* It was scanned in an earlier life: what is new now is new indeed. */
    if (rc == 0 && task->options.from_end)
        rc = has_position(task, text, &pattern->late, err);
    pattern->mark_first = task->options.from_end && !pattern->late;
    return rc;
}

static int read_options(struct source_task *task, struct gantry_err *err)
{
    const struct gantry_config *config = task->ctx->config;
    struct file_follow_options *o = &task->options;
    o->lines.max = gantry_config_get_int(config, "max.line.bytes", 1 << 20);
    o->line_timeout_ms = gantry_config_get_int(config, "line.timeout.ms", 0);
    o->poll_ms = gantry_config_get_int(config, "file.poll.ms", 1000);
    o->rotate_wait_ms = gantry_config_get_int(config, "file.rotate.wait.ms", 5000);
    const char *start = gantry_config_get(config, "file.start");
    o->from_end = start != NULL && strcmp(start, "end") == 0;
    const char *policy = gantry_config_get(config, "line.too.long");
    o->lines.too_long = policy != NULL && strcmp(policy, "skip") == 0  ? FILE_LONG_SKIP
                        : policy != NULL && strcmp(policy, "cut") == 0 ? FILE_LONG_CUT
                                                                       : FILE_LONG_FAIL;
    const char *dead = gantry_config_get(config, "dlq.topic");
    const char *topic = gantry_config_get(config, "topic");
    if (dead != NULL || topic != NULL) {
        size_t room = strlen(dead != NULL ? dead : topic) + sizeof "-dlq";
        task->dead_topic = malloc(room);
        if (task->dead_topic == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the task");
        (void)snprintf(task->dead_topic, room, "%s%s", dead != NULL ? dead : topic,
                       dead != NULL ? "" : "-dlq");
    }
    o->lines.dead_topic = task->dead_topic;
    if (o->lines.too_long == FILE_LONG_SKIP && o->lines.dead_topic == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "dlq.topic: needed by line.too.long=skip");
    return 0;
}

static int source_start(void *plugin, struct gantry_task_context *ctx, void **ret,
                        struct gantry_err *err)
{
    struct source_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the task");
    task->plugin = plugin;
    task->ctx = ctx;
    task->timer_ms = FILE_NEVER;
    int rc = read_options(task, err);
    if (rc == 0)
        rc = file_division_read(&task->division, ctx->config, err);
    const struct file_division *division = &task->division;
    /* One name alone needs no ledger: what it is renamed to is read as its past only. */
    if (rc == 0 && (division->patterns || division->count > 1))
        rc = file_ledger_join(task->plugin->ledgers, ctx, &task->options.ledger, err);
    for (size_t i = 0; i < division->count && rc == 0; i++) {
        const struct file_name *name = &division->names[i];
        struct file_follow_start start = {.path = name->text};
        if (name->pattern)
            rc = add_pattern(task, name->text, err);
        else if (file_division_task(division, name, ctx->task_count) == ctx->task)
            rc = add_follow(task, &start, err);
    }
    if (rc != 0) {
        source_stop(task);
        return rc;
    }
    *ret = task;
    return 0;
}

/* --- patterns ------------------------------------------------------------------------------ */

struct found {
    char **names; /* owned, and each; sorted */
    size_t count, cap;
    uint64_t *inodes; /* owned; of the whole folder; sorted */
    size_t inode_count, inode_cap;
};

static void found_deinit(struct found *found)
{
    for (size_t i = 0; i < found->count; i++)
        free(found->names[i]);
    free(found->names);
    free(found->inodes);
}

static int found_add(struct found *found, const char *name)
{
    if (found->count == found->cap) {
        size_t cap = found->cap > 0 ? 2 * found->cap : 16;
        char **names = realloc(found->names, cap * sizeof(char *));
        if (names == NULL)
            return GANTRY_NO_MEMORY;
        found->names = names;
        found->cap = cap;
    }
    found->names[found->count] = strdup(name);
    if (found->names[found->count] == NULL)
        return GANTRY_NO_MEMORY;
    found->count++;
    return 0;
}

static int found_add_inode(struct found *found, uint64_t inode)
{
    if (found->inode_count == found->inode_cap) {
        size_t cap = found->inode_cap > 0 ? 2 * found->inode_cap : 16;
        uint64_t *inodes = realloc(found->inodes, cap * sizeof *inodes);
        if (inodes == NULL)
            return GANTRY_NO_MEMORY;
        found->inodes = inodes;
        found->inode_cap = cap;
    }
    found->inodes[found->inode_count++] = inode;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_inode(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int list_folder(const struct pattern *pattern, struct found *found, struct gantry_err *err)
{
    DIR *dir = opendir(pattern->folder);
    if (dir == NULL)
        return errno == ENOENT ? 0 : file_io_error(err, "list", pattern->folder);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_type == DT_DIR)
            continue;
        rc = found_add_inode(found, entry->d_ino);
        if (rc == 0 && fnmatch(pattern->name, entry->d_name, FNM_PERIOD) == 0)
            rc = found_add(found, entry->d_name);
    }
    (void)closedir(dir); /* only read */
    if (rc != 0)
        return gantry_err_set(err, rc, "no memory for the files of %s", pattern->text);
    if (found->count > 1)
        qsort(found->names, found->count, sizeof(char *), by_name);
    if (found->inode_count > 1)
        qsort(found->inodes, found->inode_count, sizeof *found->inodes, by_inode);
    return 0;
}

static bool followed(const struct source_task *task, const char *path)
{
    uint64_t hash = hash_path(path);
    for (size_t i = 0; i < task->follow_count; i++) {
        if (task->hashes[i] == hash && strcmp(file_follow_path(task->follows[i]), path) == 0)
            return true;
    }
    return false;
}

/* The path of a file of the pattern as the user would write it; to be freed by the caller. */
static char *path_of(const struct pattern *pattern, const char *name)
{
    bool bare = strchr(pattern->text, '/') == NULL; /* keeps names as a shell would give them */
    size_t room = strlen(pattern->folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (path != NULL)
        (void)snprintf(path, room, "%s%s%s", bare ? "" : pattern->folder,
                       bare || strcmp(pattern->folder, "/") == 0 ? "" : "/", name);
    return path;
}

static int follow_found(struct source_task *task, const struct pattern *pattern, const char *path,
                        struct gantry_err *err)
{
    struct file_follow_start start = {.path = path,
                                      .pattern = pattern->name,
                                      .found = true,
                                      .late = pattern->late || pattern->scanned};
    return add_follow(task, &start, err);
}

/* What was followed in an earlier life. */
struct earlier {
    const struct source_task *task;
    const struct pattern *pattern;
    const struct found *found; /* what is there now */
    struct found paths;
    int rc;
};

/* A name whose file is there, under whatever name, is followed again: first of all, so that it is
 * known which files are an old one under a new name. */
static void add_earlier(void *arg, struct gantry_view partition, struct gantry_view position)
{
    struct earlier *earlier = arg;
    const struct pattern *pattern = earlier->pattern;
    char *path = earlier->rc == 0 ? file_partition_parse(partition) : NULL;
    if (path == NULL)
        return;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *own = NULL;
    if (fnmatch(pattern->name, name, FNM_PERIOD) == 0 &&
        file_division_found(name, earlier->task->ctx->task_count) == earlier->task->ctx->task)
        own = path_of(pattern, name);
    if (own != NULL && strcmp(own, path) == 0) {
        const struct found *found = earlier->found;
        struct file_position at;
        bool there = bsearch(&name, found->names, found->count, sizeof(char *), by_name) != NULL ||
                     (file_position_parse(position, &at, NULL) == 0 && at.known &&
                      bsearch(&at.id.inode, found->inodes, found->inode_count,
                              sizeof *found->inodes, by_inode) != NULL);
        if (there)
            earlier->rc = found_add(&earlier->paths, path);
    }
    free(own);
    free(path);
}

static int follow_earlier(struct source_task *task, const struct pattern *pattern,
                          const struct found *found, struct gantry_err *err)
{
    struct earlier earlier = {.task = task, .pattern = pattern, .found = found};
    int rc = task->ctx->positions(task->ctx, add_earlier, &earlier, err);
    if (rc == 0 && earlier.rc != 0)
        rc = gantry_err_set(err, earlier.rc, "no memory for the files of %s", pattern->text);
    for (size_t i = 0; i < earlier.paths.count && rc == 0; i++) {
        const char *path = earlier.paths.names[i];
        if (!followed(task, path) && !file_division_has(&task->division, path))
            rc = follow_found(task, pattern, path, err);
    }
    found_deinit(&earlier.paths);
    return rc;
}

/* Follow a file unless somebody does, under whatever name. */
static int consider(struct source_task *task, const struct pattern *pattern, const char *name,
                    struct gantry_err *err)
{
    if (file_division_found(name, task->ctx->task_count) != task->ctx->task)
        return 0;
    char *path = path_of(pattern, name);
    if (path == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", name);
    struct file_stat st;
    int64_t next;
    int rc = 0;
    bool usable = !followed(task, path) && !file_division_has(&task->division, path) &&
                  file_stat_get(-1, path, &st) == 0 && S_ISREG(st.mode) &&
                  file_ledger_look(task->options.ledger, task->ctx, NULL, &st, &next) != FILE_TAKEN;
    if (usable && !is_utf8(path)) {
        task->ctx->log(task->ctx, GANTRY_LOG_WARN,
                       "a file is passed over, for its name is not UTF-8; rename it");
        usable = false;
    }
    if (usable)
        rc = follow_found(task, pattern, path, err);
    free(path);
    return rc;
}

/* Whether the name is a followed one with a number behind it: its past, also while the followed
 * name is missing, between the renames of a rotation. */
static bool is_past_of_followed(const struct source_task *task, const struct pattern *pattern,
                                const char *name)
{
    bool past = false;
    char *base = strdup(name);
    for (size_t n = strlen(name); base != NULL && n > 1 && !past; n--) {
        base[n - 1] = '\0';
        if (!file_generation_numbered(name, base))
            continue;
        char *path = path_of(pattern, base);
        past = path != NULL && followed(task, path);
        free(path);
    }
    free(base);
    return past;
}

/* Follow what matches and is new. Of app.log, app.log.1, app.log.2 only the first is followed; the
 * others are its generations. */
static int scan(struct source_task *task, struct pattern *pattern, struct gantry_err *err)
{
    struct found found = {0};
    int rc = list_folder(pattern, &found, err);
    if (rc == 0 && !pattern->scanned)
        rc = follow_earlier(task, pattern, &found, err);
    const char *base = NULL;
    for (size_t i = 0; i < found.count && rc == 0; i++) {
        /* Sorted: whatever begins with a name stands right behind it. */
        const char *name = found.names[i];
        if (base != NULL && strncmp(name, base, strlen(base)) != 0)
            base = NULL;
        if (base != NULL && file_generation_numbered(name, base))
            continue;
        if (base == NULL)
            base = name;
        if (!is_past_of_followed(task, pattern, name))
            rc = consider(task, pattern, name, err);
    }
    found_deinit(&found);
    if (rc == 0)
        pattern->scanned = true;
    return rc;
}

static int scan_due(struct source_task *task, struct file_fill *fill, struct gantry_err *err)
{
    for (size_t i = 0; i < task->pattern_count; i++) {
        struct pattern *pattern = &task->patterns[i];
        struct gantry_err ignored;
        if (pattern->entry != NULL &&
            atomic_load_explicit(&pattern->entry->lost, memory_order_acquire)) {
            file_watch_remove(task->plugin->watch, pattern->entry);
            pattern->entry = NULL;
        }
        bool due = !pattern->scanned || pattern->due_ms <= fill->now_ms;
        if (pattern->entry == NULL && file_watch_sees(pattern->folder) &&
            file_watch_add(task->plugin->watch, pattern->folder, pattern->name, true, task->ctx,
                           &pattern->entry, &ignored) == 0) {
            pattern->linked = file_path_has_link(pattern->folder);
            due = true;
        }
        if (pattern->entry != NULL &&
            atomic_exchange_explicit(&pattern->entry->dirty, false, memory_order_acq_rel))
            due = true;
        if (!due)
            continue;
        pattern->due_ms = pattern->entry != NULL && !pattern->linked
                              ? FILE_NEVER
                              : fill->now_ms + task->options.poll_ms;
        int rc = scan(task, pattern, err);
        if (rc != 0) {
            pattern->due_ms = 0;
            return rc;
        }
        if (pattern->mark_first) {
            char *partition = fill->batch->alloc(fill->batch, 6 * strlen(pattern->text) + 20);
            if (partition == NULL)
                return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", pattern->text);
            struct gantry_view key = {partition, file_partition_format(pattern->text, partition)};
            if (gantry_batch_mark(fill->batch, key, gantry_view_of("{\"nextPosition\":0}")) != 0)
                return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %s", pattern->text);
            pattern->mark_first = false;
        }
    }
    return 0;
}

/* --- poll ---------------------------------------------------------------------------------- */

static void set_timer(struct source_task *task, bool again, int64_t now_ms)
{
    int64_t due = FILE_NEVER;
    for (size_t i = 0; i < task->follow_count; i++) {
        int64_t at = file_follow_due_at(task->follows[i]);
        due = at < due ? at : due;
    }
    for (size_t i = 0; i < task->pattern_count; i++)
        due = task->patterns[i].due_ms < due ? task->patterns[i].due_ms : due;
    if (due == FILE_NEVER ? task->timer_ms == FILE_NEVER : due <= now_ms && again)
        return; /* none is set, or it is polled again anyway */
    /* Told anew each time: a timer may fire a little early, and would be gone then. */
    task->timer_ms = due;
    task->ctx->wake_after(task->ctx, due == FILE_NEVER ? -1 : due > now_ms ? due - now_ms : 0);
}

/* Files come and go in a pattern's folder. The records of the last poll, which point into a follow,
 * are not needed any more. A name that is made anew is an event of the pattern. */
static void drop_deleted(struct source_task *task)
{
    for (size_t i = 0; i < task->follow_count;) {
        if (!file_follow_over(task->follows[i])) {
            i++;
            continue;
        }
        file_follow_free(task->follows[i]);
        task->follow_count--;
        task->follows[i] = task->follows[task->follow_count];
        task->hashes[i] = task->hashes[task->follow_count];
    }
}

static void look_again(struct source_task *task)
{
    for (size_t i = 0; i < task->pattern_count; i++)
        task->patterns[i].due_ms = 0;
}

static int source_poll(void *arg, struct gantry_batch *batch, struct gantry_err *err)
{
    struct source_task *task = arg;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    struct file_fill fill = {batch, batch->max_bytes, now.tv_sec * 1000 + now.tv_nsec / 1000000};
    drop_deleted(task);
    int rc = scan_due(task, &fill, err);
    size_t count = task->follow_count;
    size_t first = task->next;
    bool begun = false;
    for (size_t i = 0; i < count && rc == 0 && fill.left > 0; i++) {
        size_t k = (first + i) % count;
        struct file_follow *follow = task->follows[k];
        if (!file_follow_due(follow, fill.now_ms))
            continue;
        if (!begun) /* each comes first in its turn, with the whole batch to itself */
            task->next = k + 1;
        begun = true;
        rc = file_follow_fill(follow, &fill, err);
        if (file_follow_take_left(follow))
            look_again(task); /* late lines of that file are for whoever has its name now */
        if (rc != 0)
            task->next = k;
    }
    int64_t lag = 0;
    for (size_t i = 0; i < count; i++)
        lag += file_follow_lag(task->follows[i]);
    task->ctx->report_lag(task->ctx, lag);
    if (rc != 0 && batch->count > 0)
        rc = 0; /* delivered first; the failing follow is where the next poll begins */
    if (rc == 0)
        set_timer(task, batch->count > 0, fill.now_ms);
    return rc;
}

/* --- tables -------------------------------------------------------------------------------- */

static const struct gantry_config_def defs[] = {
    {.name = "filename",
     .type = GANTRY_CONFIG_LIST,
     .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
     .doc =
         "The file to follow; several, or patterns with *, ? and [ in the last part, separated by "
         "commas. A file may not exist yet."},
    {.name = "file.start",
     .type = GANTRY_CONFIG_ENUM,
     .default_value = "beginning",
     .choices = "beginning,end",
     .doc =
         "Where to begin in a file that is there at the very first start. Files that appear later "
         "are read from their beginning."},
    {.name = "max.line.bytes",
     .type = GANTRY_CONFIG_SIZE,
     .default_value = "1m",
     .min = 1,
     .max = 64 << 20,
     .doc = "The longest line, without its newline."},
    {.name = "line.too.long",
     .type = GANTRY_CONFIG_ENUM,
     .default_value = "fail",
     .choices = "fail,skip,cut",
     .doc = "What to do with a longer line: stop with an error; send it to dlq.topic, in pieces, "
            "and go "
            "on; or keep its first max.line.bytes bytes."},
    {.name = "dlq.topic",
     .type = GANTRY_CONFIG_STRING,
     .flags = GANTRY_CONFIG_NOT_EMPTY,
     .doc = "Where line.too.long=skip sends lines. Default: the connector's topic with -dlq behind "
            "it."},
    {.name = "line.timeout.ms",
     .type = GANTRY_CONFIG_DURATION,
     .default_value = "0",
     .min = 0,
     .max = 86400000,
     .doc = "After this time an incomplete last line is given as far as it goes, with the header "
            "gantry.line=part; its rest follows when it comes. 0: it is kept until complete."},
    {.name = "file.poll.ms",
     .type = GANTRY_CONFIG_DURATION,
     .default_value = "1000",
     .min = 10,
     .max = 3600000,
     .doc = "How often to look at a file where the system tells no changes (network file systems, "
            "folders that do not exist yet)."},
    {.name = "file.rotate.wait.ms",
     .type = GANTRY_CONFIG_DURATION,
     .default_value = "5000",
     .min = 0,
     .max = 86400000,
     .doc = "How long a rotated file must stand still before its successor is read, where it may "
            "still be open for writing somewhere."},
};

static const char *const class_names[] = {"org.apache.rocketmq.connect.file.FileSourceConnector",
                                          NULL};

const struct gantry_connector file_source_connector = {
    .struct_size = sizeof(struct gantry_connector),
    .kind = GANTRY_SOURCE,
    .class_names = class_names,
    .task_class = "org.apache.rocketmq.connect.file.FileSourceTask",
    .version = FILE_PLUGIN_VERSION,
    .doc = "Follows text files and sends each line as a record.",
    .defs = defs,
    .def_count = sizeof defs / sizeof defs[0],
    .validate = source_validate,
    .split = source_split,
    .task_start = source_start,
    .poll = source_poll,
    .task_stop = source_stop,
};
