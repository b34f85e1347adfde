/* SPDX-License-Identifier: Apache-2.0 */
/* What a connector may be called. A name is one segment of a URL, a key of the store and a word in
 * log lines, so it must be readable in all three. */
#include "worker/service.h"

#include "base/view.h"

#include <string.h>

enum { NAME_MAX_BYTES = 255 };

/* C0, DEL, and C1 (U+0080 to U+009F, two bytes in UTF-8). */
static bool has_control_character(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
            return true;
    }
    return false;
}

int gt_connector_name_check(const char *name, struct gantry_err *err)
{
    size_t len = strlen(name);

    if (len == 0)
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name: empty; give it at least one character");
    if (len > NAME_MAX_BYTES)
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name '%.40s...': %zu bytes long; at most %d are allowed",
                              gt_utf8_valid(gantry_view_of(name)) ? name : "", len, NAME_MAX_BYTES);
    if (!gt_utf8_valid(gantry_view_of(name)))
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name: its bytes are not UTF-8; encode it as UTF-8");
    if (has_control_character(name))
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name: has a control character; leave it out");
    if (strchr(name, '/') != NULL)
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name '%s': has a '/'; use another character", name);
    if (strcmp(name, "stopAll") == 0)
        return gantry_err_set(err, GANTRY_INVALID,
                              "connector name 'stopAll': is a command; choose another name");
    return 0;
}
