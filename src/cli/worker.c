/* SPDX-License-Identifier: Apache-2.0 */
/* gantry worker */
#include "cli/options.h"
#include "cli/serve.h"

int gt_command_worker(const struct gt_command *command, int argc, char **argv)
{
    const char *file = NULL, *name_servers = NULL;
    const struct gt_option table[] = {{.name = "-c", .text = &file},
                                      {.name = "--config", .text = &file},
                                      {.name = "--namesrv", .text = &name_servers}};
    struct gt_props given;
    struct gt_settings settings;
    struct gantry_err err;
    int status;

    gt_props_init(&given);
    struct gt_options options = {.table = table, .count = 3, .settings = &given};
    if (gt_options_parse(&options, argc, argv, &err) != 0) {
        status = gt_usage_error(command, err.text);
        goto out;
    }
    if (name_servers != NULL && gt_props_set(&given, "namesrvAddr", name_servers) != 0) {
        status = gt_usage_error(command, "no memory for the options");
        goto out;
    }
    status = gt_serve_load(command, file, &given, false, &settings);
    if (status != GT_EXIT_OK)
        goto out;
    status = gt_serve(command, &settings, NULL, NULL);
    gt_settings_deinit(&settings);
out:
    gt_props_deinit(&given);
    return status;
}
