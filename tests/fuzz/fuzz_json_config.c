/* SPDX-License-Identifier: Apache-2.0 */
/* A connector's configuration as REST takes it: JSON, then the check against every built-in table.
 * No input crashes; what is refused has a reason; what was parsed and is written again reads the
 * same. */
#include "base/json.h"
#include "plugin/config_check.h"
#include "plugin/registry.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct gt_props *props)
{
    struct gt_props again;
    struct gt_buf json;
    struct gantry_err err;

    gt_props_init(&again);
    gt_buf_init(&json, SIZE_MAX / 8);
    if (gt_json_add_props(&json, props) != 0 ||
        gt_json_parse_props(&again, gt_buf_view(&json), &err) != 0 ||
        !gt_props_equal(props, &again, NULL))
        abort();
    gt_props_deinit(&again);
    gt_buf_deinit(&json);
}

static void check_tables(const struct gt_props *props)
{
    static struct gt_registry *registry;
    static struct gt_class_list classes;
    struct gt_props none;
    struct gantry_err err;

    gt_props_init(&none);
    if (registry == NULL && (gt_registry_open(&none, &registry, &err) != 0 ||
                             gt_registry_list(registry, &classes) != 0))
        abort();
    for (size_t i = 0; i < classes.count; i++) {
        struct gt_findings findings;
        struct gt_arena arena;
        struct gantry_config config;
        gt_findings_init(&findings);
        gt_arena_init(&arena, 4096, 0);
        int rc = gt_config_check(classes.items[i]->connector, props, &findings, &arena, &config);
        gt_findings_to_err(&findings, &err);
        if ((rc == 0) != (gt_findings_errors(&findings) == 0) || (rc != 0 && err.text[0] == '\0'))
            abort();
        if (rc == 0 && gantry_config_get(&config, "connector.class") == NULL)
            abort();
        gt_findings_deinit(&findings);
        gt_arena_deinit(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gt_props props;
    struct gantry_err err = {.code = 0};

    gt_props_init(&props);
    int rc = gt_json_parse_props(&props, (struct gantry_view){(const char *)data, size}, &err);
    if (rc != 0 && (err.code != rc || err.text[0] == '\0'))
        abort();
    if (rc == 0) {
        check_round_trip(&props);
        check_tables(&props);
    }
    gt_props_deinit(&props);
    return 0;
}
