/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge schema`. */
#include <stdio.h>

#include "base/str.h"
#include "fledge/command.h"
#include "fledge/json_schema.h"

const struct opt schema_opts[] = {GLOBAL, {0}};

static int no_such(const char *name)
{
    auto_strbuf text = {0};

    strbuf_addf(&text, "name a schema%s%.60s%s:", name ? ", not '" : "", name ? name : "", name ? "'" : "");
    for (const char *const *one = json_schema_names; *one; one++)
        strbuf_addf(&text, " %s", *one);
    return cli_report(text.data ? text.data : "out of memory", EXIT_MISUSE);
}

int command_schema(void *ctx, int argc, char *const *argv)
{
    auto_free char *text = NULL;
    json_auto_t *j = NULL;
    const char *name = NULL;
    bool known = false;
    int code;

    if ((code = cli_parse(ctx, argc, argv, &name)) >= 0) return code;
    for (const char *const *one = json_schema_names; *one; one++)
        known |= str_eq(name, *one);
    if (!known) return no_such(name);
    if (!(j = json_schema_of(name)) || !(text = json_dumps(j, JSON_INDENT(2))))
        return cli_report("out of memory", EXIT_FAILED);
    (void)printf("%s\n", text);
    return EXIT_DONE;
}
