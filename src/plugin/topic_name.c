/* SPDX-License-Identifier: Apache-2.0 */
/* RocketMQ's rule for topic names, kept also where there is no broker, so that a configuration can
 * move to one. */
#include "plugin/config_check.h"

enum { TOPIC_NAME_MAX = 127 };

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
    return GANTRY_OK;
}
