/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with OpenSSL on memory BIOs. */
#include "tls.h"
#include "internal.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct rmq_tls {
    SSL_CTX *context;
    bool verify_host;
};

struct rmq_tls_session {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* The reason that OpenSSL gave last, in its words. */
static const char *last_reason(char *text, size_t len)
{
    unsigned long code = ERR_peek_last_error();
    if (code == 0)
        return "no reason given";
    const char *reason = ERR_reason_error_string(code);
    if (reason != NULL)
        return reason;
    ERR_error_string_n(code, text, len);
    return text;
}

/* Never asks on a terminal, as OpenSSL would by itself. */
static int give_password(char *ret, int size, int writing, void *arg)
{
    const char *password = arg;
    (void)writing;
    if (password == NULL || strlen(password) > (size_t)size)
        return 0;
    memcpy(ret, password, strlen(password));
    return (int)strlen(password);
}

static int set_files(SSL_CTX *context, const struct rmq_tls_options *options, struct rmq_err *err)
{
    char text[128];
    if (options->ca_file != NULL) {
        if (SSL_CTX_load_verify_locations(context, options->ca_file, NULL) != 1)
            return rmq_fail(err, RMQ_INVALID, "tls: ca_file %.120s: %s", options->ca_file,
                            last_reason(text, sizeof(text)));
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    if (options->cert_file == NULL && options->key_file == NULL)
        return 0;
    if (options->cert_file == NULL || options->key_file == NULL)
        return rmq_fail(err, RMQ_INVALID, "tls: cert_file and key_file belong together");
    /* The password is needed while reading only. */
    char *password = options->key_password == NULL ? NULL : strdup(options->key_password);
    SSL_CTX_set_default_passwd_cb(context, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, password);
    int rc = 0;
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1)
        rc = rmq_fail(err, RMQ_INVALID, "tls: cert_file %.120s: %s", options->cert_file,
                      last_reason(text, sizeof(text)));
    else if (SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) != 1)
        rc = rmq_fail(err, RMQ_INVALID, "tls: key_file %.120s: %s%s", options->key_file,
                      last_reason(text, sizeof(text)),
                      password == NULL ? " (no password is set)" : "");
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (password != NULL)
        OPENSSL_cleanse(password, strlen(password));
    free(password);
    return rc;
}

int rmq_tls_new(const struct rmq_tls_options *given, struct rmq_tls **ret, struct rmq_err *err)
{
    struct rmq_tls_options options = {.ca_file = NULL};
    memcpy(&options, given,
           given->struct_size < sizeof(options) ? given->struct_size : sizeof(options));
    if (options.verify_host && options.ca_file == NULL)
        return rmq_fail(err, RMQ_INVALID,
                        "tls: verify_host needs a ca_file: a name in a certificate that anyone "
                        "may have made says nothing");
    struct rmq_tls *tls = calloc(1, sizeof(*tls));
    ERR_clear_error();
    if (tls == NULL || (tls->context = SSL_CTX_new(TLS_client_method())) == NULL) {
        free(tls);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for TLS");
    }
    tls->verify_host = options.verify_host;
    (void)SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS);
    int rc = set_files(tls->context, &options, err);
    ERR_clear_error();
    if (rc != 0) {
        rmq_tls_free(tls);
        return rc;
    }
    *ret = tls;
    return 0;
}

void rmq_tls_free(struct rmq_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* --- sessions --- */

static bool is_number(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

struct rmq_tls_session *rmq_tls_open(struct rmq_tls *tls, const char *host)
{
    struct rmq_tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->ssl = SSL_new(tls->context);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    if (session->ssl == NULL || session->in == NULL || session->out == NULL) {
        BIO_free(session->in);
        BIO_free(session->out);
        goto fail;
    }
    (void)BIO_set_mem_eof_return(session->in, -1); /* empty means later, not the end */
    (void)BIO_set_mem_eof_return(session->out, -1);
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_connect_state(session->ssl);
    bool number = is_number(host);
    /* The header's macro drops the const; OpenSSL copies the name. */
    if (!number && SSL_ctrl(session->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                            (char *)(uintptr_t)host) != 1)
        goto fail;
    if (tls->verify_host) {
        X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
        int ok = number ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                        : X509_VERIFY_PARAM_set1_host(param, host, 0);
        if (ok != 1)
            goto fail;
    }
    return session;
fail:
    SSL_free(session->ssl);
    free(session);
    ERR_clear_error();
    return NULL;
}

void rmq_tls_close(struct rmq_tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl); /* and both BIOs */
    free(session);
}

int rmq_tls_feed(struct rmq_tls_session *session, const char *data, size_t len)
{
    /* What one read of a socket brings: it fits an int. */
    return len == 0 || BIO_write(session->in, data, (int)len) == (int)len ? 0 : RMQ_NO_MEMORY;
}

/* What a failed call means. 0: it only needs more bytes. */
static int failure(struct rmq_tls_session *session, int result, const char *what,
                   struct rmq_err *err)
{
    char text[128];
    int rc = 0;
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        break;
    case SSL_ERROR_ZERO_RETURN:
        rc = rmq_fail(err, RMQ_LOST, "closed by the server");
        break;
    default:
        rc = rmq_fail(err, RMQ_MALFORMED, "%s: %s", what, last_reason(text, sizeof(text)));
    }
    ERR_clear_error();
    return rc;
}

int rmq_tls_handshake(struct rmq_tls_session *session, struct rmq_err *err)
{
    ERR_clear_error();
    int result = SSL_do_handshake(session->ssl);
    if (result == 1)
        return 1;
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    int rc = failure(session, result, "TLS handshake failed", err);
    if (rc == 0)
        return 0;
    long verified = SSL_get_verify_result(session->ssl);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        rmq_fail(err, rc, "TLS handshake failed: the server's certificate: %s",
                 X509_verify_cert_error_string(verified));
    else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG)
        rmq_fail(err, rc,
                 "TLS handshake failed: the server answered in plain text; it probably does "
                 "not speak TLS on this port");
    return rc;
}

ssize_t rmq_tls_read(struct rmq_tls_session *session, char *data, size_t len, struct rmq_err *err)
{
    ERR_clear_error();
    int result = SSL_read(session->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len);
    return result > 0 ? result : failure(session, result, "TLS", err);
}

int rmq_tls_write(struct rmq_tls_session *session, const char *data, size_t len,
                  struct rmq_err *err)
{
    size_t written;
    ERR_clear_error();
    if (len == 0)
        return 0;
    int result = SSL_write_ex(session->ssl, data, len, &written); /* memory takes it all */
    if (result == 1)
        return 0;
    int rc = failure(session, result, "TLS", err);
    return rc != 0 ? rc : rmq_fail(err, RMQ_NO_MEMORY, "TLS cannot write now");
}

int rmq_tls_take(struct rmq_tls_session *session, struct rmq_buf *to)
{
    size_t pending = BIO_ctrl_pending(session->out);
    int rc = rmq_buf_reserve(to, pending);
    if (rc != 0 || pending == 0)
        return rc;
    int taken = BIO_read(session->out, to->data + to->len, (int)pending);
    if (taken != (int)pending)
        return RMQ_NO_MEMORY;
    to->len += pending;
    return 0;
}
