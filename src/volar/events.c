/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volar events: the stream of server-sent events, a line for each. Where volantd ends it, it goes on behind the last
 * event that came, if volantd is back in time.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/schema.h"
#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define EVENT_MAX (1024UL * 1024)
#define BACK_MS   30000 /* for volantd to be there again */
#define RETRY_MS  250

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
    int64_t deadline;      /* mono_ms: until then volantd may be away; 0: it answers */
    bool json;
    bool began; /* volantd has answered */
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

    p->began = true;
    p->deadline = 0;
    strbuf_add(&p->pending, data, n);
    if (p->pending.failed) return -ENOMEM;
    r = strbuf_each_line(&p->pending, take_line, p);
    if (fflush(stdout) != 0) r = -EPIPE;
    return r < 0 ? r : p->pending.len > EVENT_MAX ? -EMSGSIZE : 0;
}

/* Names and types are of letters that need no escape; volantd says what is wrong with others. */
static int check_options(int64_t *ret_id, struct vl_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-,";
    const char *const texts[] = {vm, type};
    uint64_t id;

    if (since && parse_u64(since, 0, INT64_MAX, &id) < 0)
        return vl_fail(err, VL_INVALID, "--since is '%.40s': write the id of an event, or 0", since);
    if (since) *ret_id = (int64_t)id;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i] && texts[i][strspn(texts[i], allowed)] != '\0')
            return vl_fail(err, VL_INVALID, "%s is '%.60s': write names with ',' between them", i ? "--type" : "--vm",
                           texts[i]);
    return 0;
}

static int make_path(const struct printer *p, char *buf, size_t size, struct vl_error *err)
{
    char id[24] = "";

    if (p->id >= 0) (void)strf(id, sizeof(id), "%lld", (long long)p->id);
    if (strf(buf, size, "/api/v1/events/vms?%s%s%s%s%s%s", *id ? "last_event_id=" : "", id, vm ? "&vm=" : "",
             vm ? vm : "", type ? "&type=" : "", type ? type : "") < 0)
        return vl_fail(err, VL_INVALID, "--vm and --type have too many names");
    return 0;
}

static int too_long_away(void *arg)
{
    const struct printer *p = arg;

    return p->deadline > 0 && mono_ms() > p->deadline ? -ETIMEDOUT : 0;
}

static void wait_for_volantd(struct printer *p)
{
    if (p->deadline == 0) {
        (void)fprintf(stderr, "volar: volantd ended the stream: waiting up to %d s for it to go on\n", BACK_MS / 1000);
        p->deadline = mono_ms() + BACK_MS;
    }
    strbuf_done(&p->pending); /* half an event comes again, whole */
    p->pending = (struct strbuf){0};
    pause_ms(RETRY_MS);
}

/* Nothing came after the last event: volantd said no, or was not there in time. */
static int given_up(const struct printer *p, struct vl_error *err)
{
    struct vl_error cause = *err;

    return vl_fail(err, VL_UNAVAILABLE,
                   "volantd ended the stream (it stopped, or the token was revoked): %s; --since %lld goes on from "
                   "there",
                   cause.msg, (long long)p->id);
}

static int follow(struct volar *v, struct printer *p, struct vl_error *err)
{
    char path[900];
    int r;

    for (;;) {
        *err = (struct vl_error){0};
        if ((r = make_path(p, path, sizeof(path), err)) < 0) return r;
        r = api_stream(v, path, take, p, too_long_away, p, err);
        if (p->dropped) return vl_fail(err, VL_UNAVAILABLE, "volantd ended the stream: read faster");
        if (r == 0) r = vl_fail(err, VL_UNAVAILABLE, "it ended");
        if (!p->began || p->id < 0) return r;
        if (err->kind != VL_UNAVAILABLE || too_long_away(p) < 0) return p->deadline > 0 ? given_up(p, err) : r;
        wait_for_volantd(p);
    }
}

int events(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct printer p = {.id = -1};
    struct vl_error err = {0};
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (check_options(&p.id, &err) < 0) return volar_misuse(v, &err);
    p.json = volar_json(v);
    (void)follow(v, &p, &err);
    strbuf_done(&p.pending);
    return volar_fail(&err);
}
