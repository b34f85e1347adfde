/* SPDX-License-Identifier: Apache-2.0 */
#include "division.h"

#include "generations.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "*?["

bool file_name_is_pattern(const char *name)
{
    return strpbrk(name, MAGIC) != NULL;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int by_text(const void *a, const void *b)
{
    const struct file_name *const *x = a, *const *y = b;
    return strcmp((*x)->text, (*y)->text);
}

static struct file_name *find(struct file_name *const *sorted, size_t count, const char *text)
{
    struct file_name key = {.text = text}, *at = &key;
    struct file_name *const *found = bsearch(&at, sorted, count, sizeof at, by_text);
    return found != NULL ? *found : NULL;
}

/* The longest name of the list that this one is a generation of, or NULL. What remains of a name
 * without its generation part is its beginning, with or without its extension. */
static struct file_name *find_base(struct file_name *const *sorted, size_t count, const char *name,
                                   char *room)
{
    size_t folder = (size_t)(last_part(name) - name);
    const char *dot = strrchr(name + folder, '.');
    struct file_name *base = NULL;
    /* No file has such a name, and each of its beginnings would be looked at. */
    if (folder >= PATH_MAX || strlen(name + folder) > NAME_MAX)
        return NULL;
    for (size_t n = strlen(name) - 1; n > folder && base == NULL; n--) {
        memcpy(room, name, n);
        room[n] = '\0';
        if (file_generation_of(name + folder, room + folder))
            base = find(sorted, count, room);
        if (base != NULL || dot == NULL || n >= (size_t)(dot - name))
            continue;
        strcpy(room + n, dot);
        if (file_generation_of(name + folder, room + folder))
            base = find(sorted, count, room);
    }
    return base;
}

static int take_turns(struct file_division *division, size_t longest)
{
    size_t count = division->count;
    struct file_name **sorted = calloc(count + 1, sizeof(struct file_name *));
    struct file_name **bases = calloc(count + 1, sizeof(struct file_name *));
    char *room = malloc(longest + 1);
    int rc = sorted != NULL && bases != NULL && room != NULL ? 0 : GANTRY_NO_MEMORY;
    for (size_t i = 0; i < count && rc == 0; i++)
        sorted[i] = &division->names[i];
    if (rc == 0)
        qsort(sorted, count, sizeof(struct file_name *), by_text);
    for (size_t i = 0; i < count && rc == 0; i++) {
        bases[i] = find_base(sorted, count, division->names[i].text, room);
        if (bases[i] == NULL)
            division->names[i].turn = division->turns++;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t root = i; /* a base is shorter than its generation: there is an end */
        while (bases[root] != NULL)
            root = (size_t)(bases[root] - division->names);
        division->names[i].turn = division->names[root].turn;
    }
    free(sorted);
    free(bases);
    free(room);
    return rc;
}

int file_division_read(struct file_division *division, const struct gantry_config *config,
                       struct gantry_err *err)
{
    const char *text = gantry_config_get(config, "filename");
    size_t most = 1, longest = 0;
    for (const char *p = text != NULL ? text : ""; *p != '\0'; p++)
        most += *p == ',';
    *division = (struct file_division){.copy = strdup(text != NULL ? text : ""),
                                       .names = calloc(most, sizeof(struct file_name))};
    int rc = division->copy != NULL && division->names != NULL ? 0 : GANTRY_NO_MEMORY;
    char *rest = division->copy, *item;
    while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
        item += strspn(item, " \t");
        size_t n = strlen(item);
        while (n > 0 && (item[n - 1] == ' ' || item[n - 1] == '\t'))
            item[--n] = '\0';
        if (n == 0)
            continue;
        longest = n > longest ? n : longest;
        division->names[division->count++] =
            (struct file_name){.text = item, .pattern = file_name_is_pattern(item)};
        division->patterns = division->patterns || file_name_is_pattern(item);
    }
    if (rc == 0 && !division->patterns)
        rc = take_turns(division, longest);
    return rc == 0 ? 0 : gantry_err_set(err, rc, "no memory for the names of filename");
}

void file_division_deinit(struct file_division *division)
{
    free(division->names);
    free(division->copy);
    *division = (struct file_division){0};
}

uint32_t file_division_tasks(const struct file_division *division, uint32_t max)
{
    uint32_t tasks = division->patterns || division->turns > max ? max : division->turns;
    return tasks > 0 ? tasks : 1;
}

uint32_t file_division_found(const char *name, uint32_t tasks)
{
    uint64_t hash[2];
    file_hash(name, file_generation_family(name), hash);
    return (uint32_t)(hash[0] % tasks);
}

uint32_t file_division_task(const struct file_division *division, const struct file_name *name,
                            uint32_t tasks)
{
    return division->patterns ? file_division_found(last_part(name->text), tasks)
                              : name->turn % tasks;
}

bool file_division_has(const struct file_division *division, const char *path)
{
    for (size_t i = 0; i < division->count; i++) {
        if (!division->names[i].pattern && strcmp(division->names[i].text, path) == 0)
            return true;
    }
    return false;
}
