/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts from the tables that opt.c parses with. */
#include <string.h>

#include "base/opt.h"
#include "base/str.h"

#define WIDTH    100
#define LEFT_MAX 36 /* what is wider stands on a line of its own */

static const struct opt help_opt[] = {{.name = "help", .letter = 'h', .help = "Show this help"}, {0}};

/* Words of `text` from column `column` on, later lines indented to it; '\n' in the text begins a line. */
static void print_wrapped(FILE *out, const char *text, int column)
{
    int at = column;

    while (*text) {
        int len = (int)strcspn(text, " \n");

        if (at > column && at + 1 + len > WIDTH) {
            (void)fprintf(out, "\n%*s", column, "");
            at = column;
        } else if (at > column) {
            (void)fputc(' ', out);
            at++;
        }
        (void)fprintf(out, "%.*s", len, text);
        at += len;
        text += len;
        if (*text == '\n') {
            (void)fprintf(out, "\n%*s", column, "");
            at = column;
        }
        if (*text) text++;
    }
    (void)fputc('\n', out);
}

static void print_entry(FILE *out, const char *left, const char *text, int column)
{
    if ((int)strlen(left) + 2 > column)
        (void)fprintf(out, "%s\n%*s", left, column, "");
    else
        (void)fprintf(out, "%-*s", column, left);
    print_wrapped(out, text, column);
}

static void widen(int *column, const char *left)
{
    int need = (int)strlen(left) + 2;

    if (need > *column && need <= LEFT_MAX) *column = need;
}

/* "  -p, --publish PORTS" */
static void opt_left(const struct opt *o, char *buf, size_t size)
{
    char letter[8] = "    ";

    if (o->letter) (void)strf(letter, sizeof(letter), "-%c, ", o->letter);
    (void)strf(buf, size, "  %s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void widen_opts(int *column, const struct opt *opts)
{
    char left[128];

    for (; opts && opts->name; opts++) {
        if (opts->type == OPT_TABLE) continue;
        opt_left(opts, left, sizeof(left));
        widen(column, left);
    }
}

static bool has_opts(const struct opt *opts)
{
    while (opts && opts->name && opts->type == OPT_TABLE)
        opts++;
    return opts && opts->name;
}

static void print_opts(FILE *out, const struct opt *opts, int column)
{
    char left[128];

    for (; opts && opts->name; opts++) {
        if (opts->type == OPT_TABLE) continue;
        opt_left(opts, left, sizeof(left));
        print_entry(out, left, opts->help, column);
    }
}

void command_help(FILE *out, const char *program, const struct command *cmd, const struct opt *global)
{
    int column = 0;

    widen_opts(&column, cmd->opts);
    widen_opts(&column, global);
    widen_opts(&column, help_opt);
    (void)fprintf(out, "Usage: %s%s%s%s%s [OPTIONS]\n\n", program, *cmd->name ? " " : "", cmd->name,
                  *cmd->operands ? " " : "", cmd->operands);
    print_wrapped(out, cmd->summary, 0);
    if (has_opts(cmd->opts) || !has_opts(global)) {
        (void)fputs("\nOptions:\n", out);
        print_opts(out, cmd->opts, column);
    }
    if (has_opts(global)) {
        (void)fputs("\nGlobal options:\n", out);
        print_opts(out, global, column);
    }
    print_opts(out, help_opt, column);
    if (cmd->details) (void)fprintf(out, "\n%s%s", cmd->details, str_ends(cmd->details, "\n") ? "" : "\n");
}

static bool in_group(const struct command *cmd, const char *group)
{
    size_t len = group ? strlen(group) : 0;

    return !group || (strncmp(group, cmd->name, len) == 0 && (!cmd->name[len] || cmd->name[len] == ' '));
}

/* Commands that share their first word stand together, those of one word among themselves. */
static bool same_block(const struct command *a, const struct command *b)
{
    size_t a_len = strcspn(a->name, " "), b_len = strcspn(b->name, " ");

    if (!a->name[a_len] && !b->name[b_len]) return true;
    return a_len == b_len && memcmp(a->name, b->name, a_len) == 0;
}

static void command_left(const struct command *cmd, char *buf, size_t size)
{
    (void)strf(buf, size, "  %s%s%s", cmd->name, *cmd->operands ? " " : "", cmd->operands);
}

void command_overview(FILE *out, const char *program, const char *about, const struct command *table,
                      const struct opt *global, const char *group)
{
    const struct command *before = NULL;
    int column = 0, opt_column = 0;
    char left[128];

    for (const struct command *c = table; c->name; c++) {
        command_left(c, left, sizeof(left));
        if (in_group(c, group)) widen(&column, left);
    }
    if (about) (void)fprintf(out, "%s\n\n", about);
    (void)fprintf(out, "Usage: %s%s%s COMMAND [OPTIONS]\n\nCommands:\n", program, group ? " " : "", group ? group : "");
    for (const struct command *c = table; c->name; c++) {
        if (!in_group(c, group)) continue;
        if (before && !same_block(before, c)) (void)fputc('\n', out);
        command_left(c, left, sizeof(left));
        print_entry(out, left, c->summary, column);
        before = c;
    }
    (void)fprintf(out, "\n%s:\n", has_opts(global) ? "Global options" : "Options");
    widen_opts(&opt_column, global);
    widen_opts(&opt_column, help_opt);
    print_opts(out, global, opt_column);
    print_opts(out, help_opt, opt_column);
    (void)fprintf(out, "\n'%s%s%s COMMAND --help' shows a command's options and examples.\n", program, group ? " " : "",
                  group ? group : "");
}
