/* SPDX-License-Identifier: Apache-2.0 */
/* Properties files: no input crashes the parser, and what it accepts is text that survives being
 * written as JSON. */
#include "base/json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gt_props props, again;
    struct gt_buf json;
    struct gantry_err err = {.code = 0};

    gt_props_init(&props);
    gt_props_init(&again);
    gt_buf_init(&json, SIZE_MAX / 8);
    int rc = gt_props_parse(&props, (struct gantry_view){(const char *)data, size}, &err);
    if (rc != 0 && (err.code != rc || err.text[0] == '\0'))
        abort();
    for (size_t i = 0; rc == 0 && i < props.count; i++) {
        if (!gt_utf8_valid(gantry_view_of(props.items[i].key)) ||
            !gt_utf8_valid(gantry_view_of(props.items[i].value)))
            abort();
    }
    if (rc == 0 && (gt_json_add_props(&json, &props) != 0 ||
                    gt_json_parse_props(&again, gt_buf_view(&json), &err) != 0 ||
                    !gt_props_equal(&props, &again, NULL)))
        abort();
    gt_props_deinit(&props);
    gt_props_deinit(&again);
    gt_buf_deinit(&json);
    return 0;
}
