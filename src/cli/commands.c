/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands, and what is said about them. */
#include "cli/cli.h"

#include "host/native.h"
#include "host/process.h"
#include "worker/settings.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define STORE_HELP                                                                                 \
    "  --store DIR  the store (default: storePathRootDir of -c FILE, else "                        \
    "${HOME}/connectorStore)\n"                                                                    \
    "  -c FILE      a worker's properties file\n"
#define PLUGIN_HELP                                                                                \
    "  -c FILE      a worker's properties file, with its pluginPaths\n"                            \
    "  --plugin-paths PATHS  folders and files with plugins, separated by commas, instead\n"

static int run_host(const struct gt_command *command, int argc, char **argv);
static int run_host_exec(const struct gt_command *command, int argc, char **argv);
static int run_version(const struct gt_command *command, int argc, char **argv);
static int run_help(const struct gt_command *command, int argc, char **argv);

static const struct gt_command commands[] = {
    {"worker", "[-c FILE] [KEY=VALUE | --KEY VALUE] ...", "run a worker until SIGTERM or SIGINT",
     "  -c FILE      a properties file; without it the defaults hold\n"
     "  KEY=VALUE    a setting; wins over the file\n\n",
     gt_command_worker, gt_settings_print},
    {"run",
     "[--in FILE] [--out FILE] [--namesrv HOST:PORT] [--exit] [--quiet] [--stats-json FILE] "
     "[KEY=VALUE] ...",
     "move a file through a topic into another file, and follow it",
     "Starts a worker, creates a file source and a file sink through its REST API, and shows how "
     "they get on.\n"
     "  --in FILE          what to read (default: the sample access.log)\n"
     "  --out FILE         what to write (default: gantry-data/out.log)\n"
     "  --namesrv HOST:PORT  keep the topic in that RocketMQ (default: in the embedded log)\n"
     "  --exit             end when everything has arrived (default: follow IN until Ctrl-C)\n"
     "  --quiet            say nothing but errors\n"
     "  --stats-json FILE  write what was measured\n"
     "  KEY=VALUE          a setting of the worker, see `gantry help worker`; here "
     "storePathRootDir is\n"
     "                     gantry-data/store and log.level is warn by default\n",
     gt_command_run, NULL},
    {"topic ls", "[--store DIR]", "topics, their messages, and how far their sinks are", STORE_HELP,
     gt_command_topic_ls, NULL},
    {"topic cat",
     "TOPIC [--queue N] [--from OFFSET] [--count N] [--format text|json] [--store DIR]",
     "print messages",
     "  --queue N     one queue (default: all, one after the other)\n"
     "  --from OFFSET the first one (default: the oldest)\n"
     "  --count N     at most so many\n"
     "  --format      text: the bodies, a line each; json: one object a line\n" STORE_HELP,
     gt_command_topic_cat, NULL},
    {"topic tail",
     "TOPIC [--queue N] [--from OFFSET] [--count N] [--format text|json] [--store DIR]",
     "print the last messages, and those that come, until Ctrl-C",
     "  --queue N     the queue (default: 0)\n"
     "  --from OFFSET begin there\n"
     "  --count N     begin with the last so many (default: 10)\n"
     "  --format      text: the bodies, a line each; json: one object a line\n" STORE_HELP,
     gt_command_topic_tail, NULL},
    {"topic describe", "TOPIC [--store DIR]", "queues, segments, sinks and damage of a topic",
     STORE_HELP, gt_command_topic_describe, NULL},
    {"topic repair", "TOPIC [--settle] [--store DIR]", "check each batch of a topic; settle damage",
     "No worker may run on the store. Without --settle nothing is changed.\n"
     "  --settle     give damaged messages up: their offsets become a gap, and the topic works "
     "again\n" STORE_HELP,
     gt_command_topic_repair, NULL},
    {"connector reset", "NAME [--store DIR | --namesrv HOST:PORT] [-c FILE] [KEY=VALUE] ...",
     "forget the positions and progress of a connector",
     "The connector begins anew when it is created or started next. Without a broker no worker may "
     "run on\nthe store; with one no worker may run the connector: stop it first.\n"
     "  --namesrv    the name servers of workers that keep their topics in RocketMQ\n"
     "  KEY=VALUE    settings of theirs: connectClusterId, access control, TLS\n" STORE_HELP,
     gt_command_connector_reset, NULL},
    {"connector classes", "[-c FILE] [--plugin-paths PATHS]", "the connectors that there are",
     PLUGIN_HELP, gt_command_connector_classes, NULL},
    {"connector describe", "CLASS [-c FILE] [--plugin-paths PATHS]",
     "the configuration of a connector", PLUGIN_HELP, gt_command_connector_describe, NULL},
    {"plugin list", "[--store DIR] [-c FILE] [--plugin-paths PATHS]",
     "the plugins, and why a file is none",
     "Those of the worker that runs with the store. When none runs, or --plugin-paths is given: "
     "those that\none would have.\n" PLUGIN_HELP
     "  --store DIR  the store (default: storePathRootDir of -c FILE, else "
     "${HOME}/connectorStore)\n",
     gt_command_plugin_list, NULL},
    {"plugin check", "PATH", "whether a .so can be opened, without opening its plugin",
     "What the worker has done by a process of its own before it opens a library.\n",
     gt_command_plugin_check, NULL},
    {"plugin describe", "NAME | PATH [-c FILE] [--plugin-paths PATHS]",
     "a plugin's connectors and their keys",
     "NAME is a plugin's name, PATH a plugin file.\n" PLUGIN_HELP, gt_command_plugin_describe,
     NULL},
    {"host", "", "run .so plugins for a worker, which starts this by itself",
     "Speaks the host protocol on standard input and output: docs/formats/host-protocol.md.\n",
     run_host, NULL},
    {"host-exec", "[OPTION=VALUE] ... -- COMMAND ...", NULL, "", run_host_exec, NULL},
    {"version", "", "print the version", "", run_version, NULL},
    {"help", "[COMMAND] [--markdown]", "this list, or more about one command",
     "  --markdown   print docs/configuration.md\n", run_help, NULL},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_list(FILE *out)
{
    fprintf(out,
            "Gantry %s: moves records between systems and topics.\n\n"
            "usage: gantry COMMAND ...\n\n",
            GT_VERSION);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].summary != NULL) /* others are the worker's own */
            fprintf(out, "  %-20s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\n`gantry help COMMAND` or `gantry COMMAND --help` says more.\n");
}

static void print_help(FILE *out, const struct gt_command *command)
{
    fprintf(out, "usage: gantry %s %s\n\n%s.\n%s%s", command->name, command->usage,
            command->summary != NULL ? command->summary : "for the worker's own use",
            *command->help != '\0' ? "\n" : "", command->help);
    if (command->more_help != NULL)
        command->more_help(out);
}

int gt_usage_error(const struct gt_command *command, const char *problem)
{
    fprintf(stderr, "gantry %s: %s; see: gantry help %s\n", command->name, problem, command->name);
    return GT_EXIT_USAGE;
}

int gt_command_failed(const struct gt_command *command, const struct gantry_err *err)
{
    fprintf(stderr, "gantry %s: %s\n", command->name, err->text);
    return err->code == GANTRY_INVALID ? GT_EXIT_USAGE : GT_EXIT_FAILED;
}

/* The command that the words name; *ret_words of them belong to its name. */
static const struct gt_command *find_command(int argc, char **argv, int *ret_words)
{
    char pair[64];
    for (int words = 1; words <= 2 && words <= argc; words++) {
        (void)snprintf(pair, sizeof pair, "%s%s%s", argv[0], words == 2 ? " " : "",
                       words == 2 ? argv[1] : ""); /* a cut one matches nothing */
        for (size_t i = 0; i < COMMANDS; i++) {
            if (strcmp(commands[i].name, pair) == 0) {
                *ret_words = words;
                return &commands[i];
            }
        }
    }
    return NULL;
}

/* Whether some command begins with this word and has a second one. */
static bool is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strncmp(commands[i].name, word, len) == 0 && commands[i].name[len] == ' ')
            return true;
    }
    return false;
}

static void print_group(FILE *out, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strncmp(commands[i].name, word, len) == 0 && commands[i].name[len] == ' ')
            fprintf(out, "  gantry %s %s\n      %s\n", commands[i].name, commands[i].usage,
                    commands[i].summary);
    }
}

static int unknown_command(int argc, char **argv)
{
    const char *names[COMMANDS];
    char given[128];
    bool group = is_group(argv[0]);

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    if (group && argc == 1) {
        fprintf(stderr, "gantry %s: say what to do:\n", argv[0]);
        print_group(stderr, argv[0]);
        return GT_EXIT_USAGE;
    }
    (void)snprintf(given, sizeof given, "%s%s%s", argv[0], argc > 1 && argv[1][0] != '-' ? " " : "",
                   argc > 1 && argv[1][0] != '-' ? argv[1] : ""); /* for a message: may be cut */
    const char *nearest = gt_nearest(given, names, COMMANDS);
    if (nearest == NULL)
        nearest = gt_nearest(argv[0], names, COMMANDS);
    if (nearest != NULL)
        fprintf(stderr, "gantry: there is no command '%s'; did you mean '%s'?\n",
                group ? given : argv[0], nearest);
    else
        fprintf(stderr, "gantry: there is no command '%s'; `gantry help` lists them\n",
                group ? given : argv[0]);
    return GT_EXIT_USAGE;
}

static int run_host(const struct gt_command *command, int argc, char **argv)
{
    (void)command;
    return gt_native_main(argc, argv);
}

static int run_host_exec(const struct gt_command *command, int argc, char **argv)
{
    (void)command;
    return gt_process_exec(argc, argv);
}

static int run_version(const struct gt_command *command, int argc, char **argv)
{
    (void)argv;
    if (argc > 0)
        return gt_usage_error(command, "takes no arguments");
    printf("gantry %s\n", GT_VERSION);
    return GT_EXIT_OK;
}

static int run_help(const struct gt_command *command, int argc, char **argv)
{
    int words;
    (void)command;
    if (argc == 0) {
        print_list(stdout);
        return GT_EXIT_OK;
    }
    if (argc == 1 && strcmp(argv[0], "--markdown") == 0) {
        gt_settings_print_markdown(stdout);
        return GT_EXIT_OK;
    }
    const struct gt_command *about = find_command(argc, argv, &words);
    if (about != NULL) {
        print_help(stdout, about);
        return GT_EXIT_OK;
    }
    if (argc == 1 && is_group(argv[0])) {
        print_group(stdout, argv[0]);
        return GT_EXIT_OK;
    }
    return unknown_command(argc, argv);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch(int argc, char **argv)
{
    int words = 0;
    if (argc == 0) {
        print_list(stderr);
        return GT_EXIT_USAGE;
    }
    if (is_help(argv[0]))
        return run_help(NULL, 0, NULL);
    if (strcmp(argv[0], "--version") == 0)
        argv[0] += 2; /* the word alone */
    if (argc == 2 && is_group(argv[0]) && is_help(argv[1]))
        return run_help(NULL, 1, argv);
    const struct gt_command *command = find_command(argc, argv, &words);
    if (command == NULL)
        return unknown_command(argc, argv);
    for (int i = words; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help(argv[i])) {
            print_help(stdout, command);
            return GT_EXIT_OK;
        }
    }
    return command->run(command, argc - words, argv + words);
}

int gt_cli_main(int argc, char **argv)
{
    /* A reader that goes away (`| head`) shows as EPIPE where it is written, and is no failure. */
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for a valid signal */
    int status = dispatch(argc - 1, argv + 1);
    if (fflush(stdout) != 0 && errno != EPIPE && status == GT_EXIT_OK) {
        fprintf(stderr, "gantry: cannot write the output: %s\n", strerrordesc_np(errno));
        status = GT_EXIT_FAILED;
    }
    return status;
}
