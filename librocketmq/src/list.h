/* SPDX-License-Identifier: Apache-2.0 */
/* A list whose links are inside its items. An item that is in no list points to itself, so that
 * removing it twice is harmless. */
#ifndef RMQ_LIST_H
#define RMQ_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rmq_list {
    struct rmq_list *next, *prev;
};

#define RMQ_CONTAINER(item, type, member) ((type *)(void *)((char *)(item)-offsetof(type, member)))

static inline void rmq_list_init(struct rmq_list *list)
{
    list->next = list->prev = list;
}

static inline bool rmq_list_empty(const struct rmq_list *list)
{
    return list->next == list;
}

static inline void rmq_list_insert_after(struct rmq_list *at, struct rmq_list *item)
{
    item->prev = at;
    item->next = at->next;
    at->next->prev = item;
    at->next = item;
}

static inline void rmq_list_append(struct rmq_list *list, struct rmq_list *item)
{
    rmq_list_insert_after(list->prev, item);
}

static inline void rmq_list_remove(struct rmq_list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    rmq_list_init(item);
}

/* All of from behind what is in to; from is empty then. */
static inline void rmq_list_move_all(struct rmq_list *from, struct rmq_list *to)
{
    while (!rmq_list_empty(from)) {
        struct rmq_list *item = from->next;
        rmq_list_remove(item);
        rmq_list_append(to, item);
    }
}

#endif
