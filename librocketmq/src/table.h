/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from text to items that carry their own link. It owns neither items nor keys. */
#ifndef RMQ_TABLE_H
#define RMQ_TABLE_H

#include "list.h"
#include <stdint.h>

struct rmq_entry {
    struct rmq_entry *chain;
    uint32_t hash;
    const char *key; /* the item's; must not change while it is in the table */
};

struct rmq_table {
    struct rmq_entry **buckets; /* owned; NULL while nothing was ever put in */
    size_t bucket_count, count;
};

struct rmq_entry *rmq_table_find(const struct rmq_table *table, const char *key);
/* entry->key is set and not in the table. 0 | RMQ_NO_MEMORY. */
int rmq_table_put(struct rmq_table *table, struct rmq_entry *entry);
void rmq_table_remove(struct rmq_table *table, struct rmq_entry *entry);
/* The first entry (before NULL), or the one behind before; NULL at the end. An entry may be removed
 * once its successor is known; nothing may be put in meanwhile. */
struct rmq_entry *rmq_table_next(const struct rmq_table *table, const struct rmq_entry *before);
void rmq_table_deinit(struct rmq_table *table);

#endif
