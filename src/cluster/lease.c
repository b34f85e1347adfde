/* SPDX-License-Identifier: Apache-2.0 */
/* Time: the own lease, the silence of others, joining and leaving. Nothing here changes what is
 * shared; it only asks for entries. Why no task runs twice:
 *
 *  - A holder stops at latest one lease after it *sent* the last message of it that it has seen
 * come back. Each one that came back was seen by the others, if at all, later than it was sent.
 *  - Another one asks for EXPIRE only when a message of its own has come back that it sent a lease
 *    and a quarter after it saw the last one of the target, with the log readable all the time in
 *    between. So at the time of that sending the holder had stopped (clocks may differ by a tenth),
 *    and however late the EXPIRE itself is stored, it does no harm: it counts only if the target
 *    has sent nothing since.
 *  - A refusal is as good as a renewal (lease.unreachable = continue): at that moment nobody could
 *    append, and all who count begin anew when their connections come back. */
#include "cluster/internal.h"

static int64_t renew_every(const struct gt_cluster_state *state)
{
    return state->settings.lease_ms / 3;
}

static int64_t longest_gap(const struct gt_cluster_state *state)
{
    return state->settings.lease_ms / 8;
}

void gt_cluster_append_scratch(struct gt_cluster_state *state)
{
    if (state->scratch.error == 0)
        state->io.append(state->io.arg, gt_buf_view(&state->scratch));
    gt_buf_clear(&state->scratch);
}

/* All own tasks stop at once; the incarnation is of no use any more. */
void gt_cluster_lose(struct gt_cluster_state *state, const char *reason)
{
    state->self = NULL;
    state->lease_until = INT64_MIN;
    state->fenced = true;
    state->joining = false;
    if (state->leaving)
        state->left = true;
    for (size_t i = 0; i < state->connector_count; i++) {
        struct gt_cluster_connector *connector = state->connectors[i];
        for (size_t k = 0; k < connector->old_count + connector->task_count; k++) {
            struct gt_cluster_task *task = k < connector->old_count
                                               ? &connector->old[k]
                                               : &connector->tasks[k - connector->old_count];
            if (task->run == GT_RUN_RUNNING || task->run == GT_RUN_STOPPING)
                state->io.task_stop(state->io.arg, connector->name, task->number, task->epoch,
                                    true);
            task->run = GT_RUN_NOT;
        }
    }
    state->io.fenced(state->io.arg, reason);
    state->dirty = true;
}

void gt_cluster_advance(struct gt_cluster_state *state, int64_t now_ms)
{
    if (!state->has_time) {
        state->has_time = true;
        state->now = state->last_sent_ms = state->snapshot_ms = now_ms;
    }
    if (now_ms > state->now) {
        /* Whoever slept has heard nothing meanwhile, and a clock that jumps proves nothing: of a
         * longer gap between two calls only this much counts as silence of the others. It is less
         * than the margin of their leases. */
        int64_t elapsed = now_ms - state->now;
        int64_t most = longest_gap(state);
        if (state->reach == GT_REACH_OK)
            state->heard += elapsed < most ? elapsed : most;
        state->now = now_ms;
    }
    if (state->self != NULL && state->now >= state->lease_until)
        gt_cluster_lose(state, "the lease ran out: no renewal has come back in time");
}

static void tell_changes(struct gt_cluster_state *state)
{
    if (state->dirty) {
        state->dirty = false;
        state->io.changed(state->io.arg);
    }
}

/* --- Sending and its return --- */

void gt_cluster_sent(struct gt_cluster_state *state, uint64_t number, int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    if (number > state->last_sent && !state->fenced) {
        state->last_sent = number;
        state->last_sent_ms = state->now;
        state->last_sent_heard = state->heard;
        state->renew_waiting = false;
        /* When there is no room, the return of this one counts as that of an earlier one. */
        if (state->sent_count < GT_SENT_MAX)
            state->sent[state->sent_count++] = (struct gt_sent){number, state->now, state->heard};
    }
    tell_changes(state);
}

void gt_cluster_own_came_back(struct gt_cluster_state *state, uint64_t number)
{
    size_t count = 0;
    while (count < state->sent_count && state->sent[count].number <= number)
        count++;
    if (count == 0)
        return;
    struct gt_sent sent = state->sent[count - 1];
    state->sent_count -= count;
    memmove(state->sent, state->sent + count, state->sent_count * sizeof *state->sent);
    if (sent.ms + state->settings.lease_ms > state->lease_until)
        state->lease_until = sent.ms + state->settings.lease_ms;
    if (sent.heard > state->proven)
        state->proven = sent.heard;
}

static void renew(struct gt_cluster_state *state)
{
    if (state->self == NULL || state->renew_waiting || state->leave_asked)
        return;
    gt_entry_add_plain(&state->scratch, GT_ENTRY_RENEW);
    gt_cluster_append_scratch(state);
    state->renew_waiting = true;
}

/* --- Others --- */

static void earlier(int64_t *next, int64_t when)
{
    if (next != NULL && when < *next)
        *next = when;
}

/* Ask for the EXPIRE of those that have been silent for too long; *next (may be NULL) becomes the
 * time at which one will have been, if that is earlier. */
void gt_cluster_watch(struct gt_cluster_state *state, int64_t *next)
{
    const struct gt_member *self = state->self;
    if (self == NULL || state->reach != GT_REACH_OK)
        return;
    for (size_t i = 0; i < state->member_count; i++) {
        struct gt_member *member = state->members[i];
        if (member == self || member->expiring)
            continue;
        int64_t rank = (int64_t)self->index - (member->index < self->index ? 1 : 0);
        int64_t limit = member->seen + member->lease_ms + member->lease_ms / 4 + rank * 200;
        if (state->heard < limit) {
            earlier(next, state->now + (limit - state->heard));
        } else if (state->proven < limit) {
            if (state->last_sent_heard < limit)
                renew(state); /* its return will be the proof */
        } else {
            gt_entry_add_expire(&state->scratch, &member->incarnation, state->offset);
            gt_cluster_append_scratch(state);
            member->expiring = true;
        }
    }
}

void gt_cluster_reach(struct gt_cluster_state *state, enum gt_cluster_reach reach, int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    if (reach == GT_REACH_OK && state->reach != GT_REACH_OK) {
        for (size_t i = 0; i < state->member_count; i++) {
            state->members[i]->seen = state->heard;
            state->members[i]->expiring = false;
        }
    }
    state->reach = reach;
    if (reach == GT_REACH_REFUSED && !state->settings.stop_when_unreachable &&
        state->self != NULL && now_ms + state->settings.lease_ms > state->lease_until)
        state->lease_until = now_ms + state->settings.lease_ms;
    gt_cluster_want_join(state);
    tell_changes(state);
}

int64_t gt_cluster_tick(struct gt_cluster_state *state, int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    int64_t next = state->now + renew_every(state);
    if (state->self != NULL) {
        if (state->now >= state->last_sent_ms + renew_every(state))
            renew(state);
        else
            earlier(&next, state->last_sent_ms + renew_every(state));
        earlier(&next, state->lease_until);
        if (state->member_count > 1)
            earlier(&next, state->now + longest_gap(state));
        gt_cluster_watch(state, &next);
    }
    gt_cluster_want_join(state);
    tell_changes(state);
    return next > state->now ? next : state->now + 1;
}

int64_t gt_cluster_lease_until(const struct gt_cluster_state *state)
{
    return state->self != NULL ? state->lease_until : INT64_MIN;
}

/* --- Joining and leaving --- */

void gt_cluster_want_join(struct gt_cluster_state *state)
{
    if (!state->joining || state->join_waiting || state->self != NULL || state->fenced ||
        state->broken || state->leaving || state->reach != GT_REACH_OK)
        return;
    struct gt_entry_join join = {
        .name = gantry_view_of(state->name),
        .lease_ms = state->settings.lease_ms,
        .strategy = state->settings.strategy,
        .virtual_nodes = state->settings.virtual_nodes,
        .as_of = state->offset,
        .replaces = state->settings.replaces,
    };
    gt_entry_add_join(&state->scratch, &join);
    gt_cluster_append_scratch(state);
    state->join_waiting = true;
}

void gt_cluster_join(struct gt_cluster_state *state, int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    state->joining = true;
    gt_cluster_want_join(state);
}

void gt_cluster_state_rejoin(struct gt_cluster_state *state, struct gt_incarnation incarnation,
                             int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    if (!state->fenced || state->broken || state->leaving)
        return;
    state->settings.replaces = state->settings.incarnation;
    state->settings.incarnation = incarnation;
    state->fenced = state->join_waiting = state->renew_waiting = false;
    state->sent_count = 0;
    state->last_sent = 0;
    for (size_t i = 0; i < state->member_count; i++)
        state->members[i]->expiring =
            false; /* what the old one asked for does not count any more */
    state->joining = true;
    gt_cluster_want_join(state);
}

void gt_cluster_leave(struct gt_cluster_state *state, int64_t now_ms)
{
    gt_cluster_advance(state, now_ms);
    state->leaving = true;
    if (state->self == NULL) {
        if (!state->join_waiting || state->fenced)
            state->left = true;
        return; /* a JOIN that is under way is answered with LEAVE when it has come back */
    }
    for (size_t i = 0; i < state->connector_count; i++) {
        struct gt_cluster_connector *connector = state->connectors[i];
        for (size_t k = 0; k < connector->task_count; k++) {
            struct gt_cluster_task *task = &connector->tasks[k];
            if (task->run != GT_RUN_RUNNING)
                continue;
            task->run = GT_RUN_STOPPING;
            state->io.task_stop(state->io.arg, connector->name, task->number, task->epoch, false);
        }
    }
    gt_cluster_leave_when_stopped(state);
    tell_changes(state);
}

void gt_cluster_leave_when_stopped(struct gt_cluster_state *state)
{
    if (!state->leaving || state->self == NULL || state->leave_asked)
        return;
    for (size_t i = 0; i < state->connector_count; i++) {
        const struct gt_cluster_connector *connector = state->connectors[i];
        for (size_t k = 0; k < connector->old_count; k++) {
            if (connector->old[k].run == GT_RUN_STOPPING)
                return;
        }
        for (size_t k = 0; k < connector->task_count; k++) {
            if (connector->tasks[k].run == GT_RUN_RUNNING ||
                connector->tasks[k].run == GT_RUN_STOPPING)
                return;
        }
    }
    gt_entry_add_plain(&state->scratch, GT_ENTRY_LEAVE);
    gt_cluster_append_scratch(state);
    state->leave_asked = true;
}

bool gt_cluster_left(const struct gt_cluster_state *state)
{
    return state->left;
}

void gt_cluster_task_stopped(struct gt_cluster_state *state, const char *connector, uint32_t task,
                             uint64_t epoch)
{
    struct gt_cluster_connector *found = gt_connector_find(state, gantry_view_of(connector));
    struct gt_cluster_task *own = found != NULL ? gt_task_find(found, task, epoch) : NULL;
    if (own == NULL || own->run != GT_RUN_STOPPING)
        return;
    own->run = GT_RUN_STOPPED;
    /* One that only stops because the worker leaves is freed by LEAVE. */
    if (own->moving) {
        gt_entry_add_release(&state->scratch, found->name, task, epoch);
        gt_cluster_append_scratch(state);
    }
    gt_cluster_leave_when_stopped(state);
}
