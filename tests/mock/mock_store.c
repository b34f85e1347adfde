/* SPDX-License-Identifier: Apache-2.0 */
/* Topics, queues and messages of the mock, as a pull returns them. */
#include "mock_internal.h"
#include <stdarg.h>
#include <time.h>
#include <zlib.h>

void mock_printf(struct rmq_buf *buf, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < sizeof(text));
    mock_put(buf, text, (size_t)len);
}

void mock_copy(char to[NAME_SIZE], struct rmq_view from)
{
    size_t len = from.len < NAME_SIZE ? from.len : NAME_SIZE - 1;
    if (len > 0)
        memcpy(to, from.data, len);
    to[len] = '\0';
}

struct mock_topic *mock_find_topic(struct mock *mock, const char *broker, const char *name)
{
    struct mock_topic *topic = mock->topics;
    while (topic != NULL && (strcmp(topic->name, name) != 0 || strcmp(topic->broker, broker) != 0))
        topic = topic->next;
    return topic;
}

void mock_make_topic(struct mock *mock, const char *broker, const char *name, int queues, int perm)
{
    struct mock_topic *topic = mock_find_topic(mock, broker, name);
    if (topic == NULL) {
        topic = mock_alloc(sizeof(*topic));
        mock_copy(topic->name, rmq_view_str(name));
        mock_copy(topic->broker, rmq_view_str(broker));
        struct mock_topic **at = &mock->topics;
        while (*at != NULL)
            at = &(*at)->next;
        *at = topic;
    }
    topic->queues = queues;
    topic->perm = perm;
}

struct mock_queue *mock_find_queue(struct mock *mock, const char *broker, const char *topic,
                                   int32_t id)
{
    struct mock_queue **at = &mock->queues; /* sorted, for dump */
    int order = 1;
    for (; *at != NULL; at = &(*at)->next) {
        order = strcmp((*at)->topic, topic);
        if (order == 0)
            order = strcmp((*at)->broker, broker);
        if (order == 0)
            order = (*at)->id < id ? -1 : (*at)->id > id;
        if (order >= 0)
            break;
    }
    if (*at != NULL && order == 0)
        return *at;
    struct mock_queue *queue = mock_alloc(sizeof(*queue));
    mock_copy(queue->topic, rmq_view_str(topic));
    mock_copy(queue->broker, rmq_view_str(broker));
    queue->id = id;
    queue->next = *at;
    *at = queue;
    return queue;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void put_be(struct rmq_buf *buf, uint64_t value, size_t width)
{
    int rc = rmq_buf_reserve(buf, width);
    assert(rc == 0);
    (void)rc;
    rmq_append_be(buf, value, width);
}

static void put_host(struct rmq_buf *buf, int port)
{
    static const unsigned char loopback[4] = {127, 0, 0, 1};
    mock_put(buf, loopback, sizeof(loopback));
    put_be(buf, (uint32_t)port, 4);
}

int64_t mock_store(struct mock *mock, struct mock_broker_state *broker, struct mock_queue *queue,
                   const struct rmq_batch_item *item, struct rmq_view outer, int32_t sys_flag,
                   int64_t born_ms, int32_t reconsume, const struct mock_peer *peer)
{
    struct rmq_buf properties;
    rmq_buf_init(&properties, BUF_MAX);
    mock_put(&properties, item->properties.data, item->properties.len);
    if (properties.len > 0 && properties.data[properties.len - 1] != 2)
        mock_put(&properties, "\002", 1);
    mock_put(&properties, outer.data, outer.len);
    mock_printf(&properties, "MSG_REGION\001DefaultRegion\002CLUSTER\001MockCluster\002TRACE_ON"
                             "\001true\002");
    if (rmq_properties_get(rmq_buf_view(&properties), rmq_view_str("UNIQ_KEY")).data == NULL)
        mock_printf(&properties, "UNIQ_KEY\001%s%016llX\002", "7F0000010000000000",
                    (unsigned long long)broker->physical);
    if (queue->room == (size_t)queue->count) {
        queue->room = queue->room == 0 ? 64 : queue->room * 2;
        queue->messages = realloc(queue->messages, queue->room * sizeof(*queue->messages));
        assert(queue->messages != NULL);
    }
    struct rmq_buf *to = &queue->messages[queue->count];
    size_t topic_len = strlen(queue->topic);
    size_t total = 91 + item->body.len + topic_len + properties.len;
    uLong crc =
        item->body.len == 0 ? 0 : crc32(0, (const Bytef *)item->body.data, (uInt)item->body.len);
    rmq_buf_init(to, BUF_MAX);
    put_be(to, total, 4);
    put_be(to, 0xDAA320A7, 4);
    put_be(to, crc & 0x7FFFFFFF, 4);
    put_be(to, (uint32_t)queue->id, 4);
    put_be(to, (uint32_t)item->flag, 4);
    put_be(to, (uint64_t)queue->count, 8);
    put_be(to, (uint64_t)broker->physical, 8);
    put_be(to, (uint32_t)sys_flag, 4);
    put_be(to, (uint64_t)born_ms, 8);
    put_host(to, 1);
    put_be(to, (uint64_t)now_ms(), 8);
    put_host(to, peer != NULL ? peer->server->port : 0);
    put_be(to, (uint32_t)reconsume, 4);
    put_be(to, 0, 8);
    put_be(to, item->body.len, 4);
    mock_put(to, item->body.data, item->body.len);
    put_be(to, topic_len, 1);
    mock_put(to, queue->topic, topic_len);
    put_be(to, properties.len, 2);
    mock_put(to, properties.data, properties.len);
    assert(to->len == total);
    rmq_buf_deinit(&properties);
    queue->count++;
    int64_t at = broker->physical;
    broker->physical += (int64_t)total;
    (void)mock;
    return at;
}

void mock_forget(struct mock *mock, struct mock_broker_state *broker, struct mock_queue *queue,
                 int64_t count, int64_t others)
{
    const struct rmq_batch_item other = {.body = rmq_view_str("another one")};
    for (; count > 0 && queue->count > queue->min; count--)
        rmq_buf_deinit(&queue->messages[--queue->count]);
    for (; others > 0; others--)
        (void)mock_store(mock, broker, queue, &other, rmq_view(NULL, 0), 0, now_ms(), 0, NULL);
}

struct mock_offset *mock_find_offset(struct mock *mock, const char *broker, const char *group,
                                     const char *topic, int32_t queue)
{
    for (struct mock_offset *at = mock->offsets; at != NULL; at = at->next)
        if (at->queue == queue && strcmp(at->group, group) == 0 && strcmp(at->topic, topic) == 0 &&
            strcmp(at->broker, broker) == 0)
            return at;
    struct mock_offset *made = mock_alloc(sizeof(*made));
    mock_copy(made->broker, rmq_view_str(broker));
    mock_copy(made->group, rmq_view_str(group));
    mock_copy(made->topic, rmq_view_str(topic));
    made->queue = queue;
    made->offset = -1;
    made->next = mock->offsets;
    mock->offsets = made;
    return made;
}

static void put_hex(struct rmq_buf *ret, struct rmq_view bytes)
{
    static const char hex[] = "0123456789abcdef";
    int rc = rmq_buf_reserve(ret, bytes.len * 2);
    assert(rc == 0);
    (void)rc;
    for (size_t i = 0; i < bytes.len; i++) {
        ret->data[ret->len++] = hex[(unsigned char)bytes.data[i] >> 4];
        ret->data[ret->len++] = hex[(unsigned char)bytes.data[i] & 15];
    }
}

static void put_json(struct rmq_buf *ret, struct rmq_view text)
{
    static const char hex[] = "0123456789abcdef";
    mock_put(ret, "\"", 1);
    for (size_t i = 0; i < text.len; i++) { /* a byte is a character: Latin-1, always good JSON */
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c > 0x7E || c == '"' || c == '\\') {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            mock_put(ret, escape, sizeof(escape));
        } else {
            mock_put(ret, &text.data[i], 1);
        }
    }
    mock_put(ret, "\"", 1);
}

void mock_dump(struct mock *mock, const char *topic, struct rmq_buf *ret)
{
    long count = 0;
    for (struct mock_queue *queue = mock->queues; queue != NULL; queue = queue->next) {
        if (topic[0] != '\0' && strcmp(topic, queue->topic) != 0)
            continue;
        for (int64_t i = queue->min; i < queue->count; i++, count++) {
            struct rmq_view rest = rmq_buf_view(&queue->messages[i]);
            struct rmq_message message;
            struct rmq_field field;
            const char *comma = "";
            int rc = rmq_message_next(&rest, &message, NULL);
            assert(rc == 1);
            (void)rc;
            mock_printf(ret,
                        "{\"topic\":\"%s\",\"broker\":\"%s\",\"queue\":%d,\"offset\":%lld,"
                        "\"flag\":%d,\"sysFlag\":%d,\"born\":%lld,\"properties\":{",
                        queue->topic, queue->broker, (int)queue->id, (long long)i,
                        (int)message.flag, (int)message.sys_flag, (long long)message.born_ms);
            while (rmq_properties_next(&message.properties, &field)) {
                mock_put(ret, comma, strlen(comma));
                put_json(ret, field.name);
                mock_put(ret, ":", 1);
                put_json(ret, field.value);
                comma = ",";
            }
            mock_put(ret, "},\"body\":", 9);
            put_json(ret, message.body);
            mock_put(ret, ",\"hex\":\"", 8);
            put_hex(ret, message.body);
            mock_put(ret, "\"}\n", 3);
        }
    }
    mock_printf(ret, "{\"end\":%ld}\n", count);
}

void mock_store_free(struct mock *mock)
{
    while (mock->queues != NULL) {
        struct mock_queue *queue = mock->queues;
        mock->queues = queue->next;
        for (int64_t i = 0; i < queue->count; i++)
            rmq_buf_deinit(&queue->messages[i]);
        free(queue->messages);
        free(queue);
    }
#define FREE_LIST(list)                                                                            \
    while (mock->list != NULL) {                                                                   \
        void *first = mock->list;                                                                  \
        mock->list = mock->list->next;                                                             \
        free(first);                                                                               \
    }
    FREE_LIST(topics)
    FREE_LIST(offsets)
    FREE_LIST(locks)
    FREE_LIST(members)
    FREE_LIST(rules)
    FREE_LIST(counts)
#undef FREE_LIST
}
