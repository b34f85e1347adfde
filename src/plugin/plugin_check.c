/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's tables, looked at once when it is loaded. Whatever is fine here is used later without
 * another look. */
#include "plugin/plugin_check.h"

#include "base/view.h"
#include "plugin/config_check.h"

enum {
    STRUCT_MAX = 4096, /* bytes of a struct; a later version of one is a little larger, not much */
    CONNECTORS_MAX = 1024,
    NAMES_MAX = 64,
    DEFS_MAX = 4096,
    TEXT_MAX = 64 << 10,
    KNOWN_FLAGS = GANTRY_CONNECTOR_BLOCKS | GANTRY_CONNECTOR_CONCURRENT_FLUSH |
                  GANTRY_CONNECTOR_NO_REPLAY | GANTRY_CONNECTOR_HEADERS_AS_IS |
                  GANTRY_CONNECTOR_OPEN_KEYS,
};

/* The least size is that of the first headers of this version of the interface: what came later is
 * looked for with GANTRY_HAS. */
enum { CONNECTOR_LEAST = offsetof(struct gantry_connector, limit) };

static int check_size(const char *what, size_t size, size_t least, struct gantry_err *err)
{
    if (size >= least && size <= STRUCT_MAX)
        return 0;
    return gantry_err_set(
        err, GANTRY_VERSION,
        "its %s has %zu bytes, this worker's has at least %zu; build it anew with "
        "the headers of this version",
        what, size, least);
}

static bool is_text(const char *text)
{
    if (text == NULL)
        return false;
    size_t len = strnlen(text, TEXT_MAX);
    return len < TEXT_MAX && gt_utf8_valid((struct gantry_view){text, len});
}

static bool is_name(const char *text)
{
    if (!is_text(text) || *text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static int check_def(const char *class_name, size_t index, const struct gantry_config_def *def,
                     struct gantry_err *err)
{
    const char *wrong = NULL;
    if (!is_name(def->name))
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector %s: key number %zu has no usable name", class_name,
                              index + 1);
    if ((unsigned)def->type > GANTRY_CONFIG_PASSWORD)
        return gantry_err_set(
            err, GANTRY_VERSION,
            "connector %s: key %s is of type %u, this worker knows types up to %d", class_name,
            def->name, (unsigned)def->type, GANTRY_CONFIG_PASSWORD);
    if (def->type == GANTRY_CONFIG_ENUM && !is_text(def->choices))
        wrong = "has no choices";
    else if (def->min > def->max && def->max != 0)
        wrong = "has a range that ends before it begins";
    else if ((def->aliases != NULL && !is_text(def->aliases)) ||
             (def->default_value != NULL && !is_text(def->default_value)) ||
             (def->doc != NULL && !is_text(def->doc)))
        wrong = "has a text that is not UTF-8";
    return wrong == NULL ? 0
                         : gantry_err_set(err, GANTRY_INVALID, "connector %s: key %s %s",
                                          class_name, def->name, wrong);
}

/* The name that the other connectors of the plugin have, too, or NULL. */
static const char *shared_name(const struct gantry_plugin *plugin, size_t index)
{
    const char *const *names = plugin->connectors[index]->class_names;
    for (size_t i = 0; names[i] != NULL; i++) {
        for (size_t k = 0; k < index; k++) {
            const char *const *others = plugin->connectors[k]->class_names;
            for (; *others != NULL; others++) {
                if (strcmp(names[i], *others) == 0)
                    return names[i];
            }
        }
    }
    return NULL;
}

static int check_names(const struct gantry_connector *connector, size_t index,
                       struct gantry_err *err)
{
    size_t count = 0;
    if (connector->class_names != NULL) {
        while (count < NAMES_MAX && is_name(connector->class_names[count]))
            count++;
    }
    if (count == 0 || count == NAMES_MAX || connector->class_names[count] != NULL)
        return gantry_err_set(
            err, GANTRY_INVALID,
            "connector number %zu: its class names are not 1 to %d words of UTF-8", index + 1,
            NAMES_MAX - 1);
    return 0;
}

static const char *missing_function(const struct gantry_connector *connector)
{
    if (connector->task_start == NULL)
        return "task_start";
    if (connector->task_stop == NULL)
        return "task_stop";
    if (connector->kind == GANTRY_SOURCE && connector->poll == NULL)
        return "poll";
    return connector->kind == GANTRY_SINK && connector->put == NULL ? "put" : NULL;
}

static int check_connector(const struct gantry_plugin *plugin, size_t index, struct gantry_err *err)
{
    const struct gantry_connector *connector = plugin->connectors[index];
    if (connector == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "connector number %zu is not there", index + 1);
    int code = check_size("struct gantry_connector", connector->struct_size, CONNECTOR_LEAST, err);
    if (code == 0)
        code = check_names(connector, index, err);
    if (code != 0)
        return code;
    const char *name = connector->class_names[0];
    const char *again = shared_name(plugin, index);
    const char *missing = missing_function(connector);
    if (again != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "two of its connectors have the class name %s",
                              again);
    if ((unsigned)connector->kind > GANTRY_SINK)
        return gantry_err_set(err, GANTRY_VERSION,
                              "connector %s: its kind is %u, this worker knows kinds up to %d",
                              name, (unsigned)connector->kind, GANTRY_SINK);
    if ((connector->flags & ~(uint32_t)KNOWN_FLAGS) != 0)
        return gantry_err_set(err, GANTRY_VERSION,
                              "connector %s: its flags are 0x%x, this worker knows 0x%x", name,
                              connector->flags, (unsigned)KNOWN_FLAGS);
    if (missing != NULL)
        return gantry_err_set(err, GANTRY_INVALID, "connector %s: there is no function %s", name,
                              missing);
    if (!is_text(connector->task_class) || !is_text(connector->version) || !is_text(connector->doc))
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector %s: task_class, version or doc is no text", name);
    if (connector->def_count > DEFS_MAX || (connector->def_count > 0 && connector->defs == NULL))
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector %s: a table of %zu keys cannot be; at most %d", name,
                              connector->def_count, DEFS_MAX);
    for (size_t i = 0; i < connector->def_count && code == 0; i++)
        code = check_def(name, i, &connector->defs[i], err);
    return code;
}

int gt_plugin_check(const struct gantry_plugin *plugin, struct gantry_err *err)
{
    if (plugin == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "its function gantry_plugin gave nothing");
    if (plugin->struct_size >= offsetof(struct gantry_plugin, name) &&
        plugin->struct_size <= STRUCT_MAX && plugin->abi_version != GANTRY_ABI_VERSION)
        return gantry_err_set(err, GANTRY_VERSION,
                              "built for version %u of the plugin interface, this worker has "
                              "version %d; build it anew",
                              plugin->abi_version, GANTRY_ABI_VERSION);
    int code = check_size("struct gantry_plugin", plugin->struct_size, sizeof *plugin, err);
    if (code != 0)
        return code;
    if (!is_name(plugin->name) || !is_text(plugin->version))
        return gantry_err_set(err, GANTRY_INVALID, "its name or version is no text");
    if (plugin->connector_count > CONNECTORS_MAX ||
        (plugin->connector_count > 0 && plugin->connectors == NULL))
        return gantry_err_set(err, GANTRY_INVALID,
                              "a plugin of %zu connectors cannot be; at most %d",
                              plugin->connector_count, CONNECTORS_MAX);
    for (size_t i = 0; i < plugin->connector_count && code == 0; i++)
        code = check_connector(plugin, i, err);
    return code;
}

int gt_marks_check(const struct gantry_batch *batch, struct gantry_err *err)
{
    for (size_t i = 0, covered = 0; i < batch->mark_count; i++) {
        size_t covers = batch->marks[i].covers;
        if (covers < covered || covers > batch->count)
            return gantry_err_set(
                err, GANTRY_INVALID, "the connector's mark covers %zu records of a batch of %zu%s",
                covers, batch->count, covers < covered ? ", fewer than the one before it" : "");
        covered = covers;
    }
    return 0;
}
