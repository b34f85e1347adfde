/* SPDX-License-Identifier: Apache-2.0 */
/* TLS as a filter: bytes of the network in, plain bytes out, and back. No I/O: OpenSSL works on
 * memory, and connection.c moves the bytes. Errors come as texts for the user. Thread: a context
 * and its sessions are used on one thread. */
#ifndef RMQ_TLS_H
#define RMQ_TLS_H

#include <rocketmq/client.h>

struct rmq_tls;
struct rmq_tls_session;

/* Reads the files. RMQ_INVALID: err names the file or the setting. */
int rmq_tls_new(const struct rmq_tls_options *options, struct rmq_tls **ret, struct rmq_err *err);
void rmq_tls_free(struct rmq_tls *tls);

/* The client's side of one connection. host: what the certificate must name, if the options say so.
 * NULL: out of memory. */
struct rmq_tls_session *rmq_tls_open(struct rmq_tls *tls, const char *host);
void rmq_tls_close(struct rmq_tls_session *session);
/* What the network brought. 0 | RMQ_NO_MEMORY. */
int rmq_tls_feed(struct rmq_tls_session *session, const char *data, size_t len);
/* 1 established | 0 it needs more from the network | an error: it failed. */
int rmq_tls_handshake(struct rmq_tls_session *session, struct rmq_err *err);
/* Plain bytes: how many | 0 it needs more | RMQ_LOST the server has ended TLS | an error. */
ssize_t rmq_tls_read(struct rmq_tls_session *session, char *data, size_t len, struct rmq_err *err);
/* Take all of the plain bytes in. 0 | an error. After the handshake only. */
int rmq_tls_write(struct rmq_tls_session *session, const char *data, size_t len,
                  struct rmq_err *err);
/* Append what is to go to the network. 0 | as rmq_buf. */
int rmq_tls_take(struct rmq_tls_session *session, struct rmq_buf *to);

#endif
