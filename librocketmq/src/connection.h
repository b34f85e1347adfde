/* SPDX-License-Identifier: Apache-2.0 */
/* What the client does with its connections and others have no use for. Thread: the loop's. */
#ifndef RMQ_CONNECTION_INTERNAL_H
#define RMQ_CONNECTION_INTERNAL_H

#include <rocketmq/connection.h>

enum { RMQ_HOST_MAX = 256 };

/* host:port, [ipv6]:port or ipv6:port into its parts, of at most RMQ_HOST_MAX and 8 bytes with
 * their NUL. RMQ_INVALID. Thread: any. */
int rmq_address_split(const char *address, char *ret_host, char *ret_port, struct rmq_err *err);
/* RMQ_INVALID: not an address that rmq_connection_new takes. Thread: any. */
int rmq_address_check(const char *address, struct rmq_err *err);
/* Write what may be written now, not at the end of this turn of the loop: for the last words before
 * a close. May end the link; no callback but those of a lost link. */
void rmq_connection_flush(struct rmq_connection *connection);
/* Drop the link: what is in flight ends, from the loop, with RMQ_LOST, and bytes that the server
 * has not been sent yet never will be. What waits goes out on the next link. */
void rmq_connection_reset(struct rmq_connection *connection);
/* Something waits, or is in flight. */
bool rmq_connection_busy(const struct rmq_connection *connection);

#endif
