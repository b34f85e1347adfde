/* SPDX-License-Identifier: Apache-2.0 */
/* The state from birth to end, and what each message does to it. A message is checked whole before
 * any of it is applied (entry.c); applying can fail only for want of memory, and then this worker
 * is out, for its state is no longer that of the others. */
#include "cluster/internal.h"

#include "base/java_order.h"

#include <stdlib.h>
#include <xxhash.h>

enum { SCRATCH_SIZE = 1024 }; /* more than the largest entry that the machine itself asks for */

/* --- Members --- */

void gt_member_free(struct gt_member *member)
{
    if (member == NULL)
        return;
    free(member->name);
    free(member);
}

struct gt_member *gt_member_find(const struct gt_cluster_state *state,
                                 const struct gt_incarnation *incarnation)
{
    for (size_t i = 0; i < state->member_count; i++) {
        if (gt_incarnation_equal(&state->members[i]->incarnation, incarnation))
            return state->members[i];
    }
    return NULL;
}

static int compare_members(const struct gt_member *a, const struct gt_member *b)
{
    int order = gt_java_compare(a->name, b->name);
    return order != 0
               ? order
               : memcmp(a->incarnation.bytes, b->incarnation.bytes, sizeof a->incarnation.bytes);
}

int gt_member_insert(struct gt_cluster_state *state, struct gt_member *member)
{
    struct gt_member **members =
        realloc(state->members, (state->member_count + 1) * sizeof(*members));
    if (members == NULL)
        return GANTRY_NO_MEMORY;
    state->members = members;
    size_t i = state->member_count++;
    for (; i > 0 && compare_members(members[i - 1], member) > 0; i--) {
        members[i] = members[i - 1];
        members[i]->index = i;
    }
    members[i] = member;
    member->index = i;
    return 0;
}

static struct gt_member *member_new(const struct gt_incarnation *incarnation,
                                    const struct gt_entry_join *join)
{
    struct gt_member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return NULL;
    member->incarnation = *incarnation;
    member->lease_ms = join->lease_ms;
    member->strategy = join->strategy;
    member->virtual_nodes = join->virtual_nodes;
    member->name = strndup(join->name.data, join->name.len);
    if (member->name == NULL) {
        free(member);
        return NULL;
    }
    return member;
}

/* --- Birth and end --- */

static int64_t into_range(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

int gt_cluster_state_new(const struct gt_cluster_settings *settings, const struct gt_cluster_io *io,
                         struct gt_cluster_state **ret)
{
    if (gt_incarnation_is_zero(&settings->incarnation) || settings->name == NULL ||
        settings->name[0] == '\0')
        return GANTRY_INVALID;
    struct gt_cluster_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return GANTRY_NO_MEMORY;
    state->io = *io;
    state->settings = *settings;
    state->settings.lease_ms = into_range(settings->lease_ms, GT_LEASE_MIN_MS, GT_LEASE_MAX_MS);
    state->settings.virtual_nodes =
        (uint32_t)into_range(settings->virtual_nodes, 0, GT_VIRTUAL_NODES_MAX);
    state->name = strndup(settings->name, GT_MEMBER_NAME_MAX);
    state->settings.name = state->name;
    state->offset = state->gone_offset = -1;
    state->lease_until = INT64_MIN;
    gt_buf_init(&state->scratch, SCRATCH_SIZE);
    if (state->name == NULL || gt_buf_reserve(&state->scratch, SCRATCH_SIZE) == NULL) {
        gt_cluster_state_free(state);
        return GANTRY_NO_MEMORY;
    }
    *ret = state;
    return 0;
}

void gt_cluster_state_free(struct gt_cluster_state *state)
{
    if (state == NULL)
        return;
    for (size_t i = 0; i < state->connector_count; i++)
        gt_connector_free(state->connectors[i]);
    for (size_t i = 0; i < state->member_count; i++)
        gt_member_free(state->members[i]);
    free(state->connectors);
    free(state->members);
    free(state->name);
    gt_buf_deinit(&state->scratch);
    free(state);
}

/* --- Messages --- */

/* What was read, and whose it is. */
struct message {
    int64_t offset;
    struct gt_message_header header;
    bool own;
    struct gt_member *sender; /* NULL: not a member, or no longer */
};

static int apply_join(struct gt_cluster_state *state, struct message *message,
                      const struct gt_entry_join *join)
{
    if (message->own)
        state->join_waiting = false;
    /* A copy of a JOIN may come long after its member has gone. It was sent before the member was
     * removed, so it had not seen that. One that a removal has overtaken is asked for again. */
    if (join->as_of < state->gone_offset) {
        if (message->own && state->leaving)
            state->left = true;
        if (message->own)
            gt_cluster_want_join(state);
        return 0;
    }
    struct gt_member *member = member_new(&message->header.incarnation, join);
    if (member == NULL)
        return GANTRY_NO_MEMORY;
    member->joined = member->last_offset = message->offset;
    member->number = message->header.number;
    member->seen = state->heard;
    struct gt_member *replaced = gt_member_find(state, &join->replaces);
    if (gt_member_insert(state, member) != 0) {
        gt_member_free(member);
        return GANTRY_NO_MEMORY;
    }
    message->sender = member;
    if (message->own && !state->fenced && !state->broken) {
        state->self = member;
        gt_cluster_own_came_back(state, message->header.number);
        if (state->now >= state->lease_until)
            gt_cluster_lose(state, "the lease had run out before the worker had joined");
    }
    if (replaced != NULL)
        gt_member_remove(state, replaced, member);
    state->changes++;
    int rc = gt_cluster_rebalance(state, 1);
    gt_cluster_leave_when_stopped(state);
    return rc;
}

static int apply_leave(struct gt_cluster_state *state, struct message *message)
{
    struct gt_member *member = message->sender;
    if (member == state->self) {
        state->self = NULL;
        state->lease_until = INT64_MIN;
        state->left = true;
    }
    message->sender = NULL;
    gt_member_remove(state, member, NULL);
    return gt_cluster_rebalance(state, 1);
}

static int apply_expire(struct gt_cluster_state *state, struct message *message,
                        const struct gt_entry *entry)
{
    struct gt_member *target = gt_member_find(state, &entry->target);
    if (target == NULL || target->last_offset > entry->offset)
        return 0;
    if (target == message->sender)
        message->sender = NULL;
    gt_member_remove(state, target, NULL);
    return gt_cluster_rebalance(state, 1);
}

/* The task, if @p sender owns it in that epoch. */
static struct gt_cluster_task *owned_task(const struct gt_cluster_state *state,
                                          const struct gt_member *sender,
                                          const struct gt_entry *entry)
{
    struct gt_cluster_connector *connector = gt_connector_find(state, entry->connector);
    struct gt_cluster_task *task =
        connector != NULL ? gt_task_find(connector, entry->task, entry->epoch) : NULL;
    return task != NULL && task->owner == sender ? task : NULL;
}

static void apply_commit(struct gt_cluster_state *state, const struct message *message,
                         const struct gt_entry *entry)
{
    if (message->sender == NULL || owned_task(state, message->sender, entry) == NULL) {
        if (message->own)
            state->io.refused(state->io.arg, entry->own);
        return;
    }
    uint8_t link[24];
    gt_store_le64(link, state->commits);
    gt_store_le64(link + 8, (uint64_t)message->offset);
    gt_store_le64(link + 16, entry->epoch);
    state->commits = XXH3_64bits(link, sizeof link);
    state->changes++;
    state->io.commit(state->io.arg, message->own ? entry->own : 0, entry->changes);
}

static int apply_status(struct gt_cluster_state *state, const struct message *message,
                        const struct gt_entry *entry)
{
    struct gt_cluster_task *task = owned_task(state, message->sender, entry);
    if (task == NULL)
        return 0;
    size_t len = entry->status.len + 1 + entry->reason.len + 1;
    char *status = malloc(len);
    if (status == NULL)
        return GANTRY_NO_MEMORY;
    memset(status, 0, len);
    if (entry->status.len > 0)
        memcpy(status, entry->status.data, entry->status.len);
    if (entry->reason.len > 0)
        memcpy(status + entry->status.len + 1, entry->reason.data, entry->reason.len);
    free(task->status);
    task->status = status;
    state->changes++;
    state->dirty = true;
    return 0;
}

/* Only when no task of it is owned: whoever owns one would go on from what it holds in memory. */
static void apply_reset(struct gt_cluster_state *state, const struct gt_entry *entry)
{
    const struct gt_cluster_connector *connector = gt_connector_find(state, entry->connector);
    char name[GT_CLUSTER_NAME_MAX + 1] = "";
    if (connector != NULL) {
        if (connector->old_count > 0)
            return;
        for (size_t i = 0; i < connector->task_count; i++) {
            if (connector->tasks[i].owner != NULL)
                return;
        }
    }
    memcpy(name, entry->connector.data, entry->connector.len);
    state->changes++;
    state->io.reset(state->io.arg, name);
}

static int apply(struct gt_cluster_state *state, struct message *message,
                 const struct gt_entry *entry)
{
    if (message->sender == NULL) { /* the fence */
        if (entry->type == GT_ENTRY_JOIN)
            return apply_join(state, message, &entry->join);
        if (entry->type == GT_ENTRY_COMMIT)
            apply_commit(state, message, entry); /* refuses */
        /* What nobody runs, an operator may reset from outside: `gantry connector reset`. */
        if (entry->type == GT_ENTRY_RESET)
            apply_reset(state, entry);
        return 0;
    }
    switch (entry->type) {
    case GT_ENTRY_JOIN:
    case GT_ENTRY_RENEW:
        break; /* that it came is all: see gt_cluster_message */
    case GT_ENTRY_LEAVE:
        return apply_leave(state, message);
    case GT_ENTRY_EXPIRE:
        return apply_expire(state, message, entry);
    case GT_ENTRY_CONFIG:
        return gt_cluster_apply_config(state, entry);
    case GT_ENTRY_DELETE:
        return gt_cluster_apply_delete(state, entry->connector);
    case GT_ENTRY_RELEASE:
        return gt_cluster_apply_release(state, message->sender, entry);
    case GT_ENTRY_COMMIT:
        apply_commit(state, message, entry);
        break;
    case GT_ENTRY_STATUS:
        return apply_status(state, message, entry);
    case GT_ENTRY_RESET:
        apply_reset(state, entry);
        break;
    case GT_ENTRY_SNAPSHOT:
        state->since_snapshot = state->changes = 0;
        state->snapshot_ms = state->now;
        break;
    }
    return 0;
}

/* The state has missed something and is not that of the others any more. */
static int give_up(struct gt_cluster_state *state, int code, struct gantry_err *err)
{
    const char *reason = code == GANTRY_UNSUPPORTED
                             ? "this OpenSSL offers no MD5, which the consistent hash needs"
                             : "out of memory while reading the cluster log";
    if (!state->broken) {
        state->broken = true;
        if (state->self != NULL)
            gt_cluster_lose(state, reason);
    }
    return gantry_err_set(err, code, "cluster: %s", reason);
}

int gt_cluster_message(struct gt_cluster_state *state, int64_t offset, struct gantry_view bytes,
                       int64_t now_ms, struct gantry_err *err)
{
    struct message message = {.offset = offset};
    struct gt_cursor entries = gt_cursor_of(NULL, 0);

    if (state->broken)
        return give_up(state, GANTRY_NO_MEMORY, err);
    gt_cluster_advance(state, now_ms);
    if (offset <= state->offset)
        return 0;
    int rc = gt_message_open(bytes, &message.header, &entries, err);
    if (rc != 0)
        return rc;
    state->offset = offset;
    state->since_snapshot++;
    message.own = gt_incarnation_equal(&message.header.incarnation, &state->settings.incarnation);
    struct gt_member *sender = gt_member_find(state, &message.header.incarnation);
    if (sender != NULL) {
        if (message.header.number <= sender->number)
            return 0; /* a send that was repeated */
        sender->number = message.header.number;
        sender->last_offset = offset;
        sender->seen = state->heard;
        sender->expiring = false;
        if (message.own && state->self != NULL)
            gt_cluster_own_came_back(state, message.header.number);
    }
    message.sender = sender;
    while (rc == 0 && gt_cursor_left(&entries) > 0) {
        struct gt_entry entry;
        const char *problem;
        if (!gt_entry_read(&entries, &entry, &problem))
            break; /* cannot be: gt_message_open has read them all */
        rc = apply(state, &message, &entry);
    }
    if (rc != 0)
        return give_up(state, rc, err);
    if (message.own)
        gt_cluster_watch(state, NULL);
    if (state->dirty) {
        state->dirty = false;
        state->io.changed(state->io.arg);
    }
    return 0;
}
