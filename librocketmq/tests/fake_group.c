/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and group membership of the model in fake_client.h. What is asked for is answered from the
 * loop, a tick later. */
#include "fake_client.h"
#include "internal.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct rmq_membership {
    struct rmq_client *client;
    void (*changed)(void *arg);
    void *arg;
    struct rmq_group_service service;
};

struct rmq_route_watch {
    struct rmq_client *client;
    void (*changed)(void *arg, const struct rmq_route *route);
    void *arg;
    struct rmq_route_watch *next;
};

struct fake_route {
    struct rmq_route public;
    struct rmq_client *client;
    size_t references;
    struct rmq_queue queues[FAKE_QUEUES];
    char names[FAKE_QUEUES][16]; /* its own: the model's may change */
};

struct later {
    uv_timer_t timer;
    struct rmq_client *client;
    rmq_route_fn route;
    rmq_members_fn members;
    void *arg;
};

static struct fake_route *route_of(const struct rmq_route *route)
{
    return (struct fake_route *)(uintptr_t)route;
}

const struct rmq_route *rmq_route_ref(const struct rmq_route *route)
{
    route_of(route)->references++;
    return route;
}

void rmq_route_unref(const struct rmq_route *route)
{
    if (route == NULL || --route_of(route)->references > 0)
        return;
    route_of(route)->client->routes--;
    free(route_of(route));
}

static const struct rmq_route *make_route(struct rmq_client *client)
{
    struct fake_route *route = calloc(1, sizeof(*route));
    assert(route != NULL);
    route->client = client;
    route->references = 1;
    client->routes++;
    for (size_t i = 0; i < client->queue_count; i++) {
        size_t at = route->public.read_count;
        if (client->queues[i].gone)
            continue;
        memcpy(route->names[at], client->queues[i].broker, sizeof(route->names[at]));
        route->queues[at] = (struct rmq_queue){route->names[at], client->queues[i].id};
        route->public.read_count++;
    }
    route->public.read_queues = route->queues;
    return &route->public;
}

static void on_later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
    struct later *later = timer->data;
    struct rmq_client *client = later->client;
    struct rmq_err err;
    int rc = fake_chance(client->lose) ? rmq_fail(&err, RMQ_TIMEOUT, "lost") : 0;
    uv_close((uv_handle_t *)timer, on_later_closed);
    if (later->members != NULL) {
        later->members(later->arg, rc, rc == 0 ? client->members : NULL,
                       rc == 0 ? client->member_count : 0, rc == 0 ? NULL : &err);
        return;
    }
    const struct rmq_route *route = rc == 0 ? make_route(client) : NULL;
    later->route(later->arg, rc, route, rc == 0 ? NULL : &err);
    rmq_route_unref(route);
}

static struct later *begin_later(struct rmq_client *client, void *arg)
{
    struct later *later = calloc(1, sizeof(*later));
    assert(later != NULL);
    uv_timer_init(&client->loop, &later->timer);
    later->timer.data = later;
    later->client = client;
    later->arg = arg;
    uv_timer_start(&later->timer, on_later, fake_random() % 3, 0);
    return later;
}

int rmq_client_route(struct rmq_client *client, const char *topic, bool fresh, rmq_route_fn done,
                     void *arg, struct rmq_err *err)
{
    (void)topic;
    (void)fresh;
    (void)err;
    begin_later(client, arg)->route = done;
    return 0;
}

int rmq_client_members(struct rmq_client *client, const char *group, const char *topic,
                       rmq_members_fn done, void *arg, struct rmq_err *err)
{
    (void)group;
    (void)topic;
    (void)err;
    begin_later(client, arg)->members = done;
    return 0;
}

int rmq_client_watch_route(struct rmq_client *client, const char *topic,
                           void (*changed)(void *arg, const struct rmq_route *route), void *arg,
                           struct rmq_route_watch **ret, struct rmq_err *err)
{
    (void)topic;
    (void)err;
    struct rmq_route_watch *watch = calloc(1, sizeof(*watch));
    assert(watch != NULL);
    *watch = (struct rmq_route_watch){client, changed, arg, client->watches};
    client->watches = watch;
    *ret = watch;
    return 0;
}

void rmq_route_watch_remove(struct rmq_route_watch *watch)
{
    struct rmq_route_watch **at = &watch->client->watches;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    free(watch);
}

void fake_route_changed(struct rmq_client *client)
{
    const struct rmq_route *route = make_route(client);
    for (struct rmq_route_watch *watch = client->watches; watch != NULL; watch = watch->next)
        watch->changed(watch->arg, route);
    rmq_route_unref(route);
}

int rmq_membership_new(struct rmq_client *client, const struct rmq_membership_options *options,
                       struct rmq_membership **ret, struct rmq_err *err)
{
    (void)err;
    assert(client->membership == NULL);
    *ret = client->membership = calloc(1, sizeof(**ret));
    assert(*ret != NULL);
    **ret = (struct rmq_membership){client, options->changed, options->arg, {NULL, NULL, NULL}};
    return 0;
}

void rmq_membership_serve(struct rmq_membership *membership,
                          const struct rmq_group_service *service)
{
    membership->service = *service;
}

const struct rmq_group_service *fake_service(const struct rmq_client *client)
{
    return &client->membership->service;
}

void rmq_membership_close(struct rmq_membership *membership)
{
    membership->client->membership = NULL;
    free(membership);
}

void fake_members_changed(struct rmq_client *client)
{
    if (client->membership != NULL)
        client->membership->changed(client->membership->arg);
}
