/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM object of contract 1.4 and back. A view points to what volantd has at hand; what goes over the wire differs in
 * times, which are text there, and in an exit code that is either there or not.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/vm.h"

#define NO_EXIT_CODE INT64_MIN

struct wire {
    struct vm_view v;
    char *created_at, *updated_at, *started_at;
    int64_t exit_code; /* NO_EXIT_CODE: absent */
    struct objects ports;
};

static const char *const health_names[] = {"starting", "healthy", "unhealthy", NULL};

#define AT(member) offsetof(struct wire, member)
static const struct field wire_fields[] = {
    {"id", FIELD_INT, .flags = FIELD_EMIT, .offset = AT(v.id), .about = "Never given to another VM."},
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED, .offset = AT(v.name)},
    {"status", FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_TOLD, .offset = AT(v.status), .choices = vm_status_names},
    {"ready", FIELD_BOOL, .flags = FIELD_EMIT, .offset = AT(v.ready),
     .about = "Its check passes; without one its first port accepts; without ports its workload was begun."},
    {"reason", FIELD_STRING, .offset = AT(v.reason), .about = "Why it has ended, failed, or is not ready."},
    {"health", FIELD_STRING, .flags = FIELD_TOLD, .offset = AT(v.health), .choices = health_names,
     .about = "Left out where the plugin has no check."},
    {"restarts", FIELD_INT, .offset = AT(v.restarts), .about = "By its policy, since it last stayed up."},
    {"deployment", FIELD_STRING, .offset = AT(v.deployment), .about = "Whose replica it is."},
    {"revision", FIELD_INT, .offset = AT(v.revision), .about = "Of the deployment's configuration."},
    {"exit_code", FIELD_INT, .offset = AT(exit_code), .def = NO_EXIT_CODE, .about = "Once its workload has ended."},
    {"plugin", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.plugin)},
    {"runtime", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.runtime)},
    {"pid", FIELD_INT, .offset = AT(v.pid)},
    {"ip_address", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.ip_address)},
    {"mac_address", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.mac_address)},
    {"cpu_cores", FIELD_INT, .flags = FIELD_EMIT, .offset = AT(v.cpu_cores)},
    {"memory_mb", FIELD_INT, .flags = FIELD_EMIT, .offset = AT(v.memory_mb)},
    {"disk_mb", FIELD_INT, .offset = AT(v.disk_mb)},
    {"kernel_cmdline", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.kernel_cmdline)},
    {"serial_socket", FIELD_STRING, .flags = FIELD_EMIT, .offset = AT(v.serial_socket)},
    {"ports", FIELD_OBJECTS, .flags = FIELD_EMIT, .offset = AT(ports), .sub = &port_map_schema},
    {"started_at", FIELD_STRING, .offset = AT(started_at), .max = 40, .format = "date-time"},
    {"created_at", FIELD_STRING, .offset = AT(created_at), .max = 40, .format = "date-time"},
    {"updated_at", FIELD_STRING, .offset = AT(updated_at), .max = 40, .format = "date-time"},
};
const struct schema vm_view_schema = {"vm", sizeof(struct wire), wire_fields, ARRAY_LEN(wire_fields)};

static void wire_done(struct wire *w)
{
    schema_done(&vm_view_schema, w);
}

/* As it goes over the wire, but for its times; owns nothing. */
static struct wire wire_of(const struct vm_view *v)
{
    struct wire w = {.v = *v, .exit_code = v->has_exit_code ? v->exit_code : NO_EXIT_CODE};

    if (v->ports) w.ports = *v->ports;
    return w;
}

json_t *vm_view_encode(const struct vm_view *v)
{
    char created[32], updated[32], started[32];
    struct wire w = wire_of(v);

    if (v->created_ms > 0) {
        format_time(v->created_ms, created);
        w.created_at = created;
    }
    if (v->updated_ms > 0) {
        format_time(v->updated_ms, updated);
        w.updated_at = updated;
    }
    if (v->started_ms > 0) {
        format_time(v->started_ms, started);
        w.started_at = started;
    }
    return schema_encode(&vm_view_schema, &w);
}

/* --- the text that is kept ---------------------------------------------------------------------------------------- */

static bool same_times(const struct vm_view *a, const struct vm_view *b)
{
    return a->created_ms == b->created_ms && a->updated_ms == b->updated_ms && a->started_ms == b->started_ms;
}

void vm_text_done(struct vm_text *t)
{
    if (t->shown) wire_done(t->shown);
    free(t->shown);
    free(t->text);
    *t = (struct vm_text){0};
}

static bool render(struct vm_text *t, const struct wire *w)
{
    json_auto_t *j = vm_view_encode(&w->v);
    struct wire *shown;

    if (!j || !(t->text = json_text(j)) || !(t->shown = shown = calloc(1, sizeof(*shown))) ||
        schema_copy(&vm_view_schema, w, shown) < 0)
        return false;
    t->len = strlen(t->text);
    shown->v.created_ms = w->v.created_ms;
    shown->v.updated_ms = w->v.updated_ms;
    shown->v.started_ms = w->v.started_ms;
    return true;
}

const char *vm_text_of(struct vm_text *t, const struct vm_view *v)
{
    struct wire w = wire_of(v);
    const struct wire *shown = t->shown;

    if (shown && same_times(&shown->v, v) && schema_equal(&vm_view_schema, shown, &w)) return t->text;
    vm_text_done(t);
    if (render(t, &w)) return t->text;
    vm_text_done(t);
    return NULL;
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

/* Exactly n digits; -1 otherwise. */
static int digits(const char *s, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

/* Milliseconds from ".123456789", cut; *s is moved behind it. -1 if a dot has no digits behind it. */
static int fraction_ms(const char **s)
{
    int ms = 0, weight = 100;

    if (**s != '.') return 0;
    if (digits(++*s, 1) < 0) return -1;
    for (; **s >= '0' && **s <= '9'; (*s)++, weight /= 10)
        ms += (**s - '0') * weight;
    return ms;
}

/* RFC 3339 in UTC, as format_time writes it. */
int vm_time_parse(const char *s, int64_t *ret_ms)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    struct tm tm = {0};
    const char *rest;
    int ms;

    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] == 'd' ? digits(s + i, 1) < 0 : s[i] != form[i]) return -EINVAL;
    rest = s + sizeof(form) - 1;
    if ((ms = fraction_ms(&rest)) < 0 || strcmp(rest, "Z") != 0) return -EINVAL;
    tm.tm_year = digits(s, 4) - 1900;
    tm.tm_mon = digits(s + 5, 2) - 1;
    tm.tm_mday = digits(s + 8, 2);
    tm.tm_hour = digits(s + 11, 2);
    tm.tm_min = digits(s + 14, 2);
    tm.tm_sec = digits(s + 17, 2);
    if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return -EINVAL;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return 0;
}

static int take_time(const char *s, const char *field, int64_t *ret_ms, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    if (!s || !*s || vm_time_parse(s, ret_ms) == 0) return 0;
    return vl_fail(err, VL_INVALID, "vm.%s is %s, a time such as 2026-01-31T23:59:59Z is expected", field,
                   quoted(s, shown));
}

int vm_view_decode(const json_t *in, struct vm_view *ret, struct vl_error *err)
{
    auto_(wire_done) struct wire w = {0};
    struct objects *ports;
    int r;

    if ((r = schema_decode(&vm_view_schema, in, NULL, &w, NULL, err)) < 0) return r;
    if ((r = take_time(w.created_at, "created_at", &w.v.created_ms, err)) < 0) return r;
    if ((r = take_time(w.updated_at, "updated_at", &w.v.updated_ms, err)) < 0) return r;
    if ((r = take_time(w.started_at, "started_at", &w.v.started_ms, err)) < 0) return r;
    if (!(ports = malloc(sizeof(*ports)))) return vl_fail_errno(err, ENOMEM, "decode VM");
    *ports = w.ports;
    w.ports = (struct objects){0};
    w.v.has_exit_code = w.exit_code != NO_EXIT_CODE;
    w.v.exit_code = w.v.has_exit_code ? w.exit_code : 0;
    w.v.ports = ports;
    *ret = w.v;
    w.v = (struct vm_view){0};
    return 0;
}

void vm_view_done(struct vm_view *v)
{
    struct wire w = {.v = *v};

    if (v->ports) w.ports = *v->ports;
    free((struct objects *)v->ports);
    wire_done(&w);
    *v = (struct vm_view){0};
}
