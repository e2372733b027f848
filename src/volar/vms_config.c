/* SPDX-License-Identifier: Apache-2.0 */
/* volar vms config ..., and vms scale, which is a change of it. */
#include <stdio.h>
#include <string.h>

#include "model/deployment.h"
#include "volar/api.h"
#include "volar/config_file.h"
#include "volar/deployments.h"
#include "volar/output.h"
#include "volar/vms.h"

#define CALL_S 30

static struct {
    bool raw, restart;
    const char *file, *to_file;
    uint64_t limit, version, cpu, memory, replicas;
} options = {.replicas = UINT64_MAX};

const struct opt vms_config_get_opts[] = {
    {"raw", 0, OPT_FLAG, NULL, "with its version and time, as the API has it", 0, 0, &options.raw},
    {"output", 'o', OPT_STRING, "FILE", "write it to this file (json: to stdout)", 0, 0, &options.to_file},
    VOLAR_GLOBAL,
    {0},
};
const struct opt vms_config_set_opts[] = {
    {"file", 'f', OPT_STRING, "FILE", "what to change, as JSON (required)", 0, 0, &options.file},
    VOLAR_GLOBAL,
    {0},
};
const struct opt vms_config_history_opts[] = {
    {"limit", 'n', OPT_U64, "N", "the newest N alone", 0, INT64_MAX, &options.limit},
    VOLAR_GLOBAL,
    {0},
};
const struct opt vms_config_rollback_opts[] = {
    {"to", 0, OPT_U64, "VERSION", "the version to go back to (default: the one before)", 1, INT64_MAX,
     &options.version},
    VOLAR_GLOBAL,
    {0},
};
const struct opt vms_scale_opts[] = {
    {"cpu", 'c', OPT_U64_OPTIONAL, "N", "vCPUs", 1, CPU_CORES_MAX, &options.cpu},
    {"memory", 'm', OPT_U64_OPTIONAL, "MB", "memory", MEMORY_MB_MIN, MEMORY_MB_MAX, &options.memory},
    {"restart", 0, OPT_FLAG, NULL, "restart the VM with it", 0, 0, &options.restart},
    {"replicas", 'n', OPT_U64_OPTIONAL, "N", "of the deployment of that name", 0, DEPLOYMENT_REPLICAS_MAX,
     &options.replicas},
    ROLLOUT_WAIT_OPTS,
    VOLAR_GLOBAL,
    {0},
};

static int begin(struct volar *v, int argc, char *const *argv, const char **ret)
{
    size_t n;
    int r = volar_begin(v, argc, argv, ret, 1, 1, &n);

    return r >= 0 ? r : (r = volar_check_name(v, "VM", *ret)) != EXIT_DONE ? r : -1;
}

static void path_of(char *buf, size_t size, const char *name, const char *suffix)
{
    (void)strf(buf, size, "/api/v1/vms/%s/config%s", name, suffix);
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

int vms_config_get(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *j = NULL;
    const json_t *shown;
    const char *name;
    char path[128];
    int r = begin(v, argc, argv, &name);

    if (r >= 0) return r;
    path_of(path, sizeof(path), name, "");
    if (api_json(v, "GET", path, NULL, CALL_S, &j, &err) < 0) return volar_fail(&err);
    shown = options.raw ? j : json_object_get(j, "config");
    if (!output_is_file(options.to_file)) return print_json(shown) < 0 ? EXIT_FAILED : EXIT_DONE;
    return write_json(shown, options.to_file, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}

/* --- set and rollback --------------------------------------------------------------------------------------------- */

static int changed(struct volar *v, const char *name, const json_t *j, const char *how)
{
    if (volar_json(v)) return print_json(j) < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("VM %s configuration %s (version %lld)\n", name, how, number_at(j, NULL, "version"));
    return EXIT_DONE;
}

int vms_config_set(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *patch = NULL, *j = NULL;
    auto_free char *body = NULL;
    const char *name;
    char path[128];
    int r = begin(v, argc, argv, &name);

    if (r >= 0) return r;
    if (!options.file) {
        (void)vl_fail(&err, VL_INVALID, "--file is missing: name a JSON file with what is to change");
        return volar_misuse(v, &err);
    }
    path_of(path, sizeof(path), name, "");
    if (config_file_read("--file", options.file, &patch, &err) < 0 || !(body = json_text(patch)) ||
        api_json(v, "PATCH", path, body, CALL_S, &j, &err) < 0)
        return volar_fail(&err);
    return changed(v, name, j, "updated");
}

int vms_config_rollback(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *j = NULL;
    const char *name;
    char path[128], body[64] = "{}";
    int r = begin(v, argc, argv, &name);

    if (r >= 0) return r;
    if (options.version) (void)strf(body, sizeof(body), "{\"version\": %llu}", (unsigned long long)options.version);
    path_of(path, sizeof(path), name, "/rollback");
    if (api_json(v, "POST", path, body, CALL_S, &j, &err) < 0) return volar_fail(&err);
    return changed(v, name, j, "rolled back");
}

/* --- history ------------------------------------------------------------------------------------------------------ */

int vms_config_history(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *list = NULL;
    const json_t *j;
    const char *name;
    char path[160], query[48];
    size_t i;
    int r = begin(v, argc, argv, &name);

    if (r >= 0) return r;
    (void)strf(query, sizeof(query), "/history?limit=%llu", (unsigned long long)options.limit);
    path_of(path, sizeof(path), name, query);
    if (api_json(v, "GET", path, NULL, CALL_S, &list, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(list) < 0 ? EXIT_FAILED : EXIT_DONE;
    json_array_foreach(list, i, j)
    {
        const json_t *config = json_object_get(j, "config");

        printf("Version %lld\t%s\tCPU=%lld\tMemory=%lld MB\n", number_at(j, NULL, "version"),
               text_at(j, NULL, "updated_at"), number_at(config, "resources", "cpu_cores"),
               number_at(config, "resources", "memory_mb"));
    }
    return EXIT_DONE;
}

/* --- scale -------------------------------------------------------------------------------------------------------- */

static int restart(struct volar *v, const char *name, struct vl_error *err)
{
    auto_(vm_view_done) struct vm_view vm = {0};
    char path[128];
    int r;

    (void)strf(path, sizeof(path), "/api/v1/vms/%s/restart", name);
    if ((r = vm_post_and_wait(v, path, NULL, &vm, err)) < 0) return r;
    if (!volar_json(v)) printf("VM %s restarted to apply resource changes\n", name);
    return 0;
}

static int scale(struct volar *v, const char *name)
{
    struct vl_error err = {0};
    json_auto_t *patch = json_object(), *j = NULL;
    json_t *resources = json_object();
    auto_free char *body = NULL;
    char path[128];

    (void)json_object_set_new(patch, "resources", resources);
    if (options.cpu) (void)json_object_set_new(resources, "cpu_cores", json_integer((json_int_t)options.cpu));
    if (options.memory) (void)json_object_set_new(resources, "memory_mb", json_integer((json_int_t)options.memory));
    path_of(path, sizeof(path), name, "");
    if (!(body = json_text(patch)) || api_json(v, "PATCH", path, body, CALL_S, &j, &err) < 0) return volar_fail(&err);
    if (volar_json(v))
        (void)print_json(j);
    else
        printf("VM %s updated: CPU=%lld cores, Memory=%lld MB (config version %lld)\n", name,
               number_at(json_object_get(j, "config"), "resources", "cpu_cores"),
               number_at(json_object_get(j, "config"), "resources", "memory_mb"), number_at(j, NULL, "version"));
    return options.restart && restart(v, name, &err) < 0 ? volar_fail(&err) : EXIT_DONE;
}

int vms_scale(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *name;
    int r = begin(v, argc, argv, &name);

    if (r >= 0 || (r = deployments_check_wait(v)) != EXIT_DONE) return r;
    if ((options.replicas != UINT64_MAX) != (options.cpu || options.memory))
        return options.replicas != UINT64_MAX ? deployment_scale(v, name, options.replicas) : scale(v, name);
    (void)vl_fail(&err, VL_INVALID, "give --cpu and --memory of a VM, or --replicas of a deployment");
    return volar_misuse(v, &err);
}
