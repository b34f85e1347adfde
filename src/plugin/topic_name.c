/* SPDX-License-Identifier: Apache-2.0 */
/* RocketMQ's rule for topic names, kept also where there is no broker, so that a configuration can
 * move to one. */
#include "plugin/config_check.h"

enum { TOPIC_NAME_MAX = 127 };

/* Topics in which brokers, or the workers of a cluster, keep what is theirs. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {
        "TBW102",
        "BenchmarkTest",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CHECKPOINT_TOPIC",
        "SCHEDULE_TOPIC_XXXX",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "RMQ_SYS_TRACE_TOPIC",
    };
    static const char *const beginnings[] = {"rmq_sys_", "gantry-cluster-"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    }
    return false;
}

int gt_topic_name_check(const char *name, struct gantry_err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%|_-";
    size_t len = strlen(name);

    if (len == 0)
        return gantry_err_set(err, GANTRY_INVALID,
                              "the topic's name is empty; give 1 to %d characters", TOPIC_NAME_MAX);
    if (len > TOPIC_NAME_MAX)
        return gantry_err_set(err, GANTRY_INVALID,
                              "the topic's name '%.60s...' has %zu bytes; %d are allowed", name,
                              len, TOPIC_NAME_MAX);
    if (strspn(name, allowed) != len)
        return gantry_err_set(
            err, GANTRY_INVALID,
            "the topic's name '%s' is not allowed; use letters a-z A-Z, digits, and %% | _ -",
            name);
    if (is_reserved(name))
        return gantry_err_set(err, GANTRY_INVALID,
                              "the topic's name '%s' is one that brokers or workers keep for "
                              "themselves; take another",
                              name);
    return GANTRY_OK;
}
