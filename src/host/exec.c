/* SPDX-License-Identifier: Apache-2.0 */
/* `gantry host-exec OPTION=VALUE ... -- COMMAND ...`: become a host. The step between the worker
 * and the host's program: one thread, nothing open that matters, so that every call is allowed. */
#include "host/process.h"

#include "base/view.h"
#include "host/sandbox.h"
#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_CANNOT = 126, FIRST_OTHER = 3, OOM_SCORE = 500 };

struct options {
    int64_t parent, files;
    bool landlock, seccomp;
    const char *folder;
    char *as;
};

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("cannot start: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return EXIT_CANNOT;
}

static void close_others(void)
{
    if (syscall(SYS_close_range, (unsigned)FIRST_OTHER, ~0u, 0) == 0)
        return;
    long most = sysconf(_SC_OPEN_MAX); /* a kernel before 5.9 */
    for (int fd = FIRST_OTHER; fd < most; fd++)
        (void)close(fd);
}

/* When memory runs out, a host goes before the worker. */
static void offer_to_oom_killer(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "we");
    if (file == NULL)
        return;
    (void)fprintf(file, "%d", OOM_SCORE);
    (void)fclose(file); /* where it is not allowed, nothing is lost */
}

static void limit(int what, int64_t value)
{
    struct rlimit limit;
    if (getrlimit(what, &limit) != 0 || value < 0)
        return;
    if (limit.rlim_max > (rlim_t)value)
        limit.rlim_max = (rlim_t)value;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(what, &limit); /* lower than before is always allowed */
}

/* *ret_first is the first word of the command. */
static int read_options(int argc, char **argv, struct options *options, int *ret_first)
{
    int i = 0;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            return refuse("'%s' is no OPTION=VALUE", argv[i]);
        struct gantry_view name = {argv[i], (size_t)(value++ - argv[i])};
        int64_t number = -1;
        (void)gt_parse_int(gantry_view_of(value), 0, INT64_MAX, &number); /* -1: it is none */
        if (gantry_view_equal(name, gantry_view_of("parent")))
            options->parent = number;
        else if (gantry_view_equal(name, gantry_view_of("files")))
            options->files = number;
        else if (gantry_view_equal(name, gantry_view_of("folder")))
            options->folder = value;
        else if (gantry_view_equal(name, gantry_view_of("as")))
            options->as = value;
        else if (gantry_view_equal(name, gantry_view_of("landlock")))
            options->landlock = number == 1;
        else if (gantry_view_equal(name, gantry_view_of("seccomp")))
            options->seccomp = number == 1;
        else if (!gantry_view_equal(name, gantry_view_of("read")) &&
                 !gantry_view_equal(name, gantry_view_of("write")))
            return refuse("there is no option '%s'", argv[i]);
    }
    if (i + 1 >= argc)
        return refuse("no command; this is for the worker's own use");
    *ret_first = i + 1;
    return 0;
}

int gt_process_exec(int argc, char **argv)
{
    struct options options = {.parent = -1, .files = -1};
    int first = 0;
    int code = read_options(argc, argv, &options, &first);
    if (code != 0)
        return code;
    /* Dies with the worker. The worker may have gone before this call: then we are not its child
     * any more. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return refuse("prctl(PR_SET_PDEATHSIG): %s", strerrordesc_np(errno));
    if (options.parent > 0 && getppid() != (pid_t)options.parent)
        return refuse("the worker has gone");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refuse("prctl(PR_SET_NO_NEW_PRIVS): %s", strerrordesc_np(errno));
    close_others();
    offer_to_oom_killer();
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, options.files);
    if (options.folder != NULL && chdir(options.folder) != 0)
        return refuse("%s: %s", options.folder, strerrordesc_np(errno));
    struct gantry_err err = {0};
    if (options.landlock && gt_sandbox_files(argc, argv, argv[first], &err) != 0)
        return refuse("%s", err.text);
    if (options.seccomp && gt_sandbox_calls(&err) != 0)
        return refuse("%s", err.text);
    const char *program = argv[first];
    if (options.as != NULL)
        argv[first] = options.as;
    execvp(program, argv + first);
    return refuse("%s: %s", program, strerrordesc_np(errno));
}
