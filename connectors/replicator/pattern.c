/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERN_MAX = 255,  /* bytes of one */
    REPEATS_MAX = 1000, /* of all {n} of one, multiplied: memory grows with it */
};

struct pattern {
    regex_t regex;
    bool percent; /* begins with %: for retry and dead-letter topics */
};

struct rep_patterns {
    size_t count;
    struct pattern items[];
};

/* --- Java's to POSIX's --- */

static int refuse(const char *key, const char *text, const char *what, struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_INVALID,
                          "%s: '%s' has %s; write it with . * + ? | ( ) [ ] \\d \\w \\s", key, text,
                          what);
}

/* {n} or {n,m} at @p at: multiply into *total. The length, 0 when it is none of them. */
static size_t take_repeat(const char *at, long *total)
{
    char *end;
    if (!isdigit((unsigned char)at[1]))
        return 0;
    long times = strtol(at + 1, &end, 10);
    if (*end != '}')
        return 0; /* a comma would have ended the pattern */
    if (times > REPEATS_MAX || *total * (times > 0 ? times : 1) > REPEATS_MAX)
        return 0;
    *total *= times > 0 ? times : 1;
    return (size_t)(end - at) + 1;
}

/* ^( TEXT )$ with Java's classes spelt out. */
static int translate(const char *key, const char *text, char *out, struct gantry_err *err)
{
    static const struct {
        char java;
        const char *inside, *outside;
    } classes[] = {
        {'d', "0-9", "[0-9]"}, {'w', "a-zA-Z0-9_", "[a-zA-Z0-9_]"}, {'s', " \t", "[ \t]"},
        {'D', NULL, "[^0-9]"}, {'W', NULL, "[^a-zA-Z0-9_]"},        {'S', NULL, "[^ \t]"},
    };
    bool inside = false;
    long repeats = 1;
    int depth = 0; /* of parentheses: the pattern stands between two of ours */
    char *to = out;
    *to++ = '^';
    *to++ = '(';
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\') {
            const char *class = NULL;
            char c = *++at;
            for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
                if (classes[i].java == c)
                    class = inside ? classes[i].inside : classes[i].outside;
            }
            if (class != NULL)
                to = stpcpy(to, class);
            else if (c == '\0' || isalnum((unsigned char)c) || inside)
                return refuse(key, text, "a \\ that means something else", err);
            else
                *to++ = '\\', *to++ = c;
        } else if (inside) {
            inside = *at != ']';
            *to++ = *at;
        } else if (*at == '(' && at[1] == '?') {
            if (at[2] != ':')
                return refuse(key, text, "(?", err);
            *to++ = '(';
            depth++;
            at += 2;
        } else if (*at == '{') {
            size_t len = take_repeat(at, &repeats);
            if (len == 0)
                return refuse(key, text, "a { that is no {n}, or too large", err);
            memcpy(to, at, len);
            to += len;
            at += len - 1;
        } else if (strchr("*+?}", *at) != NULL && at > text && strchr("*+?", at[-1]) != NULL &&
                   (at - text < 2 || at[-2] != '\\')) {
            if (*at != '?')
                return refuse(key, text, "two repetitions in a row", err);
            /* Lazy: of a whole name it matches the same. */
        } else {
            inside = *at == '[';
            depth += (*at == '(') - (*at == ')');
            if (depth < 0)
                return refuse(key, text, "a ) without its (", err);
            *to++ = *at;
            if (inside && at[1] == '^')
                *to++ = *++at;
            if (inside && at[1] == ']')
                *to++ = *++at;
        }
    }
    if (depth != 0)
        return refuse(key, text, "a ( without its )", err);
    memcpy(to, ")$", 3);
    return 0;
}

static int compile(const char *key, const char *text, struct pattern *pattern,
                   struct gantry_err *err)
{
    char posix[PATTERN_MAX * 16 + 8], why[160]; /* the longest class takes 16 for 2 */
    if (strlen(text) > PATTERN_MAX)
        return gantry_err_set(err, GANTRY_INVALID, "%s: a pattern has %zu bytes; %d are allowed",
                              key, strlen(text), PATTERN_MAX);
    int rc = translate(key, text, posix, err);
    if (rc != 0)
        return rc;
    rc = regcomp(&pattern->regex, posix, REG_EXTENDED | REG_NOSUB);
    if (rc == REG_ESPACE)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "%s: no memory for '%s'", key, text);
    if (rc != 0) {
        (void)regerror(rc, &pattern->regex, why, sizeof why);
        return gantry_err_set(err, GANTRY_INVALID, "%s: '%s' is no regular expression: %s", key,
                              text, why);
    }
    pattern->percent = text[0] == '%' || strncmp(text, "\\%", 2) == 0;
    return 0;
}

static size_t count_parts(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

int rep_patterns_new(const char *key, const char *list, struct rep_patterns **ret,
                     struct gantry_err *err)
{
    char *copy = strdup(list != NULL ? list : "");
    struct rep_patterns *patterns = NULL;
    int rc = 0;
    if (copy != NULL)
        patterns = calloc(1, sizeof *patterns + count_parts(copy) * sizeof patterns->items[0]);
    if (patterns == NULL)
        rc = gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", key);
    char *rest = copy;
    for (char *part = rest; rc == 0 && (part = strsep(&rest, ",")) != NULL;) {
        part += strspn(part, " \t");
        for (size_t len = strlen(part); len > 0 && strchr(" \t", part[len - 1]) != NULL;)
            part[--len] = '\0';
        if (*part == '\0')
            continue;
        rc = compile(key, part, &patterns->items[patterns->count], err);
        if (rc == 0)
            patterns->count++;
    }
    free(copy);
    if (rc != 0) {
        rep_patterns_free(patterns);
        return rc;
    }
    *ret = patterns;
    return 0;
}

void rep_patterns_free(struct rep_patterns *patterns)
{
    for (size_t i = 0; patterns != NULL && i < patterns->count; i++)
        regfree(&patterns->items[i].regex);
    free(patterns);
}

/* --- What belongs to RocketMQ, or to workers --- */

static bool begins_with_one(const char *name, const char *const *beginnings)
{
    for (; *beginnings != NULL; beginnings++) {
        if (strncmp(name, *beginnings, strlen(*beginnings)) == 0)
            return true;
    }
    return false;
}

static bool is_one(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0)
            return true;
    }
    return false;
}

static bool is_system_topic(const char *name)
{
    static const char *const names[] = {
        "TBW102",
        "BenchmarkTest",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CHECKPOINT_TOPIC",
        "SCHEDULE_TOPIC_XXXX",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "DefaultHeartBeatSyncerTopic",
        NULL,
    };
    static const char *const beginnings[] = {
        "rmq_sys_", "RMQ_SYS_", "gantry-cluster-", "DefaultReplyTopic", "%SYS%", NULL,
    };
    size_t len = strlen(name);
    /* Brokers keep a topic of their own name, of their cluster's, and of both with these ends. */
    return is_one(name, names) || begins_with_one(name, beginnings) ||
           (len > 12 && strcmp(name + len - 12, "_REPLY_TOPIC") == 0);
}

static bool matches(const struct rep_patterns *patterns, const char *name, bool percent)
{
    for (size_t i = 0; i < patterns->count; i++) {
        const struct pattern *pattern = &patterns->items[i];
        if ((!percent || pattern->percent) && regexec(&pattern->regex, name, 0, NULL, 0) == 0)
            return true;
    }
    return false;
}

bool rep_patterns_topic(const struct rep_patterns *patterns, const char *topic)
{
    return !is_system_topic(topic) && matches(patterns, topic, topic[0] == '%');
}

bool rep_patterns_group(const struct rep_patterns *patterns, const char *group)
{
    static const char *const names[] = {
        "TOOLS_CONSUMER",
        "FILTERSRV_CONSUMER",
        "__MONITOR_CONSUMER",
        "CLIENT_INNER_PRODUCER",
        "SELF_TEST_C_GROUP",
        "SELF_TEST_P_GROUP",
        "DEFAULT_CONSUMER",
        "DEFAULT_PRODUCER",
        "CID_ONS-HTTP-PROXY",
        "CID_ONSAPI_PERMISSION",
        "CID_ONSAPI_OWNER",
        "CID_ONSAPI_PULL",
        NULL,
    };
    static const char *const beginnings[] = {
        "CID_RMQ_SYS_",     "CID_SYS_RMQ_",
        "PositionManage",   "ConfigManage",
        "OffsetManage",     "DefaultConnectCluster",
        "RebalanceService", "connector-consumer-group",
        "gantry-",          NULL,
    };
    return !is_one(group, names) && !begins_with_one(group, beginnings) &&
           matches(patterns, group, false);
}
