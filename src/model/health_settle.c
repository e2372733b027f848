/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of health_check that its table cannot say. What is given decides the kind of check where `type` does not;
 * what does not go together is refused, as nobody could say which of the two was meant.
 */
#include <string.h>

#include "model/manifest_rules.h"

static int set_type(struct health_check *h, struct vl_error *err)
{
    const char *type = h->command.len > 0 ? "exec" : h->endpoint ? "http" : h->port > 0 ? "tcp" : NULL;

    if (h->type || !type) return 0;
    return string_set(&h->type, type) < 0 ? vl_fail_errno(err, ENOMEM, "decode manifest") : 0;
}

/* The original always writes endpoint and timeout_ms; whoever wrote one of the others wants a check. */
static int check_blank(const struct health_check *h, struct vl_error *err)
{
    if (h->interval_ms == HEALTH_INTERVAL_MS && h->check_timeout_ms == HEALTH_CHECK_TIMEOUT_MS &&
        h->retries == HEALTH_RETRIES && h->start_period_ms == 0)
        return 0;
    return vl_fail(err, VL_INVALID,
                   "health_check.type is missing: write what to check, endpoint (http), port (tcp) or command (exec)");
}

static int settle_exec(struct health_check *h, struct vl_error *err)
{
    const char *other = h->endpoint ? "endpoint" : h->port > 0 ? "port" : NULL;

    if (h->command.len == 0)
        return vl_fail(
            err, VL_INVALID,
            "health_check.command is missing: write program and arguments, such as [\"/bin/check\", \"-q\"]");
    if (other)
        return vl_fail(err, VL_INVALID, "health_check.%s does not go with a command: remove one of the two", other);
    trim_text(h->command.items[0]);
    if (!*h->command.items[0])
        return vl_fail(err, VL_INVALID, "health_check.command[0] is blank: name the program to run");
    return 0;
}

static int settle_endpoint(const struct health_check *h, const struct workload *w, struct vl_error *err)
{
    struct health_target target;
    char shown[QUOTED_SIZE];
    int r = health_target_make(h, w, &target);

    if (r == -ENOMEM) return vl_fail_errno(err, ENOMEM, "decode manifest");
    if (r < 0)
        return vl_fail(
            err, VL_INVALID,
            "health_check.endpoint is %s: write a path such as \"/healthz\", percent-encoded, or an http:// URL "
            "of workload.base_url's host and the checked port",
            quoted(h->endpoint ? h->endpoint : w->base_url, shown));
    health_target_done(&target);
    return 0;
}

static int settle_network(const struct health_check *h, const struct workload *w, struct vl_error *err)
{
    bool http = str_eq(h->type, "http");

    if (h->command.len > 0)
        return vl_fail(err, VL_INVALID,
                       "health_check.command does not go with type \"%s\": write \"exec\", or remove it", h->type);
    if (h->port == 0 && !w->base_url)
        return vl_fail(err, VL_INVALID, "health_check.port is missing: write the port to ask, or workload.base_url");
    if (!http && h->endpoint)
        return vl_fail(err, VL_INVALID,
                       "health_check.endpoint does not go with type \"tcp\": write \"http\", or remove it");
    return http ? settle_endpoint(h, w, err) : 0;
}

int health_check_settle(struct manifest *m, struct vl_error *err)
{
    struct health_check *h = &m->health_check;
    int r;

    trim_field(&h->endpoint);
    if ((r = set_type(h, err)) < 0) return r;
    if (!h->type) return check_blank(h, err);
    if (!manifest_has_agent(m))
        return vl_fail(err, VL_INVALID,
                       "health_check needs the agent, which runs it in the guest: remove it, or agent \"none\"");
    return str_eq(h->type, "exec") ? settle_exec(h, err) : settle_network(h, &m->workload, err);
}
