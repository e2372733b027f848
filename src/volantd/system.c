/* SPDX-License-Identifier: Apache-2.0 */
/* /healthz and /api/v1/system: this volantd and its host (contract 1.8, and what `volar system info` shows beyond it).
 */
#include <string.h>

#include "base/clock.h"
#include "config.h"
#include "volantd/api.h"

#define QEMU_MS 5000

enum api_end healthz_get(struct api *api, struct api_req *req, struct vl_error *err)
{
    (void)api;
    return api_json(req, 200, json_pack("{s:s}", "status", "ok"), err);
}

enum api_end system_status(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct engine_summary s;

    engine_summary(api->engine, &s);
    return api_json(req, 200,
                    json_pack("{s:s, s:I, s:f, s:f}", "status", "ok", "vm_count", (json_int_t)s.vms, "cpu_percent",
                              host_cpu_percent(&api->cpu), "mem_percent", host_memory_percent()),
                    err);
}

/* --- summary ------------------------------------------------------------------------------------------------------ */

static json_t *by_status(const struct engine_summary *s)
{
    json_t *j = json_object();

    for (size_t i = 0; j && i < ARRAY_LEN(s->by_status); i++)
        if (s->by_status[i] > 0)
            (void)json_object_set_new(j, vm_status_name((enum vm_status)i), json_integer((json_int_t)s->by_status[i]));
    return j;
}

static bool count_runtime(void *arg, struct vm *vm)
{
    struct vm_view v;
    char key[64];
    size_t i = 0;

    engine_vm_view(vm, &v);
    for (; v.runtime && v.runtime[i] && i < sizeof(key) - 1; i++)
        key[i] = (char)(v.runtime[i] >= 'A' && v.runtime[i] <= 'Z' ? v.runtime[i] - 'A' + 'a' : v.runtime[i]);
    key[i] = '\0';
    if (i > 0) (void)json_object_set_new(arg, key, json_integer(json_integer_value(json_object_get(arg, key)) + 1));
    return true;
}

static bool add_plugin(void *arg, struct plugin *p)
{
    (void)json_array_append_new(arg, json_pack("{s:s, s:s, s:b, s:s}", "name", engine_plugin_name(p), "version",
                                               engine_plugin_version(p), "enabled", engine_plugin_enabled(p), "runtime",
                                               engine_plugin_runtime(p)));
    return true;
}

enum api_end system_summary(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct engine_summary s;
    json_t *runtimes = json_object(), *plugins;

    engine_summary(api->engine, &s);
    plugins = s.plugins > 0 ? json_array() : json_null(); /* contract 1.8 */
    if (runtimes) (void)engine_vm_each(api->engine, count_runtime, runtimes);
    if (json_is_array(plugins)) (void)engine_plugin_each(api->engine, add_plugin, plugins);
    return api_json(req, 200,
                    json_pack("{s:I, s:o, s:o, s:I, s:I, s:o}", "total_vms", (json_int_t)s.vms, "by_status",
                              by_status(&s), "by_runtime", runtimes, "total_plugins", (json_int_t)s.plugins,
                              "enabled_plugins", (json_int_t)s.plugins_enabled, "plugins", plugins),
                    err);
}

/* --- info --------------------------------------------------------------------------------------------------------- */

static json_t *kernel_info(const struct vmm_host *h)
{
    json_t *patches = json_array();

    if (h->kernel_lapic_khz) (void)json_array_append_new(patches, json_string("lapic_khz"));
    if (h->kernel_tsc_early_khz) (void)json_array_append_new(patches, json_string("tsc_early_khz"));
    return json_pack("{s:s, s:s, s:o, s:s}", "path", h->kernel_path, "version", h->kernel_version, "patches", patches,
                     "rootfs_path", h->rootfs_kernel_path);
}

static json_t *memory_info(void)
{
    struct host_memory m;

    host_memory_read(&m);
    return json_pack("{s:I, s:I, s:I}", "host_total_bytes", (json_int_t)m.total, "host_available_bytes",
                     (json_int_t)m.available, "volantd_rss_bytes", (json_int_t)m.own);
}

static json_t *capacity_info(struct api *api)
{
    struct engine_capacity c;

    engine_capacity(api->engine, &c);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "memory_mb", (json_int_t)c.memory_mb, "memory_taken_mb",
                     (json_int_t)c.memory_taken_mb, "vcpus", (json_int_t)c.vcpus, "vcpus_taken",
                     (json_int_t)c.vcpus_taken, "disk_free_bytes", (json_int_t)c.disk_free, "disk_reserve_bytes",
                     (json_int_t)c.disk_reserve);
}

static json_t *info(struct api *api)
{
    const struct vmm_host *h = api->host;
    struct engine_summary s;
    json_t *j;

    engine_summary(api->engine, &s);
    j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I}", "status", "ok", "api_listen_addr", api->listen,
                  "api_advertise_addr", api->advertise, "host_ip", api->gateway, "version", VOLANT_VERSION, "pid",
                  (int)getpid(), "uptime_seconds", (json_int_t)((mono_ms() - api->started_ms) / 1000));
    if (!j) return NULL;
    (void)json_object_update_new(j, json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s}, s:o}", "socket", api->socket,
                                              "state_dir", api->state_dir, "accel", h->kvm ? "kvm" : "tcg",
                                              "accel_reason", h->accel_reason, "vmm", "name", "qemu", "path",
                                              h->qemu_path, "version", api->qemu_version, "kernel", kernel_info(h)));
    (void)json_object_update_new(j, json_pack("{s:I, s:o, s:I, s:I, s:o, s:o}", "vm_count", (json_int_t)s.vms,
                                              "vms_by_status", by_status(&s), "plugin_count", (json_int_t)s.plugins,
                                              "strangers", (json_int_t)s.strangers, "memory", memory_info(), "capacity",
                                              capacity_info(api)));
    return j;
}

/* QEMU is asked for its version when somebody wants to know it first, so that starting volantd does not take longer. */
struct version_job {
    struct job job;
    struct api *api;
    struct api_req *req; /* NULL: nobody waits any more */
    const struct vmm_host *host;
    char version[64];
};

static void version_run(struct job *j)
{
    struct version_job *v = container_of(j, struct version_job, job);
    struct vl_error err = {0};

    if (vmm_host_qemu_version(v->host, mono_ms() + QEMU_MS, v->version, &err) < 0)
        (void)strf(v->version, sizeof(v->version), "unknown");
}

static void version_done(struct job *j, bool cancelled)
{
    struct version_job *v = container_of(j, struct version_job, job);
    struct vl_error err = {0};

    if (!cancelled) memcpy(v->api->qemu_version, v->version, sizeof(v->version));
    if (v->req) {
        v->req->release = NULL;
        if (api_json(v->req, 200, info(v->api), &err) == API_FAILED) api_fail(v->req, &err);
        api_resume(v->req);
    }
    free(v);
}

static void version_release(struct api_req *req)
{
    struct version_job *v = req->state;

    v->req = NULL;
}

enum api_end system_info(struct api *api, struct api_req *req, struct vl_error *err)
{
    struct version_job *v = *api->qemu_version ? NULL : calloc(1, sizeof(*v));

    if (!v) return api_json(req, 200, info(api), err);
    *v = (struct version_job){
        .job = {.run = version_run, .done = version_done}, .api = api, .req = req, .host = api->host};
    if (pool_submit(api->pool, &v->job) < 0) {
        free(v);
        return api_json(req, 200, info(api), err);
    }
    req->state = v;
    req->release = version_release;
    return API_SUSPENDED;
}
