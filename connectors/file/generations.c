/* SPDX-License-Identifier: Apache-2.0 */
/* Which file comes next, when a followed name points to another file than it did. The rule stands
 * in the header: it can be wrong only where a file system tells neither birth nor distinct
 * modification times and the names follow no convention; then a file may be read twice or in
 * another order, and none is left out. */
#include "generations.h"

#include "io.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ATTEMPTS = 200, /* at a folder that is being renamed in; a rotation takes a few */
    FIND_PASSES = 4,
};

struct item {
    char *name; /* owned */
    struct file_stat st;
    int64_t number; /* in the name; -1: none */
    int digits;     /* of it; 0 in front counts */
    bool leading_zero;
};

struct listing {
    const char *folder;
    struct item *items;
    size_t count, cap;
    bool falling; /* numbers grow with age */
};

static char *path_of(const char *folder, const char *name)
{
    size_t a = strlen(folder);
    size_t b = strlen(name) + 1;
    char *path = malloc(a + 1 + b);
    if (path == NULL)
        return NULL;
    memcpy(path, folder, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b);
    return path;
}

static int no_memory(struct gantry_err *err, const char *folder)
{
    return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the files of %s", folder);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t a = strlen(name);
    size_t b = strlen(suffix);
    return a > b && strcmp(name + a - b, suffix) == 0;
}

static bool compressed(const char *name)
{
    static const char *const suffixes[] = {".gz", ".bz2", ".xz", ".zst", ".lz4",
                                           ".Z",  ".zip", ".7z", ".tmp"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (has_suffix(name, suffixes[i]))
            return true;
    }
    return false;
}

/* Not a letter or digit; what is not ASCII counts as letters. */
static bool is_separator(char c)
{
    return (unsigned char)c < 0x80 && !isalnum((unsigned char)c);
}

/* The part of @p name that is not of @p base, or NULL when it is no generation of it. */
static const char *generation_part(const char *name, const char *base)
{
    size_t n = strlen(base);
    if (strncmp(name, base, n) == 0 && name[n] != '\0')
        return is_separator(name[n]) ? name + n : NULL;
    const char *dot = strrchr(base, '.');
    if (dot == NULL || dot == base)
        return NULL;
    size_t stem = (size_t)(dot - base);
    if (strncmp(name, base, stem) != 0 || strlen(name) <= n || !has_suffix(name, dot) ||
        !is_separator(name[stem]))
        return NULL;
    return strpbrk(name + stem, "0123456789") != NULL ? name + stem : NULL;
}

bool file_generation_of(const char *name, const char *base)
{
    return generation_part(name, base) != NULL;
}

bool file_generation_numbered(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] != '\0' && strchr(".-_", name[n]) != NULL &&
           isdigit((unsigned char)name[n + 1]);
}

size_t file_generation_family(const char *name)
{
    if (name[0] == '\0')
        return 0;
    bool word = !is_separator(name[0]) && !isdigit((unsigned char)name[0]);
    size_t n = 1;
    while (name[n] != '\0' && !is_separator(name[n]) && !(word && isdigit((unsigned char)name[n])))
        n++;
    return n;
}

static void read_number(struct item *item, const char *part)
{
    item->number = -1;
    part += strcspn(part, "0123456789");
    if (*part == '\0')
        return;
    item->leading_zero = *part == '0' && isdigit((unsigned char)part[1]);
    item->number = 0;
    /* All digits of the name count, so that 2026-01-02 is a date. */
    for (; *part != '\0' && item->digits < 18; part++) {
        if (isdigit((unsigned char)*part)) {
            item->number = item->number * 10 + (*part - '0');
            item->digits++;
        }
    }
}

static int by_time(const struct file_stat *a, const struct file_stat *b)
{
    if (a->born_ns != 0 && b->born_ns != 0 && a->born_ns != b->born_ns)
        return a->born_ns < b->born_ns ? -1 : 1;
    if (a->modified_ns != b->modified_ns)
        return a->modified_ns < b->modified_ns ? -1 : 1;
    return 0;
}

static int by_number(const struct item *a, const struct item *b, bool falling)
{
    if (a->number < 0 || b->number < 0 || a->number == b->number)
        return 0;
    int order = a->number < b->number ? -1 : 1;
    return falling ? -order : order;
}

static int compare(const struct listing *list, const struct item *a, const struct item *b)
{
    int order = by_time(&a->st, &b->st);
    return order != 0 ? order : by_number(a, b, list->falling);
}

/* Which way the numbers go: what the times of most neighbours say, else what the names look like.
 */
static void learn_direction(struct listing *list)
{
    int evidence = 0;
    bool looks_falling = true;
    for (size_t i = 0; i < list->count; i++) {
        const struct item *a = &list->items[i];
        if (a->number < 0)
            continue;
        looks_falling = looks_falling && a->digits <= 3 && !a->leading_zero;
        for (size_t k = i + 1; k < list->count && k <= i + 8; k++) {
            const struct item *b = &list->items[k];
            evidence += by_time(&a->st, &b->st) * by_number(a, b, false);
        }
    }
    list->falling = evidence != 0 ? evidence < 0 : looks_falling;
}

static void listing_deinit(struct listing *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
}

static int listing_add(struct listing *list, const char *name, const char *base)
{
    const char *part = strcmp(name, base) == 0 ? "" : generation_part(name, base);
    if (part == NULL || compressed(name))
        return 0;
    char *path = path_of(list->folder, name);
    if (path == NULL)
        return GANTRY_NO_MEMORY;
    struct item item = {0};
    struct stat link;
    /* Another link to a file is no generation of its own; only the followed name may be one. */
    bool usable = (*part == '\0' || (lstat(path, &link) == 0 && S_ISREG(link.st_mode))) &&
                  file_stat_get(-1, path, &item.st) == 0 && S_ISREG(item.st.mode);
    free(path);
    if (!usable)
        return 0;
    read_number(&item, part);
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? 2 * list->cap : 8;
        struct item *items = realloc(list->items, cap * sizeof *items);
        if (items == NULL)
            return GANTRY_NO_MEMORY;
        list->items = items;
        list->cap = cap;
    }
    item.name = strdup(name);
    if (item.name == NULL)
        return GANTRY_NO_MEMORY;
    list->items[list->count++] = item;
    return 0;
}

static int listing_read(struct listing *list, const char *base, struct gantry_err *err)
{
    DIR *dir = opendir(list->folder);
    if (dir == NULL)
        return errno == ENOENT ? 0 : file_io_error(err, "list", list->folder);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL)
        rc = listing_add(list, entry->d_name, base);
    (void)closedir(dir); /* only read */
    if (rc != 0)
        return no_memory(err, list->folder);
    learn_direction(list);
    return 0;
}

static bool same_beginning(const char *a, const char *b, int64_t size)
{
    bool same = false;
    char buf[2][16384];
    int fa = open(a, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int fb = open(b, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fa >= 0 && fb >= 0) {
        int64_t at = 0;
        while (at < size) {
            size_t n = size - at < (int64_t)sizeof buf[0] ? (size_t)(size - at) : sizeof buf[0];
            if (file_io_read(fa, buf[0], n, at, "source.read") != (ssize_t)n ||
                file_io_read(fb, buf[1], n, at, "source.read") != (ssize_t)n ||
                memcmp(buf[0], buf[1], n) != 0)
                break;
            at += (int64_t)n;
        }
        same = at >= size;
    }
    if (fa >= 0)
        (void)close(fa);
    if (fb >= 0)
        (void)close(fb);
    return same;
}

/* Whether an older file begins with all of this one's bytes. */
static bool is_copy(const struct listing *list, const struct item *item)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct item *other = &list->items[i];
        if (other == item || other->st.size < item->st.size || compare(list, other, item) >= 0)
            continue;
        char *a = path_of(list->folder, item->name);
        char *b = path_of(list->folder, other->name);
        bool copy = a != NULL && b != NULL && same_beginning(a, b, item->st.size);
        free(a);
        free(b);
        if (copy)
            return true;
    }
    return false;
}

static int open_at(const char *folder, const char *name, struct file_generation *ret,
                   struct gantry_err *err)
{
    ret->path = path_of(folder, name);
    if (ret->path == NULL)
        return no_memory(err, folder);
    ret->fd = open(ret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (ret->fd >= 0)
        return 0;
    int rc = errno == ENOENT ? 0 : file_io_error(err, "open", ret->path);
    file_generation_deinit(ret);
    return rc;
}

void file_generation_deinit(struct file_generation *generation)
{
    if (generation->fd >= 0)
        (void)close(generation->fd);
    free(generation->path);
    generation->fd = -1;
    generation->path = NULL;
}

/* One pass over the folder. */
static int find(const char *folder, const struct file_identity *id, struct file_generation *ret,
                struct gantry_err *err)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT ? 0 : file_io_error(err, "list", folder);
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && ret->fd < 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_ino != id->inode || (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN))
            continue;
        rc = open_at(folder, entry->d_name, ret, err);
        struct file_stat st;
        if (ret->fd >= 0 && (file_stat_get(ret->fd, NULL, &st) != 0 || !S_ISREG(st.mode) ||
                             file_identity_is(ret->fd, &st, id) != 1))
            file_generation_deinit(ret);
    }
    (void)closedir(dir); /* only read */
    return rc;
}

/* A rename during a pass can hide the file from it; a rotation renames each file once. */
int file_generation_find(const char *folder, const struct file_identity *id,
                         struct file_generation *ret, struct gantry_err *err)
{
    int rc = 0;
    ret->fd = -1;
    ret->path = NULL;
    for (int pass = 0; pass < FIND_PASSES && rc == 0 && ret->fd < 0; pass++)
        rc = find(folder, id, ret, err);
    return rc;
}

static const struct item *choose(const struct listing *list, const char *name,
                                 const struct file_identity *after, int64_t modified_ns,
                                 const char *pattern)
{
    struct item limit = {.number = -1};
    limit.st.born_ns = after->born_ns;
    limit.st.modified_ns = modified_ns;
    const struct item *current = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct item *item = &list->items[i];
        if (strcmp(item->name, name) == 0)
            current = item;
        if (file_identity_fits(after, &item->st))
            limit = *item; /* its times of now, and its number */
    }
    const struct item *best = NULL;
    for (size_t i = 0; i < list->count; i++) {
        const struct item *item = &list->items[i];
        if (item == current || item->st.size == 0 || file_identity_fits(after, &item->st))
            continue;
        int order = compare(list, item, &limit);
        if (order < 0 || (order == 0 && limit.name != NULL))
            continue;
        if (current != NULL && item->st.born_ns > current->st.born_ns && current->st.born_ns != 0)
            continue;
        if (pattern != NULL && (!file_generation_numbered(item->name, name) ||
                                fnmatch(pattern, item->name, FNM_PERIOD) != 0))
            continue;
        if ((best == NULL || compare(list, item, best) < 0) && !is_copy(list, item))
            best = item;
    }
    if (best == NULL && current != NULL && !file_identity_fits(after, &current->st))
        best = current;
    return best;
}

static bool listing_same(const struct listing *a, const struct listing *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
            a->items[i].st.inode != b->items[i].st.inode ||
            a->items[i].st.device != b->items[i].st.device)
            return false;
    }
    return true;
}

/* Open what @p item was when it was listed. *ret_is: it still has that name. */
static int open_item(const char *folder, const struct item *item, struct file_generation *ret,
                     bool *ret_is, struct gantry_err *err)
{
    struct stat st;
    int rc = open_at(folder, item->name, ret, err);
    *ret_is = rc == 0 && ret->fd >= 0 && fstat(ret->fd, &st) == 0 && st.st_ino == item->st.inode;
    return rc;
}

/* A folder that is renamed in while it is listed shows some files twice and others not at all, and
 * a name may be another file by the time that it is opened. So what was found counts only when the
 * folder is the same before and after. */
int file_generation_next(const char *folder, const char *name, const struct file_identity *after,
                         int64_t modified_ns, const char *pattern, struct file_generation *ret,
                         struct gantry_err *err)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct listing list = {.folder = folder}, again = {.folder = folder};
        bool settled = true;
        ret->fd = -1;
        ret->path = NULL;
        int rc = listing_read(&list, name, err);
        const struct item *item = rc == 0 ? choose(&list, name, after, modified_ns, pattern) : NULL;
        if (item != NULL)
            rc = open_item(folder, item, ret, &settled, err);
        if (rc == 0 && settled) {
            rc = listing_read(&again, name, err);
            settled = listing_same(&list, &again);
        }
        listing_deinit(&list);
        listing_deinit(&again);
        if (rc == 0 && settled)
            return 0;
        file_generation_deinit(ret);
        if (rc != 0)
            return rc;
    }
    return gantry_err_set(err, GANTRY_BUSY,
                          "the files of %s/%s are renamed faster than they can be listed", folder,
                          name);
}

int file_has_writer(int fd)
{
    /* The kernel gives a read lease only when nobody has the file open for writing. It would tell
     * us by a signal when somebody opens it in that instant: SIGURG, which does nothing by default
     * (SIGIO, the usual one, kills). */
    if (fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return 0;
    }
    return errno == EAGAIN ? 1 : -1;
}
