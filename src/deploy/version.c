/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations. Stored is what the client gave, with the manifest of its plugin as that was then; members get it with
 * the defaults filled in, so that another plugin's defaults can take the place of the former one's.
 */
#include <string.h>

#include "deploy/internal.h"

#define START_MS 60000 /* from boot to ready, where the manifest has no health check that says how long */

void version_free(struct version *v)
{
    if (!v) return;
    json_decref(v->stored);
    vm_config_done(&v->config);
    free(v);
}

struct version *version_find(const struct deployment *d, int64_t number)
{
    struct version *v = d->versions;

    while (v && v->number != number)
        v = v->next;
    return v;
}

/* --- what members get --------------------------------------------------------------------------------------------- */

static int default_text(char **slot, const char *text)
{
    return *slot && **slot ? 0 : string_set(slot, text);
}

/* In a deployment a replica comes back unless its manifest or configuration says otherwise. */
static int fill_defaults(struct vm_config *c, const struct manifest *m)
{
    const char *restart = m->restart && *m->restart ? m->restart : restart_policy_name(RESTART_ALWAYS);
    int r;

    if (c->resources.cpu_cores <= 0)
        c->resources.cpu_cores = m->resources.cpu_cores ? m->resources.cpu_cores : CPU_CORES_DEFAULT;
    if (c->resources.memory_mb <= 0)
        c->resources.memory_mb = m->resources.memory_mb ? m->resources.memory_mb : MEMORY_MB_DEFAULT;
    if ((r = default_text(&c->plugin, m->name)) < 0 || (r = default_text(&c->runtime, m->runtime)) < 0) return r;
    return default_text(&c->restart, restart);
}

static int version_fill(struct version *v, struct deploy *dp, const struct manifest *m, struct vl_error *err)
{
    const struct health_check *h = &m->health_check;
    int64_t start_ms = h->type && *h->type ? h->timeout_ms : START_MS;
    int r;

    if (v->config.runtime && *v->config.runtime && !str_eq(v->config.runtime, m->runtime))
        return vl_fail(err, VL_INVALID, "config.runtime is '%s', plugin '%s' has '%s': leave it out", v->config.runtime,
                       m->name, m->runtime);
    if ((r = fill_defaults(&v->config, m)) < 0) return vl_fail_errno(err, r, "configuration");
    if (manifest_checksum(m) && (r = strf(v->checksum, sizeof(v->checksum), "%s", manifest_checksum(m))) < 0)
        return vl_fail_errno(err, r, "the manifest's checksum");
    v->ready_ms = dp->cfg.boot_ms + (start_ms > 0 ? start_ms : HEALTH_TIMEOUT_MS_MIN);
    return 0;
}

int version_new(struct deploy *dp, json_t *stored, struct version **ret, struct vl_error *err)
{
    auto_(version_freep) struct version *v = calloc(1, sizeof(*v));
    json_auto_t *manifest = NULL;
    auto_manifest m = {0};
    int r;

    if (!v) {
        json_decref(stored);
        return vl_fail_errno(err, ENOMEM, "configuration");
    }
    v->stored = stored;
    if ((r = vm_config_decode(stored, &v->config, NULL, err)) < 0) return r;
    if (!v->config.manifest) return vl_fail(err, VL_INVALID, "config.manifest is missing");
    if ((r = json_parse(v->config.manifest, strlen(v->config.manifest), "config.manifest", &manifest, err)) < 0 ||
        (r = vm_config_lay_medium(&v->config, manifest, err)) < 0 ||
        (r = manifest_decode(manifest, "config.manifest", &m, NULL, NULL, err)) < 0 ||
        (r = version_fill(v, dp, &m, err)) < 0)
        return r;
    *ret = take_ptr(v);
    return 0;
}

void version_request(const struct version *v, const char *name, struct vm_request *ret)
{
    *ret = (struct vm_request){
        .name = (char *)name,
        .plugin = v->config.plugin,
        .runtime = v->config.runtime,
        .cpu_cores = v->config.resources.cpu_cores,
        .memory_mb = v->config.resources.memory_mb,
        .config = v->config, /* the engine copies it */
        .start = true,
    };
}

json_t *version_json(const struct version *v)
{
    json_auto_t *shown = json_deep_copy(v->stored), *filled = schema_encode(&vm_config_schema, &v->config);

    return shown && filled && json_object_update(shown, filled) == 0 ? take_ptr(shown) : NULL;
}

/* --- what is allowed ---------------------------------------------------------------------------------------------- */

static const char *plugin_named(const json_t *config)
{
    const char *plugin = json_string_value(json_object_get(config, "plugin"));

    if (plugin && *plugin) return plugin;
    return json_string_value(json_object_get(json_object_get(config, "manifest"), "name"));
}

static int embed(json_t *config, const struct plugin *p, struct vl_error *err)
{
    auto_free char *text = engine_plugin_manifest(p);
    json_t *manifest = NULL;
    int r;

    if (!text) return vl_fail_errno(err, ENOMEM, "manifest");
    if ((r = json_parse(text, strlen(text), "manifest", &manifest, err)) < 0) return r;
    if (json_object_set_new(config, "manifest", manifest) < 0) return vl_fail_errno(err, ENOMEM, "manifest");
    return 0;
}

int config_settle(struct deploy *dp, json_t *config, struct vl_error *err)
{
    const char *name = plugin_named(config);
    char shown[QUOTED_SIZE];
    struct plugin *p;

    if (!name || !*name) return vl_fail(err, VL_INVALID, "config.plugin is required: name an installed plugin");
    if (!(p = engine_plugin_find(dp->cfg.engine, name)))
        return vl_fail(err, VL_NOT_FOUND,
                       "plugin %s is not installed: see `volar plugins list`, or install it with "
                       "`volar plugins install MANIFEST`",
                       quoted(name, shown));
    if (!engine_plugin_enabled(p))
        return vl_fail(err, VL_CONFLICT, "plugin '%s' is disabled: `volar plugins enable %s`", name, name);
    if (json_object_set_new(config, "plugin", json_string(engine_plugin_name(p))) < 0)
        return vl_fail_errno(err, ENOMEM, "configuration");
    return json_object_get(config, "manifest") ? 0 : embed(config, p, err);
}

int ports_check(const struct version *v, int64_t replicas, struct vl_error *err)
{
    const struct port_map *ports = v->config.expose.items;

    for (size_t i = 0; i < v->config.expose.len && replicas > 1; i++)
        if (ports[i].host_port)
            return vl_fail(err, VL_INVALID,
                           "config.expose[%zu].host_port is %lld, which %lld replicas cannot share: give 0, and each "
                           "gets a port of its own, or have 1 replica",
                           i, (long long)ports[i].host_port, (long long)replicas);
    return 0;
}

int version_check(struct deploy *dp, const struct version *v, const char *name, int64_t replicas, struct vl_error *err)
{
    struct vm_request req;
    char member[64];
    int r;

    if ((r = ports_check(v, replicas, err)) < 0) return r;
    if ((r = strf(member, sizeof(member), "%s-1", name)) < 0) return vl_fail_errno(err, r, "name");
    version_request(v, member, &req);
    return engine_vm_check(dp->cfg.engine, &req, err);
}
