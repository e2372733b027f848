/* SPDX-License-Identifier: Apache-2.0 */
/* fledge: builds bootable appliances. Its command line, signals and messages. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/opt.h"
#include "base/str.h"
#include "config.h"
#include "fledge/build.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSE = 2 };

static const char about[] = "fledge - turns programs into bootable appliances for Volant";
static const char epilogue[] = "\nExit codes: 0 built, 1 failed (the reason is on stderr; nothing was left behind), "
                               "2 misuse of the command line.\n";
static const char build_details[] =
    "Writes NAME.cpio.zst and NAME.manifest.json; needs no root. The same input gives the same bytes;\n"
    "SOURCE_DATE_EPOCH sets the time of all files (default 0). A fledge.toml with every key:\n"
    "\n"
    "  [plugin]\n"
    "  name = \"web\"                      # also of the files that are written\n"
    "  version = \"1.0.0\"\n"
    "  strategy = \"initramfs\"            # the image is unpacked into the guest's memory\n"
    "  restart = \"no\"                    # or \"on-failure\", \"always\": when its VMs end\n"
    "\n"
    "  [[file_mappings]]                 # any number, applied in this order\n"
    "  source = \"/usr/sbin/nginx\"        # absolute, or relative to this file; folders whole and deep\n"
    "  dest = \"/usr/sbin/nginx\"          # absolute; \"/etc/\" puts a file there under its own name\n"
    "  mode = 0o755                      # octal; default by the source and the destination\n"
    "  libraries = \"auto\"                # shared libraries and loader come along; or \"none\"\n"
    "\n"
    "  [workload]\n"
    "  entrypoint = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]\n"
    "  env = { LANG = \"C.UTF-8\" }\n"
    "  workdir = \"/\"\n"
    "  user = \"0:0\"                      # UID, UID:GID, NAME or NAME:GROUP; default root\n"
    "  type = \"http\"                     # default \"exec\", or \"http\" where base_url is given\n"
    "  base_url = \"http://127.0.0.1:80\"\n"
    "\n"
    "  [resources]                       # what a VM gets where its creation says nothing else\n"
    "  cpu_cores = 1\n"
    "  memory_mb = 256\n"
    "\n"
    "  [health_check]                    # run in the guest; a VM is ready once it has passed\n"
    "  type = \"http\"                     # 2xx from endpoint; \"tcp\": port accepts; \"exec\": command ends with 0\n"
    "  endpoint = \"/healthz\"             # resolved against base_url\n"
    "  port = 80                         # default: that of base_url\n"
    "  interval_ms = 10000               # and check_timeout_ms, retries, start_period_ms, timeout_ms\n"
    "\n"
    "Examples:\n"
    "  fledge build                      # ./fledge.toml\n"
    "  fledge build -c web/fledge.toml -o /tmp/appliances\n";

static bool verbose, quiet;
static volatile sig_atomic_t stop_signal;

static const struct opt global_opts[] = {
    {"verbose", 'v', OPT_FLAG, NULL, "Also list the libraries that came along", 0, 0, &verbose},
    {"quiet", 'q', OPT_FLAG, NULL, "Print errors only", 0, 0, &quiet},
    {0},
};
#define GLOBAL                                                                                                         \
    {                                                                                                                  \
        .name = "", .type = OPT_TABLE, .dest = (void *)global_opts                                                     \
    }

static const char *config_file = "fledge.toml", *output_folder, *kestrel_file;
static const struct opt build_opts[] = {
    {"config", 'c', OPT_STRING, "FILE", "What to build (default: fledge.toml)", 0, 0, &config_file},
    {"output", 'o', OPT_STRING, "DIR", "Folder to write to (default: that of FILE)", 0, 0, &output_folder},
    {"kestrel", 0, OPT_STRING, "FILE", "The guest's agent (default: VOLANT_KESTREL, or the one installed with fledge)",
     0, 0, &kestrel_file},
    GLOBAL,
    {0},
};
static const struct opt version_opts[] = {GLOBAL, {0}};

static int build(void *ctx, int argc, char *const *argv);
static int version(void *ctx, int argc, char *const *argv);

static const struct command commands[] = {
    {"build", "", "Build an appliance from a fledge.toml", build_details, build_opts, build},
    {"version", "", "Print the version", NULL, version_opts, version},
    {0},
};

/* Names of files and texts of TOML may hold anything: a terminal gets what is printable. */
static int report(const char *msg, int code)
{
    auto_strbuf text = {0};

    strbuf_add_printable(&text, msg, strlen(msg));
    (void)fprintf(stderr, "fledge: %s\n", text.data ? text.data : "out of memory");
    return code;
}

/* -1 to go on, or the exit code. */
static int parse(const struct command *command, int argc, char *const *argv)
{
    const char *operands[1];
    size_t n_operands = 0;
    struct vl_error err = {0};
    bool help = false;

    if (opt_parse(command->opts, argc, argv, operands, 0, &n_operands, &help, &err) < 0) {
        (void)report(err.msg, EXIT_MISUSE);
        (void)fprintf(stderr, "See `fledge %s --help`.\n", command->name);
        return EXIT_MISUSE;
    }
    if (!help) return -1;
    command_help(stdout, "fledge", command, global_opts);
    return EXIT_DONE;
}

static int find_mtime(int64_t *ret, struct vl_error *err)
{
    const char *text = getenv("SOURCE_DATE_EPOCH"); /* NOLINT(concurrency-mt-unsafe): one thread */
    uint64_t value;

    if (!text || !*text) return 0;
    if (parse_u64(text, 0, UINT32_MAX, &value) < 0)
        return vl_fail(err, VL_INVALID, "SOURCE_DATE_EPOCH is '%s': write seconds since 1970, at most %u", text,
                       UINT32_MAX);
    *ret = (int64_t)value;
    return 0;
}

static void size_text(uint64_t bytes, char buf[static 24])
{
    if (bytes < 1000000)
        (void)strf(buf, 24, "%.1f kB", (double)bytes / 1e3);
    else
        (void)strf(buf, 24, "%.1f MB", (double)bytes / 1e6);
}

static void print_result(const struct build_result *r, int64_t ms)
{
    char unpacked[24], packed[24];

    size_text(r->unpacked, unpacked);
    size_text(r->packed, packed);
    (void)printf("Built %s %s in %.1f s\n", r->name, r->version, (double)ms / 1e3);
    (void)printf("  files      %zu, of which libraries that came along: %zu\n", r->n_files, r->libraries.len);
    for (size_t i = 0; verbose && i < r->libraries.len; i++)
        (void)printf("             %s\n", r->libraries.items[i]);
    (void)printf("  size       %s, unpacked %s\n", packed, unpacked);
    (void)printf("  archive    %s\n", r->archive);
    (void)printf("  manifest   %s\n", r->manifest);
    (void)printf("Next: volar plugins install --manifest %s\n", r->manifest);
}

static int build(void *ctx, int argc, char *const *argv)
{
    const struct command *command = ctx;
    struct build_opts opts = {.stop = &stop_signal};
    auto_build_result result = {0};
    struct vl_error err = {0};
    int64_t begun = mono_ms();
    int code;

    if ((code = parse(command, argc, argv)) >= 0) return code;
    if (find_mtime(&opts.mtime, &err) < 0) return report(err.msg, EXIT_FAILED);
    opts.config = config_file;
    opts.output = output_folder;
    opts.kestrel =
        kestrel_file ? kestrel_file : getenv("VOLANT_KESTREL"); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (build_run(&opts, &result, &err) < 0) return report(err.msg, EXIT_FAILED);
    if (!quiet) print_result(&result, mono_ms() - begun);
    return EXIT_DONE;
}

static int version(void *ctx, int argc, char *const *argv)
{
    int code = parse(ctx, argc, argv);

    if (code >= 0) return code;
    (void)printf("fledge %s\n", VOLANT_VERSION);
    return EXIT_DONE;
}

static void note_signal(int signo)
{
    stop_signal = signo;
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
    if (stop_signal && code != EXIT_DONE) { /* ended as who sent it expects */
        (void)signal(stop_signal, SIG_DFL);
        (void)raise(stop_signal);
    }
    return code;
}
