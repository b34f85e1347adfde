/* SPDX-License-Identifier: Apache-2.0 */
/* The converters by name. A new one is one line in `converters`. */
#include "convert/converter.h"

#include "convert/converters.h"
#include <assert.h>

static const struct gt_converter *const converters[] = {
    &gt_converter_string,
    &gt_converter_bytes,
    &gt_converter_json2019,
    &gt_converter_rocketmq,
};

enum { CONVERTER_COUNT = sizeof converters / sizeof converters[0] };

const struct gt_converter *gt_converter_find(const char *name)
{
    if (name == NULL || *name == '\0')
        return &gt_converter_string;
    for (size_t i = 0; i < CONVERTER_COUNT; i++) {
        for (const char *const *known = converters[i]->names; *known != NULL; known++) {
            if (strcmp(*known, name) == 0)
                return converters[i];
        }
    }
    return NULL;
}

const char *const *gt_converter_names(void)
{
    /* in the order of `converters` */
    static const char *const names[] = {"string", "bytes", "json2019", "rocketmq", NULL};
    static_assert(sizeof names / sizeof names[0] == CONVERTER_COUNT + 1,
                  "a name for each converter");
    return names;
}
