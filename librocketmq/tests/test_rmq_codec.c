/* SPDX-License-Identifier: Apache-2.0 */
/* Codecs against frames captured from the Java client and servers (tests/vectors): each is decoded,
 * compared field by field and encoded again to the same bytes; then damaged in many ways. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <rocketmq/message.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const vector_files[] = {"remoting-json", "remoting-binary", "remoting-extra",
                                           "remoting-mixed", "acl-signing"};
enum { VECTOR_FILES = sizeof(vector_files) / sizeof(vector_files[0]) };

static json_t *load(const char *name)
{
    char path[512];
    json_error_t problem;
    const char *folder = getenv("RMQ_VECTORS");
    (void)snprintf(path, sizeof(path), "%s/%s.json", folder == NULL ? "tests/vectors" : folder,
                   name);
    json_t *root = json_load_file(path, 0, &problem);
    if (root == NULL)
        fail_msg("%s: %s", path, problem.text);
    return root;
}

static struct rmq_view unhex(const char *hex, char **ret_owned)
{
    size_t len = strlen(hex) / 2;
    unsigned char *bytes = malloc(len + 1); /* exactly what is there, so that ASan sees overruns */
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    *ret_owned = (char *)bytes;
    return rmq_view(bytes, len);
}

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void assert_view(struct rmq_view view, const char *text, size_t len)
{
    assert_int_equal(view.len, len);
    if (len > 0)
        assert_memory_equal(view.data, text, len);
}

/* The vectors were decoded as Java does it: of a repeated name the last value counts. */
static struct rmq_view last_of(struct rmq_view properties, const char *name)
{
    struct rmq_view last = {NULL, 0};
    struct rmq_field field;
    while (rmq_properties_next(&properties, &field)) {
        if (rmq_view_equal(field.name, rmq_view_str(name)))
            last = field.value;
    }
    return last;
}

static void assert_properties(struct rmq_view properties, json_t *expected)
{
    const char *name;
    json_t *value;
    json_object_foreach(expected, name, value)
    {
        struct rmq_view found = last_of(properties, name);
        assert_view(found, json_string_value(value), json_string_length(value));
    }
    size_t distinct = 0;
    struct rmq_view rest = properties;
    struct rmq_field field;
    while (rmq_properties_next(&rest, &field))
        distinct += rmq_properties_get(properties, field.name).data == field.value.data;
    assert_int_equal(distinct, json_object_size(expected));
}

static void assert_host(const struct rmq_host *host, const char *expected)
{
    char text[64];
    assert_int_equal(host->ip_len, 4);
    (void)snprintf(text, sizeof(text), "%d.%d.%d.%d:%d", host->ip[0], host->ip[1], host->ip[2],
                   host->ip[3], (int)host->port);
    assert_string_equal(text, expected);
}

static void assert_message(struct rmq_message *message, json_t *expected)
{
    struct rmq_err err;
    char *body;
    assert_int_equal(message->queue_id, number_of(expected, "queueId"));
    assert_int_equal(message->flag, number_of(expected, "flag"));
    assert_int_equal(message->queue_offset, number_of(expected, "queueOffset"));
    assert_int_equal(message->physical_offset, number_of(expected, "physicalOffset"));
    assert_int_equal(message->sys_flag, number_of(expected, "sysFlag"));
    assert_int_equal(message->body_crc, number_of(expected, "bodyCRC"));
    assert_int_equal(message->born_ms, number_of(expected, "bornTimestamp"));
    assert_int_equal(message->store_ms, number_of(expected, "storeTimestamp"));
    assert_int_equal(message->reconsume_times, number_of(expected, "reconsumeTimes"));
    assert_int_equal(message->prepared_offset, number_of(expected, "preparedTransactionOffset"));
    assert_view(message->topic, text_of(expected, "topic"), strlen(text_of(expected, "topic")));
    assert_host(&message->store_host, text_of(expected, "storeHost"));
    struct rmq_view bytes = unhex(text_of(expected, "body_hex"), &body);
    assert_view(message->body, bytes.data, bytes.len);
    free(body);
    assert_int_equal(rmq_message_check(message, &err), 0);
    struct rmq_message damaged = *message;
    damaged.body_crc ^= 1;
    assert_int_equal(rmq_message_check(&damaged, &err), RMQ_CORRUPT);
    if ((message->sys_flag & RMQ_SYS_COMPRESSED) != 0) {
        struct rmq_buf plain;
        rmq_buf_init(&plain, 1 << 20);
        assert_int_equal(rmq_message_inflate(message, &plain, &err), 0);
        assert_memory_equal(message->body.data, "compress me please ", 19);
        rmq_buf_deinit(&plain);
    }
}

static void assert_header(const struct rmq_command *command, json_t *decoded)
{
    json_t *header = json_object_get(decoded, "header");
    json_t *fields = json_object_get(header, "extFields");
    json_t *value;
    const char *name;
    assert_int_equal(command->codec, number_of(decoded, "serialize_type"));
    assert_int_equal(command->code, number_of(header, "code"));
    assert_int_equal(command->opaque, number_of(header, "opaque"));
    assert_int_equal(command->flag, number_of(header, "flag"));
    assert_int_equal(command->version, number_of(header, "version"));
    assert_int_equal(command->language, 0); /* all from Java */
    const char *remark = text_of(header, "remark");
    assert_view(command->remark, remark, remark == NULL ? 0 : strlen(remark));
    assert_int_equal(command->field_count, json_object_size(fields));
    json_object_foreach(fields, name, value)
    {
        struct rmq_view found = rmq_command_get(command, name);
        assert_non_null(found.data);
        assert_view(found, json_string_value(value), json_string_length(value));
    }
    assert_int_equal(command->body.len, number_of(decoded, "body_length"));
}

static void assert_body(const struct rmq_command *command, json_t *decoded)
{
    struct rmq_err err;
    json_t *properties = json_object_get(decoded, "properties_decoded");
    json_t *batch = json_object_get(decoded, "batch");
    json_t *messages = json_object_get(decoded, "messages");
    json_t *one;
    size_t i;
    struct rmq_view rest = command->body;
    if (properties != NULL) {
        const char *name = command->code == RMQ_SEND_MESSAGE ? "properties" : "i";
        assert_properties(rmq_command_get(command, name), properties);
    }
    if (batch != NULL) {
        struct rmq_buf again;
        struct rmq_batch_item item;
        rmq_buf_init(&again, RMQ_BODY_MAX);
        json_array_foreach(batch, i, one)
        {
            assert_int_equal(rmq_batch_next(&rest, &item, &err), 1);
            const char *body = text_of(one, "body_text");
            assert_view(item.body, body, strlen(body));
            assert_properties(item.properties, json_object_get(one, "properties"));
            assert_int_equal(rmq_batch_add(&again, &item, &err), 0);
        }
        assert_int_equal(rmq_batch_next(&rest, &item, &err), 0);
        assert_view(rmq_buf_view(&again), command->body.data, command->body.len);
        rmq_buf_deinit(&again);
    }
    if (messages != NULL) {
        struct rmq_message message;
        json_array_foreach(messages, i, one)
        {
            assert_int_equal(rmq_message_next(&rest, &message, &err), 1);
            assert_properties(message.properties, json_object_get(one, "properties"));
            assert_message(&message, one);
        }
        assert_int_equal(rmq_message_next(&rest, &message, &err), 0);
    }
}

/* Run check on each captured frame; returns how many there were. */
static size_t each_vector(void (*check)(struct rmq_view frame, json_t *vector))
{
    size_t count = 0;
    for (size_t file = 0; file < VECTOR_FILES; file++) {
        json_t *root = load(vector_files[file]);
        json_t *vector;
        size_t i;
        json_array_foreach(json_object_get(root, "vectors"), i, vector)
        {
            char *owned;
            struct rmq_view frame = unhex(text_of(vector, "frame_hex"), &owned);
            check(frame, vector);
            free(owned);
            count++;
        }
        json_decref(root);
    }
    return count;
}

static void check_vector(struct rmq_view frame, json_t *vector)
{
    struct rmq_command command;
    struct rmq_buf again;
    struct rmq_err err;
    json_t *decoded = json_object_get(vector, "decoded");
    rmq_command_init(&command, 0);
    rmq_buf_init(&again, RMQ_FRAME_MAX);
    if (rmq_command_decode(&command, frame, &err) != 0)
        fail_msg("%s: %s", text_of(vector, "name"), err.text);
    assert_header(&command, decoded);
    assert_body(&command, decoded);
    assert_int_equal(rmq_command_encode(&command, &again, &err), 0);
    if (again.len != frame.len || memcmp(again.data, frame.data, frame.len) != 0)
        fail_msg("%s: encoded differently: %.*s", text_of(vector, "name"), (int)again.len - 8,
                 again.data + 8);
    rmq_buf_deinit(&again);
    rmq_command_deinit(&command);
}

static void captured_frames_decode_and_encode_to_the_same_bytes(void **state)
{
    (void)state;
    assert_int_equal(each_vector(check_vector), 78 + 27 + 13 + 2 + 9);
}

/* Whatever comes in: 0 or a negative code with a text, and what was decoded lies in the input. */
static void decode_all(struct rmq_view frame)
{
    struct rmq_command command;
    struct rmq_err err = {0};
    rmq_command_init(&command, 0);
    int rc = rmq_command_decode(&command, frame, &err);
    assert_true(rc == 0 || (rc == RMQ_MALFORMED && err.code == rc && err.text[0] != '\0'));
    struct rmq_view rest = command.body;
    struct rmq_message message;
    struct rmq_buf plain;
    rmq_buf_init(&plain, 1 << 16);
    while (rc == 0 && rmq_message_next(&rest, &message, &err) == 1) {
        (void)rmq_message_check(&message, &err); /* either is right for damaged bytes */
        (void)rmq_message_inflate(&message, &plain, &err);
    }
    rmq_buf_deinit(&plain);
    rmq_command_deinit(&command);
}

static void damage_vector(struct rmq_view frame, json_t *vector)
{
    (void)vector;
    for (size_t len = 0; len < frame.len; len += len < 64 ? 1 : 13) {
        char *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, frame.data, len);
        struct rmq_command command;
        rmq_command_init(&command, 0);
        assert_int_equal(rmq_command_decode(&command, rmq_view(cut, len), NULL), RMQ_MALFORMED);
        if (len >= 8) { /* a length field that fits: only the inside is cut */
            for (int i = 0; i < 4; i++)
                cut[i] = (char)((len - 4) >> (24 - 8 * i));
            decode_all(rmq_view(cut, len));
        }
        rmq_command_deinit(&command);
        free(cut);
    }
    char *copy = malloc(frame.len);
    assert_non_null(copy);
    memcpy(copy, frame.data, frame.len);
    for (size_t i = 4; i < frame.len; i++) {
        static const char values[] = {0, 1, '"', '\\', (char)0x7F, (char)0x80, (char)0xFF};
        for (size_t v = 0; v < sizeof(values); v++) {
            copy[i] = values[v];
            decode_all(rmq_view(copy, frame.len));
        }
        copy[i] = frame.data[i];
    }
    free(copy);
}

static void cut_and_damaged_frames_are_errors_and_never_crash(void **state)
{
    (void)state;
    assert_true(each_vector(damage_vector) > 100);
}

static void malformed_json_headers_are_refused(void **state)
{
    static const char *const headers[] = {
        "",
        "[]",
        "7",
        "{",
        "{}",
        "{\"code\":0}",
        "{\"opaque\":0}",
        "{\"code\":0,\"opaque\":2147483648}",
        "{\"code\":\"0\",\"opaque\":1}",
        "{\"code\":1.5,\"opaque\":1}",
        "{\"code\":0,\"opaque\":1}x",
        "{\"code\":0,\"opaque\":1,}",
        "{\"code\":0 \"opaque\":1}",
        "{code:0,\"opaque\":1}",
        "{0:0,\"code\":0,\"opaque\":1}",
        "{\"code\":0,\"opaque\":1,\"remark\":7}",
        "{\"code\":0,\"opaque\":1,\"remark\":\"\\x\"}",
        "{\"code\":0,\"opaque\":1,\"remark\":\"\\u12g4\"}",
        "{\"code\":0,\"opaque\":1,\"remark\":\"a\001b\"}",
        "{\"code\":0,\"opaque\":1,\"remark\":\"a",
        "{\"code\":0,\"opaque\":1,\"extFields\":{\"a\":[]}}",
        "{\"code\":0,\"opaque\":1,\"extFields\":{\"a\":tru}}",
        "{\"code\":0,\"opaque\":1,\"extFields\":{\"a\"}}",
        "{\"code\":0,\"opaque\":1,\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]"
        "]]"
        "]]]]]]]]]]]]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char frame[512] = {0};
        struct rmq_command command;
        struct rmq_err err;
        size_t len = strlen(headers[i]);
        rmq_command_init(&command, 0);
        frame[2] = (char)((len + 4) >> 8);
        frame[3] = (char)(len + 4);
        frame[6] = (char)(len >> 8);
        frame[7] = (char)len;
        memcpy(frame + 8, headers[i], len);
        if (rmq_command_decode(&command, rmq_view(frame, len + 8), &err) != RMQ_MALFORMED)
            fail_msg("taken: %s", headers[i]);
        rmq_command_deinit(&command);
    }
}

static void json_headers_are_read_with_tolerance(void **state)
{
    static const char header[] =
        " { \"code\" : 0 , \"x\":{\"y\":[1,{}]},\"language\":17,\"opaque\":-5,\"remark\":null,"
        "\"extFields\":{\"n\":12,\"b\":true,\"z\":null,\"e\":\"\",\"u\":\"\\u00e9\\ud83d\\ude00"
        "\\ud83d\\n\"}} ";
    char frame[512] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct rmq_command command;
    struct rmq_err err;
    int64_t number;
    (void)state;
    frame[3] = (char)(sizeof(header) - 1 + 4);
    frame[7] = (char)(sizeof(header) - 1);
    memcpy(frame + 8, header, sizeof(header) - 1);
    rmq_command_init(&command, 0);
    assert_int_equal(rmq_command_decode(&command, rmq_view(frame, sizeof(header) + 7), &err), 0);
    assert_int_equal(command.opaque, -5);
    assert_int_equal(command.language, RMQ_LANGUAGE_UNKNOWN);
    assert_false(command.has_remark);
    assert_int_equal(rmq_command_get_int(&command, "n", &number), 0);
    assert_int_equal(number, 12);
    assert_int_equal(rmq_command_get_int(&command, "b", &number), RMQ_MALFORMED);
    assert_int_equal(rmq_command_get_int(&command, "none", &number), RMQ_NOT_FOUND);
    assert_null(rmq_command_get(&command, "z").data);
    assert_non_null(rmq_command_get(&command, "e").data);
    static const char plain[] = "\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBD\n";
    assert_view(rmq_command_get(&command, "u"), plain, sizeof(plain) - 1);
    rmq_command_deinit(&command);
}

static void frames_are_cut_from_a_stream_of_any_segmentation(void **state)
{
    struct rmq_buf stream;
    struct rmq_err err;
    (void)state;
    rmq_buf_init(&stream, 8 << 20);
    for (int i = 0; i < 300; i++) {
        struct rmq_command command;
        static char body[40000];
        rmq_command_init(&command, 100 + i);
        command.codec = i % 2 == 0 ? RMQ_CODEC_JSON : RMQ_CODEC_BINARY;
        command.opaque = i;
        command.body = rmq_view(body, (size_t)i * 97);
        rmq_command_add_int(&command, "offset", INT64_MIN + i);
        assert_int_equal(rmq_command_encode(&command, &stream, &err), 0);
    }
    for (size_t step = 1; step < 200000; step = step * 7 + 3) {
        struct rmq_frame_reader reader;
        struct rmq_command command;
        struct rmq_view frame;
        int count = 0;
        rmq_frame_reader_init(&reader, RMQ_FRAME_MAX);
        rmq_command_init(&command, 0);
        for (size_t at = 0; at < stream.len;) {
            char *room;
            size_t len;
            assert_int_equal(rmq_frame_reader_space(&reader, &room, &len), 0);
            len = len < step ? len : step;
            len = len < stream.len - at ? len : stream.len - at;
            memcpy(room, stream.data + at, len);
            at += len;
            rmq_frame_reader_filled(&reader, len);
            int rc;
            while ((rc = rmq_frame_reader_next(&reader, &frame, &err)) == 1) {
                int64_t number;
                assert_int_equal(rmq_command_decode(&command, frame, &err), 0);
                assert_int_equal(command.opaque, count);
                assert_int_equal(command.body.len, (size_t)count * 97);
                assert_int_equal(rmq_command_get_int(&command, "offset", &number), 0);
                assert_true(number == INT64_MIN + count);
                count++;
            }
            assert_int_equal(rc, 0);
        }
        assert_int_equal(count, 300);
        rmq_command_deinit(&command);
        rmq_frame_reader_deinit(&reader);
    }
    rmq_buf_deinit(&stream);
}

static void frame_lengths_beyond_the_limit_are_refused(void **state)
{
    static const struct {
        unsigned char bytes[4];
        int rc;
    } cases[] = {{{0, 0, 0, 3}, RMQ_MALFORMED},
                 {{0, 0, 0, 0}, RMQ_MALFORMED},
                 {{0x80, 0, 0, 0}, RMQ_MALFORMED},
                 {{0x7F, 0xFF, 0xFF, 0xFF}, RMQ_MALFORMED},
                 {{0, 0, 4, 0}, RMQ_MALFORMED},
                 {{0, 0, 3, 0xFC}, 0},
                 {{0, 0, 0, 4}, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rmq_frame_reader reader;
        struct rmq_view frame;
        char *room;
        size_t len;
        rmq_frame_reader_init(&reader, 1024);
        assert_int_equal(rmq_frame_reader_space(&reader, &room, &len), 0);
        memcpy(room, cases[i].bytes, 4);
        rmq_frame_reader_filled(&reader, 4);
        assert_int_equal(rmq_frame_reader_next(&reader, &frame, NULL), cases[i].rc);
        rmq_frame_reader_deinit(&reader);
    }
}

static void what_a_codec_cannot_carry_is_refused_and_leaves_the_buffer(void **state)
{
    struct rmq_command command;
    struct rmq_buf buf;
    struct rmq_err err;
    (void)state;
    rmq_buf_init(&buf, 1 << 20);
    assert_int_equal(rmq_buf_append(&buf, "keep", 4), 0);
    rmq_command_init(&command, 200050);
    command.codec = RMQ_CODEC_BINARY;
    assert_int_equal(rmq_command_encode(&command, &buf, &err), RMQ_INVALID);
    command.codec = RMQ_CODEC_JSON;
    assert_int_equal(rmq_command_encode_head(&command, RMQ_FRAME_MAX, &buf, &err), RMQ_TOO_LARGE);
    command.body = rmq_view(buf.data, 2 << 20);
    assert_int_equal(rmq_command_encode(&command, &buf, &err), RMQ_TOO_LARGE);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "keep", 4);
    rmq_buf_deinit(&buf);
}

static void properties_are_split_as_java_splits_them(void **state)
{
    struct rmq_view rest = rmq_view_str("a\001b\002x\002\001v\002n\001\002k\001v\001w\002a\001c");
    struct rmq_field field;
    struct rmq_buf buf;
    struct rmq_err err;
    (void)state;
    assert_view(rmq_properties_get(rest, rmq_view_str("a")), "b", 1);
    assert_true(rmq_properties_next(&rest, &field));
    assert_true(rmq_properties_next(&rest, &field));
    assert_view(field.name, "k", 1);
    assert_true(rmq_properties_next(&rest, &field));
    assert_view(field.value, "c", 1);
    assert_false(rmq_properties_next(&rest, &field));
    rmq_buf_init(&buf, 64);
    assert_int_equal(rmq_properties_add(&buf, rmq_view_str("n"), rmq_view_str("v"), &err), 0);
    assert_int_equal(rmq_properties_add(&buf, rmq_view_str(""), rmq_view_str("v"), &err),
                     RMQ_INVALID);
    assert_int_equal(rmq_properties_add(&buf, rmq_view_str("n"), rmq_view_str(""), &err),
                     RMQ_INVALID);
    assert_int_equal(rmq_properties_add(&buf, rmq_view_str("n"), rmq_view_str("a\002"), &err),
                     RMQ_INVALID);
    assert_view(rmq_buf_view(&buf), "n\001v\002", 4);
    rmq_buf_deinit(&buf);
}

static void bodies_survive_each_compression_and_damage_is_found(void **state)
{
    static const enum rmq_compression ways[] = {RMQ_COMPRESSION_LZ4, RMQ_COMPRESSION_ZSTD,
                                                RMQ_COMPRESSION_ZLIB};
    static const size_t sizes[] = {0, 1, 100, 70000, 1 << 20};
    (void)state;
    char *body = malloc(1 << 20);
    assert_non_null(body);
    for (size_t i = 0; i < 1 << 20; i++)
        body[i] = (char)(i * i >> 7);
    for (size_t i = 0; i < 15; i++) {
        struct rmq_message message = {0};
        struct rmq_buf packed, plain;
        struct rmq_err err;
        size_t size = sizes[i / 3];
        rmq_buf_init(&packed, 2 << 20);
        rmq_buf_init(&plain, 2 << 20);
        assert_int_equal(rmq_body_deflate(ways[i % 3], 0, rmq_view(body, size), &packed,
                                          &message.sys_flag, &err),
                         0);
        message.body = rmq_buf_view(&packed);
        struct rmq_message cut = message;
        assert_int_equal(rmq_message_inflate(&message, &plain, &err), 0);
        assert_view(message.body, body, size);
        assert_int_equal(message.sys_flag, 0);
        struct rmq_message whole = cut;
        if (size > 0) { /* as much as there is room for */
            struct rmq_message exact = cut;
            rmq_buf_deinit(&plain);
            rmq_buf_init(&plain, size);
            assert_int_equal(rmq_message_inflate(&exact, &plain, &err), 0);
            assert_view(exact.body, body, size);
            rmq_buf_deinit(&plain);
            rmq_buf_init(&plain, 2 << 20);
        }
        cut.body.len--;
        assert_int_equal(rmq_message_inflate(&cut, &plain, &err), RMQ_CORRUPT);
        if (size == 1 << 20) {
            rmq_buf_deinit(&plain);
            rmq_buf_init(&plain, 100000);
            assert_int_equal(rmq_message_inflate(&whole, &plain, &err), RMQ_TOO_LARGE);
        }
        rmq_buf_deinit(&plain);
        rmq_buf_deinit(&packed);
    }
    free(body);
}

/* A stored message made by hand, with the hosts in the widths of sys_flag and version 2's topic. */
static void ipv6_hosts_and_long_topics_are_decoded(void **state)
{
    unsigned char bytes[512] = {0};
    size_t len = 0, topic_len = 200;
    struct rmq_view rest;
    struct rmq_message message;
    (void)state;
    memcpy(bytes + 4, "\xDA\xA3\x20\xAB", 4);
    bytes[39] = RMQ_SYS_BORN_IPV6 | RMQ_SYS_STORE_IPV6;
    bytes[36 + 4 + 8] = 0xFD; /* born host */
    len = 36 + 4 + 8 + 20 + 8;
    bytes[len] = 0xFE; /* store host */
    bytes[len + 19] = 77;
    len += 20 + 4 + 8 + 4; /* no body */
    bytes[len + 1] = (unsigned char)topic_len;
    len += 2;
    memset(bytes + len, 't', topic_len);
    len += topic_len + 2;
    bytes[2] = (unsigned char)(len >> 8);
    bytes[3] = (unsigned char)len;
    rest = rmq_view(bytes, len);
    assert_int_equal(rmq_message_next(&rest, &message, NULL), 1);
    assert_int_equal(rest.len, 0);
    assert_int_equal(message.born_host.ip_len, 16);
    assert_int_equal(message.born_host.ip[0], 0xFD);
    assert_int_equal(message.store_host.ip[0], 0xFE);
    assert_int_equal(message.store_host.port, 77);
    assert_int_equal(message.topic.len, topic_len);
    char id[57];
    rmq_message_id(&message, id);
    assert_string_equal(id, "FE0000000000000000000000000000000000004D0000000000000000");
    for (size_t cut = 0; cut < len; cut++) { /* shorter, and saying so */
        bytes[2] = (unsigned char)(cut >> 8);
        bytes[3] = (unsigned char)cut;
        rest = rmq_view(bytes, cut);
        assert_int_equal(rmq_message_next(&rest, &message, NULL), cut == 0 ? 0 : RMQ_MALFORMED);
    }
}

static void helper_vectors_agree(void **state)
{
    json_t *root = load("helpers");
    json_t *one;
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(root, "tag_hash"), i, one)
    {
        assert_int_equal(rmq_tag_hash(rmq_view_str(text_of(one, "tag"))),
                         number_of(one, "java_string_hash"));
    }
    assert_int_equal(rmq_tag_hash(rmq_view_str("\xF0\x9F\x98\x80")), 1772899); /* a pair */
    json_array_foreach(json_object_get(root, "crc"), i, one)
    {
        struct rmq_message message = {.body = rmq_view_str(text_of(one, "text")),
                                      .body_crc = (int32_t)number_of(one, "body_crc_field")};
        assert_int_equal(rmq_message_check(&message, NULL), 0);
    }
    json_array_foreach(json_object_get(root, "message_id"), i, one)
    {
        struct rmq_message message = {
            .store_host = {.ip = {127, 0, 0, 1},
                           .ip_len = 4,
                           .port = (int32_t)number_of(one, "port")},
            .physical_offset = number_of(one, "commit_log_offset"),
        };
        char id[57];
        rmq_message_id(&message, id);
        assert_string_equal(id, text_of(one, "hex"));
    }
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captured_frames_decode_and_encode_to_the_same_bytes),
        cmocka_unit_test(cut_and_damaged_frames_are_errors_and_never_crash),
        cmocka_unit_test(malformed_json_headers_are_refused),
        cmocka_unit_test(json_headers_are_read_with_tolerance),
        cmocka_unit_test(frames_are_cut_from_a_stream_of_any_segmentation),
        cmocka_unit_test(frame_lengths_beyond_the_limit_are_refused),
        cmocka_unit_test(what_a_codec_cannot_carry_is_refused_and_leaves_the_buffer),
        cmocka_unit_test(properties_are_split_as_java_splits_them),
        cmocka_unit_test(bodies_survive_each_compression_and_damage_is_found),
        cmocka_unit_test(ipv6_hosts_and_long_topics_are_decoded),
        cmocka_unit_test(helper_vectors_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
