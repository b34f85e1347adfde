/* SPDX-License-Identifier: Apache-2.0 */
/** Messages and entries of the cluster log, to bytes and back. docs/formats/cluster-log.md draws
 * them. Nothing here depends on the state. Thread: any. */
#ifndef GT_CLUSTER_ENTRY_H
#define GT_CLUSTER_ENTRY_H

#include "base/cursor.h"
#include "cluster/state.h"

enum gt_entry_type {
    GT_ENTRY_JOIN = 1,
    GT_ENTRY_RENEW,
    GT_ENTRY_LEAVE,
    GT_ENTRY_EXPIRE,
    GT_ENTRY_CONFIG,
    GT_ENTRY_DELETE,
    GT_ENTRY_RELEASE,
    GT_ENTRY_COMMIT,
    GT_ENTRY_STATUS,
    GT_ENTRY_RESET,
    GT_ENTRY_SNAPSHOT,
};

enum {
    GT_MEMBER_NAME_MAX = 255,
    GT_STATUS_MAX = 32,
    GT_REASON_MAX = 1000,
    GT_TASKS_MAX = 65536, /* of one connector */
    GT_VIRTUAL_NODES_MAX = 10000,
    GT_LEASE_MIN_MS = 100,
    GT_LEASE_MAX_MS = 3600000,
    GT_MESSAGE_HEADER_MAX = 4 + 1 + 16 + 10,
};

/** What a JOIN says. */
struct gt_entry_join {
    struct gantry_view name;
    int64_t lease_ms;
    enum gt_cluster_strategy strategy;
    uint32_t virtual_nodes;
    int64_t as_of; /* offset that the joiner had applied */
    struct gt_incarnation replaces;
};

/** One entry; the fields that its type has. Views point into the message. */
struct gt_entry {
    enum gt_entry_type type;
    struct gt_entry_join join;
    struct gt_incarnation target; /* EXPIRE */
    int64_t offset;               /* EXPIRE, SNAPSHOT */
    struct gantry_view connector; /* CONFIG, DELETE (empty: all), RELEASE, COMMIT, STATUS, RESET */
    uint32_t task;                /* RELEASE, COMMIT, STATUS */
    uint64_t epoch;
    uint64_t own;               /* COMMIT */
    struct gantry_view changes; /* COMMIT; SNAPSHOT: the part's bytes */
    struct gantry_view config;  /* CONFIG: all of its bytes behind the type */
    int64_t updated_ms;
    struct gantry_view props;
    uint32_t task_count;
    struct gantry_view tasks; /* CONFIG: task_count sized texts */
    struct gantry_view status, reason;
    uint32_t part, part_count; /* SNAPSHOT */
};

struct gt_message_header {
    struct gt_incarnation incarnation;
    uint64_t number;
};

bool gt_incarnation_equal(const struct gt_incarnation *a, const struct gt_incarnation *b);
bool gt_incarnation_is_zero(const struct gt_incarnation *incarnation);

/** Read the header and check the whole message; *ret_entries stands before the first entry, and
 * every gt_entry_read from there succeeds. 0, GANTRY_CORRUPT or GANTRY_VERSION. */
int gt_message_open(struct gantry_view bytes, struct gt_message_header *ret,
                    struct gt_cursor *ret_entries, struct gantry_err *err);
/** The next entry. False: malformed; *ret_problem says what. */
bool gt_entry_read(struct gt_cursor *cursor, struct gt_entry *ret, const char **ret_problem);
/** The bytes of a CONFIG behind its type (entry.config), as a snapshot keeps them. False:
 * malformed.
 */
bool gt_entry_read_config(struct gt_cursor *cursor, struct gt_entry *ret);

void gt_put_sized(struct gt_buf *buf, struct gantry_view view);
void gt_put_number(struct gt_buf *buf, uint64_t value);
struct gantry_view gt_cursor_sized(struct gt_cursor *cursor);

void gt_entry_add_join(struct gt_buf *buf, const struct gt_entry_join *join);
void gt_entry_add_plain(struct gt_buf *buf, enum gt_entry_type type); /* RENEW, LEAVE */
void gt_entry_add_expire(struct gt_buf *buf, const struct gt_incarnation *target, int64_t offset);
void gt_entry_add_release(struct gt_buf *buf, const char *connector, uint32_t task, uint64_t epoch);

#endif
