/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the host protocol from a hostile host or worker: cutting, parts, schemas, records, and
 * what an item must be for each reader. */
#include "base/arena.h"
#include "host/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *take(void *arena, size_t size)
{
    return size < 1 << 20 ? gt_arena_alloc(arena, size) : NULL;
}

static void read_marks(struct gt_frame_head *head)
{
    uint32_t count = gt_mp_item_array(&head->items);
    for (uint32_t i = 0; i < count && gt_mp_ok(&head->mp); i++) {
        struct gt_mp_items items = gt_mp_items(&head->mp);
        (void)gt_mp_item_int(&items, -1);
        (void)gt_mp_item_bytes(&items);
        (void)gt_mp_item_bool(&items, false);
        gt_mp_items_end(&items);
    }
}

static void read_records(struct gt_frame_head *head, const struct gt_schemas_in *schemas)
{
    struct gt_arena arena;
    gt_arena_init(&arena, 4096, 0);
    size_t bytes = 0;
    struct gt_record_reader reader = {.schemas = schemas, .alloc = take, .arg = &arena};
    if (head->type == GT_FRAME_PUT) {
        (void)gt_mp_item_bytes(&head->items);
        (void)gt_mp_item_int(&head->items, 0);
    }
    (void)gt_mp_item_int(&head->items, 0);
    uint32_t count = gt_mp_item_array(&head->items);
    for (uint32_t i = 0; i < count; i++) {
        struct gantry_record record;
        if (gt_record_read(&head->mp, &reader, &record) != 0)
            break;
        if (record.schema != NULL && record.schema->field_count > 0 &&
            strlen(record.schema->fields[0].name) > GT_FRAME_MAX)
            __builtin_trap(); /* a text that has no end */
        for (uint32_t k = 0; k < record.header_count; k++)
            bytes += record.headers[k].name.len + record.headers[k].value.len;
        bytes += record.key.len + record.value.len;
    }
    if (bytes > 0 && (int64_t)bytes > reader.credit)
        __builtin_trap(); /* something is for nothing */
    read_marks(head);
    gt_arena_deinit(&arena);
}

static void read_frame(struct gt_frame *frame, struct gt_frame_parts *parts,
                       struct gt_schemas_in *schemas)
{
    struct gt_frame_head head;
    struct gt_frame *whole = NULL;
    struct gantry_err err;
    if (!gt_frame_read(&head, frame->data, frame->len))
        return;
    if (head.type == GT_FRAME_PART) {
        if (gt_frame_parts_add(parts, &head, 1 << 16, &whole, &err) != 0 || whole == NULL)
            return;
        if (gt_frame_read(&head, whole->data, whole->len) && head.type == GT_FRAME_RECORDS)
            read_records(&head, schemas);
    } else if (head.type == GT_FRAME_SCHEMA) {
        (void)gt_schemas_in_add(schemas, &head, &err);
    } else if (head.type == GT_FRAME_RECORDS || head.type == GT_FRAME_PUT) {
        read_records(&head, schemas);
    } else {
        while (gt_mp_ok(&head.mp) && gt_mp_peek(&head.mp) != GT_MP_END)
            gt_mp_skip(&head.mp);
    }
    gt_frame_free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gt_frame_cutter cutter = {.head_len = 0};
    struct gt_frame_parts parts = {.begun = false};
    struct gt_schemas_in schemas = {.count = 0};
    while (size > 0) {
        struct gt_frame *frame = NULL;
        struct gantry_err err;
        if (gt_frame_cutter_feed(&cutter, &data, &size, &frame, &err) != 0)
            break;
        if (frame != NULL)
            read_frame(frame, &parts, &schemas);
        gt_frame_free(frame);
    }
    gt_frame_cutter_deinit(&cutter);
    gt_frame_parts_deinit(&parts);
    gt_schemas_in_deinit(&schemas);
    return 0;
}
