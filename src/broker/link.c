/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/link.h"

#include "base/log.h"
#include <stdlib.h>
#include <string.h>

struct gt_link {
    pthread_t thread;
    uv_loop_t loop;
    struct gt_mailbox mailbox;
    struct rmq_client *client;
    struct gt_mail end_mail;
};

static void on_log(void *arg, enum rmq_log_level level, const char *text)
{
    static const enum gantry_log_level levels[] = {
        [RMQ_LOG_DEBUG] = GANTRY_LOG_DEBUG,
        [RMQ_LOG_INFO] = GANTRY_LOG_INFO,
        [RMQ_LOG_WARN] = GANTRY_LOG_WARN,
        [RMQ_LOG_ERROR] = GANTRY_LOG_ERROR,
    };
    (void)arg;
    gt_log(levels[level], "rocketmq", "%s", text);
}

static void on_client_closed(void *arg)
{
    struct gt_link *link = arg;
    gt_mailbox_close(&link->mailbox, NULL);
}

static void end_loop(struct gt_mail *mail)
{
    struct gt_link *link = (struct gt_link *)((char *)mail - offsetof(struct gt_link, end_mail));
    if (link->client != NULL)
        rmq_client_close(link->client, on_client_closed, link);
    else
        on_client_closed(link);
}

static void *run_link(void *arg)
{
    struct gt_link *link = arg;
    uv_run(&link->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int make_client(struct gt_link *link, const struct gt_link_settings *settings,
                       struct gantry_err *err)
{
    struct rmq_tls_options tls = {
        .struct_size = sizeof tls,
        .ca_file = settings->tls_ca,
        .cert_file = settings->tls_cert,
        .key_file = settings->tls_key,
        .key_password = settings->tls_key_password,
        .verify_host = settings->tls_verify_host,
    };
    struct rmq_credentials credentials = {
        .struct_size = sizeof credentials,
        .access_key = settings->access_key,
        .secret_key = settings->secret_key,
    };
    struct rmq_client_options options = {
        .struct_size = sizeof options,
        .name_servers = settings->name_servers,
        .client_id = settings->client_id,
        .codec = RMQ_CODEC_BINARY, /* smaller, and cheaper for both sides */
        .tls = settings->tls ? &tls : NULL,
        .credentials = settings->access_key != NULL ? &credentials : NULL,
        .log = on_log,
    };
    struct rmq_err reason = {0};
    int rc = rmq_client_new(&link->loop, &options, &link->client, &reason);
    return rc == 0 ? 0 : gt_link_error(rc, &reason, err);
}

int gt_link_open(const struct gt_link_settings *settings, struct gt_link **ret,
                 struct gantry_err *err)
{
    struct gt_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the link to RocketMQ");
    link->end_mail.run = end_loop;
    int rc = uv_loop_init(&link->loop);
    if (rc != 0) {
        free(link);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the link's loop: %s",
                              uv_strerror(rc));
    }
    rc = gt_mailbox_init(&link->mailbox, &link->loop);
    if (rc != 0) {
        uv_loop_close(&link->loop);
        free(link);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "cannot make the link's mailbox: %s",
                              uv_strerror(rc));
    }
    int code = make_client(link, settings, err);
    rc = code == 0 ? pthread_create(&link->thread, NULL, run_link, link) : 0;
    if (rc != 0)
        code = gantry_err_set(err, GANTRY_NO_MEMORY, "cannot start the link's thread: %s",
                              strerror(rc));
    if (code != 0) {
        end_loop(&link->end_mail);
        uv_run(&link->loop, UV_RUN_DEFAULT);
        uv_loop_close(&link->loop);
        free(link);
        return code;
    }
    pthread_setname_np(link->thread, "gt-link");
    *ret = link;
    return 0;
}

void gt_link_close(struct gt_link *link)
{
    if (link == NULL)
        return;
    gt_mailbox_send(&link->mailbox, &link->end_mail);
    pthread_join(link->thread, NULL);
    uv_loop_close(&link->loop);
    free(link);
}

bool gt_link_send(struct gt_link *link, struct gt_mail *mail)
{
    return gt_mailbox_send(&link->mailbox, mail);
}

struct rmq_client *gt_link_client(struct gt_link *link)
{
    return link->client;
}

int gt_link_error(int rmq_code, const struct rmq_err *from, struct gantry_err *err)
{
    int code = GANTRY_IO;
    switch (rmq_code) {
    case RMQ_NO_MEMORY:
        code = GANTRY_NO_MEMORY;
        break;
    case RMQ_INVALID:
        code = GANTRY_INVALID;
        break;
    case RMQ_TOO_LARGE:
        code = GANTRY_TOO_LARGE;
        break;
    case RMQ_CLOSED:
        code = GANTRY_CLOSED;
        break;
    case RMQ_NOT_FOUND:
        code = GANTRY_NOT_FOUND;
        break;
    case RMQ_CORRUPT:
    case RMQ_MALFORMED:
        code = GANTRY_CORRUPT;
        break;
    case RMQ_AGAIN:
    case RMQ_UNREACHABLE:
    case RMQ_LOST:
    case RMQ_TIMEOUT:
    case RMQ_ABORTED:
    case RMQ_MOVED:
        code = GANTRY_AGAIN;
        break;
    case RMQ_REFUSED:
        /* Busy, not writable, shutting down, no permission yet: may pass by itself. */
        code = GANTRY_AGAIN;
        break;
    default:
        break;
    }
    return gantry_err_set(err, code, "%s", from != NULL ? from->text : rmq_error_text(rmq_code));
}
