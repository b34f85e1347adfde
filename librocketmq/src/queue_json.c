/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of queue_json.h. */
#include "queue_json.h"

int rmq_queue_json_read(struct rmq_json *json, struct rmq_queue_json *ret)
{
    enum rmq_json_kind kind;
    *ret = (struct rmq_queue_json){{NULL, 0}, {NULL, 0}, -1, -1};
    while ((kind = rmq_json_key(json)) == RMQ_JSON_STRING) {
        struct rmq_view key = json->text;
        kind = rmq_json_value(json);
        if (kind == RMQ_JSON_STRING && rmq_view_equal(key, rmq_view_str("topic")))
            ret->topic = json->text;
        else if (kind == RMQ_JSON_STRING && rmq_view_equal(key, rmq_view_str("brokerName")))
            ret->broker = json->text;
        else if (kind == RMQ_JSON_NUMBER && rmq_view_equal(key, rmq_view_str("queueId")))
            (void)rmq_parse_i64(json->text, &ret->id); /* what is no number stays -1 */
        else if (kind == RMQ_JSON_NUMBER && rmq_view_equal(key, rmq_view_str("offset")))
            (void)rmq_parse_i64(json->text, &ret->offset);
        else if (!rmq_json_skip(json, kind))
            return RMQ_MALFORMED;
    }
    return kind == RMQ_JSON_END ? 0 : RMQ_MALFORMED;
}
