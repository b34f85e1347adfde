/* SPDX-License-Identifier: Apache-2.0 */
/* Columns as wide as their widest cell. */
#include "cli/text_table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

void gt_text_table_init(struct gt_text_table *table, struct gt_arena *arena,
                        const char *const *titles, size_t columns, unsigned right)
{
    *table = (struct gt_text_table){
        .arena = arena, .titles = titles, .columns = columns, .right = right};
}

const char **gt_text_table_row(struct gt_text_table *table)
{
    if (table->count == table->cap) {
        size_t cap = table->cap == 0 ? 16 : table->cap * 2;
        const char *(*rows)[GT_COLUMNS_MAX] = gt_arena_alloc(table->arena, cap * sizeof *rows);
        if (rows == NULL) {
            table->no_memory = true;
            return NULL;
        }
        if (table->count > 0)
            memcpy(rows, table->rows, table->count * sizeof *rows);
        table->rows = rows;
        table->cap = cap;
    }
    const char **row = table->rows[table->count++];
    for (size_t i = 0; i < table->columns; i++)
        row[i] = "";
    return row;
}

/* Characters, as far as UTF-8 tells. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const struct gt_text_table *table, const char *const *cells,
                      const int *widths, FILE *out)
{
    size_t used = table->columns; /* no blanks at a line's end */
    while (used > 1 && *cells[used - 1] == '\0')
        used--;
    for (size_t i = 0; i < used; i++) {
        int pad = widths[i] - width_of(cells[i]);
        bool right = (table->right >> i & 1) != 0, last = i + 1 == used;
        fprintf(out, "%*s%s%*s%s", right ? pad : 0, "", cells[i], right || last ? 0 : pad, "",
                last ? "\n" : "  ");
    }
}

void gt_text_table_print(const struct gt_text_table *table, FILE *out)
{
    int widths[GT_COLUMNS_MAX];
    for (size_t i = 0; i < table->columns; i++) {
        widths[i] = width_of(table->titles[i]);
        for (size_t k = 0; k < table->count; k++) {
            int width = width_of(table->rows[k][i]);
            if (width > widths[i])
                widths[i] = width;
        }
    }
    print_row(table, table->titles, widths, out);
    for (size_t k = 0; k < table->count; k++)
        print_row(table, (const char *const *)table->rows[k], widths, out);
}

const char *gt_text(struct gt_arena *arena, const char *format, ...)
{
    char *text = NULL;
    const char *copy = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) >= 0) {
        copy = gt_arena_strdup(arena, text);
        free(text);
    }
    va_end(args);
    return copy != NULL ? copy : "";
}

const char *gt_text_count(struct gt_arena *arena, int64_t number)
{
    char digits[24], out[40];
    int len = snprintf(digits, sizeof digits, "%" PRId64, number); /* fits: 20 characters */
    size_t to = 0;
    for (int i = 0; i < len; i++) {
        out[to++] = digits[i];
        if (digits[i] != '-' && i + 1 < len && (len - 1 - i) % 3 == 0)
            out[to++] = ',';
    }
    out[to] = '\0';
    return gt_text(arena, "%s", out);
}

const char *gt_text_bytes(struct gt_arena *arena, double bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    return unit == 0 ? gt_text(arena, "%.0f B", bytes)
                     : gt_text(arena, "%.1f %s", bytes, units[unit]);
}

const char *gt_text_time(struct gt_arena *arena, int64_t ms)
{
    char text[32];
    struct tm tm;
    time_t seconds = (time_t)(ms / 1000);
    if (ms <= 0 || gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return "-";
    return gt_text(arena, "%s.%03dZ", text, (int)(ms % 1000));
}
