/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of options. Written out rather than getopt_long(), which can neither take settings of
 * any name nor say what the user may have meant. */
#include "cli/options.h"

#include "worker/settings.h"

enum { OPTIONS_MAX = 16 };

static const struct gt_option *find_option(const struct gt_options *options,
                                           struct gantry_view name)
{
    for (size_t i = 0; i < options->count; i++) {
        if (gantry_view_equal(gantry_view_of(options->table[i].name), name))
            return &options->table[i];
    }
    return NULL;
}

static int unknown_option(const struct gt_options *options, struct gantry_view name,
                          struct gantry_err *err)
{
    char word[256];
    (void)snprintf(word, sizeof word, "%.*s", GT_VIEW_ARGS(name)); /* a cut name is still unknown */
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    for (; count < options->count && count < OPTIONS_MAX; count++)
        names[count] = options->table[count].name;
    const char *nearest = gt_nearest(word, names, count);
    const char *setting = nearest == NULL && options->settings != NULL && word[0] == '-'
                              ? gt_setting_nearest(word + strspn(word, "-"))
                              : NULL;
    if (setting != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "unknown option '%s'; did you mean --%s?", word,
                              setting);
    if (nearest != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "unknown option '%s'; did you mean %s?", word,
                              nearest);
    return gantry_err_set(err, GANTRY_INVALID, "unknown option '%s'", word);
}

static int take_text(const struct gt_option *option, const char *value, struct gantry_err *err)
{
    if (option->text != NULL)
        *option->text = value;
    else if (gt_parse_int(gantry_view_of(value), 0, INT64_MAX, option->number) != 0)
        return gantry_err_set(err, GANTRY_INVALID, "%s: '%s' is not a whole number of 0 or more",
                              option->name, value);
    return 0;
}

static int take_setting(struct gt_options *options, struct gantry_view key, const char *value,
                        struct gantry_err *err)
{
    if (key.len == 0)
        return gantry_err_set(err, GANTRY_INVALID, "'=%s' has no key; write KEY=VALUE", value);
    if (gt_props_set_views(options->settings, key, gantry_view_of(value)) != 0)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the options");
    return 0;
}

/* A key that a plugin may know has a dot in it; any other must be in the table, for on a command
 * line it is a slip. In a file, which may be older or younger than this program, it is a warning.
 */
static bool may_be_setting(struct gantry_view name)
{
    char key[256];
    if (name.len < 3 || name.len >= sizeof key || memcmp(name.data, "--", 2) != 0)
        return false;
    (void)snprintf(key, sizeof key, "%.*s", (int)(name.len - 2), name.data + 2);
    return strchr(key, '.') != NULL || gt_setting_known(key);
}

/* A word that begins with a dash. *ret_used: words that were used. */
static int take_option(struct gt_options *options, int argc, char **argv, int *ret_used,
                       struct gantry_err *err)
{
    const char *word = argv[0];
    const char *equals = strchr(word, '=');
    struct gantry_view name = {word, equals != NULL ? (size_t)(equals - word) : strlen(word)};
    const struct gt_option *option = find_option(options, name);
    const char *value = equals != NULL ? equals + 1 : argc > 1 ? argv[1] : NULL;

    *ret_used = 1;
    if (option != NULL && option->flag != NULL) {
        if (equals != NULL)
            return gantry_err_set(err, GANTRY_INVALID, "%s takes no value", option->name);
        *option->flag = true;
        return 0;
    }
    if (option == NULL && (options->settings == NULL || !may_be_setting(name)))
        return unknown_option(options, name, err);
    if (value == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "%.*s needs a value", GT_VIEW_ARGS(name));
    *ret_used = equals != NULL ? 1 : 2;
    if (option != NULL)
        return take_text(option, value, err);
    name.data += 2;
    name.len -= 2;
    return take_setting(options, name, value, err);
}

static int take_operand(struct gt_options *options, const char *word, struct gantry_err *err)
{
    const char *equals = strchr(word, '=');
    if (options->settings != NULL && equals != NULL)
        return take_setting(options, (struct gantry_view){word, (size_t)(equals - word)},
                            equals + 1, err);
    if (options->operand_count == options->operands_max)
        return gantry_err_set(err, GANTRY_INVALID, "'%s' is one word too many%s", word,
                              options->settings != NULL ? "; settings are KEY=VALUE" : "");
    options->operands[options->operand_count++] = word;
    return 0;
}

int gt_options_parse(struct gt_options *options, int argc, char **argv, struct gantry_err *err)
{
    bool ended = false;

    options->operand_count = 0;
    for (int i = 0; i < argc;) {
        int used = 1, rc;
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
            rc = 0;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            rc = take_option(options, argc - i, argv + i, &used, err);
        } else {
            rc = take_operand(options, argv[i], err);
        }
        if (rc != 0)
            return rc;
        i += used;
    }
    if (options->operand_count < options->operands_min)
        return gantry_err_set(err, GANTRY_INVALID, "%s is missing", options->operands_name);
    return 0;
}
