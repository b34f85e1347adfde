/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { BODY_MAX = 256 << 20 };

static bool is(struct rmq_view view, const char *text)
{
    return rmq_view_equal(view, rmq_view_str(text));
}

static struct gantry_view view_of(struct rmq_view view)
{
    return (struct gantry_view){view.data, view.len};
}

bool rep_is_text(struct gantry_view bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data, *end = at + bytes.len;
    while (at < end) {
        uint64_t eight;
        while (end - at >= 8) {
            memcpy(&eight, at, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) != 0)
                break;
            at += 8;
        }
        if (at == end)
            break;
        unsigned char lead = *at++;
        int more = lead < 0x80                   ? 0
                   : lead >= 0xc2 && lead < 0xe0 ? 1
                   : (lead & 0xf0) == 0xe0       ? 2
                   : lead >= 0xf0 && lead < 0xf5 ? 3
                                                 : -1;
        if (more < 0 || end - at < more)
            return false;
        if (more > 0 && ((lead == 0xe0 && *at < 0xa0) || (lead == 0xed && *at > 0x9f) ||
                         (lead == 0xf0 && *at < 0x90) || (lead == 0xf4 && *at > 0x8f)))
            return false;
        for (; more > 0; more--, at++) {
            if ((*at & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

/* --- Properties --- */

/* What a broker or client says about the one stored message: true of no copy, and dangerous on one
 * (a delay would be waited for again, a half transaction never ends). */
static bool is_system(struct rmq_view name)
{
    static const char *const names[] = {
        "CLUSTER",
        "MSG_REGION",
        "TRACE_ON",
        "UNIQ_KEY",
        "WAIT",
        "DELAY",
        "TIMER_DELAY_MS",
        "TIMER_DELAY_SEC",
        "TIMER_DELIVER_MS",
        "TIMER_OUT_MS",
        "TIMER_ENQUEUE_MS",
        "TIMER_DEQUEUE_MS",
        "TIMER_ROLL_TIMES",
        "TIMER_DEL_UNIQKEY",
        "TIMER_DELAY_LEVEL",
        "RETRY_TOPIC",
        "REAL_TOPIC",
        "REAL_QID",
        "ORIGIN_MESSAGE_ID",
        "RECONSUME_TIME",
        "MAX_RECONSUME_TIMES",
        "CONSUME_START_TIME",
        "DLQ_ORIGIN_TOPIC",
        "DLQ_ORIGIN_MESSAGE_ID",
        "TRAN_MSG",
        "PGROUP",
        "__transactionId__",
        "TRAN_PREPARED_QUEUE_OFFSET",
        "TRANSACTION_CHECK_TIMES",
        "CHECK_IMMUNITY_TIME_IN_SECONDS",
        "MIN_OFFSET",
        "MAX_OFFSET",
        "INSTANCE_ID",
        "BUYER_ID",
        "TRANSFER_FLAG",
        "CORRECTION_FLAG",
        "MQ2_FLAG",
        "DUP_INFO",
        "EXTEND_UNIQ_INFO",
        "CORRELATION_ID",
        "REPLY_TO_CLIENT",
        "TTL",
        "MSG_TYPE",
        "ARRIVE_TIME",
        "PUSH_REPLY_TIME",
        "POP_CK",
        "POP_CK_OFFSET",
        "1ST_POP_TIME",
        "INNER_NUM",
        "INNER_BASE",
        "INNER_MULTI_DISPATCH",
        "INNER_MULTI_QUEUE_OFFSET",
        "__BORNHOST",
        "BORN_TIMESTAMP",
        "TRACE_CONTEXT",
        "__CRC32#",
    };
    char first = name.len > 0 ? name.data[0] : '\0';
    if (!((first >= 'A' && first <= 'Z') || first == '_' || first == '1'))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is(name, names[i]))
            return true;
    }
    return false;
}

static int base64_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static int decode_base64(struct gantry_batch *batch, struct rmq_view text, struct gantry_view *ret)
{
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    char *out = batch->alloc(batch, text.len * 3 / 4 + 1);
    uint32_t bits = 0;
    size_t len = 0;
    if (out == NULL)
        return GANTRY_NO_MEMORY;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0)
            return GANTRY_CORRUPT;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0)
            out[len++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    *ret = (struct gantry_view){out, len};
    return 0;
}

static bool take_varint(struct gantry_view *rest, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)*rest->data;
        rest->data++;
        rest->len--;
        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

static bool take_sized(struct gantry_view *rest, struct gantry_view *ret)
{
    uint64_t len;
    if (!take_varint(rest, &len) || len > rest->len)
        return false;
    *ret = (struct gantry_view){rest->data, (size_t)len};
    rest->data += len;
    rest->len -= (size_t)len;
    return true;
}

/* A record under way. */
struct making {
    struct gantry_batch *batch;
    struct gantry_record *record;
    struct gantry_header *headers;
    uint32_t count, room;
    struct rmq_view origin; /* the message's own, from an earlier copy */
};

static int add_header(struct making *making, struct gantry_view name, struct gantry_view value)
{
    if (making->count == making->room) {
        uint32_t room = making->room > 0 ? making->room * 2 : 8;
        struct gantry_header *grown =
            making->batch->alloc(making->batch, room * sizeof(struct gantry_header));
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        if (making->count > 0)
            memcpy(grown, making->headers, making->count * sizeof *grown);
        making->headers = grown;
        making->room = room;
    }
    for (uint32_t i = 0; i < making->count; i++) {
        if (gantry_view_equal(making->headers[i].name, name))
            return 0; /* the first one of a name counts */
    }
    making->headers[making->count++] = (struct gantry_header){name, value};
    return 0;
}

/* Headers that were no text, in one property: a count, then names and values with their lengths. */
static int add_packed(struct making *making, struct rmq_view text)
{
    struct gantry_view rest, name, value;
    uint64_t count;
    int code = decode_base64(making->batch, text, &rest);
    if (code == 0 && !take_varint(&rest, &count))
        code = GANTRY_CORRUPT;
    for (uint64_t i = 0; code == 0 && i < count; i++) {
        if (!take_sized(&rest, &name) || !take_sized(&rest, &value))
            code = GANTRY_CORRUPT;
        else
            code = add_header(making, name, value);
    }
    return code;
}

static bool take_time(struct rmq_view text, int64_t *ret)
{
    char digits[24], *end;
    if (text.len == 0 || text.len >= sizeof digits)
        return false;
    memcpy(digits, text.data, text.len);
    digits[text.len] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (errno != 0 || *end != '\0' || value <= 0)
        return false;
    *ret = value;
    return true;
}

static int take_property(struct making *making, const struct rmq_field *field)
{
    struct rmq_view name = field->name;
    if (name.len > 7 && memcmp(name.data, "gantry-", 7) == 0) {
        if (is(name, "gantry-key"))
            return decode_base64(making->batch, field->value, &making->record->key);
        if (is(name, "gantry-headers"))
            return add_packed(making, field->value);
        return 0; /* what the worker that wrote it has noted for itself */
    }
    if (is(name, "KEYS")) {
        if (making->record->key.len == 0)
            making->record->key = view_of(field->value);
        return 0;
    }
    if (is(name, "connect.timestamp") && take_time(field->value, &making->record->timestamp_ms))
        return 0;
    if (is(name, REP_ORIGIN)) {
        making->origin = field->value;
        return 0;
    }
    return is_system(name) ? 0 : add_header(making, view_of(name), view_of(field->value));
}

/* --- Where it came from --- */

bool rep_origin_names(struct rmq_view origin, const char *cluster)
{
    /* CLUSTER/BROKER/TOPIC/QUEUE/OFFSET, then ",CLUSTER" for each one before. */
    size_t len = strlen(cluster), at = 0;
    while (at < origin.len) {
        size_t end = at;
        while (end < origin.len && origin.data[end] != ',' && origin.data[end] != '/')
            end++;
        if (end - at == len && memcmp(origin.data + at, cluster, len) == 0)
            return true;
        while (end < origin.len && origin.data[end] != ',')
            end++;
        at = end + 1;
    }
    return false;
}

/* The clusters of an earlier copy go on, in front of them this hop. */
static int add_origin(struct making *making, const char *origin, int64_t offset)
{
    struct rmq_view before = making->origin;
    size_t room = strlen(origin) + 24 + before.len;
    char *text = making->batch->alloc(making->batch, room);
    if (text == NULL)
        return GANTRY_NO_MEMORY;
    size_t len = (size_t)snprintf(text, room, "%s%" PRId64, origin, offset);
    if (before.len > 0) {
        const char *slash = memchr(before.data, '/', before.len);
        const char *comma = memchr(before.data, ',', before.len);
        size_t name = slash != NULL ? (size_t)(slash - before.data) : before.len;
        text[len++] = ',';
        memcpy(text + len, before.data, name);
        len += name;
        if (comma != NULL) {
            size_t rest = before.len - (size_t)(comma - before.data);
            memcpy(text + len, comma, rest);
            len += rest;
        }
    }
    return add_header(making, gantry_view_of(REP_ORIGIN), (struct gantry_view){text, len});
}

/* --- All of it --- */

static int take_body(struct making *making, struct rmq_message *message, struct rmq_buf *scratch,
                     struct gantry_err *err)
{
    struct rmq_err reason = {0};
    if ((message->sys_flag & RMQ_SYS_COMPRESSED) == 0) {
        making->record->value = view_of(message->body);
        return 0;
    }
    scratch->max = BODY_MAX;
    int rc = rmq_message_inflate(message, scratch, &reason);
    if (rc != 0)
        return gantry_err_set(err, rc == RMQ_NO_MEMORY ? GANTRY_NO_MEMORY : GANTRY_CORRUPT, "%s",
                              reason.text);
    char *body = making->batch->alloc(making->batch, message->body.len + 1);
    if (body == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a body of %zu bytes",
                              message->body.len);
    if (message->body.len > 0)
        memcpy(body, message->body.data, message->body.len);
    making->record->value = (struct gantry_view){body, message->body.len};
    return 0;
}

int rep_record_add(struct gantry_batch *batch, struct rmq_message *message,
                   const struct rep_schemas *schemas, const char *origin, const char *avoid,
                   struct rmq_buf *scratch, struct gantry_record **ret, struct gantry_err *err)
{
    struct rmq_view rest = message->properties;
    struct rmq_field field;
    int code = 0;
    if ((message->sys_flag & RMQ_SYS_INNER_BATCH) != 0)
        return gantry_err_set(err, GANTRY_UNSUPPORTED,
                              "it is a batch kept as one message (a topic of the queue type "
                              "BatchCQ), which is not supported");
    struct gantry_record *record = gantry_batch_add(batch);
    if (record == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a record");
    struct making making = {.batch = batch, .record = record};
    record->timestamp_ms = message->born_ms;
    while (code == 0 && rmq_properties_next(&rest, &field))
        code = take_property(&making, &field);
    if (code == 0 && avoid != NULL && making.origin.len > 0 &&
        rep_origin_names(making.origin, avoid)) {
        batch->count--;
        return 0;
    }
    if (code == 0 && origin != NULL)
        code = add_origin(&making, origin, message->queue_offset);
    else if (code == 0 && making.origin.len > 0)
        code = add_header(&making, gantry_view_of(REP_ORIGIN), view_of(making.origin));
    if (code == GANTRY_CORRUPT)
        return gantry_err_set(err, code, "its gantry-* properties are damaged");
    if (code != 0)
        return gantry_err_set(err, code, "no memory for a record");
    code = take_body(&making, message, scratch, err);
    if (code != 0)
        return code;
    record->schema = rep_is_text(record->value) ? schemas->text : schemas->bytes;
    record->headers = making.headers;
    record->header_count = making.count;
    *ret = record;
    return 1;
}
