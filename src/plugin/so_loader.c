/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen, with a look at the file's headers before it. */
#include "plugin/so_loader.h"

#include "base/file.h"
#include "base/jobs.h"
#include "plugin/trial.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYMBOL "gantry_plugin"

enum { SEGMENTS_MAX = 256 };

static int read_at(int fd, void *to, size_t len, off_t offset)
{
    return pread(fd, to, len, offset) == (ssize_t)len ? 0 : -1; /* a regular file: no short reads */
}

/* The machine that this program was built for; EM_NONE when it cannot be seen. */
static ElfW(Half) own_machine(void)
{
    ElfW(Ehdr) self = {.e_machine = EM_NONE};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read_at(fd, &self, sizeof self, 0) != 0)
        self.e_machine = EM_NONE;
    if (fd >= 0)
        close(fd);
    return self.e_machine;
}

static const char *wrong_header(const ElfW(Ehdr) * head)
{
    ElfW(Half) own = own_machine();
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no library (no ELF file)";
    if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head->e_ident[EI_DATA] !=
            (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB) ||
        (own != EM_NONE && head->e_machine != own))
        return "it is a library for another kind of machine; build it for this one";
    if (head->e_type != ET_DYN)
        return "it is an object or a program, no shared library (build with -shared)";
    if (head->e_phentsize != sizeof(ElfW(Phdr)) || head->e_phnum == 0 ||
        head->e_phnum > SEGMENTS_MAX)
        return "its header is damaged";
    return NULL;
}

static bool within(uint64_t offset, uint64_t len, uint64_t size)
{
    return offset <= size && len <= size - offset;
}

/* Why the file cannot be mapped, or NULL. */
static const char *look_at(int fd)
{
    struct stat st;
    ElfW(Ehdr) head;
    ElfW(Phdr) segments[SEGMENTS_MAX];
    if (fstat(fd, &st) != 0 || read_at(fd, &head, sizeof head, 0) != 0)
        return "it is no library (too short)";
    const char *wrong = wrong_header(&head);
    if (wrong != NULL)
        return wrong;
    uint64_t size = (uint64_t)st.st_size, dynamic = 0;
    if (read_at(fd, segments, head.e_phnum * sizeof segments[0], (off_t)head.e_phoff) != 0)
        return "it is cut off";
    for (size_t i = 0; i < head.e_phnum; i++) {
        if (!within(segments[i].p_offset, segments[i].p_filesz, size))
            return "it is cut off";
        if (segments[i].p_type == PT_DYNAMIC)
            dynamic = segments[i].p_filesz;
    }
    if (dynamic < sizeof(ElfW(Dyn)))
        return "it is no shared library (no dynamic section)";
    /* Sections are not mapped, but stand last: without their table the end is missing. */
    if (head.e_shnum > 0 && !within(head.e_shoff, (uint64_t)head.e_shnum * head.e_shentsize, size))
        return "it is cut off";
    return NULL;
}

static int check_file(const char *path, struct gantry_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gt_file_error(err, "open", path);
    const char *wrong = look_at(fd);
    close(fd);
    return wrong == NULL ? 0 : gantry_err_set(err, GANTRY_INVALID, "%s", wrong);
}

static void unload(struct gt_loaded *loaded)
{
    (void)dlclose(loaded->state); /* what could fail is an invalid handle */
}

/* What dlerror says without the copy's path in front, which means nothing to anybody. */
static const char *reason(const char *path)
{
    const char *text = dlerror();
    size_t len = strlen(path);
    if (text == NULL)
        return "no reason given";
    return strncmp(text, path, len) == 0 && text[len] == ':' ? text + len + 2 : text;
}

int gt_so_load(void *arg, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
               struct gantry_err *err)
{
    gantry_plugin_fn get;
    (void)kind;
    int code = check_file(path, err);
    if (code == 0 && arg != NULL) {
        gt_job_bounded(true);
        code = gt_trial(arg, path, err);
        gt_job_bounded(false);
    }
    if (code != 0)
        return code;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "it cannot be opened: %s", reason(path));
    *(void **)&get = dlsym(library, SYMBOL);
    const struct gantry_plugin *plugin = get != NULL ? get() : NULL;
    if (plugin == NULL) {
        code = gantry_err_set(err, GANTRY_INVALID,
                              get == NULL ? "it has no function " SYMBOL
                                            ", which every plugin exports; is it one of Gantry's?"
                                          : "its function " SYMBOL " gave nothing");
        (void)dlclose(library);
        return code;
    }
    *ret = (struct gt_loaded){.plugin = plugin, .state = library, .unload = unload};
    return 0;
}
