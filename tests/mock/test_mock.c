/* SPDX-License-Identifier: Apache-2.0 */
/* The mock against frames captured from real servers: each captured request is sent to it as it
 * was, and its reply compared with the captured one: code, names of the fields and those values
 * that do not depend on time and place, bodies but for numbers, messages byte by byte where they
 * can be equal. So library and mock do not agree on a mistake of both. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "mock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <rocketmq/message.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    uv_loop_t loop;
    struct mock *mock;
    int namesrv, broker;
    json_t *vectors;
    struct rmq_frame_reader reader;
};

static int connect_to(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    name.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void set_up(struct fixture *fixture)
{
    char path[512];
    json_error_t problem;
    const char *folder = getenv("RMQ_VECTORS");
    (void)snprintf(path, sizeof(path), "%s/remoting-json.json",
                   folder == NULL ? "librocketmq/tests/vectors" : folder);
    json_t *root = json_load_file(path, 0, &problem);
    if (root == NULL)
        fail_msg("%s: %s", path, problem.text);
    fixture->vectors = json_incref(json_object_get(root, "vectors"));
    json_decref(root);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->mock = mock_start(&fixture->loop, 1);
    fixture->namesrv = connect_to(mock_namesrv(fixture->mock));
    fixture->broker = connect_to(mock_broker(fixture->mock, "broker-a"));
    rmq_frame_reader_init(&fixture->reader, RMQ_FRAME_MAX);
}

static void tear_down(struct fixture *fixture)
{
    json_decref(fixture->vectors);
    rmq_frame_reader_deinit(&fixture->reader);
    close(fixture->namesrv);
    close(fixture->broker);
    mock_stop(fixture->mock);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

static json_t *vector_of(const struct fixture *fixture, const char *name)
{
    size_t i;
    json_t *vector;
    json_array_foreach(fixture->vectors, i, vector)
    {
        if (strcmp(json_string_value(json_object_get(vector, "name")), name) == 0)
            return vector;
    }
    fail_msg("no vector %s", name);
    return NULL;
}

static void frame_of(json_t *vector, struct rmq_buf *ret)
{
    const char *hex = json_string_value(json_object_get(vector, "frame_hex"));
    rmq_buf_init(ret, RMQ_FRAME_MAX);
    for (; hex[0] != '\0'; hex += 2) {
        const char pair[3] = {hex[0], hex[1], 0};
        unsigned char byte = (unsigned char)strtoul(pair, NULL, 16);
        assert_int_equal(rmq_buf_append(ret, &byte, 1), 0);
    }
}

static void send_to(struct fixture *fixture, json_t *vector, int *ret_fd)
{
    struct rmq_buf frame;
    bool namesrv = strcmp(json_string_value(json_object_get(vector, "to")), "namesrv") == 0;
    *ret_fd = namesrv ? fixture->namesrv : fixture->broker;
    frame_of(vector, &frame);
    assert_int_equal(send(*ret_fd, frame.data, frame.len, 0), (ssize_t)frame.len);
    rmq_buf_deinit(&frame);
}

/* The next frame that is a reply. */
static void receive(struct fixture *fixture, int fd, struct rmq_command *ret)
{
    struct rmq_view frame;
    uint64_t end_ns = uv_hrtime() + (uint64_t)30 * 1000000000;
    while (uv_hrtime() < end_ns) {
        if (rmq_frame_reader_next(&fixture->reader, &frame, NULL) == 1) {
            assert_int_equal(rmq_command_decode(ret, frame, NULL), 0);
            if ((ret->flag & RMQ_FLAG_REPLY) != 0)
                return;
            continue;
        }
        char *data;
        size_t len;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
        (void)poll(&ready, 1, 1);
        assert_int_equal(rmq_frame_reader_space(&fixture->reader, &data, &len), 0);
        ssize_t count = recv(fd, data, len, MSG_DONTWAIT);
        if (count > 0)
            rmq_frame_reader_filled(&fixture->reader, (size_t)count);
        else
            assert_true(count < 0 && errno == EAGAIN);
    }
    fail_msg("no reply");
}

/* Runs of digits as 0, one cluster's name as the other's. */
static char *plain(struct rmq_view text)
{
    static const char mine[] = "MockCluster", theirs[] = "SpecCluster";
    char *to = malloc(text.len + 1), *end = to;
    assert_non_null(to);
    for (size_t i = 0; i < text.len; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (!digit)
            *end++ = text.data[i];
        else if (end == to || end[-1] != '0')
            *end++ = '0';
    }
    *end = '\0';
    for (char *at; (at = strstr(to, mine)) != NULL;)
        memcpy(at, theirs, sizeof(theirs) - 1);
    return to;
}

static void assert_same_messages(struct rmq_view mine, struct rmq_view theirs)
{
    struct rmq_message a, b;
    int rc;
    while ((rc = rmq_message_next(&theirs, &b, NULL)) == 1) {
        struct rmq_view rest;
        struct rmq_field field;
        size_t fields = 0;
        assert_int_equal(rmq_message_next(&mine, &a, NULL), 1);
        assert_int_equal(rmq_message_check(&a, NULL), 0);
        assert_int_equal(a.body_crc, b.body_crc);
        assert_int_equal(a.queue_id, b.queue_id);
        assert_int_equal(a.queue_offset, b.queue_offset);
        assert_int_equal(a.flag, b.flag);
        assert_int_equal(a.sys_flag, b.sys_flag);
        assert_int_equal(a.born_ms, b.born_ms);
        assert_int_equal(a.reconsume_times, b.reconsume_times);
        assert_int_equal(a.prepared_offset, b.prepared_offset);
        assert_int_equal(a.store_host.ip_len, b.store_host.ip_len);
        assert_true(rmq_view_equal(a.topic, b.topic));
        assert_true(rmq_view_equal(a.body, b.body));
        for (rest = b.properties; rmq_properties_next(&rest, &field); fields++)
            assert_non_null(rmq_properties_get(a.properties, field.name).data);
        for (rest = a.properties; rmq_properties_next(&rest, &field); fields--)
            assert_non_null(rmq_properties_get(b.properties, field.name).data);
        assert_int_equal(fields, 0); /* a name that stands twice there does so here */
        assert_true(rmq_view_equal(rmq_properties_get(a.properties, rmq_view_str("UNIQ_KEY")),
                                   rmq_properties_get(b.properties, rmq_view_str("UNIQ_KEY"))));
    }
    assert_int_equal(rc, 0);
    assert_int_equal(mine.len, 0);
}

static void assert_same_reply(const char *name, const struct rmq_command *mine,
                              const struct rmq_command *theirs)
{
    static const char *const equal[] = {"queueId", "queueOffset",     "transactionId",
                                        "offset",  "nextBeginOffset", "minOffset"};
    if (mine->code != theirs->code || mine->field_count != theirs->field_count)
        fail_msg("%s: code %d with %zu fields; captured %d, %zu", name, (int)mine->code,
                 mine->field_count, (int)theirs->code, theirs->field_count);
    for (size_t i = 0; i < theirs->field_count; i++) {
        char field[64];
        (void)snprintf(field, sizeof(field), "%.*s", (int)theirs->fields[i].name.len,
                       theirs->fields[i].name.data);
        struct rmq_view value = rmq_command_get(mine, field);
        if (value.data == NULL)
            fail_msg("%s: field %s is missing", name, field);
        for (size_t j = 0; j < sizeof(equal) / sizeof(equal[0]); j++)
            if (strcmp(equal[j], field) == 0 && !rmq_view_equal(value, theirs->fields[i].value))
                fail_msg("%s: %s is %.*s; captured %.*s", name, field, (int)value.len, value.data,
                         (int)theirs->fields[i].value.len, theirs->fields[i].value.data);
        if (strcmp(field, "msgId") == 0) /* as many ids, of the same shape */
            assert_int_equal(value.len, theirs->fields[i].value.len);
    }
    assert_int_equal(mine->has_remark, theirs->has_remark);
    if (strncmp(name, "pull", 4) == 0) {
        assert_true(rmq_view_equal(mine->remark, theirs->remark));
        assert_same_messages(mine->body, theirs->body);
        return;
    }
    char *a = plain(mine->body), *b = plain(theirs->body);
    if (strcmp(a, b) != 0)
        fail_msg("%s: body %s; captured %s", name, a, b);
    free(a);
    free(b);
}

static void replies_are_those_of_a_real_server(void **state)
{
    static const char *const names[] = {"create_topic",
                                        "create_group",
                                        "route",
                                        "route_missing",
                                        "cluster_info",
                                        "send_v2_plain",
                                        "send_v2_props",
                                        "send_v2_zlib",
                                        "send_batch",
                                        "send_v2_oneway",
                                        "send_v2_lz4",
                                        "send_v2_zstd",
                                        "heartbeat_producer",
                                        "heartbeat_consumer",
                                        "consumer_list",
                                        "query_offset",
                                        "pull_1",
                                        "pull_2",
                                        "lock",
                                        "unlock",
                                        "unregister_consumer",
                                        "unregister_producer",
                                        "topic_stats",
                                        "search_offset",
                                        "min_offset",
                                        "delete_topic_broker",
                                        "delete_topic_namesrv"};
    struct fixture fixture;
    struct rmq_command mine, theirs;
    (void)state;
    set_up(&fixture);
    rmq_command_init(&mine, 0);
    rmq_command_init(&theirs, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[64];
        struct rmq_buf frame;
        int fd;
        if (strcmp(names[i], "send_v2_oneway") == 0) {
            send_to(&fixture, vector_of(&fixture, names[i]), &fd);
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s_request", names[i]);
        send_to(&fixture, vector_of(&fixture, name), &fd);
        receive(&fixture, fd, &mine);
        (void)snprintf(name, sizeof(name), "%s_response", names[i]);
        frame_of(vector_of(&fixture, name), &frame);
        assert_int_equal(rmq_command_decode(&theirs, rmq_buf_view(&frame), NULL), 0);
        assert_same_reply(names[i], &mine, &theirs);
        rmq_buf_deinit(&frame);
    }
    rmq_command_deinit(&mine);
    rmq_command_deinit(&theirs);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_those_of_a_real_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
