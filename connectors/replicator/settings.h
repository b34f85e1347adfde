/* SPDX-License-Identifier: Apache-2.0 */
/** A connector's configuration as the tasks use it, and the tables' lines that its kinds share. */
#ifndef REP_SETTINGS_H
#define REP_SETTINGS_H

#include "pattern.h"
#include <gantry/connector.h>

/** A copy of a configuration, for a half that outlives the task. */
struct rep_config {
    struct gantry_config api;
};

/** 0 or GANTRY_NO_MEMORY. */
int rep_config_copy(struct rep_config *ret, const struct gantry_config *from);
void rep_config_deinit(struct rep_config *config);

/** How a RocketMQ cluster is reached. Texts are the configuration's, or the worker's. */
struct rep_endpoint {
    const char *key;          /* that gave it: begins the texts of errors */
    const char *name_servers; /* NULL: there is none */
    bool tls, verify, verify_host;
    const char *ca_file, *cert_file, *key_file, *key_password;
    const char *access_key, *secret_key; /* NULL: none */
    int64_t refresh_ms;                  /* how often routes are looked at */
};

/** Two that give the same text are the same; with secrets. To be freed; NULL without memory. */
char *rep_endpoint_identity(const struct rep_endpoint *endpoint);

struct rep_settings {
    struct rep_endpoint source, target;
    const char *source_cluster, *target_cluster; /* NULL: any */
    const char *rename;                          /* with ${topic}; NULL: the same name */
    const char *topic;                           /* where all goes; NULL: by name */
    const char *group;                           /* that reads */
    int64_t refresh_ms;
    size_t buffer_bytes;
    bool by_topic; /* how queues are divided among tasks */
    bool origin;   /* mark copies */
    bool embedded; /* the worker keeps topics in its own log: messages go to no cluster */
    const char *start;
    int64_t start_ms;
};

/** Texts are borrowed from @p config and @p runtime. */
void rep_settings_read(struct rep_settings *ret, const struct gantry_runtime *runtime,
                       const struct gantry_config *config);
/** What the table cannot check. Thread: any; may block. */
void rep_settings_check(const struct rep_settings *settings, struct gantry_findings *findings);
/** The name that a topic's copy has; to be freed. NULL without memory. */
char *rep_renamed(const struct rep_settings *settings, const char *topic);
/** The name whose copy would be called so, or NULL when none would, or without memory. */
char *rep_renamed_from(const struct rep_settings *settings, const char *topic);

#define REP_TLS_DEFS(side, cluster)                                                                \
    {.name = side ".tls.enable",                                                                   \
     .type = GANTRY_CONFIG_BOOL,                                                                   \
     .default_value = NULL,                                                                        \
     .doc = "Speak TLS with the " cluster " cluster."},                                            \
        {.name = side ".tls.client.trustCertPath",                                                 \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .doc = "Certificates to trust, PEM. With " side ".tls.client.authServer=true."},          \
        {.name = side ".tls.client.certPath",                                                      \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .doc = "Own certificate, PEM."},                                                          \
        {.name = side ".tls.client.keyPath",                                                       \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .doc = "Its key, PEM."},                                                                  \
        {.name = side ".tls.client.keyPassword",                                                   \
         .type = GANTRY_CONFIG_PASSWORD,                                                           \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .doc = "The key's password."},                                                            \
        {.name = side ".tls.client.authServer",                                                    \
         .type = GANTRY_CONFIG_BOOL,                                                               \
         .doc = "Refuse servers whose certificate is not trusted."},                               \
        {.name = side ".tls.client.verifyHost",                                                    \
         .type = GANTRY_CONFIG_BOOL,                                                               \
         .doc = "Refuse servers whose certificate does not name the host."},                       \
        {.name = side ".accessKey",                                                                \
         .type = GANTRY_CONFIG_PASSWORD,                                                           \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .doc = "The user's name for the access control of the " cluster " cluster."},             \
    {                                                                                              \
        .name = side ".secretKey", .type = GANTRY_CONFIG_PASSWORD,                                 \
        .flags = GANTRY_CONFIG_NOT_EMPTY, .doc = "The user's password."                            \
    }

#define REP_COMMON_DEFS                                                                            \
    {.name = "source-rocketmq",                                                                    \
     .type = GANTRY_CONFIG_STRING,                                                                 \
     .flags = GANTRY_CONFIG_REQUIRED | GANTRY_CONFIG_NOT_EMPTY,                                    \
     .doc = "Name servers of the cluster that is copied from: host:port;host:port."},              \
        {.name = "source-cluster",                                                                 \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .doc = "Only the brokers of this cluster. Without it: all that the name servers know."},  \
        {.name = "target-cluster",                                                                 \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .doc = "The cluster in which topics and groups are made. Without it: all that the name "  \
                "servers know."},                                                                  \
        {.name = "topic.rename.format",                                                            \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .doc = "The name of a topic's copy; ${topic} stands for the topic's, as in "              \
                "copy-${topic}."},                                                                 \
        {.name = "refresh.interval",                                                               \
         .type = GANTRY_CONFIG_INT,                                                                \
         .default_value = "3",                                                                     \
         .min = 1,                                                                                 \
         .max = 86400,                                                                             \
         .doc = "Seconds between two looks for what is new at the source."},                       \
        {.name = "tasks.max",                                                                      \
         .aliases = "task-parallelism",                                                            \
         .type = GANTRY_CONFIG_INT,                                                                \
         .default_value = "1",                                                                     \
         .min = 1,                                                                                 \
         .max = 1024,                                                                              \
         .doc = "How many tasks share the work."},                                                 \
        {.name = "source-group",                                                                   \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .flags = GANTRY_CONFIG_NOT_EMPTY,                                                         \
         .default_value = "gantry-replicator",                                                     \
         .doc = "The consumer group under which the source is read. Where brokers do not make "    \
                "groups by themselves it must exist."},                                            \
        {.name = "replicator-store-topic",                                                         \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .doc = "Without effect, as in the Java replicator: each record names its topic."},        \
        {.name = "data-type",                                                                      \
         .type = GANTRY_CONFIG_STRING,                                                             \
         .doc = "Without effect, as in the Java replicator."},                                     \
        REP_TLS_DEFS("source", "source"), REP_TLS_DEFS("target", "target")

#endif
