/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state to bytes and back; the digest is a hash of these bytes. What one wrote another
 * reads, and no input may crash it: every number is checked. docs/formats/cluster-log.md draws
 * them. */
#include "cluster/internal.h"

#include "base/java_order.h"

#include <stdlib.h>
#include <xxhash.h>

static const char magic[4] = {'G', 'T', 'C', 'S'};

enum {
    SNAPSHOT_MESSAGES = 10000,
    SNAPSHOT_MS = 3600000,
    /* How much longer each next member in order waits, in case those before it cannot. */
    NEXT_MESSAGES = 2500,
    NEXT_MS = 600000,
};

bool gt_cluster_snapshot_due(const struct gt_cluster_state *state, int64_t now_ms)
{
    if (state->self == NULL || state->leaving)
        return false;
    uint64_t rank = state->self->index;
    if (state->since_snapshot >= SNAPSHOT_MESSAGES + rank * NEXT_MESSAGES)
        return true;
    return state->changes > 0 &&
           now_ms - state->snapshot_ms >= SNAPSHOT_MS + (int64_t)rank * NEXT_MS;
}

/* --- Writing --- */

static void write_member(struct gt_buf *buf, const struct gt_member *member)
{
    gt_buf_add(buf, member->incarnation.bytes, sizeof member->incarnation.bytes);
    gt_put_sized(buf, gantry_view_of(member->name));
    gt_put_number(buf, (uint64_t)member->lease_ms);
    gt_put_number(buf, member->strategy);
    gt_put_number(buf, member->virtual_nodes);
    gt_put_number(buf, gt_zigzag(member->joined));
    gt_put_number(buf, member->number);
    gt_put_number(buf, gt_zigzag(member->last_offset));
}

static void write_task(struct gt_buf *buf, const struct gt_cluster_task *task)
{
    gt_put_number(buf, task->owner != NULL ? task->owner->index + 1 : 0);
    gt_put_number(buf, task->next != NULL ? task->next->index + 1 : 0);
    gt_put_number(buf, task->moving ? 1 : 0);
    gt_put_number(buf, task->epoch);
    struct gantry_view status = {task->status, 0};
    if (task->status != NULL) {
        status.len = strlen(task->status) + 1;
        status.len += strlen(task->status + status.len) + 1;
    }
    gt_put_sized(buf, status);
}

static void write_connector(struct gt_buf *buf, const struct gt_cluster_connector *connector)
{
    gt_put_number(buf, connector->present ? 1 : 0);
    if (connector->present)
        gt_buf_add(buf, connector->config, connector->config_len);
    else
        gt_put_sized(buf, gantry_view_of(connector->name));
    gt_put_number(buf, connector->old_count);
    for (size_t i = 0; i < connector->old_count; i++) {
        gt_put_number(buf, connector->old[i].number);
        write_task(buf, &connector->old[i]);
    }
    for (size_t i = 0; i < connector->task_count; i++)
        write_task(buf, &connector->tasks[i]);
}

int gt_cluster_state_write(const struct gt_cluster_state *state, struct gt_buf *buf)
{
    uint8_t commits[8];
    gt_buf_add(buf, magic, sizeof magic);
    gt_buf_add_char(buf, GT_CLUSTER_VERSION);
    gt_put_number(buf, gt_zigzag(state->offset));
    gt_put_number(buf, gt_zigzag(state->gone_offset));
    gt_put_number(buf, state->epoch);
    gt_store_le64(commits, state->commits);
    gt_buf_add(buf, commits, sizeof commits);
    gt_put_number(buf, state->since_snapshot);
    gt_put_number(buf, state->changes);
    gt_put_number(buf, state->member_count);
    for (size_t i = 0; i < state->member_count; i++)
        write_member(buf, state->members[i]);
    gt_put_number(buf, state->connector_count);
    for (size_t i = 0; i < state->connector_count && buf->error == 0; i++)
        write_connector(buf, state->connectors[i]);
    return buf->error;
}

uint64_t gt_cluster_digest(const struct gt_cluster_state *state)
{
    struct gt_buf buf;
    gt_buf_init(&buf, SIZE_MAX / 8);
    uint64_t digest = gt_cluster_state_write(state, &buf) == 0 ? XXH3_64bits(buf.data, buf.len) : 0;
    gt_buf_deinit(&buf);
    return digest;
}

/* --- Reading --- */

static struct gantry_view read_text(struct gt_cursor *cursor, size_t max)
{
    struct gantry_view view = gt_cursor_sized(cursor);
    if (view.len == 0 || view.len > max || memchr(view.data, '\0', view.len) != NULL)
        cursor->bad = true;
    return view;
}

static uint64_t read_number(struct gt_cursor *cursor, uint64_t max)
{
    uint64_t value = gt_cursor_varint(cursor);
    if (value > max)
        cursor->bad = true;
    return cursor->bad ? 0 : value;
}

static int read_member(struct gt_cluster_state *state, struct gt_cursor *cursor)
{
    struct gt_member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return GANTRY_NO_MEMORY;
    struct gantry_view bytes = gt_cursor_bytes(cursor, sizeof member->incarnation.bytes);
    if (bytes.len > 0)
        memcpy(member->incarnation.bytes, bytes.data, bytes.len);
    struct gantry_view name = read_text(cursor, GT_MEMBER_NAME_MAX);
    member->lease_ms = (int64_t)read_number(cursor, GT_LEASE_MAX_MS);
    member->strategy = (enum gt_cluster_strategy)read_number(cursor, GT_STRATEGY_HASH);
    member->virtual_nodes = (uint32_t)read_number(cursor, GT_VIRTUAL_NODES_MAX);
    member->joined = gt_unzigzag(gt_cursor_varint(cursor));
    member->number = gt_cursor_varint(cursor);
    member->last_offset = gt_unzigzag(gt_cursor_varint(cursor));
    member->seen = state->heard;
    int rc = cursor->bad || member->lease_ms < GT_LEASE_MIN_MS ||
                     gt_member_find(state, &member->incarnation) != NULL
                 ? GANTRY_CORRUPT
                 : 0;
    if (rc == 0) {
        member->name = strndup(name.data, name.len);
        rc = member->name == NULL ? GANTRY_NO_MEMORY : gt_member_insert(state, member);
    }
    if (rc != 0) {
        gt_member_free(member);
        return rc;
    }
    /* The numbers of owners count members as written: in order. */
    return member->index + 1 == state->member_count ? 0 : GANTRY_CORRUPT;
}

static struct gt_member *read_owner(const struct gt_cluster_state *state, struct gt_cursor *cursor)
{
    uint64_t number = read_number(cursor, state->member_count);
    return number > 0 ? state->members[number - 1] : NULL;
}

static int read_task(const struct gt_cluster_state *state, struct gt_cursor *cursor,
                     struct gt_cluster_task *task)
{
    task->owner = read_owner(state, cursor);
    task->next = read_owner(state, cursor);
    task->moving = read_number(cursor, 1) == 1;
    task->epoch = read_number(cursor, state->epoch);
    struct gantry_view status = gt_cursor_sized(cursor);
    if (cursor->bad || (task->moving && task->owner == NULL) ||
        status.len > GT_STATUS_MAX + GT_REASON_MAX + 2)
        return GANTRY_CORRUPT;
    if (status.len > 0) { /* two texts, each with its NUL */
        const char *end = memchr(status.data, '\0', status.len);
        size_t first = end != NULL ? (size_t)(end - status.data) + 1 : status.len;
        end = memchr(status.data + first, '\0', status.len - first);
        if (end == NULL || end + 1 != status.data + status.len)
            return GANTRY_CORRUPT;
        task->status = malloc(status.len);
        if (task->status == NULL)
            return GANTRY_NO_MEMORY;
        memcpy(task->status, status.data, status.len);
    }
    return 0;
}

static int read_tasks(const struct gt_cluster_state *state, struct gt_cursor *cursor,
                      struct gt_cluster_connector *connector)
{
    uint64_t old = read_number(cursor, gt_cursor_left(cursor)); /* each takes some bytes */
    if (cursor->bad || (old == 0 && !connector->present))
        return GANTRY_CORRUPT;
    connector->old = calloc(old + 1, sizeof *connector->old);
    if (connector->old == NULL)
        return GANTRY_NO_MEMORY;
    connector->old_count = (size_t)old;
    int rc = 0;
    for (size_t i = 0; i < connector->old_count && rc == 0; i++) {
        connector->old[i].number = (uint32_t)read_number(cursor, GT_TASKS_MAX - 1);
        rc = read_task(state, cursor, &connector->old[i]);
        if (rc == 0 && (connector->old[i].owner == NULL || !connector->old[i].moving))
            rc = GANTRY_CORRUPT;
    }
    for (size_t i = 0; i < connector->task_count && rc == 0; i++) {
        rc = read_task(state, cursor, &connector->tasks[i]);
        if (rc == 0 && old > 0 && connector->tasks[i].owner != NULL)
            rc = GANTRY_CORRUPT;
    }
    return rc;
}

static int read_connector(struct gt_cluster_state *state, struct gt_cursor *cursor)
{
    struct gt_entry entry = {.type = GT_ENTRY_CONFIG};
    bool present = read_number(cursor, 1) == 1;
    if (present)
        (void)gt_entry_read_config(cursor, &entry);
    else
        entry.connector = read_text(cursor, GT_CLUSTER_NAME_MAX);
    if (cursor->bad || gt_connector_find(state, entry.connector) != NULL)
        return GANTRY_CORRUPT;
    struct gt_cluster_connector *connector = gt_connector_need(state, entry.connector);
    if (connector == NULL || (present && gt_connector_configure(connector, &entry) != 0))
        return GANTRY_NO_MEMORY;
    int rc = read_tasks(state, cursor, connector);
    if (rc == 0 && present)
        gt_connector_tell(state, connector);
    return rc;
}

static int read_all(struct gt_cluster_state *state, struct gt_cursor *cursor)
{
    state->offset = gt_unzigzag(gt_cursor_varint(cursor));
    state->gone_offset = gt_unzigzag(gt_cursor_varint(cursor));
    state->epoch = gt_cursor_varint(cursor);
    state->commits = gt_cursor_le64(cursor);
    state->since_snapshot = gt_cursor_varint(cursor);
    state->changes = gt_cursor_varint(cursor);
    int rc = 0;
    uint64_t members = read_number(cursor, gt_cursor_left(cursor));
    for (uint64_t i = 0; i < members && rc == 0; i++)
        rc = read_member(state, cursor);
    uint64_t connectors = read_number(cursor, gt_cursor_left(cursor));
    for (uint64_t i = 0; i < connectors && rc == 0; i++)
        rc = read_connector(state, cursor);
    if (rc == 0 && (cursor->bad || gt_cursor_left(cursor) > 0 || state->offset < -1 ||
                    state->offset == INT64_MAX))
        rc = GANTRY_CORRUPT;
    return rc;
}

int gt_cluster_state_read(struct gt_cluster_state *state, struct gantry_view bytes, int64_t now_ms,
                          int64_t *ret_next, struct gantry_err *err)
{
    struct gt_cursor cursor = gt_cursor_of(bytes.data, bytes.len);
    struct gantry_view start = gt_cursor_bytes(&cursor, sizeof magic);
    uint8_t version = gt_cursor_u8(&cursor);

    gt_cluster_advance(state, now_ms);
    if (start.len != sizeof magic || memcmp(start.data, magic, sizeof magic) != 0 || version == 0)
        return gantry_err_set(err, GANTRY_CORRUPT, "cluster snapshot: does not begin with GTCS");
    if (version > GT_CLUSTER_VERSION)
        return gantry_err_set(err, GANTRY_VERSION,
                              "cluster snapshot: of version %u, this worker knows %d; update this "
                              "worker",
                              version, GT_CLUSTER_VERSION);
    if (state->offset >= 0 || state->member_count > 0 || state->connector_count > 0)
        return gantry_err_set(err, GANTRY_INVALID, "cluster snapshot: the state is not a new one");
    int rc = read_all(state, &cursor);
    if (rc != 0) {
        state->broken = true;
        return gantry_err_set(err, rc, "cluster snapshot: %s at byte %zu of %zu",
                              gantry_error_text(rc), bytes.len - gt_cursor_left(&cursor),
                              bytes.len);
    }
    *ret_next = state->offset + 1;
    state->dirty = false;
    state->io.changed(state->io.arg);
    return 0;
}
