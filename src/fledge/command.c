/* SPDX-License-Identifier: Apache-2.0 */
/* See command.h. */
#include "fledge/command.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

bool cli_verbose, cli_quiet;
volatile sig_atomic_t cli_stop;
static bool shown; /* a line of progress */

const struct opt global_opts[] = {
    {"verbose", 'v', OPT_FLAG, NULL, "Also list the libraries that came along", 0, 0, &cli_verbose},
    {"quiet", 'q', OPT_FLAG, NULL, "Print errors only", 0, 0, &cli_quiet},
    {0},
};

/* Names of files and texts of TOML may hold anything: a terminal gets what is printable. */
int cli_report(const char *msg, int code)
{
    auto_strbuf text = {0};

    cli_progress_end();
    strbuf_add_printable(&text, msg, strlen(msg));
    (void)fprintf(stderr, "fledge: %s\n", text.data ? text.data : "out of memory");
    return code;
}

int cli_parse(const struct command *command, int argc, char *const *argv, const char **ret_operand)
{
    const char *operands[1];
    size_t n_operands = 0;
    struct vl_error err = {0};
    bool help = false;

    if (opt_parse(command->opts, argc, argv, operands, ret_operand ? 1 : 0, &n_operands, &help, &err) < 0) {
        (void)cli_report(err.msg, EXIT_MISUSE);
        (void)fprintf(stderr, "See `fledge %s --help`.\n", command->name);
        return EXIT_MISUSE;
    }
    if (n_operands > 0 && ret_operand) *ret_operand = operands[0];
    if (!help) return -1;
    command_help(stdout, "fledge", command, global_opts);
    return EXIT_DONE;
}

bool cli_progress_wanted(void)
{
    return !cli_quiet && isatty(STDERR_FILENO);
}

void cli_progress(void *arg, const char *line)
{
    char text[120];

    (void)arg;
    (void)escape_printable(text, sizeof(text), line, strlen(line));
    (void)fprintf(stderr, "\r\033[K%s", text);
    shown = true;
}

void cli_progress_end(void)
{
    if (shown) (void)fputs("\r\033[K", stderr);
    shown = false;
}

void cli_size(uint64_t bytes, char buf[static 24])
{
    if (bytes < 1000000)
        (void)strf(buf, 24, "%.1f kB", (double)bytes / 1e3);
    else
        (void)strf(buf, 24, "%.1f MB", (double)bytes / 1e6);
}
