/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects by name. */
#include "rest/dialect.h"

#include <string.h>

const struct gt_dialect *gt_dialect_of(enum gt_rest_dialect dialect)
{
    return dialect == GT_REST_CODE_2019 ? &gt_dialect_2019 : &gt_dialect_manual;
}

int gt_rest_dialect_parse(const char *name, enum gt_rest_dialect *ret, struct gantry_err *err)
{
    if (strcmp(name, gt_dialect_manual.name) == 0)
        *ret = GT_REST_MANUAL;
    else if (strcmp(name, gt_dialect_2019.name) == 0)
        *ret = GT_REST_CODE_2019;
    else
        return gantry_err_set(err, GANTRY_INVALID,
                              "rest.dialect '%s': not known; use manual or code-2019", name);
    return 0;
}
