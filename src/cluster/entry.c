/* SPDX-License-Identifier: Apache-2.0 */
/* A message is checked as a whole before any of it counts: a state that has applied half of one
 * would differ from the others for ever. */
#include "cluster/entry.h"

static const char magic[4] = {'G', 'T', 'C', 'L'};

bool gt_incarnation_equal(const struct gt_incarnation *a, const struct gt_incarnation *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool gt_incarnation_is_zero(const struct gt_incarnation *incarnation)
{
    static const struct gt_incarnation zero;
    return gt_incarnation_equal(incarnation, &zero);
}

/* --- Writing --- */

void gt_put_number(struct gt_buf *buf, uint64_t value)
{
    uint8_t bytes[10];
    gt_buf_add(buf, bytes, (size_t)(gt_put_varint(bytes, value) - bytes));
}

void gt_put_sized(struct gt_buf *buf, struct gantry_view view)
{
    gt_put_number(buf, view.len);
    gt_buf_add_view(buf, view);
}

static void put_type(struct gt_buf *buf, enum gt_entry_type type)
{
    gt_buf_add_char(buf, (char)type);
}

static void put_name(struct gt_buf *buf, const char *name, size_t max)
{
    struct gantry_view view = gantry_view_of(name);
    if ((view.len == 0 || view.len > max) && buf->error == 0)
        buf->error = GANTRY_TOO_LARGE; /* what every reader would refuse is not written */
    gt_put_sized(buf, view);
}

/* At most @p max bytes, and no half of a character. */
static struct gantry_view cut(const char *text, size_t max)
{
    struct gantry_view view = gantry_view_of(text);
    if (view.len > max) {
        view.len = max;
        while (view.len > 0 && ((uint8_t)text[view.len] & 0xc0) == 0x80)
            view.len--;
    }
    return view;
}

/* An entry that would not fit into any message is an error of the buffer. */
static void check_size(struct gt_buf *buf, size_t before)
{
    if (buf->error == 0 && buf->len - before > GT_CLUSTER_MESSAGE_MAX - GT_MESSAGE_HEADER_MAX)
        buf->error = GANTRY_TOO_LARGE;
}

void gt_entry_add_join(struct gt_buf *buf, const struct gt_entry_join *join)
{
    put_type(buf, GT_ENTRY_JOIN);
    gt_put_sized(buf, join->name);
    gt_put_number(buf, (uint64_t)join->lease_ms);
    gt_put_number(buf, join->strategy);
    gt_put_number(buf, join->virtual_nodes);
    gt_put_number(buf, gt_zigzag(join->as_of));
    gt_buf_add(buf, join->replaces.bytes, sizeof join->replaces.bytes);
}

void gt_entry_add_plain(struct gt_buf *buf, enum gt_entry_type type)
{
    put_type(buf, type);
}

void gt_entry_add_expire(struct gt_buf *buf, const struct gt_incarnation *target, int64_t offset)
{
    put_type(buf, GT_ENTRY_EXPIRE);
    gt_buf_add(buf, target->bytes, sizeof target->bytes);
    gt_put_number(buf, gt_zigzag(offset));
}

static void put_task(struct gt_buf *buf, enum gt_entry_type type, const char *connector,
                     uint32_t task, uint64_t epoch)
{
    put_type(buf, type);
    put_name(buf, connector, GT_CLUSTER_NAME_MAX);
    gt_put_number(buf, task);
    gt_put_number(buf, epoch);
}

void gt_entry_add_release(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch)
{
    put_task(buf, GT_ENTRY_RELEASE, connector, task, epoch);
}

void gt_cluster_add_config(struct gt_buf *buf, const char *connector, int64_t updated_ms,
                           struct gantry_view props, const struct gantry_view *tasks,
                           size_t task_count)
{
    size_t before = buf->len;
    put_type(buf, GT_ENTRY_CONFIG);
    put_name(buf, connector, GT_CLUSTER_NAME_MAX);
    gt_put_number(buf, gt_zigzag(updated_ms));
    gt_put_sized(buf, props);
    if (task_count > GT_TASKS_MAX && buf->error == 0)
        buf->error = GANTRY_TOO_LARGE;
    gt_put_number(buf, task_count);
    for (size_t i = 0; i < task_count && buf->error == 0; i++)
        gt_put_sized(buf, tasks[i]);
    check_size(buf, before);
}

void gt_cluster_add_delete(struct gt_buf *buf, const char *connector)
{
    put_type(buf, GT_ENTRY_DELETE);
    if (connector == NULL)
        gt_put_number(buf, 0);
    else
        put_name(buf, connector, GT_CLUSTER_NAME_MAX);
}

void gt_cluster_add_commit(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           uint64_t own, struct gantry_view changes)
{
    size_t before = buf->len;
    put_task(buf, GT_ENTRY_COMMIT, connector, task, epoch);
    gt_put_number(buf, own);
    gt_put_sized(buf, changes);
    check_size(buf, before);
}

void gt_cluster_add_status(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch,
                           const char *state, const char *reason)
{
    put_task(buf, GT_ENTRY_STATUS, connector, task, epoch);
    gt_put_sized(buf, cut(state, GT_STATUS_MAX));
    gt_put_sized(buf, cut(reason != NULL ? reason : "", GT_REASON_MAX));
}

void gt_cluster_add_reset(struct gt_buf *buf, const char *connector)
{
    put_type(buf, GT_ENTRY_RESET);
    put_name(buf, connector, GT_CLUSTER_NAME_MAX);
}

void gt_cluster_add_snapshot(struct gt_buf *buf, int64_t offset, uint32_t part, uint32_t part_count,
                             struct gantry_view bytes)
{
    size_t before = buf->len;
    put_type(buf, GT_ENTRY_SNAPSHOT);
    gt_put_number(buf, gt_zigzag(offset));
    gt_put_number(buf, part);
    gt_put_number(buf, part_count);
    gt_put_sized(buf, bytes);
    check_size(buf, before);
}

void gt_cluster_message_write(struct gt_buf *buf, const struct gt_incarnation *incarnation,
                              uint64_t number, struct gantry_view entries)
{
    gt_buf_add(buf, magic, sizeof magic);
    gt_buf_add_char(buf, GT_CLUSTER_VERSION);
    gt_buf_add(buf, incarnation->bytes, sizeof incarnation->bytes);
    gt_put_number(buf, number);
    gt_buf_add_view(buf, entries);
}

/* --- Reading --- */

struct gantry_view gt_cursor_sized(struct gt_cursor *cursor)
{
    uint64_t len = gt_cursor_varint(cursor);
    if (len > gt_cursor_left(cursor)) {
        cursor->bad = true;
        len = 0;
    }
    return gt_cursor_bytes(cursor, (size_t)len);
}

/* A number up to @p max; anything above it is malformed. */
static uint64_t read_number(struct gt_cursor *cursor, uint64_t max)
{
    uint64_t value = gt_cursor_varint(cursor);
    if (value > max) {
        cursor->bad = true;
        return 0;
    }
    return value;
}

static int64_t read_signed(struct gt_cursor *cursor)
{
    return gt_unzigzag(gt_cursor_varint(cursor));
}

/* A text of @p min to @p max bytes without a NUL, for it becomes a C string. */
static struct gantry_view read_text(struct gt_cursor *cursor, size_t min, size_t max)
{
    struct gantry_view view = gt_cursor_sized(cursor);
    if (view.len < min || view.len > max ||
        (view.len > 0 && memchr(view.data, '\0', view.len) != NULL))
        cursor->bad = true;
    return view;
}

static void read_incarnation(struct gt_cursor *cursor, struct gt_incarnation *ret)
{
    struct gantry_view view = gt_cursor_bytes(cursor, sizeof ret->bytes);
    memset(ret->bytes, 0, sizeof ret->bytes);
    if (view.len == sizeof ret->bytes)
        memcpy(ret->bytes, view.data, view.len);
}

static void read_join(struct gt_cursor *cursor, struct gt_entry_join *ret)
{
    ret->name = read_text(cursor, 1, GT_MEMBER_NAME_MAX);
    ret->lease_ms = (int64_t)read_number(cursor, GT_LEASE_MAX_MS);
    if (ret->lease_ms < GT_LEASE_MIN_MS)
        cursor->bad = true;
    ret->strategy = (enum gt_cluster_strategy)read_number(cursor, GT_STRATEGY_HASH);
    ret->virtual_nodes = (uint32_t)read_number(cursor, GT_VIRTUAL_NODES_MAX);
    ret->as_of = read_signed(cursor);
    read_incarnation(cursor, &ret->replaces);
}

bool gt_entry_read_config(struct gt_cursor *cursor, struct gt_entry *ret)
{
    const char *start = (const char *)cursor->pos;
    ret->connector = read_text(cursor, 1, GT_CLUSTER_NAME_MAX);
    ret->updated_ms = read_signed(cursor);
    ret->props = gt_cursor_sized(cursor);
    ret->task_count = (uint32_t)read_number(cursor, GT_TASKS_MAX);
    const char *tasks = (const char *)cursor->pos;
    for (uint32_t i = 0; i < ret->task_count && !cursor->bad; i++)
        (void)gt_cursor_sized(cursor);
    ret->tasks = (struct gantry_view){tasks, (size_t)((const char *)cursor->pos - tasks)};
    ret->config = (struct gantry_view){start, (size_t)((const char *)cursor->pos - start)};
    return !cursor->bad;
}

static void read_task(struct gt_cursor *cursor, struct gt_entry *ret)
{
    ret->connector = read_text(cursor, 1, GT_CLUSTER_NAME_MAX);
    ret->task = (uint32_t)read_number(cursor, GT_TASKS_MAX - 1);
    ret->epoch = gt_cursor_varint(cursor);
}

static void read_snapshot(struct gt_cursor *cursor, struct gt_entry *ret)
{
    ret->offset = read_signed(cursor);
    ret->part = (uint32_t)read_number(cursor, UINT32_MAX);
    ret->part_count = (uint32_t)read_number(cursor, UINT32_MAX);
    ret->changes = gt_cursor_sized(cursor);
    if (ret->part >= ret->part_count)
        cursor->bad = true;
}

bool gt_entry_read(struct gt_cursor *cursor, struct gt_entry *ret, const char **ret_problem)
{
    static const char *const names[] = {
        "",       "JOIN",    "RENEW",  "LEAVE",  "EXPIRE", "CONFIG",
        "DELETE", "RELEASE", "COMMIT", "STATUS", "RESET",  "SNAPSHOT",
    };
    uint8_t type = gt_cursor_u8(cursor);
    *ret = (struct gt_entry){.type = (enum gt_entry_type)type};
    switch (type) {
    case GT_ENTRY_JOIN:
        read_join(cursor, &ret->join);
        break;
    case GT_ENTRY_RENEW:
    case GT_ENTRY_LEAVE:
        break;
    case GT_ENTRY_EXPIRE:
        read_incarnation(cursor, &ret->target);
        ret->offset = read_signed(cursor);
        break;
    case GT_ENTRY_CONFIG:
        (void)gt_entry_read_config(cursor, ret); /* asked below */
        break;
    case GT_ENTRY_DELETE:
        ret->connector = read_text(cursor, 0, GT_CLUSTER_NAME_MAX);
        break;
    case GT_ENTRY_RELEASE:
        read_task(cursor, ret);
        break;
    case GT_ENTRY_COMMIT:
        read_task(cursor, ret);
        ret->own = gt_cursor_varint(cursor);
        ret->changes = gt_cursor_sized(cursor);
        break;
    case GT_ENTRY_STATUS:
        read_task(cursor, ret);
        ret->status = read_text(cursor, 0, GT_STATUS_MAX);
        ret->reason = read_text(cursor, 0, GT_REASON_MAX);
        break;
    case GT_ENTRY_RESET:
        ret->connector = read_text(cursor, 1, GT_CLUSTER_NAME_MAX);
        break;
    case GT_ENTRY_SNAPSHOT:
        read_snapshot(cursor, ret);
        break;
    default:
        cursor->bad = true;
        *ret_problem = "an entry of an unknown type";
        return false;
    }
    *ret_problem = names[type];
    return !cursor->bad;
}

int gt_message_open(struct gantry_view bytes, struct gt_message_header *ret,
                    struct gt_cursor *ret_entries, struct gantry_err *err)
{
    struct gt_cursor cursor = gt_cursor_of(bytes.data, bytes.len);
    struct gantry_view start = gt_cursor_bytes(&cursor, sizeof magic);
    if (start.len != sizeof magic || memcmp(start.data, magic, sizeof magic) != 0)
        return gantry_err_set(err, GANTRY_CORRUPT,
                              "cluster log: a message that does not begin with GTCL; something "
                              "else writes to this topic");
    uint8_t version = gt_cursor_u8(&cursor);
    if (version > GT_CLUSTER_VERSION)
        return gantry_err_set(err, GANTRY_VERSION,
                              "cluster log: a message of version %u, this worker knows %d; update "
                              "this worker",
                              version, GT_CLUSTER_VERSION);
    read_incarnation(&cursor, &ret->incarnation);
    ret->number = gt_cursor_varint(&cursor);
    if (cursor.bad || version == 0 || ret->number == 0 || gt_incarnation_is_zero(&ret->incarnation))
        return gantry_err_set(err, GANTRY_CORRUPT, "cluster log: a message with a bad header");
    *ret_entries = cursor;
    while (gt_cursor_left(&cursor) > 0) {
        struct gt_entry entry;
        const char *problem;
        if (!gt_entry_read(&cursor, &entry, &problem))
            return gantry_err_set(err, GANTRY_CORRUPT, "cluster log: a malformed message: %s",
                                  problem);
    }
    return 0;
}

int gt_cluster_snapshot_part(struct gantry_view message, struct gt_cluster_part *ret,
                             struct gantry_err *err)
{
    struct gt_message_header header;
    struct gt_cursor cursor = gt_cursor_of(NULL, 0);
    struct gt_entry entry;
    const char *problem;

    int rc = gt_message_open(message, &header, &cursor, err);
    if (rc != 0)
        return rc;
    if (gt_cursor_left(&cursor) == 0 || !gt_entry_read(&cursor, &entry, &problem) ||
        entry.type != GT_ENTRY_SNAPSHOT)
        return gantry_err_set(err, GANTRY_NOT_FOUND, "cluster log: not a part of a snapshot");
    ret->incarnation = header.incarnation;
    ret->offset = entry.offset;
    ret->part = entry.part;
    ret->count = entry.part_count;
    ret->bytes = entry.changes;
    return 0;
}
