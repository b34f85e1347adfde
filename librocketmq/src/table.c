/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table of table.h: chains, doubled when there are more entries than buckets. */
#include "table.h"
#include <rocketmq/error.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 16 };

static uint32_t hash_of(const char *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const unsigned char *at = (const unsigned char *)key; *at != 0; at++)
        hash = (hash ^ *at) * 16777619u;
    return hash;
}

struct rmq_entry *rmq_table_find(const struct rmq_table *table, const char *key)
{
    if (table->bucket_count == 0)
        return NULL;
    uint32_t hash = hash_of(key);
    struct rmq_entry *entry = table->buckets[hash & (table->bucket_count - 1)];
    while (entry != NULL && (entry->hash != hash || strcmp(entry->key, key) != 0))
        entry = entry->chain;
    return entry;
}

static void link_in(struct rmq_table *table, struct rmq_entry *entry)
{
    struct rmq_entry **bucket = &table->buckets[entry->hash & (table->bucket_count - 1)];
    entry->chain = *bucket;
    *bucket = entry;
}

static int grow(struct rmq_table *table)
{
    struct rmq_table larger = {.bucket_count = BUCKETS_FIRST, .count = table->count};
    if (table->bucket_count > 0)
        larger.bucket_count = table->bucket_count * 2;
    larger.buckets = calloc(larger.bucket_count, sizeof(struct rmq_entry *));
    if (larger.buckets == NULL)
        return RMQ_NO_MEMORY;
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct rmq_entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->chain;
            link_in(&larger, entry);
        }
    }
    free(table->buckets);
    *table = larger;
    return 0;
}

int rmq_table_put(struct rmq_table *table, struct rmq_entry *entry)
{
    if (table->count >= table->bucket_count) {
        int rc = grow(table);
        if (rc != 0)
            return rc;
    }
    entry->hash = hash_of(entry->key);
    link_in(table, entry);
    table->count++;
    return 0;
}

void rmq_table_remove(struct rmq_table *table, struct rmq_entry *entry)
{
    struct rmq_entry **at = &table->buckets[entry->hash & (table->bucket_count - 1)];
    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    table->count--;
}

struct rmq_entry *rmq_table_next(const struct rmq_table *table, const struct rmq_entry *before)
{
    size_t i = 0;
    if (before != NULL) {
        if (before->chain != NULL)
            return before->chain;
        i = (before->hash & (table->bucket_count - 1)) + 1;
    }
    for (; i < table->bucket_count; i++) {
        if (table->buckets[i] != NULL)
            return table->buckets[i];
    }
    return NULL;
}

void rmq_table_deinit(struct rmq_table *table)
{
    free(table->buckets);
    memset(table, 0, sizeof(*table));
}
