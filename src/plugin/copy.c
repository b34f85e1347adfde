/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of plugin files. The original is read twice: for its hash, and, when there is no copy of
 * that hash, for the copy. Where the two differ somebody is writing it, and nothing is loaded.
 *
 *      FILLING -> READY -> REMOVING -> freed
 *         +------------------^   it could not be filled
 *
 * The lock is never held while files are touched, so holding a copy never waits for a disk; who
 * wants one that is being filled or removed waits for the end of that. */
#include "plugin/copy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    PART_BYTES = 64 << 10,
    DEPTH_MAX = 16,    /* folders in folders; links may make a circle */
    PARTS_MAX = 20000, /* files of one plugin */
    MANIFEST_MAX = 64 << 10,
};
#define BYTES_MAX ((uint64_t)4 << 30) /* of one plugin */

struct gt_copies {
    char *folder; /* owned; absolute */
    bool temporary;
    pthread_mutex_t lock;   /* guards the list, and the references and states of copies */
    pthread_cond_t changed; /* a copy has become READY, or is gone */
    struct gt_copy *list;
};

/* The files of a plugin, by their paths relative to the plugin's own. */
struct parts {
    char **names; /* owned; "" for the plugin itself; absolute for those elsewhere */
    size_t count, cap;
};

/* What one reading of a plugin has seen. */
struct reading {
    XXH3_state_t *hash;
    uint64_t bytes;
    char *room; /* PART_BYTES */
};

/* --- The folder --- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    if (remove(path) != 0)
        gt_warn("plugin", "cannot remove a copy of a plugin path=%s: %m", path);
    return 0;
}

static void remove_tree(const char *path)
{
    if (access(path, F_OK) == 0)
        (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* The folder itself stays: on a full disk it could not be made again. */
static int remove_inner(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return ftw->level == 0 ? 0 : remove_entry(path, st, flag, ftw);
}

/* If not, errno says why. */
static bool is_folder(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    errno = ENOTDIR;
    return S_ISDIR(st.st_mode);
}

/* A new folder among the temporary files. */
static char *temporary_folder(struct gantry_err *err)
{
    const char *place = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/gantry-plugins-XXXXXX",
                 place != NULL && *place != '\0' ? place : "/tmp") < 0) {
        gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
        return NULL;
    }
    if (mkdtemp(folder) == NULL) {
        (void)gt_file_error(err, "make", folder);
        free(folder);
        return NULL;
    }
    return folder;
}

int gt_copies_open(const char *folder, struct gt_copies **ret, struct gantry_err *err)
{
    struct gt_copies *copies = calloc(1, sizeof *copies);
    if (copies == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    pthread_mutex_init(&copies->lock, NULL);
    pthread_cond_init(&copies->changed, NULL);
    copies->temporary = folder == NULL;
    int code = 0;
    if (folder == NULL) {
        copies->folder = temporary_folder(err);
        code = copies->folder == NULL ? GANTRY_IO : 0;
    } else {
        /* Nothing of it needs to outlive a crash: the next start begins with an empty one. */
        if (mkdir(folder, 0755) != 0 && errno != EEXIST)
            code = gt_file_error(err, "make", folder);
        else if (!is_folder(folder))
            code = gt_file_error(err, "use", folder);
        copies->folder = code == 0 ? realpath(folder, NULL) : NULL;
        if (code == 0 && copies->folder == NULL)
            code = gt_file_error(err, "find", folder);
        if (code == 0)
            (void)nftw(copies->folder, remove_inner, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
    if (code != 0) {
        gt_copies_close(copies);
        return code;
    }
    *ret = copies;
    return 0;
}

void gt_copies_close(struct gt_copies *copies)
{
    if (copies == NULL)
        return;
    assert(copies->list == NULL);
    if (copies->temporary && copies->folder != NULL)
        remove_tree(copies->folder);
    pthread_cond_destroy(&copies->changed);
    pthread_mutex_destroy(&copies->lock);
    free(copies->folder);
    free(copies);
}

/* --- Which files --- */

static void free_parts(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        free(parts->names[i]);
    free(parts->names);
}

static int add_part(struct parts *parts, const char *name, struct gantry_err *err)
{
    if (parts->count == PARTS_MAX)
        return gantry_err_set(err, GANTRY_TOO_LARGE, "it has more than %d files", PARTS_MAX);
    if (parts->count == parts->cap) {
        size_t cap = parts->cap > 0 ? parts->cap * 2 : 16;
        char **grown = realloc(parts->names, cap * sizeof *grown);
        if (grown == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
        parts->names = grown;
        parts->cap = cap;
    }
    parts->names[parts->count] = strdup(name);
    if (parts->names[parts->count] == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    parts->count++;
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    if (*name == '\0')
        return strdup(folder);
    if (*folder == '\0')
        return strdup(name);
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static int add_archives(struct parts *parts, const char *top, const char *inner, int depth,
                        struct gantry_err *err);

static int add_entry(struct parts *parts, const char *top, const char *inner, const char *entry,
                     int depth, struct gantry_err *err)
{
    struct stat st;
    char *name = join(inner, entry);
    char *path = name != NULL ? join(top, name) : NULL;
    int code = 0;
    if (path == NULL)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    else if (stat(path, &st) != 0)
        code = errno == ENOENT ? 0 : gt_file_error(err, "look at", path); /* a link to nowhere */
    else if (S_ISDIR(st.st_mode))
        code = add_archives(parts, top, name, depth + 1, err);
    else if (ends_with(entry, ".jar") || ends_with(entry, ".zip"))
        code = add_part(parts, name, err);
    free(path);
    free(name);
    return code;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* All archives below TOP/INNER. */
static int add_archives(struct parts *parts, const char *top, const char *inner, int depth,
                        struct gantry_err *err)
{
    struct dirent **entries = NULL;
    if (depth > DEPTH_MAX)
        return gantry_err_set(err, GANTRY_TOO_LARGE,
                              "its folders are more than %d deep; a link "
                              "that leads back into it?",
                              DEPTH_MAX);
    char *folder = join(top, inner);
    if (folder == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    int count = scandir(folder, &entries, is_visible, alphasort);
    int code = count < 0 ? gt_file_error(err, "look into", folder) : 0;
    for (int i = 0; i < count; i++) {
        if (code == 0)
            code = add_entry(parts, top, inner, entries[i]->d_name, depth, err);
        free(entries[i]);
    }
    free(entries);
    free(folder);
    return code;
}

/* The files that a manifest's command names, by their absolute paths. */
static int add_command(struct parts *parts, const char *path, struct gantry_err *err)
{
    struct gt_buf text;
    struct gt_props props;
    struct gantry_err why = {0};
    gt_buf_init(&text, MANIFEST_MAX);
    gt_props_init(&props);
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, slash != NULL ? (size_t)(slash - path) : 0);
    int code = gt_file_read(path, &text, err);
    if (code == 0 && gt_props_parse(&props, gt_buf_view(&text), &why) != 0)
        code = gantry_err_set(err, GANTRY_INVALID, "the manifest cannot be read: %s", why.text);
    const char *command = gt_props_get(&props, "command");
    if (code == 0 && (command == NULL || *command == '\0'))
        code = gantry_err_set(err, GANTRY_INVALID,
                              "the manifest has no key `command`: the program and its arguments");
    char *words = command != NULL ? strdup(command) : NULL, *rest = words;
    for (char *word; code == 0 && (word = strsep(&rest, " \t")) != NULL;) {
        struct stat st;
        char *file = *word == '/' ? strdup(word) : folder != NULL ? join(folder, word) : NULL;
        if (*word != '\0' && file != NULL && stat(file, &st) == 0 && S_ISREG(st.st_mode))
            code = add_part(parts, file, err);
        free(file);
    }
    free(words);
    free(folder);
    gt_props_deinit(&props);
    gt_buf_deinit(&text);
    return code;
}

static int find_parts(const char *path, enum gt_plugin_kind kind, struct parts *parts,
                      struct gantry_err *err)
{
    if (kind == GT_PLUGIN_JARS) {
        int code = add_archives(parts, path, "", 0, err);
        if (code == 0 && parts->count == 0)
            code = gantry_err_set(err, GANTRY_NOT_FOUND,
                                  "there is no archive (.jar, .zip, .class) in this folder; if it "
                                  "holds plugins of other kinds, name it in pluginPaths");
        return code;
    }
    /* An executable is where it is: its place is part of what it is. */
    int code = add_part(parts, kind == GT_PLUGIN_EXECUTABLE ? path : "", err);
    return code == 0 && kind == GT_PLUGIN_EXECUTABLE ? add_command(parts, path, err) : code;
}

/* --- Reading --- */

/* Read one file into the hash and, with to >= 0, into that one. */
static int read_into(struct reading *reading, int from, int to, const char *path, const char *copy,
                     struct gantry_err *err)
{
    int64_t offset = 0;
    for (;;) {
        ssize_t got = read(from, reading->room, PART_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return gt_file_error(err, "read", path);
        if (got == 0)
            break;
        XXH3_128bits_update(reading->hash, reading->room, (size_t)got);
        reading->bytes += (uint64_t)got;
        if (reading->bytes > BYTES_MAX)
            return gantry_err_set(err, GANTRY_TOO_LARGE, "it is larger than %llu bytes",
                                  (unsigned long long)BYTES_MAX);
        int code = to < 0 ? 0
                          : gt_file_write_at(to, reading->room, (size_t)got, offset, copy,
                                             "plugin.write", err);
        if (code != 0)
            return code;
        offset += got;
    }
    XXH3_128bits_update(reading->hash, &offset, sizeof offset);
    return 0;
}

static int make_folders(const char *top, const char *name, struct gantry_err *err)
{
    const char *slash = strrchr(name, '/');
    if (slash == NULL)
        return 0;
    char *folder = NULL;
    if (asprintf(&folder, "%s/%.*s", top, (int)(slash - name), name) < 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    int code = 0;
    for (char *at = folder + strlen(top) + 1; code == 0; at++) {
        char end = *at;
        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        if (mkdir(folder, 0755) != 0 && errno != EEXIST)
            code = gt_file_error(err, "make", folder);
        *at = end;
        if (end == '\0')
            break;
    }
    free(folder);
    return code;
}

static int read_part(struct reading *reading, const char *path, const char *copy,
                     struct gantry_err *err)
{
    struct stat st;
    int to = -1;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us up */
    if (from < 0)
        return gt_file_error(err, "open", path);
    int code = 0;
    if (fstat(from, &st) != 0)
        code = gt_file_error(err, "look at", path);
    else if (!S_ISREG(st.st_mode))
        code = gantry_err_set(err, GANTRY_INVALID, "%s is no regular file", path);
    if (code == 0 && copy != NULL) {
        to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600 | (st.st_mode & 0111));
        if (to < 0)
            code = gt_file_error(err, "make", copy);
    }
    if (code == 0)
        code = read_into(reading, from, to, path, copy, err);
    if (to >= 0 && close(to) != 0 && code == 0)
        code = gt_file_error(err, "write", copy);
    close(from);
    return code;
}

/* Read all parts, and copy them to @p copy unless that is NULL. */
static int read_parts(const struct parts *parts, enum gt_plugin_kind kind, const char *path,
                      const char *copy, char *ret_hash, struct gantry_err *err)
{
    struct reading reading = {.hash = XXH3_createState(), .room = malloc(PART_BYTES)};
    int code = 0;
    if (reading.hash == NULL || reading.room == NULL)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    else
        XXH3_128bits_reset(reading.hash);
    if (code == 0) /* a library that is called .jar is no library */
        XXH3_128bits_update(reading.hash, &kind, sizeof kind);
    for (size_t i = 0; i < parts->count && code == 0; i++) {
        const char *name = parts->names[i];
        char *from = *name == '/' ? strdup(name) : join(path, name);
        char *to = copy != NULL ? join(copy, name) : NULL;
        if (from == NULL || (copy != NULL && to == NULL))
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
        if (code == 0 && copy != NULL)
            code = make_folders(copy, name, err);
        XXH3_128bits_update(reading.hash, name, strlen(name) + 1);
        if (code == 0)
            code = read_part(&reading, from, to, err);
        free(from);
        free(to);
    }
    if (code == 0) {
        XXH128_hash_t hash = XXH3_128bits_digest(reading.hash);
        (void)snprintf(ret_hash, 33, "%016llx%016llx", (unsigned long long)hash.high64,
                       (unsigned long long)hash.low64); /* fits */
    }
    (void)XXH3_freeState(reading.hash);
    free(reading.room);
    return code;
}

/* --- Copies --- */

static void free_copy(struct gt_copy *copy)
{
    if (copy == NULL)
        return;
    free(copy->folder);
    free(copy->path);
    free(copy);
}

/* Take a copy that nobody holds out of the list, with its files, and free it. It is not READY. */
static void discard(struct gt_copy *copy)
{
    struct gt_copies *copies = copy->copies;
    if (copy->folder != NULL)
        remove_tree(copy->folder);
    pthread_mutex_lock(&copies->lock);
    struct gt_copy **at = &copies->list;
    while (*at != copy)
        at = &(*at)->next;
    *at = copy->next;
    free_copy(copy);
    pthread_cond_broadcast(&copies->changed);
    pthread_mutex_unlock(&copies->lock);
}

/* The copy of that hash, held; when there is none, @p fresh becomes it, to be filled by the caller.
 */
static struct gt_copy *find_or_enter(struct gt_copies *copies, struct gt_copy *fresh)
{
    pthread_mutex_lock(&copies->lock);
    struct gt_copy *copy = copies->list;
    while (copy != NULL) {
        if (strcmp(copy->hash, fresh->hash) != 0) {
            copy = copy->next;
        } else if (copy->state == GT_COPY_READY) {
            break;
        } else {
            pthread_cond_wait(&copies->changed, &copies->lock);
            copy = copies->list;
        }
    }
    if (copy == NULL) {
        copy = fresh;
        copy->copies = copies;
        copy->state = GT_COPY_FILLING;
        copy->next = copies->list;
        copies->list = copy;
    }
    copy->refs++;
    pthread_mutex_unlock(&copies->lock);
    return copy;
}

/* Copy the parts to FOLDER/HASH/NAME. */
static int fill(struct gt_copy *copy, const struct parts *parts, enum gt_plugin_kind kind,
                const char *path, const char *name, struct gantry_err *err)
{
    char hash[sizeof copy->hash] = "";
    copy->folder = join(copy->copies->folder, copy->hash);
    copy->path = copy->folder != NULL ? join(copy->folder, name) : NULL;
    if (copy->path == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    remove_tree(copy->folder); /* one that could not be removed before */
    if (mkdir(copy->folder, 0755) != 0)
        return gt_file_error(err, "make", copy->folder);
    if (*parts->names[0] != '\0' && mkdir(copy->path, 0755) != 0) /* a folder of parts */
        return gt_file_error(err, "make", copy->path);
    int code = read_parts(parts, kind, path, copy->path, hash, err);
    if (code == 0 && strcmp(hash, copy->hash) != 0)
        code = gantry_err_set(err, GANTRY_BUSY, "it is being written; reload when it is whole");
    return code;
}

int gt_copy_take(struct gt_copies *copies, const char *path, enum gt_plugin_kind kind,
                 struct gt_copy **ret, struct gantry_err *err)
{
    struct parts parts = {0};
    struct gt_copy *fresh = calloc(1, sizeof *fresh), *copy = NULL;
    char *real = realpath(path, NULL); /* the folder that a link names, to find files beside it */
    const char *slash = strrchr(path, '/');
    int code = 0;
    if (fresh == NULL)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    else if (real == NULL)
        code = gt_file_error(err, "find", path);
    if (code == 0)
        code = find_parts(real, kind, &parts, err);
    if (code == 0)
        code = read_parts(&parts, kind, real, NULL, fresh->hash, err);
    if (code != 0) {
        free_copy(fresh);
        goto out;
    }
    copy = find_or_enter(copies, fresh);
    if (copy != fresh) {
        free_copy(fresh);
        goto out;
    }
    if (kind == GT_PLUGIN_EXECUTABLE) {
        copy->path = real;
        real = NULL;
    } else {
        code = fill(copy, &parts, kind, real, slash != NULL ? slash + 1 : path, err);
    }
    if (code != 0) {
        discard(copy);
        goto out;
    }
    pthread_mutex_lock(&copies->lock);
    copy->state = GT_COPY_READY;
    pthread_cond_broadcast(&copies->changed);
    pthread_mutex_unlock(&copies->lock);
out:
    free_parts(&parts);
    free(real);
    if (code == 0)
        *ret = copy;
    return code;
}

struct gt_copy *gt_copy_hold(struct gt_copy *copy)
{
    pthread_mutex_lock(&copy->copies->lock);
    assert(copy->refs > 0);
    copy->refs++;
    pthread_mutex_unlock(&copy->copies->lock);
    return copy;
}

void gt_copy_release(struct gt_copy *copy)
{
    if (copy == NULL)
        return;
    pthread_mutex_lock(&copy->copies->lock);
    assert(copy->refs > 0);
    bool last = --copy->refs == 0;
    if (last)
        copy->state = GT_COPY_REMOVING;
    pthread_mutex_unlock(&copy->copies->lock);
    if (last)
        discard(copy);
}
