/* SPDX-License-Identifier: Apache-2.0 */
/** The LMDB environment: opening, the tables, read transactions that survive a growing map, one
 * write transaction. Shared by the worker's store and by the tools that look at a store from
 * outside. */
#ifndef GT_STORE_ENV_H
#define GT_STORE_ENV_H

#include "store/store.h"
#include <lmdb.h>
#include <pthread.h>
#include <semaphore.h>

struct gt_env {
    MDB_env *env;
    MDB_dbi tables[GT_TABLE_COUNT];
    /* Readers hold it shared; growing the map, which LMDB allows only without transactions in this
     * process, holds it alone. */
    pthread_rwlock_t resize;
    sem_t readers; /* places for read transactions that are free in this process */
    char *path;
    bool read_only;
};

/** GANTRY_NOT_FOUND (read-only and nothing there), GANTRY_VERSION, GANTRY_IO. */
int gt_env_open(struct gt_env *env, const char *folder, size_t map_bytes, bool read_only,
                struct gantry_err *err);
/** Empty all tables, and sync nothing from now on. */
int gt_env_make_cache(struct gt_env *env, struct gantry_err *err);
void gt_env_close(struct gt_env *env);
int gt_env_get(struct gt_env *env, enum gt_table table, struct gantry_view key,
               struct gt_buf *value, struct gantry_err *err);
int gt_env_scan(struct gt_env *env, enum gt_table table, struct gantry_view prefix,
                int (*fn)(void *arg, struct gantry_view key, struct gantry_view value), void *arg,
                struct gantry_err *err);
/** Apply the changes of a list of commits (those with err.code == 0) in one transaction, growing
 * the map as needed. Thread: one at a time. */
int gt_env_apply(struct gt_env *env, struct gt_commit *commits, struct gantry_err *err);

#endif
