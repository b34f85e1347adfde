/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock and seccomp. See sandbox.h. */
#include "host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Files --- */

#define READS                                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define ON_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool gt_sandbox_files_known(void)
{
    return landlock_version() > 0;
}

/* A path that is not there needs no rule. */
static int allow(int rules, const char *path, uint64_t access, struct gantry_err *err)
{
    struct stat info;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : gantry_err_set(err, GANTRY_IO, "cannot open %s for the sandbox: %s", path,
                                    strerrordesc_np(errno));
    if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode))
        access &= ON_FILES;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    long rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0u);
    int error = errno;
    close(fd);
    return rc == 0 ? 0
                   : gantry_err_set(err, GANTRY_IO, "cannot allow %s in the sandbox: %s", path,
                                    strerrordesc_np(error));
}

static int allow_all(int rules, int argc, char **argv, const char *program, struct gantry_err *err)
{
    static const char *const system[] = {"/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys"};
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                          "/dev/urandom"};
    int code = 0;
    for (size_t i = 0; i < sizeof system / sizeof system[0] && code == 0; i++)
        code = allow(rules, system[i], READS, err);
    for (size_t i = 0; i < sizeof devices / sizeof devices[0] && code == 0; i++)
        code = allow(rules, devices[i], READS | LANDLOCK_ACCESS_FS_WRITE_FILE, err);
    if (code == 0 && strchr(program, '/') != NULL)
        code = allow(rules, program, READS, err);
    for (int i = 0; i < argc && code == 0 && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "read=", 5) == 0)
            code = allow(rules, argv[i] + 5, READS, err);
        else if (strncmp(argv[i], "write=", 6) == 0)
            code = allow(rules, argv[i] + 6, READS | WRITES, err);
    }
    return code;
}

int gt_sandbox_files(int argc, char **argv, const char *program, struct gantry_err *err)
{
    if (!gt_sandbox_files_known())
        return gantry_err_set(
            err, GANTRY_UNSUPPORTED,
            "this kernel has no Landlock; host.landlock=false runs hosts without it");
    struct landlock_ruleset_attr attributes = {.handled_access_fs = READS | WRITES};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0u);
    if (rules < 0)
        return gantry_err_set(err, GANTRY_IO, "cannot make a Landlock ruleset: %s",
                              strerrordesc_np(errno));
    int code = allow_all(rules, argc, argv, program, err);
    if (code == 0 && syscall(SYS_landlock_restrict_self, rules, 0u) != 0)
        code =
            gantry_err_set(err, GANTRY_IO, "cannot enter the sandbox: %s", strerrordesc_np(errno));
    close(rules);
    return code;
}

/* --- Calls --- */

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef OWN_ARCHITECTURE
static const unsigned denied[] = {
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_acct,
    SYS_quotactl,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_open_by_handle_at,
};

int gt_sandbox_calls(struct gantry_err *err)
{
    enum { DENIED = sizeof denied / sizeof denied[0], HEAD = 4 };
    struct sock_filter filter[HEAD + DENIED + 2];
    size_t count = 0;
    filter[count++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    /* The numbers below mean something else on another architecture. */
    filter[count++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[count++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < DENIED; i++)
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i],
                                                       (uint8_t)(DENIED - i), 0);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {(unsigned short)count, filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        return gantry_err_set(err, errno == EINVAL ? GANTRY_UNSUPPORTED : GANTRY_IO,
                              "cannot limit the system calls: %s", strerrordesc_np(errno));
    return 0;
}
#else
int gt_sandbox_calls(struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_UNSUPPORTED,
                          "host.seccomp is not known on this architecture");
}
#endif
