/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as tables: commands, options, help text, and errors that name the option and the remedy. GNU habits:
 * --name VALUE, --name=VALUE, -n VALUE, bundled flags, options after operands, `--` ends options.
 */
#pragma once
#include <stdio.h>

#include "base/error.h"

enum opt_type {
    OPT_FLAG,
    OPT_STRING,
    OPT_LIST,
    OPT_U64,
    OPT_U64_OPTIONAL, /* -1, as who always writes it says that it is not given */
    OPT_TABLE, /* dest is another table, the global options for one, that is searched too but not in this one's help */
};

struct opt {
    const char *name; /* long name without dashes ("" for OPT_TABLE); a NULL name ends the table */
    char letter;      /* 0: none */
    enum opt_type type;
    const char *value; /* what the help calls its value: "FILE" */
    const char *help;
    uint64_t min, max; /* OPT_U64, OPT_U64_OPTIONAL; max 0: no limit */
    void *dest;        /* bool*, const char**, struct strv* (copied), uint64_t*: set only if the option is given */
};

/*
 * Fills the options and collects operands (pointers into argv, *n_operands of them, at most max_operands); argv[0] is
 * the first argument, not a program. VL_INVALID names the option, and nothing was set. A value that begins with "--" is
 * written --name=VALUE. *ret_help is set if --help or -h is among them (then nothing else was checked or set).
 */
int opt_parse(const struct opt *opts, int argc, char *const *argv, const char **operands, size_t max_operands,
              size_t *n_operands, bool *ret_help, struct vl_error *err);

/*
 * Index of the first operand in argv, argc if there is none: for commands whose operand begins another command line
 * (`run IMAGE PROGRAM -x`), which pass what comes before to opt_parse. Unknown options are taken for flags.
 */
int opt_first_operand(const struct opt *opts, int argc, char *const *argv);

struct command {
    const char *name;     /* "vms create": as typed, words separated by one space; a NULL name ends the table */
    const char *operands; /* "NAME" or "[MANIFEST]", shown in usage; "" for none */
    const char *summary;  /* one line */
    const char *details;  /* longer help with examples; may be NULL */
    const struct opt *opts;
    /* argv[0] is the first word after the command's name; gives the exit code */
    int (*run)(void *ctx, int argc, char *const *argv);
};
/*
 * The command whose words begin argv, and how many words it took. NULL if there is none: then *ret_words is how
 * many words of argv name a group ("vms", "vms config").
 */
const struct command *command_find(const struct command *table, int argc, char *const *argv, int *ret_words);
/* The name of the command that argv may have meant, for "did you mean"; NULL if nothing is near. */
const char *command_near(const struct command *table, int argc, char *const *argv);
/* Usage, summary, options and details. The command of a program that has no others is named "". */
void command_help(FILE *out, const char *program, const struct command *cmd, const struct opt *global);
/* Groups by first word, one line each. `group` may have several words: "vms config". */
void command_overview(FILE *out, const char *program, const char *about, const struct command *table,
                      const struct opt *global, const char *group /* NULL: all */);
