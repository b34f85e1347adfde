/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a host's process, the worker's side. The other side of the step is exec.c. */
#include "host/process.h"

#include "base/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BUFFER = 1 << 20 }; /* bytes that the line holds each way, if the system lets us */

extern char **environ;

void gt_hosts_settings_default(struct gt_hosts_settings *settings)
{
    *settings = (struct gt_hosts_settings){
        .worker = "",
        .share = "plugin",
        .env = "PATH,LANG,LC_*,TZ,JAVA_HOME,HOME",
        .beat_ms = 1000,
        .beat_timeout_ms = 30000,
        .start_timeout_ms = 30000,
        .call_timeout_ms = 60000,
        .idle_ms = 10000,
        .memory_max = (int64_t)2 << 30,
        .record_max = 64 << 20,
        .log_lines = 200,
        .files_max = 4096,
    };
}

/* --- Lists of words --- */

/* NULL-terminated, owned words. */
struct words {
    char **items;
    size_t count;
    bool failed;
};

static void add_word(struct words *words, char *word)
{
    char **grown = word != NULL && !words->failed
                       ? realloc(words->items, (words->count + 2) * sizeof *grown)
                       : NULL;
    if (grown == NULL) {
        free(word);
        words->failed = true;
        return;
    }
    words->items = grown;
    words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

static void free_words(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
}

static bool is_set(const struct words *words, const char *entry)
{
    size_t name = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < words->count; i++) {
        if (strncmp(words->items[i], entry, name) == 0)
            return true;
    }
    return false;
}

/* What one item of host.env means: NAME=VALUE as it stands; of the worker's environment, NAME or
 * PREFIX*. The first to name a variable counts. */
static void add_variables(struct words *env, struct gantry_view item)
{
    char *pattern = strndup(item.data, item.len);
    if (pattern == NULL) {
        env->failed = true;
        return;
    }
    if (strchr(pattern, '=') != NULL) {
        if (!is_set(env, pattern))
            add_word(env, strdup(pattern));
        free(pattern);
        return;
    }
    for (char **at = environ; at != NULL && *at != NULL; at++) {
        char name[256];
        size_t len = strcspn(*at, "=");
        if (len >= sizeof name || (*at)[len] == '\0')
            continue;
        memcpy(name, *at, len);
        name[len] = '\0';
        if (fnmatch(pattern, name, 0) == 0 && !is_set(env, *at))
            add_word(env, strdup(*at));
    }
    free(pattern);
}

typedef void each_item(struct words *words, struct gantry_view item);

static void split_list(const char *list, struct words *words, each_item *each)
{
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        struct gantry_view item = gt_view_trim((struct gantry_view){list, len});
        if (item.len > 0)
            each(words, item);
        list += len;
        list += *list == ',';
    }
}

static void add_option(struct words *words, const char *name, struct gantry_view value)
{
    char *word = NULL;
    if (asprintf(&word, "%s=%.*s", name, GT_VIEW_ARGS(value)) < 0)
        word = NULL;
    add_word(words, word);
}

static void add_read_path(struct words *words, struct gantry_view item)
{
    add_option(words, "read", item);
}

static void add_write_path(struct words *words, struct gantry_view item)
{
    add_option(words, "write", item);
}

static void add_number(struct words *words, const char *name, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)value); /* fits */
    add_option(words, name, gantry_view_of(text));
}

/* `gantry host-exec OPTION=VALUE ... -- ARGV...` */
static void make_command(const struct gt_hosts_settings *settings, const char *binary,
                         const char *const *argv, const char *folder, const char *const *files,
                         const char *name, struct words *words)
{
    add_word(words, strdup("gantry"));
    add_word(words, strdup("host-exec"));
    add_number(words, "parent", (int64_t)getpid());
    add_number(words, "files", settings->files_max);
    if (folder != NULL)
        add_option(words, "folder", gantry_view_of(folder));
    if (strcmp(argv[0], binary) == 0) /* a path that says nothing */
        add_option(words, "as", gantry_view_of("gantry"));
    if (settings->seccomp)
        add_option(words, "seccomp", gantry_view_of("1"));
    if (settings->landlock) {
        add_option(words, "landlock", gantry_view_of("1"));
        split_list(settings->read_paths, words, add_read_path);
        split_list(settings->write_paths, words, add_write_path);
        for (; files != NULL && *files != NULL; files++)
            add_read_path(words, gantry_view_of(*files));
    }
    add_word(words, strdup("--"));
    for (; *argv != NULL; argv++)
        add_word(words, strdup(*argv));
    if (name != NULL)
        add_word(words, strdup(name));
}

/* --- The start --- */

static int set_up(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int line,
                  int out, int errors)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(actions, line, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, out, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, errors, 2);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attributes, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attributes, &none);
    return rc == 0 ? posix_spawnattr_setsigdefault(attributes, &all) : rc;
}

static int spawn(const char *binary, const struct words *command, const struct words *env, int line,
                 int out, int errors, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *none[] = {NULL};
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = set_up(&actions, &attributes, line, out, errors);
        if (rc == 0)
            rc = posix_spawn(ret, binary, &actions, &attributes, command->items,
                             env->items != NULL ? env->items : none);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static void close_pair(int *pair)
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
}

int gt_process_start(const struct gt_hosts_settings *settings, const char *const *argv,
                     const char *folder, bool text_out, const char *const *files, const char *name,
                     struct gt_process *ret, struct gantry_err *err)
{
    const char *binary = settings->binary != NULL ? settings->binary : "/proc/self/exe";
    int line[2] = {-1, -1}, errors[2] = {-1, -1};
    struct words command = {0}, env = {0};
    int code = 0;
    make_command(settings, binary, argv, folder, files, name, &command);
    split_list(settings->env, &env, add_variables);
    if (command.failed || env.failed)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to start a host");
    if (code == 0 && (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0 ||
                      pipe2(errors, O_CLOEXEC) != 0))
        code = gantry_err_set(err, GANTRY_IO, "cannot make the line to a host: %s",
                              strerrordesc_np(errno));
    if (code == 0) {
        int size = LINE_BUFFER;
        for (int i = 0; i < 2; i++) /* as much as is allowed; less works too */
            (void)setsockopt(line[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        (void)fcntl(line[0], F_SETFL, O_NONBLOCK); /* cannot fail for a descriptor of ours */
        (void)fcntl(errors[0], F_SETFL, O_NONBLOCK);
        int out = text_out ? errors[1] : line[1];
        int rc = spawn(binary, &command, &env, line[1], out, errors[1], &ret->pid);
        if (rc != 0)
            code = gantry_err_set(err, GANTRY_IO, "cannot start a host (%s host-exec): %s", binary,
                                  strerrordesc_np(rc));
    }
    if (code == 0) {
        ret->line = line[0];
        ret->errors = errors[0];
        line[0] = errors[0] = -1;
    }
    close_pair(line);
    close_pair(errors);
    free_words(&command);
    free_words(&env);
    return code;
}

/* --- Looks --- */

int64_t gt_process_memory(pid_t pid)
{
    char path[64], text[4096];
    long long total = -1;
    (void)snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid); /* fits, as below */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len > 0) {
        text[len] = '\0';
        const char *at = strstr(text, "\nPss:");
        const char *swap = strstr(text, "\nSwapPss:");
        if (at != NULL)
            total = strtoll(at + 5, NULL, 10) * 1024;
        if (at != NULL && swap != NULL)
            total += strtoll(swap + 9, NULL, 10) * 1024;
    }
    if (total >= 0)
        return total;
    (void)snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *resident = strchr(text, ' ');
    return resident != NULL ? strtoll(resident, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

void gt_process_describe(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        const char *what = sigdescr_np(number);
        (void)snprintf(out, size, "was ended by signal %d (%s)", number,
                       what != NULL ? what : "unknown"); /* a cut text is still a text */
    } else {
        (void)snprintf(out, size, "exited with code %d", WEXITSTATUS(status));
    }
}
