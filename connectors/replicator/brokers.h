/* SPDX-License-Identifier: Apache-2.0 */
/** The brokers of a cluster with a master, as its name servers said it. Thread: the link's. */
#ifndef REP_BROKERS_H
#define REP_BROKERS_H

#include <gantry/error.h>
#include <rocketmq/admin.h>

struct rep_broker {
    char *cluster, *name, *address; /* owned */
};

struct rep_brokers {
    size_t count;
    struct rep_broker *items; /* owned */
    bool old;                 /* the last time there were none, and these are of before */
};

/** Take over what rmq_admin_cluster gave, those of @p cluster only (NULL: all). Nothing of it: the
 * earlier ones stay, for a broker that restarts is unknown for a while. false without memory. */
bool rep_brokers_take(struct rep_brokers *brokers, const char *cluster,
                      const struct rmq_broker_info *given, size_t count);
void rep_brokers_deinit(struct rep_brokers *brokers);
/** NULL: it is none of them. */
const struct rep_broker *rep_brokers_find(const struct rep_brokers *brokers, const char *name);
/** Whether they have a broker in common: then they are one cluster. */
bool rep_brokers_meet(const struct rep_brokers *a, const struct rep_brokers *b);
/** The clusters' common name; NULL when they have several. */
const char *rep_brokers_cluster(const struct rep_brokers *brokers);
/** "KEY: no cluster 'X' at SERVERS; there is A, B" */
int rep_brokers_unknown(const char *key, const char *cluster, const char *servers,
                        const struct rmq_broker_info *given, size_t count, struct gantry_err *err);

#endif
