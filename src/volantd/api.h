/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers act on, and the table of routes. One file for each resource: system.c plugins.c artifacts.c blobs.c
 * vms.c configs.c logs.c deployments.c.
 */
#pragma once
#include "deploy/deploy.h"
#include "volantd/events.h"
#include "volantd/host.h"
#include "volantd/router.h"

struct access;
struct mcp_request;
/* Clients of MCP that are told what changes. */
struct mcp_hub {
    struct mcp_request *listeners, *callers; /* callers wait for what they asked for, and are told how far it is */
    size_t n_listeners, n_vms;
};

struct api {
    struct loop *loop;
    struct store *store;
    struct events *events;
    struct engine *engine;
    struct deploy *deploy;
    struct artifacts *artifacts;
    struct pool *pool; /* what blocks in a handler: files of blobs, console logs, QEMU's version */
    struct access *access;
    const struct vmm_host *host;
    const char *state_dir, *db_path, *socket, *listen /* TCP, "" for none */;
    const char *advertise;               /* what clients are told instead */
    const char *gateway;                 /* of the VMs' network */
    void (*begin_anew)(struct api *api); /* closes everything once this round is over, and opens it again */
    /* Ends what a token has open, as it was revoked; `but` is the request that did it. */
    void (*drop_caller)(struct api *api, const char *caller, const struct api_req *but);
    bool open_without_tokens; /* there is TCP, which serves everybody on this host while there are none */
    int64_t started_ms;       /* mono_ms */
    char qemu_version[64];    /* "" until it was asked for */
    struct host_cpu cpu;
    struct mcp_hub mcp;
};

extern const struct api_route api_routes[];
extern const size_t api_n_routes;

extern const struct schema repair_schema;        /* body of system_repair */
extern const struct schema token_request_schema; /* body of tokens_create */
extern const struct schema plugin_enabled_schema;
/* Replies, each encoded by its table; `config` is a Config, whose table is another. */
extern const struct schema findings_schema, versioned_config_schema, config_version_schema;
extern const struct schema deployment_view_schema, deployment_version_schema;

/* For requests that wait for the engine: their `release`. `state` is the struct api. */
void api_forget(struct api_req *req);
/* Ends a handler whose engine operation answers with `req` as its argument; status is that of success. */
enum api_end api_wait(struct api *api, struct api_req *req, unsigned status);
/* An engine_done: an empty reply with the status that was put into reply.status, or the error. */
void api_done(void *arg, int r, const struct vl_error *err);

enum api_end healthz_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end openapi_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_status(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_info(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_summary(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_check(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_repair(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end system_backup(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end system_restore(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end tokens_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end tokens_create(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end token_revoke(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end plugins_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end plugins_install(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end plugin_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end plugin_get_manifest(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end plugin_set_enabled(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end plugin_remove(struct api *api, struct api_req *req, struct vl_error *err);

extern const struct schema artifact_request_schema; /* body of artifact_put_row */
enum api_end artifacts_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end artifact_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end artifact_put_row(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end artifacts_delete(struct api *api, struct api_req *req, struct vl_error *err);

extern const struct schema prune_schema; /* body of store_prune */
enum api_end store_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end store_prune(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end blob_head(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end blob_put(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end vms_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vms_create(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_start(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_stop(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_restart(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_pause(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_resume(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_delete(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end config_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end config_change(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end config_history(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end config_rollback(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end vm_logs(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end events_get(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end vm_console_ws(struct api *api, struct api_req *req, struct vl_error *err);
/* `tail` of a request for logs: so many of the last lines; -1: all that is kept. */
int logs_query_tail(const struct api_req *req, int64_t *ret, struct vl_error *err);
enum api_end vm_logs_ws(struct api *api, struct api_req *req, struct vl_error *err);

enum api_end deployments_list(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployments_create(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployment_get(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployment_patch(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployment_delete(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployment_history(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end deployment_rollback(struct api *api, struct api_req *req, struct vl_error *err);

/* A configuration as it is shown: with the members that clients rely on. Gives `config`; NULL stays NULL. */
json_t *config_shown(json_t *config);
enum api_end mcp_post(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end mcp_post_or_envelope(struct api *api, struct api_req *req, struct vl_error *err);
enum api_end mcp_not_allowed(struct api *api, struct api_req *req, struct vl_error *err);
/* An observer of the engine's; `arg` is the struct api. */
void mcp_vm_changed(void *arg, const struct vm_view *view, bool gone);
/* There are other resources than before. */
void mcp_resources_differ(struct api *api);

/* The VM of params[0], or NULL and VL_NOT_FOUND. */
struct vm *api_vm(struct api *api, const struct api_req *req, struct vl_error *err);
