/* SPDX-License-Identifier: Apache-2.0 */
/* VMs as clients see and ask for them: create request, configuration, VM object (contract 1.4 and 4.1). */
#pragma once
#include "model/manifest.h"

/* One published port: host_ip:host_port on the host leads to `port` in the guest. */
struct port_map {
    char *name;        /* optional label */
    char *protocol;    /* "tcp" (default) or "udp" */
    char *host_ip;     /* loopback address, default 127.0.0.1 */
    int64_t host_port; /* 0 in a request: volantd picks a free one */
    int64_t port;      /* in the guest */
};
extern const struct schema port_map_schema;

#define CMDLINE_EXTRA_MAX 1024 /* bytes of arguments for the kernel; x86 Linux takes 2048, and ours are among them */

#define DISK_MB_MIN 64
#define DISK_MB_MAX (16ll * 1024 * 1024) /* what ext4 has with blocks of 4 KB */

struct vm_config {
    char *plugin, *runtime;
    struct resources resources; /* win over the request's top-level numbers */
    struct objects expose;      /* struct port_map */
    struct strmap env;          /* of the workload, over the manifest's */
    struct strv command;        /* replaces the entrypoint from its command_index on; none: the manifest's */
    char *restart;              /* name of a restart_policy; NULL: the manifest's */
    int64_t disk_mb;            /* a disk of its own for what it changes in its disk image; 0: memory has it */
    bool auto_remove;           /* deleted a moment after its end; never booted again */
    char *kernel_override;      /* a kernel image of the host, below a configured folder; NULL: volantd's own */
    char *kernel_cmdline;       /* arguments for the kernel beside ours; NULL: none */
    char *initramfs, *rootfs;   /* JSON text: the medium that it boots from instead of the manifest's; NULL: that */
    char *manifest;             /* JSON text; wins over the registry's manifest. NULL: that */
    char *metadata;             /* JSON text, the client's own; NULL: none */
    char *api, *devices, *cloud_init, *network; /* JSON text; nothing reads them yet */
};
extern const struct schema vm_config_schema;
void vm_config_done(struct vm_config *c);
/*
 * A configuration alone: decoded, its ports settled, its manifest (which must be of config.plugin, where that is given)
 * validated and normalised. VL_INVALID names field and remedy.
 */
int vm_config_decode(const json_t *in, struct vm_config *ret, struct strv *unknown, struct vl_error *err);
/*
 * What the VM boots from instead is laid over `manifest`, and what it would have booted from leaves it (contract 4.2).
 * VL_INVALID where there are two such media, or one without a checksum.
 */
int vm_config_lay_medium(const struct vm_config *c, json_t *manifest, struct vl_error *err);

/* Body of POST /api/v1/vms. */
struct vm_request {
    char *name, *plugin, *runtime;
    int64_t cpu_cores, memory_mb; /* 0: the manifest's, over 1 and 256 */
    char *kernel_cmdline;         /* config.kernel_cmdline afterwards, where that says nothing */
    struct vm_config config;
    bool start; /* false: recorded as stopped */
};
extern const struct schema vm_request_schema;
void vm_request_done(struct vm_request *r);
#define auto_vm_request auto_(vm_request_done) struct vm_request

/*
 * Decodes and validates what can be judged without the registry: name, plugin agreement (config.plugin and plugin must
 * match), ranges, addresses, a port published twice. Resolved plugin and resources are in `plugin`, `runtime`,
 * `cpu_cores`, `memory_mb` afterwards (config wins; numbers 0 where neither gave one); the ports are settled, and so is
 * config.manifest, whose plugin it is where none is named. A text about each key that is unknown or has no effect goes
 * to `unknown` where it is not NULL.
 */
int vm_request_decode(const json_t *in, struct vm_request *ret, struct strv *unknown, struct vl_error *err);

enum vm_status {
    VM_PENDING,  /* recorded, nothing begun */
    VM_STARTING, /* from the first side effect until the agent answers */
    VM_RUNNING,
    VM_PAUSED, /* its vCPUs stand still, on request */
    VM_STOPPING,
    VM_STOPPED, /* ended with 0, or on request */
    VM_CRASHED, /* ended otherwise */
    VM_FAILED,  /* could not be booted: `reason` says why and what to do */
};
const char *vm_status_name(enum vm_status s);
extern const char *const vm_status_names[];              /* NULL-terminated, for tables */
int vm_status_parse(const char *s, enum vm_status *ret); /* -EINVAL */
/* No VMM process belongs to a VM in this status. */
bool vm_status_ended(enum vm_status s);

/* A VM as the API shows it. Strings are borrowed by vm_view_encode. */
struct vm_view {
    int64_t id;
    char *name, *status, *runtime, *plugin, *reason, *ip_address, *mac_address, *kernel_cmdline, *serial_socket;
    char *health;     /* "starting", "healthy", "unhealthy"; NULL or "": there is no check */
    char *deployment; /* it is a replica of; "" none */
    int64_t revision; /* of the deployment's configuration */
    int64_t restarts; /* by the restart policy, since it last stayed up */
    bool ready;
    bool ended_well; /* stopped, and nobody asked for it; not encoded */
    int64_t pid, cpu_cores, memory_mb, exit_code;
    int64_t disk_mb;    /* of its own disk; 0: it has none */
    bool has_exit_code; /* exit_code is omitted otherwise, and 0 is not empty */
    int64_t created_ms, updated_ms;
    int64_t started_ms;          /* when this boot became running, 0: it is not */
    const struct objects *ports; /* struct port_map; NULL: none */
};
extern const struct schema vm_view_schema;       /* as it goes over the wire; only for schema_json */
json_t *vm_view_encode(const struct vm_view *v); /* NULL when out of memory */
/*
 * A VM as JSON text that is kept beside it and rendered anew only when what is shown has changed: it is compared field
 * by field with what was rendered, so that nobody who changes a VM needs to think of it. All zero is empty.
 */
struct vm_text {
    char *text;
    size_t len;
    void *shown;
};
/* That of `v`, borrowed until the next call, NUL-terminated; NULL when out of memory. */
const char *vm_text_of(struct vm_text *t, const struct vm_view *v);
void vm_text_done(struct vm_text *t);
/* For volar: the struct owns its strings and ports (never NULL then). */
int vm_view_decode(const json_t *in, struct vm_view *ret, struct vl_error *err);
void vm_view_done(struct vm_view *v); /* only after vm_view_decode */
/* A time as it is in there, "2026-01-31T23:59:59.123Z", in milliseconds; -EINVAL for any other form. */
int vm_time_parse(const char *s, int64_t *ret_ms);

/*
 * "[IP:]HOST:GUEST[/proto]" or "GUEST[/proto]", as -p takes it; VL_INVALID says what is wrong and shows the form. *ret
 * is settled and the caller's (port_map_done).
 */
int port_map_parse(const char *s, struct port_map *ret, struct vl_error *err);
/*
 * Fills in what was left out (tcp, 127.0.0.1) and refuses a host_ip that is no IPv4 loopback address; `where` goes
 * right before "host_ip" in the message ("config.expose[1].", or "").
 */
int port_map_settle(struct port_map *p, const char *where, struct vl_error *err);
void port_map_done(struct port_map *p);
