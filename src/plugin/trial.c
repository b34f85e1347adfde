/* SPDX-License-Identifier: Apache-2.0 */
/* The trial is over when its process has ended. How is not enough: a library may end it with any
 * status. So what counts is what the process has said: that it is fine, or why not. */
#include "plugin/trial.h"

#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 10000 };

struct trial {
    pid_t child;
    int said; /* what it says comes here */
    char text[2048];
    size_t len;
};

/* With nothing of the worker: no signal is blocked or ignored, no descriptor is left. */
static int spawn(const char *program, const char *path, int said, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    char name[] = "gantry", plugin[] = "plugin", check[] = "check";
    char *const words[] = {name, plugin, check, (char *)(uintptr_t)path, NULL};
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&files);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        posix_spawn_file_actions_destroy(&files);
        return rc;
    }
    rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0);
    for (int fd = 1; fd <= 2 && rc == 0; fd++)
        rc = posix_spawn_file_actions_adddup2(&files, said, fd);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawn(ret, program, &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static int start(struct trial *trial, const char *program, const char *path)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    int rc = spawn(program, path, ends[1], &trial->child);
    close(ends[1]);
    trial->said = ends[0];
    if (rc != 0)
        close(ends[0]);
    return rc;
}

/* Take what it has said; what is more than there is room for is dropped. False: there is no more.
 */
static bool take(struct trial *trial)
{
    char rest[512];
    for (;;) {
        size_t room = sizeof trial->text - 1 - trial->len;
        ssize_t got = room > 0 ? read(trial->said, trial->text + trial->len, room)
                               : read(trial->said, rest, sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0;
        trial->len += room > 0 ? (size_t)got : 0;
    }
}

/* Until it has ended. What it leaves behind may hold the pipe, so the process is watched, too. */
static bool wait_for_end(struct trial *trial)
{
    int64_t deadline_ms = gt_clock_mono_ns() / 1000000 + LIMIT_MS;
    struct pollfd fds[2] = {{.fd = trial->said, .events = POLLIN},
                            {.fd = (int)syscall(SYS_pidfd_open, trial->child, 0),
                             .events = POLLIN}}; /* an old kernel: the pipe alone */
    bool ended = false;
    for (int64_t left_ms = LIMIT_MS; !ended && left_ms > 0;
         left_ms = deadline_ms - gt_clock_mono_ns() / 1000000) {
        (void)poll(fds, 2, (int)left_ms);
        ended = fds[1].revents != 0;
        if (fds[0].revents != 0 && !take(trial)) {
            ended |= fds[1].fd < 0;
            fds[0].fd = -1;
        }
    }
    (void)take(trial);
    if (fds[1].fd >= 0)
        close(fds[1].fd);
    return ended;
}

/* What it said, as an error. @p path stands before the reason, and means nothing to anybody. */
static int judge(struct trial *trial, int status, const char *path, struct gantry_err *err)
{
    char *line = trial->text + trial->len;
    while (line > trial->text && line[-1] == '\n')
        *--line = '\0';
    char *last = strrchr(trial->text, '\n');
    last = last != NULL ? last + 1 : trial->text;
    const char *reason = strstr(last, path);
    if (WIFSIGNALED(status))
        return gantry_err_set(err, GANTRY_INVALID,
                              "it crashes when it is opened (signal %d, %s, in a process that "
                              "tried it)",
                              WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 0 && strncmp(last, GT_TRIAL_FINE, strlen(GT_TRIAL_FINE)) == 0)
        return 0;
    if (WEXITSTATUS(status) == 1 && reason != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "%.450s", reason + strlen(path) + strlen(": "));
    return gantry_err_set(err, GANTRY_INVALID,
                          "it ends the process that opens it (exit status %d, in a process that "
                          "tried it)%s%.300s",
                          WEXITSTATUS(status), *last != '\0' ? ": " : "", last);
}

int gt_trial(const char *program, const char *path, struct gantry_err *err)
{
    struct trial trial = {.len = 0};
    int status = 0;
    int rc = start(&trial, program, path);
    if (rc != 0) {
        gt_warn("plugin", "a library is opened untried, for no process can be started: %s",
                strerrordesc_np(rc));
        return 0;
    }
    bool ended = wait_for_end(&trial);
    if (!ended)
        (void)kill(trial.child, SIGKILL);
    while (waitpid(trial.child, &status, 0) < 0 && errno == EINTR) {
    }
    close(trial.said);
    if (ended)
        return judge(&trial, status, path, err);
    return gantry_err_set(err, GANTRY_TIMEOUT,
                          "it does not come to an end when it is opened (%d s, in a process that "
                          "tried it)",
                          LIMIT_MS / 1000);
}
