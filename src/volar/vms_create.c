/* SPDX-License-Identifier: Apache-2.0 */
/* volar vms create */
#include <stdio.h>
#include <string.h>

#include "volar/api.h"
#include "volar/config_file.h"
#include "volar/create.h"
#include "volar/manifest_file.h"
#include "volar/vms.h"

#define MB (1024ull * 1024)

static struct create_options create_options;

const struct opt vms_create_opts[] = {
    {"plugin", 'P', OPT_STRING, "PLUGIN", "the installed plugin to boot (required, unless --config names it)", 0, 0,
     &create_options.plugin},
    CREATE_OPTS(create_options),
    {"kernel", 0, OPT_STRING, "FILE",
     "boot this kernel image of volantd's host, below a folder of its VOLANT_KERNEL_DIRS", 0, 0,
     &create_options.kernel},
    {"kernel-cmdline", 0, OPT_STRING, "WORDS", "more arguments for the kernel", 0, 0, &create_options.kernel_cmdline},
    {"initramfs", 0, OPT_STRING, "FILE", "boot this archive instead of what the plugin boots from", 0, 0,
     &create_options.initramfs},
    {"initramfs-checksum", 0, OPT_STRING, "SHA256", "what it must have (default: what it has)", 0, 0,
     &create_options.initramfs_checksum},
    {"runtime", 0, OPT_STRING, "NAME", "the runtime the plugin must have", 0, 0, &create_options.runtime},
    {"config", 0, OPT_STRING, "FILE", "a configuration as JSON; the options here win over it", 0, 0,
     &create_options.config_file},
    {"no-start", 0, OPT_FLAG, NULL, "record the VM, and leave it stopped", 0, 0, &create_options.no_start},
    {"api-host", 0, OPT_STRING, "HOST", "for scripts of the original; without effect here", 0, 0,
     &create_options.api_host},
    {"api-port", 0, OPT_STRING, "PORT", "likewise", 0, 0, &create_options.api_port},
    WAIT_OPTS,
    VOLAR_GLOBAL,
    {0},
};

int create_add_ports(json_t *expose, const struct strv *publish, struct vl_error *err)
{
    for (size_t i = 0; i < publish->len; i++) {
        auto_(port_map_done) struct port_map p = {0};
        int r;

        if ((r = port_map_parse(publish->items[i], &p, err)) < 0) return vl_wrap(err, "--publish");
        if (json_array_append_new(expose, schema_encode(&port_map_schema, &p)) < 0)
            return vl_fail_errno(err, ENOMEM, "--publish");
    }
    return 0;
}

void create_options_done(struct create_options *o)
{
    strv_done(&o->publish);
    strv_done(&o->env);
}

static int add_env(json_t *config, const struct strv *env, struct vl_error *err)
{
    json_t *map = json_object_get(config, "env");

    if (json_is_object(map)) /* of the file: these win */
        (void)json_incref(map);
    else
        map = json_object();
    if (!map || json_object_set_new(config, "env", map) < 0) return vl_fail_errno(err, ENOMEM, "--env");
    for (size_t i = 0; i < env->len; i++) {
        const char *text = env->items[i], *equals = strchr(text, '=');
        const char *value = equals ? equals + 1 : getenv(text); /* NOLINT(concurrency-mt-unsafe): one thread */

        if (equals == text) return vl_fail(err, VL_INVALID, "--env is '%.80s': write NAME=VALUE", text);
        if (!value) continue; /* it is not set here, and so not there */
        if (json_object_setn_new(map, text, equals ? (size_t)(equals - text) : strlen(text), json_string(value)) < 0)
            return vl_fail(err, VL_INVALID, "--env %.*s: the value must be UTF-8", (int)strcspn(text, "="), text);
    }
    return 0;
}

static int add_command(json_t *config, char *const *command, struct vl_error *err)
{
    json_t *words = json_array();

    if (!words || json_object_set_new(config, "command", words) < 0) return vl_fail_errno(err, ENOMEM, "command");
    for (; *command; command++)
        if (json_array_append_new(words, json_string(*command)) < 0)
            return vl_fail(err, VL_INVALID, "the command has words that are no UTF-8");
    return 0;
}

static int add_disk(json_t *config, const char *text, struct vl_error *err)
{
    uint64_t bytes;

    if (parse_size(text, &bytes) < 0 || bytes < DISK_MB_MIN * MB || bytes > DISK_MB_MAX * MB)
        return vl_fail(err, VL_INVALID, "--disk-size is '%.80s': write a size from 64M to 16T, such as 2G", text);
    if (json_object_set_new(config, "disk_mb", json_integer((json_int_t)((bytes + MB - 1) / MB))) < 0)
        return vl_fail_errno(err, ENOMEM, "--disk-size");
    return 0;
}

static int set(json_t *j, const char *key, json_t *value, struct vl_error *err)
{
    return json_object_set_new(j, key, value) < 0 ? vl_fail_errno(err, ENOMEM, "request") : 0;
}

static int set_text(json_t *j, const char *key, const char *text, struct vl_error *err)
{
    return text ? set(j, key, json_string(text), err) : 0;
}

/* In the configuration, which wins over the request, where a file may say otherwise. */
static int set_resources(json_t *body, json_t *config, const struct create_options *o, struct vl_error *err)
{
    json_t *resources = json_object_get(config, "resources");
    int r = 0;

    if (!o->cpu && !o->memory) return 0;
    if (!o->config_file)
        resources = body;
    else if (!json_is_object(resources) && (r = set(config, "resources", resources = json_object(), err)) < 0)
        return r;
    if (o->cpu) r = set(resources, "cpu_cores", json_integer((json_int_t)o->cpu), err);
    if (r == 0 && o->memory) r = set(resources, "memory_mb", json_integer((json_int_t)o->memory), err);
    return r;
}

static int fill_config(json_t *config, const struct create_options *o, struct vl_error *err)
{
    json_t *expose;
    int r;

    if ((r = set_text(config, "restart", o->restart, err)) < 0 ||
        (r = set_text(config, "kernel_override", o->kernel, err)) < 0 ||
        (r = set_text(config, "kernel_cmdline", o->kernel_cmdline, err)) < 0)
        return r;
    if (o->media && json_object_update(config, (json_t *)(uintptr_t)o->media) < 0)
        return vl_fail_errno(err, ENOMEM, "--initramfs");
    if (o->auto_remove && (r = set(config, "auto_remove", json_true(), err)) < 0) return r;
    if (o->publish.len && ((r = set(config, "expose", expose = json_array(), err)) < 0 ||
                           (r = create_add_ports(expose, &o->publish, err)) < 0))
        return r;
    if (o->env.len && (r = add_env(config, &o->env, err)) < 0) return r;
    if (o->disk_size && (r = add_disk(config, o->disk_size, err)) < 0) return r;
    return o->command ? add_command(config, o->command, err) : 0;
}

int create_body(const char *name, const struct create_options *o, char **ret, struct vl_error *err)
{
    json_auto_t *body = json_pack("{s:s}", "name", name), *config = NULL;
    int r;

    if (o->config_file && (r = config_file_read("--config", o->config_file, &config, err)) < 0) return r;
    if (!config) config = json_object();
    if (!body || json_object_set(body, "config", config) < 0) return vl_fail_errno(err, ENOMEM, "request");
    if ((r = set_text(body, "plugin", o->plugin, err)) < 0 || (r = set_text(body, "runtime", o->runtime, err)) < 0 ||
        (r = set_text(body, "api_host", o->api_host, err)) < 0 ||
        (r = set_text(body, "api_port", o->api_port, err)) < 0 || (r = fill_config(config, o, err)) < 0 ||
        (r = set_resources(body, config, o, err)) < 0)
        return r;
    if (o->no_start && (r = set(body, "start", json_false(), err)) < 0) return r;
    if (!(*ret = json_text(body))) return vl_fail_errno(err, ENOMEM, "request");
    return 0;
}

void vm_print_ports(FILE *out, const struct vm_view *vm)
{
    const struct port_map *p = vm->ports->items;

    for (size_t i = 0; i < vm->ports->len; i++)
        (void)fprintf(out, "%s%s:%lld -> %lld/%s\n", str_eq(p[i].protocol, "tcp") ? "http://" : "", p[i].host_ip,
                      (long long)p[i].host_port, (long long)p[i].port, p[i].protocol);
}

static void print_created(const struct vm_view *vm)
{
    printf("VM %s created with IP %s\n", vm->name, vm->ip_address);
    vm_print_ports(stdout, vm);
    if (vm->has_exit_code)
        printf("Its workload has ended with exit code %lld: see `volar vms logs %s`\n", (long long)vm->exit_code,
               vm->name);
}

/* 0, or an exit code. */
static int send_archive(struct volar *v, struct create_options *o, struct manifest_file *m)
{
    struct vl_error err = {0};

    if (!o->initramfs && o->initramfs_checksum) {
        (void)vl_fail(&err, VL_INVALID, "--initramfs-checksum is of --initramfs: give that too, or neither");
        return volar_misuse(v, &err);
    }
    if (!o->initramfs) return 0;
    if (archive_file_read("--initramfs", o->initramfs, o->initramfs_checksum, m, &err) < 0 ||
        artifact_send(v, m, &err) < 0)
        return volar_fail(&err);
    o->media = m->json;
    return 0;
}

static int create(struct volar *v, const char *name)
{
    auto_manifest_file archive = {.fd = -1};
    auto_(vm_view_done) struct vm_view vm = {0};
    auto_free char *body = NULL;
    struct vl_error err = {0};
    int r;

    if ((r = send_archive(v, &create_options, &archive)) != 0) return r;
    if (create_body(name, &create_options, &body, &err) < 0) return volar_misuse(v, &err);
    if ((vms_wait.none = create_options.no_start)) vms_wait.want = "process";
    if (vm_post_and_wait(v, "/api/v1/vms", body, &vm, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return vm_print_json(&vm, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
    print_created(&vm);
    return EXIT_DONE;
}

int vms_create(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *name;
    size_t n;
    int r = volar_begin(v, argc, argv, &name, 1, 1, &n);

    if (r < 0 && (r = vms_check_wait(v)) == EXIT_DONE && (r = volar_check_name(v, "VM", name)) == EXIT_DONE) {
        if (!create_options.plugin && !create_options.config_file) {
            (void)vl_fail(&err, VL_INVALID, "--plugin is missing: name an installed one (`volar plugins list`)");
            r = volar_misuse(v, &err);
        } else if (!create_options.plugin || (r = volar_check_name(v, "plugin", create_options.plugin)) == EXIT_DONE) {
            r = create(v, name);
        }
    }
    create_options_done(&create_options);
    return r;
}
