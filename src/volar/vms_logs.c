/* SPDX-License-Identifier: Apache-2.0 */
/* volar vms logs: the JSON lines of the API, printed as the workload wrote them. */
#include <stdio.h>
#include <string.h>

#include "model/guest.h"
#include "volar/api.h"
#include "volar/vms.h"

#define LINE_JSON_MAX (LOG_LINE_MAX * 8UL)

static bool follow;
static const char *tail_text; /* not OPT_U64: 0 lines is a wish of its own */

const struct opt vms_logs_opts[] = {
    {"follow", 'f', OPT_FLAG, NULL, "go on with new lines until the VM ends", 0, 0, &follow},
    {"tail", 'n', OPT_STRING, "N", "only the last N lines", 0, 0, &tail_text},
    VOLAR_GLOBAL,
    {0},
};

struct printer {
    struct strbuf pending; /* the part of a line that has come */
    const struct log_options *o;
};

/* What is not of the log, but of the VM behind it. */
static bool take_end(const struct log_options *o, const json_t *j)
{
    const json_t *vm = o->end ? json_object_get(j, "vm") : NULL;

    if (!vm) return false;
    vm_view_done(o->end);
    (void)vm_view_decode(vm, o->end, NULL);
    return true;
}

static int print_line(void *arg, const char *text, size_t n)
{
    const struct log_options *o = ((const struct printer *)arg)->o;
    json_auto_t *j = NULL;
    auto_strbuf safe = {0};
    FILE *out = stdout;
    const char *line, *stream;

    if (json_parse(text, n, "log line", &j, NULL) < 0 || take_end(o, j)) return 0;
    if (o->json) return fwrite(text, 1, n, stdout) == n && putchar('\n') == '\n' ? 0 : -EPIPE;
    if (!(line = json_string_value(json_object_get(j, "line")))) return 0;
    stream = json_string_value(json_object_get(j, "stream"));
    if (o->no_console && str_eq(stream, "console")) return 0;
    if (str_eq(stream, "stderr")) out = stderr;
    if (isatty(fileno(out))) { /* a guest may write what a terminal would obey */
        strbuf_add_printable(&safe, line, strlen(line));
        line = safe.data ? safe.data : "";
    }
    return fprintf(out, "%s\n", line) < 0 ? -EPIPE : 0;
}

static int take_lines(void *arg, const char *data, size_t n)
{
    struct printer *p = arg;
    int r;

    strbuf_add(&p->pending, data, n);
    if (p->pending.failed) return -ENOMEM;
    r = strbuf_each_line(&p->pending, print_line, p);
    if (fflush(stdout) != 0) r = -EPIPE;
    return r < 0 ? r : p->pending.len > LINE_JSON_MAX ? -EMSGSIZE : 0;
}

int vm_follow_logs(struct volar *v, const char *name, const struct log_options *o, struct vl_error *err)
{
    struct printer p = {.o = o};
    char path[192];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s/logs?%s", name, o->query);
    r = api_stream(v, path, take_lines, &p, o->stop, o->arg, err);
    strbuf_done(&p.pending);
    return r;
}

int vms_logs(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    char query[64];
    struct log_options o = {.query = query};
    uint64_t tail;
    const char *name;
    size_t n;
    int r = volar_begin(v, argc, argv, &name, 1, 1, &n);

    if (r >= 0 || (r = volar_check_name(v, "VM", name)) != EXIT_DONE) return r;
    if (tail_text && parse_u64(tail_text, 0, INT64_MAX, &tail) < 0) {
        (void)vl_fail(&err, VL_INVALID, "--tail is '%s': write a number of lines", tail_text);
        return volar_misuse(v, &err);
    }
    o.json = volar_json(v);
    (void)strf(query, sizeof(query), "follow=%d%s%s", follow, tail_text ? "&tail=" : "", tail_text ? tail_text : "");
    return vm_follow_logs(v, name, &o, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}
