/* SPDX-License-Identifier: Apache-2.0 */
/** Text in columns, and numbers as people read them. Thread: main. */
#ifndef GT_CLI_TEXT_TABLE_H
#define GT_CLI_TEXT_TABLE_H

#include "base/arena.h"
#include <stdio.h>

enum { GT_COLUMNS_MAX = 8 };

/** Cells are borrowed until print; they belong into the arena that the table was given. */
struct gt_text_table {
    struct gt_arena *arena;
    const char *const *titles; /* count of them */
    size_t columns;
    unsigned right; /* bit i: column i stands to the right */
    const char *(*rows)[GT_COLUMNS_MAX];
    size_t count, cap;
    bool no_memory;
};

void gt_text_table_init(struct gt_text_table *table, struct gt_arena *arena,
                        const char *const *titles, size_t columns, unsigned right);
/** Add a row of empty cells; NULL without memory (shows in no_memory). */
const char **gt_text_table_row(struct gt_text_table *table);
void gt_text_table_print(const struct gt_text_table *table, FILE *out);

/** printf into the arena; "" without memory. */
const char *gt_text(struct gt_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** 1234567 as "1,234,567". */
const char *gt_text_count(struct gt_arena *arena, int64_t number);
/** Bytes as "123 B", "1.2 KB", "34.5 MB" (1000-based). */
const char *gt_text_bytes(struct gt_arena *arena, double bytes);
/** Milliseconds since 1970 as "2026-01-31T12:00:00.123Z"; "-" for 0. */
const char *gt_text_time(struct gt_arena *arena, int64_t ms);

#endif
