/* SPDX-License-Identifier: Apache-2.0 */
#include "position.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

char *rep_partition(const char *broker, const char *topic, int32_t queue_id)
{
    char *text = NULL;
    if (asprintf(&text, "{\"brokerName\":\"%s\",\"queueId\":%d,\"topic\":\"%s\"}", broker,
                 (int)queue_id, topic) < 0)
        return NULL;
    return text;
}

char *rep_partition_java(const char *broker, const char *topic, int32_t queue_id)
{
    char *text = NULL;
    if (asprintf(&text, "%s%s%d", broker, topic, (int)queue_id) < 0)
        return NULL;
    return text;
}

struct gantry_view rep_position_write(char buf[REP_POSITION_MAX], int64_t offset)
{
    int len = snprintf(buf, REP_POSITION_MAX, "{\"nextPosition\":%" PRId64 "}", offset);
    return (struct gantry_view){buf, (size_t)len};
}

int rep_position_read(struct gantry_view text, int64_t *ret_offset)
{
    static const char before[] = "{\"nextPosition\":";
    char digits[24], *end;
    size_t skip = sizeof before - 1;
    if (text.len <= skip + 1 || memcmp(text.data, before, skip) != 0 ||
        text.data[text.len - 1] != '}' || text.len - skip - 1 >= sizeof digits)
        return GANTRY_CORRUPT;
    memcpy(digits, text.data + skip, text.len - skip - 1);
    digits[text.len - skip - 1] = '\0';
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (errno != 0 || *end != '\0' || end == digits || value < 0)
        return GANTRY_CORRUPT;
    *ret_offset = value;
    return 0;
}
