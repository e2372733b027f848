/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin manifest (contract section 3) as far as this version acts on it. Keys it does not know stay in the stored
 * JSON, so that a later version finds them.
 */
#pragma once
#include "model/schema.h"

struct resources {
    int64_t cpu_cores, memory_mb; /* 0: not given */
};

struct medium {
    char *url;      /* absolute path, file://, or (in a file on disk only) relative to the manifest; NULL: absent */
    char *checksum; /* "sha256:<64 lower-case hex>" after manifest_decode */
    int64_t size;   /* bytes as shipped, 0 unknown (written by fledge) */
};

/* The disk image of a plugin with strategy oci_rootfs. Many VMs read it, none writes to it. */
struct rootfs_medium {
    char *url, *checksum; /* as in struct medium */
    char *format;         /* of the disk: "raw" */
    char *fstype;         /* of the file system on it: "squashfs", "ext4"; NULL: what is there tells */
    int64_t size;         /* bytes, 0 unknown */
    char *init; /* absolute path in the image: gets PID 1 instead of kestrel (agent "none"); NULL: nobody does */
};

struct workload {
    char *type;             /* "http" or "exec"; default "exec", or "http" where base_url is given */
    char *base_url;         /* required for http: http://127.0.0.1:PORT/... */
    struct strv entrypoint; /* program and arguments, required */
    int64_t command_index;  /* of the first word in it that config.command replaces (OCI: where Cmd begins) */
    struct strmap env;
    char *workdir; /* absolute; NULL: / */
    char *user; /* "uid", "uid:gid", "name" or "name:group" of the image's own /etc/passwd and /etc/group; NULL: root */
    char *stop_signal;         /* "SIGQUIT", "QUIT" or a number: how it is asked to end; NULL: SIGTERM */
    struct strv volumes;       /* absolute paths that the image wants to be writable and of their own */
    struct strv exposed_ports; /* "80/tcp": where it listens, for who publishes them; the first of TCP is base_url's */
};

/*
 * How kestrel finds out whether the workload does its job (contract 3.3, and what is new here). The check runs in the
 * guest, against 127.0.0.1 or the VM's own address. `type` is NULL where the manifest has none.
 */
struct health_check {
    char *type;     /* "http": 2xx from `endpoint`; "tcp": `port` accepts; "exec": `command` ends with 0 */
    char *endpoint; /* http: resolved against workload.base_url; NULL: base_url itself, or / on `port` */
    int64_t port;   /* of http and tcp; 0: that of base_url */
    struct strv command;
    int64_t timeout_ms;       /* as given; health_check_budget_ms says what counts */
    int64_t interval_ms;      /* from one check's end to the next one's start, once it has passed for the first time */
    int64_t check_timeout_ms; /* of one check */
    int64_t retries;          /* failures in a row, once it has passed, that make an unhealthy workload */
    int64_t start_period_ms;  /* failures within it, from the start, do not count */
};
#define HEALTH_TIMEOUT_MS_MIN   120000 /* contract 3.3: anything below is raised to it */
#define HEALTH_INTERVAL_MS      10000  /* defaults */
#define HEALTH_CHECK_TIMEOUT_MS 2000
#define HEALTH_RETRIES          3
/* The whole start budget: from the workload's start to the first success. */
int64_t health_check_budget_ms(const struct health_check *h);

/* Whom a check of type http or tcp asks, in the guest. */
struct health_target {
    uint16_t port;
    char *host; /* http: the Host header; NULL for tcp */
    char *path; /* http: path and query */
};
/* -EINVAL where there is no port, or endpoint is none (a URL of another host than base_url's, spaces, a fragment). */
int health_target_make(const struct health_check *h, const struct workload *w, struct health_target *ret);
void health_target_done(struct health_target *t);

enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
const char *restart_policy_name(enum restart_policy p);
/* NULL and "" are RESTART_NO; -EINVAL. */
int restart_policy_parse(const char *s, enum restart_policy *ret);
extern const char *const restart_policies[]; /* NULL-terminated, for tables */

struct manifest {
    char *schema_version, *name, *version, *runtime;
    bool enabled;
    struct strmap labels;
    struct resources resources;
    char *image, *image_digest; /* what it was built from, for people */
    struct medium initramfs;
    struct rootfs_medium rootfs; /* without effect beside an initramfs */
    struct workload workload;
    struct health_check health_check;
    char *restart; /* name of a restart_policy; NULL: not given */
    char *agent;   /* "kestrel" (NULL too), or "none": nothing in the guest answers, `running` means the VMM runs */
};
extern const struct schema health_check_schema;
extern const struct schema rootfs_schema;
extern const struct schema manifest_schema;
extern const struct schema resources_schema;
extern const struct schema workload_schema;
/* Where a workload's program is looked for when its env has no PATH: fledge checks what kestrel will do. */
#define WORKLOAD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
void manifest_done(struct manifest *m);
/* Adds the objects that clients rely on and that it does without (contract 3.1); -ENOMEM. */
int manifest_show(json_t *manifest);
/* Something in the guest answers. Without, the manifest may lack workload and initramfs. */
bool manifest_has_agent(const struct manifest *m);
/* It boots from a disk image, by a kernel with a bootloader of its own. */
bool manifest_has_rootfs(const struct manifest *m);
/* "sha256:<hex>" of what it boots from; NULL: it has neither archive nor disk image. */
const char *manifest_checksum(const struct manifest *m);
/* Where that is to be had, and in how many bytes (0: unknown); *ret_key is "initramfs" or "rootfs". NULL as above. */
const char *manifest_source(const struct manifest *m, const char **ret_key, int64_t *ret_size);
#define auto_manifest auto_(manifest_done) struct manifest

#define MANIFEST_MAX      (1024UL * 1024) /* bytes of JSON */
#define MEMORY_MB_MIN     48 /* what the kernel and kestrel need to boot and to give a workload some room */
#define MEMORY_MB_MAX     1048576
#define CPU_CORES_MAX     64
#define CPU_CORES_DEFAULT 1
#define MEMORY_MB_DEFAULT 256

/*
 * Decodes, normalises (trims, runtime defaults to name, labels volant.plugin and volant.runtime, bare hex checksum gets
 * its prefix, string entrypoint + args and top-level env as fledge [H] wrote them) and validates. *ret_json, if not
 * NULL, gets the manifest as it is to be stored and returned: the input with normalised values over it; decoding it
 * again gives the same. `warnings`, if not NULL, gets one text per key that is unknown or has no effect here. `where`
 * begins messages
 * ("manifest", or a file name). A relative URL is refused: who reads a file makes it absolute in the JSON first.
 */
int manifest_decode(const json_t *in, const char *where, struct manifest *ret, json_t **ret_json, struct strv *warnings,
                    struct vl_error *err);
/*
 * One that was stored by whatever version. What an earlier one kept without looking at it, and what is refused now, is
 * left out: it had no effect then either.
 */
int manifest_decode_stored(const json_t *in, struct manifest *ret, struct vl_error *err);

/* The port of base_url (80 where it names none), 0 where there is no base_url. */
int64_t workload_port(const struct workload *w);
