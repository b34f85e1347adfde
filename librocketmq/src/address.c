/* SPDX-License-Identifier: Apache-2.0 */
/* host:port, as servers are named in settings and in routes. */
#include "connection.h"
#include "internal.h"
#include <stdio.h>

int rmq_address_split(const char *address, char *ret_host, char *ret_port, struct rmq_err *err)
{
    const char *colon = address == NULL ? NULL : strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    int64_t port;
    const char *host = address;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= RMQ_HOST_MAX || !rmq_parse_i64(rmq_view_str(colon + 1), &port) ||
        port < 1 || port > 65535)
        return rmq_fail(err, RMQ_INVALID,
                        "address '%.100s'; host:port is expected, port 1 to 65535",
                        address == NULL ? "" : address);
    memcpy(ret_host, host, len);
    ret_host[len] = '\0';
    (void)snprintf(ret_port, 8, "%d", (int)port);
    return 0;
}

int rmq_address_check(const char *address, struct rmq_err *err)
{
    char host[RMQ_HOST_MAX], port[8];
    return rmq_address_split(address, host, port, err);
}
