/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that the runtime itself understands, for every connector. A connector may declare one of
 * them again, with its own type or text; then its line counts, and the spellings below still lead
 * to it. */
#include "plugin/config_check.h"

#define CLASS                                                                                      \
    {                                                                                              \
        .name = "connector.class", .aliases = "connector-class", .type = GANTRY_CONFIG_STRING,     \
        .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,                                 \
        .doc = "The class name of the connector, e.g. "                                            \
               "org.apache.rocketmq.connect.file.FileSourceConnector.",                            \
    }
#define TASKS                                                                                      \
    {                                                                                              \
        .name = "tasks.max", .aliases = "max-task,max.tasks,tasks.num", .type = GANTRY_CONFIG_INT, \
        .default_value = "1", .min = 1, .max = 1024,                                               \
        .doc = "At most how many tasks the connector's work is split into.",                       \
    }
#define CONVERTER                                                                                  \
    {                                                                                              \
        .name = "source-record-converter", .type = GANTRY_CONFIG_STRING, .default_value = "",      \
        .doc = "How records become messages and back: string (also when empty), bytes, json2019, " \
               "rocketmq, or the "                                                                 \
               "class name of one.",                                                               \
    }

#define ISOLATION                                                                                  \
    {                                                                                              \
        .name = "isolation", .type = GANTRY_CONFIG_ENUM, .choices = "none,process",                \
        .doc =                                                                                     \
            "Where it runs: none: in the worker; process: in a process of its own, which cannot "  \
            "harm the worker. Without it: built-in connectors in the worker, others in a "         \
            "process (see plugin.isolation).",                                                     \
    }
#define PREFER                                                                                     \
    {                                                                                              \
        .name = "plugin.prefer", .type = GANTRY_CONFIG_ENUM, .choices = "builtin,file",            \
        .doc = "Whose class it is when a plugin file offers one of a built-in connector's name. "  \
               "Without it: as the worker's setting of that name says.",                           \
    }

static const struct gantry_config_def source_defs[] = {
    CLASS,
    TASKS,
    {
        .name = "topic",
        .aliases = "connect.topicname",
        .type = GANTRY_CONFIG_STRING,
        .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
        .doc = "The topic that records go to.",
    },
    CONVERTER,
    ISOLATION,
    PREFER,
};

static const struct gantry_config_def sink_defs[] = {
    CLASS,
    TASKS,
    {
        .name = "topicNames",
        .aliases = "connect.topicnames,topics",
        .type = GANTRY_CONFIG_LIST,
        .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,
        .doc = "The topics that records are taken from, separated by commas.",
    },
    {
        .name = "errors.deadletterqueue.topic.name",
        .type = GANTRY_CONFIG_STRING,
        .doc = "The topic for records that the connector lays aside, because it cannot take them.",
    },
    CONVERTER,
    ISOLATION,
    PREFER,
};

const struct gantry_config_def *gt_common_defs(enum gantry_kind kind, size_t *ret_count)
{
    if (kind == GANTRY_SINK) {
        *ret_count = sizeof sink_defs / sizeof sink_defs[0];
        return sink_defs;
    }
    *ret_count = sizeof source_defs / sizeof source_defs[0];
    return source_defs;
}
