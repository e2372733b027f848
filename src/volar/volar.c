/* SPDX-License-Identifier: Apache-2.0 */
/* How commands begin and end. */
#include "volar/volar.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct volar volar_globals = {.output = "table"};
const struct opt volar_global_opts[] = {
    {"api", 'a', OPT_STRING, "URL", "volantd's address: unix:///path/to/volantd.sock or http://127.0.0.1:7777", 0, 0,
     &volar_globals.api_url},
    {"output", 'o', OPT_STRING, "FORMAT", "table (for people) or json (for scripts)", 0, 0, &volar_globals.output},
    {0},
};
const struct opt no_opts[] = {VOLAR_GLOBAL, {0}};

bool volar_json(const struct volar *v)
{
    return str_eq(v->output, "json");
}

/* Names, files and reasons that come from guests may hold anything: a terminal gets what is printable. */
static void say_error(const struct vl_error *err)
{
    auto_strbuf shown = {0};

    strbuf_add_printable(&shown, err->msg, strlen(err->msg));
    (void)fflush(stdout);
    (void)fprintf(stderr, "volar: %s\n", shown.data ? shown.data : "out of memory");
}

int volar_fail(const struct vl_error *err)
{
    say_error(err);
    return EXIT_FAILED;
}

int volar_misuse(const struct volar *v, const struct vl_error *err)
{
    say_error(err);
    (void)fprintf(stderr, "See `volar %s --help`.\n", v->command->name);
    return EXIT_MISUSE;
}

static int operand_missing(const struct volar *v)
{
    const char *operands = v->command->operands;
    struct vl_error err = {0};

    (void)vl_fail(&err, VL_INVALID, "%.*s is missing: usage: volar %s %s [OPTIONS]", (int)strcspn(operands, ". "),
                  operands, v->command->name, operands);
    return volar_misuse(v, &err);
}

int volar_begin(struct volar *v, int argc, char *const *argv, const char **operands, size_t min, size_t max, size_t *n)
{
    struct vl_error err = {0};
    bool help = false;

    if (opt_parse(v->command->opts, argc, argv, operands, max, n, &help, &err) < 0) return volar_misuse(v, &err);
    if (help) {
        command_help(stdout, "volar", v->command, volar_global_opts);
        return EXIT_DONE;
    }
    if (!str_eq(v->output, "table") && !str_eq(v->output, "json")) {
        (void)vl_fail(&err, VL_INVALID, "--output is '%s', allowed: table, json", v->output);
        return volar_misuse(v, &err);
    }
    if (*n < min) return operand_missing(v);
    return -1;
}

int volar_check_name(const struct volar *v, const char *what, const char *name)
{
    const char *problem = name_problem(name);
    struct vl_error err = {0};

    if (!problem) return EXIT_DONE;
    (void)vl_fail(&err, VL_INVALID, "%s name '%.80s' %s", what, name, problem);
    return volar_misuse(v, &err);
}
