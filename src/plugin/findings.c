/* SPDX-License-Identifier: Apache-2.0 */
/* Findings: what a check has to tell, collected so that a user sees all of it at once. */
#include "plugin/config_check.h"

#include <stdlib.h>

enum { FROM_CONNECTOR_MAX = 1000 }; /* more than anybody reads; and a plugin may be in a loop */

/* A connector's text may be that of a failed call, which does not know the key. */
static void add_from_connector(struct gantry_findings *api, const char *key, const char *text)
{
    struct gt_findings *findings =
        (struct gt_findings *)(void *)api; /* `api` is the first member */
    char named[sizeof((struct gantry_err *)NULL)->text];
    size_t len = key != NULL ? strlen(key) : 0;

    if (findings->count >= FROM_CONNECTOR_MAX)
        return;
    if (text == NULL)
        text = "is wrong";
    if (len > 0 && (strncmp(text, key, len) != 0 || text[len] != ':')) {
        (void)snprintf(named, sizeof named, "%s: %s", key, text); /* a cut text is still a text */
        text = named;
    }
    gt_findings_add(findings, key != NULL ? key : "", false, false, text);
}

void gt_findings_init(struct gt_findings *findings)
{
    *findings = (struct gt_findings){
        .api = {.struct_size = sizeof findings->api, .add = add_from_connector}};
}

void gt_findings_deinit(struct gt_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].key);
        free(findings->items[i].text);
    }
    free(findings->items);
    gt_findings_init(findings);
}

void gt_findings_add(struct gt_findings *findings, const char *key, bool missing, bool warning,
                     const char *text)
{
    if (findings->count == findings->cap) {
        size_t cap = findings->cap == 0 ? 8 : findings->cap * 2;
        struct gt_finding *items = reallocarray(findings->items, cap, sizeof *items);
        if (items == NULL) {
            findings->no_memory = true;
            return;
        }
        findings->items = items;
        findings->cap = cap;
    }
    struct gt_finding finding = {strdup(key), strdup(text), missing, warning};
    if (finding.key == NULL || finding.text == NULL) {
        free(finding.key);
        free(finding.text);
        findings->no_memory = true;
        return;
    }
    findings->items[findings->count++] = finding;
}

size_t gt_findings_errors(const struct gt_findings *findings)
{
    size_t errors = 0;
    for (size_t i = 0; i < findings->count; i++)
        errors += !findings->items[i].warning;
    return errors;
}

void gt_findings_to_err(const struct gt_findings *findings, struct gantry_err *err)
{
    size_t len = 0;

    if (err == NULL)
        return;
    if (findings->no_memory) {
        (void)gantry_err_set(err, GANTRY_NO_MEMORY,
                             "cannot check the configuration: out of memory");
        return;
    }
    err->code = GANTRY_INVALID;
    err->text[0] = '\0';
    for (size_t i = 0; i < findings->count && len < sizeof err->text; i++) {
        if (findings->items[i].warning)
            continue;
        int added = snprintf(err->text + len, sizeof err->text - len, "%s%s", len > 0 ? "; " : "",
                             findings->items[i].text);
        len += added > 0 ? (size_t)added : 0; /* a cut text is still a text */
    }
}
