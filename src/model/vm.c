/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may ask for when it creates a VM (contract 1.4 and 4.1), as far as it can be judged without the
 * registry. */
#include "model/vm.h"

#include <string.h>
#include <strings.h>

#include "model/manifest_rules.h"

#define PORTS_MAX    64
#define METADATA_MAX 65536
#define MEDIUM_MAX   8192
#define KEPT_MAX     65536
#define KEPT         "Kept and given back; this version does nothing with it."

static const struct field config_fields[] = {
    {"plugin", FIELD_STRING, .offset = offsetof(struct vm_config, plugin), .pattern = NAME_PATTERN},
    {"runtime", FIELD_STRING, .offset = offsetof(struct vm_config, runtime), .max = 128},
    {"resources", FIELD_OBJECT, .offset = offsetof(struct vm_config, resources), .sub = &resources_schema},
    {"expose", FIELD_OBJECTS, .offset = offsetof(struct vm_config, expose), .max = PORTS_MAX, .sub = &port_map_schema,
     .about = "Ports of the guest to publish on the loopback; a host_port of 0 is picked."},
    {"env", FIELD_MAP, .offset = offsetof(struct vm_config, env),
     .about = "Environment of the workload, over the manifest's."},
    {"command", FIELD_STRINGS, .offset = offsetof(struct vm_config, command), .max = 1024,
     .about = "Arguments instead of the image's own, after its entrypoint."},
    {"restart", FIELD_STRING, .offset = offsetof(struct vm_config, restart), .choices = restart_policies},
    {"disk_mb", FIELD_INT, .offset = offsetof(struct vm_config, disk_mb), .min = DISK_MB_MIN, .max = DISK_MB_MAX,
     .about = "A disk of its own for what it changes in its disk image; memory if left out."},
    {"auto_remove", FIELD_BOOL, .offset = offsetof(struct vm_config, auto_remove),
     .about = "Delete it a moment after its end; it is never booted again."},
    {"kernel_override", FIELD_STRING, .offset = offsetof(struct vm_config, kernel_override), .max = 4095,
     .about = "A kernel of the host, below a folder of VOLANT_KERNEL_DIRS."},
    {"manifest", FIELD_JSON, .offset = offsetof(struct vm_config, manifest), .max = MANIFEST_MAX,
     .about = "Instead of the installed one; of the same plugin."},
    {"metadata", FIELD_JSON, .offset = offsetof(struct vm_config, metadata), .max = METADATA_MAX,
     .about = "The client's own; nothing reads it."},
    {"kernel_cmdline", FIELD_STRING, .offset = offsetof(struct vm_config, kernel_cmdline), .max = CMDLINE_EXTRA_MAX,
     .about = "Arguments for the kernel, behind those that it gets anyway."},
    {"initramfs", FIELD_JSON, .offset = offsetof(struct vm_config, initramfs), .max = MEDIUM_MAX,
     .about = "Boot from this archive, as a manifest names it, instead of the plugin's medium."},
    {"rootfs", FIELD_JSON, .offset = offsetof(struct vm_config, rootfs), .max = MEDIUM_MAX,
     .about = "Boot from this disk image, as a manifest names it, instead of the plugin's medium."},
    {"api", FIELD_JSON, .flags = FIELD_KEPT, .offset = offsetof(struct vm_config, api), .max = KEPT_MAX, .about = KEPT},
    {"devices", FIELD_JSON, .flags = FIELD_KEPT, .offset = offsetof(struct vm_config, devices), .max = KEPT_MAX,
     .about = KEPT},
    {"cloud_init", FIELD_JSON, .flags = FIELD_KEPT, .offset = offsetof(struct vm_config, cloud_init), .max = KEPT_MAX,
     .about = KEPT},
    {"network", FIELD_JSON, .flags = FIELD_KEPT, .offset = offsetof(struct vm_config, network), .max = KEPT_MAX,
     .about = KEPT},
};
const struct schema vm_config_schema = {"config", sizeof(struct vm_config), config_fields, ARRAY_LEN(config_fields)};

#define AT(member) offsetof(struct vm_request, member)
static const struct field request_fields[] = {
    {"name", FIELD_STRING, .flags = FIELD_REQUIRED | FIELD_TOLD, .offset = AT(name),
     .about = "Letters, digits, dot, dash, underscore; unique.", .min = 1, .max = NAME_LENGTH, .pattern = NAME_PATTERN},
    {"plugin", FIELD_STRING, .offset = AT(plugin), .about = "Name of an installed plugin.", .pattern = NAME_PATTERN},
    {"runtime", FIELD_STRING, .offset = AT(runtime), .max = 128},
    {"cpu_cores", FIELD_INT, .offset = AT(cpu_cores), .min = 1, .max = CPU_CORES_MAX,
     .about = "The plugin's if left out."},
    {"memory_mb", FIELD_INT, .offset = AT(memory_mb), .min = MEMORY_MB_MIN, .max = MEMORY_MB_MAX,
     .about = "The plugin's if left out."},
    {"config", FIELD_OBJECT, .offset = AT(config), .sub = &vm_config_schema},
    {"start", FIELD_BOOL, .offset = AT(start), .def = true, .about = "false: record it as stopped."},
    {"kernel_cmdline", FIELD_STRING, .offset = AT(kernel_cmdline), .max = CMDLINE_EXTRA_MAX,
     .about = "Arguments for the kernel; those of config win."},
    {"api_host", FIELD_STRING, .flags = FIELD_IGNORED},
    {"api_port", FIELD_STRING, .flags = FIELD_IGNORED},
};
const struct schema vm_request_schema = {"request", sizeof(struct vm_request), request_fields,
                                         ARRAY_LEN(request_fields)};

void vm_request_done(struct vm_request *r)
{
    schema_done(&vm_request_schema, r);
}

void vm_config_done(struct vm_config *c)
{
    schema_done(&vm_config_schema, c);
}

static bool is_set(const char *s)
{
    return s && *s;
}

static int check_name(const char *field, const char *name, struct vl_error *err)
{
    const char *problem = name_problem(name);
    char shown[QUOTED_SIZE];

    return problem ? vl_fail(err, VL_INVALID, "%s %s %s", field, quoted(name, shown), problem) : 0;
}

/* *slot becomes a copy of what the configuration says, where that says something. */
static int take_over(char **slot, const char *from_config, struct vl_error *err)
{
    if (is_set(from_config) && string_set(slot, from_config) < 0) return vl_fail_errno(err, ENOMEM, "decode request");
    return 0;
}

static int resolve(struct vm_request *req, const char *of_manifest, struct vl_error *err)
{
    const struct vm_config *config = &req->config;
    char a[QUOTED_SIZE], b[QUOTED_SIZE];
    int r;

    if (is_set(req->plugin) && is_set(config->plugin) && strcasecmp(req->plugin, config->plugin) != 0)
        return vl_fail(err, VL_INVALID, "plugin mismatch between request and config: plugin is %s, config.plugin is %s",
                       quoted(req->plugin, a), quoted(config->plugin, b));
    if ((r = take_over(&req->plugin, config->plugin, err)) < 0) return r;
    if ((r = take_over(&req->runtime, config->runtime, err)) < 0) return r;
    if ((r = kernel_cmdline_settle(&req->kernel_cmdline, "kernel_cmdline", err)) < 0) return r;
    if (!is_set(config->kernel_cmdline) && (r = take_over(&req->config.kernel_cmdline, req->kernel_cmdline, err)) < 0)
        return r;
    if (config->resources.cpu_cores > 0) req->cpu_cores = config->resources.cpu_cores;
    if (config->resources.memory_mb > 0) req->memory_mb = config->resources.memory_mb;
    if (!is_set(req->plugin) && (r = take_over(&req->plugin, of_manifest, err)) < 0) return r;
    if (!is_set(req->plugin)) return vl_fail(err, VL_INVALID, "plugin is required: name an installed plugin");
    return check_name("plugin", req->plugin, err);
}

static bool same_place(const struct port_map *a, const struct port_map *b)
{
    return a->host_port != 0 && a->host_port == b->host_port && str_eq(a->protocol, b->protocol) &&
           str_eq(a->host_ip, b->host_ip);
}

static int settle_ports(const struct objects *expose, struct vl_error *err)
{
    struct port_map *ports = expose->items;

    for (size_t i = 0; i < expose->len; i++) {
        char where[48];
        int r;

        (void)strf(where, sizeof(where), "config.expose[%zu].", i);
        if ((r = port_map_settle(&ports[i], where, err)) < 0) return r;
        for (size_t j = 0; j < i; j++)
            if (same_place(&ports[i], &ports[j]))
                return vl_fail(err, VL_INVALID,
                               "%shost_port: %s:%lld/%s is published by config.expose[%zu] already, choose another",
                               where, ports[i].host_ip, (long long)ports[i].host_port, ports[i].protocol, j);
    }
    return 0;
}

/* The manifest as it will be acted on, and whose it is. */
static int settle_manifest(struct vm_config *c, char **ret_name, struct strv *notes, struct vl_error *err)
{
    json_auto_t *given = NULL, *settled = NULL;
    auto_manifest m = {0};
    char *text;
    int r;

    if (!is_set(c->manifest)) return 0;
    if ((r = json_parse(c->manifest, strlen(c->manifest), "config.manifest", &given, err)) < 0) return r;
    if (json_object_size(given) == 0) { /* as clients write what was never set */
        free(take_ptr(c->manifest));
        return 0;
    }
    if ((r = manifest_decode(given, "config.manifest", &m, &settled, notes, err)) < 0) return r;
    if (!(text = json_text(settled))) return vl_fail_errno(err, ENOMEM, "decode config.manifest");
    free(c->manifest);
    c->manifest = text;
    *ret_name = take_ptr(m.name);
    return 0;
}

/* What a configuration says of its own, whatever the plugin. */
static int settle_config(struct vm_config *c, struct vl_error *err)
{
    int r;

    trim_field(&c->kernel_override);
    if ((r = kernel_cmdline_settle(&c->kernel_cmdline, "config.kernel_cmdline", err)) < 0) return r;
    if ((r = settle_ports(&c->expose, err)) < 0 || (r = env_check(&c->env, "config.env", err)) < 0) return r;
    if (c->auto_remove && is_set(c->restart) && !str_eq(c->restart, restart_policy_name(RESTART_NO)))
        return vl_fail(err, VL_INVALID,
                       "config.auto_remove and config.restart '%s' exclude each other: leave one of them out",
                       c->restart);
    return 0;
}

/* ret_medium: NULL where it names none, as clients write what was never set. */
static int medium_of(const char *text, const char *field, json_t **ret, struct vl_error *err)
{
    json_auto_t *medium = NULL;
    const char *url;
    int r;

    *ret = NULL;
    if (!is_set(text)) return 0;
    if ((r = json_parse(text, strlen(text), field, &medium, err)) < 0) return r;
    url = json_string_value(json_object_get(medium, "url"));
    if (is_set(url) && url[strspn(url, " \t")]) *ret = take_ptr(medium);
    return 0;
}

int vm_config_lay_medium(const struct vm_config *c, json_t *manifest, struct vl_error *err)
{
    json_auto_t *archive = NULL, *disk = NULL;
    int r;

    if ((r = medium_of(c->initramfs, "config.initramfs", &archive, err)) < 0) return r;
    if ((r = medium_of(c->rootfs, "config.rootfs", &disk, err)) < 0) return r;
    if (archive && disk)
        return vl_fail(err, VL_INVALID,
                       "config.initramfs and config.rootfs: a VM boots from one of them, leave one out");
    if (!archive && !disk) return 0;
    (void)json_object_del(manifest, archive ? "rootfs" : "initramfs");
    if (json_object_set(manifest, archive ? "initramfs" : "rootfs", archive ? archive : disk) < 0)
        return vl_fail_errno(err, ENOMEM, "boot medium");
    return 0;
}

static int check_manifest_name(const char *name, const char *plugin, struct vl_error *err)
{
    char a[QUOTED_SIZE], b[QUOTED_SIZE];

    if (!name || !is_set(plugin) || str_eq(name, plugin)) return 0;
    return vl_fail(err, VL_INVALID, "config.manifest.name is %s, the plugin is %s: send the manifest of that plugin",
                   quoted(name, a), quoted(plugin, b));
}

static int add_all(struct strv *to, const struct strv *texts, struct vl_error *err)
{
    for (size_t i = 0; to && i < texts->len; i++)
        if (strv_add(to, texts->items[i]) < 0) return vl_fail_errno(err, ENOMEM, "decode request");
    return 0;
}

int vm_config_decode(const json_t *in, struct vm_config *ret, struct strv *unknown, struct vl_error *err)
{
    auto_(vm_config_done) struct vm_config c = {0};
    auto_free char *of_manifest = NULL;
    auto_strv notes = {0};
    int r;

    if ((r = schema_decode(&vm_config_schema, in, NULL, &c, &notes, err)) < 0) return r;
    if ((r = settle_manifest(&c, &of_manifest, &notes, err)) < 0) return r;
    if ((r = check_manifest_name(of_manifest, c.plugin, err)) < 0) return r;
    if ((r = settle_config(&c, err)) < 0) return r;
    if ((r = add_all(unknown, &notes, err)) < 0) return r;
    *ret = c;
    c = (struct vm_config){0};
    return 0;
}

int vm_request_decode(const json_t *in, struct vm_request *ret, struct strv *unknown, struct vl_error *err)
{
    auto_vm_request req = {0};
    auto_free char *of_manifest = NULL;
    auto_strv notes = {0};
    int r;

    if ((r = schema_decode(&vm_request_schema, in, "", &req, &notes, err)) < 0) return r;
    if ((r = check_name("name", req.name, err)) < 0) return r;
    if ((r = settle_manifest(&req.config, &of_manifest, &notes, err)) < 0) return r;
    if ((r = resolve(&req, of_manifest, err)) < 0) return r;
    if ((r = check_manifest_name(of_manifest, req.plugin, err)) < 0) return r;
    if ((r = settle_config(&req.config, err)) < 0) return r;
    if ((r = add_all(unknown, &notes, err)) < 0) return r;
    *ret = req;
    req = (struct vm_request){0};
    return 0;
}

const char *const vm_status_names[] = {
    [VM_PENDING] = "pending", [VM_STARTING] = "starting", [VM_RUNNING] = "running",
    [VM_PAUSED] = "paused",   [VM_STOPPING] = "stopping", [VM_STOPPED] = "stopped",
    [VM_CRASHED] = "crashed", [VM_FAILED] = "failed",     NULL,
};

const char *vm_status_name(enum vm_status s)
{
    return vm_status_names[s];
}

int vm_status_parse(const char *s, enum vm_status *ret)
{
    for (size_t i = 0; vm_status_names[i]; i++) {
        if (!str_eq(s, vm_status_names[i])) continue;
        *ret = (enum vm_status)i;
        return 0;
    }
    return -EINVAL;
}

bool vm_status_ended(enum vm_status s)
{
    return s == VM_STOPPED || s == VM_CRASHED || s == VM_FAILED;
}
