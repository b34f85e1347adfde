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
    const char *id;     /* what it is made of; two forms of one id and place are the same form */
    bool hosted;
    enum gt_plugin_kind kind;
    const char *path;     /* for the loader */
    struct gt_copy *copy; /* held by the form as long as it lives; NULL: none */
    struct gt_loader loader;
};

/** @p runtime is what plugins get; borrowed. 0 or GANTRY_NO_MEMORY. */
int gt_forms_open(const struct gantry_runtime *runtime, struct gt_forms **ret);
/** Wait until all forms are closed. Nobody may hold one. False: a plugin has not come back from its
 * close() within @p most_ms, and is left behind with all that it may use. NULL is fine. */
bool gt_forms_close(struct gt_forms *forms, int64_t most_ms);

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
