/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points for the crash tests. GANTRY_FAULT is parsed at the first point that is passed. Each
 * entry counts the passages of its own point. A malformed GANTRY_FAULT aborts: a crash test that
 * tests nothing is worse than none. */
#include "base/fault.h"

#ifdef GT_FAULTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES_MAX = 32, POINT_MAX = 63, FAULT_KILL = 100 };

struct entry {
    char point[POINT_MAX + 1];
    int action; /* enum gt_fault_action or FAULT_KILL */
    uint64_t first, last;
    _Atomic uint64_t passages;
};

static struct entry entries[ENTRIES_MAX];
static size_t entry_count;
static pthread_once_t parsed = PTHREAD_ONCE_INIT;

static _Noreturn void refuse(const char *entry)
{
    (void)fprintf(stderr,
                  "GANTRY_FAULT: cannot understand '%s'; write kill:POINT[:N], eio:POINT[:N], "
                  "enospc:POINT[:N[:M]], short:POINT[:N] or skip:POINT\n",
                  entry);
    abort();
}

static uint64_t number(const char *text, const char *whole)
{
    char *end;
    unsigned long long value = text != NULL ? strtoull(text, &end, 10) : 1;
    if (text != NULL && (*text < '1' || *text > '9' || *end != '\0'))
        refuse(whole);
    return value;
}

static void parse_entry(const char *text)
{
    static const struct {
        const char *name;
        int action;
    } actions[] = {
        {"kill", FAULT_KILL},      {"eio", GT_FAULT_EIO},   {"enospc", GT_FAULT_ENOSPC},
        {"short", GT_FAULT_SHORT}, {"skip", GT_FAULT_SKIP},
    };
    char copy[128];
    char *rest = copy;

    if (entry_count == ENTRIES_MAX || strlen(text) >= sizeof copy)
        refuse(text);
    strcpy(copy, text);
    struct entry *entry = &entries[entry_count];
    const char *action = strsep(&rest, ":");
    const char *point = strsep(&rest, ":");
    const char *first = strsep(&rest, ":");
    const char *times = strsep(&rest, ":");
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, action) == 0)
            entry->action = actions[i].action;
    }
    if (entry->action == GT_FAULT_NONE || point == NULL || *point == '\0' ||
        strlen(point) > POINT_MAX || rest != NULL)
        refuse(text);
    if ((first != NULL && entry->action == GT_FAULT_SKIP) ||
        (times != NULL && entry->action != GT_FAULT_ENOSPC))
        refuse(text);
    strcpy(entry->point, point);
    entry->first = number(first, text);
    entry->last =
        entry->action == GT_FAULT_SKIP ? UINT64_MAX : entry->first + number(times, text) - 1;
    entry_count++;
}

static void parse(void)
{
    const char *variable = getenv("GANTRY_FAULT");
    if (variable == NULL)
        return;
    char *copy = strdup(variable);
    if (copy == NULL)
        abort();
    char *rest = copy;
    for (const char *text = strsep(&rest, ";"); text != NULL; text = strsep(&rest, ";")) {
        if (*text != '\0')
            parse_entry(text);
    }
    free(copy);
}

enum gt_fault_action gt_fault(const char *point)
{
    enum gt_fault_action action = GT_FAULT_NONE;

    (void)pthread_once(&parsed, parse);
    for (size_t i = 0; i < entry_count; i++) {
        struct entry *entry = &entries[i];
        if (strcmp(entry->point, point) != 0)
            continue;
        uint64_t passage = atomic_fetch_add(&entry->passages, 1) + 1;
        if (passage < entry->first || passage > entry->last)
            continue;
        if (entry->action == FAULT_KILL) {
            (void)kill(getpid(), SIGKILL);
            for (;;)
                (void)pause(); /* the signal may take a moment; nothing behind the point may run */
        }
        action = (enum gt_fault_action)entry->action;
    }
    return action;
}

#else
/* ISO C wants a declaration in every file. */
typedef int gt_faults_are_off;
#endif
