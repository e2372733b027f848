/* SPDX-License-Identifier: Apache-2.0 */
/* What an OCI image says of how its program is meant to run, beyond the program: rules for those keys. */
#include <string.h>

#include "model/manifest_rules.h"

#define SIGNAL_MAX 64

static const char *const signals[] = {"HUP",   "INT",  "QUIT",    "ABRT",  "KILL", "USR1", "USR2",
                                      "ALRM",  "TERM", "CONT",    "STOP",  "TSTP", "PWR",  "TTIN",
                                      "WINCH", "TTOU", "RTMIN+3", "RTMIN", NULL};

static int settle_signal(char **slot, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    const char *name;
    uint64_t number;

    trim_field(slot);
    if (!*slot || parse_u64(*slot, 1, SIGNAL_MAX, &number) == 0) return 0;
    name = str_starts(*slot, "SIG") ? *slot + 3 : *slot;
    for (const char *const *known = signals; *known; known++)
        if (str_eq(name, *known)) return 0;
    return vl_fail(err, VL_INVALID, "workload.stop_signal is %s, allowed: a name such as SIGTERM, or 1 to %d",
                   quoted(*slot, shown), SIGNAL_MAX);
}

static bool is_port(const char *s)
{
    size_t len = strcspn(s, "/");
    char number[8];
    uint64_t port;

    return strf(number, sizeof(number), "%.*s", (int)len, s) > 0 && parse_u64(number, 1, 65535, &port) == 0 &&
           (str_eq(s + len, "/tcp") || str_eq(s + len, "/udp") || str_eq(s + len, "/sctp"));
}

int image_keys_settle(struct workload *w, struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    for (size_t i = 0; i < w->volumes.len; i++)
        if (w->volumes.items[i][0] != '/' || path_climbs(w->volumes.items[i]))
            return vl_fail(err, VL_INVALID, "workload.volumes[%zu] is %s: write an absolute path without \"..\"", i,
                           quoted(w->volumes.items[i], shown));
    for (size_t i = 0; i < w->exposed_ports.len; i++)
        if (!is_port(w->exposed_ports.items[i]))
            return vl_fail(err, VL_INVALID, "workload.exposed_ports[%zu] is %s: write PORT/tcp or PORT/udp", i,
                           quoted(w->exposed_ports.items[i], shown));
    return settle_signal(&w->stop_signal, err);
}
