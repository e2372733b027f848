/* SPDX-License-Identifier: Apache-2.0 */
/* fledge: builds bootable appliances. Its command line, signals and messages. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "config.h"
#include "fledge/command.h"

static const char about[] = "fledge - turns programs and OCI images into bootable appliances for Volant";
static const char epilogue[] = "\nExit codes: 0 done, 1 failed (the reason is on stderr; nothing was left behind), "
                               "2 misuse of the command line.\n";
static const char build_details[] =
    "Of what fledge.toml says, or of an IMAGE alone, writes NAME.cpio.zst (strategy \"initramfs\"; or .lz4,\n"
    ".gz, nothing), NAME.squashfs or NAME.ext4 (\"oci_rootfs\"), and NAME.manifest.json; needs no root. The same "
    "input\n"
    "gives the same bytes; SOURCE_DATE_EPOCH sets the time of files that come from this host (default 0).\n"
    "\n"
    "`fledge init` writes a fledge.toml with every key. An IMAGE is named as in a registry, or is a\n"
    "folder or archive: oci:FOLDER, oci-archive:FILE, docker-archive:FILE. Registries are asked with\n"
    "skopeo, with its mirrors and logins (`skopeo login`, ~/.docker/config.json). Layers and results\n"
    "are kept below ~/.cache/volant: what was built once is there at once.\n"
    "\n"
    "Examples:\n"
    "  fledge build                      # ./fledge.toml\n"
    "  fledge build -c web/fledge.toml -o /tmp/appliances\n"
    "  fledge build docker.io/library/nginx:alpine\n"
    "  fledge build --filesystem ext4 --free 512 docker-archive:app.tar\n";
static const char init_details[] = "Examples:\n"
                                   "  fledge init\n"
                                   "  fledge init --strategy initramfs\n";
static const char inspect_details[] = "Examples:\n"
                                      "  fledge inspect docker.io/library/nginx:alpine\n"
                                      "  fledge inspect --json web.manifest.json\n";

static const char validate_details[] =
    "Says what is wrong with FILE as file:line:column, and what to write instead. FILE is a fledge.toml (default: the\n"
    "one here; with version = \"1\" also the manifest.toml beside it), or a NAME.manifest.json, whose artifact is\n"
    "compared with its checksum if it lies beside it. Fetches and writes nothing.\n"
    "\n"
    "Examples:\n"
    "  fledge validate\n"
    "  fledge validate web.manifest.json\n";
static const char schema_details[] = "Examples:\n"
                                     "  fledge schema fledge\n"
                                     "  fledge schema manifest\n";

static const struct opt version_opts[] = {GLOBAL, {0}};

static int version(void *ctx, int argc, char *const *argv);

static const struct command commands[] = {
    {"build", "[IMAGE]", "Build an appliance from a fledge.toml, or from an image", build_details, build_command_opts,
     command_build},
    {"init", "", "Write a fledge.toml to begin with", init_details, init_opts, command_init},
    {"validate", "[FILE]", "Check a fledge.toml, or a manifest", validate_details, validate_opts, command_validate},
    {"inspect", "IMAGE|FILE", "Show what an image or a built manifest says", inspect_details, inspect_opts,
     command_inspect},
    {"schema", "fledge|manifest|manifest-toml", "Print a JSON Schema, for editors and other tools", schema_details,
     schema_opts, command_schema},
    {"prune", "", "Make the cache smaller", NULL, prune_opts, command_prune},
    {"version", "", "Print the version", NULL, version_opts, version},
    {0},
};

static int version(void *ctx, int argc, char *const *argv)
{
    int code = cli_parse(ctx, argc, argv, NULL);

    if (code >= 0) return code;
    (void)printf("fledge %s\n", VOLANT_VERSION);
    return EXIT_DONE;
}

static void note_signal(int signo)
{
    cli_stop = signo;
}

static void catch_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        (void)sigaction(ends[i], &action, NULL);
    action.sa_handler = SIG_IGN; /* a full disk or a closed pipe is an error to report */
    (void)sigaction(SIGXFSZ, &action, NULL);
    (void)sigaction(SIGPIPE, &action, NULL);
}

static bool is_help(const char *arg)
{
    return str_eq(arg, "--help") || str_eq(arg, "-h") || str_eq(arg, "help");
}

static int no_command(int argc, char *const *argv)
{
    const char *near;

    if (argc == 0 || is_help(argv[0])) {
        command_overview(stdout, "fledge", about, commands, global_opts, NULL);
        (void)fputs(epilogue, stdout);
        return EXIT_DONE;
    }
    near = command_near(commands, argc, argv);
    (void)fprintf(stderr, "fledge: unknown command '%s'", argv[0]);
    (void)fprintf(stderr, near ? "; did you mean '%s'?\n" : ": see `fledge --help`\n", near);
    return EXIT_MISUSE;
}

/* Options before the command, all of which are flags, are moved behind it, where its own parser finds them. */
static void rotate_flags(int argc, char **argv)
{
    for (int i = 0; i < argc && argv[0][0] == '-' && !is_help(argv[0]); i++) {
        char *first = argv[0];

        memmove(argv, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
        argv[argc - 1] = first;
    }
}

int main(int argc, char **argv)
{
    const struct command *command;
    int words = 0, code;

    if (argc > 1 && str_eq(argv[1], "--version")) argv[1] = (char *)"version";
    rotate_flags(argc - 1, argv + 1);
    if (!(command = command_find(commands, argc - 1, argv + 1, &words))) return no_command(argc - 1, argv + 1);
    catch_signals();
    code = command->run((void *)command, argc - 1 - words, argv + 1 + words);
    if (fflush(stdout) != 0 && code == EXIT_DONE) code = EXIT_FAILED;
    if (cli_stop && code != EXIT_DONE) { /* ended as who sent it expects */
        (void)signal(cli_stop, SIG_DFL);
        (void)raise(cli_stop);
    }
    return code;
}
