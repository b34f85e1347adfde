/* SPDX-License-Identifier: Apache-2.0 */
/** The worker's settings: the properties file of 2019, later keys of our own, and command-line
 * options above both.
 *
 *  One table (settings.c) has every key with type, default, range, text; the parser, the checks,
 * `gantry worker --help` and docs/configuration.md come from it. */
#ifndef GT_WORKER_SETTINGS_H
#define GT_WORKER_SETTINGS_H

#include "base/map.h"
#include "host/settings.h"
#include "plugin/config_check.h"

/** All settings, typed. Texts are owned by the struct. */
struct gt_settings {
    struct gt_props given;     /* what file and options gave, for plugins' setting(): numbers are
                                  plain bytes and milliseconds, secrets are left out */
    struct gt_props texts;     /* what the texts below point to */
    const char *worker_id;     /* workerId; NULL: the default name ADDRESS@PID */
    const char *rest_address;  /* rest.address, 127.0.0.1 */
    int rest_port;             /* httpPort, 8081 */
    const char *rest_dialect;  /* rest.dialect, manual */
    const char *rest_token;    /* rest.token (password) or content of rest.token.file; NULL: none */
    bool rest_insecure;        /* rest.insecure */
    const char *rest_hosts;    /* rest.allowed.hosts */
    const char *store;         /* storePathRootDir, ${HOME}/connectorStore */
    const char *plugin_paths;  /* pluginPaths */
    const char *plugin_prefer; /* plugin.prefer: builtin | file */
    const char *plugin_isolation; /* plugin.isolation: process | none */
    const char *log_level;        /* log.level */
    int executors;                /* executor.threads, 0 = cores */
    int64_t shutdown_ms;          /* shutdown.timeout.ms, 10000 */
    int64_t disk_reserve;         /* disk.reserve, 256m */
    int64_t segment_bytes;        /* log.segment.bytes, 128m; 64k..2g */
    const char *compression;      /* log.compression: none | lz4 | zstd */
    int64_t retention_ms;         /* log.retention.ms, 0 = keep by size only */
    int64_t retention_bytes;      /* log.retention.bytes, 0 = unlimited */
    bool
        retention_force; /* log.retention.unread: true = delete what a sink has not read yet, too */
    int64_t
        commit_bytes; /* log.commit.bytes: uncommitted bytes per queue before sources wait, 64m */
    int64_t sink_commit_ms; /* offsetPersistInterval analog, see settings.c */
    int64_t sink_commit_bytes;
    int64_t restart_backoff_ms;     /* task.restart.backoff.ms, 1000, doubles to ... */
    int64_t restart_backoff_max_ms; /* task.restart.backoff.max.ms, 60000 */
    int64_t restart_max;            /* task.restart.max, -1 = for ever */
    int64_t call_timeout_ms;        /* task.call.timeout.ms */

    struct gt_hosts_settings hosts; /* host.*; the worker fills in what is not a setting */

    const char *name_servers;      /* namesrvAddr; NULL: the embedded log */
    const char *cluster;           /* connectClusterId */
    const char *strategy;          /* allocTaskStrategy */
    int64_t lease_ms;              /* lease.ms */
    const char *lease_unreachable; /* lease.unreachable: continue | stop */
    int topic_queues;              /* topic.queues */
    bool create_topics, create_groups;
    const char *consumer_group, *producer_group; /* rmqConsumerGroup, rmqProducerGroup */
    bool acl;
    const char *access_key, *secret_key;
    bool tls, tls_verify, tls_verify_host;
    const char *tls_ca, *tls_cert, *tls_key, *tls_key_password;
};

/** Read a properties file (NULL: none) and apply options (KEY=VALUE pairs; win over the file).
 * Unknown keys are warnings with the nearest name, wrong values errors; all are collected. 0;
 * GANTRY_INVALID: see @p findings; GANTRY_NOT_FOUND or other errors for the file itself. */
int gt_settings_load(const char *file, const struct gt_props *options, struct gt_settings *ret,
                     struct gt_findings *findings, struct gantry_err *err);
void gt_settings_deinit(struct gt_settings *settings);
/** Whether the table has the key, and the key that it may have meant (NULL: none is near). Thread:
 * any. */
bool gt_setting_known(const char *name);
const char *gt_setting_nearest(const char *name);
/** Print the table: key, default, text. For --help. */
void gt_settings_print(FILE *out);
/** The same as the Markdown of docs/configuration.md. */
void gt_settings_print_markdown(FILE *out);

#endif
