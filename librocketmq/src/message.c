/* SPDX-License-Identifier: Apache-2.0 */
/* Properties, batch bodies and stored messages. */
#include <rocketmq/message.h>
#include "internal.h"
#include <zlib.h>

enum {
    MAGIC_V1 = -626843481, /* 0xDAA320A7 */
    MAGIC_V2 = -626843477  /* 0xDAA320AB: the topic's length has two bytes */
};

static bool has_separator(struct rmq_view text)
{
    return memchr(text.data, 1, text.len) != NULL || memchr(text.data, 2, text.len) != NULL;
}

int rmq_properties_add(struct rmq_buf *buf, struct rmq_view name, struct rmq_view value,
                       struct rmq_err *err)
{
    if (name.len == 0 || has_separator(name))
        return rmq_fail(err, RMQ_INVALID, "property name '%.*s': empty, or holds U+0001 or U+0002",
                        (int)(name.len > 60 ? 60 : name.len), name.len > 0 ? name.data : "");
    if (value.len == 0 || has_separator(value))
        return rmq_fail(err, RMQ_INVALID, "property '%.*s': its value %s",
                        (int)(name.len > 60 ? 60 : name.len), name.data,
                        value.len == 0 ? "is empty" : "holds U+0001 or U+0002");
    if (name.len > RMQ_PROPERTIES_MAX || value.len > RMQ_PROPERTIES_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "property '%.*s' has more than %d bytes",
                        (int)(name.len > 60 ? 60 : name.len), name.data, RMQ_PROPERTIES_MAX);
    int rc = rmq_buf_reserve(buf, name.len + value.len + 2);
    if (rc != 0)
        return rmq_fail(err, rc, "no room for property '%.*s'",
                        (int)(name.len > 60 ? 60 : name.len), name.data);
    (void)rmq_buf_append(buf, name.data, name.len); /* reserved */
    rmq_append_be(buf, 1, 1);
    (void)rmq_buf_append(buf, value.data, value.len);
    rmq_append_be(buf, 2, 1);
    return 0;
}

bool rmq_properties_next(struct rmq_view *rest, struct rmq_field *ret)
{
    while (rest->len > 0) {
        const char *start = rest->data;
        const char *end = memchr(start, 2, rest->len);
        size_t len = end == NULL ? rest->len : (size_t)(end - start);
        size_t taken = end == NULL ? len : len + 1;
        rest->data += taken;
        rest->len -= taken;
        const char *middle = len == 0 ? NULL : memchr(start, 1, len);
        if (middle == NULL || middle == start || middle + 1 == start + len)
            continue;
        ret->name = rmq_view(start, (size_t)(middle - start));
        ret->value = rmq_view(middle + 1, (size_t)(start + len - middle - 1));
        return true;
    }
    return false;
}

struct rmq_view rmq_properties_get(struct rmq_view properties, struct rmq_view name)
{
    struct rmq_field field;
    while (rmq_properties_next(&properties, &field)) {
        if (rmq_view_equal(field.name, name))
            return field.value;
    }
    return rmq_view(NULL, 0);
}

int rmq_batch_add(struct rmq_buf *buf, const struct rmq_batch_item *item, struct rmq_err *err)
{
    if (item->properties.len > RMQ_PROPERTIES_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "properties of %zu bytes; %d are allowed",
                        item->properties.len, RMQ_PROPERTIES_MAX);
    if (item->body.len > RMQ_BODY_MAX)
        return rmq_fail(err, RMQ_TOO_LARGE, "body of %zu bytes; %d are allowed", item->body.len,
                        RMQ_BODY_MAX);
    size_t total = 22 + item->body.len + item->properties.len;
    int rc = rmq_buf_reserve(buf, total);
    if (rc != 0)
        return rmq_fail(err, rc, "no room for %zu bytes in the batch", total);
    rmq_append_be(buf, total, 4);
    rmq_append_be(buf, (uint32_t)item->magic, 4);
    rmq_append_be(buf, (uint32_t)item->body_crc, 4);
    rmq_append_be(buf, (uint32_t)item->flag, 4);
    rmq_append_be(buf, item->body.len, 4);
    (void)rmq_buf_append(buf, item->body.data, item->body.len); /* reserved */
    rmq_append_be(buf, item->properties.len, 2);
    (void)rmq_buf_append(buf, item->properties.data, item->properties.len);
    return 0;
}

int rmq_batch_next(struct rmq_view *rest, struct rmq_batch_item *ret, struct rmq_err *err)
{
    if (rest->len == 0)
        return 0;
    struct rmq_cursor in = {(const unsigned char *)rest->data, rest->len, false};
    int32_t total = rmq_take_i32(&in);
    ret->magic = rmq_take_i32(&in);
    ret->body_crc = rmq_take_i32(&in);
    ret->flag = rmq_take_i32(&in);
    ret->body = rmq_take_view(&in, rmq_take_i32(&in));
    ret->properties = rmq_take_view(&in, (int16_t)(uint16_t)rmq_take_be(&in, 2));
    size_t used = rest->len - in.left;
    if (in.failed || total < 0 || (size_t)total != used)
        return rmq_fail(err, RMQ_MALFORMED, "batch item of %d bytes among %zu does not fit", total,
                        rest->len);
    rest->data += used;
    rest->len -= used;
    return 1;
}

static void take_host(struct rmq_cursor *in, bool ipv6, struct rmq_host *ret)
{
    ret->ip_len = ipv6 ? 16 : 4;
    const unsigned char *ip = rmq_take(in, ret->ip_len);
    memset(ret->ip, 0, sizeof(ret->ip));
    if (ip != NULL)
        memcpy(ret->ip, ip, ret->ip_len);
    ret->port = rmq_take_i32(in);
}

int rmq_message_next(struct rmq_view *rest, struct rmq_message *ret, struct rmq_err *err)
{
    if (rest->len == 0)
        return 0;
    struct rmq_cursor in = {(const unsigned char *)rest->data, rest->len, false};
    int32_t total = rmq_take_i32(&in);
    int32_t magic = rmq_take_i32(&in);
    if (in.failed || total < 0 || (size_t)total > rest->len)
        return rmq_fail(err, RMQ_MALFORMED, "message of %d bytes among %zu", (int)total, rest->len);
    if (magic != MAGIC_V1 && magic != MAGIC_V2)
        return rmq_fail(err, RMQ_MALFORMED, "message with unknown magic %08x", (unsigned)magic);
    if (total < 8)
        return rmq_fail(err, RMQ_MALFORMED, "message of %d bytes", (int)total);
    in.left = (size_t)total - 8; /* its fields may not reach into the next one */
    ret->body_crc = rmq_take_i32(&in);
    ret->queue_id = rmq_take_i32(&in);
    ret->flag = rmq_take_i32(&in);
    ret->queue_offset = rmq_take_i64(&in);
    ret->physical_offset = rmq_take_i64(&in);
    ret->sys_flag = rmq_take_i32(&in);
    ret->born_ms = rmq_take_i64(&in);
    take_host(&in, (ret->sys_flag & RMQ_SYS_BORN_IPV6) != 0, &ret->born_host);
    ret->store_ms = rmq_take_i64(&in);
    take_host(&in, (ret->sys_flag & RMQ_SYS_STORE_IPV6) != 0, &ret->store_host);
    ret->reconsume_times = rmq_take_i32(&in);
    ret->prepared_offset = rmq_take_i64(&in);
    ret->body = rmq_take_view(&in, rmq_take_i32(&in));
    ret->topic = magic == MAGIC_V1 ? rmq_take_view(&in, (int8_t)(uint8_t)rmq_take_be(&in, 1))
                                   : rmq_take_view(&in, (int16_t)(uint16_t)rmq_take_be(&in, 2));
    ret->properties = rmq_take_view(&in, (int16_t)(uint16_t)rmq_take_be(&in, 2));
    if (in.failed)
        return rmq_fail(err, RMQ_MALFORMED, "a field overruns its message of %d bytes", (int)total);
    rest->data += total;
    rest->len -= (size_t)total;
    return 1;
}

int rmq_message_check(const struct rmq_message *message, struct rmq_err *err)
{
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)message->body.data, (uInt)message->body.len);
    if (message->body.len == 0)
        crc = 0;
    if ((crc & 0x7FFFFFFF) == (uint32_t)message->body_crc)
        return 0;
    return rmq_fail(err, RMQ_CORRUPT, "body of offset %lld: checksum %08x, and %08x was stored",
                    (long long)message->queue_offset, (unsigned)(crc & 0x7FFFFFFF),
                    (unsigned)message->body_crc);
}

void rmq_message_id(const struct rmq_message *message, char ret[57])
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char bytes[28];
    size_t len = message->store_host.ip_len == 16 ? 16 : 4;
    memcpy(bytes, message->store_host.ip, len);
    rmq_put_be(bytes + len, (uint32_t)message->store_host.port, 4);
    rmq_put_be(bytes + len + 4, (uint64_t)message->physical_offset, 8);
    len += 12;
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = hex[bytes[i] >> 4];
        ret[2 * i + 1] = hex[bytes[i] & 15];
    }
    ret[2 * len] = '\0';
}

/* One code point; what is no UTF-8 is one byte long and U+FFFD. */
static uint32_t next_point(struct rmq_view text, size_t *at)
{
    const unsigned char *p = (const unsigned char *)text.data + *at;
    size_t left = text.len - *at;
    size_t more = p[0] < 0x80 ? 0 : p[0] >= 0xF0 && p[0] < 0xF5 ? 3 : p[0] >= 0xE0 ? 2 : 1;
    uint32_t point = more == 0 ? p[0] : p[0] & (0x3FU >> more);
    bool good = p[0] < 0x80 || (p[0] >= 0xC2 && p[0] < 0xF5 && more < left);
    for (size_t i = 1; good && i <= more; i++) {
        good = (p[i] & 0xC0) == 0x80;
        point = point << 6 | (p[i] & 0x3FU);
    }
    good = good && !(more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) &&
           !(more == 3 && (point < 0x10000 || point > 0x10FFFF));
    *at += good ? more + 1 : 1;
    return good ? point : 0xFFFD;
}

int32_t rmq_tag_hash(struct rmq_view tag)
{
    uint32_t hash = 0;
    for (size_t at = 0; at < tag.len;) {
        uint32_t point = next_point(tag, &at);
        if (point >= 0x10000) { /* Java sees the two halves of a pair */
            hash = 31 * hash + (0xD800 + ((point - 0x10000) >> 10));
            point = 0xDC00 + (point & 0x3FF);
        }
        hash = 31 * hash + point;
    }
    return (int32_t)hash;
}
