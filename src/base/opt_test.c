/* SPDX-License-Identifier: Apache-2.0 */
#include "base/opt.h"

#include <string.h>

#include "base/str.h"
#include "base/unit.h"

static struct {
    bool verbose, wait;
    const char *output, *plugin;
    struct strv publish;
    uint64_t cpu, tail;
} got;

static const struct opt global[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPT_STRING,
     .value = "FORMAT",
     .help = "table or json",
     .dest = &got.output},
    {.name = "verbose", .letter = 'v', .type = OPT_FLAG, .help = "Say more", .dest = &got.verbose},
    {0},
};
static const struct opt opts[] = {
    {.name = "plugin", .type = OPT_STRING, .value = "NAME", .help = "What to run", .dest = &got.plugin},
    {.name = "publish",
     .letter = 'p',
     .type = OPT_LIST,
     .value = "[IP:]HOST:GUEST[/PROTO]",
     .help =
         "Make a port of the guest reachable at one of the host, on 127.0.0.1 unless an address is given; may be given "
         "several times\nWith GUEST alone volantd picks the port",
     .dest = &got.publish},
    {.name = "cpu", .type = OPT_U64, .value = "N", .help = "Processors", .min = 1, .max = 64, .dest = &got.cpu},
    {.name = "tail", .type = OPT_U64, .value = "LINES", .help = "Last lines only", .dest = &got.tail},
    {.name = "wait", .letter = 'w', .type = OPT_FLAG, .help = "Wait until it runs", .dest = &got.wait},
    {.name = "", .type = OPT_TABLE, .dest = (void *)global},
    {0},
};

#define WORDS_MAX 12
struct line {
    char *words[WORDS_MAX + 1];
    const char *operands[2];
    size_t n_operands;
    bool help;
    struct vl_error err;
};

static int parse(const char *const *words, struct line *line)
{
    int n = 0;

    strv_done(&got.publish);
    memset(&got, 0, sizeof(got));
    *line = (struct line){.n_operands = 4711};
    for (; n < WORDS_MAX && words[n]; n++)
        line->words[n] = (char *)words[n];
    return opt_parse(opts, n, line->words, line->operands, 2, &line->n_operands, &line->help, &line->err);
}

static void all_forms_are_understood(void **state)
{
    const char *const words[] = {"web",      "--plugin", "nginx", "-p", "8080:80", "--publish=81",
                                 "-wvojson", "--cpu=2",  "--",    "-x", NULL};
    const char *const others[] = {"-p82", "--plugin=", "-", "--tail", "18446744073709551615", "-o", "-1", NULL};
    struct line line;

    (void)state;
    assert_int_equal(parse(words, &line), 0);
    assert_false(line.help);
    assert_string_equal(got.plugin, "nginx");
    assert_int_equal(got.publish.len, 2);
    assert_string_equal(got.publish.items[0], "8080:80");
    assert_string_equal(got.publish.items[1], "81");
    assert_true(got.wait && got.verbose);
    assert_string_equal(got.output, "json");
    assert_int_equal(got.cpu, 2);
    assert_int_equal(line.n_operands, 2);
    assert_string_equal(line.operands[0], "web");
    assert_string_equal(line.operands[1], "-x");

    assert_int_equal(parse(others, &line), 0);
    assert_string_equal(got.publish.items[0], "82");
    assert_string_equal(got.plugin, "");
    assert_true(got.tail == UINT64_MAX);
    assert_string_equal(got.output, "-1");
    assert_int_equal(line.n_operands, 1);
    assert_string_equal(line.operands[0], "-");
    assert_true(!got.wait && got.cpu == 0);

    assert_int_equal(parse((const char *const[]){NULL}, &line), 0);
    assert_int_equal(line.n_operands, 0);
}

static void errors_name_option_and_remedy(void **state)
{
    static const struct {
        const char *words[4], *msg;
    } table[] = {
        {{"--plugins", "x"}, "unknown option --plugins; did you mean --plugin?"},
        {{"--plug=x"}, "unknown option --plug; did you mean --plugin?"},
        {{"--cpus=3"}, "unknown option --cpus; did you mean --cpu?"},
        {{"--outptu", "x"}, "unknown option --outptu; did you mean --output?"},
        {{"--replicas", "x"}, "unknown option --replicas; --help lists them"},
        {{"--=x"}, "unknown option --; --help lists them"},
        {{"--a-name-that-is-far-too-long-to-be-one"},
         "unknown option --a-name-that-is-far-too-long-to-be-one; --help lists them"},
        {{"-x"}, "unknown option -x; --help lists them"},
        {{"-wx"}, "unknown option -x; --help lists them"},
        {{"--cpu"}, "option --cpu needs a value: N"},
        {{"--cpu", "--wait"}, "option --cpu needs a value: N"},
        {{"--plugin", "--", "x"}, "option --plugin needs a value: NAME"},
        {{"-p"}, "option --publish needs a value: [IP:]HOST:GUEST[/PROTO]"},
        {{"--cpu", "two"}, "option --cpu is 'two', not a whole number"},
        {{"--cpu", "-1"}, "option --cpu is '-1', not a whole number"},
        {{"--cpu="}, "option --cpu is '', not a whole number"},
        {{"--cpu", "65"}, "option --cpu is '65', allowed 1 to 64"},
        {{"--cpu", "0"}, "option --cpu is '0', allowed 1 to 64"},
        {{"--tail", "18446744073709551616"}, "option --tail is '18446744073709551616', allowed from 0"},
        {{"--wait=yes"}, "option --wait takes no value, but has 'yes'"},
        {{"a", "b", "c"}, "unexpected argument 'c'; --help shows what is expected"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *words[8] = {"-w", "--publish=1"};
        struct line line;

        memcpy(words + 2, table[i].words, sizeof(table[i].words));
        assert_int_equal(parse(words, &line), -EINVAL);
        assert_int_equal(line.err.kind, VL_INVALID);
        assert_string_equal(line.err.msg, table[i].msg);
        assert_int_equal(line.n_operands, 4711);
        assert_true(!got.wait && got.publish.len == 0); /* nothing was set */
    }
}

static void minus_one_may_be_no_number(void **state)
{
    uint64_t cpu = 4711;
    const struct opt table[] = {
        {.name = "cpu", .letter = 'c', .type = OPT_U64_OPTIONAL, .value = "N", .min = 1, .max = 64, .dest = &cpu}, {0}};
    struct line line = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        static char *const unset[][2] = {{"--cpu", "-1"}, {"--cpu=-1"}, {"-c-1"}};

        assert_int_equal(opt_parse(table, unset[i][1] ? 2 : 1, unset[i], NULL, 0, &line.n_operands, &line.help, NULL),
                         0);
        assert_int_equal(cpu, 4711);
    }
    assert_int_equal(opt_parse(table, 1, (char *[]){"--cpu=2"}, NULL, 0, &line.n_operands, &line.help, NULL), 0);
    assert_int_equal(cpu, 2);
    for (size_t i = 0; i < 3; i++) {
        static char *const wrong[] = {"--cpu=-2", "--cpu=0", "--cpu=-1x"};

        assert_true(opt_parse(table, 1, &wrong[i], NULL, 0, &line.n_operands, &line.help, &line.err) < 0);
    }
    assert_int_equal(cpu, 2);
}

static void help_wins_over_errors(void **state)
{
    struct line line;

    (void)state;
    assert_int_equal(parse((const char *const[]){"--bogus", "-w", "--help", NULL}, &line), 0);
    assert_true(line.help && !got.wait && line.n_operands == 0);
    assert_int_equal(parse((const char *const[]){"x", "-h", NULL}, &line), 0);
    assert_true(line.help);
    assert_int_equal(parse((const char *const[]){"--", "--help", NULL}, &line), 0);
    assert_false(line.help);
}

static const struct command commands[] = {
    {.name = "vms create",
     .operands = "NAME",
     .summary = "Create a VM and start it",
     .opts = opts,
     .details = "Examples:\n  volar vms create web --plugin nginx"},
    {.name = "vms list", .operands = "", .summary = "List VMs"},
    {.name = "vms config get", .operands = "NAME", .summary = "Print a configuration"},
    {.name = "vms config set", .operands = "NAME", .summary = "Change a configuration"},
    {.name = "plugins install", .operands = "MANIFEST", .summary = "Install a plugin"},
    {.name = "doctor", .operands = "", .summary = "Look for what is missing"},
    {.name = "version", .operands = "", .summary = "Show versions"},
    {0},
};

static void commands_are_found(void **state)
{
    static const struct {
        char *argv[4];
        const char *name, *near;
        int words;
    } table[] = {
        {{"vms", "create", "web"}, "vms create", "", 2},
        {{"vms", "list"}, "vms list", "", 2},
        {{"doctor", "x"}, "doctor", "", 1},
        {{"vms"}, NULL, "", 1},
        {{"vms", "lst"}, NULL, "vms list", 1},
        {{"vm", "list"}, NULL, "vms list", 0},
        {{"vms", "frobnicate"}, NULL, NULL, 1},
        {{"vms", "config"}, NULL, "", 2},
        {{"vms", "config", "--help"}, NULL, "", 2},
        {{"vms", "config", "set", "web"}, "vms config set", "", 3},
        {{"vms", "config", "sett", "web"}, NULL, "vms config set", 2},
        {{"vms", "config", "frobnicate"}, NULL, NULL, 2},
        {{"vms", "confg", "set"}, NULL, NULL, 1},
        {{"vms config"}, NULL, "", 0},
        {{"docter"}, NULL, "doctor", 0},
        {{"ver"}, NULL, "version", 0},
        {{"frobnicate"}, NULL, NULL, 0},
        {{"vms create"}, NULL, "", 0},
        {{"--help"}, NULL, NULL, 0},
        {{NULL}, NULL, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct command *c;
        int argc = 0, words = 4711;

        while (argc < 4 && table[i].argv[argc])
            argc++;
        c = command_find(commands, argc, table[i].argv, &words);
        assert_true(str_eq(c ? c->name : NULL, table[i].name));
        assert_int_equal(words, table[i].words);
        if (table[i].near && !*table[i].near) continue;
        assert_true(str_eq(command_near(commands, argc, table[i].argv), table[i].near));
    }
}

static char *text_of(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void print_help(FILE *out)
{
    command_help(out, "volar", &commands[0], global);
}

static void print_plain_help(FILE *out)
{
    static const struct command daemon = {.name = "", .operands = "", .summary = "The control plane"};

    command_help(out, "volantd", &daemon, NULL);
}

static void print_overview(FILE *out)
{
    command_overview(out, "volar", "volar: microVMs", commands, global, NULL);
}

static void print_group(FILE *out)
{
    command_overview(out, "volar", NULL, commands, NULL, "vms");
}

static void print_inner_group(FILE *out)
{
    command_overview(out, "volar", NULL, commands, NULL, "vms config");
}

static void help_is_aligned_and_wrapped(void **state)
{
    auto_free char *help = text_of(print_help), *plain = text_of(print_plain_help);

    (void)state;
    assert_string_equal(
        help, "Usage: volar vms create NAME [OPTIONS]\n"
              "\n"
              "Create a VM and start it\n"
              "\n"
              "Options:\n"
              "      --plugin NAME    What to run\n"
              "  -p, --publish [IP:]HOST:GUEST[/PROTO]\n"
              "                       Make a port of the guest reachable at one of the host, on 127.0.0.1 unless an\n"
              "                       address is given; may be given several times\n"
              "                       With GUEST alone volantd picks the port\n"
              "      --cpu N          Processors\n"
              "      --tail LINES     Last lines only\n"
              "  -w, --wait           Wait until it runs\n"
              "\n"
              "Global options:\n"
              "  -o, --output FORMAT  table or json\n"
              "  -v, --verbose        Say more\n"
              "  -h, --help           Show this help\n"
              "\n"
              "Examples:\n"
              "  volar vms create web --plugin nginx\n");
    assert_string_equal(plain,
                        "Usage: volantd [OPTIONS]\n\nThe control plane\n\nOptions:\n  -h, --help  Show this help\n");
}

static void overviews_are_grouped(void **state)
{
    auto_free char *all = text_of(print_overview), *group = text_of(print_group), *inner = text_of(print_inner_group);

    (void)state;
    assert_string_equal(all, "volar: microVMs\n"
                             "\n"
                             "Usage: volar COMMAND [OPTIONS]\n"
                             "\n"
                             "Commands:\n"
                             "  vms create NAME           Create a VM and start it\n"
                             "  vms list                  List VMs\n"
                             "  vms config get NAME       Print a configuration\n"
                             "  vms config set NAME       Change a configuration\n"
                             "\n"
                             "  plugins install MANIFEST  Install a plugin\n"
                             "\n"
                             "  doctor                    Look for what is missing\n"
                             "  version                   Show versions\n"
                             "\n"
                             "Global options:\n"
                             "  -o, --output FORMAT  table or json\n"
                             "  -v, --verbose        Say more\n"
                             "  -h, --help           Show this help\n"
                             "\n"
                             "'volar COMMAND --help' shows a command's options and examples.\n");
    assert_string_equal(group, "Usage: volar vms COMMAND [OPTIONS]\n"
                               "\n"
                               "Commands:\n"
                               "  vms create NAME      Create a VM and start it\n"
                               "  vms list             List VMs\n"
                               "  vms config get NAME  Print a configuration\n"
                               "  vms config set NAME  Change a configuration\n"
                               "\n"
                               "Options:\n"
                               "  -h, --help  Show this help\n"
                               "\n"
                               "'volar vms COMMAND --help' shows a command's options and examples.\n");
    assert_string_equal(inner, "Usage: volar vms config COMMAND [OPTIONS]\n"
                               "\n"
                               "Commands:\n"
                               "  vms config get NAME  Print a configuration\n"
                               "  vms config set NAME  Change a configuration\n"
                               "\n"
                               "Options:\n"
                               "  -h, --help  Show this help\n"
                               "\n"
                               "'volar vms config COMMAND --help' shows a command's options and examples.\n");
}

static int forget(void **state)
{
    (void)state;
    strv_done(&got.publish);
    return 0;
}

static void the_first_operand_is_found(void **state)
{
    static const struct {
        const char *argv[6];
        int argc, at;
    } table[] = {
        {{"img"}, 1, 0},
        {{"--wait", "img", "--cpu"}, 3, 1},
        {{"--cpu", "2", "img", "-x"}, 4, 2},
        {{"--cpu=2", "img"}, 2, 1},
        {{"-p", "80", "-wp", "81", "img"}, 5, 4},
        {{"-p80", "img"}, 2, 1},
        {{"--", "-img"}, 2, 1},
        {{"--", "img", "x"}, 3, 1},
        {{"--nothing", "-"}, 2, 1},
        {{"--wait"}, 1, 1},
        {{"--cpu"}, 1, 1},
        {{"--"}, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        assert_int_equal(opt_first_operand(opts, table[i].argc, (char *const *)table[i].argv), table[i].at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_operand_is_found),    cmocka_unit_test(all_forms_are_understood),
        cmocka_unit_test(errors_name_option_and_remedy), cmocka_unit_test(minus_one_may_be_no_number),
        cmocka_unit_test(help_wins_over_errors),         cmocka_unit_test(commands_are_found),
        cmocka_unit_test(help_is_aligned_and_wrapped),   cmocka_unit_test(overviews_are_grouped),
    };

    return cmocka_run_group_tests(tests, NULL, forget);
}
