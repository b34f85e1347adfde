/* SPDX-License-Identifier: Apache-2.0 */
/* Who is to run which task: three strategies. Each works on shared state alone, in the order of
 * members and tasks, so that every worker computes the same. */
#include "cluster/internal.h"

#include "base/java_order.h"
#include "base/json.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

int gt_cluster_strategy_find(const char *name)
{
    static const struct {
        const char *name;
        enum gt_cluster_strategy strategy;
    } names[] = {
        {"incremental", GT_STRATEGY_INCREMENTAL},
        {"average", GT_STRATEGY_AVERAGE},
        {"consistent-hash", GT_STRATEGY_HASH},
        {"DefaultAllocateConnAndTaskStrategy", GT_STRATEGY_AVERAGE},
        {"AllocateConnAndTaskStrategyByConsistentHash", GT_STRATEGY_HASH},
    };
    const char *dot = strrchr(name, '.');
    const char *last = dot != NULL ? dot + 1 : name;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(last, names[i].name) == 0)
            return (int)names[i].strategy;
    }
    return -1;
}

const struct gt_member *gt_cluster_first_member(const struct gt_cluster_state *state)
{
    const struct gt_member *first = NULL;
    for (size_t i = 0; i < state->member_count; i++) {
        if (first == NULL || state->members[i]->joined < first->joined)
            first = state->members[i];
    }
    return first;
}

/* --- Average, of 2019 --- */

/* Connectors and tasks are dealt out like cards: first all connectors, then all tasks. A connector
 * takes a turn, though here only its tasks have an owner. */
static void allocate_average(const struct gt_cluster_state *state, struct gt_allocation *tasks,
                             size_t count)
{
    size_t turn = 0;
    for (size_t i = 0; i < state->connector_count; i++)
        turn += state->connectors[i]->present ? 1 : 0;
    for (size_t i = 0; i < count; i++)
        tasks[i].wanted = state->members[turn++ % state->member_count];
}

/* --- Consistent hash, of 2019 --- */

/* The first four bytes of the MD5. */
static int md5_start(struct gantry_view text, uint32_t *ret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text.len > 0 ? text.data : "", text.len, digest, &len, EVP_md5(), NULL) != 1 ||
        len < 4)
        return GANTRY_UNSUPPORTED;
    *ret = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
    return 0;
}

/* ConnectKeyValue.toString: its map in Java's order. */
static int add_java_text(struct gt_buf *buf, const struct gt_props *props)
{
    const char **keys = calloc(props->count + 1, sizeof(*keys));
    size_t *order = calloc(props->count + 1, sizeof *order);
    int rc = GANTRY_NO_MEMORY;
    if (keys == NULL || order == NULL)
        goto out;
    for (size_t i = 0; i < props->count; i++)
        keys[i] = props->items[i].key;
    rc = gt_java_order(GT_JAVA_CONCURRENT_MAP, keys, props->count, order);
    if (rc != 0)
        goto out;
    gt_buf_add_str(buf, "ConnectKeyValue{properties={");
    for (size_t i = 0; i < props->count; i++) {
        const struct gt_prop *prop = &props->items[order[i]];
        gt_buf_add_str(buf, i > 0 ? ", " : "");
        gt_buf_add_str(buf, prop->key);
        gt_buf_add_char(buf, '=');
        gt_buf_add_str(buf, prop->value);
    }
    gt_buf_add_str(buf, "}}");
    rc = buf->error;
out:
    free(keys);
    free(order);
    return rc;
}

int gt_cluster_task_hash(struct gantry_view props, uint32_t *ret)
{
    struct gt_props parsed;
    struct gt_buf text;
    struct gantry_err err;

    gt_props_init(&parsed);
    gt_buf_init(&text, SIZE_MAX / 8);
    int rc = gt_json_parse_props(&parsed, props, &err);
    if (rc == 0) {
        rc = add_java_text(&text, &parsed);
        if (rc == 0)
            rc = md5_start(gt_buf_view(&text), ret);
    } else if (rc != GANTRY_NO_MEMORY) {
        rc = md5_start(props, ret); /* no configuration of 2019: any hash will do */
    }
    gt_buf_deinit(&text);
    gt_props_deinit(&parsed);
    return rc;
}

struct point {
    uint32_t hash;
    uint32_t put; /* in which order it was put */
    size_t member;
};

static int compare_points(const void *left, const void *right)
{
    const struct point *a = left;
    const struct point *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->put > b->put ? -1 : a->put < b->put; /* the last put first: it counts */
}

static size_t look_up(const struct point *ring, size_t count, uint32_t hash)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return ring[low < count ? low : 0].member;
}

static int fill_ring(const struct gt_cluster_state *state, struct point *ring, size_t nodes)
{
    size_t n = 0;
    for (size_t i = 0; i < state->member_count; i++) {
        for (size_t k = 0; k < nodes; k++) {
            char key[GT_MEMBER_NAME_MAX + 24];
            snprintf(key, sizeof key, "%s-%zu", state->members[i]->name, k);
            ring[n] = (struct point){.put = (uint32_t)n, .member = i};
            int rc = md5_start(gantry_view_of(key), &ring[n].hash);
            if (rc != 0)
                return rc;
            n++;
        }
    }
    qsort(ring, n, sizeof *ring, compare_points);
    return 0;
}

static int allocate_hash(const struct gt_cluster_state *state, struct gt_allocation *tasks,
                         size_t count, uint32_t virtual_nodes)
{
    size_t nodes = virtual_nodes > 0 ? virtual_nodes : state->member_count;
    size_t points = nodes * state->member_count;
    struct point *ring = calloc(points, sizeof *ring);
    if (ring == NULL)
        return GANTRY_NO_MEMORY;
    int rc = fill_ring(state, ring, nodes);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct gt_cluster_task *task = tasks[i].task;
        if (!task->hashed)
            rc = gt_cluster_task_hash(
                state->connectors[tasks[i].connector]->task_props[task->number], &task->hash);
        task->hashed = rc == 0;
        if (rc == 0)
            tasks[i].wanted = state->members[look_up(ring, points, task->hash)];
    }
    free(ring);
    return rc;
}

/* --- Incremental --- */

/* What a member has and may have. */
struct share {
    size_t member;
    size_t running; /* tasks that would have to be stopped to go elsewhere */
    size_t placed;  /* all that are or will be there */
    size_t target;
    size_t excess;       /* running tasks still to be taken away */
    size_t room;         /* tasks still to be given */
    size_t of_connector; /* tasks of the connector that is looked at */
};

struct plan {
    struct share *shares; /* by member */
    struct share **order; /* for the targets */
    size_t members;
    struct gt_allocation *tasks;
    size_t count;
};

static bool is_running(const struct gt_cluster_task *task)
{
    return task->owner != NULL && !task->moving;
}

static struct gt_member *place_of(const struct gt_cluster_task *task)
{
    return task->next != NULL ? task->next : task->owner;
}

static int compare_shares(const void *left, const void *right)
{
    const struct share *a = *(struct share *const *)left;
    const struct share *b = *(struct share *const *)right;
    if (a->running != b->running)
        return a->running > b->running ? -1 : 1;
    if (a->placed != b->placed)
        return a->placed > b->placed ? -1 : 1;
    return a->member < b->member ? -1 : a->member > b->member;
}

/* Everyone gets the same, and those that run the most already get the rest: so the fewest move. */
static void set_targets(struct plan *plan)
{
    size_t each = plan->count / plan->members, rest = plan->count % plan->members;
    for (size_t i = 0; i < plan->members; i++)
        plan->order[i] = &plan->shares[i];
    qsort(plan->order, plan->members, sizeof(*plan->order), compare_shares);
    for (size_t i = 0; i < plan->members; i++) {
        struct share *share = plan->order[i];
        share->target = each + (i < rest ? 1 : 0);
        share->excess = share->running > share->target ? share->running - share->target : 0;
        share->room = share->target - (share->running - share->excess);
    }
}

/* The end of the connector that begins at @p first. */
static size_t connector_end(const struct plan *plan, size_t first)
{
    size_t end = first;
    while (end < plan->count && plan->tasks[end].connector == plan->tasks[first].connector)
        end++;
    return end;
}

static void count_connector(struct plan *plan, size_t first, size_t end)
{
    for (size_t i = 0; i < plan->members; i++)
        plan->shares[i].of_connector = 0;
    for (size_t i = first; i < end; i++) {
        if (plan->tasks[i].wanted != NULL)
            plan->shares[plan->tasks[i].wanted->index].of_connector++;
    }
}

/* Take running tasks from those that have too many: first from connectors that have more there than
 * their even share, so that what has to move anyway spreads them. */
static void take_excess(struct plan *plan)
{
    for (size_t first = 0, end; first < plan->count; first = end) {
        end = connector_end(plan, first);
        count_connector(plan, first, end);
        size_t even = (end - first + plan->members - 1) / plan->members;
        for (size_t i = end; i-- > first;) {
            struct gt_allocation *at = &plan->tasks[i];
            if (at->wanted == NULL)
                continue;
            struct share *share = &plan->shares[at->wanted->index];
            if (share->excess == 0 || share->of_connector <= even)
                continue;
            share->excess--;
            share->of_connector--;
            at->wanted = NULL;
        }
    }
    for (size_t i = plan->count; i-- > 0;) {
        struct gt_allocation *at = &plan->tasks[i];
        if (at->wanted != NULL && plan->shares[at->wanted->index].excess > 0) {
            plan->shares[at->wanted->index].excess--;
            at->wanted = NULL;
        }
    }
}

/* What is stopping (owned) or waits (free) goes where it was to go, if there is room. */
static void keep_places(struct plan *plan, bool owned)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct gt_allocation *at = &plan->tasks[i];
        struct gt_member *place = place_of(at->task);
        if (is_running(at->task) || (at->task->owner != NULL) != owned || place == NULL ||
            plan->shares[place->index].room == 0)
            continue;
        plan->shares[place->index].room--;
        at->wanted = place;
    }
}

/* The rest, each to who has room, the fewest tasks of its connector, and the most room. */
static void give_rest(struct plan *plan, struct gt_member *const *members)
{
    for (size_t first = 0, end; first < plan->count; first = end) {
        end = connector_end(plan, first);
        count_connector(plan, first, end);
        for (size_t i = first; i < end; i++) {
            struct share *best = NULL;
            if (plan->tasks[i].wanted != NULL)
                continue;
            for (size_t k = 0; k < plan->members; k++) {
                struct share *share = &plan->shares[k];
                if (share->room > 0 &&
                    (best == NULL || share->of_connector < best->of_connector ||
                     (share->of_connector == best->of_connector && share->room > best->room)))
                    best = share;
            }
            if (best == NULL)
                return; /* cannot be: the targets add up to all tasks */
            best->room--;
            best->of_connector++;
            plan->tasks[i].wanted = members[best->member];
        }
    }
}

/* No two members differ by more than @p tolerance, and every task has its place. */
static bool is_even(const struct plan *plan, size_t placed, size_t tolerance)
{
    size_t least = SIZE_MAX, most = 0;
    for (size_t i = 0; i < plan->members; i++) {
        least = plan->shares[i].placed < least ? plan->shares[i].placed : least;
        most = plan->shares[i].placed > most ? plan->shares[i].placed : most;
    }
    return placed == plan->count && most - least <= tolerance;
}

static int allocate_incremental(const struct gt_cluster_state *state, struct gt_allocation *tasks,
                                size_t count, size_t tolerance)
{
    struct plan plan = {.members = state->member_count, .tasks = tasks, .count = count};
    size_t placed = 0;
    int rc = GANTRY_NO_MEMORY;

    plan.shares = calloc(plan.members, sizeof *plan.shares);
    plan.order = calloc(plan.members, sizeof(*plan.order));
    if (plan.shares == NULL || plan.order == NULL)
        goto out;
    rc = 0;
    for (size_t i = 0; i < plan.members; i++)
        plan.shares[i].member = i;
    for (size_t i = 0; i < count; i++) {
        const struct gt_member *place = place_of(tasks[i].task);
        if (place == NULL)
            continue;
        placed++;
        plan.shares[place->index].placed++;
        plan.shares[place->index].running += is_running(tasks[i].task) ? 1 : 0;
    }
    if (is_even(&plan, placed, tolerance)) {
        for (size_t i = 0; i < count; i++)
            tasks[i].wanted = place_of(tasks[i].task);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        tasks[i].wanted = is_running(tasks[i].task) ? tasks[i].task->owner : NULL;
    set_targets(&plan);
    take_excess(&plan);
    keep_places(&plan, true);
    keep_places(&plan, false);
    give_rest(&plan, state->members);
out:
    free(plan.shares);
    free(plan.order);
    return rc;
}

int gt_cluster_allocate(const struct gt_cluster_state *state, struct gt_allocation *tasks,
                        size_t count, size_t tolerance)
{
    const struct gt_member *first = gt_cluster_first_member(state);
    switch (first->strategy) {
    case GT_STRATEGY_AVERAGE:
        allocate_average(state, tasks, count);
        return 0;
    case GT_STRATEGY_HASH:
        return allocate_hash(state, tasks, count, first->virtual_nodes);
    case GT_STRATEGY_INCREMENTAL:
        break;
    }
    return allocate_incremental(state, tasks, count, tolerance);
}
