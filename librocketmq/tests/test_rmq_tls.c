/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS filter against OpenSSL's server side, in memory; signing against captured requests; and a
 * connection over TLS against servers that do not speak it. Certificates are made here. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "sign.h"
#include "tls.h"
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BULK = 1 << 20 };

struct keys {
    X509 *certificate;
    EVP_PKEY *key;
    char cert_file[64], key_file[64];
};

static struct keys keys;

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static FILE *open_new(char *path, size_t len)
{
    (void)snprintf(path, len, "/tmp/rmq-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    return file;
}

static int make_keys(void **state)
{
    (void)state;
    keys.key = EVP_EC_gen("P-256");
    keys.certificate = X509_new();
    assert_non_null(keys.key);
    assert_non_null(keys.certificate);
    (void)X509_set_version(keys.certificate, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(keys.certificate), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(keys.certificate), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(keys.certificate), 3600);
    (void)X509_set_pubkey(keys.certificate, keys.key);
    X509_NAME *name = X509_get_subject_name(keys.certificate);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1,
                                     -1, 0);
    (void)X509_set_issuer_name(keys.certificate, name);
    add_extension(keys.certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(keys.certificate, NID_subject_alt_name, "DNS:broker.test,IP:127.0.0.1");
    assert_true(X509_sign(keys.certificate, keys.key, EVP_sha256()) > 0);
    FILE *file = open_new(keys.cert_file, sizeof(keys.cert_file));
    assert_int_equal(PEM_write_X509(file, keys.certificate), 1);
    assert_int_equal(fclose(file), 0);
    file = open_new(keys.key_file, sizeof(keys.key_file));
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(file, keys.key, EVP_aes_128_cbc(), "word", 4, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    (void)unlink(keys.cert_file);
    (void)unlink(keys.key_file);
    X509_free(keys.certificate);
    EVP_PKEY_free(keys.key);
    return 0;
}

/* Both ends, and the bytes between them. */
struct pair {
    SSL_CTX *context;
    SSL *server;
    BIO *to_server, *from_server;
    struct rmq_tls *tls;
    struct rmq_tls_session *client;
    size_t piece; /* so many bytes are handed over at a time */
};

static void start_pair(struct pair *pair, const struct rmq_tls_options *options, const char *host)
{
    memset(pair, 0, sizeof(*pair));
    pair->piece = BULK;
    pair->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(pair->context, keys.certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(pair->context, keys.key), 1);
    pair->server = SSL_new(pair->context);
    pair->to_server = BIO_new(BIO_s_mem());
    pair->from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->server, pair->to_server, pair->from_server);
    SSL_set_accept_state(pair->server);
    assert_int_equal(rmq_tls_new(options, &pair->tls, NULL), 0);
    pair->client = rmq_tls_open(pair->tls, host);
    assert_non_null(pair->client);
}

static void end_pair(struct pair *pair)
{
    rmq_tls_close(pair->client);
    rmq_tls_free(pair->tls);
    SSL_free(pair->server);
    SSL_CTX_free(pair->context);
}

static void carry_to_server(struct pair *pair)
{
    struct rmq_buf sealed;
    rmq_buf_init(&sealed, 4 * BULK);
    assert_int_equal(rmq_tls_take(pair->client, &sealed), 0);
    if (sealed.len > 0)
        assert_int_equal(BIO_write(pair->to_server, sealed.data, (int)sealed.len), sealed.len);
    rmq_buf_deinit(&sealed);
}

/* One piece; false when there is none. */
static bool carry_to_client(struct pair *pair)
{
    static char bytes[BULK];
    int got = BIO_read(pair->from_server, bytes, (int)pair->piece);
    if (got > 0)
        assert_int_equal(rmq_tls_feed(pair->client, bytes, (size_t)got), 0);
    return got > 0;
}

/* What the client's handshake comes to. */
static int shake(struct pair *pair, struct rmq_err *err)
{
    for (;;) {
        int rc = rmq_tls_handshake(pair->client, err);
        carry_to_server(pair);
        (void)SSL_do_handshake(pair->server);
        if (rc != 0)
            return rc;
        assert_true(carry_to_client(pair)); /* else it would wait for ever */
    }
}

static void bytes_pass_whole_in_both_directions(void **state)
{
    static const size_t pieces[] = {BULK, 1000, 7};
    static char sent[BULK], received[BULK];
    (void)state;
    for (size_t i = 0; i < BULK; i++)
        sent[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        struct rmq_tls_options options = {
            .struct_size = sizeof(options), .ca_file = keys.cert_file, .verify_host = true};
        start_pair(&pair, &options, i == 0 ? "broker.test" : "127.0.0.1");
        pair.piece = pieces[i];
        assert_int_equal(shake(&pair, NULL), 1);
        assert_int_equal(rmq_tls_write(pair.client, sent, BULK, NULL), 0);
        carry_to_server(&pair);
        for (size_t at = 0; at < BULK;) {
            int got = SSL_read(pair.server, received + at, (int)(BULK - at));
            assert_true(got > 0);
            at += (size_t)got;
        }
        assert_memory_equal(received, sent, BULK);
        memset(received, 0, BULK);
        (void)SSL_key_update(pair.server, SSL_KEY_UPDATE_REQUESTED);
        assert_int_equal(SSL_write(pair.server, sent, BULK), BULK);
        for (size_t at = 0; at < BULK;) {
            ssize_t got = rmq_tls_read(pair.client, received + at, BULK - at, NULL);
            assert_true(got >= 0);
            at += (size_t)got;
            if (got == 0)
                assert_true(carry_to_client(&pair));
        }
        assert_memory_equal(received, sent, BULK);
        carry_to_server(&pair); /* the answer to the change of keys */
        (void)SSL_shutdown(pair.server);
        while (carry_to_client(&pair)) {
        }
        struct rmq_err err;
        assert_int_equal(rmq_tls_read(pair.client, received, BULK, &err), RMQ_LOST);
        end_pair(&pair);
    }
}

static void servers_are_verified_as_the_options_say(void **state)
{
    struct pair pair;
    struct rmq_err err;
    struct rmq_tls_options none = {.struct_size = sizeof(none)};
    struct rmq_tls_options named = {
        .struct_size = sizeof(named), .ca_file = keys.cert_file, .verify_host = true};
    (void)state;
    start_pair(&pair, &none, "anything");
    assert_int_equal(shake(&pair, &err), 1);
    end_pair(&pair);
    start_pair(&pair, &named, "another.test");
    assert_int_equal(shake(&pair, &err), RMQ_MALFORMED);
    assert_non_null(strstr(err.text, "ostname mismatch"));
    end_pair(&pair);
    start_pair(&pair, &named, "127.0.0.2");
    assert_int_equal(shake(&pair, &err), RMQ_MALFORMED);
    assert_non_null(strstr(err.text, "IP address mismatch"));
    end_pair(&pair);
    /* Someone else's certificate, with the right name. */
    struct keys mine = keys;
    assert_int_equal(make_keys(NULL), 0);
    start_pair(&pair,
               &(struct rmq_tls_options){.struct_size = sizeof(named), .ca_file = mine.cert_file},
               "broker.test");
    assert_int_equal(shake(&pair, &err), RMQ_MALFORMED);
    assert_non_null(strstr(err.text, "certificate"));
    end_pair(&pair);
    assert_int_equal(drop_keys(NULL), 0);
    keys = mine;
}

static void own_keys_need_their_password(void **state)
{
    struct rmq_tls *tls;
    struct rmq_err err;
    struct rmq_tls_options options = {
        .struct_size = sizeof(options), .cert_file = keys.cert_file, .key_file = keys.key_file};
    (void)state;
    assert_int_equal(rmq_tls_new(&options, &tls, &err), RMQ_INVALID); /* and asks nobody */
    assert_non_null(strstr(err.text, keys.key_file));
    options.key_password = "wrong";
    assert_int_equal(rmq_tls_new(&options, &tls, &err), RMQ_INVALID);
    options.key_password = "word";
    assert_int_equal(rmq_tls_new(&options, &tls, &err), 0);
    rmq_tls_free(tls);
    options.key_file = NULL;
    assert_int_equal(rmq_tls_new(&options, &tls, &err), RMQ_INVALID);
}

/* --- connections to servers without TLS --- */

enum manner { CLOSES, ANSWERS_PLAIN, SILENT };

struct fixture {
    uv_loop_t loop;
    uv_tcp_t server, peer;
    enum manner manner;
    bool accepted, closed;
    int calls, rc;
    char text[232];
};

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char space[4096];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(space, sizeof(space));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct fixture *fixture = stream->data;
    uv_buf_t answer = uv_buf_init((char[]){"\0\0\0\20plain text here"}, 19);
    (void)buf;
    if (uv_is_closing((uv_handle_t *)stream))
        return;
    if (count < 0 || fixture->manner == CLOSES)
        uv_close((uv_handle_t *)stream, NULL);
    else if (fixture->manner == ANSWERS_PLAIN)
        (void)uv_try_write(stream, &answer, 1);
}

static void on_accept(uv_stream_t *server, int status)
{
    struct fixture *fixture = server->data;
    assert_int_equal(status, 0);
    assert_false(fixture->accepted);
    fixture->accepted = true;
    assert_int_equal(uv_tcp_init(&fixture->loop, &fixture->peer), 0);
    fixture->peer.data = fixture;
    assert_int_equal(uv_accept(server, (uv_stream_t *)&fixture->peer), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&fixture->peer, on_space, on_read), 0);
}

static void on_reply(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct fixture *fixture = arg;
    (void)reply;
    fixture->calls++;
    fixture->rc = rc;
    memcpy(fixture->text, err->text, sizeof(fixture->text));
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

/* Ask a server that behaves so; close after that many turns of the loop (-1: after the reply). */
static void ask(struct fixture *fixture, enum manner manner, bool with_tls, int turns)
{
    struct sockaddr_in name;
    int len = sizeof(name);
    char address[32];
    struct rmq_tls *tls;
    struct rmq_connection *connection;
    struct rmq_command request;
    memset(fixture, 0, sizeof(*fixture));
    fixture->manner = manner;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_tcp_init(&fixture->loop, &fixture->server), 0);
    fixture->server.data = fixture;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &name), 0);
    assert_int_equal(uv_tcp_bind(&fixture->server, (struct sockaddr *)&name, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fixture->server, 1, on_accept), 0);
    assert_int_equal(uv_tcp_getsockname(&fixture->server, (struct sockaddr *)&name, &len), 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d",
                   (name.sin_port & 0xFF) << 8 | name.sin_port >> 8);
    assert_int_equal(
        rmq_tls_new(&(struct rmq_tls_options){.struct_size = sizeof(struct rmq_tls_options)}, &tls,
                    NULL),
        0);
    struct rmq_connection_options options = {
        .struct_size = sizeof(options), .connect_timeout_ms = 100, .tls = with_tls ? tls : NULL};
    assert_int_equal(rmq_connection_new(&fixture->loop, address, &options, &connection, NULL), 0);
    rmq_command_init(&request, RMQ_GET_ROUTE);
    assert_int_equal(rmq_connection_call(connection, &request, 5000, on_reply, fixture, NULL), 0);
    for (int i = 0; turns < 0 ? fixture->calls == 0 : i < turns; i++)
        (void)uv_run(&fixture->loop, turns < 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    rmq_connection_close(connection, on_closed, fixture);
    uv_close((uv_handle_t *)&fixture->server, NULL);
    if (fixture->accepted && !uv_is_closing((uv_handle_t *)&fixture->peer))
        uv_close((uv_handle_t *)&fixture->peer, NULL);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_true(fixture->closed);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(fixture->calls, 1);
    rmq_tls_free(tls);
}

static void a_server_of_the_other_kind_is_told_apart(void **state)
{
    struct fixture fixture;
    (void)state;
    ask(&fixture, CLOSES, true, -1);
    assert_int_equal(fixture.rc, RMQ_UNREACHABLE); /* nothing was sent that could be carried out */
    assert_non_null(strstr(fixture.text, "does not speak TLS"));
    ask(&fixture, ANSWERS_PLAIN, true, -1);
    assert_int_equal(fixture.rc, RMQ_UNREACHABLE);
    assert_non_null(strstr(fixture.text, "plain text"));
    ask(&fixture, SILENT, true, -1);
    assert_int_equal(fixture.rc, RMQ_UNREACHABLE);
    assert_non_null(strstr(fixture.text, "TLS handshake: no answer in time"));
    ask(&fixture, CLOSES, false, -1);
    assert_int_equal(fixture.rc, RMQ_LOST);
    assert_non_null(strstr(fixture.text, "it may want TLS"));
}

static void closing_works_during_the_handshake(void **state)
{
    (void)state;
    for (int turns = 0; turns < 8; turns++) {
        struct fixture fixture;
        ask(&fixture, SILENT, true, turns);
        assert_int_equal(fixture.rc, RMQ_CLOSED);
    }
}

/* --- signing --- */

static struct rmq_view unhex(const char *hex, char **ret_owned)
{
    size_t len = strlen(hex) / 2;
    char *bytes = malloc(len + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    *ret_owned = bytes;
    return rmq_view(bytes, len);
}

static void captured_requests_get_the_same_signature(void **state)
{
    char path[512];
    const char *folder = getenv("RMQ_VECTORS");
    json_t *vector;
    size_t i, signatures = 0;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/acl-signing.json",
                   folder == NULL ? "tests/vectors" : folder);
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    json_array_foreach(json_object_get(root, "vectors"), i, vector)
    {
        static const char *const added[] = {"AccessKey", "SecurityToken", "Signature"};
        json_t *signing = json_object_get(vector, "signing");
        struct rmq_command command;
        struct rmq_signer *signer;
        char *frame, token[128] = "";
        struct rmq_view bytes =
            unhex(json_string_value(json_object_get(vector, "frame_hex")), &frame);
        rmq_command_init(&command, 0);
        assert_int_equal(rmq_command_decode(&command, bytes, NULL), 0);
        struct rmq_view sent = rmq_command_get(&command, "SecurityToken");
        (void)snprintf(token, sizeof(token), "%.*s", (int)sent.len, sent.len == 0 ? "" : sent.data);
        size_t kept = 0;
        for (size_t j = 0; j < command.field_count; j++) {
            bool own = false;
            for (size_t k = 0; k < 3; k++)
                own |= rmq_view_equal(command.fields[j].name, rmq_view_str(added[k]));
            if (!own)
                command.fields[kept++] = command.fields[j];
        }
        command.field_count = kept;
        struct rmq_credentials credentials = {
            .struct_size = sizeof(credentials),
            .access_key = json_string_value(json_object_get(signing, "access_key")),
            .secret_key = json_string_value(json_object_get(signing, "secret_key")),
            .security_token = token};
        assert_int_equal(rmq_signer_new(&credentials, &signer, NULL), 0);
        assert_int_equal(rmq_sign(signer, &command, NULL), 0);
        const char *expected = json_string_value(json_object_get(signing, "hmac_sha1_base64"));
        assert_true(rmq_view_equal(rmq_command_get(&command, "Signature"), rmq_view_str(expected)));
        signatures++;
        rmq_signer_free(signer);
        rmq_command_deinit(&command);
        free(frame);
    }
    assert_true(signatures >= 8);
    json_decref(root);
}

static void the_order_of_signed_fields_is_by_bytes(void **state)
{
    struct rmq_command command;
    struct rmq_signer *signer;
    struct rmq_credentials credentials = {.struct_size = sizeof(credentials),
                                          .access_key = "ak",
                                          .secret_key = "12345678",
                                          .security_token = "tok"};
    (void)state;
    rmq_command_init(&command, 1);
    rmq_command_add_str(&command, "b", "2");
    rmq_command_add_str(&command, "a", "1");
    rmq_command_add_str(&command, "Z", "26");
    command.body = rmq_view_str("body");
    assert_int_equal(rmq_signer_new(&credentials, &signer, NULL), 0);
    assert_int_equal(rmq_sign(signer, &command, NULL), 0);
    assert_true(rmq_view_equal(rmq_command_get(&command, "Signature"),
                               rmq_view_str("9pGCXasAAF3CRV6Dd/ZD5BzcIc8=")));
    rmq_command_init(&command, 1);
    for (int i = 0; i < RMQ_FIELDS_MAX - 2; i++)
        rmq_command_add_str(&command, "f", "v");
    assert_int_equal(rmq_sign(signer, &command, NULL), RMQ_INVALID);
    rmq_signer_free(signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_whole_in_both_directions),
        cmocka_unit_test(servers_are_verified_as_the_options_say),
        cmocka_unit_test(own_keys_need_their_password),
        cmocka_unit_test(a_server_of_the_other_kind_is_told_apart),
        cmocka_unit_test(closing_works_during_the_handshake),
        cmocka_unit_test(captured_requests_get_the_same_signature),
        cmocka_unit_test(the_order_of_signed_fields_is_by_bytes),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
