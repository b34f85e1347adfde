/* SPDX-License-Identifier: Apache-2.0 */
/* Which program runs a plugin:
 *
 *    .so          this one: `gantry host`
 *    jars         java -jar gantry-java-host.jar
 *    NAME.plugin  what its `command` says, in the manifest's folder */
#include "host/internal.h"

#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { MANIFEST_MAX = 64 << 10, WORDS_MAX = 256 };

#define JAVA_HOST "gantry-java-host.jar"

/* --- Words --- */

static bool add_word(struct gt_host_plugin *plugin, const char *word)
{
    size_t count = 0;
    while (plugin->argv[count] != NULL)
        count++;
    if (count == WORDS_MAX || word == NULL)
        return false;
    plugin->argv[count] = gt_arena_strdup(&plugin->memory, word);
    return plugin->argv[count] != NULL;
}

static bool add_words(struct gt_host_plugin *plugin, const char *text)
{
    while (text != NULL && *text != '\0') {
        text += strspn(text, " \t");
        size_t len = strcspn(text, " \t");
        if (len == 0)
            break;
        char *word = gt_arena_copy(&plugin->memory, (struct gantry_view){text, len});
        if (!add_word(plugin, word))
            return false;
        text += len;
    }
    return true;
}

static int no_memory(struct gantry_err *err)
{
    return gantry_err_set(err, GANTRY_NO_MEMORY,
                          "no memory for a host's command, or it has more "
                          "than %d words",
                          WORDS_MAX);
}

/* --- Java --- */

static bool is_program(const char *path)
{
    return path[0] != '\0' && access(path, X_OK) == 0;
}

static bool in_home(char *out, size_t size, const char *home)
{
    if (home == NULL || *home == '\0')
        return false;
    int len = snprintf(out, size, "%s/bin/java", home);
    return len > 0 && (size_t)len < size && is_program(out);
}

static bool in_path(char *out, size_t size)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        int len = (int)strcspn(path, ":");
        int done = snprintf(out, size, "%.*s/java", len, path);
        if (len > 0 && done > 0 && (size_t)done < size && is_program(out))
            return true;
        path += len;
        path += *path == ':';
    }
    return false;
}

/* host.java.home, when it is set, is the only place. */
static bool find_java(const struct gt_hosts_settings *settings, char *out, size_t size)
{
    if (settings->java_home != NULL && *settings->java_home != '\0')
        return in_home(out, size, settings->java_home);
    return in_home(out, size, getenv("JAVA_HOME")) || in_path(out, size);
}

/* Beside the program, or where `make install` puts it. */
static bool find_jar(const struct gt_hosts_settings *settings, char *out, size_t size)
{
    static const char *const places[] = {"", "../share/gantry/", "../build-java-host/",
                                         "build-java-host/"};
    char self[4096];
    if (settings->java_jar != NULL && *settings->java_jar != '\0') {
        (void)snprintf(out, size, "%s", settings->java_jar); /* one that is cut is not there */
        return access(out, R_OK) == 0;
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return false;
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return false;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int done = snprintf(out, size, "%s%s" JAVA_HOST, self, places[i]);
        if (done > 0 && (size_t)done < size && access(out, R_OK) == 0)
            return true;
    }
    return false;
}

static const char *missing(const struct gt_hosts_settings *settings, char *out, size_t size)
{
    char path[8192];
    if (!find_java(settings, path, sizeof path)) {
        (void)snprintf(out, size, "Java 8 or later: %s%s%s",
                       settings->java_home != NULL ? "there is no bin/java in host.java.home="
                                                   : "install one, or set host.java.home or "
                                                     "JAVA_HOME",
                       settings->java_home != NULL ? settings->java_home : "", "");
        return out;
    }
    if (!find_jar(settings, path, sizeof path)) {
        (void)snprintf(out, size, "the Java host: %s%s",
                       settings->java_jar != NULL
                           ? "there is no host.java.jar="
                           : "`make java-host` in Gantry's sources builds " JAVA_HOST
                             ", `make install` then installs it; or set "
                             "host.java.jar",
                       settings->java_jar != NULL ? settings->java_jar : "");
        return out;
    }
    return NULL;
}

/* host.java.library, or the folder `lib` beside the jar. */
static const char *library_of(struct gt_host_plugin *plugin, const char *jar)
{
    const struct gt_hosts_settings *settings = &plugin->hosts->settings;
    if (settings->java_library != NULL && *settings->java_library != '\0')
        return gt_arena_strdup(&plugin->memory, settings->java_library);
    char path[8192];
    const char *slash = strrchr(jar, '/');
    int len = slash != NULL ? (int)(slash - jar) : 1;
    (void)snprintf(path, sizeof path, "%.*s/lib", len, slash != NULL ? jar : ".");
    return access(path, R_OK) == 0 ? gt_arena_strdup(&plugin->memory, path) : NULL;
}

/* What its host must read: the plugin, or all of them where all share a host. Each is a copy in a
 * folder of its own, and these are in one folder. */
static const char *plugin_files(struct gt_host_plugin *plugin)
{
    size_t len = strlen(plugin->path);
    if (strcmp(plugin->key, GT_HOST_KEY_JARS) != 0)
        return plugin->path;
    for (int up = 0; up < 2; up++) {
        while (len > 0 && plugin->path[--len] != '/') {
        }
    }
    return len > 0 ? gt_arena_copy(&plugin->memory, (struct gantry_view){plugin->path, len})
                   : plugin->path;
}

static int java_command(struct gt_host_plugin *plugin, struct gantry_err *err)
{
    const struct gt_hosts_settings *settings = &plugin->hosts->settings;
    char java[8192], jar[8192], text[300];
    const char *needs = missing(settings, text, sizeof text);
    if (needs != NULL)
        return gantry_err_set(err, GANTRY_UNSUPPORTED, "it needs %s", needs);
    (void)find_java(settings, java, sizeof java); /* it was there just now */
    (void)find_jar(settings, jar, sizeof jar);
    plugin->library = library_of(plugin, jar);
    plugin->text_out = true; /* the JVM's own warnings go there behind the host's back */
    plugin->files[0] = plugin_files(plugin);
    plugin->files[1] = gt_arena_strdup(&plugin->memory, jar);
    plugin->files[2] = plugin->library;
    bool ok = add_word(plugin, java) && add_words(plugin, settings->java_options) &&
              add_word(plugin, "-jar") && add_word(plugin, jar);
    return ok ? 0 : no_memory(err);
}

/* --- Executables --- */

static int manifest_command(struct gt_host_plugin *plugin, struct gantry_err *err)
{
    struct gt_buf text;
    struct gt_props props;
    gt_buf_init(&text, MANIFEST_MAX);
    gt_props_init(&props);
    int code = gt_file_read(plugin->path, &text, err);
    if (code == 0)
        code = gt_props_parse(&props, gt_buf_view(&text), err);
    const char *command = code == 0 ? gt_props_get(&props, "command") : NULL;
    const char *protocol = code == 0 ? gt_props_get(&props, "protocol") : NULL;
    if (code == 0 && (command == NULL || command[strspn(command, " \t")] == '\0'))
        code = gantry_err_set(err, GANTRY_INVALID,
                              "command: required; the program and its words, e.g. command=python3 "
                              "host.py");
    if (code == 0 && protocol != NULL && strcmp(protocol, "1") != 0)
        code = gantry_err_set(err, GANTRY_VERSION,
                              "protocol=%.40s: this worker speaks version %d of the host protocol",
                              protocol, GT_HOST_VERSION);
    if (code == 0 && !add_words(plugin, command))
        code = no_memory(err);
    const char *slash = strrchr(plugin->path, '/');
    size_t len = slash != NULL && slash > plugin->path ? (size_t)(slash - plugin->path) : 1;
    plugin->folder = gt_arena_copy(&plugin->memory,
                                   (struct gantry_view){slash != NULL ? plugin->path : ".", len});
    plugin->files[0] = plugin->folder;
    if (code == 0 && plugin->folder == NULL)
        code = no_memory(err);
    gt_props_deinit(&props);
    gt_buf_deinit(&text);
    return code;
}

/* --- All of them --- */

int gt_host_command(struct gt_host_plugin *plugin, struct gantry_err *err)
{
    const struct gt_hosts_settings *settings = &plugin->hosts->settings;
    plugin->argv = gt_arena_alloc(&plugin->memory, (WORDS_MAX + 1) * sizeof *plugin->argv);
    if (plugin->argv == NULL)
        return no_memory(err);
    memset(plugin->argv, 0, (WORDS_MAX + 1) * sizeof *plugin->argv);
    switch (plugin->kind) {
    case GT_PLUGIN_SO:
        plugin->files[0] = plugin->path;
        if (!add_word(plugin, settings->binary != NULL ? settings->binary : "/proc/self/exe") ||
            !add_word(plugin, "host"))
            return no_memory(err);
        return 0;
    case GT_PLUGIN_JAR:
    case GT_PLUGIN_JARS:
        return java_command(plugin, err);
    case GT_PLUGIN_EXECUTABLE:
        return manifest_command(plugin, err);
    default:
        return gantry_err_set(err, GANTRY_UNSUPPORTED, "a plugin of this kind has no host");
    }
}

char *gt_host_key(const struct gt_host_plugin *plugin, const char *connector)
{
    const char *share = plugin->hosts->settings.share;
    char *key = NULL;
    bool java = plugin->kind == GT_PLUGIN_JAR || plugin->kind == GT_PLUGIN_JARS;
    if (strcmp(share, "connector") == 0 && connector != NULL)
        return asprintf(&key, "%s\n%s", plugin->path, connector) >= 0 ? key : NULL;
    return strdup(strcmp(share, "all") == 0 && java ? GT_HOST_KEY_JARS : plugin->path);
}
