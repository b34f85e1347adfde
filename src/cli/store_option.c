/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/store_option.h"

int gt_store_option_settle(const struct gt_command *command, struct gt_store_option *store,
                           struct gt_settings *settings)
{
    struct gt_props none;
    gt_props_init(&none);
    int status = gt_serve_load(command, store->file, &none, true, settings);
    gt_props_deinit(&none);
    if (status == GT_EXIT_OK && store->folder == NULL)
        store->folder = settings->store;
    return status;
}
