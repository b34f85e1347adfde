/* SPDX-License-Identifier: Apache-2.0 */
/* Both header codecs. JSON keys are written in the order the Java server writes them, so that
 * captured frames come out byte for byte. */
#include <rocketmq/command.h>
#include "json.h"
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static const char *const languages[] = {"JAVA",   "CPP",  "DOTNET", "PYTHON", "DELPHI",
                                        "ERLANG", "RUBY", "OTHER",  "HTTP",   "GO",
                                        "PHP",    "OMS",  "RUST",   "NODE_JS"};
enum { LANGUAGES = sizeof(languages) / sizeof(languages[0]) };

void rmq_command_init(struct rmq_command *command, int32_t code)
{
    memset(command, 0, offsetof(struct rmq_command, fields));
    command->code = code;
    command->codec = RMQ_CODEC_JSON;
    command->version = RMQ_PROTOCOL_VERSION;
    command->language = RMQ_LANGUAGE_OTHER;
    command->body = rmq_view(NULL, 0);
    command->number_len = 0;
    rmq_buf_init(&command->scratch, RMQ_FRAME_MAX);
}

void rmq_command_deinit(struct rmq_command *command)
{
    rmq_buf_deinit(&command->scratch);
}

void rmq_command_add(struct rmq_command *command, const char *name, struct rmq_view value)
{
    assert(command->field_count < RMQ_FIELDS_MAX);
    struct rmq_field *field = &command->fields[command->field_count++];
    field->name = rmq_view_str(name);
    field->value = value;
    command->has_fields = true;
}

void rmq_command_add_str(struct rmq_command *command, const char *name, const char *value)
{
    rmq_command_add(command, name, rmq_view_str(value));
}

void rmq_command_add_int(struct rmq_command *command, const char *name, int64_t value)
{
    size_t room = sizeof(command->numbers) - command->number_len;
    char *text = command->numbers + command->number_len;
    int len = snprintf(text, room, "%" PRId64, value);
    assert(len > 0 && (size_t)len < room);
    command->number_len += (size_t)len;
    rmq_command_add(command, name, rmq_view(text, (size_t)len));
}

struct rmq_view rmq_command_get(const struct rmq_command *command, const char *name)
{
    struct rmq_view wanted = rmq_view_str(name);
    for (size_t i = 0; i < command->field_count; i++) {
        if (rmq_view_equal(command->fields[i].name, wanted)) {
            struct rmq_view value = command->fields[i].value;
            return value.data == NULL ? rmq_view("", 0) : value;
        }
    }
    return rmq_view(NULL, 0);
}

int rmq_command_get_int(const struct rmq_command *command, const char *name, int64_t *ret)
{
    struct rmq_view value = rmq_command_get(command, name);
    if (value.data == NULL)
        return RMQ_NOT_FOUND;
    return rmq_parse_i64(value, ret) ? 0 : RMQ_MALFORMED;
}

/* --- encode --- */

static int put_text(struct rmq_buf *buf, const char *text)
{
    return rmq_buf_append(buf, text, strlen(text));
}

static int put_number(struct rmq_buf *buf, const char *before, int32_t value)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%s%d", before, (int)value);
    return rmq_buf_append(buf, text, (size_t)len);
}

static int encode_fields_json(const struct rmq_command *command, struct rmq_buf *buf)
{
    int rc = put_text(buf, ",\"extFields\":{");
    for (size_t i = 0; rc == 0 && i < command->field_count; i++) {
        if (i > 0)
            rc = put_text(buf, ",");
        if (rc == 0)
            rc = rmq_json_quote(command->fields[i].name, buf);
        if (rc == 0)
            rc = put_text(buf, ":");
        if (rc == 0)
            rc = rmq_json_quote(command->fields[i].value, buf);
    }
    return rc == 0 ? put_text(buf, "}") : rc;
}

static int encode_json(const struct rmq_command *command, struct rmq_buf *buf)
{
    uint8_t language = command->language < LANGUAGES ? command->language : RMQ_LANGUAGE_OTHER;
    int rc = put_number(buf, "{\"code\":", command->code);
    if (rc == 0 && command->has_fields)
        rc = encode_fields_json(command, buf);
    if (rc == 0)
        rc = put_number(buf, ",\"flag\":", command->flag);
    if (rc == 0)
        rc = put_text(buf, ",\"language\":\"");
    if (rc == 0)
        rc = put_text(buf, languages[language]);
    if (rc == 0)
        rc = put_number(buf, "\",\"opaque\":", command->opaque);
    if (rc == 0 && command->has_remark) {
        rc = put_text(buf, ",\"remark\":");
        if (rc == 0)
            rc = rmq_json_quote(command->remark, buf);
    }
    if (rc == 0)
        rc = put_text(buf, ",\"serializeTypeCurrentRPC\":\"JSON\"");
    if (rc == 0)
        rc = put_number(buf, ",\"version\":", command->version);
    return rc == 0 ? put_text(buf, "}") : rc;
}

static int encode_binary(const struct rmq_command *command, struct rmq_buf *buf,
                         struct rmq_err *err)
{
    size_t fields = 0;
    if (command->code < INT16_MIN || command->code > INT16_MAX)
        return rmq_fail(err, RMQ_INVALID, "code %d does not fit the binary codec; use JSON",
                        (int)command->code);
    for (size_t i = 0; i < command->field_count; i++) {
        if (command->fields[i].name.len > INT16_MAX)
            return rmq_fail(err, RMQ_INVALID, "field name of %zu bytes; 32767 are allowed",
                            command->fields[i].name.len);
        fields += 6 + command->fields[i].name.len + command->fields[i].value.len;
    }
    int rc = rmq_buf_reserve(buf, 21 + command->remark.len + fields);
    if (rc != 0)
        return rc;
    rmq_append_be(buf, (uint16_t)command->code, 2);
    rmq_append_be(buf, command->language, 1);
    rmq_append_be(buf, (uint16_t)command->version, 2);
    rmq_append_be(buf, (uint32_t)command->opaque, 4);
    rmq_append_be(buf, (uint32_t)command->flag, 4);
    rmq_append_be(buf, command->remark.len, 4);
    (void)rmq_buf_append(buf, command->remark.data, command->remark.len); /* reserved above */
    rmq_append_be(buf, fields, 4);
    for (size_t i = 0; i < command->field_count; i++) {
        const struct rmq_field *field = &command->fields[i];
        rmq_append_be(buf, field->name.len, 2);
        (void)rmq_buf_append(buf, field->name.data, field->name.len);
        rmq_append_be(buf, field->value.len, 4);
        (void)rmq_buf_append(buf, field->value.data, field->value.len);
    }
    return 0;
}

int rmq_command_encode_head(const struct rmq_command *command, size_t body_len, struct rmq_buf *buf,
                            struct rmq_err *err)
{
    size_t start = buf->len;
    static const char room[8];
    int rc = rmq_buf_append(buf, room, sizeof(room));
    if (rc != 0) {
        rmq_fail(err, rc, "no room for a request of code %d", (int)command->code);
        goto fail;
    }
    if (err != NULL)
        err->code = 0;
    rc = command->codec == RMQ_CODEC_JSON ? encode_json(command, buf)
                                          : encode_binary(command, buf, err);
    size_t header = rc == 0 ? buf->len - start - 8 : 0;
    if (rc == 0 && (header > 0xFFFFFF || body_len > (size_t)RMQ_FRAME_MAX - 8 - header))
        rc = RMQ_TOO_LARGE;
    if (rc != 0) {
        if (rc != RMQ_INVALID)
            rmq_fail(err, rc, "request of code %d with a body of %zu bytes: %s", (int)command->code,
                     body_len, rmq_error_text(rc));
        goto fail;
    }
    rmq_put_be(buf->data + start, 4 + header + body_len, 4);
    rmq_put_be(buf->data + start + 4, (uint64_t)command->codec << 24 | header, 4);
    return 0;
fail:
    buf->len = start;
    return rc;
}

int rmq_command_encode(const struct rmq_command *command, struct rmq_buf *buf, struct rmq_err *err)
{
    size_t start = buf->len;
    int rc = rmq_command_encode_head(command, command->body.len, buf, err);
    if (rc != 0)
        return rc;
    rc = rmq_buf_append(buf, command->body.data, command->body.len);
    if (rc != 0) {
        buf->len = start;
        rmq_fail(err, rc, "no room for a body of %zu bytes", command->body.len);
    }
    return rc;
}

/* --- decode --- */

/* The string just read, without escapes: where it stands, or in scratch, which decode_json has
 * made large enough for the whole header, so that it never moves. */
static int plain_text(struct rmq_command *command, const struct rmq_json *json,
                      struct rmq_view *ret)
{
    if (!json->escaped) {
        *ret = json->text;
        return 0;
    }
    size_t start = command->scratch.len;
    int rc = rmq_json_unescape(json->text, &command->scratch);
    if (rc == 0)
        *ret = rmq_view(command->scratch.data + start, command->scratch.len - start);
    return rc;
}

static int decode_fields_json(struct rmq_command *command, struct rmq_json *json,
                              struct rmq_err *err)
{
    enum rmq_json_kind kind;
    command->has_fields = true;
    while ((kind = rmq_json_key(json)) == RMQ_JSON_STRING) {
        struct rmq_field field;
        int rc = plain_text(command, json, &field.name);
        if (rc != 0)
            return rmq_fail(err, rc, "JSON header: bad escape in a field's name");
        kind = rmq_json_value(json);
        if (kind == RMQ_JSON_NULL)
            continue;
        if (kind == RMQ_JSON_STRING) {
            rc = plain_text(command, json, &field.value);
            if (rc != 0)
                return rmq_fail(err, rc, "JSON header: bad escape in a field's value");
        } else if (kind == RMQ_JSON_NUMBER || kind == RMQ_JSON_TRUE || kind == RMQ_JSON_FALSE) {
            field.value = json->text;
        } else {
            return rmq_fail(err, RMQ_MALFORMED, "JSON header: field '%.*s' is not a text",
                            (int)(field.name.len > 60 ? 60 : field.name.len), field.name.data);
        }
        if (command->field_count == RMQ_FIELDS_MAX)
            return rmq_fail(err, RMQ_MALFORMED, "header with more than %d fields", RMQ_FIELDS_MAX);
        command->fields[command->field_count++] = field;
    }
    return kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}

static int number_member(struct rmq_json *json, const char *name, int32_t *ret, struct rmq_err *err)
{
    int64_t value;
    if (rmq_json_value(json) != RMQ_JSON_NUMBER || !rmq_parse_i64(json->text, &value) ||
        value < INT32_MIN || value > INT32_MAX)
        return rmq_fail(err, RMQ_MALFORMED, "JSON header: '%s' is not a 32-bit number", name);
    *ret = (int32_t)value;
    return 0;
}

static int language_member(struct rmq_command *command, struct rmq_json *json)
{
    enum rmq_json_kind kind = rmq_json_value(json);
    command->language = RMQ_LANGUAGE_UNKNOWN;
    if (kind != RMQ_JSON_STRING)
        return rmq_json_skip(json, kind) ? 0 : RMQ_MALFORMED;
    for (uint8_t i = 0; i < LANGUAGES; i++) {
        if (rmq_view_equal(json->text, rmq_view_str(languages[i])))
            command->language = i;
    }
    return 0;
}

static int remark_member(struct rmq_command *command, struct rmq_json *json, struct rmq_err *err)
{
    enum rmq_json_kind kind = rmq_json_value(json);
    if (kind == RMQ_JSON_NULL)
        return 0;
    if (kind != RMQ_JSON_STRING || plain_text(command, json, &command->remark) != 0)
        return rmq_fail(err, RMQ_MALFORMED, "JSON header: 'remark' is not a text");
    command->has_remark = true;
    return 0;
}

static int decode_member(struct rmq_command *command, struct rmq_json *json, unsigned *seen,
                         struct rmq_err *err)
{
    struct rmq_view key = json->text;
    if (rmq_view_equal(key, rmq_view_str("code"))) {
        *seen |= 1;
        return number_member(json, "code", &command->code, err);
    }
    if (rmq_view_equal(key, rmq_view_str("opaque"))) {
        *seen |= 2;
        return number_member(json, "opaque", &command->opaque, err);
    }
    if (rmq_view_equal(key, rmq_view_str("flag")))
        return number_member(json, "flag", &command->flag, err);
    if (rmq_view_equal(key, rmq_view_str("version")))
        return number_member(json, "version", &command->version, err);
    if (rmq_view_equal(key, rmq_view_str("language")))
        return language_member(command, json);
    if (rmq_view_equal(key, rmq_view_str("remark")))
        return remark_member(command, json, err);
    enum rmq_json_kind kind = rmq_json_value(json);
    if (rmq_view_equal(key, rmq_view_str("extFields")) && kind == RMQ_JSON_OBJECT) {
        command->field_count = 0; /* of a repeated key the last one counts */
        return decode_fields_json(command, json, err);
    }
    return rmq_json_skip(json, kind) ? 0 : RMQ_MALFORMED;
}

static int decode_json(struct rmq_command *command, struct rmq_view header, struct rmq_err *err)
{
    struct rmq_json json;
    unsigned seen = 0;
    int rc = 0;
    if (err != NULL)
        err->code = 0;
    if (memchr(header.data, '\\', header.len) != NULL &&
        (rc = rmq_buf_reserve(&command->scratch, header.len)) != 0)
        return rmq_fail(err, rc, "no memory for a header of %zu bytes", header.len);
    rmq_json_init(&json, header, false);
    if (rmq_json_value(&json) != RMQ_JSON_OBJECT)
        return rmq_fail(err, RMQ_MALFORMED, "JSON header is not an object");
    enum rmq_json_kind kind;
    while (rc == 0 && (kind = rmq_json_key(&json)) != RMQ_JSON_END)
        rc = kind == RMQ_JSON_ERROR ? RMQ_MALFORMED : decode_member(command, &json, &seen, err);
    if (rc == 0 && !rmq_json_done(&json))
        return rmq_fail(err, RMQ_MALFORMED, "JSON header: text behind the object");
    if (rc == 0 && seen != 3)
        return rmq_fail(err, RMQ_MALFORMED, "JSON header without '%s'",
                        (seen & 1) == 0 ? "code" : "opaque");
    if (rc != 0 && (err == NULL || err->code == 0))
        rmq_fail(err, rc, "JSON header: %s", json.problem == NULL ? "malformed" : json.problem);
    return rc;
}

static int decode_binary(struct rmq_command *command, struct rmq_view header, struct rmq_err *err)
{
    struct rmq_cursor in = {(const unsigned char *)header.data, header.len, false};
    command->code = (int16_t)(uint16_t)rmq_take_be(&in, 2);
    command->language = (uint8_t)rmq_take_be(&in, 1);
    command->version = (int16_t)(uint16_t)rmq_take_be(&in, 2);
    command->opaque = rmq_take_i32(&in);
    command->flag = rmq_take_i32(&in);
    command->remark = rmq_take_view(&in, rmq_take_i32(&in));
    command->has_remark = command->remark.len > 0;
    struct rmq_view fields = rmq_take_view(&in, rmq_take_i32(&in));
    if (in.failed)
        return rmq_fail(err, RMQ_MALFORMED, "binary header of %zu bytes is cut", header.len);
    struct rmq_cursor entries = {(const unsigned char *)fields.data, fields.len, false};
    command->has_fields = fields.len > 0;
    while (entries.left > 0) {
        struct rmq_field field;
        field.name = rmq_take_view(&entries, (int16_t)(uint16_t)rmq_take_be(&entries, 2));
        field.value = rmq_take_view(&entries, rmq_take_i32(&entries));
        if (entries.failed)
            return rmq_fail(err, RMQ_MALFORMED, "binary header: field %zu overruns the header",
                            command->field_count + 1);
        if (command->field_count == RMQ_FIELDS_MAX)
            return rmq_fail(err, RMQ_MALFORMED, "header with more than %d fields", RMQ_FIELDS_MAX);
        command->fields[command->field_count++] = field;
    }
    return 0;
}

int rmq_command_decode(struct rmq_command *command, struct rmq_view frame, struct rmq_err *err)
{
    struct rmq_buf scratch = command->scratch; /* its memory is kept from frame to frame */
    rmq_command_init(command, 0);
    scratch.len = 0;
    command->scratch = scratch;
    command->version = 0;
    struct rmq_cursor in = {(const unsigned char *)frame.data, frame.len, false};
    uint64_t length = rmq_take_be(&in, 4);
    uint32_t word = (uint32_t)rmq_take_be(&in, 4);
    uint32_t header = word & 0xFFFFFF;
    if (in.failed || length != frame.len - 4)
        return rmq_fail(err, RMQ_MALFORMED, "frame of %zu bytes is not whole", frame.len);
    if (header == 0 || header > in.left)
        return rmq_fail(err, RMQ_MALFORMED, "header of %u bytes in a frame of %zu",
                        (unsigned)header, frame.len);
    if (word >> 24 > RMQ_CODEC_BINARY)
        return rmq_fail(err, RMQ_MALFORMED, "header codec %u is unknown", (unsigned)(word >> 24));
    command->codec = (enum rmq_codec)(word >> 24);
    struct rmq_view text = rmq_take_view(&in, header);
    command->body = rmq_view(in.at, in.left);
    return command->codec == RMQ_CODEC_JSON ? decode_json(command, text, err)
                                            : decode_binary(command, text, err);
}
