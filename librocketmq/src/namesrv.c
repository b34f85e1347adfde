/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the name servers. All hold the same data, so one is asked, always the same while it
 * answers; when it cannot be reached, is lost or is silent, the request goes to the next. */
#include "client.h"
#include "connection.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { NAMESRVS_MAX = 64, REPLY_GO_AWAY = 1500 };

struct ask {
    struct rmq_client *client;
    struct rmq_buf frame; /* the request, to be sent again */
    int64_t timeout_ms;
    rmq_reply_fn reply;
    void *arg;
    size_t at;   /* whom it was sent to */
    size_t left; /* attempts */
    int rc;      /* the least certain of the failures so far */
    char problems[180];
};

static int add_namesrv(struct rmq_client *client, const char *text, size_t len, struct rmq_err *err)
{
    if (client->namesrv_count == NAMESRVS_MAX)
        return rmq_fail(err, RMQ_INVALID, "more than %d are named", NAMESRVS_MAX);
    char *address = strndup(text, len);
    if (address == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for an address");
    int rc = rmq_address_check(address, err);
    bool twice = false; /* asked once all the same */
    for (size_t i = 0; i < client->namesrv_count; i++)
        twice |= strcmp(client->namesrvs[i], address) == 0;
    if (rc == 0 && !twice)
        client->namesrvs[client->namesrv_count++] = address;
    else
        free(address);
    return rc;
}

void rmq_namesrvs_free(struct rmq_client *client)
{
    for (size_t i = 0; i < client->namesrv_count; i++)
        free(client->namesrvs[i]);
    free(client->namesrvs);
}

struct rmq_server *rmq_namesrv(struct rmq_client *client, size_t at, struct rmq_err *err)
{
    struct rmq_server *server = rmq_client_server(client, client->namesrvs[at], err);
    if (server != NULL)
        server->namesrv = true;
    return server;
}

int rmq_namesrvs_set(struct rmq_client *client, const char *list, struct rmq_err *err)
{
    struct rmq_err problem;
    client->namesrvs = calloc(NAMESRVS_MAX, sizeof(char *));
    if (client->namesrvs == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for the name servers");
    for (const char *at = list == NULL ? "" : list; *at != '\0';) {
        size_t len = strcspn(at, "; \t");
        int rc = len == 0 ? 0 : add_namesrv(client, at, len, &problem);
        if (rc != 0)
            return rmq_fail(err, rc, "name_servers: %s", problem.text);
        at += len + (at[len] != '\0');
    }
    if (client->namesrv_count == 0)
        return rmq_fail(err, RMQ_INVALID,
                        "name_servers is empty; host:port, several separated by ; are expected");
    /* Clients spread over the servers. Nothing depends on how random this is. */
    unsigned seed = (unsigned)getpid() ^ (unsigned)uv_hrtime();
    for (size_t i = client->namesrv_count - 1; i > 0; i--) {
        size_t j = (size_t)rand_r(&seed) % (i + 1);
        char *other = client->namesrvs[i];
        client->namesrvs[i] = client->namesrvs[j];
        client->namesrvs[j] = other;
    }
    return 0;
}

static void end_ask(struct ask *ask, int rc, const struct rmq_command *reply,
                    const struct rmq_err *err)
{
    rmq_reply_fn done = ask->reply;
    void *arg = ask->arg;
    rmq_buf_deinit(&ask->frame);
    free(ask);
    done(arg, rc, reply, err);
}

static void on_answer(void *arg, int rc, const struct rmq_command *reply,
                      const struct rmq_err *err);

/* Send it to the one whose turn it is. On failure the ask stays. */
static int send_ask(struct ask *ask, struct rmq_command *request, struct rmq_err *err)
{
    struct rmq_client *client = ask->client;
    struct rmq_server *server = rmq_namesrv(client, client->namesrv_at, err);
    for (size_t i = 1;
         server != NULL && rmq_connection_failing(server->connection) && i < client->namesrv_count;
         i++) { /* not to wait for one that is known to be away */
        client->namesrv_at = (client->namesrv_at + 1) % client->namesrv_count;
        server = rmq_namesrv(client, client->namesrv_at, err);
    }
    if (server == NULL)
        return client->closed ? RMQ_CLOSED : RMQ_NO_MEMORY;
    ask->at = client->namesrv_at;
    ask->left--;
    return rmq_server_call(server, request, ask->timeout_ms, on_answer, ask, err);
}

static int send_again(struct ask *ask, struct rmq_err *err)
{
    struct rmq_command request;
    rmq_command_init(&request, 0);
    int rc = rmq_command_decode(&request, rmq_buf_view(&ask->frame), err);
    if (rc == 0)
        rc = send_ask(ask, &request, err);
    rmq_command_deinit(&request);
    return rc;
}

static void on_answer(void *arg, int rc, const struct rmq_command *reply, const struct rmq_err *err)
{
    struct ask *ask = arg;
    struct rmq_client *client = ask->client;
    struct rmq_err problem;
    if ((rc == 0 && reply->code != REPLY_GO_AWAY) || client->closed || rc == RMQ_CLOSED) {
        end_ask(ask, rc, reply, err);
        return;
    }
    if (rc == 0) {
        rc = rmq_refuse(&problem, reply->code, client->namesrvs[ask->at], reply->remark);
        err = &problem;
    }
    if (client->namesrv_at == ask->at) /* else another request has moved on already */
        client->namesrv_at = (ask->at + 1) % client->namesrv_count;
    size_t len = strlen(ask->problems);
    if (len == 0 || client->namesrv_count > 1) /* a single one says the same twice */
        (void)snprintf(ask->problems + len, sizeof(ask->problems) - len, "%s%.*s",
                       len > 0 ? "; " : "", (int)(170 / client->namesrv_count), err->text);
    if (ask->rc == 0 || ask->rc == RMQ_UNREACHABLE)
        ask->rc = rc;
    /* Silence is not asked twice; a single server that has closed an idle connection is. */
    if (ask->left > 0 && !(client->namesrv_count == 1 && rc == RMQ_TIMEOUT)) {
        rc = send_again(ask, &problem);
        if (rc == 0)
            return;
        end_ask(ask, rc, NULL, &problem);
        return;
    }
    rmq_fail(&problem, ask->rc, "no name server answers: %s", ask->problems);
    end_ask(ask, ask->rc, NULL, &problem);
}

int rmq_client_call_namesrv(struct rmq_client *client, struct rmq_command *request,
                            int64_t timeout_ms, rmq_reply_fn reply, void *arg, struct rmq_err *err)
{
    assert(reply != NULL);
    struct ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL)
        return rmq_fail(err, RMQ_NO_MEMORY, "no memory for a request");
    ask->client = client;
    ask->timeout_ms = timeout_ms;
    ask->reply = reply;
    ask->arg = arg;
    ask->left = client->namesrv_count == 1 ? 2 : client->namesrv_count;
    rmq_buf_init(&ask->frame, RMQ_FRAME_MAX);
    int rc = rmq_command_encode(request, &ask->frame, err);
    if (rc == 0)
        rc = send_ask(ask, request, err);
    if (rc != 0) {
        rmq_buf_deinit(&ask->frame);
        free(ask);
    }
    return rc;
}
