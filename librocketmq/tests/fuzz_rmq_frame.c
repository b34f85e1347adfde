/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as a stream from a server: every frame the reader cuts out is decoded, its
 * fields, properties, batch items and messages are walked and their bodies inflated. A frame that
 * decodes must encode, and decode again to the same. */
#include <rocketmq/message.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_body(struct rmq_view body)
{
    struct rmq_buf plain;
    struct rmq_message message;
    struct rmq_batch_item item;
    struct rmq_field field;
    struct rmq_view rest = body;
    rmq_buf_init(&plain, 1 << 20);
    while (rmq_message_next(&rest, &message, NULL) == 1) {
        char id[57];
        rmq_message_id(&message, id);
        (void)rmq_message_check(&message, NULL); /* fuzzed bytes are seldom right */
        (void)rmq_message_inflate(&message, &plain, NULL);
        while (rmq_properties_next(&message.properties, &field))
            (void)rmq_tag_hash(field.value);
    }
    rest = body;
    while (rmq_batch_next(&rest, &item, NULL) == 1)
        continue;
    rmq_buf_deinit(&plain);
}

static void encode_again(const struct rmq_command *command)
{
    struct rmq_command copy;
    struct rmq_buf buf;
    rmq_buf_init(&buf, RMQ_FRAME_MAX);
    rmq_command_init(&copy, 0);
    if (rmq_command_encode(command, &buf, NULL) != 0 ||
        rmq_command_decode(&copy, rmq_buf_view(&buf), NULL) != 0 || copy.code != command->code ||
        copy.opaque != command->opaque || copy.field_count != command->field_count ||
        !rmq_view_equal(copy.remark, command->remark) || !rmq_view_equal(copy.body, command->body))
        abort();
    for (size_t i = 0; i < copy.field_count; i++) {
        if (!rmq_view_equal(copy.fields[i].name, command->fields[i].name) ||
            !rmq_view_equal(copy.fields[i].value, command->fields[i].value))
            abort();
    }
    rmq_command_deinit(&copy);
    rmq_buf_deinit(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rmq_frame_reader reader;
    struct rmq_command command;
    struct rmq_view frame;
    struct rmq_err err;
    rmq_frame_reader_init(&reader, 1 << 20);
    rmq_command_init(&command, 0);
    int rc = 0;
    while (size > 0 && rc == 0) {
        char *room;
        size_t len;
        if (rmq_frame_reader_space(&reader, &room, &len) != 0)
            abort();
        len = len < size ? len : size;
        memcpy(room, data, len);
        rmq_frame_reader_filled(&reader, len);
        data += len;
        size -= len;
        while ((rc = rmq_frame_reader_next(&reader, &frame, &err)) == 1) {
            if (rmq_command_decode(&command, frame, &err) != 0)
                continue;
            encode_again(&command);
            walk_body(command.body);
        }
    }
    rmq_command_deinit(&command);
    rmq_frame_reader_deinit(&reader);
    return 0;
}
