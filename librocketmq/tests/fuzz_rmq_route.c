/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of name servers: whatever the bytes, they are a route or an error. What parses is built
 * and equals itself. */
#include "route_data.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rmq_route_data parsed;
    const struct rmq_route *route = NULL;
    struct rmq_err err;
    char *copy = malloc(size + 1); /* exactly what is there, so that ASan sees overruns */
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    if (rmq_route_data_parse(&parsed, rmq_view(copy, size), &err) == 0 &&
        rmq_route_build(&parsed, &route, &err) == 0) {
        if (!rmq_route_equal(route, route))
            abort();
        for (size_t i = 1; i < route->broker_count; i++) {
            if (strcmp(route->brokers[i - 1], route->brokers[i]) >= 0)
                abort();
        }
        rmq_route_unref(route);
    }
    rmq_route_data_deinit(&parsed);
    (void)rmq_cluster_data_parse(&parsed, rmq_view(copy, size), &err);
    rmq_route_data_deinit(&parsed);
    free(copy);
    return 0;
}
