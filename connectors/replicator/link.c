/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTE_REFRESH_MIN_MS = 1000 };

struct rep_link {
    const struct gantry_runtime *runtime; /* borrowed */
    pthread_mutex_t lock;                 /* guards the next five */
    bool running, ending;
    struct rep_mail *first, **last;
    pthread_t thread;

    uv_loop_t loop; /* the thread's, as what follows */
    uv_async_t wake;
    struct rep_cluster *clusters;
};

static void on_wake(uv_async_t *wake)
{
    struct rep_link *link = wake->data;
    pthread_mutex_lock(&link->lock);
    struct rep_mail *mail = link->first;
    link->first = NULL;
    link->last = &link->first;
    bool ending = link->ending;
    pthread_mutex_unlock(&link->lock);
    while (mail != NULL) {
        struct rep_mail *next = mail->next;
        pthread_mutex_lock(&link->lock);
        mail->sent = false; /* from here on it may be sent again */
        pthread_mutex_unlock(&link->lock);
        mail->run(mail);
        mail = next;
    }
    if (ending && !uv_is_closing((uv_handle_t *)wake))
        uv_close((uv_handle_t *)wake, NULL);
}

static void *run(void *arg)
{
    struct rep_link *link = arg;
    uv_run(&link->loop, UV_RUN_DEFAULT);
    return NULL;
}

int rep_link_new(const struct gantry_runtime *runtime, struct rep_link **ret,
                 struct gantry_err *err)
{
    struct rep_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the replicator");
    link->runtime = runtime;
    link->last = &link->first;
    (void)pthread_mutex_init(&link->lock, NULL); /* cannot fail on Linux */
    *ret = link;
    return 0;
}

int rep_link_start(struct rep_link *link, struct gantry_err *err)
{
    int rc = 0;
    pthread_mutex_lock(&link->lock);
    if (!link->running) {
        rc = uv_loop_init(&link->loop);
        if (rc == 0) {
            link->wake.data = link;
            rc = uv_async_init(&link->loop, &link->wake, on_wake);
            if (rc == 0 && (rc = -pthread_create(&link->thread, NULL, run, link)) != 0) {
                uv_close((uv_handle_t *)&link->wake, NULL);
                uv_run(&link->loop, UV_RUN_DEFAULT);
            }
            if (rc != 0)
                uv_loop_close(&link->loop);
        }
        link->running = rc == 0;
        if (rc == 0)
            (void)pthread_setname_np(link->thread, "gt-replicator");
    }
    pthread_mutex_unlock(&link->lock);
    return rc == 0 ? 0
                   : gantry_err_set(err, GANTRY_NO_MEMORY,
                                    "cannot start the replicator's thread: %s", uv_strerror(rc));
}

void rep_link_send(struct rep_link *link, struct rep_mail *mail)
{
    pthread_mutex_lock(&link->lock);
    if (!mail->sent) {
        mail->sent = true;
        mail->next = NULL;
        *link->last = mail;
        link->last = &mail->next;
        (void)uv_async_send(&link->wake); /* fails only on a handle that is closing */
    }
    pthread_mutex_unlock(&link->lock);
}

void rep_link_free(struct rep_link *link)
{
    if (link == NULL)
        return;
    if (link->running) {
        pthread_mutex_lock(&link->lock);
        link->ending = true;
        (void)uv_async_send(&link->wake);
        pthread_mutex_unlock(&link->lock);
        pthread_join(link->thread, NULL);
        uv_loop_close(&link->loop);
    }
    (void)pthread_mutex_destroy(&link->lock);
    free(link);
}

uv_loop_t *rep_link_loop(struct rep_link *link)
{
    return &link->loop;
}

/* --- Clusters --- */

static void on_log(void *arg, enum rmq_log_level level, const char *text)
{
    static const enum gantry_log_level levels[] = {
        [RMQ_LOG_DEBUG] = GANTRY_LOG_DEBUG,
        [RMQ_LOG_INFO] = GANTRY_LOG_INFO,
        [RMQ_LOG_WARN] = GANTRY_LOG_WARN,
        [RMQ_LOG_ERROR] = GANTRY_LOG_ERROR,
    };
    const struct rep_link *link = arg;
    link->runtime->log(levels[level], "replicator", text);
}

int rep_error_code(int rmq_code)
{
    switch (rmq_code) {
    case RMQ_NO_MEMORY:
        return GANTRY_NO_MEMORY;
    case RMQ_INVALID:
        return GANTRY_INVALID;
    case RMQ_NOT_FOUND:
        return GANTRY_NOT_FOUND;
    case RMQ_TOO_LARGE:
        return GANTRY_TOO_LARGE;
    case RMQ_MALFORMED:
    case RMQ_CORRUPT:
        return GANTRY_CORRUPT;
    case RMQ_CLOSED:
        return GANTRY_CLOSED;
    case RMQ_REFUSED:
        return GANTRY_DENIED;
    default:
        return GANTRY_AGAIN;
    }
}

static int make_client(uv_loop_t *loop, const struct rep_endpoint *endpoint, struct rep_link *link,
                       struct rmq_client **ret, struct gantry_err *err)
{
    struct rmq_tls_options tls = {
        .struct_size = sizeof tls,
        .ca_file = endpoint->verify ? endpoint->ca_file : NULL,
        .cert_file = endpoint->cert_file,
        .key_file = endpoint->key_file,
        .key_password = endpoint->key_password,
        .verify_host = endpoint->verify_host,
    };
    struct rmq_credentials credentials = {
        .struct_size = sizeof credentials,
        .access_key = endpoint->access_key,
        .secret_key = endpoint->secret_key,
    };
    struct rmq_client_options options = {
        .struct_size = sizeof options,
        .name_servers = endpoint->name_servers,
        .codec = RMQ_CODEC_BINARY,
        .route_refresh_ms = endpoint->refresh_ms < ROUTE_REFRESH_MIN_MS ? ROUTE_REFRESH_MIN_MS
                                                                        : endpoint->refresh_ms,
        .tls = endpoint->tls ? &tls : NULL,
        .credentials = endpoint->access_key != NULL ? &credentials : NULL,
        .log = link != NULL ? on_log : NULL,
        .arg = link,
    };
    struct rmq_err reason = {0};
    int rc = rmq_client_new(loop, &options, ret, &reason);
    return rc == 0 ? 0
                   : gantry_err_set(err, rep_error_code(rc), "%s: %s", endpoint->key, reason.text);
}

int rep_cluster_get(struct rep_link *link, const struct rep_endpoint *endpoint,
                    struct rep_cluster **ret, struct gantry_err *err)
{
    char *identity = rep_endpoint_identity(endpoint);
    if (identity == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", endpoint->key);
    for (struct rep_cluster *known = link->clusters; known != NULL; known = known->next) {
        if (strcmp(known->identity, identity) == 0) {
            free(identity);
            known->refs++;
            *ret = known;
            return 0;
        }
    }
    struct rep_cluster *cluster = calloc(1, sizeof *cluster);
    int rc = cluster != NULL
                 ? make_client(&link->loop, endpoint, link, &cluster->client, err)
                 : gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", endpoint->key);
    if (rc != 0) {
        free(identity);
        free(cluster);
        return rc;
    }
    cluster->link = link;
    cluster->refs = 1;
    cluster->identity = identity;
    cluster->next = link->clusters;
    link->clusters = cluster;
    *ret = cluster;
    return 0;
}

void rep_cluster_put(struct rep_cluster *cluster)
{
    if (cluster == NULL || --cluster->refs > 0)
        return;
    struct rep_cluster **at = &cluster->link->clusters;
    while (*at != cluster)
        at = &(*at)->next;
    *at = cluster->next;
    rmq_client_close(cluster->client, NULL, NULL);
    explicit_bzero(cluster->identity, strlen(cluster->identity));
    free(cluster->identity);
    free(cluster);
}

int rep_endpoint_check(const struct rep_endpoint *endpoint, struct gantry_err *err)
{
    uv_loop_t loop;
    struct rmq_client *client;
    int rc = uv_loop_init(&loop);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "%s: %s", endpoint->key, uv_strerror(rc));
    rc = make_client(&loop, endpoint, NULL, &client, err);
    if (rc == 0)
        rmq_client_close(client, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return rc;
}
