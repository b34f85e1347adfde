/* SPDX-License-Identifier: Apache-2.0 */
#include "brokers.h"

#include <stdlib.h>
#include <string.h>

void rep_brokers_deinit(struct rep_brokers *brokers)
{
    for (size_t i = 0; i < brokers->count; i++) {
        free(brokers->items[i].cluster);
        free(brokers->items[i].name);
        free(brokers->items[i].address);
    }
    free(brokers->items);
    *brokers = (struct rep_brokers){0};
}

bool rep_brokers_take(struct rep_brokers *brokers, const char *cluster,
                      const struct rmq_broker_info *given, size_t count)
{
    struct rep_brokers taken = {.items = calloc(count + 1, sizeof *taken.items)};
    bool fine = taken.items != NULL;
    for (size_t i = 0; i < count && fine; i++) {
        const struct rmq_broker_info *from = &given[i];
        if ((cluster != NULL && strcmp(from->cluster, cluster) != 0) || from->address_count == 0 ||
            from->addresses[0].id != 0)
            continue;
        struct rep_broker *broker = &taken.items[taken.count++];
        broker->cluster = strdup(from->cluster);
        broker->name = strdup(from->name);
        broker->address = strdup(from->addresses[0].address);
        fine = broker->cluster != NULL && broker->name != NULL && broker->address != NULL;
    }
    if (!fine || taken.count == 0) {
        rep_brokers_deinit(&taken);
        brokers->old = true;
        return fine;
    }
    rep_brokers_deinit(brokers);
    *brokers = taken;
    return true;
}

const struct rep_broker *rep_brokers_find(const struct rep_brokers *brokers, const char *name)
{
    for (size_t i = 0; i < brokers->count; i++) {
        if (strcmp(brokers->items[i].name, name) == 0)
            return &brokers->items[i];
    }
    return NULL;
}

bool rep_brokers_meet(const struct rep_brokers *a, const struct rep_brokers *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct rep_broker *other = rep_brokers_find(b, a->items[i].name);
        if (other != NULL && strcmp(other->address, a->items[i].address) == 0)
            return true;
    }
    return false;
}

const char *rep_brokers_cluster(const struct rep_brokers *brokers)
{
    for (size_t i = 1; i < brokers->count; i++) {
        if (strcmp(brokers->items[i].cluster, brokers->items[0].cluster) != 0)
            return NULL;
    }
    return brokers->count > 0 ? brokers->items[0].cluster : NULL;
}

int rep_brokers_unknown(const char *key, const char *cluster, const char *servers,
                        const struct rmq_broker_info *given, size_t count, struct gantry_err *err)
{
    char names[200] = "";
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names);
        if (i == 0 || strcmp(given[i].cluster, given[i - 1].cluster) != 0)
            (void)snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
                           given[i].cluster);
    }
    if (cluster == NULL)
        return gantry_err_set(err, GANTRY_AGAIN, "%s: no broker is registered at %.150s", key,
                              servers);
    return gantry_err_set(err, GANTRY_NOT_FOUND,
                          "%s: the name servers %.150s know no cluster '%.100s'; they know: %s",
                          key, servers, cluster, names[0] != '\0' ? names : "none");
}
