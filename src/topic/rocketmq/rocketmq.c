/* SPDX-License-Identifier: Apache-2.0 */
#include "topic/rocketmq/rocketmq.h"

int gt_topics_open_rocketmq(struct gt_store *store, struct gt_link *link,
                            const struct gt_rocketmq_settings *settings, struct gt_topics **ret,
                            struct gantry_err *err)
{
    (void)store;
    (void)link;
    (void)settings;
    (void)ret;
    return gantry_err_set(err, GANTRY_UNSUPPORTED,
                          "namesrvAddr: a broker is not supported by this version; leave it out");
}
