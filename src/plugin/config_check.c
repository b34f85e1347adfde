/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration against its tables. Three passes: what was given (known keys to their canonical
 * name and normalised value, unknown ones kept and warned about), what is missing, what has a
 * default. */
#include "plugin/config_check.h"

#include "base/buf.h"
#include "convert/converter.h"
#include <strings.h>

/* Keys that a worker adds to configurations: a configuration that was read back can be sent again.
 */
static const char *const worker_keys[] = {"update-timestamp", "task-class"};

enum {
    WORKER_KEY_COUNT = sizeof worker_keys / sizeof worker_keys[0],
    SHOWN_MAX = 100,
    CANDIDATES_MAX = 256,
    WARNED_MAX = 20,
    TOPICS_MAX = 1000
};

/* The next of the texts in a list with commas, without blanks around it; false at the end. */
static bool next_item(struct gantry_view *rest, struct gantry_view *ret)
{
    if (rest->data == NULL)
        return false;
    const char *comma = memchr(rest->data, ',', rest->len);
    size_t len = comma != NULL ? (size_t)(comma - rest->data) : rest->len;
    *ret = gt_view_trim((struct gantry_view){rest->data, len});
    if (comma != NULL)
        *rest = (struct gantry_view){comma + 1, rest->len - len - 1};
    else
        *rest = (struct gantry_view){NULL, 0};
    return true;
}

static bool def_has_name(const struct gantry_config_def *def, const char *key)
{
    struct gantry_view aliases = gantry_view_of(def->aliases), alias;

    if (strcmp(def->name, key) == 0)
        return true;
    while (next_item(&aliases, &alias)) {
        if (gantry_view_equal(alias, gantry_view_of(key)))
            return true;
    }
    return false;
}

static const struct gantry_config_def *find_in(const struct gantry_config_def *defs, size_t count,
                                               const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (def_has_name(&defs[i], key))
            return &defs[i];
    }
    return NULL;
}

const struct gantry_config_def *gt_config_def_find(const struct gantry_connector *connector,
                                                   const char *key)
{
    const struct gantry_config_def *def;
    size_t count;

    if (connector == NULL) {
        const struct gantry_config_def *common = gt_common_defs(GANTRY_SOURCE, &count);
        def = find_in(common, count, key);
        common = gt_common_defs(GANTRY_SINK, &count);
        return def != NULL ? def : find_in(common, count, key);
    }
    def = find_in(connector->defs, connector->def_count, key);
    if (def != NULL)
        return def;
    const struct gantry_config_def *common = gt_common_defs(connector->kind, &count);
    def = find_in(common, count, key);
    if (def == NULL)
        return NULL;
    /* a connector that declares the same key replaces our line, but not its spellings */
    const struct gantry_config_def *own = find_in(connector->defs, connector->def_count, def->name);
    return own != NULL ? own : def;
}

const char *gt_config_value(const struct gantry_connector *connector, const struct gt_props *props,
                            const char *key)
{
    const struct gantry_config_def *def = gt_config_def_find(connector, key);

    if (def == NULL)
        return gt_props_get(props, key);
    for (size_t i = 0; i < props->count; i++) {
        if (gt_config_def_find(connector, props->items[i].key) == def)
            return props->items[i].value;
    }
    return NULL;
}

/* The sentence "KEY: 'VALUE' WHAT". */
static int refuse(const struct gantry_config_def *def, const char *value, struct gantry_err *err,
                  const char *what)
{
    const char *shown = def->type == GANTRY_CONFIG_PASSWORD ? "***" : value;
    return gantry_err_set(err, GANTRY_INVALID, "%s: '%.*s%s' %s", def->name, SHOWN_MAX, shown,
                          strlen(shown) > SHOWN_MAX ? "..." : "", what);
}

/* INT, SIZE and DURATION: to plain decimal. */
static int check_number(const struct gantry_config_def *def, const char *value,
                        struct gt_arena *arena, const char **ret, struct gantry_err *err)
{
    bool limited = def->min != 0 || def->max != 0;
    int64_t min = limited ? def->min : def->type == GANTRY_CONFIG_INT ? INT64_MIN : 0;
    int64_t max = limited ? def->max : INT64_MAX;
    struct gantry_view text = gt_view_trim(gantry_view_of(value));
    const char *kind = "whole number";
    char what[200], decimal[32];
    int64_t number;
    int rc;

    if (def->type == GANTRY_CONFIG_SIZE) {
        rc = gt_parse_size(text, min, max, &number);
        kind = "number of bytes (64, 64k, 64m, 64g)";
    } else if (def->type == GANTRY_CONFIG_DURATION) {
        rc = gt_parse_duration(text, min, max, &number);
        kind = "duration (500ms, 20s, 5m, 1h; a bare number: ms)";
    } else {
        rc = gt_parse_int(text, min, max, &number);
    }
    if (rc != 0) {
        if (limited)
            (void)snprintf(what, sizeof what, "is not a %s from %lld to %lld", kind, (long long)min,
                           (long long)max);
        else
            (void)snprintf(what, sizeof what, "is not a %s", kind);
        return refuse(def, value, err, what);
    }
    (void)snprintf(decimal, sizeof decimal, "%lld", (long long)number); /* fits */
    *ret = gt_arena_strdup(arena, decimal);
    return *ret != NULL ? GANTRY_OK
                        : gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", def->name);
}

/* ENUM and BOOL: one of the choices, written as the table writes it. */
static int check_choice(const struct gantry_config_def *def, const char *choices, const char *value,
                        struct gt_arena *arena, const char **ret, struct gantry_err *err)
{
    struct gantry_view text = gt_view_trim(gantry_view_of(value)), rest = gantry_view_of(choices),
                       choice;
    char what[300];

    while (next_item(&rest, &choice)) {
        if (choice.len != text.len || strncasecmp(choice.data, text.data, text.len) != 0)
            continue;
        *ret = gt_arena_copy(arena, choice);
        return *ret != NULL ? GANTRY_OK
                            : gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", def->name);
    }
    (void)snprintf(what, sizeof what, "is not one of: %s", choices);
    return refuse(def, value, err, what);
}

/* LIST: without blanks and empty items. */
static int check_list(const struct gantry_config_def *def, const char *value,
                      struct gt_arena *arena, const char **ret, struct gantry_err *err)
{
    struct gantry_view rest = gantry_view_of(value), item;
    char *list = gt_arena_alloc(arena, strlen(value) + 1);
    size_t len = 0;

    if (list == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", def->name);
    while (next_item(&rest, &item)) {
        if (item.len == 0)
            continue;
        if (len > 0)
            list[len++] = ',';
        memcpy(list + len, item.data, item.len);
        len += item.len;
    }
    list[len] = '\0';
    *ret = list;
    return GANTRY_OK;
}

int gt_config_check_value(const struct gantry_config_def *def, const char *value,
                          struct gt_arena *arena, const char **ret, struct gantry_err *err)
{
    const char *normalised = value;
    int rc = GANTRY_OK;

    switch (def->type) {
    case GANTRY_CONFIG_STRING:
    case GANTRY_CONFIG_PASSWORD:
        break;
    case GANTRY_CONFIG_INT:
    case GANTRY_CONFIG_SIZE:
    case GANTRY_CONFIG_DURATION:
        rc = check_number(def, value, arena, &normalised, err);
        break;
    case GANTRY_CONFIG_BOOL:
        rc = check_choice(def, "true, false", value, arena, &normalised, err);
        break;
    case GANTRY_CONFIG_ENUM:
        rc = check_choice(def, def->choices, value, arena, &normalised, err);
        break;
    case GANTRY_CONFIG_LIST:
        rc = check_list(def, value, arena, &normalised, err);
        break;
    }
    if (rc != 0)
        return rc;
    if (*normalised == '\0' && (def->flags & GANTRY_CONFIG_NOT_EMPTY) != 0)
        return gantry_err_set(err, GANTRY_INVALID, "%s: the value is empty; %s", def->name,
                              def->doc != NULL ? def->doc : "give one");
    *ret = normalised;
    return GANTRY_OK;
}

struct check {
    const struct gantry_connector *connector;
    const struct gt_props *props;
    struct gt_findings *findings;
    struct gt_arena *arena;
    struct gantry_config_entry *entries;
    const char **given_as; /* given_as[i]: the spelling that entries[i] came from */
    size_t count;
    size_t unknown_count;
};

static void add_err(struct check *check, const char *key, const struct gantry_err *err)
{
    gt_findings_add(check->findings, key, false, false, err->text);
}

/* The topics of a sink: legal names, each once. @p value is a checked LIST. */
static int check_topics(struct check *check, const char *key, const char *value,
                        struct gantry_err *err)
{
    struct gantry_view rest = gantry_view_of(value), item, earlier;
    struct gantry_err inner = {.code = 0};

    for (size_t count = 1; *value != '\0' && next_item(&rest, &item); count++) {
        char *name = gt_arena_copy(check->arena, item);
        if (name == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "%s: out of memory", key);
        if (count > TOPICS_MAX)
            return gantry_err_set(err, GANTRY_INVALID,
                                  "%s: more than %d topics; spread them over several connectors",
                                  key, TOPICS_MAX);
        if (gt_topic_name_check(name, &inner) != 0)
            return gantry_err_set(err, GANTRY_INVALID, "%s: %s", key, inner.text);
        struct gantry_view before = {value, (size_t)(item.data - value)};
        while (before.len > 0 && next_item(&before, &earlier)) {
            if (gantry_view_equal(earlier, item))
                return gantry_err_set(err, GANTRY_INVALID,
                                      "%s: the topic '%s' is named twice; name it once", key, name);
        }
    }
    return GANTRY_OK;
}

static const char aside_key[] = "errors.deadletterqueue.topic.name";

/* What the runtime's own keys must be beyond their type. */
static int check_common(struct check *check, const struct gantry_config_def *def, const char *value,
                        struct gantry_err *err)
{
    struct gantry_err inner = {.code = 0};

    if (strcmp(def->name, "source-record-converter") == 0 && gt_converter_find(value) == NULL)
        return refuse(def, value, err,
                      "is not a known converter; known: string, bytes, json2019, rocketmq, and the "
                      "class names that stand for them");
    bool one_topic = strcmp(def->name, "topic") == 0 || strcmp(def->name, "dlq.topic") == 0;
    bool aside = strcmp(def->name, aside_key) == 0;
    if ((check->connector->kind == GANTRY_SOURCE ? one_topic : aside) && *value != '\0' &&
        gt_topic_name_check(value, &inner) != 0)
        return gantry_err_set(err, GANTRY_INVALID, "%s: %s", def->name, inner.text);
    if (check->connector->kind != GANTRY_SINK || strcmp(def->name, "topicNames") != 0)
        return GANTRY_OK;
    return check_topics(check, def->name, value, err);
}

static struct gantry_config_entry *find_entry(struct check *check, const char *key)
{
    for (size_t i = 0; i < check->count; i++) {
        if (strcmp(check->entries[i].key, key) == 0)
            return &check->entries[i];
    }
    return NULL;
}

static void add_entry(struct check *check, const char *key, const char *value, const char *given_as)
{
    check->given_as[check->count] = given_as;
    check->entries[check->count++] = (struct gantry_config_entry){key, value};
}

/* A key that the tables know. */
static int check_known(struct check *check, const struct gantry_config_def *def,
                       const struct gt_prop *prop)
{
    struct gantry_err err = {.code = 0};
    const char *value = prop->value;
    bool secret = def->type == GANTRY_CONFIG_PASSWORD;

    int rc = gt_config_check_value(def, prop->value, check->arena, &value, &err);
    if (rc == 0)
        rc = check_common(check, def, value, &err);
    if (rc == GANTRY_NO_MEMORY)
        return rc;
    if (rc != 0)
        add_err(check, def->name, &err);
    const struct gantry_config_entry *other = find_entry(check, def->name);
    if (other == NULL) {
        add_entry(check, def->name, value, prop->key);
    } else if (strcmp(other->value, value) != 0) {
        const char *spelling = check->given_as[other - check->entries];
        (void)gantry_err_set(
            &err, GANTRY_INVALID,
            "%s: given twice with different values, as %s='%.*s' and %s='%.*s'; leave one out",
            def->name, spelling, SHOWN_MAX, secret ? "***" : other->value, prop->key, SHOWN_MAX,
            secret ? "***" : prop->value);
        add_err(check, def->name, &err);
    }
    return GANTRY_OK;
}

/* A key that no table knows: kept, but the user is told, for it may be a slip. */
static void check_unknown(struct check *check, const struct gt_prop *prop,
                          const char *const *candidates, size_t count)
{
    struct gantry_err err;

    if (strcmp(prop->key, "config-deleted") == 0) {
        (void)gantry_err_set(
            &err, GANTRY_INVALID,
            "config-deleted: a configuration cannot ask for its own deletion; use the route "
            "/connectors/NAME/stop");
        add_err(check, prop->key, &err);
        return;
    }
    add_entry(check, prop->key, prop->value, prop->key);
    for (size_t i = 0; i < WORKER_KEY_COUNT; i++) {
        if (strcmp(prop->key, worker_keys[i]) == 0)
            return;
    }
    bool open = (check->connector->flags & GANTRY_CONNECTOR_OPEN_KEYS) != 0;
    bool many = check->unknown_count >= WARNED_MAX;
    const char *nearest = many ? NULL : gt_nearest(prop->key, candidates, count);
    if (open && nearest == NULL)
        return;
    check->unknown_count++;
    if (many)
        return; /* told as a number, for a configuration may have very many keys */
    (void)gantry_err_set(&err, GANTRY_INVALID, "%.*s: not known to %s%s%s%s", SHOWN_MAX, prop->key,
                         check->connector->class_names[0],
                         nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
                         nearest != NULL ? "'?" : "");
    gt_findings_add(check->findings, prop->key, false, true, err.text);
}

/* Required keys that are absent, and defaults. */
static int complete(struct check *check, const struct gantry_config_def *defs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct gantry_config_def *def = &defs[i];
        struct gantry_err err = {.code = 0};
        const char *value = "";
        if (gt_config_def_find(check->connector, def->name) != def ||
            find_entry(check, def->name) != NULL)
            continue;
        if ((def->flags & GANTRY_CONFIG_REQUIRED) != 0) {
            (void)gantry_err_set(&err, GANTRY_INVALID, "%s: required; %s", def->name,
                                 def->doc != NULL ? def->doc : "give a value");
            gt_findings_add(check->findings, def->name, true, false, err.text);
        } else if (def->default_value != NULL) {
            int rc = gt_config_check_value(def, def->default_value, check->arena, &value, &err);
            if (rc == GANTRY_NO_MEMORY)
                return rc;
            if (rc != 0) /* the plugin's table is wrong: say so rather than run with it */
                add_err(check, def->name, &err);
            else
                add_entry(check, def->name, value, def->name);
        }
    }
    return GANTRY_OK;
}

/* What a sink lays aside must not come to it again. */
static void check_aside(struct check *check)
{
    const struct gantry_config_entry *aside = find_entry(check, aside_key);
    const struct gantry_config_entry *topics = find_entry(check, "topicNames");
    if (check->connector->kind != GANTRY_SINK || aside == NULL || topics == NULL)
        return;
    struct gantry_view rest = gantry_view_of(topics->value), item;
    while (rest.len > 0 && next_item(&rest, &item)) {
        struct gantry_err err = {.code = 0};
        if (!gantry_view_equal(item, gantry_view_of(aside->value)))
            continue;
        (void)gantry_err_set(&err, GANTRY_INVALID,
                             "%s: the connector itself reads topic %.*s; name another one",
                             aside_key, SHOWN_MAX, aside->value);
        add_err(check, aside_key, &err);
    }
}

static size_t collect_names(const char **names, size_t room, const struct gantry_config_def *defs,
                            size_t count)
{
    size_t used = 0;
    for (; used < count && used < room; used++)
        names[used] = defs[used].name;
    return used;
}

static int run(struct check *check, const struct gantry_config_def *common, size_t common_count)
{
    const char *names[CANDIDATES_MAX];
    size_t name_count = collect_names(names, CANDIDATES_MAX, common, common_count);
    name_count += collect_names(names + name_count, CANDIDATES_MAX - name_count,
                                check->connector->defs, check->connector->def_count);

    for (size_t i = 0; i < check->props->count; i++) {
        const struct gt_prop *prop = &check->props->items[i];
        const struct gantry_config_def *def = gt_config_def_find(check->connector, prop->key);
        if (def == NULL)
            check_unknown(check, prop, names, name_count);
        else if (check_known(check, def, prop) != 0)
            return GANTRY_NO_MEMORY;
    }
    if (check->unknown_count > WARNED_MAX) {
        char text[80];
        (void)snprintf(text, sizeof text, "%zu more keys are not known",
                       check->unknown_count - WARNED_MAX);
        gt_findings_add(check->findings, "", false, true, text);
    }
    int rc = complete(check, common, common_count);
    if (rc == 0)
        rc = complete(check, check->connector->defs, check->connector->def_count);
    check_aside(check);
    return rc;
}

int gt_config_check(const struct gantry_connector *connector, const struct gt_props *props,
                    struct gt_findings *findings, struct gt_arena *arena, struct gantry_config *ret)
{
    size_t common_count;
    const struct gantry_config_def *common = gt_common_defs(connector->kind, &common_count);
    size_t room = props->count + common_count + connector->def_count;
    struct check check = {
        .connector = connector, .props = props, .findings = findings, .arena = arena};

    check.entries = gt_arena_alloc(arena, room * sizeof *check.entries);
    check.given_as = gt_arena_alloc(arena, room * sizeof *check.given_as);
    if (check.entries == NULL || check.given_as == NULL || run(&check, common, common_count) != 0 ||
        findings->no_memory)
        return GANTRY_NO_MEMORY;
    if (gt_findings_errors(findings) > 0)
        return GANTRY_INVALID;
    /* keys and values belong to the caller's props: the configuration must not depend on them */
    for (size_t i = 0; i < check.count; i++) {
        struct gantry_config_entry *entry = &check.entries[i];
        entry->key = gt_arena_strdup(arena, entry->key);
        entry->value = gt_arena_strdup(arena, entry->value);
        if (entry->key == NULL || entry->value == NULL)
            return GANTRY_NO_MEMORY;
    }
    *ret = (struct gantry_config){sizeof *ret, check.count, check.entries};
    return GANTRY_OK;
}
