/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "link.h"
#include <stdlib.h>
#include <string.h>

#define PLACE "${topic}"

int rep_config_copy(struct rep_config *ret, const struct gantry_config *from)
{
    struct gantry_config_entry *entries = calloc(from->count + 1, sizeof *entries);
    *ret = (struct rep_config){{sizeof ret->api, 0, entries}};
    bool fine = entries != NULL;
    for (size_t i = 0; i < from->count && fine; i++) {
        entries[i].key = strdup(from->entries[i].key);
        entries[i].value = strdup(from->entries[i].value);
        fine = entries[i].key != NULL && entries[i].value != NULL;
        ret->api.count++;
    }
    if (!fine)
        rep_config_deinit(ret);
    return fine ? 0 : GANTRY_NO_MEMORY;
}

void rep_config_deinit(struct rep_config *config)
{
    for (size_t i = 0; i < config->api.count; i++) {
        char *value = (char *)(uintptr_t)config->api.entries[i].value;
        if (value != NULL)
            explicit_bzero(value, strlen(value)); /* passwords among them */
        free(value);
        free((char *)(uintptr_t)config->api.entries[i].key);
    }
    free((void *)(uintptr_t)config->api.entries);
    *config = (struct rep_config){{0}};
}

static const char *get(const struct gantry_config *config, const char *key)
{
    const char *text = gantry_config_get(config, key);
    return text != NULL && *text != '\0' ? text : NULL;
}

static const char *get_at(const struct gantry_config *config, const char *side, const char *key)
{
    char name[80];
    (void)snprintf(name, sizeof name, "%s.%s", side, key);
    return get(config, name);
}

static bool is_true(const char *text)
{
    return text != NULL && strcmp(text, "true") == 0;
}

static void read_endpoint(struct rep_endpoint *ret, const char *side,
                          const struct gantry_config *config)
{
    ret->tls = is_true(get_at(config, side, "tls.enable"));
    ret->ca_file = get_at(config, side, "tls.client.trustCertPath");
    ret->cert_file = get_at(config, side, "tls.client.certPath");
    ret->key_file = get_at(config, side, "tls.client.keyPath");
    ret->key_password = get_at(config, side, "tls.client.keyPassword");
    ret->verify = is_true(get_at(config, side, "tls.client.authServer"));
    ret->verify_host = is_true(get_at(config, side, "tls.client.verifyHost"));
    ret->access_key = get_at(config, side, "accessKey");
    ret->secret_key = get_at(config, side, "secretKey");
}

static const char *setting(const struct gantry_runtime *runtime, const char *name)
{
    const char *text = runtime->setting(runtime, name);
    return text != NULL && *text != '\0' ? text : NULL;
}

/* The worker's own way to its brokers is the target's, as far as the configuration does not say
 * otherwise. Its secrets it tells nobody: accessKey and secretKey have to be given. */
static void read_target(struct rep_settings *ret, const struct gantry_runtime *runtime,
                        const struct gantry_config *config)
{
    struct rep_endpoint *target = &ret->target;
    const char *worker = setting(runtime, "namesrvAddr");
    ret->embedded = worker == NULL;
    read_endpoint(target, "target", config);
    target->key = "target-rocketmq";
    target->name_servers = get(config, "target-rocketmq");
    if (target->name_servers == NULL)
        target->name_servers = worker;
    if (get_at(config, "target", "tls.enable") != NULL || worker == NULL ||
        target->name_servers == NULL || strcmp(target->name_servers, worker) != 0)
        return;
    target->tls = is_true(setting(runtime, "tls.enable"));
    target->ca_file = setting(runtime, "tls.client.trustCertPath");
    target->cert_file = setting(runtime, "tls.client.certPath");
    target->key_file = setting(runtime, "tls.client.keyPath");
    target->verify = is_true(setting(runtime, "tls.client.authServer"));
    target->verify_host = is_true(setting(runtime, "tls.client.verifyHost"));
}

void rep_settings_read(struct rep_settings *ret, const struct gantry_runtime *runtime,
                       const struct gantry_config *config)
{
    const char *division = get(config, "task-divide-strategy");
    *ret = (struct rep_settings){
        .source_cluster = get(config, "source-cluster"),
        .target_cluster = get(config, "target-cluster"),
        .rename = get(config, "topic.rename.format"),
        .topic = get(config, "topic"),
        .group = get(config, "source-group"),
        .refresh_ms = gantry_config_get_int(config, "refresh.interval", 3) * 1000,
        .buffer_bytes = (size_t)gantry_config_get_int(config, "buffer.bytes", 8 << 20),
        .by_topic = division != NULL && (*division == '0' || *division == 't'),
        .origin = gantry_config_get_bool(config, "origin.header", true),
        .start = get(config, "source.start"),
        .start_ms = gantry_config_get_int(config, "source.start.ms", -1),
    };
    read_endpoint(&ret->source, "source", config);
    ret->source.key = "source-rocketmq";
    ret->source.name_servers = get(config, "source-rocketmq");
    read_target(ret, runtime, config);
    ret->source.refresh_ms = ret->target.refresh_ms = ret->refresh_ms;
}

char *rep_endpoint_identity(const struct rep_endpoint *endpoint)
{
    char *text = NULL;
#define OR(member) (endpoint->member != NULL ? endpoint->member : "")
    if (asprintf(&text, "%s\n%d%d%d\n%s\n%s\n%s\n%s\n%s\n%s\n%lld", OR(name_servers), endpoint->tls,
                 endpoint->verify, endpoint->verify_host, OR(ca_file), OR(cert_file), OR(key_file),
                 OR(key_password), OR(access_key), OR(secret_key),
                 (long long)endpoint->refresh_ms) < 0)
        return NULL;
#undef OR
    return text;
}

/* --- Checks --- */

static void check_endpoint(const struct rep_endpoint *endpoint, const char *side,
                           struct gantry_findings *findings)
{
    struct gantry_err err = {0};
    char text[200], key[40];
    if ((endpoint->access_key == NULL) != (endpoint->secret_key == NULL)) {
        const char *missing = endpoint->access_key == NULL ? "accessKey" : "secretKey";
        (void)snprintf(key, sizeof key, "%s.%s", side, missing);
        (void)snprintf(text, sizeof text, "%s: missing; %s.accessKey and %s.secretKey go together",
                       key, side, side);
        findings->add(findings, key, text);
        return;
    }
    if (endpoint->verify && endpoint->ca_file == NULL) {
        (void)snprintf(key, sizeof key, "%s.tls.client.trustCertPath", side);
        (void)snprintf(text, sizeof text,
                       "%s: missing; %s.tls.client.authServer=true needs the certificates to trust",
                       key, side);
        findings->add(findings, key, text);
        return;
    }
    if (endpoint->name_servers != NULL && rep_endpoint_check(endpoint, &err) != 0)
        findings->add(findings, endpoint->key, err.text);
}

static void check_rename(const struct rep_settings *settings, struct gantry_findings *findings)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%|_-";
    char text[300];
    if (settings->rename == NULL)
        return;
    const char *place = strstr(settings->rename, PLACE);
    if (place == NULL) {
        (void)snprintf(text, sizeof text,
                       "topic.rename.format: '%.100s' has no " PLACE
                       ", so that all topics would get one name; to copy all into one topic set "
                       "topic",
                       settings->rename);
        findings->add(findings, "topic.rename.format", text);
        return;
    }
    size_t before = (size_t)(place - settings->rename);
    const char *behind = place + sizeof PLACE - 1;
    if (strspn(settings->rename, allowed) < before || strspn(behind, allowed) != strlen(behind)) {
        (void)snprintf(text, sizeof text,
                       "topic.rename.format: '%.100s' makes names that topics cannot have; use "
                       "letters a-z A-Z, digits, %% | _ - around one " PLACE,
                       settings->rename);
        findings->add(findings, "topic.rename.format", text);
    }
}

void rep_settings_check(const struct rep_settings *settings, struct gantry_findings *findings)
{
    check_endpoint(&settings->source, "source", findings);
    check_endpoint(&settings->target, "target", findings);
    check_rename(settings, findings);
}

/* --- Names --- */

char *rep_renamed(const struct rep_settings *settings, const char *topic)
{
    char *name = NULL;
    const char *place = settings->rename != NULL ? strstr(settings->rename, PLACE) : NULL;
    if (place == NULL)
        return strdup(topic);
    if (asprintf(&name, "%.*s%s%s", (int)(place - settings->rename), settings->rename, topic,
                 place + sizeof PLACE - 1) < 0)
        return NULL;
    return name;
}

char *rep_renamed_from(const struct rep_settings *settings, const char *topic)
{
    const char *place = settings->rename != NULL ? strstr(settings->rename, PLACE) : NULL;
    if (place == NULL)
        return NULL;
    size_t before = (size_t)(place - settings->rename), len = strlen(topic);
    const char *behind = place + sizeof PLACE - 1;
    size_t after = strlen(behind);
    if (len <= before + after || strncmp(topic, settings->rename, before) != 0 ||
        strcmp(topic + len - after, behind) != 0)
        return NULL;
    return strndup(topic + before, len - before - after);
}
