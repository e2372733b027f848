/* SPDX-License-Identifier: Apache-2.0 */
/* Creating deployments, scaling them, and giving them another configuration or an earlier one. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/deployment.h"
#include "volar/api.h"
#include "volar/config_file.h"
#include "volar/create.h"
#include "volar/deployments.h"
#include "volar/output.h"

#define CALL_S   30
#define SERVER_S 25 /* how long one request lets volantd wait */

struct rollout_wait deployments_wait = {.timeout_s = 300};

static struct {
    const char *plugin, *restart, *file;
    uint64_t cpu, memory, replicas, version;
    struct strv publish;
} options = {.replicas = 1};

#define CONFIG_OPTS                                                                                                    \
    {"plugin", 'P', OPT_STRING, "PLUGIN", "the installed plugin to boot", 0, 0, &options.plugin},                      \
        {"cpu", 'c',           OPT_U64,     "N", "vCPUs of each replica (default: the manifest's, else 1)",            \
         1,     CPU_CORES_MAX, &options.cpu},                                                                          \
        {"memory",                                                                                                     \
         'm',                                                                                                          \
         OPT_U64,                                                                                                      \
         "MB",                                                                                                         \
         "memory of each replica (default: the manifest's, else 256)",                                                 \
         MEMORY_MB_MIN,                                                                                                \
         MEMORY_MB_MAX,                                                                                                \
         &options.memory},                                                                                             \
        {"publish",                                                                                                    \
         'p',                                                                                                          \
         OPT_LIST,                                                                                                     \
         "PORT",                                                                                                       \
         "publish a guest port of each replica: GUEST[/proto], and volantd picks the host ports; "                     \
         "[IP:]HOST:GUEST[/proto] for one replica alone; may be given again",                                          \
         0,                                                                                                            \
         0,                                                                                                            \
         &options.publish},                                                                                            \
        {"restart", 0, OPT_STRING,      "POLICY", "no, on-failure or always (default: the manifest's, else always)",   \
         0,         0, &options.restart},                                                                              \
    {                                                                                                                  \
        "config", 0, OPT_STRING, "FILE", "a configuration as JSON; the options here win over it", 0, 0, &options.file  \
    }

const struct opt deployments_create_opts[] = {
    {"replicas", 'n', OPT_U64, "N", "how many VMs (default 1)", 0, DEPLOYMENT_REPLICAS_MAX, &options.replicas},
    CONFIG_OPTS,
    ROLLOUT_WAIT_OPTS,
    VOLAR_GLOBAL,
    {0},
};
const struct opt deployments_update_opts[] = {CONFIG_OPTS, ROLLOUT_WAIT_OPTS, VOLAR_GLOBAL, {0}};
const struct opt deployments_scale_opts[] = {ROLLOUT_WAIT_OPTS, VOLAR_GLOBAL, {0}};
const struct opt deployments_rollback_opts[] = {
    {"to", 0, OPT_U64, "VERSION", "the version to go back to (default: the one before)", 1, INT64_MAX,
     &options.version},
    ROLLOUT_WAIT_OPTS,
    VOLAR_GLOBAL,
    {0},
};

/* --- waiting ------------------------------------------------------------------------------------------------------ */

int deployments_check_wait(const struct volar *v)
{
    struct vl_error err = {0};

    if (!deployments_wait.want || str_eq(deployments_wait.want, "ready")) return EXIT_DONE;
    (void)vl_fail(&err, VL_INVALID, "--wait is '%s', allowed: ready", deployments_wait.want);
    return volar_misuse(v, &err);
}

static uint64_t server_seconds(int64_t until_ms)
{
    int left_s = deadline_left(until_ms) / 1000;

    return left_s < 1 ? 1 : left_s > SERVER_S ? SERVER_S : (uint64_t)left_s;
}

static void with_wait(char *buf, size_t size, const char *path, int64_t until_ms)
{
    if (deployments_wait.want)
        (void)strf(buf, size, "%s?wait=ready&timeout=%llu", path, (unsigned long long)server_seconds(until_ms));
    else
        (void)strf(buf, size, "%s", path);
}

static bool has_status(const json_t *d, const char *status)
{
    return str_eq(text_at(d, NULL, "status"), status);
}

/* No wait changes it any more. */
static bool is_settled(const json_t *d)
{
    return has_status(d, "ready") || has_status(d, "ended") || has_status(d, "failed");
}

static int verdict(const json_t *d, struct vl_error *err)
{
    const char *name = text_at(d, NULL, "name"), *reason = text_at(d, NULL, "reason");

    /* Replicas that have done their work are no failure. */
    if (!deployments_wait.want || has_status(d, "ready") || has_status(d, "ended")) return 0;
    if (has_status(d, "failed"))
        return vl_fail(err, VL_INTERNAL, "the rollout of deployment '%s' failed: %s: see `volar deployments get %s`",
                       name, reason, name);
    return vl_fail(err, VL_UNAVAILABLE,
                   "deployment '%s' is %s after %llu s, not ready: %s: see `volar deployments get %s`, or wait longer "
                   "with --timeout",
                   name, text_at(d, NULL, "status"), (unsigned long long)deployments_wait.timeout_s, reason, name);
}

int deployment_change(struct volar *v, const char *method, const char *path, const char *body, json_t **ret,
                      struct vl_error *err)
{
    int64_t until = mono_ms() + (int64_t)deployments_wait.timeout_s * 1000;
    json_auto_t *d = NULL;
    char full[256], own[128];
    int r;

    with_wait(full, sizeof(full), path, until);
    if ((r = api_json(v, method, full, body, SERVER_S + CALL_S, &d, err)) < 0) return r;
    (void)strf(own, sizeof(own), "/api/v1/deployments/%s", text_at(d, NULL, "name"));
    while (deployments_wait.want && !is_settled(d) && deadline_left(until) > 0) {
        json_decref(d);
        d = NULL;
        with_wait(full, sizeof(full), own, until);
        if ((r = api_json(v, "GET", full, NULL, SERVER_S + CALL_S, &d, err)) < 0) return r;
    }
    if ((r = verdict(d, err)) < 0) return r;
    *ret = take_ptr(d);
    return 0;
}

/* --- the configuration -------------------------------------------------------------------------------------------- */

static int set_text(json_t *config, const char *key, const char *text)
{
    return text ? json_object_set_new(config, key, json_string(text)) : 0;
}

static int set_resources(json_t *config)
{
    json_t *r = json_object_get(config, "resources");

    if (!options.cpu && !options.memory) return 0;
    if (!json_is_object(r) && json_object_set_new(config, "resources", r = json_object()) < 0) return -1;
    if (options.cpu && json_object_set_new(r, "cpu_cores", json_integer((json_int_t)options.cpu)) < 0) return -1;
    return options.memory ? json_object_set_new(r, "memory_mb", json_integer((json_int_t)options.memory)) : 0;
}

static int config_from_options(json_t **ret, struct vl_error *err)
{
    json_auto_t *config = NULL;
    json_t *expose;
    int r;

    if (options.file && (r = config_file_read("--config", options.file, &config, err)) < 0) return r;
    if (!config && !(config = json_object())) return vl_fail_errno(err, ENOMEM, "request");
    if (set_text(config, "plugin", options.plugin) < 0 || set_text(config, "restart", options.restart) < 0 ||
        set_resources(config) < 0)
        return vl_fail_errno(err, ENOMEM, "request");
    if (options.publish.len) {
        if (json_object_set_new(config, "expose", expose = json_array()) < 0)
            return vl_fail_errno(err, ENOMEM, "request");
        if ((r = create_add_ports(expose, &options.publish, err)) < 0) return r;
    }
    *ret = take_ptr(config);
    return 0;
}

/* --- create and update -------------------------------------------------------------------------------------------- */

/* {"config": …}, with name and replicas where they are given. Takes config. */
static int body_of(const char *name, const uint64_t *replicas, json_t *config, char **ret, struct vl_error *err)
{
    json_auto_t *body = json_object();

    if ((config && json_object_set_new(body, "config", config) < 0) || set_text(body, "name", name) < 0 ||
        (replicas && json_object_set_new(body, "replicas", json_integer((json_int_t)*replicas)) < 0) ||
        !(*ret = json_text(body)))
        return vl_fail_errno(err, ENOMEM, "request");
    return 0;
}

static long long number_of(const json_t *d, const char *key)
{
    return (long long)json_integer_value(json_object_get(d, key));
}

static int create(struct volar *v, const char *name)
{
    auto_free char *body = NULL;
    json_auto_t *d = NULL;
    json_t *config = NULL;
    struct vl_error err = {0};

    if (!options.plugin && !options.file) {
        (void)vl_fail(&err, VL_INVALID, "--plugin is missing: name an installed one (`volar plugins list`)");
        return volar_misuse(v, &err);
    }
    if (config_from_options(&config, &err) < 0 || body_of(name, &options.replicas, config, &body, &err) < 0)
        return volar_misuse(v, &err);
    if (deployment_change(v, "POST", "/api/v1/deployments", body, &d, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(d) < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("Deployment %s created with %lld replicas\n", name, number_of(d, "desired_replicas"));
    return EXIT_DONE;
}

static int begin(struct volar *v, int argc, char *const *argv, const char **name)
{
    int r = deployment_operand(v, argc, argv, name);

    if (r >= 0) return r;
    if ((r = deployments_check_wait(v)) != EXIT_DONE) return r;
    return options.plugin && (r = volar_check_name(v, "plugin", options.plugin)) != EXIT_DONE ? r : -1;
}

int deployments_create(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    const char *name;
    int r = begin(v, argc, argv, &name);

    if (r < 0) r = create(v, name);
    strv_done(&options.publish);
    return r;
}

static int update(struct volar *v, const char *name)
{
    auto_free char *body = NULL;
    json_auto_t *d = NULL;
    json_t *config = NULL;
    struct vl_error err = {0};
    char path[128];

    if (config_from_options(&config, &err) < 0) return volar_misuse(v, &err);
    if (json_object_size(config) == 0) {
        json_decref(config);
        (void)vl_fail(&err, VL_INVALID,
                      "nothing to update: give --plugin, --cpu, --memory, --publish, --restart or --config");
        return volar_misuse(v, &err);
    }
    if (body_of(NULL, NULL, config, &body, &err) < 0) return volar_fail(&err);
    (void)strf(path, sizeof(path), "/api/v1/deployments/%s", name);
    if (deployment_change(v, "PATCH", path, body, &d, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(d) < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("Deployment %s has version %lld\n", name, number_of(d, "version"));
    return EXIT_DONE;
}

int deployments_update(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    const char *name;
    int r = begin(v, argc, argv, &name);

    if (r < 0) r = update(v, name);
    strv_done(&options.publish);
    return r;
}

/* --- scale and rollback ------------------------------------------------------------------------------------------- */

int deployment_scale(struct volar *v, const char *name, uint64_t replicas)
{
    auto_free char *body = NULL;
    json_auto_t *d = NULL;
    struct vl_error err = {0};
    char path[128];

    (void)strf(path, sizeof(path), "/api/v1/deployments/%s", name);
    if (body_of(NULL, &replicas, NULL, &body, &err) < 0 || deployment_change(v, "PATCH", path, body, &d, &err) < 0)
        return volar_fail(&err);
    if (volar_json(v)) return print_json(d) < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("Deployment %s scaled to %lld replicas (ready %lld)\n", name, number_of(d, "desired_replicas"),
           number_of(d, "ready_replicas"));
    return EXIT_DONE;
}

int deployments_scale(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    const char *operands[2];
    uint64_t replicas;
    size_t n;
    int r = volar_begin(v, argc, argv, operands, 2, 2, &n);

    if (r >= 0 || (r = volar_check_name(v, "deployment", operands[0])) != EXIT_DONE ||
        (r = deployments_check_wait(v)) != EXIT_DONE)
        return r;
    if (parse_u64(operands[1], 0, DEPLOYMENT_REPLICAS_MAX, &replicas) == 0)
        return deployment_scale(v, operands[0], replicas);
    (void)vl_fail(&err, VL_INVALID, "REPLICAS is '%.40s', allowed 0 to %d", operands[1], DEPLOYMENT_REPLICAS_MAX);
    return volar_misuse(v, &err);
}

int deployments_rollback(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *d = NULL;
    const char *name;
    char path[128], body[64] = "{}";
    int r = begin(v, argc, argv, &name);

    if (r >= 0) return r;
    (void)strf(path, sizeof(path), "/api/v1/deployments/%s/rollback", name);
    if (options.version) (void)strf(body, sizeof(body), "{\"version\":%llu}", (unsigned long long)options.version);
    if (deployment_change(v, "POST", path, body, &d, &err) < 0) return volar_fail(&err);
    if (volar_json(v)) return print_json(d) < 0 ? EXIT_FAILED : EXIT_DONE;
    printf("Deployment %s rolled back, which is version %lld\n", name, number_of(d, "version"));
    return EXIT_DONE;
}
