/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map: open addressing with linear probing, XXH3. A removed item leaves a mark behind (so
 * that a walk may remove what it just saw); marks go away when the table is built anew, at three
 * quarters full of items and marks. */
#include "base/map.h"

#include <stdlib.h>
#include <xxhash.h>

struct gt_map_slot {
    char *key; /* owned; NULL: never used, or removed */
    size_t len;
    uint64_t hash;
    void *value; /* of a removed item: &removed */
};

static char removed;

static bool is_free(const struct gt_map_slot *slot)
{
    return slot->key == NULL;
}

void gt_map_init(struct gt_map *map)
{
    *map = (struct gt_map){.slots = NULL};
}

void gt_map_deinit(struct gt_map *map)
{
    for (size_t i = 0; i < map->cap; i++)
        free(map->slots[i].key);
    free(map->slots);
    gt_map_init(map);
}

static struct gt_map_slot *find(const struct gt_map *map, struct gantry_view key, uint64_t hash)
{
    if (map->cap == 0)
        return NULL;
    for (size_t i = (size_t)hash & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
        struct gt_map_slot *slot = &map->slots[i];
        if (is_free(slot) && slot->value == NULL)
            return NULL;
        if (!is_free(slot) && slot->hash == hash && slot->len == key.len &&
            (key.len == 0 || memcmp(slot->key, key.data, key.len) == 0))
            return slot;
    }
}

static uint64_t hash_of(struct gantry_view key)
{
    return XXH3_64bits(key.data, key.len);
}

void *gt_map_get(const struct gt_map *map, struct gantry_view key)
{
    struct gt_map_slot *slot = find(map, key, hash_of(key));
    return slot != NULL ? slot->value : NULL;
}

static struct gt_map_slot *first_unused(struct gt_map_slot *slots, size_t cap, uint64_t hash)
{
    size_t i = (size_t)hash & (cap - 1);
    while (slots[i].key != NULL || slots[i].value != NULL)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

/* Make sure that one more slot may be used. */
static int make_room(struct gt_map *map)
{
    if (map->used < map->cap / 4 * 3)
        return GANTRY_OK;
    size_t cap = 16;
    while (cap / 2 <= map->count)
        cap *= 2;
    struct gt_map_slot *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < map->cap; i++) {
        if (!is_free(&map->slots[i]))
            *first_unused(slots, cap, map->slots[i].hash) = map->slots[i];
    }
    free(map->slots);
    map->slots = slots;
    map->cap = cap;
    map->used = map->count;
    return GANTRY_OK;
}

int gt_map_put(struct gt_map *map, struct gantry_view key, void *value, void **ret_old)
{
    uint64_t hash = hash_of(key);
    struct gt_map_slot *slot = find(map, key, hash);
    void *old = NULL;

    if (slot != NULL) {
        old = slot->value;
        slot->value = value;
    } else {
        char *copy = malloc(key.len + 1);
        if (copy == NULL || make_room(map) != 0) {
            free(copy);
            return GANTRY_NO_MEMORY;
        }
        if (key.len > 0)
            memcpy(copy, key.data, key.len);
        copy[key.len] = '\0';
        *first_unused(map->slots, map->cap, hash) =
            (struct gt_map_slot){copy, key.len, hash, value};
        map->count++;
        map->used++;
    }
    if (ret_old != NULL)
        *ret_old = old;
    return GANTRY_OK;
}

void *gt_map_remove(struct gt_map *map, struct gantry_view key)
{
    struct gt_map_slot *slot = find(map, key, hash_of(key));
    if (slot == NULL)
        return NULL;
    void *value = slot->value;
    free(slot->key);
    *slot = (struct gt_map_slot){.value = &removed};
    map->count--;
    return value;
}

bool gt_map_next(const struct gt_map *map, size_t *cursor, struct gantry_view *ret_key,
                 void **ret_value)
{
    while (*cursor < map->cap) {
        const struct gt_map_slot *slot = &map->slots[(*cursor)++];
        if (is_free(slot))
            continue;
        if (ret_key != NULL)
            *ret_key = (struct gantry_view){slot->key, slot->len};
        if (ret_value != NULL)
            *ret_value = slot->value;
        return true;
    }
    return false;
}
