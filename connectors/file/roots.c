/* SPDX-License-Identifier: Apache-2.0 */
/* Paths are compared after links are resolved; a root that does not exist contains nothing. */
#include "roots.h"

#include "io.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40

/* FOLDER/NAME. */
static char *join(const char *folder, size_t folder_len, const char *name)
{
    char *path = malloc(folder_len + strlen(name) + 2);
    if (path == NULL)
        return NULL;
    memcpy(path, folder, folder_len);
    size_t n = folder_len;
    if (n > 0 && path[n - 1] != '/')
        path[n++] = '/';
    memcpy(path + n, name, strlen(name) + 1);
    return path;
}

/* The longest beginning of @p path that exists, resolved, with the rest behind it. The path names
 * no link at its end. */
static int resolve_beginning(const char *path, char **ret, struct gantry_err *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for path %s", path);
    int rc = 0;
    size_t cut = strlen(copy);
    char *real = NULL;
    while (real == NULL) {
        while (cut > 0 && copy[cut - 1] != '/')
            cut--;
        size_t end = cut;
        while (end > 1 && copy[end - 1] == '/')
            end--;
        char old = copy[end];
        copy[end] = '\0';
        real = realpath(end > 0 ? copy : ".", NULL);
        copy[end] = old;
        if (real == NULL && (errno != ENOENT || end <= 1)) {
            rc = file_io_error(err, "resolve", path);
            goto out;
        }
        if (real == NULL)
            cut = end > 0 ? end - 1 : 0;
    }
    const char *rest = path + cut;
    if (strstr(rest, "/../") != NULL || strncmp(rest, "../", 3) == 0) {
        rc = gantry_err_set(err, GANTRY_INVALID,
                            "path %s goes through '..' behind a folder that does not exist", path);
        goto out;
    }
    *ret = join(real, strlen(real), rest);
    if (*ret == NULL)
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for path %s", path);
out:
    free(real);
    free(copy);
    return rc;
}

int file_path_resolve(const char *path, char **ret, struct gantry_err *err)
{
    char *whole = realpath(path, NULL);
    if (whole != NULL) {
        *ret = whole;
        return 0;
    }
    if (errno != ENOENT)
        return file_io_error(err, "resolve", path);
    char *now = strdup(path);
    int rc = now != NULL ? 0 : gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for path %s", path);
    /* A link to nothing yet: opening the path would make its target. */
    for (int links = 0; rc == 0 && now != NULL; links++) {
        char target[PATH_MAX];
        ssize_t n = readlink(now, target, sizeof target - 1);
        if (n < 0)
            break;
        if (links == LINKS_MAX) {
            errno = ELOOP;
            rc = file_io_error(err, "resolve", path);
            break;
        }
        target[n] = '\0';
        const char *slash = strrchr(now, '/');
        char *next = target[0] == '/' || slash == NULL
                         ? strdup(target)
                         : join(now, (size_t)(slash - now) + 1, target);
        if (next == NULL)
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for path %s", path);
        free(now);
        now = next;
    }
    if (rc == 0 && now != NULL)
        rc = resolve_beginning(now, ret, err);
    free(now);
    return rc;
}

int file_path_split(const char *path, char **ret_folder, char **ret_name, struct gantry_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return gantry_err_set(err, GANTRY_INVALID,
                              "filename '%s' names a folder; give the path of a file", path);
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = len > 0 ? strndup(path, len) : strdup(".");
    char *copy = strdup(name);
    if (folder == NULL || copy == NULL) {
        free(folder);
        free(copy);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for path %s", path);
    }
    *ret_folder = folder;
    *ret_name = copy;
    return 0;
}

bool file_path_has_link(const char *folder)
{
    char part[PATH_MAX];
    size_t len = strlen(folder);
    for (size_t i = 1; i <= len && i < sizeof part; i++) {
        struct stat st;
        if (folder[i] != '/' && folder[i] != '\0')
            continue;
        memcpy(part, folder, i);
        part[i] = '\0';
        if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode))
            return true;
    }
    return false;
}

static bool inside(const char *path, const char *root)
{
    size_t n = strlen(root);
    if (n == 1) /* "/" */
        return true;
    return strncmp(path, root, n) == 0 && path[n] == '/';
}

static int check_list(const char *roots, const char *path, const char *resolved,
                      struct gantry_err *err)
{
    char *copy = strdup(roots);
    if (copy == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the roots");
    bool found = false;
    char *save = NULL;
    for (char *item = strtok_r(copy, ":,", &save); item != NULL && !found;
         item = strtok_r(NULL, ":,", &save)) {
        while (*item == ' ')
            item++;
        size_t n = strlen(item);
        while (n > 0 && item[n - 1] == ' ')
            item[--n] = '\0';
        char *real = n > 0 ? realpath(item, NULL) : NULL;
        found = real != NULL && inside(resolved, real);
        free(real);
    }
    free(copy);
    if (found)
        return 0;
    return gantry_err_set(
        err, GANTRY_DENIED,
        "filename: %s is %s, which lies outside connectors.file.roots (%s); move the "
        "file or widen that setting of the worker",
        path, resolved, roots);
}

int file_roots_check(const struct gantry_runtime *runtime, const char *path, const char *resolved,
                     struct gantry_err *err)
{
    const char *roots = runtime->setting(runtime, "connectors.file.roots");
    if (roots != NULL && roots[strspn(roots, " :,")] != '\0')
        return check_list(roots, path, resolved, err);
    const char *beyond = runtime->setting(runtime, "rest.beyond.loopback");
    if (beyond == NULL || strcmp(beyond, "true") != 0)
        return 0;
    return gantry_err_set(
        err, GANTRY_DENIED,
        "filename: %s is refused: the worker listens beyond loopback, so its setting "
        "connectors.file.roots must list the folders that file connectors may touch",
        path);
}

int file_roots_check_open(const struct gantry_runtime *runtime, const char *path, int fd,
                          struct gantry_err *err)
{
    char link[64];
    char real[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof real - 1);
    if (n < 0)
        return file_io_error(err, "look up", path);
    real[n] = '\0';
    return file_roots_check(runtime, path, real, err);
}
