/* SPDX-License-Identifier: Apache-2.0 */
/* volar events: the stream of server-sent events, a line for each. */
#include <stdio.h>
#include <string.h>

#include "model/schema.h"
#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define EVENT_MAX (1024UL * 1024)

static const char *since, *vm, *type;

const struct opt events_opts[] = {
    {"since", 0, OPT_STRING, "ID", "begin after this event; 0: with the oldest that is kept", 0, 0, &since},
    {"vm", 0, OPT_STRING, "NAME,...", "only events of these VMs", 0, 0, &vm},
    {"type", 0, OPT_STRING, "TYPE,...", "only these events, as VM_RUNNING", 0, 0, &type},
    VOLAR_GLOBAL,
    {0},
};

struct printer {
    struct strbuf pending; /* the part of an event that has come */
    int64_t id;            /* of the newest event; -1: none is known */
    bool json;
    bool dropped;
};

static int print_event(struct printer *p, const char *text, size_t n)
{
    json_auto_t *j = NULL;
    auto_strbuf safe = {0};
    const char *message;

    if (json_parse(text, n, "event", &j, NULL) < 0) return 0;
    if (str_eq(text_at(j, NULL, "type"), "STREAM_DROPPED")) p->dropped = true;
    if (p->json) {
        if (p->id >= 0) (void)json_object_set_new(j, "id", json_integer(p->id));
        return json_dumpf(j, stdout, JSON_COMPACT) == 0 && putchar('\n') == '\n' ? 0 : -EPIPE;
    }
    message = text_at(j, NULL, "message");
    strbuf_add_printable(&safe, message, strlen(message));
    return printf("%-24s %-16s %-20s %s\n", text_at(j, NULL, "timestamp"), text_at(j, NULL, "type"),
                  text_at(j, NULL, "name"), safe.data ? safe.data : "") < 0
               ? -EPIPE
               : 0;
}

static int take_line(void *arg, const char *line, size_t n)
{
    static const char id_is[] = "id: ", data_is[] = "data: "; /* in this order */
    struct printer *p = arg;
    uint64_t id;

    if (str_starts(line, id_is) && parse_u64(line + sizeof(id_is) - 1, 0, INT64_MAX, &id) == 0) p->id = (int64_t)id;
    return str_starts(line, data_is) ? print_event(p, line + sizeof(data_is) - 1, n - (sizeof(data_is) - 1)) : 0;
}

static int take(void *arg, const char *data, size_t n)
{
    struct printer *p = arg;
    int r;

    strbuf_add(&p->pending, data, n);
    if (p->pending.failed) return -ENOMEM;
    r = strbuf_each_line(&p->pending, take_line, p);
    if (fflush(stdout) != 0) r = -EPIPE;
    return r < 0 ? r : p->pending.len > EVENT_MAX ? -EMSGSIZE : 0;
}

/* Names and types are of letters that need no escape; volantd says what is wrong with others. */
static int make_path(char *buf, size_t size, struct vl_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-,";
    const char *const texts[] = {vm, type};
    uint64_t id;

    if (since && parse_u64(since, 0, INT64_MAX, &id) < 0)
        return vl_fail(err, VL_INVALID, "--since is '%.40s': write the id of an event, or 0", since);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i] && texts[i][strspn(texts[i], allowed)] != '\0')
            return vl_fail(err, VL_INVALID, "%s is '%.60s': write names with ',' between them", i ? "--type" : "--vm",
                           texts[i]);
    if (strf(buf, size, "/api/v1/events/vms?%s%s%s%s%s%s", since ? "last_event_id=" : "", since ? since : "",
             vm ? "&vm=" : "", vm ? vm : "", type ? "&type=" : "", type ? type : "") < 0)
        return vl_fail(err, VL_INVALID, "--vm and --type have too many names");
    return 0;
}

int events(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct printer p = {.id = -1};
    struct vl_error err = {0};
    char path[900];
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (make_path(path, sizeof(path), &err) < 0) return volar_misuse(v, &err);
    p.json = volar_json(v);
    r = api_stream(v, path, take, &p, NULL, NULL, &err);
    strbuf_done(&p.pending);
    if (r == 0) r = vl_fail(&err, VL_UNAVAILABLE, "volantd ended the stream%s", p.dropped ? ": read faster" : "");
    return volar_fail(&err);
}
