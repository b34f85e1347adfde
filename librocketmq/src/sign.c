/* SPDX-License-Identifier: Apache-2.0 */
/* The signature is base64(HMAC-SHA1(secret key, all values in the order of their names, then the
 * body)). SHA-1 is what the servers compute; a MAC with it is still sound. */
#include "sign.h"
#include "internal.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

struct rmq_signer {
    char *access_key;
    char *secret_key;
    char *security_token; /* NULL: none */
    struct rmq_buf data;  /* what is signed */
    char signature[32];   /* 28 characters */
};

void rmq_signer_free(struct rmq_signer *signer)
{
    if (signer == NULL)
        return;
    if (signer->secret_key != NULL)
        OPENSSL_cleanse(signer->secret_key, strlen(signer->secret_key));
    free(signer->access_key);
    free(signer->secret_key);
    free(signer->security_token);
    rmq_buf_deinit(&signer->data);
    free(signer);
}

int rmq_signer_new(const struct rmq_credentials *credentials, struct rmq_signer **ret,
                   struct rmq_err *err)
{
    struct rmq_credentials given = {.access_key = NULL};
    memcpy(&given, credentials,
           credentials->struct_size < sizeof(given) ? credentials->struct_size : sizeof(given));
    if (given.access_key == NULL || given.access_key[0] == '\0' || given.secret_key == NULL ||
        given.secret_key[0] == '\0')
        return rmq_fail(err, RMQ_INVALID, "credentials: %s_key is missing",
                        given.access_key == NULL || given.access_key[0] == '\0' ? "access"
                                                                                : "secret");
    struct rmq_signer *signer = calloc(1, sizeof(*signer));
    if (signer == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for the credentials");
    bool token = given.security_token != NULL && given.security_token[0] != '\0';
    rmq_buf_init(&signer->data, RMQ_FRAME_MAX);
    signer->access_key = strdup(given.access_key);
    signer->secret_key = strdup(given.secret_key);
    signer->security_token = token ? strdup(given.security_token) : NULL;
    if (signer->access_key == NULL || signer->secret_key == NULL ||
        (token && signer->security_token == NULL)) {
        rmq_signer_free(signer);
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for the credentials");
    }
    *ret = signer;
    return 0;
}

static int compare_views(struct rmq_view a, struct rmq_view b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int rmq_sign(struct rmq_signer *signer, struct rmq_command *request, struct rmq_err *err)
{
    size_t order[RMQ_FIELDS_MAX];
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (request->field_count + 3 > RMQ_FIELDS_MAX)
        return rmq_fail(err, RMQ_INVALID, "%zu fields leave no room for a signature",
                        request->field_count);
    size_t given = request->field_count;
    rmq_command_add_str(request, "AccessKey", signer->access_key);
    if (signer->security_token != NULL)
        rmq_command_add_str(request, "SecurityToken", signer->security_token);
    for (size_t i = 0; i < request->field_count; i++) { /* few: insert each in its place */
        size_t at = i;
        for (; at > 0 &&
               compare_views(request->fields[order[at - 1]].name, request->fields[i].name) > 0;
             at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    signer->data.len = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->field_count; i++)
        rc = rmq_buf_append(&signer->data, request->fields[order[i]].value.data,
                            request->fields[order[i]].value.len);
    if (rc == 0)
        rc = rmq_buf_append(&signer->data, request->body.data, request->body.len);
    if (rc != 0) {
        request->field_count = given;
        return rmq_fail(err, rc, "request too large to be signed");
    }
    if (HMAC(EVP_sha1(), signer->secret_key, (int)strlen(signer->secret_key),
             (const unsigned char *)(signer->data.len == 0 ? "" : signer->data.data),
             signer->data.len, mac, &mac_len) == NULL ||
        mac_len != 20) {
        request->field_count = given;
        return rmq_fail(err, RMQ_INVALID, "HMAC-SHA1 is not available in this OpenSSL");
    }
    (void)EVP_EncodeBlock((unsigned char *)signer->signature, mac, (int)mac_len);
    rmq_command_add_str(request, "Signature", signer->signature);
    return 0;
}
