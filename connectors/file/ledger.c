/* SPDX-License-Identifier: Apache-2.0 */
/* A page's state is one of three. Held: its follow knows the position. Left by a task that runs:
 * free for that task, whose commits come in order, and closed to the others, who could commit
 * before it. Committed (task NONE): free for all. A task that fails loses what it had not
 * committed, so its pages are read from the store again when it comes back. */
#include "ledger.h"

#include "io.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1, FIRST_CAP = 64 };

struct file_ledger_page {
    struct file_ledger_page *next; /* in its bucket */
    struct file_position at;       /* while held only its identity counts */
    int64_t task;                  /* whose word it is; NONE: the store's */
    bool held;
};

struct file_ledger {
    struct file_ledger *next;
    struct file_ledgers *book;
    char *connector; /* owned */
    size_t tasks;
    struct file_ledger_page **buckets; /* by inode; owned, and the pages */
    size_t cap, count;
};

struct file_ledgers {
    pthread_mutex_t lock;
    struct file_ledger *first;
};

int file_ledgers_new(struct file_ledgers **ret, struct gantry_err *err)
{
    struct file_ledgers *ledgers = calloc(1, sizeof *ledgers);
    if (ledgers == NULL || pthread_mutex_init(&ledgers->lock, NULL) != 0) {
        free(ledgers);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the ledger of files");
    }
    *ret = ledgers;
    return 0;
}

void file_ledgers_free(struct file_ledgers *ledgers)
{
    if (ledgers == NULL)
        return;
    (void)pthread_mutex_destroy(&ledgers->lock);
    free(ledgers);
}

/* --- pages; all under the lock --- */

static struct file_ledger_page **bucket_of(const struct file_ledger *ledger, uint64_t inode)
{
    return &ledger->buckets[(inode * 0x9e3779b97f4a7c15u >> 32) & (ledger->cap - 1)];
}

static int grow(struct file_ledger *ledger)
{
    struct file_ledger old = *ledger;
    ledger->cap = old.cap > 0 ? 2 * old.cap : FIRST_CAP;
    ledger->buckets = calloc(ledger->cap, sizeof *ledger->buckets);
    if (ledger->buckets == NULL) {
        *ledger = old;
        return GANTRY_NO_MEMORY;
    }
    for (size_t i = 0; i < old.cap; i++) {
        struct file_ledger_page *page, *next;
        for (page = old.buckets[i]; page != NULL; page = next) {
            struct file_ledger_page **bucket = bucket_of(ledger, page->at.id.inode);
            next = page->next;
            page->next = *bucket;
            *bucket = page;
        }
    }
    free(old.buckets);
    return 0;
}

static struct file_ledger_page *add(struct file_ledger *ledger, const struct file_position *at,
                                    int64_t task)
{
    if (ledger->count >= ledger->cap && grow(ledger) != 0)
        return NULL;
    struct file_ledger_page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    struct file_ledger_page **bucket = bucket_of(ledger, at->id.inode);
    *page = (struct file_ledger_page){.next = *bucket, .at = *at, .task = task};
    *bucket = page;
    ledger->count++;
    return page;
}

static void remove_at(struct file_ledger *ledger, struct file_ledger_page **link)
{
    struct file_ledger_page *page = *link;
    *link = page->next;
    ledger->count--;
    free(page);
}

static struct file_stat stat_of(const struct file_identity *id)
{
    return (struct file_stat){
        .device = id->device, .inode = id->inode, .born_ns = id->born_ns, .links = 1};
}

static struct file_ledger_page *find(const struct file_ledger *ledger, const struct file_stat *st)
{
    struct file_ledger_page *page = *bucket_of(ledger, st->inode);
    while (page != NULL && !file_identity_fits(&page->at.id, st))
        page = page->next;
    return page;
}

static bool is_open_to(const struct file_ledger_page *page, const struct gantry_task_context *ctx)
{
    return !page->held && (page->task == NONE || page->task == (int64_t)ctx->task);
}

/* --- tasks --- */

static void drop_pages(struct file_ledger *ledger, int64_t task)
{
    for (size_t i = 0; i < ledger->cap; i++) {
        for (struct file_ledger_page **link = &ledger->buckets[i]; *link != NULL;) {
            if ((*link)->task == task)
                remove_at(ledger, link);
            else
                link = &(*link)->next;
        }
    }
}

struct loading {
    struct file_ledger *ledger;
    int rc;
};

/* A file may stand under several names, of which one moved on from it later than the others. */
static void load(void *arg, struct gantry_view partition, struct gantry_view position)
{
    struct loading *loading = arg;
    struct file_position at;
    (void)partition;
    if (loading->rc != 0 || file_position_parse(position, &at, NULL) != 0 || !at.known)
        return; /* who needs one that is damaged says so */
    struct file_stat st = stat_of(&at.id);
    struct file_ledger_page *page = find(loading->ledger, &st);
    if (page == NULL)
        loading->rc = add(loading->ledger, &at, NONE) != NULL ? 0 : GANTRY_NO_MEMORY;
    else if (page->task == NONE && page->at.next < at.next)
        page->at = at;
}

static struct file_ledger *open_book(struct file_ledgers *ledgers, const char *connector)
{
    struct file_ledger *ledger = ledgers->first;
    while (ledger != NULL && strcmp(ledger->connector, connector) != 0)
        ledger = ledger->next;
    if (ledger != NULL)
        return ledger;
    ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return NULL;
    ledger->book = ledgers;
    ledger->connector = strdup(connector);
    if (ledger->connector == NULL || grow(ledger) != 0) {
        free(ledger->connector);
        free(ledger);
        return NULL;
    }
    ledger->next = ledgers->first;
    ledgers->first = ledger;
    return ledger;
}

static void close_book(struct file_ledger *ledger)
{
    struct file_ledger **link = &ledger->book->first;
    while (*link != ledger)
        link = &(*link)->next;
    *link = ledger->next;
    for (size_t i = 0; i < ledger->cap; i++) {
        while (ledger->buckets[i] != NULL)
            remove_at(ledger, &ledger->buckets[i]);
    }
    free(ledger->buckets);
    free(ledger->connector);
    free(ledger);
}

int file_ledger_join(struct file_ledgers *ledgers, struct gantry_task_context *ctx,
                     struct file_ledger **ret, struct gantry_err *err)
{
    if (ctx->struct_size < offsetof(struct gantry_task_context, positions) + sizeof ctx->positions)
        return gantry_err_set(err, GANTRY_UNSUPPORTED,
                              "the worker does not tell stored positions; update it");
    *ret = NULL;
    (void)pthread_mutex_lock(&ledgers->lock);
    int rc = 0;
    struct file_ledger *ledger = open_book(ledgers, ctx->connector);
    if (ledger == NULL) {
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the ledger of files");
        goto out;
    }
    struct loading loading = {ledger, 0};
    drop_pages(ledger, ctx->task);
    rc = ctx->positions(ctx, load, &loading, err);
    if (rc == 0 && loading.rc != 0)
        rc = gantry_err_set(err, loading.rc, "no memory for the ledger of files");
    if (rc == 0) {
        ledger->tasks++;
        *ret = ledger;
    } else if (ledger->tasks == 0) {
        close_book(ledger);
    }
out:
    (void)pthread_mutex_unlock(&ledgers->lock);
    return rc;
}

void file_ledger_leave(struct file_ledger *ledger)
{
    if (ledger == NULL)
        return;
    struct file_ledgers *ledgers = ledger->book;
    (void)pthread_mutex_lock(&ledgers->lock);
    if (--ledger->tasks == 0)
        close_book(ledger);
    (void)pthread_mutex_unlock(&ledgers->lock);
}

/* --- files --- */

enum file_standing file_ledger_look(struct file_ledger *ledger,
                                    const struct gantry_task_context *ctx,
                                    const struct file_ledger_page *mine, const struct file_stat *st,
                                    int64_t *ret_next)
{
    (void)pthread_mutex_lock(&ledger->book->lock);
    enum file_standing standing = FILE_UNKNOWN;
    const struct file_ledger_page *page = find(ledger, st);
    if (page != NULL && page != mine) {
        standing = is_open_to(page, ctx) ? FILE_LEFT : FILE_TAKEN;
        *ret_next = page->at.next;
    }
    (void)pthread_mutex_unlock(&ledger->book->lock);
    return standing;
}

static void hold(struct file_ledger_page *page, const struct gantry_task_context *ctx)
{
    page->held = true;
    page->task = ctx->task;
}

struct file_ledger_page *file_ledger_reserve(struct file_ledger *ledger,
                                             const struct gantry_task_context *ctx,
                                             const struct file_identity *id)
{
    struct file_stat st = stat_of(id);
    (void)pthread_mutex_lock(&ledger->book->lock);
    struct file_ledger_page *page = find(ledger, &st);
    if (page != NULL && !is_open_to(page, ctx))
        page = NULL;
    if (page != NULL)
        hold(page, ctx);
    (void)pthread_mutex_unlock(&ledger->book->lock);
    return page;
}

/* The page of the open file. Pages of files that had its inode number before it go. -1 with errno.
 * The first bytes tell more than stat does, but a file that is held may have new ones. */
static int find_open(struct file_ledger *ledger, const struct gantry_task_context *ctx,
                     const struct file_ledger_page *mine, int fd, const struct file_stat *st,
                     struct file_ledger_page **ret)
{
    *ret = NULL;
    for (struct file_ledger_page **link = bucket_of(ledger, st->inode); *link != NULL;) {
        struct file_ledger_page *page = *link;
        int is = file_identity_fits(&page->at.id, st);
        if (page != mine && is_open_to(page, ctx) && page->at.id.inode == st->inode)
            is = file_identity_is(fd, st, &page->at.id);
        if (is < 0)
            return -1;
        if (is == 1) {
            *ret = page;
            return 0;
        }
        if (page != mine && is_open_to(page, ctx) && page->at.id.inode == st->inode &&
            page->at.id.device == st->device)
            remove_at(ledger, link);
        else
            link = &page->next;
    }
    return 0;
}

int file_ledger_take(struct file_ledger *ledger, const struct gantry_task_context *ctx,
                     struct file_ledger_page *mine, int fd, const struct file_stat *st,
                     struct file_position *at, struct file_ledger_page **ret,
                     struct gantry_err *err)
{
    int rc = 0;
    struct file_ledger_page *page;
    *ret = NULL;
    (void)pthread_mutex_lock(&ledger->book->lock);
    if (find_open(ledger, ctx, mine, fd, st, &page) != 0) {
        rc = file_io_error(err, "read the first bytes of", "a file");
    } else if (page == NULL) {
        page = add(ledger, at, ctx->task);
        if (page == NULL)
            rc = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the ledger of files");
    } else if (page != mine && !is_open_to(page, ctx)) {
        page = NULL;
    } else if (page->at.next > at->next) {
        *at = page->at;
        at->id.device = st->device;
    }
    if (page != NULL) {
        page->at.id.device = st->device; /* of now */
        hold(page, ctx);
    }
    (void)pthread_mutex_unlock(&ledger->book->lock);
    *ret = page;
    return rc;
}

void file_ledger_release(struct file_ledger *ledger, struct file_ledger_page *page,
                         const struct file_position *at)
{
    if (page == NULL)
        return;
    (void)pthread_mutex_lock(&ledger->book->lock);
    page->at = *at;
    page->held = false;
    (void)pthread_mutex_unlock(&ledger->book->lock);
}

void file_ledger_forget(struct file_ledger *ledger, struct file_ledger_page *page)
{
    if (page == NULL)
        return;
    (void)pthread_mutex_lock(&ledger->book->lock);
    struct file_ledger_page **link = bucket_of(ledger, page->at.id.inode);
    while (*link != page)
        link = &(*link)->next;
    remove_at(ledger, link);
    (void)pthread_mutex_unlock(&ledger->book->lock);
}
