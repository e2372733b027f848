/* SPDX-License-Identifier: Apache-2.0 */
/* volar vms create */
#include <stdio.h>
#include <string.h>

#include "volar/api.h"
#include "volar/create.h"
#include "volar/vms.h"

static struct create_options create_options;

const struct opt vms_create_opts[] = {
    {"plugin", 'P', OPT_STRING, "PLUGIN", "the installed plugin to boot (required)", 0, 0, &create_options.plugin},
    CREATE_OPTS(create_options),
    {"kernel", 0, OPT_STRING, "FILE",
     "boot this kernel image of volantd's host, below a folder of its VOLANT_KERNEL_DIRS", 0, 0,
     &create_options.kernel},
    {"runtime", 0, OPT_STRING, "NAME", "the runtime the plugin must have", 0, 0, &create_options.runtime},
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
    json_t *map = json_object();

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

int create_body(const char *name, const struct create_options *o, char **ret, struct vl_error *err)
{
    json_auto_t *body = json_pack("{s:s, s:s}", "name", name, "plugin", o->plugin);
    json_t *config = json_object(), *expose = json_array();
    int r;

    if (!body || json_object_set_new(body, "config", config) < 0 || json_object_set_new(config, "expose", expose) < 0)
        return vl_fail_errno(err, ENOMEM, "request");
    if ((o->cpu && json_object_set_new(body, "cpu_cores", json_integer((json_int_t)o->cpu)) < 0) ||
        (o->memory && json_object_set_new(body, "memory_mb", json_integer((json_int_t)o->memory)) < 0) ||
        (o->runtime && json_object_set_new(body, "runtime", json_string(o->runtime)) < 0) ||
        (o->restart && json_object_set_new(config, "restart", json_string(o->restart)) < 0) ||
        (o->kernel && json_object_set_new(config, "kernel_override", json_string(o->kernel)) < 0))
        return vl_fail_errno(err, ENOMEM, "request");
    if (o->auto_remove && json_object_set_new(config, "auto_remove", json_true()) < 0)
        return vl_fail_errno(err, ENOMEM, "request");
    if ((r = create_add_ports(expose, &o->publish, err)) < 0 || (r = add_env(config, &o->env, err)) < 0 ||
        (o->command && (r = add_command(config, o->command, err)) < 0))
        return r;
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

static int create(struct volar *v, const char *name)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    auto_free char *body = NULL;
    struct vl_error err = {0};

    if (create_body(name, &create_options, &body, &err) < 0) return volar_misuse(v, &err);
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
        if (!create_options.plugin) {
            (void)vl_fail(&err, VL_INVALID, "--plugin is missing: name an installed one (`volar plugins list`)");
            r = volar_misuse(v, &err);
        } else if ((r = volar_check_name(v, "plugin", create_options.plugin)) == EXIT_DONE) {
            r = create(v, name);
        }
    }
    create_options_done(&create_options);
    return r;
}
