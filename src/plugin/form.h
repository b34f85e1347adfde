/* SPDX-License-Identifier: Apache-2.0 */
/** Loaded forms of plugins, with counted references.
 *
 *  A form is loaded, checked and opened once, however many ask for it: forms are known by what they
 * are made of (the content's hash) and where they run. The last release closes the plugin and
 * unloads it, on a thread of its own, because both may block: a release never does. While that goes
 * on, whoever asks for the same form again waits for its end: one library is never open twice.
 * Thread: any. */
#ifndef GT_PLUGIN_FORM_H
#define GT_PLUGIN_FORM_H

#include "plugin/copy.h"
#include "plugin/loader.h"

struct gt_form;
struct gt_forms;

/** A connector class of a form. Borrowed from it: valid as long as the form is held. */
struct gt_connector_class {
    const struct gantry_connector *connector;
    const struct gantry_plugin *plugin;
    void *plugin_state;   /* what the plugin's open() returned */
    struct gt_form *form; /* NULL: static data, that nobody counts */
};

/** Hold a class, so that its plugin stays open. Returns it. */
const struct gt_connector_class *gt_class_hold(const struct gt_connector_class *klass);
/** Let go. NULL is fine. Never blocks. */
void gt_class_release(const struct gt_connector_class *klass);

struct gt_form_spec {
    const char *origin; /* for messages */
    enum gt_plugin_kind kind;
    bool hosted;
    struct gt_copy *copy;       /* held by the form as long as it lives; NULL for built-in ones */
    struct gt_loader loader;    /* used unless: */
    struct gt_loaded preloaded; /* .plugin is set for built-in ones */
};

/** @p runtime is what plugins get; borrowed. 0 or GANTRY_NO_MEMORY. */
int gt_forms_open(const struct gantry_runtime *runtime, struct gt_forms **ret);
/** Wait until all forms are closed. Nobody may hold one. A plugin that does not come back from its
 * close() is left behind after 10 s, with a line in the log. NULL is fine. */
void gt_forms_close(struct gt_forms *forms);

/** The form, held once more: the one that there is, or a new one. May block. */
int gt_form_open(struct gt_forms *forms, const struct gt_form_spec *spec, struct gt_form **ret,
                 struct gantry_err *err);
struct gt_form *gt_form_hold(struct gt_form *form);
void gt_form_release(struct gt_form *form);

const struct gantry_plugin *gt_form_plugin(const struct gt_form *form);
const struct gt_connector_class *gt_form_classes(const struct gt_form *form, size_t *ret_count);
/** The class of that name, or NULL. Not held. */
const struct gt_connector_class *gt_form_find(const struct gt_form *form, const char *class_name);

#endif
