/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: as text on a command line and as JSON. */
#include <string.h>

#include "model/vm.h"

#define FORM         "write [IP:]HOST:GUEST[/tcp|udp], or GUEST[/tcp|udp] for any free host port"
#define LOOPBACK_NET 127

static const char *const protocols[] = {"tcp", "udp", NULL};

static const struct field port_map_fields[] = {
    {"name", FIELD_STRING, .offset = offsetof(struct port_map, name), .max = 63},
    {"protocol", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct port_map, protocol),
     .choices = protocols},
    {"host_ip", FIELD_STRING, .flags = FIELD_EMIT, .offset = offsetof(struct port_map, host_ip),
     .pattern = "^127(\\.[0-9]{1,3}){3}$", .about = "Of the loopback; 127.0.0.1 if left out."},
    {"host_port", FIELD_INT, .flags = FIELD_EMIT, .offset = offsetof(struct port_map, host_port), .min = 0,
     .max = 65535, .about = "0: any that is free."},
    {"port", FIELD_INT, .flags = FIELD_REQUIRED, .offset = offsetof(struct port_map, port), .min = 1, .max = 65535,
     .about = "In the guest."},
    {"mode", FIELD_STRING, .flags = FIELD_IGNORED},
};
const struct schema port_map_schema = {"port", sizeof(struct port_map), port_map_fields, ARRAY_LEN(port_map_fields)};

void port_map_done(struct port_map *p)
{
    schema_done(&port_map_schema, p);
}

static int set_default(char **slot, const char *text, struct vl_error *err)
{
    if ((!*slot || !**slot) && string_set(slot, text) < 0) return vl_fail_errno(err, ENOMEM, "decode port");
    return 0;
}

int port_map_settle(struct port_map *p, const char *where, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    uint32_t addr;
    int r;

    if ((r = set_default(&p->protocol, "tcp", err)) < 0) return r;
    if ((r = set_default(&p->host_ip, "127.0.0.1", err)) < 0) return r;
    if (parse_ipv4(p->host_ip, &addr) == 0 && addr >> 24 == LOOPBACK_NET) return 0;
    return vl_fail(err, VL_INVALID,
                   "%shost_ip is %s, allowed: an IPv4 loopback address such as 127.0.0.1, as user "
                   "networking publishes on loopback only",
                   where, quoted(p->host_ip, shown));
}

static int parse_port(const char *s, const char *what, int64_t *ret, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    uint64_t port;

    if (parse_u64(s, 1, 65535, &port) < 0)
        return vl_fail(err, VL_INVALID, "%s port is %s, allowed 1 to 65535: " FORM, what, quoted(s, shown));
    *ret = (int64_t)port;
    return 0;
}

/* Cuts s before the last `c` in it; gives what follows, NULL if there is none. */
static char *cut_last(char *s, char c)
{
    char *at = strrchr(s, c);

    if (!at) return NULL;
    *at = '\0';
    return at + 1;
}

/* Takes `text` to pieces. */
static int parse_parts(char *text, struct port_map *p, struct vl_error *err)
{
    const char *protocol = cut_last(text, '/'), *guest = cut_last(text, ':'), *host = NULL, *ip = NULL;
    char shown[QUOTED_SIZE];
    int r;

    if (guest) {
        host = cut_last(text, ':');
        ip = host ? text : NULL;
    }
    if (guest && !host) host = text;
    if (!guest) guest = text;
    if (protocol && !str_eq(protocol, "tcp") && !str_eq(protocol, "udp"))
        return vl_fail(err, VL_INVALID, "protocol is %s, allowed: tcp, udp", quoted(protocol, shown));
    if ((r = parse_port(guest, "guest", &p->port, err)) < 0) return r;
    if (host && (r = parse_port(host, "host", &p->host_port, err)) < 0) return r;
    if (ip && !*ip) return vl_fail(err, VL_INVALID, "host address is empty: " FORM);
    if (string_set(&p->host_ip, ip) < 0 || string_set(&p->protocol, protocol) < 0)
        return vl_fail_errno(err, ENOMEM, "parse port");
    return port_map_settle(p, "", err);
}

int port_map_parse(const char *s, struct port_map *ret, struct vl_error *err)
{
    auto_free char *text = strdup(s);
    auto_(port_map_done) struct port_map p = {0};
    char shown[QUOTED_SIZE];
    int r;

    if (!text) return vl_fail_errno(err, ENOMEM, "parse port");
    if ((r = parse_parts(text, &p, err)) < 0) {
        (void)vl_wrap(err, "published port %s", quoted(s, shown));
        return r;
    }
    *ret = p;
    p = (struct port_map){0};
    return 0;
}
