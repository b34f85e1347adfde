/* SPDX-License-Identifier: Apache-2.0 */
/* Two claims meet when their resolved paths are the same, when both paths exist and are one inode
 * (hard links), or when the path lies in the pattern's folder and matches. Writers are few, so they
 * stand in a list of their own and a new reader looks only there. */
#include "claims.h"

#include <fnmatch.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct file_claim {
    struct file_claim *next;
    struct file_claim **prev; /* the pointer that points here */
    enum file_claim_kind kind;
    uint64_t device, inode; /* when last looked at; inode 0: there was no file */
    bool linked;            /* the file has several names */
    const char *connector;  /* both in text */
    const char *path;
    char text[];
};

struct file_claims {
    pthread_mutex_t lock;
    struct file_claim *readers, *writers;
};

int file_claims_new(struct file_claims **ret, struct gantry_err *err)
{
    struct file_claims *claims = calloc(1, sizeof *claims);
    if (claims == NULL || pthread_mutex_init(&claims->lock, NULL) != 0) {
        free(claims);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for file claims");
    }
    *ret = claims;
    return 0;
}

void file_claims_free(struct file_claims *claims)
{
    if (claims == NULL)
        return;
    (void)pthread_mutex_destroy(&claims->lock);
    free(claims);
}

static void look(struct file_claim *claim)
{
    struct stat st;
    claim->device = claim->inode = 0;
    claim->linked = false;
    if (claim->kind != FILE_CLAIM_PATTERN && stat(claim->path, &st) == 0) {
        claim->device = st.st_dev;
        claim->inode = st.st_ino;
        claim->linked = st.st_nlink > 1;
    }
}

static bool pattern_meets(const char *pattern, const char *path)
{
    const char *a = strrchr(pattern, '/');
    const char *b = strrchr(path, '/');
    return a != NULL && b != NULL && a - pattern == b - path &&
           strncmp(pattern, path, (size_t)(a - pattern)) == 0 &&
           fnmatch(a + 1, b + 1, FNM_PERIOD) == 0;
}

static bool meets(const struct file_claim *a, const struct file_claim *b)
{
    if (a->kind == FILE_CLAIM_PATTERN)
        return pattern_meets(a->path, b->path);
    if (b->kind == FILE_CLAIM_PATTERN)
        return pattern_meets(b->path, a->path);
    if (a->inode != 0 && a->inode == b->inode && a->device == b->device)
        return true;
    return strcmp(a->path, b->path) == 0;
}

static int conflict(const struct file_claim *mine, const struct file_claim *other,
                    struct gantry_err *err)
{
    if (mine->kind == FILE_CLAIM_WRITE && other->kind == FILE_CLAIM_WRITE)
        return gantry_err_set(
            err, GANTRY_BUSY,
            "filename: %s is written by connector %s already; one sink owns a file: "
            "give this one another file or stop that connector",
            mine->path, other->connector);
    if (mine->kind == FILE_CLAIM_WRITE)
        return gantry_err_set(
            err, GANTRY_BUSY,
            "filename: %s is read by the file source of connector %s (%s); it would "
            "read what this sink writes: give one of them another file",
            mine->path, other->connector, other->path);
    return gantry_err_set(
        err, GANTRY_BUSY,
        "filename: %s is written by the file sink of connector %s (%s); this source "
        "would read what that sink writes: give one of them another file",
        mine->path, other->connector, other->path);
}

/* Under the lock. */
static int check(struct file_claims *claims, const struct file_claim *mine, bool own,
                 struct gantry_err *err)
{
    struct file_claim *lists[2] = {claims->writers, NULL};
    if (mine->kind == FILE_CLAIM_WRITE)
        lists[1] = claims->readers;
    for (int i = 0; i < 2; i++) {
        for (struct file_claim *other = lists[i]; other != NULL; other = other->next) {
            if (mine->linked) /* the other's file may have been made or rotated since its claim */
                look(other);
            if ((own || strcmp(other->connector, mine->connector) != 0) && meets(mine, other))
                return conflict(mine, other, err);
        }
    }
    return 0;
}

static struct file_claim *make(enum file_claim_kind kind, const char *connector, const char *path)
{
    size_t a = strlen(connector) + 1;
    size_t b = strlen(path) + 1;
    struct file_claim *claim = calloc(1, sizeof *claim + a + b);
    if (claim == NULL)
        return NULL;
    memcpy(claim->text, connector, a);
    memcpy(claim->text + a, path, b);
    claim->connector = claim->text;
    claim->path = claim->text + a;
    claim->kind = kind;
    look(claim);
    return claim;
}

int file_claims_check(struct file_claims *claims, enum file_claim_kind kind, const char *connector,
                      const char *path, bool own, struct gantry_err *err)
{
    struct file_claim *claim = make(kind, connector, path);
    if (claim == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a claim on %s", path);
    (void)pthread_mutex_lock(&claims->lock);
    int rc = check(claims, claim, own, err);
    (void)pthread_mutex_unlock(&claims->lock);
    free(claim);
    return rc;
}

int file_claims_take(struct file_claims *claims, enum file_claim_kind kind, const char *connector,
                     const char *path, struct file_claim **ret, struct gantry_err *err)
{
    struct file_claim *claim = make(kind, connector, path);
    if (claim == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a claim on %s", path);
    (void)pthread_mutex_lock(&claims->lock);
    int rc = check(claims, claim, true, err);
    if (rc == 0) {
        struct file_claim **list = kind == FILE_CLAIM_WRITE ? &claims->writers : &claims->readers;
        claim->next = *list;
        claim->prev = list;
        if (*list != NULL)
            (*list)->prev = &claim->next;
        *list = claim;
    }
    (void)pthread_mutex_unlock(&claims->lock);
    if (rc != 0) {
        free(claim);
        return rc;
    }
    *ret = claim;
    return 0;
}

void file_claims_renew(struct file_claims *claims, struct file_claim *claim)
{
    (void)pthread_mutex_lock(&claims->lock);
    look(claim);
    (void)pthread_mutex_unlock(&claims->lock);
}

void file_claims_release(struct file_claims *claims, struct file_claim *claim)
{
    if (claim == NULL)
        return;
    (void)pthread_mutex_lock(&claims->lock);
    *claim->prev = claim->next;
    if (claim->next != NULL)
        claim->next->prev = claim->prev;
    (void)pthread_mutex_unlock(&claims->lock);
    free(claim);
}
