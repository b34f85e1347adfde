/* SPDX-License-Identifier: Apache-2.0 */
/** Configurations: what a connector accepts (the definition) and what it was given (the values).
 *
 *  The definition is a table. It alone drives validation, REST, the command line's help and the
 * documentation. A connector never sees a configuration that does not fit its table: the runtime
 * checks types and ranges, resolves aliases to the canonical name and fills in defaults before it
 * calls the connector. */
#ifndef GANTRY_CONFIG_H
#define GANTRY_CONFIG_H

#include <gantry/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum gantry_config_type {
    GANTRY_CONFIG_STRING, /* any text */
    GANTRY_CONFIG_INT,    /* whole number, range min..max */
    GANTRY_CONFIG_SIZE,   /* bytes: number with optional suffix k, m, g (1024-based), range min..max
                           */
    GANTRY_CONFIG_DURATION, /* milliseconds: number with optional suffix ms, s, m, h, range min..max
                             */
    GANTRY_CONFIG_BOOL,     /* true | false */
    GANTRY_CONFIG_ENUM,     /* one of `choices` */
    GANTRY_CONFIG_LIST,     /* texts separated by commas; blanks around them are dropped */
    GANTRY_CONFIG_PASSWORD, /* text that is never shown: logs, replies and errors print *** */
};

enum gantry_config_flag {
    GANTRY_CONFIG_REQUIRED = 1u << 0,
    GANTRY_CONFIG_NOT_EMPTY =
        1u << 1, /* an empty text is refused even when the key is not required */
};

/** One key of a definition. Static data of the plugin; the runtime never writes to it. */
struct gantry_config_def {
    const char *name;    /* canonical name */
    const char *aliases; /* other spellings, separated by commas; NULL: none */
    enum gantry_config_type type;
    uint32_t flags;            /* enum gantry_config_flag */
    const char *default_value; /* as text; NULL: absent when not given */
    int64_t min, max;          /* INT, SIZE (bytes), DURATION (ms); both 0: no limit */
    const char *choices;       /* ENUM: separated by commas */
    const char *doc;           /* one or two sentences, plain text */
};

struct gantry_config_entry {
    const char *key;   /* canonical name where the definition knows it, else as written */
    const char *value; /* never NULL. SIZE and DURATION are normalised to plain decimal bytes and
                          milliseconds */
};

/** A checked configuration. Borrowed: valid for the call, or for a task until its stop() returns.
 */
struct gantry_config {
    size_t struct_size;
    size_t count;
    const struct gantry_config_entry *entries;
};

/** The value of @p key, or NULL when it was not given and has no default. Thread: any. */
static inline const char *gantry_config_get(const struct gantry_config *config, const char *key)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->entries[i].key, key) == 0)
            return config->entries[i].value;
    }
    return NULL;
}

/** A number that the definition declares INT, SIZE or DURATION; @p fallback when absent. Thread:
 * any. */
static inline int64_t gantry_config_get_int(const struct gantry_config *config, const char *key,
                                            int64_t fallback)
{
    const char *text = gantry_config_get(config, key);
    return text != NULL && *text != '\0' ? (int64_t)strtoll(text, NULL, 10) : fallback;
}

/** A BOOL; @p fallback when absent. Thread: any. */
static inline bool gantry_config_get_bool(const struct gantry_config *config, const char *key,
                                          bool fallback)
{
    const char *text = gantry_config_get(config, key);
    return text != NULL && *text != '\0' ? strcmp(text, "true") == 0 : fallback;
}

#ifdef __cplusplus
}
#endif
#endif
