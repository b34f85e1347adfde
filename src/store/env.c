/* SPDX-License-Identifier: Apache-2.0 */
/* The LMDB environment. What LMDB asks of its users and where it is kept: one open per process and
 * file (the worker has one gt_env); no long readers (every read here copies and ends), and no more
 * of them than have a place; the map grows only while no transaction is open in this process
 * (resize lock); another process that finds a larger map re-reads its size (MDB_MAP_RESIZED). */
#include "store/env.h"

#include "base/cursor.h"
#include "base/fault.h"
#include "base/file.h"
#include "store/tables.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DISK_FULL = 1 << 20, /* with fewer bytes free a short write means a full disk */
    READERS = 96,        /* of LMDB's 126; the others are for those who look from outside */
};

static const char *const table_names[GT_TABLE_COUNT] = {
    [GT_TABLE_META] = "meta",           [GT_TABLE_TOPICS] = "topics",
    [GT_TABLE_SEGMENTS] = "segments",   [GT_TABLE_CONNECTORS] = "connectors",
    [GT_TABLE_POSITIONS] = "positions", [GT_TABLE_PROGRESS] = "progress",
    [GT_TABLE_GAPS] = "gaps",
};

static int fail(struct gantry_err *err, int rc, const char *verb, const char *path)
{
    int code = GANTRY_IO;
    if (rc == ENOSPC || rc == EDQUOT)
        code = GANTRY_NO_SPACE;
    else if (rc == ENOMEM)
        code = GANTRY_NO_MEMORY;
    else if (rc == ENOENT)
        code = GANTRY_NOT_FOUND;
    else if (rc == EACCES || rc == EPERM)
        code = GANTRY_DENIED;
    else if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
             rc == MDB_VERSION_MISMATCH)
        code = GANTRY_CORRUPT;
    return gantry_err_set(err, code, "cannot %s the store %s: %s", verb, path, mdb_strerror(rc));
}

static MDB_val val_of(struct gantry_view view)
{
    return (MDB_val){view.len, (void *)(uintptr_t)view.data};
}

static struct gantry_view view_of(MDB_val val)
{
    return (struct gantry_view){val.mv_data, val.mv_size};
}

static void wait_for_place(struct gt_env *env)
{
    while (sem_wait(&env->readers) != 0)
        ; /* a signal */
}

/* Begin a read transaction, with a place among the readers and the resize lock held shared;
 * end_read lets all go. */
static int begin_read(struct gt_env *env, MDB_txn **ret, struct gantry_err *err)
{
    int code = 0;
    wait_for_place(env);
    for (int attempt = 0; code == 0; attempt++) {
        pthread_rwlock_rdlock(&env->resize);
        int rc = mdb_txn_begin(env->env, NULL, MDB_RDONLY, ret);
        if (rc == 0)
            return 0;
        pthread_rwlock_unlock(&env->resize);
        int died;
        if (rc == MDB_READERS_FULL && attempt < 3) { /* places of processes that were killed */
            (void)mdb_reader_check(env->env, &died);
        } else if (rc == MDB_MAP_RESIZED && attempt < 3) {
            pthread_rwlock_wrlock(&env->resize);
            rc = mdb_env_set_mapsize(env->env, 0);
            pthread_rwlock_unlock(&env->resize);
            if (rc != 0)
                code = fail(err, rc, "map", env->path);
        } else {
            code = fail(err, rc, "read", env->path);
        }
    }
    sem_post(&env->readers);
    return code;
}

static void end_read(struct gt_env *env, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&env->resize);
    sem_post(&env->readers);
}

static int check_version(struct gt_env *env, MDB_txn *txn, struct gantry_err *err)
{
    MDB_val key = {7, (void *)(uintptr_t) "version"};
    MDB_val value;
    int rc = mdb_get(txn, env->tables[GT_TABLE_META], &key, &value);
    if (rc == MDB_NOTFOUND && !env->read_only) {
        char bytes[4];
        gt_store_le32(bytes, GT_STORE_VERSION);
        value = (MDB_val){4, bytes};
        rc = mdb_put(txn, env->tables[GT_TABLE_META], &key, &value, 0);
        return rc != 0 ? fail(err, rc, "begin", env->path) : 0;
    }
    if (rc != 0)
        return fail(err, rc, "read the version of", env->path);
    uint32_t version = value.mv_size == 4 ? gt_load_le32(value.mv_data) : 0;
    if (version == 1 && !env->read_only) { /* its values can be read, see tables.c */
        char bytes[4];
        gt_store_le32(bytes, GT_STORE_VERSION);
        value = (MDB_val){4, bytes};
        rc = mdb_put(txn, env->tables[GT_TABLE_META], &key, &value, 0);
        return rc != 0 ? fail(err, rc, "upgrade", env->path) : 0;
    }
    if (version == 0 || version > GT_STORE_VERSION)
        return gantry_err_set(
            err, GANTRY_VERSION,
            "the store %s has format version %u, this program knows up to %u; use a newer gantry",
            env->path, version, (unsigned)GT_STORE_VERSION);
    return 0;
}

static int open_tables(struct gt_env *env, struct gantry_err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env->env, NULL, env->read_only ? MDB_RDONLY : 0, &txn);
    if (rc != 0)
        return fail(err, rc, "open", env->path);
    for (int i = 0; i < GT_TABLE_COUNT; i++) {
        rc = mdb_dbi_open(txn, table_names[i], env->read_only ? 0 : MDB_CREATE, &env->tables[i]);
        if (rc != 0) {
            mdb_txn_abort(txn);
            return fail(err, rc == MDB_NOTFOUND ? ENOENT : rc, "open the tables of", env->path);
        }
    }
    int code = check_version(env, txn, err);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn);
    return rc != 0 ? fail(err, rc, "begin", env->path) : 0;
}

int gt_env_open(struct gt_env *env, const char *folder, size_t map_bytes, bool read_only,
                struct gantry_err *err)
{
    memset(env, 0, sizeof *env);
    env->read_only = read_only;
    if (pthread_rwlock_init(&env->resize, NULL) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    (void)sem_init(&env->readers, 0, READERS); /* cannot fail for such a number */
    int code = GANTRY_NO_MEMORY;
    env->path = strdup(folder);
    if (env->path == NULL) {
        gantry_err_set(err, code, "out of memory");
        goto out;
    }
    int rc = mdb_env_create(&env->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env->env, GT_TABLE_COUNT);
    if (rc == 0 && !read_only)
        rc = mdb_env_set_mapsize(env->env, map_bytes != 0 ? map_bytes : (size_t)1 << 30);
    if (rc == 0)
        rc = mdb_env_open(env->env, folder, MDB_NOTLS | (read_only ? MDB_RDONLY : 0), 0644);
    if (rc != 0) {
        code = fail(err, rc, "open", folder);
        goto out;
    }
    if (!read_only)
        (void)mdb_reader_check(env->env,
                               NULL); /* slots of readers that were killed; failing is harmless */
    code = open_tables(env, err);
out:
    if (code != 0)
        gt_env_close(env);
    return code;
}

void gt_env_close(struct gt_env *env)
{
    if (env->path == NULL && env->env == NULL)
        return;
    if (env->env != NULL)
        mdb_env_close(env->env);
    pthread_rwlock_destroy(&env->resize);
    sem_destroy(&env->readers);
    free(env->path);
    memset(env, 0, sizeof *env);
}

int gt_env_make_cache(struct gt_env *env, struct gantry_err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env->env, NULL, 0, &txn);
    for (int i = 0; rc == 0 && i < GT_TABLE_COUNT; i++) {
        if (i != GT_TABLE_META)
            rc = mdb_drop(txn, env->tables[i], 0);
    }
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    if (rc == 0)
        rc = mdb_env_set_flags(env->env, MDB_NOSYNC, 1);
    return rc == 0 ? 0 : fail(err, rc, "empty", env->path);
}

int gt_env_get(struct gt_env *env, enum gt_table table, struct gantry_view key,
               struct gt_buf *value, struct gantry_err *err)
{
    MDB_txn *txn;
    int code = begin_read(env, &txn, err);
    if (code != 0)
        return code;
    gt_buf_clear(value);
    MDB_val k = val_of(key), v;
    int rc = mdb_get(txn, env->tables[table], &k, &v);
    if (rc == 0 && gt_buf_add_view(value, view_of(v)) != 0)
        code = gantry_err_set(err, value->error, "cannot copy a value of table %s: %s",
                              table_names[table], gantry_error_text(value->error));
    else if (rc == MDB_NOTFOUND || rc == MDB_BAD_VALSIZE) /* a key that cannot be is not there */
        code = gantry_err_set(err, GANTRY_NOT_FOUND, "not in table %s", table_names[table]);
    else if (rc != 0)
        code = fail(err, rc, "read", env->path);
    end_read(env, txn);
    return code;
}

int gt_env_scan(struct gt_env *env, enum gt_table table, struct gantry_view prefix,
                int (*fn)(void *arg, struct gantry_view key, struct gantry_view value), void *arg,
                struct gantry_err *err)
{
    MDB_txn *txn;
    int code = begin_read(env, &txn, err);
    if (code != 0)
        return code;
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn, env->tables[table], &cursor);
    MDB_val k = val_of(prefix), v;
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, prefix.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0 && code == 0) {
        struct gantry_view key = view_of(k);
        if (key.len < prefix.len ||
            (prefix.len > 0 && memcmp(key.data, prefix.data, prefix.len) != 0))
            break;
        code = fn(arg, key, view_of(v));
        if (code == 0)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (rc != 0 && rc != MDB_NOTFOUND)
        code = fail(err, rc, "read", env->path);
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    end_read(env, txn);
    return code;
}

static int delete_prefix(struct gt_env *env, MDB_txn *txn, enum gt_table table,
                         struct gantry_view prefix)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, env->tables[table], &cursor);
    if (rc != 0)
        return rc;
    for (;;) {
        MDB_val k = val_of(prefix), v;
        rc = mdb_cursor_get(cursor, &k, &v, prefix.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
        if (rc != 0 || k.mv_size < prefix.len ||
            (prefix.len > 0 && memcmp(k.mv_data, prefix.data, prefix.len) != 0))
            break;
        rc = mdb_cursor_del(cursor, 0);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Changes in a commit's buffer: table(1) kind(1) key length(varint) value length(varint) key value.
 */
enum { CHANGE_PUT = 1, CHANGE_DELETE = 2, CHANGE_DELETE_PREFIX = 3, CHANGE_VALUE_MAX = 16 << 20 };

static void add_change(struct gt_commit *commit, int kind, enum gt_table table,
                       struct gantry_view key, struct gantry_view value)
{
    struct gt_buf *buf = &commit->changes;
    /* LMDB would refuse it, and the whole group with it. */
    if (key.len > GT_KEY_MAX || (key.len == 0 && kind != CHANGE_DELETE_PREFIX)) {
        if (buf->error == 0)
            buf->error = key.len == 0 ? GANTRY_INVALID : GANTRY_TOO_LARGE;
        return;
    }
    uint8_t *out = (uint8_t *)gt_buf_reserve(buf, 22 + key.len + value.len);
    if (out == NULL)
        return; /* the buffer keeps the error; submit reports it */
    uint8_t *start = out;
    *out++ = (uint8_t)table;
    *out++ = (uint8_t)kind;
    out = gt_put_varint(out, key.len);
    out = gt_put_varint(out, value.len);
    if (key.len > 0)
        memcpy(out, key.data, key.len);
    out += key.len;
    if (value.len > 0)
        memcpy(out, value.data, value.len);
    out += value.len;
    buf->len += (size_t)(out - start);
}

void gt_commit_put(struct gt_commit *commit, enum gt_table table, struct gantry_view key,
                   struct gantry_view value)
{
    add_change(commit, CHANGE_PUT, table, key, value);
}

void gt_commit_delete(struct gt_commit *commit, enum gt_table table, struct gantry_view key)
{
    add_change(commit, CHANGE_DELETE, table, key, (struct gantry_view){NULL, 0});
}

void gt_commit_delete_prefix(struct gt_commit *commit, enum gt_table table,
                             struct gantry_view prefix)
{
    add_change(commit, CHANGE_DELETE_PREFIX, table, prefix, (struct gantry_view){NULL, 0});
}

int gt_commit_add_changes(struct gt_commit *commit, struct gantry_view changes)
{
    struct gt_cursor cursor = gt_cursor_of(changes.data, changes.len);
    while (gt_cursor_left(&cursor) > 0) {
        int table = gt_cursor_u8(&cursor);
        int kind = gt_cursor_u8(&cursor);
        uint64_t key_len = gt_cursor_varint(&cursor), value_len = gt_cursor_varint(&cursor);
        bool known = (table == GT_TABLE_POSITIONS || table == GT_TABLE_PROGRESS) &&
                     kind >= CHANGE_PUT && kind <= CHANGE_DELETE_PREFIX;
        if (!known || key_len == 0 || key_len > GT_KEY_MAX || value_len > CHANGE_VALUE_MAX)
            return GANTRY_CORRUPT;
        (void)gt_cursor_bytes(&cursor, (size_t)key_len);
        (void)gt_cursor_bytes(&cursor, (size_t)value_len);
        if (cursor.bad)
            return GANTRY_CORRUPT;
    }
    return gt_buf_add(&commit->changes, changes.data, changes.len);
}

static int apply_commit(struct gt_env *env, MDB_txn *txn, const struct gt_commit *commit)
{
    struct gt_cursor cursor = gt_cursor_of(commit->changes.data, commit->changes.len);
    while (gt_cursor_left(&cursor) > 0) {
        enum gt_table table = gt_cursor_u8(&cursor);
        int kind = gt_cursor_u8(&cursor);
        size_t key_len = (size_t)gt_cursor_varint(&cursor);
        size_t value_len = (size_t)gt_cursor_varint(&cursor);
        struct gantry_view key = gt_cursor_bytes(&cursor, key_len);
        MDB_val k = val_of(key), v = val_of(gt_cursor_bytes(&cursor, value_len));
        int rc;
        if (kind == CHANGE_PUT)
            rc = mdb_put(txn, env->tables[table], &k, &v, 0);
        else if (kind == CHANGE_DELETE)
            rc = mdb_del(txn, env->tables[table], &k, NULL);
        else
            rc = delete_prefix(env, txn, table, key);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return rc;
    }
    return 0;
}

static int apply_once(struct gt_env *env, struct gt_commit *commits)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    for (struct gt_commit *commit = commits; commit != NULL && rc == 0; commit = commit->next) {
        if (commit->err.code == 0)
            rc = apply_commit(env, txn, commit);
    }
    enum gt_fault_action fault = rc == 0 ? gt_fault("commit.txn") : GT_FAULT_NONE;
    if (fault == GT_FAULT_EIO || fault == GT_FAULT_ENOSPC)
        rc = fault == GT_FAULT_EIO ? EIO : ENOSPC;
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn); /* frees the transaction also when it fails */
}

static int grow(struct gt_env *env)
{
    MDB_envinfo info;
    pthread_rwlock_wrlock(&env->resize);
    int rc = mdb_env_info(env->env, &info);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env->env, info.me_mapsize * 2);
    pthread_rwlock_unlock(&env->resize);
    return rc;
}

/* Whether a failed commit surely changed nothing. LMDB writes pages, syncs them, then writes the
 * page that makes them count; when that last write fails it refuses every later transaction, and
 * then nobody knows what the disk holds. A write that was cut short by a full disk LMDB reports as
 * EIO. */
static int judge(struct gt_env *env, int rc)
{
    if (rc != ENOSPC && rc != EDQUOT && rc != EIO)
        return rc;
    MDB_txn *txn;
    if (mdb_txn_begin(env->env, NULL, 0, &txn) != 0)
        return EIO;
    mdb_txn_abort(txn);
    int64_t available = gt_disk_free(env->path);
    return rc == EIO && available >= 0 && available < DISK_FULL ? ENOSPC : rc;
}

int gt_env_apply(struct gt_env *env, struct gt_commit *commits, struct gantry_err *err)
{
    for (;;) {
        int rc = apply_once(env, commits);
        if (rc == 0)
            return 0;
        if (rc == MDB_MAP_FULL && (rc = grow(env)) == 0)
            continue;
        return fail(err, judge(env, rc), "commit to", env->path);
    }
}
