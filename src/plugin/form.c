/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: one list, one lock. The lock is never held while a loader or a plugin is called: a form
 * that is being loaded or closed stands in the list meanwhile, and who wants it waits.
 *
 *      OPENING -> OPEN -> CLOSING -> freed
 *         +--------------------------^   it could not be loaded */
#include "plugin/form.h"

#include "base/jobs.h"
#include "base/log.h"
#include "plugin/plugin_check.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { CLOSE_MS = 10000 }; /* how long somebody waits for a plugin's close() */

struct gt_form {
    struct gt_forms *forms;
    struct gt_form *next;
    enum { OPENING, OPEN, CLOSING } state;
    size_t refs;
    char *origin, *id; /* owned */
    bool hosted;
    struct gt_copy *copy; /* held, or NULL */
    struct gt_loaded loaded;
    void *plugin_state;
    struct gt_connector_class *classes; /* owned */
};

struct gt_forms {
    const struct gantry_runtime *runtime;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a form has left OPENING, or is gone */
    struct gt_form *list;
};

int gt_forms_open(const struct gantry_runtime *runtime, struct gt_forms **ret)
{
    pthread_condattr_t attributes;
    struct gt_forms *forms = calloc(1, sizeof *forms);
    if (forms == NULL)
        return GANTRY_NO_MEMORY;
    forms->runtime = runtime;
    pthread_mutex_init(&forms->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&forms->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *ret = forms;
    return 0;
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += ms % 1000 * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

bool gt_forms_close(struct gt_forms *forms, int64_t most_ms)
{
    if (forms == NULL)
        return true;
    struct timespec deadline = in_ms(most_ms);
    int waited = 0;
    pthread_mutex_lock(&forms->lock);
    while (forms->list != NULL && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&forms->changed, &forms->lock, &deadline);
    const struct gt_form *left = forms->list;
    if (left != NULL)
        gt_warn("plugin", "a plugin does not close, and is left behind path=%s after=%lldms",
                left->origin, (long long)most_ms);
    pthread_mutex_unlock(&forms->lock);
    if (left != NULL)
        return false;
    pthread_cond_destroy(&forms->changed);
    pthread_mutex_destroy(&forms->lock);
    free(forms);
    return true;
}

/* --- Closing --- */

static void free_form(struct gt_form *form)
{
    free(form->classes);
    free(form->origin);
    free(form->id);
    free(form);
}

/* Take the form out of the list, and free it. */
static void forget(struct gt_form *form)
{
    struct gt_forms *forms = form->forms;
    gt_copy_release(form->copy); /* removes files: not with the lock */
    pthread_mutex_lock(&forms->lock);
    struct gt_form **at = &forms->list;
    while (*at != form)
        at = &(*at)->next;
    *at = form->next;
    free_form(form);
    pthread_cond_broadcast(&forms->changed);
    pthread_mutex_unlock(&forms->lock); /* from here on the pool may be closed at any moment */
}

static void unload(struct gt_form *form)
{
    if (form->loaded.unload != NULL)
        form->loaded.unload(&form->loaded);
}

/* Thread: one of its own. */
static void *close_form(void *arg)
{
    struct gt_form *form = arg;
    const struct gantry_plugin *plugin = form->loaded.plugin;
    if (form->copy != NULL)
        gt_info("plugin", "closing a plugin that nothing uses any more path=%s hash=%s",
                form->origin, form->id);
    if (plugin->close != NULL)
        plugin->close(form->plugin_state);
    unload(form);
    forget(form);
    return NULL;
}

struct gt_form *gt_form_hold(struct gt_form *form)
{
    pthread_mutex_lock(&form->forms->lock);
    assert(form->refs > 0);
    form->refs++;
    pthread_mutex_unlock(&form->forms->lock);
    return form;
}

void gt_form_release(struct gt_form *form)
{
    if (form == NULL)
        return;
    struct gt_forms *forms = form->forms;
    pthread_mutex_lock(&forms->lock);
    assert(form->refs > 0);
    bool last = --form->refs == 0;
    if (last)
        form->state = CLOSING;
    pthread_mutex_unlock(&forms->lock);
    pthread_attr_t attributes;
    pthread_t thread;
    if (!last)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, close_form, form) != 0)
        (void)close_form(form); /* without a thread it has to be here */
    pthread_attr_destroy(&attributes);
}

const struct gt_connector_class *gt_class_hold(const struct gt_connector_class *klass)
{
    if (klass != NULL && klass->form != NULL)
        (void)gt_form_hold(klass->form);
    return klass;
}

void gt_class_release(const struct gt_connector_class *klass)
{
    if (klass != NULL)
        gt_form_release(klass->form);
}

/* --- Opening --- */

static struct gt_form *find(const struct gt_forms *forms, const struct gt_form_spec *spec)
{
    struct gt_form *form = forms->list;
    while (form != NULL && (form->hosted != spec->hosted || strcmp(form->id, spec->id) != 0))
        form = form->next;
    return form;
}

/* With the lock: the form, held; NULL: there is none, and none is in the way. */
static int find_open(struct gt_forms *forms, const struct gt_form_spec *spec, struct gt_form **ret,
                     struct gantry_err *err)
{
    struct timespec deadline = in_ms(CLOSE_MS);
    struct gt_form *form;
    int waited = 0;
    while ((form = find(forms, spec)) != NULL && form->state != OPEN && waited != ETIMEDOUT) {
        gt_job_bounded(spec->hosted || form->state == CLOSING); /* hosts have a time of their own */
        waited = form->state == CLOSING
                     ? pthread_cond_timedwait(&forms->changed, &forms->lock, &deadline)
                     : pthread_cond_wait(&forms->changed, &forms->lock);
    }
    gt_job_bounded(false);
    if (form != NULL && form->state != OPEN)
        return gantry_err_set(err, GANTRY_BUSY,
                              "the same plugin was in use before and has not closed yet; "
                              "reload again later");
    if (form != NULL)
        form->refs++;
    *ret = form;
    return 0;
}

static int make_classes(struct gt_form *form, struct gantry_err *err)
{
    const struct gantry_plugin *plugin = form->loaded.plugin;
    form->classes = calloc(plugin->connector_count + 1, sizeof *form->classes);
    if (form->classes == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < plugin->connector_count; i++)
        form->classes[i] =
            (struct gt_connector_class){plugin->connectors[i], plugin, form->plugin_state, form};
    return 0;
}

static int load(struct gt_form *form, const struct gt_form_spec *spec, struct gantry_err *err)
{
    struct gantry_err why = {0};
    int code = spec->loader.load(spec->loader.arg, spec->path, spec->kind, &form->loaded, &why);
    if (code != 0)
        return gantry_err_set(err, code, "%s",
                              why.text[0] != '\0' ? why.text : gantry_error_text(code));
    form->plugin_state = form->loaded.plugin_state;
    code = gt_plugin_check(form->loaded.plugin, err);
    if (code == 0 && form->loaded.plugin->open != NULL) {
        code = form->loaded.plugin->open(form->forms->runtime, &form->plugin_state, &why);
        if (code != 0)
            gantry_err_set(err, code, "%s",
                           why.text[0] != '\0' ? why.text : gantry_error_text(code));
    }
    if (code == 0) {
        code = make_classes(form, err);
        if (code != 0 && form->loaded.plugin->close != NULL)
            form->loaded.plugin->close(form->plugin_state);
    }
    if (code != 0)
        unload(form);
    return code;
}

static struct gt_form *new_form(struct gt_forms *forms, const struct gt_form_spec *spec)
{
    struct gt_form *form = calloc(1, sizeof *form);
    if (form == NULL)
        return NULL;
    form->forms = forms;
    form->refs = 1;
    form->hosted = spec->hosted;
    form->origin = strdup(spec->origin);
    form->id = strdup(spec->id);
    if (form->origin == NULL || form->id == NULL) {
        free_form(form);
        return NULL;
    }
    form->copy = spec->copy != NULL ? gt_copy_hold(spec->copy) : NULL;
    return form;
}

int gt_form_open(struct gt_forms *forms, const struct gt_form_spec *spec, struct gt_form **ret,
                 struct gantry_err *err)
{
    struct gt_form *form = NULL, *fresh = new_form(forms, spec);
    if (fresh == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "out of memory");
    pthread_mutex_lock(&forms->lock);
    int code = find_open(forms, spec, &form, err);
    if (code == 0 && form == NULL) {
        fresh->next = forms->list;
        forms->list = fresh;
    }
    pthread_mutex_unlock(&forms->lock);
    if (code != 0 || form != NULL) {
        gt_copy_release(fresh->copy);
        free_form(fresh);
        if (code == 0)
            *ret = form;
        return code;
    }
    code = load(fresh, spec, err);
    if (code != 0) {
        forget(fresh);
        return code;
    }
    pthread_mutex_lock(&forms->lock);
    fresh->state = OPEN;
    pthread_cond_broadcast(&forms->changed);
    pthread_mutex_unlock(&forms->lock);
    *ret = fresh;
    return 0;
}

/* --- Looks --- */

const struct gantry_plugin *gt_form_plugin(const struct gt_form *form)
{
    return form->loaded.plugin;
}

const struct gt_connector_class *gt_form_classes(const struct gt_form *form, size_t *ret_count)
{
    *ret_count = form->loaded.plugin->connector_count;
    return form->classes;
}

const struct gt_connector_class *gt_form_find(const struct gt_form *form, const char *class_name)
{
    for (size_t i = 0; i < form->loaded.plugin->connector_count; i++) {
        const char *const *names = form->classes[i].connector->class_names;
        for (; *names != NULL; names++) {
            if (strcmp(*names, class_name) == 0)
                return &form->classes[i];
        }
    }
    return NULL;
}
