/* SPDX-License-Identifier: Apache-2.0 */
/* Folders are found by watch descriptor, names by a hash that is taken letter by letter over the
 * event's name, so that every beginning of it is looked up on the way: an event costs the length of
 * its name, not the number of tasks. */
#include "watch.h"

#include "io.h"
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#define WATCH_MASK                                                                                 \
    (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM |              \
     IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define NEW_NAME    (IN_CREATE | IN_MOVED_TO)
#define FOLDER_GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)
#define REST_MS     1

struct name_entry {
    struct file_watch_entry pub;     /* first member */
    struct name_entry *next;         /* of the bucket, or of the folder's patterns */
    struct folder *folder;           /* NULL when lost */
    struct gantry_task_context *ctx; /* borrowed until removal */
    uint64_t hash;
    bool pattern;
    char name[];
};

struct folder {
    struct folder *next; /* of the bucket */
    int wd;
    size_t count; /* entries, patterns included */
    size_t bucket_count;
    struct name_entry **buckets; /* owned; a power of two */
    struct name_entry *patterns;
};

struct file_watch {
    pthread_mutex_t lock; /* all below but the descriptors */
    pthread_t thread;
    bool running;
    int events, stop; /* inotify and eventfd; -1 until the first entry */
    size_t folder_count, bucket_count;
    struct folder **buckets; /* by wd; owned; a power of two */
};

static uint64_t hash_step(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)c) * 0x100000001b3u; /* FNV-1a */
}

#define HASH_BEGIN 0xcbf29ce484222325u

static uint64_t hash_name(const char *name)
{
    uint64_t hash = HASH_BEGIN;
    while (*name != '\0')
        hash = hash_step(hash, *name++);
    return hash;
}

int file_watch_new(struct file_watch **ret, struct gantry_err *err)
{
    struct file_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for file events");
    watch->bucket_count = 16;
    watch->buckets = calloc(watch->bucket_count, sizeof(struct folder *));
    if (watch->buckets == NULL || pthread_mutex_init(&watch->lock, NULL) != 0) {
        free(watch->buckets);
        free(watch);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for file events");
    }
    watch->events = watch->stop = -1;
    *ret = watch;
    return 0;
}

static void mark(struct name_entry *entry)
{
    if (!atomic_exchange_explicit(&entry->pub.dirty, true, memory_order_acq_rel))
        entry->ctx->wake(entry->ctx);
}

static void mark_all(struct folder *folder, bool lost)
{
    for (size_t i = 0; i <= folder->bucket_count; i++) {
        struct name_entry *entry = i < folder->bucket_count ? folder->buckets[i] : folder->patterns;
        while (entry != NULL) {
            struct name_entry *next = entry->next;
            if (lost) {
                entry->folder = NULL;
                atomic_store_explicit(&entry->pub.lost, true, memory_order_release);
                /* Woken even when it is marked already: it must look at `lost`. */
                atomic_store_explicit(&entry->pub.dirty, false, memory_order_relaxed);
            }
            mark(entry);
            entry = next;
        }
    }
}

static struct folder **folder_slot(struct file_watch *watch, int wd)
{
    struct folder **slot = &watch->buckets[(size_t)wd & (watch->bucket_count - 1)];
    while (*slot != NULL && (*slot)->wd != wd)
        slot = &(*slot)->next;
    return slot;
}

static void drop_folder(struct file_watch *watch, struct folder **slot)
{
    struct folder *folder = *slot;
    if (folder == NULL)
        return;
    *slot = folder->next;
    watch->folder_count--;
    (void)inotify_rm_watch(watch->events, folder->wd); /* gone already: fine */
    free(folder->buckets);
    free(folder);
}

static void handle_event(struct file_watch *watch, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (size_t i = 0; i < watch->bucket_count; i++) {
            for (struct folder *folder = watch->buckets[i]; folder != NULL; folder = folder->next)
                mark_all(folder, false);
        }
        return;
    }
    struct folder **slot = folder_slot(watch, event->wd);
    struct folder *folder = *slot;
    if (folder == NULL)
        return;
    if ((event->mask & FOLDER_GONE) != 0) {
        mark_all(folder, true);
        drop_folder(watch, slot);
        return;
    }
    if (event->len == 0)
        return;
    uint64_t hash = HASH_BEGIN;
    for (size_t n = 0; event->name[n] != '\0'; n++) {
        hash = hash_step(hash, event->name[n]);
        struct name_entry *entry = folder->buckets[hash & (folder->bucket_count - 1)];
        for (; entry != NULL; entry = entry->next) {
            if (entry->hash == hash && strncmp(entry->name, event->name, n + 1) == 0 &&
                entry->name[n + 1] == '\0')
                mark(entry);
        }
    }
    if ((event->mask & NEW_NAME) != 0) {
        for (struct name_entry *entry = folder->patterns; entry != NULL; entry = entry->next) {
            if (fnmatch(entry->name, event->name, FNM_PERIOD) == 0)
                mark(entry);
        }
    }
}

static void *watch_thread(void *arg)
{
    struct file_watch *watch = arg;
    _Alignas(struct inotify_event) char buf[16384];
    struct pollfd fds[2] = {{.fd = watch->events, .events = POLLIN},
                            {.fd = watch->stop, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents != 0)
            break;
        ssize_t n;
        while ((n = read(watch->events, buf, sizeof buf)) > 0) {
            (void)pthread_mutex_lock(&watch->lock);
            for (char *p = buf; p < buf + n;) {
                const struct inotify_event *event = (const struct inotify_event *)(void *)p;
                handle_event(watch, event);
                p += sizeof *event + event->len;
            }
            (void)pthread_mutex_unlock(&watch->lock);
        }
        if (poll(&fds[1], 1, REST_MS) > 0)
            break;
    }
    return NULL;
}

/* At the first entry, so that a worker without file sources has no thread for them. Under the lock.
 */
static int start(struct file_watch *watch, struct gantry_err *err)
{
    if (watch->running)
        return 0;
    watch->events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->stop = eventfd(0, EFD_CLOEXEC);
    pthread_attr_t attr;
    int rc = watch->events < 0 || watch->stop < 0 ? errno : pthread_attr_init(&attr);
    if (rc == 0) {
        (void)pthread_attr_setstacksize(&attr, 256 * 1024); /* refused: the default will do */
        rc = pthread_create(&watch->thread, &attr, watch_thread, watch);
        (void)pthread_attr_destroy(&attr);
    }
    if (rc == 0) {
        watch->running = true;
        return 0;
    }
    if (watch->events >= 0)
        (void)close(watch->events);
    if (watch->stop >= 0)
        (void)close(watch->stop);
    watch->events = watch->stop = -1;
    char text[128];
    return gantry_err_set(err, GANTRY_UNSUPPORTED, "no file events: %s",
                          strerror_r(rc, text, sizeof text));
}

void file_watch_free(struct file_watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->running) {
        uint64_t one = 1;
        while (write(watch->stop, &one, sizeof one) < 0 && errno == EINTR) {
        }
        (void)pthread_join(watch->thread, NULL);
        (void)close(watch->events);
        (void)close(watch->stop);
    }
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch->buckets);
    free(watch);
}

static int grow_folders(struct file_watch *watch)
{
    if (watch->folder_count < watch->bucket_count)
        return 0;
    size_t count = watch->bucket_count * 2;
    struct folder **buckets = calloc(count, sizeof(struct folder *));
    if (buckets == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < watch->bucket_count; i++) {
        struct folder *next;
        for (struct folder *folder = watch->buckets[i]; folder != NULL; folder = next) {
            next = folder->next;
            struct folder **slot = &buckets[(size_t)folder->wd & (count - 1)];
            folder->next = *slot;
            *slot = folder;
        }
    }
    free(watch->buckets);
    watch->buckets = buckets;
    watch->bucket_count = count;
    return 0;
}

static int grow_names(struct folder *folder)
{
    if (folder->count < folder->bucket_count)
        return 0;
    size_t count = folder->bucket_count > 0 ? folder->bucket_count * 2 : 2;
    struct name_entry **buckets = calloc(count, sizeof(struct name_entry *));
    if (buckets == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < folder->bucket_count; i++) {
        struct name_entry *next;
        for (struct name_entry *entry = folder->buckets[i]; entry != NULL; entry = next) {
            next = entry->next;
            struct name_entry **slot = &buckets[entry->hash & (count - 1)];
            entry->next = *slot;
            *slot = entry;
        }
    }
    free(folder->buckets);
    folder->buckets = buckets;
    folder->bucket_count = count;
    return 0;
}

/* The folder of @p path, watched, with room for one more entry. Under the lock. */
static int get_folder(struct file_watch *watch, const char *path, struct folder **ret,
                      struct gantry_err *err)
{
    if (grow_folders(watch) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to watch %s", path);
    int wd = inotify_add_watch(watch->events, path, WATCH_MASK);
    if (wd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return file_io_error(err, "watch", path);
    if (wd < 0) {
        (void)file_io_error(err, "watch", path);
        return err != NULL ? (err->code = GANTRY_UNSUPPORTED) : GANTRY_UNSUPPORTED;
    }
    struct folder **slot = folder_slot(watch, wd);
    if (*slot == NULL) {
        struct folder *folder = calloc(1, sizeof *folder);
        if (folder == NULL) {
            (void)inotify_rm_watch(watch->events, wd);
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to watch %s", path);
        }
        folder->wd = wd;
        *slot = folder;
        watch->folder_count++;
    }
    if (grow_names(*slot) != 0) {
        if ((*slot)->count == 0)
            drop_folder(watch, slot);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to watch %s", path);
    }
    *ret = *slot;
    return 0;
}

int file_watch_add(struct file_watch *watch, const char *folder_path, const char *name,
                   bool pattern, struct gantry_task_context *ctx, struct file_watch_entry **ret,
                   struct gantry_err *err)
{
    size_t len = strlen(name);
    struct name_entry *entry = calloc(1, sizeof *entry + len + 1);
    if (entry == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory to watch %s", name);
    memcpy(entry->name, name, len + 1);
    entry->hash = hash_name(name);
    entry->pattern = pattern;
    entry->ctx = ctx;
    atomic_init(&entry->pub.dirty, false);
    atomic_init(&entry->pub.lost, false);

    (void)pthread_mutex_lock(&watch->lock);
    int rc = start(watch, err);
    if (rc == 0)
        rc = get_folder(watch, folder_path, &entry->folder, err);
    if (rc == 0) {
        struct folder *folder = entry->folder;
        struct name_entry **slot = pattern
                                       ? &folder->patterns
                                       : &folder->buckets[entry->hash & (folder->bucket_count - 1)];
        entry->next = *slot;
        *slot = entry;
        folder->count++;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    if (rc != 0) {
        free(entry);
        return rc;
    }
    *ret = &entry->pub;
    return 0;
}

void file_watch_remove(struct file_watch *watch, struct file_watch_entry *pub)
{
    if (pub == NULL)
        return;
    struct name_entry *entry = (struct name_entry *)pub;
    (void)pthread_mutex_lock(&watch->lock);
    struct folder *folder = entry->folder;
    if (folder != NULL) {
        struct name_entry **slot = entry->pattern
                                       ? &folder->patterns
                                       : &folder->buckets[entry->hash & (folder->bucket_count - 1)];
        while (*slot != entry)
            slot = &(*slot)->next;
        *slot = entry->next;
        if (--folder->count == 0)
            drop_folder(watch, folder_slot(watch, folder->wd));
    }
    (void)pthread_mutex_unlock(&watch->lock);
    free(entry);
}

bool file_watch_sees(const char *folder)
{
    /* linux/magic.h has only some of them. */
    static const uint32_t blind[] = {
        0x6969,     /* NFS */
        0x517B,     /* SMB */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB2 */
        0x65735546, /* FUSE: sshfs and the like */
        0x01021997, /* 9P */
        0x00C36400, /* Ceph */
        0x5346414F, /* AFS */
        0x6B414653, /* kAFS */
        0x73757245, /* Coda */
        0x0BD00BD0, /* Lustre */
        0x01161970, /* GFS2 */
        0x7461636F, /* OCFS2 */
        0x786F4256, /* VirtualBox folders */
        0xBACBACBC, /* VMware folders */
        0x47504653, /* GPFS */
    };
    struct statfs fs;
    if (statfs(folder, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof blind / sizeof blind[0]; i++) {
        if ((uint32_t)fs.f_type == blind[i])
            return false;
    }
    return true;
}
