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

/* What kernels have learnt since; headers may be older. */
enum { VERSION_REFER = 2, VERSION_TRUNCATE = 3, VERSION_SIGNAL = 6 };
#define ACCESS_REFER    (1ULL << 13)
#define ACCESS_TRUNCATE (1ULL << 14)
#define SCOPE_SIGNAL    (1ULL << 1)

/* struct landlock_ruleset_attr of version 6: an older kernel takes it when the rest is 0. */
struct ruleset {
    uint64_t files, net, scope;
};

#define READS                                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITES                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define ON_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     ACCESS_TRUNCATE)

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
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

static int allow_all(int rules, uint64_t all, int argc, char **argv, const char *program,
                     struct gantry_err *err)
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
            code = allow(rules, argv[i] + 6, all, err);
    }
    return code;
}

int gt_sandbox_files(int argc, char **argv, const char *program, struct gantry_err *err)
{
    long version = landlock_version();
    if (version <= 0)
        return gantry_err_set(
            err, GANTRY_UNSUPPORTED,
            "this kernel has no Landlock; host.landlock=false runs hosts without it");
    struct ruleset ruleset = {.files = READS | WRITES};
    if (version >= VERSION_REFER)
        ruleset.files |= ACCESS_REFER; /* else nothing is moved from folder to folder */
    if (version >= VERSION_TRUNCATE)
        ruleset.files |= ACCESS_TRUNCATE; /* else truncate() cuts any file */
    if (version >= VERSION_SIGNAL)
        ruleset.scope = SCOPE_SIGNAL; /* else it may end the worker */
    int rules = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0u);
    if (rules < 0)
        return gantry_err_set(err, GANTRY_IO, "cannot make a Landlock ruleset: %s",
                              strerrordesc_np(errno));
    int code = allow_all(rules, ruleset.files, argc, argv, program, err);
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
    SYS_process_madvise,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_mount,
    SYS_umount2,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
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
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
#endif
};
/* What a 32-bit pointer ABI calls by other numbers on x86_64; nobody else has numbers so large. */
enum { OTHER_NUMBERS = 0x40000000 };

int gt_sandbox_calls(struct gantry_err *err)
{
    enum { DENIED = sizeof denied / sizeof denied[0], HEAD = 5 };
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
    filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_NUMBERS,
                                                   (uint8_t)(DENIED + 1), 0);
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
