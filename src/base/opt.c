/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of command lines. Each is walked twice, the first time only to find errors: a command line that is refused
 * has changed nothing.
 */
#include "base/opt.h"

#include <string.h>

#include "base/str.h"

#define NAME_MAX_LEN 31 /* of names that near misses are looked for */

struct walk {
    const struct opt *opts;
    int argc, at;
    char *const *argv;
    const char **operands;
    size_t max_operands, n_operands;
    bool apply;
    struct vl_error *err;
};

static const struct opt *find_long(const struct opt *opts, const char *name, size_t len)
{
    const struct opt *found = NULL;

    for (; opts && opts->name && !found; opts++) {
        if (opts->type == OPT_TABLE)
            found = find_long(opts->dest, name, len);
        else if (strlen(opts->name) == len && memcmp(opts->name, name, len) == 0)
            found = opts;
    }
    return found;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
    const struct opt *found = NULL;

    for (; opts && opts->name && !found; opts++) {
        if (opts->type == OPT_TABLE)
            found = find_letter(opts->dest, letter);
        else if (opts->letter == letter)
            found = opts;
    }
    return found;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t min = a < b ? a : b;

    return min < c ? min : c;
}

/*
 * Insertions, deletions and replacements that make b of a (Levenshtein); a large number if one is too long to be a
 * name.
 */
static size_t edit_distance(const char *a, size_t a_len, const char *b)
{
    size_t row[NAME_MAX_LEN + 1], b_len = strlen(b);

    if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN) return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

/*
 * Keeps `name` in *best if it is nearer to the text than what is there. `whole`: the beginning of a name is a near miss
 * too.
 */
static void consider(const char *text, size_t len, bool whole, const char *name, const char **best,
                     size_t *best_distance)
{
    size_t distance = edit_distance(text, len, name);

    if (whole && len >= 2 && strncmp(text, name, len) == 0) distance = 1;
    if (distance < *best_distance) {
        *best = name;
        *best_distance = distance;
    }
}

static size_t near_limit(size_t len)
{
    return len > 4 ? 3 : 2; /* below this */
}

static void consider_opts(const struct opt *opts, const char *text, size_t len, const char **best,
                          size_t *best_distance)
{
    for (; opts && opts->name; opts++) {
        if (opts->type == OPT_TABLE)
            consider_opts(opts->dest, text, len, best, best_distance);
        else
            consider(text, len, true, opts->name, best, best_distance);
    }
}

static int unknown_long(const struct walk *w, const char *name, size_t len)
{
    size_t distance = near_limit(len);
    const char *best = NULL;

    consider_opts(w->opts, name, len, &best, &distance);
    if (best) return vl_fail(w->err, VL_INVALID, "unknown option --%.*s; did you mean --%s?", (int)len, name, best);
    return vl_fail(w->err, VL_INVALID, "unknown option --%.*s; --help lists them", (int)len, name);
}

static int set_number(const struct walk *w, const struct opt *o, const char *value)
{
    uint64_t n, max = o->max ? o->max : UINT64_MAX;
    int r = parse_u64(value, o->min, max, &n);

    if (r == -EINVAL) return vl_fail(w->err, VL_INVALID, "option --%s is '%s', not a whole number", o->name, value);
    if (r < 0 && o->max == 0)
        return vl_fail(w->err, VL_INVALID, "option --%s is '%s', allowed from %llu", o->name, value,
                       (unsigned long long)o->min);
    if (r < 0)
        return vl_fail(w->err, VL_INVALID, "option --%s is '%s', allowed %llu to %llu", o->name, value,
                       (unsigned long long)o->min, (unsigned long long)o->max);
    if (w->apply) *(uint64_t *)o->dest = n;
    return 0;
}

static int set_value(const struct walk *w, const struct opt *o, const char *value)
{
    if (o->type == OPT_U64_OPTIONAL && strcmp(value, "-1") == 0) return 0;
    if (o->type == OPT_U64 || o->type == OPT_U64_OPTIONAL) return set_number(w, o, value);
    if (!w->apply) return 0;
    if (o->type == OPT_LIST)
        return strv_add(o->dest, value) < 0 ? vl_fail_errno(w->err, ENOMEM, "option --%s", o->name) : 0;
    *(const char **)o->dest = value;
    return 0;
}

/* An option that takes a value, `attached` to it (NULL: not) or the next argument. */
static int value_option(struct walk *w, const struct opt *o, const char *attached)
{
    if (!attached) {
        if (w->at + 1 >= w->argc || str_starts(w->argv[w->at + 1], "--"))
            return vl_fail(w->err, VL_INVALID, "option --%s needs a value: %s", o->name, o->value);
        attached = w->argv[++w->at];
    }
    return set_value(w, o, attached);
}

static int long_option(struct walk *w, const char *text)
{
    size_t len = strcspn(text, "=");
    const char *attached = text[len] ? text + len + 1 : NULL;
    const struct opt *o = find_long(w->opts, text, len);

    if (!o) return unknown_long(w, text, len);
    if (o->type != OPT_FLAG) return value_option(w, o, attached);
    if (attached) return vl_fail(w->err, VL_INVALID, "option --%s takes no value, but has '%s'", o->name, attached);
    if (w->apply) *(bool *)o->dest = true;
    return 0;
}

static int short_options(struct walk *w, const char *letters)
{
    for (; *letters; letters++) {
        const struct opt *o = find_letter(w->opts, *letters);

        if (!o) return vl_fail(w->err, VL_INVALID, "unknown option -%c; --help lists them", *letters);
        if (o->type != OPT_FLAG) return value_option(w, o, letters[1] ? letters + 1 : NULL);
        if (w->apply) *(bool *)o->dest = true;
    }
    return 0;
}

static int operand(struct walk *w, const char *text)
{
    if (w->n_operands >= w->max_operands)
        return vl_fail(w->err, VL_INVALID, "unexpected argument '%s'; --help shows what is expected", text);
    if (w->apply) w->operands[w->n_operands] = text;
    w->n_operands++;
    return 0;
}

static int walk(struct walk *w, bool apply)
{
    bool options_ended = false;
    int r = 0;

    w->apply = apply;
    w->n_operands = 0;
    for (w->at = 0; w->at < w->argc && r == 0; w->at++) {
        const char *arg = w->argv[w->at];

        if (options_ended || arg[0] != '-' || !arg[1])
            r = operand(w, arg);
        else if (strcmp(arg, "--") == 0)
            options_ended = true;
        else if (arg[1] == '-')
            r = long_option(w, arg + 2);
        else
            r = short_options(w, arg + 1);
    }
    return r;
}

/* Whether the argument at argv[0] takes the next one as its value. */
static bool takes_next(const struct opt *opts, const char *arg)
{
    const struct opt *o;

    if (arg[1] == '-')
        return !strchr(arg, '=') && (o = find_long(opts, arg + 2, strlen(arg + 2))) && o->type != OPT_FLAG;
    for (const char *letter = arg + 1; *letter; letter++)
        if ((o = find_letter(opts, *letter)) && o->type != OPT_FLAG) return !letter[1];
    return false;
}

int opt_first_operand(const struct opt *opts, int argc, char *const *argv)
{
    int at = 0;

    for (; at < argc; at++) {
        if (argv[at][0] != '-' || !argv[at][1]) return at;
        if (strcmp(argv[at], "--") == 0) return at + 1 < argc ? at + 1 : argc;
        if (takes_next(opts, argv[at])) at++;
    }
    return argc;
}

static bool wants_help(const struct opt *opts, int argc, char *const *argv)
{
    bool letter = !find_letter(opts, 'h');

    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || (letter && strcmp(argv[i], "-h") == 0)) return true;
    return false;
}

int opt_parse(const struct opt *opts, int argc, char *const *argv, const char **operands, size_t max_operands,
              size_t *n_operands, bool *ret_help, struct vl_error *err)
{
    struct walk w = {
        .opts = opts, .argc = argc, .argv = argv, .operands = operands, .max_operands = max_operands, .err = err};
    bool help = wants_help(opts, argc, argv);
    int r;

    if (!help && ((r = walk(&w, false)) < 0 || (r = walk(&w, true)) < 0)) return r;
    *n_operands = help ? 0 : w.n_operands;
    *ret_help = help;
    return 0;
}

/* How many words of argv the name takes, 0 if it does not fit. */
static int words_matched(const char *name, int argc, char *const *argv)
{
    int n = 0;

    while (*name) {
        size_t len = strcspn(name, " ");

        if (n >= argc || strlen(argv[n]) != len || memcmp(argv[n], name, len) != 0) return 0;
        n++;
        name += len;
        if (*name) name++;
    }
    return n;
}

/* How many words of argv the name takes where it goes on behind them, 0 if it does not. */
static int words_begun(const char *name, int argc, char *const *argv)
{
    int n = 0;

    for (size_t len = strcspn(name, " "); name[len] && n < argc; len = strcspn(name, " ")) {
        if (strlen(argv[n]) != len || memcmp(argv[n], name, len) != 0) break;
        n++;
        name += len + 1;
    }
    return n;
}

/* The longest group that argv begins with, in words. */
static int group_words(const struct command *table, int argc, char *const *argv)
{
    int words = 0;

    for (const struct command *c = table; c->name; c++) {
        int n = words_begun(c->name, argc, argv);

        if (n > words) words = n;
    }
    return words;
}

const struct command *command_find(const struct command *table, int argc, char *const *argv, int *ret_words)
{
    const struct command *found = NULL;
    int words = 0;

    for (const struct command *c = table; c->name; c++) {
        int n = words_matched(c->name, argc, argv);

        if (n > words) {
            found = c;
            words = n;
        }
    }
    *ret_words = found ? words : group_words(table, argc, argv);
    return found;
}

const char *command_near(const struct command *table, int argc, char *const *argv)
{
    const char *best = NULL;
    char text[3 * NAME_MAX_LEN] = "";
    size_t distance = 0;
    int given = 0, group = group_words(table, argc, argv);

    while (given < 3 && given < argc && argv[given][0] != '-')
        given++;
    /* "vsm list" as a whole; of "docter now" the first word is all that there is to compare; "vms config" is right. */
    for (int words = 1; words <= given && words <= (group > 1 ? 3 : 2); words++) {
        bool whole = words > 1 || given == 1;
        size_t len = strlen(text);

        if (strf(text + len, sizeof(text) - len, "%s%s", words > 1 ? " " : "", argv[words - 1]) < 0) break;
        len = strlen(text);
        if (words <= group && words < given) continue;
        if (!best) distance = near_limit(len);
        for (const struct command *c = table; c->name; c++)
            consider(text, len, whole, c->name, &best, &distance);
    }
    return best;
}
